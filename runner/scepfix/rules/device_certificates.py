"""What the certificates on a device say together: usable, or why not, and which older ones are in the way.

A certificate without the marker is never counted or compared here; it only answers *wrong kind* when none has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scepfix.domain.certificate import in_device_store, issued_by_okta
from scepfix.domain.evidence import Evidence, Fact
from scepfix.domain.moment import parse_rfc3339

_NO_CERTIFICATE = frozenset({"keychain.none", "log.no-certificate", "mdm.certificate-none"})


@dataclass(frozen=True, slots=True)
class Held:
    """One certificate on the device: its facts merged from every reading, and those readings."""

    facts: Mapping[str, Fact]
    readings: tuple[Evidence, ...]

    @property
    def not_before(self) -> datetime | None:
        return parse_rfc3339(self.facts.get("not_before"))

    @property
    def appeared_at(self) -> datetime | None:
        return parse_rfc3339(self.facts.get("appeared_at")) or self.not_before

    def problems(self, now: datetime) -> tuple[str, ...]:
        """Return the drawn signs that keep Device Access from using this certificate at that time."""
        facts, after = self.facts, parse_rfc3339(self.facts.get("not_after"))
        found = {
            "certificate.bad-usage": facts.get("usage") is False or facts.get("is_ca") is True,
            "certificate.wrong-store": not in_device_store(str(facts.get("store") or "")),
            "certificate.wrong-org": facts.get("org_issuer") is False,
            "certificate.expired": after is not None and after < now,
            "certificate.not-yet-valid": self.not_before is not None and self.not_before > now,
            "certificate.key-unusable": facts.get("private_key") is False or facts.get("key_access") is False,
        }
        return tuple(sign for sign, true in found.items() if true)

    @property
    def in_the_way(self) -> bool | None:
        """Does this older certificate still have a key, or a pin? None where nobody looked."""
        if self.facts.get("identity_preference") is True or self.facts.get("private_key") is True:
            return True
        return None if self.facts.get("private_key") is None else False

    @property
    def from_okta(self) -> bool:
        """Does its name say that an Okta CA issued it (Organization Intermediate Authority, DC=okta, DC=com)?"""
        names = (str(self.facts.get(name) or "") for name in ("issuer", "subject"))
        return issued_by_okta(*names) or self.facts.get("org_issuer") is True

    @property
    def may_be_of_the_wrong_type(self) -> bool:
        """A CA, or a certificate made for something else than a client's signature, was never meant for this."""
        return self.facts.get("is_ca") is not True and (self.from_okta or self.facts.get("usage") is not False)


@dataclass(frozen=True, slots=True)
class DeviceCertificates:
    """``signs`` maps a drawn sign to the readings that show it; ``current`` is the newest usable certificate."""

    signs: Mapping[str, tuple[Evidence, ...]]
    current: Held | None = None
    notes: tuple[str, ...] = ()


def judge_device_certificates(evidence: Sequence[Evidence], now: datetime) -> DeviceCertificates:
    """Given the evidence of one device and an aware moment, return what its certificates say then."""
    held = _held([item for item in evidence if item.says == "keychain.certificate"])
    marked = [one for one in held if one.facts.get("device_access_marker") is True]
    signs: dict[str, tuple[Evidence, ...]] = {}
    for one in marked:
        if one.facts.get("org_issuer") is True:
            signs["certificate.right-org"] = one.readings
    # Without its dates nothing says that a certificate can be used now.
    usable = [one for one in marked if not one.problems(now) and one.facts.get("not_after")]
    if usable:
        current = max(usable, key=lambda one: one.not_before or datetime.min.replace(tzinfo=UTC))
        older = [one for one in marked if one is not current and _not_after(one.not_before, current.not_before)]
        return _with_current(current, older, signs)
    if marked:
        fewest = min((len(one.problems(now)) for one in marked if one.problems(now)), default=0)
        for one in marked:
            problems = one.problems(now)
            if len(problems) == fewest:
                for sign in problems:
                    signs[sign] = (*signs.get(sign, ()), *one.readings)
        return DeviceCertificates(signs)
    known_absent = any(item.says in _NO_CERTIFICATE for item in evidence)
    for one in held:
        if one.facts.get("device_access_marker") is False and one.may_be_of_the_wrong_type:
            sign = "certificate.wrong-type" if one.from_okta and known_absent else "certificate.wrong-type-unplaced"
            signs[sign] = (*signs.get(sign, ()), *one.readings)
    return DeviceCertificates(signs)


def _with_current(current: Held, others: Sequence[Held], signs: dict[str, tuple[Evidence, ...]]) -> DeviceCertificates:
    signs["certificate.usable"] = current.readings
    notes: list[str] = []
    for other in others:
        name = f"certificate {other.facts.get('serial_number') or other.facts.get('sha256') or 'without number'}"
        if other.in_the_way:
            signs["certificate.leftover"] = (*signs.get("certificate.leftover", ()), *other.readings)
        elif other.in_the_way is None:
            notes.append(f"an older {name} is still there; nobody looked whether it has its key")
        else:
            notes.append(f"an older {name} is still there without its key: harmless, and may be deleted by hand")
    if "certificate.leftover" in signs:
        signs["certificate.leftover"] += current.readings
    return DeviceCertificates(signs, current, tuple(notes))


def _not_after(first: datetime | None, second: datetime | None) -> bool:
    return first is None or second is None or first <= second


def _held(readings: Sequence[Evidence]) -> list[Held]:
    """Merge the readings of one certificate: the same SHA-256, or the same serial number where one of them has no hash.

    Lists of an MDM have serial numbers only (Jamf, Intune).
    """
    held: list[Held] = []
    for reading in readings:
        at = next((index for index, one in enumerate(held) if _same(one.facts, reading.facts)), None)
        known = {name: value for name, value in reading.facts.items() if value is not None}
        if at is None:
            held.append(Held(known, (reading,)))
        else:
            held[at] = Held({**held[at].facts, **known}, (*held[at].readings, reading))
    return held


def _same(first: Mapping[str, Fact], second: Mapping[str, Fact]) -> bool:
    hashes = [str(facts.get("sha256") or "").lower() for facts in (first, second)]
    if all(hashes):
        return hashes[0] == hashes[1]
    serials = [str(facts.get("serial_number") or "").lower().lstrip("0") for facts in (first, second)]
    return all(serials) and serials[0] == serials[1]
