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
from functools import partial

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
#: At the start of a line, whatever ends lines.
_QUOTE_PREFIX = re.compile(r"(?<![^\r\n])[ \t\u00a0]*(?:>[ \t\u00a0]?)+")
_NULS = re.compile("\0+")
_JIRA = re.compile(r"\{(?:noformat|code)(?::[^}\n]{0,80})?\}")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_TAG = re.compile(
    r"</?(?:br|p|div|pre|code|span|tt|b|i|em|strong|blockquote|li|ul|ol|td|tr|font)(?:\s[^<>]{0,200})?/?>"
)
#: UTF-8 that was read as another encoding, for what stands in logs and pastes: Latin-1, punctuation, emoji.
_MOJIBAKE_LEADS = ((b"\xc2\xc3", 1), (b"\xe2\xef", 2), (b"\xf0", 3))
#: What is left of a closing quote whose last byte, undefined in Windows-1252, was dropped or replaced.
_LOST_QUOTE = re.compile("â€[?\ufffd]?")
#: What is left of a non-breaking space whose second character was taken for a blank.
_LOST_BLANK = re.compile(r"Â(?=\s)")
#: Quoted-printable (RFC 2045 section 6.7), as the source of a mail has it. "=3D" tells it: every "=" is written so.
_QUOTED_PRINTABLE = re.compile(r"=\r?\n|(?:=[0-9A-F]{2})+")
_JSON_ESCAPED = re.compile(
    r'\\(?:[\\nrtu/]|"(?:[A-Za-z]+-Management|API(?: error)?|message|location|defaultProperties|text)\\+")'
)
_JSON_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})')
_JSON_WHITE = {"n": "\n", "r": "\n", "t": " ", "b": " ", "f": " "}
#: From the end of one JSON string to the start of the next "text" value of an Atlassian Document (ADF).
_ADF_TEXT = re.compile(r'"text"\s*:\s*"')
_ADF_SEAM = re.compile(r'(?<!\\)"(?:[\s,:{}\[\]]++|"[^"\\\s]{0,300}+"|-?\d{1,9}|true|false|null){2,60}?"text"\s*:\s*"')
_ADF_BREAK = re.compile(r'"(?:paragraph|codeBlock|hardBreak|heading|blockquote|listItem|panel|tableCell|rule)"')
#: One character as it may be written in a page or a JSON string.
_WRITTEN = re.compile(r"\\{1,7}(?:u[0-9a-fA-F]{4}|.)|&(?:amp;){0,3}(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")


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


def written_end(original: str, start: int, end: int) -> int:
    """Given a span of the original text, return its end where the last character is written as an entity or escape."""
    last = _WRITTEN.match(original, max(start, end - 1))
    return last.end() if last else end


def squeeze(original: str) -> Mapped:
    """Given text as stored, return it repaired and without white space, mapped to the original characters.

    Undone, in this order: NULs, JSON escaping (up to three levels) and the seams of an Atlassian Document, HTML tags
    and entities (twice, for mail that was escaped twice), one level of mojibake, ``>`` quoting at any depth, Jira
    ``{noformat}`` / ``{code}`` marks, typographic quotes and dashes, controls and zero-width characters.
    """
    mapped = Mapped(original, list(range(len(original))))
    if "=3D" in original:
        mapped = mapped.replace(_QUOTED_PRINTABLE, _printable)
    if "\0" in original:
        # First of all, or one in the middle of an entity or an escape would keep it from being read.
        mapped = mapped.replace(_NULS)
    if "\\" in original or '"text"' in original:
        mapped = _without_json(mapped)
    for _ in range(2):
        if "<" in mapped.text:
            mapped = mapped.replace(_TAG, lambda match: "\n")
        if "&" in mapped.text:
            mapped = mapped.replace(_ENTITY, lambda match: html.unescape(match[0]))
    if not mapped.text.isascii():
        for pattern, byte_of in _MOJIBAKE:
            mapped = mapped.replace(pattern, partial(_without_mojibake, byte_of=byte_of))
        mapped = mapped.replace(_LOST_QUOTE, lambda match: '"').replace(_LOST_BLANK)
        mapped = Mapped(mapped.text.translate(_PLAIN).translate(_CP1252_SURROGATES), mapped.origin)
    if "\x1b" in mapped.text:
        mapped = mapped.replace(_ANSI)
    if ">" in mapped.text:
        mapped = mapped.replace(_QUOTE_PREFIX)
    return mapped.replace(_JIRA).replace(_SQUEEZED)


def _printable(match: re.Match[str]) -> str:
    return "" if match[0].endswith("\n") else bytes.fromhex(match[0].replace("=", "")).decode("utf-8", "replace")


def _without_json(mapped: Mapped) -> Mapped:
    """A document may be a string inside a webhook's body: take off one level of escaping, look for seams, go on."""
    for level in range(4):
        if _ADF_TEXT.search(mapped.text):
            mapped = mapped.replace(_ADF_SEAM, lambda match: "\n" if _ADF_BREAK.search(match[0]) else "")
        if level == 3 or not _JSON_ESCAPED.search(mapped.text):
            break
        mapped = mapped.replace(_JSON_ESCAPE, _json_character)
    return mapped


def _json_character(match: re.Match[str]) -> str:
    letter = match[0][1]
    if letter != "u":
        return _JSON_WHITE.get(letter, letter)
    units = b"".join(int(unit, 16).to_bytes(2, "big") for unit in match[0].split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _cp1252_characters(byte: int) -> str:
    """A C1 control stands for itself too: Latin-1 has them all, WHATWG's windows-1252 the five undefined ones."""
    return bytes([byte]).decode("cp1252", "ignore") + (chr(byte) if byte < 0xA0 else "")


def _mac_roman_characters(byte: int) -> str:
    return bytes([byte]).decode("mac_roman")


def _mojibake(characters: Callable[[int], str]) -> tuple[re.Pattern[str], dict[str, int]]:
    """Given what a byte was read as, return what matches a UTF-8 sequence read so, and the way back."""
    rest = "".join(characters(byte) for byte in range(0x80, 0xC0))
    leads = [("".join(map(characters, lead)), count) for lead, count in _MOJIBAKE_LEADS]
    pattern = re.compile("|".join(f"[{re.escape(lead)}][{re.escape(rest)}]{{{count}}}" for lead, count in leads))
    return pattern, {character: byte for byte in range(0x80, 0x100) for character in characters(byte)}


_MOJIBAKE = (_mojibake(_cp1252_characters), _mojibake(_mac_roman_characters))


def _without_mojibake(sequence: re.Match[str], byte_of: dict[str, int]) -> str:
    try:
        return bytes(byte_of[character] for character in sequence[0]).decode("utf-8")
    except UnicodeDecodeError:
        return sequence[0]


#: Lone surrogates of Encoding.decode, read as the Windows-1252 byte that they are.
_CP1252_SURROGATES = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace").translate(_PLAIN) for byte in range(0x80, 0x100)
}
