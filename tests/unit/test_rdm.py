"""RDMs and their comparison: against rsatoolbox, closed forms, and what must not matter."""

import numpy as np
import pytest
import rsatoolbox
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from capcortex.arrays import open_array, write_array
from capcortex.rsa.measures import n_images_of
from capcortex.rsa.rdm import (
    DISTANCES,
    compare_rdms,
    compare_sets,
    mean_of_other_repeats,
    n_pairs,
    pair_distances,
    rdms_of_repeats,
    rdms_of_sets,
    rdms_on_sets,
    subrdms_of_sets,
)

SEED = st.integers(0, 2**32 - 1)


def patterns(rng, n=12, k=9):
    return rng.normal(1, 2, size=(n, k)) * rng.uniform(0.1, 10, size=(n, 1))


def features_of(rng, ids, k=6):
    return xr.DataArray(rng.normal(size=(len(ids), k)), dims=("id73k", "feature"), coords={"id73k": ids})


# RDMs


@given(SEED)
def test_rdms_agree_with_rsatoolbox(seed):
    x = patterns(np.random.default_rng(seed))
    data = rsatoolbox.data.Dataset(x)
    found = rsatoolbox.rdm.calc_rdm(data, method="correlation").dissimilarities[0]
    np.testing.assert_allclose(pair_distances(x, "correlation"), found, atol=1e-6)
    # rsatoolbox's "euclidean" is the squared distance over the number of channels.
    found = rsatoolbox.rdm.calc_rdm(data, method="euclidean").dissimilarities[0]
    np.testing.assert_allclose(pair_distances(x, "euclidean"), np.sqrt(found * x.shape[1]), rtol=1e-6)


def test_other_repeats_are_averaged_for_each_repeat(rng):
    ids = np.arange(1, 9)
    values = rng.normal(size=(3, 8, 5))
    repeats = xr.DataArray(
        values, dims=("repeat", "id73k", "feature"), coords={"repeat": [1, 2, 3], "id73k": ids}, name="betas"
    )
    others = mean_of_other_repeats(repeats)
    assert others.dims == repeats.dims and others["repeat"].to_numpy().tolist() == [1, 2, 3]
    expected = [np.delete(values, one, axis=0).mean(axis=0) for one in range(3)]
    np.testing.assert_allclose(others, expected, atol=1e-14)
    rdms = rdms_of_repeats(others, ids.reshape(2, 4), ["a", "b"], "correlation", what="betas")
    assert rdms.dims == ("image_set", "repeat", "pair")
    np.testing.assert_allclose(
        rdms.sel(image_set="b", repeat=3), pair_distances(expected[2][4:], "correlation"), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("distance", "name"), [("correlation", "correlation"), ("cosine", "cosine"), ("euclidean", "euclidean")]
)
def test_rdms_agree_with_scipy(rng, distance, name):
    x = patterns(rng, n=30)
    np.testing.assert_allclose(pair_distances(x, distance), pdist(x, name), atol=1e-12)


def test_absolute_is_the_difference_of_scalars(rng):
    x = rng.normal(size=(8, 1))
    expected = [abs(x[i, 0] - x[j, 0]) for i in range(8) for j in range(i + 1, 8)]
    np.testing.assert_allclose(pair_distances(x, "absolute"), expected)
    with pytest.raises(ValueError, match="for scalars; found 2 features"):
        pair_distances(np.zeros((3, 2)), "absolute")


def test_closed_forms():
    x = np.array([[1.0, 0, 0, 0], [3, 2, 2, 2], [0, 3, 3, 3], [1, 1, -1, -1]])
    # Row 1 is row 0 + 2 (r = 1); row 2 is 3 - 3 row 0 (r = -1); row 3: r with row 0 is 1 / sqrt(3) over deviations.
    distances = pair_distances(x, "correlation")
    np.testing.assert_allclose(distances[:3], [0, 2, 1 - 1 / np.sqrt(3)], atol=1e-12)
    np.testing.assert_allclose(pair_distances(x, "cosine")[[0, 1]], [1 - 3 / np.sqrt(21), 1], atol=1e-12)
    np.testing.assert_allclose(pair_distances(x, "euclidean")[0], 4)


