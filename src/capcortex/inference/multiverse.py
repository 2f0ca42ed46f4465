"""The headline in every universe, over subjects, and how much it depends on each choice.

`capcortex.rsa.multiverse` makes the scores of one subject; `capcortex.figures.multiverse` draws what is made here.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.inference.intervals import mean_interval
from capcortex.rsa.measures import ROUNDING
from capcortex.rsa.multiverse import AXES
from capcortex.rsa.rdm import LEAST_UNITS

QUANTITIES = ("r", "difference")
"""Columns of the estimates whose dependence on the axes is measured."""

MULTIVERSE_COLUMNS = [
    *("roi", "universe", "own", *AXES, "model", "minus", "n_subjects", "n_without", "n_image_sets", "fewest_units"),
    *("r", "r_low", "r_high", "difference", "difference_low", "difference_high", "left_out"),
]
"""Columns of `tabulate_multiverse`."""

AXIS_COLUMNS = [
    *("roi", "quantity", "axis", "levels", "n_universes", "n_undefined"),
    *("share_of_variance", "mean_range", "largest_range", "own_range"),
]
"""Columns of `tabulate_axes`."""


def tabulate_multiverse(scores: pd.DataFrame, own: Mapping[str, str], confidence: float) -> pd.DataFrame:
    """Estimate r of the first model, and its difference to the second, over subjects in every universe.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.multiverse.UNIVERSE_COLUMNS` of all subjects, with the same universes for each.
    own
        The study's own level of each axis.
    confidence
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Columns `MULTIVERSE_COLUMNS`, a row for each region and universe. ``own`` marks the study's own choices, whose estimates
        are those of the main analysis on image sets. ``r`` is the mean over those subjects who have the region in that universe
        (``n_subjects``), with Student's t interval, and ``difference`` that of the difference, paired by subject; ``n_without``
        counts the subjects of whose region too few vertices or voxels are left. Where nobody has it, or an r is not defined,
        estimates are NaN and ``left_out`` says why.

    Raises
    ------
    ValueError
        If there is not one universe with the study's own choices, or two have levels that are written alike.
    """
    rows = []
    for (roi, *levels), here in scores.groupby(["roi", *AXES], sort=False):
        universe = dict(zip(AXES, map(str, levels), strict=True))
        if here.duplicated(["subject", "model", "minus"]).any():
            raise ValueError(
                f"region {roi!s}: several universes have the levels {universe}; name levels that differ apart"
            )
        of_difference = here["minus"].notna()
        model, minus = here.loc[of_difference, ["model", "minus"]].iloc[0]
        has = here["n_units"] >= LEAST_UNITS
        of_model = here[has & ~of_difference & (here["model"] == model)]
        differences = here.loc[has & of_difference, "r"]
        row = {
            "roi": roi,
            "own": universe == dict(own),
            **universe,
            "model": model,
            "minus": minus,
            "n_subjects": len(of_model),
            "n_without": here["subject"].nunique() - len(of_model),
            "n_image_sets": int(of_model["n_image_sets"].sum()),
            "fewest_units": int(of_model["n_units"].min()) if len(of_model) else 0,
            "left_out": _why_left_out(here[has & (here["model"] == model)]),
        }
        for name, values in (("r", of_model["r"]), ("difference", differences)):
            limits = mean_interval(values, confidence) if len(values) else (np.nan,) * 3
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), limits, strict=True))
        rows.append(row)
    table = pd.DataFrame(rows)
    table["universe"] = table.groupby("roi", sort=False).cumcount() + 1
    for roi, here in table.groupby("roi", sort=False):
        n_own = int(here["own"].sum())
        if n_own != 1:
            raise ValueError(
                f"region {roi!s}: {n_own} of {len(here)} universes have the study's own choices ({dict(own)}), expected one"
            )
    return table[MULTIVERSE_COLUMNS]


def _why_left_out(scores: pd.DataFrame) -> str:
    if scores.empty:
        return f"no subject has {LEAST_UNITS} vertices or voxels of the region"
    undefined = ", ".join(map(str, scores.loc[scores["r"].isna(), "subject"].unique()))
    return f"r is not defined on the image sets of {undefined}" if undefined else ""


def tabulate_axes(table: pd.DataFrame) -> pd.DataFrame:
    r"""Say how much an estimate depends on each axis, region by region.

    With y(u) the estimate in universe u of U, and the levels l of axis a:

    ``share_of_variance``: ``sum_l U_l (mean of y over universes with level l - mean of y)^2 / sum_u (y(u) - mean of y)^2``, the
    share of the variance over universes that the axis explains alone (its first-order Sobol index, when all universes are equally
    likely). Where no universe is undefined the shares of all axes add up to at most 1; the rest are interactions.

    ``mean_range``, ``largest_range``: for each setting of all other axes the largest minus the smallest y over the levels of a;
    their mean, and the largest. ``own_range``: the same with all others as in the study; NaN where the study's own is undefined.

    Parameters
    ----------
    table
        Of `tabulate_multiverse`.

    Returns
    -------
    DataFrame
        Columns `AXIS_COLUMNS`, a row for each region, quantity (``r`` or ``difference``) and axis with more than one level.
        Undefined universes are left out and counted (``n_undefined``); a range is over the levels that are left, and NaN where
        fewer than two are. The share is NaN where nothing varies.

    References
    ----------
    Sobol 2001, doi 10.1016/S0378-4754(00)00270-6. Specification curves: Simonsohn et al. 2020, doi 10.1038/s41562-020-0912-z.
    """
    axes = [axis for axis in AXES if table[axis].nunique() > 1]
    rows = []
    for roi, all_here in table.groupby("roi", sort=False):
        scale = all_here["r"].abs().max()
        for quantity in QUANTITIES:
            here = all_here[all_here[quantity].notna()]
            y = here[quantity]
            for axis in axes:
                others = [other for other in AXES if other != axis]
                ranges = here.groupby(others, sort=False)[quantity].agg(_range)
                own = here.loc[here["own"], others]
                rows.append(
                    {
                        "roi": roi,
                        "quantity": quantity,
                        "axis": axis,
                        "levels": ", ".join(table[axis].unique()),
                        "n_universes": len(all_here),
                        "n_undefined": len(all_here) - len(here),
                        "share_of_variance": _share(y.to_numpy(), here[axis].to_numpy(), scale),
                        "mean_range": float(ranges.mean()),
                        "largest_range": float(ranges.max()),
                        "own_range": float(ranges[tuple(own.iloc[0])]) if len(own) else np.nan,
                    }
                )
    return pd.DataFrame(rows, columns=AXIS_COLUMNS)


def _range(values: pd.Series) -> float:
    return float(values.max() - values.min()) if len(values) > 1 else float("nan")


def _share(y: NDArray[np.float64], levels: NDArray[np.object_], scale: float) -> float:
    """Share of the variance of ``y`` between levels; NaN where y varies by no more than rounding of numbers of size ``scale``."""
    if not len(y) or np.ptp(y) <= ROUNDING * scale:
        return float("nan")
    total = float(np.sum((y - y.mean()) ** 2))
    groups = [y[levels == level] for level in np.unique(levels.astype(str))]
    return float(sum(len(group) * (group.mean() - y.mean()) ** 2 for group in groups) / total)
