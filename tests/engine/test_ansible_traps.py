"""T1 to T14: where Ansible's own safety strands or misleads, the same misfortune through scepfix, side by side.

docs/ansible-traps.md is the record: a cell of it is what a test here saw, of Ansible and of scepfix.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from tests.engine.ansible_side import HOSTS, Ansible
from tests.engine_setup import Setup
from tests.plugins.playbooks import by_hand
from tests.stand_in import faults_of_world

from scepfix.domain.remediation import Approval, Outcome, Remediation
from scepfix.parsers.certificates import parse_certificates
from scepfix.service.apply import apply_plan, exit_code
from scepfix.simulator.running import MacSpec, RunningWorld, run_world

PAGE = Path(__file__).parents[2] / "docs" / "ansible-traps.md"


@dataclass(frozen=True)
class Trap:
    """A case. ``misfortunes``: by device, the behaviour it is told before scepfix comes, and its value."""

    ansible: Callable[[Ansible], str]
    misfortunes: dict[str, tuple[str, str]]


def _budget(percentage: int, failing: str, serial: int = 2) -> Callable[[Ansible], str]:
    return lambda ansible: ansible.wave(f"max_fail_percentage: {percentage}", failing, serial=serial)


#: What a device does to fail at the first step: it shows the identity of another.
_FAILS = ("other-identity", "d")
_LEFT = {"a": ("keep-old-certificate", "key")}

TRAPS = {
    "T1": Trap(lambda ansible: ansible.wave("max_fail_percentage: 0", unreachable="b"), {"b": ("offline", "yes")}),
    "T2": Trap(_budget(0, "a"), {"a": _FAILS}),
    "T3": Trap(_budget(50, "a"), {"a": _FAILS}),
    "T4": Trap(_budget(49, "a"), {"a": _FAILS}),
    "T5": Trap(_budget(100, "ab"), {"a": _FAILS, "b": _FAILS}),
    "T6": Trap(_budget(100, "a", serial=1), {"a": _FAILS}),
    "T7": Trap(_budget(50, "ac"), {"a": _FAILS, "c": _FAILS}),
    "T11": Trap(lambda ansible: ansible.transaction("max_fail_percentage: 0"), _LEFT),
    "T12": Trap(
        lambda ansible: ansible.transaction("max_fail_percentage: 0", verify_last=True), {"a": ("wrong-ca", "yes")}
    ),
    "T13": Trap(lambda ansible: ansible.transaction("max_fail_percentage: 0", healed=True), _LEFT),
    "T14": Trap(lambda ansible: ansible.transaction("any_errors_fatal: true"), _LEFT),
    "free": Trap(lambda ansible: ansible.transaction("max_fail_percentage: 0\nstrategy: free"), _LEFT),
}
#: Cases about what is announced and selected, rather than about devices that fail.
SELECTING: dict[str, Callable[[Ansible], str]] = {
    "T8": Ansible.probe,
    "T9": Ansible.no_limit,
    "T10": Ansible.no_hosts,
}


def recorded(case: str) -> tuple[str, str]:
    """Return what the page says that Ansible and scepfix do in this case."""
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells and cells[0] == case:
            return cells[2].replace("`", ""), cells[3].replace("`", "")
    raise AssertionError(f"docs/ansible-traps.md has no row {case}")


def test_the_page_has_exactly_these_cases() -> None:
    rows = re.findall(r"^\| (T\d+|free) \|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert sorted(rows) == sorted([*TRAPS, *SELECTING])


@pytest.mark.slow
@pytest.mark.parametrize("case", [*TRAPS, *SELECTING])
def test_ansible_does_what_the_page_says(case: str, tmp_path: Path) -> None:
    side = TRAPS[case].ansible if case in TRAPS else SELECTING[case]

    assert side(Ansible(tmp_path / "ansible")) == recorded(case)[0]


# --- devices that fail ----------------------------------------------------------------------------------------------


@pytest.fixture
def four(tmp_path: Path) -> Iterator[Setup]:
    """Four Macs with one plan, approved; the org's CA is known."""
    setup = Setup(tmp_path, *HOSTS)
    issuers = parse_certificates(setup.world.ca.certificate_file.read_bytes()).found
    setup.hands = replace(setup.hands, issuers=tuple(found.certificate for found in issuers))
    setup.store.save_approval(Approval(setup.plan.digest(), "carol", "signature", True, setup.clock.now()))
    yield setup
    setup.close()


