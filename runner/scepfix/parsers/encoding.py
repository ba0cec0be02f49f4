"""How a text file is encoded, judged from its first bytes: a byte-order mark is a claim, the bytes decide."""

from __future__ import annotations

import codecs
import contextlib
from dataclasses import dataclass

UTF8, UTF16_LE, UTF16_BE = "utf-8", "utf-16-le", "utf-16-be"
_MARKS = ((codecs.BOM_UTF8, UTF8), (codecs.BOM_UTF16_LE, UTF16_LE), (codecs.BOM_UTF16_BE, UTF16_BE))
_PRINTABLE = bytes([9, 10, 13, *range(32, 127)])
#: Share of NULs on one side of the byte pairs from which plain Latin text is taken for UTF-16.
_MOSTLY = 0.4
_HARDLY = 0.1


@dataclass(frozen=True, slots=True)
class Encoding:
    """``name`` is a Python codec; ``unit_bytes`` the size of a code unit; ``mark_bytes`` a mark to skip."""

    name: str
    unit_bytes: int = 1
    mark_bytes: int = 0

    def decode(self, data: bytes) -> str:
        """Given bytes that start at a code unit, return text; what is not this encoding survives as one character.

        In UTF-8 an invalid byte becomes a lone surrogate (PEP 383), so that ``encoded_length`` counts it as one byte.
        """
        if self.unit_bytes == 1:
            return data.decode("utf-8", "surrogateescape")
        # surrogatepass keeps lone surrogates, so that text and bytes stay in step; only an odd last byte is left out.
        return data[: len(data) // 2 * 2].decode(self.name, "surrogatepass")

    def encoded_length(self, text: str) -> int:
        """Given text from ``decode``, return how many stored bytes it took."""
        if self.unit_bytes == 1:
            return len(text.encode("utf-8", "surrogateescape"))
        return len(text.encode(self.name, "surrogatepass"))


def detect(head: bytes) -> Encoding:
    """Given the first bytes of a file (a few KB are enough), return its encoding.

    UTF-16 without a mark is told by NULs on one side of the byte pairs. A mark that the following bytes contradict
    (UTF-16 mark before single-byte text, UTF-8 mark before UTF-16, the mark of the other byte order) is skipped
    and otherwise ignored.
    """
    mark, claimed = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", UTF8))
    body = head[len(mark) :]
    seen = _by_zeros(body)
    if seen == UTF8 and claimed != UTF8 and not _is_single_byte_text(body):
        seen = claimed
    return Encoding(seen, 1 if seen == UTF8 else 2, len(mark))


def _by_zeros(body: bytes) -> str:
    pairs = len(body) // 2
    if pairs < 2:
        return UTF8
    first, second = body[::2], body[1::2]
    zero_first, zero_second = first.count(0) / len(first), second.count(0) / len(second)
    if zero_second > _MOSTLY and zero_first < _HARDLY:
        return UTF16_LE
    if zero_first > _MOSTLY and zero_second < _HARDLY:
        return UTF16_BE
    return UTF8


def _is_single_byte_text(body: bytes) -> bool:
    """UTF-16 read as bytes has no reason to be valid UTF-8 without a NUL, or to be nearly all printable ASCII."""
    sample = body[:4096]
    if not sample:
        return False
    if 0 not in sample:
        with contextlib.suppress(UnicodeDecodeError):
            codecs.getincrementaldecoder("utf-8")().decode(sample)
            return True
    return len(sample.translate(None, _PRINTABLE)) / len(sample) < 0.2
