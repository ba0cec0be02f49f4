"""`make bench-mdm`: what repairing 100 and 1,000 devices costs the MDM, and how long a device waits to be put back.

The engine and its stages run in this process against an MDM over HTTP, in the time of a clock of their own: waiting
costs nothing. Devices answer a push late, each at its own time. Beside it, on the same MDM: a script that asks for each
device by itself. With and without a storm in which every third request is refused with 429.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.contract import jamf_face
from tests.contract.server import Asked, Face, Said, serve
from tests.stand_in import RunnerAtOnce, TickingClock, faults_of_world, perform, plan_of

from scepfix.adapters.mdm.jamf import JamfPro
from scepfix.adapters.mdm.simulated import SimulatedMdm as SimulatedMdmAdapter
from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.errors import ScepfixError
from scepfix.domain.moment import parse_rfc3339
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Outcome, Remediation, Stage
from scepfix.parsers.service_settings import SecretRef, ServiceSettings
from scepfix.service.advance import Hands, advance
from scepfix.service.apply import remediations_of
from scepfix.service.ports import Mdm, RunRequest
from scepfix.simulator.mdm import GROUP, SimulatedMdm
from scepfix.simulator.profile import IDENTIFIER
from scepfix.simulator.world import MacSpec, World

_BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
#: What things take on the benchmark's clock: an answer of the MDM, a stage run's start and end (ansible-runner and
#: Ansible), and the look at one more device in it (docs/performance.md, measured over SSH).
_ANSWER_SECONDS = 0.3
_RUN_SECONDS = 3.0
_DEVICE_SECONDS = 0.1
_STORM_RETRY_SECONDS = 1
#: How long Jamf Cloud's tokens count, about.
_TOKEN_SECONDS = 1199
#: Every so many requests of a storm are refused.
_STORM_EVERY = 3
_CHANGE, _NUDGE, _READ, _REFUSED = "group change", "nudge", "read", "refused (429)"
_SCEPFIX, _NAIVE = "scepfix", "one by one"
#: The most devices for which the script runs beside it: what it costs for each device is the same for more.
_MOST_BESIDE = 100
_AT_DEVICES = (Stage.PREFLIGHT.value, Stage.CONFIRM.value, Stage.INSPECT.value)


# --- the MDM --------------------------------------------------------------------------------------------------------


class LateDevices(SimulatedMdm):
    """The simulated MDM whose devices answer a push late: most within 20 s, a few after as long as ``latest`` seconds;
    ``even``: all alike at any time until then."""

    def __init__(self, world: World, latest: float, *, even: bool) -> None:
        by_id = {one.facts.mdm_id: one for one in world.macs.values()}
        super().__init__(world.folder, lambda: by_id)
        self._latest, self._even, self._random = latest, even, random.Random(len(by_id))
        self._due: list[tuple[datetime, str]] = []

    def nudge(self, mdm_ids: Sequence[str], now: datetime) -> None:
        self._due += [(now + timedelta(seconds=self._delay()), one) for one in mdm_ids]

    def answer_until(self, now: datetime) -> None:
        """Let each device whose time has come answer, as of its own moment."""
        due = sorted(one for one in self._due if one[0] <= now)
        self._due = [one for one in self._due if one[0] > now]
        for at, one in due:
            super().nudge([one], at)

    def _delay(self) -> float:
        if self._even:
            return self._random.uniform(2, self._latest)
        kind = self._random.random()
        if kind < 0.7:
            return self._random.uniform(2, 20)
        return self._random.uniform(20, self._latest / 5 if kind < 0.95 else self._latest)


def _simulated_face(mdm: SimulatedMdm, now: Callable[[], datetime]) -> Face:
    """Return what the simulated MDM answers (docs/simulated-world.md), at the moment of a clock."""

    def answer(asked: Asked) -> Said:
        if asked.method == "GET":
            return Said(document=mdm.profile().as_document())
        said = asked.document()
        if asked.path == "/devices/search":
            found = mdm.devices(said["serial_numbers"], now())
            return Said(document={serial: record.as_document() for serial, record in found.items()})
        change = {f"/groups/{GROUP}/add": mdm.exclude, f"/groups/{GROUP}/remove": mdm.put_back, "/nudge": mdm.nudge}
        change[asked.path](said["ids"], now())
        return Said(document={})

    return answer


def _kind(asked: Asked) -> str:
    if asked.path.startswith("/groups/") or (asked.method == "PUT" and "/computergroups/" in asked.path):
        return _CHANGE
    return _NUDGE if asked.path in ("/nudge", "/api/v2/mdm/blank-push") else _READ


@dataclass
class Site:
    """A world, its MDM behind HTTP, and the clock of both. ``asked``: requests by kind."""

    world: World
    clock: TickingClock
    mdm: Mdm
    asked: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, order=True)
class Case:
    """What is measured: which MDM, how many devices, and how both behave."""

    mdm: str
    devices: int
    even: bool
    storm: bool

    def __str__(self) -> str:
        words = (f"{self.devices:,} devices", "evenly late" if self.even else "", "429 storm" if self.storm else "")
        return ", ".join(word for word in words if word)


@contextlib.contextmanager
def _site(folder: Path, case: Case, latest: float) -> Iterator[Site]:
    clock = TickingClock(_BEGIN)
    names = [f"mac-{number:04}" for number in range(case.devices)]
    world = World.create(folder / "world", [MacSpec(name, scenario="deleted") for name in names], _BEGIN)
    late = world.mdm = LateDevices(world, latest, even=case.even)
    clock.meanwhile = late.answer_until
    asked = Counter[str]()
    face: Face = _simulated_face(late, clock.now)
    if case.mdm == "jamf":
        face = jamf_face.JamfFace(world, clock.now)
        face.token_seconds = _TOKEN_SECONDS

    def counted(request: Asked) -> Said:
        clock.sleep(_ANSWER_SECONDS)
        if case.storm and (asked.total() + 1) % _STORM_EVERY == 0:
            asked[_REFUSED] += 1
            return Said(429, headers=(("Retry-After", str(_STORM_RETRY_SECONDS)),))
        asked[_kind(request)] += 1
        return face(request)

    with serve(counted) as service:
        yield Site(world, clock, _adapter(case.mdm, service.url, folder, clock), asked)


def _adapter(kind: str, url: str, folder: Path, clock: TickingClock) -> Mdm:
    """Return the product's adapter of that kind; what it waits, it waits on the clock."""
    if kind == "simulated":
        settings = ServiceSettings(kind, {"url": url, "profile": IDENTIFIER, "exclusion_group": GROUP})
        return SimulatedMdmAdapter(settings, sleep=clock.sleep)
    (folder / "secret").write_text(jamf_face.CLIENT_SECRET)
    options = {
        "url": url,
        "client_id": jamf_face.CLIENT_ID,
        "profile": str(jamf_face.PROFILE),
        "exclusion_group": str(jamf_face.GROUP),
    }
    secrets = {"client_secret": SecretRef("file", str(folder / "secret"))}
    return JamfPro(
        ServiceSettings(kind, options, secrets),
        sleep=clock.sleep,
        monotonic=lambda: clock.now().timestamp(),
        now=clock.now,
    )


