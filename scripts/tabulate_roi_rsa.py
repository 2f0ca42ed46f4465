"""Group results of every model and region."""

from capcortex.inference.group import CEILING_COLUMNS, leave_out_zero, tabulate_group
from capcortex.inference.pairs import choose_scores
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        of_sets, over_all_pairs = (
            [read_table(path, columns=SCORE_COLUMNS) for path in paths]
            for paths in (snakemake.input.scores, snakemake.input.all_pairs)
        )
        ceilings = read_table(snakemake.input.ceilings, columns=CEILING_COLUMNS)
        group = tabulate_group(choose_scores(of_sets, over_all_pairs), ceilings, snakemake.params.confidence)
        write_table(leave_out_zero(group, snakemake.params.distance), snakemake.output.table)
