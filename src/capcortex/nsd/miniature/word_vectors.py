"""Word vectors of the miniature, so that models of word vectors can be tried without a download: which words stand beside which.

Written as a GloVe file. Vectors come from the captions alone: positive pointwise mutual information of words within
a caption, reduced by singular values (Levy & Goldberg 2014, Neural word embedding as implicit matrix factorization).
Nothing of the planted truth enters.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from capcortex.files import atomic_path

DIMENSIONS = 50
NOTHING_SAID = "something"
"""A word for images of which nothing is said; where no caption has it, it lies in the middle of all words."""


def learn_word_vectors(captions: Iterable[str]) -> dict[str, NDArray[np.float64]]:
    """Find the vector of every word: ``U sqrt(S)`` of ``max(0, log(p(a, b) / (p(a) p(b))))``, p the share of captions.

    Parameters
    ----------
    captions
        Any number.

    Returns
    -------
    dict
        Words in lower case, in alphabetical order, each with `DIMENSIONS` numbers (fewer if there are few words).
    """
    parted = [sorted(set(re.findall(r"[^\W_]+", caption.lower()))) for caption in captions]
    vocabulary = sorted({word for found in parted for word in found})
    column = {word: position for position, word in enumerate(vocabulary)}
    rows = np.repeat(np.arange(len(parted)), [len(found) for found in parted])
    columns = np.array([column[word] for found in parted for word in found])
    present = csr_array((np.ones(rows.size), (rows, columns)), shape=(len(parted), len(vocabulary)))
    # Sparse, as most words never meet: and of real captions there are thousands.
    information = (present.T @ present).tocoo()
    share = information.diagonal() / len(parted)
    one, other = information.coords
    information.data = np.maximum(np.log(information.data / len(parted) / (share[one] * share[other])), 0)
    left, values, _ = svds(information.tocsr(), k=min(DIMENSIONS, len(vocabulary) - 1), v0=np.ones(len(vocabulary)))
    # Signs are arbitrary, and correlations of vectors depend on them: the largest number of each dimension is positive.
    largest = left[np.abs(left).argmax(axis=0), np.arange(values.size)]
    vectors = left * np.sign(largest) * np.sqrt(values)
    found = dict(zip(vocabulary, vectors, strict=True))
    found.setdefault(NOTHING_SAID, vectors.mean(axis=0))
    return found


def write_word_vectors(path: Path, captions: Iterable[str]) -> None:
    """Write the vectors of `learn_word_vectors`, a word and its numbers on each line."""
    with atomic_path(path) as temporary, Path(temporary).open("w", encoding="utf-8") as file:
        for word, vector in learn_word_vectors(captions).items():
            file.write(" ".join([word, *(f"{value:.6g}" for value in vector)]) + "\n")
