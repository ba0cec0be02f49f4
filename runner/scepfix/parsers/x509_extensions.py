"""X.509 extensions: those that decide what a certificate may be used for, each read by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scepfix.domain.certificate import MARKER_EKU_OID, MARKER_OID
from scepfix.parsers.der import (
    BIT_STRING,
    BOOLEAN,
    OCTET_STRING,
    OID,
    SEQUENCE,
    DerError,
    Element,
    children,
    dotted,
    only,
)
from scepfix.parsers.x509_names import alternative_names

SUBJECT_KEY_ID, KEY_USAGE, ALTERNATIVE_NAMES = "2.5.29.14", "2.5.29.15", "2.5.29.17"
BASIC_CONSTRAINTS, AUTHORITY_KEY_ID, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.35", "2.5.29.37"
_NAMES = {
    SUBJECT_KEY_ID: "subject key identifier",
    KEY_USAGE: "key usage",
    ALTERNATIVE_NAMES: "alternative names",
    BASIC_CONSTRAINTS: "basic constraints",
    AUTHORITY_KEY_ID: "authority key identifier",
    EXTENDED_KEY_USAGE: "extended key usage",
    MARKER_OID: "Device Access marker",
}
#: Bit 0 first (RFC 5280 section 4.2.1.3).
KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)
_EXTENDED_KEY_USAGES = {
    "2.5.29.37.0": "anyExtendedKeyUsage",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "1.3.6.1.4.1.311.20.2.2": "smartcardLogon",
}
_INTEGER_1 = bytes.fromhex("020101")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the extensions of one certificate say; the fields are those of ``domain.certificate.Certificate``."""

    key_usage: tuple[str, ...] | None
    extended_key_usage: tuple[str, ...] | None
    is_ca: bool
    marker: bool
    marker_note: str
    authority_key_id: str | None
    subject_key_id: str | None
    alternative_names: tuple[str, ...]
    oddities: tuple[str, ...]


def extensions(content: bytes) -> Extensions:
    """Given the content of the SEQUENCE OF Extension (empty: there are none), return what they say. Never raises.

    An extension that is there but cannot be read restricts: usages become the empty tuple, not None. Of one that
    is there twice (RFC 5280 section 4.2 forbids it) the first counts, of the marker all must hold INTEGER 1.
    """
    oddities: list[str] = []
    values: dict[str, list[bytes]] = {}
    try:
        for element in children(content):
            kind, value = _extension(element)
            values.setdefault(kind, []).append(value)
    except DerError as error:
        oddities.append(f"the list of extensions cannot be read to its end: {error}")
    oddities += [f"two extensions {_NAMES.get(kind, kind)}" for kind, held in values.items() if len(held) > 1]

    def read(kind: str, how: Callable[[bytes], Value], otherwise: Value, unreadable: Value) -> Value:
        if kind not in values:
            return otherwise
        try:
            return how(values[kind][0])
        except (DerError, ValueError):
            oddities.append(f"the extension {_NAMES[kind]} cannot be read")
            return unreadable

    absent: tuple[str, ...] | None = None
    usages = read(EXTENDED_KEY_USAGE, _extended_key_usage, absent, ())
    by_usage = MARKER_EKU_OID in (usages or ())
    wrong = [value for value in values.get(MARKER_OID, []) if value != _INTEGER_1]
    marker_note = f"the Device Access extension holds {_short(wrong[0])}, not INTEGER 1 (020101)" if wrong else ""
    return Extensions(
        key_usage=read(KEY_USAGE, _key_usage, absent, ()),
        extended_key_usage=usages,
        is_ca=read(BASIC_CONSTRAINTS, _is_ca, False, False),
        marker=by_usage or (MARKER_OID in values and not wrong),
        marker_note=marker_note,
        authority_key_id=read(AUTHORITY_KEY_ID, _authority_key_id, None, None),
        subject_key_id=read(SUBJECT_KEY_ID, _subject_key_id, None, None),
        alternative_names=read(ALTERNATIVE_NAMES, alternative_names, (), ()),
        oddities=tuple(oddities),
    )


def _extension(element: Element) -> tuple[str, bytes]:
    parts = list(children(element.content))
    middle_is_critical = len(parts) == 3 and parts[1].tag == BOOLEAN
    if element.tag != SEQUENCE or not (len(parts) == 2 or middle_is_critical):
        raise DerError("not an Extension")
    if parts[0].tag != OID or parts[-1].tag != OCTET_STRING:
        raise DerError("not an Extension")
    return dotted(parts[0].content), parts[-1].content


def _key_usage(value: bytes) -> tuple[str, ...]:
    content = only(value, BIT_STRING).content
    if not content:
        raise DerError("empty BIT STRING")
    bits = "".join(f"{byte:08b}" for byte in content[1:])
    return tuple(usage for usage, bit in zip(KEY_USAGES, bits, strict=False) if bit == "1")


def _extended_key_usage(value: bytes) -> tuple[str, ...]:
    kinds = list(children(only(value, SEQUENCE).content))
    if any(kind.tag != OID for kind in kinds):
        raise DerError("not a list of usages")
    usages = [dotted(kind.content) for kind in kinds]
    return tuple(_EXTENDED_KEY_USAGES.get(usage, usage) for usage in usages)


def _is_ca(value: bytes) -> bool:
    parts = list(children(only(value, SEQUENCE).content))
    return bool(parts) and parts[0].tag == BOOLEAN and parts[0].content != b"\0"


def _subject_key_id(value: bytes) -> str:
    return only(value, OCTET_STRING).content.hex()


def _authority_key_id(value: bytes) -> str | None:
    """The key's id is [0]; issuer and serial number, which may stand instead, are not used."""
    parts = children(only(value, SEQUENCE).content)
    return next((part.content.hex() for part in parts if part.tag == 0x80), None)


def _short(value: bytes) -> str:
    return value[:16].hex() + ("…" if len(value) > 16 else "") if value else "nothing"
