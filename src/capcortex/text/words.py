"""What counts as a word of a caption, and of which kind it is: nouns, verbs, function words, punctuation.

Two splits are in use. `words` needs no language model: runs of letters and digits. `tag_captions` asks a tagger
(spaCy) for tokens, punctuation among them, and for the part of speech of each, which models of one kind of word are built from
(``capcortex.text.caption_models``).

Parts of speech are those of Universal Dependencies, de Marneffe et al. 2021, doi:10.1162/coli_a_00402.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from capcortex.files import remedy

WORD_KINDS: dict[str, frozenset[str] | None] = {
    "tokens": None,
    "content": frozenset({"NOUN", "PROPN", "VERB", "ADJ", "ADV", "NUM"}),
    "nouns": frozenset({"NOUN"}),
    "verbs": frozenset({"VERB"}),
    "verbs-and-auxiliaries": frozenset({"VERB", "AUX"}),
    "adjectives": frozenset({"ADJ"}),
    "adverbs": frozenset({"ADV"}),
    "prepositions": frozenset({"ADP"}),
}
"""Parts of speech of each kind of word that a model can be made of; ``tokens`` are all, punctuation too."""

TAG_COLUMNS = ["id73k", "position", "tokens", "tags"]
# Of spaCy's components those that tag; a tagger that has them under other names loses nothing but time.
_UNUSED = ("parser", "ner", "lemmatizer", "senter", "textcat")
_BATCH = 256


def words(caption: str) -> list[str]:
    """Split a caption into words: runs of letters and digits of any script, punctuation and symbols left out.

    Apostrophes and hyphens inside a word, and points and commas inside a number, belong to it (``man's``, ``t-shirt``,
    ``3.5``). Case is kept. Scripts that do not part words by spaces give one word per run.

    Parameters
    ----------
    caption
        Text.

    Returns
    -------
    list of str
        In order, with repetitions; empty for a caption of punctuation alone.
    """
    pattern = _word_pattern(ascii_only=caption.isascii())
    return pattern.findall(caption.replace("_", " "))  # an underscore is a letter to Python's \w


def is_upper_case(caption: str) -> bool:
    """Whether a caption has letters and all of them are capitals."""
    return caption.isupper()


def without_capitals(caption: str) -> str:
    """Return a caption in capitals throughout in lower case, and others as they are: taggers take capitals for names."""
    return caption.lower() if is_upper_case(caption) else caption


def load_tagger(name: str) -> Any:
    """Load a spaCy model that tags parts of speech.

    Parameters
    ----------
    name
        Name of an installed Python package with a spaCy model, or a folder of one.

    Raises
    ------
    FileNotFoundError
        If there is no such model in this environment.
    """
    import spacy

    try:
        return spacy.load(name, exclude=_UNUSED)
    except OSError as error:
        raise FileNotFoundError(
            f"tagger {name!r}: no spaCy model of that name in this environment, and no folder; expected the name of an installed "
            f"package or a path. Install it, or correct the key tagger of the config: {' '.join(str(error).split())}"
        ) from error


def tag_captions(captions: pd.DataFrame, tagger: Any) -> pd.DataFrame:
    """Split every caption into tokens and give each its part of speech.

    A caption in capitals throughout is tagged in lower case (`without_capitals`).

    Parameters
    ----------
    captions
        Columns ``id73k``, ``position``, ``caption``.
    tagger
        From `load_tagger`.

    Returns
    -------
    DataFrame
        One row for each of ``captions``, in their order: ``id73k``, ``position``; ``tokens`` and ``tags`` (Universal
        Dependencies), each joined by single spaces, as many of the one as of the other.

    Raises
    ------
    ValueError
        If the tagger gives no tag to a token: it does not tag parts of speech.
    """
    texts = [without_capitals(caption) for caption in captions["caption"]]
    tokens, tags = [], []
    for document in tagger.pipe(texts, batch_size=_BATCH):
        found = [token for token in document if not token.is_space]
        tokens.append(" ".join(token.text for token in found))
        tags.append(" ".join(token.pos_ for token in found))
        untagged = next((token.text for token in found if not token.pos_), None)
        if untagged is not None:
            raise ValueError(
                f"tagger {tagger.meta.get('name')!r} gives {untagged!r} no part of speech, expected one for every token; name a "
                "spaCy model with a tagger in the key tagger of the config"
            )
    return captions[["id73k", "position"]].assign(tokens=tokens, tags=tags)


def load_tags(path: str | Path) -> pd.DataFrame:
    """Load the table that `tag_captions` made, with every token as text (also ``n/a`` or ``2019``).

    Raises
    ------
    ValueError
        If a column is missing, or a caption has more tokens than tags.
    """
    table = pd.read_csv(path, sep="\t", dtype={"tokens": str, "tags": str}, keep_default_na=False)
    missing = [name for name in TAG_COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(
            f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(map(str, table.columns))}; {remedy(path)}"
        )
    uneven = table[table["tokens"].str.count(" ") != table["tags"].str.count(" ")]
    if len(uneven):
        raise ValueError(
            f"{path}: caption {uneven['position'].iloc[0]} of id73k {uneven['id73k'].iloc[0]} does not have one tag for "
            f"each token; {remedy(path)}"
        )
    return table[TAG_COLUMNS]


def words_of_kind(tags: pd.DataFrame, kind: str) -> list[list[str]]:
    """Return the words of one kind of every caption.

    Parameters
    ----------
    tags
        From `tag_captions`.
    kind
        A key of `WORD_KINDS`.

    Returns
    -------
    list of list of str
        One list per row, in the order of the caption, with repetitions; empty where the caption has none.
    """
    wanted = WORD_KINDS[kind]
    return [_chosen(*row, wanted) for row in zip(tags["tokens"], tags["tags"], strict=True)]


def _chosen(tokens: str, tags: str, wanted: Iterable[str] | None) -> list[str]:
    if wanted is None:
        return tokens.split()
    return [token for token, tag in zip(tokens.split(" "), tags.split(" "), strict=True) if tag in wanted]


@cache
def _word_pattern(*, ascii_only: bool) -> re.Pattern[str]:
    # Python's \w lacks combining marks, without which words of many scripts would fall to pieces. There are so many
    # that they make matching ten times slower, and few captions need them.
    code_points = range(0 if ascii_only else sys.maxunicode + 1)
    marks = "".join(c for c in map(chr, code_points) if unicodedata.category(c)[0] == "M")
    return re.compile(rf"\d+(?:[.,]\d+)+|[\w{marks}]+(?:['’-][\w{marks}]+)*")
