"""Draw how well every vertex is predicted beside how well subjects agree there, and list the numbers."""

from pathlib import Path

import numpy as np

from capcortex.arrays import open_array
from capcortex.encoding.table import ENCODING_COLUMNS
from capcortex.figures.encoding import draw_encoding, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.inference.maps import read_subject_maps
from capcortex.jobs import job
from capcortex.nsd.rois import read_regions
from capcortex.tables import read_table, write_table


def main(
    *,
    maps: str,
    agreements: str,
    table: str,
    labels: list[str],
    names: str,
    atlas: str,
    rois: list[str] | None,
    model: str,
    title: str,
    confidence: float,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    r = read_subject_maps([maps])
    with open_array(agreements, variables=["agreement", "subject"]) as file:
        agreement = file["agreement"].sel(subject=r["subject"]).to_numpy()
    vertices, label_of = read_regions([Path(path) for path in labels], names, rois, atlas=atlas)
    encoding = read_table(table, columns=ENCODING_COLUMNS)
    numbers = plotted_numbers(
        r.to_numpy(),
        agreement,
        {roi: np.flatnonzero(vertices == label) for roi, label in label_of.items()},
        encoding[(encoding["model"] == model) & (encoding["atlas"] == atlas)],
        confidence,
    )
    save_figure(draw_encoding(numbers, title=title, source=source), pdf, png)
    write_table(numbers, tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            maps=snakemake.input.maps,
            agreements=snakemake.input.agreements,
            table=snakemake.input.table,
            labels=list(snakemake.input.labels),
            names=snakemake.input.names,
            atlas=snakemake.params.atlas,
            rois=snakemake.params.rois,
            model=snakemake.wildcards.model,
            title=snakemake.params.title,
            confidence=snakemake.params.confidence,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
