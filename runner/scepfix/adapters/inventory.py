"""The admin's Ansible inventory: which devices there are, and how each is reached, every value checked.

Ansible itself reads it (``ansible-inventory --list``, which renders no template), so each kind of inventory counts:
files, folders, scripts, plugins. What comes out is text from elsewhere: parsers/connection_values.py checks it.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from scepfix.domain.device import host_of
from scepfix.domain.errors import RefusedError, UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.connection_values import read_connection
from scepfix.service.ports import InventoryDevice

#: Ten thousand hosts take a few seconds; a script that asks an MDM may take longer.
TIMEOUT_SECONDS = 60.0
#: Of Ansible's own variables only those that say where things lie; the rest change what is read, or how it is printed.
_KEPT = frozenset({"ANSIBLE_CONFIG", "ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_INVENTORY_PLUGINS"})
_OURS = {
    "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
    "ANSIBLE_NOCOLOR": "true",
    "LC_ALL": "C.UTF-8",
    "PYTHONUTF8": "1",
}
#: Of Ansible's errors only this quotes nothing of the file, whose lines may hold a secret; and where it stands.
_YAML_CAUSE = re.compile(r"\[WARNING\]: Failed to parse inventory with 'yaml' plugin: (.*)")
_ORIGIN = re.compile(r"^Origin: (/.*:\d+:\d+)$", re.MULTILINE)
_PROBLEMS_SHOWN = 20


class AnsibleInventory:
    """Implements service.ports.Inventory on one inventory file, folder or script; it is read once."""

    def __init__(self, path: str, timeout_seconds: float = TIMEOUT_SECONDS, config: str | None = None) -> None:
        """``config`` is the settings file, for the collection's own inventory plugins."""
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._config = config

    def devices(self, names: Sequence[str], group: str | None = None) -> tuple[InventoryDevice, ...]:
        """Given exact names (or serial numbers that the inventory gives) or a group, return the devices, each once.

        Raise UsageError for a name that is not there, or a value that does not fit; RefusedError for an empty
        selection: nothing ever means *all*.
        """
        wanted = self._of_group(group) if group is not None else list(dict.fromkeys(map(self._named, names)))
        if not wanted:
            raise RefusedError(
                "empty-selection",
                f"the group {visible(group)!r} has no device" if group is not None else "no device was named",
                where=visible(self._path),
                hint="name a device, or a group that has some",
            )
        unknown = [name for name in wanted if name not in self._names]
        if unknown:
            raise self._unknown(unknown)
        found: list[InventoryDevice] = []
        problems: list[tuple[str, str, str]] = []
        for name in wanted:
            reached = read_connection(name, self._variables(name))
            problems += [(name, wrong.key, wrong.message) for wrong in reached.wrong]
            shown = visible(name)
            found.append(
                InventoryDevice(shown, host_of(shown), reached.connection, reached.person, reached.serial_number)
            )
        if problems:
            raise self._refused(problems)
        return tuple(found)

    def _named(self, name: str) -> str:
        """Return the name of the one device with that serial number, unless it is a name itself."""
        if name in self._names:
            return name
        serials = {host: self._variables(host).get("scepfix_serial_number") for host in self._hostvars}
        found = [host for host, one in serials.items() if isinstance(one, str) and one.casefold() == name.casefold()]
        return found[0] if len(found) == 1 else name

    @property
    def names(self) -> frozenset[str]:
        """Return every device's name, as it is shown."""
        return frozenset(visible(name) for name in self._names)

    @cached_property
    def _listed(self) -> dict[str, Any]:
        text = _run(self._path, self._timeout_seconds, self._config)
        try:
            listed = json.loads(text)
        except ValueError as error:
            raise self._unreadable("Ansible printed no JSON for it") from error
        if not isinstance(listed, dict):
            raise self._unreadable("Ansible printed no groups for it")
        return listed

    @cached_property
    def _names(self) -> Mapping[str, str]:
        """Return every device by its exact name, and by its name made inert, which is how it is shown everywhere."""
        exact = dict.fromkeys(
            host
            for group in self._listed.values()
            if isinstance(group, dict)
            for host in group.get("hosts", ())
            if isinstance(host, str)
        )
        exact.update(dict.fromkeys(self._hostvars))
        names: dict[str, str] = {}
        for host in exact:
            if names.setdefault(visible(host), host) != host:
                raise self._unreadable(f"two devices are both shown as {visible(host)!r}")
        return {**names, **{host: host for host in exact}}

    @property
    def _hostvars(self) -> Mapping[str, Any]:
        meta = self._listed.get("_meta")
        found = meta.get("hostvars") if isinstance(meta, dict) else None
        return found if isinstance(found, dict) else {}

    def _variables(self, name: str) -> Mapping[str, object]:
        found = self._hostvars.get(self._names[name])
        return found if isinstance(found, dict) else {}

    def _of_group(self, group: str) -> list[str]:
        if group not in self._listed and group not in _children(self._listed):
            near = difflib.get_close_matches(group, [name for name in self._listed if name != "_meta"], n=1)
            raise RefusedError(
                "empty-selection",
                f"there is no group {visible(group)!r}, or it has no device",
                where=visible(self._path),
                hint=f"did you mean {visible(near[0])}?" if near else "ansible-inventory --graph lists the groups",
            )
        hosts: dict[str, None] = {}
        seen: set[str] = set()
        open_groups = [group]
        while open_groups:
            name = open_groups.pop(0)
            entry = self._listed.get(name)
            if name in seen or name == "_meta" or not isinstance(entry, dict):
                continue
            seen.add(name)
            hosts.update(dict.fromkeys(host for host in entry.get("hosts", ()) if isinstance(host, str)))
            open_groups += [child for child in entry.get("children", ()) if isinstance(child, str)]
        return list(hosts)

    def _unknown(self, names: Sequence[str]) -> UsageError:
        near = difflib.get_close_matches(visible(names[0]), list(self._names), n=1)
        shown = ", ".join(repr(visible(name)) for name in names[:_PROBLEMS_SHOWN])
        what = f"there is no device {shown}" if len(names) == 1 else f"these devices are not there: {shown}"
        hint = f"did you mean {visible(near[0])}?" if near else "names are exact; ansible-inventory --graph lists them"
        return UsageError("unknown-device", what, where=visible(self._path), hint=hint)

    def _refused(self, problems: Sequence[tuple[str, str, str]]) -> UsageError:
        lines = [f"{visible(name)}: {key}: {message}" for name, key, message in problems]
        more = [f"and {len(lines) - _PROBLEMS_SHOWN} more"] if len(lines) > _PROBLEMS_SHOWN else []
        return UsageError(
            "inventory",
            "\n".join([*lines[:_PROBLEMS_SHOWN], *more]),
            where=visible(self._path),
            hint="the values that scepfix takes are in docs/inventory.md",
        )

    def _unreadable(self, message: str) -> UsageError:
        return UsageError(
            "inventory",
            message,
            where=visible(self._path),
            hint="this shows why: ansible-inventory -i FILE --list",
        )


