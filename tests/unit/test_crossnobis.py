"""Crossnobis distances: against rsatoolbox and the dense formula; without bias; what must not matter does not."""

import functools
import itertools

import numpy as np
import pytest
import rsatoolbox
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from capcortex.rsa import crossnobis as module
from capcortex.rsa.crossnobis import (
    LEAST_NOISE_IMAGES,
    N_NOISE_IMAGES,
    crossnobis_distances,
    crossnobis_memory_mb,
    crossnobis_of_sets,
    draw_noise_images,
    estimate_noise,
)
from capcortex.rsa.rdm import pair_distances
from capcortex.seeds import random_generator


def make_repeats(rng, n_images, n_units, n_repeats=3, *, patterns=0.0, correlated=0.7):
    """Single responses: patterns (image, unit) and noise that is correlated over units of very different scale."""
    noise = rng.normal(size=(n_repeats, n_images, n_units))
    noise += correlated * rng.normal(size=(n_repeats, n_images, 1)) * np.linspace(-1, 2, n_units)
    return (patterns + noise) * np.geomspace(0.5, 4, n_units)


def residuals_of(repeats):
    """Rows of residuals around the mean of each image."""
    return (repeats - repeats.mean(axis=0)).reshape(-1, repeats.shape[2])


def covariance_of(noise):
    """The covariance that `Noise` stands for, unit by unit."""
    dof = len(noise.contrasts)
    inner = (1 - noise.shrinkage) / dof * noise.contrasts.T @ noise.contrasts
    inner += noise.shrinkage * np.eye(noise.deviation.size)
    return noise.deviation[:, None] * inner * noise.deviation


def direct(repeats, precision):
    """The definition, pair by pair of images and of repeats."""
    n_repeats, n_images, n_units = repeats.shape
    found = []
    for i, j in itertools.combinations(range(n_images), 2):
        difference = repeats[:, i] - repeats[:, j]
        products = [difference[a] @ precision @ difference[b] for a, b in itertools.permutations(range(n_repeats), 2)]
        found.append(np.mean(products) / n_units)
    return np.array(found)


@pytest.mark.parametrize("shape", [(3, 12, 40), (3, 60, 7), (2, 30, 30), (4, 5, 3), (3, 20, 2)])
def test_covariance_and_precision_are_rsatoolboxs(rng, shape):
    n_repeats, n_images, n_units = shape
    repeats = make_repeats(rng, n_images, n_units, n_repeats)
    noise, dof = estimate_noise(repeats), n_images * (n_repeats - 1)
    theirs = rsatoolbox.data.noise.cov_from_residuals(residuals_of(repeats), dof=dof, method="shrinkage_diag")
    np.testing.assert_allclose(covariance_of(noise), theirs, rtol=1e-9, atol=1e-12)
    assert 0 < noise.shrinkage < 1
    precision = rsatoolbox.data.noise.prec_from_residuals(residuals_of(repeats), dof=dof, method="shrinkage_diag")
    x = make_repeats(rng, 6, n_units, n_repeats)
    np.testing.assert_allclose(crossnobis_distances(x, noise), direct(x, precision), rtol=1e-8, atol=1e-10)


def test_independent_noise_is_shrunk_to_the_diagonal(rng):
    repeats = rng.normal(size=(3, 10, 60))
    noise = estimate_noise(repeats)
    theirs = rsatoolbox.data.noise.cov_from_residuals(residuals_of(repeats), dof=20, method="shrinkage_diag")
    np.testing.assert_allclose(covariance_of(noise), theirs, rtol=1e-9, atol=1e-12)
    assert noise.shrinkage > 0.7


def test_one_unit_has_its_variance_and_nothing_to_shrink(rng):
    repeats = rng.normal(size=(3, 20, 1))
    noise = estimate_noise(repeats)
    assert noise.shrinkage == 1
    variance = np.square(residuals_of(repeats)).sum() / 40
    x = rng.normal(size=(3, 4, 1))
    np.testing.assert_allclose(crossnobis_distances(x, noise), direct(x, np.array([[1 / variance]])), rtol=1e-9)


def test_distances_are_rsatoolboxs(rng):
    repeats, x = make_repeats(rng, 40, 25), make_repeats(rng, 8, 25, patterns=rng.normal(size=(8, 25)))
    precision = np.linalg.inv(covariance_of(estimate_noise(repeats)))
    data = rsatoolbox.data.Dataset(
        x.reshape(-1, 25), obs_descriptors={"image": np.tile(np.arange(8), 3), "repeat": np.repeat(np.arange(3), 8)}
    )
    theirs = rsatoolbox.rdm.calc_rdm(
        data, descriptor="image", method="crossnobis", noise=precision, cv_descriptor="repeat"
    )
    found = crossnobis_distances(x, estimate_noise(repeats))
    np.testing.assert_allclose(found, theirs.dissimilarities[0], rtol=1e-8)


