"""Tests over subjects and the corrections for many of them, against scipy, statsmodels and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW, ttest_ind

from capcortex.inference.intervals import unpaired_interval
from capcortex.inference.tests import (
    equivalence,
    false_discovery_adjusted,
    holm_adjusted,
    one_sample_t,
    sign_flip,
    unpaired_t,
)

P = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def by_hand(p):
    """Benjamini and Hochberg's adjusted p-values from the definition: the smallest level at which each is rejected."""
    m = len(p)
    bounds = {value: value * m / sum(other <= value for other in p) for value in p}
    return [min([1.0, *(bounds[other] for other in p if other >= value)]) for value in p]


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=12))
def test_t_test_is_scipys(values):
    assume(np.std(values) > 1e-6)
    expected = stats.ttest_1samp(values, 0)
    assert one_sample_t(values) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-12)


def test_t_test_by_hand():
    # Mean 2, s.d. 1, n 3: t = 2 sqrt(3); with two degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    t, p = one_sample_t([1, 2, 3])
    assert t == pytest.approx(2 * np.sqrt(3))
    assert p == pytest.approx(1 - t / np.sqrt(t**2 + 2))
    assert one_sample_t([-1, -2, -3]) == pytest.approx((-t, p))


def test_one_subject_cannot_be_tested():
    assert np.isnan(one_sample_t([0.5])).all()


@given(P)
def test_adjusted_by_hand_and_by_scipy(p):
    found = false_discovery_adjusted(p)
    np.testing.assert_allclose(found, by_hand(p), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found, stats.false_discovery_control(p, method="bh"), rtol=1e-12)


@given(P, st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_undefined_tests_change_no_other(p, places):
    expected = false_discovery_adjusted(p)
    with_nan = list(p)
    for place in places:
        with_nan.insert(min(place, len(with_nan)), np.nan)
    found = false_discovery_adjusted(with_nan)
    undefined = np.isnan(with_nan)
    assert np.isnan(found[undefined]).all()
    assert np.array_equal(found[~undefined], expected)


def test_known_example():
    # m = 4: 0.01 * 4 / 1, then min(0.02 * 4 / 2, 0.03 * 4 / 3) = 0.04 for both, and 0.5.
    assert false_discovery_adjusted([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.04, 0.04])


def test_shape_is_kept():
    p = np.array([[0.01, np.nan, 0.2], [0.03, 0.04, 0.9]])
    found = false_discovery_adjusted(p)
    assert found.shape == (2, 3)
    assert np.array_equal(found.ravel(), false_discovery_adjusted(p.ravel()), equal_nan=True)


def test_nothing_defined_and_nothing_at_all():
    assert np.isnan(false_discovery_adjusted([np.nan, np.nan])).all()
    assert false_discovery_adjusted([]).shape == (0,)


def test_p_values_outside_0_and_1_are_refused():
    with pytest.raises(ValueError, match="0 and 1"):
        false_discovery_adjusted([0.1, 1.5])


def test_argument_is_left_alone():
    p = np.array([0.5, np.nan, 0.01])
    false_discovery_adjusted(p)
    assert np.array_equal(p, [0.5, np.nan, 0.01], equal_nan=True)


def test_false_discovery_rate_is_kept_under_the_null(rng):
    # All nulls true: any discovery is false, and P(any discovery) = q exactly for independent tests. 1,000 families,
    # within 4 binomial standard deviations of 50.
    families = rng.uniform(size=(1000, 20))
    any_found = sum((false_discovery_adjusted(family) <= 0.05).any() for family in families)
    assert abs(any_found - 50) < 4 * np.sqrt(1000 * 0.05 * 0.95)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_sign_flips_by_enumeration(values):
    x = np.array(values)
    flips = np.array(list(itertools.product([1, -1], repeat=x.size)))
    sums = np.abs(flips @ x)
    # A sum that is equal but for rounding counts as equal.
    expected = np.mean(sums >= abs(x.sum()) - 1e-9 * np.linalg.norm(x) - 1e-300)
    assume(not np.any((np.abs(sums - abs(x.sum())) > 1e-13 * np.linalg.norm(x)) & (np.abs(sums - abs(x.sum())) < 1e-8)))
    assert sign_flip(x) == pytest.approx(expected)


@pytest.mark.parametrize("n", range(2, 9))
def test_sign_flips_in_closed_form(n):
    # All of one sign: only the identity and its opposite reach the sum.
    assert sign_flip(np.arange(1, n + 1)) == sign_flip(-np.arange(1.0, n + 1)) == 2 / 2**n
    # The smallest value negative: the flips that reach the sum are those two, and those of that value alone.
    values = np.append(-1.0, np.full(n - 1, 10.0))
    assert sign_flip(values) == 4 / 2**n
    # Equal values: a flip reaches |sum| only when all signs are the same. No p is 0.
    assert sign_flip(np.full(n, 0.3)) == 2 / 2**n
    assert sign_flip(np.zeros(n)) == 1


def test_sign_flips_that_cannot_be_made():
    assert np.isnan(sign_flip([0.3])) and np.isnan(sign_flip([0.3, np.nan, 0.1]))


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=9))
def test_unpaired_t_is_scipys_and_statsmodels(pairs):
    left, right = np.array(pairs).T
    assume(min(left.std(), right.std()) > 1e-3)
    t, p = unpaired_t(left, right)
    assert (t, p) == pytest.approx(ttest_ind(left, right)[:2], rel=1e-6, abs=1e-9)
    pooled = np.sqrt((left.var(ddof=1) + right.var(ddof=1)) / left.size)
    assert t == pytest.approx((left.mean() - right.mean()) / pooled, rel=1e-6, abs=1e-9)
    low, high = stats.ttest_ind(left, right).confidence_interval(0.9)
    assert unpaired_interval(left, right, 0.9) == pytest.approx((left.mean() - right.mean(), low, high))


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=9), st.floats(0.01, 4))
def test_equivalence_is_statsmodels(values, bound):
    assume(np.std(values) > 1e-3)
    assert equivalence(values, bound) == pytest.approx(
        DescrStatsW(values).ttost_mean(-bound, bound)[0], rel=1e-6, abs=1e-12
    )


def test_equivalence_at_the_bound_by_hand():
    # A mean that is the bound itself: t is 0, and the p of that side a half.
    assert equivalence([1, 2, 3], 2) == pytest.approx(0.5)
    assert np.isnan(equivalence([1.0], 2))
    with pytest.raises(ValueError, match="expected a number above 0"):
        equivalence([1, 2, 3], 0)


@given(P)
def test_corrections_are_statsmodels(p):
    np.testing.assert_allclose(holm_adjusted(p), multipletests(p, method="holm")[1], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(
        false_discovery_adjusted(p), multipletests(p, method="fdr_bh")[1], rtol=1e-9, atol=1e-300
    )


def test_holm_by_hand():
    # m = 3: 3 * 0.01, then 2 * 0.03 = 0.06, then 0.04, not below the one before. An undefined test counts for nothing.
    np.testing.assert_allclose(holm_adjusted([0.01, 0.04, np.nan, 0.03]), [0.03, 0.06, np.nan, 0.06])
    np.testing.assert_allclose(holm_adjusted([[0.6, 0.7]]), [[1, 1]])
    assert holm_adjusted([]).shape == (0,)
