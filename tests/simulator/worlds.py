"""Small worlds for tests, and how a command is run on one of their Macs without SSH."""

from __future__ import annotations

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from scepfix.simulator.world import MacSpec, World

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
#: Where the formats were recorded; only beside this repository.
SAMPLES = Path(__file__).parents[3] / "shared/samples/macos"
OBSERVE = Path(__file__).parents[2] / "plugins/plugin_utils/observe_macos.sh"


def world_of(folder: Path, *scenarios: str) -> World:
    """Return a world with a Mac of each scenario, named after it, as of NOW."""
    return World.create(folder / "world", [MacSpec(name, scenario=name) for name in scenarios or ("healthy",)], NOW)


def on_the_mac(world: World, name: str, command: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command as the SSH faces do."""
    environment = {
        "PATH": os.environ["PATH"],
        "SCEPFIX_WORLD": str(world.folder),
        "SCEPFIX_MAC": str(world.macs[name].folder),
        "SSH_ORIGINAL_COMMAND": command,
    }
    login = ["/bin/sh", str(world.folder / "tools/login")]
    return subprocess.run(login, env=environment, input=given or b"", capture_output=True, timeout=30, check=False)


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Return content and moment of change of every file under a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
