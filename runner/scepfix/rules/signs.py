"""Draws signs from evidence: the stale and superseded fall out, what several facts say together comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scepfix.domain.certificate import in_device_store
from scepfix.domain.evidence import SAYS, Evidence, Fact, Witness
from scepfix.domain.fault import Condition, meets
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.attempts import ATTEMPTS, Attempts, judge_attempts
from scepfix.rules.device_certificates import DeviceCertificates, Held, judge_device_certificates
from scepfix.rules.okta_records import RECORD, ended_at, last_word_on_records
from scepfix.rules.order import before, latest, within
from scepfix.rules.stale import outweighs, sift

#: An outage explains an error this close to it.
_OUTAGE = timedelta(minutes=15)
_ANOTHER_DAY = timedelta(days=1)
_CLOCK_SECONDS = 300
_WINDOWS_MINIMUM = Condition("device.okta-verify", {"platform": "windows", "version": {"version_below": "6.1.1"}})
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
    evidence = _still_listed(evidence)
    attempts = judge_attempts(evidence)
    certificates = judge_device_certificates(evidence, now)
    registered = _registered(evidence)
    sifted = sift(evidence, certificates.current, registered)
    error = attempts.error
    stale, doubt = _staleness(error, certificates, registered)
    contradictions = [text for text in (attempts.contradiction, doubt, *sifted.contradictions) if text]
    records, notes = last_word_on_records(sifted.kept, error, stale, certificates.current, registered)
    others = _others(sifted.kept, registered)
    signs = [Sign(item.says, (item,), item.facts) for item in (*records, *others)]
    signs += [Sign(says, found) for says, found in certificates.signs.items()]
    if error is not None and stale is None and not doubt:
        signs += _of_error(error, attempts, certificates.current, sifted.kept)
    signs += _drawn(signs, evidence, certificates.current)
    if stale is None and sifted.stale:
        stale = sifted.stale[-1]
    return Signs(
        tuple(signs),
        attempts,
        certificates,
        stale,
        registered,
        tuple(contradictions),
        (*certificates.notes, *notes),
    )


def _still_listed(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Leave out certificates that were read before a complete listing found none."""
    listings = [item for item in evidence if item.says == "keychain.none" and item.observed_at]
    gone = latest([item for item in listings if in_device_store(str(item.facts.get("store") or ""))])
    if gone is None:
        return list(evidence)
    return [
        item
        for item in evidence
        if item.says != "keychain.certificate" or not before(item.observed_at, gone.observed_at)
    ]


def _registered(evidence: Sequence[Evidence]) -> Evidence | None:
    """Return the last registration that still holds: none before the deletion of its record does."""
    candidates = [item for item in evidence if item.says in ("okta.registered", "log.registered")]
    found = latest([item for item in candidates if item.witness is not Witness.TICKET]) or latest(candidates)
    if found is None:
        return None
    for item in evidence:
        if item.says in ("okta.device-gone", "okta.not-registered") and not outweighs(found, item):
            return None
        same = item.facts.get("device_id") in (None, found.facts.get("device_id")) or not found.facts.get("device_id")
        if item.says == "okta.device-gone" and same and not before(ended_at(item), found.observed_at):
            return None
        if item.says == "okta.not-registered" and before(found.observed_at, item.observed_at):
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


def _others(evidence: Sequence[Evidence], registered: Evidence | None) -> list[Evidence]:
    """Return the evidence that counts as it stands: of a fact that was read twice, the last reading."""
    left_out = RECORD | ATTEMPTS | {"keychain.certificate", "okta.registered"}
    kept: dict[object, Evidence] = {}
    for index, item in enumerate(evidence):
        if item.says in left_out or _owner_says_it_too(item, evidence):
            continue
        key: object = index
        if item.says in _READ_AGAIN:
            key = (item.says, item.witness, item.facts.get("person"), item.facts.get("list"))
        kept[key] = latest([kept[key], item]) or item if key in kept else item
    return [*kept.values(), *([registered] if registered else [])]


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


def _drawn(signs: Sequence[Sign], evidence: Sequence[Evidence], current: Held | None) -> list[Sign]:
    """Return the signs that several facts show together."""

    def of(*ids: str) -> tuple[Evidence, ...]:
        return tuple(item for sign in signs if sign.says in ids for item in sign.evidence)

    drawn: list[Sign] = []
    installed, none = of("profile.installed", "mdm.profile-installed"), of("keychain.none")
    if installed and none:
        drawn.append(Sign("certificate.never-came", (*none, *installed)))
    drawn += _of_secret_reset(of("okta.secret-reset"), installed, (*none, *of("log.no-certificate")))
    sign_ins = [item for item in of("device.sign-in") if current and not before(item.observed_at, current.appeared_at)]
    if sign_ins and of("okta.no-record"):
        drawn.append(Sign("okta.no-record-after-sign-in", (*of("okta.no-record", "certificate.usable"), *sign_ins)))
    reasons = [
        sign for sign in signs if sign.says == "mdm.profile-missing" and sign.facts.get("reason") not in _NO_REASON
    ]
    drawn += [Sign("profile.reason-known", sign.evidence) for sign in reasons]
    first_rejected = min((item.observed_at for item in of("log.rejected-again") if item.observed_at), default=None)
    offsets = [sign for sign in signs if sign.says == "device.clock"]
    right = [sign for sign in offsets if _is_small(sign.facts.get("offset_seconds"))]
    if right and len(right) == len(offsets):
        drawn.append(Sign("device.clock-right", right[0].evidence))
        if not before(right[0].evidence[0].observed_at, first_rejected):
            drawn.append(Sign("device.clock-right-since", right[0].evidence))
    active = [item for item in of("okta.device-active") if not before(item.observed_at, first_rejected)]
    if active:
        drawn.append(Sign("okta.device-active-since", tuple(active)))
    for sign in signs:
        version_known = sign.says == "device.okta-verify" and sign.facts.get("version")
        if version_known and not meets(_WINDOWS_MINIMUM, sign.says, sign.facts):
            drawn.append(Sign("device.okta-verify-new-enough", sign.evidence))
    mac = tuple(item for item in evidence if item.facts.get("platform") == "macos")
    if mac:
        drawn.append(Sign("device.macos", mac[:1]))
    return drawn


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
