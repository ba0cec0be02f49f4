"""Devices that nobody connects to: what the MDM has of their collectors, and whether it is new enough for a stage."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from scepfix.domain.device import Observation
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm_answer import CollectedAnswer, CollectedDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import COLLECTOR, LINE_HOURS, Run, RunDevice
from scepfix.parsers.collected_line import parse_collected_line
from scepfix.service import stages
from scepfix.service.ports import Clock, Mdm

#: Gives the answer of one host from what the MDM has.
Judge = Callable[[str, CollectedAnswer], StageResult]


def look(mdm: Mdm, run: Run, clock: Clock) -> CollectedAnswer:
    """Ask the MDM, in bulk, for records and lines of the devices with a collector. Raise ScepfixError."""
    hosts = {
        device.identity.serial_number: host
        for host, device in run.devices.items()
        if device.channel == COLLECTOR and device.identity.serial_number
    }
    records = mdm.devices(sorted(hosts)) if hosts else {}
    ids = sorted(one.identity.mdm_id for one in records.values() if one.identity.mdm_id)
    lines = mdm.collected(ids) if ids else {}
    devices = {
        hosts[serial]: CollectedDevice(record, lines.get(record.identity.mdm_id))
        for serial, record in records.items()
        if serial in hosts
    }
    return CollectedAnswer(clock.now(), devices)


def wait(mdm: Mdm, run: Run, hosts: Collection[str], judge: Judge, clock: Clock, poll: float) -> CollectedAnswer:
    """Look every ``poll`` seconds, for at most ``run.wait_seconds``, until ``judge`` says not yet of no host any more.

    Raise ScepfixError where the MDM does not answer.
    """
    end = clock.now().timestamp() + run.wait_seconds
    answer = look(mdm, run, clock)
    while clock.now().timestamp() < end:
        if all(judge(host, answer).answer is not StageAnswer.NOT_YET for host in hosts):
            break
        clock.sleep(min(poll, max(0.0, end - clock.now().timestamp())))
        answer = look(mdm, run, clock)
    return answer


def reading(stage: str, device: RunDevice, host: str, answer: CollectedAnswer, now: datetime) -> Observation | str:
    """Given a stage, a device and what the MDM has, return the reading, or in words why there is none that counts.

    ``observe`` and ``preflight`` take a line that is at most LINE_HOURS old and later than the profile last came or
    went; ``confirm`` takes one that is later than the removal, ``inspect`` one that is later than the install too. Both
    moments of a line count, the device's and the MDM's, and the earlier of the two. Raise InputError for no such line.
    """
    found = answer.devices.get(host)
    if found is None:
        return "the MDM knows no device with this serial number"
    if found.text is None:
        return "the MDM has no line of the collector of this device: is it deployed there? (docs/collector.md)"
    seen = parse_collected_line(found.text.line, found.text.collected_at, now)
    read_at, record = rfc3339(seen.observed_at), found.record
    removed = _latest(device.removal_asked_at, device.removed_at, record.removed_at)
    since = removed if stage == Stage.CONFIRM else _latest(removed, record.installed_at)
    if since is not None and seen.observed_at <= since:
        what = "the removal" if since == removed else "the install"
        return f"a line of the collector later than {what} at {rfc3339(since)}; the newest is of {read_at}"
    if stage in (Stage.CONFIRM, Stage.INSPECT):
        if seen.clock_offset_seconds is not None:
            ahead = f"the device's clock is {seen.clock_offset_seconds:.0f} seconds ahead"
            return f"a line of the collector that can be believed: {ahead}"
    elif now - seen.observed_at > timedelta(hours=LINE_HOURS):
        return f"a line of the collector of the last {LINE_HOURS} hours; the newest is of {read_at}"
    return seen


def judged(stage: Stage, device: RunDevice, host: str, answer: CollectedAnswer, now: datetime) -> StageResult:
    """Given ``confirm`` or ``inspect``, a device and what the MDM has, return the stage's answer. Never raises."""
    try:
        seen = reading(stage, device, host, answer, now)
    except ScepfixError as error:
        return stages.no_answer(stage, error)
    if isinstance(seen, str):
        return StageResult(stage, StageAnswer.NOT_YET, seen, stages.facts_of())
    return stages.confirm(device, seen) if stage is Stage.CONFIRM else stages.inspect(device, seen, now)


def _latest(*moments: datetime | None) -> datetime | None:
    return max((one for one in moments if one is not None), default=None)
