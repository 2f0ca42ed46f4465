"""Benchmarks of the searchlight at the size of a subject of NSD, on one core: other programs, the machine's limits, whole runs.

`make bench` prints the tables. Nothing here is asserted in tests.
"""

import os

# Before numpy is imported: every side has one core.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import contextlib
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import mne
import mne_rsa
import numpy as np
import rsatoolbox
import xarray as xr
from numpy.typing import NDArray
from rsatoolbox.util.searchlight import evaluate_models_searchlight, get_searchlight_RDMs

from capcortex.rsa.rdm import rdms_of_sets
from capcortex.rsa.searchlight import score_searchlight, searchlight_memory_mb
from capcortex.rsa.sphere_rdms import lay_out_tiles
from capcortex.rsa.spheres import Lines, Spheres, find_lines, find_spheres

ROUNDS = 3
SHAPE, RADIUS, N_IMAGES, LEAST_SHARE = (81, 104, 83), 6, 100, 0.5
ALL_SETS = 632  # of the eight subjects


def brain() -> NDArray[np.intp]:
    """Voxels of an ellipsoid with as many as a brain mask of NSD, about 220,000."""
    squares = ((np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2) / (0.4213 * np.array(SHAPE))) ** 2
    return np.argwhere(squares.sum(axis=-1).T <= 1)


def make_study(n_sets: int, n_models: int) -> tuple[xr.DataArray, NDArray[np.int64], list[str], dict, Spheres]:
    """Arguments of `score_searchlight`: smooth signals that brain and models share, and noise."""
    rng = np.random.default_rng(5)
    indices = brain()
    ids = np.arange(1, n_sets * N_IMAGES + 1)
    image_sets, labels = ids.reshape(n_sets, N_IMAGES), [f"set-{number}" for number in range(n_sets)]
    latents = rng.standard_normal((ids.size, 8), dtype=np.float32)
    maps = np.sin(indices / 9 @ rng.normal(size=(3, 8)) + rng.uniform(0, 6, 8)).astype(np.float32)
    values = 0.2 * latents @ maps.T
    for row in range(ids.size):
        values[row] += rng.standard_normal(len(indices), dtype=np.float32)
    places = {axis: ("voxel", indices[:, number]) for number, axis in enumerate("ijk")}
    betas = xr.DataArray(values, dims=("id73k", "voxel"), coords={"id73k": ids, **places})
    models = {}
    for number in range(n_models):
        features = latents @ rng.normal(size=(8, 30)) + rng.normal(size=(ids.size, 30))
        labelled = xr.DataArray(features, dims=("id73k", "feature"), coords={"id73k": ids})
        models[f"model-{number}"] = rdms_of_sets(labelled, image_sets, labels, "correlation", what="model")
    return betas, image_sets, labels, models, find_spheres(indices, SHAPE, RADIUS, LEAST_SHARE)


