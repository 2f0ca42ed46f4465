"""The table of published claims: what it may hold, how it is read, and how one claim is judged by an estimate of ours.

``scorecard`` looks the estimates up. Nothing here knows where they come from.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from capcortex.tables import read_table

SELECTING = ["model", "other", "roi", "subject", "measure"]
"""Columns that say, with ``table``, which of our numbers a claim is about."""

CLAIM_COLUMNS = [
    *("claim", "figure", "text", "table", *SELECTING),
    *("relation", "value", "tolerance", "source", "certainty", "note"),
]
"""Columns of a table of claims."""

NUMBER_COLUMNS = ["estimate", "low", "high", "p", "n_subjects"]
SCORE_COLUMNS = [*CLAIM_COLUMNS[:-3], *NUMBER_COLUMNS, "verdict", "reason", *CLAIM_COLUMNS[-3:]]
"""Columns of a scorecard: claims with what we found, a verdict and its reason."""

RELATIONS = {
    "near": "our value lies within value - tolerance and value + tolerance",
    "greater": "our value is above 0, and its corrected p below the level",
    "less": "our value is below 0, and its corrected p below the level",
    "equal": "our whole interval lies within value - tolerance and value + tolerance",
    "unclear": "our corrected p is not below the level, as it was not; this shows no equality",
}
"""What each relation of a claim demands."""

NUMBERS = {
    **dict.fromkeys(("near", "equal"), ("value", "tolerance")),
    **dict.fromkeys(("greater", "less", "unclear"), ()),
}
"""Columns that each relation needs; the others stay empty."""

CERTAINTIES = {
    "published": "in the paper's captions, or in the paper and the released code",
    "reported": "in the paper as others report it; we did not see the page",
    "colour limit": "a printed colour limit as others report it; in the released code it is the rounded peak",
    "third party": "measured on the real NSD by others, not published by the authors",
    "released code": "typed into the released code, from which a figure is drawn",
}
"""How far a number or claim is to be trusted, by the word in the column ``certainty``."""


class EvidenceTable(NamedTuple):
    """A kind of result that claims can be about.

    Attributes
    ----------
    needs
        Columns of `SELECTING` that a claim must fill; it leaves the others empty, but for ``may``.
    may
        Columns of `SELECTING` that a claim can fill.
    measures
        Allowed words in the column ``measure``; none where ``needs`` lacks it, or where the results name their own.
    keys
        Config keys that say what is in such results.
    """

    needs: tuple[str, ...]
    may: tuple[str, ...]
    measures: tuple[str, ...]
    keys: str


EVIDENCE_TABLES = {
    "facts": EvidenceTable(("subject", "measure"), (), (), "subjects"),
    "roi-rsa": EvidenceTable(
        ("model", "roi", "measure"), (), ("r", "r_shared", "ratio_to_lower", "ratio_to_upper"), "models and rois"
    ),
    "model-comparisons": EvidenceTable(
        ("model", "other", "roi", "measure"), (), ("difference", "difference_shared"), "models, comparisons and rois"
    ),
    "released": EvidenceTable(("model", "roi", "measure"), ("other",), ("ratio", "difference"), "models and rois"),
    "ceilings": EvidenceTable(("roi", "measure"), (), ("released", "between-subjects", "repeats"), "subjects and rois"),
    "searchlight-map": EvidenceTable(("model", "measure"), (), ("peak",), "searchlight: models"),
    "encoding-map": EvidenceTable(("model", "measure"), (), ("peak",), "encoding: models"),
    "sentence-map": EvidenceTable(("measure",), (), (), "encoding: sentences"),
    "model-rdms": EvidenceTable(("model", "other", "measure"), (), ("r",), "models"),
    "encoding": EvidenceTable(
        ("model", "roi", "measure"),
        ("other",),
        ("r", "agreement", "r_over_agreement", "r_as_released_over_agreement"),
        "encoding: models, rois and as_released",
    ),
    "decoding": EvidenceTable(
        ("model", "measure"),
        ("other",),
        ("r", "r_without_mean", "r_as_released", "r_mismatched", "r_mean_only", "identification", "caption_ceiling"),
        "decoding: models, and as_released",
    ),
    "networks": EvidenceTable((), ("roi",), (), "none"),
}
"""Kinds of results by the word in the column ``table``; networks are the paper's, which this study does not train."""

REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE = "reproduced", "not reproduced", "not testable"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, NOT_TESTABLE)

ROUNDING = 1e-9
"""A value this near to the end of a tolerance is on it: tables have nine digits."""


