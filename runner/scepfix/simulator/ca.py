"""A certificate authority that looks like Okta's, and a second one of another org."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes, CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepfix.domain.certificate import MARKER_OID
from scepfix.simulator import files

ORG, OTHER = "org", "other"
#: Okta's CA issues for one year (facts: Okta support article on SCEP renewal).
YEAR = timedelta(days=365)
_INTEGER_1 = bytes.fromhex("020101")


class Ca:
    """Two CAs of the same name in one folder; the key of each is in ``NAME.key``, its certificate in ``NAME.pem``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, tuple[x509.Certificate, ec.EllipticCurvePrivateKey]] = {}

    def create(self, now: datetime) -> None:
        """Make both CAs: an Organization Intermediate Authority each, issued by its own root."""
        self.folder.mkdir()
        for name in (ORG, OTHER):
            root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
            made = _authority(key.public_key(), root, now)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            files.write(self.folder / f"{name}.pem", made.public_bytes(Encoding.PEM))
            files.write(self.folder / f"{name}.key", pem)

    @property
    def certificate_file(self) -> Path:
        """The org's issuer certificate, PEM."""
        return self.folder / f"{ORG}.pem"

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        subject: str,
        now: datetime,
        *,
        marker: bool = True,
        authority: str = ORG,
        backdate_minutes: float = 0,
        lifetime: timedelta = YEAR,
    ) -> bytes:
        """Given a public key and a common name, return the DER of a client certificate that is valid from now.

        ``authority`` ``other`` is another org's CA of the same name; without ``marker`` it is what Okta's endpoint
        management issues.
        """
        issuer, key = self._load(authority)
        starts = now.replace(microsecond=0) - timedelta(minutes=backdate_minutes)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(issuer.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(starts + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_digital_signature(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        if marker:
            oid = x509.ObjectIdentifier(MARKER_OID)
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, _INTEGER_1), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

    def _load(self, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if name not in self._loaded:
            key = load_pem_private_key((self.folder / f"{name}.key").read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise TypeError(f"{name}.key is no EC key")
            self._loaded[name] = (x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes()), key)
        return self._loaded[name]


def new_public_key(bits: int = 2048) -> rsa.RSAPublicKey:
    """Return an RSA public key that nobody had before: a random odd modulus of that size.

    Making a real pair takes a tenth of a second, and no simulated Mac ever signs anything: whether it has the private
    key is a fact of its keychain. Nobody can tell such a modulus from a real one without factoring it.
    """
    modulus = secrets.randbits(bits) | 1 << (bits - 1) | 1
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


def canaries(now: datetime) -> tuple[bytes, ...]:
    """Return the self-signed certificates that every System keychain holds, as DER."""
    made = []
    for name in ("com.apple.systemdefault", "com.apple.kerberos.kdc"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "System Identity"),
            ]
        )
        starts = now.replace(microsecond=0) - timedelta(days=400)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(starts + timedelta(days=7300))
        )
        made.append(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    return tuple(made)


def _authority(
    public_key: CertificateIssuerPublicKeyTypes, root: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.Certificate:
    starts = now.replace(microsecond=0) - timedelta(days=1000)
    return (
        x509.CertificateBuilder()
        .subject_name(_okta_name("Organization Intermediate Authority"))
        .issuer_name(_okta_name("Organization Root Authority"))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(starts + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256())
    )


def _okta_name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "com"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "okta"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "00o1simulated"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _digital_signature() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
