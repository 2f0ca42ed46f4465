"""Draw the RDMs of all models and regions on one image set, and list the numbers in the figure."""

from capcortex.arrays import open_array
from capcortex.figures.rdms import draw_rdms, mean_of_subjects, order_by_likeness, plotted_numbers, shown_image_set
from capcortex.figures.style import save_figure
from capcortex.ids import require_equal
from capcortex.jobs import job
from capcortex.tables import write_table


def main(
    *,
    model_rdms: list[str],
    roi_rdms: list[str],
    models: list[str],
    labels: dict[str, str],
    rois: dict[str, list[str]],
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    with open_array(model_rdms[0], variables=["rdm", "id73k", "image_set"]) as file:
        image_set = shown_image_set([str(name) for name in file["image_set"].to_numpy()])
        ids = file["id73k"].sel(image_set=image_set).to_numpy()
    of_models = []
    for model, path in zip(models, model_rdms, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set"]) as file:
            chosen = file.sel(image_set=image_set).load()
        require_equal(chosen["id73k"].to_numpy(), ids, left_name=path, right_name=model_rdms[0])
        of_models.append((labels[model], chosen["rdm"].to_numpy()))
    of_subjects = {}
    for path in roi_rdms:
        with open_array(path, variables=["rdm", "id73k", "image_set", "roi", "analysed"]) as file:
            of_subjects[path] = file.sel(image_set=file["image_set"].isin([image_set])).load()
    means, n_subjects = mean_of_subjects(of_subjects, image_set, ids)
    mean_of_roi = dict(means)
    of_rois = [(roi, mean_of_roi[roi]) for names in rois.values() for roi in names]
    order = order_by_likeness(of_models[0][1])
    figure = draw_rdms(
        of_models,
        of_rois,
        order=order,
        image_set=image_set,
        n_subjects=n_subjects,
        ordered_by=labels[models[0]],
        source=source,
    )
    save_figure(figure, pdf, png)
    write_table(plotted_numbers(of_models, of_rois, ids, order), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            model_rdms=list(snakemake.input.models),
            roi_rdms=list(snakemake.input.rois),
            models=list(snakemake.params.models),
            labels=dict(snakemake.params.labels),
            rois=dict(snakemake.params.rois),
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
