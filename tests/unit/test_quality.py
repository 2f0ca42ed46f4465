"""Data quality: counts against loops over voxels and vertices, the noise ceiling against made-up responses, the miniature."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

from capcortex.arrays import open_array, write_array
from capcortex.nsd import layout
from capcortex.nsd.betas import average_repeats
from capcortex.nsd.bookkeeping import read_trials
from capcortex.nsd.miniature.brain import write_subject
from capcortex.nsd.miniature.cortex import write_fsaverage
from capcortex.nsd.miniature.experiment import write_experiment
from capcortex.nsd.quality import (
    NCSNR_COLUMNS,
    QUALITY_COLUMNS,
    UnitQuality,
    read_surface_units,
    read_volume_units,
    tabulate_ncsnr,
    tabulate_quality,
)
from capcortex.nsd.rois import noise_ceiling
from capcortex.nsd.sessions import extract_session, surface_session, volume_session
from capcortex.tables import read_table, write_table

SHAPE = (5, 4, 3)  # unequal, so that a transposition shows
N_VERTICES = (7, 4)  # left, right: unequal, so that a swap shows
IMAGES = np.array([3, 40, 7001])
RECORDED = {"subj01": 5, "subj02": 3}  # sessions; three of them are used


def make_trials(subject="subj01", thrice=IMAGES, twice=(9, 10), once=(11,)):
    """Trials in three sessions, each image in as many as it has showings."""
    shown = [
        (session, image)
        for images, n in ((thrice, 3), (twice, 2), (once, 1))
        for image in images
        for session in range(1, n + 1)
    ]
    trials = pd.DataFrame(shown, columns=["session", "id73k"]).sort_values("session", kind="stable")
    trials["showings"] = trials.groupby("id73k")["id73k"].transform("size")
    return trials.assign(subject=subject)


def write_nifti(path, values):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def write_betas_file(path, betas, dim, policy="exclude", **places):
    array = xr.DataArray(
        betas.astype(np.float32), dims=("id73k", dim), name="betas", attrs={"incomplete_data": policy},
        coords={"id73k": IMAGES} | {axis: (dim, values) for axis, values in places.items()},
    )  # fmt: skip
    write_array(array, path)
    return path


@pytest.fixture
def volume(tmp_path, rng):
    """Files of a subject's volume, and what was put into them; everything is independent of everything else."""
    mask = rng.random(SHAPE) < 0.7
    places = np.argwhere(mask.T)[:, ::-1]
    used = rng.random(len(places)) < 0.8
    content = {
        "mask": mask,
        "valid": rng.choice([0.5, 2 / 3, 1.0], SHAPE, p=[0.1, 0.2, 0.7]),
        "nsdgeneral": rng.choice([-1.0, 0.0, 1.0], SHAPE),
        "ncsnr": rng.choice([np.nan, 0.0, 1.0], SHAPE, p=[0.1, 0.2, 0.7]) * rng.gamma(4, 0.1, SHAPE),
        "used": {tuple(place) for place in places[used]},
    }
    files = {
        "mask": write_nifti(tmp_path / "brainmask.nii.gz", mask.astype(np.int16)),
        "valid": write_nifti(tmp_path / "valid.nii.gz", content["valid"].astype(np.float32)),
        "nsdgeneral": write_nifti(tmp_path / "nsdgeneral.nii.gz", content["nsdgeneral"]),
        "ncsnr": write_nifti(tmp_path / "ncsnr.nii.gz", content["ncsnr"].astype(np.float32)),
    }
    betas = np.where(used, rng.normal(size=(3, len(places))), np.nan)
    i, j, k = places.T
    files["betas"] = write_betas_file(tmp_path / "betas.nc", betas, "voxel", i=i, j=j, k=k)
    return files, content


@pytest.fixture
def surface(tmp_path, rng, write_mgh):
    n = sum(N_VERTICES)
    content = {
        "used": rng.random(n) < 0.7,
        "nsdgeneral": rng.random(n) < 0.6,
        "ncsnr": np.where(rng.random(n) < 0.2, np.nan, rng.gamma(4, 0.1, n)),
    }
    betas = np.where(content["used"], rng.normal(size=(3, n)), np.nan)
    files = {"betas": write_betas_file(tmp_path / "surface.nc", betas, "vertex")}
    for name, suffix in (("nsdgeneral", "mgz"), ("ncsnr", "mgh")):
        halves = np.split(content[name].astype(np.float32), [N_VERTICES[0]])
        files[name] = [
            write_mgh(tmp_path / f"{hemisphere}.{name}.{suffix}", half[:, None, None])
            for hemisphere, half in zip(("lh", "rh"), halves, strict=True)
        ]
    return files, content


