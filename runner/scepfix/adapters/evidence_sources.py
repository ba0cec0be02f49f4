"""Opens what a person hands over (files, folders, archives, stdin) as plain streams; no member lands on disk.

Compressed and archived data may be hostile: what comes out is counted against one limit, headers and nesting are
bounded, and member names are only ever shown.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from scepfix.adapters.small_files import unreadable
from scepfix.domain.errors import InputError
from scepfix.service.ports import EvidenceSource, UnreadableSource

#: Decompressed bytes of one path; a day of logs is far smaller, and a bomb stops here.
LIMIT_BYTES = 2 * 1024**3
_MEMBERS = 50_000
_DEEPEST = 4
_TAR_HEADER_BYTES = 1024 * 1024
_ZIP_DIRECTORY_BYTES = 16 * 1024 * 1024
_BLOCK = 1024 * 1024
_BROKEN = (
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    gzip.BadGzipFile,
    NotImplementedError,
)


@dataclass(slots=True)
class _Allowance:
    """What may still be decompressed of one path."""

    left_bytes: int
    members_left: int = _MEMBERS

    def take(self, count: int, where: str) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise InputError(
                "input-bomb",
                "it unpacks to far more than a log would",
                where=where,
                hint="unpack it yourself and hand over the log (setting limits.unpacked_mib)",
            )

    def member(self, where: str) -> None:
        self.members_left -= 1
        if self.members_left < 0:
            raise InputError("input-bomb", f"more than {_MEMBERS} members", where=where, hint="hand over the log alone")


class EvidenceSourcesOnDisk:
    """Implements service.ports.EvidenceSources on the file system and standard input."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes

    def open(self, path: str) -> Iterator[EvidenceSource | UnreadableSource]:
        """Given a path or ``-``, yield each stream in it; read one before you ask for the next.

        What cannot be read comes as an UnreadableSource with the reason, in its place.
        """
        allowance = _Allowance(self._limit_bytes)
        if path == "-":
            yield from _guarded("stdin", lambda: _peeled(sys.stdin.buffer, "stdin", allowance, named=True))
            return
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            yield UnreadableSource(path, unreadable(path, error))
            return
        if not stat.S_ISDIR(mode):
            yield from _guarded(path, lambda: _opened(path, allowance, named=True))
            return
        count = 0
        for file in _files_below(path):
            count += 1
            yield from _guarded(file, lambda file=file: _opened(file, allowance, named=False))
        if not count:
            yield UnreadableSource(
                path, InputError("input-empty", "the folder has no files", where=path, hint="check the path")
            )


def _files_below(path: str) -> Iterator[str]:
    """Yield regular files, in the order of their names. Links are not followed: a folder may be somebody else's."""
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(file).st_mode):
                yield file


def _guarded(name: str, streams: object) -> Iterator[EvidenceSource | UnreadableSource]:
    """Yield the streams; a failure of the container becomes one UnreadableSource and ends it."""
    try:
        yield from streams()  # type: ignore[operator]
    except InputError as error:
        yield UnreadableSource(error.where or name, error)
    except _BROKEN as error:
        yield UnreadableSource(name, cut(name, error))
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        yield UnreadableSource(name, unreadable(name, error))


def cut(name: str, error: Exception) -> InputError:
    """Given a damaged compressed file, return the error."""
    return InputError("input-cut", f"it is cut or damaged: {error}", where=name, hint="copy it again, whole")


def _opened(path: str, allowance: _Allowance, *, named: bool) -> Iterator[EvidenceSource | UnreadableSource]:
    with open(path, "rb") as stream:
        yield from _peeled(stream, path, allowance, named=named)


def _peeled(
    stream: IO[bytes], name: str, allowance: _Allowance, *, named: bool, depth: int = 0
) -> Iterator[EvidenceSource | UnreadableSource]:
    """Yield the plain streams inside a stream, however it is packed."""
    head = _read_fully(stream, 1024)
    whole = _Rejoined(head, stream)
    if depth > _DEEPEST:
        raise InputError("input-bomb", f"packed more than {_DEEPEST} times over", where=name, hint="unpack it yourself")
    if head.startswith(b"\x1f\x8b"):
        inner = _Counted(cast(BinaryIO, gzip.GzipFile(fileobj=whole)), name, allowance)
        yield from _peeled(cast(IO[bytes], inner), name, allowance, named=named, depth=depth + 1)
    elif head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        inner = _Counted(cast(BinaryIO, bz2.BZ2File(whole)), name, allowance)
        yield from _peeled(cast(IO[bytes], inner), name, allowance, named=named, depth=depth + 1)
    elif head[257:262] == b"ustar":
        yield from _tar(whole, name, allowance, depth)
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip(whole, name, allowance, depth)
    elif head.startswith((b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"\x28\xb5\x2f\xfd", b"Rar!")):
        raise InputError(
            "input-format",
            "this kind of compression is not read",
            where=name,
            hint="unpack it first; gzip, bzip2, tar and zip are read as they are",
        )
    else:
        yield EvidenceSource(name, cast(BinaryIO, whole), named)


