"""Fractional ridge regression from products of images: the regression of features, where they are many."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from capcortex.encoding.fractional_ridge import (
    FRACTIONS,
    cross_validate,
    fit,
    make_design,
    predict,
    project,
)
from capcortex.encoding.gram_ridge import cross_validate_gram, fit_gram, make_gram

N_TRAINING, N_TEST, N_TARGETS = 43, 9, 6


def make_data(n_features, seed=3):
    random = np.random.default_rng(seed)
    x = random.standard_normal((N_TRAINING + N_TEST, n_features)) * np.arange(1, n_features + 1) ** -0.5 + 2
    y = x[:, :5] @ random.standard_normal((5, N_TARGETS)) + random.standard_normal((len(x), N_TARGETS)) + 7
    return x, y


def gram_of(x, widths=None):
    ends = np.cumsum(widths or [x.shape[1]])
    return make_gram((x[:N_TRAINING, a:b], x[N_TRAINING:, a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True))


@pytest.mark.parametrize("n_features", [200, 43, 12])
def test_it_is_the_regression_of_features(n_features):
    """Also where features are fewer than images: then the matrix has many eigenvalues that are zero."""
    x, y = make_data(n_features)
    design = make_design(x[:N_TRAINING], dtype=np.float64)
    projections = project(design, y[:N_TRAINING])
    gram = gram_of(x)
    scores = cross_validate_gram(gram, y[:N_TRAINING])
    assert_allclose(scores, cross_validate(design, projections), atol=1e-6)
    fractions = np.linspace(0.1, 1, N_TARGETS)
    expected = fit(design, projections, fractions)
    (found,) = fit_gram(gram, y[:N_TRAINING], fractions)
    assert_allclose(
        predict(gram.test, found.duals, found.intercept),
        predict(x[N_TRAINING:], expected.coefficients, expected.intercept),
        atol=1e-6,
    )
    # Without the intercept too: features are as they are, not less their mean.
    assert_allclose(
        predict(gram.test, found.duals, found.intercept, keep_mean=False),
        x[N_TRAINING:] @ expected.coefficients,
        atol=1e-6,
    )
    assert_allclose(found.alpha, expected.alpha, rtol=1e-5, atol=1e-8)


def test_predictions_and_scores_are_those_of_scikit_learn_at_the_same_penalty():
    x, y = make_data(150)
    gram = gram_of(x)
    (found,) = fit_gram(gram, y[:N_TRAINING], np.full(N_TARGETS, 0.3))
    judge = Ridge(alpha=found.alpha).fit(x[:N_TRAINING], y[:N_TRAINING])
    assert_allclose(predict(gram.test, found.duals, found.intercept), judge.predict(x[N_TRAINING:]), rtol=1e-7)
    scores = cross_validate_gram(gram, y[:N_TRAINING], [0.3])
    expected = []
    for training, held_out in KFold(5).split(x[:N_TRAINING]):
        alpha = make_design_alpha(x[training], y[training], 0.3)
        judge = Ridge(alpha=alpha).fit(x[training], y[training])
        expected.append(r2_score(y[held_out], judge.predict(x[held_out]), multioutput="raw_values"))
    assert_allclose(scores[0], np.mean(expected, axis=0), atol=1e-6)


def make_design_alpha(x, y, fraction):
    """Penalty at which the coefficients are so long, by bisection over closed-form ridge."""
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    u, s = u[:, :-1], s[:-1]
    c = u.T @ (y - y.mean(axis=0))

    def length(alpha):
        return np.linalg.norm(s[:, None] * c / (s[:, None] ** 2 + alpha), axis=0)

    low, high = np.zeros(y.shape[1]), np.full(y.shape[1], 1e9)
    for _ in range(200):
        middle = (low + high) / 2
        long = length(middle) > fraction * length(0)
        low, high = np.where(long, middle, low), np.where(long, high, middle)
    return low


def test_blocks_of_features_change_nothing_and_those_that_lack_a_value_are_left_out():
    x, _ = make_data(90)
    x[3, 40], x[N_TRAINING + 2, 50] = np.nan, np.inf
    whole = gram_of(x)
    assert (whole.n_features, whole.n_left_out) == (88, 2)
    without = gram_of(np.delete(x, [40, 50], axis=1))
    for other in (gram_of(x, [40, 1, 9, 40]), gram_of(x, [1] * 90), without):
        for name in ("training", "test", "mean"):
            assert_allclose(getattr(other, name), getattr(whole, name), rtol=1e-10, atol=1e-10)
    assert_allclose(whole.training, whole.training.T)
    centred = np.delete(x, [40, 50], axis=1)[:N_TRAINING]
    centred = centred - centred.mean(axis=0)
    assert_allclose(whole.training, centred @ centred.T, atol=1e-10)


def test_features_in_single_precision_are_summed_in_double():
    x, _ = make_data(300)
    x = (x + 100).astype(np.float32)
    found, expected = gram_of(x, [100, 200]), gram_of(x.astype(np.float64))
    for name in ("training", "test", "mean"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("n_folds", [2, 7])
def test_folds_are_as_many_as_were_asked_for(n_folds):
    x, y = make_data(90)
    design = make_design(x[:N_TRAINING], folds=n_folds, dtype=np.float64)
    expected = cross_validate(design, project(design, y[:N_TRAINING]))
    assert_allclose(cross_validate_gram(gram_of(x), y[:N_TRAINING], n_folds=n_folds), expected, atol=1e-6)


def test_folds_whose_held_out_targets_are_all_equal_do_not_count():
    """As in the regression of features: one target is the same throughout the first fold, another throughout all but it."""
    x, y = make_data(90)
    first = np.array_split(np.arange(N_TRAINING), 5)[0]
    y[first, 0] = 2.5
    y[first[-1] + 1 : N_TRAINING, 1] = 5.0
    design = make_design(x[:N_TRAINING], dtype=np.float64)
    expected = cross_validate(design, project(design, y[:N_TRAINING]))
    assert np.isfinite(expected).all()
    assert_allclose(cross_validate_gram(gram_of(x), y[:N_TRAINING]), expected, atol=1e-6)


def test_short_directions_count_until_products_cannot_tell_them_from_nothing():
    """Least squares divides by singular values: one of 1e-5 of the largest it must use, one of 1e-9 only errors are left of."""
    x, y = make_data(12)
    left, _, right = np.linalg.svd(x[:N_TRAINING] - x[:N_TRAINING].mean(axis=0), full_matrices=False)
    for shortest, n_used in ((1e-5, 12), (1e-9, 11)):
        lengths = np.append(np.linspace(2, 1, 11), shortest)
        training, test = (left * lengths) @ right, x[N_TRAINING:]
        (found,) = fit_gram(make_gram([(training, test)]), y[:N_TRAINING], np.ones(N_TARGETS))
        coefficients = (right[:n_used].T / lengths[:n_used]) @ left[:, :n_used].T @ y[:N_TRAINING]
        expected = (test - training.mean(axis=0)) @ coefficients + y[:N_TRAINING].mean(axis=0)
        assert_allclose(test @ (training.T @ found.duals) + found.intercept, expected, rtol=1e-3, atol=1e-3)


def test_order_of_images_within_folds_does_not_matter():
    x, y = make_data(90)
    order = np.concatenate([np.random.default_rng(1).permutation(f) for f in np.array_split(np.arange(N_TRAINING), 5)])
    x_other, y_other = x.copy(), y.copy()
    x_other[:N_TRAINING], y_other[:N_TRAINING] = x[order], y[order]
    found = []
    for features, targets in ((x, y), (x_other, y_other)):
        gram = gram_of(features)
        (model,) = fit_gram(gram, targets[:N_TRAINING], np.full(N_TARGETS, 0.5))
        found.append(
            (cross_validate_gram(gram, targets[:N_TRAINING]), predict(gram.test, model.duals, model.intercept))
        )
    for left, right in zip(*found, strict=True):
        assert_allclose(left, right, atol=1e-8)


def test_a_target_that_never_varies_is_predicted_to_be_what_it_is():
    """By its mean alone: not even what is left of a large one when its rounded mean is taken from it is fitted."""
    x, y = make_data(90)
    y[:, 1] = 1e9 / 3
    assert y[:N_TRAINING].mean(axis=0)[1] != y[0, 1]
    gram = gram_of(x)
    scores = cross_validate_gram(gram, y[:N_TRAINING])
    assert np.isnan(scores[:, 1]).all()
    assert np.isfinite(np.delete(scores, 1, axis=1)).all()
    (model,) = fit_gram(gram, y[:N_TRAINING], np.full(N_TARGETS, 0.5))
    assert_array_equal(model.duals[:, 1], 0)
    assert_allclose(predict(gram.test, model.duals, model.intercept)[:, 1], y[0, 1], rtol=1e-12)


def test_what_cannot_be_fitted_is_refused():
    x, y = make_data(20)
    gram = gram_of(x)
    with pytest.raises(ValueError, match=r"targets: expected shape \(43, n_targets\), found \(42, 6\)"):
        cross_validate_gram(gram, y[: N_TRAINING - 1])
    y[4, 2] = np.nan
    with pytest.raises(ValueError, match=r"targets: row 4 is not finite \(1 of 43 rows\)"):
        fit_gram(gram, y[:N_TRAINING], np.full(N_TARGETS, 0.5))
    with pytest.raises(ValueError, match="features: none of 20 has a finite value for every image"):
        gram_of(np.full_like(x, np.nan))
    constant = np.ones((N_TRAINING + N_TEST, 20)) * 1.1
    constant[0] += np.random.default_rng(0).standard_normal(20)
    with pytest.raises(ValueError, match="none varies over the 34 images"):
        cross_validate_gram(gram_of(constant), np.nan_to_num(y[:N_TRAINING]))
    # Products of equal images may differ by rounding, which is no reason to fit them.
    for seed in range(4):
        random = np.random.default_rng(seed)
        same = np.tile(random.standard_normal(300), (N_TRAINING + N_TEST, 1))
        same[0] += random.standard_normal(300)
        with pytest.raises(ValueError, match="none varies over the 34 images"):
            cross_validate_gram(gram_of(same), np.nan_to_num(y[:N_TRAINING]))


def test_the_grid_may_end_above_least_squares():
    x, y = make_data(90)
    scores = cross_validate_gram(gram_of(x), y[:N_TRAINING], [0.5, 1, 1.05])
    assert_array_equal(scores[1], scores[2])
    assert FRACTIONS[-1] == 1


def test_a_feature_that_is_the_same_in_all_training_images_adds_nothing():
    """Not even what is left of a large one when its rounded mean is taken from it."""
    x, _ = make_data(20)
    constant = np.full((len(x), 1), 1e19 / 3)
    constant[N_TRAINING:] *= 3
    both = np.hstack([x, constant])
    assert both[:N_TRAINING].mean(axis=0)[-1] != constant[0, 0]
    found, expected = gram_of(both), gram_of(x)
    for name in ("training", "test", "mean"):
        assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12)
