"""A keychain in a folder: certificates in order, and which of them have a private key.

Each certificate is ``NNNN.cert``: exactly what ``security find-certificate -a -p -Z`` prints of it, so that the fake
tool is a ``cat``. ``NNNN.name`` is its common name. ``NNNN.key`` is there while the private key is: four lines, SHA-1,
first and last second of validity (Unix time), what is wrong with its trust ("" nothing), the label.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from scepfix.simulator import files

NOT_TRUSTED = "CSSMERR_TP_NOT_TRUSTED"
_BODY = re.compile(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A certificate in a keychain; ``number`` is its place."""

    number: int
    der: bytes = field(repr=False)
    private_key: bool


class Keychain:
    """The keychain in that folder, which may not be there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def items(self) -> tuple[Item, ...]:
        """Return what is in it, in order."""
        found = []
        for path in sorted(self.folder.glob("*.cert")):
            body = _BODY.search(path.read_text("ascii"))
            if body:
                found.append(Item(int(path.stem), base64.b64decode(body[1]), path.with_suffix(".key").exists()))
        return tuple(found)

    def add(self, der: bytes, *, private_key: bool, trust: str = "") -> None:
        """Add a certificate behind all others."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = max((int(path.stem) for path in self.folder.glob("*.cert")), default=0) + 1
        name = common_name(der)
        files.write(self.folder / f"{number:04}.name", f"{name}\n")
        if private_key:
            certificate = x509.load_der_x509_certificate(der)
            starts = int(certificate.not_valid_before_utc.timestamp())
            ends = int(certificate.not_valid_after_utc.timestamp())
            sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
            files.write(self.folder / f"{number:04}.key", f"{sha1}\n{starts} {ends}\n{trust}\n{name}\n")
        files.write(self.folder / f"{number:04}.cert", listing(der))

    def remove(self, der: bytes) -> None:
        """Remove a certificate and its key."""
        for item in self.items():
            if item.der == der:
                for suffix in ("cert", "key", "name"):
                    (self.folder / f"{item.number:04}.{suffix}").unlink(missing_ok=True)

    def lose_key(self, der: bytes) -> None:
        """Remove the key and leave the certificate."""
        for item in self.items():
            if item.der == der:
                (self.folder / f"{item.number:04}.key").unlink(missing_ok=True)


def listing(der: bytes) -> str:
    """Given a DER, return its part of ``security find-certificate -a -p -Z`` (Apple's keychain_find.c)."""
    sha1 = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    body = base64.b64encode(der).decode("ascii")
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    return (
        f"SHA-256 hash: {hashlib.sha256(der).hexdigest().upper()}\nSHA-1 hash: {sha1}\n"
        f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
    )


def common_name(der: bytes) -> str:
    """Given a DER, return its common name on one line, "" where there is none."""
    found = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return " ".join(str(found[0].value).splitlines()) if found else ""
