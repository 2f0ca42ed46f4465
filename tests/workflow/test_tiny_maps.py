"""The tiny study's maps: equal to what rsatoolbox makes of the raw files, and sensitive to a slip by one image."""

import re
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from running import TINY, run_snakemake, script

from capcortex.images import read_volume
from capcortex.nsd import layout
from capcortex.nsd.bookkeeping import read_session_trials
from capcortex.nsd.image_sets import read_image_sets
from capcortex.nsd.sessions import extract_session, volume_session
from capcortex.tables import read_table

SUBJECTS = ["subj01", "subj02", "subj03"]
VERSION = "betas_fithrf_GLMdenoise_RR"
RADIUS = yaml.safe_load(TINY.read_text())["searchlight"]["radius"]


def measure_from_raw_files(tiny_study: Path, subject: str) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Mask of usable voxels, and the averaged z-scores of every image, straight from NSD's files."""
    nsd = tiny_study / "resources/nsd"
    responses = pd.read_csv(nsd / layout.responses(subject), sep="\t")
    inside = np.asarray(nibabel.load(nsd / layout.volume_file(subject, "brainmask")).dataobj) > 0
    z = []
    for session in sorted(responses["SESSION"].unique()):
        betas = np.asarray(nibabel.load(nsd / layout.volume_betas(subject, VERSION, session)).dataobj)[inside].T / 300
        deviation = betas.std(axis=0)
        z.append((betas - betas.mean(axis=0)) / np.where(deviation > 0, deviation, np.nan))
    z = np.concatenate(z)
    usable = inside.copy()
    usable[inside] = np.isfinite(z).all(axis=0)
    z = z[:, np.isfinite(z).all(axis=0)]
    images, counts = np.unique(responses["73KID"], return_counts=True)
    shown = responses["73KID"].to_numpy()
    return usable, {int(image): z[shown == image].mean(axis=0) for image in images[counts == 3]}


def test_maps_are_what_rsatoolbox_makes_of_the_raw_files(tiny_study: Path) -> None:
    from rsatoolbox.rdm import RDMs, compare
    from rsatoolbox.util.searchlight import get_searchlight_RDMs, get_volume_searchlight

    subject = "subj01"
    usable, patterns = measure_from_raw_files(tiny_study, subject)
    centres, _ = get_volume_searchlight(usable, radius=RADIUS, threshold=0.5)
    every_voxel, members = get_volume_searchlight(usable, radius=RADIUS, threshold=0, truncate_at_boundary=True)
    sphere = dict(zip(every_voxel, members, strict=True))
    results = tiny_study / "results"
    found, _ = read_volume(results / f"maps/caption/{subject}_space-func1pt8mm_r.nii.gz")
    sizes, _ = read_volume(results / f"maps/caption/{subject}_space-func1pt8mm_size.nii.gz")
    assert np.array_equal(np.flatnonzero(np.isfinite(found)), np.sort(centres))

    chosen = np.random.default_rng(1).choice(centres, 150, replace=False)
    sets, labels = read_image_sets([results / f"design/image_sets/{subject}.tsv"])
    with xr.open_dataset(results / "rdms/models/caption.nc", engine="h5netcdf") as file:
        model = file["rdm"].sel(image_set=labels).to_numpy()
    flat = np.zeros((len(sets[0]), usable.size))
    r = []
    for images, of_model in zip(sets, model, strict=True):
        flat[:, usable.ravel()] = [patterns[int(image)] for image in images]
        rdms = get_searchlight_RDMs(flat, chosen, [sphere[centre] for centre in chosen], np.arange(len(images)))
        r.append(compare(rdms, RDMs(of_model[None].astype(float)), method="corr")[:, 0])
    # The study's z-scores are stored in steps of 0.001, which is what remains of a difference.
    np.testing.assert_allclose(found.ravel()[chosen], np.mean(r, axis=0), atol=2e-3)
    assert np.array_equal(sizes.ravel()[chosen], [sphere[centre].size for centre in chosen])


