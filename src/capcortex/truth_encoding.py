"""Was the truth found by encoding? Compares predicted responses with what was planted in the miniature's brains.

Expected values come from fresh noise on the noise-free planted responses and from another regression, scikit-learn's ridge with
the penalty of every unit chosen by leaving out one image at a time, so that a mistake in fractional ridge cannot confirm itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import open_array
from capcortex.inference.intervals import Interval, mean_interval
from capcortex.seeds import random_generator
from capcortex.truth import (
    COLUMNS,
    FEW_SUBJECTS,
    REPEATS,
    STREAMS,
    PlantedBrain,
    check_name,
    judge,
    measure_again,
    place_name,
)

PENALTIES = np.logspace(-2, 5, 29)


@dataclass(frozen=True, eq=False)
class FoundEncoding:
    """What a study found, and what it was planted with.

    Attributes
    ----------
    r
        For each model the encoding r of every subject, (subject, vertex).
    responses
        For each group of sentences what is predicted of every subject, (subject, vertex).
    features
        For each model the features of all images, (id73k, feature).
    sentences
        For each group the vector of its sentences, (feature,).
    sentence_model
        The model that predicts from sentences.
    brains
        Planted truth of each subject.
    prefers
        For each subject the preference that each vertex was made to have, from 1; 0 for none.
    latents : DataArray (id73k, feature)
        Planted features of all images.
    """

    r: Mapping[str, xr.DataArray]
    responses: Mapping[str, xr.DataArray]
    features: Mapping[str, xr.DataArray]
    sentences: Mapping[str, NDArray[np.float32]]
    sentence_model: str | None
    brains: Mapping[str, PlantedBrain]
    prefers: Mapping[str, NDArray[np.int64]]
    latents: xr.DataArray


def read_preferences(path: str | Path) -> NDArray[np.int64]:
    """Read from ``<subject>_surface.nc`` of the miniature's truth what each vertex of fsaverage was made to prefer."""
    with open_array(path, variables=["prefers"]) as file:
        return file["prefers"].to_numpy().astype(np.int64)


def why_encoding_left_out(
    check: Mapping[str, Any],
    *,
    models: Sequence[str],
    groups: Sequence[str],
    preferences: Sequence[Sequence[str]],
    n_subjects: int,
    made_up_captions: bool,
) -> str:
    """Say why a row of ``encoding_checks`` cannot be checked in this study; empty for one that can.

    Parameters
    ----------
    check
        A row of the truth file.
    models, groups
        Encoding models and groups of sentences of the study.
    preferences
        Pairs of kinds of images that the truth names.
    n_subjects
        Number of subjects.
    made_up_captions
        Whether captions were made up, not brought.
    """
    if check.get("only_made_up_captions") and not made_up_captions:
        return "planted with made-up captions only"
    if check["quantity"] == "encoding" and check["model"] not in models:
        return f"responses are not predicted from model {check['model']}"
    if check["quantity"] == "sentences":
        absent = [group for group in check["contrast"] if group not in groups]
        if absent:
            return f"the study has no sentences about {' and '.join(absent)}"
        if "prefer" in check and list(check["prefer"]) not in [list(pair) for pair in preferences]:
            return f"no units are made to prefer {' to '.join(check['prefer'])}"
    return FEW_SUBJECTS if n_subjects < 2 else ""


def check_encoding(
    checks: Sequence[Mapping[str, Any]],
    bound: float,
    confidence: float,
    *,
    found: FoundEncoding,
    preferences: Sequence[Sequence[str]],
    seed: int,
) -> pd.DataFrame:
    """One row for every planted effect or null of encoding; intervals are over subjects.

    Parameters
    ----------
    checks
        Rows of the truth file for which `why_encoding_left_out` has no reason. ``quantity`` is ``encoding``: mean r over the
        vertices of ``roi``, predicted from ``model``; or ``sentences``: mean difference of what is predicted for the two groups
        of ``contrast``, over the vertices of ``roi`` or those made to ``prefer`` images of one kind to another;
        without either, over all vertices where nothing is planted.
    bound
        Equivalence bound of nulls.
    confidence
        Coverage of each interval.
    found
        What the study found.
    preferences
        As for `why_encoding_left_out`.
    seed
        Seed of the noise.

    Returns
    -------
    DataFrame
        Columns `capcortex.truth.COLUMNS`; ``n`` counts subjects.
    """
    expected = {
        subject: _expected(found, subject, checks, preferences, seed) for subject in found.brains if len(checks) > 0
    }
    rows = []
    for number, check in enumerate(checks):
        measured = np.array(
            [_mean_over(check, _values(check, found, subject), found, subject, preferences) for subject in found.brains]
        )
        planted = np.array([expected[subject][number] for subject in found.brains])
        value = float(planted.mean())
        interval = Interval(*(limit + value for limit in mean_interval(measured - planted, confidence)))
        limits = [interval.estimate, interval.low, interval.high, bound if check["kind"] == "null" else np.nan]
        ok = judge(check["kind"], value, interval, bound)
        rows.append([check_name(check), place_name(check), check["kind"], value, *limits, len(measured), ok, ""])
    return pd.DataFrame(rows, columns=COLUMNS)


