"""Puts the Ansible collection into wheels, where Ansible finds it by itself beside the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COLLECTION = "ansible_collections/scepfix/device_access"
PARTS = ("galaxy.yml", "meta", "playbooks", "plugins", "roles")


class CollectionInWheel(BuildHookInterface[Any]):
    """Adds the collection's parts to a wheel, unless the wheel is editable.

    An editable wheel with copies would show Ansible yesterday's roles; for development `make` links the folder instead.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Given the kind of wheel (``standard`` or ``editable``), add what belongs into it to ``build_data``."""
        if version == "editable":
            return
        for part in PARTS:
            build_data["force_include"][str(Path(self.root, part))] = f"{COLLECTION}/{part}"
