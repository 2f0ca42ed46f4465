"""What the fetching rules do: one file by its place in NSD's folders, from where the table of sources says, under its terms."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from capcortex.fetch.client import TABLE, Client, NotThere, RangeFile, Unreachable
from capcortex.fetch.download import download
from capcortex.fetch.sources import TERMS, TERMS_NOT_ACCEPTED, Sources, read_sources

ADVICE = {
    403: "NSD's makers may hold this file back, as they once did with each subject's last three sessions (the column sessions of "
    f"the subjects table leaves those out), or have changed their terms: see {TERMS}",
    404: f"the file may have moved: compare {TABLE} with NSD's data manual",
}
"""What a refusal of NSD's bucket can mean."""


@contextmanager
def open_remote(key: str, sources: Sources, client: Client) -> Iterator[io.BufferedIOBase]:
    """Open a file where it is published, to read parts of it: at its address or, if that cannot be reached, its mirror."""
    urls = sources.of(key).urls(key)
    for url in urls:
        try:
            remote = client.describe(url)
            break
        except (Unreachable, NotThere):
            if url == urls[-1]:
                raise
    with io.BufferedReader(RangeFile(client, remote)) as part:
        yield part


def fetch_file(
    key: str, output: Path, *, table: Path, folder: Path, terms_accepted: bool, keep: bool = False
) -> dict[str, Any]:
    """Fetch one file.

    Parameters
    ----------
    key
        Its path in NSD's folders.
    output
        Where it goes, whole and checked or not at all.
    table
        The table of sources.
    folder
        Keeps unfinished downloads, which are resumed, and what each file was when it was first seen.
    terms_accepted
        Whether the user has accepted NSD's terms.
    keep
        Whether the file keeps a second name in ``folder``: Snakemake removes an output before the job that makes it runs.

    Returns
    -------
    dict
        The record of the file: where it came from, size, ETag, SHA-256.

    Raises
    ------
    PermissionError
        If the file is under NSD's terms and these are not accepted; nothing is asked of any server before.
    ValueError, OSError
        As from `read_sources`, `Client` and `download`.
    """
    sources = read_sources(table)
    source = sources.of(key)
    if source.terms.lower() == "nsd" and not terms_accepted:
        raise PermissionError(f"{key}: {TERMS_NOT_ACCEPTED}")
    with Client(sources.hosts, advice=ADVICE) as client:
        return download(
            source.urls(key),
            output,
            client=client,
            unfinished=folder / "unfinished",
            records=folder / "records",
            size=source.bytes,
            md5=source.md5,
            kept=folder / "kept" / key if keep else None,
        )
