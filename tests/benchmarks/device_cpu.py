"""Counts the CPU of whole process trees: every process that a command started, and what it left running.

All of them are descendants of this process, also those that made themselves daemons: it is their subreaper. The servers
are its children too, so both ends of each connection count. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: A program of the OpenSSH client that waits for more work (ControlPersist); it is told to end, and counted.
_LINGERS = ("ssh",)
_END_SECONDS = 90.0


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU."""

    wall: float
    cpu: float


def become_subreaper() -> None:
    """From now on orphans among the descendants of this process are its children. Raise OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def measure(command: Sequence[str], environment: Mapping[str, str], servers: Collection[int], log: Path) -> Cost:
    """Run a command to its end; what it leaves behind is ended and counted. Its output goes to ``log``.

    ``servers`` are the processes that go on, whose work counts too. Raise SystemExit where the command fails.
    """
    before, began = _cpu_seconds(), time.perf_counter()
    with log.open("wb") as out:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    wall = time.perf_counter() - began
    if done.returncode != 0:
        lines = log.read_text("utf-8", "replace").splitlines()
        wrong = [line[:500] for line in lines if line.startswith("fatal") or "rror" in line] or lines
        raise SystemExit("\n".join([f"{command[0]} ended with {done.returncode}:", *wrong[-5:]]))
    _end_what_is_left(servers)
    return Cost(wall, _cpu_seconds() - before)


def _end_what_is_left(servers: Collection[int]) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while left := {process: name for process, name in _descendants().items() if process not in servers}:
        if time.monotonic() > deadline:
            raise SystemExit(f"still there: {sorted(left.values())}")
        for process, name in left.items():
            if name in _LINGERS:
                _terminate(process)
        _reap()
        time.sleep(0.05)


def _terminate(process: int) -> None:
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        return


def _reap() -> None:
    """Wait for every orphan that has ended: from then on its time is in that of our children."""
    for process in _descendants():
        try:
            if _status(process)[2] == "Z" and int(_status(process)[3]) == os.getpid():
                os.waitpid(process, os.WNOHANG)
        except (OSError, IndexError):
            continue


def _cpu_seconds() -> float:
    """Return what this process's children have used so far: those that ended, and those that are running."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = 0
    for process in _descendants():
        try:
            # utime, stime, cutime, cstime: proc(5), fields 14 to 17.
            running += sum(map(int, _status(process)[13:17]))
        except OSError:
            continue
    return ended.ru_utime + ended.ru_stime + running / _TICKS_PER_SECOND


def _descendants() -> dict[int, str]:
    """Return the name of each descendant of this process, by its id."""
    children: dict[int, list[tuple[int, str]]] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                fields = _status(int(path.name))
            except OSError:
                continue
            children.setdefault(int(fields[3]), []).append((int(path.name), fields[1]))
    found: dict[int, str] = {}
    todo = [os.getpid()]
    while todo:
        for process, name in children.get(todo.pop(), ()):
            found[process] = name
            todo.append(process)
    return found


def _status(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat; the second is the name, without its parentheses."""
    first, _, rest = (Path("/proc") / str(process) / "stat").read_text("utf-8", "replace").rpartition(") ")
    number, _, name = first.partition(" (")
    return [number, name, *rest.split()]
