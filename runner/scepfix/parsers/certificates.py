"""Any file of certificates: find the format by its content, read it, and say what the absence in it is worth."""

from __future__ import annotations

import re
from dataclasses import replace

from scepfix.domain.certificate import (
    CANARY_COMMON_NAMES,
    CertificateFile,
    FoundCertificate,
    Listing,
    ListingKind,
    Problem,
)
from scepfix.domain.errors import InputError
from scepfix.parsers.base64_blocks import base64_blocks
from scepfix.parsers.certificate_bundle import certificates_in, looks_like_der
from scepfix.parsers.certificate_json import looks_like_json, parse_json
from scepfix.parsers.certificate_text import KEY_WARNING, parse_text
from scepfix.parsers.encoding import Encoding, detect
from scepfix.parsers.mdm_certificate_list import looks_like_plist, parse_certificate_list
from scepfix.parsers.x509 import read_certificate

_POWERSHELL = (
    r"Get-ChildItem Cert:\LocalMachine\My | Select-Object RawData, HasPrivateKey, PSParentPath | ConvertTo-Json"
)
_FORMATS = "known are PEM, DER, PKCS#7, security find-certificate -a -p -Z, an MDM CertificateList and JSON with base64"
#: A Mac has some two hundred in all its keychains; each is compared with each, so a hostile file is stopped here.
LIMIT_CERTIFICATES = 2000
#: Text that people take for certificates: pattern, code, what it is, what to give instead. The first match counts.
_MISTAKEN = (
    (
        r"SecKeychainSearchCopyNext",
        "keychain-no-match",
        "security found no such certificate, which without -a also means: not in that keychain",
        "list all: security find-certificate -a -p -Z /Library/Keychains/System.keychain",
    ),
    (
        r"command not found|not recognized as|CommandNotFoundException|: not found\s*$|No such file or directory",
        "tool-missing",
        "the output of a tool that was not there",
        "run it again on the device itself",
    ),
    (
        r"SHA-1 hash:|^keychain: \"|valid identities found|identities found",
        "listing-without-certificates",
        "a list that names certificates without holding them",
        "list all with -p: security find-certificate -a -p -Z /Library/Keychains/System.keychain",
    ),
    (
        r"CertUtil: -|hash\(sha1\)|^=+ [^\n=]* \d+ =+\s*$",
        "certutil-text",
        "text of certutil -store: it holds no certificate, and its dates depend on the language of Windows",
        f"give the certificates themselves: {_POWERSHELL}, or certutil -store My SERIAL FILE.cer",
    ),
    (
        r"PSParentPath:|^Thumbprint\s+Subject",
        "powershell-table",
        "a table of PowerShell: it names certificates without holding them",
        f"give the certificates themselves: {_POWERSHELL}",
    ),
    (
        r"<html|<!doctype html",
        "another-format",
        "a web page, perhaps of a sign-in",
        "download the file again, signed in",
    ),
)


def parse_certificates(data: bytes, source: str = "", *, listing: bool = False) -> CertificateFile:
    """Given a file's bytes, its name and whether it is known to list a keychain, return what it holds.

    A keychain listing (it has ``SHA-1 hash:`` lines, or ``listing`` says so) may hold no certificate: then it is
    no answer, as ``Listing.complete`` says. Of anything else raise InputError, with ``source`` as its place,
    where no certificate could be read from it.
    """
    try:
        parsed = _parse(data, listing)
        if not parsed.found and parsed.listing is None:
            raise _without_certificate(parsed)
        if len(parsed.found) > LIMIT_CERTIFICATES:
            raise InputError(
                "too-many-certificates",
                f"more than {LIMIT_CERTIFICATES} certificates",
                hint="give one device's at a time",
            )
        return parsed
    except InputError as error:
        raise InputError(error.code, error.message, where=error.where or source, hint=error.hint) from error


