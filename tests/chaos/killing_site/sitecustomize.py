"""Loaded by every Python of a run in the kill tests: kills the run, its runner and the engine at each file it writes.

``SCEPFIX_KILLS`` names the file of the points that had their kill; each has one. Python loads a module of this name by
itself; nothing in the product knows of it.
"""

import contextlib
import os
import re
import signal
from pathlib import Path

_replace = os.replace
_RUN = re.compile(r"/runs/([a-z-]+)-[0-9a-f]+/((?:effects|result)/[^/]+|mdm\.json)$")


def _killing_replace(source, destination, **more):  # type: ignore[no-untyped-def]
    _point("before", str(destination))
    _replace(source, destination, **more)
    _point("after", str(destination))


def _point(when: str, destination: str) -> None:
    found = _RUN.search(destination)
    if found is None:
        return
    file = re.sub(r"dev-[0-9a-f]+", "HOST", found[2])
    kills = Path(os.environ["SCEPFIX_KILLS"])
    line = f"{when} {found[1]} {file}\n"
    with kills.open("a+") as stream:
        stream.seek(0)
        if line in stream.readlines():
            return
        stream.write(line)
    folder = Path(destination[: found.start(2)])
    victims = [int(os.environ["SCEPFIX_ENGINE"])]
    with contextlib.suppress(OSError, ValueError):
        victims.append(int((folder / "pid").read_text()))
    if b"ansible-playbook" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes():
        victims.append(os.getppid())
    for process in (*victims, os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


if "SCEPFIX_KILLS" in os.environ:
    os.replace = _killing_replace  # type: ignore[assignment]
