# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of the stages share: the run folder, its refusals, and the look at one device."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from scepfix.adapters.run_folder import RunFolder, checked_host
from scepfix.domain.device import Observation, StoredCertificate
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import STAGES, Stage, StageAnswer, StageResult
from scepfix.domain.run import Run
from scepfix.parsers.macos_observation import parse_macos_observation
from scepfix.parsers.windows_observation import parse_windows_observation
from scepfix.rules.certificate import judge
from scepfix.service.file_evidence import breaks_on_device
from scepfix.service.stages import marked
from scepfix.workflow.certificates import read_stored

#: A stock Mac's folders, behind what is there: a shell that ssh starts may have less.
MACOS_PATH = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_SCRIPTS = Path(__file__).parent


class UnreachableError(ScepfixError):
    """The device did not answer."""


class StageAction(ActionBase):
    """Runs ``act``; what scepfix refuses becomes the task's failure, in its own words."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            if variables.get("ansible_limit"):
                # It skips the plays on the controller, so a profile could be taken away and not be put back.
                raise UsageError(
                    "limit",
                    "--limit is refused: it skips the plays on localhost",
                    hint="give an inventory that holds only the devices that are meant",
                )
            result.update(self.act(variables))
        except ScepfixError as error:
            result.update(failed=True, msg=str(error), code=error.code, where=error.where, hint=error.hint)
        return result

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Given the task's variables, do the work and return the task's result. Raise ScepfixError."""
        raise NotImplementedError

    # --- arguments ------------------------------------------------------------------------------------------------

    def arguments(self, **spec: dict[str, Any]) -> dict[str, Any]:
        """Given an argument spec, return the validated arguments of the task."""
        found: dict[str, Any] = self.validate_argument_spec(argument_spec=spec)[1]
        return found

    @property
    def check_mode(self) -> bool:
        return bool(self._task.check_mode)

    # --- the run --------------------------------------------------------------------------------------------------

    def folder(self, variables: Mapping[str, Any]) -> RunFolder:
        """Return the run folder: the engine's, or the one that stage_begin made. Raise UsageError without one."""
        given = variables.get("scepfix_run")
        if given is not None:
            return RunFolder(str(given))
        made = by_hand_folder(variables)
        if made is None:
            raise UsageError(
                "no-run", "no run has begun", hint="run a playbook of scepfix.device_access; its first task begins it"
            )
        return RunFolder(made)

    @staticmethod
    def host(variables: Mapping[str, Any], run: Run) -> str:
        """Return this host's name. Raise UsageError where the run is not about it."""
        host = checked_host(str(variables["inventory_hostname"]))
        if host not in run.devices:
            raise UsageError("not-of-this-run", "run.json does not name this host", where=visible(host))
        return host

    @staticmethod
    def answered(result: StageResult, **more: Any) -> dict[str, Any]:
        """Return what the task says of an answer: no more than fits a line or two; all of it is in the run folder."""
        said: dict[str, Any] = {
            "changed": False,
            "stage": result.stage.value,
            "answer": result.answer.value,
            "waiting_for": result.waiting_for,
        }
        if result.facts.get("refusals"):
            said["refusals"] = list(result.facts["refusals"])
        if result.facts.get("error"):
            said["error"] = result.facts["error"]
        return {**said, **more}

    # --- the device -----------------------------------------------------------------------------------------------

    def observe(self, platform: Platform) -> Observation:
        """Look at the device in one round trip. Raise InputError for an answer that is none, UnreachableError."""
        return self._macos() if platform is Platform.MACOS else self._windows()

    def _macos(self) -> Observation:
        nonce = secrets.token_hex(16)
        sent = datetime.now(UTC)
        said = self.sh(f"nonce={nonce}\n{script('observe_macos.sh')}")
        return parse_macos_observation(said, nonce, sent, datetime.now(UTC), breaks_on_device)

    def _windows(self) -> Observation:
        sent = datetime.now(UTC)
        said = self.powershell(script("observe_windows.ps1"))
        return parse_windows_observation(said, sent, datetime.now(UTC))

    def powershell(self, text: str) -> bytes:
        """Have PowerShell read a script from its standard input, which may be longer than a command line."""
        read = '& ([ScriptBlock]::Create((@($input) -join "`n")))'
        shell = self._connection._shell
        if hasattr(shell, "_encode_script"):
            command = shell._encode_script(read, strict_mode=False, preserve_rc=False)
        else:
            # OpenSSH on Windows without ansible_shell_type: whichever shell it starts knows this program.
            encoded = base64.b64encode(read.encode("utf-16-le")).decode("ascii")
            command = f"powershell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand {encoded}"
        self._hush()
        try:
            # Not through the shell of _low_level_execute_command: a PC has no /bin/sh.
            stdout = self._connection.exec_command(command, in_data=text.encode("utf-8"), sudoable=False)[1]
        except AnsibleConnectionFailure as error:
            raise _unreachable(error) from error
        return bytes(stdout)

    def _hush(self) -> None:
        """What a device says is not for a log: with -vvv ssh would print all of it."""
        self._play_context.no_log = True
        self._connection._play_context.no_log = True

    def sh(self, script: str) -> bytes:
        """Have the device's own sh run a script from its standard input; return what it printed."""
        return self._execute(f'PATH="$PATH:{MACOS_PATH}" /bin/sh -s', script)

    def _execute(self, command: str, script: str) -> bytes:
        self._hush()
        try:
            done = self._low_level_execute_command(command, in_data=script.encode("utf-8"))
        except AnsibleConnectionFailure as error:
            raise _unreachable(error) from error
        return str(done["stdout"]).encode("utf-8", "surrogateescape")


