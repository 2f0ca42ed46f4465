"""The searchlight: against rsatoolbox, brute force, the definition in `capcortex.rsa.rdm`, and what must not matter."""

import re

import numpy as np
import pytest
import rsatoolbox
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rsatoolbox.util.searchlight import get_volume_searchlight
from scipy.spatial.distance import cdist

from capcortex.arrays import open_array, write_array
from capcortex.rsa import searchlight
from capcortex.rsa.rdm import compare_rdms, pair_distances, rdms_of_sets
from capcortex.rsa.searchlight import (
    BRAIN_DISTANCES,
    TOLERANCE,
    average_image_sets,
    score_searchlight,
    searchlight_memory_mb,
)
from capcortex.rsa.sphere_rdms import Similarities
from capcortex.rsa.spheres import find_spheres

SEED = st.integers(0, 2**32 - 1)
RADIUS = st.sampled_from([1.5, 2, np.sqrt(5), 3, 3.3])
SHAPE = (6, 5, 4)


def mask_with_holes(rng, shape=SHAPE, share=0.7):
    mask = rng.random(shape) < share
    mask[tuple(np.array(shape) // 2)] = True
    return mask


def betas_of(rng, indices, ids):
    """Betas with an offset and a scale of their own in every voxel."""
    values = rng.normal(size=(len(ids), len(indices))) * rng.uniform(0.5, 1.5, len(indices)) + rng.normal(
        size=len(indices)
    )
    places = {axis: ("voxel", indices[:, number]) for number, axis in enumerate("ijk")}
    return xr.DataArray(values.astype(np.float32), dims=("id73k", "voxel"), coords={"id73k": ids, **places})


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def model_of(rng, image_sets, labels, distance="correlation"):
    ids = np.unique(image_sets)
    features = xr.DataArray(rng.normal(size=(ids.size, 5)), dims=("id73k", "feature"), coords={"id73k": ids})
    return rdms_of_sets(features, image_sets, labels, distance, what="model")


def study(rng, *, mask=None, n_sets=2, n_images=14, radius=2, least_share=0.3):
    """Arguments of `score_searchlight`, all but the distance. The betas hold more images than the sets, in another order."""
    indices = np.argwhere(mask_with_holes(rng) if mask is None else mask)
    ids = rng.permutation(np.arange(1, 10 * n_sets * n_images))[: n_sets * n_images + 5]
    image_sets = rng.permutation(ids)[: n_sets * n_images].reshape(n_sets, n_images)
    labels = [f"set-{number}" for number in range(n_sets)]
    models = {name: model_of(rng, image_sets, labels) for name in ("caption", "categories")}
    spheres = find_spheres(indices, SHAPE if mask is None else mask.shape, radius, least_share)
    return betas_of(rng, indices, ids), image_sets, labels, models, spheres


def assert_as_defined(found, arguments, distance, atol=TOLERANCE):
    """Compare scores with the definition, one sphere, image set and model after the other."""
    betas, image_sets, labels, models, spheres = arguments
    for centre in range(spheres.centres.size):
        members = np.sort(spheres.members(centre))
        for row, (images, label) in enumerate(zip(image_sets, labels, strict=True)):
            values = found["r"].to_numpy()[:, row, centre]
            if members.size < 2:
                assert np.isnan(values).all()
                continue
            brain = pair_distances(betas.sel(id73k=images).to_numpy()[:, members], distance)
            if distance != "euclidean":
                brain[brain < 1e-13] = 0
            expected = [
                compare_rdms(brain, model["rdm"].sel(image_set=label).to_numpy())[0] for model in models.values()
            ]
            np.testing.assert_allclose(values, expected, atol=atol)


# Spheres


@settings(max_examples=10)
@given(SEED, RADIUS, st.sampled_from([0.3, 0.5, 0.75]))
def test_spheres_agree_with_rsatoolbox(seed, radius, least_share):
    mask = mask_with_holes(np.random.default_rng(seed))
    indices = np.argwhere(mask)
    # Its share of voxels in the mask means something only for spheres that are not cut at the mask.
    kept, _ = get_volume_searchlight(mask, radius, least_share)
    every, members = get_volume_searchlight(mask, radius, 0, truncate_at_boundary=True)
    spheres = find_spheres(indices, mask.shape, radius, least_share)
    flat = np.ravel_multi_index(tuple(indices.T), mask.shape)
    assert flat[spheres.centres].tolist() == kept.tolist()
    of_centre = dict(zip(every.tolist(), members, strict=True))
    for number, centre in enumerate(kept.tolist()):
        assert flat[spheres.members(number)].tolist() == sorted(of_centre[centre])
        assert spheres.sizes[number] == len(of_centre[centre])


@given(SEED, st.tuples(*[st.integers(1, 6)] * 3), st.floats(0.5, 4), st.floats(0, 1))
def test_every_voxel_of_the_mask_within_the_radius_is_a_member(seed, shape, radius, least_share):
    rng = np.random.default_rng(seed)
    mask = mask_with_holes(rng, shape, rng.uniform(0.1, 1))
    indices = rng.permutation(np.argwhere(mask))
    near = cdist(indices, indices) < radius
    volume = cdist(indices, np.argwhere(np.ones(shape))) < radius
    centres = np.flatnonzero(near.sum(axis=1) / volume.sum(axis=1) >= least_share)
    assume(centres.size)
    spheres = find_spheres(indices, shape, radius, least_share)
    assert spheres.centres.tolist() == centres.tolist()
    assert spheres.sizes.tolist() == near[centres].sum(axis=1).tolist()
    for number, centre in enumerate(centres):
        assert sorted(spheres.members(number).tolist()) == np.flatnonzero(near[centre]).tolist()


@pytest.mark.parametrize(("radius", "size", "with_boundary"), [(3, 93, 123), (6, 895, 925)])
def test_a_voxel_at_exactly_the_radius_is_outside(radius, size, with_boundary):
    # Whole spheres by counting sums of three squares: the coefficients of (1 + 2 q + 2 q^4 + 2 q^9 + ..)^3.
    squares = np.zeros(radius**2 + 1, dtype=int)
    squares[np.arange(radius + 1) ** 2] = 2
    squares[0] = 1
    sums = np.convolve(np.convolve(squares, squares), squares)[: radius**2 + 1]
    assert (sums[:-1].sum(), sums.sum()) == (size, with_boundary)
    shape = (2 * radius + 3,) * 3
    indices = np.argwhere(np.ones(shape))
    middle = np.ravel_multi_index((radius + 1,) * 3, shape)
    strict, loose = (find_spheres(indices, shape, r, 0.5) for r in (radius, radius + 1e-9))
    assert strict.sizes[middle] == size
    assert loose.sizes[middle] == with_boundary
    added = indices[np.setdiff1d(loose.members(middle), strict.members(middle))] - (radius + 1)
    assert ((added**2).sum(axis=1) == radius**2).all()


def test_share_counts_the_spheres_voxels_inside_the_volume_only():
    whole = np.argwhere(np.ones(SHAPE))
    assert find_spheres(whole, SHAPE, 3, 1.0).centres.size == np.prod(SHAPE)  # the corners too
    # Without the corner, all spheres that reach it fall below 1, and no other.
    without = whole[1:]
    kept = find_spheres(without, SHAPE, 3, 1.0).centres
    assert kept.tolist() == np.flatnonzero(np.linalg.norm(without, axis=1) >= 3).tolist()
    # Exactly the least share is enough: one of two voxels.
    assert find_spheres([[0, 0, 0]], (2, 1, 1), 1.5, 0.5).sizes.tolist() == [1]
    with pytest.raises(ValueError, match=r"none of 1 voxels is the centre .* share of 0.51"):
        find_spheres([[0, 0, 0]], (2, 1, 1), 1.5, 0.51)


@pytest.mark.parametrize(
    ("indices", "radius", "message"),
    [
        ([[0, 0, 0], [0, 5, 1]], 2, r"voxel \(0, 5, 1\) lies outside the volume of shape \(6, 5, 4\)"),
        ([[0, 0, 0], [-1, 0, 0]], 2, r"voxel \(-1, 0, 0\) lies outside"),
        ([[1, 2, 3], [0, 0, 0], [1, 2, 3]], 2, r"voxel \(1, 2, 3\) occurs twice"),
        ([[1, 2, 3]], 0, "above 0, found 0"),
        ([1, 2, 3], 2, r"found \(3,\)"),
    ],
)
def test_impossible_masks_are_refused(indices, radius, message):
    with pytest.raises(ValueError, match=message):
        find_spheres(indices, SHAPE, radius, 0.5)


# Scores


@settings(max_examples=10)
@given(SEED, RADIUS)
def test_scores_agree_with_rsatoolbox(seed, radius):
    rng = np.random.default_rng(seed)
    mask = mask_with_holes(rng)
    betas, image_sets, labels, models, spheres = study(rng, mask=mask, radius=radius)
    found = score_searchlight(betas, image_sets, labels, models, spheres, distance="correlation")
    volume = np.zeros((betas.sizes["id73k"], mask.size))
    volume[:, mask.ravel()] = betas
    centres, members = get_volume_searchlight(mask, radius, 0, truncate_at_boundary=True)
    of_centre = dict(zip(centres.tolist(), members, strict=True))
    rows = {image: row for row, image in enumerate(betas["id73k"].to_numpy())}
    for label, images in zip(labels, image_sets, strict=True):
        patterns = volume[[rows[image] for image in images]]
        targets = rsatoolbox.rdm.RDMs(np.array([model["rdm"].sel(image_set=label) for model in models.values()]))
        for centre in range(spheres.centres.size):
            place = tuple(int(found[axis][centre]) for axis in "ijk")
            inside = of_centre[np.ravel_multi_index(place, mask.shape)]
            if len(inside) > 1:
                brain = rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(patterns[:, inside]), method="correlation")
                expected = rsatoolbox.rdm.compare(targets, brain, method="corr")[:, 0]
                np.testing.assert_allclose(found["r"].sel(image_set=label)[:, centre], expected, atol=1e-6)
            assert int(found["n_voxels"][centre]) == len(inside)


@settings(max_examples=15)
@given(SEED, st.sampled_from(BRAIN_DISTANCES), RADIUS, st.sampled_from([0.15, 0.7, 1]))
def test_scores_are_what_the_definition_says(seed, distance, radius, share):
    rng = np.random.default_rng(seed)
    mask = mask_with_holes(rng, share=share)
    arguments = study(rng, mask=mask, radius=radius, least_share=0)
    models = arguments[3]
    # The category model does not know some images; in one set it knows but three of them, in another but two.
    rdm = models["categories"]["rdm"].to_numpy()
    rdm[0, rng.random(rdm.shape[1]) < 0.4] = np.nan
    rdm[1, 2:] = np.nan
    found = score_searchlight(*arguments, distance=distance)
    assert found["r"].dims == ("model", "image_set", "centre")
    assert found["r"].dtype == np.float32
    assert found["model"].to_numpy().tolist() == ["caption", "categories"]
    assert_as_defined(found, arguments, distance)
    assert np.isnan(found["r"].sel(model="categories", image_set="set-1")).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", BRAIN_DISTANCES)
@pytest.mark.parametrize("trouble", ["constant", "zero", "equal", "nearly equal", "all equal", "offset", "far image"])
def test_patterns_at_the_edge_of_rounding_are_left_to_the_definition(rng, distance, trouble):
    arguments = study(rng)
    betas, image_sets = arguments[:2]
    rows = [betas["id73k"].to_numpy().tolist().index(image) for image in image_sets[1]]
    values = betas.to_numpy()
    if trouble == "constant":
        values[rows[2]] = 0.1
    elif trouble == "zero":
        values[rows[2]] = 0
    elif trouble == "equal":
        values[rows[2]] = values[rows[4]]
    elif trouble == "nearly equal":
        values[rows[2]] = values[rows[4]] * (1 + np.float32(1e-6))
    elif trouble == "all equal":
        values[rows] = values[rows[4]]
    elif trouble == "offset":
        # Single precision still tells the betas apart; the cosine itself, 1 minus 1e-12, would not in double precision.
        values += np.float32(1e3 if distance == "cosine" else 1e6)
    else:
        values[rows[2]] *= 1e6
    found = score_searchlight(*arguments, distance=distance)
    if trouble == "all equal":
        assert np.isnan(found["r"].sel(image_set="set-1")).all()
    else:
        assert_as_defined(found, arguments, distance)


@pytest.mark.parametrize("distance", BRAIN_DISTANCES)
def test_ordinary_betas_do_not_need_the_slow_way(rng, distance, monkeypatch):
    arguments = study(rng, n_images=20, least_share=0.5)
    arguments[3]["categories"]["rdm"].to_numpy()[:, 5:20] = np.nan
    assert (arguments[-1].sizes > 3).all()
    monkeypatch.delattr("capcortex.rsa.searchlight._score_in_double_precision")
    assert np.isfinite(score_searchlight(*arguments, distance=distance)["r"]).all()


def test_what_single_precision_cannot_do_double_precision_does(rng, monkeypatch, caplog):
    caplog.set_level("INFO")
    arguments = study(rng, n_images=20, least_share=0.5)
    betas, image_sets = arguments[:2]
    rows = [betas["id73k"].to_numpy().tolist().index(image) for image in image_sets[1]]
    betas.to_numpy()[rows] += np.float32(1e3)  # the second set alone
    monkeypatch.delattr("capcortex.rsa.searchlight.pair_distances")
    found = score_searchlight(*arguments, distance="correlation")
    monkeypatch.undo()
    assert_as_defined(found, arguments, "correlation", atol=2e-7)
    n_centres = arguments[-1].centres.size
    first, notice, second = (record.getMessage() for record in caplog.records)
    assert notice.startswith(f"{n_centres} of {n_centres} spheres need double precision")
    assert re.fullmatch(
        rf"image set set-0 \(1 of 2\): {n_centres} spheres in .* s, 0 of them in double precision", first
    )
    assert second.endswith(f", {n_centres} of them in double precision")


@pytest.mark.parametrize("model", [0, 1, 2])
def test_scores_are_given_up_exactly_where_the_bound_reaches_the_tolerance(rng, model):
    # Three models: of all 190 pairs, of 60 of them, and of 44.
    values = normal(rng, 50, 190)
    values -= values.mean(axis=1, keepdims=True)
    masks = np.zeros((3, 190), dtype=np.float32)
    for mask, n_used in zip(masks, (190, 60, 44), strict=True):
        mask[:n_used] = 1
    values[:, 60:] *= 3  # so that the spread of some pairs is not that of all
    spread = np.array([values[:, mask > 0].std(axis=1) for mask in masks], dtype=np.float64)
    directions = normal(rng, 190, 3) * masks.T
    shares = rng.permutation(np.append(np.linspace(0.5, 0.999, 25), np.linspace(1.001, 2, 25)))
    found = Similarities(values, TOLERANCE * shares * spread[model], values.std(axis=1).astype(float), 190, 0)
    r = searchlight._correlate(found, directions, masks, np.arange(3))[model]
    assert np.isfinite(r).tolist() == (shares < 1 if model < 2 else shares < 0).tolist()


def test_double_precision_holds_few_betas_at_once(rng, monkeypatch):
    # Few images have short RDMs, but their spheres are as large as any.
    monkeypatch.setattr("capcortex.rsa.searchlight.BLOCK_BYTES", 2**15)
    held = []
    whole = searchlight._score_in_double_precision

    def recorded(of_spheres, *rest):
        held.append(sum(betas.nbytes for betas in of_spheres))
        return whole(of_spheres, *rest)

    monkeypatch.setattr("capcortex.rsa.searchlight._score_in_double_precision", recorded)
    arguments = study(rng, mask=np.ones((9, 9, 9), dtype=bool), n_sets=1, n_images=4, radius=3.3)
    arguments[0].to_numpy()[:] += np.float32(1e3)
    assert_as_defined(score_searchlight(*arguments, distance="correlation"), arguments, "correlation")
    assert sum(held) == 8 * 4 * arguments[-1].sizes.sum()
    assert max(held) <= 2**15


def test_rdm_that_does_not_vary_has_no_score(rng):
    # Three images, each with its own voxel: every cosine distance is 1.
    ids = np.array([5, 3, 9])
    betas = betas_of(rng, np.argwhere(np.ones((3, 1, 1))), ids).copy(data=np.diag([0.1, 0.7, 3]).astype(np.float32))
    image_sets = ids[None]
    models = {"caption": model_of(rng, image_sets, ["a"])}
    spheres = find_spheres(np.argwhere(np.ones((3, 1, 1))), (3, 1, 1), 3, 0.5)
    assert np.isnan(score_searchlight(betas, image_sets, ["a"], models, spheres, distance="cosine")["r"]).all()
    assert np.isfinite(score_searchlight(betas, image_sets, ["a"], models, spheres, distance="euclidean")["r"]).all()
    # Two voxels, the same one higher for all images: every correlation distance is 0, but for rounding.
    pair = find_spheres([[0, 0, 0], [1, 0, 0]], (2, 1, 1), 3, 0.5)
    higher = betas[:, :2].copy(data=np.float32([[2.5, -1.2], [1.3, -1.1], [0.7, -0.2]]))
    assert np.isnan(score_searchlight(higher, image_sets, ["a"], models, pair, distance="correlation")["r"]).all()
    # And a model that does not vary has no score, where the brain's RDM does.
    flat = {"caption": models["caption"].assign(rdm=xr.full_like(models["caption"]["rdm"], 0.1))}
    assert np.isnan(score_searchlight(betas, image_sets, ["a"], flat, spheres, distance="euclidean")["r"]).all()


@pytest.mark.parametrize("distance", BRAIN_DISTANCES)
def test_sphere_of_one_voxel_has_no_score(rng, distance):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[0, 0, 0] = mask[4, 3, 3] = mask[4, 4, 3] = True
    found = score_searchlight(*study(rng, mask=mask, least_share=0), distance=distance)
    assert found["n_voxels"].to_numpy().tolist() == [1, 2, 2]
    assert np.isnan(found["r"][:, :, 0]).all()
    assert np.isfinite(found["r"][:, :, 1:]).all()


@settings(max_examples=10)
@given(SEED, st.sampled_from(BRAIN_DISTANCES))
def test_what_must_not_matter(seed, distance):
    rng = np.random.default_rng(seed)
    mask = mask_with_holes(rng)
    betas, image_sets, labels, models, spheres = study(rng, mask=mask, n_sets=3)
    expected = score_searchlight(betas, image_sets, labels, models, spheres, distance=distance)

    parts = [
        score_searchlight(betas, image_sets[part], labels[part], models, spheres, distance=distance)
        for part in (slice(0, 1), slice(1, 3))
    ]
    np.testing.assert_allclose(xr.concat([part["r"] for part in parts], "image_set"), expected["r"], atol=2 * TOLERANCE)
    alone = score_searchlight(
        betas, image_sets, labels, {"categories": models["categories"]}, spheres, distance=distance
    )
    np.testing.assert_allclose(alone["r"], expected["r"].sel(model=["categories"]), atol=2 * TOLERANCE)

    order = rng.permutation(image_sets.shape[1])
    square = np.zeros((image_sets.shape[1],) * 2, dtype=int)
    upper = np.triu_indices(len(square), k=1)
    square[upper] = np.arange(upper[0].size)
    moved_pairs = (square + square.T)[np.ix_(order, order)][upper]
    moved = {
        name: model.assign(rdm=model["rdm"][:, moved_pairs], id73k=model["id73k"][:, order])
        for name, model in models.items()
    }
    reordered = score_searchlight(betas, image_sets[:, order], labels, moved, spheres, distance=distance)
    np.testing.assert_allclose(reordered["r"], expected["r"], atol=2 * TOLERANCE)

    voxels, axes = rng.permutation(betas.sizes["voxel"]), rng.permutation(3)
    shuffled = betas[:, voxels]
    turned = shuffled.assign_coords(
        {axis: ("voxel", shuffled["ijk"[axes[number]]].to_numpy()) for number, axis in enumerate("ijk")}
    )
    indices = np.column_stack([turned[axis] for axis in "ijk"])
    other = find_spheres(indices, tuple(np.array(SHAPE)[axes]), 2, 0.3)
    found = score_searchlight(turned, image_sets, labels, models, other, distance=distance)
    # Back into the first order by place: axis number of the turned volume is axis axes[number] of the first.
    places = np.column_stack([found["ijk"[axis]] for axis in np.argsort(axes)])
    back = np.lexsort(places.T[::-1])
    for number, axis in enumerate("ijk"):
        assert places[back, number].tolist() == expected[axis].to_numpy().tolist()
    np.testing.assert_allclose(found["r"][:, :, back], expected["r"], atol=2 * TOLERANCE)
    assert found["n_voxels"][back].to_numpy().tolist() == expected["n_voxels"].to_numpy().tolist()


def test_set_with_other_images_is_named(rng):
    betas, image_sets, labels, models, spheres = study(rng)
    ids = image_sets.copy()
    ids[1, [2, 3]] = ids[1, [3, 2]]
    models["categories"] = models["categories"].assign_coords(id73k=(("image_set", "image"), ids))
    message = (
        rf"image 2 is id73k {image_sets[1, 2]} in searchlight, image set set-1 "
        rf"but id73k {image_sets[1, 3]} in model categories, image set set-1"
    )
    with pytest.raises(ValueError, match=message):
        score_searchlight(betas, image_sets, labels, models, spheres, distance="correlation")
    models["categories"] = models["caption"].sel(image_set=["set-0"])
    with pytest.raises(ValueError, match="model categories lacks image set set-1; it has set-0"):
        score_searchlight(betas, image_sets, labels, models, spheres, distance="correlation")


def test_sets_and_models_meet_by_name(rng):
    betas, image_sets, labels, models, spheres = study(rng, n_sets=3)
    expected = score_searchlight(betas, image_sets, labels, models, spheres, distance="correlation")
    reversed_models = {name: model.isel(image_set=[2, 0, 1]) for name, model in models.items()}
    found = score_searchlight(betas, image_sets, labels, reversed_models, spheres, distance="correlation")
    xr.testing.assert_equal(found, expected)


def test_wrong_betas_are_refused(rng):
    betas, image_sets, labels, models, spheres = study(rng)
    rest = (image_sets, labels, models)
    with pytest.raises(ValueError, match="distance 'absolute' is not one of correlation, cosine, euclidean"):
        score_searchlight(betas, *rest, spheres, distance="absolute")
    with pytest.raises(ValueError, match="voxels are not those of the spheres"):
        score_searchlight(betas[:, ::-1], *rest, spheres, distance="correlation")
    with pytest.raises(ValueError, match="betas are float64, expected float32"):
        score_searchlight(betas.astype(np.float64), *rest, spheres, distance="correlation")
    without = betas.sel(id73k=betas["id73k"] != image_sets[1, 0])
    with pytest.raises(ValueError, match=rf"betas lacks id73k {image_sets[1, 0]} "):
        score_searchlight(without, *rest, spheres, distance="correlation")
    betas.loc[{"id73k": image_sets[1, 3]}][7] = np.nan
    with pytest.raises(ValueError, match=rf"id73k {image_sets[1, 3]} is nan in voxel 7 \(1 such"):
        score_searchlight(betas, *rest, spheres, distance="correlation")


def test_betas_and_models_are_left_alone_and_scores_survive_a_file(rng, tmp_path):
    betas, image_sets, labels, models, spheres = study(rng)
    before = betas.copy(deep=True), {name: model.copy(deep=True) for name, model in models.items()}
    found = score_searchlight(betas, image_sets, labels, models, spheres, distance="euclidean")
    xr.testing.assert_identical(betas, before[0])
    for name, model in models.items():
        xr.testing.assert_identical(model, before[1][name])
    write_array(found, tmp_path / "scores.nc")
    with open_array(tmp_path / "scores.nc", variables=["r", "n_voxels", "i", "j", "k"]) as file:
        xr.testing.assert_identical(file.load(), found)


def test_memory_stays_below_its_formula(run_python):
    # Small spheres: the arrays of a large job without its time. One thread, as a job has.
    code = """
import os
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np, xarray as xr
from capcortex.rsa.rdm import rdms_of_sets
from capcortex.rsa.searchlight import score_searchlight
from capcortex.rsa.spheres import find_spheres
indices = np.argwhere(np.ones((40, 40, 40), dtype=bool))
sets = np.arange(1, 301).reshape(3, 100)
places = {axis: ("voxel", indices[:, number]) for number, axis in enumerate("ijk")}
values = np.random.default_rng(1).standard_normal((300, len(indices)), dtype=np.float32)
betas = xr.DataArray(values, dims=("id73k", "voxel"), coords={"id73k": sets.ravel(), **places})
model = rdms_of_sets(betas[:, :9], sets, ["a", "b", "c"], "correlation", what="model")
spheres = find_spheres(indices, (40, 40, 40), 2, 0.5)
score_searchlight(betas, sets, ["a", "b", "c"], {"x": model, "y": model}, spheres, distance="correlation")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    formula = searchlight_memory_mb(3, 100, 64_000, 2)
    assert formula - 400 < int(result.stdout) / 1024 < formula


# Means over image sets


def scored(rng, n_sets=5):
    scores = score_searchlight(*study(rng, n_sets=n_sets), distance="correlation")
    values = scores["r"].to_numpy()
    values[0, 1, 3] = np.nan  # one set without a value
    values[0, :, 4] = np.nan  # no set with one
    values[1, 1:, 5] = np.nan  # a single set with one
    return scores


@pytest.mark.parametrize("blocks", [[5], [2, 3], [1, 1, 3]])
def test_mean_and_spread_leave_out_sets_without_a_value(rng, blocks):
    scores = scored(rng)
    ends = np.cumsum(blocks)
    parts = [scores.isel(image_set=slice(end - size, end)) for end, size in zip(ends, blocks, strict=True)]
    found = average_image_sets(iter(parts))
    for model, centre in np.ndindex(scores["r"].shape[0], scores["r"].shape[2]):
        values = [float(value) for value in scores["r"][model, :, centre] if np.isfinite(value)]
        assert int(found["n_image_sets"][model, centre]) == len(values)
        expected = np.mean(values) if values else np.nan
        np.testing.assert_allclose(found["r"][model, centre], expected, atol=1e-12)
        spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
        np.testing.assert_allclose(found["sd"][model, centre], spread, atol=1e-8)
    for name in ("n_voxels", "i", "j", "k", "model"):
        assert found[name].to_numpy().tolist() == scores[name].to_numpy().tolist()
    one = average_image_sets([part.sel(model="categories") for part in parts])
    xr.testing.assert_equal(one, found.sel(model="categories"))


def test_blocks_that_do_not_belong_together_are_refused(rng):
    scores = scored(rng)
    first, second = scores.isel(image_set=slice(0, 2)), scores.isel(image_set=slice(2, 5))
    with pytest.raises(ValueError, match="image sets set-1 to set-3: image set set-1 occurs twice"):
        average_image_sets([first, scores.isel(image_set=slice(1, 4))])
    with pytest.raises(ValueError, match="image set set-2 occurs twice"):
        average_image_sets([first, second.isel(image_set=[0, 1, 0])])
    n_centres = scores.sizes["centre"]
    with pytest.raises(ValueError, match=rf"set-2 to set-4: other .*{n_centres - 1} and {n_centres} centres"):
        average_image_sets([first, second.isel(centre=slice(1, None))])
    for name in ("i", "n_voxels"):
        changed = second.assign_coords(i=second["i"] + 1) if name == "i" else second.assign(n_voxels=second[name] + 1)
        with pytest.raises(ValueError, match="other models, centres or sphere sizes"):
            average_image_sets([first, changed])
    with pytest.raises(ValueError, match="no searchlight scores"):
        average_image_sets([])
