"""Which pairs of images make a subject's r: those of image sets one at a time, or all pairs of all images at once."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capcortex.inference.group import is_shared
from capcortex.rsa.rdm import ALL_PAIRS, SCORE_COLUMNS

KEYS = ["model", "roi", "subject"]
COMPARISON_COLUMNS = [
    *KEYS,
    "r",
    "n_pairs",
    "r_image_sets",
    "sd_image_sets",
    "n_image_sets",
    "standard_error",
    "difference",
    "difference_in_standard_errors",
]
"""Columns of `compare_pairs`."""


def choose_scores(of_sets: Sequence[pd.DataFrame], over_all_pairs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join scores into one table; those over all pairs, where there are any, take the place of a subject's own image sets.

    Scores on shared image sets stay: ceilings are on these, and ratios compare like with like.

    Parameters
    ----------
    of_sets, over_all_pairs
        Tables with the columns `capcortex.rsa.rdm.SCORE_COLUMNS`; ``over_all_pairs`` may be empty.

    Returns
    -------
    DataFrame
        Columns `SCORE_COLUMNS`, models and regions in the order of ``of_sets``.

    Raises
    ------
    ValueError
        If the two are not of the same models, regions and subjects.
    """
    scores = pd.concat(of_sets, ignore_index=True)
    if not over_all_pairs:
        return scores
    shared = scores[is_shared(scores["image_set"])]
    order = scores[KEYS].drop_duplicates()
    chosen = pd.concat([_of_the_same(scores, over_all_pairs), shared], ignore_index=True)
    return order.merge(chosen, on=KEYS, how="left")[SCORE_COLUMNS]


def compare_pairs(of_sets: Sequence[pd.DataFrame], over_all_pairs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Lay r over all pairs beside the mean over image sets, with the error of sampling that the spread over sets predicts.

    Parameters
    ----------
    of_sets, over_all_pairs
        As for `choose_scores`.

    Returns
    -------
    DataFrame
        One row for each model, region and subject, columns `COMPARISON_COLUMNS`: ``r`` over all pairs and the ``n_pairs`` that
        both define; mean, standard deviation (ddof 1) and number of the subject's own image sets on which r is defined;
        ``standard_error``, the standard deviation over the square root of that number; ``difference``, all pairs minus image
        sets. What needs two sets, or a value that is not defined, is NaN.

    Raises
    ------
    ValueError
        If the two are not of the same models, regions and subjects.
    """
    scores = pd.concat(of_sets, ignore_index=True)
    own = scores[~is_shared(scores["image_set"])].groupby(KEYS, sort=False)["r"]
    table = own.agg(r_image_sets="mean", sd_image_sets="std", n_image_sets="count").reset_index()
    table = table.merge(_of_the_same(scores, over_all_pairs), on=KEYS, how="left")
    table["standard_error"] = table["sd_image_sets"] / np.sqrt(table["n_image_sets"])
    table["difference"] = table["r"] - table["r_image_sets"]
    errors = table["standard_error"].where(table["standard_error"] > 0)
    table["difference_in_standard_errors"] = table["difference"] / errors
    return table[COMPARISON_COLUMNS]


def _of_the_same(scores: pd.DataFrame, over_all_pairs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join scores over all pairs after making sure that they are of the models, regions and subjects of the other scores."""
    # A subject who has none of the regions has a table without rows.
    joined = pd.concat([table for table in over_all_pairs if len(table)], ignore_index=True)
    wanted, there = ({tuple(row) for row in table[KEYS].to_numpy()} for table in (scores, joined))
    if different := sorted(wanted ^ there):
        of = ", ".join(f"{key} {value}" for key, value in zip(KEYS, different[0], strict=True))
        lack = "scores over all pairs" if different[0] in wanted else "scores of image sets"
        raise ValueError(f"{lack} lack {of} ({len(different)} such differences); make both from the same study")
    if (joined["image_set"] != ALL_PAIRS).any():
        raise ValueError(f"scores over all pairs: expected {ALL_PAIRS!r} in the column image_set throughout")
    return joined
