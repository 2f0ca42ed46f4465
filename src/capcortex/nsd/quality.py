"""Data quality of each subject: trials and images used, voxels and vertices used, and how reliable their responses are.

Describes what ``betas`` hands to the analyses and changes nothing. The study's own exclusions stand beside NSD's account of
the same data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.arrays import open_array
from capcortex.files import remedy
from capcortex.ids import Ids, as_ids, require_equal
from capcortex.images import read_on_grid, read_vertices
from capcortex.nsd.bookkeeping import REPEATS, seen_three_times
from capcortex.nsd.rois import noise_ceiling, read_surface_labels
from capcortex.nsd.sessions import read_mask

NCSNR_COLUMNS = ["subject", "space", "ncsnr_from", "ncsnr_to", "share"]
"""Columns of `tabulate_ncsnr`: a bin of ncsnr, and the share of nsdgeneral's units in it."""

BIN = 0.05

QUALITY_COLUMNS = {
    "subject": "subject",
    "incomplete_data": "policy for voxels and vertices not measured in all sessions: exclude or nanmean",
    "betas_left_out": "betas that the study does not read, so that the columns of voxels or vertices are empty",
    "sessions_recorded": "sessions that responses.tsv records",
    "sessions": "sessions used, the first ones: the subjects table can name fewer",
    "trials": "stimulus trials of the sessions used",
    "images": "different images shown in them",
    "images_used": "images shown three times, which the analyses use",
    "images_left_out": "images shown fewer times",
    "images_shown_twice": "images shown twice",
    "images_shown_once": "images shown once",
    "trials_used": "trials of the images used",
    "trials_share_used": "trials used / trials (fraction)",
    "voxels": "voxels of the brain mask",
    "voxels_valid": "of these, with data in all sessions by NSD's own account (valid.nii.gz is 1)",
    "voxels_used": "of these, with averaged betas",
    "voxels_excluded": "of these, without averaged betas",
    "voxels_disagreeing": "of these, valid by NSD's account but not used, or used but not valid",
    "voxels_share_valid": "voxels_valid / voxels (fraction)",
    "voxels_share_used": "voxels_used / voxels (fraction)",
    "nsdgeneral_voxels": "voxels of nsdgeneral, in the brain mask or not",
    "nsdgeneral_voxels_valid": "of these, in the brain mask and with data in all sessions by NSD's own account",
    "nsdgeneral_voxels_used": "of these, with averaged betas",
    "nsdgeneral_voxels_excluded": "of these, without averaged betas",
    "nsdgeneral_voxels_disagreeing": "of these, valid by NSD's account but not used, or used but not valid",
    "nsdgeneral_voxels_share_valid": "nsdgeneral_voxels_valid / nsdgeneral_voxels (fraction)",
    "nsdgeneral_voxels_share_used": "nsdgeneral_voxels_used / nsdgeneral_voxels (fraction)",
    "nsdgeneral_voxels_without_ncsnr": "voxels of nsdgeneral whose ncsnr is not finite; left out of the next five columns",
    "nsdgeneral_voxels_share_at_zero": "voxels of nsdgeneral whose ncsnr is exactly 0: no signal beyond noise (fraction)",
    "nsdgeneral_voxels_ncsnr_lower_quartile": "ncsnr (signal sd / noise sd of a single trial), 25th percentile",
    "nsdgeneral_voxels_ncsnr_median": "ncsnr, median",
    "nsdgeneral_voxels_ncsnr_upper_quartile": "ncsnr, 75th percentile",
    "nsdgeneral_voxels_noise_ceiling_median": "noise ceiling of the mean of three repeats, median (percent of variance)",
    "vertices": "vertices of fsaverage",
    "vertices_used": "of these, with averaged betas",
    "vertices_excluded": "of these, without averaged betas",
    "vertices_share_used": "vertices_used / vertices (fraction)",
    "nsdgeneral_vertices": "vertices of nsdgeneral",
    "nsdgeneral_vertices_used": "of these, with averaged betas",
    "nsdgeneral_vertices_excluded": "of these, without averaged betas",
    "nsdgeneral_vertices_share_used": "nsdgeneral_vertices_used / nsdgeneral_vertices (fraction)",
    "nsdgeneral_vertices_without_ncsnr": "vertices of nsdgeneral whose ncsnr is not finite; left out of the next five columns",
    "nsdgeneral_vertices_share_at_zero": "vertices of nsdgeneral whose ncsnr is exactly 0: no signal beyond noise (fraction)",
    "nsdgeneral_vertices_ncsnr_lower_quartile": "ncsnr (signal sd / noise sd of a single trial), 25th percentile",
    "nsdgeneral_vertices_ncsnr_median": "ncsnr, median",
    "nsdgeneral_vertices_ncsnr_upper_quartile": "ncsnr, 75th percentile",
    "nsdgeneral_vertices_noise_ceiling_median": "noise ceiling of the mean of three repeats, median (percent of variance)",
}
"""Columns of `tabulate_quality`, each with its meaning and unit."""


