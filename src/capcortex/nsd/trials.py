"""The trials that the study uses, and which images count: the table that extraction, image sets and data quality share.

Apart from ``bookkeeping``, which makes this table from NSD's files, so that a change there does not extract betas again.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from capcortex.files import remedy
from capcortex.ids import Ids, as_ids
from capcortex.tables import read_table

REPEATS = 3
"""Times that NSD shows an image when a subject completes all sessions; the analyses use images shown so often."""

TRIAL_COLUMNS = ["subject", "session", "trial", "id73k", "id10k", "showing", "showings"]


def number_showings(trials: pd.DataFrame) -> pd.DataFrame:
    """Count the showings of each image in one subject's trials.

    Parameters
    ----------
    trials
        Trials in the order in which they happened.

    Returns
    -------
    DataFrame
        The same with the columns ``showing`` (first, second, third time) and ``showings`` (how often in all of these trials).
    """
    images = trials.groupby("id73k")["id73k"]
    return trials.assign(showing=images.cumcount() + 1, showings=images.transform("size"))


def choose_sessions(trials: pd.DataFrame, *, sessions: int, trials_per_session: int) -> pd.DataFrame:
    """Keep the first sessions of a subject, as many as the subjects table says, and count showings within them.

    Parameters
    ----------
    trials
        One subject's rows of `bookkeeping.read_trials`: all recorded sessions.
    sessions, trials_per_session
        What the subjects table says. Fewer sessions than were recorded may be used.

    Returns
    -------
    DataFrame
        Columns `TRIAL_COLUMNS`.

    Raises
    ------
    ValueError
        If the table names more sessions than were recorded, or a session has another number of trials; the message names
        both numbers.
    """
    subject, recorded = trials["subject"].iloc[0], int(trials["session"].max())
    table = f"{subject}: the subjects table (config key subjects_table) says"
    if sessions > recorded:
        raise ValueError(
            f"{table} sessions {sessions}, responses.tsv records {recorded}: write {recorded}, or fewer to use the first ones only"
        )
    chosen = trials[trials["session"] <= sessions]
    for session, count in chosen.groupby("session").size().items():
        if count != trials_per_session:
            raise ValueError(
                f"{table} trials_per_session {trials_per_session}, session {session} in responses.tsv has {count}"
            )
    return number_showings(chosen)[TRIAL_COLUMNS]


def read_session_trials(path: str | Path, session: int) -> pd.DataFrame:
    """Read the rows of one session from a subject's table of trials, in their order.

    Raises
    ------
    ValueError
        If the table has no trial of that session.
    """
    trials = read_table(path, columns=TRIAL_COLUMNS)
    rows = trials[trials["session"] == session]
    if rows.empty:
        raise ValueError(f"{path}: no trial of session {session}; {remedy(path)}")
    return rows


def seen_three_times(trials: pd.DataFrame) -> Ids:
    """Return the images that a subject saw exactly three times in these trials, ascending.

    Parameters
    ----------
    trials
        One subject's trials, columns `TRIAL_COLUMNS`.
    """
    counts = trials["id73k"].value_counts()
    return np.sort(as_ids(counts.index[counts == REPEATS].to_numpy()))


def seen_three_times_by_all(trials: pd.DataFrame) -> Ids:
    """Return the images that every subject in ``trials`` saw exactly three times, ascending."""
    per_subject = [seen_three_times(rows) for _, rows in trials.groupby("subject")]
    common = per_subject[0]
    for images in per_subject[1:]:
        common = np.intersect1d(common, images)
    return common
