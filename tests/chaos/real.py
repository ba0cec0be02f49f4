"""Kills the engine and real ansible-runner runs, again and again: ``python -m tests.chaos.real FOLDER``.

``--rows``: the engine, before and after each row. ``--files``: run, runner and engine at once, as a power cut would,
before and after each file that a run writes. ``--random N``: N of them at random moments. Prints one JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.stand_in import faults_of_world, plan_of

from scepfix.adapters.ansible.processes import run_is_alive
from scepfix.adapters.inventory import AnsibleInventory
from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval
from scepfix.parsers.plan_json import write_plan
from scepfix.simulator.running import MacSpec, RunningWorld, run_world

#: More than are ever needed: the points of one repair that others' kills keep it from reaching are left to the next.
MACS = 12


class Kills:
    """A running world, a state folder, and what was found in it."""

    def __init__(self, folder: Path, running: RunningWorld) -> None:
        self._state = folder / "state"
        self._state.mkdir(mode=0o700)
        self._running = running
        self._visited = folder / "kills"
        self._visited.touch()
        self.found: dict[str, Any] = {"kills": Counter(), "faults": [], "outcomes": Counter(), "repairs": 0}

    def prepare(self, names: Sequence[str]) -> Plan:
        """Plan the repair of these Macs, approve it, and write it down."""
        plan = plan_of(self._running.world, names, datetime.now(UTC))
        reached = {one.name: one.connection for one in AnsibleInventory(str(self._running.inventory)).devices(names)}
        plan = replace(plan, devices=tuple(replace(one, connection=reached[one.name]) for one in plan.devices))
        (self._state / "plan.json").write_text(write_plan(plan))
        with contextlib.closing(SqliteStore(self._state / "scepfix.db")) as store:
            store.save_approval(Approval(plan.digest(), "carol", "signature", True, plan.made_at))
        return plan

    def start(self, kills_at: str) -> subprocess.Popen[bytes]:
        """Start ``apply`` in a process of its own."""
        arguments = (self._state, self._state / "plan.json", self._running.config, kills_at, self._visited, time.time())
        return subprocess.Popen([sys.executable, "-m", "tests.chaos.real_engine", *map(str, arguments)])

    def at_points(self, names: Sequence[str], kills_at: str) -> None:
        """Repair one Mac after the other, killing at each point that no kill has met, until none is left."""
        for name in names:
            plan, before = self.prepare([name]), self.visited()
            while (code := self.start(kills_at).wait()) != 0:
                if code != -signal.SIGKILL:
                    raise RuntimeError(f"apply ended with {code}")
            self.judge(plan)
            if self.visited() == before:
                break
        self.found["kills"] = Counter(line.split()[1] for line in self.visited())
        self.found["points"] = self.visited()

    def at_random(self, names: Sequence[str], wanted: int, seed: int) -> None:
        """Repair the Macs over and over, killing this and that at random moments."""
        chance = random.Random(seed)
        while self.found["kills"].total() < wanted:
            plan = self.prepare(names)
            while True:
                engine = self.start("nothing")
                try:
                    code = engine.wait(chance.uniform(0.2, 4.0))
                except subprocess.TimeoutExpired:
                    self.kill(engine, chance.choice(("engine", "runner", "playbook", "power cut")))
                    continue
                if code != -signal.SIGKILL:
                    if code:
                        raise RuntimeError(f"apply ended with {code}")
                    break
            self.judge(plan)

    def kill(self, engine: subprocess.Popen[bytes], victim: str) -> None:
        """Kill the victim, and in any case the engine: another one has to find out."""
        engine.kill()
        engine.wait()
        self.found["kills"][victim] += 1
        for process in _of_runs(self._state / "runs"):
            runner = "ansible_runner" in process[1]
            if victim == "power cut" or (victim == "runner" and runner) or (victim == "playbook" and not runner):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process[0], signal.SIGKILL)

    def visited(self) -> list[str]:
        return self._visited.read_text().splitlines()

    def judge(self, plan: Plan) -> None:
        """Look what is left after a repair came to its end."""
        repairs = self.found["repairs"] = self.found["repairs"] + 1
        names = [device.name for device in plan.devices]
        with contextlib.closing(SqliteStore(self._state / "scepfix.db")) as store:
            every = store.remediations()
            ended = [one for one in every if one.plan_digest == plan.digest()]
            open_intents = store.open_intents([one.id for one in ended])
        times = Counter(one.device.name for one in every)
        faults = faults_of_world(self._running.world, {name: times[name] for name in names})
        faults += [f"{one.device.name} is owed its profile" for one in ended if one.owed_reinstall]
        faults += [f"{one.id} is open" for one in open_intents]
        faults += [f"{run.name} goes on" for run in (self._state / "runs").iterdir() if run_is_alive(run)]
        self.found["faults"] += [f"repair {repairs}: {fault}" for fault in faults]
        self.found["outcomes"].update(str(one.outcome) for one in ended)
        if len(ended) != len(names):
            self.found["faults"].append(f"repair {repairs}: {len(ended)} of {len(names)} were begun")

    def first_rows(self) -> list[float]:
        """Return for each engine process how long it took from its start to its first row."""
        said = [file.read_text() for file in self._state.glob("first-row-*")]
        # One that was killed while it wrote this down said nothing.
        return [float(seconds) for seconds in said if seconds]


def _of_runs(runs: Path) -> list[tuple[int, list[str]]]:
    """Return process id and arguments of what goes on in these run folders."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                arguments = (process / "cmdline").read_text().split("\0")
                if any(each.startswith(f"{runs}/") for each in arguments):
                    found.append((int(process.name), arguments))
    return found


def main() -> None:
    """Read the arguments, kill, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    names = [f"mac-{number:03}" for number in range(1, MACS + 1)]
    began = time.monotonic()
    with run_world(given.folder / "world", [MacSpec(name, scenario="deleted") for name in names]) as running:
        kills = Kills(given.folder.absolute(), running)
        if given.random:
            kills.at_random(names[:3], given.random, given.seed)
        else:
            # One repair meets each row; of the files, a kill may keep it from later ones, so there are several.
            kills.at_points(names[:1] if given.rows else names, "rows" if given.rows else "files")
        rows = sorted(kills.first_rows())
    found = {**kills.found, "seconds": time.monotonic() - began}
    found["first_row_seconds"] = {"median": rows[len(rows) // 2], "most": rows[-1], "processes": len(rows)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
