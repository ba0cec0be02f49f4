"""Names the screen of the MDM on which each finding of the profile check is put right."""

from __future__ import annotations

from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import ProfileFormat

_JAMF = "Jamf Pro: Computers > Configuration Profiles > the profile"
_INTUNE = "Intune: Devices > Configuration > the profile > Properties"

#: Finding -> what to do there. Okta's help pages per MDM name the fields (static SCEP with Jamf Pro, delegated SCEP
#: with Intune); a missing entry means that this MDM has no such field.
_JAMF_FIELDS = {
    "no-scep-payload": "> SCEP: add the payload",
    "user-scope": "> General > Level: Computer Level",
    "url-missing": "> SCEP > URL",
    "url-not-https": "> SCEP > URL",
    "key-too-small": "> SCEP > Key Size: 2048",
    "no-signing-usage": '> SCEP: select "Use as digital signature"',
    "key-extractable": '> SCEP: clear "Allow export from keychain"',
    "all-apps-access-off": '> SCEP: select "Allow all apps access"',
    "subject-not-unique": "> SCEP > Subject: CN=$COMPUTERNAME managementAttestation $UDID",
    "identity-preference": "> remove the identity preference payload",
}
_INTUNE_FIELDS = {
    "no-scep-payload": "> create a SCEP certificate profile",
    "user-scope": "> Configuration settings > Certificate type: Device (macOS also: Deployment channel: Device)",
    "url-missing": "> Configuration settings > SCEP Server URLs",
    "url-not-https": "> Configuration settings > SCEP Server URLs",
    "key-too-small": "> Configuration settings > Key size (bits): 2048",
    "no-signing-usage": "> Configuration settings > Key usage: Digital signature",
    "all-apps-access-off": "> Configuration settings > Allow all apps access to private key: Enable",
    "subject-not-unique": "> Configuration settings > Subject name format: with {{DeviceId}}",
    "trust-assigned-elsewhere": "> Assignments: the same groups on the trusted certificate profile",
}


def screens_of(code: str, source: ProfileFormat, platform: Platform) -> list[str]:
    """Given a finding's code and where it was found, return one line per MDM that has a place to change it."""
    jamf = f"{_JAMF} {_JAMF_FIELDS[code]}" if code in _JAMF_FIELDS else ""
    intune = f"{_INTUNE} {_INTUNE_FIELDS[code]}" if code in _INTUNE_FIELDS else ""
    fits_jamf = source is not ProfileFormat.INTUNE and platform is Platform.MACOS
    return [line for line in (jamf if fits_jamf else "", intune) if line]
