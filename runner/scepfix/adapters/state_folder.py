"""The state folder: where scepfix keeps its runs, for its own user alone."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible


def state_folder() -> Path:
    """Return the state folder, made where it is not there, mode 0700: $XDG_STATE_HOME, else ~/.local/state.

    A relative $XDG_STATE_HOME is ignored (XDG Base Directory Specification). Raise UsageError where there can be none,
    or where it belongs to somebody else.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()) / "scepfix"
    return _private(folder)


def fresh_run_folder(purpose: str) -> Path:
    """Given a purpose (a plain word), return a run folder that nobody has used: ``runs/PURPOSE-HEX``, mode 0700."""
    folder = _private(state_folder() / "runs") / f"{purpose}-{uuid.uuid4().hex[:16]}"
    folder.mkdir(mode=0o700)
    return folder


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise UsageError(
                "state-folder",
                "it belongs to another user",
                where=visible(str(folder)),
                hint="set XDG_STATE_HOME to a folder of your own",
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            # The runs hold what devices said: a folder made by hand, or by a loose umask, is closed.
            folder.chmod(0o700)
    except OSError as error:
        raise UsageError(
            "state-folder",
            f"cannot be made: {visible(error.strerror or str(error))}",
            where=visible(str(folder)),
            hint="set XDG_STATE_HOME to a folder that can be written",
        ) from error
    return folder
