"""Does this machine's clock agree with a service's? Each answer says what time the service has."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from scepfix.adapters.web_service import Reply
from scepfix.domain.check import Check, CheckResult

#: Okta and Entra take no signature that is further off, and from there on a device's clock is a fault, too.
MOST_SECONDS = 300
#: From here on a difference is told in minutes.
_MINUTES_FROM_SECONDS = 120


def offset_seconds(reply: Reply, now: datetime) -> float | None:
    """Given an answer and our time when it came (aware), return the seconds that our clock is ahead of the service's.

    Negative where it is behind; None where the answer names no time (header ``Date``, RFC 9110).
    """
    try:
        at = parsedate_to_datetime(reply.header("date"))
        return (now - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def clock_check(check_id: str, service: str, reply: Reply, now: datetime) -> Check:
    """Given the check's id, the service's name in words, an answer of it and our time when it came, return the check;
    never raises."""
    off = offset_seconds(reply, now)
    if off is None:
        return Check(check_id, CheckResult.UNKNOWN, f"{service} does not say what time it is")
    if abs(off) <= MOST_SECONDS:
        return Check(check_id, CheckResult.PASS, f"this machine's clock agrees with that of {service}")
    far = f"{abs(off):.0f} seconds" if abs(off) < _MINUTES_FROM_SECONDS else f"{abs(off) / 60:.0f} minutes"
    return Check(
        check_id,
        CheckResult.FAIL,
        f"this machine's clock is {far} {'ahead of' if off > 0 else 'behind'} that of {service}",
        "set it by NTP: signatures, acknowledgements and proofs go by it",
    )
