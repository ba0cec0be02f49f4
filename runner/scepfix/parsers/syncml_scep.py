"""Reads Windows SCEP settings from SyncML: the ClientCertificateInstall nodes that an MDM sends to a PC.

>>> syncml = b'''<Atomic><Add><Item>
...   <Target><LocURI>./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/okta/Install/KeyUsage</LocURI></Target>
...   <Data>160</Data>
... </Item></Add></Atomic>'''
>>> sorted(parse_syncml(syncml, "okta.xml").profiles[0].scep_payloads[0].usages.value)
['encryption', 'signing']
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import (
    ENCRYPTION,
    SIGNING,
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
from scepfix.parsers.apple_payload import text
from scepfix.parsers.safe_xml import Handlers, narrowed, walk_xml
from scepfix.parsers.server_url import read_server_url

_SCEP_NODE = re.compile(
    r"(?P<root>(?:\./|/)?(?:(?P<scope>Device|User)/)?Vendor/MSFT/ClientCertificateInstall/SCEP/(?P<id>[^/]+))"
    r"(?:/Install/(?P<name>\w+))?/?",
    re.IGNORECASE,
)
_TRUST_NODE = re.compile(r"Vendor/MSFT/RootCATrustedCertificates/.+/EncodedCertificate$", re.IGNORECASE)
_DECLARATION = re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>)?")
#: Key usage bits of the CSP: 0x80 digital signature, 0x20 key encipherment.
_USAGE_BITS = ((0x80, SIGNING), (0x20, ENCRYPTION))
_ITEM_LIMIT = 10_000


#: Commands that set something; a Get or Delete of a node says nothing about its settings.
_SETTERS = frozenset({"Add", "Replace", "Exec"})
_COMMANDS = _SETTERS | {"Get", "Delete", "Copy", "Alert", "Results", "Status"}


@dataclass(slots=True)
class _Items:
    """Collects (LocURI, Data) of every Item of a setting command as the XML goes by."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    addressed: bool = False
    _uri: list[str] = field(default_factory=list)
    _data: list[str] = field(default_factory=list)
    _into: list[str] | None = None
    _parent: str = ""
    _command: str = ""

    def start(self, name: str) -> None:
        if name in _COMMANDS:
            self._command = name
        if name == "Item":
            self._uri, self._data = [], []
        is_target = name == "LocURI" and self._parent == "Target"
        self._into = self._uri if is_target else self._data if name == "Data" else None
        self._parent = name

    def end(self, name: str) -> None:
        self._into = None
        if name == "Item":
            uri = "".join(self._uri).strip()
            self.addressed = self.addressed or "/" in uri
            if self._command in _SETTERS and len(self.pairs) < _ITEM_LIMIT:
                self.pairs.append((uri, "".join(self._data).strip()))

    def text(self, value: str) -> None:
        if self._into is not None:
            self._into.append(value)


def parse_syncml(data: bytes, where: str) -> ProfileDocument:
    """Given SyncML (a whole message, or the bare commands an MDM takes), return one profile with its SCEP payloads.

    Raise InputError when it is not well-formed, has a DOCTYPE, or addresses no node of a device.
    Source: Microsoft "ClientCertificateInstall CSP".
    """
    items = _Items()
    data = narrowed(data)
    # Bare commands have no single root; one around them changes nothing for a document that has its own. What has a
    # DOCTYPE goes in as it is, to be refused for that.
    wrapped = b"<scepfix>" + _DECLARATION.sub(b"", data, count=1) + b"</scepfix>"
    walk_xml(data if b"<!DOCTYPE" in data else wrapped, where, Handlers(items.start, items.end, items.text))
    if not items.addressed:
        raise InputError(
            "no-profile",
            "this XML has no SyncML command for a device",
            where=where,
            hint="give the SyncML with ./Device/Vendor/MSFT/ClientCertificateInstall/SCEP nodes, or a .mobileconfig",
        )
    return ProfileDocument(ProfileFormat.SYNCML, (_profile(items.pairs),))


def _profile(pairs: list[tuple[str, str]]) -> ScepProfile:
    nodes: dict[str, dict[str, str]] = {}
    scopes: dict[str, ScopeSetting] = {}
    identifier = ""
    for uri, value in pairs:
        if match := _SCEP_NODE.fullmatch(uri):
            root = text(match["root"])
            # Without a prefix the path means the device (Microsoft: "./Vendor/MSFT" equals "./Device/Vendor/MSFT").
            for_user = (match["scope"] or "Device").lower() == "user"
            scopes[root] = ScopeSetting(
                root, Scope.USER if for_user else Scope.SYSTEM, "./User" if for_user else "./Device"
            )
            nodes.setdefault(root, {})[(match["name"] or "").lower()] = value
            identifier = identifier or text(match["id"])
    return ScepProfile(
        path="",
        platform=Platform.WINDOWS,
        identifier=identifier,
        scopes=tuple(scopes.values()),
        scep_payloads=tuple(_payload(root, settings) for root, settings in nodes.items()),
        trust_certificates=tuple(
            TrustCertificate(text(uri), platform=Platform.WINDOWS) for uri, _ in pairs if _TRUST_NODE.search(uri)
        )[:64],
    )


def _payload(path: str, settings: dict[str, str]) -> ScepPayload:
    urls = settings.get("serverurl", "")
    usages = settings.get("ekumapping")
    return ScepPayload(
        path=path,
        url_path=f"{path}/Install/ServerURL",
        urls=_urls(urls, f"{path}/Install/ServerURL"),
        url_odd="empty text" if "serverurl" in settings and not urls else "",
        key_bits=_number(settings.get("keylength"), f"{path}/Install/KeyLength"),
        key_type=Setting(f"{path}/Install/KeyLength"),
        usages=_usages(settings.get("keyusage"), f"{path}/Install/KeyUsage"),
        extractable=None,
        all_apps=None,
        subject=_subject(settings.get("subjectname"), f"{path}/Install/SubjectName"),
        has_challenge=bool(settings.get("challenge")),
        alternative_names=("(present)",) if settings.get("subjectalternativenames") else (),
        extended_key_usages=None if usages is None else tuple(text(part) for part in usages.split("+") if part)[:64],
    )


def _urls(value: str, path: str) -> tuple[ServerUrl, ...]:
    parts = [part.strip() for part in value.split(";") if part.strip()]
    return tuple(read_server_url(part, path) for part in parts[:64])


def _number(value: str | None, path: str) -> Setting[int]:
    if value is None:
        return Setting(path)
    if re.fullmatch(r"[0-9]{1,9}", value):
        return Setting(path, int(value), value)
    return Setting(path, None, "text that is no decimal number" if value else "empty text")


def _usages(value: str | None, path: str) -> Setting[frozenset[str]]:
    number = _number(value, path)
    if number.value is None:
        return Setting(path, None, number.shown)
    names = [name for bit, name in _USAGE_BITS if number.value & bit]
    return Setting(path, frozenset(names), f"{number.value} ({' and '.join(names) or 'none that counts'})")


def _subject(value: str | None, path: str) -> Setting[str]:
    return Setting(path) if value is None else Setting(path, text(value), text(value) or "empty text")
