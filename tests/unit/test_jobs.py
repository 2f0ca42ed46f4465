"""Jobs: what is in the log, on the terminal and in the record after a job that ends well and after one that does not.

Every job runs in a process of its own, as Snakemake runs it, with the classes that Snakemake gives to a script.
"""

import hashlib
import json
import signal
import subprocess
import sys

import pytest

from capcortex.jobs import refusal

JOB = """
import sys
from pathlib import Path
from types import SimpleNamespace
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards
from capcortex.jobs import job

snakemake = SimpleNamespace(
    rule="average_repeats",
    wildcards=Wildcards(fromdict={"subject": "subj01", "session": "03"}),
    params=Params(fromdict={"policy": "exclude", "subjects": ["a", "b"], "provenance": "record"}),
    threads=2,
    input=InputFiles(fromdict={"first": "in.txt", "folder": "many"}),
    output=OutputFiles(fromdict={"out": "out.txt"}),
    log=Log(["logs/deep/job.log"]),
)
with job(snakemake):
"""


WRITE = 'Path("out.txt").write_text("output")'


@pytest.fixture
def run_job(tmp_path, run_python, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("input")
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "a").touch()

    def run(*body, before=""):
        code = JOB.replace("with job", f"{before}\nwith job") + "\n".join(f"    {line}" for line in body)
        return run_python(code)

    return run


