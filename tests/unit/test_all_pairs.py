"""A region compared with models over all pairs: against the definition in `capcortex.rsa.rdm`, and what must not matter."""

from contextlib import ExitStack

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from capcortex.arrays import create_array, open_array, write_array
from capcortex.rsa import all_pairs
from capcortex.rsa.all_pairs import all_pairs_memory_mb, compare_all_pairs
from capcortex.rsa.rdm import compare_rdms, n_pairs, pair_distances

SEED = st.integers(0, 2**32 - 1)
BRAIN_DISTANCES = ("correlation", "cosine", "euclidean")
# Both sides compute in double precision; distances near 0 lose digits in the definition too.
CLOSE = 1e-9


def region_of(values, ids):
    return xr.DataArray(values, dims=("id73k", "vertex"), coords={"id73k": ids})


def features_of(values, ids):
    return xr.Dataset({"features": (("id73k", "feature"), values)}, coords={"id73k": ids})


def rdm_of(square, ids):
    return xr.Dataset({"rdm": (("id73k", "id73k_2"), square)}, coords={"id73k": ids, "id73k_2": ids})


def defined(region, features, distance, model_distance):
    """Pearson's r and number of pairs by the definition, over all pairs of the region's images."""
    chosen = features.sel(id73k=region["id73k"])
    if "rdm" in features:
        ids = region["id73k"].to_numpy()
        of_model = chosen["rdm"].sel(id73k_2=ids).to_numpy()[np.triu_indices(ids.size, k=1)]
    else:
        of_model = pair_distances(chosen["features"].to_numpy(), model_distance)
    return compare_rdms(pair_distances(region.to_numpy(), distance), of_model)


def compare(region, models, distance, model_distances, block=all_pairs.BLOCK):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(all_pairs, "BLOCK", block)
        return compare_all_pairs(region, models, model_distances, distance=distance, what="region")


def study(rng, n=23, dtype=np.float32):
    """A region and models of every kind: ids in another order in each, more images in the models, undefined pairs."""
    ids = rng.permutation(np.arange(100, 100 + n))
    latents = rng.normal(size=(n + 6, 4))
    brain = latents[:n] @ rng.normal(size=(4, 11)) + rng.normal(size=(n, 11)) + 3
    brain[2] = 0  # without a direction, also for cosine
    models, distances = {}, {}
    available = np.concatenate([ids, np.arange(900, 906)])
    for distance in (*BRAIN_DISTANCES, "absolute"):
        values = latents[:, :1] if distance == "absolute" else latents + rng.normal(size=latents.shape)
        if distance != "absolute":
            values[[5, 6]] = 0
        order = rng.permutation(n + 6)
        models[distance], distances[distance] = features_of(values[order].astype(dtype), available[order]), distance
    square = squareform(rng.uniform(size=n_pairs(n + 6)) + 1)
    square[3, 8] = square[8, 3] = np.nan
    order = rng.permutation(n + 6)
    models["given"], distances["given"] = rdm_of(square[np.ix_(order, order)].astype(dtype), available[order]), None
    return region_of(brain.astype(dtype), ids), models, distances


# Agreement with the definition


@given(SEED, st.sampled_from(BRAIN_DISTANCES), st.integers(3, 30), st.integers(2, 31))
def test_same_as_the_definition(seed, distance, n, block):
    region, models, distances = study(np.random.default_rng(seed), n=max(n, 9))
    found = compare(region, models, distance, distances, block)
    assert found["model"].to_numpy().tolist() == list(models)
    for model in models:
        r, used = defined(region, models[model], distance, distances[model])
        assert int(found["n_pairs"].sel(model=model)) == used
        assert abs(float(found["r"].sel(model=model)) - r) < CLOSE


@given(SEED, st.sampled_from(BRAIN_DISTANCES), st.integers(2, 23), st.integers(2, 23))
def test_order_of_images_and_size_of_blocks_do_not_matter(seed, distance, one, other):
    rng = np.random.default_rng(seed)
    region, models, distances = study(rng)
    left = compare(region, models, distance, distances, one)
    right = compare(region[rng.permutation(region.sizes["id73k"])], models, distance, distances, other)
    np.testing.assert_allclose(left["r"], right["r"], atol=CLOSE)
    assert np.array_equal(left["n_pairs"], right["n_pairs"])


def test_one_image_in_the_wrong_place_is_another_result(rng):
    region, models, distances = study(rng)
    ids = region["id73k"].to_numpy().copy()
    ids[[0, 1]] = ids[[1, 0]]
    left, right = (compare(of, models, "correlation", distances) for of in (region, region.assign_coords(id73k=ids)))
    assert (np.abs(left["r"] - right["r"]) > 1e-4).all()


