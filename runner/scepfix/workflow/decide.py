"""Decide what happens next to one device: remediation and event in, remediation and wants out. Nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Observation
from scepfix.domain.diagnosis import Answer
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import (
    STAGES,
    Outcome,
    Proof,
    Remediation,
    Stage,
    StageAnswer,
    StageResult,
)
from scepfix.domain.run import COLLECTOR, LINE_HOURS
from scepfix.parsers.connection_values import channel_of
from scepfix.workflow.certificates import holding, leftovers, not_planned
from scepfix.workflow.predict import actual_of
from scepfix.workflow.proof import Proved, mdm_proof, prove, prove_removed

#: Looks grow rarer the longer a wait lasts, but never rarer than this.
LONGEST_WAIT = timedelta(minutes=15)
#: While the profile may be away a look comes at least so often: a device whose certificates are gone is owed its
#: re-install at once.
LONGEST_WAIT_WHILE_AWAY = timedelta(minutes=1)
#: An MDM may take minutes to act on a group change, so that the nudge beside the change came too early.
_NUDGE_AGAIN = timedelta(minutes=5)
#: A look comes late by at most this part of what has passed already.
_PART_OF_WAIT = 10
_TEXT = 500
_DENIED = "the settings say that this device or person is never repaired"

_REMOVING = (Stage.UNINSTALL, Stage.REMOVE_LEFTOVERS)
#: What follows a removal that must not go on.
_PUTS_RIGHT: Mapping[Stage, Stage] = {Stage.UNINSTALL: Stage.REINSTALL, Stage.REMOVE_LEFTOVERS: Stage.INSPECT}
_RUNNING: Mapping[Stage, str] = {
    Stage.PREFLIGHT: "a look at the device and its MDM record before anything is changed",
    Stage.UNINSTALL: "the profile to go",
    Stage.CONFIRM: "the certificates to go",
    Stage.REINSTALL: "the profile to come back",
    Stage.INSPECT: "the new certificate",
    Stage.REMOVE_LEFTOVERS: "the leftover certificates to go",
    Stage.REGISTRATION: "the person to sign in online",
}


@dataclass(frozen=True, slots=True)
class Begin:
    """The plan was approved: start."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A stage run ended and said this of the device."""

    result: StageResult


@dataclass(frozen=True, slots=True)
class RegistrationSeen:
    """Okta was asked whether the person registered; None where it could not tell."""

    registered: bool | None


@dataclass(frozen=True, slots=True)
class RunStage:
    """Run this stage's playbook for the device."""

    stage: Stage


@dataclass(frozen=True, slots=True)
class LookForRegistration:
    """Ask Okta whether the person registered."""


Event: TypeAlias = Begin | Tick | Answered | RegistrationSeen
Want: TypeAlias = RunStage | LookForRegistration


@dataclass(frozen=True, slots=True)
class Decision:
    """The remediation from now on, and what is wanted; no want means: wait until ``wake_at``, or it is over."""

    remediation: Remediation
    wants: tuple[Want, ...] = ()


class BrokenPromiseError(Exception):
    """``decide`` was about to leave a device behind: a mistake in scepfix, never caught with what a person causes."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What a decision rests on beside remediation and event."""

    now: datetime
    policy: RepairPolicy
    issuers: Sequence[Certificate]


def decide(
    remediation: Remediation,
    event: Event,
    now: datetime,
    policy: RepairPolicy,
    *,
    issuers: Sequence[Certificate] = (),
) -> Decision:
    """Given a remediation, what happened and an aware moment, return what it is from now on and what is wanted.

    ``issuers`` are the certificates of this org's Device Access CA. ``seq`` grows by one where anything changes or is
    wanted; an event that means nothing (late, doubled, too early) changes nothing. A Tick while a run is under way asks
    for it again, so send it only where none is. Raise BrokenPromiseError where the result would break the promises of
    docs/decisions/2026-11-24-device-transaction.md.
    """
    given = _Given(now, policy, issuers)
    decision = _next(_on_this_clock(remediation, now), event, given)
    if decision.remediation == remediation and not decision.wants:
        return decision
    changed = replace(decision.remediation, seq=remediation.seq + 1)
    _keep_promises(remediation, changed, decision.wants)
    return Decision(changed, decision.wants)


