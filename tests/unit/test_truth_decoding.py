"""The check of decoding notices what is wrong, and its own regression is ridge regression."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from sklearn.linear_model import RidgeCV

from capcortex.truth import STREAMS, PlantedBrain
from capcortex.truth_decoding import ALPHAS, check_decoding, decode_again, expected_decoding, why_decoding_left_out

SUBJECTS = [f"subj{number:02d}" for number in range(1, 7)]
MEASURES = ("r", "r_without_mean", "identification", "r_mismatched_without_mean")
N_SHARED, N_OWN, N_LATENTS, N_DIMENSIONS = 30, 60, 8, 30


def test_its_regression_is_that_of_scikit_learn():
    random = np.random.default_rng(2)
    x = random.standard_normal((50, 80))
    y = x @ random.standard_normal((80, 4)) + 5 * random.standard_normal((50, 4)) + 3
    new = random.standard_normal((7, 80))
    weighted, mean = decode_again(x, y, new)
    # Its gcv mode leaves out one image after the other.
    judge = RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
    np.testing.assert_allclose(weighted + mean, judge.predict(new), rtol=1e-6)


@pytest.fixture(scope="module")
def expected():
    """Six subjects in whose ventral vertices something is planted, and in whose midlateral ones nothing is."""
    random = np.random.default_rng(3)
    n_images = N_SHARED + N_OWN * len(SUBJECTS)
    ids = np.arange(1, n_images + 1)
    latents = xr.DataArray(random.standard_normal((n_images, N_LATENTS)), {"id73k": ids}, ("id73k", "feature"))
    embeddings = 2 * random.standard_normal(N_DIMENSIONS) + latents.to_numpy() @ random.standard_normal(
        (N_LATENTS, N_DIMENSIONS)
    )
    features = xr.DataArray(embeddings, {"id73k": ids}, ("id73k", "feature"))
    region = np.repeat([STREAMS.index("ventral") + 1, STREAMS.index("midlateral") + 1], 60)
    brains = {}
    for number, subject in enumerate(SUBJECTS):
        own = np.arange(N_OWN) + N_SHARED + number * N_OWN + 1
        image = np.tile(np.concatenate([ids[:N_SHARED], own]), 3)
        mixing = random.standard_normal((120, N_LATENTS)) * (region == region[0])[:, None]
        brains[subject] = PlantedBrain(
            mixing=mixing.astype(np.float32),
            noise_sd=np.full(120, 6, np.float32),
            region=region,
            native_index=np.arange(120),
            valid=np.ones(120, bool),
            session=np.repeat([1, 2, 3], image.size // 3),
            image=image,
        )
    return {
        rois: expected_decoding(brains, latents, features, rois, 1)
        for rois in (("ventral", "midlateral"), ("midlateral",))
    }


def test_images_are_expected_to_be_told_apart_where_something_is_planted(expected):
    planted, nothing = expected["ventral", "midlateral"], expected["midlateral",]
    assert list(planted.index) == SUBJECTS
    assert (planted["identification"] > 0.8).all()
    assert (planted["r"] > nothing["r"] + 0.1).all()
    assert abs(nothing["identification"].mean() - 0.5) < 0.05
    for each in (planted, nothing):
        assert abs(each["r_mismatched_without_mean"].mean()) < 0.05


def check(expected, table, kind="effect", measure="r"):
    rows = [{"quantity": "decoding", "model": "caption", "measure": measure, "roi": "all", "kind": kind}]
    return check_decoding(rows, 0.05, 0.99, table=table, expected={"caption": expected["ventral", "midlateral"]}).iloc[
        0
    ]


def table_of(values):
    table = values[list(MEASURES)].melt(ignore_index=False, var_name="measure").reset_index(names="subject")
    return table.assign(model="caption")


def test_what_was_expected_passes_and_what_was_not_does_not(expected):
    planted, nothing = expected["ventral", "midlateral"], expected["midlateral",]
    jitter = 0.002 * np.random.default_rng(4).standard_normal((len(SUBJECTS), 1))
    as_planted, as_nothing = table_of(planted[list(MEASURES)] + jitter), table_of(nothing)
    # As by a bug that leaves the mean embedding out.
    without_mean = table_of((planted + jitter).assign(r=planted["r_without_mean"]))
    for measure in ("r", "identification"):
        assert check(expected, as_planted, measure=measure)["ok"] == "yes"
        assert check(expected, as_nothing, measure=measure)["ok"] == "NO"
    assert check(expected, without_mean)["ok"] == "NO"
    assert check(expected, as_planted, "null", "r_mismatched_without_mean")["ok"] == "yes"
    assert check(expected, as_planted, "null", "r")["ok"] == "NO"
    row = check(expected, as_planted, measure="identification")
    assert row["expected"] == pytest.approx(planted["identification"].mean() - 0.5)
    assert (row["check"], row["roi"], row["n"]) == ("decoding of caption, identification", "all", 6)


def test_rows_that_cannot_be_checked_say_why():
    row = {"model": "caption", "measure": "r", "only_made_up_captions": True}
    table = pd.DataFrame({"model": "caption", "subject": SUBJECTS})
    known = {"checked_rois": ["ventral"], "made_up_captions": True}
    assert why_decoding_left_out(row, table, **known) == ""
    assert "is not decoded" in why_decoding_left_out(row, None, **known)
    assert "is not decoded" in why_decoding_left_out(row, table.assign(model="nouns"), **known)
    assert "on fsaverage" in why_decoding_left_out(row, table, **known | {"checked_rois": []})
    assert "made-up captions only" in why_decoding_left_out(row, table, **known | {"made_up_captions": False})
    assert "at least 6" in why_decoding_left_out(row, table[:5], **known)
