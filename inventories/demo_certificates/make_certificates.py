"""Makes the certificate files of the demo fleet anew: python inventories/demo_certificates/make_certificates.py.

The files are in the repository; this says how they came about. The private keys are not kept, so nobody can sign in
with these certificates, and each run writes other ones. They are valid for long, so that the demo does not expire.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

#: What Device Access looks for: an extension that holds the DER of INTEGER 1.
MARKER = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.51150.13.1"), b"\x02\x01\x01")
HERE = Path(__file__).parent

START, END = datetime(2025, 11, 1, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)
LAST_YEAR_START, LAST_YEAR_END = datetime(2024, 10, 1, tzinfo=UTC), datetime(2025, 10, 1, tzinfo=UTC)

AUTHORITY_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
AUTHORITY = x509.Name.from_rfc4514_string("CN=Organization Intermediate Authority,O=Demo,DC=demo,DC=example")


def device_certificate(name: str, start: datetime, end: datetime, *, marker: bool = True) -> bytes:
    """Given a device name, a validity and whether the marker is there, return the certificate as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} managementAttestation")]))
        .issuer_name(AUTHORITY)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=True,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(AUTHORITY_KEY.public_key()), critical=False)
    )
    if marker:
        builder = builder.add_extension(MARKER, critical=False)
    return builder.sign(AUTHORITY_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def expired(name: str) -> bytes:
    """Return a certificate that ran out after its year; Okta's authority does not renew."""
    return device_certificate(name, LAST_YEAR_START, LAST_YEAR_END)


FLEET: dict[str, Callable[[str], bytes]] = {
    "dev-1c52f09a6be3": lambda name: device_certificate(name, START, END),
    "dev-7e04b1d8c2f5": expired,
    "dev-93ad5506f7b1": lambda name: device_certificate(name, START, END, marker=False),
    "dev-c8206d4e91fa": lambda name: expired(name) + device_certificate(name, START, END),
}

if __name__ == "__main__":
    for device, make in FLEET.items():
        (HERE / f"{device}.pem").write_bytes(make(device))
