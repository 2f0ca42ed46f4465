"""Encoding in regions: means over vertices, between maps of encoding and figures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OF_REGIONS = ["r", "agreement", "noise_ceiling", "fraction", "r_as_released", "fraction_as_released"]
ENCODING_COLUMNS = ["model", "atlas", "roi", "subject", "n_vertices", *OF_REGIONS]


def encoding_of_regions(
    values: Mapping[str, NDArray[np.floating]], regions: Mapping[tuple[str, str], NDArray[np.intp]]
) -> pd.DataFrame:
    """Mean over the vertices of each region of a subject.

    Parameters
    ----------
    values
        Arrays of every vertex, or single numbers, by the names `OF_REGIONS`; ``r`` must be among them.
    regions
        Vertices of each region that may be used, by the names of its atlas and its own.

    Returns
    -------
    DataFrame
        A row for each region: ``atlas``, ``roi``, ``n_vertices`` that have an ``r``, and the mean of each value over those
        of them where it is defined; NaN where there is none, and for what was not given.
    """
    rows = []
    for (atlas, roi), vertices in regions.items():
        units = vertices[np.isfinite(values["r"][vertices])]
        row: dict[str, object] = {"atlas": atlas, "roi": roi, "n_vertices": units.size}
        for name in OF_REGIONS:
            inside = np.broadcast_to(np.asarray(values.get(name, np.nan), np.float64), values["r"].shape)[units]
            defined = inside[np.isfinite(inside)]
            row[name] = defined.mean() if defined.size else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=["atlas", "roi", "n_vertices", *OF_REGIONS])
