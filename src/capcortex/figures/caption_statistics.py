"""Figure "Captions in numbers": how many captions an image has, how long they are, how alike, and what is odd about them.

Draws what ``capcortex.text.caption_statistics`` measured; computes histograms and places on the page only.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp

QUANTILES = {"quantile_05": 0.05, "quantile_25": 0.25, "median": 0.5, "quantile_75": 0.75, "quantile_95": 0.95}
NUMBERS = [
    "mark",
    "quantity",
    "of",
    "low",
    "high",
    "n",
    "count",
    "share",
    "mean",
    "sd",
    "minimum",
    *QUANTILES,
    "maximum",
]

# Panels of distributions in reading order: title, axis, the quantities that each shows with their names, and how wide a bin is.
PANELS: tuple[tuple[str, str, dict[str, str], float], ...] = (
    ("Captions", "captions of an image", {"captions_per_image": "images"}, 1.0),
    ("Length", "words of a caption", {"words_per_caption": "captions"}, 1.0),
    ("Mean length", "mean words of an image's captions", {"mean_words_of_image": "images"}, 0.5),
    (
        "Similarity",
        "cosine of captions, mean of an image",
        {"similarity_within_images": "its own", "similarity_between_images": "with another's"},
        0.05,
    ),
)

# Sizes on the page in inches.
PANEL_WIDTH, PANEL_HEIGHT, LEFT, ACROSS, DOWN, ABOVE, BELOW = 2.5, 1.35, 0.55, 0.6, 0.8, 0.32, 0.5
SHARES_LEFT, LINE, RIGHT, ROOM = 2.85, 0.17, 0.15, 1.0
# What the bars take of a panel; above them stands what they amount to.
FILLED = 0.7
# Bars up to which each has its count.
FEW_BARS = 5


def plotted_numbers(values: Mapping[str, NDArray[np.float64]], shares: pd.DataFrame) -> pd.DataFrame:
    """List every number that `draw_caption_statistics` draws.

    Parameters
    ----------
    values
        Values of each quantity, without NaN; from `capcortex.text.caption_statistics.measure_captions`.
    shares
        From `capcortex.text.caption_statistics.count_oddities`.

    Returns
    -------
    DataFrame
        Columns `NUMBERS`. By ``mark``: ``summary`` of a quantity with ``n`` values, mean, sd (n - 1 in the denominator) and
        quantiles; ``bin`` of its histogram, values from ``low`` to below ``high``, with ``count`` and ``share`` of all;
        ``share``, the captions or images (``of``) with a property.
    """
    rows: list[dict[str, Any]] = []
    for _, _, quantities, step in PANELS:
        for quantity in quantities:
            of_quantity = values[quantity]
            if not of_quantity.size:
                continue
            rows.append({"mark": "summary", "quantity": quantity, **_summary(of_quantity)})
            # Rounding must not part values that are on an edge.
            cells = np.floor(of_quantity / step + 1e-6).astype(int)
            for cell, count in zip(*np.unique(cells, return_counts=True), strict=True):
                edges = {"low": cell * step, "high": (cell + 1) * step}
                share = {"n": of_quantity.size, "count": int(count), "share": count / of_quantity.size}
                rows.append({"mark": "bin", "quantity": quantity, **edges, **share})
    odd = shares.rename(columns={"what": "quantity"}).assign(mark="share")
    return pd.concat([pd.DataFrame(rows), odd], ignore_index=True).reindex(columns=NUMBERS)


def draw_caption_statistics(numbers: pd.DataFrame, *, encoder: str, source: str) -> Figure:
    """Draw distributions of captions, and what share of them is out of the ordinary.

    Parameters
    ----------
    numbers
        From `plotted_numbers`.
    encoder
        Name of the sentence encoder, for the note.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the titles of `PANELS` as labels, and ``shares``. Where nothing is known of a panel, it says so.
    """
    shares = numbers[numbers["mark"] == "share"]
    below = BELOW + len(shares) * LINE + ABOVE
    width = LEFT + 2 * PANEL_WIDTH + ACROSS + RIGHT
    height = below + 2 * (PANEL_HEIGHT + DOWN) + 0.1
    figure = new_figure(width, height)
    for place, (title, axis, quantities, step) in enumerate(PANELS):
        left = LEFT + (place % 2) * (PANEL_WIDTH + ACROSS)
        bottom = below + (1 - place // 2) * (PANEL_HEIGHT + DOWN) + BELOW
        axes = add_panel(figure, title, (left, bottom, PANEL_WIDTH, PANEL_HEIGHT))
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set(xlabel=axis, ylabel="% of captions" if "captions" in quantities.values() else "% of images")
        _draw_panel(axes, numbers, quantities, step)
    axes = add_panel(figure, "shares", (SHARES_LEFT, BELOW, width - SHARES_LEFT - ROOM, len(shares) * LINE))
    _draw_shares(axes, shares)
    figure.text(LEFT / width, 0.08 / height, f"Similarity: sentence vectors by {encoder}.", va="bottom", **NOTE)
    stamp(figure, source)
    return figure


def _summary(values: NDArray[np.float64]) -> dict[str, float]:
    spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
    quantiles = dict(zip(QUANTILES, map(float, np.quantile(values, list(QUANTILES.values()))), strict=True))
    ends = {"minimum": float(values.min()), "maximum": float(values.max())}
    return {"n": values.size, "mean": float(values.mean()), "sd": spread, **quantiles, **ends}


def _draw_panel(axes: Axes, numbers: pd.DataFrame, quantities: Mapping[str, str], step: float) -> None:
    known = [quantity for quantity in quantities if (numbers["quantity"] == quantity).any()]
    if not known:
        axes.set(xticks=[], yticks=[])
        axes.text(
            0.5,
            0.5,
            "unknown: the encoder's vectors\nare not of length 1",
            ha="center",
            va="center",
            transform=axes.transAxes,
            **NOTE,
        )
        return
    for colour, quantity in zip(PALETTE, known, strict=False):
        of_quantity = numbers[numbers["quantity"] == quantity]
        bins = of_quantity[of_quantity["mark"] == "bin"]
        summary = of_quantity[of_quantity["mark"] == "summary"].iloc[0]
        # Whole numbers stand in the middle of their bar.
        left = bins["low"] - (0.5 if step == 1 else 0)
        axes.bar(left, 100 * bins["share"], width=step, align="edge", color=colour, alpha=0.75, linewidth=0)
        axes.axvline(summary["mean"], 0, FILLED, color=colour, linewidth=1.0, linestyle="--")
        for row in bins.to_dict("records") if len(bins) <= FEW_BARS else []:
            look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 7, "color": "0.2"}
            axes.text(row["low"], 100 * row["share"], f"{int(row['count']):,}", **look)
    drawn = numbers[numbers["quantity"].isin(known) & (numbers["mark"] == "bin")]
    most = 100 * drawn["share"].max()
    axes.set(ylim=(0, most / FILLED), yticks=[tick for tick in MaxNLocator(4).tick_values(0, most) if tick <= most])
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=step >= 0.5))
    for line, quantity in enumerate(known):
        summary = numbers[(numbers["quantity"] == quantity) & (numbers["mark"] == "summary")].iloc[0]
        name = f"{quantities[quantity]}: " if len(quantities) > 1 else ""
        text = f"{name}{summary['mean']:.2f} ± {summary['sd']:.2f} (n = {int(summary['n']):,})".replace("-", "−")
        look = {"ha": "right", "va": "top", "transform": axes.transAxes, "fontsize": 7}
        axes.text(1.0, 1.0 - 0.12 * line, text, color=PALETTE[line] if len(quantities) > 1 else "0.2", **look)


def _draw_shares(axes: Axes, shares: pd.DataFrame) -> None:
    places = list(range(len(shares)))
    axes.barh(places, 100 * shares["share"], height=0.62, color=PALETTE[0], alpha=0.75, linewidth=0)
    axes.set(ylim=(len(shares) - 0.5, -0.5), xlim=(0, 100), xlabel="%", yticks=places)
    axes.set_yticklabels([f"{row['of']} that {row['quantity']}" for row in shares.to_dict("records")])
    axes.tick_params(axis="y", length=0)
    axes.set_title("Shares of captions and of images", loc="left", fontweight="bold")
    for place, row in zip(places, shares.to_dict("records"), strict=True):
        text = f"{100 * row['share']:.3g} % ({int(row['count']):,})"
        axes.text(1.02, place, text, va="center", transform=axes.get_yaxis_transform(), fontsize=7)
