"""The Windows event log of the MDM client (DeviceManagement-Enterprise-Diagnostics-Provider > Admin), pasted as text.

Okta's help page "Use Okta CA for delegated SCEP on Windows with Intune" names the line that shows success::

    SCEP: Certificate installed successfully

>>> [s.says for s in read("SCEP:Certificateinstalledsuccessfully")]
['log.scep-installed']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.parsers.sighting import LogFormat, Sighting

_INSTALLED = re.compile(r"SCEP:Certificateinstalledsuccessfully")


def read(text: str) -> Iterator[Sighting]:
    """Given squeezed text, yield each installed certificate. It may be any SCEP profile's: the line does not say."""
    for found in _INSTALLED.finditer(text):
        yield Sighting(found.start(), found.end(), "log.scep-installed", None, {"platform": "windows"})


FORMAT = LogFormat(
    name="Windows MDM event log",
    anchors=(b"SCEP:",),
    read=read,
    recognise=lambda text: _INSTALLED.search(text) is not None,
)
