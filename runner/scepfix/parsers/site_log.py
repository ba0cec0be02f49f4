"""A site's own log signatures, from its catalogue: literal texts that it knows the meaning of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scepfix.domain.fault import Signature
from scepfix.parsers.macos_device_access_log import HEAD
from scepfix.parsers.sighting import LogFormat, Sighting, instant

_LONGEST_RECORD = 6000


def site_format(signatures: Sequence[Signature]) -> LogFormat:
    """Given a site's signatures (ASCII, white space does not count), return the format that reports them.

    The time is that of the macOS record around the text, where there is one.
    """
    known = [("".join(signature.contains.split()), signature.says) for signature in signatures]

    def read(text: str) -> Iterator[Sighting]:
        for words, says in known:
            at = text.find(words)
            while at >= 0:
                end = at + len(words)
                head = None
                for found in HEAD.finditer(text, max(0, at - _LONGEST_RECORD), end):
                    head = found
                yield Sighting(head.start() if head else at, end, says, instant(head) if head else None)
                at = text.find(words, end)

    return LogFormat(
        name="site signature",
        anchors=tuple(words.encode("ascii") for words, _ in known),
        read=read,
        recognise=lambda text: any(words in text for words, _ in known),
    )
