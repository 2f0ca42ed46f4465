"""The scorecard: which published numbers and claims came out again, which did not, and which these data cannot test.

Results of all kinds are brought into one long table, the evidence, with a row for every number that a claim can be about.
A claim selects one row of it, or none, and is judged by that row alone.
"""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.claims import (
    EVIDENCE_TABLES,
    NOT_REPRODUCED,
    NOT_TESTABLE,
    NUMBER_COLUMNS,
    REPRODUCED,
    SCORE_COLUMNS,
    SELECTING,
    Evidence,
    judge_claim,
)
from capcortex.inference.group import is_shared
from capcortex.inference.intervals import mean_interval
from capcortex.inference.tests import ROUNDING, holm_adjusted, one_sample_t
from capcortex.nsd.bookkeeping import N_SUBJECTS
from capcortex.nsd.facts import FACTS_OF_ALL_SUBJECTS
from capcortex.rsa.rdm import compare_sets

KEYS = ["table", *SELECTING]
EVIDENCE_COLUMNS = [*KEYS, *NUMBER_COLUMNS, "left_out"]
"""Columns of the evidence: what a claim selects by (missing where a kind of result has no such thing), estimate, interval,
corrected p, subjects behind it, and why something of this is missing."""

REGION_COLUMNS = [
    *("model", "roi", "n_subjects", "measure", "distance", "test_left_out", "ratio_left_out", "p_adjusted"),
    "p_shared_adjusted",
    *(f"{name}{end}" for name in EVIDENCE_TABLES["roi-rsa"].measures for end in ("", "_low", "_high")),
]
"""Columns of the group table that `evidence_of_regions` needs."""

ENCODING_COLUMNS = ["model", "roi", "subject", "r", "agreement", "r_as_released"]
DECODING_COLUMNS = ["model", "subject", "measure", "value"]
"""Columns of the tables of encoding and decoding that are needed, a row for each model and subject."""

PLANTED = "Planted"
MADE_UP = "the miniature's brains are made up"
PUBLISHED_MEASURE, PUBLISHED_DISTANCE = "pearson", "correlation"
"""How the paper compares RDMs, and the distance that they hold."""

NOT_MADE = {
    "model-comparisons": "the study compares no models (config key comparisons)",
    "released": "the study has no statistics as released (config key as_released)",
    "networks": "needs networks trained on images, which this study does not have",
}
"""Why results of a kind are not there, where it is not that their config key names none."""


