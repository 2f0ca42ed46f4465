"""The tiny study's encoding: signal where it was planted and nowhere else, as long as captions belong to their images."""

import importlib.util
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from running import ROOT

from capcortex.nsd.layout import HEMISPHERES

SUBJECTS = ["subj01", "subj02", "subj03"]
REGIONS = {"early": 1, "midlateral": 3, "ventral": 5, "lateral": 6}
ENCODING = "results/encoding/caption/{subject}_space-fsaverage.nc"
MAPS = "results/maps/encoding_caption"
BOUND = yaml.safe_load((ROOT / "config/truth.yaml").read_text())["equivalence_bound"]


def fit_encoding(**files: str) -> None:
    spec = importlib.util.spec_from_file_location("fit_encoding", ROOT / "scripts/fit_encoding.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(subject="subj01", model="caption", **files)


def trials_of(tiny_study: Path) -> list[str]:
    return [str(tiny_study / f"results/design/trials/{subject}.tsv") for subject in SUBJECTS]


def load(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def means(tiny_study: Path, r: np.ndarray, subject: str) -> dict[str, float]:
    """Mean of r over the vertices of each region, and elsewhere."""
    region = load(tiny_study / f"resources/miniature/truth/{subject}_surface.nc")["region"].to_numpy()
    found = {}
    for name, label in REGIONS.items() | {("elsewhere", 0)}:
        found[name] = float(r[(region == label) & np.isfinite(r)].mean())
    return found


def test_signal_is_found_where_it_was_planted_and_nowhere_else(tiny_study: Path) -> None:
    """Of the subject that has training images enough: others have six."""
    encoding = load(tiny_study / ENCODING.format(subject="subj01"))
    found = means(tiny_study, encoding["r"].to_numpy(), "subj01")
    for name in ("ventral", "lateral"):
        assert found[name] > 3 * BOUND
    for name in ("early", "midlateral", "elsewhere"):
        assert abs(found[name]) < BOUND


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_image_trains_or_tests(tiny_study: Path, subject: str) -> None:
    attrs = load(tiny_study / ENCODING.format(subject=subject)).attrs
    shared = pd.read_csv(tiny_study / "results/design/image_sets/shared-all.tsv", sep="\t")
    n_images = load(tiny_study / f"results/betas/{subject}_space-fsaverage.nc").sizes["id73k"]
    assert attrs["n_test_images"] == len(shared)
    assert attrs["n_test_images"] + attrs["n_training_images"] == n_images


def test_captions_of_the_next_image_predict_nothing(tiny_study: Path, tmp_path: Path) -> None:
    features = load(tiny_study / "results/models/features/caption.nc")
    shifted = features.assign(features=(("id73k", "feature"), np.roll(features["features"].to_numpy(), 1, axis=0)))
    shifted.to_netcdf(tmp_path / "caption.nc", engine="h5netcdf")
    fit_encoding(
        betas=str(tiny_study / "results/betas/subj01_space-fsaverage.nc"),
        features=str(tmp_path / "caption.nc"),
        trials=trials_of(tiny_study),
        encoding=str(tmp_path / "encoding.nc"),
    )
    found = means(tiny_study, load(tmp_path / "encoding.nc")["r"].to_numpy(), "subj01")
    assert abs(found["ventral"]) < BOUND
    assert abs(found["lateral"]) < BOUND


def test_responses_to_test_images_enter_no_fit_and_order_of_features_does_not_matter(
    tiny_study: Path, tmp_path: Path
) -> None:
    shared = pd.read_csv(tiny_study / "results/design/image_sets/shared-all.tsv", sep="\t")["id73k"].to_numpy()
    betas = load(tiny_study / "results/betas/subj01_space-fsaverage.nc").isel(vertex=slice(9000, 9400))
    features = load(tiny_study / "results/models/features/caption.nc")
    changed = betas.copy(deep=True)
    rows = np.flatnonzero(np.isin(betas["id73k"], shared))
    changed["betas"][rows] = betas["betas"].to_numpy()[rows[::-1]]
    found = []
    for number, (responses, order) in enumerate([(betas, 1), (betas, -1), (changed, 1)]):
        paths = {name: str(tmp_path / f"{name}-{number}.nc") for name in ("betas", "features", "encoding")}
        responses.to_netcdf(paths["betas"], engine="h5netcdf")
        features.isel(id73k=slice(None, None, order)).to_netcdf(paths["features"], engine="h5netcdf")
        fit_encoding(**paths, trials=trials_of(tiny_study))
        found.append(load(Path(paths["encoding"])))
    xr.testing.assert_equal(found[0], found[1])
    for name in ("fraction", "cross_validated_r2"):
        xr.testing.assert_equal(found[0][name], found[2][name])
    assert np.nanmax(np.abs(found[0]["r"] - found[2]["r"])) > 0.1


def test_too_few_shared_images_are_refused_with_their_number(tiny_study: Path, tmp_path: Path) -> None:
    trials = pd.read_csv(trials_of(tiny_study)[1], sep="\t")
    shared = pd.read_csv(tiny_study / "results/design/image_sets/shared-all.tsv", sep="\t")["id73k"][:9]
    trials[trials["id73k"].isin(shared)].to_csv(tmp_path / "subj02.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match=r"subj01: \d+ images to train on and 9 that all subjects saw .* at least 10"):
        fit_encoding(
            betas=str(tiny_study / "results/betas/subj01_space-fsaverage.nc"),
            features=str(tiny_study / "results/models/features/caption.nc"),
            trials=[trials_of(tiny_study)[0], str(tmp_path / "subj02.tsv")],
            encoding=str(tmp_path / "encoding.nc"),
        )
    assert not (tmp_path / "encoding.nc").exists()


def test_maps_hold_what_was_fitted_left_hemisphere_first(tiny_study: Path) -> None:
    maps = load(tiny_study / MAPS / "subjects_space-fsaverage.nc")["r"]
    halves = [
        nibabel.load(tiny_study / MAPS / f"{hemisphere}.subjects_space-fsaverage.func.gii")
        for hemisphere in HEMISPHERES
    ]
    for number, subject in enumerate(SUBJECTS):
        fitted = load(tiny_study / ENCODING.format(subject=subject))["r"].to_numpy()
        np.testing.assert_array_equal(maps.sel(subject=subject), fitted)
        np.testing.assert_allclose(np.concatenate([half.darrays[number].data for half in halves]), fitted, rtol=1e-6)
    group = load(tiny_study / MAPS / "group_space-fsaverage.nc")
    np.testing.assert_allclose(group["mean"], np.nanmean(maps.to_numpy(), axis=0), atol=1e-6)
    assert (tiny_study / "results/figures/group-map_encoding_caption.png").exists()
