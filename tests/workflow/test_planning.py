"""The plan of a study that has run: nothing is left, sizes are those of its files, and memory is what its rules ask for."""

import re
from pathlib import Path

import pytest
import yaml
from asking import Job, copy_without_messages, jobs_of, require_fitting_memory
from running import ROOT, TINY, run_snakemake

from capcortex import costs
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
    assert re.search(r"^plot_rdms +1 +[\d,]+ +0\.\d$", text, re.M)
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


@pytest.fixture(scope="module")
def shown(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny study that has run, in another folder, where Snakemake shows what jobs ask for."""
    folder = tmp_path_factory.mktemp("shown")
    copy_without_messages(folder, tiny_study)
    return folder


@pytest.fixture(scope="module")
def jobs(shown: Path) -> list[Job]:
    """Its jobs."""
    return jobs_of(shown)


def test_memory_is_what_the_rules_ask_for(study: Study, jobs: list[Job]) -> None:
    planned = costs_of(study, [sizes_of(study, name) for name in study.subject_names])
    # Rules that no job of this study needs.
    for rule in ("check_acceptance", "tabulate_all_pairs", "tabulate_released_statistics", "fit_encoding_as_released"):
        del planned[rule]
    assert set(planned) == {job.rule for job in jobs}
    for rule, cost in planned.items():
        of_rule = [job.mem_mb for job in jobs if job.rule == rule]
        assert cost.memory_mb == pytest.approx(max(of_rule), rel=0.1), rule
        assert cost.n_jobs == len(of_rule), rule


def test_jobs_ask_for_the_memory_that_they_take(shown: Path, jobs: list[Job]) -> None:
    assert require_fitting_memory(shown, jobs) > 0.8 * len(jobs)


def test_groups_are_asked_for_before_anything_is_there(tmp_path: Path) -> None:
    """A group of jobs is submitted when none of its files is made, so that no size of these can be asked."""
    copy_without_messages(tmp_path)
    grouped = [job for job in jobs_of(tmp_path) if job.rule in costs.GROUP_OF]
    # Raw betas are made before their group.
    asked = [job for job in grouped if costs.GROUP_OF[job.rule] != "extraction"]
    assert len(grouped) > len(asked) > 20
    for job in asked:
        assert None not in (job.mem_mb, job.runtime, job.disk_mb), job


def test_a_further_attempt_gets_more_memory_and_time(shown: Path, jobs: list[Job], tmp_path: Path) -> None:
    """All rules: those of this study, those of its options, of the calibration and of the real NSD, before any file is there."""
    overlay = tmp_path / "overlay.yaml"
    options = yaml.safe_load(TINY.read_text()) | {"pairs": "all", "as_released": True}
    overlay.write_text(yaml.safe_dump(options))
    names = [f"results/tables/{name}_space-fsaverage.tsv" for name in ("all-pairs", "released")]
    names.append("results/tables/encoding.tsv")
    fetched = tmp_path / "fetched"
    copy_without_messages(fetched)
    nsd = fetched / "config/nsd.yaml"
    session = "results/betas/sessions/subj01_session-01_space-fsaverage.nc"
    first = list(jobs)
    second = jobs_of(shown, "--attempt", "2")
    for folder, targets, config in (
        (shown, names, overlay),
        (shown, ["calibration"], TINY),
        (fetched, [session, "results/models/features/caption.nc"], nsd),
    ):
        first += jobs_of(folder, "--", *targets, config=config)
        second += jobs_of(folder, "--attempt", "2", "--", *targets, config=config)
    assert [job.benchmark for job in first] == [job.benchmark for job in second]
    grows: dict[str, set[str]] = {"mem_mb": set(), "runtime": set()}
    for one, two in zip(first, second, strict=True):
        for name, known in grows.items():
            before, after = getattr(one, name), getattr(two, name)
            if before is not None:
                assert after > before, f"{one.rule}: {name}"
                known.add(one.rule)
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    rules = scripts - {"make_miniature_brain"} | {f"make_miniature_brain_{subject}" for subject in options["subjects"]}
    # Those that ask by the size of files which are not there: blocks of the calibration, and sessions, dropped when averaged.
    assert grows["mem_mb"] == rules - {"tabulate_calibration"}
    assert grows["runtime"] == rules - {"average_repeats"}
