"""DER: one element at a time, by tag and length, for reading certificates that stricter readers refuse whole.

``cryptography`` reads a certificate all or nothing: one doubled extension or one odd name hides every other fact,
and it announces that it will refuse non-positive serial numbers. A person who holds such a certificate needs the
facts all the more, so they are read here, and the library is kept for what needs mathematics (rules/).

>>> [element.tag for element in children(bytes.fromhex("0201010500"))]
[2, 5]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OID = 0x01, 0x02, 0x03, 0x04, 0x06
SEQUENCE, SET, UTC_TIME, GENERALIZED_TIME = 0x30, 0x31, 0x17, 0x18


class DerError(ValueError):
    """These bytes are not the DER that was expected here."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its tag byte, its content, and the whole of it (tag, length and content)."""

    tag: int
    content: bytes
    whole: bytes


def element_at(data: bytes, start: int = 0) -> Element:
    """Given bytes and an offset, return the element there. Raise DerError when it is cut or not DER (ITU-T X.690)."""
    if start + 2 > len(data):
        raise DerError("cut")
    tag, length = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("tag of more than one byte")
    begin = start + 2
    if length >= 0x80:
        size_bytes = length - 0x80
        # 0x80 is BER's indefinite length; more than four bytes would be a length beyond 4 GiB.
        if not 1 <= size_bytes <= 4:
            raise DerError("length is not DER")
        length = int.from_bytes(data[begin : begin + size_bytes], "big")
        begin += size_bytes
    if begin + length > len(data):
        raise DerError("cut")
    return Element(tag, data[begin : begin + length], data[start : begin + length])


def children(content: bytes) -> Iterator[Element]:
    """Given the content of a constructed element, yield the elements in it. Raise DerError as ``element_at``."""
    start = 0
    while start < len(content):
        element = element_at(content, start)
        yield element
        start += len(element.whole)


def only(data: bytes, tag: int) -> Element:
    """Given bytes, return the one element that they are. Raise DerError when they are another, or more than one."""
    element = element_at(data)
    if element.tag != tag or len(element.whole) != len(data):
        raise DerError(f"expected one element of tag {tag:#04x}")
    return element


def integer(content: bytes) -> int:
    """Given the content of an INTEGER, return it. Raise DerError when it is empty."""
    if not content:
        raise DerError("empty INTEGER")
    return int.from_bytes(content, "big", signed=True)


def dotted(content: bytes) -> str:
    """Given the content of an OBJECT IDENTIFIER, return it dotted. Raise DerError when it is empty, cut or absurd."""
    # 64 bytes hold any OID in use; without a bound a hostile one costs time quadratic in its length.
    if not content or content[-1] & 0x80 or len(content) > 64:
        raise DerError("not an OBJECT IDENTIFIER")
    arcs: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))
