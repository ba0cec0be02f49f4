"""Reads a SCEP server URL down to scheme and host, so that nothing secret in it is ever kept."""

from __future__ import annotations

import re

from scepfix.domain.scep_profile import ServerUrl

#: The whole URL comes from the MDM later: Fleet and Jamf ``$NAME`` and ``${NAME}``, Intune ``{{name}}``, ``%name%``.
_VARIABLE = re.compile(r"\$\{?[A-Za-z_]|\{\{?[A-Za-z]|%[A-Za-z_][\w.]*%")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
#: Host names, addresses, an optional port, and the marks of MDM variables within a name.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.${}%-]+)(:\d{1,5})?")


def read_server_url(text: str, path: str) -> ServerUrl:
    """Given a URL's text and its key path, return scheme and host. Never raises.

    The text is not given to urllib: it puts the part with the password into its error messages.

    >>> read_server_url("https://ann:pw@acme.okta.com:443/pki/x?token=1", "URL").shown
    'https://acme.okta.com:443'
    >>> read_server_url("ann:pw@acme", "URL").shown
    'text that is no URL'
    """
    if _VARIABLE.match(text):
        return ServerUrl(path, "", "", variable=True)
    scheme = _SCHEME.match(text)
    if scheme is None or not text[scheme.end() :].startswith("//"):
        return ServerUrl(path, "", "")
    # Any other scheme may be a user name before a password, so its text is not kept.
    name = scheme[1].lower() if scheme[1].lower() in ("http", "https") else "other"
    authority, after = _split_authority(text[scheme.end() + 2 :])
    if "@" in after:
        # A password with a bare / or ? ends the authority early: what looks like a host may be a part of it.
        return ServerUrl(path, name, "")
    host = _HOST.fullmatch(authority.rpartition("@")[2])
    return ServerUrl(path, name, host[0].lower() if host else "", host_missing=host is None)


def _split_authority(rest: str) -> tuple[str, str]:
    end = re.search(r"[/?#\\]", rest)
    return (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
