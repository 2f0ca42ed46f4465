"""Searchlight RSA: the RDM of the sphere around every voxel of a volume, compared with the RDMs of models.

Spheres and the lines on which they lie come from `capcortex.rsa.spheres`, their RDMs from `capcortex.rsa.sphere_rdms`, in single
precision, with a bound of what rounding did to them. Where that could reach the score, it is computed again in double precision;
where even that is not enough, by `capcortex.rsa.rdm`, which defines it. RDMs are scored as soon as they are made, and never kept.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import positions, require_equal
from capcortex.rsa.rdm import compare_rdms, n_pairs, pair_distances
from capcortex.rsa.spheres import Lines, Spheres, find_lines

if TYPE_CHECKING:
    from capcortex.rsa.sphere_rdms import Similarities

LOG = logging.getLogger(__name__)

BRAIN_DISTANCES = ("correlation", "cosine", "euclidean")
LEAST_VOXELS = 2
"""A sphere with fewer voxels has no score."""

TOLERANCE = 1e-5
"""Largest error of a score that single precision may leave."""

LEAST_PAIRS = 45
"""With fewer pairs (of ten images) a score is computed in double precision: the bound of the error is of the mean over many."""

# Where a square is a small difference between large numbers, rounding takes its digits. Below these shares of the large numbers
# a more precise way computes the score.
FLAT_RDM_SINGLE = 0.1  # squared deviations of an RDM from its mean, in single precision
FLAT_RDM = 1e-6  # the same in double precision
NEAR_PATTERNS = 1e-8  # squared distance of two patterns, in double precision
ZERO_ANGLE = 1e-13  # correlation and cosine distances below this are rounding errors of 0

BLOCK_BYTES = 2**22  # similarities that are scored at once


def searchlight_memory_mb(n_sets: int, n_images: int, n_voxels: int, n_models: int) -> int:
    """Memory of `score_searchlight` in MB.

    Python and the compiler; the betas as read, and those of one image set twice more (once as rows of voxels); where voxels and
    centres are; scores, twice while they are written; RDMs of models; the similarities that are scored at once.

    Parameters
    ----------
    n_sets, n_images
        Image sets of the job, and images of each.
    n_voxels
        Voxels in the mask.
    n_models
        Models scored.
    """
    betas = (4 * n_sets + 9) * n_images * n_voxels + 4 * 22 * n_voxels
    places = 200 * n_voxels
    scores = 2 * 4 * n_models * n_sets * n_voxels
    models = 5 * 8 * n_models * n_sets * n_pairs(n_images)
    block = 4 * BLOCK_BYTES + 16 * 4 * n_images**2
    return 400 + (betas + places + scores + models + block) // 2**20


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
    betas : DataArray (id73k, voxel), float32
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
        ``i``, ``j``, ``k`` (centre). ``r`` differs from the definition by at most `TOLERANCE`. It is NaN where `compare_rdms`
        gives NaN, and in spheres of fewer than two voxels.

    Raises
    ------
    ValueError
        If the distance is none of the three, spheres and betas are of different voxels, an image has no betas, a beta is
        not float32 or not finite, or a model lacks a set or holds other images in it, naming model, set, position and ids.
    """
    if distance not in BRAIN_DISTANCES:
        raise ValueError(f"distance {distance!r} is not one of {', '.join(BRAIN_DISTANCES)}")
    if not np.array_equal(np.column_stack([betas[axis].to_numpy() for axis in "ijk"]), spheres.indices):
        raise ValueError(
            f"the betas' {betas.sizes['voxel']} voxels are not those of the spheres ({len(spheres.indices)} voxels); make the "
            "spheres from the betas' own i, j and k"
        )
    if betas.dtype != np.float32:
        raise ValueError(f"betas are {betas.dtype}, expected float32 as `average_repeats` stores them")
    rdms = _model_rdms(models, image_sets, labels)
    lines = find_lines(spheres)
    scores = np.empty((len(models), len(labels), spheres.centres.size), dtype=np.float32)
    for number, label in enumerate(labels):
        start = time.perf_counter()
        patterns = _patterns(betas, image_sets[number])
        scores[:, number], n_double = _score_set(patterns, rdms[number], spheres, lines, distance)
        LOG.info(
            "image set %s (%d of %d): %d spheres in %.1f s, %d of them in double precision",
            *(label, number + 1, len(labels), spheres.centres.size, time.perf_counter() - start, n_double),
        )
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

    Both of shape (model, pair). An RDM that no other can be compared with is 0 in both.
    """
    directions, used = np.zeros_like(rdms), np.zeros_like(rdms)
    for number, rdm in enumerate(rdms):
        if np.isfinite(compare_rdms(rdm, rdm)[0]):
            defined = np.isfinite(rdm)
            centred = rdm[defined] - rdm[defined].mean()
            directions[number, defined] = centred / np.linalg.norm(centred)
            used[number, defined] = 1
    return directions, used


def _patterns(betas: xr.DataArray, images: NDArray[np.int64]) -> NDArray[np.float32]:
    """Betas of one image set, of shape (image, voxel)."""
    rows = positions(images, betas["id73k"].to_numpy(), what="betas")
    patterns = betas.transpose("id73k", "voxel").to_numpy()[rows]
    bad = np.argwhere(~np.isfinite(patterns))
    if bad.size:
        image, voxel = bad[0]
        raise ValueError(
            f"betas: id73k {images[image]} is {patterns[image, voxel]} in voxel {voxel} ({len(bad)} such values "
            "in its image set), expected finite values; leave out voxels that were not measured"
        )
    return patterns


def _score_set(
    patterns: NDArray[np.float32], rdms: NDArray[np.float64], spheres: Spheres, lines: Lines, distance: str
) -> tuple[NDArray[np.float32], int]:
    """Scores of one image set, of shape (model, centre), and at how many centres they were left to double precision."""
    # Imported here because it brings a compiler, which those who only average scores do not need.
    from capcortex.rsa.sphere_rdms import arrange_betas, follow_lines, lay_out_tiles

    directions, used = _directions(rdms)
    compared = used.any(axis=1)
    tiles = lay_out_tiles(len(patterns))
    rows = arrange_betas(patterns, tiles)
    masks, mask_of_model = np.unique(used, axis=0, return_inverse=True)
    tiled_directions, tiled_masks = (
        np.where(tiles.pairs >= 0, of_pairs[:, tiles.pairs], 0).astype(np.float32) for of_pairs in (directions, masks)
    )
    columns = np.ascontiguousarray(tiled_directions.T)
    scores = np.full((len(rdms), spheres.centres.size), np.nan, dtype=np.float32)
    longest_line = int(np.diff(lines.ends, prepend=0).max())
    at_once = max(longest_line, BLOCK_BYTES // (4 * tiles.pairs.size))
    memory = np.empty((at_once, tiles.pairs.size), dtype=np.float32)
    line = 0
    while line < lines.ends.size:
        done = int(lines.ends[line - 1]) if line else 0
        block = slice(line, int(np.searchsorted(lines.ends, done + at_once, side="right")))
        found = follow_lines(rows, spheres, lines, block, distance, tiles, memory, tolerance=TOLERANCE)
        r = _correlate(found, columns, tiled_masks, mask_of_model)
        scores[:, lines.order[done : lines.ends[block.stop - 1]]] = r
        line = block.stop
    enough = spheres.sizes >= LEAST_VOXELS
    scores[:, ~enough] = np.nan
    doubtful = np.flatnonzero(np.isnan(scores[compared]).any(axis=0) & enough)
    if doubtful.size:
        LOG.info(
            "%d of %d spheres need double precision, which takes a hundred times as long", doubtful.size, enough.size
        )
    of_one = 8 * max(directions.shape[1], len(patterns) * int(spheres.sizes.max()))
    at_once = max(1, BLOCK_BYTES // of_one)
    for start in range(0, doubtful.size, at_once):
        centres = doubtful[start : start + at_once]
        of_spheres = [patterns[:, spheres.members(centre)].astype(np.float64) for centre in centres]
        scores[:, centres] = _score_in_double_precision(of_spheres, rdms, directions, used, distance)
    return scores, doubtful.size


def _correlate(
    found: "Similarities",
    directions: NDArray[np.float32],
    masks: NDArray[np.float32],
    mask_of_model: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Pearson's r of RDMs with those of the models, shape (model, sphere), NaN where rounding might reach it.

    Directions of shape (entry, model), masks of shape (mask, entry): which pairs a model defines.
    """
    spread = np.empty((len(masks), len(found.values)))
    n_used = masks.sum(axis=1)
    for number, mask in enumerate(masks):
        if n_used[number] == found.n_pairs:
            spread[number] = found.spread
        else:
            power = found.values**2 @ mask
            variation = power - (found.values @ mask) ** 2 / max(n_used[number], 1)
            variation[~(variation > FLAT_RDM_SINGLE * power)] = np.nan
            spread[number] = np.sqrt(variation / max(n_used[number], 1))
    spread[~(found.error <= TOLERANCE * spread)] = np.nan
    spread[n_used < LEAST_PAIRS] = np.nan
    # Similarities are distances turned round, up to a constant.
    products = -(found.values @ directions).T
    return np.clip(products / (spread * np.sqrt(n_used)[:, None])[mask_of_model], -1, 1)


