"""The snapshot of the org's devices on disk: for its own user alone, written whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from scepfix.adapters.secret_values import option_path
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.adapters.state_folder import state_folder
from scepfix.domain.errors import InputError, UsageError
from scepfix.domain.inert import visible
from scepfix.parsers.okta_snapshot import Snapshot, read_snapshot, write_snapshot
from scepfix.parsers.service_settings import ServiceSettings

#: Some 500,000 devices.
_LARGEST_BYTES = 256 * 1024 * 1024


def snapshot_path(settings: ServiceSettings) -> Path:
    """Return where the snapshot of that org lies: the setting ``snapshot``, else a file in the state folder."""
    if settings.text("snapshot"):
        return option_path(settings, settings.text("snapshot"))
    org = re.sub(r"[^A-Za-z0-9.-]", "-", urlsplit(settings.url).netloc)
    return state_folder() / f"okta-snapshot-{org}.json"


def load_snapshot(settings: ServiceSettings, org: str) -> Snapshot:
    """Given the settings and the org's address, return its snapshot; an empty one where there is none.

    Raise InputError (``snapshot``) where the file is no snapshot, or another org's.
    """
    path = snapshot_path(settings)
    if not path.exists():
        return Snapshot(org)
    found = read_snapshot(SmallFilesOnDisk(_LARGEST_BYTES).read(str(path)), str(path))
    if found.org != org:
        raise InputError(
            "snapshot",
            f"this is the snapshot of another org: {visible(found.org)}",
            where=visible(str(path)),
            hint="give each org a file of its own (okta.snapshot)",
        )
    return found


def save_snapshot(settings: ServiceSettings, snapshot: Snapshot) -> Path:
    """Given the settings and a snapshot, write it, mode 0600, and return where. Raise UsageError (``output-file``)."""
    path = snapshot_path(settings)
    try:
        # mkstemp makes it with mode 0600: who has which device is for nobody else.
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(write_snapshot(snapshot))
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(
            "output-file",
            f"cannot be written: {visible(error.strerror or str(error))}",
            where=visible(str(path)),
            hint="check okta.snapshot; its folder must exist",
        ) from error
    return path
