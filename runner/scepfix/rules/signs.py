"""Draws signs from evidence: the stale and superseded fall out, what several facts say together comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scepfix.domain.certificate import in_device_store
from scepfix.domain.evidence import SAYS, Evidence, Fact, Witness
from scepfix.domain.fault import Condition, meets
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.attempts import ATTEMPTS, Attempts, judge_attempts
from scepfix.rules.device_certificates import DeviceCertificates, Held, judge_device_certificates
from scepfix.rules.okta_records import RECORD, ended_at, last_word_on_records
from scepfix.rules.order import before, latest, undecided, within
from scepfix.rules.stale import outweighs, sift

#: An outage explains an error this close to it.
_OUTAGE = timedelta(minutes=15)
_ANOTHER_DAY = timedelta(days=1)
_CLOCK_SECONDS = 300
_WINDOWS_MINIMUM = Condition("device.okta-verify", {"platform": "windows", "version": {"version_below": "6.1.1"}})
#: Settings and states, of which only the last reading counts, and the fact without which it is none.
_READ_AGAIN: Mapping[str, str | None] = {
    "okta.pin-setting": "enabled",
    "okta.admin-may-generate": "allowed",
    "okta.not-registered": None,
    "device.clock": "offset_seconds",
    "device.daemon": "present",
    "device.okta-verify": None,
    "device.mfa-list": "person_on_it",
    "device.offline": None,
}
#: The catalogue has the same bound for a silence that the MDM states itself.
_SILENT = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Sign:
    """A fact that counts now: the id of its evidence, or a drawn one; with the evidence behind it."""

    says: str
    evidence: tuple[Evidence, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def said_by_owner(self) -> bool:
        """Does the owner of the fact say so? Of a drawn sign, or a fact that nobody owns, False."""
        return any(item.says in SAYS and SAYS[item.says].owner == item.witness for item in self.evidence)


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

    def meets(self, condition: Condition, *, by_owner: bool = False) -> bool:
        """Return whether a sign meets the condition; ``by_owner`` asks for its owner's word where it has one."""
        return any(
            meets(condition, sign.says, sign.facts)
            and (not by_owner or sign.said_by_owner or sign.says not in SAYS or SAYS[sign.says].owner is None)
            for sign in self.signs
        )

    def says(self, *ids: str) -> bool:
        """Return whether there is a sign of one of these ids."""
        return any(sign.says in ids for sign in self.signs)


def draw_signs(evidence: Sequence[Evidence], now: datetime) -> Signs:
    """Given the evidence of one device and an aware moment, return the signs that count then."""
    ever_came = any(_shows_a_certificate(item) for item in evidence)
    evidence = _still_listed(evidence)
    attempts = judge_attempts(evidence)
    certificates = judge_device_certificates(evidence, now)
    current = certificates.current
    registration = _last_registration(evidence)
    sifted = sift(evidence, current, registration)
    registered = registration if registration and _still_holds(registration, evidence) else None
    error = attempts.error
    stale, doubt = _staleness(error, current, registration)
    records, notes, doubts = last_word_on_records(sifted.kept, error, stale, current, registration)
    others, more_doubts = _others(sifted.kept, registered)
    if error is not None and error.says == "log.rejected":
        error, others, doubt = _found_or_not(error, others, doubt)
    contradictions = [
        text for text in (attempts.contradiction, doubt, *sifted.contradictions, *doubts, *more_doubts) if text
    ]
    signs = [Sign(item.says, (item,), item.facts) for item in (*records, *others)]
    signs += [Sign(says, found) for says, found in certificates.signs.items()]
    if error is not None and stale is None and not doubt:
        signs += _of_error(error, attempts, current, sifted.kept)
    signs += _drawn(signs, evidence, current, now, ever_came=ever_came)
    if any(sign.says == "device.clock-right" for sign in signs):
        signs = [sign for sign in signs if sign.says != "certificate.not-yet-valid"]
    if stale is None and sifted.stale:
        stale = sifted.stale[-1]
    notes = [*certificates.notes, *notes]
    return Signs(tuple(signs), attempts, certificates, stale, registered, tuple(contradictions), tuple(notes))


