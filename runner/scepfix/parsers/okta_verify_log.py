"""The Okta Verify log (macOS: ``~/Library/Logs/Okta Verify``): the app's enrolment is gone on the server.

Lines as Okta's support article "Deleted Device Cannot Be Re-added as a Managed Device" prints them::

    {✅ "API": {"message": "Request URL: https://…/idp/authenticators Response Code: 410 … Error Code: E0000153, …
    {🛑 "API error": … ServerErrorCode.deviceDeleted …

>>> [s.says for s in read('{"API":{"message":"RequestURL:https://x/idp/authenticatorsResponseCode:410ErrorCode:E0000153,')]
['log.enrolment-lost']
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from scepfix.parsers.macos_device_access_log import TAIL
from scepfix.parsers.sighting import APPLE_TIME, LogFormat, Sighting, instant

_HEAD = re.compile(
    APPLE_TIME + r'\{[^"{}]{0,12}"(?!message"|defaultProperties"|location")(API(?:error)?|[A-Za-z][A-Za-z-]{1,40})":'
)
_GONE = re.compile(
    r'ResponseCode:410(?!\d)(?:(?!ResponseCode:|"message":).){0,600}?ErrorCode:E0000153|ServerErrorCode\.deviceDeleted'
)
_SUMMARY = "Invaliddeviceid,itnolongerexists."
_LONGEST = 4000


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield each answer that says the device no longer exists, one for a record."""
    heads = list(_HEAD.finditer(text))
    starts = [head.start() for head in heads]
    read_to = -1
    for gone in _GONE.finditer(text):
        index = bisect_right(starts, gone.start()) - 1
        head = heads[index] if index >= 0 else None
        if head is not None and _is_over(text, head, gone.start()):
            head = None
        if head is None:
            # "Response Code: 410 … E0000153" is the app's own wording, with or without its head; the rest is prose.
            if gone[0].startswith("ResponseCode"):
                yield Sighting(gone.start(), gone.end(), "log.enrolment-lost")
        elif head[11].startswith("API") and head.start() != read_to:
            read_to = head.start()
            end = min(starts[index + 1] if index + 1 < len(starts) else len(text), head.start() + _LONGEST)
            summary = text.find(_SUMMARY, gone.end(), end)
            stop = summary + len(_SUMMARY) if summary >= 0 else gone.end()
            yield Sighting(head.start(), stop, "log.enrolment-lost", instant(head))


def _is_over(text: str, head: re.Match[str], at: int) -> bool:
    return at - head.start() > _LONGEST or TAIL.search(text, head.end(), at) is not None


FORMAT = LogFormat(
    name="Okta Verify log",
    anchors=(b"E0000153", b"deviceDeleted"),
    read=read,
    recognise=lambda text: any(head[11].startswith("API") for head in _HEAD.finditer(text)),
)
