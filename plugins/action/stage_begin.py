# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins a run: refuses what must be refused before anything is looked at, and by hand makes the run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from scepfix.adapters.run_folder import RunFolder, checked_host
from scepfix.adapters.state_folder import fresh_run_folder
from scepfix.domain.device import Identity
from scepfix.domain.errors import RefusedError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.run import COLLECTOR, Run, RunDevice

from ..plugin_utils.stage import StageAction, by_hand_folder


class ActionModule(StageAction):
    """Runs on the controller, once, before any other task."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            playbook={"type": "str", "default": "inspect_device"},
            config={"type": "path"},
            wait_seconds={"type": "int", "default": 600},
            without_engine={"type": "bool", "default": False},
        )
        hosts = [host for host in variables["groups"]["all"] if host != "localhost"]
        if not hosts:
            raise RefusedError("empty-selection", "the inventory names no device", hint="name it with -i")
        if variables.get("scepfix_run") is not None or by_hand_folder(variables) is not None:
            self.folder(variables).run()
            return {"changed": False}
        changes = asked["playbook"] != "inspect_device"
        if changes and len(hosts) > 1 and not asked["without_engine"]:
            raise RefusedError(
                "without-engine",
                f"{len(hosts)} devices without an engine: nothing would stop after the first that fails",
                hint="use scepfix plan and apply, one device, or -e scepfix_without_engine=true (docs/playbooks.md)",
            )
        return {"changed": False, "ansible_facts": {"scepfix_run_by_hand": _make(hosts, asked, variables)}}


def _make(hosts: list[str], asked: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    path = fresh_run_folder("by-hand")
    (path / "owner").write_text(f"{os.getppid()}\n", "ascii")
    RunFolder(path).write_run(
        Run(
            intent=path.name,
            stage="observe",
            devices={
                checked_host(host): _device(host, variables["hostvars"][host], asked["playbook"]) for host in hosts
            },
            config=asked["config"],
            wait_seconds=asked["wait_seconds"],
            by_hand=True,
        )
    )
    return str(path)


def _device(host: str, variables: Mapping[str, Any], playbook: str) -> RunDevice:
    """Return a device of which the inventory alone is known. Raise UsageError for a collector without serial number."""
    channel = variables.get("scepfix_channel")
    if channel is None:
        return RunDevice(host, _platform(variables), playbook=playbook)
    serial = str(variables.get("scepfix_serial_number") or "").strip().upper()
    if channel != COLLECTOR or not serial:
        raise UsageError(
            "inventory",
            f"scepfix_channel is {COLLECTOR} and needs scepfix_serial_number, or it is left out",
            where=visible(host),
            hint="see docs/inventory.md",
        )
    return RunDevice(host, _platform(variables), Identity(serial), playbook=playbook, channel=COLLECTOR)


def _platform(variables: Mapping[str, Any]) -> Platform:
    given = variables.get("scepfix_platform")
    if given in tuple(Platform):
        return Platform(given)
    connection = str(variables.get("ansible_connection")).rpartition(".")[2]
    windows = connection in ("winrm", "psrp") or variables.get("ansible_shell_type") == "powershell"
    return Platform.WINDOWS if windows else Platform.MACOS