def _score_in_double_precision(
    spheres_betas: list[NDArray[np.float64]],
    rdms: NDArray[np.float64],
    directions: NDArray[np.float64],
    used: NDArray[np.float64],
    distance: str,
) -> NDArray[np.float64]:
    """Scores of some spheres' betas (image, voxel), shape (model, sphere), from double precision or from the definition."""
    pairs = np.triu_indices(len(spheres_betas[0]), k=1)
    distances = np.stack([_distances(of_sphere, distance, pairs) for of_sphere in spheres_betas])
    n_used = used.sum(axis=1)
    power = distances**2 @ used.T
    variation = power - (distances @ used.T) ** 2 / np.maximum(n_used, 1)
    variation[~(variation > FLAT_RDM * power)] = np.nan
    r = np.clip(distances @ directions.T / np.sqrt(variation), -1, 1)
    for at, model in np.argwhere(np.isnan(r) & (n_used > 0)):
        exact = pair_distances(spheres_betas[at], distance)
        if distance != "euclidean":
            exact[exact < ZERO_ANGLE] = 0
        r[at, model] = compare_rdms(exact, rdms[model])[0]
    return r.T


def _distances(
    patterns: NDArray[np.float64], distance: str, pairs: tuple[NDArray[np.intp], NDArray[np.intp]]
) -> NDArray[np.float64]:
    """`pair_distances` of patterns (image, voxel).

    NaN for pairs of a pattern without a direction, and for pairs so near each other that rounding might decide.
    """
    # A constant pattern becomes exactly 0, because double precision holds the sum of equal single-precision numbers.
    centred = patterns - patterns.mean(axis=1, keepdims=True) if distance == "correlation" else patterns
    products = centred @ centred.T
    squares = np.diagonal(products)
    first, second = pairs
    if distance != "euclidean":
        lengths = np.sqrt(np.where(squares > 0, squares, np.nan))
        distances = 1 - products[first, second] / (lengths[first] * lengths[second])
        distances[distances <= NEAR_PATTERNS] = np.nan  # half the squared distance of two patterns of length 1
        return distances
    both = squares[first] + squares[second]
    between = both - 2 * products[first, second]
    between[between <= NEAR_PATTERNS * both] = np.nan
    return np.sqrt(between)
