"""The log scan: what is no record, what is cut, where blocks end, and what it costs."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.parsers.pasted_logs import BYTES, LINES, M1, M2, M3, M4, TEXTS, V1, W1, W2, assert_in_place, scanned, timed

from scepfix.domain.errors import InputError, UsageError
from scepfix.domain.fault import Signature
from scepfix.domain.inert import visible
from scepfix.parsers import evidence_json, located_yaml
from scepfix.parsers.kept_records import Record
from scepfix.parsers.log_scan import FORMATS, LogScan
from scepfix.parsers.site_log import site_format

TRANSCRIPTS = sorted(path for path in (Path(__file__).parent / "transcripts").glob("*/*") if path.suffix != ".json")


def says(text: str) -> list[str]:
    return [record.sighting.says for record in scanned(text.encode())]


@pytest.mark.parametrize("file", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_transcript(file: Path) -> None:
    """Adding a file and its ``.expected.json`` adds a test; ``quote`` is how the quote begins."""
    data = file.read_bytes()
    expected = json.loads(file.with_suffix(".expected.json").read_text("utf-8"))

    records = scanned(data)

    assert [
        {
            "says": record.sighting.says,
            "line": record.line,
            "byte_offset": record.byte_offset,
            "observed_at": record.sighting.observed_at.isoformat() if record.sighting.observed_at else None,
            "quote": record.quote[: len(want["quote"])],
        }
        for record, want in itertools.zip_longest(records, expected, fillvalue=expected[-1] if expected else {})
        if isinstance(record, Record)
    ] == expected


def recovery(message: str, location: str = "CommunicationsManager.swift:registerRecoverySecret():319") -> str:
    return (
        f'{{🛑 "Recovery-Management": {{"message": "{message}", "defaultProperties": "", "location": "{location}"}}}}'
    )


NEAR_MISSES = {
    "Code=19 with another text": (
        recovery('Registration failed: Error Domain=OktaDAServiceDaemon Code=19 "The request timed out."'),
        ["log.registration-failed"],
    ),
    "another code with another text": (
        recovery('Registration failed: Error Domain=OktaDAServiceDaemon Code=7 "noMatchingCertificate"'),
        ["log.registration-failed"],
    ),
    "another error of the management hint": (
        M2.replace("noMatchingCertificate", "keyNotAccessible"),
        ["log.registration-failed"],
    ),
    "the same, and prose behind it": (
        M2.replace("noMatchingCertificate", "keyNotAccessible").split(" UserInfo")[0]
        + " but we expected noMatchingCertificate",
        ["log.registration-failed"],
    ),
    "keyNotFound of another key": (
        M3.replace('"id', '"expiresAt').replace('id\\"', 'x\\"'),
        ["log.registration-failed"],
    ),
    "a key that begins alike": (M3.replace('"id"', '"idp"').replace('\\"id\\"', "idp"), ["log.registration-failed"]),
    "the id further down the coding path": (
        M3.replace('"id"', '"key"').replace("codingPath: []", 'codingPath: [CodingKeys(stringValue: "id")]'),
        ["log.registration-failed"],
    ),
    "another error domain": (M2.replace("OktaDAServiceDaemon", "NSURLErrorDomain"), []),
    "M2 in another category": (M2.replace("Recovery-Management", "Factor-Management"), []),
    "M3 in another category": (M3.replace("Recovery-Management", "Factor-Management"), []),
    "M1 in another category": (M1.replace("Recovery-Management", "Enrollment-Management"), []),
    "M1 words in another function": (M1.replace("registerRecoverySecret()", "rotateRecoverySecret()"), []),
    "M1 words in another file": (M1.replace("RecoveryManager.swift", "Screen.swift"), []),
    "M2 in another function": (M2.replace("registerRecoverySecret()", "enrollFactor()"), []),
    "M3 in another function": (M3.replace("registerRecoverySecret()", "unregisterRecoverySecret()"), []),
    "E0000153 without 410": (V1.replace("410", "404"), []),
    "410 of another error": (V1.replace("E0000153", "E0000007"), []),
    "4100 is not 410": (V1.replace("410", "4100"), []),
    "410 of one answer, E0000153 of the next": (
        '{"API": {"message": "Response Code: 410"}}\n{"API": {"message": "Response Code: 404 Error Code: E0000153"}}',
        [],
    ),
    "deviceDeleted in prose": ("the code may be ServerErrorCode.deviceDeleted, says the article", []),
    "the summary in prose": ("Error Code: E0000153, Error Summary: Invalid device id, it no longer exists.", []),
    "410 in another category": (V1.replace('"API"', '"Sync"'), []),
    "prose": ("Is it noMatchingCertificate? Cert error: JWT generation, says the article, Code=19.", []),
    "the article's table in prose": (
        (
            "M2 | `Cert error: JWT generation` … `noMatchingCertificate` "
            "(`CommunicationsManager.swift:registerRecoverySecret():319`) | no Device Access SCEP certificate\n"
            'M3 | `Registration error: Response decoding` … `keyNotFound(CodingKeys(stringValue: "id"` '
            "(`…registerRecoverySecret():281`) | device deleted in console\n"
            'M1 | `"Recovery-Management"` … `Creating a new recovery enrollment` '
            "(`RecoveryManager.swift:registerRecoverySecret():96`)"
        ),
        [],
    ),
    "a unified log line": (
        (
            "2025-05-26 02:15:41.804123-0700 0x1f3 Error 0x0 312 0 OktaDAServiceDaemon: "
            "[com.okta.deviceaccess:Recovery-Management] noMatchingCertificate"
        ),
        [],
    ),
    "another day of the log": (M4 + "\n" + M4, []),
    "the Windows sentence of another class": (W2.replace("DevicePrincipalAuthenticator", "SomethingElse"), []),
    "the Windows sentence of another method": (W2.replace("CanRegisterClient", "CanRenewClient"), []),
    "the Windows sentence in prose": (
        'The log says "Could not find a valid certificate for device authentication" for CanRegisterClient.',
        [],
    ),
    "the Windows method alone": (W1.replace("Device is not registered", "Device is registered"), []),
    "a SCEP request": ("SCEP: Certificate request generated successfully", []),
    "a SCEP failure": ("SCEP: Certificate installed unsuccessfully", []),
    "another System Log result": ("FAILURE: user_not_active", []),
    "success for somebody assigned": ("SUCCESS: user_not_assigned", []),
    "another app than Desktop MFA": ("FAILURE: user_not_assigned_to_application", []),
    "empty": ("", []),
    "garbage": ("\x00\xff\x1b[2J{{{{" * 50, []),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_no_fault(name: str) -> None:
    text, expected = NEAR_MISSES[name]

    assert says(text) == expected
    assert says(f"{M4}\n{text}\n{M4}\n") == expected


@pytest.mark.parametrize("line", [line for line in LINES if line.says], ids=lambda line: line.name)
@pytest.mark.parametrize("change", ["as it is", "wrapped inside a word, quoted", "HTML", "webhook"])
@pytest.mark.parametrize("side", ["beginning lost", "end lost"])
def test_a_cut_line_is_right_or_unknown_never_wrong(line: object, change: str, side: str) -> None:
    assert isinstance(line, type(LINES[0]))
    text = TEXTS[change](line.text)
    for at in range(1, len(text), 1 if change == "as it is" else 7):
        part = text[at:] if side == "beginning lost" else text[:at]
        records = scanned(f"It fails:\n{part}\nThanks, Bob".encode())
        assert {record.sighting.says for record in records} <= {line.says, "log.registration-failed"}, part
        assert {record.sighting.observed_at for record in records} <= {line.observed_at, None}, part
        assert len(records) <= 1


def test_the_second_half_of_a_line_still_names_the_fault() -> None:
    assert says(M2[M2.index("UserInfo") :]) == ["log.no-certificate"]
    assert says(M3[M3.index("UserInfo") :]) == ["log.rejected"]
    assert says(M1[M1.index("Creating") :]) == ["log.attempt"]
    assert says(M2[: M2.index("UserInfo")]) == ["log.no-certificate"]
    assert says(M3[: M3.index("UserInfo")]) == ["log.rejected"]
    assert says(M1[: M1.index('", "default')]) == ["log.attempt"]


def test_two_people_who_pasted_only_the_error_are_two_records() -> None:
    cut2, cut3 = (line[line.index("Error Domain") : line.index('", "default')] for line in (M2, M3))

    assert says(f"Alice:\n{cut2}\nBob:\n{cut3}\n") == ["log.no-certificate", "log.rejected"]
    assert says(f"Alice:\n{cut3}\nBob:\n{cut2}\n") == ["log.rejected", "log.no-certificate"]


def test_a_cut_attempt_does_not_take_the_failure_of_somebody_else() -> None:
    at = "2025/05/26 02:15:41:804 -0700"
    begun, failure = timed(at, M1), M2[M2.index("Cert error") :]
    for cut, expected in ((begun[: begun.index('", "default')], ["log.attempt"]), (begun[:90], [])):
        records = scanned(f"Alice:\n{cut}\nBob:\n{failure}\n".encode())
        assert [record.sighting.says for record in records] == [*expected, "log.no-certificate"]
        assert (records[-1].line, records[-1].sighting.observed_at) == (4, None)


def test_an_error_inside_an_error_is_one_record() -> None:
    inner = 'UserInfo={NSUnderlyingError=0x6000 {Error Domain=OktaDAServiceDaemon Code=7 "x"}}'
    (record,) = scanned(
        recovery(f'Registration failed: Error Domain=OktaDAServiceDaemon Code=19 "new" {inner}').encode()
    )

    assert record.sighting.facts["code"] == 19


def test_the_code_of_a_cut_line_is_not_made_up() -> None:
    assert (
        says('{"Recovery-Management": {"message": "Registration failed: Error Domain=OktaDAServiceDaemon Code=1') == []
    )


# Where things stand relative to each other must not matter.

TIMED = timed("2025/05/26 02:15:41:804 -0700", M2, "🛑 ")


def test_a_record_keeps_its_time_whatever_the_distance_to_the_one_before() -> None:
    for distance in range(3500, 8600, 19):
        filler = "x" * 50 + "\n"
        between = (filler * (distance // len(filler) + 1))[:distance]
        records = scanned(f"{M3}\n{between}\n{TIMED}\n".encode())
        assert [record.sighting.says for record in records] == ["log.rejected", "log.no-certificate"]
        assert records[1].sighting.observed_at is not None, distance


def log_of(*, kib: int, every: int) -> bytes:
    """A log day: other categories, and a record of ours now and then."""
    ours = itertools.cycle([line.text for line in LINES])
    lines: list[str] = []
    size = 0
    for number in itertools.count():
        line = (
            next(ours) if number % every == every - 1 else M4.replace("41:804", f"{number % 60:02}:{number % 1000:03}")
        )
        lines.append(line)
        size += len(line.encode()) + 1
        if size > kib * 1024:
            return "\n".join(lines).encode()
    raise AssertionError


LOG = log_of(kib=170, every=7)
LOG_RECORDS = scanned(LOG)
PASTED = TEXTS["wrapped, smart, nbsp, quoted, HTML"](LOG.decode()).encode("utf-16-le")


def outcome(records: list[Record]) -> list[tuple[object, ...]]:
    """All but where the record lay in what was read in one go."""
    return [
        (at.line, at.byte_offset, at.quote, at.sighting.says, at.sighting.observed_at, dict(at.sighting.facts))
        for at in records
    ]


def fed(data: bytes, sizes: list[int]) -> list[Record]:
    scan = LogScan()
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return scan.finish()
        scan.feed(data[at : at + size])
        at += size
    raise AssertionError


def test_the_log_of_these_tests_is_read_in_place() -> None:
    assert len(LOG_RECORDS) > 60
    assert_in_place(LOG, LOG_RECORDS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 90_000), min_size=1, max_size=6))
@example([65_536])
@example([4096])
@example([len(LOG)])
def test_the_size_of_the_blocks_does_not_matter(sizes: list[int]) -> None:
    if sum(sizes) / len(sizes) < 500:
        sizes = [*sizes, 20_000]
    assert outcome(fed(LOG, sizes)) == outcome(LOG_RECORDS)


def test_nor_in_a_pasted_log_in_utf_16() -> None:
    whole = scanned(PASTED)
    assert [record.sighting.says for record in whole] == [record.sighting.says for record in LOG_RECORDS]
    for size in (4096, 65_537, 100_001):
        assert outcome(fed(PASTED, [size])) == outcome(whole)


@pytest.mark.slow
def test_byte_by_byte() -> None:
    assert outcome(fed(LOG[:120_000], [1])) == outcome(scanned(LOG[:120_000]))


@pytest.mark.parametrize(
    "record", [TIMED, timed("2025/05/26 02:15:41:804 -0700", M3), ">" + M1], ids=["M2", "M3", "M1"]
)
def test_a_record_across_each_border(record: str) -> None:
    border, filler = 100_000, (M4 + "\n").encode()
    for before in range(border - 1100, border + 60, 23):
        lead = (filler * (before // len(filler) + 1))[: before - 1] + b"\n"
        data = lead + record.encode() + b"\n" + filler * 400
        (found,) = fed(data, [border])
        assert found.byte_offset == before + record.startswith(">")
        assert found.line == 1 + lead.count(b"\n")
        assert found.quote == record.removeprefix(">")


def test_only_the_first_and_the_latest_of_very_many_are_kept_and_all_are_counted() -> None:
    lines = [timed(f"2025/05/26 02:{n // 60:02}:{n % 60:02}:000 +0000", M2) for n in range(3600)]
    scan = LogScan()
    scan.feed("\n".join([lines[1800], *lines]).encode())
    records = scan.finish()

    assert scan.counts == {"log.no-certificate": 3601}
    assert len(records) < 50
    assert records[-1].sighting.observed_at == max(
        record.sighting.observed_at for record in records if record.sighting.observed_at
    )


# A site's own signatures.


def test_a_site_signature_beside_a_meaning_of_ours_keeps_both() -> None:
    scan = LogScan((*FORMATS, site_format([Signature("site.mine", "Creating a new recovery enrollment")])))
    scan.feed(f"{M4}\n{timed('2025/05/26 02:15:41:804 -0700', M1)}\n{M4}\n".encode())
    records = scan.finish()

    assert sorted(record.sighting.says for record in records) == ["log.attempt", "site.mine"]
    assert len({record.sighting.observed_at for record in records}) == 1


def test_a_site_signature_with_marks_that_are_deleted_elsewhere() -> None:
    scan = LogScan((*FORMATS, site_format([Signature("site.path", "state -> C:\\Okta"), Signature("site.no", "> >")])))
    scan.feed(b"2025 state -> C:\\Okta done > >")

    assert [record.sighting.says for record in scan.finish()] == ["site.path"]


# Whatever the bytes.

FRAGMENTS = sorted(
    {line.text[at : at + size] for line in LINES for at in range(0, len(line.text), 40) for size in (25, 200)}
    | {
        "\n",
        "\r\n",
        "> ",
        '"',
        '\\"',
        "&quot;",
        "&",
        "<br>",
        "\0",
        "“",
        "â€",
        "\x1b[31m",
        '{"type":"text","text":"',
        "\\u00",
    }
)
SEEDS = [
    encode(text(line.text)) for line in LINES for text in TEXTS.values() for encode in (str.encode, BYTES["UTF-16 LE"])
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, len(data)))
    if draw(st.booleans()):
        data[start:end] = draw(st.sampled_from([b"", draw(st.sampled_from(SEEDS))]))
    return bytes(data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=600),
        st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=9)), max_size=30).map(
            lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
        ),
        mutated(),
    )
)
def test_any_bytes_give_records_in_place(data: bytes) -> None:
    scan = LogScan((*FORMATS, site_format([Signature("site.mine", "new recovery")])))
    scan.feed(data)
    for record in scan.finish():
        assert 0 <= record.byte_offset < len(data)
        assert 1 <= record.line <= data.count(b"\n") + 1
        assert visible(record.quote) == record.quote
        assert record.quote
        assert record.sighting.observed_at is None or record.sighting.observed_at.tzinfo is not None


ADVERSARIAL = [
    *('{"', '"type":', "<br ", "> ", '"Recovery-Management"', '"text":"', '"text":"x","', "&amp;amp;", "\\", "\\u0041"),
    *(
        "ErrorDomain=OktaDAServiceDaemonCode=19",
        "Certerror:JWTgeneration",
        "Response Code: 410",
        "Recovery-\nManagement",
    ),
    *('{"Recovery-Management":{"message":"', '"defaultProperties":"","location":"', "2025/05/26 02:15:41:804 -0700 {"),
    *(
        "&#x",
        "â€",
        "\0",
        "CanRegisterClient]",
        "user_not_assigned",
        "SCEP:",
        "{code:",
        '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    ),
]


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_no_input_is_slow(unit: str) -> None:
    """About a second for a MB at most: the unit alone, and with what makes the scan look closely."""
    close = 'Recovery-Management "text":" OktaDAServiceDaemon ErrorDomain=OktaDAServiceDaemonCode=19 '
    for block in (unit, unit * 30 + close):
        data = (block * (300_000 // len(block.encode()) + 1)).encode()
        began = time.process_time()
        scanned(data)
        assert time.process_time() - began < 1.0


# Memory.

MEASURE = """
import re, sys
from scepfix.cli.main import run
code = run(sys.argv[1:])
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(peak, code, file=sys.stderr)
"""


def peak_mib(*arguments: str) -> tuple[float, int, str]:
    """Run scepfix in a process of its own; return its peak memory, its exit code and its output."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CONFIG_HOME": "/nowhere"},
    )
    peak, code = ran.stderr.split()[-2:]
    return int(peak) / 1024, int(code), ran.stdout


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here to read peak memory from")


