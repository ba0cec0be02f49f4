"""The state folder is private, made when it is needed, and each run folder in it is new."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from scepfix.adapters.state_folder import fresh_run_folder, state_folder
from scepfix.domain.errors import UsageError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_made_for_its_user_alone_whatever_the_umask(state: Path) -> None:
    before = os.umask(0)
    try:
        folder, run = state_folder(), fresh_run_folder("observe")
    finally:
        os.umask(before)

    assert folder == state / "scepfix"
    assert {mode(path) for path in (folder, run.parent, run)} == {0o700}


def test_one_that_others_may_read_is_closed(state: Path) -> None:
    (state / "scepfix").mkdir(parents=True, mode=0o755)

    assert mode(state_folder()) == 0o700


def test_each_run_has_a_folder_of_its_own() -> None:
    folders = {fresh_run_folder("observe") for _ in range(20)}

    assert len(folders) == 20
    assert all(folder.name.startswith("observe-") for folder in folders)


def test_a_relative_state_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert state_folder() == tmp_path / ".local/state/scepfix"


def test_where_there_can_be_none_it_is_told(state: Path) -> None:
    state.write_text("a file")

    with pytest.raises(UsageError) as caught:
        state_folder()

    assert caught.value.code == "state-folder"
