"""Group results: from one score per subject, model, region and image set to the tables that figures are drawn from."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.inference.ceilings import between_subject_ceiling
from capcortex.inference.intervals import Interval, jackknife_interval, mean_interval
from capcortex.inference.tests import TOO_FEW, false_discovery_adjusted, one_sample_t
from capcortex.rsa.measures import why_no_zero
from capcortex.rsa.rdm import ALL_PAIRS

CEILING_COLUMNS = ["roi", "image_set", "left_out", "subject", "lower", "upper", "measure"]
NOBODY = "nobody"
BOUNDS = ("lower", "upper")
SHARED = "shared-"


def is_shared(image_set: pd.Series) -> pd.Series:
    """Say which image sets are made of images that all subjects saw three times."""
    return image_set.str.startswith(SHARED)


def tabulate_ceilings(
    rdms: Mapping[str, Mapping[str, Mapping[str, NDArray[np.floating]]]], measure: str = "pearson"
) -> pd.DataFrame:
    """Between-subject noise ceiling of every region and shared image set.

    Parameters
    ----------
    rdms
        For each region, for each shared image set, the RDM (n_pairs,) of each subject who has the region.
    measure
        One of `capcortex.rsa.measures.MEASURES`.

    Returns
    -------
    DataFrame with columns
        ``roi``, ``image_set``, ``left_out``, ``subject``, ``lower``, ``upper``, ``measure``: the ceiling among all subjects who
        have the region (``left_out`` is ``nobody``), and with at least three also among the others when one of them is left
        out, from which intervals are made. A region that only one subject has, who has nobody to agree with, has no rows.
    """
    parts = []
    for roi, sets in rdms.items():
        for label, of_subjects in sets.items():
            for left_out in [NOBODY, *of_subjects]:
                present = [subject for subject in of_subjects if subject != left_out]
                if len(present) < 2:
                    continue
                lower, upper = between_subject_ceiling(np.array([of_subjects[subject] for subject in present]), measure)
                columns = {"roi": roi, "image_set": label, "left_out": left_out, "lower": lower, "upper": upper}
                parts.append(pd.DataFrame(columns | {"subject": present, "measure": measure}))
    return pd.concat(parts, ignore_index=True)[CEILING_COLUMNS] if parts else pd.DataFrame(columns=CEILING_COLUMNS)


def ceiling_interval(ceilings: pd.DataFrame, bound: str, confidence: float) -> Interval:
    """Group mean of a bound of one region's ceiling, with its jackknife interval over subjects.

    Parameters
    ----------
    ceilings
        One region's rows of `tabulate_ceilings`.
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