@functools.cache
def simulated(kind):
    """Mean and standard error over many studies of the distance of two images of equal pattern, beside one that differs."""
    rng, found = np.random.default_rng(5), []
    patterns = np.zeros((20, 30))
    patterns[2] = 1.0
    for _ in range(250):
        x = make_repeats(rng, 20, 30, patterns=patterns)
        others = make_repeats(rng, 60, 30)
        if kind == "crossnobis":
            distance = crossnobis_distances(x, estimate_noise(others))
        elif kind == "own residuals":
            distance = crossnobis_distances(x, estimate_noise(x))
        else:
            distance = pair_distances(x.mean(axis=0), "euclidean") ** 2
        found.append(distance[:2])
    found = np.array(found)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found)), found


def test_equal_patterns_have_distance_0_on_average():
    mean, error, found = simulated("crossnobis")
    assert abs(mean[0]) < 3 * error[0]
    assert mean[1] > 20 * error[1]
    # Not clipped: about half of the distances of equal patterns are negative.
    assert 0.4 < (found[:, 0] < 0).mean() < 0.65


@pytest.mark.parametrize("kind", ["squared euclidean of averages", "own residuals"])
def test_other_distances_of_equal_patterns_are_too_large(kind):
    mean, error, _ = simulated(kind)
    assert mean[0] > 5 * error[0]


@given(st.permutations(range(3)), st.permutations(range(6)), st.permutations(range(9)), st.integers(0, 9))
def test_order_of_repeats_images_and_units_does_not_matter(repeat, image, unit, seed):
    rng = np.random.default_rng(seed)
    others, x = make_repeats(rng, 15, 9), make_repeats(rng, 6, 9)
    expected = direct_square(x, others)
    moved = direct_square(x[repeat][:, image][:, :, unit], others[repeat][:, rng.permutation(15)][:, :, unit])
    np.testing.assert_allclose(moved, expected[np.ix_(image, image)], rtol=1e-8, atol=1e-12)


def direct_square(x, others):
    found = np.zeros((x.shape[1], x.shape[1]))
    found[np.triu_indices(x.shape[1], k=1)] = crossnobis_distances(x, estimate_noise(others))
    return found + found.T


@given(st.lists(st.floats(1e-3, 1e3), min_size=8, max_size=8), st.integers(0, 9))
def test_scale_and_offset_of_single_units_do_not_matter(scale, seed):
    rng = np.random.default_rng(seed)
    others, x = make_repeats(rng, 15, 8), make_repeats(rng, 5, 8)
    expected = crossnobis_distances(x, estimate_noise(others))
    scaled = crossnobis_distances(x * scale + scale, estimate_noise(others * scale - scale))
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-9)


def test_distances_add_up_over_groups_of_units_whose_noise_is_independent(rng):
    """With the diagonal alone (weight 1) the distance of a region is the mean over units of the distances of single units."""
    others, x = make_repeats(rng, 30, 6), make_repeats(rng, 5, 6)
    noise = estimate_noise(others)
    diagonal = module.Noise(noise.deviation, noise.contrasts, 1.0, np.eye(len(noise.contrasts)))
    single = [crossnobis_distances(x[:, :, [u]], estimate_noise(others[:, :, [u]])) for u in range(6)]
    np.testing.assert_allclose(crossnobis_distances(x, diagonal), np.mean(single, axis=0), rtol=1e-9, atol=1e-12)


def test_distance_grows_with_the_square_of_the_difference(rng):
    noise, x = estimate_noise(make_repeats(rng, 30, 6)), rng.normal(size=(5, 6))
    once, twice = (crossnobis_distances(np.tile(k * x, (3, 1, 1)), noise) for k in (1, 2))
    np.testing.assert_allclose(twice, 4 * once, rtol=1e-9)
    assert (once > 0).all()


def test_a_unit_without_noise_is_named(rng):
    repeats = make_repeats(rng, 20, 5)
    repeats[:, :, 3] = repeats[0, :, 3]
    with pytest.raises(ValueError, match=r"1 of 5 vertices or voxels, first number 3 .* do not vary over the repeats"):
        estimate_noise(repeats)


# Noise images and sets


@given(st.sets(st.integers(1, 400), min_size=4, max_size=300), st.data())
def test_noise_images_are_outside_the_set_where_there_are_enough(images, data):
    images = np.array(sorted(images))
    inside = np.array(data.draw(st.lists(st.sampled_from(images.tolist()), min_size=2, unique=True)))
    drawn = draw_noise_images(images, inside, np.random.default_rng(3))
    if images.size - inside.size < LEAST_NOISE_IMAGES:
        assert drawn.tolist() == images.tolist()
    else:
        assert drawn.tolist() == sorted(set(images) - set(inside))


