"""Each finding of the profile check has a profile that yields it alone, and a near miss that yields nothing."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import (
    Assignment,
    Level,
    ProfileDocument,
    ProfileFormat,
    ProfileJudgement,
    ScepPayload,
    ScepProfile,
    Scope,
    ScopeSetting,
    ServerUrl,
    Setting,
    TrustCertificate,
)
from scepfix.rules import scep_profile
from scepfix.rules.scep_profile import judge_profile, subject_is_unique

GOOD = ScepPayload(
    path="PayloadContent[0]",
    url_path="URL",
    urls=(ServerUrl("URL", "https", "acme.okta.com"),),
    url_odd="",
    key_bits=Setting("Keysize", 2048, "2048"),
    key_type=Setting("Key Type", "RSA", "RSA"),
    usages=Setting("Key Usage", frozenset({"signing"}), "1 (signing)"),
    extractable=Setting("KeyIsExtractable", False, "false"),
    all_apps=Setting("AllowAllAppsAccess", True, "true"),
    subject=Setting("Subject", "CN=%HardwareUUID%", "CN=%HardwareUUID%"),
)
PROFILE = ScepProfile(
    path="",
    platform=Platform.MACOS,
    scopes=(ScopeSetting("PayloadScope", Scope.SYSTEM, "System"),),
    scep_payloads=(GOOD,),
    trust_certificates=(TrustCertificate("PayloadContent[1]"),),
)


def judge(profile: ScepProfile, **changes: object) -> ProfileJudgement:
    document = ProfileDocument(ProfileFormat.MOBILECONFIG, (profile,))
    return judge_profile(replace(document, **changes))  # type: ignore[arg-type]


def judge_payload(**changes: object) -> ProfileJudgement:
    return judge(replace(PROFILE, scep_payloads=(replace(GOOD, **changes),)))  # type: ignore[arg-type]


def codes(judgement: ProfileJudgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(scep_profile).attempted
    assert doctest.testmod(scep_profile).failed == 0


def test_a_good_profile_is_ok_without_a_note() -> None:
    assert judge(PROFILE) == ProfileJudgement((), ())
    assert judge(PROFILE).verdict == "ok"


WRONG: list[tuple[str, Level, dict[str, object], str]] = [
    ("url-missing", Level.BREAKS, {"urls": ()}, "not set"),
    ("url-missing", Level.BREAKS, {"urls": (), "url_odd": "a number, not text"}, "a number, not text"),
    ("url-missing", Level.BREAKS, {"urls": (ServerUrl("URL", "https", "", host_missing=True),)}, "https://(no host)"),
    ("url-not-https", Level.BREAKS, {"urls": (ServerUrl("URL", "http", "a.test"),)}, "http://a.test"),
    ("url-not-https", Level.BREAKS, {"urls": (ServerUrl("URL", "", ""),)}, "text that is no URL"),
    ("key-too-small", Level.BREAKS, {"key_bits": Setting("Keysize", 1024, "1024")}, "1024"),
    ("key-too-small", Level.BREAKS, {"key_bits": Setting("Keysize", 2047, "2047")}, "2047"),
    ("key-too-small", Level.BREAKS, {"key_bits": Setting("Keysize")}, "1024 (Apple's default, the key is not set)"),
    ("key-too-small", Level.BREAKS, {"key_bits": Setting("Keysize", None, 'text "2048"')}, 'text "2048"'),
    ("no-signing-usage", Level.BREAKS, {"usages": Setting("Key Usage", frozenset({"encryption"}), "4")}, "4"),
    ("no-signing-usage", Level.BREAKS, {"usages": Setting("Key Usage")}, "0 (Apple's default, the key is not set)"),
    ("key-extractable", Level.HARDENING, {"extractable": Setting("KeyIsExtractable", True, "true")}, "true"),
    (
        "key-extractable",
        Level.HARDENING,
        {"extractable": Setting("KeyIsExtractable")},
        "true (Apple's default, the key is not set)",
    ),
    ("all-apps-access-off", Level.BREAKS, {"all_apps": Setting("AllowAllAppsAccess", False, "false")}, "false"),
    (
        "all-apps-access-off",
        Level.BREAKS,
        {"all_apps": Setting("AllowAllAppsAccess")},
        "false (Apple's default, the key is not set)",
    ),
    ("subject-not-unique", Level.BREAKS, {"subject": Setting("Subject", "CN=mac", "CN=mac")}, "CN=mac"),
    ("subject-not-unique", Level.BREAKS, {"subject": Setting("Subject")}, "no subject"),
]


@pytest.mark.parametrize(("code", "level", "changes", "found"), WRONG)
def test_a_wrong_setting_is_the_only_finding(code: str, level: Level, changes: dict[str, object], found: str) -> None:
    judgement = judge_payload(**changes)

    assert judgement.verdict == "misconfigured"
    (finding,) = judgement.findings
    assert (finding.code, finding.level, finding.found) == (code, level, found)
    assert finding.path
    assert finding.expected
    assert finding.message


NEAR_MISSES: list[dict[str, object]] = [
    {"urls": (ServerUrl("URL", "https", "acme.okta.com:443"),)},
    {"urls": (ServerUrl("URL", "", "", variable=True),)},
    {"urls": (ServerUrl("URL", "https", ""),)},  # the host is there, but cannot be told from a password
    {"key_bits": Setting("Keysize", 2048, "2048")},
    {"key_bits": Setting("Keysize", 4096, "4096")},
    {"usages": Setting("Key Usage", frozenset({"signing", "encryption"}), "5")},
    {"extractable": None},
    {"all_apps": None},
    {"subject": Setting("Subject", "CN=C02XL0GTJGH5", "CN=C02XL0GTJGH5")},
]


@pytest.mark.parametrize("changes", NEAR_MISSES)
def test_a_near_miss_is_no_finding(changes: dict[str, object]) -> None:
    assert codes(judge_payload(**changes)) == []


@pytest.mark.parametrize(
    "subject",
    [
        "CN=managementAttestation %HardwareUUID%",
        "CN=$COMPUTERNAME managementAttestation $UDID",
        "CN=${udid}",
        "CN={{UserPrincipalName}} managementAttestation {{DeviceId}}",
        "CN={EmailAddress} managementAttestation {DeviceUid}",
        "O=Acme,OU=$FLEET_VAR_CERTIFICATE_RENEWAL_ID",
        "CN=managementAttestation 5D1A4C29-6E0B-4F5A-9C2E-0123456789AB",
        "CN=5d1a4c296e0b4f5a9c2e0123456789ab",
        "CN=00006000-001A2B3C4D5E6F70",
        "CN=MAC-C02XL0GTJGH5",
        "CN=GQ7L2HX9KC",
        "CN=FVFXQ1234567",
        "CN=5CG1234ABC",
        "CN=PF0ABC12+O=Acme",
        "CN=7XK2J13",
    ],
)
def test_a_subject_with_a_variable_or_a_serial_number_is_unique(subject: str) -> None:
    assert subject_is_unique(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "CN=Okta Device Access",
        "C=US,O=Lab,CN=mac-042",
        "CN=MACBOOK042",
        "CN=OKTADEVICE",
        "CN=c02xl0gtjgh5x",
        "CN=AB12",
        "CN=100% secure,O=50% off",
        "CN=costs $5",
        "CN={},O={{}}",
        "CN=OKTA2026",
        "1.2.840113549.1=x",
    ],
)
def test_a_fixed_subject_is_shared_by_all_devices(subject: str) -> None:
    assert not subject_is_unique(subject)


def test_no_scep_payload_is_a_finding_that_names_what_is_there() -> None:
    judgement = judge(replace(PROFILE, scep_payloads=(), other_types=("com.apple.wifi.managed",)))

    (finding,) = judgement.findings
    assert (finding.code, finding.level) == ("no-scep-payload", Level.BREAKS)
    assert finding.found == "payloads of other types: com.apple.wifi.managed"


def test_user_scope_breaks_and_unknown_scope_is_a_note() -> None:
    user = judge(replace(PROFILE, scopes=(ScopeSetting("PayloadScope", Scope.USER, "User"),)))
    unknown = judge(replace(PROFILE, scopes=()))

    assert [(finding.code, finding.level, finding.path) for finding in user.findings] == [
        ("user-scope", Level.BREAKS, "PayloadScope")
    ]
    assert codes(unknown) == []
    assert "whose certificate" in unknown.notes[0]


def test_an_identity_preference_is_hardening() -> None:
    judgement = judge(replace(PROFILE, identity_preferences=("PayloadContent[2]",)))

    assert [(finding.code, finding.level, finding.path) for finding in judgement.findings] == [
        ("identity-preference", Level.HARDENING, "PayloadContent[2]")
    ]
    assert codes(judge(replace(PROFILE, other_types=("com.apple.security.certificatepreference",)))) == []


GROUP, OTHER = Assignment("group", "g1"), Assignment("group", "g2")
EXCLUDED = Assignment("group", "g3", excluded=True)
ALL_DEVICES = Assignment("all-devices")


@pytest.mark.parametrize(
    ("mine", "trust", "found"),
    [
        ((GROUP,), (OTHER,), "group g1"),
        ((GROUP, OTHER), (GROUP,), "group g2"),
        ((GROUP,), (), "group g1"),
        ((ALL_DEVICES,), (GROUP,), "all-devices"),
        ((ALL_DEVICES,), (Assignment("all-users"),), "all-devices"),
        ((GROUP,), (GROUP, EXCLUDED), "group g3 (excluded)"),
        ((GROUP,), (GROUP,), None),
        ((GROUP, EXCLUDED), (GROUP, EXCLUDED), None),
        ((GROUP, EXCLUDED), (GROUP,), None),
        ((GROUP,), (GROUP, OTHER), None),
        ((GROUP,), (ALL_DEVICES,), None),
        ((), (OTHER,), None),
        (None, (OTHER,), None),
        ((GROUP,), None, None),
    ],
)
def test_the_trust_certificate_must_reach_the_same_targets(
    mine: tuple[Assignment, ...] | None, trust: tuple[Assignment, ...] | None, found: str | None
) -> None:
    judgement = judge(
        replace(PROFILE, assignments=mine),
        format=ProfileFormat.INTUNE,
        trust_certificates=(TrustCertificate("value[1]", name="Okta CA", assignments=trust),),
    )

    assert codes(judgement) == ([] if found is None else ["trust-assigned-elsewhere"])
    if found:
        assert judgement.findings[0].found == f"Okta CA does not reach: {found}"
        assert judgement.findings[0].level is Level.BREAKS


def test_only_the_trust_certificate_that_is_meant_counts() -> None:
    profile = replace(PROFILE, path="value[0]", assignments=(GROUP,))
    near = TrustCertificate("value[1]", assignments=(GROUP,))
    far = TrustCertificate("value[2]", assignments=(OTHER,))
    windows = replace(far, platform=Platform.WINDOWS)
    named = replace(far, linked_from="value[0]")
    of_another = replace(far, linked_from="value[9]")

    assert codes(judge(profile, trust_certificates=(far, near))) == []
    assert codes(judge(profile, trust_certificates=(windows,))) == []
    assert codes(judge(profile, trust_certificates=(of_another,))) == []
    assert codes(judge(profile, trust_certificates=(near, named))) == ["trust-assigned-elsewhere"]


def test_windows_knows_no_defaults() -> None:
    payload = replace(GOOD, extractable=None, all_apps=None, key_bits=Setting("KeyLength"), usages=Setting("KeyUsage"))

    judgement = judge(replace(PROFILE, platform=Platform.WINDOWS, scep_payloads=(payload,)))

    assert [(finding.code, finding.found) for finding in judgement.findings] == [
        ("key-too-small", "not set"),
        ("no-signing-usage", "not set"),
    ]


def test_every_scep_payload_is_judged_and_a_note_says_that_one_may_be_of_another_use() -> None:
    wifi = replace(
        GOOD, path="PayloadContent[3]", key_bits=Setting("b", 1024, "1024"), used_by=("com.apple.wifi.managed",)
    )

    judgement = judge(replace(PROFILE, scep_payloads=(GOOD, wifi)))

    assert [finding.path for finding in judgement.findings] == ["b"]
    assert judgement.notes == (
        "2 SCEP payloads were judged; one of them may serve something else (Wi-Fi, VPN): the paths tell which is which",
        "PayloadContent[3] is also used by com.apple.wifi.managed in this profile",
    )


def test_the_identity_of_the_mdm_is_not_judged() -> None:
    own = replace(GOOD, all_apps=Setting("x"), used_by=("com.apple.mdm",))

    assert codes(judge(replace(PROFILE, scep_payloads=(GOOD, own)))) == []
    assert codes(judge(replace(PROFILE, scep_payloads=(own,)))) == ["no-scep-payload"]
    assert any("MDM's own identity" in note for note in judge(replace(PROFILE, scep_payloads=(own,))).notes)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"usages": Setting("Key Usage", frozenset({"signing", "encryption"}), "5")}, "Key Usage is 5"),
        ({"key_type": Setting("Key Type", "EC", "EC")}, "Key Type is EC"),
        ({"has_challenge": True}, "challenge (not shown)"),
        ({"urls": (ServerUrl("URL", "", "", variable=True),)}, "filled in by the MDM"),
        ({"extended_key_usages": ("1.3.6.1.5.5.7.3.4",)}, "Client Authentication"),
    ],
)
def test_notes_do_not_change_the_verdict(changes: dict[str, object], note: str) -> None:
    judgement = judge_payload(**changes)

    assert judgement.verdict == "ok"
    assert [text for text in judgement.notes if note in text] == list(judgement.notes)
    assert len(judgement.notes) == 1


def test_signer_missing_trust_and_remarks_are_notes() -> None:
    judgement = judge(replace(PROFILE, trust_certificates=()), signed_by="CN=Acme MDM", remarks=("odd",))

    assert judgement.verdict == "ok"
    assert judgement.notes == (
        "odd",
        "signed by CN=Acme MDM (never verified)",
        "no trust certificate in this file: the CA certificate must reach the device in another profile",
    )
