"""What is trained on and what is tested: every image's features beside its own responses, and no image on both sides."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

from capcortex.arrays import write_array
from capcortex.encoding import split as module
from capcortex.encoding.encode import LEAST_TEST_IMAGES, part_images
from capcortex.encoding.fractional_ridge import N_FOLDS
from capcortex.encoding.split import open_split

N_VERTICES, N_FEATURES = 7, 3
IDS = np.array([4, 9, 12, 15, 20, 21, 33, 40, 41, 56, 60, 71, 75, 80, 90, 95, 99])
SHARED = IDS[[0, 2, 3, 5, 8, 9, 11, 13, 14, 16]]


def response(images):
    """What every vertex answers to an image, told by the image's number and the vertex's."""
    return (np.asarray(images)[:, None] * 100 + np.arange(N_VERTICES)).astype(np.float32)


def features_of(images):
    return (np.asarray(images)[:, None] * 10 + np.arange(N_FEATURES)).astype(np.float32)


@pytest.fixture
def files(tmp_path):
    """Betas of a subject; and features of more images than that, in no order, as a model has them of all subjects."""
    betas, features = tmp_path / "betas.nc", tmp_path / "features.nc"
    write_array(xr.DataArray(response(IDS), {"id73k": IDS}, ("id73k", "vertex"), name="betas"), betas)
    images = np.random.default_rng(3).permutation(np.arange(1, 121))
    write_array(xr.DataArray(features_of(images), {"id73k": images}, ("id73k", "feature"), name="features"), features)
    return str(betas), str(features)


@pytest.mark.parametrize("shared", [SHARED, SHARED[[3, 0, 9, 1, 8, 2, 7, 4, 6, 5]]], ids=["ascending", "in any order"])
@pytest.mark.parametrize("at_once", [1, 3, N_VERTICES, 4096])
def test_features_and_responses_are_of_the_same_images_whatever_the_blocks(files, monkeypatch, shared, at_once):
    monkeypatch.setattr(module, "UNITS_AT_ONCE", at_once)
    with open_split(*files, shared, subject="subj01") as split:
        first, again = list(split.blocks()), list(split.blocks())
    others = np.setdiff1d(IDS, SHARED)
    assert_array_equal(split.training_images, others)
    assert_array_equal(split.test_images, shared)
    assert_array_equal(split.training_features, features_of(others))
    assert_array_equal(split.test_features, features_of(shared))
    assert [training.shape[1] for training, _ in first] == [
        min(at_once, N_VERTICES - start) for start in range(0, N_VERTICES, at_once)
    ]
    # The fit as released reads them twice.
    for blocks in (first, again):
        training, test = (np.concatenate(side, axis=1) for side in zip(*blocks, strict=True))
        assert_array_equal(training, response(others))
        assert_array_equal(test, response(shared))


def test_responses_are_read_when_they_are_asked_for(files):
    """A subject's betas are larger than all else together."""
    with open_split(*files, SHARED, subject="subj01") as split:
        assert not split.responses.variable._in_memory
        for _ in split.blocks():
            assert not split.responses.variable._in_memory


def test_images_that_cannot_be_parted_are_refused(files, tmp_path):
    betas, features = files
    with (
        pytest.raises(ValueError, match=r"subj03: 8 images to train on and 9 that all subjects saw .*models: \[\]"),
        open_split(betas, features, SHARED[:9], subject="subj03"),
    ):
        pass
    with (
        pytest.raises(ValueError, match=r"betas\.nc lacks id73k 5 "),
        open_split(betas, features, np.append(SHARED, 5), subject="subj03"),
    ):
        pass
    few = tmp_path / "few.nc"
    write_array(xr.DataArray(features_of(IDS[1:]), {"id73k": IDS[1:]}, ("id73k", "feature"), name="features"), few)
    with (
        pytest.raises(ValueError, match=r"few\.nc lacks id73k 4 "),
        open_split(betas, str(few), SHARED, subject="subj03"),
    ):
        pass


def test_the_fewest_images_that_can_be_parted():
    """One image more to train on than there are folds; and a correlation is over ten images or more."""
    options = {"subject": "subj01", "switch": "models: []", "what": "betas"}
    n_least = N_FOLDS + 1 + LEAST_TEST_IMAGES
    ids, shared = np.arange(1, n_least + 1), np.arange(1, LEAST_TEST_IMAGES + 1)
    training, test = part_images(ids, shared, **options)
    assert_array_equal(training, np.arange(LEAST_TEST_IMAGES, n_least))
    assert_array_equal(test, np.arange(LEAST_TEST_IMAGES))
    with pytest.raises(ValueError, match="subj01: 5 images to train on and 10 that"):
        part_images(ids[:-1], shared, **options)
    with pytest.raises(ValueError, match="subj01: 7 images to train on and 9 that"):
        part_images(ids, shared[:-1], **options)
