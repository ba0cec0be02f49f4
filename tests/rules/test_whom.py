"""Evidence is sorted by the device it names; what names none is given to nobody by guess."""

from __future__ import annotations

from scepfix.domain.evidence import Evidence, Witness
from scepfix.rules.whom import sort_by_device


def about(device: str | None, says: str = "log.no-certificate") -> Evidence:
    return Evidence(Witness.TICKET, "ticket", says, facts={"device": device} if device else {})


def short(found: list[tuple[str | None, list[Evidence]]]) -> list[tuple[str | None, int]]:
    return [(device, len(items)) for device, items in found]


def test_without_a_name_all_is_about_one_device() -> None:
    assert short(sort_by_device([about(None), about(None)])) == [(None, 2)]
    assert short(sort_by_device([])) == [(None, 0)]


def test_with_one_name_all_is_about_that_device() -> None:
    assert short(sort_by_device([about("mac-1"), about(None)])) == [("mac-1", 2)]
    assert short(sort_by_device([about(None)], "mac-1")) == [("mac-1", 1)]
    assert short(sort_by_device([], "mac-1")) == [("mac-1", 0)]


def test_names_are_compared_without_case_and_shown_as_first_written() -> None:
    assert short(sort_by_device([about("Mac-1"), about("MAC-1")])) == [("Mac-1", 2)]
    assert short(sort_by_device([about("MAC-1")], "mac-1")) == [("mac-1", 1)]


def test_the_device_asked_about_stands_first_even_beside_evidence_about_another() -> None:
    assert short(sort_by_device([about("mac-2")], "mac-1")) == [("mac-1", 0), ("mac-2", 1)]


def test_with_two_names_what_names_none_stands_by_itself_and_an_org_s_facts_hold_for_each() -> None:
    org = about(None, "okta.pin-setting")

    assert short(sort_by_device([about("a"), about("b"), org])) == [("a", 2), ("b", 2)]
    assert short(sort_by_device([about("a"), about("b"), org, about(None)])) == [("a", 2), ("b", 2), (None, 2)]
