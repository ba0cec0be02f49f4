"""Deletions are read from events of the API and from exports; what is no deletion is passed over."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.parsers.okta_deletions import Deletion, read_deletions, read_export


def event(**more: Any) -> dict[str, Any]:
    return {
        "eventType": "device.lifecycle.delete",
        "published": "2026-11-23T08:00:00.123Z",
        "outcome": {"result": "SUCCESS"},
        "actor": {"id": "00u1", "type": "User", "alternateId": "admin@example.com", "displayName": "Admin"},
        "target": [{"id": "guo1", "type": "Device", "displayName": "mac-042"}],
        **more,
    }


def test_a_deletion_tells_what_its_event_tells() -> None:
    detail = {"serialNumber": "c02abc", "udid": "4ac2", "sid": None}
    told = event(target=[{"id": "guo1", "type": "Device", "displayName": "mac\n042", "detailEntry": detail}])

    [found] = read_deletions([told])

    at = datetime(2026, 11, 23, 8, 0, 0, 123000, tzinfo=UTC)
    assert found == Deletion("guo1", at, "admin@example.com", "mac␊042", "C02ABC", "4AC2", "")


@pytest.mark.parametrize(
    "other",
    [
        event(eventType="device.lifecycle.deactivate"),
        event(outcome={"result": "FAILURE"}),
        event(target=[{"id": "00u1", "type": "User"}]),
        event(target=None),
    ],
)
def test_what_is_no_deletion_of_a_device_is_passed_over(other: dict[str, Any]) -> None:
    assert list(read_deletions([other])) == []


@pytest.mark.parametrize("write", ["array", "lines", "lines with blanks and a mark"])
def test_an_export_is_an_array_or_lines(write: str) -> None:
    events = [event(), event(uuid="2")]
    text = json.dumps(events, indent=2) if write == "array" else "\n".join(map(json.dumps, events))
    if "mark" in write:
        text = "﻿" + text.replace("\n", "\n\n") + "\n"

    assert read_export(text.encode(), "f") == events


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"\xff\xfe", "f"),
        (b"[{", "f"),
        (b"[1]", "f"),
        (b"{}\n{", "f:2"),
        (b"timestamp,actor.id\n2026,00u1\n", "f:1"),
        (b"1\n", "f"),
    ],
)
def test_what_is_no_export_is_refused(data: bytes, where: str) -> None:
    with pytest.raises(InputError) as caught:
        read_export(data, "f")

    assert (caught.value.code, caught.value.where) == ("log-export", where)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_export_or_refused(data: bytes) -> None:
    try:
        assert all(isinstance(each, dict) for each in read_export(data, "f"))
    except InputError as error:
        assert error.code == "log-export"
