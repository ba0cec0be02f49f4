"""Preview, approval, repair and proof in the simulated world: real SSH, real Ansible, nothing replaced."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scepfix.simulator.running import MacSpec, RunningWorld, run_world

pytestmark = pytest.mark.slow


class Command:
    """The command as a process of its own, in a world."""

    def __init__(self, folder: Path, world: RunningWorld) -> None:
        self.folder, self.world = folder, world
        self.plan_file = str(folder / "plan.json")
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "xdg"),
            "NO_COLOR": "1",
        }

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scepfix", *words, "--config", str(self.world.config)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, code: int = 0) -> Any:
        running = self.begin("--json", *words)
        out, err = running.communicate(timeout=120)
        assert running.returncode == code, out + err
        return json.loads(out)

    def plan(self, *names: str, code: int = 0) -> Any:
        return self("plan", *names, "-i", str(self.world.inventory), "-o", self.plan_file, code=code)


def snapshot(folder: Path) -> dict[str, str]:
    """Return the hash of every file of the world but its peers' own notes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A world in which no device checks in by itself, so that whatever changes was changed by us."""
    folder = tmp_path_factory.mktemp("still")
    macs = [
        MacSpec(name="mac-001", person="alice", scenario="deleted"),
        MacSpec(name="mac-002", person="bob", scenario="expired"),
        MacSpec(name="mac-003", person="carol", scenario="healthy"),
        MacSpec(name="mac-004", person="dave", scenario="leftover"),
        MacSpec(name="mac-005", person="erin", scenario="deactivated"),
    ]
    with run_world(folder / "world", macs, checkin_seconds=3600) as world:
        yield Command(folder, world)


def test_a_preview_leaves_the_whole_world_byte_identical(still: Command) -> None:
    before = snapshot(still.world.folder)

    made = still.plan("mac-001", "mac-002", "mac-003", "mac-004", "mac-005")

    assert snapshot(still.world.folder) == before
    assert still.world.effects() == []
    assert {(one["name"], one["fault"], one["playbook"]) for one in made["devices"]} == {
        ("mac-001", "device-deleted", "reinstall_scep_profile"),
        ("mac-002", "certificate-expired", "reinstall_scep_profile"),
        ("mac-004", "certificate-leftover", "remove_leftover_certificates"),
        ("mac-005", "device-deactivated", "report"),
    }
    assert [(one["name"], one["code"]) for one in made["set_aside"]] == [("mac-003", "healthy")]


def test_the_same_world_gives_the_same_digest(still: Command) -> None:
    assert still.plan("mac-001", "mac-002")["digest"] == still.plan("mac-002", "mac-001")["digest"]


def test_a_device_that_is_off_is_set_aside(still: Command) -> None:
    still.world.tell("mac-002", "offline", "yes")
    try:
        made = still.plan("mac-001", "mac-002", code=5)
    finally:
        still.world.tell("mac-002", "offline", "no")

    assert [(one["name"], one["code"]) for one in made["set_aside"]] == [("mac-002", "unreachable")]


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Command]:
    macs = [
        MacSpec(name="mac-042", person="alice", scenario="deleted"),
        MacSpec(name="mac-001", person="bob", scenario="healthy"),
    ]
    with run_world(tmp_path / "world", macs, checkin_seconds=0.3) as world:
        yield Command(tmp_path, world)


def test_a_deleted_device_is_repaired_and_proved(moving: Command) -> None:
    made = moving.plan("mac-042")
    assert moving("apply", moving.plan_file, code=4)["code"] == "not-approved"
    assert moving("approve", moving.plan_file)["plan_digest"] == made["digest"]

    page = moving.folder / "after.html"
    done = moving("apply", moving.plan_file, "--html", str(page))

    (repair,) = done["remediations"]
    assert (repair["outcome"], repair["plan_digest"]) == ("awaiting-registration", made["digest"])
    assert {proof["proved"] for proof in repair["proofs"]} == {"yes"}
    assert {one["sureness"]: one["wrong"] for one in done["score"]} == {"certain": 0, "assumed": 0}
    assert repair["new_certificate"] in page.read_text()
    changes = [one["verb"] for one in moving.world.effects()]
    assert (changes.count("exclude"), changes.count("put-back")) == (1, 1)

    again = moving("apply", moving.plan_file)
    assert again["remediations"][0]["outcome"] == "awaiting-registration"
    assert [one["verb"] for one in moving.world.effects()] == changes

    moving.world.sign_in("mac-042")
    assert moving("apply", moving.plan_file)["remediations"][0]["outcome"] == "verified"


def test_a_plan_of_yesterdays_device_leaves_it_alone(moving: Command) -> None:
    moving.plan("mac-042")
    moving("approve", moving.plan_file)
    moving.world.tell("mac-042", "other-identity", "mac-001")

    done = moving("apply", moving.plan_file, code=4)

    assert done["remediations"][0]["outcome"] == "needs-admin"
    assert moving.world.effects() == []


def test_ctrl_c_in_the_middle_is_safe_and_the_same_command_goes_on(moving: Command) -> None:
    moving.plan("mac-042")
    moving("approve", moving.plan_file)
    running = moving.begin("apply", moving.plan_file)
    deadline = time.monotonic() + 60
    while not any(one["verb"] == "exclude" for one in moving.world.effects()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)

    assert running.returncode == 130
    assert "still owed a re-install" in err
    assert f"scepfix apply {moving.plan_file}" in err
    done = moving("apply", moving.plan_file)
    assert done["remediations"][0]["outcome"] == "awaiting-registration"
    changes = [one["verb"] for one in moving.world.effects()]
    assert (changes.count("RemoveProfile"), changes.count("InstallProfile")) == (1, 1)


def test_fix_of_a_healthy_device_has_nothing_to_do(moving: Command) -> None:
    done = moving("fix", "mac-001", "-i", str(moving.world.inventory))

    assert [(one["device"], one["fault"], one["outcome"]) for one in done["remediations"]] == [
        ("mac-001", None, "nothing-to-do")
    ]
    assert moving.world.effects() == []


def test_fix_repairs_one_device_with_the_digest_of_its_preview(moving: Command) -> None:
    words = ("fix", "mac-042", "-i", str(moving.world.inventory))
    refused = moving(*words, code=4)
    assert refused["code"] == "no-terminal"
    assert moving.world.effects() == []

    done = moving(*words, "--approve", refused["where"])

    assert done["remediations"][0]["outcome"] == "awaiting-registration"
