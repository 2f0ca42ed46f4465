"""Orphans: the jobs of a folder are found and ended, nobody else's, and never those of a Snakemake that lives."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from capcortex.orphans import (
    JOB_NAME_PREFIX,
    SUBMITTER,
    end,
    forget_submitter,
    main,
    note_submitter,
    require_no_queued_jobs,
    running_jobs,
    running_snakemakes,
    submitter,
)

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
)
WILLING = "import time; print('on', flush=True); time.sleep(600)"
WITH_CHILD = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {WILLING!r}])
time.sleep(600)
"""

SNAKEFILE = """
rule wait:
    output: "out.txt"
    script: "wait.py"
"""


@pytest.fixture
def start_job():
    """Run Python code as Snakemake runs the script of a job in a folder, until the test is over."""
    started = []

    def start(folder: Path, code: str) -> psutil.Process:
        script = folder / ".snakemake/scripts/tmp1.average_repeats.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(code)
        process = subprocess.Popen([sys.executable, str(script)], cwd=folder, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "on\n"
        started.append(process)
        return psutil.Process(process.pid)

    yield start
    for process in started:
        process.kill()
        process.wait()


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_jobs_of_this_folder_are_found_and_no_others(start_job, tmp_path):
    here, elsewhere = tmp_path / "a study", tmp_path / "a study 2"
    job, other = start_job(here, WILLING), start_job(elsewhere, WILLING)
    assert [found.pid for found in running_jobs(here)] == [job.pid]
    link = tmp_path / "link"
    link.symlink_to(here)
    assert [found.pid for found in running_jobs(link)] == [job.pid]
    end(running_jobs(here))
    assert not runs(job)
    assert runs(other)
    assert running_jobs(here) == []


def test_what_only_looks_at_a_script_is_no_job(start_job, tmp_path):
    job = start_job(tmp_path, WILLING)
    watching = subprocess.Popen(["tail", "-f", job.cmdline()[1]], stdout=subprocess.DEVNULL)
    try:
        assert [found.pid for found in running_jobs(tmp_path)] == [job.pid]
    finally:
        watching.kill()
        watching.wait()


@pytest.mark.parametrize("options", [["-m"], ["-u", "-m"], ["-X", "dev", "-m"]])
def test_snakemake_is_known_however_it_was_started(tmp_path, options):
    (tmp_path / "snakemake.py").write_text("import time; print('on', flush=True); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, *options, "snakemake", "--cores", "1"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "on\n"
        assert [found.pid for found in running_snakemakes(tmp_path)] == [process.pid]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("option", ["-n", "--dry-run", "--summary"])
def test_a_snakemake_that_only_looks_does_not_count(tmp_path, option):
    (tmp_path / "snakemake.py").write_text("import time; print('on', flush=True); time.sleep(600)")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", option]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "on\n"
        assert running_snakemakes(tmp_path) == []
    finally:
        process.kill()
        process.wait()


def test_what_a_job_started_is_ended_with_it(start_job, tmp_path):
    job = start_job(tmp_path, WITH_CHILD)
    (child,) = job.children()
    end(running_jobs(tmp_path))
    assert not runs(job)
    assert not runs(child)


def test_a_job_that_does_not_listen_is_killed_after_a_while(start_job, tmp_path):
    stubborn = start_job(tmp_path, STUBBORN)
    end([stubborn], patience_s=0.5)
    assert not runs(stubborn)


def test_a_job_that_ended_meanwhile_is_no_error(start_job, tmp_path):
    job = start_job(tmp_path, WILLING)
    found = running_jobs(tmp_path)
    job.kill()
    end(found)
    assert not runs(job)


def test_a_living_snakemake_keeps_its_jobs_and_a_killed_one_does_not(tmp_path):
    """All of `make unlock`, with a real Snakemake."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "wait.py").write_text("import time\ntime.sleep(600)\n")
    study = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not running_jobs(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        (job,) = running_jobs(tmp_path)
        assert [process.pid for process in running_snakemakes(tmp_path)] == [study.pid]
        assert running_snakemakes(tmp_path.parent) == []

        def unlock() -> subprocess.CompletedProcess:
            command = [sys.executable, "-m", "capcortex.orphans"]
            return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

        refused = unlock()
        assert refused.returncode == 1
        assert f"Snakemake is running in {tmp_path} (process {study.pid})" in refused.stderr
        assert runs(job)

        study.send_signal(signal.SIGKILL)
        study.wait()
        assert runs(job)
        assert list((tmp_path / ".snakemake/locks").iterdir())
        done = unlock()
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"Ended what a killed Snakemake had left running: process {job.pid}.\n"
        assert not runs(job)
        assert unlock().stdout == "No job was left running.\n"
    finally:
        study.kill()
        end(running_jobs(tmp_path))


def test_jobs_on_a_cluster_are_named_as_the_profile_has_it():
    profile = yaml.safe_load((Path(__file__).parents[2] / "profiles/slurm/profile.yaml").read_text())
    assert profile["slurm-jobname-prefix"] == JOB_NAME_PREFIX


def test_jobs_of_a_cluster_are_not_forgotten_where_it_cannot_be_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    require_no_queued_jobs(tmp_path)
    note_submitter(tmp_path)
    for ask in (main, require_no_queued_jobs):
        with pytest.raises(
            RuntimeError, match=f"from {socket.gethostname()}, and there is no SLURM .*: load SLURM's module"
        ):
            ask(tmp_path)
    forget_submitter(tmp_path)
    require_no_queued_jobs(tmp_path)
    assert main(tmp_path) == "No job was left running."


def test_a_note_of_this_machine_without_jobs_in_the_queue_is_forgotten(tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    note_submitter(tmp_path)
    require_no_queued_jobs(tmp_path)
    assert submitter(tmp_path) is None
    note_submitter(tmp_path)
    (tmp_path / SUBMITTER).write_text("login2")
    require_no_queued_jobs(tmp_path)
    assert submitter(tmp_path) == "login2", "a Snakemake may live there"


def test_a_snakemake_that_may_live_on_another_machine_keeps_its_jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    note_submitter(tmp_path)
    note = tmp_path / SUBMITTER
    note.write_text("login2")
    with pytest.raises(RuntimeError, match=f"from login2, where Snakemake may still be running: .* rm {SUBMITTER}"):
        main(tmp_path)
    with pytest.raises(RuntimeError, match="no SLURM here to ask for them: try again there"):
        require_no_queued_jobs(tmp_path)
    note.unlink()
    assert main(tmp_path) == "No job was left running."
