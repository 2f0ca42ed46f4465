"""The plan of the experiment: which subject is to see which image at which trial.

All subjects follow one master ordering, as in NSD: trial k shows the subject's image number ``masterordering[k]``,
where the first numbers are the images that all subjects share. Ids and trial numbers count from 1.
"""

from dataclasses import dataclass

import numpy as np

from capcortex.seeds import random_generator

SUBJECTS = tuple(f"subj{number:02d}" for number in range(1, 9))
SHOWINGS = 3
TRIALS_IN_RUN = (63, 62)  # odd runs, even runs
SLOTS_IN_RUN = 75
LEADING_BLANKS, CLOSING_BLANKS = 3, 4
SPREAD = 0.28  # sessions before and after an image's middle within which its showings fall


@dataclass(frozen=True)
class Design:
    """The plan; see section 2.5 of NSD's design file for the five arrays.

    Attributes
    ----------
    master_ordering
        (trial,) image number within a subject's own list, 1-based.
    subject_images
        (8, number) 73k id of each subject's images, 1-based; shared images first, ascending.
    shared_images
        (number,) 73k ids, ascending.
    basic_count
        (3, session) how many images are shown exactly once, twice, three times in the session.
    stimulus_pattern
        (session, run, 75) 1 where a four-second slot holds a stimulus trial.
    trials_per_session
        Stimulus trials of one session.
    """

    master_ordering: np.ndarray
    subject_images: np.ndarray
    shared_images: np.ndarray
    basic_count: np.ndarray
    stimulus_pattern: np.ndarray
    trials_per_session: int

    @property
    def images(self) -> int:
        """Number of images that anybody is to see."""
        shared = len(self.shared_images)
        return shared + len(SUBJECTS) * (self.subject_images.shape[1] - shared)


def run_lengths(runs_per_session: int) -> list[int]:
    """Return the stimulus trials of each run of a session."""
    return [TRIALS_IN_RUN[run % 2] for run in range(runs_per_session)]


def images_needed(sessions: dict[str, int], runs_per_session: int, shared_images: int) -> tuple[int, int]:
    """Return how many images each subject is to see, and how many there are in all.

    Raises
    ------
    ValueError
        If the plan does not come out even; the message names the configuration keys to change.
    """
    unknown = sorted(set(sessions) - set(SUBJECTS))
    if not sessions or unknown:
        raise ValueError(f"sessions: expected some of {', '.join(SUBJECTS)}; found {', '.join(unknown) or 'none'}")
    planned, trials = max(sessions.values()), sum(run_lengths(runs_per_session))
    if min(sessions.values()) < 1 or runs_per_session < 1:
        raise ValueError("sessions and runs_per_session: every number must be 1 or more")
    per_subject, rest = divmod(planned * trials, SHOWINGS)
    if rest:
        raise ValueError(
            f"{planned} sessions of {trials} trials are not a multiple of {SHOWINGS} showings of each image: "
            "choose sessions with a largest number divisible by 3, or runs_per_session divisible by 6"
        )
    if not 1 <= shared_images < per_subject:
        raise ValueError(
            f"shared_images is {shared_images}, but a subject sees {per_subject} images: choose 1 to {per_subject - 1}"
        )
    return per_subject, shared_images + len(SUBJECTS) * (per_subject - shared_images)


def _master_ordering(random: np.random.Generator, shared: int, own: int, sessions: int) -> np.ndarray:
    """Order the trials so that the showings of an image come close to one another.

    Every image gets a middle, evenly spread over the experiment (shared and own images apart, so that both are spread
    evenly), and its showings scatter around it; their rank is the trial.
    """
    middles = np.concatenate([(random.permutation(n) + random.random(n)) / n for n in (shared, own)]) * sessions
    times = middles[:, None] + random.uniform(-SPREAD, SPREAD, (shared + own, SHOWINGS))
    return np.argsort(times.ravel(), kind="stable") // SHOWINGS + 1


def _stimulus_pattern(random: np.random.Generator, sessions: int, runs_per_session: int) -> np.ndarray:
    pattern = np.zeros((sessions, runs_per_session, SLOTS_IN_RUN))
    inner = np.arange(LEADING_BLANKS, SLOTS_IN_RUN - CLOSING_BLANKS)
    for session in range(sessions):
        for run, trials in enumerate(run_lengths(runs_per_session)):
            pattern[session, run, random.choice(inner, trials, replace=False)] = 1
    return pattern


def make_design(*, sessions: dict[str, int], runs_per_session: int, shared_images: int, seed: int) -> Design:
    """Plan the experiment.

    Parameters
    ----------
    sessions
        Sessions completed by each subject that takes part; the largest number is the number planned.
    runs_per_session
        Runs of 63 and 62 trials in turn.
    shared_images
        Images that all subjects see.
    seed
        Seed of the study.
    """
    _, count = images_needed(sessions, runs_per_session, shared_images)
    planned, trials = max(sessions.values()), sum(run_lengths(runs_per_session))
    random = random_generator(seed, "miniature", "design")
    ids = random.permutation(count) + 1
    shared = np.sort(ids[:shared_images])
    own = ids[shared_images:].reshape(len(SUBJECTS), -1)
    ordering = _master_ordering(random, shared_images, own.shape[1], planned)
    counts = np.zeros((SHOWINGS, planned))
    for session, numbers in enumerate(ordering.reshape(planned, trials)):
        times = np.bincount(numbers)
        counts[:, session] = [(times == showings).sum() for showings in range(1, SHOWINGS + 1)]
    return Design(
        master_ordering=ordering,
        subject_images=np.hstack([np.tile(shared, (len(SUBJECTS), 1)), own]),
        shared_images=shared,
        basic_count=counts,
        stimulus_pattern=_stimulus_pattern(random, planned, runs_per_session),
        trials_per_session=trials,
    )
