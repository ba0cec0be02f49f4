"""Files, folders, archives and pipes as plain streams: nothing lands on disk, and nothing is silently lost."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk
from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.service.ports import UnreadableSource

TEXT = b"a line of a log\n" * 100
NOISE = random.Random(7).randbytes(300_000).hex().encode()  # so that a packed file is long enough to cut


def opened(path: Path | str, limit: int = 1 << 26) -> list[tuple[str, bytes | str]]:
    """Return (name, bytes) of what can be read to its end, and (name, code of the error) of the rest."""
    found: list[tuple[str, bytes | str]] = []
    for source in EvidenceSourcesOnDisk(limit).open(str(path)):
        assert visible(source.name) == source.name
        if isinstance(source, UnreadableSource):
            assert visible(str(source.error)) == str(source.error)
            found.append((source.name, source.error.code))
            continue
        parts: list[bytes] = []
        try:
            while part := source.stream.read(65_536):
                parts.append(part)
        except InputError as error:
            found.append((source.name, error.code))
        else:
            found.append((source.name, b"".join(parts)))
    return found


def tar(*members: tuple[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Write a file into a folder of its own; at the end the folder holds nothing else."""
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(data: bytes, name: str = "f") -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    yield call
    assert len(list(folder.iterdir())) <= 1


Write = object


def put(write: object, data: bytes, name: str = "f") -> Path:
    assert callable(write)
    path = write(data, name)
    assert isinstance(path, Path)
    return path


class TestPaths:
    def test_a_plain_file(self, write: Write) -> None:
        path = put(write, TEXT)
        assert opened(path) == [(str(path), TEXT)]

    def test_missing(self, tmp_path: Path) -> None:
        assert opened(tmp_path / "no") == [(str(tmp_path / "no"), "input-missing")]

    def test_a_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        assert opened(tmp_path / "link") == [(str(tmp_path / "link"), "input-missing")]

    def test_a_link_loop(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("link")
        assert opened(tmp_path / "link") == [(str(tmp_path / "link"), "input-unreadable")]

    def test_a_file_used_as_a_folder(self, write: Write) -> None:
        path = put(write, TEXT) / "below"
        assert opened(path) == [(str(path), "input-unreadable")]

    def test_a_name_that_is_no_name(self) -> None:
        assert [code for _, code in opened("a\0b")] == ["input-unreadable"]
        assert [code for _, code in opened("x" * 5000)] == ["input-unreadable"]

    def test_a_name_with_an_escape_and_a_byte_that_is_no_text(self, tmp_path: Path) -> None:
        name = str(tmp_path / "a\x1b[2J") + os.fsdecode(b"\xff")
        assert opened(name) == [(visible(name), "input-missing")]
        Path(name).write_bytes(TEXT)
        assert opened(tmp_path) == [(visible(name), TEXT)]

    @pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc/self/mem here")
    def test_a_file_that_opens_and_does_not_read(self) -> None:
        assert opened("/proc/self/mem") == [("/proc/self/mem", "input-unreadable")]

    def test_an_empty_file_is_an_empty_stream(self, write: Write) -> None:
        assert opened(put(write, b"")) == [(str(Path("f").resolve()), b"")]

    def test_a_named_pipe(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(TEXT * 1000),))
        writer.start()
        assert opened(pipe) == [(str(pipe), TEXT * 1000)]
        writer.join()

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
    def test_what_has_no_end_is_bounded(self) -> None:
        assert opened("/dev/zero", limit=1 << 20) == [("/dev/zero", "input-bomb")]

    def test_a_pipe_is_bounded_and_a_file_is_not(self, tmp_path: Path) -> None:
        pipe, file = tmp_path / "pipe", tmp_path / "file"
        file.write_bytes(TEXT * 100)
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(TEXT * 20,))
        writer.start()
        assert opened(pipe, limit=20_000) == [(str(pipe), "input-bomb")]
        writer.join()
        assert opened(file, limit=20_000) == [(str(file), TEXT * 100)]