def claim_mistakes(claims: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in a table of claims, in words that name table, claim, column, value and what is allowed.

    Parameters
    ----------
    claims
        With the columns `CLAIM_COLUMNS`.
    table
        Name of the file, for the messages.
    """
    for number, claim in enumerate(claims.to_dict("records"), start=1):
        name = _cell(claim["claim"])
        where = f"{table}: claim {name!r}" if name else f"{table}: row {number} below the header"
        for column in ("claim", "figure", "text", "table", "relation", "source", "certainty", "note"):
            if not _cell(claim[column]):
                yield f"{where}: {column}: found nothing"
        allowed: dict[str, Collection[str]] = {
            "table": EVIDENCE_TABLES,
            "relation": RELATIONS,
            "certainty": CERTAINTIES,
        }
        for column, words in allowed.items():
            if _cell(claim[column]) not in {"", *words}:
                yield f"{where}: {column}: found {_cell(claim[column])!r}, expected one of {', '.join(words)}"
        if _cell(claim["table"]) in EVIDENCE_TABLES:
            yield from (f"{where}: {mistake}" for mistake in _mistakes_of_selection(claim))
        if _cell(claim["relation"]) in RELATIONS:
            yield from (f"{where}: {mistake}" for mistake in _mistakes_of_numbers(claim))
    names = claims["claim"].dropna()
    for name in dict.fromkeys(names[names.duplicated()]):
        yield f"{table}: claim {name!r} occurs twice"


def _mistakes_of_selection(claim: Mapping[Any, Any]) -> Iterator[str]:
    kind = EVIDENCE_TABLES[claim["table"]]
    for column in SELECTING:
        found = _cell(claim[column])
        if column in kind.needs and not found:
            yield f"{column}: found nothing; table {claim['table']!r} needs it"
        if found and column not in (*kind.needs, *kind.may):
            yield f"{column}: found {found!r}; table {claim['table']!r} has no use for it, leave it empty"
    if kind.measures and _cell(claim["measure"]) not in {"", *kind.measures}:
        yield f"measure: found {_cell(claim['measure'])!r}, table {claim['table']!r} has {', '.join(kind.measures)}"


def _mistakes_of_numbers(claim: Mapping[Any, Any]) -> Iterator[str]:
    relation = claim["relation"]
    for column in ("value", "tolerance"):
        found = _cell(claim[column])
        if column not in NUMBERS[relation]:
            if found:
                yield f"{column}: found {found!r}; relation {relation!r} has no use for it, leave it empty"
        elif not _is_number(found, at_least=0.0 if column == "tolerance" else -math.inf):
            yield f"{column}: found {found!r}, expected a number{' of at least 0' if column == 'tolerance' else ''}"


def _is_number(text: str, *, at_least: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and number >= at_least


def _cell(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def read_claims(path: str | Path) -> pd.DataFrame:
    """Read a table of claims.

    Raises
    ------
    ValueError
        Naming file, claim and column, what was found and what was expected; all mistakes, a line each.
    """
    claims = read_table(path, columns=CLAIM_COLUMNS, text=CLAIM_COLUMNS)[CLAIM_COLUMNS]
    if mistakes := list(claim_mistakes(claims, str(path))):
        raise ValueError("\n".join(mistakes))
    return claims.astype({"value": float, "tolerance": float})


def pairs_of_claims(claims: pd.DataFrame, models: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of the models in use whose RDMs claims compare with each other."""
    named = claims.loc[claims["table"] == "model-rdms", ["model", "other"]].drop_duplicates()
    return [(a, b) for a, b in named.itertuples(index=False) if {a, b} <= set(models)]


class Evidence(NamedTuple):
    """An estimate of ours.

    Attributes
    ----------
    estimate, low, high
        With its interval, NaN where there is none.
    p
        Of the two-sided test against 0, corrected; NaN where there is none.
    left_out
        Why something of this is NaN; may be empty.
    """

    estimate: float
    low: float
    high: float
    p: float
    left_out: str


def judge_claim(
    relation: str, value: float, tolerance: float, evidence: Evidence, *, false_discovery_rate: float
) -> tuple[str, str]:
    """Say whether a claim came out again.

    Parameters
    ----------
    relation
        One of `RELATIONS`.
    value, tolerance
        As the claim states them.
    evidence
        Our estimate of the same number. What the relation needs and is NaN makes the claim not testable.
    false_discovery_rate
        Level of the corrected p.

    Returns
    -------
    verdict : str
        One of `VERDICTS`. For ``equal`` an interval that lies partly within the bounds decides nothing: not testable.
    reason : str
        Empty where the claim is reproduced.
    """
    needed = {"near": ("estimate",), "equal": ("estimate", "low", "high")}.get(relation, ("estimate", "p"))
    missing = [name for name in needed if not math.isfinite(getattr(evidence, name))]
    if missing:
        lacks = {"estimate": "our value is not defined", "p": "ours has no test"}.get(
            missing[0], "ours has no interval"
        )
        return NOT_TESTABLE, evidence.left_out or lacks
    if relation == "near":
        return _judge_near(value, tolerance, evidence.estimate)
    if relation == "equal":
        return _judge_equal(value, tolerance, evidence)
    return _judge_test(relation, evidence.estimate, significant=evidence.p < false_discovery_rate)


def _judge_test(relation: str, estimate: float, *, significant: bool) -> tuple[str, str]:
    if relation == "unclear":
        return (NOT_REPRODUCED, "significant, where it was not") if significant else (REPRODUCED, "")
    as_published = estimate > 0 if relation == "greater" else estimate < 0
    if as_published and significant:
        return REPRODUCED, ""
    if as_published:
        # That a difference is not significant does not show that there is none.
        return NOT_REPRODUCED, "in the direction published, but not significant"
    return NOT_REPRODUCED, f"{'significant' if significant else 'not significant'}, and not in the direction published"


def _judge_near(value: float, tolerance: float, estimate: float) -> tuple[str, str]:
    away = abs(estimate - value)
    if away <= tolerance + ROUNDING:
        return REPRODUCED, ""
    return NOT_REPRODUCED, f"{'above' if estimate > value else 'below'} what the tolerance allows"


def _judge_equal(value: float, bound: float, evidence: Evidence) -> tuple[str, str]:
    low, high = value - bound - ROUNDING, value + bound + ROUNDING
    if low <= evidence.low and evidence.high <= high:
        return REPRODUCED, ""
    if evidence.high < low or evidence.low > high:
        return NOT_REPRODUCED, "the whole interval lies beyond the equivalence bound"
    return NOT_TESTABLE, "the interval reaches across the equivalence bound: the data decide nothing"
