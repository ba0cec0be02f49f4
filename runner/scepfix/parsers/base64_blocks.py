"""Certificates as base64 without BEGIN and END: pasted alone, one a line, or under certutil's headings.

================ Certificate 0 ================
MIIDFzCCAf+gAwIBAgIBATANBgkqhkiG9w0BAQsFADAt…
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.certificate_bundle import looks_like_der
from scepfix.parsers.der import DerError, element_at
from scepfix.parsers.pem import base64_bytes

#: A line of nothing but base64, quote marks and blanks before it aside. A last line may be short.
_LINE = re.compile(r"^[ \t>|]*([A-Za-z0-9+/]+={0,2})[ \t\r]*$", re.MULTILINE)
#: A DER SEQUENCE of 256 bytes or more begins so; a line within a blob does by chance once in 16 million.
_START = "MII"


def base64_blocks(text: str) -> Iterator[tuple[int, bytes]]:
    """Given text, yield (index in the text, bytes) of each stretch of base64 lines that decodes to a DER SEQUENCE."""
    lines: list[str] = []
    start, expected = 0, -1
    for match in _LINE.finditer(text):
        begins = match[1].startswith(_START)
        if lines and (match.start() != expected or (begins and _decoded(lines) is not None)):
            if body := _decoded(lines):
                yield start, body
            lines = []
        if lines or begins:
            if not lines:
                start = match.start(1)
            lines.append(match[1])
            expected = match.end() + 1
    if body := _decoded(lines):
        yield start, body


def _decoded(lines: list[str]) -> bytes | None:
    """Return the bytes if they begin with a whole DER element, else None."""
    try:
        body = base64_bytes("".join(lines))
        if not looks_like_der(body):
            return None
        element_at(body)
        return body
    except (ValueError, DerError):
        return None
