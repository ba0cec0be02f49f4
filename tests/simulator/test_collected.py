"""The collector's line as the real script prints it on simulated Macs, and what its reader makes of it."""

from __future__ import annotations

import plistlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.certificate_factory import CLIENT_AUTH, INTEGER_1, authority, extension, make, odd, tlv
from tests.simulator.worlds import NOW, OBSERVE, fingerprint, on_the_mac, world_of

from scepfix.domain.certificate import MARKER_EKU_OID, MARKER_OID, Certificate
from scepfix.domain.device import Observation
from scepfix.parsers.collected_line import LIMIT, parse_collected_line
from scepfix.parsers.macos_observation import parse_macos_observation
from scepfix.parsers.x509 import read_certificate
from scepfix.simulator import device_log
from scepfix.simulator.collected import collected_line
from scepfix.simulator.keychain import listing
from scepfix.simulator.mac import LOG
from scepfix.simulator.world import MacSpec, World
from scepfix.workflow.certificates import holding

SCENARIOS = (
    "healthy",
    "deleted",
    "missing",
    "expired",
    "wrong-type",
    "wrong-org",
    "leftover",
    "key-unusable",
    "not-managed",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_of(tmp_path_factory.mktemp("world"), *SCENARIOS)


def told(world: World, name: str) -> Observation:
    return parse_collected_line(collected_line(world.macs[name], NOW), NOW, NOW)


def over_ssh(world: World, name: str) -> Observation:
    done = on_the_mac(world, name, "sh -s", b"nonce=ab\n" + OBSERVE.read_bytes())
    return parse_macos_observation(done.stdout, "ab", NOW - timedelta(seconds=1), NOW)


def comparable(one: Certificate) -> Certificate:
    """Return a certificate without what no line tells."""
    purposes = one.extended_key_usage
    if purposes is not None:
        # The others are told as one.
        known = ("clientAuth", "anyExtendedKeyUsage", MARKER_EKU_OID)
        purposes = tuple(sorted({name if name in known else "another usage" for name in purposes}))
    return replace(
        one,
        subject="",
        issuer="",
        sha1="",
        key_type="",
        key_bits=None,
        extended_key_usage=purposes,
        subject_key_id=None,
        alternative_names=(),
        common_names=(),
        oddities=(),
        marker_note="",
        der=b"",
    )


OKTA = authority()
KEY_USAGE, PURPOSES, BASIC, AUTHORITY = "2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.35"
MARK = extension(MARKER_OID, INTEGER_1)
#: Certificates as no CA of Okta's would make them: the script and the reader of the DER must say the same.
ODD = {
    "ec": make(issuer=OKTA).der,
    "rsa": make(issuer=OKTA, kind="rsa2048").der,
    "ed25519": make(issuer=OKTA, kind="ed25519").der,
    "critical marker": make(issuer=OKTA, marker_critical=True).der,
    "self-signed": make().der,
    "no usages": make(issuer=OKTA, usage=None, extended=None).der,
    "marker as usage": make(
        issuer=OKTA, marker=None, extended=(*CLIENT_AUTH, x509.ObjectIdentifier(MARKER_EKU_OID))
    ).der,
    "marker as usage alone": make(issuer=OKTA, marker=None, extended=(x509.ObjectIdentifier(MARKER_EKU_OID),)).der,
    "other usages": make(
        issuer=OKTA, extended=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING, *CLIENT_AUTH)
    ).der,
    "a CA with the marker": make(issuer=OKTA, ca=True).der,
    "no CA, and says so": make(issuer=OKTA, ca=False).der,
    "marker with INTEGER 2": make(issuer=OKTA, marker=bytes.fromhex("020102")).der,
    "marker with BOOLEAN": make(issuer=OKTA, marker=bytes.fromhex("0101ff")).der,
    "for encryption": make(issuer=OKTA, usage="key_encipherment").der,
    "long serial number": make(issuer=OKTA, serial=0x7F << 152 | 1).der,
    "high bit in the serial number": make(issuer=OKTA, serial=0x80).der,
    "many names": make(issuer=OKTA, names=[x509.DNSName("x" * 60 + f"{n}.example") for n in range(20)]).der,
    "until 2060": make(issuer=OKTA, not_after=datetime(2060, 1, 1, tzinfo=UTC)).der,
    "since 1999": make(issuer=OKTA, not_before=datetime(1999, 1, 1, tzinfo=UTC)).der,
    "without version": odd(version=b"", extensions=[MARK]),
    "without extensions": odd(),
    "two markers": odd(extensions=[MARK, MARK]),
    "two markers, one wrong": odd(extensions=[MARK, extension(MARKER_OID, b"\x02\x01\x02")]),
    "authority key id": odd(extensions=[MARK, extension(AUTHORITY, tlv(0x30, tlv(0x80, b"\xab" * 20)))]),
    "authority without key id": odd(extensions=[MARK, extension(AUTHORITY, tlv(0x30, tlv(0x82, b"\x05")))]),
    "empty usages": odd(extensions=[MARK, extension(PURPOSES, tlv(0x30))]),
    "basic constraints, empty": odd(extensions=[MARK, extension(BASIC, tlv(0x30), critical=True)]),
    "key usage of nine bits": odd(extensions=[MARK, extension(KEY_USAGE, tlv(0x03, b"\x07\x80\x80"))]),
    "serial number 0": odd(serial=b"\0", extensions=[MARK]),
}
#: Of these with the marker the line tells nothing and says that it is not whole: better no answer than half of one.
NOT_TOLD = {
    "negative serial number": odd(serial=b"\xfb", extensions=[MARK]),
    "unreadable key usage": odd(extensions=[MARK, extension(KEY_USAGE, b"\x05\0")]),
    "no date": odd(not_before=b"\x17\x0d2601010000000", extensions=[MARK]),
    "cut": make(issuer=OKTA).der[:-1],
}


