"""Real captions: read annotated photographs from a file instead of drawing scenes."""

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capcortex.nsd.miniature.vocabulary import CATEGORIES


@dataclass
class Record:
    """One photograph with its captions and its annotated instances (category and area in px each)."""

    coco_id: int
    captions: list[str]
    categories: list[str] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)


def _load(path: Path) -> Any:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as handle:
        return json.load(handle)


def _from_coco(path: Path, content: dict[str, Any]) -> list[Record]:
    sibling = path.with_name(path.name.replace("captions", "instances"))
    if sibling == path or not sibling.is_file():
        raise ValueError(f"{path}: a COCO captions file needs its instances file beside it; looked for {sibling}")
    instances = _load(sibling)
    names = {category["id"]: category["name"] for category in instances["categories"]}
    captions: dict[int, list[str]] = defaultdict(list)
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    for annotation in instances["annotations"]:
        found[annotation["image_id"]].append(annotation)
    return [
        Record(
            coco_id=int(image["id"]),
            captions=captions[image["id"]],
            categories=[names[annotation["category_id"]] for annotation in found[image["id"]]],
            areas=[float(annotation["area"]) for annotation in found[image["id"]]],
        )
        for image in content["images"]
    ]


def _from_list(path: Path, content: list[dict[str, Any]]) -> list[Record]:
    wanted = ("cocoId", "captions", "categories", "areas")
    for number, entry in enumerate(content, start=1):
        missing = [key for key in wanted if key not in entry]
        if missing:
            raise ValueError(f"{path}: record {number} lacks {', '.join(missing)}")
    return [Record(int(e["cocoId"]), list(e["captions"]), list(e["categories"]), list(e["areas"])) for e in content]


def read_records(path: Path) -> list[Record]:
    """Read photographs with captions and annotations.

    Parameters
    ----------
    path
        A JSON list of records (``cocoId``, ``captions``, ``categories``, ``areas``; may be gzipped), or COCO's
        ``captions_*.json`` with ``instances_*.json`` beside it.

    Raises
    ------
    ValueError
        If the file is of neither kind, a record is incomplete, or a category is not one of COCO's.
    """
    content = _load(path)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        records = _from_coco(path, content)
    elif isinstance(content, list):
        records = _from_list(path, content)
    else:
        raise ValueError(f"{path}: neither a list of records nor a COCO captions file")
    seen: set[int] = set()
    for record in records:
        strange = sorted(set(record.categories) - CATEGORIES.keys())
        if strange or len(record.categories) != len(record.areas):
            raise ValueError(
                f"{path}: cocoId {record.coco_id}: {len(record.categories)} categories and {len(record.areas)} areas"
                + (f"; not a category of COCO: {', '.join(strange)}" if strange else "")
            )
        if not record.captions or record.coco_id in seen:
            raise ValueError(f"{path}: cocoId {record.coco_id} " + ("twice" if record.captions else "without caption"))
        seen.add(record.coco_id)
    return records
