"""Fractional ridge: against least squares, ridge, fracridge, himalaya and a plain loop; what must not matter does not."""

import warnings

import fracridge
import himalaya.ridge
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from capcortex.encoding import fractional_ridge as module
from capcortex.encoding.fractional_ridge import (
    FRACTIONS,
    RELEASED_FRACTIONS,
    choose_fractions,
    cross_validate,
    fit,
    fit_blocks,
    fractional_ridge_memory_mb,
    make_design,
    predict,
    project,
)


def make_features(rng, n_images, n_features, *, decay=0.7, null=False):
    """Correlated features with a mean; perhaps one that is zero, one tiny constant, one the sum of two others."""
    scales = np.arange(1.0, n_features + 1) ** -decay
    turn = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    x = (rng.normal(size=(n_images, n_features)) * scales) @ turn + rng.normal(size=n_features)
    if null:
        x[:, 0] = 0
        x[:, 1] = 1e-33
        x[:, 2] = x[:, 3] + x[:, 4]
    return x


def make_responses(rng, x, n_units, signal=0.5):
    planted = x @ rng.normal(size=(x.shape[1], n_units))
    planted *= signal / planted.std(axis=0)
    return planted + rng.normal(size=planted.shape) + 3


def problem(seed, n_images=60, n_features=12, n_units=7, **kwargs):
    rng = np.random.default_rng(seed)
    x = make_features(rng, n_images, n_features, **kwargs)
    return x, make_responses(rng, x, n_units)


def double(x, fractions=FRACTIONS, **kwargs):
    return make_design(x, fractions, dtype=np.float64, **kwargs)


def scores_of(design, y):
    return cross_validate(design, project(design, y))


def least_squares(x, y):
    return np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]


def ridge(x, y, fraction):
    """Coefficients of one unit by a root finder around the definition."""
    x, y = x - x.mean(axis=0), y - y.mean()
    u, s, v = np.linalg.svd(x, full_matrices=False)
    rank = int((s > max(x.shape) * np.finfo(float).eps * s[0]).sum())
    u, s, v = u[:, :rank], s[:rank], v[:rank]
    c = u.T @ y
    whole = np.linalg.norm(c / s)
    if fraction >= 1 or whole == 0:
        return v.T @ (c / s)
    logarithm = brentq(
        lambda t: np.linalg.norm(c * s / (s**2 + np.exp(t))) - fraction * whole,
        *(2 * np.log(s[-1]) - 40, 2 * np.log(s[0]) + 40),
        xtol=1e-12,
    )
    return v.T @ (c * s / (s**2 + np.exp(logarithm)))


def naive_scores(x, y, fractions, splits):
    """R2 of each fraction and unit, by explicit predictions of held-out images."""
    found = np.zeros((len(fractions), y.shape[1]))
    for training, held_out in splits:
        for unit in range(y.shape[1]):
            for number, fraction in enumerate(fractions):
                b = ridge(x[training], y[training, unit], fraction)
                predicted = (x[held_out] - x[training].mean(axis=0)) @ b + y[training, unit].mean()
                found[number, unit] += r2_score(y[held_out, unit], predicted) / len(splits)
    return found


# Fits

SHAPES = st.tuples(st.integers(6, 40), st.integers(6, 50), st.floats(0.0, 4.0), st.booleans(), st.integers(0, 10**6))


@given(SHAPES, st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4))
def test_coefficients_have_their_fraction_of_the_length_of_least_squares(shape, fractions):
    n_images, n_features, decay, null, seed = shape
    x, y = problem(seed, n_images, n_features, 4, decay=decay, null=null)
    found = fit(design := double(x, folds=2), project(design, y), fractions)
    lengths = np.linalg.norm(found.coefficients, axis=0) / np.linalg.norm(least_squares(x, y), axis=0)
    np.testing.assert_allclose(lengths, fractions, rtol=1e-5)


def test_a_single_feature_has_a_fraction_of_its_slope(rng):
    x, y = rng.normal(size=(40, 1)) + 2, rng.normal(size=(40, 3))
    found = fit(design := double(x), project(design, y), 0.4)
    centred = x - x.mean()
    slope = (centred * y).sum(axis=0) / (centred**2).sum()
    np.testing.assert_allclose(found.coefficients[0], 0.4 * slope, rtol=1e-6)
    np.testing.assert_allclose(found.alpha, (centred**2).sum() * (1 / 0.4 - 1), rtol=1e-6)
    np.testing.assert_allclose(
        scores_of(design, y), naive_scores(x, y, FRACTIONS, list(KFold(5).split(x))), rtol=1e-6, atol=1e-6
    )


