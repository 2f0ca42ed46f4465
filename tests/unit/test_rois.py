"""Regions: names from an atlas's own file, labels from surfaces and volumes, and what is done without a region."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st
from loading import script

from capcortex.arrays import open_array, write_array
from capcortex.config import load_study
from capcortex.nsd import layout
from capcortex.nsd.miniature.atlas import common_atlases, personal_atlases
from capcortex.nsd.miniature.brain import write_subject
from capcortex.nsd.miniature.cortex import write_fsaverage
from capcortex.nsd.miniature.experiment import write_experiment
from capcortex.nsd.rois import (
    Units,
    read_label_names,
    read_labels,
    read_ncsnr,
    read_surface_labels,
    read_units,
    region_units,
)
from capcortex.rsa.crossnobis import crossnobis_distances, estimate_noise
from capcortex.rsa.rdm import pair_distances
from capcortex.tables import write_table

ROOT = Path(__file__).parents[2]
SEED = 5
VERSION = "betas_fithrf_GLMdenoise_RR"

NAME = st.text(st.sampled_from("abcXYZ019_-.+"), min_size=1, max_size=8)
SPACE = st.sampled_from(["", " ", "\t", "\t\t  ", "   "])


def write(tmp_path, text):
    path = tmp_path / "atlas.mgz.ctab"
    path.write_text(text, encoding="utf-8")
    return path


def test_trailing_tabs_two_digit_labels_and_blank_lines(tmp_path):
    text = "0 Unknown\n1 V1v\t\t\n\n2 V1d \t \n10\tIPS5\n   \n25 FEF\t\t\t"
    assert read_label_names(write(tmp_path, text)) == {"V1v": 1, "V1d": 2, "IPS5": 10, "FEF": 25}


def test_label_zero_is_no_region_even_when_named_like_one(tmp_path):
    assert read_label_names(write(tmp_path, "0 early\n0 Unknown\n1 ventral\n")) == {"ventral": 1}


def test_windows_line_ends(tmp_path):
    path = tmp_path / "atlas.mgz.ctab"
    path.write_bytes(b"0 Unknown\r\n1 early\t\r\n")
    assert read_label_names(path) == {"early": 1}


@given(st.dictionaries(NAME, st.integers(1, 200), max_size=30), st.data())
def test_generated_ctabs_come_back(tmp_path_factory, names, data):
    names = {name: number for name, number in names.items() if list(names.values()).count(number) == 1}
    lines = ["0 Unknown"]
    for name, number in names.items():
        before, between, after = data.draw(SPACE), data.draw(SPACE.filter(bool)), data.draw(SPACE)
        lines += [f"{before}{number}{between}{name}{after}", *data.draw(st.lists(SPACE, max_size=1))]
    assert read_label_names(write(tmp_path_factory.mktemp("c"), "\n".join(lines))) == names


@pytest.mark.parametrize(("text", "line"), [("1 a\n2 a\n", 2), ("1 a\n\n1 b\n", 3)])
def test_repeated_names_and_labels_are_refused(tmp_path, text, line):
    with pytest.raises(ValueError, match=rf"atlas\.mgz\.ctab, line {line}: name \w or label \d occurs twice"):
        read_label_names(write(tmp_path, text))


@pytest.mark.parametrize("line", ["early 1", "1", "1.5 early", "V1"])
def test_line_that_is_no_number_and_name_is_refused(tmp_path, line):
    with pytest.raises(ValueError, match=rf"line 2: expected a number and a name, found '{line}'"):
        read_label_names(write(tmp_path, f"0 Unknown\n{line}\n"))


def test_left_comes_before_right(tmp_path, write_mgh):
    files = [
        write_mgh(tmp_path / f"{hemisphere}.streams.mgz", np.array(values)[:, None, None])
        for hemisphere, values in (("lh", [0, 1, 25]), ("rh", [7, 0]))
    ]
    labels = read_surface_labels(files)
    assert labels.tolist() == [0, 1, 25, 7, 0]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
def test_any_stored_type_gives_whole_numbers(tmp_path, write_mgh, dtype):
    path = write_mgh(tmp_path / "lh.mgz", np.array([0, 3, 12])[:, None, None], dtype)
    assert read_surface_labels([path]).tolist() == [0, 3, 12]


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("bad", [1.5, np.nan])
def test_labels_are_whole_numbers(tmp_path, write_mgh, bad):
    path = write_mgh(tmp_path / "lh.mgz", np.array([0, bad, 2])[:, None, None])
    with pytest.raises(ValueError, match=rf"lh\.mgz: labels are whole numbers; found {bad}"):
        read_surface_labels([path])


def test_damaged_label_file_is_named_with_a_remedy(tmp_path, rng, write_mgh):
    path = write_mgh(tmp_path / "lh.mgz", rng.integers(0, 100, 5000)[:, None, None])
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", gzip.compress(b"no mgh")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{path}: not a whole mgh or mgz file .*get it again"):
            read_surface_labels([path])
    with pytest.raises(FileNotFoundError):
        read_surface_labels([tmp_path / "rh.mgz"])


def test_region_holds_exactly_its_own_label():
    names = {"a": 1, "b": 2, "c": 12}
    labels = np.array([1, -1, 12, 0, 2, 1, 12, 3])
    found = {roi: region_units(labels, names, roi, atlas="streams").tolist() for roi in names}
    assert found == {"a": [0, 5], "b": [4], "c": [2, 6]}
    assert region_units(labels, {"d": 4}, "d", atlas="streams").size == 0


def test_missing_region_lists_the_known():
    with pytest.raises(
        ValueError,
        match=r"config key rois: atlas streams has no region 'Early'; name some of its label file's: early, ventral",
    ):
        region_units(np.array([1, 2]), {"early": 1, "ventral": 5}, "Early", atlas="streams")


# Native surfaces


def test_native_labels_go_to_fsaverage_by_index_files_that_count_from_one(tmp_path, write_mgh):
    native = {"lh": [0, 3, 25, 1], "rh": [7, 0, 9]}
    index = {"lh": [4, 1, 3, 3, 2], "rh": [2, 2, 1, 3, 1]}  # per hemisphere: no offset on the right
    files = [write_mgh(tmp_path / f"{h}.floc.mgz", np.array(native[h])[:, None, None]) for h in native]
    indices = [write_mgh(tmp_path / f"{h}.white-to-fsaverage.mgz", np.array(index[h])[:, None, None]) for h in index]
    labels = read_labels(files, Units("betas.nc", 10), indices=indices)
    assert labels.tolist() == [1, 0, 25, 25, 3, 0, 0, 7, 9, 7]


def test_labels_of_another_surface_are_refused(tmp_path, write_mgh):
    files = [write_mgh(tmp_path / f"{h}.streams.mgz", np.zeros((4, 1, 1))) for h in ("lh", "rh")]
    with pytest.raises(
        ValueError, match=r"lh\.streams\.mgz: 8 vertices in both hemispheres, expected 10, those of betas\.nc"
    ):
        read_labels(files, Units("betas.nc", 10))
    with pytest.raises(ValueError, match=r"lh\.streams\.mgz: 8 vertices"):
        read_ncsnr(files, Units("betas.nc", 10))


# The volume


def write_volume(path, values):
    nibabel.save(nibabel.Nifti1Image(np.asarray(values), np.diag([1.8, 1.8, 1.8, 1])), path)
    return path


def write_volume_betas(folder, betas, voxels, shape, ids=None):
    """Averaged betas at some voxels, and a brain mask of the right shape."""
    ids = np.arange(1, len(betas) + 1) if ids is None else ids
    i, j, k = np.asarray(voxels).T
    xr.Dataset(
        {"betas": (("id73k", "voxel"), betas), "i": ("voxel", i), "j": ("voxel", j), "k": ("voxel", k)},
        coords={"id73k": ids},
    ).to_netcdf(folder / "betas.nc", engine="h5netcdf")
    mask = np.zeros(shape, np.int16)
    mask[i, j, k] = 1
    return folder / "betas.nc", write_volume(folder / "brainmask.nii.gz", mask)


@given(st.data())
def test_voxels_without_cortex_or_label_are_in_no_region(tmp_path_factory, data):
    """Label by label over the whole volume, with -1 and 0 named like regions in the file of names."""
    folder, shape = tmp_path_factory.mktemp("v"), (3, 4, 2)
    labels = np.array(data.draw(st.lists(st.integers(-1, 12), min_size=24, max_size=24)), float).reshape(shape)
    in_mask = np.array(data.draw(st.lists(st.booleans(), min_size=24, max_size=24).filter(any))).reshape(shape)
    voxels = np.argwhere(in_mask)[::-1]
    units = read_units(*write_volume_betas(folder, np.zeros((2, len(voxels)), np.float32), voxels, shape))
    found = read_labels([write_volume(folder / "floc.nii.gz", labels)], units)
    names = read_label_names(write(folder, "-1 nowhere\n0 Unknown\n" + "\n".join(f"{n} r{n}" for n in range(1, 13))))
    assert set(names.values()) == set(range(1, 13))
    for name, number in names.items():
        inside = region_units(found, names, name, atlas="floc")
        expected = {tuple(voxel) for voxel in voxels.tolist() if labels[tuple(voxel)] == number}
        assert {tuple(voxels[position].tolist()) for position in inside} == expected


def test_labels_on_another_grid_or_damaged_are_refused(tmp_path):
    units = Units("betas.nc", 2, np.array([[0, 0, 0], [1, 1, 1]]), (3, 4, 2))
    path = write_volume(tmp_path / "streams.nii.gz", np.zeros((4, 3, 2)))
    with pytest.raises(ValueError, match=r"streams\.nii\.gz: shape \(4, 3, 2\), expected \(3, 4, 2\)"):
        read_labels([path], units)
    path = write_volume(tmp_path / "streams.nii.gz", np.random.default_rng(1).integers(0, 9, (3, 4, 2)).astype(float))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"streams\.nii\.gz: not a whole NIfTI file .*get it again"):
        read_labels([path], units)
    path = write_volume(tmp_path / "streams.nii.gz", np.full((3, 4, 2), 1.5))
    with pytest.raises(ValueError, match=r"labels are whole numbers; found 1\.5"):
        read_labels([path], units)
    with pytest.raises(FileNotFoundError):
        read_labels([tmp_path / "no.nii.gz"], units)


# RDMs of regions


IDS = np.array([4, 9, 11, 20, 31, 44])


def region_rdms(
    folder,
    rng,
    *,
    least_ncsnr=None,
    subject="subj01",
    labels=None,
    rois=("V1", "V2", "far", "dot"),
    distance="correlation",
    all_shared=IDS[1:],
    shared_sets=("shared-001", "shared-002"),
    without_repeats=(),
    betas_version="betas_fithrf",
):
    """A subject's RDMs in the volume: V1 has five voxels, of which one lacks data and two are unreliable."""
    folder = folder / subject
    folder.mkdir()
    shape = (4, 3, 2)
    voxels = np.argwhere(np.ones(shape))
    labels = np.array([1, 1, 1, 1, 1, 2, 2, 2, 4, 0, -1, *[0] * 13]) if labels is None else labels
    repeats = rng.normal(size=(3, IDS.size, 24)).astype(np.float32)
    repeats[:, :, 1] = np.nan
    betas = repeats.mean(axis=0)
    repeats[:, :, list(without_repeats)] = np.nan
    ncsnr = np.full(24, 0.9)
    ncsnr[[1, 2, 3, 4]] = [0.1, np.nan, 0.29, 0.3]  # the unit without data is unreliable too; 0.3 is not below 0.3
    path, mask = write_volume_betas(folder, betas, voxels, shape, IDS)
    sets = {f"{subject}-001": IDS[:4], "shared-001": IDS[2:], "shared-002": IDS[[5, 0, 3, 1]]}
    sets = {name: images for name, images in sets.items() if name[:6] != "shared" or name in shared_sets}
    rows = [("all" if name[:6] == "shared" else subject, name, image) for name in sets for image in sets[name]]
    table = pd.DataFrame(rows, columns=["subject", "image_set", "id73k"])
    write_table(table[table["subject"] != "all"], folder / "own.tsv")
    write_table(table[table["subject"] == "all"], folder / "shared.tsv")
    table = pd.DataFrame({"image_set": "shared-all", "subject": "all", "id73k": np.asarray(all_shared, int)})
    write_table(table, folder / "shared-all.tsv")
    single = xr.Dataset({"z": (("repeat", "id73k", "voxel"), repeats)}, coords={"repeat": [1, 2, 3], "id73k": IDS})
    write_array(single, folder / "repeats.nc")
    script("compute_roi_rdm").main(
        betas=str(path),
        repeats=str(folder / "repeats.nc"),
        image_sets=[str(folder / "own.tsv"), str(folder / "shared.tsv")],
        all_shared=str(folder / "shared-all.tsv"),
        labels=[str(write_volume(folder / "areas.nii.gz", labels.reshape(shape).astype(float)))],
        names=[str(write(folder, "1 V1\n2 V2\n3 far\n4 dot\n"))],
        indices=[],
        mask=str(mask),
        ncsnr=[str(write_volume(folder / "ncsnr.nii.gz", ncsnr.reshape(shape)))],
        rois={"areas": list(rois)},
        native=[],
        least_ncsnr=least_ncsnr,
        distance=distance,
        betas_version=betas_version,
        seed=1,
        subject=subject,
        rdm=str(folder / "rdm.nc"),
        ceilings=str(folder / "ceilings.nc"),
    )
    with xr.open_dataset(folder / "rdm.nc", engine="h5netcdf") as file:
        return folder / "rdm.nc", file.load(), betas


