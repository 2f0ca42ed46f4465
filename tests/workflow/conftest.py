"""The tiny study, run once and shared by all tests of the workflow."""

import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from local_study import local_study  # noqa: F401 - pytest finds the fixture by its name here
from private_slurm import breakable_slurm, slurm  # noqa: F401 - as above
from running import copy_code, run_snakemake


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished tiny study with its own copy of the code. Tests leave it as they find it.

    The first process of the tests that needs it runs it; every process has a copy.
    """
    folder = tmp_path_factory.mktemp("tiny")
    base = tmp_path_factory.getbasetemp()
    once = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "run-once"
    with FileLock(f"{once}.lock"):
        if not once.exists():
            copy_code(folder)
            done = run_snakemake(folder)
            assert done.returncode == 0, done.stderr[-4000:]
            folder.rename(once)
            folder.mkdir()
    subprocess.run(["cp", "-a", f"{once}/.", folder], check=True)
    return folder
