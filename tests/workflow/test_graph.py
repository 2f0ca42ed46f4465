"""The graph can be planned, every rule keeps the house's conventions, and what the documents say is true."""

import re
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from asking import copy_without_messages
from running import ROOT, TINY, run_snakemake

from capcortex import costs
from capcortex.config import load_study
from capcortex.config_files import merge_layers, read_layers
from capcortex.plan import cluster_jobs, jobs_left, outputs_of, sizes_of

RULE_FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
FETCHING = ROOT / "workflow/rules/fetch.smk"


def rules_of(path: Path) -> dict[str, str]:
    """Text of each rule of a rule file by name; rules named in a loop go by the constant part of their name."""
    text = path.read_text()
    found = {}
    for match in re.finditer(r"^( *)rule (\w*):\n(.*?)(?=^\1(?:rule|for|[a-zA-Z@\"#])|\Z)", text, re.M | re.S):
        name = match[2] or re.search(r'f"(\w+)_\{', match[3])[1]
        found[name] = match[3]
    for match in re.finditer(r"^ +rule:\n(.*)", text, re.M | re.S):
        found[re.search(r'f"(\w+)_\{', match[1])[1]] = match[1]
    return found


RULES = {name: text for path in RULE_FILES for name, text in rules_of(path).items()}
WORKING_RULES = {name: text for name, text in RULES.items() if "script:" in text}


def test_rules_were_found() -> None:
    assert {"check_design", "make_miniature_brain", "compute_roi_rdm", "plot_roi_rsa", "check_truth"} <= set(
        WORKING_RULES
    )
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts == set(WORKING_RULES)


def test_rules_import_nothing_that_takes_long() -> None:
    """Every job of a cluster reads the rules twice, and holds what they import beside its script."""
    lines = [
        line for path in RULE_FILES for line in re.findall(r"^from (capcortex[\w.]*) import", path.read_text(), re.M)
    ]
    assert "capcortex.config" in lines
    names = ("scipy.stats", "sklearn", "matplotlib", "torch", "spacy", "boto3")
    code = f"import sys, {', '.join(sorted(set(lines)))}\nprint([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", sorted(WORKING_RULES))
def test_rule_states_what_it_needs_and_shares_its_name_with_script_log_and_benchmark(name: str) -> None:
    text = WORKING_RULES[name]
    assert f"scripts/{name}.py" in text
    assert f"logs/{name}/" in text
    assert f"benchmarks/{name}/" in text
    group = re.search(r"^ +group:\n +(.+)", text, re.M)
    by_wildcards = {f"extract_{kind}_session": "extraction_group" for kind in ("surface", "volume")}
    named = by_wildcards.get(name, f'GROUP_OF["{name}"]')
    assert (group[1] if group else None) == (named if name in costs.GROUP_OF else None)
    # What was fetched, or found true of it, does not change with the code.
    assert (f'script_digest("{name}.py")' in text) == (name not in rules_of(FETCHING))
    for word in ("threads:", "mem_mb", "runtime", "disk_mb", "message:", "conda:", "provenance="):
        assert word in text, word


@pytest.mark.parametrize("name", sorted(WORKING_RULES))
def test_rules_that_need_a_network_and_no_others_run_where_snakemake_does(name: str) -> None:
    """On a cluster only that machine has one for sure; and it is no place for work."""
    text = WORKING_RULES[name]
    assert ("localrule: True" in text) == ("downloads=1," in text) == (name in rules_of(FETCHING))


def test_the_profile_names_rules_and_groups_that_are_there() -> None:
    """A name that is no longer one would silently change nothing."""
    text = (ROOT / "profiles/slurm/profile.yaml").read_text()
    # Examples stand in comments.
    rules = set(re.findall(r"^#  (\w+):", text, re.M))
    assert len(rules) > 3
    assert rules <= set(WORKING_RULES), rules - set(WORKING_RULES)
    groups = set(re.search(r"^group-components:\n((?:  .*\n)+)", text, re.M)[1].replace(": 1000\n", "").split())
    assert groups == set(costs.GROUPS)


