"""Figure "Data quality": how reliable each subject's responses are, and how much of the data the analyses use.

Draws the tables of data quality and of ncsnr; computes nothing but places on the page.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp

NUMBERS = ["mark", "subject", "of", "value", "low", "high"]

# The units of each space as the table's columns name them, how the legend names the space, and its colour.
SPACES = {
    "func1pt8mm": ("voxels", "volume", PALETTE[0]),
    "fsaverage": ("vertices", "fsaverage", PALETTE[1]),
}
NOT_READ = {
    "func1pt8mm": "This study reads no volume betas: nothing is shown of voxels.",
    "fsaverage": "This study reads no surface betas: nothing is shown of vertices.",
}
# How often an image was shown, for the columns that count such images; how the legend names it, and its colour.
SHOWINGS = {
    "images_used": (3, "three times (used)", "0.35"),
    "images_shown_twice": (2, "twice", "0.65"),
    "images_shown_once": (1, "once", "0.85"),
}
QUARTILES: dict[str, Any] = {"color": "black", "linewidth": 1.2}
MEDIAN: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 3.8,
    "color": "black",
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}
SHARE: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4.2, "markeredgewidth": 1.0, "clip_on": False}

# Sizes on the page in inches.
HEIGHTS = {"ncsnr": 2.3, "units": 1.0, "trials": 1.0}
WIDTH, LEFT, RIGHT, TITLE, GAP, BELOW, EDGE = 5.6, 0.6, 0.6, 0.3, 0.25, 0.42, 0.1
# Places of subjects that a panel has room for at least: with fewer subjects marks would become too wide.
FEWEST_PLACES = 5
# Of the distance between two subjects: the widest bin of a distribution, from one dot to the next, a bar.
WIDEST, STEP, BAR = 0.44, 0.17, 0.62
# Bins with a smaller fraction of the widest bin's share cannot be seen; the axis of ncsnr ends below them.
LEAST_SEEN = 0.01
NOISE_CEILINGS = (95, 90, 80, 70, 60, 50, 40, 30, 20, 10, 5)


def plotted_numbers(quality: pd.DataFrame, ncsnr: pd.DataFrame) -> pd.DataFrame:
    """List every number that `draw_quality` draws.

    Parameters
    ----------
    quality
        One row for each subject; columns of ``nsd.quality.tabulate_quality``.
    ncsnr
        Distribution of ncsnr in nsdgeneral; columns of ``nsd.quality.tabulate_ncsnr``.

    Returns
    -------
    DataFrame
        One row for each drawn thing, with the columns `NUMBERS`. By ``mark``: ``bin``, the fraction of nsdgeneral's units
        ``of`` a space whose ncsnr lies from ``low`` to ``high`` (both 0: the fraction that is exactly 0); ``median`` ncsnr
        of a space, with quartiles; ``used``, percent of the voxels or vertices; ``trials``, percent of the trials, by how
        often their image was shown; ``images``, the number of images used.
    """
    bins = ncsnr.rename(columns={"space": "of", "share": "value", "ncsnr_from": "low", "ncsnr_to": "high"})
    rows: list[tuple[Any, ...]] = []
    for row in quality.to_dict("records"):
        subject = row["subject"]
        for space, (units, _, _) in SPACES.items():
            quartiles = [row[f"nsdgeneral_{units}_ncsnr_{which}"] for which in ("lower_quartile", "upper_quartile")]
            rows.append(("median", subject, space, row[f"nsdgeneral_{units}_ncsnr_median"], *quartiles))
            for part in (units, f"nsdgeneral_{units}"):
                rows.append(("used", subject, part, 100 * row[f"{part}_share_used"], np.nan, np.nan))
        for column, (showings, _, _) in SHOWINGS.items():
            share = 100 * showings * row[column] / row["trials"]
            rows.append(("trials", subject, column, share, np.nan, np.nan))
        rows.append(("images", subject, "images_used", row["images_used"], np.nan, np.nan))
    drawn = pd.DataFrame(rows, columns=NUMBERS).dropna(subset="value")
    return pd.concat([bins.assign(mark="bin").reindex(columns=NUMBERS), drawn], ignore_index=True)


def draw_quality(numbers: pd.DataFrame, source: str) -> Figure:
    """Draw the distribution of ncsnr, the share of units used and the share of trials used, subject by subject.

    Parameters
    ----------
    numbers
        From `plotted_numbers`.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the labels ``ncsnr``, ``noise ceiling`` (the right axis of the same panel), ``units`` and ``trials``.
        A note names the space whose betas the study does not read.
    """
    subjects = list(dict.fromkeys(numbers.loc[numbers["mark"] == "trials", "subject"]))
    spaces = [space for space in SPACES if ((numbers["mark"] == "median") & (numbers["of"] == space)).any()]
    of_mark = dict(list(numbers.groupby("mark")))
    width = LEFT + WIDTH + RIGHT
    height = EDGE + sum(HEIGHTS.values()) + len(HEIGHTS) * TITLE + (len(HEIGHTS) - 1) * GAP + BELOW
    figure = new_figure(width, height)
    panels, top = {}, height - EDGE
    for name, panel_height in HEIGHTS.items():
        panels[name] = add_panel(figure, name, (LEFT, top - TITLE - panel_height, WIDTH, panel_height))
        top -= TITLE + panel_height + GAP

    _draw_ncsnr(panels["ncsnr"], of_mark["bin"], of_mark["median"], subjects, spaces)
    _draw_units(panels["units"], of_mark["used"], subjects, spaces)
    _draw_trials(panels["trials"], of_mark["trials"], of_mark["images"], subjects)
    middle, half = (len(subjects) - 1) / 2, max(len(subjects), FEWEST_PLACES) / 2
    for axes in panels.values():
        axes.set_xlim(middle - half, middle + half)
        axes.tick_params(bottom=False)
        axes.yaxis.set_label_coords(-0.43 / WIDTH, 0.5)
    # A study without betas at all has no figure, so that at most one space is missing.
    for space, (units, _, _) in SPACES.items():
        if units not in set(of_mark["used"]["of"]):
            figure.text(LEFT / width, 0.08 / height, NOT_READ[space], va="bottom", **NOTE)
    stamp(figure, source)
    return figure


def _draw_ncsnr(axes: Axes, bins: pd.DataFrame, medians: pd.DataFrame, subjects: list[str], spaces: list[str]) -> None:
    """Draw the distribution above zero, all to one scale, and write below it how many units are exactly zero.

    Two spaces share a subject's place, one on each side of it; a single space takes both sides.
    """
    zero = bins["high"] == 0
    widest = bins["value"][~zero].max()
    # A single outlying voxel would otherwise shrink all distributions.
    highest = float(bins["high"][bins["value"] >= LEAST_SEEN * widest].max())
    for (subject, space), own in bins[~zero].groupby(["subject", "of"], sort=False):
        at, reach = subjects.index(str(subject)), WIDEST / widest * own["value"].to_numpy()
        left, right = _sides(str(space), spaces)
        axes.stairs(
            at + right * reach,
            [*own["low"], own["high"].iloc[-1]],
            baseline=at - left * reach,
            orientation="horizontal",
            fill=True,
            label=f"{subject} {space}",
            color=SPACES[str(space)][2],
            alpha=0.7,
            linewidth=0,
        )
    for row in medians.to_dict("records"):
        left, right = _sides(row["of"], spaces)
        place = subjects.index(row["subject"]) + 0.07 * (right - left)
        axes.plot([place, place], [row["low"], row["high"]], solid_capstyle="butt", **QUARTILES)
        axes.plot(place, row["value"], **MEDIAN)
    axes.set_ylim(0, highest)
    axes.set_ylabel("ncsnr (signal sd / noise sd)")
    zeros = bins[zero].set_index(["subject", "of"])["value"].to_dict()
    shares = [" | ".join(_percent(zeros.get((subject, space))) for space in spaces) for subject in subjects]
    look: dict[str, Any] = {"fontsize": 7, "color": "0.35"}
    axes.set_xticks(range(len(subjects)), [f"{share} %" for share in shares], **look)
    axes.annotate("at 0:", (0, 0), (-4, -7), "axes fraction", "offset points", ha="right", va="top", **look)

    ceilings = axes.twinx()
    ceilings.set_label("noise ceiling")
    places: dict[int, float] = {}
    for ceiling in NOISE_CEILINGS:
        # The ceiling is 100 ncsnr^2 / (ncsnr^2 + 1/3); solved for ncsnr. Numbers too near to one another are left out.
        height = float(np.sqrt(ceiling / (100 - ceiling) / 3))
        if height <= highest and all(abs(height - other) > 0.045 * highest for other in places.values()):
            places[ceiling] = height
    ceilings.set_ylim(0, highest)
    ceilings.set_yticks(list(places.values()), [str(ceiling) for ceiling in places])
    ceilings.spines["right"].set_visible(True)
    ceilings.set_ylabel("noise ceiling, mean of 3 (%)")
    marks: list[Artist] = [
        Patch(color=SPACES[space][2], alpha=0.7, linewidth=0, label=SPACES[space][1]) for space in spaces
    ]
    marks.append(Line2D([], [], label="median, quartiles", **(MEDIAN | {"linestyle": "-", "linewidth": 1.2})))
    _write_title(axes, "Signal to noise in nsdgeneral", marks)


def _draw_units(axes: Axes, used: pd.DataFrame, subjects: list[str], spaces: list[str]) -> None:
    """Draw a dot for each share of voxels or vertices: open for all of them, filled for those of nsdgeneral."""
    marks: list[Artist] = []
    for space in spaces:
        units, name, colour = SPACES[space]
        for part, label, inside in ((units, f"{name}, all", "white"), (f"nsdgeneral_{units}", "nsdgeneral", colour)):
            own = used[used["of"] == part]
            shift = STEP * (len(marks) - len(spaces) + 0.5)
            look = SHARE | {"color": colour, "markerfacecolor": inside}
            axes.plot([subjects.index(subject) + shift for subject in own["subject"]], own["value"], **look)
            marks.append(Line2D([], [], label=label, **look))
    lowest = min(99.0, np.floor(used["value"].min()))
    # Some room above, because most dots lie at 100.
    axes.set_ylim(lowest, 100 + 0.08 * (100 - lowest))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    axes.spines["left"].set_bounds(lowest, 100)
    axes.set_xticks([])
    axes.set_ylabel("used (%)")
    for at in range(len(subjects)):
        axes.axvline(at, color="0.9", linewidth=0.6, zorder=0)
    _write_title(axes, "Voxels and vertices", marks)


def _draw_trials(axes: Axes, trials: pd.DataFrame, images: pd.DataFrame, subjects: list[str]) -> None:
    """Stacked bars of trials by how often their image was shown; the number of images used stands in the bar."""
    floor = dict.fromkeys(subjects, 0.0)
    for column, (_, _, colour) in SHOWINGS.items():
        for row in trials[trials["of"] == column].to_dict("records"):
            subject = row["subject"]
            axes.bar(
                subjects.index(subject), row["value"], BAR, floor[subject], color=colour, label=f"{subject} {column}"
            )
            floor[subject] += row["value"]
    for row in images.to_dict("records"):
        at = subjects.index(row["subject"])
        axes.text(at, 4, f"{row['value']:,.0f}\nimages", color="white", fontsize=7, ha="center", va="bottom")
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])
    axes.set_xticks(range(len(subjects)), subjects)
    axes.set_ylabel("trials (%)")
    marks: list[Artist] = [Patch(color=colour, label=label) for _, label, colour in SHOWINGS.values()]
    _write_title(axes, "Trials whose image was shown", marks)


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.0f}"


def _sides(space: str, spaces: list[str]) -> tuple[int, int]:
    """Say whether a space's distribution extends to the left and to the right of a subject's place (1) or not (0)."""
    return int(space == spaces[0]), int(space == spaces[-1])


def _write_title(axes: Axes, text: str, marks: list[Artist]) -> None:
    """Write a panel's title at its upper left, and its legend at its upper right."""
    axes.set_title(text, loc="left", pad=8)
    axes.legend(
        handles=marks,
        ncols=len(marks),
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.6,
        borderpad=0,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.2,
        fontsize=7,
    )
