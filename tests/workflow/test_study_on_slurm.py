"""The study through a real SLURM: results of one machine, whatever happens to jobs, nodes, the controller or Snakemake."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from comparing import largest_difference, require_equal_runs
from private_slurm import ACCOUNT, NODES, PARTITION, URGENT_PARTITION, PrivateSlurm, search_path, wait_until
from running import TINY, copy_code, copy_study, hold_a_job

from capcortex.orphans import submitter

# Long enough for the few jobs of a test, and for those of the whole study, also on a machine that does other things.
PATIENCE_S, WHOLE_S = 420, 1500
REGIONS = "results/rdms/rois"
"""What most of these tests make again: one job for each of three subjects."""


def command(folder: Path, *more: str, config: Path = TINY) -> list[str]:
    """Return the command of docs/cluster.md in the folder of a study; what is added makes tests short, and fit small nodes."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(folder / "Snakefile"), "--directory", str(folder)]
    words += ["--profile", str(folder / "profiles/slurm"), "--configfile", str(config)]
    words += [
        "--slurm-init-seconds-before-status-checks",
        "1",
        "--set-threads",
        "embed_model=2",
        "--latency-wait",
        "20",
    ]
    return [*words, *more]


class Run:
    """Snakemake at work through SLURM."""

    def __init__(self, slurm: PrivateSlurm, folder: Path, *more: str, config: Path = TINY, **environment: str) -> None:
        self.slurm, self.folder = slurm, folder
        self.before = set(slurm.jobs())
        self.log = folder / "run.txt"
        of_user = {"SBATCH_ACCOUNT": ACCOUNT, "SBATCH_PARTITION": PARTITION}
        self.environment = slurm.environment | of_user | environment
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command(folder, *more, config=config),
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for its end, and return its code."""
        return self.process.wait(patience_s)

    def output(self) -> str:
        return self.log.read_text()

    def jobs(self, what: str = "") -> list:
        """Jobs of this run as accounting has them, or those of a rule or group alone."""
        jobs = self.slurm.jobs()
        return [
            jobs[number]
            for number in sorted(jobs, key=int)
            if number not in self.before and what in jobs[number].comment
        ]

    def held(self) -> str:
        """Wait until a script is at work, stop it there, and return the number of its job."""
        found: list[psutil.Process] = []

        def there() -> bool:
            assert self.process.poll() is None, self.output()[-3000:]
            found[:] = filter(None, [hold_a_job(self.folder)])
            return bool(found)

        wait_until(there, "a script at work", PATIENCE_S)
        return found[0].environ()["SLURM_JOB_ID"]

    def running(self, rule: str, at_least: int = 1) -> list[tuple[str, str, str]]:
        """Wait until so many jobs of a rule run, and return number, node and comment of each; accounting has no comment yet."""
        found: list[tuple[str, str, str]] = []

        def there() -> bool:
            assert self.process.poll() is None, self.output()[-3000:]
            lines = self.slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%i\t%N\t%k").splitlines()
            found[:] = [job for line in lines if rule in (job := tuple(line.strip().split("\t")))[2]]
            return len(found) >= at_least

        wait_until(there, f"{at_least} running {rule}", PATIENCE_S)
        return found


@contextmanager
def run(slurm: PrivateSlurm, folder: Path, *more: str, config: Path = TINY, **environment: str) -> Iterator[Run]:
    """Start Snakemake; what is left of it and its jobs when a test fails goes."""
    running = Run(slurm, folder, *more, config=config, **environment)
    try:
        yield running
    except BaseException as error:
        error.add_note(running.output()[-4000:])
        raise
    finally:
        if running.process.poll() is None:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()
        if slurm.queue():
            slurm.cancel()
            slurm.wait_until_idle()


@pytest.fixture
def study(tiny_study: Path, tmp_path: Path) -> Path:
    """A copy of the tiny study without what comes after the averages of subjects' regions."""
    copy_study(tiny_study, tmp_path)
    shutil.rmtree(tmp_path / REGIONS)
    return tmp_path


def targets(study: Path) -> list[str]:
    return ["--", *(f"{REGIONS}/subj0{number}_space-fsaverage.nc" for number in (1, 2, 3))]


def require_regions(study: Path, reference: Path) -> None:
    for path in (reference / REGIONS).glob("*.nc"):
        assert largest_difference(study / REGIONS / path.name, path) == 0


