"""The collector's line: what a device printed of itself for its MDM to collect, as an observation (docs/collector.md).

Printed by ``observe_macos.sh`` and ``observe_windows.ps1`` in their mode ``line``: fewer than 2,000 characters of
ASCII, words ``key=value`` in a fixed order, one blank between two (shown here on several lines)::

    scepfix1 os=macos at=20261124093000Z sn=C02EXAMPLE01 uuid=0F0F0F0F-1111-2222-3333-444444444444 version=15.1
    build=24B83 root=yes enrolled=y service=y okta=9.56.1 log=m1:20261123102152000+0000,m3:20261123102152120+0000
    complete=y profiles=1 certificates=1 more=0
    c=NOT_BEFORE,NOT_AFTER,SERIAL,SHA256,SHA256_OF_PUBLIC_KEY,AUTHORITY_KEY_ID,KEY,KEY_USAGE,PURPOSES,SELF,DEVICE
    p=s,com.example.scep,20261101080000Z,com.apple.security.scep+com.apple.security.root sum=2cd73239a64432f1

``-`` is *none*, ``?`` *no answer*; ``%XX`` is a byte that is no letter, digit, dot, underscore or hyphen. ``c`` are the
leaves with the marker in the computer's store, newest first: those that did not fit are counted in ``more``, and
``complete`` is ``n`` then. ``p`` begins with ``s`` (the computer's) or ``u`` (a person's). ``sum`` begins the SHA-256
of all before its blank: it tells a line that was cut, and protects from nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from scepfix.domain.certificate import MARKER_EKU_OID
from scepfix.domain.device import (
    Collected,
    Identity,
    InstalledProfile,
    Observation,
    StoredCertificate,
    ToldCertificate,
    ToldLine,
)
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.parsers.windows_observation import identity_of_pc
from scepfix.parsers.x509_extensions import KEY_USAGES

LIMIT = 2000
#: An MDM may keep more than the line around it: tags, and what a shell prints before it.
LARGEST_TEXT = 20_000
#: A device whose clock is further ahead than this of when the MDM got its line has a wrong clock.
_CLOCK_TOLERANCE = timedelta(minutes=5)
_BEGIN = "scepfix1 "
_KEYS = (
    *("os", "at", "sn", "uuid", "version", "build", "root", "enrolled", "service", "okta", "log"),
    *("complete", "profiles", "certificates", "more"),
)
_ESCAPED = r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})"
_MOMENT = r"\d{14}Z"
_STAMP = r"\d{17}[+-]\d{4}"
_LOGGED = rf"[mw][0-9x]:(?:-|{_STAMP})"
_UUID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_WORD = r"[A-Za-z0-9.]{1,30}"
_FORMS = {
    "os": "macos|windows",
    "at": _MOMENT,
    "sn": rf"-|{_ESCAPED}{{3,120}}",
    "uuid": f"-|{_UUID}",
    "version": f"-|{_WORD}",
    "build": f"-|{_WORD}",
    "root": "yes|no",
    "enrolled": "[yn?]",
    "service": "[yn?]",
    "okta": f"-|{_WORD}",
    "log": rf"none|\?|-|{_LOGGED}(?:,{_LOGGED}){{0,3}}",
    "complete": "[yn]",
    "profiles": r"\?|\d{1,3}",
    "certificates": r"\d{1,4}",
    "more": r"\d{1,4}",
}
_CERTIFICATE = re.compile(
    rf"c=({_MOMENT}),({_MOMENT}),([0-9a-f]{{1,64}}),([0-9a-f]{{64}}),([0-9a-f]{{64}}),(-|[0-9a-f]{{2,128}}),([yn?]),"
    rf"(-|[0-9a-f]{{2,8}}),(-|0|[acmo]{{1,4}}),([yn]),(-|{_ESCAPED}{{3,120}})",
    re.ASCII,
)
_PROFILE = re.compile(rf"p=([su]),({_ESCAPED}{{0,600}}),(-|{_MOMENT}),({_ESCAPED}*(?:\+{_ESCAPED}*)*)", re.ASCII)
_SUM = re.compile(r"sum=([0-9a-f]{16})", re.ASCII)
_SAYS = {
    Platform.MACOS: {
        "m1": "log.attempt",
        "m2": "log.no-certificate",
        "m3": "log.rejected",
        "mx": "log.registration-failed",
    },
    Platform.WINDOWS: {
        "w1": "log.device-not-registered",
        "w2": "log.no-certificate",
        "w3": "log.not-eligible",
    },
}
_PURPOSES = {"c": "clientAuth", "a": "anyExtendedKeyUsage", "m": MARKER_EKU_OID, "o": "another usage"}
_STORES = {Platform.MACOS: "system", Platform.WINDOWS: "local-machine"}
_TRUTH = {"y": True, "n": False, "?": None}


def parse_collected_line(text: str, got_at: datetime | None, now: datetime) -> Observation:
    """Given what the MDM keeps of the collector's output, when it got that (None: it does not say) and the moment of
    asking, both aware, return the observation. Raise InputError where there is not exactly one whole line in it.

    The observation's moment is the device's own, or that of the MDM where the device's clock is ahead of it; how old it
    may be is for others to say. ``clock_offset_seconds`` is known of a clock that is far ahead only: one that is behind
    cannot be told from a line that came late.
    """
    words = _words(_line(text))
    values = dict(zip(_KEYS, words, strict=False))
    platform, at = Platform(values["os"]), _moment(values["at"])
    latest = min(got_at or now, now)
    problems: list[str] = []
    count, more = int(values["certificates"]), int(values["more"])
    profiles = 0 if values["profiles"] == "?" else int(values["profiles"])
    entries = words[len(_KEYS) :]
    if more > count or len(entries) != count - more + profiles:
        raise _another("it does not hold what it counts")
    complete = values["complete"] == "y" and more == 0
    if more:
        problems.append(f"{more} certificates did not fit into the line: it is no answer about what is not there")
    elif not complete:
        problems.append("the computer's certificates were not listed whole (by root, or an administrator)")
    if values["profiles"] == "?":
        problems.append("the device gave no answer about its profiles")
    if values["log"] == "?":
        problems.append("the device's log could not be read")
    return Observation(
        platform=platform,
        observed_at=min(at, latest),
        identity=_identity(platform, values["sn"], values["uuid"], problems),
        os_version=_told(values["version"]),
        os_build=_told(values["build"]),
        clock_offset_seconds=(at - latest).total_seconds() if at - latest > _CLOCK_TOLERANCE else None,
        complete=complete,
        certificates=tuple(_certificate(word, _STORES[platform]) for word in entries[: count - more]),
        profiles=None if values["profiles"] == "?" else tuple(_profile(word) for word in entries[count - more :]),
        enrolled=_TRUTH[values["enrolled"]],
        daemon_present=_TRUTH[values["service"]],
        okta_verify_version=_told(values["okta"]),
        problems=tuple(problems),
        collected=Collected(got_at, _log(platform, values["log"])),
    )


def _line(text: str) -> str:
    """Return the one line of the collector in a text, without the tags of an extension attribute."""
    if len(text) > LARGEST_TEXT:
        raise InputError("observation-too-large", f"more than {LARGEST_TEXT} characters", hint="is this the collector?")
    lines = [line.strip().removeprefix("<result>").removesuffix("</result>").strip() for line in text.splitlines()]
    found = [line for line in lines if line.startswith(_BEGIN)]
    if len(found) != 1:
        what = "several lines of the collector" if found else "the MDM keeps something else"
        raise InputError("observation-format", f"no line of the collector: {what}", hint="see docs/collector.md")
    if len(found[0]) >= LIMIT or not found[0].isascii():
        raise _another("it is too long, or not ASCII")
    return found[0]


def _words(line: str) -> list[str]:
    """Return the values of the keys in their order, then the entries as they stand there."""
    whole, _, last = line.rpartition(" ")
    found = _SUM.fullmatch(last)
    if found is None or hashlib.sha256(whole.encode("ascii")).hexdigest()[:16] != found[1]:
        raise InputError(
            "observation-cut",
            "the line of the collector was cut or changed",
            hint="does the MDM keep 2,000 characters?",
        )
    words = whole.split(" ")[1:]
    values: list[str] = []
    for key, word in zip(_KEYS, words, strict=False):
        name, _, value = word.partition("=")
        if name != key or not re.fullmatch(_FORMS[key], value, re.ASCII):
            raise _another(f"{key} is missing, or is none")
        values.append(value)
    if len(values) < len(_KEYS):
        raise _another(f"{_KEYS[len(values)]} is missing")
    return values + words[len(_KEYS) :]


def _another(what: str) -> InputError:
    return InputError("observation-format", f"not a line of the collector: {what}", hint="deploy the script again")


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _another("a moment is none") from None


def _stamp(text: str) -> datetime | None:
    """Return the moment of a line of the log; None where it has none, or no such moment."""
    if text == "-":
        return None
    try:
        return datetime.strptime(text[:17] + "000" + text[17:], "%Y%m%d%H%M%S%f%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _told(text: str) -> str:
    return "" if text == "-" else _plain(text)


def _plain(text: str) -> str:
    """Undo the escapes. What is no UTF-8 and what acts on a terminal is spelled out."""
    raw = re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text).encode("latin-1")
    return visible(raw.decode("utf-8", "replace"))


def _identity(platform: Platform, serial: str, uuid: str, problems: list[str]) -> Identity:
    serial, uuid = _told(serial), _told(uuid)
    if platform is Platform.WINDOWS:
        return identity_of_pc(serial, uuid, problems)
    for said, called in ((serial, "serial number"), (uuid, "hardware UUID")):
        if not said:
            problems.append(f"the device did not say its {called}")
    return Identity(serial_number=serial.upper(), hardware_uuid=uuid.upper())


def _certificate(word: str, store: str) -> StoredCertificate:
    found = _CERTIFICATE.fullmatch(word)
    if found is None:
        raise _another("a certificate is none")
    not_before, not_after, serial, sha256, public_key, authority, key, usage, purposes, own, device = found.groups()
    told = ToldCertificate(
        serial_number=serial,
        sha256=sha256,
        not_before=_moment(not_before),
        not_after=_moment(not_after),
        public_key_sha256=public_key,
        authority_key_id="" if authority == "-" else authority,
        key_usage=None if usage == "-" else _key_usage(usage),
        extended_key_usage=None if purposes == "-" else tuple(_PURPOSES[one] for one in purposes.replace("0", "")),
        self_signed=own == "y",
        device_named=_told(device),
    )
    return StoredCertificate(b"", store, _TRUTH[key], told=told)


def _key_usage(bits: str) -> tuple[str, ...]:
    digits = f"{int(bits, 16):0{len(bits) * 4}b}"
    return tuple(name for name, bit in zip(KEY_USAGES, digits, strict=False) if bit == "1")


def _profile(word: str) -> InstalledProfile:
    found = _PROFILE.fullmatch(word)
    if found is None:
        raise _another("a profile is none")
    scope, identifier, installed, types = found.groups()
    return InstalledProfile(
        identifier=_plain(identifier),
        payload_types=tuple(_plain(one) for one in types.split("+") if one),
        installed_at=None if installed == "-" else _moment(installed),
        scope="system" if scope == "s" else "user",
    )


def _log(platform: Platform, text: str) -> tuple[ToldLine, ...] | None:
    if text in ("none", "?"):
        return None
    entries: Sequence[str] = () if text == "-" else text.split(",")
    found = []
    for entry in entries:
        kind, _, stamp = entry.partition(":")
        says = _SAYS[platform].get(kind)
        if says is None:
            raise _another("a line of the log is none")
        found.append(ToldLine(says, _stamp(stamp)))
    return tuple(found)