def test_lengths_are_right_where_scales_differ_most(rng):
    """Responses without noise, whose coefficients are as long in directions a millionth as long as others: no start is near."""
    images = np.linalg.qr(rng.normal(size=(60, 12)))[0]
    x = (images - images.mean(axis=0)) * np.geomspace(1, 1e-6, 12) @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    y = x @ rng.normal(size=(12, 5))
    design = double(x, folds=2)
    whole = np.linalg.norm(fit(design, projections := project(design, y), 1).coefficients, axis=0)
    for fraction in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        lengths = np.linalg.norm(fit(design, projections, fraction).coefficients, axis=0)
        np.testing.assert_allclose(lengths / whole, fraction, rtol=1e-6)


@given(SHAPES)
def test_fraction_1_is_least_squares(shape):
    n_images, n_features, decay, null, seed = shape
    x, y = problem(seed, n_images, n_features, 4, decay=decay, null=null)
    projections = project(design := double(x, folds=2), y)
    found, theirs = fit(design, projections, 1), least_squares(x, y)
    np.testing.assert_allclose(found.coefficients, theirs, atol=1e-6 * np.abs(theirs).max())
    assert (found.alpha == 0).all()
    assert np.array_equal(fit(design, projections, 1.05).coefficients, found.coefficients)


@given(SHAPES, st.floats(0.02, 0.99))
def test_coefficients_are_those_of_ridge_at_their_alpha(shape, fraction):
    n_images, n_features, decay, null, seed = shape
    x, y = problem(seed, n_images, n_features, 3, decay=min(decay, 2), null=null)
    found = fit(design := double(x, folds=2), project(design, y), fraction)
    assert (found.alpha > 0).all()
    centred = x - x.mean(axis=0)
    for unit, alpha in enumerate(found.alpha):
        # As least squares of X and sqrt(alpha) I below each other: X'X would lose the digits of small singular values.
        taller = np.vstack([centred, np.sqrt(alpha) * np.eye(n_features)])
        target = np.append(y[:, unit] - y[:, unit].mean(), np.zeros(n_features))
        expected = np.linalg.lstsq(taller, target, rcond=None)[0]
        np.testing.assert_allclose(found.coefficients[:, unit], expected, atol=1e-6 * np.abs(expected).max())


def test_a_column_that_says_nothing_changes_nothing(rng):
    x, y = problem(3)
    more = np.column_stack([np.full(60, 1e9 / 7), x, np.full(60, 1e-33), rng.normal(size=60) * 1e-33])
    plain, wider = double(x), double(more)
    np.testing.assert_allclose(scores_of(wider, y), scores_of(plain, y), rtol=1e-9)
    found, expected = (fit(design, project(design, y), 0.4) for design in (wider, plain))
    np.testing.assert_allclose(found.coefficients[1:-2], expected.coefficients, rtol=1e-8)
    assert np.abs(found.coefficients[[0, -2, -1]]).max() < 1e-15
    assert wider.singular_values.size == plain.singular_values.size == 12


def test_a_column_that_varies_in_one_fold_only_is_least_squares_there(rng):
    """Its training set without that fold has a lower rank, and rounding errors must not stand for the missing direction."""
    x, y = problem(4)
    x[12:, 5] = 2.0
    np.testing.assert_allclose(
        scores_of(double(x), y), naive_scores(x, y, FRACTIONS, list(KFold(5).split(x))), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(60, 12), (30, 50)])
