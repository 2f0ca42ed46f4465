"""Tables: TSV files with a header, read strictly and written whole or not at all."""

from pathlib import Path

import pandas as pd

from capcortex.files import atomic_path


def read_table(path: str | Path, *, columns: list[str]) -> pd.DataFrame:
    """Read a TSV table that must have certain columns.

    Parameters
    ----------
    path
        The file. ``#`` starts a comment line; an empty cell and ``n/a`` are missing values.
    columns
        Names that must be among the header's; further columns are kept.

    Raises
    ------
    ValueError
        Naming the file and the missing columns.
    """
    with Path(path).open(encoding="utf-8") as handle:
        comments = 0
        while handle.readline().startswith("#"):
            comments += 1
    try:
        table = pd.read_csv(path, sep="\t", skiprows=comments, na_values=["", "n/a"], keep_default_na=False)
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: an empty file; expected columns {', '.join(columns)}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(map(str, table.columns))}")
    return table


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV with ``n/a`` for missing values and nine significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, na_rep="n/a", float_format="%.9g", lineterminator="\n")
