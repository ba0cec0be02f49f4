"""Entra and Intune over the simulated world: a small Microsoft Graph that follows what its Macs do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from cryptography import x509
from tests.contract.server import Asked, Said

from scepfix.domain.mdm import MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.simulator.mac import Mac
from scepfix.simulator.world import World

TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT = "66666666-7777-4888-8999-000000000000"
SECRET = "pl4nted~client-secret"
PROFILE = "aaaaaaaa-0000-4000-8000-000000000001"
ROOT = "aaaaaaaa-0000-4000-8000-000000000002"
OTHER = "aaaaaaaa-0000-4000-8000-000000000003"
GROUP = "bbbbbbbb-0000-4000-8000-000000000001"
MACS = "bbbbbbbb-0000-4000-8000-000000000002"
SCRIPT = "cccccccc-0000-4000-8000-000000000001"
ROLES = (
    "DeviceManagementManagedDevices.Read.All",
    "DeviceManagementManagedDevices.PrivilegedOperations.All",
    "DeviceManagementConfiguration.Read.All",
    "DeviceManagementScripts.Read.All",
    "GroupMember.ReadWrite.All",
    "Device.ReadWrite.All",
)

Answer = tuple[int, Any, dict[str, str]]


def guid(kind: str, mdm_id: str) -> str:
    """Return the id that a device of the world has in Intune (``managed``) or Entra (``azure``, ``object``)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{mdm_id}"))


def settings_of(url: str) -> dict[str, str]:
    """Return the options under which scepfix reaches this face."""
    return {
        "url": url,
        "login_url": url,
        "tenant": TENANT,
        "client_id": CLIENT,
        "profile": PROFILE,
        "exclusion_group": GROUP,
        "collector_script": SCRIPT,
    }


