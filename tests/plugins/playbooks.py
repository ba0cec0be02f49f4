"""Runs playbooks of the collection on a simulated world, by hand or as the engine does, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import host_of
from scepfix.domain.platform import Platform
from scepfix.domain.run import Run, RunDevice
from scepfix.simulator.running import RunningWorld
from scepfix.simulator.world import MacSpec

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FAST = {"scepfix_wait_seconds": 20, "scep_profile_poll_seconds": 1, "device_certificate_poll_seconds": 1}


@dataclass(frozen=True)
class Played:
    """How a run of ansible-playbook ended."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        return sum(int(word.split("=")[1]) for word in self.output.split() if word.startswith("changed="))


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment in which Ansible finds this repository as the collection, and nothing of the user's."""
    link = home / "collections/ansible_collections/scepfix/device_access"
    if not link.exists():
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_", "XDG_"))
    }
    return clean | {
        "ANSIBLE_COLLECTIONS_PATH": str(home / "collections"),
        "ANSIBLE_HOME": str(home / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        **more,
    }


def command(playbook: str, inventory: Path, variables: Mapping[str, object], *more: str) -> list[str]:
    return [
        "ansible-playbook",
        *("-i", str(inventory)),
        f"scepfix.device_access.{playbook}",
        *("-e", json.dumps(dict(variables))),
        *more,
    ]


def by_hand(playbook: str, world: RunningWorld, home: Path, *more: str, **variables: object) -> Played:
    """Run a playbook as a person does."""
    asked = {**FAST, "scepfix_config": str(world.config), **variables}
    return play(command(playbook, world.inventory, asked, *more), home)


def play(words: Sequence[str], home: Path) -> Played:
    done = subprocess.run(
        words, cwd=home, env=environment(home), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Played(done.returncode, done.stdout + done.stderr)


def runs(home: Path) -> list[RunFolder]:
    """Return the folders of the runs by hand, oldest first."""
    found = (home / "state/scepfix/runs").glob("by-hand-*")
    return [RunFolder(path) for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


def engine_run(
    stage: str,
    world: RunningWorld,
    folder: Path,
    devices: Mapping[str, RunDevice],
    *more: str,
    read_only: bool = False,
    ssh_executable: str = "",
) -> tuple[Played, RunFolder]:
    """Run one stage as the engine does: an inventory of exactly its devices, by opaque names, and a run folder."""
    folder.mkdir(mode=0o700)
    said = yaml.safe_load(world.inventory.read_text("utf-8"))["all"]["hosts"]
    hosts = {
        host_of(name): {key: value for key, value in said[name].items() if key.startswith("ansible_")}
        | ({"ansible_ssh_executable": ssh_executable} if ssh_executable else {})
        for name in devices
    }
    inventory = {"all": {"vars": {"scepfix_run": str(folder)}, "children": {"scepfix_devices": {"hosts": hosts}}}}
    (folder / "inventory").mkdir()
    (folder / "inventory/hosts.json").write_text(json.dumps(inventory))
    run_folder = RunFolder(folder)
    by_host = {host_of(name): device for name, device in devices.items()}
    run_folder.write_run(Run(folder.name, stage, by_host, config=str(world.config), read_only=read_only))
    words = [
        "ansible-playbook",
        *("-i", str(folder / "inventory/hosts.json")),
        f"scepfix.device_access.stages.{stage.replace('-', '_')}",
        *more,
    ]
    return play(words, folder), run_folder


def device(name: str, **more: Any) -> RunDevice:
    return RunDevice(name, Platform.MACOS, playbook="reinstall_scep_profile", **more)


def macs(*names: str, scenario: str = "deleted", **behaviours: str) -> list[MacSpec]:
    told = {name.replace("_", "-"): value for name, value in behaviours.items()}
    return [MacSpec(name=name, scenario=scenario, behaviours=told) for name in names]
