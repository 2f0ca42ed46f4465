"""What all rules share: the checked study, the files of NSD, and digests of the code that a script runs."""

import functools
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import yaml
from snakemake.exceptions import WorkflowError

from capcortex.claims import pairs_of_claims, read_claims
from capcortex.config import (
    ENCODING,
    SENTENCES_OF,
    load_study,
    searchlight_batches,
)
from capcortex.config_checks import MINIATURE_FOLDER
from capcortex.config_files import ConfigError
from capcortex.costs import (
    ALL_PAIRS_SECONDS,
    CAPTIONS_OF_IMAGE,
    CROSSNOBIS_SECONDS,
    FEATURES,
    FETCHING_MB,
    LIMITS,
    RAW_SESSIONS,
    SETS_PER_JOB,
    SNAKEMAKE_MB,
    captions_mb,
    captions_memory_mb,
    ceilings_mb,
    features_mb,
    figure_memory_mb,
    rdms_mb,
    roi_rdm_memory_mb,
    universes_memory_mb,
)
from capcortex.demands import (
    demands_of,
    demands_of_model,
    n_dictionary_sentences,
    n_ceilings,
    n_image_sets,
    n_rois,
    n_scores,
    n_text_images,
    n_universe_rows,
    n_vertices,
    own_file_mb,
    universes_seconds,
)
from capcortex.digests import code_digest, file_digest
from capcortex.fetch.sources import TERMS_NOT_ACCEPTED, read_sources
from capcortex.files import remove_partial_files
from capcortex.inference.scenarios import SCENARIOS, n_studies
from capcortex.missing import require_files
from capcortex.nsd import layout
from capcortex.nsd.acceptance import facts_of_subject, files_of_facts
from capcortex.nsd.betas import averaging_memory_mb
from capcortex.nsd.bookkeeping import MOST_SHARED
from capcortex.nsd.facts import (
    COUNTED_FACTS,
    FACT_COLUMNS,
    FACTS_OF_ALL_SUBJECTS,
    read_facts,
)
from capcortex.nsd.sessions import (
    native_extraction_memory_mb,
    surface_extraction_memory_mb,
    volume_extraction_memory_mb,
)
from capcortex.orphans import (
    empty_queue,
    forget_submitter,
    note_submitter,
    require_no_queued_jobs,
    running_snakemakes,
)
from capcortex.rsa.all_pairs import all_pairs_memory_mb
from capcortex.rsa.multiverse import level_name
from capcortex.rsa.rdm import n_pairs
from capcortex.rsa.searchlight import searchlight_memory_mb
from capcortex.tables import read_table
from capcortex.text.encoders import is_on_hub
from capcortex.text.models import is_seeded

# Snakemake lists the files of --configfile first, then config.yaml, over which it lays them.
CONFIG_FILES = [
    *workflow.configfiles[len(workflow.overwrite_configfiles) :],
    *workflow.overwrite_configfiles,
]
try:
    STUDY = load_study(config, STUDY_FOLDER, CONFIG_FILES)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# Here and not in a profile, whose limits `--resources` on the command line replaces, all of them.
for _resource, _most in LIMITS.items():
    if _resource not in workflow.global_resources:
        workflow.register_resource(_resource, _most)

# Memory and seconds of jobs that are known before their inputs are made.
DEMANDS = demands_of(STUDY)


def memory_of(rule):
    """Memory in MB that a rule's jobs ask for."""
    return lambda wildcards, attempt: attempt * DEMANDS[rule].memory_mb


def minutes_for(rule, seconds):
    """Minutes that a job asks for: twice those expected, and 10 for a slow start; 3 where many of them are one job."""
    return (3 if rule in GROUP_OF else 10) + math.ceil(seconds / 30)


def minutes_of(rule):
    """Minutes that a rule's jobs ask for."""
    return lambda wildcards, attempt: attempt * minutes_for(rule, DEMANDS[rule].seconds)


