"""Draw subjects and images of the shared sets anew, for every region and all models at once."""

import xarray as xr

from capcortex.arrays import open_array, write_array
from capcortex.inference.bootstrap import bootstrap_subjects_and_images
from capcortex.inference.group import is_shared
from capcortex.jobs import job
from capcortex.rsa.rdm import rdms_on_sets, subjects_of_rois
from capcortex.seeds import random_generator


def main(
    *,
    roi_rdms: list[str],
    model_rdms: list[str],
    subjects: list[str],
    models: list[str],
    measure: str,
    n_draws: int,
    seed: int,
    bootstrap: str,
) -> None:
    files = {}
    for path, subject in zip(roi_rdms, subjects, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set", "roi", "atlas", "analysed"]) as file:
            files[subject] = file.isel(image_set=is_shared(file["image_set"].to_series()).to_numpy()).load()
    sets = files[subjects[0]]
    of_subjects = [
        rdms_on_sets(files[subject], sets, name=path, sets_name=roi_rdms[0])
        for path, subject in zip(roi_rdms, subjects, strict=True)
    ]
    of_models = []
    for path in model_rdms:
        with open_array(path, variables=["rdm", "id73k", "image_set"]) as file:
            of_models.append(rdms_on_sets(file, sets, name=path, sets_name=roi_rdms[0]).load())
    region = xr.concat(of_subjects, dim=xr.Variable("subject", subjects), join="exact")
    model = xr.concat(of_models, dim=xr.Variable("model", models), join="exact")
    results = {
        roi: bootstrap_subjects_and_images(
            region.sel(roi=roi, subject=have).transpose("image_set", "subject", "pair").to_numpy(),
            model.transpose("image_set", "model", "pair").to_numpy(),
            measure=measure,
            n_draws=n_draws,
            rng=random_generator(seed, "bootstrap", roi),
        )
        for roi, have in subjects_of_rois(files).items()
    }
    joined = xr.concat(results.values(), dim=xr.Variable("roi", list(results)))
    joined = joined.assign_coords(model=models, model_2=models)
    write_array(joined.assign_attrs(measure=measure, n_draws=n_draws, seed=seed), bootstrap)


if __name__ == "__main__":
    with job(snakemake):
        main(
            roi_rdms=list(snakemake.input.rois),
            model_rdms=list(snakemake.input.models),
            subjects=list(snakemake.params.subjects),
            models=list(snakemake.params.models),
            measure=snakemake.params.measure,
            n_draws=snakemake.params.n_draws,
            seed=snakemake.params.seed,
            bootstrap=snakemake.output.bootstrap,
        )
