"""What jobs demand by numbers alone: enough for the real NSD, as measured, and no more than three times that."""

from itertools import product
from pathlib import Path

import pytest

from capcortex import costs
from capcortex.config import Study, load_study
from capcortex.config_files import merge_layers, read_layers
from capcortex.demands import demands_of, demands_of_model, n_text_images, n_universe_rows, universes_seconds
from capcortex.nsd.miniature.design import images_needed

ROOT = Path(__file__).parents[2]

MEASURED_MB = {
    "check_design": 165,
    "tabulate_trials": 160,
    "check_sentinel": 392,
    "compare_roi_rdms": 220,
    "estimate_roi_ceilings": 263,
    "tabulate_roi_rsa": 175,
    "average_searchlight": 291,
    "project_searchlight": 192,
    "compute_group_map": 324,
    "plot_rdms": 248,
    "plot_captions": 626,
    "plot_group_map": 535,
    "plot_subject_maps": 566,
}
"""Peaks of scripts on random numbers of NSD's size: 8 subjects, 73,000 images, 327,684 vertices, 5 shared sets, 7 regions."""

MEASURED_MODEL_MB = {"random": (374, 400), "categories": (179, None), "caption-length": (175, None)}
"""The same of `build_model` and `compute_model_rdm`."""


def study_of(*overlays: Path) -> Study:
    files = [ROOT / "config.yaml", *overlays]
    return load_study(merge_layers(read_layers(files)), ROOT, files)


@pytest.fixture(scope="module")
def nsd() -> Study:
    return study_of(ROOT / "config/nsd.yaml")


@pytest.mark.parametrize("n_raw", [0, 1, 2])
def test_universes_have_room_for_nsds_largest_region_and_for_all_sums_of_raw_sessions(n_raw: int) -> None:
    """nsdgeneral in all images, and once more what a universe keeps of it; three regions as large as ventral of streams."""
    n_images, n_units, nsdgeneral, ventral = 10_000, 327_684, 37_984, 11_168
    one_mb = 4 * n_images / 2**20

    def asked(n_rois: int) -> int:
        size = 4 * n_images * n_units
        return costs.universes_memory_mb(size, 0.0, n_images=n_images, models_mb=0.0, n_rois=n_rois, n_raw=n_raw)

    assert 150 + (2 * nsdgeneral + n_raw * 3 * ventral) * one_mb < asked(3) < 8192
    # Regions that hold all of the cortex: sums, a copy of one, and counts of one byte, whole and of the usable units.
    if n_raw:
        assert asked(20) > 150 + (n_raw + 1 + 2 / 4) * n_units * one_mb


@pytest.mark.parametrize("rule", MEASURED_MB)
def test_memory_holds_at_full_size(rule: str, nsd: Study) -> None:
    script = demands_of(nsd)[rule].memory_mb - costs.SNAKEMAKE_MB
    assert MEASURED_MB[rule] < script < 3 * MEASURED_MB[rule]


@pytest.mark.parametrize("model", MEASURED_MODEL_MB)
def test_memory_of_models_holds_at_full_size(model: str, nsd: Study) -> None:
    building, rdm = MEASURED_MODEL_MB[model]
    asked = {rule: demand.memory_mb - costs.SNAKEMAKE_MB for rule, demand in demands_of_model(nsd, model).items()}
    # Features are taken as wide as the widest.
    assert building < asked["build_model"] < 1.8 * MEASURED_MODEL_MB["random"][0]
    if rdm:
        assert rdm < asked["compute_model_rdm"] < 3 * rdm


@pytest.mark.parametrize("overlay", [[], [ROOT / "tests/tiny/config.yaml"]], ids=["default", "tiny"])
def test_images_of_the_miniature_are_counted_as_its_design_does(overlay: list[Path]) -> None:
    study = study_of(*overlay)
    sessions = dict(zip(study.subject_names, study.subjects["sessions"], strict=True))
    settings = study.config["miniature"]
    assert n_text_images(study) == images_needed(sessions, settings["runs_per_session"], settings["shared_images"])[1]