def memory_of_model(rule):
    """Memory in MB that the job of a model asks for."""
    return (
        lambda wildcards, attempt: attempt
        * demands_of_model(STUDY, wildcards.model)[rule].memory_mb
    )


def minutes_of_model(rule):
    """Minutes that the job of a model asks for."""

    def minutes(wildcards, attempt):
        seconds = demands_of_model(STUDY, wildcards.model)[rule].seconds
        return attempt * minutes_for(rule, seconds)

    return minutes


def made_brain_disk_mb(subject, *, twins):
    """float32 on the surface and int16 in the volume, which is larger; twins as large again; the planted brain."""
    values = n_trials_of(subject) * n_vertices(STUDY)
    return 50 + (12 if twins else 6) * values // 2**20


def table_disk_mb(n_rows):
    """A row of a table has less than 250 bytes."""
    return 10 + n_rows // 4000


# Surface betas are read from native surfaces.
NATIVE_SURFACE = STUDY.config["surface_betas"] == "nativesurface"


wildcard_constraints:
    subject="|".join(STUDY.subject_names),
    model="|".join(STUDY.models["model"]),
    session=r"\d{2}",
    space="|".join(layout.SPACES),
    map="|".join(STUDY.maps),
    block=r"\d{2}",
    batch=r"[a-z0-9+-]+",


@functools.cache
def script_digest(script):
    """Digest of a script in scripts/ and of all library code that it reaches: a parameter of every rule."""
    return code_digest(STUDY_FOLDER / "scripts" / script)


def study_file(path):
    """A file of the study (a table, the truth) named in the config, from the study's own folder."""
    path = Path(path)
    # Relative, so that a clone that was moved makes nothing anew.
    return str(path) if path.is_absolute() else os.path.relpath(STUDY_FOLDER / path)


def nsd_file(key):
    """Path of an NSD file from its key in nsd/layout.py."""
    return f"{STUDY.nsd_root}/{key}"


def white_to_fsaverage(subject):
    """Which native vertex is nearest to each vertex of fsaverage, left and right."""
    return [
        nsd_file(layout.transform(subject, hemisphere, "white-to-fsaverage"))
        for hemisphere in layout.HEMISPHERES
    ]


def nsd_root_of(path):
    """The folder with NSD's tree in which a file of `nsddata` lies."""
    return str(path).partition("/nsddata/")[0]


def surface_betas_files(subject, session):
    """Left and right surface betas of a session, on the surface that the config names."""
    key = layout.native_betas if NATIVE_SURFACE else layout.surface_betas
    version = STUDY.config["betas_version"]
    return [
        nsd_file(key(subject, version, session, hemisphere))
        for hemisphere in layout.HEMISPHERES
    ]


def session_betas(wildcards):
    """Left and right surface betas of a session."""
    return surface_betas_files(wildcards.subject, int(wildcards.session))


def session_indices(wildcards):
    """Which native vertex is nearest to each vertex of fsaverage, where betas are on native surfaces."""
    return white_to_fsaverage(wildcards.subject) if NATIVE_SURFACE else []


def surface_extraction_mem_mb(wildcards, attempt):
    memory = (
        native_extraction_memory_mb if NATIVE_SURFACE else surface_extraction_memory_mb
    )
    return attempt * (SNAKEMAKE_MB + memory(trials_per_session(wildcards)))


def volume_extraction_mem_mb(wildcards, input, attempt):
    file_format = STUDY.config["volume_betas"]
    return attempt * (
        SNAKEMAKE_MB
        + volume_extraction_memory_mb(
            trials_per_session(wildcards), input.size_mb, file_format
        )
    )


def surface_extraction_disk_mb(wildcards, input):
    """int16 on fsaverage: of float32 there half the size; a native surface has about as many vertices."""
    return 1 + int(input.size_mb * (1 if NATIVE_SURFACE else 0.5))


def session_volume_betas(wildcards):
    """Volume betas of a session, in the format that the config names."""
    return nsd_file(
        layout.volume_betas(
            wildcards.subject,
            STUDY.config["betas_version"],
            int(wildcards.session),
            suffix=STUDY.config["volume_betas"],
        )
    )


