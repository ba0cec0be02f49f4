"""A Mac that nobody connects to: diagnosed, planned, repaired and proved from what its collector told the MDM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.test_repair import Command

from scepfix.simulator.running import MacSpec, run_world

pytestmark = pytest.mark.slow


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """A Mac that lets nobody in by SSH and has the collector."""
    macs = [MacSpec("mac-042", person="alice", scenario="deleted", behaviours={"refuse": "yes", "collector": "yes"})]
    with run_world(tmp_path / "world", macs, checkin_seconds=0.5) as world:
        said = {
            "scepfix_channel": "collector",
            "scepfix_serial_number": world.world.macs["mac-042"].facts.serial_number,
            "scepfix_person": "alice",
        }
        world.inventory.write_text(yaml.safe_dump({"all": {"hosts": {"mac-042": said}}}), "utf-8")
        yield Command(tmp_path, world)


def says(proofs: list[dict[str, Any]], part: str) -> list[str]:
    return [one["proved"] for one in proofs if part in one["says"]]


def test_a_mac_without_ssh_is_diagnosed_repaired_and_proved_by_its_collector(command: Command) -> None:
    inventory = str(command.world.inventory)
    diagnosis = command("diagnose", "--device", "mac-042", "-i", inventory, "--okta")
    assert (diagnosis["fault"], diagnosis["verdict"]) == ("device-deleted", "fault")
    (rejected,) = [one for one in diagnosis["evidence"] if one["says"] == "log.rejected"]
    assert (rejected["witness"], rejected["quote"]) == ("device", "")
    assert "collector" in rejected["source"]

    made = command.plan("mac-042")
    assert [one["playbook"] for one in made["devices"]] == ["reinstall_scep_profile"]
    command("approve", command.plan_file)
    done = command("apply", command.plan_file)

    (repaired,) = done["remediations"]
    assert (repaired["outcome"], repaired["proof_grade"]) == ("awaiting-registration", "certificate")
    assert {one["proved"] for one in repaired["proofs"]} == {"yes"}
    assert says(repaired["proofs"], "as the device told; the signature was not verified here") == ["yes"]
    verbs = [one["verb"] for one in command.world.effects()]
    assert [verbs.count(verb) for verb in ("exclude", "RemoveProfile", "put-back", "InstallProfile")] == [1] * 4


def test_a_collector_that_stopped_telling_begins_no_repair(command: Command) -> None:
    command.plan("mac-042")
    command("approve", command.plan_file)
    command.world.tell("mac-042", "collector", "no")
    old = Path(command.world.folder / "mdm/state.json")
    state = json.loads(old.read_text("utf-8"))
    one = command.world.world.macs["mac-042"].facts.mdm_id
    state["devices"][one]["collected"] = None
    old.write_text(json.dumps(state))

    made = command.plan("mac-042", code=4)

    assert "the MDM has no line of the collector" in json.dumps(made)
    assert command.world.effects() == []
