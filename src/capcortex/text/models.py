"""Text models and control models: what each image is, as a row of numbers, for comparison with the brain's response.

Last step of the text side of the study. A model of ``config/models.tsv`` names a builder of this module; the builder
turns captions, annotated categories or a file of one's own into ``features`` (image x feature), keyed by ``id73k``.
What comes after (RDMs, encoding, decoding) knows features only, not where they came from. To add a kind of model, write
a builder and enter it into ``BUILDERS``.

The caption model follows Doerig et al. 2025, doi:10.1038/s42256-025-01072-0: sentence vectors of all captions of an
image, averaged. The controls ask whether words without a sentence, categories, or the mere length would do as well.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from capcortex.ids import Ids, positions, unique_ids
from capcortex.seeds import random_generator
from capcortex.tables import read_table
from capcortex.text.encoders import Encoder, Vectors, encode_sentences, load_encoder

RANDOM_FEATURES = 768
RDM_TOLERANCE = 1e-6
# Images whose sentence vectors are averaged in one go; bounds memory, does not change results.
_IMAGES_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that a builder may draw on.

    Attributes
    ----------
    captions
        See ``capcortex.text.captions.read_captions``.
    categories
        See ``capcortex.text.captions.read_categories``.
    encoder
        The model's sentence encoder, or none.
    seed
        The study's seed; none for builders that draw nothing.
    path
        The model's own file, or none.
    cache_folder
        Folder of the sentence cache, or none if no sentence is encoded.
    """

    captions: pd.DataFrame
    categories: pd.DataFrame
    encoder: Encoder | None = None
    seed: int | None = None
    path: Path | None = None
    cache_folder: Path | None = None

    @property
    def id73k(self) -> Ids:
        """All images that have captions, ascending: shape (n_images,), int64."""
        return unique_ids(np.unique(self.captions["id73k"].to_numpy()), what="captions")


