"""Draw the disjoint sets of images that all subjects saw three times, and list all such images."""

import pandas as pd

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS
from capcortex.nsd.image_sets import all_shared_images, draw_shared_sets
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        trials = pd.concat([read_table(path, columns=TRIAL_COLUMNS) for path in snakemake.input.trials])
        table = draw_shared_sets(
            trials,
            n_sets=snakemake.params.n_sets,
            size=snakemake.params.image_set_size,
            seed=snakemake.params.seed,
        )
        write_table(table, snakemake.output.image_sets)
        write_table(all_shared_images(trials), snakemake.output.all_shared)
