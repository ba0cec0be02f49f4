"""The use *go on with the repairs of a plan*: the story of the engine, from what is stored to what is done.

Load the remediations. Let ``decide`` say of each what is next. Write that down. Do it, or, where it was begun before an
interruption, find out what became of it. Write down what came out, together with what follows from it. Again, until
everything has ended or waits for a person. What is not written down is not done; what was written down and has no
outcome is looked at before anything is done again. Runs are processes of their own: whoever interrupts this loop, at
any point and in any way, leaves nothing behind that calling it again does not finish.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from scepfix.domain.certificate import Certificate
from scepfix.domain.errors import RefusedError, ScepfixError
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import EffectClass, Intent, Outcome, Remediation, Stage, StageAnswer, StageResult
from scepfix.domain.run import RunDevice
from scepfix.parsers.connection_values import channel_of
from scepfix.service.ports import Clock, Okta, PlaybookRunner, RunRequest, Store
from scepfix.workflow.decide import (
    Answered,
    Begin,
    Decision,
    Event,
    LookForRegistration,
    RegistrationSeen,
    RunStage,
    Tick,
    decide,
    may_start,
)

#: The most devices of one stage run: one intent, one folder, one change of the exclusion group.
CHUNK = 100
#: Runs that look at devices and go on side by side; each has its own forks.
SIDE_BY_SIDE = 4
#: Stages that change the exclusion group: one at a time, and what brings a profile back comes first.
_GROUP_STAGES = (Stage.REINSTALL, Stage.UNINSTALL)
#: How long a re-install waits for another change of the group, which takes seconds.
_LONGEST_GROUP_WAIT = timedelta(seconds=30)
#: What an interrupted run leaves unknown can be asked of the MDM, or asking for it again changes nothing.
_EFFECTS = {Stage.UNINSTALL: EffectClass.QUERYABLE, Stage.REINSTALL: EffectClass.QUERYABLE}
#: Open still, and nothing that this loop would wait for: a person signs in, or a person is called.
_LEFT_TO_PEOPLE = (Outcome.AWAITING_REGISTRATION, Outcome.STRANDED)


class Doing(StrEnum):
    """What the engine is doing with some devices."""

    RUNNING = "running"
    FOUND_RUNNING = "found-running"
    CHANGED = "changed"
    WAITING = "waiting"
    GROUP_BUSY = "group-busy"


@dataclass(frozen=True, slots=True)
class Progress:
    """``remediations`` say stage, since when, and what is waited for; ``until`` is the next look."""

    doing: Doing
    remediations: tuple[Remediation, ...]
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hands:
    """What the engine works with. ``runs`` holds the run folders; ``issuers`` are the certificates of this org's CA."""

    store: Store
    runner: PlaybookRunner
    clock: Clock
    policy: RepairPolicy
    runs: Path
    okta: Okta | None = None
    issuers: tuple[Certificate, ...] = ()
    tell: Callable[[Progress], None] = lambda progress: None


def advance(digest: str, hands: Hands) -> tuple[Remediation, ...]:
    """Given the digest of a plan whose remediations are begun, go on with them; return all of them.

    Comes back when each has ended, awaits the person's registration, or is stranded (and was asked about once more).
    Raise RefusedError where another process goes on with this plan. KeyboardInterrupt leaves the runs going: call it
    again.
    """
    with hands.store.hold(f"plan-{digest}") as held:
        if not held:
            raise RefusedError(
                "plan-busy",
                "another scepfix is working on this plan",
                where=digest,
                hint="wait for it; it is safe to interrupt it and to run this again",
            )
        _Engine(digest, hands).run()
    return hands.store.remediations(digest)


