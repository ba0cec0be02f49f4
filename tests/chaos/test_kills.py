"""SIGKILL at any moment: afterwards no device is without its profile, and none lost it twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: What a kill must not cost: from the start of the next process to its first row.
RESUME_SECONDS = 2.0


def drive(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the driver and return what it found; say so where something is broken."""
    command = [sys.executable, "-m", "tests.chaos.driver", str(folder), *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["faults"] == []
    assert set(found["outcomes"]) == {"awaiting-registration"}
    assert found["slowest_first_row_seconds"] < RESUME_SECONDS
    return found


@pytest.mark.slow
def test_two_hundred_kills_at_random_moments(tmp_path: Path) -> None:
    found = drive(tmp_path, "--random", "200", "--seed", "3")

    assert sum(found["kills"].values()) >= 200
    assert min(found["kills"].values()) > 10, "both engine and runs were met"


@pytest.mark.slow
def test_the_engine_killed_before_and_after_each_row(tmp_path: Path) -> None:
    found = drive(tmp_path, "--points-of", "engine")

    # begin, the first commit, and claim and finish of five stages
    assert found["kills"]["engine"] == 2 * (2 + 2 * 5)


@pytest.mark.slow
def test_each_run_killed_before_and_after_each_of_its_files(tmp_path: Path) -> None:
    stages = ("preflight", "uninstall", "confirm", "reinstall", "inspect")
    found = drive(tmp_path, "--points-of", *stages)

    # begin, result before and after, statistics, end; and four for each of exclude or put back, and nudge
    assert found["kills"] == {"preflight": 5, "uninstall": 13, "confirm": 5, "reinstall": 13, "inspect": 5}
