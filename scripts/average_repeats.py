"""Average the three showings of each image."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.betas import average_repeats

if __name__ == "__main__":
    with job(snakemake):
        average_repeats(
            [Path(path) for path in snakemake.input.sessions],
            Path(snakemake.output.betas),
            subject=snakemake.wildcards.subject,
            incomplete_data=snakemake.params.incomplete_data,
        )
