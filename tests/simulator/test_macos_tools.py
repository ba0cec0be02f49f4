"""The fake tools of a Mac answer as Apple's do: formats, exit codes, refusals."""

from __future__ import annotations

import hashlib
import plistlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.simulator.worlds import NOW, OBSERVE, SAMPLES, fingerprint, on_the_mac, world_of

from scepfix.domain.certificate import ListingKind
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.macos_observation import parse_macos_observation
from scepfix.simulator.world import MacSpec, World

SYSTEM = "/Library/Keychains/System.keychain"
LIST = f"security find-certificate -a -p -Z {SYSTEM}"
IDENTITIES = f"security find-identity -v -p ssl-client {SYSTEM}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return world_of(tmp_path)


def output(world: World, command: str) -> str:
    done = on_the_mac(world, "healthy", command)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("utf-8")


def marked(world: World, name: str = "healthy") -> bytes:
    return world.macs[name].system_keychain.items()[-1].der


def test_a_listing_has_the_shape_of_the_recorded_one(world: World) -> None:
    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this repository")
    recorded = (SAMPLES / "synth/security_find-certificate_-a_-p_-Z.before.txt").read_text("ascii")

    def shapes(text: str) -> set[str]:
        text = re.sub(r"hash: [0-9A-F]+\n", "hash: HEX\n", text)
        text = re.sub(r"(?<=-----\n)([A-Za-z0-9+/]{64}\n)+[A-Za-z0-9+/=]{1,64}\n", "BODY\n", text)
        return {f"SHA-256{record}" for record in text.split("SHA-256")[1:]}

    assert shapes(output(world, LIST)) == shapes(recorded)
    assert len(shapes(recorded)) == 1


def test_our_own_reader_finds_canary_and_marker(world: World) -> None:
    found = parse_certificates(output(world, LIST).encode("ascii"))

    assert found.listing is not None
    assert (found.listing.kind, found.listing.canary_seen, found.listing.complete) == (ListingKind.KEYCHAIN, True, True)
    assert [one.certificate.marker for one in found.found] == [False, False, True]


def test_identities_have_the_recorded_form(world: World) -> None:
    sha1 = hashlib.sha1(marked(world), usedforsecurity=False).hexdigest().upper()
    subject = world.macs["healthy"].facts.subject

    assert output(world, IDENTITIES) == f'  1) {sha1} "{subject}"\n     1 valid identities found\n'


def test_without_v_the_canaries_are_identities_that_nobody_trusts(world: World) -> None:
    said = output(world, f"security find-identity -p ssl-client {SYSTEM}")

    assert said.startswith("\nPolicy: SSL (client)\n  Matching identities\n  1) ")
    assert said.count("(CSSMERR_TP_NOT_TRUSTED)") == 2
    assert "     3 identities found\n\n  Valid identities only\n  1) " in said


def test_a_certificate_without_key_is_no_identity(tmp_path: Path) -> None:
    world = world_of(tmp_path, "key-unusable")

    assert on_the_mac(world, "key-unusable", IDENTITIES).stdout == b"     0 valid identities found\n"


def test_an_expired_identity_is_listed_without_v_only(tmp_path: Path) -> None:
    world = world_of(tmp_path, "expired")

    assert on_the_mac(world, "expired", IDENTITIES).stdout == b"     0 valid identities found\n"
    assert b"(CSSMERR_TP_CERT_EXPIRED)" in on_the_mac(world, "expired", IDENTITIES.replace(" -v", "")).stdout


def test_nothing_found_with_a_is_no_error(world: World) -> None:
    assert output(world, f"security find-certificate -a -c nobody {SYSTEM}") == ""


def test_nothing_found_without_a_is_exit_44(world: World) -> None:
    done = on_the_mac(world, "healthy", f"security find-certificate -c nobody {SYSTEM}")

    expected = b"security: SecKeychainSearchCopyNext: The specified item could not be found in the keychain.\n"
    assert (done.returncode, done.stderr) == (44, expected)


def test_c_is_a_substring_in_any_case(world: World) -> None:
    assert output(world, f"security find-certificate -a -p -c MANAGEMENTattestation {SYSTEM}").count("BEGIN") == 1
    assert output(world, f"security find-certificate -c com.apple -p {SYSTEM}").count("BEGIN") == 1


def test_a_keychain_that_cannot_be_opened_is_told_and_others_are_searched(world: World) -> None:
    done = on_the_mac(world, "healthy", "security find-certificate -a -p -Z /Library/Keychains/None.keychain")

    assert done.returncode == 0
    assert done.stderr.startswith(b"security: SecKeychainOpen /Library/Keychains/None.keychain: ")
    assert done.stdout.count(b"BEGIN") == 3


def test_an_unreadable_keychain_looks_like_an_empty_one(world: World) -> None:
    world.tell("healthy", "unreadable-keychain", "yes")

    assert output(world, LIST) == ""
    assert output(world, IDENTITIES) == "     0 valid identities found\n"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
