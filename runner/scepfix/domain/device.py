"""Device: whose identity it is, how it is reached, and what one reading of it said."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.domain.platform import Platform


def host_of(name: str) -> str:
    """Given a device's name (any text), return the opaque host name that Ansible is given: ``dev-`` and 12 hex."""
    return "dev-" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def yes_no_unknown(value: object) -> bool | None:
    """Given a value of a document, return it if it is true, false or null. Raise TypeError: "false" is no answer."""
    if value is None or isinstance(value, bool):
        return value
    raise TypeError("neither true nor false nor null")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a device is. Keys are upper case, "" where unknown; ``mdm_id`` is the MDM's own id, "" where it has none."""

    serial_number: str = ""
    hardware_uuid: str = ""
    mdm_id: str = ""

    def as_document(self) -> dict[str, str]:
        return {"serial_number": self.serial_number, "hardware_uuid": self.hardware_uuid, "mdm_id": self.mdm_id}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Identity:
        """Given what ``as_document`` returned, return the identity. Raise TypeError or ValueError."""
        keys = dict(found)
        return cls(*(str(keys.get(key) or "") for key in ("serial_number", "hardware_uuid", "mdm_id")))


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate in a store of a device. ``der`` is its bytes; ``store`` is ``system``, ``login:NAME``,
    ``local-machine`` or ``current-user``; ``private_key`` and ``identity_preference`` None where nobody looked."""

    der: bytes = field(repr=False)
    store: str
    private_key: bool | None = None
    identity_preference: bool | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "der": base64.b64encode(self.der).decode("ascii"),
            "store": self.store,
            "private_key": self.private_key,
            "identity_preference": self.identity_preference,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> StoredCertificate:
        return cls(
            base64.b64decode(found["der"]),
            str(found["store"]),
            yes_no_unknown(found["private_key"]),
            yes_no_unknown(found["identity_preference"]),
        )


@dataclass(frozen=True, slots=True)
class InstalledProfile:
    """One configuration profile on a device.

    ``installed_at`` None where it was not said; ``breaks`` are the codes of what in its SCEP settings breaks Device
    Access, None where nobody judged them.
    """

    identifier: str
    payload_types: tuple[str, ...] = ()
    installed_at: datetime | None = None
    scope: str = "system"
    breaks: tuple[str, ...] | None = None

    @property
    def is_scep(self) -> bool:
        return "com.apple.security.scep" in self.payload_types

    def as_document(self) -> dict[str, Any]:
        return {
            "identifier": self.identifier,
            "payload_types": list(self.payload_types),
            "installed_at": rfc3339(self.installed_at),
            "scope": self.scope,
            "breaks": None if self.breaks is None else list(self.breaks),
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> InstalledProfile:
        breaks = found["breaks"]
        return cls(
            str(found["identifier"]),
            tuple(map(str, found["payload_types"])),
            parse_rfc3339(found["installed_at"]),
            str(found["scope"]),
            None if breaks is None else tuple(map(str, breaks)),
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """One reading of one device, in one round trip; all text is inert, no secret is in it.

    ``observed_at`` is the controller's aware time. ``complete`` says whether the computer's store was listed whole (its
    canary was seen, nothing unreadable): only then is what it lacks absent. ``certificates`` are those of the device's
    stores that have the marker, or look like Okta's. ``profiles`` is None where the device gave no answer about them.
    ``log`` is the end of the Device Access log as stored (bytes; "" is none). ``problems`` say what could not be read.
    """

    platform: Platform
    observed_at: datetime
    identity: Identity = field(default_factory=Identity)
    name: str = ""
    os_version: str = ""
    os_build: str = ""
    clock_offset_seconds: float | None = None
    complete: bool = False
    certificates: tuple[StoredCertificate, ...] = ()
    profiles: tuple[InstalledProfile, ...] | None = None
    enrolled: bool | None = None
    daemon_present: bool | None = None
    okta_verify_version: str = ""
    log: bytes = field(default=b"", repr=False)
    problems: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        return {
            "platform": self.platform.value,
            "observed_at": rfc3339(self.observed_at),
            "identity": self.identity.as_document(),
            "name": self.name,
            "os_version": self.os_version,
            "os_build": self.os_build,
            "clock_offset_seconds": self.clock_offset_seconds,
            "complete": self.complete,
            "certificates": [one.as_document() for one in self.certificates],
            "profiles": None if self.profiles is None else [one.as_document() for one in self.profiles],
            "enrolled": self.enrolled,
            "daemon_present": self.daemon_present,
            "okta_verify_version": self.okta_verify_version,
            "log": base64.b64encode(self.log).decode("ascii"),
            "problems": list(self.problems),
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Observation:
        """Given what ``as_document`` returned, return the observation. Raise KeyError, TypeError or ValueError."""
        observed_at = parse_rfc3339(found["observed_at"])
        if observed_at is None:
            raise ValueError("observed_at is no moment")
        profiles = found["profiles"]
        return cls(
            platform=Platform(found["platform"]),
            observed_at=observed_at,
            identity=Identity.from_document(found["identity"]),
            name=str(found["name"]),
            os_version=str(found["os_version"]),
            os_build=str(found["os_build"]),
            clock_offset_seconds=found["clock_offset_seconds"],
            complete=bool(found["complete"]),
            certificates=tuple(StoredCertificate.from_document(one) for one in found["certificates"]),
            profiles=None if profiles is None else tuple(InstalledProfile.from_document(one) for one in profiles),
            enrolled=yes_no_unknown(found["enrolled"]),
            daemon_present=yes_no_unknown(found["daemon_present"]),
            okta_verify_version=str(found["okta_verify_version"]),
            log=base64.b64decode(found["log"]),
            problems=tuple(map(str, found["problems"])),
        )
