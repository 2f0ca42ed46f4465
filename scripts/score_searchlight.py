"""Score the searchlight of one subject and block of image sets with a batch of models."""

import numpy as np

from capcortex.arrays import open_array, write_array
from capcortex.jobs import job
from capcortex.nsd.betas import read_image_betas
from capcortex.nsd.image_sets import read_image_sets
from capcortex.nsd.sessions import read_mask
from capcortex.rsa.rdm import rdms_of_model
from capcortex.rsa.searchlight import score_searchlight
from capcortex.rsa.spheres import find_spheres


def main(
    *,
    betas: str,
    mask: str,
    image_sets: str,
    features: dict[str, str],
    model_distances: list[str | None],
    subject: str,
    block: int,
    sets_per_job: int,
    radius: float,
    least_share: float,
    distance: str,
    scores: str,
) -> None:
    sets, labels = read_image_sets([image_sets])
    here = slice((block - 1) * sets_per_job, block * sets_per_job)
    sets, labels = sets[here], labels[here]
    models = {}
    for (model, path), model_distance in zip(features.items(), model_distances, strict=True):
        with open_array(path, variables=["id73k"]) as file:
            models[model] = rdms_of_model(file, sets, labels, model_distance, what=path)
    patterns = read_image_betas(betas, np.unique(sets))
    _, shape = read_mask(mask)
    indices = np.column_stack([patterns[axis].to_numpy() for axis in "ijk"])
    spheres = find_spheres(indices, shape, radius, least_share)
    made = score_searchlight(patterns, sets, labels, models, spheres, distance=distance)
    write_array(made.assign_attrs(subject=subject, radius=radius, least_share=least_share), scores)


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            mask=snakemake.input.mask,
            image_sets=snakemake.input.image_sets,
            features=dict(zip(snakemake.params.models, snakemake.input.features, strict=True)),
            model_distances=list(snakemake.params.model_distances),
            subject=snakemake.wildcards.subject,
            block=int(snakemake.wildcards.block),
            sets_per_job=snakemake.params.sets_per_job,
            radius=snakemake.params.radius,
            least_share=snakemake.params.least_share,
            distance=snakemake.params.distance,
            scores=snakemake.output.scores,
        )
