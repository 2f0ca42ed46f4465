"""The registry of noise ceilings: how well any model could do, each with its kind, images, measure and distance.

A score is divided by a ceiling of the same images, measure, distance and subjects or not at all: `require_alike`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.inference.intervals import Interval, jackknife_interval, mean_interval
from capcortex.rsa.measures import compare_rdms, n_images_of, standardised, why_no_zero

BETWEEN, RELEASED, REPEATS, NCSNR = "between-subjects", "released", "repeats", "ncsnr"

KINDS = {
    BETWEEN: "RDM of a subject with the mean RDM of the others (lower) and of all (upper), on shared image sets",
    RELEASED: "RDM of a subject with the mean RDM of the others, on one RDM of all shared images, as in the released code",
    REPEATS: "RDM of a subject with that of another measurement of the same subject (lower) and with that without noise (upper)",
    NCSNR: "share of the variance of a vertex or voxel, averaged over repeats, that is not noise; mean over the region (upper)",
}
"""What each kind of ceiling is."""

CEILING_COLUMNS = [
    *("kind", "roi", "image_set", "n_images", "pairs_of", "n_pairs", "measure", "distance"),
    *("left_out", "subject", "lower", "upper"),
]
"""Columns of the registry. ``pairs_of``: `EVERY_MODEL`, or the model that defines only these ``n_pairs`` of an image set.
``left_out``: the subject without whom the row was computed, from which intervals are made."""

SUMMARY_COLUMNS = [
    *("kind", "roi", "pairs_of", "images", "n_images", "measure", "distance", "n_subjects"),
    *(f"{bound}{end}" for bound in ("lower", "upper") for end in ("", "_low", "_high")),
    *("interval", "meaning"),
]
"""Columns of `summarise_ceilings`."""

NOBODY = "nobody"
SHARED = "shared-"
BOUNDS = ("lower", "upper")
ALL_IMAGES = "all"
EVERY_MODEL = "every model"


def of_kind(ceilings: pd.DataFrame, kind: str, model: str = EVERY_MODEL) -> pd.DataFrame:
    """Rows of one kind: those on the pairs of a model that does not define all, or else those for every model."""
    rows = ceilings[ceilings["kind"] == kind]
    of_model = rows["pairs_of"] == model
    return rows[of_model if of_model.any() else rows["pairs_of"] == EVERY_MODEL]


def between_subject_ceiling(
    rdms: NDArray[np.floating], measure: str = "pearson"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bound of the noise ceiling from the agreement between subjects.

    Each RDM is standardised over its pairs before averaging (`capcortex.rsa.measures.standardised`).
    Lower bound of subject s: comparison with the mean of the others. Upper bound: with the mean of all, s included.

    The upper bound is one for any model where no RDM compares better with all subjects, on average, than their mean does. That
    holds for ``pearson`` (mean of RDMs of mean 0 and length 1), ``whitened-cosine`` (mean of RDMs of length 1 in the whitened
    space) and ``rho-a`` (mean of ranks). For ``spearman`` the mean of ranks is the best among RDMs without ties; a model with
    ties may lie above it. For ``tau-a`` the best RDM cannot be computed for so many pairs, and the mean of ranks is an
    approximation to it: the bound may be too low.

    Parameters
    ----------
    rdms : ndarray of shape (n_subjects, n_pairs)
        RDMs of the same images. A pair that is NaN for one subject is left out for all.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    lower, upper : ndarrays of shape (n_subjects,), float64
        One value per subject; the ceiling is their mean. NaN if fewer than three pairs are left, or if an RDM does not vary.

    Raises
    ------
    ValueError
        If there are fewer than two subjects: one subject has nobody to agree with.

    References
    ----------
    Nili et al. 2014, doi 10.1371/journal.pcbi.1003553. Schuett et al. 2023, doi 10.7554/eLife.82566.
    """
    vectors = np.asarray(rdms, dtype=np.float64)
    if len(vectors) < 2:
        raise ValueError(f"a between-subject ceiling needs at least two subjects, found {len(vectors)}")
    used = np.asarray(np.isfinite(vectors).all(axis=0))
    standard = np.full_like(vectors, np.nan)
    standard[:, used] = standardised(vectors[:, used], measure, used)
    total = standard.sum(axis=0)
    upper = [compare_rdms(own, total, measure)[0] for own in standard]
    lower = [compare_rdms(own, total - own, measure)[0] for own in standard]
    return np.array(lower), np.array(upper)


