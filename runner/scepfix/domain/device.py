"""Device: whose identity it is, how it is reached, and what one reading of it said."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scepfix.domain.certificate import Certificate
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

    @property
    def nameless(self) -> bool:
        """Is there no key of the device itself, so that nobody can tell which it is?"""
        return not (self.serial_number or self.hardware_uuid)

    def as_document(self) -> dict[str, str]:
        return {"serial_number": self.serial_number, "hardware_uuid": self.hardware_uuid, "mdm_id": self.mdm_id}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Identity:
        """Given what ``as_document`` returned, return the identity. Raise TypeError or ValueError."""
        keys = dict(found)
        return cls(*(str(keys.get(key) or "") for key in ("serial_number", "hardware_uuid", "mdm_id")))


def _moment(value: object) -> datetime:
    found = parse_rfc3339(value)
    if found is None:
        raise ValueError("no moment")
    return found


@dataclass(frozen=True, slots=True)
class ToldCertificate:
    """A leaf with the marker of which there are no bytes: what its device told of it (docs/collector.md).

    Hex is lower case without prefix. ``authority_key_id`` "" where the certificate has none. ``key_usage`` and
    ``extended_key_usage`` as in Certificate. ``device_named``: the UUID or serial number in its subject, else "".
    """

    serial_number: str
    sha256: str
    not_before: datetime
    not_after: datetime
    public_key_sha256: str
    authority_key_id: str = ""
    key_usage: tuple[str, ...] | None = None
    extended_key_usage: tuple[str, ...] | None = None
    self_signed: bool = False
    device_named: str = ""

    @property
    def certificate(self) -> Certificate:
        """The same as a Certificate. Names, key type and signature are not known: there is no DER to verify."""
        return Certificate(
            subject=self.device_named,
            issuer="",
            serial_number=self.serial_number,
            not_before=self.not_before,
            not_after=self.not_after,
            sha256=self.sha256,
            sha1="",
            key_type="not told",
            key_bits=None,
            public_key_sha256=self.public_key_sha256,
            key_usage=self.key_usage,
            extended_key_usage=self.extended_key_usage,
            is_ca=False,
            self_signed=self.self_signed,
            marker=True,
            authority_key_id=self.authority_key_id or None,
        )

    def as_document(self) -> dict[str, Any]:
        return {
            "serial_number": self.serial_number,
            "sha256": self.sha256,
            "not_before": rfc3339(self.not_before),
            "not_after": rfc3339(self.not_after),
            "public_key_sha256": self.public_key_sha256,
            "authority_key_id": self.authority_key_id,
            "key_usage": None if self.key_usage is None else list(self.key_usage),
            "extended_key_usage": None if self.extended_key_usage is None else list(self.extended_key_usage),
            "self_signed": self.self_signed,
            "device_named": self.device_named,
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> ToldCertificate:
        usage, extended = found["key_usage"], found["extended_key_usage"]
        return cls(
            serial_number=str(found["serial_number"]),
            sha256=str(found["sha256"]),
            not_before=_moment(found["not_before"]),
            not_after=_moment(found["not_after"]),
            public_key_sha256=str(found["public_key_sha256"]),
            authority_key_id=str(found["authority_key_id"]),
            key_usage=None if usage is None else tuple(map(str, usage)),
            extended_key_usage=None if extended is None else tuple(map(str, extended)),
            self_signed=found["self_signed"] is True,
            device_named=str(found["device_named"]),
        )


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """One certificate in a store of a device. ``der`` is its bytes, or there are none (b"") and ``told`` is what the
    device told of it; ``store`` is ``system``, ``login:NAME``, ``local-machine``, ``current-user`` (of the account that
    asked) or ``user:SID``; ``private_key`` and ``identity_preference`` None where nobody looked."""

    der: bytes = field(repr=False)
    store: str
    private_key: bool | None = None
    identity_preference: bool | None = None
    told: ToldCertificate | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "der": base64.b64encode(self.der).decode("ascii"),
            "store": self.store,
            "private_key": self.private_key,
            "identity_preference": self.identity_preference,
            **({"told": self.told.as_document()} if self.told else {}),
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> StoredCertificate:
        told = dict(found).get("told")
        return cls(
            base64.b64decode(found["der"]),
            str(found["store"]),
            yes_no_unknown(found["private_key"]),
            yes_no_unknown(found["identity_preference"]),
            None if told is None else ToldCertificate.from_document(told),
        )


@dataclass(frozen=True, slots=True)
class InstalledProfile:
    """One configuration profile on a device.

    ``installed_at`` None where it was not said; ``breaks`` are the codes of what in its SCEP settings breaks Device
    Access, None where nobody judged them. ``enrolment``: how its enrolment stands, in words, where the device says so
    (Windows: ``failed, error 0x80072EE7``), else "".
    """

    identifier: str
    payload_types: tuple[str, ...] = ()
    installed_at: datetime | None = None
    scope: str = "system"
    breaks: tuple[str, ...] | None = None
    enrolment: str = ""

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
            **({"enrolment": self.enrolment} if self.enrolment else {}),
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
            str(dict(found).get("enrolment") or ""),
        )


@dataclass(frozen=True, slots=True)
class ToldLine:
    """A line of the device's log that the collector told of: what it says (domain.evidence.SAYS) and its moment, None
    where it has none."""

    says: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Collected:
    """How a reading came that the device printed by itself, for its MDM to collect (docs/collector.md).

    ``got_at``: when the MDM got it, None where the MDM does not say. ``log``: the last line of each kind that the
    device's log holds, in the log's order; None where the log could not be read or is not there.
    """

    got_at: datetime | None = None
    log: tuple[ToldLine, ...] | None = None

    def as_document(self) -> dict[str, Any]:
        lines = None if self.log is None else [{"says": one.says, "at": rfc3339(one.at)} for one in self.log]
        return {"got_at": rfc3339(self.got_at), "log": lines}

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Collected:
        lines = found["log"]
        return cls(
            parse_rfc3339(found["got_at"]),
            None if lines is None else tuple(ToldLine(str(one["says"]), parse_rfc3339(one["at"])) for one in lines),
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """One reading of one device, in one round trip; all text is inert, no secret is in it.

    ``observed_at`` is the controller's aware time; of a reading that was ``collected`` it is the device's own, and the
    reading may be old. ``complete`` says whether the computer's store was listed whole (its
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
    collected: Collected | None = None

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
            **({"collected": self.collected.as_document()} if self.collected else {}),
        }

    @classmethod
    def from_document(cls, found: Mapping[str, Any]) -> Observation:
        """Given what ``as_document`` returned, return the observation. Raise KeyError, TypeError or ValueError."""
        profiles, collected = found["profiles"], found.get("collected")
        return cls(
            platform=Platform(found["platform"]),
            observed_at=_moment(found["observed_at"]),
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
            collected=None if collected is None else Collected.from_document(collected),
        )
