"""A real SCEP enrolment: Debian's scepserver and scepclient, in a network namespace of their own.

That server listens on all interfaces and cannot be told otherwise, so nothing but the client is let into its network.
It cannot add the Device Access marker either: who wants that has the simulated CA sign the same public key.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_SECONDS = 60
#: A network and processes of its own: when its first process ends, whatever it started ends too.
_ALONE = ("unshare", "-rn", "--pid", "--fork", "--kill-child")
#: Given the folder, the challenge and the common name. The server is ended by its id, whatever happened.
_SCRIPT = r"""
set -eu
cd "$1"
ip link set lo up
scepserver ca -init -keySize 2048 -depot depot >ca.log 2>&1
scepserver -depot depot -port 18080 -challenge "$2" -crtvalid 365 -allowrenew 0 -log-json >server.log 2>&1 &
server=$!
trap 'kill "$server"' EXIT
tries=0
until scepclient -private-key client.key -server-url http://127.0.0.1:18080/scep -challenge "$2" \
    -cn "$3" -certificate client.pem >client.log 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 20 ] || exit 1
    sleep 0.1
done
"""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a SCEP enrolment yields: the certificate and that of the CA, both DER."""

    certificate: bytes
    ca: bytes


def absent() -> str:
    """Return what is missing on this machine, "" where nothing is."""
    for program, package in (
        ("scepserver", "scep"),
        ("scepclient", "scep"),
        ("ip", "iproute2"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"{program} is not installed; the Debian package is {package}"
    tried = subprocess.run([*_ALONE, "true"], capture_output=True, check=False)  # noqa: S603 - fixed words
    return "" if tried.returncode == 0 else "this machine allows no network namespace (unshare -rn)"


def enrol(folder: Path, common_name: str) -> Enrolment:
    """Given an empty folder and a common name, enrol a new key at a new server. Raise OSError where that fails."""
    challenge = secrets.token_hex(16)
    done = subprocess.run(  # noqa: S603 - a fixed script; the words are its arguments
        [*_ALONE, "/bin/sh", "-c", _SCRIPT, "scep", str(folder), challenge, common_name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        said = (folder / "client.log").read_text("utf-8", "replace") if (folder / "client.log").exists() else ""
        reason = (said or done.stderr.decode("utf-8", "replace")).replace(challenge, "…").strip()
        raise OSError(f"the enrolment failed: {reason[-300:]}")
    return Enrolment(_der(folder / "client.pem"), _der(folder / "depot/ca.pem"))


def _der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
