"""Inference for new people and new images: the two-factor bootstrap of models' scores, with its variance correction."""

from typing import NamedTuple

import numpy as np
import scipy
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from capcortex.inference.intervals import Interval
from capcortex.inference.resampled import compare_defined, correlation_of_sums, distinct_rows, unit_spread
from capcortex.rsa.measures import ROUNDING, n_images_of

FACTORS = ("both", "subjects", "images")
"""What a bootstrap draws anew: subjects and images, subjects alone, images alone."""

BLOCK_CELLS = 2**22  # draws times pairs held at once: 32 MB


class Contrast(NamedTuple):
    """A weighted sum of models' scores with its interval, t and two-sided p."""

    interval: Interval
    t: float
    p: float


def bootstrap_subjects_and_images(
    region: NDArray[np.floating],
    models: NDArray[np.floating],
    *,
    measure: str,
    n_draws: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Covariance of the models' group scores over draws of subjects and images.

    The score of a model is that of the study: for each subject the mean over image sets (those on which it is defined) of the
    comparison of the two RDMs, then the mean over subjects. A draw takes as many subjects as there are, with replacement,
    and within every image set as many images as it has, with replacement. Two copies of one image are no pair. A pair of
    images drawn a and b times occurs a b times. The three bootstraps share their draws: of subjects and images, of subjects
    alone with all images once, and of images alone with all subjects once.

    Parameters
    ----------
    region : ndarray of shape (n_image_sets, n_subjects, n_pairs)
        RDMs of a region on image sets that all subjects saw; NaN where a pair is not defined.
    models : ndarray of shape (n_image_sets, n_models, n_pairs)
        RDMs of the models on the same sets. What a model does not define is left out for that model only.
    measure
        One of `capcortex.rsa.measures.MEASURES`.
    n_draws
        Number of bootstrap draws.
    rng
        Source of the draws.

    Returns
    -------
    Dataset
        ``score`` (model); ``variance_both``, ``variance_subjects``, ``variance_images`` (model, model_2): covariances of the
        scores over draws (ddof 1), not yet corrected, see `corrected_variance`; and the numbers ``n_subjects``, ``n_images``
        (of one set, which is what is drawn from), ``degrees_of_freedom`` = min(n_subjects, n_images) - 1 and
        ``n_draws_used``. A draw in which some score is not defined, such as one of fewer than three different images, is
        left out for all models. Covariances are NaN for a model whose score is, and for all models with fewer than two
        subjects, no image set, or fewer than two draws left.

    Raises
    ------
    ValueError
        If the RDMs are not of the same sets and pairs, or their number of pairs is not that of a whole set.

    References
    ----------
    Schuett et al. 2023, doi 10.7554/eLife.82566; ``rsatoolbox.inference.eval_dual_bootstrap`` (rsatoolbox 0.3.2).
    """
    n_sets, n_subjects, n_pairs = region.shape
    if (models.shape[0], models.shape[2]) != (n_sets, n_pairs):
        raise ValueError(
            f"region and models: expected the same image sets and pairs, found {region.shape} and {models.shape}"
        )
    n_images = n_images_of(n_pairs)
    subject_draws = rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=n_draws)
    image_draws = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=(n_sets, n_draws))
    observed = scores_of_draws(region, models, np.ones((n_sets, 1, n_images), dtype=np.int64), measure)[0]
    drawn = scores_of_draws(region, models, image_draws, measure)

    score = observed.mean(axis=0)
    valid = np.isfinite(score)
    used = np.isfinite(drawn[:, :, valid]).all(axis=(1, 2))
    shares = subject_draws[used] / n_subjects
    of_draws = {
        "both": np.einsum("ds,dsm->dm", shares, drawn[used]),
        "subjects": shares @ observed,
        "images": drawn[used].mean(axis=1),
    }
    variables: dict[str, tuple[tuple[str, ...], NDArray[np.float64]]] = {"score": (("model",), score)}
    for factor, scores in of_draws.items():
        variance = np.full((score.size, score.size), np.nan)
        if n_subjects > 1 and valid.any() and used.sum() > 1:
            variance[np.ix_(valid, valid)] = np.cov(scores[:, valid], rowvar=False)
        variables[f"variance_{factor}"] = (("model", "model_2"), variance)
    numbers = {
        "n_subjects": n_subjects,
        "n_images": n_images,
        "degrees_of_freedom": min(n_subjects, n_images) - 1,
        "n_draws_used": int(used.sum()) if valid.any() else 0,
    }
    return xr.Dataset(variables | {name: ((), number) for name, number in numbers.items()})


def corrected_variance(
    both: ArrayLike, subjects: ArrayLike, images: ArrayLike, *, n_subjects: int, n_images: int
) -> NDArray[np.float64]:
    """Variance of a score for new subjects and new images, from the variances over the three kinds of draws.

    A draw of both factors holds the noise of single subjects on single images three times over, so that its variance is too
    large; each bootstrap of n is too small by (n - 1) / n. With ``a = n_subjects / (n_subjects - 1)``, ``b`` for images::

        a subjects + b images - a b (both - subjects - images)

    but not less than ``a subjects`` or ``b images``, and after that not more than ``both``.

    Parameters
    ----------
    both, subjects, images : broadcast with each other
        Variances of a score, or of a contrast of scores, over draws of both factors, of subjects and of images.
    n_subjects, n_images
        How many there were to draw from.

    Returns
    -------
    ndarray, float64

    References
    ----------
    Schuett et al. 2023, doi 10.7554/eLife.82566; bounds and small-sample factors as in
    ``rsatoolbox.util.inference_util._dual_bootstrap`` (rsatoolbox 0.3.2).
    """
    of_both, of_subjects, of_images = (np.asarray(each, dtype=np.float64) for each in (both, subjects, images))
    a, b = n_subjects / (n_subjects - 1), n_images / (n_images - 1)
    variance = a * of_subjects + b * of_images - a * b * (of_both - of_subjects - of_images)
    return np.minimum(np.maximum(np.maximum(variance, a * of_subjects), b * of_images), of_both)


def bootstrap_test(result: xr.Dataset, weights: ArrayLike, confidence: float = 0.95) -> Contrast:
    """Test a weighted sum of the models' scores against zero, for new subjects and new images.

    The correction is applied to the variances of the sum itself, not to those of its parts: a difference of two models is
    far less variable than the two scores.

    Parameters
    ----------
    result
        Of `bootstrap_subjects_and_images`, for one region.
    weights : shape (n_models,)
        1 for one model against zero; 1 and -1 for the difference of two.
    confidence
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    Contrast
        Interval (Student's t), t and two-sided p, with ``degrees_of_freedom``. NaN where a model in the sum has no variance,
        or the sum does not vary by more than rounding; the estimate stays.
    """
    contrast = np.asarray(weights, dtype=np.float64)
    part = np.flatnonzero(contrast)
    contrast = contrast[part]
    estimate = float(contrast @ result["score"].to_numpy()[part])
    covariances = [result[f"variance_{factor}"].to_numpy()[np.ix_(part, part)] for factor in FACTORS]
    scale = contrast**2 @ np.diag(covariances[0])
    both, subjects, images = (float(contrast @ covariance @ contrast) for covariance in covariances)
    if not both > ROUNDING * scale:
        return Contrast(Interval(estimate, float("nan"), float("nan")), float("nan"), float("nan"))
    n_subjects, n_images = int(result["n_subjects"]), int(result["n_images"])
    error = np.sqrt(corrected_variance(both, subjects, images, n_subjects=n_subjects, n_images=n_images))
    degrees = int(result["degrees_of_freedom"])
    t = estimate / error
    half = scipy.stats.t.isf((1 - confidence) / 2, degrees) * error
    interval = Interval(estimate, float(estimate - half), float(estimate + half))
    return Contrast(interval, float(t), float(2 * scipy.stats.t.sf(abs(t), degrees)))


def scores_of_draws(
    region: NDArray[np.floating], models: NDArray[np.floating], draws: NDArray[np.integer], measure: str
) -> NDArray[np.float64]:
    """Score of every subject and model under draws of images.

    Parameters
    ----------
    region, models, measure
        As for `bootstrap_subjects_and_images`.
    draws : ndarray of shape (n_image_sets, n_draws, n_images)
        How often each image occurs.

    Returns
    -------
    ndarray of shape (n_draws, n_subjects, n_models), float64
        Mean over the sets on which the comparison is defined; NaN where it is on none.
    """
    total = np.zeros((draws.shape[1], region.shape[1], models.shape[1]))
    count = np.zeros(total.shape, dtype=np.int64)
    for of_region, of_models, of_set in zip(region, models, draws, strict=True):
        if measure == "pearson":
            values = _pearson_of_draws(of_region, of_models, of_set)
        else:
            values = _compare_draws(of_region, of_models, of_set, measure)
        defined = np.isfinite(values)
        total += np.where(defined, values, 0)
        count += defined
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _pearson_of_draws(
    region: NDArray[np.floating], models: NDArray[np.floating], draws: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Pearson's r (draw, subject, model) in one set: a pair of images weighs the product of their counts."""
    x, x_defined = unit_spread(region)
    y, y_defined = unit_spread(models)
    # Sums over the pairs that both define; RDMs that define the same pairs share theirs.
    x_masks, x_which = distinct_rows(x_defined)
    y_masks, y_which = distinct_rows(y_defined)
    everyone, every_model = np.arange(len(x)), np.arange(len(y))
    sums = {
        "n": (x_masks, y_masks, x_which, y_which),
        "left": (x, y_masks, everyone, y_which),
        "right": (x_masks, y, x_which, every_model),
        "left_squares": (x**2, y_masks, everyone, y_which),
        "right_squares": (x_masks, y**2, x_which, every_model),
        "products": (x, y, everyone, every_model),
    }
    products = {name: np.multiply(left[:, None], right, dtype=np.float64) for name, (left, right, *_) in sums.items()}
    first, second = np.triu_indices(draws.shape[1], k=1)
    r = np.empty((len(draws), len(x), len(y)))
    height = max(1, BLOCK_CELLS // first.size)
    for start in range(0, len(draws), height):
        block = draws[start : start + height].astype(np.float64)
        weights = block[:, first] * block[:, second]
        parts = {}
        for name, (_, _, rows, columns) in sums.items():
            each = weights @ products[name].reshape(-1, first.size).T
            parts[name] = each.reshape(len(block), *products[name].shape[:2])[:, rows[:, None], columns]
        r[start : start + height] = correlation_of_sums(**parts)
    return r


def _compare_draws(
    region: NDArray[np.floating], models: NDArray[np.floating], draws: NDArray[np.integer], measure: str
) -> NDArray[np.float64]:
    """Compare (draw, subject, model) in one set: the RDMs of the images that were drawn, without pairs of two copies."""
    n_images = draws.shape[1]
    place = np.zeros((n_images, n_images), dtype=np.int64)
    upper = np.triu_indices(n_images, k=1)
    place[upper] = np.arange(upper[0].size)
    place = place + place.T
    values = np.empty((len(draws), len(region), len(models)))
    for number, counts in enumerate(draws):
        images = np.repeat(np.arange(n_images), counts)
        pairs = place[np.ix_(images, images)][upper]
        copies = images[upper[0]] == images[upper[1]]
        left, right = (np.where(copies, np.nan, rdms[:, pairs]) for rdms in (region, models))
        values[number] = compare_defined(left, right, measure)
    return values