def _tar(
    stream: io.RawIOBase, name: str, allowance: _Allowance, depth: int
) -> Iterator[EvidenceSource | UnreadableSource]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedTarInfo) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every header
            allowance.member(name)
            if not member.isreg():
                continue
            inner_name = f"{name}!{member.name}"
            content = archive.extractfile(member)
            if content is None:
                continue
            inner = _Counted(cast(BinaryIO, content), inner_name, allowance)
            yield from _peeled(cast(IO[bytes], inner), inner_name, allowance, named=False, depth=depth + 1)


class _BoundedTarInfo(tarfile.TarInfo):
    """tarfile reads extended headers whole, whatever size they claim; a real one is a few hundred bytes."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        headers = (
            tarfile.XHDTYPE,
            tarfile.XGLTYPE,
            tarfile.SOLARIS_XHDTYPE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.GNUTYPE_LONGLINK,
        )
        if self.type in headers and not 0 <= self.size <= _TAR_HEADER_BYTES:
            raise tarfile.ReadError("an extended header is too large")
        return super()._proc_member(tar)  # type: ignore[misc,no-any-return]


def _zip(
    stream: io.RawIOBase, name: str, allowance: _Allowance, depth: int
) -> Iterator[EvidenceSource | UnreadableSource]:
    # The directory of a zip stands at its end, and what we read from may be a pipe or a member of an archive.
    with tempfile.TemporaryFile() as copy:
        while block := stream.read(_BLOCK):
            allowance.take(len(block), name)
            copy.write(block)
        _refuse_large_directory(copy, name)
        with zipfile.ZipFile(copy) as archive:
            for member in archive.infolist():
                allowance.member(name)
                if member.is_dir():
                    continue
                inner_name = f"{name}!{member.filename}"
                if member.flag_bits & 1:
                    yield UnreadableSource(
                        inner_name,
                        InputError(
                            "input-format",
                            "it is encrypted",
                            where=inner_name,
                            hint="unpack it with its password first",
                        ),
                    )
                    continue
                with archive.open(member) as content:
                    inner = _Counted(cast(BinaryIO, content), inner_name, allowance)
                    yield from _peeled(cast(IO[bytes], inner), inner_name, allowance, named=False, depth=depth + 1)


def _refuse_large_directory(copy: IO[bytes], name: str) -> None:
    """zipfile loads the whole directory; its size stands in the last 64 KB (PKWARE APPNOTE 4.3.16)."""
    size = copy.seek(0, os.SEEK_END)
    copy.seek(max(0, size - 66_000))
    tail = copy.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("the directory at its end is missing")
    entries, directory_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    if entries == 0xFFFF or directory_bytes > _ZIP_DIRECTORY_BYTES:
        raise InputError("input-bomb", "its directory is too large", where=name, hint="unpack it yourself")
    copy.seek(0)


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            if size is None or size < 0:
                head, self._head = self._head, b""
                return head + self._rest.read()
            head, self._head = self._head[:size], self._head[size:]
            return head + self._rest.read(size - len(head)) if len(head) < size else head
        return self._rest.read(size)


class _Counted(io.RawIOBase):
    """A stream whose bytes are counted against the allowance."""

    def __init__(self, inner: BinaryIO, name: str, allowance: _Allowance) -> None:
        super().__init__()
        self._inner, self._name, self._allowance = inner, name, allowance

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size is None or size < 0:
            raise io.UnsupportedOperation("a compressed stream is read in blocks")
        data = self._inner.read(size)
        self._allowance.take(len(data), self._name)
        return data


def _read_fully(stream: IO[bytes], size: int) -> bytes:
    """A pipe gives what it has: ask until the bytes are there or the stream ends."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
