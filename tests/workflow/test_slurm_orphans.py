"""Orphans on a cluster: what a killed Snakemake left in SLURM's queue is cancelled or awaited before its lock goes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from local_study import in_mount_namespace
from private_slurm import ACCOUNT, PARTITION, PrivateSlurm, free_ports, wait_until

from capcortex.orphans import JOB_NAME_PREFIX, empty_queue, queued_jobs, running_snakemakes

NAME = f"--job-name={JOB_NAME_PREFIX}_0b8e"
NOBODY = 65534
ORPHANS = [sys.executable, "-m", "capcortex.orphans"]
# Tells its number, does not listen, and goes on.
STUBBORN = "trap '' TERM; echo $$ > process; while true; do sleep 0.1; done"

SNAKEFILE = """
rule all:
    input: "a.txt", "b.txt"

rule write:
    output: "{name}.txt"
    resources: mem_mb=1000, runtime=5
    shell: "echo {wildcards.name} >> begun; until test -e go; do sleep 0.1; done; echo {wildcards.name} > {output}"
"""


def run_orphans(
    folder: Path, *options: str, before: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess:
    """The part of `make unlock` that is ours."""
    words = [*before, *ORPHANS, *options]
    return subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)


def conf_of_nobody(slurm: PrivateSlurm, folder: Path, **settings: str) -> Path:
    """The configuration of a SLURM whose controller is away."""
    path = folder / "slurm.conf"
    lines = slurm.settings | {"SlurmctldPort": str(free_ports(1)[0])} | settings
    path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()) + "NodeName=n1\n")
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with what a path may have in it."""
    folder = tmp_path / "a study | of Zoë's"
    folder.mkdir()
    return folder


