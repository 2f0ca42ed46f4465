"""Which image was on the screen in which trial, and which images can be analysed: read from NSD's own files.

Facts that must hold in any NSD-shaped dataset (the miniature, a local copy, the bucket) are checked on every run; the
counts of the real dataset stand in ``config/acceptance_nsd.tsv`` and are checked when the config names that table.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.ids import Ids, as_ids, from_nsd_id, unique_ids
from capcortex.seeds import random_generator
from capcortex.tables import read_table

REPEATS = 3
"""Times that NSD shows an image when a subject completes all sessions; the analyses use images shown so often."""

N_SUBJECTS = 8
FACTS_OF_ALL_SUBJECTS = ("trials_of_all_subjects", "images_seen_by_any_subject", "shared_images_three_times_by_all")
TRIAL_COLUMNS = ["subject", "session", "trial", "id73k", "id10k", "showing", "showings"]


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
            f"{path}: not a MATLAB file up to version 7 ({error}); remove it and fetch it again: snakemake '{path}'"
        ) from error
    for key in ("masterordering", "subjectim", "sharedix"):
        if key not in fields:
            raise ValueError(f"{path}: field {key} missing; found {', '.join(k for k in fields if k[0] != '_')}")
    subject_images = fields["subjectim"].astype(np.int64)
    if subject_images.ndim != 2 or subject_images.shape[0] != N_SUBJECTS:
        raise ValueError(f"{path}: subjectim has shape {subject_images.shape}, expected ({N_SUBJECTS}, n_images)")
    master_ordering = as_ids(fields["masterordering"].ravel(), what=f"{path}: masterordering")
    if master_ordering.max(initial=0) > subject_images.shape[1]:
        raise ValueError(
            f"{path}: masterordering holds {master_ordering.max()}, subjectim has {subject_images.shape[1]} images per subject"
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
    wanted = ["SUBJECT", "SESSION", "73KID", "10KID"]
    table = pd.read_csv(path, sep="\t")
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(table.columns)}")
    number = int(subject.removeprefix("subj"))
    if set(table["SUBJECT"]) != {number}:
        raise ValueError(f"{path}: SUBJECT holds {sorted(set(table['SUBJECT']))}, expected only {number}")
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
    trials["showing"] = trials.groupby("id73k").cumcount() + 1
    trials["showings"] = trials.groupby("id73k")["id73k"].transform("size")
    return trials[TRIAL_COLUMNS]


def read_session_trials(path: str | Path, subject: str, session: int) -> pd.DataFrame:
    """Read the rows of one session from ``trials.tsv``, the table of all subjects' trials, in their order.

    Raises
    ------
    ValueError
        If the table has no trial of that session.
    """
    trials = read_table(path, columns=TRIAL_COLUMNS)
    rows = trials[(trials["subject"] == subject) & (trials["session"] == session)]
    if rows.empty:
        raise ValueError(
            f"{path}: no trial of {subject}, session {session}; make it anew: rm '{path}', run snakemake again"
        )
    return rows


def read_stimulus_table(path: str | Path) -> pd.DataFrame:
    """Read ``nsd_stim_info_merged.csv`` with the column ``id73k`` (1-based) added and checked.

    Raises
    ------
    ValueError
        If ``nsdId`` is not 0, 1, 2, .. in row order.
    """
    table = pd.read_csv(path, index_col=0)
    wanted = ["nsdId", "cocoId", "shared1000"]
    wanted += [f"subject{number}" for number in range(1, N_SUBJECTS + 1)]
    wanted += [f"subject{number}_rep{repeat}" for number in range(1, N_SUBJECTS + 1) for repeat in range(REPEATS)]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(map(str, table.columns))}")
    nsd_id = table["nsdId"].to_numpy()
    wrong = np.flatnonzero((nsd_id != np.arange(len(table))) | (nsd_id != table.index.to_numpy()))
    if wrong.size:
        raise ValueError(
            f"{path}: row {wrong[0]} has nsdId {nsd_id[wrong[0]]}, expected {wrong[0]} (0-based, in order)"
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
    n_shared = design.shared.size
    if (np.diff(design.shared) <= 0).any():
        raise ValueError("nsd_expdesign.mat: sharedix is not ascending")
    for row, images in enumerate(design.subject_images):
        name = f"subj{row + 1:02d}"
        unique_ids(images, what=f"nsd_expdesign.mat: subjectim of {name}")
        if (images[:n_shared] != design.shared).any():
            raise ValueError(f"nsd_expdesign.mat: the first {n_shared} images of {name} in subjectim are not sharedix")
        assigned = stimuli.loc[stimuli[f"subject{row + 1}"] == 1, "id73k"].to_numpy()
        _require_same_set(
            images, assigned, f"images of {name}: subjectim", f"nsd_stim_info_merged.csv, column subject{row + 1}"
        )
    flagged = stimuli.loc[stimuli["shared1000"].astype(bool), "id73k"].to_numpy()
    _require_same_set(design.shared, flagged, "shared images: sharedix", "nsd_stim_info_merged.csv, column shared1000")

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
                    f"{subject}, trial {at + 1}: responses.tsv shows {column} {found[at]}, nsd_expdesign.mat plans {expected[at]}"
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
    """Return the images that a subject saw exactly three times in the recorded sessions, ascending.

    Parameters
    ----------
    trials
        One subject's rows of `read_trials`.
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


