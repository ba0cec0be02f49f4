"""Takes the content out of a signed message (CMS, RFC 5652) and says who signed it; verifies nothing."""

from __future__ import annotations

import base64
import binascii
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from scepfix.domain.errors import InputError

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_ENVELOPED_DATA = bytes.fromhex("2a864886f70d010703")
_SEQUENCE, _SET, _INTEGER, _OCTETS = 0x30, 0x31, 0x02, 0x04
_CONSTRUCTED_OCTETS, _CONTEXT_0 = 0x24, 0xA0
#: A message nests about ten levels; a stream of 32 MiB in pieces of 1,000 bytes has some 33,000 elements.
_DEPTH_LIMIT = 32
_ELEMENT_LIMIT = 200_000
_PEM = re.compile(rb"-----BEGIN (PKCS7|CMS)-----([A-Za-z0-9+/=\s]*)-----END \1-----")


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """The content as it was signed, and who signed it by the certificate in the message (never verified)."""

    content: bytes
    signed_by: str


class _BrokenError(Exception):
    """The bytes are cut, or not BER at all."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One BER element: its tag byte and where it, its content and the next one begin."""

    tag: int
    start: int
    content: int
    end: int
    after: int


@dataclass(slots=True)
class _Reader:
    """Reads BER: definite and indefinite lengths, tags below 31, bounded in depth and number (X.690)."""

    data: bytes
    elements: int = 0
    _ends: dict[int, int] = field(default_factory=dict)

    def element(self, start: int, limit: int, depth: int = 0) -> _Element:
        self.elements += 1
        if depth > _DEPTH_LIMIT or self.elements > _ELEMENT_LIMIT or start + 2 > limit:
            raise _BrokenError
        tag, length, content = self.data[start], self.data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise _BrokenError
        if length == 0x80:
            if not tag & 0x20:
                raise _BrokenError
            end = self._ends[start] if start in self._ends else self._indefinite_end(content, limit, depth)
            self._ends[start] = end
            if end + 2 > limit:
                raise _BrokenError
            return _Element(tag, start, content, end, end + 2)
        if length > 0x80:
            width = length & 0x7F
            if width > 8 or content + width > limit:
                raise _BrokenError
            length = int.from_bytes(self.data[content : content + width], "big")
            content += width
        if content + length > limit:
            raise _BrokenError
        return _Element(tag, start, content, content + length, content + length)

    def _indefinite_end(self, content: int, limit: int, depth: int) -> int:
        at = content
        while self.data[at : at + 2] != b"\0\0":
            at = self.element(at, limit, depth + 1).after
        return at

    def children(self, parent: _Element, depth: int = 0) -> Iterator[_Element]:
        at = parent.content
        while at < parent.end:
            child = self.element(at, parent.end, depth + 1)
            yield child
            at = child.after

    def octets(self, element: _Element, depth: int = 0) -> bytes:
        """Return an octet string; in BER it may come in pieces, themselves in pieces."""
        if element.tag == _OCTETS:
            return self.data[element.content : element.end]
        if element.tag != _CONSTRUCTED_OCTETS or depth > _DEPTH_LIMIT:
            raise _BrokenError
        return b"".join(self.octets(piece, depth + 1) for piece in self.children(element, depth))

    def raw(self, element: _Element) -> bytes:
        return self.data[element.start : element.after]


def looks_signed(data: bytes) -> bool:
    """Given the first bytes of a file, say whether it is a PEM or DER signed message of any content. Cheap."""
    head = data[:64].lstrip()
    return head.startswith((b"-----BEGIN PKCS7-----", b"-----BEGIN CMS-----")) or (
        head.startswith(b"\x30") and _SIGNED_DATA in head[:32]
    )


