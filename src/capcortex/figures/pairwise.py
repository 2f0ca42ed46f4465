"""Figure "All pairs of models": P values of every model against every other one, a matrix for each region.

Draws the rows of ``capcortex.inference.pairwise``; computes places and colours only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from capcortex.figures.style import NOTE, add_panel, new_figure, stamp

LEAST_P = 1e-4
"""Smaller P values have the colour of this one."""

# Below the diagonal each subject's own images, above it the shared ones.
OWN = {"difference": "difference", "p": "p_adjusted"}
SHARED = {"difference": "difference_shared", "p": "p_shared_adjusted"}

COLOURS = "RdBu_r"
UNTESTED = "0.88"

# Sizes on the page in inches.
CELL, LEFT, GAP, TITLE, EDGE, LETTER = 0.38, 0.15, 0.3, 0.28, 0.12, 0.062
ACROSS, BAR, ABOVE, BELOW = 4, 0.1, 0.5, 0.95
# Room for the words below, where regions are few.
LEAST_WIDTH = 6.4


def draw_pairwise(
    table: pd.DataFrame,
    *,
    title: str,
    labels: Mapping[str, str],
    rois: Sequence[str],
    false_discovery_rate: float,
    source: str,
) -> Figure:
    """Draw a matrix of P values for each region.

    Parameters
    ----------
    table
        Columns ``roi``, ``model``, ``minus``, ``difference``, ``p_adjusted``, ``difference_shared`` and ``p_shared_adjusted``.
    title
        What the figure shows.
    labels
        Models in order, with their names; a pair's ``model`` comes before its ``minus``.
    rois
        Regions in order.
    false_discovery_rate
        P values below it are bold.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Axes with the regions as labels. In the cell of two models the adjusted P value, below the diagonal of the t-test on own
        images, above it of the bootstrap on shared ones. Red: the earlier model (further left, further up) is better, blue: the
        later one, the darker the smaller P.
    """
    side = CELL * len(labels)
    longest = LETTER * max(map(len, labels.values()))
    left, below = LEFT + longest, BELOW + 0.8 * longest
    n_across = min(ACROSS, len(rois))
    n_down = -(-len(rois) // n_across)
    width = max(left + n_across * side + (n_across - 1) * GAP + EDGE, LEAST_WIDTH)
    height = ABOVE + n_down * (TITLE + side) + (n_down - 1) * GAP + below
    figure = new_figure(width, height)
    scale = Normalize(np.log10(LEAST_P), -np.log10(LEAST_P))
    for place, roi in enumerate(rois):
        row, column = divmod(place, n_across)
        bottom = height - ABOVE - (row + 1) * (TITLE + side) - row * GAP
        axes = add_panel(figure, roi, (left + column * (side + GAP), bottom, side, side))
        axes.set_title(roi, loc="left", fontweight="bold")
        _draw_matrix(axes, table[table["roi"] == roi], list(labels), scale, false_discovery_rate)
        names = list(labels.values())
        last = place + n_across >= len(rois)
        axes.set(xticks=range(len(names)), yticks=range(len(names)))
        axes.set_xticklabels(names if last else [], rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticklabels(names if column == 0 else [])
    _draw_bar(figure, scale, (LEFT + 0.1, 0.55, 1.6, BAR))
    figure.text(EDGE / width, 1 - 0.1 / height, title, va="top", fontsize=10, fontweight="bold")
    lines = [
        "Below the diagonal: own images, paired t-test. Above: shared images, bootstrap.",
        f"P adjusted over the pairs of a region; bold below {false_discovery_rate:g}; –: no test.",
    ]
    figure.text((LEFT + 2.05) / width, 0.66 / height, "\n".join(lines), va="top", **NOTE)
    stamp(figure, source)
    return figure


def _draw_matrix(axes: Axes, table: pd.DataFrame, models: list[str], scale: Normalize, level: float) -> None:
    colours = matplotlib.colormaps[COLOURS]
    picture = np.ones((len(models), len(models), 3))
    for row in table.to_dict("records"):
        first, second = models.index(row["model"]), models.index(row["minus"])
        for cell, columns in (((second, first), OWN), ((first, second), SHARED)):
            p = row[columns["p"]]
            if np.isnan(p):
                picture[cell] = matplotlib.colors.to_rgb(UNTESTED)
                axes.text(*cell[::-1], "–", ha="center", va="center", fontsize=6.5, color="0.4")
                continue
            strength = scale(-np.log10(max(p, LEAST_P)) * np.sign(row[columns["difference"]]))
            picture[cell] = colours(strength)[:3]
            look: dict[str, Any] = {"fontweight": "bold" if p < level else "normal"}
            dark = abs(strength - 0.5) > 0.33
            axes.text(
                *cell[::-1],
                printed(p),
                ha="center",
                va="center",
                fontsize=6,
                color="white" if dark else "black",
                **look,
            )
    axes.imshow(picture, aspect="equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.plot([-0.5, len(models) - 0.5], [-0.5, len(models) - 0.5], color="0.6", linewidth=0.5)


def printed(p: float) -> str:
    """Print a P value in five characters at most: two digits, or three below 0.1, without the zero before the point."""
    if p < 0.001:
        return "<.001"
    return "1" if p > 0.995 else f"{p:.3f}"[1:] if p < 0.0995 else f"{p:.2f}"[1:]


def _draw_bar(figure: Figure, scale: Normalize, box: tuple[float, float, float, float]) -> None:
    axes = add_panel(figure, "colours", box)
    axes.imshow(
        np.linspace(scale.vmin or 0, scale.vmax or 0, 256)[None],
        aspect="auto",
        cmap=COLOURS,
        norm=scale,
        extent=(float(scale.vmin or 0), float(scale.vmax or 0), 0, 1),
    )
    ticks = {-4: ".0001", -2: ".01", 0: "1", 2: ".01", 4: ".0001"}
    axes.set(yticks=[], xticks=list(ticks), xlabel="P; blue: later model better, red: earlier")
    axes.set_xticklabels(list(ticks.values()))
    axes.xaxis.label.set_fontsize(7)
    axes.tick_params(labelsize=6.5, length=2)
