"""The keys of the world's SSH: one host key for all devices, one client key that opens them."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from scepfix.simulator import files

HOST_KEY, CLIENT_KEY = "ssh/host_key", "ssh/client_key"
AUTHORIZED_KEYS, KNOWN_HOSTS = "ssh/authorized_keys", "ssh/known_hosts"


def create(world: Path) -> None:
    """Write both key pairs, and what each side knows of the other."""
    (world / "ssh/addresses").mkdir(parents=True)
    host, client = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for name, key in ((HOST_KEY, host), (CLIENT_KEY, client)):
        files.write(world / name, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    files.write(
        world / AUTHORIZED_KEYS, client.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n"
    )
    public = host.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    # In a file of its own the star is no danger, and the ports are not known yet.
    files.write(world / KNOWN_HOSTS, b"* " + public + b"\n")