@pytest.mark.parametrize("case", TRAPS)
def test_scepfix_does_what_the_page_says(case: str, four: Setup) -> None:
    for name, (behaviour, value) in TRAPS[case].misfortunes.items():
        four.world.tell(name, behaviour, value)

    done = apply_plan(four.plan, four.plan.content_sha256, four.hands)

    assert _said(four, done) == recorded(case)[1]
    _healthy_are_repaired(four, done, TRAPS[case].misfortunes)
    # Whoever fails has the profile, is out of the exclusion group, and was removed at most once.
    assert faults_of_world(four.world, dict.fromkeys(HOSTS, 1)) == []
    assert four.store.open_intents([one.id for one in done]) == ()


@pytest.mark.parametrize("case", TRAPS)
def test_who_fails_before_the_removal_is_not_touched(case: str, four: Setup) -> None:
    for name, (behaviour, value) in TRAPS[case].misfortunes.items():
        four.world.tell(name, behaviour, value)

    done = apply_plan(four.plan, four.plan.content_sha256, four.hands)

    untouched = {one.device.name for one in done if one.outcome in (Outcome.NEEDS_ADMIN, Outcome.UNREACHABLE)}
    assert untouched.isdisjoint(str(one["device"]) for one in four.world.effects())
    assert [one.removal_asked_at for one in done if one.device.name in untouched] == [None] * len(untouched)


def test_a_leftover_is_named_and_its_devices_peers_are_not_held_up(four: Setup) -> None:
    """T11 and T14, where Ansible leaves ``a`` and the healthy ``b`` without their profile."""
    four.world.tell("a", "keep-old-certificate", "key")

    a, *others = apply_plan(four.plan, four.plan.content_sha256, four.hands)

    assert a.outcome is Outcome.VERIFY_FAILED
    assert a.leftovers == tuple(before.sha256 for before in a.device.before)
    assert a.reinstalled_at is not None
    assert {one.outcome for one in others} == {Outcome.AWAITING_REGISTRATION}
    for one in others:
        assert one.started_at is not None
        assert one.reinstalled_at is not None
        assert one.reinstalled_at < a.reinstalled_at, "the healthy do not wait for the leftover's deadline"


def _said(four: Setup, done: tuple[Remediation, ...]) -> str:
    """Return the exit code, each outcome, and who has its profile, in the words of the page."""
    outcomes = " ".join(f"{one.device.name}={one.outcome}" for one in done)
    profiles = " ".join(name for name in HOSTS if four.world.macs[name].profile_installed_at() is not None)
    return f"exit {exit_code(done):d} {outcomes}; profile: {profiles}"


def _healthy_are_repaired(four: Setup, done: tuple[Remediation, ...], misfortunes: dict[str, tuple[str, str]]) -> None:
    healthy = {one.device.name: one.outcome for one in done if one.device.name not in misfortunes}
    assert set(healthy) == set(HOSTS) - set(misfortunes)
    assert set(healthy.values()) == {Outcome.AWAITING_REGISTRATION}
    assert all(one.outcome is not Outcome.AWAITING_REGISTRATION for one in done if one.device.name in misfortunes)


