"""Whole or absent: every output of the study is written through the one function of this module."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
