"""What a cluster needs beside profiles/slurm: which jobs are one, which are tried again, and how a job that was cancelled is seen."""

import sys
import time

from snakemake.jobs import GroupJob, Job
from snakemake.logging import logger

from capcortex.costs import EMBEDDING_CORES, GROUP_OF, extraction_block
from capcortex.jobs import refusal

# Jobs go to a cluster (`jobs` of a profile says how many at once), or this is one of them. Which executor runs is not known yet:
# with `--cores` and `--jobs` on one machine small jobs come one after another too.
ON_A_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None

# On a cluster the jobs of a group come one after another, on one core: each asks for one of this (the end of the Snakefile). Here
# and not in the profile, because Snakemake hands no such limit on to the cluster's job, inside of which it schedules the group's jobs.
if ON_A_CLUSTER:
    workflow.register_resource("at_once_in_group", 1)


resource_scopes:
    at_once_in_group="local",


def submits_to_slurm():
    """Whether the jobs of this run go to SLURM; known when it starts."""
    return workflow.executor_plugin.name == "slurm"


def embedding_threads(wildcards):
    """A sentence encoder is the one job that uses several cores; twice as many take half the time."""
    # On one machine half of the cores: two encoder models, or one and the betas, run side by side.
    return EMBEDDING_CORES if ON_A_CLUSTER else max(1, (workflow.cores or 8) // 2)


def extraction_group(wildcards):
    """Name of the cluster's job that extracts a session, together with those before and after it."""
    n_sessions = STUDY.subject_row(wildcards.subject)["sessions"]
    block = extraction_block(int(wildcards.session), n_sessions)
    name = f"extraction_{wildcards.subject}_{block:02d}"
    # The profile names the group by this.
    workflow.parent_groupids[name] = "extraction"
    return name


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


def group_itself(group):
    """A group of jobs, which has a name, in the place of the rule that it has not."""
    return group


# When it cannot submit, the plugin (2.8) names `job.rule` before it reports the error. Of a group this would fail, and Snakemake
# wait for ever, for example where the account is mistyped.
GroupJob.rule = property(group_itself)


def states_that_end(query):
    """Let the plugin's query of job states give those that the plugin ends a job by.

    `CANCELLED by 1000` is `CANCELLED`. So is a job that was preempted, if SLURM does not queue it again.
    """

    async def asked(command, log):
        states, seconds = await query(command, log)
        if states is not None:
            states = {job: state.partition(" ")[0] for job, state in states.items()}
            if workflow.executor_settings.no_requeue:
                states = {
                    job: "CANCELLED" if state == "PREEMPTED" else state
                    for job, state in states.items()
                }
        return states, seconds

    return asked


# The plugin (2.8) compares states as sacct writes them, and would wait for ever for a job that somebody cancelled, and for SLURM
# to resume one that was preempted.
if plugin := sys.modules.get("snakemake_executor_plugin_slurm"):
    plugin.query_job_status = states_that_end(plugin.query_job_status)
