"""Fleet: what it says of hosts and profile, how the label is changed, and each way in which it says no."""

from __future__ import annotations

import logging
import plistlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.fleet_face import (
    CHALLENGE,
    LABEL,
    LABEL_NAME,
    PROFILE,
    SCRIPT,
    SCRIPT_NAME,
    TOKEN,
    DocumentedRequests,
    FleetFace,
)
from tests.contract.flow import Commands, run_flow
from tests.contract.server import Asked, Said, Service, changes, serve

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.fleet import Fleet
from scepfix.adapters.mdm.read_only import ReadOnlyMdm
from scepfix.domain.check import CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.mdm import MdmDevice
from scepfix.parsers.fleet_host import identifier_of_command
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.simulator.running import run_world
from scepfix.simulator.world import MacSpec, World
from scepfix.wiring import open_mdm

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@dataclass
class Setup:
    """A world of Macs, its face, and Fleet as scepfix sees it; ``slept`` are the waits."""

    world: World
    face: FleetFace
    service: Service
    settings: ServiceSettings
    slept: list[float]
    moment: list[datetime]

    def open(self, options: dict[str, str] | None = None) -> Fleet:
        settings = ServiceSettings("fleet", {**self.settings.options, **(options or {})}, self.settings.secrets)
        return Fleet(settings, sleep=self.slept.append, now=lambda: self.moment[0])

    def later(self, **time: float) -> datetime:
        self.moment[0] += timedelta(**time)
        return self.moment[0]

    def record(self, name: str = "mac-001") -> MdmDevice:
        serial = self.world.macs[name].facts.serial_number
        return self.open().devices([serial])[serial]

    def ids(self, *names: str) -> list[str]:
        return [self.face.host_id(name) for name in names]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "fleet-token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def make(tmp_path: Path, token_file: Path) -> Iterator[Callable[..., Setup]]:
    """Makes the setup for these Macs."""
    running: list[Any] = []

    def start(*names: str) -> Setup:
        moment = [NOW]
        world = World.create(tmp_path / "world", [MacSpec(name, scenario="deleted") for name in names], NOW)
        face = FleetFace(world, lambda: moment[0])
        context = serve(face, DocumentedRequests())
        running.append(context)
        service = context.__enter__()
        options = {
            "url": service.url,
            "profile": PROFILE,
            "exclusion_group": LABEL_NAME,
            "collector_script": SCRIPT_NAME,
        }
        settings = ServiceSettings("fleet", options, {"token": SecretRef("file", str(token_file))})
        return Setup(world, face, service, settings, [], moment)

    yield start
    for context in running:
        context.__exit__(None, None, None)


@pytest.fixture
def setup(make: Callable[..., Setup]) -> Iterator[Setup]:
    made = make("mac-001", "mac-002")
    yield made
    assert made.service.off_contract == []


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/api/v1/fleet/hosts/1/nothing", (), b""),
        ("GET", "/api/v2/fleet/me", (), b""),
        ("GET", "/api/v1/fleet/commands", (("host", "x"),), b""),
        ("PATCH", "/api/v1/fleet/labels/1", (), b'{"host_ids": []}'),
        ("DELETE", "/api/v1/fleet/hosts/1/labels", (), b"{}"),
        ("POST", "/api/v1/fleet/hosts/1/configuration_profiles/x/resend", (), b""),
    ],
)
def test_a_request_that_is_not_documented_is_refused(
    method: str, path: str, query: tuple[tuple[str, str], ...], body: bytes
) -> None:
    assert DocumentedRequests().of_request(Asked(method, path, query, {}, body))


# --- what it says ---------------------------------------------------------------------------------------------------


def test_a_host_is_found_by_its_serial_number(setup: Setup) -> None:
    facts = setup.world.macs["mac-001"].facts

    record = setup.record()

    assert record.identity.serial_number == facts.serial_number
    assert record.identity.hardware_uuid == facts.hardware_uuid
    assert [record.identity.mdm_id] == setup.ids("mac-001")
    assert (record.name, record.managed, record.in_scope, record.excluded) == ("mac-001", True, True, False)
    assert (record.profile_installed, record.install_status) == (True, "Acknowledged")


def test_a_host_that_is_found_by_another_key_is_not_meant(setup: Setup) -> None:
    assert setup.open().devices(["mac-001", "C02NOBODY", "../me", "x?y"]) == {}
    assert not any("me" in asked.path.split("/") for asked in setup.service.asked)


