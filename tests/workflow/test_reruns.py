"""What runs again after which change: the tables of docs/reruns.md, row by row, in a finished study.

Snakemake plans only. Its shortcut by checksums is switched off, so that the small study shows what a large one would do.
"""

import functools
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
import yaml
from local_study import LOCAL, LocalStudy, clone_study
from running import ROOT, TINY, run_snakemake

from capcortex.nsd import layout

SUBJECTS = ["subj01", "subj02", "subj03"]
MODELS = ["caption", "categories", "content-vectors", "random", "picture-attributes"]
VERSION = "betas_fithrf_GLMdenoise_RR"
LARGE = ("--max-checksum-file-size", "0")


# What docs/reruns.md says


def tables_of(document: Path) -> list[list[list[str]]]:
    """Cells of every table, without its header."""
    blocks = re.findall(r"(?:^\|.*\n)+", document.read_text(), re.M)
    return [
        [[cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()[2:]] for block in blocks
    ]


def rules_named(cell: str, groups: dict[str, set[str]], everything: set[str]) -> set[str]:
    """Rules that a cell of the table names, one by one or in groups."""
    named: set[str] = set()
    for word in cell.strip("| ").split(", "):
        if word == "everything":
            named |= everything
        elif word != "nothing":
            named |= groups[word] if word in groups else {word.strip("`")}
    return named


WORKING_RULES = {path.stem for path in (ROOT / "scripts").glob("*.py")}
GROUPS_TABLE, CHANGES_TABLE, MODULES_TABLE = tables_of(ROOT / "docs/reruns.md")
GROUPS = {name: rules_named(rules, {}, WORKING_RULES) for name, rules in GROUPS_TABLE}
# The tiny study is made up, and has pairs: image_sets and as_released: false.
EVERYTHING = WORKING_RULES - GROUPS["all pairs"] - GROUPS["as released"] - GROUPS["calibration"] - GROUPS["fetching"]
# Sentences come from the config, whatever the data.
OF_DATA = EVERYTHING - {"embed_sentences"}
DOCUMENTED = {change: rules_named(rules, GROUPS, OF_DATA) for change, rules, *_ in CHANGES_TABLE}
MODULES = {module.strip("`"): rules_named(rules, GROUPS, WORKING_RULES) for module, rules in MODULES_TABLE}


# What Snakemake plans


def plan(study: Path, overlay: Path, *arguments: str, **changes: object) -> dict[str, set[str]]:
    """Files that would be made anew after a change of the config, by rule; rules of single subjects under one name."""
    config = yaml.safe_load(TINY.read_text())
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) and key in config else value
    overlay.write_text(yaml.safe_dump(config, sort_keys=False))
    done = run_snakemake(study, "--summary", *LARGE, *arguments, config=overlay)
    assert done.returncode == 0, done.stderr[-3000:]
    header, *lines = (line.split("\t") for line in done.stdout.splitlines())
    planned: dict[str, set[str]] = defaultdict(set)
    for row in (dict(zip(header, line, strict=True)) for line in lines):
        if row["plan"] == "update pending":
            planned[re.sub(r"_subj\d\d$", "", row["rule"])].add(row["output_file"])
    return dict(planned)


@contextmanager
def edited(path: Path, change: Callable[[str], str]) -> Iterator[None]:
    """Change a file for a while; it gets its content and its time back."""
    before, times = path.read_text(), path.stat()
    after = change(before)
    assert after != before, f"{path.name}: the change changes nothing"
    path.write_text(after)
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new)

    return change


