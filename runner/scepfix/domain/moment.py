"""Moments: aware instants in code, RFC 3339 with a zone outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime

#: RFC 3339 section 5.6; the T may be a blank there, and Python reads more than it.
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?)\d*([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def rfc3339(moment: datetime | None) -> str | None:
    """Given an aware moment or None, return RFC 3339 UTC with Z (milliseconds only where there are some)."""
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def parse_rfc3339(text: object) -> datetime | None:
    """Given RFC 3339 text with a zone, return the UTC instant; None for anything else: no zone is ever guessed."""
    found = _RFC_3339.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        # Python 3.11 reads at most six digits of a second.
        return datetime.fromisoformat((found[1] + found[2]).upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
