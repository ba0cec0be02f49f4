"""The database that --database or SCEPFIX_DATABASE names: ``sqlite:///FILE``, or the one in the state folder."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scepfix.adapters.state_folder import state_folder
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible


def database_file(url: str | None) -> Path:
    """Given the URL of --database or None, return the SQLite file. As everywhere, three slashes begin a relative path
    and four an absolute one. Raise UsageError (``database-url``) for anything else."""
    place = "--database" if url is not None else "SCEPFIX_DATABASE"
    url = url if url is not None else os.environ.get("SCEPFIX_DATABASE") or None
    if url is None:
        return state_folder() / "scepfix.sqlite"
    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.scheme != "sqlite" or parts.netloc or not name or "\0" in name:
        # A URL of another kind may hold a password: only its scheme is told.
        raise UsageError(
            "database-url",
            f"no database that this version knows: {visible(parts.scheme or 'no scheme')}",
            where=place,
            hint="sqlite:///relative/file or sqlite:////absolute/file",
        )
    return Path(name)
