"""Disjoint sets of images, drawn once, on which all models and regions are compared."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capcortex.ids import Ids, unique_ids
from capcortex.nsd.bookkeeping import seen_three_times, seen_three_times_by_all
from capcortex.seeds import random_generator
from capcortex.tables import read_table

SET_COLUMNS = ["image_set", "subject", "id73k"]


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


def draw_own_sets(trials: pd.DataFrame, *, n_sets: int, size: int, seed: int) -> pd.DataFrame:
    """Draw the image sets of one subject from the images that the subject saw three times.

    Parameters
    ----------
    trials
        The subject's trials, columns ``bookkeeping.TRIAL_COLUMNS``.
    n_sets
        How many sets the subjects table says there are. They shape the graph before any trial is read.
    size
        Images in a set.
    seed
        The study's seed. The sets depend on the seed, the subject's name and images and nothing else.

    Returns
    -------
    DataFrame with columns
        ``image_set`` (``subj01-001`` ..), ``subject``, ``id73k``.

    Raises
    ------
    ValueError
        If the images give another number of sets, naming both numbers.
    """
    subject, images = str(trials["subject"].iloc[0]), seen_three_times(trials)
    available = images.size // size
    if available != n_sets:
        advice = f"write {available}" if available else "leave the subject out, or make image_set_size smaller"
        raise ValueError(
            f"{subject}: the subjects table (config key subjects_table) says image_sets {n_sets}; the {images.size} images seen "
            f"three times in the {trials['session'].max()} sessions used give {available} of {size}: {advice}"
        )
    return _tabulate_sets(subject, subject, images, size, seed)


def draw_shared_sets(trials: pd.DataFrame, *, n_sets: int, size: int, seed: int) -> pd.DataFrame:
    """Draw the shared image sets from the images that all subjects saw three times; see `draw_own_sets`.

    Parameters
    ----------
    trials
        Trials of all subjects used.
    n_sets
        Config key ``shared_image_sets``.

    Returns
    -------
    DataFrame with columns
        ``image_set`` (``shared-001`` ..), ``subject`` (``all``), ``id73k``; without rows when there is no shared set.
    """
    images = seen_three_times_by_all(trials)
    available, n_subjects = images.size // size, trials["subject"].nunique()
    if available != n_sets:
        raise ValueError(
            f"config key shared_image_sets is {n_sets}; the {images.size} images that these {n_subjects} subjects all saw three "
            f"times give {available} of {size}: set it to {available}"
            if n_subjects > 1
            else f"config key shared_image_sets is {n_sets}; one subject shares images with nobody: set it to 0"
        )
    return _tabulate_sets("shared", "all", images, size, seed)


def all_shared_images(trials: pd.DataFrame) -> pd.DataFrame:
    """All images that all subjects saw three times, as one image set (not only those that are in a shared set).

    Parameters
    ----------
    trials
        Trials of all subjects used.

    Returns
    -------
    DataFrame with columns
        ``image_set`` (``shared-all``), ``subject`` (``all``), ``id73k``, ascending; without rows for one subject.
    """
    images = seen_three_times_by_all(trials)
    return pd.DataFrame({"image_set": "shared-all", "subject": "all", "id73k": images})


def _tabulate_sets(name: str, subject: str, images: Ids, size: int, seed: int) -> pd.DataFrame:
    sets = draw_image_sets(images, size, random_generator(seed, "image-sets", name))
    labels = [f"{name}-{number:03d}" for number in range(1, len(sets) + 1)]
    return pd.DataFrame(
        {"image_set": np.repeat(np.array(labels, dtype=object), size), "subject": subject, "id73k": sets.ravel()}
    )


def read_image_sets(paths: Iterable[str | Path]) -> tuple[NDArray[np.int64], list[str]]:
    """Read image sets from tables of `draw_own_sets` and `draw_shared_sets`, one after another.

    Returns
    -------
    image_sets : ndarray of shape (n_sets, size), int64
        ``id73k``.
    labels : list of str
        Name of each set.
    """
    tables = [read_table(path, columns=SET_COLUMNS) for path in paths]
    groups = {
        str(label): rows["id73k"].to_numpy()
        for table in tables
        for label, rows in table.groupby("image_set", sort=False)
    }
    return np.array(list(groups.values()), dtype=np.int64), list(groups)
