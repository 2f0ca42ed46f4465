"""Pictures: a small drawing of each image's things, then changed by its picture attributes.

The drawing is only as good as it must be: things and people are plain shapes at their places, the ground and horizon
tell the kind of place. What matters is that picture attributes show in pixels and scenes in shapes.
"""

import numpy as np

from capcortex.nsd.miniature.annotations import Instance
from capcortex.nsd.miniature.scenes import PICTURE_ATTRIBUTES
from capcortex.nsd.miniature.vocabulary import CATEGORIES, SUPERCATEGORIES

SIZE = 64
GROUNDS = {
    "indoor": ((196, 186, 170), (140, 116, 96)),
    "water": ((170, 196, 214), (96, 140, 166)),
    "nature": ((178, 198, 208), (112, 146, 92)),
    "sport": ((176, 192, 204), (128, 150, 104)),
    "urban": ((184, 190, 196), (120, 120, 122)),
}
_AXIS = np.linspace(-1, 1, SIZE, dtype=np.float32)
_DOWN, _ACROSS = np.meshgrid(_AXIS, _AXIS, indexing="ij")


def _draw(instances: list[Instance], width: int, height: int, kinds: tuple[str, ...]) -> np.ndarray:
    from PIL import Image, ImageDraw

    above, below = next((colours for kind, colours in GROUNDS.items() if kind in kinds), GROUNDS["urban"])
    image = Image.new("RGB", (SIZE, SIZE), above)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, int(0.55 * SIZE), SIZE, SIZE), fill=below)
    for instance in sorted(instances, key=lambda one: -one.area):
        x, y, w, h = instance.box
        left, top = x / width * SIZE, y / height * SIZE
        right, bottom = left + max(w / width * SIZE, 2), top + max(h / height * SIZE, 2)
        category = CATEGORIES[instance.category]
        tone = 40 + 173 * SUPERCATEGORIES.index(category.supercategory) // len(SUPERCATEGORIES)
        colour = (tone, (category.id * 53) % 200 + 20, (category.id * 97) % 200 + 20)
        if category.supercategory == "person":
            neck = top + 0.25 * (bottom - top)
            draw.ellipse((left + 0.25 * (right - left), top, right - 0.25 * (right - left), neck), fill=(214, 170, 140))
            draw.rectangle((left, neck, right, bottom), fill=colour)
        elif category.supercategory in ("animal", "food", "sports"):
            draw.ellipse((left, top, right, bottom), fill=colour, outline=(20, 20, 20))
        else:
            draw.rectangle((left, top, right, bottom), fill=colour, outline=(20, 20, 20))
    return np.asarray(image, np.float32) / 255


def render(
    random: np.random.Generator,
    instances: list[Instance],
    attributes: np.ndarray,
    *,
    width: int,
    height: int,
    kinds: tuple[str, ...],
) -> np.ndarray:
    """Draw one picture.

    Parameters
    ----------
    random
        Source of randomness for texture phase and specks, consumed.
    instances
        Things and people with their boxes in an image of ``width`` by ``height`` px.
    attributes
        (attribute,) in the order of `PICTURE_ATTRIBUTES`, each from -1 to 1.
    width, height
        Size of the annotated image, px.
    kinds
        What kind of place it is, see ``vocabulary.Setting``.

    Returns
    -------
    numpy.ndarray
        (64, 64, 3) uint8, RGB.
    """
    value = dict(zip(PICTURE_ATTRIBUTES, attributes, strict=True))
    picture = _draw(instances, width, height, kinds)
    specks = int(60 * (1 + value["clutter"]))
    picture[random.integers(SIZE, size=specks), random.integers(SIZE, size=specks)] = random.random((specks, 3))
    angle = np.arctan2(value["orientation_sine"], value["orientation_cosine"]) / 2
    cycles = 4.0 * 2.0 ** value["spatial_frequency"]
    wave = np.sin(np.pi * cycles * (np.cos(angle) * _ACROSS + np.sin(angle) * _DOWN) + random.uniform(0, 2 * np.pi))
    picture += np.float32(0.08 + 0.06 * value["texture"]) * wave[..., None]
    smooth = np.float32(0.5 * (1 + value["blur"]))
    near = (np.roll(picture, 1, 0) + np.roll(picture, -1, 0) + np.roll(picture, 1, 1) + np.roll(picture, -1, 1)) / 4
    picture += smooth * (near - picture)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + np.float32(1 + 0.6 * value["saturation"]) * (picture - grey)
    picture += np.asarray((0.08, 0, -0.08), np.float32) * np.float32(value["warmth"])
    picture += np.asarray((-0.03, 0.06, -0.03), np.float32) * np.float32(value["greenness"])
    picture = 0.5 + np.float32(1 + 0.4 * value["contrast"]) * (picture - picture.mean())
    picture *= 1 - np.float32(0.2 * (1 + value["vignette"])) * (_ACROSS**2 + _DOWN**2)[..., None] / 2
    picture += np.float32(0.2 * value["brightness"])
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