def test_failure_is_logged_with_traceback_and_told_in_one_line(run_job, tmp_path):
    result = run_job("def deep():", "    raise ValueError('id73k 7 is missing')", "deep()")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "average_repeats: ValueError: id73k 7 is missing (log: logs/deep/job.log)\n"
    log = (tmp_path / "logs/deep/job.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "in deep" in log
    assert "ValueError: id73k 7 is missing" in log
    assert not (tmp_path / "record").exists()


LOG = "logs/deep/job.log"


def test_what_a_job_refuses_is_known_from_its_log(run_job, tmp_path):
    result = run_job("raise ValueError('id73k 7 is missing,\\n expected all')")
    told = "average_repeats: ValueError: id73k 7 is missing, expected all (log: logs/deep/job.log)"
    assert result.stderr == f"{told}\n"
    assert refusal(LOG, since=0) == told
    changed = (tmp_path / LOG).stat().st_mtime
    assert refusal(LOG, since=changed) == told
    assert refusal(LOG, since=changed + 1) is None, "of an earlier run"


@pytest.mark.parametrize(
    "body",
    [
        "raise MemoryError('no room for an array')",
        "import torch; torch.empty(10**15)",
        "raise OSError(errno.EIO, 'a disk that fails')",
        "raise OSError(errno.ESTALE, 'a file system that was away')",
        "raise OSError(errno.ENOLCK, 'a server of locks that was away')",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        WRITE,
    ],
)
def test_a_job_that_may_succeed_again_or_has_succeeded_refuses_nothing(run_job, body):
    run_job("import errno, os, signal, time", body)
    assert refusal(LOG, since=0) is None


@pytest.mark.parametrize("body", ["raise OSError(errno.ENOSPC, 'no room')", "raise FileNotFoundError('in.txt')"])
def test_errors_of_the_system_that_stay_are_refusals(run_job, body):
    run_job("import errno", body)
    assert "average_repeats: " in refusal(LOG, since=0)


def test_jobs_run_where_the_system_does_not_know_all_errors():
    code = "import errno; del errno.EREMOTEIO; from capcortex.jobs import PASSING_ERRORS; assert errno.ESTALE in PASSING_ERRORS"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_log_is_no_refusal(tmp_path):
    assert refusal(tmp_path / "none.log", since=0) is None
    (tmp_path / "empty.log").touch()
    assert refusal(tmp_path / "empty.log", since=0) is None
    (tmp_path / "other.log").write_bytes(b"\xff CRITICAL root: \n")
    assert refusal(tmp_path / "other.log", since=0) is None


def test_message_of_several_lines_is_told_in_one(run_job):
    # As of nibabel: "Expected 392 bytes, got 64 bytes from a.mgh\n - could the file be damaged?"
    result = run_job("raise OSError('Expected 392 bytes\\n - could the file be damaged?')")
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("average_repeats: OSError: Expected 392 bytes")
    assert "damaged?" in lines[0]
    assert lines[0].endswith("(log: logs/deep/job.log)")


def test_success_is_silent_and_logged(run_job, tmp_path):
    body = (
        "import logging, warnings",
        "logging.getLogger('capcortex.x').info('seen 3')",
        "warnings.warn('beware')",
        WRITE,
    )
    result = run_job(*body)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    log = (tmp_path / "logs/deep/job.log").read_text()
    assert "INFO capcortex.x: seen 3" in log
    assert "beware" in log
    assert log.rstrip().endswith("done")


def test_record_holds_what_went_in_and_came_out(run_job, tmp_path):
    assert run_job(WRITE).returncode == 0
    (path,) = (tmp_path / "record").iterdir()
    assert path.name == "average_repeats_subject-subj01_session-03.json"
    record = json.loads(path.read_text())
    assert record["rule"] == "average_repeats"
    assert record["wildcards"] == {"subject": "subj01", "session": "03"}
    assert record["params"] == {"policy": "exclude", "subjects": ["a", "b"], "provenance": "record"}
    assert record["threads"] == 2
    assert record["inputs"] == {
        "in.txt": {"bytes": 5, "sha256": hashlib.sha256(b"input").hexdigest()},
        "many": {"folder_of": 1},
    }
    assert record["outputs"] == {"out.txt": {"bytes": 6, "sha256": hashlib.sha256(b"output").hexdigest()}}
    assert record["versions"]["numpy"].count(".") == 2
    assert record["finished"].endswith("+00:00")


def test_large_files_are_recorded_without_reading_them(run_job, tmp_path):
    assert run_job(WRITE, before="from capcortex import jobs; jobs.LARGEST_HASHED_BYTES = 5").returncode == 0
    record = json.loads((tmp_path / "record/average_repeats_subject-subj01_session-03.json").read_text())
    assert "sha256" in record["inputs"]["in.txt"]  # exactly the limit
    assert record["outputs"]["out.txt"].keys() == {"bytes", "modified"}


def test_output_that_was_not_written_is_a_failure(run_job, tmp_path):
    result = run_job("pass")
    assert result.returncode == 1
    assert "out.txt" in result.stderr
    assert not (tmp_path / "record").exists()


def test_log_of_a_second_run_replaces_the_first(run_job, tmp_path):
    run_job("raise ValueError('first')")
    run_job(WRITE)
    assert "first" not in (tmp_path / "logs/deep/job.log").read_text()


@pytest.fixture
def made_input(run_job, tmp_path):
    """Let a job make the file that the next one reads."""
    record = tmp_path / "results/provenance/draw_image_sets.json"
    record.parent.mkdir(parents=True)
    content = {
        "rule": "draw_image_sets",
        "finished": "2026-01-02",
        "outputs": {
            "in.txt": {"bytes": 5, "sha256": hashlib.sha256(b"input").hexdigest()},
            "many": {"folder_of": 7},
        },
    }
    record.write_text(json.dumps(content))
    return record, content


@pytest.mark.parametrize("content", ["inpu", "", "Input", "input "])
def test_an_input_that_is_not_as_its_rule_left_it_is_refused(run_job, tmp_path, made_input, content):
    assert run_job(WRITE).returncode == 0
    (tmp_path / "in.txt").write_text(content)
    result = run_job(WRITE.replace("output", "of a damaged input"))
    assert result.returncode == 1
    assert "in.txt: damaged or changed since rule draw_image_sets made it" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (tmp_path / "out.txt").read_text() == "output"


def test_the_message_on_a_damaged_input_says_how_to_make_it_anew(run_job, tmp_path, made_input):
    record, content = made_input
    (tmp_path / "results/in.txt").write_text("damaged")
    record.write_text(json.dumps(content | {"outputs": {"results/in.txt": content["outputs"]["in.txt"]}}))
    result = run_job(WRITE, before='snakemake.input = InputFiles(fromdict={"a": "results/in.txt"})')
    assert "make it anew: rm 'results/in.txt', then run snakemake again" in result.stderr


def test_the_later_of_two_records_holds_wherever_it_lies(run_job, tmp_path, made_input):
    _, content = made_input
    (tmp_path / "in.txt").write_text("made anew")
    other = tmp_path / "resources/miniature/provenance/a.json"
    other.parent.mkdir(parents=True)
    anew = {"in.txt": {"bytes": 9, "sha256": hashlib.sha256(b"made anew").hexdigest()}}
    for finished, status in (("2026-01-03", 0), ("2026-01-01", 1)):
        other.write_text(json.dumps(content | {"rule": "renamed", "finished": finished, "outputs": anew}))
        assert run_job(WRITE).returncode == status


def test_large_inputs_are_compared_by_their_size_not_by_their_time(run_job, tmp_path, made_input):
    record, content = made_input
    large = "from capcortex import jobs; jobs.LARGEST_HASHED_BYTES = 4"
    record.write_text(json.dumps(content | {"outputs": {"in.txt": {"bytes": 5, "modified": 1}}}))
    assert run_job(WRITE, before=large).returncode == 0
    (tmp_path / "in.txt").write_text("truncated")
    assert "bytes 9, expected 5" in run_job(WRITE, before=large).stderr


def test_half_written_records_are_passed_over_and_damaged_ones_named(run_job, made_input):
    record, _ = made_input
    record.with_name(".partial-7-x.json").write_text('{"rule"')
    assert run_job(WRITE).returncode == 0
    record.write_text('{"rule"')
    result = run_job(WRITE)
    assert result.returncode == 1
    assert "draw_image_sets.json: not a whole record" in result.stderr


def test_a_job_that_is_told_to_end_removes_what_it_has_half_written(run_job, tmp_path):
    body = (
        "import os, signal",
        "from capcortex.files import atomic_path",
        "with atomic_path('results/a.txt') as temporary:",
        "    temporary.write_text('half of')",
        "    os.kill(os.getpid(), signal.SIGTERM)",
    )
    result = run_job(*body)
    assert result.returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "results").iterdir()) == []
    log = (tmp_path / "logs/deep/job.log").read_text()
    assert "ended from outside" in log
    assert not (tmp_path / "record").exists()


def test_a_crash_leaves_its_traceback_in_the_log(run_job, tmp_path):
    result = run_job("import ctypes", "def crash():", "    ctypes.string_at(0)", "crash()")
    assert result.returncode == -signal.SIGSEGV
    log = (tmp_path / "logs/deep/job.log").read_text()
    assert "Segmentation fault" in log
    assert "in crash" in log


def test_a_full_disk_is_told_in_one_line(run_job, small_disk):
    """HDF5 crashes, and fills the terminal, when it is taken down after a write that failed."""
    body = (
        "import numpy as np, xarray as xr",
        "from capcortex.arrays import write_array",
        f"write_array(xr.DataArray(np.zeros((1024, 512)), name='x'), '{small_disk}/a.nc')",
    )
    result = run_job(*body)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"No space left on device to write {small_disk}/a.nc" in result.stderr
    assert list(small_disk.iterdir()) == []
