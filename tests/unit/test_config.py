"""Configuration: the default is valid, and every mistake is named with what would be right."""

import copy
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capcortex.config import check_models, load_study, searchlight_batches

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def folder(tmp_path):
    """A copy of the study's tables and schema, to be changed."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "workflow/schemas", tmp_path / "workflow/schemas")
    return tmp_path


def merged(base, overlay):
    """Lay one configuration over another, as Snakemake does with several config files."""
    result = copy.deepcopy(base)
    for key, value in overlay.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def test_default_configuration_is_valid(config):
    study = load_study(config, ROOT)
    assert study.subject_names == config["subjects"]
    assert study.model_names == config["models"]
    assert study.nsd_root == "resources/nsd"


@pytest.mark.parametrize("overlay", ["nsd.yaml", "captions.yaml"])
def test_overlays_are_valid(config, overlay):
    changes = yaml.safe_load((ROOT / "config" / overlay).read_text())
    study = load_study(merged(config, changes), ROOT)
    assert study.subject_names == config["subjects"]


def test_overlay_of_nsd_points_to_the_users_copy(config):
    study = load_study(merged(config, yaml.safe_load((ROOT / "config/nsd.yaml").read_text())), ROOT)
    assert study.nsd_root == study.config["local"]["nsd"]
    assert [len(study.sessions(subject)) for subject in study.subject_names] == [40, 40, 32, 30, 40, 32, 40, 30]
    assert study.sessions("subj04") == list(range(1, 31))


def test_every_key_is_explained_and_demanded():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    for part in (schema, schema["properties"]["miniature"], schema["properties"]["local"]):
        assert sorted(part["required"]) == sorted(part["properties"])
        assert part["additionalProperties"] is False
        assert all(entry.get("description") for entry in part["properties"].values())


@pytest.mark.parametrize(
    ("wrong", "near"), [("subject", "subjects"), ("enocder", "encoder"), ("image_size", "image_set_size")]
)
def test_unknown_key_names_the_nearest(config, wrong, near):
    with pytest.raises(
        ValueError, match=rf"config\.yaml: top level: unknown key '{wrong}'; the nearest known key is '{near}'"
    ):
        load_study(config | {wrong: 1}, ROOT)


def test_unknown_key_inside_a_part_names_the_part(config):
    config["miniature"]["run_per_session"] = 3
    with pytest.raises(
        ValueError, match=r"config\.yaml: miniature: unknown key 'run_per_session'; .* 'runs_per_session'"
    ):
        load_study(config, ROOT)


def test_missing_key_is_named(config):
    del config["brain_distance"]
    with pytest.raises(ValueError, match=r"top level: 'brain_distance' is a required property"):
        load_study(config, ROOT)


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("seed", "1", r"seed: '1' is not of type 'integer'\. Seed of the study"),
        ("seed", -1, "seed: -1 is less than the minimum of 0"),
        ("seed", True, "seed: True is not of type 'integer'"),
        ("source", "bucket", r"source: 'bucket' is not one of \['miniature', 'local'\]"),
        ("subjects", "subj01", "subjects: 'subj01' is not of type 'array'"),
        ("subjects", [], r"subjects: \[\] should be non-empty"),
        ("subjects", ["subj01", "subj01"], "subjects: .*non-unique"),
        ("subjects", ["subj01", "subj09"], "subjects: 1: 'subj09' does not match"),
        ("models", ["caption", "caption"], "models: .*non-unique"),
        ("confidence", 95, "confidence: 95 is greater than or equal to the maximum of 1"),
        ("confidence", 0, "confidence: 0 is less than or equal to the minimum of 0"),
        ("brain_distance", "absolute", "brain_distance: 'absolute' is not one of"),
        ("incomplete_data", "drop", "incomplete_data: 'drop' is not one of"),
        ("image_set_size", 100.5, "image_set_size: 100.5 is not of type 'integer'"),
        ("rois", {"streams": "early"}, "rois: streams: 'early' is not of type 'array'"),
        ("rois", {}, "rois: "),
        ("acceptance_table", 3, "acceptance_table: 3 is not of type"),
    ],
)
def test_wrong_value_is_named_with_its_key(config, key, value, found):
    with pytest.raises(ValueError, match=rf"^config\.yaml: {found}"):
        load_study(config | {key: value}, ROOT)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"models": ["caption", "captoin"]}, r"models: 'captoin' is not in config/models\.tsv; nearest: 'caption'"),
        ({"encoder": "all-MiniLM-L6"}, r"'all-MiniLM-L6' is not in config/encoders\.tsv; nearest: 'all-MiniLM-L6-v2'"),
    ],
)
def test_unknown_names_are_named_with_the_nearest(config, change, found):
    with pytest.raises(ValueError, match=found):
        load_study(config | change, ROOT)


def change_table(folder, name, change):
    """Change the rows of a table, keeping its comments."""
    path = folder / "config" / name
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    path.write_text("\n".join(comments + change(lines[len(comments) :])) + "\n")


def test_subject_that_the_table_lacks_is_named(config, folder):
    change_table(folder, "subjects_miniature.tsv", lambda lines: lines[:-1])
    with pytest.raises(ValueError, match=r"subjects: 'subj08' is not in config/subjects_miniature\.tsv"):
        load_study(config, folder)


def test_encoder_of_a_model_that_is_unknown_is_named(config, folder):
    change_table(folder, "models.tsv", lambda lines: [line.replace("\tstudy\t", "\tmpnet\t", 1) for line in lines])
    with pytest.raises(ValueError, match=r"encoder: 'mpnet' is not in config/encoders\.tsv; nearest: 'all-mpnet"):
        load_study(config, folder)


@pytest.mark.parametrize("name", ["subjects_miniature.tsv", "models.tsv", "encoders.tsv"])
def test_row_that_occurs_twice_is_refused(config, folder, name):
    # Which of the two would be used is anybody's guess.
    change_table(folder, name, lambda lines: [*lines, lines[1]])
    with pytest.raises(ValueError, match=rf"config/{name.replace('.', '[.]')}: \w+ \S+ occurs twice"):
        load_study(config, folder)


def test_missing_column_is_named(config, folder):
    change_table(folder, "models.tsv", lambda lines: [lines[0].replace("distance", "metric"), *lines[1:]])
    with pytest.raises(ValueError, match=r"models\.tsv: column\(s\) distance missing"):
        load_study(config, folder)


def test_region_named_twice_is_refused(config):
    config["rois"] = {"Kastner2015": ["V1d", "V1v"], "prf-visualrois": ["V1v"]}
    with pytest.raises(ValueError, match="region 'V1v' occurs twice, in Kastner2015 and in prf-visualrois"):
        load_study(config, ROOT)


def test_own_copy_needs_its_folder(config):
    with pytest.raises(ValueError, match="local: nsd: the folder of your copy"):
        load_study(config | {"source": "local"}, ROOT)


def test_subjects_come_in_the_order_of_the_configuration(config):
    study = load_study(config | {"subjects": ["subj03", "subj01"]}, ROOT)
    assert study.subject_names == ["subj03", "subj01"]
    assert study.subject_row("subj01")["sessions"] == 3
    assert study.sessions("subj03") == [1, 2]
    assert type(study.subject_row("subj01")["sessions"]) is int  # rows go to jobs as parameters


def test_study_stands_for_the_studys_encoder(config):
    for encoder in pd.read_csv(ROOT / "config/encoders.tsv", sep="\t", comment="#")["encoder"]:
        study = load_study(config | {"encoder": encoder}, ROOT)
        assert study.model_row("caption")["encoder"] == encoder
        assert study.encoder_row("caption")["encoder"] == encoder
        assert study.encoder_row("categories") is None
    assert study.model_row("categories")["path"] is None


def test_sentinel_models_are_a_caption_model_in_use_and_the_categories(config):
    assert load_study(config, ROOT).sentinel_models == ("caption", "categories")
    assert load_study(config | {"models": ["random"]}, ROOT).sentinel_models == ("caption", "categories")


MODEL_COLUMNS = ["model", "builder", "encoder", "path", "distance", "label"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"builder": "sentense"}, ["builder", "sentense", "'sentence'"]),
        ({"distance": "corelation"}, ["distance", "corelation", "'correlation'"]),
        ({"encoder": None}, ["needs the column encoder"]),
        ({"path": "x.tsv"}, ["no use for the column path"]),
        ({"builder": "features", "encoder": None}, ["needs the column path"]),
        ({"builder": "rdm", "encoder": None, "path": "x.nc"}, ["leave the column distance empty"]),
        ({"label": None}, ["label"]),
        ({"label": "Categories"}, ["'Categories' occurs twice"]),
        ({"model": "../x"}, ["../x", "file names"]),
        ({"model": "a+b"}, ["a+b", "file names"]),
    ],
)
def test_every_row_of_the_model_table_is_checked(change, words):
    rows = [
        dict(zip(MODEL_COLUMNS, ("caption", "sentence", "study", None, "correlation", "Captions"), strict=True))
        | change,
        dict(zip(MODEL_COLUMNS, ("categories", "categories", None, None, "correlation", "Categories"), strict=True)),
    ]
    with pytest.raises(ValueError) as caught:
        check_models(pd.DataFrame(rows), "models.tsv")
    for word in ["models.tsv", *words]:
        assert word in str(caught.value)


# Atlases

OWN_ATLAS = {
    "atlas": "mine",
    "defined_on": "subject",
    "surface": "rois/{subject}/{hemisphere}.mine.mgz",
    "volume": "rois/{subject}/mine.nii.gz",
    "names": "rois/mine.ctab",
    "description": "regions of my own",
}


def add_atlas(folder, **changes):
    """A line more in the atlas table; columns that are None are empty."""
    row = OWN_ATLAS | changes
    with (folder / "config/atlases.tsv").open("a") as table:
        table.write("\t".join("" if value is None else value for value in row.values()) + "\n")


def test_nsds_atlases_are_found_where_nsd_keeps_them(config):
    study = load_study(config, ROOT)
    labels, volumes = "resources/nsd/nsddata/freesurfer", "resources/nsd/nsddata/ppdata"
    for atlas, owner in (("HCP_MMP1", "fsaverage"), ("floc-faces", "subj03")):
        assert study.on_native_surface(atlas) == (owner != "fsaverage")
        files = [f"{labels}/{owner}/label/{hemisphere}.{atlas}.mgz" for hemisphere in ("lh", "rh")]
        assert study.label_files(atlas, "subj03", "fsaverage") == files
        volume = f"{volumes}/subj03/func1pt8mm/roi/{atlas}.nii.gz"
        assert study.label_files(atlas, "subj03", "func1pt8mm") == [volume]
        assert study.names_file(atlas, "subj03") == f"{labels}/{owner}/label/{atlas}.mgz.ctab"


def test_every_atlas_of_the_miniature_is_in_the_table(config):
    from capcortex.nsd import layout

    table = load_study(config, ROOT).atlases.set_index("atlas")["defined_on"]
    assert list(table[table == "fsaverage"].index) == list(layout.ATLASES)
    assert list(table[table == "subject"].index) == list(layout.SUBJECT_ATLASES)


def test_an_atlas_of_ones_own_is_one_line(config, folder):
    add_atlas(folder)
    add_atlas(folder, atlas="flat", defined_on="fsaverage", surface="rois/{hemisphere}.flat.mgz", volume=None)
    study = load_study(config | {"rois": {"mine": ["a"], "flat": ["b"]}}, folder)
    assert study.label_files("mine", "subj02", "fsaverage") == ["rois/subj02/lh.mine.mgz", "rois/subj02/rh.mine.mgz"]
    assert study.label_files("mine", "subj02", "func1pt8mm") == ["rois/subj02/mine.nii.gz"]
    assert study.names_file("mine", "subj02") == "rois/mine.ctab"
    assert study.label_files("flat", "subj02", "fsaverage") == ["rois/lh.flat.mgz", "rois/rh.flat.mgz"]
    with pytest.raises(ValueError, match=r"atlas 'flat' has no file in the column volume, which roi_space: func1pt8mm"):
        load_study(config | {"rois": {"flat": ["b"]}, "roi_space": "func1pt8mm"}, folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"defined_on": "fsaverage5"}, r"atlas 'mine': defined_on: 'fsaverage5' .* nearest: 'fsaverage'"),
        ({"names": None}, r"need the column names and one of surface and volume; found surface, volume"),
        ({"surface": None, "volume": None}, r"need the column names .*; found names"),
        ({"surface": "rois/{subject}/both.mgz"}, r"surface: .* must name \{hemisphere\} and \{subject\}"),
        ({"surface": "rois/{hemisphere}.mgz"}, r"surface: .* must name \{hemisphere\} and \{subject\}"),
        ({"defined_on": "fsaverage"}, r"surface: .* must name \{hemisphere\}$"),
        ({"volume": "rois/mine.nii.gz"}, r"volume: 'rois/mine\.nii\.gz' must name \{subject\}"),
        ({"names": "rois/{hemisphere}.ctab"}, r"names: .* may name \{subject\} and nothing else"),
        ({"atlas": "streams"}, r"config/atlases\.tsv: atlas streams occurs twice"),
    ],
)
def test_slips_in_an_atlas_of_ones_own_are_named(config, folder, changes, message):
    add_atlas(folder, **changes)
    with pytest.raises(ValueError, match=message):
        load_study(config, folder)


def test_unknown_atlas_names_the_nearest(config):
    with pytest.raises(ValueError, match=r"config\.yaml: rois: 'floc-face' .* nearest: 'floc-faces'"):
        load_study(config | {"rois": {"floc-face": ["OFA"]}}, ROOT)


@pytest.mark.parametrize(("key", "value"), [("roi_space", "fsaverage5"), ("least_ncsnr", -0.1), ("least_ncsnr", "low")])
def test_space_and_threshold_of_regions_are_checked(config, key, value):
    with pytest.raises(ValueError, match=rf"config\.yaml: {key}: "):
        load_study(config | {key: value}, ROOT)


def test_maps_outline_an_atlas_that_is_on_fsaverage(config, folder):
    add_atlas(folder, atlas="flat", defined_on="fsaverage", surface=None)
    for rois, outlined in (
        ({"Kastner2015": ["V1v"], "streams": ["early"]}, "Kastner2015"),
        ({"floc-faces": ["OFA"], "flat": ["a"], "HCP_MMP1": ["FFC"]}, "HCP_MMP1"),
        ({"floc-faces": ["OFA"]}, "streams"),
    ):
        assert load_study(config | {"rois": rois, "roi_space": "func1pt8mm"}, folder).outlined_atlas == outlined


MODELS = [f"model-{letter}" for letter in "abcdefgh"]


def test_models_without_a_folder_make_one_batch():
    assert searchlight_batches(["a", "b-c"], {"a", "b-c", "d"}, []) == {"a": "a+b-c", "b-c": "a+b-c"}


def test_an_added_model_is_scored_alone_and_leaves_the_others_where_they_are():
    batches = searchlight_batches(["new", "a", "b"], {"a", "b", "new"}, ["a+b"])
    assert batches == {"a": "a+b", "b": "a+b", "new": "new"}


def test_a_model_taken_out_of_the_config_does_not_move_the_others():
    assert searchlight_batches(["a"], {"a", "b"}, ["a+b"])["a"] == "a+b"


def test_a_folder_with_a_model_that_the_table_lacks_is_passed_over():
    assert searchlight_batches(["a"], {"a"}, ["a+b", ".snakemake_timestamp"]) == {"a": "a"}


@given(
    st.lists(st.sampled_from(MODELS), unique=True), st.lists(st.lists(st.sampled_from(MODELS), min_size=1, unique=True))
)
def test_batches_hold_every_model_once_and_do_not_change_once_they_exist(models, folders):
    existing = ["+".join(folder) for folder in folders]
    batches = searchlight_batches(models, set(MODELS), existing)
    assert set(models) <= set(batches)
    for model, batch in batches.items():
        assert model in batch.split("+")
    made = {batches[model] for model in models}
    again = searchlight_batches(models, set(MODELS), [*existing, *made])
    assert {model: again[model] for model in models} == {model: batches[model] for model in models}


def test_names_of_batches_stay_names_of_folders():
    models = [f"a-model-with-a-rather-long-name-{number:03d}" for number in range(40)]
    batches = searchlight_batches(models, set(models), [])
    assert sorted(set("+".join(dict.fromkeys(batches.values())).split("+"))) == models
    assert max(map(len, batches.values())) <= 200


def test_a_subject_without_image_sets_is_named(config, folder):
    table = pd.read_csv(folder / config["subjects_table"], sep="\t", comment="#")
    table.loc[table["subject"] == "subj03", "image_sets"] = 0
    table.to_csv(folder / config["subjects_table"], sep="\t", index=False)
    with pytest.raises(ValueError, match="subj03 has 0 image sets, expected at least 1"):
        load_study(config, folder)
