"""Group results: from one score per subject, model, region and image set to the tables that figures are drawn from."""

import numpy as np
import pandas as pd

from capcortex.inference.ceilings import between_subject_ceiling
from capcortex.inference.intervals import mean_interval, ratio_interval
from capcortex.inference.tests import false_discovery_adjusted, one_sample_t

SCORE_COLUMNS = ["model", "roi", "subject", "image_set", "r", "n_pairs"]
CEILING_COLUMNS = ["roi", "image_set", "subject", "lower", "upper"]
SHARED = "shared-"


def is_shared(image_set: pd.Series) -> pd.Series:
    """Say which image sets are made of images that all subjects saw three times."""
    return image_set.str.startswith(SHARED)


def tabulate_ceilings(rdms: dict[str, dict[str, np.ndarray]], subjects: list[str]) -> pd.DataFrame:
    """Between-subject noise ceiling of every region and shared image set.

    Parameters
    ----------
    rdms
        For each region, for each shared image set, an array of shape (n_subjects, n_pairs).
    subjects
        Names, in the order of the arrays' first axis.

    Returns
    -------
    DataFrame with columns
        ``roi``, ``image_set``, ``subject``, ``lower``, ``upper``. Empty when there is only one subject, who has nobody to agree
        with.
    """
    parts = []
    if len(subjects) > 1:
        for roi, sets in rdms.items():
            for label, vectors in sets.items():
                lower, upper = between_subject_ceiling(vectors)
                parts.append(
                    pd.DataFrame({"roi": roi, "image_set": label, "subject": subjects, "lower": lower, "upper": upper})
                )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=CEILING_COLUMNS)


def tabulate_group(scores: pd.DataFrame, ceilings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Group result of every model and region.

    ``r`` is the mean over all of a subject's own image sets, then over subjects, with a t interval and a two-sided t-test over
    subjects; ``p_adjusted`` is corrected (Benjamini-Hochberg) over all models and regions of the table.
    The ratio to the ceiling uses shared image sets alone, for numerator and ceiling alike: group mean of r over group mean of
    the ceiling, with Fieller's interval over subjects. It is left out when the interval of the lower bound reaches zero.

    Parameters
    ----------
    scores
        Rows of `SCORE_COLUMNS`.
    ceilings
        Rows of `tabulate_ceilings`.
    confidence
        Coverage of all intervals.

    Returns
    -------
    DataFrame
        One row for each model and region, in the order of ``scores``.
    """
    shared = is_shared(scores["image_set"])
    own_means = scores[~shared].groupby(["model", "roi", "subject"])["r"].mean()
    shared_means = scores[shared].groupby(["model", "roi", "subject"])["r"].mean()
    bounds = ceilings.groupby(["roi", "subject"])[["lower", "upper"]].mean()
    rows = []
    for model, roi in scores[["model", "roi"]].drop_duplicates().itertuples(index=False):
        row = {"model": model, "roi": roi}
        own = own_means.loc[(model, roi)]
        interval = mean_interval(own, confidence)
        t, p = one_sample_t(own)
        here = scores[(scores["model"] == model) & (scores["roi"] == roi)]
        row |= {
            "n_subjects": len(own),
            "n_image_sets": int((~is_shared(here["image_set"])).sum()),
            "fewest_pairs": int(here["n_pairs"].min()),
            "r": interval.estimate,
            "r_low": interval.low,
            "r_high": interval.high,
            "t": t,
            "p": p,
        }
        rows.append(row | _against_ceiling(shared_means, bounds, model, roi, confidence))
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_adjusted", false_discovery_adjusted(table["p"].to_numpy()))
    return table


def _against_ceiling(
    shared_means: pd.Series, bounds: pd.DataFrame, model: str, roi: str, confidence: float
) -> dict[str, float | str]:
    names = ["r_shared", "ceiling_lower", "ceiling_lower_low", "ceiling_lower_high", "ceiling_upper"]
    names += [f"ratio_to_{bound}{end}" for bound in ("lower", "upper") for end in ("", "_low", "_high")]
    row: dict[str, float | str] = dict.fromkeys(names, float("nan"))
    row["ratio_left_out"] = ""
    if (model, roi) not in shared_means.index.droplevel("subject"):
        return row | {"ratio_left_out": "no image set that all subjects saw three times"}
    r = shared_means.loc[(model, roi)]
    row["r_shared"] = float(r.mean())
    if roi not in bounds.index.get_level_values("roi"):
        return row | {"ratio_left_out": "a ceiling needs at least two subjects"}
    ceiling = bounds.loc[roi].loc[r.index]
    lower = mean_interval(ceiling["lower"], confidence)
    row |= {
        "ceiling_lower": lower.estimate,
        "ceiling_lower_low": lower.low,
        "ceiling_lower_high": lower.high,
        "ceiling_upper": float(ceiling["upper"].mean()),
    }
    if not lower.low > 0:
        return row | {"ratio_left_out": "the interval of the lower bound of the ceiling reaches zero"}
    for bound in ("lower", "upper"):
        ratio = ratio_interval(r, ceiling[bound], confidence)
        if ratio is not None:
            row |= {
                f"ratio_to_{bound}": ratio.estimate,
                f"ratio_to_{bound}_low": ratio.low,
                f"ratio_to_{bound}_high": ratio.high,
            }
    return row