@dataclass(frozen=True)
class UnitQuality:
    """What the files say about each voxel of a subject's grid, or each vertex of fsaverage.

    Attributes
    ----------
    id73k : ndarray of shape (n_images,), int64
        Images with averaged betas, ascending.
    incomplete_data
        Policy by which they were averaged: ``exclude`` or ``nanmean``.
    present : ndarray of shape (n_units,), bool
        Whether the unit is one of those that the study reads: a voxel of the brain mask, any vertex.
    used : ndarray of shape (n_units,), bool
        Whether it has averaged betas.
    nsdgeneral : ndarray of shape (n_units,), bool
        Whether it lies in NSD's region of visually responsive cortex, in the brain mask or not.
    ncsnr : ndarray of shape (n_units,), float64
        NSD's noise-ceiling signal-to-noise ratio of a single trial; NaN where NSD gives none.
    valid : ndarray of shape (n_units,), bool, or None
        Whether it has data in all sessions by NSD's own account; None on the surface, where NSD gives none.
    """

    id73k: Ids
    incomplete_data: str
    present: NDArray[np.bool_]
    used: NDArray[np.bool_]
    nsdgeneral: NDArray[np.bool_]
    ncsnr: NDArray[np.float64]
    valid: NDArray[np.bool_] | None = None


def read_volume_units(
    betas: str | Path, *, mask: str | Path, valid: str | Path, nsdgeneral: str | Path, ncsnr: str | Path
) -> UnitQuality:
    """Read what the files say about each voxel of a subject's grid.

    Parameters
    ----------
    betas
        File of `betas.average_repeats` in the volume; its first image is read, because a voxel is NaN for all images or none.
    mask
        ``brainmask.nii.gz``.
    valid
        ``valid.nii.gz``: the share of sessions in which a voxel was covered.
    nsdgeneral
        ``roi/nsdgeneral.nii.gz``: above zero inside.
    ncsnr
        ``ncsnr.nii.gz`` beside the betas.

    Returns
    -------
    UnitQuality
        Of all voxels of the grid, the last axis fastest.

    Raises
    ------
    ValueError
        If a file is damaged, the volumes differ in shape, the betas are of other voxels than the mask's, or ``valid`` does
        not hold shares.
    """
    indices, shape = read_mask(mask)
    where = tuple(indices.T)
    present, used = np.zeros(shape, bool), np.zeros(shape, bool)
    present[where] = True
    first, id73k, policy, places = _read_first_image(betas, "voxel")
    if not np.array_equal(places, indices):
        raise ValueError(
            f"{betas}: its {len(places)} voxels are not the {len(indices)} of {mask}, in their order; {remedy(betas)}"
        )
    used[where] = np.isfinite(first)
    shares = read_on_grid(valid, shape)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(
            f"{valid}: expected shares of sessions from 0 to 1, found {shares.min():g} to {shares.max():g}; {remedy(valid)}"
        )
    return UnitQuality(
        id73k=id73k,
        incomplete_data=policy,
        present=present.ravel(),
        used=used.ravel(),
        nsdgeneral=(read_on_grid(nsdgeneral, shape) > 0).ravel(),
        ncsnr=read_on_grid(ncsnr, shape).astype(np.float64).ravel(),
        valid=(shares == 1).ravel(),
    )


