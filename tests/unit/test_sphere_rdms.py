"""RDMs by running sums along lines: against double precision, where the sums are long, edges sharp and voxels badly scaled."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy.spatial.distance import pdist

from capcortex.rsa.rdm import n_pairs
from capcortex.rsa.sphere_rdms import TILE, add_outer_products, arrange_betas, follow_lines, lay_out_tiles
from capcortex.rsa.spheres import find_lines, find_spheres

SEED = st.integers(0, 2**32 - 1)
TOLERANCE = 1e-5
"""Of r, as the contract of the searchlight has it."""


def found_in(mask, patterns, radius, distance):
    """Spheres, and similarities in row-major order of pairs with their errors and spreads, centre by centre."""
    spheres = find_spheres(np.argwhere(mask), mask.shape, radius, 0)
    lines, tiles = find_lines(spheres), lay_out_tiles(len(patterns))
    memory = np.full((spheres.centres.size, tiles.pairs.size), np.nan, np.float32)
    here = slice(0, lines.ends.size)
    rows = arrange_betas(patterns, tiles)
    found = follow_lines(rows, spheres, lines, here, distance, tiles, memory, tolerance=TOLERANCE)
    similarities = np.empty((spheres.centres.size, n_pairs(len(patterns))))
    similarities[np.ix_(lines.order, tiles.pairs[tiles.pairs >= 0])] = found.values[:, tiles.pairs >= 0]
    error, spread = np.empty((2, spheres.centres.size))
    error[lines.order], spread[lines.order] = found.error, found.spread
    return spheres, similarities, error, spread, found.n_anew


def assert_right_where_sure(mask, patterns, radius, distance, *, rng, n_checked=150):
    """Compare scores with double precision wherever the bound of the error is small; return where, for spheres of ten voxels.

    The bound is on the root mean square over pairs. With a model that has nothing to do with the error, r is off by far less.
    """
    spheres, similarities, error, spread, n_anew = found_in(mask, patterns, radius, distance)
    model = rng.normal(size=similarities.shape[1])
    sure = error <= TOLERANCE * spread
    for number in rng.permutation(np.flatnonzero(sure))[:n_checked]:
        betas = patterns[:, spheres.members(number)].astype(float)
        expected = -pdist(betas, distance)
        difference = similarities[number] - (expected - expected.mean())
        assert abs(similarities[number].mean()) <= 2**-20 * np.abs(expected).max()  # of numbers in single precision
        assert np.sqrt((difference**2).mean()) < 3 * TOLERANCE * expected.std()
        for target in (model, model + expected / expected.std()):
            r, right = (np.corrcoef(values, target)[0, 1] for values in (similarities[number], expected))
            assert abs(r - right) <= TOLERANCE
    return sure[spheres.sizes >= 10], n_anew


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


# Parts


@given(st.integers(2, 130))
def test_tiles_hold_every_pair_once(n_images):
    tiles = lay_out_tiles(n_images)
    pairs = tiles.pairs[tiles.pairs >= 0]
    assert sorted(pairs.tolist()) == list(range(n_pairs(n_images)))
    assert (tiles.is_pair > 0).tolist() == (tiles.pairs >= 0).tolist()
    # What a matrix of known entries has at these places.
    entry = np.add.outer(1000 * np.arange(tiles.width), np.arange(tiles.width))
    laid_out = np.concatenate([entry[a : a + 6, b : b + 16].ravel() for a, b in tiles.corners])
    first, second = np.triu_indices(n_images, k=1)
    assert (laid_out[tiles.pairs >= 0] == (1000 * first + second)[pairs]).all()
    assert laid_out[tiles.diagonal].tolist() == [1001 * image for image in range(n_images)]
    assert laid_out[tiles.sums].tolist() == [1000 * image + n_images for image in range(n_images)]


def test_outer_products_are_added_and_subtracted(rng):
    @njit
    def call(rows, plus, minus):
        add_outer_products(rows, 2, 5, 3, 16, plus, 4, minus, 7)

    rows, plus, minus = normal(rng, 9, 32), normal(rng, TILE + 20), normal(rng, TILE + 20)
    expected = np.einsum("vi,vj->ij", rows[2:7, 3:9].astype(float), rows[2:7, 16:32]).ravel()
    results = plus.copy(), minus.copy()
    call(rows, *results)
    for result, before, start, sign in ((results[0], plus, 4, 1), (results[1], minus, 7, -1)):
        change = result.astype(float) - before
        np.testing.assert_allclose(change[start : start + TILE], sign * expected, atol=1e-5)
        assert np.delete(change, np.arange(start, start + TILE)).tolist() == [0] * 20


def test_outer_products_call_nothing_where_the_processor_cannot_fuse(run_python):
    code = """
