"""Fetch one file of the raw betas of a session."""

from pathlib import Path

from capcortex.fetch.fetching import fetch_file
from capcortex.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        fetch_file(
            snakemake.params.key,
            Path(snakemake.output.file),
            table=Path(snakemake.scriptdir).parent / snakemake.config["datasets_table"],
            folder=Path(snakemake.params.folder),
            terms_accepted=snakemake.config["bucket"]["nsd_terms_accepted"],
            keep=snakemake.config["bucket"]["keep_raw"],
        )