def _unreachable(error: Exception) -> UnreachableError:
    return UnreachableError("unreachable", visible(str(error))[:300], hint="is it on, and on the network?")


def script(name: str) -> str:
    """Return a script that lies beside this file."""
    return (_SCRIPTS / name).read_text("utf-8")


# --- by hand: without an engine ----------------------------------------------------------------------------------


def by_hand_folder(variables: Mapping[str, Any]) -> str | None:
    """Return the folder that stage_begin made in this very run of ansible-playbook, or None."""
    facts = variables["hostvars"]["localhost"].get("ansible_facts") or {}
    made = facts.get("scepfix_run_by_hand")
    # A cache of facts may hold the folder of an earlier run; the tasks of this one have the same parent process.
    return str(made) if made is not None and owner_of(Path(str(made))) == os.getppid() else None


def owner_of(folder: Path) -> int | None:
    """Return the process that a folder made by hand belongs to, None where nobody knows."""
    try:
        return int((folder / "owner").read_text("ascii"))
    except (OSError, ValueError):
        return None


def gate(run: Run, folder: RunFolder, host: str, stage: str) -> StageResult | None:
    """By hand: return the answer that keeps a host from this stage, or None where it may go on.

    The engine gates by itself. A re-install is never held back: it goes by what was excluded.
    """
    if not run.by_hand or stage in ("observe", "preflight"):
        return None
    order = [one.value for one in STAGES.get(run.devices[host].playbook, ())]
    if stage not in order:
        alone = StageResult(Stage(stage), StageAnswer.FAILED, "a playbook of which this is a stage")
        return None if stage in ("confirm", "inspect") else alone
    found = folder.result(host)
    if found is None:
        return StageResult(Stage.PREFLIGHT, StageAnswer.FAILED, "the stages before it")
    name, result = found
    return None if (name, result.answer) == (order[order.index(stage) - 1], StageAnswer.DONE) else result


def learn(run: Run, folder: RunFolder) -> Run:
    """By hand: fill in who the devices are and what they hold, as the look before the repair found it."""
    devices = dict(run.devices)
    for host, device in run.devices.items():
        found = folder.result(host)
        seen = found[1].facts.get("observation") if found and found[0] == "observe" else None
        # Of one with a collector the inventory has said the serial number, and nothing else.
        if seen is not None and not device.identity.hardware_uuid:
            observation = Observation.from_document(seen)
            devices[host] = replace(
                device,
                identity=observation.identity,
                before=tuple(one.known() for one in marked(observation)),
            )
    return replace(run, devices=devices)


def sleep(seconds: float) -> None:
    """Wait between two looks."""
    time.sleep(max(0.0, seconds))


def summary(observation: Observation) -> dict[str, Any]:
    """Return what a person wants to know of a device, in a few lines; all of it is in the run folder."""
    return {
        "serial_number": observation.identity.serial_number,
        "hardware_uuid": observation.identity.hardware_uuid,
        "os_version": observation.os_version,
        "complete": observation.complete,
        "enrolled": observation.enrolled,
        "scep_profiles": [one.identifier for one in observation.profiles or () if one.is_scep],
        "certificates": [_certificate(one, observation) for one in observation.certificates],
        "problems": list(observation.problems),
    }


def _certificate(stored: StoredCertificate, observation: Observation) -> dict[str, Any]:
    one = read_stored(stored)
    judged = judge(one, observation.observed_at, private_key=stored.private_key, store=stored.store)
    return {
        "serial_number": one.serial_number,
        "sha256": one.sha256,
        "not_after": rfc3339(one.not_after),
        "store": stored.store,
        "private_key": stored.private_key,
        "device_access_marker": one.marker,
        "findings": [finding.code for finding in judged.findings],
        "verdict": judged.verdict.value,
    }
