"""Figures of maps on the cortex: inflated and flat hemispheres of the group, thresholded or not, and of each subject.

Draws the statistics of ``inference.maps`` on the views of ``cortex``; computes nothing but places on the page.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from capcortex.figures.cortex import (
    COARSE,
    COLOURS,
    DIRECTIONS,
    NO_VALUE,
    SIDES,
    SULCUS,
    Cortex,
    Values,
    View,
    cast_views,
    half_lines,
    outline,
    paint,
)
from capcortex.figures.style import NOTE, add_panel, new_figure, stamp
from capcortex.inference.tests import least_sign_flip_p

FAMILY_WISE = 0.05

OUTLINE: dict[str, Any] = {"color": "0.15", "linewidth": 0.45}
SURVIVES: dict[str, Any] = {"color": "#F0E442", "linewidth": 0.9}
SILHOUETTE: dict[str, Any] = {"color": "0.45", "linewidth": 0.4}

# Twice the pixels of a saved figure, so that edges come out smooth.
PIXELS_PER_INCH = 400
NUMBER: dict[str, Any] = {
    "ha": "center",
    "va": "center_baseline",
    "fontsize": 5.5,
    "path_effects": [withStroke(linewidth=1.2, foreground="white")],
}
# A number is written where this many inches around it belong to its region.
NUMBER_ROOM = 0.045
# Sizes on the page in inches.
WIDTH, EDGE, NOTE_LINE, GAP = 7.4, 0.1, 0.13, 0.05


class Regions(NamedTuple):
    """Regions to outline: label of each vertex, left then right hemisphere, and the label of each name."""

    labels: NDArray[np.int64]
    names: dict[str, int]


def colour_limit(*maps: Values) -> float:
    """Return the value of the last colour: 99.5 % of the maps' values lie nearer to zero, rounded up to two digits.

    The largest value, where this is zero; one, where there is none but zero.
    """
    sizes = np.abs(np.concatenate(maps))
    sizes = sizes[np.isfinite(sizes)]
    limit = float(np.quantile(sizes, 0.995) or sizes.max()) if sizes.size else 0.0
    if not limit:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(limit)) - 1)
    return float(f"{np.ceil(limit / unit - 1e-9) * unit:.2g}")


def draw_group_map(
    mean: Values,
    p_fdr: Values,
    p_sign_flip: Values,
    *,
    cortex: Cortex,
    regions: Regions,
    title: str,
    quantity: str,
    n_subjects: int,
    test_left_out: str,
    false_discovery_rate: float,
    source: str,
) -> Figure:
    """Draw the group map of a model, or of the contrast of two: all of it on the left, what is significant on the right.

    Parameters
    ----------
    mean
        (n_vertices,) mean over subjects; NaN where no subject has a value.
    p_fdr
        (n_vertices,) p of the t test, adjusted for the false discovery rate; NaN where not tested.
    p_sign_flip
        (n_vertices,) p of the sign-flip maximum statistic; NaN where not tested. Those below 0.05 are outlined.
    cortex
        From `load_meshes`.
    regions
        Regions to outline; where there is room, with their number in the order of the names.
    title
        Label of the model, or of both.
    quantity
        What a subject's map holds, for the colour bar: ``RDM correlation (Pearson r)``.
    n_subjects
        Number of subjects.
    test_left_out
        Why no vertex has a test; empty where some have.
    false_discovery_rate
        Vertices whose ``p_fdr`` lies below get a colour on the right.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the labels ``<block>: <left or right> <lateral, medial or flat>`` with the blocks ``unthresholded``
        and ``thresholded``, and ``colour bar``.

    Raises
    ------
    ValueError
        If a map or the labels have another length than the cortex.
    """
    _require_lengths(cortex, {"mean": mean, "p_fdr": p_fdr, "p_sign_flip": p_sign_flip, "labels": regions.labels})
    significant, survives = p_fdr < false_discovery_rate, p_sign_flip < FAMILY_WISE
    n_tested = np.isfinite(p_fdr).sum()
    blocks = {
        "unthresholded": ("Unthresholded", "every vertex that has a value", None),
        "thresholded": (
            "Thresholded: nothing, without tests"
            if test_left_out
            else f"Thresholded: adjusted p < {false_discovery_rate:g}",
            test_left_out
            or f"t test, false discovery rate over vertices: {significant.sum():,} of {n_tested:,} vertices",
            significant,
        ),
    }
    left, between = 0.3, 0.25
    column = (WIDTH - left - EDGE - between - 2 * GAP) / 4
    views = cast_views(cortex, round(column * PIXELS_PER_INCH))
    heights = {side: column * np.divide(*views["lh", side].covered.shape) for side in ("lateral", "medial", "flat")}
    outlines = {key: _region_outlines(view, regions) for key, view in views.items()}
    numbers = {key: _number_places(view, regions) for key, view in views.items()}
    limit = colour_limit(mean)
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(regions.names, start=1))
    about = [f"Regions: {listed}."]
    if n_subjects > 1:
        about.append("Mean over the subjects that have a value at a vertex; tested where all have one.")
    least = least_sign_flip_p(n_subjects)
    if not test_left_out and least >= FAMILY_WISE:
        about.append(
            f"With {n_subjects} subjects a sign-flip p is never below {least:g}, so that no vertex can reach {FAMILY_WISE:g}."
        )
    notes = _wrap(*about, *_about_maps(cortex))
    below = _footer_height(notes)
    top = below + sum(heights.values()) + 3 * GAP
    figure = _new_page(top + 0.8, title)
    for at, (block, (heading, explanation, shown)) in enumerate(blocks.items()):
        start = left + at * (2 * column + GAP + between)
        _write(figure, (start, top + 0.31), heading, fontsize=9)
        _write(figure, (start, top + 0.18), explanation, **NOTE)
        for across, (hemisphere, name) in enumerate(SIDES.items()):
            corner, bottom = start + across * (column + GAP), top
            _write(figure, (corner + column / 2, top), f"{name} hemisphere", ha="center", **NOTE)
            for side, height in heights.items():
                bottom -= height + GAP
                key = hemisphere, side
                axes = add_panel(figure, f"{block}: {name} {side}", (corner, bottom, column, height))
                _draw_view(axes, views[key], paint(views[key], mean, limit, shown), outlines[key])
                if shown is None:
                    for number, place in numbers[key].items():
                        axes.annotate(str(number), place, **NUMBER)
                else:
                    axes.add_collection(LineCollection(outline(views[key], survives), **SURVIVES))
                if at == across == 0:
                    _write(figure, (0.12, bottom + height / 2), side, rotation=90, **NOTE | {"va": "center"})
    bar_label = f"mean {quantity} over {n_subjects} subjects" if n_subjects > 1 else f"{quantity} of the only subject"
    legend: list[Artist] = [Patch(color=str(SULCUS), label="not significant, or not tested (thresholded only)")]
    if not test_left_out:
        found = f"sign-flip maximum statistic p < {FAMILY_WISE:g}: {survives.sum():,} vertices"
        legend.append(Line2D([], [], label=found, **SURVIVES))
    _draw_footer(figure, notes, limit=limit, maps=[mean], label=bar_label, legend=legend)
    stamp(figure, source)
    return figure


def draw_subject_maps(
    maps: Mapping[str, Values],
    mean: Values,
    *,
    cortex: Cortex,
    regions: Regions,
    title: str,
    quantity: str,
    source: str,
) -> Figure:
    """Draw the whole map of each subject, and their mean in the last row, with the same colours.

    Parameters
    ----------
    maps
        (n_vertices,) map of each subject; NaN where a vertex has no value.
    mean
        (n_vertices,) mean over subjects.
    cortex, regions, title, quantity, source
        As for `draw_group_map`; regions are outlined without their numbers.

    Returns
    -------
    Figure
        Its axes carry the labels ``<subject or mean>: <left or right> <lateral, medial or flat>`` and ``colour bar``.

    Raises
    ------
    ValueError
        If a map or the labels have another length than the cortex.
    """
    rows = {**maps, "mean": mean}
    _require_lengths(cortex, {**rows, "labels": regions.labels})
    views = cast_views(cortex, round(1.2 * PIXELS_PER_INCH))
    outlines = {key: _region_outlines(view, regions) for key, view in views.items()}
    limit = colour_limit(*rows.values())
    left = 0.6
    across_up = {key: view.covered.shape[1] / view.covered.shape[0] for key, view in views.items()}
    height = (WIDTH - left - EDGE - 5 * GAP) / sum(across_up.values())
    alone = ["Of one subject the mean is its own map."] if len(maps) == 1 else []
    notes = _wrap(f"Regions: {', '.join(regions.names)}.", *alone, *_about_maps(cortex))
    below = _footer_height(notes)
    figure = _new_page(below + len(rows) * (height + GAP) + 0.64, title)
    bottom = below + len(rows) * (height + GAP)
    _write(figure, (EDGE, bottom + 0.2), "Unthresholded: every vertex that has a value, in each subject.", **NOTE)
    for row, values in rows.items():
        corner = left
        for key in DIRECTIONS:
            hemisphere, side = key
            name, width = f"{SIDES[hemisphere]} {side}", height * across_up[key]
            if row == next(iter(rows)):
                _write(figure, (corner + width / 2, bottom), name, ha="center", **NOTE)
            axes = add_panel(figure, f"{row}: {name}", (corner, bottom - GAP - height, width, height))
            _draw_view(axes, views[key], paint(views[key], values, limit), outlines[key])
            corner += width + GAP
        weight = "bold" if row == "mean" else "normal"
        _write(figure, (EDGE, bottom - GAP - height / 2), row, va="center", fontweight=weight)
        bottom -= height + GAP
    _draw_footer(figure, notes, limit=limit, maps=list(rows.values()), label=quantity, legend=[])
    stamp(figure, source)
    return figure


def group_numbers(
    mean: Values,
    p_fdr: Values,
    p_sign_flip: Values,
    *,
    regions: Regions,
    test_left_out: str,
    false_discovery_rate: float,
) -> pd.DataFrame:
    """List what `draw_group_map` shows of each region; the maps' own files hold every vertex.

    Parameters
    ----------
    mean, p_fdr, p_sign_flip, regions, test_left_out, false_discovery_rate
        As for `draw_group_map`.

    Returns
    -------
    DataFrame
        One row for each region and hemisphere, and for the vertices outside of all regions (``outside``): ``region``,
        ``hemisphere``, ``n_vertices``, ``n_with_value``, ``mean`` over the vertices that have a value, ``peak`` (the
        value farthest from zero), ``peak_vertex`` (its 0-based vertex of the hemisphere), ``n_significant``
        (``p_fdr`` below the rate), ``n_sign_flip`` (``p_sign_flip`` below 0.05), and ``test_left_out``: why these two are
        missing.
    """
    counted = {"n_significant": p_fdr < false_discovery_rate, "n_sign_flip": p_sign_flip < FAMILY_WISE}
    table = _list_regions(mean, regions, counted).assign(test_left_out=test_left_out)
    if test_left_out:
        table[list(counted)] = pd.NA
    return table


def subject_numbers(maps: Mapping[str, Values], mean: Values, *, regions: Regions) -> pd.DataFrame:
    """List what `draw_subject_maps` shows of each region.

    Parameters
    ----------
    maps, mean, regions
        As for `draw_subject_maps`.

    Returns
    -------
    DataFrame
        The rows of `group_numbers` for each map, without counts of significant vertices, after ``map``: a subject, or
        ``mean``.
    """
    tables = [_list_regions(values, regions, {}).assign(map=name) for name, values in {**maps, "mean": mean}.items()]
    table = pd.concat(tables, ignore_index=True)
    return table[["map", *table.columns.drop("map")]]


def _list_regions(values: Values, regions: Regions, counted: Mapping[str, NDArray[np.bool_]]) -> pd.DataFrame:
    half = values.size // 2
    inside = {name: regions.labels == label for name, label in regions.names.items()}
    inside["outside"] = ~np.isin(regions.labels, list(regions.names.values()))
    rows = []
    for name, region in inside.items():
        for at, hemisphere in enumerate(SIDES):
            vertices = at * half + np.flatnonzero(region[at * half : (at + 1) * half])
            known = vertices[np.isfinite(values[vertices])]
            peak = known[np.abs(values[known]).argmax()] if known.size else None
            rows.append(
                {
                    "region": name,
                    "hemisphere": hemisphere,
                    "n_vertices": vertices.size,
                    "n_with_value": known.size,
                    "mean": values[known].mean() if known.size else np.nan,
                    "peak": np.nan if peak is None else values[peak],
                    "peak_vertex": pd.NA if peak is None else peak - at * half,
                }
                | {count: np.count_nonzero(chosen[vertices]) for count, chosen in counted.items()}
            )
    return pd.DataFrame(rows).astype({"peak_vertex": "Int64"})


def _require_lengths(cortex: Cortex, vectors: Mapping[str, NDArray]) -> None:
    for name, vector in vectors.items():
        if vector.shape != (cortex.n_vertices,):
            raise ValueError(f"{name}: shape {vector.shape}, but the cortex has {cortex.n_vertices} vertices")


def _region_outlines(view: View, regions: Regions) -> list[Values]:
    return [line for label in regions.names.values() for line in outline(view, regions.labels == label)]


def _number_places(view: View, regions: Regions) -> dict[int, tuple[float, float]]:
    """Where the number of each region has room: the pixel that is farthest from the region's border."""
    coarse = 4
    places = {}
    nearest = np.take_along_axis(view.vertices, view.weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    shown = np.zeros(view.covered.shape, dtype=np.int64)
    shown[view.covered] = regions.labels[nearest]
    for number, label in enumerate(regions.names.values(), start=1):
        room = distance_transform_edt(np.pad(shown[::coarse, ::coarse] == label, 1))[1:-1, 1:-1] * coarse
        if room.max() > NUMBER_ROOM * PIXELS_PER_INCH:
            row, column = np.unravel_index(room.argmax(), room.shape)
            places[number] = (float(column * coarse), float(row * coarse))
    return places


def _new_page(height: float, title: str) -> Figure:
    lines = textwrap.wrap(title, 68, break_on_hyphens=False)
    height += 0.17 * (len(lines) - 1)
    figure = new_figure(WIDTH, height)
    _write(figure, (EDGE, height - EDGE), "\n".join(lines), va="top", fontsize=10, fontweight="bold")
    return figure


def _write(figure: Figure, place: tuple[float, float], text: str, **look: Any) -> None:
    """Write a text at a place in inches; it stands on it, unless told otherwise."""
    across, up = figure.get_size_inches()
    figure.text(place[0] / across, place[1] / up, text, **{"va": "bottom", **look})


def _draw_view(axes: Axes, view: View, picture: NDArray[np.uint8], lines: Sequence[Values]) -> None:
    axes.imshow(picture, origin="lower", interpolation="antialiased")
    axes.add_collection(LineCollection(half_lines(view.covered), **SILHOUETTE))
    axes.add_collection(LineCollection(lines, **OUTLINE))
    axes.set_axis_off()


def _wrap(*sentences: str) -> list[str]:
    """Break notes into lines that leave room for the stamp."""
    return [line for sentence in sentences for line in textwrap.wrap(sentence, 112)]


def _about_maps(cortex: Cortex) -> list[str]:
    half = cortex.n_vertices // 2
    about = ["Colours are a little darker in sulci, so that these can be seen."]
    if half > COARSE:
        which = "All" if len(cortex.inflated["lh"].points) == COARSE else "Flat"
        about.append(f"{which} views show the first {COARSE:,} of {half:,} vertices of each hemisphere (fsaverage5).")
    return about


def _footer_height(notes: list[str]) -> float:
    return EDGE + NOTE_LINE * len(notes) + 0.82


def _draw_footer(
    figure: Figure, notes: list[str], *, limit: float, maps: list[Values], label: str, legend: list[Artist]
) -> None:
    """Draw the colour bar on the left, the legend on the right, and the notes below them."""
    across, up = figure.get_size_inches()
    top = _footer_height(notes)
    beyond = any((np.abs(values) > limit).any() for values in maps)
    bar = add_panel(figure, "colour bar", (0.6, top - 0.28, 2.6, 0.11))
    ticks = [-limit, -limit / 2, 0, limit / 2, limit]
    scale = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), COLOURS),
        cax=bar,
        orientation="horizontal",
        ticks=ticks,
        extend="both" if beyond else "neither",
    )
    scale.outline.set_linewidth(0.4)
    bar.set_xticklabels([f"{tick:g}".replace("-", "−") for tick in ticks])
    bar.set_xlabel("\n".join(textwrap.wrap(label, 50)))
    handles = [*legend, Line2D([], [], label="border of a region", **OUTLINE)]
    if any(np.isnan(values).any() for values in maps):
        handles.append(Patch(color=str(NO_VALUE), label="no value: not measured, or not analysed"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(3.9 / across, (top - 0.1) / up),
        borderaxespad=0,
        borderpad=0,
        handlelength=1.4,
        labelspacing=0.35,
    )
    _write(figure, (EDGE, 0.08), "\n".join(notes), linespacing=1.1, **NOTE)
