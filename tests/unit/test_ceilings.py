"""Noise ceilings: against rsatoolbox, the definition, and bounds that must hold."""

import numpy as np
import pandas as pd
import pytest
import rsatoolbox
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capcortex.inference.ceilings import (
    BETWEEN,
    CEILING_COLUMNS,
    EVERY_MODEL,
    KINDS,
    NCSNR,
    RELEASED,
    REPEATS,
    SUMMARY_COLUMNS,
    between_subject_ceiling,
    ceiling_interval,
    join_ceilings,
    of_kind,
    register_ceilings,
    released_ceiling,
    repeat_ceiling,
    require_alike,
    summarise_ceilings,
    tabulate_between,
    tabulate_ncsnr,
    tabulate_released,
    tabulate_repeats,
)
from capcortex.inference.intervals import mean_interval
from capcortex.rsa.rdm import pair_distances

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


# The registry

SUBJECTS = ["subj01", "subj02", "subj03", "subj04"]
PAIRS = 45  # of ten images


def of_subjects(rng, *shape):
    return {subject: rng.normal(size=(*shape, PAIRS)) for subject in SUBJECTS}


def test_released_ceiling_by_the_definition(rng):
    rdms = subjects_rdms(rng, 5)
    found = released_ceiling(rdms)
    for subject in range(5):
        others = np.delete(rdms, subject, axis=0).mean(
            axis=0
        )  # not standardised: a subject of large distances rules the mean
        assert found[subject] == pytest.approx(stats.pearsonr(rdms[subject], others).statistic, abs=1e-12)
    assert np.abs(found - between_subject_ceiling(rdms)[0]).max() > 1e-3


@pytest.mark.parametrize("noise", [1.0, 2.0, 3.0])
def test_repeats_give_the_reliability_of_the_rdm_of_averages(noise):
    """Simulated betas: another measurement of the same subject, and the RDM without noise, agree as well as the ceiling says."""
    rng = np.random.default_rng(1)
    rows, singles = [], []
    for _ in range(12):
        signal = rng.normal(size=(60, 16)) @ rng.normal(size=(16, 120)) / 4
        repeats = signal + noise * rng.normal(size=(6, *signal.shape))
        single = np.array([pair_distances(each, "correlation") for each in repeats[:3]])
        others = np.array(
            [pair_distances(np.delete(repeats[:3], one, axis=0).mean(axis=0), "correlation") for one in range(3)]
        )
        average, again, truth = (
            pair_distances(each, "correlation") for each in (repeats[:3].mean(axis=0), repeats[3:].mean(axis=0), signal)
        )
        true = stats.pearsonr(average, again).statistic, stats.pearsonr(average, truth).statistic
        rows.append((*repeat_ceiling(single, others, "pearson"), *true))
        singles.append(np.corrcoef(single)[np.triu_indices(3, k=1)].mean())
    lower, upper, retest, noiseless = np.transpose(rows)
    for found, true in ((lower, retest), (upper, noiseless)):
        difference = found - true
        # Within four standard errors, or 0.02: higher powers of the noise are left out.
        assert abs(difference.mean()) < max(4 * difference.std(ddof=1) / np.sqrt(len(difference)), 0.02)
    # Spearman-Brown's formula of single repeats, which knows the linear part of the noise only, is far too low.
    r = np.mean(singles)
    assert 3 * r / (1 + 2 * r) < retest.mean() - (0.05 if noise > 1 else 0)


def test_repeats_that_disagree_have_no_ceiling():
    one = np.arange(PAIRS, dtype=float)
    assert np.isnan(repeat_ceiling(np.array([one, -one, one[::-1]]), np.array([one] * 3), "pearson")).all()


