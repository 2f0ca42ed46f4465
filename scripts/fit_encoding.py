"""Predict the responses of every vertex of a subject to the shared images, from features of a model and the other images."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import open_array, write_array
from capcortex.encoding.encode import LEAST_TEST_IMAGES, UNITS_AT_ONCE, encode_units
from capcortex.encoding.fractional_ridge import N_FOLDS
from capcortex.ids import positions
from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS, seen_three_times_by_all
from capcortex.tables import read_table


def main(*, betas: str, features: str, trials: list[str], subject: str, model: str, encoding: str) -> None:
    shared = seen_three_times_by_all(pd.concat([read_table(path, columns=TRIAL_COLUMNS) for path in trials]))
    with open_array(features, variables=["features", "id73k"]) as file:
        of_model = file["features"].load()
    with open_array(betas, variables=["betas", "id73k"]) as file:
        responses = file["betas"]
        ids = file["id73k"].to_numpy()
        test = positions(shared, ids, what=betas)
        training = np.setdiff1d(np.arange(ids.size), test)
        if training.size <= N_FOLDS or test.size < LEAST_TEST_IMAGES:
            raise ValueError(
                f"{subject}: {training.size} images to train on and {test.size} that all subjects saw three times, expected "
                f"more than {N_FOLDS} and at least {LEAST_TEST_IMAGES}; use more sessions, or write encoding: {{models: []}} "
                "into the config"
            )
        rows = positions(ids, of_model["id73k"].to_numpy(), what=features)

        def blocks() -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
            for start in range(0, responses.shape[1], UNITS_AT_ONCE):
                block = responses[:, start : start + UNITS_AT_ONCE].to_numpy()
                yield block[training], block[test]

        values = of_model.to_numpy()[rows]
        found = encode_units(values[training], values[test], blocks())
    write_array(
        xr.Dataset(
            {name: ("vertex", column.astype(np.float32)) for name, column in found._asdict().items()},
            attrs={
                "subject": subject,
                "model": model,
                "n_training_images": training.size,
                "n_test_images": test.size,
                "n_features": values.shape[1],
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
