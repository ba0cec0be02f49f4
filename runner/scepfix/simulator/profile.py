"""The SCEP profile of the simulated org, in the forms in which a Mac shows it."""

from __future__ import annotations

import plistlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

IDENTIFIER = "com.example.okta-device-access"
NAME = "Okta Device Access SCEP"
UNRELATED = "com.example.filevault"
SCEP_PAYLOAD, WIFI_PAYLOAD = "com.apple.security.scep", "com.apple.wifi.managed"
NONE_INSTALLED = "There are no configuration profiles installed in the system domain\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the profile is set. ``challenge`` is the SCEP secret, which must turn up nowhere outside of this world."""

    challenge: str
    keysize: int = 2048
    scope: str = "system"
    wifi: bool = False

    @property
    def payload_types(self) -> tuple[str, ...]:
        return (SCEP_PAYLOAD, WIFI_PAYLOAD) if self.wifi else (SCEP_PAYLOAD,)


def scep(settings: Settings, subject: str, installed_at: datetime) -> dict[str, Any]:
    """Return the profile as ``profiles show -output stdout-xml`` has it (no key says whether an MDM installed it)."""
    inner = {
        "AllowAllAppsAccess": True,
        "Challenge": settings.challenge,
        "Key Type": "RSA",
        "Key Usage": 1,
        "KeyIsExtractable": False,
        "Keysize": settings.keysize,
        "Name": "Device Access",
        "Retries": 3,
        "RetryDelay": 10,
        "Subject": [[["CN", subject]]],
        "URL": "https://example.okta.com/pki/simulated",
    }
    items = [_item(SCEP_PAYLOAD, f"{IDENTIFIER}.scep", "SCEP (Okta Device Access)", inner)]
    if settings.wifi:
        wifi = {"AutoJoin": True, "EncryptionType": "WPA2", "SSID_STR": "Office"}
        items.append(_item(WIFI_PAYLOAD, f"{IDENTIFIER}.wifi", "Wi-Fi (Office)", wifi))
    return _profile(IDENTIFIER, NAME, items, installed_at)


def unrelated(installed_at: datetime) -> dict[str, Any]:
    """Return a profile that has nothing to do with Device Access."""
    item = _item("com.apple.MCX.FileVault2", f"{UNRELATED}.fde", "FileVault", {"Enable": "On"})
    return _profile(UNRELATED, "FileVault", [item], installed_at)


def show_xml(system: Sequence[dict[str, Any]], user: Sequence[dict[str, Any]], user_name: str) -> bytes:
    """Return what ``profiles show -output stdout-xml`` prints."""
    found = {"_computerlevel": list(system)} if system else {}
    if user:
        found[user_name] = list(user)
    return plistlib.dumps(found)


def list_text(system: Sequence[dict[str, Any]]) -> str:
    """Return what ``profiles list`` and ``profiles show`` print as root."""
    if not system:
        return NONE_INSTALLED
    lines = [
        f"_computerlevel[{number}] attribute: profileIdentifier: {one['ProfileIdentifier']}\n"
        for number, one in enumerate(system, 1)
    ]
    return "".join(lines) + f"There are {len(system)} system configuration profiles installed\n"


def system_profiler_xml(system: Sequence[dict[str, Any]]) -> bytes:
    """Return what ``system_profiler SPConfigurationProfileDataType -xml`` prints."""
    items = [
        {
            "_name": one["ProfileDisplayName"],
            "spconfigprofile_profile_identifier": one["ProfileIdentifier"],
            "spconfigprofile_profile_uuid": one["ProfileUUID"],
            "spconfigprofile_organization": one["ProfileOrganization"],
            "spconfigprofile_verification_state": one["ProfileVerificationState"],
            "_items": [
                {
                    "_name": item["PayloadType"],
                    "spconfigprofile_payload_identifier": item["PayloadIdentifier"],
                    "spconfigprofile_payload_uuid": item["PayloadUUID"],
                }
                for item in one["ProfileItems"]
            ],
        }
        for one in system
    ]
    section = [{"_name": "spconfigprofile_section_deviceconfigprofiles", "_items": items}] if items else []
    return plistlib.dumps([{"_dataType": "SPConfigurationProfileDataType", "_items": section}])


def _profile(identifier: str, name: str, items: list[dict[str, Any]], installed_at: datetime) -> dict[str, Any]:
    return {
        "ProfileDisplayName": name,
        "ProfileIdentifier": identifier,
        "ProfileInstallDate": f"{installed_at:%Y-%m-%d %H:%M:%S} +0000",
        "ProfileItems": items,
        "ProfileOrganization": "Example",
        "ProfileRemovalDisallowed": "true",
        "ProfileType": "Configuration",
        "ProfileUUID": _uuid(identifier),
        "ProfileVerificationState": "verified",
        "ProfileVersion": 1,
    }


def _item(kind: str, identifier: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "PayloadContent": content,
        "PayloadDisplayName": name,
        "PayloadIdentifier": identifier,
        "PayloadType": kind,
        "PayloadUUID": _uuid(identifier),
        "PayloadVersion": 1,
    }


def _uuid(identifier: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, identifier)).upper()
