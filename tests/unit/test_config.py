"""Configuration: the default is valid, and every mistake is named with its place and what would be right."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import reduce
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capcortex import __version__
from capcortex.config import RENAMED, describe, load_study, searchlight_batches
from capcortex.config_checks import model_mistakes
from capcortex.config_files import ConfigError, lay_over, locate, merge_layers, read_layers
from capcortex.config_schema import allowed, describe_path, parts_of
from capcortex.rsa.measures import MEASURES

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


def test_default_configuration_is_valid(config):
    study = load_study(config, ROOT)
    assert study.subject_names == config["subjects"]
    assert study.model_names == config["models"]
    assert study.nsd_root == "resources/nsd"


@pytest.mark.parametrize("overlay", ["nsd.yaml", "captions.yaml"])
def test_overlays_are_valid(config, overlay):
    changes = yaml.safe_load((ROOT / "config" / overlay).read_text())
    study = load_study(lay_over(changes, config), ROOT)
    assert study.subject_names == config["subjects"]


def test_overlay_of_nsd_fetches_it_or_reads_the_users_copy(config):
    overlay = yaml.safe_load((ROOT / "config/nsd.yaml").read_text())
    study = load_study(lay_over(overlay | {"source": "local"}, config), ROOT)
    assert study.nsd_root == study.config["local"]["nsd"]
    study = load_study(lay_over(overlay, config), ROOT)
    assert study.config["source"] == "bucket"
    assert study.config["bucket"] == {"nsd_terms_accepted": False, "keep_raw": False}, "only the user can accept them"
    # Not where the miniature is made: a file that is there is not fetched.
    assert study.nsd_root != load_study(config, ROOT).nsd_root
    assert [len(study.sessions(subject)) for subject in study.subject_names] == [40, 40, 32, 30, 40, 32, 40, 30]
    assert study.sessions("subj04") == list(range(1, 31))


SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
PARTS = parts_of(SCHEMA)


def gaps_of(part):
    """What a part of the schema leaves unsaid."""
    gaps = [] if part.get("description", "").endswith(".") else ["description"]
    if "enum" in part:
        return gaps
    kinds = set([part["type"]] if isinstance(part.get("type"), str) else part.get("type", [])) - {"null"}
    if len(kinds) != 1:
        return [*gaps, "type"]
    if kinds <= {"integer", "number"}:
        gaps += [] if {"minimum", "exclusiveMinimum"} & set(part) else ["range"]
        gaps += [] if "unit" in part else ["unit"]
    if kinds == {"array"}:
        gaps += [] if {"title"} < set(part.get("items", {})) else ["items"]
        gaps += [] if "uniqueItems" in part else ["uniqueItems"]
    if kinds == {"object"} and "properties" in part:
        closed = part["additionalProperties"] is False and sorted(part["required"]) == sorted(part["properties"])
        gaps += [] if closed else ["required"]
    elif kinds == {"object"}:
        gaps += gaps_of(part["additionalProperties"])
    return gaps


@pytest.mark.parametrize("path", PARTS, ids=describe_path)
def test_every_key_has_type_range_unit_and_meaning(path):
    assert gaps_of(PARTS[path]) == []


def test_whole_schema_is_closed():
    assert gaps_of(SCHEMA) == []


@pytest.mark.parametrize("path", PARTS, ids=describe_path)
def test_documents_say_what_the_schema_says(path):
    row = f"| `{describe_path(path)}` | {allowed(PARTS[path])} | {PARTS[path]['description']} |"
    assert row in (ROOT / "docs/configuration.md").read_text().splitlines()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "integer", "minimum": 4, "unit": "images"}, "a whole number, from 4 (unit: images)"),
        ({"type": ["null", "number"], "minimum": 0, "unit": "none"}, "a number, from 0, or null"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "a number, above 0, below 1"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "a number, from 0 to 1"),
        ({"enum": ["a", "b"]}, "`a` or `b`"),
        ({"type": "array", "items": {"title": "names"}, "minItems": 1}, "a list of names, at least one"),
        ({"type": "array", "items": {"title": "names"}, "minItems": 2, "maxItems": 2}, "a pair of names"),
    ],
)
def test_allowed_values_in_words(part, words):
    assert allowed(part) == words


def errors_of(config, root=ROOT, files=()):
    """Lines of the message about a config."""
    with pytest.raises(ConfigError) as caught:
        load_study(config, root, files)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"subject": 1}, "subject: unknown key; the nearest known key is 'subjects'"),
        ({"enocder": 1}, "enocder: unknown key; the nearest known key is 'encoder'"),
        ({"image_size": 1}, "image_size: unknown key; the nearest known key is 'image_set_size'"),
        ({"raduis": 1}, "raduis: unknown key; the nearest known key is 'searchlight: radius'"),
        ({"radius": 3}, "radius: unknown key at the top level; it is known as 'searchlight: radius'"),
        (
            {"local": {"nsd": None, "seed": 3}},
            "local: seed: unknown key in local; it is known as 'seed' at the top level and 'miniature: seed'",
        ),
    ],
)
def test_unknown_key_names_the_nearest_or_where_it_belongs(config, change, said):
    (line,) = errors_of(config | change)
    assert line.startswith(f"config: {said}")


def test_unknown_key_inside_a_part_names_the_part(config):
    config["miniature"]["run_per_session"] = 3
    (line,) = errors_of(config)
    assert "miniature: run_per_session: unknown key; the nearest known key is 'miniature: runs_per_session'" in line


def test_every_missing_key_is_named_with_what_to_do(config):
    for path in (("brain_distance",), ("volume_betas",), ("searchlight", "radius"), ("local",)):
        holder = config if len(path) == 1 else config[path[0]]
        del holder[path[-1]]
    lines = errors_of(config)
    assert [line.partition(", expected")[0] for line in sorted(lines)] == [
        f"config: {key}: missing" for key in ("brain_distance", "local", "searchlight: radius", "volume_betas")
    ]
    assert all(f"Copy its lines from config.yaml of version {__version__}" in line for line in lines)


def test_key_of_an_older_version_is_told_its_new_name(config):
    config["incomplete_vertices"] = config.pop("incomplete_data")
    (line,) = errors_of(config)  # and not that incomplete_data is missing
    assert line.startswith("config: incomplete_vertices: is now 'incomplete_data', since version 0.1.0: ")


def test_renamed_keys_lead_from_unknown_to_known_ones():
    for old, new in RENAMED.items():
        assert old not in PARTS
        assert new.key in PARTS


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("seed", "one", r"seed: found 'one', expected a whole number, from 0\. Seed of the study"),
        ("seed", -1, "seed: found -1, expected a whole number, from 0"),
        ("seed", True, "seed: found true, expected"),
        ("seed", None, r"seed: found nothing \(null\), expected"),
        ("source", "cloud", "source: found 'cloud', expected `miniature` or `bucket` or `local`"),
        ("subjects", "subj01", "subjects: found 'subj01', expected a list of"),
        ("subjects", [], r"subjects: found \[\], expected a list of .*, at least one"),
        ("subjects", ["subj01", "subj01"], "subjects: item 2: found 'subj01' twice"),
        ("subjects", ["subj01", "subj09"], "subjects: item 2: found 'subj09', expected `subj01` or "),
        ("models", ["caption", "caption"], "models: item 2: found 'caption' twice"),
        ("models", ["caption", 3], "models: item 2: found 3, expected text. Models to compare"),
        ("confidence", 95, r"confidence: found 95, expected a number, above 0, below 1 \(unit: fraction\)\. Coverage"),
        ("confidence", 0, "confidence: found 0, expected"),
        ("confidence", float("nan"), "confidence: found nan, expected"),
        ("least_ncsnr", float("inf"), "least_ncsnr: found inf, expected a number, from 0"),
        ("least_ncsnr", -0.1, "least_ncsnr: found -0.1, expected a number, from 0"),
        ("least_ncsnr", "low", "least_ncsnr: found 'low', expected a number, from 0"),
        ("roi_space", "fsaverage5", "roi_space: found 'fsaverage5', expected `fsaverage` or `func1pt8mm`"),
        ("brain_distance", "absolute", "brain_distance: found 'absolute', expected `correlation` or"),
        ("incomplete_data", "drop", "incomplete_data: found 'drop', expected"),
        ("image_set_size", 100.5, "image_set_size: found 100.5, expected a whole number"),
        ("image_set_size", 100.0, "image_set_size: found 100.0, expected a whole number"),
        ("rois", {"streams": "early"}, "rois: streams: found 'early', expected a list of names of regions"),
        ("rois", {"streams": ["early", "early"]}, "rois: streams: item 2: found 'early' twice"),
        ("rois", {}, "rois: found {}, expected a mapping, at least one key"),
        ("acceptance_table", 3, "acceptance_table: found 3, expected text, or null"),
        ("local", 3, "local: found 3, expected a mapping with the keys nsd"),
        ("confidence", "1e-3", r"confidence: found '1e-3', .* one like 1e-3 too \(write 0\.001\)"),
        ("least_ncsnr", "null", "least_ncsnr: found 'null', .* Write null without quotes"),
    ],
)
def test_wrong_value_is_named_with_its_key(config, key, value, found):
    (line,) = errors_of(config | {key: value})
    assert re.match(f"config: {found}", line), line


def test_everything_wrong_is_said_at_once(config, folder):
    """Schema, names, tables and what does not go together, also where one key has several mistakes."""
    (folder / "config/subjects_miniature.tsv").write_text("subject\tsessions\ttrials_per_session\timage_sets\n")
    config |= {
        "seed": -1,
        "models": ["caption", "captoin", "randon", 3],
        "encoder": "mpnet",
        "acceptance_table": "no.tsv",
    }
    config |= {"subjects": ["subj01"], "projection": "spm", "new": 1}
    config["searchlight"]["contrasts"] = [["caption", "random"]]
    said = [line.removeprefix("config: ").split(": ")[0] for line in errors_of(config, folder)]
    expected = ["seed", *3 * ["models"], "encoder", "acceptance_table", "subjects", "projection", "new", "searchlight"]
    assert sorted(said) == sorted(expected)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            {"models": ["caption", "captoin"]},
            r"models: item 2: 'captoin' is not in config/models\.tsv; nearest: 'caption'",
        ),
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
    with pytest.raises(ValueError, match=r"subjects: item 8: 'subj08' is not in config/subjects_miniature\.tsv"):
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


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("imagse\tall\t1", r"fact: 'imagse' is not in the facts that can be looked up; nearest: "),
        ("trials\tsubject1\t1", r"fact trials: subject: found 'subject1', expected all, or subj01 and so on"),
        ("trials_of_all_subjects\tsubj01\t1", r"fact trials_of_all_subjects: subject: found 'subj01', expected 'all'"),
        ("nsdgeneral_vertices\tsubj01\t", r"fact nsdgeneral_vertices of subj01: expected: found nothing"),
        ("sessions\tsubj08\t31", r"fact sessions of subj08 occurs twice"),
    ],
)
def test_fact_that_cannot_be_looked_up_is_named(config, folder, row, said):
    change_table(folder, "acceptance_nsd.tsv", lambda lines: [*lines, row])
    (line,) = errors_of(config | {"acceptance_table": "config/acceptance_nsd.tsv"}, folder)
    assert re.match(rf"config: acceptance_table: config/acceptance_nsd\.tsv: {said}", line), line


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


MODEL_COLUMNS = ["model", "builder", "words", "encoder", "path", "distance", "label", "description"]


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
        ({"words": "nuns"}, ["words", "nuns", "'nouns'"]),
        ({"builder": "scrambled", "words": "nouns"}, ["no use for the column words"]),
    ],
)
def test_every_row_of_the_model_table_is_checked(change, words):
    rows = [
        ("caption", "sentence", None, "study", None, "correlation", "Captions", None),
        ("other", "sentence", None, "study", None, "correlation", "Other captions", None),
        ("categories", "categories", None, None, None, "correlation", "Categories", None),
    ]
    models = pd.DataFrame(rows, columns=MODEL_COLUMNS, dtype=object)
    assert list(model_mistakes(models, "models.tsv")) == []
    models.loc[0, list(change)] = list(change.values())
    (mistake,) = model_mistakes(models, "models.tsv")
    for word in ["models.tsv", *words]:
        assert word in mistake


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"pairs": "all"}, "set pairs to image_sets, or brain_distance to correlation"),
        ({"incomplete_data": "nanmean"}, "set incomplete_data to exclude, or brain_distance to correlation"),
    ],
)
def test_crossnobis_is_refused_where_repeats_are_averaged_first(config, changes, remedy):
    load_study(config | changes, ROOT)
    load_study(config | {"brain_distance": "crossnobis"}, ROOT)
    with pytest.raises(ConfigError, match=rf"brain_distance: found 'crossnobis', which .*: {remedy}$"):
        load_study(config | {"brain_distance": "crossnobis"} | changes, ROOT)


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
        ({"defined_on": "fsaverage"}, r"surface: .* must name \{hemisphere\}(\n|$)"),
        ({"volume": "rois/mine.nii.gz"}, r"volume: 'rois/mine\.nii\.gz' must name \{subject\}"),
        ({"names": "rois/{hemisphere}.ctab"}, r"names: .* may name \{subject\} and nothing else"),
        ({"atlas": "streams"}, r"config/atlases\.tsv: atlas streams occurs twice"),
    ],
)
def test_slips_in_an_atlas_of_ones_own_are_named(config, folder, changes, message):
    add_atlas(folder, **changes)
    with pytest.raises(ValueError, match=message):
        load_study(config, folder)


@pytest.mark.parametrize("nsd", ["resources/nsd", "results", "./resources/mine"])
def test_a_copy_of_nsd_where_the_study_makes_and_removes_files_is_refused(config, nsd):
    models = ["caption", "categories", "random"]
    maps = {**config["searchlight"], "models": ["caption"], "contrasts": []}
    local = config | {"source": "local", "models": models, "searchlight": maps}
    with pytest.raises(ConfigError, match=r"local: nsd: found .*keep your copy of NSD elsewhere"):
        load_study(local | {"local": {"nsd": nsd}}, ROOT)
    assert load_study(local | {"local": {"nsd": "nsd/resources"}}, ROOT)


def test_the_miniature_is_planned_for_all_subjects_of_the_table(config):
    """Whoever is used: the number of sessions that must come out even is the largest of the table."""
    tiny = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    for subjects, shared in ((["subj02"], 0), (["subj02", "subj03"], 3)):
        assert load_study(lay_over(tiny | {"subjects": subjects, "shared_image_sets": shared}, config), ROOT)


def test_unknown_atlas_names_the_nearest(config):
    with pytest.raises(ValueError, match=r"rois: floc-face: 'floc-face' .* nearest: 'floc-faces'"):
        load_study(config | {"rois": {"floc-face": ["OFA"]}}, ROOT)


def test_maps_outline_an_atlas_that_is_on_fsaverage(config, folder):
    add_atlas(folder, atlas="flat", defined_on="fsaverage", surface=None)
    for rois, outlined in (
        ({"Kastner2015": ["V1v"], "streams": ["early"]}, "Kastner2015"),
        ({"floc-faces": ["OFA"], "flat": ["a"], "HCP_MMP1": ["FFC"]}, "HCP_MMP1"),
        ({"floc-faces": ["OFA"]}, "streams"),
    ):
        assert load_study(config | {"rois": rois, "roi_space": "func1pt8mm"}, folder).outlined_atlas == outlined


# Subjects table


def change_subjects(folder, subject, column, value):
    """Write one cell of the subjects table."""
    path = folder / "config/subjects_miniature.tsv"
    table = pd.read_csv(path, sep="\t", comment="#", dtype=str).set_index("subject")
    table.loc[subject, column] = value
    table.to_csv(path, sep="\t")


@given(
    column=st.sampled_from(["sessions", "trials_per_session", "image_sets"]),
    value=st.sampled_from(["three", "2.5", "-1", "", "n/a", "inf", "1e400", "nan", "0x3"]),
)
def test_number_of_a_subject_that_is_none_is_named(column, value):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "config", folder / "config")
        shutil.copytree(ROOT / "workflow/schemas", folder / "workflow/schemas")
        change_subjects(folder, "subj02", column, value)
        config = yaml.safe_load((ROOT / "config.yaml").read_text())
        (line,) = errors_of(config, folder)
    where = f"config: subjects_table: config/subjects_miniature.tsv: subj02: {column}: found "
    assert line.startswith(where), line
    assert line.endswith(f"expected a whole number, from {0 if column == 'image_sets' else 1}")


def test_whole_numbers_may_be_written_as_decimals(config, folder):
    for subject in config["subjects"]:
        change_subjects(folder, subject, "sessions", "3.0")
    study = load_study(config, folder)
    assert study.sessions("subj01") == [1, 2, 3]


@pytest.mark.parametrize(
    "key",
    [
        "subjects_table",
        "models_table",
        "encoders_table",
        "atlases_table",
        "figures_table",
        "claims_table",
        "acceptance_table",
        "datasets_table",
        "miniature: truth",
    ],
)
def test_missing_table_is_named_with_the_path_looked_for(config, key):
    if key == "miniature: truth":
        config["miniature"]["truth"] = "config/gone.yaml"
    else:
        config[key] = "config/gone.yaml"
    assert errors_of(config) == [f"config: {key}: no such file: {ROOT / 'config/gone.yaml'}"]


def test_file_that_is_no_table_is_named(config):
    for path in ("config", "docs/images/roi-rsa.png", "config/subjects_nsd.tsv"):
        (line,) = errors_of(config | {"acceptance_table": path})
        assert line.startswith(f"config: acceptance_table: {ROOT / path} cannot be read: ")


# Keys that do not go together


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # 3 sets of 126 images, each seen three times, take 1134 of subj01's 3 x 375 = 1125 trials; 2 sets 756 of 750.
        (
            {"image_set_size": 126, "shared_image_sets": 1},
            [
                f"image_set_size: {n} image sets of subj0{s} "
                for s, n in zip(range(1, 9), (3, 3, 2, 2, 3, 2, 3, 2), strict=True)
            ],
        ),
        ({"image_set_size": 50, "shared_image_sets": 3}, ["shared_image_sets: found 3, but subj03 has 2 image sets"]),
        ({"shared_image_sets": 2}, ["miniature: shared_images: found 175, but 2 shared image sets of 100 take 200"]),
        (
            {"runs_per_session": 12},
            [
                f"miniature: runs_per_session: 12 runs are 750 trials a session, but subj0{s} has 375"
                for s in range(1, 9)
            ],
        ),
        ({"shared_images": 375}, ["miniature: shared_images: shared_images is 375, but a subject sees 375 images"]),
        (
            {"subjects": ["subj03"], "runs_per_session": 2},
            [
                "miniature: runs_per_session: 2 runs are 125 trials a session, but subj03 has 375",
                "miniature: shared_images: shared_images is 175, but a subject sees 125 images",
            ],
        ),
    ],
)
def test_numbers_that_cannot_be_are_named(config, change, said):
    for key, value in change.items():
        (config["miniature"] if key in config["miniature"] else config)[key] = value
    lines = errors_of(config)
    assert len(lines) == len(said)
    for line, start in zip(sorted(lines), sorted(said), strict=True):
        assert line.startswith(f"config: {start}")


def test_comparisons_of_models_that_are_not_used_are_left_out_and_counted(config):
    family = {
        "contrasts": [["caption", "random"], ["caption", "words"]],
        "correction": "holm",
        "equivalence_bound": 0.1,
    }
    models = {"models": ["caption", "categories", "random"]}
    comparisons = {**config["comparisons"], "words": family | {"contrasts": [["word-average", "random"]]}}
    study = load_study(config | models | {"comparisons": comparisons}, ROOT)
    assert {name: family["contrasts"] for name, family in study.comparisons.items()} == {
        "caption": [["caption", "categories"]]
    }
    n_others = len(config["comparisons"]["caption"]["contrasts"])
    assert f"caption (contrasts: 1; holm); left out, because a model is not in models: {n_others}" in describe(study)
    assert "comparisons: none" in describe(load_study(config | {"comparisons": {}}, ROOT))
    (line,) = errors_of(config | {"comparisons": {"words": family}})
    assert line.startswith("config: comparisons: words: contrasts: item 2: item 2: 'words' is not in config/models.tsv")


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ({"contrasts": [["caption", "random"]]}, "comparisons: mine: correction: missing, expected `holm` or"),
        ({"contrasts": [["caption"]]}, "comparisons: mine: contrasts: item 1: found ['caption'], expected a pair"),
        ({"contrasts": [], "correction": "holm"}, "comparisons: mine: contrasts: found [], expected a list of pairs"),
        ({"correction": "bonferroni"}, "comparisons: mine: correction: found 'bonferroni', expected `holm` or"),
        ({"equivalence_bound": 0}, "comparisons: mine: equivalence_bound: found 0, expected a number, above 0"),
        (
            {"corection": "holm"},
            "comparisons: mine: corection: unknown key; the nearest known key is 'comparisons: <family>",
        ),
        (
            {"contrast": [["caption", "random"]]},
            "comparisons: mine: contrast: unknown key; the nearest known key is 'comparisons: <",
        ),
        ([["caption", "random"]], "comparisons: mine: found [['caption', 'random']], expected a mapping"),
    ],
)
def test_slips_in_a_family_are_named(config, family, said):
    lines = errors_of(config | {"comparisons": {"mine": family}})
    assert any(line.startswith(f"config: {said}") for line in lines), lines


def test_odd_names_and_mirrored_contrasts_of_families_are_refused(config):
    family = {"contrasts": [["caption", "random"]], "correction": "holm", "equivalence_bound": None}
    for name in (2024, True, "a b", "n/a", ""):
        (line,) = errors_of(config | {"comparisons": {name: family}})
        assert line.startswith(
            f"config: comparisons: {name}: found a family named {name!r}, expected a name of letters"
        )
    mirrored = family | {"contrasts": [["caption", "random"], ["caption", "categories"], ["random", "caption"]]}
    (line,) = errors_of(config | {"comparisons": {"mine": mirrored}})
    assert line.startswith("config: comparisons: mine: contrasts: item 3: random and caption are compared twice")


@pytest.mark.parametrize(("key", "value"), [("rdm_comparison", "rho-a"), ("brain_distance", "cosine")])
def test_only_what_was_released_is_as_released(config, key, value):
    assert load_study(config | {"as_released": True}, ROOT).config["as_released"]
    (line,) = errors_of(config | {"as_released": True, key: value})
    assert line.startswith(f"config: as_released: found true with {key}: {value}, but the released code has ")


def test_a_model_of_one_number_cannot_be_decoded(config):
    (line,) = errors_of(config | {"decoding": config["decoding"] | {"models": ["caption", "caption-length"]}})
    assert line.startswith("config: decoding: models: item 2: 'caption-length' is a single number for an image")
    # Responses can be predicted from it.
    config["encoding"]["models"].append("caption-length")
    assert load_study(config, ROOT)


def test_contrasts_need_their_models(config):
    config["searchlight"]["models"] = []
    assert [line.split(": it names none")[0] for line in errors_of(config)] == [
        f"config: searchlight: contrasts: item 1: item {n}: {model!r} is not in searchlight: models; it names none; "
        "add it there, or leave the contrast out"
        for n, model in ((1, "caption"), (2, "categories"))
    ]
    config["searchlight"]["models"] = ["caption", "categories"]
    config["searchlight"]["contrasts"] = [["caption", "categoreis"]]
    (line,) = errors_of(config)
    assert (
        "searchlight: contrasts: item 1: item 2: 'categoreis' is not in searchlight: models; nearest: 'categories'"
        in line
    )


def test_contrasts_of_sentences_need_their_groups(config):
    config["encoding"]["sentence_contrasts"] = [["people", "plcaes"]]
    (line,) = errors_of(config)
    assert line.startswith("config: encoding: sentence_contrasts: item 1: item 2: 'plcaes'")
    assert "nearest: 'places'" in line
    config["encoding"] |= {"sentences": {"two_words": ["A hill."]}, "sentence_contrasts": []}
    (line,) = errors_of(config)
    assert "found a group named 'two_words', expected a name of letters, digits and hyphens" in line


def test_sentences_need_a_model_of_whole_captions(config):
    of_captions = {"sentences_people_minus_places", "sentences_food_minus_people"}
    assert of_captions <= set(load_study(config, ROOT).maps)
    for models in ([], ["categories", "nouns"]):
        changed = config["encoding"] | {"models": models, "contrasts": []}
        study = load_study(config | {"encoding": changed}, ROOT)
        assert study.sentence_groups == {}
        assert not of_captions & set(study.maps)
    both = load_study(
        config | {"encoding": config["encoding"] | {"models": ["nouns", "caption"], "contrasts": []}}, ROOT
    )
    assert both.sentence_model == "caption"


def test_contrasts_of_encoding_are_maps_of_two_encoding_models(config):
    config["encoding"] |= {"models": ["caption", "random"], "contrasts": [["random", "caption"]]}
    study = load_study(config, ROOT)
    name = "encoding_random_minus_caption"
    assert study.maps[name] == ["encoding_random", "encoding_caption"]
    assert study.contrast_maps == ["caption_minus_categories", name]
    labels = [study.model_row(model)["label"] for model in ("random", "caption")]
    assert study.map_label(name) == f"Encoding: {labels[0]} minus {labels[1]}"
    # Nothing is predicted in volumes, and so no predictions are contrasted.
    assert name not in load_study(config | {"roi_space": "func1pt8mm"}, ROOT).maps
    config["encoding"]["models"] = ["caption"]
    (line,) = errors_of(config)
    assert line.startswith("config: encoding: contrasts: item 1: item 1: 'random' is not in encoding: models")


def test_all_pairs_are_compared_by_pearsons_r_only(config):
    config["rdm_comparison"] = "rho-a"
    assert load_study(config, ROOT).config["rdm_comparison"] == "rho-a"
    config["pairs"] = "all"
    (line,) = errors_of(config)
    assert line.startswith("config: rdm_comparison: found 'rho-a' with pairs: all")
    assert line.endswith("choose pearson, or pairs: image_sets")


def test_measures_are_those_of_the_library():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    assert tuple(schema["properties"]["rdm_comparison"]["enum"]) == MEASURES


@pytest.mark.parametrize("source", ["local", "bucket"])
def test_models_of_the_miniature_are_refused_on_real_data(config, source):
    config |= {"source": source, "local": {"nsd": "/nsd"}, "subjects_table": "config/subjects_nsd.tsv"}
    made = ("category-vectors", "word-vectors", "picture-attributes")
    assert sorted(line.partition("' is a file of the miniature")[0] for line in errors_of(config)) == sorted(
        [
            *(f"config: models: item {config['models'].index(model) + 1}: '{model}" for model in made),
            "config: searchlight: models: item 3: 'picture-attributes",
        ]
    )


# Files and lines


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


JSON_VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
KEYS = st.sampled_from("abc")
CONFIGS = st.recursive(
    st.dictionaries(KEYS, JSON_VALUES, max_size=3),
    lambda inner: st.dictionaries(KEYS, JSON_VALUES | inner, max_size=3),
    max_leaves=12,
)


def ordered(value):
    """A config with the order of its keys."""
    return [(key, ordered(item)) for key, item in value.items()] if isinstance(value, dict) else value


@given(st.lists(CONFIGS.filter(bool), min_size=1, max_size=4), st.booleans())
def test_files_are_merged_as_snakemake_merges_them(configs, as_json):
    """The functions, and the order of calls, by which Snakemake makes its config of config.yaml and --configfile."""
    from snakemake.common.configfile import load_configfile
    from snakemake.settings.types import ConfigSettings
    from snakemake.utils import update_config

    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.yaml" for number in range(len(configs))]
        for file, config in zip(files, configs, strict=True):
            file.write_text(json.dumps(config, indent="\t") if as_json else yaml.safe_dump(config, sort_keys=False))
        settings = ConfigSettings(configfiles=files[1:])
        theirs = settings.overwrite_config.copy()
        update_config(theirs, load_configfile(files[0]))
        update_config(theirs, ConfigSettings(configfiles=files[1:]).overwrite_config)
        ours = merge_layers(read_layers(files))
    assert ordered(ours) == ordered(theirs)


@given(st.lists(CONFIGS.filter(bool), min_size=1, max_size=4))
def test_every_value_is_found_in_the_last_file_that_sets_it(configs):
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.yaml" for number in range(len(configs))]
        for file, config in zip(files, configs, strict=True):
            file.write_text(yaml.safe_dump(config, sort_keys=False, default_flow_style=False, allow_unicode=True))
        layers = read_layers(files)
        merged = merge_layers(layers)
        texts = [file.read_text().splitlines() for file in files]

    def leaves(value, path=()):
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from leaves(item, (*path, key))
        elif not isinstance(value, dict):
            yield path, value

    def get(value, path):
        for key in path:
            value = value[key] if isinstance(value, dict) and key in value else KeyError
        return value

    for path, value in leaves(merged):
        number, line, _ = locate(merged, path, layers)
        assert get(configs[number], path) == value
        assert all(get(later, path) is KeyError for later in configs[number + 1 :])
        assert texts[number][line - 1].strip().startswith(f"{path[-1]}:")
        other = lay_over(reduce(lambda inner, key: {key: inner}, reversed(path), "of no file"), merged)
        assert locate(other, path, layers)[2] == "command line (--config)"


def misspell(name, draw):
    """Slip once in a name: a letter left out, doubled, swapped with the next, or another in its place."""
    place = draw(st.integers(0, len(name) - 2))
    return {
        "lost": name[:place] + name[place + 1 :],
        "doubled": name[:place] + name[place] + name[place:],
        "swapped": name[:place] + name[place + 1] + name[place] + name[place + 2 :],
        "other": name[:place] + "x" + name[place + 1 :],
    }[draw(st.sampled_from(["lost", "doubled", "swapped", "other"]))]


@given(st.data())
def test_misspelt_key_is_named_with_its_line_in_whichever_file_it_stands(data):
    path = data.draw(st.sampled_from([path for path in PARTS if path[0] != "rois" and len(path) < 3]))
    wrong = misspell(path[-1], data.draw)
    if wrong in {known[-1] for known in PARTS}:
        return
    number = data.draw(st.integers(0, 2))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("config.yaml", "first.yaml", "second.yaml")]
        texts = [(ROOT / "config.yaml").read_text(), "# A comment.\nseed: 1\n\nconfidence: 0.9\n", "confidence: 0.8\n"]
        own = [line for line in texts[number].splitlines() if not line.startswith(f"{path[0]}:") or len(path) == 1]
        own = drop_block(texts[number].splitlines(), path[0]) if len(path) == 2 else own
        starts = [place for place, line in enumerate(own) if re.match(r"\w", line)]
        place = data.draw(st.sampled_from([*starts, len(own)]))
        block = [f"{wrong}: 3"] if len(path) == 1 else [f"{path[0]}:", "  # A comment.", f"  {wrong}: 3"]
        texts[number] = "\n".join([*own[:place], *block, *own[place:]]) + "\n"
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        lines = errors_of(merge_layers(read_layers(files)), ROOT, files)
        (line,) = [line for line in lines if "unknown key" in line]
        key = describe_path((*path[:-1], wrong))
        expected = f"{files[number]}:{place + len(block)}: {key}: unknown key; the nearest known key is {describe_path(path)!r}"
    assert line.startswith(expected)


def drop_block(lines, key):
    """Lines without those of a top-level key."""
    kept, inside = [], False
    for line in lines:
        inside = line.startswith(f"{key}:") or (inside and not re.match(r"\w", line))
        kept += [] if inside else [line]
    return kept


def test_wrong_names_in_lists_are_named_with_their_own_lines(config, here):
    text = """models:
  - caption
  - captoin
