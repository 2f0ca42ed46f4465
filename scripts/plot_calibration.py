"""Draw error rates, coverage and power of the study's tests in simulated studies, and list the numbers in the figure."""

from capcortex.figures.calibration import NUMBERS, draw_calibration, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        numbers = plotted_numbers(read_table(snakemake.input.table, columns=NUMBERS[1:]))
        save_figure(draw_calibration(numbers), snakemake.output.pdf, snakemake.output.png)
        write_table(numbers, snakemake.output.tsv)
