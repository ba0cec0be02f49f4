"""Makes certificates for tests: real ones with the builder of cryptography, odd ones byte by byte."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepfix.domain.certificate import MARKER_OID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
NOT_BEFORE, NOT_AFTER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
DURING = datetime(2026, 6, 1, tzinfo=UTC)
INTEGER_1 = bytes.fromhex("020101")
CLIENT_AUTH = (ExtendedKeyUsageOID.CLIENT_AUTH,)


@functools.cache
def key(kind: str, number: int = 0) -> PrivateKey:
    """Return the key of this kind (``rsa2048``, ``ec256``, ``ed25519``, ``dsa2048``) and number, made once."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind.startswith("dsa"):
        return dsa.generate_private_key(int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"ec256": ec.SECP256R1, "ec384": ec.SECP384R1}[kind]())


@dataclass(frozen=True)
class Made:
    """A certificate made here and the key it belongs to."""

    der: bytes
    private: PrivateKey
    name: x509.Name

    @property
    def pem(self) -> str:
        return pem(self.der)


def make(
    *,
    subject: str = "mac-042",
    kind: str = "ec256",
    number: int = 0,
    issuer: Made | None = None,
    serial: int = 0x1234567890ABCDEF,
    not_before: datetime = NOT_BEFORE,
    not_after: datetime = NOT_AFTER,
    marker: bytes | None = INTEGER_1,
    marker_critical: bool = False,
    usage: str | None = "digital_signature",
    extended: Sequence[x509.ObjectIdentifier] | None = CLIENT_AUTH,
    ca: bool | None = None,
    names: Sequence[x509.GeneralName] = (),
    name: x509.Name | None = None,
) -> Made:
    """Return a certificate, by default one that Device Access could use, signed by its issuer's or its own key."""
    private = key(kind, number)
    name = name or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.name if issuer else name)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .public_key(private.public_key())
    )
    if usage is not None:
        builder = builder.add_extension(_key_usage(usage), critical=True)
    if extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if marker is not None:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(MARKER_OID), marker)
        builder = builder.add_extension(extension, critical=marker_critical)
    signer = issuer.private if issuer else private
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, algorithm).public_bytes(Encoding.DER), private, name)


def authority(subject: str = "Organization Intermediate Authority", *, kind: str = "ec256", number: int = 90) -> Made:
    """Return a CA's certificate."""
    return make(
        subject=subject, kind=kind, number=number, marker=None, usage="key_cert_sign", extended=None, ca=True, serial=1
    )


def pem(der: bytes, label: str = "CERTIFICATE") -> str:
    """Return the PEM of any DER, without asking a library that would refuse odd ones."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return one DER element with the parts as its content."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def oid(dotted: str) -> bytes:
    """Return the DER of an OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return tlv(0x06, content)


def common_name(value: bytes, tag: int = 0x0C) -> bytes:
    """Return the DER of a Name with one common name whose value is given raw."""
    return tlv(0x30, tlv(0x31, tlv(0x30, oid("2.5.4.3"), tlv(tag, value))))


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return the DER of one Extension."""
    return tlv(0x30, oid(kind), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def odd(
    *,
    serial: bytes = b"\x05",
    subject: bytes | None = None,
    not_before: bytes = b"\x17\x0d260101000000Z",
    not_after: bytes = b"\x17\x0d270101000000Z",
    key_info: bytes | None = None,
    extensions: Sequence[bytes] | None = None,
    version: bytes = bytes.fromhex("a003020102"),
) -> bytes:
    """Return a certificate with parts given raw and no true signature; without extensions it has no such field."""
    algorithm = tlv(0x30, oid("1.2.840.10045.4.3.2"))
    name = common_name(b"odd") if subject is None else subject
    if key_info is None:
        key_info = key("ec256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    validity = tlv(0x30, not_before, not_after)
    tail = b"" if extensions is None else tlv(0xA3, tlv(0x30, *extensions))
    signed = tlv(0x30, version, tlv(0x02, serial), algorithm, common_name(b"CA"), validity, name, key_info, tail)
    return tlv(0x30, signed, algorithm, tlv(0x03, b"\0\1\2"))


def _key_usage(granted: str) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=granted == "digital_signature",
        content_commitment=False,
        key_encipherment=granted == "key_encipherment",
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=granted == "key_cert_sign",
        crl_sign=granted == "key_cert_sign",
        encipher_only=False,
        decipher_only=False,
    )
