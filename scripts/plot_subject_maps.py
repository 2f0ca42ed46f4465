"""Draw every subject's map of a model or a contrast, and list what it shows of each region."""

from pathlib import Path

from capcortex.arrays import open_array
from capcortex.figures.cortex import load_meshes
from capcortex.figures.maps import Regions, draw_subject_maps, subject_numbers
from capcortex.figures.style import save_figure
from capcortex.inference.maps import read_subject_maps
from capcortex.jobs import job
from capcortex.nsd.rois import read_regions
from capcortex.tables import write_table


def main(
    *,
    maps: list[str],
    group: str,
    labels: list[str],
    names: str,
    atlas: str,
    rois: list[str] | None,
    surfaces: list[str],
    title: str,
    quantity: str,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    of_subjects = read_subject_maps(maps)
    by_subject = {str(name): of_subjects.sel(subject=name).to_numpy() for name in of_subjects["subject"].to_numpy()}
    with open_array(group, variables=["mean"]) as file:
        mean = file["mean"].to_numpy()
    regions = Regions(*read_regions([Path(path) for path in labels], names, rois, atlas=atlas))
    figure = draw_subject_maps(
        by_subject,
        mean,
        cortex=load_meshes(surfaces, mean.size),
        regions=regions,
        title=title,
        quantity=quantity,
        source=source,
    )
    save_figure(figure, pdf, png)
    write_table(subject_numbers(by_subject, mean, regions=regions), tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            maps=list(snakemake.input.maps),
            group=snakemake.input.group,
            labels=list(snakemake.input.labels),
            names=snakemake.input.names,
            atlas=snakemake.params.atlas,
            rois=snakemake.params.rois,
            surfaces=list(snakemake.input.surfaces),
            title=snakemake.params.title,
            quantity=snakemake.params.quantity,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
