"""Who is running scepfix, as the operating system knows it: no environment variable can say otherwise."""

from __future__ import annotations

import os
import pwd


def login_name() -> str:
    """Return the login name of the process's user; ``uid N`` where the system has no name for it."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