def ends(jobs: list) -> dict[str, list[str]]:
    """How the jobs of each rule and wildcards ended, in their order."""
    found: dict[str, list[str]] = {}
    for job in jobs:
        found.setdefault(job.comment, []).append(job.state)
    return found


def logs_of_failed(study: Path, jobs: list) -> dict[str, str]:
    """What the jobs that did not complete left in SLURM's logs, which say what killed them."""
    return {
        f"{job.comment}: {job.state}": log.read_text()[-3000:]
        for job in jobs
        if job.state != "COMPLETED"
        for log in study.glob(f"logs/slurm/**/{job.number}.log")
    }


def test_the_study_through_slurm_equals_that_of_one_machine(
    slurm: PrivateSlurm, tiny_study: Path, tmp_path: Path
) -> None:
    copy_code(tmp_path)
    with run(slurm, tmp_path) as study:
        assert study.wait(WHOLE_S) == 0, study.output()[-4000:]
    print("largest differences:", require_equal_runs(tmp_path, tiny_study))
    jobs = study.jobs()
    print(len(jobs), "jobs:", Counter(re.sub("_wildcards.*", "", job.comment) for job in jobs))
    assert {job.state for job in jobs} == {"COMPLETED"}, logs_of_failed(tmp_path, jobs)
    assert {job.node for job in jobs} == set(NODES)
    assert not list(tmp_path.rglob(".partial-*"))
    assert submitter(tmp_path) is None
    # Every rule but the two of all targets ran in some job, small ones in groups.
    finished = set(re.findall(r"Finished jobid: \S+ \(Rule: (\w+)\)", study.output()))
    grouped = set(re.findall(r"^\[.*\] Group job (\w+) ", study.output(), re.M))
    assert {"design", "models", "tables", "maps"} <= grouped
    assert sum(name.startswith("extraction_subj0") for name in grouped) == 3
    assert {"average_repeats", "compute_roi_rdm", "score_searchlight"} <= finished
    assert len(jobs) < 50


