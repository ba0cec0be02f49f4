"""X.509 names: a Name as an RFC 4514 string, and a SubjectAltName as a list; both inert on a terminal."""

from __future__ import annotations

import ipaddress

from scepfix.domain.inert import visible
from scepfix.parsers.der import OID, SEQUENCE, SET, DerError, Element, children, dotted, element_at, only

COMMON_NAME_OID = "2.5.4.3"
#: RFC 4514 section 3, then descriptors of the IANA LDAP registry that certificates of devices and people use.
_SHORT_NAMES = {
    COMMON_NAME_OID: "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.12": "title",
    "2.5.4.13": "description",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_TEXT_CODECS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1E: "utf-16-be",
    0x1C: "utf-32-be",
}


def name(whole: bytes) -> str:
    """Given a Name's DER, return it as RFC 4514 (last part first). Raise DerError when it is no Name.

    Characters that could act on a terminal are written as RFC 4514 hex pairs of their UTF-8 (``\\1B``), as openssl
    does; a value that is no readable text as ``#`` and the hex of its DER.
    """
    parts = ["+".join(_part(pair) for pair in children(one.content)) for one in _relative_names(whole)]
    return ",".join(reversed(parts))


def common_names(whole: bytes) -> tuple[str, ...]:
    """Given a Name's DER, return the values of its common names in their order, control characters made visible."""
    values = [
        _text(value)
        for one in _relative_names(whole)
        for kind, value in map(_pair, children(one.content))
        if kind == COMMON_NAME_OID
    ]
    return tuple(visible(value) for value in values if value is not None)


def alternative_names(value: bytes) -> tuple[str, ...]:
    """Given the DER of a GeneralNames, return each as ``KIND:text`` (RFC 5280 section 4.2.1.6). Raise DerError."""
    return tuple(visible(_general_name(one)) for one in children(only(value, SEQUENCE).content))


def _relative_names(whole: bytes) -> list[Element]:
    found = list(children(only(whole, SEQUENCE).content))
    if any(one.tag != SET for one in found):
        raise DerError("not a Name")
    return found


def _pair(element: Element) -> tuple[str, Element]:
    parts = list(children(element.content))
    if element.tag != SEQUENCE or len(parts) != 2 or parts[0].tag != OID:
        raise DerError("not a part of a Name")
    return dotted(parts[0].content), parts[1]


def _part(element: Element) -> str:
    kind, value = _pair(element)
    text = _text(value) if kind in _SHORT_NAMES else None
    shown = f"#{value.whole.hex().upper()}" if text is None else _escaped(text)
    return f"{_SHORT_NAMES.get(kind, kind)}={shown}"


def _text(value: Element) -> str | None:
    try:
        return value.content.decode(_TEXT_CODECS[value.tag])
    except (KeyError, UnicodeDecodeError):
        return None


def _escaped(text: str) -> str:
    escaped = "".join(_escaped_character(character) for character in text)
    if text.startswith(("#", " ")):
        escaped = "\\" + escaped
    if text.endswith(" ") and len(text) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped


def _escaped_character(character: str) -> str:
    if character in '\\"+,;<>':
        return "\\" + character
    if visible(character) == character:
        return character
    return "".join(f"\\{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _general_name(element: Element) -> str:
    content = element.content
    match element.tag:
        case 0x81:
            return f"email:{content.decode('latin-1')}"
        case 0x82:
            return f"DNS:{content.decode('latin-1')}"
        case 0x86:
            return f"URI:{content.decode('latin-1')}"
        case 0x87 if len(content) in (4, 16):
            return f"IP:{ipaddress.ip_address(content)}"
        case 0x88:
            return f"RID:{dotted(content)}"
        case 0xA4:
            return f"DirName:{name(content)}"
        case 0xA0:
            return _other_name(content)
        case _:
            return f"other:{element.whole.hex()}"


def _other_name(content: bytes) -> str:
    """OtherName holds an OID and, in [0], a value: the user principal name of Windows is one, as UTF8String."""
    parts = list(children(content))
    if len(parts) != 2 or parts[0].tag != OID:
        raise DerError("not an OtherName")
    value = element_at(parts[1].content)
    text = _text(value)
    return f"otherName:{dotted(parts[0].content)}:{value.whole.hex() if text is None else text}"
