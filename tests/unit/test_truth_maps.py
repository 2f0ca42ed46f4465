"""The check of the maps: it sees an effect that is missing, a signal where none is planted, and leaves out the band between."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from capcortex.truth import FEW_SETS, FEW_SUBJECTS
from capcortex.truth_maps import FoundMaps, PlantedVolume, check_maps, distance_to, measure_sphere, why_map_left_out

SHAPE, RADIUS, N_IMAGES, VENTRAL = (16, 9, 8), 2.5, 40, 5
SUBJECTS = ["subj01", "subj02"]
EFFECT = {"quantity": "map", "model": "caption", "roi": "ventral", "kind": "effect"}
NULL = {"quantity": "map", "model": "caption", "away_from": ["ventral"], "kind": "null"}
SURFACE = {"quantity": "surface", "model": "caption", "roi": "ventral", "kind": "null"}
PEAK = {"quantity": "peak", "model": "caption", "away_from": ["ventral"], "kind": "null"}


@pytest.fixture(scope="module")
def found():
    """Two brains with a planted corner, and the maps that a faultless searchlight would make of them."""
    rng = np.random.default_rng(3)
    latents = xr.DataArray(
        rng.normal(size=(N_IMAGES, 4)).astype(np.float32),
        dims=("id73k", "feature"),
        coords={"id73k": np.arange(1, N_IMAGES + 1)},
    )
    planted = np.argwhere(np.ones((4, 4, 4)))
    pairs = np.triu_indices(N_IMAGES // 2, k=1)
    sets = rng.permutation(N_IMAGES).reshape(2, -1) + 1
    distances = [1 - np.corrcoef(latents.sel(id73k=images).to_numpy())[pairs] for images in sets]
    model = xr.Dataset(
        {
            "rdm": (("image_set", "pair"), np.array(distances * 2)),
            "id73k": (("image_set", "image"), np.tile(sets, (2, 1))),
        },
        coords={"image_set": [f"{subject}-{number:03d}" for subject in SUBJECTS for number in (1, 2)]},
    )
    volumes, scores = {}, {}
    for subject in SUBJECTS:
        volumes[subject] = PlantedVolume(
            mixing=rng.normal(size=(len(planted), 4)).astype(np.float32),
            noise_sd=np.full(len(planted), 0.5, np.float32),
            region=np.full(len(planted), VENTRAL),
            planted=planted,
            measured=np.ones(SHAPE, bool),
            session=np.repeat([1, 2, 3], N_IMAGES),
            image=np.tile(np.arange(1, N_IMAGES + 1), 3),
        )
        centres = np.argwhere(np.ones(SHAPE))
        r = rng.normal(0, 0.002, (2, len(centres)))
        for at in np.flatnonzero(distance_to(centres, planted) < RADIUS):
            images, patterns = measure_sphere(volumes[subject], centres[at], RADIUS, latents, rng)
            assert np.array_equal(images, np.arange(1, N_IMAGES + 1))
            for row, own in enumerate(sets):
                r[row, at] = np.corrcoef(1 - np.corrcoef(patterns[own - 1])[pairs], distances[row])[0, 1]
        places = {axis: ("centre", centres[:, number]) for number, axis in enumerate("ijk")}
        names = [f"{subject}-001", f"{subject}-002"]
        scores[subject] = xr.Dataset({"r": (("image_set", "centre"), r)}, coords={"image_set": names, **places})
    vertices = np.argwhere(np.ones(SHAPE)).astype(float)
    mean = np.mean([scores[subject]["r"].to_numpy().mean(axis=0) for subject in SUBJECTS], axis=0)
    means = [scores[subject]["r"].to_numpy().mean(axis=0) for subject in SUBJECTS]
    surface = xr.DataArray(np.array(means), dims=("subject", "vertex"), coords={"subject": SUBJECTS})
    return FoundMaps(
        scores={"caption": scores},
        group={"caption": mean},
        places={subject: [vertices, vertices + 0.2] for subject in SUBJECTS},
        volumes=volumes,
        latents=latents,
        model_rdms={"caption": model},
        radius=RADIUS,
        surface={"caption": surface},
        labels=dict.fromkeys(SUBJECTS, np.where(distance_to(vertices, planted) == 0, VENTRAL, 0)),
    )


def verdicts(found, *checks, confidence=0.99):
    return check_maps(list(checks), 0.05, confidence, found=found, seed=1)["ok"].tolist()


def change(found, where, value):
    """Set r at some centres of every subject, given their distances from the planted voxels."""
    scores = {}
    for subject, of_subject in found.scores["caption"].items():
        places = np.column_stack([of_subject[axis] for axis in "ijk"])
        r = of_subject["r"].to_numpy().copy()
        r[:, where(distance_to(places, found.volumes[subject].planted))] = value
        scores[subject] = of_subject.assign(r=(("image_set", "centre"), r))
    return replace(found, scores={"caption": scores})


def test_faultless_maps_are_ok(found):
    assert verdicts(found, EFFECT, NULL, PEAK, SURFACE) == ["yes", "yes", "yes", "yes"]


@pytest.mark.parametrize(
    "change", [lambda r: r * 0, lambda r: r * np.nan, lambda r: r.roll(vertex=300), lambda r: r * 0.5]
)
def test_an_empty_or_displaced_projection_is_seen(found, change):
    assert verdicts(replace(found, surface={"caption": change(found.surface["caption"])}), SURFACE) == ["NO"]


def test_a_missing_effect_is_seen_and_the_nulls_stay(found):
    assert verdicts(change(found, lambda distance: distance == 0, 0.0), EFFECT, NULL) == ["NO", "yes"]


def test_a_map_that_is_moved_by_two_voxels_misses_the_expected_value(found):
    moved = {name: data.assign(i=data["i"] - 2) for name, data in found.scores["caption"].items()}
    assert verdicts(replace(found, scores={"caption": moved}), EFFECT) == ["NO"]


def test_signal_elsewhere_is_seen(found):
    assert verdicts(change(found, lambda distance: distance >= RADIUS, 0.06), EFFECT, NULL) == ["yes", "NO"]


def test_the_band_between_is_left_out(found):
    assert verdicts(change(found, lambda distance: (distance > 0) & (distance < RADIUS), 0.9), NULL) == ["yes"]


def test_one_vertex_elsewhere_is_seen_by_the_peak(found):
    mean = found.group["caption"].copy()
    mean[-1] = -0.06
    assert verdicts(replace(found, group={"caption": mean}), PEAK) == ["NO"]


def test_vertices_in_reach_or_without_value_do_not_count(found):
    mean = found.group["caption"].copy()
    vertices = np.argwhere(np.ones(SHAPE))
    mean[distance_to(vertices, found.volumes["subj01"].planted) < RADIUS + 2] = 0.9
    mean[-1] = np.nan
    table = check_maps([PEAK], 0.05, 0.99, found=replace(found, group={"caption": mean}), seed=1)
    assert table["ok"].tolist() == ["yes"]
    assert 0 < table["n"][0] < np.isfinite(mean).sum()


@pytest.mark.parametrize(
    ("check", "changes", "reason"),
    [
        (EFFECT, {}, ""),
        (EFFECT, {"mapped": []}, "model caption is not mapped"),
        (EFFECT, {"compared": ["random"]}, "model caption is not compared with regions"),
        (EFFECT, {"n_image_sets": 1}, FEW_SETS),
        (EFFECT, {"n_subjects": 1}, ""),
        (SURFACE, {"n_subjects": 1}, FEW_SUBJECTS),
        (SURFACE, {"n_image_sets": 1}, ""),
        (PEAK, {"n_subjects": 1, "n_image_sets": 1}, ""),
    ],
)
def test_a_check_that_cannot_be_made_has_a_reason(check, changes, reason):
    given = {"mapped": ["caption"], "compared": ["caption"], "n_subjects": 2, "n_image_sets": 4}
    assert why_map_left_out(check, **given | changes) == reason
