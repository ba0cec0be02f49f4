# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the faces of MDM and Okta share: settings file, selection of devices, inert text, errors in one line."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase

from scepfix.domain.device import Identity
from scepfix.domain.errors import RefusedError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText
from scepfix.domain.moment import rfc3339

#: No serial number is longer; one that is shown otherwise than it is written is none.
_LONGEST_SERIAL_NUMBER = 100
#: How a device is named to Okta, one of its keys at least.
DEVICE: Mapping[str, dict[str, Any]] = {
    "serial_number": {"type": "str", "default": ""},
    "hardware_uuid": {"type": "str", "default": ""},
}


class AskAction(ActionBase):
    """Runs ``act``; what scepfix refuses becomes the task's failure, in its own words.

    Nothing is contacted but MDM or Okta, so a task may stand in a play about devices that are switched off.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self.act(task_vars or {}))
        except ScepfixError as error:
            result.update(failed=True, msg=str(error), code=error.code, where=error.where, hint=error.hint)
        return result

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Given the task's variables, ask and return the task's result. Raise ScepfixError."""
        raise NotImplementedError

    def arguments(self, **spec: dict[str, Any]) -> dict[str, Any]:
        """Given an argument spec, return the validated arguments; ``config`` in addition is the settings file, None
        where no task names one."""
        found: dict[str, Any] = self.validate_argument_spec(argument_spec={"config": {"type": "path"}, **spec})[1]
        return found

    @property
    def check_mode(self) -> bool:
        return bool(self._task.check_mode)

    def serial_numbers(self, given: Sequence[str] | None, variables: Mapping[str, Any]) -> list[str]:
        """Return the serial numbers that a task is about: those given, else those of all hosts of the play.

        Raise UsageError where each host of the play would ask for all, RefusedError where nothing is selected.
        """
        if given is not None:
            return checked_serial_numbers(given)
        hosts = list(variables.get("ansible_play_hosts_all") or ())
        if len(hosts) > 1 and not self._task.run_once:
            raise UsageError(
                "run-once",
                "without serial_numbers all hosts of the play are asked for at once, and each host would do that",
                hint="add run_once: true to the task, or name serial_numbers",
            )
        found = [variables["hostvars"][host].get("scepfix_serial_number") for host in hosts]
        missing = [host for host, serial in zip(hosts, found, strict=True) if not serial]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise UsageError(
                "no-serial-number",
                f"no scepfix_serial_number is set for {', '.join(map(visible, missing[:5]))}{more}",
                hint="set it in the inventory, or name serial_numbers",
            )
        return checked_serial_numbers([str(serial) for serial in found])


def checked_serial_numbers(given: Sequence[str]) -> list[str]:
    """Given serial numbers, return each once. Raise RefusedError where there is none: nothing never means all."""
    found = list(dict.fromkeys(one.strip() for one in given))
    if not found:
        raise RefusedError("empty-selection", "no serial number was named", hint="name at least one")
    for one in found:
        if not one or len(one) > _LONGEST_SERIAL_NUMBER or visible(one) != one:
            raise UsageError(
                "serial-number", f"{visible(one)[:_LONGEST_SERIAL_NUMBER]!r} is no serial number", hint="correct it"
            )
    return found


def identity(asked: Mapping[str, Any]) -> Identity:
    """Return whom the options of DEVICE name. Raise RefusedError where they name nobody."""
    if not asked["serial_number"] and not asked["hardware_uuid"]:
        raise RefusedError("empty-selection", "name the serial_number or the hardware_uuid of a device")
    return Identity(asked["serial_number"].strip(), asked["hardware_uuid"].strip())


def inert(value: Any) -> Any:
    """Given a JSON document, return it with each text in it made inert. Ansible takes none of them for a template."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {str(key): inert(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [inert(one) for one in value]
    return value


def certificates_document(said: CertificateList | None) -> dict[str, Any] | None:
    """Return the inert JSON form of a certificate list; ``pem`` is "" where the MDM does not keep the certificate."""
    if said is None:
        return None
    listed = []
    for one in said.certificates:
        known = {
            "serial_number": one.serial_number,
            "sha1": one.sha1,
            "common_name": one.common_name,
            "not_before": rfc3339(one.not_before),
            "not_after": rfc3339(one.not_after),
            "current": one.current,
        }
        # Base64 between lines of our own: its line ends stay.
        listed.append({**inert(known), "pem": ssl.DER_cert_to_PEM_cert(one.der) if one.der else ""})
    return {"taken_at": rfc3339(said.taken_at), "certificates": listed}


def collected_document(said: CollectedText | None) -> dict[str, Any] | None:
    """Return the inert JSON form of a line of the collector."""
    return None if said is None else {"line": visible(said.line), "collected_at": rfc3339(said.collected_at)}
