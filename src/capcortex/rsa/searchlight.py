"""Searchlight RSA: the RDM of the sphere around every voxel of a volume, compared with the RDMs of models.

The clear form of the searchlight, quick enough for the miniature. It computes what `capcortex.rsa.rdm` defines, in double
precision and many at once, and asks that module itself wherever rounding could matter. RDMs are scored as soon as they are made,
and never kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from capcortex.ids import positions, require_equal
from capcortex.rsa.rdm import compare_rdms, n_pairs, pair_distances

BRAIN_DISTANCES = ("correlation", "cosine", "euclidean")
LEAST_VOXELS = 2
"""A sphere with fewer voxels has no score."""

# Where a square is a small difference between large numbers, rounding takes its digits. Below these shares of the large numbers
# `capcortex.rsa.rdm` computes the score.
NEAR_PATTERNS = 1e-8  # squared distance of two patterns
FLAT_RDM = 1e-6  # squared deviations of an RDM from its mean
ZERO_ANGLE = 1e-13  # correlation and cosine distances below this are rounding errors of 0

CACHE_BYTES = 2**20  # RDMs that are scored at once
VOXEL_BLOCK = 4096  # voxels whose spheres are counted at once
OUTSIDE_MASK, OUTSIDE_VOLUME = -1, -2


@dataclass(frozen=True, eq=False)
class Spheres:
    """The voxels around each centre, looked up when asked for: a list for a brain of NSD would take 0.8 GB.

    Attributes
    ----------
    indices : ndarray of shape (n_voxels, 3), intp
        0-based indices (i, j, k) of the voxels in the mask; the voxel axis.
    centres : ndarray of shape (n_centres,), intp
        Positions on the voxel axis, ascending.
    sizes : ndarray of shape (n_centres,), intp
        Number of voxels in each sphere, the centre included.
    grid : ndarray of shape (X + 2 reach, Y + 2 reach, Z + 2 reach), int32
        The volume in a margin as wide as a sphere reaches. In the mask: position on the voxel axis; else -1, in the margin -2.
    points : ndarray of shape (n_centres,), intp
        Where each centre stands in the flattened grid.
    steps : ndarray of shape (n_steps,), intp
        From a centre to the points of a whole sphere, in the flattened grid.
    """

    indices: NDArray[np.intp]
    centres: NDArray[np.intp]
    sizes: NDArray[np.intp]
    grid: NDArray[np.int32]
    points: NDArray[np.intp]
    steps: NDArray[np.intp]

    def members(self, number: int) -> NDArray[np.int32]:
        """Return the voxels in the sphere of centre ``number`` as positions on the voxel axis, in row-major order of space."""
        found = self.grid.ravel()[self.points[number] + self.steps]
        return found[found >= 0]


def find_spheres(indices: ArrayLike, shape: tuple[int, int, int], radius: float, least_share: float) -> Spheres:
    """Find the spheres of a searchlight.

    A sphere is made of the voxels of the mask at a Euclidean distance strictly below ``radius``. A voxel of the mask is a centre
    if of the sphere's voxels that lie inside the volume at least ``least_share`` lie in the mask (Kriegeskorte et al. 2006,
    doi:10.1073/pnas.0600244103, in the form of Doerig et al. 2025, doi:10.1038/s42256-025-01072-0).

    Parameters
    ----------
    indices : shape (n_voxels, 3)
        0-based indices (i, j, k) of the voxels of the mask, each once, in any order.
    shape
        Of the volume (X, Y, Z).
    radius
        In voxels.
    least_share
        From 0 to 1.

    Returns
    -------
    Spheres

    Raises
    ------
    ValueError
        If a voxel lies outside the volume or occurs twice, the radius is not above 0, or no voxel is a centre.
    """
    where = np.asarray(indices, dtype=np.intp)
    if where.ndim != 2 or where.shape[1] != 3:
        raise ValueError(f"voxel indices: expected shape (n_voxels, 3), found {where.shape}")
    outside = np.flatnonzero(((where < 0) | (where >= shape)).any(axis=1))
    if outside.size:
        raise ValueError(f"voxel {tuple(where[outside[0]].tolist())} lies outside the volume of shape {tuple(shape)}")
    if not radius > 0:
        raise ValueError(f"searchlight radius: expected a number of voxels above 0, found {radius}")
    reach = int(np.ceil(radius)) - 1
    grid = np.full(np.add(shape, 2 * reach), OUTSIDE_VOLUME, dtype=np.int32)
    grid[tuple(slice(reach, reach + length) for length in shape)] = OUTSIDE_MASK
    points = np.ravel_multi_index(tuple((where + reach).T), grid.shape)
    flat = grid.ravel()
    flat[points] = np.arange(len(where))
    twice = np.flatnonzero(flat[points] != np.arange(len(where)))
    if twice.size:
        raise ValueError(f"voxel {tuple(where[twice[0]].tolist())} occurs twice among the voxels, expected once")

    cube = np.indices((2 * reach + 1,) * 3).reshape(3, -1)
    ball = cube[:, np.sqrt(((cube - reach) ** 2).sum(axis=0)) < radius]
    steps = np.ravel_multi_index(tuple(ball), grid.shape) - np.ravel_multi_index((reach,) * 3, grid.shape)
    sizes = np.empty(len(where), dtype=np.intp)
    shares = np.empty(len(where))
    for start in range(0, len(where), VOXEL_BLOCK):
        block = slice(start, start + VOXEL_BLOCK)
        found = flat[points[block, None] + steps]
        sizes[block] = (found >= 0).sum(axis=1)
        shares[block] = sizes[block] / (found > OUTSIDE_VOLUME).sum(axis=1)
    centres = np.flatnonzero(shares >= least_share)
    if not centres.size:
        raise ValueError(
            f"none of {len(where)} voxels is the centre of a sphere of radius {radius} with a share of {least_share} in the mask"
        )
    return Spheres(where, centres, sizes[centres], grid, points[centres], steps)


def searchlight_memory_mb(n_sets: int, n_images: int, n_voxels: int, n_models: int) -> int:
    """Memory of `score_searchlight` in MB: Python, betas as read and as arranged with one set between, scores, RDMs of models.

    Parameters
    ----------
    n_sets, n_images
        Image sets of the job, and images of each.
    n_voxels
        Voxels in the mask.
    n_models
        Models scored.
    """
    betas = (2 * 4 * n_sets + 5) * n_images * n_voxels
    scores = 2 * 4 * n_models * n_sets * n_voxels
    models = 5 * 8 * n_models * n_sets * n_pairs(n_images)
    return 400 + (betas + scores + models) // 2**20


def score_searchlight(
    betas: xr.DataArray,
    image_sets: NDArray[np.int64],
    labels: list[str],
    models: Mapping[str, xr.Dataset],
    spheres: Spheres,
    *,
    distance: str,
) -> xr.Dataset:
    """Correlate the RDM of every sphere with the RDM of every model, one image set at a time.

    For each centre, image set and model this is ``compare_rdms(pair_distances(patterns, distance), model_rdm)`` of
    `capcortex.rsa.rdm`, with the betas of the sphere's voxels as patterns: Pearson's r over the pairs of images that both define.
    Correlation and cosine distances below 1e-13 count as 0: in a sphere of two voxels the same one may be higher for all
    images, and what rounding leaves of such an RDM is no geometry.

    Parameters
    ----------
    betas : DataArray (id73k, voxel)
        Finite, of at least the images in the sets; coordinates ``i``, ``j``, ``k`` (voxel).
    image_sets : ndarray of shape (n_sets, n_images)
        ``id73k``.
    labels
        Name of each set.
    models
        By name, datasets of `capcortex.rsa.rdm.rdms_of_sets`, with at least the sets named in ``labels``.
    spheres
        Made from the indices of the same voxels.
    distance
        Of the brain's RDMs: ``correlation``, ``cosine`` or ``euclidean``.

    Returns
    -------
    Dataset
        ``r`` (model, image_set, centre) float32; ``n_voxels`` (centre) int64; coordinates ``model``, ``image_set`` and
        ``i``, ``j``, ``k`` (centre). ``r`` is NaN where `compare_rdms` gives NaN, and in spheres of fewer than two voxels.

    Raises
    ------
    ValueError
        If the distance is none of the three, spheres and betas are of different voxels, an image has no betas, a beta is
        not finite, or a model lacks a set or holds other images in it, naming model, set, position and ids.
    """
    if distance not in BRAIN_DISTANCES:
        raise ValueError(f"distance {distance!r} is not one of {', '.join(BRAIN_DISTANCES)}")
    if not np.array_equal(np.column_stack([betas[axis].to_numpy() for axis in "ijk"]), spheres.indices):
        raise ValueError(
            f"the betas' {betas.sizes['voxel']} voxels are not those of the spheres ({len(spheres.indices)} voxels); make the "
            "spheres from the betas' own i, j and k"
        )
    rdms = _model_rdms(models, image_sets, labels)
    directions, used = _directions(rdms)
    n_used = used.sum(axis=-1)[:, None]
    values = _arrange(betas, image_sets)
    pairs = np.triu_indices(image_sets.shape[1], k=1)
    scores = np.full((len(models), len(labels), spheres.centres.size), np.nan, dtype=np.float32)
    scored = np.flatnonzero(spheres.sizes >= LEAST_VOXELS)
    at_once = 1 + CACHE_BYTES // (8 * len(labels) * (1 + pairs[0].size))
    for start in range(0, scored.size, at_once):
        block = scored[start : start + at_once]
        distances = np.stack([_distances(values[spheres.members(number)], distance, pairs) for number in block])
        r = _correlate(distances, directions, used, n_used)
        for image_set, at, model in np.argwhere(np.isnan(r) & (n_used > 0)):
            exact = pair_distances(values[spheres.members(block[at]), image_set].T, distance)
            if distance != "euclidean":
                exact[exact < ZERO_ANGLE] = 0
            r[image_set, at, model] = compare_rdms(exact, rdms[image_set, model])[0]
        scores[:, :, block] = r.transpose(2, 0, 1)
    centres = {axis: ("centre", betas[axis].to_numpy()[spheres.centres]) for axis in "ijk"}
    return xr.Dataset(
        {
            "r": (("model", "image_set", "centre"), scores, {"distance": distance}),
            "n_voxels": ("centre", spheres.sizes.astype(np.int64)),
        },
        coords={"model": list(models), "image_set": list(labels), **centres},
    )


def average_image_sets(scores: Iterable[xr.Dataset]) -> xr.Dataset:
    """Average searchlight scores over image sets.

    Parameters
    ----------
    scores
        Datasets of `score_searchlight`, of one subject and different image sets; also of a single model, without that axis.
        They are taken one at a time.

    Returns
    -------
    Dataset
        ``r`` (model, centre) float64: mean over the sets that have a value, NaN if none has. ``sd`` (model, centre) float64:
        spread over these sets, ddof 1, NaN with fewer than two. ``n_image_sets`` (model, centre) int64: how many they are.
        ``n_voxels`` (centre) and the coordinates of model and centre as they were.

    Raises
    ------
    ValueError
        If there is nothing to average, the datasets differ in models, centres or sphere sizes, or an image set occurs twice.
    """
    first: xr.Dataset | None = None
    seen: set[str] = set()
    sums: list[xr.DataArray] = []
    for block in scores:
        labels = [str(label) for label in block["image_set"].to_numpy()]
        name = f"searchlight scores of image sets {labels[0]} to {labels[-1]}"
        repeated = [label for number, label in enumerate(labels) if label in seen or label in labels[:number]]
        if repeated:
            raise ValueError(f"{name}: image set {repeated[0]} occurs twice, expected once")
        seen.update(labels)
        frame = block.drop_vars(["r", "image_set"])
        values = block["r"].astype(np.float64)
        of_block = [part.sum("image_set") for part in (values.notnull(), values, values**2)]
        if first is None:
            first, sums = frame, of_block
        elif frame.equals(first):
            sums = [before + here for before, here in zip(sums, of_block, strict=True)]
        else:
            raise ValueError(
                f"{name}: other models, centres or sphere sizes than in the scores before ({frame.sizes['centre']} and "
                f"{first.sizes['centre']} centres); score all image sets of a subject with the same mask and radius"
            )
    if first is None:
        raise ValueError("no searchlight scores to average")
    count, total, squares = sums
    # No r is above 1: in double precision this difference is good to 1e-8 in the sd. A single set gives 0 / 0.
    variance = (squares - total**2 / count).clip(min=0) / (count - 1)
    return first.assign(r=total / count, sd=np.sqrt(variance), n_image_sets=count)


def _model_rdms(
    models: Mapping[str, xr.Dataset], image_sets: NDArray[np.int64], labels: list[str]
) -> NDArray[np.float64]:
    """RDMs of shape (image_set, model, pair), after making sure that they are of the same images in the same order."""
    rdms = np.empty((len(labels), len(models), n_pairs(image_sets.shape[1])))
    for column, (model, dataset) in enumerate(models.items()):
        rows = {str(name): row for row, name in enumerate(dataset["image_set"].to_numpy())}
        ids, values = dataset["id73k"].to_numpy(), dataset["rdm"].to_numpy()
        for number, label in enumerate(labels):
            if label not in rows:
                raise ValueError(f"model {model} lacks image set {label}; it has {', '.join(rows)}")
            require_equal(
                image_sets[number],
                ids[rows[label]],
                left_name=f"searchlight, image set {label}",
                right_name=f"model {model}, image set {label}",
            )
            rdms[number, column] = values[rows[label]]
    return rdms


def _directions(rdms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each RDM minus its mean and at length 1, with 0 for a pair it does not define; and 1 for a pair it defines, else 0.

    Both of shape (image_set, model, pair). An RDM that no other can be compared with is 0 in both.
    """
    directions, used = np.zeros_like(rdms), np.zeros_like(rdms)
    for at in np.ndindex(rdms.shape[:2]):
        if np.isfinite(compare_rdms(rdms[at], rdms[at])[0]):
            defined = np.isfinite(rdms[at])
            centred = rdms[at][defined] - rdms[at][defined].mean()
            directions[at][defined] = centred / np.linalg.norm(centred)
            used[at][defined] = 1
    return directions, used


