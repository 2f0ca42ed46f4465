"""Measures of two RDMs: as other programs compute them, as they are defined, and unmoved by what must not matter."""

from itertools import permutations, product

import mne_rsa
import numpy as np
import pytest
import rsatoolbox
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import squareform

from capcortex.inference.ceilings import between_subject_ceiling
from capcortex.rsa.measures import MEASURES, compare_each, compare_rdms, why_no_zero

SEED = st.integers(0, 2**32 - 1)
RANKS = ("spearman", "rho-a", "tau-a")
IN_RSATOOLBOX = {
    "pearson": "corr",
    "spearman": "spearman",
    "rho-a": "rho-a",
    "tau-a": "tau-a",
    "whitened-cosine": "cosine_cov",
}
# rsatoolbox solves for whitened RDMs by iteration.
TOLERANCE = dict.fromkeys(MEASURES, 1e-9) | {"whitened-cosine": 1e-4}


def brain_and_model(seed, n_images=12, levels=0):
    """RDMs that have something in common; the model's has ties if it has only a few ``levels``."""
    rng = np.random.default_rng(seed)
    common, *own = rng.uniform(size=(3, n_images * (n_images - 1) // 2))
    brain, model = common + own[0], common + own[1]
    return brain, np.floor(model / 2 * levels) if levels else model


def contrasts(n_images):
    """Contrast of every pair of images, shape (n_pairs, n_images)."""
    i, j = np.triu_indices(n_images, k=1)
    return np.eye(n_images)[i] - np.eye(n_images)[j]


def whitened_cosine(x, y, n_images):
    """By the definition, with the matrix V itself, over the pairs that both define."""
    both = np.isfinite(x) & np.isfinite(y)
    v = np.square(contrasts(n_images) @ contrasts(n_images).T)[np.ix_(both, both)]
    a, b = x[both], y[both]
    return a @ np.linalg.solve(v, b) / np.sqrt((a @ np.linalg.solve(v, a)) * (b @ np.linalg.solve(v, b)))


def tau_a(x, y):
    i, j = np.triu_indices(x.size, k=1)
    return np.mean(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]))


@given(SEED, st.integers(3, 14), st.sampled_from([0, 2, 5]))
def test_measures_agree_with_rsatoolbox(seed, n_images, levels):
    brain, model = brain_and_model(seed, n_images, levels)
    if len(set(model)) == 1:
        return
    theirs = [rsatoolbox.rdm.RDMs(side[None]) for side in (brain, model)]
    for measure, method in IN_RSATOOLBOX.items():
        value, used = compare_rdms(brain, model, measure)
        expected = rsatoolbox.rdm.compare(*theirs, method=method)[0, 0]
        assert value == pytest.approx(expected, abs=TOLERANCE[measure]), measure
        assert used == brain.size


