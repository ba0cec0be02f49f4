"""A stand-in for Ansible: does in the simulated world what the playbook of a stage does, and leaves the same folder.

The look at the MDM, the calls, the journal and the answers are those of the product (service.mdm_stages,
service.stages, adapters.run_folder); only Ansible and SSH are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scepfix.adapters.ansible.runner import AnsibleRunner
from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import Identity, Observation, host_of
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import KnownCertificate, Plan, PlannedDevice, ProofGrade
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Stage, StageResult
from scepfix.domain.run import Run
from scepfix.service import mdm_stages, stages
from scepfix.service.ports import Clock, Mdm, RunRequest
from scepfix.simulator.mdm import MdmOnAClock
from scepfix.simulator.observed import observe
from scepfix.simulator.world import World
from scepfix.workflow.certificates import holding

#: A point in a stage run at which a test may do something: kill it, hold it.
Point = Callable[[str], None]


class TickingClock:
    """A clock that moves a little whenever it is looked at, so that what happens later is later; sleep moves it on.

    ``meanwhile`` is what the world does while somebody sleeps.
    """

    def __init__(self, now: datetime, meanwhile: Callable[[datetime], None] = lambda now: None) -> None:
        self.moment = now
        self.meanwhile = meanwhile
        self.slept: list[float] = []

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=5)
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)
        self.meanwhile(self.moment)


class FastClock:
    """The clock of this computer, ``speed`` times as fast since ``began`` (seconds since the epoch)."""

    def __init__(self, began: float, speed: float) -> None:
        self._began, self._speed = began, speed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._began + (time.time() - self._began) * self._speed, UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self._speed)


def perform(folder: Path, world: World, clock: Clock, point: Point = lambda name: None, mdm: Mdm | None = None) -> None:
    """Do what the playbook of this run folder's stage does, as far as it gets."""
    point("begin")
    mdm = mdm or MdmOnAClock(world.mdm, clock.now)
    artifacts = folder / "artifacts" / RunFolder(folder).run().intent
    (artifacts / "job_events").mkdir(parents=True, exist_ok=True)
    events = Events(artifacts)
    events.write("playbook_on_start", {})
    journal = PointedJournal(folder, point)
    run = journal.run()
    stage = Stage(run.stage)
    results = {
        Stage.PREFLIGHT: _preflight,
        Stage.UNINSTALL: _uninstall,
        Stage.REINSTALL: _reinstall,
        Stage.CONFIRM: _confirm,
        Stage.INSPECT: _inspect,
    }[stage](run, world, mdm, journal, clock)
    at_the_mdm = stage in (Stage.UNINSTALL, Stage.REINSTALL)
    for host, result in results.items():
        point("before result")
        journal.write_result(host, result)
        point("after result")
        events.write("runner_on_ok", {"host": "localhost" if at_the_mdm else host})
    point("before statistics")
    hosts = ["localhost"] if at_the_mdm else list(run.devices)
    events.write("playbook_on_stats", {"processed": dict.fromkeys(hosts, 1)})
    (artifacts / "rc").write_text("0")
    point("end")


@dataclass
class Events:
    """Writes events as ansible-runner does."""

    artifacts: Path
    counter: int = 0

    def write(self, event: str, data: Mapping[str, object]) -> None:
        self.counter += 1
        file = self.artifacts / "job_events" / f"{self.counter}-{self.counter:08d}-0000.json"
        temporary = file.with_name(f"{file.name}.tmp")
        temporary.write_text(json.dumps({"counter": self.counter, "event": event, "event_data": dict(data)}))
        temporary.rename(file)


class PointedJournal(RunFolder):
    """The run folder's journal with a point before and after each of its files."""

    def __init__(self, path: Path, point: Point) -> None:
        super().__init__(path)
        self._point = point

    def begin_effect(self, verb: str, targets: Sequence[str], intent: str) -> int:
        self._point(f"before {verb} is written")
        number = super().begin_effect(verb, targets, intent)
        self._point(f"before {verb}")
        return number

    def end_effect(self, number: int, error: str = "") -> None:
        self._point(f"after call {number}")
        super().end_effect(number, error)
        self._point(f"after done {number}")


