"""Finds out which profile format some bytes are, by content alone, and has them read."""

from __future__ import annotations

import base64
import binascii
import codecs

from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.scep_profile import ProfileDocument, ProfileFormat
from scepfix.parsers.intune_scep_profile import parse_intune
from scepfix.parsers.mobileconfig import document_from_plist, parse_mobileconfig
from scepfix.parsers.plist_bytes import BINARY_MAGIC, read_plist
from scepfix.parsers.profiles_show import document_from_listing, is_listing
from scepfix.parsers.safe_xml import walk_xml
from scepfix.parsers.signed_message import looks_signed
from scepfix.parsers.syncml_scep import parse_syncml

_HEAD_BYTES = 64 * 1024
_HINT = "expected: .mobileconfig (plain or signed), profiles show -output stdout-xml, Intune JSON or Windows SyncML"


def read_profile_file(data: bytes, where: str, *, empty_is_listing: bool = False) -> ProfileDocument:
    """Given the bytes of one file, return what it holds, whichever of the four formats it has.

    An empty property list is what ``profiles show`` prints where nothing is installed, and no profile: it is an
    InputError unless ``empty_is_listing``. Raise InputError for everything else that is no profile.
    """
    data = data.lstrip(b" \t\r\n")
    if looks_signed(data):
        return parse_mobileconfig(data, where)
    if data.startswith(BINARY_MAGIC):
        return _from_plist(data, where, empty_is_listing=empty_is_listing)
    head = _as_text(data[:_HEAD_BYTES]).lstrip("\ufeff \t\r\n")
    if head.startswith(("{", "[")):
        return parse_intune(data, where)
    if not head.startswith("<"):
        raise InputError("no-profile", "this is no profile in any known format", where=where, hint=_HINT)
    if "<plist" in head or "<!DOCTYPE plist" in head:
        return _from_plist(data, where, empty_is_listing=empty_is_listing)
    if "LocURI" in head or "SyncML" in head:
        return parse_syncml(data, where)
    root = walk_xml(data, where, doctype_allowed=True)
    raise InputError("no-profile", f"this is XML of another kind ({visible(root[:40])})", where=where, hint=_HINT)


def sniff_profile_file(head: bytes) -> ProfileFormat | None:
    """Given the first 64 KiB (or all) of a file, say which profile format it may be, or None. Cheap; never raises.

    It claims no property list that is plainly something else (an MDM answer, a preference file) and no signed
    message that holds certificates only; what it does claim may still turn out broken when read.
    """
    head = head[:_HEAD_BYTES].lstrip(b" \t\r\n")
    if looks_signed(head):
        return ProfileFormat.MOBILECONFIG if _holds_plist(head) else None
    if head.startswith(BINARY_MAGIC):
        if b"_computerlevel" in head or b"ProfileItems" in head:
            return ProfileFormat.PROFILES_SHOW
        return ProfileFormat.MOBILECONFIG if b"PayloadType" in head and b"CommandUUID" not in head else None
    text = _as_text(head).lstrip("\ufeff \t\r\n")
    if text.startswith(("{", "[")):
        known = ("ScepCertificateProfile", "SCEPCertificateProfile", "scepServerUrls")
        return ProfileFormat.INTUNE if any(mark in text for mark in known) else None
    if text.startswith("<") and ("<plist" in text or "<!DOCTYPE plist" in text):
        if "<key>CommandUUID</key>" in text:
            return None
        if "<key>ProfileItems</key>" in text or "<key>_computerlevel</key>" in text or "<key>" not in text:
            return ProfileFormat.PROFILES_SHOW
        return ProfileFormat.MOBILECONFIG if "<key>PayloadType</key>" in text else None
    return ProfileFormat.SYNCML if text.startswith("<") and "ClientCertificateInstall/SCEP" in text else None


def _from_plist(data: bytes, where: str, *, empty_is_listing: bool) -> ProfileDocument:
    root = read_plist(data, where)
    if not root and isinstance(root, dict) and not empty_is_listing:
        raise InputError(
            "no-profile",
            "the property list is empty",
            where=where,
            hint="if a Mac printed it: no profile is installed there. To check a profile, give the .mobileconfig",
        )
    if is_listing(root):
        return document_from_listing(root, where)
    return document_from_plist(root, where)


def _as_text(data: bytes) -> str:
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if data[1:2] == b"\0" or data[:1] == b"\0":
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", "replace")
    return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def _holds_plist(signed: bytes) -> bool:
    """A signed profile's content begins within its first bytes; a bundle of certificates has none."""
    if signed.startswith(b"-----BEGIN"):
        body = b"".join(signed.split(b"\n")[1:20]).replace(b"\r", b"")
        try:
            signed = base64.b64decode(body[: len(body) // 4 * 4])
        except (binascii.Error, ValueError):
            return False
    return any(mark in signed[:512] for mark in (b"<?xml", b"<plist", b"<!DOCTYPE plist", BINARY_MAGIC))
