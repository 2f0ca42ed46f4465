"""Config files: read strictly, laid over one another as Snakemake does, with the file and line that set a value.

Snakemake merges ``config.yaml``, the files of ``--configfile`` and the values of ``--config``, and forgets where each came from.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[Any, ...]
"""A place in a config: keys of mappings, and positions in lists from 0."""

COMMAND_LINE = "command line (--config)"


class ConfigError(ValueError):
    """Everything that is wrong with a config, one error a line."""


@dataclass(frozen=True)
class Layer:
    """A config file.

    Attributes
    ----------
    name : str
        The file as messages name it.
    values : dict
        What it sets.
    lines : dict
        Line of every key and list item, from 1.
    """

    name: str
    values: dict[Any, Any]
    lines: dict[KeyPath, int]


def read_layers(paths: Sequence[str | Path]) -> list[Layer]:
    """Read config files.

    Parameters
    ----------
    paths
        YAML or JSON, in order of precedence: a later file wins.

    Raises
    ------
    ConfigError
        Naming file and line of what is not YAML, is not a mapping, or is a key that a file holds twice (YAML would silently
        keep the second).
    """
    layers, errors = [], []
    for path in paths:
        try:
            layers.append(_read_layer(Path(path)))
        except ConfigError as error:
            errors.append(str(error))
    if errors:
        raise ConfigError("\n".join(errors))
    return layers


def _read_layer(path: Path) -> Layer:
    full = path.absolute()
    name = str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)
    try:
        text = full.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
        raise ConfigError(f"{name}: {what}") from error
    # Snakemake tries JSON first. It differs from YAML in tabs and in numbers such as 1e-3.
    try:
        from_json = json.loads(text)
        text = text.expandtabs()
    except ValueError:
        from_json = None
    try:
        values, lines = _parse(text, name)
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = name if mark is None else f"{name}:{mark.line + 1}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        tabs = "; indent with spaces, not with tabs" if r"'\t'" in problem else ""
        raise ConfigError(f"{where}: not valid YAML: {problem}{tabs}") from error
    return Layer(name, values if from_json is None else from_json, lines)


def _parse(text: str, name: str) -> tuple[dict[Any, Any], dict[KeyPath, int]]:
    """Return values and lines of a YAML text that is a mapping and sets no key twice."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            found = {yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}.get(type(node), "nothing")
            raise ConfigError(f"{name}: found {found}, expected keys with values, as in config.yaml")
        twice = [
            f"{name}:{second}: {': '.join(keys)}: set twice in this file, first on line {first}; leave one out"
            for keys, first, second in _repeated_keys(node, ())
        ]
        if twice:
            raise ConfigError("\n".join(twice))
        values = loader.construct_document(node)
        # Constructing has put the keys of merges (<<) among the mapping's own.
        return values, dict(_lines(node, (), loader))
    finally:
        loader.dispose()


def _repeated_keys(node: yaml.Node, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, above)
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first:
                yield (*above, name), first[name], line
            first.setdefault(name, line)
            yield from _repeated_keys(value, (*above, name))


def _lines(node: yaml.Node, path: KeyPath, loader: yaml.SafeLoader) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            own = (*path, loader.construct_object(key, deep=True))
            yield own, key.start_mark.line + 1
            yield from _lines(value, own, loader)
    if isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*path, position), item.start_mark.line + 1
            yield from _lines(item, (*path, position), loader)


def lay_over(above: Mapping[Any, Any], below: Any) -> dict[Any, Any]:
    """Lay one config over another as Snakemake's ``update_config`` does: mappings key by key, everything else whole."""
    if not above:
        return below
    merged = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        merged[key] = lay_over(value, merged.get(key, {})) if isinstance(value, Mapping) else value
    return merged


def merge_layers(layers: Sequence[Layer]) -> dict[Any, Any]:
    """Merge the study's own config file, the first, with overlays exactly as Snakemake does.

    Snakemake merges the overlays, lays the study's own file over them, and then them over it: their keys come first.
    """
    own, *overlays = (layer.values for layer in layers)
    changes: dict[Any, Any] = reduce(lambda below, above: lay_over(above, below), overlays, {})
    return lay_over(changes, lay_over(own, changes))


def locate(config: Mapping[Any, Any], path: KeyPath, layers: Sequence[Layer]) -> tuple[int, int, str]:
    """Find where a value of a merged config was set.

    Parameters
    ----------
    config
        The merged config.
    path
        Place of the value. Of a key that is missing, the place where it should be.
    layers
        The files that were merged, in order of precedence: a later one wins.

    Returns
    -------
    layer, line, name : int, int, str
        Position in ``layers`` (their number for the command line), line (0 for a whole file), and both in words. A value that
        no file set came from the command line. A missing key is placed in the first file that could hold it.
    """
    # Lists are set whole: what counts is the value that lies within mappings only.
    value: Any = config
    depth = 0
    while depth < len(path) and isinstance(value, Mapping) and path[depth] in value:
        value = value[path[depth]]
        depth += 1
    key = path[:depth]
    missing = depth < len(path) and isinstance(value, Mapping)
    holders = [number for number, layer in enumerate(layers) if not key or key in layer.lines]
    if missing:
        holders = [number for number in holders if path[: depth + 1] not in layers[number].lines][:1]
    if holders and (missing or isinstance(value, Mapping) or repr(_value(layers[holders[-1]], key)) == repr(value)):
        lines = layers[holders[-1]].lines
        line = lines.get(path, lines.get(key, 0))
        return holders[-1], line, layers[holders[-1]].name + (f":{line}" if line else "")
    return len(layers), 0, COMMAND_LINE if layers else "config"


def _value(layer: Layer, key: KeyPath) -> Any:
    return reduce(lambda value, part: value[part], key, layer.values)
