"""Odd certificates give their facts, and what is odd is said; what is no certificate gives an InputError."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.certificate_factory import INTEGER_1, common_name, extension, make, odd, oid, tlv

from scepfix.domain.certificate import MARKER_EKU_OID, MARKER_OID, Certificate
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.x509 import read_certificate

MARKER = extension(MARKER_OID, INTEGER_1)
KEY_USAGE = extension("2.5.29.15", b"\x03\x02\x07\x80")


def read(**parts: object) -> Certificate:
    return read_certificate(odd(**parts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [(b"\x05", "5"), (b"\xff", "-1"), (b"\xff\x01", "-ff"), (b"\0", "0"), (b"\0\xab", "ab"), (b"\x7f" * 64, "7f" * 64)],
)
def test_serial_number_is_the_number(raw: bytes, shown: str) -> None:
    certificate = read(serial=raw)
    assert certificate.serial_number == shown
    assert ("the serial number is not positive" in certificate.oddities) == (shown in {"-1", "-ff", "0"})


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (INTEGER_1, True),
        (bytes.fromhex("020100"), False),
        (bytes.fromhex("020102"), False),
        (bytes.fromhex("02020001"), False),
        (bytes.fromhex("02010100"), False),
        (bytes.fromhex("0500"), False),
        (b"\x0c\x011", False),
        (b"", False),
        (b"\xff" * 40, False),
    ],
)
def test_marker_counts_with_integer_1_only(value: bytes, counts: bool) -> None:
    certificate = read(extensions=[extension(MARKER_OID, value, critical=True)])
    assert certificate.marker is counts
    assert bool(certificate.marker_note) is not counts


@pytest.mark.parametrize(("value", "is_ca"), [("30030101ff", True), ("3003010100", False), ("3000", False)])
def test_a_ca_says_so(value: str, is_ca: bool) -> None:
    assert read(extensions=[extension("2.5.29.19", bytes.fromhex(value))]).is_ca is is_ca


def test_two_markers_must_agree() -> None:
    assert read(extensions=[MARKER, MARKER]).marker
    contradicting = read(extensions=[MARKER, extension(MARKER_OID, b"\x02\x01\0")])
    assert not contradicting.marker
    assert "two extensions Device Access marker" in contradicting.oddities


def test_marker_usage_counts_beside_a_wrong_extension() -> None:
    usage = extension("2.5.29.37", tlv(0x30, oid(MARKER_EKU_OID)))
    certificate = read(extensions=[usage, extension(MARKER_OID, b"\x05\0")])
    assert certificate.marker
    assert certificate.extended_key_usage == (MARKER_EKU_OID,)
    assert certificate.marker_note


def test_marker_oid_elsewhere_is_no_marker() -> None:
    assert not read(subject=common_name(MARKER_OID.encode()), extensions=[KEY_USAGE]).marker
    assert not read(extensions=[extension("2.5.29.32", oid(MARKER_OID) + INTEGER_1)]).marker


def test_a_certificate_without_extensions_is_not_restricted() -> None:
    certificate = read(version=b"")
    assert (certificate.key_usage, certificate.extended_key_usage) == (None, None)
    assert (certificate.is_ca, certificate.marker, certificate.oddities) == (False, False, ())


def test_unreadable_extensions_restrict_and_are_named() -> None:
    broken = [extension(kind, b"\x04\x7f") for kind in ("2.5.29.15", "2.5.29.37", "2.5.29.17", "2.5.29.19")]
    certificate = read(extensions=[*broken, MARKER])
    assert (certificate.key_usage, certificate.extended_key_usage) == ((), ())
    assert len(certificate.oddities) == 4
    assert certificate.marker


def test_the_first_of_two_extensions_counts() -> None:
    certificate = read(extensions=[KEY_USAGE, extension("2.5.29.15", b"\x03\x02\x05\x20")])
    assert certificate.key_usage == ("digitalSignature",)
    assert certificate.oddities == ("two extensions key usage",)


@pytest.mark.parametrize("field", [b"\x05\0", b"\x30\x05\x06"])
def test_a_broken_list_of_extensions_is_said(field: bytes) -> None:
    assert read(extensions=[field]).oddities


@pytest.mark.parametrize(
    ("not_after", "expected"),
    [
        (b"\x17\x0d491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"\x17\x0d500101000000Z", datetime(1950, 1, 1, tzinfo=UTC)),
        (b"\x17\x0b2701010000Z", datetime(2027, 1, 1, tzinfo=UTC)),
        (b"\x18\x0f99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b"\x18\x1320270101000000+0100", datetime(2026, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_dates_in_every_form(not_after: bytes, expected: datetime) -> None:
    assert read(not_after=not_after).not_after == expected


@pytest.mark.parametrize(
    "not_after",
    [
        b"\x17\x0d271301000000Z",
        b"\x18\x10120261231235959Z",
        b"\x18\x0f00001231235959Z",
        b"\x18\x1399991231235959-0100",
        b"\x17\x00",
        b"\x0c\x0d270101000000Z",
        b"\x17\x0d\xb2\xb37010100000Z",
    ],
)
def test_a_date_that_is_none_is_an_input_error(not_after: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(not_after=not_after)
    assert caught.value.code == "certificate-unreadable"


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        (common_name(b"\xff\xfe"), "CN=#0C02FFFE"),
        (common_name(b"\xe9", 0x14), "CN=é"),
        (common_name(b"", 0x05), "CN=#0500"),
        (common_name("東京".encode("utf-16-be"), 0x1E), "CN=東京"),
        (tlv(0x30), ""),
        (tlv(0x30, tlv(0x31, tlv(0x30, oid("1.2.3"), b"\x0c\x01x"))), "1.2.3=#0C0178"),
        (tlv(0x30, tlv(0x31, common_name(b"a")[4:], common_name(b"b")[4:])), "CN=a+CN=b"),
        (tlv(0x30, b"\x05\0"), "#30020500"),
        (common_name("a\u202eb\u200b".encode()), r"CN=a\E2\80\AEb\E2\80\8B"),
        (common_name(b"\x1b]0;x\x07\r\n\x9b"[:-1]), r"CN=\1B]0\;x\07\0D\0A"),
        (common_name(b"{{ lookup('pipe','id') }} <b>"), r"CN={{ lookup('pipe'\,'id') }} \<b\>"),
    ],
)
def test_names_are_rfc4514_and_inert(subject: bytes, shown: str) -> None:
    certificate = read(subject=subject)
    assert certificate.subject == shown
    assert visible(certificate.subject) == certificate.subject
    assert all(visible(name) == name for name in certificate.common_names)


def test_alternative_names_are_inert() -> None:
    names = tlv(0x30, tlv(0x82, b"a\x1b[2J\n"), tlv(0x87, b"\x01\x02"), tlv(0xA0, oid("1.2"), tlv(0xA0, b"\x0c\x01u")))
    certificate = read(extensions=[extension("2.5.29.17", names)])
    assert certificate.alternative_names == ("DNS:a␛[2J␊", "other:87020102", "otherName:1.2:u")


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (oid("1.2.3.4"), ("1.2.3.4", None)),
        (oid("1.2.840.113549.1.1.1"), ("RSA", None)),
        (oid("1.2.840.10045.2.1") + oid("1.2.3"), ("EC", None)),
        (oid("1.2.840.10045.2.1"), ("EC", None)),
        (oid("1.2.840.10040.4.1"), ("DSA", None)),
        (oid("1.3.101.113"), ("Ed448", 456)),
        (b"\x05\0", ("unknown", None)),
    ],
)
def test_a_key_of_any_kind_is_named(algorithm: bytes, expected: tuple[str, int | None]) -> None:
    certificate = read(key_info=tlv(0x30, tlv(0x30, algorithm), b"\x03\x02\0\x00"))
    assert (certificate.key_type, certificate.key_bits) == expected


def test_an_rsa_pss_key_is_measured() -> None:
    modulus = tlv(0x02, b"\0" + b"\xff" * 256)
    info = tlv(0x30, tlv(0x30, oid("1.2.840.113549.1.1.10")), tlv(0x03, b"\0", tlv(0x30, modulus, b"\x02\x01\x03")))
    certificate = read(key_info=info)
    assert (certificate.key_type, certificate.key_bits) == ("RSA-PSS", 2048)


@pytest.mark.parametrize(
    "der", [b"", b"garbage", b"0\x80\0\0", b"\x30\x03\x02\x01\x01", make().der[:-1], make().der + b"\0"]
)
def test_what_is_no_certificate_is_an_input_error(der: bytes) -> None:
    with pytest.raises(InputError):
        read_certificate(der)


def test_the_der_is_kept_and_not_printed() -> None:
    made = make()
    certificate = read_certificate(made.der)
    assert certificate.der == made.der
    assert "der=" not in repr(certificate)
