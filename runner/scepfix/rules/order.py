"""Order in time, where a time may be missing: what has no time comes before nothing and after nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from scepfix.domain.evidence import Evidence


def before(first: datetime | None, second: datetime | None) -> bool:
    """Return whether both are known and the first is earlier."""
    return first is not None and second is not None and first < second


def within(first: datetime | None, second: datetime | None, distance: timedelta) -> bool:
    """Return whether both are known and no further apart than the distance."""
    return first is not None and second is not None and abs(first - second) <= distance


def latest(items: Sequence[Evidence]) -> Evidence | None:
    """Return the last one by time; of equals and of those without a time, the one that stands last."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return max(enumerate(items), key=lambda entry: (entry[1].observed_at or oldest, entry[0]))[1] if items else None


def undecided(items: Sequence[Evidence]) -> bool:
    """Do several readings of one thing have no last one among them: one without a time, or two at the last moment?"""
    moments = [item.observed_at for item in items]
    known = [moment for moment in moments if moment is not None]
    return len(items) > 1 and (len(known) < len(moments) or known.count(max(known)) > 1)
