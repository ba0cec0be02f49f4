# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Returns what the MDM says of devices, asked in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.domain.errors import UsageError
from scepfix.domain.mdm import MdmDevice
from scepfix.service.ports import Mdm

from ..plugin_utils.asked_systems import AskAction, certificates_document, collected_document, inert


class ActionModule(AskAction):
    """Runs on the controller and only reads."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            serial_numbers={"type": "list", "elements": "str"},
            members={"type": "bool", "default": False},
            certificates={"type": "bool", "default": False},
            collected={"type": "bool", "default": False},
        )
        if asked["members"] and asked["serial_numbers"] is not None:
            raise UsageError("selection", "members and serial_numbers are two questions", hint="ask one of them")
        mdm = wiring.mdm(asked["config"], read_only=True)
        unknown: list[str] = []
        records: list[MdmDevice] = []
        if asked["members"]:
            records = list(mdm.members())
        else:
            serials = self.serial_numbers(asked["serial_numbers"], variables)
            found = mdm.devices(serials)
            records = [found[one] for one in serials if one in found]
            unknown = [one for one in serials if one not in found]
        return {
            "changed": False,
            "devices": _documents(mdm, records, asked),
            "unknown_serial_numbers": unknown,
        }


def _documents(mdm: Mdm, records: list[MdmDevice], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    ids = [one.identity.mdm_id for one in records]
    certificates = mdm.certificates(ids) if asked["certificates"] and ids else {}
    collected = mdm.collected(ids) if asked["collected"] and ids else {}
    return [
        inert(one.as_document())
        | ({"certificates": certificates_document(certificates.get(key))} if asked["certificates"] else {})
        | ({"collected": collected_document(collected.get(key))} if asked["collected"] else {})
        for one, key in zip(records, ids, strict=True)
    ]
