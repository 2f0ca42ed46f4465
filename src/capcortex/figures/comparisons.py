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
from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp

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

# Sizes on the page in inches.
LINE, TITLE, EDGE, GAP, AXIS, BETWEEN = 0.34, 0.28, 0.1, 0.14, 0.5, 0.15
PANEL_WIDTH, LETTER, NOTE_LINE, LEGEND_LINE = 1.3, 0.062, 0.13, 0.18
REGIONS_PER_ROW = 7


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
    names = [f"{labels[model]} − {labels[minus]}" for _, model, minus in contrasts]
    left = 0.3 + LETTER * max(map(len, names))
    columns = min(len(rois), REGIONS_PER_ROW)
    width = max(left + columns * (PANEL_WIDTH + GAP), 7.5)
    panel_width = (width - left - EDGE) / columns - GAP
    kinds = {"difference": ["own images", "shared images"]}
    if released is not None:
        kinds["released"] = ["released, unpaired", "released, paired"]
    bands = table["equivalence_bound"].notna().any()
    handles = [_handle(mark) for marks in kinds.values() for mark in marks]
    handles.append(Line2D([], [], linestyle="", color="0.3", label=f"adjusted p < {level:g}", **SIGNIFICANT))
    if bands:
        handles.append(Patch(label="differences that count as none", **BAND))
    note = textwrap.wrap(_note(table, space, confidence, level), int(14.5 * (width - 2.6)))
    legend_columns = max(int((width - EDGE) / 3.0), 1)
    legend_height = LEGEND_LINE * -(-len(handles) // legend_columns) + 0.1
    below = EDGE + NOTE_LINE * len(note) + 0.08 + legend_height
    rows = -(-len(rois) // columns)
    panel_height = LINE * len(contrasts)
    block = TITLE + panel_height + AXIS + BETWEEN
    height = below + len(kinds) * rows * block + EDGE
    figure = new_figure(width, height)
    top = height - EDGE
    for kind, marks in kinds.items():
        limits = _limits(numbers[numbers["mark"].isin(marks)])
        for start in range(0, len(rois), columns):
            for column, roi in enumerate(rois[start : start + columns]):
                corner = (left + column * (panel_width + GAP), top - TITLE - panel_height)
                axes = add_panel(figure, f"{kind}: {roi}", (*corner, panel_width, panel_height))
                _draw_panel(axes, numbers[numbers["roi"] == roi], contrasts, marks, level)
                if kind == "difference":
                    _draw_bands(axes, table[table["roi"] == roi], contrasts)
                axes.set(xlim=limits, ylim=(len(contrasts) - 0.5, -0.5), yticks=range(len(contrasts)))
                axes.set_title(roi, pad=4)
                axes.locator_params(axis="x", nbins=4)
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


def _handle(mark: str) -> Artist:
    return Line2D([], [], color=COLOURS[mark], marker="o", markersize=4, linewidth=1.3, label=MEANINGS[mark])


def _draw_panel(axes: Axes, numbers: pd.DataFrame, contrasts: list[tuple], marks: list[str], level: float) -> None:
    axes.axvline(0, color="0.3", linewidth=0.6)
    keyed = numbers.set_index(["mark", "family", "model", "minus"])
    for at, contrast in enumerate(contrasts):
        for mark in marks:
            row = keyed.loc[(mark, *contrast)]
            y = at + OFFSETS[mark]
            axes.plot([row["low"], row["high"]], [y, y], color=COLOURS[mark], linewidth=1.3, solid_capstyle="butt")
            axes.plot(row["value"], y, color=COLOURS[mark], marker="o", markersize=3.6)
            if row["p_adjusted"] < level:
                axes.plot(1.0, y, transform=axes.get_yaxis_transform(), color=COLOURS[mark], **SIGNIFICANT)


def _draw_bands(axes: Axes, table: pd.DataFrame, contrasts: list[tuple]) -> None:
    bounds = table.set_index(["family", "model", "minus"])["equivalence_bound"]
    for at, contrast in enumerate(contrasts):
        if np.isfinite(bounds[contrast]):
            axes.fill_betweenx([at - 0.5, at + 0.5], -bounds[contrast], bounds[contrast], **BAND)


def _limits(numbers: pd.DataFrame) -> tuple[float, float]:
    values = np.append(numbers[["value", "low", "high"]].to_numpy(float), 0)
    values = values[np.isfinite(values)]
    extent = float(np.ptp(values)) or 1.0
    return float(values.min() - 0.06 * extent), float(values.max() + 0.12 * extent)


def _note(table: pd.DataFrame, space: str, confidence: float, level: float) -> str:
    families = "; ".join(
        f"{name}: {rows['n_tests'].iloc[0]} tests, {rows['correction'].iloc[0]}"
        for name, rows in table.groupby("family", sort=False)
    )
    parts = [f"Regions in {space}. Intervals: {100 * confidence:g} %. Families ({families})."]
    same = table[table["p_equivalence_adjusted"] < level]
    if len(same):
        where = ", ".join(f"{row.model} − {row.minus} in {row.roi}" for row in same.itertuples())
        parts.append(f"Shown to differ by less than the bound: {where}.")
    reasons = table["test_left_out"].replace("", np.nan).dropna().unique()
    parts += [f"No test: {reason}." for reason in reasons]
    return " ".join(parts)
