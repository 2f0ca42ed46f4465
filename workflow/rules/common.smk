"""What all rules share: the checked study, the files of NSD, and digests of the code that a script runs."""

import functools
from pathlib import Path

import yaml

from capcortex.config import (
    MINIATURE_FOLDER,
    load_study,
    require_files,
    searchlight_batches,
)
from capcortex.digests import code_digest
from capcortex.nsd import layout
from capcortex.nsd.betas import averaging_memory_mb
from capcortex.nsd.sessions import (
    surface_extraction_memory_mb,
    volume_extraction_memory_mb,
)
from capcortex.rsa.searchlight import searchlight_memory_mb
from capcortex.text.models import SEEDED

STUDY = load_study(config, STUDY_FOLDER)


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
    return str(STUDY_FOLDER / path)


def nsd_file(key):
    """Path of an NSD file from its key in nsd/layout.py."""
    return f"{STUDY.nsd_root}/{key}"


def nsd_root_of(path):
    """The folder with NSD's tree in which a file of `nsddata` lies."""
    return str(path).partition("/nsddata/")[0]


def session_betas(wildcards):
    """Left and right surface betas of a session."""
    return [
        nsd_file(
            layout.surface_betas(
                wildcards.subject,
                STUDY.config["betas_version"],
                int(wildcards.session),
                hemisphere,
            )
        )
        for hemisphere in layout.HEMISPHERES
    ]


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


def n_trials(wildcards):
    """Trials of a subject over all sessions."""
    row = STUDY.subject_row(wildcards.subject)
    return row["sessions"] * row["trials_per_session"]


def averaging_mem_mb(wildcards, attempt):
    row = STUDY.subject_row(wildcards.subject)
    return attempt * averaging_memory_mb(
        n_trials(wildcards) // 3, row["trials_per_session"]
    )


def atlas_labels(atlases):
    """Label files of atlases on fsaverage, left and right."""
    return [
        nsd_file(layout.surface_label("fsaverage", hemisphere, atlas))
        for atlas in atlases
        for hemisphere in layout.HEMISPHERES
    ]


def atlas_names(atlases):
    """Files with the region names of atlases on fsaverage."""
    return [nsd_file(layout.label_names("fsaverage", atlas)) for atlas in atlases]


def image_brick():
    """The file with all pictures. A copy of the real NSD may lack it: 37 GB that one figure can do without."""
    path = nsd_file(layout.IMAGE_BRICK)
    return (
        [path] if STUDY.config["source"] == "miniature" or Path(path).exists() else []
    )


def fsaverage_surfaces():
    """NSD's fsaverage, inflated, to draw maps on; nothing where a copy of NSD lacks it: then fsaverage5 is drawn."""
    paths = [
        nsd_file(layout.surface("fsaverage", hemisphere, name))
        for name in ("inflated", "sulc")
        for hemisphere in layout.HEMISPHERES
    ]
    at_hand = STUDY.config["source"] == "miniature" or all(
        Path(path).exists() for path in paths
    )
    return paths if at_hand else []


def own_model_file(wildcards):
    """The file of a model that the user brings; nothing for models that the study builds."""
    path = STUDY.model_row(wildcards.model)["path"]
    return {} if path is None else {"file": path}


def every_subject(pattern):
    """One path for each subject in use."""
    return expand(pattern, subject=STUDY.subject_names)


def every_model(pattern):
    """One path for each model in use."""
    return expand(pattern, model=STUDY.model_names)


N_IMAGE_SETS = (
    int(STUDY.subjects["image_sets"].sum()) + STUDY.config["shared_image_sets"]
)
# Distances of one model or region over all image sets, in MB.
RDM_MB = N_IMAGE_SETS * STUDY.config["image_set_size"] ** 2 * 8 / 2**20


def files_nobody_makes():
    """Files that the study reads and no rule makes, with the place where each is named."""
    files = {}
    for model in {*STUDY.model_names, *STUDY.config["searchlight"]["models"]}:
        path = STUDY.model_row(model)["path"]
        if path and not path.startswith(MINIATURE_FOLDER):
            files[path] = f"{STUDY.config['models_table']}, model {model}"
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
    else:
        keys = [layout.EXPERIMENT_DESIGN, layout.STIMULUS_TABLE]
        keys += [
            layout.annotations(kind, split)
            for kind in ("captions", "instances")
            for split in layout.SPLITS
        ]
        keys += [layout.responses(subject) for subject in STUDY.subject_names]
        keys += [
            layout.surface_betas(
                subject, STUDY.config["betas_version"], session, hemisphere
            )
            for subject in STUDY.subject_names
            for session in STUDY.sessions(subject)
            for hemisphere in layout.HEMISPHERES
        ]
        if STUDY.config["searchlight"]["models"]:
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
                keys += [
                    layout.transform(subject, hemisphere, name)
                    for hemisphere in layout.HEMISPHERES
                    for name in (
                        *(f"func1pt8-to-{depth}" for depth in layout.DEPTHS),
                        "white-to-fsaverage",
                    )
                ]
        paths = (
            [nsd_file(key) for key in keys]
            + atlas_labels(STUDY.config["rois"])
            + atlas_names(STUDY.config["rois"])
        )
        files |= dict.fromkeys(
            paths, "config key local: nsd (docs/real-nsd.md lists what must be there)"
        )
    return files


require_files(files_nobody_makes())
