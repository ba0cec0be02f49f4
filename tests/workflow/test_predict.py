"""Predictions: what is said beforehand, and that what is found afterwards is said in the same words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.workflow.repair_factory import (
    DAY,
    MINUTE,
    OLD,
    POLICY,
    SCEP,
    START,
    issued,
    known,
    observation,
    planned,
    read,
    record,
    stored,
)

from scepfix.domain.device import InstalledProfile, Observation
from scepfix.domain.mdm import ManagedProfile
from scepfix.domain.plan import KnownCertificate, PlannedDevice, Sureness
from scepfix.service import stages
from scepfix.workflow.certificates import holding, in_the_way
from scepfix.workflow.predict import Predicted, actual_of, predict

PROFILE = ManagedProfile("com.example.scep", payload_types=("com.apple.security.scep",))
SIGN_ON = InstalledProfile("com.example.sso", ("com.apple.extensiblesso",))
REINSTALL, INSTALL, LEFTOVERS = "reinstall_scep_profile", "install_scep_profile", "remove_leftover_certificates"
NEWER = issued(START - DAY, number=8)
PLAIN = issued(START - DAY, marker=None, number=9)


def predicted(
    playbook: str = REINSTALL, seen: Observation | None = None, fault: str = "device-deleted", profile: object = PROFILE
) -> Predicted:
    seen = observation(OLD, PLAIN) if seen is None else seen
    return predict(fault, playbook, seen, record(), profile, POLICY)  # type: ignore[arg-type]


def words(found: Predicted) -> dict[str, tuple[str, str, str]]:
    return {one.what: (one.now, one.after, one.sureness.value) for one in found.predictions}


def known_in(seen: Observation) -> tuple[KnownCertificate, ...]:
    facts = [one.certificate for one in holding(seen).marked]
    return tuple(KnownCertificate(one.sha256, one.serial_number, one.public_key_sha256) for one in facts)


def test_a_reinstall_is_predicted_whole() -> None:
    assert words(predicted()) == {
        "profile": ("installed", "installed", "assumed"),
        "certificate": ("one old", "one new", "assumed"),
        "private-key": ("there", "there", "assumed"),
        "leftover": ("one", "none", "assumed"),
        "mdm-scope": ("in scope", "in scope", "assumed"),
        "other-certificates": ("one", "one", "certain"),
        "okta-record": ("gone", "made at the next sign-in", "assumed"),
        "registration": ("not registered", "registered", "unknowable"),
    }


def test_an_install_removes_nothing() -> None:
    found = predicted(INSTALL, observation(profiles=()), "profile-missing")
    assert words(found)["profile"] == ("absent", "installed", "assumed")
    assert words(found)["certificate"] == ("none", "one new", "assumed")
    assert words(found)["private-key"] == ("none", "there", "assumed")
    assert words(found)["okta-record"] == ("as it is", "as it is", "certain")
    assert "leftover" not in words(found)
    assert found.one_way_steps == ()


def test_leftovers_are_named_and_the_newest_usable_one_is_not_among_them() -> None:
    keyless = issued(START - 200 * DAY, number=6)
    seen = observation(OLD, NEWER, stored(keyless, private_key=False), PLAIN)
    found = predicted(LEFTOVERS, seen, "certificate-leftover")
    assert found.remove == (read(OLD).sha256,)
    assert words(found)["certificate"] == ("3 old", "2 old", "assumed")
    assert words(found)["leftover"] == ("one", "none", "assumed")
    assert words(found)["profile"] == ("installed", "installed", "certain")
    assert found.one_way_steps == (f"certificate {read(OLD).sha256} is deleted with its private key",)


def test_the_newest_usable_one_stays() -> None:
    older = issued(START - 20 * DAY, number=10)
    for seen in (observation(older, NEWER), observation(NEWER, older)):
        assert predicted(LEFTOVERS, seen).remove == (read(older).sha256,)


def test_a_keyless_leftover_that_is_pinned_is_to_go() -> None:
    pinned = replace(stored(OLD, private_key=False), identity_preference=True)
    assert predicted(LEFTOVERS, observation(pinned, NEWER)).remove == (read(OLD).sha256,)


@pytest.mark.parametrize("seen", [observation(OLD), observation(stored(NEWER, private_key=False), OLD)])
def test_where_no_usable_one_would_stay_nothing_is_to_be_deleted(seen: Observation) -> None:
    expired = issued(START - 800 * DAY, number=5)
    seen = replace(seen, certificates=(*seen.certificates, stored(expired)))
    assert predicted(LEFTOVERS, seen).remove == ()


def test_a_reinstall_names_its_one_way_step_without_a_moment() -> None:
    (step,) = predicted().one_way_steps
    assert read(OLD).serial_number in step
    assert "through the MDM" in step


@pytest.mark.parametrize("playbook", ["report", "inspect_device", "site_own"])
def test_what_changes_nothing_predicts_nothing(playbook: str) -> None:
    assert predicted(playbook) == Predicted(())


@pytest.mark.parametrize(
    ("seen", "profile"),
    [
        (observation(OLD, profiles=(SCEP, SIGN_ON)), PROFILE),
        (observation(OLD), replace(PROFILE, referred_by=("Platform SSO",))),
    ],
)
def test_a_shared_certificate_is_unknowable_and_said_so(seen: Observation, profile: ManagedProfile) -> None:
    found = predicted(seen=seen, profile=profile)
    assert words(found)["single-sign-on"][2] == "unknowable"
    assert any("Desktop Password Sync" in watch for watch in found.watches)


def test_what_nobody_read_is_unknown() -> None:
    found = predict("device-deleted", REINSTALL, observation(complete=False, profiles=None), None, None, POLICY)
    assert {words(found)[what][0] for what in ("profile", "certificate", "private-key", "mdm-scope")} == {"unknown"}


def test_two_readings_of_a_device_that_did_not_change_predict_the_same() -> None:
    later = observation(PLAIN, OLD, at=START + 10 * MINUTE, log=b"more", os_build="26B1")
    assert predicted() == predicted(seen=later)


@pytest.mark.parametrize(
    ("playbook", "before", "after"),
    [
        (REINSTALL, observation(OLD, PLAIN), observation(issued(START), PLAIN)),
        (REINSTALL, observation(PLAIN), observation(issued(START), PLAIN)),
        (INSTALL, observation(OLD, profiles=()), observation(OLD, issued(START))),
        (LEFTOVERS, observation(OLD, NEWER), observation(NEWER)),
    ],
)
def test_what_went_well_is_said_in_the_words_of_the_prediction(
    playbook: str, before: Observation, after: Observation
) -> None:
    found = predicted(playbook, before)
    device = planned(playbook, before=known_in(before), remove=found.remove)
    actual = actual_of(after, record(), device)
    predictions = {one.what: one.after for one in found.predictions}
    assert {what: predictions[what] for what in actual if what in predictions} == {
        what: value for what, value in actual.items() if what in predictions
    }
    assert {"profile", "certificate", "private-key", "mdm-scope", "other-certificates"} <= actual.keys()


@pytest.mark.parametrize(
    ("after", "what", "value"),
    [
        (observation(OLD), "certificate", "one old"),
        (observation(OLD), "leftover", "one"),
        (observation(OLD, NEWER), "certificate", "one new and one old"),
        (observation(issued(START), NEWER), "certificate", "2 new"),
        (observation(), "private-key", "none"),
        (observation(stored(NEWER, private_key=False)), "private-key", "missing"),
        (observation(stored(NEWER, private_key=None)), "private-key", "unknown"),
        (observation(profiles=()), "profile", "absent"),
    ],
)
def test_what_went_wrong_differs_from_the_prediction(after: Observation, what: str, value: str) -> None:
    predictions = {one.what: one.after for one in predicted().predictions}
    actual = actual_of(after, None, planned())
    assert actual[what] == value != predictions[what]


def test_what_was_not_seen_is_not_said() -> None:
    device: PlannedDevice = planned(before=(known(OLD),))
    assert actual_of(None, None, device) == {}
    assert actual_of(observation(OLD, complete=False, profiles=None), None, device) == {}
    assert actual_of(None, record(excluded=True), device) == {"mdm-scope": "excluded"}
    assert actual_of(None, record(in_scope=False), device) == {"mdm-scope": "out of scope"}


def test_nothing_that_depends_on_a_person_or_on_others_is_called_certain() -> None:
    sureness = {one.what: one.sureness for one in predicted().predictions}
    assert [what for what, sure in sureness.items() if sure is Sureness.CERTAIN] == ["other-certificates"]


def test_what_is_newer_than_the_usable_one_is_no_leftover() -> None:
    """A renewal that is not valid yet, say: by hand and in a plan the same are named for deletion."""
    older, usable, newer = issued(START - 99 * DAY), issued(START - 9 * DAY), issued(START + 2 * DAY, number=8)

    named = in_the_way(holding(observation(older, usable, newer)).marked, START)

    assert named == (read(older).sha256,)
    assert stages.leftovers(observation(older, usable, newer), START) == named
