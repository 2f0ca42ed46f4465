"""Decoding in numbers: what each subject's predictions are worth on average, and what they are beside.

From the scores of single images (``encoding.decode``) to the table and the figure.
"""

import numpy as np
import pandas as pd
import xarray as xr

INCLUDED, LEFT_OUT = "included", "left out"

MEASURES = {
    "r": ("r", INCLUDED),
    "r_without_mean": ("r_without_mean", LEFT_OUT),
    "r_as_released": ("r_as_released", LEFT_OUT),
    "r_mismatched": ("mismatched", INCLUDED),
    "r_mismatched_without_mean": ("mismatched_without_mean", LEFT_OUT),
    "r_mismatched_as_released": ("mismatched_as_released", LEFT_OUT),
    "r_mean_only": ("r_mean_only", INCLUDED),
    "r_nearest_training": ("r_nearest_training", INCLUDED),
    "identification": ("identification", INCLUDED),
    "identification_without_mean": ("identification_without_mean", LEFT_OUT),
    "identification_as_released": ("identification_as_released", LEFT_OUT),
    "caption_ceiling": ("caption_ceiling", None),
}
"""Variable of each measure of single images, and whether the mean embedding is part of the predictions."""

COLUMNS = ["model", "subject", "measure", "mean_embedding", "value", "n_images"]


def tabulate_decoding(decoding: xr.Dataset) -> pd.DataFrame:
    """Average the scores of a subject's test images.

    Parameters
    ----------
    decoding
        Variables of `MEASURES` that there are, by ``id73k``, and ``fraction`` by dimension; attributes ``model``, ``subject`` and
        ``fraction_as_released``.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: means over images (``n_images`` that have a value; NaN without any), and as ``fraction`` and
        ``fraction_as_released`` the mean fraction of the regression over dimensions and the one of all.
    """
    rows = []
    for measure, (name, mean_embedding) in MEASURES.items():
        if name in decoding:
            values = decoding[name].to_numpy().astype(np.float64)
            values = values[np.isfinite(values)]
            rows.append((measure, mean_embedding, float(values.mean()) if values.size else np.nan, values.size))
    rows.append(("fraction", INCLUDED, float(decoding["fraction"].mean()), decoding.sizes["id73k"]))
    if np.isfinite(decoding.attrs["fraction_as_released"]):
        rows.append(
            ("fraction_as_released", LEFT_OUT, float(decoding.attrs["fraction_as_released"]), decoding.sizes["id73k"])
        )
    table = pd.DataFrame(rows, columns=["measure", "mean_embedding", "value", "n_images"])
    return table.assign(model=decoding.attrs["model"], subject=decoding.attrs["subject"])[COLUMNS]
