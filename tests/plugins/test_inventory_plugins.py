"""The MDM as an inventory, by the real ansible-inventory, ansible-playbook and scepfix plan."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plugins.plugin_utils.device_inventory import host_names
from tests.plugins.playbooks import ROOT, environment, macs, play

from scepfix.domain.device import host_of
from scepfix.simulator.running import MacSpec, RunningWorld, run_world

HOSTILE = "{{ lookup('pipe', 'touch WITNESS') }}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorld]:
    """Return a world that no test changes: one device excluded, one with a name that may not be a host's."""
    specs = [*macs("mac-1"), *macs("mac-2", scenario="profile-excluded"), MacSpec(HOSTILE)]
    with run_world(tmp_path_factory.mktemp("read") / "world", specs) as world:
        yield world


def serial(world: RunningWorld, name: str) -> str:
    return world.world.macs[name].facts.serial_number


def written(home: Path, world: RunningWorld, **options: Any) -> Path:
    file = home / "macs.scepfix.yml"
    said = {"plugin": "scepfix.device_access.mdm", "config": str(world.config), **options}
    file.write_text(yaml.safe_dump(said, allow_unicode=True))
    return file


def listing(file: Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    told = environment(home, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true", **more)
    words = ["ansible-inventory", "-i", str(file), "--list"]
    return subprocess.run(words, cwd=home, env=told, capture_output=True, text=True, check=False)


def listed(file: Path, home: Path, **more: str) -> dict[str, Any]:
    done = listing(file, home, **more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_the_devices_of_a_list_are_hosts_with_their_keys_and_groups(fleet: RunningWorld, tmp_path: Path) -> None:
    one, two = serial(fleet, "mac-1"), serial(fleet, "mac-2")
    (tmp_path / "macs.txt").write_text(f"# our Macs\n{one}\n\n{two} # lost?\n")
    file = written(tmp_path, fleet, serial_numbers_file="macs.txt", channel="collector")

    found = listed(file, tmp_path)

    assert sorted(found["scepfix_managed"]["hosts"]) == sorted([one, two])
    assert found["scepfix_excluded"]["hosts"] == [two]
    said = found["_meta"]["hostvars"][one]
    facts = fleet.world.macs["mac-1"].facts
    # Plain keys are plain texts, which scepfix plan reads too; all the rest is marked.
    assert said["scepfix_serial_number"] == one
    assert said["scepfix_hardware_uuid"] == facts.hardware_uuid
    assert said["scepfix_mdm_id"] == facts.mdm_id
    assert said["scepfix_device_name"] == {"__ansible_unsafe": "mac-1"}
    assert said["scepfix_channel"] == "collector"
    assert said["scepfix_mdm"]["excluded"] is False


@pytest.mark.slow
def test_names_of_devices_are_hosts_only_where_they_are_plain(fleet: RunningWorld, tmp_path: Path) -> None:
    serials = [serial(fleet, name) for name in ("mac-1", HOSTILE)]
    opaque = [host_of(fleet.world.macs[name].facts.mdm_id) for name in ("mac-1", HOSTILE)]
    by_name = listed(written(tmp_path, fleet, serial_numbers=serials, host_names="name"), tmp_path)
    hidden = listed(written(tmp_path, fleet, serial_numbers=serials, host_names="opaque"), tmp_path)

    assert set(by_name["_meta"]["hostvars"]) == {"mac-1", opaque[1]}
    assert set(hidden["_meta"]["hostvars"]) == set(opaque)


@pytest.mark.slow
def test_the_exclusion_group_is_an_inventory_and_may_be_empty(fleet: RunningWorld, tmp_path: Path) -> None:
    found = listed(
        written(
            tmp_path,
            fleet,
            members=True,
            groups={"said_so": "scepfix_mdm.excluded"},
            keyed_groups=[{"key": "scepfix_device_name", "prefix": "called"}],
            compose={"ansible_user": "'ansible'"},
        ),
        tmp_path,
    )
    with run_world(tmp_path / "world", macs("mac-9")) as world:
        nobody = listed(written(tmp_path, world, members=True), tmp_path)

    two = serial(fleet, "mac-2")
    assert list(found["_meta"]["hostvars"]) == found["said_so"]["hosts"] == [two]
    assert found["called_mac_2"]["hosts"] == [two]
    assert found["_meta"]["hostvars"][two]["ansible_user"] == {"__ansible_unsafe": "ansible"}
    assert nobody["_meta"]["hostvars"] == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "empty-selection: no serial number was named"),
        ({"serial_numbers": ["NOPE"]}, "the MDM knows none of the devices"),
        ({"serial_numbers": ["a\nb"]}, "serial-number"),
        ({"serial_number_file": "x"}, "did you mean serial_numbers_file?"),
        ({"serial_numbers": ["x"], "members": True}, "give one of them"),
        ({"serial_numbers_file": "missing.txt"}, "no such file"),
        ({"serial_numbers": ["x"], "config": "missing.yml"}, "missing.yml: no such file"),
        ({"serial_numbers": ["x"], "host_names": "nam"}, "Valid values are: serial_number, name, opaque"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], said: str, fleet: RunningWorld, tmp_path: Path) -> None:
    done = listing(written(tmp_path, fleet, **options), tmp_path)

    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    for token in (fleet.folder / "tokens").iterdir():
        assert token.read_text("utf-8").strip() not in done.stderr


@pytest.mark.slow
def test_a_device_that_the_mdm_does_not_know_is_told_and_left_out(fleet: RunningWorld, tmp_path: Path) -> None:
    one = serial(fleet, "mac-1")

    done = listing(written(tmp_path, fleet, serial_numbers=[one, "NOPE"]), tmp_path)

    assert list(json.loads(done.stdout)["_meta"]["hostvars"]) == [one]
    assert "the MDM knows no device NOPE" in done.stderr


@pytest.mark.slow
def test_a_file_of_another_name_is_not_for_this_plugin(fleet: RunningWorld, tmp_path: Path) -> None:
    file = written(tmp_path, fleet, serial_numbers=[serial(fleet, "mac-1")]).rename(tmp_path / "macs.yml")

    assert listing(file, tmp_path).returncode == 1


@pytest.mark.slow
def test_what_is_cached_is_used_where_the_mdm_is_gone(tmp_path: Path) -> None:
    with run_world(tmp_path / "world", macs("mac-1")) as world:
        cached = {
            "cache": True,
            "cache_plugin": "ansible.builtin.jsonfile",
            "cache_connection": str(tmp_path / "cache"),
        }
        file = written(tmp_path, world, serial_numbers=[serial(world, "mac-1")], **cached)
        first = listed(file, tmp_path)
        tokens = [path.read_text("utf-8").strip() for path in (world.folder / "tokens").iterdir()]

    assert listed(file, tmp_path) == first
    kept = "".join(path.read_text("utf-8") for path in (tmp_path / "cache").iterdir())
    assert "mac-1" in kept
    assert not [token for token in tokens if token in kept]


@pytest.mark.slow
def test_the_name_of_a_device_is_no_template_in_a_play(tmp_path: Path) -> None:
    witness = tmp_path / "executed"
    name = HOSTILE.replace("WITNESS", str(witness))
    with run_world(tmp_path / "world", [MacSpec(name)]) as world:
        cached = {
            "cache": True,
            "cache_plugin": "ansible.builtin.jsonfile",
            "cache_connection": str(tmp_path / "cache"),
        }
        file = written(
            tmp_path,
            world,
            serial_numbers=[serial(world, name)],
            compose={"called": "scepfix_device_name ~ '.corp'"},
            keyed_groups=[{"key": "scepfix_device_name"}],
            **cached,
        )
        said = {"msg": "{{ scepfix_device_name }} {{ called }} {{ group_names }}"}
        tasks = [{"ansible.builtin.debug": said, "delegate_to": "localhost"}]
        (tmp_path / "say.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        words = ["ansible-playbook", "-i", str(file), "say.yml"]

        runs = [play(words, tmp_path), play(words, tmp_path)]

    assert [one.code for one in runs] == [0, 0], runs[0].output
    assert all("lookup(" in one.output for one in runs)
    assert not witness.exists()


@pytest.mark.slow
def test_scepfix_plans_for_the_devices_of_the_mdm(tmp_path: Path) -> None:
    """The inventory's keys come from the MDM, the way to each device from a file of the same folder."""
    with run_world(tmp_path / "world", macs("mac-1", "mac-2")) as world:
        hosts = yaml.safe_load(world.inventory.read_text("utf-8"))["all"]["hosts"]
        ways = {serial(world, name): said for name, said in hosts.items()}
        folder = tmp_path / "inventory"
        folder.mkdir()
        (folder / "ways.yml").write_text(yaml.safe_dump({"all": {"hosts": ways}}))
        written(folder, world, serial_numbers=list(ways))
        words = ["scepfix", "--config", str(world.config), "plan", "-i", str(folder), "-o", str(tmp_path / "p.json")]

        done = play([*words, "--group", "scepfix_managed"], tmp_path)
        wrong = play([*words, "C02NOWHERE"], tmp_path)

    assert done.code == 0, done.output
    planned = json.loads((tmp_path / "p.json").read_text())
    assert {one["name"] for one in planned["devices"]} == set(ways)
    assert wrong.code == 2
    assert "there is no device" in wrong.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", sorted((ROOT / "inventories/mdm").glob("*.scepfix.yml")), ids=lambda path: path.name
)
def test_the_examples_are_read(example: Path, fleet: RunningWorld, tmp_path: Path) -> None:
    (tmp_path / "macs.txt").write_text(f"{serial(fleet, 'mac-1')}\n")
    (tmp_path / example.name).write_text(example.read_text("utf-8"))

    found = listed(tmp_path / example.name, tmp_path, SCEPFIX_CONFIG=str(fleet.config))

    assert found["_meta"]["hostvars"]


@pytest.mark.slow
@pytest.mark.parametrize("plugin", sorted(path.stem for path in (ROOT / "plugins/inventory").glob("[a-z]*.py")))
def test_every_plugin_is_documented(plugin: str, tmp_path: Path) -> None:
    name = f"scepfix.device_access.{plugin}"
    words = ["ansible-doc", "-t", "inventory", "--json", name]

    done = subprocess.run(words, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=True)

    said = json.loads(done.stdout)[name]
    assert {"config", "host_names", "channel", "compose", "cache", "plugin"} <= said["doc"]["options"].keys()
    examples = list(yaml.safe_load_all(said["examples"]))
    assert all(one["plugin"] == name and one.keys() <= said["doc"]["options"].keys() for one in examples)
    assert f"`{plugin}`" in (ROOT / "docs/ansible-collection.md").read_text("utf-8")


def deleted(home: Path, world: RunningWorld, **options: Any) -> Path:
    file = home / "deleted.scepfix.yml"
    said = {"plugin": "scepfix.device_access.okta_deleted", "config": str(world.config), **options}
    file.write_text(yaml.safe_dump(said, allow_unicode=True))
    return file


@pytest.mark.slow
def test_the_devices_that_were_deleted_in_okta_are_hosts(tmp_path: Path) -> None:
    specs = [*macs("mac-1", "mac-2"), *macs("mac-3", scenario="healthy")]
    with run_world(tmp_path / "world", specs) as world:
        since = (datetime.now(UTC) - timedelta(days=80)).isoformat()
        found = listed(deleted(tmp_path, world, since=since), tmp_path)
        none = listing(deleted(tmp_path, world, since=since, until="2020-01-01T00:00:00Z"), tmp_path)
        late = listing(deleted(tmp_path, world, since="2020-01-01T00:00:00Z"), tmp_path)
        naked = listing(deleted(tmp_path, world, since="yesterday"), tmp_path)

        wanted = {serial(world, name) for name in ("mac-1", "mac-2")}
    assert set(found["scepfix_deleted_in_okta"]["hosts"]) == set(found["_meta"]["hostvars"]) == wanted
    for host, said in found["_meta"]["hostvars"].items():
        assert said["scepfix_serial_number"] == host
        assert said["scepfix_okta"]["deleted_at"]
    assert [one.returncode for one in (none, late, naked)] == [1, 1, 1]
    assert "the range ends before it begins" in none.stderr
    assert "90 days" in late.stderr
    assert "no time with a zone" in naked.stderr


NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["localhost", "all", "LocalHost", "ungrouped", "10.0.0.1", "127.1", "mac", "MAC", "-x", "a:22", "a b"]
    ),
)


@given(st.lists(NAMES, max_size=6), st.sampled_from(["serial_number", "name", "opaque"]))
def test_every_host_has_a_safe_name_of_its_own(names: list[str], how: str) -> None:
    hosts = host_names([(name, name, f"id {number}") for number, name in enumerate(names)], how)

    assert len({host.casefold() for host in hosts}) == len(hosts) == len(names)
    for number, (host, name) in enumerate(zip(hosts, names, strict=True)):
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?", host, re.ASCII)
        assert not re.fullmatch(r"[0-9-]+", host, re.ASCII)
        assert host.casefold() not in ("localhost", "all", "ungrouped")
        assert host == (host_of(f"id {number}") if how == "opaque" else host)
        assert host in (name, host_of(f"id {number}"))


def test_a_name_that_two_devices_have_names_neither() -> None:
    hosts = host_names([("mac", "C1", "1"), ("MAC", "C2", "2"), ("other", "C3", "3")], "name")

    assert hosts == [host_of("1"), host_of("2"), "other"]
