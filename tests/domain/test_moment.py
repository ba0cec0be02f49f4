"""RFC 3339 and nothing else is read as a moment; what is written is read again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.moment import parse_rfc3339, rfc3339

NINE = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T09:00:00Z", NINE),
        ("2026-11-24t09:00:00z", NINE),
        ("2026-11-24 09:00:00Z", NINE),
        ("2026-11-24T10:00:00+01:00", NINE),
        ("2026-11-24T03:30:00-05:30", NINE),
        (" 2026-11-24T09:00:00Z\n", NINE),
        ("2026-11-24T09:00:00.5Z", NINE.replace(microsecond=500_000)),
        ("2026-11-24T09:00:00.123456789Z", NINE.replace(microsecond=123_456)),
    ],
)
def test_a_time_with_a_zone_is_an_instant(text: str, moment: datetime) -> None:
    assert parse_rfc3339(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T09:00:00",
        "2026-11-24T09:00Z",
        "2026-11-24",
        "20261124T090000Z",
        "2026-W48-2T09:00:00Z",
        "2026-11-24T09:00:00+0100",
        "2026-11-24T09:00:00+01",
        "2026-11-24T09:00:00,5Z",
        "2026-11-24T09:00:00.Z",
        "2026-11-24T25:00:00Z",
        "2026-02-30T09:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "2026-11-24T09:00:00Z and more",
        "٢٠٢٦-11-24T09:00:00Z",
        "yesterday",
        "",
        None,
        1_795_510_800,
    ],
)
def test_anything_else_is_none(text: object) -> None:
    assert parse_rfc3339(text) is None


@given(st.datetimes(timezones=st.just(UTC)), st.booleans())
def test_what_is_written_is_read_again(moment: datetime, with_milliseconds: bool) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000 if with_milliseconds else 0)

    assert parse_rfc3339(rfc3339(moment)) == moment


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"))
def test_any_text_is_an_aware_moment_or_none(text: str) -> None:
    found = parse_rfc3339(text)

    assert found is None or found.utcoffset() is not None