def _still_listed(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Leave out certificates that were read before a complete listing found none."""
    listings = [item for item in evidence if item.says == "keychain.none" and item.observed_at]
    gone = latest([item for item in listings if in_device_store(str(item.facts.get("store") or ""))])
    if gone is None:
        return list(evidence)

    def is_gone(item: Evidence) -> bool:
        listed_before = before(item.observed_at, gone.observed_at)
        return item.says == "keychain.certificate" and listed_before and outweighs(gone, item)

    return [item for item in evidence if not is_gone(item)]


def _last_registration(evidence: Sequence[Evidence]) -> Evidence | None:
    found = [item for item in evidence if item.says in ("okta.registered", "log.registered")]
    return latest([item for item in found if item.witness is not Witness.TICKET]) or latest(found)


def _still_holds(registration: Evidence, evidence: Sequence[Evidence]) -> bool:
    """A registration ends with the deletion of its record, and when a later look finds none."""
    for item in evidence:
        if item.says not in ("okta.device-gone", "okta.not-registered"):
            continue
        if not outweighs(registration, item):
            return False
        if not outweighs(item, registration):
            continue
        ids = (item.facts.get("device_id"), registration.facts.get("device_id"))
        same = not all(ids) or ids[0] == ids[1]
        if item.says == "okta.device-gone" and same and not before(ended_at(item), registration.observed_at):
            return False
        if item.says == "okta.not-registered" and before(registration.observed_at, item.observed_at):
            return False
    return True


def _staleness(
    error: Evidence | None, current: Held | None, registered: Evidence | None
) -> tuple[Evidence | None, str]:
    """Return the error if it is stale, and a contradiction if it cannot be told or does not fit."""
    if error is None:
        return None, ""
    if registered is not None and not outweighs(registered, error):
        registered = None
    if current is not None and not any(outweighs(reading, error) for reading in current.readings):
        current = None
    came = [m for m in (current.appeared_at if current else None, registered.observed_at if registered else None) if m]
    if error.observed_at is None:
        # A rejection without a time still says that there is a certificate: it is kept, as a hint (_of_error).
        if registered or (current and error.says == "log.no-certificate"):
            return None, "the error has no time, and a usable certificate or a registration is there: which came last?"
        return None, ""
    if any(error.observed_at <= later for later in came):
        return error, ""
    if registered is not None and registered.observed_at is None:
        return None, "a registration without a time stands beside the error: which came last?"
    if current and error.says == "log.no-certificate":
        return None, "the log says that no certificate matches, and a usable one from before that time is there"
    return None, ""


def _others(evidence: Sequence[Evidence], registered: Evidence | None) -> tuple[list[Evidence], list[str]]:
    """Return the evidence that counts as it stands (of what was read twice, the last reading), and contradictions."""
    left_out = RECORD | ATTEMPTS | {"keychain.certificate", "okta.registered"}
    kept: list[Evidence] = [registered] if registered else []
    again: dict[object, list[Evidence]] = {}
    for item in evidence:
        if item.says in left_out or _owner_says_it_too(item, evidence):
            continue
        if item.says == "okta.not-registered" and registered is not None and not outweighs(item, registered):
            continue
        if item.says not in _READ_AGAIN:
            kept.append(item)
        elif _READ_AGAIN[item.says] is None or item.facts.get(_READ_AGAIN[item.says] or "") is not None:
            again.setdefault((item.says, item.facts.get("person"), item.facts.get("list")), []).append(item)
    contradictions: list[str] = []
    for readings in again.values():
        fact = _READ_AGAIN[readings[0].says]
        if fact and undecided(readings) and len({str(item.facts.get(fact)) for item in readings}) > 1:
            contradictions.append(f"{readings[0].says} was read in two ways: which came last?")
        elif last := latest(readings):
            known = {name: value for item in readings for name, value in item.facts.items() if value is not None}
            kept.append(replace(last, facts={**known, **last.facts}))
    return kept, contradictions


def _found_or_not(error: Evidence, others: list[Evidence], doubt: str) -> tuple[Evidence | None, list[Evidence], str]:
    """A rejection means that a certificate was found; a listing without one is from another time, or contradicts it."""
    listing = latest([item for item in others if item.says == "keychain.none"])
    if listing is None:
        return error, others, doubt
    if before(error.observed_at, listing.observed_at):
        return None, others, doubt
    others = [item for item in others if item.says != "keychain.none"]
    if before(listing.observed_at, error.observed_at):
        return error, others, doubt
    return error, others, doubt or "the server rejected a certificate, and a listing of that time has none"


def _owner_says_it_too(item: Evidence, evidence: Sequence[Evidence]) -> bool:
    """Is this somebody's word about a fact whose owner was asked as well?"""
    owner = SAYS[item.says].owner if item.says in SAYS else None
    return owner not in (None, item.witness) and any(e.says == item.says and e.witness == owner for e in evidence)


def _of_error(error: Evidence, attempts: Attempts, current: Held | None, evidence: Sequence[Evidence]) -> list[Sign]:
    plain = Sign(error.says, (error,), error.facts)
    if error.says != "log.rejected":
        return [plain]
    if error.observed_at is None and current is not None:
        return [Sign("log.rejected-undated", (error,), error.facts)]
    outages = [item for item in evidence if item.says == "okta.unavailable"]

    def during_outage(item: Evidence) -> bool:
        return any(within(item.observed_at, outage.observed_at, _OUTAGE) for outage in outages)

    appeared = current.appeared_at if current else None
    run = [item for item in attempts.run if not during_outage(item) and not before(item.observed_at, appeared)]
    if not run:
        return [Sign("log.rejected-during-outage", (error, *outages), error.facts)]
    moments = [item.observed_at for item in run if item.observed_at]
    if len(moments) > 1 and max(moments) - min(moments) >= _ANOTHER_DAY:
        return [plain, Sign("log.rejected-again", tuple(run))]
    return [plain]


def _shows_a_certificate(item: Evidence) -> bool:
    """Did a Device Access certificate, or one in its place, ever come? A registration and a rejection need one."""
    if item.says == "keychain.certificate":
        return item.facts.get("device_access_marker") is not None and item.facts.get("is_ca") is not True
    return item.says in ("okta.registered", "log.registered", "log.rejected")


def _drawn(
    signs: Sequence[Sign], evidence: Sequence[Evidence], current: Held | None, now: datetime, *, ever_came: bool
) -> list[Sign]:
    """Return the signs that several facts show together."""

    def of(*ids: str) -> tuple[Evidence, ...]:
        return tuple(item for sign in signs if sign.says in ids for item in sign.evidence)

    drawn: list[Sign] = []
    installed, none = of("profile.installed", "mdm.profile-installed"), of("keychain.none", "mdm.certificate-none")
    if installed and none and not ever_came:
        drawn.append(Sign("certificate.never-came", (*none, *installed)))
    drawn += _of_secret_reset(of("okta.secret-reset"), installed, (*none, *of("log.no-certificate")))
    sign_ins = [item for item in of("device.sign-in") if current and not before(item.observed_at, current.appeared_at)]
    if sign_ins and of("okta.no-record"):
        drawn.append(Sign("okta.no-record-after-sign-in", (*of("okta.no-record", "certificate.usable"), *sign_ins)))
    drawn += [
        Sign("profile.reason-known", sign.evidence)
        for sign in signs
        if sign.says == "mdm.profile-missing" and sign.facts.get("reason") not in _NO_REASON
    ]
    for item in of("mdm.device"):
        seen = parse_rfc3339(item.facts.get("last_seen_at"))
        if seen is not None and (item.observed_at or now) - seen > _SILENT:
            drawn.append(Sign("mdm.not-seen-lately", (item,)))
    offsets = [sign for sign in signs if sign.says == "device.clock"]
    if offsets and all(_is_small(sign.facts.get("offset_seconds")) for sign in offsets):
        drawn.append(Sign("device.clock-right", of("device.clock")))
    drawn += _since_rejected(of("log.rejected-again"), of("okta.device-active"), of("device.clock"), drawn)
    platforms = {str(item.facts["platform"]) for item in evidence if item.facts.get("platform")}
    for sign in signs:
        if sign.says == "device.okta-verify" and sign.facts.get("version") and platforms == {"windows"}:
            facts = {**sign.facts, "platform": "windows"}
            old = meets(_WINDOWS_MINIMUM, sign.says, facts)
            drawn.append(Sign("device.okta-verify-old" if old else "device.okta-verify-new-enough", sign.evidence))
    if platforms == {"macos"}:
        drawn.append(Sign("device.macos", ()))
    return drawn


def _since_rejected(
    rejected: Sequence[Evidence], active: Sequence[Evidence], clock: Sequence[Evidence], drawn: Sequence[Sign]
) -> list[Sign]:
    """What was looked at after the first of repeated rejections, by Okta and not by hearsay, rules the rivals out."""
    first = min((item.observed_at for item in rejected if item.observed_at), default=None)
    found: list[Sign] = []
    looked = [item for item in active if item.witness is Witness.OKTA and before(first, item.observed_at)]
    if looked:
        found.append(Sign("okta.device-active-since", tuple(looked)))
    read = [item for item in clock if item.witness is not Witness.TICKET and before(first, item.observed_at)]
    if read and any(sign.says == "device.clock-right" for sign in drawn):
        found.append(Sign("device.clock-right-since", tuple(read)))
    return found


_NO_REASON = (None, "", "unknown")


def _of_secret_reset(
    resets: Sequence[Evidence], installed: Sequence[Evidence], no_certificate: Sequence[Evidence]
) -> list[Sign]:
    """A reset makes the secret in an older profile worthless; whether it is older is known only from its date."""
    reset = latest(resets)
    if reset is None:
        return []
    older = [item for item in installed if before(parse_rfc3339(item.facts.get("installed_at")), reset.observed_at)]
    sure = bool(older and no_certificate)
    says = "scep.secret-reset-since" if sure else "scep.secret-reset-perhaps-since"
    return [Sign(says, (reset, *older, *no_certificate))]


def _is_small(offset: object) -> bool:
    return isinstance(offset, int | float) and not isinstance(offset, bool) and abs(offset) <= _CLOCK_SECONDS
