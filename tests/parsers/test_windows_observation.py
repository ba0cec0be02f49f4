"""One look at a PC: what is kept, and what is no answer. The documents are made here: no real Windows has been met."""

from __future__ import annotations

import base64
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certificate_factory import authority, make

from scepfix.domain.errors import InputError
from scepfix.parsers.windows_certificate_blob import certificate_in_blob
from scepfix.parsers.windows_observation import parse_windows_observation

SENT = datetime(2026, 11, 24, 9, 0, 0, tzinfo=UTC)
RECEIVED = SENT + timedelta(seconds=2)
GOOD = make(issuer=authority())
FOREIGN = make(subject="printer", marker=None, number=3)
SID = "S-1-5-21-1004336348-1177238915-682003330-1001"
SCRIPTS = [
    Path(__file__).parents[2] / "plugins/plugin_utils/observe_windows.ps1",
    Path(__file__).parents[2] / "docs/try-on-windows.ps1",
]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def blob_with(der: bytes) -> bytes:
    """Return a certificate as SystemCertificates keeps it: a friendly name, then the certificate."""
    return b"".join(struct.pack("<III", number, 1, len(value)) + value for number, value in ((11, b"x\0"), (32, der)))


def document(**other: Any) -> dict[str, Any]:
    return {
        "schema": "scepfix/windows/1",
        "time": int(SENT.timestamp()),
        "administrator": True,
        "computer_name": "PC-1",
        "serial_number": "5CG1234XYZ",
        "hardware_uuid": "0F0F0F0F-1111-2222-3333-444444444444",
        "os_version": "10.0.26100",
        "os_build": "26100",
        "local_machine": [
            {"raw_data": b64(GOOD.der), "has_private_key": True},
            {"raw_data": b64(FOREIGN.der), "has_private_key": True},
        ],
        "roots": 40,
        "current_user": [],
        "personal": [{"sid": SID, "blobs": [b64(blob_with(GOOD.der)), b64(blob_with(GOOD.der)), b64(b"junk")]}],
        "scep": [{"instance_id": "ABC", "thumbprint": "", "status": 1, "error_code": 0}],
        "enrolled": True,
        "service_present": None,
        "okta_verify_version": "6.1.1.0",
        "log": b64(b"2025 [ERR] x\n"),
        "problems": [],
        "whole": True,
        **other,
    }


def line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def read(data: bytes) -> Any:
    return parse_windows_observation(data, SENT, RECEIVED)


def test_a_whole_answer_is_read() -> None:
    seen = read(b"#< CLIXML\r\n" + line(document()) + b"\r\n")

    assert (seen.identity.serial_number, seen.name, seen.os_build) == ("5CG1234XYZ", "PC-1", "26100")
    assert [(one.der, one.store, one.private_key) for one in seen.certificates] == [
        (GOOD.der, "local-machine", True),
        (GOOD.der, f"user:{SID}", None),
    ]
    assert (seen.complete, seen.enrolled, seen.daemon_present, seen.clock_offset_seconds) == (True, True, None, 0.0)
    assert [(one.is_scep, one.enrolment) for one in seen.profiles] == [(True, "done")]
    assert (seen.log, seen.problems) == (b"2025 [ERR] x\n", ())


@pytest.mark.parametrize(
    "other",
    [
        {"administrator": False},
        {"roots": 0},
        {"local_machine": None},
        {"local_machine": [{"raw_data": "AAAA"}]},
        {"local_machine": ["x"]},
    ],
    ids=str,
)
def test_a_store_that_was_not_listed_whole_proves_no_absence(other: dict[str, Any]) -> None:
    assert not read(line(document(**other))).complete


def test_lists_that_powershell_wrapped_are_lists() -> None:
    entry = {"raw_data": b64(GOOD.der), "has_private_key": True}
    seen = read(line(document(local_machine={"value": [entry], "Count": 1})))

    assert (seen.complete, len(seen.certificates)) == (True, 2)


@pytest.mark.parametrize(
    ("node", "enrolment"),
    [
        ({"status": 1, "error_code": 0, "thumbprint": "AB" * 20}, f"done, certificate {'ab' * 20}"),
        ({"status": 2, "error_code": None, "thumbprint": ""}, "pending"),
        ({"status": 16, "error_code": -2147012889, "thumbprint": ""}, "failed, error 0x80072EE7"),
        ({"status": 32}, "unknown"),
        ({"status": "1", "error_code": "x", "thumbprint": "\x1b[31m"}, "unknown"),
    ],
)
def test_the_nodes_of_the_csp_say_how_an_enrolment_stands(node: dict[str, Any], enrolment: str) -> None:
    seen = read(line(document(scep=[{"instance_id": "ABC", **node}])))

    assert [one.enrolment for one in seen.profiles] == [enrolment]


def test_a_person_is_told_by_sid_and_nothing_else_is_taken_for_one() -> None:
    seen = read(line(document(local_machine=[], personal=[{"sid": "ann; rm", "blobs": [b64(blob_with(GOOD.der))]}])))

    assert [one.store for one in seen.certificates] == ["user"]


def test_stores_of_people_that_could_not_be_read_are_a_problem_and_no_more() -> None:
    seen = read(line(document(personal=None)))

    assert seen.complete
    assert seen.problems == ("people's own certificates could not be read",)


@pytest.mark.parametrize("serial", ["", "Default string", "To be filled by O.E.M.", "\x1b[31mX", "a" * 100])
def test_a_placeholder_is_no_serial_number(serial: str) -> None:
    assert read(line(document(serial_number=serial))).identity.serial_number == ""


@given(st.data())
def test_an_answer_cut_anywhere_is_none(data: st.DataObject) -> None:
    whole = line(document())

    with pytest.raises(InputError):
        read(whole[: data.draw(st.integers(0, len(whole) - 1))])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(set(document()) - {"schema"})), JSON)
def test_any_value_in_any_place_is_read_or_refused(key: str, value: Any) -> None:
    try:
        seen = read(line(document(**{key: value})))
    except InputError:
        return
    assert all(problem.isprintable() for problem in seen.problems)


@given(st.binary(max_size=500))
def test_garbage_is_no_answer(data: bytes) -> None:
    with pytest.raises(InputError):
        read(data)


@given(st.binary(max_size=200))
def test_a_list_of_properties_never_breaks_the_reading(data: bytes) -> None:
    assert certificate_in_blob(blob_with(GOOD.der)) == GOOD.der
    certificate_in_blob(data)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_script_parses(script: Path) -> None:
    import tree_sitter
    import tree_sitter_pwsh

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))

    assert not parser.parse(script.read_bytes()).root_node.has_error


def test_the_script_for_strangers_asks_the_same() -> None:
    ours, theirs = (script.read_text("utf-8") for script in SCRIPTS)
    body = ours[ours.index("$ErrorActionPreference") : ours.index("if ($mode -eq 'line')")]

    assert body in theirs
