"""Average the three showings of each image, and keep the single ones of some images."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.betas import average_repeats
from capcortex.nsd.bookkeeping import read_experiment_design

if __name__ == "__main__":
    with job(snakemake):
        average_repeats(
            [Path(path) for path in snakemake.input.sessions],
            Path(snakemake.output.betas),
            repeats=Path(snakemake.output.repeats),
            repeats_of=(
                read_experiment_design(snakemake.input.design).shared if snakemake.params.repeats == "shared" else None
            ),
            subject=snakemake.wildcards.subject,
            incomplete_data=snakemake.params.incomplete_data,
        )