@given(SEED, st.sampled_from([0, 2, 5]), st.sets(st.integers(0, 65), max_size=40))
def test_undefined_pairs_are_left_out_of_every_measure(seed, levels, undefined):
    """The others give what scipy, mne-rsa and the definitions say of them alone."""
    brain, model = brain_and_model(seed, levels=levels)
    brain[list(undefined)[::2]], model[list(undefined)[1::2]] = np.nan, np.nan
    keep = np.isfinite(brain) & np.isfinite(model)
    x, y = brain[keep], model[keep]
    expected = {
        "pearson": stats.pearsonr(x, y).statistic,
        "spearman": stats.spearmanr(x, y).statistic,
        "tau-a": tau_a(x, y),
        "whitened-cosine": whitened_cosine(brain, model, 12),
    }
    assert mne_rsa.rsa(brain, model, metric="spearman", ignore_nan=True) == pytest.approx(expected["spearman"])
    assert mne_rsa.rsa(brain, model, metric="kendall-tau-a", ignore_nan=True) == pytest.approx(expected["tau-a"])
    for measure, value in expected.items():
        assert compare_rdms(brain, model, measure) == (pytest.approx(value, abs=1e-9), len(x)), measure
    if not levels:
        assert tau_a(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
        assert compare_rdms(brain, model, "rho-a")[0] == pytest.approx(expected["spearman"])


def test_an_image_without_any_pair_is_as_good_as_absent():
    brain, model = brain_and_model(1)
    here = np.delete(np.arange(12), 4)
    rest = [squareform(squareform(side)[np.ix_(here, here)]) for side in (brain, model)]
    of_image = contrasts(12)[:, 4] != 0
    brain[of_image] = np.nan
    for measure in MEASURES:
        assert compare_rdms(brain, model, measure) == (pytest.approx(compare_rdms(*rest, measure)[0]), 55), measure


def test_rho_a_is_the_mean_over_all_ways_of_breaking_ties():
    x, y = np.array([0, 0, 1, 1, 1, 2.0]), np.array([3, 1, 1, 0, 2, 1.0])
    every = []
    for ranks in (x, y):
        levels = [np.flatnonzero(ranks == level) for level in np.unique(ranks)]
        every.append([np.argsort(np.concatenate(order)) for order in product(*map(permutations, levels))])
    mean = np.mean([stats.spearmanr(a, b).statistic for a, b in product(*every)])
    assert compare_rdms(x, y, "rho-a")[0] == pytest.approx(mean)
    ranks = [stats.rankdata(side) for side in (x, y)]
    assert compare_rdms(x, y, "rho-a")[0] == pytest.approx(12 * ranks[0] @ ranks[1] / (6**3 - 6) - 3 * 7 / 5)
    # Not Spearman's, which divides by how much tied ranks vary.
    assert abs(mean - stats.spearmanr(x, y).statistic) > 0.02


def test_ties_pay_under_spearman_but_not_under_rho_a_and_tau_a():
    """A model that says nothing of two thirds of the order, against the same model with these ties broken at random."""
    rng = np.random.default_rng(3)
    brain = rng.uniform(size=4950)
    tied = np.maximum(brain + 0.3 * rng.normal(size=brain.size), 0.7)
    broken = np.where(tied > 0.7, tied, 0.7 * rng.uniform(size=brain.size))
    gain = {m: compare_rdms(brain, tied, m)[0] - compare_rdms(brain, broken, m)[0] for m in RANKS}
    assert gain["spearman"] > 0.05
    assert abs(gain["rho-a"]) < 0.02 and abs(gain["tau-a"]) < 0.02


def test_distances_that_rounding_set_apart_are_tied():
    brain, model = brain_and_model(5, levels=3)
    noisy = model * (1 + 1e-15 * np.random.default_rng(5).normal(size=model.size))
    noisy[model == 0] = np.resize([0, 2e-16, -1e-16], (model == 0).sum())
    assert len(set(noisy)) > len(set(model))
    for measure in RANKS:
        assert compare_rdms(brain, noisy, measure)[0] == compare_rdms(brain, model, measure)[0]


@given(SEED, st.sampled_from(MEASURES), st.floats(0.001, 1000))
def test_order_of_images_side_and_scale_do_not_matter(seed, measure, scale):
    brain, model = brain_and_model(seed, levels=4)
    brain[[3, 17]] = np.nan
    value, used = compare_rdms(brain, model, measure)
    order = np.random.default_rng(seed).permutation(12)
    moved = []
    for side in (brain, model):
        square = np.zeros((12, 12))
        square[np.triu_indices(12, k=1)] = side
        moved.append((square + square.T)[np.ix_(order, order)][np.triu_indices(12, k=1)])
    for pair in (moved, (model, brain), (scale * brain, model), (brain, scale * model)):
        assert compare_rdms(*pair, measure) == (pytest.approx(value, abs=1e-9), used)
    assert compare_rdms(-brain, model, measure)[0] == pytest.approx(-value, abs=1e-9)
    offset = compare_rdms(brain, model + 3, measure)[0]
    # Only the whitened cosine knows where 0 is.
    assert (
        (offset != pytest.approx(value, abs=1e-4))
        if measure == "whitened-cosine"
        else (offset == pytest.approx(value, abs=1e-9))
    )
    if measure in RANKS:
        assert compare_rdms(np.exp(3 * brain), model, measure)[0] == pytest.approx(value, abs=1e-9)


@given(SEED, st.sampled_from(MEASURES))
def test_the_same_rdm_is_as_alike_as_can_be(seed, measure):
    brain, tied = brain_and_model(seed, levels=2)
    assert compare_rdms(brain, brain, measure)[0] == pytest.approx(1)
    if len(set(tied)) > 1 and measure in ("rho-a", "tau-a"):
        assert compare_rdms(tied, tied, measure)[0] < 1


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_an_rdm_that_does_not_vary_has_no_value(measure, value):
    flat, other = np.full(4950, value), np.random.default_rng(2).uniform(size=4950)
    for pair in ((flat, other), (other, flat), (flat, flat)):
        found, used = compare_rdms(*pair, measure)
        # A whitened cosine has one unless a side is zero.
        assert np.isnan(found) == (measure != "whitened-cosine" or value == 0)
        assert used == 4950


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("n_defined", [0, 1, 2, 3])
def test_three_pairs_are_needed(measure, n_defined):
    brain, model = brain_and_model(6)
    model[n_defined:] = np.nan
    value, used = compare_rdms(brain, model, measure)
    assert (np.isfinite(value), used) == (n_defined == 3, n_defined)


@given(SEED, st.sampled_from(MEASURES), st.sampled_from([0, 3]))
def test_many_at_once_are_the_same_as_one_by_one(seed, measure, levels):
    left = np.array([brain_and_model(seed + n, levels=levels)[1] for n in range(4)])
    right = np.array([brain_and_model(seed + n)[0] for n in range(3)])
    left[1], right[2] = 0, 0
    kept = left.copy(), right.copy()
    found = compare_each(left, right, measure)
    assert found.shape == (4, 3) and found.dtype == np.float64
    expected = [[compare_rdms(a, b, measure)[0] for b in right] for a in left]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isnan(found[1]).all() and np.isnan(found[:, 2]).all() and np.isfinite(found[[0, 2, 3], :2]).all()
    assert np.array_equal(left, kept[0]) and np.array_equal(right, kept[1])
    np.testing.assert_allclose(compare_each(right, left, measure), found.T, atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_many_at_once_define_all_pairs(measure):
    rdms = np.random.default_rng(1).uniform(size=(3, 45))
    lacking = rdms.copy()
    lacking[2, [4, 7]] = np.nan
    with pytest.raises(ValueError, match="RDM 2 on the right does not define 2 of its 45 pairs, expected all"):
        compare_each(rdms, lacking, measure)


def test_what_cannot_be_compared_is_named():
    x = np.arange(10.0)
    for compare in (lambda: compare_rdms(x, x, "rho_a"), lambda: compare_each(x[None], x[None], "rho_a")):
        with pytest.raises(ValueError, match="measure 'rho_a' is not one of pearson, spearman, rho-a, tau-a"):
            compare()
    with pytest.raises(ValueError, match="no number of images has 9 pairs"):
        compare_rdms(x[1:], x[1:], "whitened-cosine")
    assert compare_rdms(x[1:], x[1:], "rho-a")[0] == pytest.approx(1)


def cross_validated(rng, n_images, n_units):
    """Squared distances from two independent measurements of patterns that do not differ: their mean is 0."""
    one, two = contrasts(n_images) @ rng.normal(size=(2, n_images, n_units))
    return (one * two).sum(axis=1) / n_units, np.square(one).sum(axis=1) / n_units


def test_the_whitened_cosine_is_zero_where_cross_validated_distances_are():
    rng = np.random.default_rng(4)
    studies = [(*cross_validated(rng, 8, 20), cross_validated(rng, 8, 20)[1]) for _ in range(400)]
    unbiased, biased = (
        np.array([compare_rdms(study[side], study[2], "whitened-cosine")[0] for study in studies]) for side in (0, 1)
    )
    assert abs(unbiased.mean()) < 4 * unbiased.std() / np.sqrt(400)
    assert biased.min() > 0.3


def test_an_unrelated_model_is_at_zero_under_every_measure_but_the_whitened_cosine():
    """A region that tells images apart, measured without bias, and models of random features."""
    rng = np.random.default_rng(6)
    n_images, n_units = 10, 30
    region = np.square(contrasts(n_images) @ rng.normal(size=(n_images, n_units))).mean(axis=1) + 0.1 * rng.normal(
        size=45
    )
    models = np.array(
        [1 - np.corrcoef(rng.normal(size=(n_images, 20)))[np.triu_indices(n_images, k=1)] for _ in range(300)]
    )
    for measure in MEASURES:
        values = compare_each(region[None], models, measure)[0]
        unrelated = abs(values.mean()) < 4 * values.std() / np.sqrt(len(models))
        assert unrelated == (why_no_zero(measure) == ""), measure


def test_whitening_makes_the_errors_of_distances_independent():
    """V is their covariance, up to a factor: simulated, with patterns that differ by noise alone."""
    rng = np.random.default_rng(5)
    distances = np.array([cross_validated(rng, 5, 10)[0] for _ in range(10_000)])
    v = np.square(contrasts(5) @ contrasts(5).T)
    found = np.cov(distances.T)
    np.testing.assert_allclose(found / found.trace(), v / v.trace(), atol=0.005)


# Ceilings


def subjects_rdms(seed, n_subjects=5, n_images=10):
    rng = np.random.default_rng(seed)
    own = rng.uniform(size=45) + rng.uniform(size=(n_subjects, 45))
    return own * rng.uniform(0.1, 10, (n_subjects, 1))


@given(SEED, st.sampled_from(MEASURES))
@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
def test_ceilings_agree_with_rsatoolbox(seed, measure):
    rdms = subjects_rdms(seed)
    theirs = rsatoolbox.rdm.RDMs(rdms, rdm_descriptors={"index": np.arange(5)})
    expected = rsatoolbox.inference.boot_noise_ceiling(theirs, method=IN_RSATOOLBOX[measure])
    lower, upper = (bound.mean() for bound in between_subject_ceiling(rdms, measure))
    if measure == "whitened-cosine":
        # rsatoolbox averages RDMs of the same length before whitening, which is close to the best, but not the best.
        assert expected[1] - 1e-5 <= upper < expected[1] + 0.003
        assert lower == pytest.approx(expected[0], abs=0.01)
    else:
        np.testing.assert_allclose((lower, upper), expected, atol=1e-9)


@given(SEED, st.sampled_from(["pearson", "rho-a", "whitened-cosine"]))
def test_no_rdm_exceeds_an_exact_upper_bound(seed, measure):
    rng = np.random.default_rng(seed)
    rdms = subjects_rdms(seed)
    lower, upper = between_subject_ceiling(rdms, measure)
    assert (lower < upper).all()
    mean = stats.zscore(rdms, axis=1).mean(axis=0)
    ranks = stats.rankdata(rdms, axis=1).mean(axis=0)
    lengths = np.linalg.norm(rdms, axis=1, keepdims=True)
    models = np.array(
        [
            *rdms,
            *(rng.dirichlet(np.ones(5), 5) @ (rdms / lengths)),
            *(base + size * rng.normal(size=45) for base in (mean, ranks) for size in (0.1, 0.5)),
            *(mean > np.quantile(mean, share) for share in (0.3, 0.5, 0.7)),
        ]
    )
    assert compare_each(rdms, models, measure).mean(axis=0).max() <= upper.mean() + 1e-12


@pytest.mark.parametrize("measure", RANKS)
def test_best_of_all_orders_without_ties(measure):
    """All 120 orders of five distances: the mean of ranks is the best for spearman and rho-a, and can be missed by tau-a."""
    rng = np.random.default_rng(8)
    orders = np.array(list(permutations(range(5))), dtype=float)
    missed = []
    for _ in range(8):
        rdms = np.array([rng.permutation(5) for _ in range(4)], dtype=float)
        best = compare_each(rdms, orders, measure).mean(axis=0).max()
        missed.append(best - between_subject_ceiling(rdms, measure)[1].mean())
    if measure == "tau-a":
        assert 0 < max(missed) < 0.2
    else:
        assert max(missed) < 1e-12


def test_a_model_with_ties_can_lie_above_the_ceiling_of_spearman():
    rdms = np.array([[1, 2, 3], [1, 2, 3], [2, 1, 3.0]])
    tied = np.array([[1, 1, 2.0]])
    assert between_subject_ceiling(rdms, "spearman")[1].mean() == pytest.approx(2.5 / 3)
    assert compare_each(rdms, tied, "spearman").mean() == pytest.approx(np.sqrt(3) / 2)
    assert compare_each(rdms, tied, "rho-a").mean() < between_subject_ceiling(rdms, "rho-a")[1].mean()


@pytest.mark.parametrize("measure", MEASURES)
def test_a_pair_that_one_subject_lacks_is_left_out_for_all(measure):
    lacking = subjects_rdms(9)
    lacking[2, [3, 40]] = np.nan
    for_all = lacking.copy()
    for_all[:, [3, 40]] = np.nan
    found = between_subject_ceiling(lacking, measure)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, between_subject_ceiling(for_all, measure), atol=1e-12)
    if measure != "whitened-cosine":
        rest = np.delete(lacking, [3, 40], axis=1)
        np.testing.assert_allclose(found, between_subject_ceiling(rest, measure), atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_subject_without_an_rdm_to_compare_leaves_no_ceiling(measure):
    rdms = subjects_rdms(10)
    for nothing in (0.0, np.nan):
        rdms[1] = nothing
        assert np.isnan(between_subject_ceiling(rdms, measure)).all()
