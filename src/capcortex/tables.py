"""Tables: text files with a header, read strictly and written as TSV, whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from capcortex.files import atomic_path, remedy


def read_table(
    path: str | Path, *, columns: list[str], separator: str = "\t", text: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a table with a header that must have certain columns.

    Parameters
    ----------
    path
        The file. ``#`` starts a comment line before the header; an empty cell and ``n/a`` are missing values.
    columns
        Names that must be among the header's; further columns are kept.
    separator
        What stands between cells.
    text
        Names of columns that are kept as they are written, numbers too.

    Raises
    ------
    ValueError
        Naming the file, and the missing columns or why it is no table.
    """
    expected = f"expected columns {', '.join(columns)}"
    try:
        with Path(path).open(encoding="utf-8") as handle:
            comments = 0
            while handle.readline().startswith("#"):
                comments += 1
        table = pd.read_csv(
            path,
            sep=separator,
            skiprows=comments,
            na_values=["", "n/a"],
            keep_default_na=False,
            dtype=dict.fromkeys(text, str),
        )
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: an empty file; {expected}; {remedy(path)}") from error
    except ValueError as error:
        raise ValueError(
            f"{path}: not a readable table ({' '.join(str(error).split())}); {expected}; {remedy(path)}"
        ) from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise ValueError(f"{path}: column(s) {', '.join(missing)} missing; found {found}; {remedy(path)}")
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV with ``n/a`` for missing values and nine significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", float_format="%.9g", lineterminator="\n")
