"""What the check leaves out, and what the verdict makes of it."""

import json

import numpy as np
import pandas as pd
import pytest

from capcortex.tables import write_table
from capcortex.truth import COLUMNS, FEW_SETS, LEFT_OUT, join_rows, rows_left_out, why_left_out
from capcortex.verdict import verdict

CORRELATION = {"quantity": "correlation", "model": "caption", "roi": "ventral", "kind": "effect"}
DIFFERENCE = {"quantity": "difference", "model": "caption", "minus": "categories", "roi": "ventral", "kind": "effect"}
RATIO = {"quantity": "ratio", "model": "caption", "roi": "ventral", "kind": "effect"}
PEAK = {"quantity": "peak", "model": "caption", "away_from": ["ventral"], "kind": "null"}
NO_REGION = "the study has no region of that name on fsaverage with all vertices and correlation distances"
OF_PEARSON = "expected values are Pearson correlations"
NO_CEILING = "the interval of a ceiling needs at least three subjects, and image sets that all saw three times"


def scores_of(
    sets: list[str], models: tuple[str, ...] = ("caption", "categories"), measure: str = "pearson"
) -> pd.DataFrame:
    row = {"roi": "ventral", "measure": measure}
    return pd.DataFrame([row | {"model": model, "image_set": name} for model in models for name in sets])


def ceilings_of(n_subjects: int, roi: str = "ventral") -> pd.DataFrame:
    return pd.DataFrame({"roi": roi, "subject": [f"subj{number:02d}" for number in range(n_subjects)]})


def reason(check, scores=None, ceilings=None, *, checked_rois=("ventral",), made_up_captions=True) -> str:
    scores = scores_of(["subj01-001", "subj02-001"]) if scores is None else scores
    ceilings = ceilings_of(3) if ceilings is None else ceilings
    return why_left_out(check, scores, ceilings, checked_rois=checked_rois, made_up_captions=made_up_captions)


def test_a_check_that_can_be_made_has_no_reason() -> None:
    assert [reason(check) for check in (CORRELATION, DIFFERENCE, RATIO)] == ["", "", ""]


def test_every_check_that_cannot_be_made_has_its_reason() -> None:
    assert reason(CORRELATION, checked_rois=()) == NO_REGION
    assert (
        reason(DIFFERENCE | {"only_made_up_captions": True}, made_up_captions=False)
        == "planted with made-up captions only"
    )
    assert reason(DIFFERENCE | {"only_made_up_captions": True}) == ""
    alone = scores_of(["subj01-001", "subj01-002"], ("caption",))
    assert reason(CORRELATION, alone) == ""
    assert reason(DIFFERENCE, alone) == "model categories is not compared with regions"
    # One own set has no interval; shared ones do not count.
    assert reason(CORRELATION, scores_of(["subj01-001", "shared-001"])) == FEW_SETS
    ranks = scores_of(["subj01-001", "subj02-001"], measure="rho-a")
    assert {reason(check, ranks) for check in (CORRELATION, DIFFERENCE, RATIO)} == {OF_PEARSON}
    # Three subjects with another region are no help.
    for ceilings in (ceilings_of(2), ceilings_of(0), ceilings_of(3, "early")):
        assert reason(RATIO, ceilings=ceilings) == NO_CEILING
        assert reason(CORRELATION, ceilings=ceilings) == ""


def results_with(tmp_path, checked: list[str]):
    """A folder of results: checked rows with these verdicts, and two rows that are left out."""
    write_table(
        pd.DataFrame({"r": [0.3], "r_shifted_by_one": [0.0], "distance_in_sd": [9.0], "ok": [True]}),
        tmp_path / "sentinel.tsv",
    )
    (tmp_path / "provenance").mkdir()
    record = {"params": {"source": "miniature"}}
    (tmp_path / "provenance/plot_rdms.json").write_text(json.dumps(record), encoding="utf-8")
    rows = [["caption", "ventral", "effect", 0.5, 0.5, 0.4, 0.6, np.nan, 12, ok, ""] for ok in checked]
    left_out = rows_left_out([(CORRELATION, ""), (RATIO, NO_CEILING), (PEAK, "model caption is not mapped")])
    write_table(join_rows([pd.DataFrame(rows, columns=COLUMNS), left_out]), tmp_path / "check.tsv")
    return tmp_path


def test_rows_left_out_stand_in_the_table_with_their_reason() -> None:
    table = rows_left_out([(CORRELATION, ""), (RATIO, NO_CEILING), (PEAK, "model caption is not mapped")])
    assert table["check"].tolist() == ["caption / lower bound of the ceiling", "largest map of caption"]
    assert table["roi"].tolist() == ["ventral", "elsewhere"]
    assert set(table["ok"]) == {LEFT_OUT}
    assert table["estimate"].isna().all()


@pytest.mark.parametrize(("checked", "ok", "said"), [(["yes"] * 3, True, "3 of 3"), (["yes", "NO"], False, "1 of 2")])
def test_the_verdict_counts_what_is_left_out_neither_as_passed_nor_as_failed(tmp_path, checked, ok, said) -> None:
    text, found = verdict(results_with(tmp_path, checked))
    assert found == ok
    assert f"{said} planted effects and nulls came out as planted.\nNot checked: 2 more." in text
    assert f"  1: {NO_CEILING}" in text


def test_a_study_in_which_nothing_can_be_checked_passes_nothing(tmp_path) -> None:
    text, ok = verdict(results_with(tmp_path, []))
    assert ok
    assert "None of the planted effects and nulls can be checked in this study." in text
    assert "came out as planted" not in text and "Empty DataFrame" not in text