def only_row(**spaces):
    table = tabulate_quality(make_trials(), RECORDED, spaces.get("volume", {}), spaces.get("surface", {}))
    assert list(table.columns) == list(QUALITY_COLUMNS)
    assert len(table) == 1
    return table.iloc[0]


# Voxels and vertices


def test_voxels_are_counted_as_a_loop_over_the_grid_counts_them(volume):
    files, content = volume
    row = only_row(volume={"subj01": read_volume_units(**files)})
    counts = dict.fromkeys(
        [f"{region}{what}" for region in ("", "nsdgeneral_") for what in ("all", "valid", "used", "differ")], 0
    )
    for place in np.ndindex(SHAPE):
        inside = content["mask"][place]
        valid, used = inside and content["valid"][place] == 1, place in content["used"]
        for region, here in (("", inside), ("nsdgeneral_", content["nsdgeneral"][place] == 1)):
            for what, true in (("all", True), ("valid", valid), ("used", used), ("differ", valid != used)):
                counts[region + what] += int(here and true)
    for region in ("", "nsdgeneral_"):
        name, n = f"{region}voxels", counts[f"{region}all"]
        assert row[name] == n
        assert row[f"{name}_valid"] == counts[f"{region}valid"]
        assert row[f"{name}_used"] == counts[f"{region}used"]
        assert row[f"{name}_excluded"] == n - counts[f"{region}used"]
        assert row[f"{name}_disagreeing"] == counts[f"{region}differ"] > 0
        assert row[f"{name}_share_valid"] == pytest.approx(counts[f"{region}valid"] / n)
        assert row[f"{name}_share_used"] == pytest.approx(counts[f"{region}used"] / n)


def test_vertices_are_counted_left_then_right(surface):
    files, content = surface
    row = only_row(surface={"subj01": read_surface_units(**files)})
    inside, used = content["nsdgeneral"], content["used"]
    assert row[["vertices", "vertices_used", "vertices_excluded"]].tolist() == [11, used.sum(), (~used).sum()]
    assert row["nsdgeneral_vertices"] == inside.sum()
    assert row["nsdgeneral_vertices_used"] == sum(a and b for a, b in zip(inside, used, strict=True))
    assert row["nsdgeneral_vertices_excluded"] == sum(a and not b for a, b in zip(inside, used, strict=True))
    assert row["nsdgeneral_vertices_ncsnr_median"] == pytest.approx(np.nanmedian(content["ncsnr"][inside]))


def test_quartiles_and_ceiling_are_those_of_nsdgeneral_whether_used_or_not(volume):
    files, content = volume
    row = only_row(volume={"subj01": read_volume_units(**files)})
    inside = content["ncsnr"][content["nsdgeneral"] == 1]
    finite = inside[~np.isnan(inside)]
    name = "nsdgeneral_voxels"
    assert row[f"{name}_without_ncsnr"] == np.isnan(inside).sum() > 0
    assert row[f"{name}_share_at_zero"] == pytest.approx(np.mean(finite == 0))
    found = [row[f"{name}_ncsnr_{which}"] for which in ("lower_quartile", "median", "upper_quartile")]
    np.testing.assert_allclose(found, np.nanpercentile(inside, [25, 50, 75]), rtol=1e-6)
    assert row[f"{name}_noise_ceiling_median"] == pytest.approx(np.nanmedian(noise_ceiling(inside)), rel=1e-6)


@pytest.mark.parametrize("ncsnr", [0.2, 0.5, 1.5])
def test_ceiling_is_what_the_signal_itself_explains_of_the_mean_of_three_trials(rng, ncsnr):
    signal = ncsnr * rng.standard_normal(200_000)
    averaged = signal + rng.standard_normal((3, signal.size)).mean(axis=0)
    assert noise_ceiling(np.array(ncsnr)) == pytest.approx(100 * np.corrcoef(signal, averaged)[0, 1] ** 2, abs=0.6)


