"""What a cluster needs beside profiles/slurm: which jobs are one, which are tried again, and how a job that was cancelled is seen."""

import time

import snakemake_executor_plugin_slurm
from snakemake.jobs import GroupJob, Job
from snakemake.logging import logger

from capcortex.costs import GROUP_OF, extraction_block
from capcortex.jobs import refusal

# On a cluster the jobs of a group come one after another: the profile has every job ask for one of this. Here and not there, because
# Snakemake hands no such limit on to the cluster's job, inside of which it schedules the group's jobs.
workflow.register_resource("at_once_in_group", 1)


resource_scopes:
    at_once_in_group="local",


def extraction_group(wildcards):
    """Name of the cluster's job that extracts a session, together with those before and after it."""
    n_sessions = STUDY.subject_row(wildcards.subject)["sessions"]
    block = extraction_block(int(wildcards.session), n_sessions)
    name = f"extraction_{wildcards.subject}_{block:02d}"
    # The profile names the group by this.
    workflow.parent_groupids[name] = "extraction"
    return name


def embedding_group(wildcards):
    """Models without a sentence encoder take seconds: one cluster job for all of them. None: a job of its own."""
    return None if STUDY.encoder_row(wildcards.model) else GROUP_OF["embed_model"]


RUN_STARTED = time.time()


def restart_times(job):
    """How often Snakemake tries a job again that failed: not at all if the job said that it would fail again.

    Of a job on another machine this is where its message reaches the terminal.
    """
    told = [found for path in job.log if (found := refusal(path, RUN_STARTED))]
    if told and not (workflow.local_exec or job.is_local):
        logger.error("\n".join(told))
    return 0 if told else job.rule.restart_times


# `retries` knows no difference between a job that was killed and one that refuses its input.
Job.restart_times = property(restart_times)
GroupJob.restart_times = property(
    lambda group: min(job.restart_times for job in group.jobs)
)


def without_reasons(query):
    """Let the plugin's query of job states give a state alone, for example CANCELLED for `CANCELLED by 1000`."""

    async def asked(command, log):
        states, seconds = await query(command, log)
        if states is not None:
            states = {job: state.partition(" ")[0] for job, state in states.items()}
        return states, seconds

    return asked


# The plugin (2.8) compares states as sacct writes them, and would wait for ever for a job that somebody cancelled.
snakemake_executor_plugin_slurm.query_job_status = without_reasons(
    snakemake_executor_plugin_slurm.query_job_status
)
