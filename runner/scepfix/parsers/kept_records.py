"""Known records of a log, and which of a million of them are kept: memory stays bounded, the latest is never lost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from scepfix.parsers.sighting import Sighting

#: Kept of each kind: the first ones, the last ones by place, and the last ones by time.
_KEEP_FIRST, _KEEP_LAST = 3, 20


@dataclass(frozen=True, slots=True)
class Record:
    """A known record with its place in the stored bytes; becomes Evidence once the source's hash is known."""

    line: int
    byte_offset: int
    quote: str
    sighting: Sighting


class KeptRecords:
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