def released_ceiling(rdms: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each subject's RDM with the plain mean of the others' RDMs, as the released code has it.

    Parameters
    ----------
    rdms : ndarray of shape (n_subjects, n_pairs)
        RDMs of all images that all subjects saw three times.

    Returns
    -------
    ndarray of shape (n_subjects,), float64
    """
    vectors = np.asarray(rdms, dtype=np.float64)
    total = vectors.sum(axis=0)
    return np.array([compare_rdms(own, (total - own) / (len(vectors) - 1))[0] for own in vectors])


def repeat_ceiling(single: NDArray[np.floating], others: NDArray[np.floating], measure: str) -> tuple[float, float]:
    """Agreement of a subject's RDM with itself, from RDMs of one and of two of three repeats.

    ``lower``: reliability R of the RDM of averages of three, as high as another measurement of the same subject would come.
    ``upper``: ``sqrt(R)``, as high as the RDM without noise would come. Distances hold the noise of betas both linearly and
    squared, so that the variance of the noise of an RDM of averages of n, over that of the RDM without noise, falls as
    ``V_n = a / n + b / n^2`` (Spearman-Brown, which has the first term only, comes out far too low). With r11 the mean agreement
    of the RDMs of two single repeats, and r12 that of a single repeat and the average of the two others::

        V_1 = 1 / r11 - 1,  V_2 = r11 / r12^2 - 1,  V_3 = (8 V_2 - V_1) / 9,  R = 1 / (1 + V_3)

    Parameters
    ----------
    single : ndarray of shape (3, n_pairs)
        RDM of each repeat.
    others : ndarray of shape (3, n_pairs)
        RDM of the average of the two other repeats.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    lower, upper : float
        NaN where single repeats do not agree (r11 or r12 not above 0, or R not between 0 and 1).
    """
    r11 = np.mean([compare_rdms(single[one], single[other], measure)[0] for one in range(3) for other in range(one)])
    r12 = np.mean([compare_rdms(single[one], others[one], measure)[0] for one in range(3)])
    if not (r11 > 0 and r12 > 0):
        return float("nan"), float("nan")
    of_one, of_two = 1 / r11 - 1, r11 / r12**2 - 1
    reliability = 1 / (1 + (8 * of_two - of_one) / 9)
    if not 0 <= reliability <= 1:
        return float("nan"), float("nan")
    return float(reliability), float(np.sqrt(reliability))


def register_ceilings(
    rdms: Mapping[str, xr.Dataset],
    for_ceilings: Mapping[str, xr.Dataset],
    models: Mapping[str, xr.DataArray],
    have: Mapping[str, Sequence[str]],
    *,
    measure: str,
) -> pd.DataFrame:
    """Tabulate every kind of ceiling of every region, each from the subjects who have it.

    Parameters
    ----------
    rdms
        For each subject the ``rdm`` (roi, image_set, pair) of the shared image sets.
    for_ceilings
        For each subject, of the same regions and image sets, ``rdm_of_repeats`` and ``rdm_of_other_repeats``
        (roi, image_set, repeat, pair); ``rdm_all_shared`` (roi, pair_all); and ``ncsnr_ceiling`` (roi).
    models
        RDM (image_set, pair) of each model, of the same image sets. One that is NaN for some pairs has a ceiling of its own.
    have
        For each region the subjects who have it: `capcortex.rsa.rdm.subjects_of_rois`.
    measure
        How RDMs are compared. Their distances are those that the arrays have as attribute ``distance``.

    Returns
    -------
    DataFrame
        Columns `CEILING_COLUMNS`.
    """
    first = next(iter(rdms))
    labels = [str(label) for label in rdms[first]["image_set"].to_numpy()]
    alike = {"measure": measure, "distance": rdms[first]["rdm"].attrs["distance"]}
    between = _of_sets(rdms, "rdm", have, labels)
    of_models = []
    for model, rdm in models.items():
        defined = {label: np.isfinite(rdm.sel(image_set=label).to_numpy()) for label in labels}
        if not all(mask.all() for mask in defined.values()):
            of_models.append(tabulate_between(between, **alike, model=model, defined=defined))
    n_shared = for_ceilings[first].sizes["image_all"]
    return join_ceilings(
        [
            tabulate_between(between, **alike),
            *of_models,
            tabulate_released(_of_rois(for_ceilings, "rdm_all_shared", have) if n_shared else {}),
            tabulate_repeats(
                _of_sets(for_ceilings, "rdm_of_repeats", have, labels),
                _of_sets(for_ceilings, "rdm_of_other_repeats", have, labels),
                measure=measure,
                distance=for_ceilings[first]["rdm_of_repeats"].attrs["distance"],
            ),
            tabulate_ncsnr(
                {
                    roi: {subject: float(value) for subject, value in of_subjects.items()}
                    for roi, of_subjects in _of_rois(for_ceilings, "ncsnr_ceiling", have).items()
                }
            ),
        ]
    )


def _of_rois(
    files: Mapping[str, xr.Dataset], name: str, have: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, NDArray[np.floating]]]:
    """Sort an array of every subject's file by region, then by the subjects who have it."""
    return {
        roi: {subject: files[subject][name].sel(roi=roi).to_numpy() for subject in those} for roi, those in have.items()
    }


def _of_sets(
    files: Mapping[str, xr.Dataset], name: str, have: Mapping[str, Sequence[str]], labels: Sequence[str]
) -> dict[str, dict[str, dict[str, NDArray[np.floating]]]]:
    """Sort an array of every subject's file by region, then by image set, then by subject."""
    of_sets = {
        label: _of_rois({subject: file.sel(image_set=label) for subject, file in files.items()}, name, have)
        for label in labels
    }
    return {roi: {label: of_sets[label][roi] for label in labels} for roi in have}


def tabulate_between(
    rdms: Mapping[str, Mapping[str, Mapping[str, NDArray[np.floating]]]],
    *,
    measure: str,
    distance: str,
    model: str = EVERY_MODEL,
    defined: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pd.DataFrame:
    """Between-subject ceiling of every region and shared image set.

    A model that does not define all pairs of images, as one of categories where an image has no object, is compared on the pairs
    that are left, and so is its ceiling.

    Parameters
    ----------
    rdms
        For each region, for each shared image set, the RDM (n_pairs,) of each subject who has the region.
    measure, distance
        How RDMs are compared, and of which distances they are made.
    model, defined
        A model, and for each image set which pairs (n_pairs,) it defines; None takes all pairs.

    Returns
    -------
    DataFrame
        Columns `CEILING_COLUMNS`: the ceiling among all subjects who have the region (``left_out`` is ``nobody``), and with at
        least three also among the others when one of them is left out. A region that only one subject has, who has nobody to
        agree with, has no rows.
    """
    if defined is not None:
        rdms = {
            roi: {
                label: {subject: np.where(defined[label], rdm, np.nan) for subject, rdm in of_subjects.items()}
                for label, of_subjects in sets.items()
            }
            for roi, sets in rdms.items()
        }
    facts = {"pairs_of": model, "measure": measure, "distance": distance}
    return _tabulate(BETWEEN, rdms, lambda vectors: between_subject_ceiling(vectors, measure), facts)


def tabulate_released(rdms: Mapping[str, Mapping[str, NDArray[np.floating]]]) -> pd.DataFrame:
    """Released ceiling of every region: of the correlation distance and Pearson's r, whatever the study uses.

    Parameters
    ----------
    rdms
        For each region the RDM (n_pairs,) of all shared images of each subject who has the region.

    Returns
    -------
    DataFrame
        As `tabulate_between`; ``upper`` is NaN.
    """
    sets = {roi: {f"{SHARED}all": of_subjects} for roi, of_subjects in rdms.items()}

    def bounds(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lower = released_ceiling(vectors)
        return lower, np.full(lower.size, np.nan)

    facts = {"pairs_of": EVERY_MODEL, "measure": "pearson", "distance": "correlation"}
    return _tabulate(RELEASED, sets, bounds, facts)


def _tabulate(
    kind: str,
    rdms: Mapping[str, Mapping[str, Mapping[str, NDArray[np.floating]]]],
    bounds: Callable[[NDArray[np.floating]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    facts: Mapping[str, str],
) -> pd.DataFrame:
    parts = []
    for roi, sets in rdms.items():
        for label, of_subjects in sets.items():
            for left_out in [NOBODY, *of_subjects]:
                present = [subject for subject in of_subjects if subject != left_out]
                if len(present) < 2:
                    continue
                vectors = np.array([of_subjects[subject] for subject in present])
                lower, upper = bounds(vectors)
                sizes = {
                    "n_images": n_images_of(vectors.shape[1]),
                    "n_pairs": int(np.isfinite(vectors).all(axis=0).sum()),
                }
                where = {"kind": kind, "roi": roi, "image_set": label, "left_out": left_out, **sizes, **facts}
                parts.append(pd.DataFrame(where | {"subject": present, "lower": lower, "upper": upper}))
    return _join(parts)


def tabulate_repeats(
    single: Mapping[str, Mapping[str, Mapping[str, NDArray[np.floating]]]],
    others: Mapping[str, Mapping[str, Mapping[str, NDArray[np.floating]]]],
    *,
    measure: str,
    distance: str,
) -> pd.DataFrame:
    """Agreement of every subject with himself in every region and shared image set; see `repeat_ceiling`.

    Parameters
    ----------
    single, others
        As for `tabulate_between`, each of shape (3, n_pairs): of each repeat, and of the average of the two others.
    measure, distance
        As for `tabulate_between`. With a measure whose 0 does not mean unrelated Pearson's r is used: reliabilities need that.

    Returns
    -------
    DataFrame
        Columns `CEILING_COLUMNS`.
    """
    if why_no_zero(measure):
        measure = "pearson"
    rows = []
    for roi, sets in single.items():
        for label, of_subjects in sets.items():
            for subject, vectors in of_subjects.items():
                n_pairs = vectors.shape[1]
                images = [label, n_images_of(n_pairs), EVERY_MODEL, n_pairs]
                bounds = repeat_ceiling(vectors, others[roi][label][subject], measure)
                rows.append([REPEATS, roi, *images, measure, distance, NOBODY, subject, *bounds])
    return pd.DataFrame(rows, columns=CEILING_COLUMNS)


def tabulate_ncsnr(ceilings: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Noise ceiling of vertices or voxels that NSD's ncsnr means, of every region and subject.

    Parameters
    ----------
    ceilings
        For each region the mean over its vertices or voxels of ``ncsnr^2 / (ncsnr^2 + 1/3)``, of each subject who has it.

    Returns
    -------
    DataFrame
        Columns `CEILING_COLUMNS`; ``lower`` is NaN, and so are ``n_images`` and ``n_pairs``: ncsnr is NSD's, of all images of a
        subject. The measure is a share of variance, and there is no distance: no RDM is in it.
    """
    rows = [
        [NCSNR, roi, ALL_IMAGES, np.nan, EVERY_MODEL, np.nan, "variance", "none", NOBODY, subject, np.nan, value]
        for roi, of_subjects in ceilings.items()
        for subject, value in of_subjects.items()
    ]
    return pd.DataFrame(rows, columns=CEILING_COLUMNS)


def join_ceilings(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of the registry below each other; there may be none with rows."""
    return _join([part for part in parts if len(part)])


def _join(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[CEILING_COLUMNS] if parts else pd.DataFrame(columns=CEILING_COLUMNS)


def ceiling_interval(ceilings: pd.DataFrame, bound: str, confidence: float) -> Interval:
    """Group mean of a bound of one region's ceiling, with its jackknife interval over subjects.

    Parameters
    ----------
    ceilings
        One region's rows of one kind, of `tabulate_between` or `tabulate_released`.
    bound
        ``lower`` or ``upper``.
    confidence
        Coverage of the interval.
    """
    means = ceilings.groupby("left_out")[bound].mean()
    return jackknife_interval(float(means[NOBODY]), means.drop(NOBODY).to_numpy(), confidence)


def ratio_interval(r: pd.Series, ceilings: pd.DataFrame, bound: str, confidence: float) -> Interval:
    """Group mean of r over the group mean of a bound of the ceiling, with its jackknife interval over subjects.

    A replicate leaves a subject out of numerator and ceiling alike.

    Parameters
    ----------
    r
        Mean correlation of each subject on the shared image sets; the index names the subjects.
    ceilings, bound, confidence
        As for `ceiling_interval`.

    Raises
    ------
    ValueError
        If r and ceiling are of different subjects.
    """
    means = ceilings.groupby("left_out")[bound].mean()
    if set(r.index) != set(ceilings["subject"]):
        raise ValueError(f"r is of {', '.join(r.index)}, the ceiling of {', '.join(sorted(set(ceilings['subject'])))}")
    replicates = [r.drop(subject).mean() / means[subject] for subject in r.index if subject in means.index]
    return jackknife_interval(float(r.mean() / means[NOBODY]), replicates, confidence)


def require_alike(scores: pd.DataFrame, ceilings: pd.DataFrame) -> None:
    """Refuse to divide scores by a ceiling of another kind of thing.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS` of one model and region.
    ceilings
        One region's rows of the registry.

    Raises
    ------
    ValueError
        If the ceilings are of several kinds, or of another region, measure, distance, or other images than the scores; names
        both sides.
    """
    kinds = sorted(set(ceilings["kind"]))
    if len(kinds) != 1:
        raise ValueError(f"one kind of ceiling is needed to divide by, found {', '.join(kinds) or 'none'}")
    for column in ("roi", "measure", "distance", "image_set"):
        left, right = ({str(value) for value in side[column]} for side in (scores, ceilings))
        if left != right:
            raise ValueError(
                f"scores and ceiling ({kinds[0]}) are not alike: {column} {', '.join(sorted(left))} against "
                f"{', '.join(sorted(right))}; their ratio would mean nothing"
            )


def summarise_ceilings(ceilings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean over subjects of every kind of ceiling in every region, with its interval over subjects.

    Parameters
    ----------
    ceilings
        The registry, columns `CEILING_COLUMNS`.
    confidence
        Coverage of the intervals: jackknife where a subject's value depends on the other subjects, Student's t where not.

    Returns
    -------
    DataFrame
        Columns `SUMMARY_COLUMNS`, a row for each kind, region and ``pairs_of``.
    """
    rows = []
    for (kind, roi, pairs_of), here in ceilings.groupby(["kind", "roi", "pairs_of"], sort=False):
        jackknifed = kind in (BETWEEN, RELEASED)
        row = {
            "kind": kind,
            "roi": roi,
            "pairs_of": pairs_of,
            "images": ", ".join(here["image_set"].unique()),
            "n_images": here.drop_duplicates("image_set")["n_images"].sum(min_count=1),
            **{name: here[name].iloc[0] for name in ("measure", "distance")},
            "n_subjects": here["subject"].nunique(),
            "interval": "jackknife" if jackknifed else "t",
            "meaning": KINDS[str(kind)],
        }
        for bound in BOUNDS:
            if jackknifed:
                interval = ceiling_interval(here, bound, confidence)
            else:
                interval = mean_interval(here.groupby("subject")[bound].mean(), confidence)
            row |= {bound: interval.estimate, f"{bound}_low": interval.low, f"{bound}_high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)
