"""The second SSH face: OpenSSH's own sshd, for a handful of Macs, each on its own loopback address."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from scepfix.simulator import files
from scepfix.simulator.ssh_keys import AUTHORIZED_KEYS, HOST_KEY
from scepfix.simulator.world import World

_READY_SECONDS = 10.0
#: sshd as root wants this folder, which Debian makes when the service is started.
_PRIVILEGE_SEPARATION = Path("/run/sshd")


def sshd_program() -> str | None:
    """Return the path of sshd, None where it is not installed."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def start(world: World) -> tuple[subprocess.Popen[bytes], int]:
    """Start one sshd for all Macs of this face; return it and its port. Raise OSError where that fails."""
    program = sshd_program()
    if program is None:
        raise OSError("OpenSSH's sshd is not installed; the Debian package is openssh-server")
    addresses = [mac.facts.address for mac in world.macs.values() if mac.facts.face == "openssh"]
    port = _free_port(addresses)
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    config = world.folder / "ssh/sshd_config"
    files.write(config, sshd_config(world.folder, addresses, port))
    login = world.folder / "ssh/forced"
    command = f"SCEPFIX_WORLD={_quoted(world.folder)} exec /bin/sh {_quoted(world.folder / 'tools/login')}"
    files.write(login, f"#!/bin/sh\n{command}\n", 0o700)
    process = subprocess.Popen(  # noqa: S603 - sshd, with our own configuration
        [program, "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + _READY_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise OSError(f"sshd ended at once with {process.returncode}; try: {program} -t -f {config}")
        try:
            socket.create_connection((addresses[-1], port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return process, port
    process.terminate()
    raise OSError("sshd does not answer")


def sshd_config(world: Path, addresses: Sequence[str], port: int) -> str:
    """Return the configuration: loopback addresses only, one key, one forced command, no PAM."""
    listening = "".join(f"ListenAddress {address}\n" for address in addresses)
    return (
        f"Port {port}\n{listening}"
        f'HostKey "{world / HOST_KEY}"\n'
        f'AuthorizedKeysFile "{world / AUTHORIZED_KEYS}"\n'
        f"ForceCommand {_quoted(world / 'ssh/forced')}\n"
        # Else the shell of this machine's user reads his own files first.
        f'SetEnv "HOME={world}"\n'
        "PidFile none\n"
        "UsePAM no\n"
        # The world's folder may lie in /tmp, which anyone may write to.
        "StrictModes no\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
        "AllowTcpForwarding no\n"
        "X11Forwarding no\n"
        "PrintMotd no\n"
        "MaxStartups 200:30:400\n"
        "MaxSessions 20\n"
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _free_port(addresses: Sequence[str]) -> int:
    with socket.socket() as probe:
        probe.bind((addresses[0], 0))
        port: int = probe.getsockname()[1]
    return port
