"""Reads a file that must fit in memory; every way in which that fails is a clear InputError."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import BinaryIO

from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible

#: Nothing read whole is near this size: a keychain listing of 1,000 certificates is 3 MB.
LIMIT_BYTES = 8 * 1024 * 1024


class SmallFilesOnDisk:
    """Implements service.ports.SmallFiles on the file system and standard input."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes

    def read(self, path: str) -> bytes:
        """Given a path or ``-``, return its bytes. Raise InputError when missing, unreadable, empty or too large."""
        if path == "-":
            return self._bounded(standard_input(), "stdin")
        try:
            kind = Path(path).stat().st_mode
            if stat.S_ISDIR(kind):
                raise InputError(
                    "input-is-folder",
                    "this is a folder, a file was expected",
                    where=visible(path),
                    hint="name the file; only diagnose reads folders",
                )
            # A named pipe or a device may block for ever or never end; process substitution (/dev/fd/N) is a pipe
            # and is wanted, so only the read below is bounded.
            with open(path, "rb") as stream:
                return self._bounded(stream, visible(path))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error

    def _bounded(self, stream: BinaryIO, name: str) -> bytes:
        try:
            data = stream.read(self._limit_bytes + 1)
        except (OSError, ValueError) as error:
            raise unreadable(name, error) from error
        if len(data) > self._limit_bytes:
            raise InputError(
                "input-too-large",
                f"more than {self._limit_bytes // 1024**2} MiB",
                where=name,
                hint="certificates, profiles and evidence are small; is this the right file?",
            )
        if not data:
            raise InputError("input-empty", "the file is empty", where=name, hint="collect it again; was the copy cut?")
        return data


def standard_input() -> BinaryIO:
    """Return standard input. Raise InputError where the shell closed it (``<&-``): Python then has none."""
    if sys.stdin is None:
        raise InputError("input-missing", "standard input is closed", where="stdin", hint="pipe something into it")
    return sys.stdin.buffer


def unreadable(path: str, error: Exception) -> InputError:
    """Given a path and what the system said, return the error a person can act on."""
    place = visible(path)
    if isinstance(error, FileNotFoundError):
        return InputError("input-missing", "no such file", where=place, hint="check the path")
    if isinstance(error, PermissionError):
        return InputError(
            "input-unreadable",
            "not allowed to read this file",
            where=place,
            hint="the log of a Mac belongs to root: copy it with sudo, then give it to your user",
        )
    reason = getattr(error, "strerror", None) or str(error)
    return InputError("input-unreadable", f"cannot be read: {visible(reason)}", where=place, hint="check the path")
