"""Simulated studies have NSD's structure, nulls are nulls, and what is planted is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from capcortex.inference.ceilings import between_subject_ceiling
from capcortex.inference.simulation import (
    Design,
    Model,
    Region,
    draw_scenes,
    own_scores,
    shared_scores,
    simulate_model,
    simulate_region,
)

SMALL = Design((2, 2, 1, 1, 2, 1, 2, 1), 2, 12)
BRAIN = Region(n_units=15)
LEFT, RIGHT = slice(0, 8), slice(8, 16)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=8), st.integers(1, 3), st.integers(4, 9))
def test_every_image_is_in_one_set_of_one_subject_or_of_all(own_sets, shared_sets, set_size):
    design = Design(tuple(own_sets), shared_sets, set_size)
    scenes = draw_scenes(design, np.random.default_rng(1))
    assert [rows.shape for rows in scenes.own] == [(n_sets, set_size) for n_sets in own_sets]
    assert scenes.shared.shape == (shared_sets, set_size)
    images = np.concatenate([*(rows.ravel() for rows in scenes.own), scenes.shared.ravel()])
    assert sorted(images) == list(range(len(scenes.latents)))


def test_default_design_has_the_ratios_of_the_real_subjects():
    """NSD: 10,000, 6,234 and 5,445 images that were seen three times."""
    real = np.array([10_000, 10_000, 6_234, 5_445, 10_000, 6_234, 10_000, 5_445])
    np.testing.assert_allclose(np.array(Design().own_sets) / max(Design().own_sets), real / 10_000, atol=0.06)


def test_rdms_are_of_the_images_of_their_sets(rng):
    """The RDM of all shared images holds those of the shared sets, in region and model alike; own sets are others."""
    scenes = draw_scenes(SMALL, rng)
    region, model = simulate_region(scenes, BRAIN, rng), simulate_model(scenes, Model(LEFT, 1.0), rng)
    of_everybody = [(whole, sets) for whole, sets in zip(region.all_shared, region.shared, strict=True)]
    for whole, sets in [*of_everybody, (model.all_shared, model.shared)]:
        square = squareform(whole)
        for number, rdm in enumerate(sets):
            part = slice(12 * number, 12 * (number + 1))
            np.testing.assert_allclose(squareform(rdm), square[part, part], atol=1e-12)
    assert [len(sets) for sets in region.own] == [len(sets) for sets in model.own] == list(SMALL.own_sets)
    # A model of nothing but latents is their correlation distance, image for image.
    bare = simulate_model(scenes, Model(strength=2.0, n_own=0), rng)
    for own, rows in zip(bare.own, scenes.own, strict=True):
        for rdm, images in zip(own, rows, strict=True):
            np.testing.assert_allclose(squareform(rdm), 1 - np.corrcoef(scenes.latents[images]), atol=1e-9)


@pytest.fixture(scope="module")
def means():
    """Mean scores of 200 studies on own and on shared images: unrelated model, one half of the latents, the other half."""
    rng = np.random.default_rng(7)
    rows = []
    for _ in range(200):
        scenes = draw_scenes(SMALL, rng)
        region = simulate_region(scenes, BRAIN, rng)
        models = [simulate_model(scenes, model, rng) for model in (Model(), Model(LEFT, 1.0), Model(RIGHT, 1.0))]
        rows.append([[score(region, model).mean() for model in models] for score in (own_scores, shared_scores)])
    return np.array(rows)


def t_of(values):
    return values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values)))


def test_an_unrelated_model_scores_zero_on_average(means):
    assert np.abs(t_of(means[:, :, 0])).max() < 3.5


def test_planted_models_score_above_zero_and_alike(means):
    assert t_of(means[:, :, 1:]).min() > 10
    assert np.abs(t_of(means[:, :, 1] - means[:, :, 2])).max() < 3.5


def test_subjects_agree_only_where_the_region_responds_to_the_scene(rng):
    lower = {0.0: [], 1.0: []}
    for scene, values in lower.items():
        for _ in range(60):
            region = simulate_region(draw_scenes(SMALL, rng), BRAIN._replace(scene=scene), rng)
            values.append(np.mean([between_subject_ceiling(rdms)[0].mean() for rdms in region.shared.swapaxes(0, 1)]))
    assert abs(t_of(np.array(lower[0.0]))) < 3.5
    assert t_of(np.array(lower[1.0])) > 6
