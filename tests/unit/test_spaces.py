"""From the volume to the cortex: against scipy's own interpolators, closed forms, and each row of the table of differences."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline, RegularGridInterpolator
from scipy.ndimage import map_coordinates

from capcortex.nsd.miniature import formats
from capcortex.nsd.spaces import (
    CONVENTIONS,
    METHODS,
    project_to_fsaverage,
    read_coordinates,
    read_depths,
    sample_labels,
    sample_volume,
)
from capcortex.nsd.vertex_index import read_vertex_index

SHAPE = (7, 9, 8)
SEED = st.integers(0, 2**32 - 1)
ORDER = {"cubic": 3, "linear": 1, "nearest": 0}


def inner_points(rng, n, margin=0.0):
    """Points at least ``margin`` voxels inside the centres of the outermost voxels, 1-based."""
    return rng.uniform(1 + margin, np.array(SHAPE) - margin, (n, 3))


def catmull_rom(volume, points):
    """Hermite splines with centred differences as slopes, one axis after the other, on a volume with its edge repeated."""
    wide = np.pad(volume, 2, mode="edge")
    values = []
    for point in points:
        part = wide
        for place in point:
            part = CubicHermiteSpline(np.arange(len(part)), part, np.gradient(part, axis=0), axis=0)(place - 1 + 2)
        values.append(part)
    return np.array(values)


# Kernels


def test_cubic_is_catmull_rom_up_to_the_edge(rng):
    volume = rng.normal(size=SHAPE)
    corners = np.stack(np.meshgrid([1, 1.3, SHAPE[0]], [1, 1.4, SHAPE[1]], [1, 1.6, SHAPE[2] - 0.2]), -1).reshape(-1, 3)
    points = np.vstack([inner_points(rng, 100), corners])
    found = sample_volume(volume, points, method="cubic", convention="matlab")
    np.testing.assert_allclose(found, catmull_rom(volume, points), atol=1e-12)


def test_linear_agrees_with_scipy(rng):
    volume, points = rng.normal(size=SHAPE), inner_points(rng, 200)
    expected = RegularGridInterpolator([np.arange(1, side + 1) for side in SHAPE], volume)(points)
    found = sample_volume(volume, points, method="linear", convention="matlab")
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_nearest_voxel_with_halves_to_the_voxel_above(rng, convention):
    volume, points = rng.normal(size=SHAPE), inner_points(rng, 200, margin=1)
    i, j, k = np.rint(points).astype(int).T - 1
    found = sample_volume(volume, points, method="nearest", convention=convention)
    np.testing.assert_array_equal(found, volume[i, j, k])
    halves = np.array([[2.5, 3.5, 4.5], [3.5, 2.5, 5.5]])  # np.rint would give even numbers
    found = sample_volume(volume, halves, method="nearest", convention=convention)
    np.testing.assert_array_equal(found, [volume[2, 3, 4], volume[3, 2, 5]])


@pytest.mark.parametrize("method", METHODS)
def test_nsdcode_is_map_coordinates_with_shifted_bounds(rng, method):
    volume = rng.normal(size=SHAPE)
    points = rng.uniform(-1, np.array(SHAPE) + 3, (500, 3))
    from_zero = points - 1
    expected = map_coordinates(volume, from_zero.T, order=ORDER[method], mode="nearest")
    expected[((from_zero < 1) | (from_zero > SHAPE)).any(axis=1)] = 0
    found = sample_volume(volume, points, method=method, convention="nsdcode")
    np.testing.assert_array_equal(found, expected)
    assert 0 < np.count_nonzero(found) < 500


@pytest.mark.parametrize("method", METHODS)
def test_voxel_centres_keep_their_values(rng, method):
    volume = rng.normal(size=SHAPE)
    centres = np.indices(SHAPE).reshape(3, -1).T + 1
    found = sample_volume(volume, centres, method=method, convention="matlab")
    np.testing.assert_array_equal(found, volume.ravel())
    found = sample_volume(volume, centres, method=method, convention="nsdcode").reshape(SHAPE)
    np.testing.assert_allclose(found[1:, 1:, 1:], volume[1:, 1:, 1:], atol=1e-12)


# Bounds


@pytest.mark.parametrize(("convention", "first", "missing"), [("matlab", 1, np.nan), ("nsdcode", 2, 0)])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_bounds_are_inclusive(convention, first, missing, method, axis):
    last = SHAPE[axis] + first - 1
    points = np.full((6, 3), 4.0)
    points[:, axis] = [first, np.nextafter(first, 0), last, np.nextafter(last, 99), np.nan, 9999]
    found = sample_volume(np.full(SHAPE, 3.0), points, method=method, convention=convention)
    np.testing.assert_allclose(found, [3, missing, 3, missing, missing, missing])


@pytest.mark.parametrize("method", ["linear", "nearest"])
def test_nsdcode_loses_the_first_layer_and_repeats_the_last(rng, method):
    volume = 1 + rng.uniform(size=SHAPE)
    points = np.array([[1, 4, 4], [1.9, 4, 4], [7, 4, 4], [7.3, 4, 4], [8, 4, 4]])
    last = volume[6, 3, 3]
    found = sample_volume(volume, points, method=method, convention="nsdcode")
    np.testing.assert_allclose(found, [0, 0, last, last, last])
    found = sample_volume(volume, points, method=method, convention="matlab")
    assert np.isfinite(found).tolist() == [True, True, True, False, False]
    assert found[2] == last


def test_conventions_agree_inside_and_differ_at_the_edge():
    shape = np.array((24, 26, 25))
    grid = np.indices(shape).astype(float)
    volume = np.cos(0.2 * grid[0]) + np.sin(0.15 * grid[1]) * np.cos(0.1 * grid[2])
    x, y, z = np.random.default_rng(1).uniform(1, shape + 1, (5000, 3)).T
    points = np.column_stack([x, y, z])
    ours, theirs = (sample_volume(volume, points, method="cubic", convention=c) for c in CONVENTIONS)
    inside = ((points >= 4) & (points <= shape - 3)).all(axis=1)
    truth = np.cos(0.2 * (x - 1)) + np.sin(0.15 * (y - 1)) * np.cos(0.1 * (z - 1))
    # A third-order kernel on steps of at most 0.2: errors of about 0.2**3 times a constant well below 1.
    np.testing.assert_allclose(ours[inside], truth[inside], atol=1e-3)
    np.testing.assert_allclose(theirs[inside], ours[inside], atol=1e-3)
    first, beyond = (points < 2).any(axis=1), (points > shape).any(axis=1)
    assert (theirs[first] == 0).all()
    assert np.isfinite(ours[first & ~beyond]).all()
    assert np.isnan(ours[beyond]).all()
    assert (theirs[beyond & ~first] != 0).all()


# Missing values


def test_nan_takes_away_what_its_kernel_reaches():
    volume = np.ones((11, 11, 11))
    volume[5, 5, 5] = np.nan  # coordinate 6
    along = np.array([3.9, 4, 4.1, 4.6, 5, 5.1, 5.4, 5.6, 6, 6.4, 6.6, 6.9, 7, 7.1, 7.9, 8, 8.1])
    reach = {"cubic": 2, "linear": 1}
    for axis in range(3):
        points = np.full((along.size, 3), 6.2)
        points[:, axis] = along
        for method in METHODS:
            found = sample_volume(volume, points, method=method, convention="matlab")
            lost = abs(along - 6) < reach[method] if method in reach else (along >= 5.5) & (along < 6.5)
            if method == "cubic":
                lost &= (along == 6) | (along != np.round(along))  # a centre needs its own voxel alone
            assert np.isnan(found).tolist() == lost.tolist(), (axis, method)
            np.testing.assert_allclose(found[~lost], 1)


@pytest.mark.parametrize("method", METHODS)
def test_voxel_centre_keeps_its_value_beside_missing_ones(method):
    volume = np.full((5, 5, 5), np.nan)
    volume[2, 2, 2] = 7
    points = np.array([[3.0, 3, 3], [3, 3, 3.001]])
    found = sample_volume(volume, points, method=method, convention="matlab")
    np.testing.assert_array_equal(found, [7, 7 if method == "nearest" else np.nan])


@pytest.mark.parametrize("method", METHODS)
def test_nsdcode_puts_zero_for_nan(rng, method):
    volume, points = rng.normal(size=SHAPE), inner_points(rng, 100, margin=1)
    volume[rng.uniform(size=SHAPE) < 0.3] = np.nan
    zeros = np.where(np.isnan(volume), 0, volume)
    found = sample_volume(volume, points, method=method, convention="nsdcode")
    np.testing.assert_array_equal(found, sample_volume(zeros, points, method=method, convention="nsdcode"))
    assert np.isfinite(found).all()


# Types


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4"])
def test_floating_types_stay(rng, convention, dtype):
    volume, points = rng.normal(size=SHAPE), inner_points(rng, 50, margin=1)
    found = sample_volume(volume.astype(dtype), points, method="cubic", convention=convention)
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_allclose(found, sample_volume(volume, points, method="cubic", convention=convention), atol=1e-6)


def test_integers_are_rounded_by_matlab_and_truncated_by_nsdcode():
    volume = np.zeros((5, 5, 5), np.int16)
    volume[2:, :, :] = [[[10]]]
    volume[:, :, 3:] *= -1
    points = np.array(
        [[2.25, 3, 2], [2.28, 3, 2], [2.25, 3, 4], [2.28, 3, 4], [9, 9, 9]]
    )  # +-2.5, +-2.8, out of bounds
    ours = sample_volume(volume, points, method="linear", convention="matlab")
    theirs = sample_volume(volume, points, method="linear", convention="nsdcode")
    assert ours.dtype == theirs.dtype == np.int16
    assert ours.tolist() == [3, 3, -3, -3, 0]
    assert theirs.tolist() == [2, 2, -2, -2, 0]


def test_integers_stay_in_the_range_of_their_type():
    volume = np.zeros((6, 4, 4), np.uint8)
    volume[3:] = 255
    points = np.array([[2.5, 2, 2], [4.5, 2, 2]])  # undershoot and overshoot of a step by 1/16
    assert sample_volume(volume, points, method="cubic", convention="matlab").tolist() == [0, 255]


# Properties


@given(SEED, st.sampled_from(METHODS), st.sampled_from(CONVENTIONS))
def test_what_must_not_matter(seed, method, convention):
    rng = np.random.default_rng(seed)
    volume, points = rng.normal(size=SHAPE), rng.uniform(0.5, np.array(SHAPE) + 0.5, (40, 3))
    volume[rng.uniform(size=SHAPE) < 0.02] = np.nan
    expected = sample_volume(volume, points, method=method, convention=convention)
    parts = [
        sample_volume(volume, part, method=method, convention=convention) for part in np.split(points, [0, 13, 40])
    ]
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    axes = rng.permutation(3)
    swapped = sample_volume(volume.transpose(axes), points[:, axes], method=method, convention=convention)
    np.testing.assert_allclose(swapped, expected, atol=1e-12)


@given(SEED, st.sampled_from(METHODS))
def test_constant_stays_constant(seed, method):
    points = inner_points(np.random.default_rng(seed), 40)
    found = sample_volume(np.full(SHAPE, -2.5), points, method=method, convention="matlab")
    np.testing.assert_allclose(found, -2.5, rtol=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("method", ["cubic", "linear"])
def test_linear_function_of_the_coordinates_comes_back(rng, convention, method):
    shape = (
        40,
        41,
        42,
    )  # the prefilter of the B-spline takes the edge far into the volume, weaker by 3.7 with each voxel
    i, j, k = np.indices(shape)
    volume = 2 * (i + 1) - 3 * (j + 1) + 0.5 * (k + 1) + 7
    points = rng.uniform(14, 28, (100, 3))
    found = sample_volume(volume, points, method=method, convention=convention)
    np.testing.assert_allclose(found, points @ [2, -3, 0.5] + 7, atol=1e-5 if convention == "nsdcode" else 1e-10)


def test_arguments_are_left_alone(rng):
    volume, points = rng.normal(size=SHAPE), rng.uniform(0, 9, (30, 3))
    volume[3, 3, 3] = points[4, 1] = np.nan
    kept = volume.copy(), points.copy()
    for convention in CONVENTIONS:
        project_to_fsaverage(volume, [points] * 3, np.arange(30), convention=convention)
    np.testing.assert_array_equal(volume, kept[0])
    np.testing.assert_array_equal(points, kept[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "spline"}, "method 'spline' is not one of cubic, linear, nearest"),
        ({"convention": "python"}, "convention 'python' is not one of matlab, nsdcode"),
        ({"volume": np.zeros((2, 2))}, r"found float64 of shape \(2, 2\)"),
        ({"volume": np.zeros(SHAPE, bool)}, "found bool"),
        ({"coordinates": np.zeros((3, 5))}, r"expected shape \(n_points, 3\), found \(3, 5\)"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"volume": np.zeros(SHAPE), "coordinates": np.ones((1, 3)), "method": "cubic", "convention": "matlab"}
    with pytest.raises(ValueError, match=message):
        sample_volume(**(arguments | change))


# Labels


@given(SEED, st.sampled_from(CONVENTIONS))
def test_winning_label_has_the_largest_linear_share(seed, convention):
    rng = np.random.default_rng(seed)
    volume = rng.choice([-1.0, 0, 1, 12], SHAPE)
    points = rng.uniform(0.5, np.array(SHAPE) + 1.5, (60, 3))
    labels = np.unique(volume)
    shares = np.array(
        [map_coordinates((volume == label).astype(float), (points - 1).T, order=1, mode="nearest") for label in labels]
    )
    first = 1 if convention == "matlab" else 2
    outside = ((points < first) | (points > np.array(SHAPE) + first - 1)).any(axis=1)
    expected = np.where(outside, np.nan if convention == "matlab" else 0, labels[shares.argmax(axis=0)])
    np.testing.assert_array_equal(sample_labels(volume, points, convention=convention), expected)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_ties_go_to_the_smallest_label(convention):
    volume = np.zeros((4, 4, 4), np.int16)
    volume[1], volume[2] = 9, 4
    found = sample_labels(volume, np.array([[2.5, 2, 2], [2.4, 2.5, 2.5], [3.5, 2, 2]]), convention=convention)
    assert found.tolist() == [4, 9, 0]
    assert found.dtype == np.int16


def test_many_small_shares_lose_to_one_label():
    volume = np.arange(8.0).reshape(2, 2, 2)
    volume[0] = [[5, 1], [5, 2]]  # label 5 has two corners and one more on the other side
    assert sample_labels(volume, np.array([[1.6, 1.5, 1.5]]), convention="matlab").tolist() == [5]


def test_integer_labels_out_of_bounds_are_zero():
    volume = np.full((3, 3, 3), 6, np.int32)
    assert sample_labels(volume, np.array([[9.0, 1, 1], [2, 2, 2]]), convention="matlab").tolist() == [0, 6]


@pytest.mark.parametrize("bad", [0.5, np.nan])
def test_labels_are_whole_numbers(bad):
    volume = np.zeros((3, 3, 3))
    volume[1, 1, 1] = bad
    with pytest.raises(ValueError, match=rf"labels are whole numbers; found {bad}"):
        sample_labels(volume, np.ones((1, 3)), convention="matlab")


# Projection


def test_nsdcode_counts_a_depth_out_of_bounds_as_zero(rng):
    volume = rng.normal(size=SHAPE).astype(np.float32)
    volume[rng.uniform(size=SHAPE) < 0.2] = np.nan
    depths = [rng.uniform(1, np.array(SHAPE) + 1, (50, 3)) for _ in range(3)]
    depths[1][7] = np.nan
    index = rng.integers(0, 50, 80)
    expected, outside = np.zeros(50), np.zeros(50, bool)
    for points in depths:
        sample = map_coordinates(
            np.nan_to_num(volume).astype(float), np.nan_to_num(points - 1).T, order=3, mode="nearest"
        )
        bad = ~(points - 1 >= 1).all(axis=1)
        expected += np.where(bad, 0, sample) / 3
        outside |= bad
    found, counts = project_to_fsaverage(volume, depths, index, convention="nsdcode")
    np.testing.assert_allclose(found, expected[index], atol=1e-6)
    assert found.dtype == np.float32
    missing = int(outside[index].sum())
    assert 0 < missing < 80
    assert counts == {"cubic": 80 - missing, "linear": 0, "nearest": 0, "none": missing}


def one_by_one(volume, depths, index):
    """The rule for missing voxels, vertex by vertex, on the voxels around each point."""
    names, values = ["cubic", "linear", "nearest", "none"], []
    for vertex in index:
        samples, worst = [], 0
        for points in depths:
            here = points[vertex] - 1
            value, step = np.nan, 3
            if ((here >= 0) & (here <= np.array(volume.shape) - 1)).all():
                below = np.floor(here).astype(int)
                for number, reach in enumerate([(-1, 0, 1, 2), (0, 1)]):
                    around = np.ix_(
                        *(np.clip(b + np.array(reach), 0, s - 1) for b, s in zip(below, volume.shape, strict=True))
                    )
                    if np.isfinite(volume[around]).all():
                        filled = np.nan_to_num(volume)  # what is not around has no part
                        value = (
                            catmull_rom(filled, [points[vertex]])[0]
                            if number == 0
                            else map_coordinates(filled, here[:, None], order=1, mode="nearest")[0]
                        )
                        step = number
                        break
                else:
                    value = volume[tuple(np.floor(here + 0.5).astype(int))]
                    step = 2 if np.isfinite(value) else 3
            samples.append(value)
            worst = max(worst, step)
        values.append((np.mean(samples), names[worst]))
    return np.array([value for value, _ in values]), [name for _, name in values]


@given(SEED, st.sampled_from([0.01, 0.05, 0.3]))
def test_coarser_methods_where_voxels_are_missing(seed, share):
    rng = np.random.default_rng(seed)
    volume = rng.normal(size=SHAPE)
    volume[rng.uniform(size=SHAPE) < share] = np.nan
    depths = [rng.uniform(0.9, np.array(SHAPE) + 0.1, (12, 3)) for _ in range(3)]
    depths[2][3] = np.nan
    index = rng.permutation(np.tile(np.arange(12), 2))[:20]
    expected, names = one_by_one(volume, depths, index)
    found, counts = project_to_fsaverage(volume, depths, index, convention="matlab")
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert counts == {name: names.count(name) for name in ("cubic", "linear", "nearest", "none")}


def test_crowns_near_the_border_of_the_map_keep_their_values():
    """A map of one value with nothing around it: no vertex may be pulled towards 0, none inside may be lost."""
    volume = np.full((12, 12, 12), np.nan, dtype=np.float32)
    volume[3:9, 3:9, 3:9] = 0.25
    along = np.array([3.4, 3.6, 4, 4.3, 5.3, 6.5])  # the first voxel with a value has coordinate 4
    points = np.column_stack([along, np.full((6, 2), 6.5)])
    found, counts = project_to_fsaverage(volume, [points] * 3, np.arange(6), convention="matlab")
    np.testing.assert_allclose(found, [np.nan] + 5 * [0.25], rtol=1e-6)
    assert counts == {"cubic": 3, "linear": 1, "nearest": 1, "none": 1}  # on the centre 4, 5.3 and 6.5; 4.3; 3.6; 3.4
    pulled, _ = project_to_fsaverage(volume, [points] * 3, np.arange(6), convention="nsdcode")
    assert pulled[1] < 0.2


def test_mean_over_depths_and_nearest_vertex(rng):
    i, j, k = np.indices(SHAPE)
    volume = (i + 1) + 10.0 * (j + 1) + 100 * (k + 1)
    depths = [inner_points(rng, 30, margin=1) for _ in range(3)]
    depths[1][5] = np.nan
    index = rng.integers(0, 30, 60)
    index[0] = 5
    expected = np.mean([points @ [1, 10, 100] for points in depths], axis=0)[index]
    found, counts = project_to_fsaverage(volume, depths, index, convention="matlab")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(found[0])
    assert counts["none"] == np.count_nonzero(index == 5)
    assert counts["cubic"] == 60 - counts["none"]


def test_projection_needs_one_hemisphere_and_a_map():
    volume, points = np.zeros(SHAPE), np.full((5, 3), 2.0)
    with pytest.raises(ValueError, match=r"different numbers of vertices: \[4, 5\]"):
        project_to_fsaverage(volume, [points, points[:4], points], np.arange(4), convention="matlab")
    for index in ([0, 5], [-1, 2]):
        with pytest.raises(ValueError, match="the depths have 5 vertices; are they of one hemisphere"):
            project_to_fsaverage(volume, [points] * 3, np.array(index), convention="matlab")
    with pytest.raises(ValueError, match="of floating point; found int16"):
        project_to_fsaverage(volume.astype(np.int16), [points] * 3, np.arange(5), convention="matlab")


# Transform files


def test_coordinates_are_read_as_nsd_writes_them(tmp_path):
    path = tmp_path / "lh.func1pt8-to-layerB1.mgz"
    points = np.array(
        [[1, 2.25, 3], [9999, 9999, 9999], [4, 9999, 6], [np.nan, 8, 9], [10, 11, np.inf], [81, 104, 83.5]]
    )
    formats.write_mgh(path, points.T.astype(np.float32))
    found = read_coordinates(path)
    lost = np.full(3, np.nan)
    np.testing.assert_array_equal(found, [points[0], lost, lost, lost, lost, points[5]])
    assert found.dtype == np.float64


def test_vertex_index_counts_from_zero(tmp_path):
    path = tmp_path / "rh.white-to-fsaverage.mgz"
    formats.write_mgh(path, np.array([[3, 1, 4, 4, 2]], np.float32))
    found = read_vertex_index(path, 5)
    assert found.tolist() == [2, 0, 3, 3, 1]
    assert found.dtype == np.intp


@pytest.mark.parametrize(("bad", "said"), [(0, "0.0"), (5, "5.0"), (1.5, "1.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_wrong_index_is_named(tmp_path, bad, said):
    path = tmp_path / "rh.white-to-fsaverage.mgz"
    formats.write_mgh(path, np.array([[4, 1, bad, 2]], np.float32))
    with pytest.raises(ValueError, match=rf"{path}: position 2 holds {said} \(1 of 4 are wrong\), .* from 1 to 4"):
        read_vertex_index(path, 4)


def test_right_index_does_not_meet_the_vertices_of_both_hemispheres(tmp_path, rng):
    path = tmp_path / "rh.white-to-fsaverage.mgz"
    n_left, n_right = 253, 260  # the most unequal hemispheres of NSD (subj06), a thousand times smaller
    formats.write_mgh(path, 1 + rng.integers(0, n_right, (1, 600)).astype(np.float32))
    assert read_vertex_index(path, n_right).max() < n_right
    with pytest.raises(ValueError, match=r"of 513 vertices; .* of that hemisphere, not of both"):
        read_vertex_index(path, n_left + n_right)
    formats.write_mgh(path, 1 + n_left + rng.integers(0, n_right, (1, 600)).astype(np.float32))
    with pytest.raises(ValueError, match="from 1 to 260"):
        read_vertex_index(path, n_right)


@pytest.mark.parametrize("read", [read_coordinates, lambda path: read_vertex_index(path, 4)])
def test_damaged_files_are_named(tmp_path, rng, read):
    path = tmp_path / "lh.transform.mgz"
    formats.write_mgh(path, rng.uniform(1, 80, (3, 5000)).astype(np.float32))
    whole = path.read_bytes()
    cut = gzip.compress(gzip.decompress(whole)[:20_000])
    for content in (b"", b"not gzip", whole[: len(whole) // 2], cut):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"(?s){path}: not a whole mgh or mgz file .*get it again"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.mgz")


def test_other_transforms_are_not_taken(tmp_path, write_mgh):
    index, points = tmp_path / "index.mgz", tmp_path / "points.mgz"
    formats.write_mgh(index, np.ones((1, 4), np.float32))
    formats.write_mgh(points, np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match=r"index.mgz: shape \(4, 1, 1\), expected \(n_vertices, 1, 1, 3\)"):
        read_coordinates(index)
    with pytest.raises(ValueError, match=r"points.mgz: shape \(4, 1, 1, 3\), expected \(n_fsaverage, 1, 1\)"):
        read_vertex_index(points, 4)
    swapped = write_mgh(tmp_path / "swapped.mgz", np.ones((3, 1, 1, 4)))
    with pytest.raises(ValueError, match=r"swapped.mgz: shape \(3, 1, 1, 4\)"):
        read_coordinates(swapped)


def write_depth(path, points):
    formats.write_mgh(path, points.T.astype(np.float32))
    return path


def test_coordinates_of_another_volume_are_refused(tmp_path, rng):
    inside = rng.uniform(1, 30, (100, 3))
    cut = inside.copy()
    cut[:40] = 9999
    first, second = write_depth(tmp_path / "lh.first.mgz", inside), tmp_path / "lh.second.mgz"
    depths = read_depths([first, write_depth(second, cut)], (30, 30, 30))
    np.testing.assert_allclose(depths[0], inside, atol=1e-5)
    assert np.isnan(depths[1][:40]).all()
    for other, found in (
        (inside + 30, r"coordinates go from 31\.\d+ to 59"),
        (inside * 1e6, r"coordinates go from 1\.\d+e\+06 to"),
        (inside - 29, r"coordinates go from -2\d"),
        (np.full((100, 3), 9999), "all are 9999"),
    ):
        write_depth(second, other)
        with pytest.raises(
            ValueError,
            match=rf"second\.mgz: \d+ of 100 vertices lie inside the volume of shape \(30, 30, 30\) \({found}",
        ):
            read_depths([first, second], (30, 30, 30))


def test_depths_of_different_hemispheres_are_refused(tmp_path, rng):
    points = rng.uniform(1, 30, (100, 3))
    paths = [write_depth(tmp_path / f"{n}.mgz", points[:n]) for n in (100, 99, 100)]
    with pytest.raises(ValueError, match=r"99\.mgz: 99 vertices, expected 100, those of .*100\.mgz.*get it again"):
        read_depths(paths, (30, 30, 30))
