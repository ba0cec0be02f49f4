"""One look at a Mac: what is kept, what is no answer, and that no cut or forged text passes for a whole one."""

from __future__ import annotations

import base64
import hashlib
import plistlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.certificate_factory import Made, authority, make

from scepfix.domain.device import Observation
from scepfix.domain.errors import InputError
from scepfix.parsers.macos_observation import SECTIONS, parse_macos_observation

NONCE = "6f1d0c"
SENT = datetime(2026, 11, 24, 9, 0, 0, tzinfo=UTC)
RECEIVED = SENT + timedelta(seconds=2)
SERIAL, UUID = "C02EXAMPLE01", "0F0F0F0F-1111-2222-3333-444444444444"
OKTA = authority()
CANARY = make(subject="com.apple.systemdefault", marker=None, number=7)
GOOD = make(issuer=OKTA)
#: Okta's device-management certificate: same issuer, no marker.
MANAGEMENT = make(subject="managementAttestation", issuer=OKTA, marker=None, number=2)
FOREIGN = make(subject="printer", marker=None, number=3)
CHALLENGE = "s3cret-challenge"
SAMPLES = Path(__file__).parents[3] / "shared/samples/macos/synth"


def listing(*made: Made) -> str:
    blocks = []
    for one in made:
        sha256, sha1 = (hashlib.new(name, one.der).hexdigest().upper() for name in ("sha256", "sha1"))
        blocks.append(f"SHA-256 hash: {sha256}\nSHA-1 hash: {sha1}\n{one.pem}")
    return "".join(blocks)


def identities(*made: Made) -> str:
    lines = [
        f'  {n}) {hashlib.sha1(one.der).hexdigest().upper()} "mac" (CSSMERR_TP_CERT_EXPIRED)\n'
        for n, one in enumerate(made, 1)
    ]
    return f"\nPolicy: SSL (client)\n  Matching identities\n{''.join(lines)}     {len(made)} identities found\n"


def profiles(**more: Any) -> str:
    item = {"PayloadType": "com.apple.security.scep", "PayloadContent": {"Challenge": CHALLENGE, "URL": "https://x/y"}}
    profile = {
        "ProfileIdentifier": "com.example.scep",
        "ProfileInstallDate": "2026-11-01 08:00:00 +0000",
        "ProfileItems": [item, {"PayloadType": "com.apple.wifi.managed"}],
        **more,
    }
    return plistlib.dumps({"_computerlevel": [profile]}).decode()


def outputs(**other: tuple[str, int]) -> dict[str, tuple[str, int]]:
    """Return section -> (output, exit code), by default those of a Mac in order; ``_`` is ``-`` in names."""
    found = {
        "clock": (f"{int(SENT.timestamp())}\n", 0),
        "user": ("yes\n", 0),
        "system": ("ProductName:\t\tmacOS\nProductVersion:\t\t15.1\nBuildVersion:\t\t24B83\n", 0),
        "hardware": (
            f"Hardware:\n\n      Serial Number (system): {SERIAL}\n      Hardware UUID: {UUID}\n",
            0,
        ),
        "name": ("Ann's Mac\n", 0),
        "profiles": (profiles(), 0),
        "enrollment": ("Enrolled via DEP: No\nMDM enrollment: Yes (User Approved)\n", 0),
        "certificates": (listing(CANARY, GOOD, MANAGEMENT, FOREIGN), 0),
        "identities": (identities(GOOD), 0),
        "files": ("/usr/local/bin/OktaDAServiceDaemon\n", 1),
        "okta-verify": ("9.27.0\n", 0),
        "log": (base64.b64encode(b"line \xff one\n").decode() + "\n", 0),
    }
    return found | {name.replace("_", "-"): value for name, value in other.items()}


def answer(
    sections: Mapping[str, tuple[str, int]] | Sequence[tuple[str, tuple[str, int]]], nonce: str = NONCE
) -> bytes:
    pairs = list(sections.items()) if isinstance(sections, Mapping) else list(sections)
    parts = [f"\n@@{nonce} begin {name}\n{said}\n@@{nonce} end {name} {code}\n" for name, (said, code) in pairs]
    return ("".join(parts) + f"\n@@{nonce} whole\n").encode("utf-8", "surrogateescape")


