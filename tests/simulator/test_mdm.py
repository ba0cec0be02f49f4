"""The simulated MDM on a clock that the test moves: what is owed, what is done, what comes back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.simulator.worlds import NOW, fingerprint, world_of

from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import CollectedText, MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.simulator.mac import Mac, has_marker
from scepfix.simulator.mdm import MdmOnAClock
from scepfix.simulator.world import MacSpec, World

LATER, MUCH_LATER = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)


def marked(mac: Mac) -> list[bytes]:
    return [item.der for item in mac.system_keychain.items() if has_marker(item.der)]


def record(world: World, name: str = "healthy", at: datetime = MUCH_LATER) -> MdmDevice:
    serial = world.macs[name].facts.serial_number
    return world.mdm.devices([serial], at)[serial]


def remove_and_put_back(world: World, name: str = "healthy") -> None:
    mdm_id = world.macs[name].facts.mdm_id
    world.mdm.exclude([mdm_id], NOW)
    world.mdm.check_in(LATER)
    world.mdm.put_back([mdm_id], LATER)
    world.mdm.check_in(MUCH_LATER)


def test_a_removal_and_a_reinstall_bring_a_new_certificate(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    mac = world.macs["healthy"]
    [old] = [x509.load_der_x509_certificate(der) for der in marked(mac)]

    world.mdm.exclude([mac.facts.mdm_id], NOW)
    assert (record(world).excluded, record(world).removal_pending, record(world).profile_installed) == (
        True,
        True,
        True,
    )
    world.mdm.check_in(LATER)
    assert marked(mac) == []
    assert (record(world).removal_pending, record(world).removed_at) == (False, LATER)
    assert mac.profile_installed_at() is None
    world.mdm.put_back([mac.facts.mdm_id], LATER)
    assert (record(world).excluded, record(world).install_status) == (False, "Pending")
    world.mdm.check_in(MUCH_LATER)

    [new] = [x509.load_der_x509_certificate(der) for der in marked(mac)]
    assert new.serial_number != old.serial_number
    assert new.public_key() != old.public_key()
    assert new.not_valid_before_utc == MUCH_LATER
    assert (record(world).install_status, record(world).installed_at) == ("Acknowledged", MUCH_LATER)
    assert world.mdm.profile().last_issued_at == MUCH_LATER
    verbs = [entry["verb"] for entry in world.effects()]
    assert verbs == ["exclude", "RemoveProfile", "put-back", "InstallProfile"]
    assert len({entry["key"] for entry in world.effects()}) == 4


def test_asking_twice_changes_once(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    mdm_id = world.macs["healthy"].facts.mdm_id

    for _ in range(2):
        world.mdm.exclude([mdm_id, "nobody"], NOW)
    for _ in range(2):
        world.mdm.put_back([mdm_id, "nobody"], LATER)

    assert [entry["verb"] for entry in world.effects()] == ["exclude", "put-back"]


def test_leaving_the_group_takes_back_a_removal_that_was_not_answered(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    before = marked(world.macs["healthy"])
    mdm_id = world.macs["healthy"].facts.mdm_id

    world.mdm.exclude([mdm_id], NOW)
    world.mdm.put_back([mdm_id], NOW)
    world.mdm.check_in(LATER)

    assert marked(world.macs["healthy"]) == before
    assert record(world).removed_at is None


def test_an_idle_world_stays_as_it_is(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy", "deleted", "profile-missing", "profile-excluded", "not-managed")
    before = fingerprint(world.folder)

    for minutes in range(10):
        world.mdm.check_in(NOW + timedelta(minutes=minutes))
    record(world)
    world.mdm.profile()
    world.mdm.members(NOW)
    world.mdm.certificates(["1"], NOW)

    assert fingerprint(world.folder) == before


def test_a_device_that_is_offline_does_nothing_and_was_seen_before(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", "offline", "2026-11-20T08:00:00Z")

    remove_and_put_back(world)

    assert record(world).last_seen_at == datetime.fromisoformat("2026-11-20T08:00:00+00:00")
    assert [entry["verb"] for entry in world.effects()] == ["exclude", "put-back"]


def test_a_nudge_is_a_check_in(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    mdm_id = world.macs["healthy"].facts.mdm_id

    world.mdm.exclude([mdm_id], NOW)
    world.mdm.nudge([mdm_id], LATER)

    assert record(world).removed_at == LATER
    assert [entry["verb"] for entry in world.effects()] == ["exclude", "nudge", "RemoveProfile"]


def test_a_leftover_stays_with_its_key_when_the_profile_goes(tmp_path: Path) -> None:
    world = world_of(tmp_path, "leftover")
    mac = world.macs["leftover"]
    oldest = marked(mac)[0]

    world.mdm.exclude([mac.facts.mdm_id], NOW)
    world.mdm.check_in(LATER)

    assert marked(mac) == [oldest]
    assert [item.private_key for item in mac.system_keychain.items() if item.der == oldest] == [True]


def test_a_second_certificate_of_okta_survives_everything(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", "second-okta-certificate", "yes", NOW)
    second = world.macs["healthy"].system_keychain.items()[-1]

    remove_and_put_back(world)

    assert not has_marker(second.der)
    assert second in world.macs["healthy"].system_keychain.items()


def same_key(world: World, old: bytes, new: list[bytes]) -> bool:
    keys = [x509.load_der_x509_certificate(der).public_key() for der in (old, *new)]
    return len(new) == 1 and old != new[0] and keys[0] == keys[1]


def not_before(new: list[bytes]) -> datetime:
    return x509.load_der_x509_certificate(new[-1]).not_valid_before_utc


def org_issued(world: World, der: bytes) -> bool:
    issuer = x509.load_pem_x509_certificate(world.ca.certificate_file.read_bytes())
    try:
        x509.load_der_x509_certificate(der).verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True


@pytest.mark.parametrize(
    ("behaviour", "value", "expected"),
    [
        ("keep-old-certificate", "yes", lambda world, old, new: new[0] == old and len(new) == 2),
        ("wrong-ca", "yes", lambda world, old, new: len(new) == 1 and not org_issued(world, new[0])),
        ("wrong-ca", "endpoint", lambda world, old, new: new == []),
        ("same-key", "yes", same_key),
        ("same-certificate", "yes", lambda world, old, new: new == [old]),
        ("backdate", "20", lambda world, old, new: not_before(new) == MUCH_LATER - timedelta(minutes=20)),
        ("removal-silent", "yes", lambda world, old, new: new == [old]),
        ("install-error", "yes", lambda world, old, new: new == []),
        ("install-notnow", "yes", lambda world, old, new: new == []),
        ("install-silent", "yes", lambda world, old, new: new == []),
        ("ca-refuses", "yes", lambda world, old, new: new == []),
    ],
)
def test_a_device_can_be_told_to_go_wrong(
    tmp_path: Path, behaviour: str, value: str, expected: Callable[[World, bytes, list[bytes]], bool]
) -> None:
    world = world_of(tmp_path)
    [old] = marked(world.macs["healthy"])
    assert org_issued(world, old)
    world.tell("healthy", behaviour, value)

    remove_and_put_back(world)

    assert expected(world, old, marked(world.macs["healthy"]))


def test_a_new_certificate_may_lack_its_key(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", "no-key", "yes")

    remove_and_put_back(world)

    assert world.macs["healthy"].usable(MUCH_LATER) is None
    assert len(marked(world.macs["healthy"])) == 1


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("install-error", "Error"), ("install-notnow", "NotNow"), ("install-silent", "Pending"), ("ca-refuses", "Error")],
)
def test_an_install_that_does_not_come_is_told_and_tried_again(tmp_path: Path, behaviour: str, status: str) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", behaviour, "yes")
    remove_and_put_back(world)
    assert (record(world).install_status, record(world).profile_installed) == (status, False)

    world.tell("healthy", behaviour, "no")
    world.mdm.check_in(MUCH_LATER)

    assert (record(world).install_status, record(world).profile_installed) == ("Acknowledged", True)


def test_a_removal_that_is_never_answered_stays_pending(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", "removal-silent", "yes")
    world.mdm.exclude([world.macs["healthy"].facts.mdm_id], NOW)
    world.mdm.check_in(LATER)

    assert (record(world).removal_pending, record(world).profile_installed) == (True, True)


def test_a_lost_install_comes_once_somebody_asks(tmp_path: Path) -> None:
    world = world_of(tmp_path, "profile-missing")
    mdm_id = world.macs["profile-missing"].facts.mdm_id
    world.mdm.check_in(NOW)
    assert record(world, "profile-missing").profile_installed is False

    world.mdm.put_back([mdm_id], LATER)
    world.mdm.check_in(LATER)

    assert record(world, "profile-missing").profile_installed is True


def test_one_mac_with_wifi_makes_the_profile_one_with_wifi(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert world.mdm.profile().payload_types == ("com.apple.security.scep",)

    world.tell("healthy", "wifi", "yes")

    assert world.mdm.profile().payload_types == ("com.apple.security.scep", "com.apple.wifi.managed")
    assert b"com.apple.wifi.managed" in (world.macs["healthy"].folder / "profiles.xml").read_bytes()


def test_what_the_mdm_says_of_profile_and_device_can_be_set(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.mdm.set_profile(comes_back="not installed automatically", group_uses=["VPN"], declarative=True)
    world.tell("healthy", "set-apart", "lost-mode")

    found = world.mdm.profile()
    assert (found.comes_back, found.group_uses, found.declarative) == ("not installed automatically", ("VPN",), True)
    assert record(world).set_apart == "lost-mode"
    with pytest.raises(ValueError, match="colour"):
        world.mdm.set_profile(colour="red")


def test_the_certificate_list_is_that_of_the_last_check_in(tmp_path: Path) -> None:
    world = world_of(tmp_path)

    found = world.mdm.certificates(["1", "2"], NOW)

    assert set(found) == {"1"}
    assert found["1"].taken_at == NOW
    assert marked(world.macs["healthy"])[0] in [one.der for one in found["1"].certificates]


def test_what_the_collector_printed_is_there_where_it_was_put(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert world.mdm.collected(["1", "2"]) == {}

    world.mdm.set_devices({"1": {"collected": {"line": "scepfix/1", "collected_at": rfc3339(NOW)}}})

    assert world.mdm.collected(["1", "2"]) == {"1": CollectedText("scepfix/1", NOW)}


def test_a_device_without_record_is_not_there(tmp_path: Path) -> None:
    world = world_of(tmp_path, "not-managed")

    assert world.mdm.devices([world.macs["not-managed"].facts.serial_number], NOW) == {}


def test_an_mdm_opened_to_read_refuses_changes(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    mdm = MdmOnAClock(world.mdm, lambda: NOW, read_only=True)
    before = fingerprint(world.folder)

    for change in (mdm.exclude, mdm.put_back, mdm.nudge):
        with pytest.raises(ScepfixError, match="read only"):
            change(["1"])
    assert mdm.members() == ()
    assert fingerprint(world.folder) == before


class Repairs(RuleBasedStateMachine):
    """Whatever is asked in whatever order: once nobody is excluded and all check in, each has its profile back."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        specs = [MacSpec("one"), MacSpec("two")]
        self.world = World.create(Path(self.temporary.name) / "world", specs, NOW)
        self.now = NOW

    @rule(mdm_id=st.sampled_from(["1", "2"]))
    def exclude(self, mdm_id: str) -> None:
        self.world.mdm.exclude([mdm_id], self.now)

    @rule(mdm_id=st.sampled_from(["1", "2"]))
    def put_back(self, mdm_id: str) -> None:
        self.world.mdm.put_back([mdm_id], self.now)

    @rule()
    def check_in(self) -> None:
        self.now += timedelta(seconds=30)
        self.world.mdm.check_in(self.now)

    @rule(
        name=st.sampled_from(["one", "two"]),
        behaviour=st.sampled_from(["offline", "removal-silent", "install-error", "keep-old-certificate"]),
        value=st.sampled_from(["yes", "no"]),
    )
    def tell(self, name: str, behaviour: str, value: str) -> None:
        self.world.tell(name, behaviour, value)

    @invariant()
    def what_the_mdm_says_is_so(self) -> None:
        for mac in self.world.macs.values():
            said = self.world.mdm.devices([mac.facts.serial_number], self.now)[mac.facts.serial_number]
            assert said.profile_installed is (mac.profile_installed_at() is not None)

    def teardown(self) -> None:
        for name in ("one", "two"):
            for behaviour in ("offline", "removal-silent", "install-error"):
                self.world.tell(name, behaviour, "no")
        self.world.mdm.put_back(["1", "2"], self.now)
        self.check_in()
        for mac in self.world.macs.values():
            assert mac.profile_installed_at() is not None
            assert mac.usable(self.now) is not None
        self.temporary.cleanup()


TestRepairs = Repairs.TestCase
TestRepairs.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
