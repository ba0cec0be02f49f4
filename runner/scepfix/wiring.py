"""The composition root: the only file that knows both service and adapters."""

from __future__ import annotations

from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.service.ports import SmallFiles


def small_files() -> SmallFiles:
    """Return the reader of small files."""
    return SmallFilesOnDisk()
