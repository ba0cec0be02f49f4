"""Simulated Macs behind OpenSSH's sshd, as many as there are wanted, each on its own loopback address."""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scepfix.domain.device import host_of
from scepfix.service.ports import InventoryDevice
from scepfix.simulator import files
from scepfix.simulator.peers.openssh import sshd_config
from scepfix.simulator.ssh_keys import CLIENT_KEY, KNOWN_HOSTS
from scepfix.simulator.world import MacSpec, World

#: OpenSSH's own limit (MAX_LISTEN_SOCKS), so a world of many Macs has several sshd.
_ADDRESSES_PER_SSHD = 16
_PRIVILEGE_SEPARATION = Path("/run/sshd")
_READY_SECONDS = 10.0


@dataclass(frozen=True)
class Served:
    """Macs that answer: their addresses, how ssh reaches them, and the ids of the servers."""

    folder: Path
    addresses: tuple[str, ...]
    names: tuple[str, ...]
    port: int
    user: str
    servers: frozenset[int]

    @property
    def key(self) -> str:
        return str(self.folder / CLIENT_KEY)

    @property
    def options(self) -> tuple[str, ...]:
        """What every ssh of every contender is given."""
        known = self.folder / KNOWN_HOSTS
        words = (f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")
        return ("-F", "/dev/null", *(part for word in words for part in ("-o", word)))

    def connections(self, devices: int) -> list[InventoryDevice]:
        """Return the first so many Macs as scepfix's inventory has them."""
        return [
            InventoryDevice(
                name,
                host_of(name),
                {
                    "ansible_connection": "ssh",
                    "ansible_host": address,
                    "ansible_port": self.port,
                    "ansible_user": self.user,
                    "ansible_ssh_private_key_file": self.key,
                    "ansible_ssh_common_args": shlex.join(self.options),
                },
            )
            for name, address in zip(self.names[:devices], self.addresses[:devices], strict=True)
        ]


@contextmanager
def serve(folder: Path, devices: int, program: str) -> Iterator[Served]:
    """Given an empty folder, a number of Macs and the path of sshd, serve them until the block ends."""
    world = World.create(folder, [MacSpec(f"mac-{number:04}", scenario="deleted") for number in range(devices)])
    addresses = tuple(mac.facts.address for mac in world.macs.values())
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    command = f"SCEPFIX_WORLD={shlex.quote(str(folder))} exec /bin/sh {shlex.quote(str(folder / 'tools/login'))}"
    files.write(folder / "ssh/forced", f"#!/bin/sh\n{command}\n", 0o700)
    port = _free_port()
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for first in range(0, devices, _ADDRESSES_PER_SSHD):
            config = folder / f"ssh/sshd_config_{first}"
            files.write(config, sshd_config(folder, addresses[first : first + _ADDRESSES_PER_SSHD], port))
            quiet = subprocess.DEVNULL
            sshd = [program, "-D", "-e", "-f", str(config)]
            servers.append(subprocess.Popen(sshd, stdin=quiet, stdout=quiet, stderr=quiet))
        for address in addresses:
            _await(address, port)
        yield Served(
            folder=folder,
            addresses=addresses,
            names=tuple(world.macs),
            port=port,
            user=pwd.getpwuid(os.getuid()).pw_name,
            servers=frozenset(server.pid for server in servers),
        )
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.1.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await(address: str, port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"sshd does not answer on {address} port {port}") from None
            time.sleep(0.05)
        else:
            return
