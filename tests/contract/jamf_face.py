"""Jamf Pro as a small stateful fake over a simulated world, and what its requests are checked against.

Jamf publishes bodies for the Jamf Pro API only. Of the Classic API it publishes paths; the shapes here are those of
jamf-cli's schemas and go-sdk-jamfpro-v2, and ``ClassicPaths`` checks a request by path, method and a written-out form.
"""

from __future__ import annotations

import json
import plistlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.contract.openapi import OpenApiContract
from tests.contract.server import Asked, Said

from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.simulator.mac import Mac
from scepfix.simulator.profile import IDENTIFIER, NAME
from scepfix.simulator.world import World

PROFILE, GROUP, GROUP_NAME = 7, 11, "scepfix-exclude"
CLIENT_ID, CLIENT_SECRET = "1979ca82-1337-c0de-1012-82a008a3bf70", "planted-jamf-client-secret"
READ_COMPUTERS, READ_PROFILES = "Read Computers", "Read macOS Configuration Profiles"
READ_GROUPS, UPDATE_GROUPS = "Read Static Computer Groups", "Update Static Computer Groups"
COMMANDS, POLICIES = "View MDM command information in Jamf Pro API", "Read Policies"
_COOKIE = "jpro-ingress"
_FOLDER = Path(__file__).resolve().parents[3] / "shared/contracts/jamf"
PRO_API = _FOLDER / "jamf-pro-api-11.30.1.trimmed.json"
CLASSIC_API = _FOLDER / "jamf-classic-11.30.1.trimmed.yaml"
#: Fields of the filter of /v2/mdm/commands; any other is passed over in silence (seen on Jamf Pro 11.31).
_COMMAND_FIELDS = {"uuid", "clientManagementId", "command", "status", "profileId", "profileIdentifier", "active"}


@dataclass
class Smart:
    """A smart group: the names of its criteria, and who is in it."""

    name: str
    criteria: tuple[str, ...] = ()
    members: frozenset[str] = frozenset()


@dataclass
class Uses:
    """What another profile or a policy makes of computer groups, by number."""

    name: str
    excludes: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()


@dataclass
class Report:
    """An inventory as a computer sent it."""

    at: datetime
    profile_installed_at: datetime | None
    certificates: dict[bytes, bool] = field(default_factory=dict)


