"""Benchmark of cross-validated fractional ridge regression at the size of a subject of NSD, on one core, beside himalaya.

`make bench` compares them on a block of units, then runs this solver on all vertices of fsaverage, drawn on the fly, and
himalaya, which would take hours, on a tenth of them. Times are those that the core was at work: what else the machine does makes
little difference. Nothing here is asserted in tests.
"""

import os

# Before numpy is imported: every side has one core.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capcortex.encoding.fractional_ridge import FRACTIONS, fit_blocks, fractional_ridge_memory_mb, make_design, predict

N_IMAGES, N_FEATURES, ALL_UNITS, BLOCK = 9485, 768, 327_684, 4000
N_NEW = 515
ROUNDS = 3
ALPHAS = np.geomspace(1e-1, 1e5, FRACTIONS.size)
TARGETS_AT_ONCE = 1000  # of himalaya, which would otherwise hold predictions of all


def make_features(rng: np.random.Generator) -> NDArray[np.float32]:
    """Features of images to fit and of new ones, with a spectrum that falls as that of sentence embeddings."""
    turn = np.linalg.qr(rng.standard_normal((N_FEATURES, N_FEATURES)))[0]
    scales = np.arange(1, N_FEATURES + 1) ** -0.7
    values = (rng.standard_normal((N_IMAGES + N_NEW, N_FEATURES)) * scales) @ turn
    return (values + 0.1 * rng.standard_normal(N_FEATURES)).astype(np.float32)


def make_responses(rng: np.random.Generator, x: NDArray[np.float32], n_units: int) -> NDArray[np.float32]:
    """Responses of one block: noise, and signals of 0 to 40 % of its variance."""
    weights = rng.standard_normal((N_FEATURES, n_units), dtype=np.float32)
    y = x @ weights
    y *= np.sqrt(rng.uniform(0, 0.4, n_units)).astype(np.float32) / y.std(axis=0)
    y += rng.standard_normal(y.shape, dtype=np.float32)
    return y


