"""What the services need from outside, one small Protocol each; adapters/ implements them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from scepfix.domain.errors import InputError
from scepfix.domain.fault import Catalogue


class SmallFiles(Protocol):
    """Reads files that are meant to fit in memory: certificates, profiles, evidence, settings."""

    def read(self, path: str) -> bytes:
        """Given a path or ``-`` for stdin, return the bytes; raise InputError where there are none to be had."""
        ...


@dataclass(frozen=True, slots=True)
class EvidenceSource:
    """One plain stream: ``name`` is a path, ``FILE!MEMBER`` or ``stdin``; ``named`` if the person named it itself."""

    name: str
    stream: BinaryIO
    named: bool


@dataclass(frozen=True, slots=True)
class UnreadableSource:
    """Something that could not be read, and why."""

    name: str
    error: InputError


class EvidenceSources(Protocol):
    """Opens files, folders, archives and stdin as plain streams."""

    def open(self, path: str) -> Iterator[EvidenceSource | UnreadableSource]:
        """Given a path or ``-``, yield its streams; each must be read before the next is asked for."""
        ...


class Settings(Protocol):
    """What a site sets: its ways in, its own faults, its issuer certificates."""

    @property
    def ways_in(self) -> tuple[str, ...]:
        """Texts, in the order in which they are told."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The shipped faults and the site's own."""
        ...

    @property
    def issuer_files(self) -> tuple[str, ...]:
        """Paths of the certificates of this org's Device Access CA."""
        ...
