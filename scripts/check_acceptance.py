"""Check the facts of one subject before any of its betas is fetched, and stop at the first that does not hold."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capcortex.fetch.client import Client, RangeFile
from capcortex.fetch.sources import read_sources
from capcortex.jobs import job
from capcortex.nsd.acceptance import check_facts
from capcortex.tables import write_table


def main(
    *,
    subject: str,
    betas_version: str,
    facts: list[str],
    files: dict[str, Path],
    datasets: str,
    output: str,
) -> None:
    sources = read_sources(datasets)
    with Client(sources.hosts) as client:

        @contextmanager
        def open_part(key: str) -> Iterator[io.BufferedReader]:
            with io.BufferedReader(RangeFile(client, client.describe(sources.urls(key)[0]))) as part:
                yield part

        found = check_facts(
            facts,
            subject,
            betas_version,
            files=files,
            open_part=open_part,
            table="the acceptance table (config key acceptance_table)",
        )
    write_table(found, output)


if __name__ == "__main__":
    with job(snakemake):
        main(
            subject=snakemake.wildcards.subject,
            betas_version=snakemake.params.betas_version,
            facts=list(snakemake.params.facts),
            files=dict(zip(snakemake.params.keys, map(Path, snakemake.input.files), strict=True)),
            datasets=snakemake.params.datasets,
            output=snakemake.output.found,
        )
