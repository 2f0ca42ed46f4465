"""Which image was on the screen in which trial, and which images can be analysed: read from NSD's own files.

What must hold in any NSD-shaped dataset (the miniature, a local copy) is checked on every run, before a subject's betas are read.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.files import remedy
from capcortex.ids import Ids, as_ids, from_nsd_id, unique_ids
from capcortex.tables import read_table

REPEATS = 3
"""Times that NSD shows an image when a subject completes all sessions; the analyses use images shown so often."""

MOST_SHARED = 1000
"""Images that NSD shows to all subjects; the miniature has fewer."""

N_SUBJECTS = 8
TRIAL_COLUMNS = ["subject", "session", "trial", "id73k", "id10k", "showing", "showings"]


OF_ONE_RELEASE = "get nsd_expdesign.mat, nsd_stim_info_merged.csv and responses.tsv again, all of one release of NSD"


@contextmanager
def _advising(advice: str) -> Iterator[None]:
    """End the message of an error in the block with what to do."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error}; {advice}") from error


@dataclass(frozen=True)
class ExperimentDesign:
    """The planned experiment (``nsd_expdesign.mat``).

    Attributes
    ----------
    master_ordering : ndarray of shape (n_planned_trials,), int64
        1-based index of the image within a subject's images, for each trial; common to all subjects.
    subject_images : ndarray of shape (8, n_images_per_subject), int64
        ``id73k`` of each image of each subject; the shared images come first.
    shared : ndarray of shape (n_shared,), int64
        ``id73k`` of the images that all subjects see, ascending.
    """

    master_ordering: NDArray[np.int64]
    subject_images: NDArray[np.int64]
    shared: Ids


def read_experiment_design(path: str | Path) -> ExperimentDesign:
    """Read ``nsd_expdesign.mat``.

    Raises
    ------
    ValueError
        Naming the file and the field that is missing or has the wrong shape.
    """
    from scipy.io import loadmat

    try:
        fields = loadmat(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path}: not a MATLAB file up to version 7 ({' '.join(str(error).split())}); {remedy(path)}"
        ) from error
    with _advising(remedy(path)):
        for key in ("masterordering", "subjectim", "sharedix"):
            if key not in fields:
                raise ValueError(f"{path}: field {key} missing; found {', '.join(k for k in fields if k[0] != '_')}")
        subject_images = fields["subjectim"].astype(np.int64)
        if subject_images.ndim != 2 or subject_images.shape[0] != N_SUBJECTS:
            raise ValueError(f"{path}: subjectim has shape {subject_images.shape}, expected ({N_SUBJECTS}, n_images)")
        master_ordering = as_ids(fields["masterordering"].ravel(), what=f"{path}: masterordering")
        if master_ordering.max(initial=0) > subject_images.shape[1]:
            raise ValueError(
                f"{path}: masterordering holds {master_ordering.max()}, subjectim has {subject_images.shape[1]} images each"
            )
        return ExperimentDesign(
            master_ordering=master_ordering,
            subject_images=subject_images,
            shared=unique_ids(fields["sharedix"].ravel(), what=f"{path}: sharedix"),
        )


def read_trials(path: str | Path, subject: str) -> pd.DataFrame:
    """Read the stimulus trials of a subject from ``responses.tsv``.

    Parameters
    ----------
    path
        The file; one row per stimulus trial in the order in which they happened.
    subject
        ``subj01`` .. ``subj08``; the file must be that subject's.

    Returns
    -------
    DataFrame with columns
        ``subject``; ``session`` (from 1); ``trial`` (position within the session, from 1, the index of the beta);
        ``id73k``; ``id10k`` (1-based index within the subject's images); ``showing`` (first, second, third time);
        ``showings`` (how often the image was shown in all recorded sessions).

    Raises
    ------
    ValueError
        Naming the file, the column and the first row that is wrong.
    """
    table = read_table(path, columns=["SUBJECT", "SESSION", "73KID", "10KID"])
    with _advising(remedy(path)):
        number = int(subject.removeprefix("subj"))
        if set(table["SUBJECT"]) != {number}:
            raise ValueError(
                f"{path}: SUBJECT holds {sorted(set(table['SUBJECT']))}, expected only {number}: is it another subject's file?"
            )
        session = as_ids(table["SESSION"].to_numpy(), what=f"{path}: SESSION")
        if session[0] != 1 or not np.isin(np.diff(session), (0, 1)).all():
            raise ValueError(f"{path}: SESSION must count up from 1 without gaps")
        trials = pd.DataFrame(
            {
                "subject": subject,
                "session": session,
                "id73k": as_ids(table["73KID"].to_numpy(), what=f"{path}: 73KID"),
                "id10k": as_ids(table["10KID"].to_numpy(), what=f"{path}: 10KID"),
            }
        )
    trials["trial"] = trials.groupby("session").cumcount() + 1
    return _number_showings(trials)