def deadline(remediation: Remediation, policy: RepairPolicy) -> datetime:
    """Return the moment at which the present stage has had its time. The device must have begun.

    While the profile may be away, no stage has longer than what is left of ``put_back_after_hours``.
    """
    stage = remediation.stage
    lasts: Mapping[Stage, timedelta] = {
        Stage.PREFLIGHT: timedelta(minutes=policy.preflight_minutes),
        Stage.UNINSTALL: timedelta(minutes=policy.uninstall_minutes),
        Stage.CONFIRM: timedelta(minutes=policy.confirm_minutes),
        Stage.REINSTALL: timedelta(minutes=policy.reinstall_minutes),
        Stage.INSPECT: timedelta(minutes=policy.inspect_minutes),
        Stage.REMOVE_LEFTOVERS: timedelta(minutes=policy.uninstall_minutes),
        Stage.REGISTRATION: timedelta(days=policy.registration_days),
    }
    ends = _since(remediation.stage_started_at) + lasts[stage]
    if stage is Stage.INSPECT and channel_of(remediation.device.connection) == COLLECTOR:
        # The next line comes with the next inventory.
        ends = max(ends, _since(remediation.stage_started_at) + timedelta(hours=LINE_HOURS))
    if stage in (Stage.UNINSTALL, Stage.CONFIRM):
        return min(ends, _since(remediation.removal_asked_at) + timedelta(hours=policy.put_back_after_hours))
    return ends


def may_start(remediation: Remediation, stage: Stage, now: datetime, policy: RepairPolicy) -> bool:
    """Given a stage run that was written down and not started, tell whether it may still be.

    One that removes something must not start hours after it was decided: what it rests on is old, and the approval may
    have expired. Such a run counts as ``unknown``. Nothing holds back any other.
    """
    if stage is not remediation.stage or not remediation.open:
        return False
    return stage not in _REMOVING or (now < deadline(remediation, policy) and not _held_back(remediation, policy))


# --- events --------------------------------------------------------------------------------------------------------


def _next(remediation: Remediation, event: Event, given: _Given) -> Decision:
    if not remediation.open:
        return Decision(remediation)
    if remediation.started_at is None:
        return _begin(remediation, given)
    if isinstance(event, Answered):
        if event.result.stage is remediation.stage and remediation.stage in _ANSWERED:
            return _ANSWERED[remediation.stage](remediation, event.result, given)
    elif isinstance(event, RegistrationSeen):
        if remediation.stage is Stage.REGISTRATION:
            return _registration_seen(remediation, event.registered, given)
    elif _due(remediation, given):
        return _on_waking(remediation, given)
    # Late, doubled or too early. If an answer is being waited for it may be lost, so look again in a while.
    return Decision(remediation) if remediation.wake_at else _wait(remediation, given, remediation.waiting_for)


def _begin(remediation: Remediation, given: _Given) -> Decision:
    device = remediation.device
    begun = replace(remediation, started_at=given.now, stage_started_at=given.now)
    if _denied(begun, given.policy):
        return _end(begun, Outcome.REJECTED, given, _DENIED)
    if not device.changes:
        if not device.fault:
            return _end(begun, Outcome.NOTHING_TO_DO, given)
        return _end(begun, Outcome.NEEDS_ADMIN, given, device.reason or device.fault)
    if device.playbook not in STAGES:
        return _end(begun, Outcome.NEEDS_ADMIN, given, f"{device.playbook} is no playbook with stages: run it by hand")
    return _enter(begun, STAGES[device.playbook][0], given)


def _on_waking(remediation: Remediation, given: _Given) -> Decision:
    """Look again; a stage that had its time and must not be begun anew is left."""
    late, stage = given.now >= deadline(remediation, given.policy), remediation.stage
    held_back = _held_back(remediation, given.policy) if stage in _REMOVING else ""
    if held_back:
        return _enter(remediation, _PUTS_RIGHT[stage], given, error=held_back)
    if not late:
        return _run(_nudged(remediation, given))
    if stage is Stage.PREFLIGHT:
        return _unanswered(remediation, given)
    if stage in (Stage.UNINSTALL, Stage.CONFIRM):
        return _enter(remediation, Stage.REINSTALL, given)
    if stage is Stage.REMOVE_LEFTOVERS:
        return _enter(remediation, Stage.INSPECT, given)
    if stage is Stage.REINSTALL and remediation.owed_reinstall:
        return _run(_nudged(_stranded(remediation, given), given))
    # The engine itself may have slept over the deadline: one more look before the verdict.
    return _run(_nudged(remediation, given))


