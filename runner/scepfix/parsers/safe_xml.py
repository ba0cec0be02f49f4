"""Walks XML from anywhere without entities: what declares one, nests too deep or is cut never reaches a reader."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from scepfix.domain.errors import InputError

#: A profile nests about ten levels deep; the readers behind this one recurse.
DEPTH_LIMIT = 100
#: The list of a whole Mac's profiles has some ten thousand.
ELEMENT_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Handlers:
    """What to do at each start (local name), end and run of text."""

    start: Callable[[str], None]
    end: Callable[[str], None]
    text: Callable[[str], None]


class _RefusedError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def narrowed(data: bytes) -> bytes:
    """Given XML, return it as UTF-8 without its declaration where it is 16-bit text, else as it is. Never raises.

    Windows tools save what was UTF-8 as UTF-16 and leave the declaration, which then is wrong.
    """
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data
    try:
        return _DECLARATION.sub("", data.decode("utf-16"), count=1).lstrip().encode()
    except UnicodeDecodeError:
        return data


def walk_xml(data: bytes, where: str, handlers: Handlers | None = None, *, doctype_allowed: bool = False) -> str:
    """Given XML bytes in any encoding expat knows, call the handlers in document order; return the root's name.

    A DOCTYPE is refused unless allowed, and even then one with an internal subset (``[``) or an entity is;
    external ones are never fetched (expat fetches nothing by itself). Raise InputError for all of these, for
    nesting or numbers beyond the limits and for what is not well-formed. No part of the text goes into an error.
    """
    depth = elements = 0
    root = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements, root
        depth += 1
        elements += 1
        root = root or _local(name)
        if depth > DEPTH_LIMIT:
            raise _RefusedError("xml-too-deep", f"elements nest more than {DEPTH_LIMIT} deep")
        if elements > ELEMENT_LIMIT:
            raise _RefusedError("xml-too-large", f"more than {ELEMENT_LIMIT:,} elements")
        if handlers:
            handlers.start(_local(name))

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        if handlers:
            handlers.end(_local(name))

    def doctype(name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool) -> None:
        if has_internal_subset or not doctype_allowed:
            raise _RefusedError("xml-entities", "the XML carries declarations of its own (DOCTYPE), which are refused")

    def entity(*declaration: object) -> None:
        raise _RefusedError("xml-entities", "the XML declares entities, which are refused")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = entity
    if handlers:
        parser.CharacterDataHandler = handlers.text
    code, message = "", ""
    try:
        parser.Parse(data, True)
    except _RefusedError as refused:
        code, message = refused.code, refused.message
    except (expat.ExpatError, ValueError, LookupError) as error:
        # LookupError, ValueError: an encoding that Python does not know or expat cannot use.
        line = getattr(error, "lineno", None)
        code, message = "xml-broken", "the XML is cut or broken" + (f" at line {line}" if line else "")
    if code:
        # Raised out here so that no error carries the document along as its context.
        raise InputError(code, message, where=where, hint="export the profile again, whole and unedited")
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]