@pytest.mark.parametrize(
    ("least", "kept", "counts"), [(None, [0, 2, 3, 4], (1, 0)), (0.3, [0, 4], (1, 2)), (0.05, [0, 3, 4], (1, 1))]
)
def test_unreliable_units_are_left_out_and_counted_apart(tmp_path, rng, least, kept, counts):
    _, found, betas = region_rdms(tmp_path, rng, least_ncsnr=least)
    v1 = found.sel(roi="V1").isel(image_set=0)
    facts = ["n_units", "n_left_out_missing", "n_left_out_ncsnr"]
    assert [int(v1[name]) for name in facts] == [len(kept), *counts]
    expected = 1 - np.corrcoef(betas[:4, kept])[np.triu_indices(4, k=1)]
    np.testing.assert_allclose(v1["rdm"], expected, atol=1e-6)
    assert str(v1["atlas"].to_numpy()) == "areas"


def test_a_region_without_units_or_of_one_is_recorded_and_has_no_rdm(tmp_path, rng):
    _, found, _ = region_rdms(tmp_path, rng, distance="cosine")
    assert found["analysed"].to_numpy().tolist() == [True, True, False, False]
    assert found["n_units"].to_numpy().tolist() == [4, 3, 0, 1]
    assert np.isfinite(found["rdm"].sel(roi=["V1", "V2"])).all()
    assert np.isnan(found["rdm"].sel(roi=["far", "dot"])).all()


