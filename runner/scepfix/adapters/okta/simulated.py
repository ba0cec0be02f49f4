"""The simulated Okta org, over HTTP in the shapes of Okta's API (docs/simulated-world.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from scepfix.adapters.json_http import JsonService
from scepfix.adapters.okta import OktaError
from scepfix.domain.device import Identity
from scepfix.domain.evidence import Evidence, Fact, Witness
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.parsers.settings import ServiceSettings

#: Given a path and a query, return status (200 or 404) and JSON document.
Get = Callable[[str, Mapping[str, str]], tuple[int, Any]]

#: Standard roles that may generate a recovery PIN (Okta help page "Desktop MFA recovery").
GENERATING_ROLES = frozenset({"SUPER_ADMIN", "ORG_ADMIN", "HELP_DESK_ADMIN"})
REGISTERED = "device.desktop_mfa.recovery_pin.rotate_secret"
_DELETED, _REVOKED = "device.lifecycle.delete", "pki.cert.lifecycle.revoke"
_SAYS_OF_STATUS = {
    "ACTIVE": "okta.device-active",
    "UNSUSPENDED": "okta.device-active",
    "DEACTIVATED": "okta.device-deactivated",
    "SUSPENDED": "okta.device-suspended",
}
#: What may stand between the quotes of a search; anything else is no serial number and no UUID.
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

Read = TypeVar("Read")


class SimulatedOkta:
    """Implements service.ports.Okta."""

    def __init__(self, settings: ServiceSettings, get: Get | None = None, now: Callable[[], datetime] | None = None):
        """``get`` and ``now`` stand in for HTTP and the clock in tests."""
        service = JsonService(settings, "okta", OktaError)
        self._wrong = service.wrong
        self._get: Get = get or (lambda path, query: service.ask("GET", path, query))
        self._now = now or (lambda: datetime.now(UTC))

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        """Given a device's identity and who it is about ("" where unknown), return what Okta says. Raise OktaError."""
        try:
            record = self._living(identity)
            return (
                *self._records(identity, record),
                *self._registration(record, person),
                *self._setting(),
                *self._permission(admin),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("answer", "an answer of another form than expected", "is it Okta?") from error

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        """Has that person registered since then, on the record that exists now? None without a record to ask for."""
        try:
            record = self._living(identity)
            if record is None or not person:
                return None
            return any(at >= since for at in self._registrations(record["id"], person))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._wrong("answer", "an answer of another form than expected", "is it Okta?") from error

    def _records(self, identity: Identity, record: Any) -> Iterator[Evidence]:
        gone = [(event, target) for event in self._events(_DELETED) for target in _devices(event, identity)]
        if record is not None and record["status"] in _SAYS_OF_STATUS:
            facts: dict[str, Fact] = {"device_id": visible(record["id"])}
            if record["status"] in ("ACTIVE", "UNSUSPENDED"):
                facts["created_at"] = rfc3339(parse_rfc3339(record["created"]))
            yield self._says(_SAYS_OF_STATUS[record["status"]], "devices", facts)
        for event, target in gone:
            deleted_at = rfc3339(parse_rfc3339(event["published"]))
            facts = {"device_id": visible(target["id"]), "deleted_at": deleted_at}
            yield self._says("okta.device-gone", "System Log", facts)
        if record is None and not gone and _key(identity):
            yield self._says("okta.no-record", "devices", {})
        for event in self._events(_REVOKED):
            certificates = [one for one in event["target"] if one["type"] == "Certificate"]
            for certificate in certificates if _devices(event, identity) else ():
                serial: dict[str, Fact] = {"serial_number": visible(certificate["id"]).lower()}
                yield self._says("okta.certificate-revoked", "System Log", serial)

    def _registration(self, record: Any, person: str) -> Iterator[Evidence]:
        if record is None or not person:
            return
        device: dict[str, Fact] = {"person": visible(person), "device_id": visible(record["id"])}
        moments = self._registrations(record["id"], person)
        if moments:
            yield self._says("okta.registered", "System Log", device, max(moments))
        else:
            yield self._says("okta.not-registered", "System Log", {"person": visible(person)})
        _, accounts = self._get(f"/api/v1/devices/{quote(record['id'], safe='')}/os-accounts", {})
        enrolled = any(_enrolled(account, person) for account in accounts or ())
        yield self._says(f"okta.{'' if enrolled else 'not-'}enrolled", "os-accounts", {"person": visible(person)})

    def _setting(self) -> Iterator[Evidence]:
        path = "/device-access/api/v1/desktop-mfa/recovery-pin-settings"
        status, said = self._get(path, {})
        # Okta took this path out of its public description: without it nobody has looked.
        if status == 200:
            enabled = said["desktopMFARecoveryPinEnabled"]
            if not isinstance(enabled, bool):
                raise ValueError("the setting is neither on nor off")
            yield self._says("okta.pin-setting", "recovery-pin-settings", {"enabled": enabled})

    def _permission(self, admin: str) -> Iterator[Evidence]:
        status, said = self._get(f"/api/v1/users/{quote(admin, safe='')}/roles", {}) if admin else (404, None)
        if status == 200:
            roles = sorted(str(role["type"]) for role in said or ())
            allowed = bool(GENERATING_ROLES.intersection(roles))
            facts: dict[str, Fact] = {"allowed": allowed, "roles": visible(", ".join(roles))}
            if not allowed:
                facts["reason"] = "role"
            yield self._says("okta.admin-may-generate", "roles", facts)

    def _living(self, identity: Identity) -> Any:
        key = _key(identity)
        if key is None:
            return None
        _, found = self._get("/api/v1/devices", {"search": f'{key[0]} eq "{key[1]}"'})
        # The search lags behind: what counts is the record read by its id.
        for record in found or ():
            status, read = self._get(f"/api/v1/devices/{quote(str(record['id']), safe='')}", {})
            if status == 200:
                return read
        return None

    def _registrations(self, device_id: str, person: str) -> list[datetime]:
        query = f'eventType eq "{REGISTERED}" and target.id eq "{device_id}"'
        if not _PLAIN.fullmatch(device_id):
            raise ValueError("no id of a device")
        _, events = self._get("/api/v1/logs", {"filter": query})
        moments = [
            parse_rfc3339(event["published"])
            for event in events or ()
            if event["outcome"]["result"] == "SUCCESS"
            and any(target.get("alternateId") == person for target in event["target"])
        ]
        return [at for at in moments if at is not None]

    def _events(self, kind: str) -> list[Any]:
        _, found = self._get("/api/v1/logs", {"filter": f'eventType eq "{kind}"'})
        return list(found or ())

    def _says(self, says: str, source: str, facts: Mapping[str, Fact], at: datetime | None = None) -> Evidence:
        return Evidence(Witness.OKTA, f"okta:{source}", says, observed_at=at or self._now(), facts=facts)


def _key(identity: Identity) -> tuple[str, str] | None:
    """Return attribute and value to search for, None where the identity has none that is safe in a query."""
    for attribute, value in (
        ("profile.serialNumber", identity.serial_number),
        ("profile.udid", identity.hardware_uuid),
    ):
        if _PLAIN.fullmatch(value):
            return attribute, value
    return None


def _devices(event: Any, identity: Identity) -> list[Any]:
    """Return the targets of an event that are this device."""
    mine = {identity.serial_number, identity.hardware_uuid} - {""}
    details = [(target, target.get("detailEntry") or {}) for target in event["target"]]
    return [target for target, detail in details if mine & {detail.get("serialNumber"), detail.get("udid")}]


def _enrolled(account: Any, person: str) -> bool:
    embedded = account["_embedded"]
    kinds = {(one["type"], one["status"]) for one in embedded["accountLinkedEnrollments"]}
    return ("desktop_mfa", "ACTIVE") in kinds and any(one["profile"]["login"] == person for one in embedded["users"])
