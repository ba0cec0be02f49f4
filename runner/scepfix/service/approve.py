"""The use *decide about a plan*: who may approve it, what is written down, and whether it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scepfix.domain.errors import RefusedError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import Plan
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Approval
from scepfix.service.ports import Store
from scepfix.workflow.predict import SHARED

#: Between the machine that planned and the one that approves.
_CLOCKS_DIFFER = timedelta(minutes=5)

SIGNATURE = "signature"
UNAUTHENTICATED = "unauthenticated"


@dataclass(frozen=True, slots=True)
class ApprovalNeeded:
    """``changing`` devices would change; ``signature`` where a name alone does not reach; ``words`` say it."""

    changing: int
    signature: bool
    words: str


def approval_needed(plan: Plan, policy: RepairPolicy) -> ApprovalNeeded:
    """Given a plan and the limits, return which approval it needs."""
    changing = sum(device.changes for device in plan.devices)
    allowance = policy.unauthenticated_devices
    if not changing:
        return ApprovalNeeded(0, False, "None: no device is changed.")
    if any(one.what == SHARED for device in plan.devices if device.changes for one in device.predictions):
        words = (
            f"A signature by a listed key of somebody other than {visible(plan.requester)}: people sign in to their "
            "device with this certificate too (Platform SSO), and what its loss does there cannot be known before."
        )
        return ApprovalNeeded(changing, True, words)
    if changing > allowance:
        words = (
            f"A signature by a listed key of somebody other than {visible(plan.requester)}: {changing} devices "
            f"change, and a name alone approves at most {allowance}."
        )
        return ApprovalNeeded(changing, True, words)
    s = "" if allowance == 1 else "s"
    words = (
        f"One person's decision. A name alone reaches for at most {allowance} device{s}, "
        "and is recorded as unauthenticated."
    )
    return ApprovalNeeded(changing, False, words)


def signed_message(digest: str, rejections: int = 0) -> bytes:
    """Given a plan's digest and how often it was rejected, return the bytes that are signed, with their line end.

    That is the digest; after a rejection also that it was rejected, so that no earlier signature undoes that.
    """
    after = f" after {rejections} rejection{'' if rejections == 1 else 's'}" if rejections else ""
    return f"{digest}{after}\n".encode("ascii")


def approve_plan(plan: Plan, person: str, how: str, store: Store, policy: RepairPolicy, now: datetime) -> Approval:
    """Given a verified plan and who approves it and how, keep the plan and the approval; return it.

    Raise RefusedError: ``plan-expired``, ``needs-signature`` where the name is not proved and more devices change
    than the allowance, ``self-approval`` where the requester approves above it.
    """
    refuse_expired(plan, now)
    if plan.made_at > now + _CLOCKS_DIFFER or plan.expires_at - plan.made_at > timedelta(hours=policy.plan_valid_hours):
        raise RefusedError(
            "plan-changed",
            f"it says that it was made {rfc3339(plan.made_at)} and holds until {rfc3339(plan.expires_at)}: no plan "
            f"holds longer than {policy.plan_valid_hours} hours",
            where=plan.digest(),
            hint="plan again",
        )
    needed = approval_needed(plan, policy)
    if needed.signature and how != SIGNATURE:
        raise RefusedError(
            "needs-signature",
            f"a name alone does not reach for this plan. It needs: {needed.words}",
            where=plan.digest(),
            hint="approve with --signature FILE, or plan fewer devices",
        )
    if needed.signature and same_person(person, plan.requester):
        raise RefusedError(
            "self-approval",
            f"{visible(person)} asked for this plan and may not approve it. It needs: {needed.words}",
            where=plan.digest(),
            hint="another person approves it",
        )
    return _keep(Approval(plan.digest(), visible(person), how, True, now), plan, store)


def reject_plan(plan: Plan, person: str, reason: str, store: Store, now: datetime) -> Approval:
    """Given a verified plan, who rejects it and why, keep the plan and the rejection; return it."""
    return _keep(Approval(plan.digest(), visible(person), UNAUTHENTICATED, False, now, visible(reason)), plan, store)


def standing_approval(
    plan: Plan, approvals: Sequence[Approval], policy: RepairPolicy, now: datetime
) -> Approval | None:
    """Given a plan and all decisions about its digest, return the approval that lets it be applied.

    The latest decision counts; None where none is needed, because no device is changed. Raise RefusedError:
    ``plan-expired``, ``not-approved``, ``plan-rejected``; and as ``approve_plan`` does where the limits have changed.
    """
    refuse_expired(plan, now)
    needed = approval_needed(plan, policy)
    decisions = sorted((one for one in approvals if one.plan_digest == plan.digest()), key=lambda one: one.at)
    if not decisions and not needed.changing:
        return None
    if not decisions:
        raise RefusedError(
            "not-approved",
            "nobody has approved this plan",
            where=plan.digest(),
            hint="scepfix approve PLAN.json; what it would change: scepfix plan … --html FILE",
        )
    latest = decisions[-1]
    if not latest.approved:
        reason = f": {latest.reason}" if latest.reason else ""
        raise RefusedError(
            "plan-rejected",
            f"{latest.person} rejected this plan{reason}",
            where=plan.digest(),
            hint="make another plan, or have this one approved after all; what is signed then: "
            f"'{signed_message(plan.digest(), sum(not one.approved for one in decisions)).decode().strip()}'",
        )
    if needed.signature and (latest.how != SIGNATURE or same_person(latest.person, plan.requester)):
        raise RefusedError(
            "not-approved",
            f"the approval of {latest.person} does not reach. It needs: {needed.words}",
            where=plan.digest(),
            hint="scepfix approve PLAN.json --signature FILE",
        )
    return latest


def refuse_expired(plan: Plan, now: datetime) -> None:
    """Raise RefusedError (``plan-expired``) where the plan's time is over."""
    if now >= plan.expires_at:
        raise RefusedError(
            "plan-expired",
            f"the plan expired at {rfc3339(plan.expires_at)}",
            where=plan.digest(),
            hint="plan again: where nothing has changed, the digest is the same",
        )


def same_person(one: str, other: str) -> bool:
    """Are these names of one person, as far as names can tell? ``alice`` and ``Alice@example.com`` are."""
    names = [name.casefold().strip() for name in (one, other)]
    return names[0] == names[1] or names[0].split("@")[0] == names[1].split("@")[0]


def _keep(approval: Approval, plan: Plan, store: Store) -> Approval:
    store.save_plan(plan)
    store.save_approval(approval)
    return approval
