r"""The macOS Device Access log, ``/var/log/com.okta.deviceaccess/OktaDeviceAccess.log``.

A record (one line), from Okta's support article "Users are Unable to Login Using the Offline Device Access Code"::

    2025/05/26 02:15:41:804 -0700 {✅ "Factor-Management": {"message": "…", "defaultProperties": "",
    "location": "FactorRequirementsManager.swift:offlineFactorInEffect(zeroFactorOver:):249"}}

Time prefix and emoji may be missing ("macOS Desktop MFA recovery troubleshooting" prints neither). It is not JSON:
quotes inside the message are not escaped. Line numbers in ``location`` differ by build: only file and function count.

>>> [s.says for s in read('{"Recovery-Management":{"message":"Creatinganewrecoveryenrollment","defaultProperties":""')]
['log.attempt']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.sighting import APPLE_TIME, LogFormat, Sighting, instant

#: A record is a few hundred characters; beyond this the next one has lost its head.
LONGEST = 6000

HEAD = re.compile(APPLE_TIME + r'\{[^"{}]{0,12}"([A-Za-z][A-Za-z-]{1,40})":\{"message":"')
_TAIL = re.compile(r'"defaultProperties":"[^"]{0,400}","location":"([A-Za-z]+\.swift):([^"]{1,160}?):\d+"\}{0,2}')
_CATEGORY = "Recovery-Management"
_FUNCTION = "registerRecoverySecret()"
_ATTEMPT = "Creatinganewrecoveryenrollment"
_FAILED = re.compile(r"ErrorDomain=OktaDAServiceDaemonCode=(\d+)")
_NO_CERTIFICATE = re.compile(r"Certerror:JWTgeneration.{0,400}?noMatchingCertificate")
_REJECTED = re.compile(r'Registrationerror:Responsedecoding.{0,200}?keyNotFound\(CodingKeys\(stringValue:"id"')


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield the registration attempts and failures in it, whole or cut at either end."""
    heads = list(HEAD.finditer(text))
    first = heads[0].start() if heads else len(text)
    if first:
        yield from _record(text, 0, first, None)
    for index, head in enumerate(heads):
        end = heads[index + 1].start() if index + 1 < len(heads) else len(text)
        yield from _record(text, head.start(), end, head)


def _record(text: str, start: int, end: int, head: re.Match[str] | None) -> Iterator[Sighting]:
    if head is not None and head[11] != _CATEGORY:
        return
    body_start = head.end() if head else start
    tail = _last_tail(text, start, end) if head is None else _TAIL.search(text, body_start, min(end, start + LONGEST))
    if tail is not None and tail[2] != _FUNCTION:
        return
    if head is None and tail is None and not _FAILED.search(text, start, end):
        return
    body_end = tail.start() if tail else min(end, start + LONGEST)
    if head is None:
        body_start = max(start, body_end - LONGEST)
    says, known_start, known_end, facts = _message(text, body_start, body_end, tail)
    if not says:
        return
    observed_at = instant(head) if head else None
    yield Sighting(start if head else known_start, tail.end() if tail else known_end, says, observed_at, facts)


def _last_tail(text: str, start: int, end: int) -> re.Match[str] | None:
    tails = list(_TAIL.finditer(text, max(start, end - 2 * LONGEST), end))
    return next((tail for tail in reversed(tails) if tail[2] == _FUNCTION), tails[-1] if tails else None)


def _message(
    text: str, start: int, end: int, tail: re.Match[str] | None
) -> tuple[str, int, int, dict[str, str | int | float | bool | None]]:
    """Given where the message is, return what it says ("" if nothing known), the known part's span, and facts."""
    for says, pattern in (("log.no-certificate", _NO_CERTIFICATE), ("log.rejected", _REJECTED)):
        if found := pattern.search(text, start, end):
            failed = _FAILED.search(text, start, found.start())
            return says, failed.start() if failed else found.start(), found.end(), {"platform": "macos"}
    if failed := _FAILED.search(text, start, end):
        return "log.registration-failed", failed.start(), failed.end(), {"platform": "macos", "code": int(failed[1])}
    attempt = text.find(_ATTEMPT, start, end)
    if attempt >= 0 and (tail is None or tail[1] == "RecoveryManager.swift"):
        return "log.attempt", attempt, attempt + len(_ATTEMPT), {"platform": "macos"}
    return "", 0, 0, {}


FORMAT = LogFormat(
    name="macOS Device Access log",
    anchors=(b"Recovery-Management", b"registerRecoverySecret", b"OktaDAServiceDaemon"),
    read=read,
    recognise=lambda text: any(head[11].endswith("-Management") for head in HEAD.finditer(text)),
)
