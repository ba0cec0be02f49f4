"""A simulated world, a plan for its Macs, and the engine's hands, for tests that move the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from tests.stand_in import RunnerAtOnce, TickingClock, plan_of

from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation
from scepfix.service.advance import Hands, Progress, advance
from scepfix.service.apply import remediations_of
from scepfix.simulator.world import MacSpec, World

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Setup:
    """A world with some Macs, a plan for them, and the engine's hands."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.clock = TickingClock(NOW)
        self.world = World.create(folder / "world", [MacSpec(name, scenario="deleted") for name in names], NOW)
        self.clock.meanwhile = self.world.mdm.check_in
        self.file = folder / "state" / "scepfix.db"
        self.store = SqliteStore(self.file)
        self.runner = RunnerAtOnce(self.world, self.clock, folder / "state")
        self.told: list[Progress] = []
        self.hands = Hands(
            self.store,
            self.runner,
            self.clock,
            RepairPolicy(),
            folder / "state" / "runs",
            tell=self.told.append,
        )
        self.plan = plan_of(self.world, names, self.clock.now())

    def begin(self) -> None:
        self.store.begin(remediations_of(self.plan))

    def advance(self, **changes: object) -> tuple[Remediation, ...]:
        return advance(self.plan.digest(), replace(self.hands, **changes))  # type: ignore[arg-type]

    def close(self) -> None:
        self.store.close()

    def stages(self) -> list[str]:
        return [stage for stage, _ in self.runner.begun]
