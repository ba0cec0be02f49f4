"""What a PC said to being nudged: which way it took, and nothing that is no whole answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.parsers.windows_sync import parse_windows_sync

SCRIPT = Path(__file__).parents[2] / "plugins/plugin_utils/sync_windows.ps1"


def line(**other: Any) -> bytes:
    found = {"schema": "scepfix/windows-sync/1", "started": "PushLaunch", "problems": [], "whole": True, **other}
    return json.dumps(found, separators=(",", ":")).encode()


@pytest.mark.parametrize("started", ["PushLaunch", "deviceenroller", ""])
def test_what_was_started_is_told(started: str) -> None:
    assert parse_windows_sync(b"#< CLIXML\r\n" + line(started=started)) == (started, ())


def test_problems_are_inert() -> None:
    assert parse_windows_sync(line(started="", problems=["no task\x1b[2J"])) == ("", ("no task␛[2J",))


@pytest.mark.parametrize("started", ["cmd /c del", None, 1, ["PushLaunch"]])
def test_another_way_is_none(started: object) -> None:
    assert parse_windows_sync(line(started=started))[0] == ""


@given(st.data())
def test_an_answer_cut_anywhere_is_none(data: st.DataObject) -> None:
    whole = line()
    with pytest.raises(InputError):
        parse_windows_sync(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=300))
def test_garbage_is_none(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_windows_sync(data)


def test_the_script_parses() -> None:
    import tree_sitter
    import tree_sitter_pwsh

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))

    assert not parser.parse(SCRIPT.read_bytes()).root_node.has_error
