"""Compare every model of a figure with every other one, and draw the P values."""

from capcortex.arrays import open_array
from capcortex.figures.pairwise import draw_pairwise
from capcortex.figures.style import save_figure
from capcortex.inference.pairs import choose_scores
from capcortex.inference.pairwise import compare_pairwise
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table


def main(
    *,
    scores: list[str],
    all_pairs: list[str],
    bootstrap: str,
    title: str,
    labels: dict[str, str],
    rois: dict[str, list[str]],
    confidence: float,
    false_discovery_rate: float,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    of_sets, over_all_pairs = (
        [read_table(path, columns=SCORE_COLUMNS) for path in paths] for paths in (scores, all_pairs)
    )
    with open_array(bootstrap, variables=["score", "model", "roi"]) as file:
        of_bootstrap = file.load()
    table = compare_pairwise(choose_scores(of_sets, over_all_pairs), of_bootstrap, list(labels), confidence)
    figure = draw_pairwise(
        table,
        title=title,
        labels=labels,
        rois=[roi for names in rois.values() for roi in names],
        false_discovery_rate=false_discovery_rate,
        source=source,
    )
    save_figure(figure, pdf, png)
    write_table(table, tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scores=list(snakemake.input.scores),
            all_pairs=list(snakemake.input.all_pairs),
            bootstrap=snakemake.input.bootstrap,
            title=snakemake.params.title,
            labels=dict(snakemake.params.labels),
            rois=dict(snakemake.params.rois),
            confidence=snakemake.params.confidence,
            false_discovery_rate=snakemake.params.false_discovery_rate,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