class TestFolders:
    def test_a_tree_in_order_without_links_pipes_and_loops(self, tmp_path: Path) -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "loop").symlink_to(tmp_path)
        (tmp_path / "outside").symlink_to("/etc")
        (tmp_path / "passwd").symlink_to("/etc/passwd")
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "OktaDeviceAccess.log").write_bytes(TEXT)
        (tmp_path / "OktaDeviceAccess.log.1").write_bytes(b"older")
        (tmp_path / "b" / "OktaDeviceAccess.log.2.gz").write_bytes(gzip.compress(b"oldest"))
        assert [(Path(name).name, data) for name, data in opened(tmp_path)] == [
            ("OktaDeviceAccess.log", TEXT),
            ("OktaDeviceAccess.log.1", b"older"),
            ("OktaDeviceAccess.log.2.gz", b"oldest"),
        ]

    def test_an_empty_folder_and_one_of_links_only(self, tmp_path: Path) -> None:
        assert opened(tmp_path) == [(str(tmp_path), "input-empty")]
        (tmp_path / "loop").symlink_to(tmp_path)
        assert opened(tmp_path) == [(str(tmp_path), "input-empty")]

    def test_what_is_broken_does_not_cost_its_neighbours(self, tmp_path: Path) -> None:
        (tmp_path / "a.gz").write_bytes(gzip.compress(NOISE)[:1000])
        (tmp_path / "b.zip").write_bytes(zipped(("x", TEXT))[:-30])
        (tmp_path / "c.log").write_bytes(TEXT)
        assert [data for _, data in opened(tmp_path)] == ["input-cut", "input-cut", TEXT]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
    def test_what_may_not_be_read_is_told(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            (folder / "closed").mkdir(0o700)
            (folder / "closed" / "x.log").write_bytes(TEXT)
            (folder / "secret.log").write_bytes(TEXT)
            (folder / "secret.log").chmod(0o600)
            os.seteuid(65534)
            try:
                found = opened(folder)
            finally:
                os.seteuid(0)
        assert found == [(f"{folder}/secret.log", "input-unreadable"), (f"{folder}/closed", "input-unreadable")]


class TestCompressed:
    def test_several_members(self, write: Write) -> None:
        data = gzip.compress(TEXT) + gzip.compress(b"") + gzip.compress(NOISE)
        assert opened(put(write, data))[0][1] == TEXT + NOISE

    @pytest.mark.parametrize("trail", [b"\0" * 100, b"garbage", b"\0\0\0garbage", b"P"])
    def test_what_trails_is_ignored_as_gzip_does(self, write: Write, trail: bytes) -> None:
        assert opened(put(write, gzip.compress(TEXT) + trail))[0][1] == TEXT

    @pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
    def test_cut_at_every_tenth_byte_is_never_taken_for_whole(self, tmp_path: Path, pack: object) -> None:
        assert callable(pack)
        whole = pack(NOISE[:3000])
        for at in range(10, len(whole), 10):
            (tmp_path / "f").write_bytes(whole[:at])
            assert opened(tmp_path / "f") == [(str(tmp_path / "f"), "input-cut")], at

    def test_cut_in_the_second_member(self, tmp_path: Path) -> None:
        first, second = gzip.compress(TEXT), gzip.compress(NOISE[:2000])
        for at in [1, 2, *range(10, len(second), 10)]:
            (tmp_path / "f").write_bytes(first + second[:at])
            assert opened(tmp_path / "f") == [(str(tmp_path / "f"), "input-cut")], at

    def test_a_wrong_checksum(self, write: Write) -> None:
        data = bytearray(gzip.compress(TEXT))
        data[-6] ^= 1
        assert opened(put(write, bytes(data)))[0][1] == "input-cut"

    def test_what_came_before_the_cut_is_given(self, write: Write) -> None:
        path = put(write, gzip.compress(NOISE)[:-2000])
        (source,) = (
            found for found in EvidenceSourcesOnDisk().open(str(path)) if not isinstance(found, UnreadableSource)
        )
        assert NOISE.startswith(source.stream.read(100_000))

    def test_bzip2_in_several_streams(self, write: Write) -> None:
        assert opened(put(write, bz2.compress(TEXT) + bz2.compress(NOISE)))[0][1] == TEXT + NOISE

    @pytest.mark.parametrize(
        "magic", [b"\xfd7zXZ\0", b"7z\xbc\xaf\x27\x1c", b"\x28\xb5\x2f\xfd", b"Rar!\x1a\x07", b"\x1f\x9d"]
    )
    def test_what_is_not_unpacked_says_so(self, write: Write, magic: bytes) -> None:
        assert opened(put(write, magic + bytes(100)))[0][1] == "input-format"

    def test_a_bomb(self, write: Write) -> None:
        assert opened(put(write, gzip.compress(bytes(5_000_000))), limit=1_000_000)[0][1] == "input-bomb"

    def test_a_bomb_in_a_bomb(self, write: Write) -> None:
        bomb = gzip.compress(gzip.compress(bytes(5_000_000)))
        assert opened(put(write, bomb), limit=1_000_000)[0][1] == "input-bomb"


class TestArchives:
    def test_a_tree_as_a_sysdiagnose_has_it(self, write: Write) -> None:
        inner = tar(
            ("sysdiagnose_2026/logs/OktaDeviceAccess.log", TEXT),
            ("sysdiagnose_2026/logs/OktaDeviceAccess.log.1.gz", gzip.compress(b"older")),
            ("sysdiagnose_2026/logs/old.tar.gz", gzip.compress(tar(("x/y.log", b"oldest")))),
        )
        path = put(write, gzip.compress(inner), "s.tar.gz")
        lead = f"{path}!sysdiagnose_2026/logs/"
        assert opened(path) == [
            (lead + "OktaDeviceAccess.log", TEXT),
            (lead + "OktaDeviceAccess.log.1.gz", b"older"),
            (lead + "old.tar.gz!x/y.log", b"oldest"),
        ]

    def test_a_zip_of_them(self, write: Write) -> None:
        data = zipped(("a/", b""), ("a/s.tar.gz", gzip.compress(tar(("x.log", TEXT)))), ("b.log", b"b"))
        path = put(write, data)
        assert opened(path) == [(f"{path}!a/s.tar.gz!x.log", TEXT), (f"{path}!b.log", b"b")]

    @pytest.mark.parametrize("depth", range(1, 7))
    def test_nesting(self, write: Write, depth: int) -> None:
        data = TEXT
        for number in range(depth):
            data = [tar, zipped][number % 2]((f"{number}", data))
        (found,) = opened(put(write, data))
        assert found[1] == (TEXT if depth <= 4 else "input-bomb")

    def test_what_is_nested_too_deep_does_not_cost_its_neighbours(self, write: Write) -> None:
        deep = TEXT
        for _ in range(6):
            deep = gzip.compress(deep)
        assert [data for _, data in opened(put(write, tar(("deep", deep), ("x.log", TEXT))))] == ["input-bomb", TEXT]

    def test_a_broken_member_does_not_cost_its_neighbours(self, write: Write) -> None:
        members = (
            ("cut.gz", gzip.compress(NOISE)[:999]),
            ("bad.zip", b"PK\x03\x04 bad"),
            ("x.log", TEXT),
            ("y.xz", b"\xfd7zXZ\0"),
        )
        expected = ["input-cut", "input-cut", TEXT, "input-format"]
        assert [data for _, data in opened(put(write, tar(*members)))] == expected
        assert [data for _, data in opened(put(write, zipped(*members)))] == expected

    def test_a_cut_tar_says_so_wherever_it_is_cut(self, tmp_path: Path) -> None:
        whole = tar(("a.log", TEXT), ("b.log", TEXT))
        end = whole.rindex(TEXT) + len(TEXT)
        for at in range(512, end, 256):
            (tmp_path / "f").write_bytes(whole[:at])
            assert "input-cut" in [data for _, data in opened(tmp_path / "f")], at
            if at >= 512 + len(TEXT):
                assert TEXT in [data for _, data in opened(tmp_path / "f")], at

    def test_a_tar_with_a_damaged_header_says_so(self, write: Write) -> None:
        data = bytearray(tar(("a.log", TEXT), ("b.log", TEXT)))
        at = data.index(b"b.log")
        data[at : at + 200] = b"\xff" * 200
        assert [found for _, found in opened(put(write, bytes(data)))] == [TEXT, "input-cut"]

    def test_a_header_that_claims_to_be_huge(self, write: Write) -> None:
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, 7 * 1024**3
        assert opened(put(write, tar(("a.log", TEXT))[:2560] + info.tobuf()))[-1][1] == "input-cut"

    def test_a_sparse_bomb(self, write: Write) -> None:
        info = tarfile.TarInfo("sparse")
        info.size = 512
        info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**12), "GNU.sparse.numblocks": "1"}
        data = info.tobuf(tarfile.PAX_FORMAT) + bytes(512) + bytes(1024)
        assert opened(put(write, data), limit=1_000_000)[0][1] == "input-bomb"

    def test_a_sparse_map_without_end(self, write: Write) -> None:
        info = tarfile.TarInfo("sparse")
        info.size = 8_000_000
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": "9",
            "GNU.sparse.name": "x",
        }
        data = info.tobuf(tarfile.PAX_FORMAT) + b"99999999\n" + b"0\n" * 4_000_000 + bytes(1024)
        assert opened(put(write, data))[0][1] == "input-cut"

    def test_a_zip_bomb(self, write: Write) -> None:
        many = zipped(*((f"{n}", bytes(400_000)) for n in range(20)))
        found = opened(put(write, many), limit=1_000_000)
        assert [data for _, data in found[:2]] == [bytes(400_000)] * 2
        assert {data for _, data in found[2:]} == {"input-bomb"}
        assert len(found) <= 4

    def test_an_encrypted_member(self, write: Write) -> None:
        data = bytearray(zipped(("secret.log", TEXT), ("x.log", TEXT)))
        data[data.index(b"PK\x01\x02") + 8] |= 1
        assert [found for _, found in opened(put(write, bytes(data)))] == ["input-format", TEXT]

    def test_a_member_packed_in_an_unknown_way(self, write: Write) -> None:
        data = bytearray(zipped(("odd.log", TEXT), ("x.log", TEXT)))
        for mark, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
            data[data.index(mark) + offset] = 97
        assert [found for _, found in opened(put(write, bytes(data)))] == ["input-cut", TEXT]

    @pytest.mark.slow
    def test_a_zip_with_70_000_members(self, write: Write) -> None:
        data = zipped(*((f"{n}", b"") for n in range(70_000)))
        assert opened(put(write, data))[0][1] == "input-bomb"

    def test_a_directory_that_claims_to_be_huge(self, write: Write) -> None:
        data = bytearray(zipped(("x.log", TEXT)))
        at = data.index(b"PK\x05\x06") + 12
        data[at : at + 4] = (1 << 30).to_bytes(4, "little")
        assert opened(put(write, bytes(data)))[0][1] == "input-bomb"

    @pytest.mark.parametrize(
        "name", ["../../up.log", "/etc/abs.log", "a\nb.log", "\x1b[2J\x1b]0;x\x07.log", "a\u202egol.exe", "$(touch X)"]
    )
    def test_the_name_of_a_member_is_only_shown(self, write: Write, name: str) -> None:
        for data in (tar((name, TEXT)), zipped((name, TEXT))):
            path = put(write, data)
            assert opened(path) == [(f"{path}!{visible(name)}", TEXT)]


