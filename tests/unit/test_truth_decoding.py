"""The check of decoding notices what is wrong, and its own regression is ridge regression."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from sklearn.linear_model import RidgeCV

from capcortex.seeds import random_generator
from capcortex.truth import STREAMS, PlantedBrain, measured_patterns
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
def planted():
    """Six subjects in whose ventral vertices something is planted, and in whose midlateral ones nothing is; and features."""
    random = np.random.default_rng(3)
    n_images = N_SHARED + N_OWN * len(SUBJECTS)
    ids = np.arange(1, n_images + 1)
    latents = xr.DataArray(random.standard_normal((n_images, N_LATENTS)), {"id73k": ids}, ("id73k", "feature"))
    embeddings = 2 * random.standard_normal(N_DIMENSIONS) + latents.to_numpy() @ random.standard_normal(
        (N_LATENTS, N_DIMENSIONS)
    )
    # Dimensions follow the latents beneath noise of their own, so that they want different penalties.
    embeddings += random.standard_normal((n_images, N_DIMENSIONS)) * np.geomspace(0.01, 6, N_DIMENSIONS)
    # A model has its images in an order of its own.
    features = xr.DataArray(embeddings, {"id73k": ids}, ("id73k", "feature"))[random.permutation(n_images)]
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
    return brains, latents, features


@pytest.fixture(scope="module")
def expected(planted):
    return {rois: expected_decoding(*planted, rois, 1) for rois in (("ventral", "midlateral"), ("midlateral",))}


def test_expected_values_are_those_of_every_dimension_fitted_by_itself(planted, expected):
    brains, latents, features = planted
    for subject in SUBJECTS[:2]:
        rng = random_generator(1, "expected decoding", subject)
        measured = [
            measured_patterns(brains[subject], STREAMS.index(roi) + 1, latents, rng)
            for roi in ("ventral", "midlateral")
        ]
        images, x = measured[0][0], np.hstack([patterns for _, patterns in measured])
        y, test = features.sel(id73k=images).to_numpy(), images <= N_SHARED
        fits = [RidgeCV(ALPHAS).fit(x[~test], column) for column in y[~test].T]
        assert np.unique([fit.alpha_ for fit in fits]).size > 3
        # The largest penalty leaves nothing, of whatever direction.
        centred = x[~test] - x[~test].mean(axis=0)
        assert ALPHAS[-1] > 100 * np.linalg.norm(centred, 2) ** 2
        predicted = np.column_stack([fit.predict(x[test]) for fit in fits])
        without = predicted - y[~test].mean(axis=0)
        r = np.array([[np.corrcoef(one, own)[0, 1] for own in y[test]] for one in predicted])
        r_without = np.array([[np.corrcoef(one, own)[0, 1] for own in y[test]] for one in without])
        others = [np.delete(np.arange(N_SHARED), at) for at in range(N_SHARED)]
        np.testing.assert_allclose(
            expected["ventral", "midlateral"].loc[subject, list(MEASURES)],
            [
                np.diag(r).mean(),
                np.diag(r_without).mean(),
                np.mean([r[at, at] > r[at, rest] for at, rest in enumerate(others)]),
                np.mean([r_without[at, rest] for at, rest in enumerate(others)]),
            ],
            rtol=1e-5,
        )


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


def test_rows_of_a_table_meet_what_is_expected_of_their_subject_and_model(expected):
    """In whatever order subjects come, and beside other models."""
    values = expected["ventral", "midlateral"]
    found = values + 0.02 * np.random.default_rng(5).standard_normal((len(SUBJECTS), 1))
    table = pd.concat([table_of(found.iloc[::-1]), table_of(found + 1).assign(model="nouns")])
    row = check(expected, table)
    differences = found["r"] - values["r"]
    low, high = stats.t.interval(0.99, len(SUBJECTS) - 1, found["r"].mean(), stats.sem(differences))
    np.testing.assert_allclose(
        row[["expected", "estimate", "low", "high"]].astype(float),
        [values["r"].mean(), found["r"].mean(), low, high],
    )
    assert np.isnan(row["bound"])
    null = check(expected, table, "null")
    low, high = stats.t.interval(0.99, len(SUBJECTS) - 1, found["r"].mean(), stats.sem(found["r"]))
    np.testing.assert_allclose(null[["expected", "low", "high", "bound"]].astype(float), [0, low, high, 0.05])


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