@pytest.mark.slow
def test_the_miniature_through_slurm_finds_its_truth(slurm: PrivateSlurm, tmp_path: Path) -> None:
    copy_code(tmp_path)
    with run(slurm, tmp_path, config=tmp_path / "config.yaml") as study:
        assert study.wait(2 * WHOLE_S) == 0, study.output()[-4000:]
    jobs = study.jobs()
    print(len(jobs), "jobs:", Counter(re.sub("_wildcards.*", "", job.comment) for job in jobs))
    assert {job.state for job in jobs} == {"COMPLETED"}, logs_of_failed(tmp_path, jobs)
    verdict = subprocess.run(
        [sys.executable, "-m", "capcortex.verdict"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    print(verdict.stdout[-200:])
    assert verdict.returncode == 0, verdict.stdout


def test_jobs_that_are_cancelled_are_tried_again(slurm: PrivateSlurm, study: Path, tiny_study: Path) -> None:
    with run(slurm, study, *targets(study)) as snakemake:
        first = snakemake.running("compute_roi_rdm", at_least=2)[:2]
        slurm.cancel(*(number for number, _, _ in first))
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    ended = ends(snakemake.jobs())
    assert sorted(map(tuple, ended.values())) == [("CANCELLED", "COMPLETED")] * 2 + [("COMPLETED",)]


def test_a_job_that_was_preempted_is_tried_again(slurm: PrivateSlurm, study: Path, tiny_study: Path) -> None:
    with run(slurm, study, *targets(study)) as snakemake:
        held = snakemake.held()
        node = dict(job[:2] for job in snakemake.running("compute_roi_rdm"))[held]
        urgent = slurm.submit("sleep 600", f"--partition={URGENT_PARTITION}", f"--nodelist={node}", "--exclusive")
        slurm.wait_for(held, "PREEMPTED")
        slurm.cancel(urgent)
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    jobs = snakemake.jobs("compute_roi_rdm")
    comment = next(job.comment for job in jobs if job.number == held)
    assert ends(jobs)[comment] == ["PREEMPTED", "COMPLETED"]


def test_a_job_above_its_memory_gets_more(slurm: PrivateSlurm, study: Path, tiny_study: Path) -> None:
    # Snakemake itself, twice in each job, is above the first of these.
    with run(
        slurm, study, "--set-resources", "compute_roi_rdm:mem_mb=200*attempt*attempt", *targets(study)
    ) as snakemake:
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    assert list(ends(snakemake.jobs()).values()) == [["FAILED", "COMPLETED"]] * 3


def test_a_job_above_its_time_gets_more(slurm: PrivateSlurm, study: Path, tiny_study: Path) -> None:
    with run(slurm, study, *targets(study)) as snakemake:
        held = snakemake.held()
        slurm.let_time_run_out(held)
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    jobs = snakemake.jobs()
    comment = next(job.comment for job in jobs if job.number == held)
    assert ends(jobs)[comment] == ["TIMEOUT", "COMPLETED"]
    minutes = {
        job.number: int(slurm.run("sacct", "-X", "--noheader", "--jobs", job.number, "--format=TimelimitRaw"))
        for job in jobs
        if job.number != held
    }
    again = next(job.number for job in jobs if job.comment == comment and job.state == "COMPLETED")
    once = min(minutes.values())
    assert minutes == dict.fromkeys(minutes, once) | {again: 2 * once}


def test_jobs_of_a_node_that_is_set_down_run_on_the_other(
    breakable_slurm: PrivateSlurm, study: Path, tiny_study: Path
) -> None:
    with run(breakable_slurm, study, *targets(study)) as snakemake:
        _, node, comment = snakemake.running("compute_roi_rdm")[0]
        breakable_slurm.set_down(node)
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    ended = ends(snakemake.jobs())
    assert ended[comment] == ["NODE_FAIL", "COMPLETED"]
    assert all(states[-1] == "COMPLETED" and states.count("COMPLETED") == 1 for states in ended.values())
    again = [job for job in snakemake.jobs() if job.state == "COMPLETED" and job.comment == comment]
    assert again[0].node != node


def test_a_controller_of_slurm_that_restarts_changes_nothing(
    breakable_slurm: PrivateSlurm, study: Path, tiny_study: Path
) -> None:
    with run(breakable_slurm, study, *targets(study)) as snakemake:
        snakemake.running("compute_roi_rdm")
        breakable_slurm.stop_controller()
        breakable_slurm.start_controller()
        assert snakemake.wait() == 0
    require_regions(study, tiny_study)
    assert list(ends(snakemake.jobs()).values()) == [["COMPLETED"]] * 3


def test_snakemake_that_was_killed_begins_again_where_it_was(
    slurm: PrivateSlurm, study: Path, tiny_study: Path
) -> None:
    """As docs/interrupted.md says: what had ended stays, what runs is ended, and only then the lock goes."""
    with run(slurm, study, "--jobs", "1", *targets(study)) as snakemake:
        wait_until(lambda: "1 of 3 steps" in snakemake.output(), "one job that has ended", PATIENCE_S)
        # Else it could end by itself before it is ended.
        held = snakemake.held()
        os.killpg(snakemake.process.pid, signal.SIGKILL)
        snakemake.process.wait()
        n_done = int(re.findall(r"(\d) of 3 steps", snakemake.output())[-1])
        done = {path.name: path.stat().st_mtime_ns for path in (study / REGIONS).glob("[!.]*.nc")}

        def call(*words: str) -> subprocess.CompletedProcess:
            words = (sys.executable, "-m", *words)
            environment = snakemake.environment
            return subprocess.run(words, cwd=study, env=environment, capture_output=True, text=True, check=False)

        remove_lock = ("snakemake", "--configfile", str(TINY), "--unlock")
        again = command(study, *targets(study))[2:]
        refused = call(*again)
        assert refused.returncode == 1
        assert "lock" in refused.stderr.lower()
        # As one should not do it.
        assert call(*remove_lock).returncode == 0
        refused = call(*again)
        assert refused.returncode == 1
        assert f"are in SLURM's queue, and would write the same files: {held} RUNNING. make unlock" in refused.stderr
        # A shell that knows no SLURM.
        hidden = subprocess.run(
            [sys.executable, "-m", "capcortex.orphans"],
            cwd=study,
            env=os.environ | {"PATH": "/nowhere"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert hidden.returncode == 1
        assert "there is no SLURM here to ask for them: load SLURM's module, or put squeue into PATH" in hidden.stderr
        assert list(slurm.queue()) == [held]
        for words in (("capcortex.orphans",), remove_lock):
            unlocked = call(*words)
            assert unlocked.returncode == 0, unlocked.stderr
        assert slurm.queue() == {}
        assert slurm.jobs()[held].state == "CANCELLED"
    with run(slurm, study, *targets(study)) as finished:
        assert finished.wait() == 0
    require_regions(study, tiny_study)
    kept = [name for name, time in done.items() if (study / REGIONS / name).stat().st_mtime_ns == time]
    assert len(done) == 2 * n_done, "rdm and ceilings of each subject"
    assert kept == list(done)
    assert len(finished.jobs()) == 3 - n_done


def test_the_same_command_again_after_ctrl_c(
    slurm: PrivateSlurm, study: Path, tiny_study: Path, tmp_path_factory
) -> None:
    """Also where SLURM is slow: what is submitted after the others were cancelled is cancelled too, before Snakemake ends.

    The nodes are taken, so that none has ended before it can be cancelled.
    """
    slow = tmp_path_factory.mktemp("slow") / "sbatch"
    slow.write_text(f'#!/bin/sh\nsleep 5\nexec {shutil.which("sbatch", path=search_path())} "$@"\n')
    slow.chmod(0o755)
    path = f"{slow.parent}:{slurm.environment['PATH']}"
    taken = slurm.submit("sleep 600", "--nodes=2", "--exclusive")
    slurm.wait_for(taken, "RUNNING")
    with run(slurm, study, *targets(study), PATH=path) as snakemake:
        # The plugin submits two at a time.
        wait_until(lambda: "has been submitted with" in snakemake.output(), "submitted jobs", PATIENCE_S)
        snakemake.process.send_signal(signal.SIGINT)
        assert snakemake.wait() == 1
        assert slurm.queue() == {taken: "RUNNING"}
    slurm.cancel(taken)
    assert {job.state for job in snakemake.jobs()} == {"CANCELLED"}
    assert len(snakemake.jobs()) == 3
    assert submitter(study) is None
    with run(slurm, study, *targets(study)) as again:
        assert again.wait() == 0
    require_regions(study, tiny_study)


def test_an_account_that_there_is_not_ends_the_run(slurm: PrivateSlurm, study: Path, tiny_study: Path) -> None:
    """Of a job alone, and of a group."""
    subprocess.run(["cp", "-al", tiny_study / REGIONS, study / REGIONS], check=True)
    for gone, target in (
        (REGIONS, targets(study)[1]),
        ("results/tables", "results/tables/model-comparisons_space-fsaverage.tsv"),
    ):
        shutil.rmtree(study / gone)
        with run(slurm, study, "--", target, SBATCH_ACCOUNT="nobody") as snakemake:
            assert snakemake.wait() == 1
        assert "The given account nobody appears to be invalid" in snakemake.output()
        assert snakemake.jobs() == []
        subprocess.run(["cp", "-al", tiny_study / gone, study / gone], check=True)


def test_bad_input_is_told_once_and_not_tried_again(slurm: PrivateSlurm, study: Path) -> None:
    damaged = study / "results/design/image_sets/subj02.tsv"
    text = damaged.read_text()
    damaged.unlink()  # a hard link
    damaged.write_text(text.replace("\n", "\n\n", 1))
    with run(slurm, study, "--keep-going", *targets(study)) as snakemake:
        assert snakemake.wait() == 1
    told = f"compute_roi_rdm: ValueError: {damaged.relative_to(study)}: damaged or changed"
    assert snakemake.output().count(told) == 1
    assert "(log: logs/compute_roi_rdm/subj02_space-fsaverage.log)" in snakemake.output()
    ended = ends(snakemake.jobs())
    assert sorted(ended.values()) == [["COMPLETED"], ["COMPLETED"], ["FAILED"]]
    assert not list((study / REGIONS).glob("*subj02*"))


def test_bad_input_of_a_group_is_told_once_and_not_tried_again(
    slurm: PrivateSlurm, study: Path, tiny_study: Path
) -> None:
    subprocess.run(["cp", "-al", tiny_study / REGIONS, study / REGIONS], check=True)
    shutil.rmtree(study / "results/tables")
    damaged = study / "results/rsa/caption_space-fsaverage.tsv"
    text = damaged.read_text()
    damaged.unlink()
    damaged.write_text(text + "\n")
    os.utime(damaged, (tiny_study / damaged.relative_to(study)).stat()[7:9])
    with run(slurm, study, "--", "results/tables/model-comparisons_space-fsaverage.tsv") as snakemake:
        assert snakemake.wait() == 1
    assert snakemake.output().count(f"ValueError: {damaged.relative_to(study)}: damaged or changed") == 1
    assert [job.state for job in snakemake.jobs()] == ["FAILED"]
