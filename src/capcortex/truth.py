"""Was the truth found? Compares the results of a run on the miniature with what was planted in its brains.

The expected values come from the noise-free planted patterns: fresh noise of the planted size is put on them, and RDMs and
correlations are computed here, in a few lines of their own, so that a mistake in the analysis cannot confirm itself.
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
from capcortex.inference.ceilings import ceiling_interval, ratio_interval
from capcortex.inference.group import is_shared
from capcortex.inference.intervals import Interval, mean_interval
from capcortex.seeds import random_generator

FAMILY_WISE_ERROR = 0.001
"""Chance that a faultless run has a row that is not ok because an interval missed its expected value."""

STREAMS = ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal")
"""Regions of the streams atlas in the order of their labels, from 1."""

N_NOISE_DRAWS = 4
REPEATS = 3
COLUMNS = ["check", "roi", "kind", "expected", "estimate", "low", "high", "bound", "n", "ok", "left_out"]
ELSEWHERE = "elsewhere"
LEFT_OUT = "not checked"
"""What stands in the column ``ok`` where ``left_out`` says why there is nothing to compare."""

FEW_SETS = "an interval over image sets needs at least two of them"
FEW_SUBJECTS = "an interval over subjects needs at least two of them"


def confidence_of_rows(n_rows: int) -> float:
    """Coverage of each interval that keeps the family-wise error: ``1 - 0.001 / n_rows``."""
    return 1 - FAMILY_WISE_ERROR / max(n_rows, 1)


@dataclass(frozen=True)
class PlantedBrain:
    """The planted truth of one subject on the surface, and the trials in which the subject saw images.

    Attributes
    ----------
    mixing : ndarray of shape (n_vertices, n_features)
        Percent signal change per unit of each latent.
    noise_sd : ndarray of shape (n_vertices,)
        Standard deviation of a single trial's noise, percent signal change.
    region : ndarray of shape (n_vertices,)
        Label of the planted region; 0 elsewhere.
    native_index : ndarray of shape (n_vertices,)
        Vertices with the same index show the same native vertex, so they share one noise.
    valid : ndarray of shape (n_vertices,), bool
        Measured in all sessions.
    session, image : ndarrays of shape (n_trials,)
        Session and ``id73k`` of every trial, as the responses list them.
    """

    mixing: NDArray[np.float32]
    noise_sd: NDArray[np.float32]
    region: NDArray[np.int64]
    native_index: NDArray[np.int64]
    valid: NDArray[np.bool_]
    session: NDArray[np.int64]
    image: NDArray[np.int64]


def read_planted_brain(path: str | Path, responses: str | Path) -> PlantedBrain:
    """Read ``<subject>_surface.nc`` of the miniature's truth, and the subject's ``responses.tsv``."""
    names = ["mixing", "noise_sd", "region", "native_index", "valid"]
    trials = pd.read_csv(responses, sep="\t")
    with open_array(path, variables=names) as file:
        arrays = {name: file[name].to_numpy() for name in names}
    arrays["valid"] = arrays["valid"].astype(bool)
    return PlantedBrain(**arrays, session=trials["SESSION"].to_numpy(), image=trials["73KID"].to_numpy())


def measured_patterns(
    brain: PlantedBrain, label: int, latents: xr.DataArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Measure a region once more: fresh noise on its planted patterns, trial by trial.

    Every trial shows the noise-free pattern of its image with new noise; sessions are z-scored and the three showings of
    an image averaged, as the analysis does with the real measurement.

    Parameters
    ----------
    brain
        Planted truth of a subject.
    label
        Region.
    latents : DataArray (id73k, feature)
        Latents of all images.
    rng
        Source of the noise.

    Returns
    -------
    images : ndarray of shape (n_images,)
        ``id73k`` of the images shown three times, ascending.
    patterns : ndarray of shape (n_images, n_vertices), float64
    """
    vertices = np.flatnonzero((brain.region == label) & brain.valid)
    _, same = np.unique(brain.native_index[vertices], return_inverse=True)
    return measure_again(
        brain.mixing[vertices],
        brain.noise_sd[vertices],
        latents,
        rng,
        same=same,
        session=brain.session,
        image=brain.image,
    )


