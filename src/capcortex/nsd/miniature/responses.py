"""Responses: what each vertex or voxel of a subject answers to, and its single-trial betas with their noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.anatomy import Native, Volume
from capcortex.nsd.miniature.atlas import STREAMS, Atlas
from capcortex.nsd.miniature.mesh import load_cortex
from capcortex.nsd.miniature.vocabulary import CATEGORIES
from capcortex.seeds import random_generator

STREAM_LABELS = {name: number for number, (name, _, _) in enumerate(STREAMS, start=1)}
KINDS = ("people", "places", "food")
"""Kinds of images of which a unit can be made to prefer one to another."""

TEMPORAL_POLE = (-38.0, 12.0, -38.0)


@dataclass
class Units:
    """The vertices or voxels of a subject and how they answer.

    Attributes
    ----------
    planted
        (answering,) positions of the units that answer to anything, ascending.
    mixing
        (answering, feature) float32, per cent signal change for a feature value of 1.
    noise_sd, baseline
        (unit,) float32, per cent signal change.
    region
        (unit,) streams label of what is planted, 0 for nothing.
    missing
        (unit,) whether the unit has no data in the session with missing data.
    prefers
        (unit,) number of the preference that the unit was made to have, counted from 1 as the truth lists them; 0 for none.
    """

    planted: np.ndarray
    mixing: np.ndarray
    noise_sd: np.ndarray
    baseline: np.ndarray
    region: np.ndarray
    missing: np.ndarray
    prefers: np.ndarray

    def full_mixing(self) -> np.ndarray:
        """Return (unit, feature) mixing weights, 0 for units that answer to nothing."""
        full = np.zeros((len(self.noise_sd), self.mixing.shape[1]), np.float32)
        full[self.planted] = self.mixing
        return full


def check_truth(truth: dict[str, Any], blocks: set[str]) -> None:
    """Refuse a truth that names unknown regions or blocks, or whose shares do not add up."""
    for region, plan in truth["regions"].items():
        if region not in STREAM_LABELS:
            raise ValueError(f"truth: unknown region {region}; regions are {', '.join(STREAM_LABELS)}")
        strange = sorted(set(plan["blocks"]) - blocks)
        if strange:
            raise ValueError(
                f"truth: {region}: unknown block {', '.join(strange)}; blocks are {', '.join(sorted(blocks))}"
            )
        total = sum(plan["blocks"].values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"truth: {region}: the shares of its blocks add up to {total:g}, not 1")
    if not 0 <= truth["alike"] <= 1:
        raise ValueError(f"truth: alike is a share from 0 to 1, found {truth['alike']}")
    for region in truth["preferences"]["regions"]:
        if region not in truth["regions"]:
            raise ValueError(f"truth: preferences: nothing is planted in region {region}")
    for pair in truth["preferences"]["pairs"]:
        for kind in pair:
            if kind not in KINDS:
                raise ValueError(f"truth: preferences: unknown kind {kind}; kinds are {', '.join(KINDS)}")


def planted_regions(
    streams: Atlas, native_streams: Atlas, natives: dict[str, Native], truth: dict[str, Any]
) -> np.ndarray:
    """Return which region is planted in each native vertex (lh then rh), 0 for none.

    A vertex that serves fsaverage vertices of different labels answers to nothing, so that on fsaverage too no vertex
    outside a region carries its signal.
    """
    answering = [STREAM_LABELS[name] for name in truth["regions"]]
    regions = []
    for hemisphere in HEMISPHERES:
        native, own = natives[hemisphere], native_streams.labels[hemisphere].copy()
        clash = streams.labels[hemisphere] != own[native.to_fsaverage]
        own[native.to_fsaverage[clash]] = 0
        regions.append(np.where(np.isin(own, answering), own, 0))
    return np.concatenate(regions)


def _mix(
    shares: dict[str, float],
    latents: xr.Dataset,
    *,
    own: np.random.Generator,
    common: np.random.Generator,
    place: np.ndarray,
    n_places: int,
    alike: float,
) -> np.ndarray:
    """Draw weights for units whose signal has variance 1 over the images, divided among blocks as asked.

    Parameters
    ----------
    shares, latents
        Share of each block; features of the images.
    own, common
        Sources of what is the subject's own and of what is the same in all subjects.
    place, n_places
        (unit,) where each unit lies among the places that subjects have in common, and how many of these there are.
    alike
        Share of the weights' variance that is the same in all subjects.
    """
    values, owner = latents["latents"].values, latents["block"].values
    mixing = np.zeros((len(place), values.shape[1]), np.float32)
    for block, share in shares.items():
        columns = owner == block
        count = int(columns.sum())
        weights = np.sqrt(alike) * common.standard_normal((n_places, count), dtype=np.float32)[place]
        weights += np.sqrt(1 - alike) * own.standard_normal((len(place), count), dtype=np.float32)
        spread = (weights @ values[:, columns].T).std(axis=1, keepdims=True)
        mixing[:, columns] = weights * np.sqrt(share) / spread
    # Blocks are not independent of one another (kitchens go with cooking), so the sum is set to variance 1 as well.
    return mixing / (mixing @ values.T).std(axis=1, keepdims=True)


def images_of_kinds(latents: xr.Dataset) -> dict[str, np.ndarray]:
    """Say for each of `KINDS` which images are of it, (image,): people without food, neither, food without people."""
    of_feature = dict(zip(latents["feature"].values.tolist(), latents["latents"].values.T, strict=True))
    nothing = np.zeros(latents.sizes["id73k"])
    people = of_feature.get("people: any", nothing) > 0
    food = np.zeros(len(people), bool)
    for name, category in CATEGORIES.items():
        values = of_feature.get(f"objects: {name}", nothing)
        # Standardised, so that images without the thing and its kin have the least value.
        food |= (category.supercategory == "food") & (values > values.min())
    return dict(zip(KINDS, (people & ~food, ~people & ~food, food & ~people), strict=True))


def _turn(
    mixing: np.ndarray,
    latents: xr.Dataset,
    truth: dict[str, Any],
    *,
    region: np.ndarray,
    place: np.ndarray,
    streams: np.ndarray,
) -> np.ndarray:
    """Turn the sign of weights so that units prefer one kind of image to another; units near to each other the same.

    Of a region each quarter (front or back, high or low) of each hemisphere has one preference. The sign of a unit's weights
    changes nothing of how much its responses to two images differ, and as preferences come in both directions, little of the
    mean over units.

    Parameters
    ----------
    mixing
        (unit, feature), changed in place.
    latents, truth
        Features of the images; what is planted.
    region
        (unit,) region of each unit.
    place
        (unit,) vertex of fsaverage, lh then rh.
    streams
        (place,) label of each vertex of fsaverage.

    Returns
    -------
    numpy.ndarray
        (unit,) number of the preference, 0 for none.
    """
    kinds, values = images_of_kinds(latents), latents["latents"].values
    sphere = np.concatenate([load_cortex(hemisphere).sphere for hemisphere in HEMISPHERES])
    half = len(sphere) // 2
    pairs, prefers = truth["preferences"]["pairs"], np.zeros(len(region), int)
    for name in truth["preferences"]["regions"]:
        label = STREAM_LABELS[name]
        for side in (0, 1):
            inside = np.flatnonzero(streams == label)
            middle = np.median(sphere[inside[inside // half == side]][:, 1:], axis=0)
            units = np.flatnonzero((region == label) & (place // half == side))
            front, high = (sphere[place[units]][:, 1:] > middle).T
            prefers[units] = 1 + (2 * front + high) % len(pairs)
    for number, (more, less) in enumerate(pairs, start=1):
        units = prefers == number
        if not (kinds[more].any() and kinds[less].any()):
            prefers[units] = 0
            continue
        difference = values[kinds[more]].mean(axis=0) - values[kinds[less]].mean(axis=0)
        mixing[units] *= np.where(mixing[units] @ difference < 0, -1, 1).astype(np.float32)[:, None]
    return prefers


def _between(random: np.random.Generator, limits: list[float], count: int) -> np.ndarray:
    low, high = limits
    return random.uniform(low, high, count).astype(np.float32)


def draw_vertices(
    region: np.ndarray,
    natives: dict[str, Native],
    streams: Atlas,
    latents: xr.Dataset,
    truth: dict[str, Any],
    *,
    subject: str,
    seed: int,
    has_missing: bool,
) -> Units:
    """Draw how each native vertex answers.

    Parameters
    ----------
    region
        (vertex,) planted region, lh then rh.
    natives
        The native surfaces.
    streams
        Regions on fsaverage.
    latents
        ``latents`` (id73k, feature) with the block of each feature.
    truth
        Content of ``config/truth.yaml``.
    subject, seed
        Whose brain, and the seed of the study.
    has_missing
        Whether the subject lacks data of some vertices in one session.
    """
    random = random_generator(seed, "miniature", "mixing", subject)
    noise_sd = _between(random, truth["noise"]["sd"], len(region))
    baseline = _between(random, truth["noise"]["baseline"], len(region))
    subject_factor = np.exp(random.normal(0, truth["variation"]["subjects"]))
    planted = np.flatnonzero(region)
    labels = np.concatenate([streams.labels[hemisphere] for hemisphere in HEMISPHERES])
    starts = np.arange(len(HEMISPHERES)) * len(streams.labels[HEMISPHERES[0]])
    place = np.concatenate(
        [natives[hemisphere].from_fsaverage + start for hemisphere, start in zip(HEMISPHERES, starts, strict=True)]
    )[planted]
    mixing = np.zeros((len(planted), latents.sizes["feature"]), np.float32)
    for name, plan in truth["regions"].items():
        here = region[planted] == STREAM_LABELS[name]
        ratio = plan["ncsnr"] * subject_factor * random.lognormal(0, truth["variation"]["vertices"], int(here.sum()))
        amplitude = (ratio * noise_sd[planted[here]]).astype(np.float32)
        common = random_generator(seed, "miniature", "common mixing", name)
        drawn = _mix(
            plan["blocks"],
            latents,
            own=random,
            common=common,
            place=place[here],
            n_places=len(labels),
            alike=truth["alike"],
        )
        mixing[here] = amplitude[:, None] * drawn
    prefers = np.zeros(len(region), int)
    prefers[planted] = _turn(mixing, latents, truth, region=region[planted], place=place, streams=labels)
    missing = np.zeros(len(region), bool)
    if has_missing:
        missing[_missing_vertices(random, region, natives, truth)] = True
    return Units(planted, mixing, noise_sd, baseline, region, missing, prefers)


def _missing_vertices(
    random: np.random.Generator, region: np.ndarray, natives: dict[str, Native], truth: dict[str, Any]
) -> np.ndarray:
    """Choose vertices without data: at the temporal poles, and a few within each region that answers."""
    chosen: list[int] = []
    start = 0
    for hemisphere in HEMISPHERES:
        native = natives[hemisphere]
        own = region[start : start + len(native.sphere)]
        pole = np.asarray(TEMPORAL_POLE) * ((1, 1, 1) if hemisphere == "lh" else (-1, 1, 1))
        near = np.argsort(np.linalg.norm(native.white - pole, axis=1), kind="stable")[
            : truth["missing"]["temporal_pole"]
        ]
        chosen.extend(start + near)
        for name in truth["regions"]:
            members = np.flatnonzero((own == STREAM_LABELS[name]) & native.used)
            count = min(truth["missing"]["per_region"], len(members))
            chosen.extend(start + random.choice(members, count, replace=False))
        start += len(native.sphere)
    return np.asarray(chosen)


def draw_voxels(vertices: Units, volume: Volume, truth: dict[str, Any], *, subject: str, seed: int) -> Units:
    """Let the voxels of the mask answer as the vertices in them do; noise alone where there is no cortex."""
    random = random_generator(seed, "miniature", "voxels", subject)
    count, cortex = len(volume.mask), volume.vertex >= 0
    noise_sd = _between(random, truth["noise"]["sd"], count)
    baseline = _between(random, truth["noise"]["baseline"], count)
    noise_sd[cortex] = vertices.noise_sd[volume.vertex[cortex]]
    baseline[cortex] = vertices.baseline[volume.vertex[cortex]]
    region = np.zeros(count, int)
    region[cortex] = vertices.region[volume.vertex[cortex]]
    prefers = np.zeros(count, int)
    prefers[cortex] = vertices.prefers[volume.vertex[cortex]]
    planted = np.flatnonzero(region)
    mixing = vertices.mixing[np.searchsorted(vertices.planted, volume.vertex[planted])]
    missing = np.zeros(count, bool)
    if vertices.missing.any():
        from scipy.spatial import cKDTree

        centres = volume.coordinates["layerB2"][vertices.missing]
        missing[cKDTree(volume.indices()).query(centres)[1]] = True
    return Units(planted, mixing, noise_sd, baseline, region, missing, prefers)


def session_betas(units: Units, latents: np.ndarray, truth: dict[str, Any], random: np.random.Generator) -> np.ndarray:
    """Return the betas of one session, (trial, unit) float32 in per cent signal change.

    Parameters
    ----------
    units
        How the units answer.
    latents
        (trial, feature) float32 of the images shown.
    truth
        Content of ``config/truth.yaml``.
    random
        Source of randomness, consumed.
    """
    noise, count = truth["noise"], len(units.noise_sd)
    scale = np.exp(random.normal(0, noise["session_scale"], count)).astype(np.float32)
    offset = random.normal(0, noise["session_offset"], count).astype(np.float32)
    betas = random.standard_normal((len(latents), count), dtype=np.float32)
    betas *= units.noise_sd
    betas[:, units.planted] += latents @ units.mixing.T
    betas *= scale
    betas += units.baseline + offset
    return betas