def test_scores_agree_with_rsatoolbox_to_a_millionth_on_the_same_betas(tiny_study: Path) -> None:
    from rsatoolbox.rdm import RDMs, compare
    from rsatoolbox.util.searchlight import get_searchlight_RDMs, get_volume_searchlight

    subject, results = "subj02", tiny_study / "results"
    with xr.open_dataset(results / f"betas/{subject}_space-func1pt8mm.nc", engine="h5netcdf") as file:
        betas = file.load()
    with xr.open_dataset(results / f"searchlight/sets/caption/{subject}_block-01.nc", engine="h5netcdf") as file:
        scores = file.load()
    mask, _ = read_volume(tiny_study / "resources/nsd" / layout.volume_file(subject, "brainmask"))
    every_voxel, members = get_volume_searchlight(mask, radius=RADIUS, threshold=0, truncate_at_boundary=True)
    sphere = dict(zip(every_voxel, members, strict=True))
    sets, labels = read_image_sets([results / f"design/image_sets/{subject}.tsv"])
    with xr.open_dataset(results / "rdms/models/caption.nc", engine="h5netcdf") as file:
        model = file["rdm"].sel(image_set=labels[1]).to_numpy()
    flat = np.zeros((len(sets[1]), mask.size))
    voxels = np.ravel_multi_index([betas[axis].to_numpy() for axis in "ijk"], mask.shape)
    flat[:, voxels] = betas["betas"].sel(id73k=sets[1]).to_numpy()
    chosen = np.random.default_rng(2).choice(scores.sizes["centre"], 300, replace=False)
    centres = np.ravel_multi_index([scores[axis].to_numpy()[chosen] for axis in "ijk"], mask.shape)
    rdms = get_searchlight_RDMs(flat, centres, [sphere[centre] for centre in centres], np.arange(len(sets[1])))
    expected = compare(rdms, RDMs(model[None].astype(float)), method="corr")[:, 0]
    found = scores["r"].sel(model="caption", image_set=labels[1]).to_numpy()[chosen]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_both_formats_of_the_volume_betas_hold_the_same(tiny_study: Path, tmp_path: Path) -> None:
    """The miniature's twins, and what the study extracts from them."""
    nsd = tiny_study / "resources/nsd"
    paths = {suffix: nsd / layout.volume_betas("subj01", VERSION, 2, suffix=suffix) for suffix in ("nii.gz", "hdf5")}
    with h5py.File(paths["hdf5"]) as file:
        assert np.array_equal(file["betas"][:].T, np.asarray(nibabel.load(paths["nii.gz"]).dataobj))
    trials = read_session_trials(tiny_study / "results/design/trials/subj01.tsv", 2)
    extracted = []
    for suffix, path in paths.items():
        raw = volume_session(path, nsd / layout.volume_file("subj01", "brainmask"), len(trials))
        extract_session(raw, trials, tmp_path / f"{suffix}.nc")
        with xr.open_dataset(tmp_path / f"{suffix}.nc", engine="h5netcdf", mask_and_scale=False) as file:
            extracted.append(file.load())
    assert extracted[0].identical(extracted[1])


def test_maps_leave_as_nifti_and_gifti_with_the_values_of_the_study(tiny_study: Path) -> None:
    maps = tiny_study / "results/maps/caption"
    with xr.open_dataset(maps / "subjects_space-fsaverage.nc", engine="h5netcdf") as file:
        of_subjects = file["r"].load()
    images = [nibabel.load(maps / f"{hemisphere}.subjects_space-fsaverage.func.gii") for hemisphere in ("lh", "rh")]
    halves = [{array.meta["Name"]: array.data for array in image.darrays} for image in images]
    for subject in SUBJECTS:
        both = np.concatenate([half[subject] for half in halves])
        assert np.array_equal(both, of_subjects.sel(subject=subject).to_numpy(), equal_nan=True)
    with xr.open_dataset(maps / "group_space-fsaverage.nc", engine="h5netcdf") as file:
        everywhere = np.isfinite(of_subjects.to_numpy()).all(axis=0)
        mean = of_subjects.to_numpy()[:, everywhere].mean(axis=0)
        np.testing.assert_allclose(file["mean"].to_numpy()[everywhere], mean, atol=1e-6)
        assert everywhere.mean() > 0.9
    r = nibabel.load(maps / "subj02_space-func1pt8mm_r.nii.gz")
    mask = nibabel.load(tiny_study / "resources/nsd" / layout.volume_file("subj02", "brainmask"))
    assert np.array_equal(r.affine, mask.affine)
    assert not np.isfinite(np.asarray(r.dataobj)[np.asarray(mask.dataobj) == 0]).any()


def catmull_rom(before: float, start: float, end: float, after: float, at: float) -> float:
    """The cubic between two values whose slopes at both are half the difference of their neighbours."""
    slope_0, slope_1 = (end - before) / 2, (after - start) / 2
    return (
        (2 * at**3 - 3 * at**2 + 1) * start
        + (at**3 - 2 * at**2 + at) * slope_0
        + (3 * at**2 - 2 * at**3) * end
        + (at**3 - at**2) * slope_1
    )


def sample_by_hand(volume: np.ndarray, point: np.ndarray) -> float:
    """Catmull-Rom along one axis after the other, at a 0-based point; NaN where a voxel has no value."""
    low = np.floor(point).astype(int)
    cube = volume[tuple(slice(at - 1, at + 3) for at in low)]
    for axis in range(3):
        cube = catmull_rom(*cube, point[axis] - low[axis])
    return float(cube)


