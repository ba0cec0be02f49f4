"""Scans a log of any size for the known records, in one pass and bounded memory.

Each block is squeezed (white space, NULs, ``>`` and backslashes deleted, all at C speed) and searched for the formats'
anchors; only the lines or windows around an anchor are repaired and read. Squeezing makes the search blind to how a
record was wrapped, quoted or encoded, so pasted text and a raw log take the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.inert import visible
from scepfix.parsers import (
    macos_device_access_log,
    okta_system_log,
    okta_verify_log,
    windows_device_access_log,
    windows_event_log,
)
from scepfix.parsers.encoding import UTF8, Encoding, detect
from scepfix.parsers.repair import squeeze
from scepfix.parsers.sighting import LogFormat, Sighting, instant

FORMATS: tuple[LogFormat, ...] = (
    macos_device_access_log.FORMAT,
    windows_device_access_log.FORMAT,
    okta_verify_log.FORMAT,
    windows_event_log.FORMAT,
    okta_system_log.FORMAT,
)
#: How much of the start is judged for encoding and format.
HEAD_BYTES = 64 * 1024
#: No record is longer than this as stored (UTF-16, JSON-escaped, HTML-escaped).
_RECORD_BYTES = 16 * 1024
#: Read on both sides of an anchor where the record is not one clean line.
_CONTEXT_BYTES = 4 * 1024
_SEGMENT_BYTES = 32 * 1024
#: Also the bytes of a UTF-8 non-breaking space: some anchors hold white space in the log.
_DELETED = b" \t\r\n\v\f\0>\\\xc2\xa0"
#: Kept of each kind: the first ones, the last ones by place, and the last ones by time. A log may hold a million.
_KEEP_FIRST, _KEEP_LAST = 3, 20
LONGEST_QUOTE = 4096
#: A whole macOS record that nobody has touched: the common case of a raw log, read without repair.
_CLEAN_LINE = re.compile(
    r"(?:(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d):(\d{3}) ([+-])(\d\d)(\d\d) )?"
    r'(\{(?:[^\x00-\x7f]{1,4} )?"[A-Za-z-]+": \{"message": "[\x20-\x5b\x5d-\x7e]{1,2000}", '
    r'"defaultProperties": "", "location": "[\x20-\x7e]{1,200}:\d{1,6}"\}\})\r?'
)


@dataclass(frozen=True, slots=True)
class Record:
    """A known record with its place in the stored bytes; becomes Evidence once the source's hash is known."""

    line: int
    byte_offset: int
    quote: str
    sighting: Sighting


