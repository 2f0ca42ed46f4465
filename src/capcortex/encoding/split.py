"""What is trained on and what is tested: features and responses of a subject's images, parted at what all subjects saw.

Between files of averaged betas and features, and the regressions of encoding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.arrays import open_array
from capcortex.encoding.encode import UNITS_AT_ONCE, part_images
from capcortex.ids import Ids, positions


@dataclass(frozen=True, eq=False)
class Split:
    """Images of a subject, parted.

    Attributes
    ----------
    training_images, test_images : ndarrays of shapes (n_training_images,) and (n_test_images,), int64
        ``id73k``, ascending: images that the subject saw three times, and those of them that all subjects did.
    training_features, test_features : ndarrays of shapes (n_training_images, n_features) and (n_test_images, n_features)
        Of the model.
    responses : DataArray (id73k, vertex)
        Averaged betas, read when they are asked for.
    """

    training_images: Ids
    test_images: Ids
    training_features: NDArray[np.float32]
    test_features: NDArray[np.float32]
    responses: xr.DataArray

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Read responses to training images and to test images, one block of vertices after the other."""
        ids = self.responses["id73k"].to_numpy()
        training, test = (positions(each, ids, what="betas") for each in (self.training_images, self.test_images))
        for start in range(0, self.responses.shape[1], UNITS_AT_ONCE):
            block = self.responses[:, start : start + UNITS_AT_ONCE].to_numpy()
            yield block[training], block[test]


@contextmanager
def open_split(betas: str, features: str, shared: Ids, *, subject: str) -> Iterator[Split]:
    """Open a subject's responses and a model's features of the same images.

    Parameters
    ----------
    betas
        File of `capcortex.nsd.betas.average_repeats`.
    features
        Features of a model.
    shared
        Images that all subjects saw three times.
    subject
        Name, for messages.

    Raises
    ------
    ValueError
        If too few images are left to train or to test.
    """
    with open_array(features, variables=["features", "id73k"]) as file:
        of_model = file["features"].load()
    with open_array(betas, variables=["betas", "id73k"]) as file:
        ids = file["id73k"].to_numpy()
        training, test = part_images(
            ids, shared, subject=subject, switch="encoding: {models: [], contrasts: []}", what=betas
        )
        values = of_model.to_numpy()[positions(ids, of_model["id73k"].to_numpy(), what=features)]
        yield Split(ids[training], ids[test], values[training], values[test], file["betas"])