@pytest.mark.parametrize("distance", BRAIN_DISTANCES)
@pytest.mark.parametrize(("scale", "offset"), [(1e-12, 0), (1e12, 0), (1, 1e5), (1e-4, 1), (1e8, -1e12)])
def test_scale_and_offset_take_no_digits(rng, distance, scale, offset):
    """In double precision as they come: an offset of 10,000 standard deviations, and values far from 1."""
    region, models, distances = study(rng, dtype=np.float64)
    region = scale * region + offset
    models = {
        model: file if "rdm" in file else file.assign(features=scale * file["features"] + offset)
        for model, file in models.items()
    }
    found = compare(region, models, distance, distances, 7)
    for model in models:
        r, used = defined(region, models[model], distance, distances[model])
        assert int(found["n_pairs"].sel(model=model)) == used
        # What an offset takes of the digits is lost in the definition too: of a small angle, the square.
        lost = 1e-15 * (abs(offset / scale) + 1) ** (2 if "cosine" in (distance, distances[model]) else 1)
        assert abs(float(found["r"].sel(model=model)) - r) < CLOSE + lost


def test_patterns_near_each_other_and_far_from_the_rest(rng):
    """A Gram matrix has no digits left for the distances within a narrow cluster; here only these are compared."""
    n = 30
    ids = np.arange(1, n + 1)
    narrow = 1e4 * rng.normal(size=20) + 1e-4 * rng.normal(size=(n, 20))
    narrow[-5:] = 1e6 * rng.normal(size=(5, 20))
    narrow[3] = narrow[4]
    features = rng.normal(size=(n, 6))
    features[-5:] = 1  # not defined for the far ones
    region, model = region_of(narrow, ids), features_of(features, ids)
    for block in (7, 512):
        found = compare(region, {"m": model}, "euclidean", {"m": "correlation"}, block)
        r, used = defined(region, model, "euclidean", "correlation")
        assert int(found["n_pairs"][0]) == used == n_pairs(n - 5)
        assert abs(float(found["r"][0]) - r) < 1e-6
        # The same with sides exchanged.
        found = compare(region_of(features, ids), {"m": features_of(narrow, ids)}, "correlation", {"m": "euclidean"})
        assert abs(float(found["r"][0]) - r) < 1e-6


@given(SEED, st.integers(1, 40), st.floats(-1e6, 1e6))
def test_sums_in_parts_are_those_of_the_whole(seed, n_parts, offset):
    """Parts with means far apart, empty parts among them: no large sum is taken from another."""
    rng = np.random.default_rng(seed)
    left = rng.normal(size=500) + offset * (np.arange(500) // 100)
    right = 0.3 * left + rng.normal(size=500) + 1e7
    left[rng.integers(0, 500, 30)] = np.nan
    sums = all_pairs._Sums()
    for part in np.array_split(np.arange(500), np.sort(rng.integers(0, 500, n_parts))):
        sums.add(left[part], right[part])
    r, used = compare_rdms(left, right)
    assert sums.n == used
    assert abs(sums.correlation() - r) < CLOSE


# What is not defined


@pytest.mark.parametrize(
    ("distance", "offset"),
    [("correlation", 0), ("correlation", 0.1), ("cosine", 0), ("euclidean", 0), ("euclidean", 0.1), ("euclidean", 1e6)],
)
def test_rdm_that_does_not_vary_has_no_correlation(rng, distance, offset):
    """One feature of its own for every image: all distances are equal, up to rounding."""
    n = 40
    ids = np.arange(1, n + 1)
    equal = np.eye(n) + offset
    varied = rng.normal(size=(n, 7))
    for block in (9, 512):
        found = compare(region_of(equal, ids), {"m": features_of(varied, ids)}, distance, {"m": "cosine"}, block)
        assert np.isnan(found["r"][0]) and int(found["n_pairs"][0]) == n_pairs(n)
        found = compare(region_of(varied, ids), {"m": features_of(equal, ids)}, "correlation", {"m": distance}, block)
        assert np.isnan(found["r"][0]) and int(found["n_pairs"][0]) == n_pairs(n)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e8])
def test_constant_patterns_have_no_pairs(rng, value):
    n, ids = 12, np.arange(1, 13)
    constant = np.full((n, 5000), value, np.float32)
    found = compare(
        region_of(constant, ids), {"m": features_of(rng.normal(size=(n, 3)), ids)}, "correlation", {"m": "cosine"}
    )
    assert np.isnan(found["r"][0]) and int(found["n_pairs"][0]) == 0


