"""Representational dissimilarity matrices (RDMs) on sets of images, and how alike two of them are.

An RDM is kept as the vector of its pairs in row-major upper-triangle order, and never without the ids of its images.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import positions, require_equal
from capcortex.rsa.measures import ROUNDING, compare_rdms

SCORE_COLUMNS = ["model", "roi", "subject", "image_set", "r", "n_pairs", "measure", "distance"]
"""Columns of a table with one score for each model, region, subject and image set; ``r`` is the value of the ``measure``,
``distance`` that of the region's RDM."""

ALL_PAIRS = "all"
"""Stands in the column ``image_set`` for all pairs of all of a subject's images."""

LEAST_UNITS = 2
"""Vertices or voxels that a region needs: the values of one are no pattern, and have no correlation."""

DISTANCES = ("correlation", "cosine", "euclidean", "absolute")


def n_pairs(n_images: int) -> int:
    """Return the number of pairs of images: ``n (n - 1) / 2``."""
    return n_images * (n_images - 1) // 2


def pair_distances(patterns: NDArray[np.floating], distance: str) -> NDArray[np.float64]:
    """Dissimilarity of every pair of patterns.

    ``correlation``: 1 minus Pearson's r over features (0 alike, 1 unrelated, 2 opposite). ``cosine``: 1 minus the cosine.
    ``euclidean``: length of the difference. ``absolute``: absolute difference of scalars.

    Parameters
    ----------
    patterns : ndarray of shape (n_images, n_features)
        Model features or averaged betas, finite.
    distance
        One of `DISTANCES`.

    Returns
    -------
    ndarray of shape (n_pairs,), float64
        Row-major upper triangle. NaN for the pairs of an image whose pattern has no direction: constant (``correlation``)
        or zero (``cosine``). Such an image has no place in that geometry, for example one without any object in the space
        of object categories.

    Raises
    ------
    ValueError
        If a pattern is not finite, the distance is unknown, or ``absolute`` meets more than one feature.
    """
    x = np.asarray(patterns, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"patterns: expected shape (n_images, n_features), found {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise ValueError(f"patterns: row {bad[0]} is not finite ({bad.size} of {len(x)} rows)")
    if distance not in DISTANCES:
        raise ValueError(f"distance {distance!r} is not one of {', '.join(DISTANCES)}")
    if distance in ("euclidean", "absolute"):
        from scipy.spatial.distance import pdist

    if distance == "euclidean":
        return pdist(x, "euclidean")
    if distance == "absolute":
        if x.shape[1] != 1:
            raise ValueError(f"distance 'absolute' is for scalars; found {x.shape[1]} features")
        return pdist(x, "cityblock")
    x = directions(x, distance)
    similarity = np.clip(x @ x.T, -1, 1)
    return 1 - similarity[np.triu_indices(len(x), k=1)]


def directions(patterns: NDArray[np.floating], distance: str) -> NDArray[np.float64]:
    """Bring patterns to length 1, centred over features for ``correlation``: 1 minus the product of two is their distance.

    Parameters
    ----------
    patterns : ndarray of shape (n_images, n_features)
        Finite.
    distance
        ``correlation`` or ``cosine``.

    Returns
    -------
    ndarray of shape (n_images, n_features), float64
        NaN for a pattern that has no direction, as for `pair_distances`.
    """
    x = np.array(patterns, dtype=np.float64)
    scale = np.maximum(x.max(axis=1, initial=0), -x.min(axis=1, initial=0))
    if distance == "correlation":
        x -= x.mean(axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1)
    # Relative to the values themselves: centring a constant pattern leaves rounding errors, not zeros.
    length[length <= ROUNDING * scale * np.sqrt(x.shape[1])] = np.nan
    x /= length[:, None]
    return x


def rdms_of_sets(
    features: xr.DataArray, image_sets: NDArray[np.int64], labels: list[str], distance: str, *, what: str
) -> xr.Dataset:
    """RDM of each image set.

    Parameters
    ----------
    features : DataArray (id73k, feature)
        Patterns of at least the images in the sets.
    image_sets : ndarray of shape (n_sets, n_images_per_set)
        ``id73k``.
    labels
        Name of each set.
    distance
        One of `DISTANCES`.
    what
        Name of the features, for messages.

    Returns
    -------
    Dataset
        ``rdm`` (image_set, pair) float32, ``id73k`` (image_set, image), ``image_set``.
    """
    rows = positions(image_sets, features["id73k"].to_numpy(), what=what)
    values = np.asarray(features.to_numpy())
    vectors = [pair_distances(values[row], distance) for row in rows]
    return _as_dataset(np.array(vectors), image_sets, labels, distance)


def rdms_of_repeats(
    repeats: xr.DataArray, image_sets: NDArray[np.int64], labels: list[str], distance: str, *, what: str
) -> xr.DataArray:
    """RDM of each image set in each repeat by itself.

    Parameters
    ----------
    repeats : DataArray (repeat, id73k, feature)
        Single responses to at least the images in the sets.
    image_sets, labels, distance, what
        As for `rdms_of_sets`.

    Returns
    -------
    DataArray (image_set, repeat, pair), float32
        Noisier than the RDM of averages; between them stands what the repeats have in common.
    """
    single = [rdms_of_sets(one, image_sets, labels, distance, what=what)["rdm"] for one in repeats]
    return xr.concat(single, dim=repeats["repeat"]).transpose("image_set", "repeat", "pair")


def mean_of_other_repeats(repeats: xr.DataArray) -> xr.DataArray:
    """For each repeat the mean response over the other repeats, ``(sum over repeats - repeat) / (n_repeats - 1)``.

    Parameters
    ----------
    repeats : DataArray (repeat, ...)
        Single responses, at least two.

    Returns
    -------
    DataArray
        As ``repeats``, NaN where any repeat is.
    """
    others = repeats.sum("repeat", skipna=False) - repeats
    return others.transpose(*repeats.dims) / (repeats.sizes["repeat"] - 1)


def subrdms_of_sets(rdm: xr.DataArray, image_sets: NDArray[np.int64], labels: list[str], *, what: str) -> xr.Dataset:
    """Cut the RDM of each image set out of a ready square one, ``rdm`` (id73k, id73k_2).

    Returns
    -------
    Dataset
        As `rdms_of_sets`.
    """
    rows = positions(image_sets, rdm["id73k"].to_numpy(), what=what)
    values = np.asarray(rdm.to_numpy())
    upper = np.triu_indices(image_sets.shape[1], k=1)
    vectors = [values[np.ix_(row, row)][upper] for row in rows]
    return _as_dataset(np.array(vectors), image_sets, labels, "given")


def rdms_of_model(
    features: xr.Dataset, image_sets: NDArray[np.int64], labels: list[str], distance: str, *, what: str
) -> xr.Dataset:
    """RDM of each image set under a model: distances of its ``features``, or cut out of the ``rdm`` that it brings.

    Parameters
    ----------
    features
        File of a model: ``features`` (id73k, feature), or ``rdm`` (id73k, id73k_2), for which ``distance`` is not used.
    image_sets, labels, distance, what
        As for `rdms_of_sets`.

    Returns
    -------
    Dataset
        As `rdms_of_sets`.
    """
    if "rdm" in features:
        return subrdms_of_sets(features["rdm"].load(), image_sets, labels, what=what)
    return rdms_of_sets(features["features"].load(), image_sets, labels, distance, what=what)


def undefined_rdms(image_sets: NDArray[np.int64], labels: list[str], distance: str) -> xr.Dataset:
    """RDMs of a region that a subject does not have: as `rdms_of_sets`, every pair NaN."""
    vectors = np.full((len(labels), n_pairs(image_sets.shape[1])), np.nan)
    return _as_dataset(vectors, image_sets, labels, distance)


def subjects_of_rois(rdms: Mapping[str, xr.Dataset]) -> dict[str, list[str]]:
    """Say who has each region.

    Parameters
    ----------
    rdms
        For each subject ``analysed`` (roi): whether the subject's RDMs of the region are defined; and ``atlas`` (roi).

    Returns
    -------
    dict
        For each region, in the order of the files, the subjects who have it, in the order of ``rdms``.

    Raises
    ------
    ValueError
        If no subject has a region, naming atlas and region.
    """
    atlases: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for subject, dataset in rdms.items():
        columns = (dataset[name].to_numpy() for name in ("roi", "atlas", "analysed"))
        for roi, atlas, analysed in zip(*columns, strict=True):
            atlases[str(roi)] = str(atlas)
            found.setdefault(str(roi), []).extend([subject] if analysed else [])
    for roi, subjects in found.items():
        if not subjects:
            raise ValueError(
                f"region {roi} of atlas {atlases[roi]}: none of the subjects ({', '.join(rdms)}) has it with at least "
                f"{LEAST_UNITS} usable vertices or voxels; take it out of the config key rois, or lower least_ncsnr"
            )
    return found


def _as_dataset(
    vectors: NDArray[np.float64], image_sets: NDArray[np.int64], labels: list[str], distance: str
) -> xr.Dataset:
    rdm = xr.DataArray(
        vectors.reshape(len(labels), n_pairs(image_sets.shape[1])).astype(np.float32),
        dims=("image_set", "pair"),
        attrs={"distance": distance, "pair_order": "row-major upper triangle"},
    )
    return xr.Dataset(
        {"rdm": rdm}, coords={"image_set": np.array(labels, str), "id73k": (("image_set", "image"), image_sets)}
    )


def rdms_on_sets(rdms: xr.Dataset, sets: xr.Dataset, *, name: str, sets_name: str) -> xr.DataArray:
    """Pick the RDMs of certain image sets, after making sure that these are of the same images in the same order.

    Parameters
    ----------
    rdms
        Dataset of `rdms_of_sets`, perhaps of several regions.
    sets
        Dataset with the sets wanted: ``id73k`` (image_set, image), ``image_set``.
    name, sets_name
        Names of both, for messages.

    Returns
    -------
    DataArray (image_set, ..., pair)
        Sets in the order of ``sets``.

    Raises
    ------
    ValueError
        If a set is lacking, or holds other images, naming set, position and ids.
    """
    labels = [str(label) for label in sets["image_set"].to_numpy()]
    known = {str(label) for label in rdms["image_set"].to_numpy()}
    if lacking := [label for label in labels if label not in known]:
        raise ValueError(f"{name} lacks image set {lacking[0]} of {sets_name} ({len(lacking)} of {len(labels)} sets)")
    chosen = rdms.sel(image_set=labels)
    for label, own, wanted in zip(labels, chosen["id73k"].to_numpy(), sets["id73k"].to_numpy(), strict=True):
        require_equal(own, wanted, left_name=f"{name}, image set {label}", right_name=f"{sets_name}, image set {label}")
    return chosen["rdm"].transpose("image_set", ..., "pair")


def compare_sets(
    left: xr.Dataset, right: xr.Dataset, *, left_name: str, right_name: str, measure: str = "pearson"
) -> xr.Dataset:
    """Compare two collections of RDMs set by set, for the sets that both hold.

    Parameters
    ----------
    left, right
        Datasets of `rdms_of_sets`. A set of one name must hold the same images in the same order on both sides.
    left_name, right_name
        For messages.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    Dataset
        ``r`` (image_set) float64, the value of the measure, NaN as for `compare_rdms`; ``n_pairs`` (image_set) int64.

    Raises
    ------
    ValueError
        If a set holds different images on the two sides, naming set, position and ids; or if no set is common.
    """
    a, b = ({str(name): row for row, name in enumerate(side["image_set"].to_numpy())} for side in (left, right))
    common = [name for name in a if name in b]
    if not common:
        raise ValueError(f"{left_name} and {right_name} have no image set in common")
    left_ids, right_ids = left["id73k"].to_numpy(), right["id73k"].to_numpy()
    left_rdms, right_rdms = left["rdm"].to_numpy(), right["rdm"].to_numpy()
    results = []
    for name in common:
        require_equal(
            left_ids[a[name]],
            right_ids[b[name]],
            left_name=f"{left_name}, image set {name}",
            right_name=f"{right_name}, image set {name}",
        )
        results.append(compare_rdms(left_rdms[a[name]], right_rdms[b[name]], measure))
    values, used = zip(*results, strict=True)
    return xr.Dataset(
        {"r": ("image_set", np.array(values)), "n_pairs": ("image_set", np.array(used, dtype=np.int64))},
        coords={"image_set": common},
    )
