"""Stages of devices that nobody connects to, beside others that are: one question for all, and no connection."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from tests.plugins.playbooks import by_hand, device, engine_run, runs
from tests.plugins.test_stage_runs import answer

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import Identity, Observation
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import StageAnswer
from scepfix.domain.run import COLLECTOR, RunDevice
from scepfix.service.stages import marked
from scepfix.simulator.running import RunningWorld, run_world
from scepfix.simulator.world import MacSpec

pytestmark = pytest.mark.slow

TELLS = {"collector": "yes", "refuse": "yes"}


def collected(world: RunningWorld, name: str, **more: object) -> RunDevice:
    identity = Identity(world.world.macs[name].facts.serial_number)
    return replace(device(name), identity=identity, channel=COLLECTOR, **more)  # type: ignore[arg-type]


def seen(folder: RunFolder, name: str) -> Observation:
    return Observation.from_document(answer(folder, name).facts["observation"])


def test_one_run_looks_at_both_kinds_of_devices(tmp_path: Path) -> None:
    specs = [
        MacSpec("mac-ssh", scenario="deleted"),
        MacSpec("mac-told", scenario="deleted", behaviours=TELLS),
        MacSpec("mac-silent", behaviours={"refuse": "yes"}),
        MacSpec("pc-told", platform="windows", behaviours=TELLS),
    ]
    with run_world(tmp_path / "world", specs) as world:
        world.world.mdm.check_in(datetime.now(UTC))
        devices = {
            "mac-ssh": device("mac-ssh"),
            "mac-told": collected(world, "mac-told"),
            "mac-silent": collected(world, "mac-silent"),
            "pc-told": collected(world, "pc-told", platform=Platform.WINDOWS),
        }
        played, folder = engine_run("observe", world, tmp_path / "observe", devices, read_only=True)

    assert played.code == 0, played.output
    assert [answer(folder, name).answer.value for name in devices] == ["done", "done", "not-yet", "done"]
    assert "no line of the collector" in answer(folder, "mac-silent").waiting_for
    assert seen(folder, "mac-ssh").collected is None
    for name in ("mac-told", "pc-told"):
        found = seen(folder, name)
        assert found.complete
        assert [one.stored.told is not None for one in marked(found)] == [True]
    assert seen(folder, "pc-told").platform is Platform.WINDOWS


def test_a_run_without_a_collector_asks_no_mdm(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1")]) as world:
        settings = world.config.read_text("utf-8")
        world.config.write_text(settings.replace(world.mdm_url, "http://127.0.0.1:9"))
        played, folder = engine_run("observe", world, tmp_path / "observe", {"mac-1": device("mac-1")}, read_only=True)

    assert (played.code, answer(folder, "mac-1").answer) == (0, StageAnswer.DONE)
    assert not (folder.path / "collected.json").exists()


def test_an_mdm_that_does_not_answer_is_not_yet(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1", behaviours=TELLS)]) as world:
        settings = world.config.read_text("utf-8")
        world.config.write_text(settings.replace(world.mdm_url, "http://127.0.0.1:9"))
        devices = {"mac-1": collected(world, "mac-1")}
        for stage in ("observe", "confirm", "inspect"):
            played, folder = engine_run(stage, world, tmp_path / stage, devices)
            assert played.code == 0, played.output
            assert answer(folder, "mac-1").answer is StageAnswer.NOT_YET
            assert "mdm-no-answer" in answer(folder, "mac-1").facts["error"]


def test_a_line_from_before_the_removal_confirms_nothing(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1", scenario="missing", behaviours=TELLS)]) as world:
        world.world.mdm.check_in(datetime.now(UTC))
        world.tell("mac-1", "collector", "no")
        devices = {"mac-1": collected(world, "mac-1", removal_asked_at=datetime.now(UTC) + timedelta(seconds=1))}
        _, before = engine_run("confirm", world, tmp_path / "before", devices)
        devices = {"mac-1": collected(world, "mac-1", removal_asked_at=datetime.now(UTC) - timedelta(hours=1))}
        _, after = engine_run("confirm", world, tmp_path / "after", devices)

    assert answer(before, "mac-1").answer is StageAnswer.NOT_YET
    assert "later than the removal" in answer(before, "mac-1").waiting_for
    assert answer(after, "mac-1").answer is StageAnswer.DONE


def test_nothing_is_deleted_where_nobody_connects(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-1", scenario="leftover", behaviours=TELLS)]) as world:
        devices = {"mac-1": collected(world, "mac-1", remove=("ab" * 32,), playbook="remove_leftover_certificates")}
        played, folder = engine_run("remove-leftovers", world, tmp_path / "run", devices)

    found = answer(folder, "mac-1")
    assert (played.code, found.answer) == (0, StageAnswer.FAILED)
    assert f"security delete-identity -Z {'ab' * 32}" in found.waiting_for
    assert folder.effects() == ()


def told_inventory(world: RunningWorld, *names: str, **more: str) -> None:
    hosts = {
        name: {
            "scepfix_channel": "collector",
            "scepfix_serial_number": world.world.macs[name].facts.serial_number,
            **more,
        }
        for name in names
    }
    world.inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), "utf-8")


def test_by_hand_a_device_is_repaired_through_its_collector(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted", behaviours=TELLS)]) as world:
        world.world.mdm.check_in(datetime.now(UTC))
        told_inventory(world, "mac-042")
        preview = by_hand("reinstall_scep_profile", world, tmp_path, "--check")
        untouched = [one["verb"] for one in world.effects()]
        done = by_hand("reinstall_scep_profile", world, tmp_path, scepfix_wait_seconds=40)
        verbs = [one["verb"] for one in world.effects() if one["verb"] != "nudge"]

    assert (preview.code, untouched) == (0, [])
    assert done.code == 0, done.output
    assert verbs == ["exclude", "RemoveProfile", "put-back", "InstallProfile"]
    found = runs(tmp_path)[-1].result("mac-042")
    assert found is not None
    assert (found[0], found[1].answer) == ("inspect", StageAnswer.DONE)


def test_by_hand_a_collector_needs_a_serial_number(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", [MacSpec("mac-042", behaviours=TELLS)]) as world:
        told_inventory(world, "mac-042", scepfix_serial_number="")
        done = by_hand("inspect_device", world, tmp_path)

    assert done.code == 2
    assert "needs scepfix_serial_number" in done.output


# --- the sync of a PC -------------------------------------------------------------------------------------------------

SYNC = """
- name: Nudge
  hosts: all:!localhost
  gather_facts: false
  tasks:
    - name: Have the PC ask its MDM
      scepfix.device_access.windows_sync:
      register: nudged
    - name: Keep what it said
      ansible.builtin.copy:
        content: "{{ nudged | to_json }}"
        dest: "{{ scepfix_run }}/{{ inventory_hostname }}.json"
        mode: "0600"
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def test_a_pc_is_nudged_and_nothing_else_is(tmp_path: Path) -> None:
    from tests.plugins.playbooks import play

    from scepfix.domain.device import host_of

    specs = [MacSpec("pc-1", platform="windows"), MacSpec("mac-1")]
    with run_world(tmp_path / "world", specs) as world:
        devices = {"pc-1": replace(device("pc-1"), platform=Platform.WINDOWS), "mac-1": device("mac-1")}
        _, folder = engine_run("observe", world, tmp_path / "run", devices)
        (tmp_path / "sync.yml").write_text(SYNC)
        words = ["ansible-playbook", "-i", str(folder.path / "inventory/hosts.json"), str(tmp_path / "sync.yml")]
        done = play(words, tmp_path / "run")

        assert done.code == 0, done.output
        said = {
            name: json.loads((folder.path / f"{host_of(name)}.json").read_text("utf-8")) for name in ("pc-1", "mac-1")
        }
    assert (said["pc-1"]["started"], said["pc-1"]["changed"]) == ("PushLaunch", True)
    assert (said["mac-1"]["started"], said["mac-1"]["changed"]) == ("", False)
    assert [(one.verb, one.outcome) for one in folder.effects()] == [("nudge", "done")]
