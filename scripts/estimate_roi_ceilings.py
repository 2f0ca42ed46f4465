"""Register every kind of noise ceiling of the regions."""

from collections.abc import Mapping, Sequence

import xarray as xr

from capcortex.arrays import open_array
from capcortex.ids import require_equal
from capcortex.inference.ceilings import SHARED, register_ceilings
from capcortex.jobs import job
from capcortex.rsa.rdm import subjects_of_rois
from capcortex.tables import write_table


def read_alike(paths: Sequence[str], subjects: Sequence[str], variables: list[str], ids: str) -> dict[str, xr.Dataset]:
    """Read a file of each subject, all of which must be of the same images on shared sets."""
    files: dict[str, xr.Dataset] = {}
    for path, subject in zip(paths, subjects, strict=True):
        with open_array(path, variables=variables) as file:
            shared = file["image_set"].str.startswith(SHARED).to_numpy()
            files[subject] = file[variables].isel(image_set=shared).load()
        require_equal(
            files[subject][ids].to_numpy().ravel(),
            files[subjects[0]][ids].to_numpy().ravel(),
            left_name=f"{path}, shared images",
            right_name=paths[0],
        )
    return files


def main(
    *,
    models: Mapping[str, str],
    rois: Sequence[str],
    of_ceilings: Sequence[str],
    subjects: Sequence[str],
    measure: str,
    ceilings: str,
) -> None:
    rdms = read_alike(rois, subjects, ["rdm", "id73k", "image_set", "roi", "atlas", "analysed"], "id73k")
    have = subjects_of_rois(rdms)
    variables = [
        "rdm_of_repeats",
        "rdm_of_other_repeats",
        "rdm_all_shared",
        "id73k_all_shared",
        "ncsnr_ceiling",
        "image_set",
        "roi",
    ]
    others = read_alike(of_ceilings, subjects, variables, "id73k_all_shared")
    of_models = {}
    for model, path in models.items():
        with open_array(path, variables=["rdm", "image_set"]) as file:
            of_models[model] = file["rdm"].sel(image_set=rdms[subjects[0]]["image_set"]).load()
    registry = register_ceilings(rdms, others, of_models, have, measure=measure)
    write_table(registry, ceilings)


if __name__ == "__main__":
    with job(snakemake):
        main(
            models=dict(zip(snakemake.params.models, snakemake.input.models, strict=True)),
            rois=list(snakemake.input.rois),
            of_ceilings=list(snakemake.input.of_ceilings),
            subjects=list(snakemake.params.subjects),
            measure=snakemake.params.measure,
            ceilings=snakemake.output.ceilings,
        )
