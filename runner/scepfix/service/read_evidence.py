"""Reads one stream into Evidence: finds out what it is from its first bytes, and hashes every byte on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from scepfix.domain.certificate import Certificate
from scepfix.domain.errors import InputError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.fault import Signature
from scepfix.domain.inert import visible
from scepfix.parsers.log_scan import FORMATS, LogScan, to_evidence
from scepfix.parsers.site_log import site_format
from scepfix.service.file_evidence import certificate_evidence, profile_evidence, sniff
from scepfix.service.ports import EvidenceSource

_BLOCK_BYTES = 2 * 1024 * 1024
#: Judged for what a stream is: a ticket quotes its log first and its certificate last.
_HEAD_BYTES = 1024 * 1024
#: Certificates and profiles are read whole; nothing of the kind is larger.
_WHOLE_BYTES = 8 * 1024 * 1024
_KEPT = "only the first and the latest of each kind are kept as evidence"


@dataclass(frozen=True, slots=True)
class ReadSource:
    """What came of one stream. ``kind`` says what it was; ``error`` why it could not be read, or not to its end."""

    source: str
    kind: str
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    error: InputError | None = None
    skipped: bool = False


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(slots=True)
class SourceReader:
    """Reads streams as the word of one witness."""

    witness: Witness
    signatures: Sequence[Signature] = ()
    issuers: Sequence[Certificate] = ()
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))

    def read(self, source: EvidenceSource) -> ReadSource:
        """Given an opened stream, return its evidence; what the bytes are, and where they break off, never raises."""
        name = visible(source.name)
        head, broken = _read_fully(source, _HEAD_BYTES)
        if not head:
            error = broken or InputError(
                "input-empty", "the file is empty", where=name, hint="collect it again; was the copy cut?"
            )
            kind = "unreadable" if broken else "empty"
            return ReadSource(name, kind, error=error, skipped=broken is None and not source.named)
        kinds = sniff(head)
        if kinds.whole:
            rest, broken = _read_fully(source, _WHOLE_BYTES + 1 - len(head)) if broken is None else (b"", broken)
            data = head + rest
            del head, rest
            if len(data) <= _WHOLE_BYTES:
                return self._whole(name, data, broken)
            message = f"more than {_WHOLE_BYTES // 1024**2} MiB of what looks like a certificate or a profile"
            if not kinds.text:
                error = InputError("input-too-large", message, where=name, hint="is it one?")
                return ReadSource(name, "unknown", error=error)
            return self._log(source, name, data, broken, notes=[f"{name}: {message}: read as a log only"])
        return self._log(source, name, head, broken)

    def _whole(self, name: str, data: bytes, broken: InputError | None) -> ReadSource:
        kinds = sniff(data)
        sha256 = hashlib.sha256(data).hexdigest()
        evidence: list[Evidence] = []
        notes: list[str] = []
        names: list[str] = []
        failed: InputError | None = None
        try:
            if kinds.profile:
                evidence, notes, kind = profile_evidence(data, name, sha256, self.witness)
            else:
                evidence, notes, kind = certificate_evidence(data, name, sha256, self.witness, self.issuers)
            names.append(kind)
        except InputError as error:
            failed = error
        if kinds.text:
            scan = self._scan()
            for block in _cut_up(data):
                scan.feed(block)
            records = scan.finish()
            evidence += [to_evidence(record, source=name, sha256=sha256, witness=self.witness) for record in records]
            names += sorted(scan.recognised)
        if failed is not None and not evidence:
            return ReadSource(name, "unreadable", error=broken or failed)
        if failed is not None:
            notes.append(f"{name}: {failed.message}")
        return ReadSource(name, ", ".join(names) or "text", tuple(evidence), tuple(notes), broken)

    def _scan(self) -> LogScan:
        return LogScan((*FORMATS, *([site_format(self.signatures)] if self.signatures else [])))

    def _log(
        self, source: EvidenceSource, name: str, head: bytes, broken: InputError | None, notes: Sequence[str] = ()
    ) -> ReadSource:
        scan = self._scan()
        digest: _Hash = hashlib.sha256()
        # Hashing lets go of the interpreter lock: it costs a second core, not the scan's time.
        hashing: Future[None] | None = None
        try:
            for block in _blocks(source, head, broken):
                if hashing is not None:
                    hashing.result()
                hashing = self._pool.submit(digest.update, block)
                scan.feed(block)
                if scan.looks_binary and not source.named:
                    return ReadSource(name, "binary", skipped=True)
        except InputError as ended:
            # What was read before it broke off is evidence all the same.
            broken = ended
        finally:
            if hashing is not None:
                hashing.result()
        records = scan.finish()
        sha256 = digest.hexdigest()
        if (scan.looks_binary or not scan.has_text) and not records:
            error = broken or InputError(
                "input-binary",
                "this is no text, and no certificate or profile",
                where=name,
                hint="hand over the log itself, or the archive that holds it",
            )
            return ReadSource(name, "binary", error=error, skipped=broken is None and not source.named)
        evidence = tuple(to_evidence(record, source=name, sha256=sha256, witness=self.witness) for record in records)
        many = {says: count for says, count in scan.counts.items() if count > sum(e.says == says for e in evidence)}
        notes = [*notes, *(f"{name}: {count} times {says}; {_KEPT}" for says, count in sorted(many.items()))]
        if scan.recognised and not records:
            notes.append(f"{name}: {', '.join(sorted(scan.recognised))}, without any line about recovery registration")
        return ReadSource(name, ", ".join(sorted(scan.recognised)) or "text", evidence, tuple(notes), broken)


def _blocks(source: EvidenceSource, head: bytes, broken: InputError | None) -> Iterator[bytes]:
    yield from _cut_up(head)
    if broken is not None:
        raise broken
    while block := source.stream.read(_BLOCK_BYTES):
        yield block


def _cut_up(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _BLOCK_BYTES):
        yield data[start : start + _BLOCK_BYTES]


def _read_fully(source: EvidenceSource, size: int) -> tuple[bytes, InputError | None]:
    """Return up to so many bytes, and what ended the stream before its time."""
    parts: list[bytes] = []
    try:
        while size > 0 and (part := source.stream.read(size)):
            parts.append(part)
            size -= len(part)
    except InputError as error:
        return b"".join(parts), error
    return b"".join(parts), None
