"""The playbooks by hand, by the real ansible-playbook over real SSH: whatever fails, the profile comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.hostile import CORPUS
from tests.plugins.playbooks import FAST, by_hand, command, environment, macs, play, runs

from scepfix.domain.remediation import StageAnswer
from scepfix.simulator.running import RunningWorld, run_world

pytestmark = pytest.mark.slow


def verbs(world: RunningWorld) -> list[str]:
    """Return what changed, in order; a device may check in just before it is nudged, so nudges are left out."""
    return [str(one["verb"]) for one in world.effects() if one["verb"] != "nudge"]


def has_profile(world: RunningWorld) -> bool:
    name = next(iter(world.world.macs))
    (record,) = world.world.mdm.devices([world.world.macs[name].facts.serial_number], _now()).values()
    return not record.excluded and record.profile_installed is True


def _now() -> datetime:
    return datetime.now(UTC)


def test_a_device_is_repaired_and_the_new_certificate_seen(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042")) as world:
        old = world.world.macs["mac-042"].system_keychain.items()[-1].der
        preview = by_hand("reinstall_scep_profile", world, tmp_path, "--check", "--diff")
        untouched = verbs(world)

        done = by_hand("reinstall_scep_profile", world, tmp_path, "--diff")

        assert (preview.code, preview.changed, untouched) == (0, 2, [])
        assert "+mac-042" in preview.output
        assert "-mac-042" in preview.output
        assert (done.code, done.changed) == (0, 2)
        assert verbs(world) == ["exclude", "RemoveProfile", "put-back", "InstallProfile"]
        assert world.world.macs["mac-042"].system_keychain.items()[-1].der != old
    folder = runs(tmp_path)[-1]
    assert [(one.verb, one.outcome) for one in folder.effects()] == [
        ("exclude", "done"),
        ("nudge", "done"),
        ("put-back", "done"),
        ("nudge", "done"),
    ]
    found = folder.result("mac-042")
    assert found is not None
    assert (found[0], found[1].answer) == ("inspect", StageAnswer.DONE)


@pytest.mark.parametrize(
    ("behaviour", "value", "code"),
    [
        ("wifi", "yes", "more than SCEP"),
        ("set-apart", "lost-mode", "lost-mode"),
        ("unreadable-keychain", "yes", "listed whole"),
    ],
)
def test_a_device_that_may_not_be_touched_is_refused_by_name(
    tmp_path: Path, behaviour: str, value: str, code: str
) -> None:
    with run_world(tmp_path / "world", macs("mac-042", **{behaviour: value})) as world:
        done = by_hand("reinstall_scep_profile", world, tmp_path)

        assert done.code == 2
        assert code in done.output
        assert verbs(world) == []


def test_an_old_certificate_that_stays_does_not_hold_back_the_re_install(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042", keep_old_certificate="yes")) as world:
        done = by_hand("reinstall_scep_profile", world, tmp_path, scepfix_wait_seconds=3)

        assert "exclude" in verbs(world)
        assert has_profile(world)
        assert done.code == 0


@pytest.mark.parametrize("behaviour", ["refuse", "garbage", "half"])
def test_a_device_that_answers_no_more_gets_its_profile_back(tmp_path: Path, behaviour: str) -> None:
    with run_world(tmp_path / "world", macs("mac-042", removal_silent="yes")) as world:
        words = command(
            "reinstall_scep_profile",
            world.inventory,
            {**FAST, "scepfix_wait_seconds": 4, "scepfix_config": str(world.config)},
        )
        started = subprocess.Popen(
            words, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(world, "exclude")
        world.tell("mac-042", behaviour)
        world.tell("mac-042", "removal-silent", "no")
        code = started.wait(60)

        assert code == 2
        assert verbs(world)[-1] == "InstallProfile"
        assert has_profile(world)


def test_a_removal_that_nobody_acknowledges_is_taken_back(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042", removal_silent="yes")) as world:
        done = by_hand("reinstall_scep_profile", world, tmp_path, scepfix_wait_seconds=2)

        assert done.code == 2
        assert verbs(world) == ["exclude", "put-back"]
        assert has_profile(world)


def test_what_a_killed_run_left_out_is_put_back_by_the_next(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042", removal_silent="yes")) as world:
        words = command("reinstall_scep_profile", world.inventory, {**FAST, "scepfix_config": str(world.config)})
        started = subprocess.Popen(
            words,
            cwd=tmp_path,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(world, "exclude")
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        assert not has_profile(world) or world.world.mdm.members(_now())

        # Another device's repair is enough: this one is refused, and still the first thing is to put back.
        world.tell("mac-042", "wifi")
        by_hand("reinstall_scep_profile", world, tmp_path)

        assert verbs(world).count("put-back") == 1
        assert has_profile(world)


def wait_for(world: RunningWorld, verb: str) -> None:
    until = time.monotonic() + 30
    while verb not in verbs(world):
        assert time.monotonic() < until, f"no {verb}"
        time.sleep(0.05)


def test_a_limit_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042")) as world:
        playbooks = [
            *("reinstall_scep_profile", "install_scep_profile", "remove_leftover_certificates", "inspect_device"),
            *("stages.preflight", "stages.uninstall", "stages.confirm", "stages.reinstall", "stages.inspect"),
        ]
        for playbook in playbooks:
            for limit in ("mac-042", "mac-042,localhost"):
                done = by_hand(playbook, world, tmp_path, "--limit", limit)

                assert done.code == 2, playbook
                assert "--limit is refused" in done.output

        assert verbs(world) == []


def test_several_devices_without_an_engine_are_refused_until_somebody_says_so(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", "mac-2")) as world:
        refused = by_hand("reinstall_scep_profile", world, tmp_path)
        assert refused.code == 2
        assert "without an engine" in refused.output
        assert verbs(world) == []

        looked = by_hand("inspect_device", world, tmp_path)
        done = by_hand("reinstall_scep_profile", world, tmp_path, scepfix_without_engine=True)

        assert (looked.code, done.code) == (0, 0)
        assert verbs(world).count("exclude") == 2
        assert sum(effect.verb == "exclude" for effect in runs(tmp_path)[-1].effects()) == 1


def test_an_inventory_without_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {localhost: {}}}\n")

    done = play(command("inspect_device", tmp_path / "hosts.yml", {}), tmp_path)

    assert done.code == 2
    assert "names no device" in done.output


def test_a_missing_profile_is_given_back(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042", scenario="profile-excluded")) as world:
        preview = by_hand("install_scep_profile", world, tmp_path, "--check", "--diff")
        assert (preview.code, preview.changed) == (0, 1)
        assert verbs(world) == ["exclude"]

        done = by_hand("install_scep_profile", world, tmp_path)

        assert done.code == 0
        assert verbs(world) == ["exclude", "put-back", "InstallProfile"]


def test_a_leftover_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    told = {"second_okta_certificate": "yes"}
    with run_world(tmp_path / "world", macs("mac-042", scenario="leftover", **told)) as world:
        keychain = world.world.macs["mac-042"].system_keychain
        before = [one.der for one in keychain.items()]
        preview = by_hand("remove_leftover_certificates", world, tmp_path, "--check", "--diff")
        assert (preview.code, preview.changed, [one.der for one in keychain.items()]) == (0, 1, before)

        done = by_hand("remove_leftover_certificates", world, tmp_path)
        after = [one.der for one in keychain.items()]
        again = by_hand("remove_leftover_certificates", world, tmp_path)

        assert (done.code, done.changed) == (0, 1)
        assert (again.code, again.changed) == (0, 0)
        assert len(before) - len(after) == 1
        assert [one for one in before if one in after] == after
        assert verbs(world) == []


def test_no_secret_is_in_any_output_or_file(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-042")) as world:
        profile = (world.world.macs["mac-042"].folder / "profiles.xml").read_text("utf-8")
        challenge = profile.split("<key>Challenge</key>")[1].split("<string>")[1].split("</string>")[0]
        tokens = [path.read_text("utf-8").strip() for path in (world.folder / "tokens").iterdir()]
        done = by_hand("reinstall_scep_profile", world, tmp_path, "-vvv")

        kept = done.output + "".join(
            path.read_text("utf-8", "replace") for path in (tmp_path / "state").rglob("*") if path.is_file()
        )
        assert len(challenge) > 8
        for secret in (challenge, *tokens):
            assert secret not in kept


def test_text_of_a_device_is_never_executed(tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    with run_world(tmp_path / "world", macs("mac-042")) as world:
        mac = world.world.macs["mac-042"]
        for text in CORPUS:
            hostile = text.replace("WITNESS", str(witness)).replace("\x00", "")
            (mac.folder / "facts/name").write_text(hostile + "\n")
            (mac.folder / "facts/os_version").write_text(hostile.replace("\n", " ") + "\n")
            done = by_hand("inspect_device", world, tmp_path)

            assert done.code == 0
            assert not witness.exists()
            assert "\x1b" not in done.output


def test_what_a_person_does_is_told_and_a_value_is_never_a_template(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {mac-042: {}}}\n")
    hosts = tmp_path / "hosts.yml"

    told = play(command("report", hosts, {"report_fault": "recovery-pin-disabled"}), tmp_path)
    wrong = play(command("report", hosts, {"report_fault": "recovery-pin-disable"}), tmp_path)
    value = {"report_fault": "admin-permission-missing", "report_admin": "ann <b>"}
    named = play(command("report", hosts, value), tmp_path)

    assert (told.code, told.changed) == (0, 0)
    assert "Enable Device Recovery PIN for Desktop MFA" in told.output
    assert wrong.code == 2
    assert "did you mean recovery-pin-disabled?" in wrong.output
    assert "To let ann <b> do it" in named.output
