"""SCEP profile: what was read of a configuration profile that asks for a certificate, and what was found wrong with it.

No object here can hold a secret: a challenge is "there" or "not there", a URL is its scheme and host.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from scepfix.domain.platform import Platform

#: Apple's payload types that matter here (Apple device management reference, "Profile-Specific Payload Keys").
SCEP_TYPE = "com.apple.security.scep"
IDENTITY_PREFERENCE_TYPE = "com.apple.security.identitypreference"
TRUST_TYPES = frozenset({"com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"})
MDM_TYPE = "com.apple.mdm"

SIGNING = "signing"
ENCRYPTION = "encryption"

T = TypeVar("T")


class ProfileFormat(StrEnum):
    """Which format the bytes had."""

    MOBILECONFIG = "mobileconfig"
    PROFILES_SHOW = "profiles-show"
    INTUNE = "intune"
    SYNCML = "syncml"


class Scope(StrEnum):
    """Whose keychain or store the certificate lands in: the computer's or one person's."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """One setting and where it stands.

    ``path`` is a readable key path. ``value`` is None where the key is absent or not of its type.
    ``shown`` is the source's own way of saying it, or of what stands there instead (``the text "2048"``);
    empty where the key is absent.
    """

    path: str
    value: T | None = None
    shown: str = ""

    @property
    def present(self) -> bool:
        return bool(self.shown)


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The safe part of a URL: user name, password, path, query and fragment are dropped when it is read.

    ``scheme`` is ``http``, ``https``, ``other`` (another one) or empty (the text is no URL). ``host`` may carry a
    port and is empty where there is none or it cannot be told from a secret. ``variable`` is True where the MDM
    puts the whole URL in later (``$NAME``, ``{{name}}``, ``%name%``): nothing can be said about it here.
    """

    path: str
    scheme: str
    host: str
    variable: bool = False
    host_missing: bool = False

    @property
    def shown(self) -> str:
        if self.variable:
            return "a variable of the MDM"
        if not self.scheme:
            return "text that is no URL"
        scheme = "(another scheme)" if self.scheme == "other" else self.scheme
        return f"{scheme}://{'(no host)' if self.host_missing else self.host or '…'}"


@dataclass(frozen=True, slots=True)
class ScepPayload:
    """One request for a certificate. ``extractable``/``all_apps`` are None where the platform has no such setting.

    ``usages`` are SIGNING and ENCRYPTION. ``subject`` is written like RFC 4514. ``used_by`` are the types of other
    payloads of this profile that name this one (the MDM's own identity, Wi-Fi, …). ``uuid`` is the payload's.
    """

    path: str
    url_path: str
    urls: tuple[ServerUrl, ...]
    url_odd: str
    key_bits: Setting[int]
    key_type: Setting[str]
    usages: Setting[frozenset[str]]
    extractable: Setting[bool] | None
    all_apps: Setting[bool] | None
    subject: Setting[str]
    has_challenge: bool = False
    alternative_names: tuple[str, ...] = ()
    extended_key_usages: tuple[str, ...] | None = None
    display_name: str = ""
    uuid: str = ""
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """One target of an Intune profile: ``kind`` is ``group``, ``all-devices``, ``all-users`` or another type's name."""

    kind: str
    group_id: str = ""
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class TrustCertificate:
    """A trust certificate beside the SCEP payload. ``assignments`` is None where the source does not tell."""

    path: str
    name: str = ""
    platform: Platform = Platform.MACOS
    assignments: tuple[Assignment, ...] | None = None
    linked_from: str = ""


@dataclass(frozen=True, slots=True)
class ScopeSetting:
    """Whose the profile is, as one setting of it says."""

    path: str
    scope: Scope
    shown: str


@dataclass(frozen=True, slots=True)
class ScepProfile:
    """One profile.

    ``scopes`` are all settings that decide the scope (none: the file does not tell). ``user`` and ``installed_at``
    (aware) are known only from a device's own list. ``assignments`` is None where the source does not tell.
    """

    path: str
    platform: Platform
    identifier: str = ""
    display_name: str = ""
    uuid: str = ""
    scopes: tuple[ScopeSetting, ...] = ()
    user: str | None = None
    installed_at: datetime | None = None
    scep_payloads: tuple[ScepPayload, ...] = ()
    identity_preferences: tuple[str, ...] = ()
    trust_certificates: tuple[TrustCertificate, ...] = ()
    other_types: tuple[str, ...] = ()
    assignments: tuple[Assignment, ...] | None = None

    @property
    def scope(self) -> Scope | None:
        """User if any setting says so, system if all that tell say so, None where nothing tells."""
        found = {setting.scope for setting in self.scopes}
        return Scope.USER if Scope.USER in found else Scope.SYSTEM if found else None


@dataclass(frozen=True, slots=True)
class ProfileDocument:
    """All that one file held. ``signed_by`` is None where it is not signed; signatures are never verified.

    ``trust_certificates`` are trust profiles that stand beside the SCEP profile rather than in it (Intune).
    ``remarks`` are oddities of the file itself, for the person.
    """

    format: ProfileFormat
    profiles: tuple[ScepProfile, ...]
    signed_by: str | None = None
    trust_certificates: tuple[TrustCertificate, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def with_scep(self) -> tuple[ScepProfile, ...]:
        return tuple(profile for profile in self.profiles if profile.scep_payloads)


class Level(StrEnum):
    """What a finding does: Device Access cannot work, or works with less protection than it should."""

    BREAKS = "breaks"
    HARDENING = "hardening"


@dataclass(frozen=True, slots=True)
class ProfileFinding:
    """One wrong setting: a stable code, where it stands, what was expected and what stands there."""

    code: str
    level: Level
    path: str
    expected: str
    found: str
    message: str

    def as_document(self) -> dict[str, str]:
        """Return the JSON form of the command line contract."""
        return {
            "code": self.code,
            "level": self.level.value,
            "path": self.path,
            "expected": self.expected,
            "found": self.found,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class ProfileJudgement:
    """The answer about one document: any finding makes it misconfigured, only ``breaks`` yields the fault."""

    findings: tuple[ProfileFinding, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return "misconfigured" if self.findings else "ok"

    @property
    def breaks(self) -> tuple[ProfileFinding, ...]:
        return tuple(finding for finding in self.findings if finding.level is Level.BREAKS)
