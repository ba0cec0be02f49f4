"""Microsoft Graph by its fields: entities and enums as published, and the few requests that scepfix may make."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.contract.server import Asked, Said

from scepfix.domain.moment import parse_rfc3339

CONTRACT = Path(__file__).parents[3] / "shared/contracts/msgraph"
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

#: Properties by name, each with its type.
Shape = Mapping[str, str]

#: Entities of which the files beside the checkout hold nothing; from their pages below
#: https://learn.microsoft.com/graph/api/resources/
_BY_PAGE: Mapping[str, Shape] = {
    "group": {
        "id": "text",
        "displayName": "text",
        "membershipRule": "text",
        "groupTypes": "list",
        "securityEnabled": "bool",
        "mailEnabled": "bool",
    },
    "device": {"id": "text", "deviceId": "text", "displayName": "text", "operatingSystem": "text"},
    # deviceManagementScriptDeviceState
    "scriptState": {
        "id": "text",
        "runState": "text",
        "resultMessage": "text",
        "lastStateUpdateDateTime": "moment",
        "errorCode": "whole",
        "errorDescription": "text",
        "managedDevice": "object",
    },
    # deviceHealthScriptDeviceState
    "healthState": {
        "id": "text",
        "detectionState": "text",
        "lastStateUpdateDateTime": "moment",
        "managedDevice": "object",
        "preRemediationDetectionScriptOutput": "text",
        "preRemediationDetectionScriptError": "text",
    },
    "text": {},
}


@dataclass(frozen=True)
class Rule:
    """A request that there is: what it takes, and the entity that it gives ("" none). ``many``: a collection of it."""

    method: str
    version: str
    path: str
    gives: str = ""
    many: bool = False
    query: tuple[str, ...] = ()
    #: A body's keys, each with its type.
    body: tuple[tuple[str, str], ...] = ()


_SCEP = r"microsoft\.graph\.(?:macOSScepCertificateProfile|windows81SCEPCertificateProfile)"
_CONFIGURATIONS = "/deviceManagement/deviceConfigurations"
_RULES = (
    Rule("POST", "v1.0", r"/\$batch", body=(("requests", "list"),)),
    Rule("POST", "beta", r"/\$batch", body=(("requests", "list"),)),
    Rule("GET", "v1.0", "/deviceManagement/managedDevices", "managedDevice", True, ("$filter", "$select")),
    Rule("GET", "v1.0", f"/deviceManagement/managedDevices/{_GUID}", "managedDevice", query=("$select",)),
    Rule(
        "GET",
        "v1.0",
        f"/deviceManagement/managedDevices/{_GUID}/deviceConfigurationStates",
        "deviceConfigurationState",
        many=True,
    ),
    Rule("POST", "v1.0", f"/deviceManagement/managedDevices/{_GUID}/syncDevice"),
    Rule("GET", "beta", _CONFIGURATIONS, "DeviceConfiguration", True, ("$expand", "$select")),
    Rule("GET", "beta", f"{_CONFIGURATIONS}/{_GUID}", "DeviceConfiguration", query=("$expand",)),
    Rule("GET", "beta", f"{_CONFIGURATIONS}/{_GUID}/assignments", "DeviceConfigurationAssignment", many=True),
    Rule("GET", "beta", rf"{_CONFIGURATIONS}/{_GUID}/{_SCEP}/rootCertificate", "DeviceConfiguration"),
    Rule(
        "GET",
        "beta",
        rf"{_CONFIGURATIONS}/{_GUID}/{_SCEP}/managedDeviceCertificateStates",
        "ManagedDeviceCertificateState",
        many=True,
    ),
    Rule(
        "GET",
        "beta",
        f"/deviceManagement/deviceCustomAttributeShellScripts/{_GUID}/deviceRunStates",
        "scriptState",
        True,
        ("$expand",),
    ),
    Rule(
        "GET",
        "beta",
        f"/deviceManagement/deviceHealthScripts/{_GUID}/deviceRunStates",
        "healthState",
        True,
        ("$expand",),
    ),
    Rule("GET", "v1.0", f"/groups/{_GUID}", "group", query=("$select",)),
    Rule("PATCH", "v1.0", f"/groups/{_GUID}", body=(("members@odata.bind", "links"),)),
    Rule("GET", "v1.0", f"/groups/{_GUID}/members", "device", True, ("$top", "$select")),
    Rule("DELETE", "v1.0", rf"/groups/{_GUID}/members/{_GUID}/\$ref"),
    Rule("GET", "v1.0", "/devices", "device", True, ("$filter", "$select")),
    Rule("POST", "v1.0", f"/devices/{_GUID}/checkMemberGroups", "text", True, body=(("groupIds", "list"),)),
)
_TOKEN = re.compile(r"/[A-Za-z0-9.-]+/oauth2/v2\.0/token")
_TOKEN_FIELDS = {"grant_type", "client_id", "client_secret", "scope"}


class GraphContract:
    """Implements tests.contract.server.Contract over the two files of the folder."""

    def __init__(self, folder: Path = CONTRACT) -> None:
        self._shapes: dict[str, Shape] = dict(_BY_PAGE)
        self._enums: dict[str, frozenset[str]] = {}
        self._read_csdl((folder / "graph-v1.0-intune.trimmed.csdl").read_text("utf-8"))
        self._read_fields(json.loads((folder / "graph-beta-intune-scep.fields.json").read_text("utf-8")))

    def of_request(self, asked: Asked) -> list[str]:
        """Return what in a request is not in the contract, a line each."""
        if _TOKEN.fullmatch(asked.path):
            fields = dict(parse_qsl(asked.body.decode()))
            right = asked.method == "POST" and set(fields) == _TOKEN_FIELDS
            return [] if right else [f"no token request: {asked.method} {sorted(fields)}"]
        version, _, path = asked.path.removeprefix("/").partition("/")
        body: Any = asked.document() if asked.body else None
        wrong = self._wrong_request(asked.method, version, f"/{path}", dict(asked.query), body)
        if not wrong and path == "$batch":
            parts = body["requests"]
            if not 0 < len(parts) <= 20 or len({part["id"] for part in parts}) < len(parts):
                wrong.append(f"a batch of {len(parts)}, or ids twice")
            for part in parts:
                wrong += self._wrong_request(*_of_part(version, part))
        return wrong

    def of_reply(self, asked: Asked, said: Said) -> list[str]:
        """Return what in a reply is not in the contract, a line each."""
        if _TOKEN.fullmatch(asked.path):
            return []
        version, _, path = asked.path.removeprefix("/").partition("/")
        if path != "$batch":
            return self._wrong_reply(asked.method, version, f"/{path}", said.status, said.document)
        if said.status != 200:
            return []
        parts = {part["id"]: part for part in asked.document()["requests"]}
        wrong = []
        for answer in said.document["responses"]:
            method, _, url, _, _ = _of_part(version, parts[answer["id"]])
            wrong += self._wrong_reply(method, version, url, answer["status"], answer.get("body"))
        return wrong

    # --- requests -------------------------------------------------------------------------------------------------

    def _wrong_request(self, method: str, version: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        rule = _rule(method, version, path)
        where = f"{method} /{version}{path}"
        if rule is None:
            return [f"{where}: there is no such request"]
        wrong = [f"{where}: no parameter {key}" for key in query if key not in (*rule.query, "$skiptoken")]
        shape = self._shapes.get(rule.gives, {})
        names = re.findall(r"(\w+) eq '", query.get("$filter", ""))
        if "$filter" in query and not re.fullmatch(r"\w+ eq '[^']*'(?: or \w+ eq '[^']*')*", query["$filter"]):
            wrong.append(f"{where}: a filter of another form: {query['$filter']}")
        if len(names) > 15:
            wrong.append(f"{where}: more than fifteen clauses")
        names += [name for name in query.get("$select", "").split(",") if name]
        wrong += [f"{where}: {rule.gives} has no {name}" for name in names if name not in shape]
        expand = query.get("$expand", "")
        if expand and expand.partition("(")[0] not in shape:
            wrong.append(f"{where}: nothing to expand: {expand}")
        keys = dict(rule.body)
        if set(body or {}) != set(keys):
            wrong.append(f"{where}: a body with {sorted(body or {})}")
        elif body:
            wrong += [f"{where}: {key} does not fit" for key, kind in keys.items() if not _of_body(body[key], kind)]
        return wrong

    # --- replies --------------------------------------------------------------------------------------------------

    def _wrong_reply(self, method: str, version: str, path: str, status: int, document: Any) -> list[str]:
        where = f"{method} /{version}{path} said {status}"
        rule = _rule(method, version, path)
        if status >= 400 or rule is None:
            shaped = isinstance(document, dict) and isinstance(document.get("error"), dict)
            return [] if shaped else [f"{where}: no error object"]
        if not rule.gives:
            right = status == 204 and document is None
            return [] if right or path == "/$batch" else [f"{where}: 204 without a body was expected"]
        items = document.get("value") if rule.many else [document]
        if not isinstance(items, list):
            return [f"{where}: no collection"]
        if rule.gives == "text":
            return [] if all(isinstance(item, str) for item in items) else [f"{where}: not texts"]
        return [f"{where}: {line}" for item in items for line in self._wrong_entity(item, rule.gives)]

    def _wrong_entity(self, item: Any, entity: str) -> list[str]:
        if not isinstance(item, dict):
            return [f"{entity} is no object"]
        named = str(item.get("@odata.type", "")).removeprefix("#microsoft.graph.")
        name = next((one for one in self._shapes if one.lower() == named.lower()), entity)
        shape = self._shapes[name]
        wrong = []
        for key, value in item.items():
            if "@odata." in key:
                continue
            if key not in shape:
                wrong.append(f"{name} has no {key}")
            elif not self._fits(value, shape[key]):
                wrong.append(f"{name}.{key} is no {shape[key]}")
            elif key == "assignments":
                wrong += [line for one in value for line in self._wrong_entity(one, "DeviceConfigurationAssignment")]
            elif key == "target":
                wrong += self._wrong_entity(value, "GroupAssignmentTarget")
        return wrong

    def _fits(self, value: Any, kind: str) -> bool:
        if value is None or kind == "any":
            return True
        if kind in self._enums:
            return value in self._enums[kind]
        checks = {
            "text": isinstance(value, str),
            "bool": isinstance(value, bool),
            "whole": isinstance(value, int) and not isinstance(value, bool),
            "moment": parse_rfc3339(value) is not None,
            "list": isinstance(value, list),
            "object": isinstance(value, dict),
        }
        return checks[kind]

    # --- the files ------------------------------------------------------------------------------------------------

    def _read_csdl(self, text: str) -> None:
        root = ElementTree.fromstring(text)
        bases: dict[str, str] = {}
        own: dict[str, dict[str, str]] = {}
        for item in root.iter():
            tag, name = item.tag.rpartition("}")[2], item.get("Name", "")
            if tag == "EnumType":
                self._enums[name.lower()] = frozenset(one.get("Name", "") for one in item)
        for item in root.iter():
            tag, name = item.tag.rpartition("}")[2], item.get("Name", "")
            if tag in ("EntityType", "ComplexType"):
                bases[name] = item.get("BaseType", "").rpartition(".")[2]
                own[name] = {
                    one.get("Name", ""): self._kind_of_csdl(one.get("Type", ""))
                    for one in item
                    if one.tag.endswith(("}Property", "}NavigationProperty"))
                }
        for name in own:
            self._shapes[name] = _with_bases(name, own, bases)

    def _kind_of_csdl(self, given: str) -> str:
        if given.startswith("Collection("):
            return "list"
        plain = {
            "Edm.String": "text",
            "Edm.Boolean": "bool",
            "Edm.DateTimeOffset": "moment",
            "Edm.Int32": "whole",
            "Edm.Int64": "whole",
        }.get(given)
        name = given.rpartition(".")[2].lower()
        return plain or (name if name in self._enums else "any")

    def _read_fields(self, found: Mapping[str, Any]) -> None:
        for name, values in found["enums"].items():
            self._enums[name.replace("_", "")] = frozenset(values)
        readers = {
            "get_str_value": "text",
            "get_uuid_value": "text",
            "get_bool_value": "bool",
            "get_int_value": "whole",
            "get_datetime_value": "moment",
            "get_object_value": "object",
            "get_collection_of_object_values": "list",
            "get_collection_of_primitive_values": "list",
            "get_collection_of_enum_values": "list",
        }
        own: dict[str, dict[str, str]] = {"Entity": {"id": "text"}}
        bases: dict[str, str] = {}
        for entity in found["entities"].values():
            name = entity["class"]
            bases[name] = entity["base"]
            own[name] = {
                field: self._kind_of_field(readers, said["reader"], said["type"])
                for field, said in entity["fields"].items()
            }
        for name in own:
            self._shapes[name] = _with_bases(name, own, bases)

    def _kind_of_field(self, readers: Mapping[str, str], reader: str, named: str | None) -> str:
        enum = (named or "").lower()
        return readers.get(reader) or (enum if enum in self._enums else "text")


def _of_part(version: str, part: Mapping[str, Any]) -> tuple[str, str, str, Mapping[str, str], Any]:
    parts = urlsplit(part["url"])
    return part["method"], version, parts.path, dict(parse_qsl(parts.query)), part.get("body")


def _rule(method: str, version: str, path: str) -> Rule | None:
    fitting = (one for one in _RULES if (one.method, one.version) == (method, version))
    return next((one for one in fitting if re.fullmatch(one.path, path)), None)


def _of_body(value: Any, kind: str) -> bool:
    if kind == "links":
        pattern = rf"https?://[^/]+/v1\.0/directoryObjects/{_GUID}"
        return isinstance(value, list) and 0 < len(value) <= 20 and all(re.fullmatch(pattern, one) for one in value)
    return isinstance(value, list) and bool(value)


def _with_bases(name: str, own: Mapping[str, Mapping[str, str]], bases: Mapping[str, str]) -> Shape:
    chain: Sequence[str] = [name]
    while bases.get(chain[-1]) in own:
        chain = [*chain, bases[chain[-1]]]
    return {key: kind for one in reversed(chain) for key, kind in own[one].items()}
