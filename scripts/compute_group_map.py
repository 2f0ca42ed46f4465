"""Mean over subjects of a map, or of the difference of two, with its tests at every vertex."""

import xarray as xr

from capcortex.arrays import open_array, write_array
from capcortex.images import write_both_hemispheres
from capcortex.inference.maps import group_map, paired_difference
from capcortex.jobs import job
from capcortex.nsd.layout import HEMISPHERES


def read_map(paths: list[str]) -> xr.DataArray:
    """Read the maps of all subjects, (subject, vertex): of one model, or of the first minus the second."""
    loaded = []
    for path in paths:
        with open_array(path, variables=["r", "subject"]) as file:
            loaded.append(file["r"].load())
    return loaded[0] if len(loaded) == 1 else paired_difference(*loaded)


def main(*, maps: list[str], group: str, gifti: list[str]) -> None:
    of_subjects = read_map(maps)
    made = group_map(of_subjects.to_numpy())
    write_both_hemispheres({str(name): values.to_numpy() for name, values in made.items()}, gifti, HEMISPHERES)
    write_array(made, group)


if __name__ == "__main__":
    with job(snakemake):
        main(
            maps=list(snakemake.input.maps),
            group=snakemake.output.group,
            gifti=list(snakemake.output.gifti),
        )