def correlation(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Mean over units of Pearson's r over images."""
    left, right = (side - side.mean(axis=0) for side in (left, right))
    return float(np.mean((left * right).sum(axis=0) / np.sqrt((left**2).sum(axis=0) * (right**2).sum(axis=0))))


def peak_mb() -> float:
    """Most memory of this process so far."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def run_side(side: str, n_units: int) -> None:
    """Fit one side in this process; print seconds of the design and of all, peak MB before and after, and r on new images."""
    rng = np.random.default_rng(5)
    x = make_features(rng)
    y = make_responses(rng, x, n_units)
    fitted, new = slice(0, N_IMAGES), slice(N_IMAGES, None)
    seconds_of_design = 0.0
    if side == "this solver":
        list(fit_blocks(make_design(x[:200, :20]), lambda: [y[:200, :3]]))  # compiles
        before, start = peak_mb(), time.process_time()
        design = make_design(x[fitted])
        seconds_of_design = time.process_time() - start
        blocks = [y[fitted, at : at + BLOCK] for at in range(0, n_units, BLOCK)]
        fits = [fit for fit, _ in fit_blocks(design, lambda: blocks)]
        seconds = time.process_time() - start
        parts = [predict(x[new], fit.coefficients, fit.intercept) for fit in fits]
        predicted = np.concatenate(parts, axis=1)
    else:
        from himalaya.ridge import RidgeCV
        from himalaya.scoring import r2_score
        from sklearn.model_selection import KFold

        parameters = {"score_func": r2_score, "n_targets_batch": TARGETS_AT_ONCE, "n_alphas_batch": 5}
        model = RidgeCV(alphas=ALPHAS, fit_intercept=True, cv=KFold(5), solver_params=parameters)
        before, start = peak_mb(), time.process_time()
        model.fit(x[fitted], y[fitted])
        seconds = time.process_time() - start
        predicted = model.predict(x[new])
    print(seconds_of_design, seconds, before, peak_mb(), correlation(predicted, y[new]))


def run_apart(side: str, n_units: int) -> list[float]:
    """Run one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--units", str(n_units)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def compare(n_units: int, n_rounds: int) -> None:
    """Time both sides in turn on the same block of units, and on a tenth of it: the difference is due to units alone."""
    sides, few = ("this solver", "himalaya"), n_units // 10
    rounds = [[(run_apart(side, n_units), run_apart(side, few)) for side in sides] for _ in range(n_rounds)]
    print(
        f"\nRidge regression with a penalty of each unit's own: {N_IMAGES} images, {N_FEATURES} features, {n_units} units, "
        f"{FRACTIONS.size} fractions or alphas, 5 folds, one core"
    )
    print(
        f"{'':12s} {'whole s':>9s} {f'{few} units s':>12s} {'ms per more':>12s} {'peak MB':>9s} {'r on new images':>16s}"
    )
    further = []
    for side, results in zip(sides, zip(*rounds, strict=True), strict=True):
        further.append([(many[1] - some[1]) / (n_units - few) * 1e3 for many, some in results])
        _, whole, _, peak, r = map(statistics.median, zip(*(many for many, _ in results), strict=True))
        start = statistics.median(some[1] for _, some in results)
        print(f"{side:12s} {whole:9.1f} {start:12.1f} {statistics.median(further[-1]):12.2f} {peak:9.0f} {r:16.4f}")
    ratios = {
        f"{n_units} units": [other[0][1] / mine[0][1] for mine, other in rounds],
        "each further unit": [other / mine for mine, other in zip(*further, strict=True)],
    }
    for what, ratio in ratios.items():
        print(f"himalaya / this solver, {what}: {statistics.median(ratio):.1f}")
    print(f"formula: {fractional_ridge_memory_mb(N_IMAGES, N_FEATURES, min(n_units, BLOCK), FRACTIONS.size)} MB")


def run_full() -> None:
    """Fit all units in this process, in blocks that are drawn as they are needed, which is not timed."""
    rng = np.random.default_rng(5)
    x = make_features(rng)[:N_IMAGES]
    list(fit_blocks(make_design(x[:200, :20]), lambda: [make_responses(rng, x[:200], 3)]))  # compiles
    drawing = 0.0

    def draw() -> Iterator[NDArray[np.float32]]:
        nonlocal drawing
        for at in range(0, ALL_UNITS, BLOCK):
            begun = time.process_time()
            block = make_responses(rng, x, min(BLOCK, ALL_UNITS - at))
            drawing += time.process_time() - begun
            yield block

    start = time.process_time()
    n_done = sum(fit.intercept.size for fit, _ in fit_blocks(make_design(x), draw))
    print(n_done, time.process_time() - start - drawing, peak_mb())


def compare_full() -> None:
    """Run this solver on all units, and himalaya on a tenth of them: whether it is slower is then known."""
    done = subprocess.run([sys.executable, __file__, "--full"], stdout=subprocess.PIPE, text=True, check=True)
    n_units, seconds, peak = map(float, done.stdout.split())
    tenth = ALL_UNITS // 10
    _, other, _, other_peak, _ = run_apart("himalaya", tenth)
    formula = fractional_ridge_memory_mb(N_IMAGES, N_FEATURES, BLOCK, FRACTIONS.size)
    print(
        f"\nThis solver, all {n_units:.0f} units, one core: {seconds:.0f} s, peak {peak:.0f} MB "
        f"(formula {formula} and libraries)\n"
        f"himalaya, {tenth} units: {other:.0f} s, peak {other_peak:.0f} MB, the responses of these units among it\n"
        f"himalaya on a tenth of the units / this solver on all: {other / seconds:.1f}"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--units", type=int, default=BLOCK)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.units)
    elif arguments.full:
        run_full()
    else:
        compare(arguments.units, arguments.rounds)
        compare_full()
