"""The one error family a person sees: a stable code, what happened, where, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line contract (docs/command-line.md)."""

    VERDICT = 0
    FAILED = 1
    USAGE = 2
    UNDETERMINED = 3
    NEEDS_PERSON = 4
    MIXED = 5
    INTERRUPTED = 130


class ScepfixError(Exception):
    """Given a code, a message, a place and a hint (plain text, no secrets), carry them to the person.

    ``code`` is a stable kebab-case id, ``where`` names file, line or key, ``hint`` says what to do next.
    """

    exit = Exit.FAILED

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(code, message, where, hint)
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint

    def as_document(self) -> dict[str, str]:
        """Return the JSON form of an error in the contract."""
        return {"code": self.code, "message": self.message, "where": self.where, "hint": self.hint}

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.where, self.hint))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.message}{hint}"


def _rebuild(kind: type[ScepfixError], code: str, message: str, where: str, hint: str) -> ScepfixError:
    return kind(code, message, where=where, hint=hint)


class InputError(ScepfixError):
    """No input could be read: missing, unreadable, empty, cut, or another format (exit 2)."""

    exit = Exit.USAGE


class UsageError(ScepfixError):
    """The command, an option or a setting is wrong (exit 2)."""

    exit = Exit.USAGE


class RefusedError(ScepfixError):
    """Nothing was done because a person has to decide or to select first: an empty selection, say (exit 4)."""

    exit = Exit.NEEDS_PERSON
