"""YAML that remembers its lines, so that a message about a key can name file and line. Plain data only, no aliases."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import yaml

from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible

_DEEPEST = 30

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """``data`` is plain YAML data; ``line_of`` the line (from 1) of each key or item, by its path."""

    name: str
    data: object
    line_of: dict[Path, int]

    def where(self, path: Path) -> str:
        """Given a path, return ``FILE:LINE``, of the nearest place that has one."""
        while path and path not in self.line_of:
            path = path[:-1]
        return f"{self.name}:{self.line_of.get(path, 1)}"


def parse(text: str, name: str) -> Located:
    """Given YAML text and the name of its file, return its data with lines.

    Raise UsageError naming file and line when it is no YAML, has aliases (a small file could unfold without end),
    a key twice, or a tag.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line if event.start_mark else 0
            if isinstance(event, yaml.AliasEvent):
                raise _error(name, line, "aliases are not read", "write the value out")
            # A tag chooses a constructor that the text need not fit (!!timestamp soon).
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                hint = "use plain text, numbers and lists"
                raise _error(name, line, f"{visible(event.tag)} cannot be read: a tag is not read here", hint)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(
            name, mark.line if mark else 0, f"this is no YAML: {error.problem}", "mind the indentation"
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _error(name, 0, "this is no YAML that can be read", "is it a text file?") from error
    lines: dict[Path, int] = {}
    return Located(name, None if node is None else _data(node, (), name, lines), lines)


def _data(node: yaml.Node, path: Path, name: str, lines: dict[Path, int]) -> object:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > _DEEPEST:
        raise _error(name, node.start_mark.line, "nested too deeply", "")
    if isinstance(node, yaml.MappingNode):
        result: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node, name)
            if key in result:
                raise _error(name, key_node.start_mark.line, f"the key {key!r} stands here a second time", "keep one")
            below = (*path, key if isinstance(key, str | int) else str(key))
            lines[below] = key_node.start_mark.line + 1
            result[key] = _data(value_node, below, name, lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_data(item, (*path, index), name, lines) for index, item in enumerate(node.value)]
    return _scalar(node, name)


def _scalar(node: yaml.Node, name: str) -> Hashable:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith("tag:yaml.org,2002:"):
        raise _error(name, node.start_mark.line, f"{node.tag} is not read here", "use plain text, numbers and lists")
    try:
        value: Hashable = yaml.SafeLoader("").construct_object(node)
        return value
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _error(name, node.start_mark.line, f"{node.value!r} cannot be read", "quote it if it is text") from error


def _error(name: str, line_index: int, message: str, hint: str) -> UsageError:
    return UsageError("yaml", message, where=f"{name}:{line_index + 1}", hint=hint)
