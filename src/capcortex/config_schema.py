"""The schema of the config in words, and what is wrong with a config that does not keep to it."""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from capcortex.config_files import KeyPath

DOCUMENTATION = "docs/configuration.md"

_WORDS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
}
LONGEST_FOUND = 100


@dataclass(frozen=True)
class Problem:
    """Something wrong with a config: its place, and what was found, what is expected and what to do."""

    path: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{describe_path(self.path)}: {self.message}"


@dataclass(frozen=True)
class Renamed:
    """A key that an older version knew: the key that took its place, since which version, and what changed."""

    key: KeyPath
    version: str
    change: str


def describe_path(path: KeyPath) -> str:
    """Write a place in a config as messages and documents do: ``searchlight: contrasts: item 1``."""
    return ": ".join(f"item {part + 1}" if isinstance(part, int) else str(part) for part in path)


def describe_value(value: Any) -> str:
    """Write a value of a config as YAML has it, cut short."""
    words = {None: "nothing (null)", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST_FOUND else f"{text[:LONGEST_FOUND]}..."


def allowed(part: Mapping[str, Any]) -> str:
    """Say in words which values a part of the schema allows: type, range and unit, or the words to choose from."""
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    kind = next(name for name in kinds if name != "null")
    words = [_WORDS[kind]]
    if kind == "array":
        words[0] = f"{'a pair' if part.get('maxItems') == 2 else 'a list'} of {part['items']['title']}"
        if part.get("minItems") == 1:
            words.append("at least one")
        if part.get("uniqueItems"):
            words.append("none twice")
    if kind == "object":
        several = part.get("additionalProperties")
        keys = f", each key with {allowed(several)}" if several else f" with the keys {', '.join(part['properties'])}"
        words[0] += ", at least one key" * ("minProperties" in part) + keys
    if "minimum" in part and "maximum" in part:
        words.append(f"from {part['minimum']} to {part['maximum']}")
    elif "minimum" in part:
        words.append(f"from {part['minimum']}")
    if "exclusiveMinimum" in part:
        words.append(f"above {part['exclusiveMinimum']}")
    if "exclusiveMaximum" in part:
        words.append(f"below {part['exclusiveMaximum']}")
    text = ", ".join(words)
    if part.get("unit", "none") != "none":
        text += f" (unit: {part['unit']})"
    return f"{text}, or null" if "null" in kinds else text


def parts_of(schema: Mapping[str, Any], above: KeyPath = ()) -> dict[KeyPath, Mapping[str, Any]]:
    """Return the part of the schema of every key that has a name, by its place."""
    found: dict[KeyPath, Mapping[str, Any]] = {}
    for key, part in schema.get("properties", {}).items():
        found |= {(*above, key): part} | parts_of(part, (*above, key))
        named = part.get("additionalProperties")
        if named and "properties" in named:
            found |= parts_of(named, (*above, key, named["title"]))
    return found


def _is_number(_checker: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON's schema takes 100.0 for a whole number and lets .nan and .inf pass for any range.
_types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many({"number": _is_number, "integer": _is_integer})
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_types)


def find_problems(
    config: Mapping[str, Any], schema: Mapping[str, Any], renamed: Mapping[KeyPath, Renamed], version: str
) -> list[Problem]:
    """Find everything in which a config differs from its schema.

    Parameters
    ----------
    config
        The merged config.
    schema
        JSON schema whose every key has a ``description``.
    renamed
        Keys of older versions, by their old place.
    version
        Version of the study, of which the config is to be.

    Returns
    -------
    list of Problem
        One for each value that is not allowed, each unknown and each missing key.
    """
    known = parts_of(schema)
    found: dict[KeyPath, Problem] = {}
    for error in _Validator(schema).iter_errors(config):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            for key in set(error.instance) - set(error.schema["properties"]):
                problem = Problem((*path, key), _unknown_key((*path, key), known, renamed, version))
                found[problem.path] = problem
        elif error.validator == "required":
            new = {entry.key for old, entry in renamed.items() if is_set(config, old)}
            for missing in ((*path, key) for key in error.validator_value if key not in error.instance):
                if missing not in new:
                    part = error.schema["properties"][missing[-1]]
                    what = f"missing, expected {allowed(part)}. {part['description']}"
                    found[missing] = Problem(missing, f"{what} Copy its lines from config.yaml of version {version}.")
        else:
            position = _second_of_two(error.instance) if error.validator == "uniqueItems" else None
            value = error.instance if position is None else error.instance[position]
            twice = "" if position is None else " twice"
            expected = f"expected {allowed(error.schema)}. {_meaning(schema, path)}"
            place = path if position is None else (*path, position)
            found[place] = Problem(
                place, f"found {describe_value(value)}{twice}, {expected}{_advice(value, error.schema)}"
            )
    return list(found.values())


def nearest(name: str, known: list[str]) -> str:
    """Return the known name that is most like a name."""
    return max(known, key=lambda other: _likeness(name, other))


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(a=other, b=name).ratio()


def _unknown_key(
    path: KeyPath,
    known: Mapping[KeyPath, Mapping[str, Any]],
    renamed: Mapping[KeyPath, Renamed],
    version: str,
) -> str:
    if path in renamed:
        new = renamed[path]
        return f"is now {describe_path(new.key)!r}, since version {new.version}: {new.change}"
    elsewhere = [other for other in known if other[-1] == path[-1]]
    if elsewhere:
        places = " and ".join(
            repr(describe_path(other)) + ("" if other[1:] else " at the top level") for other in elsewhere
        )
        here = f"in {describe_path(path[:-1])}" if path[1:] else "at the top level"
        return f"unknown key {here}; it is known as {places}"
    # In a family, whose name is the user's, only the keys of families can be meant.
    families = [other for other in known if len(other) == len(path) > 2 and other[: len(path) - 2] == path[:-2]]
    near = max(families or known, key=lambda other: (_likeness(str(path[-1]), other[-1]), other[:-1] == path[:-1]))
    return (
        f"unknown key; the nearest known key is {describe_path(near)!r} "
        f"({DOCUMENTATION} explains every key of version {version})"
    )


def is_set(config: Any, path: KeyPath) -> bool:
    """Whether a config has a key."""
    for key in path:
        if not isinstance(config, Mapping) or key not in config:
            return False
        config = config[key]
    return True


def _second_of_two(items: list[Any]) -> int:
    return next(position for position, item in enumerate(items) if item in items[:position])


def _meaning(schema: Mapping[str, Any], path: KeyPath) -> str:
    """Return the description of a place, or of the nearest one above that has one."""
    meaning = ""
    for part in path:
        schema = schema.get("items") or schema.get("properties", {}).get(part) or schema["additionalProperties"]
        meaning = schema.get("description", meaning)
    return meaning


def _advice(value: Any, part: Mapping[str, Any]) -> str:
    """Say what to know where a value looks allowed on the page and is not."""
    kinds = part.get("type", ())
    if value in ("null", "None") and "null" in kinds:
        return " Write null without quotes in a file, and KEY= with nothing after it on the command line."
    if isinstance(value, str) and {"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds):
        try:
            float(value)
        except ValueError:
            return ""
        return " A number in quotes is text to YAML, one like 1e-3 too (write 0.001), and all within the braces of --config."
    return ""


def find_unknown_name(name: str, known: list[str], where: str) -> Iterator[str]:
    """Say that a name is not among the known ones of a table or list, which one is nearest, and which there are."""
    if name not in known:
        names = f"nearest: {nearest(name, known)!r}; known: {', '.join(known)}" if known else "it names none"
        yield f"{name!r} is not in {where}; {names}"
