"""Figure "Comparisons of models": the difference of two models in every region, for other people and for other images too.

Draws the table of ``inference.comparisons``, and beside it that of ``inference.released`` where the config asks for it.
"""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capcortex.figures.roi import MEASURE_LABELS
from capcortex.figures.style import BEYOND, NOTE, PALETTE, add_panel, new_figure, stamp

NUMBERS = ["mark", "family", "roi", "model", "minus", "value", "low", "high", "p_adjusted", "p_equivalence_adjusted"]
MARKS = {
    "own images": {
        "value": "difference",
        "low": "difference_low",
        "high": "difference_high",
        "p_adjusted": "p_adjusted",
    },
    "shared images": {
        "value": "difference_shared",
        "low": "difference_shared_low",
        "high": "difference_shared_high",
        "p_adjusted": "p_shared_adjusted",
    },
    "released, unpaired": {
        "value": "value",
        "low": "low_released",
        "high": "high_released",
        "p_adjusted": "p_released_adjusted",
    },
    "released, paired": {
        "value": "value",
        "low": "low_paired",
        "high": "high_paired",
        "p_adjusted": "p_paired_adjusted",
    },
}
"""Columns from which each kind of mark is drawn."""

COLOURS = dict(zip(MARKS, (PALETTE[0], PALETTE[1], PALETTE[6], PALETTE[2]), strict=True))
MEANINGS = {
    "own images": "own images: t interval over subjects",
    "shared images": "shared images: bootstrap of subjects and images",
    "released, unpaired": "as released: r / ceiling of other images, unpaired",
    "released, paired": "the same ratios, paired",
}
OFFSETS = {"own images": -0.17, "shared images": 0.17, "released, unpaired": -0.17, "released, paired": 0.17}
BAND: dict[str, Any] = {"color": "0.9", "linewidth": 0, "zorder": 0}
SIGNIFICANT: dict[str, Any] = {"marker": (6, 2, 0), "markersize": 4, "markeredgewidth": 0.8, "clip_on": False}
EQUIVALENT: dict[str, Any] = {
    "linestyle": "",
    "color": "0.3",
    "marker": "s",
    "markersize": 3.5,
    "markerfacecolor": "none",
    "markeredgewidth": 0.8,
    "clip_on": False,
}

# Sizes on the page in inches.
LINE, TITLE, EDGE, GAP, AXIS, BETWEEN = 0.34, 0.28, 0.1, 0.14, 0.5, 0.15
PANEL_WIDTH, LETTER, NOTE_LINE, LEGEND_LINE = 1.3, 0.062, 0.13, 0.18
REGIONS_PER_ROW = 7
# Where a ceiling is hardly above zero a ratio to it is of any size; the axis is cut, so that the others can be read.
RATIO_AXIS = (-1.5, 1.5)


def plotted_numbers(table: pd.DataFrame, released: pd.DataFrame | None) -> pd.DataFrame:
    """List every number that `draw_comparisons` draws: a row for each mark, with the columns `NUMBERS`."""
    parts = []
    for mark, columns in MARKS.items():
        source = _of_contrasts(table, released) if mark.startswith("released") else table
        if source is not None:
            names = {old: new for new, old in columns.items()}
            others = [name for name in NUMBERS if name in source and name not in columns]
            parts.append(source[[*others, *names]].rename(columns=names).assign(mark=mark))
    return pd.concat(parts, ignore_index=True).reindex(columns=NUMBERS)


def _of_contrasts(table: pd.DataFrame, released: pd.DataFrame | None) -> pd.DataFrame | None:
    """Rows of the released table for the contrasts of the families, with the sign that these have."""
    if released is None:
        return None
    pairs = released.dropna(subset="minus")
    limits = {"low_released": "high_released", "low_paired": "high_paired"}
    swapped = pairs.rename(columns={"model": "minus", "minus": "model"})
    swapped = swapped.assign(value=-pairs["value"])
    for low, high in limits.items():
        swapped[low], swapped[high] = -pairs[high], -pairs[low]
    both = pd.concat([pairs, swapped], ignore_index=True)
    keys = ["roi", "model", "minus"]
    wanted = table[["family", *keys]]
    columns = ["value", *limits, *limits.values(), "p_released_adjusted", "p_paired_adjusted"]
    return wanted.merge(both[[*keys, *columns]], on=keys, how="left")


