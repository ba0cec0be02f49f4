"""A profile file gives its SCEP settings whether it is plain, binary, 16-bit or signed; anything else is an error."""

from __future__ import annotations

import doctest
import plistlib
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.scep_profile import ProfileFormat, Scope
from scepfix.parsers import mobileconfig
from scepfix.parsers.mobileconfig import parse_mobileconfig
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "macos" / "synth"
OPENSSL = shutil.which("openssl")

SCEP = {
    "URL": "https://acme.okta.com/pki/1",
    "Challenge": "s3cret-challenge",
    "Keysize": 2048,
    "Key Type": "RSA",
    "Key Usage": 1,
    "KeyIsExtractable": False,
    "AllowAllAppsAccess": True,
    "Subject": [[["O", "Acme"]], [["CN", "managementAttestation %HardwareUUID%"]]],
    "SubjectAltName": {"dNSName": ["a.acme.test", "b.acme.test"], "ntPrincipalName": "ann"},
}


def profile(content: object = None, **changes: object) -> dict[str, Any]:
    payload = {
        "PayloadType": "com.apple.security.scep",
        "PayloadUUID": "U-1",
        "PayloadContent": dict(SCEP) if content is None else content,
    }
    return {
        "PayloadType": "Configuration",
        "PayloadIdentifier": "com.acme.scep",
        "PayloadDisplayName": "Acme SCEP",
        "PayloadUUID": "P-1",
        "PayloadScope": "System",
        "PayloadContent": [payload],
    } | changes


def code_of(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_profile_file(data, "x.mobileconfig")
    assert caught.value.where == "x.mobileconfig"
    assert caught.value.hint
    return caught.value.code


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(mobileconfig).attempted
    assert doctest.testmod(mobileconfig).failed == 0


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY])
def test_every_setting_is_read_with_its_path(form: plistlib.PlistFormat) -> None:
    document = read_profile_file(plistlib.dumps(profile(), fmt=form), "x")

    assert (document.format, document.signed_by, document.remarks) == (ProfileFormat.MOBILECONFIG, None, ())
    read = document.profiles[0]
    assert (read.identifier, read.display_name, read.uuid, read.scope) == (
        "com.acme.scep",
        "Acme SCEP",
        "P-1",
        Scope.SYSTEM,
    )
    payload = read.scep_payloads[0]
    assert payload.path == "PayloadContent[0]"
    assert [url.shown for url in payload.urls] == ["https://acme.okta.com"]
    assert (payload.key_bits.path, payload.key_bits.value) == ("PayloadContent[0].PayloadContent.Keysize", 2048)
    assert payload.usages.value == frozenset({"signing"})
    assert payload.extractable is not None
    assert payload.extractable.value is False
    assert payload.all_apps is not None
    assert payload.all_apps.value is True
    assert payload.subject.value == "O=Acme,CN=managementAttestation %HardwareUUID%"
    assert payload.has_challenge
    assert payload.alternative_names == ("dNSName=a.acme.test", "dNSName=b.acme.test", "ntPrincipalName=ann")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_other_encodings_read_the_same(encoding: str) -> None:
    text = plistlib.dumps(profile()).decode()

    # The declaration says UTF-8 whatever the encoding is, as in a file that a Windows editor saved.
    for written in (text, text.replace('encoding="UTF-8"', "")):
        assert read_profile_file(written.encode(encoding), "x").profiles[0].identifier == "com.acme.scep"


def test_payloads_beside_it_are_told_by_type_alone() -> None:
    root = profile()
    root["PayloadContent"] += [
        {"PayloadType": "com.apple.security.identitypreference"},
        {"PayloadType": "com.apple.security.root", "PayloadDisplayName": "CA"},
        {"PayloadType": "com.apple.wifi.managed", "Password": "hush-hush", "PayloadCertificateUUID": "U-1"},
        "no dictionary",
    ]
    document = read_profile_file(plistlib.dumps(root), "x")

    read = document.profiles[0]
    assert read.identity_preferences == ("PayloadContent[1]",)
    assert [trust.name for trust in read.trust_certificates] == ["CA"]
    assert read.other_types == ("com.apple.wifi.managed",)
    assert read.scep_payloads[0].used_by == ("com.apple.wifi.managed",)
    assert document.remarks == ("PayloadContent[4] is text, not a payload",)


