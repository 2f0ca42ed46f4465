"""The miniature NSD against the format reference, with index arithmetic of the test's own."""

import copy
import csv
import hashlib
import json
import re
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from scipy.io import loadmat

from capcortex.nsd import layout
from capcortex.nsd.miniature.brain import write_subject
from capcortex.nsd.miniature.cortex import write_fsaverage
from capcortex.nsd.miniature.design import SUBJECTS, make_design
from capcortex.nsd.miniature.experiment import write_experiment
from capcortex.text.captions import read_categories

SESSIONS = {"subj01": 3, "subj02": 2, "subj03": 2}
RUNS, TRIALS, SHARED, SEED = 2, 125, 60, 11
VERSION = "betas_fithrf_GLMdenoise_RR"
FSAVERAGE = 10242
TRUTH = yaml.safe_load((Path(__file__).parents[2] / "config" / "truth.yaml").read_text(encoding="utf-8"))
DEFAULT_SESSIONS = dict(zip(SUBJECTS, (3, 3, 2, 2, 3, 2, 3, 2), strict=True))
STREAMS = ["early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"]


def make_subject(root, subject, *, twins=False, truth=TRUTH, seed=SEED):
    write_subject(
        root / "nsd",
        root / "truth",
        subject=subject,
        sessions=SESSIONS,
        runs_per_session=RUNS,
        betas_version=VERSION,
        truth=truth,
        seed=seed,
        twins=twins,
    )


def make_experiment(root, *, captions=None, seed=SEED, **changes):
    plan = {"sessions": SESSIONS, "runs_per_session": RUNS, "shared_images": SHARED} | changes
    write_experiment(root / "nsd", root / "truth", root / "word_vectors.txt", **plan, seed=seed, captions=captions)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("miniature")
    make_experiment(root)
    write_fsaverage(root / "nsd", seed=SEED)
    make_subject(root, "subj01", twins=True)
    make_subject(root, "subj02")
    return root


@pytest.fixture(scope="module")
def plan(study):
    return loadmat(study / "nsd" / layout.EXPERIMENT_DESIGN)


@pytest.fixture(scope="module")
def stimuli(study):
    return pd.read_csv(study / "nsd" / layout.STIMULUS_TABLE, index_col=0)


@pytest.fixture(scope="module")
def latents(study):
    with xr.open_dataset(study / "truth" / "latents.nc", engine="h5netcdf") as file:
        return file.load()


def read_responses(study, subject):
    return pd.read_csv(study / "nsd" / layout.responses(subject), sep="\t")


def read_mgh(path):
    return np.asarray(nib.load(path).dataobj)


def index_of(study, hemisphere, name="white-to-fsaverage", subject="subj01"):
    return read_mgh(study / "nsd" / layout.transform(subject, hemisphere, name)).ravel()


def volume(study, name, subject="subj01"):
    return np.asarray(nib.load(study / "nsd" / layout.volume_file(subject, name)).dataobj)


def surface_truth(study, subject="subj01"):
    with xr.open_dataset(study / "truth" / f"{subject}_surface.nc", engine="h5netcdf") as file:
        return file.load()


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# The plan and the behaviour


def test_plan_has_matlab_doubles_of_the_right_shape(study, plan):
    per_subject = 3 * TRIALS // 3
    shapes = {
        "masterordering": (1, 3 * TRIALS),
        "subjectim": (8, per_subject),
        "sharedix": (1, SHARED),
        "basiccnt": (3, 3),
        "stimpattern": (3, RUNS, 75),
    }
    assert {name: plan[name].shape for name in shapes} == shapes
    raw = (study / "nsd" / layout.EXPERIMENT_DESIGN).read_bytes()
    assert raw.startswith(b"MATLAB 5.0 MAT-file")
    stored = loadmat(study / "nsd" / layout.EXPERIMENT_DESIGN, mat_dtype=True)
    assert all(stored[name].dtype == np.float64 for name in shapes)
    assert plan["stimpattern"].sum(axis=2).tolist() == [[63, 62]] * 3


def test_ids_count_from_one_and_shared_images_come_first_in_order(plan):
    images = plan["subjectim"].astype(int)
    shared = plan["sharedix"].ravel().astype(int)
    assert (np.diff(shared) > 0).all()
    assert (images[:, :SHARED] == shared).all()
    assert sorted(set(images.ravel().tolist())) == list(range(1, SHARED + 8 * 65 + 1))
    own = images[:, SHARED:]
    assert len(np.unique(own)) == own.size
    assert all((np.diff(row) < 0).any() for row in own)
    assert abs(np.corrcoef(np.arange(own.size), own.ravel())[0, 1]) < 0.2


def test_every_image_is_planned_three_times(plan):
    assert (np.bincount(plan["masterordering"].ravel().astype(int))[1:] == 3).all()
    sessions = plan["masterordering"].astype(int).reshape(3, TRIALS)
    expected = [[(np.bincount(session) == times).sum() for session in sessions] for times in (1, 2, 3)]
    assert plan["basiccnt"].tolist() == expected


