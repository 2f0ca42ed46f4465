"""From COCO's annotation files to two tables keyed by ``id73k``: the captions, and the annotated objects.

First step of the text side of the study: everything that a text model (``capcortex.text.models``) is built from comes
out of the two tables made here. COCO knows a photograph by its own number (``cocoId``); NSD's stimulus table says which
of NSD's images that is, counting from 0. After this module only ``id73k``, counting from 1, is left.

Sources: captions, Chen et al. 2015, doi:10.48550/arXiv.1504.00325; objects, Lin et al. 2014,
doi:10.1007/978-3-319-10602-1_48; the choice of images, Allen et al. 2022, doi:10.1038/s41593-021-00962-x.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from capcortex.files import remedy
from capcortex.ids import from_nsd_id, unique_ids
from capcortex.tables import read_table

CAPTION_COLUMNS = ["id73k", "position", "caption"]
LINE_BREAKS = "captions_with_line_breaks"
CATEGORY_COLUMNS = ["id73k", "category", "supercategory", "category_id", "area", "iscrowd"]

# The keys of COCO's JSON objects that this module reads. Outlines of objects are nine tenths of an instances file of
# 450 MB and would need gigabytes as Python lists.
_KEPT_KEYS = frozenset(
    {"images", "annotations", "categories", "id", "image_id", "caption", "category_id", "area", "iscrowd"}
    | {"name", "supercategory"}
)


def read_captions(stimulus_table: Path, annotation_files: list[Path]) -> pd.DataFrame:
    """Read all captions of all images of the stimulus table.

    Runs of white space (line breaks, tabs) become one space and the ends are stripped; otherwise captions are verbatim.

    Parameters
    ----------
    stimulus_table
        ``nsd_stim_info_merged.csv``.
    annotation_files
        COCO's ``captions_*.json``. Images that the stimulus table does not name are left out.

    Returns
    -------
    DataFrame
        Columns ``id73k`` (int64, ascending), ``position`` (int64, from 1 within an image, in the order of the file) and
        ``caption`` (text, never empty). No missing values. The attribute `LINE_BREAKS` counts captions that had line
        breaks inside.

    Raises
    ------
    ValueError
        If the stimulus table is not what it should be or names a cocoId twice; if a file is not a captions file or
        repeats images of another; if an image has no caption, or one that is empty or no text.
    """
    id_of = _id73k_of_coco_id(stimulus_table)
    rows: list[tuple[int, str]] = []
    n_with_breaks = 0
    for path, annotations in _annotations(annotation_files):
        for annotation in annotations:
            coco_id = annotation["image_id"]
            if coco_id not in id_of:
                continue
            found = annotation["caption"]
            caption = " ".join(found.split()) if isinstance(found, str) else ""
            if not caption:
                raise ValueError(
                    f"{path}: cocoId {coco_id} (id73k {id_of[coco_id]}) has the caption {found!r} (annotation "
                    f"{annotation.get('id')}), expected text; remove that annotation or write its caption"
                )
            rows.append((id_of[coco_id], caption))
            n_with_breaks += len(found.strip().splitlines()) > 1
    without = {*id_of.values()} - {id73k for id73k, _ in rows}
    if without:
        first = min(without)
        coco_id = next(key for key, id73k in id_of.items() if id73k == first)
        raise ValueError(
            f"{_names(annotation_files)}: no caption for cocoId {coco_id} (id73k {first}) of {stimulus_table}; "
            f"{len(without)} of {len(id_of)} images have none, expected captions of all: are these COCO's captions of both "
            f"splits (train, val)? {remedy(annotation_files[0])}"
        )
    table = pd.DataFrame(rows, columns=["id73k", "caption"])
    table = table.sort_values("id73k", kind="stable", ignore_index=True)
    table["position"] = table.groupby("id73k").cumcount() + 1
    table = table[CAPTION_COLUMNS]
    table.attrs = {LINE_BREAKS: n_with_breaks}
    return table


def read_categories(stimulus_table: Path, annotation_files: list[Path]) -> pd.DataFrame:
    """Read the annotated objects of all images of the stimulus table.

    Parameters
    ----------
    stimulus_table
        ``nsd_stim_info_merged.csv``.
    annotation_files
        COCO's ``instances_*.json``.

    Returns
    -------
    DataFrame
        One row per annotated object instance: ``id73k`` (int64, ascending; within an image in the order of the file),
        ``category`` and ``supercategory`` (text), ``category_id`` (int64, COCO's number, with gaps), ``area`` (float64,
        squared pixels of the whole photograph) and ``iscrowd`` (int64, 1 for a group that is annotated as one). Images
        without objects have no rows. No missing values.

    Raises
    ------
    ValueError
        If the stimulus table is not what it should be; if a file is not an instances file, repeats images of another,
        or means something else by a category number; if an image is listed in none of the files.
    """
    id_of = _id73k_of_coco_id(stimulus_table)
    names: dict[int, tuple[str, str]] = {}
    listed: set[int] = set()
    rows: list[tuple[int, str, str, int, float, int]] = []
    for path, content in _contents(annotation_files):
        for entry in _section(path, content, "categories", "id", "name", "supercategory"):
            name = (entry["name"], entry["supercategory"])
            if names.setdefault(entry["id"], name) != name:
                raise ValueError(
                    f"{path}: category_id {entry['id']} is {name}, but {names[entry['id']]} in an earlier file; use "
                    "instances files of one release of COCO"
                )
        images = {image["id"] for image in _section(path, content, "images", "id")}
        _refuse_repetition(path, listed & images)
        listed |= images
        for annotation in _section(path, content, "annotations", "category_id", "image_id", "area", "iscrowd"):
            coco_id, category_id = annotation["image_id"], annotation["category_id"]
            if coco_id not in id_of:
                continue
            if category_id not in names:
                raise ValueError(
                    f"{path}: an object of cocoId {coco_id} has category_id {category_id}, which is not among the "
                    f"file's categories; {remedy(path)}"
                )
            rows.append((id_of[coco_id], *names[category_id], category_id, annotation["area"], annotation["iscrowd"]))
    unlisted = id_of.keys() - listed
    if unlisted:
        # Such an image would look like one without objects.
        coco_id = min(unlisted, key=id_of.__getitem__)
        raise ValueError(
            f"{_names(annotation_files)}: cocoId {coco_id} (id73k {id_of[coco_id]}) of {stimulus_table} is not listed; "
            f"{len(unlisted)} of {len(id_of)} images are not, expected all: are these COCO's instances of both splits "
            f"(train, val)? {remedy(annotation_files[0])}"
        )
    table = pd.DataFrame(rows, columns=CATEGORY_COLUMNS)
    table = table.astype({"id73k": "int64", "category_id": "int64", "area": "float64", "iscrowd": "int64"})
    return table.sort_values("id73k", kind="stable", ignore_index=True)


def count_captions(captions: pd.DataFrame, categories: pd.DataFrame) -> pd.DataFrame:
    """Count what is out of the ordinary in captions and objects.

    Parameters
    ----------
    captions, categories
        From `read_captions` and `read_categories`.

    Returns
    -------
    DataFrame
        Columns ``count`` (what) and ``value``: images, captions, the fewest and the most captions of an image,
        captions that had line breaks inside, captions in capitals throughout, and images without objects.
    """
    of_image = captions.groupby("id73k").size()
    counts = {
        "images": of_image.size,
        "captions": len(captions),
        "fewest_captions_of_an_image": of_image.min(),
        "most_captions_of_an_image": of_image.max(),
        LINE_BREAKS: captions.attrs[LINE_BREAKS],
        "captions_in_capitals": captions["caption"].str.isupper().sum(),
        "images_without_objects": (~of_image.index.isin(categories["id73k"])).sum(),
    }
    return pd.DataFrame({"count": list(counts), "value": list(counts.values())})


def load_captions(path: str | Path) -> pd.DataFrame:
    """Load the captions table that ``read_captions`` made, with every caption as text (also ``n/a`` or ``2019``).

    Raises
    ------
    ValueError
        If a column is missing.
    """
    table = pd.read_csv(path, sep="\t", dtype={"caption": str}, keep_default_na=False)
    missing = [name for name in CAPTION_COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(
            f"{path}: column(s) {', '.join(missing)} missing; found {', '.join(map(str, table.columns))}; {remedy(path)}"
        )
    return table[CAPTION_COLUMNS]


def load_categories(path: str | Path) -> pd.DataFrame:
    """Load the categories table that ``read_categories`` made.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    return read_table(path, columns=CATEGORY_COLUMNS)[CATEGORY_COLUMNS]


