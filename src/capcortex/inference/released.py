"""The statistics of the released code beside paired tests of the same numbers: for comparison with the paper, not for claims.

The released code divides a subject's mean r on the subject's own images by a ceiling on other images, and compares models as if
each had been tested with other people. Config key ``as_released`` asks for this table.
"""

from itertools import combinations

import pandas as pd

from capcortex.inference.ceilings import NOBODY, RELEASED, of_kind
from capcortex.inference.group import is_shared
from capcortex.inference.intervals import mean_interval, unpaired_interval
from capcortex.inference.tests import false_discovery_adjusted, one_sample_t, sign_flip, unpaired_t

RELEASED_COLUMNS = [
    *("roi", "model", "minus", "n_subjects", "value", "standard_error"),
    *("low_released", "high_released", "t_released", "p_released", "p_released_adjusted"),
    *("low_paired", "high_paired", "t_paired", "p_paired", "p_paired_adjusted"),
    *("p_sign_flip", "p_sign_flip_adjusted"),
]
"""Columns of `tabulate_released_statistics`."""


def released_ratios(scores: pd.DataFrame, ceilings: pd.DataFrame) -> pd.DataFrame:
    """Divide each subject's mean r by the same subject's released ceiling, subject by subject.

    This divides unlike things (images, and the number of them), as the released code does, and is used for nothing else.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS`; those on the subjects' own image sets are used.
    ceilings
        The registry of ceilings; its released rows are used.

    Returns
    -------
    DataFrame (roi and subject, model)
        A row for each region and subject who has it and a ceiling.

    Raises
    ------
    ValueError
        If scores and ceilings are of different measures or distances; that is not how the code was released.
    """
    released = of_kind(ceilings, RELEASED)
    for column in ("measure", "distance"):
        left, right = set(scores[column]), set(released[column])
        if right and left != right:
            raise ValueError(
                f"released statistics need scores of {column} {', '.join(sorted(right))}, found {', '.join(sorted(left))}"
            )
    own = scores[~is_shared(scores["image_set"])]
    r = own.groupby(["roi", "subject", "model"], sort=False)["r"].mean().unstack("model")
    ceiling = released[released["left_out"] == NOBODY].set_index(["roi", "subject"])["lower"]
    both = r.index.intersection(ceiling.index, sort=False)
    return r.loc[both].div(ceiling.loc[both], axis=0)[scores["model"].unique()]


def tabulate_released_statistics(scores: pd.DataFrame, ceilings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Test ceiling-corrected r as the released code does, and the same numbers paired by subject.

    Parameters
    ----------
    scores, ceilings
        As for `released_ratios`.
    confidence
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Columns `RELEASED_COLUMNS`. For each region a row for each model (``minus`` is missing): mean over subjects, its standard
        error (ddof 0, as released), one-sample t-test, uncorrected; and a row for each pair of models: mean difference,
        ``t_released`` and ``p_released`` of the unpaired t-test, Benjamini-Hochberg over the pairs of the region; ``t_paired``,
        ``p_paired`` and ``p_sign_flip`` of the same values paired by subject, corrected in the same way. Intervals, of Student's
        t, are those of the two t-tests.
    """
    parts = []
    for roi, ratios in released_ratios(scores, ceilings).groupby("roi", sort=False):
        singles = [{"model": model, **_describe(ratios[model])} for model in ratios]
        for row in singles:
            values = ratios[row["model"]]
            row["t_released"], row["p_released"] = one_sample_t(values)
            _, row["low_released"], row["high_released"] = mean_interval(values, confidence)
        pairs = []
        for model, minus in combinations(ratios, 2):
            difference = ratios[model] - ratios[minus]
            row = {"model": model, "minus": minus, **_describe(difference), "p_sign_flip": sign_flip(difference)}
            row["t_released"], row["p_released"] = unpaired_t(ratios[model], ratios[minus])
            _, row["low_released"], row["high_released"] = unpaired_interval(ratios[model], ratios[minus], confidence)
            row["t_paired"], row["p_paired"] = one_sample_t(difference)
            _, row["low_paired"], row["high_paired"] = mean_interval(difference, confidence)
            pairs.append(row)
        table = pd.DataFrame(pairs)
        for test in ("p_released", "p_paired", "p_sign_flip") if pairs else ():
            table[f"{test}_adjusted"] = false_discovery_adjusted(table[test].to_numpy(float))
        parts += [part.assign(roi=str(roi)) for part in (pd.DataFrame(singles), table) if len(part)]
    joined = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return joined.reindex(columns=RELEASED_COLUMNS)


def _describe(values: pd.Series) -> dict[str, float]:
    return {
        "n_subjects": len(values),
        "value": float(values.mean(skipna=False)),
        "standard_error": float(values.std(ddof=0, skipna=False) / len(values) ** 0.5),
    }
