"""Figure of the multiverse: what each panel of each region draws is that region's numbers in the tables."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from capcortex.figures.multiverse import AXIS_LABELS, ESTIMATES, NUMBERS, OWN, draw_multiverse, plotted_numbers
from capcortex.inference.multiverse import tabulate_axes
from capcortex.rsa.multiverse import AXES

LABELS = {"caption": "Captions", "categories": "Objects"}
ROIS = ["ventral", "parietal"]
LEVELS = {"space": ["fsaverage", "func1pt8mm"], "distance": ["correlation", "cosine", "euclidean"], "draw": ["1", "2"]}


@pytest.fixture
def table(rng: np.random.Generator) -> pd.DataFrame:
    """Two regions with numbers of their own: the difference has not the order of r, no interval is even to both sides."""
    rows = []
    for roi in ROIS:
        for numbers in product(*(range(len(levels)) for levels in LEVELS.values())):
            chosen = {axis: levels[at] for (axis, levels), at in zip(LEVELS.items(), numbers, strict=True)}
            row = dict.fromkeys(AXES, "same") | chosen | {"roi": roi, "own": not any(numbers), "n_without": 0}
            for quantity in ESTIMATES:
                value = rng.uniform(-0.3, 0.3)
                limits = {
                    f"{quantity}_low": value - rng.uniform(0, 0.2),
                    f"{quantity}_high": value + rng.uniform(0, 0.2),
                }
                row |= {quantity: value} | limits
            rows.append(row)
    return pd.DataFrame(rows).assign(model="caption", minus="categories")


@pytest.fixture
def axes(table: pd.DataFrame) -> pd.DataFrame:
    return tabulate_axes(table)


@pytest.fixture
def figure(table: pd.DataFrame, axes: pd.DataFrame) -> Figure:
    return draw(table, axes)


def draw(table: pd.DataFrame, axes: pd.DataFrame) -> Figure:
    return draw_multiverse(table, axes, labels=LABELS, confidence=0.95, source="local")


def panel(figure: Figure, label: str) -> Axes:
    (found,) = [panel for panel in figure.axes if panel.get_label() == label]
    return found


def in_order(table: pd.DataFrame, roi: str) -> pd.DataFrame:
    here = table[table["roi"] == roi]
    return here.iloc[np.argsort(here["r"].to_numpy())].assign(position=np.arange(1, 1 + len(here)))


def dots(panel: Axes) -> dict[tuple[float, float], str]:
    """Places of dots with their colours."""
    return {
        place: to_hex(line.get_color())
        for line in panel.lines
        if line.get_marker() == "o"
        for place in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }


def segments(panel: Axes) -> list[tuple[list[list[float]], str]]:
    """Both ends of straight lines, collection by collection, with the colour of each."""
    collections = [each for each in panel.collections if isinstance(each, LineCollection)]
    return [([np.ravel(ends) for ends in each.get_segments()], to_hex(each.get_color()[0])) for each in collections]


def test_every_estimate_stands_at_its_place_in_the_order_of_r(table: pd.DataFrame, figure: Figure) -> None:
    """In the panel of the difference too, which has an order of its own; the study's own is marked."""
    for roi, quantity in product(ROIS, ESTIMATES):
        colours = in_order(table, roi)["own"].map({True: OWN, False: ESTIMATES[quantity]}).str.lower()
        here = in_order(table, roi)[["position", quantity]].itertuples(index=False, name=None)
        assert dots(panel(figure, f"{quantity}: {roi}")) == dict(zip(here, colours, strict=True))


def test_intervals_reach_from_the_lower_to_the_upper_limit(table: pd.DataFrame, figure: Figure) -> None:
    for roi, quantity in product(ROIS, ESTIMATES):
        here = in_order(table, roi)
        ends = here[["position", f"{quantity}_low", "position", f"{quantity}_high"]].to_numpy()
        (others, _), (own, colour) = segments(panel(figure, f"{quantity}: {roi}"))
        np.testing.assert_array_equal(others, ends[~here["own"].to_numpy()])
        np.testing.assert_array_equal(own, ends[here["own"].to_numpy()])
        assert colour == OWN.lower()


