"""X.509: the DER of one certificate in, its facts out (RFC 5280), tolerant of all that leaves the facts readable."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from scepfix.domain.certificate import Certificate
from scepfix.domain.errors import InputError
from scepfix.parsers.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OID,
    SEQUENCE,
    UTC_TIME,
    DerError,
    Element,
    children,
    dotted,
    integer,
    only,
)
from scepfix.parsers.x509_extensions import extensions
from scepfix.parsers.x509_names import common_names, name

_VERSION, _EXTENSIONS = 0xA0, 0xA3
_RSA_OIDS = {"1.2.840.113549.1.1.1": "RSA", "1.2.840.113549.1.1.10": "RSA-PSS", "1.2.840.113549.1.1.7": "RSA-OAEP"}
_DSA_OID, _EC_OID = "1.2.840.10040.4.1", "1.2.840.10045.2.1"
_FIXED_KEYS = {
    "1.3.101.110": ("X25519", 253),
    "1.3.101.111": ("X448", 448),
    "1.3.101.112": ("Ed25519", 256),
    "1.3.101.113": ("Ed448", 456),
}
_CURVE_BITS = {
    "1.2.840.10045.3.1.1": 192,
    "1.3.132.0.33": 224,
    "1.2.840.10045.3.1.7": 256,
    "1.3.132.0.10": 256,
    "1.3.132.0.34": 384,
    "1.3.132.0.35": 521,
    "1.3.36.3.3.2.8.1.1.7": 256,
    "1.3.36.3.3.2.8.1.1.11": 384,
    "1.3.36.3.3.2.8.1.1.13": 512,
}
#: The date part of a GeneralizedTime; RFC 5280 asks for seconds and Z, older software wrote less.
_TIME = re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:\.\d+)?(?:Z|([+-])(\d\d)(\d\d))")


def read_certificate(der: bytes) -> Certificate:
    """Given the DER of one certificate, return its facts. Raise InputError when it is none, is cut, or has no dates."""
    try:
        return _certificate(der)
    except (DerError, OverflowError) as error:
        raise InputError(
            "certificate-unreadable",
            f"not a readable X.509 certificate: {error}",
            hint="export it again; was the copy cut or edited?",
        ) from error


def certificate_parts(der: bytes) -> list[Element]:
    """Given the DER of a certificate, return its three parts (what is signed, algorithm, signature). Raise DerError."""
    parts = list(children(only(der, SEQUENCE).content))
    if [part.tag for part in parts] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        raise DerError("it does not have the three parts of a certificate")
    return parts


def _certificate(der: bytes) -> Certificate:
    fields = list(children(certificate_parts(der)[0].content))
    if fields and fields[0].tag == _VERSION:
        del fields[0]
    if [one.tag for one in fields[:6]] != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE]:
        raise DerError("its fields are not those of a certificate")
    serial, _, issuer, validity, subject, key = fields[:6]
    limits = list(children(validity.content))
    if len(limits) != 2:
        raise DerError("its validity is not two times")
    wrapped = [one.content for one in fields[6:] if one.tag == _EXTENSIONS]
    oddities: list[str] = []
    found = extensions(_list_of_extensions(wrapped, oddities))
    key_type, key_bits = _key(key, oddities)
    number = integer(serial.content)
    if number <= 0:
        oddities.append("the serial number is not positive")
    return Certificate(
        subject=_name(subject, "subject", oddities),
        issuer=_name(issuer, "issuer", oddities),
        serial_number=f"{number:x}",
        not_before=_time(limits[0]),
        not_after=_time(limits[1]),
        sha256=hashlib.sha256(der).hexdigest(),
        # A name by which Windows and macOS list certificates, not a protection.
        sha1=hashlib.sha1(der, usedforsecurity=False).hexdigest(),
        key_type=key_type,
        key_bits=key_bits,
        public_key_sha256=hashlib.sha256(key.whole).hexdigest(),
        key_usage=found.key_usage,
        extended_key_usage=found.extended_key_usage,
        is_ca=found.is_ca,
        self_signed=subject.whole == issuer.whole,
        marker=found.marker,
        marker_note=found.marker_note,
        authority_key_id=found.authority_key_id,
        subject_key_id=found.subject_key_id,
        alternative_names=found.alternative_names,
        common_names=_common_names(subject),
        oddities=(*oddities, *found.oddities),
        der=der,
    )


def _list_of_extensions(wrapped: list[bytes], oddities: list[str]) -> bytes:
    if not wrapped:
        return b""
    try:
        return only(wrapped[0], SEQUENCE).content
    except DerError:
        oddities.append("the extensions cannot be read")
        return b""


def _name(whole: Element, which: str, oddities: list[str]) -> str:
    try:
        return name(whole.whole)
    except DerError:
        oddities.append(f"the {which} cannot be read; its DER is shown")
        return f"#{whole.whole.hex().upper()}"


def _common_names(subject: Element) -> tuple[str, ...]:
    try:
        return common_names(subject.whole)
    except DerError:
        return ()


def _time(element: Element) -> datetime:
    """Given a UTCTime or GeneralizedTime, return the aware UTC moment (RFC 5280 section 4.1.2.5)."""
    text = element.content
    if element.tag == UTC_TIME:
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    match = _TIME.fullmatch(text) if element.tag in (UTC_TIME, GENERALIZED_TIME) else None
    if match is None:
        raise DerError("a date of its validity is not a date")
    year, month, day, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
    except ValueError as error:
        raise DerError(f"a date of its validity is no date: {error}") from None
    if sign is None:
        return moment
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    return moment + offset if sign == b"-" else moment - offset


def _key(key: Element, oddities: list[str]) -> tuple[str, int | None]:
    """Given a SubjectPublicKeyInfo, return the key's type and size; type ``unknown`` when not even that is readable."""
    kind = "unknown"
    try:
        algorithm, bits = children(key.content)
        identifier, *parameters = children(algorithm.content)
        kind = dotted(only(identifier.whole, OID).content)
        if kind in _FIXED_KEYS:
            return _FIXED_KEYS[kind]
        if kind == _EC_OID:
            curve = dotted(parameters[0].content) if parameters and parameters[0].tag == OID else ""
            return "EC", _CURVE_BITS.get(curve)
        if kind in _RSA_OIDS:
            modulus, _ = children(only(bits.content[1:], SEQUENCE).content)
            return _RSA_OIDS[kind], integer(modulus.content).bit_length()
        if kind == _DSA_OID:
            prime = next(children(parameters[0].content)) if parameters else None
            return "DSA", integer(prime.content).bit_length() if prime else None
    except (ValueError, StopIteration):
        oddities.append("the public key cannot be read")
        kind = _RSA_OIDS.get(kind, "DSA" if kind == _DSA_OID else kind)
    return kind, None
