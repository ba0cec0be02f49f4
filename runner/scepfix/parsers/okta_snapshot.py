"""The snapshot of an org's device records: what Okta no longer tells once a record is deleted. JSON, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339, rfc3339

SCHEMA = "scepfix/okta-snapshot/1"
#: Okta's ids are 20 letters and digits; they go into paths and filters.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_UUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.ASCII)
_TEXTS = ("serial_number", "udid", "sid", "display_name", "platform", "status")


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device record as Okta told it. Texts are inert, "" where unknown; serial number and UDID are upper case.

    ``people`` are the logins of its users; ``created``, ``first_seen`` and ``last_seen`` are aware.
    """

    device_id: str
    serial_number: str = ""
    udid: str = ""
    sid: str = ""
    display_name: str = ""
    platform: str = ""
    status: str = ""
    people: tuple[str, ...] = ()
    created: datetime | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None

    @property
    def keys(self) -> frozenset[str]:
        """What names the device itself, whatever record it has."""
        return keys_of(self.serial_number, self.udid, self.sid)

    def as_document(self) -> dict[str, Any]:
        return {
            "device_id": self.device_id,
            **{key: getattr(self, key) for key in _TEXTS},
            "people": list(self.people),
            "created": rfc3339(self.created),
            "first_seen": rfc3339(self.first_seen),
            "last_seen": rfc3339(self.last_seen),
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known of an org's devices, by id; ``org`` is its address, ``taken_at`` the last time it was asked."""

    org: str
    taken_at: datetime | None = None
    devices: Mapping[str, KnownDevice] = field(default_factory=dict)

    def ids_of(self, identity: Identity) -> tuple[str, ...]:
        """Given who a device is, return the ids of the records that it ever had, the newest first."""
        found = [one for one in self.devices.values() if same_device(one, identity)]
        return tuple(one.device_id for one in sorted(found, key=_seen, reverse=True))


def keys_of(*values: str) -> frozenset[str]:
    """Given serial number, UDID and SID in any case, return those that are there, comparable."""
    return frozenset(value.strip().upper() for value in values if value.strip())


def same_device(known: KnownDevice, identity: Identity) -> bool:
    """Is this record of that device? One key is shared, and none that both have differs.

    A hardware UUID is only held against what is one: not every platform's UDID is.
    """
    pairs = [(known.serial_number.upper(), identity.serial_number.upper())]
    uuids = (known.udid.upper(), identity.hardware_uuid.upper())
    if all(_UUID.fullmatch(value) for value in uuids):
        pairs.append(uuids)
    both = [pair for pair in pairs if all(pair)]
    return bool(both) and all(one == other for one, other in both)


def read_device(found: Mapping[str, Any], at: datetime) -> KnownDevice:
    """Given a device of Okta's API (``Device``, or ``DeviceList`` with its users) and when it was read, return it.

    Raise ValueError, KeyError, TypeError or AttributeError where it has another form.
    """
    device_id = str(found["id"])
    if not _ID.fullmatch(device_id):
        raise ValueError("no id of a device")
    profile = found["profile"]
    embedded = found.get("_embedded") or {}
    people = [(one.get("user") or {}).get("profile", {}).get("login") for one in embedded.get("users") or ()]
    return KnownDevice(
        device_id,
        _text(profile, "serialNumber").upper(),
        _text(profile, "udid").upper(),
        _text(profile, "sid"),
        _text(profile, "displayName"),
        _text(profile, "platform"),
        _text(found, "status"),
        tuple(sorted({visible(str(login)) for login in people if login})),
        parse_rfc3339(found.get("created")),
        at,
        at,
    )


def write_snapshot(snapshot: Snapshot) -> str:
    """Given a snapshot, return its JSON document, schema first, with a line end."""
    document = {
        "schema": SCHEMA,
        "org": snapshot.org,
        "taken_at": rfc3339(snapshot.taken_at),
        "devices": [snapshot.devices[key].as_document() for key in sorted(snapshot.devices)],
    }
    return json.dumps(document, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def read_snapshot(data: bytes, name: str) -> Snapshot:
    """Given the bytes of a snapshot file and its name, return the snapshot. Raise InputError (``snapshot``)."""
    try:
        found = json.loads(data.decode("utf-8"))
        if found["schema"] != SCHEMA:
            raise ValueError("another schema")
        devices = [_known(one) for one in found["devices"]]
        org, taken_at = str(found["org"]), parse_rfc3339(found["taken_at"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            "snapshot",
            f"this is no snapshot of an Okta org ({SCHEMA}): it is cut, or somebody changed it",
            where=visible(name),
            hint="put back a copy, or move it away and run scepfix okta snapshot: what was deleted before is then "
            "not known",
        ) from error
    return Snapshot(org, taken_at, {one.device_id: one for one in devices})


def _known(found: Mapping[str, Any]) -> KnownDevice:
    device_id, people = str(found["device_id"]), found["people"]
    if not _ID.fullmatch(device_id) or not isinstance(people, list):
        raise ValueError("no record of a device")
    texts = {key: visible(str(found[key])) for key in _TEXTS}
    return KnownDevice(
        device_id,
        texts["serial_number"],
        texts["udid"],
        texts["sid"],
        texts["display_name"],
        texts["platform"],
        texts["status"],
        tuple(visible(str(one)) for one in people),
        parse_rfc3339(found["created"]),
        parse_rfc3339(found["first_seen"]),
        parse_rfc3339(found["last_seen"]),
    )


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return visible(value.strip()) if isinstance(value, str) else ""


def _seen(known: KnownDevice) -> str:
    return rfc3339(known.created or known.last_seen) or ""
