"""Finds the processes of a playbook run: its runner, and the ansible-playbook that may outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

_PROC = Path("/proc")


def run_is_alive(folder: Path) -> bool:
    """Is any process of the run in that folder there?

    A process id proves nothing (it may be another program's by now), so its command line must name the folder. All
    processes are looked at where the one in ``pid`` is gone: a runner killed with SIGKILL leaves ansible-playbook
    behind, which goes on with its tasks (ansible/ansible-runner#973).
    """
    folder = folder.resolve()
    try:
        if _is_of(folder, _arguments(_PROC / str(int((folder / "pid").read_text("ascii"))))):
            return True
    except (OSError, ValueError):
        pass
    return any(_is_of(folder, arguments) for arguments in command_lines())


def end_run(folder: Path) -> None:
    """Ask the runner of that folder to end its run, where it is there; a worker may still wait for its device."""
    folder = folder.resolve()
    try:
        process = int((folder / "pid").read_text("ascii"))
        if _is_of(folder, _arguments(_PROC / str(process))):
            os.kill(process, signal.SIGTERM)
    except (OSError, ValueError):
        return


def _is_of(folder: Path, arguments: Sequence[str]) -> bool:
    """Is this a command of a run: ``ansible_runner start FOLDER …`` or ``ansible-playbook -i FOLDER/inventory …``?

    Compared by whole arguments: a person who looks at a file of that folder is no run.
    """
    ours = {str(folder), str(folder / "inventory")}
    return any("ansible" in Path(each).name for each in arguments[:5]) and not ours.isdisjoint(arguments)


def command_lines() -> Iterator[Sequence[str]]:
    """Yield the arguments of each process that may be seen."""
    if not (_PROC / "self").exists():
        yield from command_lines_of_ps()
        return
    for process in _PROC.iterdir():
        if process.name.isdecimal():
            try:
                yield _arguments(process)
            except OSError:
                continue


def command_lines_of_ps() -> Iterator[Sequence[str]]:
    """Yield the same where there is no /proc (macOS); an argument with a blank in it is told in pieces."""
    listed = subprocess.run(
        ["/bin/ps", "-axww", "-o", "command="], check=False, capture_output=True, stdin=subprocess.DEVNULL
    )
    for line in listed.stdout.decode("utf-8", "replace").splitlines():
        yield line.split()


def _arguments(process: Path) -> Sequence[str]:
    """A process that has ended and was not waited for has none."""
    return (process / "cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
