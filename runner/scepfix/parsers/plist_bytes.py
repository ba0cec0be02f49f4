"""Reads a property list (XML or binary) from anywhere into plain objects, or says why it cannot be."""

from __future__ import annotations

import plistlib
import struct
from collections.abc import Iterable

from scepfix.domain.errors import InputError
from scepfix.parsers.safe_xml import DEPTH_LIMIT, narrowed, walk_xml

BINARY_MAGIC = b"bplist00"
#: A configuration profile has some hundred objects, the list of a whole Mac some ten thousand.
_OBJECT_LIMIT = 1_000_000


def read_plist(data: bytes, where: str) -> object:
    """Given the bytes of an XML (UTF-8, UTF-16) or binary plist, return dict, list, str, int, … as plistlib does.

    Raise InputError when it is no plist, cut, declares entities, nests too deep, refers to itself or claims more
    than its bytes can hold. No part of the content goes into an error.
    """
    data = narrowed(data)
    binary = data.startswith(BINARY_MAGIC)
    if binary:
        _check_binary(data, where)
    elif walk_xml(data, where, doctype_allowed=True) != "plist":
        raise InputError("no-plist", "this is XML, but no property list", where=where, hint=_HINT)
    value: object = None
    try:
        value = plistlib.loads(data, fmt=plistlib.FMT_BINARY if binary else plistlib.FMT_XML)
        failed = False
    except Exception:
        # Whatever plistlib stumbles over (AttributeError on a bad date, RecursionError, struct.error, …) means the
        # same to the person, and its message may quote the content.
        failed = True
    if failed:
        raise InputError("plist-broken", "the property list is cut or broken", where=where, hint=_HINT)
    _check_tree(value, where)
    return value


_HINT = "export the profile again, whole and unedited"


def _check_binary(data: bytes, where: str) -> None:
    """Raise InputError where the objects claim more bytes than the file has.

    Objects of a binary plist may overlap: a few hundred arrays over the same bytes make plistlib build thousands
    of millions of entries from one megabyte. Honest writers never overlap, so the claims must fit into the file.
    Layout: Apple CFBinaryPList.c.
    """
    claimed = 0
    try:
        offset_size, reference_size, count, _, table = struct.unpack(">6xBBQQQ", data[-32:])
        if count > _OBJECT_LIMIT or count * offset_size > len(data):
            claimed = len(data) + 1
            count = 0
        for index in range(count):
            at = table + index * offset_size
            claimed += _claim(data, int.from_bytes(data[at : at + offset_size], "big"), reference_size)
    except (struct.error, IndexError):
        claimed = len(data) + 1
    if claimed > len(data):
        raise InputError("plist-broken", "the binary property list is cut or broken", where=where, hint=_HINT)


def _claim(data: bytes, offset: int, reference_size: int) -> int:
    kind, size = data[offset] >> 4, data[offset] & 0x0F
    if kind not in (0x4, 0x5, 0x6, 0xA, 0xD):
        return 1
    if size == 0x0F:
        width = 1 << (data[offset + 1] & 0x0F)
        size = int.from_bytes(data[offset + 2 : offset + 2 + width], "big")
    return 1 + size * {0x4: 1, 0x5: 1, 0x6: 2, 0xA: reference_size, 0xD: 2 * reference_size}[kind]


def _check_tree(value: object, where: str) -> None:
    """Raise InputError where the tree is deeper than DEPTH_LIMIT; an object within itself is endlessly deep."""
    entered: list[object] = [value]
    waiting = [iter(_children(value))]
    open_ids = {id(value)}
    done: set[int] = set()
    while waiting:
        child = next(waiting[-1], _END)
        if child is _END:
            waiting.pop()
            closed = id(entered.pop())
            open_ids.discard(closed)
            done.add(closed)
        elif isinstance(child, dict | list) and id(child) not in done:
            if id(child) in open_ids or len(waiting) >= DEPTH_LIMIT:
                raise InputError("plist-too-deep", "the property list nests too deep", where=where, hint=_HINT)
            entered.append(child)
            open_ids.add(id(child))
            waiting.append(iter(_children(child)))


_END = object()


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
