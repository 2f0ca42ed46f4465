"""Scenes: what is there, who is there, where, what goes on and in what mood, drawn before any word or picture exists.

Beside the scene each picture gets *picture attributes* from an independent draw: nothing in a scene tells them.
"""

from dataclasses import dataclass, field

import numpy as np

from capcortex.nsd.miniature.vocabulary import (
    CATEGORIES,
    DEFAULT_OWN_ACTIONS,
    DEFAULT_PEOPLE_ACTIONS,
    MOODS,
    OWN_ACTIONS,
    PEOPLE,
    PEOPLE_ACTIONS,
    SETTINGS,
)

PICTURE_ATTRIBUTES = (
    "brightness",
    "contrast",
    "warmth",
    "greenness",
    "saturation",
    "clutter",
    "orientation_cosine",
    "orientation_sine",
    "spatial_frequency",
    "texture",
    "blur",
    "vignette",
)
EMPTY_SHARE = 0.01
MOOD_WEIGHTS = {
    "sport": (0.3, 0.1, 0.15, 0.4, 0.05),
    "traffic": (0.1, 0.25, 0.4, 0.1, 0.15),
    "indoor": (0.3, 0.4, 0.15, 0.0, 0.15),
    "outdoor": (0.3, 0.4, 0.1, 0.0, 0.2),
}


@dataclass
class Scene:
    """What one image shows.

    ``objects`` maps category to number of instances (people apart), the first being what the scene is about;
    ``wording`` are the ways to say the action.
    """

    setting: str = ""
    objects: dict[str, int] = field(default_factory=dict)
    company: str = ""
    people: int = 0
    action: str = "still"
    mood: str = ""
    wording: list[str] = field(default_factory=list)

    @property
    def focus(self) -> str:
        """The category that the scene is about, empty when nothing is annotated."""
        return next(iter(self.objects), "")


def _pick(random: np.random.Generator, weighted: str) -> str:
    options = weighted.split(",")
    return options[int(random.integers(len(options)))]


def _mood_weights(kinds: tuple[str, ...]) -> tuple[float, ...]:
    return next(weights for kind, weights in MOOD_WEIGHTS.items() if kind in kinds)


def draw_scene(random: np.random.Generator, *, empty: bool) -> Scene:
    """Draw one scene: setting first, then what is found and done there.

    Parameters
    ----------
    random
        Source of randomness, consumed.
    empty
        Draw a place with nobody and nothing in it that COCO would annotate.
    """
    name = list(SETTINGS)[int(random.integers(len(SETTINGS)))]
    setting = SETTINGS[name]
    mood = list(MOODS)[int(random.choice(len(MOODS), p=_mood_weights(setting.kinds)))]
    if empty:
        return Scene(setting=name, mood="calm" if mood in ("busy", "intense") else mood)
    focus = _pick(random, setting.focus)
    scene = Scene(setting=name, mood=mood)
    alone = CATEGORIES[focus].supercategory in ("sports", "accessory")
    if random.random() < (0.97 if alone and setting.people > 0.3 else setting.people):
        scene.company = list(PEOPLE)[int(random.choice(len(PEOPLE), p=(0.28, 0.24, 0.1, 0.08, 0.1, 0.07, 0.13)))]
        scene.people = int(random.integers(PEOPLE[scene.company].least, PEOPLE[scene.company].most + 1))
        actions = PEOPLE_ACTIONS.get(focus, DEFAULT_PEOPLE_ACTIONS)
        scene.objects[focus] = 1 if random.random() < 0.8 else int(random.integers(2, 4))
    else:
        actions = OWN_ACTIONS.get(focus, DEFAULT_OWN_ACTIONS)
        scene.objects[focus] = 1 if random.random() < 0.55 else int(random.integers(2, 6))
    scene.action, scene.wording = actions[int(random.integers(len(actions)))]
    for _ in range(int(random.integers(0, 5))):
        extra = _pick(random, setting.extras)
        if extra != focus:
            scene.objects[extra] = min(scene.objects.get(extra, 0) + int(random.integers(1, 3)), 5)
    return scene


def draw_scenes(random: np.random.Generator, count: int) -> list[Scene]:
    """Draw ``count`` scenes, about one in a hundred (at least one) without any annotated category."""
    empty = np.zeros(count, bool)
    empty[random.choice(count, max(1, round(EMPTY_SHARE * count)), replace=False)] = True
    return [draw_scene(random, empty=bool(flag)) for flag in empty]


def draw_picture_attributes(random: np.random.Generator, count: int) -> np.ndarray:
    """Draw the picture attributes of each image, independent of its scene and of one another.

    Returns
    -------
    numpy.ndarray
        (image, attribute) float64 in the order of `PICTURE_ATTRIBUTES`: uniform between -1 and 1, apart from the
        orientation, which is an axis at a uniform angle, given as cosine and sine of twice the angle.
    """
    values = random.uniform(-1, 1, (count, len(PICTURE_ATTRIBUTES)))
    twice = random.uniform(0, 2 * np.pi, count)
    values[:, PICTURE_ATTRIBUTES.index("orientation_cosine")] = np.cos(twice)
    values[:, PICTURE_ATTRIBUTES.index("orientation_sine")] = np.sin(twice)
    return values
