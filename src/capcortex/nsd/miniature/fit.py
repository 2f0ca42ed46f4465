"""The design that fits a number of captioned images: ``python -m capcortex.nsd.miniature.fit 2000`` prints its table."""

import sys
from typing import NamedTuple

N_SUBJECTS = 8
REPEATS = 3
RUNS_PER_SESSION = 12
TRIALS_PER_SESSION = 750
SET_SIZE = 100


class Fit(NamedTuple):
    """A design: sessions of every subject, and how many of a subject's images are shared by all or the subject's own."""

    sessions: int
    shared_images: int
    own_images: int


def fit_design(n_images: int) -> Fit:
    """Find the smallest number of full sessions in which all images find a place.

    Every subject sees ``m = 250 sessions`` images three times, ``s`` of them shared and ``m - s`` own, so that
    ``s + 8 (m - s)`` images are used. As many as possible are own, but at least 100 are shared, for one image set.

    Parameters
    ----------
    n_images
        Images at hand.

    Raises
    ------
    ValueError
        If there are fewer than 257 images.
    """
    per_session = TRIALS_PER_SESSION // REPEATS
    least = per_session + N_SUBJECTS - 1
    if n_images < least:
        raise ValueError(
            f"{n_images} images are too few: a session shows each subject {per_session} images three times, at least one of "
            f"them nobody else's, which takes {least} images"
        )
    sessions = 1
    while True:
        per_subject = sessions * per_session
        # s + 8 own = n with s = m - own: own = (n - m) / 7.
        own = min((n_images - per_subject) // (N_SUBJECTS - 1), per_subject - SET_SIZE)
        if own < per_subject - SET_SIZE or n_images - (per_subject + (N_SUBJECTS - 1) * own) < N_SUBJECTS:
            return Fit(sessions, per_subject - own, own)
        sessions += 1


def describe(n_images: int) -> str:
    """Return the subjects table of `fit_design` as TSV, with the config keys that belong to it as comments."""
    fit = fit_design(n_images)
    sets = fit.sessions * TRIALS_PER_SESSION // REPEATS // SET_SIZE
    lines = [
        f"# Design for {n_images} captioned images: {fit.shared_images} shared + {N_SUBJECTS} x {fit.own_images} own.",
        f"# In the config: miniature: runs_per_session: {RUNS_PER_SESSION}, shared_images: {fit.shared_images}; "
        f"shared_image_sets: {fit.shared_images // SET_SIZE}; image_set_size: {SET_SIZE}.",
        "subject\tsessions\ttrials_per_session\timage_sets",
    ]
    lines += [f"subj{s:02d}\t{fit.sessions}\t{TRIALS_PER_SESSION}\t{sets}" for s in range(1, N_SUBJECTS + 1)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(describe(int(sys.argv[1])))