def with_certificate(world: World, der: bytes) -> Observation:
    mac = world.macs["missing"]
    folder = mac.system_keychain.folder
    (folder / "9000.cert").write_text(listing(der))
    (folder / "9000.name").write_text("odd\n")
    try:
        return told(world, "missing")
    finally:
        (folder / "9000.cert").unlink()


@pytest.mark.parametrize("name", ODD)
def test_the_script_reads_a_certificate_as_the_reader_of_the_der_does(world: World, name: str) -> None:
    wanted = read_certificate(ODD[name])
    marked = [comparable(wanted)] if wanted.marker and not wanted.is_ca else []

    seen = with_certificate(world, ODD[name])

    assert seen.complete
    assert [comparable(one.certificate) for one in holding(seen).marked] == marked


@pytest.mark.parametrize("name", NOT_TOLD)
def test_a_certificate_that_cannot_be_told_whole_makes_it_no_answer(world: World, name: str) -> None:
    seen = with_certificate(world, NOT_TOLD[name])

    assert not seen.complete
    assert seen.certificates == ()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_line_says_of_certificates_what_the_look_over_ssh_says(world: World, name: str) -> None:
    collected, seen = told(world, name), over_ssh(world, name)

    assert collected.complete
    assert collected.identity == seen.identity
    assert (collected.os_version, collected.enrolled, collected.daemon_present) == (
        seen.os_version,
        seen.enrolled,
        seen.daemon_present,
    )
    ours = {one.certificate.sha256: one for one in holding(collected).marked}
    theirs = {one.certificate.sha256: one for one in holding(seen).marked}
    assert ours.keys() == theirs.keys()
    for sha256, one in ours.items():
        other = theirs[sha256]
        assert one.stored.private_key == other.stored.private_key
        assert comparable(one.certificate) == comparable(other.certificate)
        assert one.certificate.subject.upper() == world.macs[name].facts.hardware_uuid
    scep = {(one.identifier, one.installed_at, one.scope) for one in seen.profiles or () if one.is_scep}
    assert {(one.identifier, one.installed_at, one.scope) for one in collected.profiles or ()} == scep


def plist(*profiles: dict[str, Any], **more: Any) -> str:
    return plistlib.dumps({"_computerlevel": list(profiles), **more}).decode("utf-8")


