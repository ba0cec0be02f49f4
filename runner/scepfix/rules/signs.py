"""Draws signs from evidence: the stale and superseded fall out, what several facts say together comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from scepfix.domain.evidence import SAYS, Evidence, Fact
from scepfix.domain.fault import Condition, meets
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.attempts import ATTEMPTS, Attempts, judge_attempts
from scepfix.rules.device_certificates import DeviceCertificates, judge_device_certificates

_RECORD = frozenset({"okta.device-active", "okta.device-gone", "okta.device-deactivated", "okta.device-suspended"})
#: An outage explains an error this close to it.
_OUTAGE = timedelta(minutes=15)
_CLOCK_SECONDS = 300
_WINDOWS_MINIMUM = Condition("device.okta-verify", {"platform": "windows", "version": {"version_below": "6.1.1"}})


@dataclass(frozen=True, slots=True)
class Sign:
    """A fact that counts now: the id of its evidence, or a drawn one; with the evidence behind it."""

    says: str
    evidence: tuple[Evidence, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signs:
    """``stale`` is an error that no longer counts, ``registered`` the last registration that still holds."""

    signs: tuple[Sign, ...]
    attempts: Attempts
    certificates: DeviceCertificates
    stale: Evidence | None = None
    registered: Evidence | None = None
    contradictions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def any(self, *conditions: Condition) -> bool:
        """Return whether a sign meets one of the conditions."""
        return any(meets(condition, sign.says, sign.facts) for condition in conditions for sign in self.signs)

    def says(self, *ids: str) -> bool:
        """Return whether there is a sign of one of these ids."""
        return any(sign.says in ids for sign in self.signs)


def draw_signs(evidence: Sequence[Evidence], now: datetime) -> Signs:
    """Given the evidence of one device and an aware moment, return the signs that count then."""
    attempts = judge_attempts(evidence)
    certificates = judge_device_certificates(evidence, now)
    contradictions = [attempts.contradiction] if attempts.contradiction else []
    notes = list(certificates.notes)
    error = attempts.error
    registered = _registered(evidence)
    stale, doubt = _staleness(error, certificates, registered)
    if doubt:
        contradictions.append(doubt)
    records, record_notes = _records(evidence, error, stale, certificates)
    notes += record_notes
    signs = [_plain(item) for item in (*records, *_others(evidence, registered))]
    signs += [Sign(says, found) for says, found in certificates.signs.items()]
    if error is not None and stale is None and not doubt:
        signs += _of_error(error, attempts, evidence)
    signs += _drawn(signs, evidence)
    return Signs(tuple(signs), attempts, certificates, stale, registered, tuple(contradictions), tuple(notes))


def _plain(item: Evidence) -> Sign:
    return Sign(item.says, (item,), item.facts)


def _registered(evidence: Sequence[Evidence]) -> Evidence | None:
    """Return the last registration that still holds: none before the deletion of its record does."""
    found = _latest([item for item in evidence if item.says in ("okta.registered", "log.registered")])
    if found is None:
        return None
    for item in evidence:
        same = item.facts.get("device_id") in (None, found.facts.get("device_id")) or not found.facts.get("device_id")
        if item.says == "okta.device-gone" and same and not _before(_deleted_at(item), found.observed_at):
            return None
        if item.says == "okta.not-registered" and _before(found.observed_at, item.observed_at):
            return None
    return found


def _staleness(
    error: Evidence | None, certificates: DeviceCertificates, registered: Evidence | None
) -> tuple[Evidence | None, str]:
    """Return the error if it is stale, and a contradiction if it cannot be told or does not fit."""
    if error is None:
        return None, ""
    current = certificates.current
    came = [m for m in (current.appeared_at if current else None, registered.observed_at if registered else None) if m]
    if error.observed_at is None:
        if current or registered:
            return None, "the error has no time, and a usable certificate or a registration is there: which came last?"
        return None, ""
    if any(error.observed_at <= later for later in came):
        return error, ""
    if registered is not None and registered.observed_at is None:
        return None, "a registration without a time stands beside the error: which came last?"
    if current and error.says == "log.no-certificate":
        return None, "the log says that no certificate matches, and a usable one from before that time is there"
    return None, ""


def _records(
    evidence: Sequence[Evidence], error: Evidence | None, stale: Evidence | None, certificates: DeviceCertificates
) -> tuple[list[Evidence], list[str]]:
    """Return what Okta says of the device's records: the last word on each, and deletions only while they matter."""
    notes: list[str] = []
    last: dict[object, Evidence] = {}
    for item in evidence:
        if item.says in _RECORD:
            key = item.facts.get("device_id")
            last[key] = _latest([last[key], item]) or item if key in last else item
    alive = [item for item in last.values() if item.says in ("okta.device-active", "okta.device-suspended")]
    kept: list[Evidence] = []
    for item in last.values():
        if item.says == "okta.device-gone":
            current = certificates.current
            renewed = current is not None and _before(_deleted_at(item), current.appeared_at)
            if renewed or stale is not None:
                notes.append("the device was deleted in Okta, and a certificate or registration came after the error")
                continue
            if alive and error is None:
                notes.append("a deleted record of this device was replaced by one that is active")
                continue
        kept.append(item)
    if any(item.says == "okta.device-gone" for item in kept):
        kept = [item for item in kept if item.says not in ("okta.device-active", "okta.device-suspended")]
    return kept, notes


