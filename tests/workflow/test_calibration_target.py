"""The target `calibration` in a fresh folder: it needs no data, makes nothing else, and goes on where it was."""

import re
from pathlib import Path

import pytest
import yaml
from asking import copy_without_messages, jobs_of, require_fitting_memory
from running import copy_code, run_snakemake

from capcortex.inference.calibration import RATE_COLUMNS
from capcortex.inference.scenarios import SCENARIOS
from capcortex.tables import read_table

RULES = {"simulate_studies", "tabulate_calibration", "plot_calibration", "calibration"}


def ran(output: str) -> dict[str, int]:
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, re.M) if rule != "total"}


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with the code in which the target was made from nothing, and its config."""
    folder = tmp_path_factory.mktemp("calibration")
    copy_code(folder)
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"calibration": {"studies": 20}}))
    done = run_snakemake(folder, "--", "calibration", config=overlay)
    assert done.returncode == 0, done.stderr[-4000:]
    assert ran(done.stdout + done.stderr) == dict.fromkeys(RULES, 1) | {"simulate_studies": len(SCENARIOS)}
    return folder, overlay


def test_nothing_but_the_calibration_is_made(calibrated: tuple[Path, Path]) -> None:
    folder, _ = calibrated
    assert not (folder / "resources").exists()
    results = {path.name for path in (folder / "results").iterdir()}
    assert results == {"calibration", "tables", "figures", "provenance"}
    table = read_table(folder / "results/tables/calibration.tsv", columns=RATE_COLUMNS)
    assert set(table["n_studies"]) == {20, 4}
    assert len((folder / "results/tables/calibration.md").read_text().splitlines()) > len(SCENARIOS)
    numbers = read_table(folder / "results/figures/calibration.tsv", columns=["mark", "rate"])
    assert len(numbers) == len(table)


def test_a_stopped_run_simulates_what_is_missing_and_ends_with_the_same_rates(calibrated: tuple[Path, Path]) -> None:
    folder, overlay = calibrated
    block = folder / "results/calibration/blocks/maps_block-0001.tsv"
    tables = [folder / f"results/tables/calibration.{suffix}" for suffix in ("tsv", "md")]
    before = [path.read_bytes() for path in (block, *tables)]
    for path in (block, *tables):
        path.unlink()
    done = run_snakemake(folder, "--", "calibration", config=overlay)
    assert done.returncode == 0, done.stderr[-4000:]
    assert ran(done.stdout + done.stderr) == dict.fromkeys(RULES, 1)
    assert [path.read_bytes() for path in (block, *tables)] == before


def test_jobs_ask_for_the_memory_that_they_take(calibrated: tuple[Path, Path], tmp_path: Path) -> None:
    folder, overlay = calibrated
    copy_without_messages(tmp_path, folder)
    assert require_fitting_memory(tmp_path, jobs_of(tmp_path, "--", "calibration", config=overlay)) > 2
