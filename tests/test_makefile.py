"""The prerequisites and the peers: what is missing is named, with the line that installs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What the scripts themselves call, beside the tools they look for.
SHELL_TOOLS = ("sh", "id", "cut", "tr", "awk", "env")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Return a folder for PATH with every prerequisite in it; a test removes what it wants missing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (*SHELL_TOOLS, "git", "make", "ssh"):
        found = shutil.which(name)
        assert found, f"{name} is a prerequisite"
        (folder / name).symlink_to(found)
    put(folder / "python3.11", f'exec "{sys.executable}" "$@"')
    return folder


def test_all_prerequisites_present_is_silent(tools: Path) -> None:
    done = run(tools, "make", "prerequisites")

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("target", ["prerequisites", "test", "check", "demo", "molecule"])
def test_a_missing_ssh_client_is_named_before_anything_is_built(tools: Path, tmp_path: Path, target: str) -> None:
    (tools / "ssh").unlink()

    done = run(tools, "make", target, f"VENV={tmp_path}/venv")

    assert done.returncode != 0
    assert "missing: ssh" in done.stderr
    assert re.search(r"install: apt-get install .*openssh-client", done.stderr)
    assert not (tmp_path / "venv").exists()


def test_only_the_line_of_the_package_manager_here_is_printed(tools: Path) -> None:
    (tools / "ssh").unlink()
    put(tools / "dnf", "exit 1")

    done = run(tools, ".ci/prerequisites.sh")

    assert done.stderr.splitlines() == ["missing: ssh", "install: dnf install git make python3 openssh-clients"]


def test_a_shim_without_its_python_is_passed_over(tools: Path) -> None:
    put(tools / "python3.13", "exit 127")

    assert run(tools, ".ci/prerequisites.sh").stdout == "python3.11\n"


def test_a_python_out_of_range_is_named_as_missing(tools: Path) -> None:
    put(tools / "python3.11", "exit 1")

    done = run(tools, ".ci/prerequisites.sh")

    assert done.returncode == 1
    assert "missing: python-3.11-to-3.13" in done.stderr


def test_a_python_without_venv_is_told_from_no_python(tools: Path) -> None:
    put(tools / "python3.11", 'case "$2" in *ensurepip*) exit 1 ;; esac')

    done = run(tools, ".ci/prerequisites.sh")

    assert done.returncode == 1
    assert "missing: venv-and-ensurepip-of-python3.11" in done.stderr
    assert "python3-venv" in done.stderr


def test_absent_peers_are_listed_with_what_is_not_tested(tools: Path) -> None:
    put(tools / "openssl", "exit 0")

    done = run(tools, ".ci/peers.sh", "--list")

    assert done.returncode == 0
    assert "openssl" not in done.stdout
    assert "rg (Debian package ripgrep): the yardstick of the log benchmark" in done.stdout


def test_no_peer_missing_installs_nothing(tools: Path) -> None:
    for peer in ("openssl", "scepserver", "rg", "nanomdm"):
        put(tools / peer, "exit 0")
    put(tools / "apt-get", "exit 99")

    done = run(tools, ".ci/peers.sh")

    assert (done.returncode, done.stdout) == (0, "peers: all present\n")


def test_every_target_is_in_the_help(tools: Path) -> None:
    targets = re.findall(r"^\.PHONY: (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)

    done = run(tools, "make", "help")

    assert [line.split()[1] for line in done.stdout.splitlines()] == targets


def put(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def run(tools: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": str(tools)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
