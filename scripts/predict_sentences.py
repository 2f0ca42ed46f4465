"""Predict the response of every vertex of every subject to the sentences of each group, with coefficients of encoding."""

import numpy as np
import xarray as xr

from capcortex.arrays import open_array, write_array
from capcortex.encoding.encode import UNITS_AT_ONCE, unpack_coefficients
from capcortex.encoding.fractional_ridge import predict
from capcortex.jobs import job


def main(*, features: str, encodings: list[str], groups: list[str], subjects: list[str], maps: list[str]) -> None:
    with open_array(features, variables=["features", "group"]) as file:
        vectors = file["features"].sel(group=groups).to_numpy()
    predicted = []
    for path in encodings:
        with open_array(path, variables=["coefficients", "coefficient_scale", "intercept"]) as file:
            n_vertices = file.sizes["vertex"]
            of_subject = np.empty((len(groups), n_vertices), np.float32)
            for start in range(0, n_vertices, UNITS_AT_ONCE):
                block = file.isel(vertex=slice(start, start + UNITS_AT_ONCE)).load()
                coefficients = unpack_coefficients(
                    block["coefficients"].to_numpy(), block["coefficient_scale"].to_numpy()
                )
                of_subject[:, start : start + UNITS_AT_ONCE] = predict(
                    vectors, coefficients, block["intercept"].to_numpy()
                )
        predicted.append(of_subject)
    for number, path in enumerate(maps):
        write_array(
            xr.DataArray(
                np.stack([of_subject[number] for of_subject in predicted]),
                dims=("subject", "vertex"),
                coords={"subject": subjects},
                name="response",
                attrs={"units": "standard deviations of a session's trials", "sentences": groups[number]},
            ),
            path,
        )


if __name__ == "__main__":
    with job(snakemake):
        main(
            features=snakemake.input.features,
            encodings=list(snakemake.input.encodings),
            groups=list(snakemake.params.groups),
            subjects=list(snakemake.params.subjects),
            maps=list(snakemake.output.maps),
        )
