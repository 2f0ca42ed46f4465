"""How well each subject's responses agree with those of the others at every vertex, and how much of them is signal."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import xarray as xr

from capcortex.arrays import open_array, write_array
from capcortex.encoding.encode import UNITS_AT_ONCE, agreement
from capcortex.ids import positions
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_shared_images
from capcortex.nsd.rois import noise_ceiling, read_ncsnr, read_units


def main(
    *,
    betas: list[str],
    trials: list[str],
    left_ncsnr: list[str],
    right_ncsnr: list[str],
    subjects: list[str],
    agreements: str,
) -> None:
    shared = read_shared_images(trials)
    with ExitStack() as stack:
        files = [stack.enter_context(open_array(path, variables=["betas", "id73k"])) for path in betas]
        rows = [positions(shared, file["id73k"].to_numpy(), what=path) for file, path in zip(files, betas, strict=True)]
        n_vertices = files[0].sizes["vertex"]
        found = np.empty((len(files), n_vertices), np.float32)
        for start in range(0, n_vertices, UNITS_AT_ONCE):
            vertices = slice(start, start + UNITS_AT_ONCE)
            blocks = [file["betas"][:, vertices].to_numpy()[of] for file, of in zip(files, rows, strict=True)]
            found[:, vertices] = agreement(np.stack(blocks))
    ratios = [
        read_ncsnr([Path(left), Path(right)], read_units(path))
        for path, left, right in zip(betas, left_ncsnr, right_ncsnr, strict=True)
    ]
    # A model that explains all of the signal's variance correlates with the responses as the root of its share.
    ceiling = np.sqrt(noise_ceiling(np.stack(ratios)) / 100)
    write_array(
        xr.Dataset(
            {
                "agreement": (("subject", "vertex"), found),
                "noise_ceiling": (("subject", "vertex"), ceiling.astype(np.float32)),
            },
            coords={"subject": subjects},
            attrs={"n_images": shared.size, "units": "Pearson r"},
        ),
        agreements,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=list(snakemake.input.betas),
            trials=list(snakemake.input.trials),
            left_ncsnr=list(snakemake.input.left_ncsnr),
            right_ncsnr=list(snakemake.input.right_ncsnr),
            subjects=list(snakemake.params.subjects),
            agreements=snakemake.output.agreements,
        )
