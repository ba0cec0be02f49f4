"""Hands secrets that came by the environment to runs of our own, in memory: ansible-runner writes environments down."""

from __future__ import annotations

import json
import os
import secrets as random_names
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from scepfix.adapters.process_ids import alive
from scepfix.domain.errors import UsageError
from scepfix.parsers.service_settings import ServiceSettings

#: Names the file with the secrets; the value is a path, which is no secret.
VARIABLE = "SCEPFIX_SECRETS"
#: Memory of the whole machine, as Linux has it; everybody may write to it, so whose a folder in it is gets looked at.
OF_ALL = "/dev/shm"  # noqa: S108
#: A file that a killed process left is removed by a later one; what it was for has ended long before.
_STALE_SECONDS = 3600.0


@contextmanager
def handed_over(services: Iterable[ServiceSettings | None]) -> Iterator[dict[str, str]]:
    """Given the systems of the settings, yield the variables that a run needs to find their ``{env: …}`` secrets.

    The values lie in a file of mode 0600 in a folder that is memory (``$XDG_RUNTIME_DIR``, else ``/dev/shm``), never on
    a disk, until the block ends; where a person interrupts it they stay for what still runs, and a later process
    removes them. Raise UsageError (``secret``) where there is no such folder and one is needed.
    """
    names = {ref.name for one in services if one for ref in one.secrets.values() if ref.kind == "env"}
    values = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    if not values:
        yield {}
        return
    folder = _memory()
    _remove_stale(folder)
    file = folder / f"{os.getpid()}-{random_names.token_hex(8)}.json"
    handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(values, stream)
    try:
        yield {VARIABLE: str(file)}
    except Exception:
        file.unlink(missing_ok=True)
        raise
    file.unlink(missing_ok=True)


def received() -> Mapping[str, str]:
    """Return the secrets that were handed to this process, by the name of their variable; none where there are none."""
    path = os.environ.get(VARIABLE, "")
    if not path:
        return {}
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        # The message about the variable that is missing says more than one about this file.
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _memory() -> Path:
    for base, name in ((os.environ.get("XDG_RUNTIME_DIR", ""), "scepfix"), (OF_ALL, f"scepfix-{os.getuid()}")):
        folder = Path(base) / name
        if not os.path.isabs(base) or not _is_memory(base):
            continue
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            # /dev/shm is everybody's: one that somebody else put there is not ours to write to.
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077:
                return folder
    raise UsageError(
        "secret",
        "a secret of the environment cannot reach the playbook runs here: there is no folder in memory",
        where="XDG_RUNTIME_DIR",
        hint="use {file: PATH}, {keyring: …} or {vault: …} instead (docs/settings.md)",
    )


def _is_memory(folder: str) -> bool:
    """Is that folder on a file system that is memory (proc(5), mountinfo)? No where nobody can tell."""
    try:
        device = os.stat(folder).st_dev
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split()[0] for line in mounts.splitlines() if line.split()[2] == number}
    return bool(kinds) and kinds <= {"tmpfs", "ramfs"}


def _remove_stale(folder: Path) -> None:
    for file in folder.glob("*.json"):
        with suppress(OSError, ValueError):
            if time.time() - file.stat().st_mtime > _STALE_SECONDS and not alive(int(file.name.partition("-")[0])):
                file.unlink()