# --- answers of each stage ----------------------------------------------------------------------------------------


def _preflight(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    match result.answer:
        case StageAnswer.DONE:
            return _may_begin(remediation, result, given)
        case StageAnswer.FAILED:
            refused = _refusals(result)
            if refused:
                return _end(remediation, Outcome.NEEDS_ADMIN, given, refused)
            return _end(remediation, Outcome.FAILED, given, f"nothing was changed: {_why(result)}")
        case StageAnswer.UNREACHABLE:
            return _end(remediation, Outcome.UNREACHABLE, given, f"nothing was changed: {_why(result)}")
        case _:
            if given.now >= deadline(remediation, given.policy):
                return _unanswered(remediation, given, _why(result))
            return _wait(remediation, given, _words(result, remediation))


def _may_begin(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    """Preflight found nothing against it: look at what only the plan knows, then go on."""
    fresh = timedelta(minutes=max(given.policy.preflight_minutes, given.policy.answered_within_minutes))
    if given.now - _since(remediation.stage_started_at) > fresh:
        return _end(
            remediation, Outcome.FAILED, given, "nothing was changed: the look at the device is too old; plan it again"
        )
    if _denied(remediation, given.policy):
        return _end(remediation, Outcome.REJECTED, given, _DENIED)
    observation = _observation(result)
    changed = not_planned(remediation.device, observation) if observation else ""
    if changed:
        return _end(remediation, Outcome.NEEDS_ADMIN, given, f"nothing was changed: {changed}; plan it again")
    return _enter(remediation, _after(remediation), given)


def _uninstall(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    record = _record(result)
    if record is not None and record.excluded:
        remediation = replace(remediation, seen_excluded=True)
    if result.answer is StageAnswer.DONE:
        seen = replace(
            remediation,
            removed_at=_removed_at(result, remediation, given) or given.now,
            installed_before=record.installed_at if record is not None else None,
        )
        return _enter(seen, _after(remediation), given)
    if result.answer is StageAnswer.FAILED or given.now >= deadline(remediation, given.policy):
        # Even where no call was made: the put-back looks first, and changes nothing where nothing is missing.
        return _enter(remediation, Stage.REINSTALL, given, error=_why(result))
    return _wait_unless_held_back(remediation, result, given)


def _confirm(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    observation = _observation(result)
    left = leftovers(remediation.device.before, holding(observation)) if observation else remediation.leftovers
    whole = observation is None or observation.complete
    if result.answer is StageAnswer.DONE and not left and whole:
        return _enter(replace(remediation, leftovers=()), _after(remediation), given)
    noted = replace(remediation, leftovers=left)
    if result.answer is StageAnswer.FAILED or given.now >= deadline(remediation, given.policy):
        return _enter(noted, Stage.REINSTALL, given, error=_why(result))
    return _wait(noted, given, _words(result, remediation))


def _reinstall(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    record = _record(result)
    if result.answer is StageAnswer.DONE and not (record and _not_back(record)):
        removed_at = remediation.removed_at or _removed_at(result, remediation, given)
        seen = replace(remediation, reinstalled_at=given.now, removed_at=removed_at)
        proof = mdm_proof(record, removed_at or remediation.removal_asked_at)
        actual = actual_of(None, record, remediation.device)
        return _enter(replace(seen, proofs=(proof,), actual=actual), _after(remediation), given)
    late = given.now >= deadline(remediation, given.policy)
    if late and remediation.owed_reinstall:
        return _wait(_stranded(remediation, given), given, _words(result, remediation))
    if late:
        silent = result.answer is StageAnswer.UNREACHABLE or _silent(record, remediation)
        outcome = Outcome.SILENT if silent else Outcome.FAILED
        return _end(remediation, outcome, given, f"nothing was removed; the profile did not come: {_why(result)}")
    return _wait(remediation, given, _words(result, remediation))


def _remove_leftovers(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    if result.answer is StageAnswer.DONE or given.now >= deadline(remediation, given.policy):
        return _enter(remediation, _after(remediation), given)
    if result.answer is StageAnswer.FAILED:
        if result.facts.get("effects") is False:
            return _end(remediation, Outcome.FAILED, given, f"nothing was removed: {_why(result)}")
        return _enter(remediation, _after(remediation), given, error=_why(result))
    return _wait_unless_held_back(remediation, result, given)


def _inspect(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    believed = result.answer in (StageAnswer.DONE, StageAnswer.NOT_YET)
    observation = _observation(result) if believed else None
    late = given.now >= deadline(remediation, given.policy)
    proved = _prove(remediation, observation, given, late=late)
    seen = replace(
        remediation,
        proofs=proved.proofs,
        leftovers=proved.leftovers if observation else remediation.leftovers,
        new_certificate=proved.certificate.sha256 if proved.certificate else "",
        actual={**remediation.actual, **actual_of(observation, _record(result), remediation.device)},
    )
    if proved.answer is Answer.YES:
        return _enter(seen, Stage.REGISTRATION, given)
    if observation and observation.complete and _nothing_happened(seen, proved, late=late):
        why = f"{remediation.held_back}; " if remediation.held_back else ""
        return _end(seen, Outcome.FAILED, given, f"{why}nothing was removed: the device holds what it held before")
    if proved.answer is Answer.NO:
        return _end(seen, Outcome.VERIFY_FAILED, given, _against(proved.proofs, Answer.NO))
    if late and result.answer is StageAnswer.UNREACHABLE:
        return _end(seen, Outcome.SILENT, given, f"the profile is back; not yet knowable: {_why(result)}")
    if late:
        open_points = _against(proved.proofs, Answer.UNKNOWN) if observation else _why(result)
        return _end(seen, Outcome.VERIFY_FAILED, given, f"not yet knowable: {open_points}")
    return _wait(seen, given, _words(result, remediation))


def _registration_seen(remediation: Remediation, registered: bool | None, given: _Given) -> Decision:
    if registered:
        says = f"{remediation.device.person or 'the person'} registered on the record that exists now"
        seen = replace(
            remediation,
            proofs=(*remediation.proofs, Proof("okta", says, Answer.YES)),
            actual={**remediation.actual, "registration": "registered"},
        )
        return _end(seen, Outcome.VERIFIED, given)
    if given.now >= deadline(remediation, given.policy):
        days = given.policy.registration_days
        return _end(remediation, Outcome.EXPIRED, given, f"the certificate is proved; no registration in {days} days")
    return _wait(remediation, given, _RUNNING[Stage.REGISTRATION])


_ANSWERED: Mapping[Stage, Callable[[Remediation, StageResult, _Given], Decision]] = {
    Stage.PREFLIGHT: _preflight,
    Stage.UNINSTALL: _uninstall,
    Stage.CONFIRM: _confirm,
    Stage.REINSTALL: _reinstall,
    Stage.REMOVE_LEFTOVERS: _remove_leftovers,
    Stage.INSPECT: _inspect,
}


# --- what comes next -----------------------------------------------------------------------------------------------


def _enter(remediation: Remediation, stage: Stage, given: _Given, *, error: str = "") -> Decision:
    """Begin a stage. That something may have been removed, or was asked back, is written before it is wanted."""
    entered = replace(
        remediation, stage=stage, stage_started_at=given.now, outcome=None, error=_text(error), nudge=False
    )
    if stage is Stage.UNINSTALL:
        entered = replace(entered, removal_asked_at=given.now, nudged_at=given.now)
    if stage is Stage.REINSTALL:
        entered = replace(entered, reinstall_asked_at=given.now, nudged_at=given.now)
    if stage is Stage.REGISTRATION:
        return _wait(replace(entered, outcome=Outcome.AWAITING_REGISTRATION), given, _RUNNING[stage])
    return _run(entered)


def _wait_unless_held_back(remediation: Remediation, result: StageResult, given: _Given) -> Decision:
    """A removal that is not done may go on, unless it has been forbidden since: then it is put right instead."""
    held_back = _held_back(remediation, given.policy)
    if held_back:
        return _enter(remediation, _PUTS_RIGHT[remediation.stage], given, error=held_back)
    return _wait(remediation, given, _words(result, remediation))


def _run(remediation: Remediation) -> Decision:
    stage = remediation.stage
    want = LookForRegistration() if stage is Stage.REGISTRATION else RunStage(stage)
    return Decision(replace(remediation, wake_at=None, waiting_for=_RUNNING[stage]), (want,))


def _nudged(remediation: Remediation, given: _Given) -> Remediation:
    """While the MDM waits for the device, the device is asked to check in again every few minutes."""
    due = remediation.nudged_at is not None and given.now - remediation.nudged_at >= _NUDGE_AGAIN
    waits = remediation.stage in (Stage.UNINSTALL, Stage.REINSTALL)
    return replace(remediation, nudged_at=given.now, nudge=True) if due and waits else replace(remediation, nudge=False)


def _wait(remediation: Remediation, given: _Given, waiting_for: str) -> Decision:
    """Wait for a while, but not beyond the stage's deadline."""
    poll = timedelta(seconds=given.policy.poll_seconds)
    ends = deadline(remediation, given.policy)
    passed = given.now - _since(remediation.stage_started_at)
    away = remediation.stage in (Stage.UNINSTALL, Stage.CONFIRM)
    grown = timedelta(seconds=passed // _PART_OF_WAIT // timedelta(seconds=1))
    wake_at = given.now + max(poll, min(grown, LONGEST_WAIT_WHILE_AWAY if away else LONGEST_WAIT))
    return Decision(
        replace(
            remediation,
            wake_at=min(wake_at, ends) if given.now < ends else wake_at,
            waiting_for=_text(waiting_for) or _RUNNING[remediation.stage],
        )
    )


def _end(remediation: Remediation, outcome: Outcome, given: _Given, error: str = "") -> Decision:
    return Decision(
        replace(remediation, outcome=outcome, ended_at=given.now, wake_at=None, waiting_for="", error=_text(error))
    )


def _stranded(remediation: Remediation, given: _Given) -> Remediation:
    """The profile is away and does not come back: a person is called, and asking goes on."""
    minutes = given.policy.reinstall_minutes
    error = f"the profile was not seen to come back within {minutes} minutes; a person is needed; apply asks again"
    return replace(remediation, outcome=Outcome.STRANDED, error=error)


def _unanswered(remediation: Remediation, given: _Given, why: str = "") -> Decision:
    minutes = given.policy.preflight_minutes
    said = f": {why}" if why else ""
    return _end(
        remediation, Outcome.UNREACHABLE, given, f"nothing was changed: no answer within {minutes} minutes{said}"
    )


def _after(remediation: Remediation) -> Stage:
    stages = STAGES[remediation.device.playbook]
    return stages[stages.index(remediation.stage) + 1]


# --- what is known ------------------------------------------------------------------------------------------------


def _prove(remediation: Remediation, observation: Observation | None, given: _Given, *, late: bool) -> Proved:
    device = remediation.device
    if Stage.REMOVE_LEFTOVERS in STAGES[device.playbook]:
        return prove_removed(device.remove, observation, device.identity, given.now, given.issuers)
    return prove(
        device.before,
        observation,
        remediation.removed_at or remediation.removal_asked_at or remediation.reinstall_asked_at,
        given.policy,
        given.issuers,
        device.identity,
        given.now,
        names=(device.name,),
        replaces=remediation.removal_asked_at is not None,
        mdm=next((proof for proof in remediation.proofs if proof.witness == "mdm"), None),
        # The weakest proof is taken only when there was time for a better one.
        grade=remediation.proof_grade if late else ProofGrade.CERTIFICATE,
    )


def _nothing_happened(remediation: Remediation, proved: Proved, *, late: bool) -> bool:
    """Nobody saw a removal, nothing new came, and what was there before still is."""
    if remediation.removal_asked_at is None or remediation.removed_at is not None or proved.certificate:
        return False
    before = {one.sha256 for one in remediation.device.before}
    return before == set(proved.leftovers) and (late or proved.answer is Answer.NO)


def _not_back(record: MdmDevice) -> bool:
    """Does the MDM's own record say that the profile is not back? Only an install later than the removal counts."""
    older = bool(record.removed_at and record.installed_at and record.installed_at < record.removed_at)
    return record.excluded or record.removal_pending or record.profile_installed is False or older


def _removed_at(result: StageResult, remediation: Remediation, given: _Given) -> datetime | None:
    """Return when the MDM saw the removal that was asked for, None where it did not; never later than now."""
    record, asked = _record(result), remediation.removal_asked_at
    if record is None or record.removed_at is None or asked is None or record.removed_at < asked:
        return None
    return min(record.removed_at, given.now)


def _silent(record: MdmDevice | None, remediation: Remediation) -> bool:
    asked = remediation.reinstall_asked_at
    return record is not None and asked is not None and (record.last_seen_at is None or record.last_seen_at < asked)


def _held_back(remediation: Remediation, policy: RepairPolicy) -> str:
    """Return why nothing more may be removed, "" where it may."""
    return remediation.held_back or (_DENIED if _denied(remediation, policy) else "")


def _denied(remediation: Remediation, policy: RepairPolicy) -> bool:
    device = remediation.device
    denied = {visible(name).casefold() for name in policy.deny}
    names = (device.name, device.person, device.identity.serial_number)
    return any(visible(name).casefold() in denied for name in names if name)


def _due(remediation: Remediation, given: _Given) -> bool:
    wake_at = remediation.wake_at
    return wake_at is None or given.now >= wake_at


def _on_this_clock(remediation: Remediation, now: datetime) -> Remediation:
    """A clock that was set back must not stretch a wait: what lies in the future began now."""
    if remediation.stage_started_at is None or remediation.stage_started_at <= now:
        return remediation
    wake_at = None if remediation.wake_at is None else now
    return replace(remediation, stage_started_at=now, wake_at=wake_at)


_Read = TypeVar("_Read")


def _read(read: Callable[[Mapping[str, Any]], _Read], document: Any) -> _Read | None:
    """Return what a stage's facts hold, None where that is nothing or unreadable: then it is not known."""
    if not isinstance(document, Mapping):
        return None
    try:
        return read(document)
    except (KeyError, TypeError, ValueError):
        return None


def _observation(result: StageResult) -> Observation | None:
    return _read(Observation.from_document, result.facts.get("observation"))


def _record(result: StageResult) -> MdmDevice | None:
    return _read(MdmDevice.from_document, result.facts.get("mdm"))


# --- words --------------------------------------------------------------------------------------------------------


def _words(result: StageResult, remediation: Remediation) -> str:
    """Return in words what is being waited for."""
    if result.answer is StageAnswer.UNKNOWN:
        return "another look: the last run's answer could not be believed"
    return result.waiting_for or _RUNNING[remediation.stage]


def _why(result: StageResult) -> str:
    """Return in words why a stage is not done."""
    said = result.facts.get("error") or result.waiting_for
    default = {
        StageAnswer.UNREACHABLE: "the device does not answer",
        StageAnswer.UNKNOWN: "the run's answer could not be believed",
    }.get(result.answer, "it gave no reason")
    return _text(str(said or default))


def _refusals(result: StageResult) -> str:
    refusals = result.facts.get("refusals")
    if not isinstance(refusals, Sequence) or isinstance(refusals, str):
        return ""
    texts = [str(one.get("text") or one.get("code") or "") for one in refusals if isinstance(one, Mapping)]
    return "; ".join(text for text in texts if text)


def _against(proofs: Sequence[Proof], answer: Answer) -> str:
    return "; ".join(proof.says for proof in proofs if proof.proved is answer)


def _text(text: str) -> str:
    return visible(text)[:_TEXT]


def _since(moment: datetime | None) -> datetime:
    if moment is None:
        raise BrokenPromiseError("a stage goes on that never began")
    return moment


# --- promises -----------------------------------------------------------------------------------------------------


def _keep_promises(before: Remediation, after: Remediation, wants: Sequence[Want]) -> None:
    """Raise BrokenPromiseError where a device would be left behind."""
    broken = [
        words
        for words, is_broken in (
            ("it is over, and the re-install is still owed", after.owed_reinstall and not after.open),
            ("nothing would ever go on", after.open and not wants and after.wake_at is None),
            ("a removal that is not written down", RunStage(Stage.UNINSTALL) in wants and not after.owed_reinstall),
            ("a removal was forgotten", _forgotten(before.removal_asked_at, after.removal_asked_at)),
            ("a re-install was forgotten", _forgotten(before.reinstall_asked_at, after.reinstall_asked_at)),
            ("back to an earlier stage", _position(after) < _position(before)),
        )
        if is_broken
    ]
    if broken:
        raise BrokenPromiseError(f"{after.id} in {after.stage.value}: {'; '.join(broken)}")


def _forgotten(before: datetime | None, after: datetime | None) -> bool:
    return before is not None and before != after


def _position(remediation: Remediation) -> int:
    stages = STAGES.get(remediation.device.playbook, (remediation.stage,))
    return stages.index(remediation.stage) if remediation.stage in stages else -1
