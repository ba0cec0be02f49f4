"""Plan files and the pages about them on disk: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible
from scepfix.domain.plan import Plan
from scepfix.parsers.plan_json import read_plan, write_plan

#: Some 20,000 devices.
_LARGEST_BYTES = 64 * 1024 * 1024


def load_plan(path: str) -> Plan:
    """Given the path of a plan file, return the plan. Raise InputError or RefusedError (``plan-changed``)."""
    return read_plan(SmallFilesOnDisk(_LARGEST_BYTES).read(path), path)


def save_plan(path: str, plan: Plan) -> None:
    """Given a path and a plan, write the plan file. Raise UsageError (``output-file``) where that fails."""
    write_whole(path, write_plan(plan))


def write_whole(path: str, text: str) -> None:
    """Given a path and a text, write the text to a temporary name beside it and rename it: there is no half file.

    A file that is there is replaced and keeps its mode; a new one gets the mode that the umask leaves. A device or a
    pipe (``/dev/stdout``) is written to. Raise UsageError (``output-file``) where that fails.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, "utf-8")
            return
        # Through a link, to what it names: a rename would replace the link.
        file = file.resolve()
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name[:100]}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(file.stat().st_mode & 0o777 if file.exists() else _usual_mode())
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            "output-file",
            f"cannot be written: {visible(reason)}",
            where=visible(path),
            hint="check the path; its folder must exist",
        ) from error


def _usual_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
