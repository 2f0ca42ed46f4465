"""Draw the disjoint image sets: each subject's own, and those of images that all subjects saw three times."""

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS, tabulate_image_sets
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        trials = read_table(snakemake.input.trials, columns=TRIAL_COLUMNS)
        table = tabulate_image_sets(trials, snakemake.params.image_set_size, snakemake.params.seed)
        write_table(table, snakemake.output.image_sets)