def read_ceilings(folder):
    """The file for ceilings, and the single responses that it is made from."""
    variables = ["rdm_of_repeats", "rdm_all_shared", "id73k_all_shared", "ncsnr_ceiling", "id73k", "image_set"]
    with open_array(folder / "ceilings.nc", variables=variables) as file:
        ceilings = file.load()
    with open_array(folder / "repeats.nc", variables=["z"]) as file:
        return ceilings, file["z"].to_numpy()


@pytest.mark.parametrize(
    ("distance", "least", "kept"), [("correlation", None, [0, 2, 3, 4]), ("euclidean", 0.05, [0, 3, 4])]
)
def test_ceilings_get_the_rdms_of_repeats_and_of_all_shared_images(tmp_path, rng, distance, least, kept):
    _, rdms, betas = region_rdms(tmp_path, rng, distance=distance, least_ncsnr=least)
    found, repeats = read_ceilings(tmp_path / "subj01")
    shared = rdms.sel(image_set=["shared-001", "shared-002"])
    assert found["rdm_of_repeats"].dims == ("roi", "image_set", "repeat", "pair")
    assert found["rdm_of_repeats"].attrs["distance"] == distance
    assert found["id73k"].to_numpy().tolist() == shared["id73k"].to_numpy().tolist()
    for row, images in enumerate(found["id73k"].to_numpy()):
        for repeat in range(3):
            patterns = repeats[repeat][np.ix_(np.searchsorted(IDS, images), kept)]
            expected = pair_distances(patterns, distance)
            one = found["rdm_of_repeats"].sel(roi="V1", repeat=repeat + 1).isel(image_set=row)
            np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)
    # As released: correlation distance, whatever the study's.
    assert found["id73k_all_shared"].to_numpy().tolist() == IDS[1:].tolist()
    assert (
        found["rdm_all_shared"].dims == ("roi", "pair_all")
        and found["rdm_all_shared"].attrs["distance"] == "correlation"
    )
    expected = 1 - np.corrcoef(betas[1:, kept])[np.triu_indices(5, k=1)]
    np.testing.assert_allclose(found["rdm_all_shared"].sel(roi="V1"), expected, atol=1e-6)
    assert {found[name].dtype for name in ("rdm_of_repeats", "rdm_all_shared")} == {np.dtype("f4")}
    for name in ("rdm_of_repeats", "rdm_all_shared", "ncsnr_ceiling"):
        assert np.isnan(found[name].sel(roi=["far", "dot"])).all()
        assert np.isfinite(found[name].sel(roi=["V1", "V2"])).all()


