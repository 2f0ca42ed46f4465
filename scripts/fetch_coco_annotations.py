"""Fetch COCO's captions and annotated objects, and take them out of their archive."""

from pathlib import Path

from capcortex.fetch.archive import COCO_BYTES, unpack
from capcortex.fetch.fetching import fetch_file
from capcortex.jobs import job

if __name__ == "__main__":
    with job(snakemake):
        archive = Path(snakemake.params.folder) / "annotations.zip"
        fetch_file(
            snakemake.params.key,
            archive,
            table=Path(snakemake.scriptdir).parent / snakemake.config["datasets_table"],
            folder=Path(snakemake.params.folder),
            terms_accepted=snakemake.config["bucket"]["nsd_terms_accepted"],
        )
        members = {f"annotations/{Path(path).name}": Path(path) for path in snakemake.output.annotations}
        unpack(archive, members, largest_bytes=COCO_BYTES)
        archive.unlink()