@pytest.mark.parametrize("seed", range(10))
def test_default_study_gives_short_subjects_enough_images(seed):
    design = make_design(sessions=DEFAULT_SESSIONS, runs_per_session=6, shared_images=175, seed=seed)
    assert design.images == 1775
    thrice = np.bincount(design.master_ordering[: 2 * 375], minlength=376)[1:] == 3
    assert 200 <= thrice.sum() < 300
    assert thrice[:175].sum() >= 100
    assert thrice.mean() > 1.5 * (2 / 3) ** 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sessions": {"subj01": 2}}, "divisible by 3"),
        ({"shared_images": 125}, "choose 1 to 124"),
        ({"sessions": {"subj09": 3}}, "subj09"),
    ],
)
def test_a_plan_that_does_not_come_out_even_is_refused(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        make_experiment(tmp_path, **changes)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("subject", list(SESSIONS))
def test_responses_follow_the_plan(study, plan, subject):
    table = read_responses(study, subject)
    header = (study / "nsd" / layout.responses(subject)).read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "SUBJECT\tSESSION\tRUN\tTRIAL\t73KID\t10KID\tTIME\tISOLD\tISCORRECT\tRT\tCHANGEMIND\tMEMORYRECENT\t"
        "MEMORYFIRST\tISOLDCURRENT\tISCORRECTCURRENT\tTOTAL1\tTOTAL2\tBUTTON\tMISSINGDATA"
    )
    ordering = plan["masterordering"].ravel().astype(int)
    row = int(subject[-2:]) - 1
    count = SESSIONS[subject] * TRIALS
    assert len(table) == count
    assert table["10KID"].tolist() == ordering[:count].tolist()
    assert table["73KID"].tolist() == plan["subjectim"].astype(int)[row, ordering - 1][:count].tolist()
    assert (table["SUBJECT"] == row + 1).all()
    assert table.groupby("SESSION").size().tolist() == [TRIALS] * SESSIONS[subject]
    assert (
        table.groupby(["SESSION", "RUN"])["TRIAL"].agg(["min", "max"]).to_numpy().tolist()
        == [
            [1, 63],
            [1, 62],
        ]
        * SESSIONS[subject]
    )
    assert (np.diff(table["TIME"]) > 0).all()


