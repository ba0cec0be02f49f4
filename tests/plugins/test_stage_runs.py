"""One stage at a time, as the engine runs them: the result files say what is so, and looking changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from tests.contract.jamf_face import JamfFace
from tests.contract.jamf_face import settings as jamf_settings
from tests.contract.server import Asked, Said, serve
from tests.plugins.playbooks import device, engine_run, macs

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import Observation, host_of
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import StageAnswer, StageResult
from scepfix.domain.run import RunDevice
from scepfix.service.stages import marked
from scepfix.simulator.running import RunningWorld, run_world
from scepfix.simulator.world import MacSpec

pytestmark = pytest.mark.slow


def answer(folder: RunFolder, name: str) -> StageResult:
    found = folder.result(host_of(name))
    assert found is not None
    return found[1]


def planned(world: RunningWorld, folder: Path, *names: str) -> dict[str, RunDevice]:
    """Look at the devices, and return what a plan would say of them."""
    played, looked = engine_run("observe", world, folder, {name: device(name) for name in names}, read_only=True)
    assert played.code == 0, played.output
    found = {}
    for name in names:
        seen = Observation.from_document(answer(looked, name).facts["observation"])
        before = tuple(one.known() for one in marked(seen))
        found[name] = device(name, identity=seen.identity, before=before)
    return found


def test_the_stages_repair_devices_side_by_side_with_one_call_for_all(tmp_path: Path) -> None:
    names = ("mac-1", "mac-2", "mac-3")
    with run_world(tmp_path / "world", macs(*names)) as world:
        devices = planned(world, tmp_path / "observe", *names)
        for stage in ("preflight", "uninstall", "confirm", "reinstall", "inspect"):
            if stage == "uninstall":
                asked = datetime.now(UTC)
                devices = {name: replace(one, removal_asked_at=asked) for name, one in devices.items()}
            for attempt in range(20):
                played, folder = engine_run(stage, world, tmp_path / f"{stage}-{attempt}", devices)
                assert played.code == 0, played.output
                answers = {answer(folder, name).answer for name in names}
                if answers == {StageAnswer.DONE}:
                    break
            assert answers == {StageAnswer.DONE}, stage

        calls = [one["verb"] for one in world.effects()]
        assert [calls.count(verb) for verb in ("exclude", "put-back", "RemoveProfile", "InstallProfile")] == [3] * 4
        assert len({one["at"] for one in world.effects() if one["verb"] == "exclude"}) == 1


def test_what_cannot_be_looked_at_is_said_and_the_others_are_not_held_up(tmp_path: Path) -> None:
    specs = [
        MacSpec("mac-good"),
        MacSpec("pc-1", platform="windows"),
        *(MacSpec(f"mac-{how}", behaviours={how: "yes"}) for how in ("offline", "refuse", "garbage", "half")),
        MacSpec("mac-no-keychain", behaviours={"unreadable-keychain": "yes"}),
    ]
    with run_world(tmp_path / "world", specs) as world:
        devices = {one.name: replace(device(one.name), platform=Platform(one.platform)) for one in specs}
        played, folder = engine_run("observe", world, tmp_path / "observe", devices, read_only=True)

    answers = {one.name: answer(folder, one.name) for one in specs}
    assert played.code == 0
    assert {name: one.answer.value for name, one in answers.items()} == {
        "mac-good": "done",
        "pc-1": "done",
        "mac-offline": "unreachable",
        "mac-refuse": "unreachable",
        "mac-garbage": "not-yet",
        "mac-half": "not-yet",
        "mac-no-keychain": "done",
    }
    complete = {
        name: one.facts["observation"]["complete"] for name, one in answers.items() if one.answer is StageAnswer.DONE
    }
    assert complete == {"mac-good": True, "pc-1": True, "mac-no-keychain": False}


def test_a_look_is_one_round_trip(tmp_path: Path) -> None:
    counted = tmp_path / "ssh"
    counted.write_text(f'#!/bin/sh\necho x >>"{tmp_path}/connections"\nexec ssh "$@"\n')
    counted.chmod(0o755)
    with run_world(tmp_path / "world", macs("mac-1", "mac-2")) as world:
        devices = {name: device(name) for name in ("mac-1", "mac-2")}
        played, _ = engine_run("observe", world, tmp_path / "observe", devices, ssh_executable=str(counted))

    assert played.code == 0
    assert (tmp_path / "connections").read_text() == "x\n" * 2


def test_a_run_that_may_only_look_changes_nothing(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1")) as world:
        devices = planned(world, tmp_path / "observe", "mac-1")
        for stage in ("uninstall", "reinstall"):
            played, _ = engine_run(stage, world, tmp_path / stage, devices, read_only=True)
            assert played.code == 2
            assert "look only" in played.output

        assert world.effects() == []


def test_an_mdm_that_does_not_answer_is_not_yet_and_nothing_is_called_done(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1")) as world:
        devices = planned(world, tmp_path / "observe", "mac-1")
        settings = world.config.read_text("utf-8")
        world.config.write_text(settings.replace(world.mdm_url, "http://127.0.0.1:9"))
        for stage in ("preflight", "uninstall", "reinstall"):
            played, folder = engine_run(stage, world, tmp_path / stage, devices)

            assert played.code == 0, played.output
            assert answer(folder, "mac-1").answer is StageAnswer.NOT_YET
            assert answer(folder, "mac-1").facts["error"]


def test_another_identity_is_refused_before_and_after(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", "mac-2")) as world:
        devices = planned(world, tmp_path / "observe", "mac-1")
        world.tell("mac-1", "other-identity", "mac-2")
        _, before = engine_run("preflight", world, tmp_path / "preflight", devices)
        _, after = engine_run("confirm", world, tmp_path / "confirm", devices)

    refused = answer(before, "mac-1")
    assert {one["code"] for one in refused.facts["refusals"]} == {"identity-mismatch"}
    assert answer(after, "mac-1").answer is StageAnswer.FAILED


def test_a_removal_is_acknowledged_only_later_than_it_was_asked_for(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", removal_silent="yes")) as world:
        devices = planned(world, tmp_path / "observe", "mac-1")
        asked = {"mac-1": replace(devices["mac-1"], removal_asked_at=datetime.now(UTC) - timedelta(seconds=1))}
        first = engine_run("uninstall", world, tmp_path / "first", asked)[1]
        second = engine_run("uninstall", world, tmp_path / "second", asked)[1]

        assert answer(first, "mac-1").answer is answer(second, "mac-1").answer is StageAnswer.NOT_YET
        assert [one.verb for one in first.effects()] == ["exclude", "nudge"]
        assert second.effects() == ()
        assert answer(second, "mac-1").facts["mdm"]["excluded"] is True


def test_a_re_install_is_asked_for_although_nobody_can_look(tmp_path: Path) -> None:
    """The right to read was taken away in the middle of a repair; the right to change the group was not."""
    with run_world(tmp_path / "world", macs("mac-1")) as world:
        (mac,) = world.world.macs.values()
        world.world.mdm.exclude([mac.facts.mdm_id], datetime.now(UTC))

        face = JamfFace(world.world)

        def reads_nothing(asked: Asked) -> Said:
            reading = asked.method == "GET" and "/JSSResource/" in asked.path
            return Said(403) if reading else face(asked)

        with serve(reads_nothing) as service:
            settings = yaml.safe_load(world.config.read_text("utf-8"))
            settings["mdm"] = jamf_settings(service.url, tmp_path / "secret")
            world.config.write_text(yaml.safe_dump(settings), "utf-8")
            asked_at = datetime.now(UTC) - timedelta(minutes=1)
            owed = replace(device("mac-1", identity=mac.facts.identity), removal_asked_at=asked_at)
            played, folder = engine_run("reinstall", world, tmp_path / "reinstall", {"mac-1": owed})

        assert played.code == 0, played.output
        assert world.world.mdm.members(datetime.now(UTC)) == ()
        assert answer(folder, "mac-1").answer is StageAnswer.NOT_YET
