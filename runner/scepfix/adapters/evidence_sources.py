"""Opens what a person hands over (files, folders, archives, stdin) as plain streams; no member lands on disk.

Compressed and archived data may be hostile: what comes out is counted against one limit, headers and nesting are
bounded, and member names are only ever shown.
"""

from __future__ import annotations

import bz2
import io
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from tarfile import HeaderError, ReadError
from typing import IO, Any, BinaryIO, Self, cast

from scepfix.adapters.small_files import standard_input, unreadable
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.service.ports import EvidenceSource, UnreadableSource

#: Decompressed bytes of one path; a day of logs is far smaller, and a bomb stops here.
LIMIT_BYTES = 2 * 1024**3
_MEMBERS = 50_000
_DEEPEST = 4
#: Of all headers of one tar member, sparse maps and long names included; a real one has a few hundred.
_TAR_HEADER_BYTES = 1024 * 1024
_ZIP_DIRECTORY_BYTES = 16 * 1024 * 1024
_BLOCK = 1024 * 1024
_BROKEN = (
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    NotImplementedError,
)
_END_OF_TAR = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_FAILURES = (InputError, *_BROKEN, OSError, ValueError, RuntimeError, MemoryError)
_OTHER_PACKERS = (
    b"\xfd7zXZ\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"\x28\xb5\x2f\xfd",
    b"Rar!",
    b"\x1f\x9d",
    b"\x04\x22\x4d\x18",
)


@dataclass(slots=True)
class _Allowance:
    """What may still be decompressed of one path."""

    left_bytes: int
    members_left: int = _MEMBERS

    def take(self, count: int, where: str) -> None:
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise _UsedUpError(
                "input-bomb",
                "it gives far more than a log has, or has no end",
                where=where,
                hint="hand over the log itself, as a plain file (setting limits.unpacked_mib)",
            )

    def member(self, where: str) -> None:
        self.take(0, where)
        self.members_left -= 1
        if self.members_left < 0:
            raise _UsedUpError(
                "input-bomb", f"more than {_MEMBERS} members", where=where, hint="hand over the log alone"
            )


class _UsedUpError(InputError):
    """The allowance is used up: it ends the whole archive, where other errors end one member."""


class EvidenceSourcesOnDisk:
    """Implements service.ports.EvidenceSources on the file system and standard input."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes

    def open(self, path: str) -> Iterator[EvidenceSource | UnreadableSource]:
        """Given a path or ``-``, yield each stream in it; read one before you ask for the next.

        What cannot be read comes as an UnreadableSource with the reason, in its place.
        """
        allowance = _Allowance(self._limit_bytes)
        name = visible(path)
        if path == "-":
            yield from _guarded("stdin", _standard_input(allowance))
            return
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError) as error:
            yield UnreadableSource(name, unreadable(path, error))
            return
        if not stat.S_ISDIR(mode):
            yield from _guarded(name, _opened(path, allowance, named=True))
            return
        empty = True
        for file in _files_below(path):
            empty = False
            if isinstance(file, UnreadableSource):
                yield file
            else:
                yield from _guarded(visible(file), _opened(file, allowance, named=False))
        if empty:
            yield UnreadableSource(
                name, InputError("input-empty", "the folder has no files", where=name, hint="check the path")
            )


def _files_below(path: str) -> Iterator[str | UnreadableSource]:
    """Yield regular files, in the order of their names. Links are not followed: a folder may be somebody else's."""
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=unlisted.append):
        folders.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.lstat(file).st_mode):
                    yield file
            except OSError as error:
                yield UnreadableSource(visible(file), unreadable(file, error))
    for unread in unlisted:
        place = str(unread.filename or path)
        yield UnreadableSource(visible(place), unreadable(place, unread))


_Streams = Iterator[EvidenceSource | UnreadableSource]


