"""Devices that nobody connects to: in bulk, by serial number, and never from a line that is too old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from tests.collected_lines import line_of
from tests.parsers.test_collected_line import SEEN, TOLD
from tests.stand_in import TickingClock

from scepfix.domain.device import Identity, Observation, StoredCertificate
from scepfix.domain.mdm import CollectedText, MdmDevice
from scepfix.domain.mdm_answer import CollectedAnswer, CollectedDevice
from scepfix.domain.plan import KnownCertificate
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import COLLECTOR, LINE_HOURS, Run, RunDevice
from scepfix.service.collected import judged, look, reading, wait
from scepfix.service.ports import Mdm

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HOST = "dev-0123456789ab"
KEYS = SEEN.identity
MINUTE = timedelta(minutes=1)
BEFORE = (KnownCertificate(TOLD.sha256, TOLD.serial_number, TOLD.public_key_sha256),)
DEVICE = RunDevice("mac-042", identity=KEYS, before=BEFORE, playbook="reinstall_scep_profile", channel=COLLECTOR)
NEW = replace(
    SEEN.certificates[0], told=replace(TOLD, sha256="12" * 32, serial_number="77", public_key_sha256="34" * 32)
)


def told(
    at: datetime, *certificates: StoredCertificate, got_at: datetime | None = None, **record: object
) -> CollectedAnswer:
    """Return what the MDM has: a line of that moment, which it got then or later."""
    line = line_of(replace(SEEN, observed_at=at, certificates=certificates))
    found = MdmDevice(replace(KEYS, mdm_id="7"), **record)  # type: ignore[arg-type]
    return CollectedAnswer(NOW, {HOST: CollectedDevice(found, CollectedText(line, got_at or at))})


def read(stage: str, answer: CollectedAnswer, device: RunDevice = DEVICE) -> Observation | str:
    return reading(stage, device, HOST, answer, NOW)


@dataclass
class Asked:
    """An MDM that has lines; it counts how often it is asked."""

    records: dict[str, MdmDevice]
    lines: dict[str, CollectedText]
    calls: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        self.calls.append(("devices", tuple(serial_numbers)))
        return {one: self.records[one] for one in serial_numbers if one in self.records}

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        self.calls.append(("collected", tuple(mdm_ids)))
        return {one: self.lines[one] for one in mdm_ids if one in self.lines}


def test_all_devices_with_a_collector_are_asked_for_at_once_and_no_others() -> None:
    devices = {
        "dev-1": replace(DEVICE, identity=Identity("S1")),
        "dev-2": replace(DEVICE, identity=Identity("S2")),
        "dev-3": replace(DEVICE, identity=Identity("S3")),
        "dev-4": replace(DEVICE, identity=Identity("S4"), channel=""),
    }
    text = CollectedText("line", NOW)
    mdm = Asked({one: MdmDevice(Identity(one, "", f"id-{one}")) for one in ("S1", "S2", "S4")}, {"id-S1": text})

    answer = look(cast(Mdm, mdm), Run("i", "observe", devices), TickingClock(NOW))

    assert mdm.calls == [("devices", ("S1", "S2", "S3")), ("collected", ("id-S1", "id-S2"))]
    assert {host: one.text for host, one in answer.devices.items()} == {"dev-1": text, "dev-2": None}


@pytest.mark.parametrize("stage", ["observe", "preflight"])
def test_before_a_repair_a_line_of_a_daily_inventory_will_do(stage: str) -> None:
    young, old = NOW - timedelta(hours=LINE_HOURS) + MINUTE, NOW - timedelta(hours=LINE_HOURS) - MINUTE

    assert isinstance(read(stage, told(young)), Observation)
    assert "of the last 26 hours" in str(read(stage, told(old)))


@pytest.mark.parametrize("moved", ["removed_at", "installed_at"])
def test_a_line_from_before_the_profile_last_came_or_went_does_not_count(moved: str) -> None:
    answer = told(NOW - 60 * MINUTE, **{moved: NOW - 30 * MINUTE})

    assert "later than the" in str(read("preflight", answer))


@pytest.mark.parametrize(
    ("stage", "at", "counts"),
    [
        ("confirm", NOW - 31 * MINUTE, False),
        ("confirm", NOW - 30 * MINUTE, False),
        ("confirm", NOW - 29 * MINUTE, True),
        ("inspect", NOW - 29 * MINUTE, False),
        ("inspect", NOW - 10 * MINUTE, False),
        ("inspect", NOW - 9 * MINUTE, True),
    ],
)
def test_no_proof_rests_on_a_line_older_than_removal_or_install(stage: str, at: datetime, counts: bool) -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 40 * MINUTE)
    answer = told(at, removed_at=NOW - 30 * MINUTE, installed_at=NOW - 10 * MINUTE)

    assert isinstance(read(stage, answer, device), Observation) == counts


def test_the_removal_that_was_asked_for_counts_where_the_mdm_tells_of_none() -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 5 * MINUTE)

    assert "later than the removal" in str(read("confirm", told(NOW - 6 * MINUTE), device))
    assert isinstance(read("confirm", told(NOW - 4 * MINUTE), device), Observation)


def test_a_line_that_the_mdm_got_before_the_removal_is_older_whatever_its_clock_says() -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 30 * MINUTE)
    answer = told(NOW - 5 * MINUTE, got_at=NOW - 31 * MINUTE)

    assert "later than the removal" in str(read("confirm", answer, device))


def test_a_clock_that_is_ahead_proves_nothing() -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 30 * MINUTE)
    answer = told(NOW + 60 * MINUTE, got_at=NOW - 5 * MINUTE)

    assert "seconds ahead" in str(read("inspect", answer, device))
    seen = read("preflight", answer, device)
    assert isinstance(seen, Observation)
    assert seen.clock_offset_seconds == 3900.0


def test_who_is_not_known_or_has_no_line_is_told_so() -> None:
    nobody = CollectedAnswer(NOW, {})
    silent = CollectedAnswer(NOW, {HOST: CollectedDevice(MdmDevice(KEYS))})

    assert "knows no device" in str(read("observe", nobody))
    assert "no line of the collector" in str(read("observe", silent))


# --- the answers of the stages ----------------------------------------------------------------------------------------


def test_gone_is_seen_in_a_newer_line_only() -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 30 * MINUTE)

    def answered(answer: CollectedAnswer) -> StageAnswer:
        return judged(Stage.CONFIRM, device, HOST, answer, NOW).answer

    assert answered(told(NOW - 31 * MINUTE)) is StageAnswer.NOT_YET
    assert answered(told(NOW - 20 * MINUTE, SEEN.certificates[0])) is StageAnswer.NOT_YET
    assert answered(told(NOW - 20 * MINUTE)) is StageAnswer.DONE


def test_a_line_of_another_device_is_a_failure_and_one_that_was_cut_is_not_yet() -> None:
    device = replace(DEVICE, identity=Identity("C02ANOTHER01"))
    cut = replace(told(NOW), devices={HOST: CollectedDevice(MdmDevice(KEYS), CollectedText("scepfix1 os=macos", NOW))})

    assert judged(Stage.INSPECT, device, HOST, told(NOW, NEW), NOW).answer is StageAnswer.FAILED
    assert judged(Stage.INSPECT, DEVICE, HOST, cut, NOW).answer is StageAnswer.NOT_YET


def test_by_hand_it_waits_until_a_new_line_says_so_and_no_longer() -> None:
    device = replace(DEVICE, removal_asked_at=NOW - 30 * MINUTE)
    run = Run("i", "inspect", {HOST: device}, wait_seconds=60, by_hand=True)
    old, new = told(NOW - 31 * MINUTE, SEEN.certificates[0]), told(NOW, NEW)
    mdm = Asked({KEYS.serial_number: old.devices[HOST].record}, {})
    clock = TickingClock(NOW)

    def world(now: datetime) -> None:
        text = (new if now > NOW + timedelta(seconds=20) else old).devices[HOST].text
        mdm.lines = {"7": text} if text else {}

    def judge(host: str, answer: CollectedAnswer) -> StageResult:
        return judged(Stage.INSPECT, device, host, answer, NOW + MINUTE)

    world(NOW)
    clock.meanwhile = world
    found = wait(cast(Mdm, mdm), run, [HOST], judge, clock, 5)

    assert judge(HOST, found).answer is StageAnswer.DONE
    assert 20 <= sum(clock.slept) < 60


def test_by_hand_it_gives_up_at_the_end() -> None:
    run = Run("i", "confirm", {HOST: DEVICE}, wait_seconds=10, by_hand=True)
    clock = TickingClock(NOW)

    wait(
        cast(Mdm, Asked({}, {})), run, [HOST], lambda host, one: judged(Stage.CONFIRM, DEVICE, host, one, NOW), clock, 3
    )

    assert sum(clock.slept) <= 10
