"""Dissimilarities of the images of every set under one model."""

from capcortex.arrays import open_array, write_array
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_image_sets
from capcortex.rsa.rdm import rdms_of_sets, subrdms_of_sets


def main(*, features: str, image_sets: str, distance: str, rdm: str) -> None:
    sets, labels = read_image_sets(image_sets)
    with open_array(features, variables=["id73k"]) as file:
        if "rdm" in file:
            made = subrdms_of_sets(file["rdm"].load(), sets, labels, what=features)
        else:
            made = rdms_of_sets(file["features"].load(), sets, labels, distance, what=features)
    write_array(made, rdm)


if __name__ == "__main__":
    with job(snakemake):
        main(
            features=snakemake.input.features,
            image_sets=snakemake.input.image_sets,
            distance=snakemake.params.distance,
            rdm=snakemake.output.rdm,
        )
