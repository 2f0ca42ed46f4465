"""Draw the disjoint image sets of one subject."""

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS
from capcortex.nsd.image_sets import draw_own_sets
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        table = draw_own_sets(
            read_table(snakemake.input.trials, columns=TRIAL_COLUMNS),
            n_sets=snakemake.params.n_sets,
            size=snakemake.params.image_set_size,
            seed=snakemake.params.seed,
        )
        write_table(table, snakemake.output.image_sets)
