"""The simulated Okta org: device records, who registered on them, settings, roles; and what a sign-in leads to.

Its HTTP answers have the shapes of the Okta API where there is one (facts: device records, errors, System Log, the
setting, roles). The targets of the recovery events are ours: no public sample shows them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from scepfix.domain.moment import rfc3339
from scepfix.simulator import device_log, files
from scepfix.simulator.ca import ORG
from scepfix.simulator.mac import Mac

ADMIN, HELPDESK, READER = "admin@example.com", "helpdesk@example.com", "reader@example.com"
REGISTERED = "device.desktop_mfa.recovery_pin.rotate_secret"
_CLOCK_LIMIT_SECONDS = 300
_CLAUSE = re.compile(r'([A-Za-z][A-Za-z.]*) eq "([^"]*)"')


class OktaOrg:
    """The org of the world in that folder. Each method takes the moment at which it happens."""

    def __init__(self, world: Path) -> None:
        self._world = world
        self._folder = world / "okta"
        self._unchanged = files.UnchangedJson(self._folder / "state.json")
        self._held: dict[str, Any] | None = None

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Write what happens in the block once, at its end: hundreds of devices are set up in seconds so."""
        with files.locked(self._world):
            self._held = self._load()
        try:
            yield
        finally:
            held, self._held = self._held, None
            with files.locked(self._world):
                self._save(held)

    def create(self) -> None:
        self._folder.mkdir()
        roles = {ADMIN: ["SUPER_ADMIN"], HELPDESK: ["HELP_DESK_ADMIN"], READER: ["READ_ONLY_ADMIN"]}
        self._save(
            {
                "devices": [],
                "certificates": {},
                "revoked": [],
                "events": [],
                "enrolments": [],
                "pin": True,
                "roles": roles,
            }
        )

    # The console

    def set_pin(self, enabled: bool) -> None:
        """Set Enable Device Recovery PIN for Desktop MFA."""
        self._change(lambda state: state.update(pin=enabled))

    def set_roles(self, admin: str, roles: Iterable[str]) -> None:
        """Set an admin's roles, by RoleType."""
        self._change(lambda state: state["roles"].update({admin: list(roles)}))

    def deactivate(self, mac: Mac, now: datetime) -> None:
        self._change(lambda state: _end(state, mac, now, "DEACTIVATED", "device.lifecycle.deactivate"))

    def suspend(self, mac: Mac, now: datetime) -> None:
        self._change(lambda state: _end(state, mac, now, "SUSPENDED", "device.lifecycle.suspend"))

    def delete(self, mac: Mac, now: datetime) -> None:
        """Delete the device's record; its certificates are revoked for good with it."""
        self._change(lambda state: _end(state, mac, now, "DELETED", "device.lifecycle.delete"))

    def revoke(self, mac: Mac, der: bytes, now: datetime) -> None:
        """Revoke one certificate of that device, and nothing else."""
        serial = _serial(der)

        def change(state: dict[str, Any]) -> None:
            state["revoked"].append(serial)
            record = _living(state, mac.facts.serial_number)
            devices = [_device(record)] if record else []
            _event(state, now, "pki.cert.lifecycle.revoke", [{"id": serial, "type": "Certificate"}, *devices])

        self._change(change)

    # The device and the person

    def enrol_person(self, mac: Mac, now: datetime) -> None:
        """The person enrols in Desktop MFA on the device: it has a record from then on."""
        self._change(lambda state: _enrolled(state, mac, now))

    def sign_in(self, mac: Mac, now: datetime) -> bool:
        """The person signs in on the device, online: the daemon tries to register. Return whether it did.

        It writes to the device's log what it would (M1, then M2 or M3, or nothing more: no line of success is known).
        The first use of a certificate binds it to the record of this device, which is made where there is none.
        """
        with files.locked(self._world):
            mac.log(device_log.attempt(now))
            used = mac.usable(now)
            if used is None:
                mac.log(device_log.no_certificate(now))
                return False
            state = self._load()
            if (
                not _accepted(state, self._world, used.der)
                or abs(float(mac.told("clock-offset") or 0)) > _CLOCK_LIMIT_SECONDS
            ):
                mac.log(device_log.rejected(now))
                return False
            record = _enrolled(state, mac, now)
            state["certificates"].setdefault(_serial(used.der), record["id"])
            targets = [_user(mac), _device(record)]
            _event(state, now, REGISTERED, targets)
            self._save(state)
        return True

    def registered(self, serial_number: str, person: str, since: datetime) -> bool:
        """Has that person registered since then, on the record that exists now?"""
        state = self._unchanged.read()
        record = _living(state, serial_number)
        start = rfc3339(since) or ""
        return record is not None and any(
            event["eventType"] == REGISTERED
            and event["published"] >= start
            and {person, record["id"]} <= {target.get("alternateId") or target["id"] for target in event["target"]}
            for event in state["events"]
        )

    # The API

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        """Given path and query of a GET, return HTTP status and JSON document."""
        state, path = self._unchanged.read(), unquote(path)
        if path == "/api/v1/devices":
            found_ones = [one for one in state["devices"] if _matches_search(one, query.get("search", ""))]
            if "expand" not in query:
                return 200, [_shown(one) for one in found_ones]
            return 200, [{**_shown(one), "_embedded": {"users": _users(state, one)}} for one in found_ones]
        if path == "/api/v1/logs":
            return 200, [event for event in state["events"] if _matches_filter(event, query)][-1000:]
        if path == "/device-access/api/v1/desktop-mfa/recovery-pin-settings":
            return 200, {"desktopMFARecoveryPinEnabled": state["pin"]}
        if path == "/api/v1/features":
            return 200, []
        if found := re.fullmatch(r"/api/v1/users/([^/]+)(/roles)?", path):
            login = _login(state, found[1])
            if login is None:
                return _not_found(found[1])
            return 200, _roles(state["roles"].get(login, [])) if found[2] else _person(login)
        if found := re.fullmatch(r"/api/v1/devices/([^/]+)(/os-accounts|/users)?", path):
            records = [one for one in state["devices"] if one["id"] == found[1] and one["status"] != "DELETED"]
            if not records:
                return _not_found(found[1])
            below = {"/os-accounts": _accounts, "/users": _users}.get(found[2] or "")
            return 200, below(state, records[0]) if below else _shown(records[0])
        return _not_found(path)

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        with files.locked(self._world):
            state = self._load()
            change(state)
            self._save(state)

    def _load(self) -> dict[str, Any]:
        if self._held is not None:
            return self._held
        found: dict[str, Any] = files.read_json(self._folder / "state.json")
        return found

    def _save(self, state: Mapping[str, Any]) -> None:
        if self._held is None:
            files.write_json(self._folder / "state.json", state)


