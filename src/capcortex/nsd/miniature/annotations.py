"""COCO's side of the images: ids, sizes, boxes of things, and the four annotation files.

The files hold the images in an order of their own, so that only the COCO id can join them to NSD's tables.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capcortex.files import atomic_path
from capcortex.nsd import layout
from capcortex.nsd.miniature.vocabulary import CATEGORIES

SIZES = ((640, 480), (640, 427), (480, 640), (427, 640), (500, 375), (640, 640))  # width, height in px
LARGEST_COCO_ID = 581_929
VALIDATION_SHARE = 0.04
INFO = {
    "description": "Made-up annotations in the format of COCO 2017",
    "url": "http://cocodataset.org",
    "version": "1.0",
    "year": 2017,
    "contributor": "miniature NSD",
    "date_created": "2017/09/01",
}
LICENSES = [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}]


@dataclass(frozen=True)
class Instance:
    """One annotated thing: its category, box (x, y, width, height in px) and area in px."""

    category: str
    box: tuple[float, float, float, float]
    area: float


@dataclass
class Photograph:
    """What COCO knows of one image."""

    coco_id: int
    split: str
    width: int
    height: int
    captions: list[str]
    instances: list[Instance]


def draw_coco_ids(random: np.random.Generator, count: int) -> np.ndarray:
    """Return ``count`` different ids in no order."""
    return random.choice(LARGEST_COCO_ID, count, replace=False) + 1


def draw_splits(random: np.random.Generator, count: int) -> list[str]:
    """Return COCO's part of each image, at least one in the smaller part."""
    validation = np.zeros(count, bool)
    validation[random.choice(count, max(1, round(VALIDATION_SHARE * count)), replace=False)] = True
    return [layout.SPLITS[int(flag)] for flag in validation]


def place(
    random: np.random.Generator, categories: list[str], areas: list[float] | None, *, width: int, height: int
) -> list[Instance]:
    """Give every thing a box within the image.

    Parameters
    ----------
    random
        Source of randomness, consumed.
    categories
        Category of each instance, what matters most first.
    areas
        Known areas in px; drawn when None, larger for the first instance.
    width, height
        Size of the image, px.
    """
    instances = []
    for number, category in enumerate(categories):
        share = random.uniform(0.08, 0.3) if number == 0 else random.uniform(0.01, 0.08)
        area = min(areas[number] if areas else share * width * height, 0.95 * width * height)
        w = min(np.sqrt(area) * random.uniform(0.7, 1.4), 0.98 * width)
        h = min(area / w, 0.98 * height)
        box = (random.uniform(0, width - w), random.uniform(0, height - h), w, h)
        x, y, w, h = (round(float(side), 2) for side in box)
        instances.append(Instance(category, (x, y, w, h), float(areas[number]) if areas else round(w * h, 4)))
    return instances


def _image(photograph: Photograph) -> dict[str, Any]:
    name = f"{photograph.coco_id:012d}.jpg"
    return {
        "license": 4,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/{photograph.split}/{name}",
        "height": photograph.height,
        "width": photograph.width,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm7.staticflickr.com/0000/{photograph.coco_id}_z.jpg",
        "id": photograph.coco_id,
    }


def _run_lengths(instance: Instance, width: int, height: int) -> list[int]:
    """Return COCO's uncompressed code of a box: run lengths of 0 and 1 in turn, down the columns."""
    x, y, w, h = (round(side) for side in instance.box)
    w, h = max(min(w, width - x), 1), max(min(h, height - y), 1)
    counts = [x * height + y, h]
    for _ in range(w - 1):
        counts += [height - h, h]
    return [*counts, width * height - sum(counts)]


def _instance(instance: Instance, photograph: Photograph, identifier: int, *, crowd: bool) -> dict[str, Any]:
    x, y, w, h = instance.box
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    code = {
        "counts": _run_lengths(instance, photograph.width, photograph.height) if crowd else [],
        "size": [photograph.height, photograph.width],
    }
    return {
        "segmentation": code if crowd else [[round(side, 2) for side in polygon]],
        "area": instance.area,
        "iscrowd": int(crowd),
        "image_id": photograph.coco_id,
        "bbox": list(instance.box),
        "category_id": CATEGORIES[instance.category].id,
        "id": identifier,
    }


def write_annotations(root: Path, photographs: list[Photograph], random: np.random.Generator) -> None:
    """Write captions and instances of both parts, images and annotations each in a random order.

    The first thing of one image is annotated as a crowd, with run lengths in place of a polygon.
    """
    order = [photographs[i] for i in random.permutation(len(photographs))]
    crowd = next((p.coco_id for p in order if p.instances and p.split == layout.SPLITS[0]), None)
    for split in layout.SPLITS:
        members = [photograph for photograph in order if photograph.split == split]
        images = [_image(photograph) for photograph in members]
        said = [(photograph, text) for photograph in members for text in photograph.captions]
        found = [
            (photograph, instance, photograph.coco_id == crowd and position == 0)
            for photograph in members
            for position, instance in enumerate(photograph.instances)
        ]
        names = random.permutation(len(said) + len(found)) + 1
        captions = [
            {"image_id": photograph.coco_id, "id": int(name), "caption": text}
            for name, (photograph, text) in zip(names, said, strict=False)
        ]
        instances = [
            _instance(instance, photograph, int(name), crowd=is_crowd)
            for name, (photograph, instance, is_crowd) in zip(names[len(said) :], found, strict=True)
        ]
        # Captions of one image stay in the order in which they were given; the images are mixed.
        captions = [captions[i] for i in _mix(random, [c["image_id"] for c in captions])]
        instances = [instances[i] for i in random.permutation(len(instances))]
        categories = [{"supercategory": c.supercategory, "id": c.id, "name": c.name} for c in CATEGORIES.values()]
        head = {"info": INFO, "licenses": LICENSES, "images": images}
        _dump(head | {"annotations": captions}, root / layout.annotations("captions", split))
        _dump(
            head | {"annotations": instances, "categories": categories}, root / layout.annotations("instances", split)
        )


def _mix(random: np.random.Generator, owners: list[int]) -> np.ndarray:
    """Return an order that interleaves the owners at random but keeps each owner's own entries in sequence."""
    order = random.permutation(len(owners))
    shuffled = np.asarray(owners)[order]
    mixed = np.empty(len(owners), int)
    mixed[np.argsort(shuffled, kind="stable")] = np.argsort(owners, kind="stable")
    return mixed


def _dump(content: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
