"""Register every kind of noise ceiling of the regions."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from capcortex.arrays import open_array
from capcortex.ids import require_equal
from capcortex.inference.ceilings import (
    SHARED,
    join_ceilings,
    tabulate_between,
    tabulate_ncsnr,
    tabulate_released,
    tabulate_repeats,
)
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
    have = subjects_of_rois(rdms)
    labels = [str(label) for label in rdms[subjects[0]]["image_set"].to_numpy()]

    def collect(pick: Callable[[str, str], xr.DataArray]) -> Mapping[str, Mapping[str, np.ndarray]]:
        return {roi: {subject: pick(roi, subject).to_numpy() for subject in those} for roi, those in have.items()}

    def collect_sets(files: dict[str, xr.Dataset], name: str) -> Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]:
        of_sets = {
            label: collect(lambda roi, subject, label=label: files[subject][name].sel(roi=roi, image_set=label))
            for label in labels
        }
        return {roi: {label: of_sets[label][roi] for label in labels} for roi in have}

    distance = rdms[subjects[0]]["rdm"].attrs["distance"]
    of_repeats = others[subjects[0]]["rdm_of_repeats"].attrs["distance"]
    n_shared = others[subjects[0]].sizes["image_all"]
    between = collect_sets(rdms, "rdm")
    of_models = []
    for model, path in models.items():
        with open_array(path, variables=["rdm", "image_set"]) as file:
            defined = {label: np.isfinite(file["rdm"].sel(image_set=label).to_numpy()) for label in labels}
        if not all(mask.all() for mask in defined.values()):
            of_models.append(
                tabulate_between(between, measure=measure, distance=distance, model=model, defined=defined)
            )
    registry = join_ceilings(
        [
            tabulate_between(between, measure=measure, distance=distance),
            *of_models,
            tabulate_released(
                collect(lambda roi, subject: others[subject]["rdm_all_shared"].sel(roi=roi)) if n_shared else {}
            ),
            tabulate_repeats(
                collect_sets(others, "rdm_of_repeats"),
                collect_sets(others, "rdm_of_other_repeats"),
                measure=measure,
                distance=of_repeats,
            ),
            tabulate_ncsnr(collect(lambda roi, subject: others[subject]["ncsnr_ceiling"].sel(roi=roi))),
        ]
    )
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