@pytest.mark.parametrize(("least", "used"), [(None, [0.9, 0.29, 0.3]), (0.3, [0.9, 0.3])])
def test_ceiling_by_ncsnr_is_that_of_the_units_used_whose_ncsnr_is_known(tmp_path, rng, least, used):
    """The unit with ncsnr 0.1 lacks data."""
    region_rdms(tmp_path, rng, least_ncsnr=least)
    found = float(read_ceilings(tmp_path / "subj01")[0]["ncsnr_ceiling"].sel(roi="V1"))
    assert found == pytest.approx(np.mean([s**2 / (s**2 + 1 / 3) for s in used]), rel=1e-6)


def test_one_subject_shares_no_image_and_the_file_for_ceilings_can_be_read(tmp_path, rng):
    region_rdms(tmp_path, rng, all_shared=[], shared_sets=())
    found, _ = read_ceilings(tmp_path / "subj01")
    assert found["rdm_of_repeats"].shape == (4, 0, 3, 6) and found["image_set"].dtype.kind in "OU"
    assert found["rdm_all_shared"].shape == (4, 0) and found["id73k_all_shared"].shape == (0,)


def test_a_region_of_which_hardly_a_unit_has_all_repeats_has_averages_but_no_rdm_of_repeats(tmp_path, rng):
    """As under incomplete_data: nanmean."""
    _, rdms, _ = region_rdms(tmp_path, rng, without_repeats=(5, 6, 2))
    found, _ = read_ceilings(tmp_path / "subj01")
    assert np.isfinite(rdms["rdm"].sel(roi=["V1", "V2"])).all()
    assert np.isfinite(found["rdm_of_repeats"].sel(roi="V1")).all()
    assert np.isnan(found["rdm_of_repeats"].sel(roi="V2")).all()


