"""Make the miniature's common cortex and its atlases."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.miniature.cortex import write_fsaverage

if __name__ == "__main__":
    with job(snakemake):
        write_fsaverage(Path(snakemake.params.root), seed=snakemake.params.seed)
