"""Reads Intune SCEP profiles as Microsoft Graph (beta) returns them: one object, a list, or ``{"value": …}``.

>>> profile = b'''{"@odata.type": "#microsoft.graph.macOSScepCertificateProfile", "displayName": "Okta",
...   "certificateStore": "machine", "keySize": "size2048", "keyUsage": "digitalSignature",
...   "subjectNameFormat": "custom", "subjectNameFormatString": "CN={{DeviceId}}",
...   "scepServerUrls": ["https://acme.okta.com/pki/1"], "allowAllAppsAccess": true}'''
>>> parse_intune(profile, "okta.json").profiles[0].scep_payloads[0].key_bits.value
2048
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import (
    ENCRYPTION,
    SIGNING,
    Assignment,
    ProfileDocument,
    ProfileFormat,
    ScepPayload,
    ScepProfile,
    Scope,
    ScopeSetting,
    ServerUrl,
    Setting,
    TrustCertificate,
)
from scepfix.parsers.apple_payload import boolean, text, type_name
from scepfix.parsers.server_url import read_server_url

_SCEP_TYPES = {
    "macosscepcertificateprofile": Platform.MACOS,
    "windows81scepcertificateprofile": Platform.WINDOWS,
    "windows10xscepcertificateprofile": Platform.WINDOWS,
}
_TRUST_TYPES = {
    "macostrustedrootcertificate": Platform.MACOS,
    "windows81trustedrootcertificate": Platform.WINDOWS,
    "windows10xtrustedrootcertificate": Platform.WINDOWS,
}
_KEY_SIZES = {"size1024": 1024, "size2048": 2048, "size4096": 4096}
_USAGES = {"digitalsignature": SIGNING, "keyencipherment": ENCRYPTION}
_TARGETS = {
    "groupassignmenttarget": "group",
    "exclusiongroupassignmenttarget": "group",
    "alldevicesassignmenttarget": "all-devices",
    "alllicensedusersassignmenttarget": "all-users",
}
_USER_SETTINGS = (("certificateStore", "user", "machine"), ("deploymentChannel", "userChannel", "deviceChannel"))
_LIMIT = 10_000
_PART_LIMIT = 64

Json = Mapping[str, object]


def parse_intune(data: bytes, where: str) -> ProfileDocument:
    """Given Graph JSON (UTF-8, UTF-16), return its SCEP profiles, and the trust certificates beside them.

    Raise InputError when it is no JSON, cut, or holds no Intune device configuration at all. A type-cast request
    leaves ``@odata.type`` out; the type is then taken from ``@odata.context`` or from the SCEP settings themselves.
    Source: Graph beta reference, deviceConfiguration and its SCEP types.
    """
    root: object = None
    try:
        root = json.loads(data)
        failed = False
    except (ValueError, RecursionError):
        failed = True
    if failed:
        # Raised out here: the decoder's error carries the whole document along.
        raise InputError("json-broken", "the JSON is cut or broken", where=where, hint="export it again, whole")
    context = text(root.get("@odata.context")) if isinstance(root, dict) else ""
    objects = [(path, entry, _type(entry, context)) for path, entry in _objects(root)]
    if not any(kind for _, _, kind in objects):
        raise InputError(
            "no-profile",
            "this JSON holds no Intune device configuration",
            where=where,
            hint="give the answer of GET /beta/deviceManagement/deviceConfigurations/{id}?$expand=assignments",
        )
    profiles = tuple(
        _profile(path, entry, _SCEP_TYPES.get(kind, Platform.MACOS), is_scep=kind in _SCEP_TYPES)
        for path, entry, kind in objects
        if kind and kind not in _TRUST_TYPES
    )
    trusts = [_trust(path, entry, _TRUST_TYPES[kind]) for path, entry, kind in objects if kind in _TRUST_TYPES]
    for path, entry, kind in objects:
        linked = entry.get("rootCertificate")
        if kind in _SCEP_TYPES and isinstance(linked, dict):
            trusts.append(_trust(f"{path}rootCertificate.", linked, _SCEP_TYPES[kind], linked_from=path))
    return ProfileDocument(ProfileFormat.INTUNE, profiles, trust_certificates=tuple(trusts))


def _objects(root: object) -> list[tuple[str, Json]]:
    """Return (path prefix, object) of one object, of a list, or of Graph's envelope around either."""
    prefix = ""
    if isinstance(root, dict) and isinstance(root.get("value"), list | dict):
        root, prefix = root["value"], "value"
    if isinstance(root, dict):
        return [(f"{prefix}." if prefix else "", root)]
    entries = root[:_LIMIT] if isinstance(root, list) else []
    return [(f"{prefix}[{index}].", entry) for index, entry in enumerate(entries) if isinstance(entry, dict)]


def _type(entry: Json, context: str) -> str:
    """Return the type's name in lower case, empty where the object is no device configuration."""
    named = text(entry.get("@odata.type")).rpartition(".")[2].lower()
    if named:
        return named if named in _SCEP_TYPES or named in _TRUST_TYPES or "displayName" in entry else ""
    for kind in _SCEP_TYPES:
        if kind in context.lower():
            return kind
    if "scepServerUrls" not in entry:
        return ""
    on_mac = "allowAllAppsAccess" in entry or "deploymentChannel" in entry
    return "macosscepcertificateprofile" if on_mac else "windows81scepcertificateprofile"


