"""The table of sources (``config/datasets.tsv``): for each file where it is published, how large it is, and under which terms.

Nothing is fetched that is not in the table, and from no host that it does not name.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from capcortex.tables import read_table

SOURCE_COLUMNS = ["source", "files", "address", "mirror", "bytes", "md5", "about_mb", "terms", "needed_for"]
FIELD = re.compile(r"\{\w+\}")
TERMS = "naturalscenesdataset.org"
TERMS_NOT_ACCEPTED = (
    f"NSD's terms are not accepted, so nothing is fetched: read them and fill in its data access form ({TERMS}), "
    "then set config key bucket: nsd_terms_accepted to true (docs/real-nsd.md)"
)


@dataclass(frozen=True)
class Source:
    """A row of the table.

    Attributes
    ----------
    name
        Of the row.
    files
        What the row is for, with ``{...}`` for parts of names.
    addresses
        Where the files are: the address, then the mirror if there is one; ``{key}`` stands for a file's path.
    bytes, md5
        Of the file; None where they are not published.
    about_mb
        Size of one file in MB, for planning.
    terms
        ``nsd`` for the terms and conditions of NSD, or a licence.
    needed_for
        What does not go without the files.
    """

    name: str
    files: str
    addresses: tuple[str, ...]
    bytes: int | None
    md5: str | None
    about_mb: float
    terms: str
    needed_for: str

    def has(self, key: str) -> bool:
        """Whether a file is one of this row's."""
        parts = (re.escape(part) for part in FIELD.split(self.files))
        return re.fullmatch("[^/]+".join(parts), key) is not None

    def urls(self, key: str) -> list[str]:
        """Where a file is published: the address, then the mirror."""
        return [address.replace("{key}", key) for address in self.addresses]


@dataclass(frozen=True)
class Sources:
    """The table of sources.

    Attributes
    ----------
    path
        Of the table.
    rows
        Its rows.
    """

    path: str
    rows: tuple[Source, ...]

    @property
    def hosts(self) -> frozenset[str]:
        """Every host of the table, with its port if one is given: the only ones that may be asked."""
        return frozenset(urlsplit(address).netloc for row in self.rows for address in row.addresses)

    def of(self, key: str) -> Source:
        """Return the row of a file, given by its path in NSD's folders.

        Raises
        ------
        ValueError
            If the file is in no row, or in several.
        """
        rows = [row for row in self.rows if row.has(key)]
        if len(rows) != 1:
            found = f"{len(rows)} rows ({', '.join(row.name for row in rows)})" if rows else "no row"
            raise ValueError(
                f"{self.path}: {key} is in {found} of the table of sources, expected in one: what is fetched, and from "
                "where, stands there; leave one row for each file, or read your own copy of NSD (source: local)"
            )
        return rows[0]


def read_sources(path: str | Path) -> Sources:
    """Read the table of sources.

    Raises
    ------
    ValueError
        If the table is damaged or a row is not what it should be; a line for each mistake.
    """
    table = read_table(path, columns=SOURCE_COLUMNS, text=["md5"])
    mistakes = list(source_mistakes(table, str(path)))
    if mistakes:
        raise ValueError("\n".join(mistakes))
    rows = (
        Source(
            name=str(row["source"]),
            files=row["files"],
            addresses=tuple(row[column] for column in ("address", "mirror") if not pd.isna(row[column])),
            bytes=None if pd.isna(row["bytes"]) else int(row["bytes"]),
            md5=None if pd.isna(row["md5"]) else str(row["md5"]),
            about_mb=float(row["about_mb"]),
            terms=row["terms"],
            needed_for=row["needed_for"],
        )
        for row in table.to_dict("records")
    )
    return Sources(str(path), tuple(rows))


def source_mistakes(table: pd.DataFrame, path: str) -> Iterator[str]:
    """Find what is wrong in a table of sources, in words that name table, row, column, value and what is allowed."""
    for row in table.to_dict("records"):
        for column, expected in _mistakes_of_source(row):
            found = "nothing" if pd.isna(row[column]) else repr(row[column])
            yield f"{path}: source {row['source']!r}: {column}: found {found}, expected {expected}"


def _mistakes_of_source(row: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Columns of a row that are wrong, each with what is expected."""
    files = row["files"]
    parts = [] if pd.isna(files) else str(files).split("/")
    if not parts or any(part in ("", ".", "..") for part in parts):
        yield "files", "a path in NSD's folders"
    for column in ("address", "mirror"):
        if pd.isna(row[column]):
            if column == "address":
                yield column, "an address that begins with https:// or http://"
            continue
        address = urlsplit(str(row[column]))
        if address.scheme not in ("http", "https") or not address.hostname or "@" in address.netloc:
            yield column, "an address that begins with https:// or http://, without a user's name"
        elif "{key}" not in address.path and FIELD.search(str(files)):
            yield column, "an address with {key}, because the row is for several files"
    if not (pd.isna(row["bytes"]) or _is_number(row["bytes"], whole=True)):
        yield "bytes", "a whole number above 0, or nothing"
    if not (pd.isna(row["md5"]) or re.fullmatch(r"[0-9a-f]{32}", str(row["md5"]))):
        yield "md5", "32 hexadecimal digits, or nothing"
    if not _is_number(row["about_mb"]):
        yield "about_mb", "a number above 0, in MB"
    for column in ("source", "terms", "needed_for"):
        if pd.isna(row[column]):
            yield column, "some words"


def _is_number(value: Any, *, whole: bool = False) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return 0 < number < math.inf and (number.is_integer() or not whole)
