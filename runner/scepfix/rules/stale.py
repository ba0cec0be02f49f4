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
from scepfix.rules.attempts import ATTEMPTS
from scepfix.rules.device_certificates import Held

#: Readings of which only the later can be true. The first of each pair speaks for a fault.
_OPPOSITES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset({"profile.none", "mdm.profile-missing"}), frozenset({"profile.installed", "mdm.profile-installed"})),
    (frozenset({"mdm.install-failed"}), frozenset({"profile.installed", "mdm.profile-installed"})),
    (frozenset({"profile.breaks"}), frozenset({"profile.ok"})),
    (frozenset({"mdm.silent", "mdm.not-managed"}), frozenset({"mdm.device"})),
    (frozenset({"okta.no-record"}), frozenset({"okta.device-active"})),
    (frozenset({"okta.not-enrolled", "log.user-not-assigned"}), frozenset({"okta.enrolled"})),
    (frozenset({"device.offline"}), frozenset({"device.sign-in"})),
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
    }
)
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
    stale = {id(item) for item in evidence if _outlived(item, current, registered)}
    contradictions: list[str] = []
    dropped: set[int] = set()
    for against, in_favour in _OPPOSITES:
        bad = [item for item in evidence if item.says in against and id(item) not in stale]
        good = [one for one in evidence if one.says in in_favour and all(outweighs(one, item) for item in bad)]
        if not bad or not good:
            continue
        last_bad, last_good = _last(bad), _last(good)
        if last_bad is None or last_good is None or last_bad == last_good:
            contradictions.append(f"{bad[0].says} and {good[0].says} stand side by side: which came last?")
            dropped |= {id(item) for item in bad}
        elif last_bad < last_good:
            stale |= {id(item) for item in bad}
        else:
            dropped |= {id(item) for item in good}
    for item in evidence:
        if item.says in _NO_CERTIFICATE and id(item) not in stale and current is not None and _device_wide(item):
            contradictions.append("a listing has no Device Access certificate, and another has a usable one")
            dropped.add(id(item))
        elif (item.says == "keychain.none" and not _device_wide(item)) or _said_by_the_device_too(item, evidence):
            dropped.add(id(item))
    kept = tuple(item for item in evidence if id(item) not in stale | dropped)
    return Sifted(kept, tuple(item for item in evidence if id(item) in stale), tuple(dict.fromkeys(contradictions)))


def _outlived(item: Evidence, current: Held | None, registered: Evidence | None) -> bool:
    may_outlive = registered is not None and outweighs(registered, item) and item.says in _BEFORE_REGISTRATION
    if registered is not None and may_outlive and _before(item, registered.observed_at):
        return True
    if current is None or item.says not in _BEFORE_CERTIFICATE:
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


def _last(items: Sequence[Evidence]) -> datetime | None:
    """Return the last moment, None where one of them has none."""
    moments = [item.observed_at for item in items]
    return None if None in moments else max(moment for moment in moments if moment is not None)


def _before(item: Evidence, moment: datetime | None) -> bool:
    return item.observed_at is not None and moment is not None and item.observed_at < moment