def read_surface_units(betas: str | Path, *, nsdgeneral: list[Path], ncsnr: list[Path]) -> UnitQuality:
    """Read what the files say about each vertex of fsaverage.

    Parameters
    ----------
    betas
        File of `betas.average_repeats` on fsaverage; its first image is read, because a vertex is NaN for all images or none.
    nsdgeneral
        ``lh.nsdgeneral.mgz`` and ``rh.nsdgeneral.mgz`` of fsaverage: above zero inside.
    ncsnr
        ``lh.ncsnr.mgh`` and ``rh.ncsnr.mgh`` beside the betas.

    Returns
    -------
    UnitQuality
        Of all vertices, left then right hemisphere.

    Raises
    ------
    ValueError
        If a file is damaged, or the files differ in their numbers of vertices.
    """
    first, id73k, policy, _ = _read_first_image(betas, "vertex")
    labels = read_surface_labels(nsdgeneral)
    hemispheres = [read_vertices(path).ravel().astype(np.float64) for path in ncsnr]
    for files, found in ((nsdgeneral, labels.size), (ncsnr, sum(map(len, hemispheres)))):
        if found != first.size:
            raise ValueError(
                f"{', '.join(map(str, files))}: {found} vertices, expected the {first.size} of {betas}; {remedy(files[0])}"
            )
    return UnitQuality(
        id73k=id73k,
        incomplete_data=policy,
        present=np.ones(first.size, bool),
        used=np.isfinite(first),
        nsdgeneral=labels > 0,
        ncsnr=np.concatenate(hemispheres),
    )


def tabulate_quality(
    trials: pd.DataFrame,
    sessions_recorded: Mapping[str, int],
    volume: Mapping[str, UnitQuality],
    surface: Mapping[str, UnitQuality],
) -> pd.DataFrame:
    """Tabulate the data quality of each subject.

    Parameters
    ----------
    trials
        Trials of all subjects in the sessions used, columns ``bookkeeping.TRIAL_COLUMNS``.
    sessions_recorded
        Sessions that each subject's ``responses.tsv`` records, of which the trials may be the first ones only.
    volume, surface
        From `read_volume_units` and `read_surface_units`, for each subject; empty when the study does not use that space.

    Returns
    -------
    DataFrame
        One row for each subject in the order of ``trials``; columns `QUALITY_COLUMNS`. Missing values: a space that is not
        used, which ``betas_left_out`` names; shares and percentiles of no unit. Quartiles and medians are over all units of
        nsdgeneral with a finite ncsnr, whether the study uses the unit or not.

    Raises
    ------
    ValueError
        If betas hold other images than those that the subject saw three times, or a subject's betas were averaged by two
        policies.
    """
    rows: list[dict[str, Any]] = []
    for name, own in trials.groupby("subject", sort=False):
        subject = str(name)
        row: dict[str, Any] = {
            "subject": subject,
            "betas_left_out": "",
            "sessions_recorded": sessions_recorded[subject],
        }
        row |= _count_trials(own)
        for units_of, plural, space in ((volume, "voxels", "volume"), (surface, "vertices", "surface")):
            if subject not in units_of:
                row["betas_left_out"] = f"this study reads no {space} betas"
            else:
                units = units_of[subject]
                require_equal(
                    units.id73k,
                    seen_three_times(own),
                    left_name=f"betas of {subject}, {plural}",
                    right_name=f"images that {subject} saw {REPEATS} times (results/design/trials)",
                )
                policy = row.setdefault("incomplete_data", units.incomplete_data)
                if units.incomplete_data != policy:
                    raise ValueError(
                        f"{subject}: betas of voxels were averaged with incomplete_data: {policy}, of vertices with "
                        f"{units.incomplete_data}; run snakemake again to make the older ones anew"
                    )
                row |= _count_units(units, plural)
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(QUALITY_COLUMNS))


def _count_trials(own: pd.DataFrame) -> dict[str, Any]:
    showings = own.drop_duplicates("id73k")["showings"]
    used = int((own["showings"] == REPEATS).sum())
    return {
        "sessions": own["session"].nunique(),
        "trials": len(own),
        "images": len(showings),
        "images_used": int((showings == REPEATS).sum()),
        "images_left_out": int((showings != REPEATS).sum()),
        "images_shown_twice": int((showings == 2).sum()),
        "images_shown_once": int((showings == 1).sum()),
        "trials_used": used,
        "trials_share_used": used / len(own),
    }