def test_coefficients_are_fracridges(shape):
    """It interpolates between alphas 0.2 of a decade apart, so that its lengths are right to about 1 %; its alphas decide."""
    x, y = problem(5, *shape, decay=0.3)
    n_folds = 2
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, alphas = fracridge.fracridge(centred_x, centred_y, FRACTIONS, jit=False, tol=1e-6)
    design = double(x, folds=n_folds)
    projections = project(design, y)
    for number, fraction in enumerate(FRACTIONS):
        found = fit(design, projections, fraction)
        scale = np.abs(theirs[:, number]).max()
        np.testing.assert_allclose(found.coefficients, theirs[:, number], atol=0.02 * scale)
        np.testing.assert_allclose(found.alpha, alphas[number], rtol=0.08, atol=1e-8)
        lengths = np.linalg.norm(theirs[:, number], axis=0) / np.linalg.norm(theirs[:, -1], axis=0)
        at_their_length = [
            fit(design, project(design, y[:, [unit]]), min(length, 1.0)).coefficients[:, 0]
            for unit, length in enumerate(lengths)
        ]
        np.testing.assert_allclose(np.transpose(at_their_length), theirs[:, number], atol=1e-5 * scale)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_coefficients_and_intercepts_are_himalayas_at_the_same_alphas(fraction):
    x, y = problem(6)
    found = fit(design := double(x), project(design, y), fraction)
    theirs = himalaya.ridge.Ridge(alpha=found.alpha, fit_intercept=True).fit(x, y)
    np.testing.assert_allclose(found.coefficients, theirs.coef_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.intercept, theirs.intercept_, rtol=1e-8)
    np.testing.assert_allclose(predict(x[:9] + 1, found.coefficients, found.intercept), theirs.predict(x[:9] + 1))


def test_chosen_models_predict_new_images_as_well_as_himalayas(rng):
    x = make_features(rng, 900, 30)
    planted = x @ rng.normal(size=(30, 60))
    planted *= np.geomspace(0.02, 2, 60) / planted.std(axis=0)
    y = planted + rng.normal(size=planted.shape)
    training, new = slice(0, 300), slice(300, None)
    found, _ = next(fit_blocks(double(x[training]), lambda: [y[training]]))
    mine = r2_score(y[new], predict(x[new], found.coefficients, found.intercept), multioutput="raw_values")
    model = himalaya.ridge.RidgeCV(alphas=np.geomspace(1e-2, 1e5, 40), fit_intercept=True, cv=KFold(5))
    theirs = r2_score(y[new], model.fit(x[training], y[training]).predict(x[new]), multioutput="raw_values")
    assert mine.mean() > 0.1
    assert abs(mine.mean() - theirs.mean()) < 0.002
    assert np.abs(mine - theirs).max() < 0.03


# Scores


@pytest.mark.parametrize(
    ("shape", "fractions"), [((43, 12), FRACTIONS), ((31, 40), RELEASED_FRACTIONS), ((25, 6), [1.0])]
)
@pytest.mark.parametrize("n_folds", [2, 5])
def test_scores_are_those_of_explicit_predictions(shape, fractions, n_folds):
    x, y = problem(7, *shape, null=True)
    expected = naive_scores(x, y, fractions, list(KFold(n_folds).split(x)))
    np.testing.assert_allclose(scores_of(double(x, fractions, folds=n_folds), y), expected, rtol=1e-6, atol=1e-6)


def test_folds_may_be_given_by_label(rng):
    x, y = problem(8)
    labels = rng.permutation(np.repeat(["a", "b", "c"], [10, 20, 30]))
    splits = [(np.flatnonzero(labels != name), np.flatnonzero(labels == name)) for name in "abc"]
    design = double(x, folds=labels)
    np.testing.assert_allclose(scores_of(design, y), naive_scores(x, y, FRACTIONS, splits), rtol=1e-6, atol=1e-6)
    found, expected = (fit(each, project(each, y), 0.3) for each in (design, double(x)))
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-9, atol=1e-14)


def test_a_choice_per_unit_beats_one_for_all_where_signals_differ(rng):
    """Why: the best length shrinks each direction by its share of signal in the variance of its coefficient, so that units of
    much noise want short coefficients and units of little want long ones; one fraction is wrong for either.
    """
    x = make_features(rng, 1000, 40, decay=0.2)
    planted = x @ rng.normal(size=(40, 80))
    planted *= np.repeat([0.15, 3.0], 40) / planted.std(axis=0)
    y = planted + rng.normal(size=planted.shape)
    training, new = slice(0, 250), slice(250, None)
    design, gains = double(x[training]), {}
    for shared in (False, True):
        found = next(fit_blocks(design, lambda: [y[training]], shared=shared))[0]
        assert np.unique(found.fraction).size == 1 if shared else np.unique(found.fraction).size > 3
        predicted = predict(x[new], found.coefficients, found.intercept)
        gains[shared] = r2_score(y[new], predicted, multioutput="raw_values").reshape(2, 40).mean(axis=1)
        if not shared:
            weak, strong = found.fraction.reshape(2, 40).mean(axis=1)
            assert weak < 0.5 and strong > 0.9
    assert (gains[False] > gains[True] - 0.002).all()
    assert gains[False].mean() > gains[True].mean() + 0.01


