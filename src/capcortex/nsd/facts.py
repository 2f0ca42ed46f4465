"""Counts of a dataset, and their comparison with a table of what they must be.

The counts of the real dataset stand in ``config/acceptance_nsd.tsv`` and are compared when the config names that table.
"""

import numpy as np
import pandas as pd

from capcortex.nsd.bookkeeping import N_SUBJECTS, REPEATS, ExperimentDesign, seen_three_times_by_all

FACTS_OF_ALL_SUBJECTS = ("trials_of_all_subjects", "images_seen_by_any_subject", "shared_images_three_times_by_all")


def count_facts(design: ExperimentDesign, trials: pd.DataFrame, stimuli: pd.DataFrame) -> pd.DataFrame:
    """Count what an acceptance table can state about a dataset.

    Returns
    -------
    DataFrame with columns
        ``fact`` (a name), ``subject`` (or ``all``), ``found`` (int).
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
        if have[fact, subject] != row["expected"]:
            raise ValueError(
                f"{fact} of {subject}: found {have[fact, subject]} in the files, {table} says {row['expected']}"
            )
