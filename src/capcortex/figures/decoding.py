"""Figure "Decoding" (Fig. 2b): how well embeddings are predicted from responses, beside what is no decoding, and in words.

Draws scores of single images and means of subjects (``inference.decoding``), and sentences that are nearest to some predictions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from capcortex.figures.captions import wrap_text
from capcortex.figures.style import NOTE, add_panel, model_colours, new_figure, stamp
from capcortex.inference.intervals import mean_interval

RANKS, RANKED_IMAGES = (0, 102, 255, 459), 515
"""Ranks of the images that the paper shows, of so many test images, from 0, the best."""

OF_IMAGES = {
    "r_mismatched": "other images",
    "r_mean_only": "mean embedding alone",
    "caption_ceiling": "captions of an image",
}
"""Distributions beside those of r; those with predictions of all subjects together."""

ROWS = {
    "caption_ceiling": "Captions of an image",
    "r": "Prediction",
    "r_nearest_training": "Nearest training image",
    "r_mean_only": "Mean embedding alone",
    "r_mismatched": "Prediction, other images",
    "r_without_mean": "Prediction without mean",
    "r_mismatched_without_mean": "The same, other images",
    "r_as_released": "As released (no mean)",
    "r_mismatched_as_released": "The same, other images",
}
IDENTIFICATION = {
    "identification": "Identification",
    "identification_without_mean": "Without mean",
    "identification_as_released": "As released",
}

# Sizes on the page in inches.
WIDTH, EDGE, TOP, DENSITY, LABELS, LINE = 7.4, 0.55, 0.85, (2.75, 2.45), 1.75, 0.19
EXAMPLE_COLUMNS = (0.15, 1.6, 4.55)
EXAMPLE_WIDTHS = (2.8, 2.65)
EXAMPLE_ROW, EXAMPLE_LINES = 0.62, 4


def shown_ranks(n_images: int) -> list[int]:
    """Ranks of the images that are shown, the same shares of all as in the paper; fewer where some coincide."""
    return sorted({min(n_images - 1, round(rank * n_images / RANKED_IMAGES)) for rank in RANKS})


def choose_ranked(r: NDArray[np.floating], ids: NDArray[np.integer]) -> pd.DataFrame:
    """Choose images by the rank of their r.

    Parameters
    ----------
    r : ndarray of shape (n_images,)
        Pearson correlation of prediction and embedding; images without are passed over.
    ids : ndarray of shape (n_images,)
        ``id73k``.

    Returns
    -------
    DataFrame
        Columns ``rank`` (from 0, the best), ``id73k`` and ``r``; of equals the one with the smaller id is better.
    """
    known = np.isfinite(r)
    order = np.lexsort((ids[known], -r[known]))
    ranks = shown_ranks(order.size) if order.size else []
    return pd.DataFrame({"rank": ranks, "id73k": ids[known][order[ranks]], "r": r[known][order[ranks]]})


def draw_decoding(
    scores: pd.DataFrame,
    table: pd.DataFrame,
    examples: pd.DataFrame,
    *,
    label: str,
    subjects: Sequence[str],
    confidence: float,
    captions: Mapping[int, Sequence[str]],
    source: str,
) -> Figure:
    """Draw distributions over images, means over subjects, and sentences.

    Parameters
    ----------
    scores
        Columns ``subject``, ``measure``, ``id73k``, ``value``: r of every subject and image, and `OF_IMAGES`.
    table
        Of `capcortex.inference.decoding.tabulate_decoding`, of one model.
    examples
        Of `choose_ranked`, with ``subject`` and ``nearest_sentence`` (NaN where the model has no sentences).
    label
        Name of the model.
    subjects
        In the order of their colours.
    confidence
        Coverage of the intervals over subjects.
    captions
        Captions of each example.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        With panels ``density``, ``means`` and ``identification``.
    """
    means = [name for name in ROWS if name in set(table.loc[table["value"].notna(), "measure"])]
    identified = [name for name in IDENTIFICATION if name in set(table["measure"])]
    below = 0.35 + EXAMPLE_ROW * len(examples) + 0.25
    height = below + 0.5 + DENSITY[1] + TOP
    figure = new_figure(WIDTH, height)
    colours = dict(zip(subjects, model_colours(len(subjects)), strict=True))
    bottom = below + 0.5
    density = add_panel(figure, "density", (EDGE, bottom, *DENSITY))
    _draw_densities(density, scores, colours)
    left, share = EDGE + DENSITY[0] + LABELS, 0.38 + LINE * len(identified)
    upper = add_panel(figure, "means", (left, bottom + share + 0.3, WIDTH - left - 0.2, DENSITY[1] - share - 0.3))
    _draw_means(upper, table, {name: ROWS[name] for name in means}, colours, confidence)
    upper.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    upper.set_title("Mean over images (r)", loc="left")
    lower = add_panel(figure, "identification", (left, bottom, WIDTH - left - 0.2, share - 0.12))
    _draw_means(lower, table, {name: IDENTIFICATION[name] for name in identified}, colours, confidence)
    lower.axvline(0.5, color="0.3", linewidth=0.8, linestyle=":", zorder=0)
    lower.set_xlim(min(0.45, lower.get_xlim()[0]), 1.02)
    lower.set_xlabel("share of other images that fit less")
    figure.text(0.15 / WIDTH, 1 - 0.2 / height, f"Decoding: {label}", fontsize=10, fontweight="bold", va="center")
    _write_examples(figure, examples, captions, below)
    stamp(figure, source)
    return figure


def _draw_densities(axes: Axes, scores: pd.DataFrame, colours: Mapping[str, str]) -> None:
    looks: dict[str, dict[str, Any]] = {
        "r_mismatched": {"color": "0.55", "linestyle": ":", "linewidth": 1.2},
        "r_mean_only": {"color": "0.55", "linestyle": "--", "linewidth": 1.2},
        "caption_ceiling": {"color": "black", "linewidth": 1.2},
    }
    for subject, colour in colours.items():
        of_subject = scores[(scores["subject"] == subject) & (scores["measure"] == "r")]
        _draw_density(axes, of_subject["value"], color=colour, linewidth=1, label=subject)
    for measure, label in OF_IMAGES.items():
        values = scores.loc[scores["measure"] == measure, "value"]
        _draw_density(axes, values, label=label, **looks[measure])
    axes.set(xlabel="r of prediction and embedding of an image", ylabel="density over images", ylim=(0, None))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        ncols=3,
        fontsize=6,
        handlelength=1.4,
        borderaxespad=0,
        labelspacing=0.25,
        columnspacing=1,
    )


def _draw_density(axes: Axes, values: pd.Series, **look: Any) -> None:
    from scipy.stats import gaussian_kde

    x = values.dropna().to_numpy(dtype=np.float64)
    if x.size < 3 or np.ptp(x) < 1e-9:
        return
    kernel = gaussian_kde(x)
    reach = 3 * np.sqrt(float(kernel.covariance[0, 0]))
    grid = np.linspace(max(-1, x.min() - reach), min(1, x.max() + reach), 200)
    axes.plot(grid, kernel(grid), **look)


def _draw_means(
    axes: Axes, table: pd.DataFrame, rows: Mapping[str, str], colours: Mapping[str, str], confidence: float
) -> None:
    for at, name in enumerate(rows):
        here = table[table["measure"] == name].set_index("subject")["value"]
        for number, (subject, colour) in enumerate(colours.items()):
            # A little apart, so that subjects with the same value can be told.
            shift = 0.3 * (number / max(1, len(colours) - 1) - 0.5)
            axes.plot(here.get(subject, np.nan), at + shift, "o", color=colour, markersize=2.6, markeredgewidth=0)
        interval = mean_interval(here.dropna(), confidence)
        axes.plot([interval.low, interval.high], [at, at], color="black", linewidth=1)
        axes.plot(interval.estimate, at, "|", color="black", markersize=8, markeredgewidth=1.4)
    axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticklabels(rows.values())
    axes.tick_params(axis="y", length=0)


def _write_examples(figure: Figure, examples: pd.DataFrame, captions: Mapping[int, Sequence[str]], top: float) -> None:
    _, height = figure.get_size_inches()

    def write(left: float, y: float, text: str, **look: Any) -> None:
        figure.text(left / WIDTH, y / height, text, **{"va": "top", "linespacing": 1.15, "fontsize": 7.5, **look})

    n_images = int(examples["n_images"].iloc[0]) if len(examples) else 0
    subject = examples["subject"].iloc[0] if len(examples) else ""
    headings = (
        f"{subject}: rank of {n_images}",
        "Captions of the image that was seen",
        "Nearest sentence to the prediction",
    )
    for left, heading in zip(EXAMPLE_COLUMNS, headings, strict=True):
        write(left, top - 0.08, heading, fontweight="bold")
    for number, row in enumerate(examples.to_dict("records")):
        y = top - 0.33 - EXAMPLE_ROW * number
        r = f"{row['r']:.2f}".replace("-", "−")
        write(EXAMPLE_COLUMNS[0], y, f"{row['rank']}")
        write(EXAMPLE_COLUMNS[0] + 0.35, y, f"r = {r}\nid73k {row['id73k']}", **NOTE)
        lines: list[str] = []
        for caption in captions[row["id73k"]]:
            of_caption = wrap_text(caption, EXAMPLE_WIDTHS[0], 2, indent=("– ", "   "))
            if len(lines) + len(of_caption) > EXAMPLE_LINES:
                break
            lines += of_caption
        write(EXAMPLE_COLUMNS[1], y, "\n".join(lines))
        if isinstance(row["nearest_sentence"], str):
            write(
                EXAMPLE_COLUMNS[2], y, "\n".join(wrap_text(row["nearest_sentence"], EXAMPLE_WIDTHS[1], EXAMPLE_LINES))
            )
