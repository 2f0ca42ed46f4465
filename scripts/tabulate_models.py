"""One row for each model: what it is, and what it lacks."""

from capcortex.jobs import job
from capcortex.tables import write_table
from capcortex.text.models import tabulate_models

if __name__ == "__main__":
    with job(snakemake):
        write_table(tabulate_models(snakemake.input.features, snakemake.params.labels), snakemake.output.table)
