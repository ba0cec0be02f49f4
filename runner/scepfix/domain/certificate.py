"""Certificate: the facts of one X.509 certificate, as Device Access looks at it, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

#: Extension that Device Access looks for (value INTEGER 1); Okta help page "Use SCEP with Okta Device Access".
MARKER_OID = "1.3.6.1.4.1.51150.13.1"
#: The AD CS variant: an extended key usage.
MARKER_EKU_OID = "1.3.6.1.4.1.51150.13.1.1"
#: Every System keychain of a Mac holds these; a listing without either was not read from one, or not wholly.
CANARY_COMMON_NAMES = frozenset({"com.apple.systemdefault", "com.apple.kerberos.kdc"})


@dataclass(frozen=True, slots=True)
class Certificate:
    """Facts of one certificate, all from its DER.

    Names are RFC 4514 strings, inert: every character that could act on a terminal is escaped (see
    ``domain/inert.py``), in alternative and common names too. ``serial_number`` is lower-case hex
    without prefix, a negative one with a leading ``-``; ``sha256``/``sha1`` are lower-case hex of the
    DER, ``public_key_sha256`` of the SubjectPublicKeyInfo, ``authority_key_id``/``subject_key_id``
    lower-case hex or None. ``key_type`` is ``RSA``, ``EC``, ``Ed25519``, … or a dotted OID; ``key_bits``
    is None where the size is not known. ``key_usage`` are RFC 5280 names (``digitalSignature``, …) or
    None where the extension is absent; ``extended_key_usage`` are names where one is registered
    (``clientAuth``) else dotted OIDs, None where absent.
    ``marker`` is True where the marker extension holds INTEGER 1 or the AD CS usage is present;
    ``marker_note`` says what is odd about a marker that does not count (another value, say).
    ``alternative_names`` carry their kind (``DNS:host``, ``email:…``, ``URI:…``, ``IP:…``).
    ``oddities`` name what could not be read or breaks RFC 5280, in words for a person.
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
    oddities: tuple[str, ...] = ()
    der: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate and where it was found; all text in it is inert.

    ``place`` is for a person (``line 12``, ``certificates[3]``). ``line`` (from 1) and ``byte_offset``
    (from 0) count the stored bytes, None where the format has no lines of its own for each certificate.
    ``quote`` is the text that stands there. ``private_key`` is None where the format does not say; ``store``
    (``LocalMachine\\My``) likewise "".
    """

    certificate: Certificate
    place: str
    line: int | None = None
    byte_offset: int | None = None
    private_key: bool | None = None
    store: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a certificate file that could not be used: stable code, what is wrong, where. Inert, no secrets."""

    code: str
    message: str
    place: str


class ListingKind(StrEnum):
    """Which complete list of a device's certificates a file claims to be."""

    KEYCHAIN = "keychain"
    MDM = "mdm"
    WINDOWS_STORE = "windows-store"


@dataclass(frozen=True, slots=True)
class Listing:
    """A file that claims to list everything, so that what it does not hold is absent.

    ``canary_seen`` says whether a certificate that every Mac holds was among them. ``complete`` is False
    where absence proves nothing: a keychain without its canary (the wrong or no keychain was read), an
    empty list, a list with a part that could not be read.
    """

    kind: ListingKind
    canary_seen: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """All that a file of certificates says. ``format`` is an id for people (``PEM``, ``PKCS#7``, ``keychain listing``).

    ``warnings`` are about the file as such (it holds a private key); ``problems`` about parts of it.
    """

    format: str
    found: tuple[FoundCertificate, ...]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    listing: Listing | None = None


def in_device_store(store: str) -> bool:
    """Given a store's name or "" where nobody said, tell whether Device Access may find a certificate there.

    That is the System keychain (``system``, a path to System.keychain) and ``LocalMachine\\My`` (``local-machine``).
    """
    name = store.strip().replace("/", "\\").lower()
    known = ("system", "system.keychain", "local-machine", "localmachine\\my")
    return name in ("", *known) or name.endswith(("\\system.keychain", "\\localmachine\\my", "::localmachine\\my"))


def issued_by_okta(issuer: str, subject: str = "") -> bool:
    """Given names (RFC 4514), tell whether they are those of Okta's CA. Names prove nothing: the marker and keys do.

    Source: Okta's help pages on its CA (Organization Intermediate Authority, DC=okta, DC=com) and its subjects.
    """
    name = issuer.lower().replace(" ", "")
    okta = "organizationintermediateauthority" in name or ("dc=okta" in name and "dc=com" in name)
    return okta or "managementattestation" in subject.lower()
