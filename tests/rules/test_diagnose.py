"""Rules: evidence in, the whole answer compared; what shows each fault, what does not, and when nothing is named."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evidence_factory import at, catalogue, certificate, device, judged, log, mdm, okta, said

from scepfix.domain.diagnosis import Answer, Diagnosis, Standing, Verdict
from scepfix.domain.evidence import SAYS, Evidence, Witness
from scepfix.domain.fault import DRAWN_SIGNS, Symptom

M1, M2, M3 = "log.attempt", "log.no-certificate", "log.rejected"
YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
CONFIRMED, LIKELY, POSSIBLE = Standing.CONFIRMED, Standing.LIKELY, Standing.POSSIBLE


def short(found: Diagnosis) -> tuple[str | None, Standing | None, Answer, str | None]:
    return found.fault, found.standing, found.pin_possible_now, found.playbook


FAULTS: dict[str, tuple[list[Evidence], tuple[str, Standing, Answer, str]]] = {
    "no certificate, from a ticket": (
        [log(M1, "11-23 08:15"), log(M2, "11-23 08:16", line=2)],
        ("certificate-missing", LIKELY, NO, "reinstall_scep_profile"),
    ),
    "no certificate, and the keychain agrees": (
        [log(M2, "11-23 08:16"), device("keychain.none")],
        ("certificate-missing", CONFIRMED, NO, "reinstall_scep_profile"),
    ),
    "two readings of one device are one witness": (
        [device(M2, "11-23 08:16"), device("keychain.none")],
        ("certificate-missing", LIKELY, NO, "reinstall_scep_profile"),
    ),
    "rejected, Okta not looked at": ([log(M3, "11-23 08:16")], ("certificate-rejected", LIKELY, NO, "report")),
    "rejected, record active": (
        [log(M3, "11-23 08:16"), okta("okta.device-active")],
        ("certificate-rejected", LIKELY, NO, "report"),
    ),
    "rejected, suspended keeps its certificate": (
        [log(M3, "11-23 08:16"), okta("okta.device-suspended")],
        ("certificate-rejected", LIKELY, NO, "report"),
    ),
    "rejected and revoked": (
        [log(M3, "11-23 08:16"), okta("okta.certificate-revoked")],
        ("certificate-rejected", CONFIRMED, NO, "reinstall_scep_profile"),
    ),
    "deleted": (
        [log(M3, "11-23 08:16"), okta("okta.device-gone")],
        ("device-deleted", CONFIRMED, NO, "reinstall_scep_profile"),
    ),
    "somebody says that it was deleted": (
        [log(M3, "11-23 08:16"), said("okta.device-gone")],
        ("device-deleted", LIKELY, NO, "reinstall_scep_profile"),
    ),
    "deactivated": (
        [log(M3, "11-23 08:16"), okta("okta.device-deactivated")],
        ("device-deactivated", CONFIRMED, NO, "report"),
    ),
    "expired": (
        [log(M2, "11-23 08:16"), certificate(400, -35)],
        ("certificate-expired", CONFIRMED, NO, "reinstall_scep_profile"),
    ),
    "wrong kind": (
        [
            log(M2, "11-23 08:16"),
            device("keychain.none"),
            certificate(device_access_marker=False, issuer="CN=Organization Intermediate Authority,DC=okta,DC=com"),
        ],
        ("certificate-wrong-type", CONFIRMED, NO, "report"),
    ),
    "wrong store": (
        [log(M2, "11-23 08:16"), certificate(store="CurrentUser\\My")],
        ("certificate-wrong-store", CONFIRMED, NO, "report"),
    ),
    "wrong org": (
        [log(M3, "11-23 08:16"), certificate(org_issuer=False)],
        ("certificate-wrong-org", CONFIRMED, NO, "report"),
    ),
    "no private key": (
        [log(M2, "11-23 08:16"), certificate(private_key=False)],
        ("certificate-key-unusable", CONFIRMED, NO, "reinstall_scep_profile"),
    ),
    "leftover with its key": (
        [certificate(), certificate(300, 65, name="b")],
        ("certificate-leftover", LIKELY, NO, "remove_leftover_certificates"),
    ),
    "leftover pinned by an identity preference": (
        [certificate(), certificate(300, 65, name="b", private_key=False, identity_preference=True)],
        ("certificate-leftover", LIKELY, NO, "remove_leftover_certificates"),
    ),
    "profile not there": (
        [log(M2, "11-23 08:16"), mdm("mdm.profile-missing", reason="out-of-scope")],
        ("profile-missing", CONFIRMED, NO, "install_scep_profile"),
    ),
    "profile not in the device's list": (
        [log(M2, "11-23 08:16"), device("profile.none")],
        ("profile-missing", CONFIRMED, NO, "install_scep_profile"),
    ),
    "profile with a breaking setting": (
        [log(M2, "11-23 08:16"), said("profile.breaks", codes=["user-scope"])],
        ("profile-misconfigured", LIKELY, NO, "report"),
    ),
    "install failed": (
        [log(M2, "11-23 08:16"), mdm("mdm.install-failed", status="NotNow")],
        ("scep-enrolment-failed", CONFIRMED, NO, "report"),
    ),
    "profile there, certificate never": (
        [log(M2, "11-23 08:16"), device("profile.installed"), device("keychain.none")],
        ("scep-enrolment-failed", CONFIRMED, NO, "report"),
    ),
    "not managed": (
        [log(M2, "11-23 08:16"), mdm("mdm.not-managed")],
        ("device-not-managed", CONFIRMED, NO, "report"),
    ),
    "profile came declaratively": ([mdm("mdm.profile-declarative")], ("device-not-managed", CONFIRMED, NO, "report")),
    "not registered yet": (
        [certificate(), okta("okta.not-registered")],
        ("not-registered-yet", CONFIRMED, NO, "report"),
    ),
    "Okta Verify forgot": (
        [log("log.enrolment-lost", "11-23 08:16")],
        ("okta-verify-enrolment-lost", LIKELY, NO, "report"),
    ),
    "good certificate, sign-in, no record": (
        [certificate(), device("device.sign-in", "11-23 08:00"), okta("okta.no-record")],
        ("okta-verify-enrolment-lost", CONFIRMED, NO, "report"),
    ),
    "not assigned": ([said("log.user-not-assigned")], ("user-not-in-desktop-mfa", LIKELY, NO, "report")),
    "exempted": (
        [device("device.mfa-list", list="MFANotRequiredList", person_on_it=True)],
        ("user-not-in-desktop-mfa", LIKELY, NO, "report"),
    ),
    "daemon not there": ([device("device.daemon", present=False)], ("desktop-mfa-not-installed", LIKELY, NO, "report")),
    "App Store app": (
        [device("device.okta-verify", source="app-store", version="9.56.1", platform="macos")],
        ("desktop-mfa-not-installed", LIKELY, NO, "report"),
    ),
    "client too old": (
        [
            log("log.device-not-registered", platform="windows"),
            device("device.okta-verify", version="6.1.0", platform="windows"),
        ],
        ("client-outdated", LIKELY, NO, "report"),
    ),
    "clock off": ([device("device.clock", offset_seconds=-301)], ("clock-wrong", LIKELY, NO, "report")),
    "setting off": ([okta("okta.pin-setting", enabled=False)], ("recovery-pin-disabled", CONFIRMED, NO, "report")),
    "admin may not": (
        [okta("okta.admin-may-generate", allowed=False)],
        ("admin-permission-missing", CONFIRMED, NO, "report"),
    ),
    "prerequisite": (
        [said("prerequisite.unmet", id="recovery-feature")],
        ("prerequisite-missing", LIKELY, NO, "report"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_evidence_names_the_fault(name: str) -> None:
    evidence, expected = FAULTS[name]
    assert short(judged(*evidence)) == expected


def test_every_row_of_the_catalogue_is_named_by_some_evidence() -> None:
    assert {fault for _, (fault, _, _, _) in FAULTS.values()} == {fault.id for fault in catalogue().faults}


@pytest.mark.parametrize("name", FAULTS)
def test_the_order_of_evidence_does_not_matter(name: str) -> None:
    evidence, expected = FAULTS[name]
    for order in permutations(evidence):
        assert short(judged(*order)) == expected


NOT_DETERMINED: dict[str, list[Evidence]] = {
    "nothing": [],
    "a lone attempt": [log(M1, "11-23 08:15")],
    "an attempt after the error": [log(M2, "11-22 08:15"), log(M1, "11-23 08:15", line=2)],
    "an unknown text": [log("log.registration-failed", "11-23 08:15")],
    "a listing without a canary": [device("keychain.unreadable")],
    "a good certificate alone": [certificate()],
    "no certificate, and a usable one from before": [log(M2, "11-23 08:15"), certificate()],
    "an error without a time beside a usable certificate": [log(M2), certificate()],
    "two sources without times that disagree": [log(M2), log(M3, source="other")],
    "a clock that is right": [device("device.clock", offset_seconds=300)],
    "the setting is on": [okta("okta.pin-setting", enabled=True)],
    "a PC with a new enough client": [device("device.okta-verify", version="6.1.1", platform="windows")],
    "a Mac with that number": [device("device.okta-verify", version="6.1.0", platform="macos")],
    "a leftover without its key": [certificate(), certificate(300, 65, name="b", private_key=False)],
    "a record that is active": [okta("okta.device-active")],
}


@pytest.mark.parametrize("name", NOT_DETERMINED)
def test_scepfix_knows_when_it_does_not_know(name: str) -> None:
    found = judged(*NOT_DETERMINED[name])
    assert (found.verdict, found.fault, found.standing, found.playbook) == (Verdict.UNDETERMINED, None, None, None)
    assert found.pin_possible_now is UNKNOWN
    assert found.missing


def test_an_error_older_than_the_certificate_is_stale_and_starts_nothing() -> None:
    found = judged(log(M3, "11-19 08:15"), certificate(days_old=3))
    assert (found.verdict, found.stale, found.playbook) == (Verdict.UNDETERMINED, True, None)
    assert [rival.fault for rival in found.rivals] == ["not-registered-yet"]


def test_an_error_before_a_registration_is_stale_and_the_device_is_healthy() -> None:
    found = judged(log(M2, "11-19 08:15"), okta("okta.registered", "11-23 08:00"))
    assert (found.verdict, found.stale, found.pin_possible_now) == (Verdict.HEALTHY, True, YES)


def test_an_error_after_the_certificate_came_is_not_stale() -> None:
    found = judged(log(M3, "11-23 08:15"), certificate(days_old=3))
    assert (found.fault, found.stale) == ("certificate-rejected", False)


def test_instants_decide_and_not_the_text() -> None:
    # 09:30 at +0100 is before 08:45 UTC, though it reads later.
    earlier = log(M3, "2026-11-23T09:30:00+01:00", line=2)
    later = log(M2, "2026-11-23T08:45:00+00:00", line=1)
    assert judged(earlier, later).fault == "certificate-missing"


def test_a_deleted_device_with_a_new_certificate_is_not_repaired_again() -> None:
    found = judged(log(M3, "11-19 08:15"), okta("okta.device-gone"), certificate(days_old=3))
    assert (found.verdict, found.stale, found.playbook) == (Verdict.UNDETERMINED, True, None)


def test_a_new_record_does_not_hide_that_the_old_certificate_is_rejected() -> None:
    found = judged(
        log(M3, "11-23 08:15"), okta("okta.device-gone", device_id="old"), okta("okta.device-active", device_id="new")
    )
    assert (found.fault, found.standing) == ("device-deleted", CONFIRMED)


def test_the_last_reading_of_a_record_counts() -> None:
    found = judged(
        log(M3, "11-23 08:15"),
        okta("okta.device-gone", "11-24 07:00", device_id="x"),
        okta("okta.device-active", "11-24 08:00", device_id="x"),
    )
    assert found.fault == "certificate-rejected"


def test_the_owner_of_a_setting_outweighs_hearsay() -> None:
    found = judged(okta("okta.pin-setting", enabled=True), said("okta.pin-setting", enabled=False))
    assert found.verdict is Verdict.UNDETERMINED


def test_a_second_rejection_a_day_later_with_the_rivals_ruled_out_allows_the_repair() -> None:
    ruled_out = [
        okta("okta.device-active"),
        device("device.clock", "11-24 08:00", offset_seconds=2),
        certificate(org_issuer=True),
    ]
    twice = [log(M3, "11-21 08:15"), log(M3, "11-23 08:15", line=2)]
    assert judged(*twice, *ruled_out).playbook == "reinstall_scep_profile"
    assert judged(*twice, *ruled_out[:2]).playbook == "report"
    assert judged(*twice[1:], *ruled_out).playbook == "report"


def test_an_outage_at_that_time_makes_a_rejection_only_possible() -> None:
    found = judged(log(M3, "11-23 08:15"), okta("okta.unavailable", "11-23 08:14"))
    assert (found.fault, found.standing, found.pin_possible_now) == ("certificate-rejected", POSSIBLE, UNKNOWN)


def test_windows_not_registered_alone() -> None:
    found = judged(log("log.device-not-registered", platform="windows"))
    assert (found.fault, found.standing) == ("not-registered-yet", POSSIBLE)
    assert "client-outdated" in [rival.fault for rival in found.rivals]


def test_the_symptom_is_the_first_missing_fact_when_nobody_stated_it() -> None:
    for evidence in ([log(M2, "11-23 08:15")], [log(M1, "11-23 08:15")], []):
        assert judged(*evidence, symptom=None).missing[0].startswith("symptom:")
        assert not any(text.startswith("symptom:") for text in judged(*evidence).missing)


def test_the_symptom_may_come_as_evidence() -> None:
    found = judged(said("ticket.symptom", symptom="option-not-there"), log(M2, "11-23 08:15"), symptom=None)
    assert (found.verdict, found.also) == (Verdict.UNDETERMINED, ())


def test_option_not_there_never_looks_at_a_device() -> None:
    found = judged(log(M2, "11-23 08:15"), symptom=Symptom.OPTION_NOT_THERE)
    assert (found.verdict, found.fault, found.playbook) == (Verdict.UNDETERMINED, None, None)
    assert found.also == ()
    assert found.evidence == ()
    assert {rival.fault for rival in found.rivals} == {"recovery-pin-disabled", "admin-permission-missing"}


def test_an_org_fault_comes_first_and_the_device_fault_stands_beside_it() -> None:
    found = judged(log(M2, "11-23 08:15"), okta("okta.pin-setting", enabled=False))
    assert (found.fault, found.also, found.pin_possible_now) == ("recovery-pin-disabled", ("certificate-missing",), NO)


def test_a_recent_registration_may_still_give_a_pin() -> None:
    evidence = [certificate(400, -1), okta("okta.registered", "11-22 08:00")]
    found = judged(*evidence, symptom=None)
    assert (found.fault, found.pin_possible_now) == ("certificate-expired", UNKNOWN)
    assert judged(*evidence).pin_possible_now is NO


def test_an_old_registration_is_healthy_but_promises_nothing() -> None:
    found = judged(okta("okta.registered", "2026-08-01T00:00:00+00:00"))
    assert (found.verdict, found.pin_possible_now) == (Verdict.HEALTHY, UNKNOWN)
    assert any(text.startswith("online:") for text in found.missing)


def test_a_registration_on_a_deleted_record_is_void() -> None:
    found = judged(okta("okta.registered", "11-20 08:00", device_id="x"), okta("okta.device-gone", device_id="x"))
    assert found.fault == "device-deleted"


def test_evidence_about_another_person_is_left_out() -> None:
    evidence = [
        okta("okta.registered", "11-23 08:00", person="alice"),
        okta("okta.not-registered", "11-23 09:00", person="bob"),
    ]
    assert judged(*evidence, person="Alice").verdict is Verdict.HEALTHY
    assert judged(*evidence, person="bob").fault == "not-registered-yet"
    unknown = judged(*evidence)
    assert unknown.verdict is Verdict.UNDETERMINED
    assert any(text.startswith("person:") for text in unknown.missing)


def test_a_rejection_without_a_time_beside_a_usable_certificate_is_only_possible() -> None:
    found = judged(log(M3), certificate())
    assert (found.fault, found.standing, found.playbook) == ("certificate-rejected", POSSIBLE, "report")


#: An older reading against, and what came later.
REPAIRED: dict[str, list[Evidence]] = {
    "a listing from before the certificate": [device("keychain.none", "11-20 08:00"), certificate(days_old=2)],
    "the MDM's list from before it": [mdm("mdm.certificate-none", "11-20 08:00"), certificate(days_old=2)],
    "the revoked one was another": [
        okta("okta.certificate-revoked", "11-20 08:00", serial_number="ff01"),
        certificate(2),
    ],
    "an install that failed first": [
        mdm("mdm.install-failed", "11-20 08:00"),
        mdm("mdm.profile-installed", "11-23 08:00"),
    ],
    "a profile that came": [mdm("mdm.profile-missing", "11-20 08:00"), mdm("mdm.profile-installed", "11-23 08:00")],
    "a profile that the device lists now": [
        device("profile.none", "11-20 08:00"),
        device("profile.installed", "11-23 08:00"),
    ],
    "a profile that was corrected": [said("profile.breaks", "11-20 08:00"), said("profile.ok", "11-23 08:00")],
    "a device that answered again": [mdm("mdm.silent", "11-20 08:00", days=30), mdm("mdm.device", "11-23 08:00")],
    "a refusal from before the certificate": [said("scep.refused", "11-20 08:00"), certificate(days_old=2)],
    "an app that enrolled again": [log("log.enrolment-lost", "11-20 08:00"), okta("okta.registered", "11-23 08:00")],
    "a person who enrolled": [okta("okta.not-enrolled", "11-20 08:00"), okta("okta.enrolled", "11-23 08:00")],
    "a prerequisite that was met": [
        said("prerequisite.unmet", "11-20 08:00", id="device-online"),
        okta("okta.registered", "11-23 08:00"),
    ],
    "a deleted record, and a later registration": [
        okta("okta.device-gone", "11-22 08:00", device_id="old"),
        okta("okta.registered", "11-23 08:00", device_id="new"),
    ],
    "an old record that is gone, and a registration on the new one": [
        okta("okta.device-gone", "11-24 08:00", device_id="old"),
        okta("okta.registered", "11-23 08:00", device_id="new"),
    ],
    "a deactivated record that was replaced": [
        okta("okta.device-deactivated", "11-20 08:00", device_id="old"),
        okta("okta.device-active", "11-22 08:00", device_id="new"),
    ],
}


@pytest.mark.parametrize("name", REPAIRED)
def test_what_was_repaired_since_starts_nothing(name: str) -> None:
    found = judged(*REPAIRED[name])
    assert (found.fault, found.playbook) == (None, None)


STILL_BROKEN: dict[str, tuple[list[Evidence], str]] = {
    "deleted after the certificate came, and an old error in the log": (
        [
            okta("okta.device-gone", deleted_at="2026-11-20T00:00:00Z"),
            device(M2, "09-01 08:00"),
            certificate(days_old=54),
        ],
        "device-deleted",
    ),
    "a registration that ended does not bring back what it outlived": (
        [log(M2, "09-01 08:00"), okta("okta.registered", "10-02 08:00"), okta("okta.not-registered")],
        "not-registered-yet",
    ),
    "nor what the MDM said before it": (
        [mdm("mdm.profile-missing", "09-01 08:00"), okta("okta.registered", "10-02 08:00"), okta("okta.device-gone")],
        "device-deleted",
    ),
    "one certificate by two witnesses, expired": (
        [
            certificate(400, -35, serial_number="0A"),
            mdm("keychain.certificate", device_access_marker=True, serial_number="a"),
        ],
        "certificate-expired",
    ),
    "the broken profile beside a sound one": (
        [said("profile.breaks", identifier="com.okta.scep"), said("profile.ok", identifier="com.wifi.scep")],
        "profile-misconfigured",
    ),
    "the broken profile beside its own sound copy": (
        [said("profile.breaks"), said("profile.ok")],
        "profile-misconfigured",
    ),
    "another profile is installed": (
        [
            mdm("mdm.profile-missing", identifier="com.okta.scep"),
            device("profile.installed", identifier="com.wifi.scep"),
        ],
        "profile-missing",
    ),
    "managed, and silent": (
        [
            mdm("mdm.device", "11-24 08:00", last_seen_at="2026-10-10T00:00:00Z"),
            mdm("mdm.silent", "11-24 08:00", days=45),
        ],
        "device-not-managed",
    ),
    "managed, and not seen for long": (
        [mdm("mdm.device", "11-24 08:00", last_seen_at="2026-09-01T00:00:00Z")],
        "device-not-managed",
    ),
    "profile there, certificate never, says the MDM": (
        [mdm("mdm.profile-installed", "11-24 08:00"), mdm("mdm.certificate-none", "11-24 08:00")],
        "scep-enrolment-failed",
    ),
    "the old version is installed, the new one failed": (
        [mdm("mdm.profile-installed", "11-24 08:00"), mdm("mdm.install-failed", "11-24 08:00"), log(M2, "11-24 08:00")],
        "scep-enrolment-failed",
    ),
    "a PC by another evidence, and its version": (
        [
            log("log.device-not-registered", "11-24 08:00", platform="windows"),
            device("device.okta-verify", version="6.0.3"),
        ],
        "client-outdated",
    ),
    "a reading without its fact is none": (
        [device("device.clock", "11-23 08:00", offset_seconds=900), device("device.clock", "11-24 08:00")],
        "clock-wrong",
    ),
    "an attempt in one file and its error in another": ([log(M1), log(M2, source="other")], "certificate-missing"),
}


@pytest.mark.parametrize("name", STILL_BROKEN)
def test_what_is_broken_now_is_named(name: str) -> None:
    evidence, expected = STILL_BROKEN[name]
    for order in (evidence, evidence[::-1]):
        assert judged(*order).fault == expected


#: Somebody's word now, and what the device, its MDM or Okta said a day earlier.
HEARSAY: dict[str, list[Evidence]] = {
    "not managed": [said("mdm.not-managed", "11-24 08:00"), mdm("mdm.device", "11-23 08:00")],
    "no profile": [said("mdm.profile-missing", "11-24 08:00"), mdm("mdm.profile-installed", "11-23 08:00")],
    "no profile, some day": [said("mdm.profile-missing"), mdm("mdm.profile-installed", "11-23 08:00")],
    "not enrolled": [said("okta.not-enrolled", "11-24 08:00"), okta("okta.enrolled", "11-23 08:00")],
    "not registered": [said("okta.not-registered"), okta("okta.registered", "11-23 08:00")],
    "no certificate": [
        said("keychain.none", "11-24 08:00"),
        replace(certificate(), observed_at=at("11-23 08:00")),
    ],
}


@pytest.mark.parametrize("name", HEARSAY)
def test_hearsay_names_no_fault_against_who_knows(name: str) -> None:
    assert judged(*HEARSAY[name], symptom=None).fault is None


def test_hearsay_of_a_registration_makes_no_error_stale() -> None:
    for error in (M2, M3):
        found = judged(said("okta.registered", "11-24 08:00"), device(error, "11-23 08:00"))
        assert (found.verdict, found.stale) == (Verdict.FAULT, False)


def test_the_order_of_the_input_is_no_time() -> None:
    gone, active = okta("okta.device-gone", None), okta("okta.device-active", None)
    on, off = okta("okta.pin-setting", None, enabled=True), okta("okta.pin-setting", None, enabled=False)
    for pair in ((gone, active), (active, gone), (on, off), (off, on)):
        found = judged(*pair)
        assert (found.verdict, found.playbook) == (Verdict.UNDETERMINED, None)
        assert "read in two ways" in found.reason


def test_a_record_that_lives_since_the_deletion_replaced_it() -> None:
    gone = okta("okta.device-gone", device_id="g1", deleted_at="2026-09-01T00:00:00Z")
    active = okta("okta.device-active", device_id="g2", created_at="2026-09-10T00:00:00Z")
    assert judged(gone, active).fault is None
    assert judged(gone, active, log(M3, "09-05 08:00")).fault != "device-deleted"
    assert judged(gone, active, log(M3, "11-23 08:00")).fault == "device-deleted"


def test_a_repair_of_a_rejected_certificate_needs_more_than_hearsay_and_undated_readings() -> None:
    twice = [log(M3, "11-21 08:15"), log(M3, "11-23 08:15", line=2), certificate(org_issuer=True)]
    told = [said("okta.device-active", "11-24 08:00"), said("device.clock", "11-24 08:00", offset_seconds=1)]
    undated = [okta("okta.device-active", None), device("device.clock", offset_seconds=1)]
    assert judged(*twice, *told).playbook == "report"
    assert judged(*twice, *undated).playbook == "report"


def test_a_rejection_and_an_empty_listing_of_one_time_contradict_each_other() -> None:
    assert judged(log(M3, "11-23 08:00"), device("keychain.none", "11-23 08:00")).verdict is Verdict.UNDETERMINED
    assert judged(log(M3, "11-22 08:00"), device("keychain.none", "11-23 08:00")).fault == "certificate-missing"
    assert judged(log(M3, "11-23 08:00"), device("keychain.none", "11-22 08:00")).fault == "certificate-rejected"


def test_an_old_registration_does_not_hide_that_the_device_is_offline() -> None:
    found = judged(okta("okta.registered", "10-20 08:00"), mdm("device.offline", "11-24 08:00", days=20), symptom=None)
    assert (found.fault, found.standing) == ("not-registered-yet", POSSIBLE)


def test_a_right_clock_clears_the_clock() -> None:
    assert judged(certificate(-7, 300), device("device.clock", offset_seconds=0)).fault is None


def test_a_failed_renewal_beside_a_usable_certificate_is_no_fault() -> None:
    assert judged(mdm("mdm.install-failed", "11-24 08:00", status="Error"), certificate()).fault is None


def test_a_device_s_prerequisite_is_no_reason_for_a_missing_option() -> None:
    for unmet, fault in (("device-online", None), ("recovery-feature", "prerequisite-missing")):
        found = judged(okta("prerequisite.unmet", id=unmet), symptom=Symptom.OPTION_NOT_THERE)
        assert found.fault == fault


def test_what_came_after_a_registration_still_counts() -> None:
    registered = okta("okta.registered", "11-23 10:00")
    for later in (
        log("log.registration-failed", "11-23 11:00"),
        log(M1, "11-23 11:00"),
        log("log.device-not-registered", "11-23 12:00", platform="windows"),
    ):
        assert judged(registered, later, symptom=None).verdict is Verdict.UNDETERMINED, later.says


def test_nobody_overrules_okta_about_its_records() -> None:
    evidence = [okta("okta.device-active", "11-22 08:00"), device(M3, "11-23 08:00")]
    for witness in (said, mdm):
        assert judged(*evidence, witness("okta.device-gone", "11-23 09:00")).fault == "certificate-rejected"


def test_a_consequence_that_fits_everything_confirms_nothing() -> None:
    assert judged(device(M2, "11-23 08:15"), okta("okta.not-registered")).standing is LIKELY
    assert judged(device(M3, "11-23 08:15"), okta("okta.not-registered")).standing is LIKELY


def test_a_repeated_rejection_during_outages_or_before_the_certificate_allows_nothing() -> None:
    ruled_out = [okta("okta.device-active"), device("device.clock", "11-24 08:00", offset_seconds=2)]
    twice = [log(M3, "11-21 08:15"), log(M3, "11-23 08:15", line=2)]
    outages = [okta("okta.unavailable", "11-21 08:14"), okta("okta.unavailable", "11-23 08:14")]
    old = certificate(30, org_issuer=True)
    assert judged(*twice, *ruled_out, old).playbook == "reinstall_scep_profile"
    assert judged(*twice, *ruled_out, old, *outages).playbook == "report"
    assert judged(*twice, *ruled_out, certificate(2, org_issuer=True)).playbook == "report"
    long_ago = [okta("okta.device-active", "01-24 08:00"), device("device.clock", "01-24 08:00", offset_seconds=2)]
    assert judged(*twice, *long_ago, old).playbook == "report"


def test_hearsay_of_a_revocation_allows_no_repair() -> None:
    assert judged(said("okta.certificate-revoked")).playbook == "report"
    assert judged(okta("okta.certificate-revoked")).playbook == "reinstall_scep_profile"


def test_a_secret_that_was_reset_since_is_named_before_a_reinstall() -> None:
    reset = okta("okta.secret-reset", "11-20 08:00")
    installed = device("profile.installed", installed_at="2026-10-01T00:00:00Z")
    assert judged(reset, installed, log(M2, "11-23 08:15")).fault == "scep-enrolment-failed"
    assert judged(reset, certificate(2)).verdict is Verdict.UNDETERMINED
    hint = judged(reset, log(M2, "11-23 08:15"))
    assert (hint.fault, "scep-enrolment-failed" in [rival.fault for rival in hint.rivals]) == (
        "certificate-missing",
        True,
    )


def test_a_marked_certificate_of_the_wrong_usage_is_the_profile_s_fault() -> None:
    assert judged(certificate(usage=False)).fault == "profile-misconfigured"
    assert judged(certificate(is_ca=True)).fault == "profile-misconfigured"


def test_an_unrelated_certificate_is_none_of_the_wrong_kind() -> None:
    assert judged(certificate(device_access_marker=False, issuer="CN=R3,O=Let's Encrypt", usage=False)).fault is None


def test_a_leftover_is_older_than_the_usable_one() -> None:
    later = certificate(-30, 300, name="b")
    assert judged(certificate(), later).fault is None
    assert judged(certificate(), certificate(10, 300, name="b", store="login")).fault is None


def test_two_listings_at_one_time_contradict_each_other() -> None:
    found = judged(device("keychain.none"), certificate())
    assert (found.verdict, found.playbook) == (Verdict.UNDETERMINED, None)
    assert "contradicts itself" in found.reason


def test_a_certificate_that_a_later_listing_lacks_is_gone() -> None:
    earlier = replace(certificate(), observed_at=at("11-20 08:00"))
    assert judged(device("keychain.none", "11-23 08:00"), earlier).fault == "certificate-missing"


def test_an_empty_user_store_says_nothing() -> None:
    assert judged(device("keychain.none", store="login")).fault is None


def test_silence_counts_beyond_its_bound_only() -> None:
    assert judged(mdm("mdm.silent", days=14)).fault is None
    assert judged(mdm("mdm.silent", days=15)).fault == "device-not-managed"
    assert judged(said("device.offline", days=7)).fault is None
    assert judged(said("device.offline", days=8)).fault == "not-registered-yet"


def test_a_device_that_was_excluded_on_purpose_is_not_put_back() -> None:
    assert judged(mdm("mdm.profile-missing", reason="excluded")).playbook == "report"
    unknown = judged(mdm("mdm.profile-missing"))
    assert unknown.playbook == "install_scep_profile"
    assert any(text.startswith("scope:") for text in unknown.missing)


def test_generating_fails_although_the_device_registered_points_to_the_admin_side() -> None:
    found = judged(okta("okta.registered", "11-23 08:00"))
    assert (found.verdict, found.pin_possible_now) == (Verdict.HEALTHY, UNKNOWN)
    assert {rival.fault for rival in found.rivals} == {"recovery-pin-disabled", "admin-permission-missing"}
    assert judged(okta("okta.registered", "11-23 08:00"), symptom=None).pin_possible_now is YES
    not_there = judged(okta("okta.registered", "11-23 08:00"), symptom=Symptom.OPTION_NOT_THERE)
    assert not_there.verdict is Verdict.UNDETERMINED


def test_a_log_alone_never_confirms() -> None:
    logs = [says for says in SAYS if says.startswith("log.")]
    for says in logs:
        found = judged(log(says, "11-23 08:15"))
        assert found.standing is not CONFIRMED, says


def test_what_a_certificate_without_the_marker_says_never_counts_beside_a_marked_one() -> None:
    other = certificate(name="b", device_access_marker=False, issuer="CN=Organization Intermediate Authority")
    assert judged(certificate(), other, okta("okta.registered", "11-23 08:00")).verdict is Verdict.HEALTHY


def test_steps_carry_the_checks_by_hand_of_the_right_platform() -> None:
    def words(found: Diagnosis) -> str:
        return " ".join([*found.next_steps, *found.checks])

    mac = words(judged(log(M2, "11-23 08:15")))
    assert "System Settings > General > Device Management" in mac
    assert "Keychain Access > System > Certificates" in mac
    assert "certlm.msc" not in mac
    windows = words(judged(log(M2, "11-23 08:15", platform="windows")))
    assert "certlm.msc" in windows
    assert "certmgr.msc" in windows
    assert "Keychain" not in windows
    both = words(judged())
    assert "Keychain Access" in both
    assert "certlm.msc" in both
    assert "prerequisite" in both


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "device_access_marker": st.booleans() | st.none() | st.text(max_size=3),
        "not_before": st.text(max_size=8) | st.just("2026-01-01T00:00:00Z") | st.none(),
        "not_after": st.text(max_size=8) | st.just("2026-06-01T00:00:00Z") | st.integers(),
        "enabled": st.booleans() | st.text(max_size=3),
        "allowed": st.booleans() | st.none(),
        "offset_seconds": st.integers() | st.floats(allow_nan=True) | st.text(max_size=3),
        "version": st.text(max_size=8) | st.just("6.1") | st.integers(),
        "platform": st.sampled_from(["macos", "windows", "plan9"]) | st.none(),
        "person": st.sampled_from(["alice", "bob", ""]),
        "device_id": st.text(max_size=2),
        "codes": st.lists(st.text(max_size=5), max_size=3) | st.text(max_size=2),
        "symptom": st.sampled_from([*Symptom, "else"]) | st.none(),
        "sha256": st.sampled_from(["aa", "bb"]) | st.none(),
        "id": st.text(max_size=4) | st.none(),
    },
)
EVIDENCE = st.builds(
    Evidence,
    witness=st.sampled_from(Witness),
    source=st.sampled_from(["a", "b"]),
    says=st.sampled_from([*SAYS, "site.thing"]),
    line=st.integers(1, 9) | st.none(),
    observed_at=st.sampled_from([at("11-20 08:00"), at("11-23 08:00"), at("2026-11-23T23:00:00-09:00")]) | st.none(),
    facts=FACTS,
)


@given(st.lists(EVIDENCE, max_size=8), st.sampled_from([None, *Symptom]), st.sampled_from([None, "alice", "{{ 7*7 }}"]))
def test_any_evidence_gets_a_whole_answer(items: list[Evidence], symptom: Symptom | None, person: str | None) -> None:
    found = judged(*items, symptom=symptom, person=person)
    known = {fault.id for fault in catalogue().faults}
    assert (found.fault is not None) == (found.verdict is Verdict.FAULT) == (found.playbook is not None)
    assert set(found.also) <= known - {found.fault}
    assert found.fault not in [rival.fault for rival in found.rivals]
    assert not {rival.fault for rival in found.rivals} & set(found.also)
    if symptom is None and not any(item.says == "ticket.symptom" for item in items):
        assert found.missing[0].startswith("symptom:")
    if found.stale and all(item.says.startswith("log.") for item in items):
        assert found.fault not in ("certificate-missing", "certificate-rejected")
    if found.standing is CONFIRMED and len({item.witness for item in found.evidence}) == 1:
        assert any(
            (SAYS[item.says].owner == item.witness) or item.says == "keychain.certificate"
            for item in found.evidence
            if item.says in SAYS
        )
    assert not set(DRAWN_SIGNS) & set(SAYS)


@given(st.lists(EVIDENCE, max_size=6))
def test_a_playbook_that_touches_the_device_never_follows_from_an_admin_side_symptom(items: list[Evidence]) -> None:
    found = judged(*items, symptom=Symptom.OPTION_NOT_THERE)
    assert found.playbook in (None, "report")


@pytest.mark.parametrize(
    "came",
    [okta("okta.registered", "11-10 08:00", person="alice"), log("log.rejected", "11-10 08:00")],
    ids=["it registered once", "a certificate was rejected once"],
)
def test_a_certificate_that_came_once_and_is_gone_is_missing_and_no_failed_enrolment(came: Evidence) -> None:
    gone = [device("profile.installed", "11-23 09:00"), device("keychain.none", "11-23 09:00", store="system")]

    assert judged(*gone).fault == "scep-enrolment-failed"
    assert judged(came, *gone).fault == "certificate-missing"
