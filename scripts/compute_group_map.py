"""Mean over subjects of a map, or of the difference of two, with its tests at every vertex."""

from capcortex.arrays import write_array
from capcortex.images import write_both_hemispheres
from capcortex.inference.maps import group_map, read_subject_maps
from capcortex.jobs import job
from capcortex.nsd.layout import HEMISPHERES


def main(*, maps: list[str], group: str, gifti: list[str]) -> None:
    of_subjects = read_subject_maps(maps)
    made = group_map(of_subjects.to_numpy())
    write_both_hemispheres({str(name): values.to_numpy() for name, values in made.items()}, gifti, HEMISPHERES)
    write_array(made, group)


if __name__ == "__main__":
    with job(snakemake):
        main(
            maps=list(snakemake.input.maps),
            group=snakemake.output.group,
            gifti=list(snakemake.output.gifti),
        )
