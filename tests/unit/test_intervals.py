"""Confidence intervals: against scipy, by inversion of the test, and by coverage."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from capcortex.inference.intervals import mean_interval, ratio_interval

SEED = st.integers(0, 2**32 - 1)
CONFIDENCE = st.floats(0.5, 0.999)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), CONFIDENCE)
def test_mean_interval_is_scipys(values, confidence):
    assume(np.std(values) > 1e-6)
    found = mean_interval(values, confidence)
    expected = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose(found, (np.mean(values), *expected), rtol=1e-9, atol=1e-9)


def test_one_value_has_no_interval():
    found = mean_interval([0.3])
    assert found.estimate == 0.3
    assert np.isnan(found[1:]).all()


def test_equal_values_have_an_interval_without_width():
    assert mean_interval([0.25] * 8) == (0.25, 0.25, 0.25)


def pairs(seed, n=8, correlation=0.6):
    rng = np.random.default_rng(seed)
    b = 0.5 + 0.2 * rng.normal(size=n)
    a = 0.2 + correlation * 0.2 * (b - 0.5) + 0.15 * rng.normal(size=n)
    return a, b


@given(SEED, st.integers(3, 12), CONFIDENCE)
def test_limits_are_where_the_test_is_just_significant(seed, n, confidence):
    a, b = pairs(seed, n)
    found = ratio_interval(a, b, confidence)
    assume(found is not None)
    for limit in found[1:]:
        p = stats.ttest_1samp(a - limit * b, 0).pvalue
        assert p == pytest.approx(1 - confidence, rel=1e-6)
    assert found.low <= found.estimate <= found.high
    assert found.estimate == pytest.approx(a.mean() / b.mean())
    # Inside the interval nothing is rejected, outside everything.
    for share, rejected in ((0.5, False), (0.02, False), (-0.2, True), (1.2, True)):
        q = found.low + share * (found.high - found.low)
        assert (stats.ttest_1samp(a - q * b, 0).pvalue < 1 - confidence) == rejected


@given(SEED, st.integers(3, 12), CONFIDENCE, st.floats(-0.5, 1))
def test_left_out_exactly_when_the_denominator_may_be_zero(seed, n, confidence, mean):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), mean + 0.4 * rng.normal(size=n)
    p = stats.ttest_1samp(b, 0).pvalue
    assume(abs(p - (1 - confidence)) > 1e-9)
    clearly_positive = b.mean() > 0 and p < 1 - confidence
    assert (ratio_interval(a, b, confidence) is not None) == clearly_positive


@given(SEED, st.floats(0.01, 100))
def test_units_pass_through(seed, scale):
    a, b = pairs(seed)
    found = ratio_interval(a, b)
    assume(found is not None)
    np.testing.assert_allclose(ratio_interval(scale * a, b), np.multiply(found, scale), rtol=1e-6)
    np.testing.assert_allclose(ratio_interval(a, scale * b), np.divide(found, scale), rtol=1e-6)


def test_proportional_values_have_no_uncertainty():
    # What both share cancels: without the covariance the interval would be wide.
    b = np.array([0.3, 0.5, 0.4, 0.6])
    np.testing.assert_allclose(ratio_interval(0.7 * b, b), 0.7, atol=1e-6)


def test_order_of_subjects_does_not_matter_but_their_pairing_does(rng):
    a, b = pairs(1)
    order = rng.permutation(8)
    np.testing.assert_allclose(ratio_interval(a[order], b[order]), ratio_interval(a, b), rtol=1e-9)
    assert not np.allclose(ratio_interval(a[order], b)[1:], ratio_interval(a, b)[1:])


def test_too_few_subjects_and_unequal_numbers():
    assert ratio_interval([0.1], [0.5]) is None
    with pytest.raises(ValueError, match="numerator has 2 subjects, denominator 3"):
        ratio_interval([1, 2], [1, 2, 3])


def test_coverage(rng):
    # 2,000 studies of 8 subjects with a true ratio of 0.4. The interval is exact for normal values, as long as none is
    # left out: the denominator is 12 standard errors from zero. Count within 4 binomial standard deviations
    # (sqrt(2000 * 0.9 * 0.1) = 13.4), which an exact method misses once in 16,000 runs.
    n_studies, confidence = 2000, 0.9
    shared = rng.normal(size=(n_studies, 8))
    b = 0.5 + 0.1 * shared + 0.06 * rng.normal(size=(n_studies, 8))
    a = 0.2 + 0.05 * shared + 0.08 * rng.normal(size=(n_studies, 8))
    found = [ratio_interval(x, y, confidence) for x, y in zip(a, b, strict=True)]
    assert None not in found
    covered = sum(interval.low <= 0.4 <= interval.high for interval in found)
    assert abs(covered - 1800) < 4 * np.sqrt(2000 * 0.9 * 0.1)
