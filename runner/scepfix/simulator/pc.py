"""The stub PC: what it answers to the PowerShell script, put together from its state; there is no Windows behind it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from scepfix.domain.certificate import MARKER_OID
from scepfix.simulator.keychain import Item

#: Where the moment of the answer goes, in Unix seconds.
NOW = "@NOW@"
_SID = "S-1-5-21-1004336348-1177238915-682003330-1001"


def document(
    name: str,
    serial_number: str,
    hardware_uuid: str,
    items: Sequence[Item],
    profile: str,
    refused_at: datetime | None,
    personal: Sequence[Item] = (),
) -> str:
    """Given a PC's name, keys, computer store, SCEP node ("" none), last refusal and its person's own store, return the
    answer, one line."""
    found = {
        "schema": "scepfix/windows/1",
        "time": NOW,
        "administrator": True,
        "computer_name": name,
        "serial_number": serial_number,
        "hardware_uuid": hardware_uuid,
        "os_version": "10.0.26100",
        "os_build": "26100.2314",
        "roots": 14,
        "local_machine": [
            {"raw_data": base64.b64encode(item.der).decode("ascii"), "has_private_key": item.private_key}
            for item in items
        ],
        "current_user": [],
        "personal": [{"sid": _SID, "blobs": [_blob(item.der) for item in personal]}] if personal else [],
        "scep": [{"instance_id": profile, "thumbprint": "", "status": 1, "error_code": 0}] if profile else [],
        "enrolled": True,
        "service_present": True,
        "okta_verify_version": "6.2.0",
        "log": base64.b64encode(_log(refused_at).encode("utf-8")).decode("ascii"),
        "problems": [],
        "whole": True,
    }
    return json.dumps(found, separators=(",", ":")) + "\n"


def line(said: str, now: datetime) -> str:
    """Given such an answer and the moment that the PC's clock shows, return the collector's line, as the script would
    print it (docs/collector.md): no PowerShell is run for it."""
    found = json.loads(said)
    told = [_told(one) for one in found["local_machine"]]
    certificates = sorted((one for one in told if one), reverse=True)
    nodes = [f"p=s,{one['instance_id']},-,com.apple.security.scep" for one in found["scep"]]
    log = base64.b64decode(found["log"]).decode("utf-8")
    stamp = "".join(character for character in log[:23] if character.isdigit())
    words = [
        *("scepfix1", "os=windows", f"at={now:%Y%m%d%H%M%SZ}", f"sn={found['serial_number']}"),
        *(f"uuid={found['hardware_uuid']}", f"version={found['os_version']}", f"build={found['os_build']}"),
        *("root=yes", "enrolled=y", "service=y", f"okta={found['okta_verify_version']}"),
        f"log=w2:{stamp}+0000,w3:{stamp}+0000" if log else "log=none",
        *("complete=y", f"profiles={len(nodes)}", f"certificates={len(certificates)}", "more=0"),
        *(f"c={one}" for one in certificates),
        *nodes,
    ]
    whole = " ".join(words)
    return f"{whole} sum={hashlib.sha256(whole.encode('ascii')).hexdigest()[:16]}"


def _told(one: dict[str, Any]) -> str:
    """Return what the line tells of a certificate, "" of one without the marker."""
    der = base64.b64decode(one["raw_data"])
    found = x509.load_der_x509_certificate(der)
    extensions = {extension.oid: extension.value for extension in found.extensions}
    if x509.ObjectIdentifier(MARKER_OID) not in extensions:
        return ""
    key = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    authority: Any = extensions.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    fields = (
        f"{found.not_valid_before_utc:%Y%m%d%H%M%SZ}",
        f"{found.not_valid_after_utc:%Y%m%d%H%M%SZ}",
        f"{found.serial_number:x}",
        hashlib.sha256(der).hexdigest(),
        hashlib.sha256(key).hexdigest(),
        authority.key_identifier.hex() if authority else "-",
        "y" if one["has_private_key"] else "n",
        *("8000", "c"),
        "y" if found.issuer == found.subject else "n",
        "-",
    )
    return ",".join(fields)


def _blob(der: bytes) -> str:
    """Return a certificate as Windows keeps it: its friendly name, then itself."""
    parts = ((11, b"x\0\0\0"), (32, der))
    whole = b"".join(struct.pack("<III", number, 1, len(value)) + value for number, value in parts)
    return base64.b64encode(whole).decode("ascii")


def _log(refused_at: datetime | None) -> str:
    """W2 and W3, as Okta's support article prints them."""
    if refused_at is None:
        return ""
    stamp = f"{refused_at:%Y-%m-%d %H:%M:%S}.154 +00:00"
    return (
        f"{stamp} [ERR] [DevicePrincipalAuthenticator.CanRegisterClient] Device cannot be registered: "
        "Could not find a valid certificate for device authentication.\n"
        f"{stamp} [INF] [ 🟦 ] [DeviceRegistrationJob::RunRegistrationLoop] Device Registration: "
        "Device not eligible for registration\n"
    )