def _evidence(rows: pd.DataFrame | list[dict[Any, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).reindex(columns=EVIDENCE_COLUMNS)


def _numbers_of_regions(table: pd.DataFrame, name: str, *, p: str | None, left_out: str | None) -> pd.DataFrame:
    """Pick a number with its interval, p and reason from a table of regions; none where it is not of the paper's kind."""
    numbers = pd.DataFrame({"estimate": table[name], "low": table[f"{name}_low"], "high": table[f"{name}_high"]})
    numbers = numbers.assign(p=table[p] if p else np.nan).astype(float)
    alike = (table["measure"] == PUBLISHED_MEASURE) & (table["distance"] == PUBLISHED_DISTANCE)
    numbers[~alike] = np.nan
    found = table["measure"].astype(str) + " of " + table["distance"].astype(str) + " distances"
    unlike = f"the paper compares by {PUBLISHED_MEASURE} of {PUBLISHED_DISTANCE} distances, the study by " + found
    reason = table[left_out].astype(object).fillna("") if left_out else pd.Series("", index=table.index)
    return numbers.assign(roi=table["roi"], n_subjects=table["n_subjects"], left_out=reason.where(alike, unlike))


def evidence_of_facts(facts: pd.DataFrame, image_sets: Mapping[str, int]) -> pd.DataFrame:
    """List the counts of the dataset, and how many image sets each subject has.

    Parameters
    ----------
    facts
        From `capcortex.nsd.facts.count_facts`. What only all eight subjects show has no estimate where fewer take part.
    image_sets
        Number of own image sets of each subject.
    """
    rows = [
        {"measure": fact, "subject": subject, "estimate": found}
        for fact, subject, found in facts[["fact", "subject", "found"]].itertuples(index=False)
    ]
    rows += [{"measure": "image_sets", "subject": subject, "estimate": n} for subject, n in image_sets.items()]
    made = _evidence(rows).assign(table="facts", left_out="")
    partial = made["measure"].isin(FACTS_OF_ALL_SUBJECTS) & (len(image_sets) < N_SUBJECTS)
    left_out = f"only all {N_SUBJECTS} subjects together show this, and the study uses {len(image_sets)}"
    return made.assign(
        estimate=made["estimate"].astype(float).mask(partial), left_out=partial.map({True: left_out, False: ""})
    )


def evidence_of_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Agreement of models and regions, from the group table `roi-rsa`; p is adjusted, ratios have none."""
    parts = []
    for measure in EVIDENCE_TABLES["roi-rsa"].measures:
        p = {"r": "p_adjusted", "r_shared": "p_shared_adjusted"}.get(measure)
        left_out = "ratio_left_out" if measure.startswith("ratio") else "test_left_out"
        numbers = _numbers_of_regions(table, measure, p=p, left_out=left_out)
        parts.append(numbers.assign(model=table["model"], measure=measure))
    return _evidence(pd.concat(parts, ignore_index=True)).assign(table="roi-rsa")


def evidence_of_comparisons(table: pd.DataFrame) -> pd.DataFrame:
    """Differences of models in regions, from the table of comparisons, both ways round.

    A contrast that stands in several families counts with the family whose adjusted p is the largest.
    """
    parts = []
    for measure, p, left_out in (
        ("difference", "p_adjusted", "test_left_out"),
        ("difference_shared", "p_shared_adjusted", "shared_left_out"),
    ):
        made = _numbers_of_regions(table, measure, p=p, left_out=left_out).assign(measure=measure)
        turned = made.assign(estimate=-made["estimate"], low=-made["high"], high=-made["low"])
        parts += [
            made.assign(model=table["model"], other=table["minus"]),
            turned.assign(model=table["minus"], other=table["model"]),
        ]
    joined = _evidence(pd.concat(parts, ignore_index=True)).assign(table="model-comparisons")
    return joined.sort_values("p", kind="stable", na_position="first").drop_duplicates(KEYS, keep="last")


def evidence_of_released(table: pd.DataFrame) -> pd.DataFrame:
    """Ceiling-corrected r of models in regions, and differences of models both ways round, by the statistics as released.

    p of differences is that of the unpaired test, corrected over all pairs of models of a region.
    """
    names = {"value": "estimate", "low_released": "low", "high_released": "high", "minus": "other"}
    made = table.rename(columns=names)
    alone = made["other"].isna()
    # A study of one model has no pairs: columns are taken from the rows themselves, or those of others would come in.
    pairs = made[~alone].assign(measure="difference", p=lambda rows: rows["p_released_adjusted"])
    turned = pairs.assign(
        model=pairs["other"], other=pairs["model"], estimate=-pairs["estimate"], low=-pairs["high"], high=-pairs["low"]
    )
    single = made[alone].assign(measure="ratio", p=lambda rows: rows["p_released"])
    return _evidence(pd.concat([single, pairs, turned], ignore_index=True)).assign(table="released", left_out="")


def evidence_of_ceilings(table: pd.DataFrame) -> pd.DataFrame:
    """Lower bounds of the noise ceilings of regions; those of the pairs that every model defines."""
    lower = table[(table["pairs_of"] == "every model") & table["kind"].isin(EVIDENCE_TABLES["ceilings"].measures)]
    made = _numbers_of_regions(lower, "lower", p=None, left_out=None)
    return _evidence(made.assign(table="ceilings", measure=lower["kind"]))


def evidence_of_map(
    table: str,
    name: str,
    *,
    mean: NDArray[np.floating],
    p: NDArray[np.floating],
    p_fdr: NDArray[np.floating],
    n_at_vertices: NDArray[np.integer],
    n_subjects: int,
    false_discovery_rate: float,
) -> pd.DataFrame:
    """Peak of a group map, as the released code finds the limits of its colours.

    That is the mean with the largest absolute value among significant vertices; where vertices were tested and none is
    significant it is 0, without tests NaN. Of sentences it is the largest mean of the vertices that all subjects have, whatever
    their p; NaN without any.

    Parameters
    ----------
    table
        ``searchlight-map``, ``encoding-map`` or ``sentence-map``.
    name
        Model, or for sentences the two groups.
    mean, p, p_fdr : ndarray of shape (n_vertices,)
        Of `capcortex.inference.maps.group_map`; NaN where a vertex has none.
    n_at_vertices : ndarray of shape (n_vertices,)
        Subjects that have a value there.
    n_subjects
        Subjects of the map.
    false_discovery_rate
        Level of ``p_fdr``.
    """
    of_sentences = table == "sentence-map"
    found = mean[(n_at_vertices == n_subjects) if of_sentences else np.isfinite(mean) & (p_fdr < false_discovery_rate)]
    nothing = "no vertex has a value of every subject" if of_sentences else "no vertex was tested"
    row: dict[str, object] = {"table": table, "n_subjects": n_subjects, "left_out": nothing}
    row |= {"measure": name} if of_sentences else {"measure": "peak", "model": name}
    if np.isfinite(p).any() and not found.size and not of_sentences:
        row |= {"estimate": 0.0, "left_out": ""}
    elif found.size:
        peak = found[np.argmax(found if of_sentences else np.abs(found))]
        row |= {"estimate": float(peak), "left_out": ""}
    return _evidence([row])


def evidence_of_model_rdms(model: str, other: str, rdms: Mapping[str, xr.Dataset], confidence: float) -> pd.DataFrame:
    """Pearson correlation of the RDMs of two models on the subjects' own image sets.

    Parameters
    ----------
    model, other
        Names of the models.
    rdms
        Of each model, ``rdm`` (image_set, pair) and ``id73k`` (image_set, image).
    confidence
        Coverage of the interval.

    Returns
    -------
    DataFrame
        Columns `EVIDENCE_COLUMNS`, one row: ``r``, the mean over a subject's sets and then over subjects with a t interval over
        subjects.
    """
    compared = compare_sets(rdms[model], rdms[other], left_name=f"model {model}", right_name=f"model {other}")
    r = compared["r"].to_series()
    r = r[~is_shared(r.index.to_series())]
    of_subjects = r.groupby(r.index.str.rpartition("-").get_level_values(0)).mean()
    interval = mean_interval(of_subjects, confidence)
    who: dict[str, object] = {"table": "model-rdms", "model": model, "other": other, "n_subjects": len(of_subjects)}
    return _evidence([who | {"measure": "r", **interval._asdict(), "left_out": ""}])


def evidence_of_subjects(table: str, values: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean over subjects of each model, and of the difference of every two, paired by subject.

    Parameters
    ----------
    table
        Kind of result.
    values
        Columns ``model``, ``subject``, ``measure``, ``value`` and perhaps ``roi``: one value for each subject. Subjects without a
        finite value, on one of both sides, are left out.
    confidence
        Coverage of the t intervals.

    Returns
    -------
    DataFrame
        Columns `EVIDENCE_COLUMNS`. p is that of the two-sided t-test over subjects, by Holm over the regions.
    """
    has_regions = "roi" in values
    rows = []
    by = [*(["roi"] if has_regions else []), "measure"]
    for names, group in values.groupby(by, sort=False):
        place = dict(zip(by, names, strict=True))
        wide = group.pivot(index="subject", columns="model", values="value")
        alone = [({"model": model}, wide[model]) for model in wide]
        pairs = [({"model": a, "other": b}, wide[a] - wide[b]) for a, b in permutations(wide, 2)]
        for who, of_subjects in [*alone, *pairs]:
            used = of_subjects[np.isfinite(of_subjects)]
            rows.append(place | who | _describe(used, confidence))
    made = _evidence(rows).assign(table=table)
    families = made.groupby(["model", "other", "measure"], dropna=False, sort=False)["p"]
    return made.assign(p=families.transform(lambda p: holm_adjusted(p.to_numpy(float))))


def _describe(values: pd.Series, confidence: float) -> dict[str, object]:
    if values.empty:
        return {"n_subjects": 0, "left_out": "no subject has a value"}
    # What is the same for all subjects, as the agreement of captions, has no test over them.
    varies = np.ptp(values) > ROUNDING * np.abs(values).max()
    p = one_sample_t(values)[1] if varies else np.nan
    reason = "an interval and a test over subjects need at least two of them" if len(values) < 2 else ""
    return {**mean_interval(values, confidence)._asdict(), "p": p, "n_subjects": len(values), "left_out": reason}


def evidence_of_encoding(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """List the means over subjects of the table of encoding, which has a row for each model, region and subject.

    ``r_over_agreement`` and ``r_as_released_over_agreement`` are ratios of means over subjects, without interval and test.
    """
    long = table.melt(
        id_vars=["model", "roi", "subject"],
        value_vars=["r", "agreement"],
        var_name="measure",
        value_name="value",
    )
    ratios: list[dict[Any, Any]] = []
    # A study without the released statistics has no such column of numbers.
    for name in ["r", *(["r_as_released"] if table["r_as_released"].notna().any() else [])]:
        for (model, roi), group in table.groupby(["model", "roi"], sort=False):
            both = group[np.isfinite(group[name]) & np.isfinite(group["agreement"])]
            ratio = both[name].mean() / (both["agreement"].mean() or np.nan)
            ratios.append(
                {"model": model, "roi": roi, "measure": f"{name}_over_agreement", "estimate": ratio}
                | {"n_subjects": len(both), "left_out": "" if len(both) else "no subject has a value"}
            )
    of_means = _evidence(ratios).assign(table="encoding")
    return pd.concat([evidence_of_subjects("encoding", long, confidence), of_means], ignore_index=True)


def score_claims(
    claims: pd.DataFrame,
    evidence: pd.DataFrame,
    *,
    check: pd.DataFrame | None,
    false_discovery_rate: float,
) -> pd.DataFrame:
    """Score every claim by the one number of ours that it names.

    Parameters
    ----------
    claims
        From `capcortex.claims.read_claims`.
    evidence
        Rows with the columns `EVIDENCE_COLUMNS`.
    check
        Of a study of the miniature, its check against the planted truth (`capcortex.truth.COLUMNS`): its rows are scored, and no
        claim about the brain is. None for a study of real data.
    false_discovery_rate
        Level of corrected p-values.

    Returns
    -------
    DataFrame
        Columns `SCORE_COLUMNS`: a row for every row of the check, then one for every claim, in their order. ``verdict`` is one of
        `capcortex.claims.VERDICTS`; ``reason`` says why a claim is not reproduced or cannot be tested.

    Raises
    ------
    ValueError
        If two rows of the evidence have the same names, so that a claim would be about either.
    """
    twice = evidence[evidence.duplicated(KEYS)]
    if len(twice):
        raise ValueError(f"evidence: {' '.join(map(str, twice.iloc[0][KEYS].dropna()))} occurs twice")
    found = {tuple(row[name] for name in KEYS): row for row in _without_nan(evidence).to_dict("records")}
    rows: list[dict[Any, Any]] = []
    for claim, keys in zip(claims.to_dict("records"), _without_nan(claims)[KEYS].itertuples(index=False), strict=True):
        row = found.get(tuple(keys))
        if check is not None:
            rows.append({**claim, "verdict": NOT_TESTABLE, "reason": MADE_UP})
        elif row is None:
            rows.append({**claim, "verdict": NOT_TESTABLE, "reason": _why_not_there(claim, evidence)})
        else:
            ours = Evidence(*(row[name] for name in Evidence._fields))
            verdict, reason = judge_claim(
                claim["relation"], claim["value"], claim["tolerance"], ours, false_discovery_rate=false_discovery_rate
            )
            numbers = {name: row[name] for name in NUMBER_COLUMNS}
            rows.append({**claim, **numbers, "verdict": verdict, "reason": reason})
    planted = [] if check is None else _planted_rows(check)
    return pd.DataFrame([*planted, *rows], columns=SCORE_COLUMNS)


def _without_nan(table: pd.DataFrame) -> pd.DataFrame:
    """Missing words as empty ones: NaN is no key, as it is unlike itself."""
    words = [*KEYS, *(["left_out"] if "left_out" in table else [])]
    return table.assign(**{name: table[name].astype(object).where(table[name].notna(), "") for name in words})


def _why_not_there(claim: Mapping[Any, Any], evidence: pd.DataFrame) -> str:
    """Say which name of a claim the results lack, and the config keys that would bring it."""
    table = str(claim["table"])
    left = evidence[evidence["table"] == table]
    if left.empty:
        return NOT_MADE.get(table, f"no results of this kind (config keys {EVIDENCE_TABLES[table].keys})")
    keys = f"config keys {EVIDENCE_TABLES[table].keys}"
    known = set(left["model"]) | set(left["other"])
    for column in SELECTING:
        if pd.isna(claim[column]):
            continue
        name, left = claim[column], left[left[column] == claim[column]]
        if left.empty and column == "other" and name in known:
            return f"{claim['model']} and {name} are not compared ({keys})"
        if left.empty:
            return f"no {'model' if column == 'other' else column} {name} there ({keys})"
    return f"no such number there ({keys})"


def _planted_rows(check: pd.DataFrame) -> list[dict[Any, Any]]:
    """List the rows of the check as claims: where it says yes, the planted effect or null is reproduced."""
    verdicts = {"yes": REPRODUCED, "NO": NOT_REPRODUCED}
    rows = []
    for row in check.to_dict("records"):
        effect = row["kind"] == "effect"
        verdict = verdicts.get(row["ok"], NOT_TESTABLE)
        missed = (
            "the interval does not hold the planted value, or reaches zero"
            if effect
            else "the interval leaves the bound"
        )
        reason = {REPRODUCED: "", NOT_REPRODUCED: missed, NOT_TESTABLE: row["left_out"]}[verdict]
        rows.append(
            {
                "claim": f"planted: {row['check']}, {row['roi']}",
                "figure": PLANTED,
                "text": row["check"],
                "table": "check",
                "roi": row["roi"],
                "relation": "near" if effect else "equal",
                "value": row["expected"] if effect else 0.0,
                "tolerance": np.nan if effect else row["bound"],
                **{name: row[name] for name in ("estimate", "low", "high")},
                "verdict": verdict,
                "reason": reason,
                "source": "config key miniature: truth",
                "certainty": "planted",
                "note": f"{row['kind']}: judged by the check (results/check.tsv)",
            }
        )
    return rows
