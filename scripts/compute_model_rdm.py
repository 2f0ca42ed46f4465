"""Dissimilarities of the images of every set under one model."""

from capcortex.arrays import open_array, write_array
from capcortex.jobs import job
from capcortex.nsd.image_sets import read_image_sets
from capcortex.rsa.rdm import rdms_of_model


def main(*, features: str, image_sets: list[str], distance: str | None, rdm: str) -> None:
    sets, labels = read_image_sets(image_sets)
    with open_array(features, variables=["id73k"]) as file:
        made = rdms_of_model(file, sets, labels, distance, what=features)
    write_array(made, rdm)


if __name__ == "__main__":
    with job(snakemake):
        main(
            features=snakemake.input.features,
            image_sets=list(snakemake.input.image_sets),
            distance=snakemake.params.distance,
            rdm=snakemake.output.rdm,
        )
