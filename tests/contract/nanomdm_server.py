"""The real NanoMDM on loopback, ended by its process id; and where its program is found.

It pushes to nobody: no push certificate is ever given to it, so it has no way to talk to Apple.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3

VERSION = "v0.9.0"
MODULE = f"github.com/micromdm/nanomdm/cmd/nanomdm@{VERSION}"
_CHECKOUT = Path(__file__).parents[2]
_READY_SECONDS = 10.0


def program() -> str:
    """Return the path of nanomdm, "" where it is not here: SCEPFIX_NANOMDM, .peers/bin (``make peers``), or PATH."""
    named = os.environ.get("SCEPFIX_NANOMDM", "")
    if named:
        return named
    built = _CHECKOUT / ".peers/bin/nanomdm"
    return str(built) if built.exists() else shutil.which("nanomdm") or ""


def absent() -> str:
    """Return what is missing on this machine, "" where nothing is."""
    return "" if program() else f"nanomdm is not here; make peers builds it where Go is (go install {MODULE})"


@dataclass(frozen=True)
class NanoMdmServer:
    """A running server. ``url`` is that of its API and of what devices talk to."""

    url: str
    log: Path
    pid: int


@contextmanager
def run_nanomdm(
    folder: Path, cas: Sequence[bytes], api_key: str, webhook_url: str, webhook_key: str = "", storage: str = "filekv"
) -> Iterator[NanoMdmServer]:
    """Given a folder, the PEM certificates of the CAs of device identities and where events go, serve until the end.

    Raise OSError where it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(b"".join(cas))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    log = folder / "nanomdm.log"
    secrets = {"NANOMDM_API": api_key, "NANOMDM_WEBHOOK_HMAC_KEY": webhook_key}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                *(program(), "-ca", str(folder / "ca.pem"), "-listen", address, "-checkin", "-debug"),
                *("-storage", storage, "-storage-dsn", str(folder / "db") if storage != "inmem" else ""),
                *("-webhook-url", webhook_url),
            ],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **{name: value for name, value in secrets.items() if value}},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        _wait_until_ready(process, address, log)
        yield NanoMdmServer(f"http://{address}", log, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    ends = time.monotonic() + _READY_SECONDS
    with urllib3.PoolManager(retries=False) as pool:
        while time.monotonic() < ends and process.poll() is None:
            try:
                pool.request("GET", f"http://{address}/version", timeout=1.0)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
            else:
                return
    raise OSError(f"nanomdm does not answer: {log.read_text('utf-8', 'replace')[-500:]}")