def _id73k_of_coco_id(stimulus_table: Path) -> dict[int, int]:
    table = read_table(stimulus_table, columns=["cocoId", "nsdId"], separator=",")
    table = table.set_index(table.columns[0])
    shifted = table[table.index != table["nsdId"]]
    if len(shifted):
        # The first column counts the rows from 0. A table whose nsdId starts at 1 would give every image the captions
        # of its neighbour.
        raise ValueError(
            f"{stimulus_table}: row {shifted.index[0]} has nsdId {shifted['nsdId'].iloc[0]}, expected "
            f"{shifted.index[0]} (nsdId counts from 0); {remedy(stimulus_table)}"
        )
    id73k = unique_ids(from_nsd_id(table["nsdId"].to_numpy()), what=f"{stimulus_table}: nsdId + 1")
    twice = table[table["cocoId"].duplicated(keep=False)]
    if len(twice):
        coco_id = twice["cocoId"].iloc[0]
        rows = ", ".join(map(str, twice.index[twice["cocoId"] == coco_id]))
        raise ValueError(
            f"{stimulus_table}: cocoId {coco_id} stands at nsdId {rows}, expected once; {remedy(stimulus_table)}"
        )
    return dict(zip(table["cocoId"].tolist(), id73k.tolist(), strict=True))


