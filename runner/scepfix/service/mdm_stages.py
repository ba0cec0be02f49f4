"""The stages at the MDM, for all devices of a run at once: look, ask for what is left, each call written down first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.mdm_answer import MdmAnswer
from scepfix.domain.remediation import StageResult
from scepfix.domain.run import EXCLUDE, NUDGE, PUT_BACK, Effect, Run, RunDevice
from scepfix.service.ports import Clock, Mdm
from scepfix.service.stages import to_exclude, to_put_back

#: Gives the answer of one device from the MDM's record of it (service.stages).
Judge = Callable[[RunDevice, MdmDevice | None], StageResult]


class Journal(Protocol):
    """Where a call is written down, to disk, before and after it is made."""

    def begin_effect(self, verb: str, targets: list[str], intent: str) -> int: ...

    def end_effect(self, number: int, error: str = "") -> None: ...


def look(mdm: Mdm, run: Run, clock: Clock, *, with_profile: bool = True) -> MdmAnswer:
    """Read devices in bulk, and the profile if wanted. Raise ScepfixError where the MDM does not answer."""
    profile = whole_profile(mdm) if with_profile else None
    serials = {device.identity.serial_number: host for host, device in run.devices.items()}
    serials.pop("", None)
    found = mdm.devices(sorted(serials)) if serials else {}
    by_host = {host: found[serial] for serial, host in serials.items() if serial in found}
    return MdmAnswer(clock.now(), profile, by_host)


def whole_profile(mdm: Mdm) -> ManagedProfile:
    """Return the profile, and what else uses the exclusion group: all that a removal is judged by."""
    return replace(mdm.profile(), group_uses=mdm.group_uses())


def exclude(mdm: Mdm, run: Run, answer: MdmAnswer, hosts: Collection[str], journal: Journal) -> tuple[str, ...]:
    """Ask for the removal of the profile of those hosts that still have it, in one call; return the hosts.

    Raise ScepfixError where the MDM refuses: whether it happened is then not known.
    """
    wanted = excluded_next(run, answer, hosts)
    _change(mdm.exclude, mdm, EXCLUDE, [answer.devices[host].identity.mdm_id for host in wanted], run, journal)
    return wanted


def put_back(mdm: Mdm, run: Run, answer: MdmAnswer, hosts: Collection[str], journal: Journal) -> tuple[str, ...]:
    """Ask for the re-install of those hosts that are excluded, in one call; return the hosts. Raise as ``exclude``.

    A device that the MDM does not show is asked for by the id it had when the removal was: leaving a group twice does
    no harm, and staying in it does.
    """
    wanted = put_back_next(run, answer, hosts)
    _change(mdm.put_back, mdm, PUT_BACK, [_mdm_id(run, answer, host) for host in wanted], run, journal)
    return wanted


def nudge_again(mdm: Mdm, run: Run, answer: MdmAnswer, hosts: Collection[str], journal: Journal) -> None:
    """Ask those of the hosts to check in that the engine wants to be asked; a failure holds nothing up."""
    ids = [_mdm_id(run, answer, host) for host in run.devices if host in hosts and run.devices[host].nudge]
    known = [one for one in ids if one]
    if known:
        try:
            _call(mdm.nudge, NUDGE, known, run.intent, journal)
        except ScepfixError:
            return


def put_back_unseen(mdm: Mdm, run: Run, hosts: Collection[str], journal: Journal) -> tuple[str, ...]:
    """Ask for the re-install of all those hosts whose removal was asked for, without looking: for when looking fails.

    Leaving the group twice does no harm. Raise as ``exclude``.
    """
    owed = tuple(host for host in run.devices if host in hosts and run.devices[host].removal_asked_at is not None)
    wanted = tuple(host for host in owed if run.devices[host].identity.mdm_id)
    _change(mdm.put_back, mdm, PUT_BACK, [run.devices[host].identity.mdm_id for host in wanted], run, journal)
    return wanted


def excluded_next(run: Run, answer: MdmAnswer, hosts: Collection[str]) -> tuple[str, ...]:
    """Return the hosts whose removal is still to be asked for."""
    return tuple(
        host for host in run.devices if host in hosts and to_exclude(run.devices[host], answer.devices.get(host))
    )


def put_back_next(run: Run, answer: MdmAnswer, hosts: Collection[str]) -> tuple[str, ...]:
    """Return the hosts whose re-install is still to be asked for."""
    found = []
    for host in run.devices:
        record = answer.devices.get(host)
        unseen = record is None and run.devices[host].removal_asked_at is not None and _mdm_id(run, answer, host) != ""
        if host in hosts and (unseen or (record is not None and to_put_back(record))):
            found.append(host)
    return tuple(found)


def wait(
    mdm: Mdm, run: Run, answer: MdmAnswer, done: Callable[[MdmAnswer], bool], clock: Clock, poll: float
) -> MdmAnswer:
    """Look every ``poll`` seconds, for at most ``run.wait_seconds``, until ``done`` says so; return the last look.

    Raise ScepfixError where the MDM does not answer at the end; until then it is asked again.
    """
    end = clock.now().timestamp() + run.wait_seconds
    while not done(answer) and clock.now().timestamp() < end:
        clock.sleep(min(poll, max(0.0, end - clock.now().timestamp())))
        try:
            answer = look(mdm, run, clock, with_profile=False)
        except ScepfixError:
            if clock.now().timestamp() >= end:
                raise
    return answer


def with_effects(run: Run, effects: Iterable[Effect], answer: MdmAnswer | None = None) -> Run:
    """Return the run, each device with the moment at which its removal was first asked for, if in this run."""
    asked: dict[str, datetime] = {}
    for effect in effects:
        if effect.verb == EXCLUDE:
            for target in effect.targets:
                asked.setdefault(target, effect.at)
    devices: dict[str, RunDevice] = {}
    for host, device in run.devices.items():
        first = device.removal_asked_at or asked.get(_mdm_id(run, answer, host))
        devices[host] = replace(device, removal_asked_at=first)
    return replace(run, devices=devices)


def left_out(effects: Iterable[Effect]) -> frozenset[str]:
    """Given the effects of a run in their order, return the MDM ids that it may have excluded and not put back."""
    out: set[str] = set()
    for effect in effects:
        if effect.verb == EXCLUDE:
            out.update(effect.targets)
        elif effect.verb == PUT_BACK and effect.outcome == "done":
            out.difference_update(effect.targets)
    return frozenset(out)


def put_back_members(mdm: Mdm, ids: Collection[str], intent: str, journal: Journal) -> Mapping[str, MdmDevice]:
    """Put back those of the ids that are in the exclusion group now; return them by id.

    Where the group has members of whom the MDM cannot tell now who they are, all the ids are put back: one of them may
    be among those, and leaving the group twice does no harm.
    """
    members = mdm.members()
    found = {member.identity.mdm_id: member for member in members if member.identity.mdm_id in ids}
    if any(member.identity.nameless for member in members):
        found |= {one: MdmDevice(Identity(mdm_id=one), one) for one in ids if one not in found}
    if found:
        _call(mdm.put_back, PUT_BACK, sorted(found), intent, journal)
        _call(mdm.nudge, NUDGE, sorted(found), intent, journal)
    return found


def _mdm_id(run: Run, answer: MdmAnswer | None, host: str) -> str:
    record = answer.devices.get(host) if answer else None
    return record.identity.mdm_id if record is not None else run.devices[host].identity.mdm_id


def _change(call: Callable[[list[str]], None], mdm: Mdm, verb: str, ids: list[str], run: Run, journal: Journal) -> None:
    if ids:
        _call(call, verb, ids, run.intent, journal)
        try:
            _call(mdm.nudge, NUDGE, ids, run.intent, journal)
        except ScepfixError:
            # It only makes them come sooner; they check in by themselves.
            return


def _call(call: Callable[[list[str]], None], verb: str, ids: list[str], intent: str, journal: Journal) -> None:
    number = journal.begin_effect(verb, ids, intent)
    try:
        call(ids)
    except ScepfixError as error:
        journal.end_effect(number, f"{error.code}: {error.message}")
        raise
    journal.end_effect(number)
