"""A Mac's own list tells for whom each profile is installed, since when, and what its SCEP payload asks for."""

from __future__ import annotations

import doctest
import plistlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.scep_profile import ProfileFormat, Scope
from scepfix.parsers import profiles_show
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file
from scepfix.parsers.profiles_show import parse_profiles_show

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "macos"


def installed(identifier: str, *items: dict[str, object], **changes: object) -> dict[str, object]:
    return {
        "ProfileIdentifier": identifier,
        "ProfileDisplayName": "Shown",
        "ProfileUUID": "U",
        "ProfileInstallDate": "2026-11-24 03:08:14 +0100",
        "ProfileItems": list(items),
    } | changes


def scep(**inner: object) -> dict[str, object]:
    return {"PayloadType": "com.apple.security.scep", "PayloadContent": inner}


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(profiles_show).attempted
    assert doctest.testmod(profiles_show).failed == 0


def test_scope_date_and_payloads_are_told_per_profile() -> None:
    listing = {
        "_computerlevel": [installed("com.acme.firewall"), installed("com.acme.scep", scep(Keysize=2048))],
        "ann": [installed("com.acme.wifi", scep(Keysize=1024))],
    }

    document = read_profile_file(plistlib.dumps(listing), "x")

    assert document.format is ProfileFormat.PROFILES_SHOW
    assert [(one.identifier, one.scope, one.user, one.path) for one in document.profiles] == [
        ("com.acme.firewall", Scope.SYSTEM, None, "_computerlevel[0]"),
        ("com.acme.scep", Scope.SYSTEM, None, "_computerlevel[1]"),
        ("com.acme.wifi", Scope.USER, "ann", "ann[0]"),
    ]
    assert [one.identifier for one in document.with_scep] == ["com.acme.scep", "com.acme.wifi"]
    assert document.profiles[1].installed_at == datetime(2026, 11, 24, 2, 8, 14, tzinfo=UTC)
    assert document.with_scep[1].scep_payloads[0].key_bits.path == "ann[0].ProfileItems[0].PayloadContent.Keysize"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2023-03-31 01:14:38 +0000", datetime(2023, 3, 31, 1, 14, 38, tzinfo=UTC)),
        (datetime(2023, 3, 31, 1, 14, 38), datetime(2023, 3, 31, 1, 14, 38, tzinfo=UTC)),
        ("2023-03-31 01:14:38", None),
        ("yesterday", None),
        (7, None),
    ],
)
def test_the_install_date_is_aware_or_unknown(value: object, moment: datetime | None) -> None:
    listing = {"_computerlevel": [installed("a", ProfileInstallDate=value)]}

    assert parse_profiles_show(plistlib.dumps(listing), "x").profiles[0].installed_at == moment


@pytest.mark.parametrize("listing", [{}, {"_computerlevel": []}])
def test_nothing_installed_is_an_answer(listing: dict[str, object]) -> None:
    data = plistlib.dumps(listing)

    assert parse_profiles_show(data, "x").profiles == ()
    assert read_profile_file(data, "x", empty_is_listing=True).profiles == ()
    assert sniff_profile_file(data) is ProfileFormat.PROFILES_SHOW


def test_entries_of_the_wrong_type_become_remarks() -> None:
    listing = {"_computerlevel": [7, installed("a", ProfileItems="x")], "ann": "text"}

    document = parse_profiles_show(plistlib.dumps(listing), "x")

    assert [one.identifier for one in document.profiles] == ["a"]
    assert len(document.remarks) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"sh: profiles: command not found",
        b"There are no configuration profiles installed in the system domain",
        plistlib.dumps({"_computerlevel": [installed("a")]})[:-30],
        plistlib.dumps([]),
        plistlib.dumps({"SomePreference": [1, 2]}),
    ],
)
def test_what_is_no_list_is_an_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        parse_profiles_show(data, "x")
    assert caught.value.hint


LEAVES = st.one_of(st.booleans(), st.integers(0, 9), st.text("ab", max_size=3), st.datetimes(), st.binary(max_size=3))
KEYS = st.sampled_from(
    ["ProfileIdentifier", "ProfileItems", "ProfileInstallDate", "PayloadType", "PayloadContent", "Subject", "ann"]
)
TREES = st.recursive(
    LEAVES | st.just("com.apple.security.scep"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(listing=st.dictionaries(st.sampled_from(["_computerlevel", "ann", "PayloadType"]), TREES, max_size=3))
def test_any_types_are_read_or_refused(listing: dict[str, object]) -> None:
    with suppress(InputError):
        document = parse_profiles_show(plistlib.dumps(listing, fmt=plistlib.FMT_BINARY), "x")
        assert all(one.installed_at is None or one.installed_at.tzinfo for one in document.profiles)


@pytest.mark.parametrize(
    ("name", "identifiers"),
    [
        ("synth/profiles_show_stdout-xml.none.plist", []),
        ("synth/profiles_show_stdout-xml.with_scep.plist", ["test.lab.scep"]),
        ("profiles_show_stdout-xml.macadmins-osquery-extension.plist", []),
    ],
)
def test_the_shared_lists_read(name: str, identifiers: list[str]) -> None:
    if not (SAMPLES / name).exists():
        pytest.skip("the shared samples are not beside this checkout")
    data = (SAMPLES / name).read_bytes()

    assert [one.identifier for one in parse_profiles_show(data, name).with_scep] == identifiers
    assert sniff_profile_file(data) is ProfileFormat.PROFILES_SHOW
