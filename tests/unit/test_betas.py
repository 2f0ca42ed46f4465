"""Betas: from raw mgh files to averaged responses, against a direct computation; damaged files; memory."""

import re

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats

from capcortex.arrays import open_array
from capcortex.nsd import betas as module
from capcortex.nsd import sessions as sessions_module
from capcortex.nsd.betas import REPEATS, average_repeats, averaging_memory_mb, read_roi_betas, read_roi_repeats
from capcortex.nsd.sessions import (
    MOST_TRIALS,
    Z_MISSING,
    Z_STEP,
    RawSession,
    extract_session,
    open_surface_session,
    surface_extraction_memory_mb,
    surface_session,
    zscore_trials,
)

N_VERTICES = (11, 7)  # left, right: unequal, so that a swap shows
POLICIES = ("exclude", "nanmean")


def make_trials(rng, n_sessions=3, n_trials=14):
    """Trials of 8 images seen three times, over sessions, among others seen once or twice, in random order."""
    total = n_sessions * n_trials
    ids = np.concatenate([np.repeat([40, 7, 9001, 12, 330, 5, 71_000, 88], 3), np.repeat([3, 1000], 2)])
    ids = rng.permutation(np.concatenate([ids, 2000 + np.arange(total - ids.size)]))
    trials = pd.DataFrame({"id73k": ids, "session": np.arange(total) // n_trials + 1})
    trials["showings"] = trials.groupby("id73k")["id73k"].transform("size")
    return trials


def make_raw(rng, n_sessions=3, n_trials=14):
    """Raw betas of every session (n_trials, n_vertices), float32, vertices of very different scale and mean."""
    n = sum(N_VERTICES)
    scale, mean = rng.uniform(0.1, 10, n), rng.normal(0, 10, n)
    return [(mean + scale * rng.normal(size=(n_trials, n))).astype(np.float32) for _ in range(n_sessions)]


def write_session(write_betas, folder, raw, number):
    left, right = np.split(raw, [N_VERTICES[0]], axis=1)
    return [
        write_betas(folder / f"{hemisphere}.betas_session{number:02d}.mgh", values)
        for hemisphere, values in (("lh", left), ("rh", right))
    ]


def extract(files, trials, output):
    extract_session(surface_session(files, len(trials)), trials, output)


def average(sessions, folder, policy="exclude", repeats_of=None):
    average_repeats(
        sessions,
        folder / "betas.nc",
        repeats=folder / "repeats.nc",
        repeats_of=repeats_of,
        subject="subj01",
        incomplete_data=policy,
    )


def run_pipeline(write_betas, folder, raw, trials, policy, *, order=None, repeats_of=None):
    """Write, extract and average; return ids and betas of the output file."""
    sessions = []
    for number, values in enumerate(raw, start=1):
        files = write_session(write_betas, folder, values, number)
        sessions.append(folder / f"session_{number}.nc")
        extract(files, trials[trials["session"] == number], sessions[-1])
    sessions = sessions if order is None else [sessions[k] for k in order]
    average(sessions, folder, policy, repeats_of)
    with open_array(folder / "betas.nc", variables=["betas", "id73k"]) as file:
        return file["id73k"].to_numpy(), file["betas"].to_numpy()


def direct(raw, trials, policy):
    """The same on whole arrays: scipy's zscore per session, then a loop over images."""
    z = np.concatenate([stats.zscore(values.astype(np.float64), axis=0, ddof=0) for values in raw])
    ids = np.sort(trials.loc[trials["showings"] == 3, "id73k"].unique())
    triples = np.array([z[trials["id73k"].to_numpy() == image] for image in ids])
    assert triples.shape[1] == 3
    if policy == "exclude":
        mean = triples.mean(axis=1)
        mean[:, np.isnan(mean).any(axis=0)] = np.nan
        return ids, mean
    count = np.isfinite(triples).sum(axis=1)
    return ids, np.where((count > 0).all(axis=0), np.nansum(triples, axis=1) / np.maximum(count, 1), np.nan)


# z-scores

VALUES = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(2, 12), st.integers(1, 5)),
    elements=st.floats(-100, 100, width=32).map(lambda value: round(value, 2)),
)


