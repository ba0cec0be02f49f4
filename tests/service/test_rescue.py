"""Nobody stays in the exclusion group without a repair that wants it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.engine_setup import Setup

from scepfix.domain.device import Identity
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Outcome
from scepfix.service.advance import Progress
from scepfix.service.apply import remediations_of
from scepfix.service.rescue import put_back_left_out, reconcile, rescue
from scepfix.simulator.mdm import MdmOnAClock


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Setup]:
    """Two Macs in the exclusion group; nobody wrote down why."""
    setup = Setup(tmp_path, "mac-001", "mac-002")
    mdm(setup).exclude([mac.facts.mdm_id for mac in setup.world.macs.values()])
    yield setup
    setup.close()


def mdm(setup: Setup) -> MdmOnAClock:
    return MdmOnAClock(setup.world.mdm, setup.clock.now)


def members(setup: Setup) -> set[str]:
    return {member.name for member in mdm(setup).members()}


def begin(setup: Setup, **changes: object) -> None:
    """Begin the repair of the first Mac, its removal asked for just now."""
    first = replace(setup.plan, devices=setup.plan.devices[:1])
    asked = {"removal_asked_at": setup.clock.now(), **changes}
    setup.store.begin([replace(remediations_of(first)[0], **asked)])  # type: ignore[arg-type]


def test_rescue_needs_nothing_but_the_mdm(two: Setup) -> None:
    begin(two)

    found = rescue(mdm(two))

    assert {device.name for device in found} == {"mac-001", "mac-002"}
    assert members(two) == set()
    assert rescue(mdm(two)) == ()


def test_reconcile_leaves_an_open_removal_alone(two: Setup) -> None:
    begin(two)

    found = reconcile(mdm(two), two.store, RepairPolicy(), two.clock.now())

    assert [device.name for device in found] == ["mac-002"]
    assert members(two) == {"mac-001"}


def test_reconcile_puts_back_who_was_asked_back_already(two: Setup) -> None:
    begin(two, reinstall_asked_at=two.clock.now())

    reconcile(mdm(two), two.store, RepairPolicy(), two.clock.now())

    assert members(two) == set()


def test_reconcile_puts_back_who_has_been_out_too_long(two: Setup) -> None:
    begin(two)
    policy = RepairPolicy(put_back_after_hours=4)
    limit = two.clock.now() + timedelta(hours=4)

    reconcile(mdm(two), two.store, policy, limit - timedelta(minutes=1))
    assert members(two) == {"mac-001"}

    reconcile(mdm(two), two.store, policy, limit + timedelta(minutes=1))
    assert members(two) == set()


def test_a_repair_that_removed_nothing_wants_nobody_in_the_group(two: Setup) -> None:
    begin(two, removal_asked_at=None)

    reconcile(mdm(two), two.store, RepairPolicy(), two.clock.now())

    assert members(two) == set()


class BigMdm(MdmOnAClock):
    """One with many members; it keeps what it is asked."""

    def __init__(self, count: int) -> None:
        self.group = [str(number) for number in range(count)]
        self.changes: list[int] = []

    def members(self) -> tuple[MdmDevice, ...]:
        return tuple(MdmDevice(Identity(mdm_id=number), name=f"mac-{number}") for number in self.group)

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        self.changes.append(len(mdm_ids))
        self.group = [number for number in self.group if number not in mdm_ids]


def test_many_members_are_put_back_in_chunks() -> None:
    many = BigMdm(250)

    assert len(rescue(many)) == 250
    assert many.changes == [100, 100, 50]
    assert many.group == []


def test_a_start_says_whom_it_put_back(two: Setup) -> None:
    begin(two)
    said: list[str] = []

    put_back_left_out(lambda: mdm(two), two.store, RepairPolicy(), two.clock.now(), said.append)

    assert members(two) == {"mac-001"}
    assert len(said) == 1
    assert said[0].startswith("mac-002 was left in the exclusion group")


def test_a_start_goes_on_where_the_mdm_does_not_answer(two: Setup) -> None:
    def down() -> MdmOnAClock:
        raise ScepfixError("mdm-unreachable", "the MDM does not answer")

    said: list[str] = []

    put_back_left_out(down, two.store, RepairPolicy(), two.clock.now(), said.append)

    assert said == ["who was left out of the profile's scope could not be looked up: the MDM does not answer"]


def test_a_device_that_was_rescued_in_the_middle_is_not_excluded_again(tmp_path: Path) -> None:
    """It loses nothing, and the repair says that nothing was removed."""
    setup = Setup(tmp_path, "mac-001")
    setup.world.tell("mac-001", "removal-silent", "yes", setup.clock.now())
    rescued: list[MdmDevice] = []

    def told(progress: Progress) -> None:
        members_now = [one for one in progress.remediations if one.seen_excluded]
        if members_now and not rescued:
            rescued.extend(rescue(mdm(setup)))

    setup.begin()
    done = setup.advance(tell=told)
    setup.close()

    assert len(rescued) == 1
    assert [effect["verb"] for effect in setup.world.effects() if effect["verb"] in ("exclude", "RemoveProfile")] == [
        "exclude"
    ]
    assert members(setup) == set()
    assert [one.outcome for one in done] == [Outcome.FAILED]
    assert "nothing was removed" in done[0].error


class OneRefused(MdmOnAClock):
    """Refuses each change that one device is in."""

    def __init__(self, setup: Setup, refused: str) -> None:
        super().__init__(setup.world.mdm, setup.clock.now)
        self._refused = refused

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        if self._refused in mdm_ids:
            raise ScepfixError("mdm-refused", "it refused (500)", where="MDM", hint="why?")
        super().put_back(mdm_ids)


def test_one_device_that_the_mdm_refuses_keeps_no_other_out(two: Setup) -> None:
    refused = two.world.macs["mac-001"].facts.mdm_id

    with pytest.raises(ScepfixError) as caught:
        rescue(OneRefused(two, refused))

    assert (caught.value.code, members(two)) == ("rescue-incomplete", {"mac-001"})
    assert "1 of 2 devices were put back, and not mac-001: it refused (500)" in caught.value.message


class Nameless(MdmOnAClock):
    """Knows of its members no key of the device itself."""

    def members(self) -> tuple[MdmDevice, ...]:
        return tuple(replace(one, identity=Identity(mdm_id=one.identity.mdm_id)) for one in super().members())


def test_reconcile_disturbs_nobody_of_whom_it_cannot_tell_who_it_is(two: Setup) -> None:
    nameless = Nameless(two.world.mdm, two.clock.now)
    begin(two)
    asked = two.plan.devices[0].identity
    stored = two.store.remediations()[0]
    other = replace(stored.device, identity=replace(asked, mdm_id="another-name-of-it"))
    two.store.commit([replace(stored, device=other, seq=stored.seq + 1)], [])

    assert reconcile(nameless, two.store, RepairPolicy(), two.clock.now()) == ()
    assert len(rescue(nameless)) == 2
