"""Count how often tests err, intervals cover and effects are found in simulated studies."""

import pandas as pd

from capcortex.files import atomic_path
from capcortex.inference.calibration import BLOCK_COLUMNS, rates_as_markdown, tabulate_rates
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        blocks = [read_table(path, columns=BLOCK_COLUMNS) for path in snakemake.input.blocks]
        rates = tabulate_rates(pd.concat(blocks, ignore_index=True))
        write_table(rates, snakemake.output.table)
        with atomic_path(snakemake.output.markdown) as temporary:
            temporary.write_text(rates_as_markdown(rates), encoding="utf-8")