def _guarded(name: str, streams: _Streams) -> _Streams:
    """Yield the streams; a failure of what holds them becomes one UnreadableSource and ends it, and it alone."""
    try:
        yield from streams
    except _FAILURES as error:
        wrong = _as_input_error(name, error)
        yield UnreadableSource(wrong.where or name, wrong)


def _guarded_member(name: str, streams: _Streams) -> _Streams:
    """Yield the streams of a member; what is wrong with it does not cost its neighbours, unless nothing is left."""
    try:
        yield from streams
    except _UsedUpError:
        raise
    except _FAILURES as error:
        wrong = _as_input_error(name, error)
        yield UnreadableSource(wrong.where or name, wrong)


def _as_input_error(name: str, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return error
    if isinstance(error, _BROKEN):
        return InputError(
            "input-cut", f"it is cut or damaged: {visible(str(error))}", where=name, hint="copy it again, whole"
        )
    return unreadable(name, error)


def _standard_input(allowance: _Allowance) -> _Streams:
    # Python has no sys.stdin where the shell closed it (<&-).
    stream = standard_input()
    plain = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    yield from _peeled(stream if plain else _counted(stream, "stdin", allowance), "stdin", allowance, named=True)


def _opened(path: str, allowance: _Allowance, *, named: bool) -> _Streams:
    name = visible(path)
    with open(path, "rb") as stream:
        # A file has an end; a pipe or a device need not.
        plain = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        yield from _peeled(stream if plain else _counted(stream, name, allowance), name, allowance, named=named)


def _peeled(stream: IO[bytes], name: str, allowance: _Allowance, *, named: bool, depth: int = 0) -> _Streams:
    """Yield the plain streams inside a stream, however it is packed."""
    head = _read_fully(stream, 1024)
    whole = _Rejoined(head, stream)
    if depth > _DEEPEST:
        raise InputError("input-bomb", f"packed more than {_DEEPEST} times over", where=name, hint="unpack it yourself")
    if head.startswith(b"\x1f\x8b"):
        inner = _counted(cast(BinaryIO, _Gunzip(whole)), name, allowance)
        yield from _peeled(inner, name, allowance, named=named, depth=depth + 1)
    elif head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        inner = _counted(cast(BinaryIO, bz2.BZ2File(whole)), name, allowance)
        yield from _peeled(inner, name, allowance, named=named, depth=depth + 1)
    elif head[257:262] == b"ustar":
        yield from _tar(whole, name, allowance, depth)
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip(whole, name, allowance, depth)
    elif head.startswith(_OTHER_PACKERS):
        raise InputError(
            "input-format",
            "this kind of compression is not read",
            where=name,
            hint="unpack it first; gzip, bzip2, tar and zip are read as they are",
        )
    else:
        yield EvidenceSource(name, cast(BinaryIO, _Reported(whole, name)), named)


def _tar(stream: io.RawIOBase, name: str, allowance: _Allowance, depth: int) -> _Streams:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_BoundedTarInfo) as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # it would keep every header
            allowance.member(name)
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield from _member(cast(BinaryIO, content), f"{name}!{visible(member.name)}", allowance, depth)


def _member(content: BinaryIO, name: str, allowance: _Allowance, depth: int) -> _Streams:
    counted = _counted(content, name, allowance)
    yield from _guarded_member(name, _peeled(counted, name, allowance, named=False, depth=depth + 1))


class _BoundedTarInfo(tarfile.TarInfo):
    """Bounds what tarfile reads before a member's content, and reports an archive that is cut.

    tarfile reads extended headers and sparse maps whole, whatever size they claim; and from the second member on it
    takes a header that is cut, damaged or missing for the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        if isinstance(tarfile.fileobj, _HeaderReader):
            return super().fromtarfile(tarfile)
        stream = tarfile.fileobj
        tarfile.fileobj = cast(Any, _HeaderReader(stream))
        try:
            return super().fromtarfile(tarfile)
        except _END_OF_TAR:
            raise
        except HeaderError as error:
            raise ReadError(str(error)) from error
        finally:
            tarfile.fileobj = stream


class _HeaderReader:
    """A tar stream while the headers of one member are read."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left_bytes = stream, _TAR_HEADER_BYTES

    def read(self, size: int) -> bytes:
        self._left_bytes -= size
        if size < 0 or self._left_bytes < 0:
            raise ReadError("the headers of a member are too large")
        data: bytes = self._stream.read(size)
        return data

    def tell(self) -> int:
        place: int = self._stream.tell()
        return place


