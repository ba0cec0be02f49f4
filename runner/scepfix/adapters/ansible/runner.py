"""Runs playbooks detached, each in its own folder, and reads what came out (docs/run-folder.md).

``ansible-runner start`` is called as a command: what runs belongs to nobody's process and survives its starter.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scepfix.adapters.ansible.processes import end_run, run_is_alive
from scepfix.adapters.run_events import RunEvents, read_run_events
from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import NUDGE, Run, RunDevice
from scepfix.parsers.connection_values import read_connection
from scepfix.service.ports import RunRequest

#: A chunk has up to a hundred devices; each fork is a process of some 60 MB that mostly waits.
DEFAULT_FORKS = 20
#: A stage answers within five minutes. What hangs longer is cut off: first one task of one device, then the run.
TASK_SECONDS = 240
RUN_SECONDS = 900
#: Of a starter that has ended, how long its detached child may take to be seen.
DETACH_SECONDS = 2.0
_STOP_SECONDS = 2.0

_FOLDERS = ("artifacts", "inventory", "env", "effects", "result")
_HOST = re.compile(r"dev-[0-9a-f]{12}", re.ASCII)


class AnsibleRunner:
    """Implements service.ports.PlaybookRunner.

    ``state`` is scepfix's state folder, ``config`` the absolute path of the settings file or None. ``environment`` is
    given to the runs too; it is written to their folders, so no secret may be in it.
    """

    def __init__(
        self,
        state: Path,
        config: str | None,
        forks: int = DEFAULT_FORKS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._state = state
        self._config = config
        self._forks = forks
        self._given = dict(environment or {})
        self._starters: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, request: RunRequest) -> None:
        """Write the run folder and start the run, detached.

        Raise ScepfixError for a host or connection value that is not plain, or a folder that cannot be written.
        """
        try:
            self.prepare(request)
            # A session of its own from the start: Ctrl-C in our terminal is not for it. It is not waited for, because
            # under a process 1 (a container's) python-daemon does not fork, and this would last as long as the run.
            self._starters[request.folder] = subprocess.Popen(  # noqa: S603 - fixed words and our own names
                [
                    *(sys.executable, "-P", "-m", "ansible_runner", "start", str(request.folder.resolve())),
                    *("--playbook", request.playbook, "--ident", request.ident, "--quiet"),
                ],
                env=self._environment(request),
                cwd=request.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise ScepfixError(
                "run-not-started",
                f"the playbook run cannot be started: {visible(error.strerror or str(error))}",
                where=visible(str(request.folder)),
                hint="check the state folder's owner and free space",
            ) from error

    def prepare(self, request: RunRequest) -> None:
        """Write the run folder. Raise ScepfixError or OSError as ``start`` says."""
        folder, inventory = request.folder, _inventory(request)
        # Made here: Ansible and ansible-runner make them for all the world (python-daemon sets the umask to 0).
        for private in (self._state / "ansible", folder.parent, folder, *(folder / name for name in _FOLDERS)):
            private.mkdir(mode=0o700, parents=True, exist_ok=True)
        RunFolder(folder).write_run(
            Run(
                intent=request.ident,
                stage=request.stage,
                devices={host: RunDevice.from_document(device) for host, device in request.devices.items()},
                config=self._config,
                read_only=request.read_only,
                wait_seconds=request.wait_seconds,
            )
        )
        _write_json(folder / "inventory" / "hosts.json", inventory)
        _write_json(folder / "env" / "settings", {"job_timeout": RUN_SECONDS + request.wait_seconds})
        (folder / "ansible.cfg").write_text("# All settings of a run are in its environment.\n", "ascii")

    def alive(self, folder: Path) -> bool:
        """Is the run of that folder going on?"""
        if run_is_alive(folder):
            return True
        # While the starter becomes a daemon it forks twice; one look at the processes may fall between two of them.
        time.sleep(0.02)
        return run_is_alive(folder)

    def stop(self, folder: Path) -> None:
        """End a run that only looks; it has two seconds for that. What changes something is never stopped."""
        end_run(folder)
        with contextlib.suppress(ScepfixError):
            self.wait(folder, _STOP_SECONDS)

    def forget_look(self, folder: Path) -> None:
        """Remove the folder of a run that has ended, unless a call that changes something is written down in it."""
        if not _effects(RunFolder(folder)):
            shutil.rmtree(folder, ignore_errors=True)

    def started(self, folder: Path) -> bool:
        """Was a run ever begun in that folder?"""
        begun = (folder / "pid").exists() or (folder / "daemon.log").exists() or _artifacts(folder) is not None
        return begun or self.alive(folder)

    def wait(self, folder: Path, timeout_seconds: float) -> bool:
        """Wait for the run's end; True when it ended. Raise ScepfixError where our own start came to nothing."""
        deadline = time.monotonic() + timeout_seconds
        pause_seconds = 0.02
        while not self._ended(folder):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause_seconds, left))
            pause_seconds = min(pause_seconds * 1.5, 0.1)
        self._check_start(folder)
        return True

    def _ended(self, folder: Path) -> bool:
        """``rc`` is written last, after ansible-playbook has ended. A killed run leaves none and no process."""
        artifacts = _artifacts(folder)
        return (artifacts is not None and (artifacts / "rc").exists()) or not self.alive(folder)

    def _check_start(self, folder: Path) -> None:
        starter = self._starters.pop(folder, None)
        if starter is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            starter.wait(DETACH_SECONDS)
        if starter.returncode and not self.started(folder):
            raise ScepfixError(
                "run-not-started",
                f"ansible-runner ended at once with {starter.returncode}",
                where=visible(str(folder)),
                hint=f"try: {sys.executable} -m ansible_runner --version",
            )

    def results(self, folder: Path, hosts: Sequence[str], stage: Stage | None) -> Mapping[str, StageResult]:
        """Return what each host answered; ``unknown`` for all whose events do not show a whole run (never raises)."""
        artifacts = _artifacts(folder)
        events = read_run_events(artifacts) if artifacts else RunEvents("the run was not begun")
        broken = events.broken or _not_processed(events, hosts)
        effects = _effects(RunFolder(folder))
        wanted = stage or Stage.INSPECT

        def unsure(answer: StageAnswer, why: str) -> StageResult:
            return StageResult(wanted, answer, why, {"error": why, "effects": effects})

        found: dict[str, StageResult] = {}
        for host in hosts:
            if broken:
                found[host] = unsure(StageAnswer.UNKNOWN, broken)
                continue
            result = _result(RunFolder(folder), host, stage)
            if host in events.unreachable and (result is None or result.answer is not StageAnswer.UNREACHABLE):
                found[host] = unsure(StageAnswer.UNREACHABLE, "the device could not be reached")
            else:
                found[host] = result or unsure(StageAnswer.UNKNOWN, "the stage left no answer that can be read")
        return found

    def _environment(self, request: RunRequest) -> dict[str, str]:
        """Return all that the run's processes are given. ansible-runner writes it to a file: no secret is in it.

        Nothing of the admin's Ansible is in it either (settings, plugins, collections): what runs is what was planned.
        """
        kept = {name: os.environ[name] for name in ("HOME", "SSH_AUTH_SOCK") if name in os.environ}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            **kept,
            **self._given,
            "PATH": path,
            "LANG": "C.UTF-8",
            "PYTHONUTF8": "1",
            "ANSIBLE_CONFIG": str(request.folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._state / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib"),
            "ANSIBLE_FORKS": str(max(1, min(self._forks, len(request.connections)))),
            "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_HOST_KEY_CHECKING": "true",
            "ANSIBLE_PIPELINING": "true",
            # No ControlPersist: a run asks a device once, and a connection that stays is a process at either end.
            "ANSIBLE_SSH_ARGS": "-C -o ServerAliveInterval=10 -o ServerAliveCountMax=3",
            "ANSIBLE_TASK_TIMEOUT": str(TASK_SECONDS + request.wait_seconds),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_NOCOWS": "true",
        }


