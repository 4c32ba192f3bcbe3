"""YAML files that users and collections give: of bounded size and depth, every key once.

All values are read as text: YAML would turn a song called *No* into false and one called *1979* into a number. That
also takes away what makes YAML from strangers dangerous (tags, merged keys); what remains is bounded in size and in
nesting, and nothing here expands a chain of aliases.
"""

from pathlib import Path
from typing import Any

import yaml

from graphmix.errors import SongError
from graphmix.io import MAX_TEXT_BYTES, read_text

MAX_NESTING = 16
"""Metadata of MedleyDB nests five deep; libyaml's own recursion is on the C stack."""
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(path: Path, most: int = MAX_TEXT_BYTES, unique: bool = True) -> Any:
    """Content of a YAML file, in block or flow style: texts, lists and dicts only.

    Args:
        path: the file.
        most: largest size in bytes.
        unique: whether a key that a mapping has twice is an error.

    Raises:
        SongError: it cannot be read, is too large or too deep, is not YAML, or has a key twice in one mapping.
    """
    text = read_text(path, most, SongError)
    try:
        _refuse_deep(text, path)
        return yaml.load(text, Loader=_UniqueLoader if unique else _LOADER)
    except (yaml.YAMLError, RecursionError, TypeError) as error:  # TypeError: a list as a key
        reason = str(getattr(error, "problem", None) or "too deeply nested or not of names")
        raise SongError(f"{path} cannot be read as YAML ({reason}): correct it, or copy it again.") from error


class _UniqueLoader(_LOADER):  # type: ignore[misc]
    """Refuses a mapping that has a key twice, of which the last would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(problem=f"the key '{twice}' is there twice in one place")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _refuse_deep(text: str, path: Path) -> None:
    """Follow the events of the parser, which does not recurse, before the loader, which does."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise SongError(f"{path} is nested more than {MAX_NESTING} deep: is it the right file?")
