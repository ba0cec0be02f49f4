"""``apply`` in a process of its own, with the real ansible-runner: tests/chaos/real.py starts and kills it.

It kills itself before and after each row, each point once, where it is told to; its runs do so at each of their files.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tests.chaos.driver import CONTENT, PointedStore

from scepfix.adapters.ansible.runner import AnsibleRunner
from scepfix.adapters.clock import SystemClock
from scepfix.adapters.settings_file import load_settings
from scepfix.parsers.plan_json import read_plan
from scepfix.service.advance import Hands
from scepfix.service.apply import apply_plan
from scepfix.service.ports import RunRequest


class KillingRunner(AnsibleRunner):
    """The product's runner; its runs load tests/chaos/killing_site."""

    def __init__(self, state: Path, config: str, kills: Path | None) -> None:
        super().__init__(state, config)
        self._kills = kills

    def _environment(self, request: RunRequest) -> dict[str, str]:
        given = super()._environment(request)
        if self._kills is not None:
            given |= {
                "PYTHONPATH": str(Path(__file__).parent / "killing_site"),
                "SCEPFIX_KILLS": str(self._kills),
                "SCEPFIX_ENGINE": str(os.getpid()),
            }
        return given


def main(state: Path, plan_file: Path, config: str, kills_at: str, kills: Path, began: float) -> None:
    """Apply the plan. ``kills_at``: ``rows``, ``files`` or ``nothing``; ``began``: when this process was started."""
    first_row = state / f"first-row-{os.getpid()}"

    def point(name: str) -> None:
        if name.startswith("after") and not first_row.exists():
            first_row.write_text(str(time.time() - began))
        if kills_at == "rows":
            _die_once(name, kills)

    runner = KillingRunner(state, config, kills if kills_at == "files" else None)
    store = PointedStore(state / "scepfix.db", point)
    plan = read_plan(plan_file.read_bytes(), plan_file.name)
    policy = load_settings(config).repair
    apply_plan(plan, CONTENT, Hands(store, runner, SystemClock(), policy, state / "runs"))


def _die_once(name: str, kills: Path) -> None:
    """Kill this process, unless a process before it was killed at the same point: the same call, of the same stage."""
    line = f"{name}\n"
    if line not in kills.read_text().splitlines(keepends=True):
        with kills.open("a") as stream:
            stream.write(line)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    folder, planned, settings, where, visited, started = sys.argv[1:]
    main(Path(folder), Path(planned), settings, where, Path(visited), float(started))
