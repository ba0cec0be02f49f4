"""Certificate rule: could Device Access use this certificate at that time, and what is worth knowing about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from scepfix.domain.certificate import Certificate, in_device_store
from scepfix.domain.moment import rfc3339
from scepfix.rules.issuer_key import signed_with_key_of

SOON = timedelta(days=30)
#: Every guide of Okta's, for every MDM, sets 2048; macOS alone would make 1024 (Keysize of com.apple.security.scep).
WEAK_BELOW_BITS = 2048


class Verdict(StrEnum):
    """Whether Device Access could use a certificate."""

    USABLE = "usable"
    UNUSABLE = "unusable"


class Level(StrEnum):
    """An error makes a certificate unusable, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a stable code, its level, and a message for a person."""

    code: str
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is wrong (errors first), what is worth knowing, and the verdict."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    verdict: Verdict


def judge(
    certificate: Certificate,
    at: datetime,
    *,
    issuer_certificates: Sequence[Certificate] = (),
    device_names: Sequence[str] = (),
    others: Sequence[Certificate] = (),
    private_key: bool | None = None,
    store: str | None = None,
) -> Judgement:
    """Given a certificate and an aware moment, return what Device Access could do with it then.

    ``issuer_certificates`` are of the CA that should have issued it, ``device_names`` names, serial numbers or UDIDs
    of its device, ``others`` the other certificates of the same device, ``private_key`` and ``store`` what the source
    said. What was not given is a note, never a finding.
    """
    # A chain file holds the certificate itself beside its issuers.
    issuers = [issuer for issuer in issuer_certificates if issuer.sha256 != certificate.sha256]
    signed = [signed_with_key_of(certificate, issuer) for issuer in issuers]
    findings = [
        *_marker(certificate),
        *_validity(certificate, at),
        *_issuer(certificate, issuers, signed),
        *_private_key(private_key),
        *_usages(certificate),
        *_key_size(certificate),
        *_store(store),
        *_duplicates(certificate, at, others),
        *_device(certificate, device_names),
    ]
    findings.sort(key=lambda finding: finding.level is not Level.ERROR)
    unusable = any(finding.level is Level.ERROR for finding in findings)
    notes = [
        *_notes_on_certificate(certificate, at),
        *_notes_on_what_is_not_known(certificate, signed, private_key, device_names),
    ]
    return Judgement(tuple(findings), tuple(notes), Verdict.UNUSABLE if unusable else Verdict.USABLE)


def is_marked_leaf(certificate: Certificate) -> bool:
    """Only these are ever counted, compared or deleted: Okta's other certificates look the same by name."""
    return certificate.marker and not certificate.is_ca


def _error(code: str, message: str) -> Finding:
    return Finding(code, Level.ERROR, message)


def _warning(code: str, message: str) -> Finding:
    return Finding(code, Level.WARNING, message)


def _marker(certificate: Certificate) -> Iterable[Finding]:
    if not certificate.marker:
        yield _error("no-marker", certificate.marker_note or "no Device Access marker: made for another purpose")
    if certificate.is_ca:
        yield _error("not-a-leaf", "the certificate of a CA, not of a device")


def _validity(certificate: Certificate, at: datetime) -> Iterable[Finding]:
    if at < certificate.not_before:
        yield _error("not-yet-valid", f"not valid before {rfc3339(certificate.not_before)}")
    if at > certificate.not_after:
        yield _error("expired", f"expired {rfc3339(certificate.not_after)}")


def _issuer(
    certificate: Certificate, issuers: Sequence[Certificate], signed: Sequence[bool | None]
) -> Iterable[Finding]:
    # One that cannot be verified may be the right one: only a whole row of "no" is a finding.
    if signed and all(answer is False for answer in signed):
        same_name = any(issuer.subject == certificate.issuer for issuer in issuers)
        detail = ": the names agree, the keys do not" if same_name else f": its issuer is {certificate.issuer}"
        yield _error("wrong-issuer-key", f"not signed with the key of the given issuer{detail}")


def _private_key(private_key: bool | None) -> Iterable[Finding]:
    if private_key is False:
        yield _error("no-private-key", "its private key is not there")


def _usages(certificate: Certificate) -> Iterable[Finding]:
    usage, extended = certificate.key_usage, certificate.extended_key_usage
    if usage is not None and "digitalSignature" not in usage:
        yield _error("no-digital-signature", f"its key may not sign: key usage is {_list(usage)}")
    # anyExtendedKeyUsage counts: RFC 5280 section 4.2.1.12 defines it as no restriction, and Apple's trust policy
    # for TLS clients accepts it beside clientAuth. The marker as a usage says nothing about authentication.
    if extended is not None and not {"clientAuth", "anyExtendedKeyUsage"}.intersection(extended):
        yield _error("no-client-auth", f"not for client authentication: extended key usage is {_list(extended)}")


