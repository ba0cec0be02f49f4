"""The promises of a device transaction, whatever events come, in whatever order, at whatever times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.workflow.repair_factory import (
    IDENTITY,
    ISSUERS,
    OLD,
    OTHER_CA,
    START,
    issued,
    known,
    observation,
    planned,
    record,
    remediation,
    result,
    stored,
)

from scepfix.domain.device import Observation
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import STAGES, Outcome, Remediation, Stage, StageAnswer
from scepfix.workflow.decide import Answered, Begin, Decision, RegistrationSeen, RunStage, Tick, deadline, decide

#: Long polls: what is tested is order, not how often.
POLICY = RepairPolicy(poll_seconds=300, put_back_after_hours=2, uninstall_minutes=90, confirm_minutes=60)
#: Both stages, each poll that may stand beyond them, and the runs themselves.
WITHIN = timedelta(hours=2) + timedelta(minutes=15)
RUN = timedelta(seconds=20)
SEEN = (
    *("good", "good", "nothing", "old", "leftover", "wrong CA", "expired", "not yet", "same key", "no key", "login"),
    *("two", "cut", "other device", "garbage", "none"),
)
OLD_SHA256 = known(OLD).sha256
#: What is good for a repair that removes nothing, or removes by name and needs no new certificate.
GOOD_TOO = {"install_scep_profile": {"leftover"}, "remove_leftover_certificates": {"two", "same key"}}


def reading(kind: str, now: datetime) -> Observation | None:
    """Return what a device says; only ``good`` may ever be called proved."""
    new = issued(now)
    found: dict[str, Observation | None] = {
        "good": observation(new),
        "nothing": observation(),
        "old": observation(OLD),
        "leftover": observation(OLD, new),
        "wrong CA": observation(issued(now, issuer=OTHER_CA)),
        "expired": observation(issued(now - timedelta(minutes=2), not_after=now - timedelta(minutes=1))),
        "not yet": observation(issued(now + timedelta(hours=1))),
        "same key": observation(issued(now, number=3)),
        "no key": observation(stored(new, private_key=False)),
        "login": observation(stored(new, "login:alice")),
        "two": observation(new, issued(now, number=8)),
        "cut": observation(new, complete=False),
        "other device": observation(new, identity=replace(IDENTITY, serial_number="C02OTHER1234")),
    }
    return found.get(kind)


class Repair(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.state: Remediation = remediation()
        self.last = Decision(self.state)
        self.asked: list[Stage] = []
        self.seen_good = False

    @initialize(
        playbook=st.sampled_from(["reinstall_scep_profile", *sorted(STAGES)]),
        grade=st.sampled_from([ProofGrade.CERTIFICATE, ProofGrade.MDM]),
        good_answers=st.integers(0, 4),
    )
    def start(self, playbook: str, grade: ProofGrade, good_answers: int) -> None:
        """Most orders of events end in the first stage, so some of the way is gone beforehand."""
        remove = (OLD_SHA256,) if playbook == "remove_leftover_certificates" else ()
        self.state = remediation(planned(playbook, remove=remove), proof_grade=grade)
        self.send(Begin())
        for stage in STAGES[playbook][:good_answers]:
            if stage not in (Stage.INSPECT, Stage.REGISTRATION):
                self.send(Answered(result(stage, StageAnswer.DONE)))

    def send(self, event: Any) -> None:
        before = self.state
        self.last = decide(before, event, self.now, POLICY, issuers=ISSUERS)
        self.state = self.last.remediation
        changed = self.state != before or bool(self.last.wants)
        assert self.state.seq == before.seq + changed
        self.asked += [want.stage for want in self.last.wants if isinstance(want, RunStage)]
        if self.state.outcome in (Outcome.AWAITING_REGISTRATION, Outcome.VERIFIED):
            assert self.seen_good

    @rule(seconds=st.one_of(st.integers(0, 1200), st.integers(0, 3 * 86400), st.integers(-86400, 0)))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def tick(self) -> None:
        self.send(Tick())

    @precondition(lambda self: self.state.wake_at is not None)
    @rule()
    def tick_in_time(self) -> None:
        assert self.state.wake_at is not None
        self.now = max(self.now, self.state.wake_at)
        self.send(Tick())

    @precondition(lambda self: self.state.open)
    @rule(seconds=st.integers(0, 600))
    def tick_at_the_deadline(self, seconds: int) -> None:
        self.now = max(self.now, deadline(self.state, POLICY) + timedelta(seconds=seconds))
        self.send(Tick())

    @rule()
    def begin_again(self) -> None:
        self.send(Begin())

    @rule(
        stage=st.one_of(st.none(), st.sampled_from(Stage)),
        answer=st.one_of(st.just(StageAnswer.DONE), st.sampled_from(StageAnswer)),
        kind=st.sampled_from(SEEN),
        effects=st.booleans(),
        refused=st.booleans(),
        excluded=st.sampled_from([None, False, False, True]),
    )
    def answer(
        self, stage: Stage | None, answer: StageAnswer, kind: str, effects: bool, refused: bool, excluded: bool | None
    ) -> None:
        stage = stage or self.state.stage
        facts: dict[str, Any] = {"effects": effects}
        if refused:
            facts["refusals"] = [{"code": "silent", "text": "not seen"}]
        if kind == "garbage":
            facts["observation"] = {"platform": "macos", "certificates": 3}
        seen = None if stage is Stage.PREFLIGHT else reading(kind, self.now)
        mdm: MdmDevice | None = None if excluded is None else record(excluded=excluded, installed_at=self.now)
        good = kind == "good" or kind in GOOD_TOO.get(self.state.device.playbook, ())
        believed = answer in (StageAnswer.DONE, StageAnswer.NOT_YET)
        proved_before = self.state.outcome in (Outcome.AWAITING_REGISTRATION, Outcome.VERIFIED)
        self.seen_good = proved_before or (stage is Stage.INSPECT and good and believed)
        self.send(Answered(result(stage, answer, seen, mdm, **facts)))

    @rule(registered=st.sampled_from([True, False, None]))
    def registration(self, registered: bool | None) -> None:
        self.send(RegistrationSeen(registered))

    @invariant()
    def who_is_owed_a_reinstall_is_never_left(self) -> None:
        if self.state.owed_reinstall:
            assert self.state.open
            assert self.state.ended_at is None
            assert self.state.wake_at is not None or self.asked

    @invariant()
    def an_open_repair_goes_on(self) -> None:
        if self.state.open and self.last.remediation is self.state and self.state.seq:
            assert self.last.wants or self.state.wake_at is not None

    @invariant()
    def nothing_is_removed_after_the_reinstall_was_asked_for(self) -> None:
        if Stage.REINSTALL in self.asked:
            later = self.asked[self.asked.index(Stage.REINSTALL) :]
            assert not {Stage.UNINSTALL, Stage.PREFLIGHT, Stage.CONFIRM}.intersection(later)

    @invariant()
    def what_may_be_removed_was_written_down(self) -> None:
        if Stage.UNINSTALL in self.asked:
            assert self.state.removal_asked_at is not None

    @invariant()
    def an_end_has_a_time_and_no_wake(self) -> None:
        assert self.state.open == (self.state.ended_at is None)
        if not self.state.open:
            assert self.state.wake_at is None

    @invariant()
    def the_store_keeps_all_of_it(self) -> None:
        assert Remediation.from_row(self.state.as_row()) == self.state

    def teardown(self) -> None:
        """From wherever this ended: with runs that say nothing and time alone, the re-install is asked for."""
        if self.state.removal_asked_at is None or self.state.stage not in (Stage.UNINSTALL, Stage.CONFIRM):
            return
        removal_asked_at, begun = self.state.removal_asked_at, self.now
        while Stage.REINSTALL not in self.asked:
            if self.last.wants:
                self.now += RUN
                self.send(Answered(result(self.state.stage, StageAnswer.UNKNOWN)))
            else:
                assert self.state.wake_at is not None
                self.now = max(self.now, self.state.wake_at)
                self.send(Tick())
            assert self.now <= max(begun, removal_asked_at) + WITHIN
        assert self.state.reinstall_asked_at is not None


Repair.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestRepair = pytest.mark.slow(Repair.TestCase)