def test_noise_images_are_at_most_so_many_and_drawn():
    images = np.arange(1, 10_001)
    one, other = (draw_noise_images(images, images[::100], np.random.default_rng(seed)) for seed in (1, 2))
    assert one.size == other.size == N_NOISE_IMAGES == np.unique(one).size
    assert not np.isin(images[::100], one).any()
    assert np.intersect1d(one, other).size < 200


def as_repeats(values, ids):
    return xr.DataArray(
        values.astype(np.float32),
        dims=("repeat", "id73k", "vertex"),
        coords={"repeat": [1, 2, 3], "id73k": ids, "vertex": np.arange(values.shape[2])},
    )


def test_each_set_has_the_noise_of_its_own_others(rng, caplog):
    ids = rng.permutation(np.arange(10, 90))
    repeats = as_repeats(make_repeats(rng, 80, 12), ids)
    sets = np.array([ids[:8], ids[8:16]])
    with caplog.at_level("WARNING"):
        found = crossnobis_of_sets(repeats, sets, ["a", "b"], seed=1, subject="subj01", what="x.nc")
    assert not caplog.records
    assert found["rdm"].dims == ("image_set", "pair") and found["rdm"].dtype == np.float32
    assert found["rdm"].attrs["distance"] == "crossnobis"
    assert found["id73k"].to_numpy().tolist() == sets.tolist()
    for row, chosen in enumerate(sets):
        rest = repeats.sel(id73k=[image for image in ids if image not in chosen]).to_numpy()
        expected = crossnobis_distances(repeats.sel(id73k=chosen).to_numpy(), estimate_noise(rest))
        np.testing.assert_allclose(found["rdm"][row], expected, rtol=1e-5, atol=1e-6)


def test_draws_depend_on_seed_subject_and_set_only(rng, monkeypatch):
    monkeypatch.setattr(module, "N_NOISE_IMAGES", 55)
    ids = np.arange(1, 101)
    repeats = as_repeats(make_repeats(rng, 100, 12), ids)
    sets = np.array([ids[:8], ids[20:28]])

    def rdm(label, **changes):
        arguments = {"seed": 1, "subject": "subj01", "what": "x.nc"} | changes
        return crossnobis_of_sets(repeats, sets, ["a", "b"], **arguments)["rdm"].sel(image_set=label).to_numpy()

    alone = crossnobis_of_sets(repeats, sets[1:], ["b"], seed=1, subject="subj01", what="x.nc")["rdm"][0].to_numpy()
    assert np.array_equal(rdm("b"), alone)
    assert not np.array_equal(rdm("b", seed=2), alone)
    assert not np.array_equal(rdm("b", subject="subj02"), alone)
    drawn = draw_noise_images(ids, sets[1], random_generator(1, "noise-images", "subj01", "b"))
    expected = crossnobis_distances(
        repeats.sel(id73k=sets[1]).to_numpy(), estimate_noise(repeats.sel(id73k=drawn).to_numpy())
    )
    np.testing.assert_allclose(alone, expected, rtol=1e-5, atol=1e-6)


def test_few_others_make_the_set_take_part_and_the_log_says_so(rng, caplog):
    ids = np.arange(1, 31)
    repeats = as_repeats(make_repeats(rng, 30, 5), ids)
    with caplog.at_level("WARNING"):
        found = crossnobis_of_sets(repeats, ids[None, :6], ["a"], seed=1, subject="subj01", what="x.nc")
    expected = crossnobis_distances(repeats.to_numpy()[:, :6], estimate_noise(repeats.to_numpy()))
    np.testing.assert_allclose(found["rdm"][0], expected, rtol=1e-5)
    assert "of 1 image sets noise was estimated from all 30 images" in caplog.text


RUN = """
import numpy as np, xarray as xr
from capcortex.rsa.crossnobis import crossnobis_of_sets
n_images, n_units, size = 500, 4000, 50
values = np.random.default_rng(1).normal(size=(3, n_images, n_units)).astype(np.float32)
ids = np.arange(1, n_images + 1)
repeats = xr.DataArray(values, dims=("repeat", "id73k", "vertex"), coords={"id73k": ids})
crossnobis_of_sets(repeats, ids[None, :size], ["a"], seed=1, subject="s", what="x")
"""


def test_memory_stays_within_the_formula(peak_mb):
    libraries, peak = 250, peak_mb(RUN)
    assert peak < libraries + crossnobis_memory_mb(500, 4000, 50) < 3 * peak
