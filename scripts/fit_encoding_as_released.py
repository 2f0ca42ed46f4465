"""The same prediction as the released code makes it: one fraction for all vertices of a subject."""

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.encoding.encode import encode_as_released
from capcortex.encoding.split import open_split
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_shared_images


def main(*, betas: str, features: str, trials: list[str], subject: str, model: str, encoding: str) -> None:
    with open_split(betas, features, read_shared_images(trials), subject=subject) as split:
        found = encode_as_released(split.training_features, split.test_features, split.blocks)
    write_array(
        xr.Dataset(
            {
                "r_as_released": ("vertex", found.r_as_released.astype(np.float32)),
                "fraction_as_released": found.fraction_as_released,
            },
            attrs={"subject": subject, "model": model},
        ),
        encoding,
    )


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            features=snakemake.input.features,
            trials=list(snakemake.input.trials),
            subject=snakemake.wildcards.subject,
            model=snakemake.wildcards.model,
            encoding=snakemake.output.encoding,
        )