def test_the_ceiling_of_a_model_is_on_the_pairs_that_it_defines(rng):
    rdms = of_subjects(rng)
    mask = rng.uniform(size=PAIRS) < 0.7
    alike = {"measure": "pearson", "distance": "correlation"}
    table = tabulate_between({"early": {"shared-001": rdms}}, **alike, model="categories", defined={"shared-001": mask})
    assert set(table["pairs_of"]) == {"categories"} and set(table["n_pairs"]) == {mask.sum()}
    assert set(table["n_images"]) == {10}
    whole = table[table["left_out"] == "nobody"]
    expected = between_subject_ceiling(np.array([rdm[mask] for rdm in rdms.values()]))
    np.testing.assert_allclose(whole[["lower", "upper"]].to_numpy().T, expected)
    every = tabulate_between({"early": {"shared-001": rdms}}, **alike)
    registry = join_ceilings([every, table])
    for model, wanted in ((EVERY_MODEL, every), ("caption", every), ("categories", table)):
        pd.testing.assert_frame_equal(of_kind(registry, BETWEEN, model).reset_index(drop=True), wanted)


def test_registry_says_what_each_ceiling_is(rng):
    sets = {roi: {label: of_subjects(rng) for label in ("shared-001", "shared-002")} for roi in ("early", "ventral")}
    repeats = {roi: {label: of_subjects(rng, 3) for label in ("shared-001", "shared-002")} for roi in sets}
    registry = join_ceilings(
        [
            tabulate_between(sets, measure="spearman", distance="cosine"),
            tabulate_released({roi: of_sets["shared-001"] for roi, of_sets in sets.items()}),
            tabulate_repeats(repeats, repeats, measure="spearman", distance="cosine"),
            tabulate_ncsnr({"early": dict(zip(SUBJECTS, (0.1, 0.2, 0.3, 0.4), strict=True))}),
        ]
    )
    assert list(registry.columns) == CEILING_COLUMNS
    assert list(registry["kind"].unique()) == list(KINDS)
    released = registry[registry["kind"] == RELEASED]
    # Pearson's r of the correlation distance, whatever the study uses: that is what was released.
    assert set(zip(released["measure"], released["distance"], strict=True)) == {("pearson", "correlation")}
    assert released["upper"].isna().all()
    assert (registry["n_images"].dropna() == 10).all()

    table = summarise_ceilings(registry, 0.9)
    assert list(table.columns) == SUMMARY_COLUMNS
    keyed = table.set_index(["kind", "roi"])
    between = keyed.loc[(BETWEEN, "ventral")]
    assert (between["images"], between["n_images"], between["n_subjects"]) == ("shared-001, shared-002", 20, 4)
    of_roi = registry[(registry["kind"] == BETWEEN) & (registry["roi"] == "ventral")]
    assert between[["lower", "lower_low", "lower_high"]].tolist() == pytest.approx(
        ceiling_interval(of_roi, "lower", 0.9)
    )
    ncsnr = keyed.loc[(NCSNR, "early")]
    half = stats.t.isf(0.05, 3) * np.std([0.1, 0.2, 0.3, 0.4], ddof=1) / 2
    assert ncsnr[["upper", "upper_low", "upper_high"]].tolist() == pytest.approx((0.25, 0.25 - half, 0.25 + half))
    assert np.isnan(ncsnr["lower"]) and ncsnr["interval"] == "t" and between["interval"] == "jackknife"
    assert (table["meaning"] == table["kind"].map(KINDS)).all()
    # Over subjects, not over subjects and image sets; and a subject's released ceiling depends on the others.
    of_repeats = registry[(registry["kind"] == REPEATS) & (registry["roi"] == "early")].assign(lower=np.arange(8.0))
    summary = summarise_ceilings(of_repeats, 0.9).iloc[0]
    means = of_repeats.groupby("subject")["lower"].mean()
    assert summary[["lower", "lower_low", "lower_high"]].tolist() == pytest.approx(tuple(mean_interval(means, 0.9)))
    assert keyed.loc[(RELEASED, "early"), "interval"] == "jackknife"