def test_no_secret_is_kept_in_any_object() -> None:
    content = SCEP | {
        "URL": "https://ann:hush-1@acme.okta.com/hush-2?token=hush-3#hush-4",
        "Challenge": "hush-5",
        "Subject": [[["CN", "mac"]], [["1.2.840.113549.1.9.7", "hush-6"]]],
        "SubjectAltName": {"uniformResourceIdentifier": "https://ann:hush-7@acme.test"},
        "Keysize": "hush-8",
        "Name": "hush-9",
    }
    root = profile(content)
    root["PayloadContent"].append({"PayloadType": "com.apple.wifi.managed", "Password": "hush-10"})
    root["HasRemovalPasscode"] = "hush-11"

    shown = repr(read_profile_file(plistlib.dumps(root), "x"))

    assert "hush" not in shown
    assert "acme.okta.com" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://acme.okta.com/pki/x", "https://acme.okta.com"),
        ("HTTPS://ACME.okta.com:8443", "https://acme.okta.com:8443"),
        ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80"),
        ("https://ann:pa/ss@acme.okta.com/x", "https://…"),
        ("https://ann:pa?ss@acme.okta.com/x", "https://…"),
        ("ann:pass@acme.okta.com", "text that is no URL"),
        ("hunter2://acme.okta.com", "(another scheme)://acme.okta.com"),
        ("https:///x", "https://(no host)"),
        ("https://two words/x", "https://(no host)"),
        (" https://acme.okta.com", "text that is no URL"),
        ("$FLEET_VAR_NDES_SCEP_PROXY_URL", "a variable of the MDM"),
        ("${URL}", "a variable of the MDM"),
        ("{{scep_url}}", "a variable of the MDM"),
        ("%SCEPURL%", "a variable of the MDM"),
    ],
)
def test_a_url_is_kept_as_scheme_and_host(text: str, shown: str) -> None:
    document = read_profile_file(plistlib.dumps(profile(SCEP | {"URL": text})), "x")

    assert [url.shown for url in document.profiles[0].scep_payloads[0].urls] == [shown]


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("Keysize", "2048", 'text "2048", not a whole number'),
        ("Keysize", True, "true or false, not a whole number"),
        ("Keysize", 2**70, "an absurd number"),
        ("Keysize", 2048.0, "a number, not a whole number"),
        ("Key Usage", [1], "a list, not a whole number"),
        ("KeyIsExtractable", 0, "a number, not true or false"),
        ("AllowAllAppsAccess", "true", "text, not true or false"),
        ("Subject", "CN=x", "text, not a list of names"),
        ("Subject", [["CN", "x"]], "a list that is not made of [[name, text]] entries"),
        ("Subject", [[["CN", 7]]], "a list that is not made of [[name, text]] entries"),
        ("Subject", [], "an empty list"),
    ],
)
def test_a_value_of_the_wrong_type_is_said_to_be_one(key: str, value: object, shown: str) -> None:
    root = profile(SCEP | {key: value})
    try:
        data = plistlib.dumps(root)
    except OverflowError:
        data = plistlib.dumps(profile(SCEP | {key: 1234321})).replace(b"1234321", str(value).encode())

    payload = read_profile_file(data, "x").profiles[0].scep_payloads[0]

    settings_read = (payload.key_bits, payload.usages, payload.extractable, payload.all_apps, payload.subject)
    setting = next(one for one in settings_read if one is not None and one.path.endswith(f".{key}"))
    assert setting.shown == shown
    assert setting.value in (None, "")


