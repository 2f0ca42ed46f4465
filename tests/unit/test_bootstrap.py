"""The two-factor bootstrap: against rsatoolbox, against resampling by hand, and in closed form."""

import contextlib
import io

import numpy as np
import pytest
import rsatoolbox
from rsatoolbox.util.inference_util import extract_variances
from scipy import stats
from scipy.spatial.distance import squareform

from capcortex.inference import bootstrap
from capcortex.inference.bootstrap import (
    bootstrap_subjects_and_images,
    bootstrap_test,
    corrected_variance,
    scores_of_draws,
)
from capcortex.inference.intervals import mean_interval
from capcortex.rsa.measures import compare_rdms
from capcortex.rsa.rdm import n_pairs

N_SETS, N_SUBJECTS, N_MODELS, N_IMAGES = 2, 6, 3, 12
VARIANCES = ["variance_both", "variance_subjects", "variance_images"]


def related(rng, n_sets=N_SETS, n_subjects=N_SUBJECTS, n_models=N_MODELS, n_images=N_IMAGES):
    """RDMs of subjects and of models with something in common; the last models fit less well."""
    common = rng.normal(size=(n_sets, 1, n_pairs(n_images)))
    region = common + rng.normal(size=(n_sets, n_subjects, common.shape[2]))
    weights = np.linspace(1, 0.2, n_models)[:, None]
    return region, weights * common + rng.normal(size=(n_sets, n_models, common.shape[2]))


def image_draws(rng, n_sets, n_draws, n_images):
    return rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=(n_sets, n_draws))


def run(region, models, seed=1, n_draws=200, measure="pearson"):
    return bootstrap_subjects_and_images(
        region, models, measure=measure, n_draws=n_draws, rng=np.random.default_rng(seed)
    )


def drop_image(rdms, image):
    """Make all pairs of one image undefined."""
    n_images = squareform(np.zeros(rdms.shape[-1])).shape[0]
    of_image = np.any(np.array(np.triu_indices(n_images, k=1)) == image, axis=0)
    return np.where(of_image, np.nan, rdms)


# The draws