def choose_sessions(trials: pd.DataFrame, *, sessions: int, trials_per_session: int) -> pd.DataFrame:
    """Keep the first sessions of a subject, as many as the subjects table says, and count showings within them.

    Parameters
    ----------
    trials
        One subject's rows of `read_trials`: all recorded sessions.
    sessions, trials_per_session
        What the subjects table says. Fewer sessions than were recorded may be used.

    Returns
    -------
    DataFrame
        As from `read_trials`.

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
            f"{table} sessions {sessions}, responses.tsv records {recorded}: write {recorded}, or fewer to use the first ones"
        )
    chosen = trials[trials["session"] <= sessions]
    for session, count in chosen.groupby("session").size().items():
        if count != trials_per_session:
            raise ValueError(
                f"{table} trials_per_session {trials_per_session}, session {session} in responses.tsv has {count}: get that file "
                "again, or correct the table"
            )
    return _number_showings(chosen)


def _number_showings(trials: pd.DataFrame) -> pd.DataFrame:
    """Count the showings of each image in one subject's trials, which are in the order in which they happened."""
    images = trials.groupby("id73k")["id73k"]
    return trials.assign(showing=images.cumcount() + 1, showings=images.transform("size"))[TRIAL_COLUMNS]


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


def read_stimulus_table(path: str | Path) -> pd.DataFrame:
    """Read ``nsd_stim_info_merged.csv`` with the column ``id73k`` (1-based) added and checked.

    Raises
    ------
    ValueError
        If ``nsdId`` is not 0, 1, 2, .. in row order.
    """
    wanted = ["nsdId", "cocoId", "shared1000"]
    wanted += [f"subject{number}" for number in range(1, N_SUBJECTS + 1)]
    wanted += [f"subject{number}_rep{repeat}" for number in range(1, N_SUBJECTS + 1) for repeat in range(REPEATS)]
    table = read_table(path, columns=wanted, separator=",")
    nsd_id = table["nsdId"].to_numpy()
    # The first column, without a name, counts the rows too.
    wrong = np.flatnonzero((nsd_id != np.arange(len(table))) | (nsd_id != table.iloc[:, 0].to_numpy()))
    if wrong.size:
        raise ValueError(
            f"{path}: row {wrong[0]} has nsdId {nsd_id[wrong[0]]}, expected {wrong[0]} (0-based, in order); {remedy(path)}"
        )
    table["id73k"] = from_nsd_id(nsd_id)
    return table


