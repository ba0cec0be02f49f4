"""One Okta org by its management API, read only: what it says of a device, a person, an admin and itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from scepfix.adapters.okta.api import OktaApi
from scepfix.adapters.okta.checks import checks_of
from scepfix.adapters.okta.permission import may_generate
from scepfix.adapters.okta.snapshot_file import load_snapshot
from scepfix.domain.check import Check
from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError
from scepfix.domain.evidence import Evidence, Fact, Witness
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.parsers.okta_deletions import DELETED
from scepfix.parsers.okta_snapshot import Snapshot, keys_of, read_device, same_device
from scepfix.parsers.service_settings import ServiceSettings

#: The device rotates its recovery secret about every 7 days, per person: no other event says more of a registration.
REGISTERED = "device.desktop_mfa.recovery_pin.rotate_secret"
ENROLLED = "device.desktop_mfa.enrollment.create"
REVOKED = "pki.cert.lifecycle.revoke"
SETTING_PATH = "/device-access/api/v1/desktop-mfa/recovery-pin-settings"
#: The System Log goes back so far (developer.okta.com, "System Log API").
LOG_DAYS = 90
_SAYS_OF_STATUS = {
    "ACTIVE": "okta.device-active",
    "UNSUSPENDED": "okta.device-active",
    "DEACTIVATED": "okta.device-deactivated",
    "SUSPENDED": "okta.device-suspended",
}
#: What may stand between the quotes of a search; anything else is no serial number, no UUID and no id.
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_SETTING_BY_HAND = (
    "Okta's API does not tell whether recovery PINs are on here: check by hand: Security > General > Okta Device Access"
)
#: Okta's path has another meaning for these than a person's name: a folder of it, and whoever asks.
_NO_NAMES = frozenset({".", "..", "me"})
#: What holds for the whole org is not asked again for each device of a plan.
_REMEMBERED = timedelta(seconds=60)
#: A device that had more records than that is no device.
_MOST_RECORDS = 20

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Read = TypeVar("Read")


class OktaManagementApi:
    """Implements service.ports.Okta. ``sleep`` and ``now`` stand in for the clock in tests."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._now = settings, now
        self._api = OktaApi(settings, sleep=sleep, now=now)
        self._org: dict[str, tuple[datetime, Any]] = {}
        self._users: dict[str, Mapping[str, Any] | None] = {}
        self._notes: list[str] = []

    # --- service.ports.Okta ---------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Check]:
        """Yield what ``scepfix doctor`` can see of credential, scopes, setting, clock and log; never raises."""
        return checks_of(self._api, SETTING_PATH)

    def notes(self) -> tuple[str, ...]:
        """Return what the last ``device_evidence`` could not look at, and where a person does so by hand."""
        return tuple(dict.fromkeys(self._notes))

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        """Given a device's identity and who it is about ("" where unknown), return what Okta says. Raise OktaError."""
        self._notes = []
        with self._api.expected():
            records = self._records(identity)
            return (
                *self._of_records(identity, records),
                *self._of_registration(records.living, person),
                *self._of_setting(),
                *self._of_features(),
                *self._of_permission(admin),
            )

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        """Has that person registered since then, on the record that exists now? None where it cannot be known."""
        self._notes = []
        with self._api.expected():
            record = self._records(identity).living
            user = self._user(person) if person else None
            if record is None or user is None:
                return None
            return any(at >= since for at in self._moments(REGISTERED, record, user, since))

    # --- the device's records -------------------------------------------------------------------------------------

    def _records(self, identity: Identity) -> _Records:
        """A search only says where to look, it lags behind: what counts is each record as it is read by its id."""
        snapshot, wrong = self._remember("snapshot", self._snapshot)[1]
        self._notes += wrong
        ids = dict.fromkeys([*self._search(identity), *snapshot.ids_of(identity)][:_MOST_RECORDS])
        gone: list[str] = []
        living: list[tuple[datetime, Any]] = []
        for device_id in ids:
            status, found = self._api.get(f"/api/v1/devices/{quote(device_id, safe='')}", needs="okta.devices.read")
            if status != 200:
                gone.append(device_id)
                continue
            known = read_device(found, self._now())
            if same_device(known, identity):
                living.append((known.created or _LONG_AGO, found))
        living.sort(key=lambda pair: pair[0])
        if len(living) > 1:
            newest = visible(living[-1][1]["id"])
            self._notes.append(f"Okta has {len(living)} records of this device; the newest counts ({newest}).")
        keys = keys_of(identity.serial_number, identity.hardware_uuid)
        return _Records(living[-1][1] if living else None, tuple(gone), frozenset(ids), keys, snapshot)

    def _search(self, identity: Identity) -> list[str]:
        for attribute, value in _searches(identity):
            query: dict[str, str | int] = {"search": f'{attribute} eq "{value}"', "limit": 200}
            found = list(self._api.pages("/api/v1/devices", query, needs="okta.devices.read"))
            if found:
                return [_checked(record["id"]) for record in found]
        return []

    def _snapshot(self) -> tuple[Snapshot, tuple[str, ...]]:
        """Return the snapshot, and a note where it does not count: each device's notes have it, read anew or not."""
        try:
            return load_snapshot(self._settings, self._api.org), ()
        except InputError as error:
            return Snapshot(self._api.org), (f"The snapshot does not count: {error.message}.",)

    def _of_records(self, identity: Identity, records: _Records) -> Iterator[Evidence]:
        record = records.living
        if not _searches(identity):
            return
        if record is not None:
            yield from self._of_living(record)
        told = set[str]()
        for event in self._events(DELETED):
            for target in _targets(event, "Device"):
                if not records.is_mine(target) or event["outcome"]["result"] != "SUCCESS":
                    continue
                told.add(str(target["id"]))
                deleted_at = rfc3339(parse_rfc3339(event["published"]))
                facts: dict[str, Fact] = {"device_id": visible(str(target["id"])), "deleted_at": deleted_at}
                yield self._says("okta.device-gone", "System Log", facts)
        if record is None:
            # Older than the log: when it was deleted nobody says, so beside a living record it tells nothing.
            for device_id in records.gone:
                if device_id not in told:
                    yield self._says("okta.device-gone", "devices", {"device_id": device_id})
            if not told and not records.gone:
                yield from self._of_no_record(records)
        yield from self._of_revocations(records)

    def _of_living(self, record: Mapping[str, Any]) -> Iterator[Evidence]:
        says = _SAYS_OF_STATUS.get(str(record["status"]))
        if says is None:
            self._notes.append(
                f"The device's record has a status that scepfix does not know: {visible(record['status'])}."
            )
            return
        facts: dict[str, Fact] = {"device_id": visible(record["id"])}
        if says == "okta.device-active":
            facts["created_at"] = rfc3339(parse_rfc3339(record["created"]))
        yield self._says(says, "devices", facts)

    def _of_no_record(self, records: _Records) -> Iterator[Evidence]:
        """That nothing was deleted can only be said where each deletion tells of which device it was."""
        nameless = [
            target
            for event in self._events(DELETED)
            for target in _targets(event, "Device")
            if not _keys(target) and target["id"] not in records.snapshot.devices
        ]
        if not nameless:
            yield self._says("okta.no-record", "devices", {})
            return
        self._notes.append(
            f"Okta has no record of this device; {len(nameless)} deletion(s) in its log name no serial number, and may "
            "be of it: a daily scepfix okta snapshot tells from then on (scepfix okta deleted lists them)."
        )

    def _of_revocations(self, records: _Records) -> Iterator[Evidence]:
        for event in self._events(REVOKED):
            if not any(records.is_mine(target) for target in _targets(event, "Device")):
                continue
            for target in _targets(event, "Certificate"):
                serial = str(target["id"]).lower()
                if _HEX.fullmatch(serial):
                    yield self._says("okta.certificate-revoked", "System Log", {"serial_number": serial})

    # --- the person -----------------------------------------------------------------------------------------------

    def _of_registration(self, record: Any, person: str) -> Iterator[Evidence]:
        user = self._user(person) if record is not None and person else None
        if user is None:
            return
        who: dict[str, Fact] = {"person": visible(person)}
        moments = self._moments(REGISTERED, record, user, self._log_begins())
        if moments:
            facts = {**who, "device_id": visible(record["id"])}
            yield self._says("okta.registered", "System Log", facts, max(moments))
        else:
            yield self._says("okta.not-registered", "System Log", who)
            self._note_of_users(record, user)
        yield from self._of_enrolment(record, user, who)

    def _note_of_users(self, record: Any, user: Mapping[str, Any]) -> None:
        """Who has an account in Okta Verify on the device: without one nobody registers there."""
        status, found = self._api.get(f"/api/v1/devices/{quote(record['id'], safe='')}/users", accept=(403, 404))
        people = [one.get("user") or {} for one in found] if status == 200 else []
        if status == 200 and not any(_is_user(one, user) for one in people):
            names = ", ".join(sorted(visible(str((one.get("profile") or {}).get("login"))) for one in people))
            self._notes.append(
                f"In Okta the device is not one of {visible(user['login'])}'s: it has "
                + (f"{names}." if names else "nobody's account.")
            )

    def _of_enrolment(self, record: Any, user: Mapping[str, Any], who: Mapping[str, Fact]) -> Iterator[Evidence]:
        """Is the person enrolled in Desktop MFA on that device?

        os-accounts are early access, and the only place that tells; the log tells of enrolments of its 90 days.
        """
        status, accounts = self._api.get(
            f"/api/v1/devices/{quote(record['id'], safe='')}/os-accounts",
            {"expand": "users,account_linked_enrollments"},
            accept=(400, 403, 404, 405),
        )
        found = [one.get("_embedded") or {} for one in accounts] if status == 200 else []
        linked = [
            one["accountLinkedEnrollments"]
            for one in found
            if "accountLinkedEnrollments" in one and any(_is_user(each, user) for each in one.get("users") or ())
        ]
        kinds = {(each["type"], each["status"]) for each_of in linked for each in each_of}
        if linked:
            active = ("desktop_mfa", "ACTIVE") in kinds
            yield self._says(f"okta.{'' if active else 'not-'}enrolled", "os-accounts", who)
            return
        moments = self._moments(ENROLLED, record, user, self._log_begins())
        if moments:
            yield self._says("okta.enrolled", "System Log", who, max(moments))
            return
        self._notes.append(
            "Okta's API does not tell whether the person is enrolled in Desktop MFA on this device"
            + ("." if status == 200 else " (os-accounts are not on in this org).")
        )

    def _user(self, person: str) -> Mapping[str, Any] | None:
        """Return ``id`` ("" where it cannot be read) and ``login`` of a person, None where Okta knows nobody so named.

        The name must be the login, the email or the id of whom Okta returns: Okta itself also takes the beginning of a
        login, which may be another person's.
        """
        if person not in self._users:
            self._users[person] = self._read_user(person)
        user = self._users[person]
        if user is None:
            self._notes.append(f"Okta knows nobody named {visible(person)}: check the name.")
        elif not user["id"]:
            self._notes.append("People cannot be read: grant okta.users.read. Names are taken as they were given.")
        return user

    def _read_user(self, person: str) -> Mapping[str, Any] | None:
        if person.casefold() in _NO_NAMES:
            return None
        status, found = self._api.get(f"/api/v1/users/{quote(person, safe='')}", accept=(403, 404))
        if status == 403:
            return {"id": "", "login": person}
        if status != 200:
            return None
        names = (found["id"], found["profile"]["login"], found["profile"].get("email"))
        if person.casefold() not in {str(name).casefold() for name in names if name}:
            return None
        return {"id": str(found["id"]), "login": str(found["profile"]["login"])}

    def _moments(self, kind: str, record: Any, user: Mapping[str, Any], since: datetime) -> list[datetime]:
        """Return when that happened, with success, for that person on that record, since then."""
        events = self._log(kind, max(since, self._log_begins()), f' and target.id eq "{_checked(record["id"])}"')
        moments = [
            parse_rfc3339(event["published"])
            for event in events
            if event["outcome"]["result"] == "SUCCESS"
            and any(target["id"] == record["id"] for target in event["target"])
            and any(_is_target(target, user) for target in event["target"])
        ]
        return [at for at in moments if at is not None]

    # --- the org and the admin ------------------------------------------------------------------------------------

    def _of_setting(self) -> Iterator[Evidence]:
        # Okta took this path out of its public description: without it nobody has looked.
        at, (status, said) = self._remember("setting", lambda: self._api.get(SETTING_PATH, accept=(403, 404)))
        if status == 200:
            enabled = said["desktopMFARecoveryPinEnabled"]
            if not isinstance(enabled, bool):
                raise ValueError("the setting is neither on nor off")
            yield self._says("okta.pin-setting", "recovery-pin-settings", {"enabled": enabled}, at)
        else:
            self._notes.append(f"{_SETTING_BY_HAND}.")

    def _of_features(self) -> Iterator[Evidence]:
        """The feature is listed as long as it can be switched; where it is not listed, it is everybody's."""
        at, features = self._remember("features", self._features)
        if (features or {}).get("Desktop MFA Admin Recovery") == "DISABLED":
            yield self._says("prerequisite.unmet", "features", {"id": "recovery-feature"}, at)

    def _features(self) -> Mapping[str, str] | None:
        status, found = self._api.get("/api/v1/features", accept=(403, 404))
        return {str(one["name"]): str(one["status"]) for one in found} if status == 200 else None

    def _of_permission(self, admin: str) -> Iterator[Evidence]:
        user = self._user(admin) if admin else None
        if user is None:
            return
        if not user["id"] and "@" not in admin:
            self._notes.append(
                f"Which admin {visible(admin)} is cannot be told: grant okta.users.read, or give the whole login."
            )
            return
        found = may_generate(
            self._api,
            admin,
            user["id"] or user["login"],
            self._settings.text("generate_permission"),
            lambda: self._remember("features", self._features)[1],
        )
        self._notes += found.notes
        if found.allowed is not None:
            facts: dict[str, Fact] = {"allowed": found.allowed, "roles": found.roles}
            if not found.allowed:
                facts["reason"] = found.reason
            yield self._says("okta.admin-may-generate", "roles", facts)

    # --- what all of them need ------------------------------------------------------------------------------------

    def _events(self, kind: str) -> list[Any]:
        """Return all events of that kind that the log holds."""
        found: list[Any] = self._remember(kind, lambda: self._log(kind, self._log_begins()))[1]
        return found

    def _log(self, kind: str, since: datetime, more: str = "") -> list[Any]:
        # Without an end the log would offer a next page for ever.
        query: dict[str, str | int] = {
            "filter": f'eventType eq "{kind}"{more}',
            "since": rfc3339(since) or "",
            "until": rfc3339(self._now()) or "",
            "limit": 1000,
        }
        return list(self._api.pages("/api/v1/logs", query, needs="okta.logs.read"))

    def _log_begins(self) -> datetime:
        return self._now() - timedelta(days=LOG_DAYS)

    def _remember(self, name: str, read: Callable[[], Read]) -> tuple[datetime, Read]:
        """Return what was read under that name not long ago, else read it now; with the moment of reading."""
        now = self._now()
        if name not in self._org or now - self._org[name][0] > _REMEMBERED:
            self._org[name] = (now, read())
        return self._org[name]

    def _says(self, says: str, source: str, facts: Mapping[str, Fact], at: datetime | None = None) -> Evidence:
        return Evidence(Witness.OKTA, f"okta:{source}", says, observed_at=at or self._now(), facts=facts)


