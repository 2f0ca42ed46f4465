"""Noise ceilings: against rsatoolbox, the definition, and bounds that must hold."""

import numpy as np
import pytest
import rsatoolbox
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capcortex.inference.ceilings import between_subject_ceiling

SEED = st.integers(0, 2**32 - 1)


def subjects_rdms(rng, n_subjects=8, n_images=15, noise=1.0):
    """RDMs with a common part, of very different scale and offset."""
    n_pairs = n_images * (n_images - 1) // 2
    common = rng.uniform(size=n_pairs)
    own = common + noise * rng.uniform(size=(n_subjects, n_pairs))
    return own * rng.uniform(0.1, 10, (n_subjects, 1)) + rng.uniform(0, 5, (n_subjects, 1))


@given(SEED, st.integers(2, 9), st.floats(0.1, 3))
def test_ceiling_agrees_with_rsatoolbox(seed, n_subjects, noise):
    rdms = subjects_rdms(np.random.default_rng(seed), n_subjects, noise=noise)
    theirs = rsatoolbox.rdm.RDMs(rdms, rdm_descriptors={"index": np.arange(n_subjects)})
    expected = rsatoolbox.inference.noise_ceiling.boot_noise_ceiling(theirs, method="corr")
    lower, upper = between_subject_ceiling(rdms)
    assert lower.shape == upper.shape == (n_subjects,)
    np.testing.assert_allclose((lower.mean(), upper.mean()), expected, atol=1e-6)


@given(SEED)
def test_each_subject_by_the_definition(seed):
    rdms = subjects_rdms(np.random.default_rng(seed), 5)
    standard = stats.zscore(rdms, axis=1)
    lower, upper = between_subject_ceiling(rdms)
    for subject in range(5):
        others = np.delete(standard, subject, axis=0).mean(axis=0)
        assert lower[subject] == pytest.approx(stats.pearsonr(rdms[subject], others).statistic, abs=1e-9)
        everybody = standard.mean(axis=0)
        assert upper[subject] == pytest.approx(stats.pearsonr(rdms[subject], everybody).statistic, abs=1e-9)


@given(SEED)
def test_no_model_exceeds_the_upper_bound(seed):
    rng = np.random.default_rng(seed)
    rdms = subjects_rdms(rng, 6)
    lower, upper = between_subject_ceiling(rdms)
    assert (lower < upper).all()
    standard = stats.zscore(rdms, axis=1)
    models = [rng.normal(size=rdms.shape[1]), *rdms, *(rng.dirichlet(np.ones(6), 5) @ standard), rdms.mean(axis=0)]
    for model in models:
        score = np.mean([stats.pearsonr(own, model).statistic for own in rdms])
        assert score <= upper.mean() + 1e-12


@given(SEED)
def test_scale_offset_and_order_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    rdms = subjects_rdms(rng, 6)
    lower, upper = between_subject_ceiling(rdms)
    scaled = rdms * rng.uniform(0.01, 100, (6, 1)) + rng.normal(size=(6, 1))
    np.testing.assert_allclose(between_subject_ceiling(scaled), (lower, upper), atol=1e-9)
    order, pairs = rng.permutation(6), rng.permutation(rdms.shape[1])
    np.testing.assert_allclose(between_subject_ceiling(rdms[order][:, pairs]), (lower[order], upper[order]), atol=1e-12)


def test_known_reliability_gives_the_expected_ceiling(rng):
    # x_s = c + e_s with var(e) = v: r(x_s, mean of n-1 others) = 1 / sqrt((1 + v) (1 + v / (n - 1))).
    n_subjects, n_pairs, v = 8, 200_000, 2.0
    rdms = rng.normal(size=n_pairs) + np.sqrt(v) * rng.normal(size=(n_subjects, n_pairs))
    lower, upper = between_subject_ceiling(rdms)
    assert lower.mean() == pytest.approx(1 / np.sqrt((1 + v) * (1 + v / 7)), abs=0.005)
    # With the mean of all n: cov = 1 + v / n, var of the mean = 1 + v / n.
    assert upper.mean() == pytest.approx(np.sqrt((1 + v / 8) / (1 + v)), abs=0.005)


def test_equal_subjects_reach_one_and_unrelated_ones_zero(rng):
    same = np.tile(rng.uniform(size=45), (4, 1))
    np.testing.assert_allclose(between_subject_ceiling(same), 1)
    lower, _ = between_subject_ceiling(rng.normal(size=(4, 100_000)))
    assert np.abs(lower).max() < 5 / np.sqrt(100_000)


def test_pairs_that_one_subject_lacks_are_left_out_for_all(rng):
    rdms = subjects_rdms(rng, 4)
    lacking = rdms.copy()
    lacking[2, [3, 40]] = np.nan
    lower, upper = between_subject_ceiling(lacking)
    keep = np.delete(np.arange(rdms.shape[1]), [3, 40])
    assert np.isfinite(lower).all()
    np.testing.assert_allclose((lower, upper), between_subject_ceiling(rdms[:, keep]), atol=1e-12)


def test_one_subject_has_nobody_to_agree_with(rng):
    with pytest.raises(ValueError, match="at least two subjects, found 1"):
        between_subject_ceiling(rng.uniform(size=(1, 45)))
