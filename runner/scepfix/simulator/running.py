"""Starts a world's faces in a process of their own, writes the inventory and the settings, and ends them again."""

from __future__ import annotations

import json
import os
import pwd
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from scepfix.simulator import files
from scepfix.simulator.mac import Facts
from scepfix.simulator.mdm import GROUP
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.ssh_keys import CLIENT_KEY, KNOWN_HOSTS
from scepfix.simulator.world import MacSpec, World

__all__ = ["MacSpec", "RunningWorld", "run_world", "serve"]

_READY_SECONDS = 30.0
_END_SECONDS = 5.0


@dataclass(frozen=True)
class RunningWorld:
    """A world whose faces answer. ``inventory`` and ``config`` are what scepfix is given; ``read_only_config`` has the
    MDM token that may not change anything."""

    world: World
    inventory: Path
    config: Path
    read_only_config: Path
    mdm_url: str
    okta_url: str
    ssh_port: int
    pid: int

    @property
    def folder(self) -> Path:
        return self.world.folder

    def tell(self, name: str, behaviour: str, value: str = "yes") -> None:
        """Tell a device how to behave from now on; ``no`` ends it (docs/simulated-world.md)."""
        self.world.tell(name, behaviour, value)

    def sign_in(self, name: str) -> bool:
        """The device's person signs in on it, online; return whether the device registered for recovery."""
        return self.world.sign_in(name)

    def effects(self) -> list[dict[str, Any]]:
        """Return every change that the MDM applied, in order."""
        return self.world.effects()

    def address(self, name: str) -> str:
        return self.world.macs[name].facts.address

    def ssh(self, name: str) -> list[str]:
        """Return the ``ssh`` command that reaches this device, to which a remote command is added."""
        host = yaml.safe_load(self.inventory.read_bytes())["all"]["hosts"][name]
        return [
            *("ssh", *shlex.split(host["ansible_ssh_common_args"]), "-i", host["ansible_ssh_private_key_file"]),
            *("-p", str(host["ansible_port"]), f"{host['ansible_user']}@{host['ansible_host']}"),
        ]


@contextmanager
def run_world(
    folder: Path,
    macs: Sequence[MacSpec],
    *,
    checkin_seconds: float = 0.3,
    lifetime_seconds: float = 3600.0,
    now: datetime | None = None,
    repair: dict[str, int] | None = None,
) -> Iterator[RunningWorld]:
    """Given a folder that is empty or not there, make a world in it and serve it until the block ends.

    ``repair`` are settings of that name beside short waits. Raise ValueError for a bad spec, OSError where the faces do
    not come up.
    """
    folder = folder.absolute()
    if " " in str(folder):
        raise ValueError("a blank in the folder's path: ssh would read its known_hosts as two files")
    world = World.create(folder, macs, now)
    with serve(world, checkin_seconds=checkin_seconds, lifetime_seconds=lifetime_seconds, repair=repair) as running:
        yield running


@contextmanager
def serve(
    world: World,
    *,
    checkin_seconds: float = 0.3,
    lifetime_seconds: float = 3600.0,
    repair: dict[str, int] | None = None,
) -> Iterator[RunningWorld]:
    """Serve a world that was made before. The process ends with this one, whatever happens to it."""
    with (world.folder / "peers.err").open("wb") as errors:
        child = subprocess.Popen(  # noqa: S603 - this program itself
            [
                sys.executable,
                *("-m", "scepfix.simulator.peers", str(world.folder)),
                *("--checkin-seconds", str(checkin_seconds), "--lifetime-seconds", str(lifetime_seconds)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Ctrl-C in a terminal is for scepfix: the world goes on until it is told to end.
            start_new_session=True,
        )
    ready: dict[str, Any] = {}
    try:
        ready = _ready(child, world.folder / "peers.err")
        yield _running(world, ready, child.pid, repair or {})
    finally:
        _end(child, ready.get("openssh_pid"))


def _ready(child: subprocess.Popen[bytes], errors: Path) -> dict[str, Any]:
    stdout = child.stdout
    assert stdout is not None  # noqa: S101 - it was asked for
    readable, _, _ = select.select([stdout], [], [], _READY_SECONDS)
    line = stdout.readline() if readable else b""
    if not line:
        said = errors.read_text("utf-8", "replace").strip().splitlines()
        raise OSError(f"the simulated world did not start: {said[-1] if said else 'it said nothing'}")
    found: dict[str, Any] = json.loads(line)
    return found


def _end(child: subprocess.Popen[bytes], openssh_pid: int | None) -> None:
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        if openssh_pid is not None:
            with suppress(ProcessLookupError):
                os.kill(openssh_pid, signal.SIGTERM)


def _running(world: World, ready: dict[str, Any], pid: int, repair: dict[str, int]) -> RunningWorld:
    folder = world.folder
    inventory, config, read_only = (folder / name for name in ("inventory.yml", "config.yml", "config-read-only.yml"))
    hosts = {mac.facts.name: _host(folder, mac.facts, ready) for mac in world.macs.values()}
    files.write(inventory, yaml.safe_dump({"all": {"hosts": hosts}}, sort_keys=False, allow_unicode=True))
    for path, token in ((config, "mdm-write"), (read_only, "mdm-read")):
        files.write(path, yaml.safe_dump(_settings(world, ready, token, repair), sort_keys=False))
    return RunningWorld(
        world=world,
        inventory=inventory,
        config=config,
        read_only_config=read_only,
        mdm_url=ready["mdm_url"],
        okta_url=ready["okta_url"],
        ssh_port=ready["ssh_port"],
        pid=pid,
    )


def _host(folder: Path, facts: Facts, ready: dict[str, Any]) -> dict[str, Any]:
    openssh = facts.face == "openssh"
    options = {
        "UserKnownHostsFile": str(folder / KNOWN_HOSTS),
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
    }
    words = ["-F", "/dev/null", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    return {
        "ansible_host": facts.address,
        "ansible_port": ready["openssh_port"] if openssh else ready["ssh_port"],
        # sshd knows only the users of this machine.
        "ansible_user": pwd.getpwuid(os.getuid()).pw_name if openssh else "admin",
        "ansible_ssh_private_key_file": str(folder / CLIENT_KEY),
        "ansible_ssh_common_args": shlex.join(words),
        "scepfix_person": facts.person,
        **({"scepfix_platform": facts.platform} if facts.platform != "macos" else {}),
    }


def _settings(world: World, ready: dict[str, Any], mdm_token: str, repair: dict[str, int]) -> dict[str, Any]:
    tokens = world.folder / "tokens"
    return {
        "ways_in": ["Device Access Code from the help desk"],
        "issuer_certificates": [str(world.ca.certificate_file)],
        "mdm": {
            "kind": "simulated",
            "url": ready["mdm_url"],
            "token": {"file": str(tokens / mdm_token)},
            "profile": IDENTIFIER,
            "exclusion_group": GROUP,
        },
        "okta": {"kind": "simulated", "url": ready["okta_url"], "token": {"file": str(tokens / "okta-read")}},
        "repair": {"poll_seconds": 1, **repair},
    }
