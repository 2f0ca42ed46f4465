"""Compare the regions of a subject in one space with two models in every universe."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from capcortex.arrays import open_array
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS, read_session_trials, seen_three_times
from capcortex.nsd.image_sets import draw_image_sets, read_image_sets
from capcortex.nsd.raw_averages import average_raw
from capcortex.nsd.regions import Region, find_regions
from capcortex.nsd.rois import read_labels, read_units
from capcortex.nsd.sessions import RawSession, native_surface_session, surface_session, volume_session
from capcortex.rsa.multiverse import UNIVERSE_COLUMNS, Draw, score_universes, select_units
from capcortex.rsa.rdm import rdms_of_model
from capcortex.seeds import random_generator
from capcortex.tables import read_table, write_table


def main(
    *,
    betas: str,
    image_sets: str,
    trials: str,
    features: list[str],
    labels: list[str],
    names: list[str],
    indices: list[str],
    mask: str | None,
    ncsnr: list[str],
    within: list[str],
    raw: list[str],
    raw_indices: list[str],
    models: list[str],
    model_distances: list[str | None],
    rois: dict[str, list[str]],
    native: list[str],
    axes: dict[str, list],
    raw_versions: list[str],
    n_sessions: int,
    incomplete_data: str,
    seed: int,
    subject: str,
    space: str,
    scores: str,
) -> None:
    own_sets, own_labels = read_image_sets([image_sets])
    images, size = seen_three_times(read_table(trials, columns=TRIAL_COLUMNS)), own_sets.shape[1]
    sets = {1: own_sets}
    for number in axes["draw"][1:]:
        rng = random_generator(seed, "image-sets", subject, "draw", number)
        sets[number] = draw_image_sets(images, size, rng)
    rdms: dict[int, dict] = {number: {} for number in sets}
    for model, path, distance in zip(models, features, model_distances, strict=True):
        with open_array(path, variables=["id73k"]) as file:
            of_model = file.load()
        for number, those in sets.items():
            rdms[number][model] = rdms_of_model(of_model, those, own_labels, distance, what=path)
        del of_model
    draws = {number: Draw(those, own_labels, rdms[number]) for number, those in sets.items()}
    units = read_units(betas, mask)
    inside: dict[str | None, np.ndarray] = {}
    atlases = [atlas for atlas in axes["within"] if atlas is not None]
    for atlas in axes["within"]:
        if atlas is None:
            inside[atlas] = np.ones(units.count, bool)
            continue
        number, n_files = atlases.index(atlas), len(within) // len(atlases)
        files = [Path(path) for path in within[n_files * number : n_files * (number + 1)]]
        to_fsaverage = [Path(path) for path in indices] if atlas in native else None
        inside[atlas] = read_labels(files, units, indices=to_fsaverage) > 0
    regions = find_regions(
        betas,
        rois,
        labels=labels,
        names=names,
        native=native,
        indices=indices,
        mask=mask,
        ncsnr=ncsnr,
        least_ncsnr=None,
    )
    parts = []

    def score(region: Region, patterns: xr.DataArray, version: str, zscore: str) -> None:
        here = patterns[patterns.dims[1]].to_numpy()
        selections = select_units(
            region.ncsnr[here], {atlas: those[here] for atlas, those in inside.items()}, axes["least_ncsnr"]
        )
        part = score_universes(patterns, selections, draws, axes["distance"], axes["measure"], what=betas)
        parts.append(part.assign(roi=region.name, betas_version=version, zscore=zscore))

    own_version, own_zscore = (axes[axis][0] for axis in ("betas_version", "zscore"))
    for region in regions:
        score(region, region.read()[0], own_version, own_zscore)
    here = np.unique(np.concatenate([region.units for region in regions]))
    for number, version in enumerate(raw_versions):
        n_files = len(raw) // len(raw_versions)
        files = raw[n_files * number : n_files * (number + 1)]
        zscores = [zscore for zscore in axes["zscore"] if (version, zscore) != (own_version, own_zscore)]
        sessions = open_sessions(files, trials, mask, raw_indices, n_sessions)
        averages = average_raw(sessions, here, zscores, incomplete_data=incomplete_data)
        for zscore in zscores:
            # Not held while the next version is averaged.
            those = averages.pop(zscore)
            for region in regions:
                in_region = np.isin(those[those.dims[1]].to_numpy(), region.units)
                score(region, those[:, in_region], version, zscore)
            del those
    table = pd.concat(parts, ignore_index=True).assign(subject=subject, space=space)
    write_table(table[UNIVERSE_COLUMNS], scores)


def open_sessions(
    files: list[str], trials: str, mask: str | None, indices: list[str], n_sessions: int
) -> Iterator[tuple[RawSession, pd.DataFrame]]:
    """Open the raw sessions of a version in their order, each with its trials."""
    n_files = len(files) // n_sessions
    for number in range(n_sessions):
        rows = read_session_trials(trials, number + 1)
        paths = [Path(path) for path in files[n_files * number : n_files * (number + 1)]]
        if mask is not None:
            yield volume_session(paths[0], Path(mask), len(rows)), rows
        elif indices:
            yield native_surface_session(paths, [Path(path) for path in indices], len(rows)), rows
        else:
            yield surface_session(paths, len(rows)), rows


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            image_sets=snakemake.input.image_sets,
            trials=snakemake.input.trials,
            features=list(snakemake.input.features),
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            indices=list(snakemake.input.indices),
            mask=next(iter(snakemake.input.mask), None),
            ncsnr=list(snakemake.input.ncsnr),
            within=list(snakemake.input.within),
            raw=list(snakemake.input.raw),
            raw_indices=list(snakemake.input.raw_indices),
            models=list(snakemake.params.models),
            model_distances=list(snakemake.params.model_distances),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            axes=dict(snakemake.params.axes),
            raw_versions=list(snakemake.params.raw_versions),
            n_sessions=snakemake.params.n_sessions,
            incomplete_data=snakemake.params.incomplete_data,
            seed=snakemake.params.seed,
            subject=snakemake.wildcards.subject,
            space=snakemake.wildcards.space,
            scores=snakemake.output.scores,
        )