def test_one_choice_for_all_is_that_of_the_mean_score_over_all_blocks():
    x, y = problem(10, n_units=11)
    # Units of the first block follow the features closely, and would choose another.
    y[:, :4] += 5 * (x @ np.linalg.lstsq(x, y[:, :4], rcond=None)[0])
    design = double(x)
    scores = scores_of(design, y)
    best = FRACTIONS[scores.mean(axis=1).argmax()]
    assert FRACTIONS[scores[:, :4].mean(axis=1).argmax()] != best
    parts = [y[:, :4], y[:, 4:5], y[:, 5:]]
    found = list(fit_blocks(design, lambda: iter(parts), shared=True))
    assert [each.fraction.tolist() for each, _ in found] == [[best] * 4, [best], [best] * 6]
    np.testing.assert_allclose(np.concatenate([each for _, each in found], axis=1), scores, rtol=1e-10)
    expected = fit(design, project(design, y), best).coefficients
    np.testing.assert_allclose(np.concatenate([each.coefficients for each, _ in found], axis=1), expected, rtol=1e-10)
    assert list(fit_blocks(design, lambda: [], shared=True)) == []


def test_of_equal_scores_the_smaller_fraction_is_chosen():
    scores = np.array([[0.1, 0.5, np.nan, 0.2], [0.3, 0.5, np.nan, np.nan], [0.3, 0.4, np.nan, 0.1]])
    assert choose_fractions(np.array([0.2, 0.5, 1.0]), scores).tolist() == [0.5, 0.2, 0.2, 0.2]
    assert choose_fractions(np.array([0.2, 0.5, 1.0]), scores, shared=True).tolist() == [0.5] * 4


def test_a_unit_that_lacks_a_score_has_no_say_in_the_choice_for_all():
    grid = np.array([0.2, 0.5, 1.0])
    scores = np.array([[0.1, 0.9, np.nan], [0.2, np.nan, 0.1], [0.3, 0.8, 0.1]])
    assert choose_fractions(grid, scores, shared=True).tolist() == [1.0] * 3
    # The mean, which one unit may decide, not the median.
    assert choose_fractions(grid, np.array([[5.0, 0, 0], [0, 0.1, 0.1], [0, 0, 0]]), shared=True).tolist() == [0.2] * 3


def test_grids_are_those_of_the_text_and_of_the_released_code():
    """From a 20th on, in equal steps, 20 of them: up to 1 in the text, up to 1.05 in the code."""
    for grid, last in ((FRACTIONS, 1.0), (RELEASED_FRACTIONS, 1.05)):
        assert (grid.size, grid[0], grid[-1]) == (20, 0.05, last)
        np.testing.assert_allclose(np.diff(grid), (last - 0.05) / 19)


def test_fractions_may_be_named_twice():
    x, y = problem(11)
    scores = scores_of(double(x, [0.5, 0.5, 0.8]), y)
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_allclose(scores[1:], scores_of(double(x, [0.5, 0.8]), y), rtol=1e-12)


def test_fractions_from_1_score_the_same_to_the_last_digit():
    x, y = problem(11)
    scores = scores_of(make_design(x, [0.5, 1.0, 1.05, 2.0]), y)
    assert np.array_equal(scores[1], scores[2]) and np.array_equal(scores[1], scores[3])
    assert not np.array_equal(scores[0], scores[1])


def test_units_without_variance_have_no_coefficients_and_no_scores():
    x, y = problem(12)
    y[:, 2] = 0.1
    y[12:, 3] = 5.0  # varies in the first fold only, which trains on nothing but this
    design = make_design(x)
    scores = scores_of(design, y)
    found, _ = next(fit_blocks(design, lambda: [y]))
    assert np.isnan(scores[:, 2]).all() and np.isfinite(np.delete(scores, 2, axis=1)).all()
    assert (found.coefficients[:, 2] == 0).all() and found.alpha[2] == 0 and found.fraction[2] == FRACTIONS[0]
    np.testing.assert_allclose(found.intercept[2], 0.1, rtol=1e-12)
    expected = r2_score(y[:12, 3], np.full(12, 5.0))
    np.testing.assert_allclose(scores[:, 3], expected, rtol=1e-5)