def test_ceiling_of_no_signal_is_zero_and_of_nothing_is_missing():
    np.testing.assert_array_equal(noise_ceiling(np.array([0, np.nan])), [0, np.nan])


# Trials, and spaces that are not used


def test_trials_and_images_are_counted_by_showings():
    trials = pd.concat([make_trials("subj02", twice=()), make_trials("subj01")])
    table = tabulate_quality(trials, RECORDED, {}, {})
    assert table["subject"].tolist() == ["subj02", "subj01"]
    row = table.iloc[1]
    expected = {
        "sessions_recorded": 5,
        "sessions": 3,
        "trials": 14,
        "images": 6,
        "images_used": 3,
        "images_left_out": 3,
        "images_shown_twice": 2,
    }
    expected |= {"images_shown_once": 1, "trials_used": 9}
    assert row[list(expected)].to_dict() == expected
    assert row["trials_share_used"] == pytest.approx(9 / 14)


def test_spaces_that_are_not_used_are_missing_and_the_others_stay_whole_numbers(volume, tmp_path):
    trials = pd.concat([make_trials("subj01"), make_trials("subj02")])
    units = read_volume_units(**volume[0])
    write_table(tabulate_quality(trials, RECORDED, {"subj01": units}, {}), tmp_path / "table.tsv")
    table = read_table(tmp_path / "table.tsv", columns=list(QUALITY_COLUMNS))
    of_space = [name for name in QUALITY_COLUMNS if "vert" in name]
    assert table[of_space].isna().all(axis=None)
    assert table[[name for name in QUALITY_COLUMNS if "voxels" in name]].notna().all(axis=1).tolist() == [True, False]
    text = (tmp_path / "table.tsv").read_text().splitlines()
    first = dict(zip(*(line.split("\t") for line in text[:2]), strict=True))
    assert first["voxels"] == str(volume[1]["mask"].sum())
    assert first["vertices"] == "n/a"


def test_a_region_without_voxels_has_no_quartiles(volume, recwarn):
    files, content = volume
    write_nifti(files["nsdgeneral"], np.minimum(content["nsdgeneral"], 0))
    units = read_volume_units(**files)
    row = only_row(volume={"subj01": units})
    assert row["nsdgeneral_voxels"] == 0
    assert row.filter(like="nsdgeneral_voxels_ncsnr").isna().all()
    assert tabulate_ncsnr({"func1pt8mm": {"subj01": units}}).empty
    assert not recwarn.list


# Distribution of ncsnr


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0, 3, width=32), st.just(np.nan)), min_size=1, max_size=30),
    st.floats(0.5, 2),
)
def test_bins_hold_every_finite_value_once(values, other):
    def units(ncsnr):
        yes = np.ones(len(ncsnr), bool)
        return UnitQuality(IMAGES, "exclude", yes, yes, yes, np.array(ncsnr))

    table = tabulate_ncsnr({"func1pt8mm": {"subj01": units(values)}, "fsaverage": {"subj01": units([other])}})
    assert table.columns.tolist() == NCSNR_COLUMNS
    finite = [value for value in values if not np.isnan(value)]
    for space, own in (("func1pt8mm", finite), ("fsaverage", [other])):
        rows = table[table["space"] == space]
        if own:
            assert rows["share"].sum() == pytest.approx(1)
            assert rows["share"].iloc[0] == pytest.approx(own.count(0) / len(own))
            # Cumulative shares at the bins' ends, from the values themselves.
            below = [np.mean([value == 0 or value < end for value in own]) for end in rows["ncsnr_to"]]
            np.testing.assert_allclose(rows["share"].cumsum()[:-1], below[:-1])


# What is refused


def test_betas_of_other_voxels_than_the_masks_are_refused(volume):
    files, content = volume
    mask = content["mask"].copy()
    mask[tuple(np.argwhere(mask)[0])] = False
    write_nifti(files["mask"], mask.astype(np.int16))
    with pytest.raises(ValueError, match=r"betas\.nc: its \d+ voxels are not the \d+ of .*brainmask"):
        read_volume_units(**files)


