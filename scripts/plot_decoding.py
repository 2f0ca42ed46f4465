"""Draw how well a model's embeddings are decoded, and list what the figure shows."""

import numpy as np
import pandas as pd

from capcortex.arrays import open_array
from capcortex.figures.decoding import OF_IMAGES, choose_ranked, draw_decoding
from capcortex.figures.style import save_figure
from capcortex.inference.decoding import COLUMNS, MEASURES
from capcortex.jobs import job
from capcortex.tables import read_table, write_table
from capcortex.text.captions import load_captions


def main(
    *,
    decodings: list[str],
    table: str,
    captions: str,
    model: str,
    label: str,
    subjects: list[str],
    confidence: float,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    parts, examples = [], pd.DataFrame()
    for subject, path in zip(subjects, decodings, strict=True):
        with open_array(path, variables=["r", "id73k"]) as file:
            ids = file["id73k"].to_numpy()
            for measure in ("r", *OF_IMAGES):
                name = MEASURES[measure][0]
                # The ceiling is of captions: it is the same for all subjects.
                if name in file and (measure != "caption_ceiling" or subject == subjects[0]):
                    values = file[name].to_numpy()
                    parts.append(pd.DataFrame({"subject": subject, "measure": measure, "id73k": ids, "value": values}))
            if subject == subjects[0]:
                examples = choose_ranked(file["r"].to_numpy(), ids).assign(subject=subject, n_images=ids.size)
                near = file["nearest_sentence"].to_numpy() if "nearest_sentence" in file else np.full(ids.size, np.nan)
                sentence_of = dict(zip(ids, near, strict=True))
                examples["nearest_sentence"] = [sentence_of[one] for one in examples["id73k"]]
    scores = pd.concat(parts, ignore_index=True)
    of_subjects = read_table(table, columns=COLUMNS)
    of_subjects = of_subjects[of_subjects["model"] == model]
    texts = load_captions(captions)
    texts = texts[texts["id73k"].isin(examples["id73k"])].sort_values(["id73k", "position"])
    captions_of = {int(id73k): list(rows) for id73k, rows in texts.groupby("id73k")["caption"]}
    figure = draw_decoding(
        scores,
        of_subjects,
        examples,
        label=label,
        subjects=subjects,
        confidence=confidence,
        captions=captions_of,
        source=source,
    )
    save_figure(figure, pdf, png)
    shown = examples.rename(columns={"r": "value"}).assign(
        measure="example", caption=[captions_of[one][0] for one in examples["id73k"]]
    )
    means = of_subjects[["subject", "measure", "value"]].assign(
        measure=[f"mean of {m}" for m in of_subjects["measure"]]
    )
    columns = ["subject", "measure", "id73k", "value", "rank", "caption", "nearest_sentence"]
    drawn = pd.concat([scores, means, shown], ignore_index=True).reindex(columns=columns)
    write_table(drawn.astype({"id73k": "Int64", "rank": "Int64"}), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            decodings=list(snakemake.input.decodings),
            table=snakemake.input.table,
            captions=snakemake.input.captions,
            model=snakemake.wildcards.model,
            label=snakemake.params.label,
            subjects=snakemake.params.subjects,
            confidence=snakemake.params.confidence,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
