"""Put the encoding maps of all subjects into one file, as those of searchlights, and as GIFTI."""

import numpy as np
import xarray as xr

from capcortex.arrays import open_array, write_array
from capcortex.images import write_both_hemispheres
from capcortex.jobs import job
from capcortex.nsd.layout import HEMISPHERES


def main(*, encodings: list[str], subjects: list[str], maps: str, gifti: list[str]) -> None:
    values = []
    for path in encodings:
        with open_array(path, variables=["r"]) as file:
            values.append(file["r"].to_numpy())
    of_subjects = xr.DataArray(np.array(values), dims=("subject", "vertex"), coords={"subject": subjects}, name="r")
    of_subjects.attrs = {"units": "correlation of predicted and measured responses (Pearson r)"}
    write_both_hemispheres(dict(zip(subjects, of_subjects.to_numpy(), strict=True)), gifti, HEMISPHERES)
    write_array(of_subjects, maps)


if __name__ == "__main__":
    with job(snakemake):
        main(
            encodings=list(snakemake.input.encodings),
            subjects=list(snakemake.params.subjects),
            maps=snakemake.output.maps,
            gifti=list(snakemake.output.gifti),
        )
