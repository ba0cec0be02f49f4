"""``scepfix certificate inspect`` as a person and as a program meet it: documents, first lines, exit codes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.certificate_factory import NOT_AFTER, Made, authority, common_name, extension, make, odd, pem

from scepfix.cli.main import run

AT = ("--at", "2026-06-01T00:00:00Z")
CA = authority()
GOOD = make(issuer=CA)
CANARY = make(subject="com.apple.systemdefault", number=2, marker=None, serial=9)
DOCUMENT_FIELDS = {
    *("subject", "issuer", "serial_number", "not_before", "not_after", "sha256", "sha1", "key", "key_usage"),
    *("extended_key_usage", "device_access_marker", "findings", "notes", "verdict"),
}
Inspect = Callable[..., tuple[int, str, str]]


def listing(*made: Made) -> str:
    return "".join(f"SHA-1 hash: {hashlib.sha1(one.der).hexdigest().upper()}\n{one.pem}" for one in made)


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run(["certificate", "inspect", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def call(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return call


Write = Callable[[str, "str | bytes"], Path]


def test_a_usable_certificate(inspect: Inspect, write: Write) -> None:
    code, out, err = inspect(write("a.pem", GOOD.pem), *AT, "--issuer", write("ca.pem", CA.pem))
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "usable for Device Access"
    assert hashlib.sha256(GOOD.der).hexdigest() in out
    assert "\x1b" not in out


def test_an_expired_certificate_says_so_first(inspect: Inspect, write: Write) -> None:
    code, out, _ = inspect(write("a.pem", GOOD.pem), "--at", "2027-06-01T00:00:00+02:00")
    assert code == 0
    assert out.splitlines()[0] == "NOT usable for Device Access: expired 2027-01-01T00:00:00Z"
    assert "[expired]" in out


def test_the_document_has_the_fields_of_the_contract(inspect: Inspect, write: Write) -> None:
    code, out, err = inspect(write("a.pem", GOOD.pem), *AT, "--json")
    document = json.loads(out)
    assert (code, err, next(iter(document)), document["schema"]) == (0, "", "schema", "scepfix/certificates/1")
    (one,) = document["certificates"]
    assert one.keys() >= DOCUMENT_FIELDS
    assert one["serial_number"] == "1234567890abcdef"
    assert one["not_after"] == "2027-01-01T00:00:00Z"
    assert one["key"] == {"type": "EC", "bits": 256}
    assert one["key_usage"] == ["digitalSignature"]
    assert one["extended_key_usage"] == ["clientAuth"]
    assert one["device_access_marker"] is True
    assert (one["findings"], one["verdict"], one["line"], one["is_ca"]) == ([], "usable", 1, False)
    assert document["inputs"][0]["status"] == "read"


def test_findings_have_code_level_and_message(inspect: Inspect, write: Write) -> None:
    path = write("ca.pem", CA.pem)
    code, out, _ = inspect(path, *AT, "--json")
    (one,) = json.loads(out)["certificates"]
    assert code == 0
    assert one["verdict"] == "unusable"
    assert [(finding["code"], finding["level"]) for finding in one["findings"]] == [
        ("no-marker", "error"),
        ("not-a-leaf", "error"),
        ("no-digital-signature", "error"),
    ]
    assert all(finding["message"] for finding in one["findings"])


def test_an_issuer_of_the_same_name_with_another_key(inspect: Inspect, write: Write) -> None:
    namesake = write("namesake.pem", authority(number=91).pem)
    code, out, _ = inspect(write("a.pem", GOOD.pem), *AT, "--issuer", namesake)
    assert code == 0
    assert out.startswith("NOT usable for Device Access: not signed with the key of the given issuer")


@pytest.mark.parametrize(
    ("content", "error_code"),
    [(None, "input-missing"), ("", "input-empty"), ("lorem", "no-certificate"), (GOOD.pem[:90], "block-unreadable")],
    ids=["missing", "empty", "garbage", "cut"],
)
def test_an_unreadable_input_is_exit_2_with_a_document(
    inspect: Inspect, write: Write, tmp_path: Path, content: str | None, error_code: str
) -> None:
    path = tmp_path / "a.pem" if content is None else write("a.pem", content)
    code, out, err = inspect(path, "--json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["code"]) == (2, "", "scepfix/error/1", error_code)
    assert document["where"] == str(path)
    code, out, err = inspect(path)
    assert (code, out) == (2, "")
    assert str(path) in err


def test_several_unreadable_inputs_are_all_named(inspect: Inspect, write: Write, tmp_path: Path) -> None:
    code, out, _ = inspect(tmp_path / "missing.pem", write("b.pem", "lorem"), "--json")
    assert code == 2
    assert "missing.pem" in json.loads(out)["message"]
    assert "b.pem" in json.loads(out)["message"]


def test_readable_beside_unreadable_is_exit_5_and_each_is_named(inspect: Inspect, write: Write) -> None:
    paths = write("a.pem", GOOD.pem), write("b.pem", "lorem")
    code, out, _ = inspect(*paths, *AT, "--json")
    inputs = json.loads(out)["inputs"]
    assert code == 5
    assert [(one["source"], one["status"]) for one in inputs] == [
        (str(paths[0]), "read"),
        (str(paths[1]), "unreadable"),
    ]
    assert inputs[1]["error"]["code"] == "no-certificate"
    code, out, _ = inspect(*paths, *AT)
    assert code == 5
    assert out.startswith("usable for Device Access\n")
    assert f"not read  {paths[1]}" in out


def test_a_partly_readable_input_is_exit_5(inspect: Inspect, write: Write) -> None:
    code, out, _ = inspect(write("a.pem", GOOD.pem + CA.pem[:100]), *AT, "--json")
    assert code == 5
    assert [problem["code"] for problem in json.loads(out)["inputs"][0]["problems"]] == ["block-unreadable"]


@pytest.mark.parametrize(
    ("made", "code", "first"),
    [
        ([CANARY, GOOD], 0, "usable for Device Access"),
        ([CANARY, CA], 0, "NOT usable for Device Access: none of 2 certificates has its marker"),
        ([CA], 3, "no answer"),
        ([GOOD], 0, "usable for Device Access"),
    ],
    ids=["usable", "absent", "no canary", "usable without canary"],
)
def test_keychain_listings(inspect: Inspect, write: Write, made: list[Made], code: int, first: str) -> None:
    path = write("keychain.txt", listing(*made))
    returned, out, _ = inspect(path, *AT)
    assert returned == code
    assert out.startswith(first)
    assert ("no answer" in out) == (CANARY not in made)
    document = json.loads(inspect(path, *AT, "--json")[1])
    assert document["inputs"][0]["listing"] == {
        "kind": "keychain",
        "canary_seen": CANARY in made,
        "complete": CANARY in made,
    }


def test_a_cut_listing_without_marker_is_exit_3(inspect: Inspect, write: Write) -> None:
    path = write("keychain.txt", listing(CANARY, GOOD)[:-100])
    code, out, _ = inspect(path, *AT)
    assert code == 3
    assert out.startswith("no answer")
    assert "a part of it could not be read" in out


def test_an_empty_mdm_list_is_exit_3(inspect: Inspect, write: Write) -> None:
    path = write("list.plist", plistlib.dumps({"CertificateList": [], "Status": "Acknowledged"}))
    code, out, _ = inspect(path)
    assert code == 3
    assert out.startswith("no answer")
    assert "it is empty" in out


def test_a_certificate_without_its_key_in_an_mdm_list(inspect: Inspect, write: Write) -> None:
    path = write("list.plist", plistlib.dumps({"CertificateList": [{"Data": GOOD.der, "IsIdentity": False}]}))
    (one,) = json.loads(inspect(path, *AT, "--json")[1])["certificates"]
    assert (one["private_key"], one["verdict"]) == (False, "unusable")
    assert [finding["code"] for finding in one["findings"]] == ["no-private-key"]


def test_before_and_after(inspect: Inspect, write: Write) -> None:
    before = write("before.txt", listing(CANARY, GOOD))
    new = make(number=1, serial=2, not_before=NOT_AFTER - timedelta(days=300))
    after = write("after.txt", listing(CANARY, new))
    removed = ("--removed-at", "2026-03-07T00:00:00Z")
    code, out, _ = inspect(after, "--before", before, *removed, *AT)
    assert code == 0
    assert "Issued anew since the earlier file: yes" in out
    comparison = json.loads(inspect(before, "--before", before, *AT, "--json")[1])["comparison"]
    assert (comparison["proved_new"], comparison["proved_gone"]) == ("no", "no")
    no_canary = write("half.txt", listing(new))
    comparison = json.loads(inspect(no_canary, "--before", before, *AT, "--json")[1])["comparison"]
    assert comparison["proved_new"] == "unknown"
    assert [one["serial_number"] for one in comparison["new"]] == ["2"]


def test_the_device_may_be_named(inspect: Inspect, write: Write) -> None:
    path = write("a.pem", GOOD.pem)
    assert "[belongs-to-another-device]" in inspect(path, *AT, "--device", "mac-1")[1]
    assert "[belongs-to-another-device]" not in inspect(path, *AT, "--device", "mac-1", "--device", "mac-042")[1]


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("2026-06-01", "2026-06-01T00:00:00Z"),
        ("2026-06-01T07:08:09", "2026-06-01T07:08:09Z"),
        ("20260601T000000Z", "2026-06-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"),
        *((text, "2026-03-01T09:30:00Z") for text in ("yesterday", "", "2026-13-01T00:00:00Z", "1749000000")),
        ("2026-06-01T00:00:00+25:00", "2026-03-01T09:30:00Z"),
        ("2026-06-01T00:00:00Z\x1b[2J", "2026-03-01T09:30:00Z"),
    ],
)
def test_a_time_without_zone_is_refused_and_says_what_to_write(
    inspect: Inspect, write: Write, text: str, example: str
) -> None:
    code, out, _ = inspect(write("a.pem", GOOD.pem), "--at", text, "--json")
    document = json.loads(out)
    assert (code, document["code"], document["where"]) == (2, "time-invalid", "--at")
    assert document["hint"].endswith(f"for example {example}")
    assert "\x1b" not in document["message"]


@pytest.mark.parametrize(
    "text", ["2026-06-01T00:00:00z", "2026-06-01 02:00:00.123456789+02:00", "2026-06-01T00:00:00Z"]
)
def test_times_of_rfc3339(inspect: Inspect, write: Write, text: str) -> None:
    code, out, _ = inspect(write("a.pem", GOOD.pem), "--at", text, "--json")
    assert code == 0
    assert json.loads(out)["at"].startswith("2026-06-01T00:00:00")


@pytest.mark.parametrize(
    "arguments",
    [[], ["a.pem", "--device", " "], ["a.pem", "--removed-at", "2026-06-01T00:00:00Z"], ["a.pem", "--unknown"]],
)
def test_bad_usage_is_exit_2(inspect: Inspect, arguments: list[str]) -> None:
    code, out, _ = inspect(*arguments, "--json")
    assert (code, json.loads(out)["schema"]) == (2, "scepfix/error/1")


def test_an_unreadable_issuer_is_an_error(inspect: Inspect, write: Write) -> None:
    code, out, _ = inspect(write("a.pem", GOOD.pem), "--issuer", write("ca.pem", "lorem"), "--json")
    assert (code, json.loads(out)["where"].endswith("ca.pem")) == (2, True)


HOSTILE = b"mac\x1b]0;owned\x07\x1b[31m\r\n\xe2\x80\xae{{ lookup('pipe', 'id') }}<script>"


def test_hostile_names_stay_inert(inspect: Inspect, tmp_path: Path, write: Write) -> None:
    names = extension("2.5.29.17", b"\x30\x08\x82\x06a\x1b[2J\n")
    path = write("a\x1b[31m\u202e.pem", pem(odd(subject=common_name(HOSTILE), extensions=[names])))
    for arguments in ([path], [path, "--json"], [path, tmp_path / "missing\x1b[2J"]):
        _, out, err = inspect(*arguments)
        for character in "\x1b\x07\r\u202e\x9b":
            assert character not in out + err
        assert "lookup" in out
    _, out, err = inspect(tmp_path / "missing\x1b[2J")
    assert "\x1b" not in out + err


def test_a_file_name_that_is_no_utf8(inspect: Inspect, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.pem")
    Path(path).write_text(GOOD.pem)
    code, out, _ = inspect(path, *AT, "--json")
    out.encode("utf-8")
    assert code == 0


def test_a_private_key_is_never_shown(inspect: Inspect, write: Write) -> None:
    key = GOOD.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = write("both.pem", key + GOOD.pem)
    for arguments in ([path, *AT], [path, *AT, "--json"], [write("key.pem", key)], [write("key.pem", key), "--json"]):
        _, out, err = inspect(*arguments)
        assert key.splitlines()[1] not in out + err
        assert "private key" in out + err


def test_a_long_listing_is_kept_short(inspect: Inspect, write: Write) -> None:
    many = [make(serial=100 + number, marker=None) for number in range(30)]
    _, out, _ = inspect(write("keychain.txt", listing(CANARY, GOOD, *many)), *AT)
    assert "and 21 more; --json lists all" in out
    assert len(out.splitlines()) < 45


def test_many_marker_certificates_are_kept_short(inspect: Inspect, write: Write) -> None:
    many = b"".join(make(serial=100 + number).der for number in range(40))
    _, out, _ = inspect(write("many.der", many), *AT, "--before", write("a.pem", GOOD.pem))
    assert out.startswith("usable for Device Access: serial number")
    assert "and 30 more; --json lists all" in out
    assert max(map(len, out.splitlines())) < 400
    assert "and 34 more" in out


def test_standard_input(inspect: Inspect, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(GOOD.pem.encode())

    monkeypatch.setattr(sys, "stdin", Stdin())
    code, out, _ = inspect("-", *AT, "--json")
    assert (code, json.loads(out)["certificates"][0]["source"]) == (0, "stdin")


@pytest.mark.slow
def test_as_a_process_the_clock_is_now(write: Write) -> None:
    command = [sys.executable, "-m", "scepfix", "certificate", "inspect", str(write("a.pem", GOOD.pem)), "--json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    document: dict[str, Any] = json.loads(done.stdout)
    assert document["at"] > "2026-11-01"
    assert done.stderr == b""
