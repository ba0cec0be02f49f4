"""Turns a certificate file or a profile into Evidence, and tells both from a log by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scepfix.domain.certificate import Certificate, CertificateFile, FoundCertificate, ListingKind, issued_by_okta
from scepfix.domain.evidence import Evidence, Fact, Witness
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.scep_profile import MDM_TYPE, ProfileDocument, ProfileFormat, ScepProfile, Scope
from scepfix.parsers.certificate_bundle import looks_like_der
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.encoding import detect
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file
from scepfix.rules.certificate import judge
from scepfix.rules.issuer_key import signed_with_key_of
from scepfix.rules.scep_profile import judge_profile

_CERTIFICATE_MARKS = ("-----BEGIN CERTIFICATE", "-----BEGIN TRUSTED CERTIFICATE", "-----BEGIN PKCS7", "SHA-1 hash:")
#: Base64 of DER without BEGIN and END, as a line of its own.
_BARE_BASE64 = re.compile(r"^[ \t>|]*MII[A-Za-z0-9+/]{40,}", re.MULTILINE)
_CERTIFICATE_JSON = ("RawData", "cert_data", "HasPrivateKey")
#: On a device the MDM has already put the values in: a subject without a variable says nothing there.
_NOT_ON_A_DEVICE = frozenset({"subject-not-unique"})
#: What Device Access cannot do without; the dates are judged with the rest of the evidence.
_USAGE_CODES = frozenset({"no-digital-signature", "no-client-auth", "not-a-leaf"})


@dataclass(frozen=True, slots=True)
class Kinds:
    """What a stream may hold: more than one at once, as a ticket that quotes a log and a certificate."""

    profile: bool
    certificates: bool
    text: bool

    @property
    def whole(self) -> bool:
        return self.profile or self.certificates


def sniff(head: bytes) -> Kinds:
    """Given the first bytes (or all) of a stream, say what it may hold. Cheap; never raises."""
    profile = sniff_profile_file(head) is not None or head.startswith(b"bplist")
    if profile or looks_like_der(head):
        return Kinds(profile, certificates=not profile, text=False)
    encoding = detect(head)
    text = encoding.decode(head[encoding.mark_bytes :])
    if "<key>CertificateList</key>" in text:
        return Kinds(profile=False, certificates=True, text=False)
    is_json = text.lstrip().startswith(("[", "{")) and any(f'"{word}"' in text for word in _CERTIFICATE_JSON)
    marked = any(mark in text for mark in _CERTIFICATE_MARKS) or _BARE_BASE64.search(text) is not None
    return Kinds(profile=False, certificates=is_json or marked, text=not is_json)


def certificate_evidence(
    data: bytes, source: str, sha256: str, witness: Witness, issuers: Sequence[Certificate]
) -> tuple[list[Evidence], list[str], str]:
    """Given a file of certificates, return evidence, notes and its format. Raise InputError where it holds none."""
    file = parse_certificates(data, source)
    evidence = [
        evidence_of_certificate(found, source, sha256, witness, issuers) for found in file.found if _counts(found, file)
    ]
    evidence += _of_listing(file, source, sha256, witness)
    notes = [f"{source}: {problem.place}: {problem.message}" for problem in file.problems]
    return evidence, [*notes, *(f"{source}: {warning}" for warning in file.warnings)], file.format


def _counts(found: FoundCertificate, file: CertificateFile) -> bool:
    """With the marker always; without it only where it may be the wrong kind of certificate, never a canary or a CA."""
    certificate = found.certificate
    if certificate.marker:
        return True
    if certificate.is_ca or certificate.self_signed:
        return False
    return issued_by_okta(certificate.issuer, certificate.subject) or file.listing is None


def evidence_of_certificate(
    found: FoundCertificate, source: str, sha256: str | None, witness: Witness, issuers: Sequence[Certificate]
) -> Evidence:
    """Given a certificate and where it was found, return the evidence of it, held against the org's issuers."""
    certificate = found.certificate
    signed = [signed_with_key_of(certificate, issuer) for issuer in issuers]
    org_issuer = True if True in signed else None if None in signed or not signed else False
    codes = {finding.code for finding in judge(certificate, certificate.not_before).findings}
    facts: dict[str, Fact] = {
        "device_access_marker": certificate.marker,
        "store": found.store or None,
        "private_key": found.private_key,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "sha256": certificate.sha256,
        "serial_number": certificate.serial_number,
        "issuer": visible(certificate.issuer),
        "subject": visible(certificate.subject),
        "org_issuer": org_issuer,
        "usage": not codes & _USAGE_CODES,
        "is_ca": certificate.is_ca,
    }
    return Evidence(
        witness,
        source,
        "keychain.certificate",
        line=found.line,
        byte_offset=found.byte_offset,
        sha256=sha256,
        quote=visible(found.quote),
        facts=facts,
    )


