"""Was the truth decoded? Compares the decoding of a run on the miniature with what its planted brains allow.

Beside ``truth``, whose fresh measurement of the planted patterns it uses. The expected values come from a regression of its own:
ridge regression with a penalty for each dimension, chosen by leaving out one image after the other, and scores in a few lines.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.inference.intervals import Interval, mean_interval
from capcortex.seeds import random_generator
from capcortex.truth import COLUMNS, STREAMS, PlantedBrain, check_name, judge, measured_patterns

LEAST_SUBJECTS = 6
"""With fewer, intervals over subjects that keep the error of a whole check small are wider than any effect."""

ALPHAS = np.geomspace(1e-1, 1e6, 50)
CHANCE = {"identification": 0.5}
"""What a measure is without any information, where it is not 0; it is subtracted."""


def why_decoding_left_out(
    check: Mapping[str, Any], table: pd.DataFrame | None, *, checked_rois: Sequence[str], made_up_captions: bool
) -> str:
    """Say why a row of ``decoding_checks`` cannot be checked in this study; empty for one that can.

    Parameters
    ----------
    check
        A row of the truth file.
    table
        ``results/tables/decoding.tsv``; none if nothing is decoded.
    checked_rois, made_up_captions
        As for `capcortex.truth.why_left_out`.
    """
    if table is None or check["model"] not in set(table["model"]):
        return f"model {check['model']} is not decoded"
    if not checked_rois:
        return "expected values are of all vertices of regions of the streams atlas on fsaverage"
    if check.get("only_made_up_captions") and not made_up_captions:
        return "planted with made-up captions only"
    n_subjects = table["subject"].nunique()
    return f"an interval over subjects needs at least {LEAST_SUBJECTS}" if n_subjects < LEAST_SUBJECTS else ""


def expected_decoding(
    brains: Mapping[str, PlantedBrain],
    latents: xr.DataArray,
    features: xr.DataArray,
    rois: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Decode every subject once more from a fresh measurement.

    Parameters
    ----------
    brains
        Planted truth of each subject.
    latents : DataArray (id73k, feature)
        Latents of all images.
    features : DataArray (id73k, feature)
        Features of the decoded model.
    rois
        Regions of the streams atlas.
    seed
        Of the noise.

    Returns
    -------
    DataFrame
        Columns ``r``, ``r_without_mean``, ``r_mismatched_without_mean`` and ``identification``, by subject.
    """
    measured = {}
    for subject, brain in brains.items():
        rng = random_generator(seed, "expected decoding", subject)
        parts = [measured_patterns(brain, STREAMS.index(roi) + 1, latents, rng) for roi in rois]
        measured[subject] = parts[0][0], np.concatenate([patterns for _, patterns in parts], axis=1)
    shared = set.intersection(*(set(images.tolist()) for images, _ in measured.values()))
    known = {int(id73k): row for row, id73k in enumerate(features["id73k"].to_numpy())}
    rows = {}
    for subject, (images, patterns) in measured.items():
        embeddings = features.to_numpy()[[known[int(image)] for image in images]].astype(np.float64)
        tested = np.array([int(image) in shared for image in images])
        weighted, mean = decode_again(patterns[~tested], embeddings[~tested], patterns[tested])
        rows[subject] = _scores(weighted, mean, embeddings[tested])
    return pd.DataFrame.from_dict(rows, orient="index")


def decode_again(
    x: NDArray[np.floating], y: NDArray[np.floating], new: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ridge regression, of each dimension at the penalty with the least error of images that were left out one by one.

    Parameters
    ----------
    x : ndarray of shape (n_images, n_units)
    y : ndarray of shape (n_images, n_dimensions)
    new : ndarray of shape (n_new_images, n_units)

    Returns
    -------
    weighted : ndarray of shape (n_new_images, n_dimensions)
        Weighted sums of the new responses, less those of the mean response.
    mean : ndarray of shape (n_dimensions,)
        Mean of y, which makes them predictions.
    """
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    u, s, vt = np.linalg.svd(x - mean_x, full_matrices=False)
    # The last direction of centred images is nothing.
    u, s, vt = u[:, s > 1e-8 * s[0]], s[s > 1e-8 * s[0]], vt[s > 1e-8 * s[0]]
    along = u.T @ (y - mean_y)
    least, kept = np.full(y.shape[1], np.inf), np.zeros((s.size, y.shape[1]))
    for alpha in ALPHAS:
        share = s**2 / (s**2 + alpha)
        leverage = 1 / len(x) + (u**2 * share).sum(axis=1)
        errors = ((y - mean_y - (u * share) @ along) / (1 - leverage)[:, None]) ** 2
        better = errors.sum(axis=0) < least
        least = np.minimum(least, errors.sum(axis=0))
        kept[:, better] = (share / s)[:, None] * along[:, better]
    return (new - mean_x) @ vt.T @ kept, mean_y


def _scores(
    weighted: NDArray[np.float64], mean: NDArray[np.float64], embeddings: NDArray[np.float64]
) -> dict[str, float]:
    n_images = len(embeddings)
    with_mean, without = (
        np.corrcoef(predicted, embeddings)[:n_images, n_images:] for predicted in (weighted + mean, weighted)
    )
    others = ~np.eye(n_images, dtype=bool)
    return {
        "r": float(np.diag(with_mean).mean()),
        "r_without_mean": float(np.diag(without).mean()),
        "r_mismatched_without_mean": float(without[others].mean()),
        "identification": float((with_mean < np.diag(with_mean)[:, None])[others].mean()),
    }


def check_decoding(
    checks: Sequence[Mapping[str, Any]],
    bound: float,
    confidence: float,
    *,
    table: pd.DataFrame,
    expected: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """One row for every planted effect or null of decoding.

    Parameters
    ----------
    checks
        Rows of the truth file for which `why_decoding_left_out` has no reason: ``model``, ``measure`` and ``kind``.
    bound, confidence
        As for `capcortex.truth.check_truth`.
    table
        Mean scores of models and subjects.
    expected
        Of each model, from `expected_decoding`.

    Returns
    -------
    DataFrame
        Columns `capcortex.truth.COLUMNS`. Intervals are over subjects; of an effect over differences from expected values.
    """
    rows = []
    for check in checks:
        model, measure, kind = check["model"], check["measure"], check["kind"]
        of_model = table[(table["model"] == model) & (table["measure"] == measure)].set_index("subject")["value"]
        found = of_model - CHANCE.get(measure, 0.0)
        value = 0.0
        interval = mean_interval(found, confidence)
        if kind == "effect":
            wanted = expected[model].loc[found.index, measure] - CHANCE.get(measure, 0.0)
            value = float(wanted.mean())
            interval = Interval(*(limit + value for limit in mean_interval(found - wanted, confidence)))
        limits = [interval.estimate, interval.low, interval.high, bound if kind == "null" else np.nan]
        rows.append(
            [check_name(check), check["roi"], kind, value, *limits, len(found), judge(kind, value, interval, bound), ""]
        )
    return pd.DataFrame(rows, columns=COLUMNS)