def timed(call: Callable[[], object]) -> tuple[float, object]:
    """Seconds of a call, and what it gave."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def operations(spheres: Spheres, lines: Lines) -> int:
    """Count the outer products that the engine forms: one for each line of centres and voxel in any of its spheres."""
    grid = spheres.grid.ravel()
    heights = np.searchsorted(-lines.n_reaching, -np.arange(lines.across.size), side="left") - 1
    count = 0
    for first, last in zip(lines.firsts, lines.places[lines.ends - 1], strict=True):
        for height in np.unique(heights):
            planes = first + np.arange(-height, last + height + 1) * lines.step
            count += int((grid[planes[:, None] + lines.across[heights == height]] >= 0).sum())
    return count


def multiply(left: NDArray[np.float32], right: NDArray[np.float32], times: int) -> None:
    """Multiply two matrices some times."""
    for _ in range(times):
        left @ right


def peak() -> float:
    """Single-precision operations per second of one core: the best that products of matrices of several sizes reach."""
    rng = np.random.default_rng(1)
    best = 0.0
    for size in (100, 200, 500, 1000, 3000):
        left, right = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
        times = max(2, 10**9 // size**3)
        for _ in range(4):
            seconds, _ = timed(partial(multiply, left, right, times))
            best = max(best, 2 * times * size**3 / seconds)
    return best


def compare_programs(n_spheres: int = 120, n_models: int = 3) -> None:
    """Time this engine and other programs in turn on the same data; the slow ones on a sample of spheres."""
    arguments = make_study(1, n_models)
    betas, _, _, models, spheres = arguments
    patterns = betas.to_numpy()
    targets = np.array([model["rdm"].to_numpy()[0] for model in models.values()], dtype=np.float64)
    sample = np.sort(np.random.default_rng(2).choice(spheres.centres.size, n_spheres, replace=False))
    members = [spheres.members(number) for number in sample]
    upper = np.triu_indices(N_IMAGES, k=1)

    def engine() -> NDArray[np.floating]:
        return score_searchlight(*arguments, distance="correlation")["r"].to_numpy()[:, 0, sample]

    def direct() -> NDArray[np.floating]:
        directions = targets - targets.mean(axis=1, keepdims=True)
        directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
        scores = np.empty((n_models, n_spheres))
        for number, inside in enumerate(members):
            x = patterns[:, inside]
            x = x - x.mean(axis=1, keepdims=True)
            x /= np.sqrt(np.einsum("iv,iv->i", x, x))[:, None]
            distances = 1 - (x @ x.T)[upper]
            distances -= distances.mean()
            scores[:, number] = directions @ distances / np.linalg.norm(distances)
        return scores

    def by_rsatoolbox() -> NDArray[np.floating]:
        rdms = get_searchlight_RDMs(patterns, sample, members, np.arange(N_IMAGES), method="correlation", verbose=False)
        fixed = [rsatoolbox.model.ModelFixed(name, target) for name, target in zip(models, targets, strict=True)]
        results = evaluate_models_searchlight(rdms, fixed, rsatoolbox.inference.eval_fixed, method="corr", n_jobs=1)
        return np.array([result.evaluations.ravel() for result in results]).T

    def by_mne_rsa() -> NDArray[np.floating]:
        patches = mne_rsa.searchlight(patterns.shape, spatial_radius=[inside.tolist() for inside in members])
        return mne_rsa.rsa_array(
            patterns, list(targets), patches, data_rdm_metric="correlation", rsa_metric="pearson", n_jobs=1
        )

    mne.set_log_level("warning")
    sides = {"this engine": engine, "direct numpy": direct, "mne-rsa": by_mne_rsa, "rsatoolbox": by_rsatoolbox}
    times: dict[str, list[float]] = {name: [] for name in sides}
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):  # progress bars
        results = {name: side() for name, side in sides.items()}  # compiles, and fills caches
        for _ in range(ROUNDS):
            for name, side in sides.items():
                n_done = spheres.centres.size if name == "this engine" else n_spheres
                times[name].append(timed(side)[0] / n_done)
    mine = np.array(times["this engine"])
    print(
        f"\nSearchlight, {N_IMAGES} images, radius {RADIUS}, {n_models} models, one core; this engine on all "
        f"{spheres.centres.size} spheres, the others on {n_spheres} of them"
    )
    print(f"{'':20s} {'us per sphere':>14s} {'times this engine':>18s} {'largest difference in r':>24s}")
    for name, each in times.items():
        ratio = statistics.median(np.array(each) / mine)
        difference = np.abs(results[name] - results["direct numpy"]).max()
        print(f"{name:20s} {statistics.median(each) * 1e6:14.1f} {ratio:18.1f} {difference:24.1e}")

    per_second, voxels = peak(), float(spheres.sizes.mean())
    print(f"one core's single-precision peak, measured: {per_second / 1e9:.0f} billion operations per second")
    for name, entries in (("whole", N_IMAGES**2), ("symmetric", N_IMAGES * (N_IMAGES + 1) / 2)):
        limit = 2 * voxels * entries / per_second
        print(
            f"limit of a direct product ({name} matrix, {voxels:.0f} voxels on average) at this peak: "
            f"{limit * 1e6:.1f} us per sphere, {limit / statistics.median(mine):.2f} times this engine"
        )
    products = operations(spheres, find_lines(spheres)) / spheres.centres.size
    entries = lay_out_tiles(N_IMAGES).pairs.size
    done, needed = (2 * products * of_each for of_each in (entries, (N_IMAGES + 1) * (N_IMAGES + 2) / 2))
    share, share_needed = (count / statistics.median(mine) / per_second for count in (done, needed))
    print(
        f"this engine: {products:.1f} outer products per sphere, {done / 1e6:.2f} million operations, {share:.0%} of the peak "
        f"({share_needed:.0%} in entries that are needed)"
    )


WHOLE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from searchlight import make_study, score_searchlight
n_sets, n_models = int(sys.argv[2]), int(sys.argv[3])
betas, image_sets, labels, models, spheres = make_study(n_sets, n_models)
start = time.perf_counter()
score_searchlight(betas, image_sets[:1], labels[:1], models, spheres, distance="correlation")
first = time.perf_counter()
score_searchlight(betas, image_sets, labels, models, spheres, distance="correlation")
print(first - start, time.perf_counter() - first, spheres.indices.shape[0], spheres.centres.size)
print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
"""


def run_whole(n_models: int, n_at_once: int, n_sets: int = 2) -> tuple[float, float, float, int, int]:
    """Score whole image sets in as many processes as cores; return seconds per set, of compiling, MB, voxels and centres."""
    command = [sys.executable, "-c", WHOLE, str(Path(__file__).parent), str(n_sets), str(n_models)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(n_at_once)]
    outputs = [process.communicate()[0].split() for process in running]
    first, seconds, voxels, centres, memory = (max(map(float, column)) for column in zip(*outputs, strict=True))
    each = seconds / n_sets
    return each, first - each, memory / 1024, int(voxels), int(centres)


def compare_whole_runs(n_sets: int = 2) -> None:
    """Time whole image sets at full size in turn: one and ten models, on one and two cores."""
    ways = [(n_models, cores) for cores in (1, 2) for n_models in (1, 10)]
    rounds = [[run_whole(*way, n_sets) for way in ways] for _ in range(ROUNDS)]
    print("\nWhole image sets at full size: jobs as the study runs them, without reading betas")
    names = [
        "models",
        "cores",
        "s per set",
        "us per sphere",
        "compiling s",
        "peak MB",
        "formula MB",
        "core hours",
        "hours",
    ]
    print(" ".join(f"{name:>13s}" for name in names))
    for (n_models, cores), results in zip(ways, zip(*rounds, strict=True), strict=True):
        each, compiling, memory, voxels, centres = map(statistics.median, zip(*results, strict=True))
        formula, hours = searchlight_memory_mb(n_sets, N_IMAGES, int(voxels), n_models), each * ALL_SETS / 3600
        figures = (each, each / centres * 1e6, compiling, memory, formula, hours, hours / cores)
        print(f"{n_models:13d} {cores:13d} " + " ".join(f"{figure:13.2f}" for figure in figures))
    print(
        f"core hours and hours: {ALL_SETS} image sets in brains like this one ({voxels:.0f} voxels, {centres:.0f} centres)"
    )
    for one, ten in ((0, 1), (2, 3)):
        ratio = statistics.median(results[ten][0] / results[one][0] for results in rounds)
        print(f"ten models / one model, cores: {ways[one][1]}: ratio {ratio:.2f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    compare_programs()
    compare_whole_runs()
