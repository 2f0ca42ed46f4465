"""Figure "Encoding and agreement" (Fig. 1d): prediction of every vertex beside how well subjects agree there, and regions.

Draws group means of maps and the table of encoding; computes nothing but means and intervals over subjects.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from capcortex.figures.style import NOTE, add_panel, model_colours, new_figure, stamp
from capcortex.inference.intervals import mean_interval

NUMBERS = ["mark", "roi", "vertex", "subject", "quantity", "value", "low", "high"]
QUANTITIES = {"r": "predicted (encoding r)", "agreement": "agreement with others", "noise_ceiling": "ceiling by ncsnr"}

# Sizes on the page in inches.
SIDE, LEFT, BETWEEN, RIGHT, BELOW, TOP, PER_REGION = 3.2, 0.6, 0.9, 0.15, 0.75, 0.65, 0.62
SHIFTS = {"r": -0.22, "agreement": 0.0, "noise_ceiling": 0.22}
LARGEST = 0.8
"""End of the axes of the paper; they are longer where a value lies beyond."""


def plotted_numbers(
    r: NDArray[np.floating],
    agreement: NDArray[np.floating],
    regions: Mapping[str, NDArray[np.intp]],
    table: pd.DataFrame,
    confidence: float,
) -> pd.DataFrame:
    """List every number that `draw_encoding` draws.

    Parameters
    ----------
    r, agreement : ndarrays of shape (n_subjects, n_vertices)
        Maps of a model's encoding and of agreement, NaN where undefined.
    regions
        Vertices of each region, by its name.
    table
        Rows of one model of the table of encoding, with the columns `capcortex.encoding.table.ENCODING_COLUMNS`.
    confidence
        Coverage of intervals over subjects.

    Returns
    -------
    DataFrame
        Columns `NUMBERS`. ``mark`` is ``vertex`` (mean over the subjects that have a value, of vertices that have both ``r`` and
        ``agreement``; numbered from 0, left hemisphere first), ``subject`` or ``mean`` (of a region, with its interval).
    """
    means = {}
    for name, maps in (("r", r), ("agreement", agreement)):
        count = np.isfinite(maps).sum(axis=0)
        total = np.where(np.isfinite(maps), maps, 0).sum(axis=0, dtype=np.float64)
        means[name] = np.divide(total, count, out=np.full(count.size, np.nan), where=count > 0)
    parts = []
    for roi, vertices in regions.items():
        both = vertices[np.isfinite(means["r"][vertices]) & np.isfinite(means["agreement"][vertices])]
        for name, mean in means.items():
            parts.append(
                pd.DataFrame({"mark": "vertex", "roi": roi, "vertex": both, "quantity": name, "value": mean[both]})
            )
    rows = []
    for of_region, own in table.groupby("roi", sort=False):
        for quantity in QUANTITIES:
            values = own[["subject", quantity]].dropna()
            for subject, value in values.itertuples(index=False):
                rows.append(
                    {"mark": "subject", "roi": of_region, "subject": subject, "quantity": quantity, "value": value}
                )
            if len(values):
                mean, low, high = mean_interval(values[quantity], confidence)
                shown = {"quantity": quantity, "value": mean, "low": low, "high": high}
                rows.append({"mark": "mean", "roi": of_region, **shown})
    return pd.concat([*parts, pd.DataFrame(rows)], ignore_index=True).reindex(columns=NUMBERS)


def draw_encoding(numbers: pd.DataFrame, *, title: str, source: str) -> Figure:
    """Draw a dot for each vertex of a region, and the means of regions with subjects.

    Parameters
    ----------
    numbers
        From `plotted_numbers`.
    title
        Of the figure.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the labels ``vertices`` and ``regions``.
    """
    rois = list(dict.fromkeys(numbers.loc[numbers["mark"] != "vertex", "roi"]))
    colours = dict(zip(rois, model_colours(len(rois)), strict=True))
    across = max(3.0, PER_REGION * len(rois))
    width, height = LEFT + SIDE + BETWEEN + across + RIGHT, BELOW + SIDE + TOP
    figure = new_figure(width, height)
    figure.text(0.1 / width, 1 - 0.1 / height, title, va="top", fontsize=10)
    _draw_vertices(add_panel(figure, "vertices", (LEFT, BELOW, SIDE, SIDE)), numbers, colours)
    _draw_regions(add_panel(figure, "regions", (LEFT + SIDE + BETWEEN, BELOW, across, SIDE)), numbers, colours, rois)
    note = "Agreement of people at the same vertex is no ceiling for a model: a model can exceed it."
    figure.text(0.1 / width, 0.08 / height, note, va="bottom", **NOTE)
    stamp(figure, source)
    return figure


def _draw_vertices(axes: Axes, numbers: pd.DataFrame, colours: Mapping[str, str]) -> None:
    wide = (
        numbers[numbers["mark"] == "vertex"]
        .pivot_table(index=["roi", "vertex"], columns="quantity", values="value", sort=False)
        .reset_index()
    )
    # In a fixed order without meaning, so that no region lies on top of all others.
    shuffled = wide.sample(frac=1, random_state=0) if len(wide) else wide
    if len(wide):
        look: dict[str, Any] = {"s": 5 if len(wide) < 10_000 else 1, "linewidths": 0, "alpha": 0.6, "rasterized": True}
        axes.scatter(shuffled["agreement"], shuffled["r"], c=shuffled["roi"].map(colours), **look)
    values = wide[["agreement", "r"]].to_numpy() if len(wide) else np.zeros((1, 2))
    low, high = min(0.0, float(values.min())), max(LARGEST, float(values.max()))
    margin = 0.03 * (high - low)
    axes.plot([low, high], [low, high], color="0.5", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("agreement with the mean of the other subjects (r)")
    axes.set_ylabel("predicted and measured responses (r)")
    axes.set_title("Vertices of regions, mean over subjects", loc="left")
    marks = [Line2D([], [], linestyle="", marker="o", markersize=4, color=colours[roi], label=roi) for roi in colours]
    axes.legend(handles=marks, loc="upper left", fontsize=7, handletextpad=0.2, labelspacing=0.3, borderaxespad=0.2)


def _draw_regions(axes: Axes, numbers: pd.DataFrame, colours: Mapping[str, str], rois: list[str]) -> None:
    for row in numbers[numbers["mark"] != "vertex"].to_dict("records"):
        at = rois.index(row["roi"]) + SHIFTS[row["quantity"]]
        colour = colours[row["roi"]]
        if row["mark"] == "subject":
            axes.plot(
                at, row["value"], linestyle="", marker="o", markersize=2.2, color="0.72", markeredgewidth=0, zorder=1
            )
            continue
        inside = colour if row["quantity"] == "r" else "white"
        marker = "_" if row["quantity"] == "noise_ceiling" else "o"
        if np.isfinite(row["low"]):
            axes.plot([at, at], [row["low"], row["high"]], color=colour, linewidth=1.2, zorder=2)
        look: dict[str, Any] = {"markersize": 9 if marker == "_" else 5, "markeredgewidth": 1.3, "zorder": 3}
        axes.plot(at, row["value"], linestyle="", marker=marker, color=colour, markerfacecolor=inside, **look)
    axes.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    axes.set_xticks(range(len(rois)), rois, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(rois) - 0.4)
    axes.set_ylabel("mean over a region's vertices (r)")
    axes.set_title("Regions", loc="left")
    filled: dict[str, Any] = {"linestyle": "", "color": "0.3", "markeredgewidth": 1.3}
    marks = [
        Line2D([], [], marker="o", markersize=5, label=QUANTITIES["r"], **filled),
        Line2D([], [], marker="o", markersize=5, markerfacecolor="white", label=QUANTITIES["agreement"], **filled),
        Line2D([], [], marker="_", markersize=9, label=QUANTITIES["noise_ceiling"], **filled),
        Line2D([], [], marker="o", markersize=2.2, linestyle="", color="0.72", label="subjects"),
    ]
    axes.legend(
        handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=7, columnspacing=1, handletextpad=0.3
    )
