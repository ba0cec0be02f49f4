"""Snapshots are read as they were written, and strictly; a device is told by its keys alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.okta_snapshot import (
    KnownDevice,
    Snapshot,
    read_device,
    read_snapshot,
    same_device,
    write_snapshot,
)

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UDID = "4AC29C85-D847-4492-96CB-46E337170C33"

texts = st.text(st.characters(codec="utf-8"), max_size=12)
moments = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
        st.tuples(texts, texts, st.lists(texts, max_size=3), moments, moments),
        max_size=4,
    )
)
def test_what_is_written_is_read(found: dict[str, Any]) -> None:
    devices = {
        key: read_device(
            {
                "id": key,
                "status": "ACTIVE",
                "created": None,
                "profile": {"serialNumber": serial, "displayName": name},
                "_embedded": {"users": [{"user": {"profile": {"login": login}}} for login in people]},
            },
            first or AT,
        )
        for key, (serial, name, people, first, _) in found.items()
    }
    snapshot = Snapshot("https://example.okta.com", AT, devices)

    assert read_snapshot(write_snapshot(snapshot).encode(), "f") == snapshot
    assert all(visible(text) == text for one in devices.values() for text in (one.display_name, one.serial_number))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | texts, st.lists, max_leaves=5).map(
    lambda value: json.dumps({"schema": "scepfix/okta-snapshot/1", "org": "x", "devices": value}).encode()
))  # fmt: skip
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_snapshot(data, "f")

    assert caught.value.code == "snapshot"


def test_an_id_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no id"):
        read_device({"id": "../x", "profile": {}}, AT)
    planted = write_snapshot(Snapshot("o", AT, {"guo1": KnownDevice("guo1")})).replace("guo1", "../x")
    with pytest.raises(InputError):
        read_snapshot(planted.encode(), "f")


@pytest.mark.parametrize(
    ("known", "identity", "same"),
    [
        (KnownDevice("1", "C02A", UDID), Identity("c02a", UDID.lower()), True),
        (KnownDevice("1", "C02A"), Identity("C02A", UDID), True),
        (KnownDevice("1", "", UDID), Identity("C02A", UDID), True),
        (KnownDevice("1", "C02A", UDID), Identity("C02A", UDID[:-1] + "4"), False),
        (KnownDevice("1", "C02A", UDID), Identity("C02B", UDID), False),
        # Some platforms' UDIDs are no UUIDs: the serial number tells.
        (KnownDevice("1", "C02A", "00008103-001A"), Identity("C02A", UDID), True),
        (KnownDevice("1"), Identity("C02A", UDID), False),
        (KnownDevice("1", "C02A", UDID), Identity(), False),
    ],
)
def test_a_device_is_told_by_its_keys(known: KnownDevice, identity: Identity, same: bool) -> None:
    assert same_device(known, identity) is same


def test_the_newest_record_comes_first() -> None:
    devices = {
        name: KnownDevice(name, "C02A", created=datetime(2026, month, 1, tzinfo=UTC), last_seen=AT)
        for name, month in (("old", 1), ("new", 9), ("middle", 5))
    }
    devices["other"] = KnownDevice("other", "C02B")

    assert Snapshot("o", AT, devices).ids_of(Identity("C02A")) == ("new", "middle", "old")