def profile(identifier: str, *types: str, installed: Any = "2026-11-01 08:00:00 +0000") -> dict[str, Any]:
    items = [{"PayloadType": one, "PayloadContent": {"Challenge": "s3cret", "PayloadType": "x"}} for one in types]
    return {"ProfileIdentifier": identifier, "ProfileInstallDate": installed, "ProfileItems": items}


SCEP = "com.apple.security.scep"
LISTINGS = {
    "none, in words": "There are no configuration profiles installed in the system domain\n",
    "none, in XML": '<?xml version="1.0"?>\n<plist version="1.0"><dict/></plist>\n',
    "none for the computer": plist(),
    "one": plist(profile("com.example.scep", SCEP, "com.apple.security.root")),
    "several": plist(
        profile("a.b", "com.apple.wifi.managed"), profile("c.d", SCEP), profile("e.f", "com.apple.mdm", SCEP)
    ),
    "single sign-on": plist(profile("sso", "com.apple.extensiblesso")),
    "a person's": plist(alice=[profile("com.example.user", SCEP)]),
    "odd identifiers": plist(profile("a <b> & \"c\" 'd' %25,+ é", SCEP), profile("x" * 90, SCEP)),
    "a date as a date": plist(profile("a.b", SCEP, installed=datetime(2026, 11, 1, 8))),
    "a date that is none": plist(profile("a.b", SCEP, installed="yesterday")),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_profiles_are_told_as_the_reader_of_the_listing_reads_them(tmp_path: Path, name: str) -> None:
    world = world_of(tmp_path, "healthy")
    (world.macs["healthy"].folder / "profiles.xml").write_text(LISTINGS[name], "utf-8")

    wanted = over_ssh(world, "healthy").profiles
    found = told(world, "healthy").profiles

    assert wanted is not None
    assert found is not None
    assert [(one.identifier, one.payload_types, one.installed_at, one.scope) for one in found] == [
        (one.identifier, one.payload_types, one.installed_at, one.scope)
        for one in wanted
        if one.is_scep or any("sso" in kind for kind in one.payload_types)
    ]
    assert "s3cret" not in collected_line(world.macs["healthy"], NOW)


#: Where all is on one line, what leaves the challenge out leaves all out.
ON_ONE_LINE = plist(profile("a.b", SCEP)).replace("\n", "").replace("\t", "")


@pytest.mark.parametrize(
    "listed", ["", "profiles: not permitted\n", plist(profile("a.b", SCEP))[:-30], "<dict", ON_ONE_LINE]
)
def test_a_listing_of_profiles_that_is_none_is_no_answer(tmp_path: Path, listed: str) -> None:
    world = world_of(tmp_path, "healthy")
    (world.macs["healthy"].folder / "profiles.xml").write_text(listed)

    assert told(world, "healthy").profiles is None


def test_more_profiles_than_fit_are_no_answer(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    many = plist(*(profile(f"com.example.{n}.{'x' * 80}", SCEP) for n in range(9)))
    (world.macs["healthy"].folder / "profiles.xml").write_text(many)

    seen = told(world, "healthy")

    assert (seen.profiles, seen.complete) == (None, True)


def log_of(world: World, data: bytes) -> list[tuple[str, datetime | None]] | None:
    (world.macs["healthy"].folder / LOG).write_bytes(data)
    collected = told(world, "healthy").collected
    assert collected is not None
    return None if collected.log is None else [(one.says, one.at) for one in collected.log]


def test_of_the_log_the_last_line_of_each_kind_is_told(tmp_path: Path) -> None:
    world, day = world_of(tmp_path, "healthy"), timedelta(days=1)
    lines = [
        device_log.rejected(NOW - 3 * day),
        device_log.grace_period(NOW - 2 * day),
        device_log.attempt(NOW - day),
        device_log.no_certificate(NOW - day),
        device_log.attempt(NOW),
    ]

    assert log_of(world, b"\xff\0 garbage\n" + "".join(lines).encode()) == [
        ("log.rejected", NOW - 3 * day),
        ("log.no-certificate", NOW - day),
        ("log.attempt", NOW),
    ]


def test_lines_as_the_article_prints_them_have_no_time_and_keep_their_order(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    bare = [line.split("+0000 ", 1)[1] for line in (device_log.no_certificate(NOW), device_log.attempt(NOW))]

    assert log_of(world, "".join(f">{line}" for line in bare).encode()) == [
        ("log.no-certificate", None),
        ("log.attempt", None),
    ]


def test_another_failure_is_told_as_one(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    other = device_log.rejected(NOW).replace("Registration error: Response decoding", "Network error: offline")

    assert log_of(world, (device_log.rejected(NOW - timedelta(hours=1)) + other).encode()) == [
        ("log.rejected", NOW - timedelta(hours=1)),
        ("log.registration-failed", NOW),
    ]


def test_a_log_without_a_known_line_is_another_thing_than_none(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")

    assert log_of(world, device_log.grace_period(NOW).encode()) == []
    (world.macs["healthy"].folder / LOG).unlink()
    collected = told(world, "healthy").collected
    assert collected is not None
    assert collected.log is None


def test_the_last_lines_of_the_log_are_told_in_their_order(world: World) -> None:
    collected = told(world, "deleted").collected

    assert collected is not None
    assert collected.log is not None
    assert [one.says for one in collected.log] == ["log.attempt", "log.rejected"]
    assert all(one.at is not None and one.at < NOW for one in collected.log)


def test_a_listing_without_its_canary_is_not_complete(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    world.tell("healthy", "unreadable-keychain", "yes")

    assert not told(world, "healthy").complete


def test_a_clock_that_is_ahead_is_told_and_not_believed(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    world.tell("healthy", "clock-offset", "3600")

    seen = told(world, "healthy")

    assert (seen.observed_at, seen.clock_offset_seconds) == (NOW, 3600.0)


def test_no_name_and_no_secret_is_in_the_line(tmp_path: Path) -> None:
    spec = MacSpec("Ann Example's Mac", person="ann.example@example.com", subject="ann example")
    world = World.create(tmp_path / "world", [spec], NOW)

    line = collected_line(world.macs[spec.name], NOW)

    assert parse_collected_line(line, NOW, NOW).complete
    assert not re.search("ann|example@", line.replace("com.example.okta-device-access", ""), re.IGNORECASE)
    assert not [secret for secret in world.secrets() if secret in line]


def test_a_hostile_subject_does_nothing(tmp_path: Path) -> None:
    spec = MacSpec("mac", subject='x $(touch pwned) "y" `id` * ? {{ z }} \\')
    world = World.create(tmp_path / "world", [spec], NOW)

    (held,) = holding(told(world, "mac")).marked

    assert held.certificate.subject == ""
    assert not list(tmp_path.rglob("pwned"))


def test_many_certificates_never_make_the_line_too_long(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy")
    mac = world.macs["healthy"]
    for days in range(40, 60):
        mac.enrol(world.ca, NOW - timedelta(days=days))
    mac.enrol(world.ca, NOW)

    line = collected_line(mac, NOW)
    seen = parse_collected_line(line, NOW, NOW)

    assert len(line) < LIMIT
    assert " more=1" in line
    assert not seen.complete
    starts = [one.told.not_before for one in seen.certificates if one.told]
    assert starts == sorted(starts, reverse=True)
    assert starts[0] == NOW


def test_collecting_writes_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    before = fingerprint(world.folder)

    collected_line(world.macs["deleted"], datetime.now(UTC))

    assert fingerprint(world.folder) == before


def test_the_mdm_gets_a_line_with_each_check_in_while_the_mac_has_the_collector(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    one = world.macs["deleted"].facts.mdm_id
    world.mdm.check_in(NOW)
    assert world.mdm.collected([one]) == {}

    world.tell("deleted", "collector", "yes")
    world.mdm.check_in(NOW)
    world.tell("deleted", "collector", "no")
    world.mdm.check_in(NOW + timedelta(hours=1))

    text = world.mdm.collected([one])[one]
    assert text.collected_at == NOW
    assert parse_collected_line(text.line, text.collected_at, NOW).observed_at == NOW
