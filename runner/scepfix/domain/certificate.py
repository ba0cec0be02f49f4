"""Certificate: the facts of one X.509 certificate, as Device Access looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

#: Extension that Device Access looks for (value INTEGER 1); Okta help page "Use SCEP with Okta Device Access".
MARKER_OID = "1.3.6.1.4.1.51150.13.1"
#: The AD CS variant: an extended key usage.
MARKER_EKU_OID = "1.3.6.1.4.1.51150.13.1.1"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Facts of one certificate, all from its DER.

    Names are RFC 4514 strings. ``serial_number`` is lower-case hex without prefix, ``sha256``/``sha1``
    are lower-case hex of the DER, ``public_key_sha256`` of the SubjectPublicKeyInfo,
    ``authority_key_id``/``subject_key_id`` lower-case hex or None. ``key_usage`` are RFC 5280 names
    (``digitalSignature``, …) or None where the extension is absent; ``extended_key_usage`` are names
    where one is registered (``clientAuth``) else dotted OIDs, None where absent.
    ``marker`` is True where the marker extension holds INTEGER 1 or the AD CS usage is present;
    ``marker_note`` says what is odd about a marker that does not count (another value, say).
    """

    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    sha256: str
    sha1: str
    key_type: str
    key_bits: int | None
    public_key_sha256: str
    key_usage: tuple[str, ...] | None
    extended_key_usage: tuple[str, ...] | None
    is_ca: bool
    self_signed: bool
    marker: bool
    marker_note: str = ""
    authority_key_id: str | None = None
    subject_key_id: str | None = None
    alternative_names: tuple[str, ...] = ()
    common_names: tuple[str, ...] = ()
