"""Microsoft Intune, through Microsoft Graph (docs/providers/intune.md)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote

from scepfix.adapters.doctor_lines import lines_of
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.microsoft_graph import BATCH, Graph, Part, utc_now
from scepfix.adapters.service_clock import clock_check
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.parsers import graph_intune as read
from scepfix.parsers.graph_intune import CertificateState, Managed, Targets
from scepfix.parsers.service_settings import ServiceSettings

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
#: What may stand between the quotes of a filter: a quote, for one, may not.
_IN_FILTER = re.compile(r"[A-Za-z0-9 ._/+-]{1,64}", re.ASCII)
#: Clauses of one filter; Entra allows fifteen.
_CLAUSES = 15
#: A member of the exclusion group that Intune does not manage is named by its Entra object.
_DIRECTORY = "directory:"
_FIELDS = "id,deviceName,serialNumber,udid,azureADDeviceId,lastSyncDateTime,managementState"

_DEVICES = "DeviceManagementManagedDevices.Read.All"
_SYNC = "DeviceManagementManagedDevices.PrivilegedOperations.All"
_CONFIGURATION = "DeviceManagementConfiguration.Read.All"
_SCRIPTS = "DeviceManagementScripts.Read.All"
_MEMBERS = "GroupMember.Read.All"
_CHANGE = "GroupMember.ReadWrite.All and Device.ReadWrite.All"
_DIRECTORY_READ = "Device.Read.All"
#: For ``doctor``: of each line one is needed, the first is the least.
_ROLES = (
    ("DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All"),
    ("DeviceManagementManagedDevices.PrivilegedOperations.All",),
    ("DeviceManagementConfiguration.Read.All", "DeviceManagementConfiguration.ReadWrite.All"),
    ("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"),
    ("Device.ReadWrite.All", "Directory.ReadWrite.All"),
)
_ROLES_OF_COLLECTOR = (
    "DeviceManagementScripts.Read.All",
    "DeviceManagementScripts.ReadWrite.All",
    "DeviceManagementConfiguration.Read.All",
    "DeviceManagementConfiguration.ReadWrite.All",
)

#: So many ids are named in a message.
_NAMED = 5

Given = ParamSpec("Given")
Found = TypeVar("Found")


class _Member(NamedTuple):
    """A device of the exclusion group, as Entra has it. ``azure_id`` is "" where it does not say it."""

    object_id: str
    azure_id: str
    name: str


class Intune:
    """Implements service.ports.Mdm."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._now = now
        self._profile_id = _guid(settings, "profile", "the id of the SCEP profile, as in its address in the portal")
        self._group_id = _guid(settings, "exclusion_group", "the object id of the group, as Entra shows it")
        self._script_id = settings.text("collector_script") and _guid(
            settings, "collector_script", "the id of the custom attribute or remediation"
        )
        self._graph = Graph(settings, sleep=sleep, now=now)
        self._configuration = f"/beta/deviceManagement/deviceConfigurations/{self._profile_id}"
        self._group = f"/v1.0/groups/{self._group_id}"
        #: Entra objects by managed id, as they were last seen: the group goes on holding one that Intune forgot.
        self._seen_objects: dict[str, str] = {}

    # --- reading --------------------------------------------------------------------------------------------------

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError.

        ``identifier`` is "": Intune does not say which PayloadIdentifier the profile has on a Mac.
        """
        found = self._profile_document()
        targets = self._targets(found)
        kind = read.kind_of(found)
        back = read.why_not_back(
            targets, self._group_id, self._group_document(), self._user_groups(targets), self._root(kind)
        )
        return ManagedProfile(
            identifier="",
            name=visible(str(found.get("displayName") or "")),
            payload_types=("com.apple.security.scep",),
            scope=read.scope_of(found),
            comes_back=back,
            changed_at=read.moment(found.get("lastModifiedDateTime")),
            last_issued_at=read.last_issued(self._certificate_states(kind)),
        )

    def group_uses(self) -> tuple[str, ...]:
        """Return the names of the other configuration profiles that the exclusion group is in. Raise MdmError."""
        path = "/beta/deviceManagement/deviceConfigurations"
        query = {"$expand": "assignments", "$select": "id,displayName"}
        found = self._graph.pages(path, _CONFIGURATION, query=query) or []
        uses = []
        for one in found:
            targets = self._read(read.targets_of, one)
            if self._group_id in targets.include | targets.exclude and str(one.get("id")).lower() != self._profile_id:
                uses.append(visible(str(one.get("displayName") or one.get("id"))))
        return tuple(uses)

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number. Raise MdmError.

        Of two records with one serial number the one that synced last counts: a device that was enrolled anew leaves
        the old one behind.
        """
        wanted = {one.upper(): one for one in serial_numbers if _IN_FILTER.fullmatch(one)}
        newest: dict[str, Managed] = {}
        for device in self._managed("serialNumber", [*wanted.values()]):
            other = newest.get(device.serial_number)
            if device.serial_number in wanted and (other is None or _synced(device) > _synced(other)):
                newest[device.serial_number] = device
        records = self._records([*newest.values()])
        return {wanted[serial]: records[device.id] for serial, device in newest.items()}

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices in the exclusion group, from the group alone. Raise MdmError where that cannot be read.

        Of a device only identity, name and ``excluded`` count. What Intune knows of it (its id, serial number, hardware
        UUID) is looked up where that can be had. An identity with nothing but an id that begins with ``directory:``
        (the Entra object; ``put_back`` takes it) is a device of which nobody knows now which it is: Intune does not
        manage it, or could not be asked. A repair may want it there.
        """
        members = self._members()
        try:
            managed = self._managed("azureADDeviceId", [one.azure_id for one in members])
        except MdmError:
            # Nobody stays left out because Intune is down or our privilege is gone.
            managed = []
        devices = {one.azure_id: one for one in sorted(managed, key=_synced)}
        found = []
        for member in members:
            device = devices.get(member.azure_id) if member.azure_id else None
            if device is not None:
                self._seen_objects[device.id] = member.object_id
            found.append(_member_record(member, device))
        return tuple(found)

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Given MDM ids, return what Intune says of the certificates of this profile, by id. Raise MdmError."""
        devices = self._by_id(mdm_ids)
        states = self._states_of(devices, self._certificate_states(read.kind_of(self._profile_document())))
        return {
            one.id: CertificateList(one.last_sync_at, tuple(state.listed for state in states[one.id]))
            for one in devices
            if one.last_sync_at is not None and states[one.id]
        }

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Given MDM ids, return the newest output of the collector, by id. Raise MdmError."""
        if not self._script_id:
            return {}
        query = {"$expand": "managedDevice($select=id)"}
        for kind, output in (
            ("deviceCustomAttributeShellScripts", "resultMessage"),
            ("deviceHealthScripts", "preRemediationDetectionScriptOutput"),
        ):
            path = f"/beta/deviceManagement/{kind}/{self._script_id}/deviceRunStates"
            states = self._graph.pages(path, _SCRIPTS, query=query)
            if states is not None:
                return self._read(_lines, states, output, frozenset(mdm_ids))
        raise self._graph.wrong(
            "answer", "it knows no such custom attribute or remediation", "check mdm.collector_script in the settings"
        )

    # --- changing -------------------------------------------------------------------------------------------------

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Add the devices to the exclusion group, twenty in one change. Raise MdmError."""
        objects = self._objects(mdm_ids)
        if len(objects) < len(set(mdm_ids)):
            missing = len(set(mdm_ids)) - len(objects)
            raise self._graph.wrong(
                "answer",
                f"{missing} device(s) have no device object in Entra, so no group can hold them: nobody was excluded",
                "plan again without them",
            )
        self._add(sorted(objects.values()))

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Take the devices out of the exclusion group, twenty in one call. Raise MdmError.

        All that can be put back are, whatever becomes of one; then the first cause is told, and how many are left. One
        that Intune knows no more may still be in the group under its Entra object: that is no success.
        """
        wanted = list(dict.fromkeys(mdm_ids))
        objects, causes = self._where(wanted)
        out = sorted(set(objects.values()))
        parts = [Part("DELETE", f"/groups/{self._group_id}/members/{one}/$ref") for one in out]
        kept: set[str] = set()
        for one, reply in zip(out, self._graph.attempt("v1.0", parts, _CHANGE), strict=True):
            if isinstance(reply, ScepfixError):
                kept.add(one)
                causes.append(reply)
            elif reply.status >= 400 and reply.status != 404:
                kept.add(one)
                causes.append(
                    self._graph.wrong("refused", f"it kept it in the group ({reply.status})", "is the group assigned?")
                )
        lost = [one for one in wanted if one not in objects]
        if lost and not causes:
            causes = self._why_lost(lost)
        left = len([one for one in wanted if objects.get(one) in kept]) + len(lost)
        if causes:
            first = causes[0]
            message = f"{len(wanted) - left} of {len(wanted)} device(s) were put back, {left} not: {first.message}"
            raise self._graph.wrong(first.code.removeprefix("mdm-"), message, first.hint)

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Ask the devices to check in now. Raise MdmError."""
        parts = [Part("POST", f"/deviceManagement/managedDevices/{one}/syncDevice") for one in _guids(mdm_ids)]
        # A device that cannot be asked comes by itself.
        self._graph.batch("v1.0", parts, _SYNC)

    def _add(self, objects: Sequence[str]) -> None:
        for start in range(0, len(objects), BATCH):
            left = objects[start : start + BATCH]
            # One that is in already makes Entra refuse all twenty.
            for _ in range(3):
                links = [f"{self._graph.url}/v1.0/directoryObjects/{one}" for one in left]
                reply = self._graph.change("PATCH", self._group, {"members@odata.bind": links}, _CHANGE, (400, 404))
                if reply.status < 400:
                    break
                there = {one.object_id for one in self._members()}
                before, left = left, [one for one in left if one not in there]
                if not left:
                    break
                if len(left) == len(before):
                    raise self._graph.wrong(
                        "refused", f"it takes no device into the group ({reply.status})", "is the group assigned?"
                    )

    # --- the profile ----------------------------------------------------------------------------------------------

    def _profile_document(self) -> Mapping[str, Any]:
        found = self._graph.get(self._configuration, _CONFIGURATION, query={"$expand": "assignments"})
        if not isinstance(found, dict):
            raise self._graph.wrong("answer", "it knows nothing of that profile", "check mdm.profile in the settings")
        if read.kind_of(found) not in read.SCEP_PROFILES:
            raise self._graph.wrong("answer", "that profile is no SCEP profile", "check mdm.profile in the settings")
        return found

    def _group_document(self) -> Mapping[str, Any]:
        query = {"$select": "id,displayName,groupTypes,securityEnabled"}
        found = self._graph.get(self._group, _MEMBERS, query=query)
        if not isinstance(found, dict):
            raise self._graph.wrong(
                "answer", "it knows nothing of that exclusion_group", "check mdm.exclusion_group in the settings"
            )
        return found

    def _targets(self, profile: Mapping[str, Any]) -> Targets:
        return self._read(read.targets_of, profile)

    def _user_groups(self, targets: Targets) -> frozenset[str]:
        """Return those included groups whose first member is a person: a look at each, not at all its members."""
        groups = sorted(targets.include)
        parts = [Part("GET", f"/groups/{quote(one, safe='')}/members?$top=1&$select=id") for one in groups]
        found = set()
        for group, reply in zip(groups, self._graph.batch("v1.0", parts, _MEMBERS), strict=True):
            if reply.status == 200 and self._read(_first_type, reply.body) == "#microsoft.graph.user":
                found.add(group)
        return frozenset(found)

    def _root(self, kind: str) -> tuple[str, Targets] | None:
        """Return name and targets of the trusted certificate profile, None where Graph shows none."""
        path = f"/deviceManagement/deviceConfigurations/{self._profile_id}/microsoft.graph.{kind}/rootCertificate"
        (reply,) = self._graph.batch("beta", [Part("GET", path)], _CONFIGURATION)
        if reply.status != 200 or not isinstance(reply.body, dict):
            return None
        root = str(reply.body.get("id") or "").lower()
        if not _GUID.fullmatch(root):
            return None
        path = f"/beta/deviceManagement/deviceConfigurations/{root}/assignments"
        found = self._graph.pages(path, _CONFIGURATION)
        if found is None:
            return None
        return str(reply.body.get("displayName") or root), self._read(read.read_targets, found)

    def _certificate_states(self, kind: str) -> tuple[CertificateState, ...]:
        if kind not in read.WITH_CERTIFICATE_STATES:
            return ()
        path = f"{self._configuration}/microsoft.graph.{kind}/managedDeviceCertificateStates"
        found = self._graph.pages(path, _CONFIGURATION) or []
        return tuple(self._read(read.read_certificate_state, one) for one in found)

    # --- devices --------------------------------------------------------------------------------------------------

    def _records(self, devices: Sequence[Managed]) -> Mapping[str, MdmDevice]:
        """Given managed devices, return the record of each by id."""
        if not devices:
            return {}
        profile = self._profile_document()
        targets = self._targets(profile)
        members = {one.azure_id for one in self._members()}
        states = self._states_of(devices, self._certificate_states(read.kind_of(profile)))
        in_scope = self._in_scope(devices, targets)
        parts = [Part("GET", f"/deviceManagement/managedDevices/{one.id}/deviceConfigurationStates") for one in devices]
        replies = self._graph.batch("v1.0", parts, _DEVICES)
        found = {}
        for device, reply in zip(devices, replies, strict=True):
            rows = [] if reply.status == 404 else self._graph.all_of(reply.body, _DEVICES)
            found[device.id] = self._read(
                read.record,
                device,
                self._profile_id,
                rows,
                states[device.id],
                excluded=device.azure_id in members and device.azure_id != "",
                in_scope=device.id in in_scope,
            )
        return found

    def _managed(self, field: str, values: Sequence[str]) -> list[Managed]:
        """Return the managed devices whose field has one of those values."""
        parts = [
            Part("GET", f"/deviceManagement/managedDevices?$filter={_any(field, some)}&$select={_FIELDS}")
            for some in _slices(values)
        ]
        rows = [
            row
            for reply in self._graph.batch("v1.0", parts, _DEVICES)
            for row in self._graph.all_of(reply.body, _DEVICES)
        ]
        return [device for device in (self._read(read.read_managed, row) for row in rows) if _GUID.fullmatch(device.id)]

    def _by_id(self, mdm_ids: Sequence[str]) -> list[Managed]:
        parts = [Part("GET", f"/deviceManagement/managedDevices/{one}?$select={_FIELDS}") for one in _guids(mdm_ids)]
        replies = self._graph.batch("v1.0", parts, _DEVICES)
        return [self._read(read.read_managed, one.body) for one in replies if one.status == 200]

    def _members(self) -> tuple[_Member, ...]:
        """Return the devices of the exclusion group."""
        found = self._graph.pages(f"{self._group}/members", _MEMBERS, query={"$top": 999})
        if found is None:
            raise self._graph.wrong(
                "answer", "it knows nothing of that exclusion_group", "check mdm.exclusion_group in the settings"
            )
        return self._read(_devices_of, found)

    def _objects(self, mdm_ids: Sequence[str]) -> Mapping[str, str]:
        """Given MDM ids, return the id of the Entra object of each that has one."""
        azure = {one.id: one.azure_id for one in self._by_id(mdm_ids)}
        objects = self._objects_of([one for one in azure.values() if one])
        found = {mdm_id: objects[one] for mdm_id, one in azure.items() if one in objects}
        self._seen_objects |= found
        return found

    def _where(self, mdm_ids: Sequence[str]) -> tuple[Mapping[str, str], list[ScepfixError]]:
        """Given ids of devices to be put back, return the Entra object of each that is found, and why others are not.

        An id that Intune cannot tell anything of now counts as what it was when it was last seen.
        """
        objects: dict[str, str] = {}
        causes: list[ScepfixError] = []
        managed = []
        for one in mdm_ids:
            object_id = one.removeprefix(_DIRECTORY)
            if one.startswith(_DIRECTORY) and _GUID.fullmatch(object_id):
                objects[one] = object_id
            elif _GUID.fullmatch(one.lower()):
                managed.append(one)
        for start in range(0, len(managed), BATCH):
            some = managed[start : start + BATCH]
            try:
                found = self._objects(some)
            except MdmError as error:
                found = {}
                causes += [error] if any(one not in self._seen_objects for one in some) else []
            for one in some:
                object_id = found.get(one) or self._seen_objects.get(one, "")
                objects |= {one: object_id} if object_id else {}
        return objects, causes

    def _why_lost(self, mdm_ids: Sequence[str]) -> list[ScepfixError]:
        """Return why these cannot be said to be out of the group; [] where it is empty, so that they are."""
        try:
            if not self._members():
                return []
        except MdmError as error:
            return [error]
        names = ", ".join(visible(one) for one in mdm_ids[:_NAMED])
        more = f" and {len(mdm_ids) - _NAMED} more" if len(mdm_ids) > _NAMED else ""
        return [
            self._graph.wrong(
                "refused",
                f"Intune does not say which member of the exclusion group is {names}{more}: it may still be in it",
                "`scepfix rescue` puts back whoever is in the group",
            )
        ]

    def _objects_of(self, azure_ids: Sequence[str]) -> Mapping[str, str]:
        """Given Entra device ids, return the ids of their objects: groups hold objects."""
        parts = [
            Part("GET", f"/devices?$filter={_any('deviceId', some)}&$select=id,deviceId") for some in _slices(azure_ids)
        ]
        rows = [
            row
            for reply in self._graph.batch("v1.0", parts, _DIRECTORY_READ)
            for row in self._graph.all_of(reply.body, _DIRECTORY_READ)
        ]
        found = self._read(_object_ids, rows)
        return {azure: one for azure, one in found.items() if _GUID.fullmatch(one)}

    def _in_scope(self, devices: Sequence[Managed], targets: Targets) -> frozenset[str]:
        """Return the ids of the devices that the profile would be for if the exclusion group were empty."""
        objects = self._objects_of([one.azure_id for one in devices if one.azure_id])
        there = [one for one in devices if one.azure_id in objects]
        groups = sorted({*targets.include, *targets.exclude} - {self._group_id})
        # Entra looks at no more than twenty groups at once.
        questions = [(one, groups[start : start + 20]) for one in there for start in range(0, len(groups), 20)]
        parts = [
            Part("POST", f"/devices/{objects[one.azure_id]}/checkMemberGroups", {"groupIds": some})
            for one, some in questions
        ]
        of: dict[str, set[str]] = {one.id: set() for one in there}
        for (one, _), reply in zip(questions, self._graph.batch("v1.0", parts, _MEMBERS), strict=True):
            if reply.status == 200:
                of[one.id] |= {str(group).lower() for group in self._graph.all_of(reply.body, _MEMBERS)}
        others = targets.exclude - {self._group_id}
        return frozenset(
            mdm_id
            for mdm_id, found in of.items()
            if not found & others and (targets.all_devices or bool(found & targets.include))
        )

    def _states_of(
        self, devices: Sequence[Managed], states: Sequence[CertificateState]
    ) -> Mapping[str, tuple[CertificateState, ...]]:
        names = sorted(one for one in read.without_owner(states, devices) if _IN_FILTER.fullmatch(one))
        parts = [
            Part("GET", f"/deviceManagement/managedDevices?$filter={_any('deviceName', [one])}&$select=id")
            for one in names
        ]
        replies = self._graph.batch("v1.0", parts, _DEVICES)
        single = {name for name, one in zip(names, replies, strict=True) if self._read(_count, one.body) == 1}
        return read.of_devices(states, devices, single)

    def _read(self, reading: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
        try:
            return reading(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._graph.wrong(
                "answer", "an answer of another form than expected", "is mdm.url Microsoft Graph?"
            ) from error

    # --- doctor ---------------------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Check]:
        """Yield what can be seen of credentials, privileges, profile, group and clock; never raises."""
        return lines_of(
            "mdm.credentials",
            {
                "mdm.credentials": self._check_credentials,
                "mdm.privileges": self._check_privileges,
                "mdm.profile": self._check_profile,
                "mdm.exclusion-group": self._check_group,
                "mdm.clock": self._check_clock,
            },
        )

    def _check_credentials(self, line: str) -> Check:
        self._graph.token.headers(self._graph.service, fresh=True)
        return Check(line, CheckResult.PASS, "Entra gives the app a token")

    def _check_privileges(self, line: str) -> Check:
        roles = self._graph.token.roles(self._graph.service)
        if roles is None:
            return Check(line, CheckResult.UNKNOWN, "the token does not show the permissions of the app")
        wanted = (*_ROLES, _ROLES_OF_COLLECTOR) if self._script_id else _ROLES
        missing = [choices[0] for choices in wanted if not roles & frozenset(choices)]
        if missing:
            hint = "App registrations > API permissions > Microsoft Graph > Application permissions, then grant consent"
            return Check(line, CheckResult.FAIL, f"the app lacks {', '.join(missing)}", hint)
        return Check(line, CheckResult.PASS, "the app has the application permissions that it needs")

    def _check_profile(self, line: str) -> Check:
        profile = self.profile()
        if profile.comes_back:
            hint = "see docs/providers/intune.md, section Setting up"
            return Check(line, CheckResult.FAIL, profile.comes_back, hint)
        if profile.scope != "system":
            message = "the profile is for people, not for the computer"
            return Check(line, CheckResult.FAIL, message, "Deployment channel: device")
        message = f"{profile.name} comes back to a device that leaves the exclusion group"
        return Check(line, CheckResult.PASS, message)

    def _check_group(self, line: str) -> Check:
        group = self._group_document()
        if "DynamicMembership" in (group.get("groupTypes") or ()):
            return Check(line, CheckResult.FAIL, "the group is dynamic", "make a group with assigned membership")
        if group.get("securityEnabled") is False:
            return Check(line, CheckResult.FAIL, "the exclusion group is no security group", "make a security group")
        if self._group_id not in self._targets(self._profile_document()).exclude:
            hint = "add it at Assignments > Excluded groups of the profile"
            return Check(line, CheckResult.FAIL, "the profile does not exclude it", hint)
        uses = self.group_uses()
        if uses:
            hint = "only the SCEP profile may exclude it, nothing may include it"
            return Check(line, CheckResult.FAIL, f"it is used for more: {', '.join(uses[:5])}", hint)
        message = "only this profile excludes it (configuration profiles were looked at, nothing else)"
        return Check(line, CheckResult.PASS, message)

    def _check_clock(self, line: str) -> Check:
        reply = self._graph.service.ask("GET", self._group, query={"$select": "id"})
        return clock_check(line, "Microsoft Graph", reply, self._now())


def _guid(settings: ServiceSettings, key: str, hint: str) -> str:
    value = settings.text(key).strip().lower()
    if not _GUID.fullmatch(value):
        raise UsageError("settings", f"mdm.{key} is no id of Microsoft Graph", where=f"mdm.{key}", hint=hint)
    return value


def _guids(mdm_ids: Sequence[str]) -> list[str]:
    """Return those ids that are ids: others get into no path."""
    return [one for one in mdm_ids if _GUID.fullmatch(one.lower())]


def _slices(values: Collection[str]) -> list[list[str]]:
    kept = sorted({one for one in values if _IN_FILTER.fullmatch(one)})
    return [kept[start : start + _CLAUSES] for start in range(0, len(kept), _CLAUSES)]


def _any(field: str, values: Sequence[str]) -> str:
    """Return a filter, quoted for an address; the values fit ``_IN_FILTER``."""
    return quote(" or ".join(f"{field} eq '{one}'" for one in values), safe="")


def _synced(device: Managed) -> float:
    return device.last_sync_at.timestamp() if device.last_sync_at else 0.0


def _member_record(member: _Member, device: Managed | None) -> MdmDevice:
    if device is None:
        identity = Identity(mdm_id=f"{_DIRECTORY}{visible(member.object_id)}")
    else:
        identity = read.identity_of(device)
    managed = device is not None
    return MdmDevice(identity=identity, name=visible(member.name), managed=managed, in_scope=managed, excluded=True)


def _lines(states: Sequence[Mapping[str, Any]], output: str, wanted: Collection[str]) -> Mapping[str, CollectedText]:
    found: dict[str, CollectedText] = {}
    for one in states:
        mdm_id = str((one.get("managedDevice") or {}).get("id") or "")
        text = one.get(output)
        if mdm_id not in wanted or not isinstance(text, str) or not text.strip():
            continue
        at = read.moment(one.get("lastStateUpdateDateTime"))
        before = found.get(mdm_id)
        if before is None or (at is not None and (before.collected_at is None or at > before.collected_at)):
            found[mdm_id] = CollectedText(text.strip(), at)
    return found


def _first_type(page: Mapping[str, Any]) -> str:
    return next((str(one["@odata.type"]) for one in page["value"]), "")


def _count(page: Mapping[str, Any]) -> int:
    return len(page["value"])


def _devices_of(members: Sequence[Mapping[str, Any]]) -> tuple[_Member, ...]:
    # Without Device.Read.All Entra says the id of a member's object, and null for the rest.
    return tuple(
        _Member(str(one["id"]).lower(), str(one.get("deviceId") or "").lower(), str(one.get("displayName") or ""))
        for one in members
        if one["@odata.type"] == "#microsoft.graph.device"
    )


def _object_ids(devices: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {str(one["deviceId"]).lower(): str(one["id"]).lower() for one in devices}
