"""Figure "Calibration": how often the study's tests err, how often its intervals cover, and what they find, in simulated studies.

Draws the table of ``inference.calibration``; computes nothing but places on the page.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure

NUMBERS = [
    *("mark", "scenario", "test", "measure", "effect", "n_images", "n_shared_images"),
    *("rate", "low", "high", "nominal", "n_studies", "verdict"),
]

HEADINGS = {
    "no-alignment": "A model that has nothing to do with the responses: false positives",
    "no-difference": "Two models that do equally well: false positives",
    "equivalence": "A difference as large as the bound: false claims of equivalence",
    "families": "Twelve tests, eight true nulls: errors in the family",
    "maps": "Maps of smooth noise: errors in the family of vertices",
    "nothing-shared": "Subjects who have nothing in common: intervals above zero",
    "something-shared": "New people and new images: coverage",
    "same-images": "New people, the same images: coverage",
}
"""What is said of each scenario above its rows."""

VERDICTS: dict[str, dict[str, Any]] = {
    "nominal": {"marker": "o", "color": PALETTE[2]},
    "conservative": {"marker": "s", "color": PALETTE[3]},
    "liberal": {"marker": "D", "color": PALETTE[6]},
}
DOT: dict[str, Any] = {"linestyle": "", "markersize": 4.2, "markeredgewidth": 0, "clip_on": False, "zorder": 3}
SPREAD: dict[str, Any] = {"linewidth": 1.2, "solid_capstyle": "butt"}
NOMINAL: dict[str, Any] = {"color": "0.2", "linewidth": 1.0}
CURVE: dict[str, Any] = {"linewidth": 1.1, "markersize": 3.2, "markeredgewidth": 0}
ERROR_TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.5, 1)

# Kinds of tests in the power curves: line and marker by what is drawn anew, colour by statistic.
LOOKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("released", {"color": PALETTE[6], "marker": "x", "markeredgewidth": 1.0}),
    ("unpaired", {"color": PALETTE[5], "marker": "D"}),
    ("image permutation", {"color": PALETTE[4], "marker": "^"}),
    ("bootstrap", {"color": PALETTE[2], "marker": "s", "linestyle": (0, (4, 2))}),
    ("sign flips, shared", {"color": PALETTE[1], "marker": "v", "linestyle": (0, (4, 2))}),
    ("sign flips, own", {"color": PALETTE[1], "marker": "v"}),
    ("t, shared", {"color": PALETTE[0], "marker": "o", "linestyle": (0, (4, 2))}),
    ("t, own", {"color": PALETTE[0], "marker": "o"}),
)

# Sizes on the page in inches.
EDGE, ROW, HEADING, GAP = 0.1, 0.165, 0.27, 0.55
NAMES, RATES, BETWEEN, POWER_WIDTH, POWER_GAP, POWER_BETWEEN = 2.85, 2.45, 0.7, 1.95, 0.15, 0.4
TITLE, LEGEND_LINE, BELOW = 0.3, 0.15, 0.85


def plotted_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """List every number that `draw_calibration` draws.

    Parameters
    ----------
    table
        Columns of ``inference.calibration.RATE_COLUMNS``, of which those of `NUMBERS` after ``mark`` are used.

    Returns
    -------
    DataFrame
        One row for each dot, with the columns `NUMBERS`; ``mark`` is ``errors``, ``coverage`` or ``power``, the panel.
    """
    mark = table["measure"].where(table["measure"].isin(["coverage", "power"]), "errors")
    return table.assign(mark=mark)[NUMBERS]


def draw_calibration(numbers: pd.DataFrame) -> Figure:
    """Draw rates with their intervals and nominal values, coloured by verdict, and power curves.

    Parameters
    ----------
    numbers
        From `plotted_numbers`.

    Returns
    -------
    Figure
        Its axes carry the labels ``errors``, ``coverage``, and for power ``<against zero | difference>, <n> images``.
    """
    of_mark = dict(list(numbers.groupby("mark", sort=False)))
    heights = {name: _height(of_mark[name]) for name in ("errors", "coverage")}
    height = EDGE + TITLE + sum(heights.values()) + GAP + TITLE + BELOW
    width = EDGE + NAMES + RATES + BETWEEN + 2 * POWER_WIDTH + POWER_BETWEEN + EDGE
    figure = new_figure(width, height)
    top = height - EDGE - TITLE
    for name, title in (("errors", "How often tests err"), ("coverage", "How often intervals hold the true value")):
        axes = add_panel(figure, name, (EDGE + NAMES, top - heights[name], RATES, heights[name]))
        _draw_rates(axes, of_mark[name], heights[name])
        axes.set_title(title, loc="left", pad=7)
        top -= heights[name] + GAP + TITLE
    _error_axis(figure.axes[0])
    lowest = min(0.9, np.floor(20 * of_mark["coverage"]["low"].min()) / 20)
    figure.axes[1].set_xlim(lowest, 1)
    figure.axes[1].set_xlabel("coverage")
    _draw_power(figure, of_mark["power"], EDGE + NAMES + RATES + BETWEEN, height)
    _write_notes(figure, numbers)
    return figure


def _height(rows: pd.DataFrame) -> float:
    return ROW * len(rows) + HEADING * rows["scenario"].nunique()


def _draw_rates(axes: Axes, rows: pd.DataFrame, height: float) -> None:
    """Draw a line for each test, from the top, under the headings of the scenarios; the vertical axis is in inches."""
    places, names, at = [], [], 0.0
    for scenario, here in rows.groupby("scenario", sort=False):
        axes.annotate(
            HEADINGS[str(scenario)],
            (-NAMES / RATES, at + HEADING / 2 + 0.02),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            fontweight="bold",
        )
        at += HEADING
        for row in here.to_dict("records"):
            place = at + ROW / 2
            look = VERDICTS[row["verdict"]]
            axes.plot([row["low"], row["high"]], [place, place], color=look["color"], **SPREAD)
            axes.plot([row["nominal"]] * 2, [place - 0.4 * ROW, place + 0.4 * ROW], **NOMINAL)
            axes.plot(row["rate"], place, label=f"{scenario}: {row['test']}", **look, **DOT)
            places.append(place)
            names.append(row["test"])
            at += ROW
    axes.set_ylim(height, 0)
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _error_axis(axes: Axes) -> None:
    """Give small rates more room: nominal ones are near the lower end, those of uncorrected maps at the upper."""
    axes.set_xscale("function", functions=(lambda rate: np.sqrt(np.clip(rate, 0, None)), np.square))
    axes.set_xlim(0, 1)
    axes.set_xticks(ERROR_TICKS, [f"{tick:g}" for tick in ERROR_TICKS])
    axes.minorticks_off()
    axes.set_xlabel("rate (axis: square root)")


def _draw_power(figure: Figure, power: pd.DataFrame, left: float, height: float) -> None:
    """Draw curves over planted strength: a column of panels against zero and one for differences, a row for each design."""
    comparing = power["test"].str.contains("paired")
    designs = list(power[["n_images", "n_shared_images"]].drop_duplicates().itertuples(index=False))
    columns = {"against zero": power[~comparing], "difference": power[comparing]}
    titles = {"against zero": "Power: a model against 0", "difference": "Power: difference of two models"}
    legend_height = LEGEND_LINE * max(rows["test"].nunique() for rows in columns.values())
    bottom = BELOW + legend_height + 0.5
    step = (height - EDGE - TITLE - bottom + POWER_GAP) / len(designs)
    for column, (name, rows) in enumerate(columns.items()):
        across = left + column * (POWER_WIDTH + POWER_BETWEEN)
        for number, (n_images, n_shared) in enumerate(designs):
            corner = (across, height - EDGE - TITLE - number * step - (step - POWER_GAP))
            axes = add_panel(figure, f"{name}, {n_images:g} images", (*corner, POWER_WIDTH, step - POWER_GAP))
            _draw_curves(axes, rows[rows["n_images"] == n_images])
            last = number == len(designs) - 1
            axes.tick_params(labelbottom=last)
            text = f"{n_images:g} own images (at most), {n_shared:g} shared"
            axes.annotate(text, (0.03, 1.0), xycoords="axes fraction", va="top", **NOTE)
            if number == 0:
                axes.set_title(titles[name], loc="left", pad=7)
            if last:
                axes.set_xlabel(f"planted {'strength' if name == 'against zero' else 'difference in strength'}")
                handles = [Line2D([], [], label=test, **_look(test), **_sizes(test)) for test in rows["test"].unique()]
                _legend(axes, handles, -0.42 / (step - POWER_GAP))
            if column == 0:
                axes.set_ylabel("studies that find it")


def _draw_curves(axes: Axes, rows: pd.DataFrame) -> None:
    for test, curve in rows.groupby("test", sort=False):
        axes.plot(curve["effect"], curve["rate"], label=str(test), **_look(str(test)), **_sizes(str(test)))
    axes.axhline(0.05, color="0.6", linewidth=0.6, zorder=0)
    axes.set_ylim(-0.02, 1.12)
    axes.set_yticks([0, 0.5, 1])
    axes.spines["left"].set_bounds(0, 1)


def _look(test: str) -> dict[str, Any]:
    """Return the look of a test's curve: that of the first kind whose words are in its name."""
    name = test.replace(" over subjects", "")
    return next(look for words, look in LOOKS if words in name)


