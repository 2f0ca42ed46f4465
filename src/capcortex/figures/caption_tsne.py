"""Figure "Caption embeddings in the plane": t-SNE of images by their captions, coloured by what they show.

Chooses images, lays them out and draws them. t-SNE: van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html.
Near points are alike; distances between far points, sizes and shapes of clusters mean nothing.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp
from capcortex.seeds import random_generator

MOST_IMAGES = 2000
"""More images are not laid out, but so many of them drawn at random: a few seconds, and points that can be seen."""

PERPLEXITY = 30.0
"""About how many neighbours each image is kept near; of few images a third."""

PLACES = ["id73k", "x", "y", "supercategory"]

# A colour for each of a palette's length, then again with another mark.
MARKS = ("o", "^", "s")
NOTHING = "0.75"

# Sizes on the page in inches.
SIDE, EDGE, ABOVE, BELOW, KEY = 4.6, 0.12, 0.42, 0.3, 1.55


def lay_out(features: xr.DataArray, seed: int) -> pd.DataFrame:
    """Place images in the plane, such that those with similar caption embeddings are near each other.

    Parameters
    ----------
    features : DataArray (id73k, feature)
        Mean caption embeddings; of more than `MOST_IMAGES` images so many are drawn at random.
    seed
        The study's seed: draws the images, and is t-SNE's own, which starts from principal components and hardly needs it.

    Returns
    -------
    DataFrame
        ``id73k``, ascending, ``x`` and ``y`` in no unit. Dissimilarity is one minus Pearson's r of two embeddings. The layout
        starts from the first two principal components.

    Raises
    ------
    ValueError
        If there are fewer than four images, or an embedding is not finite or constant.
    """
    from sklearn.manifold import TSNE

    ids = features["id73k"].to_numpy()
    if ids.size < 4:
        raise ValueError(f"features of {ids.size} images, expected at least 4 for t-SNE; use more sessions")
    generator = random_generator(seed, "figures", "caption-tsne")
    at = np.argsort(ids)
    if ids.size > MOST_IMAGES:
        at = at[np.sort(generator.choice(ids.size, MOST_IMAGES, replace=False))]
    values = features.to_numpy()[at].astype(np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    odd = ~(length > 0)
    if odd.any():
        raise ValueError(
            f"features: id73k {ids[at][odd][0]} and {odd.sum() - 1} more are constant or not finite, expected finite embeddings"
        )
    # The squared distance of vectors of length 1 is twice one minus their correlation; t-SNE squares distances.
    plane = TSNE(
        perplexity=min(PERPLEXITY, (at.size - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=int(generator.integers(2**31)),
    ).fit_transform(centred / length[:, None])
    return pd.DataFrame({"id73k": ids[at], "x": plane[:, 0], "y": plane[:, 1]})


def draw_caption_tsne(places: pd.DataFrame, *, encoder: str, n_images: int, source: str) -> Figure:
    """Draw images as points, coloured by supercategory.

    Parameters
    ----------
    places
        Columns `PLACES`; ``supercategory`` is categorical, and its last category stands for none. Colours go by the order of
        all categories, so that they are the same for any choice of images.
    encoder
        Name of the sentence encoder, for the note.
    n_images
        Images of which these are drawn.
    source
        Config key ``source``.

    Returns
    -------
    Figure
        Its axes carry the label ``plane``, the legend those supercategories that occur, with the number of their images.
    """
    width, height = EDGE + SIDE + KEY + EDGE, ABOVE + SIDE + BELOW
    figure = new_figure(width, height)
    axes = add_panel(figure, "plane", (EDGE, BELOW, SIDE, SIDE))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    names = list(places["supercategory"].cat.categories)
    colours = [*(PALETTE[number % len(PALETTE)] for number in range(len(names) - 1)), NOTHING]
    marks = [*(MARKS[number // len(PALETTE) % len(MARKS)] for number in range(len(names) - 1)), MARKS[0]]
    number = places["supercategory"].cat.codes.to_numpy()
    handles = []
    for code, name in enumerate(names):
        here = places[number == code]
        if here.empty:
            continue
        look: dict[str, Any] = {"linestyle": "", "marker": marks[code], "color": colours[code], "markeredgewidth": 0}
        axes.plot(here["x"], here["y"], markersize=3.2, alpha=0.8, **look)
        handles.append(Line2D([], [], markersize=5, label=f"{name} ({len(here):,})", **look))
    # Places have no unit, and the two directions the same scale.
    axes.set_aspect("equal", adjustable="datalim")
    top = (BELOW + SIDE) / height
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=((EDGE + SIDE) / width, top), handletextpad=0.3)
    figure.text(
        EDGE / width,
        1 - 0.1 / height,
        "Caption embeddings in the plane (t-SNE)",
        va="top",
        fontsize=10,
        fontweight="bold",
    )
    of_all = "all" if len(places) == n_images else f"{len(places):,} of"
    figure.text(EDGE / width, 0.08 / height, f"{of_all} {n_images:,} images; {encoder}", va="bottom", **NOTE)
    stamp(figure, source)
    return figure
