"""The sentinel: it must see a planted agreement, and must not see one after a slip by one image."""

import numpy as np
import pytest
import xarray as xr

from capcortex.rsa.rdm import compare_rdms, pair_distances
from capcortex.rsa.sentinel import CLEARLY, N_SHIFTS, caption_category_sentinel


def planted(rng, n_images=120, noise=1.0):
    """Caption features that depend on categories, and image sets over scattered ids."""
    ids = np.sort(rng.choice(np.arange(1, 73_001), n_images, replace=False))
    objects = (rng.random((n_images, 15)) < 0.2).astype(float)
    words = objects @ rng.normal(size=(15, 20)) + noise * rng.normal(size=(n_images, 20))
    sets = np.sort(rng.permutation(ids)[: n_images // 40 * 40].reshape(-1, 40), axis=1)
    captions = xr.DataArray(words, dims=("id73k", "feature"), coords={"id73k": ids})
    return captions, captions.copy(data=words).isel(feature=slice(0, 15)).copy(data=objects), sets


@pytest.mark.filterwarnings("error")
def test_planted_agreement_is_seen(rng):
    captions, categories, sets = planted(rng)
    seen = caption_category_sentinel(captions, categories, sets)
    assert seen.ok is True
    assert seen.distance_in_sd > CLEARLY
    assert seen.r > seen.r_shifted_by_one + 0.1


@pytest.mark.parametrize("step", [-1, 1, 3])
def test_slip_of_captions_against_objects_is_seen(rng, step):
    captions, categories, sets = planted(rng)
    whole = caption_category_sentinel(captions, categories, sets)
    slipped = captions.copy(data=np.roll(captions.to_numpy(), step, axis=0))
    seen = caption_category_sentinel(slipped, categories, sets)
    assert seen.ok is False
    assert abs(seen.r) < 0.5 * whole.r
    if step == 1:  # moved on by one more in the comparison the pairing is restored: the true r stands among the shifted
        assert seen.r_shifted_by_one == pytest.approx(whole.r, abs=0.02)


def test_unrelated_captions_do_not_pass(rng):
    passed = 0
    for _ in range(20):
        captions, categories, sets = planted(rng, n_images=80)
        noise = captions.copy(data=rng.normal(size=captions.shape))
        passed += caption_category_sentinel(noise, categories, sets).ok
    assert passed == 0


def test_true_r_is_the_mean_over_sets(rng):
    captions, categories, sets = planted(rng)
    expected = []
    for images in sets:
        pair = [pair_distances(data.sel(id73k=images).to_numpy(), "correlation") for data in (captions, categories)]
        expected.append(compare_rdms(*pair)[0])
    assert caption_category_sentinel(captions, categories, sets).r == pytest.approx(np.mean(expected), abs=1e-12)


def test_order_of_either_file_does_not_matter(rng):
    captions, categories, sets = planted(rng)
    expected = caption_category_sentinel(captions, categories, sets)
    for _ in range(3):
        found = caption_category_sentinel(
            captions.isel(id73k=rng.permutation(120)), categories.isel(id73k=rng.permutation(120)), sets
        )
        np.testing.assert_allclose(found[:3], expected[:3], atol=1e-9)


def test_images_without_objects_do_not_spoil_it(rng):
    captions, categories, sets = planted(rng)
    objects = categories.to_numpy().copy()
    objects[::10] = 0
    seen = caption_category_sentinel(captions, categories.copy(data=objects), sets)
    assert seen.ok
    assert np.isfinite(seen[:3]).all()


def test_objects_of_images_outside_the_sets_are_not_needed(rng):
    captions, categories, sets = planted(rng, n_images=130)
    used = np.isin(categories["id73k"].to_numpy(), sets)
    assert (~used).sum() > 0
    expected = caption_category_sentinel(captions, categories, sets)
    assert caption_category_sentinel(captions, categories.isel(id73k=used), sets) == expected
    with pytest.raises(ValueError, match=f"categories lacks id73k {sets[0, 0]}"):
        caption_category_sentinel(captions, categories.drop_sel(id73k=sets[0, 0]), sets)


def test_distance_counts_standard_deviations_of_the_shifts(rng):
    captions, categories, sets = planted(rng)
    seen = caption_category_sentinel(captions, categories, sets)
    shifted = []
    for step in range(1, N_SHIFTS + 1):
        moved = captions.copy(data=np.roll(captions.to_numpy(), -step, axis=0))  # each image gets the step-th next one
        shifted.append(caption_category_sentinel(moved, categories, sets, n_shifts=2).r)
    assert seen.r_shifted_by_one == pytest.approx(shifted[0], abs=1e-12)
    assert seen.distance_in_sd == pytest.approx((seen.r - np.mean(shifted)) / np.std(shifted, ddof=1), rel=1e-9)


def test_a_third_of_the_captions_misplaced_is_seen_however_many_sets(rng):
    # Many sets make the spread over shifts tiny, so distance alone would still pass; the agreement itself has dropped.
    captions, categories, _ = planted(rng, n_images=600, noise=2.5)
    ids = captions["id73k"].to_numpy()
    sets = np.sort(np.array([rng.choice(ids, 60, replace=False) for _ in range(60)]), axis=1)
    whole = caption_category_sentinel(captions, categories, sets)
    values = captions.to_numpy().copy()
    wrong = rng.choice(ids.size, int(0.4 * ids.size), replace=False)
    values[wrong] = values[(wrong + 1) % ids.size]
    seen = caption_category_sentinel(captions.copy(data=values), categories, sets)
    assert whole.ok is True
    assert seen.distance_in_sd > CLEARLY
    assert seen.r < 0.6 * whole.r
    assert seen.ok is False


def test_too_few_images_for_the_shifts_are_refused(rng):
    captions, categories, sets = planted(rng, n_images=40)
    with pytest.raises(ValueError, match="too few"):
        caption_category_sentinel(captions, categories, sets, n_shifts=40)
