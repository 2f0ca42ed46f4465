"""Averaged betas of some vertices or voxels straight from NSD's files, z-scored or not: what the study's own averages are not.

The study keeps z-scored averages of one version of the betas (``betas``). Analyses of others read the raw sessions again.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.nsd.betas import POLICIES
from capcortex.nsd.bookkeeping import REPEATS
from capcortex.nsd.sessions import RawSession, zscore_trials

ZSCORES = ("session", "none")
"""Whether betas are z-scored over the trials of their session before they are averaged."""


def average_raw(
    sessions: Iterable[tuple[RawSession, pd.DataFrame]],
    units: NDArray[np.intp],
    zscores: Sequence[str],
    *,
    incomplete_data: str,
) -> dict[str, xr.DataArray]:
    """Average the responses to the three showings of each image, for some units.

    Parameters
    ----------
    sessions
        All sessions of the subject in the order in which they were recorded, each with its rows of the table of trials.
    units
        Positions on the axis of vertices or voxels, ascending.
    zscores
        Of `ZSCORES`.
    incomplete_data
        As for `capcortex.nsd.betas.average_repeats`: a unit is not measured in a session in which `zscore_trials` says so,
        z-scored or not.

    Returns
    -------
    dict of DataArray (id73k, vertex) or (id73k, voxel), float32
        For each of ``zscores``: z-scores, without the rounding to steps of 0.001 with which the study keeps them, or betas as
        they are in the files (per cent signal change, times 300 where these are integers). Of images seen three times, ids
        ascending, and of units that can be used; there may be none.

    Raises
    ------
    ValueError
        If ``incomplete_data`` is not a policy; further what reading the blocks raises.
    """
    if incomplete_data not in POLICIES:
        raise ValueError(f"incomplete_data: {incomplete_data!r} is not one of {', '.join(POLICIES)}")
    of_sessions = list(sessions)
    dim = of_sessions[0][0].dim
    ids = np.concatenate([trials["id73k"].to_numpy()[_kept(trials)] for _, trials in of_sessions])
    images = np.unique(ids)
    # A subject's averages on the surface take gigabytes: sums of three values keep to single precision.
    totals = {zscore: np.zeros((images.size, units.size), np.float32) for zscore in zscores}
    count = np.zeros((images.size, units.size), np.int8)
    for raw, trials in of_sessions:
        kept = _kept(trials)
        rows = np.searchsorted(images, trials["id73k"].to_numpy()[kept])
        start = 0
        for block in raw.blocks:
            begin, end = np.searchsorted(units, (start, start + block.shape[1]))
            chosen = block[:, units[begin:end] - start]
            start += block.shape[1]
            z = zscore_trials(chosen)
            measured = np.isfinite(z[0])
            for zscore, total in totals.items():
                of_trials = z if zscore == "session" else chosen
                np.add.at(total[:, begin:end], rows, np.where(measured, of_trials[kept], 0))
            np.add.at(count[:, begin:end], rows, measured.astype(np.int8))
    usable = (count == REPEATS if incomplete_data == "exclude" else count > 0).all(axis=0)
    if not usable.all():
        count = count[:, usable]
    averages = {}
    for zscore in zscores:
        # One after the other and in place: each is gigabytes (`capcortex.costs.universes_memory_mb`).
        total = totals.pop(zscore)
        if not usable.all():
            total = total[:, usable]
        np.divide(total, count, out=total)
        averages[zscore] = xr.DataArray(total, dims=("id73k", dim), coords={"id73k": images, dim: units[usable]})
    return averages


def _kept(trials: pd.DataFrame) -> NDArray[np.intp]:
    """Trials of images that were seen three times."""
    return np.flatnonzero(trials["showings"].to_numpy() == REPEATS)
