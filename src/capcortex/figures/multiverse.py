"""Figure "Multiverse": estimates of all universes in order, the choices of each below, and how much each choice matters.

Draws the tables of ``inference.multiverse``.
"""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp
from capcortex.rsa.multiverse import AXES
from capcortex.rsa.rdm import LEAST_UNITS

AXIS_LABELS = {
    "betas_version": "betas",
    "zscore": "z-scores over",
    "space": "space",
    "draw": "draw of image sets",
    "distance": "distance",
    "least_ncsnr": "least ncsnr",
    "within": "only within",
    "measure": "comparison",
}
ESTIMATES = {"r": PALETTE[0], "difference": PALETTE[2]}
OWN = PALETTE[6]
NUMBERS = ["mark", "roi", "position", "own", *AXES, "quantity", "axis", "value", "low", "high"]

# Sizes on the page in inches.
LEFT, EDGE, GAP, TITLE, BETWEEN = 1.75, 0.12, 0.42, 0.3, 0.12
PANEL_WIDTH, ESTIMATE_HEIGHT, LEVEL_HEIGHT, AXIS_HEIGHT = 2.3, 1.25, 0.135, 0.27
RANK_AXIS, RANGE_AXIS, LEGEND_LINE, NOTE_LINE, LETTERS_PER_INCH = 0.42, 0.5, 0.2, 0.13, 16.5


