"""PEM: the armoured blocks in any text (RFC 7468), as tickets, mails and chats mangle it.

Accepted beside the standard form: text around the blocks, CRLF, quote marks (``> ``) and blanks before each line,
all on one line, and line ends written out as ``\\n``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN = re.compile(r"-----BEGIN ([A-Z0-9#. ]{1,40})-----")
_QUOTE_MARKS = re.compile(r"^[\s>|]+", re.MULTILINE)
#: ``Proc-Type: 4,ENCRYPTED`` and other headers of RFC 1421 stand before the data.
_HEADER = re.compile(r"^[A-Za-z-]+:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PemBlock:
    """One block. ``body`` is None where ``trouble`` says why; ``start`` and ``end`` are indexes in the text."""

    label: str
    body: bytes | None
    start: int
    end: int
    trouble: str = ""

    @property
    def is_private_key(self) -> bool:
        return "PRIVATE KEY" in self.label


def pem_blocks(text: str) -> Iterator[PemBlock]:
    """Given text, yield its blocks in order, private keys without their body.

    Reads the text once: a BEGIN ends the block before it, so a cut block costs itself and not its neighbour.
    """
    begins = list(_BEGIN.finditer(text))
    limits = [*(match.start() for match in begins[1:]), len(text)]
    for match, limit in zip(begins, limits, strict=False):
        label = match[1].strip()
        footer = f"-----END {label}-----"
        stop = text.find(footer, match.end(), limit)
        if stop < 0:
            yield PemBlock(label, None, match.start(), limit, f"there is no line {footer}: cut?")
            continue
        block = PemBlock(label, None, match.start(), stop + len(footer))
        yield block if block.is_private_key else _decoded(block, text[match.end() : stop])


def base64_bytes(text: str) -> bytes:
    """Given base64 with any white space in it, return the bytes. Raise ValueError when it is not base64, or cut."""
    return base64.b64decode("".join(text.split()), validate=True)


def _decoded(block: PemBlock, armoured: str) -> PemBlock:
    plain = armoured.replace("\\r", "").replace("\\n", "\n")
    try:
        body = base64_bytes(_HEADER.sub("", _QUOTE_MARKS.sub("", plain)))
    except (binascii.Error, ValueError):
        return PemBlock(block.label, None, block.start, block.end, "what is in it is not base64: cut or edited?")
    if not body:
        return PemBlock(block.label, None, block.start, block.end, "there is nothing in it")
    return PemBlock(block.label, body, block.start, block.end)
