"""``python -m capcortex.orphans [--await]``: end the jobs that a killed Snakemake left, in this folder, here or on a cluster.

The first half of `make unlock`; the second is Snakemake's own ``--unlock``. Snakemake's lock keeps two runs from making the same
files. When Snakemake is killed the lock stays, and so do its jobs, which go on writing: removing the lock alone would put a
second writer beside them. Jobs in the queue of SLURM, which start when their turn comes, are cancelled, or awaited.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

JOB_NAME_PREFIX = "capcortex"
"""What the names of jobs in SLURM's queue begin with, before ``_`` and a number of the run: ``slurm-jobname-prefix`` in
profiles/slurm/profile.yaml."""
QUEUE_PATIENCE_S = 300
"""How long a cancelled job may take to leave the queue: SLURM gives it half a minute to end, sites may give more and clean up."""
LONGEST_PAUSE_S = 30
"""Between two looks at the queue, which all users share."""
TELL_EACH_S = 60
PARTS = ("%i", "%T", "%j", "%Z")
"""What squeue is asked of a job: its number, state, name, and working directory."""
NO_CLUSTER = "Could not establish a configuration source"
"""What SLURM's programs say on a machine that belongs to no cluster."""
SUBMITTER = ".snakemake/submitter"
"""Where the name of the machine stands whose Snakemake submits a folder's jobs to a cluster; Snakemake's own notes do not say."""
IF_NOTHING_IS_LEFT = f"If nothing of it is left for sure: rm {SUBMITTER}"
INSIDE_A_JOB = "--mode"
"""The option by which Snakemake tells itself that it runs inside a job, where it makes what another Snakemake asks for."""
ONLY_LOOKING = frozenset(
    (
        "-n",
        "--dry-run",
        "--dryrun",
        "-S",
        "--summary",
        "-D",
        "--detailed-summary",
        "--lint",
        "--report",
        "--dag",
        "--rulegraph",
    )
)
"""Options of a Snakemake that makes nothing."""
MOST_OPTIONS = 10
PATIENCE_S = 20
"""How long a job may take to remove what it has half written, before it is killed."""


def running_snakemakes(folder: str | Path) -> list[psutil.Process]:
    """Return the processes of Snakemake itself that make something in a folder of this machine."""
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


def running_submissions(folder: str | Path) -> list[psutil.Process]:
    """Return the processes that hand jobs of a folder to SLURM: where it is slow they outlive a Snakemake that is killed."""
    here = Path(folder).resolve()
    return [process for process in _others() if _program(process) == "sbatch" and _folder_of(process) == here]


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
        raise RuntimeError(f"jobs of this folder do not end (process {owners}): end them, then try again")


@dataclass(frozen=True)
class QueuedJob:
    """A job in SLURM's queue, by its number (``7_2`` in an array), and what SLURM calls its state."""

    number: str
    state: str


def note_submitter(folder: str | Path) -> None:
    """Note that a Snakemake of this machine submits jobs of a folder to a cluster, until `forget_submitter`."""
    path = Path(folder) / SUBMITTER
    path.parent.mkdir(exist_ok=True)
    path.write_text(socket.gethostname(), encoding="utf-8")


def forget_submitter(folder: str | Path) -> None:
    """Forget it, when no job is left."""
    (Path(folder) / SUBMITTER).unlink(missing_ok=True)


def submitter(folder: str | Path) -> str | None:
    """Return the name of the machine whose Snakemake submits jobs of a folder, or did until it was killed; None if none does."""
    path = Path(folder) / SUBMITTER
    return path.read_text(encoding="utf-8") if path.exists() else None


def queued_jobs(folder: str | Path) -> list[QueuedJob]:
    """Return the jobs of a folder that are in SLURM's queue: waiting, running or about to end.

    They are this user's, are named as the study's profile for SLURM has it, and work in the folder. Where there is no SLURM there
    are none.

    Raises
    ------
    RuntimeError
        If SLURM does not answer, or there is none and jobs of the folder were submitted.
    """
    if shutil.which("squeue") is None:
        return _none_without_slurm(folder)
    # Each job of an array, and partitions that are hidden. A path may hold anything: it comes last.
    done = _ask_slurm(
        "squeue", "--noheader", "--all", "--array", f"--user={os.getuid()}", f"--format={'|'.join(PARTS)}"
    )
    if done.returncode != 0 and NO_CLUSTER in done.stderr:
        return _none_without_slurm(folder)
    if done.returncode != 0:
        raise RuntimeError(
            f"squeue fails ({_last_line(done.stderr)}): it is not known whether jobs of this folder are in SLURM's queue. Try "
            "again when SLURM answers"
        )
    here = Path(folder).resolve()
    # A line break in what others named their job or folder makes lines of fewer parts.
    jobs = [parts for line in done.stdout.splitlines() if len(parts := line.split("|", len(PARTS) - 1)) == len(PARTS)]
    return [
        QueuedJob(number, state)
        for number, state, name, workdir in jobs
        if name.startswith(f"{JOB_NAME_PREFIX}_") and Path(workdir).resolve() == here
    ]


def require_no_queued_jobs(folder: str | Path) -> None:
    """Fail if an earlier run that submitted jobs of a folder has left some: they would write the files that a new run makes.

    A run that ends forgets that it submitted, once no job is left; one that is killed does not. Where none is left after all, and
    it ran on this machine, that is forgotten here: no Snakemake may run in the folder.

    Raises
    ------
    RuntimeError
        Naming the jobs, or if SLURM does not say.
    """
    name = submitter(folder)
    if name is None:
        return
    if jobs := queued_jobs(folder):
        where = "" if name == socket.gethostname() else f" on {name}, if no Snakemake runs there"
        raise RuntimeError(
            f"jobs of this folder that an earlier run has left are in SLURM's queue, and would write the same files: "
            f"{_listed(jobs)}. make unlock{where} (with AWAIT=yes those that have begun come to their end)"
        )
    if name == socket.gethostname():
        forget_submitter(folder)


