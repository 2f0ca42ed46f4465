"""Simulated studies with the structure of NSD, made of a few latents and units: what the tests of the study are tried on.

Eight subjects see unequal numbers of images of their own, which nobody else sees, and some that all see. A scene is a vector of
latents. A region of a subject mixes the latents in its own way, adds what is private to the subject and the noise of three
repeats. A model has some of the latents as features, and others of its own. Everything is drawn anew in every study.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capcortex.rsa.measures import compare_each, compare_rdms
from capcortex.rsa.rdm import pair_distances

N_LATENTS = 16
REPEATS = 3


class Design(NamedTuple):
    """How many image sets there are: of each subject alone, and of images that all subjects see."""

    own_sets: tuple[int, ...] = (5, 5, 3, 3, 5, 3, 5, 3)
    """NSD's 100, 100, 62, 54, 100, 62, 100 and 54 sets, divided by 20."""
    shared_sets: int = 3
    set_size: int = 30


class Scenes(NamedTuple):
    """The images of a study: their latents (image, latent) and the image sets, which name images by their row."""

    latents: NDArray[np.float64]
    own: list[NDArray[np.int64]]
    """Of each subject, (set, image)."""
    shared: NDArray[np.int64]
    """(set, image)."""


class Region(NamedTuple):
    """What a region's responses are made of, relative to latents of standard deviation 1.

    With these values ceilings are near 0.5, and differ between subjects, as reported for regions of the real data.
    """

    latents: slice = slice(0, N_LATENTS)
    """Latents of the scene to which the region responds."""
    scene: float = 1.0
    private: float = 0.5
    """Weight of latents of the images that only this subject has."""
    noise: float = 2.0
    """Standard deviation of one unit's noise in one trial, on average over subjects."""
    noise_variety: float = 0.5
    """Standard deviation over subjects of the logarithm of the noise: makes subjects better or worse for all models."""
    weight_variety: float = 0.15
    """Standard deviation over subjects of the logarithm of the weight of each latent: makes a model fit some subjects better."""
    n_units: int = 60


class Model(NamedTuple):
    """What a model's features are made of."""

    latents: slice = slice(0, N_LATENTS)
    """Latents of the scene that are among the features."""
    strength: float = 0.0
    """Weight of these latents; with 0 the model has nothing to do with the scenes."""
    n_own: int = 8
    """Features of weight 1 that no brain knows."""


class Rdms(NamedTuple):
    """RDMs of a region in all subjects, or of a model."""

    own: list[NDArray[np.float64]]
    """Of each subject's own image sets, (set, pair)."""
    shared: NDArray[np.float64]
    """Of the shared image sets: (subject, set, pair), of a model (set, pair)."""
    all_shared: NDArray[np.float64]
    """Of all shared images as one set: (subject, pair), of a model (pair,)."""


def draw_scenes(design: Design, rng: np.random.Generator) -> Scenes:
    """Draw the images of a study: independent normal latents, every image in one image set only.

    Parameters
    ----------
    design
        Numbers of image sets.
    rng
        Source of randomness.
    """
    counts = [*design.own_sets, design.shared_sets]
    rows = np.arange(sum(counts) * design.set_size).reshape(-1, design.set_size)
    *own, shared = np.split(rows, np.cumsum(counts)[:-1])
    return Scenes(rng.normal(size=(rows.size, N_LATENTS)), own, shared)


def simulate_region(scenes: Scenes, region: Region, rng: np.random.Generator) -> Rdms:
    """RDMs of a region in every subject.

    The averaged response of subject s is::

        beta = scene * (latents * gain_s) @ mixing_s + private * (private latents_s) @ (another mixing_s) + noise_s

    with mixing weights of variance 1 over the number of latents, log-normal gains, and the noise of one trial divided by the
    square root of the number of repeats.

    Parameters
    ----------
    scenes
        The images.
    region
        What the responses are made of.
    rng
        Source of randomness.

    Returns
    -------
    Rdms
        Correlation distances; float64.
    """
    seen = scenes.latents[:, region.latents]
    of_subjects = []
    for own in scenes.own:
        rows = np.concatenate([own.ravel(), scenes.shared.ravel()])
        gain = region.scene * np.exp(rng.normal(0, region.weight_variety, seen.shape[1]))
        noise = region.noise * np.exp(rng.normal(0, region.noise_variety)) / np.sqrt(REPEATS)
        private = region.private * rng.normal(size=(len(rows), N_LATENTS))
        betas = (seen[rows] * gain) @ _mixing(seen.shape[1], region.n_units, rng)
        betas += private @ _mixing(N_LATENTS, region.n_units, rng)
        betas += noise * rng.normal(size=betas.shape)
        of_subjects.append(_rdms(betas, [own.shape[0], scenes.shared.shape[0]], own.shape[1]))
    shared = np.array([sets[1] for sets, _ in of_subjects])
    return Rdms([sets[0] for sets, _ in of_subjects], shared, np.array([whole for _, whole in of_subjects]))


def simulate_model(scenes: Scenes, model: Model, rng: np.random.Generator) -> Rdms:
    """RDMs of a model on all image sets.

    Its features are its latents as they are, times ``strength``, beside its own. Mixing them at random would favour some
    latents by chance: then one of two models of the same strength would truly be the better one.

    Parameters
    ----------
    scenes
        The images.
    model
        What the features are made of.
    rng
        Source of randomness.

    Returns
    -------
    Rdms
        Correlation distances; float64.
    """
    own_features = rng.normal(size=(len(scenes.latents), model.n_own))
    features = np.hstack([model.strength * scenes.latents[:, model.latents], own_features])
    counts = [*map(len, scenes.own), len(scenes.shared)]
    images = np.concatenate([*(own.ravel() for own in scenes.own), scenes.shared.ravel()])
    (*own, shared), whole = _rdms(features[images], counts, scenes.shared.shape[1])
    return Rdms(own, shared, whole)


def own_scores(region: Rdms, model: Rdms) -> NDArray[np.float64]:
    """Mean RDM correlation over each subject's own image sets, (subject,)."""
    return np.array(
        [
            np.mean([compare_rdms(*rdms)[0] for rdms in zip(sets, of_model, strict=True)])
            for sets, of_model in zip(region.own, model.own, strict=True)
        ]
    )


def shared_scores(region: Rdms, model: Rdms) -> NDArray[np.float64]:
    """Mean RDM correlation of each subject over the shared image sets, (subject,)."""
    of_sets = [
        compare_each(rdms, of_model[None], "pearson")[:, 0]
        for rdms, of_model in zip(region.shared.swapaxes(0, 1), model.shared, strict=True)
    ]
    return np.mean(of_sets, axis=0)


def _mixing(n_latents: int, n_units: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.normal(0, 1 / np.sqrt(n_latents), (n_latents, n_units))


def _rdms(
    patterns: NDArray[np.float64], counts: list[int], set_size: int
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """RDMs of consecutive image sets, in groups of ``counts`` sets; and of all images of the last group as one."""
    sets = patterns.reshape(-1, set_size, patterns.shape[1])
    vectors = np.array([pair_distances(members, "correlation") for members in sets])
    whole = pair_distances(patterns[-counts[-1] * set_size :], "correlation")
    return np.split(vectors, np.cumsum(counts)[:-1]), whole