def _parse(data: bytes, listing: bool) -> CertificateFile:
    if not data.strip() and not listing:
        raise InputError("input-empty", "there is nothing in it", hint="collect it again; was the copy cut?")
    if looks_like_der(data):
        return _binary(data, "")
    if looks_like_plist(data):
        found, problems = parse_certificate_list(data)
        complete = bool(found) and not problems
        seen = Listing(ListingKind.MDM, _has_canary(found), complete)
        return CertificateFile("MDM CertificateList", tuple(found), tuple(problems), listing=seen)
    return _text(data, listing)


def _text(data: bytes, listing: bool) -> CertificateFile:
    encoding = detect(data[:4096])
    text = encoding.decode(data[encoding.mark_bytes :])
    has_blocks = "-----BEGIN" in text
    if looks_like_json(text):
        try:
            return _json(text)
        except InputError:
            # Text that begins like JSON, a shell prompt say, may have blocks further on.
            if not has_blocks:
                raise
    if not has_blocks:
        bare = _base64_alone(text, encoding)
        if bare is not None:
            return bare
        _refuse_mistaken(text)
        if not listing:
            raise InputError("no-certificate", "there is no certificate in it", hint=_FORMATS)
    findings = parse_text(text, encoding)
    seen_listing = None
    canary = _has_canary(findings.found)
    # Without -Z a listing has no hash lines; a canary is found nowhere else than in a keychain.
    if findings.has_hash_lines or canary or listing:
        seen_listing = Listing(ListingKind.KEYCHAIN, canary, canary and not findings.problems)
    return CertificateFile(
        findings.format,
        tuple(findings.found),
        tuple(findings.problems),
        tuple(findings.warnings),
        seen_listing,
    )


def _has_canary(found: list[FoundCertificate]) -> bool:
    # Every Mac makes its own canaries: they are self-signed, and nobody else issues one.
    return any(
        one.certificate.self_signed and CANARY_COMMON_NAMES.intersection(one.certificate.common_names) for one in found
    )


def _binary(data: bytes, place: str) -> CertificateFile:
    name, ders = certificates_in(data)
    found: list[FoundCertificate] = []
    problems: list[Problem] = []
    for number, der in enumerate(ders, start=1):
        where = place or f"certificate {number}"
        try:
            found.append(FoundCertificate(read_certificate(der), where))
        except InputError as error:
            problems.append(Problem(error.code, error.message, where))
    return CertificateFile(name, tuple(found), tuple(problems))


def _json(text: str) -> CertificateFile:
    found, problems = parse_json(text)
    if not found and not problems:
        raise InputError(
            "json-without-certificates",
            "JSON in which there is no certificate",
            hint=f"it needs the DER in base64, as from: {_POWERSHELL}",
        )
    return CertificateFile("JSON", tuple(found), tuple(problems))


def _base64_alone(text: str, encoding: Encoding) -> CertificateFile | None:
    """Given text without blocks, return the certificates that stand in it as bare base64; None where there are none."""
    found: list[FoundCertificate] = []
    problems: list[Problem] = []
    for index, body in base64_blocks(text):
        line = text.count("\n", 0, index) + 1
        byte_offset = encoding.mark_bytes + encoding.encoded_length(text[:index])
        inner = _binary(body, f"line {line}")
        found += [replace(one, line=line, byte_offset=byte_offset) for one in inner.found]
        problems += inner.problems
    return CertificateFile("base64", tuple(found), tuple(problems)) if found or problems else None


def _refuse_mistaken(text: str) -> None:
    for pattern, code, message, hint in _MISTAKEN:
        if re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
            raise InputError(code, message, hint=hint)


def _without_certificate(parsed: CertificateFile) -> InputError:
    if parsed.problems:
        first = parsed.problems[0]
        more = f" (and {len(parsed.problems) - 1} more)" if len(parsed.problems) > 1 else ""
        message = f"no certificate in it could be read: {first.place}: {first.message}{more}"
        return InputError(first.code, message, hint="export it again; was the copy cut or edited?")
    if parsed.warnings:
        code = "private-key" if KEY_WARNING in parsed.warnings else "not-a-certificate"
        return InputError(code, f"there is no certificate in it, and {parsed.warnings[0]}", hint=_FORMATS)
    return InputError("no-certificate", "there is no certificate in it", hint=_FORMATS)
