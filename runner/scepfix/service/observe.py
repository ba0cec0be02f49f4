"""Observes devices: one run of the playbook that only looks, for up to a hundred devices at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scepfix.domain.device import Identity, Observation
from scepfix.domain.inert import visible
from scepfix.domain.remediation import StageAnswer, StageResult
from scepfix.domain.run import RunDevice
from scepfix.parsers.connection_values import channel_of, platform_of
from scepfix.service.ports import InventoryDevice, PlaybookRunner, RunRequest

PLAYBOOK = "scepfix.device_access.stages.observe"
STAGE = "observe"
#: Of one run; more devices take more runs, one after the other.
MOST_DEVICES = 100
#: A stage answers within five minutes; the rest is for Ansible to start and to end.
TIMEOUT_SECONDS = 360.0
_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class NotObserved:
    """Why a device gave no reading. ``code``: ``unreachable``; ``failed`` (it answered, and could not be read);
    ``garbage`` (what came is no reading); ``unknown`` (the run itself cannot be believed). ``reason`` in words, inert.
    ``folder`` is the run folder, where more can be seen.
    """

    code: str
    reason: str
    folder: str = field(default="", compare=False)


def observe_devices(
    devices: Sequence[InventoryDevice],
    runner: PlaybookRunner,
    folder_for: Callable[[], Path],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Observation | NotObserved]:
    """Given devices, the runner and what makes a fresh run folder, return each device's reading, by its name.

    Nothing is changed: the runs are read-only. Every device is in the answer, whatever happened.
    """
    found: dict[str, Observation | NotObserved] = {}
    for start in range(0, len(devices), MOST_DEVICES):
        chunk = devices[start : start + MOST_DEVICES]
        folder = folder_for()
        runner.start(_request(folder, chunk))
        if not runner.wait(folder, timeout_seconds):
            text = f"the look at it has not ended within {timeout_seconds:g} seconds"
            late = NotObserved("unknown", text, str(folder))
            found.update(dict.fromkeys((device.name for device in chunk), late))
            continue
        results = runner.results(folder, [device.host for device in chunk], None)
        for device in chunk:
            reading = reading_of(results.get(device.host))
            found[device.name] = replace(reading, folder=str(folder)) if isinstance(reading, NotObserved) else reading
    return found


def reading_of(result: StageResult | None) -> Observation | NotObserved:
    """Given what a run answered for a device, return the observation in it, or why there is none. Never raises."""
    if result is None or result.answer is StageAnswer.UNKNOWN:
        return NotObserved("unknown", _text(result, "the run that looked at it did not end as it should"))
    if result.answer is StageAnswer.UNREACHABLE:
        return NotObserved("unreachable", _text(result, "it did not answer"))
    document = result.facts.get("observation")
    if document is None:
        return NotObserved("failed", _text(result, "it answered, and could not be read"))
    try:
        observation = Observation.from_document(document)
        _check(observation)
    except (KeyError, TypeError, ValueError, AttributeError):
        return NotObserved("garbage", "what it answered is no reading of a device")
    return observation


def _request(folder: Path, devices: Sequence[InventoryDevice]) -> RunRequest:
    return RunRequest(
        folder=folder,
        ident=folder.name,
        playbook=PLAYBOOK,
        stage=STAGE,
        connections={device.host: device.connection for device in devices},
        devices={device.host: _entry(device) for device in devices},
        read_only=True,
    )


def _entry(device: InventoryDevice) -> Mapping[str, object]:
    """Return what run.json says of a device of which nothing is known yet (docs/run-folder.md)."""
    channel = channel_of(device.connection)
    known = RunDevice(
        device.name,
        platform=platform_of(device.connection),
        # The MDM is asked by it; who is connected to says it first.
        identity=Identity(serial_number=device.serial_number.upper() if channel else ""),
        playbook="inspect_device",
        channel=channel,
    )
    return known.as_document()


def _text(result: StageResult | None, otherwise: str) -> str:
    said = str((result.facts.get("error") or result.waiting_for) if result is not None else "")
    # What ssh says comes in lines of its own.
    return visible(" ".join(said.split()))[:_LONGEST_TEXT] or otherwise


def _check(observation: Observation) -> None:
    """Raise ValueError where the clock's offset is no finite number: JSON says anything, and NaN is written nowhere."""
    offset = observation.clock_offset_seconds
    if offset is not None and (isinstance(offset, bool) or not isinstance(offset, int | float)):
        raise ValueError("no number")
    if offset is not None and not math.isfinite(offset):
        raise ValueError("no finite number")
