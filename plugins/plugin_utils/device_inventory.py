# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory plugins share: the settings file, the cache, safe host names, keys that scepfix reads too."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.template import trust_as_template

from scepfix.domain.device import host_of
from scepfix.domain.errors import ScepfixError

_FILES = (".scepfix.yml", ".scepfix.yaml")
#: A host's name: no dot (an address, a domain), no underscore (our groups have one), a letter at least.
_PLAIN = re.compile(r"(?=[0-9-]*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
#: Names that mean this machine, or a group that is always there.
_TAKEN = frozenset({"localhost", "all", "ungrouped"})
#: Keys and logins: no template has so few kinds of characters.
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9.@_+-]{0,200}", re.ASCII)


class DeviceInventory(BaseInventoryPlugin, Constructable, Cacheable):
    """Makes a host of each record. A record is a dictionary of JSON values, inert; it is what the cache holds."""

    def records(self, folder: Path) -> list[dict[str, Any]]:
        """Given the folder at which relative paths begin, ask for the records. Raise ScepfixError."""
        raise NotImplementedError

    def serial_number(self, record: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def name(self, record: Mapping[str, Any]) -> str:
        """Return the device's name, which its owner chose."""
        raise NotImplementedError

    def key(self, record: Mapping[str, Any]) -> str:
        """Return an id that no other record has."""
        raise NotImplementedError

    def variables(self, record: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def groups(self, record: Mapping[str, Any]) -> Mapping[str, bool]:
        """Return each group of this plugin, and whether the device is in it."""
        raise NotImplementedError

    def verify_file(self, path: str) -> bool:
        """Given a path, say whether it is a file for this plugin."""
        return bool(super().verify_file(path)) and path.endswith(_FILES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory. Raise AnsibleParserError in one line for what is wrong."""
        super().parse(inventory, loader, path, cache)
        self._refuse_unknown(self._read_config_data(path))
        strict = self.get_option("strict")
        records = self._records(path, cache)
        named = host_names([(self.name(one), self.serial_number(one), self.key(one)) for one in records], self._how)
        for host, record in zip(named, records, strict=True):
            self.inventory.add_host(host)
            variables = self.variables(record)
            if self.get_option("channel"):
                variables["scepfix_channel"] = self.get_option("channel")
            for name, value in variables.items():
                self.inventory.set_variable(host, name, value)
            for group, belongs in self.groups(record).items():
                self.inventory.add_group(group)
                if belongs:
                    self.inventory.add_child(group, host)
            self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)

    @property
    def _how(self) -> str:
        return str(self.get_option("host_names"))

    def config(self, folder: Path) -> str | None:
        """Return the settings file, None where the inventory names none."""
        given = self.get_option("config")
        return beside(folder, given) if given else None

    def _refuse_unknown(self, given: Mapping[str, Any]) -> None:
        """Raise AnsibleParserError for options that there are not; Ansible would pass them over in silence."""
        told = []
        for one in sorted(set(map(str, given)) - set(self._options)):
            near = difflib.get_close_matches(one, list(self._options), n=1)
            told.append(one + (f" (did you mean {near[0]}?)" if near else ""))
        if told:
            raise AnsibleParserError(f"there is no option {', '.join(told)}")

    def _records(self, path: str, cache: bool) -> list[dict[str, Any]]:
        """Return the records, from the cache where it may be used and has them."""
        key = self.get_cache_key(path)
        use = self.get_option("cache")
        if use and cache and key in self._cache:
            return list(self._cache[key])
        try:
            found = self.records(Path(path).absolute().parent)
        except ScepfixError as error:
            # Ansible would say the same once more for each cause.
            raise AnsibleParserError(f"{error.code}: {error}") from None
        if use:
            self._cache[key] = found
        return found


def beside(folder: Path, name: str) -> str:
    """Given a folder and a path as somebody wrote it, return the path from there."""
    return str(folder / Path(name).expanduser())


def plain(value: str) -> Any:
    """Return a key or a login. A plain one needs no mark that it is no template: with it a listing has an object for a
    text, which is no serial number to whoever reads that."""
    return trust_as_template(value) if _PLAIN_VALUE.fullmatch(value) else value


def host_names(devices: Sequence[tuple[str, str, str]], how: str) -> list[str]:
    """Given name, serial number and id of each device, return host names; what is not plain, or not its own alone, is
    opaque. ``how`` is ``serial_number``, ``name`` or ``opaque``."""
    wanted = [name if how == "name" else serial_number for name, serial_number, _ in devices]
    shared = Counter(one.casefold() for one in wanted)
    return [
        one
        if how != "opaque" and _PLAIN.fullmatch(one) and shared[one.casefold()] == 1 and one.casefold() not in _TAKEN
        else host_of(key)
        for one, (_, _, key) in zip(wanted, devices, strict=True)
    ]
