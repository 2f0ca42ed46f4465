"""What a subject did: the rows of ``responses.tsv``, one per stimulus trial, from the plan and a simple memory.

The task is NSD's: press 1 for an image that is new and 2 for one that was shown before, in this or an earlier session.
"""

from pathlib import Path

import numpy as np

from capcortex.files import atomic_path
from capcortex.nsd.miniature.design import SUBJECTS, Design, run_lengths
from capcortex.seeds import random_generator

COLUMNS = (
    "SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID", "TIME", "ISOLD", "ISCORRECT", "RT", "CHANGEMIND",
    "MEMORYRECENT", "MEMORYFIRST", "ISOLDCURRENT", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON", "MISSINGDATA",
)  # fmt: skip
LOST_WITHOUT_BUTTONS = ("ISCORRECT", "RT", "CHANGEMIND", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON")
SLOT_SECONDS, RUN_SECONDS = 4.0, 420.0
DAY_SECONDS = 86400.0
FORGETTING_TRIALS = 600.0
SUBJECT_WITHOUT_BUTTONS = "subj04"


def lost_run(sessions: dict[str, int], runs_per_session: int) -> tuple[str, int, int]:
    """Return subject, session and run whose button presses were not recorded."""
    subject = SUBJECT_WITHOUT_BUTTONS if SUBJECT_WITHOUT_BUTTONS in sessions else max(sessions)
    return subject, sessions[subject], min(2, runs_per_session)


def _history(numbers: np.ndarray, session: np.ndarray) -> dict[str, np.ndarray]:
    """Tell for every trial what was shown before: the memory columns of ``responses.tsv``."""
    seen: dict[int, list[int]] = {}
    rows = np.full((len(numbers), 4), np.nan)
    for trial, number in enumerate(numbers):
        before = seen.setdefault(int(number), [])
        rows[trial, 0] = bool(before)
        rows[trial, 1] = any(session[earlier] == session[trial] for earlier in before)
        if before:
            rows[trial, 2] = trial - before[-1] - 1
        if len(before) > 1:
            rows[trial, 3] = trial - before[0] - 1
        before.append(trial)
    return dict(zip(("ISOLD", "ISOLDCURRENT", "MEMORYRECENT", "MEMORYFIRST"), rows.T, strict=True))


def _presses(random: np.random.Generator, history: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Press buttons: old images are recognised the better the more recent they are; a few trials go unanswered."""
    count = len(history["ISOLD"])
    gap = np.nan_to_num(history["MEMORYRECENT"], nan=0.0)
    recognised = np.where(history["ISOLD"] == 1, 0.55 + 0.42 * np.exp(-gap / FORGETTING_TRIALS), 0.18)
    button = np.where(random.random(count) < recognised, 2.0, 1.0)
    changed = random.random(count) < 0.03
    silent = random.random(count) < 0.01
    again = random.random(count) < 0.02
    first = 1.0 + again
    total = {
        1: np.where(button == 1, first, changed * 1.0) * ~silent,
        2: np.where(button == 2, first, changed * 1.0) * ~silent,
    }
    missing = np.where(silent, np.nan, 0.0)
    return {
        "BUTTON": button + missing,
        "RT": np.clip(random.lognormal(np.log(900), 0.3, count), 250, 3900) + missing,
        "CHANGEMIND": changed + missing,
        "ISCORRECT": (button == 1 + history["ISOLD"]) + missing,
        "ISCORRECTCURRENT": (button == 1 + history["ISOLDCURRENT"]) + missing,
        "TOTAL1": total[1],
        "TOTAL2": total[2],
    }


def responses(design: Design, *, subject: str, sessions: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Return the columns of ``responses.tsv`` for one subject, in the order of `COLUMNS`.

    Parameters
    ----------
    design
        The plan.
    subject
        ``subj01`` .. ``subj08``, one of the keys of ``sessions``.
    sessions
        Sessions completed by each subject.
    seed
        Seed of the study.

    Returns
    -------
    dict
        Column name to (trial,) float64.
    """
    random = random_generator(seed, "miniature", "behaviour", subject)
    runs_per_session = design.stimulus_pattern.shape[1]
    lengths = run_lengths(runs_per_session)
    done, row = sessions[subject], SUBJECTS.index(subject)
    trials = done * design.trials_per_session
    numbers = design.master_ordering[:trials]
    session = np.repeat(np.arange(done), design.trials_per_session)
    run = np.tile(np.repeat(np.arange(runs_per_session), lengths), done)
    slot = np.concatenate([np.flatnonzero(pattern) for pattern in design.stimulus_pattern[:done].reshape(-1, 75)])
    start = random.uniform(9, 17, done) * 3600 + 7 * DAY_SECONDS * np.arange(done)
    history = _history(numbers, session)
    table = {
        "SUBJECT": np.full(trials, row + 1),
        "SESSION": session + 1,
        "RUN": run + 1,
        "TRIAL": np.tile(np.concatenate([np.arange(n) + 1 for n in lengths]), done),
        "73KID": design.subject_images[row, numbers - 1],
        "10KID": numbers,
        "TIME": (start[session] + RUN_SECONDS * run + SLOT_SECONDS * slot) / DAY_SECONDS,
        **history,
        **_presses(random, history),
        "MISSINGDATA": np.zeros(trials),
    }
    table = {name: np.asarray(table[name], float) for name in COLUMNS}
    lost_subject, lost_session, lost = lost_run(sessions, runs_per_session)
    if subject == lost_subject:
        here = (table["SESSION"] == lost_session) & (table["RUN"] == lost)
        table["MISSINGDATA"][here] = 1
        for name in LOST_WITHOUT_BUTTONS:
            table[name][here] = np.nan
    return table


def write_responses(table: dict[str, np.ndarray], path: Path) -> None:
    """Write ``responses.tsv`` as NSD does: tabs, 17 significant digits, ``NaN`` for what is missing."""
    rows = np.column_stack([table[name] for name in COLUMNS])
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write("\t".join(COLUMNS) + "\n")
        for row in rows:
            handle.write("\t".join("NaN" if np.isnan(value) else f"{value:.17g}" for value in row) + "\n")
