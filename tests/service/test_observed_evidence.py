"""What a reading of a device and an MDM's record say as Evidence, and that the rules draw the right fault from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.certificate_factory import authority, make
from tests.evidence_factory import NOW, catalogue
from tests.hostile import CORPUS, is_inert
from tests.parsers.pasted_logs import M2, M3, timed

from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.evidence import SAYS, WORD_FACTS, Evidence, Witness
from scepfix.domain.fault import Symptom
from scepfix.domain.mdm import CertificateList, ListedCertificate, ManagedProfile, MdmDevice
from scepfix.domain.platform import Platform
from scepfix.parsers.evidence_json import parse_evidence
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.diagnose import diagnose
from scepfix.rules.steps import Circumstances
from scepfix.service.observed_evidence import (
    evidence_of_mdm,
    evidence_of_mdm_certificates,
    evidence_of_observation,
    notes_of_mdm,
    notes_of_observation,
    serial_numbers_with_marker,
)

CA, OTHER_CA = authority(), authority(number=91)
ISSUERS = (read_certificate(CA.der),)
DAYS: dict[str, Any] = {"not_before": NOW - timedelta(days=30), "not_after": NOW + timedelta(days=335)}
GOOD = make(issuer=CA, number=1, serial=0xA1, **DAYS)
SCEP = InstalledProfile("com.example.okta.scep", ("com.apple.security.scep",), NOW - timedelta(days=31))
WIFI = InstalledProfile("com.example.wifi", ("com.apple.wifi.managed", "com.apple.security.scep"))
MDM_PROFILE = InstalledProfile("com.example.mdm", ("com.apple.mdm", "com.apple.security.scep"))
LOG = f"{timed('2026/11/24 08:00:00:000 +0000', M3)}\n".encode()
PROFILE = ManagedProfile("com.example.okta.scep")


def stored(
    der: bytes, store: str = "system", *, key: bool | None = True, pinned: bool | None = None
) -> StoredCertificate:
    return StoredCertificate(der, store, key, pinned)


def reading(*certificates: StoredCertificate, **changes: Any) -> Observation:
    whole: dict[str, Any] = {
        "identity": Identity("C02XK1ZZJGH5", "5E1F0C7A-0000-0000-0000-000000000042"),
        "complete": True,
        "profiles": (SCEP, MDM_PROFILE),
        "enrolled": True,
        "daemon_present": True,
        "okta_verify_version": "9.52.0",
        "clock_offset_seconds": 0.44,
        **changes,
    }
    return Observation(Platform.MACOS, NOW, certificates=certificates, **whole)


def evidence(observation: Observation, identifier: str = "") -> list[Evidence]:
    return evidence_of_observation(observation, ISSUERS, (), identifier)


def says(found: Sequence[Evidence]) -> list[str]:
    return [item.says for item in found]


def only(found: Sequence[Evidence], wanted: str) -> Evidence:
    (item,) = [item for item in found if item.says == wanted]
    return item


def fault(*found: Evidence) -> str | None:
    return diagnose(found, catalogue(), NOW, Circumstances(symptom=Symptom.GENERATING_FAILS)).fault


def record(**changes: Any) -> MdmDevice:
    known: dict[str, Any] = {"last_seen_at": NOW - timedelta(minutes=5), "profile_installed": True, **changes}
    return MdmDevice(Identity("C02XK1ZZJGH5", "", "17"), **known)


def test_a_device_in_order_says_what_it_has_with_its_time_and_witness() -> None:
    found = evidence(reading(stored(GOOD.der)))

    assert says(found) == [
        *("keychain.certificate", "profile.installed"),
        *("device.clock", "device.daemon", "device.okta-verify"),
    ]
    assert {item.witness for item in found} == {Witness.DEVICE}
    assert {item.observed_at for item in found} == {NOW}
    assert {item.facts["platform"] for item in found} == {"macos"}
    assert all(item.source.startswith("device:") for item in found)
    assert only(found, "device.clock").facts["offset_seconds"] == 0.4
    assert only(found, "device.okta-verify").facts["version"] == "9.52.0"
    assert only(found, "profile.installed").facts["installed_at"] == "2026-10-24T09:00:00Z"


def test_a_certificate_has_every_fact_that_the_rules_use() -> None:
    facts = only(evidence(reading(stored(GOOD.der, pinned=True))), "keychain.certificate").facts

    known = read_certificate(GOOD.der)
    assert facts == {
        "platform": "macos",
        "device_access_marker": True,
        "store": "system",
        "private_key": True,
        "not_before": "2026-10-25T09:00:00Z",
        "not_after": "2027-10-25T09:00:00Z",
        "sha256": known.sha256,
        "serial_number": "a1",
        "issuer": known.issuer,
        "subject": known.subject,
        "org_issuer": True,
        "usage": True,
        "is_ca": False,
        "identity_preference": True,
    }


def test_all_of_it_is_evidence_that_a_file_may_hold_too() -> None:
    import json

    found = evidence(reading(stored(GOOD.der), log=LOG)) + evidence_of_mdm(
        record(install_status="NotNow"), PROFILE, NOW
    )

    again = parse_evidence(json.dumps([item.as_document() for item in found]).encode(), "x.json")

    assert again == found
    assert {item.says for item in found} <= set(SAYS)


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (reading(profiles=()), "profile-missing"),
        (reading(stored(GOOD.der), log=LOG), "certificate-rejected"),
        (reading(log=f"{timed('2026/11/24 08:00:00:000 +0000', M2)}\n".encode(), profiles=None), "certificate-missing"),
        (reading(stored(make(issuer=OTHER_CA, number=1, **DAYS).der)), "certificate-wrong-org"),
        (reading(stored(GOOD.der, "login:alice")), "certificate-wrong-store"),
        (reading(stored(GOOD.der, key=False)), "certificate-key-unusable"),
        (reading(stored(make(issuer=CA, not_after=NOW - timedelta(days=1)).der)), "certificate-expired"),
        (reading(stored(make(issuer=CA, marker=None, **DAYS).der), profiles=None), "certificate-wrong-type"),
        (reading(stored(GOOD.der), clock_offset_seconds=-4000.0), "clock-wrong"),
        (reading(stored(GOOD.der), daemon_present=False), "desktop-mfa-not-installed"),
        (reading(stored(GOOD.der), enrolled=False), "device-not-managed"),
        (reading(), "scep-enrolment-failed"),
        (
            reading(
                stored(GOOD.der), stored(make(issuer=CA, number=2, serial=2, not_before=NOW - timedelta(days=300),
                                              not_after=NOW + timedelta(days=65)).der)
            ),
            "certificate-leftover",
        ),
    ],
)  # fmt: skip
def test_the_rules_draw_the_fault_from_the_reading_alone(observation: Observation, expected: str) -> None:
    assert fault(*evidence(observation)) == expected


def test_a_whole_listing_without_a_certificate_is_none_and_one_without_its_canary_is_no_answer() -> None:
    assert only(evidence(reading()), "keychain.none").facts["store"] == "system"
    assert "keychain.unreadable" in says(evidence(reading(complete=False)))
    assert fault(*evidence(reading(complete=False))) is None


def test_a_certificate_in_another_store_alone_is_no_empty_listing() -> None:
    assert "keychain.none" not in says(evidence(reading(stored(GOOD.der, "login:alice"))))


def test_a_copy_in_a_persons_keychain_does_not_outweigh_the_one_in_the_computers() -> None:
    found = evidence(reading(stored(GOOD.der), stored(GOOD.der, "login:alice", key=False)))

    assert only(found, "keychain.certificate").facts["store"] == "system"
    assert fault(*found) is None


def test_what_has_no_marker_and_is_not_from_okta_is_not_mentioned() -> None:
    others = [make(subject="com.apple.systemdefault", marker=None), make(subject="vpn", marker=None, issuer=OTHER_CA)]
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Root")])
    others.append(make(name=named, marker=None, ca=True))

    found = evidence(reading(*(stored(one.der) for one in (*others[:1], *others[2:]))))

    assert says(found)[0] == "keychain.none"


def test_bytes_that_are_no_certificate_are_a_note() -> None:
    observation = reading(stored(b"\x30\x03abc"), stored(GOOD.der))

    assert says(evidence(observation)).count("keychain.certificate") == 1
    assert any("none that can be read" in note for note in notes_of_observation(observation))


def test_the_mdms_own_profile_and_no_answer_about_profiles_are_not_the_scep_profile() -> None:
    assert "profile.none" in says(evidence(reading(profiles=(MDM_PROFILE,))))
    assert not {"profile.none", "profile.installed"} & set(says(evidence(reading(profiles=None))))


def test_with_the_profile_known_no_other_counts() -> None:
    found = evidence(reading(profiles=(WIFI,)), PROFILE.identifier)

    assert only(found, "profile.none").facts["identifier"] == PROFILE.identifier
    assert fault(*found) == "profile-missing"
    assert says(evidence(reading(profiles=(WIFI,)))).count("profile.installed") == 1


def test_the_log_is_quoted_with_its_place_in_what_was_read() -> None:
    log = b"cut line\n" + LOG

    (item,) = [one for one in evidence(reading(log=log)) if one.says.startswith("log.")]

    assert (item.says, item.line, item.byte_offset) == ("log.rejected", 2, 9)
    assert item.source == "device:/var/log/com.okta.deviceaccess/OktaDeviceAccess.log"
    assert item.observed_at == NOW - timedelta(hours=1)
    assert f"the last {len(log)} bytes" in " ".join(notes_of_observation(reading(log=log)))


def test_what_nobody_looked_at_is_not_said() -> None:
    found = evidence(Observation(Platform.WINDOWS, NOW))

    assert says(found) == ["keychain.unreadable"]


@pytest.mark.parametrize("version", ["9.52.0-beta", "", "1" * 40, "{{ 7*7 }}", "9.\u0665"])
def test_a_version_that_is_no_version_is_left_out(version: str) -> None:
    assert "device.okta-verify" not in says(evidence(reading(okta_verify_version=version)))


# --- the MDM ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ["mdm.not-managed"]),
        (record(managed=False), ["mdm.not-managed"]),
        (record(), ["mdm.device", "mdm.profile-installed"]),
        (record(profile_installed=None), ["mdm.device"]),
        (record(last_seen_at=NOW - timedelta(days=15, hours=1)), ["mdm.device", "mdm.silent", "mdm.profile-installed"]),
        (record(last_seen_at=None), ["mdm.device", "mdm.profile-installed"]),
        (
            record(profile_installed=False, install_status="Error"),
            ["mdm.device", "mdm.profile-missing", "mdm.install-failed"],
        ),
    ],
)
def test_an_mdms_record_says_what_it_holds(found: MdmDevice | None, expected: list[str]) -> None:
    evidence = evidence_of_mdm(found, PROFILE, NOW)

    assert says(evidence) == expected
    assert {(item.witness, item.observed_at) for item in evidence} == {(Witness.MDM, NOW)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"excluded": True, "in_scope": False, "install_status": "Error"}, "excluded"),
        ({"in_scope": False, "install_status": "Error"}, "out-of-scope"),
        ({"install_status": "Error"}, "failed"),
        ({"install_status": "NotNow"}, "pending"),
        ({"install_status": "Pending"}, "pending"),
        ({"install_status": "Acknowledged"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_missing_profile_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    found = evidence_of_mdm(record(profile_installed=False, **changes), PROFILE, NOW)

    assert only(found, "mdm.profile-missing").facts["reason"] == reason
    assert reason in WORD_FACTS["reason"]


def test_a_declarative_profile_and_a_silence_are_said() -> None:
    declarative = ManagedProfile("com.example.okta.scep", declarative=True)

    assert fault(*evidence_of_mdm(record(), declarative, NOW)) == "device-not-managed"
    silent = evidence_of_mdm(record(last_seen_at=NOW - timedelta(days=20)), PROFILE, NOW)
    assert only(silent, "mdm.silent").facts["days"] == 20
    assert fault(*silent) == "device-not-managed"


def test_device_and_mdm_together_confirm() -> None:
    found = [*evidence(reading(profiles=())), *evidence_of_mdm(record(profile_installed=False), PROFILE, NOW)]

    diagnosis = diagnose(found, catalogue(), NOW, Circumstances())

    assert (diagnosis.fault, str(diagnosis.standing)) == ("profile-missing", "confirmed")


def test_what_must_be_known_before_a_repair_is_a_note() -> None:
    assert notes_of_mdm(None) == notes_of_mdm(record()) == []
    assert notes_of_mdm(record(set_apart="lost-mode", removal_pending=True)) == [
        "the MDM has set this device apart: lost-mode",
        "the MDM has asked for the profile's removal",
    ]


def listed(*certificates: ListedCertificate | bytes) -> CertificateList:
    return CertificateList(
        NOW, tuple(ListedCertificate(der=one) if isinstance(one, bytes) else one for one in certificates)
    )


def of_list(*certificates: ListedCertificate | bytes, marked: Sequence[str] = ()) -> list[Evidence]:
    return evidence_of_mdm_certificates(listed(*certificates), ISSUERS, marked)


def test_the_mdms_certificate_list_is_another_witness() -> None:
    other = make(marker=None, subject="vpn").der
    ours = of_list(other, GOOD.der)

    assert says(ours) == ["keychain.certificate"]
    assert (ours[0].witness, ours[0].facts["org_issuer"], ours[0].facts["private_key"]) == (Witness.MDM, True, None)
    assert ours[0].observed_at == NOW
    assert says(of_list(other)) == ["mdm.certificate-none"]
    assert of_list() == []
    assert of_list(other, b"cut") == []


def test_a_line_without_bytes_counts_only_by_a_serial_number_that_was_seen_with_its_marker() -> None:
    seen = serial_numbers_with_marker(reading(stored(GOOD.der), stored(make(marker=None, serial=0xB2).der)))
    assert seen == {"a1"}

    (found,) = of_list(ListedCertificate("A1"), ListedCertificate("b2"), marked=[*seen])

    assert (found.witness, found.observed_at) == (Witness.MDM, NOW)
    assert found.facts == {"device_access_marker": True, "serial_number": "a1"}
    assert of_list(ListedCertificate("a1"), ListedCertificate("")) == []
    assert of_list(ListedCertificate("b2"), marked=[*seen]) == []


def test_a_list_with_lines_without_bytes_never_says_that_there_is_none() -> None:
    assert of_list(make(marker=None).der, ListedCertificate("c3"), marked=["a1"]) == []


def test_what_the_device_does_not_report_any_more_never_counts() -> None:
    gone = [ListedCertificate("a1", current=False), ListedCertificate(der=GOOD.der, current=False)]

    assert of_list(*gone, marked=["a1"]) == []
    assert says(of_list(*gone, make(marker=None).der, marked=["a1"])) == ["mdm.certificate-none"]
    assert says(of_list(ListedCertificate("a1", current=True), marked=["a1"])) == ["keychain.certificate"]


def test_the_same_certificate_in_the_list_is_no_second_one() -> None:
    found = [*evidence(reading(stored(GOOD.der))), *of_list(ListedCertificate("00a1"), marked=["a1"])]

    assert fault(*found, *evidence_of_mdm(record(), PROFILE, NOW)) is None


# --- hostile text -----------------------------------------------------------------------------------------------


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    return [text for part in value for text in texts(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("text", CORPUS)
def test_hostile_text_from_a_device_or_its_mdm_is_inert_in_all_evidence(text: str) -> None:
    clean = text.replace("\0", "")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, clean[:64])])
    certificate = make(name=name, issuer=CA, **DAYS).der
    profile = InstalledProfile(text, ("com.apple.security.scep",), None, text)
    log = f"{timed('2026/11/24 08:00:00:000 +0000', M3)} {text}\n{text}\n".encode("utf-8", "surrogatepass")
    observation = reading(
        stored(certificate, text), profiles=(profile,), log=log, name=text, okta_verify_version=text, problems=(text,)
    )
    mdm = MdmDevice(Identity(text, text, text), text, set_apart=text, install_status=text, profile_installed=False)

    found = [
        *evidence(observation),
        *evidence(observation, text),
        *evidence_of_mdm(mdm, ManagedProfile(text, text, declarative=True), NOW),
    ]
    notes = [*notes_of_observation(observation), *notes_of_mdm(mdm)]

    assert len(found) > 5
    for shown in [*texts([item.as_document() for item in found]), *notes]:
        assert is_inert(shown)
        assert "\n" not in shown
