"""Looks at this computer for ``scepfix doctor``: the state folder, programs and packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from scepfix.adapters.state_folder import state_folder
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible


def writable_state_folder() -> Path:
    """Return the state folder after writing a file in it that has no name. Raise UsageError where that fails."""
    folder = state_folder()
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"x")
    except OSError as error:
        raise UsageError(
            "state-folder",
            f"it cannot be written: {visible(error.strerror or str(error))}",
            where=visible(str(folder)),
            hint="is the disk full? XDG_STATE_HOME names another folder",
        ) from error
    return folder


def program(name: str) -> str | None:
    """Given a program's name, return where it is, None where PATH has none."""
    return shutil.which(name)


def package_version(name: str) -> str | None:
    """Given a distribution's name, return its version, None where it, or its module, is not there."""
    module = {"ansible-core": "ansible"}.get(name, name.replace("-", "_"))
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return found if importlib.util.find_spec(module) else None