def _profile(path: str, entry: Json, platform: Platform, *, is_scep: bool) -> ScepProfile:
    return ScepProfile(
        path=path.rstrip("."),
        platform=platform,
        identifier=text(entry.get("id")),
        display_name=text(entry.get("displayName")),
        scopes=tuple(_scopes(path, entry)) if is_scep else (),
        scep_payloads=(_payload(path, entry, platform),) if is_scep else (),
        other_types=() if is_scep else (text(entry.get("@odata.type")),),
        assignments=_assignments(entry.get("assignments")),
    )


def _scopes(path: str, entry: Json) -> list[ScopeSetting]:
    found = []
    for key, for_user, for_device in _USER_SETTINGS:
        value = text(entry.get(key))
        if value in (for_user, for_device):
            found.append(ScopeSetting(f"{path}{key}", Scope.USER if value == for_user else Scope.SYSTEM, value))
    return found


def _payload(path: str, entry: Json, platform: Platform) -> ScepPayload:
    urls = entry.get("scepServerUrls")
    listed = urls[:_PART_LIMIT] if isinstance(urls, list) else []
    usages = entry.get("extendedKeyUsages")
    return ScepPayload(
        path=path.rstrip("."),
        url_path=f"{path}scepServerUrls",
        urls=tuple(_url(url, f"{path}scepServerUrls[{index}]") for index, url in enumerate(listed)),
        url_odd="" if urls is None else "an empty list" if urls == [] else _odd_urls(urls),
        key_bits=_key_size(entry.get("keySize"), f"{path}keySize"),
        key_type=Setting(f"{path}keySize"),
        usages=_key_usage(entry.get("keyUsage"), f"{path}keyUsage"),
        # Intune has no switch for exporting the key on either platform, and for other apps' access only on macOS.
        extractable=None,
        all_apps=boolean(entry.get("allowAllAppsAccess"), f"{path}allowAllAppsAccess")
        if platform is Platform.MACOS
        else None,
        subject=_subject(path, entry),
        extended_key_usages=None
        if not isinstance(usages, list)
        else tuple(text(usage.get("objectIdentifier")) for usage in usages[:_PART_LIMIT] if isinstance(usage, dict)),
        display_name=text(entry.get("displayName")),
    )


def _url(value: object, path: str) -> ServerUrl:
    return read_server_url(value, path) if isinstance(value, str) else ServerUrl(path, "", "")


def _odd_urls(urls: object) -> str:
    return "" if isinstance(urls, list) else f"{type_name(urls)}, not a list"


def _key_size(value: object, path: str) -> Setting[int]:
    if value is None:
        return Setting(path)
    if isinstance(value, str) and value in _KEY_SIZES:
        return Setting(path, _KEY_SIZES[value], value)
    return Setting(path, None, f"{type_name(value)} that is none of {', '.join(_KEY_SIZES)}")


def _key_usage(value: object, path: str) -> Setting[frozenset[str]]:
    """Read Graph's flags: ``keyEncipherment,digitalSignature`` in one text (some exports: a list)."""
    if value is None:
        return Setting(path)
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [None]
    names = [text(part).strip() for part in parts[:_PART_LIMIT]]
    known = frozenset(_USAGES[name.lower()] for name in names if name.lower() in _USAGES)
    if not known:
        return Setting(path, None, f"{type_name(value)} without digitalSignature or keyEncipherment")
    return Setting(path, known, ",".join(name for name in names if name.lower() in _USAGES))


def _subject(path: str, entry: Json) -> Setting[str]:
    """A fixed format (``commonNameAsSerialNumber``, …) names a property of the device or person: a variable."""
    pattern, custom = text(entry.get("subjectNameFormat")), entry.get("subjectNameFormatString")
    if isinstance(custom, str) and custom:
        return Setting(f"{path}subjectNameFormatString", text(custom), text(custom))
    if custom is not None and not isinstance(custom, str):
        return Setting(f"{path}subjectNameFormatString", None, f"{type_name(custom)}, not text")
    if pattern and pattern != "custom":
        return Setting(f"{path}subjectNameFormat", f"CN={{{{{pattern}}}}}", pattern)
    return Setting(f"{path}subjectNameFormatString")


def _trust(path: str, entry: Json, platform: Platform, linked_from: str = "") -> TrustCertificate:
    return TrustCertificate(
        path=path.rstrip("."),
        name=text(entry.get("displayName")),
        platform=platform,
        assignments=_assignments(entry.get("assignments")),
        linked_from=linked_from.rstrip("."),
    )


def _assignments(value: object) -> tuple[Assignment, ...] | None:
    if not isinstance(value, list):
        return None
    targets = [entry.get("target") for entry in value[:_LIMIT] if isinstance(entry, dict)]
    return tuple(_assignment(target) for target in targets if isinstance(target, dict))


def _assignment(target: Json) -> Assignment:
    named = text(target.get("@odata.type")).rpartition(".")[2]
    kind = _TARGETS.get(named.lower(), named or "unknown")
    return Assignment(kind, text(target.get("groupId")), excluded="exclusion" in named.lower())