def _annotations(paths: list[Path]) -> Iterable[tuple[Path, list[dict[str, Any]]]]:
    """Captions of each file, after making sure that no photograph is annotated in two of them."""
    seen: set[int] = set()
    for path, content in _contents(paths):
        annotations = _section(path, content, "annotations", "caption", "image_id")
        images = {annotation["image_id"] for annotation in annotations}
        _refuse_repetition(path, seen & images)
        seen |= images
        yield path, annotations


def _contents(paths: list[Path]) -> Iterable[tuple[Path, dict[str, Any]]]:
    for path in paths:
        with Path(path).open(encoding="utf-8") as handle:
            try:
                content = json.load(handle, object_hook=_without_outlines)
            except ValueError as error:
                raise ValueError(f"{path}: not a readable JSON file ({error}); {remedy(path)}") from error
        if not isinstance(content, dict):
            raise ValueError(
                f"{path}: found a {type(content).__name__}, expected a COCO annotation file; {remedy(path)}"
            )
        yield path, content


def _without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key in _KEPT_KEYS}


def _section(path: Path, content: dict[str, Any], name: str, *keys: str) -> list[dict[str, Any]]:
    """Entries of a section of a COCO file, after making sure that all of them have the keys."""
    entries = content.get(name)
    lacking = [f"'{name}'"] if entries is None else []
    lacking += [f"'{key}' in '{name}'" for key in keys if any(key not in entry for entry in entries or [])]
    if lacking or entries is None:
        raise ValueError(
            f"{path}: lacks {lacking[0]}; captions come from COCO's captions_*.json, objects from its instances_*.json; "
            f"{remedy(path)}"
        )
    return entries


def _refuse_repetition(path: Path, images: set[int]) -> None:
    if images:
        raise ValueError(f"{path}: cocoId {min(images)} stands in an earlier file too; list every annotation file once")


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))