@pytest.mark.slow
def test_t1_and_t11_over_real_ssh_and_ansible(tmp_path: Path) -> None:
    """The same misfortunes with nothing replaced: ``a`` keeps its certificate, ``b`` is off, ``c`` is well."""
    limits = {"unauthenticated_devices": 3, "confirm_minutes": 1, "inspect_minutes": 1}
    macs = [MacSpec(name, scenario="deleted") for name in "abc"]
    with run_world(tmp_path / "world", macs, repair=limits) as world:
        command = Command(tmp_path, world)
        command.plan(*"abc")
        command("approve", command.plan_file)
        for name, (behaviour, value) in {**TRAPS["T11"].misfortunes, **TRAPS["T1"].misfortunes}.items():
            world.tell(name, behaviour, value)

        code, document = command("apply", command.plan_file)

        remediations = document["remediations"]
        assert isinstance(remediations, list)
        assert {one["device"]: one["outcome"] for one in remediations} == {
            "a": "verify-failed",
            "b": "unreachable",
            "c": "awaiting-registration",
        }
        assert code == 5
        assert faults_of_world(world.world, {"a": 1, "b": 0, "c": 1}) == []


# --- what is announced and selected: real SSH, real Ansible -----------------------------------------------------------


class Command:
    """The command as a process of its own, in a world of real SSH."""

    def __init__(self, folder: Path, world: RunningWorld) -> None:
        self.folder, self.world = folder, world
        self.plan_file = str(folder / "plan.json")
        said = yaml.safe_load(world.inventory.read_text("utf-8"))
        said["all"]["children"] = {"nobody": {"hosts": {}}}
        self.inventory = folder / "inventory-with-empty-group.yml"
        self.inventory.write_text(yaml.safe_dump(said))

    def __call__(self, *words: str) -> tuple[int, dict[str, object]]:
        done = subprocess.run(
            [sys.executable, "-m", "scepfix", "--json", *words, "--config", str(self.world.config)],
            env={**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "XDG_CONFIG_HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    def plan(self, *words: str) -> tuple[int, dict[str, object]]:
        return self("plan", *words, "-i", str(self.inventory), "-o", self.plan_file)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A deleted device and a healthy one."""
    folder = tmp_path_factory.mktemp("traps")
    macs = [MacSpec("gone", scenario="deleted"), MacSpec("well", scenario="healthy")]
    with run_world(folder / "world", macs) as world:
        yield Command(folder, world)


@pytest.mark.slow
def test_t8_what_is_announced_is_what_happens(running: Command, tmp_path: Path) -> None:
    _, plan = running.plan("gone", "well")
    devices = plan["devices"]
    assert isinstance(devices, list)
    announced = sorted(one["name"] for one in devices if one["one_way_steps"])
    # Ansible's --check of our own playbook probes as well: a device that the preflight refuses is not announced.
    running.world.tell("well", "offline")
    refused = by_hand("reinstall_scep_profile", _only(running, "well"), tmp_path, "--check", "--diff")
    running.world.tell("well", "offline", "no")
    assert refused.changed == 0, refused.output
    assert running.world.effects() == []

    running("approve", running.plan_file)
    running("apply", running.plan_file)

    removed = sorted(str(one["device"]) for one in running.world.effects() if one["verb"] == "RemoveProfile")
    assert f"announced: {' '.join(announced)}; removed: {' '.join(removed)}" == recorded("T8")[1]


@pytest.mark.slow
def test_t9_a_device_that_is_not_there_is_refused(running: Command, tmp_path: Path) -> None:
    before = running.world.effects()

    code, document = running.plan("nosuch")
    limited = by_hand("reinstall_scep_profile", running.world, tmp_path, "--limit", "gone")

    assert f"exit {code} {document['code']}; --limit refused: rc={limited.code}" == recorded("T9")[1]
    assert running.world.effects() == before


@pytest.mark.slow
def test_t10_a_group_of_nobody_is_refused(running: Command) -> None:
    before = running.world.effects()

    code, document = running.plan("--group", "nobody")

    assert f"exit {code} {document['code']}" == recorded("T10")[1]
    assert running.world.effects() == before


def _only(running: Command, name: str) -> RunningWorld:
    """Return the world with an inventory of one device: a playbook by hand is about all that it is given."""
    said = yaml.safe_load(running.world.inventory.read_text("utf-8"))
    said["all"]["hosts"] = {name: said["all"]["hosts"][name]}
    inventory = running.folder / f"only-{name}.yml"
    inventory.write_text(yaml.safe_dump(said))
    return replace(running.world, inventory=inventory)
