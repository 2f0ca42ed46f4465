"""Models of the objects that COCO's annotators outlined in an image: which, how many, how large, and their names.

Builders of ``capcortex.text.models``. They ask whether a list of objects would do in place of a caption; Doerig et al. 2025,
doi:10.1038/s42256-025-01072-0, compare multi-hot vectors and category names with captions.
"""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import positions
from capcortex.text.material import Material, labelled_features, mean_of_rows, mean_of_texts
from capcortex.text.word_vectors import read_word_vectors, rows_of_words

FILLER = "something"
"""Stands for the names of an image without objects, as in the paper."""

RELEASED_NAMES = {
    "fire hydrant": "fireplug",
    "stop sign": "signpost",
    "parking meter": "self-parking",
    "sports ball": "ball",
    "potted plant": "houseplant",
    "hair drier": "hairdryer",
}
"""COCO's names as the released code has them; further names of two words are joined by a hyphen there."""


def category_features(material: Material) -> xr.DataArray:
    """1 for every category of which an image has an annotated object, else 0.

    One column per category of the table, in the order of COCO's numbers, named as COCO names it. Images without objects
    have a row of zeros (``n_images_without_objects``). Objects of images that have no captions are left out.
    """
    return _table_of_categories(material, (_sums(material) > 0).astype(np.float32))


def category_count_features(material: Material) -> xr.DataArray:
    """Count the annotated objects of every category in an image; a crowd that is annotated as one counts as one.

    Columns, zeros and what is left out as in `category_features`.
    """
    return _table_of_categories(material, _sums(material))


def category_area_features(material: Material) -> xr.DataArray:
    """Area of every category in an image, summed over its objects, in squared pixels of the whole photograph.

    Columns, zeros and what is left out as in `category_features`. Where objects overlap, each counts. A photograph's size is not
    in the table, so that only proportions within an image are meant: compare by correlation or cosine.
    """
    return _table_of_categories(material, _sums(material, "area"))


def category_word_features(material: Material) -> xr.DataArray:
    """Sentence vector of the names of an image's categories, joined by spaces in the order of COCO's numbers, each once.

    An image without objects is called "something" (``n_images_without_objects``).
    """
    return _encoded_names(material, {name: name for name in _known(material)["category"]})


def released_category_word_features(material: Material) -> xr.DataArray:
    """As `category_word_features`, with the names of the released code, which were chosen for fastText.

    Six names are replaced (`RELEASED_NAMES`); the words of others are joined by a hyphen.
    """
    names = _known(material)["category"]
    return _encoded_names(material, {name: RELEASED_NAMES.get(name, name.replace(" ", "-")) for name in names})


def category_vector_features(material: Material) -> xr.DataArray:
    """Mean over the categories of an image of the vectors of their names, from a file of word vectors.

    The vector of a name of several words is the mean of those of its words that the file has; names without any are left out
    (``categories_without_vectors``). An image that is left without a name has the vector of "something"
    (``n_images_without_objects`` counts those without objects, ``n_images_without_vectors`` all).

    Raises
    ------
    ValueError
        If an image has no name with a vector, and "something" has none.
    """
    names = _known(material)["category"].tolist()
    parts = [name.split(" ") for name in names]
    asked = sorted({part for of_name in parts for part in of_name} | {FILLER})
    known, vectors = read_word_vectors(_path(material), asked)
    row_of = dict(zip(asked, rows_of_words(asked, known), strict=True))
    rows = [[row_of[part] for part in of_name if row_of[part] >= 0] for of_name in parts]
    of_names = np.array([vectors[found].mean(axis=0, dtype=np.float64) if found else vectors[0] * 0 for found in rows])
    present = _sums(material) > 0
    without_objects = ~present.any(axis=1)
    present &= [bool(found) for found in rows]
    without = ~present.any(axis=1)
    if without.any() and row_of[FILLER] < 0:
        raise ValueError(
            f"{material.path}: {without.sum()} images, the first id73k {material.id73k[without][0]}, have no category with a "
            f"vector, and {FILLER!r}, which stands for none, has no vector either; add a line for it"
        )
    image, category = np.nonzero(np.column_stack([present, without]))
    filler = vectors[row_of[FILLER]]
    mean = mean_of_rows(
        material.id73k, material.id73k[image], category, np.vstack([of_names, filler]).astype(np.float32)
    )
    lacking = [name for name, found in zip(names, rows, strict=True) if not found]
    return labelled_features(
        material.id73k,
        mean,
        n_images_without_objects=int(without_objects.sum()),
        n_images_without_vectors=int(without.sum()),
        n_categories_without_vectors=len(lacking),
        categories_without_vectors=", ".join(lacking) or "none",
        file=str(material.path),
    )


def _known(material: Material) -> pd.DataFrame:
    """Numbers and names of all categories, ascending, after making sure that there are some and that they fit each other."""
    table = material.categories
    if table.empty:
        raise ValueError(
            "results/captions/categories.tsv: no objects at all, expected one row per annotated object; are COCO's instances "
            "those of the images of the study? (docs/real-nsd.md)"
        )
    known = table[["category_id", "category"]].drop_duplicates().sort_values("category_id", ignore_index=True)
    if known["category_id"].duplicated().any() or known["category"].duplicated().any():
        twice = known[known["category_id"].duplicated(keep=False) | known["category"].duplicated(keep=False)]
        raise ValueError(
            f"categories table: {twice['category'].tolist()} share names or numbers {twice['category_id'].tolist()}, "
            "expected one name per category_id; run prepare_captions again"
        )
    return known


def _sums(material: Material, column: str | None = None) -> NDArray[np.float64]:
    """Sum of a column, or number, of the objects of every category in every image: shape (n_images, n_categories)."""
    known, ids, table = _known(material), material.id73k, material.categories
    inside = table[np.isin(table["id73k"].to_numpy(), ids)]
    values = np.zeros((ids.size, len(known)))
    rows = positions(inside["id73k"].to_numpy(), ids, what="captions")
    columns = np.searchsorted(known["category_id"].to_numpy(), inside["category_id"].to_numpy())
    np.add.at(values, (rows, columns), 1 if column is None else inside[column].to_numpy())
    return values


def _table_of_categories(material: Material, values: NDArray[np.floating]) -> xr.DataArray:
    without = int((~(_sums(material) > 0).any(axis=1)).sum())
    names = _known(material)["category"].tolist()
    return labelled_features(material.id73k, values, names=names, n_images_without_objects=without)


def _encoded_names(material: Material, names: dict[str, str]) -> xr.DataArray:
    present = _sums(material) > 0
    spoken = np.array([names[name] for name in _known(material)["category"]], dtype=object)
    texts = [" ".join(spoken[row]) or FILLER for row in present]
    vectors = mean_of_texts(material, material.id73k, texts)
    return labelled_features(material.id73k, vectors, n_images_without_objects=int((~present.any(axis=1)).sum()))


def _path(material: Material) -> str:
    if material.path is None:
        raise ValueError("this builder needs the path of a file of word vectors")
    return str(material.path)