# Facts that the data must meet.
FACTS = (
    read_facts(STUDY_FOLDER / STUDY.config["acceptance_table"])
    if STUDY.config["acceptance_table"]
    else pd.DataFrame(columns=FACT_COLUMNS)
)


def acceptance_keys(wildcards):
    """Small files of NSD in which the facts of a subject are found."""
    return files_of_facts(FACTS, wildcards.subject, STUDY.config["betas_version"])


@functools.cache
def sources():
    """The table of sources."""
    return read_sources(STUDY_FOLDER / STUDY.config["datasets_table"])


@functools.cache
def fetched_mb(key):
    """About how large a file is that is fetched, in MB."""
    return sources().of(key).about_mb


def raw_betas(path):
    """Raw betas are dropped when they are extracted, unless the config keeps them."""
    return path if STUDY.config["bucket"]["keep_raw"] else temp(path)


def raw_betas_key(wildcards):
    """Path of a file of raw betas in NSD's folders."""
    folder = layout.betas_folder(
        wildcards.subject, wildcards.raw_space, wildcards.version
    )
    return (
        f"{folder}/{wildcards.part}betas_session{wildcards.session}.{wildcards.suffix}"
    )


def session_extracted_before(wildcards):
    """The extracted session that has to be there before another one's raw betas are fetched; none for the first ones."""
    space = "func1pt8mm" if wildcards.raw_space == "func1pt8mm" else "fsaverage"
    earlier = int(wildcards.session) - RAW_SESSIONS
    path = f"results/betas/sessions/{wildcards.subject}_session-{earlier:02d}_space-{space}.nc"
    return [path] if earlier > 0 else []


def fetching_runtime(wildcards, attempt):
    """Minutes: at least 1 MB a second."""
    return attempt * (10 + int(fetched_mb(raw_betas_key(wildcards)) / 60))


def brain_mask(wildcards):
    """Brain mask of a subject in the volume."""
    return nsd_file(layout.volume_file(wildcards.subject, "brainmask"))


def extracted_sessions(wildcards):
    """Extracted sessions of a subject in a space."""
    return [
        f"results/betas/sessions/{wildcards.subject}_session-{session:02d}_space-{wildcards.space}.nc"
        for session in STUDY.sessions(wildcards.subject)
    ]


def trials_per_session(wildcards):
    return STUDY.subject_row(wildcards.subject)["trials_per_session"]


def n_trials_of(subject):
    """Trials of a subject over all sessions."""
    row = STUDY.subject_row(subject)
    return row["sessions"] * row["trials_per_session"]


def n_trials(wildcards):
    """The same for the subject of a job."""
    return n_trials_of(wildcards.subject)


def whose_repeats(wildcards):
    """Images whose single repeats are kept: the shared ones, for ceilings; all where distances are made of them."""
    needed = (
        STUDY.config["brain_distance"] == "crossnobis"
        and wildcards.space == STUDY.config["roi_space"]
    )
    return "all" if needed else "shared"


def n_repeated_images(wildcards):
    """At most so many images whose single repeats are kept."""
    n_images = n_trials(wildcards) // 3
    return n_images if whose_repeats(wildcards) == "all" else min(MOST_SHARED, n_images)


def averaging_mem_mb(wildcards, attempt):
    row = STUDY.subject_row(wildcards.subject)
    return attempt * (
        SNAKEMAKE_MB
        + averaging_memory_mb(
            n_trials(wildcards) // 3,
            row["trials_per_session"],
            n_repeated_images(wildcards),
        )
    )


def averaging_disk_mb(wildcards, input):
    """Averages are float32, a third of the trials; repeats are as in the sessions. Images fill chunks of 100."""
    n_images = n_trials(wildcards) // 3
    n_stored = 0.7 * (n_images + 100) + n_repeated_images(wildcards) + 100
    return 1 + int(input.size_mb * n_stored / n_images)


