"""Whatever the bytes, the parsers give their documented result or an InputError, and nothing in it is active."""

from __future__ import annotations

import contextlib
import itertools
import json
import plistlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificate_factory import make, odd, tlv
from tests.parsers.test_certificates import BINARY_FORMS, CANARY, FIRST, JSON_FORMS, PEM_FORMS, listing, mdm

from scepfix.domain.certificate import CertificateFile
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.certificate_bundle import certificates_in
from scepfix.parsers.certificate_json import parse_json
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.der import DerError, children, dotted, element_at
from scepfix.parsers.mdm_certificate_list import parse_certificate_list
from scepfix.parsers.pem import pem_blocks
from scepfix.parsers.x509 import read_certificate
from scepfix.parsers.x509_extensions import extensions

SEEDS = [
    *(text.encode() for text in PEM_FORMS.values()),
    *(data for data, _ in BINARY_FORMS.values()),
    *(json.dumps(document).encode() for document in JSON_FORMS.values()),
    listing(CANARY, FIRST).encode(),
    listing(CANARY, FIRST).encode("utf-16"),
    mdm({"Data": FIRST.der, "IsIdentity": True}),
    plistlib.dumps({"CertificateList": [{"Data": FIRST.der}]}, fmt=plistlib.FMT_BINARY),
]
DERS = [FIRST.der, odd(), make(kind="rsa2048", ca=False).der, make(marker=None, usage=None, extended=None).der]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A valid file with bytes changed, a stretch cut out, and perhaps another file spliced in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, len(data)))
    if draw(st.booleans()):
        data[start:end] = draw(st.sampled_from([b"", draw(st.sampled_from(seeds))]))
    return bytes(data)


def assert_inert(parsed: CertificateFile) -> None:
    for found in parsed.found:
        certificate = found.certificate
        shown = [certificate.subject, certificate.issuer, certificate.marker_note, found.place, found.store]
        for text in (*shown, *certificate.alternative_names, *certificate.common_names, *certificate.oddities):
            assert visible(text) == text
        assert certificate.not_before.tzinfo is not None
        int(certificate.serial_number, 16)
    for problem in parsed.problems:
        assert visible(problem.place + problem.message) == problem.place + problem.message


def check(data: bytes, *, said_to_be_one: bool = False) -> None:
    try:
        parsed = parse_certificates(data, "name", listing=said_to_be_one)
    except InputError as error:
        assert error.code
        assert error.where == "name"
        assert visible(error.message) == error.message
    else:
        assert parsed.found or parsed.listing
        assert_inert(parsed)


@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)), st.booleans())
def test_any_bytes(data: bytes, said_to_be_one: bool) -> None:
    check(data, said_to_be_one=said_to_be_one)


@settings(max_examples=1500)
@given(mutated(SEEDS))
def test_mutated_files(data: bytes) -> None:
    check(data)


@settings(max_examples=1500)
@given(mutated(DERS))
def test_mutated_certificates(der: bytes) -> None:
    try:
        certificate = read_certificate(der)
    except InputError:
        return
    assert_inert(parse_certificates(der) if der[1] >= 0x80 else CertificateFile("DER", ()))
    assert certificate.marker or not certificate.marker_note or "020101" in certificate.marker_note


@given(st.binary(max_size=200), st.sampled_from([0x0C, 0x13, 0x14, 0x1E, 0x1C, 0x05, 0x03]))
def test_any_value_in_a_name(value: bytes, tag: int) -> None:
    name = tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x03\x55\x04\x03", tlv(tag, value))))
    certificate = read_certificate(odd(subject=name))
    assert visible(certificate.subject) == certificate.subject
    certificate.subject.encode("utf-8")


@given(st.binary(max_size=120))
def test_small_readers(data: bytes) -> None:
    extensions(data)
    for read in (lambda: list(children(data)), lambda: element_at(data), lambda: dotted(data)):
        with contextlib.suppress(DerError):
            read()
    with contextlib.suppress(InputError):
        certificates_in(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20) | st.just(FIRST.pem),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["RawData", "cert_data", "PSParentPath", "HasPrivateKey", "invocation", "\u202e", "a"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json(document: object) -> None:
    check(json.dumps(document).encode())
    parse_json(json.dumps(document))


plist_values = st.recursive(
    st.booleans()
    | st.integers(0, 2**60)
    | st.binary(max_size=30)
    | st.just(FIRST.der)
    | st.text("abc\u202e", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["CertificateList", "Data", "IsIdentity", "Status"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(plist_values, st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]))
def test_any_plist(document: object, style: plistlib.PlistFormat) -> None:
    data = plistlib.dumps(document, fmt=style)  # type: ignore[arg-type]
    check(data)
    with contextlib.suppress(InputError):
        parse_certificate_list(data)


@given(
    st.lists(st.sampled_from(["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "AAAA", "\n", "> ", "x: y"]))
)
def test_pem_blocks_stay_in_the_text_and_in_order(pieces: list[str]) -> None:
    text = "".join(pieces)
    blocks = list(pem_blocks(text))
    assert len(blocks) == text.count("-----BEGIN CERTIFICATE-----")
    for block, following in itertools.pairwise(blocks):
        assert block.end <= following.start
    assert all((block.body is None) == bool(block.trouble) for block in blocks)


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_nesting_is_refused_or_read(depth: int) -> None:
    check(b"[" * depth + b"]" * depth)
    check(b'{"a":' * depth + b"1" + b"}" * depth)
    check(b"<plist>" + b"<array>" * depth + b"</array>" * depth + b"</plist>")