# What must not matter


@given(st.permutations(range(7)), st.integers(1, 6), st.integers(0, 99))
def test_order_and_blocks_of_units_do_not_matter(order, cut, seed):
    x, y = problem(seed)
    design = make_design(x)
    (expected, scores), *_ = fit_blocks(design, lambda: [y])
    moved = y[:, order]
    found = list(fit_blocks(design, lambda: [moved[:, :cut], moved[:, cut:]]))
    np.testing.assert_allclose(np.concatenate([each for _, each in found], axis=1), scores[:, order], atol=1e-6)
    coefficients = np.concatenate([each.coefficients for each, _ in found], axis=1)
    same = np.concatenate([each.fraction for each, _ in found]) == expected.fraction[order]
    assert same.mean() > 0.8  # scores that are all but equal may be rounded either way
    np.testing.assert_allclose(coefficients[:, same], expected.coefficients[:, order][:, same], rtol=1e-3, atol=1e-5)


@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.floats(-1e2, 1e2), st.integers(0, 99))
def test_scale_and_shift_move_predictions_and_nothing_else(scale, shift, shift_of_features, seed):
    x, y = problem(seed)
    first, second = double(x), double(x + shift_of_features)
    moved = scale * (y + shift)
    np.testing.assert_allclose(scores_of(second, moved), scores_of(first, y), rtol=1e-7, atol=1e-9)
    expected, found = fit(first, project(first, y), 0.35), fit(second, project(second, moved), 0.35)
    np.testing.assert_allclose(found.coefficients, scale * expected.coefficients, rtol=1e-7, atol=1e-10 * scale)
    np.testing.assert_allclose(
        predict(x + shift_of_features, found.coefficients, found.intercept),
        scale * (predict(x, expected.coefficients, expected.intercept) + shift),
        *(1e-7, 1e-9 * scale * (1 + abs(shift))),
    )


def test_predictions_have_the_mean_unless_asked_not_to():
    x, y = problem(13)
    found = fit(design := double(x), project(design, y), 0.3)
    kept, lost = (predict(x, found.coefficients, found.intercept, keep_mean=each) for each in (True, False))
    np.testing.assert_allclose(kept.mean(axis=0), y.mean(axis=0))
    np.testing.assert_allclose(lost, x @ found.coefficients)
    assert np.abs(lost.mean(axis=0) - y.mean(axis=0)).max() > 0.5
    np.testing.assert_allclose(kept - kept.mean(axis=0), lost - lost.mean(axis=0), atol=1e-12)


def test_means_are_taken_and_predictions_made_in_double_precision(rng):
    """Also of single-precision responses, whose sum over thousands of images would lose digits of a mean far from 0."""
    x, y = problem(17, 5000)
    y = (y + 30_000).astype(np.float32)
    design = make_design(x)
    found = fit(design, project(design, y), 0.5)
    mean = y.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(predict(x, found.coefficients, found.intercept).mean(axis=0), mean, rtol=1e-10)
    large = (rng.normal(size=(9, 4)) + 1000).astype(np.float32)
    weights = rng.normal(size=(4, 3)).astype(np.float32)
    predicted = predict(large, weights, np.zeros(3))
    assert predicted.dtype == np.float64
    np.testing.assert_allclose(predicted, large.astype(np.float64) @ weights.astype(np.float64), rtol=1e-12)


@pytest.mark.parametrize("shortest", [1e-8, 1e-12, 1e-17])
def test_directions_count_as_numpy_counts_them(rng, shortest):
    x = make_features(rng, 60, 12, decay=0)
    left, lengths, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    lengths[-1] = shortest * lengths[0]
    x = (left * lengths) @ right
    rank = 12 if shortest > 1e-14 else 11
    assert np.linalg.matrix_rank(x - x.mean(axis=0)) == rank
    design = double(x)
    assert design.singular_values.size == rank
    assert [fold.singular_values.size for fold in design.folds] == [rank] * 5


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e6])
@pytest.mark.parametrize("shape", [(300, 60), (60, 90)])
def test_single_precision_is_not_amplified(rng, condition, shape):
    """Products with X itself would have errors of 1e-7 times the square of the condition in short directions."""
    turn = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))[0]
    x = (rng.normal(size=shape) * np.geomspace(1, 1 / condition, shape[1])) @ turn
    y = (make_responses(rng, x, 20) + 50).astype(np.float32)
    single, precise = make_design(x), double(x)
    expected, found = scores_of(precise, y), scores_of(single, y)
    assert (np.abs(found - expected) < 3e-6 * (1 + np.abs(expected))).all()
    for fraction in (0.1, 0.6, 1.0):
        b, exact = (fit(design, project(design, y), fraction).coefficients for design in (single, precise))
        assert b.dtype == np.float32 and exact.dtype == np.float64
        assert (np.linalg.norm(b - exact, axis=0) < 1e-4 * np.linalg.norm(exact, axis=0)).all()