def draw_image_sets(images: Ids, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw disjoint sets of images without replacement; the remainder is not used.

    Parameters
    ----------
    images
        ``id73k``, each once. Their order does not matter.
    size
        Images in a set.
    rng
        Source of the draw.

    Returns
    -------
    ndarray of shape (n_images // size, size), int64
        ``id73k``, ascending within a set.
    """
    pool = np.sort(unique_ids(images))
    drawn = rng.permutation(pool)[: pool.size // size * size].reshape(-1, size)
    return np.sort(drawn, axis=1)


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


def require_subjects_table(
    trials: pd.DataFrame, subjects: list[dict[str, Any]], image_set_size: int, shared_image_sets: int
) -> None:
    """Check that the study's subjects table, which shapes the graph, fits the files.

    Parameters
    ----------
    trials
        Trials of all subjects used, rows of `read_trials`.
    subjects
        Rows of the subjects table: ``subject``, ``sessions``, ``trials_per_session``, ``image_sets``.
    image_set_size, shared_image_sets
        Keys of the config.

    Raises
    ------
    ValueError
        Naming subject, column, the value in the table and the value in the files, for the first difference.
    """
    for row in subjects:
        own = trials[trials["subject"] == row["subject"]]
        per_session = own.groupby("session").size()
        found = {
            "sessions": int(own["session"].max()),
            "trials_per_session": int(per_session.iloc[0]),
            "image_sets": seen_three_times(own).size // image_set_size,
        }
        for key, value in found.items():
            if row[key] != value:
                raise ValueError(
                    f"{row['subject']}: the subjects table (config key subjects_table) says {key} {row[key]}, "
                    f"the files have {value}"
                )
        if per_session.nunique() != 1:
            odd = per_session[per_session != per_session.iloc[0]].index[0]
            raise ValueError(
                f"{row['subject']}: session {odd} has {per_session[odd]} trials, session 1 {per_session.iloc[0]}"
            )
    available = seen_three_times_by_all(trials).size // image_set_size
    if available != shared_image_sets:
        raise ValueError(
            f"config key shared_image_sets is {shared_image_sets}; "
            f"the images that these {len(subjects)} subjects all saw three times give {available}: set it to {available}"
            if len(subjects) > 1
            else f"config key shared_image_sets is {shared_image_sets}; one subject shares images with nobody: set it to 0"
        )


def tabulate_image_sets(trials: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Draw each subject's image sets, and the shared sets of images that all subjects saw three times.

    Parameters
    ----------
    trials
        Trials of all subjects used, rows of `read_trials`.
    size
        Images in a set.
    seed
        The study's seed. A subject's sets depend on the seed, the subject's images and nothing else.

    Returns
    -------
    DataFrame with columns
        ``image_set`` (``subj01-001`` .., ``shared-001`` ..), ``subject`` (``all`` for shared sets), ``id73k``.
    """
    pools = {str(subject): seen_three_times(rows) for subject, rows in trials.groupby("subject")}
    pools["all"] = seen_three_times_by_all(trials)
    parts = []
    for subject, images in pools.items():
        name = "shared" if subject == "all" else subject
        for number, ids in enumerate(
            draw_image_sets(images, size, random_generator(seed, "image-sets", name)), start=1
        ):
            parts.append(pd.DataFrame({"image_set": f"{name}-{number:03d}", "subject": subject, "id73k": ids}))
    if not parts:
        most = max(images.size for images in pools.values())
        raise ValueError(
            f"no set of {size} images can be drawn: at most {most} were seen three times (config key image_set_size)"
        )
    return pd.concat(parts, ignore_index=True)


def read_image_sets(path: str | Path, subject: str | None = None) -> tuple[NDArray[np.int64], list[str]]:
    """Read image sets from ``image_sets.tsv``.

    Parameters
    ----------
    path
        The table of `tabulate_image_sets`.
    subject
        Take the sets of this subject and the shared ones; None takes all sets.

    Returns
    -------
    image_sets : ndarray of shape (n_sets, size), int64
        ``id73k``.
    labels : list of str
        Name of each set.
    """
    table = read_table(path, columns=["image_set", "subject", "id73k"])
    if subject is not None:
        table = table[table["subject"].isin([subject, "all"])]
    groups = {str(label): rows["id73k"].to_numpy() for label, rows in table.groupby("image_set", sort=False)}
    return np.array(list(groups.values()), dtype=np.int64), list(groups)


def read_own_image_sets(path: str | Path, subject: str) -> tuple[NDArray[np.int64], list[str]]:
    """Read a subject's own image sets, without the shared ones; see `read_image_sets`."""
    sets, labels = read_image_sets(path, subject)
    own = [number for number, label in enumerate(labels) if label.startswith(f"{subject}-")]
    return sets[own], [labels[number] for number in own]
