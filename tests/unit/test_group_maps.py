"""Group statistics of maps: against scipy, against exact counts, and under pure noise."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from capcortex.arrays import open_array, write_array
from capcortex.inference import tests as inference_tests
from capcortex.inference.maps import group_map, paired_difference
from capcortex.inference.tests import TOO_FEW, sign_flip_p

TESTS = ["t", "p", "p_fdr", "p_sign_flip"]
N_SUBJECTS, N_VERTICES = 6, 9


def noisy_maps(rng, n_subjects=N_SUBJECTS, n_vertices=N_VERTICES):
    """Maps with an effect in some vertices, large in the first, and noise that subjects share over vertices."""
    effect = np.linspace(3, -1, n_vertices)
    return rng.normal(size=(n_subjects, n_vertices)) + rng.normal(size=(n_subjects, 1)) + effect


def named(values, subjects):
    return xr.DataArray(values, dims=("subject", "vertex"), coords={"subject": subjects})


# Against scipy


def test_every_vertex_has_scipys_t_test(rng):
    values = noisy_maps(rng)
    found = group_map(values)
    for vertex in range(N_VERTICES):
        expected = stats.ttest_1samp(values[:, vertex], 0)
        assert float(found["t"][vertex]) == pytest.approx(expected.statistic, rel=1e-12)
        assert float(found["p"][vertex]) == pytest.approx(expected.pvalue, rel=1e-12)
    np.testing.assert_allclose(found["p_fdr"], stats.false_discovery_control(found["p"]), rtol=1e-12)
    np.testing.assert_allclose(found["mean"], values.mean(axis=0))
    assert found["n_subjects"].to_numpy().tolist() == [N_SUBJECTS] * N_VERTICES


@pytest.mark.parametrize("n_subjects", [2, 5, 6])
def test_sign_flips_agree_with_scipys_permutation_test(rng, n_subjects):
    values = noisy_maps(rng, n_subjects)

    def largest_t(signs):
        return np.abs(stats.ttest_1samp(signs[:, None] * values, 0).statistic).max()

    # For one sample scipy's paired permutations are all flips of its signs; ours are flips of a subject's whole map.
    found = stats.permutation_test((np.ones(n_subjects),), largest_t, permutation_type="samples", n_resamples=np.inf)
    null = found.null_distribution
    assert null.size == 2**n_subjects
    observed = np.abs(stats.ttest_1samp(values, 0).statistic)
    expected = [(null >= t * (1 - 1e-9)).mean() for t in observed]
    np.testing.assert_allclose(group_map(values)["p_sign_flip"], expected, rtol=1e-12)


# Exact counts


@given(arrays(np.int64, (6, 4), elements=st.integers(-3, 3)), st.integers(0, 2**32 - 1))
def test_ties_are_counted_as_in_whole_numbers(steps, seed):
    # t^2 grows with (sum of x)^2 / sum of x^2; whole numbers compare without rounding: a^2 / q >= b^2 / r as a^2 r >= b^2 q.
    steps = np.hstack([steps, steps[::-1]])  # the same values added up in another order
    steps = steps[:, np.ptp(steps, axis=0) > 0]
    squares = [int(q) for q in (steps**2).sum(axis=0)]
    sums = [[int(s) for s in np.array(signs) @ steps] for signs in product([1, -1], repeat=6)]
    expected = [
        sum(any(s * s * q >= own * own * r for s, r in zip(flip, squares, strict=True)) for flip in sums) / 64
        for own, q in zip(sums[0], squares, strict=True)
    ]
    units = np.random.default_rng(seed).uniform(0.1, 1, steps.shape[1])
    assert sign_flip_p(steps * units).tolist() == expected


def test_identity_counts_so_that_the_smallest_p_is_two_flips(rng):
    # All subjects alike and the others' vertices near zero: only the identity and its opposite reach the observed t.
    for n_subjects in (2, 3, 8):
        values = np.abs(rng.normal(size=(n_subjects, 1))) + 5
        assert float(group_map(values)["p_sign_flip"][0]) == 2 / 2**n_subjects


def test_strong_effects_are_not_taken_for_ties():
    # Spread over mean 1e-5 and 2e-5, t near 2e5 and 1e5: the second vertex, whose first subject is negative, almost reaches the
    # first one's t when that subject is flipped. It must not count.
    spread = np.array([1, -1, 1, -1, 1, -1])
    values = np.stack([1 + 1e-5 * spread, (1 + 2e-5 * spread) * [-1, 1, 1, 1, 1, 1]], axis=1)
    assert float(group_map(values)["p_sign_flip"][0]) == 2 / 64


def test_flips_move_whole_subjects(rng):
    # Twenty copies of one vertex are no twenty chances: under common flips their maximum is that of the one.
    one = rng.normal(size=(7, 1)) + 0.7
    np.testing.assert_array_equal(sign_flip_p(np.tile(one, 20)), np.repeat(sign_flip_p(one), 20))


def test_blocks_of_vertices_make_one_family(rng, monkeypatch):
    values = noisy_maps(rng, n_vertices=50)
    whole = sign_flip_p(values)
    assert np.unique(whole).size > 3
    monkeypatch.setattr(inference_tests, "BLOCK_CELLS", 2 ** (N_SUBJECTS - 1) * 7)
    np.testing.assert_array_equal(sign_flip_p(values), whole)


# Pure noise


def test_family_wise_error_is_nominal_under_noise(rng):
    # The smallest p of a family is one of 1/16 .. 16/16, each as likely: at level 2/16 an eighth of all families err.
    n_families = 2000
    smallest = [
        sign_flip_p(rng.standard_t(3, size=(5, 12)) + rng.standard_t(3, size=(5, 1))).min() for _ in range(n_families)
    ]
    low, high = stats.binom.interval(0.9999, n_families, 2 / 16)
    errors = np.array(smallest) * 16
    assert low <= (errors <= 2).sum() <= high
    # The same families would betray a count that is one flip off, or one-sided p-values passed off as two-sided.
    assert (errors - 1 <= 2).sum() > high
    assert (errors + 1 <= 2).sum() < low
    assert (errors / 2 <= 2).sum() > high


# Missing values and vertices that cannot be tested


@given(arrays(bool, (4, 7)), st.integers(0, 2**32 - 1))
def test_missing_values_change_no_other_vertex(missing, seed):
    values = noisy_maps(np.random.default_rng(seed), 4, 7)
    found = group_map(np.where(missing, np.nan, values))
    complete = ~missing.any(axis=0)
    expected = group_map(values[:, complete])
    for name in TESTS:
        np.testing.assert_allclose(found[name][complete], expected[name], rtol=1e-12)
        assert np.isnan(found[name][~complete]).all()
    for vertex, column in enumerate(values.T):
        there = column[~missing[:, vertex]]
        assert int(found["n_subjects"][vertex]) == there.size
        expected_mean = there.mean() if there.size else np.nan
        np.testing.assert_allclose(found["mean"][vertex], expected_mean)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e8])
def test_vertex_without_variance_is_not_tested(rng, value):
    values = noisy_maps(rng)
    with_constant = np.insert(values, 4, value, axis=1)
    found, expected = group_map(with_constant), group_map(values)
    others = np.arange(N_VERTICES + 1) != 4
    for name in TESTS:
        assert np.isnan(found[name][4])
        np.testing.assert_array_equal(found[name][others], expected[name])
    assert float(found["mean"][4]) == pytest.approx(value)


def test_fewer_than_two_subjects_have_a_mean_and_no_test():
    found = group_map([[0.5, np.nan]])
    assert float(found["mean"][0]) == 0.5
    assert found["n_subjects"].to_numpy().tolist() == [1, 0]
    assert all(np.isnan(found[name]).all() for name in TESTS)


def test_wrong_number_of_axes_is_refused():
    with pytest.raises(ValueError, match=r"\(n_subjects, n_vertices\), found \(3,\)"):
        group_map(np.ones(3))


# What must not matter


def test_order_and_scale_do_not_matter(rng):
    values = noisy_maps(rng)
    expected = group_map(values)
    by_subject = group_map(values[rng.permutation(N_SUBJECTS)])
    order = rng.permutation(N_VERTICES)
    by_vertex = group_map(values[:, order])
    scaled = group_map(values * rng.uniform(1e-6, 1e6, N_VERTICES))
    for name in TESTS:
        np.testing.assert_allclose(by_subject[name], expected[name], rtol=1e-9)
        np.testing.assert_allclose(by_vertex[name], expected[name][order], rtol=1e-9)
        np.testing.assert_allclose(scaled[name], expected[name], rtol=1e-9)
    opposite = group_map(-values)  # two-sided
    np.testing.assert_array_equal(opposite["t"], -expected["t"])
    for name in TESTS[1:]:
        np.testing.assert_array_equal(opposite[name], expected[name])


def test_result_can_be_written_and_read(rng, tmp_path):
    found = group_map(noisy_maps(rng))
    write_array(found, tmp_path / "group.nc")
    with open_array(tmp_path / "group.nc", variables=["mean", "n_subjects", *TESTS]) as file:
        xr.testing.assert_identical(file.load(), found)


# Contrasts


def test_contrast_is_the_paired_t_test_of_subjects_by_name(rng):
    left, right = noisy_maps(rng, 4), noisy_maps(rng, 4)
    names = ["subj01", "subj02", "subj05", "subj07"]
    order = [2, 0, 3, 1]
    difference = paired_difference(named(left, names), named(right[order], [names[number] for number in order]).T)
    assert difference["subject"].to_numpy().tolist() == names
    expected = stats.ttest_rel(left, right)
    found = group_map(difference.to_numpy())
    np.testing.assert_allclose(found["t"], expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(found["p"], expected.pvalue, rtol=1e-9)


def test_maps_that_do_not_belong_together_are_not_subtracted(rng):
    left = named(noisy_maps(rng, 2), ["subj01", "subj02"])
    with pytest.raises(ValueError, match="different subjects cannot be paired: subj01, subj02 and subj01, subj03"):
        paired_difference(left, left.assign_coords(subject=["subj01", "subj03"]))
    for one, other in ((left, left[:1]), (left[:1], left)):
        with pytest.raises(ValueError, match="different subjects"):
            paired_difference(one, other)
    with pytest.raises(ValueError, match="maps of 9 and of 8 vertices"):
        paired_difference(left, left[:, :8])
    with pytest.raises(ValueError, match="maps without names"):
        paired_difference(left.drop_vars("subject"), left.drop_vars("subject"))
    with pytest.raises(ValueError, match="vertex"):
        paired_difference(left.assign_coords(vertex=np.arange(9)), left.assign_coords(vertex=np.arange(1, 10)))


@pytest.mark.filterwarnings("error")
def test_a_map_without_tests_carries_the_reason_into_its_file(rng, tmp_path):
    apart = np.array([[0.1, np.nan], [np.nan, 0.2]])  # no vertex that both have
    for values, reason in (
        (rng.normal(size=(1, 5)), TOO_FEW),
        (apart, "at no vertex do all subjects have a value"),
        (np.ones((3, 4)), "their values do not differ"),
        (rng.normal(size=(3, 5)), ""),
    ):
        write_array(group_map(values), tmp_path / "group.nc")
        with open_array(tmp_path / "group.nc", variables=["p"]) as file:
            assert reason in file.attrs["test_left_out"]
            assert bool(file.attrs["test_left_out"]) == bool(np.isnan(file["p"]).all()) == bool(reason)
            assert file.attrs["n_subjects"] == len(values)
            assert file.attrs["least_p_sign_flip"] == pytest.approx(2 / 2 ** len(values))
