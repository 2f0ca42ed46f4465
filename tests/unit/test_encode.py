"""Encoding: prediction of units from features, on images that the fit has not seen."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from capcortex.encoding.encode import (
    LARGEST_INTEGER,
    agreement,
    correlate_columns,
    encode_as_released,
    encode_units,
    pack_coefficients,
    unpack_coefficients,
)
from capcortex.encoding.fractional_ridge import (
    FRACTIONS,
    RELEASED_FRACTIONS,
    cross_validate,
    fit,
    make_design,
    project,
)
from capcortex.encoding.table import encoding_of_regions

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


def released(x, y, widths):
    ends = np.cumsum(widths)

    def blocks():
        for end, n in zip(ends, widths, strict=True):
            yield y[:N_TRAINING, end - n : end], y[N_TRAINING:, end - n : end]

    return encode_as_released(x[:N_TRAINING], x[N_TRAINING:], blocks)


def correlations(left, right):
    return [np.corrcoef(one, other)[0, 1] for one, other in zip(np.transpose(left), np.transpose(right), strict=True)]


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
    # What is lacking may be a response to a training image too.
    before = y.copy()
    before[[3, N_TRAINING + 3], 3] = np.nan, 0
    for regression in (encode, released):
        np.testing.assert_array_equal(regression(x, before, [5])[0], regression(x, y, [5])[0])


def test_what_is_said_of_a_unit_is_of_its_own_fraction(planted):
    """The fraction with the best score, that score, and the fit with that fraction, not with another."""
    x, y, _ = planted
    random = np.random.default_rng(1)
    units = y[:, [1]] + np.array([0, 2, 5, 20]) * random.standard_normal((len(x), 4)).astype(np.float32)
    design = make_design(x[:N_TRAINING], dtype=np.float64)
    projections = project(design, units[:N_TRAINING])
    scores = cross_validate(design, projections)
    best = scores.argmax(axis=0)
    model = fit(design, projections, FRACTIONS[best])
    predicted = x[N_TRAINING:] @ model.coefficients + model.intercept
    found = encode(x, units, [4])
    assert (FRACTIONS[best] < 1).all() and np.unique(best).size > 2
    np.testing.assert_array_equal(found.fraction, FRACTIONS[best])
    np.testing.assert_allclose(found.cross_validated_r2, scores.max(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.r, correlations(predicted, units[N_TRAINING:]), atol=1e-5)
    np.testing.assert_allclose(found.intercept, model.intercept, rtol=1e-4, atol=1e-4)


def test_features_that_are_not_finite_are_refused(planted):
    x, y, _ = planted
    for row in (3, N_TRAINING + 3):
        broken = x.copy()
        broken[row, 2] = np.nan
        for regression in (encode, released):
            with pytest.raises(ValueError, match="row 3 is not finite"):
                regression(broken, y, [5])


def test_blocks_change_nothing(planted):
    x, y, _ = planted
    whole = encode(x, y, [5])
    for widths in ([1, 1, 1, 1, 1], [2, 3], [4, 1]):
        found = encode(x, y, widths)
        for name in ("r", "fraction", "cross_validated_r2", "intercept"):
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-5)
        coefficients = [unpack_coefficients(each.coefficients, each.coefficient_scale) for each in (found, whole)]
        np.testing.assert_allclose(*coefficients, rtol=1e-4, atol=1e-5)


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


def test_correlations_do_not_suffer_from_rounding():
    """Means in single precision are wrong by more than the spread; a constant's mean may differ from it by a hair."""
    random = np.random.default_rng(2)
    values = (random.standard_normal((5000, 3)) + 30_000).astype(np.float32)
    other = (values + random.standard_normal(values.shape)).astype(np.float32)
    found = correlate_columns(values, other)
    np.testing.assert_allclose(found, correlations(values.astype(float), other.astype(float)), atol=1e-9)
    constant = np.full((30, 1), 0.1)
    assert (constant - constant.mean(axis=0) != 0).all()
    assert np.isnan(correlate_columns(constant, random.standard_normal((30, 1)))).all()
    # Of lines r is 1, not 1 and the last digit.
    many = random.standard_normal((50, 500))
    assert (correlate_columns(many, 3 * many - 1) <= 1).all()
    assert (correlate_columns(many, -many) >= -1).all()


def test_packed_coefficients_lose_half_a_step_at_most_and_keep_gaps():
    random = np.random.default_rng(3)
    coefficients = random.standard_normal((50, 6)) * 10.0 ** np.arange(-4, 2)
    coefficients[:, 2], coefficients[:, 4] = np.nan, 0
    packed, scale = pack_coefficients(coefficients)
    assert packed.dtype == np.int16
    found = unpack_coefficients(packed, scale)
    defined = [0, 1, 3, 5]
    step = np.abs(coefficients[:, defined]).max(axis=0) / LARGEST_INTEGER
    assert (np.abs(found - coefficients)[:, defined] <= 0.51 * step).all()
    assert np.isnan(found[:, 2]).all()
    assert (found[:, 4] == 0).all()


