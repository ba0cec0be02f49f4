"""Kills the engine and its stage runs, again and again, and looks what is left: ``python -m tests.chaos.driver``.

Processes are forked from this one, which has only one thread and has imported everything, so that a kill costs
milliseconds. It prints one JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.stand_in import FastClock, ForkedRunner, Point, faults_of_world, plan_of

from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Approval, Intent, Remediation, StageResult
from scepfix.service.advance import Hands
from scepfix.service.apply import apply_plan
from scepfix.simulator.world import MacSpec, World

CONTENT = "c" * 64
#: The world's time against ours: a look every second is one every 50 ms.
SPEED = 20.0
STAGES = ("preflight", "uninstall", "confirm", "reinstall", "inspect")


def nothing(name: str) -> None:
    """A point at which nothing happens."""


class PointedStore(SqliteStore):
    """The store with a point before and after each call that writes."""

    def __init__(self, file: Path, point: Point) -> None:
        super().__init__(file)
        self._point = point

    def begin(self, remediations: Sequence[Remediation]) -> tuple[Remediation, ...]:
        self._point("before begin")
        begun = super().begin(remediations)
        self._point("after begin")
        return begun

    def commit(self, changed: Sequence[Remediation], intents: Sequence[Intent]) -> None:
        self._point("before commit")
        super().commit(changed, intents)
        self._point("after commit")

    def claim(self, intent_id: str, at: datetime) -> bool:
        stage = intent_id.rpartition("-")[0]
        self._point(f"before claim of {stage}")
        claimed = super().claim(intent_id, at)
        self._point(f"after claim of {stage}")
        return claimed

    def finish(
        self,
        intent_id: str,
        results: Mapping[str, StageResult],
        changed: Sequence[Remediation],
        at: datetime,
        intents: Sequence[Intent] = (),
    ) -> None:
        stage = intent_id.rpartition("-")[0]
        self._point(f"before finish of {stage}")
        super().finish(intent_id, results, changed, at, intents)
        self._point(f"after finish of {stage}")


@dataclass
class Trial:
    """A fresh world, an approved plan for its Macs, and the processes that go on with it."""

    folder: Path
    names: tuple[str, ...]
    engine_point: Point = nothing
    run_point: Callable[[str], Point | None] = lambda stage: None

    def __post_init__(self) -> None:
        self.clock = FastClock(time.time(), SPEED)
        now = self.clock.now()
        self.world = World.create(
            self.folder / "world", [MacSpec(name, scenario="deleted") for name in self.names], now
        )
        self.plan = plan_of(self.world, self.names, now)
        with contextlib.closing(SqliteStore(self.database)) as store:
            store.save_approval(Approval(self.plan.digest(), "carol", "signature", True, now))

    @property
    def database(self) -> Path:
        return self.folder / "state" / "scepfix.db"

    @property
    def runs(self) -> Path:
        return self.folder / "state" / "runs"

    def start(self) -> int:
        """Start ``apply`` in a process of its own; return its id."""
        child = os.fork()
        if child:
            return child
        code = 1
        try:
            self._apply()
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _apply(self) -> None:
        began = time.monotonic()

        def point(name: str) -> None:
            if name.startswith("after") and not first_row.exists():
                first_row.write_text(f"{time.monotonic() - began}\n")
            self.engine_point(name)

        first_row = self.folder / f"first-row-{os.getpid()}"
        store = PointedStore(self.database, point)
        runner = ForkedRunner(self.folder / "state", self.folder / "world", self.clock, self.run_point)
        apply_plan(self.plan, CONTENT, Hands(store, runner, self.clock, RepairPolicy(poll_seconds=1), self.runs))

    def running(self) -> list[int]:
        """Return the processes of stage runs that are going on."""
        runner = ForkedRunner(self.folder / "state", self.folder / "world", self.clock, self.run_point)
        return [int((run / "pid").read_text()) for run in self.runs.glob("*") if runner.alive(run)]

    def finish(self) -> None:
        """Go on undisturbed to the end."""
        self.engine_point, self.run_point = nothing, lambda stage: None
        _, status = os.waitpid(self.start(), 0)
        if status:
            raise RuntimeError(f"apply ended with {status} in {self.folder}")

    def faults(self) -> list[str]:
        """Return what is broken at the end, one line each."""
        found = faults_of_world(self.world, dict.fromkeys(self.names, 1))
        with contextlib.closing(SqliteStore(self.database)) as store:
            remediations = store.remediations()
            open_intents = store.open_intents([one.id for one in remediations])
        found += [f"{one.device.name} is owed its profile" for one in remediations if one.owed_reinstall]
        found += [f"{one.id} is open" for one in open_intents]
        return found if remediations else [*found, "no repair was begun"]

    def outcomes(self) -> list[str]:
        with contextlib.closing(SqliteStore(self.database)) as store:
            return [str(one.outcome) for one in store.remediations()]

    def first_rows(self) -> list[float]:
        """Return for each process how long it took from its start to its first row."""
        return [float(file.read_text()) for file in self.folder.glob("first-row-*") if file.read_text()]


def kill(process: int) -> None:
    """Kill that process now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def random_kills(folder: Path, seed: int, wanted: int) -> dict[str, Any]:
    """Kill engine, run or both at random moments, until ``wanted`` processes were killed."""
    chance = random.Random(seed)
    said: dict[str, Any] = {"kills": Counter(), "faults": [], "outcomes": Counter(), "first_rows": [], "trials": 0}

    def dawdling(stage: str) -> Point:
        return lambda name: time.sleep(chance.random() * 0.004)

    while said["kills"].total() < wanted:
        said["trials"] += 1
        trial = Trial(folder / str(said["trials"]), ("mac-001", "mac-002"), run_point=dawdling)
        ended = False
        while not ended:
            engine = trial.start()
            while True:
                time.sleep(chance.random() * 0.12)
                if os.waitpid(engine, os.WNOHANG)[0]:
                    ended = True
                    break
                victim = chance.choice(("engine", "engine", "run", "both"))
                if victim != "engine":
                    for process in trial.running():
                        kill(process)
                        said["kills"]["run"] += 1
                if victim != "run":
                    kill(engine)
                    os.waitpid(engine, 0)
                    said["kills"]["engine"] += 1
                    break
        trial.finish()
        _judge(trial, said, f"trial {said['trials']}")
    return said


