"""``scepfix diagnose --device NAME -i INVENTORY`` as a process, against the simulated world over real SSH."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.hostile import hostile, is_inert

from scepfix.domain.inert import visible
from scepfix.simulator.running import MacSpec, RunningWorld, run_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client here"),
]

SCENARIOS = {
    "deleted": ("device-deleted", "confirmed", "reinstall_scep_profile"),
    "expired": ("certificate-expired", "confirmed", "reinstall_scep_profile"),
    "profile-missing": ("profile-missing", "confirmed", "install_scep_profile"),
    "profile-excluded": ("profile-missing", "confirmed", "report"),
    "leftover": ("certificate-leftover", "confirmed", "remove_leftover_certificates"),
    "wrong-org": ("certificate-wrong-org", "confirmed", "report"),
    "missing": ("certificate-missing", "confirmed", "reinstall_scep_profile"),
    "wrong-type": ("certificate-wrong-type", "confirmed", "report"),
    "misconfigured": ("profile-misconfigured", "likely", "report"),
    "deactivated": ("device-deactivated", "confirmed", "report"),
    "not-managed": ("device-not-managed", "confirmed", "report"),
    "healthy": (None, "confirmed", None),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorld]:
    macs = [MacSpec(name=f"mac-{name}", person="alice", scenario=name) for name in SCENARIOS]
    macs += [MacSpec(name=name, person="bob", scenario="deleted") for name in ("mac-silent", "mac-odd")]
    with run_world(tmp_path_factory.mktemp("world") / "w", macs, checkin_seconds=3600) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def scepfix(
    world: RunningWorld, state: Path, *arguments: str | Path, inventory: Path | None = None
) -> tuple[int, str, str]:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "scepfix", "diagnose", "--config", str(world.read_only_config)),
            *("-i", str(inventory or world.inventory), *map(str, arguments)),
        ],
        capture_output=True,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        timeout=120,
    )
    out, err = ran.stdout.decode(), ran.stderr.decode()
    assert "Traceback" not in out + err
    assert is_inert(out)
    assert is_inert(err)
    return ran.returncode, out, err


def document(
    world: RunningWorld, state: Path, *arguments: str | Path, inventory: Path | None = None
) -> tuple[int, dict[str, Any]]:
    code, out, _ = scepfix(world, state, *arguments, "--json", inventory=inventory)
    found: dict[str, Any] = json.loads(out)
    return code, found


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of the world, by what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_device_is_diagnosed_from_its_own_word_its_mdms_and_oktas(
    scenario: str, world: RunningWorld, state: Path
) -> None:
    code, found = document(world, state, "--device", f"mac-{scenario}", "--okta", "--symptom", "generating-fails")

    assert (found["fault"], found["standing"], found["playbook"]) == SCENARIOS[scenario]
    assert code == 0
    assert [(item["kind"], item["read"]) for item in found["inputs"]] == [
        ("device", True),
        ("mdm", True),
        ("okta", True),
    ]
    assert {item["facts"]["device"] for item in found["evidence"]} <= {f"mac-{scenario}"}


def test_looking_changes_nothing_and_leaves_no_run_behind(world: RunningWorld, state: Path) -> None:
    before, effects = fingerprint(world.folder), world.effects()

    code, out, err = scepfix(world, state, "--device", "mac-deleted", "--okta", "--symptom", "generating-fails")

    assert code == 0
    assert fingerprint(world.folder) == before
    assert world.effects() == effects
    assert list((state / "scepfix" / "runs").iterdir()) == []
    assert out.startswith("NO: alice cannot get a recovery PIN for mac-deleted now.")
    assert "(preview it: scepfix plan DEVICE -i INVENTORY -o plan.json)" in out
    assert err == "reading mac-deleted …\nasking the MDM …\nasking Okta …\n"


def test_a_device_that_does_not_answer_is_undetermined_and_named(world: RunningWorld, state: Path) -> None:
    world.tell("mac-silent", "offline")

    code, found = document(world, state, "--device", "mac-silent", "--symptom", "generating-fails")

    assert (code, found["verdict"], found["device"]) == (3, "undetermined", "mac-silent")
    assert found["missing"][0].startswith("answer: device mac-silent: ")
    assert [(item["kind"], item["read"], item["error"]["code"]) for item in found["inputs"]] == [
        ("device", False, "device-unreachable")
    ]


@pytest.mark.parametrize("behaviour", ["garbage", "half", "refuse"])
def test_a_device_that_answers_badly_is_undetermined_too(behaviour: str, world: RunningWorld, state: Path) -> None:
    world.tell("mac-odd", behaviour)
    try:
        code, found = document(world, state, "--device", "mac-odd", "--symptom", "generating-fails")
    finally:
        world.tell("mac-odd", behaviour, "no")

    assert (code, found["verdict"]) == (3, "undetermined")
    assert found["inputs"][0]["error"]["code"] in ("device-failed", "device-unreachable", "device-garbage")
    assert found["evidence"] == []


def test_an_unreadable_keychain_is_no_empty_one(world: RunningWorld, state: Path) -> None:
    world.tell("mac-odd", "unreadable-keychain")
    try:
        _, found = document(world, state, "--device", "mac-odd", "--symptom", "generating-fails")
    finally:
        world.tell("mac-odd", "unreadable-keychain", "no")

    assert found["fault"] == "certificate-rejected"
    assert "keychain.none" not in {item["says"] for item in found["evidence"]}


def test_a_log_that_was_handed_over_counts_beside_a_silent_device(
    world: RunningWorld, state: Path, tmp_path: Path
) -> None:
    world.tell("mac-silent", "offline")
    log = tmp_path / "OktaDeviceAccess.log"
    shutil.copyfile(Path(__file__).parents[2] / "runner/scepfix/demo_cases/deleted/OktaDeviceAccess.log", log)

    code, found = document(world, state, log, "--device", "mac-silent", "--symptom", "generating-fails")

    assert (code, found["fault"]) == (5, "certificate-rejected")
    assert found["evidence"][0]["witness"] == "device"


def test_names_are_exact_and_a_name_is_needed(world: RunningWorld, state: Path) -> None:
    code, found = document(world, state, "--device", "mac-delete")
    assert (code, found["code"], found["hint"]) == (2, "unknown-device", "did you mean mac-deleted?")

    code, found = document(world, state)
    assert (code, found["code"]) == (2, "usage")
    assert not (state / "scepfix").exists()


def test_okta_without_a_setting_is_refused(world: RunningWorld, state: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("{}")

    code, found = document(world, state, "--device", "mac-deleted", "--okta", "--config", config)

    assert (code, found["code"]) == (2, "no-okta")


def test_hostile_names_run_nothing_on_their_way_to_the_device_and_back(
    world: RunningWorld, state: Path, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    known = yaml.safe_load(world.inventory.read_text())["all"]["hosts"]["mac-deleted"]
    names = hostile(witness)
    listed = {
        "_meta": {"hostvars": {name: {**known, "scepfix_person": name} for name in names}},
        "macs": {"hosts": list(names)},
    }
    (tmp_path / "listed.json").write_text(json.dumps(listed))
    inventory = tmp_path / "inventory.sh"
    inventory.write_text(f"#!/bin/sh\ncat '{tmp_path}/listed.json'\n")
    inventory.chmod(0o700)

    # One of each kind: a template, a substitution, escape sequences with line ends.
    for name in (names[0], names[2], names[8], names[5]):
        code, found = document(
            world, state, f"--device={visible(name)}", "--symptom", "generating-fails", inventory=inventory
        )

        assert (code, found["fault"], found["device"]) == (0, "certificate-rejected", visible(name))
    assert not witness.exists()


def test_hostile_connection_values_are_refused_before_anything_is_run(
    world: RunningWorld, state: Path, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    known = yaml.safe_load(world.inventory.read_text())["all"]["hosts"]["mac-deleted"]
    inventory = tmp_path / "inventory.json"
    for key in ("ansible_host", "ansible_user", "ansible_ssh_common_args", "ansible_ssh_private_key_file"):
        for text in hostile(witness)[:3]:
            inventory.write_text(json.dumps({"all": {"hosts": {"mac-1": {**known, key: text}}}}))

            code, found = document(world, state, "--device", "mac-1", inventory=inventory)

            assert (code, found["code"]) == (2, "inventory")
            assert f"mac-1: {key}: " in found["message"]
    assert not witness.exists()
    assert not (state / "scepfix").exists()
