"""Progress says what is waited for, how long and what next; and does not say it over and over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.evidence_factory import NOW
from tests.plan_factory import HOSTILE, device, remediation

from scepfix.cli.progress import ProgressLines
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Outcome, Remediation, Stage
from scepfix.service.advance import Doing, Progress


def waiting(name: str, **changes: object) -> Remediation:
    known: dict[str, object] = {"stage": Stage.REINSTALL, "waiting_for": "the profile", "stage_started_at": NOW}
    return replace(remediation(device(name), None, **known), **changes)  # type: ignore[arg-type]


def said(*progress: Progress) -> list[str]:
    lines: list[str] = []
    tell = ProgressLines(lines.append, RepairPolicy())
    for one in progress:
        tell(one)
    return lines


def test_a_wait_says_for_what_how_long_and_what_next() -> None:
    at = NOW + timedelta(minutes=3)

    assert said(Progress(Doing.WAITING, (waiting("mac-1"),), at, at + timedelta(seconds=15))) == [
        (
            "09:03:00Z mac-1: waiting: reinstall: the profile (for 3 min, next look in 15 s, "
            "until 11:00Z at the latest, then a person is called, and asking goes on)"
        )
    ]


def test_the_same_wait_is_said_once_a_minute() -> None:
    looks = [NOW + timedelta(seconds=seconds) for seconds in (0, 15, 30, 45, 60, 75)]

    lines = said(*(Progress(Doing.WAITING, (waiting("mac-1"),), at, at) for at in looks))

    assert [line[:8] for line in lines] == ["09:00:00", "09:01:00"]


def test_devices_that_wait_for_the_same_are_one_line() -> None:
    many = tuple(waiting(f"mac-{number}") for number in range(5))
    other = waiting("mac-9", waiting_for="something else")

    assert said(Progress(Doing.WAITING, (*many, other), NOW)) == [
        "09:00:00Z mac-0, mac-1, mac-2 and 2 more: waiting: reinstall: the profile (for 0 s)",
        "09:00:00Z mac-9: waiting: reinstall: something else (for 0 s)",
    ]


def test_an_outcome_is_said_with_its_error() -> None:
    done = waiting("mac-1", outcome=Outcome.VERIFY_FAILED, error="no certificate came")

    assert said(Progress(Doing.CHANGED, (done,), NOW)) == ["09:00:00Z mac-1: verify-failed: no certificate came"]


def test_a_long_wait_is_said_in_hours() -> None:
    at = NOW + timedelta(hours=3, minutes=7)

    assert "for 3 h 7 min" in said(Progress(Doing.WAITING, (waiting("mac-1"),), at, at))[0]


def test_hostile_words_stay_text() -> None:
    (line,) = said(Progress(Doing.WAITING, (waiting(HOSTILE, waiting_for=HOSTILE),), NOW))

    assert "\x1b" not in line
    assert "\n" not in line