class _Engine:
    def __init__(self, digest: str, hands: Hands) -> None:
        self._digest = digest
        self._hands = hands
        self._store, self._runner, self._clock = hands.store, hands.runner, hands.clock

    def run(self) -> None:
        self._look_at_once()
        while True:
            remediations = self._store.remediations(self._digest)
            intents = self._store.open_intents([one.id for one in remediations])
            running = {member for intent in intents for member in intent.remediations}
            idle = [one for one in remediations if one.open and one.id not in running]
            due = [one for one in idle if one.wake_at is None or one.wake_at <= self._clock.now()]
            waiting = [one for one in idle if one.outcome not in _LEFT_TO_PEOPLE]
            if due:
                self._decide(due)
            elif intents:
                self._carry_on(intents, _earliest(waiting))
            elif waiting:
                self._sleep(waiting)
            else:
                return

    # --- decide ---------------------------------------------------------------------------------------------------

    def _decide(self, due: Sequence[Remediation]) -> None:
        """Say of those whose time has come what is next, and write it down."""
        decisions = [self._decision(one, Tick() if one.started_at else Begin()) for one in due]
        changed = _changed(due, decisions)
        self._store.commit(changed, self._intents(decisions))
        self._tell(Doing.CHANGED, changed)
        for decision in decisions:
            if LookForRegistration() in decision.wants:
                self._look(decision.remediation)

    def _decision(self, remediation: Remediation, event: Event) -> Decision:
        hands = self._hands
        return decide(remediation, event, self._clock.now(), hands.policy, issuers=hands.issuers)

    def _intents(self, decisions: Sequence[Decision]) -> list[Intent]:
        """Return one intent for each stage and chunk of devices that want it."""
        wanted: dict[Stage, list[str]] = {}
        for decision in decisions:
            for want in decision.wants:
                if isinstance(want, RunStage):
                    wanted.setdefault(want.stage, []).append(decision.remediation.id)
        return [
            Intent(
                id=f"{stage.value}-{uuid.uuid4().hex[:12]}",
                stage=stage,
                remediations=tuple(members[first : first + CHUNK]),
                effect_class=_EFFECTS.get(stage, EffectClass.IDEMPOTENT),
                state="written",
                written_at=self._clock.now(),
            )
            for stage, members in wanted.items()
            for first in range(0, len(members), CHUNK)
        ]

    # --- perform or observe ---------------------------------------------------------------------------------------

    def _carry_on(self, intents: Sequence[Intent], until: datetime | None) -> None:
        """Start what was written down, find again what was started, and write down what came out of what has ended.

        Comes back after the first ends, or at the moment given.
        """
        running: list[Intent] = []
        for intent in intents:
            if intent.stage not in _GROUP_STAGES and len(running) < SIDE_BY_SIDE and self._begin_or_find(intent):
                running.append(intent)
        changed_group = False
        for intent in sorted(_of_the_group(intents), key=lambda intent: _GROUP_STAGES.index(intent.stage)):
            if self._has_ended(intent):
                # What a run left behind is read whoever changes the group just now.
                self._tell(Doing.FOUND_RUNNING, self._members(intent))
                self._finish(intent, self._results(intent))
                changed_group = True
                continue
            with self._store.hold("exclusion-group") as held:
                # Nothing holds back a re-install, not even a scepfix that was stopped in the middle of a change:
                # leaving the group is safe beside any other change of it.
                if (held or self._waits_too_long(intent)) and self._begin_or_find(intent):
                    self._wait_for([intent], None)
                    held = True
                if not held:
                    self._tell(Doing.GROUP_BUSY, self._members(intent))
                changed_group |= held
        if running:
            self._wait_for(running, until)
        elif not changed_group:
            # Another plan's run changes the group just now; that takes seconds.
            self._clock.sleep(0.5)

    def _has_ended(self, intent: Intent) -> bool:
        folder = self._folder(intent)
        return intent.state == "started" and self._runner.started(folder) and self._runner.wait(folder, 0)

    def _waits_too_long(self, intent: Intent) -> bool:
        return intent.stage is Stage.REINSTALL and self._clock.now() - intent.written_at > _LONGEST_GROUP_WAIT

    def _begin_or_find(self, intent: Intent) -> bool:
        """See to it that the run of an intent goes on or has ended; False where it must not be begun any more.

        The plan is held by this process alone, so an intent that is ``started`` and has no trace of a run was claimed
        by a process that died before it could start anything.
        """
        members = self._members(intent)
        if intent.state == "started" and self._runner.started(self._folder(intent)):
            self._tell(Doing.FOUND_RUNNING, members)
            return True
        now = self._clock.now()
        if intent.state == "written" and not self._store.claim(intent.id, now):
            return False
        if not all(may_start(one, intent.stage, now, self._hands.policy) for one in members):
            too_late = StageResult(intent.stage, StageAnswer.UNKNOWN, facts={"error": "the run was not begun in time"})
            self._finish(intent, {one.id: too_late for one in members})
            return False
        self._runner.start(self._request(intent, members))
        self._tell(Doing.RUNNING, members)
        return True

    def _request(self, intent: Intent, members: Sequence[Remediation]) -> RunRequest:
        return RunRequest(
            folder=self._folder(intent),
            ident=intent.id,
            playbook=f"scepfix.device_access.stages.{intent.stage.value.replace('-', '_')}",
            stage=intent.stage.value,
            connections={one.device.host: one.device.connection for one in members},
            devices={one.device.host: _run_device(one).as_document() for one in members},
        )

    def _wait_for(self, intents: Sequence[Intent], until: datetime | None) -> None:
        """Wait until a run has ended, or until the moment given; write down what came out of each that has."""
        while True:
            ended = [intent for intent in intents if self._runner.wait(self._folder(intent), 0)]
            for intent in ended:
                self._finish(intent, self._results(intent))
            if ended or (until is not None and self._clock.now() >= until):
                return
            self._runner.wait(self._folder(intents[0]), 1.0 if len(intents) == 1 else 0.1)

    def _results(self, intent: Intent) -> dict[str, StageResult]:
        members = self._members(intent)
        answers = self._runner.results(self._folder(intent), [one.device.host for one in members], intent.stage)
        return {one.id: answers[one.device.host] for one in members}

    def _finish(self, intent: Intent, results: dict[str, StageResult]) -> None:
        """Write down what came out of a run and what follows from it, in one transaction."""
        members = [one for one in self._members(intent) if one.open]
        decisions = [self._decision(one, Answered(results[one.id])) for one in members]
        changed = _changed(members, decisions)
        self._store.finish(intent.id, results, changed, self._clock.now(), self._intents(decisions))
        if all(one.answer is StageAnswer.NOT_YET for one in results.values()):
            # A look that found nothing new: there is one a quarter of a minute, and all it said is in the store.
            self._runner.forget_look(self._folder(intent))
        self._tell(Doing.CHANGED, changed)

    def _members(self, intent: Intent) -> list[Remediation]:
        stored = {one.id: one for one in self._store.remediations(self._digest)}
        return [stored[member] for member in intent.remediations]

    def _folder(self, intent: Intent) -> Path:
        return self._hands.runs / intent.id

    # --- look for registrations -----------------------------------------------------------------------------------

    def _look_at_once(self) -> None:
        """Whoever calls again wants to know now whether the person has registered."""
        for one in self._store.remediations(self._digest, only_open=True):
            if one.stage is Stage.REGISTRATION:
                self._look(one)

    def _look(self, remediation: Remediation) -> None:
        """Ask Okta whether the person has registered since the repair, and write down what follows."""
        decision = self._decision(remediation, RegistrationSeen(self._registered(remediation)))
        changed = _changed([remediation], [decision])
        self._store.commit(changed, self._intents([decision]))
        self._tell(Doing.CHANGED, changed)

    def _registered(self, remediation: Remediation) -> bool | None:
        since = remediation.reinstalled_at or remediation.stage_started_at
        if self._hands.okta is None or since is None:
            return None
        try:
            return self._hands.okta.registered(remediation.device.identity, remediation.device.person, since)
        except ScepfixError:
            # An Okta that does not answer is asked again at the next look; it changes nothing about the device.
            return None

    # --- wait -----------------------------------------------------------------------------------------------------

    def _sleep(self, waiting: Sequence[Remediation]) -> None:
        until = _earliest(waiting)
        now = self._clock.now()
        self._hands.tell(Progress(Doing.WAITING, tuple(waiting), now, until))
        self._clock.sleep((until - now).total_seconds() if until else 0)

    def _tell(self, doing: Doing, remediations: Sequence[Remediation]) -> None:
        if remediations:
            self._hands.tell(Progress(doing, tuple(remediations), self._clock.now()))


def _run_device(remediation: Remediation) -> RunDevice:
    """Return what run.json says of a device. That a removal was asked for stands in the store before its run starts."""
    device = remediation.device
    return RunDevice(
        name=device.name,
        platform=device.platform,
        identity=device.identity,
        before=device.before,
        remove=device.remove,
        playbook=device.playbook,
        removal_asked_at=remediation.removal_asked_at,
        removed_at=remediation.removed_at,
        installed_before=remediation.installed_before,
        seen_excluded=remediation.seen_excluded,
        nudge=remediation.nudge,
        channel=channel_of(device.connection),
    )


def _of_the_group(intents: Sequence[Intent]) -> list[Intent]:
    return [intent for intent in intents if intent.stage in _GROUP_STAGES]


def _changed(before: Sequence[Remediation], decisions: Sequence[Decision]) -> list[Remediation]:
    return [
        decision.remediation
        for one, decision in zip(before, decisions, strict=True)
        if decision.remediation.seq != one.seq
    ]


def _earliest(waiting: Sequence[Remediation]) -> datetime | None:
    return min((one.wake_at for one in waiting if one.wake_at is not None), default=None)
