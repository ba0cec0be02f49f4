"""The Okta Verify log (macOS: ``~/Library/Logs/Okta Verify``): the app's enrolment is gone on the server.

Lines as Okta's support article "Deleted Device Cannot Be Re-added as a Managed Device" prints them::

    {✅ "API": {"message": "Request URL: https://…/idp/authenticators Response Code: 410 … Error Code: E0000153, …
    {🛑 "API error": … ServerErrorCode.deviceDeleted …

>>> [s.says for s in read('{"API":{"message":"RequestURL:https://x/idp/authenticatorsResponseCode:410ErrorCode:E0000153,')]
['log.enrolment-lost']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.sighting import APPLE_TIME, LogFormat, Sighting, instant

_HEAD = re.compile(
    APPLE_TIME + r'\{[^"{}]{0,12}"(?!message"|defaultProperties"|location")(API(?:error)?|[A-Za-z][A-Za-z-]{1,40})":'
)
_GONE = re.compile(r"ResponseCode:410.{0,600}?ErrorCode:E0000153|ServerErrorCode\.deviceDeleted")
_SUMMARY = "Invaliddeviceid,itnolongerexists."
_LONGEST = 4000


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield each answer that says the device no longer exists."""
    heads = list(_HEAD.finditer(text))
    for index, head in enumerate(heads):
        end = min(heads[index + 1].start() if index + 1 < len(heads) else len(text), head.start() + _LONGEST)
        if not head[11].startswith("API"):
            continue
        if gone := _GONE.search(text, head.end(), end):
            summary = text.find(_SUMMARY, gone.end(), end)
            stop = summary + len(_SUMMARY) if summary >= 0 else gone.end()
            yield Sighting(head.start(), stop, "log.enrolment-lost", instant(head))
    first = heads[0].start() if heads else len(text)
    if gone := _GONE.search(text, 0, first):
        # The head was cut off. "Response Code: 410 … E0000153" is the app's own wording; the summary alone is prose.
        yield Sighting(gone.start(), gone.end(), "log.enrolment-lost")


FORMAT = LogFormat(
    name="Okta Verify log",
    anchors=(b"ErrorCode:E0000153", b"ServerErrorCode.deviceDeleted"),
    read=read,
    recognise=lambda text: any(head[11].startswith("API") for head in _HEAD.finditer(text)),
)
