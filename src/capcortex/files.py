"""Whole or absent: how every output of the study is written, and what a message about a damaged file advises."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL = ".partial-"
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
    return "the study did not make this file: correct it, or get it again from where it came"


def remove_partial_files() -> list[Path]:
    """Remove what killed jobs left half-written in the folder that the study runs in, and return it.

    Only for when no other Snakemake runs there. A job that a killed Snakemake left behind loses its half-written file and fails
    when it wants to move it, instead of writing beside the job that replaces it.
    """
    left = [path for folder in MADE_IN for path in sorted(Path(folder).rglob(f"{PARTIAL}*")) if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return left


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

    Raises
    ------
    OSError
        If there is no space or no permission to write the file: which file, and what to do.
    """
    final = Path(path)
    temporary = final.with_name(f"{PARTIAL}{os.getpid()}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(final)
    except Exception as error:
        explained = _explained(error, final, temporary)
        if explained is None:
            raise
        raise explained from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _explained(error: Exception, final: Path, temporary: Path) -> OSError | None:
    """Say what a full disk, or a folder that may not be written to, means for a file; None for any other error."""
    # HDF5 tells the reason in its text alone, and numpy that it wrote less than it should; the file that is written is the
    # only one that can lack space.
    cut_short = isinstance(error, OSError) and re.search(r"\d+ requested and \d+ written", str(error))
    for number in (errno.ENOSPC, errno.EDQUOT):
        words = os.strerror(number)
        if getattr(error, "errno", None) == number or words in str(error) or cut_short:
            folder = next(parent for parent in final.absolute().parents if parent.exists())
            usage = shutil.disk_usage(folder)
            return OSError(
                number,
                f"{words} to write {final}: {usage.free / 2**20:.1f} of {usage.total / 2**20:.1f} MB are free in {folder}; "
                "make space there, then run snakemake again",
            )
    forbidden = isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS
    named = getattr(error, "filename", None)
    if forbidden and named is not None and (Path(named) == temporary or Path(named) in final.parents):
        return OSError(
            getattr(error, "errno", None),
            f"{final} cannot be written ({getattr(error, 'strerror', error)}): give yourself permission to write to "
            f"{final.parent.absolute()}, or run the study in a folder of your own, then run snakemake again",
        )
    return None