@dataclass(frozen=True, slots=True)
class _Records:
    """The records of one device: ``living`` is the newest that can be read by its id, ``gone`` are ids that cannot;
    ``ids`` are those and others that it may have had, ``keys`` the device's own."""

    living: Any
    gone: tuple[str, ...]
    ids: frozenset[str]
    keys: frozenset[str]
    snapshot: Snapshot

    def is_mine(self, target: Mapping[str, Any]) -> bool:
        """Is that target of an event this device? By the id of a record that it had, else by its own keys."""
        return target["id"] in self.ids or bool(self.keys & _keys(target))


def _searches(identity: Identity) -> tuple[tuple[str, str], ...]:
    """Return attributes and values to search for, only what is safe in a query."""
    pairs = (("profile.serialNumber", identity.serial_number), ("profile.udid", identity.hardware_uuid))
    return tuple(pair for pair in pairs if _PLAIN.fullmatch(pair[1]))


def _checked(device_id: object) -> str:
    if not isinstance(device_id, str) or not _PLAIN.fullmatch(device_id):
        raise ValueError("no id of a device")
    return device_id


def _targets(event: Mapping[str, Any], kind: str) -> Sequence[Mapping[str, Any]]:
    return [target for target in event.get("target") or () if target.get("type") == kind]


def _keys(target: Mapping[str, Any]) -> frozenset[str]:
    detail = target.get("detailEntry") or {}
    return keys_of(str(detail.get("serialNumber") or ""), str(detail.get("udid") or ""))


def _is_target(target: Mapping[str, Any], user: Mapping[str, Any]) -> bool:
    if user["id"] and target["id"] == user["id"]:
        return True
    return str(target.get("alternateId", "")).casefold() == str(user["login"]).casefold()


def _is_user(found: Mapping[str, Any], user: Mapping[str, Any]) -> bool:
    if user["id"] and found.get("id") == user["id"]:
        return True
    return str((found.get("profile") or {}).get("login", "")).casefold() == str(user["login"]).casefold()
