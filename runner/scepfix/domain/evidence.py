"""Evidence: one observed fact with its origin, and the one list of what evidence may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Witness(StrEnum):
    """Who said it. What arrives by ticket stays ``ticket``, whatever it quotes."""

    DEVICE = "device"
    MDM = "mdm"
    OKTA = "okta"
    TICKET = "ticket"


#: JSON-shaped values a fact may have.
Scalar = str | int | float | bool | None
Fact = Scalar | list[Scalar] | dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact.

    ``source`` is a path, ``FILE!MEMBER``, ``stdin`` or the name of a record. ``line`` (from 1),
    ``byte_offset`` (from 0) and ``sha256`` (lower-case hex) count the stored bytes after
    decompression and before any repair; they are None where the source is no file. ``observed_at``
    is aware, or None where the source gives no time with a zone. ``quote`` is the source's own text,
    decoded, control characters made visible. ``says`` is an id of SAYS; ``facts`` its details.
    """

    witness: Witness
    source: str
    says: str
    line: int | None = None
    byte_offset: int | None = None
    sha256: str | None = None
    observed_at: datetime | None = None
    quote: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def as_document(self) -> dict[str, object]:
        """Return the JSON form of the contract; ``--evidence FILE`` reads the same."""
        return {
            "witness": self.witness.value,
            "source": self.source,
            "line": self.line,
            "byte_offset": self.byte_offset,
            "sha256": self.sha256,
            "observed_at": rfc3339(self.observed_at),
            "quote": self.quote,
            "says": self.says,
            "facts": dict(self.facts),
        }


def rfc3339(moment: datetime | None) -> str | None:
    """Given an aware moment or None, return RFC 3339 UTC with Z (milliseconds only where there are some)."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"