@pytest.mark.parametrize("version", ["betas_fithrf", "betas_fithrf_GLMdenoise_RR"])
def test_crossnobis_is_of_the_repeats_and_b3_is_cautioned(tmp_path, rng, caplog, version):
    with caplog.at_level("WARNING"):
        _, rdms, _ = region_rdms(tmp_path, rng, distance="crossnobis", betas_version=version)
    assert ("(b3)" in caplog.text) == (version == "betas_fithrf_GLMdenoise_RR")
    found, repeats = read_ceilings(tmp_path / "subj01")
    v1 = repeats[:, :, [0, 2, 3, 4]]
    # Six images: too few outside a set, so that all take part.
    expected = crossnobis_distances(v1[:, :4], estimate_noise(v1))
    assert rdms["rdm"].attrs["distance"] == "crossnobis"
    np.testing.assert_allclose(rdms["rdm"].sel(roi="V1")[0], expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(rdms["rdm"].sel(roi=["far", "dot"])).all()
    assert found["rdm_of_repeats"].attrs["distance"] == "correlation"


def estimate_ceilings(paths, subjects, output):
    """The registry of ceilings of regions written by `region_rdms`."""
    script("estimate_roi_ceilings").main(
        models={"caption": str(output.with_name("model.nc"))},
        rois=paths,
        of_ceilings=[str(Path(path).with_name("ceilings.nc")) for path in paths],
        subjects=subjects,
        measure="pearson",
        ceilings=str(output),
    )
    return pd.read_csv(output, sep="\t")


def test_scores_and_ceilings_go_on_without_a_subject_who_lacks_a_region(tmp_path, rng):
    subjects = ["subj01", "subj02", "subj03"]
    without_v2 = np.array([1, 1, 1, 1, 1, *[0] * 19])
    paths = [
        str(region_rdms(tmp_path, rng, subject=s, labels=without_v2 if s == "subj02" else None, rois=("V1", "V2"))[0])
        for s in subjects
    ]
    with xr.open_dataset(paths[0], engine="h5netcdf") as file:
        shared = file.isel(roi=0, image_set=[1, 2])[["rdm", "id73k"]]
        shared.drop_vars("roi").to_netcdf(tmp_path / "model.nc", engine="h5netcdf")
    script("compare_roi_rdms").main(
        model_rdm=str(tmp_path / "model.nc"),
        roi_rdms=paths,
        model="caption",
        subjects=subjects,
        measure="pearson",
        scores=str(tmp_path / "scores.tsv"),
    )
    scores = pd.read_csv(tmp_path / "scores.tsv", sep="\t")
    assert scores.groupby("roi")["subject"].unique().map(list).to_dict() == {
        "V1": subjects,
        "V2": ["subj01", "subj03"],
    }
    assert scores["r"].notna().all()
    registry = estimate_ceilings(paths, subjects, tmp_path / "ceilings.tsv")
    for kind in ("released", "repeats", "ncsnr"):
        here = registry[registry["kind"] == kind]
        assert here.groupby("roi")["subject"].unique().map(list).to_dict() == {
            "V1": subjects,
            "V2": ["subj01", "subj03"],
        }
    ceilings = registry[registry["kind"] == "between-subjects"]
    assert set(ceilings.loc[ceilings["roi"] == "V1", "left_out"]) == {"nobody", *subjects}
    of_two = ceilings[ceilings["roi"] == "V2"]
    assert set(of_two["left_out"]) == {"nobody"} and set(of_two["subject"]) == {"subj01", "subj03"}
    vectors = [
        xr.open_dataset(paths[n], engine="h5netcdf")["rdm"].sel(roi="V2", image_set="shared-002") for n in (0, 2)
    ]
    lower = of_two.loc[of_two["image_set"] == "shared-002", "lower"]
    np.testing.assert_allclose(lower, np.corrcoef(vectors)[0, 1], atol=1e-6)


def test_a_region_that_nobody_has_is_named_with_its_atlas(tmp_path, rng):
    paths = [str(region_rdms(tmp_path, rng, subject=subject)[0]) for subject in ("subj01", "subj02")]
    with pytest.raises(ValueError, match=r"region far of atlas areas: none of the subjects \(subj01, subj02\) has it"):
        estimate_ceilings(paths, ["subj01", "subj02"], tmp_path / "ceilings.tsv")


# All of NSD's atlases, on the miniature


@pytest.fixture(scope="module")
def nsd(tmp_path_factory):
    """The study's configuration, in both spaces, on a miniature with the brain of one subject."""
    root = tmp_path_factory.mktemp("miniature")
    plan = {"sessions": {"subj01": 3}, "runs_per_session": 2}
    write_experiment(
        root / "nsd", root / "truth", root / "word_vectors.txt", **plan, shared_images=60, seed=SEED, captions=None
    )
    write_fsaverage(root / "nsd", seed=SEED)
    truth = yaml.safe_load((ROOT / "config/truth.yaml").read_text())
    settings = {"subject": "subj01", "betas_version": VERSION, "truth": truth, "seed": SEED, "twins": False}
    write_subject(root / "nsd", root / "truth", **plan, **settings)
    return root / "nsd"


@pytest.fixture(scope="module")
def study(nsd):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    local = {"source": "local", "local": {"nsd": str(nsd)}, "models": ["caption"]}
    if "searchlight" in config:
        local["searchlight"] = config["searchlight"] | {"models": [], "contrasts": []}
    return load_study(config | local, ROOT)


@pytest.fixture(scope="module")
def voxels(nsd):
    mask = nibabel.load(nsd / layout.volume_file("subj01", "brainmask")).get_fdata()
    return Units("betas.nc", int(mask.sum()), np.argwhere(mask), mask.shape)


def labels_of(study, nsd, atlas, space, units):
    files = [Path(path) for path in study.label_files(atlas, "subj01", space)]
    indices = [nsd / layout.transform("subj01", hemisphere, "white-to-fsaverage") for hemisphere in layout.HEMISPHERES]
    native = space == "fsaverage" and study.on_native_surface(atlas)
    return read_labels(files, units, indices=indices if native else None)


@pytest.mark.parametrize("atlas", [*layout.ATLASES, *layout.SUBJECT_ATLASES])
def test_every_atlas_of_nsd_has_its_regions_where_they_are_planted(study, nsd, voxels, atlas):
    """On the surface against the drawing itself; in the volume against where NSD's transforms put the labelled vertices."""
    drawn = (common_atlases(SEED) | personal_atlases(SEED, "subj01"))[atlas]
    names = read_label_names(study.names_file(atlas, "subj01"))
    assert list(names) == drawn.names
    truth = np.concatenate([drawn.labels[hemisphere] for hemisphere in layout.HEMISPHERES])
    surface = labels_of(study, nsd, atlas, "fsaverage", Units("betas.nc", truth.size))
    volume = labels_of(study, nsd, atlas, "func1pt8mm", voxels)
    if atlas in layout.ATLASES:
        np.testing.assert_array_equal(surface, truth)
    else:  # nearest vertex there and back again: the borders move
        assert (surface[truth > 0] == truth[truth > 0]).mean() > 0.75
        assert (truth[surface > 0] == surface[surface > 0]).mean() > 0.75
    found = []
    for hemisphere in layout.HEMISPHERES:
        of_vertices = nibabel.load(nsd / layout.surface_label("subj01", hemisphere, atlas)).get_fdata().ravel()
        path = nsd / layout.transform("subj01", hemisphere, "func1pt8-to-layerB2")
        places = nibabel.load(path).get_fdata()[:, 0, 0]
        # NSD gives each hemisphere apart too, with -1 in the other one.
        here = read_labels([nsd / layout.volume_file("subj01", f"roi/{hemisphere}.{atlas}")], voxels)
        assert (here[here > 0] == volume[here > 0]).all()
        for roi in names:
            assert region_units(surface, names, roi, atlas=atlas).size
            inside = region_units(here, names, roi, atlas=atlas)
            vertices = places[(of_vertices == names[roi]) & (places < 9999).all(axis=1)]
            if inside.size >= 4 and len(vertices) >= 10:
                off = np.median(voxels.voxels[inside], axis=0) + 1 - np.median(vertices, axis=0)
                found.append((roi, np.linalg.norm(off)))
    assert len({roi for roi, _ in found}) >= 0.5 * len(names)
    assert max(distance for _, distance in found) < 2, max(found, key=lambda pair: pair[1])


def test_streams_in_the_volume_are_those_that_answer(study, nsd, voxels):
    """The planted truth tells for every answering voxel which region it is in."""
    labels = labels_of(study, nsd, "streams", "func1pt8mm", voxels)
    at = {tuple(voxel): label for voxel, label in zip(voxels.voxels.tolist(), labels.tolist(), strict=True)}
    with xr.open_dataset(nsd.parent / "truth/subj01_volume.nc", engine="h5netcdf") as truth:
        places = zip(*(truth[axis].to_numpy().tolist() for axis in "ijk"), strict=True)
        region = truth["region"].to_numpy()
    found = np.array([at[place] for place in places])
    assert found.size > 300
    assert (found == region).mean() > 0.9


def test_ncsnr_of_both_spaces_fits_the_betas(nsd, voxels):
    version = VERSION
    maps = [nsd / layout.surface_ncsnr("subj01", version, "fsaverage", h) for h in layout.HEMISPHERES]
    surface = read_ncsnr(maps, Units("betas.nc", 20484))
    volume = read_ncsnr([nsd / layout.volume_ncsnr("subj01", version)], voxels)
    for values in (surface, volume):
        assert np.nanmin(values) >= 0 and 0.2 < np.nanmax(values) < 5


def test_names_with_blanks_and_other_encodings_are_refused_and_colours_passed_over(tmp_path):
    path = tmp_path / "mine.ctab"
    path.write_text("\ufeff0 Unknown 0 0 0 0\n1 V1 255 0 0 0\n", encoding="utf-8")
    assert read_label_names(path) == {"V1": 1}
    path.write_text("1 early visual\n")
    with pytest.raises(ValueError, match=r"mine\.ctab, line 1: .*, found '1 early visual'"):
        read_label_names(path)
    path.write_bytes("1 Größe\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"mine\.ctab: expected text in UTF-8"):
        read_label_names(path)