class JamfFace:
    """Answers for a Jamf Pro whose computers are the Macs of a world: number = MDM id.

    Inventories are as old as ``recon`` made them; acknowledged and pending commands are those of the world's MDM. Who
    does not send the cookie of the node that took the last change reads the group as it was before.
    """

    def __init__(self, world: World, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.world, self.now = world, now
        self.macs: Mapping[str, Mac] = {mac.facts.mdm_id: mac for mac in world.macs.values()}
        self.privileges = {READ_COMPUTERS, READ_PROFILES, READ_GROUPS, UPDATE_GROUPS, COMMANDS, POLICIES}
        self.client_secret = CLIENT_SECRET
        self.token_seconds = 60
        self.tokens: dict[str, datetime] = {}
        self.old_token_path = False
        self.classic_says_401 = False
        #: The profile as it is set.
        self.method, self.level = "Install Automatically", "computer"
        self.all_computers = True
        self.target_groups: dict[int, str] = {}
        self.excluded_groups: dict[int, str] = {GROUP: GROUP_NAME}
        self.limitations = ""
        self.smart = False
        self.smart_groups: dict[int, Smart] = {}
        self.other_profiles: dict[int, Uses] = {8: Uses("FileVault")}
        self.policies: dict[int, Uses] = {3: Uses("Update Inventory")}
        self.attributes: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.commands_tell_profile = True
        self.page_size = 10_000
        #: Which node of the cluster a new session is given, and which took the last change.
        self.node, self._changed_on = "node-1", ""
        self._group_before: tuple[str, ...] = self._members()
        self.reports: dict[str, Report] = {}
        for name in world.macs:
            self.recon(name, self.now() - timedelta(hours=5))

    def recon(self, name: str, at: datetime | None = None) -> None:
        """The computer sends its inventory; what it no longer reports stays, INACTIVE."""
        mac = self.world.macs[name]
        before = self.reports[mac.facts.mdm_id].certificates if mac.facts.mdm_id in self.reports else {}
        there = {item.der: True for item in mac.system_keychain.items()}
        self.reports[mac.facts.mdm_id] = Report(
            at or self.now(), mac.profile_installed_at(), {**dict.fromkeys(before, False), **there}
        )

    def __call__(self, asked: Asked) -> Said:
        said = self._answer(asked)
        cookie = (("Set-Cookie", f"{_COOKIE}={self.node}; Path=/; HttpOnly"),) if _COOKIE not in _cookies(asked) else ()
        return Said(said.status, said.document, said.body, (*said.headers, *cookie), said.content_type)

    def _answer(self, asked: Asked) -> Said:
        if asked.path in ("/api/v1/oauth/token", "/api/oauth/token"):
            return self._token(asked)
        expires = self.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if expires is None or expires < self.now():
            return Said(401, {"httpStatus": 401, "errors": []})
        route = asked.path.removeprefix("/api").removeprefix("/JSSResource")
        for pattern, privilege, answer in (
            (r"/v1/jamf-pro-version", "", self._version),
            (r"/v4/computers-inventory", READ_COMPUTERS, self._inventory),
            (r"/v2/mdm/commands", COMMANDS, self._commands),
            (r"/v2/mdm/blank-push", COMMANDS, self._blank_push),
            (r"/osxconfigurationprofiles/id/7", READ_PROFILES, self._profile),
            (r"/osxconfigurationprofiles(/id/(?P<number>\d+)/subset/Scope)?", READ_PROFILES, self._other_profiles),
            (r"/policies(/id/(?P<number>\d+)/subset/Scope)?", POLICIES, self._policies),
            (r"/computergroups/id/(?P<number>\d+)", READ_GROUPS, self._group),
            (r"/computerhistory/id/(?P<number>\d+)/subset/Commands", READ_COMPUTERS, self._history),
        ):
            found = re.fullmatch(pattern, route)
            if found:
                needed = UPDATE_GROUPS if asked.method == "PUT" else privilege
                if needed and needed not in self.privileges:
                    classic = asked.path.startswith("/JSSResource")
                    return Said(401 if classic and self.classic_says_401 else 403, {"httpStatus": 403, "errors": []})
                return answer(asked, **found.groupdict())
        return Said(404, {"httpStatus": 404, "errors": []})

    # --- tokens ---------------------------------------------------------------------------------------------------

    def _token(self, asked: Asked) -> Said:
        if self.old_token_path and asked.path == "/api/v1/oauth/token":
            return Said(404, {"httpStatus": 404, "errors": []})
        form = {key: values[0] for key, values in parse_qs(asked.body.decode("ascii")).items()}
        wanted = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": self.client_secret}
        if form != wanted:
            return Said(401, {"error": "invalid_client"})
        token = f"planted-token-{len(self.tokens) + 1}"
        self.tokens[token] = self.now() + timedelta(seconds=self.token_seconds)
        document = {
            "access_token": token,
            "scope": "api-role:1",
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
        }
        return Said(200, document)

    # --- Jamf Pro API ---------------------------------------------------------------------------------------------

    def _version(self, asked: Asked) -> Said:
        return Said(200, {"version": "11.30.1-t1784555528405"})

    def _inventory(self, asked: Asked) -> Said:
        sections = {value for key, value in asked.query if key == "section"} or {"GENERAL"}
        conditions = _conditions(asked.get("filter"))
        found = []
        for number, mac in self.macs.items():
            fields = {"id": number, "hardware.serialNumber": mac.facts.serial_number}
            if number in self.deleted or any(key not in fields for key, _ in conditions):
                continue
            if all(fields[key] in values for key, values in conditions):
                found.append(self._computer(mac, sections))
        return self._page(asked, found)

    def _computer(self, mac: Mac, sections: set[str]) -> dict[str, Any]:
        number, report, now = mac.facts.mdm_id, self.reports[mac.facts.mdm_id], self.now()
        record = self.world.mdm.devices([mac.facts.serial_number], now).get(mac.facts.serial_number)
        attribute = {"definitionId": "23", "name": "scepfix", "values": [self.attributes.get(mac.facts.name, "")]}
        said: dict[str, Any] = {"id": number, "udid": mac.facts.hardware_uuid}
        if "GENERAL" in sections:
            said["general"] = {
                "name": mac.facts.name,
                "remoteManagement": {"managed": record is not None and record.managed},
                "mdmCapable": {"capable": True},
                "reportDate": rfc3339(report.at),
                "lastContact": rfc3339(mac.last_seen(now)),
                "lastCheckIn": rfc3339(mac.last_seen(now)),
                "lastEnrolledDate": "2026-01-15T09:30:00Z",
                "managementId": management_id(number),
                "extensionAttributes": [attribute] if mac.facts.name in self.attributes else [],
            }
        if "HARDWARE" in sections:
            said["hardware"] = {"make": "Apple", "serialNumber": mac.facts.serial_number}
        if "USER_AND_LOCATION" in sections:
            said["userAndLocation"] = {"username": mac.facts.person, "departmentId": "2", "buildingId": "1"}
        if "GROUP_MEMBERSHIPS" in sections:
            groups = [(str(key), one.name, True) for key, one in self.smart_groups.items() if number in one.members]
            groups += [(str(GROUP), GROUP_NAME, False)] if number in self._members() else []
            said["groupMemberships"] = [
                {"groupId": key, "groupName": name, "smartGroup": smart} for key, name, smart in groups
            ]
        if "CONFIGURATION_PROFILES" in sections:
            shown = {
                "id": "1", "displayName": NAME, "profileIdentifier": IDENTIFIER, "removable": False, "uuid": IDENTIFIER,
                "lastInstalled": rfc3339(report.profile_installed_at),
            }  # fmt: skip
            said["configurationProfiles"] = [shown] if report.profile_installed_at else []
        if "CERTIFICATES" in sections:
            said["certificates"] = [_listed(der, current=current) for der, current in report.certificates.items()]
        return said

    def _commands(self, asked: Asked) -> Said:
        conditions = [one for one in _conditions(asked.get("filter")) if one[0] in _COMMAND_FIELDS]
        if not asked.get("filter"):
            return Said(400, {"httpStatus": 400, "errors": []})
        found = []
        for command in self.commands():
            fields = {
                "clientManagementId": management_id(command["number"]),
                "command": command["kind"],
                "profileId": str(PROFILE) if command["kind"].endswith("_PROFILE") else "",
            }
            if all(fields.get(key, "") in values for key, values in conditions):
                found.append(self._command(command))
        found.sort(key=lambda one: one["dateSent"], reverse=asked.get("sort").endswith(":desc"))
        return self._page(asked, found)

    def _command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {
            "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, json.dumps(dict(command), sort_keys=True))),
            "dateSent": command["sent"],
            "client": {"managementId": management_id(command["number"]), "clientType": "COMPUTER"},
            "commandState": command["state"],
        }
        if command["completed"]:
            said["dateCompleted"] = command["completed"]
        # The published list of kinds lacks those of profiles, so a reply may not name them.
        if not command["kind"].endswith("_PROFILE"):
            said["commandType"] = command["kind"]
        elif self.commands_tell_profile:
            said["profileId"] = PROFILE
        return said

    def commands(self) -> list[dict[str, Any]]:
        """Return every command there was or is: ``number, kind, state, sent, completed``."""
        kinds = {"RemoveProfile": "REMOVE_PROFILE", "InstallProfile": "INSTALL_PROFILE"}
        done = [
            _one(one["mdm_id"], kinds[one["verb"]], "ACKNOWLEDGED", one["at"])
            for one in self.world.effects()
            if one["verb"] in kinds
        ]
        again = {one["number"] for one in done if one["kind"] == "INSTALL_PROFILE"}
        now = self.now()
        records = self.world.mdm.devices([mac.facts.serial_number for mac in self.macs.values()], now)
        for record in records.values():
            number = record.identity.mdm_id
            if record.installed_at is not None and number not in again:
                done.append(_one(number, "INSTALL_PROFILE", "ACKNOWLEDGED", rfc3339(record.installed_at) or ""))
            if record.removal_pending:
                done.append(_one(number, "REMOVE_PROFILE", "PENDING", rfc3339(now) or ""))
            if record.install_status in _WAITING:
                done.append(_one(number, "INSTALL_PROFILE", _WAITING[record.install_status], rfc3339(now) or ""))
            if record.set_apart in _APART:
                done.append(_one(number, _APART[record.set_apart], "ACKNOWLEDGED", rfc3339(now) or ""))
        return done

    def _blank_push(self, asked: Asked) -> Said:
        numbers = {management_id(number): number for number in self.macs}
        wanted = asked.document()["clientManagementIds"]
        self.world.mdm.nudge([numbers[one] for one in wanted if one in numbers], self.now())
        return Said(200, {"errorUuids": [one for one in wanted if one not in numbers]})

    def _page(self, asked: Asked, found: list[dict[str, Any]]) -> Said:
        size = min(int(asked.get("page-size", "100")), self.page_size)
        start = int(asked.get("page", "0")) * size
        return Said(200, {"totalCount": len(found), "results": found[start : start + size]})

    # --- Classic API ----------------------------------------------------------------------------------------------

    def _profile(self, asked: Asked) -> Said:
        settings = self.world.mdm.settings()
        payloads = plistlib.dumps(
            {
                "PayloadType": "Configuration",
                "PayloadIdentifier": IDENTIFIER,
                "PayloadUUID": "F6C6A5C1-0000-4000-8000-000000000007",
                "PayloadContent": [
                    {"PayloadType": kind, "PayloadContent": {"Challenge": settings.challenge}}
                    for kind in settings.payload_types
                ],
            }
        ).decode("utf-8")
        records = self.world.mdm.devices([mac.facts.serial_number for mac in self.macs.values()], self.now())
        outside = {one.identity.mdm_id: one.name for one in records.values() if not one.in_scope}
        return _xml(
            f"<os_x_configuration_profile><general><id>{PROFILE}</id><name>{NAME}</name>"
            f"<site><id>-1</id><name>None</name></site><distribution_method>{self.method}</distribution_method>"
            f"<user_removable>false</user_removable><level>{self.level}</level><uuid>{IDENTIFIER}</uuid>"
            f"<redeploy_on_update>Newly Assigned</redeploy_on_update><payloads>{escape(payloads)}</payloads></general>"
            f"<scope><all_computers>{str(self.all_computers).lower()}</all_computers><computers/>"
            f"<computer_groups>{_groups(self.target_groups)}</computer_groups><buildings/><departments/>"
            f"<limitations><users/>{self.limitations}<network_segments/></limitations>"
            f"<exclusions><computers>{_computers(outside)}</computers>"
            f"<computer_groups>{_groups(self.excluded_groups)}</computer_groups><users/></exclusions></scope>"
            "</os_x_configuration_profile>"
        )

    def _other_profiles(self, asked: Asked, number: str | None) -> Said:
        ours = {PROFILE: Uses(NAME, tuple(self.excluded_groups), tuple(self.target_groups))}
        return _uses("os_x_configuration_profile", {**ours, **self.other_profiles}, number)

    def _policies(self, asked: Asked, number: str | None) -> Said:
        return _uses("policy", self.policies, number)

    def _group(self, asked: Asked, number: str) -> Said:
        if int(number) in self.smart_groups:
            smart = self.smart_groups[int(number)]
            criteria = "".join(f"<criterion><name>{one}</name></criterion>" for one in smart.criteria)
            return _xml(_group(int(number), smart.name, smart=True, criteria=criteria, computers=""))
        if int(number) != GROUP:
            return Said(404, body=b"<html>Not Found</html>", content_type="text/html")
        if asked.method == "PUT":
            return self._change(asked)
        fresh = not self._changed_on or self._changed_on == _cookies(asked)
        members = {one: self.macs[one].facts.name for one in (self._members() if fresh else self._group_before)}
        serials = {one: self.macs[one].facts.serial_number for one in members}
        computers = _computers(members, serials)
        return _xml(_group(GROUP, GROUP_NAME, smart=self.smart, criteria="", computers=computers))

    def _change(self, asked: Asked) -> Said:
        root = ElementTree.fromstring(asked.body.decode("ascii"))
        before = self._members()
        for verb, change in (
            ("computer_additions", self.world.mdm.exclude),
            ("computer_deletions", self.world.mdm.put_back),
        ):
            numbers = [one.text or "" for one in root.findall(f"{verb}/computer/id")]
            if any(one not in self.macs or one in self.deleted for one in numbers):
                page = b"<html><p>Conflict</p><p>Error: Unable to match computer</p></html>"
                return Said(409, body=page, content_type="text/html")
            if numbers:
                change(numbers, self.now())
        self._group_before, self._changed_on = before, _cookies(asked)
        return Said(201, body=f"<computer_group><id>{GROUP}</id></computer_group>".encode(), content_type="text/xml")

    def _history(self, asked: Asked, number: str) -> Said:
        parts = {"ACKNOWLEDGED": "completed", "PENDING": "pending", "NOT_NOW": "pending", "ERROR": "failed"}
        names = {"INSTALL_PROFILE": f"Install Configuration Profile {NAME}"}
        names["REMOVE_PROFILE"] = f"Remove Configuration Profile {NAME}"
        lists: dict[str, str] = {"completed": "", "pending": "", "failed": ""}
        for one in self.commands():
            if one["number"] == number and one["kind"] in names:
                part = parts[one["state"]]
                status = "NotNow" if one["state"] == "NOT_NOW" else part.capitalize()
                ended = f"<{part}_epoch>{_epoch(one['completed'])}</{part}_epoch>" if one["completed"] else ""
                lists[part] += (
                    f"<command><name>{names[one['kind']]}</name><status>{status}</status>"
                    f"<issued_epoch>{_epoch(one['sent'])}</issued_epoch>{ended}</command>"
                )
        lists["completed"] += "<command><name>Update Inventory</name><status>Completed</status></command>"
        inside = "".join(f"<{part}>{commands}</{part}>" for part, commands in lists.items())
        return _xml(f"<computer_history><commands>{inside}</commands></computer_history>")

    def _members(self) -> tuple[str, ...]:
        return tuple(one.identity.mdm_id for one in self.world.mdm.members(self.now()))


_WAITING = {"Pending": "PENDING", "NotNow": "NOT_NOW", "Error": "ERROR"}
_APART = {"locked": "DEVICE_LOCK", "wiped": "ERASE_DEVICE", "lost-mode": "ENABLE_LOST_MODE"}


def management_id(number: str) -> str:
    """Return how Jamf calls the computer of that number where MDM commands are."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.computer"))


def settings(url: str, secret_file: Path) -> dict[str, Any]:
    """Return the section ``mdm`` of the settings for a face at that address; the secret is written into the file."""
    secret_file.write_text(f"{CLIENT_SECRET}\n", "utf-8")
    return {
        "kind": "jamf",
        "url": url,
        "client_id": CLIENT_ID,
        "client_secret": {"file": str(secret_file)},
        "profile": str(PROFILE),
        "exclusion_group": str(GROUP),
        "collector_attribute": "scepfix",
    }


class JamfContract:
    """Implements tests.contract.server.Contract: the Jamf Pro API as published, the Classic API by ``ClassicPaths``."""

    def __init__(self) -> None:
        self._pro = OpenApiContract(PRO_API, base="/api", elsewhere=("/api/oauth/token",))
        self._classic = ClassicPaths(CLASSIC_API)

    def of_request(self, asked: Asked) -> list[str]:
        return (self._classic if asked.path.startswith("/JSSResource/") else self._pro).of_request(asked)

    def of_reply(self, asked: Asked, said: Said) -> list[str]:
        # Jamf documents for no path how it refuses.
        if asked.path.startswith("/JSSResource/") or said.status in (400, 401, 403, 404):
            return []
        return self._pro.of_reply(asked, said)


class ClassicPaths:
    """Paths and methods of the Classic API. ``policies`` are not in the copy beside the checkout; Jamf has them."""

    _MORE = ("/policies", "/policies/id/{id}/subset/{subset}")
    _CHANGE = re.compile(
        rb"<computer_group><(computer_additions|computer_deletions)>(<computer><id>[1-9][0-9]*</id></computer>)+"
        rb"</\1></computer_group>"
    )

    def __init__(self, path: Path) -> None:
        paths: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["paths"]
        self._methods = {template: set(methods) for template, methods in paths.items()}
        self._methods |= {template: {"get"} for template in self._MORE}

    def of_request(self, asked: Asked) -> list[str]:
        """Return what in a request is not in the contract, a line each."""
        path, method = asked.path.removeprefix("/JSSResource"), asked.method.lower()
        wrong = []
        if not any(_fits(template, path) and method in methods for template, methods in self._methods.items()):
            wrong.append("no such path and method")
        if method not in ("get", "put") or (method == "put" and not path.startswith("/computergroups/id/")):
            wrong.append("nothing but a group's membership is ever changed")
        if method == "put" and not self._CHANGE.fullmatch(asked.body):
            wrong.append("a body of another form")
        if method == "put" and asked.headers.get("content-type") != "application/xml":
            wrong.append("a body that is not called XML")
        if "xml" not in asked.headers.get("accept", ""):
            wrong.append("XML is not asked for")
        return [f"{asked.method} {asked.path}: {one}" for one in wrong]


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)), path) is not None


def _conditions(text: str) -> list[tuple[str, list[str]]]:
    """Given RSQL of the forms that are used (``a==b;c=in=(d,"e")``), return fields with their values."""
    found = []
    for part in filter(None, text.split(";")):
        field_name, operator, value = re.fullmatch(r"([A-Za-z.]+)(==|=in=)(.+)", part).groups()  # type: ignore[union-attr]
        values = value.removeprefix("(").removesuffix(")").split(",") if operator == "=in=" else [value]
        found.append((field_name, [one.strip('"') for one in values]))
    return found


def _cookies(asked: Asked) -> str:
    return asked.headers.get("cookie", "")


def _one(number: str, kind: str, state: str, at: str) -> dict[str, Any]:
    return {"number": number, "kind": kind, "state": state, "sent": at, "completed": at if state != "PENDING" else ""}


def _epoch(at: str) -> int:
    moment = parse_rfc3339(at)
    assert moment is not None
    return round(moment.timestamp() * 1000)


def _listed(der: bytes, *, current: bool) -> dict[str, Any]:
    found = x509.load_der_x509_certificate(der)
    return {
        "commonName": found.subject.rfc4514_string(),
        "identity": True,
        "serialNumber": f"{found.serial_number:X}",
        "sha1Fingerprint": found.fingerprint(hashes.SHA1()).hex().upper(),
        "issuedDate": rfc3339(found.not_valid_before_utc),
        "expirationDate": rfc3339(found.not_valid_after_utc),
        "lifecycleStatus": "ACTIVE" if current else "INACTIVE",
        "certificateStatus": "ISSUED",
    }


def _xml(text: str) -> Said:
    return Said(
        200, body=f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), content_type="text/xml;charset=UTF-8"
    )


def _groups(groups: Mapping[int, str]) -> str:
    return "".join(
        f"<computer_group><id>{key}</id><name>{escape(name)}</name></computer_group>" for key, name in groups.items()
    )


def _computers(names: Mapping[str, str], serials: Mapping[str, str] | None = None) -> str:
    return "".join(
        f"<computer><id>{one}</id><name>{escape(name)}</name>"
        f"<serial_number>{(serials or {}).get(one, '')}</serial_number></computer>"
        for one, name in names.items()
    )


def _group(number: int, name: str, *, smart: bool, criteria: str, computers: str) -> str:
    return (
        f"<computer_group><id>{number}</id><name>{escape(name)}</name><is_smart>{str(smart).lower()}</is_smart>"
        f"<site><id>-1</id><name>None</name></site><criteria>{criteria}</criteria>"
        f"<computers>{computers}</computers></computer_group>"
    )


def _uses(element: str, uses: Mapping[int, Uses], number: str | None) -> Said:
    if number is None:
        items: Iterable[str] = (
            f"<{element}><id>{key}</id><name>{escape(one.name)}</name></{element}>" for key, one in uses.items()
        )
        return _xml(f"<list><size>{len(uses)}</size>{''.join(items)}</list>")
    if int(number) not in uses:
        return Said(404, body=b"<html>Not Found</html>", content_type="text/html")
    one = uses[int(number)]
    excluded, targets = (_groups(dict.fromkeys(keys, "a group")) for keys in (one.excludes, one.targets))
    return _xml(
        f"<{element}><scope><all_computers>false</all_computers><computer_groups>{targets}</computer_groups>"
        f"<exclusions><computer_groups>{excluded}</computer_groups></exclusions></scope></{element}>"
    )
