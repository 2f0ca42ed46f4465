"""The tiny study's decoding: images are told apart where something was planted and nowhere else, by captions that are theirs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from running import script

from capcortex.nsd import layout

SUBJECTS = ["subj01", "subj02", "subj03"]
DECODING = "results/decoding/caption/{subject}.nc"


def decode(tiny_study: Path, decoding: Path, rois: list[str], **changes: str | None) -> xr.Dataset:
    """Decode the first subject, who has training images enough: others have six."""
    nsd = tiny_study / "resources/nsd"
    version = "betas_fithrf_GLMdenoise_RR"
    files = {
        "betas": str(tiny_study / "results/betas/subj01_space-fsaverage.nc"),
        "features": str(tiny_study / "results/models/features/caption.nc"),
        "vectors": None,
        "sentences": None,
        "of_captions": None,
    }
    script("decode_embeddings").main(
        **files | changes,
        trials=[str(tiny_study / f"results/design/trials/{subject}.tsv") for subject in SUBJECTS],
        labels=[
            str(nsd / layout.surface_label("fsaverage", hemisphere, "streams")) for hemisphere in layout.HEMISPHERES
        ],
        names=[str(nsd / layout.label_names("fsaverage", "streams"))],
        indices=[],
        ncsnr=[
            str(nsd / layout.surface_ncsnr("subj01", version, "fsaverage", hemisphere))
            for hemisphere in layout.HEMISPHERES
        ],
        rois={"streams": rois},
        native=[],
        least_ncsnr=None,
        as_released=True,
        subject="subj01",
        model="caption",
        decoding=str(decoding),
    )
    return load(decoding)


def load(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def table_of(tiny_study: Path, subject: str) -> pd.Series:
    table = pd.read_csv(tiny_study / "results/tables/decoding.tsv", sep="\t")
    return table[table["subject"] == subject].set_index("measure")["value"]


def test_images_are_told_apart_by_responses_and_more_than_by_the_mean_embedding(tiny_study: Path) -> None:
    found = table_of(tiny_study, "subj01")
    assert found["identification"] > 0.8
    assert found["r"] > found["r_mean_only"] + 0.05
    assert found["r"] > found["r_mismatched"] + 0.1
    assert abs(found["r_mismatched_without_mean"]) < 0.05
    assert found["r_without_mean"] < found["r"] < found["caption_ceiling"]


def test_where_nothing_is_planted_images_are_not_told_apart(tiny_study: Path, tmp_path: Path) -> None:
    """Though r is high, also as released: only with other images beside it can it be understood."""
    found = decode(tiny_study, tmp_path / "decoding.nc", ["midlateral", "midparietal"])
    # Of 115 images, whose shares vary with a spread of 0.3.
    assert abs(float(found["identification"].mean()) - 0.5) < 0.1
    assert float(found["r"].mean()) > 0.2
    assert float(found["r"].mean()) == pytest.approx(float(found["mismatched"].mean()), abs=0.05)
    assert abs(float(found["r_as_released"].mean())) < 0.05
    planted = decode(tiny_study, tmp_path / "planted.nc", ["ventral", "lateral"])
    assert float(planted["identification"].mean()) > 0.8


def test_captions_of_the_next_image_tell_nothing(tiny_study: Path, tmp_path: Path) -> None:
    features = load(tiny_study / "results/models/features/caption.nc")
    shifted = features.assign(features=(("id73k", "feature"), np.roll(features["features"].to_numpy(), 1, axis=0)))
    shifted.to_netcdf(tmp_path / "caption.nc", engine="h5netcdf")
    found = decode(tiny_study, tmp_path / "decoding.nc", ["ventral", "lateral"], features=str(tmp_path / "caption.nc"))
    assert abs(float(found["identification"].mean()) - 0.5) < 0.1


def test_order_of_features_does_not_matter_and_the_study_has_what_the_script_makes(
    tiny_study: Path, tmp_path: Path
) -> None:
    features = load(tiny_study / "results/models/features/caption.nc")
    features.isel(id73k=slice(None, None, -1)).to_netcdf(tmp_path / "caption.nc", engine="h5netcdf")
    rois = ["early", "midlateral", "ventral", "lateral"]
    found = decode(tiny_study, tmp_path / "decoding.nc", rois, features=str(tmp_path / "caption.nc"))
    expected = load(tiny_study / DECODING.format(subject="subj01"))
    for name in ("id73k", "r", "identification", "predicted"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


def test_the_dictionary_has_captions_of_other_images_and_the_ceiling_those_of_these(tiny_study: Path) -> None:
    shared = pd.read_csv(tiny_study / "results/design/image_sets/shared-all.tsv", sep="\t")["id73k"].to_numpy()
    captions = pd.read_csv(tiny_study / "results/captions/captions.tsv", sep="\t", keep_default_na=False)
    sentences = pd.read_csv(
        tiny_study / "results/decoding/caption/sentences.tsv", sep="\t", keep_default_na=False, dtype=str
    )["sentence"]
    assert list(sentences) == list(captions.loc[~captions["id73k"].isin(shared), "caption"].drop_duplicates())
    decoding = load(tiny_study / DECODING.format(subject="subj01"))
    np.testing.assert_array_equal(decoding["id73k"], shared)
    vectors = load(tiny_study / "results/decoding/caption/dictionary.nc")["vectors"].to_numpy()
    assert len(vectors) == len(sentences)
    features = load(tiny_study / "results/models/features/caption.nc")["features"].sel(id73k=shared).to_numpy()
    of_captions = load(tiny_study / "results/decoding/caption/captions.nc")
    means = of_captions["vectors"].groupby("id73k").mean().sel(id73k=shared).to_numpy()
    np.testing.assert_allclose(means, features, atol=1e-5)
    for at in (0, 7):
        r = [np.corrcoef(decoding["predicted"][at], vector)[0, 1] for vector in vectors[::7]]
        assert float(decoding["nearest_r"][at]) >= max(r) - 1e-6
        row = int(decoding["nearest_row"][at])
        assert sentences[row] == str(decoding["nearest_sentence"][at].to_numpy())
        assert np.corrcoef(decoding["predicted"][at], vectors[row])[0, 1] == pytest.approx(
            float(decoding["nearest_r"][at]), abs=1e-5
        )
    own = of_captions["vectors"].to_numpy()[of_captions["id73k"].to_numpy() == shared[3]]
    expected = [np.corrcoef(own[i], np.delete(own, i, axis=0).mean(axis=0))[0, 1] for i in range(len(own))]
    assert float(decoding["caption_ceiling"][3]) == pytest.approx(np.mean(expected), abs=1e-5)


def test_the_figure_lists_what_it_shows(tiny_study: Path) -> None:
    shown = pd.read_csv(tiny_study / "results/figures/decoding_caption.tsv", sep="\t")
    decoding = load(tiny_study / DECODING.format(subject="subj02"))
    of_subject = shown[(shown["subject"] == "subj02") & (shown["measure"] == "r")]
    np.testing.assert_allclose(of_subject["value"], decoding["r"], rtol=1e-6)
    examples = shown[shown["measure"] == "example"]
    assert list(examples["rank"]) == sorted(examples["rank"])
    assert examples["value"].is_monotonic_decreasing
    assert (tiny_study / "results/figures/decoding_caption.png").exists()