@dataclass
class IntuneFace:
    """Answers as Graph does; what a test may set is a field."""

    world: World
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    roles: set[str] = field(default_factory=lambda: set(ROLES))
    #: AADSTS number with which a token is refused, 0: it is not.
    refuses_token: int = 0
    token_seconds: int = 3599
    tokens: set[str] = field(default_factory=set)
    page: int = 1000
    #: So many parts of batches are throttled, with this Retry-After ("" none).
    throttles: int = 0
    retry_after: str = "3"
    dynamic: bool = False
    excludes_group: bool = True
    people_in_target: bool = False
    root_targets: tuple[str, ...] = (MACS,)
    group_uses: bool = False
    certificate_states: bool = True
    #: Certificate states whose id tells the device; else only its name does.
    ids_tell: bool = False
    #: Managed devices beside those of the world: name and serial number.
    others: list[tuple[str, str]] = field(default_factory=list)
    collected: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    remediation: bool = False

    def __call__(self, asked: Asked) -> Said:
        self._host = f"http://{asked.headers['host']}"
        if asked.path.endswith("/oauth2/v2.0/token"):
            return self._token(asked)
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _said(_error(401, "InvalidAuthenticationToken"))
        version, _, path = asked.path.removeprefix("/").partition("/")
        body: Any = asked.document() if asked.body else None
        if path == "$batch":
            return Said(200, {"responses": [self._part(version, part) for part in body["requests"]]})
        return _said(self._answer(asked.method, version, f"/{path}", dict(asked.query), body))

    # --- Entra ----------------------------------------------------------------------------------------------------

    def _token(self, asked: Asked) -> Said:
        form = dict(parse_qsl(asked.body.decode()))
        number = self.refuses_token
        if not number and asked.path.split("/")[1] != TENANT:
            number = 90002
        if not number and form["client_id"] != CLIENT:
            number = 700016
        if not number and form["client_secret"] != SECRET:
            number = 7000215
        if number:
            text = f"AADSTS{number}: for {form['client_id']} with {form['client_secret']}. Trace ID: 00"
            return Said(401, {"error": "invalid_client", "error_description": text, "error_codes": [number]})
        claims = base64.urlsafe_b64encode(json.dumps({"roles": sorted(self.roles)}).encode()).decode().rstrip("=")
        token = f"e30.{claims}.{len(self.tokens)}"
        self.tokens.add(token)
        return Said(200, {"token_type": "Bearer", "expires_in": self.token_seconds, "access_token": token})

    # --- Graph ----------------------------------------------------------------------------------------------------

    def _part(self, version: str, part: Mapping[str, Any]) -> dict[str, Any]:
        parts = urlsplit(part["url"])
        if self.throttles:
            self.throttles -= 1
            status, body, headers = _error(429, "TooManyRequests")
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
        else:
            query = dict(parse_qsl(parts.query))
            status, body, headers = self._answer(part["method"], version, parts.path, query, part.get("body"))
        said = {"id": part["id"], "status": status, "headers": headers}
        return said if body is None else {**said, "body": body}

    def _answer(self, method: str, version: str, path: str, query: Mapping[str, str], body: Any) -> Answer:
        for pattern, needs, answer in (
            (r"GET /deviceManagement/managedDevices", "DeviceManagementManagedDevices.Read", self._managed_devices),
            (r"GET /deviceManagement/managedDevices/(\S+)/deviceConfigurationStates", _DEVICES, self._states),
            (r"POST /deviceManagement/managedDevices/(\S+)/syncDevice", "PrivilegedOperations", self._sync),
            (r"GET /deviceManagement/managedDevices/([^/]+)", _DEVICES, self._managed_device),
            (r"GET /deviceManagement/deviceConfigurations", _CONFIGURATION, self._configurations),
            (rf"GET /deviceManagement/deviceConfigurations/({PROFILE}|{ROOT})", _CONFIGURATION, self._configuration),
            (rf"GET /deviceManagement/deviceConfigurations/({ROOT})/assignments", _CONFIGURATION, self._assignments),
            (rf"GET \S+/{PROFILE}/microsoft\.graph\.macOS\w+/rootCertificate", _CONFIGURATION, self._root),
            (rf"GET \S+/{PROFILE}/\S+/managedDeviceCertificateStates", _CONFIGURATION, self._certificate_states),
            (rf"GET \S+/deviceCustomAttributeShellScripts/{SCRIPT}/deviceRunStates", "Scripts.Read", self._script),
            (rf"GET \S+/deviceHealthScripts/{SCRIPT}/deviceRunStates", "Scripts.Read", self._remediation),
            (rf"GET /groups/{GROUP}", "GroupMember.Read", self._group),
            (rf"PATCH /groups/{GROUP}", "GroupMember.ReadWrite", self._add),
            (rf"GET /groups/{GROUP}/members", "GroupMember.Read", self._members),
            (rf"GET /groups/{MACS}/members", "GroupMember.Read", self._macs),
            (rf"DELETE /groups/{GROUP}/members/([^/]+)/\$ref", "GroupMember.ReadWrite", self._remove),
            (r"GET /devices", "Device.Read", self._devices),
            (r"POST /devices/([^/]+)/checkMemberGroups", "GroupMember.Read", self._check_groups),
        ):
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                if not any(needs in role for role in self.roles):
                    return _error(403, "Authorization_RequestDenied")
                return answer(*found.groups(), query=query, body=body, path=f"/{version}{path}")
        return _error(404, "ResourceNotFound")

    def _list(self, items: list[Any], query: Mapping[str, str], path: str) -> Answer:
        start = int(query.get("$skiptoken", 0))
        document: dict[str, Any] = {"value": items[start : start + self.page]}
        if start + self.page < len(items):
            more = urlencode({**query, "$skiptoken": start + self.page}, quote_via=quote)
            document["@odata.nextLink"] = f"{self._host}{path}?{more}"
        return 200, document, {}

    # --- devices --------------------------------------------------------------------------------------------------

    def _record(self, mac: Mac) -> MdmDevice | None:
        return self.world.mdm.devices([mac.facts.serial_number], self.now()).get(mac.facts.serial_number)

    def _all(self) -> dict[str, Mac]:
        return {guid("managed", mac.facts.mdm_id): mac for mac in self.world.macs.values() if self._record(mac)}

    def _document(self, managed_id: str, mac: Mac) -> dict[str, Any]:
        record = self._record(mac)
        assert record is not None
        apart = {"wiped": "wipePending", "retired": "retirePending"}
        return {
            "id": managed_id,
            "deviceName": mac.facts.name,
            "serialNumber": mac.facts.serial_number,
            "udid": mac.facts.hardware_uuid,
            "azureADDeviceId": guid("azure", mac.facts.mdm_id),
            "lastSyncDateTime": rfc3339(record.last_seen_at),
            "managementState": apart.get(record.set_apart, "managed" if record.managed else "discovered"),
        }

    def _managed_devices(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        found = [self._document(one, mac) for one, mac in self._all().items()]
        for name, serial in self.others:
            twin = {"deviceName": name, "serialNumber": serial, "lastSyncDateTime": "2026-01-01T00:00:00Z"}
            found.append({"id": guid("managed", f"other {serial} {name}"), **twin})
        clauses = re.findall(r"(\w+) eq '([^']*)'", query.get("$filter", ""))
        fitting = [one for one in found if any(one.get(key) == value for key, value in clauses)]
        return self._list([_selected(one, query) for one in fitting], query, path)

    def _managed_device(self, managed_id: str, *, query: Mapping[str, str], **_: Any) -> Answer:
        mac = self._all().get(managed_id)
        return (
            _error(404, "ResourceNotFound")
            if mac is None
            else (
                200,
                _selected(self._document(managed_id, mac), query),
                {},
            )
        )

    def _states(self, managed_id: str, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        mac = self._all().get(managed_id)
        if mac is None:
            return _error(404, "ResourceNotFound")
        record = self._record(mac)
        assert record is not None
        state = "compliant" if record.profile_installed else "notAssigned" if record.excluded else ""
        rows = [{"id": OTHER, "displayName": "Wi-Fi", "platformType": "macOS", "state": "compliant", "version": 1}]
        if state:
            rows.append({"id": PROFILE, "displayName": "Okta", "platformType": "macOS", "state": state, "version": 3})
        return self._list(rows, query, path)

    def _sync(self, managed_id: str, **_: Any) -> Answer:
        mac = self._all().get(managed_id)
        if mac is None:
            return _error(404, "ResourceNotFound")
        self.world.mdm.nudge([mac.facts.mdm_id], self.now())
        return 204, None, {}

    # --- the profile ----------------------------------------------------------------------------------------------

    def _configuration(self, one: str, **_: Any) -> Answer:
        profile = self.world.mdm.profile()
        return (
            200,
            {
                "@odata.type": "#microsoft.graph.macOSScepCertificateProfile",
                "id": one,
                "displayName": profile.name,
                "lastModifiedDateTime": rfc3339(profile.changed_at),
                "createdDateTime": rfc3339(profile.changed_at),
                "version": 3,
                "certificateStore": "machine" if profile.scope == "system" else "user",
                "deploymentChannel": "deviceChannel" if profile.scope == "system" else "userChannel",
                "keySize": "size2048",
                "assignments": [_assignment(MACS), *([_assignment(GROUP, out=True)] if self.excludes_group else [])],
            },
            {},
        )

    def _configurations(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        profile = self._configuration(PROFILE)[1]
        wifi = {
            "@odata.type": "#microsoft.graph.macOSCustomConfiguration",
            "id": OTHER,
            "displayName": "Wi-Fi \u202e",
            "assignments": [_assignment(GROUP)] if self.group_uses else [],
        }
        return self._list([profile, wifi], query, path)

    def _root(self, **_: Any) -> Answer:
        return 200, {"@odata.type": "#microsoft.graph.deviceConfiguration", "id": ROOT, "displayName": "Okta CA"}, {}

    def _assignments(self, one: str, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        return self._list([_assignment(group) for group in self.root_targets], query, path)

    def _certificate_states(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        if not self.certificate_states:
            return _error(404, "ResourceNotFound")
        found = []
        for managed_id, mac in self._all().items():
            record = self._record(mac)
            last = mac.folder / "last.der"
            if record is None or not last.exists() or record.installed_at is None:
                continue
            der = last.read_bytes()
            certificate = x509.load_der_x509_certificate(der)
            off = not record.profile_installed
            issued = certificate.not_valid_before_utc
            serial = f"{certificate.serial_number:X}"
            found.append(
                {
                    "id": f"{PROFILE}_{managed_id}" if self.ids_tell else guid("state", serial),
                    "deviceDisplayName": mac.facts.name,
                    "devicePlatform": "macOS",
                    "certificateIssuanceState": "removedFromCollection" if off else "issued",
                    "certificateIssuanceDateTime": rfc3339(issued + timedelta(minutes=5)),
                    "certificateLastIssuanceStateChangedDateTime": rfc3339(
                        record.removed_at if off else record.installed_at
                    ),
                    "certificateExpirationDateTime": rfc3339(certificate.not_valid_after_utc),
                    "certificateSerialNumber": f"0{serial}",
                    "certificateThumbprint": hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
                    "certificateRevokeStatus": "none",
                }
            )
        return self._list(found, query, path)

    # --- the collector --------------------------------------------------------------------------------------------

    def _script(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        if self.remediation:
            return _error(404, "ResourceNotFound")
        return self._list(self._run_states("resultMessage"), query, path)

    def _remediation(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        return self._list(self._run_states("preRemediationDetectionScriptOutput"), query, path)

    def _run_states(self, output: str) -> list[Any]:
        return [
            {
                "id": f"{SCRIPT}:{managed_id}",
                output: self.collected[mac.facts.name][0],
                "lastStateUpdateDateTime": rfc3339(self.collected[mac.facts.name][1]),
                "managedDevice": {"id": managed_id},
            }
            for managed_id, mac in self._all().items()
            if mac.facts.name in self.collected
        ]

    # --- groups ---------------------------------------------------------------------------------------------------

    def _objects(self) -> dict[str, Mac]:
        return {guid("object", mac.facts.mdm_id): mac for mac in self.world.macs.values()}

    def _device(self, object_id: str, mac: Mac) -> dict[str, Any]:
        return {
            "@odata.type": "#microsoft.graph.device",
            "id": object_id,
            "deviceId": guid("azure", mac.facts.mdm_id),
            "displayName": mac.facts.name,
        }

    def _group(self, *, query: Mapping[str, str], **_: Any) -> Answer:
        kinds = ["DynamicMembership"] if self.dynamic else []
        group = {"id": GROUP, "displayName": "scepfix", "groupTypes": kinds, "securityEnabled": True}
        return 200, _selected(group, query), {}

    def _members(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        inside = {one.identity.mdm_id for one in self.world.mdm.members(self.now())}
        found = [self._device(one, mac) for one, mac in self._objects().items() if mac.facts.mdm_id in inside]
        return self._list(found, query, path)

    def _macs(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        if self.people_in_target:
            return self._list([{"@odata.type": "#microsoft.graph.user", "id": guid("user", "1")}], query, path)
        found = [{"@odata.type": "#microsoft.graph.device", "id": one} for one in self._objects()]
        return self._list(found[: int(query.get("$top", 100))], query, path)

    def _add(self, *, body: Any, **_: Any) -> Answer:
        wanted = [one.rpartition("/")[2] for one in body["members@odata.bind"]]
        objects, inside = self._objects(), {one.identity.mdm_id for one in self.world.mdm.members(self.now())}
        if self.dynamic or any(one not in objects for one in wanted):
            return _error(400, "Request_BadRequest")
        if any(objects[one].facts.mdm_id in inside for one in wanted):
            text = "One or more added object references already exist for the following modified properties: 'members'."
            return 400, {"error": {"code": "Request_BadRequest", "message": text}}, {}
        self.world.mdm.exclude([objects[one].facts.mdm_id for one in wanted], self.now())
        return 204, None, {}

    def _remove(self, object_id: str, **_: Any) -> Answer:
        mac = self._objects().get(object_id)
        inside = {one.identity.mdm_id for one in self.world.mdm.members(self.now())}
        if mac is None or mac.facts.mdm_id not in inside:
            return _error(404, "Request_ResourceNotFound")
        self.world.mdm.put_back([mac.facts.mdm_id], self.now())
        return 204, None, {}

    def _devices(self, *, query: Mapping[str, str], path: str, **_: Any) -> Answer:
        wanted = set(re.findall(r"deviceId eq '([^']*)'", query.get("$filter", "")))
        found = [self._device(one, mac) for one, mac in self._objects().items()]
        fitting = [_selected(one, query) for one in found if one["deviceId"] in wanted]
        return self._list(fitting, query, path)

    def _check_groups(self, object_id: str, *, query: Mapping[str, str], path: str, body: Any, **_: Any) -> Answer:
        mac = self._objects().get(object_id)
        if mac is None:
            return _error(404, "Request_ResourceNotFound")
        record = self._record(mac)
        inside = {MACS} if record is not None and record.in_scope else set()
        return self._list(sorted(inside & set(body["groupIds"])), query, path)


_DEVICES = "DeviceManagementManagedDevices.Read"
_CONFIGURATION = "DeviceManagementConfiguration.Read"


def _said(answer: Answer) -> Said:
    status, document, headers = answer
    return Said(status, document, headers=tuple(headers.items()))


def _error(status: int, code: str) -> Answer:
    return status, {"error": {"code": code, "message": "a text that nobody reads"}}, {}


def _selected(found: dict[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    wanted = query.get("$select", "").split(",")
    return found if wanted == [""] else {key: value for key, value in found.items() if key in wanted}


def _assignment(group: str, *, out: bool = False) -> dict[str, Any]:
    kind = "exclusionGroupAssignmentTarget" if out else "groupAssignmentTarget"
    target = {"@odata.type": f"#microsoft.graph.{kind}", "groupId": group}
    return {"id": f"{PROFILE}_{group}", "target": target}
