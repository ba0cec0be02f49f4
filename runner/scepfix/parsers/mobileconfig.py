"""Reads a ``.mobileconfig``: one Apple configuration profile, plain or signed, as an MDM lets you download it.

>>> profile = b'''<plist version="1.0"><dict>
...   <key>PayloadType</key><string>Configuration</string>
...   <key>PayloadIdentifier</key><string>com.example.scep</string>
...   <key>PayloadContent</key><array><dict>
...     <key>PayloadType</key><string>com.apple.security.scep</string>
...     <key>PayloadContent</key><dict>
...       <key>URL</key><string>https://acme.okta.com/pki/1</string>
...       <key>Keysize</key><integer>2048</integer>
...     </dict>
...   </dict></array>
... </dict></plist>'''
>>> payload = parse_mobileconfig(profile, "scep.mobileconfig").profiles[0].scep_payloads[0]
>>> payload.key_bits.path, payload.key_bits.value
('PayloadContent[0].PayloadContent.Keysize', 2048)
"""

from __future__ import annotations

from collections.abc import Mapping

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import ProfileDocument, ProfileFormat, ScepProfile, Scope, ScopeSetting
from scepfix.parsers.apple_payload import read_payloads, text, type_name
from scepfix.parsers.plist_bytes import read_plist
from scepfix.parsers.signed_message import looks_signed, open_signed_message

_HINT = "give the .mobileconfig as the MDM exports it, or the output of: sudo profiles show -output stdout-xml"


def parse_mobileconfig(data: bytes, where: str) -> ProfileDocument:
    """Given the bytes of a plain or signed profile, return the one profile in it.

    Raise InputError when it is none (see ``document_from_plist``), cut, encrypted, or declares XML entities.
    Source: Apple device management reference, TopLevel and com.apple.security.scep.
    """
    signed_by = None
    if looks_signed(data):
        message = open_signed_message(data, where)
        data, signed_by = message.content, message.signed_by
    return document_from_plist(read_plist(data, where), where, signed_by)


def document_from_plist(root: object, where: str, signed_by: str | None = None) -> ProfileDocument:
    """Given a plist's root object, return the profile. Raise InputError where it is no configuration profile."""
    if not isinstance(root, dict):
        raise _no_profile(f"the property list is {type_name(root)}, a profile is a dictionary", where)
    kind = root.get("PayloadType")
    if "EncryptedPayloadContent" in root or root.get("IsEncrypted") is True:
        raise InputError(
            "profile-encrypted",
            "the profile is encrypted for one device: its payloads cannot be read",
            where=where,
            hint="export it from the MDM before it is encrypted",
        )
    if kind != "Configuration" and not (kind is None and isinstance(root.get("PayloadContent"), list)):
        raise _no_profile(_what_instead(root), where)
    profile = ScepProfile(
        path="",
        platform=Platform.MACOS,
        identifier=text(root.get("PayloadIdentifier")),
        display_name=text(root.get("PayloadDisplayName")),
        uuid=text(root.get("PayloadUUID")),
        scopes=_scopes(root.get("PayloadScope")),
    )
    profile, remarks = read_payloads(profile, root.get("PayloadContent"), "PayloadContent", where)
    if kind is None:
        remarks += ("PayloadType is missing at the top: macOS takes only a profile that says Configuration there",)
    if root.get("PayloadScope") is not None and not profile.scopes:
        remarks += ("PayloadScope is neither System nor User: the channel that delivers the profile decides",)
    return ProfileDocument(ProfileFormat.MOBILECONFIG, (profile,), signed_by=signed_by, remarks=remarks)


def _scopes(value: object) -> tuple[ScopeSetting, ...]:
    known = {"System": Scope.SYSTEM, "User": Scope.USER}
    return (ScopeSetting("PayloadScope", known[value], value),) if isinstance(value, str) and value in known else ()


def _what_instead(root: Mapping[object, object]) -> str:
    if not root:
        return "the property list is empty"
    if isinstance(kind := root.get("PayloadType"), str) and kind.startswith("com.apple."):
        return "this is a single payload without the profile around it"
    if "CommandUUID" in root:
        return "this is a device's answer to an MDM command, not a profile"
    return "this property list is something else: it has no PayloadType Configuration"


def _no_profile(message: str, where: str) -> InputError:
    return InputError("no-profile", message, where=where, hint=_HINT)