def tabulate_group(scores: pd.DataFrame, ceilings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Group result of every model and region.

    ``r`` is the mean over all of a subject's own image sets, or r over all pairs of the subject's images (column ``pairs``),
    then the mean over subjects, with a t interval and a two-sided t-test over subjects; ``p_adjusted`` is corrected
    (Benjamini-Hochberg) over all models and regions of the table.
    The ratio to the ceiling uses shared image sets alone, for numerator and ceiling alike: group mean of r over group mean of
    the ceiling. Ceiling and ratio have jackknife intervals over subjects. The ratio is left out when the interval of the
    lower bound reaches zero.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS`; see `capcortex.inference.pairs.choose_scores`.
    ceilings
        Rows of `tabulate_ceilings`.
    confidence
        Coverage of all intervals.

    Returns
    -------
    DataFrame
        One row for each model and region, in the order of ``scores``. ``n_subjects`` counts those who have the region; scores
        and ceilings are theirs. ``pairs`` says what ``r`` is made of, ``image_sets`` or ``all``, ``measure`` how RDMs
        were compared, and ``n_image_sets`` counts the sets. Where there is no test, ``test_left_out`` says why, and where
        there is no ratio, or no ceiling, ``ratio_left_out`` does; both are empty otherwise.

    Raises
    ------
    ValueError
        If scores and ceilings are not all of one measure.
    """
    measure = require_one_measure(scores, ceilings)
    rows = []
    for (model, roi), here in scores.groupby(["model", "roi"], sort=False):
        shared = is_shared(here["image_set"])
        own = here[~shared].groupby("subject")["r"].mean()
        over_all_pairs = bool((here["image_set"] == ALL_PAIRS).any())
        on_shared = here[shared].groupby("subject")["r"].mean() if shared.any() else None
        t, p = one_sample_t(own)
        row = {
            "model": model,
            "roi": roi,
            "n_subjects": len(own),
            "pairs": "all" if over_all_pairs else "image_sets",
            "measure": measure,
            "n_image_sets": 0 if over_all_pairs else int((~shared).sum()),
            "fewest_pairs": int(here["n_pairs"].min()),
            **_columns("r", mean_interval(own, confidence)),
            "t": t,
            "p": p,
            "p_adjusted": float("nan"),
            "test_left_out": _why_not_tested(own, over_all_pairs),
        }
        rows.append(row | _against_ceiling(on_shared, len(own), ceilings[ceilings["roi"] == roi], confidence))
    table = pd.DataFrame(rows)
    table["p_adjusted"] = false_discovery_adjusted(table["p"].to_numpy())
    return table


def require_one_measure(scores: pd.DataFrame, ceilings: pd.DataFrame) -> str:
    """Return the measure of scores and ceilings, after making sure that it is the same for all of them.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS`.
    ceilings
        Rows of `tabulate_ceilings`; may be empty.

    Raises
    ------
    ValueError
        If there are several measures, naming all of them.
    """
    found = {"scores": sorted(set(scores["measure"])), "ceilings": sorted(set(ceilings["measure"]))}
    if len({*found["scores"], *found["ceilings"]}) > 1:
        said = ", ".join(f"{what} of {' and '.join(measures)}" for what, measures in found.items() if measures)
        raise ValueError(f"found {said}, expected one measure throughout; make both with the same rdm_comparison")
    return str(found["scores"][0])


def leave_out_zero(table: pd.DataFrame, distance: str) -> pd.DataFrame:
    """Take tests against 0, and ratios to the ceiling, out of a group table whose measure has no meaningful zero.

    Parameters
    ----------
    table
        As of `tabulate_group`.
    distance
        Of the brain's RDMs.

    Returns
    -------
    DataFrame
        The same; where `capcortex.rsa.measures.why_no_zero` has a reason it stands in ``test_left_out`` and ``ratio_left_out``,
        and ``t``, ``p``, ``p_adjusted`` and ratios are NaN.
    """
    reason = why_no_zero(table["measure"].iloc[0], distance)
    if not reason:
        return table
    left_out = table.assign(test_left_out=reason, ratio_left_out=reason)
    left_out.loc[:, ["t", "p", "p_adjusted", *table.filter(like="ratio_to_")]] = np.nan
    return left_out


def _why_not_tested(r: pd.Series, over_all_pairs: bool) -> str:
    where = "all pairs of the subject's images" if over_all_pairs else "the subject's own image sets"
    return _undefined(r, where) or (TOO_FEW if len(r) < 2 else "")


def _undefined(r: pd.Series, where: str) -> str:
    """Name the subjects on whose images no correlation is defined, because model or region have equal distances."""
    subjects = ", ".join(map(str, r.index[r.isna()]))
    return f"r is not defined on {where}: {subjects}" if subjects else ""


def _against_ceiling(
    r: pd.Series | None, n_subjects: int, ceilings: pd.DataFrame, confidence: float
) -> dict[str, float | str]:
    names = ["r_shared", *(f"ceiling_{bound}{end}" for bound in BOUNDS for end in ("", "_low", "_high"))]
    names += [f"ratio_to_{bound}{end}" for bound in BOUNDS for end in ("", "_low", "_high")]
    row: dict[str, float | str] = dict.fromkeys(names, float("nan"))
    row["ratio_left_out"] = ""
    if r is not None:
        row["r_shared"] = float(r.mean())
    if n_subjects < 2:
        return row | {"ratio_left_out": "a ceiling needs at least two subjects who have the region"}
    if r is None:
        return row | {"ratio_left_out": "no image set that all subjects saw three times"}
    for bound in BOUNDS:
        row |= _columns(f"ceiling_{bound}", ceiling_interval(ceilings, bound, confidence))
    if len(r) < 3:
        return row | {"ratio_left_out": "the interval of a ceiling needs at least three subjects who have the region"}
    if undefined := _undefined(r, "shared image sets"):
        return row | {"ratio_left_out": undefined}
    if not float(row["ceiling_lower_low"]) > 0:
        return row | {"ratio_left_out": "the interval of the lower bound of the ceiling reaches zero"}
    for bound in BOUNDS:
        row |= _columns(f"ratio_to_{bound}", ratio_interval(r, ceilings, bound, confidence))
    return row


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