# --- contenders -----------------------------------------------------------------------------------------------------


@dataclass
class Runner(RunnerAtOnce):
    """Runs stages in this process, through the MDM's adapter; each takes its time on the clock, side by side.

    Devices are looked at one after the other, whichever run they belong to: it is one machine that looks.
    """

    mdm: Mdm = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ends: dict[Path, datetime] = {}
        self._looking_until = self.clock.now()

    def start(self, request: RunRequest) -> None:
        self.begun.append((request.stage, tuple(str(device["name"]) for device in request.devices.values())))
        self._real.prepare(request)
        ends = self.clock.now() + timedelta(seconds=_RUN_SECONDS)
        if request.stage in _AT_DEVICES:
            ends = max(ends, self._looking_until) + timedelta(seconds=_DEVICE_SECONDS * len(request.devices))
            self._looking_until = ends
        self._ends[request.folder] = ends

    def started(self, folder: Path) -> bool:
        return folder in self._ends

    def wait(self, folder: Path, timeout_seconds: float) -> bool:
        """What a run does, it does at its end."""
        left = (self._ends[folder] - self.clock.now()).total_seconds()
        if left > 0:
            self.clock.sleep(min(left, timeout_seconds))
        if self.clock.now() < self._ends[folder]:
            return False
        if not any((folder / "artifacts").glob("*")):
            with contextlib.suppress(ScepfixError):
                perform(folder, self.world, self.clock, mdm=self.mdm)
        return True


