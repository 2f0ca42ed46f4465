"""Draw a figure of models and regions, and list the numbers in it."""

from capcortex.figures.roi import CONTRAST_COLUMNS, contrasts_with_first, draw_roi_rsa, plotted_numbers
from capcortex.figures.style import save_figure
from capcortex.inference.group import is_shared
from capcortex.inference.pairs import choose_scores
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table


def main(
    *,
    table: str,
    comparisons: str | None,
    scores: list[str],
    all_pairs: list[str],
    labels: dict[str, str],
    rois: dict[str, list[str]],
    false_discovery_rate: float,
    confidence: float,
    n_subjects: int,
    space: str,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    group = read_table(
        table,
        columns=[
            *("model", "roi", "n_subjects", "pairs", "measure", "r"),
            *("p_adjusted", "test_left_out", "ceiling_lower", "ratio_to_lower"),
        ],
    )
    group = group[group["model"].isin(labels)]
    contrasts = None
    if comparisons is not None:
        contrasts = contrasts_with_first(read_table(comparisons, columns=CONTRAST_COLUMNS), list(labels))
    of_sets, over_all_pairs = (
        [read_table(path, columns=SCORE_COLUMNS) for path in paths] for paths in (scores, all_pairs)
    )
    chosen = choose_scores(of_sets, over_all_pairs)
    own = chosen[~is_shared(chosen["image_set"]) & chosen["model"].isin(labels)]
    subject_means = own.groupby(["model", "roi", "subject"], sort=False)["r"].mean().reset_index()
    figure = draw_roi_rsa(
        group,
        subject_means,
        labels=labels,
        rois=[roi for names in rois.values() for roi in names],
        false_discovery_rate=false_discovery_rate,
        confidence=confidence,
        n_subjects=n_subjects,
        space=space,
        source=source,
        contrasts=contrasts,
    )
    save_figure(figure, pdf, png)
    write_table(plotted_numbers(group, subject_means, labels, contrasts), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            table=snakemake.input.table,
            comparisons=snakemake.input.get("comparisons") or None,
            scores=list(snakemake.input.scores),
            all_pairs=list(snakemake.input.all_pairs),
            labels=dict(snakemake.params.labels),
            rois=dict(snakemake.params.rois),
            false_discovery_rate=snakemake.params.false_discovery_rate,
            confidence=snakemake.params.confidence,
            n_subjects=snakemake.params.n_subjects,
            space=snakemake.params.space,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
