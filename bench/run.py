"""Benchmarks: each figure is a ratio of two sides that are timed in turn, in one run, on this machine.

`make bench` prints the table. Nothing here is asserted in tests.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rsatoolbox
from scipy.spatial.distance import pdist

from capcortex.arrays import create_array
from capcortex.nsd.miniature.formats import write_mgh, write_nifti, write_nifti_trials
from capcortex.nsd.sessions import surface_extraction_memory_mb, volume_extraction_memory_mb
from capcortex.rsa.all_pairs import all_pairs_memory_mb
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
    print_times(name, pairs)


def print_times(name: str, pairs: Sequence[Sequence[float]]) -> None:
    """Print the medians of both sides in ms and the median of the ratios."""
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


def run_apart(code: str, arguments: list[Path]) -> tuple[float, float]:
    """Run the function ``go`` of some code in a new process, as a job does; return its seconds and peak memory in MB."""
    # VmHWM belongs to the new program alone; getrusage would hand on the peak of the one that started it.
    code += (
        "\nimport time\nstart = time.perf_counter()\ngo()\nprint(time.perf_counter() - start)"
        "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(peak) / 1024


def compare_apart(name: str, ours: str, theirs: str, arguments: list[Path], formula: int) -> None:
    """As `compare`, each time in a new process; also the peak memory of the first side beside its formula.

    The first argument is a file to write, a new one each time: to replace an older one would take time that a study does
    not spend.
    """
    pairs, peaks = [], []
    output, *inputs = arguments
    for number in range(ROUNDS + 1):
        mine, peak = run_apart(ours, [output.with_stem(f"{output.stem}-{number}"), *inputs])
        other, _ = run_apart(theirs, [output, *inputs])
        pairs.append((mine, other))
        peaks.append(peak)
    print_times(name, pairs[1:])
    print(
        f"{'    peak memory / formula':75s} {max(peaks):10.0f} MB {formula:10d} MB   ratio {max(peaks) / formula:.2f}"
    )


EXTRACT = """
import sys, nibabel, numpy, pandas
from pathlib import Path
from capcortex.nsd.sessions import extract_session, surface_session, volume_session
trials = pandas.DataFrame({"id73k": numpy.arange(750) // 3 + 1, "showings": 3})
output, *paths = map(Path, sys.argv[1:])
"""
SURFACE = (
    EXTRACT
    + """
def go():
    extract_session(surface_session(paths, 750), trials, output)
"""
)
WHOLE_SURFACE = (
    EXTRACT
    + """
def go():
    whole = numpy.concatenate([numpy.squeeze(nibabel.load(path).get_fdata(dtype=numpy.float32)) for path in paths])
    return (whole - whole.mean(1, keepdims=True)) / whole.std(1, keepdims=True)
"""
)
VOLUME = (
    EXTRACT
    + """
def go():
    extract_session(volume_session(*paths, 750), trials, output)
"""
)
PLAIN_VOLUME = (
    EXTRACT
    + """
def go():
    mask = numpy.asarray(nibabel.load(paths[1]).dataobj) > 0
    where = numpy.flatnonzero(mask.ravel(order="F"))
    kept = numpy.empty((750, where.size), numpy.int16)
    from gzip import open as unpack
    with unpack(paths[0]) as stream:
        stream.read(352)
        for trial in kept:
            trial[:] = numpy.frombuffer(stream.read(2 * mask.size), "<i2")[where]
"""
)
PLAIN_VOLUME_ISAL = PLAIN_VOLUME.replace("from gzip import", "from isal.igzip import")


def bench_surface_extraction(folder: Path, n_vertices: int = 163_842 // 4, n_trials: int = 750) -> None:
    """Z-scoring a surface session (a quarter of a real hemisphere, twice) beside loading and z-scoring it whole."""
    paths = write_surface_session(folder, n_vertices, n_trials)
    compare_apart(
        f"surface session of {2 * n_vertices} vertices: extract_session / nibabel, whole in memory",
        SURFACE,
        WHOLE_SURFACE,
        [folder / "surface.nc", *paths],
        surface_extraction_memory_mb(n_trials),
    )


def write_surface_session(folder: Path, n_vertices: int, n_trials: int = 750) -> list[Path]:
    """Write random betas of both hemispheres."""
    rng = np.random.default_rng(2)
    paths = [folder / f"{hemisphere}.betas_session01.mgh" for hemisphere in ("lh", "rh")]
    for path in paths:
        write_mgh(path, rng.standard_normal((n_trials, n_vertices), dtype=np.float32))
    return paths


def write_volume_session(
    folder: Path, shape: tuple[int, int, int] = (81, 104, 83), n_trials: int = 750
) -> tuple[Path, Path, int]:
    """Write random betas of a volume of subj01's size in an ellipsoid for a brain; return them, their mask, its voxels."""
    rng = np.random.default_rng(3)
    ellipsoid = sum(
        ((at - (side - 1) / 2) / (0.42 * side)) ** 2 for at, side in zip(np.indices(shape), shape, strict=True)
    )
    inside = ellipsoid <= 1
    where = np.flatnonzero(inside.ravel(order="F"))
    mean = rng.normal(300, 200, where.size).astype(np.float32)
    sd = rng.uniform(300, 600, where.size).astype(np.float32)
    betas = np.empty((n_trials, where.size), np.int16)
    for trial in betas:
        trial[:] = np.rint(mean + sd * rng.standard_normal(where.size, dtype=np.float32))
    path, mask = folder / "betas_session01.nii.gz", folder / "brainmask.nii.gz"
    write_nifti(mask, inside.astype(np.int16), functional=False)
    write_nifti_trials(path, shape, where, betas)
    return path, mask, where.size


def bench_volume_extraction(folder: Path, n_trials: int = 750) -> None:
    """Time the extraction of a volume session of subj01's size beside plain decompression and masking."""
    path, mask, n_voxels = write_volume_session(folder, n_trials=n_trials)
    for unpacker, plain in (("Python's gzip", PLAIN_VOLUME), ("isal", PLAIN_VOLUME_ISAL)):
        compare_apart(
            f"volume session, {n_voxels} voxels: extract_session / {unpacker} and mask",
            VOLUME,
            plain,
            [folder / f"volume-{unpacker[:4]}.nc", path, mask],
            volume_extraction_memory_mb(n_trials, path.stat().st_size / 2**20, "nii.gz"),
        )


ALL_PAIRS = """
import os, sys
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
from contextlib import ExitStack
import numpy
from capcortex.arrays import open_array
from capcortex.nsd.betas import read_roi_betas
from capcortex.rsa.all_pairs import compare_all_pairs
from capcortex.rsa.rdm import compare_rdms, pair_distances
_, betas, *paths = sys.argv[1:]
"""
IN_BLOCKS = (
    ALL_PAIRS
    + """
def go():
    with ExitStack() as stack:
        models = {path: stack.enter_context(open_array(path, variables=["id73k"])) for path in paths}
        distances = dict.fromkeys(models, "correlation")
        with open_array(betas, variables=["betas"]) as file:
            every_unit = numpy.arange(file["betas"].shape[1])
        patterns = read_roi_betas(betas, every_unit)
        return compare_all_pairs(patterns, models, distances, distance="correlation", what=betas)
"""
)
WHOLE_RDMS = (
    ALL_PAIRS
    + """
def go():
    with open_array(betas, variables=["betas"]) as file:
        of_region = pair_distances(file["betas"].to_numpy(), "correlation")
    for path in paths:
        with open_array(path, variables=["features"]) as file:
            compare_rdms(of_region, pair_distances(file["features"].to_numpy(), "correlation"))
"""
)


def write_patterns(path: Path, name: str, shape: tuple[int, int], rng: np.random.Generator) -> Path:
    """Write random patterns as the study keeps betas and features."""
    coords = {"id73k": ("id73k", np.arange(1, shape[0] + 1))}
    with create_array(
        path, name=name, dims=("id73k", "unit"), shape=shape, dtype="f4", chunks=(100, 4096), coords=coords, attrs={}
    ) as variable:
        for start in range(0, shape[0], 1000):
            variable[start : start + 1000, :] = rng.standard_normal((1000, shape[1]), dtype=np.float32)
    return path


def bench_all_pairs(folder: Path, n_units: int = 10_000, n_models: int = 10, n_features: int = 768) -> None:
    """Compare a region with models over all pairs on one core: 10,000 images, once; and 2,000 beside the plain way.

    The plain way keeps whole RDMs in memory. For 10,000 images it takes 25 times as long as for 2,000, and 3 GB.
    """
    rng = np.random.default_rng(4)
    for n_images in (2000, 10_000):
        paths = [write_patterns(folder / f"betas-{n_images}.nc", "betas", (n_images, n_units), rng)]
        for number in range(n_models):
            path = folder / f"model{number}-{n_images}.nc"
            paths.append(write_patterns(path, "features", (n_images, n_features), rng))
        formula = all_pairs_memory_mb(n_images, n_units, n_models * n_features, n_models)
        name = f"all pairs of {n_images} images x {n_units} units x {n_models} models: "
        if n_images == 2000:
            compare_apart(f"{name}blocks / whole RDMs", IN_BLOCKS, WHOLE_RDMS, [folder / "none", *paths], formula)
        else:
            seconds, peak = run_apart(IN_BLOCKS, [folder / "none", *paths])
            print(f"{name + 'blocks':75s} {seconds:10.1f} s  {peak:.0f} MB, formula {formula} MB")


if __name__ == "__main__":
    print(f"{'':75s} {'ours':>13s} {'other':>13s}")
    bench_rdm()
    with tempfile.TemporaryDirectory() as scratch:
        bench_surface_extraction(Path(scratch))
        bench_volume_extraction(Path(scratch))
        bench_all_pairs(Path(scratch))
