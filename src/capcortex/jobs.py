"""What every job of the graph does around its one library call: a log that holds the traceback, checked inputs, provenance.

A job that refuses its input, or fails by an error of its own, says so in the last line of its log (`refusal`): it would do so
again, and is not tried again. One that died without a word, or lacked memory, may succeed with more.

The library does not import Snakemake. ``job`` takes the object that Snakemake gives to a script, by its attributes.
"""

import datetime
import errno
import faulthandler
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from capcortex import __version__
from capcortex.digests import file_digest
from capcortex.files import atomic_path, remedy

# Larger inputs are recorded by size and time: hashing all betas of NSD would read them one more time.
LARGEST_HASHED_BYTES = 64 * 2**20
# Where the records of jobs lie: those of the study, and those of what is fetched or made up, which outlive `rm -r results`.
RECORDS = ("results/provenance", "resources/miniature/provenance", "resources/fetched/provenance")
# Errors of a machine or its file system, which another attempt may not meet.
PASSING_ERRORS = {errno.ENOMEM, errno.EIO, errno.EAGAIN, errno.EINTR}
# Of network file systems; not every system knows all of them.
OF_NETWORKS = ("ESTALE", "ETIMEDOUT", "ESHUTDOWN", "ENOTCONN", "ENOLCK", "EREMOTEIO")
PASSING_ERRORS |= {getattr(errno, name) for name in OF_NETWORKS if hasattr(errno, name)}
# torch has no error of its own for it on a CPU.
NO_MEMORY = re.compile("out of memory|allocate memory", re.I)
REFUSAL = re.compile(r"\S+ \S+ CRITICAL root: (.+)")
RECORDED_PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "pandas",
    "xarray",
    "nibabel",
    "sentence-transformers",
    "torch",
    "spacy",
)


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the body of a script: check its inputs, log to the rule's log file, and record provenance when it ends well.

    An input that another job of the study made must be as that job left it. A failure is written to the log with its traceback;
    the terminal gets one line with the cause and the log's name, which is the log's last line too unless another attempt may
    help (see `refusal`), and the process ends with status 1. A job that is told to end (SIGTERM, as from a cluster's time limit)
    removes what it has half written. A crash of a compiled library leaves its traceback in the log too.

    Parameters
    ----------
    snakemake
        The object of that name inside a script.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # nibabel writes to the terminal by itself, a line for every NSD file whose header says 0 where 1 is usual.
    logging.getLogger("nibabel.global").handlers = []
    # A handler has a stream from its start.
    faulthandler.enable(cast(TextIO, handler.stream))
    signal.signal(signal.SIGTERM, _end_in_order)
    # HDF5 reports errors that it meets while it closes a file through these hooks, several screens of them on a full disk.
    sys.excepthook = lambda *error: root.error("could not be raised", exc_info=error)
    sys.unraisablehook = lambda told: root.error("could not be raised in %r: %s", told.object, told.exc_value)
    try:
        inputs = _identities(snakemake.input)
        _require_as_made(inputs)
        yield
        _write_provenance(snakemake, inputs)
        logging.getLogger(__name__).info("done")
    except Exception as error:
        root.error("failed\n%s", traceback.format_exc())
        cause = " ".join(str(error).split()) or "no message"
        told = f"{snakemake.rule}: {type(error).__name__}: {cause} (log: {log})"
        print(told, file=sys.stderr, flush=True)
        if not _may_pass(error):
            root.critical("%s", told)
        # Not sys.exit: HDF5 crashes when it is taken down after a write that failed, for example on a full disk.
        os._exit(1)
    except BaseException:
        root.error("ended from outside\n%s", traceback.format_exc())
        raise
    finally:
        faulthandler.disable()
        sys.excepthook, sys.unraisablehook = sys.__excepthook__, sys.__unraisablehook__
        handler.close()
        root.handlers = []


def refusal(log: str | Path, since: float) -> str | None:
    """Return what a job said that would fail again however often it is tried.

    Parameters
    ----------
    log
        The job's log.
    since
        Seconds since the epoch: a log that was last written before is of an earlier run.

    Returns
    -------
    str or None
        The job's message: rule, error and log; None if the job has not failed, has died without a word (killed, for example by
        a limit of memory or time), or met an error that may pass.
    """
    try:
        # Opened first: a network file system shows the time of a file that another machine wrote only then for sure.
        with Path(log).open(encoding="utf-8", errors="replace") as file:
            if os.fstat(file.fileno()).st_mtime < since:
                return None
            *_, last = file.read().splitlines() or [""]
    except OSError:
        return None
    found = REFUSAL.fullmatch(last)
    return found[1] if found else None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in PASSING_ERRORS
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error))))


def _end_in_order(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _require_as_made(inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that inputs which jobs of the study made are as these left them.

    Raises
    ------
    ValueError
        Naming the first file that is not, the rule that made it, and how to make it anew.
    """
    made: dict[str, tuple[str, dict[str, Any]]] = {}
    # Of two records that name a file, from before and after its rule got another name, the later one holds.
    for record in sorted(_records(), key=lambda record: record["finished"]):
        made |= {name: (record["rule"], then) for name, then in record["outputs"].items() if name in inputs}
    for name, (rule, then) in made.items():
        # Copying a study changes times, and Snakemake puts a file of its own into folders: neither says anything.
        for kind in ("bytes", "sha256"):
            if kind in then and inputs[name].get(kind, then[kind]) != then[kind]:
                raise ValueError(
                    f"{name}: damaged or changed since rule {rule} made it: {kind} {str(inputs[name][kind])[:12]}, expected "
                    f"{str(then[kind])[:12]}; {remedy(name)}"
                )


def _records() -> Iterator[dict[str, Any]]:
    for folder in RECORDS:
        # Not the half-written ones of other jobs, which start with a dot.
        for path in Path(folder).glob("[!.]*.json"):
            try:
                yield json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path}: not a whole record ({error}); remove it: rm '{path}'") from error


def _write_provenance(snakemake: Any, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    wildcards = dict(snakemake.wildcards.items())
    record = {
        "rule": snakemake.rule,
        "wildcards": wildcards,
        "params": dict(snakemake.params.items()),
        "threads": snakemake.threads,
        "inputs": inputs,
        "outputs": _identities(snakemake.output),
        "versions": {"capcortex": __version__, "python": sys.version.split()[0]}
        | {name: _version(name) for name in RECORDED_PACKAGES},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
    }
    # A file's path can be a wildcard.
    name = "_".join([snakemake.rule, *(f"{key}-{value}" for key, value in wildcards.items())]).replace("/", "+")
    with atomic_path(Path(snakemake.params.provenance) / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def _identities(paths: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {str(path): _identity(Path(path)) for path in paths}


def _identity(path: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"folder_of": len(list(path.iterdir()))}
    stat = path.stat()
    if stat.st_size > LARGEST_HASHED_BYTES:
        return {"bytes": stat.st_size, "modified": int(stat.st_mtime)}
    return {"bytes": stat.st_size, "sha256": file_digest(path)}


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "not installed"
