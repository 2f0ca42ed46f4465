"""Figure "Models and regions": how well each model's RDMs agree with those of each region, and how near to the ceiling.

Draws the group table of ``inference.group`` and the subjects' means; computes nothing but places on the page.
"""

import math
import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from capcortex.figures.style import BEYOND, NOTE, PALETTE, add_panel, model_colours, new_figure, stamp

NUMBERS = [
    "mark",
    "roi",
    "model",
    "label",
    "subject",
    "value",
    "low",
    "high",
    "n_subjects",
    "p_adjusted",
    "test_left_out",
    "ratio_left_out",
]
CONTRAST_COLUMNS = [
    "roi",
    "model",
    "minus",
    "difference",
    "difference_low",
    "difference_high",
    "n_subjects",
    "p_adjusted",
    "correction",
]
"""Columns of a table of comparisons that a figure's contrasts are taken from."""

BAR_WIDTH = 0.78
CEILING: dict[str, Any] = {"color": "0.86", "linewidth": 0, "zorder": 0}
DOTS: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 2.8,
    "color": "0.2",
    "markeredgecolor": "w",
    "markeredgewidth": 0.3,
}
INTERVAL: dict[str, Any] = {"color": "black", "linewidth": 1.0}
RATIO: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markeredgecolor": "white", "markeredgewidth": 0.5}
SIGNIFICANT: dict[str, Any] = {
    "linestyle": "",
    "marker": (6, 2, 0),
    "markersize": 4.5,
    "color": "black",
    "markeredgewidth": 0.8,
}
DIFFERENT: dict[str, Any] = {
    "linestyle": "",
    "markersize": 4.5,
    "color": "black",
    "markeredgewidth": 0,
    "clip_on": False,
}
BREAK: dict[str, Any] = {"marker": [(-1, -0.5), (1, 0.5)], "markersize": 7, "color": "0.3"}
LEFT_OUT: dict[str, Any] = {"linestyle": "", "marker": "x", "markersize": 4, "color": "0.55", "markeredgewidth": 0.8}

# Sizes on the page in inches.
REGIONS_PER_ROW = 7
WIDEST = 15.5
BARS_HEIGHT, STRIP_HEIGHT, RATIOS_HEIGHT, ROW_HEIGHT = 2.6, 0.62, 1.25, 4.5
TITLE, LEFT, GAP, BETWEEN = 0.26, 0.95, 0.16, 0.24
LEGEND_LINE, NOTE_LINE, EDGE = 0.18, 0.13, 0.1
NUMBERS_LINE = 0.12
# Ratios to a ceiling hardly above zero have intervals of any length; they are cut, so that the others can be read.
RATIO_AXIS = (-0.5, 1.5)
# A broken axis pays when the highest ceiling lies above the highest bar by more than this factor.
FAR_ABOVE = 1.5
MEASURE_LABELS = {
    "pearson": "RDM correlation (Pearson r)",
    "spearman": "RDM correlation (Spearman rho)",
    "rho-a": "RDM correlation (Spearman rho-a)",
    "tau-a": "RDM correlation (Kendall tau-a)",
    "whitened-cosine": "RDM similarity (whitened cosine)",
}
ALL_PAIRS_NOTE = "Bars and dots: r over all pairs of a subject's images. Ceilings and ratios: on shared image sets."


