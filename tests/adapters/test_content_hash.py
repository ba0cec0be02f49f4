"""The hash covers what Ansible would run, by name and bytes, and nothing that changes by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scepfix.adapters.content_hash import collection_folder, content_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("playbooks/fix.yml", "roles/a/tasks/main.yml", "plugins/action/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "galaxy.yml").write_text("namespace: scepfix")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "playbooks/fix.yml").write_text("changed"),
        lambda folder: (folder / "playbooks/fix.yml").rename(folder / "playbooks/other.yml"),
        lambda folder: (folder / "roles/a/tasks/more.yml").touch(),
        lambda folder: (folder / "plugins/action/b.py").unlink(),
        lambda folder: (folder / "plugins/action/b.py").write_bytes(b"plugins/action/b.py "),
    ],
)
def test_a_change_of_content_changes_it(folder: Path, change: Callable[[Path], None]) -> None:
    before = content_sha256(folder)
    change(folder)

    assert content_sha256(folder) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "plugins/action/__pycache__").mkdir(),
        lambda folder: (folder / "plugins/action/b.pyc").touch(),
        lambda folder: (folder / "playbooks/fix.yml~").touch(),
        lambda folder: (folder / "README.md").touch(),
        lambda folder: (folder / "playbooks/fix.yml").touch(),
        lambda folder: (folder / "playbooks/fix.yml").chmod(0o600),
    ],
)
def test_caches_times_and_modes_do_not(folder: Path, change: Callable[[Path], None]) -> None:
    before = content_sha256(folder)
    change(folder)

    assert content_sha256(folder) == before


def test_the_collection_of_this_package_is_found() -> None:
    assert (collection_folder() / "playbooks").is_dir()
    assert len(content_sha256()) == 64