def test_scores_do_not_depend_on_how_many_units_are_scored_at_once(monkeypatch):
    x, y = problem(14)
    design = double(x)
    expected = scores_of(design, y)
    # Three, and one even where its coefficients are more than shall be held.
    for size in (8 * 20 * 12 * 3, 1):
        monkeypatch.setattr(module, "SCRATCH_BYTES", size)
        np.testing.assert_allclose(scores_of(design, y), expected, rtol=1e-12)


# Errors and memory


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((np.ones(5),), {}, r"expected shape \(n_images, n_features\), found \(5,\)"),
        ((np.array([[1.0, 2], [3, np.nan], [np.inf, 0]]),), {}, r"row 1 is not finite \(2 of 3 rows\)"),
        ((np.ones((9, 2)),), {}, "none of 2 varies over the 9 images"),
        ((np.eye(9)[:, :1],), {"folds": 9}, "none varies over the 8 images with which a fold trains that holds out 1"),
        ((np.eye(9), [0.0, 0.5]), {}, "fractions: expected ascending numbers above 0"),
        ((np.eye(9), [0.5, 0.4]), {}, "fractions: expected ascending numbers above 0"),
        ((np.eye(9), [0.5, np.inf]), {}, "fractions: expected ascending numbers above 0"),
        ((np.eye(9), []), {}, "fractions: expected ascending numbers above 0"),
        ((np.eye(9),), {"folds": 1}, "from 2 up to the number of images, 9; found 1"),
        ((np.eye(9),), {"folds": 10}, "from 2 up to the number of images, 9; found 10"),
        ((np.eye(9),), {"folds": [1] * 9}, "expected at least 2, found all images in one"),
        ((np.eye(9),), {"folds": [1, 2]}, r"label of each of 9 images, found shape \(2,\)"),
    ],
)
def test_designs_that_cannot_be_are_refused(arguments, keywords, message):
    with pytest.raises(ValueError, match=message):
        make_design(*arguments, **keywords)


def test_responses_that_do_not_fit_are_refused():
    x, y = problem(15)
    design = make_design(x)
    y[3, 2] = np.nan
    y[5, 4] = np.inf
    with pytest.raises(ValueError, match=r"2 of 7 units, first number 2 \(from 0\), are not finite in every image"):
        project(design, y)
    for wrong in (y[:50], y[:, 0]):
        with pytest.raises(ValueError, match=r"responses: expected shape \(60, n_units\)"):
            project(design, wrong)
    with pytest.raises(ValueError, match="fraction: expected numbers above 0, found 0"):
        fit(design, project(design, y[:, :2]), [0.5, 0.0])


RUN = """
import sys, numpy as np
from capcortex.encoding.fractional_ridge import fit_blocks, make_design
n_images, n_features, n_units = map(int, sys.argv[1:])
rng = np.random.default_rng(1)
x = rng.standard_normal((n_images, n_features))
design = make_design(x)
y = lambda: (rng.standard_normal((n_images, n_units), dtype=np.float32) for _ in range(2))
for _ in fit_blocks(design, y):
    pass
"""


@pytest.fixture(scope="module")
def libraries_mb(peak_mb):
    return peak_mb(RUN, 40, 5, 5)


@pytest.mark.parametrize("size", [(1500, 100, 8000), (4000, 300, 50)])
def test_memory_stays_within_the_formula(peak_mb, libraries_mb, size):
    """One size at which responses take most, one at which the decomposition does."""
    peak, formula = peak_mb(RUN, *size) - libraries_mb, fractional_ridge_memory_mb(*size, 20)
    assert peak < formula < 3 * peak
