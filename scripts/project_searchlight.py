"""Bring a model's searchlight maps from every subject's volume to fsaverage."""

import logging

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.images import read_volume, write_both_hemispheres
from capcortex.jobs import job
from capcortex.nsd.layout import DEPTHS, HEMISPHERES
from capcortex.nsd.spaces import project_to_fsaverage, read_depths
from capcortex.nsd.vertex_index import read_vertex_index

LOG = logging.getLogger(__name__)


def main(
    *,
    volumes: list[str],
    depths: list[str],
    indices: list[str],
    subjects: list[str],
    projection: str,
    maps: str,
    gifti: list[str],
) -> None:
    files = iter(zip(np.array(depths).reshape(-1, len(DEPTHS)), indices, strict=True))
    projected = []
    for subject, volume_file in zip(subjects, volumes, strict=True):
        volume, _ = read_volume(volume_file)
        halves = []
        for hemisphere in HEMISPHERES:
            depth_files, index_file = next(files)
            coordinates = read_depths(depth_files, volume.shape)
            index = read_vertex_index(index_file, len(coordinates[0]))
            values, counts = project_to_fsaverage(volume, coordinates, index, convention=projection)
            LOG.info("%s %s: vertices by the coarsest interpolation used: %s", subject, hemisphere, counts)
            halves.append(values)
        projected.append(np.concatenate(halves))
    of_subjects = xr.DataArray(np.array(projected), dims=("subject", "vertex"), coords={"subject": subjects}, name="r")
    of_subjects.attrs = {"units": "RDM correlation (Pearson r)", "projection": projection}
    write_both_hemispheres(dict(zip(subjects, of_subjects.to_numpy(), strict=True)), gifti, HEMISPHERES)
    write_array(of_subjects, maps)


if __name__ == "__main__":
    with job(snakemake):
        main(
            volumes=list(snakemake.input.maps),
            depths=list(snakemake.input.depths),
            indices=list(snakemake.input.indices),
            subjects=list(snakemake.params.subjects),
            projection=snakemake.params.projection,
            maps=snakemake.output.maps,
            gifti=list(snakemake.output.gifti),
        )
