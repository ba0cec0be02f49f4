"""Deleted devices are told by what was kept of them; what nobody can tell is listed, and never selected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from scepfix.domain.errors import RefusedError, UsageError
from scepfix.parsers.okta_deletions import Deletion
from scepfix.parsers.okta_snapshot import KnownDevice, Snapshot
from scepfix.service.okta_snapshot import (
    DeletedDevices,
    check_range,
    deleted_devices,
    selection,
    take_snapshot,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=2)
YESTERDAY = NOW - timedelta(days=1)
ORG = "https://example.okta.com"


@dataclass
class Org:
    """Lists devices; those in ``lagging`` are listed although they are gone."""

    listed: Sequence[KnownDevice] = ()
    lagging: frozenset[str] = frozenset()

    def devices(self) -> Iterator[KnownDevice]:
        yield from self.listed

    def lives(self, device_id: str) -> bool:
        return device_id not in self.lagging

    def deletions(self, since: datetime, until: datetime) -> tuple[Deletion, ...]:
        raise AssertionError("they were handed over")


def known(device_id: str, serial: str = "", name: str = "", udid: str = "", sid: str = "") -> KnownDevice:
    return KnownDevice(device_id, serial, udid, sid, name, first_seen=SINCE, last_seen=SINCE)


def kept(*devices: KnownDevice) -> Snapshot:
    return Snapshot(ORG, YESTERDAY, {one.device_id: one for one in devices})


def found_of(deletions: Sequence[Deletion], snapshot: Snapshot, org: Org | None = None) -> DeletedDevices:
    return deleted_devices(deletions, snapshot, org or Org(), SINCE, NOW, lambda line: None)


def ids(found: DeletedDevices) -> tuple[list[str], list[str], list[str]]:
    return (
        [one.deletion.device_id for one in found.devices],
        [one.deletion.device_id for one in found.set_aside],
        [one.deletion.device_id for one in found.unknown],
    )


# --- the snapshot -----------------------------------------------------------------------------------------------


def test_what_vanished_stays_as_it_was_seen_last() -> None:
    before = kept(known("guo1", "C02A", "mac-1"), known("guo2", "C02B", "mac-2"))
    later = replace(known("guo2", "C02B", "mac-two"), first_seen=NOW, last_seen=NOW)
    new = replace(known("guo3", "C02C"), first_seen=NOW, last_seen=NOW)

    taken = take_snapshot(before, [later, new], NOW)

    assert (taken.living, taken.new, taken.vanished) == (2, 1, 1)
    assert taken.snapshot.taken_at == NOW
    assert taken.snapshot.devices == {
        "guo1": before.devices["guo1"],
        "guo2": replace(later, first_seen=SINCE),
        "guo3": new,
    }


def test_what_a_record_tells_no_more_stays_known() -> None:
    before = kept(replace(known("guo1", "C02A", udid="4AC2", sid="S-1"), people=("alice@example.com",)))

    [one] = take_snapshot(before, [known("guo1")], NOW).snapshot.devices.values()

    assert (one.serial_number, one.udid, one.sid, one.people) == ("C02A", "4AC2", "S-1", ("alice@example.com",))


# --- what was deleted -------------------------------------------------------------------------------------------


def test_a_deletion_is_joined_by_the_records_id() -> None:
    snapshot = kept(replace(known("guo1", "C02A", "mac-1"), people=("alice@example.com",)))

    found = found_of([Deletion("guo1", YESTERDAY, "admin@example.com", "renamed")], snapshot)

    assert found.as_document()["devices"] == [
        {
            "device_id": "guo1",
            "serial_number": "C02A",
            "name": "mac-1",
            "people": ["alice@example.com"],
            "deleted_at": "2026-11-23T12:00:00Z",
            "deleted_by": "admin@example.com",
            "joined_by": "snapshot",
        }
    ]


def test_else_by_what_the_event_names() -> None:
    found = found_of([Deletion("guo1", YESTERDAY, serial_number="C02A")], kept())

    assert [(one.serial_number, one.joined_by) for one in found.devices] == [("C02A", "event")]


@pytest.mark.parametrize(
    ("deletion", "snapshot", "reason"),
    [
        (
            Deletion("guo1", YESTERDAY, display_name="mac-1"),
            kept(known("guo2", "C02A", "mac-1")),
            "not in the snapshot",
        ),
        (Deletion("guo1", YESTERDAY), kept(known("guo1", name="mac-1")), "neither serial number nor UDID nor SID"),
        (Deletion("guo1", YESTERDAY, serial_number="C02B"), kept(known("guo1", "C02A")), "two devices"),
        (Deletion("guo1", YESTERDAY, udid="2"), kept(known("guo1", udid="1")), "two devices"),
    ],
)
def test_a_display_name_never_selects_and_the_reason_is_told(
    deletion: Deletion, snapshot: Snapshot, reason: str
) -> None:
    found = found_of([deletion], snapshot)

    assert ids(found) == ([], [], ["guo1"])
    assert reason in found.unknown[0].reason


def test_one_that_came_back_is_set_aside() -> None:
    snapshot = kept(known("guo1", "C02A"), known("guo2", "C02B"))
    back = replace(known("guo9", "C02A"), created=NOW - timedelta(hours=1))

    found = found_of([Deletion("guo1", YESTERDAY), Deletion("guo2", YESTERDAY)], snapshot, Org([back]))

    assert ids(found) == (["guo2"], ["guo1"], [])
    assert found.set_aside[0].reason == "it came back as the record guo9, made 2026-11-24T11:00:00Z"


@pytest.mark.parametrize("shared", [{"serial": "C02A"}, {"udid": "4AC2"}, {"sid": "S-1"}])
def test_any_key_tells_that_it_came_back(shared: dict[str, str]) -> None:
    snapshot = kept(known("guo1", "C02A", udid="4AC2", sid="S-1"))

    assert ids(found_of([Deletion("guo1", YESTERDAY)], snapshot, Org([known("guo9", **shared)]))) == ([], ["guo1"], [])


def test_a_list_that_lags_behind_brings_nothing_back() -> None:
    snapshot = kept(known("guo1", "C02A"))
    org = Org([known("guo1", "C02A"), known("guo0", "C02A")], lagging=frozenset({"guo0"}))

    assert ids(found_of([Deletion("guo1", YESTERDAY)], snapshot, org)) == (["guo1"], [], [])


def test_a_device_that_was_deleted_twice_is_there_once() -> None:
    snapshot = kept(known("guo1", "C02A"), known("guo2", "C02A"), known("guo3", "C02B"))
    deletions = [
        Deletion("guo2", NOW - timedelta(hours=1)),
        Deletion("guo1", YESTERDAY),
        Deletion("guo3", YESTERDAY),
    ]

    assert ids(found_of(deletions, snapshot)) == (["guo3", "guo2"], [], [])


def test_only_that_time_counts() -> None:
    snapshot = kept(known("guo1", "C02A"))

    found = found_of([Deletion("guo1", SINCE - timedelta(seconds=1)), Deletion("guo1", NOW + timedelta(1))], snapshot)

    assert ids(found) == ([], [], [])


# --- the range and the selection --------------------------------------------------------------------------------


def test_a_range_longer_ago_than_the_log_is_refused_with_the_reason() -> None:
    since = NOW - timedelta(days=90, seconds=1)
    with pytest.raises(UsageError) as caught:
        check_range(since, NOW, NOW, exported=False)

    assert caught.value.code == "time-range"
    assert "90 days" in caught.value.message
    assert "--export" in caught.value.hint
    check_range(since, NOW, NOW, exported=True)
    check_range(NOW - timedelta(days=90), NOW, NOW, exported=False)
    with pytest.raises(UsageError):
        check_range(NOW, NOW, NOW, exported=True)


def test_the_selection_is_what_plan_reads() -> None:
    snapshot = kept(known("guo1", "C02A", "mac-1"), known("guo2", "C02B", "mac-2"))
    found = found_of([Deletion("guo1", YESTERDAY, "bob"), Deletion("guo2", YESTERDAY)], snapshot)

    text = selection(found)

    assert [line for line in text.splitlines() if not line.startswith("#")] == ["C02A", "C02B"]
    assert "# mac-1, 2026-11-23T12:00:00Z, by bob" in text


def test_two_devices_of_one_display_name_are_both_selected_by_their_serial_numbers() -> None:
    snapshot = kept(known("guo1", "C02A", "mac"), known("guo2", "C02B", "mac"))

    text = selection(found_of([Deletion("guo1", YESTERDAY), Deletion("guo2", YESTERDAY)], snapshot))

    assert [line for line in text.splitlines() if not line.startswith("#")] == ["C02A", "C02B"]


@pytest.mark.parametrize(
    ("deletion", "record", "reason"),
    [
        (
            Deletion("guo2", YESTERDAY),
            known("guo2", udid="4AC2", sid="S-1", name="mac-2"),
            "no serial number of it is known, only UDID 4AC2 and SID S-1: look it up in the MDM",
        ),
        (Deletion("guo2", YESTERDAY, display_name="mac-2", udid="4AC2"), None, "only UDID 4AC2"),
        # A comment in the list, or a line that no inventory can have.
        (Deletion("guo2", YESTERDAY, serial_number="#1"), None, "no inventory can have its serial number '#1'"),
        (Deletion("guo2", YESTERDAY, serial_number="␊C02A"), None, "no inventory can have"),
    ],
)
def test_without_a_serial_number_it_is_listed_with_the_reason_and_never_written(
    deletion: Deletion, record: KnownDevice | None, reason: str
) -> None:
    snapshot = kept(known("guo1", "C02A", "mac-1"), *([record] if record else []))

    found = found_of([Deletion("guo1", YESTERDAY), deletion], snapshot)

    assert ids(found) == (["guo1"], [], ["guo2"])
    assert reason in found.unknown[0].reason
    assert [line for line in selection(found).splitlines() if not line.startswith("#")] == ["C02A"]


def test_one_without_a_serial_number_that_came_back_is_set_aside() -> None:
    snapshot = kept(known("guo1", udid="4AC2"))

    assert ids(found_of([Deletion("guo1", YESTERDAY)], snapshot, Org([known("guo9", udid="4AC2")]))) == (
        [],
        ["guo1"],
        [],
    )


@pytest.mark.parametrize("devices", [[], [known("guo1", udid="4AC2", name="mac")]])
def test_a_selection_of_nobody_is_refused_and_advises_no_names(devices: list[KnownDevice]) -> None:
    found = found_of([Deletion(one.device_id, YESTERDAY) for one in devices], kept(*devices))

    with pytest.raises(RefusedError) as caught:
        selection(found)

    assert caught.value.code == "empty-selection"
    assert "name" not in str(caught.value)
