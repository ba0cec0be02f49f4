"""Diagnosis: what is wrong with one person's recovery on one device, how sure, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scepfix.domain.evidence import Evidence


class Verdict(StrEnum):
    """``undetermined`` is an answer too: what is missing stands beside it."""

    FAULT = "fault"
    HEALTHY = "healthy"
    UNDETERMINED = "undetermined"


class Standing(StrEnum):
    """``confirmed``: two independent witnesses, or the fact's owner. ``likely``: one. ``possible``: a weak sign."""

    CONFIRMED = "confirmed"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Answer(StrEnum):
    """An answer that may be open: can this person get a PIN now? Is this certificate proved new?"""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A rival fault and the one fact that would separate it from the diagnosis."""

    fault: str
    separated_by: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """See docs/command-line.md for each field. ``reason`` says in one sentence why this is the verdict.

    ``ways_in`` are the site's own while no PIN can be had, ``next_steps`` what to do, ``checks`` what a person can look
    at by hand; the JSON form puts them together in this order.
    """

    verdict: Verdict
    fault: str | None
    standing: Standing | None
    stale: bool
    pin_possible_now: Answer
    reason: str
    evidence: tuple[Evidence, ...]
    also: tuple[str, ...]
    rivals: tuple[Alternative, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    playbook: str | None
    next_steps: tuple[str, ...]
    device: str | None = None
    ways_in: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()

    def as_document(self) -> dict[str, object]:
        """Return the JSON form of the contract."""
        return {
            "verdict": self.verdict.value,
            "fault": self.fault,
            "standing": self.standing.value if self.standing else None,
            "stale": self.stale,
            "pin_possible_now": self.pin_possible_now.value,
            "device": self.device,
            "reason": self.reason,
            "evidence": [item.as_document() for item in self.evidence],
            "also": list(self.also),
            "rivals": [{"fault": rival.fault, "separated_by": rival.separated_by} for rival in self.rivals],
            "missing": list(self.missing),
            "notes": list(self.notes),
            "playbook": self.playbook,
            "ways_in": list(self.ways_in),
            "next_steps": [*self.ways_in, *self.next_steps, *self.checks],
            "checks": list(self.checks),
        }
