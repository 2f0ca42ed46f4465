"""Encoding: prediction of units from features, on images that the fit has not seen."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from capcortex.encoding.encode import correlate_columns, encode_units

N_TRAINING, N_TEST, N_FEATURES = 120, 40, 8


@pytest.fixture(scope="module")
def planted():
    """Two units that follow the features, one that is noise, one that lacks a response, one that is constant."""
    random = np.random.default_rng(5)
    x = random.standard_normal((N_TRAINING + N_TEST, N_FEATURES)).astype(np.float32) + 3
    weights = random.standard_normal((N_FEATURES, 2))
    signal = x @ weights
    y = np.column_stack(
        [
            signal[:, 0] + 7,
            signal[:, 1] + 2 * signal[:, 1].std() * random.standard_normal(len(x)),
            random.standard_normal(len(x)),
            signal[:, 0],
            np.full(len(x), 2.0),
        ]
    ).astype(np.float32)
    y[N_TRAINING + 3, 3] = np.nan
    return x, y, signal


def encode(x, y, widths):
    ends = np.cumsum(widths)
    blocks = (
        (y[:N_TRAINING, end - n : end], y[N_TRAINING:, end - n : end]) for end, n in zip(ends, widths, strict=True)
    )
    return encode_units(x[:N_TRAINING], x[N_TRAINING:], blocks)


def test_signal_is_found_where_it_is_and_nowhere_else(planted):
    x, y, signal = planted
    found = encode(x, y, [5])
    assert found.r[0] == pytest.approx(1, abs=1e-5)
    assert found.fraction[0] == 1
    # Noise of twice the signal's spread: r of the best prediction is 1 / sqrt(5), up to the error of 40 images.
    best = np.corrcoef(signal[N_TRAINING:, 1], y[N_TRAINING:, 1])[0, 1]
    assert found.r[1] == pytest.approx(best, abs=0.15)
    assert abs(found.r[2]) < 3 / np.sqrt(N_TEST)
    assert found.cross_validated_r2[2] < 0.05 < found.cross_validated_r2[1]
    assert found.fraction[2] < found.fraction[1]


def test_units_without_all_responses_and_constant_ones_have_no_r(planted):
    x, y, _ = planted
    found = encode(x, y, [5])
    assert np.isnan([found.r[3], found.fraction[3], found.cross_validated_r2[3]]).all()
    assert np.isnan(found.r[4])
    only = encode_units(x[:N_TRAINING], x[N_TRAINING:], [(y[:N_TRAINING, 3:4], y[N_TRAINING:, 3:4])])
    assert np.isnan(only.r).all()


def test_features_that_are_not_finite_are_refused(planted):
    x, y, _ = planted
    for row in (3, N_TRAINING + 3):
        broken = x.copy()
        broken[row, 2] = np.nan
        with pytest.raises(ValueError, match="row 3 is not finite"):
            encode(broken, y, [5])


def test_blocks_change_nothing(planted):
    x, y, _ = planted
    whole = encode(x, y, [5])
    for widths in ([1, 1, 1, 1, 1], [2, 3], [4, 1]):
        for part, expected in zip(encode(x, y, widths), whole, strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-6)


def test_without_noise_it_is_least_squares_with_an_intercept(planted):
    x, y, _ = planted
    judge = LinearRegression().fit(x[:N_TRAINING], y[:N_TRAINING, :1])
    expected = np.corrcoef(judge.predict(x[N_TRAINING:])[:, 0], y[N_TRAINING:, 0])[0, 1]
    assert encode(x, y, [5]).r[0] == pytest.approx(expected, abs=1e-6)


def test_test_images_do_not_enter_the_fit(planted):
    x, y, _ = planted
    changed = y.copy()
    changed[N_TRAINING:, :3] = changed[N_TRAINING:, :3][::-1]
    before, after = encode(x, y, [5]), encode(x, changed, [5])
    np.testing.assert_array_equal(before.fraction, after.fraction)
    np.testing.assert_array_equal(before.cross_validated_r2, after.cross_validated_r2)
    assert abs(after.r[0]) < 0.5 < before.r[0]


def test_correlation_of_columns():
    random = np.random.default_rng(2)
    left, right = random.standard_normal((2, 30, 4))
    right[:, 2] = 1
    expected = [np.corrcoef(left[:, at], right[:, at])[0, 1] for at in (0, 1, 3)]
    found = correlate_columns(left + 1e6, right)
    np.testing.assert_allclose(found[[0, 1, 3]], expected, atol=1e-8)
    assert np.isnan(found[2])
