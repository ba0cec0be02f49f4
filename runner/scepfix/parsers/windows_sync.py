"""What ``sync_windows.ps1`` printed: by what a PC was made to ask its MDM for news, one line of JSON.

    {"schema":"scepfix/windows-sync/1","started":"PushLaunch","problems":[],"whole":true}

It has not met a real Windows. That something was started is no proof that the PC asked.
"""

from __future__ import annotations

from scepfix.domain.inert import visible
from scepfix.parsers.windows_observation import document_after

_BEGIN = b'{"schema":"scepfix/windows-sync/1"'
_WAYS = ("PushLaunch", "deviceenroller")


def parse_windows_sync(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Given what the script printed, return what was started (``PushLaunch``, ``deviceenroller`` or "") and problems.

    Raise InputError where it is no whole answer.
    """
    found = document_after(data, _BEGIN)
    started, problems = found.get("started"), found.get("problems")
    said = problems if isinstance(problems, list) else []
    return started if started in _WAYS else "", tuple(visible(str(one))[:200] for one in said[:20])
