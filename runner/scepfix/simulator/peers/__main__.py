"""Serves a world until standard input ends (its parent is gone), or for as long as it was told to at most."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from scepfix.simulator.peers import okta_face, openssh, ssh
from scepfix.simulator.peers.http import JsonServer
from scepfix.simulator.peers.mdm_face import MdmFace
from scepfix.simulator.world import World


async def main() -> None:
    """Read the command line, start every face, say where they are in one JSON line, and wait."""
    parser = argparse.ArgumentParser(prog="python -m scepfix.simulator.peers")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkin-seconds", type=float, default=1.0)
    parser.add_argument("--lifetime-seconds", type=float, default=3600.0)
    options = parser.parse_args()
    world = World(options.folder)
    mdm = JsonServer(MdmFace(world).answer, {_token(world, "mdm-write"): True, _token(world, "mdm-read"): False})
    okta = JsonServer(okta_face.face(world.okta), {_token(world, "okta-read"): False})
    port = await ssh.serve(world)
    behind_openssh = any(mac.facts.face == "openssh" for mac in world.macs.values())
    sshd, openssh_port = openssh.start(world) if behind_openssh else (None, None)
    threading.Thread(target=_check_in, args=(world, options.checkin_seconds), daemon=True).start()
    ready = {
        "ssh_port": port,
        "openssh_port": openssh_port,
        "openssh_pid": sshd.pid if sshd else None,
        "mdm_url": mdm.url,
        "okta_url": okta.url,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    try:
        await asyncio.wait_for(_parent_gone(), options.lifetime_seconds)
    except TimeoutError:
        sys.stderr.write("the simulated world ends: its time is up\n")
    finally:
        if sshd is not None:
            sshd.terminate()


async def _parent_gone() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


def _check_in(world: World, every_seconds: float) -> None:
    pause = threading.Event()
    while not pause.wait(every_seconds):
        world.mdm.check_in(datetime.now(UTC))


def _token(world: World, name: str) -> str:
    return (world.folder / "tokens" / name).read_text("ascii").strip()


if __name__ == "__main__":
    asyncio.run(main())