@given(st.integers(2, 20))
def test_pairs_are_the_row_major_upper_triangle(n):
    values = np.sqrt(np.arange(n, dtype=float))[:, None]
    vector = pair_distances(values, "absolute")
    assert vector.size == n_pairs(n) == n * (n - 1) / 2
    square = squareform(vector)  # scipy's own convention
    np.testing.assert_allclose(square, np.abs(values - values.T))


@given(SEED, st.sampled_from(["correlation", "cosine", "euclidean"]), st.floats(0.01, 100))
def test_what_must_not_matter(seed, distance, scale):
    rng = np.random.default_rng(seed)
    x = patterns(rng)
    expected = squareform(pair_distances(x, distance), checks=False)
    order = rng.permutation(len(x))
    moved = squareform(pair_distances(x[order], distance), checks=False)
    np.testing.assert_allclose(moved, expected[np.ix_(order, order)], atol=1e-9)
    np.testing.assert_allclose(
        pair_distances(x[:, rng.permutation(x.shape[1])], distance), squareform(expected), atol=1e-9
    )
    if distance == "correlation":  # gain and offset of an image
        own = rng.uniform(0.1, 10, (len(x), 1)) * x + rng.normal(size=(len(x), 1))
        np.testing.assert_allclose(pair_distances(own, distance), squareform(expected), atol=1e-9)
    elif distance == "cosine":
        np.testing.assert_allclose(pair_distances(scale * x, distance), squareform(expected), atol=1e-9)
    else:  # linear in scale, blind to what all images share
        np.testing.assert_allclose(pair_distances(scale * x + 3, distance), scale * squareform(expected), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-8, 1e8])
@pytest.mark.parametrize("n_features", [3, 7, 384, 5000])
def test_constant_pattern_has_no_correlation_distance(rng, value, n_features):
    x = rng.normal(size=(4, n_features))
    x[2] = value
    square = squareform(pair_distances(x, "correlation"), checks=False)
    off = ~np.eye(4, dtype=bool)
    assert np.isnan(square[2][off[2]]).all()
    rest = [0, 1, 3]
    np.testing.assert_allclose(pair_distances(x[rest], "correlation"), squareform(square[np.ix_(rest, rest)]))


def test_zero_pattern_has_no_cosine_distance(rng):
    x = rng.normal(size=(4, 5))
    x[0] = 0
    assert np.isnan(pair_distances(x, "cosine")).tolist() == [True] * 3 + [False] * 3
    assert np.isfinite(pair_distances(x, "euclidean")).all()


@pytest.mark.parametrize("distance", DISTANCES[:3])
def test_pattern_that_is_not_finite_is_refused(rng, distance):
    x = rng.normal(size=(4, 5))
    x[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"row 2 is not finite \(1 of 4 rows\)"):
        pair_distances(x, distance)


def test_unknown_distance_and_shape_are_refused():
    with pytest.raises(ValueError, match="'spearman' is not one of correlation"):
        pair_distances(np.eye(3), "spearman")
    with pytest.raises(ValueError, match=r"found \(3,\)"):
        pair_distances(np.ones(3), "correlation")


# RDMs of image sets


def test_each_set_takes_its_own_images_whatever_the_order_of_the_file(rng, tmp_path):
    ids = rng.permutation(np.arange(100, 140))
    features = features_of(rng, ids)
    sets = rng.choice(ids, (3, 8), replace=False)
    labels = ["a", "b", "shared-001"]
    found = rdms_of_sets(features, sets, labels, "correlation", what="model")
    for label, images in zip(labels, sets, strict=True):
        expected = pdist(features.sel(id73k=images).to_numpy(), "correlation")
        np.testing.assert_allclose(found["rdm"].sel(image_set=label), expected, atol=1e-6)
        assert found["id73k"].sel(image_set=label).to_numpy().tolist() == images.tolist()
    write_array(found, tmp_path / "rdm.nc")
    with open_array(tmp_path / "rdm.nc", variables=["rdm", "id73k", "image_set"]) as file:
        xr.testing.assert_identical(file.load(), found)