class LogScan:
    """Feed the stored bytes of one source in blocks, then call ``finish``."""

    def __init__(self, formats: Sequence[LogFormat] = FORMATS) -> None:
        self._formats = formats
        self._anchors = tuple(anchor for log_format in formats for anchor in log_format.anchors)
        self._encoding = Encoding(UTF8)
        self._head_seen = False
        self._buffer = b""
        self._buffer_at = 0
        self._owned_from = 0
        self._lines_before = 0
        self._kept: dict[str, _Kept] = {}
        self._clean_lines: dict[str, tuple[Sighting, ...]] = {}
        self.counts: dict[str, int] = {}
        self.recognised: set[str] = set()
        self.looks_binary = False

    def feed(self, block: bytes) -> None:
        """Given the next bytes of the source, read them. Blocks of about 1 MiB are best."""
        self._buffer = self._buffer + block if self._buffer else block
        if not self._head_seen:
            if len(self._buffer) < HEAD_BYTES:
                return
            self._look_at_head()
        if len(self._buffer) >= 4 * _RECORD_BYTES:
            self._scan(last=False)

    def finish(self) -> list[Record]:
        """Return the known records in the order of their places; of very many, the first and the latest of a kind."""
        if not self._head_seen:
            self._look_at_head()
        self._scan(last=True)
        records = {record.byte_offset: record for kept in self._kept.values() for record in kept.records()}
        return [records[offset] for offset in sorted(records)]

    def _look_at_head(self) -> None:
        self._head_seen = True
        head = self._buffer[:HEAD_BYTES]
        self._encoding = encoding = detect(head)
        self._buffer = self._buffer[encoding.mark_bytes :]
        self._buffer_at = self._owned_from = encoding.mark_bytes
        text = encoding.decode(head[encoding.mark_bytes :])
        odd = sum(
            1 for c in text if (c < " " and c not in "\t\n\r\f\x1b\0") or "\udc80" <= c <= "\udcff" or c == "\x7f"
        )
        zeros = text.count("\0")
        self.looks_binary = odd > 0.1 * max(1, len(text) - zeros) or zeros > 0.5 * max(1, len(text))
        squeezed = squeeze(text).text
        self.recognised = {log_format.name for log_format in self._formats if log_format.recognise(squeezed)}

    def _scan(self, *, last: bool) -> None:
        """Read what is in the buffer; a record that starts near its end is left for the next time, unless last."""
        buffer, base = self._buffer, self._buffer_at
        owned_to = len(buffer) if last else (len(buffer) - _RECORD_BYTES) // 2 * 2
        owned_from = self._owned_from - base
        counted, lines = owned_from, self._lines_before
        for start, record in self._records(buffer):
            if not owned_from <= start < owned_to:
                continue
            lines += self._newlines(buffer, counted, start)
            counted = start
            self._keep(replace(record, line=lines + 1, byte_offset=base + start))
        self._lines_before = lines + self._newlines(buffer, counted, owned_to)
        keep_from = max(0, owned_to - _RECORD_BYTES) if not last else owned_to
        self._buffer, self._buffer_at, self._owned_from = buffer[keep_from:], base + keep_from, base + owned_to

    def _newlines(self, buffer: bytes, start: int, end: int) -> int:
        if self._encoding.unit_bytes == 1:
            return buffer.count(b"\n", start, end)
        return self._encoding.decode(buffer[start:end]).count("\n")

    def _records(self, buffer: bytes) -> Iterator[tuple[int, Record]]:
        """Yield (offset in the buffer, record), in order."""
        done = 0
        hits = sorted(self._hits(buffer))
        index = 0
        while index < len(hits):
            hit = hits[index]
            index += 1
            if hit < done:
                continue
            line_start = buffer.rfind(b"\n", max(0, hit - _RECORD_BYTES), hit) + 1
            line_end = buffer.find(b"\n", hit, hit + _RECORD_BYTES)
            clean = self._clean(buffer[line_start:line_end]) if line_end >= 0 and line_start >= done else None
            if clean is not None:
                yield from ((line_start, record) for record in clean)
                done = line_end
                continue
            start, end = max(done, hit - _CONTEXT_BYTES), hit + _CONTEXT_BYTES
            while index < len(hits) and hits[index] < end:
                end = hits[index] + _CONTEXT_BYTES
                index += 1
            start -= start % self._encoding.unit_bytes
            end = min(len(buffer), end + end % self._encoding.unit_bytes)
            yield from self._window(buffer, start, end)
            done = end

    def _hits(self, buffer: bytes) -> set[int]:
        """Return where an anchor starts; exact for plain text, found through the squeezed bytes elsewhere."""
        squeezed = buffer.translate(None, _DELETED)
        hits: set[int] = set()
        segments: list[int] = []
        for anchor in self._anchors:
            found = list(_find_all(squeezed, anchor))
            if not found:
                continue
            plain = list(_find_all(buffer, anchor))
            if len(plain) != len(found):
                segments = segments or _squeezed_lengths(buffer)
                plain = [_unsqueezed(buffer, segments, at) for at in found]
            hits.update(plain)
        return hits

    def _clean(self, line: bytes) -> list[Record] | None:
        """Given a line, return its records if it is a whole clean macOS record, None if it must be read with care."""
        text = line.decode("utf-8", "replace")
        match = _CLEAN_LINE.fullmatch(text)
        if match is None:
            return None
        body = match[11]
        known = self._clean_lines.get(body)
        if known is None:
            squeezed = squeeze(body).text
            known = tuple(sighting for log_format in self._formats for sighting in log_format.read(squeezed))
            if len(self._clean_lines) < 1000:
                self._clean_lines[body] = known
        at = instant(match)
        return [Record(0, 0, _quote(text.rstrip("\r")), replace(sighting, observed_at=at)) for sighting in known]

    def _window(self, buffer: bytes, start: int, end: int) -> Iterator[tuple[int, Record]]:
        if self._encoding.unit_bytes == 1:
            start, end = _character_start(buffer, start), _character_start(buffer, end)
        text = self._encoding.decode(buffer[start:end])
        mapped = squeeze(text)
        found = [sighting for log_format in self._formats for sighting in log_format.read(mapped.text)]
        for sighting in sorted(found, key=lambda sighting: sighting.start):
            first, last = mapped.source_span(sighting.start, sighting.end)
            offset = start + self._encoding.encoded_length(text[:first])
            yield offset, Record(0, 0, _quote(text[first:last]), sighting)

    def _keep(self, record: Record) -> None:
        says = record.sighting.says
        self.counts[says] = self.counts.get(says, 0) + 1
        self._kept.setdefault(says, _Kept()).add(record)


