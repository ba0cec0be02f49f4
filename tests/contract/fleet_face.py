"""Fleet over the simulated world, with the shapes of its documentation: it has no published contract."""

from __future__ import annotations

import base64
import plistlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from tests.contract.server import Asked, Said

from scepfix.domain.mdm import MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.simulator.mac import Mac
from scepfix.simulator.world import World

TOKEN = "pl4nted~fleet-token"
CHALLENGE = "pl4nted~scep-challenge"
PROFILE = "a954ec5ea-a334-4825-87b3-937e7e381f24"
OTHER = "a11111111-a334-4825-87b3-937e7e381f24"
LABEL, LABEL_NAME = 77, "scepfix exclude"
SCRIPT, SCRIPT_NAME = 5, "scepfix-collector.sh"
_API = "/api/v1/fleet"

#: What of Fleet's documentation is used: parameters of the query, keys of the body.
_DOCUMENTED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    r"GET /me": ((), ()),
    r"GET /hosts/identifier/[^/]+": (("exclude_software",), ()),
    r"GET /hosts/\d+": (("exclude_software",), ()),
    r"GET /hosts/\d+/certificates": (("page", "per_page", "order_key", "order_direction"), ()),
    r"GET /hosts/\d+/scripts": (("page", "per_page"), ()),
    r"POST /hosts/\d+/refetch": ((), ()),
    r"GET /scripts/results/[^/]+": ((), ()),
    r"GET /labels/summary": ((), ()),
    r"GET /labels/\d+": ((), ()),
    r"(POST|DELETE) /hosts/\d+/labels": ((), ("labels",)),
    r"GET /configuration_profiles": (("team_id", "page", "per_page"), ()),
    r"GET /configuration_profiles/[^/]+": (("alt",), ()),
    r"GET /commands": (
        ("page", "per_page", "order_key", "order_direction", "host_identifier", "request_type"),
        (),
    ),
    r"GET /commands/results": (("command_uuid",), ()),
}

Answer = tuple[int, Any]


class DocumentedRequests:
    """Implements tests.contract.server.Contract: only requests that Fleet's documentation has."""

    def of_request(self, asked: Asked) -> list[str]:
        """Return what in a request is not documented, a line each."""
        where = f"{asked.method} {asked.path.removeprefix(_API)}"
        for pattern, (query, body) in _DOCUMENTED.items():
            if asked.path.startswith(_API) and re.fullmatch(pattern, where):
                wrong = [f"{where}: no parameter {key}" for key, _ in asked.query if key not in query]
                keys = tuple(asked.document()) if asked.body else ()
                return wrong + ([] if keys == body else [f"{where}: a body with {keys}"])
        return [f"{where}: there is no such request"]

    def of_reply(self, asked: Asked, said: Said) -> list[str]:
        """Nothing is published about replies."""
        return []


