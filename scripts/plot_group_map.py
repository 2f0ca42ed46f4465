"""Draw the group map of a model or a contrast, and list what it shows of each region."""

from pathlib import Path

from capcortex.arrays import open_array
from capcortex.figures.cortex import load_meshes
from capcortex.figures.maps import Regions, draw_group_map, group_numbers
from capcortex.figures.style import save_figure
from capcortex.jobs import job
from capcortex.nsd.rois import read_regions
from capcortex.tables import write_table


def main(
    *,
    group: str,
    labels: list[str],
    names: str,
    atlas: str,
    rois: list[str] | None,
    surfaces: list[str],
    title: str,
    quantity: str,
    false_discovery_rate: float,
    source: str,
    pdf: str,
    png: str,
    tsv: str,
) -> None:
    with open_array(group, variables=["mean", "p_fdr", "p_sign_flip"]) as file:
        maps = {name: file[name].to_numpy() for name in ("mean", "p_fdr", "p_sign_flip")}
        n_subjects = int(file.attrs["n_subjects"])
        test_left_out = str(file.attrs["test_left_out"])
    regions = Regions(*read_regions([Path(path) for path in labels], names, rois, atlas=atlas))
    figure = draw_group_map(
        **maps,
        cortex=load_meshes(surfaces, maps["mean"].size),
        regions=regions,
        title=title,
        quantity=quantity,
        n_subjects=n_subjects,
        test_left_out=test_left_out,
        false_discovery_rate=false_discovery_rate,
        source=source,
    )
    save_figure(figure, pdf, png)
    numbers = group_numbers(
        **maps, regions=regions, test_left_out=test_left_out, false_discovery_rate=false_discovery_rate
    )
    write_table(numbers, tsv)


if __name__ == "__main__":
    with job(snakemake):
        main(
            group=snakemake.input.group,
            labels=list(snakemake.input.labels),
            names=snakemake.input.names,
            atlas=snakemake.params.atlas,
            rois=snakemake.params.rois,
            surfaces=list(snakemake.input.surfaces),
            title=snakemake.params.title,
            quantity=snakemake.params.quantity,
            false_discovery_rate=snakemake.params.false_discovery_rate,
            source=snakemake.params.source,
            pdf=snakemake.output.pdf,
            png=snakemake.output.png,
            tsv=snakemake.output.tsv,
        )