@pytest.mark.parametrize("given", [{}, {"SBATCH_ACCOUNT": "open"}, {"SBATCH_ACCOUNT": "17", "SBATCH_PARTITION": "all"}])
def test_account_and_partition_come_from_the_environment(
    given: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also such as mean something in Python, as which Snakemake evaluates resources."""
    for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    copy_without_messages(tmp_path)
    done = run_snakemake(tmp_path, "--dry-run", "--profile", str(tmp_path / "profiles/slurm"))
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("account", "partition"):
        expected = [given[f"SBATCH_{name.upper()}"]] if f"SBATCH_{name.upper()}" in given else []
        assert sorted(set(re.findall(rf"slurm_{name}=(\w+)", done.stdout + done.stderr))) == expected


def test_a_profile_of_ones_own_after_the_studys(tmp_path: Path) -> None:
    """What it replaces, whole keys, leaves jobs of a group one after another."""
    own = tmp_path / "own"
    own.mkdir()
    keys = {
        "default-resources": {"slurm_partition": "highmem"},
        "set-resources": {"score_searchlight": {"runtime": 77}},
    }
    (own / "profile.yaml").write_text(yaml.safe_dump(keys))
    copy_without_messages(tmp_path)
    done = run_snakemake(tmp_path, "--dry-run", "--profile", str(tmp_path / "profiles/slurm"), "--profile", str(own))
    assert done.returncode == 0, done.stderr[-3000:]
    # Jobs of a group are set in, and their rules stand before the resources.
    jobs = re.findall(r"^ *(?:local)?rule (\w+):\n(?:.+\n)*? +resources: (.*)", done.stdout + done.stderr, re.M)
    assert len({rule for rule, _ in jobs}) > 20
    for rule, asked in jobs:
        assert ("at_once_in_group=1" in asked) == (rule in costs.GROUP_OF), rule
        assert "slurm_partition=highmem" in asked
        assert ("runtime=77" in asked) == (rule == "score_searchlight")


def test_the_examples_of_the_profile_can_be_used(tmp_path: Path) -> None:
    """All that stand in comments at once: they are planned, and ask for what they say."""
    copy_without_messages(tmp_path)
    profile = tmp_path / "profiles/slurm/profile.yaml"
    text, n = re.subn(r"^#((?:set-|  (?:  )?\w).*)$", r"\1", profile.read_text(), flags=re.M)
    assert n > 10
    profile.write_text(text)
    done = run_snakemake(tmp_path, "--dry-run", "--cores", "8", "--profile", str(profile.parent))
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = re.findall(r"^ *(?:local)?rule (\w+):\n((?:.+\n)*?) +resources: (.*)", done.stdout + done.stderr, re.M)
    for rule, head, asked in jobs:
        embeds = rule == "embed_model"
        assert ("slurm_partition=gpu, gres=gpu:1" in asked) == embeds, rule
        assert ("threads: 8\n" in head) == embeds, rule
    examples = yaml.safe_load(text)["set-resources"]
    assert set(examples) <= {rule for rule, _, _ in jobs}
    for rule, _, asked in jobs:
        for name, value in examples.get(rule, {}).items():
            assert f"{name}={value}" in asked


def test_the_default_profile_leaves_resources_to_its_users() -> None:
    kept = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    assert set(kept) == {"rerun-incomplete", "rerun-triggers"}


@pytest.mark.parametrize("config", [None, TINY, ROOT / "config/nsd.yaml"], ids=["default", "tiny", "nsd"])
def test_graph_is_planned_without_running_anything(config: Path | None, tmp_path: Path) -> None:
    if config and config.name == "nsd.yaml":
        # What an earlier run of the miniature in the same folder leaves must not join in.
        (tmp_path / "results/searchlight/sets/caption+categories+picture-attributes").mkdir(parents=True)
    done = run_snakemake(tmp_path, "--dry-run", config=config)
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = int(re.search(r"^total +(\d+)", done.stdout + done.stderr, re.M)[1])
    planned = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    n_extracted = {int(planned[f"extract_{kind}_session"]) for kind in ("surface", "volume")}
    if config is None:
        assert jobs <= 300
        assert n_extracted == {20}
        # Its encoder is a package.
        assert "fetch_encoder" not in planned
    if config and config.name == "nsd.yaml":
        assert n_extracted == {284}
        # A file for each hemisphere, and one for the volume.
        assert int(planned["fetch_session_betas"]) == 3 * 284
        assert "picture-attributes" not in done.stdout + done.stderr
        # Ten image sets to a job: 100 sets in four subjects, 62 and 54 in two each.
        assert int(planned["score_searchlight"]) == 4 * 10 + 2 * 7 + 2 * 6


def test_jobs_of_the_whole_of_nsd_follow_from_the_tables(tmp_path: Path) -> None:
    """Eight subjects, 284 sessions: how many jobs each rule has is counted from the config and its tables alone."""
    start = time.perf_counter()
    # The table of jobs without the jobs.
    done = run_snakemake(tmp_path, "--dry-run", "--quiet", "host", "reason", "rules", config=ROOT / "config/nsd.yaml")
    print(f"planning the whole of NSD took {time.perf_counter() - start:.1f} s")
    assert done.returncode == 0, done.stderr[-3000:]
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | yaml.safe_load((ROOT / "config/nsd.yaml").read_text())
    subjects = pd.read_csv(ROOT / config["subjects_table"], sep="\t", comment="#")
    n_subjects, n_sessions, n_models = len(subjects), int(subjects["sessions"].sum()), len(config["models"])
    mapped = config["searchlight"]["models"]
    used = {*config["models"], *mapped}
    table = pd.read_csv(ROOT / config["models_table"], sep="\t", comment="#", index_col="model")
    encoded = set(table.index[table["encoder"].notna()])
    contrasts = yaml.safe_load((ROOT / "config.yaml").read_text())["searchlight"]["contrasts"]
    encoding = yaml.safe_load((ROOT / "config.yaml").read_text())["encoding"]
    encoded_by = encoding["models"]
    n_maps = len(mapped) + len(contrasts) + len(encoded_by) + len(encoding["contrasts"])
    n_maps += len(encoding["sentence_contrasts"])
    decoded = config["decoding"]["models"]
    n_hemispheres, n_depths, n_spaces = 2, 3, 2
    facts = pd.read_csv(ROOT / config["acceptance_table"], sep="\t", comment="#")
    with_prf = facts.loc[facts["fact"].str.startswith("prf-visualrois_voxels"), "subject"].nunique()
    figures = [
        (models.split(", ")[0], [name for name in models.split(", ") if name in config["models"]])
        for models in pd.read_csv(ROOT / "config/figures.tsv", sep="\t", comment="#")["models"]
    ]
    files_of_nsd = {
        "design and stimuli": 2,
        "labels of streams and nsdgeneral on fsaverage": 2 * n_hemispheres,
        "names of streams": 1,
        "inflated surface and its curvature": 2 * n_hemispheres,
        "responses": n_subjects,
        "brain mask, valid voxels, nsdgeneral": 3 * n_subjects,
        "labels of streams in the volume, for the multiverse": n_subjects,
        "visual areas in the volume, which the acceptance table counts": with_prf,
        "ncsnr in the volume and on both hemispheres": (1 + n_hemispheres) * n_subjects,
        "from the volume to each depth, and from native surfaces to fsaverage": (n_depths + 1)
        * n_hemispheres
        * n_subjects,
    }
    expected = {
        "fetch_nsd_file": sum(files_of_nsd.values()),
        "fetch_session_betas": n_sessions * (n_hemispheres + 1),
        "fetch_coco_annotations": 1,
        # All encoders of these models are on the hub.
        "fetch_encoder": table.loc[sorted(used), "encoder"].nunique(),
        "check_acceptance": n_subjects,
        "tabulate_trials": n_subjects,
        "draw_image_sets": n_subjects,
        "extract_surface_session": n_sessions,
        "extract_volume_session": n_sessions,
        "average_repeats": n_subjects * n_spaces,
        "embed_model": len(used & encoded),
        "build_model": len(used - encoded),
        "compute_model_rdm": n_models,
        "compute_roi_rdm": n_subjects,
        "compare_roi_rdms": n_models,
        "permute_images": n_models,
        "score_searchlight": sum(-(-sets // costs.SETS_PER_JOB) for sets in subjects["image_sets"]),
        "compute_universes": n_subjects * n_spaces,
        "fit_encoding": n_subjects * len(encoded_by),
        "fit_encoding_as_released": n_subjects * len(encoded_by),
        "collect_encoding": len(encoded_by),
        "plot_encoding_agreement": len(encoded_by),
        # Of captions, which have a dictionary.
        "embed_dictionary": len([model for model in decoded if table.loc[model, "builder"] == "sentence"]),
        "decode_embeddings": n_subjects * len(decoded),
        "plot_decoding": len(decoded),
        "average_searchlight": len(mapped),
        "project_searchlight": len(mapped),
        "compute_group_map": n_maps,
        "plot_group_map": n_maps,
        "plot_subject_maps": n_maps,
        "plot_roi_rsa": 1 + sum(len(drawn) > 1 and drawn[0] == first for first, drawn in figures),
        # Three panels of Fig. 3, all with captions first.
        "plot_pairwise": 3,
    }
    once = [
        "check_design",
        "prepare_captions",
        "tag_captions",
        "tabulate_models",
        "draw_shared_image_sets",
        "check_sentinel",
        "bootstrap_rois",
        "compare_models",
    ]
    once += [
        "estimate_roi_ceilings",
        "tabulate_ceilings",
        "tabulate_roi_rsa",
        "tabulate_permutations",
        "tabulate_data_quality",
        "tabulate_decoding",
    ]
    once += ["tabulate_multiverse", "plot_multiverse"]
    once += ["plot_model_comparisons", "plot_rdms", "plot_captions", "plot_data_quality"]
    once += ["estimate_agreement", "tabulate_encoding", "embed_sentences", "predict_sentences"]
    once += ["plot_caption_statistics", "plot_caption_tsne"]
    once += ["score_claims", "plot_scorecard"]
    once += ["tabulate_released_statistics"]
    assert jobs_left(done.stdout + done.stderr) == expected | dict.fromkeys(once, 1)


def test_jobs_of_a_cluster_are_hundreds_of_minutes_and_as_many_as_planned(tmp_path: Path) -> None:
    """Counted from Snakemake's own groups, and from the plan, which knows the table of groups alone."""
    nsd = ROOT / "config/nsd.yaml"
    done = run_snakemake(tmp_path, "--dry-run", "--profile", str(ROOT / "profiles/slurm"), config=nsd)
    assert done.returncode == 0, done.stderr[-3000:]
    text = done.stdout + done.stderr
    groups = re.findall(r"Group job (\w+) \(.*\n((?:(?: .*)?\n)+)", text)
    grouped = sum(len(re.findall(r"^    Job \d+: ", steps, re.M)) for _, steps in groups)
    planned = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", text, re.M)}
    local = sum(n for rule, n in planned.items() if "localrule: True" in WORKING_RULES.get(rule, ""))
    alone = planned.pop("total") - grouped - local - 1
    study = load_study(merge_layers(read_layers([ROOT / "config.yaml", nsd])), ROOT, [ROOT / "config.yaml", nsd])
    summary = run_snakemake(tmp_path, "--summary", config=nsd).stdout
    subjects = [sizes_of(study, name) for name in study.subject_names]
    jobs = cluster_jobs(study, subjects, jobs_left(text), outputs_of(summary))
    seconds = [each for of_name in jobs.values() for each in of_name.seconds]
    print(len(seconds), "jobs of", min(seconds), "to", max(seconds), "seconds")
    assert len(groups) + alone == len(seconds)
    assert sum(each.n_steps for each in jobs.values()) == grouped + alone
    assert 100 <= len(seconds) < 300
    # About a minute, and four hours; sessions of half of the subjects do not fill their last block.
    assert min(seconds) > 30
    assert max(seconds) < 4 * 3600
    # Sessions of one block, and no others, are extracted together.
    sessions = Counter(
        name for name, steps in groups if name.startswith("extraction") for _ in re.findall(r"Job \d+: ", steps)
    )
    assert set(sessions.values()) <= {2 * 4, 2 * 5}
    assert sum(sessions.values()) == 2 * 284


def make_empty_nsd(root: Path) -> None:
    """Empty files under NSD's names: enough to plan with."""
    from capcortex.nsd import layout

    sessions = dict(zip(range(1, 9), (40, 40, 32, 30, 40, 32, 40, 30), strict=True))
    version = "betas_fithrf_GLMdenoise_RR"
    keys = [
        layout.EXPERIMENT_DESIGN,
        layout.STIMULUS_TABLE,
        layout.IMAGE_BRICK,
        layout.label_names("fsaverage", "streams"),
    ]
    keys += [layout.annotations(kind, split) for kind in ("captions", "instances") for split in layout.SPLITS]
    for hemisphere in layout.HEMISPHERES:
        keys += [layout.surface_label("fsaverage", hemisphere, atlas) for atlas in ("streams", "nsdgeneral")]
        keys += [
            layout.surface_betas(f"subj{number:02d}", version, session, hemisphere)
            for number, last in sessions.items()
            for session in range(1, last + 1)
        ]
    for number, last in sessions.items():
        subject = f"subj{number:02d}"
        keys += [layout.responses(subject), layout.volume_ncsnr(subject, version)]
        keys += [layout.volume_file(subject, name) for name in ("brainmask", "valid", "roi/nsdgeneral")]
        keys += [layout.volume_betas(subject, version, session) for session in range(1, last + 1)]
        for hemisphere in layout.HEMISPHERES:
            names = [*(f"func1pt8-to-{depth}" for depth in layout.DEPTHS), "white-to-fsaverage"]
            keys += [layout.transform(subject, hemisphere, name) for name in names]
            keys.append(layout.surface_ncsnr(subject, version, "fsaverage", hemisphere))
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()


PPDATA, LABELS = "nsddata/ppdata/subj04", "nsddata/freesurfer/subj04/label"
BETAS = "nsddata_betas/ppdata/subj04/{}/betas_fithrf_GLMdenoise_RR"


@pytest.mark.parametrize(
    ("space", "needed"),
    [
        (
            "fsaverage",
            [f"{LABELS}/{h}.floc-faces.mgz" for h in ("lh", "rh")]
            + [f"{PPDATA}/transforms/{h}.white-to-fsaverage.mgz" for h in ("lh", "rh")]
            + [f"{BETAS.format('fsaverage')}/{h}.ncsnr.mgh" for h in ("lh", "rh")],
        ),
        (
            "func1pt8mm",
            [f"{PPDATA}/func1pt8mm/roi/{name}.nii.gz" for name in ("streams", "floc-faces")]
            + [f"{PPDATA}/func1pt8mm/brainmask.nii.gz", f"{BETAS.format('func1pt8mm')}/ncsnr.nii.gz"]
            + [f"{BETAS.format('func1pt8mm')}/betas_session{session:02d}.nii.gz" for session in range(1, 31)],
        ),
    ],
)
def test_regions_read_the_files_of_their_space_and_no_others(space: str, needed: list[str], tmp_path: Path) -> None:
    """With exactly the files of that space the study is planned; without one of them it is not."""
    nsd = tmp_path / "nsd"
    make_empty_nsd(nsd)
    if space == "func1pt8mm":
        for path in [*nsd.rglob("?h.*.mgh"), *nsd.rglob("?h.*.mgz")]:
            path.unlink()
    for name in [*needed, f"{LABELS}/floc-faces.mgz.ctab"]:
        (nsd / name).parent.mkdir(parents=True, exist_ok=True)
        (nsd / name).touch()
    config = yaml.safe_load((ROOT / "config/nsd.yaml").read_text())
    config |= {"source": "local", "subjects": ["subj04"], "shared_image_sets": 0, "local": {"nsd": str(nsd)}}
    config |= {"searchlight": {"models": [], "contrasts": []}, "roi_space": space, "least_ncsnr": 0.2}
    config["rois"] = {"streams": ["early"], "floc-faces": ["OFA"]}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = run_snakemake(tmp_path, "--dry-run", config=tmp_path / "config.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (needed[1], needed[3]):
        (nsd / name).unlink()
        done = run_snakemake(tmp_path, "--dry-run", config=tmp_path / "config.yaml")
        assert done.returncode != 0
        assert name in done.stdout + done.stderr
        (nsd / name).touch()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sead": 3}, ["changed.yaml:1: sead: unknown key", "'seed'"]),
        (
            {"image_set_size": "many"},
            ["changed.yaml:1: image_set_size: found 'many'", "a whole number, from 4", "Images in one image set"],
        ),
        ({"models": ["caption", "captoin"]}, ["captoin", "caption", "config/models.tsv"]),
        ({"subjects": ["subj01", "subj09"]}, ["subjects", "subj09"]),
        ({"encoder": "all-mpnet"}, ["all-mpnet", "all-mpnet-base-v2"]),
        ({"source": "cloud"}, ["source", "bucket", "local"]),
    ],
)
def test_a_bad_config_is_refused_with_a_message_that_helps(change: dict, words: list[str], tmp_path: Path) -> None:
    config = tmp_path / "changed.yaml"
    config.write_text(yaml.safe_dump(change))
    done = run_snakemake(tmp_path, "--dry-run", config=config)
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr + done.stdout


