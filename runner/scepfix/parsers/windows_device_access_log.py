r"""The Windows Device Access log, in ``…\systemprofile\AppData\Local\Okta Device Access\Logs``.

A line, as Okta's help page "Troubleshoot Desktop MFA for Windows" prints it::

    2025-07-23 16:54:59.154 +05:30 [ERR] [DevicePrincipalAuthenticator.CanRegisterClient] Device cannot be registered: …

The time may be missing, and an icon in brackets may stand after the level.

>>> [s.says for s in read("[WRN][🟠][UserLogonSession::GetAdminRecoveryChallengeAsync]"
...                       "Deviceisnotregistered,adminrecoveryunavailable")]
['log.device-not-registered']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.sighting import WINDOWS_TIME, LogFormat, Sighting, instant

_LINE = re.compile(
    WINDOWS_TIME
    + r"\[(?:VRB|DBG|INF|WRN|ERR|FTL)\](?:\[[^\]A-Za-z]{0,12}\])?"
    + r"\[([A-Za-z_]\w{2,60}(?:::|\.)\w{2,60})\]"
)
#: Class, separator and method; the sentence; what it says. The same sentence of another class is another matter.
_KNOWN = (
    (
        "DevicePrincipalAuthenticator.CanRegisterClient",
        "Devicecannotberegistered:Couldnotfindavalidcertificatefordeviceauthentication",
        "log.no-certificate",
    ),
    (
        "DeviceRegistrationJob::RunRegistrationLoop",
        "DeviceRegistration:Devicenoteligibleforregistration",
        "log.not-eligible",
    ),
    (
        "UserLogonSession::GetAdminRecoveryChallengeAsync",
        "Deviceisnotregistered,adminrecoveryunavailable",
        "log.device-not-registered",
    ),
)
_METHOD_BEFORE = re.compile(r"([\w.:]{1,120})\]$")


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield the known lines; one cut before or in its class still counts by its method."""
    for origin, sentence, says in _KNOWN:
        at = text.find(sentence)
        while at >= 0:
            end = at + len(sentence)
            line = _line_before(text, at)
            if line is not None:
                if line[11] == origin:
                    yield Sighting(line.start(), end, says, instant(line), {"platform": "windows"})
            elif (cut := _METHOD_BEFORE.search(text[max(0, at - 121) : at])) and _is_end_of(cut[1], origin):
                yield Sighting(at - len(cut[0]), end, says, None, {"platform": "windows"})
            at = text.find(sentence, end)


def _is_end_of(cut: str, origin: str) -> bool:
    return origin.endswith(cut) and len(cut) >= len(_method(origin))


def _method(origin: str) -> str:
    return re.split(r"[.:]+", origin)[-1]


def _line_before(text: str, at: int) -> re.Match[str] | None:
    """Given where a sentence starts, return the line prefix that ends right there, if one does."""
    return next((line for line in _LINE.finditer(text, max(0, at - 240), at) if line.end() == at), None)


FORMAT = LogFormat(
    name="Windows Device Access log",
    # Two for each line, far apart: a wrap may go through one of them.
    anchors=(
        *(_method(origin).encode() for origin, _, _ in _KNOWN),
        b"Devicecannotberegistered",
        b"DeviceRegistration:Devicenoteligible",
        b"notregistered,adminrecovery",
    ),
    read=read,
    recognise=lambda text: _LINE.search(text) is not None,
)