@pytest.mark.parametrize("name", ["valid", "nsdgeneral", "ncsnr"])
def test_volumes_of_another_grid_are_refused(volume, name):
    files, content = volume
    write_nifti(files[name], content[name].T.astype(np.float32))
    with pytest.raises(ValueError, match=rf"{name}\.nii\.gz: shape \(3, 4, 5\), expected \(5, 4, 3\)"):
        read_volume_units(**files)


def test_valid_as_a_count_of_sessions_is_refused(volume):
    files, content = volume
    write_nifti(files["valid"], (3 * content["valid"]).astype(np.float32))
    with pytest.raises(ValueError, match=r"valid\.nii\.gz: expected shares of sessions from 0 to 1, found 1\.5 to 3"):
        read_volume_units(**files)


@pytest.mark.parametrize("name", ["nsdgeneral", "ncsnr"])
def test_hemispheres_of_another_size_are_refused(surface, name):
    files, _ = surface
    with pytest.raises(ValueError, match=rf"lh\.{name}.*14 vertices, expected the 11 of .*surface\.nc"):
        read_surface_units(**files | {name: [files[name][0]] * 2})


def test_a_damaged_ncsnr_file_is_named(surface):
    files, _ = surface
    files["ncsnr"][1].write_bytes(b"<html>403</html>")
    with pytest.raises(ValueError, match=r"rh\.ncsnr\.mgh: not a whole mgh or mgz file"):
        read_surface_units(**files)


def test_surface_betas_in_place_of_volume_betas_are_refused(volume, surface):
    with pytest.raises(ValueError, match=r"surface\.nc: lacks i, j, k"):
        read_volume_units(**volume[0] | {"betas": surface[0]["betas"]})
    with pytest.raises(ValueError, match=r"betas\.nc: betas have axes .*'voxel'.*expected .*'vertex'"):
        read_surface_units(**surface[0] | {"betas": volume[0]["betas"]})


def test_betas_of_other_images_or_of_two_policies_are_refused(volume, surface):
    voxels, vertices = read_volume_units(**volume[0]), read_surface_units(**surface[0])
    with pytest.raises(ValueError, match="image 1 is id73k 40 in betas of subj01, voxels but id73k 41"):
        tabulate_quality(make_trials(thrice=[3, 41, 7001]), RECORDED, {"subj01": voxels}, {})
    write_betas_file(volume[0]["betas"].with_name("other.nc"), np.ones((3, 11)), "vertex", policy="nanmean")
    other = read_surface_units(**surface[0] | {"betas": volume[0]["betas"].with_name("other.nc")})
    with pytest.raises(ValueError, match=r"subj01: .*voxels .*exclude, of vertices with nanmean"):
        tabulate_quality(make_trials(), RECORDED, {"subj01": voxels}, {"subj01": other})
    assert (
        tabulate_quality(make_trials(), RECORDED, {"subj01": voxels}, {"subj01": vertices})["incomplete_data"].item()
        == "exclude"
    )


# How repeats are averaged


@pytest.mark.parametrize("policy", ["exclude", "nanmean"])
def test_one_image_tells_which_voxels_are_used_under_either_policy(tmp_path, rng, policy):
    """Voxel 0 lacks one showing of two images, voxel 1 all three showings of image 40, voxel 2 nothing."""
    places = {axis: ("voxel", values) for axis, values in zip("ijk", ([0, 1, 2], [0, 0, 0], [0, 0, 0]), strict=True)}
    sessions = []
    for number, images in enumerate(([3, 7001], [3, 7001], [3, 7001, 40, 40, 40])):
        z = rng.normal(size=(len(images), 3))
        z[:, [0] * (number == 0) + [1] * (number == 2)] = np.nan
        sessions.append(tmp_path / f"session-{number}.nc")
        write_array(
            xr.DataArray(z, dims=("trial", "voxel"), name="z", coords={"id73k": ("trial", images)} | places),
            sessions[-1],
        )
    average_repeats(
        sessions,
        tmp_path / "betas.nc",
        repeats=tmp_path / "repeats.nc",
        repeats_of=None,
        subject="subj01",
        incomplete_data=policy,
    )
    whole = np.ones((3, 1, 1))
    valid = np.array([2 / 3, 2 / 3, 1])[:, None, None].astype(np.float32)
    names = ("mask", "nsdgeneral", "ncsnr")
    files = {name: write_nifti(tmp_path / f"{name}.nii.gz", whole) for name in names}
    files["valid"] = write_nifti(tmp_path / "valid.nii.gz", valid)
    row = only_row(volume={"subj01": read_volume_units(tmp_path / "betas.nc", **files)})
    assert row["incomplete_data"] == policy
    expected = {"exclude": [1, 2, 0], "nanmean": [2, 1, 1]}[policy]
    assert row[["voxels_used", "voxels_excluded", "voxels_disagreeing"]].tolist() == expected


