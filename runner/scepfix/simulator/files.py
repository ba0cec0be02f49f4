"""Small files of a simulated world: written whole or not at all, changed by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write(path: Path, data: str | bytes, mode: int = 0o600) -> None:
    """Write to a temporary name beside it and rename, so that no reader ever sees half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    raw = data.encode("utf-8") if isinstance(data, str) else data
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
        stream.write(raw)
    beside.replace(path)


def make(path: Path, data: str | bytes) -> None:
    """Write a file that is not there yet and that nobody reads yet: thousands of them make a world."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data.encode("utf-8") if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON-shaped data, indented: people look into these files."""
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the data of a JSON file."""
    return json.loads(path.read_bytes())


class UnchangedJson:
    """Reads a JSON file again only when another one took its place. Who gets the data must not change it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[tuple[int, int, int], Any] | None = None

    def read(self) -> Any:
        now = self._path.stat()
        key = (now.st_ino, now.st_mtime_ns, now.st_size)
        seen = self._seen
        if seen is None or seen[0] != key:
            self._seen = seen = (key, read_json(self._path))
        return seen[1]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the world's lock: peers, tests and demo change it from processes and threads of their own."""
    with open(folder / "lock", "rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
