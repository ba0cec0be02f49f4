# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts devices back into the profile's scope, or, where somebody confirms it, takes them out: one call for all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scepfix import wiring
from scepfix.adapters.login_name import login_name
from scepfix.adapters.run_folder import RunFolder
from scepfix.adapters.state_folder import fresh_run_folder
from scepfix.domain.device import Identity, Observation
from scepfix.domain.errors import RefusedError, ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.run import EXCLUDE
from scepfix.service.mdm_stages import whole_profile
from scepfix.service.ports import Mdm
from scepfix.service.refusals import Refusal, refusals

from ..plugin_utils.asked_systems import AskAction, checked_serial_numbers, inert


class ActionModule(AskAction):
    """Runs on the controller. Looks first, asks for what is left in one call, looks again."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            serial_numbers={"type": "list", "elements": "str"},
            all_members={"type": "bool", "default": False},
            state={"type": "str", "choices": ["absent", "present"], "required": True},
            confirm_removal={"type": "bool", "default": False},
            max_devices={"type": "int", "default": 1},
            requested_by={"type": "str"},
        )
        config = asked["config"]
        if bool(asked["serial_numbers"]) == asked["all_members"]:
            raise RefusedError("empty-selection", "name serial_numbers, or say all_members", hint="one of the two")
        joins = asked["state"] == "present"
        if joins:
            _confirmed(asked)
        mdm = wiring.mdm(config, read_only=self.check_mode)
        members = mdm.members()
        if asked["all_members"]:
            records, unknown = list(members), []
        else:
            serials = checked_serial_numbers(asked["serial_numbers"])
            found = mdm.devices(serials)
            records = [found[one] for one in serials if one in found]
            unknown = [one for one in serials if one not in found]
        # Whoever is where he should be is asked nothing more: a second run changes nothing and refuses nothing.
        moved = [one for one in records if one.excluded is not joins]
        if joins and (moved or unknown):
            refused = _refused(mdm, moved, unknown, wiring.settings(config).repair)
            if refused:
                return _refusal(refused)
        who = visible(asked["requested_by"] or login_name()) if joins else ""
        result: dict[str, Any] = {
            "changed": bool(moved),
            "serial_numbers": [one.identity.serial_number for one in moved],
            "unknown_serial_numbers": unknown,
            "requested_by": who,
        }
        if moved and not self.check_mode:
            result |= _move(mdm, moved, joins, who)
        if unknown:
            # The known ones are put back all the same; a mistyped number must not look like a device that is well.
            result |= {
                "failed": True,
                "code": "unknown-device",
                "msg": f"the MDM knows no device {', '.join(unknown[:5])}; the others are as they should be",
            }
        return {**inert(result), "diff": _diff(members, moved, joins)}


def _confirmed(asked: Mapping[str, Any]) -> None:
    """Raise RefusedError where a removal was not asked for in so many words."""
    if not asked["confirm_removal"]:
        raise RefusedError(
            "not-confirmed",
            "state=present has the MDM take the profile, and the certificate with it, from the devices, and nobody "
            "puts them back by himself",
            hint="say confirm_removal: true, or use the playbook reinstall_scep_profile, which puts back",
        )
    if asked["all_members"]:
        raise RefusedError("empty-selection", "all_members goes with state=absent only", hint="name serial_numbers")
    count = len(checked_serial_numbers(asked["serial_numbers"]))
    if count > asked["max_devices"]:
        raise RefusedError(
            "too-many-devices",
            f"{count} devices, max_devices is {asked['max_devices']}: nothing would stop after the first that fails",
            hint="use scepfix plan and apply, one device, or a larger max_devices",
        )


def _refused(
    mdm: Mdm, records: Sequence[MdmDevice], unknown: Sequence[str], policy: RepairPolicy
) -> list[tuple[str, Refusal]]:
    """Return every reason not to, by serial number, as far as the MDM alone can tell."""
    profile, now = whole_profile(mdm), datetime.now(UTC)
    denied = {visible(name).casefold() for name in policy.deny}
    found = [(one, Refusal("unknown-device", "the MDM knows no device with this serial number")) for one in unknown]
    for record in records:
        # The device is not looked at, so nothing is held against it.
        unseen = Observation(Platform.MACOS, now, identity=record.identity, complete=True)
        reasons = refusals("reinstall_scep_profile", Identity(), unseen, record, profile, now, policy)
        found += [(record.identity.serial_number, one) for one in reasons if one.code != "identity-mismatch"]
        if denied & {visible(name).casefold() for name in (record.name, record.identity.serial_number)}:
            found.append((record.identity.serial_number, Refusal("denied", "the settings deny this device")))
    return found


def _refusal(found: Sequence[tuple[str, Refusal]]) -> dict[str, Any]:
    serial, first = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return {
        "failed": True,
        "changed": False,
        "code": first.code,
        "msg": f"nothing was changed: {visible(serial)}: {first.text}{more}",
        "refusals": [{"serial_number": visible(serial), **one.as_document()} for serial, one in found],
    }


def _move(mdm: Mdm, moved: Sequence[MdmDevice], joins: bool, who: str) -> dict[str, Any]:
    """Ask for the change, write a removal down before and after, and return what the MDM says then."""
    ids = [one.identity.mdm_id for one in moved]
    serials = [one.identity.serial_number for one in moved]
    folder = None
    if joins:
        # First on disk who asked for what, then the call.
        folder = RunFolder(fresh_run_folder("exclusion"))
        said = {"requested_by": who, "at": rfc3339(datetime.now(UTC)), "serial_numbers": serials}
        (folder.path / "request.json").write_text(json.dumps(said) + "\n", "ascii")
        number = folder.begin_effect(EXCLUDE, ids, folder.path.name)
        try:
            mdm.exclude(ids)
        except ScepfixError as error:
            folder.end_effect(number, f"{error.code}: {error.message}")
            raise
        folder.end_effect(number)
    else:
        # Putting back is always safe, and is not held up by a disk that is full.
        mdm.put_back(ids)
    return {"journal": str(folder.path) if folder else "", **_afterwards(mdm, ids, serials, joins)}


def _afterwards(mdm: Mdm, ids: Sequence[str], serials: Sequence[str], joins: bool) -> dict[str, Any]:
    """Ask the devices to check in, and the MDM again. The change is made: what fails here is a warning."""
    warnings = []
    found: Mapping[str, MdmDevice] = {}
    try:
        mdm.nudge(ids)
    except ScepfixError as error:
        warnings.append(f"the devices were not asked to check in now, they come by themselves: {error.message}")
    try:
        found = mdm.devices([one for one in serials if one])
    except ScepfixError as error:
        warnings.append(f"the change was made, and what the MDM says now could not be read: {error.message}")
    late = [one for one in serials if one in found and found[one].excluded is not joins]
    if late:
        word = "in" if joins else "out of"
        warnings.append(f"the MDM does not show these {word} the exclusion group yet: {', '.join(late[:5])}")
    said = {"devices": [one.as_document() for one in found.values()]}
    return {**said, "warnings": warnings} if warnings else said


def _diff(members: Sequence[MdmDevice], moved: Sequence[MdmDevice], joins: bool) -> dict[str, str]:
    before = {one.identity.mdm_id: one for one in members}
    changed = {one.identity.mdm_id: one for one in moved}
    after = {**before, **changed} if joins else {key: one for key, one in before.items() if key not in changed}
    return {
        "before_header": "exclusion group before",
        "after_header": "exclusion group after",
        "before": _lines(before.values()),
        "after": _lines(after.values()),
    }


def _lines(members: Any) -> str:
    return "".join(f"{line}\n" for line in sorted(_line(one) for one in members))


def _line(one: MdmDevice) -> str:
    return visible(f"{one.identity.serial_number or one.identity.mdm_id} {one.name}".strip())
