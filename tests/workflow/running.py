"""Run the Snakefile, from a copy of the code in the folder or from the repository on a folder of its own, or a single script."""

import importlib.util
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from capcortex.orphans import running_jobs

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/tiny/config.yaml"
CODE = ("Snakefile", "config.yaml", "config", "envs", "profiles", "scripts", "src", "workflow", "tests/tiny")
"""What a run needs of the repository."""


def copy_code(folder: Path) -> None:
    """Put a copy of the code into a folder, so that a test can edit it and a study runs there as in a clone."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy2(source, target)


def copy_study(study: Path, folder: Path) -> None:
    """Copy a finished study, so that only what an overlay changes is computed; large files are linked, and never written to."""
    for path in study.iterdir():
        how = "-al" if path.name in ("resources", "results") else "-a"
        subprocess.run(["cp", how, path, folder], check=True)


def command(folder: Path, config: Path | None = TINY) -> list[str]:
    """Return the command that runs Snakemake in ``folder``, by default on the tiny study.

    It runs the code that lies in the folder, or else the repository's.
    """
    code = folder if (folder / "Snakefile").exists() else ROOT
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(code / "Snakefile"), "--directory", str(folder)]
    words += ["--profile", str(code / "profiles/default"), "--cores", "2"]
    return words + (["--configfile", str(config)] if config else [])


def run_snakemake(folder: Path, *arguments: str, config: Path | None = TINY) -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder``, by default on the tiny study, until it ends."""
    return subprocess.run([*command(folder, config), *arguments], capture_output=True, text=True, check=False)


def script(name: str):
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hold_a_job(folder: Path, rule: str = "") -> psutil.Process | None:
    """Hold a script of a study that is at work, and return it; None if there is none, or it ended meanwhile."""
    for job in running_jobs(folder):
        with suppress(psutil.NoSuchProcess):
            if not any(f".{rule}" in word for word in job.cmdline()):
                continue
            job.suspend()
            deadline = time.monotonic() + 1
            while job.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
                time.sleep(0.01)
            if job.status() == psutil.STATUS_STOPPED:
                return job
    return None