@dataclass(frozen=True)
class Measured:
    """What one contender did: requests by kind, seconds that each device waited, minutes until all were back, and what
    was not as it must be. ``runs`` are the stage runs."""

    devices: int
    asked: Mapping[str, int]
    waited: Sequence[float]
    since_gone: Sequence[float]
    minutes: float
    runs: int
    cpu_seconds: float
    wrong: Sequence[str]

    @property
    def changes(self) -> float:
        """Group changes per device."""
        return self.asked.get(_CHANGE, 0) / self.devices


def _engine(site: Site, folder: Path) -> Measured:
    """Repair all devices in one plan."""
    names = sorted(site.world.macs)
    plan = plan_of(site.world, names, site.clock.now())
    store = SqliteStore(folder / "scepfix.sqlite")
    runner = Runner(site.world, site.clock, folder, mdm=site.mdm)
    began, cpu = site.clock.now(), time.process_time()
    with contextlib.closing(store):
        store.begin(remediations_of(plan))
        done = advance(plan.digest(), Hands(store, runner, site.clock, RepairPolicy(), folder / "runs"))
    cpu = time.process_time() - cpu
    wrong = [f"{one.device.name}: {one.outcome}" for one in done if one.outcome is not Outcome.AWAITING_REGISTRATION]
    return _measured(site, names, began, _confirmed(done), len(runner.begun), cpu, wrong)


def _naive(site: Site, folder: Path) -> Measured:
    """What a script does: one call for each device and each thing, a look every 15 seconds."""
    by_serial = {mac.facts.serial_number: mac.facts for mac in site.world.macs.values()}
    began, cpu = site.clock.now(), time.process_time()
    confirmed: dict[str, datetime] = {}
    for facts in by_serial.values():
        site.mdm.exclude([facts.mdm_id])
        site.mdm.nudge([facts.mdm_id])
    away, coming = dict(by_serial), dict[str, object]()
    while away or coming:
        for serial in list(away):
            record = site.mdm.devices([serial])[serial]
            if record.removed_at is not None and record.removed_at > began:
                confirmed[record.name] = site.clock.now()
                site.mdm.put_back([record.identity.mdm_id])
                site.mdm.nudge([record.identity.mdm_id])
                coming[serial] = away.pop(serial)
        for serial in list(coming):
            if site.mdm.devices([serial])[serial].profile_installed:
                del coming[serial]
        site.clock.sleep(15)
    return _measured(site, sorted(site.world.macs), began, confirmed, 0, time.process_time() - cpu, [])


def _confirmed(done: Sequence[Remediation]) -> dict[str, datetime]:
    """Return when the engine knew of each device that profile and certificate are gone."""
    return {one.device.name: one.reinstall_asked_at for one in done if one.reinstall_asked_at is not None}


def _measured(
    site: Site,
    names: Sequence[str],
    began: datetime,
    confirmed: Mapping[str, datetime],
    runs: int,
    cpu: float,
    wrong: list[str],
) -> Measured:
    at: dict[tuple[str, str], datetime] = {}
    counts = Counter[tuple[str, str]]()
    for effect in site.world.effects():
        key = (str(effect["verb"]), str(effect["device"]))
        counts[key] += 1
        moment = parse_rfc3339(effect["at"])
        if moment is not None:
            at[key] = moment
    for name in names:
        wrong += [
            f"{name}: {verb} {counts[verb, name]} times"
            for verb in ("exclude", "RemoveProfile", "put-back", "InstallProfile")
            if counts[verb, name] != 1
        ]
    wrong += faults_of_world(site.world, dict.fromkeys(names, 1))
    back = [name for name in names if ("put-back", name) in at]
    return Measured(
        devices=len(names),
        asked=dict(site.asked),
        waited=[(at["put-back", name] - confirmed[name]).total_seconds() for name in back if name in confirmed],
        since_gone=[(at["put-back", name] - at["RemoveProfile", name]).total_seconds() for name in back],
        minutes=(max(moment for (verb, _), moment in at.items() if verb == "InstallProfile") - began).total_seconds()
        / 60,
        runs=runs,
        cpu_seconds=cpu,
        wrong=wrong,
    )


