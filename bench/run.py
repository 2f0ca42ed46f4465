"""Benchmarks: each figure is a ratio of two sides that are timed in turn, in one run, on this machine.

`make bench` prints the table. Nothing here is asserted in tests.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import rsatoolbox
from scipy.spatial.distance import pdist

from capcortex.nsd.betas import extract_session, extraction_memory_mb
from capcortex.rsa.rdm import pair_distances

ROUNDS = 5


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Time two sides in turn and print the medians and the median of the ratios."""
    ours(), theirs()
    pairs = []
    for _ in range(ROUNDS):
        times = []
        for side in (ours, theirs):
            start = time.perf_counter()
            side()
            times.append(time.perf_counter() - start)
        pairs.append(times)
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(x / y for x, y in pairs)
    print(f"{name:75s} {a * 1e3:10.1f} ms {b * 1e3:10.1f} ms   ratio {ratio:.2f}")


def bench_rdm() -> None:
    """Correlation distances of 100 images in a region of the real NSD's size."""
    patterns = np.random.default_rng(1).standard_normal((100, 11_000)).astype(np.float32)
    dataset = rsatoolbox.data.Dataset(patterns)
    compare(
        "RDM 100 x 11,000: pair_distances / scipy pdist",
        lambda: pair_distances(patterns, "correlation"),
        lambda: pdist(patterns, "correlation"),
    )
    compare(
        "RDM 100 x 11,000: pair_distances / rsatoolbox",
        lambda: pair_distances(patterns, "correlation"),
        lambda: rsatoolbox.rdm.calc_rdm(dataset, method="correlation"),
    )


def bench_extraction(folder: Path, n_vertices: int = 163_842 // 4, n_trials: int = 750) -> None:
    """Z-scoring a surface session (a quarter of a real hemisphere, twice) beside loading and z-scoring it whole."""
    rng = np.random.default_rng(2)
    paths = []
    for hemisphere in ("lh", "rh"):
        data = rng.standard_normal((n_vertices, 1, 1, n_trials), dtype=np.float32)
        paths.append(folder / f"{hemisphere}.betas_session01.mgh")
        nibabel.save(nibabel.freesurfer.MGHImage(data, np.eye(4)), paths[-1])
    trials = pd.DataFrame({"id73k": np.arange(n_trials) // 3 + 1, "showings": 3})

    def plain() -> np.ndarray:
        whole = np.concatenate([np.squeeze(nibabel.load(path).get_fdata(dtype=np.float32)) for path in paths])
        return (whole - whole.mean(1, keepdims=True)) / whole.std(1, keepdims=True)

    compare(
        f"session of {2 * n_vertices} vertices: extract_session / nibabel, whole in memory",
        lambda: extract_session(paths, trials, folder / "session.nc"),
        plain,
    )
    # VmHWM belongs to the new program alone; getrusage would hand on the peak of the one that started it.
    code = (
        "import sys, numpy, pandas; from pathlib import Path; from capcortex.nsd.betas import extract_session;"
        f"trials = pandas.DataFrame({{'id73k': numpy.arange({n_trials}) // 3 + 1, 'showings': 3}});"
        "extract_session([Path(p) for p in sys.argv[2:]], trials, Path(sys.argv[1]));"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    command = [sys.executable, "-c", code, str(folder / "again.nc"), *map(str, paths)]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
    formula = extraction_memory_mb(n_trials)
    print(
        f"{'extract_session: peak memory / formula':75s} {peak:10.0f} MB {formula:10d} MB   ratio {peak / formula:.2f}"
    )


if __name__ == "__main__":
    print(f"{'':75s} {'ours':>13s} {'other':>13s}")
    bench_rdm()
    with tempfile.TemporaryDirectory() as scratch:
        bench_extraction(Path(scratch))