def build_model(
    *,
    model: Mapping[str, Any],
    captions: pd.DataFrame,
    categories: pd.DataFrame,
    seed: int | None,
    encoder: Mapping[str, Any] | None = None,
    path: str | Path | None = None,
    cache_folder: str | Path | None = None,
    encoder_record: str | Path | None = None,
) -> xr.DataArray:
    """Build one model.

    Parameters
    ----------
    model
        Row of ``config/models.tsv``; the columns ``model`` and ``builder`` are used.
    captions, categories
        Tables of ``capcortex.text.captions``.
    seed
        The study's seed.
    encoder
        Row of ``config/encoders.tsv``, or none for models without encoder.
    path
        File of the builders ``features`` and ``rdm``.
    cache_folder
        Folder of the sentence cache.
    encoder_record
        File that says what was fetched of an encoder that lives on the hub (``capcortex.text.encoders.fetch_encoder``).

    Returns
    -------
    DataArray
        ``features`` (id73k, feature) float32, or ``rdm`` (id73k, id73k_2) float32 from the builder ``rdm``; ids
        ascending, no NaN. Attributes: model, builder, encoder, encoder_source, encoder_fingerprint, coco_captions
        (whether the encoder was trained on COCO's captions), seed, and the builder's own counts.

    Raises
    ------
    ValueError
        If the builder is unknown, or lacks an encoder or a file; further what the builder raises.
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
    used = encoder if builder in NEED_ENCODER else None
    loaded = load_encoder(str(used["source"]), encoder_record) if used is not None else None
    array = BUILDERS[builder](
        Material(
            captions=captions,
            categories=categories,
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
        "encoder": "none" if used is None else used["encoder"],
        "encoder_source": "none" if loaded is None else loaded.source,
        "encoder_revision": "none" if used is None else _text(used.get("revision")) or "none",
        "encoder_fingerprint": "none" if loaded is None else loaded.fingerprint,
        "coco_captions": coco_captions if used is None else _text(used.get("coco_captions")) or "unknown",
        "seed": "none" if seed is None else seed,
        **array.attrs,
    }
    return array


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


def sentence_features(material: Material) -> xr.DataArray:
    """Mean over all captions of an image of their sentence vectors, however many there are; not normalised again."""
    captions = material.captions
    vectors = _mean_of_texts(material, captions["id73k"].to_numpy(), captions["caption"].tolist())
    return _features(material.id73k, vectors)


def word_average_features(material: Material) -> xr.DataArray:
    """Mean over all words of all captions of an image, each word encoded alone: a sentence without its structure.

    A word counts as often as it occurs. Lower-casing is left to the encoder. An image whose captions hold no word at
    all keeps its captions as they are (``n_images_without_words``).
    """
    captions = material.captions
    tokens = captions["caption"].map(words)
    n_words = tokens.map(len).groupby(captions["id73k"]).transform("sum")
    tokens = tokens.where(n_words > 0, captions["caption"].map(lambda caption: [caption]))
    texts = [text for found in tokens for text in found]
    ids = np.repeat(captions["id73k"].to_numpy(), tokens.map(len))
    vectors = _mean_of_texts(material, ids, texts)
    without = int(captions.loc[n_words == 0, "id73k"].nunique())
    return _features(material.id73k, vectors, n_images_without_words=without)


def scrambled_features(material: Material) -> xr.DataArray:
    """Mean over the captions of an image of their sentence vectors, the words of each caption in random order.

    The order of a caption's words follows from the seed, the image and the caption's position alone. Punctuation is
    left out, as it would mark places of the sentence that are no more. A caption without words stays as it is
    (``n_captions_without_words``).
    """
    captions = material.captions
    texts = scrambled_captions(captions, _seed(material))
    without = sum(not words(caption) for caption in captions["caption"])
    vectors = _mean_of_texts(material, captions["id73k"].to_numpy(), texts)
    return _features(material.id73k, vectors, n_captions_without_words=without)


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
    return _features(material.id73k, mean[:, np.newaxis], names=["words"])


def category_features(material: Material) -> xr.DataArray:
    """1 for every category of which an image has an annotated object, else 0.

    One column per category of the table, in the order of COCO's numbers, named as COCO names it. Images without objects
    have a row of zeros (``n_images_without_objects``). Objects of images that have no captions are left out.
    """
    ids = material.id73k
    table = material.categories
    if table.empty:
        raise ValueError(
            "results/captions/categories.tsv: no objects at all, expected one row per annotated object; are COCO's instances "
            "those of the images of the study? (docs/real-nsd.md)"
        )
    known = table[["category_id", "category"]].drop_duplicates().sort_values("category_id")
    if known["category_id"].duplicated().any() or known["category"].duplicated().any():
        twice = known[known["category_id"].duplicated(keep=False) | known["category"].duplicated(keep=False)]
        raise ValueError(
            f"categories table: {twice['category'].tolist()} share names or numbers {twice['category_id'].tolist()}, "
            "expected one name per category_id; run prepare_captions again"
        )
    inside = table[np.isin(table["id73k"].to_numpy(), ids)]
    values = np.zeros((ids.size, len(known)), np.float32)
    rows = positions(inside["id73k"].to_numpy(), ids, what="captions")
    values[rows, np.searchsorted(known["category_id"].to_numpy(), inside["category_id"].to_numpy())] = 1
    without = int((values.sum(axis=1) == 0).sum())
    return _features(ids, values, names=known["category"].tolist(), n_images_without_objects=without)


def random_features(material: Material, *, n_features: int = RANDOM_FEATURES) -> xr.DataArray:
    """Draw standard normal numbers that depend on the seed and the image alone: a model that knows nothing."""
    ids, seed = material.id73k, _seed(material)
    values = np.empty((ids.size, n_features), np.float32)
    for row, id73k in enumerate(ids.tolist()):
        values[row] = random_generator(seed, "random", id73k).standard_normal(n_features)
    return _features(ids, values)


def file_features(material: Material) -> xr.DataArray:
    """Read features from a file of one's own.

    The file is one of

    - ``.nc``: netCDF-4, variable ``features`` with dimensions (id73k, feature) and coordinate ``id73k``;
    - ``.npz``: arrays ``id73k`` (n_images,) and ``features`` (n_images, n_features), no pickles;
    - ``.tsv``: column ``id73k``, every other column a feature.

    Ids are 1-based and may come in any order. Images that have no captions are left out (``n_extra_ids``).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of these; if an id occurs twice or an image is missing; if a value is not a finite
        number.
    """
    path = _own_file(material)
    if path.suffix == ".tsv":
        table = read_table(path, columns=["id73k"])
        available, values = table["id73k"].to_numpy(), _numeric(table.drop(columns="id73k"), path)
        names = [str(name) for name in table.columns if name != "id73k"]
    else:
        content = _own_arrays(path, "features", dims=("id73k", "feature"))
        available, values = content["id73k"], content["features"]
        names = content["feature"].astype(str).tolist() if "feature" in content else []
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{path}: features has shape {values.shape}, expected (n_images, n_features), 1 feature or more; correct the file"
        )
    available = _own_ids(path, available, len(values))
    wanted = material.id73k
    try:
        rows = positions(wanted, available, what=str(path))
    except ValueError as error:
        raise ValueError(f"{error}; expected a row for every image that has captions: add the missing ones") from error
    chosen = _finite(values[rows], path, wanted, "features")
    return _features(wanted, chosen, names=names, n_extra_ids=int(available.size - wanted.size), file=str(path))


def file_rdm(material: Material) -> xr.DataArray:
    """Read a square matrix of dissimilarities from a file of one's own.

    The file is one of

    - ``.nc``: netCDF-4, variable ``rdm`` with dimensions (id73k, id73k_2) and equal coordinates of these names;
    - ``.npz``: arrays ``id73k`` (n_images,) and ``rdm`` (n_images, n_images), no pickles;
    - ``.tsv``: header ``id73k`` and the ids, then one row per image that begins with its id.

    It need not hold all images of the study (for 73,000 it would take 20 GB): whoever draws image sets from it says
    which are missing. Images of the file that have no captions are left out (``n_extra_ids``).

    Returns
    -------
    DataArray
        ``rdm`` (id73k, id73k_2) float32, ids ascending, symmetric up to 1e-6 of its largest value, diagonal zero.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not one of these; if the matrix is not square, not symmetric, not finite or has a diagonal other
        than zero; if rows and columns have different ids, ids occur twice, or no image has captions.
    """
    path = _own_file(material)
    if path.suffix == ".tsv":
        table = read_table(path, columns=["id73k"])
        available, values = table["id73k"].to_numpy(), _numeric(table.drop(columns="id73k"), path)
        header = [str(name) for name in table.columns if name != "id73k"]
        columns = np.array([int(name) if name.isdecimal() else 0 for name in header])
    else:
        content = _own_arrays(path, "rdm", dims=("id73k", "id73k_2"))
        available, values = content["id73k"], content["rdm"]
        columns = content.get("id73k_2", available)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(
            f"{path}: rdm has shape {values.shape}, expected a square matrix (n_images, n_images); correct the file"
        )
    available = _own_ids(path, available, len(values))
    if not np.array_equal(available, columns):
        at = int(np.flatnonzero(available != columns)[0])
        found = header[at] if path.suffix == ".tsv" else columns[at]
        raise ValueError(
            f"{path}: row {at + 1} is id73k {available[at]} but column {at + 1} is {found}, expected the same ids in "
            "the same order; sort rows and columns alike"
        )
    values = _finite(values, path, available, "rdm", dtype=np.float64)
    _require_dissimilarities(values, available, path)
    keep = np.flatnonzero(np.isin(available, material.id73k))
    if keep.size == 0:
        raise ValueError(f"{path}: none of its {available.size} ids is an image with captions; id73k counts from 1")
    keep = keep[np.argsort(available[keep])]
    ids = available[keep]
    return xr.DataArray(
        values[np.ix_(keep, keep)].astype(np.float32),
        dims=("id73k", "id73k_2"),
        coords={"id73k": ids, "id73k_2": ("id73k_2", ids)},
        name="rdm",
        attrs={"n_extra_ids": int(available.size - ids.size), "file": str(path)},
    )


BUILDERS: dict[str, Callable[[Material], xr.DataArray]] = {
    "sentence": sentence_features,
    "word-average": word_average_features,
    "scrambled": scrambled_features,
    "caption-length": caption_length_features,
    "categories": category_features,
    "random": random_features,
    "features": file_features,
    "rdm": file_rdm,
}
SEEDED = ("scrambled", "random")
NEED_ENCODER = ("sentence", "word-average", "scrambled")
NEED_FILE = ("features", "rdm")


def _seed(material: Material) -> int:
    if material.seed is None:
        raise ValueError(f"a seed is needed by the builders {', '.join(SEEDED)}")
    return material.seed


def _features(ids: Ids, values: NDArray[Any], names: list[str] | None = None, **attrs: Any) -> xr.DataArray:
    return xr.DataArray(
        np.asarray(values, dtype=np.float32),
        dims=("id73k", "feature"),
        coords={"id73k": ids, "feature": names or np.arange(values.shape[1])},
        name="features",
        attrs=attrs,
    )


def _mean_of_texts(material: Material, ids: NDArray[Any], texts: list[str]) -> Vectors:
    """Mean of the vectors of the texts of each image, rows in the order of ``material.id73k``."""
    if material.encoder is None or material.cache_folder is None:
        raise ValueError("this builder needs an encoder and a folder for the sentence cache")
    order = np.argsort(ids, kind="stable")
    codes, unique = pd.factorize(np.array(texts, dtype=object)[order])
    vectors = encode_sentences(unique.tolist(), material.encoder, material.cache_folder)
    starts = np.append(np.searchsorted(ids[order], material.id73k), ids.size)
    mean = np.empty((starts.size - 1, vectors.shape[1]), np.float32)
    for low in range(0, len(mean), _IMAGES_AT_ONCE):
        high = min(low + _IMAGES_AT_ONCE, len(mean))
        here = vectors[codes[starts[low] : starts[high]]]
        sums = np.add.reduceat(here, starts[low:high] - starts[low], axis=0, dtype=np.float64)
        mean[low:high] = sums / np.diff(starts[low : high + 1])[:, np.newaxis]
    return mean


@cache
def _word_pattern(*, ascii_only: bool) -> re.Pattern[str]:
    # Python's \w lacks combining marks, without which words of many scripts would fall to pieces. There are so many
    # that they make matching ten times slower, and few captions need them.
    code_points = range(0 if ascii_only else sys.maxunicode + 1)
    marks = "".join(c for c in map(chr, code_points) if unicodedata.category(c)[0] == "M")
    return re.compile(rf"\d+(?:[.,]\d+)+|[\w{marks}]+(?:['’-][\w{marks}]+)*")


def _text(value: Any) -> str | None:
    """Cell of a table as text; none if it is empty."""
    return None if pd.isna(value) or value == "" else str(value)


def _own_file(material: Material) -> Path:
    if material.path is None:
        raise ValueError("this builder needs the path of a file")
    if material.path.suffix not in (".nc", ".npz", ".tsv"):
        raise ValueError(
            f"{material.path}: suffix {material.path.suffix!r}, expected .nc, .npz or .tsv (docs/own-models.md)"
        )
    if not material.path.is_file():
        raise FileNotFoundError(f"{material.path}: no such file; correct the column path of config/models.tsv")
    return material.path


def _own_arrays(path: Path, name: str, *, dims: tuple[str, str]) -> dict[str, NDArray[Any]]:
    """Arrays of a netCDF or npz file: ``name``, ``id73k``, and coordinates of the dimensions where there are."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                content = {key: file[key] for key in (name, "id73k") if key in file}
                found = ", ".join(file)
        else:
            with xr.open_dataset(path, engine="h5netcdf") as dataset:
                content = {key: dataset[key].to_numpy() for key in (name, *dims) if key in dataset.variables}
                found = ", ".join(f"{key}{dataset[key].dims}" for key in dataset.variables)
                if name in content and dataset[name].dims != dims:
                    raise ValueError(f"{name} has dimensions {dataset[name].dims}, expected {dims}")
    except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path}: cannot be used ({error}); expected arrays of numbers 'id73k' and '{name}' (docs/own-models.md)"
        ) from error
    expected = (name, *dims) if path.suffix == ".nc" and name == "rdm" else (name, "id73k")
    missing = [key for key in expected if key not in content]
    if missing:
        raise ValueError(
            f"{path}: lacks {', '.join(missing)}; found {found}; expected {', '.join(expected)} (docs/own-models.md)"
        )
    if content[name].size == 0:
        raise ValueError(f"{path}: {name} is empty, expected a row for each image (docs/own-models.md)")
    if content[name].dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: {name} is of type {content[name].dtype}, expected numbers: leave out other columns (docs/own-models.md)"
        )
    return content


