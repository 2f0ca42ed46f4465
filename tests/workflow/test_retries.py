"""With `--retries`, a job that was killed is tried again, and one that refuses its input is not."""

import subprocess
import time
from pathlib import Path

from comparing import largest_difference
from running import TINY, command, copy_study, hold_a_job, run_snakemake

from capcortex.orphans import submitter

DESIGN = "results/design/image_sets/subj01.tsv"


def test_a_job_that_was_killed_is_tried_again(tiny_study: Path, tmp_path: Path) -> None:
    copy_study(tiny_study, tmp_path)
    (tmp_path / "results/sentinel.tsv").unlink()
    words = [*command(tmp_path, TINY), "--retries", "1", "--", "results/sentinel.tsv"]
    study = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    try:
        while (job := hold_a_job(tmp_path)) is None:
            assert study.poll() is None, study.communicate()[1][-3000:]
            assert time.monotonic() < deadline, "no script at work"
            time.sleep(0.02)
        job.kill()
        _, told = study.communicate(timeout=300)
    finally:
        study.kill()
    assert study.returncode == 0, told[-3000:]
    assert told.count("Trying to restart job") == 1
    assert largest_difference(tmp_path / "results/sentinel.tsv", tiny_study / "results/sentinel.tsv") == 0


def test_a_job_that_refuses_its_input_is_not(tiny_study: Path, tmp_path: Path) -> None:
    copy_study(tiny_study, tmp_path)
    (tmp_path / "results/sentinel.tsv").unlink()
    damaged = tmp_path / DESIGN
    text = damaged.read_text()
    damaged.unlink()  # a hard link
    damaged.write_text(text + "\n")
    # `--jobs` is how clusters are told how much they get; this is none.
    done = run_snakemake(tmp_path, "--retries", "2", "--jobs", "2", "--", "results/sentinel.tsv")
    assert done.returncode == 1
    assert submitter(tmp_path) is None
    assert "SLURM" not in done.stderr
    assert done.stderr.count(f"check_sentinel: ValueError: {DESIGN}: damaged or changed") == 1
    assert "Trying to restart job" not in done.stderr
