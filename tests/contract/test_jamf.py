"""Jamf Pro: every request against the published contract, faults, and the whole device flow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.contract.flow import run_flow
from tests.contract.jamf_face import (
    CLIENT_SECRET,
    COMMANDS,
    GROUP,
    PRO_API,
    READ_COMPUTERS,
    READ_GROUPS,
    READ_PROFILES,
    UPDATE_GROUPS,
    JamfContract,
    JamfFace,
    Smart,
    Uses,
    management_id,
    settings,
)
from tests.contract.server import Asked, Said, Service, changes, serve
from tests.service.test_mdm_stages import Notes

from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.jamf import JamfPro
from scepfix.adapters.mdm.read_only import ReadOnlyMdm
from scepfix.domain.check import CheckResult
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.remediation import StageAnswer
from scepfix.domain.run import Run, RunDevice
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.service import mdm_stages, stages
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.running import run_world
from scepfix.simulator.world import MacSpec, World

pytestmark = pytest.mark.skipif(
    not PRO_API.exists(), reason=f"the published contract is not beside the checkout: {PRO_API}"
)

SPECS = [
    MacSpec("mac-001", "alice", scenario="deleted"),
    MacSpec("mac-002", "bob", scenario="healthy"),
    MacSpec("mac-003", "carol", scenario="expired"),
]


class Time:
    """A clock that moves when somebody sleeps, and otherwise as it does."""

    def __init__(self) -> None:
        self.slept = timedelta()
        self.naps: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + self.slept

    def monotonic(self) -> float:
        return self.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.slept += timedelta(seconds=seconds)


@dataclass
class Jamf:
    """A Jamf Pro that is served, and the settings to reach it."""

    world: World
    face: JamfFace
    service: Service
    time: Time
    options: ServiceSettings

    def open(self) -> JamfPro:
        time = self.time
        return JamfPro(self.options, sleep=time.sleep, monotonic=time.monotonic, now=time.now)

    def serial(self, name: str) -> str:
        return self.world.macs[name].facts.serial_number

    def number(self, name: str) -> str:
        return self.world.macs[name].facts.mdm_id

    def record(self, name: str, mdm: JamfPro | None = None) -> Any:
        return (mdm or self.open()).devices([self.serial(name)])[self.serial(name)]


def service_settings(document: dict[str, Any]) -> ServiceSettings:
    secret = SecretRef("file", document["client_secret"]["file"])
    texts = {key: value for key, value in document.items() if isinstance(value, str) and key != "kind"}
    return ServiceSettings("jamf", texts, {"client_secret": secret})


@pytest.fixture(scope="session")
def contract() -> JamfContract:
    return JamfContract()


@pytest.fixture
def jamf(tmp_path: Path, contract: JamfContract) -> Iterator[Jamf]:
    world, time = World.create(tmp_path / "world", SPECS), Time()
    face = JamfFace(world, time.now)
    with serve(face, contract) as service:
        options = service_settings(settings(service.url, tmp_path / "secret"))
        yield Jamf(world, face, service, time, options)
    assert service.off_contract == []


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_profile_is_read_from_its_payloads(jamf: Jamf) -> None:
    profile = jamf.open().profile()

    assert (profile.identifier, profile.payload_types) == (IDENTIFIER, ("com.apple.security.scep",))
    assert (profile.scope, profile.comes_back, profile.group_uses) == ("system", "", ())
    assert profile.last_issued_at == jamf.world.mdm.profile().last_issued_at


@pytest.mark.parametrize("state", ["ERROR", "PENDING"])
def test_an_install_that_failed_issued_nothing(jamf: Jamf, state: str) -> None:
    failed = {"commandState": state, "dateCompleted": "2026-06-01T12:00:00Z", "profileId": 7}
    commands = Said(200, {"totalCount": 1, "results": [failed]})
    nothing = Said(200, {"totalCount": 0, "results": []})
    jamf.service.inject(commands, matches=lambda asked: "command==INSTALL_PROFILE" in asked.get("filter"))
    jamf.service.inject(nothing, matches=lambda asked: "inventory" in asked.path)

    assert jamf.open().profile().last_issued_at is None


def test_a_record_says_what_inventory_group_and_commands_say(jamf: Jamf) -> None:
    mac, record = jamf.world.macs["mac-002"].facts, jamf.record("mac-002")

    assert record.identity == mac.identity
    assert (record.name, record.managed, record.in_scope, record.excluded) == ("mac-002", True, True, False)
    assert (record.profile_installed, record.removal_pending, record.install_status) == (True, False, "Acknowledged")
    assert record.removed_at is None
    assert record.last_seen_at is not None
    assert jamf.time.now() - record.last_seen_at < timedelta(minutes=1)


def test_all_devices_are_read_in_bulk_page_by_page(jamf: Jamf) -> None:
    jamf.face.page_size = 2

    found = jamf.open().devices([jamf.serial(name) for name in jamf.world.macs] + ["UNKNOWN1", 'x" or id==1'])

    assert {record.name for record in found.values()} == {"mac-001", "mac-002", "mac-003"}
    pages = [asked.get("page") for asked in jamf.service.asked if asked.path.endswith("computers-inventory")]
    assert pages == ["0", "1"]
    assert not any("or id" in value for asked in jamf.service.asked for _, value in asked.query)


def test_removal_and_install_are_what_the_device_acknowledged(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-001")
    jamf.world.tell("mac-001", "removal-silent", "yes")
    mdm.exclude([number])
    mdm.nudge([number])
    waiting = jamf.record("mac-001", mdm)
    assert (waiting.excluded, waiting.removal_pending, waiting.removed_at) == (True, True, None)

    jamf.world.tell("mac-001", "removal-silent", "no")
    asked_at = jamf.time.now() - timedelta(milliseconds=1)
    mdm.nudge([number])
    gone = jamf.record("mac-001", mdm)
    assert gone.removed_at is not None
    assert gone.removed_at >= asked_at - timedelta(seconds=1)
    assert (gone.profile_installed, gone.removal_pending) == (False, False)

    mdm.put_back([number])
    mdm.nudge([number])
    back = jamf.record("mac-001", mdm)
    assert (back.excluded, back.profile_installed, back.install_status) == (False, True, "Acknowledged")
    assert back.installed_at > back.removed_at


def test_an_old_inventory_neither_brings_the_profile_back_nor_keeps_a_device_excluded(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-002")
    mdm.exclude([number])
    mdm.nudge([number])

    # The inventory, five hours old, still shows profile and certificate.
    record = jamf.record("mac-002", mdm)
    listed = mdm.certificates([number])[number]

    assert record.profile_installed is False
    assert listed.taken_at < record.removed_at
    run = RunDevice("mac-002", identity=record.identity, removal_asked_at=record.removed_at - timedelta(seconds=1))
    assert stages.uninstall(run, record).answer is StageAnswer.DONE


def test_an_inventory_that_is_clearly_newer_counts(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-002")
    jamf.world.macs["mac-002"].set_profile(jamf.world.mdm.settings(), None)
    jamf.face.recon("mac-002", jamf.time.now())

    assert jamf.record("mac-002", mdm).profile_installed is False
    assert number in mdm.certificates([number])


def test_a_refused_install_is_no_install(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-001")
    for behaviour, status in (("install-error", "Error"), ("install-notnow", "NotNow")):
        mdm.exclude([number])
        mdm.nudge([number])
        jamf.world.tell("mac-001", behaviour, "yes")
        mdm.put_back([number])
        mdm.nudge([number])
        record = jamf.record("mac-001", mdm)
        assert (record.install_status, record.profile_installed) == (status, False)
        jamf.world.tell("mac-001", behaviour, "no")
        mdm.nudge([number])


@pytest.mark.parametrize("value", ["locked", "wiped"])
def test_a_lock_and_a_wipe_set_a_device_apart(jamf: Jamf, value: str) -> None:
    jamf.world.tell("mac-001", "set-apart", value)

    assert jamf.record("mac-001").set_apart == value


def test_a_mac_that_left_management_is_not_managed(jamf: Jamf) -> None:
    jamf.world.mdm.set_devices({jamf.number("mac-001"): {"managed": False}})

    assert jamf.record("mac-001").managed is False


def test_a_computer_that_the_scope_excludes_is_out_of_scope(jamf: Jamf) -> None:
    jamf.world.mdm.set_devices({jamf.number("mac-001"): {"in_scope": False}})

    assert jamf.record("mac-001").in_scope is False
    assert jamf.record("mac-002").in_scope is True


def test_target_groups_are_compared_with_the_inventory(jamf: Jamf) -> None:
    jamf.face.all_computers = False
    jamf.face.target_groups = {20: "Laptops"}
    jamf.face.smart_groups[20] = Smart("Laptops", ("Model",), frozenset({jamf.number("mac-002")}))

    assert jamf.open().profile().comes_back == ""
    assert [jamf.record(name).in_scope for name in ("mac-001", "mac-002")] == [False, True]


def test_certificates_are_listed_as_the_inventory_has_them(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-002")
    before = mdm.certificates([number])[number]
    assert {one.current for one in before.certificates} == {True}
    assert all(one.der == b"" and len(one.sha1) == 40 and one.serial_number for one in before.certificates)

    jamf.world.mdm.exclude([number], jamf.time.now())
    jamf.world.mdm.nudge([number], jamf.time.now())
    jamf.face.recon("mac-002", jamf.time.now())
    after = mdm.certificates([number])[number]

    assert after.taken_at > before.taken_at
    gone = [one for one in after.certificates if one.current is False]
    assert len(gone) == 1
    assert {one.serial_number for one in gone} < {one.serial_number for one in before.certificates}


def test_the_collectors_line_is_an_extension_attribute(jamf: Jamf) -> None:
    jamf.face.attributes["mac-001"] = "scepfix/collected/1 something"

    found = jamf.open().collected([jamf.number("mac-001"), jamf.number("mac-002")])

    assert {key: one.line for key, one in found.items()} == {jamf.number("mac-001"): "scepfix/collected/1 something"}
    assert found[jamf.number("mac-001")].collected_at is not None


@pytest.mark.parametrize("closed", ["privilege", "no-profile-id"])
def test_a_computers_history_serves_where_commands_cannot_be_used(jamf: Jamf, closed: str) -> None:
    if closed == "privilege":
        jamf.face.privileges.remove(COMMANDS)
    else:
        jamf.face.commands_tell_profile = False
    mdm, number = jamf.open(), jamf.number("mac-001")
    mdm.exclude([number])
    jamf.world.mdm.nudge([number], jamf.time.now())

    record = jamf.record("mac-001", mdm)

    assert record.removed_at is not None
    assert record.installed_at is not None
    assert record.installed_at < record.removed_at
    assert mdm.profile().last_issued_at is not None


def test_what_another_profile_was_told_does_not_count(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-002")
    other = {
        "commandState": "ACKNOWLEDGED",
        "client": {"managementId": management_id(number)},
        "dateCompleted": "2026-06-01T12:00:00Z",
        "profileId": 8,
    }
    stranger = {**other, "profileId": 7, "client": {"managementId": management_id("77")}}
    page = Said(200, {"totalCount": 2, "results": [other, stranger]})
    # As a Jamf Pro answers that passes over a field of the filter which it does not know.
    jamf.service.inject(page, matches=lambda asked: "command==REMOVE_PROFILE" in asked.get("filter"))

    assert jamf.record("mac-002", mdm).removed_at is None


# --- why a profile would not come back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "Make Available in Self Service"}, "not installed automatically"),
        ({"level": "user"}, "not of the computer"),
        ({"excluded_groups": {}}, "does not exclude the group 11"),
        ({"target_groups": {GROUP: "x"}}, "among its targets"),
        (
            {"limitations": "<user_groups><user_group><name>x</name></user_group></user_groups>"},
            "limited to certain user",
        ),
        (
            {"target_groups": {20: "Has it"}, "smart_groups": {20: Smart("Has it", ("Profile Name",))}},
            "the group Has it of its scope asks for Profile Name",
        ),
    ],
)
def test_a_profile_that_would_stay_away_says_why(jamf: Jamf, change: dict[str, Any], said: str) -> None:
    for name, value in change.items():
        setattr(jamf.face, name, value)

    assert said in jamf.open().profile().comes_back
    checks = {one.id: one for one in jamf.open().checks()}
    assert checks["mdm.profile"].result is CheckResult.FAIL
    assert said in checks["mdm.profile"].message


def test_a_group_that_others_use_is_told_where_nothing_is_changed(jamf: Jamf) -> None:
    jamf.face.other_profiles[9] = Uses("Wi-Fi", excludes=(GROUP,))
    jamf.face.policies[4] = Uses("Clean up", targets=(GROUP,))

    assert jamf.open().group_uses() == ("the profile Wi-Fi excludes it",)
    assert jamf.open().profile().group_uses == ()
    (check,) = [one for one in jamf.open().checks() if one.id == "mdm.exclusion-group"]
    assert check.result is CheckResult.FAIL
    assert "the profile Wi-Fi excludes it, the policy Clean up targets it" in check.message


def test_a_smart_group_is_refused_before_anything_is_asked(jamf: Jamf) -> None:
    jamf.face.smart = True

    for act in (lambda: jamf.open().profile(), lambda: jamf.open().exclude([jamf.number("mac-001")])):
        with pytest.raises(MdmError, match="smart group") as refused:
            act()
        assert refused.value.code == "mdm-refused"
    assert not [asked for asked in jamf.service.asked if asked.method == "PUT"]


# --- changing --------------------------------------------------------------------------------------------------------


def test_a_group_is_changed_in_one_call_for_all_and_twice_does_no_harm(jamf: Jamf) -> None:
    mdm, numbers = jamf.open(), [jamf.number("mac-001"), jamf.number("mac-003")]

    mdm.exclude(numbers)
    mdm.exclude(numbers)
    assert [one.identity.mdm_id for one in mdm.members()] == numbers
    mdm.put_back(numbers)
    mdm.put_back(numbers)

    assert mdm.members() == ()
    puts = [asked for asked in jamf.service.asked if asked.method == "PUT"]
    assert len(puts) == 4
    assert not any("configurationprofiles" in asked.path for asked in puts)


def test_what_was_written_is_read_from_the_same_node(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-001")
    mdm.exclude([number])

    assert [one.identity.mdm_id for one in mdm.members()] == [number]


def test_another_process_on_another_node_does_not_take_the_device_for_put_back(jamf: Jamf) -> None:
    number = jamf.number("mac-001")
    jamf.world.tell("mac-001", "removal-silent", "yes")
    jamf.open().exclude([number])
    jamf.face.node = "node-2"
    other = jamf.open()

    assert other.members() == ()
    assert jamf.record("mac-001", other).excluded is True
    other.put_back([number])
    assert jamf.record("mac-001", other).removal_pending is False


def test_one_deleted_computer_does_not_keep_the_others(jamf: Jamf) -> None:
    mdm, numbers = jamf.open(), [jamf.number(name) for name in ("mac-001", "mac-002", "mac-003")]
    jamf.face.deleted.add(numbers[1])

    mdm.exclude(numbers)
    assert [one.identity.mdm_id for one in mdm.members()] == [numbers[0], numbers[2]]
    mdm.put_back(numbers)
    assert mdm.members() == ()


def test_nothing_is_changed_where_it_was_opened_to_read(jamf: Jamf) -> None:
    mdm = ReadOnlyMdm(jamf.open())
    for act in (mdm.exclude, mdm.put_back, mdm.nudge):
        with pytest.raises(MdmError, match="read only"):
            act([jamf.number("mac-001")])
    assert jamf.service.asked == []


@pytest.mark.parametrize("bad", ["", "0", "-1", "1,2", "1</id>", "٣", "../3", "9" * 12])
def test_only_a_number_gets_into_a_call(jamf: Jamf, bad: str) -> None:
    with pytest.raises(MdmError, match="is not the number of a computer"):
        jamf.open().put_back([bad])
    with pytest.raises(UsageError):
        JamfPro(replace(jamf.options, options={**jamf.options.options, "exclusion_group": bad}))
    assert jamf.service.asked == []


def test_a_nudge_names_the_clients(jamf: Jamf) -> None:
    number = jamf.number("mac-002")
    jamf.open().nudge([number])

    assert changes(jamf.service)[-1].document() == {"clientManagementIds": [management_id(number)]}


# --- faults ----------------------------------------------------------------------------------------------------------


def not_the_token(asked: Asked) -> bool:
    return "oauth" not in asked.path


def tokens_asked(jamf: Jamf) -> int:
    return sum("oauth" in asked.path for asked in jamf.service.asked)


def test_a_token_is_renewed_before_it_ends_and_once_when_refused(jamf: Jamf) -> None:
    mdm = jamf.open()
    mdm.members()
    mdm.members()
    assert tokens_asked(jamf) == 1

    jamf.time.sleep(50)
    mdm.members()
    assert tokens_asked(jamf) == 2
    assert not any(asked for asked in jamf.service.asked if asked.headers.get("authorization") == "Bearer ")

    jamf.face.tokens.clear()
    assert mdm.members() == ()
    assert tokens_asked(jamf) == 3


def test_an_older_jamf_has_its_tokens_elsewhere(jamf: Jamf) -> None:
    jamf.face.old_token_path = True

    assert jamf.open().members() == ()


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (Said(401, {"errors": []}), "credentials", "renew the secret"),
        (Said(403, {"errors": []}), "privilege", "Read Computers"),
        (Said(404, {"errors": []}), "answer", "update Jamf Pro"),
        (Said(409, {"errors": []}), "refused", "409"),
        (Said(410, {"errors": []}), "refused", "410"),
        (Said(500, {"errors": []}), "unreachable", "500"),
        (Said(302, headers=(("Location", "https://elsewhere.example/"),)), "answer", "302"),
        (Said(200, {"results": [1]}), "answer", "another form"),
        (Said(200, body=b"{", content_type="application/json"), "answer", "no JSON"),
        (Said(200, {"totalCount": 1, "results": [{"id": "a"}]}), "answer", "another form"),
    ],
)
def test_each_refusal_is_one_line_that_says_what_to_do(jamf: Jamf, reply: Said, code: str, said: str) -> None:
    jamf.service.inject(*[reply] * 6, matches=lambda asked: "inventory" in asked.path)

    with pytest.raises(MdmError) as raised:
        jamf.open().devices([jamf.serial("mac-001")])

    assert raised.value.code == f"mdm-{code}"
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.hint


def test_classic_answers_are_bounded_and_read_safely(jamf: Jamf) -> None:
    entity = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><computer_group><name>&a;</name></computer_group>'
    for body in (b"", b"<html>", entity, b"<computer_group>", b"<os_x_configuration_profile/>"):
        jamf.service.inject(Said(200, body=body), matches=lambda asked: "computergroups" in asked.path)
        with pytest.raises(MdmError) as raised:
            jamf.open().members()
        assert raised.value.code == "mdm-answer"


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_privilege_names_itself(jamf: Jamf, status: int) -> None:
    jamf.face.privileges -= {UPDATE_GROUPS}
    jamf.face.classic_says_401 = status == 401

    with pytest.raises(MdmError) as raised:
        jamf.open().exclude([jamf.number("mac-001")])

    assert raised.value.code == "mdm-privilege"
    assert UPDATE_GROUPS in raised.value.message


def test_a_wrong_secret_and_a_wrong_tenant_are_told_apart(jamf: Jamf) -> None:
    jamf.face.client_secret = "rotated"
    with pytest.raises(MdmError, match="no token") as raised:
        jamf.open().members()
    assert raised.value.code == "mdm-credentials"
    assert "mdm.client_secret" in raised.value.hint

    with serve(lambda asked: Said(404, body=b"<html>", content_type="text/html")) as elsewhere:
        options = replace(jamf.options, options={**jamf.options.options, "url": elsewhere.url})
        with pytest.raises(MdmError, match="no Jamf Pro") as wrong:
            JamfPro(options).members()
    assert wrong.value.code == "mdm-tenant"
    assert "mdm.url" in wrong.value.hint


def test_what_is_not_there_names_the_setting(jamf: Jamf) -> None:
    for setting in ("profile", "exclusion_group"):
        options = replace(jamf.options, options={**jamf.options.options, setting: "99"})
        with pytest.raises(MdmError, match="number 99") as raised:
            JamfPro(options).profile()
        assert f"mdm.{setting}" in raised.value.hint


@pytest.mark.parametrize("retry_after", [(), (("Retry-After", "7"),)])
def test_too_many_requests_cost_time_and_nothing_else(jamf: Jamf, retry_after: tuple[tuple[str, str], ...]) -> None:
    mdm, number = jamf.open(), jamf.number("mac-001")
    storm = [Said(429, headers=retry_after)] * 5
    jamf.service.inject(*storm, matches=lambda asked: asked.method == "PUT")

    mdm.exclude([number])

    assert [one.identity.mdm_id for one in mdm.members()] == [number]
    assert [one["verb"] for one in jamf.world.effects()] == ["exclude"]
    assert len(jamf.time.naps) == 5
    assert min(jamf.time.naps) >= (7 if retry_after else 1)


def test_what_is_slow_cut_or_broken_is_asked_again(jamf: Jamf) -> None:
    trouble = [Said(503), Said(200, {"totalCount": 1, "results": []}, cut=True), Said(504, slow_seconds=0.2)]
    jamf.service.inject(*trouble, matches=lambda asked: "inventory" in asked.path)
    jamf.service.inject(Said(502), Said(500), matches=lambda asked: asked.method == "PUT")
    mdm = jamf.open()

    assert jamf.record("mac-001", mdm).name == "mac-001"
    mdm.exclude([jamf.number("mac-001")])

    assert len(mdm.members()) == 1


def test_a_change_that_was_cut_after_it_was_made_is_made_again_and_once(jamf: Jamf) -> None:
    mdm, number = jamf.open(), jamf.number("mac-001")
    mdm.members()
    jamf.world.mdm.exclude([number], jamf.time.now())
    jamf.service.inject(Said(201, body=b"<computer_group>", cut=True), matches=lambda asked: asked.method == "PUT")

    mdm.exclude([number])

    assert [one["verb"] for one in jamf.world.effects()] == ["exclude"]


def test_no_more_than_five_connections(jamf: Jamf) -> None:
    mdm = jamf.open()
    for _ in range(10):
        mdm.members()

    assert jamf.service.most_open <= 5


def test_a_planted_secret_is_in_no_error_repr_or_log(jamf: Jamf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    mdm = jamf.open()
    profile = mdm.profile()
    texts += [repr(profile), repr(mdm), repr(mdm.__dict__), repr(jamf.open().devices([jamf.serial("mac-001")]))]
    for reply in (Said(401), Said(403), Said(500), Said(200, body=b"<x"), Said(409)):
        jamf.service.inject(*[reply] * 8, matches=not_the_token)
        try:
            jamf.open().profile()
        except ScepfixError as error:
            texts += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
        jamf.service._faults.clear()
    texts += [repr(check) for check in jamf.open().checks()]
    written = "\n".join([*texts, caplog.text])

    for planted in (CLIENT_SECRET, "planted-token", jamf.world.mdm.settings().challenge):
        assert planted not in written


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_passes_a_jamf_that_is_set_up(jamf: Jamf) -> None:
    for name in jamf.world.macs:
        jamf.face.recon(name)

    found = list(jamf.open().checks())

    assert [(one.id, one.result) for one in found] == [
        (f"mdm.{name}", CheckResult.PASS)
        for name in ("credentials", "privileges", "profile", "exclusion-group", "inventory", "clock")
    ]
    assert "cannot be told" in found[4].message
    assert not changes(jamf.service, ("PUT", "DELETE", "PATCH"))


def test_each_missing_privilege_is_a_line(jamf: Jamf) -> None:
    for privilege in (READ_COMPUTERS, READ_PROFILES, READ_GROUPS, COMMANDS):
        jamf.face.privileges.discard(privilege)
    lines = [one for one in jamf.open().checks() if one.id == "mdm.privileges"]

    assert {one.result for one in lines} == {CheckResult.FAIL}
    for privilege in (READ_COMPUTERS, READ_PROFILES, READ_GROUPS, COMMANDS):
        assert sum(privilege in one.message for one in lines) == 1


def test_a_doctor_that_is_not_let_in_says_so_once(jamf: Jamf) -> None:
    jamf.face.client_secret = "rotated"
    found = list(jamf.open().checks())

    assert found[0].result is CheckResult.FAIL
    assert {one.result for one in found[1:]} == {CheckResult.UNKNOWN}


def test_a_clock_that_is_off_is_told(jamf: Jamf) -> None:
    jamf.service.inject(
        Said(
            200, {"version": "11"}, headers=(("Date", format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)),)
        ),
        matches=lambda asked: asked.path.endswith("version"),
    )
    jamf.time.slept = timedelta(hours=3)
    jamf.face.token_seconds = 10**6

    (check,) = [one for one in jamf.open().checks() if one.id == "mdm.clock"]

    assert check.result is CheckResult.FAIL


# --- the whole flow --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_whole_device_flow(tmp_path: Path, contract: JamfContract) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-042", "alice", scenario="deleted")]) as running:
        face = JamfFace(running.world)
        with serve(face, contract) as service:
            told = run_flow(tmp_path, running, settings(service.url, tmp_path / "secret"))

    assert service.off_contract == []
    puts = [asked for asked in service.asked if asked.method == "PUT"]
    assert [b"additions" in asked.body for asked in puts] == [True, False]
    # The file that the settings name is the one place of the secret.
    assert told.written.count(CLIENT_SECRET) == 1
    for secret in ("planted-token", running.world.mdm.settings().challenge):
        assert secret not in told.written


@pytest.mark.slow
def test_a_hundred_devices_cost_one_change_each_way(tmp_path: Path, contract: JamfContract) -> None:
    world, time = (
        World.create(tmp_path / "world", [MacSpec(f"mac-{n:03}", scenario="deleted") for n in range(100)]),
        Time(),
    )
    with serve(JamfFace(world, time.now), contract) as service:
        options = service_settings(settings(service.url, tmp_path / "secret"))
        mdm = JamfPro(options, sleep=time.sleep, monotonic=time.monotonic, now=time.now)
        devices = {
            name: RunDevice(name, identity=mac.facts.identity, playbook="reinstall_scep_profile")
            for name, mac in world.macs.items()
        }
        run, notes = Run("intent", "uninstall", devices), Notes()
        answer = mdm_stages.look(mdm, run, time)
        assert len(answer.devices) == 100
        assert len(mdm_stages.exclude(mdm, run, answer, devices, notes)) == 100
        run = mdm_stages.with_effects(
            run, [replace(one, at=time.now() - timedelta(minutes=1)) for one in notes.effects]
        )
        gone = mdm_stages.look(mdm, run, time)
        results = [stages.uninstall(run.devices[host], gone.devices[host]).answer for host in devices]
        assert set(results) == {StageAnswer.DONE}
        assert len(mdm_stages.put_back(mdm, run, gone, devices, notes)) == 100
        back = mdm_stages.look(mdm, run, time)
        results = [stages.reinstall(run.devices[host], back.devices[host]).answer for host in devices]
        assert set(results) == {StageAnswer.DONE}

    assert service.off_contract == []
    assert len([asked for asked in service.asked if asked.method == "PUT"]) == 2
    reads = [asked for asked in service.asked if asked.method == "GET"]
    assert len(reads) / 100 < 0.6