def _count_units(units: UnitQuality, plural: str) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for name, here in ((plural, units.present), (f"nsdgeneral_{plural}", units.nsdgeneral)):
        n_units, used = int(here.sum()), here & units.used
        counts |= {
            name: n_units,
            f"{name}_used": int(used.sum()),
            f"{name}_excluded": int((here & ~units.used).sum()),
            f"{name}_share_used": used.sum() / n_units if n_units else np.nan,
        }
        if units.valid is not None:
            # Outside the mask NSD's account is not about data.
            valid = here & units.present & units.valid
            counts |= {
                f"{name}_valid": int(valid.sum()),
                f"{name}_share_valid": valid.sum() / n_units if n_units else np.nan,
                f"{name}_disagreeing": int((valid != used).sum()),
            }
    ncsnr = units.ncsnr[units.nsdgeneral]
    finite = ncsnr[np.isfinite(ncsnr)]
    low, middle, high = np.percentile(finite, [25, 50, 75]) if finite.size else [np.nan] * 3
    name = f"nsdgeneral_{plural}"
    return counts | {
        f"{name}_without_ncsnr": ncsnr.size - finite.size,
        f"{name}_share_at_zero": (finite == 0).mean() if finite.size else np.nan,
        f"{name}_ncsnr_lower_quartile": low,
        f"{name}_ncsnr_median": middle,
        f"{name}_ncsnr_upper_quartile": high,
        f"{name}_noise_ceiling_median": np.median(noise_ceiling(finite)) if finite.size else np.nan,
    }


def tabulate_ncsnr(units: Mapping[str, Mapping[str, UnitQuality]]) -> pd.DataFrame:
    """Tabulate how ncsnr is distributed over the units of nsdgeneral.

    Parameters
    ----------
    units
        For each space (``func1pt8mm``, ``fsaverage``) and subject what was read of it.

    Returns
    -------
    DataFrame
        Columns `NCSNR_COLUMNS`. The first bin (0 to 0) holds the units at exactly zero, the others, 0.05 wide up to the
        largest value of all subjects and spaces, those above zero; a bin holds its lower end. The shares of a subject and
        space add up to one; units whose ncsnr is not finite are left out. A subject without any unit left has no rows.
    """
    values = {
        (subject, space): one.ncsnr[one.nsdgeneral & np.isfinite(one.ncsnr)]
        for space, subjects in units.items()
        for subject, one in subjects.items()
    }
    largest = max((own.max() for own in values.values() if own.size), default=0.0)
    edges = BIN * np.arange(int(largest / BIN) + 2)
    parts = [
        pd.DataFrame(
            {
                "subject": subject,
                "space": space,
                "ncsnr_from": np.concatenate([[0], edges[:-1]]),
                "ncsnr_to": edges,
                "share": np.concatenate([[(own == 0).sum()], np.histogram(own[own > 0], edges)[0]]) / own.size,
            }
        )
        for (subject, space), own in values.items()
        if own.size
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=NCSNR_COLUMNS)


def _read_first_image(path: str | Path, dim: str) -> tuple[NDArray[np.float32], Ids, str, NDArray[np.int64]]:
    """Read the betas of the first image, all ids, the policy, and the places of voxels (n_voxels, 3)."""
    axes = "ijk" if dim == "voxel" else ""
    with open_array(path, variables=["betas", "id73k", *axes]) as dataset:
        betas = dataset["betas"]
        if betas.dims != ("id73k", dim):
            raise ValueError(f"{path}: betas have axes {betas.dims}, expected ('id73k', '{dim}')")
        places = [dataset[axis].to_numpy() for axis in axes]
        return (
            betas[0].to_numpy(),
            as_ids(dataset["id73k"].to_numpy(), what=str(path)),
            str(betas.attrs["incomplete_data"]),
            np.column_stack(places) if places else np.empty((0, 3), np.int64),
        )
