"""The figure of the calibration draws every rate of the table at its place, in the colour of its verdict."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_figures import faults_of_texts, panel, texts

from capcortex.figures.calibration import VERDICTS, draw_calibration, plotted_numbers
from capcortex.inference.calibration import MEASURED, POWER_DESIGNS, POWER_STRENGTHS, RATE_COLUMNS, judge


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A made-up rate for everything that is measured."""
    random = np.random.default_rng(4)
    rows = []
    for measured in MEASURED:
        power = measured.measure == "power"
        for design in POWER_DESIGNS if power else [None]:
            for effect in POWER_STRENGTHS if power else [np.nan]:
                rate = random.uniform(0.85, 1) if measured.measure == "coverage" else random.uniform(0, 0.15)
                row = measured._asdict() | {"effect": effect, "rate": rate, "n_studies": 200 if power else 1000}
                row |= {"low": max(0, rate - 0.02), "high": min(1, rate + 0.02)}
                row["verdict"] = judge(
                    row["low"], row["high"], measured.nominal, higher_is_safe=measured.measure == "coverage"
                )
                if design:
                    row |= {"n_images": 30 * max(design.own_sets), "n_shared_images": 30 * design.shared_sets}
                rows.append(row)
    return pd.DataFrame(rows).reindex(columns=RATE_COLUMNS)


@pytest.fixture(scope="module")
def figure(table: pd.DataFrame) -> Figure:
    return draw_calibration(plotted_numbers(table))


@pytest.mark.parametrize("name", ["errors", "coverage"])
def test_rates_stand_beside_their_names_in_the_colour_of_their_verdict(
    table: pd.DataFrame, figure: Figure, name: str
) -> None:
    of_coverage = table["measure"] == "coverage"
    expected = table[of_coverage if name == "coverage" else ~of_coverage & (table["measure"] != "power")]
    axes = panel(figure, name)
    names = {round(at, 6): text.get_text() for at, text in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}
    dots = {line.get_label(): line for line in axes.lines if ": " in str(line.get_label())}
    assert len(dots) == len(expected)
    for row in expected.to_dict("records"):
        dot = dots[f"{row['scenario']}: {row['test']}"]
        assert dot.get_xdata()[0] == row["rate"]
        assert names[round(dot.get_ydata()[0], 6)] == row["test"]
        assert to_hex(dot.get_color()) == to_hex(VERDICTS[row["verdict"]]["color"])
        spread = [
            line for line in axes.lines if len(line.get_ydata()) == 2 and set(line.get_ydata()) == {*dot.get_ydata()}
        ]
        assert [list(line.get_xdata()) for line in spread] == [[row["low"], row["high"]]]
    assert set(expected["verdict"]) == set(VERDICTS)


def test_power_curves_hold_the_rates_of_their_design(table: pd.DataFrame, figure: Figure) -> None:
    power = table[table["measure"] == "power"]
    drawn = 0
    for (test, n_images), curve in power.groupby(["test", "n_images"]):
        name = "difference" if "paired" in test else "against zero"
        lines = [line for line in panel(figure, f"{name}, {n_images:g} images").lines if line.get_label() == test]
        assert len(lines) == 1
        np.testing.assert_array_equal(lines[0].get_xdata(), curve["effect"])
        np.testing.assert_array_equal(lines[0].get_ydata(), curve["rate"])
        drawn += 1
    assert drawn == 13 * len(POWER_DESIGNS)


def test_the_figure_says_that_studies_are_simulated_and_no_text_is_clipped(figure: Figure) -> None:
    assert any("Simulated studies, no data of people: 1,000 for each null" in text.get_text() for text in texts(figure))
    assert not faults_of_texts(figure)
