"""Were the planted regions found on the maps, and nothing else? The searchlight's part of the check against the truth.

As in ``truth``, expected values are measured anew in a few lines of their own: fresh noise on the noise-free patterns of the
voxels in a sphere. Between a planted region and where nothing is expected lies a band of one radius, in which spheres hold
some planted voxels.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import xarray as xr
from nibabel.freesurfer.mghformat import MGHImage
from numpy.typing import NDArray

from capcortex.arrays import open_array
from capcortex.inference.intervals import Interval, mean_interval
from capcortex.seeds import random_generator
from capcortex.truth import (
    COLUMNS,
    ELSEWHERE,
    FEW_SETS,
    FEW_SUBJECTS,
    N_NOISE_DRAWS,
    STREAMS,
    check_name,
    correlation,
    judge,
    measure_again,
)

N_CENTRES = 8
"""Centres of each subject and region at which the expected value is computed."""

CUBIC_REACH = 2 * np.sqrt(3)
"""A cubic kernel takes voxels up to two voxels away along each axis."""

RDMs = dict[str, NDArray[np.float64]]
"""RDM of each image set."""


@dataclass(frozen=True)
class PlantedVolume:
    """The planted truth of one subject in the volume, and the trials in which the subject saw images.

    Attributes
    ----------
    mixing : ndarray of shape (n_planted, n_features)
        Percent signal change per unit of each latent.
    noise_sd : ndarray of shape (n_planted,)
        Standard deviation of a single trial's noise, percent signal change.
    region : ndarray of shape (n_planted,)
        Label of the planted region.
    planted : ndarray of shape (n_planted, 3)
        0-based indices of the voxels that answer to anything.
    measured : ndarray of shape (X, Y, Z), bool
        Voxels of the brain mask that were measured in all sessions.
    session, image : ndarrays of shape (n_trials,)
        Session and ``id73k`` of every trial, as the responses list them.
    """

    mixing: NDArray[np.float32]
    noise_sd: NDArray[np.float32]
    region: NDArray[np.int64]
    planted: NDArray[np.int64]
    measured: NDArray[np.bool_]
    session: NDArray[np.int64]
    image: NDArray[np.int64]

    def of_regions(self, regions: Sequence[str]) -> NDArray[np.int64]:
        """Return the indices of the voxels planted in regions, (n, 3)."""
        return self.planted[np.isin(self.region, [STREAMS.index(name) + 1 for name in regions])]


def read_planted_volume(path: str | Path, responses: str | Path, mask: str | Path, valid: str | Path) -> PlantedVolume:
    """Read ``<subject>_volume.nc`` of the miniature's truth, with the subject's trials, brain mask and valid voxels."""
    trials = pd.read_csv(responses, sep="\t")
    measured = (np.asarray(nibabel.Nifti1Image.from_filename(mask).dataobj) > 0) & (
        np.asarray(nibabel.Nifti1Image.from_filename(valid).dataobj) == 1
    )
    with open_array(path, variables=["mixing", "noise_sd", "region", "i", "j", "k"]) as file:
        arrays = {name: file[name].to_numpy() for name in ("mixing", "noise_sd", "region")}
        planted = np.column_stack([file[axis].to_numpy() for axis in "ijk"])
    return PlantedVolume(
        **arrays,
        planted=planted,
        measured=measured,
        session=trials["SESSION"].to_numpy(),
        image=trials["73KID"].to_numpy(),
    )


def distance_to(points: NDArray[Any], places: NDArray[np.integer]) -> NDArray[np.float64]:
    """Distance in voxels from each point to the nearest of the places."""
    from scipy.spatial import cKDTree

    return cKDTree(places).query(points)[0]


def measure_sphere(
    volume: PlantedVolume, centre: NDArray[np.integer], radius: float, latents: xr.DataArray, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Measure the voxels around a centre once more: fresh noise on their planted patterns, trial by trial.

    Returns
    -------
    images, patterns
        As `capcortex.truth.measure_again`.
    """
    voxels = np.argwhere(volume.measured)
    sphere = voxels[np.linalg.norm(voxels - centre, axis=1) < radius]
    # A voxel without a planted response is noise alone; of which size does not matter, because sessions are z-scored.
    mixing = np.zeros((len(sphere), volume.mixing.shape[1]), np.float32)
    noise_sd = np.ones(len(sphere), np.float32)
    row = {tuple(voxel): number for number, voxel in enumerate(volume.planted.tolist())}
    for number, voxel in enumerate(sphere.tolist()):
        if tuple(voxel) in row:
            mixing[number] = volume.mixing[row[tuple(voxel)]]
            noise_sd[number] = volume.noise_sd[row[tuple(voxel)]]
    same = np.arange(len(sphere))
    return measure_again(mixing, noise_sd, latents, rng, same=same, session=volume.session, image=volume.image)