def test_memory_columns_tell_what_was_shown_before(study):
    table = read_responses(study, "subj01")
    first, last = {}, {}
    for trial, row in table.iterrows():
        number = row["10KID"]
        assert row["ISOLD"] == (number in last)
        if number in last:
            assert row["MEMORYRECENT"] == trial - last[number] - 1
            assert row["ISOLDCURRENT"] == (last[number] // TRIALS == trial // TRIALS)
        else:
            assert np.isnan(row["MEMORYRECENT"])
        third = number in last and last[number] != first[number]
        assert row["MEMORYFIRST"] == trial - first[number] - 1 if third else np.isnan(row["MEMORYFIRST"])
        first.setdefault(number, trial)
        last[number] = trial
    answered = table.dropna(subset=["BUTTON"])
    assert len(answered) < len(table)
    assert (answered["ISCORRECT"] == ((answered["BUTTON"] == 2) == (answered["ISOLD"] == 1))).all()
    assert (answered["ISCORRECTCURRENT"] == ((answered["BUTTON"] == 2) == (answered["ISOLDCURRENT"] == 1))).all()
    both = (answered["TOTAL1"] > 0) & (answered["TOTAL2"] > 0)
    assert (answered["CHANGEMIND"] == both).all()
    assert answered["ISCORRECT"].mean() > 0.6


def test_one_run_of_one_subject_has_no_button_data(study):
    lost = {subject: read_responses(study, subject).query("MISSINGDATA == 1") for subject in SESSIONS}
    assert [subject for subject, rows in lost.items() if len(rows)] == ["subj03"]
    rows = lost["subj03"]
    assert len(rows.groupby(["SESSION", "RUN"])) == 1
    names = ["ISCORRECT", "RT", "CHANGEMIND", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON"]
    assert rows[names].isna().all(axis=None)
    assert rows["ISOLD"].notna().all()


# Images, captions, annotations


def test_stimulus_table(study, stimuli, plan):
    lines = (study / "nsd" / layout.STIMULUS_TABLE).read_text(encoding="utf-8").splitlines()
    header = next(csv.reader(lines[:1]))
    assert len(header) == 41
    assert header[:10] == [
        "",
        "cocoId",
        "cocoSplit",
        "cropBox",
        "loss",
        "nsdId",
        "flagged",
        "BOLD5000",
        "shared1000",
        "subject1",
    ]
    assert header[17:21] == ["subject1_rep0", "subject1_rep1", "subject1_rep2", "subject2_rep0"]
    assert '"(0' in lines[1] or '"(' in lines[1]
    assert re.search(r",(True|False),(True|False),(True|False),", lines[1])
    assert (stimuli["nsdId"] == np.arange(len(stimuli))).all()
    assert (stimuli.index == stimuli["nsdId"]).all()
    assert (np.flatnonzero(stimuli["shared1000"]) + 1).tolist() == plan["sharedix"].ravel().tolist()
    boxes = np.array([json.loads(box.replace("(", "[").replace(")", "]")) for box in stimuli["cropBox"]])
    assert ((boxes == 0).sum(axis=1) >= 2).all()
    assert (boxes.sum(axis=1) < 0.4).all()


def test_trial_ids_of_the_stimulus_table_are_those_of_the_plan(stimuli, plan):
    ordering = plan["masterordering"].ravel().astype(int)
    for subject in (1, 3, 8):
        shown = plan["subjectim"].astype(int)[subject - 1, ordering - 1]
        repeats = stimuli[[f"subject{subject}_rep{i}" for i in range(3)]].to_numpy()
        assert repeats.max() == 3 * TRIALS  # beyond what short subjects completed
        for column in repeats.T:
            rows = np.flatnonzero(column)
            assert (shown[column[rows] - 1] == rows + 1).all()
        seen = repeats[:, 0] > 0
        assert (stimuli[f"subject{subject}"] == seen).all()
        assert (np.diff(repeats[seen], axis=1) > 0).all()


def read_annotations(study, kind, split):
    return json.loads((study / "nsd" / layout.annotations(kind, split)).read_text(encoding="utf-8"))


def test_annotation_files_have_the_keys_of_coco(study, stimuli):
    every = []
    for split in ("train2017", "val2017"):
        captions, instances = (read_annotations(study, kind, split) for kind in ("captions", "instances"))
        assert set(captions) == {"info", "licenses", "images", "annotations"}
        assert set(instances) == {"info", "licenses", "images", "annotations", "categories"}
        assert {key for image in captions["images"] for key in image} == {
            "license", "file_name", "coco_url", "height", "width", "date_captured", "flickr_url", "id",
        }  # fmt: skip
        assert set(captions["annotations"][0]) == {"image_id", "id", "caption"}
        assert set(instances["annotations"][0]) == {
            "segmentation", "area", "iscrowd", "image_id", "bbox", "category_id", "id",
        }  # fmt: skip
        assert len(instances["categories"]) == 80
        assert {"supercategory": "animal", "id": 18, "name": "dog"} in instances["categories"]
        ids = [image["id"] for image in captions["images"]]
        assert set(ids) == set(stimuli.loc[stimuli["cocoSplit"] == split, "cocoId"])
        assert ids != sorted(ids)
        every += ids
    assert sorted(every) == sorted(stimuli["cocoId"])
    assert not stimuli["cocoId"].is_monotonic_increasing


def test_captions_are_sentences_with_the_oddities_of_coco(study):
    files = [read_annotations(study, "captions", split)["annotations"] for split in ("train2017", "val2017")]
    texts = [entry["caption"] for entries in files for entry in entries]
    counts = pd.Series([entry["image_id"] for entries in files for entry in entries]).value_counts()
    assert set(counts) > {5}
    assert 5 <= counts.min() <= counts.max() <= 7
    assert sum("\n" in text for text in texts) == 1
    assert any(text != text.strip() for text in texts)
    assert any(text.strip()[-1] != "." for text in texts)
    assert any(text.isupper() for text in texts)
    words = [len(text.split()) for text in texts]
    assert 7 <= min(words) <= max(words) <= 20
    assert len(set(texts)) > 0.9 * len(texts)
    looks = (
        "bright dark blurry sharp colour color contrast cluttered messy tilted warm grey red blue green texture striped"
    )
    spoken = {word.strip(".,").lower() for text in texts for word in text.split()}
    assert not spoken & set(looks.split())


def test_some_image_has_no_category_and_one_thing_is_a_crowd(study, stimuli):
    found = [read_annotations(study, "instances", split)["annotations"] for split in ("train2017", "val2017")]
    annotations = [entry for entries in found for entry in entries]
    bare = set(stimuli["cocoId"]) - {entry["image_id"] for entry in annotations}
    assert 1 <= len(bare) < 0.03 * len(stimuli)
    crowds = [entry for entry in annotations if entry["iscrowd"]]
    assert len(crowds) == 1
    code = crowds[0]["segmentation"]
    assert sum(code["counts"]) == np.prod(code["size"])
    assert min(code["counts"]) >= 0
    plain = next(entry for entry in annotations if not entry["iscrowd"])
    assert isinstance(plain["segmentation"][0], list)


def test_pictures(study, plan, stimuli):
    with h5py.File(study / "nsd" / layout.IMAGE_BRICK) as file:
        brick = file["imgBrick"][:]
    assert brick.shape == (len(stimuli), 64, 64, 3)
    assert brick.dtype == np.uint8
    assert (brick.std(axis=(1, 2, 3)) > 1).all()
    names = sorted(path.name for path in (study / "nsd" / layout.SHARED_PICTURES).iterdir())
    shared = plan["sharedix"].ravel().astype(int)
    assert names == [f"shared{m:04d}_nsd{k:05d}.png" for m, k in enumerate(shared, start=1)]
    from PIL import Image

    for name in names[:3]:
        picture = np.asarray(Image.open(study / "nsd" / layout.SHARED_PICTURES / name))
        assert (picture == brick[int(name[-9:-4]) - 1]).all()


# Latents


def test_latents_are_standardised_in_blocks_of_equal_variance(latents, stimuli):
    values, block = latents["latents"].values, latents["block"].values
    assert latents["id73k"].values.tolist() == list(range(1, len(stimuli) + 1))
    assert values.dtype == np.float32
    assert set(block) == {"objects", "people", "setting", "action", "mood", "picture"}
    assert np.allclose(values.mean(axis=0), 0, atol=1e-6)
    for name in set(block):
        variance = values[:, block == name].var(axis=0)
        assert np.allclose(variance, variance[0], rtol=1e-4)
        assert np.isclose(variance.sum(), 1, rtol=1e-4)


def test_picture_attributes_tell_nothing_of_the_scene(latents):
    values, picture = latents["latents"].values, latents["block"].values == "picture"
    together = np.corrcoef(values.T)[np.ix_(picture, ~picture)]
    assert np.sqrt((together**2).mean()) < 1.3 / np.sqrt(len(values))
    from scipy.spatial.distance import pdist

    distances = [pdist(values[:, chosen], "cosine") for chosen in (picture, ~picture)]
    assert abs(np.corrcoef(*distances)[0, 1]) < 0.02


def test_picture_attributes_show_in_the_pictures(study):
    attributes = pd.read_csv(study / "truth" / "picture_attributes.tsv", sep="\t")
    assert attributes.shape[1] - 1 >= 8
    with h5py.File(study / "nsd" / layout.IMAGE_BRICK) as file:
        brick = file["imgBrick"][:].astype(float)
    assert np.corrcoef(attributes["brightness"], brick.mean(axis=(1, 2, 3)))[0, 1] > 0.7
    warm = brick[..., 0].mean(axis=(1, 2)) - brick[..., 2].mean(axis=(1, 2))
    assert np.corrcoef(attributes["warmth"], warm)[0, 1] > 0.4


def test_relatives_are_nearer_than_strangers(latents):
    values = latents["latents"].sel(feature=["objects: dog", "objects: cat", "objects: car"]).values
    together = np.corrcoef(values.T)
    assert together[0, 1] > together[0, 2] + 0.1


def test_latents_belong_to_the_images_whose_captions_tell_them(study, latents, stimuli):
    said = {}
    for split in ("train2017", "val2017"):
        for entry in read_annotations(study, "captions", split)["annotations"]:
            said.setdefault(entry["image_id"], []).append(entry["caption"].lower())
    by_words = np.array(["tennis" in " ".join(said[coco]) for coco in stimuli["cocoId"]], float)
    feature = latents["latents"].sel(feature="setting: tennis court").values
    assert np.corrcoef(by_words, feature)[0, 1] > 0.8
    assert np.corrcoef(np.roll(by_words, 1), feature)[0, 1] < 0.2


# Surfaces


def test_fsaverage_surfaces_and_labels(study):
    nsd = study / "nsd"
    totals = np.zeros(8, int)
    for hemisphere in ("lh", "rh"):
        for name in ("white", "pial", "inflated", "sphere"):
            points, faces = nib.freesurfer.read_geometry(nsd / layout.surface("fsaverage", hemisphere, name))
            assert points.shape == (FSAVERAGE, 3)
            assert faces.max() == FSAVERAGE - 1
        for name in ("sulc", "curv"):
            assert len(nib.freesurfer.read_morph_data(nsd / layout.surface("fsaverage", hemisphere, name))) == FSAVERAGE
        labels = {}
        for atlas in ("streams", "nsdgeneral", "Kastner2015", "HCP_MMP1", "corticalsulc"):
            image = nib.load(nsd / layout.surface_label("fsaverage", hemisphere, atlas))
            assert image.shape == (FSAVERAGE, 1, 1)
            assert image.get_data_dtype() == np.dtype(">f4")
            labels[atlas] = np.asarray(image.dataobj).ravel().astype(int)
        totals += np.bincount(labels["streams"], minlength=8)
        assert (labels["nsdgeneral"][labels["streams"] > 0] == 1).all()
        assert set(labels["HCP_MMP1"]) == set(range(181))
        assert labels["Kastner2015"].max() == 25
        pial = nib.freesurfer.read_geometry(nsd / layout.surface("fsaverage", hemisphere, "pial"))[0]
        middle = {name: pial[labels["streams"] == i].mean(axis=0) for i, name in enumerate(STREAMS, start=1)}
        assert middle["early"][1] < -75
        assert middle["ventral"][2] < -5 < 30 < middle["parietal"][2]
        assert abs(middle["lateral"][0]) > abs(middle["early"][0]) + 20
    assert (totals[1:] >= 250).all()
    assert (totals[1:] <= 700).all()
    assert not (nsd / layout.surface_label("fsaverage", "lh", "floc-faces")).exists()


def test_label_names_have_the_format_of_the_release(study):
    def lines(owner, atlas):
        return (study / "nsd" / layout.label_names(owner, atlas)).read_text(encoding="utf-8").splitlines()

    assert lines("fsaverage", "streams") == ["0 Unknown", *(f"{i} {n}" for i, n in enumerate(STREAMS, start=1))]
    kastner = lines("fsaverage", "Kastner2015")
    assert kastner[1] == "1 V1v\t    "
    assert [line.split()[1] for line in kastner][10:13] == ["PHC1", "PHC2", "TO2"]
    assert kastner[25].split() == ["25", "FEF"]
    assert lines("fsaverage", "HCP_MMP1")[18] == "18 FFC"
    assert len(lines("fsaverage", "HCP_MMP1")) == 181
    areas = [line.split()[1] for line in lines("subj01", "prf-visualrois")[1:]]
    assert areas == ["V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"]
    assert lines("subj01", "floc-places") == ["0 Unknown", "1 OPA", "2 PPA", "3 RSC"]


def test_transforms_between_surfaces_count_from_one_per_hemisphere(study):
    counts = {}
    for hemisphere in ("lh", "rh"):
        index = index_of(study, hemisphere)
        points, faces = nib.freesurfer.read_geometry(study / "nsd" / layout.surface("subj01", hemisphere, "sphere"))
        counts[hemisphere] = len(points)
        assert (np.sort(np.unique(faces)) == np.arange(len(points))).all()
        assert (index == index.astype(int)).all()
        common = nib.freesurfer.read_geometry(study / "nsd" / layout.surface("fsaverage", hemisphere, "sphere"))[0]
        for vertex in (0, 17, 5000, FSAVERAGE - 1):
            assert np.linalg.norm(points - common[vertex], axis=1).argmin() == index[vertex] - 1
        back = index_of(study, hemisphere, "fsaverage-to-white")
        assert back.min() >= 1
        assert back.max() <= FSAVERAGE
        for vertex in (0, 4321):
            assert np.linalg.norm(common - points[vertex], axis=1).argmin() == back[vertex] - 1
        assert index.min() >= 1
        assert len(np.unique(index)) < len(points)
    assert index_of(study, "lh").max() < counts["lh"]
    assert index_of(study, "rh").max() == counts["rh"]
    assert counts["lh"] != counts["rh"]
    assert all(9700 <= count <= 10100 for count in counts.values())
    assert abs(np.corrcoef(index_of(study, "lh"), np.arange(FSAVERAGE))[0, 1]) < 0.1


def test_surface_betas_and_their_native_twins(study):
    for hemisphere in ("lh", "rh"):
        index = index_of(study, hemisphere).astype(int)
        for session in (1, 2, 3):
            path = study / "nsd" / layout.surface_betas("subj01", VERSION, session, hemisphere)
            image = nib.load(path)
            assert image.shape == (FSAVERAGE, 1, 1, TRIALS)
            assert image.get_data_dtype() == np.dtype(">f4")
            assert 284 + FSAVERAGE * TRIALS * 4 <= path.stat().st_size < 284 + FSAVERAGE * TRIALS * 4 + 100
            common = np.asarray(image.dataobj)[:, 0, 0, :]
            with h5py.File(study / "nsd" / layout.native_betas("subj01", VERSION, session, hemisphere)) as file:
                betas = file["betas"]
                assert betas.dtype == np.dtype("<i2")
                assert betas.shape[0] == TRIALS
                assert betas.chunks == (TRIALS, 1)
                native = betas[:]
            twin = native[:, index - 1].T / 300
            gone = np.isnan(common)
            assert (gone.all(axis=1) == gone.any(axis=1)).all()
            assert bool(gone.any()) == (session == 2)
            assert (twin[gone] == 0).all()
            assert np.abs(common - twin)[~gone].max() < 1 / 600 + 1e-4
            assert 0.5 < common[~gone.any(axis=1)].std(axis=1).mean() < 3


def test_missing_vertices_lie_within_regions_too(study):
    truth = surface_truth(study)
    assert (~truth["valid"].values).sum() > 20
    labels = truth["region"].values[~truth["valid"].values]
    assert {1, 5, 6} <= set(labels.tolist())
    path = study / "nsd" / layout.surface_betas("subj01", VERSION, 2, "lh")
    gone = np.isnan(np.asarray(nib.load(path).dataobj)[:, 0, 0, 0])
    assert (gone == ~truth["valid"].values[:FSAVERAGE]).all()
    assert surface_truth(study, "subj02")["valid"].values.all()


def test_native_labels_lie_where_the_common_ones_do(study):
    for hemisphere in ("lh", "rh"):
        native = read_mgh(study / "nsd" / layout.surface_label("subj01", hemisphere, "streams")).ravel()
        common = read_mgh(study / "nsd" / layout.surface_label("fsaverage", hemisphere, "streams")).ravel()
        back = index_of(study, hemisphere, "fsaverage-to-white").astype(int)
        assert (native == common[back - 1]).all()
        assert read_mgh(study / "nsd" / layout.surface_label("subj01", hemisphere, "floc-faces")).max() == 5


# Volumes


def header(path):
    import gzip

    with gzip.open(path) as handle:
        return nib.Nifti1Header(handle.read(348), check=False)


def test_volume_headers_are_those_of_the_release(study):
    betas = header(study / "nsd" / layout.volume_betas("subj01", VERSION, 1))
    x, y, z = (int(side) for side in betas["dim"][1:4])
    assert len({x, y, z}) == 3
    assert betas["dim"][0] == 4
    assert betas["dim"][4] == TRIALS
    assert betas.endianness == "<"
    assert int(betas["sizeof_hdr"]) == 348
    assert float(betas["vox_offset"]) == 352
    assert betas["magic"].item() == b"n+1"
    assert betas["datatype"] == 4
    assert betas["qform_code"] == 0
    assert betas["sform_code"] == 1
    assert float(betas["scl_slope"]) == 0
    assert float(betas["scl_inter"]) == 0
    assert betas["xyzt_units"] == 0
    assert betas["aux_file"].item() == b"none"
    assert betas["pixdim"][:5].tolist() == np.float32([0, 1.8, 1.8, 1.8, 1.3333334]).tolist()
    sform = np.array([betas["srow_x"], betas["srow_y"], betas["srow_z"]])
    assert np.allclose(sform[:, :3], 1.8 * np.eye(3))
    assert np.allclose(sform[:, 3], [-0.9 * (side - 1) for side in (x, y, z)])
    for name in ("brainmask", "roi/streams"):
        assert header(study / "nsd" / layout.volume_file("subj01", name))["pixdim"][4] == 1
    image = nib.load(study / "nsd" / layout.volume_betas("subj01", VERSION, 1))
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    raw = (study / "nsd" / layout.volume_betas("subj01", VERSION, 1)).read_bytes()
    assert raw[:2] == b"\x1f\x8b"
    assert raw[4:8] == bytes(4)
    other = header(study / "nsd" / layout.volume_betas("subj02", VERSION, 1))
    assert other["dim"][1:4].tolist() != [x, y, z]


def test_volume_betas_and_their_hdf5_twins(study):
    mask = volume(study, "brainmask") > 0
    for session in (1, 2, 3):
        image = nib.load(study / "nsd" / layout.volume_betas("subj01", VERSION, session))
        values = np.asarray(image.dataobj)
        assert values.dtype == np.int16
        assert (values[~mask] == 0).all()
        path = study / "nsd" / layout.volume_betas("subj01", VERSION, session, suffix="hdf5")
        with h5py.File(path) as file:
            betas = file["betas"]
            assert list(file) == ["betas"]
            assert betas.dtype == np.dtype("<i2")
            assert betas.shape == (TRIALS, *mask.shape[::-1])
            assert betas.chunks == (TRIALS, 1, 1, 1)
            assert betas.compression is None
            assert not dict(betas.attrs)
            chunks = [betas.id.get_chunk_info(number) for number in (0, 1, mask.shape[0])]
            assert [chunk.chunk_offset for chunk in chunks] == [(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0)]
            assert chunks[1].byte_offset == chunks[0].byte_offset + 2 * TRIALS
            assert (betas[:].transpose(3, 2, 1, 0) == values).all()
        valid = volume(study, f"valid_session{session:02d}")
        assert valid.dtype == np.int16
        assert ((values == 0).all(axis=3) == (~mask | (valid == 0))).all()
        assert bool((valid[mask] == 0).any()) == (session == 2)
    assert np.allclose(np.unique(volume(study, "valid")), [2 / 3, 1])
    assert (path.read_bytes()[8]) == 0  # superblock version 0: the oldest format


def test_volume_masks_and_regions(study):
    mask = volume(study, "brainmask")
    assert mask.dtype == np.int16
    assert set(np.unique(mask)) == {0, 1}
    names = ["streams", "nsdgeneral", "Kastner2015", "HCP_MMP1", "corticalsulc", "prf-visualrois", "prf-eccrois"]
    for name in [*names, "floc-faces", "floc-bodies", "floc-places", "floc-words"]:
        both, left, right = (volume(study, f"roi/{prefix}{name}") for prefix in ("", "lh.", "rh."))
        assert both.dtype == np.float64
        assert both.min() == left.min() == right.min() == -1
        assert both.max() >= 1
        assert not ((left >= 0) & (right >= 0)).any()
        assert (both == np.where(left >= 0, left, right)).all()
        assert (mask[both >= 0] == 1).all()
        assert (both == 0).any()
    streams = volume(study, "roi/streams")
    assert set(np.unique(streams)) == set(range(-1, 8))
    assert np.argwhere(streams == 1)[:, 1].mean() < np.argwhere(streams == 0)[:, 1].mean() - 8
    left = np.argwhere(volume(study, "roi/lh.streams") >= 0)[:, 0].mean()
    assert left < np.argwhere(volume(study, "roi/rh.streams") >= 0)[:, 0].mean() - 8
    assert volume(study, "mean")[mask > 0].min() > 0


def test_transforms_to_the_volume(study):
    streams = volume(study, "roi/streams")
    for number, hemisphere in enumerate(("lh", "rh")):
        labels = read_mgh(study / "nsd" / layout.surface_label("subj01", hemisphere, "streams")).ravel()
        own = volume(study, f"roi/{hemisphere}.streams")
        for depth in ("layerB1", "layerB2", "layerB3", "white", "pial"):
            image = nib.load(study / "nsd" / layout.transform("subj01", hemisphere, f"func1pt8-to-{depth}"))
            assert image.shape == (len(labels), 1, 1, 3)
            assert image.get_data_dtype() == np.dtype(">f4")
            points = np.asarray(image.dataobj).reshape(-1, 3)
            gone = (points == 9999).any(axis=1)
            assert gone.sum() == 6
            for axis in range(3):
                assert (points[~gone, axis] == 1).any()
                assert (points[~gone, axis] == streams.shape[axis]).any()
            assert points[~gone].min() >= 1
            assert (points[~gone] <= streams.shape).all()
            planted = (labels > 0) & ~gone
            voxels = tuple(np.rint(points[planted]).astype(int).T - 1)
            assert (own[voxels] >= 0).mean() > 0.8, (number, depth)
            if depth == "layerB2":
                assert (streams[voxels] == labels[planted]).mean() > 0.75
                shifted = tuple(
                    np.clip(np.rint(points[planted]).astype(int).T + 4, 0, np.array(own.shape)[:, None] - 1)
                )
                assert (streams[shifted] == labels[planted]).mean() < 0.5


# The planted truth


def zscored(study, subject):
    """(trial, vertex) of all sessions, lh then rh, z-scored by the test's own formula."""
    parts = []
    for session in range(1, SESSIONS[subject] + 1):
        sides = [
            read_mgh(study / "nsd" / layout.surface_betas(subject, VERSION, session, hemisphere))[:, 0, 0]
            for hemisphere in ("lh", "rh")
        ]
        betas = np.vstack(sides).T
        parts.append((betas - betas.mean(axis=0)) / betas.std(axis=0, ddof=1))
    return np.vstack(parts)


def planted_signal(study, latents, subject):
    truth = surface_truth(study, subject)
    images = read_responses(study, subject)["73KID"].to_numpy()
    return truth, latents["latents"].values[images - 1] @ truth["mixing"].values.T


def test_betas_hold_the_planted_signal_and_no_other(study, latents):
    betas = zscored(study, "subj02")
    truth, signal = planted_signal(study, latents, "subj02")
    answering = np.abs(truth["mixing"].values).sum(axis=1) > 0
    region = truth["region"].values
    labels = [STREAMS.index(name) + 1 for name in TRUTH["regions"]]
    assert set(region[answering]) == set(labels)
    assert all(answering[region == label].mean() > 0.8 for label in labels)
    z = (signal[:, answering] - signal[:, answering].mean(axis=0)) / signal[:, answering].std(axis=0)
    r = (betas[:, answering] * z).mean(axis=0)
    # The part of a trial's variance that is signal follows from the planted sizes.
    ratio = signal[:, answering].std(axis=0) / truth["noise_sd"].values[answering]
    expected = ratio / np.sqrt(1 + ratio**2)
    assert abs(r.mean() - expected.mean()) < 0.02
    wrong = np.roll(z, 1, axis=0)
    assert abs((betas[:, answering] * wrong).mean()) < 0.02
    # Elsewhere: no more in common with any latent than noise has.
    silent = ~answering & (region > 0)
    assert silent.sum() > 400
    shown = latents["latents"].values[read_responses(study, "subj02")["73KID"].to_numpy() - 1]
    shown = (shown - shown.mean(axis=0)) / (shown.std(axis=0) + 1e-9)
    by_chance = (shown.T @ betas[:, silent] / len(betas)) ** 2
    assert abs(by_chance.mean() * len(betas) - 1) < 0.1


def test_blocks_have_the_planted_shares(study, latents):
    truth = surface_truth(study)
    values, block = latents["latents"].values, latents["block"].values
    mixing, region = truth["mixing"].values, truth["region"].values
    for name, plan_of_region in TRUTH["regions"].items():
        own = mixing[region == STREAMS.index(name) + 1]
        own = own[np.abs(own).sum(axis=1) > 0]
        for part in set(block):
            parts = (own[:, block == part] @ values[:, block == part].T).var(axis=1)
            total = sum((own[:, block == other] @ values[:, block == other].T).var(axis=1) for other in set(block))
            assert np.allclose(parts / total, plan_of_region["blocks"].get(part, 0), atol=1e-3)


def test_ncsnr_is_near_what_was_planted_and_follows_its_definition(study, latents):
    truth, _ = planted_signal(study, latents, "subj01")
    measured = np.concatenate(
        [
            read_mgh(study / "nsd" / layout.surface_ncsnr("subj01", VERSION, "fsaverage", h)).ravel()
            for h in ("lh", "rh")
        ]
    )
    planted = (truth["mixing"].values @ latents["latents"].values.T).std(axis=1) / truth["noise_sd"].values
    for name, plan_of_region in TRUTH["regions"].items():
        here = (truth["region"].values == STREAMS.index(name) + 1) & (planted > 0)
        assert abs(np.median(measured[here]) / np.median(planted[here]) - 1) < 0.15
        assert abs(np.median(planted[here]) / plan_of_region["ncsnr"] - 1) < 0.4
    assert np.median(measured[planted == 0]) < 0.2
    assert (measured[planted == 0] == 0).mean() > 0.3
    images = read_responses(study, "subj01")["73KID"].to_numpy()
    betas = zscored(study, "subj01")
    trials = np.array([np.flatnonzero(images == image) for image in np.unique(images) if (images == image).sum() == 3])
    noise = np.nanmean(betas[trials].var(axis=1, ddof=1), axis=0)
    assert np.allclose(measured, np.sqrt(np.maximum(0, 1 - noise)) / np.sqrt(noise), atol=2e-3)


def test_volume_answers_as_the_cortex_in_it(study, latents):
    with xr.open_dataset(study / "truth" / "subj01_volume.nc", engine="h5netcdf") as file:
        truth = file.load()
    streams = volume(study, "roi/streams")
    where = tuple(truth[axis].values for axis in "ijk")
    assert (streams[where] == truth["region"].values).all()
    betas = np.asarray(nib.load(study / "nsd" / layout.volume_betas("subj01", VERSION, 3)).dataobj)[where] / 300
    images = read_responses(study, "subj01")["73KID"].to_numpy()[2 * TRIALS :]
    signal = (latents["latents"].values[images - 1] @ truth["mixing"].values.T).T
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(betas, signal, strict=True)]
    assert np.mean(r) > 0.3
    ncsnr = np.asarray(nib.load(study / "nsd" / layout.volume_ncsnr("subj01", VERSION)).dataobj)
    mask = volume(study, "brainmask") > 0
    assert ncsnr.dtype == np.float32
    assert np.isnan(ncsnr[~mask]).all()
    assert np.nanmedian(ncsnr[where]) > 0.3
    away = mask & (streams < 1)
    assert np.nanmedian(ncsnr[away]) < 0.15
    folder = study / "nsd" / layout.betas_folder("subj01", "func1pt8mm", VERSION)
    for name in ("ncsnr_split1", "ncsnr_split2", "meanbeta", "R2"):
        assert nib.load(folder / f"{name}.nii.gz").get_data_dtype() == np.float32
    assert 150 < np.nanmedian(np.asarray(nib.load(folder / "meanbeta.nii.gz").dataobj)[mask]) < 600


def test_brains_differ_in_their_mixing(study):
    first, second = (surface_truth(study, subject) for subject in ("subj01", "subj02"))
    both = (first["region"].values == 5) & (np.abs(first["mixing"].values).sum(1) > 0)
    r = np.corrcoef(first["mixing"].values[both].ravel(), second["mixing"].values[both].ravel())[0, 1]
    assert abs(r) < 0.5


def test_people_are_alike_at_the_same_place_only(study):
    first, second = (surface_truth(study, subject) for subject in ("subj01", "subj02"))
    # Nothing is preferred in midventral, so that no sign was turned.
    both = np.flatnonzero((first["region"].values == 2) & (np.abs(first["mixing"].values).sum(1) > 0))
    both = both[np.abs(second["mixing"].values[both]).sum(1) > 0]
    objects = np.flatnonzero(first["block"].values == "objects")
    one, other = (brain["mixing"].values[np.ix_(both, objects)] for brain in (first, second))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    shifted = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, np.roll(other, len(both) // 2, axis=0), strict=True)]
    # Where native vertices of two people fall on different vertices of fsaverage they have nothing in common.
    assert 0.3 * TRUTH["alike"] < np.mean(r) < 1.1 * TRUTH["alike"]
    assert abs(np.mean(shifted)) < 0.05


def test_units_prefer_what_they_were_made_to_prefer(study, latents):
    truth = surface_truth(study)
    folder = study / "nsd"
    objects = read_categories(
        folder / layout.STIMULUS_TABLE, [folder / layout.annotations("instances", split) for split in layout.SPLITS]
    )
    ids = latents["id73k"].values
    people, food = (np.isin(ids, objects.loc[objects["supercategory"] == kind, "id73k"]) for kind in ("person", "food"))
    kinds = {"people": people & ~food, "places": ~people & ~food, "food": food & ~people}
    response = truth["mixing"].values @ latents["latents"].values.T
    for number, (more, less) in enumerate(TRUTH["preferences"]["pairs"], start=1):
        units = truth["prefers"].values == number
        difference = response[units][:, kinds[more]].mean(axis=1) - response[units][:, kinds[less]].mean(axis=1)
        assert units.sum() > 100
        assert (difference > 0).mean() > 0.9
    # Both hemispheres, and no other region.
    assert set(truth["region"].values[truth["prefers"].values > 0]) == {5, 6, 7}
    assert (truth["prefers"].values[:FSAVERAGE] > 0).any()
    assert (truth["prefers"].values[FSAVERAGE:] > 0).any()


def test_sessions_differ_in_offset(study):
    means = [
        read_mgh(study / "nsd" / layout.surface_betas("subj02", VERSION, session, "lh"))[:, 0, 0].mean(axis=1)
        for session in (1, 2)
    ]
    assert np.std(means[0] - means[1]) > 0.2
    assert 0.5 < np.mean(means) < 2


def test_a_faulty_truth_is_refused(study):
    for change, words in (
        ({"nowhere": {"ncsnr": 1, "blocks": {"picture": 1}}}, "unknown region"),
        ({"early": {"ncsnr": 1, "blocks": {"smell": 1}}}, "unknown block"),
        ({"early": {"ncsnr": 1, "blocks": {"picture": 0.5}}}, "add up to 0.5"),
    ):
        truth = copy.deepcopy(TRUTH)
        truth["regions"] |= change
        with pytest.raises(ValueError, match=words):
            make_subject(study, "subj03", truth=truth)


# Determinism


def test_same_seed_same_bytes_other_seed_other_bytes(study, tmp_path):
    make_experiment(tmp_path)
    write_fsaverage(tmp_path / "nsd", seed=SEED)
    make_subject(tmp_path, "subj02")  # without any other subject
    again, before = digests(tmp_path), digests(study)
    assert len(again) > 100
    assert {name for name, digest in again.items() if before[name] != digest} == set()
    assert not [name for name in before if "partial" in name]
    make_experiment(tmp_path, seed=SEED + 1)
    other = digests(tmp_path)
    for key in (layout.EXPERIMENT_DESIGN, layout.annotations("captions", "train2017"), layout.IMAGE_BRICK):
        assert other[f"nsd/{key}"] != again[f"nsd/{key}"]


def test_a_brain_needs_the_experiment_of_its_own_plan(study):
    with pytest.raises(ValueError, match="write the experiment again"):
        write_subject(
            study / "nsd",
            study / "truth",
            subject="subj01",
            sessions=SESSIONS,
            runs_per_session=RUNS + 2,
            betas_version=VERSION,
            truth=TRUTH,
            seed=SEED,
            twins=False,
        )


# Captions of one's own


def made_up_records(count):
    names = [("dog", "animal"), ("car", "vehicle"), ("pizza", "food"), ("person", "person"), ("cup", "kitchen")]
    records = []
    for number in range(count):
        chosen = [names[number % 5], names[(number * 7) % 4]]
        records.append(
            {
                "cocoId": 1000 + 3 * number,
                "captions": [f"Caption {i} of photograph {number}\n" for i in range(5)],
                "categories": [name for name, _ in chosen],
                "supercategories": [kind for _, kind in chosen],
                "areas": [500.0 + number, 90.5],
            }
        )
    return records


def test_captions_of_a_file_are_taken_over_word_for_word(tmp_path):
    records = made_up_records(600)
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    make_experiment(tmp_path, captions=path)
    stimuli = pd.read_csv(tmp_path / "nsd" / layout.STIMULUS_TABLE, index_col=0)
    assert len(stimuli) == SHARED + 8 * 65
    by_id = {record["cocoId"]: record for record in records}
    assert set(stimuli["cocoId"]) <= set(by_id)
    assert not stimuli["cocoId"].is_monotonic_increasing
    for split in ("train2017", "val2017"):
        said = {}
        for entry in read_annotations(tmp_path, "captions", split)["annotations"]:
            said.setdefault(entry["image_id"], []).append(entry["caption"])
        assert all(by_id[coco]["captions"] == captions for coco, captions in said.items())
    with xr.open_dataset(tmp_path / "truth" / "latents.nc", engine="h5netcdf") as file:
        latents = file.load()
    assert set(latents["block"].values) == {"objects", "people", "setting", "action", "mood", "picture"}
    has_dog = np.array(["dog" in by_id[coco]["categories"] for coco in stimuli["cocoId"]])
    dog = latents["latents"].sel(feature="objects: dog").values
    assert dog[has_dog].min() > dog[~has_dog].max()


def test_a_coco_file_with_its_sibling_gives_the_same_as_records(study, tmp_path):
    source = study / "nsd" / layout.annotations("captions", "train2017")
    make_experiment(tmp_path, captions=source, sessions={"subj01": 3}, shared_images=100)
    stimuli = pd.read_csv(tmp_path / "nsd" / layout.STIMULUS_TABLE, index_col=0)
    originals = read_annotations(study, "captions", "train2017")
    assert set(stimuli["cocoId"]) <= {image["id"] for image in originals["images"]}


def test_a_file_with_too_few_captions_says_what_to_change(tmp_path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps(made_up_records(100)), encoding="utf-8")
    with pytest.raises(ValueError, match=r"has 100 photographs, but this design needs 580.*shared_images"):
        make_experiment(tmp_path, captions=path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"cocoId": 1, "captions": ["a"]}], "lacks categories, areas"),
        ([{"cocoId": 1, "captions": ["a"], "categories": ["unicorn"], "areas": [1]}], "unicorn"),
        ([{"cocoId": 1, "captions": [], "categories": [], "areas": []}], "without caption"),
        ({"images": [], "annotations": []}, "instances"),
        (5, "neither"),
    ],
)
def test_a_faulty_captions_file_is_refused(tmp_path, content, words):
    path = tmp_path / "captions_mine.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        make_experiment(tmp_path, captions=path)
