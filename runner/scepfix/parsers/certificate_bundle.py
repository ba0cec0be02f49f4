"""Binary files of certificates: DER, several DER in a row, and PKCS#7 without content; bytes in, each one's DER out."""

from __future__ import annotations

from scepfix.domain.errors import InputError
from scepfix.parsers.der import INTEGER, OID, SEQUENCE, DerError, Element, children, dotted, element_at

_SIGNED_DATA_OID = "1.2.840.113549.1.7.2"
#: Newlines and NULs that copying and serial consoles leave behind the last byte.
_PADDING = b"\r\n\0 "
_INDEFINITE_LENGTH = 0x80


def looks_like_der(data: bytes) -> bool:
    """Given a file's bytes, tell whether they begin as a DER SEQUENCE too long to be text that begins with ``0``."""
    return len(data) > 1 and data[0] == SEQUENCE and 0x80 <= data[1] <= 0x84


def certificates_in(data: bytes) -> tuple[str, list[bytes]]:
    """Given binary data, return the format's name and the DER of each certificate in it, in order, not yet read.

    Raise InputError where it is cut, holds keys (PKCS#12, a private key), or is a signed document such as a profile.
    """
    name, found, start = "DER", list[bytes](), 0
    while start < len(data):
        if data[start] in _PADDING:
            start += 1
            continue
        try:
            element = _element(data, start)
        except InputError:
            if not found:
                raise
            # What follows a certificate costs itself only: the caller finds that it is none.
            found.append(data[start:])
            break
        inner = _pkcs7(element)
        if inner is None:
            _refuse_relatives(element)
            found.append(element.whole)
        else:
            name = "PKCS#7"
            found += inner
        start += len(element.whole)
    return name, found


def _element(data: bytes, start: int) -> Element:
    if data[start + 1 : start + 2] == bytes([_INDEFINITE_LENGTH]):
        raise InputError(
            "ber-not-der",
            "written in BER with open lengths, not in DER",
            hint="convert it: openssl pkcs7 -inform DER -print_certs -in FILE",
        )
    try:
        # Without the second test a file of millions of tiny elements would give as many troubles.
        if start and not looks_like_der(data[start : start + 2]):
            raise DerError("what follows is another kind of data")
        return element_at(data, start)
    except DerError as error:
        raise InputError(
            "input-cut",
            f"binary certificate data that cannot be read to its end: {error}",
            hint="copy it again in binary mode, and compare the sizes",
        ) from error


def _pkcs7(element: Element) -> list[bytes] | None:
    """Given an element, return the certificates of the PKCS#7 SignedData it is (RFC 5652 section 5.1), else None."""
    try:
        kind, wrapped = children(element.content)
        if kind.tag != OID or dotted(kind.content) != _SIGNED_DATA_OID:
            return None
        _, _, content, *rest = children(element_at(wrapped.content).content)
        parts = list(children(content.content))
    except (DerError, ValueError):
        return None
    if len(parts) > 1:
        raise InputError(
            "signed-document",
            "a signed document (a configuration profile?), not a file of certificates",
            hint="a signed profile is checked with: scepfix profile check FILE",
        )
    try:
        sets = [part.content for part in rest if part.tag == 0xA0]
        # A tag other than SEQUENCE in the set is an attribute certificate or a relic of PKCS#6.
        return [one.whole for held in sets for one in children(held) if one.tag == SEQUENCE]
    except DerError as error:
        raise InputError("pkcs7-unreadable", f"its list of certificates cannot be read: {error}") from error


def _refuse_relatives(element: Element) -> None:
    """Raise InputError for the binary files that are mistaken for certificates most often."""
    try:
        parts = list(children(element.content))
        inner = [part.tag for part in children(parts[0].content)] if parts and parts[0].tag == SEQUENCE else []
    except DerError:
        return
    if parts and parts[0].tag == INTEGER and parts[0].content == b"\3":
        raise InputError(
            "pkcs12",
            "a PKCS#12 file (.p12, .pfx): it holds a private key",
            hint="never send it to anybody; export the certificate alone, without its key",
        )
    if parts and parts[0].tag == INTEGER:
        raise InputError(
            "private-key",
            "a private key, not a certificate; nothing of it is shown",
            hint="never send it to anybody; if this copy left the device, treat the key as lost",
        )
    if inner == [INTEGER, SEQUENCE, SEQUENCE, 0xA0]:
        raise InputError(
            "certificate-request",
            "a certificate request, not a certificate",
            hint="give the certificate that was issued for it",
        )
