"""The use *apply an approved plan*: may it be, one remediation per device, and what the command's exit code is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from scepfix.domain.errors import Exit, RefusedError
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import STAGES, Outcome, Remediation, Stage
from scepfix.service.advance import Hands, advance
from scepfix.service.approve import standing_approval
from scepfix.service.ports import Store

#: Stages in which something is removed. How far that came only the device and its MDM can say.
_REMOVING = (Stage.UNINSTALL, Stage.REMOVE_LEFTOVERS)
#: How a remediation ends that was begun and must not go on, by the code of the refusal.
_HELD_BACK = {"plan-expired": Outcome.EXPIRED, "plan-rejected": Outcome.REJECTED}

_EXITS = {
    Outcome.VERIFIED: Exit.VERDICT,
    Outcome.AWAITING_REGISTRATION: Exit.VERDICT,
    Outcome.NOTHING_TO_DO: Exit.VERDICT,
    Outcome.VERIFY_FAILED: Exit.FAILED,
    Outcome.FAILED: Exit.FAILED,
    Outcome.STRANDED: Exit.FAILED,
    Outcome.UNREACHABLE: Exit.FAILED,
    Outcome.SILENT: Exit.FAILED,
    Outcome.NEEDS_ADMIN: Exit.NEEDS_PERSON,
    Outcome.REJECTED: Exit.NEEDS_PERSON,
    Outcome.EXPIRED: Exit.NEEDS_PERSON,
}


def apply_plan(plan: Plan, content_sha256: str, hands: Hands) -> tuple[Remediation, ...]:
    """Given a plan whose digest was checked and the hash of the Ansible content that would run, repair its devices.

    Applying a plan again goes on with it. Nothing is repeated, and nothing holds back a re-install: whatever a begun
    plan no longer may is only not to remove anything more.

    Raise RefusedError: ``empty-selection``; ``plan-expired``, ``not-approved``, ``plan-rejected``;
    ``content-changed`` where playbooks, roles or plugins are not those of the plan; ``plan-busy``. Raise
    DeviceTakenError where a device has another repair going on; then none of the plan's is begun.
    """
    digest = plan.digest()
    begun = hands.store.remediations(digest)
    try:
        _check(plan, content_sha256, hands)
    except RefusedError as refusal:
        if not begun:
            raise
        _hold_back(begun, refusal, hands.store, hands.clock.now())
    if not begun:
        hands.store.save_plan(plan)
        hands.store.begin(remediations_of(plan))
    return advance(digest, hands)


def remediations_of(plan: Plan) -> tuple[Remediation, ...]:
    """Given a plan, return one remediation per device, always with the same id: applying again finds it."""
    digest = plan.digest()
    return tuple(
        Remediation(
            id=hashlib.sha256(f"{digest}{device.host}".encode()).hexdigest()[:16],
            plan_digest=digest,
            device=device,
            proof_grade=plan.proof_grade,
            stage=STAGES.get(device.playbook, (Stage.PREFLIGHT,))[0],
        )
        for device in plan.devices
    )


def exit_code(remediations: Sequence[Remediation]) -> Exit:
    """Given the remediations of a plan, return the exit code of the contract (docs/command-line.md)."""
    found = {_EXITS[one.outcome] if one.outcome else Exit.UNDETERMINED for one in remediations}
    if not found:
        return Exit.NEEDS_PERSON
    return found.pop() if len(found) == 1 else Exit.MIXED


def _check(plan: Plan, content_sha256: str, hands: Hands) -> None:
    if not plan.devices:
        raise RefusedError(
            "empty-selection",
            "the plan has no device",
            where=plan.digest(),
            hint="look at what it set aside, and plan again",
        )
    standing_approval(plan, hands.store.approvals(plan.digest()), hands.policy, hands.clock.now())
    if plan.content_sha256 != content_sha256:
        raise RefusedError(
            "content-changed",
            "the playbooks, roles or plugins here are not those that the plan was made with",
            where=plan.digest(),
            hint="plan again with this scepfix, and have that plan approved",
        )


def _hold_back(begun: Sequence[Remediation], refusal: RefusedError, store: Store, now: datetime) -> None:
    """Nothing more is removed under a plan that may not be applied any more.

    What is before its removal ends; what is in the middle of it removes nothing more, is looked at and put right.
    """
    outcome = _HELD_BACK.get(refusal.code, Outcome.NEEDS_ADMIN)
    why = f"nothing more is removed: {refusal.message}"
    stopped = [
        replace(one, seq=one.seq + 1, held_back=why)
        for one in begun
        if one.open and one.stage in _REMOVING and not one.held_back
    ]
    ended = [
        replace(
            one,
            seq=one.seq + 1,
            outcome=outcome,
            ended_at=now,
            wake_at=None,
            waiting_for="",
            error=f"nothing was removed: {refusal.message}",
        )
        for one in begun
        if one.open and one.stage is Stage.PREFLIGHT
    ]
    store.commit([*ended, *stopped], [])
