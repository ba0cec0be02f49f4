"""What an inventory record of Jamf Pro and the commands of a computer say together: one record of service.ports.Mdm."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from scepfix.domain.device import Identity
from scepfix.domain.mdm import MdmDevice
from scepfix.parsers.jamf_classic import JamfProfile, Scope
from scepfix.parsers.jamf_pro import Computer, MdmCommand, ShownProfile

#: Commands by which an administrator takes a computer out of use, and what that is called here.
SET_APART = {
    "DEVICE_LOCK": "locked",
    "ERASE_DEVICE": "wiped",
    "ENABLE_LOST_MODE": "lost-mode",
    "DISABLE_LOST_MODE": "",
}
#: An inventory contradicts an acknowledgement only if it is that much newer: it is gathered before it is dated.
_INVENTORY_LATER = timedelta(minutes=15)
#: A Mac that is locked answers nothing more, so one in contact that long after the lock was let go.
_UNLOCKED_AFTER = timedelta(minutes=10)
#: The nodes of a Jamf Cloud agree within a minute (developer.jamf.com, sticky sessions); clocks may differ by a half.
_NODES_AGREE = timedelta(seconds=90)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {
    "PENDING": "Pending",
    "ACKNOWLEDGED": "Acknowledged",
    "NOT_NOW": "NotNow",
    "ERROR": "Error",
    "COMMAND_FORMAT_ERROR": "Error",
}


def read_record(
    one: Computer, profile: JamfProfile, group: str, *, member: bool, commands: Sequence[MdmCommand], now: datetime
) -> MdmDevice:
    """Given a computer, the profile, the number of the exclusion group, whether the computer is listed in it, and the
    commands to that computer about that profile, and locks and wipes, return the record as of an aware moment.

    The acknowledgement of a command dates removal and install; the inventory serves only where there is none.
    """
    removals = [command for command in commands if command.kind == "REMOVE_PROFILE"]
    installs = [command for command in commands if command.kind == "INSTALL_PROFILE"]
    removed_at, acknowledged_at = _newest_answer(removals), _newest_answer(installs)
    shown = shown_profile(one, profile)
    newest = max(installs, key=_sent, default=None)
    answers = [one.contact_at, *(command.completed_at for command in commands if command.acknowledged)]
    return MdmDevice(
        identity=Identity(one.serial_number.upper(), one.hardware_uuid, one.number),
        name=one.name,
        managed=one.managed,
        last_seen_at=max((at for at in answers if at), default=None),
        in_scope=_in_scope(one, profile.scope, group),
        excluded=member or _just_sent_away(removals, installs, now),
        profile_installed=_installed(one, shown is not None, removed_at, acknowledged_at),
        removal_pending=any(command.pending for command in removals),
        removed_at=removed_at,
        installed_at=acknowledged_at or (shown.installed_at if shown else None),
        install_status=_STATUS.get(newest.state, "") if newest else "",
        set_apart=_set_apart(one, commands),
    )


def shown_profile(one: Computer, profile: JamfProfile) -> ShownProfile | None:
    """Return the profile as the inventory lists it for that computer, None where it does not."""
    return next((shown for shown in one.profiles if shown.identifier == profile.identifier), None)


def newer(one: Computer, other: Computer | None) -> Computer:
    """Of two records of one serial number (a Mac that was enrolled anew) return that with the newest contact."""
    return one if other is None or (one.contact_at or _LONG_AGO) > (other.contact_at or _LONG_AGO) else other


def _installed(one: Computer, shown: bool, removed_at: datetime | None, installed_at: datetime | None) -> bool | None:
    """Is the profile on the device? What it acknowledged last says so, or an inventory that is clearly newer."""
    answered = max((at for at in (removed_at, installed_at) if at), default=None)
    if answered is None or (one.reported_at is not None and one.reported_at > answered + _INVENTORY_LATER):
        return shown if one.reported_at is not None else None
    return answered == installed_at


def _just_sent_away(removals: Sequence[MdmCommand], installs: Sequence[MdmCommand], now: datetime) -> bool:
    """Was a removal sent just now, and no install since? Then a list without the computer is that of another node."""
    sent = max((_sent(command) for command in removals), default=_LONG_AGO)
    return now - sent < _NODES_AGREE and not any(_sent(command) > sent for command in installs)


def _in_scope(one: Computer, scope: Scope, group: str) -> bool:
    """Would the device get the profile, were it not in scepfix's exclusion group?"""
    targets, exclusions = scope.targets, scope.exclusions
    groups = one.groups - {group}
    wanted = (
        scope.all_computers
        or one.number in targets.computers
        or not groups.isdisjoint(targets.computer_groups)
        or one.building in targets.buildings
        or one.department in targets.departments
    )
    return wanted and not (
        one.number in exclusions.computers
        or not groups.isdisjoint(exclusions.computer_groups)
        or one.building in exclusions.buildings
        or one.department in exclusions.departments
    )


def _set_apart(one: Computer, commands: Sequence[MdmCommand]) -> str:
    """Return why an administrator took the Mac out of use, as far as locks and wipes tell; "" where none holds."""
    found = [command for command in commands if command.kind in SET_APART and (command.pending or command.acknowledged)]
    newest = max(found, key=_sent, default=None)
    if newest is None:
        return ""
    at = newest.completed_at or newest.sent_at
    if newest.acknowledged and at is not None:
        enrolled_since = one.enrolled_at is not None and one.enrolled_at > at
        unlocked = newest.kind == "DEVICE_LOCK" and one.contact_at is not None and one.contact_at > at + _UNLOCKED_AFTER
        if enrolled_since or unlocked:
            return ""
    return SET_APART[newest.kind]


def _newest_answer(commands: Sequence[MdmCommand]) -> datetime | None:
    return max((one.completed_at for one in commands if one.acknowledged and one.completed_at), default=None)


def _sent(command: MdmCommand) -> datetime:
    return command.sent_at or command.completed_at or _LONG_AGO
