"""What jobs ask Snakemake for, read from its dry run, and beside what they took."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from running import TINY, copy_code, copy_study, run_snakemake

from capcortex.costs import SNAKEMAKE_MB

FLOOR_MB = 700
"""Less is not worth an exact number: Python and its libraries take 100 to 250, and nodes have some GB for every core."""

CACHED = ("embed_dictionary",)
"""Rules that load an encoder only for sentences which have no vector yet; in the tests all have."""


@dataclass(frozen=True)
class Job:
    """A job of a dry run; None where Snakemake cannot tell yet what it asks for."""

    rule: str
    benchmark: str
    mem_mb: int | None
    runtime: int | None
    disk_mb: int | None


def copy_without_messages(folder: Path, study: Path | None = None) -> None:
    """Put a copy of the code into a folder, beside a finished study: of rules without a message Snakemake shows everything."""
    if study is not None:
        copy_study(study, folder)
    copy_code(folder)
    for path in (folder / "workflow/rules").glob("*.smk"):
        path.write_text(re.sub(r"^ +message:\n +f?\".*\"\n", "", path.read_text(), flags=re.M))


def jobs_of(folder: Path, *arguments: str, config: Path | None = TINY) -> list[Job]:
    """Read what all jobs would ask for, in the order of their benchmarks, in a folder of `copy_without_messages`."""
    done = run_snakemake(folder, "--dry-run", "--forceall", *arguments, config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    # Jobs of a group are set in.
    parts = re.split(r"^ *(?:local)?rule (\w+):\n", done.stdout + done.stderr, flags=re.M)
    jobs = [_job(rule, text) for rule, text in zip(parts[1::2], parts[2::2], strict=True) if "benchmark: " in text]
    return sorted(jobs, key=lambda job: job.benchmark)


def _job(rule: str, text: str) -> Job:
    found = {
        name: re.search(rf"^ +resources: .*\b{name}=(\d+)", text, re.M) for name in ("mem_mb", "runtime", "disk_mb")
    }
    numbers = {name: int(match[1]) if match else None for name, match in found.items()}
    return Job(rule, re.search(r"benchmark: (\S+)", text)[1], **numbers)


def require_fitting_memory(study: Path, jobs: Iterable[Job]) -> int:
    """Fail if a job asks for less than it took, or more than three times as much, what is for Snakemake apart; count the jobs."""
    wrong, n = [], 0
    for job in jobs:
        took = pd.read_csv(study / job.benchmark, sep="\t")["max_rss"].max()
        # Jobs of less than half a second were not measured.
        if not took > 0:
            continue
        n += 1
        most = np.inf if job.rule in CACHED else max(3 * took, FLOOR_MB)
        asked = job.mem_mb - SNAKEMAKE_MB
        if not took <= asked <= most:
            wrong.append(f"{job.rule} ({job.benchmark}): asks for {asked} MB beside Snakemake, took {took:.0f} MB")
    assert not wrong, "\n".join(wrong)
    return n
