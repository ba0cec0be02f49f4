"""The shared samples of real and staged transcripts, where this checkout stands beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scepfix.domain.certificate import CertificateFile
from scepfix.domain.errors import InputError
from scepfix.parsers.certificates import parse_certificates

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not beside this checkout")
KEYCHAIN = "macos/synth/security_find-certificate_-a_-p_-Z."


def parse(name: str) -> CertificateFile:
    return parse_certificates((SAMPLES / name).read_bytes(), name)


@pytest.mark.parametrize(
    ("name", "serials", "lines"),
    [
        ("before", ["1", "4"], [47, 68]),
        ("removed_but_orphan_left", ["3"], [47]),
        ("removed_clean", [], [3, 25]),
        ("reinstalled", ["1", "5"], [3, 25]),
    ],
)
def test_keychain_listings(name: str, serials: list[str], lines: list[int]) -> None:
    parsed = parse(f"{KEYCHAIN}{name}.txt")
    assert parsed.listing is not None
    assert parsed.listing.complete
    assert parsed.problems == ()
    short = [one.certificate.serial_number for one in parsed.found if len(one.certificate.serial_number) < 3]
    assert short == serials
    assert set(lines) <= {one.line for one in parsed.found}


def test_an_empty_listing_is_an_error_unless_it_was_said_to_be_one() -> None:
    data = (SAMPLES / f"{KEYCHAIN}EMPTY_read_failure_lookalike.txt").read_bytes()
    with pytest.raises(InputError):
        parse_certificates(data)
    listing = parse_certificates(data, listing=True).listing
    assert listing is not None
    assert not listing.complete


@pytest.mark.parametrize(
    ("name", "identities"),
    [
        ("mdm/synth_CertificateList.before.plist", [True, False, True]),
        ("mdm/synth_CertificateList.removed.plist", [True]),
        ("mdm/commandment_CertificateList_10.11.x.xml", [True, False]),
    ],
)
def test_mdm_lists(name: str, identities: list[bool]) -> None:
    parsed = parse(name)
    assert [one.private_key for one in parsed.found] == identities
    assert parsed.listing is not None
    assert parsed.listing.canary_seen
    assert all(one.certificate.oddities == () for one in parsed.found)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("scep-lab/*.pem")), ids=lambda path: path.name)
def test_certificates_of_a_lab_ca(path: Path) -> None:
    (one,) = parse(str(path.relative_to(SAMPLES))).found
    assert one.line == 1
    assert not one.certificate.marker
    assert one.certificate.is_ca == (path.name == "ca.pem")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("windows/real_text_outputs.txt", "certutil-text"),
        ("macos/real_text_outputs.txt", "keychain-no-match"),
        ("macos/synth/security_find-identity_-v_-p_ssl-client.before.txt", "listing-without-certificates"),
        ("macos/synth/lab_scep.mobileconfig", "another-format"),
        ("mdm/commandment_NotNow_iOS-11.3.1.xml", "mdm-no-list"),
        ("mdm/nanomdm_webhook_DeviceInformation.1.json", "json-without-certificates"),
        ("scep-lab/index.txt", "no-certificate"),
    ],
)
def test_other_files_say_what_they_are(name: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(name)
    assert (caught.value.code, caught.value.where) == (code, name)