def test_ready_rdm_gives_the_same_as_its_features(rng):
    ids = rng.permutation(np.arange(100, 140))
    features = features_of(rng, ids)
    square = squareform(pair_distances(features.to_numpy(), "correlation"))
    ready = xr.DataArray(square, dims=("id73k", "id73k_2"), coords={"id73k": ids, "id73k_2": ids})
    sets = rng.choice(ids, (4, 7), replace=False)
    labels = list("abcd")
    left = subrdms_of_sets(ready, sets, labels, what="own")
    right = rdms_of_sets(features, sets, labels, "correlation", what="model")
    np.testing.assert_allclose(left["rdm"], right["rdm"], atol=1e-6)
    assert np.array_equal(left["id73k"], right["id73k"])


@pytest.mark.parametrize("make", [rdms_of_sets, subrdms_of_sets])
def test_lacking_image_is_named(rng, make):
    ids = np.array([3, 4, 5, 6])
    data = xr.DataArray(np.eye(4), dims=("id73k", "x"), coords={"id73k": ids})
    arguments = ["correlation"] if make is rdms_of_sets else []
    with pytest.raises(ValueError, match=r"captions lacks id73k 7 \(1 of 4"):
        make(data, np.array([[3, 4], [7, 5]]), ["a", "b"], *arguments, what="captions")


# Comparison


@given(SEED, st.integers(3, 15))
def test_comparison_agrees_with_rsatoolbox(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 2, (2, n_pairs(n)))
    expected = rsatoolbox.rdm.compare(rsatoolbox.rdm.RDMs(a[None, :]), rsatoolbox.rdm.RDMs(b[None, :]), method="corr")[
        0, 0
    ]
    r, used = compare_rdms(a, b)
    assert used == n_pairs(n)
    assert abs(r - expected) < 1e-6


def test_whole_chain_agrees_with_rsatoolbox(rng):
    brain, model = rng.normal(size=(20, 50)), rng.normal(size=(20, 30))
    made = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(x), method="correlation") for x in (brain, model)]
    expected = rsatoolbox.rdm.compare(*made, method="corr")[0, 0]
    ids = np.arange(1, 21)
    ours = [
        rdms_of_sets(
            xr.DataArray(x, dims=("id73k", "f"), coords={"id73k": ids}), ids[None], ["a"], "correlation", what="x"
        )
        for x in (brain, model)
    ]
    assert abs(float(compare_sets(*ours, left_name="brain", right_name="model")["r"][0]) - expected) < 1e-6


@given(SEED, st.lists(st.integers(0, 27), max_size=20), st.lists(st.integers(0, 27), max_size=20))
def test_undefined_pairs_are_left_out_on_both_sides(seed, left, right):
    a, b = np.random.default_rng(seed).uniform(size=(2, 28))
    a[left], b[right] = np.nan, np.nan
    keep = [k for k in range(28) if k not in left and k not in right]
    r, used = compare_rdms(a, b)
    assert used == len(keep)
    if used < 3:
        assert np.isnan(r)
    else:
        assert abs(r - stats.pearsonr(a[keep], b[keep]).statistic) < 1e-9


@given(SEED, st.floats(0.001, 1000), st.floats(-10, 10))
def test_comparison_does_not_depend_on_scale_offset_and_side(seed, scale, offset):
    a, b = np.random.default_rng(seed).uniform(size=(2, 28))
    r, _ = compare_rdms(a, b)
    assert abs(compare_rdms(scale * a + offset, b)[0] - r) < 1e-9
    assert abs(compare_rdms(b, a)[0] - r) < 1e-12
    assert abs(compare_rdms(-a, b)[0] + r) < 1e-12
    assert compare_rdms(a, scale * a + offset)[0] == pytest.approx(1)