@pytest.mark.parametrize("subject", ["subj01", "subj03"])
def test_surface_maps_are_the_volumes_sampled_by_hand(tiny_study: Path, subject: str) -> None:
    """From the NIfTI file of a subject to its map on fsaverage: right subject, hemisphere, depths, axes and index."""
    nsd, maps = tiny_study / "resources/nsd", tiny_study / "results/maps/caption"
    volume = np.asarray(nibabel.load(maps / f"{subject}_space-func1pt8mm_r.nii.gz").dataobj, dtype=float)
    with xr.open_dataset(maps / "subjects_space-fsaverage.nc", engine="h5netcdf") as file:
        found = file["r"].sel(subject=subject).to_numpy()
    for start, hemisphere in ((0, "lh"), (10_242, "rh")):
        index = np.asarray(nibabel.load(nsd / layout.transform(subject, hemisphere, "white-to-fsaverage")).dataobj)
        depths = [
            np.asarray(nibabel.load(nsd / layout.transform(subject, hemisphere, f"func1pt8-to-layerB{number}")).dataobj)
            for number in (1, 2, 3)
        ]
        compared = 0
        for vertex in np.random.default_rng(5).permutation(10_242)[:400]:
            points = [depth[int(index.ravel()[vertex]) - 1].ravel() - 1.0 for depth in depths]
            if any((point < 1).any() or (point > np.array(volume.shape) - 3).any() for point in points):
                continue
            expected = np.mean([sample_by_hand(volume, point) for point in points])
            if np.isfinite(expected):
                np.testing.assert_allclose(found[start + vertex], expected, atol=1e-5)
                compared += 1
        assert compared > 100


def test_captions_shifted_by_one_image_are_not_found_on_the_maps(tiny_study: Path, tmp_path: Path) -> None:
    """The same images with the captions of their neighbours: the map of ventral cortex falls to nothing."""
    results = tiny_study / "results"
    with xr.open_dataset(results / "models/features/caption.nc", engine="h5netcdf") as file:
        features = file.load()
    features.assign(features=features["features"].roll(id73k=1)).to_netcdf(tmp_path / "shifted.nc", engine="h5netcdf")
    subject = "subj02"
    script("score_searchlight").main(
        betas=str(results / f"betas/{subject}_space-func1pt8mm.nc"),
        mask=str(tiny_study / "resources/nsd" / layout.volume_file(subject, "brainmask")),
        image_sets=str(results / f"design/image_sets/{subject}.tsv"),
        features={"caption": str(results / "models/features/caption.nc"), "shifted": str(tmp_path / "shifted.nc")},
        model_distances=["correlation", "correlation"],
        subject=subject,
        block=1,
        sets_per_job=10,
        radius=RADIUS,
        least_share=0.5,
        distance="correlation",
        scores=str(tmp_path / "scores.nc"),
    )
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as file:
        scores = file.load()
    with xr.open_dataset(tiny_study / f"resources/miniature/truth/{subject}_volume.nc", engine="h5netcdf") as file:
        ventral = {tuple(place) for place in np.column_stack([file[axis] for axis in "ijk"])[file["region"] == 5]}
    places = zip(*(scores[axis].to_numpy() for axis in "ijk"), strict=True)
    inside = np.array([place in ventral for place in places])
    assert inside.sum() > 50
    r = scores["r"].to_numpy()[:, :, inside].mean(axis=2)
    intact, shifted = r[0], r[1]
    assert intact.mean() > 0.1
    assert abs(shifted.mean()) < 0.2 * intact.mean()


def test_the_check_has_rows_of_maps(tiny_study: Path) -> None:
    check = read_table(tiny_study / "results/check.tsv", columns=["check", "roi", "kind", "ok"])
    maps = check[check["check"].str.contains("map of caption")]
    effects = maps[maps["kind"] == "effect"]
    assert set(effects["roi"]) == {"ventral", "lateral", "parietal", "midventral"}
    assert (effects["ok"] == "yes").all()
    surface = maps["check"].str.contains("surface")
    assert set(maps.loc[(maps["kind"] == "null") & ~surface, "roi"]) == {"elsewhere"}
    assert set(maps.loc[surface, "roi"]) == {"ventral", "lateral", "parietal"}


def plan(tiny_study: Path, tmp_path: Path, **changes: object) -> dict[str, int]:
    """Jobs that the tiny study would run after changes of its config."""
    tiny = yaml.safe_load(TINY.read_text())
    tiny.update(changes)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(tiny))
    done = run_snakemake(tiny_study, "--dry-run", config=overlay)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M)}


def test_without_mapped_models_nothing_is_read_of_the_volume(tiny_study: Path, tmp_path: Path) -> None:
    planned = plan(tiny_study, tmp_path, searchlight={"models": [], "contrasts": []})
    assert not {name for name in planned if "searchlight" in name or "volume" in name or "map" in name}


@pytest.mark.parametrize(
    ("searchlight", "words"),
    [
        ({"models": ["captions"]}, ["searchlight: models", "captions", "nearest: 'caption'"]),
        ({"contrasts": [["caption", "categories"]]}, ["searchlight: contrasts", "categories", "caption"]),
        ({"radius": 0.5}, ["searchlight: radius", "0.5"]),
        ({"raduis": 3}, ["raduis", "radius"]),
    ],
)
def test_a_bad_searchlight_is_refused(tmp_path: Path, searchlight: dict, words: list[str]) -> None:
    tiny = yaml.safe_load(TINY.read_text())
    tiny["searchlight"] |= searchlight
    config = tmp_path / "changed.yaml"
    config.write_text(yaml.safe_dump(tiny))
    done = run_snakemake(tmp_path, "--dry-run", config=config)
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr + done.stdout