@pytest.mark.parametrize("content", [7, "text", [], None])
def test_a_payload_list_that_is_none_reads_as_no_payload(content: object) -> None:
    root = profile()
    root["PayloadContent"] = content
    if content is None:
        del root["PayloadContent"]

    document = read_profile_file(plistlib.dumps(root), "x")

    assert document.profiles[0].scep_payloads == ()
    assert bool(document.remarks) == (content != [])


APPLE_LINE = b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
LAUGHS = b'<!DOCTYPE plist [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>\n<plist><string>&b;</string></plist>'
EXTERNAL = b'<!DOCTYPE plist [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<plist><dict><key>&a;</key></dict></plist>'
SUBSET = b"<!DOCTYPE plist [<!ELEMENT plist ANY>]>\n<plist><dict/></plist>"
PLAIN = plistlib.dumps(profile())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "no-profile"),
        (b"\0\1\2 garbage", "no-profile"),
        (b"just words", "no-profile"),
        (plistlib.dumps({}), "no-profile"),
        (plistlib.dumps({}, fmt=plistlib.FMT_BINARY), "no-profile"),
        (plistlib.dumps([]), "no-profile"),
        (plistlib.dumps([profile()]), "no-profile"),
        (plistlib.dumps("text"), "no-profile"),
        (plistlib.dumps({"LSMinimumSystemVersion": "12"}), "no-profile"),
        (plistlib.dumps({"CommandUUID": "1", "Status": "Acknowledged"}), "no-profile"),
        (plistlib.dumps(profile()["PayloadContent"][0]), "no-profile"),
        (plistlib.dumps(profile(PayloadType="Profile Service")), "no-profile"),
        (plistlib.dumps(profile(EncryptedPayloadContent=b"x")), "profile-encrypted"),
        (PLAIN[: len(PLAIN) // 2], "xml-broken"),
        (plistlib.dumps(profile(), fmt=plistlib.FMT_BINARY)[:-40], "plist-broken"),
        (LAUGHS, "xml-entities"),
        (LAUGHS.decode().encode("utf-16"), "xml-entities"),
        (EXTERNAL, "xml-entities"),
        (SUBSET, "xml-entities"),
        (b"<html><body/></html>", "no-profile"),
        (b"<plist><dict><key>a</key><date>yesterday</date></dict></plist>", "plist-broken"),
        (b"<plist><dict><key>a</key><integer>x</integer></dict></plist>", "plist-broken"),
        (b"<plist><dict><string>x</string></dict></plist>", "plist-broken"),
        (b"<plist>" + b"<array>" * 10_000 + b"</array>" * 10_000 + b"</plist>", "xml-too-deep"),
        (b"<plist><array>" + b"<true/>" * 1_000_001 + b"</array></plist>", "xml-too-large"),
        (b"30\x82garbage", "no-profile"),
    ],
)
def test_what_is_no_profile_is_an_error_with_a_hint(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_apples_own_doctype_is_fine() -> None:
    assert APPLE_LINE in PLAIN
    assert read_profile_file(PLAIN, "x").profiles[0].identifier == "com.acme.scep"


def test_a_doctype_before_a_missing_declaration_is_fine() -> None:
    assert read_profile_file(b"\n" + PLAIN[PLAIN.index(b"<!DOCTYPE") :], "x").profiles[0].identifier == "com.acme.scep"


def binary_plist(objects: list[bytes]) -> bytes:
    """Lay out raw objects as a binary plist with one-byte references and four-byte offsets; the first is the root."""
    body, offsets = b"bplist00", []
    for raw in objects:
        offsets.append(len(body))
        body += raw
    table = b"".join(offset.to_bytes(4, "big") for offset in offsets)
    counts = len(objects).to_bytes(8, "big") + bytes(8) + len(body).to_bytes(8, "big")
    return body + table + bytes(6) + b"\x04\x01" + counts


@pytest.mark.parametrize(
    "data",
    [
        binary_plist([b"\xa1\x00"]),  # a list that holds itself
        binary_plist([b"\xa1\x01", b"\xa1\x00"]),  # two lists that hold each other
        binary_plist([b"\xd1\x01\x00", b"\x51k"]),  # a dictionary that is its own value
        binary_plist([bytes([0xA1, index + 1]) for index in range(250)] + [b"\x09"]),  # 250 lists deep
        binary_plist([b"\xd1\x01\x02", b"\xa0", b"\x51v"]),  # a list as a key
        binary_plist([b"\xa1\x63"]),  # a reference to nowhere
        b"bplist00" + b"\xff" * 40,
        b"bplist00",
    ],
)
def test_binary_plists_that_loop_or_lie_are_errors(data: bytes) -> None:
    assert code_of(data) in ("plist-too-deep", "plist-broken")


def test_a_binary_plist_whose_objects_overlap_is_refused_before_it_fills_the_memory() -> None:
    entries = 200_000
    array = b"\xaf\x12" + entries.to_bytes(4, "big") + b"\x01" * entries
    body = b"bplist00" + array
    table = (8).to_bytes(4, "big") * 200
    counts = (200).to_bytes(8, "big") + bytes(8) + len(body).to_bytes(8, "big")

    assert code_of(body + table + bytes(6) + b"\x04\x01" + counts) == "plist-broken"


def test_one_payload_shared_a_million_times_is_refused() -> None:
    root = profile()
    root["PayloadContent"] = root["PayloadContent"] * 2_000

    assert code_of(plistlib.dumps(root, fmt=plistlib.FMT_BINARY)) == "profile-too-large"


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if OPENSSL is None:
        pytest.skip("openssl is not installed: nothing here can sign a profile")
    folder = tmp_path_factory.mktemp("signer")
    names = ["-subj", "/O=Acme/CN=Acme_MDM", "-keyout", "key.pem", "-out", "certificate.pem"]
    # A year's certificate; the key is made here and thrown away with the folder.
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", *names],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def signed(signer: Path, content: bytes, *options: str, verb: str = "smime") -> bytes:
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, verb, "-sign", "-signer", "certificate.pem", "-inkey", "key.pem", *options],
        cwd=signer,
        input=content,
        check=True,
        capture_output=True,
    )
    return done.stdout