def _of_listing(file: CertificateFile, source: str, sha256: str, witness: Witness) -> Iterator[Evidence]:
    if file.listing is None or any(found.certificate.marker for found in file.found):
        return
    stores: dict[str, Fact] = {ListingKind.KEYCHAIN: "system", ListingKind.WINDOWS_STORE: "local-machine"}
    if file.listing.complete:
        facts = {"store": stores.get(file.listing.kind)}
        yield Evidence(witness, source, "keychain.none", sha256=sha256, facts=facts)
    else:
        yield Evidence(witness, source, "keychain.unreadable", sha256=sha256)


def profile_evidence(data: bytes, source: str, sha256: str, witness: Witness) -> tuple[list[Evidence], list[str], str]:
    """Given a profile in any known format, return evidence, notes and its format. Raise InputError where it is none."""
    document = read_profile_file(data, source, empty_is_listing=True)
    notes = [f"{source}: {remark}" for remark in document.remarks]
    judgement = judge_profile(document)
    on_device = document.format is ProfileFormat.PROFILES_SHOW
    ours = [profile for profile in document.with_scep if not _is_of_the_mdm(profile)]
    evidence = list(_installed(ours, source, sha256, witness)) if on_device else []
    seen_by_root = any(profile.scope is Scope.SYSTEM for profile in document.profiles) or not document.profiles
    if on_device and not ours and not seen_by_root:
        # `profiles` run without root lists that person's profiles only.
        notes.append(f"{source}: only a person's own profiles are listed; list them again as root")
        return [], notes, "profiles listing"
    if on_device and len(ours) != 1:
        if ours:
            notes.append(
                f"{source}: several profiles have a SCEP payload; none was judged: check the right one by itself"
            )
        return evidence, notes, "profiles listing"
    codes = sorted({finding.code for finding in judgement.breaks} - (_NOT_ON_A_DEVICE if on_device else set()))
    says = "profile.breaks" if codes else "profile.ok"
    identifier = next((profile.identifier for profile in ours or document.profiles), "")
    facts: dict[str, Fact] = {"codes": list(codes), "identifier": visible(identifier)}
    evidence.append(Evidence(witness, source, says, sha256=sha256, facts=facts))
    return evidence, notes, f"{document.format.value} profile"


def breaks_on_device(document: ProfileDocument) -> tuple[str, ...]:
    """Given profiles as a device lists them, return the codes of what in their SCEP settings breaks Device Access."""
    return tuple(sorted({finding.code for finding in judge_profile(document).breaks} - _NOT_ON_A_DEVICE))


def _is_of_the_mdm(profile: ScepProfile) -> bool:
    """The profile by which the device is enrolled asks for a certificate by SCEP too: the MDM's own identity."""
    return all(MDM_TYPE in payload.used_by for payload in profile.scep_payloads)


def _installed(profiles: Sequence[ScepProfile], source: str, sha256: str, witness: Witness) -> Iterator[Evidence]:
    if not profiles:
        yield Evidence(witness, source, "profile.none", sha256=sha256)
    for profile in profiles:
        facts: dict[str, Fact] = {
            "identifier": visible(profile.identifier),
            "scope": profile.scope.value if profile.scope else None,
            "installed_at": rfc3339(profile.installed_at),
        }
        name = visible(profile.display_name)
        yield Evidence(witness, source, "profile.installed", sha256=sha256, quote=name, facts=facts)