subjects: [subj01, subj02,
  subj09]
searchlight:
  contrasts:
    - [caption,
       categoreis]
rois:
  floc-face: [OFA]
encoder: all-mpnet
"""
    (here / "over.yaml").write_text(text)
    files = [ROOT / "config.yaml", "over.yaml"]
    lines = errors_of(merge_layers(read_layers(files)), files=files)
    for line, (place, near) in zip(
        lines,
        [
            ("over.yaml:3: models: item 2: 'captoin'", "nearest: 'caption'"),
            ("over.yaml:5: subjects: item 3: found 'subj09'", "`subj08`"),
            ("over.yaml:9: searchlight: contrasts: item 1: item 2: 'categoreis'", "nearest: 'categories'"),
            ("over.yaml:11: rois: floc-face: 'floc-face'", "nearest: 'floc-faces'"),
            ("over.yaml:12: encoder: 'all-mpnet'", "nearest: 'all-mpnet-base-v2'"),
        ],
        strict=True,
    ):
        assert line.startswith(place)
        assert near in line


def test_value_of_the_command_line_is_said_to_be_one(config):
    config["searchlight"] |= {"radius": "3"}
    (line,) = errors_of(config, files=[ROOT / "config.yaml"])
    assert line.startswith("command line (--config): searchlight: radius: found '3', expected a number, above 1")


def test_missing_key_is_placed_in_the_first_file_that_could_hold_it(config, here):
    del config["projection"]
    del config["searchlight"]["radius"]
    (here / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (here / "over.yaml").write_text("seed: 3\nsearchlight:\n  least_share: 0.4\n")
    files = ["config.yaml", "over.yaml"]
    radius, projection = sorted(errors_of(merge_layers(read_layers(files)), files=files), reverse=True)
    holder = (here / "config.yaml").read_text().splitlines().index("searchlight:") + 1
    assert projection.startswith("config.yaml: projection: missing, expected `matlab`")
    assert radius.startswith(f"config.yaml:{holder}: searchlight: radius: missing, expected a number, above 1")
    # With --replace-workflow-config the first file, which has the key, does not count.
    (here / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    *_, place = locate({"seed": 3}, ("projection",), read_layers(files))
    assert place == "over.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "seed: 1\nlocal: {nsd: a, nsd: b}\n\nseed: 2\n",
            ["4: seed: set twice in this file, first on line 1", "2: local: nsd: set twice"],
        ),
        ("seed: 1\n sead: 2\n", ["2: not valid YAML: mapping values"]),
        (
            "local:\n\tnsd: a\n",
            ["2: not valid YAML: found character '\\t' that cannot start any token; indent with spaces"],
        ),
        ("a: 1\n---\nb: 2\n", ["2: not valid YAML: "]),
        ("a: 2020-13-45\n", [" not valid YAML: month"]),
        ("a: \x01\n", [" not valid YAML: unacceptable character #x0001"]),
        ("- seed\n", [" found a list, expected keys with values"]),
        ("seed\n", [" found a single value, expected keys"]),
        ("# seed: 1\n", [" found nothing, expected keys"]),
    ],
)
def test_file_that_is_no_config_is_named_with_its_line(here, text, said):
    (here / "over.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_layers([ROOT / "config.yaml", "over.yaml", "gone.yaml"])
    lines = str(caught.value).splitlines()
    assert lines[-1] == "gone.yaml: no such file"
    assert len(lines) == len(said) + 1
    for line, start in zip(sorted(lines[:-1]), sorted(said), strict=True):
        assert line.startswith(f"over.yaml:{start}")


def test_merge_keys_and_anchors_of_yaml_keep_their_lines(here):
    (here / "over.yaml").write_text("miniature: &one\n  seed: 2\nlocal:\n  <<: *one\n  nsd: x\n")
    (layer,) = read_layers(["over.yaml"])
    assert layer.values["local"] == {"seed": 2, "nsd": "x"}
    assert layer.lines["local", "nsd"] == 5
    assert layer.lines["local", "seed"] == 2


# The command


def run_check(*overlays, folder=ROOT):
    command = [sys.executable, "-m", "capcortex.config", *map(str, overlays)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_command_says_what_the_study_would_be(tmp_path):
    done = run_check()
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert list(said) == ["source", "subjects", "image sets", "models", "regions", "comparisons", "maps", "multiverse"]
    assert "subj03 (2 sessions, 2 image sets)" in said["subjects"]
    assert "caption_minus_categories" in said["maps"]
    assert said["multiverse"].strip().startswith("288 universes (betas_version 1, zscore 2, space 2, draw 3, ")
    used = set(yaml.safe_load((ROOT / "config.yaml").read_text())["models"])
    assert said["comparisons"].strip().startswith(f"caption (contrasts: {len(used) - 3}; holm)"), (
        "all but random and pictures"
    )
    assert "all pairs" not in said["regions"]
    (tmp_path / "over.yaml").write_text("pairs: all\n")
    assert "in fsaverage, over all pairs of a subject's images\n" in run_check(tmp_path / "over.yaml").stdout
    done = run_check("config/nsd.yaml", "tests/tiny/config.yaml")
    assert done.returncode == 1
    done = run_check("config/nsd.yaml")
    assert done.returncode == 0
    assert "bucket, fetched into resources/natural-scenes-dataset" in done.stdout
    assert "terms:       NSD's terms are not accepted" in done.stdout
    (tmp_path / "over.yaml").write_text("source: local\nbucket: {nsd_terms_accepted: true}\n")
    done = run_check("config/nsd.yaml", tmp_path / "over.yaml")
    assert "local, read from /data/natural-scenes-dataset" in done.stdout
    assert "terms" not in done.stdout


@pytest.mark.parametrize(
    ("distance", "version", "cautioned"),
    [
        ("crossnobis", "betas_fithrf_GLMdenoise_RR", True),
        ("crossnobis", "betas_fithrf", False),
        ("correlation", "betas_fithrf_GLMdenoise_RR", False),
    ],
)
def test_command_cautions_of_crossnobis_with_b3(tmp_path, distance, version, cautioned):
    (tmp_path / "over.yaml").write_text(f"brain_distance: {distance}\nbetas_version: {version}\n")
    done = run_check(tmp_path / "over.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    cautions = [line for line in done.stdout.splitlines() if line.startswith("caution:")]
    assert len(cautions) == cautioned
    assert not cautioned or "betas_fithrf (b2)" in cautions[0]


def test_command_names_everything_wrong_and_where(tmp_path):
    overlay = tmp_path / "over.yaml"
    overlay.write_text("seed: many\n\nradius: 3\n")
    done = run_check(overlay)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line[: len(f"{overlay}:1: seed")] for line in done.stderr.splitlines()] == [
        f"{overlay}:1: seed",
        f"{overlay}:3: radi",
    ]
    overlay.write_text("seed: 3\nseed: 4\n")
    assert f"{overlay}:2: seed: set twice" in run_check(overlay).stderr
    assert run_check(folder=tmp_path).stderr == "config.yaml: no such file\n"


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
