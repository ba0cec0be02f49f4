"""Inert text: how a string from a certificate, a log or a file name is shown without acting on the terminal."""

from __future__ import annotations

import re
import unicodedata

#: Everything but printable ASCII, which is nearly all of nearly every text and is passed over at C speed.
_TO_LOOK_AT = re.compile(r"[^\x20-\x7e]")

#: Zs is drawn as blank space, yet only these two are what a reader expects a blank to be.
_PLAIN_BLANKS = frozenset(" \u00a0")
#: Categories that move the cursor, reorder, join, hide or cannot be encoded: controls, formats (bidi,
#: zero-width, tags), surrogates, private use, unassigned, line and paragraph separators.
_ACTIVE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: Letters and marks by category that nevertheless draw nothing (Unicode Default_Ignorable_Code_Point).
_INVISIBLE_RANGES = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)


def visible(text: str) -> str:
    """Given foreign text, return it on one line with every active character spelled out.

    C0 controls and DEL become their control pictures (ESC -> U+241B), every other control, format,
    bidi, zero-width, separator, surrogate or unassigned character becomes ``\\u{hex}``. Newlines and
    tabs are controls too. Never raises; the result is printable, can be encoded as UTF-8, and passing
    it through again changes nothing. Templates and markup (``{{ }}``, ``<b>``) stay as they are: they
    are text, and whoever renders a page escapes it there.
    """
    return _TO_LOOK_AT.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    point = ord(character)
    if point < 0x20:
        return chr(0x2400 + point)
    if point == 0x7F:
        return "\u2421"
    category = unicodedata.category(character)
    odd_blank = category == "Zs" and character not in _PLAIN_BLANKS
    hidden = any(first <= point <= last for first, last in _INVISIBLE_RANGES)
    return f"\\u{{{point:x}}}" if category in _ACTIVE or odd_blank or hidden else character
