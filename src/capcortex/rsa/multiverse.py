"""One region compared with models in every universe: every combination of choices that another analysis could have made.

`capcortex.inference.multiverse` takes the scores to the level of the group.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.rsa.rdm import LEAST_UNITS, compare_sets, rdms_of_sets

OF_BETAS = ("betas_version", "zscore", "space")
"""Choices that lie in the betas: their version, whether they are z-scored over the trials of a session, and where they are."""

OF_ANALYSIS = ("draw", "distance", "least_ncsnr", "within", "measure")
"""Choices that lie in what is made of them: draw of the image sets, dissimilarity of patterns, least ncsnr of a vertex or voxel,
atlas whose regions it must lie in too, and how RDMs are compared."""

AXES = (*OF_BETAS, *OF_ANALYSIS)

UNIVERSE_COLUMNS = [*AXES, "subject", "roi", "model", "minus", "r", "n_image_sets", "n_units"]
"""Columns of a table of scores: ``r`` is the mean over the subject's image sets of the score of ``model``, or of its difference
to that of ``minus``, and ``n_image_sets`` counts the sets in the mean."""


class Draw(NamedTuple):
    """Image sets of one subject, and the models' RDMs on them.

    Attributes
    ----------
    image_sets : ndarray of shape (n_sets, n_images_per_set)
        ``id73k``.
    labels
        Name of each set.
    models
        Dataset of `capcortex.rsa.rdm.rdms_of_model` of each model: the first, then the one that it is compared with.
    """

    image_sets: NDArray[np.int64]
    labels: list[str]
    models: Mapping[str, xr.Dataset]


def level_name(level: object) -> str:
    """Write a level of an axis as tables and figures do: numbers in their shortest form that is exact, None as ``none``."""
    if isinstance(level, float):
        return repr(float(level)).removesuffix(".0")
    return "none" if level is None else str(level)


def select_units(
    ncsnr: NDArray[np.float64],
    inside: Mapping[str | None, NDArray[np.bool_]],
    least_ncsnr: Sequence[float | None],
) -> dict[tuple[float | None, str | None], NDArray[np.bool_]]:
    """Say which vertices or voxels each definition of a region keeps.

    Parameters
    ----------
    ncsnr : ndarray of shape (n_units,)
        Ratio of signal to noise; NaN where NSD gives none.
    inside
        For each atlas whether a unit lies in one of its regions, (n_units,); None stands for no atlas.
    least_ncsnr
        Lowest ncsnr of a unit that is kept; None keeps all, also NaN, as config key ``least_ncsnr``.

    Returns
    -------
    dict
        By least ncsnr and atlas, bool (n_units,).
    """
    reliable = {least: np.ones(ncsnr.shape, bool) if least is None else ncsnr >= least for least in least_ncsnr}
    return {(least, atlas): reliable[least] & inside[atlas] for least in least_ncsnr for atlas in inside}


def score_universes(
    patterns: xr.DataArray,
    selections: Mapping[tuple[float | None, str | None], NDArray[np.bool_]],
    draws: Mapping[int, Draw],
    distances: Sequence[str],
    measures: Sequence[str],
    *,
    what: str,
) -> pd.DataFrame:
    """Compare a region of one subject with two models in every universe.

    With r(s) the score of a model on image set s, as in the study's main analysis (RDM of the region, RDM of the model, one
    comparison of the two for each set), ``r`` is its mean over the sets on which it is defined, and that of the difference of the
    models is over the sets on which both are.

    Parameters
    ----------
    patterns : DataArray (id73k, vertex) or (id73k, voxel)
        Averaged betas of all units with the region's label that were measured.
    selections
        From `select_units`, of the same units.
    draws
        By number, 1 for the study's own.
    distances
        Of `capcortex.rsa.rdm.DISTANCES`.
    measures
        Of `capcortex.rsa.measures.MEASURES`.
    what
        Name of the patterns, for messages.

    Returns
    -------
    DataFrame
        Columns of `UNIVERSE_COLUMNS` but `OF_BETAS`, ``subject`` and ``roi``: for each universe a row for each model, and one for
        their difference. ``r`` is NaN, and ``n_image_sets`` 0, where fewer than `capcortex.rsa.rdm.LEAST_UNITS` units are left,
        or no set has a defined score.
    """
    rows = []
    for (least, atlas), kept in selections.items():
        n_units = int(kept.sum())
        chosen = patterns[:, kept]
        for number, draw in draws.items():
            for distance in distances:
                # A region that the selection leaves nothing of is a row of the table, not an error.
                region = (
                    rdms_of_sets(chosen, draw.image_sets, draw.labels, distance, what=what)
                    if n_units >= LEAST_UNITS
                    else None
                )
                for measure in measures:
                    levels = (number, distance, least, atlas, measure)
                    universe = dict(zip(OF_ANALYSIS, map(level_name, levels), strict=True)) | {"n_units": n_units}
                    rows += [universe | scores for scores in _score(region, draw, measure, what)]
    return pd.DataFrame(rows)


def _score(region: xr.Dataset | None, draw: Draw, measure: str, what: str) -> list[dict[str, object]]:
    """Mean over image sets for each model and for their difference."""
    model, minus = draw.models
    if region is None:
        r = dict.fromkeys(draw.models, pd.Series(np.nan, index=draw.labels))
    else:
        r = {
            name: pd.Series(
                compare_sets(region, rdms, left_name=what, right_name=f"model {name}", measure=measure)["r"].to_numpy()
            )
            for name, rdms in draw.models.items()
        }
    found = {(model, None): r[model], (minus, None): r[minus], (model, minus): r[model] - r[minus]}
    return [
        {"model": first, "minus": second, "r": values.mean(), "n_image_sets": int(values.notna().sum())}
        for (first, second), values in found.items()
    ]
