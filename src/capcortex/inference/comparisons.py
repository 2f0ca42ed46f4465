"""Comparisons of models, paired by subject, in the families of tests that the config declares.

Each comparison is tested three times: by a paired t-test and by sign flips on each subject's own images, and by the bootstrap of
subjects and images on the images that all saw. docs/calibration.md says what they claim, how often they err, and which to report.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.inference.bootstrap import bootstrap_test
from capcortex.inference.group import is_shared, require_one_measure
from capcortex.inference.intervals import mean_interval
from capcortex.inference.tests import CORRECTIONS, TOO_FEW, equivalence, one_sample_t, sign_flip, sign_flip_p

CORRECTED = ("p", "p_shared", "p_equivalence")
"""Columns of p-values that the correction of the family adjusts, each by itself."""

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


EQUAL = 1e-6
"""Differences of scores up to this are rounding: RDMs are kept in single precision."""


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
        over the family's contrasts and regions, each kind of test by itself; ``n_tests`` counts the t-tests. Sign flips are
        corrected by flips of whole subjects with the maximum statistic over all comparisons that the same, most, subjects have
        (others stay NaN): it holds the chance of any false finding, whatever the family's correction. A comparison that cannot be
        made has NaN, and ``test_left_out`` says why; ``shared_left_out`` does for the shared images.

    Raises
    ------
    ValueError
        If scores are of several measures.
    """
    require_one_measure(scores)
    own = scores[~is_shared(scores["image_set"])]
    r = own.set_index(["roi", "subject", "image_set", "model"])["r"].unstack("model")
    parts = []
    for name, family in families.items():
        tests = [(model, minus, roi) for model, minus in family.contrasts for roi in scores["roi"].unique()]
        differences = [_differences(r.loc[roi, [model, minus]]) for model, minus, roi in tests]
        rows = [
            {"family": name, "roi": roi, "model": model, "minus": minus, "correction": family.correction}
            | _compare(of_subjects, family.equivalence_bound, confidence)
            | _compare_shared(bootstrap.sel(roi=roi), model, minus, confidence)
            for (model, minus, roi), of_subjects in zip(tests, differences, strict=True)
        ]
        part = pd.DataFrame(rows)
        tested = part["p_sign_flip"].notna().to_numpy()
        part["p_sign_flip_adjusted"] = _sign_flips_of_family(differences, tested)
        for test in CORRECTED:
            part[f"{test}_adjusted"] = CORRECTIONS[family.correction](part[test].to_numpy(float))
        parts.append(part.assign(n_tests=int(part["p"].notna().sum())))
    facts = {column: scores[column].iloc[0] for column in ("measure", "distance")}
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COMPARISON_COLUMNS)
    return table.assign(**facts)[COMPARISON_COLUMNS]


def _differences(r: pd.DataFrame) -> pd.Series:
    """Difference of two models, the columns of ``r`` (subject and image set), for each subject on the sets that both define."""
    # A subject without any such set has no difference.
    return (r.iloc[:, 0] - r.iloc[:, 1]).groupby(level="subject", sort=False).mean()


def _sign_flips_of_family(differences: list[pd.Series], tested: NDArray[np.bool_]) -> NDArray[np.float64]:
    adjusted = np.full(len(tested), np.nan)
    subjects = {at: frozenset(differences[at].index) for at in np.flatnonzero(tested)}
    # A subject can be flipped as a whole only where the subject has a difference in every comparison.
    most = max(subjects.values(), key=len, default=frozenset())
    whole = [at for at, those in subjects.items() if those == most]
    if whole:
        adjusted[whole] = sign_flip_p(pd.concat([differences[at] for at in whole], axis=1).to_numpy(float))
    return adjusted


def _compare(differences: pd.Series, bound: float | None, confidence: float) -> dict[str, float | str]:
    interval = mean_interval(differences, confidence)
    row: dict[str, float | str] = {
        "n_subjects": len(differences),
        "difference": interval.estimate,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "equivalence_bound": np.nan if bound is None else bound,
        **dict.fromkeys(("t", "p", "p_sign_flip", "p_equivalence"), np.nan),
    }
    if undefined := ", ".join(map(str, differences.index[differences.isna()])):
        return row | {"test_left_out": f"r is not defined on the own images of {undefined}"}
    if len(differences) < 2:
        return row | {"test_left_out": TOO_FEW}
    if differences.abs().max() <= EQUAL:
        return row | {"test_left_out": "the models do not differ by more than rounding"}
    row["t"], row["p"] = one_sample_t(differences)
    row["p_sign_flip"] = sign_flip(differences)
    if bound is not None:
        row["p_equivalence"] = equivalence(differences, bound)
    return row | {"test_left_out": ""}


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
