"""The check of encoding: it sees signal that is missing, signal where none is planted, and sentences that point the wrong way."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import RidgeCV

from capcortex.truth import FEW_SUBJECTS, PlantedBrain, measure_again
from capcortex.truth_encoding import PENALTIES, FoundEncoding, check_encoding, why_encoding_left_out

SUBJECTS = [f"subj{number:02d}" for number in range(1, 6)]
N_SHARED, N_VERTICES, N_FEATURES = 100, 80, 6
ELSEWHERE, EARLY, VENTRAL = 0, 1, 5
PREFERENCES = [["people", "places"], ["places", "people"]]
ENCODING = {"quantity": "encoding", "model": "caption", "roi": "ventral", "kind": "effect"}
NOTHING = {"quantity": "encoding", "model": "caption", "roi": "early", "kind": "null"}
PEOPLE = {"quantity": "sentences", "contrast": ["people", "places"], "prefer": ["people", "places"], "kind": "effect"}
PLACES = PEOPLE | {"prefer": ["places", "people"]}
NO_SENTENCE = {"quantity": "sentences", "contrast": ["people", "places"], "kind": "null"}
ALL = [ENCODING, NOTHING, PEOPLE, PLACES, NO_SENTENCE]


@pytest.fixture(scope="module")
def found():
    """Five brains, and what a faultless study would find: ventral answers to features, early to others that no caption has."""
    rng = np.random.default_rng(6)
    # Six features that captions tell, six that they do not; the first tells people from places.
    latents = xr.DataArray(
        rng.standard_normal((N_SHARED + 90 * len(SUBJECTS), 2 * N_FEATURES)).astype(np.float32),
        dims=("id73k", "feature"),
        coords={"id73k": np.arange(1, N_SHARED + 90 * len(SUBJECTS) + 1)},
    )
    told = np.ones((1, N_FEATURES)) * 0.5
    features = latents[:, :N_FEATURES] + told
    sentences = {
        "people": np.eye(N_FEATURES)[0].astype(np.float32),
        "places": -np.eye(N_FEATURES)[0].astype(np.float32),
    }
    brains, prefers, r, more = {}, {}, [], []
    for number, subject in enumerate(SUBJECTS):
        region = np.repeat([EARLY, VENTRAL, ELSEWHERE], N_VERTICES // 2)
        mixing = np.zeros((len(region), 2 * N_FEATURES), np.float32)
        weights = rng.standard_normal((2, N_VERTICES // 2, N_FEATURES))
        mixing[: N_VERTICES // 2, N_FEATURES:], mixing[region == VENTRAL, :N_FEATURES] = weights
        own = np.arange(N_SHARED + 90 * number, N_SHARED + 90 * (number + 1)) + 1
        shown = np.concatenate([np.arange(1, N_SHARED + 1), own])
        valid = np.ones(len(region), bool)
        valid[[0, -1]] = False
        brains[subject] = PlantedBrain(
            mixing=mixing,
            noise_sd=np.full(len(region), 1.5, np.float32),
            region=region,
            native_index=np.arange(len(region)),
            valid=valid,
            session=np.repeat([1, 2, 3], len(shown)),
            image=np.tile(shown, 3),
        )
        prefers[subject] = np.where(region == VENTRAL, np.where(mixing[:, 0] > 0, 1, 2), 0)
        vertices = np.flatnonzero(valid)
        images, patterns = measure_again(
            mixing[vertices],
            brains[subject].noise_sd[vertices],
            latents,
            rng,
            same=np.arange(vertices.size),
            session=brains[subject].session,
            image=brains[subject].image,
        )
        x, test = features.sel(id73k=images).to_numpy(), images <= N_SHARED
        fit = RidgeCV(PENALTIES, alpha_per_target=True).fit(x[~test], patterns[~test])
        predicted = fit.predict(x[test])
        of_all, difference = np.full((2, len(region)), np.nan)
        of_all[vertices] = [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, patterns[test].T, strict=True)]
        difference[vertices] = 2 * fit.coef_[:, 0]
        r.append(of_all)
        more.append(difference)

    def maps(values):
        return xr.DataArray(np.array(values), dims=("subject", "vertex"), coords={"subject": SUBJECTS})

    return FoundEncoding(
        r={"caption": maps(r)},
        responses={"people": maps(more), "places": maps(np.zeros_like(more))},
        features={"caption": features},
        sentences=sentences,
        sentence_model="caption",
        brains=brains,
        prefers=prefers,
        latents=latents,
    )


def verdicts(found, *checks, confidence=0.99):
    table = check_encoding(checks, 0.15, confidence, found=found, preferences=PREFERENCES, seed=1)
    return table["ok"].tolist()


def test_what_was_planted_is_found(found):
    table = check_encoding(ALL, 0.15, 0.99, found=found, preferences=PREFERENCES, seed=1)
    assert table["ok"].tolist() == ["yes"] * 5
    assert table["n"].tolist() == [5] * 5
    assert table["expected"][0] > 0.5
    assert table["expected"][2] > 0.3
    assert table["expected"][3] < -0.3
    assert table["roi"].tolist() == [
        "ventral",
        "early",
        "people > places",
        "places > people",
        "elsewhere",
    ]


def test_signal_that_is_missing_is_missed(found):
    nothing = {"caption": found.r["caption"] * 0}
    assert verdicts(replace(found, r=nothing), ENCODING, NOTHING) == ["NO", "yes"]


def test_signal_where_none_is_planted_is_seen(found):
    everywhere = {"caption": found.r["caption"].copy(data=np.full_like(found.r["caption"], 0.3))}
    assert verdicts(replace(found, r=everywhere), NOTHING) == ["NO"]
    assert verdicts(
        replace(found, responses=found.responses | {"places": found.responses["places"] - 1}), NO_SENTENCE
    ) == ["NO"]


def test_sentences_that_point_the_wrong_way_are_seen(found):
    turned = found.responses | {"people": -found.responses["people"]}
    assert verdicts(replace(found, responses=turned), PEOPLE, PLACES) == ["NO", "NO"]


def test_one_row_changes_where_one_region_loses_its_signal(found):
    r = found.r["caption"].copy(deep=True)
    ventral = found.brains["subj01"].region == VENTRAL
    r[:, ventral] = 0.0
    assert verdicts(replace(found, r={"caption": r}), *ALL) == ["NO", "yes", "yes", "yes", "yes"]


def test_rows_that_cannot_be_checked_say_why():
    study = {
        "models": ["caption"],
        "groups": ["people", "places"],
        "preferences": PREFERENCES,
        "n_subjects": 3,
        "made_up_captions": True,
    }
    assert why_encoding_left_out(ENCODING, **study) == ""
    assert why_encoding_left_out(PEOPLE, **study) == ""
    assert "not predicted from model nouns" in why_encoding_left_out(ENCODING | {"model": "nouns"}, **study)
    assert "no sentences about food" in why_encoding_left_out(PEOPLE | {"contrast": ["food", "people"]}, **study)
    assert "prefer people to food" in why_encoding_left_out(PEOPLE | {"prefer": ["people", "food"]}, **study)
    assert why_encoding_left_out(ENCODING, **study | {"n_subjects": 1}) == FEW_SUBJECTS
    own = study | {"made_up_captions": False}
    assert "made-up captions only" in why_encoding_left_out(PEOPLE | {"only_made_up_captions": True}, **own)
