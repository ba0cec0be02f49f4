"""A service's own time is read from its answer, and a clock that is off is told with which way it is off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from scepfix.adapters.service_clock import clock_check, offset_seconds
from scepfix.adapters.web_service import Reply
from scepfix.domain.check import CheckResult

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def said(date: str) -> Reply:
    return Reply(200, {"date": (date,)}, b"")


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        (format_datetime(NOW, usegmt=True), 0.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW + timedelta(minutes=6), usegmt=True), -360.0),
        # A zone that says "unknown" is UTC.
        ("Tue, 24 Nov 2026 11:59:50 -0000", 10.0),
    ],
)
def test_the_offset_is_how_far_we_are_ahead(date: str, seconds: float) -> None:
    assert offset_seconds(said(date), NOW) == seconds


@pytest.mark.parametrize(
    "date",
    [
        "",
        "now",
        "Tue, 99 Nov 2026 12:00:00 GMT",
        "Tue, 24 Nov 2026 12:00:00 +9999",
        "Tue, 99999999999999999999 Nov 2026 12:00:00 GMT",
    ],
)
def test_what_is_no_time_is_none_and_no_error(date: str) -> None:
    assert offset_seconds(said(date), NOW) is None
    assert clock_check("mdm.clock", "Jamf Pro", said(date), NOW).result is CheckResult.UNKNOWN
    assert offset_seconds(Reply(200, {}, b""), NOW) is None


@pytest.mark.parametrize(
    ("ahead", "result", "told"),
    [
        (300, CheckResult.PASS, "agrees with that of Jamf Pro"),
        (-300, CheckResult.PASS, "agrees"),
        (301, CheckResult.FAIL, "5 minutes ahead of that of Jamf Pro"),
        (-301, CheckResult.FAIL, "5 minutes behind"),
        (3 * 3600, CheckResult.FAIL, "180 minutes ahead"),
    ],
)
def test_a_clock_that_is_off_fails_with_what_to_do(ahead: int, result: CheckResult, told: str) -> None:
    reply = said(format_datetime(NOW - timedelta(seconds=ahead), usegmt=True))

    found = clock_check("mdm.clock", "Jamf Pro", reply, NOW)

    assert (found.id, found.result) == ("mdm.clock", result)
    assert told in found.message
    assert bool(found.hint) is (result is CheckResult.FAIL)
