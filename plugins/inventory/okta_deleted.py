# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory of devices whose record in Okta was deleted."""

from __future__ import annotations

# ruff: noqa: E402 - a plugin's documentation comes before its imports
DOCUMENTATION = r"""
name: okta_deleted
short_description: Devices whose record in Okta was deleted in a time
version_added: 0.1.0
author: The scepfix developers
description:
  - Makes a host of each device that C(scepfix okta deleted) selects, from the System Log and the daily
    C(scepfix okta snapshot).
  - A device that came back as a new record, and a deletion that cannot be joined with a serial number, is told in a
    warning and is no host. That nothing is left is an error; nothing ever means all.
  - The name of the file must end in C(.scepfix.yml) or C(.scepfix.yaml).
  - Nothing is changed, and no device is contacted. C(scepfix plan -i FILE) reads such a file like any inventory.
  - Okta knows no addresses; set C(ansible_host) with O(compose), or in a second file of an inventory folder.
extends_documentation_fragment:
  - constructed
  - inventory_cache
  - scepfix.device_access.device_inventory
options:
  plugin:
    description: Says that this file is for this plugin.
    required: true
    choices: [scepfix.device_access.okta_deleted]
  since:
    description: From then on, RFC 3339 with a zone, in quotes. Okta keeps its log for 90 days.
    type: str
    required: true
  until:
    description: Until then, RFC 3339 with a zone, in quotes; now, when not given.
    type: str
  export:
    description:
      - An export of the System Log (JSON) to be read instead of asking Okta for it, for an earlier time.
      - A relative path begins at the folder of the inventory file.
    type: str
"""

EXAMPLES = r"""
# deleted.scepfix.yml: the incident of the 23rd
plugin: scepfix.device_access.okta_deleted
config: /etc/scepfix/config.yml
since: "2026-11-23T08:00:00Z"
until: "2026-11-23T18:00:00Z"
compose:
  ansible_host: scepfix_serial_number ~ '.corp.example'
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scepfix import wiring
from scepfix.domain.errors import RefusedError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339

from ..plugin_utils.asked_systems import inert
from ..plugin_utils.device_inventory import DeviceInventory, beside, plain


class InventoryModule(DeviceInventory):
    """A record is service.okta_snapshot.Deleted as JSON."""

    NAME = "scepfix.device_access.okta_deleted"

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Ask Okta. Raise ScepfixError, also where nothing is left to select."""
        since, until, export = self._moment("since"), self._moment("until"), self.get_option("export")
        if since is None:
            raise UsageError("time-range", "since is missing", where="since", hint="give a time")
        found = wiring.okta_deleted(
            self.config(folder), since, until, beside(folder, export) if export else None, self.display.v
        )
        for reason, left in (
            ("came back as a new record", found.set_aside),
            ("cannot be selected", found.unknown),
        ):
            if left:
                names = ", ".join(one.name or one.deletion.device_id for one in left[:10])
                more = f" and {len(left) - 10} more" if len(left) > 10 else ""
                self.display.warning(f"left out, because they {reason}: {visible(names)}{more}")
        devices = [inert(one.as_document()) for one in found.devices]
        if not devices:
            raise RefusedError(
                "empty-selection", "no deleted device is left to select", hint="scepfix okta deleted says why"
            )
        return devices

    def _moment(self, option: str) -> Any:
        said = self.get_option(option)
        found = parse_rfc3339(said)
        if said is not None and found is None:
            raise UsageError(
                "time-range",
                f"{visible(str(said))!r} is no time with a zone",
                where=option,
                hint='for example "2026-11-23T08:00:00Z", in quotes',
            )
        return found

    def serial_number(self, record: Mapping[str, Any]) -> str:
        return str(record["serial_number"])

    def name(self, record: Mapping[str, Any]) -> str:
        return str(record["name"])

    def key(self, record: Mapping[str, Any]) -> str:
        return str(record["device_id"])

    def variables(self, record: Mapping[str, Any]) -> dict[str, Any]:
        people = record["people"]
        return {
            "scepfix_serial_number": plain(record["serial_number"]),
            "scepfix_device_name": record["name"],
            # Of several nobody knows whose it is.
            **({"scepfix_person": plain(people[0])} if len(people) == 1 else {}),
            "scepfix_okta": {
                key: value for key, value in record.items() if key not in ("serial_number", "name", "people")
            },
            "scepfix_people": people,
        }

    def groups(self, record: Mapping[str, Any]) -> Mapping[str, bool]:
        return {"scepfix_deleted_in_okta": True}
