"""capcortex: do language-model embeddings of captions match the brain's response to seeing the scene?

This file is the table of contents; rules are in workflow/rules, one file per stage.
"""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")

STUDY_FOLDER = Path(workflow.basedir)
# Rules and scripts find the library in the study's own folder, in whichever environment they run.
sys.path.insert(0, str(STUDY_FOLDER / "src"))
os.environ.update(PYTHONPATH=str(STUDY_FOLDER / "src"))


configfile: STUDY_FOLDER / "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/miniature.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/design.smk"
include: "workflow/rules/text.smk"
include: "workflow/rules/betas.smk"
include: "workflow/rules/common_decoding.smk"
include: "workflow/rules/decoding.smk"
include: "workflow/rules/rsa.smk"
include: "workflow/rules/common_multiverse.smk"
include: "workflow/rules/multiverse.smk"
include: "workflow/rules/common_maps.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/supplement.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/scorecard.smk"
include: "workflow/rules/calibration.smk"


for each in workflow.rules:
    if ON_A_CLUSTER and each.name in GROUP_OF:
        each.resources["at_once_in_group"] = 1


onstart:
    if (
        STUDY.config["source"] == "bucket"
        and not STUDY.config["bucket"]["nsd_terms_accepted"]
    ):
        raise WorkflowError(TERMS_NOT_ACCEPTED)
    # Another Snakemake may live, and make other files here at the same time.
    if not running_snakemakes(Path.cwd()):
        try:
            require_no_queued_jobs(Path.cwd())
        except RuntimeError as error:
            raise WorkflowError(str(error)) from None
        # Killed jobs leave half-written files under temporary names.
        remove_partial_files()
    if submits_to_slurm():
        note_submitter(Path.cwd())


onsuccess:
    if submits_to_slurm() and not running_snakemakes(Path.cwd()):
        forget_submitter(Path.cwd())


onerror:
    # After Ctrl-C jobs that waited to be submitted are in the queue, and those that were cancelled take a while to end.
    if submits_to_slurm() and not running_snakemakes(Path.cwd()):
        logger.info(
            "Making sure that no job of this folder is left in SLURM's queue."
        )
        try:
            empty_queue(Path.cwd())
            forget_submitter(Path.cwd())
        except RuntimeError as error:
            logger.error(str(error))
    elif submits_to_slurm():
        logger.warning(
            "Another Snakemake runs in this folder, so jobs of this one that are left in SLURM's queue stay there; when it has "
            "ended: make unlock"
        )


rule all:
    """Everything: tables, figures, and on the miniature the check against the planted truth."""
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.checks.input,
        rules.scorecard.input,
    localrule: True
