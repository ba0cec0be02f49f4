"""A scenario's simulated world: ``world.py start FOLDER SCENARIO [BEHAVIOUR]``, ``state FOLDER``, ``end FOLDER``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from cryptography import x509

from scepfix.simulator.running import MacSpec, run_world
from scepfix.simulator.world import World

_LIFETIME_SECONDS = 900.0


def start(folder: Path, scenario: str, behaviour: str) -> None:
    """Serve a world of one Mac in a process of its own; return when it answers."""
    if (folder / "ready").exists():
        return
    folder.mkdir(parents=True)
    with (folder / "log").open("wb") as log:
        subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, __file__, "serve", str(folder), scenario, behaviour],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _until(lambda: (folder / "ready").exists(), "the world did not start: " + str(folder / "log"))


def serve(folder: Path, scenario: str, behaviour: str) -> None:
    """Serve until somebody writes ``end``, or the time is over."""
    told = {behaviour: "yes"} if behaviour else {}
    spec = MacSpec(name="mac-042", scenario=scenario, behaviours=told)
    with run_world(folder / "world", [spec], lifetime_seconds=_LIFETIME_SECONDS):
        (folder / "ready").write_text(f"{os.getpid()}\n")
        over = time.monotonic() + _LIFETIME_SECONDS
        while not (folder / "end").exists() and time.monotonic() < over:
            time.sleep(0.1)
    (folder / "ended").touch()


def end(folder: Path) -> None:
    """End it, and wait for that."""
    if (folder / "ready").exists():
        (folder / "end").touch()
        _until(lambda: (folder / "ended").exists(), "the world did not end")


def state(folder: Path) -> None:
    """Print what is so in the world, as the world itself holds it: certificates, profile, changes at the MDM."""
    world = World(folder / "world")
    (mac,) = world.macs.values()
    shown = {
        "certificates": [
            {"marker": _has_marker(item.der), "private_key": item.private_key} for item in mac.system_keychain.items()
        ],
        "profile": "com.apple.security.scep" in (mac.folder / "profiles.xml").read_text("utf-8"),
        "verbs": [one["verb"] for one in world.effects()],
    }
    print(json.dumps(shown))  # noqa: T201 - what it is for


def inventory(folder: Path) -> None:
    """Print the world's inventory in Ansible's script format; no device where there is no world (yet)."""
    hosts = {}
    if (folder / "ready").exists() and not (folder / "end").exists():
        hosts = yaml.safe_load((folder / "world/inventory.yml").read_text("utf-8"))["all"]["hosts"]
    common = {
        "scepfix_config": str(folder / "world/config.yml"),
        "scepfix_wait_seconds": 20,
        "world_folder": str(folder),
        # A shared connection needs a socket in the home folder, whose path may be too long for one.
        "ansible_ssh_args": "-o ControlMaster=no -o ControlPath=none",
    }
    print(json.dumps({"all": {"hosts": list(hosts), "vars": common}, "_meta": {"hostvars": hosts}}))  # noqa: T201


def _has_marker(der: bytes) -> bool:
    extensions = x509.load_der_x509_certificate(der).extensions
    return any(one.oid.dotted_string == "1.3.6.1.4.1.51150.13.1" for one in extensions)


def _until(true: Callable[[], bool], otherwise: str) -> None:
    over = time.monotonic() + 60
    while not true():
        if time.monotonic() > over:
            raise SystemExit(otherwise)
        time.sleep(0.1)


if __name__ == "__main__":
    verb, path, *more = sys.argv[1:]
    if verb in ("start", "serve"):
        {"start": start, "serve": serve}[verb](Path(path), more[0], more[1] if len(more) > 1 else "")
    else:
        {"end": end, "state": state, "inventory": inventory}[verb](Path(path))
