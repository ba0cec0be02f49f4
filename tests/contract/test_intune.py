"""Intune: what it says of devices and profile, how devices are moved, and each way in which Graph says no."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.flow import Commands, run_flow
from tests.contract.graph_contract import CONTRACT, GraphContract
from tests.contract.intune_face import (
    GROUP,
    MACS,
    OTHER,
    PROFILE,
    SCRIPT,
    SECRET,
    IntuneFace,
    guid,
    settings_of,
)
from tests.contract.server import Asked, Said, Service, changes, serve

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.intune import Intune
from scepfix.adapters.mdm.read_only import ReadOnlyMdm
from scepfix.domain.check import CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ListedCertificate, MdmDevice
from scepfix.parsers.graph_intune import CertificateState, Managed, record
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.simulator.running import run_world
from scepfix.simulator.world import MacSpec, World
from scepfix.wiring import open_mdm

pytestmark = pytest.mark.skipif(
    not CONTRACT.exists(), reason=f"the published fields of Microsoft Graph are not at {CONTRACT}"
)
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@dataclass
class Setup:
    """A world of two Macs, its face, and Intune as scepfix sees it; ``slept`` are the waits."""

    world: World
    face: IntuneFace
    service: Service
    settings: ServiceSettings
    slept: list[float]
    moment: list[datetime]

    def open(self, options: dict[str, str] | None = None) -> Intune:
        settings = ServiceSettings("intune", {**self.settings.options, **(options or {})}, self.settings.secrets)
        return Intune(settings, sleep=self.slept.append, now=self.now)

    def now(self) -> datetime:
        return self.moment[0]

    def later(self, **time: float) -> datetime:
        self.moment[0] += timedelta(**time)
        return self.moment[0]

    def record(self, name: str = "mac-001") -> MdmDevice:
        serial = self.world.macs[name].facts.serial_number
        return self.open().devices([serial])[serial]

    def ids(self, *names: str) -> list[str]:
        return [guid("managed", self.world.macs[name].facts.mdm_id) for name in names]


@pytest.fixture(scope="module")
def secret_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "client-secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.fixture
def make(tmp_path: Path, secret_file: Path) -> Iterator[Callable[..., Setup]]:
    """Makes the setup for these Macs."""
    running: list[Any] = []

    def start(*names: str) -> Setup:
        moment = [NOW]
        world = World.create(tmp_path / "world", [MacSpec(name, scenario="deleted") for name in names], NOW)
        face = IntuneFace(world, lambda: moment[0])
        context = serve(face, GraphContract())
        running.append(context)
        service = context.__enter__()
        secrets = {"client_secret": SecretRef("file", str(secret_file))}
        settings = ServiceSettings("intune", settings_of(service.url), secrets)
        return Setup(world, face, service, settings, [], moment)

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def setup(make: Callable[..., Setup]) -> Iterator[Setup]:
    made = make("mac-001", "mac-002")
    yield made
    assert made.service.off_contract == []


# --- the contract refuses what is not in it ----------------------------------------------------------------------


def asked(method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> Asked:
    data = b"" if body is None else json.dumps(body).encode()
    return Asked(method, path, tuple((query or {}).items()), {}, data)


@pytest.mark.parametrize(
    "request_",
    [
        asked("GET", "/v1.0/deviceManagement/deviceConfigurations"),
        asked("POST", f"/beta/deviceManagement/deviceConfigurations/{PROFILE}/assign", body={"assignments": []}),
        asked("GET", "/v1.0/deviceManagement/managedDevices", {"$select": "id,hardwareUuid"}),
        asked("GET", "/v1.0/deviceManagement/managedDevices", {"$filter": "serial eq 'x'"}),
        asked("GET", "/v1.0/deviceManagement/managedDevices", {"$filter": "id eq 'x' or id ne 'y'"}),
        asked("GET", "/v1.0/devices", {"$filter": " or ".join(["deviceId eq 'x'"] * 16)}),
        asked("PATCH", f"/v1.0/groups/{GROUP}", body={"members@odata.bind": ["https://x/v1.0/users/1"]}),
        asked("PATCH", f"/v1.0/groups/{GROUP}", body={"displayName": "mine"}),
        asked("POST", "/v1.0/$batch", body={"requests": [{"id": "1", "method": "DELETE", "url": f"/groups/{GROUP}"}]}),
        asked("POST", "/v1.0/$batch", body={"requests": []}),
    ],
)
def test_a_request_off_the_contract_is_refused(request_: Asked) -> None:
    assert GraphContract().of_request(request_)


@pytest.mark.parametrize(
    "item",
    [
        {"id": "1", "state": "gone"},
        {"id": 1},
        {"id": "1", "profileId": "x"},
        {"id": "1", "version": "3"},
        "text",
    ],
)
def test_a_reply_off_the_contract_is_seen(item: Any) -> None:
    path = f"/v1.0/deviceManagement/managedDevices/{OTHER}/deviceConfigurationStates"
    assert GraphContract().of_reply(asked("GET", path), Said(200, {"value": [item]}))
    assert GraphContract().of_reply(asked("GET", path), Said(200, {"value": [{"id": "1", "state": "conflict"}]})) == []


# --- what it says --------------------------------------------------------------------------------------------------


def test_a_device_is_found_by_its_serial_number(setup: Setup) -> None:
    facts = setup.world.macs["mac-001"].facts

    record = setup.record()

    assert record.identity.serial_number == facts.serial_number
    assert record.identity.hardware_uuid == facts.hardware_uuid
    assert record.identity.mdm_id == setup.ids("mac-001")[0]
    assert (record.name, record.managed, record.in_scope, record.excluded) == ("mac-001", True, True, False)
    assert record.profile_installed is True
    assert record.install_status == "Acknowledged"
    assert record.installed_at is not None


def test_a_serial_number_that_nobody_has_is_not_found_and_one_that_is_none_is_not_asked(setup: Setup) -> None:
    assert setup.open().devices(["C02NOBODY", "x' or id ne 'y"]) == {}
    assert all(b"id ne" not in asked.body for asked in setup.service.asked)


def test_of_two_records_the_one_that_synced_last_counts(setup: Setup) -> None:
    setup.face.others = [("mac-001", setup.world.macs["mac-001"].facts.serial_number)]

    assert setup.record().identity.mdm_id == setup.ids("mac-001")[0]


def test_a_whole_removal_and_reinstall_as_intune_reports_it(setup: Setup) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    asked_at = setup.later(minutes=1)

    mdm.exclude([one])
    waiting = setup.record()
    assert (waiting.excluded, waiting.removal_pending, waiting.removed_at) == (True, True, None)
    assert waiting.profile_installed is True
    assert [member.identity.mdm_id for member in mdm.members()] == [one]

    setup.later(minutes=1)
    mdm.nudge([one, two])
    gone = setup.record()
    assert (gone.excluded, gone.removal_pending) == (True, False)
    assert gone.removed_at is not None
    assert gone.removed_at > asked_at
    # It is the report that counts: without one newer than the asking nobody says that it is gone.
    assert gone.profile_installed is None

    setup.later(minutes=1)
    mdm.put_back([one])
    out = setup.record()
    assert (out.excluded, out.removal_pending, out.profile_installed) == (False, False, False)

    setup.later(minutes=1)
    mdm.nudge([one])
    back = setup.record()
    assert back.profile_installed is True
    assert back.installed_at is not None
    assert back.installed_at > gone.removed_at
    assert mdm.members() == ()
    assert setup.record("mac-002").removed_at is None


def test_without_certificate_states_the_report_of_the_last_sync_decides(setup: Setup) -> None:
    setup.face.certificate_states = False
    mdm, ids = setup.open(), setup.ids("mac-001")
    asked_at = setup.later(minutes=1)
    mdm.exclude(ids)
    setup.later(minutes=1)

    assert setup.record().removed_at is None
    setup.world.tell("mac-001", "offline", "2026-11-24T08:59:00Z")
    assert setup.record().removed_at is None
    setup.world.tell("mac-001", "offline", "no")
    mdm.nudge(ids)

    removed_at = setup.record().removed_at
    assert removed_at is not None
    assert removed_at > asked_at


def test_a_device_out_of_scope_or_out_of_use_is_said_to_be(setup: Setup) -> None:
    mac = setup.world.macs["mac-001"]
    setup.world.mdm.set_devices({mac.facts.mdm_id: {"in_scope": False}})
    assert setup.record().in_scope is False

    setup.world.tell("mac-001", "set-apart", "wiped")
    assert setup.record().set_apart == "wiped"
    setup.world.tell("mac-001", "set-apart", "no")
    setup.world.mdm.set_devices({mac.facts.mdm_id: {"managed": False}})
    assert setup.record().managed is False


def test_a_state_whose_name_two_devices_have_belongs_to_nobody(setup: Setup) -> None:
    setup.face.others = [("mac-001", "OTHERSERIAL1")]

    record = setup.record()

    assert record.profile_installed is True
    # Only the report of the configuration is left, and that knows no more than the last sync.
    assert setup.open().certificates(setup.ids("mac-001")) == {}
    setup.face.ids_tell = True
    assert set(setup.open().certificates(setup.ids("mac-001"))) == set(setup.ids("mac-001"))


def test_certificates_are_listed_with_serial_number_and_sha1(setup: Setup) -> None:
    from cryptography import x509

    der = (setup.world.macs["mac-001"].folder / "last.der").read_bytes()

    listed = setup.open().certificates([*setup.ids("mac-001"), "not-an-id", OTHER])

    (found,) = listed[setup.ids("mac-001")[0]].certificates
    assert found.serial_number == f"{x509.load_der_x509_certificate(der).serial_number:x}"
    assert len(found.sha1) == 40
    assert found.sha1 == found.sha1.lower()
    assert found.current is True
    assert listed[setup.ids("mac-001")[0]].taken_at == NOW


@pytest.mark.parametrize("remediation", [False, True])
def test_the_collectors_line_is_read_with_its_age(setup: Setup, remediation: bool) -> None:
    setup.face.remediation = remediation
    setup.face.collected = {"mac-001": ("scepfix/collector/1 {}\n", NOW), "mac-002": ("  ", NOW)}

    found = setup.open().collected(setup.ids("mac-001", "mac-002"))

    assert set(found) == set(setup.ids("mac-001"))
    (one,) = found.values()
    assert (one.line, one.collected_at) == ("scepfix/collector/1 {}", NOW)


def test_without_a_collector_nothing_is_asked(setup: Setup) -> None:
    assert setup.open({"collector_script": ""}).collected(setup.ids("mac-001")) == {}
    assert setup.service.asked == []


def test_pages_are_followed(setup: Setup) -> None:
    setup.face.page = 1
    mdm = setup.open()
    mdm.exclude(setup.ids("mac-001", "mac-002"))

    assert len(mdm.members()) == 2
    serials = [mac.facts.serial_number for mac in setup.world.macs.values()]
    assert set(mdm.devices(serials)) == set(serials)


_MOMENTS = st.one_of(st.none(), st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)))
_STATES = st.builds(
    CertificateState,
    id=st.just("x"),
    device_name=st.text(),
    state=st.sampled_from(["issued", "installed", "removedFromCollection", "deleted", "installFailed", "revoked", ""]),
    changed_at=_MOMENTS,
    issued_at=_MOMENTS,
    listed=st.just(ListedCertificate()),
)


@given(
    st.lists(_STATES, max_size=4),
    st.sampled_from(["", "compliant", "notAssigned", "error", "unknown"]),
    st.booleans(),
    _MOMENTS,
    st.text(),
)
def test_a_record_claims_no_more_than_was_reported(
    states: list[CertificateState], status: str, excluded: bool, synced: datetime | None, name: str
) -> None:
    device = Managed("id", name, "SERIAL", "UUID", "azure", synced, "managed")
    rows = [{"id": PROFILE, "state": status}] if status else []

    found = record(device, PROFILE, rows, states, excluded=excluded, in_scope=True)

    reported = {state.changed_at for state in states if state.off} | ({synced} if excluded else set())
    assert found.removed_at is None or found.removed_at in reported
    # Never certain from a report alone: it may be older than the asking.
    assert not (excluded and found.profile_installed is False)
    assert not (found.removal_pending and not excluded)
    assert found.name == visible(name)
    there = [state for state in states if state.there]
    assert found.installed_at is None or there or (not states and found.installed_at == synced)


# --- the profile ----------------------------------------------------------------------------------------------------


def test_the_profile_comes_back_by_itself(setup: Setup) -> None:
    profile = setup.open().profile()

    assert profile.comes_back == ""
    assert (profile.scope, profile.payload_types) == ("system", ("com.apple.security.scep",))
    assert profile.last_issued_at is not None
    assert profile.changed_at is not None
    assert profile.last_issued_at > profile.changed_at


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dynamic": True}, "dynamic"),
        ({"excludes_group": False}, "does not exclude"),
        ({"people_in_target": True}, "people"),
        ({"root_targets": (OTHER,)}, "trusted certificate profile Okta CA"),
    ],
)
def test_a_profile_that_would_not_come_back_says_why(setup: Setup, change: dict[str, Any], why: str) -> None:
    for name, value in change.items():
        setattr(setup.face, name, value)

    assert why in setup.open().profile().comes_back


def test_a_profile_for_people_is_of_scope_user(setup: Setup) -> None:
    setup.world.mdm.set_profile(scope="user")

    assert setup.open().profile().scope == "user"


@pytest.mark.parametrize("key", ["profile", "exclusion_group"])
def test_a_wrong_id_in_the_settings_is_named(setup: Setup, key: str) -> None:
    with pytest.raises(MdmError, match=f"knows nothing of that {key}"):
        setup.open({key: OTHER}).profile()


@pytest.mark.parametrize(
    ("key", "value"),
    [("profile", "../x"), ("exclusion_group", "my group"), ("tenant", "a/b"), ("collector_script", "x")],
)
def test_ids_that_are_none_are_refused_before_any_call(setup: Setup, key: str, value: str) -> None:
    with pytest.raises(UsageError, match=key):
        setup.open({key: value})
    assert setup.service.asked == []


# --- changing -------------------------------------------------------------------------------------------------------


def test_read_only_changes_nothing(setup: Setup) -> None:
    mdm = ReadOnlyMdm(setup.open())
    for change in (mdm.exclude, mdm.put_back, mdm.nudge):
        with pytest.raises(MdmError, match="read only"):
            change(setup.ids("mac-001"))
    assert setup.service.asked == []
    mdm.devices([setup.world.macs["mac-001"].facts.serial_number])
    assert [one["verb"] for one in setup.world.effects()] == []


def test_group_changes_are_idempotent(setup: Setup) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude([one])
    mdm.exclude([one, two])
    mdm.exclude([one, two])
    assert {member.identity.mdm_id for member in mdm.members()} == {one, two}
    mdm.put_back([one])
    mdm.put_back([one, two])
    mdm.put_back([one, two])
    assert mdm.members() == ()
    assert [each["verb"] for each in setup.world.effects()] == ["exclude", "exclude", "put-back", "put-back"]


def test_a_device_without_an_object_in_entra_excludes_nobody(setup: Setup) -> None:
    with pytest.raises(MdmError, match=r"1 device.*nobody was excluded"):
        setup.open().exclude([*setup.ids("mac-001"), OTHER])
    assert setup.world.effects() == []


def test_a_member_that_intune_does_not_manage_any_more_is_put_back_too(setup: Setup) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001")
    mdm.exclude(ids)
    mac = setup.world.macs["mac-001"]
    everyone, setup.face._all = setup.face._all, dict  # type: ignore[method-assign]

    (member,) = mdm.members()

    assert member.identity.mdm_id == f"directory:{guid('object', mac.facts.mdm_id)}"
    assert (member.managed, member.excluded) == (False, True)
    mdm.put_back([*ids, member.identity.mdm_id])
    setup.face._all = everyone  # type: ignore[method-assign]
    assert mdm.members() == ()


def parts_of(asked: Asked) -> str:
    return asked.body.decode() if asked.path.endswith("$batch") else asked.path


def test_members_are_had_from_the_group_alone(setup: Setup) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude(ids)
    setup.face.roles = {"GroupMember.ReadWrite.All"}
    fresh = setup.open()

    members = fresh.members()

    objects = {guid("object", mac.facts.mdm_id): mac.facts.name for mac in setup.world.macs.values()}
    assert {one.identity: one.name for one in members} == {
        Identity(mdm_id=f"directory:{object_id}"): name for object_id, name in objects.items()
    }
    assert all(one.excluded for one in members)
    fresh.put_back([one.identity.mdm_id for one in members])
    assert setup.world.mdm.members(NOW) == ()


@pytest.mark.parametrize("broken", ["deviceConfigurations", "deviceConfigurationStates", "checkMemberGroups"])
def test_members_are_known_whatever_the_profile_says(setup: Setup, broken: str) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001")
    mdm.exclude(ids)
    setup.service.inject(*[Said(500, {"error": {}})] * 99, matches=lambda asked: broken in parts_of(asked))

    (member,) = mdm.members()

    facts = setup.world.macs["mac-001"].facts
    assert member.identity == Identity(facts.serial_number, facts.hardware_uuid, ids[0])


def test_members_without_a_device_id_are_members(setup: Setup) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude(ids)
    kind = "#microsoft.graph.device"
    objects = [guid("object", mac.facts.mdm_id) for mac in setup.world.macs.values()]
    rows = [{"@odata.type": kind, "id": one, "deviceId": None, "displayName": None} for one in objects]
    setup.service.inject(Said(200, {"value": rows}), matches=lambda asked: asked.path.endswith("/members"))

    assert {one.identity.mdm_id for one in mdm.members()} == {f"directory:{one}" for one in objects}


@pytest.mark.parametrize(("status", "code"), [(400, "mdm-refused"), (403, "mdm-privilege"), (500, "mdm-unreachable")])
def test_one_that_cannot_be_put_back_keeps_no_other(make: Callable[..., Setup], status: int, code: str) -> None:
    names = [f"mac-{number:03}" for number in range(45)]
    setup = make(*names)
    mdm, ids = setup.open(), setup.ids(*names)
    mdm.exclude(ids)
    objects = {guid("object", mac.facts.mdm_id): mac for mac in setup.world.macs.values()}
    poisoned = min(objects)
    remove = setup.face._remove

    def refuse(object_id: str, **more: Any) -> Any:
        return (status, {"error": {"code": "x"}}, {}) if object_id == poisoned else remove(object_id, **more)

    setup.face._remove = refuse  # type: ignore[method-assign]
    with pytest.raises(MdmError) as raised:
        mdm.put_back(ids)

    assert raised.value.code == code
    assert "44 of 45 device(s) were put back, 1 not" in one_line(raised.value)
    (left,) = setup.world.mdm.members(NOW)
    assert left.name == objects[poisoned].facts.name


def test_a_batch_that_cannot_be_asked_keeps_no_other(make: Callable[..., Setup]) -> None:
    names = [f"mac-{number:03}" for number in range(45)]
    setup = make(*names)
    mdm, ids = setup.open(), setup.ids(*names)
    mdm.exclude(ids)
    setup.service.inject(Said(400, {"error": {}}), matches=lambda asked: b"DELETE" in asked.body)

    with pytest.raises(MdmError, match=r"25 of 45 device\(s\) were put back, 20 not") as raised:
        mdm.put_back(ids)

    assert raised.value.code == "mdm-refused"
    assert len(setup.world.mdm.members(NOW)) == 20


def test_a_device_that_intune_forgot_is_not_said_to_be_put_back(setup: Setup) -> None:
    (one, two) = setup.ids("mac-001", "mac-002")
    setup.open().exclude([one, two])
    everyone = setup.face._all
    setup.face._all = lambda: {key: mac for key, mac in everyone().items() if key != one}  # type: ignore[method-assign]
    mdm = setup.open()

    with pytest.raises(MdmError) as raised:
        mdm.put_back([one, two])

    assert raised.value.code == "mdm-refused"
    assert "scepfix rescue" in raised.value.hint
    assert one in one_line(raised.value)
    assert "1 of 2 device(s) were put back, 1 not" in raised.value.message
    (member,) = mdm.members()
    assert member.name == "mac-001"
    # What the hint says; and of an empty group everybody is out.
    mdm.put_back([member.identity.mdm_id])
    mdm.put_back([one])
    assert mdm.members() == ()


@pytest.mark.parametrize("look", ["exclude", "members"])
def test_who_saw_its_object_puts_back_a_device_that_intune_forgot(setup: Setup, look: str) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude(ids)
    if look == "members":
        mdm = setup.open()
        mdm.members()
    setup.face._all = dict  # type: ignore[method-assign]

    mdm.put_back(ids)

    assert setup.world.mdm.members(NOW) == ()


def test_what_can_be_is_put_back_while_intune_tells_nothing(setup: Setup) -> None:
    (one, two) = setup.ids("mac-001", "mac-002")
    setup.open().exclude([one, two])
    setup.service.inject(*[Said(503, {"error": {}})] * 9, matches=lambda asked: b"managedDevices" in asked.body)
    direct = f"directory:{guid('object', setup.world.macs['mac-001'].facts.mdm_id)}"

    with pytest.raises(MdmError, match=r"1 of 2 device\(s\) were put back, 1 not") as raised:
        setup.open().put_back([direct, two])

    assert raised.value.code == "mdm-unreachable"
    assert [member.name for member in setup.world.mdm.members(NOW)] == ["mac-002"]


def test_an_id_that_is_none_is_not_said_to_be_put_back(setup: Setup) -> None:
    mdm, ids = setup.open(), setup.ids("mac-001")
    mdm.exclude(ids)
    with pytest.raises(MdmError, match=r"0 of 1 device"):
        mdm.put_back(["directory:../x"])


def test_a_dynamic_group_takes_nobody(setup: Setup) -> None:
    setup.face.dynamic = True
    with pytest.raises(MdmError, match="takes no device into the group"):
        setup.open().exclude(setup.ids("mac-001"))


@pytest.mark.slow
def test_a_hundred_devices_take_few_group_changes(make: Callable[..., Setup]) -> None:
    names = [f"mac-{number:03}" for number in range(100)]
    setup = make(*names)
    mdm, ids = setup.open(), setup.ids(*names)

    before = len(changes(setup.service, ("PATCH",)))
    mdm.exclude(ids)
    assert len(changes(setup.service, ("PATCH",))) - before == 5
    setup.service.asked.clear()
    mdm.put_back(ids)
    batches = [asked for asked in setup.service.asked if b"DELETE" in asked.body]
    assert len(batches) == 5
    assert mdm.members() == ()
    assert setup.service.off_contract == []


# --- Entra and Graph say no -----------------------------------------------------------------------------------------


def one_line(error: ScepfixError) -> str:
    text = str(error)
    assert "\n" not in text
    assert error.hint
    assert SECRET not in text
    assert SECRET not in repr(error)
    return text


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (7000215, "mdm-credentials", "the client secret is wrong"),
        (7000222, "mdm-credentials", "the client secret has expired"),
        (700016, "mdm-credentials", "no app with that client id"),
        (90002, "mdm-tenant", "no such tenant"),
        (900023, "mdm-tenant", "no such tenant"),
        (50000, "mdm-credentials", "gave no token"),
    ],
)
def test_a_refused_token_gives_one_line(setup: Setup, number: int, code: str, says: str) -> None:
    setup.face.refuses_token = number
    with pytest.raises(MdmError) as raised:
        setup.open().profile()
    assert raised.value.code == code
    assert says in one_line(raised.value)
    assert f"AADSTS{number}" in raised.value.message


def test_a_wrong_tenant_gives_one_line(setup: Setup) -> None:
    with pytest.raises(MdmError) as raised:
        setup.open({"tenant": "nobody.example.com"}).profile()
    assert raised.value.code == "mdm-tenant"
    one_line(raised.value)


def test_a_revoked_permission_gives_one_line_that_names_it(setup: Setup) -> None:
    setup.face.roles.discard("DeviceManagementManagedDevices.Read.All")
    with pytest.raises(MdmError) as raised:
        setup.record()
    assert raised.value.code == "mdm-privilege"
    assert "DeviceManagementManagedDevices.Read.All" in one_line(raised.value)

    setup.face.roles.discard("GroupMember.ReadWrite.All")
    setup.face.roles.add("DeviceManagementManagedDevices.Read.All")
    setup.face.roles.add("GroupMember.Read.All")
    with pytest.raises(MdmError, match=r"GroupMember\.ReadWrite\.All") as raised:
        setup.open().exclude(setup.ids("mac-001"))
    assert raised.value.code == "mdm-privilege"
    assert setup.world.effects() == []


def test_a_token_that_ended_early_is_renewed_once(setup: Setup) -> None:
    mdm = setup.open()
    mdm.profile()
    setup.face.tokens.clear()
    assert mdm.profile().comes_back == ""

    setup.service.inject(*[Said(401, {"error": {"code": "x"}})] * 2, matches=lambda asked: asked.method == "GET")
    with pytest.raises(MdmError) as raised:
        mdm.profile()
    assert raised.value.code == "mdm-credentials"
    one_line(raised.value)


def test_a_token_is_renewed_before_it_ends(setup: Setup) -> None:
    mdm = setup.open()
    mdm.profile()
    setup.later(seconds=3599 - 299)
    mdm.profile()
    asked = [one for one in setup.service.asked if one.path.endswith("/token")]
    assert len(asked) == 2


def is_graph(asked: Asked) -> bool:
    return not asked.path.endswith("/token")


@pytest.mark.parametrize("headers", [(("Retry-After", "7"),), ()])
def test_throttling_costs_time_only(setup: Setup, headers: tuple[tuple[str, str], ...]) -> None:
    setup.service.inject(*[Said(429, {"error": {}}, headers=headers)] * 3, matches=is_graph)
    setup.open().exclude(setup.ids("mac-001"))
    assert [one["verb"] for one in setup.world.effects()] == ["exclude"]
    assert setup.slept[:3] == ([7.0] * 3 if headers else setup.slept[:3])
    assert min(setup.slept) > 0


@pytest.mark.parametrize("retry_after", ["3", ""])
def test_throttled_parts_of_a_batch_are_asked_again(setup: Setup, retry_after: str) -> None:
    setup.face.throttles, setup.face.retry_after = 3, retry_after
    assert setup.record().profile_installed is True
    assert setup.slept == ([3.0] * 3 if retry_after else [1.0, 2.0, 4.0]) or sum(setup.slept) > 0


def test_parts_that_stay_throttled_are_an_error(setup: Setup) -> None:
    setup.face.throttles = 1000
    with pytest.raises(MdmError) as raised:
        setup.record()
    assert raised.value.code == "mdm-unreachable"
    one_line(raised.value)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Said(500, {"error": {}}), "mdm-unreachable"),
        (Said(200, {"value": []}, cut=True), "mdm-unreachable"),
        (Said(409, {"error": {}}), "mdm-refused"),
        (Said(410, {"error": {}}), "mdm-refused"),
        (Said(404, {"error": {}}), "mdm-answer"),
        (Said(200, body=b"<html>"), "mdm-answer"),
        (Said(200, {"value": "x"}), "mdm-answer"),
        (Said(200, body=b""), "mdm-answer"),
        (Said(200, []), "mdm-answer"),
    ],
)
def test_what_is_broken_gives_one_line(setup: Setup, said: Said, code: str) -> None:
    setup.service.inject(*[said] * 20, matches=lambda asked: "deviceConfigurations/" in asked.path)
    with pytest.raises(MdmError) as raised:
        setup.open().profile()
    assert raised.value.code == code
    one_line(raised.value)


@pytest.mark.parametrize(
    "document", [None, [], {"responses": None}, {"responses": []}, {"responses": [{"id": "0"}]}, {"responses": [1]}]
)
def test_a_broken_batch_gives_one_line(setup: Setup, document: Any) -> None:
    setup.service.inject(*[Said(200, document)] * 20, matches=lambda asked: asked.path.endswith("$batch"))
    with pytest.raises(MdmError) as raised:
        setup.record()
    assert raised.value.code == "mdm-answer"
    one_line(raised.value)


@pytest.mark.slow
def test_a_slow_answer_is_waited_for(setup: Setup) -> None:
    setup.service.inject(Said(429, {"error": {}}, slow_seconds=1.2), matches=is_graph)
    assert setup.record().managed


def test_no_log_holds_the_secret(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        setup.record()
        setup.face.refuses_token = 7000215
        with pytest.raises(MdmError):
            setup.open().profile()
    assert SECRET not in caplog.text
    assert not any(token in caplog.text for token in setup.face.tokens)


# --- doctor ---------------------------------------------------------------------------------------------------------


def results(mdm: Intune) -> dict[str, CheckResult]:
    return {check.id: check.result for check in mdm.checks()}


def test_doctor_passes_where_all_is_well(setup: Setup) -> None:
    setup.moment[0] = datetime.now(UTC)
    assert results(setup.open()) == dict.fromkeys(
        ("mdm.credentials", "mdm.privileges", "mdm.profile", "mdm.exclusion-group", "mdm.clock"), CheckResult.PASS
    )
    assert setup.world.effects() == []


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"refuses_token": 7000222}, {"mdm.credentials"}),
        ({"roles": set()}, {"mdm.privileges"}),
        ({"dynamic": True}, {"mdm.profile", "mdm.exclusion-group"}),
        ({"group_uses": True}, {"mdm.exclusion-group"}),
        ({"people_in_target": True}, {"mdm.profile"}),
    ],
)
def test_doctor_says_what_is_wrong(setup: Setup, change: dict[str, Any], fails: set[str]) -> None:
    for name, value in change.items():
        setattr(setup.face, name, value)
    setup.moment[0] = datetime.now(UTC)
    found = {check.id: check for check in setup.open().checks()}
    assert {name for name, check in found.items() if check.result is CheckResult.FAIL} == fails
    for name in fails:
        assert found[name].hint
        assert "\n" not in found[name].message
        assert "\u202e" not in found[name].message
    assert SECRET not in repr(found)


def test_a_preview_sees_what_else_uses_the_group(setup: Setup) -> None:
    assert setup.open().group_uses() == ()
    setup.face.group_uses = True

    assert len(setup.open().group_uses()) == 1
    assert setup.open().profile().group_uses == ()


def test_what_gives_no_tokens_of_entra_is_told_as_that(setup: Setup) -> None:
    page = Said(200, body=b"<html>a portal</html>", content_type="text/html")
    setup.service.inject(page, matches=lambda asked: asked.path.endswith("/token"))
    with pytest.raises(MdmError) as caught:
        setup.open().profile()
    assert caught.value.code == "mdm-tenant"
    assert "mdm.login_url" in caught.value.hint


def test_doctor_sees_a_wrong_clock(setup: Setup) -> None:
    setup.moment[0] = datetime.now(UTC) + timedelta(hours=1)
    assert results(setup.open())["mdm.clock"] is CheckResult.FAIL


# --- the whole flow -------------------------------------------------------------------------------------------------


def test_the_wiring_opens_it(setup: Setup) -> None:
    assert isinstance(open_mdm(setup.settings, read_only=False), Intune)
    assert SCRIPT in setup.settings.options.values()
    assert {GROUP, MACS, PROFILE} & set(setup.settings.options.values())


def mdm_section(url: str, secret_file: Path) -> dict[str, Any]:
    return {"kind": "intune", **settings_of(url), "client_secret": {"file": str(secret_file)}}


@pytest.mark.slow
def test_the_whole_device_flow(tmp_path: Path, secret_file: Path) -> None:
    with (
        run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as running,
        serve(IntuneFace(running.world), GraphContract()) as service,
    ):
        told = run_flow(tmp_path, running, mdm_section(service.url, secret_file))
    assert service.off_contract == []
    assert SECRET not in told.written


@pytest.mark.slow
def test_the_same_certificate_that_came_back_is_never_proved(tmp_path: Path, secret_file: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as running:
        running.tell("mac-042", "same-certificate")
        with serve(IntuneFace(running.world), GraphContract()) as service:
            command = Commands(tmp_path, running, mdm_section(service.url, secret_file))
            plan = command.plan("mac-042")
            command("approve", str(command.plan_file), "--as", "tester")
            applied = command("apply", str(command.plan_file), code=1)
    (one,) = applied["remediations"]
    assert one["plan_digest"] == plan["digest"]
    assert one["outcome"] == "verify-failed", one
    # Yet nobody stays without the profile.
    assert running.world.mdm.members(datetime.now(UTC)) == ()
