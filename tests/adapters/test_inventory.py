"""The inventory as Ansible itself reads it: exact names, refused selections; hostile names and values stay text."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.hostile import hostile, is_inert

from scepfix.adapters.inventory import AnsibleInventory
from scepfix.domain.device import host_of
from scepfix.domain.errors import Exit, RefusedError, UsageError

# Each of these starts Ansible, half a second and more.
pytestmark = pytest.mark.slow

INVENTORY = """
macs:
  hosts:
    mac-041: {ansible_host: 127.1.0.41}
    mac-042: {ansible_host: 127.1.0.42, ansible_port: 2222, scepfix_person: alice@example.com}
    mac-bad: {ansible_host: "{{ lookup('pipe', 'touch WITNESS') }}", ansible_password: geheim}
  vars:
    ansible_user: ansible
    ansible_become: yes
    ansible_ssh_common_args: -F /dev/null -o StrictHostKeyChecking=yes
lab:
  children:
    macs:
    pcs:
pcs:
  hosts:
    pc-1: {ansible_connection: psrp, ansible_host: pc-1.example.com}
empty:
  children:
    nobody:
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY.replace("WITNESS", str(tmp_path / "witness")))
    return path


def script(folder: Path, listed: object) -> Path:
    """An inventory as a program prints it: the only kind that can hold any name at all."""
    (folder / "listed.json").write_text(json.dumps(listed))
    path = folder / "inventory.sh"
    path.write_text(f"#!/bin/sh\ncat '{folder}/listed.json'\n")
    path.chmod(0o700)
    return path


def test_a_device_has_its_checked_values_and_those_of_its_groups(file: Path) -> None:
    (device,) = AnsibleInventory(str(file)).devices(["mac-042"])

    assert (device.name, device.host, device.person) == ("mac-042", host_of("mac-042"), "alice@example.com")
    assert device.connection == {
        "ansible_connection": "ssh",
        "ansible_host": "127.1.0.42",
        "ansible_port": 2222,
        "ansible_user": "ansible",
        "ansible_become": True,
        "ansible_ssh_common_args": "-F /dev/null -o StrictHostKeyChecking=yes",
    }


def test_devices_come_once_each_in_the_order_asked_for(file: Path) -> None:
    found = AnsibleInventory(str(file)).devices(["pc-1", "mac-041", "pc-1"])

    assert [device.name for device in found] == ["pc-1", "mac-041"]


def test_a_serial_number_names_the_one_device_that_has_it(tmp_path: Path) -> None:
    hosts = {"mac-042": "C02AAAAAA042", "mac-043": "C02AAAAAA043", "twin": "C02AAAAAA043"}
    hostvars = {name: {"scepfix_serial_number": serial} for name, serial in hosts.items()}
    listed = {"all": {"hosts": list(hosts)}, "_meta": {"hostvars": hostvars}}
    inventory = AnsibleInventory(str(script(tmp_path, listed)))

    assert [device.name for device in inventory.devices(["C02AAAAAA042", "mac-042"])] == ["mac-042"]
    with pytest.raises(UsageError, match="C02AAAAAA043"):
        inventory.devices(["C02AAAAAA043"])


def test_an_inventory_plugin_is_told_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "inventory.sh"
    path.write_text('#!/bin/sh\nprintf \'{"all": {"hosts": ["%s"]}}\' "$(basename "$SCEPFIX_CONFIG")"\n')
    path.chmod(0o700)

    assert AnsibleInventory(str(path), config=str(tmp_path / "site.yml")).names == {"site.yml"}


def test_a_group_is_all_that_is_in_it_and_below_it(file: Path) -> None:
    inventory = AnsibleInventory(str(file))

    assert [device.name for device in inventory.devices([], "pcs")] == ["pc-1"]
    with pytest.raises(UsageError) as caught:
        inventory.devices([], "lab")  # mac-bad is among them
    assert "mac-bad" in caught.value.message


def test_an_unknown_device_is_told_with_the_near_miss(file: Path) -> None:
    with pytest.raises(UsageError) as caught:
        AnsibleInventory(str(file)).devices(["mac-42"])

    assert (caught.value.code, caught.value.hint) == ("unknown-device", "did you mean mac-042?")
    # A pattern of Ansible's is no name: it would select more than was meant.
    for pattern in ("mac-*", "all", "macs", "mac-041,mac-042", "~mac.*", "!mac-041"):
        with pytest.raises(UsageError):
            AnsibleInventory(str(file)).devices([pattern])


