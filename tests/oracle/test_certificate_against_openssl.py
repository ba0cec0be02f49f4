"""The facts of a certificate agree with what openssl prints of it: two readers, no shared code."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.certificate_factory import Made, authority, extension, make, odd, tlv

from scepfix.domain.certificate import MARKER_EKU_OID, MARKER_OID, Certificate
from scepfix.parsers.x509 import read_certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

MARKER_EKU = x509.ObjectIdentifier(MARKER_EKU_OID)
LONG_NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "okta"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Lab, "Quoted" <x>; a+b'),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "#leading"),
        x509.NameAttribute(NameOID.SERIAL_NUMBER, "C02XYZ"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "person@example.com"),
        x509.NameAttribute(NameOID.USER_ID, "u1"),
        x509.NameAttribute(NameOID.COMMON_NAME, " mac\x1b[31m\r\n "),
    ]
)
NAMES = (
    x509.DNSName("mac-042.lab.test"),
    x509.RFC822Name("person@example.com"),
    x509.UniformResourceIdentifier("urn:uuid:0f0f0f0f-1111-2222-3333-444444444444"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
)

CORPUS: dict[str, Callable[[], Made]] = {
    "plain": make,
    "rsa1024": partial(make, kind="rsa1024"),
    "rsa2048": partial(make, kind="rsa2048"),
    "ec384": partial(make, kind="ec384"),
    "ed25519": partial(make, kind="ed25519"),
    "dsa": partial(make, kind="dsa1024"),
    "serial of one byte": partial(make, serial=1),
    "serial with high bit": partial(make, serial=0x80),
    "serial of 20 bytes": partial(make, serial=(1 << 159) - 1),
    "no extensions": partial(make, marker=None, usage=None, extended=None),
    "marker 0": partial(make, marker=bytes.fromhex("020100")),
    "marker 2": partial(make, marker=bytes.fromhex("020102")),
    "marker NULL": partial(make, marker=bytes.fromhex("0500")),
    "marker empty": partial(make, marker=b""),
    "marker text": partial(make, marker=b"\x0c\x011"),
    "marker critical": partial(make, marker_critical=True),
    "marker usage": partial(make, marker=None, extended=(ExtendedKeyUsageOID.CLIENT_AUTH, MARKER_EKU)),
    "other usages": partial(make, usage="key_encipherment", extended=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "ca": authority,
    "not ca": partial(make, ca=False),
    "issued": lambda: make(issuer=authority(kind="rsa2048"), number=3),
    "names": partial(make, names=NAMES),
    "long name": partial(make, name=LONG_NAME),
    "empty subject": partial(make, name=x509.Name([])),
    "before 1970": partial(make, not_before=datetime(1955, 3, 1, 4, 5, 6, tzinfo=UTC)),
    "after 2049": partial(make, not_after=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
}
ODD = {
    "negative serial": odd(serial=b"\xff\x01"),
    "serial 0": odd(serial=b"\0"),
    "serial of 40 bytes": odd(serial=b"\x7f" * 40),
    "version 1": odd(version=b""),
    "two usages": odd(extensions=[extension("2.5.29.15", b"\x03\x02\x07\x80")] * 2),
    "unreadable alternative names": odd(extensions=[extension("2.5.29.17", b"\x30\x05\x82\x09a")]),
    "UTF-16 name": odd(subject=tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x03\x55\x04\x03", tlv(0x1E, b"\0m\0a\0c"))))),
}


def openssl(*arguments: str, data: bytes) -> str:
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=True, timeout=20)
    return done.stdout.decode("utf-8")


def printed(der: bytes) -> dict[str, str]:
    text = openssl(
        *("x509", "-inform", "DER", "-noout", "-serial", "-fingerprint", "-sha256", "-startdate", "-enddate"),
        *("-subject", "-issuer", "-nameopt", "RFC2253,-esc_msb,utf8"),
        data=der,
    )
    # A long serial number goes on in the next line after a backslash.
    return dict(line.split("=", 1) for line in text.replace("\\\n", "").splitlines())


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def assert_agrees(certificate: Certificate, der: bytes) -> None:
    facts = printed(der)
    assert int(certificate.serial_number, 16) == int(facts["serial"], 16)
    assert certificate.serial_number == certificate.serial_number.lower()
    assert certificate.sha256 == facts["sha256 Fingerprint"].replace(":", "").lower()
    sha1 = openssl("x509", "-inform", "DER", "-noout", "-fingerprint", "-sha1", data=der)
    assert certificate.sha1 == sha1.partition("=")[2].strip().replace(":", "").lower()
    assert certificate.not_before == moment(facts["notBefore"])
    assert certificate.not_after == moment(facts["notAfter"])
    assert certificate.subject == facts["subject"]
    assert certificate.issuer == facts["issuer"]


def assert_text_agrees(certificate: Certificate, der: bytes) -> None:
    """The parts that openssl prints only in its long form."""
    text = openssl("x509", "-inform", "DER", "-noout", "-text", data=der)
    bits = re.search(r"\((\d+) bit\)", text)
    assert certificate.key_bits == (int(bits[1]) if bits else 256)
    assert certificate.is_ca == ("CA:TRUE" in text)
    assert (certificate.key_usage is None) == ("X509v3 Key Usage" not in text)
    assert ("digitalSignature" in (certificate.key_usage or ())) == ("Digital Signature" in text)
    assert ("clientAuth" in (certificate.extended_key_usage or ())) == ("TLS Web Client Authentication" in text)
    holds_marker = re.search(rf"{re.escape(MARKER_OID)}:(?: critical)?\s*\n\s*\.\.\.\s*$", text, re.MULTILINE)
    value_is_1 = bytes.fromhex("020101") in der
    assert certificate.marker == (bool(holds_marker and value_is_1) or MARKER_EKU_OID in text)
    names = re.search(r"Subject Alternative Name:.*\n\s*(.*)", text)
    expected = names[1].replace("IP Address:", "IP:").replace("Registered ID:", "RID:").split(", ") if names else []
    assert list(certificate.alternative_names) == expected


@pytest.mark.parametrize("case", CORPUS)
def test_facts_agree(case: str) -> None:
    der = CORPUS[case]().der
    certificate = read_certificate(der)
    assert certificate.oddities == ()
    assert_agrees(certificate, der)
    assert_text_agrees(certificate, der)


@pytest.mark.parametrize("case", ODD)
def test_facts_of_odd_certificates_agree(case: str) -> None:
    assert_agrees(read_certificate(ODD[case]), ODD[case])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rsa3072", "rsa4096"])
def test_facts_of_large_keys_agree(kind: str) -> None:
    der = make(kind=kind).der
    certificate = read_certificate(der)
    assert_agrees(certificate, der)
    assert_text_agrees(certificate, der)


def test_public_key_hash_agrees() -> None:
    der = make(kind="rsa2048").der
    key = openssl("x509", "-inform", "DER", "-noout", "-pubkey", data=der)
    body = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.encode(), capture_output=True, check=True
    )
    assert read_certificate(der).public_key_sha256 == hashlib.sha256(body.stdout).hexdigest()


def test_key_identifiers_agree(tmp_path: Path) -> None:
    """openssl's own certificates carry both identifiers."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 1 -outform DER"
    made = subprocess.run([*command.split(), "-keyout", str(tmp_path / "k")], capture_output=True, check=True)
    certificate = read_certificate(made.stdout)
    text = openssl("x509", "-inform", "DER", "-noout", "-ext", "subjectKeyIdentifier", data=made.stdout)
    expected = text.splitlines()[1].strip().replace(":", "").lower()
    assert certificate.subject_key_id == certificate.authority_key_id == expected
