"""The Okta adapter against Okta's published contract: what it asks, and what it makes of answers and faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from tests.contract import okta_face
from tests.contract.okta_face import OktaFace, custom_role, help_desk_of, limits
from tests.contract.openapi import OpenApiContract
from tests.contract.server import Said, Service, changes, serve
from tests.simulator.worlds import NOW, world_of

from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.adapters.okta import OktaError
from scepfix.adapters.okta.directory import OktaDirectory
from scepfix.adapters.okta.management_api import REGISTERED, OktaManagementApi
from scepfix.adapters.okta.org_setting import RecoveryPinSetting
from scepfix.adapters.okta.snapshot_file import save_snapshot
from scepfix.adapters.settings_file import load_settings
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.cli.main import run
from scepfix.domain.check import CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.domain.evidence import Evidence
from scepfix.domain.fault import Symptom
from scepfix.parsers.okta_snapshot import KnownDevice, Snapshot
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.service.diagnose import DiagnoseRequest, Ways, diagnose_device
from scepfix.service.ports import InventoryDevice
from scepfix.simulator.mac import Mac
from scepfix.simulator.observed import observe
from scepfix.simulator.okta import ADMIN, HELPDESK, READER
from scepfix.simulator.world import World

CONTRACT = Path(__file__).parents[3] / "shared/contracts/okta/okta-management.subset.json"
#: What the public description leaves out: the org's token endpoint.
ELSEWHERE = (okta_face.TOKEN_PATH,)
TOKEN = "ssws-token"
ALICE_LATER = NOW + timedelta(hours=1)

pytestmark = pytest.mark.skipif(not CONTRACT.exists(), reason="Okta's published contract is not beside the checkout")


@cache
def contract() -> OpenApiContract:
    return OpenApiContract(CONTRACT, elsewhere=ELSEWHERE)


@cache
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class Setup:
    """A world with a Mac, its org behind a service, and the adapter that asks it."""

    world: World
    face: OktaFace
    service: Service
    settings: ServiceSettings
    folder: Path
    slept: list[float] = field(default_factory=list)
    now: datetime = NOW

    def okta(self, **options: str | int) -> OktaManagementApi:
        settings = ServiceSettings(
            self.settings.kind, {**self.settings.options, **options}, self.settings.secrets, self.settings.folder
        )
        return OktaManagementApi(settings, sleep=self.slept.append, now=lambda: self.now)

    def app(self, **options: str | int) -> ServiceSettings:
        """Return settings that use the service app."""
        (self.folder / "key.pem").write_text(pem_of(app_key()))
        self.face.app_key = app_key().public_key()
        secrets = {"private_key": SecretRef("file", "key.pem")}
        return ServiceSettings(
            "okta", {"url": self.service.url, "client_id": "0oaclient", **options}, secrets, str(self.folder)
        )

    def okta_app(self, **options: str | int) -> OktaManagementApi:
        return OktaManagementApi(self.app(**options), sleep=self.slept.append, now=lambda: self.now)

    @property
    def mac(self) -> Mac:
        return next(iter(self.world.macs.values()))

    @property
    def identity(self) -> Identity:
        return self.mac.facts.identity

    @property
    def person(self) -> str:
        return self.mac.facts.person

    def record(self) -> dict[str, Any]:
        query = {"search": f'profile.serialNumber eq "{self.identity.serial_number}"'}
        found: dict[str, Any] = self.face.org.answer("/api/v1/devices", query)[1][0]
        return found


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Setup]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OKTA_TOKEN", TOKEN)
    made: list[tuple[Any, Service]] = []

    def begin(scenario: str = "healthy") -> Setup:
        world = world_of(tmp_path, scenario)
        face = OktaFace(world.okta)
        manager = serve(face, contract())
        service = manager.__enter__()
        face.url = service.url
        made.append((manager, service))
        settings = ServiceSettings("okta", {"url": service.url}, {"token": SecretRef("env", "OKTA_TOKEN")})
        one = Setup(world, face, service, settings, tmp_path)
        face.now = lambda: one.now
        return one

    yield begin
    for manager, service in made:
        manager.__exit__(None, None, None)
        assert service.off_contract == []
        assert changes(service, ("PUT", "PATCH", "DELETE")) == []
        assert {one.path for one in changes(service)} <= {okta_face.TOKEN_PATH}


Begin = Callable[..., Setup]


def says(evidence: tuple[Evidence, ...]) -> list[str]:
    return [one.says for one in evidence]


def facts_of(evidence: tuple[Evidence, ...], name: str) -> dict[str, Any]:
    [found] = [one for one in evidence if one.says == name]
    return dict(found.facts)


def paths(service: Service) -> list[str]:
    return [one.path for one in service.asked]


def one_line(error: ScepfixError, code: str) -> str:
    """The whole of it is one line, says what to do, and shows no secret."""
    assert error.code == code
    assert "\n" not in str(error)
    assert error.hint
    assert TOKEN not in str(error)
    assert TOKEN not in repr(error)
    return str(error)


# --- what Okta says ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("healthy", ["okta.device-active", "okta.registered", "okta.enrolled", "okta.pin-setting"]),
        ("deleted", ["okta.device-gone", "okta.pin-setting"]),
        (
            "deactivated",
            ["okta.device-deactivated", "okta.registered", "okta.enrolled", "okta.pin-setting"],
        ),
        ("suspended", ["okta.device-suspended", "okta.registered", "okta.enrolled", "okta.pin-setting"]),
        (
            "revoked",
            ["okta.device-active", "okta.certificate-revoked", "okta.registered", "okta.enrolled", "okta.pin-setting"],
        ),
        ("not-registered", ["okta.device-active", "okta.not-registered", "okta.enrolled", "okta.pin-setting"]),
    ],
)
@pytest.mark.parametrize("way", ["token", "app"])
def test_a_device_is_what_its_record_and_the_log_say(
    setup: Begin, scenario: str, expected: list[str], way: str
) -> None:
    one = setup(scenario)
    okta = one.okta() if way == "token" else one.okta_app()

    found = okta.device_evidence(one.identity, one.person, "")

    assert says(found) == expected
    assert okta.notes() == ()


def test_without_a_device_the_org_and_the_admin_are_asked_about(setup: Begin) -> None:
    one = setup()

    found = one.okta().device_evidence(Identity(), "", ADMIN)

    assert says(found) == ["okta.pin-setting", "okta.admin-may-generate"]
    assert not any("/devices" in path or "/logs" in path for path in paths(one.service))


def test_what_holds_for_the_org_is_asked_once_for_many_devices(setup: Begin) -> None:
    one = setup()
    okta = one.okta()

    for _ in range(3):
        okta.device_evidence(one.identity, one.person, "")

    asked = paths(one.service)
    assert asked.count("/api/v1/features") == asked.count(okta_face.SETTING_PATH) == 1
    assert len([1 for each in one.service.asked if each.get("filter") == 'eventType eq "device.lifecycle.delete"']) == 1


def test_every_page_is_read_and_no_more(setup: Begin) -> None:
    one = setup("deleted")
    one.face.page = 1
    for day in range(5):
        one.world.okta.enrol_person(one.mac, NOW - timedelta(days=2))
        one.world.okta.delete(one.mac, NOW - timedelta(days=2, minutes=-day))

    found = one.okta().device_evidence(one.identity, "", "")

    assert says(found).count("okta.device-gone") == 6
    pages = [each for each in one.service.asked if "lifecycle.delete" in each.get("filter")]
    assert [each.get("after") for each in pages] == ["", "p1", "p2", "p3", "p4", "p5"]


def test_a_search_that_lags_behind_does_not_count(setup: Begin) -> None:
    one = setup("deleted")
    gone = {**one.face.org._load()["devices"][0], "status": "ACTIVE"}
    one.face.lagging = [gone]

    found = one.okta().device_evidence(one.identity, "", "")

    assert says(found) == ["okta.device-gone", "okta.pin-setting"]
    assert facts_of(found, "okta.device-gone")["device_id"] == gone["id"]


@pytest.mark.parametrize("gone", [okta_face.NOT_FOUND, okta_face.NO_DEVICE])
def test_404_and_410_mean_gone(setup: Begin, gone: Said) -> None:
    one = setup()
    one.service.inject(gone, matches=lambda asked: asked.path == f"/api/v1/devices/{one.record()['id']}")

    found = one.okta().device_evidence(one.identity, one.person, "")

    assert says(found)[0] == "okta.device-gone"
    assert "okta.device-active" not in says(found)


def test_a_record_of_another_device_with_that_serial_number_is_not_this_one(setup: Begin) -> None:
    one = setup()
    other = Identity(one.identity.serial_number, "11111111-2222-4333-8444-555555555555")

    assert says(one.okta().device_evidence(other, one.person, "")) == ["okta.no-record", "okta.pin-setting"]


def test_of_two_records_the_newest_counts_and_a_note_says_so(setup: Begin) -> None:
    one = setup("deactivated")
    older = one.record()
    one.world.okta._change(
        lambda state: state["devices"].append(
            {**state["devices"][0], "id": "guonew", "status": "ACTIVE", "created": "2026-11-24T10:00:00Z"}
        )
    )
    okta = one.okta()

    found = okta.device_evidence(one.identity, "", "")

    assert facts_of(found, "okta.device-active")["device_id"] == "guonew"
    assert older["id"] not in {one.facts.get("device_id") for one in found}
    assert "2 records" in okta.notes()[0]


def test_a_deletion_that_names_no_key_is_told_by_the_snapshot(setup: Begin) -> None:
    one = setup("deleted")
    deleted = forget_details(one)
    okta = one.okta()
    assert says(okta.device_evidence(one.identity, "", "")) == ["okta.pin-setting"]
    assert "scepfix okta snapshot" in okta.notes()[0]

    known = KnownDevice(deleted, one.identity.serial_number, one.identity.hardware_uuid)
    save_snapshot(one.settings, Snapshot(one.service.url, NOW, {deleted: known}))

    found = one.okta().device_evidence(one.identity, "", "")
    assert says(found) == ["okta.device-gone", "okta.pin-setting"]
    assert facts_of(found, "okta.device-gone")["deleted_at"] == "2026-11-21T12:00:00Z"


def test_a_record_that_the_snapshot_knows_and_the_log_does_not_is_gone_all_the_same(setup: Begin) -> None:
    one = setup("deleted")
    one.world.okta._change(lambda state: state.update(events=[]))
    known = KnownDevice("guoold", one.identity.serial_number)
    save_snapshot(one.settings, Snapshot(one.service.url, NOW, {"guoold": known}))

    found = one.okta().device_evidence(one.identity, "", "")

    assert facts_of(found, "okta.device-gone") == {"device_id": "guoold"}


def forget_details(one: Setup) -> str:
    """Take serial number and UDID out of every event; return the id of the deleted record."""

    def change(state: dict[str, Any]) -> None:
        for event in state["events"]:
            for target in event["target"]:
                target.pop("detailEntry", None)

    one.world.okta._change(change)
    deleted: str = one.face.org._load()["devices"][0]["id"]
    return deleted


# --- the person -------------------------------------------------------------------------------------------------


def test_a_registration_counts_for_that_person_on_the_record_that_exists_now(setup: Begin) -> None:
    one = setup("deleted")
    okta = one.okta()
    assert okta.registered(one.identity, one.person, NOW - timedelta(days=80)) is None
    repair(one)
    one.now = ALICE_LATER
    assert okta.registered(one.identity, one.person, NOW) is False

    assert one.world.sign_in("deleted", ALICE_LATER)

    assert okta.registered(one.identity, one.person, NOW) is True
    assert okta.registered(one.identity, one.person.upper(), NOW) is True
    # What happened on the record before is nobody's registration now.
    assert okta.registered(one.identity, one.person, ALICE_LATER + timedelta(seconds=1)) is False
    assert okta.registered(one.identity, HELPDESK, NOW) is False
    assert okta.registered(one.identity, "nobody@example.com", NOW) is None
    assert okta.registered(Identity("C02NOBODY"), one.person, NOW) is None


def repair(one: Setup) -> None:
    one.world.mdm.exclude([one.mac.facts.mdm_id], NOW)
    one.world.mdm.check_in(NOW)
    one.world.mdm.put_back([one.mac.facts.mdm_id], NOW)
    one.world.mdm.check_in(NOW)
    one.world.okta.enrol_person(one.mac, NOW)


def test_what_the_old_record_saw_is_no_registration(setup: Begin) -> None:
    one = setup()
    assert one.okta().registered(one.identity, one.person, NOW - timedelta(days=80)) is True
    one.world.okta.delete(one.mac, NOW)
    one.world.okta.enrol_person(one.mac, NOW)

    assert one.okta().registered(one.identity, one.person, NOW - timedelta(days=80)) is False


def test_a_rotation_that_failed_is_no_registration(setup: Begin) -> None:
    one = setup()

    def fail(state: dict[str, Any]) -> None:
        for event in state["events"]:
            if event["eventType"] == REGISTERED:
                event["outcome"] = {"result": "FAILURE"}

    one.world.okta._change(fail)

    assert one.okta().registered(one.identity, one.person, NOW - timedelta(days=80)) is False


def test_a_person_whom_okta_does_not_know_is_noted_and_nothing_is_said_of_them(setup: Begin) -> None:
    one = setup()
    okta = one.okta()

    found = okta.device_evidence(one.identity, "mallory@example.com", "")

    assert says(found) == ["okta.device-active", "okta.pin-setting"]
    assert okta.notes() == ("Okta knows nobody named mallory@example.com: check the name.",)


@pytest.mark.parametrize("name", [".", "..", "me", "ME", "Me"])
def test_a_name_that_okta_takes_for_a_path_or_for_whoever_asks_is_nobodys(setup: Begin, name: str) -> None:
    one = setup()
    # What a real org answers to these: whoever owns the token.
    owner = {"id": "00u1", "status": "ACTIVE", "profile": {"login": name, "email": name}}
    one.service.inject(*[Said(200, owner)] * 4, matches=lambda asked: asked.path.startswith("/api/v1/users"))
    one.service.contract = None
    okta = one.okta()

    found = okta.device_evidence(one.identity, name, name)

    assert okta.registered(one.identity, name, NOW - timedelta(days=80)) is None
    assert says(found) == ["okta.device-active", "okta.pin-setting"]
    assert okta.notes() == (f"Okta knows nobody named {name}: check the name.",)
    assert not [path for path in paths(one.service) if path.rstrip("/") in ("/api/v1", "/api/v1/users")]
    assert not [path for path in paths(one.service) if path.startswith("/api/v1/users")]


def test_whom_okta_returns_must_be_named_so(setup: Begin) -> None:
    """Okta takes the beginning of a login for a name, too: alice of another domain would be judged."""
    one = setup()
    other = {"id": "00uother", "status": "ACTIVE", "profile": {"login": "alice@other.example.com", "email": None}}
    one.service.inject(*[Said(200, other)] * 2, matches=lambda asked: asked.path == "/api/v1/users/alice")
    okta = one.okta()

    found = okta.device_evidence(one.identity, "alice", "alice")

    assert says(found) == ["okta.device-active", "okta.pin-setting"]
    assert okta.notes() == ("Okta knows nobody named alice: check the name.",)
    assert not [path for path in paths(one.service) if path.endswith("/roles")]


@pytest.mark.parametrize("key", ["login", "email", "id"])
def test_login_email_and_id_name_a_person_in_any_case(setup: Begin, key: str) -> None:
    one = setup()
    found = dict(one.face.org.answer(f"/api/v1/users/{one.person}", {})[1])
    found["profile"] = {**found["profile"], "email": "alice.private@example.com"}
    name = str({**found, **found["profile"]}[key]).upper()
    one.service.inject(Said(200, found), matches=lambda asked: asked.path.startswith("/api/v1/users/"))

    assert one.okta().registered(one.identity, name, NOW - timedelta(days=80)) is True


def test_a_short_name_of_an_admin_whom_nobody_can_read_is_not_judged(setup: Begin) -> None:
    one = setup()
    one.face.api_tokens = {TOKEN: okta_face.READ - {"okta.users.read"}}
    okta = one.okta()

    assert "okta.admin-may-generate" not in says(okta.device_evidence(Identity(), "", "admin"))
    assert "give the whole login" in okta.notes()[-1]
    assert not [path for path in paths(one.service) if path.endswith("/roles")]
    assert "okta.admin-may-generate" in says(okta.device_evidence(Identity(), "", ADMIN))


def test_a_snapshot_that_does_not_count_is_noted_for_each_device(setup: Begin) -> None:
    one = setup()
    save_snapshot(one.settings, Snapshot(one.service.url, NOW, {}))
    [file] = (one.folder / "state").rglob("okta-snapshot-*")
    file.write_text("{}")
    okta = one.okta()

    for _ in range(2):
        okta.device_evidence(one.identity, "", "")
        assert "The snapshot does not count" in okta.notes()[0]


def test_a_person_without_an_account_on_the_device_is_noted(setup: Begin) -> None:
    one = setup()
    okta = one.okta()

    found = okta.device_evidence(one.identity, HELPDESK, "")

    assert "okta.not-registered" in says(found)
    assert f"In Okta the device is not one of {HELPDESK}'s: it has {one.person}." in okta.notes()


def test_where_os_accounts_are_off_the_log_tells_of_the_enrolment(setup: Begin) -> None:
    one = setup()
    one.face.no_os_accounts = True

    [found] = [each for each in one.okta().device_evidence(one.identity, one.person, "") if "enrolled" in each.says]

    assert (found.says, found.source) == ("okta.enrolled", "okta:System Log")
    assert found.observed_at == NOW - timedelta(days=29)


def test_without_both_nobody_says_whether_the_person_is_enrolled(setup: Begin) -> None:
    one = setup()
    one.face.no_os_accounts = True
    one.now = NOW + timedelta(days=70)
    okta = one.okta()

    found = okta.device_evidence(one.identity, one.person, "")

    assert not any("enrolled" in each for each in says(found))
    assert "os-accounts are not on" in okta.notes()[0]


# --- the org and the admin --------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [okta_face.DENIED, okta_face.NOT_FOUND])
def test_a_setting_that_is_closed_is_looked_at_by_hand(setup: Begin, closed: Said) -> None:
    one = setup("pin-disabled")
    okta = one.okta()
    assert facts_of(okta.device_evidence(Identity(), "", ""), "okta.pin-setting") == {"enabled": False}

    one.service.inject(closed, matches=lambda asked: asked.path == okta_face.SETTING_PATH)
    okta = one.okta()

    assert okta.device_evidence(Identity(), "", "") == ()
    assert "by hand: Security > General" in okta.notes()[0]


def test_an_unmet_feature_is_told(setup: Begin) -> None:
    one = setup()
    one.face.features = {"Desktop MFA Admin Recovery": "DISABLED"}

    assert "prerequisite.unmet" in says(one.okta().device_evidence(Identity(), "", ""))


PERMISSION = "okta.devices.recoveryPin.generate-as-somebody-found-out"
FEATURE = "Enable custom admin roles for device permissions"


@pytest.mark.parametrize(
    ("admin", "role", "permission", "features", "expected", "note"),
    [
        (ADMIN, None, "", {}, {"allowed": True, "roles": "SUPER_ADMIN"}, ""),
        (HELPDESK, None, "", {}, {"allowed": True, "roles": "HELP_DESK_ADMIN"}, ""),
        (READER, None, "", {}, {"allowed": False, "roles": "READ_ONLY_ADMIN", "reason": "role"}, ""),
        (READER, help_desk_of("Berlin"), "", {}, None, "help desk admin of some groups only (Berlin)"),
        (READER, custom_role("cr1", "PIN desk"), "", {}, None, "okta.generate_permission"),
        (READER, custom_role("cr1", "PIN desk"), PERMISSION, {}, None, "its resource set (iam1)"),
        (
            READER,
            custom_role("cr2", "Other desk"),
            PERMISSION,
            {},
            {"allowed": False, "roles": "Other desk, READ_ONLY_ADMIN", "reason": "permission"},
            "",
        ),
        (
            READER,
            custom_role("cr1", "PIN desk"),
            PERMISSION,
            {FEATURE: "DISABLED"},
            {"allowed": False, "roles": "PIN desk, READ_ONLY_ADMIN", "reason": "feature"},
            FEATURE,
        ),
        (READER, custom_role("cr9", "Gone desk"), PERMISSION, {}, None, "cannot be read"),
    ],
)
def test_an_admin_may_what_their_roles_let_them(
    setup: Begin,
    admin: str,
    role: dict[str, Any] | None,
    permission: str,
    features: dict[str, str],
    expected: dict[str, Any] | None,
    note: str,
) -> None:
    one = setup()
    one.face.assignments = {admin: [role] if role else []}
    one.face.custom_roles = {
        "cr1": ("PIN desk", ("okta.devices.read", PERMISSION)),
        "cr2": ("Other desk", ("okta.devices.read",)),
    }
    one.face.features = features
    okta = one.okta(generate_permission=permission) if permission else one.okta()

    found = okta.device_evidence(Identity(), "", admin)

    if expected is None:
        assert "okta.admin-may-generate" not in says(found)
    else:
        assert facts_of(found, "okta.admin-may-generate") == expected
    assert any(note in each for each in okta.notes()) if note else okta.notes() == ()


def test_a_role_that_is_not_active_lets_nobody(setup: Begin) -> None:
    one = setup()
    one.face.assignments = {READER: [{**help_desk_of(), "status": "INACTIVE"}]}

    found = one.okta().device_evidence(Identity(), "", READER)

    assert facts_of(found, "okta.admin-may-generate")["allowed"] is False


@pytest.mark.parametrize("name", ["PIN desk", "cr1"])
def test_the_permissions_of_a_role_are_listed(setup: Begin, name: str) -> None:
    one = setup()
    one.face.custom_roles = {"cr1": ("PIN desk", (PERMISSION, "okta.devices.read")), "cr2": ("Other desk", ())}
    directory = OktaDirectory(one.settings, sleep=one.slept.append)

    assert directory.permissions(name) == ("okta.devices.read", PERMISSION)
    assert directory.permissions("No desk") is None
    assert directory.roles() == ("Other desk", "PIN desk")


# --- credentials ------------------------------------------------------------------------------------------------


def test_a_service_app_signs_for_its_token_once(setup: Begin) -> None:
    one = setup()

    one.okta_app(key_id="key-1").device_evidence(one.identity, one.person, ADMIN)

    [asked] = [each for each in one.service.asked if each.path == okta_face.TOKEN_PATH]
    [assertion] = [
        part.partition("=")[2] for part in asked.body.decode().split("&") if part.startswith("client_assertion=")
    ]
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
    claims = jwt.decode(assertion, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    assert "authorization" not in asked.headers


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_key_may_be_a_jwk(setup: Begin, kind: str) -> None:
    one = setup()
    settings = one.app()
    if kind == "rsa":
        jwk = RSAAlgorithm.to_jwk(app_key(), as_dict=True)
    else:
        elliptic = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(elliptic, as_dict=True)
        one.face.app_key = elliptic.public_key()
    (one.folder / "key.pem").write_text(json.dumps({**jwk, "kid": "of-the-jwk"}))

    found = OktaManagementApi(settings, now=lambda: NOW).device_evidence(one.identity, "", "")

    assert "okta.device-active" in says(found)


def test_an_access_token_is_renewed_before_it_ends(setup: Begin) -> None:
    one = setup()
    okta = one.okta_app()
    okta.device_evidence(one.identity, one.person, "")
    one.now = NOW + timedelta(seconds=3530)
    okta.registered(one.identity, one.person, NOW)
    assert paths(one.service).count(okta_face.TOKEN_PATH) == 1

    one.now = NOW + timedelta(seconds=3545)
    okta.registered(one.identity, one.person, NOW)

    assert paths(one.service).count(okta_face.TOKEN_PATH) == 2


def test_an_access_token_that_is_refused_is_renewed_once(setup: Begin) -> None:
    one = setup()
    okta = one.okta_app()
    okta.device_evidence(one.identity, one.person, "")
    one.face.expire()

    assert okta.registered(one.identity, one.person, NOW - timedelta(days=80)) is True
    assert paths(one.service).count(okta_face.TOKEN_PATH) == 2

    one.service.inject(*[okta_face.EXPIRED] * 2, matches=lambda asked: asked.path.startswith("/api"))
    with pytest.raises(OktaError) as caught:
        okta.registered(one.identity, one.person, NOW)
    assert "expired" in one_line(caught.value, "okta-credentials")


def test_an_api_token_that_was_rotated_meanwhile_counts(setup: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    one = setup()
    okta = one.okta()
    okta.device_evidence(one.identity, "", "")
    one.face.api_tokens = {"ssws-newer": okta_face.READ}
    with pytest.raises(OktaError) as caught:
        okta.device_evidence(one.identity, "", "")
    one_line(caught.value, "okta-credentials")

    monkeypatch.setenv("OKTA_TOKEN", "ssws-newer")

    assert "okta.device-active" in says(okta.device_evidence(one.identity, "", ""))


@pytest.mark.parametrize(
    ("break_it", "code", "told"),
    [
        (lambda one: setattr(one.face, "client_id", "another"), "okta-credentials", "invalid_client"),
        (lambda one: setattr(one.face, "granted", frozenset()), "okta-privilege", "Okta API Scopes"),
        (lambda one: setattr(one.face, "demands_dpop", True), "okta-credentials", "DPoP"),
        (lambda one: one.service.inject(Said(404, {"error": "no"})), "okta-tenant", "no token endpoint"),
        (
            lambda one: one.service.inject(Said(200, {"token_type": "DPoP", "access_token": "a"})),
            "okta-credentials",
            "DPoP",
        ),
        (lambda one: one.service.inject(Said(200, {"token_type": "Bearer"})), "okta-answer", "no token"),
        (lambda one: one.service.inject(Said(200, ["no"])), "okta-answer", "another form"),
        (lambda one: one.service.inject(Said(200, body=b"{")), "okta-answer", "no JSON"),
    ],
)
def test_a_service_app_that_gets_no_token_is_told_why(
    setup: Begin, break_it: Callable[[Setup], None], code: str, told: str
) -> None:
    one = setup()
    okta = one.okta_app()
    break_it(one)

    with pytest.raises(OktaError) as caught:
        okta.device_evidence(one.identity, one.person, "")

    assert told in one_line(caught.value, code)
    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nPLANTEDKEY\n-----END PRIVATE KEY-----",
        '{"kty": "RSA", "d": "PLANTEDKEY"}',
        '{"kty": "oct", "k": "PLANTEDKEY"}',
        '{"kty": "PLANTEDKEY"',
        "PLANTEDKEY",
    ],
)
def test_a_key_that_is_none_is_told_and_not_shown(setup: Begin, text: str) -> None:
    one = setup()
    settings = one.app()
    (one.folder / "key.pem").write_text(text)

    with pytest.raises(OktaError) as caught:
        OktaManagementApi(settings, now=lambda: NOW).device_evidence(one.identity, "", "")

    assert "PEM" in one_line(caught.value, "okta-credentials")
    assert "PLANTEDKEY" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_key_without_its_client_is_told(setup: Begin) -> None:
    one = setup()

    with pytest.raises(OktaError) as caught:
        one.okta_app(client_id="").device_evidence(one.identity, "", "")

    assert "client_id" in one_line(caught.value, "okta-credentials")


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["okta.devices.read", "okta.logs.read"])
@pytest.mark.parametrize("way", ["token", "app"])
def test_a_privilege_that_is_missing_is_named(setup: Begin, scope: str, way: str) -> None:
    one = setup()
    okta = one.okta() if way == "token" else one.okta_app()
    one.face.api_tokens = {TOKEN: okta_face.READ - {scope}}
    one.face.granted = okta_face.READ - {scope}

    with pytest.raises(OktaError) as caught:
        okta.device_evidence(one.identity, one.person, "")

    assert scope in one_line(caught.value, "okta-privilege")


@pytest.mark.parametrize(
    ("scope", "note"),
    [
        ("okta.users.read", "grant okta.users.read"),
        ("okta.roles.read", "grant okta.roles.read"),
        ("okta.orgs.read", "by hand"),
    ],
)
def test_what_can_be_done_without_is_noted(setup: Begin, scope: str, note: str) -> None:
    one = setup()
    one.face.api_tokens = {TOKEN: okta_face.READ - {scope}}
    okta = one.okta()

    found = okta.device_evidence(one.identity, one.person, ADMIN)

    assert {"okta.device-active", "okta.registered"} <= set(says(found))
    assert any(note in each for each in okta.notes())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://example-admin.okta.com", "Admin Console"),
        ("https://example-admin.oktapreview.com/", "Admin Console"),
        ("https://example.okta.com/admin/dashboard", "no path"),
    ],
)
def test_a_wrong_address_is_told_before_anybody_is_asked(setup: Begin, url: str, told: str) -> None:
    one = setup()

    with pytest.raises(OktaError) as caught:
        one.okta(url=url).device_evidence(one.identity, "", "")

    assert told in one_line(caught.value, "okta-tenant")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (Said(404, body=b"<html>no such org</html>", content_type="text/html"), "okta-tenant"),
        (Said(200, body=b"<html>welcome</html>", content_type="text/html"), "okta-tenant"),
        (Said(404, {"message": "no Route matched"}), "okta-tenant"),
        (Said(302, headers=(("Location", "https://elsewhere.example.com/"),)), "okta-answer"),
        (Said(200, body=b'[{"id": "guo'), "okta-answer"),
        (Said(200, {"not": "a list"}), "okta-answer"),
        (Said(200, [{"name": "no device"}]), "okta-answer"),
        (Said(200, [{"id": "../../x"}]), "okta-answer"),
        (Said(200, [], headers=(("Link", '<https://evil.example.com/x>; rel="next"'),)), "okta-answer"),
        (Said(400, {"errorCode": "E0000001", "errorSummary": "Api validation failed"}), "okta-refused"),
        (Said(409, {"errorCode": "E0000001", "errorSummary": "conflict"}), "okta-refused"),
    ],
)
def test_what_is_no_answer_of_okta_is_told(setup: Begin, said: Said, code: str) -> None:
    one = setup()
    one.service.inject(said)

    with pytest.raises(OktaError) as caught:
        one.okta().device_evidence(one.identity, "", "")

    one_line(caught.value, code)


def test_pages_that_go_in_circles_end(setup: Begin) -> None:
    one = setup()
    circle = Said(200, [], headers=(("Link", f'<{one.service.url}/api/v1/devices?after=x>; rel="next"'),))
    one.service.inject(*[circle] * 5)

    with pytest.raises(OktaError) as caught:
        one.okta().device_evidence(one.identity, "", "")

    assert "do not end" in one_line(caught.value, "okta-answer")


def test_hostile_text_of_a_record_is_made_inert(setup: Begin) -> None:
    one = setup()

    def plant(state: dict[str, Any]) -> None:
        state["devices"][0]["status"] = "\x1b[31mOWNED\n{{ 1 }}"

    one.world.okta._change(plant)
    one.service.contract = None
    okta = one.okta()

    okta.device_evidence(one.identity, "", "")

    assert "␛[31mOWNED␊" in okta.notes()[0]


# --- trouble and limits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "slept"),
    [
        ([Said(500)], 1.0),
        ([Said(503, headers=(("Retry-After", "7"),))], 7.0),
        ([Said(200, [], cut=True, headers=(("X-Padding", "x"),))], None),
        ([Said(429, okta_face.TOO_MANY.document, headers=(("Retry-After", "5"),))], 5.0),
        ([okta_face.TOO_MANY], 1.0),
        # Too many at once: zeros, and a time that is only a hint.
        ([Said(429, okta_face.TOO_MANY.document, headers=limits(0, 0, NOW + timedelta(seconds=50), NOW))], 1.0),
        ([Said(429, okta_face.TOO_MANY.document, headers=limits(100, 0, NOW + timedelta(seconds=20), NOW))], 21.0),
    ],
)
def test_trouble_that_passes_costs_time_and_nothing_else(setup: Begin, faults: list[Said], slept: float | None) -> None:
    one = setup()
    one.service.inject(*faults)

    found = one.okta().device_evidence(one.identity, one.person, "")

    assert says(found) == ["okta.device-active", "okta.registered", "okta.enrolled", "okta.pin-setting"]
    if slept is not None:
        assert sum(one.slept) == pytest.approx(slept, abs=1.5)
        assert max(one.slept) >= slept - 1


def test_a_slow_answer_is_waited_for(setup: Begin) -> None:
    one = setup()
    slow = Said(200, {"desktopMFARecoveryPinEnabled": False}, slow_seconds=0.5)
    one.service.inject(slow, matches=lambda asked: asked.path == okta_face.SETTING_PATH)

    found = one.okta().device_evidence(Identity(), "", "")

    assert facts_of(found, "okta.pin-setting") == {"enabled": False}


def test_trouble_that_stays_is_told(setup: Begin) -> None:
    one = setup()
    one.service.inject(*[Said(503)] * 10)

    with pytest.raises(OktaError) as caught:
        one.okta().device_evidence(one.identity, one.person, "")

    one_line(caught.value, "okta-unreachable")


def test_nobody_there_is_told(setup: Begin) -> None:
    one = setup()

    with pytest.raises(OktaError) as caught:
        one.okta(url="http://127.0.0.1:1").device_evidence(one.identity, one.person, "")

    one_line(caught.value, "okta-unreachable")


@pytest.mark.parametrize(
    ("remaining", "share", "waits"),
    [(301, 50, False), (300, 50, True), (299, 50, True), (100, 90, False), (60, 90, True), (1, 100, False)],
)
def test_only_a_share_of_a_limit_is_used(setup: Begin, remaining: int, share: int, waits: bool) -> None:
    one = setup()
    one.face.headers = limits(600, remaining, NOW + timedelta(seconds=30), NOW)

    one.okta(rate_share=share).registered(one.identity, one.person, NOW)

    assert bool(one.slept) is False
    one.okta(rate_share=share).device_evidence(one.identity, one.person, "")
    assert bool(one.slept) is waits
    # Each bucket waits for itself: the log is asked more than once, the setting is not.
    assert all(25 < seconds < 32 for seconds in one.slept)


# --- doctor -----------------------------------------------------------------------------------------------------


def lacks_features(one: Setup) -> None:
    not_found = Said(404, {"errorCode": "E0000007"})
    one.service.inject(not_found, matches=lambda asked: asked.path == "/api/v1/features")


def lacks_features_and_roles(one: Setup) -> None:
    lacks_features(one)
    one.face.api_tokens.update({TOKEN: okta_face.READ - {"okta.roles.read"}})


def test_doctor_finds_all_well(setup: Begin) -> None:
    one = setup()
    one.face.headers = limits(600, 599, NOW + timedelta(seconds=30), NOW)

    found = list(one.okta_app().checks())

    assert [each.id for each in found] == ["okta.credentials", "okta.scopes", "okta.setting", "okta.clock", "okta.log"]
    assert {each.result for each in found} == {CheckResult.PASS}


@pytest.mark.parametrize(
    ("break_it", "check", "result", "told"),
    [
        (lambda one: one.face.api_tokens.clear(), "okta.credentials", CheckResult.FAIL, "expired"),
        (
            lambda one: one.face.api_tokens.update({TOKEN: okta_face.READ - {"okta.roles.read", "okta.users.read"}}),
            "okta.scopes",
            CheckResult.FAIL,
            "okta.users.read, okta.roles.read",
        ),
        (lambda one: one.face.api_tokens.update({TOKEN: frozenset()}), "okta.scopes", CheckResult.FAIL, "devices.read"),
        (lacks_features, "okta.scopes", CheckResult.UNKNOWN, "(404): okta.features.read"),
        (
            lacks_features_and_roles,
            "okta.scopes",
            CheckResult.FAIL,
            "refused (403): okta.roles.read; this org lacks what would show it (404): okta.features.read",
        ),
        (lambda one: setattr(one.face, "closed_setting", True), "okta.setting", CheckResult.UNKNOWN, "does not tell"),
        (
            lambda one: setattr(one, "now", NOW + timedelta(minutes=6)),
            "okta.clock",
            CheckResult.FAIL,
            "6 minutes ahead",
        ),
        (
            lambda one: setattr(one, "now", NOW - timedelta(minutes=9)),
            "okta.clock",
            CheckResult.FAIL,
            "9 minutes behind",
        ),
        (
            lambda one: one.face.api_tokens.update({TOKEN: okta_face.READ - {"okta.logs.read"}}),
            "okta.log",
            CheckResult.FAIL,
            "okta.logs.read",
        ),
        (
            lambda one: one.service.inject(Said(200, body=b"<html>", content_type="text/html")),
            "okta.credentials",
            CheckResult.FAIL,
            "no Okta org",
        ),
        (lambda one: one.service.inject(*[Said(503)] * 4), "okta.credentials", CheckResult.UNKNOWN, "cannot answer"),
    ],
)
def test_doctor_names_what_is_wrong(
    setup: Begin, break_it: Callable[[Setup], None], check: str, result: CheckResult, told: str
) -> None:
    one = setup()
    one.face.headers = limits(600, 599, NOW + timedelta(seconds=30), NOW)
    break_it(one)

    [found] = [each for each in one.okta().checks() if each.id == check]

    assert found.result is result
    assert told in found.message
    assert found.hint


def test_what_the_checks_take_is_no_difference_of_clocks(setup: Begin) -> None:
    one = setup()
    one.face.headers = limits(600, 599, NOW + timedelta(seconds=30), NOW)

    for check in one.okta().checks():
        one.now += timedelta(minutes=6)
        if check.id == "okta.clock":
            assert check.result is CheckResult.PASS
            break


# --- all of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "fault"),
    [
        ("deleted", "device-deleted"),
        ("deactivated", "device-deactivated"),
        ("no-permission", "admin-permission-missing"),
    ],
)
def test_a_device_is_diagnosed_with_what_okta_says(setup: Begin, scenario: str, fault: str) -> None:
    one = setup(scenario)
    reading = observe(one.mac, NOW)
    assert reading is not None
    request = DiagnoseRequest(device=scenario, person=one.person, admin=HELPDESK, symptom=Symptom.GENERATING_FAILS)

    class Inventory:
        names = frozenset({scenario})

        def devices(self, names: Any, group: str | None = None) -> tuple[InventoryDevice, ...]:
            return (InventoryDevice(scenario, "dev-0123456789ab", {}, one.person),)

    ways = Ways(observe=lambda device: reading, inventory=Inventory(), mdm=None, okta=one.okta_app())

    report = diagnose_device(
        request, ways, EvidenceSourcesOnDisk(1 << 20), SmallFilesOnDisk(), load_settings(None), lambda: NOW, print
    )

    assert report.top.fault == fault
    assert [each.error for each in report.inputs] == [None, None]


def test_diagnose_asks_okta_and_shows_no_secret(setup: Begin, capsys: pytest.CaptureFixture[str]) -> None:
    one = setup("pin-disabled")
    settings = one.app()
    one.now = datetime.now(UTC)
    config = one.folder / "config.yml"
    config.write_text(
        "okta:\n  kind: okta\n"
        f"  url: {one.service.url}\n  client_id: 0oaclient\n  key_id: key-1\n  private_key: {{file: key.pem}}\n"
    )
    asked = ["diagnose", "--okta", "--admin", HELPDESK, "--symptom", "option-not-there", "--json"]

    code = run([*asked, "--config", str(config)])

    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (code, found["fault"]) == (0, "recovery-pin-disabled")
    # The key and each token that was given: in no output.
    secrets = [*pem_of(app_key()).splitlines()[1:-1], *one.face.issued]
    assert settings.secrets
    assert one.face.issued
    assert not [secret for secret in secrets if secret in captured.out + captured.err]


def test_a_note_of_okta_reaches_the_person(setup: Begin, capsys: pytest.CaptureFixture[str]) -> None:
    one = setup()
    one.face.closed_setting = True
    config = one.folder / "config.yml"
    config.write_text(f"okta:\n  kind: okta\n  url: {one.service.url}\n  token: {{env: OKTA_TOKEN}}\n")

    run(["diagnose", "--okta", "--symptom", "option-not-there", "--config", str(config)])

    assert "Security > General > Okta Device Access" in " ".join(capsys.readouterr().out.split())


def test_nothing_but_reads_is_ever_asked(setup: Begin) -> None:
    one = setup()
    okta = one.okta_app()
    okta.device_evidence(one.identity, one.person, ADMIN)
    okta.registered(one.identity, one.person, NOW)
    list(okta.checks())

    assert {each.method for each in one.service.asked if each.path != okta_face.TOKEN_PATH} == {"GET"}


def test_what_is_asked_of_the_whole_org_fits_too(setup: Begin) -> None:
    one = setup("deleted")
    one.world.okta.enrol_person(one.mac, NOW)
    one.face.page = 1
    one.face.custom_roles = {"cr1": ("PIN desk", ()), "cr2": ("Other desk", ())}
    directory = OktaDirectory(one.app(), sleep=one.slept.append, now=lambda: NOW)

    [device] = directory.devices()
    [deletion] = directory.deletions(NOW - timedelta(days=30), NOW)

    assert (device.serial_number, device.udid) == (one.identity.serial_number, one.identity.hardware_uuid)
    assert device.people == (one.person,)
    assert deletion.serial_number == device.serial_number
    assert deletion.device_id != device.device_id
    assert directory.lives(device.device_id)
    assert not directory.lives(deletion.device_id)
    assert directory.roles() == ("Other desk", "PIN desk")


def test_the_one_write_fits_and_its_scopes_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(tmp_path)
    face = OktaFace(
        world.okta, app_key=app_key().public_key(), granted=frozenset({"okta.orgs.read", "okta.orgs.manage"})
    )
    face.now = lambda: NOW
    (tmp_path / "key.pem").write_text(pem_of(app_key()))
    with serve(face, contract()) as service:
        face.url = service.url
        settings = ServiceSettings(
            "okta",
            {"url": service.url, "client_id": "0oaclient"},
            {"private_key": SecretRef("file", "key.pem")},
            str(tmp_path),
        )
        setting = RecoveryPinSetting(settings, now=lambda: NOW)
        assert setting.read() is True
        setting.write(False)
        assert setting.read() is False
        # Twice is once: what went wrong on its way is asked again.
        service.inject(Said(503), matches=lambda asked: asked.method == "PUT")
        RecoveryPinSetting(settings, sleep=lambda seconds: None, now=lambda: NOW).write(True)
        assert setting.read() is True
        service.inject(okta_face.NOT_FOUND, matches=lambda asked: asked.method == "GET")
        with pytest.raises(OktaError) as caught:
            setting.read()

    assert service.off_contract == []
    assert {asked.path for asked in changes(service, ("PUT",))} == {okta_face.SETTING_PATH}
    assert "super admin sets it by hand" in one_line(caught.value, "okta-closed")
