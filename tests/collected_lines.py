"""Writes lines of the collector as the scripts do, from an observation: for tests of their reader."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from scepfix.domain.certificate import MARKER_EKU_OID
from scepfix.domain.device import InstalledProfile, Observation, StoredCertificate
from scepfix.domain.platform import Platform
from scepfix.parsers.x509_extensions import KEY_USAGES

_KINDS = {
    "log.attempt": "m1",
    "log.rejected": "m3",
    "log.registration-failed": "mx",
    "log.device-not-registered": "w1",
    "log.not-eligible": "w3",
}
_PURPOSES = {"clientAuth": "c", "anyExtendedKeyUsage": "a", MARKER_EKU_OID: "m"}


def line_of(seen: Observation, **other: str) -> str:
    """Return the line; ``other`` replaces values by key."""
    values = {
        "os": seen.platform.value,
        "at": moment(seen.observed_at),
        "sn": escaped(seen.identity.serial_number) or "-",
        "uuid": seen.identity.hardware_uuid or "-",
        "version": seen.os_version or "-",
        "build": seen.os_build or "-",
        "root": "yes",
        "enrolled": truth(seen.enrolled),
        "service": truth(seen.daemon_present),
        "okta": seen.okta_verify_version or "-",
        "log": log(seen),
        "complete": truth(seen.complete),
        "profiles": "?" if seen.profiles is None else str(len(seen.profiles)),
        "certificates": str(len(seen.certificates)),
        "more": "0",
        **other,
    }
    words = [f"{key}={value}" for key, value in values.items()]
    words += [certificate(one) for one in seen.certificates]
    words += [profile(one) for one in seen.profiles or ()]
    return summed(f"scepfix1 {' '.join(words)}")


def summed(text: str) -> str:
    """Return a text with its checksum behind it."""
    return f"{text} sum={hashlib.sha256(text.encode('ascii', 'replace')).hexdigest()[:16]}"


def moment(at: datetime) -> str:
    return f"{at:%Y%m%d%H%M%SZ}"


def escaped(text: str) -> str:
    def one(byte: int) -> str:
        character = chr(byte)
        return character if character.isascii() and (character.isalnum() or character in "._-") else f"%{byte:02X}"

    return "".join(one(byte) for byte in text.encode("utf-8"))


def truth(value: bool | None) -> str:
    return {True: "y", False: "n", None: "?"}[value]


def log(seen: Observation) -> str:
    lines = seen.collected.log if seen.collected else None
    if lines is None:
        return "none"
    missing = "m2" if seen.platform is Platform.MACOS else "w2"
    found = []
    for one in lines:
        stamp = "-" if one.at is None else f"{one.at:%Y%m%d%H%M%S}{one.at.microsecond // 1000:03}+0000"
        found.append(f"{_KINDS.get(one.says, missing)}:{stamp}")
    return ",".join(found) or "-"


def certificate(stored: StoredCertificate) -> str:
    told: Any = stored.told
    usage = "-"
    if told.key_usage is not None:
        bits = "".join("1" if name in told.key_usage else "0" for name in KEY_USAGES).ljust(16, "0")
        usage = f"{int(bits, 2):04x}"
    purposes = "-"
    if told.extended_key_usage is not None:
        purposes = "".join(_PURPOSES.get(one, "o") for one in told.extended_key_usage) or "0"
    fields = (
        moment(told.not_before),
        moment(told.not_after),
        told.serial_number,
        told.sha256,
        told.public_key_sha256,
        told.authority_key_id or "-",
        truth(stored.private_key),
        usage,
        purposes,
        truth(told.self_signed),
        escaped(told.device_named) or "-",
    )
    return f"c={','.join(fields)}"


def profile(one: InstalledProfile) -> str:
    installed = "-" if one.installed_at is None else moment(one.installed_at)
    scope = "s" if one.scope == "system" else "u"
    return f"p={scope},{escaped(one.identifier)},{installed},{'+'.join(map(escaped, one.payload_types))}"
