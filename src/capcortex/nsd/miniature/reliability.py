"""NSD's noise-ceiling signal-to-noise ratio (ncsnr), computed from single trials as the dataset's authors do."""

import numpy as np

REPEATS = 3


def standardise(betas: np.ndarray) -> np.ndarray:
    """Z-score each unit over the trials of a session (sd with n - 1); units without variance become NaN.

    Parameters
    ----------
    betas
        (trial, unit) float32 of one session.
    """
    centred = betas - betas.mean(axis=0)
    sd = np.sqrt(np.einsum("tu,tu->u", centred, centred) / (len(betas) - 1))
    centred /= np.where(sd > 0, sd, np.nan).astype(np.float32)
    return centred


def noise_variance(scores: np.ndarray, images: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the mean variance over the showings of the same image.

    Parameters
    ----------
    scores
        (trial, unit) z-scores of all sessions.
    images
        (trial,) image of each trial.
    chosen
        Images to use, each shown exactly three times.

    Returns
    -------
    numpy.ndarray
        (unit,) float64; NaN where no image has three valid showings.
    """
    total, count = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for image in chosen:
        variance = scores[images == image].var(axis=0, ddof=1)
        valid = np.isfinite(variance)
        total[valid] += variance[valid]
        count += valid
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def ncsnr(variance: np.ndarray) -> np.ndarray:
    """Return signal sd over noise sd of z-scored units from their noise variance, (unit,) float32."""
    return (np.sqrt(np.maximum(0, 1 - variance)) / np.sqrt(variance)).astype(np.float32)


def thrice_shown(images: np.ndarray) -> np.ndarray:
    """Return the images with exactly three trials, ascending."""
    shown, times = np.unique(images, return_counts=True)
    return shown[times == REPEATS]