def check_identities(design: ExperimentDesign, trials: pd.DataFrame, stimuli: pd.DataFrame) -> None:
    """Check what must be true of any NSD-shaped dataset, and stop at the first thing that is not.

    The design, the responses and the stimulus table each say which image is which, in their own way of counting. They
    agree only if ids were read right: a slip by one in any of them is caught here.

    Parameters
    ----------
    design
        From `read_experiment_design`.
    trials
        Trials of any number of subjects, rows of `read_trials` one after another.
    stimuli
        From `read_stimulus_table`.

    Raises
    ------
    ValueError
        Naming subject, trial or image, both values, and the files to compare.
    """
    with _advising(OF_ONE_RELEASE):
        n_shared = design.shared.size
        if (np.diff(design.shared) <= 0).any():
            raise ValueError("nsd_expdesign.mat: sharedix is not ascending")
        for row, images in enumerate(design.subject_images):
            name = f"subj{row + 1:02d}"
            unique_ids(images, what=f"nsd_expdesign.mat: subjectim of {name}")
            if (images[:n_shared] != design.shared).any():
                raise ValueError(
                    f"nsd_expdesign.mat: the first {n_shared} images of {name} in subjectim are not sharedix"
                )
            assigned = stimuli.loc[stimuli[f"subject{row + 1}"] == 1, "id73k"].to_numpy()
            _require_same_set(
                images, assigned, f"images of {name}: subjectim", f"nsd_stim_info_merged.csv, column subject{row + 1}"
            )
        flagged = stimuli.loc[stimuli["shared1000"].astype(bool), "id73k"].to_numpy()
        _require_same_set(
            design.shared, flagged, "shared images: sharedix", "nsd_stim_info_merged.csv, column shared1000"
        )

        for subject, rows in trials.groupby("subject"):
            number = int(str(subject).removeprefix("subj"))
            if len(rows) > design.master_ordering.size:
                raise ValueError(
                    f"responses.tsv of {subject} has {len(rows)} trials, nsd_expdesign.mat plans {design.master_ordering.size}"
                )
            planned_index = design.master_ordering[: len(rows)]
            planned = design.subject_images[number - 1, planned_index - 1]
            for column, expected in (("id10k", planned_index), ("id73k", planned)):
                found = rows[column].to_numpy()
                wrong = np.flatnonzero(found != expected)
                if wrong.size:
                    at = wrong[0]
                    raise ValueError(
                        f"{subject}, trial {at + 1}: responses.tsv shows {column} {found[at]}, "
                        f"nsd_expdesign.mat plans {expected[at]}"
                    )
            _check_stimulus_trials(str(subject), number, rows, stimuli)


def _check_stimulus_trials(subject: str, number: int, rows: pd.DataFrame, stimuli: pd.DataFrame) -> None:
    """Check the trial numbers of the stimulus table (1-based, of the planned experiment) against what was shown."""
    columns = [f"subject{number}_rep{repeat}" for repeat in range(REPEATS)]
    trial_ids = stimuli[columns].to_numpy(dtype=np.int64)
    shown = (trial_ids > 0) & (trial_ids <= len(rows))
    claims = np.bincount(trial_ids[shown] - 1, minlength=len(rows))
    if (claims > 1).any():
        at = int(np.argmax(claims > 1))
        raise ValueError(
            f"{subject}, trial {at + 1}: nsd_stim_info_merged.csv ({columns[0]} ..) lists {claims[at]} images"
        )
    image, _ = np.nonzero(shown)
    found = np.zeros(len(rows), dtype=np.int64)
    found[trial_ids[shown] - 1] = stimuli["id73k"].to_numpy()[image]
    wrong = np.flatnonzero(found != rows["id73k"].to_numpy())
    if wrong.size:
        at = wrong[0]
        raise ValueError(
            f"{subject}, trial {at + 1}: responses.tsv shows id73k {rows['id73k'].iloc[at]}, "
            f"nsd_stim_info_merged.csv ({columns[0]} ..) has {found[at] or 'no image'}"
        )


def _require_same_set(left: NDArray[np.int64], right: NDArray[np.int64], left_name: str, right_name: str) -> None:
    only = np.setxor1d(left, right)
    if only.size:
        holder, other = (left_name, right_name) if only[0] in left else (right_name, left_name)
        raise ValueError(f"id73k {only[0]} is in {holder} but not in {other} ({only.size} images differ)")


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
    """Return the images that every subject in ``trials`` saw exactly three times, ascending; one subject shares none."""
    per_subject = [seen_three_times(rows) for _, rows in trials.groupby("subject")]
    common = per_subject[0] if len(per_subject) > 1 else per_subject[0][:0]
    for images in per_subject[1:]:
        common = np.intersect1d(common, images)
    return common


def read_shared_images(trials: Sequence[str | Path]) -> Ids:
    """Read which images all subjects saw three times, ascending, from their tables of trials."""
    return seen_three_times_by_all(pd.concat([read_table(path, columns=TRIAL_COLUMNS) for path in trials]))