def open_signed_message(data: bytes, where: str) -> SignedMessage:
    """Given a PEM or DER/BER signed message, return its content and signers.

    Raise InputError when it is cut, encrypted, or holds no content (a detached signature, a bundle of certificates).
    """
    der = _from_pem(data, where) if data.lstrip().startswith(b"-----BEGIN") else data.lstrip(b"\r\n\t ")
    reader = _Reader(der)
    message, code = None, "signed-message-broken"
    try:
        message = _signed(reader)
    except _BrokenError:
        code = "signed-message-encrypted" if _ENVELOPED_DATA in der[:32] else code
    if message is not None and message.content:
        return message
    if message is not None:
        code = "signed-message-empty"
    text, hint = {
        "signed-message-broken": ("the signed file is cut or broken", "download the profile again, whole"),
        "signed-message-encrypted": ("the file is encrypted, not signed", "give the profile before it was encrypted"),
        "signed-message-empty": (
            "there are signatures or certificates in it, but no profile",
            "give the .mobileconfig itself; for certificates use: scepfix certificate inspect FILE",
        ),
    }[code]
    raise InputError(code, text, where=where, hint=hint)


def _from_pem(data: bytes, where: str) -> bytes:
    block = _PEM.search(data)
    der = b""
    if block:
        try:
            der = base64.b64decode(b"".join(block[2].split()), validate=True)
        except binascii.Error:
            der = b""
    if not der:
        raise InputError(
            "signed-message-broken",
            "the PEM block is cut, broken or not a signed message",
            where=where,
            hint="a signed profile is one block BEGIN PKCS7 or BEGIN CMS",
        )
    return der


def _signed(reader: _Reader) -> SignedMessage:
    """ContentInfo { signedData, [0] { version, digests, { type, [0] content }, [0] certificates, [1], signers } }."""
    info = list(reader.children(_expect(reader.element(0, len(reader.data)), _SEQUENCE)))
    if len(info) < 2 or reader.data[info[0].content : info[0].end] != _SIGNED_DATA or info[1].tag != _CONTEXT_0:
        raise _BrokenError
    wrapped = list(reader.children(info[1]))
    fields = list(reader.children(_expect(wrapped[0], _SEQUENCE))) if wrapped else []
    if len(fields) < 3:
        raise _BrokenError
    encapsulated = list(reader.children(_expect(fields[2], _SEQUENCE)))
    content = b""
    if len(encapsulated) > 1 and encapsulated[1].tag == _CONTEXT_0:
        content = b"".join(reader.octets(piece) for piece in reader.children(encapsulated[1]))
    certificates = [reader.raw(one) for part in fields[3:] if part.tag == _CONTEXT_0 for one in reader.children(part)]
    signers = [one for part in fields[-1:] if part.tag == _SET for one in reader.children(part)]
    return SignedMessage(content, _names(reader, signers, certificates))


def _expect(element: _Element, tag: int) -> _Element:
    if element.tag != tag:
        raise _BrokenError
    return element


def _names(reader: _Reader, signers: list[_Element], certificates: list[bytes]) -> str:
    """Name each signer by the certificate that its issuer and serial number (or key identifier) point at."""
    if not signers:
        return "nobody (there is no signature in it)"
    known = [entry for certificate in certificates if (entry := _identity(certificate))]
    names = []
    for signer in signers:
        parts = list(reader.children(_expect(signer, _SEQUENCE)))
        if len(parts) < 2:
            raise _BrokenError
        if parts[1].tag == _SEQUENCE:
            wanted = b"".join(reader.raw(part) for part in reader.children(parts[1]))
        else:
            wanted = reader.data[parts[1].content : parts[1].end]
        names.append(next((name for name, keys in known if wanted in keys), "a certificate that is not in the file"))
    return "; ".join(dict.fromkeys(names))


def _identity(der: bytes) -> tuple[str, tuple[bytes, ...]] | None:
    """Given a certificate, return its name for people and the ways in which a signer may point at it."""
    from cryptography import x509

    try:
        with warnings.catch_warnings():
            # Old certificates make cryptography warn; the person asked about a profile, not about its signer.
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
            issuer, subject = certificate.issuer.rfc4514_string(), certificate.subject.rfc4514_string()
            number = certificate.serial_number
            serial = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
            keys = [certificate.issuer.public_bytes() + bytes([_INTEGER, len(serial)]) + serial]
            extension = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            keys.append(extension.value.digest)
    except x509.ExtensionNotFound:
        pass
    except Exception:
        # A certificate that cannot be read names nobody; the profile inside is still worth reading.
        return None
    return f"{subject} (issued by {issuer})", tuple(keys)
