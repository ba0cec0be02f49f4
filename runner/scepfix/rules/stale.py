"""What no longer counts: evidence that a later reading contradicts, or that is older than the repair it calls for.

Two ways: one thing was read twice and the readings are opposites (the profile was missing, and is installed), or the
evidence is older than the present certificate or than a registration, which would not be there if it still held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from scepfix.domain.certificate import in_device_store
from scepfix.domain.evidence import SAYS, Evidence, Witness
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.attempts import ATTEMPTS
from scepfix.rules.device_certificates import Held

_INSTALLED = frozenset({"profile.installed", "mdm.profile-installed"})
#: Readings of which only the later can be true: the first of each pair speaks for a fault, the second against it.
#: ``True``: side by side without a time between them they contradict each other; else the first is believed.
_OPPOSITES: tuple[tuple[frozenset[str], frozenset[str], bool], ...] = (
    (frozenset({"profile.none", "mdm.profile-missing"}), _INSTALLED, True),
    (frozenset({"mdm.install-failed"}), _INSTALLED, False),
    (frozenset({"profile.breaks"}), frozenset({"profile.ok"}), False),
    (frozenset({"mdm.not-managed"}), frozenset({"mdm.device"}), True),
    (frozenset({"okta.no-record"}), frozenset({"okta.device-active"}), True),
    (frozenset({"okta.not-enrolled", "log.user-not-assigned"}), frozenset({"okta.enrolled"}), True),
    (frozenset({"device.offline"}), frozenset({"device.sign-in"}), True),
)
#: A device that registers has what it needs: nothing older of the device, its MDM or the person speaks against it.
_BEFORE_REGISTRATION = frozenset(
    says
    for says in SAYS
    if says.startswith(("mdm.", "profile.", "scep.", "device.", "log."))
    or says
    in ("keychain.none", "okta.not-enrolled", "okta.not-registered", "okta.no-record", "okta.certificate-revoked")
    or says in ("okta.secret-reset", "prerequisite.unmet")
) - {"mdm.device", "profile.ok", "profile.installed", "mdm.profile-installed", *ATTEMPTS}
#: What a certificate that came later has settled.
_BEFORE_CERTIFICATE = frozenset(
    {
        "keychain.none",
        "mdm.certificate-none",
        "mdm.install-failed",
        "scep.refused",
        "okta.certificate-revoked",
        "okta.secret-reset",
        "log.enrolment-lost",
        "log.not-eligible",
    }
)
#: What failed beside a certificate that is usable all the same: a renewal, say.
_NOTHING_BESIDE_A_CERTIFICATE = frozenset({"mdm.install-failed", "scep.refused", "okta.secret-reset"})
_NO_CERTIFICATE = frozenset({"keychain.none", "mdm.certificate-none"})


@dataclass(frozen=True, slots=True)
class Sifted:
    """``kept`` still counts, ``stale`` does not, ``contradictions`` are opposites that no time separates."""

    kept: tuple[Evidence, ...]
    stale: tuple[Evidence, ...]
    contradictions: tuple[str, ...] = ()


def outweighs(newer: Evidence, older: Evidence) -> bool:
    """Somebody's word in a ticket never outlives what the device, its MDM or Okta said."""
    return newer.witness is not Witness.TICKET or older.witness is Witness.TICKET


def sift(evidence: Sequence[Evidence], current: Held | None, registered: Evidence | None) -> Sifted:
    """Given the evidence of one device, its present certificate and its last registration, return what still counts."""
    stale = {id(item) for item in evidence if _outlived(item, current, registered) or _seen_since(item, evidence)}
    dropped: set[int] = set()
    contradictions: list[str] = []
    for against, in_favour, exclusive in _OPPOSITES:
        for bad in evidence:
            if bad.says not in against or id(bad) in stale:
                continue
            for good in evidence:
                if good.says in in_favour and _same_thing(bad, good):
                    verdict = _which(bad, good, exclusive=exclusive)
                    (stale if verdict == "good" else dropped if verdict else set()).add(id(bad))
                    if verdict == "bad":
                        dropped.discard(id(bad))
                        dropped.add(id(good))
                    elif verdict == "neither":
                        contradictions.append(f"{bad.says} and {good.says} stand side by side: which came last?")
    for item in evidence:
        if id(item) in stale:
            continue
        if item.says in _NO_CERTIFICATE and current is not None and _device_wide(item):
            dropped.add(id(item))
            if any(outweighs(item, reading) for reading in current.readings):
                contradictions.append("a listing has no Device Access certificate, and another has a usable one")
        elif (
            (item.says == "keychain.none" and not _device_wide(item))
            or (current is not None and item.says in _NOTHING_BESIDE_A_CERTIFICATE)
            or _said_by_the_device_too(item, evidence)
        ):
            dropped.add(id(item))
    kept = tuple(item for item in evidence if id(item) not in stale | dropped)
    return Sifted(kept, tuple(item for item in evidence if id(item) in stale), tuple(dict.fromkeys(contradictions)))


def _seen_since(item: Evidence, evidence: Iterable[Evidence]) -> bool:
    """A silence ends when the MDM sees the device again; that it has a record of it does not end it."""
    return item.says == "mdm.silent" and any(
        outweighs(other, item) and _before(item, parse_rfc3339(other.facts.get("last_seen_at")) or other.observed_at)
        for other in evidence
        if other.says == "mdm.device"
    )


def _same_thing(first: Evidence, second: Evidence) -> bool:
    """Two profiles are not opposites of each other: with identifiers on both sides, they must be the same."""
    names = (first.facts.get("identifier"), second.facts.get("identifier"))
    return not all(names) or names[0] == names[1]


def _which(bad: Evidence, good: Evidence, *, exclusive: bool) -> str:
    """Return which of two opposites counts: "good", "bad", "neither" (they contradict each other), or "" for both."""
    if bad.witness is not good.witness and Witness.TICKET in (bad.witness, good.witness):
        return "good" if bad.witness is Witness.TICKET else "bad"
    if bad.observed_at is None or good.observed_at is None or bad.observed_at == good.observed_at:
        return "neither" if exclusive else ""
    if bad.observed_at < good.observed_at:
        return "good"
    return "bad" if exclusive else ""


def _outlived(item: Evidence, current: Held | None, registered: Evidence | None) -> bool:
    may_outlive = registered is not None and outweighs(registered, item) and item.says in _BEFORE_REGISTRATION
    if registered is not None and may_outlive and _before(item, registered.observed_at):
        return True
    if current is None or item.says not in _BEFORE_CERTIFICATE:
        return False
    if not any(outweighs(reading, item) for reading in current.readings):
        return False
    if item.says == "okta.certificate-revoked":
        revoked, present = item.facts.get("serial_number"), current.facts.get("serial_number")
        if revoked and present and str(revoked).lower().lstrip("0") != str(present).lower().lstrip("0"):
            return True
    return _before(item, current.appeared_at)


def _device_wide(item: Evidence) -> bool:
    return in_device_store(str(item.facts.get("store") or ""))


def _said_by_the_device_too(item: Evidence, evidence: Iterable[Evidence]) -> bool:
    """Somebody's word about a device that was asked itself."""
    return (
        item.says.startswith("device.")
        and item.witness is Witness.TICKET
        and any(other.says == item.says and other.witness is not Witness.TICKET for other in evidence)
    )


def _before(item: Evidence, moment: datetime | None) -> bool:
    return item.observed_at is not None and moment is not None and item.observed_at < moment
