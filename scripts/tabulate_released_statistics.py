"""Statistics of the released code, beside paired tests of the same numbers."""

import pandas as pd

from capcortex.inference.ceilings import CEILING_COLUMNS
from capcortex.inference.released import tabulate_released_statistics
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        scores = pd.concat(
            [read_table(path, columns=SCORE_COLUMNS) for path in snakemake.input.scores], ignore_index=True
        )
        ceilings = read_table(snakemake.input.ceilings, columns=CEILING_COLUMNS)
        write_table(tabulate_released_statistics(scores, ceilings, snakemake.params.confidence), snakemake.output.table)
