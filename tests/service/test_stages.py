"""What each stage says of one device: every refusal by its code, and done only where the evidence says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certificate_factory import authority, make

from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.plan import KnownCertificate
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Stage, StageAnswer
from scepfix.domain.run import RunDevice
from scepfix.service import stages

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
IDENTITY = Identity("C02EXAMPLE01", "0F0F0F0F-1111-2222-3333-444444444444", "17")
OKTA = authority()
OLD = make(issuer=OKTA, serial=1, number=1)
NEW = make(issuer=OKTA, serial=2, number=2, not_before=NOW - timedelta(minutes=5))
EXPIRED = make(issuer=OKTA, serial=3, number=3, not_after=NOW - timedelta(days=1))
NO_MARKER = make(issuer=OKTA, serial=4, number=4, marker=None)
REINSTALL, INSTALL, LEFTOVERS = "reinstall_scep_profile", "install_scep_profile", "remove_leftover_certificates"


def stored(*made: object, store: str = "system", key: bool | None = True) -> tuple[StoredCertificate, ...]:
    return tuple(StoredCertificate(one.der, store, key) for one in made)  # type: ignore[attr-defined]


def seen(*certificates: StoredCertificate, complete: bool = True, **more: object) -> Observation:
    found = Observation(Platform.MACOS, NOW, IDENTITY, complete=complete, certificates=certificates, enrolled=True)
    return replace(found, **more)  # type: ignore[arg-type]


def known(*made: object) -> tuple[KnownCertificate, ...]:
    return tuple(one.known() for one in stages.marked(seen(*stored(*made))))


DEVICE = RunDevice("mac-042", identity=IDENTITY, before=known(OLD), playbook=REINSTALL)
RECORD = MdmDevice(IDENTITY, "mac-042", last_seen_at=NOW - timedelta(minutes=1), profile_installed=True)
PROFILE = ManagedProfile(
    "com.example.scep",
    payload_types=("com.apple.security.scep", "com.apple.security.root"),
    changed_at=NOW - timedelta(days=9),
    last_issued_at=NOW - timedelta(days=2),
)


def codes(
    observation: Observation,
    record: MdmDevice | None = RECORD,
    profile: ManagedProfile | None = PROFILE,
    device: RunDevice = DEVICE,
) -> list[str]:
    result = stages.preflight(device, observation, record, profile, NOW, RepairPolicy())
    found = [one["code"] for one in result.facts.get("refusals", ())]
    assert (result.answer is StageAnswer.DONE) is (found == [])
    return found


# --- preflight --------------------------------------------------------------------------------------------------


def test_a_device_in_order_is_let_through() -> None:
    assert codes(seen(*stored(OLD))) == []


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"set_apart": "lost-mode"}, ["removed-on-purpose"]),
        ({"managed": False}, ["not-managed"]),
        ({"last_seen_at": None}, ["silent"]),
        ({"last_seen_at": NOW - timedelta(minutes=16)}, ["silent"]),
        ({"last_seen_at": NOW - timedelta(minutes=14)}, []),
        ({"in_scope": False}, ["does-not-come-back"]),
        ({"identity": Identity("C02OTHER", IDENTITY.hardware_uuid, "17")}, ["identity-mismatch"]),
        ({"identity": Identity(IDENTITY.serial_number, "", "17")}, ["identity-mismatch"]),
        ({"identity": replace(IDENTITY, mdm_id="18")}, ["identity-mismatch"]),
    ],
    ids=str,
)
def test_the_record_of_the_mdm_is_judged(change: dict[str, object], refused: list[str]) -> None:
    assert codes(seen(*stored(OLD)), replace(RECORD, **change)) == refused  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({"last_issued_at": None}, ["never-issued"]),
        ({"last_issued_at": NOW - timedelta(days=10)}, ["never-issued"]),
        ({"changed_at": None}, []),
        ({"comes_back": "the device fails a limitation"}, ["does-not-come-back"]),
        ({"declarative": True}, ["declarative"]),
        ({"payload_types": ("com.apple.security.scep", "com.apple.MCX")}, ["bundled"]),
        (
            {"payload_types": ("com.apple.security.scep", "com.apple.wifi.managed")},
            ["bundled", "channel-needs-certificate"],
        ),
        ({"referred_by": ("VPN profile",)}, ["referred-by"]),
        ({"scope": "user"}, ["wrong-scope"]),
        ({"group_uses": ("excludes FileVault",)}, ["group-not-alone"]),
    ],
    ids=str,
)
def test_the_profile_is_judged(change: dict[str, object], refused: list[str]) -> None:
    assert codes(seen(*stored(OLD)), profile=replace(PROFILE, **change)) == refused  # type: ignore[arg-type]


def test_what_the_device_says_is_judged() -> None:
    wifi = InstalledProfile("com.example.scep", ("com.apple.security.scep", "com.apple.vpn.managed"))
    other = replace(IDENTITY, hardware_uuid="0F0F0F0F-1111-2222-3333-55555555555F")

    assert codes(seen(complete=False)) == ["keychain-unreadable"]
    assert codes(seen(enrolled=False)) == ["not-managed"]
    assert codes(seen(identity=other)) == ["identity-mismatch"]
    assert codes(seen(identity=Identity())) == ["identity-mismatch", "identity-mismatch"]
    assert codes(seen(profiles=(wifi,))) == ["bundled", "channel-needs-certificate"]
    assert codes(seen(), record=None) == ["unknown-device"]
    assert codes(seen(), profile=None) == ["does-not-come-back"]


def test_an_install_or_a_deletion_is_not_refused_for_what_only_a_removal_risks() -> None:
    never, bundled = replace(PROFILE, last_issued_at=None), replace(PROFILE, payload_types=("com.apple.MCX",))
    silent = replace(RECORD, last_seen_at=None)

    assert codes(seen(), profile=never, device=replace(DEVICE, playbook=INSTALL)) == []
    assert codes(seen(), silent, bundled, replace(DEVICE, playbook=LEFTOVERS)) == []
    assert codes(seen(), silent, device=replace(DEVICE, playbook=INSTALL)) == ["silent"]
    apart = replace(RECORD, set_apart="wiped")
    for playbook in (REINSTALL, INSTALL, LEFTOVERS):
        assert codes(seen(), apart, device=replace(DEVICE, playbook=playbook)) == ["removed-on-purpose"]


def test_a_refusal_is_inert() -> None:
    profile = replace(PROFILE, payload_types=("\x1b[31m{{ x }}",), referred_by=("a\nb",))
    result = stages.preflight(DEVICE, seen(), RECORD, profile, NOW, RepairPolicy())

    assert result.waiting_for.isprintable()


# --- uninstall and re-install -----------------------------------------------------------------------------------

ASKED = NOW - timedelta(minutes=10)
ASKING = replace(DEVICE, removal_asked_at=ASKED)
EXCLUDED = replace(RECORD, excluded=True)


def later(minutes: int) -> datetime:
    return ASKED + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (EXCLUDED, StageAnswer.NOT_YET),
        (replace(EXCLUDED, removed_at=later(-60)), StageAnswer.NOT_YET),
        (replace(EXCLUDED, removed_at=ASKED), StageAnswer.NOT_YET),
        (replace(EXCLUDED, removed_at=later(1)), StageAnswer.DONE),
        (replace(RECORD, removed_at=later(1)), StageAnswer.DONE),
        (replace(EXCLUDED, profile_installed=False), StageAnswer.DONE),
        (replace(EXCLUDED, profile_installed=False, removal_pending=True), StageAnswer.NOT_YET),
        (replace(RECORD, profile_installed=False), StageAnswer.NOT_YET),
        (replace(RECORD, set_apart="locked"), StageAnswer.FAILED),
        (None, StageAnswer.FAILED),
    ],
)
def test_the_profile_is_gone_when_that_was_acknowledged_later_than_asked(
    record: MdmDevice | None, answer: StageAnswer
) -> None:
    assert stages.uninstall(ASKING, record, PROFILE, effects=True).answer is answer


def test_the_removal_is_asked_for_once_and_never_of_a_device_set_apart() -> None:
    assert stages.to_exclude(DEVICE, RECORD)
    assert not stages.to_exclude(DEVICE, EXCLUDED)
    assert not stages.to_exclude(ASKING, replace(RECORD, removed_at=later(1)))
    assert not stages.to_exclude(DEVICE, None)
    assert not stages.to_exclude(DEVICE, replace(RECORD, set_apart="wiped"))
    assert not stages.to_exclude(DEVICE, replace(RECORD, identity=replace(IDENTITY, mdm_id="18")))


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (replace(RECORD, removed_at=later(1), installed_at=later(2)), StageAnswer.DONE),
        (replace(RECORD, removed_at=later(1), installed_at=later(-9)), StageAnswer.NOT_YET),
        (replace(RECORD, removed_at=later(1), installed_at=later(1)), StageAnswer.NOT_YET),
        (replace(RECORD, removed_at=later(1)), StageAnswer.NOT_YET),
        (replace(RECORD, removed_at=later(1), installed_at=later(2), profile_installed=False), StageAnswer.NOT_YET),
        (replace(EXCLUDED, removed_at=later(1), installed_at=later(2)), StageAnswer.NOT_YET),
        (replace(RECORD, removal_pending=True), StageAnswer.NOT_YET),
        (replace(RECORD, installed_at=later(-60)), StageAnswer.DONE),
        (replace(RECORD, profile_installed=False), StageAnswer.NOT_YET),
        (replace(RECORD, profile_installed=None), StageAnswer.NOT_YET),
        (replace(RECORD, removed_at=later(1), install_status="Error"), StageAnswer.NOT_YET),
        (None, StageAnswer.NOT_YET),
    ],
)
def test_the_profile_is_back_when_that_was_acknowledged_later_than_the_removal(
    record: MdmDevice | None, answer: StageAnswer
) -> None:
    assert stages.reinstall(ASKING, record, PROFILE, effects=True).answer is answer


moments = st.none() | st.integers(-5, 5).map(later)
records = st.builds(
    lambda excluded, installed, pending, removed, came: replace(
        RECORD,
        excluded=excluded,
        profile_installed=installed,
        removal_pending=pending,
        removed_at=removed,
        installed_at=came,
    ),
    st.booleans(),
    st.sampled_from([True, False, None]),
    st.booleans(),
    moments,
    moments,
)


def test_an_mdm_whose_clock_is_behind_ours_is_compared_with_itself() -> None:
    removed, back = later(2), later(4)
    device = replace(ASKING, removed_at=later(9), installed_before=later(-60))

    record = replace(RECORD, removed_at=removed, installed_at=back, profile_installed=True)
    assert stages.reinstall(device, record).answer is StageAnswer.DONE
    assert stages.reinstall(device, replace(record, installed_at=later(1))).answer is StageAnswer.NOT_YET
    never = replace(record, removed_at=None, installed_at=later(-60), profile_installed=None)
    assert stages.reinstall(device, never).answer is StageAnswer.NOT_YET


@given(records)
def test_no_device_is_called_re_installed_that_is_or_will_be_without_its_profile(record: MdmDevice) -> None:
    if stages.reinstall(ASKING, record).answer is StageAnswer.DONE:
        assert not record.excluded
        assert not record.removal_pending
        assert record.profile_installed is not False
        assert record.removed_at is None or (
            record.installed_at is not None and record.installed_at > record.removed_at
        )


# --- confirm and inspect ----------------------------------------------------------------------------------------


def test_the_old_certificates_are_gone_when_a_whole_listing_lacks_them() -> None:
    assert stages.confirm(DEVICE, seen(*stored(NO_MARKER))).answer is StageAnswer.DONE
    left = stages.confirm(DEVICE, seen(*stored(OLD)))
    assert (left.answer, left.facts["leftovers"]) == (StageAnswer.NOT_YET, [DEVICE.before[0].sha256])
    assert stages.confirm(DEVICE, seen(complete=False)).answer is StageAnswer.NOT_YET
    # Another certificate with the marker was not there before; one in a person's keychain is not the computer's.
    assert stages.confirm(DEVICE, seen(*stored(NEW))).answer is StageAnswer.DONE
    assert stages.confirm(DEVICE, seen(*stored(OLD, store="login:ann"))).answer is StageAnswer.DONE


def test_another_device_confirms_nothing() -> None:
    other = seen(identity=replace(IDENTITY, serial_number="C02OTHER0002"))

    assert stages.confirm(DEVICE, other).answer is StageAnswer.FAILED
    assert stages.inspect(DEVICE, other, NOW).answer is StageAnswer.FAILED


@pytest.mark.parametrize(
    ("observation", "answer"),
    [
        (seen(*stored(NEW)), StageAnswer.DONE),
        (seen(*stored(OLD, NEW)), StageAnswer.DONE),
        (seen(*stored(NEW), complete=False), StageAnswer.NOT_YET),
        (seen(*stored(OLD)), StageAnswer.NOT_YET),
        (seen(*stored(NO_MARKER)), StageAnswer.NOT_YET),
        (seen(*stored(EXPIRED)), StageAnswer.NOT_YET),
        (seen(*stored(NEW, key=False)), StageAnswer.NOT_YET),
        (seen(*stored(NEW, store="login:ann")), StageAnswer.NOT_YET),
        (seen(), StageAnswer.NOT_YET),
    ],
)
def test_a_new_certificate_is_one_that_was_not_there_and_can_be_used(
    observation: Observation, answer: StageAnswer
) -> None:
    assert stages.inspect(DEVICE, observation, NOW).answer is answer


# --- leftovers --------------------------------------------------------------------------------------------------

LEFT = replace(DEVICE, playbook=LEFTOVERS, remove=(known(OLD)[0].sha256, known(NEW)[0].sha256), before=())


def test_only_what_is_named_has_the_marker_and_is_not_the_newest_usable_may_be_deleted() -> None:
    everything = seen(*stored(OLD, NEW, EXPIRED, NO_MARKER))

    assert [one.stored.der for one in stages.removable(LEFT, everything, NOW)] == [OLD.der]
    assert stages.removable(LEFT, seen(*stored(OLD, NEW), complete=False), NOW) == ()
    assert stages.removable(LEFT, seen(*stored(OLD, NEW, key=False)), NOW) == ()
    assert set(stages.leftovers(everything, NOW)) == {known(OLD)[0].sha256, known(EXPIRED)[0].sha256}
    assert stages.leftovers(seen(*stored(EXPIRED)), NOW) == ()


def test_nothing_is_deleted_on_another_device_or_on_windows() -> None:
    for observation in (seen(identity=replace(IDENTITY, serial_number="X")), seen(platform=Platform.WINDOWS)):
        with pytest.raises(ScepfixError):
            stages.removable(LEFT, observation, NOW)


def test_leftovers_are_gone_when_a_whole_listing_lacks_them_and_one_stays_usable() -> None:
    device = replace(LEFT, remove=LEFT.remove[:1])

    assert stages.remove_leftovers(device, seen(*stored(NEW)), NOW).answer is StageAnswer.DONE
    assert stages.remove_leftovers(device, seen(*stored(OLD, NEW)), NOW).answer is StageAnswer.NOT_YET
    assert stages.remove_leftovers(device, seen(*stored(NEW), complete=False), NOW).answer is StageAnswer.NOT_YET
    assert stages.remove_leftovers(device, seen(*stored(EXPIRED)), NOW).answer is StageAnswer.FAILED
    assert stages.inspect(device, seen(*stored(NEW)), NOW).answer is StageAnswer.DONE


def test_no_answer_says_why_and_whether_something_may_have_been_changed() -> None:
    error = ScepfixError("observation-cut", "the answer ends early")

    unreadable = stages.no_answer(Stage.CONFIRM, error, effects=True)
    silent = stages.no_answer(Stage.CONFIRM, error, unreachable=True)

    assert (unreadable.answer, unreadable.facts["effects"]) == (StageAnswer.NOT_YET, True)
    assert (silent.answer, silent.facts["error"]) == (
        StageAnswer.UNREACHABLE,
        "observation-cut: the answer ends early",
    )


@pytest.mark.parametrize(
    ("offset", "refused"), [(None, False), (300.0, False), (-300.0, False), (301.0, True), (-900.0, True)]
)
def test_a_clock_that_is_far_off_is_refused(offset: float | None, refused: bool) -> None:
    assert codes(seen(*stored(OLD), clock_offset_seconds=offset)) == (["clock-wrong"] if refused else [])


def test_a_device_that_was_seen_excluded_and_is_not_is_not_excluded_again() -> None:
    put_back = replace(DEVICE, removal_asked_at=NOW, seen_excluded=True)

    assert stages.to_exclude(DEVICE, RECORD)
    assert not stages.to_exclude(put_back, RECORD)
    answer = stages.uninstall(put_back, RECORD)
    assert (answer.answer, "put the device back" in answer.waiting_for) == (StageAnswer.FAILED, True)
