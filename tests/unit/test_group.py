"""Group tables: a small example by hand, and what must be left out."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from capcortex.inference.ceilings import (
    BETWEEN,
    CEILING_COLUMNS,
    EVERY_MODEL,
    NOBODY,
    between_subject_ceiling,
    ceiling_interval,
    join_ceilings,
    ratio_interval,
    tabulate_between,
)
from capcortex.inference.group import is_shared, leave_out_zero, require_one_measure, tabulate_group
from capcortex.inference.tests import TOO_FEW
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

SUBJECTS = ["subj01", "subj02", "subj03"]
OWN = {"subj01": [0.10, 0.20, 0.30], "subj02": [0.4], "subj03": [0.05, 0.15]}  # unequal numbers of sets
SHARED = {"subj01": [0.3, 0.2], "subj02": [0.5, 0.3], "subj03": [0.2, 0.4]}
ALIKE = {"measure": "pearson", "distance": "correlation"}


def scores_of(own=None, shared=None, model="caption", roi="early", *, n_pairs=4950, measure="pearson"):
    own, shared = OWN if own is None else own, SHARED if shared is None else shared
    rows = [
        (model, roi, subject, f"{label}-{number:03d}", r, n_pairs, measure, "correlation")
        for table, shared_sets in ((own, False), (shared, True))
        for subject, values in table.items()
        for number, r in enumerate(values, start=1)
        for label in ["shared" if shared_sets else subject]
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def ceilings_of(lower, upper=None, roi="early", *, subjects=SUBJECTS, without=None, measure="pearson"):
    """Two shared sets; ``without`` gives the lower bounds of the others when a subject is left out (default: unchanged)."""
    upper = [value + 0.1 for value in lower] if upper is None else upper
    rows = []
    for left_out in [NOBODY, *subjects]:
        present = [i for i, subject in enumerate(subjects) if subject != left_out]
        lows = (without or {}).get(left_out, [lower[i] for i in present])
        facts = {
            "kind": BETWEEN,
            "roi": roi,
            "n_images": 100,
            "pairs_of": EVERY_MODEL,
            "n_pairs": 4950,
            "left_out": left_out,
        }
        facts |= {"measure": measure, "distance": "correlation"}
        rows += [
            facts | {"image_set": label, "subject": subjects[i], "lower": low + step, "upper": upper[i] + step}
            for label, step in (("shared-001", -0.02), ("shared-002", 0.02))
            for i, low in zip(present, lows, strict=True)
        ]
    return pd.DataFrame(rows, columns=CEILING_COLUMNS)


def no_ceilings():
    return pd.DataFrame(columns=CEILING_COLUMNS)


def test_group_row_by_hand():
    row = tabulate_group(scores_of(), ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
    # First over a subject's own sets, then over subjects: (0.2 + 0.4 + 0.1) / 3, not the mean of six sets.
    means = np.array([0.2, 0.4, 0.1])
    assert row["r"] == pytest.approx(0.7 / 3)
    half = 4.302652729911275 * np.std(means, ddof=1) / np.sqrt(3)  # t quantile 0.975 with two degrees of freedom
    assert row["r_low"] == pytest.approx(0.7 / 3 - half)
    assert row["r_high"] == pytest.approx(0.7 / 3 + half)
    t = (0.7 / 3) / (np.std(means, ddof=1) / np.sqrt(3))
    assert row["t"] == pytest.approx(t)
    assert row["p"] == pytest.approx(1 - t / np.sqrt(t**2 + 2))  # closed form for two degrees of freedom
    assert row["p_adjusted"] == pytest.approx(row["p"])  # a family of one
    assert (row["n_subjects"], row["n_image_sets"], row["fewest_pairs"]) == (3, 6, 4950)
    # Shared sets alone against the ceiling: 0.25, 0.4, 0.3 over 0.5, 0.6, 0.55.
    assert row["r_shared"] == pytest.approx(0.95 / 3)
    assert row["ceiling_lower"] == pytest.approx(0.55)
    assert row["ceiling_upper"] == pytest.approx(0.65)
    assert row["ratio_to_lower"] == pytest.approx(0.95 / 1.65)
    assert row["ratio_to_upper"] == pytest.approx(0.95 / 1.95)
    # Jackknife: without subject 1 (0.4 + 0.3) / (0.6 + 0.55), and so on; the ceiling of the others is as it was.
    replicates = np.array([0.7 / 1.15, 0.55 / 1.05, 0.65 / 1.1])
    half = 4.302652729911275 * np.sqrt(2 / 3 * np.sum((replicates - replicates.mean()) ** 2))
    assert row["ratio_to_lower_low"] == pytest.approx(0.95 / 1.65 - half)
    assert row["ratio_to_lower_high"] == pytest.approx(0.95 / 1.65 + half)
    assert row["ratio_left_out"] == row["test_left_out"] == ""


def test_shared_sets_do_not_enter_the_group_mean():
    other = tabulate_group(scores_of(shared={k: [0.9, 0.9] for k in SUBJECTS}), ceilings_of([0.5, 0.6, 0.55]), 0.95)
    same = tabulate_group(scores_of(), ceilings_of([0.5, 0.6, 0.55]), 0.95)
    columns = ["r", "r_low", "r_high", "t", "p", "n_image_sets"]
    pd.testing.assert_frame_equal(other[columns], same[columns])
    assert other["r_shared"].iloc[0] == pytest.approx(0.9)


def test_ratio_is_left_out_when_the_lower_bound_may_be_zero():
    row = tabulate_group(scores_of(), ceilings_of([0.02, 0.5, 0.1], [0.5, 0.55, 0.6]), 0.95).iloc[0]
    assert row["ceiling_lower_low"] < 0 < row["ceiling_lower"]
    assert row["ratio_left_out"] == "the interval of the lower bound of the ceiling reaches zero"
    assert np.isnan(row[[name for name in row.index if name.startswith("ratio_to_")]].astype(float)).all()
    assert row["r_shared"] == pytest.approx(0.95 / 3)
    assert row["ceiling_upper"] == pytest.approx(0.55)


def test_confidence_decides_what_is_left_out():
    ceilings = ceilings_of([0.3, 0.5, 0.1], [0.5, 0.55, 0.6])
    kept = [tabulate_group(scores_of(), ceilings, confidence)["ratio_left_out"].iloc[0] for confidence in (0.5, 0.99)]
    assert kept[0] == ""
    assert "reaches zero" in kept[1]


@pytest.mark.filterwarnings("error")
def test_one_subject_has_a_mean_but_no_interval(tmp_path):
    scores = scores_of({"subj01": [0.1, 0.2]}, {"subj01": [0.3]})
    write_table(no_ceilings(), tmp_path / "ceilings.tsv")  # as the study passes it on: an empty table in a file
    for ceilings in (no_ceilings(), read_table(tmp_path / "ceilings.tsv", columns=CEILING_COLUMNS)):
        row = tabulate_group(scores, ceilings, 0.95).iloc[0]
        assert row["r"] == pytest.approx(0.15)
        assert row["n_subjects"] == 1
        assert np.isnan(
            row[["r_low", "r_high", "t", "p", "p_adjusted", "ceiling_lower", "ratio_to_lower"]].astype(float)
        ).all()
        assert row["r_shared"] == pytest.approx(0.3)
        assert row["ratio_left_out"] == "a ceiling needs at least two subjects who have the region"
        assert row["test_left_out"] == TOO_FEW


def test_one_subject_without_shared_images_lacks_a_second_subject_not_images():
    row = tabulate_group(scores_of({"subj01": [0.1, 0.2]}, {}), no_ceilings(), 0.95).iloc[0]
    assert row["ratio_left_out"] == "a ceiling needs at least two subjects who have the region"
    assert np.isnan(row["r_shared"])


@pytest.mark.filterwarnings("error")
def test_a_correlation_that_is_not_defined_is_named_with_its_subjects():
    """A model of equal distances has no r: on a subject's own sets there is no test, on shared ones no ratio."""
    own = tabulate_group(scores_of(OWN | {"subj02": [np.nan, np.nan]}), ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
    assert own["test_left_out"] == "r is not defined on the subject's own image sets: subj02"
    assert np.isnan(own[["t", "p", "p_adjusted", "r_low"]].astype(float)).all()
    assert own["ratio_left_out"] == ""
    shared = {subject: [np.nan] * 2 if subject != "subj01" else [0.2, 0.3] for subject in SUBJECTS}
    row = tabulate_group(scores_of(OWN, shared), ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
    assert row["ratio_left_out"] == "r is not defined on shared image sets: subj02, subj03"
    assert row["test_left_out"] == ""
    assert np.isnan(row["ratio_to_lower"])


def test_without_shared_sets_there_is_a_mean_but_no_ratio():
    row = tabulate_group(scores_of(shared={}), no_ceilings(), 0.95).iloc[0]
    assert row["r"] == pytest.approx(0.7 / 3)
    assert np.isnan(row["r_shared"])
    assert row["ratio_left_out"] == "no image set that all subjects saw three times"


def several(rng, models=("caption", "random", "categories"), rois=("ventral", "early")):
    """Scores of several models and regions; one model agrees with the brain more than another."""
    parts, ceilings = [], []
    for roi in rois:
        ceilings.append(ceilings_of(list(rng.uniform(0.5, 0.6, 3)), roi=roi))
        for strength, model in enumerate(models):
            own = {name: list(0.1 * strength + 0.05 * rng.normal(size=3)) for name in SUBJECTS}
            parts.append(scores_of(own, SHARED, model, roi))
    return pd.concat(parts, ignore_index=True), pd.concat(ceilings, ignore_index=True)


def test_rows_stand_in_the_order_of_the_scores(rng):
    scores, ceilings = several(rng)
    table = tabulate_group(scores, ceilings, 0.95)
    expected = [(model, roi) for roi in ("ventral", "early") for model in ("caption", "random", "categories")]
    assert list(table[["model", "roi"]].itertuples(index=False, name=None)) == expected
    for (model, roi), r in zip(expected, table["r"], strict=True):
        own = scores[(scores["model"] == model) & (scores["roi"] == roi) & ~is_shared(scores["image_set"])]
        assert r == pytest.approx(own.groupby("subject")["r"].mean().mean())


def test_order_of_rows_changes_no_number(rng):
    scores, ceilings = several(rng)
    key = ["model", "roi"]
    expected = tabulate_group(scores, ceilings, 0.95).sort_values(key).reset_index(drop=True)
    shuffled = scores.sample(frac=1, random_state=1), ceilings.sample(frac=1, random_state=2)
    found = tabulate_group(*shuffled, 0.95).sort_values(key).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_correction_is_over_all_models_and_regions(rng):
    table = tabulate_group(*several(rng), 0.95)
    np.testing.assert_allclose(table["p_adjusted"], stats.false_discovery_control(table["p"]), rtol=1e-12)
    assert (table["p_adjusted"] > table["p"]).any()
    assert list(table.columns).index("p_adjusted") == list(table.columns).index("p") + 1


def test_undefined_sets_are_left_out_of_a_subjects_mean():
    own = OWN | {"subj01": [0.10, np.nan, 0.30]}
    row = tabulate_group(scores_of(own), ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
    assert row["r"] == pytest.approx((0.2 + 0.4 + 0.1) / 3)


def test_model_without_any_defined_r_spoils_no_other(rng):
    scores, ceilings = several(rng)
    expected = tabulate_group(scores[scores["model"] != "random"], ceilings, 0.95)
    scores.loc[scores["model"] == "random", "r"] = np.nan
    table = tabulate_group(scores, ceilings, 0.95)
    dead = table["model"] == "random"
    assert table.loc[dead, ["r", "p", "p_adjusted"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(table[~dead].reset_index(drop=True), expected)


def test_pairing_of_shared_scores_and_ceilings_is_by_subject():
    # Ceilings in another order of subjects: joined by name, not by place.
    ceilings = ceilings_of([0.55, 0.5, 0.6], subjects=["subj03", "subj01", "subj02"])
    row = tabulate_group(scores_of(), ceilings, 0.95).iloc[0]
    expected = tabulate_group(scores_of(), ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
    columns = ["ceiling_lower", "ratio_to_lower", "ratio_to_lower_low", "ratio_to_lower_high", "ratio_to_upper"]
    assert row[columns].tolist() == pytest.approx(expected[columns].tolist())
    with pytest.raises(ValueError, match="subj00"):
        tabulate_group(scores_of(), ceilings_of([0.5, 0.5, 0.6], subjects=["subj00", "subj01", "subj02"]), 0.95)


def test_the_ceiling_is_computed_anew_without_a_subject():
    # The interval rests on the ceiling among the others, not on the other subjects' values of the full ceiling.
    changed = {"subj01": [0.2, 0.2], "subj02": [0.5, 0.5], "subj03": [0.5, 0.5]}
    table = ceilings_of([0.5, 0.5, 0.5], without=changed)
    replicates = np.array([0.2, 0.5, 0.5])
    half = 4.302652729911275 * np.sqrt(2 / 3 * np.sum((replicates - 0.4) ** 2))
    assert ceiling_interval(table, "lower", 0.95) == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    r = pd.Series({"subj01": 0.2, "subj02": 0.1, "subj03": 0.3})
    ratios = np.array([0.2 / 0.2, 0.25 / 0.5, 0.15 / 0.5])
    half = 4.302652729911275 * np.sqrt(2 / 3 * np.sum((ratios - ratios.mean()) ** 2))
    assert ratio_interval(r, table, "lower", 0.95) == pytest.approx((0.4, 0.4 - half, 0.4 + half))


def test_two_subjects_have_a_ceiling_without_interval_and_no_ratio():
    subjects = SUBJECTS[:2]
    ceilings = ceilings_of([0.5, 0.6], subjects=subjects)
    ceilings = ceilings[ceilings["left_out"] == NOBODY]
    own, shared = ({name: table[name] for name in subjects} for table in (OWN, SHARED))
    row = tabulate_group(scores_of(own, shared), ceilings, 0.95).iloc[0]
    assert row["ceiling_lower"] == pytest.approx(0.55)
    assert np.isnan(row["ceiling_lower_low"])
    assert "at least three subjects" in row["ratio_left_out"]


def test_subjects_with_nothing_in_common_seldom_get_a_ceiling(rng):
    # 400 studies of pure noise: the interval may lie above zero in 2.5 % of them. The jackknife is conservative here; a t
    # interval over the eight dependent values is not (about 9 %), and would fail: 2.5 % + 3 binomial standard deviations.
    names = [f"subj{number:02d}" for number in range(1, 9)]
    above = 0
    for _ in range(400):
        rdms = dict(zip(names, rng.normal(size=(8, 190)), strict=True))
        table = tabulate_between({"early": {"shared-001": rdms}}, **ALIKE)
        above += ceiling_interval(table, "lower", 0.95).low > 0
    assert above <= 400 * (0.025 + 3 * np.sqrt(0.025 * 0.975 / 400))


def test_scores_and_ceilings_of_several_measures_are_refused():
    several = pd.concat([scores_of(), scores_of(model="random", measure="rho-a")])
    with pytest.raises(ValueError, match="scores of one measure are needed, found pearson, rho-a"):
        tabulate_group(several, ceilings_of([0.5, 0.6, 0.55]), 0.95)
    with pytest.raises(ValueError, match="scores of one distance are needed, found correlation, cosine"):
        require_one_measure(pd.concat([scores_of(), scores_of().assign(distance="cosine")]))
    with pytest.raises(
        ValueError, match=r"scores and ceiling \(between-subjects\) are not alike: measure rho-a against pearson"
    ):
        tabulate_group(scores_of(measure="rho-a"), ceilings_of([0.5, 0.6, 0.55]), 0.95)


def test_a_measure_without_a_zero_has_neither_tests_nor_ratios():
    scores, ceilings = scores_of(measure="whitened-cosine"), ceilings_of([0.5, 0.6, 0.55], measure="whitened-cosine")
    table = tabulate_group(scores, ceilings, 0.95)
    of_pearson = tabulate_group(scores_of(), ceilings_of([0.5, 0.6, 0.55]), 0.95)
    pd.testing.assert_frame_equal(leave_out_zero(of_pearson), of_pearson)
    found = leave_out_zero(table)
    changed = [column for column in found if not found[column].equals(table[column])]
    ratios = [f"ratio_to_{bound}{end}" for bound in ("lower", "upper") for end in ("", "_low", "_high")]
    assert changed == ["t", "p", "p_adjusted", "test_left_out", *ratios, "ratio_left_out"]
    assert found[["t", "p", "p_adjusted", *ratios]].isna().all(axis=None)
    for column in ("test_left_out", "ratio_left_out"):
        assert found[column].str.contains("0 of the whitened cosine means a region that tells no images apart").all()


def of_subjects(rng, subjects=SUBJECTS):
    return dict(zip(subjects, rng.uniform(size=(len(subjects), 45)), strict=True))


def test_ratio_of_a_model_is_to_the_ceiling_on_the_pairs_that_it_defines(rng):
    common = rng.uniform(size=45)
    rdms = {"early": {f"shared-00{i}": {s: common + 0.3 * rng.uniform(size=45) for s in SUBJECTS} for i in (1, 2)}}
    mask = np.arange(45) >= 9  # an image without any object: all its pairs are lacking
    registry = join_ceilings(
        [
            tabulate_between(rdms, **ALIKE),
            tabulate_between(rdms, **ALIKE, model="categories", defined=dict.fromkeys(rdms["early"], mask)),
        ]
    )
    scores = pd.concat([scores_of(n_pairs=45), scores_of(model="categories", n_pairs=36)])
    table = tabulate_group(scores, registry, 0.95).set_index("model")
    assert (table["ratio_left_out"] == "").all()
    for model, used in (("caption", slice(None)), ("categories", mask)):
        bounds = [between_subject_ceiling(np.array([*of.values()])[:, used]) for of in rdms["early"].values()]
        lower, upper = np.mean(bounds, axis=(0, 2))
        row = table.loc[model]
        assert row[["ceiling_lower", "ceiling_upper"]].tolist() == pytest.approx([lower, upper])
        assert row[["ratio_to_lower", "ratio_to_upper"]].tolist() == pytest.approx([0.95 / 3 / lower, 0.95 / 3 / upper])
    assert table["ceiling_lower"].nunique() == 2


PAIRS_DIFFER = "score and ceiling are of different pairs of images"


@pytest.mark.filterwarnings("error")
def test_a_ceiling_of_other_pairs_is_not_divided_by():
    def reason(scores):
        row = tabulate_group(scores, ceilings_of([0.5, 0.6, 0.55]), 0.95).iloc[0]
        assert np.isnan(row["ratio_to_lower"]) == (row["ratio_left_out"] != "")
        return row["ratio_left_out"]

    assert reason(scores_of(n_pairs=4800)) == PAIRS_DIFFER
    scores = scores_of()
    shared = is_shared(scores["image_set"])
    # A subject's own image sets have no ceiling: what is defined of them does not matter.
    assert reason(scores.assign(n_pairs=scores["n_pairs"].where(shared, 4800))) == ""
    # One set of one subject is enough.
    one = (scores["image_set"] == "shared-002") & (scores["subject"] == "subj02")
    assert reason(scores.assign(n_pairs=scores["n_pairs"].mask(one, 4949))) == PAIRS_DIFFER
    # An r that is not defined comes first: it explains more. The subject keeps a mean over the other set.
    lacking = scores.assign(r=scores["r"].mask(one))
    assert reason(lacking) == "r is not defined on all images of the ceiling: shared-002"
    assert reason(lacking.assign(n_pairs=lacking["n_pairs"].mask(one, 0))) == reason(lacking)
    both = scores.assign(r=scores["r"].mask(shared & (scores["subject"] == "subj02")))
    assert reason(both) == "r is not defined on shared image sets: subj02"


@pytest.mark.parametrize("measure", ["pearson", "rho-a"])
def test_ceilings_of_every_region_and_set(rng, measure):
    rdms = {roi: {label: of_subjects(rng) for label in ("shared-001", "shared-002")} for roi in ("early", "ventral")}
    table = tabulate_between(rdms, measure=measure, distance="cosine")
    assert list(table.columns) == CEILING_COLUMNS
    assert set(table["measure"]) == {measure}
    assert len(table) == 2 * 2 * (3 + 3 * 2)
    for (roi, label, left_out), rows in table.groupby(["roi", "image_set", "left_out"]):
        present = [subject for subject in SUBJECTS if subject != left_out]
        assert list(rows["subject"]) == present
        expected = between_subject_ceiling(np.array([rdms[roi][label][subject] for subject in present]), measure)
        np.testing.assert_allclose(rows[["lower", "upper"]].to_numpy().T, expected)


def test_ceilings_of_one_subject_are_an_empty_table_with_its_columns(rng):
    table = tabulate_between({"early": {"shared-001": of_subjects(rng, ["subj01"])}}, **ALIKE)
    assert table.empty
    assert list(table.columns) == CEILING_COLUMNS
    assert list(tabulate_between({}, **ALIKE).columns) == CEILING_COLUMNS


def test_a_region_that_a_subject_lacks_has_the_others_scores_and_ceilings(rng):
    """The table of all is, for that region, the table that the others make alone; other regions are as if all had it."""
    four = [*SUBJECTS, "subj04"]
    own, shared = OWN | {"subj04": [0.9]}, SHARED | {"subj04": [0.8, 0.7]}
    rdms = {
        roi: {label: of_subjects(rng, those) for label in ("shared-001", "shared-002")}
        for roi, those in (("early", four), ("OFA", SUBJECTS))
    }
    ceilings = tabulate_between(rdms, **ALIKE)
    assert set(ceilings.loc[ceilings["roi"] == "OFA", "left_out"]) == {NOBODY, *SUBJECTS}
    scores = pd.concat([scores_of(own, shared), scores_of(OWN, SHARED, roi="OFA")], ignore_index=True)
    table = tabulate_group(scores, ceilings, 0.95).set_index("roi").drop(columns="p_adjusted")
    assert table["n_subjects"].to_dict() == {"early": 4, "OFA": 3}
    alone = tabulate_group(scores_of(OWN, SHARED, roi="OFA"), tabulate_between({"OFA": rdms["OFA"]}, **ALIKE), 0.95)
    pd.testing.assert_frame_equal(table.loc[["OFA"]], alone.set_index("roi")[table.columns])


@pytest.mark.parametrize(("n", "reason"), [(1, "at least two subjects"), (2, "at least three subjects")])
def test_a_region_of_one_or_two_subjects_has_a_row_without_a_ratio(rng, n, reason):
    few = SUBJECTS[:n]
    scores = scores_of({s: OWN[s] for s in few}, {s: SHARED[s] for s in few}, roi="OFA")
    rdms = {"OFA": {label: of_subjects(rng, few) for label in ("shared-001", "shared-002")}}
    row = tabulate_group(scores, tabulate_between(rdms, **ALIKE), 0.95).iloc[0]
    assert row["n_subjects"] == n
    assert np.isfinite(row["r"]) and np.isnan(row["p"]) == (n == 1) == (row["test_left_out"] == TOO_FEW)
    assert reason in row["ratio_left_out"]