def test_a_level_has_a_stroke_below_every_universe_that_has_it(table: pd.DataFrame, figure: Figure) -> None:
    for roi in ROIS:
        choices, here = panel(figure, f"choices: {roi}"), in_order(table, roi)
        strokes = {(row, own): [] for row in choices.get_yticks() for own in (False, True)}
        for ends, colour in segments(choices):
            for left, low, right, high in ends:
                assert left == right
                nearest = min(choices.get_yticks(), key=lambda row: abs(row - (low + high) / 2))
                strokes[nearest, colour == OWN.lower()].append(left)
        # Rows in the order of the axes, and of the levels of each.
        levels = [(axis, level) for axis in AXES if axis in LEVELS for level in LEVELS[axis]]
        assert len(choices.get_yticks()) == len(levels)
        for row, (axis, level) in zip(choices.get_yticks(), levels, strict=True):
            for own in (False, True):
                expected = here.loc[(here[axis] == level) & (here["own"] == own), "position"]
                assert sorted(strokes[row, own]) == list(expected), (axis, level, own)
    names = [text.get_text() for text in panel(figure, f"choices: {ROIS[0]}").get_yticklabels()]
    assert names == [level for _, level in levels]


def test_bars_are_mean_ranges_and_their_lines_reach_the_largest(axes: pd.DataFrame, figure: Figure) -> None:
    """And the share of the variance stands, in per cent, at the end of each."""
    varied = [axis for axis in AXES if axis in LEVELS]
    for roi in ROIS:
        ranges = panel(figure, f"ranges: {roi}")
        bars = {to_hex(bar.get_facecolor()): [] for bar in ranges.patches}
        for bar in ranges.patches:
            bars[to_hex(bar.get_facecolor())].append(bar)
        lines = {colour: ends for ends, colour in segments(ranges)}
        texts = {tuple(text.xy): text.get_text() for text in ranges.texts}
        assert len(texts) == len(ESTIMATES) * len(varied)
        for quantity, colour in ESTIMATES.items():
            rows = axes[(axes["roi"] == roi) & (axes["quantity"] == quantity)].set_index("axis").loc[varied]
            drawn = bars[colour.lower()]
            assert [bar.get_width() for bar in drawn] == pytest.approx(rows["mean_range"].to_list())
            middles = [bar.get_y() + bar.get_height() / 2 for bar in drawn]
            assert list(np.rint(middles)) == list(range(len(varied)))
            for (left, low, right, high), middle, (_, row) in zip(
                lines[colour.lower()], middles, rows.iterrows(), strict=True
            ):
                assert low == high == pytest.approx(middle)
                assert (left, right) == (row["mean_range"], row["largest_range"])
                assert texts[right, low] == f"{100 * row['share_of_variance']:.0f} %"
    names = [text.get_text() for text in panel(figure, f"ranges: {ROIS[0]}").get_yticklabels()]
    assert names == [AXIS_LABELS[axis] for axis in varied]


def test_axes_say_whose_r_it_is_and_what_is_subtracted_from_it(figure: Figure) -> None:
    r, difference = (panel(figure, f"{quantity}: {ROIS[0]}").get_ylabel() for quantity in ESTIMATES)
    assert r.split(":")[0] == LABELS["caption"]
    assert re.split(r"\s*−\s*", difference) == list(LABELS.values())


def test_the_note_counts_what_it_names(table: pd.DataFrame, axes: pd.DataFrame) -> None:
    """Universes with a difference above 0, not with an r above 0; subjects are missing in some universes, not in all."""
    lacking = (table["roi"] == ROIS[0]) & (table["distance"] == "cosine")
    table = table.assign(r=table["r"].abs(), n_without=np.where(lacking, 2, 0))
    text = " ".join(" ".join(text.get_text() for text in draw(table, axes).texts).split())
    for roi in ROIS:
        positive = (table.loc[table["roi"] == roi, "difference"] > 0).sum()
        assert 0 < positive < len(table) / len(ROIS)
        assert re.search(rf"{roi}: .*?above 0 in (\d+)", text)[1] == str(positive)
    assert re.search(r"missing in (\d+)", text)[1] == str(lacking.sum())


def test_the_list_of_numbers_is_the_tables_cell_by_cell(table: pd.DataFrame, axes: pd.DataFrame) -> None:
    numbers = plotted_numbers(table, axes)
    assert list(numbers.columns) == NUMBERS
    assert len(numbers) == len(ESTIMATES) * len(table) + len(axes)
    for roi, quantity in product(ROIS, ESTIMATES):
        here = numbers[(numbers["roi"] == roi) & (numbers["quantity"] == quantity)]
        drawn, expected = here[here["mark"] == "estimate"].sort_values("position"), in_order(table, roi)
        columns = [quantity, f"{quantity}_low", f"{quantity}_high", "position", "own", *AXES]
        assert drawn[["value", "low", "high", "position", "own", *AXES]].to_numpy().tolist() == (
            expected[columns].to_numpy().tolist()
        )
        ranges = here[here["mark"] == "range"]
        rows = axes[(axes["roi"] == roi) & (axes["quantity"] == quantity)]
        assert ranges[["axis", "value", "high"]].to_numpy().tolist() == (
            rows[["axis", "mean_range", "largest_range"]].to_numpy().tolist()
        )
        assert ranges["low"].isna().all()
