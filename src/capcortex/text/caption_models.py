"""Models of captions: whole sentences, their words in any order, one kind of their words, or their mere length.

Builders of ``capcortex.text.models``. The caption model follows Doerig et al. 2025, doi:10.1038/s42256-025-01072-0:
sentence vectors of all captions of an image, averaged. The others ask what of a sentence it takes: its order, its
verbs, more than its nouns?

A model of one kind of word (``capcortex.text.words.WORD_KINDS``) comes in two forms, since print and released code
differ: the chosen words of a caption as one string (`sentence_features`), or each word alone (`word_average_features`).
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import Ids
from capcortex.seeds import random_generator
from capcortex.text.material import Material, labelled_features, mean_of_rows, mean_of_texts
from capcortex.text.word_vectors import read_word_vectors, rows_of_words
from capcortex.text.words import without_capitals, words, words_of_kind

FILLERS = {"verbs": "is", "verbs-and-auxiliaries": "is"}
"""Stands for the words of an image none of whose captions has one of the kind, as in the paper; of other kinds `OTHER_FILLER`."""

OTHER_FILLER = "something"


def sentence_features(material: Material) -> xr.DataArray:
    """Mean over all captions of an image of their sentence vectors, however many there are; not normalised again.

    For a model of one kind of word each caption is reduced to its words of that kind, joined by spaces; captions without any are
    left out (``n_captions_without_words``). An image without any has its kind's filler (``n_images_without_words``).
    """
    captions = material.captions
    if material.kind is None:
        vectors = mean_of_texts(material, captions["id73k"].to_numpy(), captions["caption"].tolist())
        return labelled_features(material.id73k, vectors)
    tokens, counts = _chosen_words(material)
    ids, texts = _with_fillers(material, tokens.index.to_numpy(), tokens.map(" ".join).tolist())
    return labelled_features(material.id73k, mean_of_texts(material, ids, texts), **counts)


def first_caption_features(material: Material) -> xr.DataArray:
    """Sentence vector of the first caption of each image, in the order of COCO's file, instead of the mean of all."""
    first = material.captions[material.captions["position"] == 1]
    return labelled_features(
        material.id73k, mean_of_texts(material, first["id73k"].to_numpy(), first["caption"].tolist())
    )


def word_average_features(material: Material) -> xr.DataArray:
    """Mean over all words of all captions of an image, each word encoded alone: a sentence without its structure.

    A word counts as often as it occurs; those of a caption in capitals throughout are in lower case. An image whose captions hold
    no word at all keeps its captions as they are (``n_images_without_words``); for a model of one kind of word it has its kind's
    filler.
    """
    ids, texts, counts = _single_words(material)
    return labelled_features(material.id73k, mean_of_texts(material, *_with_fillers(material, ids, texts)), **counts)


def word_vector_features(material: Material) -> xr.DataArray:
    """Mean over all words of all captions of an image of their vectors from a file, such as fastText's or GloVe's.

    Words as in `word_average_features`; a word counts as often as it occurs. Words that the file has neither as
    written nor in lower case are left out (``n_words_without_vectors`` different ones, ``share_of_words_without_vectors`` of all
    occurrences). An image that is left without any has its kind's filler (``n_images_without_vectors``).

    Raises
    ------
    ValueError
        If an image has no word with a vector, and the filler has none.
    """
    if material.path is None:
        raise ValueError("this builder needs the path of a file of word vectors")
    filler = _filler(material)
    ids, texts, counts = _single_words(material)
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    known, vectors = read_word_vectors(material.path, [*unique, filler])
    row_of_unique = np.array(rows_of_words(unique, known))
    rows = row_of_unique[codes]
    keep = rows >= 0
    without = np.setdiff1d(material.id73k, ids[keep])
    row_of_filler = rows_of_words([filler], known)[0]
    if without.size and row_of_filler < 0:
        raise ValueError(
            f"{material.path}: {without.size} images, the first id73k {without[0]}, have no word with a vector, and {filler!r}, "
            "which stands for none, has no vector either; add a line for it"
        )
    ids = np.concatenate([ids[keep], without])
    rows = np.concatenate([rows[keep], np.full(without.size, row_of_filler)])
    return labelled_features(
        material.id73k,
        mean_of_rows(material.id73k, ids, rows, vectors),
        **counts,
        n_images_without_vectors=int(without.size),
        n_words_without_vectors=int((row_of_unique < 0).sum()),
        share_of_words_without_vectors=float(1 - keep.mean()) if keep.size else 0.0,
        file=str(material.path),
    )