def test_every_bad_value_is_named_where_it_was_set(tmp_path: Path) -> None:
    """Of two overlays the later one counts, and --config before both; nothing but our lines and Snakemake's own."""
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("seed: a\nconfidence: 2\n\nprojection: spm\n")
    second.write_text("# A comment.\nconfidence: 3\n")
    arguments = ["--configfile", str(first), str(second), "--config", "projection=fsl"]
    done = run_snakemake(tmp_path, "--dry-run", *arguments, config=None)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    places = re.findall(r"^(.*): (seed|confidence|projection): found ('?\w+'?),", said, re.M)
    assert places == [
        ("first.yaml:1", "seed", "'a'"),
        ("second.yaml:2", "confidence", "3"),
        ("command line (--config)", "projection", "'fsl'"),
    ]
    assert "WorkflowError" in said
    assert "src/capcortex" not in said


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements/study.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_conda_environments_declare_what_the_lock_pins() -> None:
    known_otherwise = {"pytorch": "torch", "python-isal": "isal"}
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        declared = yaml.safe_load(path.read_text())["dependencies"]
        pip = next((item["pip"] for item in declared if isinstance(item, dict)), [])
        conda = [item.split("=") for item in declared if isinstance(item, str) and item not in ("pip", "python=3.11")]
        for name, version in [*conda, *(item.split("==") for item in pip)]:
            assert locked()[known_otherwise.get(name, name)] == version, f"{path.name}: {name}"


