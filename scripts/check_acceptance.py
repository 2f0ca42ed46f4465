"""Check the facts of one subject before any of its betas is fetched, and stop at the first that does not hold."""

from pathlib import Path

from capcortex.fetch.client import Client
from capcortex.fetch.fetching import ADVICE, open_remote
from capcortex.fetch.sources import TERMS_NOT_ACCEPTED, read_sources
from capcortex.jobs import job
from capcortex.nsd.acceptance import check_facts
from capcortex.tables import write_table


def main(
    *,
    subject: str,
    betas_version: str,
    facts: list[str],
    files: dict[str, Path],
    datasets: Path,
    terms_accepted: bool,
    output: str,
) -> None:
    if not terms_accepted:
        raise PermissionError(TERMS_NOT_ACCEPTED)
    sources = read_sources(datasets)
    with Client(sources.hosts, advice=ADVICE) as client:
        found = check_facts(
            facts,
            subject,
            betas_version,
            files=files,
            open_part=lambda key: open_remote(key, sources, client),
            table="the acceptance table (config key acceptance_table)",
        )
    write_table(found, output)


if __name__ == "__main__":
    with job(snakemake):
        main(
            subject=snakemake.wildcards.subject,
            betas_version=snakemake.params.betas_version,
            facts=list(snakemake.params.facts),
            files=dict(zip(snakemake.params.nsd_keys, map(Path, snakemake.input.files), strict=True)),
            datasets=Path(snakemake.scriptdir).parent / snakemake.config["datasets_table"],
            terms_accepted=snakemake.config["bucket"]["nsd_terms_accepted"],
            output=snakemake.output.found,
        )
