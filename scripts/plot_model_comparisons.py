"""Draw the comparisons of models in every region, and list the numbers in the figure."""

from capcortex.figures.comparisons import draw_comparisons, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.inference.comparisons import COMPARISON_COLUMNS
from capcortex.inference.released import RELEASED_COLUMNS
from capcortex.jobs import job
from capcortex.tables import read_table, write_table


def main(
    *,
    table: str,
    released: str | None,
    labels: dict[str, str],
    rois: dict[str, list[str]],
    level: float,
    confidence: float,
    space: str,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    compared = read_table(table, columns=COMPARISON_COLUMNS)
    as_released = read_table(released, columns=RELEASED_COLUMNS) if released else None
    figure = draw_comparisons(
        compared,
        as_released,
        labels=labels,
        rois=[roi for names in rois.values() for roi in names],
        level=level,
        confidence=confidence,
        space=space,
        source=source,
    )
    save_figure(figure, pdf, png)
    write_table(plotted_numbers(compared, as_released), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            table=snakemake.input.table,
            released=next(iter(snakemake.input.released), None),
            labels=dict(snakemake.params.labels),
            rois=dict(snakemake.params.rois),
            level=snakemake.params.level,
            confidence=snakemake.params.confidence,
            space=snakemake.params.space,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
