"""The headline in every universe, and how much it depends on each choice."""

import pandas as pd

from capcortex.inference.multiverse import tabulate_axes, tabulate_multiverse
from capcortex.jobs import job
from capcortex.rsa.multiverse import AXES, UNIVERSE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        scores = [read_table(path, columns=UNIVERSE_COLUMNS, text=AXES) for path in snakemake.input.scores]
        table = tabulate_multiverse(
            pd.concat(scores, ignore_index=True), dict(snakemake.params.own), snakemake.params.confidence
        )
        write_table(table, snakemake.output.table)
        write_table(tabulate_axes(table), snakemake.output.axes)
