"""Is there a process of that number?"""

from __future__ import annotations

import os


def alive(process: int | None) -> bool:
    """Given a process id (None: nobody knows it), is there such a process? It may be another program's by now."""
    if process is None:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
