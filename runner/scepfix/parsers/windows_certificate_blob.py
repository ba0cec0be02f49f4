r"""One certificate as Windows keeps it in a file or in the registry: a list of properties, the certificate among them.

Files are in ``%USERPROFILE%\AppData\Roaming\Microsoft\SystemCertificates\My\Certificates``; in the registry it is the
value ``Blob`` of ``HKEY_USERS\SID\Software\Microsoft\SystemCertificates\My\Certificates\THUMBPRINT``. Each property is
number, 1, length (32 bits each, little endian) and so many bytes; number 32 is the certificate (wincrypt.h,
CERT_CERT_PROP_ID).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_CERTIFICATE = 32
_HEAD = struct.Struct("<III")


def certificate_in_blob(data: bytes) -> bytes | None:
    """Given such a list of properties, return the DER in it, None where there is none. Never raises."""
    return next((value for number, value in _properties(data) if number == _CERTIFICATE), None)


def _properties(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(data):
        number, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if at + length > len(data):
            return
        yield number, data[at : at + length]
        at += length
