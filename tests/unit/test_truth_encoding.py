"""The check of encoding: it sees signal that is missing, signal where none is planted, and sentences that point the wrong way."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from sklearn.linear_model import RidgeCV

from capcortex.arrays import write_array
from capcortex.seeds import random_generator
from capcortex.truth import FEW_SUBJECTS, PlantedBrain, measure_again
from capcortex.truth_encoding import (
    PENALTIES,
    FoundEncoding,
    check_encoding,
    read_preferences,
    why_encoding_left_out,
)

SUBJECTS = [f"subj{number:02d}" for number in range(1, 6)]
N_SHARED, N_VERTICES, N_FEATURES = 100, 80, 6
TWICE = 7
"""An image that all subjects saw, one of them twice only: it tests nobody."""
ELSEWHERE, EARLY, VENTRAL = 0, 1, 5
PREFERENCES = [["people", "places"], ["places", "people"]]
ENCODING = {"quantity": "encoding", "model": "caption", "roi": "ventral", "kind": "effect"}
NOTHING = {"quantity": "encoding", "model": "caption", "roi": "early", "kind": "null"}
PEOPLE = {"quantity": "sentences", "contrast": ["people", "places"], "prefer": ["people", "places"], "kind": "effect"}
PLACES = PEOPLE | {"prefer": ["places", "people"]}
NO_SENTENCE = {"quantity": "sentences", "contrast": ["people", "places"], "kind": "null"}
ALL = [ENCODING, NOTHING, PEOPLE, PLACES, NO_SENTENCE]


def is_tested(images):
    return (images <= N_SHARED) & (images != TWICE)


@pytest.fixture(scope="module")
def found():
    """Five brains, and what a faultless study would find: ventral answers to features, early to others that no caption has.

    Within a region vertices have much noise or little, some share theirs, and some are not measured.
    """
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
    brains, prefers, r, responses = {}, {}, [], {"people": [], "places": []}
    for number, subject in enumerate(SUBJECTS):
        region = np.repeat([EARLY, VENTRAL, ELSEWHERE], N_VERTICES // 2)
        mixing = np.zeros((len(region), 2 * N_FEATURES), np.float32)
        weights = rng.standard_normal((2, N_VERTICES // 2, N_FEATURES))
        mixing[: N_VERTICES // 2, N_FEATURES:], mixing[region == VENTRAL, :N_FEATURES] = weights
        own = np.arange(N_SHARED + 90 * number, N_SHARED + 90 * (number + 1)) + 1
        shown = np.concatenate([np.arange(1, N_SHARED + 1), own])
        valid = np.ones(len(region), bool)
        valid[[0, N_VERTICES // 2 + 3, N_VERTICES - 1, -1]] = False
        native = np.arange(len(region))
        native[[5, N_VERTICES // 2 + 9, N_VERTICES // 2 + 10]] -= 1
        image = np.tile(shown, 3)
        brains[subject] = PlantedBrain(
            mixing=mixing,
            noise_sd=np.tile(np.geomspace(0.5, 12, N_VERTICES // 2), 3)[native].astype(np.float32),
            region=region,
            native_index=native,
            valid=valid,
            session=np.repeat([1, 2, 3], len(shown)),
            image=np.where((image == TWICE) & (np.arange(image.size) < shown.size) & (number == 1), own[0], image),
        )
        prefers[subject] = np.where(region == VENTRAL, np.where(mixing[:, 0] > 0, 1, 2), 0)
        vertices = np.flatnonzero(valid)
        images, patterns = measure_again(
            mixing[vertices],
            brains[subject].noise_sd[vertices],
            latents,
            rng,
            same=native[vertices],
            session=brains[subject].session,
            image=brains[subject].image,
        )
        x, test = features.sel(id73k=images).to_numpy(), is_tested(images)
        fit = RidgeCV(PENALTIES, alpha_per_target=True).fit(x[~test], patterns[~test])
        predicted = fit.predict(x[test])
        of_all = np.full(len(region), np.nan)
        of_all[vertices] = [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, patterns[test].T, strict=True)]
        r.append(of_all)
        for group, vector in sentences.items():
            responses[group].append(np.full(len(region), np.nan))
            responses[group][-1][vertices] = fit.predict(vector[None])[0]

    def maps(values):
        return xr.DataArray(np.array(values), dims=("subject", "vertex"), coords={"subject": SUBJECTS})

    return FoundEncoding(
        r={"caption": maps(r)},
        responses={group: maps(values) for group, values in responses.items()},
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


def measured_once_more(found, subject, penalties, seed):
    """Encoding r and difference of sentences at every vertex of a subject, each vertex fitted by itself."""
    brain = found.brains[subject]
    vertices = np.flatnonzero((brain.region != ELSEWHERE) & brain.valid)
    images, patterns = measure_again(
        brain.mixing[vertices],
        brain.noise_sd[vertices],
        found.latents,
        random_generator(seed, "expected encoding", subject),
        same=np.unique(brain.native_index[vertices], return_inverse=True)[1],
        session=brain.session,
        image=brain.image,
    )
    x = found.features["caption"].sel(id73k=images).to_numpy().astype(np.float64)
    test = is_tested(images)
    r, difference = np.full((2, brain.region.size), np.nan)
    chosen = []
    for vertex, y in zip(vertices, patterns.T, strict=True):
        fit = RidgeCV(penalties).fit(x[~test], y[~test])
        r[vertex] = np.corrcoef(fit.predict(x[test]), y[test])[0, 1]
        people, places = fit.predict(np.stack([found.sentences["people"], found.sentences["places"]]))
        difference[vertex] = people - places
        chosen.append(fit.alpha_)
    return r, difference, np.array(chosen)


def test_expected_values_are_those_of_every_vertex_fitted_by_itself(found):
    """Vertices of much noise want another penalty than those of little, and one for all would expect too little of some."""
    checks = [ENCODING, ENCODING | {"roi": "early"}, PEOPLE, PLACES, NOTHING]
    table = check_encoding(checks, 0.15, 0.99, found=found, preferences=PREFERENCES, seed=7)
    of_subjects = []
    for subject, brain in found.brains.items():
        r, difference, chosen = measured_once_more(found, subject, PENALTIES, 7)
        assert np.unique(chosen).size > 5
        prefers = found.prefers[subject]
        places = (brain.region == VENTRAL, brain.region == EARLY, prefers == 1, prefers == 2)
        of_subjects.append(
            [
                values[inside & brain.valid].mean()
                for values, inside in zip((r, r, difference, difference), places, strict=True)
            ]
        )
    # More penalties, and larger and smaller ones, say the same.
    denser, *_ = measured_once_more(found, subject, np.geomspace(1e-4, 1e7, 80), 7)
    assert np.nanmean(denser[brain.region == VENTRAL]) == pytest.approx(of_subjects[-1][0], abs=0.005)
    np.testing.assert_allclose(table["expected"], [*np.mean(of_subjects, axis=0), 0], rtol=1e-5, atol=1e-7)
    # Intervals are of the differences between a subject's maps and what is expected of that subject.
    r = found.r["caption"]
    brains = found.brains.items()
    measured = [float(r.sel(subject=name)[(each.region == VENTRAL) & each.valid].mean()) for name, each in brains]
    differences = measured - np.array(of_subjects)[:, 0]
    half = stats.t.ppf(0.995, len(SUBJECTS) - 1) * differences.std(ddof=1) / np.sqrt(len(SUBJECTS))
    np.testing.assert_allclose(
        table.loc[0, ["estimate", "low", "high"]].astype(float), np.mean(measured) + np.array([0, -half, half])
    )
    # Of nulls, of which nothing is expected, the interval is that of the maps, and only they are compared with the bound.
    early = [float(r.sel(subject=name)[(each.region == EARLY) & each.valid].mean()) for name, each in brains]
    low, high = stats.t.interval(0.99, len(SUBJECTS) - 1, np.mean(early), stats.sem(early))
    np.testing.assert_allclose(table.loc[4, ["low", "high", "bound"]].astype(float), [low, high, 0.15])
    assert table["bound"][:4].isna().all()


def test_means_are_over_measured_vertices_of_the_place_alone(found):
    """Whatever a map holds where a vertex was not measured, and where a vertex lacks a value."""
    values = np.random.default_rng(2).standard_normal((3, *found.r["caption"].shape))
    values[:, :, N_VERTICES // 2 + 5] = np.nan
    for number, brain in enumerate(found.brains.values()):
        values[:, number, ~brain.valid] = 1e6
    r, people, places = (found.r["caption"].copy(data=each) for each in values)
    changed = replace(found, r={"caption": r}, responses={"people": people, "places": places})
    table = check_encoding(ALL, 0.15, 0.99, found=changed, preferences=PREFERENCES, seed=1)
    of_place = {
        "ventral": (values[0], lambda subject: found.brains[subject].region == VENTRAL),
        "early": (values[0], lambda subject: found.brains[subject].region == EARLY),
        "people > places": (values[1] - values[2], lambda subject: found.prefers[subject] == 1),
        "places > people": (values[1] - values[2], lambda subject: found.prefers[subject] == 2),
        "elsewhere": (values[1] - values[2], lambda subject: found.brains[subject].region == ELSEWHERE),
    }
    for place, (maps, inside) in of_place.items():
        means = [
            np.nanmean(of_subject[inside(subject) & found.brains[subject].valid])
            for subject, of_subject in zip(SUBJECTS, maps, strict=True)
        ]
        assert table.set_index("roi").loc[place, "estimate"] == pytest.approx(np.mean(means), abs=1e-9), place


def test_preferences_are_read_as_they_were_written(tmp_path):
    prefers = np.array([0, 2, 1, 0, 3], np.uint8)
    write_array(xr.DataArray(prefers, dims="vertex", name="prefers"), tmp_path / "subj01_surface.nc")
    found = read_preferences(tmp_path / "subj01_surface.nc")
    np.testing.assert_array_equal(found, prefers)
    assert found.dtype == np.int64


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
    turned = {"people": found.responses["places"], "places": found.responses["people"]}
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
