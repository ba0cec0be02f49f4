"""Environment secrets reach a run by a file in memory, which is gone when its block ends."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scepfix.adapters import secret_handover
from scepfix.adapters.secret_handover import VARIABLE, handed_over, received
from scepfix.adapters.secret_values import secret
from scepfix.domain.errors import UsageError
from scepfix.parsers.service_settings import SecretRef, ServiceSettings

SETTINGS = ServiceSettings("fleet", {}, {"token": SecretRef("env", "FLEET_TOKEN")})


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm") as session:
        monkeypatch.setenv("XDG_RUNTIME_DIR", session)
        monkeypatch.setenv("FLEET_TOKEN", "geheim-4711")
        yield Path(session) / "scepfix"


def test_a_run_finds_what_the_environment_gave(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with handed_over([SETTINGS, None]) as variables:
        assert "geheim" not in str(variables)
        (file,) = memory.iterdir()
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(memory.stat().st_mode)) == (0o600, 0o700)

        monkeypatch.delenv("FLEET_TOKEN")
        monkeypatch.setenv(VARIABLE, variables[VARIABLE])
        assert secret(SETTINGS, "token") == "geheim-4711"

    assert list(memory.iterdir()) == []
    assert received() == {}
    with pytest.raises(UsageError, match="not set"):
        secret(SETTINGS, "token")


def test_nothing_is_written_where_no_secret_comes_by_the_environment(memory: Path) -> None:
    with handed_over([ServiceSettings("fleet", {}, {"token": SecretRef("file", "x")}), None]) as variables:
        assert variables == {}
    assert not memory.exists()


def test_an_interruption_leaves_it_for_what_still_runs_and_a_later_process_removes_it(memory: Path) -> None:
    with pytest.raises(KeyboardInterrupt), handed_over([SETTINGS]):
        raise KeyboardInterrupt
    (left,) = memory.iterdir()
    dead = memory / f"{2**22 + 1}-x.json"
    left.rename(dead)
    os.utime(dead, (time.time() - 7200,) * 2)

    with handed_over([SETTINGS]):
        assert not dead.exists()


def test_an_error_leaves_nothing(memory: Path) -> None:
    with pytest.raises(ValueError, match="trouble"), handed_over([SETTINGS]):
        raise ValueError("trouble")
    assert list(memory.iterdir()) == []


def test_a_folder_that_is_no_memory_is_passed_over(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    monkeypatch.setattr(secret_handover, "OF_ALL", str(memory.parent))

    with handed_over([SETTINGS]) as variables:
        assert Path(variables[VARIABLE]).parent.parent == memory.parent


def test_a_folder_of_somebody_else_is_not_written_to(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.mkdir(mode=0o777)
    memory.chmod(0o777)
    monkeypatch.setattr(secret_handover, "OF_ALL", str(memory / "nowhere"))

    with pytest.raises(UsageError) as caught, handed_over([SETTINGS]):
        pass

    assert (caught.value.code, list(memory.iterdir())) == ("secret", [])
    assert "geheim" not in str(caught.value)
