"""What a log format reports to the scanner: one known record, by its place in the squeezed text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from scepfix.domain.evidence import Fact


@dataclass(frozen=True, slots=True)
class Sighting:
    """``start`` and ``end`` are indexes in the squeezed text; the rest becomes the Evidence."""

    start: int
    end: int
    says: str
    observed_at: datetime | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogFormat:
    """A log format as the scanner sees it.

    ``anchors`` are ASCII words without white space, one of which stands in every record that ``read`` can report;
    text without any is never read closely. ``recognise`` says whether squeezed text has lines of this format at all.
    """

    name: str
    anchors: tuple[bytes, ...]
    read: Callable[[str], Iterator[Sighting]]
    recognise: Callable[[str], bool]


#: Ten groups: year to second, milliseconds, then sign, hours and minutes of the zone; the whole may be missing.
APPLE_TIME = r"(?:(\d{4})/(\d\d)/(\d\d)(\d\d):(\d\d):(\d\d)[:.](\d{3})(?:([+-])(\d\d):?(\d\d))?)?"
WINDOWS_TIME = r"(?:(\d{4})-(\d\d)-(\d\d)(\d\d):(\d\d):(\d\d)[.,](\d{3})(?:([+-])(\d\d):?(\d\d))?)?"


def instant(match: re.Match[str]) -> datetime | None:
    """Given a match whose groups 1 to 10 are one of the time prefixes above, return the UTC instant.

    None where there is no prefix, no zone, or no such moment: a local time without zone is never guessed.
    """
    year, month, day, hour, minute, second, milliseconds, sign, zone_hours, zone_minutes = match.groups()[:10]
    if sign is None:
        return None
    try:
        offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        zone = timezone(-offset if sign == "-" else offset)
        local = datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), int(milliseconds) * 1000, zone
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
