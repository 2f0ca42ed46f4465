"""Average a model's searchlight scores over the image sets of each subject, and write them as volumes."""

import numpy as np
import xarray as xr

from capcortex.arrays import open_array
from capcortex.images import write_volume
from capcortex.jobs import job
from capcortex.rsa.searchlight import average_image_sets

SHOWS = {
    "r": "mean RDM correlation over image sets",
    "sd": "sd of RDM correlation over image sets",
    "n_voxels": "voxels in the sphere",
}


def read_scores(path: str, model: str) -> xr.Dataset:
    """Read one model's scores of a block of image sets."""
    with open_array(path, variables=["r", "model", "image_set", "n_voxels", "i", "j", "k"]) as file:
        return file.sel(model=model).load()


def main(
    *, scores: list[list[str]], masks: list[str], model: str, r: list[str], sd: list[str], sizes: list[str]
) -> None:
    for paths, mask, *outputs in zip(scores, masks, r, sd, sizes, strict=True):
        mean = average_image_sets(read_scores(path, model) for path in paths)
        indices = np.column_stack([mean[axis].to_numpy() for axis in "ijk"])
        for (name, shows), path in zip(SHOWS.items(), outputs, strict=True):
            write_volume(mean[name].to_numpy(), indices, mask, path, description=shows)


if __name__ == "__main__":
    with job(snakemake):
        ends = np.cumsum(snakemake.params.n_blocks)
        main(
            scores=[
                list(snakemake.input.scores[end - n_blocks : end])
                for end, n_blocks in zip(ends, snakemake.params.n_blocks, strict=True)
            ],
            masks=list(snakemake.input.masks),
            model=snakemake.params.model,
            r=list(snakemake.output.r),
            sd=list(snakemake.output.sd),
            sizes=list(snakemake.output.size),
        )
