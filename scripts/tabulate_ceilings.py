"""Mean over subjects of every kind of noise ceiling in every region, with intervals."""

from capcortex.inference.ceilings import CEILING_COLUMNS, summarise_ceilings
from capcortex.jobs import job
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        registry = read_table(snakemake.input.ceilings, columns=CEILING_COLUMNS)
        write_table(summarise_ceilings(registry, snakemake.params.confidence), snakemake.output.table)
