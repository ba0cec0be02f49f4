"""The stages at the MDM: one call for all, only for what is left, written down before it is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from scepfix.domain.check import Check
from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.run import EXCLUDE, NUDGE, PUT_BACK, Effect, Run, RunDevice
from scepfix.service import mdm_stages

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class SmallMdm:
    """An MDM with a group; ``broken`` verbs fail after they were done, ``looks`` counts the reading."""

    def __init__(self, *numbers: int) -> None:
        self.records = {str(n): MdmDevice(Identity(f"S{n}", f"U{n}", str(n)), f"mac-{n}") for n in numbers}
        self.calls: list[tuple[str, list[str]]] = []
        self.broken: set[str] = set()
        self.looks = 0

    def profile(self) -> ManagedProfile:
        return ManagedProfile("com.example.scep")

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        self.looks += 1
        if "devices" in self.broken:
            raise ScepfixError("mdm", "no answer")
        by_serial = {one.identity.serial_number: one for one in self.records.values()}
        return {serial: by_serial[serial] for serial in serial_numbers if serial in by_serial}

    def group_uses(self) -> tuple[str, ...]:
        return ()

    def members(self) -> tuple[MdmDevice, ...]:
        return tuple(one for one in self.records.values() if one.excluded)

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        self._change("exclude", mdm_ids, excluded=True)

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        self._change("put_back", mdm_ids, excluded=False)

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        self._change("nudge", mdm_ids)

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return {}

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        return {}

    def checks(self) -> Iterator[Check]:
        yield from ()

    def _change(self, verb: str, mdm_ids: Sequence[str], **change: bool) -> None:
        self.calls.append((verb, list(mdm_ids)))
        for one in mdm_ids:
            self.records[one] = replace(self.records[one], **change)  # type: ignore[arg-type]
        if verb in self.broken:
            raise ScepfixError("mdm", "the connection was lost")


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def begin_effect(self, verb: str, targets: list[str], intent: str) -> int:
        self.effects.append(Effect(len(self.effects) + 1, verb, tuple(targets), intent, NOW))
        return len(self.effects)

    def end_effect(self, number: int, error: str = "") -> None:
        ended = replace(self.effects[number - 1], outcome="failed" if error else "done", error=error)
        self.effects[number - 1] = ended


def run_of(*numbers: int, wait_seconds: float = 0) -> Run:
    devices = {f"dev-{n}": RunDevice(f"mac-{n}", identity=Identity(f"S{n}", f"U{n}", str(n))) for n in numbers}
    return Run("intent", "uninstall", devices, wait_seconds=wait_seconds)


def test_all_devices_are_asked_for_in_one_call_and_a_second_time_in_none() -> None:
    mdm, notes, run = SmallMdm(1, 2, 3), Notes(), run_of(1, 2, 3)
    answer = mdm_stages.look(mdm, run, Time())

    changed = mdm_stages.exclude(mdm, run, answer, {"dev-1", "dev-3"}, notes)
    again = mdm_stages.exclude(mdm, run, mdm_stages.look(mdm, run, Time()), {"dev-1", "dev-3"}, notes)

    assert (changed, again) == (("dev-1", "dev-3"), ())
    assert mdm.calls == [("exclude", ["1", "3"]), ("nudge", ["1", "3"])]
    assert [(one.verb, one.outcome) for one in notes.effects] == [(EXCLUDE, "done"), (NUDGE, "done")]
    assert mdm.looks == 2


def test_a_call_that_fails_is_written_down_as_perhaps_done() -> None:
    mdm, notes, run = SmallMdm(1), Notes(), run_of(1)
    mdm.broken.add("exclude")

    with pytest.raises(ScepfixError):
        mdm_stages.exclude(mdm, run, mdm_stages.look(mdm, run, Time()), {"dev-1"}, notes)

    assert [(one.verb, one.outcome) for one in notes.effects] == [(EXCLUDE, "failed")]
    assert mdm_stages.left_out(notes.effects) == {"1"}


def test_a_nudge_that_fails_holds_nothing_up() -> None:
    mdm, run = SmallMdm(1), run_of(1)
    mdm.broken.add("nudge")

    assert mdm_stages.exclude(mdm, run, mdm_stages.look(mdm, run, Time()), {"dev-1"}, Notes()) == ("dev-1",)


def test_a_device_that_the_mdm_no_longer_shows_is_put_back_by_its_id() -> None:
    mdm, run = SmallMdm(1), run_of(1)
    gone = replace(mdm_stages.look(mdm, run, Time()), devices={})
    asked = replace(run, devices={"dev-1": replace(run.devices["dev-1"], removal_asked_at=NOW)})

    assert mdm_stages.put_back(mdm, asked, gone, {"dev-1"}, Notes()) == ("dev-1",)
    assert mdm_stages.put_back(mdm, run, gone, {"dev-1"}, Notes()) == ()


def test_only_what_was_left_out_and_still_is_is_put_back_later() -> None:
    mdm, notes = SmallMdm(1, 2, 3), Notes()
    mdm.exclude(["1", "3"])

    found = mdm_stages.put_back_members(mdm, {"1", "2"}, "intent", notes)

    assert set(found) == {"1"}
    assert [one.identity.mdm_id for one in mdm.members()] == ["3"]


def test_what_a_run_left_out_is_what_no_call_that_was_done_put_back() -> None:
    effects = [
        Effect(1, EXCLUDE, ("1", "2", "3"), "", NOW, "done"),
        Effect(2, PUT_BACK, ("1",), "", NOW, "done"),
        Effect(3, PUT_BACK, ("2",), "", NOW, "failed"),
        Effect(4, PUT_BACK, ("3",), "", NOW),
    ]

    assert mdm_stages.left_out(effects) == {"2", "3"}


def test_the_first_asking_counts() -> None:
    effects = [Effect(1, EXCLUDE, ("1",), "", NOW), Effect(2, EXCLUDE, ("1",), "", NOW + timedelta(hours=1))]
    run = mdm_stages.with_effects(run_of(1, 2), effects)

    assert [device.removal_asked_at for device in run.devices.values()] == [NOW, None]


def test_waiting_ends_when_done_or_when_the_time_is_over() -> None:
    mdm, run, time = SmallMdm(1), run_of(1, wait_seconds=60), Time()
    answer = mdm_stages.look(mdm, run, time)

    mdm_stages.wait(mdm, run, answer, lambda one: mdm.looks >= 4, time, 5)
    assert (mdm.looks, time.at) == (4, NOW + timedelta(seconds=15))

    mdm_stages.wait(mdm, run, answer, lambda one: False, time, 7)
    assert time.at == NOW + timedelta(seconds=75)


def test_an_mdm_that_is_away_for_a_while_is_asked_again() -> None:
    mdm, run, time = SmallMdm(1), run_of(1, wait_seconds=20), Time()
    answer = mdm_stages.look(mdm, run, time)
    mdm.broken.add("devices")

    with pytest.raises(ScepfixError):
        mdm_stages.wait(mdm, run, answer, lambda one: False, time, 5)

    assert mdm.looks == 5


def test_only_who_is_to_be_nudged_again_is_and_in_one_call() -> None:
    mdm, run, notes = SmallMdm(1, 2, 3), run_of(1, 2, 3), Notes()
    hosts = list(run.devices)
    nudged = replace(run, devices={host: replace(run.devices[host], nudge=host != hosts[1]) for host in hosts})

    mdm_stages.nudge_again(mdm, nudged, mdm_stages.look(mdm, nudged, Time()), hosts, notes)

    assert mdm.calls == [("nudge", ["1", "3"])]


def test_without_a_look_who_is_owed_the_profile_is_put_back_in_one_call() -> None:
    mdm, run, notes = SmallMdm(1, 2, 3), run_of(1, 2, 3), Notes()
    asked = Time().now()
    owed = {
        host: replace(one, removal_asked_at=asked if host != "dev-2" else None) for host, one in run.devices.items()
    }

    hosts = mdm_stages.put_back_unseen(mdm, replace(run, devices=owed), list(owed), notes)

    assert hosts == ("dev-1", "dev-3")
    assert mdm.calls[0] == ("put_back", ["1", "3"])
    assert mdm.looks == 0


def test_where_the_mdm_cannot_name_a_member_all_that_an_earlier_run_left_out_is_put_back() -> None:
    mdm, notes = SmallMdm(1, 2), Notes()
    mdm.exclude(["1"])
    mdm.records["1"] = replace(mdm.records["1"], identity=Identity(mdm_id="directory:1"))

    found = mdm_stages.put_back_members(mdm, {"1", "2"}, "intent", notes)

    assert set(found) == {"1", "2"}
    assert mdm.calls[1:] == [("put_back", ["1", "2"]), ("nudge", ["1", "2"])]
