"""What the unit tests share: settings of property-based tests, NSD-shaped files made on the spot, other processes."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import settings

import capcortex

# The same examples on every machine: a failure can be repeated.
settings.register_profile("study", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("study")


@pytest.fixture
def rng():
    return np.random.default_rng(20250807)


@pytest.fixture(scope="session")
def run_python():
    """Run Python code in a fresh process that can import the library under test."""

    def run(code, *arguments):
        source = str(Path(capcortex.__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": source}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


PEAK = """
import resource, sys
from pathlib import Path
status = Path("/proc/self/status")
if status.exists():  # ru_maxrss of Linux starts from the size of the process that started this one
    print([int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")][0])
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.fixture(scope="session")
def peak_mb(run_python):
    """Run Python code in a fresh process and return the most memory that it took, in MB."""

    def measure(code, *arguments):
        result = run_python(code + PEAK, *arguments)
        assert result.returncode == 0, result.stderr
        return float(result.stdout)

    return measure


@pytest.fixture(scope="session")
def write_mgh():
    """Write values as FreeSurfer writes them (mgh or mgz by the name's suffix): big-endian, float32 unless told."""

    def write(path, values, dtype=np.float32):
        image = nibabel.freesurfer.mghformat.MGHImage(np.asarray(values, dtype=dtype), np.eye(4))
        nibabel.save(image, str(path))
        return path

    return write


@pytest.fixture(scope="session")
def write_betas(write_mgh):
    """Write single-trial betas of shape (n_trials, n_vertices) as NSD stores them: (n_vertices, 1, 1, n_trials)."""

    def write(path, betas):
        return write_mgh(path, np.asarray(betas).T[:, None, None, :])

    return write


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount one: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate of this machine that nobody trusts, and its key."""
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.certificate"]
    try:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    path.write_text(path.read_text() + Path(f"{path}.certificate").read_text())
    return path
