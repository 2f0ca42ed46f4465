"""Comparisons of models, paired by subject, in the families of tests that the config declares.

Each comparison is tested three times: by a paired t-test and by sign flips on each subject's own images, and by the bootstrap of
subjects and images on the images that all saw. docs/calibration.md says what they claim, how often they err, and which to report.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from capcortex.inference.bootstrap import bootstrap_test
from capcortex.inference.group import is_shared, require_one_measure
from capcortex.inference.intervals import mean_interval
from capcortex.inference.tests import CORRECTIONS, TOO_FEW, equivalence, one_sample_t, sign_flip

TESTS = ("p", "p_sign_flip", "p_shared", "p_equivalence")
"""Columns of p-values, each corrected in its family by itself."""

COMPARISON_COLUMNS = [
    *("family", "roi", "model", "minus", "measure", "distance", "n_subjects"),
    *("difference", "difference_low", "difference_high", "t", "p", "p_adjusted"),
    *("p_sign_flip", "p_sign_flip_adjusted"),
    *(
        "difference_shared",
        "difference_shared_low",
        "difference_shared_high",
        "t_shared",
        "p_shared",
        "p_shared_adjusted",
    ),
    *("equivalence_bound", "p_equivalence", "p_equivalence_adjusted"),
    *("correction", "n_tests", "test_left_out", "shared_left_out"),
]
"""Columns of `compare_models`."""


class Family(NamedTuple):
    """A family of tests: contrasts of two models, first minus second, in all regions.

    Attributes
    ----------
    contrasts
        Pairs of names of models.
    correction
        One of `capcortex.inference.tests.CORRECTIONS`.
    equivalence_bound
        The largest difference that counts as none; None where no such claim is to be tested.
    """

    contrasts: Sequence[Sequence[str]]
    correction: str
    equivalence_bound: float | None


def compare_models(
    scores: pd.DataFrame, bootstrap: xr.Dataset, families: Mapping[str, Family], confidence: float
) -> pd.DataFrame:
    """Compare models in every region.

    Parameters
    ----------
    scores
        Rows of `capcortex.rsa.rdm.SCORE_COLUMNS` of all models; see `capcortex.inference.pairs.choose_scores`.
    bootstrap
        ``score`` (roi, model) on shared image sets and its covariances, of the same models and regions; see
        `capcortex.inference.bootstrap`.
    families
        By name.
    confidence
        Coverage of all intervals.

    Returns
    -------
    DataFrame
        Columns `COMPARISON_COLUMNS`, a row for each family, contrast and region. ``difference`` is the mean over subjects of the
        difference of r on their own images, with Student's t interval, paired t-test and exact sign-flip test;
        ``difference_shared`` is that on the shared images, with interval and test of the two-factor bootstrap. Where the family
        has a bound, ``p_equivalence`` is that of two one-sided t-tests of ``difference``. Columns ``_adjusted`` are corrected
        over the family's contrasts and regions, each kind of test by itself; ``n_tests`` counts them. A comparison that cannot be
        made has NaN, and ``test_left_out`` says why; ``shared_left_out`` does for the shared images.

    Raises
    ------
    ValueError
        If scores are of several measures.
    """
    require_one_measure(scores)
    own = scores[~is_shared(scores["image_set"])]
    # Sets on which a model has no r are left out of that model's mean, as in the group table.
    r = own.groupby(["roi", "subject", "model"], sort=False)["r"].mean().unstack("model")
    parts = []
    for name, family in families.items():
        rows = [
            {"family": name, "roi": roi, "model": model, "minus": minus, "correction": family.correction}
            | _compare(r.loc[roi, model] - r.loc[roi, minus], family.equivalence_bound, confidence)
            | _compare_shared(bootstrap.sel(roi=roi), model, minus, confidence)
            for model, minus in family.contrasts
            for roi in scores["roi"].unique()
        ]
        part = pd.DataFrame(rows)
        for test in TESTS:
            part[f"{test}_adjusted"] = CORRECTIONS[family.correction](part[test].to_numpy(float))
        parts.append(part.assign(n_tests=int(part["p"].notna().sum())))
    facts = {column: scores[column].iloc[0] for column in ("measure", "distance")}
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COMPARISON_COLUMNS)
    return table.assign(**facts)[COMPARISON_COLUMNS]


def _compare(differences: pd.Series, bound: float | None, confidence: float) -> dict[str, float | str]:
    interval = mean_interval(differences, confidence)
    undefined = ", ".join(map(str, differences.index[differences.isna()]))
    t, p = one_sample_t(differences)
    left_out = TOO_FEW if len(differences) < 2 else ""
    return {
        "n_subjects": len(differences),
        "difference": interval.estimate,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "t": t,
        "p": p,
        "p_sign_flip": sign_flip(differences),
        "equivalence_bound": np.nan if bound is None else bound,
        "p_equivalence": np.nan if bound is None else equivalence(differences, bound),
        "test_left_out": f"r is not defined on the own images of {undefined}" if undefined else left_out,
    }


def _compare_shared(bootstrap: xr.Dataset, model: str, minus: str, confidence: float) -> dict[str, float | str]:
    models = bootstrap["model"].to_numpy()
    test = bootstrap_test(bootstrap, (models == model) * 1.0 - (models == minus), confidence)
    return {
        "difference_shared": test.interval.estimate,
        "difference_shared_low": test.interval.low,
        "difference_shared_high": test.interval.high,
        "t_shared": test.t,
        "p_shared": test.p,
        "shared_left_out": _why_not_on_shared(bootstrap) if np.isnan(test.p) else "",
    }


def _why_not_on_shared(bootstrap: xr.Dataset) -> str:
    if int(bootstrap["n_subjects"]) < 2:
        return TOO_FEW
    if not int(bootstrap["n_draws_used"]):
        return "no image set that all subjects saw three times, or too few draws on which all scores are defined"
    return "a score is not defined on shared image sets, or the difference does not vary"
