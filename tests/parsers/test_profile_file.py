"""The format is found by content alone, something else is not claimed, and errors carry nothing along."""

from __future__ import annotations

import doctest
import plistlib
from pathlib import Path

import pytest

from scepfix.domain.errors import InputError
from scepfix.domain.scep_profile import ProfileFormat
from scepfix.parsers import server_url
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"

PROFILE = {"PayloadType": "Configuration", "PayloadContent": [{"PayloadType": "com.apple.security.scep"}]}
LISTING: dict[str, object] = {"_computerlevel": [{"ProfileItems": []}]}
ANSWER = {"CommandUUID": "1", "ProfileList": [{"PayloadType": "Configuration"}]}
SYNCML = b"<Add><Item><Target><LocURI>./Vendor/MSFT/ClientCertificateInstall/SCEP/x</LocURI></Target></Item></Add>"


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(server_url).attempted
    assert doctest.testmod(server_url).failed == 0


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (plistlib.dumps(PROFILE), ProfileFormat.MOBILECONFIG),
        (plistlib.dumps(PROFILE).decode().encode("utf-16"), ProfileFormat.MOBILECONFIG),
        (plistlib.dumps(PROFILE, fmt=plistlib.FMT_BINARY), ProfileFormat.MOBILECONFIG),
        (plistlib.dumps(LISTING), ProfileFormat.PROFILES_SHOW),
        (plistlib.dumps(LISTING, fmt=plistlib.FMT_BINARY), ProfileFormat.PROFILES_SHOW),
        (b'[{"scepServerUrls": []}]', ProfileFormat.INTUNE),
        (b"\n" + SYNCML, ProfileFormat.SYNCML),
        (plistlib.dumps(ANSWER), None),
        (plistlib.dumps(ANSWER, fmt=plistlib.FMT_BINARY), None),
        (plistlib.dumps({"LSMinimumSystemVersion": "12"}), None),
        (b'{"eventType": "device.lifecycle.delete"}', None),
        (b"<html/>", None),
        (b"2025/05/26 02:15:41:804 -0700 {", None),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", None),
        (b"", None),
    ],
)
def test_sniffing_claims_profiles_only(data: bytes, form: ProfileFormat | None) -> None:
    assert sniff_profile_file(data) is form
    if form:
        assert read_profile_file(data, "x").format is form


def test_an_empty_plist_is_a_list_only_where_a_list_is_expected() -> None:
    data = plistlib.dumps({})

    assert read_profile_file(data, "x", empty_is_listing=True).format is ProfileFormat.PROFILES_SHOW
    with pytest.raises(InputError, match="is empty"):
        read_profile_file(data, "x")


@pytest.mark.parametrize(
    "data",
    [
        plistlib.dumps({"Challenge": "hush"})[:-20],
        b"<plist><dict><key>Keysize</key><integer>hush</integer></dict></plist>",
        b"<plist><dict><key>Date</key><date>hush</date></dict></plist>",
        b'{"scepServerUrls": ["hush"], ',
        SYNCML.replace(b"/x<", b"/hush<")[:-9],
        b"-----BEGIN PKCS7-----\nhush",
    ],
)
def test_an_error_carries_no_part_of_the_file_along(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_profile_file(data, "x")
    assert "hush" not in repr(caught.value) + str(caught.value)
    # The decoders' own errors quote or hold the document: none may hang on.
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_mdm_answers_and_certificates_of_the_shared_samples_are_not_claimed() -> None:
    if not SAMPLES.exists():
        pytest.skip("the shared samples are not beside this checkout")
    others = [*(SAMPLES / "mdm").iterdir(), *(SAMPLES / "scep-lab").iterdir()]

    assert {path.name: sniff_profile_file(path.read_bytes()) for path in others} == {path.name: None for path in others}
