"""Jamf Pro's answers: whatever comes, a reading or one kind of error; and what a record says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.parsers import jamf_classic, jamf_pro
from scepfix.parsers.jamf_classic import Audience, JamfProfile, Scope
from scepfix.parsers.jamf_pro import Computer, MdmCommand, ShownProfile
from scepfix.parsers.jamf_record import newer, read_record

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
PROFILE = JamfProfile(
    "SCEP", "com.example.scep", ("com.apple.security.scep",), "computer", "x", Scope(all_computers=True)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
KEYS = ("general", "hardware", "configurationProfiles", "certificates", "groupMemberships", "extensionAttributes")


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from((*KEYS, "id", "udid", "client", "profileId", "dateSent")), JSON))
def test_any_result_is_read_or_refused_in_one_way(said: dict[str, Any]) -> None:
    found = jamf_pro.read_computer({**said, "id": "7"})
    texts = [found.serial_number, found.name, found.hardware_uuid, *(one.identifier for one in found.profiles)]
    assert texts == [visible(one) for one in texts]
    for one in jamf_pro.read_certificates(said):
        assert set(one.serial_number + one.sha1) <= set("0123456789abcdef")
    jamf_pro.read_command(said)
    jamf_pro.read_attribute(said, "scepfix")


@settings(max_examples=40, deadline=None)
@given(JSON)
def test_any_page_is_read_or_refused_in_one_way(said: Any) -> None:
    try:
        total, results = jamf_pro.read_page(said)
    except (TypeError, KeyError):
        return
    assert isinstance(total, int)
    assert all(isinstance(one, dict) for one in results)


@given(st.binary(max_size=200) | st.text(alphabet="<>/ab&;![]\"' ", max_size=80).map(str.encode))
def test_any_bytes_are_xml_or_one_kind_of_error(data: bytes) -> None:
    readers = (jamf_classic.read_group, jamf_classic.read_profile, jamf_classic.read_names, jamf_classic.read_scope)
    for read in readers:
        with_error = False
        try:
            read(data, "here")
        except InputError:
            with_error = True
        assert with_error or data


def test_a_profile_keeps_no_challenge() -> None:
    plist = (
        '<plist version="1.0"><dict><key>PayloadIdentifier</key><string>com.example.scep</string>'
        "<key>PayloadContent</key><array><dict><key>PayloadType</key><string>com.apple.security.scep</string>"
        "<key>PayloadContent</key><dict><key>Challenge</key><string>planted</string></dict></dict>"
        "<dict><key>PayloadType</key><string>com.apple.wifi.managed</string></dict></array></dict></plist>"
    )
    escaped = plist.replace("&", "&amp;").replace("<", "&lt;")
    xml = (
        "<os_x_configuration_profile><general><name>S\u202eCEP</name><level>System</level>"
        f"<distribution_method>Install Automatically</distribution_method><payloads>{escaped}</payloads></general>"
        "<scope><all_computers>true</all_computers><exclusions><computer_groups><size>1</size><computer_group><id>11</id>"
        "<name>g</name></computer_group></computer_groups><users/></exclusions></scope></os_x_configuration_profile>"
    )

    found = jamf_classic.read_profile(xml.encode(), "here")

    assert (found.identifier, found.payload_types) == (
        "com.example.scep",
        ("com.apple.security.scep", "com.apple.wifi.managed"),
    )
    assert found.scope == Scope(True, Audience(), Audience(computer_groups={"11": "g"}))
    assert found.of_computer
    assert found.name == "S\\u{202e}CEP"
    assert "planted" not in repr(found)


@pytest.mark.parametrize(
    "payloads", ["", "no plist", "&lt;plist/&gt;", "&lt;!DOCTYPE p [&lt;!ENTITY a 'b'>]>&lt;plist/>"]
)
def test_payloads_that_are_none_are_refused(payloads: str) -> None:
    xml = f"<os_x_configuration_profile><general><payloads>{payloads}</payloads></general></os_x_configuration_profile>"

    with pytest.raises(InputError):
        jamf_classic.read_profile(xml.encode(), "here")


def test_a_history_tells_this_profile_by_its_whole_name() -> None:
    def command(name: str, part: str, epoch: int, status: str = "") -> str:
        ended = f"<{part}_epoch>{epoch}</{part}_epoch><status>{status}</status>"
        return f"<command><name>{name}</name><issued_epoch>{epoch - 1000}</issued_epoch>{ended}</command>"

    at = round(NOW.timestamp() * 1000)
    xml = (
        "<computer_history><commands><completed>"
        + command("Install Configuration Profile SCEP", "completed", at)
        + command("Remove Configuration Profile SCEP 2", "completed", at)
        + "</completed><pending>"
        + command("Remove Configuration Profile SCEP", "pending", at, "Not Now")
        + "</pending><failed>"
        + command("Install Configuration Profile SCEP", "failed", at // 1000)
        + "</failed></commands></computer_history>"
    )

    found = jamf_classic.read_history(xml.encode(), "here", "SCEP", "m")

    assert [(one.kind, one.state) for one in found] == [
        ("INSTALL_PROFILE", "ACKNOWLEDGED"),
        ("REMOVE_PROFILE", "NOT_NOW"),
        ("INSTALL_PROFILE", "ERROR"),
    ]
    assert found[0].completed_at == NOW
    assert found[2].completed_at == NOW


def a_record(computer: Computer, *commands: MdmCommand, profile: JamfProfile = PROFILE) -> MdmDevice:
    return read_record(computer, profile, "11", member=False, commands=commands, now=NOW)


def command(kind: str, state: str, minutes: float) -> MdmCommand:
    return MdmCommand("m", kind, state, ago(minutes), ago(minutes) if state != "PENDING" else None)


SHOWN = (ShownProfile("1", "com.example.scep", ago(500)),)


@pytest.mark.parametrize(
    ("commands", "reported", "shown", "installed"),
    [
        ((), None, False, None),
        ((), 60, True, True),
        ((), 60, False, False),
        ((("REMOVE_PROFILE", 30),), 60, True, False),
        # Gathered before the removal, dated after it.
        ((("REMOVE_PROFILE", 30),), 25, True, False),
        ((("REMOVE_PROFILE", 60), ("INSTALL_PROFILE", 30)), 25, False, True),
        ((("REMOVE_PROFILE", 60),), 5, True, True),
        ((("INSTALL_PROFILE", 60),), 5, False, False),
    ],
)
def test_an_acknowledgement_counts_until_an_inventory_is_clearly_newer(
    commands: tuple[tuple[str, float], ...], reported: float | None, shown: bool, installed: bool | None
) -> None:
    at = None if reported is None else ago(reported)
    computer = Computer("1", "m", managed=True, reported_at=at, profiles=SHOWN if shown else ())

    record = a_record(computer, *(command(kind, "ACKNOWLEDGED", minutes) for kind, minutes in commands))

    assert record.profile_installed is installed


def test_a_removal_sent_just_now_says_more_than_a_list_of_another_node() -> None:
    assert a_record(Computer("1"), command("REMOVE_PROFILE", "PENDING", 1)).excluded is True
    assert a_record(Computer("1"), command("REMOVE_PROFILE", "PENDING", 2)).excluded is False
    back = (command("REMOVE_PROFILE", "ACKNOWLEDGED", 1), command("INSTALL_PROFILE", "PENDING", 0.5))
    assert a_record(Computer("1"), *back).excluded is False


def test_only_an_acknowledged_removal_is_one() -> None:
    for state, pending in (("PENDING", True), ("NOT_NOW", True), ("ERROR", False), ("COMMAND_FORMAT_ERROR", False)):
        record = a_record(Computer("1"), command("REMOVE_PROFILE", state, 5))
        assert (record.removed_at, record.removal_pending) == (None, pending)


@pytest.mark.parametrize(
    ("command_", "contact", "enrolled", "said"),
    [
        (command("DEVICE_LOCK", "PENDING", 5), 1, None, "locked"),
        (command("DEVICE_LOCK", "ACKNOWLEDGED", 5), 1, None, "locked"),
        (command("DEVICE_LOCK", "ACKNOWLEDGED", 60), 1, None, ""),
        (command("DEVICE_LOCK", "ERROR", 5), 1, None, ""),
        (command("ERASE_DEVICE", "ACKNOWLEDGED", 60), 1, None, "wiped"),
        (command("ERASE_DEVICE", "ACKNOWLEDGED", 60), 1, 30, ""),
    ],
)
def test_a_lock_ends_with_contact_and_a_wipe_with_enrolment(
    command_: MdmCommand, contact: float, enrolled: float | None, said: str
) -> None:
    enrolled_at = None if enrolled is None else ago(enrolled)
    computer = Computer("1", "m", contact_at=ago(contact), enrolled_at=enrolled_at)

    assert a_record(computer, command_).set_apart == said


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        (Scope(), False),
        (Scope(all_computers=True), True),
        (Scope(targets=Audience(computers={"1": ""})), True),
        (Scope(targets=Audience(computer_groups={"20": ""})), True),
        (Scope(targets=Audience(computer_groups={"21": ""})), False),
        (Scope(targets=Audience(buildings={"3": ""})), True),
        (Scope(targets=Audience(departments={"4": ""})), True),
        (Scope(all_computers=True, exclusions=Audience(computer_groups={"11": ""})), True),
        (Scope(all_computers=True, exclusions=Audience(computer_groups={"20": ""})), False),
        (Scope(all_computers=True, exclusions=Audience(buildings={"3": ""})), False),
        (Scope(targets=Audience(unseen=("users",))), False),
    ],
)
def test_the_scope_is_compared_with_the_inventory(scope: Scope, wanted: bool) -> None:
    computer = Computer("1", groups=frozenset({"20", "11"}), building="3", department="4")

    assert a_record(computer, profile=replace(PROFILE, scope=scope)).in_scope is wanted


def test_a_computer_without_building_is_in_none() -> None:
    scope = Scope(all_computers=True, exclusions=Audience(buildings={"3": ""}, departments={"-1": ""}))

    assert a_record(Computer("1"), profile=replace(PROFILE, scope=scope)).in_scope is True


def test_of_two_records_that_with_the_newest_contact_counts() -> None:
    old, new, silent = Computer("1", contact_at=ago(50)), Computer("2", contact_at=ago(5)), Computer("3")

    assert newer(new, old) is new
    assert newer(old, new) is new
    assert newer(silent, old) is old
    assert newer(silent, None) is silent