def test_a_draw_leaves_out_pairs_of_copies_as_rsatoolbox_does(rng):
    region, models = related(rng, n_sets=1)
    draws = image_draws(rng, 1, 20, N_IMAGES)
    found = scores_of_draws(region, models, draws, "pearson")
    sides = [rsatoolbox.rdm.RDMs(rdms[0]) for rdms in (region, models)]
    for number, counts in enumerate(draws[0]):
        drawn = np.repeat(np.arange(N_IMAGES), counts)
        left, right = (side.subsample_pattern("index", drawn) for side in sides)
        expected = rsatoolbox.rdm.compare(left, right, method="corr")
        np.testing.assert_allclose(found[number], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("measure", ["spearman", "rho-a", "tau-a", "whitened-cosine"])
def test_a_draw_under_another_measure_compares_what_was_drawn(rng, measure):
    region, models = related(rng, n_sets=1, n_subjects=2)
    models[:, 1] = drop_image(models[:, 1], 0)
    draws = image_draws(rng, 1, 5, N_IMAGES)
    found = scores_of_draws(region, models, draws, measure)
    for number, counts in enumerate(draws[0]):
        drawn = np.repeat(np.arange(N_IMAGES), counts)
        squares = [[squareform(rdm) for rdm in rdms[0]] for rdms in (region, models)]
        for some in squares:
            for square in some:
                np.fill_diagonal(square, np.nan)
        upper = np.triu_indices(N_IMAGES, k=1)
        left, right = ([square[np.ix_(drawn, drawn)][upper] for square in some] for some in squares)
        expected = [[compare_rdms(one, other, measure)[0] for other in right] for one in left]
        np.testing.assert_allclose(found[number], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_images", [4, 5, 12])
def test_sums_over_pairs_equal_resampling_pair_by_pair(rng, n_images):
    region, models = related(rng, n_images=n_images)
    # Model 1 lacks an image in both sets; one subject lacks another image in one set; distances far from zero.
    models[:, 1] = drop_image(models[:, 1], 0)
    region[0, 2] = drop_image(region[0, 2], 1)
    models[:, 2] = 1e4 + 1e-2 * models[:, 2]
    draws = image_draws(rng, N_SETS, 60, n_images)
    for of_region, of_models, of_set in zip(region, models, draws, strict=True):
        by_sums = bootstrap._pearson_of_draws(of_region, of_models, of_set)
        by_pairs = bootstrap._compare_draws(of_region, of_models, of_set, "pearson")
        np.testing.assert_allclose(by_sums, by_pairs, rtol=0, atol=1e-10)
        # With few images some draws hold fewer than three different ones, and nothing can be said.
        fewer = (of_set > 0).sum(axis=1) < 3
        assert np.isnan(by_sums[fewer]).all()
        assert n_images > 5 or fewer.any()


def test_blocks_of_draws_change_nothing(rng, monkeypatch):
    region, models = related(rng)
    whole = run(region, models)
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", 7 * n_pairs(N_IMAGES))
    for name in VARIANCES:
        np.testing.assert_allclose(run(region, models)[name], whole[name], rtol=1e-10)


def test_all_images_once_is_the_score_of_the_study(rng):
    region, models = related(rng)
    models[:, 1] = drop_image(models[:, 1], 3)
    expected = [
        np.mean(
            [np.mean([compare_rdms(region[k, s], models[k, m])[0] for k in range(N_SETS)]) for s in range(N_SUBJECTS)]
        )
        for m in range(N_MODELS)
    ]
    np.testing.assert_allclose(run(region, models)["score"], expected, atol=1e-12)


def test_three_bootstraps_share_their_draws_and_equal_resampling_by_hand(rng):
    region, models = related(rng)
    found = run(region, models, seed=3, n_draws=50)
    again = np.random.default_rng(3)
    subjects = again.multinomial(N_SUBJECTS, np.full(N_SUBJECTS, 1 / N_SUBJECTS), size=50)
    images = image_draws(again, N_SETS, 50, N_IMAGES)
    once = np.ones((N_SETS, 50, N_IMAGES), dtype=int)

    def scores(people, pictures):
        """Score of every draw, with the RDMs of the subjects drawn laid out one beside the other."""
        return np.array(
            [
                scores_of_draws(
                    region[:, np.repeat(np.arange(N_SUBJECTS), people[d])], models, pictures[:, [d]], "pearson"
                )[0].mean(axis=0)
                for d in range(50)
            ]
        )

    expected = [
        scores(subjects, images),
        scores(subjects, once),
        scores(np.ones_like(subjects), images),
    ]
    for name, values in zip(VARIANCES, expected, strict=True):
        np.testing.assert_allclose(found[name], np.cov(values, rowvar=False), rtol=1e-9)


# Against rsatoolbox, and closed forms


def test_variances_agree_with_rsatoolbox_within_sampling_error(rng, monkeypatch):
    n_images, of_theirs, of_ours = 16, 400, 8000
    region, models = related(rng, n_sets=1, n_images=n_images)
    data = rsatoolbox.rdm.RDMs(region[0])
    fixed = [rsatoolbox.model.ModelFixed(f"model {k}", rdm) for k, rdm in enumerate(models[0])]
    # It draws from numpy's global state, which would be other draws in every run.
    monkeypatch.setattr(np.random, "randint", rng.integers)
    with contextlib.redirect_stderr(io.StringIO()):
        theirs = rsatoolbox.inference.eval_dual_bootstrap(fixed, data, method="corr", k_pattern=1, k_rdm=1, N=of_theirs)
    ours = run(region, models, n_draws=of_ours)
    assert int(ours["degrees_of_freedom"]) == theirs.dof
    # The variance of n normal values has the relative standard error sqrt(2 / n); 4.5 of them, for about 20 comparisons.
    tolerance = 4.5 * np.sqrt(2 / of_theirs + 2 / of_ours)
    contrasts = [*np.eye(N_MODELS), np.array([1, -1, 0]), np.array([1, 0, -1]), np.array([0, 1, -1])]
    for contrast in contrasts:
        for name, variance in zip(VARIANCES, theirs.variances[:, :N_MODELS, :N_MODELS], strict=True):
            expected = contrast @ variance @ contrast
            assert contrast @ ours[name].to_numpy() @ contrast == pytest.approx(expected, rel=tolerance)
    # The correction weighs three variances of one set of draws; bounded by the largest, it has no more than their error.
    errors = [half_width(ours, contrast) for contrast in contrasts]
    expected = np.sqrt([*theirs.model_var, *theirs.diff_var])
    np.testing.assert_allclose(errors, expected, rtol=tolerance)


def half_width(result, contrast):
    """Standard error of a contrast, from its t."""
    test = bootstrap_test(result, contrast)
    return test.interval.estimate / test.t


@pytest.mark.parametrize("seed", range(4))
def test_the_correction_is_rsatoolboxs_on_the_same_covariances(seed):
    region, models = related(np.random.default_rng(seed))
    result = run(region, models, n_draws=40)
    covariances = np.array([result[name].to_numpy() for name in VARIANCES])
    of_models, of_differences, _ = extract_variances(covariances, False, N_SUBJECTS, N_IMAGES)
    found = [half_width(result, contrast) ** 2 for contrast in np.eye(N_MODELS)]
    np.testing.assert_allclose(found, of_models, rtol=1e-10)
    found = [half_width(result, contrast) ** 2 for contrast in np.array([[1, -1, 0], [1, 0, -1], [0, 1, -1]])]
    np.testing.assert_allclose(found, of_differences, rtol=1e-10)


def test_the_correction_has_its_bounds():
    known = {"n_subjects": 4, "n_images": 5}
    a, b = 4 / 3, 5 / 4
    between = a * 1 + b * 2 - a * b * (3.6 - 1 - 2)
    assert b * 2 < between < 3.6
    assert corrected_variance(3.6, 1, 2, **known) == pytest.approx(between)
    assert corrected_variance(10, 1, 2, **known) == pytest.approx(b * 2)
    assert corrected_variance(10, 2, 1, **known) == pytest.approx(a * 2)
    # The upper bound comes last.
    assert corrected_variance(2.1, 2, 0, **known) == pytest.approx(2.1)


def test_draws_of_subjects_have_the_variance_of_a_mean(rng):
    region, models = related(rng)
    n_draws = 20_000
    found = run(region, models, n_draws=n_draws)["variance_subjects"].to_numpy()
    once = np.ones((N_SETS, 1, N_IMAGES), dtype=int)
    expected = np.cov(scores_of_draws(region, models, once, "pearson")[0], rowvar=False, ddof=0) / N_SUBJECTS
    np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=4.5 * np.sqrt(2 / n_draws))


# Tests of contrasts


def test_a_contrast_has_students_interval_and_two_sided_p(rng):
    region, models = related(rng)
    result = run(region, models)
    forth, back = (bootstrap_test(result, sign * np.array([1, -1, 0]), 0.9) for sign in (1, -1))
    error = half_width(result, [1, -1, 0])
    score = result["score"].to_numpy()
    assert forth.interval.estimate == pytest.approx(score[0] - score[1])
    degrees = N_SUBJECTS - 1
    assert forth.p == pytest.approx(2 * stats.t.cdf(-abs(forth.t), degrees))
    np.testing.assert_allclose(forth.interval[1:], stats.t.interval(0.9, degrees, score[0] - score[1], error))
    assert (back.t, back.p) == (pytest.approx(-forth.t), pytest.approx(forth.p))


def test_of_subjects_who_agree_on_images_that_matter_it_says_less_than_the_t_test(rng):
    # All subjects share what the model gets right by chance: a t-test over subjects does not see it.
    region, models = related(rng, n_subjects=8, n_images=10)
    region = 0.05 * region + region[:, :1]
    result = run(region, models, n_draws=500)
    scores = scores_of_draws(region, models, np.ones((N_SETS, 1, 10), dtype=int), "pearson")[0]
    for model in range(N_MODELS):
        both = bootstrap_test(result, np.eye(N_MODELS)[model]).interval
        people = mean_interval(scores[:, model])
        assert both.high - both.low > 3 * (people.high - people.low)


def test_equal_models_have_no_test(rng):
    region, models = related(rng)
    models[:, 2] = 3 * models[:, 0] + 1
    found = bootstrap_test(run(region, models), [1, 0, -1])
    assert found.interval.estimate == pytest.approx(0, abs=1e-12)
    assert np.isnan([*found.interval[1:], found.t, found.p]).all()


# Invariances


def test_order_of_models_and_scale_of_rdms_change_nothing(rng):
    region, models = related(rng)
    plain = run(region, models)
    scales = rng.uniform(0.1, 10, size=(N_SETS, N_SUBJECTS, 1))
    other = run(5 + scales * region, 1 + 2 * models[:, ::-1])
    np.testing.assert_allclose(other["score"], plain["score"][::-1], atol=1e-12)
    for name in VARIANCES:
        np.testing.assert_allclose(other[name], plain[name][::-1, ::-1], rtol=1e-9)


def test_order_of_subjects_and_images_changes_nothing(rng):
    region, models = related(rng)
    draws = image_draws(rng, N_SETS, 30, N_IMAGES)
    expected = scores_of_draws(region, models, draws, "pearson")
    people, pictures = rng.permutation(N_SUBJECTS), rng.permutation(N_IMAGES)

    def reordered(rdms):
        return np.array([[squareform(squareform(rdm)[np.ix_(pictures, pictures)]) for rdm in some] for some in rdms])

    found = scores_of_draws(reordered(region)[:, people], reordered(models), draws[..., pictures], "pearson")
    np.testing.assert_allclose(found, expected[:, people], atol=1e-12)
    # Draws of images do not depend on who the subjects are.
    np.testing.assert_allclose(
        run(region[:, people], models)["variance_images"], run(region, models)["variance_images"], rtol=1e-9
    )


# What is not defined


def test_a_model_without_a_score_changes_no_other(rng):
    region, models = related(rng)
    plain = run(region, models)
    models[:, 1] = 0.3
    found = run(region, models)
    assert np.isnan(found["score"][1])
    for name in VARIANCES:
        assert np.isnan(found[name][1]).all()
        assert np.isnan(found[name][:, 1]).all()
        np.testing.assert_allclose(found[name][::2, ::2], plain[name][::2, ::2], rtol=1e-10)
    assert np.isnan(bootstrap_test(found, [1, -1, 0]).p)
    assert bootstrap_test(found, [1, 0, -1]).p == pytest.approx(bootstrap_test(plain, [1, 0, -1]).p)


def test_a_set_on_which_a_model_is_not_defined_is_left_out_of_its_mean(rng):
    region, models = related(rng)
    models[1, 0] = np.nan
    alone = run(region[:1], models[:1, :1])["score"]
    np.testing.assert_allclose(run(region, models)["score"][0], alone[0], atol=1e-12)


def test_draws_that_say_nothing_are_left_out_and_counted(rng):
    region, models = related(rng, n_sets=1, n_images=4)
    n_draws = 2000
    found = run(region, models, n_draws=n_draws)
    # Of 4^4 draws of four images 4 hold one image, and C(4, 2) (2^4 - 2) = 84 hold two.
    share = 1 - 88 / 256
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], n_draws, share)
    assert low <= int(found["n_draws_used"]) <= high
    assert np.isfinite(found["variance_both"]).all()


@pytest.mark.parametrize(("n_sets", "n_subjects"), [(2, 1), (0, 6)])
def test_one_subject_or_no_set_gives_no_variance(rng, n_sets, n_subjects):
    region, models = related(rng, n_sets=n_sets, n_subjects=n_subjects)
    found = run(region, models)
    for name in VARIANCES:
        assert found[name].shape == (N_MODELS, N_MODELS)
        assert np.isnan(found[name]).all()
    assert np.isfinite(found["score"]).all() == (n_sets > 0)
    assert np.isnan(bootstrap_test(found, [1, 0, 0]).p)


def test_rdms_that_do_not_fit_together_are_refused(rng):
    region, models = related(rng)
    with pytest.raises(ValueError, match="same image sets and pairs, found"):
        run(region, models[:1])
    with pytest.raises(ValueError, match="no number of images has 65 pairs"):
        run(region[..., 1:], models[..., 1:])


@pytest.mark.parametrize("n_images", [4, 6, 12])
def test_degrees_of_freedom_are_of_the_factor_with_fewer_members(rng, n_images):
    region, models = related(rng, n_sets=1, n_images=n_images)
    result = run(region, models)
    assert int(result["degrees_of_freedom"]) == min(region.shape[1], n_images) - 1
