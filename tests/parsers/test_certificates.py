"""Every format gives the same certificates, found by content; what holds none says what it is instead."""

from __future__ import annotations

import base64
import hashlib
import json
import plistlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from tests.certificate_factory import Made, authority, make, odd, pem, tlv

from scepfix.domain.certificate import CertificateFile, ListingKind
from scepfix.domain.errors import InputError
from scepfix.parsers.certificates import LIMIT_CERTIFICATES, parse_certificates

FIRST, SECOND, CA = make(), make(subject="mac-043", number=1, serial=77), authority()
CANARY = make(subject="com.apple.systemdefault", number=2, marker=None, serial=9)
STORE = r"Microsoft.PowerShell.Security\Certificate::LocalMachine\My"


def sha256s(parsed: CertificateFile) -> list[str]:
    return [found.certificate.sha256 for found in parsed.found]


def expected(*made: Made) -> list[str]:
    return [hashlib.sha256(one.der).hexdigest() for one in made]


def b64(made: Made) -> str:
    return base64.b64encode(made.der).decode()


def bundle(encoding: Encoding) -> bytes:
    certificates = [x509.load_der_x509_certificate(one.der) for one in (FIRST, CA)]
    return pkcs7.serialize_certificates(certificates, encoding)


def listing(*made: Made, sha256: bool = True) -> str:
    records = []
    for one in made:
        lines = [f"SHA-256 hash: {hashlib.sha256(one.der).hexdigest().upper()}"] if sha256 else []
        records.append("\n".join([*lines, f"SHA-1 hash: {hashlib.sha1(one.der).hexdigest().upper()}", one.pem]))
    return "".join(records)


def mdm(*entries: Any, **more: Any) -> bytes:
    return plistlib.dumps({"CertificateList": list(entries), "Status": "Acknowledged", **more})


PEM_FORMS = {
    "plain": FIRST.pem + SECOND.pem,
    "CRLF": (FIRST.pem + SECOND.pem).replace("\n", "\r\n"),
    "text around": f"subject=CN = x\nissuer=CN = y\n{FIRST.pem}\nand the next\n{SECOND.pem}regards",
    "quoted in a mail": "".join(f"> {line}\n" for line in (FIRST.pem + SECOND.pem).splitlines()),
    "indented": "".join(f"\t    {line}\n" for line in (FIRST.pem + SECOND.pem).splitlines()),
    "one line": (FIRST.pem + SECOND.pem).replace("\n", " "),
    "line ends written out": (FIRST.pem + SECOND.pem).replace("\n", "\\n"),
    "trusted": pem(FIRST.der + tlv(0x30, b"\x0c\x01x"), "TRUSTED CERTIFICATE") + SECOND.pem,
    "old label": pem(FIRST.der, "X509 CERTIFICATE") + SECOND.pem,
    "shell prompt before": "[root@mac ~]# cat both.pem\n" + FIRST.pem + SECOND.pem,
    "certutil -encode": FIRST.pem + SECOND.pem + "CertUtil: -encode command completed successfully.\n",
}


