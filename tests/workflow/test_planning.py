"""The plan of a study that has run: nothing is left, sizes are those of its files, and memory is what its rules ask for."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from running import ROOT, TINY, run_snakemake

from capcortex.config import Study, load_study
from capcortex.config_files import merge_layers, read_layers
from capcortex.nsd.sizes import averages_bytes
from capcortex.plan import betas_of, costs_of, describe, sizes_of


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


def test_betas_have_the_planned_sizes(study: Study) -> None:
    """Averages exactly; repeats at most, because how many shared images there are is not known beforehand."""
    for name in study.subject_names:
        subject = sizes_of(study, name)
        for space, dim in (("fsaverage", "vertex"), ("func1pt8mm", "voxel")):
            averages, repeats = (
                Path(f"results/betas/{name}_space-{space}{kind}.nc").stat().st_size for kind in ("", "_repeats")
            )
            planned = averages_bytes(subject.n_images, subject.n_units(space), dim)
            assert planned == pytest.approx(averages, rel=0.02)
            assert planned + 0.5 * repeats < betas_of(study, subject, space).averaged
            assert averages + repeats <= 1.02 * betas_of(study, subject, space).averaged


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