def draw_comparisons(
    table: pd.DataFrame,
    released: pd.DataFrame | None,
    *,
    labels: dict[str, str],
    rois: list[str],
    level: float,
    confidence: float,
    space: str,
    source: str,
) -> Figure:
    """Draw the difference of every contrast in every region: on own images, on shared images, and as released.

    Parameters
    ----------
    table
        Columns of ``inference.comparisons.COMPARISON_COLUMNS``, at least one row.
    released
        Columns of ``inference.released.RELEASED_COLUMNS``; None draws no released statistics.
    labels
        Name to print for each model.
    rois
        Regions in the order of the panels.
    level
        A difference whose adjusted p lies below gets a mark.
    confidence
        Coverage of the intervals, for the legend.
    space
        Where the regions are.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the labels ``difference: <roi>`` and ``released: <roi>``.
    """
    numbers = plotted_numbers(table, released)
    contrasts = list(dict.fromkeys(zip(table["family"], table["model"], table["minus"], strict=True)))
    several = table["family"].nunique() > 1
    names = [
        f"{labels[model]} − {labels[minus]}" + (f"\n({family})" if several else "")
        for family, model, minus in contrasts
    ]
    left = 0.3 + LETTER * max(len(line) for name in names for line in name.split("\n"))
    columns = min(len(rois), REGIONS_PER_ROW)
    width = max(left + columns * (PANEL_WIDTH + GAP), 7.5)
    panel_width = (width - left - EDGE) / columns - GAP
    there = numbers[numbers["value"].notna()]
    kinds = {"difference": ["own images", "shared images"]}
    if there["mark"].str.startswith("released").any():
        kinds["released"] = ["released, unpaired", "released, paired"]
    handles = _handles(numbers, table, level)
    sentences = _note(table, space, confidence)
    if released is not None and "released" not in kinds:
        sentences += " Nothing as released: no subject has a ceiling on shared images."
    note = textwrap.wrap(sentences, int(14.5 * (width - 2.6)))
    legend_columns = max(int((width - EDGE) / 3.0), 1)
    legend_height = LEGEND_LINE * -(-len(handles) // legend_columns)
    below = EDGE + NOTE_LINE * len(note) + 0.08 + legend_height
    rows = -(-len(rois) // columns)
    panel_height = LINE * len(contrasts)
    block = TITLE + panel_height + AXIS + BETWEEN
    height = below + len(kinds) * rows * block + EDGE
    figure = new_figure(width, height)
    top = height - EDGE
    for kind, marks in kinds.items():
        limits = _limits(numbers[numbers["mark"].isin(marks)], kind)
        for start in range(0, len(rois), columns):
            for column, roi in enumerate(rois[start : start + columns]):
                corner = (left + column * (panel_width + GAP), top - TITLE - panel_height)
                axes = add_panel(figure, f"{kind}: {roi}", (*corner, panel_width, panel_height))
                axes.set_xlim(limits)
                _draw_panel(axes, numbers[numbers["roi"] == roi], contrasts, marks, level)
                if kind == "difference":
                    _draw_equivalence(axes, table[table["roi"] == roi], contrasts, level)
                axes.set(xlim=limits, ylim=(len(contrasts) - 0.5, -0.5), yticks=range(len(contrasts)))
                axes.set_title(roi, pad=4)
                axes.locator_params(axis="x", nbins=3)
                axes.tick_params(left=False)
                axes.set_yticklabels(names if column == 0 else [])
                if column == 0:
                    label = f"difference in {MEASURE_LABELS[table['measure'].iloc[0]]}"
                    text = label if kind == "difference" else "difference of r / ceiling, as released"
                    axes.annotate(
                        text, (0, 0), (0, -22), xycoords="axes fraction", textcoords="offset points", va="top"
                    )
            top -= block
    figure.legend(
        handles=handles,
        ncols=legend_columns,
        loc="upper left",
        bbox_to_anchor=(0.1 / width, below / height),
        borderaxespad=0,
        handlelength=1.6,
        columnspacing=1.6,
    )
    figure.text(0.1 / width, 0.08 / height, "\n".join(note), va="bottom", linespacing=1.1, **NOTE)
    stamp(figure, source)
    return figure


def _handles(numbers: pd.DataFrame, table: pd.DataFrame, level: float) -> list[Artist]:
    """Legend of what is drawn, and of nothing else."""
    there = set(numbers.loc[numbers["value"].notna(), "mark"])
    handles: list[Artist] = [
        Line2D([], [], color=COLOURS[mark], marker="o", markersize=4, linewidth=1.3, label=MEANINGS[mark])
        for mark in MARKS
        if mark in there
    ]
    if (numbers["p_adjusted"] < level).any():
        handles.append(Line2D([], [], linestyle="", color="0.3", label=f"adjusted p < {level:g}", **SIGNIFICANT))
    if (table["p_equivalence_adjusted"] < level).any():
        handles.append(Line2D([], [], label=f"lies within the bound, adjusted p < {level:g}", **EQUIVALENT))
    if table["equivalence_bound"].notna().any():
        handles.append(Patch(label="differences that count as none", **BAND))
    values = numbers.loc[numbers["mark"].str.startswith("released"), "value"].abs()
    if (values > RATIO_AXIS[1]).any():
        handles.append(Line2D([], [], color="0.3", marker=">", label="beyond the axis: see the numbers", **BEYOND))
    return handles


def _draw_panel(axes: Axes, numbers: pd.DataFrame, contrasts: list[tuple], marks: list[str], level: float) -> None:
    axes.axvline(0, color="0.3", linewidth=0.6)
    keyed = numbers.set_index(["mark", "family", "model", "minus"])
    for at, contrast in enumerate(contrasts):
        for mark in marks:
            row = keyed.loc[(mark, *contrast)]
            y = at + OFFSETS[mark]
            axes.plot([row["low"], row["high"]], [y, y], color=COLOURS[mark], linewidth=1.3, solid_capstyle="butt")
            axes.plot(row["value"], y, color=COLOURS[mark], marker="o", markersize=3.6)
            low, high = axes.get_xlim()
            if row["value"] < low or row["value"] > high:
                end, arrow = (low, "<") if row["value"] < low else (high, ">")
                axes.plot(end, y, color=COLOURS[mark], marker=arrow, **BEYOND)
            if row["p_adjusted"] < level:
                axes.plot(1.0, y, transform=axes.get_yaxis_transform(), color=COLOURS[mark], **SIGNIFICANT)


def _draw_equivalence(axes: Axes, table: pd.DataFrame, contrasts: list[tuple], level: float) -> None:
    rows = table.set_index(["family", "model", "minus"])
    for at, contrast in enumerate(contrasts):
        bound, p = rows.loc[contrast, ["equivalence_bound", "p_equivalence_adjusted"]].to_numpy(float)
        if np.isfinite(bound):
            axes.fill_betweenx([at - 0.5, at + 0.5], -bound, bound, **BAND)
        if p < level:
            axes.plot(1.0, at, transform=axes.get_yaxis_transform(), **EQUIVALENT)


def _limits(numbers: pd.DataFrame, kind: str) -> tuple[float, float]:
    values = np.append(numbers[["value", "low", "high"]].to_numpy(float), 0)
    values = values[np.isfinite(values)]
    if kind == "released":
        values = values.clip(*RATIO_AXIS)
    extent = float(np.ptp(values)) or 1.0
    return float(values.min() - 0.06 * extent), float(values.max() + 0.12 * extent)


def _note(table: pd.DataFrame, space: str, confidence: float) -> str:
    families = "; ".join(
        f"{name} ({rows['correction'].iloc[0]}, tests: {rows['n_tests'].iloc[0]})"
        for name, rows in table.groupby("family", sort=False)
    )
    parts = [f"Regions in {space}. Intervals: {100 * confidence:g} %. Families: {families}."]
    for column, images in (("test_left_out", "own"), ("shared_left_out", "shared")):
        reasons = table[column].replace("", np.nan).dropna()
        for reason, rows in table.loc[reasons.index].groupby(column, sort=False):
            where = "" if len(rows) == len(table) else f" in {', '.join(rows['roi'].unique())}"
            parts.append(f"No test on {images} images{where}: {reason}.")
    return " ".join(parts)
