"""``scepfix profile check`` answers in words or as one document, exits 0 on a verdict, and never shows a secret."""

from __future__ import annotations

import io
import json
import plistlib
from pathlib import Path
from typing import Any

import pytest

from scepfix.cli.main import run
from scepfix.cli.profile_screens import _INTUNE_FIELDS, _JAMF_FIELDS

CONTENT: dict[str, object] = {
    "URL": "https://acme.okta.com/pki/1",
    "Keysize": 2048,
    "Key Usage": 1,
    "KeyIsExtractable": False,
    "AllowAllAppsAccess": True,
    "Subject": [[["CN", "%HardwareUUID%"]]],
}


def profile(*beside: dict[str, object], **changes: object) -> dict[str, Any]:
    return {
        "PayloadType": "Configuration",
        "PayloadIdentifier": "com.acme.scep",
        "PayloadDisplayName": "Acme",
        "PayloadScope": "System",
        "PayloadContent": [
            {"PayloadType": "com.apple.security.scep", "PayloadContent": CONTENT | changes},
            {"PayloadType": "com.apple.security.root"},
            *beside,
        ],
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "okta.mobileconfig"


def document(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert run(["profile", "check", "--json", *arguments]) == code
    out, err = capsys.readouterr()
    assert err == ""
    read: dict[str, Any] = json.loads(out)
    assert next(iter(read)) == "schema"
    return read


def test_a_good_profile_is_one_whole_document(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(plistlib.dumps(profile()))

    assert document(capsys, str(file)) == {
        "schema": "scepfix/profile/1",
        "source": str(file),
        "format": "mobileconfig",
        "identifier": "com.acme.scep",
        "scope": "system",
        "verdict": "ok",
        "findings": [],
        "notes": [],
    }


def test_a_finding_has_the_fields_of_the_contract(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(plistlib.dumps(profile(Keysize=1024)))

    read = document(capsys, str(file))

    assert read["verdict"] == "misconfigured"
    assert read["findings"] == [
        {
            "code": "key-too-small",
            "level": "breaks",
            "path": "PayloadContent[0].PayloadContent.Keysize",
            "expected": "2048 or more",
            "found": "1024",
            "message": "The private key is shorter than the 2048 bits that Okta asks for.",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, "ok: nothing in it keeps Device Access from working"),
        ({"Keysize": 1024}, "misconfigured: 1 setting breaks Device Access"),
        (
            {"Keysize": 1024, "Key Usage": 4, "KeyIsExtractable": True},
            "misconfigured: 2 settings break Device Access, 1 hardening",
        ),
        ({"KeyIsExtractable": True}, "misconfigured: nothing breaks Device Access, 1 hardening"),
    ],
)
def test_the_first_line_is_the_answer(
    file: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], first: str
) -> None:
    file.write_bytes(plistlib.dumps(profile(**changes)))

    assert run(["profile", "check", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


def test_the_text_names_place_expectation_and_screen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_bytes(plistlib.dumps(profile(AllowAllAppsAccess=False)))

    run(["profile", "check", str(file)])

    out = capsys.readouterr().out
    assert "where:    PayloadContent[0].PayloadContent.AllowAllAppsAccess" in out
    assert "expected: true" in out
    assert "found:    false" in out
    assert 'Computers > Configuration Profiles > the profile > SCEP: select "Allow all apps access"' in out
    assert "Intune: Devices > Configuration" in out
    assert "\x1b" not in out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(plistlib.dumps(profile()))))

    assert document(capsys, "-")["source"] == "stdin"


@pytest.mark.parametrize(
    "data", [b"", b"garbage", plistlib.dumps({}), plistlib.dumps([]), plistlib.dumps(profile())[:300], b"{}"]
)
def test_what_is_no_profile_is_exit_2_and_an_error_document(
    file: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    file.write_bytes(data)

    read = document(capsys, str(file), code=2)

    assert read["schema"] == "scepfix/error/1"
    assert read["where"] == str(file)
    assert read["hint"]


def test_without_a_file_or_with_two_it_is_bad_usage(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", "check"]) == 2
    assert run(["profile", "check", str(file), str(file)]) == 2
    assert run(["profile", "check", str(file)]) == 2
    assert capsys.readouterr().out == ""


SECRETS = {
    "URL": "https://ann:hush-userinfo@acme.okta.com/hush-path?token=hush-query",
    "Challenge": "hush-challenge",
    "Subject": [[["1.2.840.113549.1.9.7", "hush-subject"]]],
    "Keysize": "hush-key",
}
WIFI: dict[str, object] = {"PayloadType": "com.apple.wifi.managed", "Password": "hush-wifi", "PIN": "hush-pin"}
SYNCML = "".join(
    f"<Add><Item><Target><LocURI>./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/x/Install/{name}</LocURI></Target>"
    f"<Data>{value}</Data></Item></Add>"
    for name, value in (
        ("ServerURL", "https://ann:hush@acme.test/hush"),
        ("Challenge", "hush"),
        ("KeyLength", "hush"),
        ("SubjectAlternativeNames", "hush"),
    )
).encode()
INTUNE = json.dumps(
    {
        "@odata.type": "#microsoft.graph.macOSScepCertificateProfile",
        "displayName": "x",
        "scepServerUrls": ["https://ann:hush@acme.test/hush?hush#hush"],
        "preSharedKey": "hush",
        "keySize": "hush",
        "keyUsage": "hush",
    }
).encode()
WHOLE = plistlib.dumps(profile(WIFI, **SECRETS))


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        plistlib.dumps(profile(WIFI, **SECRETS), fmt=plistlib.FMT_BINARY),
        plistlib.dumps({"ann": [{"ProfileItems": profile(WIFI, **SECRETS)["PayloadContent"]}]}),
        SYNCML,
        INTUNE,
        # and those that end in an error
        WHOLE[:-40],
        WHOLE.replace(b"<string>hush-key</string>", b"<integer>hush-key</integer>"),
        WHOLE.replace(b"<string>hush-key</string>", b"<hush></string>"),
        SYNCML[:-10],
        INTUNE[:-2],
        b"hush",
    ],
)
def test_no_secret_is_ever_shown(
    file: Path, capsys: pytest.CaptureFixture[str], data: bytes, options: list[str]
) -> None:
    assert b"hush" in data
    file.write_bytes(data)

    run(["profile", "check", *options, str(file)])

    out, err = capsys.readouterr()
    assert "hush" not in out + err
    assert out + err


def test_foreign_text_moves_no_cursor(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\u202eevil\u2028\u200b"
    root = profile(Subject=[[["CN", hostile]]]) | {"PayloadDisplayName": hostile, "PayloadIdentifier": hostile}
    file.write_bytes(plistlib.dumps(root, fmt=plistlib.FMT_BINARY))
    bad = file.with_suffix(".json")
    bad.write_text(json.dumps(json.loads(INTUNE) | {"id": "\x1b[2J\ud800", "subjectNameFormatString": "\x1b[2J\ud800"}))

    for path in (file, bad):
        for options in ([], ["--json"]):
            assert run(["profile", "check", *options, str(path)]) == 0
            out = capsys.readouterr().out
            assert not {"\u202e", "\u2028", "\u200b", "\x1b", "\ud800"} & set(out)


def test_several_profiles_have_no_single_identifier(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"ProfileIdentifier": "one", "ProfileItems": profile()["PayloadContent"]}
    file.write_bytes(plistlib.dumps({"_computerlevel": [one, one | {"ProfileIdentifier": "two"}], "ann": []}))

    read = document(capsys, str(file))

    assert (read["format"], read["identifier"], read["scope"]) == ("profiles-show", None, "system")
    assert any("2 SCEP payloads" in note for note in read["notes"])


def test_every_finding_has_a_screen() -> None:
    findings = (
        "no-scep-payload user-scope url-missing url-not-https key-too-small no-signing-usage key-extractable "
        "all-apps-access-off subject-not-unique identity-preference trust-assigned-elsewhere"
    )

    assert set(findings.split()) == set(_JAMF_FIELDS) | set(_INTUNE_FIELDS)
