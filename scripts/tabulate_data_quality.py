"""Data quality of every subject: trials and units used, NSD's own account of valid data, and ncsnr."""

from pathlib import Path

import pandas as pd

from capcortex.jobs import job
from capcortex.nsd.bookkeeping import TRIAL_COLUMNS
from capcortex.nsd.quality import read_surface_units, read_volume_units, tabulate_ncsnr, tabulate_quality
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        files = snakemake.input
        # Lists over subjects, in one order; empty for a space that the study does not use.
        volume_files = [files.volume_betas, files.masks, files.valid, files.volume_regions, files.volume_ncsnr]
        surface_files = [files.surface_betas, files.left_ncsnr, files.right_ncsnr]
        volume = {
            subject: read_volume_units(betas, mask=mask, valid=valid, nsdgeneral=region, ncsnr=ncsnr)
            for subject, betas, mask, valid, region, ncsnr in zip(
                snakemake.params.subjects if files.volume_betas else [], *volume_files, strict=True
            )
        }
        regions = [Path(path) for path in files.surface_regions]
        surface = {
            subject: read_surface_units(betas, nsdgeneral=regions, ncsnr=[Path(left), Path(right)])
            for subject, betas, left, right in zip(
                snakemake.params.subjects if files.surface_betas else [], *surface_files, strict=True
            )
        }
        trials = pd.concat([read_table(path, columns=TRIAL_COLUMNS) for path in files.trials])
        facts = read_table(files.facts, columns=["fact", "subject", "found"])
        recorded = facts[facts["fact"] == "sessions"].set_index("subject")["found"].to_dict()
        write_table(tabulate_quality(trials, recorded, volume, surface), snakemake.output.table)
        write_table(tabulate_ncsnr({"func1pt8mm": volume, "fsaverage": surface}), snakemake.output.ncsnr)
