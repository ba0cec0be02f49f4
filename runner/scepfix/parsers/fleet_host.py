"""Reads what Fleet says of a host, its profile, its MDM commands and its certificates.

Shapes: docs/REST API/rest-api.md and server/fleet/{hosts,mdm,host_certificates}.go of fleetdm/fleet; there is no
published contract. All text is made inert.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ListedCertificate, MdmDevice
from scepfix.domain.moment import parse_rfc3339
from scepfix.domain.scep_profile import ScepProfile, Scope
from scepfix.parsers.mobileconfig import parse_mobileconfig
from scepfix.parsers.plist_bytes import read_plist

INSTALL, REMOVE = "InstallProfile", "RemoveProfile"

_SET_APART = {
    **dict.fromkeys(("locked", "locking", "lock"), "locked"),
    **dict.fromkeys(("wiped", "wiping", "wipe"), "wiped"),
}
#: The row of an operation that the device has acknowledged; for an install, "verified" is also seen by osquery.
_ACKNOWLEDGED = frozenset({"verifying", "verified"})
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Labels:
    """Names of labels of a profile. ``broken``: one of them was deleted."""

    exclude_any: frozenset[str] = frozenset()
    include_all: frozenset[str] = frozenset()
    include_any: frozenset[str] = frozenset()
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One MDM command. ``name`` is the profile's, None where this Fleet does not say it."""

    uuid: str
    kind: str
    acknowledged: bool
    at: datetime
    name: str | None


def read_labels(profile: Mapping[str, Any]) -> Labels:
    """Given a configuration profile, return its labels. Raise KeyError or TypeError."""
    found = {
        key: [dict(one) for one in profile.get(key) or ()]
        for key in ("labels_exclude_any", "labels_include_all", "labels_include_any")
    }
    names = {key: frozenset(str(one["name"]) for one in kept) for key, kept in found.items()}
    broken = any(one.get("broken") is True for kept in found.values() for one in kept)
    return Labels(names["labels_exclude_any"], names["labels_include_all"], names["labels_include_any"], broken)


def read_commands(found: Iterable[Mapping[str, Any]]) -> tuple[Command, ...]:
    """Given MDM commands, return those about profiles, newest first. Raise KeyError or TypeError."""
    read = []
    for one in found:
        at = parse_rfc3339(one.get("updated_at"))
        if one.get("request_type") in (INSTALL, REMOVE) and at is not None:
            name = one.get("name")
            read.append(
                Command(
                    uuid=str(one["command_uuid"]),
                    kind=str(one["request_type"]),
                    acknowledged=one.get("status") == "Acknowledged",
                    at=at,
                    name=str(name) if name else None,
                )
            )
    return tuple(sorted(read, key=lambda one: one.at, reverse=True))


def identifier_of_command(payload: object) -> str:
    """Given the payload of a command's result (base64 of a plist), return the PayloadIdentifier that it is about.

    "" where it cannot be read. An InstallProfile holds the whole profile, secrets and all: nothing else is kept of it.
    """
    try:
        command = read_plist(base64.b64decode(str(payload)), "command")
        found = command["Command"]  # type: ignore[index]
        if found["RequestType"] == REMOVE:
            return str(found["Identifier"])
        return parse_mobileconfig(bytes(found["Payload"]), "profile").profiles[0].identifier
    except (InputError, KeyError, TypeError, IndexError, ValueError, binascii.Error):
        return ""


def read_profile(data: bytes) -> tuple[tuple[str, ...], str]:
    """Given a ``.mobileconfig``, return its payload types and its scope. Raise InputError."""
    profile: ScepProfile = parse_mobileconfig(data, "profile").profiles[0]
    types = [*("com.apple.security.scep" for _ in profile.scep_payloads), *profile.other_types]
    types += ["com.apple.security.root" for _ in profile.trust_certificates]
    types += ["com.apple.security.identitypreference" for _ in profile.identity_preferences]
    scope = "user" if profile.scope is Scope.USER else "system"
    return tuple(dict.fromkeys(map(visible, types))), scope


