"""Lay r over all pairs of every model, region and subject beside the mean over image sets."""

from capcortex.inference.pairs import compare_pairs
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        of_sets, over_all_pairs = (
            [read_table(path, columns=SCORE_COLUMNS) for path in paths]
            for paths in (snakemake.input.scores, snakemake.input.all_pairs)
        )
        write_table(compare_pairs(of_sets, over_all_pairs), snakemake.output.table)
