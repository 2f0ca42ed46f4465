"""Whole or absent: how every output of the study is written, and what a message about a damaged file advises."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MADE_IN = ("results", "resources")
"""Folders in which the study makes files; everything else belongs to somebody else and is only read."""


def remedy(path: str | Path) -> str:
    """Say in a few words how to get a file anew, to end a message about a file that is damaged or holds the wrong thing.

    A file in ``results`` or ``resources`` of the folder that the study runs in is made by a rule: removing it is enough for
    Snakemake to make it again. Any other file is the user's.
    """
    # A link in results is the study's, wherever it leads: it is not resolved.
    if any((Path.cwd() / path).is_relative_to(Path.cwd() / folder) for folder in MADE_IN):
        return f"make it anew: rm '{path}', then run snakemake again"
    return "the study did not make this file: get it again from where it came"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it there when the block ends well, remove it when it does not.

    The temporary name keeps all suffixes of the final one, because writers (nibabel, matplotlib) choose the format
    by suffix, and lies in the same folder, because a move is atomic only within one file system.

    Parameters
    ----------
    path
        Final name of the file. Its folder is made if it does not exist.

    Yields
    ------
    Path
        The name to write to.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".partial-{os.getpid()}-{final.name}")
    try:
        yield temporary
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
