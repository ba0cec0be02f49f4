"""The SSH face: one process answers for all Macs, each on its own loopback address, all on one port.

Commands are run by ``/bin/sh`` through ``tools/login``. A Mac that is offline closes every connection before it says a
word; one that refuses lets nobody in.
"""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import RawIOBase

import asyncssh

from scepfix.simulator.mac import Mac
from scepfix.simulator.ssh_keys import AUTHORIZED_KEYS, HOST_KEY
from scepfix.simulator.world import World

Process = asyncssh.SSHServerProcess[bytes]
_CHUNK_BYTES = 64 * 1024
_FIRST_PORT, _LAST_PORT, _TRIES = 20000, 45000, 50


class _Door(asyncssh.SSHServer):
    """Lets the world's key in, under any user name."""

    def __init__(self, macs: Mapping[str, Mac], keys: asyncssh.SSHAuthorizedKeys) -> None:
        self._macs, self._keys = macs, keys
        self._mac: Mac | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        self._mac = self._macs.get(conn.get_extra_info("sockname")[0])
        if self._mac is None or self._mac.told("offline") is not None:
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        if self._mac is not None and self._mac.told("refuse") is None:
            self._conn.set_authorized_keys(self._keys)
        return True

    def public_key_auth_supported(self) -> bool:
        return True


async def serve(world: World) -> int:
    """Listen for every Mac of this face and return the port; what listens stays until the process ends."""
    macs = {mac.facts.address: mac for mac in world.macs.values() if mac.facts.face == "asyncssh"}
    keys = asyncssh.read_authorized_keys(str(world.folder / AUTHORIZED_KEYS))
    options = asyncssh.SSHServerConnectionOptions(
        server_factory=lambda: _Door(macs, keys),
        server_host_keys=[str(world.folder / HOST_KEY)],
        process_factory=_runner(world, macs),
        encoding=None,
        line_editor=False,
        password_auth=False,
        kbdint_auth=False,
        agent_forwarding=False,
        login_timeout=30,
    )
    for _ in range(_TRIES):
        port = random.randint(_FIRST_PORT, _LAST_PORT)  # noqa: S311 - any free port will do
        listening: list[asyncssh.SSHAcceptor] = []
        try:
            for address in macs:
                listening.append(await asyncssh.listen(address, port, options=options, backlog=128))
        except OSError as error:
            for one in listening:
                one.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        return port
    raise OSError("no free port for the SSH face")


def _runner(world: World, macs: Mapping[str, Mac]) -> Callable[[Process], object]:
    environment = {
        "HOME": str(world.folder),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "SCEPFIX_WORLD": str(world.folder),
    }
    login = str(world.folder / "tools/login")

    async def run(process: Process) -> None:
        mac = macs[process.get_extra_info("sockname")[0]]
        if mac.told("offline") is not None:
            # A connection from before it went offline, kept open by the client.
            process.get_extra_info("connection").abort()
            return
        told = {"SCEPFIX_MAC": str(mac.folder), "SSH_ORIGINAL_COMMAND": process.command or ""}
        # A client without TERM asks for a terminal of the type "".
        run_it = _on_pipes if process.term_type is None else _on_terminal
        try:
            code = await run_it(process, login, {**environment, **told})
        except (asyncssh.Error, OSError):
            # The client went away, or this machine has no process left to give.
            process.close()
        else:
            process.exit(code if code >= 0 else 128 - code)

    return run


async def _on_pipes(process: Process, login: str, environment: Mapping[str, str]) -> int:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", login, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise OSError("no pipes")
    feeding = asyncio.create_task(_feed(process, child.stdin))
    try:
        await asyncio.gather(_carry(child.stdout, process.stdout), _carry(child.stderr, process.stderr))
        return await child.wait()
    finally:
        feeding.cancel()
        if child.returncode is None:
            child.kill()
        # Where the command ended before it read all of its input, somebody has to take the error.
        child.stdin.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(child.stdin.wait_closed(), 1.0)


async def _on_terminal(process: Process, login: str, environment: Mapping[str, str]) -> int:
    """As sshd does for ``ssh -tt``: one stream for both outputs, and line ends as a terminal has them."""
    master, slave = pty.openpty()
    child = await asyncio.create_subprocess_exec(
        "/bin/sh", login, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    shown = asyncio.StreamReader()
    with os.fdopen(os.dup(master), "wb", buffering=0) as typed, os.fdopen(master, "rb", buffering=0) as screen:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(shown), screen
        )
        feeding = asyncio.create_task(_type(process, typed))
        # A terminal whose other side is closed may forget what was not read yet. So that side stays open, and what the
        # command said last has come when a mark that was written behind it comes.
        mark = secrets.token_hex(16).encode("ascii")
        carrying = asyncio.create_task(_carry_until(mark, shown, process.stdout))
        try:
            code = await child.wait()
            await asyncio.to_thread(os.write, slave, mark)
            await carrying
            return code
        finally:
            os.close(slave)
            feeding.cancel()
            carrying.cancel()
            transport.close()
            if child.returncode is None:
                child.kill()


async def _feed(process: Process, target: asyncio.StreamWriter) -> None:
    with suppress(asyncssh.Error, OSError):
        while data := await _read(process):
            target.write(data)
            await target.drain()
    target.close()


async def _type(process: Process, target: RawIOBase) -> None:
    with suppress(asyncssh.Error, OSError):
        while data := await _read(process):
            target.write(data)
        # Control-D: what a terminal has for the end of input.
        target.write(b"\x04")


async def _read(process: Process) -> bytes:
    while True:
        try:
            return await process.stdin.read(_CHUNK_BYTES)
        except asyncssh.TerminalSizeChanged:
            continue
        except (asyncssh.BreakReceived, asyncssh.SignalReceived):
            return b""


async def _carry_until(mark: bytes, source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    held = b""
    while data := await source.read(_CHUNK_BYTES):
        held += data
        before, found, _ = held.partition(mark)
        # The mark may come in pieces: what may be its beginning waits for what follows.
        begun = next((size for size in range(len(mark) - 1, 0, -1) if held.endswith(mark[:size])), 0)
        sure = before if found else held[: len(held) - begun]
        target.write(sure)
        await target.drain()
        if found:
            return
        held = held[len(sure) :]


async def _carry(source: asyncio.StreamReader, target: asyncssh.SSHWriter[bytes]) -> None:
    while True:
        data = await source.read(_CHUNK_BYTES)
        if not data:
            return
        target.write(data)
        await target.drain()
