"""Who comes into a plan, who is set aside and why, what it predicts, and that making one writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificate_factory import make
from tests.evidence_factory import NOW, catalogue
from tests.plan_factory import HOSTILE
from tests.plan_world import EXPIRED, MDM_SETTINGS, OLD, REJECTED, Site, World, serial

from scepfix.domain.device import Identity, StoredCertificate
from scepfix.domain.errors import RefusedError
from scepfix.domain.evidence import Witness
from scepfix.domain.plan import Sureness
from scepfix.service.observe import NotObserved
from scepfix.service.plan import refuse_other_settings


def test_a_deleted_device_is_planned_to_be_repaired() -> None:
    made = World().plan()

    (device,) = made.devices
    assert (device.fault, device.playbook, device.standing) == ("device-deleted", "reinstall_scep_profile", "confirmed")
    assert device.identity == Identity("C02MAC042", "UUID-MAC-042", "id-mac-042")
    assert [one.serial_number for one in device.before] == ["a1b"]
    assert {one.what for one in device.predictions} >= {"profile", "certificate", "okta-record"}
    assert any(one.sureness is not Sureness.CERTAIN for one in device.predictions)
    assert len(device.one_way_steps) == 1
    assert device.facts["evidence"] == "okta.device-gone"
    assert (made.requester, made.expires_at - made.made_at) == ("bob", timedelta(hours=24))
    assert made.variables["mdm.exclusion_group"] == "scepfix-excluded"
    assert made.set_aside == ()


def test_a_device_on_which_nothing_changes_stays_in_the_plan_with_what_to_do() -> None:
    world = World()
    world.okta_says("mac-042", "okta.pin-setting")

    (device,) = world.plan().devices

    assert (device.fault, device.playbook, device.changes) == ("recovery-pin-disabled", "report", False)
    assert any("Security > General" in step for step in device.watches)
    assert (device.predictions, device.one_way_steps) == ((), ())


@pytest.mark.parametrize("code", ["unreachable", "garbage", "failed", "unknown"])
def test_a_device_that_was_not_read_is_set_aside(code: str) -> None:
    world = World()
    world.observations["mac-042"] = NotObserved(code, "it did not \x1b[31manswer")

    lead = "no answer: asleep, off, or off the network? " if code == "unreachable" else ""
    assert world.aside() == (code, f"{lead}it did not ␛[31manswer")


def test_a_device_without_any_answer_is_set_aside() -> None:
    world = World()
    world.observations.clear()

    assert world.aside()[0] == "unreachable"


def test_a_device_that_does_not_say_who_it_is_is_set_aside() -> None:
    world = World()
    world.see("mac-042", identity=Identity())

    assert world.aside()[0] == "garbage"


@pytest.mark.parametrize("denied", ["MAC-042", "Alice", "c02mac042"])
def test_a_denied_device_or_person_is_set_aside(denied: str) -> None:
    world = World()
    world.policy = replace(world.policy, deny=("other", denied))

    assert world.aside()[0] == "denied"


def test_two_names_of_one_device_are_both_refused() -> None:
    world = World("mac-1", "mac-2", "mac-3")
    world.see("mac-2", identity=Identity(serial("mac-1"), "UUID-MAC-1"))

    made = world.plan()

    assert [one.name for one in made.devices] == ["mac-3"]
    assert [(one.name, one.code) for one in made.set_aside] == [("mac-1", "ambiguous"), ("mac-2", "ambiguous")]
    assert "mac-2" in made.set_aside[0].reason


def test_a_device_that_is_not_the_one_of_the_mdm_is_set_aside() -> None:
    world = World()
    world.enrol("mac-042", identity=Identity("C02MAC042", "UUID-OTHER", "id-9"))

    assert world.aside()[0] == "identity-mismatch"


@pytest.mark.parametrize("why", ["lost-mode", "wiped", "retired", "locked"])
def test_what_was_taken_out_of_use_is_not_repaired(why: str) -> None:
    world = World()
    world.enrol("mac-042", set_apart=why)

    code, reason = world.aside()
    assert code == "removed-on-purpose"
    assert why in reason


def test_an_undetermined_device_is_set_aside_with_what_is_missing() -> None:
    world = World()
    world.okta = None

    assert world.aside()[0] == "undetermined"


def test_a_healthy_device_is_set_aside() -> None:
    world = World()
    world.okta_says("mac-042", "okta.device-active", "okta.registered", "okta.enrolled")

    assert world.aside()[0] == "healthy"


def test_only_the_fault_that_was_asked_for_is_kept() -> None:
    world = World("mac-1", "mac-2")
    world.okta_says("mac-2", "okta.pin-setting")
    world.only_fault = "device-deleted"

    made = world.plan()

    assert [one.name for one in made.devices] == ["mac-1"]
    assert [(one.name, one.code) for one in made.set_aside] == [("mac-2", "not-that-fault")]


@pytest.mark.parametrize("who", ["mdm", "device"])
def test_another_device_of_the_inventory_that_answers_at_the_address_is_set_aside(who: str) -> None:
    """A stale address: bob's Mac answers where alice's was."""
    world = World()
    world.names = ("mac-042", "MAC-043")
    if who == "mdm":
        world.enrol("mac-042", name="mac-043")
    else:
        world.see("mac-042", name="mac-043")

    code, reason = world.aside()

    assert code == "identity-mismatch"
    assert "another device of the inventory" in reason


def test_another_serial_number_than_the_inventory_says_is_set_aside() -> None:
    world = World()
    world.devices = [replace(world.devices[0], serial_number="C02OTHER")]

    assert world.aside()[0] == "identity-mismatch"
    world.devices = [replace(world.devices[0], serial_number="c02mac042")]
    assert len(world.plan().devices) == 1


def test_another_name_at_the_mdm_is_said_before() -> None:
    world = World()
    world.enrol("mac-042", name="Alice's \x1b[31mMac")

    assert "the MDM knows this device as Alice's ␛[31mMac" in world.plan().devices[0].watches[0]


def test_what_okta_could_not_be_asked_is_said_before_of_that_device_alone() -> None:
    world = World("mac-1", "mac-2", "mac-3")
    assert world.okta is not None
    note = "Okta knows nobody named \x1b[31malice: check the name."
    world.okta.silent_on = {serial("mac-1"): (note, note), serial("mac-2"): ("Security > General, by hand.",)}
    world.okta_says("mac-2", "okta.pin-setting")

    changing, report, other = world.plan().devices

    assert (changing.changes, report.changes, other.changes) == (True, False, True)
    assert changing.watches.count("Okta knows nobody named ␛[31malice: check the name.") == 1
    assert set(changing.watches) - set(other.watches) == {"Okta knows nobody named ␛[31malice: check the name."}
    assert report.watches[-1] == "Security > General, by hand."
    assert changing.watches[-1] == other.watches[-1]


def test_what_is_said_anyway_is_not_said_twice() -> None:
    world = World()
    world.okta_says("mac-042", "okta.pin-setting")
    assert world.okta is not None
    (device,) = world.plan().devices
    world.okta.silent_on = {serial("mac-042"): device.watches}

    assert world.plan().devices[0].watches == device.watches


def test_without_okta_nothing_is_said_of_it() -> None:
    world = World()
    world.see("mac-042", certificates=(StoredCertificate(EXPIRED.der, "system", private_key=True),))
    world.okta = None

    assert not any("Okta" in watch for watch in world.plan().devices[0].watches)


def test_keys_that_differ_in_case_are_the_same_device() -> None:
    world = World()
    world.enrol("mac-042", identity=Identity("c02mac042", "uuid-mac-042", "id-9"))

    assert len(world.plan().devices) == 1


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"last_seen_at": NOW - timedelta(hours=2)}, "silent"),
        ({"in_scope": False}, "does-not-come-back"),
        ({"identity": Identity("C02MAC042", "", "id-9")}, "identity-mismatch"),
    ],
)
def test_what_preflight_would_refuse_is_set_aside_already(record: dict[str, object], code: str) -> None:
    world = World()
    world.enrol("mac-042", **record)

    assert world.aside()[0] == code


def test_a_device_that_the_mdm_does_not_know_is_a_fault_for_a_person() -> None:
    world = World()
    assert world.mdm is not None
    world.mdm.records.clear()
    world.okta_says("mac-042")

    (device,) = world.plan().devices

    assert (device.fault, device.changes) == ("device-not-managed", False)


def test_a_profile_that_carries_more_than_scep_is_not_moved() -> None:
    world = World()
    assert world.mdm is not None
    world.mdm.found = replace(world.mdm.found, payload_types=("com.apple.security.scep", "com.apple.wifi.managed"))

    code, reason = world.aside()

    assert code == "bundled"
    assert "com.apple.wifi.managed" in reason


def test_without_an_mdm_nothing_is_moved() -> None:
    world = World()
    world.mdm = None

    assert world.aside()[0] == "no-mdm"


def test_a_rejected_certificate_alone_starts_no_one_way_step() -> None:
    world = World()
    world.see("mac-042", log=REJECTED.encode())
    world.okta = None

    (device,) = world.plan().devices

    assert (device.fault, device.standing, device.playbook) == ("certificate-rejected", "likely", "report")


def test_not_even_where_a_site_would_have_it_so() -> None:
    shipped = catalogue()
    faults = tuple(
        replace(one, playbook="reinstall_scep_profile") if one.id == "certificate-rejected" else one
        for one in shipped.faults
    )
    world = World()
    world.site = Site(catalogue=replace(shipped, faults=faults))
    world.see("mac-042", log=REJECTED.encode())
    world.okta = None

    code, reason = world.aside()

    assert code == "not-sure-enough"
    assert "only that the server answered with an error" in reason


def test_what_a_ticket_alone_says_starts_no_one_way_step() -> None:
    world = World()
    assert world.okta is not None
    world.okta.witness = Witness.TICKET
    world.see("mac-042", certificates=(), complete=False, profiles=None)
    world.enrol("mac-042", profile_installed=None)

    assert world.aside()[0] == "not-sure-enough"


def test_an_expired_certificate_is_repaired_without_okta() -> None:
    world = World()
    world.see("mac-042", certificates=(StoredCertificate(EXPIRED.der, "system", private_key=True),))
    world.okta = None

    (device,) = world.plan().devices

    assert (device.fault, device.playbook) == ("certificate-expired", "reinstall_scep_profile")


def test_leftovers_are_named_by_their_hash() -> None:
    world = World()
    older = make(number=2, serial=0x99, not_before=NOW - timedelta(days=200), not_after=NOW + timedelta(days=100))
    both = tuple(StoredCertificate(one.der, "system", private_key=True) for one in (OLD, older))
    world.see("mac-042", certificates=both)
    world.okta_says("mac-042", "okta.device-active")

    (device,) = world.plan().devices

    assert (device.fault, device.playbook) == ("certificate-leftover", "remove_leftover_certificates")
    known = {one.serial_number: one.sha256 for one in device.before}
    assert device.remove == (known["99"],)


def test_the_mdm_is_asked_once_for_all_devices() -> None:
    world = World(*(f"mac-{number}" for number in range(30)))
    world.plan()

    assert world.mdm is not None
    assert world.mdm.asked == 1


def test_nobody_at_all_is_refused() -> None:
    world = World()
    world.devices = []

    with pytest.raises(RefusedError) as caught:
        world.plan()
    assert caught.value.code == "empty-selection"


def test_a_hostile_person_stays_text() -> None:
    world = World()
    world.devices = [World.device("mac-042", HOSTILE)]

    (device,) = world.plan().devices

    assert "\x1b" not in device.person
    assert "{{ 7*7 }}" in device.person


@settings(max_examples=50, deadline=None)
@given(minutes=st.integers(0, 14), log=st.sampled_from([b"", b"2026/11/24 08:00:00:000 +0000 {other}\n"]))
def test_another_clock_and_other_lines_keep_the_digest(minutes: int, log: bytes) -> None:
    """What was read at another time, and says the same, is the same plan: the approval holds."""
    world = World()
    first = world.plan().digest()
    later = NOW + timedelta(minutes=minutes)
    world.see("mac-042", observed_at=later, log=log, clock_offset_seconds=minutes / 10, os_build=str(minutes))
    world.enrol("mac-042", last_seen_at=later)

    assert world.plan(later).digest() == first


@pytest.mark.parametrize("change", ["certificate", "person", "record", "limit", "proof", "content"])
def test_what_an_approval_relies_on_changes_the_digest(change: str) -> None:
    world = World()
    first = world.plan()
    if change == "certificate":
        other = make(number=3, serial=0x55, not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=9))
        world.see("mac-042", certificates=(StoredCertificate(other.der, "system", private_key=True),))
    elif change == "person":
        world.devices = [World.device("mac-042", "carol")]
    elif change == "record":
        world.enrol("mac-042", identity=Identity("C02MAC042", "UUID-MAC-042", "id-new"))
    elif change == "limit":
        world.policy = replace(world.policy, backdating_minutes=60)
    second = replace(world.plan(), content_sha256="d" * 64) if change == "content" else world.plan()
    if change == "proof":
        world.policy = replace(world.policy, proof_grade=type(world.policy.proof_grade)("mdm"))
        second = world.plan()

    assert second.digest() != first.digest()


def test_a_plan_is_begun_with_the_settings_it_was_made_with() -> None:
    world = World()
    made = world.plan()

    refuse_other_settings(made, replace(world.policy, poll_seconds=99, unauthenticated_devices=7), MDM_SETTINGS)
    for policy, services, code in (
        (replace(world.policy, put_back_after_hours=1), MDM_SETTINGS, "settings-changed"),
        (world.policy, {}, "settings-changed"),
        (replace(world.policy, deny=("alice",)), MDM_SETTINGS, "denied"),
    ):
        with pytest.raises(RefusedError) as caught:
            refuse_other_settings(made, policy, services)
        assert caught.value.code == code