def empty_queue(folder: str | Path, *, wait: bool = False, patience_s: float = QUEUE_PATIENCE_S) -> list[str]:
    """Cancel the jobs of a folder in SLURM's queue, and return their numbers when they have left it.

    Parameters
    ----------
    folder
        Where the study runs.
    wait
        Cancel only jobs that have not begun. Wait for the others as long as they take, and print now and then how many are left.
    patience_s
        Seconds that jobs may take to leave the queue when all are cancelled.

    Raises
    ------
    RuntimeError
        If SLURM does not answer, or naming the jobs that stay in the queue.
    """
    seen: dict[str, None] = {}
    deadline = time.monotonic() + patience_s
    tell_at = time.monotonic()
    pause_s = 0.5
    while jobs := queued_jobs(folder):
        seen |= dict.fromkeys(job.number for job in jobs)
        # Each time anew: SLURM puts a job of a node that failed back into the queue.
        unwanted = [job.number for job in jobs if job.state == "PENDING" or not (wait or job.state == "COMPLETING")]
        # One that has not begun may begin before it is cancelled.
        answer = _ask_slurm("scancel", *(["--state=PENDING"] if wait else []), *unwanted) if unwanted else None
        if wait and time.monotonic() >= tell_at:
            print(f"Waiting for jobs of this folder in SLURM's queue, {len(jobs)} left:", _listed(jobs), flush=True)
            tell_at += TELL_EACH_S
        if not wait and time.monotonic() >= deadline:
            said = f" (scancel: {_last_line(answer.stderr)})" if answer and answer.returncode else ""
            raise RuntimeError(
                f"jobs of this folder stay in SLURM's queue{said}: {_listed(jobs)}. End them, then try again"
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return list(seen)


def main(folder: Path, *, wait: bool = False) -> str:
    """End the jobs that a killed Snakemake left in a folder, and say so in a sentence.

    Parameters
    ----------
    folder
        Where the study runs.
    wait
        Let jobs that run on the cluster come to their end.

    Raises
    ------
    RuntimeError
        If Snakemake itself runs in the folder, or may run on another machine: its jobs are no orphans; if a job does not end;
        or if SLURM does not answer.
    """
    alive = running_snakemakes(folder)
    if alive:
        numbers = ", ".join(str(process.pid) for process in alive)
        raise RuntimeError(
            f"Snakemake is running in {folder.resolve()} (process {numbers}): there is nothing to unlock. Wait for it, or stop "
            "it with Ctrl-C, or kill it and try again"
        )
    name = submitter(folder)
    if name not in (None, socket.gethostname()):
        raise RuntimeError(
            f"jobs of this folder were submitted to a cluster from {name}, where Snakemake may still be running: try again "
            f"there. {IF_NOTHING_IS_LEFT}"
        )
    # First the cluster's: if some run on this machine, they may be waited for.
    end(running_submissions(folder))
    queued = empty_queue(folder, wait=wait)
    jobs = running_jobs(folder)
    end(jobs)
    forget_submitter(folder)
    said = []
    if queued:
        how = "Waited for those that had begun, and cancelled the others of" if wait else "Cancelled"
        said.append(f"{how} the jobs that a killed Snakemake had left in SLURM's queue: {', '.join(queued)}.")
    if jobs:
        said.append(
            f"Ended what a killed Snakemake had left running: process {', '.join(str(job.pid) for job in jobs)}."
        )
    return " ".join(said) or "No job was left running."


def _none_without_slurm(folder: str | Path) -> list[QueuedJob]:
    if name := submitter(folder):
        where = "load SLURM's module, or put squeue into PATH" if name == socket.gethostname() else "try again there"
        raise RuntimeError(
            f"jobs of this folder were submitted to a cluster from {name}, and there is no SLURM here to ask for them: {where}. "
            f"{IF_NOTHING_IS_LEFT}"
        )
    return []


def _ask_slurm(*words: str) -> subprocess.CompletedProcess[str]:
    # The user's own defaults could hide jobs, or ask before one is cancelled.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SQUEUE_", "SCANCEL_"))}
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def _last_line(said: str) -> str:
    return (said.strip().splitlines() or ["it does not say why"])[-1]


def _listed(jobs: Iterable[QueuedJob]) -> str:
    return ", ".join(f"{job.number} {job.state}" for job in jobs)


def _others() -> list[psutil.Process]:
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended, or belongs to somebody else on a system that does not show it
        return []


def _program(process: psutil.Process) -> str:
    return Path((_command(process) or [""])[0]).name


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
    command = _command(process)
    if INSIDE_A_JOB in command or ONLY_LOOKING.intersection(command):
        return False
    # Started by its own name, or by Python as a program or module, with options of Python's before it.
    program, *words = command[:MOST_OPTIONS] or [""]
    name = Path(program).name
    return name == "snakemake" or (name.startswith("python") and any(Path(word).name == "snakemake" for word in words))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m capcortex.orphans", description="End the jobs that a killed Snakemake left."
    )
    parser.add_argument("--await", dest="wait", action="store_true", help="wait for jobs that run on a cluster")
    try:
        print(main(Path.cwd(), wait=parser.parse_args().wait))
    except RuntimeError as error:
        sys.exit(f"{error}\nSnakemake's lock, if there is one, stays.")