@pytest.mark.parametrize(("names", "group"), [([], None), ([], "empty"), ([], "nobody"), ([], "mac"), ([], "_meta")])
def test_an_empty_selection_is_refused(file: Path, names: list[str], group: str | None) -> None:
    with pytest.raises(RefusedError) as caught:
        AnsibleInventory(str(file)).devices(names, group)

    assert (caught.value.code, caught.value.exit) == ("empty-selection", Exit.NEEDS_PERSON)


def test_values_that_do_not_fit_are_all_told_and_no_secret_is(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        AnsibleInventory(str(file)).devices(["mac-bad"])

    first, second = caught.value.message.split("\n")
    assert first.startswith("mac-bad: ansible_host: ")
    assert second.startswith("mac-bad: ansible_password: passwords are not read")
    assert "geheim" not in str(caught.value)
    assert not (tmp_path / "witness").exists()


def test_a_device_with_bad_values_does_not_keep_others_from_being_reached(file: Path) -> None:
    assert len(AnsibleInventory(str(file)).devices(["mac-041", "mac-042"])) == 2


def test_hostile_names_are_devices_like_others_and_stay_text(tmp_path: Path) -> None:
    names = hostile(tmp_path / "witness")
    variables = {name: {"ansible_host": "127.1.0.9", "scepfix_person": name} for name in names}
    path = script(tmp_path, {"_meta": {"hostvars": variables}, "macs": {"hosts": list(names)}})
    inventory = AnsibleInventory(str(path))

    found = inventory.devices(names)

    assert len(found) == len(names)
    for device in found:
        assert is_inert(device.name)
        assert is_inert(device.person)
        assert "\n" not in device.name
        assert device.host == host_of(device.name)
        assert set(device.connection.values()) == {"ssh", "127.1.0.9"}
    # What was shown can be asked for: nobody can type an escape sequence.
    assert inventory.devices([device.name for device in found]) == found
    assert inventory.devices([], "macs") == found
    assert not (tmp_path / "witness").exists()


def test_a_hostile_name_is_no_address(tmp_path: Path) -> None:
    names = hostile(tmp_path / "witness")
    path = script(tmp_path, {"_meta": {"hostvars": {}}, "macs": {"hosts": list(names)}})

    with pytest.raises(UsageError) as caught:
        AnsibleInventory(str(path)).devices(names)

    assert is_inert(caught.value.message)
    assert len(caught.value.message.split("\n")) == len(names)
    assert not (tmp_path / "witness").exists()


def test_two_names_that_are_shown_alike_are_refused(tmp_path: Path) -> None:
    path = script(tmp_path, {"macs": {"hosts": ["mac\x1b", "mac\u241b"]}})

    with pytest.raises(UsageError, match="two devices are both shown"):
        AnsibleInventory(str(path)).devices(["mac\x1b"])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("macs:\n  hosts: [\n  ansible_password: geheim\n", ":"),
        ("macs\n ansible_password = geheim x\n", ""),
        ("[macs\nmac-1 ansible_password=geheim\n", ""),
        ("", ""),
        ("\x00\x01\x02", ""),
    ],
)
def test_what_ansible_cannot_read_is_told_without_its_lines(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "inventory.yml"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        AnsibleInventory(str(path)).devices(["mac-1"])

    assert caught.value.where.startswith(f"{path}{where}")
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_not_there_is_no_list_of_hosts(tmp_path: Path) -> None:
    for name in ("mac-1,mac-2", "localhost,", str(tmp_path / "none.yml")):
        with pytest.raises(UsageError, match="no such file"):
            AnsibleInventory(name).devices(["mac-1"])


def test_a_script_that_never_ends_is_stopped_with_its_children(tmp_path: Path) -> None:
    path = tmp_path / "inventory.sh"
    path.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 600\n")
    path.chmod(0o700)

    with pytest.raises(UsageError, match="within 2 seconds"):
        AnsibleInventory(str(path), timeout_seconds=2).devices(["mac-1"])

    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.02)
    else:
        raise AssertionError("the script is still there")


def test_what_stands_in_the_environment_does_not_change_what_is_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text(f"open({str(tmp_path / 'witness')!r}, 'w')\n")
    monkeypatch.setenv("ANSIBLE_INVENTORY_ENABLED", "host_list")
    monkeypatch.setenv("ANSIBLE_DEBUG", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")

    assert len(AnsibleInventory(str(file)).devices(["mac-041"])) == 1
    assert not (tmp_path / "witness").exists()
    assert os.environ["ANSIBLE_DEBUG"] == "1"
