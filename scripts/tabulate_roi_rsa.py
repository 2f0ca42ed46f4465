"""Group results of every model and region."""

import pandas as pd

from capcortex.inference.group import CEILING_COLUMNS, tabulate_group
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        scores = [read_table(path, columns=SCORE_COLUMNS) for path in snakemake.input.scores]
        ceilings = read_table(snakemake.input.ceilings, columns=CEILING_COLUMNS)
        write_table(
            tabulate_group(pd.concat(scores, ignore_index=True), ceilings, snakemake.params.confidence),
            snakemake.output.table,
        )
