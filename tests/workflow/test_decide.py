"""Deciding: one case per row of the stage table, and per thing that goes wrong on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.workflow.repair_factory import (
    DAY,
    HOUR,
    IDENTITY,
    ISSUERS,
    MINUTE,
    OLD,
    OTHER_CA,
    POLICY,
    START,
    issued,
    known,
    observation,
    planned,
    read,
    record,
    remediation,
    result,
    says,
    stored,
)

from scepfix.domain.device import Identity
from scepfix.domain.plan import ProofGrade
from scepfix.domain.remediation import Outcome, Remediation, Stage, StageAnswer, StageResult
from scepfix.workflow.decide import (
    Answered,
    Begin,
    BrokenPromiseError,
    Decision,
    LookForRegistration,
    RegistrationSeen,
    RunStage,
    Tick,
    _keep_promises,
    deadline,
    decide,
    may_start,
)

DONE, NOT_YET, FAILED = StageAnswer.DONE, StageAnswer.NOT_YET, StageAnswer.FAILED
UNREACHABLE, UNKNOWN = StageAnswer.UNREACHABLE, StageAnswer.UNKNOWN
NEW = issued(START + 5 * MINUTE)


class Walk:
    """One device going through decide, minute by minute."""

    def __init__(self, first: Remediation | None = None) -> None:
        self.now = START
        self.state = first or remediation()
        self.last = Decision(self.state)
        self.send(Begin())

    def send(self, event: Any) -> Walk:
        self.last = decide(self.state, event, self.now, POLICY, issuers=ISSUERS)
        self.state = self.last.remediation
        return self

    def answer(self, stage: Stage, answer: StageAnswer, *more: Any, after: timedelta = MINUTE, **facts: Any) -> Walk:
        self.now += after
        return self.send(Answered(result(stage, answer, *more, **facts)))

    def tick(self, after: timedelta) -> Walk:
        self.now += after
        return self.send(Tick())

    def to(self, stage: Stage) -> Walk:
        """Go on to that stage with good answers."""
        for each in (Stage.PREFLIGHT, Stage.UNINSTALL, Stage.CONFIRM, Stage.REINSTALL, Stage.INSPECT):
            if self.state.stage is stage:
                break
            self.answer(each, DONE, *([observation(NEW)] if each is Stage.INSPECT else []))
        assert self.state.stage is stage
        return self

    @property
    def wants(self) -> tuple[Any, ...]:
        return self.last.wants

    @property
    def outcome(self) -> Outcome | None:
        return self.state.outcome

    @property
    def ended(self) -> Outcome | None:
        return self.state.outcome if self.state.ended_at else None


# --- the good way -------------------------------------------------------------------------------------------------


def test_a_repair_goes_through_all_stages_to_verified() -> None:
    walk = Walk()
    assert walk.wants == (RunStage(Stage.PREFLIGHT),)
    assert walk.state.removal_asked_at is None

    walk.answer(Stage.PREFLIGHT, DONE, observation(OLD))
    assert walk.wants == (RunStage(Stage.UNINSTALL),)
    assert walk.state.removal_asked_at == walk.now

    assert walk.answer(Stage.UNINSTALL, NOT_YET, waiting_for="the device to acknowledge").wants == ()
    assert walk.state.wake_at == walk.now + timedelta(seconds=POLICY.poll_seconds)
    assert walk.state.waiting_for == "the device to acknowledge"
    assert walk.tick(timedelta(seconds=POLICY.poll_seconds)).wants == (RunStage(Stage.UNINSTALL),)

    removed_at = walk.now + timedelta(seconds=1)
    walk.answer(Stage.UNINSTALL, DONE, None, record(removed_at=removed_at, profile_installed=False))
    assert walk.wants == (RunStage(Stage.CONFIRM),)
    assert walk.state.removed_at == removed_at

    walk.answer(Stage.CONFIRM, DONE, observation())
    assert walk.wants == (RunStage(Stage.REINSTALL),)
    assert walk.state.reinstall_asked_at == walk.now
    assert walk.state.owed_reinstall

    installed_at = walk.now + timedelta(seconds=30)
    walk.answer(Stage.REINSTALL, DONE, None, record(removed_at=removed_at, installed_at=installed_at))
    assert walk.wants == (RunStage(Stage.INSPECT),)
    assert not walk.state.owed_reinstall

    new = issued(walk.now)
    assert walk.answer(Stage.INSPECT, DONE, observation(new)).wants == ()
    assert walk.outcome is Outcome.AWAITING_REGISTRATION
    assert walk.state.new_certificate == read(new).sha256
    assert walk.state.actual["certificate"] == "one new"
    assert walk.state.actual["mdm-scope"] == "in scope"
    assert {proof.witness for proof in walk.state.proofs} == {"device", "mdm"}
    assert walk.ended is None

    assert walk.tick(timedelta(seconds=POLICY.poll_seconds)).wants == (LookForRegistration(),)
    assert walk.send(RegistrationSeen(None)).wants == ()
    assert walk.tick(HOUR).wants == (LookForRegistration(),)
    walk.send(RegistrationSeen(True))
    assert walk.ended is Outcome.VERIFIED
    assert walk.state.actual["registration"] == "registered"
    assert walk.state.proofs[-1].witness == "okta"


def test_an_install_goes_without_the_removing_stages() -> None:
    walk = Walk(remediation(planned("install_scep_profile", before=())))
    walk.answer(Stage.PREFLIGHT, DONE)
    assert walk.wants == (RunStage(Stage.REINSTALL),)
    assert walk.state.removal_asked_at is None
    walk.answer(Stage.REINSTALL, DONE).answer(Stage.INSPECT, DONE, observation(issued(walk.now)))
    assert walk.outcome is Outcome.AWAITING_REGISTRATION


def test_an_install_leaves_an_old_certificate_where_it_is() -> None:
    walk = Walk(remediation(planned("install_scep_profile")))
    walk.answer(Stage.PREFLIGHT, DONE).answer(Stage.REINSTALL, DONE)
    walk.answer(Stage.INSPECT, DONE, observation(OLD, issued(walk.now)))
    assert walk.outcome is Outcome.AWAITING_REGISTRATION
    assert walk.state.leftovers == ()


def test_leftovers_are_removed_and_a_usable_one_stays() -> None:
    usable = issued(START - DAY, number=8)
    device = planned("remove_leftover_certificates", before=(known(OLD), known(usable)), remove=(read(OLD).sha256,))
    walk = Walk(remediation(device)).answer(Stage.PREFLIGHT, DONE)
    assert walk.wants == (RunStage(Stage.REMOVE_LEFTOVERS),)
    assert not walk.state.owed_reinstall
    walk.answer(Stage.REMOVE_LEFTOVERS, DONE).answer(Stage.INSPECT, DONE, observation(usable))
    assert walk.outcome is Outcome.AWAITING_REGISTRATION
    assert walk.state.actual["leftover"] == "none"


# --- begin ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "outcome"),
    [
        (planned("report", fault=""), Outcome.NOTHING_TO_DO),
        (planned("inspect_device", fault=""), Outcome.NOTHING_TO_DO),
        (planned("report", fault="recovery-pin-disabled"), Outcome.NEEDS_ADMIN),
        (planned("site_own_playbook"), Outcome.NEEDS_ADMIN),
    ],
)
def test_a_playbook_without_stages_ends_at_once(device: Any, outcome: Outcome) -> None:
    walk = Walk(remediation(device))
    assert (walk.ended, walk.wants) == (outcome, ())


def test_a_report_says_why_a_person_is_needed() -> None:
    error = Walk(remediation(planned("report", fault="clock-wrong", reason="the clock is wrong"))).state.error
    assert error == "the clock is wrong"


@pytest.mark.parametrize("name", ["mac-042", "MAC-042", "alice", "c02xk1abjgh5"])
def test_who_is_on_the_deny_list_is_rejected(name: str) -> None:
    policy = replace(POLICY, deny=(name,))
    assert decide(remediation(), Begin(), START, policy).remediation.outcome is Outcome.REJECTED


def test_who_came_onto_the_deny_list_since_is_not_removed() -> None:
    begun = decide(remediation(), Begin(), START, POLICY).remediation
    policy = replace(POLICY, deny=("alice",))
    decision = decide(begun, Answered(result(Stage.PREFLIGHT, DONE)), START + MINUTE, policy)
    assert (decision.remediation.outcome, decision.wants) == (Outcome.REJECTED, ())


def test_a_second_begin_is_a_tick() -> None:
    walk = Walk()
    started_at = walk.state.started_at
    walk.now += MINUTE
    walk.send(Begin())
    assert walk.state.started_at == started_at
    assert walk.wants == (RunStage(Stage.PREFLIGHT),)


# --- preflight -----------------------------------------------------------------------------------------------------


def test_a_refusal_needs_an_admin_and_its_text_is_inert() -> None:
    refusals = [{"code": "bundled", "text": "it carries Wi-Fi\x1b[2J"}, {"code": "silent", "text": "not seen"}]
    walk = Walk().answer(Stage.PREFLIGHT, FAILED, refusals=refusals)
    assert walk.ended is Outcome.NEEDS_ADMIN
    assert walk.state.error == "it carries Wi-Fi␛[2J; not seen"


def test_a_preflight_that_broke_removed_nothing() -> None:
    walk = Walk().answer(Stage.PREFLIGHT, FAILED, error="the MDM answered 500")
    assert walk.ended is Outcome.FAILED
    assert walk.state.error == "nothing was changed: the MDM answered 500"


def test_a_long_error_is_cut() -> None:
    assert len(Walk().answer(Stage.PREFLIGHT, FAILED, error="x" * 10_000).state.error) == 500


def test_an_unreachable_device_is_left_alone() -> None:
    walk = Walk().answer(Stage.PREFLIGHT, UNREACHABLE)
    assert walk.ended is Outcome.UNREACHABLE
    assert walk.state.removal_asked_at is None


@pytest.mark.parametrize("answer", [NOT_YET, UNKNOWN])
def test_a_preflight_that_never_ends_removed_nothing(answer: StageAnswer) -> None:
    walk = Walk().answer(Stage.PREFLIGHT, answer)
    assert walk.ended is None
    walk.answer(Stage.PREFLIGHT, answer, after=4 * MINUTE)
    assert walk.ended is Outcome.UNREACHABLE


def test_an_engine_that_slept_through_preflight_removes_nothing() -> None:
    assert Walk().tick(3 * DAY).ended is Outcome.UNREACHABLE


def test_a_preflight_answer_of_yesterday_removes_nothing() -> None:
    walk = Walk().answer(Stage.PREFLIGHT, DONE, after=DAY)
    assert (walk.ended, walk.wants) == (Outcome.FAILED, ())
    assert "plan it again" in walk.state.error


@pytest.mark.parametrize(
    "seen",
    [
        observation(OLD, issued(START)),
        observation(OLD, identity=Identity("C02OTHER1234")),
        observation(OLD, identity=replace(IDENTITY, hardware_uuid="00000000-0000-0000-0000-000000000000")),
    ],
)
def test_a_device_that_differs_from_the_plan_is_planned_anew(seen: Any) -> None:
    walk = Walk().answer(Stage.PREFLIGHT, DONE, seen)
    assert (walk.ended, walk.wants) == (Outcome.NEEDS_ADMIN, ())
    assert "plan it again" in walk.state.error


@pytest.mark.parametrize("seen", [observation(), observation(OLD, stored(issued(START), "login:alice"))])
def test_what_is_gone_or_in_a_persons_keychain_holds_nothing_up(seen: Any) -> None:
    assert Walk().answer(Stage.PREFLIGHT, DONE, seen).wants == (RunStage(Stage.UNINSTALL),)


# --- uninstall and confirm: never an end, always on to the re-install ----------------------------------------------


@pytest.mark.parametrize("stage", [Stage.UNINSTALL, Stage.CONFIRM])
@pytest.mark.parametrize("answer", [FAILED, NOT_YET, UNREACHABLE, UNKNOWN, DONE])
def test_past_its_deadline_a_removing_stage_is_followed_by_the_reinstall(stage: Stage, answer: StageAnswer) -> None:
    walk = Walk().to(stage).answer(stage, answer, observation(OLD), after=61 * MINUTE)
    wanted = Stage.CONFIRM if (stage, answer) == (Stage.UNINSTALL, DONE) else Stage.REINSTALL
    assert walk.wants == (RunStage(wanted),)
    assert walk.ended is None


@pytest.mark.parametrize("stage", [Stage.UNINSTALL, Stage.CONFIRM])
def test_an_engine_that_slept_through_a_removing_stage_puts_back(stage: Stage) -> None:
    assert Walk().to(stage).tick(3 * DAY).wants == (RunStage(Stage.REINSTALL),)


@pytest.mark.parametrize("stage", [Stage.UNINSTALL, Stage.CONFIRM])
def test_a_removing_stage_that_failed_is_followed_by_the_reinstall(stage: Stage) -> None:
    walk = Walk().to(stage).answer(stage, FAILED, effects=False, error="the MDM answered 403")
    assert walk.wants == (RunStage(Stage.REINSTALL),)
    assert walk.state.error == "the MDM answered 403"


def test_no_device_stays_excluded_beyond_the_stated_time() -> None:
    policy = replace(POLICY, uninstall_minutes=100_000, confirm_minutes=100_000, put_back_after_hours=4)
    state = decide(remediation(), Begin(), START, policy).remediation
    state = decide(state, Answered(result(Stage.PREFLIGHT, DONE)), START, policy).remediation
    waiting = decide(state, Answered(result(Stage.UNINSTALL, NOT_YET)), START + 3 * HOUR, policy)
    assert waiting.wants == ()
    assert decide(waiting.remediation, Tick(), START + 4 * HOUR, policy).wants == (RunStage(Stage.REINSTALL),)
    state = decide(state, Answered(result(Stage.UNINSTALL, DONE)), START + HOUR, policy).remediation
    waiting = decide(state, Answered(result(Stage.CONFIRM, NOT_YET)), START + 4 * HOUR - MINUTE / 6, policy)
    assert waiting.remediation.wake_at == START + 4 * HOUR
    assert decide(waiting.remediation, Tick(), START + 4 * HOUR, policy).wants == (RunStage(Stage.REINSTALL),)


@pytest.mark.parametrize("seen", [observation(OLD), observation(complete=False)])
def test_confirm_is_not_believed_against_what_the_device_shows(seen: Any) -> None:
    walk = Walk().to(Stage.CONFIRM).answer(Stage.CONFIRM, DONE, seen)
    assert (walk.state.stage, walk.wants) == (Stage.CONFIRM, ())


def test_a_leftover_is_noted_and_does_not_delay_the_reinstall() -> None:
    walk = Walk().to(Stage.CONFIRM)
    walk.answer(Stage.CONFIRM, NOT_YET, observation(OLD)).tick(15 * MINUTE)
    assert walk.wants == (RunStage(Stage.REINSTALL),)
    assert walk.state.leftovers == (read(OLD).sha256,)
    walk.answer(Stage.REINSTALL, DONE).answer(Stage.INSPECT, DONE, observation(OLD, issued(walk.now)))
    assert walk.ended is Outcome.VERIFY_FAILED
    assert walk.state.leftovers == (read(OLD).sha256,)
    assert read(OLD).sha256 in walk.state.error


# --- reinstall -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [FAILED, NOT_YET, UNREACHABLE, UNKNOWN])
def test_a_device_that_does_not_get_its_profile_back_is_stranded_and_asked_for_ever(answer: StageAnswer) -> None:
    walk = Walk().to(Stage.REINSTALL)
    asked_at = walk.state.reinstall_asked_at
    walk.answer(Stage.REINSTALL, answer)
    assert (walk.outcome, walk.wants) == (None, ())
    walk.answer(Stage.REINSTALL, answer, after=2 * HOUR)
    assert walk.outcome is Outcome.STRANDED
    assert walk.ended is None
    for _ in range(50):
        assert walk.state.wake_at is not None
        pause = walk.state.wake_at - walk.now
        assert pause <= timedelta(minutes=15)
        assert walk.tick(pause).wants == (RunStage(Stage.REINSTALL),)
        walk.answer(Stage.REINSTALL, answer)
        assert walk.outcome is Outcome.STRANDED
    back = walk.answer(Stage.REINSTALL, DONE, after=DAY).last
    assert back.wants == (RunStage(Stage.INSPECT),)
    assert (back.remediation.outcome, back.remediation.error) == (None, "")
    assert back.remediation.reinstall_asked_at == asked_at
    proved = walk.answer(Stage.INSPECT, DONE, observation(issued(walk.now))).last
    assert proved.remediation.outcome is Outcome.AWAITING_REGISTRATION


def test_a_late_tick_calls_a_person_and_asks_again() -> None:
    walk = Walk().to(Stage.REINSTALL).answer(Stage.REINSTALL, NOT_YET).tick(3 * DAY)
    assert walk.outcome is Outcome.STRANDED
    assert walk.wants == (RunStage(Stage.REINSTALL),)


@pytest.mark.parametrize(
    "said",
    [
        record(excluded=True),
        record(removal_pending=True),
        record(profile_installed=False),
        record(removed_at=START + HOUR, installed_at=START + HOUR - MINUTE),
    ],
)
def test_only_an_install_later_than_the_removal_is_a_reinstall(said: Any) -> None:
    walk = Walk().to(Stage.REINSTALL).answer(Stage.REINSTALL, DONE, None, said)
    assert walk.state.owed_reinstall
    assert (walk.state.stage, walk.wants) == (Stage.REINSTALL, ())


def test_a_removal_that_only_the_reinstall_saw_is_noted() -> None:
    walk = Walk().to(Stage.UNINSTALL).answer(Stage.UNINSTALL, FAILED)
    said = record(removed_at=walk.now + MINUTE / 2, installed_at=walk.now + MINUTE)
    walk.answer(Stage.REINSTALL, DONE, None, said)
    assert walk.state.removed_at == said.removed_at


@pytest.mark.parametrize(
    ("removed_at", "noted"),
    [
        # One of months ago is another removal; one that lies ahead is the clock of the MDM.
        (START - 100 * DAY, START + 2 * MINUTE),
        (START + HOUR, START + 2 * MINUTE),
        (START + MINUTE + MINUTE / 2, START + MINUTE + MINUTE / 2),
    ],
)
def test_the_moment_of_the_removal_is_the_mdms_where_it_can_be(removed_at: datetime, noted: datetime) -> None:
    walk = Walk().to(Stage.UNINSTALL).answer(Stage.UNINSTALL, DONE, None, record(removed_at=removed_at))
    assert walk.state.removed_at == noted


@pytest.mark.parametrize(
    ("answer", "said", "outcome"),
    [
        (FAILED, record(last_seen_at=START + 3 * HOUR), Outcome.FAILED),
        (NOT_YET, record(last_seen_at=START - HOUR), Outcome.SILENT),
        (UNREACHABLE, None, Outcome.SILENT),
    ],
)
def test_an_install_that_does_not_come_strands_nobody(answer: StageAnswer, said: Any, outcome: Outcome) -> None:
    walk = Walk(remediation(planned("install_scep_profile", before=()))).answer(Stage.PREFLIGHT, DONE)
    walk.answer(Stage.REINSTALL, answer, None, said)
    assert walk.ended is None
    # Past the deadline it is looked at once more.
    assert walk.tick(2 * HOUR).wants == (RunStage(Stage.REINSTALL),)
    assert walk.answer(Stage.REINSTALL, answer, None, said).ended is outcome


# --- leftovers -----------------------------------------------------------------------------------------------------


def leftover_walk() -> Walk:
    device = planned("remove_leftover_certificates", remove=(read(OLD).sha256,))
    return Walk(remediation(device)).answer(Stage.PREFLIGHT, DONE)


def test_a_deletion_that_failed_before_it_began_changed_nothing() -> None:
    walk = leftover_walk().answer(Stage.REMOVE_LEFTOVERS, FAILED, effects=False)
    assert walk.ended is Outcome.FAILED


@pytest.mark.parametrize("facts", [{"effects": True}, {}])
def test_a_deletion_that_may_have_happened_is_looked_at(facts: Any) -> None:
    walk = leftover_walk().answer(Stage.REMOVE_LEFTOVERS, FAILED, **facts)
    assert walk.wants == (RunStage(Stage.INSPECT),)


def test_an_engine_that_slept_deletes_nothing_afterwards() -> None:
    walk = leftover_walk().answer(Stage.REMOVE_LEFTOVERS, NOT_YET)
    assert walk.state.wake_at is not None
    assert walk.tick(DAY).wants == (RunStage(Stage.INSPECT),)


def test_a_deletion_that_left_no_usable_certificate_is_told() -> None:
    walk = leftover_walk().answer(Stage.REMOVE_LEFTOVERS, DONE).answer(Stage.INSPECT, DONE, observation())
    assert walk.ended is Outcome.VERIFY_FAILED


# --- inspect -------------------------------------------------------------------------------------------------------


def test_a_disproved_certificate_fails_at_once() -> None:
    walk = Walk().to(Stage.INSPECT)
    walk.answer(Stage.INSPECT, DONE, observation(issued(walk.now, issuer=OTHER_CA)))
    assert walk.ended is Outcome.VERIFY_FAILED
    assert "not signed with the key of this org's CA" in walk.state.error


def test_a_certificate_that_has_not_come_is_waited_for_until_the_deadline() -> None:
    walk = Walk().to(Stage.INSPECT).answer(Stage.INSPECT, NOT_YET, observation(), waiting_for="a new certificate")
    assert (walk.ended, walk.wants, walk.state.waiting_for) == (None, (), "a new certificate")
    # The engine slept over the deadline: one more look.
    assert walk.tick(HOUR).wants == (RunStage(Stage.INSPECT),)
    walk.answer(Stage.INSPECT, NOT_YET, observation())
    assert walk.ended is Outcome.VERIFY_FAILED
    assert walk.state.error.startswith("not yet knowable: no new certificate")


def test_a_run_that_cannot_be_believed_proves_nothing_whatever_it_holds() -> None:
    walk = Walk().to(Stage.INSPECT)
    for answer in (UNKNOWN, FAILED, UNREACHABLE):
        walk.answer(Stage.INSPECT, answer, observation(issued(walk.now)))
        assert (walk.outcome, walk.wants) == (None, ())
    walk.answer(Stage.INSPECT, UNKNOWN, observation(issued(walk.now)), after=HOUR)
    assert walk.ended is Outcome.VERIFY_FAILED
    assert "could not be believed" in walk.state.error


def test_a_device_that_fell_silent_after_the_reinstall_is_called_silent() -> None:
    assert Walk().to(Stage.INSPECT).answer(Stage.INSPECT, UNREACHABLE, after=HOUR).ended is Outcome.SILENT


@pytest.mark.parametrize("broken", [{}, {"observed_at": 3}, [], "text", {"platform": "macos"}])
def test_facts_that_cannot_be_read_are_not_known(broken: Any) -> None:
    walk = Walk().to(Stage.INSPECT)
    walk.now += MINUTE
    walk.send(Answered(StageResult(Stage.INSPECT, DONE, "", {"observation": broken})))
    assert (walk.outcome, walk.wants) == (None, ())


def test_where_nobody_saw_a_removal_and_nothing_changed_nothing_was_removed() -> None:
    walk = Walk().to(Stage.UNINSTALL).answer(Stage.UNINSTALL, FAILED, effects=False)
    walk.answer(Stage.REINSTALL, DONE, None, record(installed_at=START - 100 * DAY))
    walk.answer(Stage.INSPECT, NOT_YET, observation(OLD))
    assert walk.ended is Outcome.FAILED
    assert walk.state.error.startswith("nothing was removed")


@pytest.mark.parametrize(
    "seen",
    [observation(OLD, complete=False), observation(OLD, identity=replace(IDENTITY, serial_number="C02OTHER1234"))],
)
def test_a_cut_listing_or_another_device_does_not_say_that_nothing_was_removed(seen: Any) -> None:
    walk = Walk().to(Stage.UNINSTALL).answer(Stage.UNINSTALL, FAILED).answer(Stage.REINSTALL, DONE)
    assert walk.answer(Stage.INSPECT, NOT_YET, seen).ended is None


def test_where_there_was_nothing_to_remove_a_new_one_is_waited_for_first() -> None:
    walk = Walk(remediation(planned(before=()))).to(Stage.UNINSTALL).answer(Stage.UNINSTALL, FAILED)
    walk.answer(Stage.REINSTALL, DONE).answer(Stage.INSPECT, NOT_YET, observation())
    assert walk.ended is None
    assert walk.answer(Stage.INSPECT, NOT_YET, observation(), after=HOUR).ended is Outcome.FAILED


def test_an_old_certificate_after_a_seen_removal_is_a_failure_to_verify() -> None:
    walk = Walk().to(Stage.INSPECT).answer(Stage.INSPECT, NOT_YET, observation(OLD))
    assert walk.ended is Outcome.VERIFY_FAILED


def test_without_an_issuer_certificate_the_issuer_is_named_as_not_checked() -> None:
    walk = Walk().to(Stage.INSPECT)
    seen = observation(issued(walk.now, issuer=OTHER_CA))
    decision = decide(walk.state, Answered(result(Stage.INSPECT, DONE, seen)), walk.now, POLICY)
    assert decision.remediation.outcome is Outcome.AWAITING_REGISTRATION
    assert "no issuer certificate is set" in says(decision.remediation.proofs, "unknown")


def test_the_weakest_grade_waits_for_a_better_proof_until_the_deadline() -> None:
    walk = Walk(remediation(proof_grade=ProofGrade.COMMAND)).to(Stage.REINSTALL)
    walk.answer(Stage.REINSTALL, DONE, None, record(installed_at=walk.now))
    assert walk.answer(Stage.INSPECT, UNREACHABLE).outcome is None
    walk.answer(Stage.INSPECT, UNREACHABLE, after=HOUR)
    assert walk.outcome is Outcome.AWAITING_REGISTRATION
    assert "acknowledged the profile's install" in says(walk.state.proofs, "yes")


def test_the_weakest_grade_does_not_outweigh_the_device() -> None:
    walk = Walk(remediation(proof_grade=ProofGrade.COMMAND)).to(Stage.REINSTALL)
    walk.answer(Stage.REINSTALL, DONE, None, record(installed_at=walk.now))
    walk.answer(Stage.INSPECT, DONE, observation(issued(walk.now, issuer=OTHER_CA)), after=HOUR)
    assert walk.ended is Outcome.VERIFY_FAILED


# --- registration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [False, None])
def test_a_person_who_never_signs_in_lets_it_expire(seen: bool | None) -> None:
    walk = Walk().to(Stage.REGISTRATION)
    assert walk.tick(29 * DAY).send(RegistrationSeen(seen)).outcome is Outcome.AWAITING_REGISTRATION
    # Past the deadline Okta is asked once more.
    assert walk.tick(2 * DAY).wants == (LookForRegistration(),)
    assert walk.send(RegistrationSeen(seen)).ended is Outcome.EXPIRED
    assert walk.state.proofs


def test_okta_is_asked_ever_more_rarely() -> None:
    walk = Walk().to(Stage.REGISTRATION)
    asked = 0
    while walk.now < START + 2 * DAY:
        assert walk.state.wake_at is not None
        walk.tick(walk.state.wake_at - walk.now).send(RegistrationSeen(False))
        asked += 1
    assert 4 * 24 * 2 < asked < 4 * 24 * 2 + 60


# --- time, doubles and late comers ----------------------------------------------------------------------------------


def test_a_tick_that_comes_too_early_changes_nothing() -> None:
    walk = Walk().answer(Stage.PREFLIGHT, NOT_YET)
    before = walk.state
    assert walk.tick(timedelta(seconds=1)).last == Decision(before)


def test_a_new_certificate_is_waited_for_until_the_next_line_of_a_collector() -> None:
    walk = Walk().to(Stage.INSPECT)
    collected = replace(walk.state.device, connection={"scepfix_channel": "collector"})

    assert deadline(walk.state, POLICY) - walk.now == timedelta(minutes=POLICY.inspect_minutes)
    assert deadline(replace(walk.state, device=collected), POLICY) - walk.now == timedelta(hours=26)


@pytest.mark.parametrize("stage", [Stage.UNINSTALL, Stage.REINSTALL])
def test_while_the_mdm_waits_the_device_is_nudged_again_every_few_minutes(stage: Stage) -> None:
    walk, nudges = Walk().to(stage), []
    for _ in range(10):
        walk.answer(stage, NOT_YET, after=timedelta()).tick(MINUTE)
        assert walk.wants == (RunStage(stage),)
        nudges.append(walk.state.nudge)

    assert [number for number, nudged in enumerate(nudges, 1) if nudged] == [5, 10]
    walk.answer(stage, DONE)
    assert not walk.state.nudge


@pytest.mark.parametrize(("stage", "pause"), [(Stage.UNINSTALL, 60), (Stage.REINSTALL, 180)])
def test_looks_grow_rarer_but_not_while_the_profile_may_be_away(stage: Stage, pause: int) -> None:
    walk = Walk().to(stage).answer(stage, NOT_YET, after=30 * MINUTE)

    assert walk.state.wake_at == walk.now + timedelta(seconds=pause)


@pytest.mark.parametrize("stage", [Stage.PREFLIGHT, Stage.UNINSTALL, Stage.CONFIRM, Stage.REINSTALL])
def test_the_answer_of_another_stage_moves_nothing(stage: Stage) -> None:
    walk = Walk().to(Stage.INSPECT).answer(stage, DONE)
    assert (walk.state.stage, walk.wants) == (Stage.INSPECT, ())
    # The answer that is being waited for may be lost.
    assert walk.state.wake_at == walk.now + timedelta(seconds=POLICY.poll_seconds)


def test_a_registration_is_nothing_before_the_certificate_is_proved() -> None:
    assert Walk().to(Stage.INSPECT).send(RegistrationSeen(True)).state.stage is Stage.INSPECT


@pytest.mark.parametrize("event", [Begin(), Tick(), RegistrationSeen(True), Answered(result(Stage.INSPECT, DONE))])
def test_what_is_over_stays_over(event: Any) -> None:
    walk = Walk().answer(Stage.PREFLIGHT, UNREACHABLE)
    before = walk.state
    walk.now += DAY
    assert walk.send(event).last == Decision(before)


def test_a_clock_that_is_set_back_stretches_no_wait() -> None:
    walk = Walk().to(Stage.UNINSTALL).answer(Stage.UNINSTALL, NOT_YET)
    walk.tick(-30 * DAY)
    assert walk.wants == (RunStage(Stage.UNINSTALL),)
    assert deadline(walk.state, POLICY) == walk.now + HOUR


def test_seq_grows_by_one_with_each_change() -> None:
    walk = Walk()
    assert walk.state.seq == 1
    assert walk.to(Stage.REGISTRATION).state.seq == 6


# --- runs that were written down and never started -------------------------------------------------------------------


def test_a_removal_is_not_started_hours_after_it_was_decided() -> None:
    walk = Walk().to(Stage.UNINSTALL)
    assert may_start(walk.state, Stage.UNINSTALL, walk.now + MINUTE, POLICY)
    assert not may_start(walk.state, Stage.UNINSTALL, walk.now + HOUR, POLICY)
    assert not may_start(walk.state, Stage.PREFLIGHT, walk.now, POLICY)


def test_nothing_holds_back_a_reinstall() -> None:
    walk = Walk().to(Stage.REINSTALL)
    assert may_start(walk.state, Stage.REINSTALL, walk.now + 300 * DAY, POLICY)


# --- promises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": Outcome.FAILED}, "still owed"),
        ({"wake_at": None}, "nothing would ever go on"),
        ({"removal_asked_at": None, "wake_at": START}, "a removal was forgotten"),
        ({"stage": Stage.PREFLIGHT, "wake_at": START}, "back to an earlier stage"),
    ],
)
def test_a_decision_that_breaks_a_promise_is_a_mistake_of_ours(change: Any, words: str) -> None:
    before = Walk().to(Stage.UNINSTALL).state
    with pytest.raises(BrokenPromiseError, match=words):
        _keep_promises(before, replace(before, **change), ())


def test_a_removal_that_is_not_written_down_is_a_mistake_of_ours() -> None:
    before = Walk().state
    with pytest.raises(BrokenPromiseError, match="not written down"):
        _keep_promises(before, before, (RunStage(Stage.UNINSTALL),))