@pytest.mark.parametrize("names_commands", [True, False])
def test_a_whole_removal_and_reinstall_as_fleet_reports_it(setup: Setup, names_commands: bool) -> None:
    setup.face.names_commands = names_commands
    mdm, ids = setup.open(), setup.ids("mac-001")
    asked_at = setup.later(minutes=1)

    mdm.exclude(ids)
    waiting = setup.record()
    assert (waiting.excluded, waiting.removal_pending, waiting.profile_installed) == (True, True, True)
    assert waiting.removed_at is None

    setup.later(minutes=1)
    mdm.nudge(ids)
    gone = setup.record()
    assert (gone.excluded, gone.removal_pending, gone.profile_installed) == (True, False, False)
    assert gone.removed_at is not None
    assert gone.removed_at > asked_at

    setup.later(minutes=1)
    mdm.put_back(ids)
    out = setup.record()
    assert (out.excluded, out.removal_pending, out.install_status) == (False, False, "Pending")
    assert out.profile_installed is None

    setup.later(minutes=1)
    mdm.nudge(ids)
    back = setup.record()
    assert back.profile_installed is True
    assert back.installed_at is not None
    assert back.installed_at > gone.removed_at
    assert setup.record("mac-002").removed_at is None


def test_another_profiles_commands_count_for_nothing(setup: Setup) -> None:
    record = setup.record()
    # The face shows other profiles' commands that are acknowledged now.
    assert record.removed_at is None
    assert record.installed_at is not None
    assert record.installed_at < setup.moment[0]


def test_a_failed_removal_is_no_removal(setup: Setup) -> None:
    setup.face.failed = {"mac-001"}
    setup.open().exclude(setup.ids("mac-001"))
    record = setup.record()
    assert (record.profile_installed, record.removal_pending, record.removed_at) == (None, False, None)


def test_a_host_out_of_scope_or_out_of_use_is_said_to_be(setup: Setup) -> None:
    setup.face.host_team_id = 4
    assert setup.record().in_scope is False
    setup.face.host_team_id, setup.face.team_id = None, 0
    assert setup.record().in_scope is True
    setup.world.tell("mac-001", "set-apart", "locked")
    assert setup.record().set_apart == "locked"
    setup.world.mdm.set_devices({setup.world.macs["mac-001"].facts.mdm_id: {"managed": False}})
    assert setup.record().managed is False


def test_certificates_of_the_computers_keychain_are_listed(setup: Setup) -> None:
    setup.face.page = 1
    wanted = {
        f"{x509.load_der_x509_certificate(item.der).serial_number:x}"
        for item in setup.world.macs["mac-001"].system_keychain.items()
    }
    listed = setup.open().certificates([*setup.ids("mac-001"), "999", "../x"])
    assert set(listed) == set(setup.ids("mac-001"))
    (found,) = listed.values()
    assert {one.serial_number for one in found.certificates} == wanted
    assert found.taken_at == NOW


@pytest.mark.parametrize("script", [SCRIPT_NAME, str(SCRIPT)])
def test_the_collectors_line_is_read_with_its_age(setup: Setup, script: str) -> None:
    setup.face.collected = {"mac-001": ("scepfix/collector/1 {}\n", NOW), "mac-002": ("", NOW)}
    setup.face.page = 1
    found = setup.open({"collector_script": script}).collected(setup.ids("mac-001", "mac-002"))
    assert set(found) == set(setup.ids("mac-001"))
    (one,) = found.values()
    assert (one.line, one.collected_at) == ("scepfix/collector/1 {}", NOW)


def test_without_a_collector_nothing_is_asked(setup: Setup) -> None:
    assert setup.open({"collector_script": ""}).collected(setup.ids("mac-001")) == {}
    assert setup.service.asked == []


# --- the profile ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names_commands", [True, False])
def test_the_profile_comes_back_by_itself(setup: Setup, names_commands: bool) -> None:
    setup.face.names_commands = names_commands
    profile = setup.open().profile()
    assert profile.comes_back == ""
    assert profile.identifier == setup.world.mdm.profile().identifier
    assert (profile.scope, profile.payload_types) == ("system", ("com.apple.security.scep",))
    assert profile.last_issued_at is not None or not names_commands
    assert not profile.declarative
    assert CHALLENGE not in repr(profile)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"manual": False}, "not manual"),
        ({"excludes_label": False}, "does not exclude"),
        ({"broken": True}, "was deleted"),
    ],
)
def test_a_profile_that_would_not_come_back_says_why(setup: Setup, change: dict[str, Any], why: str) -> None:
    for name, value in change.items():
        setattr(setup.face, name, value)
    assert why in setup.open().profile().comes_back


