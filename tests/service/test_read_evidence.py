"""One stream becomes evidence: what it was, its hash, and what was read before it broke off."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.certificate_factory import make
from tests.parsers.pasted_logs import M1, M2, M3, M4, timed

from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.domain.evidence import Witness
from scepfix.domain.fault import Signature
from scepfix.domain.inert import visible
from scepfix.service.ports import UnreadableSource
from scepfix.service.read_evidence import ReadSource, SourceReader

AT = "2025/05/26 02:15:41:804 -0700"
DAY = (M4 + "\n") * 200
LOG = f"{DAY}{timed(AT, M2)}\n{DAY}".encode()
#: Long enough when packed for a cut in the middle to lie behind the record.
LONG = LOG + random.Random(3).randbytes(200_000).hex().encode()
CERTIFICATE = make()


def read(path: Path, reader: SourceReader | None = None) -> list[ReadSource]:
    reader = reader or SourceReader(Witness.TICKET)
    return [
        ReadSource(source.name, "unreadable", error=source.error)
        if isinstance(source, UnreadableSource)
        else reader.read(source)
        for source in EvidenceSourcesOnDisk(1 << 27).open(str(path))
    ]


def read_one(tmp_path: Path, data: bytes, name: str = "f") -> ReadSource:
    (tmp_path / name).write_bytes(data)
    (found,) = read(tmp_path / name)
    return found


def says(found: ReadSource) -> list[str]:
    return [item.says for item in found.evidence]


def test_a_log_with_its_hash_place_and_quote(tmp_path: Path) -> None:
    found = read_one(tmp_path, LOG)
    (item,) = found.evidence

    assert (found.kind, found.error) == ("macOS Device Access log", None)
    assert (item.says, item.witness, item.source) == ("log.no-certificate", Witness.TICKET, str(tmp_path / "f"))
    assert item.sha256 == hashlib.sha256(LOG).hexdigest()
    assert (item.line, item.byte_offset) == (201, LOG.index(AT.encode(), len(DAY.encode())))
    assert item.quote == timed(AT, M2)


def test_the_hash_of_a_packed_log_is_that_of_its_unpacked_bytes(tmp_path: Path) -> None:
    found = read_one(tmp_path, gzip.compress(LOG))

    assert found.evidence[0].sha256 == hashlib.sha256(LOG).hexdigest()
    assert found.evidence[0].byte_offset == LOG.index(AT.encode(), len(DAY.encode()))


def test_a_cut_log_is_reported_and_what_was_there_is_evidence(tmp_path: Path) -> None:
    packed = gzip.compress(LONG)
    found = read_one(tmp_path, packed[: len(packed) // 2])

    assert says(found) == ["log.no-certificate"]
    assert found.error is not None
    assert (found.error.code, found.skipped) == ("input-cut", False)


def test_a_log_cut_at_every_tenth_part_is_never_taken_for_whole(tmp_path: Path) -> None:
    packed = gzip.compress(LONG)
    for tenth in range(1, 10):
        found = read_one(tmp_path, packed[: len(packed) * tenth // 10])
        assert found.error is not None
        assert found.error.code == "input-cut"
        assert set(says(found)) <= {"log.no-certificate"}


def test_a_cut_member_does_not_cost_the_next(tmp_path: Path) -> None:
    packed = gzip.compress(LONG)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.gz", packed[: len(packed) // 2])
        archive.writestr("b.log", LOG)
    first, second = read(tmp_path / "z.zip")

    assert first.error is not None
    assert says(first) == says(second) == ["log.no-certificate"]
    assert second.error is None


def test_empty(tmp_path: Path) -> None:
    found = read_one(tmp_path, b"")
    assert found.error is not None
    assert (found.kind, found.error.code, found.skipped) == ("empty", "input-empty", False)


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n" + os.urandom(3000), b"\x7fELF\x02\x01\x01" + bytes(9) + os.urandom(3000), os.urandom(70_000)],
    ids=["PNG", "ELF", "random"],
)
def test_binary(tmp_path: Path, data: bytes) -> None:
    found = read_one(tmp_path, data)
    assert found.error is not None
    assert (found.kind, found.error.code, found.skipped) == ("binary", "input-binary", False)

    (tmp_path / "x.log").write_bytes(LOG)
    in_folder, log = read(tmp_path)
    assert (in_folder.kind, in_folder.skipped) == ("binary", True)
    assert says(log) == ["log.no-certificate"]


@pytest.mark.parametrize("zeros", [100, 70_000, 3_000_000])
def test_a_log_behind_zeros_is_read_in_a_folder_too(tmp_path: Path, zeros: int) -> None:
    found = read_one(tmp_path, bytes(zeros) + LOG)
    (in_folder,) = read(tmp_path)

    assert says(found) == says(in_folder) == ["log.no-certificate"]
    assert found.evidence[0].byte_offset == zeros + LOG.index(AT.encode(), len(DAY.encode()))


def test_text_without_a_known_line_is_no_error(tmp_path: Path) -> None:
    found = read_one(tmp_path, b"Hello, my PIN is refused.\n")
    assert (found.kind, found.error, found.evidence) == ("text", None, ())


def test_a_known_log_without_our_lines_says_so(tmp_path: Path) -> None:
    found = read_one(tmp_path, DAY.encode())
    assert found.evidence == ()
    assert "without any line about recovery registration" in found.notes[0]


def test_of_very_many_a_note_says_how_many(tmp_path: Path) -> None:
    found = read_one(tmp_path, (timed(AT, M1) + "\n").encode() * 500)
    assert len(found.evidence) < 50
    assert "500 times log.attempt" in found.notes[0]


@pytest.mark.parametrize("order", ["log first", "certificate first"])
@pytest.mark.parametrize("between", [0, 300_000], ids=["close", "far"])
def test_a_ticket_with_a_log_and_a_certificate_gives_both(tmp_path: Path, order: str, between: int) -> None:
    parts = [M3 + "\n", "x " * (between // 2) + "\n", CERTIFICATE.pem]
    found = read_one(tmp_path, "".join(parts if order == "log first" else reversed(parts)).encode())

    assert sorted(says(found)) == ["keychain.certificate", "log.rejected"]
    assert len({item.sha256 for item in found.evidence}) == 1


def test_a_malformed_certificate_does_not_cost_the_log_beside_it(tmp_path: Path) -> None:
    found = read_one(tmp_path, f"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n{M2}\n".encode())
    assert says(found) == ["log.no-certificate"]
    assert found.error is None
    assert found.notes


def test_a_large_log_that_quotes_a_certificate_is_read_as_a_log(tmp_path: Path) -> None:
    filler = ("x" * 99 + "\n").encode() * 350_000
    found = read_one(tmp_path, CERTIFICATE.pem.encode() + filler + M2.encode())
    assert says(found) == ["log.no-certificate"]
    assert "read as a log only" in found.notes[0]
    assert found.evidence[0].byte_offset == len(CERTIFICATE.pem.encode() + filler)


def test_a_site_signature(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(LOG)
    (found,) = read(tmp_path / "f", SourceReader(Witness.DEVICE, [Signature("site.grace", "Offline factor grace")]))
    assert {item.says for item in found.evidence} == {"log.no-certificate", "site.grace"}
    assert {item.witness for item in found.evidence} == {Witness.DEVICE}


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                *(
                    LOG[-200:],
                    M2.encode(),
                    M3.encode()[:300],
                    CERTIFICATE.der,
                    CERTIFICATE.pem.encode(),
                    b"\x1b]0;x\x07",
                ),
                *(b"<?xml version='1.0'?>", b"<plist>", b"bplist00", b"[{", b'"RawData"', b"SHA-1 hash: ", b"\0" * 9),
                *(b"-----BEGIN PKCS7-----", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>&b;", b"\xff\xfe"),
            ]
        ),
        max_size=6,
    ).map(b"".join)
)
def test_any_bytes_are_evidence_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for found in [read_one(folder, data), read_one(folder, gzip.compress(data)[: len(data) + 20])]:
        assert found.evidence or found.error or found.kind
        for item in found.evidence:
            assert visible(item.quote + item.source) == item.quote + item.source
            assert item.byte_offset is None or 0 <= item.byte_offset < max(1, len(data))