def _values(check: Mapping[str, Any], found: FoundEncoding, subject: str) -> NDArray[np.float64]:
    """Look up what the study found at every vertex of a subject."""
    if check["quantity"] == "encoding":
        return found.r[check["model"]].sel(subject=subject).to_numpy().astype(np.float64)
    more, less = (
        found.responses[group].sel(subject=subject).to_numpy().astype(np.float64) for group in check["contrast"]
    )
    return more - less


def _mean_over(
    check: Mapping[str, Any],
    values: NDArray[np.float64],
    found: FoundEncoding,
    subject: str,
    preferences: Sequence[Sequence[str]],
) -> float:
    brain = found.brains[subject]
    if "roi" not in check and "prefer" not in check:
        inside = ~brain.mixing.any(axis=1)
    elif "roi" in check:
        inside = brain.region == STREAMS.index(check["roi"]) + 1
    else:
        inside = found.prefers[subject] == 1 + [list(pair) for pair in preferences].index(list(check["prefer"]))
    return float(values[inside & brain.valid & np.isfinite(values)].mean())


def _expected(
    found: FoundEncoding,
    subject: str,
    checks: Sequence[Mapping[str, Any]],
    preferences: Sequence[Sequence[str]],
    seed: int,
) -> list[float]:
    """Measure a subject's vertices once more and fit them by another regression: the expected values of checks, 0 of nulls."""
    from sklearn.linear_model import RidgeCV

    brain = found.brains[subject]
    vertices = np.flatnonzero((brain.region > 0) & brain.valid)
    _, same = np.unique(brain.native_index[vertices], return_inverse=True)
    images, patterns = measure_again(
        brain.mixing[vertices],
        brain.noise_sd[vertices],
        found.latents,
        random_generator(seed, "expected encoding", subject),
        same=same,
        session=brain.session,
        image=brain.image,
    )
    test = np.isin(images, _seen_by_all(found.brains))
    fits = {}
    for model in {_model(check, found) for check in checks}:
        features = found.features[model].sel(id73k=images).to_numpy().astype(np.float64)
        fit = RidgeCV(PENALTIES, alpha_per_target=True).fit(features[~test], patterns[~test])
        fits[model] = fit, _correlations(fit.predict(features[test]), patterns[test])
    expected = []
    for check in checks:
        if check["kind"] == "null":
            expected.append(0.0)
            continue
        fit, r = fits[_model(check, found)]
        everywhere = np.full(brain.region.size, np.nan)
        if check["quantity"] == "encoding":
            everywhere[vertices] = r
        else:
            more, less = (found.sentences[group] for group in check["contrast"])
            everywhere[vertices] = (more - less).astype(np.float64) @ fit.coef_.T
        expected.append(_mean_over(check, everywhere, found, subject, preferences))
    return expected


def _model(check: Mapping[str, Any], found: FoundEncoding) -> str:
    return str(check["model"] if check["quantity"] == "encoding" else found.sentence_model)


def _seen_by_all(brains: Mapping[str, PlantedBrain]) -> NDArray[np.int64]:
    """Images that all subjects saw three times."""
    counts = pd.concat([pd.Series(brain.image).value_counts() == REPEATS for brain in brains.values()], axis=1)
    return counts.index[counts.fillna(False).all(axis=1)].to_numpy()


def _correlations(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        one, other = ((values - values.mean(axis=0)) / values.std(axis=0) for values in (left, right))
    return (one * other).mean(axis=0)
