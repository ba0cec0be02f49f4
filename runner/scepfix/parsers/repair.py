"""Undoes what tickets, mail and chat do to pasted log lines, and keeps the way back to the original characters.

Each repair is harmless to a raw log line. The result is *squeezed*: all white space is gone, so that a line wrapped
between words or inside one reads the same as the line in the log. Signatures are written without white space.

>>> squeeze('&gt; {&quot;Recovery-Manage\\n&gt; ment&quot;: {').text
'{"Recovery-Management":{'
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

#: Curly and other quotes, dashes and hyphens that editors put in place of the ASCII ones.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("“”„‟″«»＂", '"'),
        **dict.fromkeys("‘’‚‛′‹›＇", "'"),
        **dict.fromkeys("‐‑‒–—―−﹣－", "-"),
        "：": ":",
    }
)
#: White space of any kind, NUL and other controls, zero-width and soft characters, and the backslashes of escaping.
_SQUEEZED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\\\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+")
_ANSI = re.compile(r"\x1b\[[0-9;]{0,16}[A-Za-z]")
_QUOTE_PREFIX = re.compile(r"^[ \t\u00a0]*(?:>[ \t\u00a0]?)+", re.MULTILINE)
_JIRA = re.compile(r"\{(?:noformat|code)(?::[^}\n]{0,80})?\}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_TAG = re.compile(
    r"</?(?:br|p|div|pre|code|span|tt|b|i|em|strong|blockquote|li|ul|ol|td|tr|font)(?:\s[^<>]{0,200})?/?>"
)
_HIGH_RUN = re.compile(r"[\x80-\uffff]{2,}")
_JSON_ESCAPED = re.compile(r'\\+"(?:[A-Za-z]+-Management|API(?: error)?|message|location|defaultProperties)\\+"')
_JSON_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_JSON_WHITE = {"n": "\n", "r": "\n", "t": " ", "b": " ", "f": " "}
#: From the end of one JSON string to the start of the next "text" value of an Atlassian Document (ADF).
_ADF_TEXT = re.compile(r'"text"\s*:\s*"')
_ADF_SEAM = re.compile(
    r'(?<!\\)"(?:[\s,:{}\[\]]++|"[A-Za-z][A-Za-z0-9_-]{0,40}"|-?\d{1,9}|true|false|null){2,60}?"text"\s*:\s*"'
)
_ADF_BREAK = re.compile(r'"(?:paragraph|codeBlock|hardBreak|heading|blockquote|listItem|panel|tableCell|rule)"')


@dataclass(frozen=True, slots=True)
class Mapped:
    """Text with, for each character, the index of the original character it came from."""

    text: str
    origin: list[int]

    def replace(self, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str] | None = None) -> Mapped:
        """Return a copy with every match replaced (deleted without ``new``); new text maps to the match's start."""
        parts: list[str] = []
        origin: list[int] = []
        last = 0
        for match in pattern.finditer(self.text):
            start, end = match.span()
            parts.append(self.text[last:start])
            origin += self.origin[last:start]
            if new is not None and (text := new(match)):
                parts.append(text)
                origin += [self.origin[start]] * len(text)
            last = end
        if not last:
            return self
        parts.append(self.text[last:])
        origin += self.origin[last:]
        return Mapped("".join(parts), origin)

    def source_span(self, start: int, end: int) -> tuple[int, int]:
        """Given a non-empty span of this text, return the span of the original text it covers."""
        return self.origin[start], self.origin[end - 1] + 1


def squeeze(original: str) -> Mapped:
    """Given text as stored, return it repaired and without white space, mapped to the original characters.

    Undone, in this order: JSON escaping (up to three levels) and the seams of an Atlassian Document, HTML tags and
    entities (twice, for mail that was escaped twice), one level of mojibake, ``>`` quoting at any depth, Jira
    ``{noformat}`` / ``{code}`` marks, typographic quotes and dashes, NULs, controls and zero-width characters.
    """
    mapped = Mapped(original, list(range(len(original))))
    if "\\" in original or '"text"' in original:
        mapped = _without_json(mapped)
    for _ in range(2):
        if "<" in mapped.text:
            mapped = mapped.replace(_TAG, lambda match: "\n")
        if "&" in mapped.text:
            mapped = mapped.replace(_ENTITY, lambda match: html.unescape(match[0]))
    if not mapped.text.isascii():
        mapped = mapped.replace(_HIGH_RUN, lambda match: _without_mojibake(match[0]))
        mapped = Mapped(mapped.text.translate(_PLAIN).translate(_CP1252_SURROGATES), mapped.origin)
    if "\x1b" in mapped.text:
        mapped = mapped.replace(_ANSI)
    if ">" in mapped.text:
        mapped = mapped.replace(_QUOTE_PREFIX)
    return mapped.replace(_JIRA).replace(_SQUEEZED)


def _without_json(mapped: Mapped) -> Mapped:
    if _ADF_TEXT.search(mapped.text):
        mapped = mapped.replace(_ADF_SEAM, lambda match: "\n" if _ADF_BREAK.search(match[0]) else "")
    for _ in range(3):
        if not _JSON_ESCAPED.search(mapped.text):
            break
        mapped = mapped.replace(_JSON_ESCAPE, _json_character)
    return mapped


def _json_character(match: re.Match[str]) -> str:
    letter = match[0][1]
    if letter == "u":
        return chr(int(match[0][2:], 16))
    return _JSON_WHITE.get(letter, letter)


def _without_mojibake(run: str) -> str:
    """Given non-ASCII characters, return what they stand for if UTF-8 was read as another encoding, else the same."""
    for encode in (_as_cp1252, _as_mac_roman):
        try:
            return encode(run).decode("utf-8")
        except ValueError:
            continue
    return run


def _as_cp1252(run: str) -> bytes:
    # The five bytes that Windows-1252 leaves undefined come through as C1 controls (WHATWG windows-1252).
    return b"".join(bytes([ord(c)]) if "\x80" <= c <= "\x9f" else c.encode("cp1252") for c in run)


def _as_mac_roman(run: str) -> bytes:
    return run.encode("mac_roman")


#: Lone surrogates of Encoding.decode, read as the Windows-1252 byte that they are.
_CP1252_SURROGATES = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace").translate(_PLAIN) for byte in range(0x80, 0x100)
}