@pytest.mark.parametrize("verb", ["delete-certificate", "delete-identity"])
def test_a_certificate_is_deleted_by_hash(world: World, verb: str, algorithm: str) -> None:
    wanted = hashlib.new(algorithm, marked(world)).hexdigest()

    assert output(world, f"sudo -n security {verb} -Z {wanted} {SYSTEM}") == ""

    assert output(world, LIST).count("BEGIN") == 2
    assert output(world, IDENTITIES) == "     0 valid identities found\n"


def test_what_is_not_there_cannot_be_deleted(world: World) -> None:
    done = on_the_mac(world, "healthy", f"security delete-certificate -Z {'0' * 40} {SYSTEM}")

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b'Unable to delete certificate matching "' + b"0" * 40 + b'"\n'


def test_a_name_that_fits_two_deletes_neither(world: World) -> None:
    done = on_the_mac(world, "healthy", f"security delete-certificate -c com.apple {SYSTEM}")

    assert done.returncode == 1
    assert output(world, LIST).count("BEGIN") == 3


def test_a_local_install_is_refused_in_apples_words(world: World) -> None:
    done = on_the_mac(world, "healthy", "profiles install -path /tmp/x.mobileconfig")

    text = b"profiles tool no longer supports installs.  Use System Settings Profiles to add configuration profiles.\n"
    assert (done.returncode, done.stdout) == (1, text)


@pytest.mark.parametrize("command", ["profiles remove -identifier com.example.okta-device-access", "profiles -R -F x"])
def test_a_profile_of_the_mdm_cannot_be_removed(world: World, command: str) -> None:
    before = output(world, "profiles show -type configuration -output stdout-xml")

    assert on_the_mac(world, "healthy", command).returncode == 1
    assert output(world, "profiles show -type configuration -output stdout-xml") == before


def test_installed_profiles_have_the_recorded_keys(world: World) -> None:
    shown = plistlib.loads(output(world, "profiles show -type configuration -output stdout-xml").encode())
    profiles = {one["ProfileIdentifier"]: one for one in shown["_computerlevel"]}

    assert set(profiles) == {"com.example.filevault", "com.example.okta-device-access"}
    if SAMPLES.is_dir():
        recorded = plistlib.loads((SAMPLES / "synth/profiles_show_stdout-xml.with_scep.plist").read_bytes())
        real, ours = recorded["_computerlevel"][0], profiles["com.example.okta-device-access"]
        assert set(ours) == set(real)
        assert set(ours["ProfileItems"][0]) == set(real["ProfileItems"][0])


def test_no_profile_at_all_is_an_empty_dict() -> None:
    from scepfix.simulator import profile

    if not SAMPLES.is_dir():
        pytest.skip("the recorded samples are not beside this repository")
    recorded = (SAMPLES / "synth/profiles_show_stdout-xml.none.plist").read_bytes()
    assert plistlib.loads(profile.show_xml([], [], "alice")) == plistlib.loads(recorded) == {}
    assert profile.list_text([]) == "There are no configuration profiles installed in the system domain\n"


