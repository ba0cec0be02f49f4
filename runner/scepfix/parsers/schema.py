"""Checks located YAML against what was expected, and collects every problem with file and line before it gives up."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

from scepfix.domain.errors import UsageError
from scepfix.parsers.located_yaml import Located, Path

T = TypeVar("T")


class Checker:
    """Read values by path; a wrong one is noted and a harmless stand-in is returned, so that reading goes on."""

    def __init__(self, located: Located) -> None:
        self._located = located
        self._problems: list[tuple[str, str]] = []

    def problem(self, path: Path, message: str) -> None:
        """Note a problem at a path."""
        self._problems.append((self._located.where(path), message))

    def finish(self, code: str, hint: str) -> None:
        """Raise one UsageError that lists every problem noted; do nothing if there is none."""
        if not self._problems:
            return
        problems = sorted(self._problems, key=lambda one: _line(one[0]))
        where, message = problems[0]
        if len(problems) > 1:
            listed = "\n  ".join(f"{place}: {text}" for place, text in problems)
            message = f"{len(problems)} problems\n  {listed}"
        raise UsageError(code, message, where=where, hint=hint)

    def mapping(
        self, value: object, path: Path, required: Iterable[str], optional: Iterable[str] = ()
    ) -> dict[str, object]:
        """Given a value, return it as a mapping that has the required keys and no others than the optional ones."""
        if not isinstance(value, dict):
            self.problem(path, f"{_place(path)} must be a mapping, found {_kind(value)}")
            return {}
        required, known = tuple(required), (*required, *optional)
        for key in value:
            if key not in known:
                self.problem((*path, key), f"unknown key {key!r}{near(str(key), known)}")
        for key in required:
            if key not in value:
                self.problem(path, f"{_place(path)} lacks the key {key!r}")
        return {key: value[key] for key in known if key in value}

    def text(self, value: object, path: Path) -> str:
        """Given a value, return it as non-empty text."""
        if isinstance(value, str) and value.strip():
            return value
        quoted = f': write "{value}", in quotes' if isinstance(value, int) and not isinstance(value, bool) else ""
        self.problem(path, f"{_place(path)} must be text, found {_kind(value)}{quoted}")
        return ""

    def truth(self, value: object, path: Path) -> bool:
        """Given a value, return it as true or false."""
        if isinstance(value, bool):
            return value
        self.problem(path, f"{_place(path)} must be true or false, found {_kind(value)}")
        return False

    def whole(self, value: object, path: Path, least: int, most: int) -> int:
        """Given a value, return it as a whole number within bounds."""
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.problem(path, f"{_place(path)} must be a whole number from {least} to {most}, found {_kind(value)}")
        return least

    def one_of(self, value: object, path: Path, allowed: Iterable[str]) -> str:
        """Given a value, return it as one of the allowed words."""
        allowed = tuple(allowed)
        if isinstance(value, str) and value in allowed:
            return value
        self.problem(path, f"{_place(path)}: {value!r} is not known{near(str(value), allowed)}")
        return allowed[0] if allowed else ""

    def items(self, value: object, path: Path, read: Callable[[object, Path], T]) -> tuple[T, ...]:
        """Given a list and how an item is read, return the items; no list at all (None) is an empty one."""
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(path, f"{_place(path)} must be a list, found {_kind(value)}")
            return ()
        return tuple(read(item, (*path, index)) for index, item in enumerate(value))


def near(word: str, known: Iterable[str]) -> str:
    """Given a word nobody knows, return ``; did you mean …?`` or the list of known ones."""
    known = sorted(map(str, known))
    match = difflib.get_close_matches(word, known, n=1)
    if match:
        return f"; did you mean {match[0]!r}?"
    return f"; known: {', '.join(known)}" if len(known) <= 12 else ""


def _line(where: str) -> int:
    """Return the line of ``FILE:LINE``, 0 where there is none."""
    line = where.rpartition(":")[2]
    return int(line) if line.isdecimal() else 0


def _place(path: Path) -> str:
    return ".".join(str(part) for part in path) or "the file"


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value)
