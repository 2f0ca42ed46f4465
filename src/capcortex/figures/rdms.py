"""Figure "Dissimilarity matrices": RDMs of models and regions on one image set, all with the images in one order.

An RDM comes as the vector of its pairs in row-major upper-triangle order, as ``rsa.rdm`` makes it.
"""

import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from capcortex.figures.style import NOTE, add_panel, new_figure, stamp
from capcortex.ids import Ids, require_equal
from capcortex.inference.ceilings import SHARED

Panels = Sequence[tuple[str, NDArray[np.float64]]]
"""Title and RDM vector of each panel."""

# Sizes on the page in inches.
PER_ROW, PANEL, GAP, TITLE, HEADING, EDGE, BELOW, NOTE_LINE = 7, 1.5, 0.12, 0.2, 0.24, 0.15, 0.56, 0.13


def shown_image_set(names: list[str]) -> str:
    """Choose the image set to draw: the first shared one, or the first of all if none is shared."""
    return next((name for name in names if name.startswith(SHARED)), names[0])


def mean_of_subjects(rdms: Mapping[str, xr.Dataset], image_set: str, ids: Ids) -> tuple[Panels, dict[str, int]]:
    """Mean RDM of each region over the subjects who have the region and an image set.

    Parameters
    ----------
    rdms
        For each subject, ``rdm`` (roi, image_set, pair), ``analysed`` (roi): whether the subject has the region, and
        ``id73k`` (image_set, image).
    image_set
        Name of the set.
    ids
        Its images, as the models have them.

    Returns
    -------
    panels
        Mean over subjects for each region, NaN where no subject has a value.
    n_subjects
        Number of subjects in the mean of each region.

    Raises
    ------
    ValueError
        If a subject's set holds other images, or the same in another order.
    """
    parts, have = [], []
    for subject, dataset in rdms.items():
        if image_set not in dataset["image_set"].to_numpy():
            continue
        chosen = dataset.sel(image_set=image_set)
        require_equal(chosen.isel(roi=0)["id73k"].to_numpy(), ids, left_name=subject, right_name="the models")
        parts.append(chosen["rdm"].to_numpy().astype(np.float64))
        have.append(dataset["analysed"].to_numpy())
        rois = [str(roi) for roi in dataset["roi"].to_numpy()]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        means = np.nanmean(parts, axis=0)
    counts = np.sum(have, axis=0, dtype=int).tolist()
    return list(zip(rois, means, strict=True)), dict(zip(rois, counts, strict=True))


def order_by_likeness(rdm: NDArray[np.floating]) -> NDArray[np.intp]:
    """Order images so that like ones stand together: leaves of an average-linkage tree, in the order of least steps.

    Parameters
    ----------
    rdm : ndarray of shape (n_pairs,)
        A pair that is not defined (NaN) counts as most different.
    """
    distances = np.nan_to_num(np.asarray(rdm, dtype=np.float64), nan=np.nanmax(rdm))
    return leaves_list(linkage(distances, "average", optimal_ordering=True)).astype(np.intp)


