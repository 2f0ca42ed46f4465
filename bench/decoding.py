"""Benchmark of decoding at the size of NSD, on one core: the nearest sentences of a dictionary of 3,000,000, and a subject's fit.

`make bench` writes 3,000,000 vectors of 768 numbers (9.2 GB) to a folder of its own, and looks for those nearest to 515
predictions in a process of its own; it prints the most memory that this took, and how many planted neighbours it found. Then it
fits a subject with fewer images than NSD's, whose time grows as their cube; `--full` fits as many as NSD's. Nothing here is
asserted in tests.
"""

import os

# Before numpy is imported: every side has one core.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from capcortex.arrays import create_array, open_array
from capcortex.encoding.decode import (
    SENTENCES_AT_ONCE,
    UNITS_AT_ONCE,
    decode_images,
    nearest_memory_mb,
    nearest_sentences,
    score_images,
)
from capcortex.encoding.fractional_ridge import FRACTIONS
from capcortex.encoding.gram_ridge import gram_ridge_memory_mb, make_gram

N_SENTENCES, N_DIMENSIONS, N_PREDICTIONS = 3_000_000, 768, 515
N_IMAGES, N_UNITS, FEW_IMAGES = 9485, 67_700, 2000
BOUND_MB = 4096


def peak_mb() -> float:
    """Most memory of this process so far."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def make_predictions() -> np.ndarray:
    """Draw them, the same in every process."""
    return np.random.default_rng(1).standard_normal((N_PREDICTIONS, N_DIMENSIONS))


def planted_rows(n_sentences: int) -> np.ndarray:
    """Where each prediction's neighbour lies."""
    return np.sort(np.random.default_rng(2).choice(n_sentences, N_PREDICTIONS, replace=False))


def write_dictionary(path: Path, n_sentences: int) -> None:
    """Noise around a mean vector, as embeddings have, in which each prediction has one neighbour of r about 0.4."""
    random = np.random.default_rng(3)
    mean = 0.3 * random.standard_normal(N_DIMENSIONS, dtype=np.float32)
    rows = planted_rows(n_sentences)
    near = make_predictions() + 2.3 * random.standard_normal((N_PREDICTIONS, N_DIMENSIONS))
    with create_array(
        path,
        name="vectors",
        dims=("sentence", "dimension"),
        shape=(n_sentences, N_DIMENSIONS),
        dtype="float32",
        chunks=(1024, N_DIMENSIONS),
        coords={},
        attrs={},
    ) as vectors:
        for start in range(0, n_sentences, 65_536):
            block = mean + random.standard_normal((min(65_536, n_sentences - start), N_DIMENSIONS), dtype=np.float32)
            here = (rows >= start) & (rows < start + len(block))
            block[rows[here] - start] = near[here]
            vectors[start : start + len(block), :] = block


def search(path: Path) -> None:
    """Search in this process; print seconds of work and of all, most MB before and after, and planted rows found."""
    predicted = make_predictions()
    nearest_sentences(predicted[:2], [predicted[:3].astype(np.float32)])
    before, begun, worked = peak_mb(), time.perf_counter(), time.process_time()
    with open_array(path, variables=["vectors"]) as file:
        n_sentences = file.sizes["sentence"]
        starts = range(0, n_sentences, SENTENCES_AT_ONCE)
        found = nearest_sentences(
            predicted, (file["vectors"][start : start + SENTENCES_AT_ONCE].to_numpy() for start in starts)
        )
    n_found = int((found.row == planted_rows(n_sentences)).sum())
    print(time.process_time() - worked, time.perf_counter() - begun, before, peak_mb(), n_found)


def search_apart(n_sentences: int) -> None:
    """Write a dictionary, and search it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        free, needed = shutil.disk_usage(folder).free, 4 * n_sentences * N_DIMENSIONS
        if free < 1.2 * needed:
            sys.exit(f"{folder}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; name another TMPDIR")
        path = Path(folder, "dictionary.nc")
        write_dictionary(path, n_sentences)
        done = subprocess.run(
            [sys.executable, __file__, "--search", str(path)], stdout=subprocess.PIPE, text=True, check=True
        )
    seconds, whole, before, peak, n_found = map(float, done.stdout.split())
    formula = nearest_memory_mb(N_PREDICTIONS, N_DIMENSIONS)
    print(
        f"\nNearest of {n_sentences:,} sentences, {N_DIMENSIONS} dimensions, to {N_PREDICTIONS} predictions, one core: "
        f"{seconds:.0f} s of work, {whole:.0f} s with reading ({seconds / n_sentences * 1e6:.0f} us of work per sentence)\n"
        f"peak {peak:.0f} MB, of them libraries {before:.0f}; formula without these {formula} MB; bound {BOUND_MB} MB: "
        f"{'kept' if peak <= BOUND_MB else 'EXCEEDED'}; planted neighbours found: {n_found:.0f} of {N_PREDICTIONS}"
    )


def fit(n_images: int) -> None:
    """Decode from responses that are drawn block by block; drawing is not timed."""
    random = np.random.default_rng(5)
    embeddings = random.standard_normal((n_images + N_PREDICTIONS, 40), dtype=np.float32)
    targets = 0.5 * random.standard_normal(N_DIMENSIONS) + embeddings @ random.standard_normal((40, N_DIMENSIONS)) / 6
    warm = random.standard_normal((60, 30))
    decode_images(make_gram([(warm[:50], warm[50:])]), targets[:50, :20])  # compiles
    before, drawing = peak_mb(), 0.0

    def draw():
        nonlocal drawing
        for start in range(0, N_UNITS, UNITS_AT_ONCE):
            begun = time.process_time()
            n_units = min(UNITS_AT_ONCE, N_UNITS - start)
            block = 0.1 * embeddings @ random.standard_normal((40, n_units), dtype=np.float32)
            block += random.standard_normal(block.shape, dtype=np.float32)
            drawing += time.process_time() - begun
            yield block[:n_images], block[n_images:]

    start = time.process_time()
    gram = make_gram(draw())
    made = time.process_time() - start - drawing
    found = decode_images(gram, targets[:n_images])
    seconds = time.process_time() - start - drawing
    scores = score_images(found.predicted, targets[n_images:])
    formula = gram_ridge_memory_mb(n_images, N_PREDICTIONS, UNITS_AT_ONCE, N_DIMENSIONS, FRACTIONS.size)
    print(
        f"\nDecoding {N_DIMENSIONS} dimensions from {N_UNITS} vertices, {n_images} images, one core: {seconds:.0f} s, of them "
        f"{made:.0f} s for products of images (the rest: {(seconds - made) / n_images**3 * 1e9:.2f} ns per cube of images)\n"
        f"peak {peak_mb():.0f} MB, of them libraries {before:.0f}; formula without these {formula} MB; r {scores.r.mean():.3f}, "
        f"other images {scores.mismatched.mean():.3f}, identification {scores.identification.mean():.3f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also a subject with all of NSD's images")
    parser.add_argument("--sentences", type=int, default=N_SENTENCES)
    parser.add_argument("--images", type=int, default=FEW_IMAGES)
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fit", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search:
        search(arguments.search)
    elif arguments.fit:
        fit(arguments.fit)
    else:
        search_apart(arguments.sentences)
        # Each in a process of its own, whose memory is that of the fit alone.
        for n_images in [arguments.images, *([N_IMAGES] if arguments.full else [])]:
            subprocess.run([sys.executable, __file__, "--fit", str(n_images)], check=True)
