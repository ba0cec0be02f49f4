"""Graph JSON gives the SCEP settings of Intune profiles, alone or in a list, with the targets they are assigned to."""

from __future__ import annotations

import doctest
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import Assignment, ProfileFormat, Scope
from scepfix.parsers import intune_scep_profile
from scepfix.parsers.intune_scep_profile import parse_intune
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file


def scep(platform: str = "macOSScep", /, **changes: object) -> dict[str, object]:
    return {
        "@odata.type": f"#microsoft.graph.{platform}CertificateProfile",
        "id": "1-2-3",
        "displayName": "Okta SCEP",
        "certificateStore": "machine",
        "keySize": "size2048",
        "keyUsage": "digitalSignature",
        "subjectNameFormat": "custom",
        "subjectNameFormatString": "CN={{DeviceId}}",
        "scepServerUrls": ["https://acme.okta.com/pki/1"],
        "extendedKeyUsages": [{"name": "Client Authentication", "objectIdentifier": "1.3.6.1.5.5.7.3.2"}],
        "allowAllAppsAccess": True,
    } | changes


def read(value: object, encoding: str = "utf-8") -> bytes:
    return json.dumps(value).encode(encoding)


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(intune_scep_profile).attempted
    assert doctest.testmod(intune_scep_profile).failed == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_one_object_is_read_in_any_encoding(encoding: str) -> None:
    data = read(scep(), encoding)

    document = read_profile_file(data, "x")

    assert document.format is ProfileFormat.INTUNE
    profile = document.profiles[0]
    assert (profile.platform, profile.identifier, profile.scope) == (Platform.MACOS, "1-2-3", Scope.SYSTEM)
    assert profile.assignments is None
    payload = profile.scep_payloads[0]
    assert (payload.key_bits.path, payload.key_bits.value, payload.key_bits.shown) == ("keySize", 2048, "size2048")
    assert payload.usages.value == frozenset({"signing"})
    assert payload.urls[0].path == "scepServerUrls[0]"
    assert payload.extractable is None
    assert payload.all_apps is not None
    assert payload.extended_key_usages == ("1.3.6.1.5.5.7.3.2",)
    assert sniff_profile_file(data) is ProfileFormat.INTUNE


@pytest.mark.parametrize("platform", ["windows81SCEP", "windows10XSCEP"])
def test_windows_profiles_have_no_switch_for_other_apps(platform: str) -> None:
    profile = parse_intune(read(scep(platform)), "x").profiles[0]

    assert profile.platform is Platform.WINDOWS
    assert profile.scep_payloads[0].all_apps is None


def test_a_list_keeps_order_paths_and_assignments() -> None:
    target = {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": "g1"}
    excluded = {"@odata.type": "#microsoft.graph.exclusionGroupAssignmentTarget", "groupId": "g2"}
    everyone = {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}
    trust = {
        "@odata.type": "#microsoft.graph.macOSTrustedRootCertificate",
        "displayName": "Okta CA",
        "assignments": [{"target": everyone}],
    }
    wifi = {"@odata.type": "#microsoft.graph.macOSWiFiConfiguration", "displayName": "Wi-Fi", "preSharedKey": "hush"}
    listed = [wifi, scep(assignments=[{"target": target}, {"target": excluded}]), trust]

    document = parse_intune(read({"value": listed}), "x")

    assert [one.path for one in document.profiles] == ["value[0]", "value[1]"]
    assert document.with_scep[0].scep_payloads[0].key_bits.path == "value[1].keySize"
    assert document.with_scep[0].assignments == (Assignment("group", "g1"), Assignment("group", "g2", excluded=True))
    assert document.trust_certificates[0].assignments == (Assignment("all-devices"),)
    assert "hush" not in repr(document)


def test_the_trust_certificate_named_by_the_profile_is_linked_to_it() -> None:
    linked = {"displayName": "Okta CA", "assignments": []}

    document = parse_intune(read([scep(rootCertificate=linked)]), "x")

    assert [(one.name, one.linked_from, one.path) for one in document.trust_certificates] == [
        ("Okta CA", "[0]", "[0].rootCertificate")
    ]


@pytest.mark.parametrize(
    ("changes", "path", "shown"),
    [
        (
            {"subjectNameFormat": "commonNameAsIMEI", "subjectNameFormatString": None},
            "subjectNameFormat",
            "commonNameAsIMEI",
        ),
        ({"subjectNameFormatString": "CN=x"}, "subjectNameFormatString", "CN=x"),
        ({"subjectNameFormatString": 7}, "subjectNameFormatString", "a number, not text"),
        ({"subjectNameFormatString": ""}, "subjectNameFormatString", ""),
    ],
)
def test_a_subject_is_a_format_or_a_text(changes: dict[str, object], path: str, shown: str) -> None:
    subject = parse_intune(read(scep(**changes)), "x").profiles[0].scep_payloads[0].subject

    assert (subject.path, subject.shown) == (path, shown)


@pytest.mark.parametrize(
    ("changes", "scope"),
    [
        ({"certificateStore": "user"}, Scope.USER),
        ({"deploymentChannel": "userChannel"}, Scope.USER),
        ({"deploymentChannel": "deviceChannel"}, Scope.SYSTEM),
        ({"certificateStore": None}, None),
    ],
)
def test_store_and_channel_tell_the_scope(changes: dict[str, object], scope: Scope | None) -> None:
    assert parse_intune(read(scep(**changes)), "x").profiles[0].scope is scope


def test_a_type_cast_answer_has_its_type_in_the_context() -> None:
    plain = scep()
    del plain["@odata.type"]
    context = "https://graph.microsoft.com/beta/$metadata#x/microsoft.graph.windows81SCEPCertificateProfile/$entity"

    assert parse_intune(read(plain), "x").profiles[0].platform is Platform.MACOS
    assert parse_intune(read({"@odata.context": context} | plain), "x").profiles[0].platform is Platform.WINDOWS


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{}", b"[]", b"[" * 100_000, b'{"value": []}', b'{"displayName": "x"}', read(scep())[:-3], b"[NaN]"],
)
def test_json_without_a_device_configuration_is_an_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_intune(data, "x")
    assert caught.value.hint


def test_a_url_of_the_wrong_type_is_no_url() -> None:
    payload = parse_intune(read(scep(scepServerUrls=[7, "https://ann:hush@acme.okta.com"])), "x")

    assert [url.shown for url in payload.profiles[0].scep_payloads[0].urls] == [
        "text that is no URL",
        "https://acme.okta.com",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*scep(), "target", "x"]), inner),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(changes=st.dictionaries(st.sampled_from([*scep(), "assignments", "rootCertificate"]), JSON, max_size=5))
def test_any_types_under_the_known_keys_are_read_or_refused(changes: dict[str, object]) -> None:
    for value in (scep(**changes), [scep(**changes)], {"value": scep(**changes)}):
        with suppress(InputError):
            parse_intune(read(value), "x")


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from([b"{", b"[", b'{"value":[{"scepServerUrls":']), rest=st.binary(max_size=100))
def test_random_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    with suppress(InputError):
        read_profile_file(start + rest, "x")
