"""Comparisons of models and released statistics: by hand, against scipy, and what must not change them."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from capcortex.inference.bootstrap import bootstrap_subjects_and_images, bootstrap_test
from capcortex.inference.ceilings import join_ceilings, tabulate_between, tabulate_released
from capcortex.inference.comparisons import COMPARISON_COLUMNS, Family, compare_models
from capcortex.inference.released import RELEASED_COLUMNS, tabulate_released_statistics
from capcortex.inference.tests import TOO_FEW, false_discovery_adjusted, holm_adjusted, sign_flip, sign_flip_p
from capcortex.rsa.rdm import SCORE_COLUMNS, compare_rdms

SUBJECTS = [f"subj{number:02d}" for number in range(1, 9)]
MODELS = ["caption", "words", "categories"]
ROIS = ["ventral", "early"]
N_PAIRS = 66  # of twelve images
ALIKE = ("pearson", "correlation")


def make_study(rng):
    """Scores on own and shared sets, registry of ceilings, and bootstrap of two regions; caption fits best."""
    models = rng.normal(size=(len(MODELS), N_PAIRS))
    rows, bootstraps, shared, everything = [], [], {}, {}
    for roi in ROIS:
        brains = rng.normal(size=(len(SUBJECTS), N_PAIRS)) + 0.5 * models[0] + 0.3 * models[1]
        for at, model in enumerate(MODELS):
            for subject, brain in zip(SUBJECTS, brains, strict=True):
                r = compare_rdms(brain, models[at])[0]
                own = [(f"{subject}-{n:03d}", r + rng.normal(scale=0.05)) for n in range(1, 3)]
                rows += [
                    (model, roi, subject, label, value, N_PAIRS, *ALIKE) for label, value in [*own, ("shared-001", r)]
                ]
        bootstraps.append(
            bootstrap_subjects_and_images(brains[None], models[None], measure="pearson", n_draws=200, rng=rng)
        )
        shared[roi] = {"shared-001": dict(zip(SUBJECTS, brains, strict=True))}
        everything[roi] = shared[roi]["shared-001"]
    ceilings = join_ceilings(
        [tabulate_between(shared, measure="pearson", distance="correlation"), tabulate_released(everything)]
    )
    bootstrap = xr.concat(bootstraps, dim="roi").assign_coords(roi=ROIS, model=MODELS, model_2=MODELS)
    return pd.DataFrame(rows, columns=SCORE_COLUMNS), ceilings, bootstrap


@pytest.fixture
def study(rng):
    return make_study(rng)


FAMILIES = {
    "caption": Family([["caption", "words"], ["caption", "categories"]], "holm", 0.1),
    "rest": Family([["words", "categories"]], "benjamini-hochberg", None),
}


def means_of(scores, roi, model):
    """Mean r of every subject on own image sets."""
    own = scores[(scores["roi"] == roi) & (scores["model"] == model) & ~scores["image_set"].str.startswith("shared")]
    return own.groupby("subject")["r"].mean().loc[SUBJECTS].to_numpy()


def test_every_row_is_scipys_paired_test(study):
    scores, _, bootstrap = study
    table = compare_models(scores, bootstrap, FAMILIES, 0.9)
    assert list(table.columns) == COMPARISON_COLUMNS
    order = [(name, *pair, roi) for name, family in FAMILIES.items() for pair in family.contrasts for roi in ROIS]
    assert list(table[["family", "model", "minus", "roi"]].itertuples(index=False, name=None)) == order
    for row in table.to_dict("records"):
        left, right = (means_of(scores, row["roi"], row[side]) for side in ("model", "minus"))
        expected = stats.ttest_rel(left, right)
        assert (row["t"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue))
        limits = expected.confidence_interval(0.9)
        assert (row["difference_low"], row["difference_high"]) == pytest.approx((limits.low, limits.high))
        assert row["difference"] == pytest.approx(np.mean(left - right))
        assert row["p_sign_flip"] == sign_flip(left - right)
        assert (row["n_subjects"], row["measure"], row["distance"], row["test_left_out"]) == (8, *ALIKE, "")


def test_shared_columns_are_the_two_factor_bootstraps(study):
    scores, _, bootstrap = study
    table = compare_models(scores, bootstrap, FAMILIES, 0.95).set_index(["model", "minus", "roi"])
    found = table.loc[("caption", "categories", "early")]
    expected = bootstrap_test(bootstrap.sel(roi="early"), [1, 0, -1], 0.95)
    assert found["difference_shared"] == pytest.approx(expected.interval.estimate)
    assert found[["difference_shared_low", "difference_shared_high"]].tolist() == pytest.approx(expected.interval[1:])
    assert (found["t_shared"], found["p_shared"]) == pytest.approx((expected.t, expected.p))
    # The bootstrap's score is the mean over subjects on the shared sets, as in the scores.
    r = scores[(scores["roi"] == "early") & (scores["image_set"] == "shared-001")].groupby("model")["r"].mean()
    assert found["difference_shared"] == pytest.approx(r["caption"] - r["categories"])


def test_each_family_is_corrected_by_itself_in_its_own_way(study):
    scores, _, bootstrap = study
    table = compare_models(scores, bootstrap, FAMILIES, 0.95)
    for name, correct in (("caption", holm_adjusted), ("rest", false_discovery_adjusted)):
        rows = table[table["family"] == name]
        assert (rows["n_tests"] == len(rows)).all()
        for test in ("p", "p_shared", "p_equivalence"):
            np.testing.assert_allclose(rows[f"{test}_adjusted"], correct(rows[test]))
        differences = [
            means_of(scores, row.roi, row.model) - means_of(scores, row.roi, row.minus) for row in rows.itertuples()
        ]
        np.testing.assert_allclose(rows["p_sign_flip_adjusted"], sign_flip_p(np.column_stack(differences)))
        assert (rows["p_sign_flip_adjusted"] >= rows["p_sign_flip"]).all()
    alone = compare_models(scores, bootstrap, {"rest": FAMILIES["rest"]}, 0.95)
    pd.testing.assert_frame_equal(alone, table[table["family"] == "rest"].reset_index(drop=True))


def test_equivalence_is_claimed_within_the_bound_only(study):
    scores, _, bootstrap = study
    table = compare_models(scores, bootstrap, FAMILIES, 0.95)
    assert table.loc[table["family"] == "rest", ["equivalence_bound", "p_equivalence"]].isna().all(axis=None)
    for bound in (0.001, 10.0):
        family = {"caption": FAMILIES["caption"]._replace(equivalence_bound=bound)}
        p = compare_models(scores, bootstrap, family, 0.95)["p_equivalence"]
        assert (p > 0.4).all() if bound < 1 else (p < 1e-6).all()


def test_order_of_rows_changes_nothing_and_swapped_models_change_signs(study):
    scores, _, bootstrap = study
    table = compare_models(scores, bootstrap, FAMILIES, 0.95)
    shuffled = scores.sample(frac=1, random_state=3)
    shuffled = pd.concat([scores.iloc[:0], *(shuffled[shuffled["roi"] == roi] for roi in ROIS)])
    pd.testing.assert_frame_equal(compare_models(shuffled, bootstrap, FAMILIES, 0.95), table)
    turned = {
        name: family._replace(contrasts=[pair[::-1] for pair in family.contrasts]) for name, family in FAMILIES.items()
    }
    back = compare_models(scores, bootstrap, turned, 0.95)
    same = ["p", "p_sign_flip", "p_shared", "p_equivalence", "p_adjusted"]
    np.testing.assert_allclose(back[same].to_numpy(float), table[same].to_numpy(float))
    np.testing.assert_allclose(back[["difference", "t_shared"]], -table[["difference", "t_shared"]])
    np.testing.assert_allclose(back["difference_low"], -table["difference_high"])


def test_models_are_compared_on_the_sets_that_both_define(study):
    scores, _, bootstrap = study
    lost = (scores["image_set"] == "subj01-001") & (scores["model"] == "words") & (scores["roi"] == "early")
    table = compare_models(scores.assign(r=scores["r"].mask(lost)), bootstrap, FAMILIES, 0.95)
    found = table.set_index(["model", "minus", "roi"]).loc[("caption", "words", "early"), "difference"]
    left, right = (means_of(scores, "early", model) for model in ("caption", "words"))
    only = scores[(scores["image_set"] == "subj01-002") & (scores["roi"] == "early")].set_index("model")["r"]
    expected = np.append((left - right)[1:], only["caption"] - only["words"]).mean()
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("step", [0.0, 1e-17, 1e-10])
def test_models_that_do_not_differ_have_no_test_and_a_reason(study, step):
    scores, _, bootstrap = study
    caption = scores["model"] == "caption"
    own = ~scores["image_set"].str.startswith("shared")
    scores.loc[scores["model"] == "words", "r"] = scores.loc[caption, "r"].to_numpy() + step * own[caption].to_numpy()
    table = compare_models(scores, bootstrap, FAMILIES, 0.95)
    same = (table["model"] == "caption") & (table["minus"] == "words")
    assert (table.loc[same, "test_left_out"] == "the models do not differ by more than rounding").all()
    assert table.loc[same, ["t", "p", "p_sign_flip", "p_equivalence", "p_adjusted"]].isna().all(axis=None)
    assert (table.loc[~same, "test_left_out"] == "").all()


@pytest.mark.filterwarnings("error")
def test_what_cannot_be_compared_is_left_out_and_spoils_no_other(study):
    scores, _, bootstrap = study
    expected = compare_models(scores, bootstrap, FAMILIES, 0.95)
    dead = scores.copy()
    own = ~dead["image_set"].str.startswith("shared")
    dead.loc[own & (dead["model"] == "words") & (dead["roi"] == "early") & (dead["subject"] == "subj03"), "r"] = np.nan
    table = compare_models(dead, bootstrap, FAMILIES, 0.95)
    lost = (table["roi"] == "early") & ((table["model"] == "words") | (table["minus"] == "words"))
    assert (table.loc[lost, "test_left_out"] == "r is not defined on the own images of subj03").all()
    columns = ["difference", "p", "p_adjusted", "p_sign_flip", "p_sign_flip_adjusted", "p_equivalence"]
    assert table.loc[lost, columns].isna().all(axis=None)
    pd.testing.assert_frame_equal(table.loc[~lost, ["p", "difference"]], expected.loc[~lost, ["p", "difference"]])
    alone = compare_models(scores[scores["subject"] == "subj01"], bootstrap, FAMILIES, 0.95)
    assert (alone["test_left_out"] == TOO_FEW).all()
    assert np.isfinite(alone["difference"]).all() and alone[["p", "p_sign_flip"]].isna().all(axis=None)


def test_scores_of_several_measures_are_refused(study):
    scores, _, bootstrap = study
    scores.loc[3, "measure"] = "rho-a"
    with pytest.raises(ValueError, match="scores of one measure are needed, found pearson, rho-a"):
        compare_models(scores, bootstrap, FAMILIES, 0.95)


def test_released_statistics_by_scipy(study):
    scores, ceilings, _ = study
    table = tabulate_released_statistics(scores, ceilings, 0.95)
    assert list(table.columns) == RELEASED_COLUMNS
    released = ceilings[(ceilings["kind"] == "released") & (ceilings["left_out"] == "nobody")]
    for roi in ROIS:
        ceiling = released[released["roi"] == roi].set_index("subject")["lower"].loc[SUBJECTS].to_numpy()
        ratios = {model: means_of(scores, roi, model) / ceiling for model in MODELS}
        here = table[table["roi"] == roi]
        singles = here[here["minus"].isna()].set_index("model")
        for model, values in ratios.items():
            expected = stats.ttest_1samp(values, 0)
            row = singles.loc[model]
            assert (row["t_released"], row["p_released"]) == pytest.approx((expected.statistic, expected.pvalue))
            assert (row["value"], row["standard_error"]) == pytest.approx((values.mean(), np.std(values) / np.sqrt(8)))
            assert np.isnan(row["p_released_adjusted"])  # the released code does not correct these
        pairs = here.dropna(subset="minus").set_index(["model", "minus"])
        assert list(pairs.index) == list(combinations(MODELS, 2))
        for (model, minus), row in pairs.iterrows():
            unpaired, paired = (
                stats.ttest_ind(ratios[model], ratios[minus]),
                stats.ttest_rel(ratios[model], ratios[minus]),
            )
            assert (row["t_released"], row["p_released"]) == pytest.approx((unpaired.statistic, unpaired.pvalue))
            assert (row["t_paired"], row["p_paired"]) == pytest.approx((paired.statistic, paired.pvalue))
            limits = unpaired.confidence_interval(0.95)
            assert (row["low_released"], row["high_released"]) == pytest.approx((limits.low, limits.high))
        np.testing.assert_allclose(pairs["p_released_adjusted"], stats.false_discovery_control(pairs["p_released"]))


@pytest.mark.parametrize(("column", "value"), [("measure", "rho-a"), ("distance", "crossnobis")])
def test_released_statistics_divide_no_other_measure_or_distance(study, column, value):
    scores, ceilings, _ = study
    with pytest.raises(ValueError, match=f"released statistics need scores of {column} .*, found {value}"):
        tabulate_released_statistics(scores.assign(**{column: value}), ceilings, 0.95)


def test_released_statistics_of_a_study_without_shared_images_are_an_empty_table(study):
    scores, ceilings, _ = study
    for there in (ceilings[ceilings["kind"] != "released"], ceilings.iloc[:0]):
        table = tabulate_released_statistics(scores, there, 0.95)
        assert table.empty and list(table.columns) == RELEASED_COLUMNS
