"""Confidence intervals: against scipy, by closed forms, and by coverage."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from capcortex.inference.intervals import jackknife_interval, mean_interval

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


def leave_one_out(statistic, *columns):
    return [statistic(*(np.delete(column, i) for column in columns)) for i in range(len(columns[0]))]


@given(SEED, st.integers(3, 12), CONFIDENCE)
def test_jackknife_of_a_mean_is_the_t_interval(seed, n, confidence):
    # Closed form: the replicates of a mean spread so that the jackknife's error is the standard error.
    x = np.random.default_rng(seed).normal(size=n)
    found = jackknife_interval(x.mean(), leave_one_out(np.mean, x), confidence)
    np.testing.assert_allclose(found, mean_interval(x, confidence), rtol=1e-7, atol=1e-9)


def test_jackknife_of_proportional_values_has_no_width():
    # What numerator and denominator share cancels.
    b = np.array([0.3, 0.5, 0.4, 0.6])
    found = jackknife_interval(0.7, leave_one_out(lambda x, y: x.mean() / y.mean(), 0.7 * b, b))
    np.testing.assert_allclose(found, 0.7, atol=1e-12)


def test_one_replicate_gives_no_interval():
    found = jackknife_interval(0.4, [0.3])
    assert found.estimate == 0.4
    assert np.isnan(found[1:]).all()


def test_coverage_of_the_jackknife_for_a_ratio(rng):
    # 2,000 studies of 8 subjects with a true ratio of 0.4. The denominator is 12 standard errors from zero, so the ratio is
    # nearly linear and the interval nearly exact: within 4 binomial standard deviations (13.4) and 1 % (20) of nominal.
    n_studies, confidence = 2000, 0.9
    shared = rng.normal(size=(n_studies, 8))
    b = 0.5 + 0.1 * shared + 0.06 * rng.normal(size=(n_studies, 8))
    a = 0.2 + 0.05 * shared + 0.08 * rng.normal(size=(n_studies, 8))
    covered = 0
    for x, y in zip(a, b, strict=True):
        replicates = leave_one_out(lambda u, v: u.mean() / v.mean(), x, y)
        interval = jackknife_interval(x.mean() / y.mean(), replicates, confidence)
        covered += interval.low <= 0.4 <= interval.high
    assert abs(covered - 1800) < 4 * np.sqrt(2000 * 0.9 * 0.1) + 20