def roi_labels(wildcards):
    """Label files of all atlases in use, for a subject in a space: left and right surface of each, or its volume."""
    return [
        path
        for atlas in STUDY.config["rois"]
        for path in STUDY.label_files(atlas, wildcards.subject, wildcards.space)
    ]


def roi_names(wildcards):
    """Files with the region names of all atlases in use, for a subject."""
    return [
        STUDY.names_file(atlas, wildcards.subject) for atlas in STUDY.config["rois"]
    ]


def on_fsaverage(wildcards):
    """The subject of a job whose output does not name the space, which is fsaverage."""
    return SimpleNamespace(subject=wildcards.subject, space="fsaverage")


def native_atlases(wildcards):
    """Atlases in use whose labels must be brought from native surfaces to fsaverage."""
    return [
        atlas
        for atlas in STUDY.config["rois"]
        if wildcards.space == "fsaverage" and STUDY.on_native_surface(atlas)
    ]


def roi_indices(wildcards):
    """Which native vertex is nearest to each vertex of fsaverage, where labels are on native surfaces."""
    return white_to_fsaverage(wildcards.subject) if native_atlases(wildcards) else []


def roi_mask(wildcards):
    """Brain mask, on whose grid the labels of a volume must be."""
    mask = nsd_file(layout.volume_file(wildcards.subject, "brainmask"))
    return [mask] if wildcards.space == "func1pt8mm" else []


def roi_ncsnr(wildcards):
    """Files of ncsnr of a subject in a space."""
    version = STUDY.config["betas_version"]
    if wildcards.space == "func1pt8mm":
        return [nsd_file(layout.volume_ncsnr(wildcards.subject, version))]
    return [
        nsd_file(
            layout.surface_ncsnr(
                wildcards.subject, version, wildcards.space, hemisphere
            )
        )
        for hemisphere in layout.HEMISPHERES
    ]


def roi_rdm_mem_mb(wildcards, input, attempt):
    betas, repeats = (os.path.getsize(path) for path in (input.betas, input.repeats))
    return attempt * (
        SNAKEMAKE_MB
        + roi_rdm_memory_mb(
            betas,
            repeats,
            n_images=n_trials(wildcards) // 3,
            distance=STUDY.config["brain_distance"],
            image_set_size=STUDY.config["image_set_size"],
        )
    )


