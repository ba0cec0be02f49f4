"""The simulated Okta org: records, revocation, and what a sign-in leads to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.simulator.worlds import NOW, world_of

from scepfix.simulator.mac import LOG
from scepfix.simulator.okta import REGISTERED
from scepfix.simulator.world import World

LATER = NOW + timedelta(hours=1)


def log_of(world: World, name: str) -> str:
    return (world.macs[name].folder / LOG).read_text("utf-8")


def records(world: World, name: str) -> list[dict[str, str]]:
    serial = world.macs[name].facts.serial_number
    found: list[dict[str, str]] = world.okta.answer(
        "/api/v1/devices", {"search": f'profile.serialNumber eq "{serial}"'}
    )[1]
    return found


def test_a_deleted_device_returns_as_a_new_record_with_a_new_certificate(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    mac = world.macs["deleted"]
    assert records(world, "deleted") == []
    assert log_of(world, "deleted").count("keyNotFound") == 2
    assert not world.sign_in("deleted", NOW)

    world.mdm.exclude([mac.facts.mdm_id], NOW)
    world.mdm.check_in(NOW)
    world.mdm.put_back([mac.facts.mdm_id], NOW)
    world.mdm.check_in(NOW)
    assert not world.okta.registered(mac.facts.serial_number, mac.facts.person, NOW)
    assert world.sign_in("deleted", LATER)

    [record] = records(world, "deleted")
    assert (record["status"], record["created"]) == ("ACTIVE", "2026-11-24T13:00:00Z")
    assert world.okta.registered(mac.facts.serial_number, mac.facts.person, NOW)
    assert not world.okta.registered(mac.facts.serial_number, mac.facts.person, LATER + timedelta(seconds=1))
    assert not world.okta.registered(mac.facts.serial_number, "mallory@example.com", NOW)


@pytest.mark.parametrize("scenario", ["missing", "expired", "wrong-type", "wrong-store", "key-unusable"])
def test_without_a_usable_certificate_the_log_says_so(tmp_path: Path, scenario: str) -> None:
    world = world_of(tmp_path, scenario)

    assert not world.sign_in(scenario, NOW)
    assert log_of(world, scenario).rstrip().endswith(':319"}}')
    assert "noMatchingCertificate" in log_of(world, scenario).splitlines()[-1]


@pytest.mark.parametrize("scenario", ["deleted", "deactivated", "revoked", "wrong-org", "clock-wrong"])
def test_a_certificate_that_the_server_refuses_makes_the_other_line(tmp_path: Path, scenario: str) -> None:
    world = world_of(tmp_path, scenario)

    assert not world.sign_in(scenario, NOW)
    assert "keyNotFound" in log_of(world, scenario).splitlines()[-1]


@pytest.mark.parametrize("scenario", ["healthy", "leftover", "suspended", "not-registered"])
def test_a_good_certificate_registers_and_no_line_says_so(tmp_path: Path, scenario: str) -> None:
    world = world_of(tmp_path, scenario)

    assert world.sign_in(scenario, NOW)
    assert log_of(world, scenario).splitlines()[-1].endswith('registerRecoverySecret():96"}}')


def test_settings_and_roles_are_those_of_the_org(tmp_path: Path) -> None:
    world = world_of(tmp_path, "pin-disabled", "no-permission")

    setting = world.okta.answer("/device-access/api/v1/desktop-mfa/recovery-pin-settings", {})
    roles = world.okta.answer("/api/v1/users/helpdesk@example.com/roles", {})
    assert setting == (200, {"desktopMFARecoveryPinEnabled": False})
    assert [role["type"] for role in roles[1]] == ["READ_ONLY_ADMIN"]
    assert world.okta.answer("/api/v1/users/nobody@example.com/roles", {})[0] == 404


def test_a_deleted_record_is_not_found_and_the_system_log_tells_it(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")

    status, events = world.okta.answer("/api/v1/logs", {"filter": 'eventType eq "device.lifecycle.delete"'})
    [event] = events
    [target] = event["target"]
    assert (status, target["detailEntry"]["serialNumber"]) == (200, world.macs["deleted"].facts.serial_number)
    status, error = world.okta.answer(f"/api/v1/devices/{target['id']}", {})
    assert (status, error["errorCode"]) == (404, "E0000007")


def test_people_are_known_by_login_in_any_case_and_by_id(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    person = world.macs["healthy"].facts.person

    status, user = world.okta.answer(f"/api/v1/users/{person.upper()}", {})

    assert (status, user["profile"]["login"]) == (200, person)
    assert world.okta.answer(f"/api/v1/users/{user['id']}", {}) == (200, user)
    [record] = records(world, "healthy")
    assert [one["user"] for one in world.okta.answer(f"/api/v1/devices/{record['id']}/users", {})[1]] == [user]
    [listed] = world.okta.answer("/api/v1/devices", {"expand": "userSummary"})[1]
    assert [one["user"] for one in listed["_embedded"]["users"]] == [user]
    events = world.okta.answer("/api/v1/logs", {"filter": f'eventType eq "{REGISTERED}"'})[1]
    assert {user["id"]} == {one["id"] for event in events for one in event["target"] if one["type"] == "User"}


def test_the_log_has_an_end_where_one_is_asked_for(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    query = {"filter": 'eventType eq "device.lifecycle.delete"', "since": "2026-11-21T12:00:00Z"}

    assert len(world.okta.answer("/api/v1/logs", {**query, "until": "2026-11-21T12:00:00Z"})[1]) == 1
    assert world.okta.answer("/api/v1/logs", {**query, "until": "2026-11-21T12:00:00Z", "since": "2026-11-22"})[1] == []
