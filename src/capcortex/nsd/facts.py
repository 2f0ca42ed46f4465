"""Counts of a dataset, and the comparison of facts with a table of what they must be.

The facts of the real dataset stand in ``config/acceptance_nsd.tsv`` and are compared when the config names that table: those of
bookkeeping here, those of a subject's files in ``acceptance``.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from capcortex.nsd.bookkeeping import N_SUBJECTS, REPEATS, ExperimentDesign, seen_three_times_by_all
from capcortex.tables import read_table

FACT_COLUMNS = ["fact", "subject", "expected"]
"""Columns of an acceptance table."""

FACTS_OF_ALL_SUBJECTS = ("trials_of_all_subjects", "images_seen_by_any_subject", "shared_images_three_times_by_all")
"""Facts of `count_facts` that only all eight subjects together show."""

FACTS_OF_ONE_SUBJECT = (
    "images_in_stimulus_table",
    "first_shared_id73k",
    "last_shared_id73k",
    "shared_images",
    "first_trial_id73k",
    "first_trial_id10k",
    "sessions",
    "trials",
    "images_at_least_once",
    "images_at_least_twice",
    "images_three_times",
    "shared_at_least_once",
    "shared_three_times",
)
"""Facts of `count_facts` that the trials of one subject are enough for."""

COUNTED_FACTS = (*FACTS_OF_ALL_SUBJECTS, *FACTS_OF_ONE_SUBJECT)


def read_facts(path: str | Path) -> pd.DataFrame:
    """Read an acceptance table, its numbers as they are written: their decimals say how they are compared."""
    return read_table(path, columns=FACT_COLUMNS, text=FACT_COLUMNS)[FACT_COLUMNS]


def count_facts(design: ExperimentDesign, trials: pd.DataFrame, stimuli: pd.DataFrame) -> pd.DataFrame:
    """Count what an acceptance table can state about a dataset.

    Returns
    -------
    DataFrame with columns
        ``fact`` (a name of `COUNTED_FACTS`), ``subject`` (or ``all``), ``found`` (int).
    """
    rows: list[tuple[str, str, int]] = [
        ("images_in_stimulus_table", "all", len(stimuli)),
        ("first_shared_id73k", "all", int(design.shared[0])),
        ("last_shared_id73k", "all", int(design.shared[-1])),
        ("shared_images", "all", design.shared.size),
        ("trials_of_all_subjects", "all", len(trials)),
        ("images_seen_by_any_subject", "all", trials["id73k"].nunique()),
        ("shared_images_three_times_by_all", "all", np.isin(seen_three_times_by_all(trials), design.shared).sum()),
    ]
    for subject, own in trials.groupby("subject"):
        name = str(subject)
        showings = own["id73k"].value_counts()
        shared = showings[showings.index.isin(design.shared)]
        rows += [
            ("first_trial_id73k", name, int(own["id73k"].iloc[0])),
            ("first_trial_id10k", name, int(own["id10k"].iloc[0])),
            ("sessions", name, int(own["session"].max())),
            ("trials", name, len(own)),
            ("images_at_least_once", name, len(showings)),
            ("images_at_least_twice", name, int((showings >= 2).sum())),
            ("images_three_times", name, int((showings == REPEATS).sum())),
            ("shared_at_least_once", name, len(shared)),
            ("shared_three_times", name, int((shared == REPEATS).sum())),
        ]
    return pd.DataFrame(rows, columns=["fact", "subject", "found"]).astype({"found": int})


def require_facts(found: pd.DataFrame, expected: pd.DataFrame, *, table: str) -> None:
    """Compare counted facts with a table of expected ones and stop at the first difference.

    Parameters
    ----------
    found
        From `count_facts`.
    expected
        Columns ``fact``, ``subject``, ``expected``. Rows of subjects that the study does not use are passed over,
        and so is what only all eight subjects together show (`FACTS_OF_ALL_SUBJECTS`) when it does not use all eight.
    table
        Name of the file with the expectations, for the message.

    Raises
    ------
    ValueError
        Naming the fact, the subject, both numbers, and the table.
    """
    have = {(row["fact"], row["subject"]): row["found"] for row in found.to_dict("records")}
    subjects = set(found["subject"])
    for row in expected.to_dict("records"):
        fact, subject = row["fact"], row["subject"]
        if subject not in subjects or (fact in FACTS_OF_ALL_SUBJECTS and len(subjects) <= N_SUBJECTS):
            continue
        if (fact, subject) not in have:
            raise ValueError(f"{table}: fact {fact} of {subject} is not one that is counted")
        require_fact(fact, subject, have[fact, subject], str(row["expected"]), table=table)


def require_fact(fact: str, subject: str, found: float | str, expected: str, *, table: str, where: str = "") -> None:
    """Compare one fact with what it must be.

    Parameters
    ----------
    fact, subject
        Its name and whose it is, for the message.
    found
        A number, or a word.
    expected
        As written in a table. A number is compared rounded to the decimals that are written, a word as it is.
    table
        Name of the file with the expectation, for the message.
    where
        Files that the fact was found in, for the message.

    Raises
    ------
    ValueError
        Naming the fact, the subject, what was found and what the table says.
    """
    if not _agrees(found, expected):
        raise ValueError(
            f"{fact} of {subject}: found {written(found)} in the files, {table} says {expected}{where and f'; read from {where}'}"
        )


def written(found: float | str) -> str:
    """Write what was found of a fact: a word or a whole number as it is, other numbers with nine digits."""
    return f"{found:.9g}" if isinstance(found, float) else str(found)


def _agrees(found: float | str, expected: str) -> bool:
    if isinstance(found, str):
        return found == expected
    decimals = len(expected.partition(".")[2])
    try:
        return float(f"{found:.{decimals}f}") == float(expected)
    except ValueError:
        return False