def test_what_else_the_profile_carries_is_seen(setup: Setup) -> None:
    contents = [{"PayloadType": kind} for kind in ("com.apple.security.scep", "com.apple.wifi.managed")]
    setup.face.profile_bytes = plistlib.dumps(
        {"PayloadType": "Configuration", "PayloadScope": "User", "PayloadContent": contents}
    )
    profile = setup.open().profile()
    assert set(profile.payload_types) == {"com.apple.security.scep", "com.apple.wifi.managed"}
    assert profile.scope == "user"


def test_a_profile_that_is_none_gives_one_line(setup: Setup) -> None:
    setup.face.profile_bytes = b"<html>"
    with pytest.raises(MdmError) as raised:
        setup.open().profile()
    assert raised.value.code == "mdm-answer"
    one_line(raised.value)


@pytest.mark.parametrize(
    "options", [{"profile": "a11111111-1111-1111-1111-111111111111"}, {"exclusion_group": "nobody"}]
)
def test_a_wrong_name_in_the_settings_is_named(setup: Setup, options: dict[str, str]) -> None:
    with pytest.raises(MdmError, match=f"knows nothing of that {next(iter(options))}"):
        setup.open(options).profile()


def test_a_profile_id_that_is_none_is_refused_before_any_call(setup: Setup) -> None:
    with pytest.raises(UsageError, match="profile"):
        setup.open({"profile": "../me"})
    assert setup.service.asked == []


def test_the_label_may_be_named_by_its_number(setup: Setup) -> None:
    mdm = setup.open({"exclusion_group": str(LABEL)})
    mdm.exclude(setup.ids("mac-001"))
    assert [one.name for one in mdm.members()] == ["mac-001"]


@given(st.one_of(st.none(), st.text(), st.binary(), st.integers()))
def test_any_payload_of_a_command_is_read_or_not(payload: object) -> None:
    assert identifier_of_command(payload) == ""


# --- changing -------------------------------------------------------------------------------------------------------


def test_read_only_changes_nothing(setup: Setup) -> None:
    mdm = ReadOnlyMdm(setup.open())
    for change in (mdm.exclude, mdm.put_back, mdm.nudge):
        with pytest.raises(MdmError, match="read only"):
            change(setup.ids("mac-001"))
    assert setup.service.asked == []


def test_label_changes_are_idempotent_and_keep_the_others(setup: Setup) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude([one])
    mdm.exclude([two])
    mdm.exclude([one, two])
    assert {member.identity.mdm_id for member in mdm.members()} == {one, two}
    mdm.put_back([one])
    assert [member.identity.mdm_id for member in mdm.members()] == [two]
    mdm.put_back([one, two])
    mdm.put_back([one, two])
    assert mdm.members() == ()
    assert [each["verb"] for each in setup.world.effects()] == ["exclude", "exclude", "put-back", "put-back"]


def labels_asked(method: str, *ids: str) -> Callable[[Asked], bool]:
    paths = {f"/api/v1/fleet/hosts/{one}/labels" for one in ids}
    return lambda asked: asked.method == method and asked.path in paths


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("verb", ["exclude", "put_back"])
def test_somebody_elses_change_is_never_lost(make: Callable[..., Setup], status: int, verb: str) -> None:
    setup = make("mac-001", "mac-002", "mac-003", "mac-004")
    mdm, (one, two, three, _) = setup.open(), setup.ids("mac-001", "mac-002", "mac-003", "mac-004")
    mdm.exclude([two] if verb == "exclude" else [one, two])
    others = [setup.world.macs[name].facts.mdm_id for name in ("mac-002", "mac-003")]
    setup.service.inject(Said(status, {}, headers=(("Retry-After", "7"),)), matches=lambda asked: asked.method != "GET")

    def meanwhile(seconds: float) -> None:
        setup.slept.append(seconds)
        setup.world.mdm.put_back(others[:1], NOW)
        setup.world.mdm.exclude(others[1:], NOW)

    busy = Fleet(setup.settings, sleep=meanwhile, now=lambda: NOW)
    (busy.exclude if verb == "exclude" else busy.put_back)([one])

    assert setup.slept == [7.0]
    inside = {member.identity.mdm_id for member in mdm.members()}
    assert inside == ({one, three} if verb == "exclude" else {three})