# The miniature: real files through the real pipeline

SUBJECT, SESSIONS, VERSION = "subj01", {"subj01": 3, "subj02": 2}, "betas_fithrf_GLMdenoise_RR"


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """A subject with missing data in its second session."""
    root = tmp_path_factory.mktemp("miniature")
    truth = yaml.safe_load((Path(__file__).parents[2] / "config/truth.yaml").read_text(encoding="utf-8"))
    plan = {"sessions": SESSIONS, "runs_per_session": 2, "seed": 5}
    write_experiment(root / "nsd", root / "truth", root / "word_vectors.txt", **plan, shared_images=40, captions=None)
    write_fsaverage(root / "nsd", seed=5)
    write_subject(
        root / "nsd", root / "truth", subject=SUBJECT, **plan, betas_version=VERSION, truth=truth, twins=False
    )
    return root


def test_miniature_says_of_itself_what_the_pipeline_finds(miniature, tmp_path):
    nsd = miniature / "nsd"
    trials = read_trials(nsd / layout.responses(SUBJECT), SUBJECT)
    mask = nsd / layout.volume_file(SUBJECT, "brainmask")
    for space in layout.SPACES:
        extracted = []
        for session in range(1, SESSIONS[SUBJECT] + 1):
            own = trials[trials["session"] == session]
            raw = (
                volume_session(nsd / layout.volume_betas(SUBJECT, VERSION, session), mask, len(own))
                if space == "func1pt8mm"
                else surface_session(
                    [nsd / layout.surface_betas(SUBJECT, VERSION, session, side) for side in layout.HEMISPHERES],
                    len(own),
                )
            )
            extracted.append(tmp_path / f"{space}-{session}.nc")
            extract_session(raw, own, extracted[-1])
        average_repeats(
            extracted,
            tmp_path / f"{space}.nc",
            repeats=tmp_path / f"{space}_repeats.nc",
            repeats_of=None,
            subject=SUBJECT,
            incomplete_data="exclude",
        )
    voxels = read_volume_units(
        tmp_path / "func1pt8mm.nc",
        mask=mask,
        valid=nsd / layout.volume_file(SUBJECT, "valid"),
        nsdgeneral=nsd / layout.volume_file(SUBJECT, "roi/nsdgeneral"),
        ncsnr=nsd / layout.volume_ncsnr(SUBJECT, VERSION),
    )
    vertices = read_surface_units(
        tmp_path / "fsaverage.nc",
        nsdgeneral=[nsd / layout.surface_label("fsaverage", side, "nsdgeneral") for side in layout.HEMISPHERES],
        ncsnr=[nsd / layout.surface_ncsnr(SUBJECT, VERSION, "fsaverage", side) for side in layout.HEMISPHERES],
    )
    row = tabulate_quality(trials, {SUBJECT: 3}, {SUBJECT: voxels}, {SUBJECT: vertices}).iloc[0]
    for space, plural in (("func1pt8mm", "voxels"), ("fsaverage", "vertices")):
        with open_array(tmp_path / f"{space}.nc", variables=["betas"]) as file:
            assert row[f"{plural}_used"] == np.isfinite(file["betas"].to_numpy()).all(axis=0).sum()
    with open_array(miniature / "truth" / f"{SUBJECT}_surface.nc", variables=["valid"]) as file:
        n_missing = int((~file["valid"].to_numpy().astype(bool)).sum())
    assert row["vertices_excluded"] == n_missing > 0
    assert 0 < row["voxels_excluded"] < 0.1 * row["voxels"]
    assert row["voxels_disagreeing"] == 0
