"""Count how often tests err, intervals cover and effects are found in simulated studies."""

import pandas as pd

from capcortex.inference.calibration import BLOCK_COLUMNS, tabulate_rates
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        blocks = [read_table(path, columns=BLOCK_COLUMNS) for path in snakemake.input.blocks]
        write_table(tabulate_rates(pd.concat(blocks, ignore_index=True)), snakemake.output.table)