@given(VALUES)
def test_zscores_are_scipys_with_ddof_0(values):
    z = zscore_trials(values)
    for column, found in zip(values.astype(np.float64).T, z.T, strict=True):
        if np.ptp(column) == 0:
            assert np.isnan(found).all()
        else:
            np.testing.assert_allclose(found, stats.zscore(column, ddof=0), rtol=1e-9, atol=1e-9)


@given(VALUES, st.floats(0.01, 1000), st.floats(-50, 50))
def test_zscores_do_not_depend_on_scale_and_offset(values, scale, offset):
    x = values.astype(np.float64)
    moved = zscore_trials(scale * x + offset)
    expected = zscore_trials(x)
    steps = np.ptp(x, axis=0) * scale > 1e-3 * (1 + abs(offset))  # otherwise the offset swallows the differences
    np.testing.assert_allclose(moved[:, steps], expected[:, steps], atol=1e-6)


def test_zscores_do_not_depend_on_how_the_betas_lie_in_memory(rng):
    # NIfTI is read trial by trial, HDF5 voxel by voxel; float32 sums in another order differ in their last digits.
    betas = rng.integers(-3000, 3000, (750, 300)).astype(np.int16)
    expected = zscore_trials(np.ascontiguousarray(betas))
    assert np.array_equal(zscore_trials(np.asfortranarray(betas)), expected)
    assert np.array_equal(zscore_trials(np.concatenate([betas.T[:100].T, betas.T[100:].T], axis=1)), expected)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e-20, 1e20])
def test_constant_units_are_missing_whatever_their_value(value):
    # A mean of 750 times 0.1 is not exactly 0.1: rounding must not pass for variance.
    z = zscore_trials(np.column_stack([np.full(750, value), np.arange(750)]))
    assert np.isnan(z[:, 0]).all()
    assert np.isfinite(z[:, 1]).all()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_unit_with_one_missing_trial_is_missing_in_the_whole_session(rng, missing):
    values = rng.normal(size=(20, 3))
    whole = zscore_trials(values)
    values[4, 1] = missing
    z = zscore_trials(values)
    assert np.isnan(z[:, 1]).all()
    assert np.array_equal(z[:, [0, 2]], whole[:, [0, 2]])


def test_small_variance_on_a_large_mean_is_not_called_constant(rng):
    values = (100 + 1e-3 * rng.normal(size=(750, 1))).astype(np.float32)
    assert np.ptp(values) > 0
    np.testing.assert_allclose(zscore_trials(values), stats.zscore(values.astype(np.float64)), atol=1e-6)


# Extraction and averaging


@pytest.mark.parametrize("policy", POLICIES)
def test_averages_equal_a_direct_computation(tmp_path, rng, write_betas, policy):
    trials, raw = make_trials(rng), make_raw(rng)
    ids, betas = run_pipeline(write_betas, tmp_path, raw, trials, policy)
    expected_ids, expected = direct(raw, trials, policy)
    assert ids.tolist() == expected_ids.tolist() == [5, 7, 12, 40, 88, 330, 9001, 71_000]
    # Each z is rounded to a step, so no mean is more than half a step away (and float32 adds next to nothing).
    np.testing.assert_allclose(betas, expected, atol=0.5 * Z_STEP + 1e-6)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@pytest.mark.parametrize("policy", POLICIES)
def test_missing_and_constant_vertices_by_policy(tmp_path, rng, write_betas, policy):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[1][:, 4] = np.nan  # not measured in session 2
    raw[2][3, 13] = np.nan  # one trial of session 3, right hemisphere
    raw[0][:, 6] = 0.1  # constant in session 1
    for values in raw:
        values[:, 17] = np.nan  # never measured
    _, betas = run_pipeline(write_betas, tmp_path, raw, trials, policy)
    _, expected = direct(raw, trials, policy)
    assert np.array_equal(np.isnan(betas), np.isnan(expected))
    np.testing.assert_allclose(betas, expected, atol=0.5 * Z_STEP + 1e-6)
    whole = np.isfinite(betas).all(axis=0)
    if policy == "exclude":
        assert np.flatnonzero(~np.isfinite(betas).any(axis=0)).tolist() == [4, 6, 13, 17]
        assert whole.sum() == 14
    else:
        assert np.isfinite(betas[:, [4, 6, 13]]).any(axis=0).all()