def identity_of(host: Mapping[str, Any]) -> Identity:
    """Given a host, return its identity. Raise KeyError, TypeError or ValueError."""
    serial, uuid = visible(str(host["hardware_serial"])).upper(), visible(str(host["uuid"])).upper()
    return Identity(serial, uuid, str(int(host["id"])))


def name_of(host: Mapping[str, Any]) -> str:
    """Given a host, return the name that is shown."""
    return visible(str(host.get("display_name") or host.get("hostname") or ""))


def record(
    host: Mapping[str, Any],
    profile_uuid: str,
    team_id: int | None,
    labels: Labels,
    label_name: str,
    acknowledged: Sequence[Command],
    *,
    excluded: bool,
) -> MdmDevice:
    """Given a host with its MDM part, the profile's id, team and labels, the name of the exclusion label, the
    acknowledged commands about this profile, and whether the host has that label, return the record. Raise KeyError or
    TypeError.

    Fleet deletes the row of a removal once the device has acknowledged it, so no row means that it is not there.
    """
    mdm = host.get("mdm") or {}
    row = next((one for one in mdm.get("profiles") or () if one.get("profile_uuid") == profile_uuid), None)
    own = frozenset(str(one["name"]) for one in host.get("labels") or ())
    removing = row is not None and row.get("operation_type") == "remove"
    status = row.get("status") if row is not None else None
    installed: bool | None = False
    if row is not None and removing:
        installed = False if status in _ACKNOWLEDGED else None if status == "failed" else True
    elif row is not None:
        installed = True if status in _ACKNOWLEDGED else None
    seen = [parse_rfc3339(host.get(key)) for key in ("seen_time", "last_mdm_checked_in_at")]
    apart = _SET_APART.get(str(mdm.get("device_status"))) or _SET_APART.get(str(mdm.get("pending_action")), "")
    return MdmDevice(
        identity=identity_of(host),
        name=name_of(host),
        managed=str(mdm.get("enrollment_status")).startswith("On") and mdm.get("connected_to_fleet") is not False,
        last_seen_at=max((one for one in seen if one is not None), default=None),
        in_scope=_in_scope(host, team_id, labels, own, label_name),
        excluded=excluded,
        profile_installed=installed,
        removal_pending=removing and status in (None, "pending"),
        removed_at=_newest(acknowledged, REMOVE),
        installed_at=_newest(acknowledged, INSTALL),
        install_status=_install_status(row) if row is not None and not removing else "",
        set_apart=apart,
    )


def read_certificate(found: Mapping[str, Any]) -> ListedCertificate:
    """Given a certificate of a host, return it; Fleet keeps no SHA-1. Raise KeyError or TypeError."""
    serial = str(found["serial"]).replace(":", "").lower().removeprefix("0x")
    return ListedCertificate(
        serial_number=serial.lstrip("0") if _HEX.fullmatch(serial) else "",
        common_name=visible(str(found.get("common_name") or "")),
        not_before=parse_rfc3339(found.get("not_valid_before")),
        not_after=parse_rfc3339(found.get("not_valid_after")),
        # Fleet deletes what the host does not report any more.
        current=True,
    )


def _in_scope(
    host: Mapping[str, Any], team_id: int | None, labels: Labels, own: frozenset[str], label_name: str
) -> bool:
    """Would the profile be for this host if it had not the exclusion label?"""
    return (
        host.get("platform") == "darwin"
        and (host.get("team_id") or None) == (team_id or None)
        and labels.include_all <= own
        and (not labels.include_any or bool(labels.include_any & own))
        and not (labels.exclude_any - {label_name}) & own
    )


def _install_status(row: Mapping[str, Any]) -> str:
    status = row.get("status")
    return "Acknowledged" if status in _ACKNOWLEDGED else "Error" if status == "failed" else "Pending"


def _newest(commands: Sequence[Command], kind: str) -> datetime | None:
    return max((one.at for one in commands if one.kind == kind and one.acknowledged), default=None)
