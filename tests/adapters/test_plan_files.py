"""Files are written whole or not at all, and a plan comes back from one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.plan_factory import plan

from scepfix.adapters.plan_files import load_plan, save_plan, write_whole
from scepfix.domain.errors import UsageError


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    file = str(tmp_path / "plan.json")
    save_plan(file, plan())

    assert load_plan(file) == plan()


def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(str(tmp_path / "page.html"), "x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o640


def test_a_file_that_is_there_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)

    write_whole(str(link), "new")

    assert link.is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new", 0o600)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("old")

    with pytest.raises(UsageError):
        write_whole(str(tmp_path / "plan.json"), "\ud800")

    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]
    assert (tmp_path / "plan.json").read_text() == "old"


@pytest.mark.parametrize("name", ["absent/plan.json", ".", "bad\0name"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_whole(f"{tmp_path}/{name}", "x")

    assert caught.value.code == "output-file"
    assert "\0" not in caught.value.where


def test_a_device_is_written_to() -> None:
    write_whole("/dev/null", "x")

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