def _arrange(betas: xr.DataArray, image_sets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Betas of shape (voxel, image_set, image), where all that a sphere needs of a voxel lies in one piece."""
    rows = positions(image_sets, betas["id73k"].to_numpy(), what="betas")
    source = betas.transpose("id73k", "voxel").to_numpy()
    values = np.empty((source.shape[1], *image_sets.shape), dtype=np.float32)
    for number, of_set in enumerate(rows):
        patterns = source[of_set]
        bad = np.argwhere(~np.isfinite(patterns))
        if bad.size:
            image, voxel = bad[0]
            raise ValueError(
                f"betas: id73k {image_sets[number, image]} is {patterns[image, voxel]} in voxel {voxel} ({len(bad)} such values "
                "in its image set), expected finite values; leave out voxels that were not measured"
            )
        values[:, number] = patterns.T
    return values


def _distances(
    betas: NDArray[np.float32], distance: str, pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> NDArray[np.float64]:
    """`pair_distances` of betas (voxel, image_set, image) for all image sets at once, shape (image_set, pair).

    NaN for pairs of a pattern without a direction, and for pairs so near each other that rounding might decide.
    """
    _, n_sets, n_images = betas.shape
    patterns = betas.astype(np.float64)
    first, second = pairs
    if distance == "correlation":
        # A constant pattern becomes exactly 0, because double precision holds the sum of equal single-precision numbers.
        patterns -= patterns.mean(axis=0)
    if distance != "euclidean":
        squares = np.einsum("vsi,vsi->si", patterns, patterns)
        squares[squares == 0] = np.nan
        patterns *= 1 / np.sqrt(squares)
    # (image_set, image, voxel) times (image_set, voxel, image)
    products = (patterns.transpose(1, 2, 0) @ patterns.transpose(1, 0, 2)).reshape(n_sets, n_images**2)
    of_pairs = products.take(first * n_images + second, axis=1)
    if distance != "euclidean":
        distances = 1 - of_pairs  # half the squared distance of two patterns of length 1
        distances[distances <= NEAR_PATTERNS] = np.nan
        return distances
    lengths = products[:, :: n_images + 1]
    both = lengths.take(first, axis=1) + lengths.take(second, axis=1)
    between = both - 2 * of_pairs
    between[between <= NEAR_PATTERNS * both] = np.nan
    return np.sqrt(between)


def _correlate(
    distances: NDArray[np.float64],
    directions: NDArray[np.float64],
    used: NDArray[np.float64],
    n_used: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Pearson's r of RDMs (sphere, image_set, pair) with those of the models, shape (image_set, sphere, model).

    NaN where distances are missing, or where they vary so little over the model's pairs that rounding might decide.
    """
    of_sets = distances.swapaxes(0, 1)
    over_used = used.swapaxes(1, 2)
    power = of_sets**2 @ over_used
    variation = power - (of_sets @ over_used) ** 2 / np.maximum(n_used, 1)
    variation[~(variation > FLAT_RDM * power)] = np.nan
    return np.clip(of_sets @ directions.swapaxes(1, 2) / np.sqrt(variation), -1, 1)