def test_comparison_leaves_its_arguments_alone(rng):
    a, b = rng.uniform(size=(2, 28))
    a[3] = np.nan
    kept = a.copy(), b.copy()
    compare_rdms(a, b)
    assert np.array_equal(a, kept[0], equal_nan=True)
    assert np.array_equal(b, kept[1])


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 99, 1.0101, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rdm_that_does_not_vary_has_no_correlation(rng, value, dtype):
    # The mean of 4,950 times 0.1 is not exactly 0.1: rounding must not pass for a correlation.
    flat, other = np.full(4950, value, dtype=dtype), rng.uniform(size=4950)
    for left, right in ((flat, other), (other, flat), (flat, flat)):
        r, used = compare_rdms(left, right)
        assert np.isnan(r)
        assert used == 4950


# Comparison of collections


def collections(rng):
    ids = np.arange(1, 41)
    sets = rng.permutation(ids).reshape(4, 10)
    brain = rdms_of_sets(features_of(rng, ids), sets[:3], ["a", "b", "shared-001"], "correlation", what="brain")
    model = rdms_of_sets(
        features_of(rng, ids), sets[[3, 1, 0, 2]], ["z", "b", "a", "shared-001"], "correlation", what="model"
    )
    return brain, model


def test_sets_are_joined_by_name(rng):
    brain, model = collections(rng)
    found = compare_sets(brain, model, left_name="brain", right_name="model")
    assert found["image_set"].to_numpy().tolist() == ["a", "b", "shared-001"]
    for name in found["image_set"].to_numpy():
        x, y = (collection["rdm"].sel(image_set=name).to_numpy().astype(float) for collection in (brain, model))
        assert float(found["r"].sel(image_set=name)) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert int(found["n_pairs"].sel(image_set=name)) == 45


def test_one_exchanged_image_is_named(rng):
    brain, model = collections(rng)
    ids = model["id73k"].to_numpy().copy()
    ids[1, [4, 5]] = ids[1, [5, 4]]  # set b: the same images in another order
    swapped = model.assign_coords(id73k=(("image_set", "image"), ids))
    right = brain["id73k"].sel(image_set="b").to_numpy()
    message = rf"image 4 is id73k {right[4]} in brain, image set b but id73k {right[5]} in model, image set b"
    with pytest.raises(ValueError, match=message):
        compare_sets(brain, swapped, left_name="brain", right_name="model")


def test_no_common_set_is_an_error(rng):
    brain, model = collections(rng)
    with pytest.raises(ValueError, match="brain and model have no image set in common"):
        compare_sets(brain.sel(image_set=["a"]), model.sel(image_set=["z"]), left_name="brain", right_name="model")


def test_rdms_are_picked_in_the_order_of_other_sets(rng):
    brain, model = collections(rng)
    wanted = brain.sel(image_set=["shared-001", "a"])
    found = rdms_on_sets(model, wanted, name="model", sets_name="brain")
    assert found["image_set"].to_numpy().tolist() == ["shared-001", "a"]
    np.testing.assert_array_equal(found, model["rdm"].sel(image_set=["shared-001", "a"]))
    of_regions = model.expand_dims(roi=["early", "ventral"])
    assert rdms_on_sets(of_regions, wanted, name="model", sets_name="brain").dims == ("image_set", "roi", "pair")
    assert rdms_on_sets(model, brain.isel(image_set=[]), name="model", sets_name="brain").shape == (0, 45)


def test_rdms_on_sets_of_other_images_are_refused(rng):
    brain, model = collections(rng)
    ids = model["id73k"].to_numpy().copy()
    ids[2, [4, 5]] = ids[2, [5, 4]]
    swapped = model.assign_coords(id73k=(("image_set", "image"), ids))
    with pytest.raises(ValueError, match=r"image 4 is id73k .* in model, image set a but .* in brain, image set a"):
        rdms_on_sets(swapped, brain.sel(image_set=["a"]), name="model", sets_name="brain")
    with pytest.raises(ValueError, match=r"model lacks image set y of brain \(1 of 1 sets\)"):
        rdms_on_sets(model, brain.isel(image_set=[0]).assign_coords(image_set=["y"]), name="model", sets_name="brain")


def test_pairs_know_their_images():
    assert [n_images_of(n_pairs(n)) for n in range(1, 200)] == list(range(1, 200))
    with pytest.raises(ValueError, match="no number of images has 4951 pairs"):
        n_images_of(4951)
