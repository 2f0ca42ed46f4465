"""Join the permutation tests of all models into one family, and correct them together."""

from capcortex.inference.permutation import PERMUTATION_COLUMNS, tabulate_permutations
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        tables = [read_table(path, columns=PERMUTATION_COLUMNS) for path in snakemake.input.permutations]
        write_table(tabulate_permutations(tables), snakemake.output.table)