def roi_rdm_runtime(wildcards, input, attempt):
    """Minutes; crossnobis takes seconds for each image set and region on the real NSD."""
    crossnobis = STUDY.config["brain_distance"] == "crossnobis"
    seconds = int(2 * CROSSNOBIS_SECONDS) if crossnobis else 0
    n_sets = (
        STUDY.subject_row(wildcards.subject)["image_sets"]
        + STUDY.config["shared_image_sets"]
    )
    return attempt * (
        5 + int(input.size_mb // 500) + seconds * n_sets * n_rois(STUDY) // 60
    )


def all_pairs_size(wildcards, input):
    """Images, vertices or voxels, features and models of a comparison over all pairs: upper bounds, from the files."""
    n_images = n_trials(wildcards) // 3
    n_features = 0
    for model, path in zip(STUDY.model_names, input.features):
        # A file of one's own may lack images of other subjects.
        own = STUDY.model_row(model)["path"] is not None
        rows = n_images if own else n_text_images(STUDY)
        n_features += os.path.getsize(path) // (4 * rows)
    return {
        "n_images": n_images,
        "n_units": os.path.getsize(input.betas) // (4 * n_images),
        "n_features": n_features,
        "n_models": len(input.features),
    }


def all_pairs_mem_mb(wildcards, input, attempt):
    """As for compute_roi_rdm, the largest region is taken as a quarter of all units."""
    size = all_pairs_size(wildcards, input)
    return attempt * (
        SNAKEMAKE_MB + all_pairs_memory_mb(**size | {"n_units": size["n_units"] // 4})
    )


def all_pairs_runtime(wildcards, input, attempt):
    """Minutes, twice those measured."""
    size = all_pairs_size(wildcards, input)
    n_values = len(STUDY.config["rois"]) * size["n_units"]
    n_values += n_rois(STUDY) * size["n_features"]
    seconds = 2 * ALL_PAIRS_SECONDS * size["n_images"] ** 2 * n_values
    return attempt * (10 + int(seconds / 60))


def in_roi_space(pattern):
    """Path of a ROI result in the space that the config names."""
    return pattern.replace("{space}", STUDY.config["roi_space"])


def nsd_files_of_subjects(space, key):
    """A file of NSD for each subject, if the study uses betas of that space; `key` gives it for a subject."""
    subjects = STUDY.subject_names if space in STUDY.spaces else []
    return [nsd_file(key(subject)) for subject in subjects]


def quality_files():
    """NSD's own account of every subject's voxels and vertices."""
    volume = functools.partial(nsd_files_of_subjects, "func1pt8mm")
    surface = functools.partial(nsd_files_of_subjects, "fsaverage")
    version = STUDY.config["betas_version"]
    return {
        "masks": volume(lambda subject: layout.volume_file(subject, "brainmask")),
        "valid": volume(lambda subject: layout.volume_file(subject, "valid")),
        "volume_regions": volume(
            lambda subject: layout.volume_file(subject, "roi/nsdgeneral")
        ),
        "volume_ncsnr": volume(lambda subject: layout.volume_ncsnr(subject, version)),
        "left_ncsnr": surface(
            lambda subject: layout.surface_ncsnr(subject, version, "fsaverage", "lh")
        ),
        "right_ncsnr": surface(
            lambda subject: layout.surface_ncsnr(subject, version, "fsaverage", "rh")
        ),
        "surface_regions": (
            [
                nsd_file(layout.surface_label("fsaverage", hemisphere, "nsdgeneral"))
                for hemisphere in layout.HEMISPHERES
            ]
            if "fsaverage" in STUDY.spaces
            else []
        ),
    }


def image_brick():
    """The file with all pictures, if it is there: 37 GB that one figure can do without, and that are never fetched."""
    path = nsd_file(layout.IMAGE_BRICK)
    return (
        [path] if STUDY.config["source"] == "miniature" or Path(path).exists() else []
    )


def fsaverage_surfaces():
    """NSD's fsaverage, inflated, to draw maps on; nothing where your own copy of NSD lacks it: then fsaverage5 is drawn."""
    paths = [
        nsd_file(layout.surface("fsaverage", hemisphere, name))
        for name in ("inflated", "sulc")
        for hemisphere in layout.HEMISPHERES
    ]
    at_hand = STUDY.config["source"] != "local" or all(
        Path(path).exists() for path in paths
    )
    return paths if at_hand else []


# Features of a model: of `embed_model` if it has a sentence encoder, of `build_model` if not.
MODEL_FEATURES = "results/models/features/{model}.nc"
ENCODED_MODELS = [name for name in STUDY.models["model"] if STUDY.encoder_row(name)]
BUILT_MODELS = sorted({*STUDY.models["model"]} - {*ENCODED_MODELS})


def identity_of_model(model):
    """What of a model's row enters its features."""
    return {key: STUDY.model_row(model)[key] for key in ("model", "builder", "words")}


def seed_of_model(model):
    """The study's seed, for models that draw."""
    drawn = is_seeded(STUDY.model_row(model), STUDY.encoder_row(model))
    return STUDY.config["seed"] if drawn else None


def tagged_captions(wildcards):
    """Tokens and parts of speech, for a model of one kind of word; nothing for others."""
    kind = STUDY.model_row(wildcards.model)["words"]
    return {} if kind is None else {"tags": rules.tag_captions.output.tags}


def encoder_of_model(wildcards):
    """What of a model's sentence encoder enters its features."""
    row = STUDY.encoder_row(wildcards.model)
    return {key: row[key] for key in ("encoder", "source", "revision", "coco_captions")}


def embedding_runtime(wildcards, attempt):
    """Minutes: 50 sentences a second."""
    return attempt * (15 + CAPTIONS_OF_IMAGE * n_text_images(STUDY) // 50 // 60)


def embedding_disk_mb(wildcards):
    """Features and the vectors of all sentences."""
    return 20 + int(1.2 * features_mb((1 + CAPTIONS_OF_IMAGE) * n_text_images(STUDY)))


def building_disk_mb(wildcards):
    """Features; a matrix of one's own as float32."""
    own = 2 * own_file_mb(STUDY, wildcards.model)
    return 20 + int(1.2 * features_mb(n_text_images(STUDY)) + own)


ENCODER_RECORD = "resources/fetched/encoders/{encoder}.json"


def encoder_record(wildcards):
    """The record of a model's sentence encoder that is fetched from the hub; nothing for others."""
    row = STUDY.encoder_row(wildcards.model)
    fetched = is_on_hub(row["source"])
    return {"encoder_record": ENCODER_RECORD.format(**row)} if fetched else {}


def own_model_file(wildcards):
    """The file of a model that the user brings; nothing for models that the study builds."""
    path = STUDY.model_row(wildcards.model)["path"]
    return {} if path is None else {"file": path}


def every_subject(pattern):
    """One path for each subject in use."""
    return expand(pattern, subject=STUDY.subject_names, allow_missing=True)


def every_model(pattern):
    """One path for each model in use."""
    return expand(pattern, model=STUDY.model_names, allow_missing=True)


def title_of_figure(figure):
    """What a figure of models and regions shows."""
    titles = STUDY.figures.set_index("figure")["title"]
    return titles.get(figure, "Models and regions")


def models_of(figure):
    """Models of a figure of models and regions: all, unless it is one of the control ladder."""
    if figure == "roi-rsa":
        return STUDY.model_names
    require_models_of(figure)
    return STUDY.ladder_figures[figure]


def require_models_of(figure):
    """Refuse a figure of the control ladder, or one all of whose panels lack their models, with what would be needed."""
    wanted = {
        name: cell
        for name, cell in STUDY.figures[["figure", "models"]].itertuples(index=False)
        if re.fullmatch(f"{figure}[a-z]?", name)
    }
    if not set(wanted) & set(STUDY.ladder_figures):
        raise WorkflowError(
            f"{figure}: the study uses too few of its models (config key models); {STUDY.config['figures_table']} names "
            f"{'; '.join(wanted.values()) or 'no such figure'}: the first of them and one more are needed"
        )


def panels_of_figure(figure, kind=""):
    """Files of those panels of a figure of the control ladder that the study has the models for, or of a kind made of them, when they are asked for."""

    def files(wildcards):
        require_models_of(figure)
        return expand(
            "results/figures/{kind}{figure}.{suffix}",
            kind=kind,
            figure=STUDY.panels(figure),
            suffix=["pdf", "png", "tsv"],
        )

    return files


# Distances of one model or region over all image sets, and what ceilings need of a region, in MB.
RDM_MB = rdms_mb(n_image_sets(STUDY), STUDY.config["image_set_size"])
CEILING_MB = ceilings_mb(
    STUDY.config["shared_image_sets"], STUDY.config["image_set_size"], MOST_SHARED
)


# Studies of one job. A run that is stopped loses those of the jobs that were at work.
STUDIES_PER_BLOCK = 50


def calibration_block(wildcards):
    """Numbers of the first study of a block, and how many there are in it."""
    n = n_studies(wildcards.scenario, STUDY.config["calibration"]["studies"])
    first = STUDIES_PER_BLOCK * (int(wildcards.block) - 1) + 1
    return {"first": first, "count": min(STUDIES_PER_BLOCK, n - first + 1)}


def calibration_blocks():
    """Files of all blocks of simulated studies."""
    studies = STUDY.config["calibration"]["studies"]
    return [
        f"results/calibration/blocks/{scenario}_block-{block:04d}.tsv"
        for scenario in SCENARIOS
        for block in range(
            1, 1 + math.ceil(n_studies(scenario, studies) / STUDIES_PER_BLOCK)
        )
    ]


OWN_COPY = "config key local: nsd (docs/real-nsd.md lists what must be there)"


def files_nobody_makes():
    """Files that the study reads and no rule makes, with the place where each is named."""
    files = {}
    for model in {
        *STUDY.model_names,
        *STUDY.config["searchlight"]["models"],
        *STUDY.encoding_models,
        *STUDY.decoding_models,
    }:
        path = STUDY.model_row(model)["path"]
        if path and not path.startswith(MINIATURE_FOLDER):
            files[path] = f"{STUDY.config['models_table']}, model {model}"
    if STUDY.decoding_models and STUDY.config["decoding"]["dictionary"]:
        files[STUDY.config["decoding"]["dictionary"]] = (
            "config key decoding: dictionary"
        )
    if STUDY.config["acceptance_table"]:
        files[study_file(STUDY.config["acceptance_table"])] = (
            "config key acceptance_table"
        )
    if STUDY.config["source"] == "miniature":
        files[study_file(STUDY.config["miniature"]["truth"])] = (
            "config key miniature: truth"
        )
        if STUDY.config["miniature"]["captions"]:
            files[STUDY.config["miniature"]["captions"]] = (
                "config key miniature: captions"
            )
    elif STUDY.config["source"] == "local":
        keys = [layout.EXPERIMENT_DESIGN, layout.STIMULUS_TABLE]
        keys += [
            layout.annotations(kind, split)
            for kind in ("captions", "instances")
            for split in layout.SPLITS
        ]
        keys += [layout.responses(subject) for subject in STUDY.subject_names]
        if "func1pt8mm" in STUDY.spaces:
            for subject in STUDY.subject_names:
                keys.append(layout.volume_file(subject, "brainmask"))
                keys += [
                    layout.volume_betas(
                        subject,
                        STUDY.config["betas_version"],
                        session,
                        suffix=STUDY.config["volume_betas"],
                    )
                    for session in STUDY.sessions(subject)
                ]
        if STUDY.config["searchlight"]["models"]:
            for subject in STUDY.subject_names:
                keys += [
                    layout.transform(subject, hemisphere, name)
                    for hemisphere in layout.HEMISPHERES
                    for name in (
                        *(f"func1pt8-to-{depth}" for depth in layout.DEPTHS),
                        "white-to-fsaverage",
                    )
                ]
        paths = [nsd_file(key) for key in keys]
        if "fsaverage" in STUDY.spaces:
            for subject in STUDY.subject_names:
                for session in STUDY.sessions(subject):
                    paths += surface_betas_files(subject, session)
                paths += white_to_fsaverage(subject) if NATIVE_SURFACE else []
        paths += [path for kind in quality_files().values() for path in kind]
        files |= dict.fromkeys(paths, OWN_COPY)
    return files | roi_files_nobody_makes()


def roi_files_nobody_makes():
    """Files that regions are read from and no rule makes, with the place where each is named."""
    files = {}
    for subject in STUDY.subject_names:
        here = SimpleNamespace(subject=subject, space=STUDY.config["roi_space"])
        sources = (roi_labels, roi_names, roi_indices, roi_mask, roi_ncsnr)
        paths = [path for source in sources for path in source(here)]
        if STUDY.maps:
            outlined = STUDY.outlined_atlas
            paths += STUDY.label_files(outlined, subject, "fsaverage")
            paths.append(STUDY.names_file(outlined, subject))
        for path in paths:
            if not path.startswith(f"{STUDY.nsd_root}/"):
                files[path] = "config keys rois and atlases_table"
            elif STUDY.config["source"] == "local":
                files[path] = OWN_COPY
    return files


try:
    require_files(files_nobody_makes(), STUDY)
except FileNotFoundError as error:
    raise WorkflowError(str(error)) from None
