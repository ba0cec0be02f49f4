"""A line of Okta's System Log as people paste it: the person is not assigned the Desktop MFA app.

Okta's support article "Resolving Sign-in Issues for macOS Desktop MFA" names the result::

    FAILURE: user_not_assigned

>>> [s.says for s in read("FAILURE:user_not_assigned")]
['log.user-not-assigned']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.sighting import LogFormat, Sighting

_NOT_ASSIGNED = re.compile(r'FAILURE["\']?(?:[:,]|["\']?,?"?reason"?:)["\']?user_not_assigned(?!_)')


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield each refused sign-in of a person who lacks the app."""
    for found in _NOT_ASSIGNED.finditer(text):
        yield Sighting(found.start(), found.end(), "log.user-not-assigned")


FORMAT = LogFormat(
    name="Okta System Log",
    # Of "user_not_assigned" too little tells; mail clients put the entity where the blank was.
    anchors=(b"FAILURE:user_not_assigned", b"FAILURE:&nbsp;user_not_assigned"),
    read=read,
    recognise=lambda text: _NOT_ASSIGNED.search(text) is not None,
)