class TestStandardInput:
    CODE = (
        "import sys\n"
        "from scepfix.adapters.evidence_sources import EvidenceSourcesOnDisk\n"
        "for s in EvidenceSourcesOnDisk(1000).open('-'):\n"
        "    print(s.name, s.error.code if hasattr(s, 'error') else s.stream.read(10**6))\n"
    )

    def ran(self, shell: str, data: bytes) -> str:
        command = ["sh", "-c", f'exec {sys.executable} -c "$CODE" {shell}']
        return subprocess.run(
            command, input=data, capture_output=True, check=True, env={**os.environ, "CODE": self.CODE}
        ).stdout.decode()

    def test_a_pipe(self) -> None:
        assert self.ran("", gzip.compress(b"hello")) == "stdin b'hello'\n"

    def test_closed(self) -> None:
        assert self.ran("<&-", b"") == "stdin input-missing\n"

    def test_a_file_has_an_end_and_so_no_bound(self, write: Write) -> None:
        path = put(write, b"x" * 5000)
        assert len(self.ran(f"< {path}", b"")) > 5000


class TestSmallFiles:
    def code(self, path: Path | str, limit: int = 1000) -> str:
        with pytest.raises(InputError) as caught:
            SmallFilesOnDisk(limit).read(str(path))
        assert visible(str(caught.value)) == str(caught.value)
        return caught.value.code

    def test_a_file(self, write: Write) -> None:
        assert SmallFilesOnDisk().read(str(put(write, TEXT))) == TEXT

    def test_what_is_none(self, tmp_path: Path, write: Write) -> None:
        assert self.code(tmp_path / "no\x1b[2J") == "input-missing"
        assert self.code(tmp_path) == "input-is-folder"
        assert self.code(put(write, b"")) == "input-empty"
        assert self.code(put(write, TEXT)) == "input-too-large"
        assert self.code(put(write, TEXT) / "below") == "input-unreadable"
        assert self.code("a\0b") == "input-unreadable"

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
    def test_what_has_no_end(self) -> None:
        assert self.code("/dev/zero") == "input-too-large"
