"""Reads what Microsoft Graph says of Intune: devices, the SCEP profile, its assignments and its certificates.

Field names: microsoftgraph/msgraph-metadata v1.0 and the models of msgraph-beta-sdk 1.66.0. All text is made inert.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scepfix.domain.device import Identity
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ListedCertificate, MdmDevice
from scepfix.domain.moment import parse_rfc3339

SCEP_PROFILES = frozenset(
    {"macOSScepCertificateProfile", "windows81SCEPCertificateProfile", "windows10XSCEPCertificateProfile"}
)
#: Windows 10X has no certificate states (beta SDK).
WITH_CERTIFICATE_STATES = frozenset({"macOSScepCertificateProfile", "windows81SCEPCertificateProfile"})

_TYPE = "@odata.type"
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"
#: certificateIssuanceStates: the certificate is on the device, or off it. The others are steps on the way, or failed.
_THERE = frozenset({"issued", "installed", "enrollmentSucceeded", "enrollmentNotNeeded", "renewVerified"})
_OFF = frozenset({"removedFromCollection", "deleted"})
_FAILED = frozenset(
    {
        *("challengeIssueFailed", "requestCreationFailed", "requestSubmitFailed", "challengeValidationFailed"),
        *("issueFailed", "responseProcessingFailed", "installFailed"),
    }
)
#: complianceStatus of a configuration on a device.
_APPLIED = frozenset({"compliant", "remediated"})
#: managementState of a device that an administrator takes out of use.
_SET_APART = {
    **dict.fromkeys(("wipePending", "wipeIssued", "wipeFailed"), "wiped"),
    **dict.fromkeys(("retirePending", "retireIssued", "retireFailed", "deletePending"), "retired"),
}
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Managed:
    """A managed device. ``azure_id`` is its Entra device id (not the object's id), "" where it has none."""

    id: str
    name: str
    serial_number: str
    hardware_uuid: str
    azure_id: str
    last_sync_at: datetime | None
    state: str


@dataclass(frozen=True, slots=True)
class CertificateState:
    """What Intune knows of one certificate. ``device_name`` is as Graph says it: only good for comparing."""

    id: str
    device_name: str
    state: str
    changed_at: datetime | None
    issued_at: datetime | None
    listed: ListedCertificate

    @property
    def there(self) -> bool:
        return self.state in _THERE

    @property
    def off(self) -> bool:
        return self.state in _OFF


@dataclass(frozen=True, slots=True)
class Targets:
    """To whom a profile is assigned: groups by id, lower case."""

    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    all_devices: bool = False
    all_users: bool = False


def read_managed(found: Mapping[str, Any]) -> Managed:
    """Given a managedDevice, return it. Raise KeyError or TypeError."""
    azure = _text(found, "azureADDeviceId").lower()
    return Managed(
        id=_required(found, "id"),
        name=_text(found, "deviceName"),
        serial_number=_text(found, "serialNumber").upper(),
        hardware_uuid=visible(_text(found, "udid")).upper(),
        azure_id="" if azure == _NO_DEVICE else azure,
        last_sync_at=moment(found.get("lastSyncDateTime")),
        state=_text(found, "managementState"),
    )


def identity_of(device: Managed) -> Identity:
    """Given a managed device, return its identity."""
    return Identity(visible(device.serial_number), device.hardware_uuid, device.id)


def kind_of(found: Mapping[str, Any]) -> str:
    """Given a deviceConfiguration, return its type without the name space."""
    return _text(found, _TYPE).rpartition(".")[2]


def scope_of(found: Mapping[str, Any]) -> str:
    """Given a SCEP profile, return whose certificate it gets: ``system`` or ``user``."""
    users = found.get("certificateStore") == "user" or found.get("deploymentChannel") == "userChannel"
    return "user" if users else "system"


def read_targets(assignments: Iterable[Mapping[str, Any]]) -> Targets:
    """Given the assignments of a configuration, return whom they target. Raise KeyError or TypeError."""
    include, exclude, kinds = set(), set(), set()
    for one in assignments:
        target = one["target"]
        kind = _text(target, _TYPE).rpartition(".")[2]
        kinds.add(kind)
        group = _text(target, "groupId").lower()
        if kind == "exclusionGroupAssignmentTarget" and group:
            exclude.add(group)
        elif kind == "groupAssignmentTarget" and group:
            include.add(group)
    return Targets(
        frozenset(include),
        frozenset(exclude),
        "allDevicesAssignmentTarget" in kinds,
        "allLicensedUsersAssignmentTarget" in kinds,
    )


def targets_of(configuration: Mapping[str, Any]) -> Targets:
    """Given a deviceConfiguration with its assignments, return whom they target. Raise KeyError or TypeError."""
    return read_targets(configuration.get("assignments") or ())


def read_certificate_state(found: Mapping[str, Any]) -> CertificateState:
    """Given a managedDeviceCertificateState, return it. Raise KeyError or TypeError."""
    state = _text(found, "certificateIssuanceState")
    issued_at = moment(found.get("certificateIssuanceDateTime"))
    changed_at = moment(found.get("certificateLastIssuanceStateChangedDateTime"))
    return CertificateState(
        id=_required(found, "id").lower(),
        device_name=_text(found, "deviceDisplayName"),
        state=state,
        changed_at=changed_at or moment(found.get("lastCertificateStateChangeDateTime")),
        issued_at=issued_at,
        listed=ListedCertificate(
            serial_number=_hex(_text(found, "certificateSerialNumber")).lstrip("0"),
            sha1=_hex(_text(found, "certificateThumbprint")),
            not_before=issued_at,
            not_after=moment(found.get("certificateExpirationDateTime")),
            current=True if state in _THERE else False if state in _OFF else None,
        ),
    )


def of_devices(
    states: Sequence[CertificateState], devices: Sequence[Managed], single_names: Collection[str]
) -> Mapping[str, tuple[CertificateState, ...]]:
    """Given certificate states, devices and the names that one device alone has in the tenant, return the states by
    device id.

    Graph names no device in a state: its id counts where it is in the state's id, else a name that is nobody else's.
    """
    found: dict[str, list[CertificateState]] = {one.id: [] for one in devices}
    by_name = {one.name: one.id for one in devices if one.name in single_names}
    for state in states:
        owner = next((one.id for one in devices if one.id.lower() in state.id), "") or by_name.get(state.device_name)
        if owner:
            found[owner].append(state)
    return {owner: tuple(kept) for owner, kept in found.items()}


def without_owner(states: Sequence[CertificateState], devices: Sequence[Managed]) -> frozenset[str]:
    """Return the names of those devices that only a name could connect with a certificate state."""
    ids = [one.id.lower() for one in devices]
    named = {state.device_name for state in states if not any(one in state.id for one in ids)}
    return frozenset(one.name for one in devices if one.name in named)


def record(
    device: Managed,
    profile_id: str,
    configurations: Sequence[Mapping[str, Any]],
    certificates: Sequence[CertificateState],
    *,
    excluded: bool,
    in_scope: bool,
) -> MdmDevice:
    """Given a device, its deviceConfigurationStates and the certificate states of the profile on it, return its record.

    Intune acknowledges nothing. ``removed_at``: when it says that the newest certificate went off the device; or the
    last sync, where the device is excluded and its report no longer has the profile. ``installed_at``: when it says
    that a certificate came; or, where it shows no certificate states, the last sync that has the profile.
    """
    status = next((_text(one, "state") for one in configurations if _is(one, profile_id)), "")
    newest = max((one for one in certificates if one.changed_at or one.issued_at), key=_when, default=None)
    gone_from_report = excluded and (status == "notAssigned" or (not status and not _is_there(newest)))
    removed_at = max((one.changed_at for one in certificates if one.off and one.changed_at), default=None)
    if gone_from_report and not (newest and newest.off):
        removed_at = device.last_sync_at
    came = [one for one in certificates if one.there and (one.changed_at or one.issued_at)]
    installed_at = max((_when(one) for one in came), default=None)
    if installed_at is None and not certificates and status in _APPLIED:
        installed_at = device.last_sync_at
    if excluded:
        # Only a removal that was reported counts: not in the report means nothing before the next sync.
        installed = None if gone_from_report or (newest and newest.off) else True if _is_there(newest) else None
    else:
        installed = _installed(status, newest)
    return MdmDevice(
        identity=identity_of(device),
        name=visible(device.name),
        managed=device.state in ("", "managed", "unhealthy", "wipeCanceled", "retireCanceled"),
        last_seen_at=device.last_sync_at,
        in_scope=in_scope,
        excluded=excluded,
        profile_installed=installed,
        removal_pending=excluded and not (newest and newest.off) and not gone_from_report,
        removed_at=removed_at,
        installed_at=installed_at,
        install_status=_install_status(status, newest),
        set_apart=_SET_APART.get(device.state, ""),
    )


def last_issued(states: Iterable[CertificateState]) -> datetime | None:
    """Return when a certificate last came through the profile, None where none is known."""
    return max((one.issued_at for one in states if one.issued_at and (one.there or one.off)), default=None)


def why_not_back(
    targets: Targets,
    group_id: str,
    group: Mapping[str, Any],
    user_groups: Collection[str],
    root: tuple[str, Targets] | None,
) -> str:
    """Return why a device that leaves the exclusion group would not get the profile by itself, "" where it would.

    ``group`` is the exclusion group; ``user_groups`` are included groups with people in them; ``root`` is the trusted
    certificate profile that the SCEP profile names, and its targets, None where that could not be read.
    """
    if "DynamicMembership" in (group.get("groupTypes") or ()):
        return "the exclusion group is dynamic: nobody can put a device into it or take one out"
    if group_id not in targets.exclude:
        return "the profile does not exclude the exclusion group"
    if not targets.include and not targets.all_devices:
        return "the profile is assigned to people, not to devices" if targets.all_users else "it is assigned to nobody"
    if targets.all_users or user_groups:
        return "it is assigned to people: a device group cannot be excluded from them"
    if root is not None and not root[1].all_devices and not targets.include <= root[1].include:
        return f"the trusted certificate profile {visible(root[0])} is not assigned to the same groups"
    if root is not None and targets.all_devices and not root[1].all_devices:
        return f"the trusted certificate profile {visible(root[0])} is not assigned to all devices"
    return ""


def moment(value: object) -> datetime | None:
    """Given a DateTimeOffset, return it; None for none and for Graph's 0001-01-01 (never)."""
    found = parse_rfc3339(value)
    return None if found is None or found.year < 2000 else found


def _installed(status: str, newest: CertificateState | None) -> bool | None:
    if newest is not None and newest.off:
        return False
    if _is_there(newest) or status in _APPLIED:
        return True
    return None if status in ("unknown", "error", "conflict", "nonCompliant") else False


def _install_status(status: str, newest: CertificateState | None) -> str:
    """Return how an install stands, in Apple's words where Intune's mean the same."""
    if newest is not None and newest.state in _FAILED:
        return "Error"
    if _is_there(newest) or status in _APPLIED:
        return "Acknowledged"
    if status in ("error", "conflict"):
        return "Error"
    return "Pending" if status == "nonCompliant" or (newest is not None and not newest.off) else ""


def _is_there(one: CertificateState | None) -> bool:
    return one is not None and one.there


def _is(configuration: Mapping[str, Any], profile_id: str) -> bool:
    """A deviceConfigurationState has the configuration's id; for a profile of people theirs may follow."""
    return _text(configuration, "id").lower().startswith(profile_id)


def _when(one: CertificateState) -> datetime:
    found = [at for at in (one.changed_at, one.issued_at) if at is not None]
    return max(found)


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _required(found: Mapping[str, Any], key: str) -> str:
    value = _text(found, key)
    if not value:
        raise KeyError(key)
    return value


def _hex(value: str) -> str:
    """Return a number or hash as lower-case hex, "" where it is none; a thumbprint may have blanks or colons."""
    plain = re.sub(r"[\s:]", "", value).lower().removeprefix("0x")
    return plain if _HEX.fullmatch(plain) else ""
