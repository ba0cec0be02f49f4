"""Reads what a Mac says is installed: ``profiles show -output stdout-xml`` (older: ``profiles -C -o stdout-xml``).

The plist is a dictionary: ``_computerlevel`` holds the computer's profiles, each other key a person's short name.

>>> listing = b'''<plist version="1.0"><dict><key>_computerlevel</key><array><dict>
...   <key>ProfileIdentifier</key><string>com.example.scep</string>
...   <key>ProfileInstallDate</key><string>2023-03-31 01:14:38 +0000</string>
...   <key>ProfileItems</key><array/>
... </dict></array></dict></plist>'''
>>> profile = parse_profiles_show(listing, "profiles.plist").profiles[0]
>>> profile.identifier, profile.scope.value, profile.installed_at.isoformat()
('com.example.scep', 'system', '2023-03-31T01:14:38+00:00')
>>> parse_profiles_show(b'<plist version="1.0"><dict/></plist>', "none.plist").profiles
()
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import ProfileDocument, ProfileFormat, ScepProfile, Scope, ScopeSetting
from scepfix.parsers.apple_payload import read_payloads, text, type_name
from scepfix.parsers.plist_bytes import read_plist

COMPUTER_KEY = "_computerlevel"
_PROFILE_LIMIT = 10_000


def parse_profiles_show(data: bytes, where: str) -> ProfileDocument:
    """Given the command's output, return every installed profile; an empty dictionary means there is none.

    Raise InputError when it is no plist, cut, or another plist. Output formats: macadmins/osquery-extension.
    """
    return document_from_listing(read_plist(data, where), where)


def is_listing(root: object) -> bool:
    """Given a plist's root object, say whether it is such a list (an empty dictionary is one)."""
    if not isinstance(root, dict) or "PayloadType" in root:
        return False
    return not root or COMPUTER_KEY in root or any(_holds_profiles(value) for value in root.values())


def document_from_listing(root: object, where: str) -> ProfileDocument:
    """Given a plist's root object, return the profiles. Raise InputError where it is no such list."""
    if not isinstance(root, dict) or not is_listing(root):
        raise InputError(
            "no-profile-list",
            "this property list is not the list of a Mac's profiles",
            where=where,
            hint="collect it with: sudo profiles show -output stdout-xml > profiles.plist",
        )
    profiles: list[ScepProfile] = []
    remarks: tuple[str, ...] = ()
    for owner, entries in root.items():
        if not isinstance(entries, list):
            remarks += (f"{text(owner)} is {type_name(entries)}, not a list of profiles",)
            continue
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                remarks += (f"{text(owner)}[{index}] is {type_name(entry)}, not a profile",)
                continue
            profile, odd = _profile(entry, text(owner), index, where)
            profiles.append(profile)
            remarks += odd
            if len(profiles) > _PROFILE_LIMIT:
                raise InputError("profile-too-large", f"more than {_PROFILE_LIMIT:,} profiles", where=where)
    return ProfileDocument(ProfileFormat.PROFILES_SHOW, tuple(profiles), remarks=remarks)


def _profile(entry: Mapping[object, object], owner: str, index: int, where: str) -> tuple[ScepProfile, tuple[str, ...]]:
    path = f"{owner}[{index}]"
    on_computer = owner == COMPUTER_KEY
    scope = Scope.SYSTEM if on_computer else Scope.USER
    profile = ScepProfile(
        path=path,
        platform=Platform.MACOS,
        identifier=text(entry.get("ProfileIdentifier")),
        display_name=text(entry.get("ProfileDisplayName")),
        uuid=text(entry.get("ProfileUUID")),
        scopes=(ScopeSetting(path, scope, "installed for the computer" if on_computer else f"installed for {owner}"),),
        user=None if on_computer else owner,
        installed_at=_moment(entry.get("ProfileInstallDate")),
    )
    return read_payloads(profile, entry.get("ProfileItems"), f"{path}.ProfileItems", where)


def _holds_profiles(value: object) -> bool:
    return isinstance(value, list) and any(
        isinstance(entry, dict) and ("ProfileIdentifier" in entry or "ProfileItems" in entry) for entry in value[:10]
    )


def _moment(value: object) -> datetime | None:
    """Read ``2023-03-31 01:14:38 +0000``, or a plist date (which has no zone and means UTC)."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    # strptime builds its pattern anew in each process, and each device is read in one of its own.
    moment, _, zone = text(value).rpartition(" ")
    try:
        found = datetime.fromisoformat(f"{moment}{zone}")
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else None