@pytest.mark.parametrize(("status", "code"), [(400, "mdm-refused"), (403, "mdm-privilege"), (500, "mdm-unreachable")])
def test_one_that_cannot_be_put_back_keeps_no_other(setup: Setup, status: int, code: str) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude([one, two])
    setup.service.inject(*[Said(status, {})] * 9, matches=labels_asked("DELETE", one))

    with pytest.raises(MdmError) as raised:
        mdm.put_back([one, two])

    assert raised.value.code == code
    assert "1 of 2 device(s) were put back, 1 not" in one_line(raised.value)
    assert [member.identity.mdm_id for member in mdm.members()] == [one]


def test_a_fleet_that_is_down_is_not_asked_for_each(make: Callable[..., Setup]) -> None:
    names = [f"mac-{number:03}" for number in range(8)]
    setup = make(*names)
    mdm, ids = setup.open(), setup.ids(*names)
    mdm.exclude(ids)
    setup.service.inject(*[Said(503, {})] * 100, matches=lambda asked: asked.method == "DELETE")

    with pytest.raises(MdmError, match=r"0 of 8 device\(s\) were put back, 8 not: it cannot answer now"):
        mdm.put_back(ids)

    assert len({asked.path for asked in changes(setup.service, ("DELETE",))}) == 5


def test_members_are_had_from_the_label_alone(setup: Setup) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude([one, two])
    setup.service.inject(*[Said(500, {})] * 99, matches=lambda asked: asked.path.endswith(f"/hosts/{one}"))
    setup.service.inject(*[Said(403, {})] * 99, matches=lambda asked: "/configuration_profiles" in asked.path)
    setup.service.inject(*[Said(500, {})] * 99, matches=lambda asked: "/commands" in asked.path)

    unknown, known = mdm.members()

    assert (unknown.identity, unknown.excluded) == (Identity(mdm_id=one), True)
    facts = setup.world.macs["mac-002"].facts
    assert known.identity == Identity(facts.serial_number, facts.hardware_uuid, two)
    assert (known.name, known.excluded) == ("mac-002", True)
    mdm.put_back([member.identity.mdm_id for member in (unknown, known)])
    assert setup.world.mdm.members(NOW) == ()


@pytest.mark.parametrize("said", [Said(404, {}), Said(200, {"host": {"id": "x"}}), Said(200, [])])
def test_a_member_that_cannot_be_shown_is_one_all_the_same(setup: Setup, said: Said) -> None:
    mdm, (one,) = setup.open(), setup.ids("mac-001")
    mdm.exclude([one])
    setup.service.inject(said, matches=lambda asked: asked.path.endswith(f"/hosts/{one}"))

    assert [member.identity for member in mdm.members()] == [Identity(mdm_id=one)]


def test_a_fleet_without_labels_of_a_host_changes_nothing_and_says_so(setup: Setup) -> None:
    mdm, (one, two) = setup.open(), setup.ids("mac-001", "mac-002")
    mdm.exclude([one])
    setup.face.has_labels_of_host = False

    with pytest.raises(MdmError, match=r"0 of 1 .* put back, 1 not: they are in the label"):
        mdm.put_back([one])
    with pytest.raises(MdmError, match=r"knows no host.*0 of 1 device"):
        mdm.exclude([two])


def test_an_id_that_is_none_is_not_said_to_be_put_back(setup: Setup) -> None:
    with pytest.raises(MdmError, match=r"1 of 2 device"):
        setup.open().put_back(["../1", *setup.ids("mac-001")])
    assert not any(".." in asked.path for asked in setup.service.asked)


def test_a_replica_that_lags_is_waited_for(setup: Setup) -> None:
    # Looks after the change show what was (fleetdm/fleet#23597).
    setup.face.lags = 2
    mdm, ids = setup.open(), setup.ids("mac-001")
    mdm.exclude(ids)
    assert setup.slept == [0.5, 1.0]
    setup.face.lags = 1
    mdm.put_back(ids)
    assert setup.slept == [0.5, 1.0, 0.5]


def test_a_fleet_that_is_too_old_says_so(setup: Setup) -> None:
    setup.face.takes_labels = False
    with pytest.raises(MdmError, match=r"did not take the change.*4\.69"):
        setup.open().exclude(setup.ids("mac-001"))