@dataclass(frozen=True)
class FoundMaps:
    """Results of the searchlight, and what they are compared with.

    Attributes
    ----------
    scores
        For each model and subject, ``r`` (image_set, centre) with ``i``, ``j``, ``k`` (centre).
    group
        For each model, the mean over subjects at every fsaverage vertex.
    places
        For each subject, the 0-based voxel coordinates of the fsaverage vertices at each depth, (vertex, 3).
    volumes
        Planted truth of each subject.
    latents : DataArray (id73k, feature)
    model_rdms
        RDM dataset of each model.
    radius
        Of the searchlight, in voxels.
    surface
        For each model, the maps of all subjects on fsaverage, (subject, vertex).
    labels
        For each subject, the label of what is planted at each fsaverage vertex; 0 where nothing is, or nothing was measured.
    """

    scores: Mapping[str, Mapping[str, xr.Dataset]]
    group: Mapping[str, NDArray[np.floating]]
    places: Mapping[str, list[NDArray[np.float64]]]
    volumes: Mapping[str, PlantedVolume]
    latents: xr.DataArray
    model_rdms: Mapping[str, xr.Dataset]
    radius: float
    surface: Mapping[str, xr.DataArray]
    labels: Mapping[str, NDArray[np.int64]]


def why_map_left_out(
    check: Mapping[str, Any], *, mapped: Sequence[str], compared: Collection[str], n_subjects: int, n_image_sets: int
) -> str:
    """Say why a row of ``map_checks`` cannot be checked in this study; empty for one that can.

    Parameters
    ----------
    check
        A row of the truth file.
    mapped
        Models that have maps.
    compared
        Models that are compared with regions, whose RDMs are at hand.
    n_subjects
        Subjects of the maps.
    n_image_sets
        Own image sets of all these subjects.
    """
    if check["model"] not in mapped:
        return f"model {check['model']} is not mapped"
    if check["model"] not in compared:
        return f"model {check['model']} is not compared with regions"
    if check["quantity"] == "surface" and n_subjects < 2:
        return FEW_SUBJECTS
    if check["quantity"] == "map" and n_image_sets < 2:
        return FEW_SETS
    return ""


def check_maps(
    checks: list[Mapping[str, Any]], bound: float, confidence: float, *, found: FoundMaps, seed: int
) -> pd.DataFrame:
    """One row for every planted effect or null of the maps.

    ``map`` of a region: mean r over some of the centres in it, beside its expected value at the same centres; an effect as in
    `capcortex.truth.check_truth`. ``map`` ``away_from`` regions: mean r over all centres whose sphere holds no voxel of these
    regions; a null. ``peak`` ``away_from`` regions: largest absolute mean over subjects at any vertex that is, in every subject,
    out of reach of these regions (a sphere's radius and the kernel of the projection); a null that is ok below the bound,
    without an interval. ``surface`` of a region: mean r over its vertices minus mean r at the voxels nearest to them, subject by
    subject; a null, which an empty or displaced projection is not.

    Parameters
    ----------
    checks
        ``map_checks`` of the truth file for which `why_map_left_out` has no reason: ``quantity`` (``map``, ``peak`` or
        ``surface``), ``model``, ``kind``, and ``roi`` or ``away_from``.
    bound
        Equivalence bound of nulls.
    confidence
        Coverage of each interval.
    found
        The study's maps.
    seed
        Seed of the noise and of the choice of centres.

    Returns
    -------
    DataFrame
        Columns ``truth.COLUMNS``.
    """
    measured = cache(partial(_measure_centres, found, seed))
    rows = []
    for check in checks:
        model, kind, roi = check["model"], check["kind"], check.get("roi", ELSEWHERE)
        if check["quantity"] == "peak":
            peak, n_vertices = _peak(found, model, check["away_from"])
            ok = "yes" if peak < bound else "NO"
            rows.append([check_name(check), roi, kind, 0.0, peak, np.nan, np.nan, bound, n_vertices, ok, ""])
            continue
        if check["quantity"] == "surface":
            expected, values = 0.0, _surface_minus_volume(found, model, roi)
        elif roi == ELSEWHERE:
            expected, values = 0.0, _means_away(found, model, check["away_from"])
        else:
            expected, values = _differences(found, model, {name: measured(name, roi) for name in found.volumes})
        around = mean_interval(values, confidence)
        interval = Interval(*(limit + expected for limit in around))
        ok = judge(kind, expected, interval, bound)
        limit = bound if kind == "null" else np.nan
        rows.append([check_name(check), roi, kind, expected, *interval, limit, len(values), ok, ""])
    return pd.DataFrame(rows, columns=COLUMNS)