def _zip(stream: io.RawIOBase, name: str, allowance: _Allowance, depth: int) -> _Streams:
    # The directory of a zip stands at its end, and what we read from may be a pipe or a member of an archive.
    with tempfile.TemporaryFile() as copy:
        while block := stream.read(_BLOCK):
            allowance.take(len(block), name)
            copy.write(block)
        _refuse_large_directory(copy, name)
        with zipfile.ZipFile(copy) as archive:
            for member in archive.infolist():
                allowance.member(name)
                if not member.is_dir():
                    inner_name = f"{name}!{visible(member.filename)}"
                    yield from _guarded_member(inner_name, _zip_member(archive, member, inner_name, allowance, depth))


def _zip_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, allowance: _Allowance, depth: int
) -> _Streams:
    if member.flag_bits & 1:
        raise InputError("input-format", "it is encrypted", where=name, hint="unpack it with its password first")
    with archive.open(member) as content:
        yield from _member(cast(BinaryIO, content), name, allowance, depth)


def _refuse_large_directory(copy: IO[bytes], name: str) -> None:
    """zipfile loads the whole directory; its size stands in the last 64 KB (PKWARE APPNOTE 4.3.16)."""
    size = copy.seek(0, os.SEEK_END)
    copy.seek(max(0, size - 66_000))
    tail = copy.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("the directory at its end is missing")
    entries, directory_bytes = struct.unpack("<HI", tail[at + 10 : at + 16])
    # zipfile believes the sizes of a zip64 record (4.3.15) wherever there is one.
    zip64 = tail[max(0, at - 20) : at].startswith(b"PK\x06\x07")
    if entries == 0xFFFF or directory_bytes > _ZIP_DIRECTORY_BYTES or zip64:
        raise InputError("input-bomb", "its directory is too large", where=name, hint="unpack it yourself")
    copy.seek(0)


class _Gunzip(io.RawIOBase):
    """What gzip members, one after the other, unpack to; anything else after the last one is ignored, as gzip does."""

    def __init__(self, packed: io.RawIOBase) -> None:
        super().__init__()
        self._packed, self._pending = packed, b""
        self._member = zlib.decompressobj(wbits=31)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        while not self._member.eof or self._has_next_member():
            data = self._pending or self._packed.read(_BLOCK) or b""
            unpacked = self._member.decompress(data, size)
            self._pending = self._member.unconsumed_tail or self._member.unused_data
            if unpacked:
                return unpacked
            if not data and not self._member.eof:
                raise EOFError("it ends before its end mark")
        return b""

    def _has_next_member(self) -> bool:
        while len(self._pending) < 2 and (more := self._packed.read(_BLOCK)):
            self._pending += more
        if self._pending == b"\x1f" or self._pending.startswith(b"\x1f\x8b"):
            self._member = zlib.decompressobj(wbits=31)
            return True
        return False


class _Reported(io.RawIOBase):
    """A plain stream as the reader gets it: whatever goes wrong below it is an InputError."""

    def __init__(self, inner: io.RawIOBase, name: str) -> None:
        super().__init__()
        self._inner, self._name = inner, name

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._inner.read(size) or b""
        except _FAILURES as error:
            raise _as_input_error(self._name, error) from error


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


def _counted(inner: BinaryIO, name: str, allowance: _Allowance) -> IO[bytes]:
    return cast(IO[bytes], _Counted(inner, name, allowance))


def _read_fully(stream: IO[bytes], size: int) -> bytes:
    """A pipe gives what it has: ask until the bytes are there or the stream ends."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