def scrambled_features(material: Material) -> xr.DataArray:
    """Mean over the captions of an image of their sentence vectors, the words of each caption in random order.

    The order of a caption's words follows from the seed, the image and the caption's position alone. Punctuation is
    left out, as it would mark places of the sentence that are no more. A caption without words stays as it is
    (``n_captions_without_words``).
    """
    captions = material.captions
    texts = scrambled_captions(captions, seed_of(material))
    without = sum(not words(caption) for caption in captions["caption"])
    vectors = mean_of_texts(material, captions["id73k"].to_numpy(), texts)
    return labelled_features(material.id73k, vectors, n_captions_without_words=without)


def scrambled_captions(captions: pd.DataFrame, seed: int) -> list[str]:
    """Shuffle the words of every caption.

    Parameters
    ----------
    captions
        Columns ``id73k``, ``position``, ``caption``.
    seed
        The study's seed.

    Returns
    -------
    list of str
        One text per row of ``captions``: its words in random order, joined by spaces; a caption without words as it is.
    """
    texts = []
    for id73k, position, caption in captions[["id73k", "position", "caption"]].itertuples(index=False):
        found = words(caption)
        order = random_generator(seed, "scrambled", id73k, position).permutation(len(found))
        texts.append(" ".join(found[i] for i in order) or caption)
    return texts


def caption_length_features(material: Material) -> xr.DataArray:
    """One number per image: the mean number of words of its captions."""
    counts = material.captions["caption"].map(lambda caption: len(words(caption)))
    mean = counts.groupby(material.captions["id73k"]).mean().sort_index().to_numpy()
    return labelled_features(material.id73k, mean[:, np.newaxis], names=["words"])


def seed_of(material: Material) -> int:
    """Return the study's seed, which a builder that draws cannot do without."""
    if material.seed is None:
        raise ValueError("a seed is needed by a builder that draws")
    return material.seed


def _filler(material: Material) -> str:
    return FILLERS.get(material.kind or "", OTHER_FILLER)


def _chosen_words(material: Material) -> tuple[pd.Series, dict[str, Any]]:
    """Words of the model's kind of every caption that has some, by ``id73k``; and counts of what has none."""
    if material.tags is None or material.kind is None:
        raise ValueError("a model of one kind of word needs the table of tagged captions")
    captions, tags = material.captions, material.tags
    key = ["id73k", "position"]
    if not captions[key].reset_index(drop=True).equals(tags[key].reset_index(drop=True)):
        raise ValueError(
            "results/captions/tags.tsv: does not have a row for each caption in the order of results/captions/captions.tsv; run "
            "tag_captions again"
        )
    tokens = pd.Series(words_of_kind(tags, material.kind), index=captions["id73k"].to_numpy(), dtype=object)
    some = tokens.map(len) > 0
    counts = {
        "n_captions_without_words": int((~some).sum()),
        "n_images_without_words": int(np.setdiff1d(material.id73k, tokens.index[some]).size),
    }
    return tokens[some], counts


def _single_words(material: Material) -> tuple[Ids, list[str], dict[str, Any]]:
    """Every word of every caption, with the ``id73k`` of its image; and counts of what has none."""
    captions = material.captions
    if material.kind is not None:
        tokens, counts = _chosen_words(material)
    else:
        parted = [words(without_capitals(caption)) for caption in captions["caption"]]
        tokens = pd.Series(parted, index=captions["id73k"].to_numpy(), dtype=object)
        n_words = tokens.map(len).groupby(level=0).transform("sum")
        whole = pd.Series([[caption] for caption in captions["caption"]], index=tokens.index, dtype=object)
        tokens = tokens.where(n_words > 0, whole)
        counts = {"n_images_without_words": int(tokens.index[n_words == 0].nunique())}
    ids = np.repeat(tokens.index.to_numpy(), tokens.map(len))
    return ids, [word for found in tokens for word in found], counts


def _with_fillers(material: Material, ids: NDArray[np.int64], texts: list[str]) -> tuple[Ids, list[str]]:
    without = np.setdiff1d(material.id73k, ids)
    return np.concatenate([ids, without]), texts + [_filler(material)] * without.size
