"""One subject's brain: anatomy, regions, transforms and the betas of every session, with the truth behind them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.io import loadmat

from capcortex.arrays import open_array, write_array
from capcortex.nsd import layout
from capcortex.nsd.layout import HEMISPHERES
from capcortex.nsd.miniature.anatomy import (
    DEPTHS,
    Native,
    Volume,
    make_native,
    make_volume,
    native_atlas,
    transform_coordinates,
)
from capcortex.nsd.miniature.atlas import Atlas, common_atlases, personal_atlases
from capcortex.nsd.miniature.cortex import write_atlas
from capcortex.nsd.miniature.design import SUBJECTS, run_lengths
from capcortex.nsd.miniature.formats import (
    PERCENT_SCALE,
    to_int16,
    write_hdf5_betas,
    write_mgh,
    write_morphology,
    write_nifti,
    write_nifti_trials,
    write_surface,
)
from capcortex.nsd.miniature.reliability import ncsnr, noise_variance, standardise, thrice_shown
from capcortex.nsd.miniature.responses import (
    Units,
    check_truth,
    draw_vertices,
    draw_voxels,
    planted_regions,
    session_betas,
)
from capcortex.seeds import random_generator

COMPRESSED = {"zlib": True, "complevel": 1}
SESSION_WITH_GAPS = 2


@dataclass(frozen=True)
class _Subject:
    """Whose files are written, and where: ``root`` holds NSD's tree, ``version`` is the folder name of the betas."""

    root: Path
    name: str
    version: str
    natives: dict[str, Native]
    volume: Volume
    twins: bool

    def hemispheres(self) -> Iterator[tuple[str, Native, slice]]:
        """Give each hemisphere with its native surface and its part of the vertices (lh then rh)."""
        start = 0
        for hemisphere in HEMISPHERES:
            native = self.natives[hemisphere]
            here = slice(start, start + len(native.sphere))
            start = here.stop
            yield hemisphere, native, here


def _images_shown(root: Path, subject: str, sessions: dict[str, int], trials_per_session: int) -> np.ndarray:
    """Return the 73k ids (1-based) of a subject's completed trials, from the plan in the experiment's files."""
    path = root / layout.EXPERIMENT_DESIGN
    plan = loadmat(path)
    ordering = plan["masterordering"].ravel().astype(np.int64)
    if len(ordering) != max(sessions.values()) * trials_per_session:
        raise ValueError(
            f"{path}: {len(ordering)} trials are planned, but {max(sessions.values())} sessions of "
            f"{trials_per_session} trials are asked for; write the experiment again with the same sessions and runs"
        )
    images = plan["subjectim"].astype(np.int64)[SUBJECTS.index(subject)]
    return images[ordering[: sessions[subject] * trials_per_session] - 1]


def _write_anatomy(subject: _Subject) -> None:
    root, name, volume = subject.root, subject.name, subject.volume
    for hemisphere, native, _ in subject.hemispheres():
        for kind in ("white", "pial", "inflated", "sphere"):
            write_surface(root / layout.surface(name, hemisphere, kind), getattr(native, kind), native.faces)
        for kind in ("sulc", "curv"):
            write_morphology(root / layout.surface(name, hemisphere, kind), getattr(native, kind))
        for depth in DEPTHS:
            points = transform_coordinates(volume, subject.natives, hemisphere, depth)
            write_mgh(root / layout.transform(name, hemisphere, f"func1pt8-to-{depth}"), points.T.astype(np.float32))
        indices = {"white-to-fsaverage": native.to_fsaverage, "fsaverage-to-white": native.from_fsaverage}
        for kind, index in indices.items():
            write_mgh(root / layout.transform(name, hemisphere, kind), (index[None] + 1).astype(np.float32))


