"""Sentences that decoded embeddings are put into words with: a text file of the user's, or captions of images not tested.

Their vectors are made by ``dictionary``, which needs an encoder; what reads sentences alone does not depend on encoders.
"""

from pathlib import Path

import pandas as pd

from capcortex.files import remedy
from capcortex.ids import Ids


def read_sentences(path: str | Path) -> list[str]:
    """Read a dictionary: a text file with one sentence per line.

    Runs of white space become one space; empty lines are passed over, and of equal sentences the first is kept.

    Parameters
    ----------
    path
        The file, UTF-8.

    Returns
    -------
    list of str
        In the order of the file.

    Raises
    ------
    ValueError
        If the file is no text, or has no sentence.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as lines:
            sentences = dict.fromkeys(sentence for line in lines if (sentence := " ".join(line.split())))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start} of a block); convert it, for example with iconv"
        ) from error
    if not sentences:
        raise ValueError(
            f"{path}: no sentences; expected one per line, or decoding: {{dictionary: null}} in the config, for captions"
        )
    return list(sentences)


def captions_without(captions: pd.DataFrame, images: Ids) -> list[str]:
    """Captions of all images but some, each different one once, in the order of the table.

    Parameters
    ----------
    captions
        From `capcortex.text.captions.load_captions`.
    images
        ``id73k`` of the images on which decoders are tested.

    Raises
    ------
    ValueError
        If there are no others.
    """
    others = captions.loc[~captions["id73k"].isin(images), "caption"]
    if others.empty:
        raise ValueError(
            f"all {len(captions)} captions are of the {len(images)} images that decoders are tested on, which cannot make their "
            "dictionary; name a file of sentences as decoding: dictionary"
        )
    return list(others.drop_duplicates())


def load_sentences(path: str | Path) -> list[str]:
    """Load the sentences whose vectors `write_vectors` wrote, in their order, from a table with the column ``sentence``."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if list(table.columns) != ["sentence"]:
        raise ValueError(f"{path}: expected the column sentence, found {', '.join(table.columns)}; {remedy(path)}")
    return list(table["sentence"])
