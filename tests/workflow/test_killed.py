"""A study that is killed again and again, and resumed as the documents say, ends with the results of an undisturbed one."""

import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from comparing import ABSOLUTE, largest_difference, require_equal_runs
from running import ROOT, command, run_snakemake

from capcortex.orphans import running_jobs, running_snakemakes

# Seconds: a kill comes no earlier after the start.
EARLIEST_S = 1.5


def run_target(folder: Path, *lines: str) -> None:
    """Run recipe lines of the Makefile in another folder than the study's: the same programs, other places."""
    recipes = (ROOT / "Makefile").read_text()
    for line in lines:
        assert line in recipes
        words = line.replace("$(BIN)/python", sys.executable).split()
        arguments = command(folder) + words[1:] if words[0] == "$(SNAKEMAKE)" else words
        done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]


def kept(folder: Path, kind: str) -> list[Path]:
    """Locks, or marks of unfinished jobs, that Snakemake keeps; it may have been killed before it made the folder for them."""
    return list((folder / ".snakemake" / kind).glob("*"))


def unlock(folder: Path) -> None:
    """`make unlock`."""
    run_target(folder, "$(BIN)/python -m capcortex.orphans", "$(SNAKEMAKE) --unlock")
    assert running_jobs(folder) == []
    assert kept(folder, "locks") == []


def kill_at_random(folder: Path, rng: np.random.Generator, latest: float) -> str | None:
    """Start the study, kill at a random moment what the draw says, and tell what that was; None if there was nothing to kill."""
    study = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder)
    moment = rng.uniform(EARLIEST_S, latest)
    try:
        study.wait(timeout=moment)
        return None
    except subprocess.TimeoutExpired:
        pass
    jobs = running_jobs(folder)
    victim = str(rng.choice(["snakemake", "job", "everything"]))
    if victim == "job" and jobs:
        job = jobs[rng.integers(len(jobs))]
        hit = job.is_running()
        with suppress(psutil.NoSuchProcess):
            job.kill()
        study.communicate(timeout=300)
        assert running_jobs(folder) == []
        # A job that had just ended is not hit; then the study goes on to its end.
        return f"one of {len(jobs)} jobs after {moment:.1f} s" if hit and study.returncode else None
    study.kill()
    if victim == "everything":
        for job in jobs:
            with suppress(psutil.NoSuchProcess):
                job.kill()
    study.communicate()
    assert running_snakemakes(folder) == []
    unlock(folder)
    return f"snakemake{f' with {len(jobs)} jobs' if victim == 'everything' else ''} after {moment:.1f} s"


def resume_after_kills(folder: Path, reference: Path, kills: int, latest: float) -> None:
    """Kill a study again and again, each time at most ``latest`` seconds after its start, resume it, and compare it."""
    rng = np.random.default_rng()
    seed = int(rng.integers(2**32))
    rng = np.random.default_rng(seed)
    told: list[str] = []
    while len(told) < kills:
        killed = kill_at_random(folder, rng, latest)
        if killed is None:
            # It has ended before all kills were made: begin again.
            shutil.rmtree(folder / "results")
        else:
            done = sum(1 for _ in folder.glob("res*/**/provenance/[!.]*.json"))
            told.append(f"{killed} ({done} jobs done)")
    print(f"seed {seed}:", "; ".join(told))
    done = run_snakemake(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    if any((folder / "results/betas/sessions").glob("*")):
        # As `make study` does.
        run_target(folder, "$(SNAKEMAKE) --quiet all --delete-temp-output")
    print("largest differences:", require_equal_runs(folder, reference))
    assert not list(folder.rglob(".partial-*"))
    assert kept(folder, "locks") == kept(folder, "incomplete") == []
    assert "Nothing to be done" in run_snakemake(folder).stderr


def test_three_kills_change_nothing(tiny_study: Path, tmp_path: Path) -> None:
    resume_after_kills(tmp_path, tiny_study, kills=3, latest=45)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tiny_study: Path, tmp_path: Path) -> None:
    # Snakemake takes 3 seconds to start, and at each kill some work is lost: so the kills spread over the whole study.
    resume_after_kills(tmp_path, tiny_study, kills=20, latest=16.5)