def _write_regions(subject: _Subject, atlases: dict[str, Atlas]) -> None:
    """Write every atlas on the native surfaces and in the volume: -1 no cortex, 0 unlabelled cortex, 1..N."""
    vertex = subject.volume.vertex
    for name, atlas in atlases.items():
        write_atlas(subject.root, subject.name, name, atlas)
        labels = np.concatenate([atlas.labels[h] for h in HEMISPHERES])
        left = len(atlas.labels["lh"])
        both = np.where(vertex >= 0, labels[vertex], -1).astype(np.float64)
        parts = {"": both, "lh.": np.where(vertex < left, both, -1.0), "rh.": np.where(vertex >= left, both, -1.0)}
        for prefix, values in parts.items():
            path = subject.root / layout.volume_file(subject.name, f"roi/{prefix}{name}")
            write_nifti(path, subject.volume.fill(values, -1), functional=False)


def _chunks(
    values: np.ndarray, positions: np.ndarray, shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Give every unit's trials as a chunk, the last axis fastest; units that ``positions`` leaves out are 0.

    Parameters
    ----------
    values
        (trial, unit) int16.
    positions
        (unit,) position of each unit, counted with the last axis of ``shape`` fastest, ascending.
    shape
        Of the units: (Z, Y, X) or (vertex,).
    """
    units = np.ascontiguousarray(values.T).astype("<i2")
    zeros = bytes(2 * len(values))
    row = {int(position): number for number, position in enumerate(positions)}
    for flat, position in enumerate(np.ndindex(shape)):
        number = row.get(flat)
        yield position, zeros if number is None else units[number].tobytes()


def _write_surface_session(subject: _Subject, session: int, betas: np.ndarray, missing: np.ndarray) -> None:
    """Write one session on fsaverage and perhaps on the native surfaces; ``betas`` (trial, vertex) in per cent."""
    root, name, version = subject.root, subject.name, subject.version
    for hemisphere, native, here in subject.hemispheres():
        common = betas[:, here][:, native.to_fsaverage]
        common[:, missing[here][native.to_fsaverage]] = np.nan
        write_mgh(root / layout.surface_betas(name, version, session, hemisphere), common)
        if subject.twins:
            stored = to_int16(betas[:, here])
            stored[:, missing[here]] = 0
            path = root / layout.native_betas(name, version, session, hemisphere)
            count = stored.shape[1]
            write_hdf5_betas(path, stored.shape, _chunks(stored, np.arange(count), (count,)))


def _write_volume_session(subject: _Subject, session: int, betas: np.ndarray, missing: np.ndarray) -> None:
    """Write one session in the volume and perhaps as HDF5 too; ``betas`` (trial, voxel of the mask) in per cent."""
    root, name, version, volume = subject.root, subject.name, subject.version, subject.volume
    stored = to_int16(betas)
    stored[:, missing] = 0
    write_nifti_trials(root / layout.volume_betas(name, version, session), volume.shape, volume.mask, stored)
    if subject.twins:
        # x is the fastest axis of the NIfTI file and the last of the HDF5 file, so voxels come in the same order.
        reverse = volume.shape[::-1]
        path = root / layout.volume_betas(name, version, session, suffix="hdf5")
        write_hdf5_betas(path, (len(stored), *reverse), _chunks(stored, volume.mask, reverse))
    valid = volume.fill((~missing).astype(np.int16), 1)
    write_nifti(root / layout.volume_file(name, f"valid_session{session:02d}"), valid, functional=True)


def _reliability(scores: np.ndarray, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return ncsnr of all images shown three times, and of every other one of them."""
    chosen = thrice_shown(images)
    return {
        "ncsnr": ncsnr(noise_variance(scores, images, chosen)),
        "ncsnr_split1": ncsnr(noise_variance(scores, images, chosen[::2])),
        "ncsnr_split2": ncsnr(noise_variance(scores, images, chosen[1::2])),
    }


def _write_surface_maps(subject: _Subject, reliability: np.ndarray) -> None:
    for hemisphere, native, here in subject.hemispheres():
        values = reliability[here]
        for space, kept in (("nativesurface", values), ("fsaverage", values[native.to_fsaverage])):
            write_mgh(subject.root / layout.surface_ncsnr(subject.name, subject.version, space, hemisphere), kept[None])


def _write_volume_maps(subject: _Subject, maps: dict[str, np.ndarray], valid: np.ndarray, seed: int) -> None:
    """Write maps over the mask's voxels (NaN elsewhere), the mask, the share of valid sessions and a mean image."""
    root, name, volume = subject.root, subject.name, subject.volume
    folder = root / layout.betas_folder(name, "func1pt8mm", subject.version)
    for kind, values in maps.items():
        write_nifti(folder / f"{kind}.nii.gz", volume.fill(values.astype(np.float32), np.nan), functional=True)
    mask = volume.fill(np.ones(len(volume.mask), np.int16), 0)
    write_nifti(root / layout.volume_file(name, "brainmask"), mask, functional=False)
    write_nifti(root / layout.volume_file(name, "valid"), volume.fill(valid.astype(np.float32), 1), functional=True)
    random = random_generator(seed, "miniature", "mean volume", name)
    level = np.where(volume.vertex >= 0, 1100, 900) + random.normal(0, 60, len(volume.mask))
    write_nifti(root / layout.volume_file(name, "mean"), volume.fill(level.astype(np.int16), 0), functional=True)


def _surface_truth(subject: _Subject, vertices: Units, streams: Atlas) -> xr.Dataset:
    """Return the truth on fsaverage's vertices, lh then rh."""
    index = np.concatenate([native.to_fsaverage + here.start for _, native, here in subject.hemispheres()])
    return xr.Dataset(
        {
            "mixing": (("vertex", "feature"), vertices.full_mixing()[index]),
            "noise_sd": ("vertex", vertices.noise_sd[index]),
            "region": ("vertex", np.concatenate([streams.labels[h] for h in HEMISPHERES]).astype(np.int32)),
            "native_index": ("vertex", index.astype(np.int32)),
            "valid": ("vertex", ~vertices.missing[index]),
            "prefers": ("vertex", vertices.prefers[index].astype(np.int32)),
        }
    )


def _volume_truth(subject: _Subject, voxels: Units) -> xr.Dataset:
    """Return the truth of the voxels that answer, with their 0-based indices i, j, k."""
    planted = voxels.planted
    i, j, k = subject.volume.indices()[planted].T.astype(np.int32)
    return xr.Dataset(
        {
            "mixing": (("voxel", "feature"), voxels.mixing),
            "noise_sd": ("voxel", voxels.noise_sd[planted]),
            "region": ("voxel", voxels.region[planted].astype(np.int32)),
            "native_index": ("voxel", subject.volume.vertex[planted].astype(np.int32)),
            "valid": ("voxel", ~voxels.missing[planted]),
        },
        coords={"i": ("voxel", i), "j": ("voxel", j), "k": ("voxel", k)},
        attrs={"shape": list(subject.volume.shape)},
    )


def _write_truth(path: Path, truth: xr.Dataset, latents: xr.Dataset) -> None:
    truth = truth.assign_coords(feature=latents["feature"].values, block=("feature", latents["block"].values))
    for name in ("mixing", "noise_sd"):
        truth[name].attrs["units"] = "percent signal change"
    truth["mixing"].encoding = COMPRESSED
    write_array(truth, path)


def _write_sessions(
    target: _Subject, space: str, units: Units, shown: np.ndarray, *, truth: dict[str, Any], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make and write the sessions of one space.

    Parameters
    ----------
    target
        Whose sessions.
    space
        ``surface`` or ``volume``.
    units
        How its vertices or voxels answer.
    shown
        (session, trial, feature) latents of the images shown.
    truth, seed
        As for `write_subject`.

    Returns
    -------
    scores : numpy.ndarray
        (trial, unit) z-scores of all sessions; NaN where data are missing.
    mean : numpy.ndarray
        (unit,) mean beta over valid sessions, per cent signal change.
    """
    write = _write_surface_session if space == "surface" else _write_volume_session
    scores = np.empty((*shown.shape[:2], len(units.noise_sd)), np.float32)
    means = np.empty((len(shown), len(units.noise_sd)))
    for session, latents in enumerate(shown, start=1):
        random = random_generator(seed, "miniature", "betas", target.name, space, session)
        betas = session_betas(units, latents, truth, random)
        missing = units.missing & (session == min(SESSION_WITH_GAPS, len(shown)))
        scores[session - 1] = standardise(betas)
        scores[session - 1][:, missing] = np.nan
        means[session - 1] = np.where(missing, np.nan, betas.mean(axis=0))
        write(target, session, betas, missing)
    valid = np.isfinite(means)
    mean = np.where(valid, means, 0).sum(axis=0) / np.maximum(valid.sum(axis=0), 1)
    return scores.reshape(-1, scores.shape[-1]), mean


def write_subject(
    root: str | Path,
    truth_folder: str | Path,
    *,
    subject: str,
    sessions: dict[str, int],
    runs_per_session: int,
    betas_version: str,
    truth: dict[str, Any],
    seed: int,
    twins: bool,
) -> None:
    """Write one subject's anatomy, regions, transforms and betas, and the truth about them.

    ``write_experiment`` must have been run with the same sessions, runs and seed; other subjects need not exist.

    Parameters
    ----------
    root
        Folder that holds NSD's tree.
    truth_folder
        Where ``latents.nc`` lies and ``subjAA_surface.nc`` and ``subjAA_volume.nc`` go.
    subject
        One of the keys of ``sessions``.
    sessions
        Completed sessions of each subject. The first and the last subject have missing data in their second session.
    runs_per_session
        Runs of 63 and 62 trials in turn.
    betas_version
        Folder name of the betas, for example ``betas_fithrf_GLMdenoise_RR``.
    truth
        Content of ``config/truth.yaml``.
    seed
        Seed of the study.
    twins
        Whether to write the betas a second time as HDF5, in the volume and on the native surfaces.
    """
    root, truth_folder = Path(root), Path(truth_folder)
    trials = sum(run_lengths(runs_per_session))
    images = _images_shown(root, subject, sessions, trials)
    with open_array(truth_folder / "latents.nc", variables=["latents", "id73k", "block"]) as file:
        latents = file.load()
    check_truth(truth, set(latents["block"].values))

    natives = {h: make_native(subject, h, seed) for h in HEMISPHERES}
    target = _Subject(root, subject, betas_version, natives, make_volume(subject, natives, seed), twins)
    common = common_atlases(seed)
    own = {name: native_atlas(atlas, natives) for name, atlas in (common | personal_atlases(seed, subject)).items()}
    _write_anatomy(target)
    _write_regions(target, own)

    region = planted_regions(common["streams"], own["streams"], natives, truth)
    gaps = subject in (min(sessions), max(sessions))
    vertices = draw_vertices(
        region, natives, common["streams"], latents, truth, subject=subject, seed=seed, has_missing=gaps
    )
    voxels = draw_voxels(vertices, target.volume, truth, subject=subject, seed=seed)
    _write_truth(truth_folder / f"{subject}_surface.nc", _surface_truth(target, vertices, common["streams"]), latents)
    _write_truth(truth_folder / f"{subject}_volume.nc", _volume_truth(target, voxels), latents)

    shown = latents["latents"].values[images - 1].reshape(sessions[subject], trials, -1)
    scores, _ = _write_sessions(target, "surface", vertices, shown, truth=truth, seed=seed)
    _write_surface_maps(target, ncsnr(noise_variance(scores, images, thrice_shown(images))))
    scores, mean = _write_sessions(target, "volume", voxels, shown, truth=truth, seed=seed)
    maps = _reliability(scores, images)
    maps["meanbeta"] = mean * PERCENT_SCALE
    maps["R2"] = 100 * maps["ncsnr"] ** 2 / (1 + maps["ncsnr"] ** 2)
    _write_volume_maps(target, maps, 1 - voxels.missing / sessions[subject], seed)
