"""What every job of the graph does around its one library call: a log that holds the traceback, and provenance.

The library does not import Snakemake. ``job`` takes the object that Snakemake gives to a script, by its attributes.
"""

import datetime
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from capcortex import __version__
from capcortex.digests import file_digest
from capcortex.files import atomic_path

# Larger inputs are recorded by size and time: hashing all betas of NSD would read them one more time.
LARGEST_HASHED_BYTES = 64 * 2**20
RECORDED_PACKAGES = ("snakemake", "numpy", "scipy", "pandas", "xarray", "nibabel", "sentence-transformers", "torch")


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run the body of a script: log to the rule's log file, and record provenance when it ends well.

    A failure is written to the log with its traceback; the terminal gets one line with the cause and the log's name,
    and the process ends with status 1.

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
    try:
        yield
        _write_provenance(snakemake)
        logging.getLogger(__name__).info("done")
    except Exception as error:
        root.error("failed\n%s", traceback.format_exc())
        cause = " ".join(str(error).splitlines())
        print(f"{snakemake.rule}: {type(error).__name__}: {cause} (log: {log})", file=sys.stderr)
        sys.exit(1)
    finally:
        handler.close()
        root.handlers = []


def _write_provenance(snakemake: Any) -> None:
    wildcards = dict(snakemake.wildcards.items())
    record = {
        "rule": snakemake.rule,
        "wildcards": wildcards,
        "params": dict(snakemake.params.items()),
        "threads": snakemake.threads,
        "inputs": {str(path): _identity(Path(path)) for path in snakemake.input},
        "outputs": {str(path): _identity(Path(path)) for path in snakemake.output},
        "versions": {"capcortex": __version__, "python": sys.version.split()[0]}
        | {name: _version(name) for name in RECORDED_PACKAGES},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    name = "_".join([snakemake.rule, *(f"{key}-{value}" for key, value in wildcards.items())])
    with atomic_path(Path(snakemake.params.provenance) / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


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