def test_jobs_of_this_folder_are_cancelled_and_no_others(slurm: PrivateSlurm, study: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(study)
    other = tmp_path / "a study"
    other.mkdir()
    ours = [
        slurm.submit("sleep 600", NAME, f"--chdir={study}"),
        slurm.submit("sleep 600", NAME, f"--chdir={link}", "--begin=now+1hour"),
        slurm.submit("sleep 600", NAME, f"--chdir={study}", "--hold"),
    ]
    array = slurm.submit("sleep 600", NAME, f"--chdir={study}", "--array=1-3", "--hold")
    ours += [f"{array}_{task}" for task in (1, 2, 3)]
    theirs = [
        slurm.submit("sleep 600", NAME, f"--chdir={other}"),
        slurm.submit("sleep 600", "--job-name=capcortexmine", f"--chdir={study}", "--hold"),
        slurm.submit("sleep 600", f"{NAME}\n7|RUNNING", f"--chdir={other}", "--hold"),
        slurm.submit("sleep 600", NAME, f"--chdir={study}", "--hold", user=NOBODY),
    ]
    wait_until(lambda: {slurm.queue()[number] for number in (ours[0], theirs[0])} == {"RUNNING"}, "running jobs")
    assert {job.number for job in queued_jobs(study)} == set(ours)
    # Defaults of the user that would hide all that waits, and ask before anything is cancelled.
    done = run_orphans(link, SQUEUE_STATES="RUNNING", SQUEUE_FORMAT="%j", SCANCEL_INTERACTIVE="true")
    assert done.returncode == 0, done.stderr
    said, numbers = done.stdout.rstrip(".\n").split(": ")
    assert said == "Cancelled the jobs that a killed Snakemake had left in SLURM's queue"
    assert set(numbers.split(", ")) == set(ours)
    assert set(slurm.queue()) == set(theirs)
    assert run_orphans(study).stdout == "No job was left running.\n"
    slurm.cancel()
    slurm.wait_until_idle()


def test_a_job_that_is_still_ending_is_waited_for(slurm: PrivateSlurm, study: Path) -> None:
    job = slurm.submit(STUBBORN, NAME, f"--chdir={study}")
    told = study / "process"
    wait_until(lambda: told.exists() and told.read_text() != "", "job")
    with pytest.raises(RuntimeError, match=rf"stay in SLURM's queue: {job} RUNNING\. End them"):
        empty_queue(study, patience_s=0)
    assert psutil.pid_exists(int(told.read_text()))
    assert empty_queue(study) == [job]
    assert not psutil.pid_exists(int(told.read_text()))


def test_jobs_that_have_begun_can_be_awaited(slurm: PrivateSlurm, study: Path) -> None:
    runs = slurm.submit("while ! test -e go; do sleep 0.1; done", NAME, f"--chdir={study}")
    waits = slurm.submit("true", NAME, f"--chdir={study}", "--hold")
    slurm.wait_for(runs, "RUNNING")
    waiting = subprocess.Popen([*ORPHANS, "--await"], cwd=study, stdout=subprocess.PIPE, text=True)
    try:
        assert waiting.stdout is not None
        assert waiting.stdout.readline().startswith("Waiting for jobs of this folder in SLURM's queue, 2 left: ")
        wait_until(lambda: waits not in slurm.queue(), "the job that waits to go")
        assert slurm.queue() == {runs: "RUNNING"}
        (study / "go").touch()
        said = waiting.communicate()[0]
    finally:
        waiting.kill()
    assert waiting.returncode == 0
    assert said.startswith("Waited for those that had begun, and cancelled the others of the jobs")
    slurm.wait_for(runs, "COMPLETED")


def test_where_slurm_does_not_answer_nothing_is_unlocked(slurm: PrivateSlurm, study: Path, tmp_path: Path) -> None:
    away = conf_of_nobody(slurm, tmp_path, MessageTimeout="1")
    refused = run_orphans(study, SLURM_CONF=str(away))
    assert refused.returncode == 1
    assert refused.stderr.startswith("squeue fails (slurm_load_jobs error: Unable to contact slurm controller")
    assert "Snakemake's lock, if there is one, stays." in refused.stderr


def test_a_submission_that_hangs_is_ended(slurm: PrivateSlurm, study: Path, tmp_path: Path) -> None:
    """Else its job would come into the queue after all others have left it."""
    environ = os.environ | {"SLURM_CONF": str(conf_of_nobody(slurm, tmp_path, MessageTimeout="100"))}
    words = ["sbatch", NAME, "--wrap=true"]
    hanging = subprocess.Popen(words, cwd=study, env=environ, stderr=subprocess.DEVNULL)
    try:
        assert run_orphans(study).returncode == 0
        assert hanging.wait() == -signal.SIGTERM
    finally:
        hanging.kill()


def test_where_there_is_no_slurm_none_is_missed(slurm: PrivateSlurm, study: Path) -> None:
    job = slurm.submit("sleep 600", NAME, f"--chdir={study}", "--hold")
    assert run_orphans(study, PATH="/nowhere").stdout == "No job was left running.\n"
    namespace = in_mount_namespace()
    if namespace is not None:
        # The packages, and no cluster.
        hidden = (*namespace, "sh", "-c", 'mount -t tmpfs none /etc/slurm && exec "$@"', "sh")
        done = run_orphans(study, before=hidden)
        assert done.stdout == "No job was left running.\n", done.stderr
    assert slurm.queue()[job] == "PENDING"
    slurm.cancel()


SNAKEMAKE = [sys.executable, "-m", "snakemake"]
CLUSTER = ["--executor", "slurm", "--jobs", "2", "--slurm-jobname-prefix", JOB_NAME_PREFIX, "--default-resources"]
CLUSTER += [f"slurm_account={ACCOUNT}", f"slurm_partition={PARTITION}"]


@contextmanager
def run_that_is_killed(study: Path) -> Iterator[int]:
    """Snakemake, by its number, with two jobs that run on the cluster; it is killed when the block is left."""
    words = [*SNAKEMAKE, *CLUSTER, "--rerun-incomplete"]
    snakemake = subprocess.Popen(words, cwd=study, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    begun = study / "begun"
    begun.write_text("")
    try:
        wait_until(lambda: sorted(begun.read_text().split()) == ["a", "b"], "two jobs")
        yield snakemake.pid
    finally:
        snakemake.kill()
        snakemake.wait()


def test_jobs_of_a_killed_run_are_cancelled_or_come_to_their_end(slurm: PrivateSlurm, study: Path) -> None:
    """With a real Snakemake: none writes when the lock goes, and what was awaited is not made again."""
    (study / "Snakefile").write_text(SNAKEFILE)
    with run_that_is_killed(study) as number:
        # Each of its jobs runs Snakemake too, here on the same machine.
        assert [process.pid for process in running_snakemakes(study)] == [number]
        assert "Snakemake is running" in run_orphans(study).stderr
        assert len(queued_jobs(study)) == 2
    assert len(queued_jobs(study)) == 2
    done = run_orphans(study)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Cancelled the jobs")
    assert queued_jobs(study) == []
    subprocess.run([*SNAKEMAKE, "--unlock"], cwd=study, check=True, capture_output=True)
    with run_that_is_killed(study):
        pass
    (study / "go").touch()
    assert run_orphans(study, "--await").returncode == 0
    assert [(study / f"{name}.txt").read_text() for name in "ab"] == ["a\n", "b\n"]
    subprocess.run([*SNAKEMAKE, "--unlock"], cwd=study, check=True, capture_output=True)
    again = subprocess.run([*SNAKEMAKE, "--dry-run"], cwd=study, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in again.stdout + again.stderr
