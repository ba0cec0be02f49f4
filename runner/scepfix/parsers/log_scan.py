"""Scans a log of any size for the known records, in one pass and bounded memory.

Each block is squeezed (all but telling letters and digits deleted, at C speed) and searched for the formats' anchors,
squeezed alike; only the lines or windows around an anchor are repaired and read. Squeezing makes the search blind to
how a record was wrapped, quoted or encoded, so pasted text and a raw log take the same way.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

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
from scepfix.parsers.kept_records import KeptRecords, Record
from scepfix.parsers.repair import squeeze, written_end
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
#: Of one read; repairing costs about a hundred bytes of memory for each byte.
_WINDOW_BYTES = 64 * 1024
#: How finely a place in the squeezed bytes is looked up in the stored ones.
_GRAIN_BYTES = 512
#: What the search for anchors leaves out, of the log and of the anchors alike: white space, controls, punctuation, all
#: that is not ASCII, and then the commonest letters and digits, which tell least. A quarter of the bytes finds as much
#: as all, as long as each anchor keeps _TELLING of its own; a site's anchor may not, and then less is left out.
_NO_WORD = bytes(byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128))
_LEFT_OUT = (_NO_WORD + b"aeiou246789tnlrshf", _NO_WORD + b"aeiou246789", _NO_WORD)
_TELLING = 4
LONGEST_QUOTE = 4096
#: A whole macOS record that nobody has touched: the common case of a raw log, read without repair.
_CLEAN_LINE = re.compile(
    r"(?:(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d):(\d{3}) ([+-])(\d\d)(\d\d) )?"
    r'(\{(?:[^\x00-\x7f]{1,4})? ?"[A-Za-z-]+": \{"message": "[\x20-\x7e]{1,2000}", '
    r'"defaultProperties": "", "location": "[\x20-\x7e]{1,200}:\d{1,6}"\}\})\r?'
)


class LogScan:
    """Feed the stored bytes of one source in blocks, then call ``finish``."""

    def __init__(self, formats: Sequence[LogFormat] = FORMATS) -> None:
        self._formats = formats
        anchors = [anchor for log_format in formats for anchor in log_format.anchors]
        self._left_out = next(
            (out for out in _LEFT_OUT if all(len(one.translate(None, out)) >= _TELLING for one in anchors)), _NO_WORD
        )
        self._anchors = tuple((anchor, anchor.translate(None, self._left_out)) for anchor in anchors)
        self._encoding = Encoding(UTF8)
        self._head_seen = False
        self._buffer = b""
        self._buffer_at = 0
        self._owned_from = 0
        self._lines_before = 0
        self._kept: dict[str, KeptRecords] = {}
        self._clean_lines: dict[str, tuple[Sighting, ...]] = {}
        self.counts: dict[str, int] = {}
        self.recognised: set[str] = set()
        self.looks_binary = False
        self.has_text = False

    def feed(self, block: bytes) -> None:
        """Given the next bytes of the source, read them. Blocks of about 1 MiB are best."""
        self.has_text = self.has_text or bool(block.strip(b"\0"))
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
        # Two formats may know the same record: a site's signature stands in a line that has a meaning of its own.
        records = {(record.byte_offset, says): record for says, kept in self._kept.items() for record in kept.records()}
        return [records[place] for place in sorted(records)]

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
        # NULs say nothing: a log cut off in place while it is written to begins with as many as were cut.
        self.looks_binary = odd > 0.1 * max(1, len(text) - zeros)
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
        hits = self._hits(buffer)
        index, read_to = 0, 0
        while index < len(hits):
            hit, exact = hits[index]
            index += 1
            if hit < read_to:
                continue
            line = self._clean_line(buffer, hit, read_to) if exact else None
            if line is not None:
                line_start, read_to, clean = line
                yield from ((line_start, record) for record in clean)
                continue
            # Where the surroundings of two anchors touch, they are read in one go: what lies between may be a record's
            # beginning. A clean line begins and ends its own record, so nothing reaches into it.
            start, end = max(read_to, hit - _CONTEXT_BYTES), hit + _CONTEXT_BYTES
            while index < len(hits) and hits[index][0] - _CONTEXT_BYTES < end:
                line = self._clean_line(buffer, hits[index][0], hit) if hits[index][1] else None
                if line is not None:
                    end = line[0]
                    break
                end = hits[index][0] + _CONTEXT_BYTES
                index += 1
            read_to = min(len(buffer), end)
            yield from self._stretch(buffer, start, read_to)

    def _stretch(self, buffer: bytes, start: int, end: int) -> Iterator[tuple[int, Record]]:
        """Read a stretch in windows that overlap; a record belongs to the window in whose own part it starts."""
        unit = self._encoding.unit_bytes
        for own in range(start, end, _WINDOW_BYTES):
            own_end = min(end, own + _WINDOW_BYTES)
            first, last = max(start, own - _RECORD_BYTES), min(end, own_end + _RECORD_BYTES)
            first, last = first // unit * unit, min(len(buffer), -(-last // unit) * unit)
            for at, record in self._window(buffer, first, last):
                if own <= at < own_end:
                    yield at, record

    def _hits(self, buffer: bytes) -> list[tuple[int, bool]]:
        """Return where an anchor stands, in order: exactly (True) in plain text, else about where it starts.

        What was wrapped, quoted or encoded is found through the squeezed bytes.
        """
        squeezed = buffer.translate(None, self._left_out)
        exact: set[int] = set()
        about: set[int] = set()
        grains: list[int] = []
        for anchor, skeleton in self._anchors:
            found = list(_find_all(squeezed, skeleton))
            if not found:
                continue
            plain = list(_find_all(buffer, anchor))
            exact.update(plain)
            if len(plain) != len(found):
                grains = grains or _squeezed_lengths(buffer, self._left_out)
                known = {_squeezed_place(buffer, grains, at, self._left_out) for at in plain}
                about.update(bisect_right(grains, at) - 1 for at in found if at not in known)
        hits = [(at, True) for at in exact] + [(grain * _GRAIN_BYTES, False) for grain in about]
        return sorted(hits)

    def _clean_line(self, buffer: bytes, hit: int, after: int) -> tuple[int, int, list[Record]] | None:
        """Return start and end of the line around an anchor, and its records, if it is clean and starts after that."""
        end = buffer.find(b"\n", hit, hit + _RECORD_BYTES)
        start = buffer.rfind(b"\n", max(0, hit - _RECORD_BYTES), hit) + 1
        if end < 0 or start < after:
            return None
        records = self._clean(buffer[start:end])
        return None if records is None else (start, end, records)

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
        offset, counted = start, 0
        for sighting in sorted(found, key=lambda sighting: sighting.start):
            first, last = mapped.source_span(sighting.start, sighting.end)
            offset += self._encoding.encoded_length(text[counted:first])
            counted = first
            yield offset, Record(0, 0, _quote(text[first : written_end(text, first, last)]), sighting)

    def _keep(self, record: Record) -> None:
        says = record.sighting.says
        self.counts[says] = self.counts.get(says, 0) + 1
        self._kept.setdefault(says, KeptRecords()).add(record)


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


def _squeezed_lengths(buffer: bytes, left_out: bytes) -> list[int]:
    """Return, for each grain of the buffer, how many squeezed bytes lie before it."""
    starts = range(0, len(buffer), _GRAIN_BYTES)
    lengths = [len(buffer[start : start + _GRAIN_BYTES].translate(None, left_out)) for start in starts]
    return [0, *accumulate(lengths[:-1])]


def _squeezed_place(buffer: bytes, grains: Sequence[int], at: int, left_out: bytes) -> int:
    grain = at // _GRAIN_BYTES
    return grains[grain] + len(buffer[grain * _GRAIN_BYTES : at].translate(None, left_out))


def _character_start(buffer: bytes, at: int) -> int:
    """Given a place in UTF-8 bytes, return the nearest start of a character at or before it (three bytes at most)."""
    for back in range(4):
        if at - back <= 0 or at - back >= len(buffer) or buffer[at - back] & 0xC0 != 0x80:
            return max(0, at - back)
    return at


def _quote(text: str) -> str:
    shown = visible(text[:LONGEST_QUOTE])
    return shown if len(text) <= LONGEST_QUOTE else f"{shown}… (cut after {LONGEST_QUOTE} characters)"