def test_every_dependency_is_locked_and_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs/dependencies.md").read_text()
    for requirement in project["dependencies"]:
        name = re.match(r"[\w-]+", requirement)[0]
        assert name in locked(), name
        assert re.search(rf"\b{name}\b", reasons), f"{name} has no reason in docs/dependencies.md"
    torch = next(
        line for line in (ROOT / "requirements/study.lock").read_text().splitlines() if line.startswith("torch==")
    )
    assert torch == "torch==2.13.0"


def test_versions_agree() -> None:
    import capcortex

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert capcortex.__version__ == project["version"] == citation["version"]


def keys_of(schema: dict, prefix: str = "") -> dict[str, str]:
    found = {}
    for key, value in schema["properties"].items():
        found[prefix + key] = value["description"]
        if "properties" in value:
            found |= keys_of(value, f"{key}: ")
    return found


def test_every_config_key_is_commented_and_documented() -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    documented = (ROOT / "docs/configuration.md").read_text()
    for key, meaning in keys_of(schema).items():
        assert f"| `{key}` |" in documented, key
        assert meaning in documented, key
    lines = (ROOT / "config.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r" *\w+:", line):
            above = [text.strip() for text in lines[:number]]
            block = next((text for text in reversed(above) if not text or text.startswith("#")), "")
            assert block.startswith("#"), f"config.yaml: no comment above {line!r}"


def test_readme_commands_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:^|`|> )make (?:-s )?([a-z-]+)", readme, re.M)
    assert {"study", "test", "lint"} <= set(named)
    for target in named:
        assert target in targets, target
    for path in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / path).exists(), path
