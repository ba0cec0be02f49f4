"""Text with certificates in it: PEM of any source, and what ``security find-certificate -a -p -Z`` prints.

The latter has two lines before each block, of which macOS before 10.15 or so printed only the second:

    SHA-256 hash: 4143D4BE4FDE94FE9DCBBCEC305FCE487318D59389633C5E946DF25DECEB43F7
    SHA-1 hash: DD853BBEC30BB250585EF74600769674A59C2C96
    -----BEGIN CERTIFICATE-----

Source: keychain_find.c of Apple's SecurityTool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scepfix.domain.certificate import Certificate, FoundCertificate, Problem
from scepfix.domain.errors import InputError
from scepfix.parsers.certificate_bundle import certificates_in
from scepfix.parsers.der import DerError, element_at
from scepfix.parsers.encoding import Encoding
from scepfix.parsers.pem import PemBlock, pem_blocks
from scepfix.parsers.x509 import read_certificate

_CERTIFICATES = {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}
_BUNDLES = {"PKCS7", "PKCS #7 SIGNED DATA", "CMS"}
_SHA1_LINE = re.compile(r"SHA-1 hash:\s*([0-9A-Fa-f]{40})\b")
_SHA256_LINE = re.compile(r"SHA-256 hash:\s*([0-9A-Fa-f]{64})\b")
#: What `security` says on standard error before it searches other keychains than the one asked for.
_ANOTHER_KEYCHAIN = re.compile(r"security: SecKeychainOpen[^\n]*")
KEY_WARNING = (
    "it holds a private key: nothing of it was read or is shown; never send it to anybody, "
    "and treat the key as lost if this copy left the device"
)


@dataclass(slots=True)
class TextFindings:
    """What a text held; ``has_hash_lines`` tells a keychain listing."""

    format: str = "PEM"
    found: list[FoundCertificate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    has_hash_lines: bool = False


class _Places:
    """Turns indexes that only grow into lines and byte offsets, counting each stretch of text once."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self._text, self._encoding = text, encoding
        self._at, self._line, self._byte_offset = 0, 1, encoding.mark_bytes

    def of(self, index: int) -> tuple[int, int]:
        stretch = self._text[self._at : index]
        self._line += stretch.count("\n")
        self._byte_offset += self._encoding.encoded_length(stretch)
        self._at = index
        return self._line, self._byte_offset


def parse_text(text: str, encoding: Encoding) -> TextFindings:
    """Given decoded text and its encoding, return the certificates in its blocks and what is wrong with the others.

    Blocks of other kinds (private keys, requests, parameters) are passed over with a warning. Hash lines are compared
    with the certificate after them: a difference means that the text was edited.
    """
    findings = TextFindings(has_hash_lines=_SHA1_LINE.search(text) is not None)
    if findings.has_hash_lines:
        findings.format = "keychain listing"
    places, end_of_last = _Places(text, encoding), 0
    for block in pem_blocks(text):
        line, byte_offset = places.of(block.start)
        if block.is_private_key:
            findings.warnings += [] if KEY_WARNING in findings.warnings else [KEY_WARNING]
        elif block.label not in _CERTIFICATES | _BUNDLES:
            findings.warnings.append(f"the {block.label} in line {line} is no certificate and was passed over")
        else:
            _read_block(block, line, byte_offset, text[end_of_last : block.start], findings)
        end_of_last = block.end
    if _SHA1_LINE.search(text, end_of_last):
        where = f"line {places.of(len(text))[0]}"
        findings.problems.append(Problem("listing-cut", "after the last hashes no certificate follows: cut?", where))
    opened = _ANOTHER_KEYCHAIN.search(text)
    if opened is not None:
        findings.problems.append(
            Problem(
                "another-keychain",
                "the keychain that was asked for could not be opened, so security searched others",
                f"line {text.count(chr(10), 0, opened.start()) + 1}",
            )
        )
    return findings


def _read_block(block: PemBlock, line: int, byte_offset: int, before: str, findings: TextFindings) -> None:
    place = f"line {line}"
    if block.body is None:
        findings.problems.append(Problem("block-unreadable", f"{block.label}: {block.trouble}", place))
        return
    try:
        for der in _ders(block.label, block.body):
            certificate = read_certificate(der)
            begin = f"-----BEGIN {block.label}-----"
            findings.found.append(FoundCertificate(certificate, place, line, byte_offset, quote=begin))
            if findings.has_hash_lines:
                findings.problems += _hash_problems(certificate, before, place)
    except InputError as error:
        findings.problems.append(Problem(error.code, error.message, place))
    if block.label in _BUNDLES:
        findings.format = "PKCS#7"


def _ders(label: str, body: bytes) -> list[bytes]:
    if label in _BUNDLES:
        return certificates_in(body)[1]
    if label != "TRUSTED CERTIFICATE":
        return [body]
    try:
        # openssl appends its own trust settings to the certificate.
        return [element_at(body).whole]
    except DerError as error:
        raise InputError("certificate-unreadable", f"not a readable X.509 certificate: {error}") from error


def _hash_problems(certificate: Certificate, before: str, place: str) -> list[Problem]:
    problems = []
    for name, pattern, computed in (
        ("SHA-256", _SHA256_LINE, certificate.sha256),
        ("SHA-1", _SHA1_LINE, certificate.sha1),
    ):
        printed = pattern.findall(before)
        if printed and printed[-1].lower() != computed:
            problems.append(
                Problem("hash-mismatch", f"the {name} printed before this certificate is not its own: edited?", place)
            )
        if len(printed) > 1:
            problems.append(Problem("listing-cut", f"a certificate is missing after {name} {printed[0]}", place))
    return problems
