"""SIGKILL with the real ansible-runner, SSH and MDM: no device stays without its profile, and none loses it twice.

Two hundred at random moments take a quarter of an hour: ``python -m tests.chaos.real FOLDER --random 200``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.real import Kills

from scepfix.simulator.running import MacSpec, run_world

ROOT = Path(__file__).parents[2]
RESUME_SECONDS = 2.0
STAGES = ("preflight", "uninstall", "confirm", "reinstall", "inspect")


def drive(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the driver and return what it found; say so where something is broken."""
    command = [sys.executable, "-m", "tests.chaos.real", str(folder), *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    assert found["faults"] == []
    assert set(found["outcomes"]) == {"awaiting-registration"}
    return found


@pytest.mark.slow
def test_the_engine_killed_before_and_after_each_row(tmp_path: Path) -> None:
    found = drive(tmp_path, "--rows")

    rows = ["begin", "commit", *(f"{row} of {stage}" for stage in STAGES for row in ("claim", "finish"))]
    assert sorted(found["points"]) == sorted(f"{when} {row}" for row in rows for when in ("before", "after"))


@pytest.mark.slow
def test_a_power_cut_before_and_after_each_file_of_a_run(tmp_path: Path) -> None:
    found = drive(tmp_path, "--files")

    effects = [f"effects/{number}{done}.json" for number in (1, 2) for done in ("", ".done")]
    changing = [f"{stage} {file}" for stage in ("uninstall", "reinstall") for file in (*effects, "mdm.json")]
    results = [f"{stage} result/HOST.json" for stage in STAGES]
    files = [*changing, *results, "preflight mdm.json"]
    assert {f"{when} {file}" for file in files for when in ("before", "after")} <= set(found["points"])
    # Nothing outlives a power cut, so the first row of the next process is what it understood of it.
    assert found["first_row_seconds"]["median"] < RESUME_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["exclude", "put-back"])
def test_a_power_cut_while_the_mdm_has_the_call(tmp_path: Path, verb: str, when: str) -> None:
    """The call is under way: applied already, or applied only once nobody waits for it any more."""
    with run_world(tmp_path / "world", [MacSpec("mac-001", scenario="deleted")]) as running:
        kills = Kills(tmp_path, running)
        plan = kills.prepare(["mac-001"])
        hold, holding = running.folder / "mdm/hold", running.folder / "mdm/holding"
        hold.write_text(json.dumps({"verb": verb, "when": when}))
        engine = kills.start("nothing")
        end = time.monotonic() + 60
        while not holding.exists():
            assert time.monotonic() < end
            time.sleep(0.02)

        kills.kill(engine, "power cut")
        hold.unlink()
        assert kills.start("nothing").wait() == 0

        kills.judge(plan)
    assert kills.found["faults"] == []
    assert set(kills.found["outcomes"]) == {"awaiting-registration"}
