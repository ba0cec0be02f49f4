"""The engine on the simulated world with a moving clock: it goes on, waits, is interrupted, and finishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from tests.engine_setup import Setup
from tests.stand_in import faults_of_world

from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.device import Identity
from scepfix.domain.errors import RefusedError, ScepfixError
from scepfix.domain.evidence import Evidence
from scepfix.domain.remediation import Outcome, Stage
from scepfix.service.advance import Doing, Progress

STAGES = ["preflight", "uninstall", "confirm", "reinstall", "inspect"]


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Callable[..., Setup]]:
    """Makes the setup for these Macs, their repairs begun."""
    made: list[Setup] = []

    def make(*names: str) -> Setup:
        made.append(Setup(tmp_path, *names))
        made[-1].begin()
        return made[-1]

    yield make
    for setup in made:
        setup.close()


@pytest.fixture
def one(several: Callable[..., Setup]) -> Setup:
    return several("mac-001")


def test_a_device_goes_through_its_stages_and_awaits_registration(one: Setup) -> None:
    (done,) = one.advance()

    assert (done.outcome, done.stage) == (Outcome.AWAITING_REGISTRATION, Stage.REGISTRATION)
    assert one.stages() == STAGES
    assert done.new_certificate not in {before.sha256 for before in one.plan.devices[0].before}
    assert faults_of_world(one.world, {"mac-001": 1}) == []
    assert one.store.open_intents([done.id]) == ()


def test_advancing_again_repeats_nothing(one: Setup) -> None:
    first = one.advance()
    effects = one.world.effects()

    again = one.advance()

    assert one.stages() == STAGES
    assert one.world.effects() == effects
    assert [done.outcome for done in again] == [done.outcome for done in first]


def test_many_devices_share_their_runs(several: Callable[..., Setup]) -> None:
    setup = several(*(f"mac-{number:03}" for number in range(1, 121)))

    done = setup.advance()

    assert {each.outcome for each in done} == {Outcome.AWAITING_REGISTRATION}
    assert sorted((stage, len(devices)) for stage, devices in setup.runner.begun) == sorted(
        (stage, size) for stage in STAGES for size in (100, 20)
    )
    calls = [each["verb"] for each in setup.world.effects()]
    assert calls.count("RemoveProfile") == calls.count("InstallProfile") == 120


def test_a_removal_is_written_down_before_its_run_starts(one: Setup) -> None:
    seen: list[datetime | None] = []
    start = one.runner.start

    def look_first(request):  # type: ignore[no-untyped-def]
        if request.stage == "uninstall":
            with closing(SqliteStore(one.file)) as other:
                (stored,) = other.remediations()
            seen.append(stored.removal_asked_at)
            assert next(iter(request.devices.values()))["removal_asked_at"] is not None
        start(request)

    one.runner.start = look_first  # type: ignore[method-assign]
    one.advance()

    assert len(seen) == 1
    assert seen[0] is not None


def test_it_waits_for_what_the_device_has_not_done_yet(one: Setup) -> None:
    one.world.tell("mac-001", "removal-silent", "yes")
    waits = 0

    def tell(progress: Progress) -> None:
        nonlocal waits
        if progress.doing is Doing.WAITING:
            waits += 1
            assert progress.until is not None
            assert progress.until > progress.at
            assert progress.remediations[0].waiting_for
            if waits == 3:
                one.world.tell("mac-001", "removal-silent", "no")

    (done,) = one.advance(tell=tell)

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert waits == 3
    assert one.clock.slept == pytest.approx([15, 15, 15], abs=1)


@pytest.mark.parametrize("point", ["begin", "before exclude", "after call 1", "before result", "before statistics"])
def test_a_run_that_died_halfway_is_looked_at_again(one: Setup, point: str) -> None:
    one.runner.dies_at["uninstall"] = point

    (done,) = one.advance()

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.stages().count("uninstall") == 2
    assert faults_of_world(one.world, {"mac-001": 1}) == []


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_in_any_stage_leaves_a_state_from_which_it_goes_on(one: Setup, stage: str) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.doing is Doing.RUNNING and progress.remediations[0].stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.advance(tell=interrupt)
    (done,) = one.advance()

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.stages() == STAGES, "the run that was going on is read, not started again"
    assert one.told[0].doing is Doing.FOUND_RUNNING


def test_a_claimed_run_that_was_never_begun_is_begun(one: Setup) -> None:
    """Killed between the claim and the start: nothing is in the run folder."""

    class KilledError(BaseException):
        pass

    def killed(request: object) -> None:
        raise KilledError

    start, one.runner.start = one.runner.start, killed  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        one.advance()
    one.runner.start = start  # type: ignore[method-assign]
    assert [intent.state for intent in one.store.open_intents([one.store.remediations()[0].id])] == ["started"]

    (done,) = one.advance()

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.stages() == STAGES


def test_a_removal_that_was_not_begun_in_time_is_not_begun(one: Setup) -> None:
    """The intent was written, the process killed, and the plan applied again a day later."""

    def interrupt(progress: Progress) -> None:
        if progress.doing is Doing.CHANGED and progress.remediations[0].stage is Stage.UNINSTALL:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.advance(tell=interrupt)
    one.clock.sleep(24 * 3600)

    one.advance()

    assert "uninstall" not in one.stages()
    assert "exclude" not in [each["verb"] for each in one.world.effects()]
    assert faults_of_world(one.world, {"mac-001": 0}) == []


def test_an_unreachable_device_ends_and_holds_nobody_up(several: Callable[..., Setup]) -> None:
    setup = several("mac-001", "mac-002")
    setup.world.tell("mac-001", "offline", "yes")

    first, second = setup.advance()

    assert first.outcome is not None
    assert first.outcome is not Outcome.AWAITING_REGISTRATION
    assert second.outcome is Outcome.AWAITING_REGISTRATION
    assert faults_of_world(setup.world, {"mac-001": 0, "mac-002": 1}) == []


def test_a_stranded_device_is_asked_about_again_and_does_not_block(one: Setup) -> None:
    one.world.tell("mac-001", "install-silent", "yes")

    (stranded,) = one.advance()

    assert stranded.outcome is Outcome.STRANDED
    assert stranded.open
    assert stranded.owed_reinstall
    one.world.tell("mac-001", "install-silent", "no")
    one.clock.sleep(1200)
    (done,) = one.advance()
    assert done.outcome is Outcome.AWAITING_REGISTRATION


def test_one_process_at_a_time_goes_on_with_a_plan(one: Setup) -> None:
    with closing(SqliteStore(one.file)) as other, other.hold(f"plan-{one.plan.digest()}") as held:
        assert held
        with pytest.raises(RefusedError, match="another scepfix"):
            one.advance()


def test_a_busy_exclusion_group_delays_and_nothing_more(one: Setup) -> None:
    held = ExitStack()
    held.enter_context(held.enter_context(closing(SqliteStore(one.file))).hold("exclusion-group"))
    sleep = one.clock.sleep

    def sleeps(seconds: float) -> None:
        sleep(seconds)
        if len(one.clock.slept) == 3:
            held.close()

    one.clock.sleep = sleeps  # type: ignore[method-assign]
    (done,) = one.advance()

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.clock.slept == [0.5, 0.5, 0.5]


class OktaThatSays:
    def __init__(self, *answers: bool | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Identity, str, datetime]] = []

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        raise AssertionError("nobody asks that here")

    def notes(self) -> tuple[str, ...]:
        return ()

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        self.asked.append((identity, person, since))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_registration_that_is_seen_closes_the_case(one: Setup) -> None:
    okta = OktaThatSays(False, ScepfixError("okta-down", "no answer"), True)
    (waiting,) = one.advance(okta=okta)
    assert okta.asked == [], "the person cannot have signed in within the same second"

    assert [one.advance(okta=okta)[0].outcome for _ in range(3)] == [
        Outcome.AWAITING_REGISTRATION,
        Outcome.AWAITING_REGISTRATION,
        Outcome.VERIFIED,
    ]

    identity, person, since = okta.asked[0]
    assert identity == one.plan.devices[0].identity
    assert person == one.plan.devices[0].person
    assert since == waiting.reinstalled_at


def test_it_says_what_it_does(one: Setup) -> None:
    one.advance()

    assert [progress.remediations[0].stage for progress in one.told if progress.doing is Doing.RUNNING] == STAGES
    assert one.told[-1].doing is Doing.CHANGED
    assert one.told[-1].remediations[0].outcome is Outcome.AWAITING_REGISTRATION


def test_report_devices_are_told_and_not_touched(tmp_path: Path) -> None:
    setup = Setup(tmp_path, "mac-001")
    (device,) = setup.plan.devices
    setup.plan = replace(setup.plan, devices=(replace(device, playbook="report"),))
    setup.begin()

    (done,) = setup.advance()

    assert done.outcome is Outcome.NEEDS_ADMIN
    assert setup.runner.begun == []
    setup.close()


def test_the_folders_of_looks_that_found_nothing_do_not_pile_up(one: Setup) -> None:
    one.world.tell("mac-001", "removal-silent", "yes", one.clock.now())

    one.advance()

    looks = [stage for stage in one.stages() if stage == "uninstall"]
    assert len(looks) > 20
    left = [path.name.rsplit("-", 1)[0] for path in one.hands.runs.iterdir()]
    assert left.count("uninstall") < 3, "the one that asked for the removal stays, and what was no mere look"
