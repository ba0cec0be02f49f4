"""Reads the payload dictionaries of an Apple profile; a profile file and a Mac's own list share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import (
    ENCRYPTION,
    IDENTITY_PREFERENCE_TYPE,
    SCEP_TYPE,
    SIGNING,
    TRUST_TYPES,
    ScepPayload,
    ScepProfile,
    ServerUrl,
    Setting,
    TrustCertificate,
)
from scepfix.parsers.server_url import read_server_url

#: Bounds for what may be shared over and over inside a hostile binary plist; real profiles stay far below.
_PAYLOAD_LIMIT = 1_000
_PART_LIMIT = 64
_TEXT_LIMIT = 512
_SUBJECT_LIMIT = 4_096
#: PKCS#9 challengePassword: a subject may (wrongly) carry the SCEP secret under its OID.
_SECRET_OIDS = frozenset({"1.2.840.113549.1.9.7", "challengepassword"})
_USAGE_BITS = ((1, SIGNING), (4, ENCRYPTION))


def read_payloads(profile: ScepProfile, items: object, path: str, where: str) -> tuple[ScepProfile, tuple[str, ...]]:
    """Given a profile, its payload list (of any type) and that list's key path, return it filled, and remarks.

    A list that is none, or entries that are no dictionaries, become remarks. Raise InputError when there are more
    than 1,000 payloads. Only SCEP payloads are looked into; of all others the type alone is kept.
    """
    if not isinstance(items, list):
        state = "missing" if items is None else f"{type_name(items)}, not a list"
        return profile, (f"{path} is {state}: no payload could be read",)
    if len(items) > _PAYLOAD_LIMIT:
        raise InputError(
            "profile-too-large",
            f"more than {_PAYLOAD_LIMIT:,} payloads",
            where=where,
            hint="a profile has a handful; is this the right file?",
        )
    payloads = [(f"{path}[{index}]", item) for index, item in enumerate(items)]
    odd = tuple(f"{at} is {type_name(item)}, not a payload" for at, item in payloads if not isinstance(item, dict))
    dicts = [(at, item) for at, item in payloads if isinstance(item, dict)]
    types = [text(item.get("PayloadType")) for _, item in dicts]
    known = TRUST_TYPES | {SCEP_TYPE, IDENTITY_PREFERENCE_TYPE}
    filled = replace(
        profile,
        scep_payloads=tuple(
            read_scep_payload(item, at, [other for _, other in dicts])
            for (at, item), kind in zip(dicts, types, strict=True)
            if kind == SCEP_TYPE
        ),
        identity_preferences=tuple(
            at for (at, _), kind in zip(dicts, types, strict=True) if kind == IDENTITY_PREFERENCE_TYPE
        ),
        trust_certificates=tuple(
            TrustCertificate(at, name=text(item.get("PayloadDisplayName")), platform=Platform.MACOS)
            for (at, item), kind in zip(dicts, types, strict=True)
            if kind in TRUST_TYPES
        ),
        other_types=tuple(sorted({kind for kind in types if kind not in known})),
    )
    return filled, odd


def read_scep_payload(
    payload: Mapping[object, object], path: str, siblings: Sequence[Mapping[object, object]] = ()
) -> ScepPayload:
    """Given one com.apple.security.scep dictionary and its key path, return its settings. Never raises."""
    inner = payload.get("PayloadContent")
    at = f"{path}.PayloadContent"
    settings = inner if isinstance(inner, dict) else {}
    uuid = text(payload.get("PayloadUUID"))
    urls, url_odd = _url(settings.get("URL"), f"{at}.URL")
    if inner is not None and not isinstance(inner, dict):
        url_odd = f"PayloadContent is {type_name(inner)}, not a dictionary"
    return ScepPayload(
        path=path,
        url_path=f"{at}.URL",
        urls=urls,
        url_odd=url_odd,
        key_bits=_integer(settings.get("Keysize"), f"{at}.Keysize"),
        key_type=_string(settings.get("Key Type"), f"{at}.Key Type"),
        usages=_usages(settings.get("Key Usage"), f"{at}.Key Usage"),
        extractable=boolean(settings.get("KeyIsExtractable"), f"{at}.KeyIsExtractable"),
        all_apps=boolean(settings.get("AllowAllAppsAccess"), f"{at}.AllowAllAppsAccess"),
        subject=_subject(settings.get("Subject"), f"{at}.Subject"),
        has_challenge=bool(settings.get("Challenge")),
        alternative_names=_alternative_names(settings.get("SubjectAltName")),
        display_name=text(payload.get("PayloadDisplayName")),
        uuid=uuid,
        used_by=_users_of(uuid, siblings),
    )


def text(value: object) -> str:
    """Given anything, return it if it is text (cut to a length a person can read), else an empty string."""
    return value[:_TEXT_LIMIT] if isinstance(value, str) else ""


def type_name(value: object) -> str:
    """Given a plist or JSON value, return what a person calls its type; the value itself is never shown."""
    if isinstance(value, bool):
        return "true or false"
    names = ((str, "text"), (int | float, "a number"), (bytes, "data"), (list, "a list"), (dict, "a dictionary"))
    return next((name for kind, name in names if isinstance(value, kind)), "something else")


def boolean(value: object, path: str) -> Setting[bool]:
    """Given a value that should be true or false and its key path, return the setting."""
    if value is None:
        return Setting(path)
    if isinstance(value, bool):
        return Setting(path, value, "true" if value else "false")
    return Setting(path, None, f"{type_name(value)}, not true or false")


def _integer(value: object, path: str) -> Setting[int]:
    if value is None:
        return Setting(path)
    if isinstance(value, int) and not isinstance(value, bool):
        # Beyond 64 bits no plist reader agrees on the number, and printing it could take for ever.
        return Setting(path, value, str(value)) if abs(value) < 2**63 else Setting(path, None, "an absurd number")
    # A digit string in this place is the usual slip, and digits of a key size are no secret.
    quoted = f' "{value}"' if isinstance(value, str) and len(value) <= 5 and value.isdecimal() else ""
    return Setting(path, None, f"{type_name(value)}{quoted}, not a whole number")


def _string(value: object, path: str) -> Setting[str]:
    if value is None:
        return Setting(path)
    if not isinstance(value, str):
        return Setting(path, None, f"{type_name(value)}, not text")
    return Setting(path, text(value), text(value) or "empty text")


def _url(value: object, path: str) -> tuple[tuple[ServerUrl, ...], str]:
    if isinstance(value, str) and value:
        return (read_server_url(value, path),), ""
    if value is None:
        return (), ""
    return (), "empty text" if value == "" else f"{type_name(value)}, not text"


def _usages(value: object, path: str) -> Setting[frozenset[str]]:
    number = _integer(value, path)
    if number.value is None:
        return Setting(path, None, number.shown)
    names = [name for bit, name in _USAGE_BITS if number.value & bit]
    return Setting(path, frozenset(names), f"{number.value} ({' and '.join(names) or 'none that counts'})")


def _subject(value: object, path: str) -> Setting[str]:
    """Read ``[[[key, text], …], …]``: a list of relative names, each a list of pairs (Apple SCEP reference)."""
    if value is None:
        return Setting(path)
    if not isinstance(value, list):
        return Setting(path, None, f"{type_name(value)}, not a list of names")
    parts = []
    for relative in value[:_PART_LIMIT]:
        pairs = relative[:_PART_LIMIT] if isinstance(relative, list) else [relative]
        if not all(_is_pair(pair) for pair in pairs):
            return Setting(path, None, "a list that is not made of [[name, text]] entries")
        parts.append("+".join(_pair(pair) for pair in pairs))
    joined = ",".join(parts)[:_SUBJECT_LIMIT]
    return Setting(path, joined, joined or "an empty list")


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, str) for half in pair)


def _pair(pair: Sequence[str]) -> str:
    secret = pair[0].strip().lower() in _SECRET_OIDS
    return f"{text(pair[0])}={'(not shown)' if secret else text(pair[1])}"


def _alternative_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, dict):
        return ()
    names = []
    for kind in ("rfc822Name", "dNSName", "uniformResourceIdentifier", "ntPrincipalName"):
        entries = value.get(kind)
        listed = entries[:_PART_LIMIT] if isinstance(entries, list) else [entries]
        # A URI may carry a user name and password; its presence is all anyone needs.
        shown = ["(present)" if kind == "uniformResourceIdentifier" else entry for entry in listed if text(entry)]
        names += [f"{kind}={text(entry)}" for entry in shown]
    return tuple(names)


def _users_of(uuid: str, siblings: Sequence[Mapping[object, object]]) -> tuple[str, ...]:
    """Return the types of payloads whose identity is this one: they say so by its UUID (Apple reference)."""
    if not uuid:
        return ()
    keys = ("IdentityCertificateUUID", "PayloadCertificateUUID")
    return tuple(
        sorted({text(sibling.get("PayloadType")) for sibling in siblings for key in keys if sibling.get(key) == uuid})
    )
