"""What an MDM says: its record of a device, and the one SCEP profile that scepfix may move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scepfix.domain.device import Identity, yes_no_unknown
from scepfix.domain.moment import parse_rfc3339, rfc3339

#: Payload types that a profile may carry beside SCEP and still be moved: they come back with it and serve nothing else.
MOVABLE_PAYLOADS = frozenset({"com.apple.security.scep", "com.apple.security.root", "com.apple.security.pkcs1"})


@dataclass(frozen=True, slots=True)
class MdmDevice:
    """The MDM's record of one device.

    ``excluded``: a member of scepfix's exclusion group now. ``removal_pending``: RemoveProfile was queued and not
    answered. ``removed_at``/``installed_at``: when the device last acknowledged RemoveProfile/InstallProfile of the
    profile. ``install_status``: ``Acknowledged``, ``Error``, ``NotNow``, ``Pending`` or "" (never).
    ``profile_installed`` None where the MDM does not know. ``set_apart``: why an administrator took it out of use
    (``lost-mode``, ``locked``, ``wiped``, ``retired``), else "".
    """

    identity: Identity
    name: str = ""
    managed: bool = True
    last_seen_at: datetime | None = None
    in_scope: bool = True
    excluded: bool = False
    profile_installed: bool | None = None
    removal_pending: bool = False
    removed_at: datetime | None = None
    installed_at: datetime | None = None
    install_status: str = ""
    set_apart: str = ""

    def as_document(self) -> dict[str, Any]:
        return {
            "identity": self.identity.as_document(),
            "name": self.name,
            "managed": self.managed,
            "last_seen_at": rfc3339(self.last_seen_at),
            "in_scope": self.in_scope,
            "excluded": self.excluded,
            "profile_installed": self.profile_installed,
            "removal_pending": self.removal_pending,
            "removed_at": rfc3339(self.removed_at),
            "installed_at": rfc3339(self.installed_at),
            "install_status": self.install_status,
            "set_apart": self.set_apart,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> MdmDevice:
        """Given what ``as_document`` returned, return the record. Raise KeyError or TypeError."""
        return cls(
            identity=Identity.from_document(found["identity"]),
            name=str(found["name"]),
            managed=bool(found["managed"]),
            last_seen_at=parse_rfc3339(found["last_seen_at"]),
            in_scope=bool(found["in_scope"]),
            excluded=bool(found["excluded"]),
            profile_installed=yes_no_unknown(found["profile_installed"]),
            removal_pending=bool(found["removal_pending"]),
            removed_at=parse_rfc3339(found["removed_at"]),
            installed_at=parse_rfc3339(found["installed_at"]),
            install_status=str(found["install_status"]),
            set_apart=str(found["set_apart"]),
        )


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """One certificate as an MDM lists it; "" and None where it does not say.

    ``der`` is there only where the MDM keeps it (NanoMDM): without it nobody can see the marker, so such a line counts
    only by a serial number that was read from the DER before. Numbers and hashes are lower-case hex without prefix.
    ``current``: False where the MDM says that the device does not report it any more.
    """

    serial_number: str = ""
    sha1: str = ""
    der: bytes = field(default=b"", repr=False)
    common_name: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    current: bool | None = None


@dataclass(frozen=True, slots=True)
class CertificateList:
    """A device's certificates as its MDM knows them; ``taken_at`` is when the device was asked (aware)."""

    taken_at: datetime
    certificates: tuple[ListedCertificate, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectedText:
    """The line that the collector printed on a device, as the MDM keeps it (docs/collector.md); hostile text.

    ``collected_at`` is when the MDM got it, None where the MDM does not say; the line has its own time.
    """

    line: str
    collected_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ManagedProfile:
    """The SCEP profile as the MDM holds it.

    ``comes_back``: "" where a device that leaves the exclusion group gets it by itself, else why not. ``referred_by``:
    profiles and groups that need it. ``changed_at``: when the profile or its secret last changed; ``last_issued_at``:
    when a certificate last came through it. ``group_uses``: what else the exclusion group excludes or targets, where
    that was asked too (service.mdm_stages.whole_profile).
    """

    identifier: str
    name: str = ""
    payload_types: tuple[str, ...] = ()
    scope: str = "system"
    comes_back: str = ""
    referred_by: tuple[str, ...] = ()
    changed_at: datetime | None = None
    last_issued_at: datetime | None = None
    declarative: bool = False
    group_uses: tuple[str, ...] = field(default_factory=tuple)

    def as_document(self) -> dict[str, Any]:
        return {
            "identifier": self.identifier,
            "name": self.name,
            "payload_types": list(self.payload_types),
            "scope": self.scope,
            "comes_back": self.comes_back,
            "referred_by": list(self.referred_by),
            "changed_at": rfc3339(self.changed_at),
            "last_issued_at": rfc3339(self.last_issued_at),
            "declarative": self.declarative,
            "group_uses": list(self.group_uses),
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> ManagedProfile:
        """Given what ``as_document`` returned, return the profile. Raise KeyError or TypeError."""
        return cls(
            identifier=str(found["identifier"]),
            name=str(found["name"]),
            payload_types=tuple(map(str, found["payload_types"])),
            scope=str(found["scope"]),
            comes_back=str(found["comes_back"]),
            referred_by=tuple(map(str, found["referred_by"])),
            changed_at=parse_rfc3339(found["changed_at"]),
            last_issued_at=parse_rfc3339(found["last_issued_at"]),
            declarative=bool(found["declarative"]),
            group_uses=tuple(map(str, found["group_uses"])),
        )