CONFIGURATIONS: dict[str, dict[str, object]] = {
    "a model more in `models`": {"models": [*MODELS, "scrambled"]},
    "`rois`": {"rois": {"streams": ["early", "midlateral", "ventral"], "floc-faces": ["FFA-1"]}},
    "`least_ncsnr`": {"least_ncsnr": 0.2},
    "`pairs`": {"pairs": "all"},
    "`brain_distance`": {"brain_distance": "cosine"},
    "`brain_distance` to or from `crossnobis`": {"brain_distance": "crossnobis"},
    "`rdm_comparison`": {"rdm_comparison": "rho-a"},
    "`bootstrap_draws`": {"bootstrap_draws": 200},
    "`image_permutations`": {"image_permutations": 99},
    "`encoder`": {"encoder": "all-mpnet-base-v2"},
    "`tagger`": {"tagger": "en_core_web_lg"},
    "`seed`": {"seed": 7},
    "`image_set_size`": {"image_set_size": 10},
    "`shared_image_sets`": {"shared_image_sets": 2},
    "a subject left out of `subjects`": {"subjects": SUBJECTS[:2]},
    "`incomplete_data`": {"incomplete_data": "nanmean"},
    "a model more in `searchlight: models`": {
        "searchlight": {"models": ["caption", "categories"], "contrasts": [["caption", "categories"]]}
    },
    "a model more in `encoding: models`": {
        "encoding": {"models": ["caption", "content-vectors"], "contrasts": [["caption", "content-vectors"]]}
    },
    "sentences in `encoding: sentences`": {"encoding": {"sentences": {"people": ["A child."], "places": ["A hill."]}}},
    "`multiverse: distances`": {"multiverse": {"distances": ["euclidean"]}},
    "a model more in `decoding: models`": {"decoding": {"models": ["caption", "content-vectors"]}},
    "`decoding: dictionary`": {"decoding": {"models": ["caption"], "dictionary": str(ROOT / "README.md")}},
    "`searchlight: radius`": {"searchlight": {"radius": 3}},
    "`searchlight: distance`": {"searchlight": {"distance": "cosine"}},
    "`projection`": {"projection": "nsdcode"},
    "`comparisons`": {
        "comparisons": {
            "caption": {"contrasts": [["caption", "random"]], "correction": "holm", "equivalence_bound": 0.1}
        }
    },
    "`as_released`": {"as_released": True},
    "`confidence`": {"confidence": 0.9},
    "`calibration: studies`": {"calibration": {"studies": 40}},
    "`false_discovery_rate`": {"false_discovery_rate": 0.1},
    "`miniature: seed`": {"miniature": {"seed": 2}},
}
EDITS: dict[str, dict[str, Callable[[str], str]]] = {
    "comments, docstrings and layout of the code; comments and the order of keys in `config.yaml`; descriptions, licences "
    "and notes in tables": {
        "src/capcortex/ids.py": lambda text: re.sub(r'"""', '"""Another word. ', text, count=1) + "\n\n# A remark.\n",
        "src/capcortex/rsa/rdm.py": replace("\n\n\ndef ", "\n\n\n\n# A remark.\ndef "),
        "src/capcortex/__init__.py": replace('__version__ = "', '__version__ = "9.'),
        "scripts/extract_surface_session.py": lambda text: text + "\n# A remark.\n",
        "config.yaml": lambda text: "# A remark.\n" + text.replace("\nseed: 20250807\n", "\n") + "\nseed: 20250807\n",
        "config/models.tsv": replace("mean sentence embedding of all captions", "the mean embedding of all captions"),
        "config/encoders.tsv": replace("384 dimensions, small", "384 numbers, small"),
        "config/atlases.tsv": replace("sulci and gyri", "gyri and sulci"),
    },
    "label of a model": {"config/models.tsv": replace("\tCaptions\t", "\tSentences\t")},
    "a check in `config/truth.yaml`": {
        "config/truth.yaml": replace("equivalence_bound: 0.05", "equivalence_bound: 0.04")
    },
    "a claim in `config/claims.tsv`": {"config/claims.tsv": replace("\t515\t0\t", "\t516\t0\t")},
}
TESTED_BELOW = {
    "`datasets_table`, `bucket: nsd_terms_accepted`, `bucket: keep_raw`",  # in test_bucket.py
    "nothing; the study's folder is moved, with the code in it",
    "fewer `sessions` of one subject, your own copy",
    "`betas_version`, your own copy",
    "`surface_betas`, your own copy",
}


def test_every_row_of_the_document_is_tested() -> None:
    assert set(DOCUMENTED) == {*CONFIGURATIONS, *EDITS, *TESTED_BELOW}
    assert {rule for rules in DOCUMENTED.values() for rule in rules} <= WORKING_RULES


@pytest.fixture(scope="module")
def plan_after(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, set[str]]]:
    """What is planned after one of CONFIGURATIONS, asked once."""
    folder = tmp_path_factory.mktemp("overlays")
    return functools.cache(lambda change: plan(tiny_study, folder / "overlay.yaml", **CONFIGURATIONS[change]))


@pytest.mark.parametrize("change", CONFIGURATIONS)
def test_a_change_of_the_config_runs_what_the_document_says(plan_after: Callable, change: str) -> None:
    assert set(plan_after(change)) == DOCUMENTED[change]


