"""Draw the multiverse as a specification curve, and list the numbers in it."""

from capcortex.figures.multiverse import draw_multiverse, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.inference.multiverse import AXIS_COLUMNS, MULTIVERSE_COLUMNS
from capcortex.jobs import job
from capcortex.rsa.multiverse import AXES
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        table = read_table(snakemake.input.table, columns=MULTIVERSE_COLUMNS, text=AXES)
        axes = read_table(snakemake.input.axes, columns=AXIS_COLUMNS, text=["levels"])
        figure = draw_multiverse(
            table,
            axes,
            labels=dict(snakemake.params.labels),
            confidence=snakemake.params.confidence,
            source=snakemake.params.source,
        )
        save_figure(figure, snakemake.output.pdf, snakemake.output.png)
        write_table(plotted_numbers(table, axes), snakemake.output.tsv)
