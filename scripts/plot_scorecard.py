"""Draw the scorecard, and list what is drawn."""

from capcortex.claims import SCORE_COLUMNS
from capcortex.figures.scorecard import draw_scorecard, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.tables import read_table, write_table


def main(*, scorecard: str, n_subjects: int, source: str, pdf: str, png: str, tsv: str) -> None:
    table = read_table(scorecard, columns=SCORE_COLUMNS)
    save_figure(draw_scorecard(table, n_subjects=n_subjects, source=source), pdf, png)
    write_table(plotted_numbers(table, source), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scorecard=snakemake.input.scorecard,
            n_subjects=snakemake.params.n_subjects,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
