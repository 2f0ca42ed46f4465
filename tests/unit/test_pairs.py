"""Which pairs make a subject's r: by hand, and the error of sampling against simulated subjects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from capcortex.inference.ceilings import BETWEEN, CEILING_COLUMNS, EVERY_MODEL
from capcortex.inference.group import tabulate_group
from capcortex.inference.pairs import COMPARISON_COLUMNS, choose_scores, compare_pairs
from capcortex.rsa.rdm import SCORE_COLUMNS, compare_rdms, pair_distances
from capcortex.tables import read_table, write_table

MODELS, ROIS = ["words", "caption"], ["ventral", "early"]  # not in alphabetical order


def of_sets(model):
    """Two own sets of subj01, one of subj02 who lacks the region early, and a shared set."""
    rows = [
        (model, roi, subject, image_set, r, 45, "pearson", "correlation")
        for roi in ROIS
        for subject, own in (("subj01", [0.1, 0.3]), ("subj02", [0.4]))
        if (subject, roi) != ("subj02", "early")
        for image_set, r in [*((f"{subject}-{n:03d}", r) for n, r in enumerate(own, 1)), ("shared-001", 0.7)]
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def over_all_pairs(subject, rois, r):
    rows = [(model, roi, subject, "all", r, 1000, "pearson", "correlation") for roi in rois for model in MODELS]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


SETS = [of_sets(model) for model in MODELS]
ALL = [over_all_pairs("subj01", ROIS, 0.25), over_all_pairs("subj02", ["ventral"], 0.35)]
CEILINGS = pd.DataFrame(
    [
        (BETWEEN, "ventral", "shared-001", 10, EVERY_MODEL, 45, "pearson", "correlation", "nobody", subject, 0.5, 0.6)
        for subject in ("subj01", "subj02")
    ],
    columns=CEILING_COLUMNS,
)


def test_without_all_pairs_scores_are_those_of_the_sets():
    pd.testing.assert_frame_equal(choose_scores(SETS, []), pd.concat(SETS, ignore_index=True))


def test_all_pairs_take_the_place_of_own_sets_and_shared_sets_stay():
    chosen = choose_scores(SETS, ALL)
    assert set(chosen["image_set"]) == {"all", "shared-001"}
    assert chosen.loc[chosen["image_set"] == "all", ["subject", "r"]].drop_duplicates().to_numpy().tolist() == [
        ["subj01", 0.25],
        ["subj02", 0.35],
    ]
    group, before = (tabulate_group(scores, CEILINGS, 0.95) for scores in (chosen, choose_scores(SETS, [])))
    keys = ["model", "roi", "n_subjects", "r_shared"]
    pd.testing.assert_frame_equal(group[keys], before[keys])
    assert group["r"].tolist() == pytest.approx([0.3, 0.25] * 2)
    assert before["r"].tolist() == pytest.approx([0.3, 0.2] * 2)
    assert (set(group["pairs"]), set(before["pairs"])) == ({"all"}, {"image_sets"})
    assert group["n_image_sets"].tolist() == [0] * 4 and before["n_image_sets"].tolist() == [3, 2] * 2


def test_a_correlation_that_is_not_defined_over_all_pairs_says_so():
    undefined = [ALL[0].assign(r=np.nan), ALL[1]]
    group = tabulate_group(choose_scores(SETS, undefined), CEILINGS, 0.95)
    assert set(group["test_left_out"]) == {"r is not defined on all pairs of the subject's images: subj01"}


def test_comparison_by_hand():
    table = compare_pairs(SETS, ALL)
    assert list(table.columns) == COMPARISON_COLUMNS
    assert table[["model", "roi", "subject"]].to_numpy().tolist() == [
        [model, *rest]
        for model in MODELS
        for rest in (["ventral", "subj01"], ["ventral", "subj02"], ["early", "subj01"])
    ]
    first, second = table.iloc[0], table.iloc[1]
    assert first[["r", "n_pairs", "n_image_sets"]].tolist() == [0.25, 1000, 2]
    assert first["r_image_sets"] == pytest.approx(0.2)
    assert first["sd_image_sets"] == pytest.approx(np.sqrt(2) * 0.1)
    assert first["standard_error"] == pytest.approx(0.1)
    assert first["difference"] == pytest.approx(0.05)
    assert first["difference_in_standard_errors"] == pytest.approx(0.5)
    assert second["difference"] == pytest.approx(-0.05)  # of one set there is no spread
    assert second[["sd_image_sets", "standard_error", "difference_in_standard_errors"]].isna().all()


def test_sets_without_a_correlation_do_not_count():
    sets = [table.assign(r=table["r"].where(table["image_set"] != "subj01-002")) for table in SETS]
    row = compare_pairs(sets, ALL).iloc[0]
    assert row["n_image_sets"] == 1 and row["r_image_sets"] == pytest.approx(0.1)
    assert np.isnan(row["standard_error"])


@pytest.mark.filterwarnings("error")
def test_a_subject_without_any_of_the_regions(tmp_path):
    sets = [table[table["subject"] == "subj01"] for table in SETS]
    write_table(over_all_pairs("subj02", [], 0), tmp_path / "none.tsv")
    none = read_table(tmp_path / "none.tsv", columns=SCORE_COLUMNS)
    assert set(choose_scores(sets, [none, ALL[0]])["subject"]) == {"subj01"}
    assert len(compare_pairs(sets, [none, ALL[0]])) == 4


@pytest.mark.parametrize("join", [choose_scores, compare_pairs])
def test_scores_of_different_studies_are_refused(join):
    with pytest.raises(ValueError, match="scores over all pairs lack model caption, roi ventral, subject subj02"):
        join(SETS, ALL[:1])
    with pytest.raises(ValueError, match="scores of image sets lack model words, roi ventral, subject subj02"):
        join([table[table["subject"] == "subj01"] for table in SETS], [ALL[0], ALL[1].query("model == 'words'")])
    with pytest.raises(ValueError, match="expected 'all' in the column image_set"):
        join(SETS, [ALL[0], ALL[1].assign(image_set="subj02-001")])


@pytest.mark.parametrize("noise", [2, 50], ids=["effect", "null"])
def test_the_spread_over_sets_predicts_the_error_of_sampling(noise):
    """Three hundred simulated subjects with six disjoint sets of 20 images: nearly all of their images.

    Where nothing is shared, pairs differ nearly independently, and the variance of the difference is 1 - 1/6 of that of the
    mean over sets; where images differ in how well they fit, this part is common to both estimates, and the difference smaller.
    The spread never predicts too little: 95 % intervals hold in at least 95 % of the subjects, less three binomial errors.
    """
    rng = np.random.default_rng(20251125)
    n_subjects, n_sets, size = 300, 6, 20
    sets, pairs = [], []
    for number in range(n_subjects):
        latents = rng.normal(size=(n_sets * size, 5))
        brain = latents @ rng.normal(size=(5, 30)) + noise * rng.normal(size=(len(latents), 30))
        model = latents + rng.normal(size=latents.shape)
        names = [f"s{number}-{label}" for label in range(n_sets)]
        parts = [*np.arange(len(latents)).reshape(n_sets, size), np.arange(len(latents))]
        rows = [
            (
                "m",
                "r",
                f"s{number}",
                name,
                *compare_rdms(*(pair_distances(x[part], "correlation") for x in (brain, model))),
                "pearson",
                "correlation",
            )
            for name, part in zip([*names, "all"], parts, strict=True)
        ]
        table = pd.DataFrame(rows, columns=SCORE_COLUMNS)
        sets.append(table[:-1])
        pairs.append(table[-1:])
    compared = compare_pairs(sets, pairs)
    held = compared["difference_in_standard_errors"].abs() < stats.t.isf(0.025, n_sets - 1)
    assert held.mean() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / n_subjects)
    ratio = compared["difference"].var() / (compared["standard_error"] ** 2).mean()
    if noise == 50:
        assert ratio == pytest.approx(1 - 1 / n_sets, rel=4 * np.sqrt(2 / n_subjects))
    else:
        assert ratio < 0.5
