"""Make the tables of captions and of annotated objects from COCO's files and NSD's stimulus table."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.tables import write_table
from capcortex.text.captions import count_captions, read_captions, read_categories


def main(
    *,
    stimulus_table: Path,
    caption_files: list[Path],
    instance_files: list[Path],
    captions: Path,
    categories: Path,
    counts: Path,
) -> None:
    said = read_captions(stimulus_table, caption_files)
    seen = read_categories(stimulus_table, instance_files)
    write_table(said, captions)
    write_table(seen, categories)
    write_table(count_captions(said, seen), counts)


if __name__ == "__main__":
    with job(snakemake):
        main(
            stimulus_table=Path(snakemake.input.stimulus_table),
            caption_files=[Path(path) for path in snakemake.input.captions],
            instance_files=[Path(path) for path in snakemake.input.instances],
            captions=Path(snakemake.output.captions),
            categories=Path(snakemake.output.categories),
            counts=Path(snakemake.output.counts),
        )