def _accepted(state: Mapping[str, Any], world: Path, der: bytes) -> bool:
    """Does the server take this certificate? From this org's CA, not revoked, not of a record that ended."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((world / f"ca/{ORG}.pem").read_bytes()))
    except (ValueError, TypeError, InvalidSignature):
        return False
    if _serial(der) in state["revoked"]:
        return False
    bound = state["certificates"].get(_serial(der))
    return all(record["status"] in ("ACTIVE", "SUSPENDED") for record in state["devices"] if record["id"] == bound)


def _enrolled(state: dict[str, Any], mac: Mac, now: datetime) -> dict[str, Any]:
    """Return the living record of a device, made where there is none, with the person enrolled on it."""
    record = _living(state, mac.facts.serial_number)
    if record is None:
        record = {
            "id": "guo" + secrets.token_hex(9)[:17],
            "status": "ACTIVE",
            "created": rfc3339(now),
            "lastUpdated": rfc3339(now),
            "profile": {
                "displayName": mac.facts.name,
                "platform": mac.facts.platform.upper(),
                "serialNumber": mac.facts.serial_number,
                "udid": mac.facts.hardware_uuid,
                "registered": True,
            },
        }
        state["devices"].append(record)
    enrolment = {"person": mac.facts.person, "device": record["id"]}
    if mac.facts.person and enrolment not in state["enrolments"]:
        state["enrolments"].append(enrolment)
        _event(state, now, "device.desktop_mfa.enrollment.create", [_user(mac), _device(record)])
    return record


def _end(state: dict[str, Any], mac: Mac, now: datetime, status: str, event: str) -> None:
    record = _living(state, mac.facts.serial_number)
    if record is None:
        return
    record.update(status=status, lastUpdated=rfc3339(now))
    _event(state, now, event, [_device(record)])
    if status == "DELETED":
        gone = [serial for serial, device in state["certificates"].items() if device == record["id"]]
        state["revoked"] += gone
        for serial in gone:
            _event(state, now, "pki.cert.lifecycle.delete", [{"id": serial, "type": "Certificate"}])


def _living(state: Mapping[str, Any], serial_number: str) -> dict[str, Any] | None:
    found = [
        record
        for record in state["devices"]
        if record["profile"]["serialNumber"] == serial_number and record["status"] != "DELETED"
    ]
    return found[-1] if found else None


def _event(state: dict[str, Any], now: datetime, kind: str, targets: list[dict[str, Any]]) -> None:
    state["events"].append(
        {
            "uuid": secrets.token_hex(16),
            "published": rfc3339(now),
            "eventType": kind,
            "outcome": {"result": "SUCCESS"},
            "target": targets,
        }
    )


def _user(mac: Mac) -> dict[str, Any]:
    return {"id": _user_id(mac.facts.person), "type": "User", "alternateId": mac.facts.person}


def _user_id(login: str) -> str:
    return "00u" + hashlib.sha256(login.encode("utf-8")).hexdigest()[:17]


def _login(state: Mapping[str, Any], id_or_login: str) -> str | None:
    """Return the login of a person whom the org knows by that id or login, None where it knows nobody so named."""
    known = [*state["roles"], *(one["person"] for one in state["enrolments"])]
    wanted = id_or_login.casefold()
    return next((one for one in known if wanted in (one.casefold(), _user_id(one).casefold())), None)


def _person(login: str) -> dict[str, Any]:
    return {"id": _user_id(login), "status": "ACTIVE", "profile": {"login": login, "email": login}}


def _roles(kinds: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"ra1-{kind}", "label": kind, "type": kind, "status": "ACTIVE", "assignmentType": "USER"}
        for kind in kinds
    ]


def _users(state: Mapping[str, Any], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    people = [one["person"] for one in state["enrolments"] if one["device"] == record["id"]]
    return [{"created": record["created"], "managementStatus": "MANAGED", "user": _person(one)} for one in people]


def _device(record: Mapping[str, Any]) -> dict[str, Any]:
    profile = record["profile"]
    detail = {"serialNumber": profile["serialNumber"], "udid": profile["udid"]}
    return {"id": record["id"], "type": "Device", "displayName": profile["displayName"], "detailEntry": detail}


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    links = {"self": {"href": f"/api/v1/devices/{record['id']}"}}
    return {**record, "resourceType": "UDDevice", "resourceId": record["id"], "_links": links}


def _accounts(state: Mapping[str, Any], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    people = [one["person"] for one in state["enrolments"] if one["device"] == record["id"]]
    href = f"https://example.okta.com/api/v1/devices/{record['id']}"
    moments = {"created": record["created"], "lastUpdated": record["created"]}
    return [
        {
            "id": f"dao{_user_id(person)[3:]}",
            "deviceId": record["id"],
            "platform": record["profile"]["platform"],
            "profile": {"username": person.split("@")[0]},
            "status": "ACTIVE",
            **moments,
            "_embedded": {
                "users": [_person(person)],
                "accountLinkedEnrollments": [{"type": "desktop_mfa", "status": "ACTIVE", **moments}],
            },
            "_links": {"device": {"href": href}},
        }
        for person in people
    ]


def _matches_search(record: Mapping[str, Any], search: str) -> bool:
    profile = record["profile"]
    known = {"profile.serialNumber": profile["serialNumber"], "profile.udid": profile["udid"], "id": record["id"]}
    clauses = _CLAUSE.findall(search)
    return record["status"] != "DELETED" and all(known.get(key) == value for key, value in clauses)


def _matches_filter(event: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    clauses = _CLAUSE.findall(query.get("filter", ""))
    targets = {target["id"] for target in event["target"]}
    return query.get("since", "") <= event["published"] <= query.get("until", "~") and all(
        value in targets if key == "target.id" else key == "eventType" and value == event["eventType"]
        for key, value in clauses
    )


def _not_found(what: str) -> tuple[int, Any]:
    return 404, {"errorCode": "E0000007", "errorSummary": f"Not found: Resource not found: {what}"}


def _serial(der: bytes) -> str:
    return f"{x509.load_der_x509_certificate(der).serial_number:x}"
