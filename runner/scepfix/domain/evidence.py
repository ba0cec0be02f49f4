"""Evidence: one observed fact with its origin, and the one list of what evidence may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from scepfix.domain.moment import rfc3339


class Witness(StrEnum):
    """Who said it. What arrives by ticket stays ``ticket``, whatever it quotes."""

    DEVICE = "device"
    MDM = "mdm"
    OKTA = "okta"
    TICKET = "ticket"


#: JSON-shaped values a fact may have.
Scalar = str | int | float | bool | None
Fact = Scalar | list[Scalar] | dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observed fact.

    ``source`` is a path, ``FILE!MEMBER``, ``stdin`` or the name of a record. ``line`` (from 1),
    ``byte_offset`` (from 0) and ``sha256`` (lower-case hex) count the stored bytes after
    decompression and before any repair; they are None where the source is no file. ``observed_at``
    is aware, or None where the source gives no time with a zone. ``quote`` is the source's own text,
    decoded, control characters made visible. ``says`` is an id of SAYS; ``facts`` its details.
    """

    witness: Witness
    source: str
    says: str
    line: int | None = None
    byte_offset: int | None = None
    sha256: str | None = None
    observed_at: datetime | None = None
    quote: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def as_document(self) -> dict[str, object]:
        """Return the JSON form of the contract; ``--evidence FILE`` reads the same."""
        return {
            "witness": self.witness.value,
            "source": self.source,
            "line": self.line,
            "byte_offset": self.byte_offset,
            "sha256": self.sha256,
            "observed_at": rfc3339(self.observed_at),
            "quote": self.quote,
            "says": self.says,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an id of SAYS means, which facts it may carry, and who owns the fact (and so confirms it alone)."""

    text: str
    facts: Mapping[str, str] = field(default_factory=dict)
    owner: Witness | None = None


_OKTA = Witness.OKTA
_CERTIFICATE_FACTS = {
    "device_access_marker": "true where the marker extension or usage is there",
    "store": "system, login, local-machine or current-user, or a store's own name (LocalMachine\\My)",
    "private_key": "true, false; null or absent where it was not looked at",
    "key_access": "false where the key's access control keeps the daemon out",
    "subject": "RFC 4514",
    "is_ca": "true or false",
    "not_before": "RFC 3339",
    "not_after": "RFC 3339",
    "appeared_at": "RFC 3339, when it was first seen on the device; not_before stands in for it",
    "sha256": "of the DER, lower-case hex",
    "serial_number": "lower-case hex",
    "issuer": "RFC 4514",
    "org_issuer": "true or false: is the issuer's key one of this org's; null or absent where unknown",
    "usage": "false where digital signature or clientAuth is ruled out, or it is a CA",
    "identity_preference": "true where an identity preference pins it",
}

#: Facts that any evidence may carry: whose it is, and from what system.
COMMON_FACTS: Mapping[str, str] = {
    "device": "the device it is about; evidence is sorted by it",
    "person": "the person it is about",
    "platform": "macos or windows",
}

#: Facts of a type that matters to the rules; all others are free text. None (null) says that nobody looked.
TRUTH_FACTS = frozenset(
    {
        "device_access_marker",
        "private_key",
        "key_access",
        "org_issuer",
        "usage",
        "is_ca",
        "identity_preference",
        "before_profile",
        "present",
        "person_on_it",
        "enabled",
        "allowed",
    }
)
NUMBER_FACTS = frozenset({"offset_seconds", "days"})
MOMENT_FACTS = frozenset(
    {"not_before", "not_after", "appeared_at", "installed_at", "last_seen_at", "created_at", "deleted_at"}
)

#: Facts with a list of values; another word would be passed over in silence.
WORD_FACTS: Mapping[str, tuple[str, ...]] = {
    "reason": ("excluded", "out-of-scope", "failed", "pending", "unknown"),
    "platform": ("macos", "windows"),
    "source": ("package", "app-store"),
    "status": ("Error", "NotNow"),
}

#: Every id that Evidence may carry. Sites may add ids that begin with ``site.``.
SAYS: Mapping[str, Meaning] = {
    # Logs (macOS, Windows, Okta Verify, pasted System Log lines)
    "log.attempt": Meaning("A registration for recovery began. Its result is not in this line."),
    "log.no-certificate": Meaning("Registration failed: no matching Device Access certificate."),
    "log.rejected": Meaning("Registration failed: a certificate was found and the server answered with an error."),
    "log.registration-failed": Meaning(
        "Registration failed with a text that scepfix does not know.", {"code": "error code"}
    ),
    "log.not-eligible": Meaning("Windows: the device is not eligible for registration."),
    "log.device-not-registered": Meaning("Windows: no recovery at the sign-in screen, the device is not registered."),
    "log.enrolment-lost": Meaning("Okta Verify: the server no longer knows this device (410 E0000153)."),
    "log.user-not-assigned": Meaning("Okta refused the sign-in: the person is not assigned Desktop MFA."),
    "log.scep-installed": Meaning("Windows: some SCEP certificate was installed; the line does not say which."),
    "log.registered": Meaning(
        "Registration succeeded. No public log line says so: only a site's own signature yields it."
    ),
    # Certificates on the device
    "keychain.certificate": Meaning("A certificate on the device.", _CERTIFICATE_FACTS),
    "keychain.none": Meaning(
        "A complete listing without any Device Access certificate.", {"store": "which was listed"}
    ),
    "keychain.unreadable": Meaning("A listing without a canary certificate: no answer, not an empty keychain."),
    # Profiles on the device
    "profile.installed": Meaning(
        "A profile with a SCEP payload is installed.",
        {"identifier": "PayloadIdentifier", "scope": "system or user", "installed_at": "RFC 3339"},
    ),
    "profile.none": Meaning("The device lists its profiles, and none has a SCEP payload."),
    "profile.breaks": Meaning(
        "A setting of the SCEP profile breaks Device Access.", {"codes": "finding codes", "identifier": ""}
    ),
    "profile.ok": Meaning("The SCEP profile has no setting that breaks Device Access.", {"identifier": ""}),
    # The device itself
    "device.clock": Meaning("The device's clock against a trusted one.", {"offset_seconds": "device minus true time"}),
    "device.daemon": Meaning("Is the Desktop MFA service there?", {"present": "true or false"}),
    "device.okta-verify": Meaning(
        "Okta Verify on the device.",
        {
            "version": "dotted numbers",
            "source": "package or app-store",
            "before_profile": "true where the package came before its profile",
        },
    ),
    "device.offline": Meaning("The device was not online lately.", {"days": "since it was last online"}),
    "device.sign-in": Meaning("The person signed in on the device, online."),
    "device.mfa-list": Meaning(
        "A list that exempts people from Desktop MFA.", {"list": "its name", "person_on_it": "true or false"}
    ),
    # The MDM
    "mdm.device": Meaning("The MDM manages this device.", {"last_seen_at": "RFC 3339"}, Witness.MDM),
    "mdm.not-managed": Meaning("The MDM has no record, or the enrolment is gone.", {}, Witness.MDM),
    "mdm.silent": Meaning("The device has not answered its MDM.", {"days": "without an answer"}, Witness.MDM),
    "mdm.profile-installed": Meaning("The MDM lists the SCEP profile on the device.", {"identifier": ""}),
    "mdm.profile-missing": Meaning(
        "The MDM lists the device without the SCEP profile.",
        {"reason": "excluded, out-of-scope, failed, pending or unknown"},
        Witness.MDM,
    ),
    "mdm.profile-declarative": Meaning(
        "The profile came by declarative management: scepfix cannot move it.", {}, Witness.MDM
    ),
    "mdm.install-failed": Meaning(
        "The MDM's install command failed or was put off.", {"status": "Error or NotNow"}, Witness.MDM
    ),
    "mdm.certificate-none": Meaning(
        "The MDM's certificate list, taken on the device, has no Device Access certificate."
    ),
    "scep.refused": Meaning("The certificate authority or the challenge service refused.", {"reason": "in its words"}),
    # Okta
    "okta.device-active": Meaning("The device record is active.", {"device_id": "", "created_at": "RFC 3339"}, _OKTA),
    "okta.device-gone": Meaning(
        "The device record was deleted (404, device.lifecycle.delete).",
        {"device_id": "", "deleted_at": "RFC 3339"},
        _OKTA,
    ),
    "okta.device-deactivated": Meaning("The device record is deactivated.", {"device_id": ""}, _OKTA),
    "okta.device-suspended": Meaning(
        "The device record is suspended; its certificate stays valid.", {"device_id": ""}, _OKTA
    ),
    "okta.no-record": Meaning("No device record of this device, and no deletion of one either.", {}, _OKTA),
    "okta.certificate-revoked": Meaning("The certificate was revoked.", {"serial_number": "lower-case hex"}, _OKTA),
    "okta.unavailable": Meaning("Okta answered with a rate limit or an outage at that time.", {}, _OKTA),
    "okta.registered": Meaning(
        "The device rotated its recovery secret for this person.", {"person": "", "device_id": ""}, _OKTA
    ),
    "okta.not-registered": Meaning(
        "No registration of this person on this device since enrolment.", {"person": ""}, _OKTA
    ),
    "okta.enrolled": Meaning("The person has an active Desktop MFA enrolment on this device.", {"person": ""}, _OKTA),
    "okta.not-enrolled": Meaning(
        "The person has no Desktop MFA enrolment, or is not assigned the app.", {"person": ""}, _OKTA
    ),
    "okta.secret-reset": Meaning("The SCEP secret was reset; older profiles carry the old one.", {}, _OKTA),
    "okta.pin-setting": Meaning("Enable Device Recovery PIN for Desktop MFA.", {"enabled": "true or false"}, _OKTA),
    "okta.admin-may-generate": Meaning(
        "May this admin generate a PIN for this person and device?",
        {"allowed": "true or false", "reason": "role, permission, scope or feature", "roles": "the admin's roles"},
        _OKTA,
    ),
    # The ticket and the rest
    "ticket.symptom": Meaning("What the admin sees.", {"symptom": "generating-fails or option-not-there"}),
    "prerequisite.unmet": Meaning(
        "A prerequisite of the recovery guide is not met.", {"id": "one of PREREQUISITES"}, _OKTA
    ),
}

#: Prerequisites of Okta's Desktop MFA Recovery guide that are no fault of their own in the catalogue.
PREREQUISITES: Mapping[str, str] = {
    "identity-engine": "The org runs Okta Identity Engine.",
    "recovery-feature": "Settings > Features > Desktop MFA Admin Recovery is on.",
    "device-access-ca": "Security > Device integrations > Device Access has a SCEP configuration.",
    "device-online": "macOS: online in the last 7 days. Windows: online once after the certificate came.",
    "os-version": "macOS 12 or later.",
    "mfa-enrolled": "The person enrolled in Desktop MFA and signed in once since.",
}
#: Those that the org's admin meets, without which the option may not be there.
ADMIN_PREREQUISITES = frozenset({"identity-engine", "recovery-feature", "device-access-ca"})
