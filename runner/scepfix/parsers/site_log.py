"""A site's own log signatures, from its catalogue: literal texts that it knows the meaning of."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from scepfix.domain.fault import Signature
from scepfix.parsers.macos_device_access_log import HEAD, LONGEST
from scepfix.parsers.sighting import LogFormat, Sighting, instant


def site_format(signatures: Sequence[Signature]) -> LogFormat:
    """Given a site's signatures (ASCII, white space does not count), return the format that reports them.

    The time is that of the macOS record around the text, where there is one.
    """
    # White space and backslashes are not in squeezed text, and a ">" is not where the anchors are looked for.
    written = [("".join(signature.contains.replace("\\", "").split()), signature.says) for signature in signatures]
    known = [(words, says) for words, says in written if words.replace(">", "")]

    def read(text: str) -> Iterator[Sighting]:
        heads: list[re.Match[str]] = []
        starts: list[int] = []
        for words, says in known:
            at = text.find(words)
            if at >= 0 and not heads:
                heads = list(HEAD.finditer(text))
                starts = [head.start() for head in heads]
            while at >= 0:
                end = at + len(words)
                index = bisect_left(starts, end) - 1
                head = heads[index] if index >= 0 and at - starts[index] <= LONGEST else None
                yield Sighting(head.start() if head else at, end, says, instant(head) if head else None)
                at = text.find(words, end)

    return LogFormat(
        name="site signature",
        anchors=tuple(words.replace(">", "").encode("ascii") for words, _ in known),
        read=read,
        recognise=lambda text: any(words in text for words, _ in known),
    )