@pytest.mark.parametrize("change", EDITS)
def test_an_edited_file_runs_what_the_document_says(tiny_study: Path, tmp_path: Path, change: str) -> None:
    with ExitStack() as edits:
        for name, edit in EDITS[change].items():
            edits.enter_context(edited(tiny_study / name, edit))
        assert set(plan(tiny_study, tmp_path / "overlay.yaml")) == DOCUMENTED[change]


def test_nothing_runs_after_no_change_nor_where_the_study_is_moved(tiny_study: Path, tmp_path: Path) -> None:
    expected = DOCUMENTED["nothing; the study's folder is moved, with the code in it"]
    assert expected == set()
    moved = tiny_study.rename(tiny_study.with_name("moved"))
    try:
        assert set(plan(moved, tmp_path / "overlay.yaml")) == expected
    finally:
        moved.rename(tiny_study)
    done = run_snakemake(tiny_study, "--dry-run", *LARGE)
    assert "Nothing to be done" in done.stdout + done.stderr


# Of the costly rules, which files


def of_subjects(files: set[str]) -> set[str]:
    return {re.search(r"subj\d\d", name)[0] for name in files}


def test_an_added_model_touches_no_file_of_the_others(plan_after: Callable) -> None:
    planned = plan_after("a model more in `models`")
    assert planned["embed_model"] == {"results/models/features/scrambled.nc"}
    assert planned["compute_model_rdm"] == {"results/rdms/models/scrambled.nc"}
    assert planned["compare_roi_rdms"] == {"results/rsa/scrambled_space-fsaverage.tsv"}
    assert planned["permute_images"] == {"results/rsa/permutations/scrambled_space-fsaverage.tsv"}


def test_an_added_mapped_model_is_scored_alone(plan_after: Callable) -> None:
    planned = plan_after("a model more in `searchlight: models`")
    assert planned["score_searchlight"] == {
        f"results/searchlight/sets/categories/{subject}_block-01.nc" for subject in SUBJECTS
    }
    for rule in ("average_searchlight", "project_searchlight", "compute_group_map"):
        folders = {Path(name).parent.name for name in planned[rule]}
        assert folders == (
            {"categories", "caption_minus_categories"} if rule == "compute_group_map" else {"categories"}
        )


def test_a_seed_touches_only_the_features_that_draw_from_it(plan_after: Callable) -> None:
    assert plan_after("`seed`")["build_model"] == {"results/models/features/random.nc"}


def test_another_encoder_touches_only_the_models_that_use_it(plan_after: Callable) -> None:
    planned = plan_after("`encoder`")
    assert planned["embed_model"] == {"results/models/features/caption.nc"}
    assert planned["compute_model_rdm"] == {"results/rdms/models/caption.nc"}


def test_a_subject_comes_and_goes_without_a_trace_in_the_costly_files_of_the_others(
    tiny_study: Path, tmp_path: Path
) -> None:
    """A finished study of two subjects that gets a third: the files of the third are missing, all others can stay.

    What is of all subjects runs because its list of subjects is longer; here it is told to.
    """
    gone = [
        *(tiny_study / "results/betas").glob("subj03*"),
        *(tiny_study / "results/searchlight").rglob("subj03*"),
        *(tiny_study / "results/design").rglob("subj03*"),
    ]
    assert len(gone) == 4 + 1 + 2
    for path in gone:
        path.rename(tmp_path / f"{path.parent.name}_{path.name}")
    of_all = ("draw_shared_image_sets", "tabulate_data_quality", "average_searchlight")
    try:
        planned = plan(tiny_study, tmp_path / "overlay.yaml", "--forcerun", *of_all)
    finally:
        for path in gone:
            (tmp_path / f"{path.parent.name}_{path.name}").rename(path)
    assert not {"embed_model", "build_model"} & set(planned)
    for rule in (*GROUPS["betas"], "tabulate_trials", "score_searchlight", "draw_image_sets"):
        assert of_subjects(planned[rule]) == {"subj03"}, rule


def test_fewer_sessions_of_one_subject_touch_no_beta_of_the_others(local_study: LocalStudy, tmp_path: Path) -> None:
    clone = clone_study(local_study, tmp_path / "study")
    assert plan(clone.folder, tmp_path / "overlay.yaml", **LOCAL) == {}
    table = tmp_path / "subjects.tsv"
    table.write_text(replace("subj01\t3\t125\t6", "subj01\t2\t125\t3")((TINY.parent / "subjects.tsv").read_text()))
    planned = plan(clone.folder, tmp_path / "overlay.yaml", **LOCAL | {"subjects_table": str(table)})
    assert set(planned) == DOCUMENTED["fewer `sessions` of one subject, your own copy"]
    for rule in (*GROUPS["betas"], "tabulate_trials", "score_searchlight", "draw_image_sets"):
        assert of_subjects(planned[rule]) == {"subj01"}, rule


