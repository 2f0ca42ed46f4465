"""Compare the regions of a subject in one space with two models in every universe that its averaged betas allow."""

from pathlib import Path

import numpy as np
import pandas as pd

from capcortex.arrays import open_array
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS, seen_three_times
from capcortex.nsd.image_sets import draw_image_sets, read_image_sets
from capcortex.nsd.regions import find_regions
from capcortex.nsd.rois import read_labels, read_units
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
    models: list[str],
    model_distances: list[str | None],
    rois: dict[str, list[str]],
    native: list[str],
    axes: dict[str, list],
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
    for region in regions:
        patterns, _ = region.read()
        here = patterns[patterns.dims[1]].to_numpy()
        selections = select_units(
            region.ncsnr[here], {atlas: those[here] for atlas, those in inside.items()}, axes["least_ncsnr"]
        )
        part = score_universes(patterns, selections, draws, axes["distance"], axes["measure"], what=betas)
        parts.append(part.assign(roi=region.name))
    table = pd.concat(parts, ignore_index=True).assign(subject=subject, space=space)
    write_table(table[UNIVERSE_COLUMNS], scores)


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
            models=list(snakemake.params.models),
            model_distances=list(snakemake.params.model_distances),
            rois=dict(snakemake.params.rois),
            native=list(snakemake.params.native),
            axes=dict(snakemake.params.axes),
            seed=snakemake.params.seed,
            subject=snakemake.wildcards.subject,
            space=snakemake.wildcards.space,
            scores=snakemake.output.scores,
        )