def _children(listed: Mapping[str, Any]) -> set[str]:
    """Groups without a device are named by their parents alone."""
    groups = [group for group in listed.values() if isinstance(group, dict)]
    return {child for group in groups for child in group.get("children", ()) if isinstance(child, str)}


def _run(path: str, timeout_seconds: float, config: str | None = None) -> str:
    """Return what ``ansible-inventory --list`` prints. Raise UsageError where it cannot read the inventory in time."""
    file = Path(path).absolute()
    if not file.exists():
        # Ansible would take a text with a comma for a list of hosts.
        raise UsageError("inventory", "no such file", where=visible(path), hint="check -i")
    folder = file if file.is_dir() else file.parent
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(("ANSIBLE_", "PYTHON"))
    }
    try:
        # -P: the inventory's folder is the working folder, and no place to import from.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-m", "ansible", "inventory", "-i", str(file), "--list"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**kept, **_OURS, **({"SCEPFIX_CONFIG": config} if config else {})},
            start_new_session=True,
        )
    except OSError as error:
        reason = visible(error.strerror or str(error))
        raise UsageError("inventory", f"cannot be read: {reason}", where=visible(path), hint="check -i") from error
    try:
        out, err = process.communicate(timeout=timeout_seconds)
    except BaseException as error:
        # A script that it started is stopped too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise UsageError(
            "inventory",
            f"Ansible has not read it within {timeout_seconds:g} seconds",
            where=visible(path),
            hint="does a script or a plugin in it wait for something?",
        ) from error
    if process.returncode != 0:
        text = err.decode("utf-8", "replace")
        cause, origin = _YAML_CAUSE.search(text), _ORIGIN.search(text)
        raise UsageError(
            "inventory",
            "Ansible cannot read it" + (f": {visible(cause[1])[:300]}" if cause else ""),
            where=visible(origin[1] if origin else path),
            hint="this shows why: ansible-inventory -i FILE --list",
        )
    return out.decode("utf-8", "replace")