def test_register_sorts_the_files_of_subjects_by_region_and_set(rng):
    labels, rois = ["shared-001", "shared-002"], ["early", "OFA"]
    have = {"early": SUBJECTS, "OFA": SUBJECTS[:3]}

    def array(*shape, distance="cosine"):
        dims = {3: ("roi", "image_set", "pair"), 4: ("roi", "image_set", "repeat", "pair")}[len(shape)]
        return xr.DataArray(rng.uniform(size=shape), dims=dims, attrs={"distance": distance})

    names = {"roi": rois, "image_set": labels}
    rdms = {subject: xr.Dataset({"rdm": array(2, 2, PAIRS)}, coords=names) for subject in SUBJECTS}
    others = {
        subject: xr.Dataset(
            {
                "rdm_of_repeats": array(2, 2, 3, PAIRS, distance="correlation"),
                "rdm_of_other_repeats": array(2, 2, 3, PAIRS, distance="correlation"),
                "rdm_all_shared": (("roi", "pair_all"), rng.uniform(size=(2, PAIRS))),
                "ncsnr_ceiling": ("roi", rng.uniform(size=2)),
            },
            coords=names | {"image_all": range(10)},
        )
        for subject in SUBJECTS
    }
    # Models list sets in an order of their own; one defines all pairs, the other does not in one set.
    models = {name: array(1, 2, PAIRS)[0].assign_coords(image_set=labels[::-1]) for name in ("caption", "categories")}
    models["categories"][0, [3, 7]] = np.nan

    registry = register_ceilings(rdms, others, models, have, measure="spearman")

    def sets(files, name):
        return {
            roi: {
                label: {subject: files[subject][name].to_numpy()[rois.index(roi), i] for subject in those}
                for i, label in enumerate(labels)
            }
            for roi, those in have.items()
        }

    def regions(name):
        return {roi: {s: others[s][name].to_numpy()[rois.index(roi)] for s in those} for roi, those in have.items()}

    alike = {"measure": "spearman", "distance": "cosine"}
    defined = {"shared-001": np.ones(PAIRS, bool), "shared-002": ~np.isin(np.arange(PAIRS), [3, 7])}
    expected = [
        tabulate_between(sets(rdms, "rdm"), **alike),
        tabulate_between(sets(rdms, "rdm"), **alike, model="categories", defined=defined),
        tabulate_released(regions("rdm_all_shared")),
        tabulate_repeats(
            *(sets(others, name) for name in ("rdm_of_repeats", "rdm_of_other_repeats")),
            measure="spearman",
            distance="correlation",
        ),
        tabulate_ncsnr(regions("ncsnr_ceiling")),
    ]
    pd.testing.assert_frame_equal(registry, join_ceilings(expected))
    assert registry[["lower", "upper"]].dtypes.tolist() == [np.float64, np.float64]  # written with nine digits, and n/a
    # Without any image that all saw, what is left is what a subject has alone.
    two = {"early": SUBJECTS[:2]}
    no_sets = {subject: rdms[subject].isel(image_set=[]) for subject in SUBJECTS[:2]}
    no_images = {subject: others[subject].isel(image_set=[], image_all=[], pair_all=[]) for subject in SUBJECTS[:2]}
    left = register_ceilings(no_sets, no_images, models, two, measure="spearman")
    assert left["kind"].tolist() == [NCSNR, NCSNR]


def test_reliability_of_a_measure_without_a_zero_is_pearsons(rng):
    rdms = {"early": {"shared-001": of_subjects(rng, 3)}}
    table = tabulate_repeats(rdms, rdms, measure="whitened-cosine", distance="correlation")
    assert set(table["measure"]) == {"pearson"}
    np.testing.assert_allclose(
        table["lower"], tabulate_repeats(rdms, rdms, measure="pearson", distance="correlation")["lower"]
    )


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("image_set", "shared-002", "image_set shared-001 against shared-002"),
        ("measure", "rho-a", "measure pearson against rho-a"),
        ("distance", "crossnobis", "distance correlation against crossnobis"),
        ("roi", "ventral", "roi early against ventral"),
    ],
)
def test_unlike_things_are_not_divided(rng, column, value, said):
    alike = {"roi": "early", "image_set": "shared-001", "measure": "pearson", "distance": "correlation"}
    scores = pd.DataFrame([alike])
    ceilings = tabulate_between({"early": {"shared-001": of_subjects(rng)}}, measure="pearson", distance="correlation")
    require_alike(scores, ceilings)
    with pytest.raises(ValueError, match=said):
        require_alike(scores, ceilings.assign(**{column: value}))
    two = pd.concat([ceilings, ceilings.assign(kind=REPEATS)])
    with pytest.raises(ValueError, match="one kind of ceiling is needed to divide by, found between-subjects, repeats"):
        require_alike(scores, two)
    with pytest.raises(ValueError, match="found none"):
        require_alike(scores, ceilings.iloc[:0])
