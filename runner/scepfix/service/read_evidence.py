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

_BLOCK_BYTES = 1024 * 1024
_HEAD_BYTES = 64 * 1024
#: Certificates and profiles are read whole; nothing of the kind is larger.
_WHOLE_BYTES = 32 * 1024 * 1024
_KEPT = "only the first and the latest of each kind are kept as evidence"


@dataclass(frozen=True, slots=True)
class ReadSource:
    """What came of one stream. ``kind`` says what it was; ``error`` why it could not be read."""

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
    """Reads streams as one witness, for one device if it was named."""

    witness: Witness
    signatures: Sequence[Signature] = ()
    issuers: Sequence[Certificate] = ()
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))

    def read(self, source: EvidenceSource) -> ReadSource:
        """Given an opened stream, return its evidence; what the bytes are never raises, the system's errors pass."""
        name = visible(source.name)
        head = _read_fully(source, _HEAD_BYTES)
        if not head:
            error = InputError(
                "input-empty", "the file is empty", where=name, hint="collect it again; was the copy cut?"
            )
            return ReadSource(name, "empty", error=error, skipped=not source.named)
        kinds = sniff(head)
        if kinds.whole:
            return self._whole(source, name, head)
        return self._log(source, name, head, only_text=not source.named)

    def _whole(self, source: EvidenceSource, name: str, head: bytes) -> ReadSource:
        data = head + _read_fully(source, _WHOLE_BYTES + 1 - len(head))
        if len(data) > _WHOLE_BYTES:
            message = f"more than {_WHOLE_BYTES // 1024**2} MiB of what looks like a certificate or a profile"
            return ReadSource(
                name, "unknown", error=InputError("input-too-large", message, where=name, hint="is it one?")
            )
        kinds = sniff(data)
        sha256 = hashlib.sha256(data).hexdigest()
        evidence: list[Evidence] = []
        notes: list[str] = []
        names: list[str] = []
        failed: InputError | None = None
        if kinds.profile:
            try:
                found, said, kind = profile_evidence(data, name, sha256, self.witness)
                evidence, notes, names = [*evidence, *found], [*notes, *said], [kind]
            except InputError as error:
                failed = error
        elif kinds.certificates:
            try:
                found, said, kind = certificate_evidence(data, name, sha256, self.witness, self.issuers)
                evidence, notes, names = [*evidence, *found], [*notes, *said], [kind]
            except InputError as error:
                failed = error
        if kinds.text:
            scan = self._scan()
            scan.feed(data)
            records = scan.finish()
            evidence += [to_evidence(record, source=name, sha256=sha256, witness=self.witness) for record in records]
            names += sorted(scan.recognised)
        if failed is not None and not evidence:
            return ReadSource(name, "unreadable", error=failed)
        if failed is not None:
            notes.append(f"{name}: {failed.message}")
        return ReadSource(name, ", ".join(names) or "text", tuple(evidence), tuple(notes))

    def _scan(self) -> LogScan:
        return LogScan((*FORMATS, *([site_format(self.signatures)] if self.signatures else [])))

    def _log(self, source: EvidenceSource, name: str, head: bytes, *, only_text: bool) -> ReadSource:
        scan = self._scan()
        digest: _Hash = hashlib.sha256()
        # Hashing lets go of the interpreter lock: it costs a second core, not the scan's time.
        hashing: Future[None] | None = None
        for block in _blocks(source, head):
            if hashing is not None:
                hashing.result()
            hashing = self._pool.submit(digest.update, block)
            scan.feed(block)
            if only_text and scan.looks_binary:
                hashing.result()
                return ReadSource(name, "binary", skipped=True)
        if hashing is not None:
            hashing.result()
        records = scan.finish()
        sha256 = digest.hexdigest()
        if scan.looks_binary and not records:
            error = InputError(
                "input-binary",
                "this is no text, and no certificate or profile",
                where=name,
                hint="hand over the log itself, or the archive that holds it",
            )
            return ReadSource(name, "binary", error=error, skipped=only_text)
        evidence = tuple(to_evidence(record, source=name, sha256=sha256, witness=self.witness) for record in records)
        many = {says: count for says, count in scan.counts.items() if count > sum(e.says == says for e in evidence)}
        notes = [f"{name}: {count} times {says}; {_KEPT}" for says, count in sorted(many.items())]
        if scan.recognised and not records:
            notes.append(f"{name}: {', '.join(sorted(scan.recognised))}, without any line about recovery registration")
        return ReadSource(name, ", ".join(sorted(scan.recognised)) or "text", evidence, tuple(notes))


def _blocks(source: EvidenceSource, head: bytes) -> Iterator[bytes]:
    yield head
    while block := source.stream.read(_BLOCK_BYTES):
        yield block


def _read_fully(source: EvidenceSource, size: int) -> bytes:
    parts: list[bytes] = []
    while size > 0 and (part := source.stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