def test_a_dynamic_label_is_refused_before_any_change(setup: Setup) -> None:
    setup.face.manual = False
    with pytest.raises(MdmError, match="not manual"):
        setup.open().exclude(setup.ids("mac-001"))
    assert changes(setup.service) == []


@pytest.mark.slow
def test_a_hundred_devices_are_a_call_each(make: Callable[..., Setup]) -> None:
    names = [f"mac-{number:03}" for number in range(100)]
    setup = make(*names)
    mdm, ids = setup.open(), setup.ids(*names)
    mdm.exclude(ids)
    mdm.put_back(ids)
    assert len(changes(setup.service)) == 200
    # The label's name, and looks at it: no call for a device beside the change.
    assert len(setup.service.asked) < 206
    assert setup.world.mdm.members(NOW) == ()


# --- Fleet says no --------------------------------------------------------------------------------------------------


def one_line(error: ScepfixError) -> str:
    text = str(error)
    assert "\n" not in text
    assert error.hint
    for secret in (TOKEN, CHALLENGE):
        assert secret not in text
        assert secret not in repr(error)
    return text


def test_a_refused_token_is_read_again_once(setup: Setup, token_file: Path) -> None:
    mdm = setup.open()
    setup.face.tokens = {"rotated"}
    with pytest.raises(MdmError) as raised:
        mdm.profile()
    assert raised.value.code == "mdm-credentials"
    assert "renew" in one_line(raised.value)
    assert len(setup.service.asked) == 2

    token_file.write_text("rotated")
    assert mdm.profile().comes_back == ""
    setup.service.inject(Said(401, {}))
    assert mdm.profile().comes_back == ""


def test_a_revoked_role_gives_one_line_that_names_it(setup: Setup) -> None:
    setup.face.role = "observer"
    with pytest.raises(MdmError) as raised:
        setup.open().exclude(setup.ids("mac-001"))
    assert raised.value.code == "mdm-privilege"
    assert "Maintainer" in one_line(raised.value)
    assert setup.world.effects() == []


def test_another_server_gives_one_line(setup: Setup) -> None:
    setup.service.inject(*[Said(200, body=b"<html>hello</html>", content_type="text/html")] * 5)
    with pytest.raises(MdmError) as raised:
        setup.open().profile()
    assert raised.value.code == "mdm-answer"
    one_line(raised.value)


@pytest.mark.parametrize("headers", [(("Retry-After", "7"),), ()])
def test_throttling_costs_time_only(setup: Setup, headers: tuple[tuple[str, str], ...]) -> None:
    setup.service.inject(*[Said(429, {}, headers=headers)] * 3)
    setup.service.inject(Said(429, {}, headers=headers), matches=lambda asked: asked.method == "POST")
    setup.open().exclude(setup.ids("mac-001"))
    assert [one["verb"] for one in setup.world.effects()] == ["exclude"]
    assert len(setup.slept) == 4
    if headers:
        assert set(setup.slept) == {7.0}


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Said(500, {}), "mdm-unreachable"),
        (Said(200, {"profile_uuid": "x"}, cut=True), "mdm-unreachable"),
        (Said(402, {}), "mdm-refused"),
        (Said(409, {}), "mdm-refused"),
        (Said(410, {}), "mdm-refused"),
        (Said(404, {}), "mdm-answer"),
        (Said(200, []), "mdm-answer"),
        (Said(200, body=b"{"), "mdm-answer"),
        (Said(200, {"labels_exclude_any": 3}), "mdm-answer"),
    ],
)
def test_what_is_broken_gives_one_line(setup: Setup, said: Said, code: str) -> None:
    setup.service.inject(*[said] * 20)
    with pytest.raises(MdmError) as raised:
        setup.open().profile()
    assert raised.value.code == code
    one_line(raised.value)


@pytest.mark.parametrize("document", [[], {"host": 1}, {"host": {"hardware_serial": "SERIAL"}}, {"host": None}])
def test_a_broken_host_gives_one_line(setup: Setup, document: Any) -> None:
    setup.service.inject(Said(200, document), matches=lambda asked: "/hosts/" in asked.path)
    with pytest.raises(MdmError) as raised:
        setup.open().devices(["SERIAL"])
    assert raised.value.code == "mdm-answer"
    one_line(raised.value)


@pytest.mark.slow
def test_a_slow_answer_is_waited_for(setup: Setup) -> None:
    setup.service.inject(Said(429, {}, slow_seconds=1.2))
    assert setup.record().managed


