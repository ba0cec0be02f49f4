"""Check: one line of ``scepfix doctor``: it passes, it fails and says how to put that right, or nobody could look."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CheckResult(StrEnum):
    """Of one check."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. ``id`` is stable (docs/command-line.md); ``message`` says what was found, ``hint`` what to do; inert,
    without a secret."""

    id: str
    result: CheckResult
    message: str
    hint: str = ""

    def as_document(self) -> dict[str, str]:
        return {"id": self.id, "result": self.result.value, "message": self.message, "hint": self.hint}
