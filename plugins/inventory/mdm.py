# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory of devices as the MDM knows them."""

from __future__ import annotations

# ruff: noqa: E402 - a plugin's documentation comes before its imports
DOCUMENTATION = r"""
name: mdm
short_description: Devices as the MDM knows them
version_added: 0.1.0
author: The scepfix developers
description:
  - Makes a host of each named device that the MDM of the settings knows, with its keys and what the MDM says of it.
  - A device that the MDM does not know is told in a warning and is no host; that none is found is an error.
  - The name of the file must end in C(.scepfix.yml) or C(.scepfix.yaml).
  - Nothing is changed, and no device is contacted. C(scepfix plan -i FILE) reads such a file like any inventory.
  - An MDM knows no addresses; set C(ansible_host) with O(compose), or in a second file of an inventory folder.
extends_documentation_fragment:
  - constructed
  - inventory_cache
  - scepfix.device_access.device_inventory
options:
  plugin:
    description: Says that this file is for this plugin.
    required: true
    choices: [scepfix.device_access.mdm]
  serial_numbers:
    description: Serial numbers of the devices.
    type: list
    elements: str
    default: []
  serial_numbers_file:
    description:
      - A file with a serial number on each line; what follows a C(#) is passed over.
      - A relative path begins at the folder of the inventory file.
    type: str
  members:
    description: Take the devices that are in scepfix's exclusion group now; then an empty inventory is no error.
    type: bool
    default: false
"""

EXAMPLES = r"""
# macs.scepfix.yml: devices by a list, called by their serial numbers
plugin: scepfix.device_access.mdm
config: /etc/scepfix/config.yml
serial_numbers_file: macs.txt
compose:
  ansible_user: "'ansible'"
  ansible_become: true
  # Where the devices are in the DNS by their serial numbers.
  ansible_host: scepfix_serial_number ~ '.corp.example'

---
# left_out.scepfix.yml: who is in the exclusion group now
plugin: scepfix.device_access.mdm
members: true
host_names: opaque
keyed_groups:
  - key: scepfix_mdm.set_apart
    prefix: set_apart
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scepfix import wiring
from scepfix.domain.errors import RefusedError, UsageError

from ..plugin_utils.asked_systems import checked_serial_numbers, inert
from ..plugin_utils.device_inventory import DeviceInventory, beside, plain


class InventoryModule(DeviceInventory):
    """A record is an MdmDevice as JSON."""

    NAME = "scepfix.device_access.mdm"

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Ask the MDM. Raise ScepfixError, also where it knows none of the devices."""
        serials = list(self.get_option("serial_numbers"))
        listed = self.get_option("serial_numbers_file")
        if listed:
            serials += _lines(wiring.small_files().read(beside(folder, listed)))
        mdm = wiring.mdm(self.config(folder), read_only=True)
        if self.get_option("members"):
            if serials:
                raise UsageError("selection", "members and serial numbers are two selections", hint="give one of them")
            return [inert(one.as_document()) for one in mdm.members()]
        serials = checked_serial_numbers(serials)
        found = mdm.devices(serials)
        unknown = [one for one in serials if one not in found]
        if not found:
            raise RefusedError("empty-selection", "the MDM knows none of the devices", hint="check the serial numbers")
        if unknown:
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            self.display.warning(f"the MDM knows no device {', '.join(unknown[:10])}{more}")
        return [inert(found[one].as_document()) for one in serials if one in found]

    def serial_number(self, record: Mapping[str, Any]) -> str:
        return str(record["identity"]["serial_number"])

    def name(self, record: Mapping[str, Any]) -> str:
        return str(record["name"])

    def key(self, record: Mapping[str, Any]) -> str:
        return str(record["identity"]["mdm_id"] or record["identity"]["serial_number"])

    def variables(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{f"scepfix_{key}": plain(value) for key, value in record["identity"].items()},
            "scepfix_device_name": record["name"],
            "scepfix_mdm": {key: value for key, value in record.items() if key not in ("identity", "name")},
        }

    def groups(self, record: Mapping[str, Any]) -> Mapping[str, bool]:
        return {
            "scepfix_managed": record["managed"],
            "scepfix_not_managed": not record["managed"],
            "scepfix_in_scope": record["in_scope"],
            "scepfix_out_of_scope": not record["in_scope"],
            "scepfix_excluded": record["excluded"],
            "scepfix_set_apart": bool(record["set_apart"]),
        }


def _lines(data: bytes) -> list[str]:
    """Given a file with a serial number on each line, return them."""
    lines = [line.partition("#")[0].strip() for line in data.decode("utf-8-sig", "replace").splitlines()]
    return [line for line in lines if line]
