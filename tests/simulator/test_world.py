"""Worlds as folders: each scenario is what it says, as the product's own readers and rules see it."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.simulator.worlds import NOW, OBSERVE, on_the_mac, world_of

from scepfix.adapters.okta.management_api import OktaManagementApi
from scepfix.adapters.settings_file import load_settings
from scepfix.domain.device import Observation
from scepfix.domain.diagnosis import Verdict
from scepfix.domain.evidence import Evidence
from scepfix.parsers.macos_observation import parse_macos_observation
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.parsers.windows_observation import parse_windows_observation
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.diagnose import diagnose
from scepfix.rules.steps import Circumstances
from scepfix.service.observed_evidence import evidence_of_mdm, evidence_of_observation
from scepfix.simulator.mac import BEHAVIOURS
from scepfix.simulator.observed import observe
from scepfix.simulator.okta import HELPDESK
from scepfix.simulator.peers import okta_face
from scepfix.simulator.peers.http import JsonServer
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.scenarios import SCENARIOS
from scepfix.simulator.world import MacSpec, World

DER = Encoding.DER
#: scenario -> the fault that the product names, from device, MDM and Okta together; None is healthy. Read in
#: process, a device shows no profile settings: ``misconfigured`` is tried over SSH (tests/cli/test_diagnose_device.py).
FAULTS: dict[str, str | None] = {
    "healthy": None,
    "deleted": "device-deleted",
    "missing": "certificate-missing",
    "expired": "certificate-expired",
    "wrong-type": "certificate-wrong-type",
    "wrong-store": "certificate-wrong-store",
    "wrong-org": "certificate-wrong-org",
    "leftover": "certificate-leftover",
    "profile-missing": "profile-missing",
    "profile-excluded": "profile-missing",
    "profile-out-of-scope": "profile-missing",
    "install-failed": "scep-enrolment-failed",
    "not-registered": "not-registered-yet",
    "deactivated": "device-deactivated",
    "suspended": None,
    "revoked": "certificate-rejected",
    "pin-disabled": "recovery-pin-disabled",
    "no-permission": "admin-permission-missing",
    "clock-wrong": "clock-wrong",
    "key-unusable": "certificate-key-unusable",
    "misconfigured": None,
    "misconfigured-scope": "certificate-wrong-store",
    "not-managed": "device-not-managed",
}


@pytest.fixture(autouse=True)
def token_of_okta(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKTA_TOKEN", "token")


def okta_says(world: World, name: str) -> tuple[Evidence, ...]:
    facts = world.macs[name].facts
    server = JsonServer(okta_face.face(world.okta), {"token": False})
    try:
        settings = ServiceSettings("simulated", {"url": server.url}, {"token": SecretRef("env", "OKTA_TOKEN")})
        return OktaManagementApi(settings, now=lambda: NOW).device_evidence(facts.identity, facts.person, HELPDESK)
    finally:
        server.shutdown()
        server.server_close()


def seen(world: World, name: str) -> Observation:
    found = observe(world.macs[name], NOW)
    assert found is not None
    return found


def test_every_scenario_has_its_fault() -> None:
    assert FAULTS.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("scenario", FAULTS)
def test_a_scenario_is_diagnosed_as_what_it_is(tmp_path: Path, scenario: str) -> None:
    world = world_of(tmp_path, scenario)
    facts = world.macs[scenario].facts
    issuer = read_certificate(x509.load_pem_x509_certificate(world.ca.certificate_file.read_bytes()).public_bytes(DER))
    record = world.mdm.devices([facts.serial_number], NOW).get(facts.serial_number)
    evidence = [
        *evidence_of_observation(seen(world, scenario), [issuer], identifier=IDENTIFIER),
        *evidence_of_mdm(record, world.mdm.profile(), NOW),
        *okta_says(world, scenario),
    ]

    found = diagnose(evidence, load_settings(None).catalogue, NOW, Circumstances())

    assert found.fault == FAULTS[scenario], [one.says for one in evidence]
    if scenario == "healthy":
        assert found.verdict is Verdict.HEALTHY


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_script_sees_what_the_model_says(tmp_path: Path, scenario: str) -> None:
    if not OBSERVE.exists():
        pytest.skip("there is no observation script")
    world = world_of(tmp_path, scenario)

    done = on_the_mac(world, scenario, "sh -s", b"nonce=0123456789abcdef\n" + OBSERVE.read_bytes())

    read = parse_macos_observation(done.stdout, "0123456789abcdef", NOW, NOW)
    alike = [dataclasses.replace(one, clock_offset_seconds=None, problems=()) for one in (read, seen(world, scenario))]
    assert alike[0] == alike[1]


def test_the_stub_pc_answers_as_the_script_would(tmp_path: Path) -> None:
    world = World.create(
        tmp_path / "world",
        [MacSpec("good", platform="windows"), MacSpec("bad", scenario="missing", platform="windows")],
        NOW,
    )

    found = {
        name: parse_windows_observation(on_the_mac(world, name, "powershell -").stdout, NOW, NOW)
        for name in ("good", "bad")
    }

    assert {name: len(one.certificates) for name, one in found.items()} == {"good": 1, "bad": 0}
    assert all(one.complete and one.problems == () for one in found.values())
    assert b"Could not find a valid certificate" in found["bad"].log
    assert found["good"].identity.serial_number == world.macs["good"].facts.serial_number


def test_two_hundred_macs_are_made_in_seconds(tmp_path: Path) -> None:
    started = time.process_time()
    world = World.create(tmp_path / "world", [MacSpec(f"mac-{number:03}") for number in range(200)])

    assert time.process_time() - started < 15
    assert len({mac.facts.address for mac in world.macs.values()}) == 200
    assert len({mac.facts.serial_number for mac in world.macs.values()}) == 200


def test_every_public_key_is_new(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", [MacSpec(f"mac-{number}") for number in range(5)], NOW)

    keys = {
        x509.load_der_x509_certificate(item.der).public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo)
        for mac in world.macs.values()
        for item in mac.system_keychain.items()[2:]
    }

    assert len(keys) == 5


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([MacSpec("a"), MacSpec("a")], "same name"),
        ([MacSpec("a", scenario="delted")], "no scenario delted"),
        ([MacSpec("a", behaviours={"ofline": "yes"})], "no behaviour 'ofline'"),
    ],
)
def test_a_slip_of_the_keyboard_is_told(tmp_path: Path, specs: list[MacSpec], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        World.create(tmp_path / "world", specs)


def test_secrets_are_told_to_who_looks_for_them(tmp_path: Path) -> None:
    world = world_of(tmp_path)

    assert len(set(world.secrets())) == 4
    assert world.secrets()[0].encode() in (world.macs["healthy"].folder / "profiles.xml").read_bytes()


def test_what_a_mac_was_told_ends(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.tell("healthy", "offline", "yes")
    assert observe(world.macs["healthy"], NOW) is None

    world.tell("healthy", "offline", "no")

    assert world.macs["healthy"].last_seen(NOW + timedelta(days=1)) == NOW + timedelta(days=1)


def test_every_behaviour_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs/simulated-world.md").read_text("utf-8")
    missing = [name for name in (*BEHAVIOURS, *SCENARIOS) if f"`{name}`" not in text]
    assert missing == []
