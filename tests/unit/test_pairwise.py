"""All pairs of models: scipy's paired tests, corrected in each region by itself; a cell says who is better, and how surely."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats
from test_comparisons import MODELS, ROIS, make_study, means_of
from test_figures import faults_of_texts, panel, words

from capcortex.figures.pairwise import UNTESTED, draw_pairwise, printed
from capcortex.inference.pairwise import PAIRWISE_COLUMNS, compare_pairwise

LABELS = {model: model.title() for model in MODELS}


@pytest.fixture
def study(rng):
    return make_study(rng)


def test_every_pair_is_scipys_paired_test_corrected_within_its_region(study):
    scores, _, bootstrap = study
    table = compare_pairwise(scores, bootstrap, MODELS, 0.95)
    assert list(table.columns) == PAIRWISE_COLUMNS
    pairs = list(combinations(MODELS, 2))
    for roi in ROIS:
        here = table[table["roi"] == roi]
        assert list(here[["model", "minus"]].itertuples(index=False, name=None)) == pairs
        p = [stats.ttest_rel(*(means_of(scores, roi, model) for model in pair)).pvalue for pair in pairs]
        np.testing.assert_allclose(here["p"], p)
        np.testing.assert_allclose(here["p_adjusted"], stats.false_discovery_control(p))
        np.testing.assert_allclose(here["p_shared_adjusted"], stats.false_discovery_control(here["p_shared"]))


def test_a_region_is_a_family_of_its_own(study):
    scores, _, bootstrap = study
    both, one = (compare_pairwise(rows, bootstrap, MODELS, 0.95) for rows in (scores, scores[scores["roi"] == ROIS[1]]))
    pd.testing.assert_frame_equal(both[both["roi"] == ROIS[1]].reset_index(drop=True), one)


def test_the_order_of_models_turns_differences_and_nothing_else(study):
    scores, _, bootstrap = study
    forth, back = (
        compare_pairwise(scores, bootstrap, models, 0.95).set_index(["roi", "model", "minus"])
        for models in (MODELS, MODELS[::-1])
    )
    back = back.swaplevel("model", "minus").loc[forth.index]
    for column in ("difference", "difference_shared"):
        np.testing.assert_allclose(forth[column], -back[column])
    for column in ("p_adjusted", "p_shared_adjusted", "p_sign_flip_adjusted"):
        np.testing.assert_allclose(forth[column], back[column])


def test_one_model_has_no_pair(study):
    scores, _, bootstrap = study
    with pytest.raises(ValueError, match="found 1 models, expected two or more"):
        compare_pairwise(scores, bootstrap, ["caption"], 0.95)


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (1, "1"),
        (0.9951, "1"),
        (0.994, ".99"),
        (0.5, ".50"),
        (0.0996, ".10"),
        (0.0994, ".099"),
        (0.05, ".050"),
        (9e-4, "<.001"),
    ],
)
def test_p_is_printed_in_five_characters(p, expected):
    assert printed(p) == expected


def drawn(rois=("ventral",), **changes):
    rows = [
        ("caption", "words", 0.1, 0.0004, -0.1, 0.03),
        ("caption", "categories", -0.1, 0.2, 0.0, 1.0),
        ("words", "categories", 0.1, np.nan, 0.1, 0.049),
    ]
    names = ["model", "minus", "difference", "p_adjusted", "difference_shared", "p_shared_adjusted"]
    table = pd.concat([pd.DataFrame(rows, columns=names).assign(roi=roi) for roi in rois], ignore_index=True)
    look = {"title": "All pairs", "labels": LABELS, "rois": rois, "false_discovery_rate": 0.05, "source": "miniature"}
    return draw_pairwise(table, **look | changes)


def test_a_cell_says_who_is_better_and_how_surely():
    axes = panel(drawn(), "ventral")
    said = {text.get_position(): text for text in axes.texts}
    # By column and row: below the diagonal own images, above it shared ones.
    assert {at: text.get_text() for at, text in said.items()} == {
        (0, 1): "<.001",
        (1, 0): ".030",
        (0, 2): ".20",
        (2, 0): "1",
        (1, 2): "–",
        (2, 1): ".049",
    }
    assert {at for at, text in said.items() if text.get_fontweight() == "bold"} == {(0, 1), (1, 0), (2, 1)}
    picture = axes.images[0].get_array()
    redness = picture[..., 0] - picture[..., 2]
    assert redness[1, 0] > 0 > redness[0, 1]
    assert redness[2, 0] < 0 < redness[1, 2]
    # The smaller P, the darker; no difference is pale; no test is grey.
    assert picture[1, 0].sum() < picture[1, 2].sum() < picture[0, 2].sum()
    np.testing.assert_allclose(picture[2, 1], to_rgb(UNTESTED))


@pytest.mark.parametrize("n_rois", [1, 4, 5, 8])
def test_no_words_are_clipped_or_overlap(n_rois):
    rois = [f"region {number}" for number in range(n_rois)]
    figure = drawn(rois)
    assert {axes.get_label() for axes in figure.axes} == {*rois, "colours"}
    assert "bold below 0.05" in words(figure)
    # Slanting names of models have boxes that overlap, though the names do not.
    slanting = {f"{one!r} overlaps {other!r}" for one, other in combinations(LABELS.values(), 2)}
    assert set(faults_of_texts(figure)) <= slanting