@pytest.mark.slow
def test_one_core_gives_what_two_give(tiny_study: Path, tmp_path: Path) -> None:
    done = run_snakemake(tmp_path, "--cores", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    print("largest differences:", require_equal_runs(tmp_path, tiny_study))


ELSEWHERE = """
rule elsewhere:
    output: "elsewhere.txt"
    shell: "sleep 600"
"""


def test_half_written_files_stay_while_another_snakemake_runs_and_go_when_none_does(tmp_path: Path) -> None:
    """Two runs may make different files of one folder at once: Snakemake's lock is per file."""
    half = tmp_path / "results/deep/.partial-7-a.nc"
    half.parent.mkdir(parents=True)
    half.touch()
    (tmp_path / "elsewhere.smk").write_text(ELSEWHERE)
    words = [sys.executable, "-u", "-m", "snakemake", "--snakefile", "elsewhere.smk", "--cores", "1"]
    other = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    target = "resources/nsd/nsddata/freesurfer/fsaverage/label/streams.mgz.ctab"
    try:
        deadline = time.monotonic() + 60
        while not running_snakemakes(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert run_snakemake(tmp_path, "--", target).returncode == 0
        assert half.exists()
    finally:
        for process in [*psutil.Process(other.pid).children(recursive=True), psutil.Process(other.pid)]:
            process.kill()
        other.wait()
    assert run_snakemake(tmp_path, "--forcerun", "make_miniature_fsaverage", "--", target).returncode == 0
    assert not half.exists()


def test_a_second_run_is_refused_while_the_lock_stands(tmp_path: Path) -> None:
    study = subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not running_jobs(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    study.send_signal(signal.SIGKILL)
    study.wait()
    refused = run_snakemake(tmp_path)
    assert refused.returncode == 1
    assert re.search("lock", refused.stderr, re.I)
    unlock(tmp_path)
    assert run_snakemake(tmp_path, "--", "resources/miniature/truth/latents.nc").returncode == 0


def test_image_sets_split_into_other_jobs_give_the_same_maps(tiny_study: Path, tmp_path: Path) -> None:
    """The same betas, scored in jobs of two image sets in place of one job for all."""
    subprocess.run(["cp", "-al", f"{tiny_study}/.", str(tmp_path)], check=True)
    shutil.rmtree(tmp_path / ".snakemake")
    shutil.copytree(tiny_study / ".snakemake", tmp_path / ".snakemake")
    for folder in ("results/searchlight", "results/maps", "logs", "benchmarks", "results/provenance"):
        shutil.rmtree(tmp_path / folder)
    costs = tmp_path / "src/capcortex/costs.py"
    text = costs.read_text()
    costs.unlink()  # a hard link
    assert "SETS_PER_JOB = 10" in text
    costs.write_text(text.replace("SETS_PER_JOB = 10", "SETS_PER_JOB = 2"))
    done = run_snakemake(tmp_path, "--", "results/maps/caption/group_space-fsaverage.nc")
    assert done.returncode == 0, done.stderr[-3000:]
    # Six, three and three sets; the last job of a subject has what is left.
    blocks = sorted(path.stem for path in (tmp_path / "results/searchlight").rglob("*.nc"))
    assert blocks == [f"subj0{s}_block-0{b}" for s, last in ((1, 3), (2, 2), (3, 2)) for b in range(1, last + 1)]
    made = sorted(
        path.relative_to(tiny_study) for path in (tiny_study / "results/maps/caption").iterdir() if path.is_file()
    )
    assert len(made) == 3 * 3 + 3 + 3
    differences = {str(path): largest_difference(tmp_path / path, tiny_study / path) for path in made}
    print("largest differences:", differences)
    assert max(differences.values()) < ABSOLUTE