Results = dict[str, StageResult]


def _preflight(run: Run, world: World, mdm: Mdm, journal: RunFolder, clock: Clock) -> Results:
    answer = mdm_stages.look(mdm, run, clock)
    found = {}
    for host, device in run.devices.items():
        seen = observe(world.macs[device.name], clock.now())
        record = answer.devices.get(host)
        found[host] = (
            stages.preflight(device, seen, record, answer.profile, clock.now(), RepairPolicy())
            if seen
            else _offline(Stage.PREFLIGHT)
        )
    return found


def _uninstall(run: Run, world: World, mdm: Mdm, journal: RunFolder, clock: Clock) -> Results:
    answer = mdm_stages.look(mdm, run, clock)
    if mdm_stages.exclude(mdm, run, answer, set(run.devices), journal):
        answer = mdm_stages.look(mdm, run, clock)
    return {
        host: stages.uninstall(device, answer.devices.get(host), answer.profile, effects=True)
        for host, device in run.devices.items()
    }


def _reinstall(run: Run, world: World, mdm: Mdm, journal: RunFolder, clock: Clock) -> Results:
    answer = mdm_stages.look(mdm, run, clock)
    if mdm_stages.put_back(mdm, run, answer, set(run.devices), journal):
        answer = mdm_stages.look(mdm, run, clock)
    return {
        host: stages.reinstall(device, answer.devices.get(host), answer.profile, effects=True)
        for host, device in run.devices.items()
    }


def _confirm(run: Run, world: World, mdm: Mdm, journal: RunFolder, clock: Clock) -> Results:
    found = {}
    for host, device in run.devices.items():
        seen = observe(world.macs[device.name], clock.now())
        found[host] = stages.confirm(device, seen) if seen else _offline(Stage.CONFIRM)
    return found


def _inspect(run: Run, world: World, mdm: Mdm, journal: RunFolder, clock: Clock) -> Results:
    found = {}
    for host, device in run.devices.items():
        seen = observe(world.macs[device.name], clock.now())
        found[host] = stages.inspect(device, seen, clock.now()) if seen else _offline(Stage.INSPECT)
    return found


def _offline(stage: Stage) -> StageResult:
    return stages.no_answer(stage, ScepfixError("unreachable", "no answer"), unreachable=True)


# --- runners --------------------------------------------------------------------------------------------------------


@dataclass
class RunnerAtOnce:
    """Implements service.ports.PlaybookRunner: a run is done when ``start`` comes back.

    ``dies_at``: by stage, at which point its next run dies. ``begun`` is every stage that was begun, with its devices.
    """

    world: World
    clock: Clock
    state: Path
    dies_at: dict[str, str] = field(default_factory=dict)
    begun: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._real = AnsibleRunner(self.state, None)

    def start(self, request: RunRequest) -> None:
        self.begun.append((request.stage, tuple(str(device["name"]) for device in request.devices.values())))
        self._real.prepare(request)
        dies_at = self.dies_at.pop(request.stage, None)

        def point(name: str) -> None:
            if name == dies_at:
                raise _RunDiedError

        with contextlib.suppress(_RunDiedError):
            perform(request.folder, self.world, self.clock, point)

    def alive(self, folder: Path) -> bool:
        return False

    def started(self, folder: Path) -> bool:
        return any((folder / "artifacts").glob("*"))

    def wait(self, folder: Path, timeout_seconds: float) -> bool:
        return True

    def forget_look(self, folder: Path) -> None:
        self._real.forget_look(folder)

    def results(self, folder: Path, hosts: Sequence[str], stage: Stage | None) -> Mapping[str, StageResult]:
        return self._real.results(folder, hosts, stage)


class _RunDiedError(Exception):
    pass


