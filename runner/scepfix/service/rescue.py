"""The use *nobody stays left out*: puts devices back that are in the exclusion group without a repair that wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation
from scepfix.service.ports import Mdm, Store

#: The most devices of one change of the group.
CHUNK = 100
_NAMED = 20


def rescue(mdm: Mdm) -> tuple[MdmDevice, ...]:
    """Put back every device of the exclusion group; return them.

    From the MDM alone: for when the database is lost, or nobody trusts it. A repair that goes on at the same time finds
    its device put back, removes nothing more and reports that. Raise what the MDM raises.
    """
    return _put_back(mdm, mdm.members())


def reconcile(mdm: Mdm, store: Store, policy: RepairPolicy, now: datetime) -> tuple[MdmDevice, ...]:
    """Put back every device of the exclusion group that no open removal wants there; return them.

    A removal is open from the moment it was asked for until the profile was asked back, and for
    ``put_back_after_hours`` at most. Raise what the MDM raises.
    """
    # The members first: whoever joins the group later has its removal written down by then.
    members = mdm.members()
    return _put_back(mdm, left_behind(members, store.remediations(only_open=True), policy, now))


def left_behind(
    members: Sequence[MdmDevice], remediations: Sequence[Remediation], policy: RepairPolicy, now: datetime
) -> list[MdmDevice]:
    """Given the group's members and the open remediations, return the members that none of these wants there.

    A member of which nobody knows who it is may be one that a repair wants there: it stays while there is one.
    """
    wanted = [one for one in remediations if _wants_removal(one, policy, now)]
    return [one for one in members if not _is_wanted(one.identity, wanted) and not (one.identity.nameless and wanted)]


def put_back_left_out(
    open_mdm: Callable[[], Mdm], store: Store, policy: RepairPolicy, now: datetime, say: Callable[[str], None]
) -> None:
    """Do ``reconcile``, saying whom it put back. An MDM that fails is told too, and holds nothing up."""
    try:
        back = reconcile(open_mdm(), store, policy, now)
    except ScepfixError as error:
        say(f"who was left out of the profile's scope could not be looked up: {error.message}")
        return
    for one in back:
        say(f"{one.name} was left in the exclusion group with no repair that wants it there: asked back")


def _wants_removal(remediation: Remediation, policy: RepairPolicy, now: datetime) -> bool:
    asked = remediation.removal_asked_at
    if asked is None or remediation.reinstall_asked_at is not None:
        return False
    return now - asked < timedelta(hours=policy.put_back_after_hours)


def _is_wanted(member: Identity, wanted: Sequence[Remediation]) -> bool:
    """One key that both sides know is enough: a device that is being repaired is not to be disturbed."""
    return any(_shares_a_key(member, one.device.identity) for one in wanted)


def _shares_a_key(one: Identity, other: Identity) -> bool:
    pairs = (
        (one.mdm_id, other.mdm_id),
        (one.serial_number.upper(), other.serial_number.upper()),
        (one.hardware_uuid.upper(), other.hardware_uuid.upper()),
    )
    return any(ours and ours == theirs for ours, theirs in pairs)


def _put_back(mdm: Mdm, members: Sequence[MdmDevice]) -> tuple[MdmDevice, ...]:
    """Put them back in chunks; where one fails, each of its devices alone: one that cannot be holds up no other.

    Raise ScepfixError (``rescue-incomplete``) that names those which the MDM refused.
    """
    left: list[tuple[MdmDevice, ScepfixError]] = []
    for first in range(0, len(members), CHUNK):
        chunk = members[first : first + CHUNK]
        try:
            mdm.put_back([member.identity.mdm_id for member in chunk])
        except ScepfixError as error:
            left += _one_by_one(mdm, chunk) if len(chunk) > 1 else [(chunk[0], error)]
    if left:
        names = ", ".join(visible(member.name or member.identity.mdm_id) for member, _ in left[:_NAMED])
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        first_error = left[0][1]
        raise ScepfixError(
            "rescue-incomplete",
            f"{len(members) - len(left)} of {len(members)} devices were put back, and not {names}{more}: "
            f"{first_error.message}",
            where=first_error.where,
            hint=f"{first_error.hint}; then run it again, or empty the group by hand: that is always safe",
        ) from first_error
    return tuple(members)


def _one_by_one(mdm: Mdm, members: Sequence[MdmDevice]) -> Iterator[tuple[MdmDevice, ScepfixError]]:
    for member in members:
        try:
            mdm.put_back([member.identity.mdm_id])
        except ScepfixError as error:
            yield member, error