class _Kept:
    """The first few records of a kind, the last by place and the last by time."""

    def __init__(self) -> None:
        self._first: list[Record] = []
        self._last: list[Record] = []
        self._latest: list[Record] = []

    def add(self, record: Record) -> None:
        if len(self._first) < _KEEP_FIRST:
            self._first.append(record)
            return
        self._last.append(record)
        if len(self._last) > 2 * _KEEP_LAST:
            self._settle()

    def records(self) -> list[Record]:
        self._settle()
        return self._first + self._latest + self._last

    def _settle(self) -> None:
        by_place = {
            record.byte_offset: record for record in (*self._latest, *self._last) if record.sighting.observed_at
        }
        self._latest = sorted(by_place.values(), key=_instant_of)[-_KEEP_LAST:]
        self._last = self._last[-_KEEP_LAST:]


def _instant_of(record: Record) -> datetime:
    return record.sighting.observed_at or datetime.min.replace(tzinfo=UTC)


def to_evidence(record: Record, *, source: str, sha256: str, witness: Witness) -> Evidence:
    """Given a record and what is known of its source, return the Evidence."""
    sighting = record.sighting
    return Evidence(
        witness=witness,
        source=source,
        says=sighting.says,
        line=record.line,
        byte_offset=record.byte_offset,
        sha256=sha256,
        observed_at=sighting.observed_at,
        quote=record.quote,
        facts=sighting.facts,
    )


def _find_all(data: bytes, word: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + len(word))


def _squeezed_lengths(buffer: bytes) -> list[int]:
    starts = range(0, len(buffer), _SEGMENT_BYTES)
    return [len(buffer[start : start + _SEGMENT_BYTES].translate(None, _DELETED)) for start in starts]


def _unsqueezed(buffer: bytes, segments: Sequence[int], at: int) -> int:
    """Given an index in the squeezed bytes and the segments' squeezed lengths, return the place in the buffer."""
    start = 0
    for length in segments:
        if at < length:
            break
        at -= length
        start += _SEGMENT_BYTES
    size = min(_SEGMENT_BYTES, len(buffer) - start)
    while size > 1:
        half = size // 2
        kept = len(buffer[start : start + half].translate(None, _DELETED))
        if at < kept:
            size = half
        else:
            at, start, size = at - kept, start + half, size - half
    return start


def _character_start(buffer: bytes, at: int) -> int:
    """Given a place in UTF-8 bytes, return the nearest start of a character at or before it (three bytes at most)."""
    for back in range(4):
        if at - back <= 0 or at - back >= len(buffer) or buffer[at - back] & 0xC0 != 0x80:
            return max(0, at - back)
    return at


def _quote(text: str) -> str:
    shown = visible(text[:LONGEST_QUOTE])
    return shown if len(text) <= LONGEST_QUOTE else f"{shown}… (cut after {LONGEST_QUOTE} characters)"
