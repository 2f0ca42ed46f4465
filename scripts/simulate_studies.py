"""Simulate a block of studies of one scenario, and apply the tests of the study to them."""

from capcortex.inference.calibration import simulate_studies
from capcortex.jobs import job
from capcortex.tables import write_table

if __name__ == "__main__":
    with job(snakemake):
        params = snakemake.params
        write_table(simulate_studies(params.scenario, **params.studies, seed=params.seed), snakemake.output.block)