def read(data: bytes) -> Observation:
    return parse_macos_observation(data, NONCE, SENT, RECEIVED)


def test_a_whole_answer_is_read_and_only_what_concerns_us_is_kept() -> None:
    seen = read(b"Welcome!\n" + answer(outputs()))

    assert (seen.identity.serial_number, seen.identity.hardware_uuid) == (SERIAL, UUID)
    assert (seen.name, seen.os_version, seen.os_build) == ("Ann's Mac", "15.1", "24B83")
    assert (seen.complete, seen.enrolled, seen.daemon_present, seen.okta_verify_version) == (True, True, True, "9.27.0")
    assert [(one.der, one.store, one.private_key) for one in seen.certificates] == [
        (GOOD.der, "system", True),
        (MANAGEMENT.der, "system", False),
    ]
    assert seen.profiles is not None
    assert seen.profiles[0].identifier == "com.example.scep"
    assert seen.profiles[0].payload_types == ("com.apple.security.scep", "com.apple.wifi.managed")
    assert seen.log == b"line \xff one\n"
    assert (seen.clock_offset_seconds, seen.problems, seen.observed_at) == (0.0, (), RECEIVED)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded outputs lie beside this repository only")
@pytest.mark.parametrize(
    ("name", "complete"),
    [
        ("before", True),
        ("removed_clean", True),
        ("removed_but_orphan_left", True),
        ("reinstalled", True),
        ("EMPTY_read_failure_lookalike", False),
    ],
)
def test_recorded_outputs_are_read(name: str, complete: bool) -> None:
    keychain = (SAMPLES / f"security_find-certificate_-a_-p_-Z.{name}.txt").read_text("utf-8")
    listed = (SAMPLES / "security_find-identity_-v_-p_ssl-client.before.txt").read_text("utf-8")
    profile = (SAMPLES / "profiles_show_stdout-xml.with_scep.plist").read_text("utf-8")

    seen = read(answer(outputs(certificates=(keychain, 0), identities=(listed, 0), profiles=(profile, 0))))

    assert seen.complete is complete
    # The certificates of that lab have no marker, so none is kept.
    assert seen.certificates == ()
    assert [one.payload_types for one in seen.profiles or () if one.is_scep]


def test_the_challenge_of_the_profile_goes_nowhere() -> None:
    assert CHALLENGE not in str(read(answer(outputs())).as_document())


def test_an_observation_survives_being_stored() -> None:
    seen = read(answer(outputs()))

    assert Observation.from_document(seen.as_document()) == seen


@pytest.mark.parametrize(
    "certificates",
    [
        ("", 0),
        (listing(GOOD), 0),
        (listing(CANARY, GOOD), 1),
        (listing(CANARY, GOOD)[:-60], 0),
        ("security: SecKeychainOpen /Library/Keychains/System.keychain: no\n" + listing(CANARY, GOOD), 0),
        ("sh: security: not found\n", 127),
        (listing(make(subject="com.apple.systemdefault", issuer=OKTA, marker=None)), 0),
    ],
    ids=["empty", "no-canary", "exit-code", "cut", "another-keychain", "tool-missing", "canary-not-self-signed"],
)
def test_a_listing_that_is_not_whole_proves_no_absence(certificates: tuple[str, int]) -> None:
    seen = read(answer(outputs(certificates=certificates)))

    assert not seen.complete
    assert seen.problems


def test_keys_are_unknown_where_nobody_could_list_them() -> None:
    for said in (("", 1), ("", 0), ("security: SecKeychainOpen x: y\n" + identities(GOOD), 0)):
        seen = read(answer(outputs(identities=said)))

        assert {one.private_key for one in seen.certificates} == {None}
        assert seen.complete


