"""Every public line, through everything that happens to pasted text: the same evidence, in its place."""

from __future__ import annotations

import pytest
from tests.parsers.pasted_logs import (
    BYTES,
    LINES,
    TEXTS,
    Line,
    assert_in_place,
    codec_of,
    conversation,
    scanned,
)

KNOWN = [line for line in LINES if line.says]


def assert_begins(quote: str, line: Line) -> None:
    assert quote.replace("␀", "").startswith(line.begins)


@pytest.mark.parametrize("encoding", BYTES)
@pytest.mark.parametrize("change", TEXTS)
def test_a_conversation(change: str, encoding: str) -> None:
    data = BYTES[encoding](TEXTS[change](conversation(LINES)))
    codec, mark = codec_of(encoding)

    records = scanned(data)

    assert [(r.sighting.says, r.sighting.observed_at) for r in records] == [(k.says, k.observed_at) for k in KNOWN]
    assert_in_place(data, records, codec, mark)
    for record, line in zip(records, KNOWN, strict=True):
        assert_begins(record.quote, line)


@pytest.mark.parametrize("change", TEXTS)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_one_line_alone(line: Line, change: str) -> None:
    data = TEXTS[change](line.text).encode()

    records = scanned(data)

    assert [(r.sighting.says, r.sighting.observed_at) for r in records] == (
        [(line.says, line.observed_at)] if line.says else []
    )
    assert_in_place(data, records)


@pytest.mark.parametrize("encoding", BYTES)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_one_line_in_each_encoding(line: Line, encoding: str) -> None:
    data = BYTES[encoding](line.text + "\n")
    codec, mark = codec_of(encoding)

    records = scanned(data)

    assert [(r.sighting.says, r.sighting.observed_at) for r in records] == (
        [(line.says, line.observed_at)] if line.says else []
    )
    assert_in_place(data, records, codec, mark)
