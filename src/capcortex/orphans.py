"""``python -m capcortex.orphans``: end the jobs that a killed Snakemake left running in this folder.

The first half of `make unlock`; the second is Snakemake's own ``--unlock``. Snakemake's lock keeps two runs from making the same
files. When Snakemake is killed the lock stays, and so do its jobs, which go on writing: removing the lock alone would put a
second writer beside them.
"""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MOST_OPTIONS = 10
PATIENCE_S = 20
"""How long a job may take to remove what it has half written, before it is killed."""


def running_snakemakes(folder: str | Path) -> list[psutil.Process]:
    """Return the processes of Snakemake itself that run in a folder of this machine."""
    here = Path(folder).resolve()
    return [process for process in _others() if _is_snakemake(process) and _folder_of(process) == here]


def running_jobs(folder: str | Path) -> list[psutil.Process]:
    """Return the jobs of a folder that run on this machine, with the processes that they started.

    Snakemake has Python run a script from a copy in ``.snakemake/scripts`` of the folder; that path tells its jobs from those of
    other folders, and from programs that only look at the copy.
    """
    scripts = Path(folder).resolve() / ".snakemake/scripts"
    jobs = [process for process in _others() if _script_of(process).parent == scripts]
    started = [child for job in jobs for child in _children(job)]
    return list({process.pid: process for process in [*jobs, *started]}.values())


def end(processes: Iterable[psutil.Process], patience_s: float = PATIENCE_S) -> None:
    """End processes: ask them first, so that they remove what they have half written, then kill those that do not listen.

    Raises
    ------
    RuntimeError
        Naming the processes that still run, for example those of another user.
    """
    left = list(processes)
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.Error):
                send(process)
        deadline = time.monotonic() + patience_s
        while (left := [process for process in left if _runs(process)]) and time.monotonic() < deadline:
            time.sleep(0.05)
    if left:
        owners = ", ".join(f"{process.pid} of {process.username()}" for process in left)
        raise RuntimeError(
            f"jobs of this folder do not end (process {owners}): end them, then try again; the lock is still there"
        )


def main(folder: Path) -> str:
    """End the jobs that a killed Snakemake left in a folder, and say so in a sentence.

    Raises
    ------
    RuntimeError
        If Snakemake itself runs in the folder: its jobs are no orphans; or if a job does not end.
    """
    alive = running_snakemakes(folder)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise RuntimeError(
            f"Snakemake is running in {folder.resolve()} (process {numbers}): there is nothing to unlock. Wait for it, or stop "
            "it with Ctrl-C, or kill it and try again"
        )
    jobs = running_jobs(folder)
    end(jobs)
    if not jobs:
        return "No job was left running."
    return f"Ended what a killed Snakemake had left running: process {', '.join(str(job.pid) for job in jobs)}."


def _others() -> list[psutil.Process]:
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended, or belongs to somebody else on a system that does not show it
        return []


def _runs(process: psutil.Process) -> bool:
    try:
        # A zombie has ended; its entry stays where no parent asks for its status.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _folder_of(process: psutil.Process) -> Path | None:
    try:
        return Path(process.cwd())
    except (psutil.Error, OSError):
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _script_of(process: psutil.Process) -> Path:
    """Return the script that Python runs in a process; the path of nothing if it is another program."""
    program, *words = _command(process) or [""]
    return Path(words[0]) if words and Path(program).name.startswith("python") else Path()


def _is_snakemake(process: psutil.Process) -> bool:
    # Started by its own name, or by Python as a program or module, with options of Python's before it.
    program, *words = _command(process)[:MOST_OPTIONS] or [""]
    name = Path(program).name
    return name == "snakemake" or (name.startswith("python") and any(Path(word).name == "snakemake" for word in words))


if __name__ == "__main__":
    try:
        print(main(Path.cwd()))
    except RuntimeError as error:
        sys.exit(str(error))
