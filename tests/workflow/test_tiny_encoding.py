"""The tiny study's encoding: signal where it was planted and nowhere else, as long as captions belong to their images."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from running import ROOT, script

from capcortex.nsd.layout import HEMISPHERES

SUBJECTS = ["subj01", "subj02", "subj03"]
REGIONS = {"early": 1, "midlateral": 3, "ventral": 5, "lateral": 6}
ENCODING = "results/encoding/caption/{subject}_space-fsaverage.nc"
MAPS = "results/maps/encoding_caption"
BOUND = yaml.safe_load((ROOT / "config/truth.yaml").read_text())["equivalence_bound"]


def fit_encoding(*, rule: str = "fit_encoding", **files: str) -> None:
    script(rule).main(subject="subj01", model="caption", **files)


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


def test_one_fraction_for_all_vertices_predicts_less_where_signal_is(tiny_study: Path, tmp_path: Path) -> None:
    fit_encoding(
        rule="fit_encoding_as_released",
        betas=str(tiny_study / "results/betas/subj01_space-fsaverage.nc"),
        features=str(tiny_study / "results/models/features/caption.nc"),
        trials=trials_of(tiny_study),
        encoding=str(tmp_path / "encoding.nc"),
    )
    released = load(tmp_path / "encoding.nc")
    sound = load(tiny_study / ENCODING.format(subject="subj01"))
    # Vertices without signal, nine of ten, vote for the smallest fraction; those with signal choose larger ones.
    assert float(released["fraction_as_released"]) == pytest.approx(0.05)
    region = load(tiny_study / "resources/miniature/truth/subj01_surface.nc")["region"].to_numpy()
    ventral = (region == REGIONS["ventral"]) & np.isfinite(sound["r"].to_numpy())
    assert np.mean(sound["fraction"].to_numpy()[ventral]) > 0.06
    difference = (sound["r"].to_numpy() - released["r_as_released"].to_numpy())[ventral]
    assert np.abs(difference).max() > 0.01
    np.testing.assert_array_equal(np.isnan(released["r_as_released"]), np.isnan(sound["r"]))


def test_sentences_are_predicted_with_the_coefficients_that_were_tested(tiny_study: Path) -> None:
    vectors = load(tiny_study / "results/encoding/sentences.nc")["features"]
    for subject in SUBJECTS:
        fitted = load(tiny_study / ENCODING.format(subject=subject))
        coefficients = fitted["coefficients"].to_numpy() * fitted["coefficient_scale"].to_numpy().astype(np.float64)
        for group in ("people", "places"):
            expected = vectors.sel(group=group).to_numpy() @ coefficients + fitted["intercept"].to_numpy()
            found = load(tiny_study / f"results/maps/sentences_{group}/subjects_space-fsaverage.nc")["response"]
            np.testing.assert_allclose(found.sel(subject=subject), expected, rtol=1e-4, atol=1e-5)
    two = [
        load(tiny_study / f"results/maps/sentences_{group}/subjects_space-fsaverage.nc")
        for group in ("people", "places")
    ]
    group_map = load(tiny_study / "results/maps/sentences_people_minus_places/group_space-fsaverage.nc")
    mean = (two[0]["response"] - two[1]["response"]).to_numpy().mean(axis=0)
    np.testing.assert_allclose(group_map["mean"], np.where(np.isfinite(mean), mean, group_map["mean"]), atol=1e-5)


def test_the_table_is_the_mean_over_vertices_of_a_region(tiny_study: Path) -> None:
    table = pd.read_csv(tiny_study / "results/tables/encoding.tsv", sep="\t").set_index(["subject", "roi"])
    agreement = load(tiny_study / "results/encoding/agreement_space-fsaverage.nc")
    for subject in SUBJECTS:
        region = load(tiny_study / f"resources/miniature/truth/{subject}_surface.nc")["region"].to_numpy()
        r = load(tiny_study / ENCODING.format(subject=subject))["r"].to_numpy()
        for name, label in REGIONS.items():
            inside = (region == label) & np.isfinite(r)
            row = table.loc[(subject, name)]
            assert row["n_vertices"] == inside.sum()
            assert row["r"] == pytest.approx(r[inside].mean(), abs=1e-6)
            own = agreement["agreement"].sel(subject=subject).to_numpy()[inside]
            assert row["agreement"] == pytest.approx(np.nanmean(own), abs=1e-6)
            assert 0 <= row["noise_ceiling"] <= 1


def test_people_agree_where_they_were_made_alike(tiny_study: Path) -> None:
    table = pd.read_csv(tiny_study / "results/tables/encoding.tsv", sep="\t")
    agreement = table.groupby("roi")["agreement"].mean()
    # Of 600 vertices and 71 images the standard error of a mean r is 0.005, if vertices were independent.
    for name in ("early", "ventral", "lateral"):
        assert agreement[name] > 0.03
    assert abs(agreement["midlateral"]) < 0.03