SIGNED_FORMS = [
    ("smime", "-nodetach", "-outform", "DER"),
    ("smime", "-nodetach", "-outform", "DER", "-stream"),
    ("smime", "-nodetach", "-outform", "DER", "-binary", "-indef"),
    ("smime", "-nodetach", "-outform", "PEM"),
    ("cms", "-nodetach", "-outform", "DER"),
    ("cms", "-nodetach", "-outform", "DER", "-stream", "-binary"),
    ("cms", "-nodetach", "-outform", "PEM", "-keyid"),
]


@pytest.mark.parametrize("options", SIGNED_FORMS, ids=" ".join)
def test_a_signed_profile_is_read_and_its_signer_named(signer: Path, options: tuple[str, ...]) -> None:
    # Long enough that a stream comes in several pieces.
    content = plistlib.dumps(profile(PayloadDescription="x" * 20_000))
    data = signed(signer, content, *options[1:], verb=options[0])

    document = read_profile_file(data, "x")

    assert document.profiles[0].scep_payloads[0].key_bits.value == 2048
    assert document.signed_by == "CN=Acme_MDM,O=Acme (issued by CN=Acme_MDM,O=Acme)"
    assert sniff_profile_file(data) is ProfileFormat.MOBILECONFIG


def test_a_signature_without_the_certificate_still_shows_the_profile(signer: Path) -> None:
    data = signed(signer, PLAIN, "-nodetach", "-outform", "DER", "-nocerts")

    document = read_profile_file(data, "x")

    assert document.profiles[0].identifier == "com.acme.scep"
    assert document.signed_by == "a certificate that is not in the file"