def test_certificates_of_people_are_told_apart_and_another_keychain_is_not_theirs() -> None:
    pairs = list(outputs().items())
    at = [name for name, _ in pairs].index("files")
    pairs[at:at] = [
        ("login", ("ann\x1b[31m\n" + listing(GOOD), 0)),
        ("login", ("bob\nsecurity: SecKeychainOpen /Users/bob/…: x\n" + listing(GOOD), 0)),
        ("login", ("carl\n", 44)),
    ]

    seen = read(answer(pairs))

    assert [one.store for one in seen.certificates if one.store != "system"] == ["login:ann␛[31m"]
    assert seen.complete


def test_what_one_command_could_not_say_is_a_problem_and_no_more() -> None:
    seen = read(answer(dict.fromkeys(SECTIONS, ("", 127))))

    assert (seen.identity.serial_number, seen.profiles, seen.enrolled, seen.daemon_present) == ("", None, None, None)
    assert (seen.clock_offset_seconds, seen.complete, seen.log) == (None, False, b"")


def test_profiles_are_told_to_root_only() -> None:
    assert read(answer(outputs(user=("no\n", 0)))).profiles is None
    none = "There are no configuration profiles installed in the system domain\n"
    assert read(answer(outputs(profiles=(none, 0)))).profiles == ()
    assert read(answer(outputs(profiles=('<plist version="1.0"><dict/></plist>', 0)))).profiles == ()


@pytest.mark.parametrize(("behind", "offset"), [(-900, -898.0 - 1), (600, 598.0), (1, 0.0), (-1, 0.0)])
def test_the_clock_is_compared_with_the_time_of_the_look(behind: int, offset: float) -> None:
    seen = read(answer(outputs(clock=(str(int(SENT.timestamp()) + behind), 0))))

    assert seen.clock_offset_seconds == offset


def test_two_serial_numbers_are_none() -> None:
    said = f"Serial Number (system): {SERIAL}\nSerial Number (system): C02OTHER0002\nHardware UUID: {UUID}\n"
    seen = read(answer(outputs(hardware=(said, 0))))

    assert seen.identity.serial_number == ""
    assert seen.identity.hardware_uuid == UUID


@given(st.data())
def test_an_answer_cut_anywhere_is_none(data: st.DataObject) -> None:
    whole = answer(outputs())
    at = data.draw(st.integers(0, len(whole) - 2))

    with pytest.raises(InputError):
        read(whole[:at])


@given(st.binary(max_size=4000))
def test_garbage_is_no_answer(data: bytes) -> None:
    with pytest.raises(InputError):
        read(data)


@given(st.permutations(list(outputs().items())), st.integers(0, 12))
def test_sections_that_lack_or_come_in_another_order_are_no_answer(
    pairs: list[tuple[str, tuple[str, int]]], kept: int
) -> None:
    pairs = pairs[:kept]
    if [name for name, _ in pairs] == list(SECTIONS):
        return
    with pytest.raises(InputError):
        read(answer(pairs))


@given(st.sampled_from(SECTIONS), st.text(max_size=200), st.sampled_from(["begin", "end", "whole"]))
def test_text_of_the_device_cannot_pass_for_a_marking_line(name: str, text: str, word: str) -> None:
    # Whatever a device says in one section, without the nonce it stays in there.
    forged = f"x\n@@{NONCE[:-1]}0 {word} {name} 0\n{text}\n@@ end {name} 0\n@@{'0' * 32} whole\n"
    seen = read(answer(outputs(**{name.replace("-", "_"): (forged, 0)})))

    assert seen.complete is (name != "certificates")


@given(st.sampled_from(SECTIONS), st.binary(max_size=300))
def test_no_output_of_a_command_breaks_the_reading(name: str, said: bytes) -> None:
    text = said.decode("utf-8", "surrogateescape")
    seen = read(answer(outputs(**{name.replace("-", "_"): (text, 0)})))

    assert all(problem.isprintable() for problem in seen.problems)
    assert seen.complete is (name != "certificates")


def test_a_marking_line_with_the_nonce_in_a_wrong_place_is_refused() -> None:
    for forged in (f"\n@@{NONCE} whole\n", f"\n@@{NONCE} begin log\n", f"\n@@{NONCE} end certificates 0\n"):
        with pytest.raises(InputError):
            read(answer(outputs(certificates=(forged + listing(CANARY), 0))))
