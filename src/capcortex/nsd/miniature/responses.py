"""Responses: what each vertex or voxel of a subject answers to, and its single-trial betas with their noise."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.anatomy import Native, Volume
from capcortex.nsd.miniature.atlas import STREAMS, Atlas
from capcortex.seeds import random_generator

STREAM_LABELS = {name: number for number, (name, _, _) in enumerate(STREAMS, start=1)}
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
    """

    planted: np.ndarray
    mixing: np.ndarray
    noise_sd: np.ndarray
    baseline: np.ndarray
    region: np.ndarray
    missing: np.ndarray

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


def _mix(random: np.random.Generator, count: int, shares: dict[str, float], latents: xr.Dataset) -> np.ndarray:
    """Draw weights for ``count`` units whose signal has variance 1 over the images, divided among blocks as asked."""
    values, owner = latents["latents"].values, latents["block"].values
    mixing = np.zeros((count, values.shape[1]), np.float32)
    for block, share in shares.items():
        columns = owner == block
        weights = random.standard_normal((count, int(columns.sum())), dtype=np.float32)
        spread = (weights @ values[:, columns].T).std(axis=1, keepdims=True)
        mixing[:, columns] = weights * np.sqrt(share) / spread
    # Blocks are not independent of one another (kitchens go with cooking), so the sum is set to variance 1 as well.
    return mixing / (mixing @ values.T).std(axis=1, keepdims=True)


def _between(random: np.random.Generator, limits: list[float], count: int) -> np.ndarray:
    low, high = limits
    return random.uniform(low, high, count).astype(np.float32)


def draw_vertices(
    region: np.ndarray,
    natives: dict[str, Native],
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
    mixing = np.zeros((len(planted), latents.sizes["feature"]), np.float32)
    for name, plan in truth["regions"].items():
        here = region[planted] == STREAM_LABELS[name]
        ratio = plan["ncsnr"] * subject_factor * random.lognormal(0, truth["variation"]["vertices"], int(here.sum()))
        amplitude = (ratio * noise_sd[planted[here]]).astype(np.float32)
        mixing[here] = amplitude[:, None] * _mix(random, int(here.sum()), plan["blocks"], latents)
    missing = np.zeros(len(region), bool)
    if has_missing:
        missing[_missing_vertices(random, region, natives, truth)] = True
    return Units(planted, mixing, noise_sd, baseline, region, missing)


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
    planted = np.flatnonzero(region)
    mixing = vertices.mixing[np.searchsorted(vertices.planted, volume.vertex[planted])]
    missing = np.zeros(count, bool)
    if vertices.missing.any():
        from scipy.spatial import cKDTree

        centres = volume.coordinates["layerB2"][vertices.missing]
        missing[cKDTree(volume.indices()).query(centres)[1]] = True
    return Units(planted, mixing, noise_sd, baseline, region, missing)


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
