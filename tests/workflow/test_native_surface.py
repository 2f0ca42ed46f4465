"""The tiny study on betas of native surfaces: what it finds with those of fsaverage, but for rounding."""

import re
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from running import TINY, copy_study, run_snakemake
from scipy import stats
from scipy.spatial.distance import squareform

from capcortex.nsd import layout

VERSION = "betas_fithrf_GLMdenoise_RR"
BETAS, RDMS = "results/betas/subj01_space-fsaverage.nc", "results/rdms/rois/subj01_space-fsaverage.nc"
LABELS = {"early": 1, "midlateral": 3, "ventral": 5, "lateral": 6}
# NSD's int16 counts steps of 1/300 per cent; z-scores are stored in steps of 0.001.
STEP, Z_STEP = 1 / 300, 0.001


@pytest.fixture(scope="module")
def native_study(tiny_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tiny study, with the first subject's regions from betas of native surfaces."""
    folder = tmp_path_factory.mktemp("native")
    copy_study(tiny_study, folder)
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | {"surface_betas": "nativesurface"}))
    done = run_snakemake(folder, "--", RDMS, config=overlay)
    assert done.returncode == 0, done.stderr[-4000:]
    ran = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    ran.pop("total")
    assert ran == {"extract_surface_session": "3", "average_repeats": "1", "compute_roi_rdm": "1"}
    return folder


def opened(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def mgh(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj).squeeze().astype(float)


@pytest.fixture(scope="module")
def rounding(tiny_study: Path) -> xr.Dataset:
    """What rounding does to an averaged beta, (id73k, vertex), from NSD's files on fsaverage.

    ``largest``: betas b with errors of at most half a step have a mean that is off by at most half a step, and by the triangle
    inequality a standard deviation s' that is; so z = (b - mean) / s is off by at most (1 + |z| / 2) steps / s'. Stored z-scores
    of both routes are off by half a Z_STEP each, and a mean of three is off by at most the mean of what they are.

    ``variance``: of even errors over a step, and over a Z_STEP in both routes, in each of three repeats.
    """
    nsd, largest, variance = tiny_study / "resources/nsd", [], []
    for session in (1, 2, 3):
        files = [nsd / layout.surface_betas("subj01", VERSION, session, hemisphere) for hemisphere in ("lh", "rh")]
        betas = np.concatenate([mgh(path) for path in files]).T
        step = STEP / (np.rint(betas / STEP) * STEP).std(axis=0)
        largest.append(step * (1 + np.abs(stats.zscore(betas, axis=0)) / 2) + Z_STEP)
        variance.append(np.broadcast_to((step**2 + 2 * Z_STEP**2) / 12, betas.shape))
    shown = pd.read_csv(nsd / layout.responses("subj01"), sep="\t")["73KID"].to_numpy()
    images, counts = np.unique(shown, return_counts=True)
    images = images[counts == 3]

    def averaged(values: list[np.ndarray], n: int) -> tuple[tuple[str, str], list[np.ndarray]]:
        return ("id73k", "vertex"), [np.concatenate(values)[shown == image].sum(axis=0) / n for image in images]

    return xr.Dataset({"largest": averaged(largest, 3), "variance": averaged(variance, 9)}, coords={"id73k": images})


def test_averages_have_the_same_missing_vertices_and_differ_by_rounding(
    tiny_study: Path, native_study: Path, rounding: xr.Dataset
) -> None:
    common, native = (opened(folder / BETAS)["betas"] for folder in (tiny_study, native_study))
    assert np.array_equal(common["id73k"], native["id73k"])
    missing = common.isnull()
    # The first subject has missing data in its second session.
    assert 20 < missing.any("id73k").sum() < 500
    assert missing.equals(native.isnull())
    difference = native - common
    bound = rounding["largest"].sel(id73k=common["id73k"]) + 1e-5
    assert bool((np.abs(difference) <= bound).where(~missing, True).all())
    # Nothing but rounding, and no less.
    expected = rounding["variance"].sel(id73k=common["id73k"]).where(~missing).mean()
    assert float((difference**2).mean() / expected) == pytest.approx(1, abs=0.1)


def test_rdms_and_scores_of_regions_agree(tiny_study: Path, native_study: Path, rounding: xr.Dataset) -> None:
    """Six standard deviations of what rounding does, for some 7,000 distances.

    An error e of pattern a changes its correlation r with another, to first order, by the part of e along one direction over |a|:
    by a standard deviation of at most that of e's elements / |a|. Vertices of fsaverage that share a native vertex share
    their errors; each of them is taken less than twice on average. A score is the cosine of an angle between two centred RDMs,
    which changes by at most the angle by which errors turn an RDM.
    """
    common, native = (opened(folder / RDMS) for folder in (tiny_study, native_study))
    for name in ("n_units", "n_left_out_missing", "id73k"):
        assert common[name].equals(native[name])
    assert int(common["n_left_out_missing"].sum()) > 0
    betas = opened(tiny_study / BETAS)["betas"]
    model = opened(tiny_study / "results/rdms/models/caption.nc")["rdm"]
    files = [
        tiny_study / "resources/nsd" / layout.surface_label("fsaverage", hemisphere, "streams")
        for hemisphere in ("lh", "rh")
    ]
    labels = np.concatenate([mgh(path) for path in files])
    assert common["roi"].to_numpy().tolist() == list(LABELS)
    for roi, label in LABELS.items():
        here = (labels == label) & np.isfinite(betas[0].to_numpy())
        assert here.sum() == int(common["n_units"].sel(roi=roi))
        for image_set in common["image_set"].to_numpy():
            images = common["id73k"].sel(image_set=image_set).to_numpy()
            patterns = betas.sel(id73k=images).to_numpy()[:, here].astype(float)
            patterns -= patterns.mean(axis=1, keepdims=True)
            variance = 2 * rounding["variance"].sel(id73k=images).to_numpy()[:, here].mean(axis=1)
            variance /= (patterns**2).sum(axis=1)
            pairs = np.add.outer(variance, variance) * (1 - np.eye(len(images)))
            bound = 6 * np.sqrt(squareform(pairs)) + 1e-6
            rdms = [
                study["rdm"].sel(roi=roi, image_set=image_set).to_numpy().astype(float) for study in (common, native)
            ]
            assert (np.abs(rdms[0] - rdms[1]) <= bound).all()
            scores = [stats.pearsonr(rdm, model.sel(image_set=image_set)).statistic for rdm in rdms]
            turn = np.linalg.norm(bound) / np.linalg.norm(rdms[0] - rdms[0].mean())
            assert abs(scores[0] - scores[1]) <= np.arcsin(turn) < 0.01