def kills_at_points(folder: Path, processes: Sequence[str]) -> dict[str, Any]:
    """Kill the ``engine`` before and after each row, a stage's run before and after each of its files, once each."""
    said: dict[str, Any] = {"kills": Counter(), "faults": [], "outcomes": Counter(), "first_rows": [], "trials": 0}
    names = ("mac-001",)
    for where in processes:
        number = 0
        while True:
            said["trials"] += 1
            marker = folder / f"killed-{where}-{number}"
            point = _killing(number, marker)
            trial = Trial(folder / str(said["trials"]), names)
            if where == "engine":
                trial.engine_point = point
            else:
                trial.run_point = {where: point}.get
            os.waitpid(trial.start(), 0)
            trial.finish()
            _judge(trial, said, f"{where} {number} {marker.read_text() if marker.exists() else 'none'}")
            if not marker.exists():
                break
            said["kills"][where] += 1
            number += 1
    return said


def _killing(number: int, marker: Path) -> Point:
    """Return a point that kills its own process at the ``number``-th point, once: the marker says that it did."""
    passed = [0]

    def point(name: str) -> None:
        if passed[0] == number and not marker.exists():
            marker.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
        passed[0] += 1

    return point


def _judge(trial: Trial, said: dict[str, Any], name: str) -> None:
    said["faults"] += [f"{name}: {fault}" for fault in trial.faults()]
    said["outcomes"].update(trial.outcomes())
    said["first_rows"] += trial.first_rows()
    shutil.rmtree(trial.folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=0, help="this many kills at random moments")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points-of", nargs="+", default=("engine", *STAGES), choices=("engine", *STAGES))
    given = parser.parse_args()
    began = time.monotonic()
    result = (
        random_kills(given.folder, given.seed, given.random)
        if given.random
        else kills_at_points(given.folder, given.points_of)
    )
    slowest = max(result.pop("first_rows"))
    found = {**result, "seconds": time.monotonic() - began, "slowest_first_row_seconds": slowest}
    sys.stdout.write(json.dumps(found) + "\n")