def plotted_numbers(table: pd.DataFrame, axes: pd.DataFrame) -> pd.DataFrame:
    """List every number that `draw_multiverse` draws: a row for each mark, with the columns `NUMBERS`.

    ``mark`` is ``estimate`` for r or the difference in a universe, whose ``position`` counts from 1 in the order of r, and
    ``range`` for how far an axis moves an estimate, others held: mean over their settings, with the largest as ``high``.
    """
    ordered = _in_order(table)
    parts = [
        ordered.assign(
            mark="estimate",
            quantity=quantity,
            value=ordered[quantity],
            low=ordered[f"{quantity}_low"],
            high=ordered[f"{quantity}_high"],
        )
        for quantity in ESTIMATES
    ]
    parts.append(axes.assign(mark="range", value=axes["mean_range"], high=axes["largest_range"]))
    return pd.concat(parts, ignore_index=True).reindex(columns=NUMBERS)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Universes of each region from the smallest r to the largest, those without r last, with their ``position``."""
    ordered = [
        here.sort_values("r", kind="stable").assign(position=range(1, 1 + len(here)))
        for _, here in table.groupby("roi", sort=False)
    ]
    return pd.concat(ordered)


def draw_multiverse(
    table: pd.DataFrame, axes: pd.DataFrame, *, labels: dict[str, str], confidence: float, source: str
) -> Figure:
    """Draw the specification curve of every region.

    Parameters
    ----------
    table
        Columns of ``inference.multiverse.MULTIVERSE_COLUMNS``.
    axes
        Columns of ``inference.multiverse.AXIS_COLUMNS``.
    labels
        Name to print for the model and the one that it is compared with.
    confidence
        Coverage of the intervals.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        A column for each region; its axes carry the labels ``r: <roi>``, ``difference: <roi>``, ``choices: <roi>`` and
        ``ranges: <roi>``.
    """
    rois = list(table["roi"].unique())
    ordered = _in_order(table)
    varied = list(axes["axis"].unique())
    levels = [(axis, level) for axis in varied for level in table[axis].unique()]
    matrix = LEVEL_HEIGHT * (len(levels) + 0.6 * (len(varied) - 1))
    ranges = AXIS_HEIGHT * len(varied)
    width = LEFT + len(rois) * (PANEL_WIDTH + GAP)
    note = textwrap.wrap(_note(table), int(LETTERS_PER_INCH * (width - 2.2)))
    below = EDGE + NOTE_LINE * len(note) + LEGEND_LINE + 0.06
    heights = {"r": ESTIMATE_HEIGHT, "difference": ESTIMATE_HEIGHT}
    if varied:
        heights |= {"choices": matrix, "ranges": ranges}
    under = {"r": BETWEEN, "difference": BETWEEN, "choices": RANK_AXIS, "ranges": RANGE_AXIS}
    height = EDGE + TITLE + sum(heights.values()) + sum(under[name] for name in heights) + below
    figure = new_figure(width, height)
    widest = max([0.0, *axes["largest_range"].fillna(0)]) or 1.0
    shared: dict[str, tuple[float, float]] = {name: _limits(table, name) for name in ESTIMATES}
    for column, roi in enumerate(rois):
        here = ordered[ordered["roi"] == roi]
        top = height - EDGE - TITLE
        for name, panel_height in heights.items():
            corner = (LEFT + column * (PANEL_WIDTH + GAP), top - panel_height)
            panel = add_panel(figure, f"{name}: {roi}", (*corner, PANEL_WIDTH, panel_height))
            if name in ESTIMATES:
                _draw_estimates(panel, here, name, shared[name])
            elif name == "choices":
                _draw_choices(panel, here, varied, levels, named=column == 0)
            else:
                _draw_ranges(panel, axes[axes["roi"] == roi], varied, widest, named=column == 0)
            top -= panel_height + under[name]
        figure.axes[len(heights) * column].set_title(roi, pad=6)
    model, minus = labels.values()
    ylabels = {"r": f"{model}:\nRDM correlation", "difference": f"{model} −\n{minus}"}
    for panel, name in zip(figure.axes, heights, strict=False):
        panel.set_ylabel(ylabels.get(name, ""))
        if name in ESTIMATES:
            panel.yaxis.set_label_coords(-0.5 / PANEL_WIDTH, 0.5)
    figure.legend(
        handles=_handles(confidence, bool(varied)),
        ncols=4,
        loc="lower left",
        bbox_to_anchor=(0.1 / width, (below - LEGEND_LINE) / height),
        borderaxespad=0,
        handlelength=1.4,
        columnspacing=1.4,
    )
    figure.text(0.1 / width, 0.08 / height, "\n".join(note), va="bottom", linespacing=1.1, **NOTE)
    stamp(figure, source)
    return figure


def _draw_estimates(panel: Axes, here: pd.DataFrame, quantity: str, limits: tuple[float, float]) -> None:
    own = here["own"].to_numpy(bool)
    position, value = here["position"].to_numpy(), here[quantity].to_numpy(float)
    low, high = here[f"{quantity}_low"].to_numpy(float), here[f"{quantity}_high"].to_numpy(float)
    panel.axhline(0, color="0.3", linewidth=0.6)
    panel.vlines(position[~own], low[~own], high[~own], color="0.82", linewidth=_width_of_universe(len(here)))
    panel.plot(position[~own], value[~own], linestyle="", marker="o", markersize=1.6, color=ESTIMATES[quantity])
    _mark_own(panel, here)
    panel.vlines(position[own], low[own], high[own], color=OWN, linewidth=1.2, zorder=3)
    panel.plot(position[own], value[own], linestyle="", marker="o", markersize=4, color=OWN, zorder=4)
    panel.set(xlim=(0, len(here) + 1), ylim=limits, xticks=[])
    panel.locator_params(axis="y", nbins=5)


def _draw_choices(
    panel: Axes, here: pd.DataFrame, varied: list[str], levels: list[tuple[str, str]], *, named: bool
) -> None:
    rows = [row + 0.6 * varied.index(axis) for row, (axis, _) in enumerate(levels)]
    _mark_own(panel, here)
    for row, (axis, level) in zip(rows, levels, strict=True):
        for own, colour, step in ((False, "0.25", 2), (True, OWN, 3)):
            at = here.loc[(here[axis] == level) & (here["own"] == own), "position"]
            panel.vlines(
                at,
                row - 0.36,
                row + 0.36,
                color=colour,
                linewidth=_width_of_universe(len(here)) * (1 + own),
                zorder=step,
            )
    panel.set(xlim=(0, len(here) + 1), ylim=(rows[-1] + 0.6, -0.6), yticks=rows)
    panel.set_yticklabels([level for _, level in levels] if named else [])
    panel.tick_params(left=False, labelsize=6.5)
    panel.spines["left"].set_visible(False)
    panel.set_xlabel("universes, in the order of r", labelpad=2)
    panel.locator_params(axis="x", nbins=4)
    if named:
        for axis in varied:
            first = next(row for row, (of, _) in zip(rows, levels, strict=True) if of == axis)
            panel.annotate(
                AXIS_LABELS[axis],
                (0, first),
                (-LEFT * 72 + 8, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color="0.35",
            )


def _draw_ranges(panel: Axes, axes: pd.DataFrame, varied: list[str], widest: float, *, named: bool) -> None:
    for quantity, offset in zip(ESTIMATES, (-0.19, 0.19), strict=True):
        rows = axes[axes["quantity"] == quantity].set_index("axis").loc[varied]
        y = np.arange(len(varied)) + offset
        panel.barh(y, rows["mean_range"], height=0.32, color=ESTIMATES[quantity], linewidth=0)
        panel.hlines(y, rows["mean_range"], rows["largest_range"], color=ESTIMATES[quantity], linewidth=0.8)
        for at, end, share in zip(y, rows["largest_range"], rows["share_of_variance"], strict=True):
            if np.isfinite(share):
                panel.annotate(
                    f"{100 * share:.0f} %", (end, at), (3, 0), textcoords="offset points", va="center", fontsize=6
                )
    panel.set(xlim=(0, 1.22 * widest), ylim=(len(varied) - 0.5, -0.5), yticks=range(len(varied)))
    panel.set_yticklabels([AXIS_LABELS[axis] for axis in varied] if named else [])
    panel.tick_params(left=False)
    panel.set_xlabel("range over levels, others held", labelpad=2)
    panel.locator_params(axis="x", nbins=4)


def _mark_own(panel: Axes, here: pd.DataFrame) -> None:
    for position in here.loc[here["own"], "position"]:
        panel.axvline(position, color=OWN, linewidth=0.5, alpha=0.5, zorder=1)


def _width_of_universe(n_universes: int) -> float:
    """Points for a universe, with a little room to the next."""
    return min(0.7 * 72 * PANEL_WIDTH / n_universes, 4.0)


def _limits(table: pd.DataFrame, quantity: str) -> tuple[float, float]:
    """Return limits of an axis that are the same for all regions, and hold 0."""
    values = np.append(table[[quantity, f"{quantity}_low", f"{quantity}_high"]].to_numpy(float), 0)
    values = values[np.isfinite(values)]
    room = 0.06 * (float(np.ptp(values)) or 1.0)
    return float(values.min() - room), float(values.max() + room)


def _handles(confidence: float, varied: bool) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=OWN, marker="o", markersize=4, linewidth=1.2, label="the study's own choices"),
        Line2D([], [], color="0.82", linewidth=3, label=f"{100 * confidence:g} % interval over subjects"),
    ]
    if varied:
        handles += [
            Patch(color=ESTIMATES["r"], label="range of r: mean, largest"),
            Patch(color=ESTIMATES["difference"], label="of the difference"),
        ]
    return handles


def _note(table: pd.DataFrame) -> str:
    per_roi = table.groupby("roi", sort=False)
    parts = [
        f"{per_roi.size().iloc[0]} universes a region. Per cent: share of the variance over them that an axis explains alone."
    ]
    if fewer := int((table["n_without"] > 0).sum()):
        parts.append(
            f"Subjects are missing in {fewer} of {len(table)} (all regions), where fewer than {LEAST_UNITS} vertices or voxels "
            "are left."
        )
    if undefined := int(table[["r", "difference"]].isna().any(axis=1).sum()):
        parts.append(f"Not drawn, because undefined: {undefined} of {len(table)} (all regions; see the table).")
    if table["r_low"].isna().all():
        parts.append("One subject: no intervals.")
    for roi, here in per_roi:
        positive = int((here["difference"] > 0).sum())
        parts.append(f"{roi}: the difference is above 0 in {positive} of {int(here['difference'].notna().sum())}.")
    return " ".join(parts)