def test_no_log_holds_a_secret(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        setup.record()
        setup.open().profile()
    assert TOKEN not in caplog.text
    assert CHALLENGE not in caplog.text


# --- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor_passes_where_all_is_well(setup: Setup) -> None:
    setup.moment[0] = datetime.now(UTC)
    found = {check.id: check.result for check in setup.open().checks()}
    assert found == dict.fromkeys(
        ("mdm.credentials", "mdm.privileges", "mdm.profile", "mdm.exclusion-group", "mdm.clock"), CheckResult.PASS
    )
    assert changes(setup.service) == []


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"tokens": set()}, {"mdm.credentials"}),
        ({"role": "observer\u202e"}, {"mdm.privileges"}),
        ({"manual": False}, {"mdm.profile", "mdm.exclusion-group"}),
        ({"excludes_label": False}, {"mdm.profile", "mdm.exclusion-group"}),
        ({"label_uses": True}, {"mdm.exclusion-group"}),
        ({"profile_bytes": plistlib.dumps({"PayloadType": "Configuration", "PayloadContent": []})}, {"mdm.profile"}),
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
    assert TOKEN not in repr(found)


def test_who_is_not_let_in_is_told_so_once_and_asks_no_more(setup: Setup) -> None:
    setup.face.tokens = set()

    first, *others = setup.open().checks()

    assert (first.id, first.result) == ("mdm.credentials", CheckResult.FAIL)
    assert {(one.result, one.message) for one in others} == {
        (CheckResult.UNKNOWN, "not looked at: see mdm.credentials")
    }
    assert len({asked.path for asked in setup.service.asked}) == 1


def test_what_is_no_fleet_is_told_as_that(setup: Setup) -> None:
    setup.service.inject(Said(404, body=b"<html>nothing here</html>", content_type="text/html"))
    with pytest.raises(MdmError) as caught:
        setup.open().profile()
    assert (caught.value.code, caught.value.hint) == ("mdm-tenant", "check mdm.url")


def test_doctor_sees_a_wrong_clock_and_a_silent_server(setup: Setup) -> None:
    setup.moment[0] = datetime.now(UTC) + timedelta(hours=1)
    assert {check.id: check.result for check in setup.open().checks()}["mdm.clock"] is CheckResult.FAIL
    setup.service.inject(*[Said(503, {})] * 100)
    assert {check.result for check in setup.open().checks()} == {CheckResult.UNKNOWN}


# --- the whole flow -------------------------------------------------------------------------------------------------


def test_the_wiring_opens_it(setup: Setup) -> None:
    assert isinstance(open_mdm(setup.settings, read_only=False), Fleet)


def mdm_section(url: str, token_file: Path) -> dict[str, Any]:
    section = {"kind": "fleet", "url": url, "profile": PROFILE, "exclusion_group": LABEL_NAME}
    return {**section, "token": {"file": str(token_file)}}


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The token, outside of the folder that is looked through for it."""
    file = tmp_path_factory.mktemp("secrets") / "fleet-token"
    file.write_text(TOKEN)
    return file


@pytest.mark.slow
def test_the_whole_device_flow_with_a_token_of_the_environment(tmp_path: Path, away: Path) -> None:
    with (
        TemporaryDirectory(dir="/dev/shm") as memory,
        run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as running,
        serve(FleetFace(running.world), DocumentedRequests()) as service,
    ):
        section = {**mdm_section(service.url, away), "token": {"env": "FLEET_TOKEN"}}
        told = run_flow(tmp_path, running, section, {"FLEET_TOKEN": TOKEN, "XDG_RUNTIME_DIR": memory})
        # The runs of the repair were given it in memory, and nothing of that is left.
        assert [path for path in Path(memory).rglob("*") if path.is_file()] == []
    assert service.off_contract == []
    for secret in (TOKEN, CHALLENGE):
        assert secret not in told.written


@pytest.mark.slow
def test_the_same_certificate_that_came_back_is_never_proved(tmp_path: Path, away: Path) -> None:
    with (
        run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as running,
        serve(FleetFace(running.world), DocumentedRequests()) as service,
    ):
        running.tell("mac-042", "same-certificate")
        command = Commands(tmp_path, running, mdm_section(service.url, away))
        command.plan("mac-042")
        command("approve", str(command.plan_file), "--as", "tester")
        (one,) = command("apply", str(command.plan_file), code=1)["remediations"]
    assert one["outcome"] == "verify-failed", one
    assert running.world.mdm.members(datetime.now(UTC)) == ()
