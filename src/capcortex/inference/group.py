"""Group results: from one score per subject, model, region and image set to the tables that figures are drawn from."""

import numpy as np
import pandas as pd
import xarray as xr

from capcortex.inference.bootstrap import bootstrap_test
from capcortex.inference.ceilings import (
    BETWEEN,
    BOUNDS,
    SHARED,
    ceiling_interval,
    of_kind,
    ratio_interval,
    require_alike,
)
from capcortex.inference.intervals import Interval, mean_interval
from capcortex.inference.tests import TOO_FEW, false_discovery_adjusted, one_sample_t
from capcortex.rsa.measures import why_no_zero
from capcortex.rsa.rdm import ALL_PAIRS


def is_shared(image_set: pd.Series) -> pd.Series:
    """Say which image sets are made of images that all subjects saw three times."""
    return image_set.str.startswith(SHARED)


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
        The registry of ceilings; ratios are to those between subjects.
    confidence
        Coverage of all intervals.

    Returns
    -------
    DataFrame
        One row for each model and region, in the order of ``scores``. ``n_subjects`` counts those who have the region; scores
        and ceilings are theirs. ``pairs`` says what ``r`` is made of, ``image_sets`` or ``all``, and ``n_image_sets`` counts the
        sets. Where there is no test, ``test_left_out`` says why, and where there is no ratio, or no ceiling,
        ``ratio_left_out`` does; both are empty otherwise. ``ceiling_kind`` and ``ceiling_images`` say which ceiling it is;
        score and ceiling are of one ``measure`` and ``distance``.
    """
    require_one_measure(scores)
    rows = []
    for (model, roi), here in scores.groupby(["model", "roi"], sort=False):
        shared = is_shared(here["image_set"])
        own = here[~shared].groupby("subject")["r"].mean()
        over_all_pairs = bool((here["image_set"] == ALL_PAIRS).any())
        t, p = one_sample_t(own)
        row = {
            "model": model,
            "roi": roi,
            "n_subjects": len(own),
            "pairs": "all" if over_all_pairs else "image_sets",
            **{name: here[name].iloc[0] for name in ("measure", "distance")},
            "n_image_sets": 0 if over_all_pairs else int((~shared).sum()),
            "fewest_pairs": int(here["n_pairs"].min()),
            **_columns("r", mean_interval(own, confidence)),
            "t": t,
            "p": p,
            "p_adjusted": float("nan"),
            "test_left_out": _why_not_tested(own, over_all_pairs),
        }
        between = of_kind(ceilings, BETWEEN, str(model))
        of_roi = between[between["roi"] == roi]
        rows.append(row | _against_ceiling(here[shared], len(own), of_roi, confidence))
    table = pd.DataFrame(rows)
    table["p_adjusted"] = false_discovery_adjusted(table["p"].to_numpy())
    return table


def add_tests_on_shared_images(table: pd.DataFrame, bootstrap: xr.Dataset, confidence: float) -> pd.DataFrame:
    """Add interval and test of ``r_shared`` for other people and other images, by the two-factor bootstrap.

    Parameters
    ----------
    table
        Of `tabulate_group`.
    bootstrap
        ``score`` (roi, model) and its covariances, of the same models and regions; see `capcortex.inference.bootstrap`.
    confidence
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        ``table`` with the columns ``r_shared_low``, ``r_shared_high``, ``t_shared``, ``p_shared`` and ``p_shared_adjusted``
        (Benjamini-Hochberg over the table) behind ``r_shared``; NaN where there is no test.
    """
    models = bootstrap["model"].to_numpy()
    tests = [
        bootstrap_test(bootstrap.sel(roi=roi), models == model, confidence)
        for model, roi in table[["model", "roi"]].itertuples(index=False)
    ]
    p = np.array([test.p for test in tests])
    columns = {
        "r_shared_low": [test.interval.low for test in tests],
        "r_shared_high": [test.interval.high for test in tests],
        "t_shared": [test.t for test in tests],
        "p_shared": p,
        "p_shared_adjusted": false_discovery_adjusted(p),
    }
    at = list(table.columns).index("r_shared") + 1
    return pd.concat([table.iloc[:, :at], pd.DataFrame(columns, index=table.index), table.iloc[:, at:]], axis=1)


def leave_out_zero(table: pd.DataFrame) -> pd.DataFrame:
    """Take tests against 0, and ratios to the ceiling, out of a group table whose measure is not 0 for unrelated RDMs.

    Parameters
    ----------
    table
        Of `add_tests_on_shared_images`.

    Returns
    -------
    DataFrame
        The same, with tests and ratios NaN and the reason in ``test_left_out`` and ``ratio_left_out``, where
        `capcortex.rsa.measures.why_no_zero` has one.
    """
    reason = why_no_zero(table["measure"].iloc[0])
    if not reason:
        return table
    left_out = table.assign(test_left_out=reason, ratio_left_out=reason)
    # t, p and what their names begin with.
    left_out.loc[:, list(table.filter(regex="^[tp](_|$)|^ratio_to_"))] = np.nan
    return left_out


def require_one_measure(scores: pd.DataFrame) -> None:
    """Refuse scores of several measures or distances, whose mean or difference would mean nothing.

    Raises
    ------
    ValueError
        Naming them.
    """
    for column in ("measure", "distance"):
        if len(found := sorted(set(scores[column]))) > 1:
            raise ValueError(f"scores of one {column} are needed, found {', '.join(found)}")


def _why_not_tested(r: pd.Series, over_all_pairs: bool) -> str:
    where = "all pairs of the subject's images" if over_all_pairs else "the subject's own image sets"
    return _undefined(r, where) or (TOO_FEW if len(r) < 2 else "")


def _undefined(r: pd.Series, where: str) -> str:
    """Name the subjects on whose images no correlation is defined, because model or region have equal distances."""
    subjects = ", ".join(map(str, r.index[r.isna()]))
    return f"r is not defined on {where}: {subjects}" if subjects else ""


def _against_ceiling(
    scores: pd.DataFrame, n_subjects: int, ceilings: pd.DataFrame, confidence: float
) -> dict[str, float | str]:
    """Columns of a model and region on shared image sets, from its scores there and the ceiling of the region."""
    names = ["r_shared", *(f"ceiling_{bound}{end}" for bound in BOUNDS for end in ("", "_low", "_high"))]
    names += [f"ratio_to_{bound}{end}" for bound in BOUNDS for end in ("", "_low", "_high")]
    row: dict[str, float | str] = dict.fromkeys(names, float("nan"))
    row |= {
        "ceiling_kind": BETWEEN,
        "ceiling_images": ", ".join(sorted(scores["image_set"].unique())),
        "ratio_left_out": "",
    }
    r = scores.groupby("subject")["r"].mean()
    if len(r):
        row["r_shared"] = float(r.mean())
    if n_subjects < 2:
        return row | {"ratio_left_out": "a ceiling needs at least two subjects who have the region"}
    if not len(r):
        return row | {"ratio_left_out": "no image set that all subjects saw three times"}
    require_alike(scores, ceilings)
    for bound in BOUNDS:
        row |= _columns(f"ceiling_{bound}", ceiling_interval(ceilings, bound, confidence))
    row["ratio_left_out"] = _why_no_ratio(scores, r, ceilings, float(row["ceiling_lower_low"]))
    if row["ratio_left_out"]:
        return row
    for bound in BOUNDS:
        row |= _columns(f"ratio_to_{bound}", ratio_interval(r, ceilings, bound, confidence))
    return row


def _why_no_ratio(scores: pd.DataFrame, r: pd.Series, ceilings: pd.DataFrame, lowest: float) -> str:
    """Say why the mean ``r`` of each subject cannot be divided by a ceiling whose interval begins at ``lowest``."""
    undefined = scores.loc[scores["r"].isna(), "image_set"]
    reasons = {
        "the interval of a ceiling needs at least three subjects who have the region": len(r) < 3,
        _undefined(r, "shared image sets"): bool(r.isna().any()),
        f"r is not defined on all images of the ceiling: {', '.join(sorted(undefined.unique()))}": len(undefined) > 0,
        "score and ceiling are of different pairs of images": not _on_the_same_pairs(scores, ceilings),
        "the interval of the lower bound of the ceiling reaches zero": not lowest > 0,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _on_the_same_pairs(scores: pd.DataFrame, ceilings: pd.DataFrame) -> bool:
    """Whether scores and ceilings of every image set are over the same number of pairs."""
    of_scores, of_ceilings = (
        {(str(label), int(n)) for label, n in side[["image_set", "n_pairs"]].itertuples(index=False)}
        for side in (scores, ceilings)
    )
    return of_scores == of_ceilings


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