def _measure_centres(found: FoundMaps, seed: int, subject: str, roi: str) -> tuple[NDArray[np.intp], list[RDMs]]:
    """Choose some centres of a region, and measure each anew: the RDM of every image set, once for each draw of noise."""
    volume, of_subject = found.volumes[subject], next(iter(found.scores.values()))[subject]
    images_of = next(iter(found.model_rdms.values()))["id73k"]
    rng = random_generator(seed, "expected", "searchlight", subject, roi)
    inside = np.flatnonzero(distance_to(_centres(of_subject), volume.of_regions([roi])) == 0)
    chosen = np.sort(rng.choice(inside, min(N_CENTRES, inside.size), replace=False))
    drawn = []
    for centre in np.repeat(_centres(of_subject)[chosen], N_NOISE_DRAWS, axis=0):
        images, patterns = measure_sphere(volume, centre, found.radius, found.latents, rng)
        row = {int(image): position for position, image in enumerate(images)}
        rdms = {}
        for name in map(str, of_subject["image_set"].to_numpy()):
            wanted = [row[int(image)] for image in images_of.sel(image_set=name).to_numpy()]
            similarity = np.atleast_2d(np.corrcoef(patterns[wanted]))
            rdms[name] = 1 - similarity[np.triu_indices(len(wanted), k=1)]
        drawn.append(rdms)
    return chosen, drawn


def _differences(
    found: FoundMaps, model: str, measured: Mapping[str, tuple[NDArray[np.intp], list[RDMs]]]
) -> tuple[float, list[float]]:
    """Mean expected value of a model's map, and how far from its expected value each image set is."""
    expected, differences = [], []
    for subject, (chosen, drawn) in measured.items():
        of_subject = found.scores[model][subject]
        for r, name in zip(of_subject["r"].to_numpy(), map(str, of_subject["image_set"].to_numpy()), strict=True):
            of_model = found.model_rdms[model]["rdm"].sel(image_set=name).to_numpy()
            expected.append(float(np.mean([correlation(of_model, rdms[name]) for rdms in drawn])))
            differences.append(float(r[chosen].mean()) - expected[-1])
    return float(np.mean(expected)), differences


def _means_away(found: FoundMaps, model: str, regions: Sequence[str]) -> list[float]:
    """Mean r of each image set over the centres whose sphere holds no voxel of the regions."""
    means = []
    for subject, of_subject in found.scores[model].items():
        away = distance_to(_centres(of_subject), found.volumes[subject].of_regions(regions)) >= found.radius
        means += np.nanmean(of_subject["r"].to_numpy()[:, away], axis=1).tolist()
    return means


def _surface_minus_volume(found: FoundMaps, model: str, region: str) -> list[float]:
    """Mean r over the vertices of a region minus mean r at the voxels nearest to them, for each subject."""
    differences = []
    for subject, of_subject in found.scores[model].items():
        inside = found.labels[subject] == STREAMS.index(region) + 1
        inside &= np.isfinite(found.places[subject]).all(axis=(0, 2))
        volume = np.full(found.volumes[subject].measured.shape, np.nan)
        volume[tuple(_centres(of_subject).T)] = np.nanmean(of_subject["r"].to_numpy(), axis=0)
        nearest = [np.rint(points[inside]).astype(np.int64) for points in found.places[subject]]
        at_voxels = np.mean([volume[tuple(voxels.T)] for voxels in nearest], axis=0)
        on_surface = found.surface[model].sel(subject=subject).to_numpy()[inside]
        # Where both have a value; a map without values has no difference, which no interval holds.
        differences.append(float(np.mean((on_surface - at_voxels)[np.isfinite(at_voxels)])))
    return differences


def _peak(found: FoundMaps, model: str, regions: Sequence[str]) -> tuple[float, int]:
    """Largest absolute group mean out of reach of the regions, and the number of vertices there."""
    mean = found.group[model]
    away = np.isfinite(mean)
    for subject, depths in found.places.items():
        planted = found.volumes[subject].of_regions(regions)
        for points in depths:
            away &= np.isfinite(points).all(axis=1)
            away[away] = distance_to(points[away], planted) >= found.radius + CUBIC_REACH
    return float(np.abs(mean[away]).max()), int(away.sum())


def _centres(found: xr.Dataset) -> NDArray[np.int64]:
    return np.column_stack([found[axis].to_numpy() for axis in "ijk"]).astype(np.int64)


def vertex_places(transforms: Sequence[str | Path], index: str | Path) -> list[NDArray[np.float64]]:
    """0-based voxel coordinates of the fsaverage vertices of one hemisphere at each depth, from NSD's transform files.

    Returns
    -------
    list of ndarray of shape (n_fsaverage, 3)
        NaN where a vertex lies outside the volume.
    """
    native = np.asarray(MGHImage.from_filename(index).dataobj).ravel().astype(np.int64) - 1
    depths = []
    for path in transforms:
        points = np.asarray(MGHImage.from_filename(path).dataobj, np.float64).reshape(-1, 3)[native] - 1
        points[(points == 9998).any(axis=1)] = np.nan
        depths.append(points)
    return depths