def _key_size(certificate: Certificate) -> Iterable[Finding]:
    # A warning: neither Okta nor Apple says that a shorter key is refused, only that 2048 is to be set.
    if certificate.key_type.startswith("RSA") and (certificate.key_bits or WEAK_BELOW_BITS) < WEAK_BELOW_BITS:
        yield _warning("weak-key", f"RSA {certificate.key_bits}; Okta's guides ask for {WEAK_BELOW_BITS}")


def _store(store: str | None) -> Iterable[Finding]:
    if not in_device_store(store or ""):
        yield _warning("wrong-store", f"found in {store}; Device Access looks in the computer's own store")


def _duplicates(certificate: Certificate, at: datetime, others: Sequence[Certificate]) -> Iterable[Finding]:
    if not is_marked_leaf(certificate):
        return
    marked = [other for other in others if is_marked_leaf(other)]
    different = [other for other in marked if other.sha256 != certificate.sha256]
    same_key = [other for other in different if other.public_key_sha256 == certificate.public_key_sha256]
    current = [other for other in different if _valid(other, at)] if _valid(certificate, at) else []
    reasons = []
    if len(different) < len(marked):
        reasons.append("the same certificate is there more than once")
    if same_key:
        reasons.append(f"the same key is in serial number {serial_numbers(same_key)}")
    if current:
        reasons.append(f"valid at the same time as serial number {serial_numbers(current)}")
    if reasons:
        yield _warning("duplicate", "; ".join(reasons))


def _device(certificate: Certificate, device_names: Sequence[str]) -> Iterable[Finding]:
    # A warning: Okta asks for no form of subject, so another name proves nothing.
    if device_names and not names_device(certificate, device_names):
        yield _warning("belongs-to-another-device", f"neither subject nor alternative names hold {_list(device_names)}")


def names_device(certificate: Certificate, device_names: Sequence[str]) -> bool:
    """Given names of a device, tell whether one stands whole in the subject or alternative names (case ignored)."""
    text = "\n".join((certificate.subject, *certificate.common_names, *certificate.alternative_names))
    # Whole, so that mac-04 is not found in mac-042.
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in device_names)


def _notes_on_certificate(certificate: Certificate, at: datetime) -> Iterable[str]:
    yield from certificate.oddities
    if certificate.marker and certificate.marker_note:
        yield certificate.marker_note
    if certificate.not_after < certificate.not_before:
        yield "it ends before it begins: it was never valid"
    elif certificate.not_before <= at <= certificate.not_after and certificate.not_after - at <= SOON:
        yield f"it expires within {(certificate.not_after - at).days + 1} days"
    if is_marked_leaf(certificate):
        days = (certificate.not_after - certificate.not_before).days
        yield (
            f"issued for {days} days; Okta's CA gives one year and no renewal by SCEP: "
            f"redistribute the profile before {rfc3339(certificate.not_after)}"
        )
    if certificate.key_usage is None:
        yield "no key usage extension: no use is ruled out"
    if certificate.extended_key_usage is None:
        yield "no extended key usage extension: no purpose is ruled out"
    elif "anyExtendedKeyUsage" in certificate.extended_key_usage and "clientAuth" not in certificate.extended_key_usage:
        yield "client authentication is allowed only by anyExtendedKeyUsage, which a strict client may refuse"
    if not certificate.key_type.startswith("RSA"):
        yield f"the key is {certificate.key_type}; Okta's guides use RSA"


def _notes_on_what_is_not_known(
    certificate: Certificate, signed: Sequence[bool | None], private_key: bool | None, device_names: Sequence[str]
) -> Iterable[str]:
    if not signed:
        yield "no issuer certificate was given: that the right CA signed it was not checked"
    elif True not in signed and None in signed:
        yield "its signature is of a kind that cannot be verified here"
    if private_key is None:
        yield "the source does not say whether the private key is there"
    if device_names and not names_device(certificate, device_names):
        yield "the subject may have any form, so a missing name proves nothing"


def _valid(certificate: Certificate, at: datetime) -> bool:
    return certificate.not_before <= at <= certificate.not_after


def serial_numbers(certificates: Sequence[Certificate]) -> str:
    """Return the first few serial numbers in words: a message stays a message, however many there are."""
    more = f" and {len(certificates) - 5} more" if len(certificates) > 5 else ""
    return _list(one.serial_number for one in certificates[:5]) + more


def _list(words: Iterable[str]) -> str:
    return ", ".join(words) or "empty"
