"""The plan of a study that has run: nothing is left, sizes are those of its files, and memory is what its rules ask for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from running import ROOT, TINY, run_snakemake

from capcortex.config import Study, load_study
from capcortex.config_files import merge_layers, read_layers
from capcortex.plan import betas_of, costs_of, describe, sizes_of, spaces_used


def dry_run(folder: Path, *arguments: str) -> str:
    """Text that `make plan` hands over."""
    texts = []
    for words in (["--dry-run", "--quiet", "host", "reason", "rules", *arguments], ["--summary"]):
        done = run_snakemake(folder, *words)
        assert done.returncode == 0, done.stderr[-3000:]
        texts.append(done.stderr + done.stdout)
    return "\n".join(texts)


@pytest.fixture
def study(tiny_study: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The tiny study that has run, from its own folder."""
    monkeypatch.chdir(tiny_study)
    files = [tiny_study / "config.yaml", TINY]
    return load_study(merge_layers(read_layers(files)), tiny_study, files)


def test_a_study_that_has_run_has_nothing_left(study: Study) -> None:
    text = describe(study, dry_run(Path.cwd()))
    assert "Nothing is left to be done." in text
    n_files, n_there = re.search(
        r"Of ([\d,]+) files that the study makes or fetches, ([\d,]+) are there", text
    ).groups()
    # All but the extracted sessions, which were dropped.
    assert int(n_files) - int(n_there) == 2 * (3 + 2 + 2)
    assert "Estimates" not in text


def test_jobs_that_are_left_again_are_counted(study: Study, tmp_path: Path) -> None:
    text = describe(study, dry_run(Path.cwd(), "--forcerun", "plot_rdms"))
    assert re.search(r"^plot_rdms +1$", text, re.M)
    assert re.search(r"^all +1 +0\.0$", text, re.M)


def test_averages_and_scores_have_the_planned_sizes(study: Study) -> None:
    for name in study.subject_names:
        subject = sizes_of(study, name)
        for space in spaces_used(study):
            made = sum(path.stat().st_size for path in Path("results/betas").glob(f"{name}_space-{space}*.nc"))
            assert betas_of(study, subject, space).averaged == pytest.approx(made, rel=0.03)


def test_memory_is_what_the_rules_ask_for(study: Study, tiny_study: Path, tmp_path: Path) -> None:
    """Snakemake shows what jobs ask for where they have no message."""
    subprocess.run(["cp", "-al", f"{tiny_study}/.", str(tmp_path)], check=True)
    shutil.rmtree(tmp_path / "workflow")
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    for path in (tmp_path / "workflow/rules").glob("*.smk"):
        path.write_text(re.sub(r"^ +message:\n +f?\".*\"\n", "", path.read_text(), flags=re.M))
    done = run_snakemake(tmp_path, "--dry-run", "--forceall")
    assert done.returncode == 0, done.stderr[-3000:]
    asked: dict[str, int] = {}
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?: .*\n)+)", done.stdout + done.stderr, re.M)
    for rule, text in jobs:
        if memory := re.search(r"mem_mb=(\d+)", text):
            asked[rule] = max(asked.get(rule, 0), int(memory[1]))
    planned = costs_of(study, [sizes_of(study, name) for name in study.subject_names])
    assert {"extract_volume_session", "average_repeats", "compute_roi_rdm", "score_searchlight"} <= set(asked) & set(
        planned
    )
    for rule, cost in planned.items():
        assert cost.memory_mb == pytest.approx(asked[rule], rel=0.1), rule
        assert cost.n_jobs == sum(name == rule for name, _ in jobs), rule