def test_a_file_of_ones_own_counts(tmp_path: Path) -> None:
    """A matrix of 1 GB: with what its reading takes."""
    study, path = study_of(), tmp_path / "own.npz"
    study.models.loc[study.models["model"] == "caption-length", "path"] = str(path)
    before = demands_of_model(study, "caption-length")
    with path.open("wb") as file:
        file.truncate(2**30)
    after = demands_of_model(study, "caption-length")
    more = {rule: after[rule].memory_mb - before[rule].memory_mb for rule in before}
    assert more == pytest.approx({"build_model": 4 * 1024, "compute_model_rdm": 3 * 1024}, abs=50)
    assert after["build_model"].seconds > before["build_model"].seconds


def test_more_subjects_sets_and_regions_ask_for_more(nsd: Study) -> None:
    """Of a rule that reads results of all subjects, not only of one."""
    few = Study(dict(nsd.config), nsd.subjects.iloc[:2], nsd.models, nsd.encoders, nsd.atlases, nsd.figures)
    config = nsd.config | {"rois": {"streams": [f"region {number}" for number in range(180)]}}
    many = Study(config, nsd.subjects, nsd.models, nsd.encoders, nsd.atlases, nsd.figures)
    for rule in ("compare_roi_rdms", "estimate_roi_ceilings", "tabulate_roi_rsa", "compare_models"):
        asked = [demands_of(study)[rule].memory_mb for study in (few, nsd, many)]
        assert asked == sorted(set(asked)), rule


def with_multiverse(study: Study, **keys: object) -> Study:
    """A study of local data, where every axis can have levels of its own, with other levels of some axes."""
    config = study.config | {"source": "local", "multiverse": study.config["multiverse"] | keys}
    return Study(config, study.subjects, study.models, study.encoders, study.atlases, study.figures)


@pytest.mark.parametrize(
    ("key", "few", "many"),
    [
        ("betas_versions", [], ["betas_fithrf"]),
        ("zscores", [], ["none"]),
        ("draws", 2, 5),
        ("distances", [], ["cosine"]),
        ("least_ncsnr", [], [0.2]),
        ("within", [], ["nsdgeneral"]),
    ],
)
def test_twice_the_levels_of_what_makes_rdms_take_twice_the_time(
    key: str, few: object, many: object, nsd: Study
) -> None:
    """The study's own level is one more; each new RDM is made, and compared with the models."""
    once, twice = (
        universes_seconds(with_multiverse(nsd, **{key: levels}), "subj01", n_units=20_000) for levels in (few, many)
    )
    assert twice == pytest.approx(2 * once)


def test_another_comparison_of_rdms_takes_time_but_makes_no_rdm(nsd: Study) -> None:
    studies = [with_multiverse(nsd, rdm_comparisons=measures) for measures in ([], ["spearman"])]
    making = [universes_seconds(study, "subj01", 20_000) - universes_seconds(study, "subj01", 0) for study in studies]
    comparing = [universes_seconds(study, "subj01", 0) for study in studies]
    assert making[1] == pytest.approx(making[0])
    assert comparing[1] > comparing[0] > 0


def test_rdms_of_universes_take_time_by_the_units(nsd: Study) -> None:
    """A pair of images is compared unit by unit, so that the surface takes longer than the volume."""
    none, some, twice = (universes_seconds(nsd, "subj01", n_units) for n_units in (0, 200_000, 400_000))
    assert twice - some == pytest.approx(some - none)
    assert some > none


def test_rows_of_universes_are_counted_one_by_one(nsd: Study) -> None:
    """Two models and their difference, of every subject and region."""
    for n_subjects in (1, len(nsd.subjects)):
        subjects = nsd.subjects.iloc[:n_subjects]
        study = Study(nsd.config, subjects, nsd.models, nsd.encoders, nsd.atlases, nsd.figures)
        rois = [roi for of_atlas in study.multiverse.rois.values() for roi in of_atlas]
        rows = product(study.subject_names, rois, *study.multiverse.axes.values(), ["first", "second", "difference"])
        assert n_universe_rows(study) == len(list(rows))


def test_without_a_multiverse_there_are_no_universes(nsd: Study) -> None:
    study = with_multiverse(nsd, models=[])
    assert n_universe_rows(study) == 0
    assert universes_seconds(study, "subj01", 20_000) == 0
