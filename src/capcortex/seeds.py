"""Randomness: every draw of the study comes from a generator that is seeded by what it is for."""

import hashlib

import numpy as np


def random_generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the random generator for one purpose within a study.

    The state depends on the study's seed and on every word of the purpose, and on nothing else: not on the order in
    which jobs run, nor on how many there are.

    Parameters
    ----------
    seed
        The study's seed (``seed`` in ``config.yaml``).
    *purpose
        What the draw is for, from general to particular, for example ``"image-sets", "subj01"``.

    Returns
    -------
    numpy.random.Generator
        PCG64, seeded with the SHA-256 of seed and purpose.

    Examples
    --------
    >>> int(random_generator(1, "a").integers(100)) == int(random_generator(1, "a").integers(100))
    True
    """
    text = "\x1f".join([str(int(seed)), *map(str, purpose)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
