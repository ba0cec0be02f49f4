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
_KNOWN = (
    (
        "CanRegisterClient",
        "Devicecannotberegistered:Couldnotfindavalidcertificatefordeviceauthentication",
        "log.no-certificate",
    ),
    ("RunRegistrationLoop", "DeviceRegistration:Devicenoteligibleforregistration", "log.not-eligible"),
    ("GetAdminRecoveryChallengeAsync", "Deviceisnotregistered,adminrecoveryunavailable", "log.device-not-registered"),
)


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield the known lines; a line cut before its class still counts by its whole sentence."""
    for method, sentence, says in _KNOWN:
        at = text.find(sentence)
        while at >= 0:
            end = at + len(sentence)
            line = _line_before(text, at)
            if line is not None:
                if line[11].endswith(method):
                    yield Sighting(line.start(), end, says, instant(line), {"platform": "windows"})
            elif text.endswith(method + "]", max(0, at - 80), at):
                yield Sighting(at - len(method) - 1, end, says, None, {"platform": "windows"})
            at = text.find(sentence, end)


def _line_before(text: str, at: int) -> re.Match[str] | None:
    """Given where a sentence starts, return the line prefix that ends right there, if one does."""
    return next((line for line in _LINE.finditer(text, max(0, at - 240), at) if line.end() == at), None)


FORMAT = LogFormat(
    name="Windows Device Access log",
    anchors=tuple(method.encode() for method, _, _ in _KNOWN),
    read=read,
    recognise=lambda text: _LINE.search(text) is not None,
)
