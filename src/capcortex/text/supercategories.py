"""COCO's supercategory (animal, food, ..) of most of what is annotated in an image: a rough name for what it shows.

For the colours of a figure; the models of objects are in ``category_models``.
"""

import numpy as np
import pandas as pd

from capcortex.ids import Ids

NO_OBJECT = "no object"
"""Stands for the supercategory of an image without annotated objects."""


def main_supercategories(categories: pd.DataFrame, id73k: Ids) -> pd.Series:
    """Find the supercategory whose objects have the largest area in an image, summed over objects, crowds among them.

    Of equal areas that of the smaller of COCO's numbers is taken.

    Parameters
    ----------
    categories
        Annotated objects: ``id73k``, ``supercategory``, ``category_id`` and ``area``.
    id73k
        Images, each once.

    Returns
    -------
    Series of Categorical
        A supercategory, or `NO_OBJECT`, for each ``id73k``, in their order. The categories are all supercategories of the table,
        in the order of COCO's numbers, and `NO_OBJECT`.
    """
    names = list(categories.sort_values("category_id")["supercategory"].unique())
    areas = categories.pivot_table(index="id73k", columns="supercategory", values="area", aggfunc="sum", fill_value=0)
    # An object may have no area, and is one all the same.
    present = categories.groupby(["id73k", "supercategory"]).size().unstack(fill_value=0) > 0
    areas = areas.reindex(columns=names).where(present.reindex(columns=names), -1)
    main = (
        pd.Series(np.array(names)[areas.to_numpy().argmax(axis=1)], index=areas.index)
        if names
        else pd.Series(dtype=str)
    )
    found = main.reindex(id73k).fillna(NO_OBJECT)
    return pd.Series(
        pd.Categorical(found, [*names, NO_OBJECT]), index=pd.Index(id73k, name="id73k"), name="supercategory"
    )