def test_stored_coefficients_predict_what_was_tested(planted):
    x, y, _ = planted
    found = encode(x, y, [5])
    predicted = x[N_TRAINING:] @ unpack_coefficients(found.coefficients, found.coefficient_scale) + found.intercept
    np.testing.assert_allclose(correlate_columns(predicted[:, :3], y[N_TRAINING:, :3]), found.r[:3], atol=1e-4)
    # Means are part of the prediction.
    np.testing.assert_allclose(predicted[:, :2].mean(axis=0), y[N_TRAINING:, :2].mean(axis=0), atol=2)


def test_as_released_all_units_share_the_fraction_that_those_without_signal_choose(planted):
    x, y, _ = planted
    random = np.random.default_rng(8)
    # Many units of noise and one whose signal is in eight features alike, which a small fraction of least squares shrinks.
    many = np.column_stack([y[:, 1], random.standard_normal((len(x), 60)).astype(np.float32)])
    sound, shared = encode(x, many, [61]), released(x, many, [61])
    assert shared.fraction_as_released < sound.fraction[0]
    assert shared.fraction_as_released <= 0.11
    # With one unit alone the two choices agree up to their grids, whose steps are 0.05.
    alone = released(x, y[:, 1:2], [1])
    assert alone.fraction_as_released == pytest.approx(sound.fraction[0], abs=0.06)


def test_as_released_the_fraction_is_the_best_of_the_released_grid_on_average(planted):
    x, y, _ = planted
    random = np.random.default_rng(8)
    units = y[:, [1]] + 2 * random.standard_normal((len(x), 6)).astype(np.float32)
    found = released(x, units, [2, 4])
    design = make_design(x[:N_TRAINING], RELEASED_FRACTIONS, dtype=np.float64)
    projections = project(design, units[:N_TRAINING])
    best = RELEASED_FRACTIONS[cross_validate(design, projections).mean(axis=1).argmax()]
    # Only the smallest fraction is in both grids.
    assert np.abs(FRACTIONS - best).min() > 1e-3
    assert found.fraction_as_released == best
    predicted = x[N_TRAINING:] @ fit(design, projections, best).coefficients
    np.testing.assert_allclose(found.r_as_released, correlations(predicted, units[N_TRAINING:]), atol=1e-5)


def test_as_released_blocks_and_gaps_change_nothing(planted):
    x, y, _ = planted
    whole = released(x, y, [5])
    assert np.isnan(whole.r_as_released[3])
    for widths in ([3, 1, 1], [1, 4]):
        found = released(x, y, widths)
        assert found.fraction_as_released == whole.fraction_as_released
        np.testing.assert_allclose(found.r_as_released, whole.r_as_released, atol=1e-6)
    with pytest.raises(ValueError, match="no vertex has a response to every image"):
        released(x, y[:, 3:4], [1])


def test_agreement_is_the_correlation_with_the_mean_of_the_others():
    random = np.random.default_rng(4)
    responses = random.standard_normal((4, 30, 5)) + random.standard_normal((30, 5))
    responses[2, 7, 1] = np.nan
    responses[1:, 3, 3] = np.nan
    # Two subjects are enough to agree.
    responses[[0, 2], 5, 4] = np.nan
    found = agreement(responses)
    for unit in (0, 1, 2, 4):
        complete = [subject for subject in range(4) if np.isfinite(responses[subject, :, unit]).all()]
        for subject in range(4):
            others = np.mean([responses[other, :, unit] for other in complete if other != subject], axis=0)
            expected = np.corrcoef(responses[subject, :, unit], others)[0, 1]
            np.testing.assert_allclose(found[subject, unit], expected if subject in complete else np.nan, atol=1e-12)
    # The one subject that has unit 3 has nobody to agree with.
    assert np.isnan(found[:, 3]).all()


def test_regions_average_what_is_defined():
    values = {
        "r": np.array([0.1, 0.3, np.nan, 0.5, 0.8]),
        "agreement": np.array([np.nan, 0.2, 0.9, 0.4, 0.4]),
        "fraction_as_released": np.array(0.05),
    }
    regions = {("streams", "ventral"): np.array([0, 1, 2, 4]), ("streams", "none"): np.array([2])}
    found = encoding_of_regions(values, regions).set_index("roi")
    assert found.loc["ventral", "n_vertices"] == 3
    assert found.loc["ventral", "r"] == pytest.approx(0.4)
    assert found.loc["ventral", "agreement"] == pytest.approx(0.3)
    assert found.loc["ventral", "fraction_as_released"] == pytest.approx(0.05)
    assert found.loc["none", "n_vertices"] == 0
    assert np.isnan(found.loc["none", "r"])
    assert found["noise_ceiling"].isna().all()