def _sizes(test: str) -> dict[str, Any]:
    return {key: value for key, value in CURVE.items() if key not in _look(test)}


def _legend(axes: Axes, handles: Iterable[Artist], below: float) -> None:
    axes.legend(
        handles=list(handles),
        loc="upper left",
        bbox_to_anchor=(-0.12, below),
        borderaxespad=0,
        borderpad=0,
        handlelength=2.2,
        handletextpad=0.5,
        labelspacing=0.25,
        fontsize=6.5,
    )


def _write_notes(figure: Figure, numbers: pd.DataFrame) -> None:
    """Write below what the marks mean, and that nothing here is about people."""
    width, height = figure.get_size_inches()
    handles: list[Artist] = [Line2D([], [], label=verdict, **look, **DOT) for verdict, look in VERDICTS.items()]
    handles.append(Line2D([], [], label="nominal rate", linestyle="", marker="|", color="0.2", markersize=7))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(EDGE / width, 0.22 / height),
        ncols=len(handles),
        borderaxespad=0,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    of_nulls = numbers[numbers["mark"] != "power"]["n_studies"]
    of_power = numbers[numbers["mark"] == "power"]["n_studies"]
    figure.text(
        EDGE / width,
        0.08 / height,
        f"Simulated studies, no data of people: {of_nulls.min():,} for each null, {of_power.min():,} for each point of a "
        "power curve. Lines: 99.9 % intervals. Level 0.05, coverage 0.95.",
        va="bottom",
        **NOTE,
    )