@pytest.mark.parametrize("form", PEM_FORMS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_pem_in_every_form(form: str, codec: str) -> None:
    parsed = parse_certificates(PEM_FORMS[form].encode(codec))
    assert sha256s(parsed) == expected(FIRST, SECOND)
    assert not parsed.problems
    assert parsed.listing is None


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_places_count_stored_bytes(codec: str) -> None:
    data = f"é\n{FIRST.pem}\n\n{SECOND.pem}".encode(codec)
    parsed = parse_certificates(data)
    begin = "-----BEGIN".encode("utf-16-le" if codec == "utf-16" else "utf-8")
    lines = FIRST.pem.count("\n")
    assert [found.line for found in parsed.found] == [2, 2 + lines + 2]
    first = data.index(begin)
    assert [found.byte_offset for found in parsed.found] == [first, data.index(begin, first + 1)]


BINARY_FORMS = {
    "DER": (FIRST.der, [FIRST]),
    "DER and a newline": (FIRST.der + b"\r\n", [FIRST]),
    "several DER": (FIRST.der + CA.der, [FIRST, CA]),
    "PKCS#7 in DER": (bundle(Encoding.DER), [FIRST, CA]),
    "PKCS#7 in PEM": (bundle(Encoding.PEM), [FIRST, CA]),
    "base64 alone": (base64.encodebytes(FIRST.der), [FIRST]),
}


@pytest.mark.parametrize("form", BINARY_FORMS)
def test_binary_forms(form: str) -> None:
    data, made = BINARY_FORMS[form]
    # The set in PKCS#7 is ordered by its encoding, not by us.
    assert sorted(sha256s(parse_certificates(data))) == sorted(expected(*made))


def powershell(made: Made, **more: Any) -> dict[str, Any]:
    nested = {"RawData": [48, 0]}
    return {"Thumbprint": "AB", "IssuerName": nested, "RawData": list(made.der), "PSParentPath": STORE} | more


JSON_FORMS: dict[str, Any] = {
    "PowerShell": [powershell(FIRST, HasPrivateKey=True), powershell(SECOND, HasPrivateKey=False)],
    "PowerShell 5.1": [{"RawData": {"value": list(one.der), "Count": len(one.der)}} for one in (FIRST, SECOND)],
    "PowerShell base64": [{"RawData": b64(FIRST)}, {"RawData": b64(SECOND)}],
    "Ansible": {"exists": True, "certificates": [{"cert_data": b64(FIRST)}, {"cert_data": b64(SECOND)}]},
    "Ansible loop": {"results": [{"certificates": [{"cert_data": b64(one)}]} for one in (FIRST, SECOND)]},
    "strings": [b64(FIRST), b64(SECOND)],
    "PEM strings": [FIRST.pem, SECOND.pem],
}


@pytest.mark.parametrize("form", JSON_FORMS)
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_every_form(form: str, codec: str) -> None:
    parsed = parse_certificates(json.dumps(JSON_FORMS[form]).encode(codec))
    assert sha256s(parsed) == expected(FIRST, SECOND)
    assert parsed.problems == ()


def test_json_tells_key_store_and_place() -> None:
    parsed = parse_certificates(json.dumps(JSON_FORMS["PowerShell"]).encode())
    assert [(one.place, one.private_key, one.store) for one in parsed.found] == [
        ("[0]", True, r"LocalMachine\My"),
        ("[1]", False, r"LocalMachine\My"),
    ]
    ansible = {
        "certificates": [{"cert_data": b64(FIRST), "has_private_key": False}],
        "invocation": {"module_args": {"store_location": "CurrentUser", "store_name": "My"}},
    }
    (one,) = parse_certificates(f"win1 | SUCCESS => {json.dumps(ansible)}".encode()).found
    assert (one.place, one.private_key, one.store) == ("certificates[0]", False, r"CurrentUser\My")


def test_a_single_json_object_is_a_list_of_one() -> None:
    assert sha256s(parse_certificates(json.dumps(powershell(FIRST)).encode())) == expected(FIRST)


@pytest.mark.parametrize("with_sha256", [True, False])
def test_a_keychain_listing_with_its_canary_is_an_answer(with_sha256: bool) -> None:
    parsed = parse_certificates(listing(CANARY, FIRST, sha256=with_sha256).encode())
    assert sha256s(parsed) == expected(CANARY, FIRST)
    assert parsed.problems == ()
    assert parsed.listing is not None
    assert (parsed.listing.kind, parsed.listing.canary_seen, parsed.listing.complete) == (
        ListingKind.KEYCHAIN,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("text", "said_to_be_one"),
    [(listing(FIRST), False), (FIRST.pem, True), ("", True), ("\n", True), ("nothing known", True)],
)
def test_a_keychain_listing_without_canary_is_no_answer(text: str, said_to_be_one: bool) -> None:
    parsed = parse_certificates(text.encode(), listing=said_to_be_one)
    assert parsed.listing is not None
    assert (parsed.listing.canary_seen, parsed.listing.complete) == (False, False)


def test_a_certificate_of_the_canary_s_name_from_another_issuer_is_no_canary() -> None:
    parsed = parse_certificates(listing(make(name=CANARY.name, issuer=CA, marker=None), FIRST).encode())
    assert parsed.listing is not None
    assert (parsed.listing.canary_seen, parsed.listing.complete) == (False, False)


def test_a_listing_without_hashes_is_known_by_its_canary() -> None:
    listed = parse_certificates((CANARY.pem + FIRST.pem).encode()).listing
    assert listed is not None
    assert listed.complete


def test_printed_hashes_are_checked() -> None:
    text = listing(CANARY, FIRST)
    edited = text.replace(hashlib.sha1(FIRST.der).hexdigest().upper(), "A" * 40)
    parsed = parse_certificates(edited.encode())
    assert [problem.code for problem in parsed.problems] == ["hash-mismatch"]
    assert parsed.listing is not None
    assert not parsed.listing.complete
    swapped = listing(CANARY).replace(CANARY.pem, FIRST.pem)
    assert [problem.code for problem in parse_certificates(swapped.encode()).problems] == ["hash-mismatch"] * 2


def test_a_cut_listing_is_not_complete() -> None:
    whole = listing(CANARY, FIRST)
    for cut in (whole[: whole.rindex("-----END")], whole[: whole.rindex("-----BEGIN")]):
        parsed = parse_certificates(cut.encode())
        assert sha256s(parsed) == expected(CANARY)
        assert len(parsed.problems) == 1
        assert parsed.listing is not None
        assert (parsed.listing.canary_seen, parsed.listing.complete) == (True, False)
    lost = whole.replace(CANARY.pem, "")
    assert "listing-cut" in [problem.code for problem in parse_certificates(lost.encode()).problems]


def test_a_listing_of_another_keychain_is_not_complete() -> None:
    text = "security: SecKeychainOpen /Library/x.keychain: no such file\n" + listing(CANARY)
    parsed = parse_certificates(text.encode())
    assert [problem.code for problem in parsed.problems] == ["another-keychain"]
    assert parsed.listing is not None
    assert not parsed.listing.complete


@pytest.mark.parametrize("style", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_an_mdm_list_tells_identities(style: plistlib.PlistFormat) -> None:
    entries = [{"Data": CANARY.der, "IsIdentity": True}, {"Data": FIRST.der, "IsIdentity": False}, {"Data": CA.der}]
    parsed = parse_certificates(plistlib.dumps({"CertificateList": entries}, fmt=style))
    assert sha256s(parsed) == expected(CANARY, FIRST, CA)
    assert [found.private_key for found in parsed.found] == [True, False, None]
    assert [found.place for found in parsed.found] == [f"CertificateList[{index}]" for index in range(3)]
    assert parsed.listing is not None
    assert (parsed.listing.kind, parsed.listing.canary_seen, parsed.listing.complete) == (ListingKind.MDM, True, True)


def test_an_empty_mdm_list_is_no_answer() -> None:
    parsed = parse_certificates(mdm())
    assert parsed.listing is not None
    assert not parsed.listing.complete


PARTLY: dict[str, tuple[bytes, str]] = {
    "PEM cut": ((FIRST.pem + SECOND.pem[:200]).encode(), f"line {FIRST.pem.count(chr(10)) + 1}"),
    "PEM edited": ((FIRST.pem.replace("M", "*", 5) + SECOND.pem).encode(), "line 1"),
    "DER and a bad one": (FIRST.der + tlv(0x30, b"\x05\0" * 90), "certificate 2"),
    "DER and text": (FIRST.der + b"and more", "certificate 2"),
    "DER and a cut one": (FIRST.der + CA.der[:-1], "certificate 2"),
    "DER and tiny elements": (FIRST.der + b"\x30\0" * 50_000, "certificate 2"),
    "JSON": (json.dumps([{"RawData": "%%"}, {"RawData": b64(FIRST)}]).encode(), "[0]"),
    "JSON bytes": (json.dumps([{"RawData": [1, 999]}, {"RawData": b64(FIRST)}]).encode(), "[0]"),
    "MDM": (mdm({"Data": b"x"}, {"Data": FIRST.der}), "CertificateList[0]"),
    "MDM no data": (mdm({"Data": FIRST.der}, "x"), "CertificateList[1]"),
}


@pytest.mark.parametrize("case", PARTLY)
def test_a_bad_part_is_named_and_costs_only_itself(case: str) -> None:
    data, place = PARTLY[case]
    parsed = parse_certificates(data)
    assert len(parsed.found) == 1
    assert [problem.place for problem in parsed.problems] == [place]


def test_other_blocks_are_passed_over_with_a_warning() -> None:
    parsed = parse_certificates((pem(b"0", "EC PARAMETERS") + FIRST.pem + pem(b"0", "X509 CRL")).encode())
    assert (sha256s(parsed), parsed.problems) == (expected(FIRST), ())
    assert ["EC PARAMETERS in line 1" in parsed.warnings[0], "X509 CRL" in parsed.warnings[1]] == [True, True]


CERTUTIL = """My "Personal"
================ Certificate 0 ================
Serial Number: 32000000265259d0
 NotBefore: 12/8/2017 8:07 PM
Cert Hash(sha1): a50337ab015d5612b7dc4c1e759d201e74cc2a93
CertUtil: -store command completed successfully.
"""
NO_CERTIFICATE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "input-empty"),
    "blank": (b" \r\n", "input-empty"),
    "garbage": (b"lorem ipsum", "no-certificate"),
    "binary garbage": (bytes(range(256)), "no-certificate"),
    "tool missing": (b"sh: 1: security: not found\n", "tool-missing"),
    "tool missing on macOS": (b"zsh: command not found: securty\n", "tool-missing"),
    "tool missing on Windows": (b"'certutil' is not recognized as an internal or external command", "tool-missing"),
    "partial DER": (FIRST.der[:100], "input-cut"),
    "partial PEM": (FIRST.pem[:100].encode(), "block-unreadable"),
    "partial plist": (mdm({"Data": FIRST.der})[:-30], "plist-unreadable"),
    "partial JSON": (json.dumps([b64(FIRST)])[:-9].encode(), "json-unreadable"),
    "partial PKCS#7": (bundle(Encoding.DER)[:-4], "input-cut"),
    "empty JSON list": (b"[]", "json-without-certificates"),
    "JSON without DER": (b'[{"Thumbprint": "AB", "Subject": "CN=x"}]', "json-without-certificates"),
    "deep JSON": (b"[" * 100_000, "json-too-deep"),
    "certutil": (CERTUTIL.encode(), "certutil-text"),
    "certutil in German": (CERTUTIL.replace("Certificate", "Zertifikat").encode("cp850"), "certutil-text"),
    "certutil in UTF-16": (CERTUTIL.encode("utf-16"), "certutil-text"),
    "PowerShell table": (b"   PSParentPath: x\r\n\r\nThumbprint   Subject\r\n", "powershell-table"),
    "find-identity": (b"     0 valid identities found\n", "listing-without-certificates"),
    "-Z without -p": (f"SHA-1 hash: {'A' * 40}\n".encode(), "listing-without-certificates"),
    "no match": (b"security: SecKeychainSearchCopyNext: The specified item could not be found", "keychain-no-match"),
    "web page": (b"<!doctype html><html><body>Sign in", "another-format"),
    "profile": (plistlib.dumps({"PayloadType": "Configuration", "PayloadContent": []}), "another-format"),
    "other plist": (plistlib.dumps(["x"]), "another-format"),
    "NotNow": (plistlib.dumps({"Status": "NotNow"}), "mdm-no-list"),
    "BER": (b"\x30\x80\x06\x09" + b"\0" * 200, "ber-not-der"),
    "PKCS#12": (tlv(0x30, b"\x02\x01\x03", tlv(0x30, b"\x04" * 200)), "pkcs12"),
    "request": (
        tlv(0x30, tlv(0x30, b"\x02\x01\0", tlv(0x30), tlv(0x30), tlv(0xA0, b"\0" * 200))),
        "certificate-request",
    ),
}