def _own_ids(path: Path, values: NDArray[Any], n_rows: int) -> Ids:
    try:
        ids = unique_ids(values, what=f"{path}: id73k")
    except ValueError as error:
        raise ValueError(
            f"{error}; correct the ids of the file: one row for each image, id73k counts from 1"
        ) from error
    if ids.size != n_rows:
        raise ValueError(f"{path}: {ids.size} ids for {n_rows} rows, expected one id per row; correct the file")
    return ids


def _numeric(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    for name in table.columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero(numbers.isna()) if table[name].dtype != bool else np.array([0])
        if wrong.size:
            found = table[name].iloc[wrong[0]]
            cell = "an empty cell" if pd.isna(found) else repr(found)
            raise ValueError(
                f"{path}: column {name!r}, row {wrong[0] + 1} of the table holds {cell}, expected a number; correct it "
                "or remove the column"
            )
    return table.to_numpy(dtype=np.float64)


def _finite(values: NDArray[Any], path: Path, ids: Ids, name: str, dtype: type = np.float32) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        cast: NDArray[Any] = values.astype(dtype)
    bad = np.argwhere(~np.isfinite(cast))
    if bad.size:
        row, column = bad[0]
        raise ValueError(
            f"{path}: {name} of id73k {ids[row]}, column {column + 1}, is {values[row, column]}, expected a finite "
            f"number; {len(bad)} values are not: leave out such features or images"
        )
    return cast


def _require_dissimilarities(values: NDArray[np.float64], ids: Ids, path: Path) -> None:
    tolerance = RDM_TOLERANCE * max(1.0, float(np.abs(values).max()))
    off = np.flatnonzero(np.abs(np.diag(values)) > tolerance)
    if off.size:
        raise ValueError(
            f"{path}: id73k {ids[off[0]]} differs from itself by {values[off[0], off[0]]}, expected 0 on the diagonal; "
            "is it a matrix of similarities?"
        )
    uneven = np.argwhere(np.abs(values - values.T) > tolerance)
    if uneven.size:
        i, j = uneven[0]
        raise ValueError(
            f"{path}: id73k {ids[i]} to {ids[j]} is {values[i, j]}, but {values[j, i]} the other way, expected a "
            "symmetric matrix; average it with its transpose if that is what is meant"
        )
