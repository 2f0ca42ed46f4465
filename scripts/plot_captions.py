"""Draw example images with their neighbours in embedding space, and list what the figure shows."""

import numpy as np

from capcortex.arrays import open_array
from capcortex.figures.captions import choose_examples, draw_captions, find_neighbours, read_pictures
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.nsd.image_sets import read_image_sets
from capcortex.tables import write_table
from capcortex.text.captions import load_captions

N_EXAMPLES = 6
N_NEIGHBOURS = 3


def main(
    *,
    captions: str,
    features: str,
    image_sets: list[str],
    brick: str | None,
    encoder: str,
    source: str,
    seed: int,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    sets, _ = read_image_sets(image_sets)
    with open_array(features, variables=["features", "id73k"]) as file:
        embeddings = file["features"].load()
    examples = choose_examples(embeddings, np.unique(sets), N_EXAMPLES, seed)
    shown = find_neighbours(embeddings, examples, N_NEIGHBOURS)
    table = load_captions(captions)
    table = table[table["id73k"].isin(shown["id73k"])].sort_values(["id73k", "position"])
    captions_of = {int(id73k): list(rows) for id73k, rows in table.groupby("id73k")["caption"]}
    pictures = read_pictures(brick, shown["id73k"]) if brick else {}
    figure = draw_captions(shown, captions_of, pictures, encoder=encoder, source=source)
    save_figure(figure, pdf, png)
    write_table(shown.assign(first_caption=[captions_of[id73k][0] for id73k in shown["id73k"]]), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            captions=snakemake.input.captions,
            features=snakemake.input.features,
            image_sets=list(snakemake.input.image_sets),
            brick=next(iter(snakemake.input.brick), None),
            encoder=snakemake.params.encoder,
            source=snakemake.params.source,
            seed=snakemake.params.seed,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