def contrasts_with_first(comparisons: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Choose the comparisons of a figure's first model with its others.

    Parameters
    ----------
    comparisons
        Columns `CONTRAST_COLUMNS`; either model may be the first.
    models
        Models of the figure, in the order of the bars.

    Returns
    -------
    DataFrame
        Columns `CONTRAST_COLUMNS`, the figure's first model minus another; of a comparison that several families have, the first.
    """
    chosen = comparisons[CONTRAST_COLUMNS]
    turned = chosen.assign(
        model=chosen["minus"],
        minus=chosen["model"],
        difference=-chosen["difference"],
        difference_low=-chosen["difference_high"],
        difference_high=-chosen["difference_low"],
    )
    both = pd.concat([chosen, turned])
    of_figure = both[(both["model"] == models[0]) & both["minus"].isin(models[1:])]
    return of_figure.sort_index(kind="stable").drop_duplicates(["roi", "minus"], ignore_index=True)


def plotted_numbers(
    table: pd.DataFrame, subject_means: pd.DataFrame, labels: dict[str, str], contrasts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """List every number that `draw_roi_rsa` draws.

    Parameters
    ----------
    table, subject_means, labels, contrasts
        As for `draw_roi_rsa`.

    Returns
    -------
    DataFrame
        One row for each drawn thing, with the columns `NUMBERS`; ``mark`` is ``mean`` (a bar with its interval),
        ``subject`` (a dot), ``ratio`` (with its interval), ``ceiling`` (its bounds) or ``first minus this`` (the
        first model minus this one, with its interval). ``test_left_out`` says why a mean has
        neither test nor interval, ``ratio_left_out`` why there is no ratio.
    """
    ends = ["value", "low", "high"]
    keys = ["roi", "model"]
    others = ["n_subjects", "p_adjusted", "test_left_out"]
    bars = table[[*keys, "r", "r_low", "r_high", *others]].set_axis([*keys, *ends, *others], axis=1)
    ratios = table[[*keys, "ratio_to_lower", "ratio_to_lower_low", "ratio_to_lower_high", "ratio_left_out"]]
    ratios = ratios.set_axis([*keys, *ends, "ratio_left_out"], axis=1)
    dots = subject_means[[*keys, "subject", "r"]].rename(columns={"r": "value"})
    ceilings = _ceilings(table).set_axis(["low", "high"], axis=1).reset_index()
    parts = {"mean": bars, "subject": dots, "ratio": ratios, "ceiling": ceilings}
    if contrasts is not None:
        differences = ["difference", "difference_low", "difference_high"]
        of_contrasts = contrasts[["roi", "minus", *differences, "n_subjects", "p_adjusted"]]
        parts["first minus this"] = of_contrasts.set_axis([*keys, *ends, "n_subjects", "p_adjusted"], axis=1)
    numbers = pd.concat([part.assign(mark=mark) for mark, part in parts.items() if len(part)], ignore_index=True)
    return numbers.assign(label=numbers["model"].map(labels)).reindex(columns=NUMBERS)


def draw_roi_rsa(
    table: pd.DataFrame,
    subject_means: pd.DataFrame,
    *,
    labels: dict[str, str],
    rois: list[str],
    false_discovery_rate: float,
    confidence: float,
    n_subjects: int,
    space: str,
    source: str,
    contrasts: pd.DataFrame | None = None,
) -> Figure:
    """Draw a bar for every model in every region, with subjects, intervals and ceilings; below, ratios to the ceiling.

    When ceilings lie far above all bars, the axis of correlations is broken, so that both can be read.

    Parameters
    ----------
    table
        Columns of ``inference.group.tabulate_group``.
    subject_means
        ``model``, ``roi``, ``subject``, ``r``: mean over a subject's own image sets, or r over all pairs of the subject's images,
        as the column ``pairs`` of ``table`` says.
    labels
        Name to print for each model, in the order of the bars.
    rois
        Regions in the order of the panels.
    false_discovery_rate
        A bar whose ``p_adjusted`` lies below gets a mark.
    confidence
        Coverage of the intervals, for the legend.
    n_subjects
        Subjects of the study. Regions that fewer have are named below the figure.
    space
        Where the regions are, for the note below the figure.
    source
        Config key ``source``.
    contrasts
        From `contrasts_with_first`: a triangle below a bar whose model differs from the first, ``p_adjusted`` below
        ``false_discovery_rate``, points to where it lies. None marks nothing.

    Returns
    -------
    Figure
        Its axes carry the labels ``r: <roi>``, ``ratio: <roi>`` and, where the axis is broken, ``ceiling: <roi>``.
    """
    rows = {(row["roi"], row["model"]): row for row in table.to_dict("records")}
    ceilings = _ceilings(table)
    low, high = _limits(subject_means["r"], table["r"], table["r_low"], table["r_high"])
    highest = ceilings["ceiling_upper"].max() if len(ceilings) else high
    broken = highest > FAR_ABOVE * high
    if not broken:
        high = max(high, 1.04 * highest)
    ratios_and_ends = table[["ratio_to_lower", "ratio_to_lower_low", "ratio_to_lower_high"]].to_numpy(float).ravel()
    ratio_limits = _limits(np.clip(ratios_and_ends, *RATIO_AXIS))

    columns, width = _page(len(rois), len(labels))
    panel_width = (width - LEFT - EDGE + GAP) / columns - GAP
    beyond = (
        np.nanmin(ratios_and_ends, initial=0) < ratio_limits[0]
        or np.nanmax(ratios_and_ends, initial=0) > ratio_limits[1]
    )
    over_all_pairs = bool((table["pairs"] == "all").any())
    marks = _marks(
        confidence,
        false_discovery_rate,
        over_all_pairs=over_all_pairs,
        with_intervals=bool(table["r_low"].notna().any()),
        with_tests=bool(table["p_adjusted"].notna().any()),
        with_ceilings=len(ceilings) > 0,
        with_arrows=bool(beyond),
    )
    significant = _significant(contrasts, false_discovery_rate)
    if contrasts is not None and contrasts["p_adjusted"].notna().any():
        marks += _contrast_marks(contrasts, next(iter(labels.values())), false_discovery_rate)
    legends, legend_height = _legends(labels, marks, width)
    sentences = [
        f"Regions in {space}.",
        ALL_PAIRS_NOTE if over_all_pairs else "",
        _not_compared(contrasts, labels),
        _fewer_subjects(table, n_subjects),
        *_why_not_tested(table),
        _why_left_out(table),
    ]
    note = _note(sentences, width)
    below = EDGE + NOTE_LINE * max(len(note), 1) + 0.05 + legend_height
    height = below + NUMBERS_LINE * _numbered(labels) + ROW_HEIGHT * math.ceil(len(rois) / columns) + EDGE
    figure = new_figure(width, height)
    for number, roi in enumerate(rois):
        row, column = divmod(number, columns)
        corner = (LEFT + column * (panel_width + GAP), height - EDGE - TITLE - row * ROW_HEIGHT)
        bars, ratios, above = _add_panels(figure, roi, corner, panel_width, broken)
        bars.set_ylim(low, high)
        ratios.set_ylim(ratio_limits)
        if above is not None:
            _break_axis(above, bars, ceilings.to_numpy().ravel())
        if roi in ceilings.index:
            for axes in filter(None, (bars, above)):
                axes.axhspan(ceilings["ceiling_lower"][roi], ceilings["ceiling_upper"][roi], **CEILING)
        for at, (model, colour) in enumerate(zip(labels, model_colours(len(labels)), strict=True)):
            means = subject_means[(subject_means["roi"] == roi) & (subject_means["model"] == model)]["r"]
            numbers = rows[roi, model]
            _draw_bar(bars, at, colour, numbers, means.to_numpy(float))
            _draw_significance(
                bars,
                at,
                numbers=numbers,
                means=means,
                level=false_discovery_rate,
                first_minus_this=significant.get((roi, model)),
            )
            _draw_ratio(ratios, at, colour, numbers)
        for axes in filter(None, (bars, ratios, above)):
            axes.set(xlim=(-0.7, len(labels) - 0.3), xticks=[])
            axes.spines["bottom"].set_visible(False)
            if column > 0:
                axes.tick_params(left=False, labelleft=False)
        if _numbered(labels):
            ratios.set_xticks(range(len(labels)), [str(number) for number in range(1, 1 + len(labels))])
            ratios.tick_params(axis="x", length=0, labelsize=6)
        if column == 0:
            _label_axes(bars, ratios, table["measure"].iloc[0], panel_width)
    _draw_legends(figure, legends, below)
    figure.text(LEFT / width, 0.08 / height, "\n".join(note), va="bottom", linespacing=1.1, **NOTE)
    stamp(figure, source)
    return figure


def _page(n_rois: int, n_models: int) -> tuple[int, float]:
    """Regions side by side, and the width of the page in inches."""
    region_width = max(1.55, 0.22 * n_models)
    columns = max(1, min(n_rois, REGIONS_PER_ROW, int((WIDEST - LEFT) / region_width)))
    return columns, max(LEFT + columns * region_width, 6.5)


def _add_panels(
    figure: Figure, roi: str, corner: tuple[float, float], width: float, broken: bool
) -> tuple[Axes, Axes, Axes | None]:
    """Add a region's panels, from an upper left corner in inches: bars, ratios, and the upper part of a broken axis."""
    left, top = corner
    strip = STRIP_HEIGHT + 0.07 if broken else 0.0
    bars = add_panel(figure, f"r: {roi}", (left, top - BARS_HEIGHT, width, BARS_HEIGHT - strip))
    bottom = top - BARS_HEIGHT - BETWEEN - RATIOS_HEIGHT
    ratios = add_panel(figure, f"ratio: {roi}", (left, bottom, width, RATIOS_HEIGHT))
    above = add_panel(figure, f"ceiling: {roi}", (left, top - STRIP_HEIGHT, width, STRIP_HEIGHT)) if broken else None
    (above or bars).set_title(roi, pad=5)
    for axes in (bars, ratios):
        axes.axhline(0, color="0.3", linewidth=0.6)
    ratios.axhline(1, color="0.6", linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
    return bars, ratios, above


def _label_axes(bars: Axes, ratios: Axes, measure: str, panel_width: float) -> None:
    bars.set_ylabel(MEASURE_LABELS[measure])
    ratios.set_ylabel("ratio to the lower\nbound of the ceiling")
    for axes in (bars, ratios):
        axes.yaxis.set_label_coords(-0.52 / panel_width, 0.5)


def _ceilings(table: pd.DataFrame) -> pd.DataFrame:
    """Lower and upper bound of each region that has them; the same for all models."""
    bounds = ["ceiling_lower", "ceiling_upper"]
    return table.dropna(subset=bounds).drop_duplicates("roi").set_index("roi")[bounds].astype(float)


def _limits(*columns: Sequence[float] | pd.Series) -> tuple[float, float]:
    """Limits of an axis that holds zero and all finite values, with room for a mark above them."""
    values = np.concatenate([[0.0], *(np.asarray(column, dtype=float) for column in columns)])
    values = values[np.isfinite(values)]
    extent = float(np.ptp(values))
    if not extent:
        return -0.04, 1.0
    return float(values.min() - 0.04 * extent), float(values.max() + 0.12 * extent)


def _marks(
    confidence: float,
    false_discovery_rate: float,
    *,
    over_all_pairs: bool,
    with_intervals: bool,
    with_tests: bool,
    with_ceilings: bool,
    with_arrows: bool,
) -> list[Artist]:
    of_subject = "a subject, over all pairs" if over_all_pairs else "mean of a subject's own image sets"
    marks: list[Artist] = [Line2D([], [], label=of_subject, **DOTS)]
    if with_intervals:
        marks.append(Line2D([], [], label=f"{100 * confidence:g} % interval over subjects", **INTERVAL))
    if with_tests:
        marks.append(Line2D([], [], label=f"differs from 0, adjusted p < {false_discovery_rate:g}", **SIGNIFICANT))
    if with_ceilings:
        marks.append(Patch(label="noise ceiling (between subjects, shared images)", **CEILING))
    if with_arrows:
        marks.append(Line2D([], [], label="reaches beyond the axis", color="black", marker="^", **BEYOND))
    return marks


def _not_compared(contrasts: pd.DataFrame | None, labels: Mapping[str, str]) -> str:
    if contrasts is None:
        return ""
    first, *others = labels
    compared = set(contrasts.loc[contrasts["p_adjusted"].notna(), "minus"])
    left = [labels[model] for model in others if model not in compared]
    return f"Not tested against “{labels[first]}”: {', '.join(left)}." if left else ""


def _significant(contrasts: pd.DataFrame | None, level: float) -> dict[tuple[str, str], float]:
    """Difference from the first model of each region and model that differs from it."""
    if contrasts is None:
        return {}
    found = contrasts[contrasts["p_adjusted"] < level]
    return {(str(row["roi"]), str(row["minus"])): float(row["difference"]) for row in found.to_dict("records")}


def _contrast_marks(contrasts: pd.DataFrame, first: str, level: float) -> list[Artist]:
    corrections = ", ".join(contrasts["correction"].unique())
    return [
        Line2D([], [], marker=marker, label=f"{word} “{first}”, paired, p < {level:g} ({corrections})", **DIFFERENT)
        for marker, word in (("v", "below"), ("^", "above"))
    ]


def _numbered(labels: Mapping[str, str]) -> bool:
    """Whether bars have numbers: there are too many for colours that can be told apart."""
    return len(labels) > len(PALETTE)


def _legends(labels: dict[str, str], marks: list[Artist], width: float) -> tuple[list[tuple[list[Artist], int]], float]:
    """Arrange the legends of models and of marks: handles and number of columns of each, and the height in inches."""
    colours = model_colours(len(labels))
    names = [
        f"{number} {label}" if _numbered(labels) else label for number, label in enumerate(labels.values(), start=1)
    ]
    models: list[Artist] = [Patch(color=colour, label=name) for name, colour in zip(names, colours, strict=True)]
    legends = [
        (handles, max(min(len(handles), int((width - LEFT) / inches)), 1))
        for handles, inches in ((models, 1.7), (marks, 2.9))
    ]
    height = sum(LEGEND_LINE * math.ceil(len(handles) / n_columns) + 0.04 for handles, n_columns in legends)
    return legends, height


def _draw_legends(figure: Figure, legends: list[tuple[list[Artist], int]], top: float) -> None:
    width, height = figure.get_size_inches()
    for handles, n_columns in legends:
        figure.legend(
            handles=handles,
            ncols=n_columns,
            loc="upper left",
            bbox_to_anchor=(LEFT / width, top / height),
            borderaxespad=0,
            borderpad=0,
            handlelength=1.4,
            labelspacing=0.4,
            columnspacing=1.6,
        )
        top -= LEGEND_LINE * math.ceil(len(handles) / n_columns) + 0.04


def _fewer_subjects(table: pd.DataFrame, n_subjects: int) -> str:
    counts = table.drop_duplicates("roi").set_index("roi")["n_subjects"]
    fewer = ", ".join(f"{roi} {n}" for roi, n in counts[counts < n_subjects].items())
    return f"Regions that fewer than all {n_subjects} subjects have: {fewer}." if fewer else ""


def _why_not_tested(table: pd.DataFrame) -> list[str]:
    """Sentences that say why bars have no test, or no interval either, with their regions unless it is all bars."""
    reasons = table["test_left_out"].replace("", np.nan).dropna()
    sentences = []
    for reason, bars in table.loc[reasons.index].groupby("test_left_out", sort=False):
        where = "" if len(bars) == len(table) else f" in {', '.join(bars['roi'].unique())}"
        what = "No test" if bars["r_low"].notna().any() else "No test and no interval"
        sentences.append(f"{what}{where}: {reason}.")
    return sentences


def _why_left_out(table: pd.DataFrame) -> str:
    reasons = table["ratio_left_out"].replace("", np.nan).dropna().unique()
    return f"× ratio left out: {'; '.join(reasons)}" if len(reasons) else ""


def _note(sentences: list[str], width: float) -> list[str]:
    return [line for text in sentences if text for line in textwrap.wrap(text, int(14 * (width - LEFT - 2)))]


def _break_axis(above: Axes, below: Axes, bounds: NDArray[np.float64]) -> None:
    """Give the upper part of a broken axis the bounds of ceilings that the lower part cannot hold; mark the break."""
    end = below.get_ylim()[1]
    beyond = bounds[bounds > end]
    room = 0.1 * np.ptp(beyond) + 0.02
    above.set_ylim(max(beyond.min() - room, end), beyond.max() + room)
    above.locator_params(axis="y", nbins=3)
    for axes, at in ((above, 0), (below, 1)):
        axes.plot(0, at, transform=axes.transAxes, clip_on=False, **BREAK)


def _draw_bar(axes: Axes, at: int, colour: str, numbers: Mapping[Hashable, Any], means: NDArray[np.float64]) -> None:
    axes.bar(at, numbers["r"], BAR_WIDTH, color=colour, linewidth=0)
    axes.plot([at, at], [numbers["r_low"], numbers["r_high"]], solid_capstyle="butt", **INTERVAL)
    # A subject stands at the same place within every bar of a region.
    spread = np.linspace(-0.3, 0.3, means.size) * BAR_WIDTH if means.size > 1 else 0
    axes.plot(at + spread, means, **DOTS)


def _draw_significance(
    axes: Axes,
    at: int,
    *,
    numbers: Mapping[Hashable, Any],
    means: pd.Series,
    level: float,
    first_minus_this: float | None,
) -> None:
    """Mark a mean that differs from zero above its bar, and one that differs from the first model's below the axis."""
    low, high = axes.get_ylim()
    if numbers["p_adjusted"] < level:
        tallest = max(_finite([0, numbers["r"], numbers["r_high"], *means]))
        axes.plot(at, tallest + 0.045 * (high - low), **SIGNIFICANT)
    if first_minus_this is not None:
        axes.plot(at, low - 0.03 * (high - low), marker="v" if first_minus_this > 0 else "^", **DIFFERENT)


def _draw_ratio(axes: Axes, at: int, colour: str, numbers: Mapping[Hashable, Any]) -> None:
    if not pd.isna(numbers["ratio_left_out"]) and numbers["ratio_left_out"]:
        axes.plot(at, 0, clip_on=False, **LEFT_OUT)
        return
    ends = [numbers["ratio_to_lower_low"], numbers["ratio_to_lower_high"]]
    axes.plot([at, at], ends, color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(at, numbers["ratio_to_lower"], color=colour, **RATIO)
    bottom, top = axes.get_ylim()
    if min(ends) < bottom:
        axes.plot(at, bottom, color=colour, marker="v", **BEYOND)
    if max(ends) > top:
        axes.plot(at, top, color=colour, marker="^", **BEYOND)


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]
