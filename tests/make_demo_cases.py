"""Writes the certificates and profiles of `scepfix demo`, in runner/scepfix/demo_cases. The keys are thrown away.

    python tests/make_demo_cases.py

The logs and the Okta evidence beside them are written by hand: vendor lines, with a day around them.
"""

from __future__ import annotations

import plistlib
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CASES = Path(__file__).parent.parent / "runner" / "scepfix" / "demo_cases"
MARKER = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.51150.13.1"), b"\x02\x01\x01")
OKTA_CA = x509.Name(
    [
        x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "com"),
        x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "okta"),
        x509.NameAttribute(NameOID.COMMON_NAME, "Organization Intermediate Authority"),
    ]
)
END = datetime(2126, 1, 1, tzinfo=UTC)


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def certificate(
    subject: x509.Name, issuer: x509.Name, not_before: datetime, not_after: datetime, *, marker: bool, leaf: bool = True
) -> x509.Certificate:
    key = rsa.generate_private_key(65537, 2048)
    signer = rsa.generate_private_key(65537, 2048) if leaf else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if leaf:
        builder = builder.add_extension(x509.KeyUsage(True, *[False] * 8), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    if marker:
        builder = builder.add_extension(MARKER, critical=True)
    return builder.sign(signer, hashes.SHA256())


def listing(*certificates: x509.Certificate) -> str:
    """Return what `security find-certificate -a -p -Z` prints."""
    return "".join(
        f"SHA-256 hash: {one.fingerprint(hashes.SHA256()).hex().upper()}\n"
        f"SHA-1 hash: {one.fingerprint(hashes.SHA1()).hex().upper()}\n"
        f"{one.public_bytes(serialization.Encoding.PEM).decode()}"
        for one in certificates
    )


def canary() -> x509.Certificate:
    name = common_name("com.apple.systemdefault")
    return certificate(name, name, datetime(2024, 1, 1, tzinfo=UTC), END, marker=False, leaf=False)


def device(start: datetime, end: datetime, *, marker: bool = True) -> x509.Certificate:
    subject = common_name("managementAttestation 564D7C3E-1B2A-4C5D-9E8F-0A1B2C3D4E5F")
    return certificate(subject, OKTA_CA, start, end, marker=marker)


def write(case: str, name: str, content: str | bytes) -> None:
    folder = CASES / case
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def main() -> None:
    one_year = (datetime(2024, 9, 2, 7, 30, tzinfo=UTC), datetime(2025, 9, 2, 7, 30, tzinfo=UTC))
    write("expired", "keychain.txt", listing(canary(), device(*one_year)))
    write("wrong-kind", "keychain.txt", listing(canary(), device(datetime(2025, 6, 1, tzinfo=UTC), END, marker=False)))
    write("already-repaired", "keychain.txt", listing(canary(), device(datetime(2026, 11, 20, 10, 5, tzinfo=UTC), END)))
    scep = {
        "PayloadType": "com.apple.security.scep",
        "PayloadIdentifier": "com.example.okta.scep.payload",
        "PayloadUUID": "0B0E5B34-7C59-4C0B-8C4B-0E3E9C7B5A11",
        "PayloadVersion": 1,
        "PayloadContent": {
            "URL": "https://example.okta.com/pki/scep",
            "Challenge": "not-a-real-secret",
            "Keysize": 2048,
            "Key Type": "RSA",
            "Key Usage": 1,
            "KeyIsExtractable": False,
            "AllowAllAppsAccess": False,
            "Subject": [[["CN", "managementAttestation %HardwareUUID%"]]],
        },
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadDisplayName": "Okta Device Access SCEP",
        "PayloadIdentifier": "com.example.okta.scep",
        "PayloadUUID": "7D1F2C9A-3D0F-4D1B-9B5E-5A2F0A1B2C3D",
        "PayloadVersion": 1,
        "PayloadScope": "User",
        "PayloadContent": [scep],
    }
    write("profile-settings", "okta-scep.mobileconfig", plistlib.dumps(profile))


if __name__ == "__main__":
    main()