def _others(evidence: Sequence[Evidence], registered: Evidence | None) -> list[Evidence]:
    """Return the evidence that counts as it stands: of a fact that was read twice, the last reading."""
    left_out = _RECORD | ATTEMPTS | {"keychain.certificate", "okta.registered"}
    kept: dict[object, Evidence] = {}
    for index, item in enumerate(evidence):
        if item.says in left_out or (item.says == "okta.not-registered" and registered is not None):
            continue
        if item.says in _READ_AGAIN:
            if _owner_says_it_too(item, evidence):
                continue
            key: object = (item.says, item.witness, item.facts.get("person"), item.facts.get("list"))
            kept[key] = _latest([kept[key], item]) or item if key in kept else item
        else:
            kept[index] = item
    return [*kept.values(), *([registered] if registered else [])]


def _owner_says_it_too(item: Evidence, evidence: Sequence[Evidence]) -> bool:
    """Is this somebody's word about a fact whose owner was asked as well?"""
    owner = SAYS[item.says].owner
    return owner not in (None, item.witness) and any(e.says == item.says and e.witness == owner for e in evidence)


#: Settings and states, of which only the last reading of a witness counts.
_READ_AGAIN = frozenset(
    {
        "okta.pin-setting",
        "okta.admin-may-generate",
        "okta.not-registered",
        "device.clock",
        "device.daemon",
        "device.okta-verify",
        "device.mfa-list",
        "device.offline",
    }
)


def _of_error(error: Evidence, attempts: Attempts, evidence: Sequence[Evidence]) -> list[Sign]:
    if error.says == "log.rejected":
        outage = [
            item
            for item in evidence
            if item.says == "okta.unavailable" and _within(item.observed_at, error.observed_at, _OUTAGE)
        ]
        if outage and not attempts.came_back:
            return [Sign("log.rejected-during-outage", (error, *outage))]
        if attempts.came_back:
            return [_plain(error), Sign("log.rejected-again", attempts.run)]
    return [_plain(error)]


def _drawn(signs: Sequence[Sign], evidence: Sequence[Evidence]) -> list[Sign]:
    """Return the signs that several facts show together."""

    def of(*ids: str) -> tuple[Evidence, ...]:
        return tuple(item for sign in signs if sign.says in ids for item in sign.evidence)

    drawn: list[Sign] = []
    installed, none = of("profile.installed", "mdm.profile-installed"), of("keychain.none")
    if installed and none:
        drawn.append(Sign("certificate.never-came", (*none, *installed)))
    if of("certificate.usable") and of("device.sign-in") and of("okta.no-record"):
        drawn.append(Sign("okta.no-record-after-sign-in", of("okta.no-record", "device.sign-in", "certificate.usable")))
    offsets = [sign for sign in signs if sign.says == "device.clock"]
    right = [sign for sign in offsets if _is_small(sign.facts.get("offset_seconds"))]
    if right and len(right) == len(offsets):
        drawn.append(Sign("device.clock-right", right[0].evidence))
    for sign in signs:
        if (
            sign.says == "device.okta-verify"
            and sign.facts.get("version")
            and not meets(_WINDOWS_MINIMUM, sign.says, sign.facts)
        ):
            drawn.append(Sign("device.okta-verify-new-enough", sign.evidence))
    mac = tuple(item for item in evidence if item.facts.get("platform") == "macos")
    if mac:
        drawn.append(Sign("device.macos", mac[:1]))
    return drawn


def _is_small(offset: object) -> bool:
    return isinstance(offset, int | float) and not isinstance(offset, bool) and abs(offset) <= _CLOCK_SECONDS


def _deleted_at(item: Evidence) -> datetime | None:
    return parse_rfc3339(item.facts.get("deleted_at")) or item.observed_at


def _before(first: datetime | None, second: datetime | None) -> bool:
    return first is not None and second is not None and first < second


def _within(first: datetime | None, second: datetime | None, distance: timedelta) -> bool:
    return first is not None and second is not None and abs(first - second) <= distance


def _latest(items: Sequence[Evidence]) -> Evidence | None:
    """Return the last one by time; of equals and of those without a time, the one that stands last."""
    oldest = datetime.min.replace(tzinfo=UTC)
    return max(enumerate(items), key=lambda entry: (entry[1].observed_at or oldest, entry[0]))[1] if items else None