@dataclass
class FleetFace:
    """Answers as Fleet does; what a test may set is a field."""

    world: World
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    role: str = "maintainer"
    page: int = 100
    #: Newer versions name the profile of a command (fleetdm/fleet PR#42126).
    names_commands: bool = True
    #: A Fleet that says yes and changes no label.
    takes_labels: bool = True
    #: Older versions (before fleetdm/fleet PR#18283) have no labels of one host.
    has_labels_of_host: bool = True
    #: So many times a read replica shows a label as it was.
    lags: int = 0
    manual: bool = True
    excludes_label: bool = True
    broken: bool = False
    label_uses: bool = False
    profile_bytes: bytes | None = None
    #: Status of the row of an operation that is not done, by name of the Mac.
    failed: set[str] = field(default_factory=set)
    team_id: int | None = 3
    host_team_id: int | None = 3
    collected: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    _shown: list[int] | None = None

    def __call__(self, asked: Asked) -> Said:
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return _no(401, "Authentication required")
        if asked.method != "GET" and self.role not in ("admin", "maintainer"):
            return _no(403, "forbidden")
        where = f"{asked.method} {asked.path.removeprefix(_API)}"
        for pattern, answer in (
            (r"GET /me", self._me),
            (r"GET /hosts/identifier/([^/]+)", self._by_identifier),
            (r"GET /hosts/(\d+)", self._by_id),
            (r"GET /hosts/(\d+)/certificates", self._certificates),
            (r"GET /hosts/(\d+)/scripts", self._scripts),
            (r"POST /hosts/(\d+)/refetch", self._refetch),
            (r"GET /scripts/results/([^/]+)", self._output),
            (r"GET /labels/summary", self._summary),
            (rf"GET /labels/{LABEL}", self._label),
            (r"(POST|DELETE) /hosts/(\d+)/labels", self._change),
            (r"GET /configuration_profiles", self._profiles),
            (rf"GET /configuration_profiles/{PROFILE}", self._profile),
            (r"GET /commands", self._commands),
            (r"GET /commands/results", self._results),
        ):
            found = re.fullmatch(pattern, where)
            if found:
                said = answer(*found.groups(), asked=asked)
                return said if isinstance(said, Said) else Said(*said)
        return _no(404, "Resource Not Found")

    # --- hosts ----------------------------------------------------------------------------------------------------

    def _hosts(self) -> dict[int, Mac]:
        macs = sorted(self.world.macs.values(), key=lambda mac: mac.facts.name)
        return {number: mac for number, mac in enumerate(macs, 101) if self._record(mac) is not None}

    def _record(self, mac: Mac) -> MdmDevice | None:
        return self.world.mdm.devices([mac.facts.serial_number], self.now()).get(mac.facts.serial_number)

    def host_id(self, name: str) -> str:
        """Return the id of a Mac's host."""
        return next(str(number) for number, mac in self._hosts().items() if mac.facts.name == name)

    def _by_identifier(self, identifier: str, **_: Any) -> Said | Answer:
        wanted = identifier.replace("%20", " ")
        for number, mac in self._hosts().items():
            if wanted in (mac.facts.serial_number, mac.facts.hardware_uuid, mac.facts.name):
                return 200, {"host": self._host(number, mac)}
        return _no(404, "Host was not found")

    def _by_id(self, number: str, **_: Any) -> Said | Answer:
        mac = self._hosts().get(int(number))
        return _no(404, "Host was not found") if mac is None else (200, {"host": self._host(int(number), mac)})

    def _host(self, number: int, mac: Mac) -> dict[str, Any]:
        record = self._record(mac)
        assert record is not None
        labels = [{"id": 6, "name": "All Hosts", "label_type": "builtin", "label_membership_type": "dynamic"}]
        if record.excluded:
            labels.append({"id": LABEL, "name": LABEL_NAME, "label_type": "regular", "label_membership_type": "manual"})
        return {
            "id": number,
            "uuid": mac.facts.hardware_uuid,
            "hardware_serial": mac.facts.serial_number,
            "display_name": mac.facts.name,
            "hostname": f"{mac.facts.name}.local",
            "platform": "darwin",
            "team_id": self.host_team_id if record.in_scope else 9,
            "seen_time": rfc3339(record.last_seen_at),
            "detail_updated_at": rfc3339(record.last_seen_at),
            "labels": labels,
            "mdm": {
                "enrollment_status": "On (automatic)" if record.managed else "Off",
                "connected_to_fleet": record.managed,
                "device_status": {"locked": "locked", "wiped": "wiped"}.get(record.set_apart, "unlocked"),
                "pending_action": "",
                "profiles": self._rows(record),
            },
        }

    def _rows(self, record: MdmDevice) -> list[dict[str, Any]]:
        filevault = {
            "profile_uuid": OTHER,
            "name": "Disk encryption",
            "status": "verified",
            "operation_type": "install",
        }
        operation, status = "install", "verified"
        if record.excluded and record.profile_installed:
            operation, status = "remove", "failed" if record.name in self.failed else "pending"
        elif not record.profile_installed and not record.excluded:
            status = "failed" if record.install_status == "Error" else "pending"
        elif not record.profile_installed:
            return [filevault]
        row = {"profile_uuid": PROFILE, "name": self.world.mdm.profile().name, "status": status}
        return [filevault, {**row, "operation_type": operation, "detail": ""}]

    def _certificates(self, number: str, *, asked: Asked) -> Said | Answer:
        mac = self._hosts().get(int(number))
        if mac is None:
            return _no(404, "Host was not found")
        rows = []
        for index, item in enumerate(mac.system_keychain.items()):
            found = x509.load_der_x509_certificate(item.der)
            rows.append(
                {
                    "id": index,
                    "serial": f"{found.serial_number:x}",
                    "common_name": found.subject.rfc4514_string(),
                    "not_valid_before": rfc3339(found.not_valid_before_utc),
                    "not_valid_after": rfc3339(found.not_valid_after_utc),
                    "source": "system",
                    "username": "",
                }
            )
        rows.append({"id": 99, "serial": "ff", "common_name": "mine", "source": "user", "username": "alice"})
        return 200, self._paged("certificates", rows, asked)

    def _refetch(self, number: str, **_: Any) -> Said | Answer:
        mac = self._hosts().get(int(number))
        if mac is None:
            return _no(404, "Host was not found")
        # Fleet wakes a Mac for a command by itself; this world's Macs do what is owed when they are asked.
        self.world.mdm.nudge([mac.facts.mdm_id], self.now())
        return 200, {}

    # --- labels ---------------------------------------------------------------------------------------------------

    def _summary(self, **_: Any) -> Answer:
        return 200, {
            "labels": [
                {"id": 6, "name": "All Hosts", "description": "", "label_type": "builtin"},
                {"id": LABEL, "name": LABEL_NAME, "description": "", "label_type": "regular"},
            ]
        }

    def _inside(self) -> list[int]:
        members = {one.identity.mdm_id for one in self.world.mdm.members(self.now())}
        return [number for number, mac in self._hosts().items() if mac.facts.mdm_id in members]

    def _label(self, **_: Any) -> Answer:
        now = self._inside()
        if self.lags and self._shown is not None:
            self.lags -= 1
            now = self._shown
        kind = "manual" if self.manual else "dynamic"
        label = {"id": LABEL, "name": LABEL_NAME, "label_type": "regular", "label_membership_type": kind}
        # omitempty: an empty list is not there at all.
        return 200, {"label": {**label, "count": len(now), **({"host_ids": now} if now else {})}}

    def _change(self, method: str, number: str, *, asked: Asked) -> Said | Answer:
        mac = self._hosts().get(int(number))
        if mac is None or not self.has_labels_of_host:
            return _no(404, "Host was not found")
        if not self.manual or asked.document()["labels"] != [LABEL_NAME]:
            return _no(400, "couldn't add labels: these are dynamic, or unknown")
        inside = self._inside()
        self._shown = inside
        # Adding or removing twice is a success (fleetdm/fleet#16767).
        if self.takes_labels and (method == "POST") != (int(number) in inside):
            change = self.world.mdm.exclude if method == "POST" else self.world.mdm.put_back
            change([mac.facts.mdm_id], self.now())
        return 200, {}

    # --- profiles and commands ------------------------------------------------------------------------------------

    def _me(self, **_: Any) -> Answer:
        return 200, {"user": {"id": 1, "name": "scepfix", "global_role": self.role, "teams": [], "api_only": True}}

    def _profile(self, *, asked: Asked) -> Said | Answer:
        if asked.get("alt") == "media":
            return Said(200, body=self.profile_bytes or self.mobileconfig(), content_type="application/octet-stream")
        return 200, self._profile_row()

    def _profile_row(self) -> dict[str, Any]:
        profile = self.world.mdm.profile()
        label: dict[str, Any] = {"name": LABEL_NAME, **({"broken": True} if self.broken else {"id": LABEL})}
        return {
            "profile_uuid": PROFILE,
            "team_id": self.team_id,
            "name": profile.name,
            "platform": "darwin",
            "identifier": profile.identifier,
            "created_at": rfc3339(profile.changed_at),
            "updated_at": rfc3339(profile.changed_at),
            "checksum": "dGVzdAo=",
            **({"labels_exclude_any": [label]} if self.excludes_label else {}),
        }

    def _profiles(self, *, asked: Asked) -> Answer:
        uses = [{"name": LABEL_NAME, "id": LABEL}] if self.label_uses else []
        other = {"profile_uuid": OTHER, "name": "Wi-Fi \u202e", "labels_include_any": uses}
        return 200, self._paged("profiles", [self._profile_row(), other], asked)

    def mobileconfig(self, **more: Any) -> bytes:
        """Return the profile as Fleet lets it be downloaded; ``more`` are keys at its top."""
        profile = self.world.mdm.profile()
        contents = [
            {
                "PayloadType": kind,
                "PayloadIdentifier": f"{profile.identifier}.{number}",
                "PayloadContent": {"URL": "https://example.okta.com/pki/1", "Challenge": CHALLENGE},
            }
            for number, kind in enumerate(profile.payload_types)
        ]
        top = {"PayloadType": "Configuration", "PayloadIdentifier": profile.identifier, "PayloadContent": contents}
        return plistlib.dumps({**top, "PayloadScope": profile.scope.capitalize(), **more})

    def _all_commands(self) -> list[dict[str, Any]]:
        rows = []
        profile = self.world.mdm.profile()
        for number, mac in self._hosts().items():
            record = self._record(mac)
            assert record is not None
            for kind, at in (("RemoveProfile", record.removed_at), ("InstallProfile", record.installed_at)):
                if at is not None:
                    rows.append(self._command(number, mac, kind, at, profile.name, f"own-{kind}-{number}"))
                # Other profiles come and go, too, and later: that says nothing about this one.
                other = f"other-{kind}-{number}"
                rows.append(self._command(number, mac, kind, self.now(), "Disk encryption", other))
        return rows

    def _command(self, number: int, mac: Mac, kind: str, at: datetime, name: str, uuid: str) -> dict[str, Any]:
        return {
            "host_uuid": mac.facts.hardware_uuid,
            "command_uuid": uuid,
            "status": "Acknowledged",
            "updated_at": rfc3339(at),
            "request_type": kind,
            "hostname": mac.facts.name,
            **({"name": name} if self.names_commands else {}),
        }

    def _commands(self, *, asked: Asked) -> Answer:
        rows = [
            row
            for row in self._all_commands()
            if asked.get("host_identifier", row["host_uuid"]) == row["host_uuid"]
            and asked.get("request_type", row["request_type"]) == row["request_type"]
        ]
        newest = sorted(rows, key=lambda row: str(row["updated_at"]), reverse=True)
        return 200, {"results": newest[: int(asked.get("per_page", "100"))]}

    def _results(self, *, asked: Asked) -> Answer:
        own, kind, _ = asked.get("command_uuid").split("-")
        identifier = self.world.mdm.profile().identifier if own == "own" else "com.example.other"
        command: dict[str, Any] = {"RequestType": kind}
        if kind == "RemoveProfile":
            command["Identifier"] = identifier
        else:
            command["Payload"] = self.mobileconfig(PayloadIdentifier=identifier)
        payload = base64.b64encode(plistlib.dumps({"Command": command, "CommandUUID": "x"})).decode()
        return 200, {"results": [{"command_uuid": asked.get("command_uuid"), "payload": payload, "result": ""}]}

    # --- scripts --------------------------------------------------------------------------------------------------

    def _scripts(self, number: str, *, asked: Asked) -> Said | Answer:
        mac = self._hosts().get(int(number))
        if mac is None:
            return _no(404, "Host was not found")
        rows: list[dict[str, Any]] = [{"script_id": 4, "name": "other.sh", "last_execution": None}]
        found = self.collected.get(mac.facts.name)
        last = found and {"execution_id": f"run-{number}", "executed_at": rfc3339(found[1]), "status": "ran"}
        rows.append({"script_id": SCRIPT, "name": SCRIPT_NAME, "last_execution": last})
        return 200, self._paged("scripts", rows, asked)

    def _output(self, execution: str, **_: Any) -> Said | Answer:
        mac = self._hosts()[int(execution.removeprefix("run-"))]
        return 200, {"exit_code": 0, "output": self.collected[mac.facts.name][0], "execution_id": execution}

    def _paged(self, key: str, rows: list[dict[str, Any]], asked: Asked) -> dict[str, Any]:
        size = min(self.page, int(asked.get("per_page", "100")))
        start = int(asked.get("page", "0")) * size
        more = start + size < len(rows)
        return {key: rows[start : start + size], "meta": {"has_next_results": more, "has_previous_results": start > 0}}


def _no(status: int, reason: str) -> Said:
    return Said(status, {"message": reason, "errors": [{"name": "base", "reason": f"{reason} {TOKEN}"}]})