def pair_ranks(rdm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rank the dissimilarities of the defined pairs from 0 (most alike) to 1; ties share their mean rank."""
    ranks = scipy.stats.rankdata(rdm, nan_policy="omit")
    return (ranks - 1) / max(int(np.isfinite(rdm).sum()) - 1, 1)


def plotted_numbers(models: Panels, rois: Panels, ids: Ids, order: NDArray[np.intp]) -> pd.DataFrame:
    """List every number that `draw_rdms` draws, above the diagonal.

    Returns
    -------
    DataFrame
        ``kind`` (model or region), ``panel``, ``row_id73k``, ``column_id73k``, ``value`` (the drawn rank) and
        ``dissimilarity`` (what was ranked).
    """
    upper = np.triu_indices(ids.size, k=1)
    parts = []
    for kind, panels in (("model", models), ("region", rois)):
        for title, rdm in panels:
            values = {"value": pair_ranks(rdm), "dissimilarity": rdm}
            drawn = {name: squareform(vector)[np.ix_(order, order)][upper] for name, vector in values.items()}
            pairs = {"row_id73k": ids[order][upper[0]], "column_id73k": ids[order][upper[1]]}
            parts.append(pd.DataFrame({"kind": kind, "panel": title, **pairs, **drawn}))
    return pd.concat(parts, ignore_index=True)


def draw_rdms(
    models: Panels,
    rois: Panels,
    *,
    order: NDArray[np.intp],
    image_set: str,
    n_subjects: Mapping[str, int],
    ordered_by: str,
    source: str,
) -> Figure:
    """Draw RDMs as squares: models above, regions below.

    Every panel shows ranks of its own dissimilarities, because models and regions have distances of different kinds.

    Parameters
    ----------
    models, rois
        RDM of each panel.
    order
        Order of the images, the same in all panels.
    image_set
        Name of the set.
    n_subjects
        Subjects in the mean of each region. Where they differ, or there is none, every region says how many.
    ordered_by
        Name of the model whose RDM gave the order.
    source
        Config key ``source``.
    """
    columns = min(max(len(models), len(rois)), PER_ROW)
    counts = set(n_subjects.values())
    if len(counts) == 1 and 0 not in counts:
        heading, titles = f"Regions, {_subjects(*counts)}", dict.fromkeys(n_subjects, "")
    else:
        heading = "Regions, mean of the subjects who have them"
        titles = {roi: f" (n = {n})" for roi, n in n_subjects.items()}
    blocks = [("Models", models), (heading, rois)]
    rows = [math.ceil(len(panels) / columns) for _, panels in blocks]
    width = max(2 * EDGE + columns * (PANEL + GAP) - GAP, 6.5)
    note_left = EDGE + 1.5 + 0.2
    sentences = [
        "Colour: rank of the pair within its panel; grey: not defined.",
        f"Image set {image_set}, {order.size} images, ordered by hierarchical clustering of “{ordered_by}”.",
    ]
    if not image_set.startswith(SHARED):
        sentences.append("No image set is common to several subjects: the first subject's first set is shown.")
    if 0 in counts:
        sentences.append("n = 0: no subject with this image set has the region.")
    note = [line for sentence in sentences for line in textwrap.wrap(sentence, int(19 * (width - note_left)))]
    below = BELOW + NOTE_LINE * max(len(note) - 2, 0)
    height = sum(EDGE + HEADING + n * (TITLE + PANEL) for n in rows) + below + EDGE
    figure = new_figure(width, height)
    colours = colormaps["viridis"].with_extremes(bad="0.75")
    top = height - EDGE
    for (heading, panels), n_rows in zip(blocks, rows, strict=True):
        figure.text(EDGE / width, top / height, heading, va="top", fontsize=10, fontweight="bold")
        for number, (title, rdm) in enumerate(panels):
            row, column = divmod(number, columns)
            left = EDGE + column * (PANEL + GAP)
            bottom = top - HEADING - (row + 1) * (TITLE + PANEL)
            axes = add_panel(figure, title, (left, bottom, PANEL, PANEL))
            axes.set(xticks=[], yticks=[])
            axes.set_title(title + (titles.get(title, "") if panels is rois else ""), fontsize=8, pad=3)
            axes.spines[:].set_visible(False)
            image = axes.imshow(squareform(pair_ranks(rdm))[np.ix_(order, order)], cmap=colours, vmin=0, vmax=1)
        top -= HEADING + n_rows * (TITLE + PANEL) + EDGE
    bar = add_panel(figure, "colour scale", (EDGE, below - 0.14, 1.5, 0.09))
    figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[0, 1]).outline.set_visible(False)
    bar.set_xticklabels(["most alike", "most different"])
    bar.tick_params(length=0)
    low, high = bar.get_xticklabels()
    low.set_horizontalalignment("left")
    high.set_horizontalalignment("right")
    figure.text(note_left / width, below / height, "\n".join(note), va="top", linespacing=1.1, **NOTE)
    stamp(figure, source)
    return figure


def _subjects(n_subjects: int) -> str:
    return "one subject" if n_subjects == 1 else f"mean of {n_subjects} subjects"
