"""The files that are deployed are the scripts that are tested, byte for byte, with a head before them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.make_collector import FILES, ROOT, made
from tests.simulator.worlds import NOW, world_of

from scepfix.parsers.collected_line import parse_collected_line

#: Intune takes PowerShell scripts of at most 200 KB; the other MDMs take more.
_LARGEST_BYTES = 200_000


def test_there_are_these_files_and_no_others() -> None:
    assert {path.name for path in (ROOT / "collector").iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_is_the_script_with_a_head(name: str) -> None:
    text = (ROOT / "collector" / name).read_text("utf-8")

    assert text == made(name), "run: python -m tests.make_collector"
    assert text.endswith(FILES[name][1].read_text("utf-8"))
    assert text.isascii()
    assert len(text) < _LARGEST_BYTES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".sh")])
def test_each_shell_script_prints_its_line_on_a_mac(name: str, tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "collector" / name)],
        env={
            "PATH": f"{world.folder}/tools:/usr/bin:/bin",
            "SCEPFIX_MAC": str(world.macs["deleted"].folder),
            "SCEPFIX_NOW": str(int(NOW.timestamp())),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
    )

    assert done.stdout.count("\n") == 1
    assert (done.stdout.startswith("<result>scepfix1 ")) == name.startswith("jamf")
    assert parse_collected_line(done.stdout, NOW, datetime.now(UTC)).complete


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".ps1")])
def test_each_powershell_script_parses(name: str) -> None:
    import tree_sitter
    import tree_sitter_pwsh

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_pwsh.language()))

    assert not parser.parse((ROOT / "collector" / name).read_bytes()).root_node.has_error
