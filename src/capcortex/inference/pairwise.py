"""Every model of a figure compared with every other one, region by region, as behind the paper's Fig. 3.

Each region is a family of tests of its own, as in the released code; here comparisons are paired by subject, as all of this
study's (``comparisons``), where the released code's are not (``released``).
"""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd
import xarray as xr

from capcortex.inference.comparisons import COMPARISON_COLUMNS, Family, compare_models

CORRECTION = "benjamini-hochberg"
"""As in the released code, over the pairs of models of a region."""

PAIRWISE_COLUMNS = [column for column in COMPARISON_COLUMNS if column != "family" and "equivalence" not in column]
"""Columns of `compare_pairwise`."""


def compare_pairwise(
    scores: pd.DataFrame, bootstrap: xr.Dataset, models: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Compare all pairs of some models in every region.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS` of these models at least.
    bootstrap
        See `capcortex.inference.comparisons.compare_models`.
    models
        Names, in order: of a pair the later is subtracted from the earlier.
    confidence
        Coverage of all intervals.

    Returns
    -------
    DataFrame
        Columns `PAIRWISE_COLUMNS`, a row for each region and pair, with the tests of `compare_models`. Each kind is corrected
        over the pairs of a region: `CORRECTION`, sign flips by the maximum statistic.

    Raises
    ------
    ValueError
        If there are fewer than two models, or scores are of several measures.
    """
    if len(models) < 2:
        raise ValueError(f"found {len(models)} models, expected two or more to compare")
    family = {"pairwise": Family(list(combinations(models, 2)), CORRECTION, None)}
    parts = [compare_models(of_roi, bootstrap, family, confidence) for _, of_roi in scores.groupby("roi", sort=False)]
    return pd.concat(parts, ignore_index=True)[PAIRWISE_COLUMNS]