def test_nanmean_takes_what_there_is(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    whole = run_pipeline(write_betas, tmp_path, raw, trials, "nanmean")[1]
    raw[1][:, 4] = np.nan
    ids, betas = run_pipeline(write_betas, tmp_path, raw, trials, "nanmean")
    others = np.delete(np.arange(18), 4)
    assert np.array_equal(betas[:, others], whole[:, others])
    # An image that was never shown in session 2 keeps its value at the vertex.
    in_session_2 = np.isin(ids, trials.loc[trials["session"] == 2, "id73k"])
    assert np.array_equal(betas[~in_session_2, 4], whole[~in_session_2, 4])
    assert not np.array_equal(betas[in_session_2, 4], whole[in_session_2, 4])


@pytest.mark.parametrize("block", [1, 3, 7, 11, 100])
def test_block_size_does_not_matter(tmp_path, rng, write_betas, monkeypatch, block):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[1][:, 4] = np.nan
    _, expected = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")
    monkeypatch.setattr(module, "UNIT_BLOCK", block)
    monkeypatch.setattr(sessions_module, "UNIT_BLOCK", block + 1)
    _, betas = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")
    assert np.array_equal(betas, expected, equal_nan=True)


def test_order_of_sessions_does_not_matter(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    expected = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")
    for order in ([2, 0, 1], [1, 2, 0]):
        found = run_pipeline(write_betas, tmp_path, raw, trials, "exclude", order=order)
        assert np.array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_scale_of_a_session_drops_out(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    expected = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")[1]
    scaled = [raw[0] * 2, raw[1], raw[2] / 4]  # powers of two: exact in float32
    assert np.array_equal(run_pipeline(write_betas, tmp_path, scaled, trials, "exclude")[1], expected)


def test_session_keeps_the_trials_of_images_seen_three_times_in_order(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    second = trials[trials["session"] == 2]
    extract(write_session(write_betas, tmp_path, raw[1], 2), second, tmp_path / "s.nc")
    kept = (second["showings"] == 3).to_numpy()
    with open_array(tmp_path / "s.nc", variables=["z", "id73k"]) as file:
        assert file["id73k"].to_numpy().tolist() == second["id73k"][kept].tolist()
        # All trials of the session enter mean and deviation, also those that are not kept.
        expected = stats.zscore(raw[1].astype(np.float64), ddof=0)[kept]
        np.testing.assert_allclose(file["z"].to_numpy(), expected, atol=0.5 * Z_STEP + 1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
def test_largest_possible_zscore_fits_int16(tmp_path, write_betas, sign):
    # One trial differs from all others: |z| = sqrt(n - 1) with ddof 0, the largest that n trials allow.
    values = np.zeros((MOST_TRIALS, 2), dtype=np.float32)
    values[17] = [sign, sign * 50]
    trials = pd.DataFrame({"id73k": np.arange(1, MOST_TRIALS + 1), "showings": REPEATS})
    files = [write_betas(tmp_path / f"{h}.mgh", values) for h in ("lh", "rh")]
    extract(files, trials, tmp_path / "s.nc")
    with open_array(tmp_path / "s.nc", variables=["z"]) as file:
        z = file["z"].to_numpy()
    bound = np.sqrt(MOST_TRIALS - 1)
    np.testing.assert_allclose(z[17], sign * bound, atol=0.5 * Z_STEP + 1e-5)
    np.testing.assert_allclose(np.delete(z, 17, axis=0), -sign / bound, atol=0.5 * Z_STEP + 1e-5)
    assert bound / Z_STEP < 32_767


@given(st.integers(2, MOST_TRIALS), st.integers(0, 3))
def test_no_zscore_exceeds_the_bound(n_trials, seed):
    heavy = np.random.default_rng(seed).standard_cauchy((n_trials, 2))
    lone = np.eye(n_trials, 1)
    for values in (heavy, lone):
        largest = np.abs(zscore_trials(values)).max()
        assert largest <= np.sqrt(n_trials - 1) * (1 + 1e-9)
        assert largest / Z_STEP < 32_767


def test_more_trials_than_int16_holds_are_refused(tmp_path):
    trials = pd.DataFrame({"id73k": np.arange(1, MOST_TRIALS + 2), "showings": REPEATS})
    with pytest.raises(ValueError, match="1001 trials"):
        extract_session(RawSession(iter(()), "vertex", {}, []), trials, tmp_path / "s.nc")
    assert list(tmp_path.iterdir()) == []


# Damaged and wrong files


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "truncated header":
        path.write_bytes(content[:100])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "little-endian":  # a writer that forgot that mgh is big-endian
        header, data = content[:284], np.frombuffer(content[284:], dtype=">i4")
        swapped = np.frombuffer(header[:28], dtype=">i4").astype("<i4").tobytes() + header[28:]
        path.write_bytes(swapped + data.astype("<i4").tobytes())
    elif how == "a web page":
        path.write_bytes(b"<html><body>403 Forbidden</body></html>" * 50)


@pytest.mark.parametrize("hemisphere", [0, 1])
@pytest.mark.parametrize("how", ["truncated", "truncated header", "empty", "little-endian", "a web page"])
def test_damaged_file_is_named_with_a_remedy_and_leaves_no_output(tmp_path, rng, write_betas, how, hemisphere):
    trials, raw = make_trials(rng), make_raw(rng)
    (tmp_path / "in").mkdir()
    files = write_session(write_betas, tmp_path / "in", raw[0], 1)
    damage(files[hemisphere], how)
    output = tmp_path / "out" / "s.nc"
    with pytest.raises(ValueError, match=rf"(?s){files[hemisphere]}: .*get it again from where it came"):
        extract(files, trials[trials["session"] == 1], output)
    assert not output.parent.exists() or not list(output.parent.iterdir())


def test_wrong_number_of_trials_is_named(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    files = write_session(write_betas, tmp_path, raw[0][:-1], 1)
    with pytest.raises(ValueError, match=rf"{files[0]}: shape \(11, 1, 1, 13\).* lists 14 trials"):
        extract(files, trials[trials["session"] == 1], tmp_path / "s.nc")
    assert not (tmp_path / "s.nc").exists()


@pytest.mark.parametrize(("value", "shown"), [(213.5, "213.5"), (-1e30, "-1e+30"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_a_beta_that_nsd_cannot_have_is_named(tmp_path, rng, write_betas, value, shown):
    """A flipped bit in an exponent, or an infinity."""
    trials, raw = make_trials(rng), make_raw(rng)
    raw[0][4, N_VERTICES[0] + 3] = value
    files = write_session(write_betas, tmp_path, raw[0], 1)
    with pytest.raises(
        ValueError,
        match=rf"{files[1]}: the beta of vertex 3 .* in trial 5 .* is {re.escape(shown)}, expected .*\+-213\.3.*get it again",
    ):
        extract(files, trials[trials["session"] == 1], tmp_path / "s.nc")
    assert not list(tmp_path.glob("*.nc"))


def test_no_interpolation_of_int16_exceeds_the_bound(rng):
    """The worst case of the cubic kernel: the largest betas of either sign where its weights have that sign."""
    from capcortex.nsd.spaces import sample_volume

    where = rng.uniform(2, 3, (2000, 3))
    where[0] = 2.5
    signs = np.where(np.arange(4) % 3 == 0, -1.0, 1.0)  # the outer of four voxels have negative weights
    worst = 32_768 / 300 * np.einsum("i,j,k->ijk", signs, signs, signs)
    sampled = np.abs(sample_volume(worst, where, method="cubic", convention="matlab"))
    np.testing.assert_allclose(sampled[0], sessions_module.LARGEST_BETA, rtol=1e-12)
    assert sampled.max() <= sessions_module.LARGEST_BETA * (1 + 1e-12)


def test_a_vertex_without_some_trials_is_not_measured(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[0][4, 2] = np.nan
    files = write_session(write_betas, tmp_path, raw[0], 1)
    extract(files, trials[trials["session"] == 1], tmp_path / "s.nc")
    with open_array(tmp_path / "s.nc", variables=["z"]) as file:
        missing = np.isnan(file["z"].to_numpy())
    assert missing[:, 2].all()
    assert not np.delete(missing, 2, axis=1).any()


@pytest.mark.parametrize("hemisphere", [0, 1])
def test_a_hemisphere_without_data_is_named(tmp_path, rng, write_betas, hemisphere):
    trials, raw = make_trials(rng), make_raw(rng)
    np.split(raw[0], [N_VERTICES[0]], axis=1)[hemisphere][:] = 0
    files = write_session(write_betas, tmp_path, raw[0], 1)
    with pytest.raises(ValueError, match=rf"{files[hemisphere]}: none of {N_VERTICES[hemisphere]} vertices varies"):
        extract(files, trials[trials["session"] == 1], tmp_path / "s.nc")
    assert not (tmp_path / "s.nc").exists()


def test_another_data_type_is_refused(tmp_path, write_mgh):
    path = write_mgh(tmp_path / "lh.mgh", np.ones((11, 1, 1, 14)), dtype=np.int16)
    with pytest.raises(ValueError, match=r"lh\.mgh: data type >i2, expected float32 \(percent signal change\)"):
        open_surface_session(path, 14)


def test_wrong_axes_are_refused(tmp_path, rng, write_mgh):
    path = write_mgh(tmp_path / "lh.mgh", rng.normal(size=(14, 1, 1, 11)))  # trials and vertices exchanged
    with pytest.raises(ValueError, match=r"expected \(n_vertices, 1, 1, 14\)"):
        open_surface_session(path, 14)
    path = write_mgh(tmp_path / "rh.mgh", rng.normal(size=(11, 14)))
    with pytest.raises(ValueError, match="expected"):
        open_surface_session(path, 14)


def test_absent_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_surface_session(tmp_path / "lh.mgh", 14)


def test_file_is_big_endian_float32_and_mapped(tmp_path, rng, write_betas):
    values = rng.normal(size=(14, 5)).astype(np.float32)
    path = write_betas(tmp_path / "lh.mgh", values)
    assert np.array_equal(np.frombuffer(path.read_bytes()[284 : 284 + 14 * 5 * 4], ">f4").reshape(14, 5), values)
    data = open_surface_session(path, 14)
    assert isinstance(data, np.memmap)
    assert np.array_equal(data, values.T)


def test_image_without_three_trials_is_named(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    sessions = []
    for number in (1, 2):
        sessions.append(tmp_path / f"{number}.nc")
        files = write_session(write_betas, tmp_path, raw[number - 1], number)
        extract(files, trials[trials["session"] == number], sessions[-1])
    kept = trials[(trials["session"] < 3) & (trials["showings"] == 3)]["id73k"].value_counts()
    first = kept[kept != 3].index.min()
    with pytest.raises(
        ValueError,
        match=rf"subj01: id73k {first} occurs {kept[first]} times over 2 sessions \(.*1\.nc \.\.\), expected 3",
    ):
        average(sessions, tmp_path)
    assert not (tmp_path / "betas.nc").exists()


def test_sessions_of_different_size_are_refused(tmp_path, rng, write_betas):
    trials = pd.DataFrame({"id73k": [4, 5, 6], "showings": 3})
    for number, size in enumerate((5, 5, 6)):
        files = [write_betas(tmp_path / f"{h}.mgh", rng.normal(size=(3, size))) for h in ("lh", "rh")]
        extract(files, trials, tmp_path / f"{number}.nc")
    sessions = [tmp_path / f"{number}.nc" for number in range(3)]
    with pytest.raises(ValueError, match=r"2\.nc: 12 vertex positions, expected the 10 of .*0\.nc"):
        average(sessions, tmp_path)


def test_unknown_policy_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'drop' is not one of exclude, nanmean"):
        average([], tmp_path, "drop")


# Regions


def test_region_leaves_out_incomplete_data_and_says_how_many(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[1][:, 4] = np.nan
    ids, betas = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")
    found = read_roi_betas(tmp_path / "betas.nc", np.array([12, 3, 4]))
    assert found["vertex"].to_numpy().tolist() == [3, 12]
    assert found["id73k"].to_numpy().tolist() == ids.tolist()
    assert np.array_equal(found.to_numpy(), betas[:, [3, 12]])
    for nothing in (np.array([4]), np.array([], int)):
        assert read_roi_betas(tmp_path / "betas.nc", nothing).shape == (ids.size, 0)


# Repeats


def read_repeats(folder):
    with open_array(folder / "repeats.nc", variables=["z", "id73k", "repeat"]) as file:
        return file["id73k"].to_numpy(), file["z"].to_numpy(), file["repeat"].to_numpy()


def direct_repeats(raw, trials, images):
    """z of every showing (repeat, image, vertex), in the order in which the trials happened."""
    z = np.concatenate([stats.zscore(values.astype(np.float64), axis=0, ddof=0) for values in raw])
    return np.stack([z[trials["id73k"].to_numpy() == image] for image in images], axis=1)


@pytest.mark.parametrize("repeats_of", [None, [7, 330, 3, 88, 4321]], ids=["all", "shared"])
def test_repeats_are_the_showings_in_their_order_and_their_mean_is_the_average(tmp_path, rng, write_betas, repeats_of):
    """Of the shared images, 3 was seen twice by this subject and 4321 never."""
    trials, raw = make_trials(rng), make_raw(rng)
    chosen = repeats_of if repeats_of is None else np.array(repeats_of)
    images, betas = run_pipeline(write_betas, tmp_path, raw, trials, "exclude", repeats_of=chosen)
    ids, z, repeat = read_repeats(tmp_path)
    assert ids.tolist() == (images.tolist() if repeats_of is None else [7, 88, 330])
    assert repeat.tolist() == [1, 2, 3]
    np.testing.assert_allclose(z, direct_repeats(raw, trials, ids), atol=0.5 * Z_STEP + 1e-6)
    np.testing.assert_allclose(z.mean(axis=0), betas[np.isin(images, ids)], atol=1e-6)


def test_averages_do_not_depend_on_whose_repeats_are_kept(tmp_path, rng, write_betas):
    trials, raw = make_trials(rng), make_raw(rng)
    of_all = run_pipeline(write_betas, tmp_path, raw, trials, "exclude")[1]
    shared = run_pipeline(write_betas, tmp_path, raw, trials, "exclude", repeats_of=np.array([7]))[1]
    nothing = run_pipeline(write_betas, tmp_path, raw, trials, "exclude", repeats_of=np.array([1]))[1]
    assert np.array_equal(of_all, shared) and np.array_equal(of_all, nothing)
    ids, z, _ = read_repeats(tmp_path)
    assert ids.size == 0 and z.shape == (3, 0, 18)
    assert read_roi_repeats(tmp_path / "repeats.nc", np.array([3, 12])).shape == (3, 0, 2)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@pytest.mark.parametrize("policy", POLICIES)
def test_a_vertex_with_a_missing_repeat_has_none(tmp_path, rng, write_betas, policy):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[1][:, 4] = np.nan  # not measured in session 2
    raw[0][:, 6] = 0.1  # constant in session 1
    raw[2][5, 13] = np.nan  # one trial of session 3
    _, betas = run_pipeline(write_betas, tmp_path, raw, trials, policy)
    _, z, _ = read_repeats(tmp_path)
    assert np.flatnonzero(np.isnan(z).any(axis=(0, 1))).tolist() == [4, 6, 13]
    assert np.isnan(z[:, :, [4, 6, 13]]).all()
    whole = np.delete(np.arange(18), [4, 6, 13])
    np.testing.assert_allclose(z.mean(axis=0)[:, whole], betas[:, whole], atol=1e-6)
    assert np.isnan(betas[:, [4, 6, 13]]).all() == (policy == "exclude")


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_block_size_does_not_matter_for_repeats(tmp_path, rng, write_betas, monkeypatch, block):
    trials, raw = make_trials(rng), make_raw(rng)
    raw[1][:, 4] = np.nan
    monkeypatch.setattr(module, "UNIT_BLOCK", block)
    monkeypatch.setattr(module, "REPEATS_IMAGE_CHUNK", 3)
    run_pipeline(write_betas, tmp_path, raw, trials, "exclude")
    ids, z, _ = read_repeats(tmp_path)
    expected = direct_repeats(raw, trials, ids)
    expected[:, :, 4] = np.nan
    np.testing.assert_allclose(z, expected, atol=0.5 * Z_STEP + 1e-6)
    found = read_roi_repeats(tmp_path / "repeats.nc", np.array([17, 3, 12, 4, 5]))
    assert found["vertex"].to_numpy().tolist() == [3, 5, 12, 17]
    assert found.dims == ("repeat", "id73k", "vertex") and found.dtype == np.float32
    assert found["id73k"].to_numpy().tolist() == ids.tolist()
    np.testing.assert_array_equal(found, z[:, :, [3, 5, 12, 17]].astype(np.float32))
    for nothing in (np.array([4]), np.array([], int)):
        assert read_roi_repeats(tmp_path / "repeats.nc", nothing).shape == (3, ids.size, 0)


# Memory

EXTRACT = """
import sys
import numpy as np, pandas as pd
from pathlib import Path
from capcortex.nsd.sessions import extract_session, surface_session
folder = Path(sys.argv[1])
trials = pd.DataFrame({"id73k": np.arange(1, 751), "showings": np.where(np.arange(750) % 4 == 0, 3, 2)})
extract_session(surface_session([folder / "h.mgh", folder / "h.mgh"], 750), trials, folder / "s.nc")
"""
AVERAGE = """
import sys
from pathlib import Path
from capcortex.nsd.betas import average_repeats
folder = Path(sys.argv[1])
sessions = sorted(folder.glob("s*.nc"))
average_repeats(
    sessions, folder / "b.nc", repeats=folder / "r.nc", repeats_of=None, subject="subj01", incomplete_data="exclude"
)
"""
LIBRARIES_MB = 250


def test_extraction_stays_within_its_memory(tmp_path, rng, peak_mb):
    # Half a gigabyte in two hemispheres, each mapped by itself: what is read must not pile up.
    n_vertices = 100_000
    header = nibabel.freesurfer.mghformat.MGHHeader()
    header.set_data_shape((n_vertices, 1, 1, 750))
    header.set_data_dtype(np.float32)
    noise = [rng.normal(size=n_vertices).astype(">f4").tobytes() for _ in range(4)]
    with (tmp_path / "h.mgh").open("wb") as file:
        header.writehdr_to(file)
        file.seek(284)
        for trial in range(750):
            file.write(noise[trial % 4])
    allowed = surface_extraction_memory_mb(750)
    peak = peak_mb(EXTRACT, tmp_path)
    assert peak < allowed <= 3 * max(peak, LIBRARIES_MB)


def test_averaging_stays_within_its_memory(tmp_path, peak_mb):
    # So many images that the terms of the formula count, but few vertices beyond one block.
    n_images, n_trials, n_vertices = 6000, 1500, module.UNIT_BLOCK + 200
    ids = np.tile(np.arange(1, n_images + 1), 3).reshape(-1, n_trials)
    values = np.broadcast_to(np.arange(n_trials, dtype=np.int16)[:, None], (n_trials, n_vertices))
    for number, own in enumerate(ids):
        with module.create_array(
            tmp_path / f"s{number:02d}.nc",
            name="z",
            dims=("trial", "vertex"),
            shape=values.shape,
            dtype="i2",
            chunks=(n_trials, module.UNIT_BLOCK),
            coords={"id73k": ("trial", own)},
            attrs={"scale_factor": Z_STEP},
            fill_value=Z_MISSING,
        ) as variable:
            variable[:, :] = values
    allowed = averaging_memory_mb(n_images, n_trials, n_images)
    peak = peak_mb(AVERAGE, tmp_path)
    assert peak < allowed <= 3 * max(peak, LIBRARIES_MB)