import os
os.environ.update(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
import numpy as np
from numba import njit
from capcortex.rsa.sphere_rdms import add_outer_products
@njit
def call(rows, plus, minus):
    add_outer_products(rows, 0, 5, 3, 16, plus, 0, minus, 0)
call(np.ones((9, 32), np.float32), np.zeros(96, np.float32), np.zeros(96, np.float32))
print("fmaf" in "".join(call.inspect_asm().values()))
"""
    result = run_python(code)
    assert (result.returncode, result.stdout) == (0, "False\n"), result.stderr


@given(SEED, st.tuples(*[st.integers(1, 7)] * 3), st.floats(0.5, 4), st.floats(0.05, 1))
def test_lines_hold_every_centre_once_and_reach_its_sphere(seed, shape, radius, share):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask[tuple(rng.integers(shape))] = True
    spheres = find_spheres(rng.permutation(np.argwhere(mask)), shape, radius, 0)
    lines = find_lines(spheres)
    assert sorted(lines.order.tolist()) == list(range(spheres.centres.size))
    starts = np.append(0, lines.ends[:-1])
    for first, start, end in zip(lines.firsts, starts, lines.ends, strict=True):
        assert lines.places[start] == 0
        assert (np.diff(lines.places[start:end]) > 0).all()
        assert (first + lines.places[start:end] * lines.step == spheres.points[lines.order[start:end]]).all()
    # Every voxel of a sphere is found in its plane, and no other.
    points = np.concatenate(
        [
            away * lines.step + lines.across[: lines.n_reaching[abs(away)]]
            for away in range(-spheres.reach, spheres.reach + 1)
        ]
    )
    assert sorted(points.tolist()) == sorted(spheres.steps.tolist())
    assert lines.n_reaching[-1] == 0


def test_lines_run_along_the_axis_where_they_are_longest():
    for axis in range(3):
        shape = np.full(3, 3)
        shape[axis] = 11
        lines = find_lines(find_spheres(np.argwhere(np.ones(shape)), tuple(shape), 2, 0))
        assert lines.ends.tolist() == list(range(11, 100, 11))


# Rounding


@settings(max_examples=25)
@given(
    SEED,
    st.sampled_from(["correlation", "cosine", "euclidean"]),
    st.sampled_from([1.5, 2, 3.3, 6]),
    st.sampled_from(["holes", "sheets", "threads", "whole"]),
    st.integers(4, 60),
)
def test_ordinary_betas_are_right_and_sure(seed, distance, radius, kind, n_images):
    # The contract: z-scored betas, the standard deviations of voxels within a factor of 3 of 1.
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 9, 8)) < (1 if kind == "whole" else 0.6)
    if kind == "sheets":
        mask[np.arange(20) % 5 > 0] = False
    elif kind == "threads":
        mask[5:, rng.random((9, 8)) > 0.1] = False
    mask[0, 0, 0] = True
    patterns = normal(rng, n_images, mask.sum()) * rng.uniform(1 / 3, 3, mask.sum()).astype(np.float32)
    sure, _ = assert_right_where_sure(mask, patterns, radius, distance, rng=rng, n_checked=20)
    # Few images in few voxels can be all but constant or all but equal by chance.
    assert sure.mean() > 0.88 if sure.size else True


@pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
def test_error_does_not_grow_along_a_line(rng, distance):
    mask = np.ones((500, 7, 7), dtype=bool)
    sure, _ = assert_right_where_sure(mask, normal(rng, 30, mask.sum()), 4, distance, rng=rng, n_checked=400)
    assert sure.all()


@pytest.mark.parametrize("shared", [0, 1, 2])
@pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
def test_bound_of_the_error_holds_along_a_line_of_thousands(rng, distance, shared):
    # What all images share makes the sums large and the RDM flat: the steps' errors show.
    mask = np.ones((3000, 3, 3), dtype=bool)
    patterns = normal(rng, 20, mask.sum()) + shared * normal(rng, 1, mask.sum())
    spheres, similarities, error, spread, _ = found_in(mask, patterns, 4, distance)
    sure = error <= TOLERANCE * spread
    assert sure.any()
    for number in rng.permutation(np.flatnonzero(sure))[:300]:
        expected = -pdist(patterns[:, spheres.members(number)].astype(float), distance)
        difference = similarities[number] - (expected - expected.mean())
        assert np.sqrt((difference**2).mean()) <= 1.5 * error[number]


@pytest.mark.parametrize("weak", [1 / 3, 1e-2, 1e-4])
def test_weak_voxels_after_strong_ones_are_summed_anew(rng, weak):
    # A block of strong voxels, then a thread of weak ones, then a block again, along one line.
    mask = np.zeros((60, 13, 13), dtype=bool)
    mask[:20] = mask[40:] = True
    mask[20:40, 6:8, 6:8] = True
    scale = np.where((np.argwhere(mask)[:, 0] >= 20) & (np.argwhere(mask)[:, 0] < 40), weak, 3).astype(np.float32)
    patterns = normal(rng, 40, mask.sum()) * scale
    sure, n_anew = assert_right_where_sure(mask, patterns, 6, "correlation", rng=rng, n_checked=1000)
    assert sure.all()
    assert n_anew > 0


@pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
def test_badly_scaled_voxels_are_right_where_sure(rng, distance):
    mask = np.ones((40, 9, 9), dtype=bool)
    for scale in (rng.choice([1, 1000], mask.sum(), p=[0.995, 0.005]), 10 ** rng.uniform(-4, 4, mask.sum())):
        patterns = normal(rng, 50, mask.sum()) * scale.astype(np.float32)
        assert_right_where_sure(mask, patterns, 5, distance, rng=rng, n_checked=500)


@pytest.mark.parametrize("distance", ["correlation", "cosine", "euclidean"])
def test_betas_whose_squares_leave_single_precision_are_right_where_sure(rng, distance):
    mask = np.ones((12, 7, 7), dtype=bool)
    for exponent in (-140, -75, -72, -69, -66, -50, -40, 40, 58, 60, 62, 120):
        patterns = normal(rng, 12, mask.sum()) * np.float32(2.0**exponent)
        sure, _ = assert_right_where_sure(mask, patterns, 3, distance, rng=rng, n_checked=50)
        assert sure.all() or abs(exponent) > 40


@pytest.mark.parametrize("trouble", ["offset", "common pattern", "constant", "zero"])
def test_doubt_is_said(rng, trouble):
    # A large mean, a pattern that all images share, an image without variance: single precision is not enough.
    mask = np.ones((12, 7, 7), dtype=bool)
    patterns = normal(rng, 20, mask.sum())
    if trouble == "offset":
        patterns += 100
    elif trouble == "common pattern":
        patterns += 300 * normal(rng, 1, mask.sum())
    else:
        patterns[3] = trouble == "constant"
    sure, _ = assert_right_where_sure(mask, patterns, 3, "correlation", rng=rng)
    assert not sure.any()
