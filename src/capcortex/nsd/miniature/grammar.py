"""Captions: five annotators phrase a scene, each in own words and with own choice of details."""

import re

import numpy as np

from capcortex.nsd.miniature.scenes import Scene
from capcortex.nsd.miniature.vocabulary import (
    MOODS,
    PEOPLE,
    PLURAL_COMPANY,
    PLURALS,
    SETTINGS,
    SINGULAR_PHRASES,
    SYNONYMS,
)

SHORTEST, LONGEST = 7, 20
NUMBERS = {2: ["two", "a pair of", "a couple of"], 3: ["three", "several"], 4: ["four", "several"], 5: ["five", "many"]}
ADJECTIVES = ("large", "small", "big", "little")


def _choose(random: np.random.Generator, options: list[str] | tuple[str, ...]) -> str:
    return options[int(random.integers(len(options)))]


def things(random: np.random.Generator, category: str, count: int, *, adjective: bool = False) -> str:
    """Return a noun phrase for some instances of a category, for example ``two bikes``."""
    noun = _choose(random, SYNONYMS.get(category, [category]))
    word = _choose(random, ADJECTIVES) + " " if adjective else ""
    if count == 1:
        return SINGULAR_PHRASES.get(category) or f"a {word}{noun}"
    return f"{_choose(random, NUMBERS[min(count, 5)])} {word}{PLURALS.get(noun, noun + 's')}"


def _listed(phrases: list[str]) -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _empty_place(random: np.random.Generator, scene: Scene) -> str:
    setting = SETTINGS[scene.setting]
    adjective = _choose(random, MOODS[scene.mood].adjectives)
    view = _choose(random, setting.view)
    frames = (
        f"An empty {setting.noun} with {view} and no people",
        f"A {adjective} {setting.noun} with {view}",
        f"A view of a {adjective} {setting.noun} with {view}",
        f"There is nobody in this {adjective} {setting.noun} with {view}",
    )
    return _choose(random, frames)


def _sentence(random: np.random.Generator, scene: Scene, details: float) -> str:
    """Phrase a scene once; ``details`` is the readiness (0 to 1) to mention what is not essential."""
    if not scene.focus:
        return _empty_place(random, scene)
    setting, mood = SETTINGS[scene.setting], MOODS[scene.mood]
    adjective = random.random() < 0.15
    thing = things(random, scene.focus, scene.objects[scene.focus], adjective=adjective)
    if scene.people:
        subject = _choose(random, PEOPLE[scene.company].phrases)
        doing = _choose(random, scene.wording).format(o=thing)
        verb = "are" if scene.company in PLURAL_COMPANY and subject != "a child" else "is"
    else:
        subject, doing = thing, _choose(random, scene.wording)
        verb = "are" if scene.objects[scene.focus] > 1 or scene.focus in ("skis", "scissors") else "is"
    tells_mood = random.random() < 0.6 * details
    by_place = bool(random.integers(2))
    place = _choose(random, setting.places).format(
        m=_choose(random, mood.adjectives) + " " if tells_mood and by_place else ""
    )
    closing = ""
    if tells_mood and not by_place:
        closing = " " + _choose(random, mood.people if scene.people else mood.things)
    others = [name for name in scene.objects if name != scene.focus]
    order = random.permutation(len(others))[: int(random.integers(1, 4))]
    company = ""
    if others and random.random() < details:
        named = _listed([things(random, others[i], scene.objects[others[i]]) for i in order])
        company = " " + _choose(random, ("with {x}", "next to {x}", "near {x}", "with {x} nearby")).format(x=named)
    if random.random() > 0.35 + 0.6 * details:
        place = ""
    where = f" {place}" if place else ""
    frames = [
        f"{subject} {doing}{where}{company}{closing}",
        f"{subject} {verb} {doing}{where}{company}{closing}",
        f"{subject} {doing}{company}{where}{closing}",
        f"there {verb} {subject} {doing}{where}{company}{closing}",
    ]
    if place:
        frames.append(f"{place} {subject} {verb} {doing}{company}{closing}")
        frames.append(f"a picture of {subject} {doing}{where}{company}")
    return _choose(random, frames)


def polish(sentence: str) -> str:
    """Mend the articles, close up the blanks and begin with a capital."""
    sentence = re.sub(r"\s+", " ", sentence).strip()
    sentence = re.sub(r"\b([Aa]) (?=[aeio]|umbrella)", r"\1n ", sentence)
    sentence = re.sub(r"\b([Aa])n (?=[^aeiou])", r"\1 ", sentence)
    return sentence[0].upper() + sentence[1:] + "."


def caption(random: np.random.Generator, scene: Scene) -> str:
    """Return one annotator's sentence of 7 to 20 words."""
    details = float(random.uniform(0.35, 1.0))
    sentence = ""
    for attempt in range(40):
        sentence = polish(_sentence(random, scene, details))
        words = len(sentence.split())
        if SHORTEST <= words <= LONGEST:
            return sentence
        details = min(1.0, details + 0.1) if words < SHORTEST else max(0.0, details - 0.05 * attempt)
    return polish(sentence[:-1] + " in this picture taken by someone") if words < SHORTEST else sentence


def habits(random: np.random.Generator, sentence: str) -> str:
    """Spell a caption as people type: sometimes without full stop, with stray blanks, or without a capital."""
    if random.random() < 0.25:
        sentence = sentence[:-1]
    if random.random() < 0.1:
        sentence = sentence[0].lower() + sentence[1:]
    elif random.random() < 0.02:
        sentence = sentence.upper()
    return sentence + " " if random.random() < 0.1 else sentence


def write_captions(random: np.random.Generator, scenes: list[Scene]) -> list[list[str]]:
    """Return the captions of each scene: five, for about one image in a hundred six or seven.

    One caption of the whole set holds a newline, as a few of COCO's do.
    """
    counts = np.full(len(scenes), 5)
    many = random.choice(len(scenes), max(1, round(0.01 * len(scenes))), replace=False)
    counts[many] = random.integers(6, 8, len(many))
    captions = [
        [habits(random, caption(random, scene)) for _ in range(count)]
        for scene, count in zip(scenes, counts, strict=True)
    ]
    broken = captions[int(random.integers(len(captions)))]
    broken[0] = broken[0].replace(" ", "\n", 1)
    return captions