class MdmOutside(MdmOnAClock):
    """The MDM, whose calls come to their end although their caller is killed: it is another computer.

    Devices check in by themselves now and then; here it is whenever somebody looks.
    """

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        outside(lambda: self._mdm.check_in(self._now()))
        return super().devices(serial_numbers)

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        outside(lambda: self._mdm.exclude(mdm_ids, self._now()))

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        outside(lambda: self._mdm.put_back(mdm_ids, self._now()))

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        outside(lambda: self._mdm.nudge(mdm_ids, self._now()))


def outside(call: Callable[[], None]) -> None:
    """Make that call in a process of its own and wait for it."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        call()
    finally:
        os._exit(0)


class ForkedRunner(AnsibleRunner):
    """Runs the stand-in in a process of its own, which outlives this one; waiting and reading are the product's.

    ``point_in`` gives the point of a stage's runs, None for nothing.
    """

    def __init__(self, state: Path, world: Path, clock: Clock, point_in: Callable[[str], Point | None]) -> None:
        super().__init__(state, None)
        self._world, self._clock, self._point_in = world, clock, point_in

    def start(self, request: RunRequest) -> None:
        self.prepare(request)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        os.setsid()
        # What a new program would not have: above all the lock of the plan, which is the engine's.
        os.closerange(3, 1024)
        grandchild = os.fork()
        if grandchild:
            # Before start comes back: from then on the run must be seen.
            (request.folder / "pid.new").write_text(str(grandchild))
            (request.folder / "pid.new").rename(request.folder / "pid")
            os._exit(0)
        code = 1
        try:
            world, clock = World(self._world), self._clock
            mdm = MdmOutside(world.mdm, clock.now)
            perform(request.folder, world, clock, self._point_in(request.stage) or (lambda name: None), mdm)
            code = 0
        finally:
            os._exit(code)

    def alive(self, folder: Path) -> bool:
        """A forked process has its parent's command line, so here the process id must do."""
        try:
            process = (folder / "pid").read_text()
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
        except OSError:
            return False


# --- plans ----------------------------------------------------------------------------------------------------------


def plan_of(world: World, names: Sequence[str], now: datetime, **changes: object) -> Plan:
    """Return a plan that re-installs the profile of these Macs as they are now."""
    plan = Plan(
        devices=tuple(_planned(world, name, now) for name in names),
        set_aside=(),
        proof_grade=ProofGrade.CERTIFICATE,
        content_sha256="c" * 64,
        variables={},
        requester="bob",
        made_at=now,
        expires_at=now + timedelta(hours=24),
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def _planned(world: World, name: str, now: datetime) -> PlannedDevice:
    mac = world.macs[name]
    seen = observe(mac, now)
    assert isinstance(seen, Observation)
    return PlannedDevice(
        name=name,
        host=host_of(name),
        platform=Platform.MACOS,
        identity=Identity(mac.facts.serial_number, mac.facts.hardware_uuid, mac.facts.mdm_id),
        person=mac.facts.person,
        fault="device-deleted",
        playbook="reinstall_scep_profile",
        connection={"ansible_host": mac.facts.address, "ansible_connection": "ssh"},
        facts={},
        before=tuple(
            KnownCertificate(
                held.certificate.sha256,
                held.certificate.serial_number,
                held.certificate.public_key_sha256,
            )
            for held in holding(seen).marked
        ),
    )


def faults_of_world(world: World, remediations_per_device: Mapping[str, int]) -> list[str]:
    """Return one line for each promise that the world shows broken, after all has come to its end."""
    faults = []
    effects = world.effects()
    for name, most in remediations_per_device.items():
        mac = world.macs[name]
        if mac.profile_installed_at() is None:
            faults.append(f"{name} is without its profile")
        removed = sum(one["verb"] == "RemoveProfile" and one["device"] == name for one in effects)
        if removed > most:
            faults.append(f"{name}: RemoveProfile {removed} times in {most} repairs")
    now = datetime.now(UTC)
    faults += [f"{one.name} is left in the exclusion group" for one in world.mdm.members(now)]
    return faults
