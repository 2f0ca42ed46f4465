"""Captions in numbers: how many an image has, how long they are, how much they agree, and what is odd about them.

Counts for the figure of captions (paper's Supplementary Fig. 1), from the tables of ``capcortex.text.captions`` and the mean
sentence vectors of the caption model; draws nothing.
"""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import positions
from capcortex.seeds import random_generator
from capcortex.text.captions import LINE_BREAKS
from capcortex.text.words import is_upper_case, words

QUANTITIES = (
    "captions_per_image",
    "words_per_caption",
    "mean_words_of_image",
    "similarity_within_images",
    "similarity_between_images",
)
"""What `measure_captions` measures, in this order."""

SHARE_COLUMNS = ["what", "of", "n", "count", "share"]

# Sentence vectors are single precision, and means of vectors of length 1 are never longer than 1.
_LONGEST_MEAN = 1 + 1e-4


def measure_captions(captions: pd.DataFrame, features: xr.DataArray, seed: int) -> dict[str, NDArray[np.float64]]:
    """Measure every image, or every caption.

    Parameters
    ----------
    captions
        Columns ``id73k``, ``position`` and ``caption``.
    features : DataArray (id73k, feature)
        Mean over the captions of each image of their sentence vectors.
    seed
        The study's seed, which pairs images at random.

    Returns
    -------
    dict
        Values of each of `QUANTITIES`. Words are those of `capcortex.text.words.words`. Similarities are means of the cosine
        over pairs of captions: within an image over the pairs of its own captions, between images over the pairs of a caption
        of the image and one of another image, each image with one other. Both follow from the means m of k vectors of length 1:

        ``within = (k |m|^2 - 1) / (k - 1)``, ``between = m · m'``.

        Images with one caption have no similarity within, and a study of one image none between. Where the encoder's vectors
        are longer than 1, neither is known from means, and both are empty.

    Raises
    ------
    ValueError
        If an image has captions and no features.
    """
    by_image = captions.assign(n_words=[len(words(caption)) for caption in captions["caption"]]).groupby("id73k")
    n_captions = by_image.size()
    ids = n_captions.index.to_numpy()
    k = n_captions.to_numpy(dtype=np.float64)
    means = features.to_numpy()[positions(ids, features["id73k"].to_numpy(), what="features")].astype(np.float64)
    squares = np.einsum("if,if->i", means, means)
    within = between = np.empty(0)
    if squares.max() <= _LONGEST_MEAN:
        several = k > 1
        within = (k[several] * squares[several] - 1) / (k[several] - 1)
        if ids.size > 1:
            order = random_generator(seed, "figures", "caption-statistics").permutation(ids.size)
            between = np.einsum("if,if->i", means[order], means[np.roll(order, 1)])
    values = (
        k,
        by_image.obj["n_words"].to_numpy(dtype=np.float64),
        by_image["n_words"].mean().to_numpy(),
        within,
        between,
    )
    return dict(zip(QUANTITIES, values, strict=True))


def count_oddities(captions: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """Count captions, and images, with some property.

    Parameters
    ----------
    captions
        Columns ``id73k``, ``position`` and ``caption``.
    counts
        From `capcortex.text.captions.count_captions`: of line breaks, which the table of captions no longer has, and of images
        without objects.

    Returns
    -------
    DataFrame
        Columns `SHARE_COLUMNS`: ``what`` in words, ``of`` captions or images, ``n`` of these in all, ``count`` and ``share``
        (fraction) of those with the property.
    """
    text = captions["caption"]
    value = counts.set_index("count")["value"]
    found = {
        "end in a full stop": text.str.endswith("."),
        "are in capitals": text.map(is_upper_case),
        "are the same as another of the image": captions.duplicated(["id73k", "caption"], keep=False),
        "have no word": ~text.map(lambda caption: bool(words(caption))),
    }
    n_captions, n_images = len(captions), captions["id73k"].nunique()
    rows = [(what, "captions", n_captions, int(mask.sum())) for what, mask in found.items()]
    rows.insert(2, ("had line breaks inside", "captions", n_captions, int(value[LINE_BREAKS])))
    rows.append(("have no annotated object", "images", n_images, int(value["images_without_objects"])))
    table = pd.DataFrame(rows, columns=SHARE_COLUMNS[:-1])
    return table.assign(share=table["count"] / table["n"])
