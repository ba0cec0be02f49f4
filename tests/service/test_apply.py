"""What may be applied, what goes on although it may not, and the exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engine_setup import Setup
from tests.stand_in import faults_of_world

from scepfix.adapters.store.sqlite import SqliteStore
from scepfix.domain.errors import Exit, RefusedError
from scepfix.domain.remediation import Approval, Outcome, Remediation, Stage
from scepfix.service.advance import Doing, Progress
from scepfix.service.apply import apply_plan, exit_code, remediations_of
from scepfix.service.ports import DeviceTakenError

CONTENT = "c" * 64


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Setup]:
    setup = Setup(tmp_path, "mac-001")
    yield setup
    setup.close()


def decide_about(setup: Setup, *, approved: bool = True, how: str = "unauthenticated", person: str = "carol") -> None:
    setup.store.save_approval(Approval(setup.plan.digest(), person, how, approved, setup.clock.now()))


def apply(setup: Setup, content: str = CONTENT) -> tuple[Remediation, ...]:
    return apply_plan(setup.plan, content, setup.hands)


def refusal(setup: Setup, content: str = CONTENT) -> str:
    """Return the code with which the plan is refused; nothing may have been touched then."""
    with pytest.raises(RefusedError) as refused:
        apply(setup, content)
    assert refused.value.exit is Exit.NEEDS_PERSON
    assert setup.runner.begun == []
    assert setup.store.remediations() == ()
    return refused.value.code


def interrupt_in(setup: Setup, stage: Stage) -> None:
    """Apply the plan and press Ctrl-C when that stage has begun."""

    def tell(progress: Progress) -> None:
        if progress.doing is Doing.RUNNING and progress.remediations[0].stage is stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_plan(setup.plan, CONTENT, replace(setup.hands, tell=tell))


def test_an_approved_plan_is_carried_out(one: Setup) -> None:
    decide_about(one)

    (done,) = apply(one)

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.store.plan(one.plan.digest()) == one.plan
    assert exit_code([done]) is Exit.VERDICT


def test_an_unapproved_plan_is_refused(one: Setup) -> None:
    assert refusal(one) == "not-approved"


def test_a_rejected_plan_is_refused(one: Setup) -> None:
    decide_about(one)
    decide_about(one, approved=False)

    assert refusal(one) == "plan-rejected"


def test_an_expired_plan_is_refused(one: Setup) -> None:
    decide_about(one)
    one.clock.sleep(25 * 3600)

    assert refusal(one) == "plan-expired"


def test_other_playbooks_than_planned_are_refused(one: Setup) -> None:
    decide_about(one)

    assert refusal(one, "d" * 64) == "content-changed"


def test_a_plan_without_devices_is_refused(one: Setup) -> None:
    one.plan = replace(one.plan, devices=())
    decide_about(one)

    assert refusal(one) == "empty-selection"


def test_a_bare_name_is_not_enough_for_two_devices(tmp_path: Path) -> None:
    setup = Setup(tmp_path, "mac-001", "mac-002")
    decide_about(setup)
    assert refusal(setup) == "not-approved"

    decide_about(setup, how="signature")
    assert {done.outcome for done in apply(setup)} == {Outcome.AWAITING_REGISTRATION}
    setup.close()


def test_applying_again_goes_on_where_it_was(one: Setup) -> None:
    decide_about(one)
    interrupt_in(one, Stage.CONFIRM)

    (done,) = apply(one)

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert one.stages().count("uninstall") == 1


@pytest.mark.parametrize("held_back_by", ["expiry", "rejection", "content"])
def test_nothing_holds_back_a_reinstall(one: Setup, held_back_by: str) -> None:
    decide_about(one)
    interrupt_in(one, Stage.UNINSTALL)
    if held_back_by == "expiry":
        one.clock.sleep(25 * 3600)
    elif held_back_by == "rejection":
        decide_about(one, approved=False)

    (done,) = apply(one, "d" * 64 if held_back_by == "content" else CONTENT)

    assert not done.owed_reinstall
    assert faults_of_world(one.world, {"mac-001": 1}) == []


@pytest.mark.parametrize(
    ("held_back_by", "outcome"),
    [("expiry", Outcome.EXPIRED), ("rejection", Outcome.REJECTED), ("content", Outcome.NEEDS_ADMIN)],
)
def test_what_was_begun_removes_nothing_once_the_plan_may_not_be_applied(
    one: Setup, held_back_by: str, outcome: Outcome
) -> None:
    decide_about(one)
    interrupt_in(one, Stage.PREFLIGHT)
    if held_back_by == "expiry":
        one.clock.sleep(25 * 3600)
    elif held_back_by == "rejection":
        decide_about(one, approved=False)

    (done,) = apply(one, "d" * 64 if held_back_by == "content" else CONTENT)

    assert done.outcome is outcome
    assert "nothing was removed" in done.error
    assert one.stages() == ["preflight"]
    assert one.store.open_intents([done.id]) == (), "its run is read and closed all the same"


def test_a_device_of_another_open_plan_refuses_the_whole_plan(tmp_path: Path) -> None:
    setup = Setup(tmp_path, "mac-001", "mac-002")
    both = setup.plan
    setup.plan = replace(both, devices=both.devices[:1])
    decide_about(setup)
    interrupt_in(setup, Stage.CONFIRM)
    setup.plan = both
    decide_about(setup, how="signature")

    with pytest.raises(DeviceTakenError) as taken:
        apply(setup)

    assert taken.value.exit is Exit.NEEDS_PERSON
    assert "mac-001" in taken.value.message
    assert setup.store.remediations(both.digest()) == ()
    setup.close()


def test_ids_follow_from_the_plan(one: Setup) -> None:
    other = replace(one.plan, content_sha256="d" * 64)

    assert remediations_of(one.plan) == remediations_of(one.plan)
    assert remediations_of(one.plan)[0].id != remediations_of(other)[0].id
    assert len(remediations_of(one.plan)[0].id) == 16


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], Exit.NEEDS_PERSON),
        ([Outcome.VERIFIED, Outcome.AWAITING_REGISTRATION, Outcome.NOTHING_TO_DO], Exit.VERDICT),
        ([Outcome.VERIFY_FAILED, Outcome.FAILED, Outcome.STRANDED, Outcome.UNREACHABLE, Outcome.SILENT], Exit.FAILED),
        ([Outcome.NEEDS_ADMIN, Outcome.REJECTED, Outcome.EXPIRED], Exit.NEEDS_PERSON),
        ([Outcome.VERIFIED, Outcome.STRANDED], Exit.MIXED),
        ([Outcome.FAILED, Outcome.NEEDS_ADMIN], Exit.MIXED),
        ([None], Exit.UNDETERMINED),
    ],
)
def test_exit_codes(one: Setup, outcomes: list[Outcome | None], expected: Exit) -> None:
    (remediation,) = remediations_of(one.plan)

    assert exit_code([replace(remediation, outcome=outcome) for outcome in outcomes]) is expected


def test_every_outcome_has_an_exit_code(one: Setup) -> None:
    (remediation,) = remediations_of(one.plan)

    for outcome in Outcome:
        assert exit_code([replace(remediation, outcome=outcome)]) is not Exit.MIXED


def interrupt_before(setup: Setup, stage: Stage) -> None:
    """Apply the plan and press Ctrl-C when that stage is written down and not begun."""

    def tell(progress: Progress) -> None:
        if progress.doing is Doing.CHANGED and progress.remediations[0].stage is stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_plan(setup.plan, CONTENT, replace(setup.hands, tell=tell))


@pytest.mark.parametrize("how", ["rejected", "denied"])
def test_a_removal_that_was_not_begun_is_not_begun_once_it_may_not_be(one: Setup, how: str) -> None:
    decide_about(one)
    interrupt_before(one, Stage.UNINSTALL)

    if how == "rejected":
        decide_about(one, approved=False)
    else:
        one.hands = replace(one.hands, policy=replace(one.hands.policy, deny=("mac-001",)))
    (done,) = apply(one)

    assert [effect for effect in one.world.effects() if effect["verb"] in ("exclude", "RemoveProfile")] == []
    assert done.outcome is Outcome.FAILED
    assert "nothing was removed" in done.error
    assert faults_of_world(one.world, {"mac-001": 0}) == []


def test_a_rejection_in_the_middle_of_a_removal_puts_the_device_back(one: Setup) -> None:
    one.world.tell("mac-001", "removal-silent", "yes", one.clock.now())
    decide_about(one)
    interrupt_in(one, Stage.UNINSTALL)
    decide_about(one, approved=False)

    (done,) = apply(one)

    verbs = [effect["verb"] for effect in one.world.effects() if effect["verb"] != "nudge"]
    assert verbs == ["exclude", "put-back"]
    assert done.outcome is Outcome.FAILED
    assert "rejected this plan" in done.error


def test_a_stopped_scepfix_does_not_hold_back_the_re_install_of_another(one: Setup) -> None:
    """Another process holds the exclusion group and never lets go: stopped in the middle of its change."""
    decide_about(one)
    interrupt_before(one, Stage.REINSTALL)
    with closing(SqliteStore(one.file)) as other, other.hold("exclusion-group") as held:
        assert held
        (done,) = apply(one)

    assert done.outcome is Outcome.AWAITING_REGISTRATION
    assert Doing.GROUP_BUSY in [progress.doing for progress in one.told]
