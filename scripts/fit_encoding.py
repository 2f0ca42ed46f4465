"""Predict the responses of every vertex of a subject to the shared images, from features of a model and the other images."""

import numpy as np
import xarray as xr

from capcortex.arrays import write_array
from capcortex.encoding.encode import encode_units
from capcortex.encoding.split import open_split
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import read_shared_images


def main(*, betas: str, features: str, trials: list[str], subject: str, model: str, encoding: str) -> None:
    with open_split(betas, features, read_shared_images(trials), subject=subject) as split:
        found = encode_units(split.training_features, split.test_features, split.blocks())
    columns = {
        name: ("vertex", values.astype(np.float32)) for name, values in found._asdict().items() if values.ndim == 1
    }
    write_array(
        xr.Dataset(
            columns | {"coefficients": (("feature", "vertex"), found.coefficients)},
            attrs={
                "subject": subject,
                "model": model,
                "n_training_images": split.training_images.size,
                "n_test_images": split.test_images.size,
                "n_features": split.training_features.shape[1],
            },
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
