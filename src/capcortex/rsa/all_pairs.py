"""A region compared with models over all pairs of a subject's images, without any RDM: 10,000 images have 50 million pairs.

Computes what `capcortex.rsa.rdm` defines, in double precision, from blocks of distances between some images and some others. A
block of the region is compared with the same block of every model, added to the sums of a correlation, and forgotten.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import positions, require_equal
from capcortex.rsa.rdm import DISTANCES, ROUNDING, directions

BLOCK = 512  # images on each side of a block
# Below this share of the squared lengths of two patterns their squared distance is taken from their difference itself: as a
# difference of products it would have lost three of sixteen digits.
NEAR_PATTERNS = 1e-3


def all_pairs_memory_mb(n_images: int, n_units: int, n_features: int, n_models: int) -> int:
    """Memory in MB of reading a region with `read_roi_betas` and of `compare_all_pairs`.

    Parameters
    ----------
    n_images
        Images of the subject.
    n_units
        Vertices or voxels of the region.
    n_features
        Features of all models together.
    n_models
        Models.
    """
    region = 4 * n_images * n_units
    features = 4 * n_images * n_features
    # In double precision the patterns of a block on the left, those on the right, what arranging these takes, and distances.
    size = min(BLOCK, n_images)
    blocks = 8 * size * (5 * n_units + 5 * n_features + size * (n_models + 10))
    # The region is read 4,096 units at a time, twice while they are put in place; then unreliable units are left out: two copies.
    reading = 2 * region + 2 * 4 * n_images * 4096
    return 400 + max(reading, region + features + blocks) // 2**20


def compare_all_pairs(
    patterns: xr.DataArray,
    models: Mapping[str, xr.Dataset],
    model_distances: Mapping[str, str | None],
    *,
    distance: str,
    what: str,
) -> xr.Dataset:
    """Correlate the RDM of a region with those of models over all pairs of the region's images that both define.

    The same as `compare_rdms` of the `pair_distances` of both sides. Nothing of the size of an RDM is held in memory.

    Parameters
    ----------
    patterns : DataArray (id73k, vertex or voxel)
        Averaged betas of a region, finite.
    models
        File of each model: ``features`` (id73k, feature), or ``rdm`` (id73k, id73k_2), of at least the same images, in any order.
        Opened lazily, of features no more than those of the region's images are kept, and an RDM is read in blocks.
    model_distances
        Distance of each model, one of `DISTANCES`; not used for a model that brings its RDM.
    distance
        Of the region: ``correlation``, ``cosine`` or ``euclidean``.
    what
        Name of the region, for messages.

    Returns
    -------
    Dataset
        ``r`` (model) float64: NaN if fewer than three pairs are left or one side does not vary. ``n_pairs`` (model) int64: pairs
        that region and model define; an image whose pattern has no direction has none.

    Raises
    ------
    ValueError
        If a model lacks an image, a pattern is not finite, or a distance is unknown or does not fit.
    """
    id73k = patterns["id73k"].to_numpy()
    region = _Patterns(patterns.to_numpy(), distance, id73k, what=what)
    others = [_side_of_model(name, file, model_distances[name], id73k) for name, file in models.items()]
    sums = [_Sums() for _ in others]
    for left, rights in _blocks(id73k.size):
        of_region, of_models = region.from_images(left), [side.from_images(left) for side in others]
        for right in rights:
            distances = of_region.to_images(right)
            if right == left:
                distances[np.tri(len(distances), dtype=bool)] = np.nan
            for of_model, sum_of_model in zip(of_models, sums, strict=True):
                sum_of_model.add(distances, of_model.to_images(right))
    results = [total.correlation() for total in sums]
    return xr.Dataset(
        {
            "r": ("model", np.array(results, dtype=np.float64)),
            "n_pairs": ("model", np.array([total.n for total in sums], dtype=np.int64)),
        },
        coords={"model": list(models)},
    )


def _blocks(n_images: int) -> Iterator[tuple[slice, list[slice]]]:
    """Blocks of images, each with the blocks to compare it with: itself and those after it."""
    slices = [slice(start, min(start + BLOCK, n_images)) for start in range(0, n_images, BLOCK)]
    for number, left in enumerate(slices):
        yield left, slices[number:]


class _Row(Protocol):
    """Distances from the images of one block."""

    def to_images(self, right: slice) -> NDArray[np.floating]:
        """Distances to the images of another block, shape (n_left, n_right); an array of its own."""


class _Side(Protocol):
    """A region or model."""

    def from_images(self, left: slice) -> _Row:
        """Make ready what all distances from a block of images need."""


def _side_of_model(name: str, file: xr.Dataset, distance: str | None, id73k: NDArray[np.int64]) -> _Side:
    what = f"model {name}"
    rows = positions(id73k, file["id73k"].to_numpy(), what=what)
    if "rdm" in file:
        if "id73k_2" in file["rdm"].coords:
            both = (file[axis].to_numpy() for axis in ("id73k", "id73k_2"))
            require_equal(*both, left_name=f"{what}, rows", right_name=f"{what}, columns")
        return _ReadyRdm(file["rdm"], rows)
    return _Patterns(_features(file["features"], rows), str(distance), id73k, what=what)


def _features(features: xr.DataArray, rows: NDArray[np.intp]) -> NDArray[np.floating]:
    """Read the features of some images, a slice of the file at a time: it may hold many more."""
    values = np.empty((rows.size, features.shape[1]), features.dtype)
    for part in np.array_split(np.argsort(rows), -(-rows.size // BLOCK)):
        first = rows[part[0]]
        values[part] = features[first : rows[part[-1]] + 1].to_numpy()[rows[part] - first]
    return values


class _ReadyRdm:
    """A square of dissimilarities that a model brings."""

    def __init__(self, rdm: xr.DataArray, rows: NDArray[np.intp]) -> None:
        self._rdm, self._rows = rdm, rows

    def from_images(self, left: slice) -> "_RowOfReadyRdm":
        rows = self._rows[left]
        order = np.sort(rows)
        # In the order of the file, which is quicker to read.
        here = self._rdm[order].to_numpy()[np.searchsorted(order, rows)]
        return _RowOfReadyRdm(here[:, self._rows])


class _RowOfReadyRdm:
    def __init__(self, rdm: NDArray[np.floating]) -> None:
        self._rdm = rdm

    def to_images(self, right: slice) -> NDArray[np.floating]:
        return self._rdm[:, right]


class _Patterns:
    """Patterns as they are stored; those of a block are brought to double precision when it is its turn."""

    def __init__(self, values: NDArray[np.floating], distance: str, id73k: NDArray[np.int64], *, what: str) -> None:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            raise ValueError(f"{what}: id73k {id73k[bad[0]]} is not finite ({bad.size} of {len(values)} images)")
        if distance not in DISTANCES:
            raise ValueError(f"{what}: distance {distance!r} is not one of {', '.join(DISTANCES)}")
        if distance == "absolute" and values.shape[1] != 1:
            raise ValueError(f"{what}: distance 'absolute' is for scalars; found {values.shape[1]} features")
        self.values, self.distance = values, distance
        # Without what all images share few patterns are near each other, which would take long.
        self._centre = values.mean(axis=0, dtype=np.float64) if distance == "euclidean" else 0.0

    def arrange(self, images: slice) -> NDArray[np.float64]:
        """Return the patterns of a block such that their products give distances."""
        if self.distance in ("correlation", "cosine"):
            return directions(self.values[images], self.distance)
        return self.values[images].astype(np.float64) - self._centre

    def from_images(self, left: slice) -> "_RowOfPatterns":
        return _RowOfPatterns(self, left)


class _RowOfPatterns:
    def __init__(self, patterns: _Patterns, left: slice) -> None:
        self._patterns, self._left = patterns, left
        self._from = patterns.arrange(left)

    def to_images(self, right: slice) -> NDArray[np.float64]:
        to = self._from if right == self._left else self._patterns.arrange(right)
        if self._patterns.distance == "absolute":
            return np.abs(self._from - to.T)
        products = self._from @ to.T
        if self._patterns.distance == "euclidean":
            return self._euclidean(products, to, upper=right == self._left)
        return 1 - np.clip(products, -1, 1, out=products)

    def _euclidean(self, products: NDArray[np.float64], to: NDArray[np.float64], *, upper: bool) -> NDArray[np.float64]:
        lengths = [np.einsum("if,if->i", side, side) for side in (self._from, to)]
        both = lengths[0][:, None] + lengths[1]
        squares = both - 2 * products
        near = squares <= NEAR_PATTERNS * both
        pairs = np.nonzero(np.triu(near, k=1) if upper else near)
        for start in range(0, pairs[0].size, BLOCK):
            i, j = (of_side[start : start + BLOCK] for of_side in pairs)
            squares[i, j] = np.square(self._from[i] - to[j]).sum(axis=1)
        return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


class _Sums:
    """Pearson's r of values that come in parts: means, and sums of products of the deviations from them.

    Parts are joined as by Chan et al. 1983 (doi 10.1080/00031305.1983.10483115): no large sums are taken from each other.
    """

    def __init__(self) -> None:
        self.n = 0
        self._means, self._largest = np.zeros(2), np.zeros(2)
        self._products = np.zeros((2, 2))

    def add(self, left: NDArray[np.floating], right: NDArray[np.floating]) -> None:
        both = np.isfinite(left) & np.isfinite(right)
        pairs = np.array([left[both], right[both]], dtype=np.float64)
        more = pairs.shape[1]
        if not more:
            return
        self._largest = np.maximum(self._largest, np.abs(pairs).max(axis=1))
        means = pairs.mean(axis=1)
        pairs -= means[:, None]
        apart = means - self._means
        self._products += pairs @ pairs.T + np.outer(apart, apart) * (self.n * more / (self.n + more))
        self._means += apart * (more / (self.n + more))
        self.n += more

    def correlation(self) -> float:
        """Pearson's r; NaN as in `compare_rdms`."""
        lengths = np.sqrt(np.diag(self._products))
        if self.n < 3 or (lengths <= ROUNDING * self._largest * np.sqrt(self.n)).any():
            return float("nan")
        return float(np.clip(self._products[0, 1] / (lengths[0] * lengths[1]), -1, 1))