def test_a_detached_signature_is_an_error(signer: Path) -> None:
    data = signed(signer, PLAIN, "-outform", "DER")

    assert code_of(data) == "signed-message-empty"
    assert sniff_profile_file(data) is None


def test_a_bundle_of_certificates_is_no_profile(signer: Path) -> None:
    assert OPENSSL is not None
    bundle = subprocess.run(
        [OPENSSL, "crl2pkcs7", "-nocrl", "-certfile", str(signer / "certificate.pem")], check=True, capture_output=True
    ).stdout

    assert code_of(bundle) == "signed-message-empty"
    assert sniff_profile_file(bundle) is None


def test_an_encrypted_message_says_so(signer: Path) -> None:
    assert OPENSSL is not None
    data = subprocess.run(
        [OPENSSL, "smime", "-encrypt", "-aes256", "-outform", "PEM", str(signer / "certificate.pem")],
        input=PLAIN,
        check=True,
        capture_output=True,
    ).stdout

    assert code_of(data) == "signed-message-encrypted"


def test_a_cut_signature_is_an_error_at_every_length(signer: Path) -> None:
    for options in (("-outform", "DER"), ("-outform", "DER", "-stream")):
        data = signed(signer, PLAIN, "-nodetach", *options)
        for length in range(60, len(data), 97):
            assert code_of(data[:length]).startswith("signed-message")


def test_a_message_that_nests_without_end_is_an_error() -> None:
    head = bytes.fromhex("3080 0609 2a864886f70d010702 a080")
    assert code_of(head + b"\x30\x80" * 50_000) == "signed-message-broken"
    assert code_of(head + b"\x24\x80" * 20 + b"\x04\x00" * 300_000) == "signed-message-broken"


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_damaged_signed_profile_is_read_or_refused(signer: Path, data: st.DataObject) -> None:
    whole = bytearray(_SIGNED.setdefault("der", signed(signer, PLAIN, "-nodetach", "-outform", "DER", "-stream")))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=6)):
        whole[position] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        parse_mobileconfig(bytes(whole), "x")


_SIGNED: dict[str, bytes] = {}


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from([b"", b"bplist00", b"<plist>", b"<?xml ", b"\x30\x80\x06\x09", b"-----BEGIN PKCS7-----\n"]),
    rest=st.binary(max_size=200),
)
def test_random_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    with suppress(InputError):
        read_profile_file(start + rest, "x")
    sniff_profile_file(start + rest)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), form=st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]))
def test_damaged_plists_are_read_or_refused(data: st.DataObject, form: plistlib.PlistFormat) -> None:
    whole = bytearray(plistlib.dumps(profile(), fmt=form))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with suppress(InputError):
        read_profile_file(bytes(whole[:cut]), "x")


LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)
KEYS = st.sampled_from(
    ["PayloadType", "PayloadContent", "PayloadScope", "PayloadUUID", "PayloadIdentifier", "IsEncrypted", *SCEP]
)
TREES = st.recursive(
    LEAVES | st.sampled_from(["Configuration", "com.apple.security.scep", "User"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(content=TREES, inner=TREES, top=st.dictionaries(KEYS, TREES, max_size=3))
def test_any_types_under_the_known_keys_are_read_or_refused(
    content: object, inner: object, top: dict[str, object]
) -> None:
    root = profile(inner) | {"PayloadContent": [profile(inner)["PayloadContent"][0], content]} | top
    with suppress(InputError):
        read_profile_file(plistlib.dumps(root, fmt=plistlib.FMT_BINARY), "x")


def test_the_lab_profile_reads() -> None:
    sample = SAMPLES / "lab_scep.mobileconfig"
    if not sample.exists():
        pytest.skip("the shared samples are not beside this checkout")
    document = read_profile_file(sample.read_bytes(), "lab")

    payload = document.profiles[0].scep_payloads[0]
    assert (payload.key_bits.value, payload.subject.value) == (2048, "C=US,O=Lab,CN=mac-042")
    assert "s3cret" not in repr(document)