# --- the table ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Print the table; exit with 1 where a device was left out, or anything was done to one twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mdm", choices=("jamf", "simulated"), default="jamf")
    parser.add_argument("--devices", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--latest", type=float, default=600, help="seconds after which the last devices answer")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    options = parser.parse_args()
    cases = [
        Case(options.mdm, devices, even, storm)
        for devices in options.devices
        for even in (False, True)
        for storm in (False, True)
        if devices <= _MOST_BESIDE or not even
    ]
    found: dict[tuple[str, Case], Measured] = {}
    for case in cases:
        beside = {_NAIVE: _naive} if case.devices <= _MOST_BESIDE else {}
        for name, contender in ({_SCEPFIX: _engine} | beside).items():
            with (
                tempfile.TemporaryDirectory(prefix="scepfix-bench-", dir=_in_memory()) as folder,
                _site(Path(folder), case, options.latest) as site,
            ):
                found[name, case] = contender(site, Path(folder) / "state")
            print(f"{name}, {case}: done", file=sys.stderr)
    if options.json:
        print(json.dumps([[name, str(case), _numbers(one)] for (name, case), one in found.items()], indent=1))
    else:
        print(_table(found))
        print(_verdict(found))
    wrong = [f"{name}, {case}: {line}" for (name, case), one in found.items() for line in one.wrong]
    if wrong:
        raise SystemExit("\n".join(["not as it must be:", *wrong[:20]]))


def _in_memory() -> str | None:
    """Return a folder without a disk below it where there is one: the disk's time is not what is measured."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _numbers(one: Measured) -> dict[str, float]:
    return {
        "requests": sum(one.asked.values()),
        **{kind: one.asked.get(kind, 0) for kind in (_CHANGE, _NUDGE, _READ, _REFUSED)},
        "changes_per_device": one.changes,
        "longest_wait": max(one.waited),
        "median_wait": statistics.median(one.waited),
        "longest_since_gone": max(one.since_gone),
        "minutes": one.minutes,
        "runs": one.runs,
        "cpu_seconds": one.cpu_seconds,
    }


def _table(found: Mapping[tuple[str, Case], Measured]) -> str:
    heads = (
        "",
        "requests (of these 429)",
        "group changes per device",
        "known to be gone → put back asked, s: median, longest",
        "gone → put back asked, s: longest",
        "all back, minutes",
        "stage runs",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (name, case), one in found.items():
        numbers, requests, changes = _numbers(one), "", ""
        if (_NAIVE, case) in found:
            other = found[_NAIVE, case]
            requests = f": {numbers['requests'] / _numbers(other)['requests']:.2f} x"
            changes = f": {one.changes / other.changes:.2f} x"
        lines.append(
            f"| {name}, {case} "
            f"| {numbers['requests']:.0f} ({numbers[_REFUSED]:.0f}){requests} "
            f"| {one.changes:.3f}{changes} "
            f"| {numbers['median_wait']:.0f}, {numbers['longest_wait']:.0f} "
            f"| {numbers['longest_since_gone']:.0f} | {one.minutes:.1f} | {one.runs or '–'} |"
        )
    return "\n".join(lines)


def _verdict(found: Mapping[tuple[str, Case], Measured]) -> str:
    ours = {case: one for (name, case), one in found.items() if name == _SCEPFIX}
    most, longest = max(ours, key=lambda case: ours[case].changes), max(ours, key=lambda case: max(ours[case].waited))
    return "\n".join(
        [
            f"group changes per device: at most {ours[most].changes:.3f} ({most}); aim 0.2",
            f"known to be gone → put back asked: at most {max(ours[longest].waited):.0f} s ({longest}); aim 60 s",
            f"left out, or done to twice: {sum(len(one.wrong) for one in found.values())}; aim 0",
        ]
    )


if __name__ == "__main__":
    main()
