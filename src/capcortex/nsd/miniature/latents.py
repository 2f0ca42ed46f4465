"""Latents: the numbers behind each image from which responses are mixed, in blocks, never from a sentence encoder."""

import numpy as np
import xarray as xr

from capcortex.nsd.miniature.scenes import PICTURE_ATTRIBUTES, Scene
from capcortex.nsd.miniature.vocabulary import CATEGORIES, MOODS, PEOPLE, SETTINGS, SUPERCATEGORIES

RELATED = 0.4  # how much of a category's feature an image gets when only a category of the same kind is present
RAREST = 5  # images; a rarer feature would, once standardised, single out its few images
Block = dict[str, np.ndarray]


def _table(names: list[str], rows: list[list[float]]) -> Block:
    return dict(zip(names, np.asarray(rows, float).T, strict=True))


def object_features(present: list[set[str]]) -> Block:
    """Return a feature per category: 1 where it is present, less where only a relative is.

    People are left out: they have a block of their own.
    """
    names = [name for name, category in CATEGORIES.items() if category.supercategory != "person"]
    kinds = [{CATEGORIES[name].supercategory for name in categories} for categories in present]
    rows = [
        [1.0 if name in here else RELATED * (CATEGORIES[name].supercategory in kind) for name in names]
        for here, kind in zip(present, kinds, strict=True)
    ]
    block = _table(names, rows)
    count = {name: sum(name in here for here in present) for name in names}
    return {name: values for name, values in block.items() if count[name] >= RAREST}


def scene_blocks(scenes: list[Scene]) -> dict[str, Block]:
    """Return the features of drawn scenes: objects, people, setting, action and mood."""
    kinds = sorted({kind for setting in SETTINGS.values() for kind in setting.kinds})
    actions = sorted({scene.action for scene in scenes})
    return {
        "objects": object_features([set(scene.objects) for scene in scenes]),
        "people": _table(
            ["any", "number", *PEOPLE],
            [[scene.people > 0, np.log1p(scene.people), *(scene.company == who for who in PEOPLE)] for scene in scenes],
        ),
        "setting": _table(
            [*SETTINGS, *kinds],
            [
                [*(scene.setting == name for name in SETTINGS), *(k in SETTINGS[scene.setting].kinds for k in kinds)]
                for scene in scenes
            ],
        ),
        "action": _table(actions, [[scene.action == action for action in actions] for scene in scenes]),
        "mood": _table(list(MOODS), [[scene.mood == mood for mood in MOODS] for scene in scenes]),
    }


def record_blocks(categories: list[list[str]], areas: list[list[float]]) -> dict[str, Block]:
    """Return the features of annotated photographs, in the same blocks, from their categories and areas.

    There is no annotation of place, deed or mood, so these blocks hold what the annotated things tell about them: the
    share of area that each kind of thing covers (setting), the same together with people (action), and how many and how
    various the things are (mood).

    Parameters
    ----------
    categories
        Category of each annotated instance of each image.
    areas
        Area of each instance, px.
    """
    kinds = [kind for kind in SUPERCATEGORIES if kind != "person"]
    people, setting, action, mood = [], [], [], []
    for names, sizes in zip(categories, areas, strict=True):
        size = np.sqrt(np.asarray(sizes, float))
        person = np.asarray([name == "person" for name in names], bool)
        kind = np.asarray([CATEGORIES[name].supercategory for name in names], dtype=str)
        total = max(float(size.sum()), 1.0)
        share = [float(size[kind == k].sum()) / total for k in kinds]
        human = float(size[person].sum()) / total
        largest = float(size[person].max()) if person.any() else 0.0
        people.append([person.any(), np.log1p(person.sum()), human, largest, person.sum() > 2])
        setting.append(share)
        action.append([np.sqrt(s * human) for s in share] + [human * (person.sum() == len(names))])
        mood.append([np.log1p(len(names)), np.log1p(len(set(names))), np.log1p(total / max(len(names), 1))])
    return {
        "objects": object_features([set(names) for names in categories]),
        "people": _table(["any", "number", "share", "largest", "group"], people),
        "setting": _table(kinds, setting),
        "action": _table([f"person with {kind}" for kind in kinds] + ["people alone"], action),
        "mood": _table(["number of things", "variety", "size of things"], mood),
    }


def assemble(blocks: dict[str, Block], attributes: np.ndarray, id73k: np.ndarray) -> xr.Dataset:
    """Standardise the features, give all blocks the same total variance, and label them.

    Parameters
    ----------
    blocks
        Features by block.
    attributes
        (image, attribute) picture attributes, which become the block ``picture``.
    id73k
        (image,) 1-based ids.

    Returns
    -------
    xarray.Dataset
        ``latents`` (id73k, feature) float32 without unit; every block's features have mean 0, equal variance and a
        total variance of 1. Features without variance are left out.
    """
    picture = dict(zip(PICTURE_ATTRIBUTES, attributes.T, strict=True))
    names, owners, columns = [], [], []
    for block, features in {**blocks, "picture": picture}.items():
        varying = {name: values for name, values in features.items() if np.ptp(values) > 0}
        for name, values in varying.items():
            names.append(f"{block}: {name}")
            owners.append(block)
            columns.append((values - values.mean()) / values.std() / np.sqrt(len(varying)))
    data = xr.Dataset(
        {"latents": (("id73k", "feature"), np.column_stack(columns).astype(np.float32))},
        coords={"id73k": np.asarray(id73k, np.int64), "feature": names, "block": ("feature", owners)},
    )
    data["latents"].attrs["long_name"] = "planted features, standardised, each block with total variance 1"
    return data
