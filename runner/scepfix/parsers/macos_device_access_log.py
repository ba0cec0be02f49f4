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
from dataclasses import dataclass

from scepfix.parsers.sighting import APPLE_TIME, LogFormat, Sighting, instant

#: A record is a few hundred characters; a tail further away than this belongs to another one.
LONGEST = 6000

HEAD = re.compile(APPLE_TIME + r'\{[^"{}]{0,12}"([A-Za-z][A-Za-z-]{1,40})":\{"message":"')
TAIL = re.compile(r'"defaultProperties":"[^"]{0,400}","location":"([A-Za-z]+\.swift):([^"]{1,160}?):\d+"\}{0,2}')
_CATEGORY = "Recovery-Management"
_FUNCTION = "registerRecoverySecret()"
_ATTEMPT = "Creatinganewrecoveryenrollment"
#: An error inside an error (``NSUnderlyingError=… {Error Domain=…``) is no record of its own. At the very end of the
#: text the number may be cut.
_FAILED = re.compile(r"(?:Registrationfailed:|(?<!\{))ErrorDomain=OktaDAServiceDaemonCode=(\d{1,9})(?!\d|$)")
_OTHER_FAILURE = "Registrationfailed:ErrorDomain="
#: How far after its head a record's own failure may begin.
_SLACK = 40
# The description stands twice, the second time after UserInfo: no match may run from the one into the other, nor
# from a description that goes on otherwise into what stands behind it.
_NO_CERTIFICATE = r"Certerror:JWTgeneration[^.]{0,120}?noMatchingCertificate"
_REJECTED = (
    r"Registrationerror:Responsedecoding(?:(?!UserInfo|\"defaultProperties).){0,100}?"
    r"keyNotFound\(CodingKeys\(stringValue:\"+id\""
)
_AFTER_CODE = tuple(
    (says, re.compile(r"[^A-Za-z0-9]{0,4}" + text))
    for says, text in (("log.no-certificate", _NO_CERTIFICATE), ("log.rejected", _REJECTED))
)
#: What may stand before the tail of a record whose head was cut off, and how far before it at most.
_BEFORE_TAIL = (
    ("log.no-certificate", re.compile(_NO_CERTIFICATE), 20),
    ("log.rejected", re.compile(_REJECTED), 400),
    ("log.attempt", re.compile(_ATTEMPT), 4),
)
_FACTS: dict[str, str | int | float | bool | None] = {"platform": "macos"}


@dataclass(frozen=True, slots=True)
class _Opening:
    """Where a record begins: at its head, or, where that was cut off or not pasted, at its failure."""

    head: re.Match[str] | None
    failed: re.Match[str] | None
    attempt_end: int = 0

    @property
    def start(self) -> int:
        first = self.head or self.failed
        return first.start() if first else 0

    def owns(self, tail: re.Match[str]) -> bool:
        if self.attempt_end:
            return tail.start() - self.attempt_end <= _SLACK
        return tail.start() - self.start <= LONGEST


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield the registration attempts and failures in it, whole or cut at either end."""
    tails = list(TAIL.finditer(text))
    marks: list[tuple[int, _Opening | re.Match[str]]] = [(tail.start(), tail) for tail in tails]
    marks += [(opening.start, opening) for opening in _openings(text)]
    opening: _Opening | None = None
    free_from = 0
    for _, mark in sorted(marks, key=lambda mark: mark[0]):
        if isinstance(mark, _Opening):
            if opening is not None:
                yield from _opened(text, opening, None)
            opening = mark
            continue
        if opening is not None and opening.owns(mark):
            yield from _opened(text, opening, mark)
        else:
            if opening is not None:
                yield from _opened(text, opening, None)
                free_from = opening.attempt_end or opening.start
            yield from _headless(text, free_from, mark)
        opening, free_from = None, mark.end()
    if opening is not None:
        yield from _opened(text, opening, None)


def _openings(text: str) -> Iterator[_Opening]:
    failures = list(_FAILED.finditer(text))
    index = 0
    for head in HEAD.finditer(text):
        while index < len(failures) and failures[index].start() < head.end():
            yield _Opening(None, failures[index])
            index += 1
        own = index < len(failures) and failures[index].start() - head.end() <= _SLACK
        attempt = text.startswith(_ATTEMPT, head.end())
        yield _Opening(head, failures[index] if own else None, head.end() + len(_ATTEMPT) if attempt else 0)
        index += own
    yield from (_Opening(None, failed) for failed in failures[index:])


def _opened(text: str, opening: _Opening, tail: re.Match[str] | None) -> Iterator[Sighting]:
    head, failed = opening.head, opening.failed
    if (head is not None and head[11] != _CATEGORY) or (tail is not None and tail[2] != _FUNCTION):
        return
    at = instant(head) if head else None
    if failed is not None:
        for says, pattern in _AFTER_CODE:
            if known := pattern.match(text, failed.end()):
                yield Sighting(opening.start, tail.end() if tail else known.end(), says, at, _FACTS)
                return
        end = tail.end() if tail else failed.end()
        yield Sighting(opening.start, end, "log.registration-failed", at, {**_FACTS, "code": int(failed[1])})
    elif opening.attempt_end:
        if tail is not None and tail[1] != "RecoveryManager.swift":
            return
        yield Sighting(opening.start, tail.end() if tail else opening.attempt_end, "log.attempt", at, _FACTS)
    elif head is not None and tail is not None and not text.startswith(_OTHER_FAILURE, head.end()):
        # A message that nobody knows, or one that was cut, and the tail is that of the next record.
        yield from _headless(text, head.end(), tail)


def _headless(text: str, free_from: int, tail: re.Match[str]) -> Iterator[Sighting]:
    """A record of which only the end is there, or that was pasted without its beginning."""
    if tail[2] != _FUNCTION:
        return
    for says, pattern, distance in _BEFORE_TAIL:
        if says == "log.attempt" and tail[1] != "RecoveryManager.swift":
            continue
        known = list(pattern.finditer(text, max(free_from, tail.start() - LONGEST), tail.start()))
        if known and tail.start() - known[-1].end() <= distance:
            yield Sighting(known[-1].start(), tail.end(), says, None, _FACTS)
            return


FORMAT = LogFormat(
    name="macOS Device Access log",
    anchors=(b"Recovery-Management", b"registerRecoverySecret", b"OktaDAServiceDaemon"),
    read=read,
    recognise=lambda text: any(head[11].endswith("-Management") for head in HEAD.finditer(text)),
)
