"""What the services need from outside, one small Protocol each; adapters/ implements them."""

from __future__ import annotations

from typing import Protocol


class SmallFiles(Protocol):
    """Reads files that are meant to fit in memory: certificates, profiles, evidence, settings."""

    def read(self, path: str) -> bytes:
        """Given a path or ``-`` for stdin, return the bytes; raise InputError where there are none to be had."""
        ...