def test_the_enrolment_is_told_as_recorded(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy", "not-managed")

    lines = output(world, "profiles status -type enrollment").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["Enrolled via DEP", "MDM enrollment", "MDM server"]
    gone = on_the_mac(world, "not-managed", "profiles status -type enrollment").stdout
    assert gone == b"Enrolled via DEP: No\nMDM enrollment: No\n"


def test_python3_is_the_stub_of_a_stock_mac(world: World) -> None:
    done = on_the_mac(world, "healthy", "python3 -c 'print(1)'")

    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"xcode-select: note: No developer tools were found, requesting install.\n"


def test_the_small_tools_tell_the_mac(world: World) -> None:
    facts = world.macs["healthy"].facts

    assert output(world, "sw_vers -productVersion; sw_vers -buildVersion") == "15.1\n24B83\n"
    assert output(world, "scutil --get ComputerName") == "healthy\n"
    hardware = output(world, "system_profiler SPHardwareDataType")
    assert f"Serial Number (system): {facts.serial_number}\n" in hardware
    assert f"Hardware UUID: {facts.hardware_uuid}\n" in hardware
    assert output(world, "defaults read '/Applications/Okta Verify.app/Contents/Info' CFBundleShortVersionString") == (
        "9.56.1\n"
    )


def test_profiles_are_told_by_system_profiler_too(world: World) -> None:
    shown = plistlib.loads(output(world, "system_profiler SPConfigurationProfileDataType -xml").encode())
    names = {one["spconfigprofile_profile_identifier"] for one in shown[0]["_items"][0]["_items"]}
    assert names == {"com.example.filevault", "com.example.okta-device-access"}


def test_the_clock_of_the_mac_is_off_by_what_it_was_told(world: World) -> None:
    right = int(output(world, "date -u +%s"))
    world.tell("healthy", "clock-offset", "-3600")

    assert 3590 <= right - int(output(world, "date -u +%s")) <= 3610


def test_files_are_those_of_the_mac_and_keep_their_names(world: World) -> None:
    log = "/var/log/com.okta.deviceaccess/OktaDeviceAccess.log"
    daemon = "/usr/local/bin/OktaDAServiceDaemon"

    assert "Creating a new recovery enrollment" in output(world, f"tail -c 65536 {log}")
    assert output(world, f"ls -d {log} {daemon}").splitlines() == [daemon, log]
    assert output(world, "ls /Users") == "alice\n"
    world.tell("healthy", "daemon-missing", "yes")
    assert on_the_mac(world, "healthy", f"ls -d {daemon}").returncode != 0
    world.tell("healthy", "daemon-missing", "no")
    assert output(world, f"ls -d {daemon}") == f"{daemon}\n"


def test_an_identity_preference_is_told(tmp_path: Path) -> None:
    world = world_of(tmp_path, "leftover")
    world.pin_leftover("leftover")
    oldest = world.macs["leftover"].system_keychain.items()[2].der

    done = on_the_mac(world, "leftover", "security get-identity-preference -s https://example.okta.com -Z")

    assert hashlib.sha256(oldest).hexdigest().upper().encode() in done.stdout
    assert on_the_mac(world, "leftover", "security get-identity-preference -s https://other").returncode == 44


def test_another_identity_is_told_by_the_device_alone(tmp_path: Path) -> None:
    world = world_of(tmp_path, "healthy", "expired")
    world.tell("healthy", "other-identity", "expired")

    assert world.macs["expired"].facts.serial_number in output(world, "system_profiler SPHardwareDataType")


def test_the_stub_pc_answers_the_script_and_nothing_else(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", [MacSpec("pc", platform="windows")], NOW)

    answer = on_the_mac(world, "pc", "powershell -NoProfile -Command -", b"# script\n" * 10000)
    assert answer.stdout.startswith(b'{"schema":"scepfix/windows/1"')
    assert on_the_mac(world, "pc", "dir").returncode == 1


def test_half_an_answer_is_cut_in_the_middle(world: World) -> None:
    whole = output(world, LIST)
    world.tell("healthy", "half", "yes")
    assert output(world, LIST) == whole[: len(whole) // 2]

    world.tell("healthy", "half", "drop")
    assert on_the_mac(world, "healthy", LIST).returncode == 255


def test_garbage_is_no_text(world: World) -> None:
    world.tell("healthy", "garbage", "yes")

    done = on_the_mac(world, "healthy", LIST)
    assert (done.returncode, len(done.stdout)) == (0, 4096)


def test_a_hostile_name_does_nothing(tmp_path: Path) -> None:
    name = "$(touch pwned) `id` {{ 7*7 }} ; \x1b[31m \"quoted\" 'single'"
    spec = MacSpec(name, person="bob@example.com", subject='x $(touch pwned) "y" {{ z }}')
    world = World.create(tmp_path / "world", [spec], NOW)
    command = f"scutil --get ComputerName; {IDENTITIES}; {LIST} >/dev/null; security find-certificate -a {SYSTEM}"

    done = on_the_mac(world, name, command)

    assert done.returncode == 0
    assert name.encode() in done.stdout
    assert b'"x $(touch pwned) "y" {{ z }}"' in done.stdout
    assert not list(tmp_path.rglob("pwned"))


def test_reading_writes_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path, "deleted")
    before = fingerprint(world.folder)

    on_the_mac(world, "deleted", f"{LIST}; {IDENTITIES}; profiles list; sw_vers; system_profiler SPHardwareDataType")
    on_the_mac(world, "deleted", "sh -s", b"nonce=n\n" + (OBSERVE.read_bytes() if OBSERVE.exists() else b""))

    assert fingerprint(world.folder) == before


def test_the_observation_script_is_answered_whole(tmp_path: Path) -> None:
    if not OBSERVE.exists():
        pytest.skip("there is no observation script")
    world = world_of(tmp_path, "deleted")
    mac = world.macs["deleted"]

    done = on_the_mac(world, "deleted", "sh -s", b"nonce=0123456789abcdef\n" + OBSERVE.read_bytes())

    sent = NOW - timedelta(seconds=2)
    seen = parse_macos_observation(done.stdout, "0123456789abcdef", sent, NOW)
    assert (seen.identity.serial_number, seen.identity.hardware_uuid) == (
        mac.facts.serial_number,
        mac.facts.hardware_uuid,
    )
    assert seen.complete
    assert [one.store for one in seen.certificates] == ["system"]
    assert [one.private_key for one in seen.certificates] == [True]
    installed = {one.identifier for one in seen.profiles or ()}
    assert installed == {"com.example.filevault", "com.example.okta-device-access"}
    assert (seen.enrolled, seen.daemon_present, seen.okta_verify_version) == (True, True, "9.56.1")
    assert b"keyNotFound" in seen.log