@needs_proc
def test_one_line_of_30_mb_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "one-line.log"
    with path.open("wb") as file:
        for _ in range(30):
            file.write(b"x" * 500_000 + (M4 * 1600).encode()[:500_000])
        file.write(TIMED.encode())

    peak, code, out = peak_mib("diagnose", str(path))

    assert code == 0
    assert "certificate-missing" in out
    assert peak < 100


@needs_proc
def test_one_line_dense_with_records_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "dense.log"
    path.write_bytes((M3 + " ").encode() * 6000)

    peak, code, out = peak_mib("diagnose", str(path))

    assert code == 0
    assert "certificate-rejected" in out
    assert peak < 100


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_a_large_log_takes_little_memory(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "large.log"
    with path.open("wb") as file:
        for _ in range(300):
            file.write((M4 + "\n").encode() * 3600)
        file.write(TIMED.encode())
    if packed:
        subprocess.run(["gzip", "-1", str(path)], check=True)
        path = tmp_path / "large.log.gz"

    peak, code, out = peak_mib("diagnose", str(path))

    assert code == 0
    assert "certificate-missing" in out
    assert peak < 100


# The small parsers.


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["witness", "says", "line", "byte_offset", "sha256", "observed_at", "quote", "facts", "x"]
                ),
                inner | st.sampled_from(["ticket", "log.attempt", "0001-01-01T00:00:00+14:00", "2026-11-24T09:30:00Z"]),
                max_size=8,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=80)
)
@example(b'[{"witness":"ticket","says":"log.attempt","facts":{"x":1e999}}]')
@example(b'[{"witness":"ticket","says":"log.attempt","observed_at":"0001-01-01T00:00:00+14:00"}]')
@example(b"[" * 100_000)
@example(b'[{"witness":' + b"[" * 900 + b"]" * 900 + b"}]")
@example(b'[{"witness":"ticket","says":"log.attempt","source":"\\ud800\\u001b[2J"}]')
def test_evidence_of_any_bytes_is_evidence_or_an_input_error(data: bytes) -> None:
    try:
        evidence = evidence_json.parse_evidence(data, "e.json")
    except InputError as error:
        assert visible(str(error)) == str(error)
    else:
        for item in evidence:
            text = json.dumps(item.as_document(), allow_nan=False, ensure_ascii=False)
            assert text.encode()
            assert visible(item.source + item.quote) == item.source + item.quote


@settings(deadline=None)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(["- ", "a: ", "\n", "  ", "!!", "&a ", "*a", "[", "{", "? ", "'", "|", "0x", "2026-"])
    ).map("".join)
)
@example("a: !!timestamp soon")
@example("a: !!int ''")
@example("a: !!bool maybe")
@example("a: !!binary '***'")
@example("<<: {a: 1}")
@example("[" * 5000)
@example("a: " + "1" * 5000)
def test_yaml_of_any_text_is_data_or_a_usage_error(text: str) -> None:
    try:
        located = located_yaml.parse(text, "f.yml")
    except UsageError as error:
        assert error.where.startswith("f.yml:")
        assert visible(str(error)) == str(error)
    else:
        assert located.where(()).startswith("f.yml:")