@pytest.mark.parametrize("case", NO_CERTIFICATE)
def test_what_holds_no_certificate_says_what_it_is(case: str) -> None:
    data, code = NO_CERTIFICATE[case]
    with pytest.raises(InputError) as caught:
        parse_certificates(data, "some/file")
    assert caught.value.code == code
    assert caught.value.where == "some/file"
    assert caught.value.message


def test_a_signed_document_is_not_a_bundle() -> None:
    signer = x509.load_der_x509_certificate(make(kind="rsa2048").der)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"<plist/>")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = make(kind="rsa2048").private
    assert isinstance(private, rsa.RSAPrivateKey)
    signed = builder.add_signer(signer, private, hashes.SHA256()).sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    with pytest.raises(InputError) as caught:
        parse_certificates(signed)
    assert caught.value.code == "signed-document"


@pytest.mark.parametrize("style", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_private_key_is_never_shown(style: PrivateFormat) -> None:
    private = FIRST.private
    text = private.private_bytes(Encoding.PEM, style, NoEncryption()).decode()
    secret = text.splitlines()[1]
    parsed = parse_certificates((text + FIRST.pem).encode())
    assert sha256s(parsed) == expected(FIRST)
    assert "private key" in parsed.warnings[0]
    assert secret not in repr(parsed)
    der = private.private_bytes(Encoding.DER, style, NoEncryption())
    for data in (text.encode(), der):
        with pytest.raises(InputError) as caught:
            parse_certificates(data)
        assert secret not in str(caught.value)
        assert caught.value.code in {"private-key", "no-certificate"}


def test_a_thousand_blocks_without_end_cost_linear_time() -> None:
    text = "-----BEGIN CERTIFICATE-----\nAAAA\n" * 20_000
    with pytest.raises(InputError) as caught:
        parse_certificates(text.encode())
    assert "19999 more" in caught.value.message


def test_more_certificates_than_any_device_has_are_refused() -> None:
    assert len(parse_certificates(FIRST.der * LIMIT_CERTIFICATES).found) == LIMIT_CERTIFICATES
    with pytest.raises(InputError) as caught:
        parse_certificates(FIRST.der * (LIMIT_CERTIFICATES + 1))
    assert caught.value.code == "too-many-certificates"


def test_odd_certificates_pass_through_every_format() -> None:
    der = odd(serial=b"\xff")
    for data in (der, pem(der).encode(), mdm({"Data": der}), json.dumps([{"RawData": list(der)}]).encode()):
        assert [found.certificate.serial_number for found in parse_certificates(data).found] == ["-1"]