def measure_again(
    mixing: NDArray[np.floating],
    noise_sd: NDArray[np.floating],
    latents: xr.DataArray,
    rng: np.random.Generator,
    *,
    same: NDArray[np.integer],
    session: NDArray[np.integer],
    image: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Put fresh noise on noise-free patterns trial by trial, z-score the sessions, and average the showings of an image.

    Parameters
    ----------
    mixing : ndarray of shape (n_units, n_features)
    noise_sd : ndarray of shape (n_units,)
    latents : DataArray (id73k, feature)
    rng
        Source of the noise.
    same : ndarray of shape (n_units,)
        Units with the same number share one noise.
    session, image : ndarrays of shape (n_trials,)

    Returns
    -------
    images : ndarray of shape (n_images,)
        ``id73k`` of the images shown three times, ascending.
    patterns : ndarray of shape (n_images, n_units), float64
    """
    row = {int(id73k): position for position, id73k in enumerate(latents["id73k"].to_numpy())}
    signal = latents.to_numpy()[[row[int(id73k)] for id73k in image]] @ mixing.T
    noise = rng.standard_normal((len(signal), int(same.max()) + 1), dtype=np.float32)[:, same] * noise_sd
    z = np.asarray(signal + noise, dtype=np.float64)
    for number in np.unique(session):
        trials = session == number
        z[trials] = (z[trials] - z[trials].mean(axis=0)) / z[trials].std(axis=0)
    images, counts = np.unique(image, return_counts=True)
    images = images[counts == REPEATS]
    seen = np.flatnonzero(np.isin(image, images))
    in_order = seen[np.argsort(image[seen], kind="stable")]
    return images, z[in_order].reshape(images.size, REPEATS, -1).mean(axis=1)


def correlation(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """Pearson correlation over the pairs that both define."""
    both = np.isfinite(left) & np.isfinite(right)
    return float(np.corrcoef(left[both], right[both])[0, 1])


class Expectation:
    """Expected scores and ceilings of every subject, region, model and image set, computed when first asked for.

    Parameters
    ----------
    brains
        Planted truth of each subject.
    latents : DataArray (id73k, feature)
    model_rdms
        RDM dataset of each model: ``rdm`` (image_set, pair), ``id73k`` (image_set, image).
    seed
        Seed of the noise.
    """

    def __init__(
        self,
        brains: Mapping[str, PlantedBrain],
        latents: xr.DataArray,
        model_rdms: Mapping[str, xr.Dataset],
        seed: int,
    ) -> None:
        self._brains, self._latents, self._seed = brains, latents, seed
        self._rdms: dict[tuple[str, str], list[dict[str, NDArray[np.float64]]]] = {}
        self._models: dict[str, dict[str, NDArray[np.floating]]] = {}
        self._images: dict[str, NDArray[np.int64]] = {}
        for model, dataset in model_rdms.items():
            names = [str(name) for name in dataset["image_set"].to_numpy()]
            self._models[model] = dict(zip(names, dataset["rdm"].to_numpy(), strict=True))
            self._images = dict(zip(names, dataset["id73k"].to_numpy(), strict=True))

    def _draws(self, subject: str, roi: str) -> list[dict[str, NDArray[np.float64]]]:
        """RDM of every image set of a subject, for each draw of fresh noise."""
        key = (subject, roi)
        if key not in self._rdms:
            rng = random_generator(self._seed, "expected", subject, roi)
            self._rdms[key] = []
            for _ in range(N_NOISE_DRAWS):
                images, patterns = measured_patterns(self._brains[subject], STREAMS.index(roi) + 1, self._latents, rng)
                row = {int(image): position for position, image in enumerate(images)}
                rdms = {}
                for name, wanted in self._images.items():
                    if name.startswith((f"{subject}-", "shared-")):
                        similarity = np.atleast_2d(np.corrcoef(patterns[[row[int(image)] for image in wanted]]))
                        rdms[name] = 1 - similarity[np.triu_indices(len(wanted), k=1)]
                self._rdms[key].append(rdms)
        return self._rdms[key]

    def score(self, model: str, roi: str, subject: str, image_set: str) -> float:
        """Return the expected correlation of a model's RDM with a region's."""
        of_model = self._models[model][image_set]
        return float(np.mean([correlation(of_model, draw[image_set]) for draw in self._draws(subject, roi)]))

    def lower_ceiling(self, roi: str) -> float:
        """Return the expected lower bound of the ceiling, mean over subjects and shared sets."""
        values = []
        for draw in range(N_NOISE_DRAWS):
            for name in (name for name in self._images if name.startswith("shared-")):
                vectors = np.array([self._draws(subject, roi)[draw][name] for subject in self._brains])
                standard = (vectors - vectors.mean(1, keepdims=True)) / vectors.std(1, keepdims=True)
                others = [np.delete(standard, s, axis=0).mean(axis=0) for s in range(len(standard))]
                values += [correlation(own, other) for own, other in zip(standard, others, strict=True)]
        return float(np.mean(values))


def judge(kind: str, expected: float, interval: Interval, bound: float) -> str:
    """Say whether an effect or a null came out as planted: ``yes`` or ``NO``; a value that is not defined did not."""
    if kind == "effect":
        sign = np.sign(expected)
        ok = interval.low <= expected <= interval.high and sign * interval.low > 0 and sign * interval.high > 0
    else:
        ok = -bound < interval.low and interval.high < bound
    return "yes" if ok else "NO"


def check_name(check: Mapping[str, Any]) -> str:
    """Name a row of the truth file in the table of checks."""
    model = check.get("model", "")
    return {
        "correlation": model,
        "difference": f"{model} - {check.get('minus')}",
        "ceiling": "lower bound of the ceiling",
        "ratio": f"{model} / lower bound of the ceiling",
        "map": f"map of {model}",
        "peak": f"largest map of {model}",
        "surface": f"map of {model}, surface - volume",
        "encoding": f"encoding by {model}",
        "sentences": f"predicted for sentences, {' - '.join(check.get('contrast', []))}",
        "decoding": f"decoding of {model}, {check.get('measure')}",
    }[check["quantity"]]


def place_name(check: Mapping[str, Any]) -> str:
    """Name the region, or the units, of a row of the truth file in the table of checks."""
    if "prefer" in check:
        return " > ".join(check["prefer"])
    return str(check.get("roi", ELSEWHERE))


def why_left_out(
    check: Mapping[str, Any],
    scores: pd.DataFrame,
    ceilings: pd.DataFrame,
    *,
    checked_rois: Sequence[str],
    made_up_captions: bool,
) -> str:
    """Say why a row of ``checks`` cannot be checked in this study; empty for one that can.

    Parameters
    ----------
    check
        A row of the truth file.
    scores, ceilings
        As for `check_truth`.
    checked_rois
        Regions whose expected values are known.
    made_up_captions
        Whether captions were made up, not brought.
    """
    roi = check["roi"]
    if roi not in checked_rois:
        return "the study has no region of that name on fsaverage with all vertices and correlation distances"
    if check.get("only_made_up_captions") and not made_up_captions:
        return "planted with made-up captions only"
    of_roi = scores[scores["roi"] == roi]
    if (of_roi["measure"] != "pearson").any():
        return "expected values are Pearson correlations"
    for model in (check[key] for key in ("model", "minus") if key in check):
        if model not in set(of_roi["model"]):
            return f"model {model} is not compared with regions"
    of_ceiling = check["quantity"] in ("ceiling", "ratio")
    if of_ceiling and ceilings.loc[ceilings["roi"] == roi, "subject"].nunique() < 3:
        return "the interval of a ceiling needs at least three subjects, and image sets that all saw three times"
    n_own_sets = (~is_shared(of_roi["image_set"]) & (of_roi["model"] == check.get("model"))).sum()
    return FEW_SETS if not of_ceiling and n_own_sets < 2 else ""


def rows_left_out(reasons: Sequence[tuple[Mapping[str, Any], str]]) -> pd.DataFrame:
    """One row with the columns `COLUMNS` for each row of the truth file that is left out, with its reason."""
    rows = [
        {
            "check": check_name(check),
            "roi": place_name(check),
            "kind": check["kind"],
            "ok": LEFT_OUT,
            "left_out": reason,
        }
        for check, reason in reasons
        if reason
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def join_rows(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables with the columns `COLUMNS` below each other; columns without any value may be among them."""
    return pd.DataFrame([row for part in parts for row in part.to_dict("records")], columns=COLUMNS)


def check_truth(
    checks: list[Mapping[str, Any]],
    bound: float,
    confidence: float,
    *,
    scores: pd.DataFrame,
    ceilings: pd.DataFrame,
    expectation: Expectation,
) -> pd.DataFrame:
    """One row for every planted effect or null.

    An *effect* is ok when its interval holds the expected value and lies on the expected side of zero. A *null* is ok when
    its whole interval lies within ``± bound``. For correlations the interval is over image sets and,
    for an effect, over the differences from the expected value of each set.

    Parameters
    ----------
    checks
        Rows of the truth file for which `why_left_out` has no reason: ``quantity`` (``correlation``, ``difference``,
        ``ceiling``, ``ratio``), ``roi``, ``kind`` (``effect`` or ``null``), ``model`` and for a difference ``minus``.
    bound
        Equivalence bound of nulls, in units of the correlation.
    confidence
        Coverage of each interval; `confidence_of_rows` keeps the chance that a faultless run has a row that is not ok.
    scores
        Scores of all models (rows of `capcortex.rsa.rdm.SCORE_COLUMNS`).
    ceilings
        Ceilings between subjects, rows of `capcortex.inference.ceilings.CEILING_COLUMNS`.
    expectation
        Of the same study.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; ``n`` counts the independent values behind the interval.
    """
    rows = []
    for check in checks:
        quantity, roi, kind = check["quantity"], check["roi"], check["kind"]
        if quantity in ("correlation", "difference"):
            expected, interval, n = _check_scores(check, scores, expectation, confidence)
        elif quantity == "ceiling":
            expected = expectation.lower_ceiling(roi)
            of_roi = ceilings[ceilings["roi"] == roi]
            interval, n = ceiling_interval(of_roi, "lower", confidence), of_roi["subject"].nunique()
        else:
            expected, interval, n = _check_ratio(check, scores, ceilings, expectation, confidence)
        limits = [interval.estimate, interval.low, interval.high, bound if kind == "null" else np.nan]
        rows.append([check_name(check), roi, kind, expected, *limits, n, judge(kind, expected, interval, bound), ""])
    return pd.DataFrame(rows, columns=COLUMNS)


def _check_scores(
    check: Mapping[str, Any], scores: pd.DataFrame, expectation: Expectation, confidence: float
) -> tuple[float, Interval, int]:
    def found_and_expected(model: str) -> pd.DataFrame:
        rows = scores[
            (scores["model"] == model)
            & (scores["roi"] == check["roi"])
            & ~scores["image_set"].str.startswith("shared-")
        ]
        expected = [
            expectation.score(model, check["roi"], str(row.subject), str(row.image_set)) for row in rows.itertuples()
        ]
        return rows.assign(expected=expected).set_index("image_set")[["r", "expected"]]

    values = found_and_expected(check["model"])
    if "minus" in check:
        values = values - found_and_expected(check["minus"])
    if check["kind"] == "null":
        return 0.0, mean_interval(values["r"], confidence), len(values)
    expected = float(values["expected"].mean())
    around = mean_interval(values["r"] - values["expected"], confidence)
    return expected, Interval(*(limit + expected for limit in around)), len(values)


def _check_ratio(
    check: Mapping[str, Any], scores: pd.DataFrame, ceilings: pd.DataFrame, expectation: Expectation, confidence: float
) -> tuple[float, Interval, int]:
    model, roi = check["model"], check["roi"]
    shared = scores[(scores["model"] == model) & (scores["roi"] == roi) & scores["image_set"].str.startswith("shared-")]
    r = shared.groupby("subject", sort=False)["r"].mean()
    expected_r = [expectation.score(model, roi, str(row.subject), str(row.image_set)) for row in shared.itertuples()]
    expected = float(np.mean(expected_r) / expectation.lower_ceiling(roi))
    interval = ratio_interval(r, ceilings[ceilings["roi"] == roi], "lower", confidence)
    return expected, interval, len(r)