def test_another_version_of_the_betas_extracts_all_of_them_again(local_study: LocalStudy, tmp_path: Path) -> None:
    """The extracted sessions have gone, and their names are the same: what they were made from is remembered all the same."""
    clone = clone_study(local_study, tmp_path / "study")
    for subject in SUBJECTS:
        for space in ("func1pt8mm", "fsaverage"):
            (clone.nsd("nsddata_betas/ppdata") / subject / space / "betas_assumehrf").symlink_to(VERSION)
    planned = plan(clone.folder, tmp_path / "overlay.yaml", **LOCAL | {"betas_version": "betas_assumehrf"})
    assert set(planned) == DOCUMENTED["`betas_version`, your own copy"]
    for rule in GROUPS["betas"]:
        assert of_subjects(planned[rule]) == set(SUBJECTS)


def test_other_surface_betas_leave_the_volume_alone(local_study: LocalStudy, tmp_path: Path) -> None:
    clone = clone_study(local_study, tmp_path / "study")
    for path in clone.nsd("nsddata_betas").rglob("fsaverage/*/?h.betas_session*.mgh"):
        native = path.parents[2] / "nativesurface" / VERSION / path.with_suffix(".hdf5").name
        native.parent.mkdir(parents=True, exist_ok=True)
        native.touch()
    planned = plan(clone.folder, tmp_path / "overlay.yaml", **LOCAL | {"surface_betas": "nativesurface"})
    assert set(planned) == DOCUMENTED["`surface_betas`, your own copy"]
    assert of_subjects(planned["extract_surface_session"]) == set(SUBJECTS)
    assert planned["average_repeats"] == {
        f"results/betas/{subject}_space-fsaverage{kind}.nc" for subject in SUBJECTS for kind in ("", "_repeats")
    }


def test_two_changes_at_once_run_what_each_of_them_would(tiny_study: Path, tmp_path: Path) -> None:
    """Snakemake does not look at a job downstream of one that runs, unless it must run for that reason: with ancient() in
    between, another subject list would hide another radius (see docs/reruns.md)."""
    changes = [CONFIGURATIONS["a subject left out of `subjects`"], CONFIGURATIONS["`searchlight: radius`"]]
    planned = plan(tiny_study, tmp_path / "overlay.yaml", **changes[0], **changes[1])
    expected = DOCUMENTED["a subject left out of `subjects`"] | DOCUMENTED["`searchlight: radius`"]
    assert set(planned) == expected


def test_no_rule_hides_changes_behind_ancient_files() -> None:
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        code = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
        assert "ancient(" not in "\n".join(code), path.name


# Code


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Library modules that each script loads, as Python's own tool finds them in the byte code."""
    found = {}
    for script in (ROOT / "scripts").glob("*.py"):
        finder = ModuleFinder(path=[str(ROOT / "src")])
        finder.run_script(str(script))
        found[script.stem] = {name for name in finder.modules if name.split(".")[0] == "capcortex"}
    return found


@pytest.fixture(scope="module")
def followers(tiny_study: Path) -> dict[str, set[str]]:
    """Rules that directly take what a rule makes, by Snakemake's drawing of its rules."""
    drawing = run_snakemake(tiny_study, "--rulegraph").stdout
    names = {node: re.sub(r"_subj\d\d$", "", name) for node, name in re.findall(r'(\d+)\[label = "(\w+)"', drawing)}
    found: dict[str, set[str]] = defaultdict(set)
    for source, target in re.findall(r"(\d+) -> (\d+)", drawing):
        found[names[source]].add(names[target])
    assert "compute_roi_rdm" in found["average_repeats"]
    return found


def with_followers(rules: set[str], followers: dict[str, set[str]]) -> set[str]:
    reached, waiting = set(rules), list(rules)
    while waiting:
        new = followers.get(waiting.pop(), set()) - reached
        reached |= new
        waiting.extend(new)
    return reached & EVERYTHING


