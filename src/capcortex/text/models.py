"""Text models and control models: what each image is, as a row of numbers, for comparison with the brain's response.

Last step of the text side of the study. A model of ``config/models.tsv`` names a builder; the builder turns captions, annotated
categories or a file of one's own into ``features`` (image x feature), keyed by ``id73k``. What comes after (RDMs,
encoding, decoding) knows features only, not where they came from. To add a kind of model, write a builder and enter
it into ``BUILDERS``.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from capcortex.arrays import open_array
from capcortex.seeds import random_generator
from capcortex.text import caption_models, category_models, own_models
from capcortex.text.caption_models import seed_of
from capcortex.text.encoders import is_untrained, load_encoder
from capcortex.text.material import Material, labelled_features
from capcortex.text.words import WORD_KINDS

RANDOM_FEATURES = 768


def build_model(
    *,
    model: Mapping[str, Any],
    captions: pd.DataFrame,
    categories: pd.DataFrame,
    seed: int | None,
    encoder: Mapping[str, Any] | None = None,
    tags: pd.DataFrame | None = None,
    path: str | Path | None = None,
    cache_folder: str | Path | None = None,
    encoder_record: str | Path | None = None,
) -> xr.DataArray:
    """Build one model.

    Parameters
    ----------
    model
        Row of ``config/models.tsv``; the columns ``model``, ``builder`` and ``words`` are used.
    captions, categories
        Tables of ``capcortex.text.captions``.
    seed
        The study's seed.
    encoder
        Row of ``config/encoders.tsv``, or none for models without encoder.
    tags
        Table of ``capcortex.text.words.tag_captions``, for a model of one kind of word.
    path
        File of the builders in ``NEED_FILE``.
    cache_folder
        Folder of the sentence cache.
    encoder_record
        File that says what was fetched of an encoder that lives on the hub (``capcortex.text.encoders.fetch_encoder``).

    Returns
    -------
    DataArray
        ``features`` (id73k, feature) float32, or ``rdm`` (id73k, id73k_2) float32 from the builder ``rdm``; ids
        ascending, no NaN. Attributes: model, builder, words, encoder, encoder_source, encoder_fingerprint, coco_captions
        (whether the encoder was trained on COCO's captions), seed, and the builder's own counts.

    Raises
    ------
    ValueError
        If the builder or the kind of words is unknown, or the builder lacks an encoder or a file, or takes no kind
        of words; further what the builder raises.
    FileNotFoundError
        If the encoder or the file cannot be had.
    """
    name, builder = model["model"], model["builder"]
    if builder not in BUILDERS:
        raise ValueError(
            f"config/models.tsv: model {name!r} has builder {builder!r}, expected one of {', '.join(BUILDERS)}"
        )
    if builder in NEED_ENCODER and (encoder is None or cache_folder is None):
        raise ValueError(
            f"config/models.tsv: model {name!r} has no encoder, but builder {builder!r} needs one; write 'study' or a "
            "name of config/encoders.tsv into the column encoder"
        )
    if builder in NEED_FILE and path is None:
        raise ValueError(
            f"config/models.tsv: model {name!r} has no path, but builder {builder!r} reads a file; fill the column path"
        )
    kind = _text(model.get("words"))
    if kind is not None and (kind not in WORD_KINDS or builder not in TAKE_KIND):
        raise ValueError(
            f"config/models.tsv: model {name!r} has words {kind!r} and builder {builder!r}, expected one of "
            f"{', '.join(WORD_KINDS)} with one of the builders {', '.join(TAKE_KIND)}, or an empty cell"
        )
    used = encoder if builder in NEED_ENCODER else None
    loaded = load_encoder(str(used["source"]), encoder_record, seed=seed) if used is not None else None
    array = BUILDERS[builder](
        Material(
            captions=captions,
            categories=categories,
            tags=tags,
            kind=kind,
            encoder=loaded,
            seed=seed,
            path=None if path is None else Path(path),
            cache_folder=None if cache_folder is None else Path(cache_folder),
        )
    )
    coco_captions = "unknown" if builder in NEED_FILE else "no"
    array.attrs = {
        "model": name,
        "builder": builder,
        "words": kind or "all",
        "encoder": "none" if used is None else used["encoder"],
        "encoder_source": "none" if loaded is None else loaded.source,
        "encoder_revision": "none" if used is None else _text(used.get("revision")) or "none",
        "encoder_fingerprint": "none" if loaded is None else loaded.fingerprint,
        "coco_captions": coco_captions if used is None else _text(used.get("coco_captions")) or "unknown",
        "seed": "none" if seed is None else seed,
        **array.attrs,
    }
    return array


def random_features(material: Material, *, n_features: int = RANDOM_FEATURES) -> xr.DataArray:
    """Draw standard normal numbers that depend on the seed and the image alone: a model that knows nothing."""
    ids, seed = material.id73k, seed_of(material)
    values = np.empty((ids.size, n_features), np.float32)
    for row, id73k in enumerate(ids.tolist()):
        values[row] = random_generator(seed, "random", id73k).standard_normal(n_features)
    return labelled_features(ids, values)


BUILDERS: dict[str, Callable[[Material], xr.DataArray]] = {
    "sentence": caption_models.sentence_features,
    "first-caption": caption_models.first_caption_features,
    "word-average": caption_models.word_average_features,
    "word-vectors": caption_models.word_vector_features,
    "scrambled": caption_models.scrambled_features,
    "caption-length": caption_models.caption_length_features,
    "categories": category_models.category_features,
    "category-counts": category_models.category_count_features,
    "category-areas": category_models.category_area_features,
    "category-words": category_models.category_word_features,
    "category-words-released": category_models.released_category_word_features,
    "category-vectors": category_models.category_vector_features,
    "random": random_features,
    "features": own_models.file_features,
    "rdm": own_models.file_rdm,
}
SEEDED = ("scrambled", "random")
NEED_ENCODER = (
    *("sentence", "first-caption", "word-average", "scrambled"),
    *("category-words", "category-words-released"),
)
NEED_VECTORS = ("word-vectors", "category-vectors")
NEED_FILE = ("features", "rdm", *NEED_VECTORS)
SENTENCES_OF_CAPTIONS = ("sentence", "scrambled")
"""Builders that encode a text for each caption; the others have one for each image, or fewer."""

COUNTS = [
    "n_images_without_objects",
    "n_images_without_words",
    "n_images_without_vectors",
    "n_captions_without_words",
    "n_words_without_vectors",
    "n_categories_without_vectors",
    "share_of_words_without_vectors",
    "n_extra_ids",
]
"""What builders count of things that lack something, as attributes of features."""

TAKE_KIND = ("sentence", "word-average", "word-vectors")
"""Builders of captions' words, which can be limited to one kind (``capcortex.text.words.WORD_KINDS``)."""


def tabulate_models(paths: Sequence[str | Path], labels: Mapping[str, str]) -> pd.DataFrame:
    """Tell of every model what it is and what it lacks.

    Parameters
    ----------
    paths
        Files of what `build_model` returned.
    labels
        Name of each model in figures.

    Returns
    -------
    DataFrame
        One row for each file, in their order: ``model``, ``label``, ``builder``, ``words`` (kind of word, or
        ``all``), ``encoder``, ``coco_captions`` (whether the encoder was trained on COCO's captions), ``n_images``,
        ``n_features`` (0 for a ready RDM), ``file`` (its own), and the columns `COUNTS` as far as a builder counts such things.

    Raises
    ------
    ValueError
        If a file is no file of a model.
    """
    rows = []
    for path in paths:
        with open_array(path, variables=["id73k"]) as dataset:
            attrs = next(iter(dataset.data_vars.values())).attrs
            row = {name: attrs[name] for name in ("model", "builder", "words", "encoder", "coco_captions")}
            row |= {"label": labels[attrs["model"]], "n_images": dataset.sizes["id73k"]}
            row |= {"n_features": dataset.sizes.get("feature", 0), "file": attrs.get("file")} | {
                name: attrs.get(name) for name in COUNTS
            }
            rows.append(row)
    columns = [
        "model",
        "label",
        "builder",
        "words",
        "encoder",
        "coco_captions",
        "n_images",
        "n_features",
        "file",
        *COUNTS,
    ]
    table = pd.DataFrame(rows, columns=columns)
    # Counts that some models lack stay whole numbers.
    whole = [name for name in COUNTS if name.startswith("n_")]
    return table.astype(dict.fromkeys(whole, "Int64"))


def is_seeded(model: Mapping[str, Any], encoder: Mapping[str, Any] | None) -> bool:
    """Whether a model draws random numbers: in its builder, or for an encoder without training."""
    return model["builder"] in SEEDED or (encoder is not None and is_untrained(str(encoder["source"])))


def _text(value: Any) -> str | None:
    """Cell of a table as text; none if it is empty."""
    return None if pd.isna(value) or value == "" else str(value)
