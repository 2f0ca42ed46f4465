"""Compare models in every region, in the families of tests that the config declares."""

from capcortex.arrays import open_array
from capcortex.inference.comparisons import Family, compare_models
from capcortex.inference.pairs import choose_scores
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table


def main(
    *,
    scores: list[str],
    all_pairs: list[str],
    bootstrap: str,
    families: dict[str, dict],
    confidence: float,
    table: str,
) -> None:
    of_sets, over_all_pairs = (
        [read_table(path, columns=SCORE_COLUMNS) for path in paths] for paths in (scores, all_pairs)
    )
    with open_array(bootstrap, variables=["score", "model", "roi"]) as file:
        of_bootstrap = file.load()
    compared = compare_models(
        choose_scores(of_sets, over_all_pairs),
        of_bootstrap,
        {name: Family(**family) for name, family in families.items()},
        confidence,
    )
    write_table(compared, table)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scores=list(snakemake.input.scores),
            all_pairs=list(snakemake.input.all_pairs),
            bootstrap=snakemake.input.bootstrap,
            families=dict(snakemake.params.families),
            confidence=snakemake.params.confidence,
            table=snakemake.output.table,
        )
