"""The faces of MDM and Okta, by the real ansible-playbook: what they return, change and refuse, and what stays text."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.plugins.playbooks import BIN, ROOT, Played, environment, macs, play

from scepfix.simulator.running import MacSpec, RunningWorld, run_world

pytestmark = pytest.mark.slow

NAMESPACE = "scepfix.device_access"
Task = tuple[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def two_macs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorld]:
    """Return a world that no test changes."""
    with run_world(tmp_path_factory.mktemp("read") / "world", macs("mac-1", "mac-2", scenario="healthy")) as world:
        yield world


def serial(world: RunningWorld, name: str) -> str:
    return world.world.macs[name].facts.serial_number


def members(world: RunningWorld) -> list[str]:
    return [one.name for one in world.world.mdm.members(datetime.now(UTC))]


def verbs(world: RunningWorld) -> list[str]:
    return [str(one["verb"]) for one in world.effects()]


def ask(world: RunningWorld, home: Path, tasks: Sequence[Task], *more: str) -> tuple[list[dict[str, Any]], Played]:
    """Run tasks, each a module and its arguments, on localhost; return what each registered, and the run."""
    found = home / "found"
    found.mkdir(exist_ok=True)
    listed: list[dict[str, Any]] = []
    for number, (module, arguments) in enumerate(tasks):
        listed += [
            {f"{NAMESPACE}.{module}": dict(arguments), "register": "answer", "ignore_errors": True},
            {
                "ansible.builtin.copy": {"content": "{{ answer | to_json }}", "dest": str(found / f"{number}.json")},
                "check_mode": False,
                "diff": False,
            },
        ]
    play_it = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {f"group/{NAMESPACE}.scepfix": {"config": str(world.config)}},
        "tasks": listed,
    }
    (home / "ask.yml").write_text(yaml.safe_dump([play_it]))
    played = play(["ansible-playbook", "ask.yml", *more], home)
    assert played.code == 0, played.output
    return [json.loads((found / f"{number}.json").read_text()) for number in range(len(tasks))], played


def test_what_the_mdm_says_comes_back_in_bulk(two_macs: RunningWorld, tmp_path: Path) -> None:
    one, two = (serial(two_macs, name) for name in ("mac-1", "mac-2"))
    (found, listed, profile, nobody), _ = ask(
        two_macs,
        tmp_path,
        [
            ("mdm_device_info", {"serial_numbers": [two, "NOPE", one, two]}),
            ("mdm_device_info", {"serial_numbers": [one], "certificates": True, "collected": True}),
            ("mdm_profile_info", {}),
            ("mdm_device_info", {"members": True}),
        ],
    )

    assert [each["name"] for each in found["devices"]] == ["mac-2", "mac-1"]
    assert found["unknown_serial_numbers"] == ["NOPE"]
    assert found["changed"] is False
    known = two_macs.world.macs["mac-1"]
    assert found["devices"][1]["identity"] == known.facts.identity.as_document()
    assert "certificates" not in found["devices"][0]
    held = listed["devices"][0]["certificates"]["certificates"]
    assert len(held) == len(known.system_keychain.items())
    assert all(each["pem"].startswith("-----BEGIN CERTIFICATE-----\n") for each in held)
    assert "collected" in listed["devices"][0]
    assert profile["profile"]["payload_types"] == ["com.apple.security.scep"]
    assert profile["refusals"] == []
    assert nobody["devices"] == []


def test_every_field_that_is_returned_is_documented(two_macs: RunningWorld, tmp_path: Path) -> None:
    one = serial(two_macs, "mac-1")
    (found, profile), _ = ask(
        two_macs,
        tmp_path,
        [
            ("mdm_device_info", {"serial_numbers": [one], "certificates": True, "collected": True}),
            ("mdm_profile_info", {}),
        ],
    )

    def documented(module: str, field: str) -> set[str]:
        beside = yaml.safe_load((ROOT / f"plugins/modules/{module}.yml").read_text("utf-8"))
        return set(beside["RETURN"][field]["contains"])

    assert found["devices"][0].keys() == documented("mdm_device_info", "devices")
    assert profile["profile"].keys() == documented("mdm_profile_info", "profile")


def test_an_empty_selection_and_a_word_that_is_no_serial_number_are_refused(
    two_macs: RunningWorld, tmp_path: Path
) -> None:
    answers, _ = ask(
        two_macs,
        tmp_path,
        [
            ("mdm_device_info", {"serial_numbers": []}),
            ("mdm_device_info", {"serial_numbers": ["a\x1bb"]}),
            ("mdm_device_info", {"serial_numbers": ["x"], "members": True}),
            ("mdm_device_info", {"serial_number": ["x"]}),
            ("mdm_exclusion", {"state": "absent"}),
            ("mdm_exclusion", {"state": "absent", "serial_numbers": ["x"], "all_members": True}),
            ("okta_device_info", {}),
            ("okta_registration_info", {"serial_number": "x", "person": "y", "since": "yesterday"}),
        ],
    )

    assert all(one["failed"] for one in answers)
    assert [one.get("code") for one in answers] == [
        *("empty-selection", "serial-number", "selection", None),
        *("empty-selection", "empty-selection", "empty-selection", "since"),
    ]
    assert "\x1b" not in json.dumps(answers)


def test_the_hosts_of_the_play_are_asked_for_at_once_and_only_once(two_macs: RunningWorld, tmp_path: Path) -> None:
    hosts = {name: {"scepfix_serial_number": serial(two_macs, name)} for name in ("mac-1", "mac-2")}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))

    def run(*, once: bool) -> Played:
        task = {
            f"{NAMESPACE}.mdm_device_info": {"config": str(two_macs.config)},
            "register": "known",
            **({"run_once": True} if once else {}),
        }
        said = {"ansible.builtin.debug": {"msg": "{{ known.devices | map(attribute='name') | join('+') }}"}}
        tasks = [task, {**said, "run_once": True}]
        (tmp_path / "ask.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        return play(["ansible-playbook", "-i", "hosts.yml", "ask.yml"], tmp_path)

    every, once = run(once=False), run(once=True)

    assert every.code == 2
    assert "run_once" in every.output
    assert once.code == 0
    # Nothing answers at these hosts: the MDM was asked, not they.
    assert "mac-1+mac-2" in once.output


def test_a_device_is_taken_out_and_put_back_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", "mac-2", scenario="healthy")) as world:
        out = ("mdm_exclusion", {"serial_numbers": [serial(world, "mac-1")], "state": "present"})
        confirmed = (out[0], {**out[1], "confirm_removal": True, "requested_by": "ann"})
        back = (out[0], {**out[1], "state": "absent"})
        (previewed,), preview = ask(world, tmp_path, [confirmed], "--check", "--diff")
        untouched = verbs(world)

        (bare, first, second), _ = ask(world, tmp_path, [out, confirmed, confirmed])
        inside = members(world)
        (home, again), put_back = ask(world, tmp_path, [back, back], "--diff")

        assert (previewed["changed"], untouched) == (True, [])
        assert f"+{serial(world, 'mac-1')} mac-1" in preview.output
        assert (bare["failed"], bare["code"], bare["changed"]) == (True, "not-confirmed", False)
        assert (first["changed"], second["changed"], inside) == (True, False, ["mac-1"])
        assert first["diff"]["after"] == previewed["diff"]["after"]
        assert first["devices"][0]["excluded"] is True
        assert (home["changed"], again["changed"], members(world)) == (True, False, [])
        assert f"-{serial(world, 'mac-1')} mac-1" in put_back.output
        assert [verb for verb in verbs(world) if verb != "nudge"] == [
            *("exclude", "RemoveProfile", "put-back", "InstallProfile")
        ]
    journal = Path(first["journal"])
    written = json.loads((journal / "request.json").read_text())
    assert (written["requested_by"], written["serial_numbers"]) == ("ann", first["serial_numbers"])
    assert json.loads((journal / "effects/1.done.json").read_text())["outcome"] == "done"


def test_a_removal_that_would_do_harm_is_refused_as_a_whole(tmp_path: Path) -> None:
    lost = MacSpec("mac-lost", behaviours={"set-apart": "lost-mode"})
    with run_world(tmp_path / "world", [*macs("mac-1", scenario="healthy"), lost]) as world:
        one, two = serial(world, "mac-1"), serial(world, "mac-lost")

        def removal(*serials: str, **more: Any) -> Task:
            return "mdm_exclusion", {
                "serial_numbers": list(serials),
                "state": "present",
                "confirm_removal": True,
                "max_devices": 3,
                **more,
            }

        (apart, unknown, many), _ = ask(
            world, tmp_path, [removal(one, two), removal(one, "NOPE"), removal(one, two, max_devices=1)]
        )
        world.world.mdm.set_profile(group_uses=["policy Wi-Fi"])
        (shared,), _ = ask(world, tmp_path, [removal(one)])

        assert [each["serial_number"] for each in apart["refusals"]] == [two]
        assert [each["code"] for each in (apart, unknown, many, shared)] == [
            *("removed-on-purpose", "unknown-device", "too-many-devices", "group-not-alone")
        ]
        assert all(each["failed"] and not each["changed"] for each in (apart, unknown, many, shared))
        assert verbs(world) == []


def test_everybody_is_put_back_and_an_unknown_number_holds_nobody_up(tmp_path: Path) -> None:
    specs = macs("mac-1", "mac-2", "mac-3", scenario="profile-excluded")
    with run_world(tmp_path / "world", specs) as world:
        (some, everybody, nobody), _ = ask(
            world,
            tmp_path,
            [
                ("mdm_exclusion", {"serial_numbers": ["NOPE", serial(world, "mac-2")], "state": "absent"}),
                ("mdm_exclusion", {"all_members": True, "state": "absent"}),
                ("mdm_exclusion", {"all_members": True, "state": "absent"}),
            ],
        )

        assert (some["failed"], some["changed"], some["code"]) == (True, True, "unknown-device")
        assert some["serial_numbers"] == [serial(world, "mac-2")]
        assert sorted(everybody["serial_numbers"]) == sorted(serial(world, name) for name in ("mac-1", "mac-3"))
        assert nobody["changed"] is False
        assert members(world) == []


def test_a_right_that_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", scenario="profile-excluded")) as world:
        back = {"serial_numbers": [serial(world, "mac-1")], "state": "absent", "config": str(world.read_only_config)}
        (refused, missing), _ = ask(
            world, tmp_path, [("mdm_exclusion", back), ("mdm_profile_info", {"config": str(tmp_path / "no.yml")})]
        )

        assert refused["failed"]
        assert refused["code"].startswith("mdm-")
        assert missing["code"] == "settings"
        assert "\n" not in refused["msg"] + missing["msg"]
        assert members(world) == ["mac-1"]


def test_text_of_a_device_stays_text(tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    name = f"{{{{ lookup('pipe', 'touch {witness}') }}}}\x1b[31m"
    with run_world(tmp_path / "world", [MacSpec(name)]) as world:
        tasks: list[dict[str, Any]] = [
            {
                f"{NAMESPACE}.mdm_device_info": {"serial_numbers": [serial(world, name)], "config": str(world.config)},
                "register": "known",
            },
            {"ansible.builtin.set_fact": {"said": "{{ known.devices[0].name }}"}},
            {"ansible.builtin.debug": {"msg": "it is called {{ said }}"}},
            {"ansible.builtin.copy": {"content": "{{ said }}", "dest": str(tmp_path / "said")}},
        ]
        (tmp_path / "ask.yml").write_text(
            yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        )

        done = play(["ansible-playbook", "ask.yml", "-vvv"], tmp_path)

    assert done.code == 0, done.output
    assert not witness.exists()
    assert "\x1b" not in done.output
    assert (tmp_path / "said").read_text("utf-8") == name.replace("\x1b", "\u241b")


def test_no_secret_is_in_any_output_or_file(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", scenario="healthy")) as world:
        tokens = [path.read_text("utf-8").strip() for path in (world.folder / "tokens").iterdir()]
        one = serial(world, "mac-1")
        (tmp_path / "wrong.yml").write_text(world.config.read_text().replace("/mdm-write", "/okta-read"))
        answers, done = ask(
            world,
            tmp_path,
            [
                ("mdm_device_info", {"serial_numbers": [one], "certificates": True, "collected": True}),
                ("mdm_exclusion", {"serial_numbers": [one], "state": "present", "confirm_removal": True}),
                ("mdm_exclusion", {"serial_numbers": [one], "state": "absent"}),
                ("mdm_profile_info", {"config": str(tmp_path / "wrong.yml")}),
                ("okta_device_info", {"serial_number": one, "person": "alice@example.com"}),
            ],
            "-vvvv",
        )

        kept = done.output + "".join(
            path.read_text("utf-8", "replace")
            for folder in ("state", "found", "ansible")
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        )
    assert [one.get("failed", False) for one in answers] == [False, False, False, True, False]
    for secret in tokens:
        assert len(secret) > 8
        assert secret not in kept


def test_what_okta_says_comes_back_as_evidence(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1", scenario="healthy")) as world:
        keys = {"serial_number": serial(world, "mac-1")}
        person = {"person": "alice@example.com"}
        (found, since, never, setting), _ = ask(
            world,
            tmp_path,
            [
                ("okta_device_info", {**keys, **person, "admin": "helpdesk@example.com"}),
                ("okta_registration_info", {**keys, **person, "since": "2020-01-01T00:00:00Z"}),
                ("okta_registration_info", {**keys, **person, "since": "2199-01-01T00:00:00Z"}),
                ("okta_recovery_pin_setting_info", {}),
            ],
        )

    assert {"okta.device-active", "okta.registered", "okta.pin-setting"} <= set(found["says"])
    assert [one["says"] for one in found["evidence"]] == found["says"]
    assert (since["registered"], never["registered"]) == (True, False)
    assert setting["enabled"] is True


def test_the_settings_are_found_by_the_environment_too(two_macs: RunningWorld, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / "ansible"), "localhost", "-m", f"{NAMESPACE}.mdm_profile_info"],
        cwd=tmp_path,
        env=environment(tmp_path, SCEPFIX_CONFIG=str(two_macs.config)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "com.example.okta-device-access" in done.stdout


def test_all_faces_of_the_systems_are_in_the_action_group() -> None:
    """Each takes ``config``; those of a run take what the run folder says."""
    grouped = yaml.safe_load((ROOT / "meta/runtime.yml").read_text("utf-8"))["action_groups"]["scepfix"]

    faces = {
        path.stem
        for path in (ROOT / "plugins/action").glob("*.py")
        if "AskAction" in path.read_text("utf-8") or path.stem == "fault_report"
    }
    assert set(grouped) == faces
    assert grouped == sorted(grouped)