def test_fewer_than_three_pairs_have_no_correlation(rng):
    ids = np.arange(1, 7)
    square = np.full((6, 6), np.nan)
    square[0, 3] = square[3, 0] = 1
    square[2, 5] = square[5, 2] = 2
    region = region_of(rng.normal(size=(6, 4)), ids)
    found = compare(region, {"m": rdm_of(square, ids)}, "correlation", {"m": None}, 4)
    assert np.isnan(found["r"][0]) and int(found["n_pairs"][0]) == 2


# What is refused


def test_lacking_image_is_named(rng):
    region, models, distances = study(rng)
    lacking = region["id73k"].to_numpy()[4]
    for name in ("correlation", "given"):
        file = models[name]
        file = file.isel(
            {dim: file["id73k"].to_numpy() != lacking for dim in file.dims if str(dim).startswith("id73k")}
        )
        with pytest.raises(ValueError, match=rf"model m lacks id73k {lacking} \(1 of 23"):
            compare(region, {"m": file}, "correlation", {"m": distances[name]})


def test_ready_rdm_whose_sides_differ_is_refused(rng):
    region, models, _ = study(rng)
    file = models["given"]
    ids = file["id73k"].to_numpy()
    with pytest.raises(
        ValueError, match=f"image 0 is id73k {ids[0]} in model m, rows but id73k {ids[-1]} in model m, columns"
    ):
        compare(region, {"m": file.assign_coords(id73k_2=ids[::-1])}, "correlation", {"m": None})


def test_patterns_and_distances_that_do_not_fit_are_refused(rng):
    region, models, _ = study(rng)
    bad = region.copy(deep=True)
    bad[7, 3] = np.nan
    with pytest.raises(ValueError, match=rf"region: id73k {int(bad['id73k'][7])} is not finite \(1 of 23 images\)"):
        compare(bad, {}, "correlation", {})
    with pytest.raises(ValueError, match="region: distance 'spearman' is not one of correlation"):
        compare(region, {}, "spearman", {})
    with pytest.raises(ValueError, match="model m: distance 'absolute' is for scalars; found 4 features"):
        compare(region, {"m": models["cosine"]}, "correlation", {"m": "absolute"})


# Files and memory


def test_files_are_read_as_arrays_are(rng, tmp_path):
    region, models, distances = study(rng)
    expected = compare(region, models, "correlation", distances)
    with ExitStack() as stack:
        opened = {}
        for model, file in models.items():
            write_array(file, tmp_path / f"{model}.nc")
            opened[model] = stack.enter_context(open_array(tmp_path / f"{model}.nc", variables=["id73k"]))
        found = compare(region, opened, "correlation", distances, 5)
    np.testing.assert_allclose(found["r"], expected["r"], atol=CLOSE)


def write_values(path, name, shape, second, rng):
    """A file of ones and noise in its first columns: quick to make."""
    ids = np.arange(1, shape[0] + 1)
    with create_array(
        path,
        name=name,
        dims=("id73k", second),
        shape=shape,
        dtype="f4",
        chunks=(100, 4096),
        coords={"id73k": ("id73k", ids)},
        attrs={},
    ) as variable:
        for start in range(0, shape[0], 500):
            values = np.ones((min(500, shape[0] - start), shape[1]), np.float32)
            values[:, :50] = rng.normal(size=(len(values), 50))
            variable[start : start + len(values), :] = values


@pytest.mark.parametrize("size", [(2000, 18_000, 400), (3000, 2000, 3000)])
def test_memory_stays_below_its_formula(run_python, rng, tmp_path, size):
    """A region of many vertices, then models of many features. The files of the models hold twice the images."""
    n_images, n_units, n_features = size
    write_values(tmp_path / "betas.nc", "betas", (n_images, n_units), "vertex", rng)
    for model in "ab":
        write_values(tmp_path / f"{model}.nc", "features", (2 * n_images, n_features), "feature", rng)
    code = """
import sys
from contextlib import ExitStack
from pathlib import Path
import numpy as np
from capcortex.arrays import open_array
from capcortex.nsd.betas import read_roi_betas
from capcortex.rsa.all_pairs import compare_all_pairs
folder, n_units = Path(sys.argv[1]), int(sys.argv[2])
with ExitStack() as stack:
    models = {name: stack.enter_context(open_array(folder / f"{name}.nc", variables=["id73k"])) for name in "ab"}
    patterns = read_roi_betas(folder / "betas.nc", np.arange(n_units))
    found = compare_all_pairs(patterns, models, {"a": "correlation", "b": "euclidean"}, distance="cosine", what="betas")
assert np.isfinite(found["r"].to_numpy()).all()
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    result = run_python(code, tmp_path, n_units)
    assert result.returncode == 0, result.stderr
    formula = all_pairs_memory_mb(n_images, n_units, 2 * n_features, 2)
    assert formula - 500 < float(result.stdout) < formula
