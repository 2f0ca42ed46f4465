"""Figure of comparisons of models: what is drawn is the tables' numbers, and what it says of them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from capcortex.figures.comparisons import NUMBERS, RATIO_AXIS, draw_comparisons, plotted_numbers
from capcortex.inference.comparisons import COMPARISON_COLUMNS
from capcortex.inference.released import RELEASED_COLUMNS

LABELS = {"caption": "Captions", "words": "Words", "categories": "Categories"}
CONTRASTS = [("caption", "words"), ("categories", "caption")]  # the second is the other way round in the released table
ROIS = ["early", "ventral"]
LEVEL = 0.05


def tables(rng: np.random.Generator, bound: float = np.nan, rois=ROIS) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, released = [], []
    for roi in rois:
        for model, minus in CONTRASTS:
            numbers = dict(zip(COMPARISON_COLUMNS, rng.uniform(-0.2, 0.2, len(COMPARISON_COLUMNS)), strict=True))
            names = {"family": "all", "roi": roi, "model": model, "minus": minus, "measure": "pearson"}
            facts = {
                "correction": "holm",
                "n_tests": 4,
                "test_left_out": "",
                "shared_left_out": "",
                "equivalence_bound": bound,
            }
            p = {
                "p_adjusted": 0.04,
                "p_shared_adjusted": 0.06,
                "p_equivalence_adjusted": 0.01 if roi == "early" else 0.5,
            }
            rows.append(numbers | names | facts | p)
        for model, minus in (("caption", "words"), ("caption", "categories"), ("words", "categories")):
            numbers = dict(zip(RELEASED_COLUMNS, rng.uniform(-1, 1, len(RELEASED_COLUMNS)), strict=True))
            released.append(numbers | {"roi": roi, "model": model, "minus": minus, "p_released_adjusted": 0.2})
        released.append({"roi": roi, "model": "caption", "value": 0.7})
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS), pd.DataFrame(released, columns=RELEASED_COLUMNS)


def draw(table: pd.DataFrame, released: pd.DataFrame | None = None, rois=ROIS) -> Figure:
    return draw_comparisons(
        table, released, labels=LABELS, rois=rois, level=LEVEL, confidence=0.95, space="fsaverage", source="miniature"
    )


def panel(figure: Figure, label: str):
    (found,) = [axes for axes in figure.axes if axes.get_label() == label]
    return found


def dots_and_lines(axes) -> tuple[list[float], list[list[float]]]:
    lines = axes.get_lines()
    dots = [float(line.get_xdata()[0]) for line in lines if line.get_marker() == "o"]
    ends = [
        [float(x) for x in line.get_xdata()]
        for line in lines
        if len(line.get_xdata()) == 2 and line.get_linewidth() > 1
    ]
    return dots, ends


def note(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts).replace("\n", " ")


def test_dots_and_intervals_are_the_tables(rng) -> None:
    table, _ = tables(rng)
    figure = draw(table)
    for roi in ROIS:
        rows = table[table["roi"] == roi]
        dots, ends = dots_and_lines(panel(figure, f"difference: {roi}"))
        assert dots == rows[["difference", "difference_shared"]].to_numpy().ravel().tolist()
        columns = ["difference_low", "difference_high", "difference_shared_low", "difference_shared_high"]
        assert ends == rows[columns].to_numpy().reshape(-1, 2).tolist()
    names = [text.get_text() for text in panel(figure, "difference: early").get_yticklabels()]
    assert names == ["Captions − Words", "Categories − Captions"]


def test_an_asterisk_stands_where_the_adjusted_p_is_below_the_level(rng) -> None:
    table, _ = tables(rng)
    stars = [line for line in panel(draw(table), "difference: early").get_lines() if line.get_marker() == (6, 2, 0)]
    assert len(stars) == len(CONTRASTS)  # on own images p is 0.04, on shared ones 0.06


def test_released_contrasts_have_the_sign_of_the_families(rng) -> None:
    table, released = tables(rng)
    dots, ends = dots_and_lines(panel(draw(table, released), "released: ventral"))
    of = released[released["roi"] == "ventral"].set_index(["model", "minus"])
    same, turned = of.loc[("caption", "words")], of.loc[("caption", "categories")]
    assert dots == [same["value"], same["value"], -turned["value"], -turned["value"]]
    assert ends == [
        [same["low_released"], same["high_released"]],
        [same["low_paired"], same["high_paired"]],
        [-turned["high_released"], -turned["low_released"]],
        [-turned["high_paired"], -turned["low_paired"]],
    ]


def test_the_axis_of_ratios_is_cut_and_what_lies_beyond_is_an_arrow(rng) -> None:
    table, released = tables(rng)
    assert signs(draw(table, released), "released: early", ">") == 0
    released.loc[0, "value"] = 80.0
    figure = draw(table, released)
    assert panel(figure, "released: early").get_xlim()[1] < 2 * RATIO_AXIS[1]
    assert signs(figure, "released: early", ">") == 2  # unpaired and paired
    assert "beyond the axis: see the numbers" in [text.get_text() for text in figure.legends[0].get_texts()]


def signs(figure: Figure, label: str, marker: object) -> int:
    return sum(line.get_marker() == marker for line in panel(figure, label).get_lines())


def test_equivalence_is_marked_where_it_was_shown_and_its_bound_is_grey(rng) -> None:
    figure = draw(tables(rng, bound=0.1)[0])
    assert [signs(figure, f"difference: {roi}", "s") for roi in ROIS] == [len(CONTRASTS), 0]
    assert len(panel(figure, "difference: ventral").collections) == len(CONTRASTS)
    without = draw(tables(rng)[0].assign(p_equivalence_adjusted=np.nan))
    assert not panel(without, "difference: early").collections
    assert not any("bound" in text.get_text() for text in without.legends[0].get_texts())


def test_names_of_families_stand_with_their_contrasts_where_there_are_several(rng) -> None:
    table, _ = tables(rng)
    figure = draw(pd.concat([table, table.assign(family="again")], ignore_index=True))
    names = [text.get_text() for text in panel(figure, "difference: early").get_yticklabels()]
    assert names[0] == "Captions − Words\n(all)" and names[2] == "Captions − Words\n(again)"


def test_nothing_as_released_is_said_and_draws_no_panel(rng) -> None:
    table, released = tables(rng)
    figure = draw(table, released.iloc[:0])
    assert [axes.get_label() for axes in figure.axes] == [f"difference: {roi}" for roi in ROIS]
    assert "Nothing as released" in note(figure)
    assert not any("released" in text.get_text() for text in figure.legends[0].get_texts())


def test_what_was_not_tested_is_said(rng) -> None:
    table, _ = tables(rng)
    table.loc[table["roi"] == "early", "test_left_out"] = "r is not defined on the own images of subj03"
    table.loc[table["roi"] == "early", ["difference_low", "difference_high", "p_adjusted"]] = np.nan
    assert "No test on own images in early: r is not defined on the own images of subj03." in note(draw(table))


@pytest.mark.parametrize("n", [1, 7, 15])
def test_regions_fill_rows_of_panels_that_do_not_overlap(rng, n) -> None:
    rois = [f"region{number}" for number in range(n)]
    figure = draw(*tables(rng, rois=rois), rois=rois)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 2 * n
    for one, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1
        assert not any(box.overlaps(other) for other in boxes[:one])


def test_the_list_of_numbers_holds_what_is_drawn(rng) -> None:
    table, released = tables(rng)
    numbers = plotted_numbers(table, released)
    assert list(numbers.columns) == NUMBERS
    assert numbers["mark"].value_counts().to_dict() == dict.fromkeys(
        ("own images", "shared images", "released, unpaired", "released, paired"), len(table)
    )
    for roi in ROIS:
        dots, _ = dots_and_lines(panel(draw(table, released), f"difference: {roi}"))
        upper = numbers[(numbers["roi"] == roi) & numbers["mark"].isin(["own images", "shared images"])]
        assert sorted(upper["value"]) == sorted(dots)
    assert set(plotted_numbers(table, None)["mark"]) == {"own images", "shared images"}
