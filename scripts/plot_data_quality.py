"""Draw the figure of data quality, and list the numbers in it."""

from capcortex.figures.quality import draw_quality, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        quality = read_table(snakemake.input.table, columns=["subject", "trials", "images_used"])
        ncsnr = read_table(snakemake.input.ncsnr, columns=["subject", "space", "ncsnr_from", "ncsnr_to", "share"])
        numbers = plotted_numbers(quality, ncsnr)
        save_figure(draw_quality(numbers, snakemake.params.source), snakemake.output.pdf, snakemake.output.png)
        write_table(numbers, snakemake.output.tsv)
