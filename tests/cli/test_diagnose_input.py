"""``scepfix diagnose`` as a process: whatever it is handed, a clear answer, the right exit code, nothing executed."""

from __future__ import annotations

import gzip
import json
import os
import plistlib
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.certificate_factory import make
from tests.parsers.pasted_logs import M2, M3, M4, W2, timed

AT = "2025/05/26 02:15:41:804 -0700"
LOG = "\n".join([M4] * 50 + [timed(AT, M2)] + [M4] * 50).encode()
NOISE = gzip.compress(random.Random(4).randbytes(50_000).hex().encode())
PACKED = gzip.compress(LOG + random.Random(3).randbytes(50_000).hex().encode())
BOMB = gzip.compress(bytes(5_000_000))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "config.yml"
    path.write_text("limits:\n  unpacked_mib: 2\n")
    return path


def scepfix(*arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str, str]:
    """Run it; whatever comes, nothing in what it prints is active, and it is never a traceback."""
    command = [os.fsencode(str(part)) for part in (sys.executable, "-m", "scepfix", "diagnose", *arguments)]
    environment = {**os.environ, "XDG_CONFIG_HOME": "/nowhere", "PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd, env=environment, timeout=60)
    out, err = ran.stdout.decode(), ran.stderr.decode()
    for text in (out, err):
        assert "Traceback" not in text
        assert "scepfix itself failed" not in text
        assert not {character for character in text if character < " " and character != "\n"}
    return ran.returncode, out, err


def document(*arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, dict[str, Any]]:
    code, out, err = scepfix("--json", *arguments, stdin=stdin, cwd=cwd)
    assert err == ""
    read: dict[str, Any] = json.loads(out)
    assert next(iter(read)) == "schema"
    return code, read


def as_bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def as_zip(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)

    return write


def as_tar(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in members:
                source = path.with_name("member")
                source.write_bytes(data)
                archive.add(source, name)
                source.unlink()

    return write


PLIST = (
    b'<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><plist version="1.0"><dict>'
    b"<key>PayloadType</key><string>Configuration</string><key>PayloadContent</key><string>&a;</string></dict></plist>"
)
#: What is handed over, the exit code alone, and the code of the error ("" where it is read and undetermined).
BAD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing": (lambda path: None, 2, "input-missing"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), 2, "input-missing"),
    "empty folder": (lambda path: path.mkdir(), 2, "input-empty"),
    "empty": (as_bytes(b""), 2, "input-empty"),
    "empty zip": (as_zip(), 2, "input-empty"),
    "zip of a folder": (as_zip(("logs/", b"")), 2, "input-empty"),
    "DER of more than 8 MiB": (as_bytes(make().der + bytes(8 * 1024 * 1024)), 2, "input-too-large"),
    "profile of more than 8 MiB": (as_bytes(PLIST + b" " * (8 * 1024 * 1024)), 2, "input-too-large"),
    "empty gz": (as_bytes(gzip.compress(b"")), 2, "input-empty"),
    "blank": (as_bytes(b" \n\n"), 3, ""),
    "prose": (as_bytes(b"My PIN is refused.\n"), 3, ""),
    "PNG": (as_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + random.Random(1).randbytes(900)), 2, "input-binary"),
    "ELF": (as_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + random.Random(1).randbytes(900)), 2, "input-binary"),
    "random": (as_bytes(random.Random(2).randbytes(100_000)), 2, "input-binary"),
    "endless line": (as_bytes(b"x" * 3_000_000), 3, ""),
    "cut gz": (as_bytes(NOISE[: len(NOISE) // 2]), 2, "input-cut"),
    "gz of a header": (as_bytes(gzip.compress(b"")[:10]), 2, "input-cut"),
    "damaged gz": (as_bytes(NOISE[:9000] + b"\xff" * 50 + NOISE[9050:]), 2, "input-cut"),
    "gz bomb": (as_bytes(BOMB), 2, "input-bomb"),
    "zip bomb": (as_zip(("bomb", bytes(5_000_000))), 2, "input-bomb"),
    "tar bomb": (as_tar(("bomb.gz", BOMB)), 2, "input-bomb"),
    "cut zip": (as_bytes(b"PK\x03\x04" + bytes(40)), 2, "input-cut"),
    "xz": (as_bytes(b"\xfd7zXZ\0" + bytes(50)), 2, "input-format"),
    "malformed certificate": (
        as_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        2,
        "",
    ),
    "cut DER": (as_bytes(make().der[:-9]), 2, "input-cut"),
    "malformed plist": (as_bytes(PLIST[:-40]), 2, ""),
    "plist with an entity": (as_bytes(PLIST), 2, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_alone(tmp_path: Path, config: Path, name: str) -> None:
    put, exit_code, error = BAD[name]
    put(tmp_path / "f")

    code, read = document("--config", config, tmp_path / "f")

    assert code == exit_code
    assert read["schema"] == ("scepfix/diagnosis/1" if code == 3 else "scepfix/error/1")
    if code == 2:
        assert error in ("", read["code"])
        assert {"code", "message", "where", "hint"} <= set(read)
        assert str(tmp_path / "f") in read["where"]
        assert "root:" not in json.dumps(read)


@pytest.mark.parametrize("name", [name for name, (_, code, _) in BAD.items() if code == 2])
def test_bad_input_beside_a_readable_log(tmp_path: Path, config: Path, name: str) -> None:
    BAD[name][0](tmp_path / "f")
    (tmp_path / "ok.log").write_bytes(LOG)

    code, read = document("--config", config, tmp_path / "f", tmp_path / "ok.log")

    assert (code, read["fault"]) == (5, "certificate-missing")
    bad, good = read["inputs"]
    assert (bad["read"], good["read"]) == (False, True)
    assert bad["error"]["message"]


def test_the_error_in_words_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    code, out, err = scepfix(tmp_path / "no.log")

    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path}/no.log: no such file\nhint:  check the path\n"


def test_a_cut_log_alone_is_an_error_that_says_what_was_seen_last(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(PACKED[: len(PACKED) // 2])

    code, read = document(tmp_path / "cut.gz")

    assert (code, read["schema"], read["code"]) == (2, "scepfix/error/1", "input-cut")
    assert read["where"] == str(tmp_path / "cut.gz")
    assert "the last known line before that says log.no-certificate (line 51)" in read["message"]


def test_several_inputs_that_are_all_cut_are_one_error_that_names_each(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a.gz", "b.gz")]
    for name in names:
        Path(name).write_bytes(PACKED[: len(PACKED) // 2])

    code, read = document(*names)

    assert (code, read["code"]) == (2, "input-unreadable")
    assert all(name in read["message"] for name in names)
    assert read["message"].count("log.no-certificate") == 2


def test_the_part_of_a_cut_log_that_was_read_counts_beside_another(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(PACKED[: len(PACKED) // 2])
    (tmp_path / "ok.txt").write_text("My PIN is refused.\n")

    code, read = document(tmp_path / "ok.txt", tmp_path / "cut.gz")

    assert (code, read["fault"]) == (5, "certificate-missing")
    assert read["evidence"][0]["source"] == str(tmp_path / "cut.gz")
    assert (read["inputs"][1]["read"], read["inputs"][1]["error"]["code"]) == (False, "input-cut")
    assert "Could not be read" in scepfix(tmp_path / "ok.txt", tmp_path / "cut.gz")[1]


def test_a_wrong_evidence_file_does_not_cost_the_log_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ok.log").write_bytes(LOG)
    (tmp_path / "e.json").write_text('[{"witness": "oktta", "says": "okta.device-gone"}]')

    code, read = document(tmp_path / "ok.log", "--evidence", tmp_path / "e.json")

    assert (code, read["fault"]) == (5, "certificate-missing")
    assert [item["read"] for item in read["inputs"]] == [True, False]
    assert read["inputs"][1]["error"]["where"] == f"{tmp_path / 'e.json'}:1"


def test_evidence_of_another_device_gets_a_diagnosis_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "ok.log").write_bytes(LOG)
    gone = {"witness": "okta", "says": "okta.device-gone", "observed_at": "2025-05-26T12:00:00Z"}

    def diagnosed(device: str) -> tuple[int, list[tuple[str, str]]]:
        (tmp_path / "e.json").write_text(json.dumps([{**gone, "facts": {"device": device}}]))
        code, read = document(tmp_path / "ok.log", "--device", "mac-b", "--evidence", tmp_path / "e.json")
        return code, [(found["device"], found["fault"]) for found in read.get("diagnoses", [read])]

    assert diagnosed("mac-a") == (0, [("mac-b", "certificate-missing"), ("mac-a", "device-deleted")])
    assert diagnosed("MAC-B") == (0, [("mac-b", "device-deleted")])


def test_a_profiles_list_of_one_person_says_nothing_about_the_computer(tmp_path: Path) -> None:
    (tmp_path / "profiles.plist").write_bytes(
        plistlib.dumps({"ann": [{"ProfileIdentifier": "com.example.wifi", "ProfileItems": []}]})
    )

    code, read = document(tmp_path / "profiles.plist")
    assert (code, read["evidence"]) == (3, [])
    assert any("list them again as root" in note for note in read["notes"])

    (tmp_path / "profiles.plist").write_bytes(
        plistlib.dumps({"_computerlevel": [{"ProfileIdentifier": "com.example.wifi", "ProfileItems": []}]})
    )
    assert document(tmp_path / "profiles.plist")[1]["fault"] == "profile-missing"


def test_the_text_begins_with_what_to_do_and_ends_with_the_evidence(tmp_path: Path) -> None:
    (tmp_path / "ok.log").write_bytes(LOG)
    (tmp_path / "config.yml").write_text("ways_in: ['Ring the front desk']\n")

    _, out, _ = scepfix(tmp_path / "ok.log", "--config", tmp_path / "config.yml", "--symptom", "generating-fails")

    order = ["NO: ", "  Another way in: Ring", "Fault: ", "The device has no", "Playbook: ", "Next", "Check by hand"]
    order += ["Missing", "It could also be", "Evidence"]
    places = [next(index for index, line in enumerate(out.splitlines()) if line.startswith(lead)) for lead in order]
    assert places == sorted(places)
    assert places[0] == 0
    _, read = document(tmp_path / "ok.log", "--config", tmp_path / "config.yml", "--symptom", "generating-fails")
    assert read["next_steps"][: len(read["ways_in"])] == read["ways_in"] == ["Ring the front desk"]
    assert read["next_steps"][-len(read["checks"]) :] == read["checks"] != []


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc here")
def test_a_file_that_does_not_read(config: Path) -> None:
    assert document("/proc/self/mem")[0] == 2
    assert document("--config", config, "/dev/zero")[1]["code"] == "input-bomb"
    assert document("/dev/null")[1]["code"] == "input-empty"


def test_standard_input() -> None:
    for data in (LOG, gzip.compress(LOG), LOG.decode().encode("utf-16")):
        code, read = document("-", stdin=data)
        assert (code, read["fault"], read["evidence"][0]["source"]) == (0, "certificate-missing", "stdin")
    assert document("-", stdin=b"")[1]["code"] == "input-empty"


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd here")
def test_process_substitution(tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(gzip.compress(LOG))
    shell = f'exec 3< <(gzip -dc "{tmp_path}/log.gz"); exec "{sys.executable}" -m scepfix diagnose --json /dev/fd/3'
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, check=False)

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["fault"] == "certificate-missing"


def test_rotated_logs_in_a_folder_and_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "OktaDeviceAccess.log").write_text(M4 + "\n" + timed("2025/05/27 02:15:41:804 -0700", M3) + "\n")
    (folder / "OktaDeviceAccess.log.1.gz").write_bytes(gzip.compress(LOG))
    as_tar(*((f"sysdiagnose_x/{path.name}", path.read_bytes()) for path in folder.iterdir()))(tmp_path / "s.tar.gz")

    for path in (folder, tmp_path / "s.tar.gz"):
        code, read = document(path)
        assert (code, read["fault"]) == (0, "certificate-rejected")
        assert [item["evidence"] for item in read["inputs"]] == [1, 1]


HOSTILE = [
    "{{ lookup('pipe','touch X') }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "$(touch X)",
    "`touch X`",
    "; touch X #",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;owned\x07\x1b[31m",
    "\x9b31m\u202egnp.exe\u200b\u2028",
    "../../../../etc/passwd",
    "!!python/object/apply:os.system ['touch X']",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert(tmp_path: Path, text: str) -> None:
    log = timed(AT, M2).replace("noMatchingCertificate.", f"noMatchingCertificate.{text}", 1)
    name = "f " + text.replace("/", "_") + ".log"
    (tmp_path / name).write_text(f"{text}\n{log}\n{text} {W2}\n")
    as_zip((text + ".log", log.encode()))(tmp_path / "z.zip")

    arguments = [name, "z.zip", "--user", text, "--admin", text, "--device", text]
    code, out, err = scepfix(*arguments, cwd=tmp_path)
    code_json, read = document(*arguments, cwd=tmp_path)

    assert (code, code_json, err) == (0, 0, "")
    assert read["fault"] == "certificate-missing"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "z.zip"])
    quotes = "".join(item["source"] + item["quote"] for item in read["evidence"])
    assert not {"\x9b", "\u202e", "\u200b", "\u2028"} & set(out + quotes)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_of_a_missing_file_is_inert(tmp_path: Path, text: str) -> None:
    code, read = document(text, cwd=tmp_path)
    assert (code, read["schema"]) == (2, "scepfix/error/1")
    assert scepfix(text, cwd=tmp_path)[0] == 2
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.log")
    assert document(name, cwd=tmp_path)[0] == 2
    (tmp_path / name).write_bytes(LOG)
    code, read = document(name, cwd=tmp_path)
    assert (code, read["evidence"][0]["source"]) == (0, "\\u{dcff}\\u{dcfe}.log")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 50_000,
        b"\xff\xfe\x00",
        b"[1]",
        b'[{"witness":"me","says":"x"}]',
        b'[{"facts":{"x":1e999}}]',
        b"NaN",
    ],
)
def test_evidence_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.json").write_bytes(content)
    code, read = document("--evidence", tmp_path / "e.json")

    assert (code, read["schema"]) == (2, "scepfix/error/1")
    assert "e.json" in read["where"]


def test_evidence_with_hostile_text_is_inert(tmp_path: Path) -> None:
    items = [
        {"witness": "ticket", "says": "log.no-certificate", "source": text, "quote": text, "facts": {text: text}}
        for text in HOSTILE
    ]
    (tmp_path / "e.json").write_text(json.dumps(items))
    code, out, _ = scepfix("--evidence", "e.json", cwd=tmp_path)

    assert code == 0
    assert not {"\x9b", "\u202e", "\u200b", "\u2028"} & set(out)
    assert [path.name for path in tmp_path.iterdir()] == ["e.json"]
