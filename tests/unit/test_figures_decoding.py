"""Figure of decoding: what is shown is what was found, and nothing is clipped."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_figures import faults_of_texts, panel, words

from capcortex.figures.decoding import IDENTIFICATION, ROWS, choose_ranked, draw_decoding, shown_ranks
from capcortex.inference.decoding import MEASURES, tabulate_decoding

KINDS = ("", "_without_mean", "_as_released")


def decoding(subject, n_images=60, *, sentences=True, released=False, seed=0):
    random = np.random.default_rng(seed)
    names = [
        name
        for measure, (name, _) in MEASURES.items()
        if (released or not measure.endswith("as_released")) and (sentences or measure != "caption_ceiling")
    ]
    level = {"r": 0.6, "mismatched": 0.2, "identification": 0.9, "caption_ceiling": 0.8}
    return xr.Dataset(
        {name: ("id73k", level.get(name, 0.4) + 0.05 * random.standard_normal(n_images)) for name in names}
        | {"fraction": ("dimension", [0.1, 0.2, 0.6])},
        coords={"id73k": np.arange(n_images) * 3 + 1},
        attrs={"model": "caption", "subject": subject, "fraction_as_released": 0.15 if released else np.nan},
    )


def draw(n_subjects=8, **options):
    subjects = [f"subj{number:02d}" for number in range(1, n_subjects + 1)]
    found = {subject: decoding(subject, seed=number, **options) for number, subject in enumerate(subjects)}
    table = pd.concat(map(tabulate_decoding, found.values()), ignore_index=True)
    scores = pd.concat(
        pd.DataFrame(
            {"subject": subject, "measure": measure, "id73k": each["id73k"], "value": each[MEASURES[measure][0]]}
        )
        for subject, each in found.items()
        for measure in ("r", "r_mismatched", "r_mean_only", "caption_ceiling")
        if MEASURES[measure][0] in each
    )
    first = found[subjects[0]]
    examples = choose_ranked(first["r"].to_numpy(), first["id73k"].to_numpy()).assign(
        subject=subjects[0], n_images=first.sizes["id73k"], nearest_sentence="a man riding a wave " * 9
    )
    if not options.get("sentences", True):
        examples["nearest_sentence"] = np.nan
    figure = draw_decoding(
        scores,
        table,
        examples,
        label="Captions",
        subjects=subjects,
        confidence=0.95,
        captions={int(one): ["two dogs and a $100 cat " * 4, "short", "third"] for one in examples["id73k"]},
        source="miniature",
    )
    return figure, table


def test_table_has_means_over_the_images_that_have_a_value():
    made = decoding("subj03", released=True)
    made["caption_ceiling"][:7] = np.nan
    table = tabulate_decoding(made).set_index("measure")
    assert table.loc["caption_ceiling", "value"] == pytest.approx(float(made["caption_ceiling"][7:].mean()))
    assert table.loc["caption_ceiling", "n_images"] == 53
    for measure in table.index.difference(["fraction", "fraction_as_released"]):
        # Of single images the variable is called mismatched, in the table r_mismatched.
        values = made[measure.replace("r_mismatched", "mismatched")]
        assert table.loc[measure, "value"] == pytest.approx(float(values.mean())), measure
    assert {f"{name}{kind}" for name in ("r", "r_mismatched", "identification") for kind in KINDS} <= set(table.index)
    assert set(table["model"]) == {"caption"} and set(table["subject"]) == {"subj03"}
    assert table.loc["fraction", "value"] == pytest.approx(0.3)
    assert table.loc["fraction_as_released", "value"] == pytest.approx(0.15)
    left_out = table["mean_embedding"] == "left out"
    assert list(table.index[left_out]) == [name for name in table.index if "without_mean" in name or "released" in name]
    made["caption_ceiling"][:] = np.nan
    assert np.isnan(tabulate_decoding(made).set_index("measure").loc["caption_ceiling", "value"])
    assert not {"r_as_released", "fraction_as_released"} & set(tabulate_decoding(decoding("subj03"))["measure"])


def test_ranks_are_those_of_the_paper_at_its_number_of_images():
    assert shown_ranks(515) == [0, 102, 255, 459]
    assert shown_ranks(10) == [0, 2, 5, 9]
    assert shown_ranks(1) == [0]


def test_images_are_ranked_from_the_best_and_those_without_r_are_passed_over():
    chosen = choose_ranked(np.array([0.1, np.nan, 0.9, 0.5, 0.5]), np.array([11, 12, 13, 15, 14]))
    assert list(chosen["id73k"]) == [13, 14, 15, 11]
    assert list(chosen["r"]) == [0.9, 0.5, 0.5, 0.1]
    assert choose_ranked(np.array([np.nan]), np.array([4])).empty


def test_points_are_the_means_of_subjects():
    figure, table = draw(3)
    means = panel(figure, "means")
    labels = [tick.get_text() for tick in means.get_yticklabels()]
    at = labels.index(ROWS["r"])
    points = [
        line.get_xdata()[0] for line in means.lines if line.get_marker() == "o" and abs(line.get_ydata()[0] - at) < 0.3
    ]
    np.testing.assert_allclose(points, table.loc[table["measure"] == "r", "value"])
    assert [tick.get_text() for tick in panel(figure, "identification").get_yticklabels()] == list(
        IDENTIFICATION.values()
    )[:2]


@pytest.mark.parametrize(
    "options",
    [{"released": True}, {"sentences": False, "n_subjects": 2}, {"n_images": 10}],
    ids=["as released", "no sentences", "few images"],
)
def test_nothing_is_clipped_or_overlaps(options):
    figure, _ = draw(**options)
    assert not faults_of_texts(figure)
    text = words(figure)
    assert "subj01: rank of" in text
    assert ("a man riding" in text) == options.get("sentences", True)
    assert (ROWS["r_as_released"] in text) == options.get("released", False)
    assert (ROWS["caption_ceiling"] in text) == options.get("sentences", True)
