"""Group statistics of maps: at each vertex the mean over subjects and tests over subjects, corrected over all vertices.

Two corrections stand side by side. Benjamini-Hochberg bounds the share of false vertices among those found, from p-values of
t-tests. Sign flips with the maximum statistic bound the chance of any false vertex, without assuming a normal distribution.
They are never combined: p-values of `sign_flip_p` are corrected already, and with eight subjects none is below 2 / 2^8.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy
import xarray as xr
from numpy.typing import ArrayLike

from capcortex.arrays import open_array
from capcortex.inference.tests import (
    ROUNDING,
    TOO_FEW,
    false_discovery_adjusted,
    least_sign_flip_p,
    sign_flip_p,
)


def group_map(values: ArrayLike) -> xr.Dataset:
    """Mean over subjects and two-sided tests against zero at every vertex.

    Tests are made where all subjects have a value: a t of fewer subjects has heavier tails, so that the few vertices that
    lack a subject would rule the maximum over vertices, and one t would not mean the same everywhere. Where the subjects do
    not differ by more than rounding, t is not defined. Vertices without a test belong to neither correction: they change no
    other vertex's p.

    Parameters
    ----------
    values : shape (n_subjects, n_vertices)
        One map per subject; what is not finite is a missing value.

    Returns
    -------
    Dataset (vertex)
        ``mean`` over the subjects that have a value, NaN where none has; ``n_subjects`` that have one (int64); ``t`` and ``p`` of
        the two-sided one-sample t-test, uncorrected; ``p_fdr``, adjusted by Benjamini-Hochberg over vertices;
        ``p_sign_flip``, corrected for the family of vertices, see `sign_flip_p`. Tests are NaN at vertices
        without one, and everywhere with fewer than two subjects. The attribute ``test_left_out`` says why no vertex has a test,
        and is empty otherwise; ``least_p_sign_flip`` is the smallest ``p_sign_flip`` that so many subjects can reach.

    Raises
    ------
    ValueError
        If ``values`` has another number of axes.
    """
    maps = np.asarray(values, dtype=np.float64)
    if maps.ndim != 2:
        raise ValueError(f"maps: expected shape (n_subjects, n_vertices), found {maps.shape}")
    present = np.isfinite(maps)
    count = present.sum(axis=0)
    mean = np.full(count.size, np.nan)
    np.divide(np.where(present, maps, 0).sum(axis=0), count, out=mean, where=count > 0)
    tests = {name: np.full(count.size, np.nan) for name in ("t", "p", "p_fdr", "p_sign_flip")}
    tested = np.flatnonzero(present.all(axis=0))
    if len(maps) > 1:
        complete = maps[:, tested]
        varies = complete.std(axis=0) > ROUNDING * np.abs(complete).max(axis=0)
        tested, complete = tested[varies], complete[:, varies]
        if tested.size:
            tests["t"][tested], tests["p"][tested] = scipy.stats.ttest_1samp(complete, 0.0)
            tests["p_sign_flip"][tested] = sign_flip_p(complete)
    tests["p_fdr"] = false_discovery_adjusted(tests["p"])
    columns = {"mean": mean, "n_subjects": count, **tests}
    left_out = ""
    if len(maps) < 2:
        left_out = TOO_FEW
    elif not tested.size:
        left_out = "at no vertex do all subjects have a value, or their values do not differ"
    return xr.Dataset(
        {name: ("vertex", column) for name, column in columns.items()},
        attrs={
            "n_subjects": len(maps),
            "test_left_out": left_out,
            "least_p_sign_flip": least_sign_flip_p(len(maps)),
        },
    )


def paired_difference(left: xr.DataArray, right: xr.DataArray) -> xr.DataArray:
    """Difference of two maps subject by subject; its `group_map` is the paired contrast.

    Parameters
    ----------
    left, right : DataArray (subject, vertex)
        The same subjects by name, in any order.

    Returns
    -------
    DataArray (subject, vertex)
        ``left - right``, subjects in the order of ``left``; NaN where either is.

    Raises
    ------
    ValueError
        If the two are of different subjects or vertices, or do not name their subjects.
    """
    if not all("subject" in side.coords for side in (left, right)):
        raise ValueError("maps are paired by the names of their subjects, found maps without names")
    names = [side["subject"].to_numpy().tolist() for side in (left, right)]
    if sorted(names[0]) != sorted(names[1]):
        raise ValueError(
            f"maps of different subjects cannot be paired: {', '.join(names[0])} and {', '.join(names[1])}"
        )
    if left.sizes["vertex"] != right.sizes["vertex"]:
        raise ValueError(f"maps of {left.sizes['vertex']} and of {right.sizes['vertex']} vertices cannot be paired")
    with xr.set_options(arithmetic_join="exact"):
        return (left - right.sel(subject=names[0])).transpose("subject", "vertex")


def read_subject_maps(paths: Sequence[str | Path]) -> xr.DataArray:
    """Read the maps of all subjects, the one variable of a file, or the `paired_difference` of two files.

    Returns
    -------
    DataArray (subject, vertex)

    Raises
    ------
    ValueError
        If a file is damaged, or two files cannot be paired.
    """
    loaded = []
    for path in paths:
        with open_array(path, variables=["subject"]) as file:
            (name,) = file.data_vars
            loaded.append(file[name].load())
    return loaded[0] if len(loaded) == 1 else paired_difference(*loaded)
