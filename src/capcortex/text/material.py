"""What text models are built from, and the parts that their builders share.

Between the readers of captions, objects, tags and word vectors, and the builders (``caption_models``, ``category_models``,
``own_models``), which ``capcortex.text.models`` lists.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import Ids, unique_ids
from capcortex.text.encoders import Encoder, Vectors, encode_sentences

# Images whose vectors are averaged in one go; bounds memory, does not change results.
_IMAGES_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that a builder may draw on.

    Attributes
    ----------
    captions
        See ``capcortex.text.captions.read_captions``.
    categories
        See ``capcortex.text.captions.read_categories``.
    tags
        See ``capcortex.text.words.tag_captions``; none for models that do not part words by kind.
    kind
        A key of ``capcortex.text.words.WORD_KINDS``, for a model of one kind of word; or none.
    encoder
        The model's sentence encoder, or none.
    seed
        The study's seed; none for builders that draw nothing.
    path
        The model's own file, or none.
    cache_folder
        Folder of the sentence cache, or none if no sentence is encoded.
    """

    captions: pd.DataFrame
    categories: pd.DataFrame
    tags: pd.DataFrame | None = None
    kind: str | None = None
    encoder: Encoder | None = None
    seed: int | None = None
    path: Path | None = None
    cache_folder: Path | None = None

    @property
    def id73k(self) -> Ids:
        """All images that have captions, ascending: shape (n_images,), int64."""
        return unique_ids(np.unique(self.captions["id73k"].to_numpy()), what="captions")


def labelled_features(ids: Ids, values: NDArray[Any], names: list[str] | None = None, **attrs: Any) -> xr.DataArray:
    """Label the rows of a model: ``features`` (id73k, feature) float32, with the builder's counts as attributes."""
    return xr.DataArray(
        np.asarray(values, dtype=np.float32),
        dims=("id73k", "feature"),
        coords={"id73k": ids, "feature": names or np.arange(values.shape[1])},
        name="features",
        attrs=attrs,
    )


def mean_of_texts(material: Material, ids: NDArray[Any], texts: list[str]) -> Vectors:
    """Average the sentence vectors of the texts of each image.

    Parameters
    ----------
    material
        With encoder and cache folder.
    ids : ndarray of shape (n_texts,)
        ``id73k`` of each text; every image has one at least.
    texts
        In any order.

    Returns
    -------
    ndarray of shape (n_images, n_dimensions), float32
        Rows in the order of ``material.id73k``.
    """
    if material.encoder is None or material.cache_folder is None:
        raise ValueError("this builder needs an encoder and a folder for the sentence cache")
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    vectors = encode_sentences(unique.tolist(), material.encoder, material.cache_folder)
    return mean_of_rows(material.id73k, ids, codes, vectors)


def mean_of_rows(images: Ids, ids: NDArray[Any], codes: NDArray[np.integer], vectors: Vectors) -> Vectors:
    """Average rows of a table of vectors for each image, in double precision.

    Parameters
    ----------
    images : ndarray of shape (n_images,)
        ``id73k``, ascending.
    ids : ndarray of shape (n_texts,)
        ``id73k`` of each text; every image has one at least, and there are no others.
    codes : ndarray of shape (n_texts,)
        Row of ``vectors`` of each text.
    vectors : ndarray of shape (n_vectors, n_dimensions), float32

    Returns
    -------
    ndarray of shape (n_images, n_dimensions), float32
    """
    order = np.argsort(ids, kind="stable")
    codes = codes[order]
    starts = np.append(np.searchsorted(ids[order], images), ids.size)
    mean = np.empty((images.size, vectors.shape[1]), np.float32)
    for low in range(0, len(mean), _IMAGES_AT_ONCE):
        high = min(low + _IMAGES_AT_ONCE, len(mean))
        here = vectors[codes[starts[low] : starts[high]]]
        sums = np.add.reduceat(here, starts[low:high] - starts[low], axis=0, dtype=np.float64)
        mean[low:high] = sums / np.diff(starts[low : high + 1])[:, np.newaxis]
    return mean