def _inventory(request: RunRequest) -> dict[str, Any]:
    """Return the inventory. Ansible renders templates in it, so all but plain values is refused here once more."""
    hosts = {}
    for host, connection in request.connections.items():
        reached = read_connection(host, connection)
        if not _HOST.fullmatch(host) or reached.wrong:
            raise ScepfixError(
                "connection-refused",
                "; ".join(f"{wrong.key} {wrong.message}" for wrong in reached.wrong) or "this is no host name of ours",
                where=visible(host),
                hint="plan again from the inventory",
            )
        hosts[host] = dict(reached.connection)
    if "{" in str(request.folder):
        raise ScepfixError(
            "state-folder", "its path has a brace in it, which Ansible would read as a template",
            where=visible(str(request.folder)), hint="set XDG_STATE_HOME to a plain path",
        )  # fmt: skip
    return {"all": {"vars": {"scepfix_run": str(request.folder)}, "children": {"scepfix_devices": {"hosts": hosts}}}}


def _artifacts(folder: Path) -> Path | None:
    """Return the artifact folder of the one run in that folder, or None."""
    return next(iter(sorted(path for path in (folder / "artifacts").glob("*") if path.is_dir())), None)


def _not_processed(events: RunEvents, hosts: Sequence[str]) -> str:
    """Return which hosts a whole run left out, "" for none.

    A stage that only asks the MDM has one play, on the controller: none of the devices is in it, and localhost is.
    """
    missing = [host for host in hosts if host not in events.processed]
    if not missing or (len(missing) == len(hosts) and "localhost" in events.processed):
        return ""
    return f"the run left out {', '.join(missing[:5])}" + (" and more" if len(missing) > 5 else "")


def _result(folder: RunFolder, host: str, stage: Stage | None) -> StageResult | None:
    """Return the stage's answer, None where it is missing, garbled, or of another stage."""
    try:
        found = folder.result(host)
    except ScepfixError:
        return None
    if found is None or (stage is not None and found[0] != stage):
        return None
    return replace(found[1], waiting_for=visible(found[1].waiting_for))


def _effects(folder: RunFolder) -> bool:
    """May the run have changed something? A nudge only asks a device to call."""
    try:
        return any(effect.verb != NUDGE for effect in folder.effects())
    except ScepfixError:
        return True


def _write_json(file: Path, document: Mapping[str, Any]) -> None:
    """Written before the run is begun, so it needs no rename: a half file is written again."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as stream:
        json.dump(document, stream)