def test_modules_are_imported_where_the_document_says(imports: dict[str, set[str]]) -> None:
    assert {"rsa/rdm.py", "nsd/sessions.py", "text/encoders.py", "figures/style.py", "inference/tests.py"} <= set(
        MODULES
    )
    for module, rules in MODULES.items():
        name = "capcortex." + module.removesuffix(".py").replace("/", ".")
        assert {rule for rule, loaded in imports.items() if name in loaded} == rules, module


@pytest.mark.parametrize("module", MODULES)
def test_code_runs_the_rules_that_import_it_and_what_follows(
    tiny_study: Path, tmp_path: Path, followers: dict[str, set[str]], module: str
) -> None:
    with edited(tiny_study / "src/capcortex" / module, lambda text: text + "\n\nNEW_CONSTANT = 1\n"):
        planned = plan(tiny_study, tmp_path / "overlay.yaml")
    assert set(planned) == with_followers(MODULES[module], followers)


def test_code_of_a_script_runs_its_rule_and_what_follows(
    tiny_study: Path, tmp_path: Path, followers: dict[str, set[str]]
) -> None:
    with edited(tiny_study / "scripts/tabulate_roi_rsa.py", lambda text: text + "\n\nNEW_CONSTANT = 1\n"):
        planned = plan(tiny_study, tmp_path / "overlay.yaml")
    assert set(planned) == with_followers({"tabulate_roi_rsa"}, followers) == {"tabulate_roi_rsa", "plot_roi_rsa"}


@pytest.mark.parametrize("profile", sorted((ROOT / "profiles").glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_every_profile_leaves_code_to_the_digests(profile: Path) -> None:
    """Snakemake's own trigger `code` answers to comments too; without the other triggers, changes would pass unseen.

    Snakemake adds profiles/default to any other profile, which may replace its keys.
    """
    always = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())["rerun-triggers"]
    triggers = yaml.safe_load(profile.read_text()).get("rerun-triggers", always)
    assert sorted(triggers) == ["input", "mtime", "params", "software-env"]


# Part of a subject's sessions


def test_part_of_the_sessions_of_a_local_copy(tiny_study: Path, tmp_path: Path) -> None:
    """Two of three recorded sessions: the message tells how many image sets there are, and facts are those of the file."""
    responses = tiny_study / "resources/nsd" / layout.responses("subj01")
    rows = [line.split("\t") for line in responses.read_text().splitlines()]
    image, session = rows[0].index("73KID"), rows[0].index("SESSION")
    shown = [row[image] for row in rows[1:] if int(row[session]) <= 2]
    thrice = {name for name in shown if shown.count(name) == 3}
    n_sets = len(thrice) // 20
    assert 0 < n_sets < 6
    table = tmp_path / "subjects.tsv"
    config = yaml.safe_load(TINY.read_text()) | {
        "source": "local",
        "local": {"nsd": str(tiny_study / "resources/nsd")},
        "models": ["caption", "categories", "random"],
        "subjects_table": str(table),
        "shared_image_sets": 0,
    }
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(config))
    targets = ["results/design/facts.tsv", *(f"results/design/image_sets/{name}.tsv" for name in ("subj01", "subj02"))]

    def run(sessions: int, image_sets: int):
        text = (TINY.parent / "subjects.tsv").read_text()
        table.write_text(text.replace("subj01\t3\t125\t6", f"subj01\t{sessions}\t125\t{image_sets}"))
        return run_snakemake(tmp_path, "--", *targets, config=tmp_path / "overlay.yaml")

    # Four sets could be, by the number of trials; six could not, and the plan would say so.
    done = run(2, 4)
    assert done.returncode != 0
    assert (
        f"image_sets 4; the {len(thrice)} images seen three times in the 2 sessions used give {n_sets} of 20"
        in done.stderr
    )
    assert f"write {n_sets}" in done.stderr
    done = run(2, n_sets)
    assert done.returncode == 0, done.stderr[-3000:]
    trials = [line.split("\t") for line in (tmp_path / "results/design/trials/subj01.tsv").read_text().splitlines()]
    assert len(trials) == 1 + len(shown) == 251
    sets = [
        line.split("\t") for line in (tmp_path / "results/design/image_sets/subj01.tsv").read_text().splitlines()[1:]
    ]
    assert len(sets) == len({row[2] for row in sets}) == 20 * n_sets
    assert {row[2] for row in sets} <= thrice
    assert "sessions\tsubj01\t3\n" in (tmp_path / "results/design/facts.tsv").read_text()
