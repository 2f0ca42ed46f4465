"""Vectors of single words from a file that the user names, such as fastText's or GloVe's.

Builders of word models (``caption_models``, ``category_models``) ask for the words that they need; the file, which
may hold millions, is read line by line, and only those are kept.

Formats: GloVe, Pennington et al. 2014, doi:10.3115/v1/D14-1162; fastText, Bojanowski et al. 2017, doi:10.1162/tacl_a_00051.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from capcortex.text.encoders import Vectors

SUFFIXES = (".txt", ".vec", ".txt.gz", ".vec.gz")


def read_word_vectors(path: str | Path, wanted: Iterable[str]) -> tuple[list[str], Vectors]:
    """Read the vectors of some words.

    A word is looked up as it is written; if the file does not have it so, in lower case. Lower-case forms are read along, so that
    `rows_of_words` can tell.

    Parameters
    ----------
    path
        Text, or gzipped text, in UTF-8: a word and its numbers on each line, parted by single spaces. A first line of two whole
        numbers (count and dimensions, as fastText writes) is passed over.
    wanted
        Words to look up.

    Returns
    -------
    words : list of str
        Words of the file that were wanted, or whose lower case was, in the order of the file; of a word that stands
        twice the first.
    vectors : ndarray of shape (n_words, n_dimensions), float32

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a file, or holds none of the words; naming the line.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(
            f"{path}: expected a text file of word vectors ({', '.join(SUFFIXES)}); unpack archives first (docs/own-models.md)"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file of word vectors; correct the column path of config/models.tsv, or get the file: "
            "docs/own-models.md says where from"
        )
    asked = set(wanted)
    asked |= {word.lower() for word in asked}
    found: dict[str, np.ndarray] = {}
    promised, n_dimensions, n_words = 0, 0, 0
    for number, line in _lines(path):
        fields = line.rstrip().split(" ")
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            promised, n_dimensions = map(int, fields)
            continue
        if fields == [""]:
            continue
        n_dimensions = n_dimensions or len(fields) - 1
        # Some words of GloVe's largest file have spaces in them.
        word = " ".join(fields[: len(fields) - n_dimensions])
        if n_dimensions < 1 or not word or len(fields) <= n_dimensions:
            raise ValueError(
                f"{path}: line {number} has {len(fields)} fields, expected a word and {n_dimensions or 'its'} numbers; get the "
                "file again"
            )
        n_words += 1
        if word not in asked or word in found:
            continue
        try:
            vector = np.array(fields[len(fields) - n_dimensions :], dtype=np.float32)
        except ValueError as error:
            raise ValueError(f"{path}: line {number}, word {word!r}: not {n_dimensions} numbers ({error})") from error
        if not np.isfinite(vector).all():
            raise ValueError(f"{path}: line {number}, word {word!r}: NaN or infinity, expected finite numbers")
        found[word] = vector
    if promised and n_words != promised:
        raise ValueError(f"{path}: {n_words} words, but its first line promises {promised}; get the whole file")
    if not found:
        raise ValueError(
            f"{path}: none of the {len(asked)} words asked for is in it; is it a file of English word vectors?"
        )
    return list(found), np.array(list(found.values()))


def rows_of_words(asked: Iterable[str], known: Iterable[str]) -> list[int]:
    """Find the row of each word: as it is written, else in lower case; -1 for a word that is not known."""
    row = {word: position for position, word in enumerate(known)}
    return [row.get(word, row.get(word.lower(), -1)) for word in asked]


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    open_text = gzip.open if path.suffix == ".gz" else Path.open
    try:
        # A mark of byte order is no part of the first word, and other line breaks occur inside words.
        with open_text(path, mode="rt", encoding="utf-8-sig", newline="\n") as handle:
            yield from enumerate(handle, start=1)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole text file in UTF-8 ({error}); get it again") from error
