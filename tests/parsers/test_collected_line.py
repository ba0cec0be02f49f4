"""The collector's line: what was written is read again, and what was cut, changed or made up is refused."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.collected_lines import line_of, summed
from tests.hostile import CORPUS, is_inert

from scepfix.domain.certificate import MARKER_EKU_OID
from scepfix.domain.device import (
    Collected,
    Identity,
    InstalledProfile,
    Observation,
    StoredCertificate,
    ToldCertificate,
    ToldLine,
)
from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.parsers.collected_line import LIMIT, parse_collected_line
from scepfix.parsers.x509_extensions import KEY_USAGES

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
NOW = AT + timedelta(hours=2)
GOT = AT + timedelta(minutes=1)
UUID = "0F0F0F0F-1111-2222-3333-444444444444"
TOLD = ToldCertificate(
    serial_number="a1b2",
    sha256="ab" * 32,
    not_before=AT - timedelta(days=30),
    not_after=AT + timedelta(days=335),
    public_key_sha256="cd" * 32,
    authority_key_id="ef" * 20,
    key_usage=("digitalSignature",),
    extended_key_usage=("clientAuth",),
    device_named=UUID.lower(),
)
SCEP = InstalledProfile("com.example.scep", ("com.apple.security.scep", "com.apple.security.root"), AT)
SEEN = Observation(
    platform=Platform.MACOS,
    observed_at=AT,
    identity=Identity("C02EXAMPLE01", UUID),
    os_version="15.1",
    os_build="24B83",
    complete=True,
    certificates=(StoredCertificate(b"", "system", True, told=TOLD),),
    profiles=(SCEP,),
    enrolled=True,
    daemon_present=True,
    okta_verify_version="9.56.1",
    collected=Collected(GOT, (ToldLine("log.attempt", AT), ToldLine("log.rejected", AT))),
)
LINE = line_of(SEEN)


def read(text: str, got_at: datetime | None = GOT, now: datetime = NOW) -> Observation:
    return parse_collected_line(text, got_at, now)


def test_the_example_of_the_page_is_read() -> None:
    assert read(LINE) == SEEN


# --- round trip ----------------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(2001, 1, 1), datetime(2049, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
truths = st.sampled_from([True, False, None])
plain = st.text(string.ascii_letters + string.digits + ". é{%=,+\"'", min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
told = st.builds(
    ToldCertificate,
    serial_number=st.integers(1, 16**40).map(lambda number: f"{number:x}"),
    sha256=hexes,
    not_before=moments,
    not_after=moments,
    public_key_sha256=hexes,
    authority_key_id=st.sampled_from(["", "ab" * 20, "00" * 32]),
    key_usage=st.none()
    | st.lists(st.sampled_from(KEY_USAGES), unique=True).map(
        lambda names: tuple(name for name in KEY_USAGES if name in names)
    ),
    extended_key_usage=st.none()
    | st.lists(st.sampled_from(["clientAuth", "anyExtendedKeyUsage", MARKER_EKU_OID]), unique=True).map(tuple),
    self_signed=st.booleans(),
    device_named=st.sampled_from(["", UUID.lower(), "C02EXAMPLE01"]),
)
profiles = st.builds(
    InstalledProfile,
    identifier=plain,
    payload_types=st.lists(plain.filter(lambda text: "+" not in text), max_size=2).map(tuple),
    installed_at=st.none() | moments,
    scope=st.sampled_from(["system", "user"]),
)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    platform = draw(st.sampled_from(Platform))
    says = ["log.attempt", "log.no-certificate", "log.rejected", "log.registration-failed"]
    if platform is Platform.WINDOWS:
        says = ["log.device-not-registered", "log.no-certificate", "log.not-eligible"]
    lines = st.lists(st.builds(ToldLine, st.sampled_from(says), st.none() | moments), max_size=3).map(tuple)
    store = "system" if platform is Platform.MACOS else "local-machine"
    stored = st.builds(StoredCertificate, st.just(b""), st.just(store), truths, st.none(), told)
    found_profiles = draw(st.none() | st.lists(profiles, max_size=2).map(tuple))
    complete = draw(st.booleans())
    problems = [] if complete else ["the computer's certificates were not listed whole (by root, or an administrator)"]
    problems += ["the device gave no answer about its profiles"] if found_profiles is None else []
    return Observation(
        platform=platform,
        observed_at=AT,
        identity=Identity(draw(st.sampled_from(["C02EXAMPLE01", "5CG12/34 XY_Z"])), UUID),
        os_version=draw(st.sampled_from(["", "15.1", "10.0.26100"])),
        os_build=draw(st.sampled_from(["", "24B83"])),
        complete=complete,
        certificates=tuple(draw(st.lists(stored, max_size=3))),
        profiles=found_profiles,
        enrolled=draw(truths),
        daemon_present=draw(truths),
        okta_verify_version=draw(st.sampled_from(["", "9.56.1", "6.1.1.0"])),
        problems=tuple(problems),
        collected=Collected(GOT, draw(st.none() | lines)),
    )


@given(observations())
def test_what_was_written_is_read_again(seen: Observation) -> None:
    if seen.platform is Platform.MACOS and "/" in seen.identity.serial_number:
        seen = replace(seen, identity=Identity("C02EXAMPLE01", UUID))

    found = read(line_of(seen))

    assert found == seen
    assert Observation.from_document(found.as_document()) == found


# --- cut, changed, made up ------------------------------------------------------------------------------------------


def test_a_line_cut_anywhere_is_none() -> None:
    for length in range(len(LINE)):
        with pytest.raises(InputError):
            read(LINE[:length])


@given(st.integers(0, len(LINE) - 1), st.characters())
def test_a_changed_character_is_told(place: int, other: str) -> None:
    changed = LINE[:place] + other + LINE[place + 1 :]
    if changed == LINE:
        return
    with pytest.raises(InputError):
        read(changed)


@given(st.text(max_size=300) | st.sampled_from(CORPUS))
def test_any_text_is_refused_in_words(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text)
    assert caught.value.message.isprintable()


@given(st.integers(0, len(LINE)), st.text(max_size=20) | st.sampled_from(CORPUS))
def test_a_line_whose_sum_was_made_up_says_nothing_that_acts(place: int, other: str) -> None:
    body = LINE.rpartition(" ")[0]
    try:
        seen = read(summed(body[:place] + other + body[place:]))
    except InputError as error:
        assert error.message.isprintable()
        return
    texts = [seen.identity.serial_number, seen.os_version, *seen.problems]
    texts += [text for one in seen.profiles or () for text in (one.identifier, *one.payload_types)]
    assert all(is_inert(text) for text in texts)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("more=0", "more=1"),
        ("certificates=1", "certificates=2"),
        ("profiles=1", "profiles=0"),
        ("os=macos", "os=linux"),
        ("at=20261124", "at=20261340"),
        ("complete=y", "complete=yes"),
        ("root=yes ", ""),
        ("scepfix1", "scepfix2"),
        (" sn=", "  sn="),
        ("m1:", "w1:"),
        ("c=2026", "c=2026x"),
        ("p=s,", "p=x,"),
    ],
)
def test_another_form_is_refused_whatever_its_sum_says(old: str, new: str) -> None:
    body = LINE.rpartition(" ")[0]
    assert body.count(old) >= 1

    with pytest.raises(InputError):
        read(summed(body.replace(old, new, 1)))


def test_what_stands_around_the_line_is_passed_over() -> None:
    for text in (
        f"<result>{LINE}</result>",
        f"  {LINE}\r\n",
        f"Welcome\n{LINE}\nbye\n",
        f"<result>\n{LINE}\n</result>",
    ):
        assert read(text) == SEEN


def test_two_lines_are_none() -> None:
    with pytest.raises(InputError):
        read(f"{LINE}\n{LINE}")


def test_a_line_of_2000_characters_is_none() -> None:
    words = line_of(replace(SEEN, certificates=SEEN.certificates * 8))
    assert len(words) >= LIMIT

    with pytest.raises(InputError):
        read(words)


# --- what it means ----------------------------------------------------------------------------------------------------


def test_certificates_that_did_not_fit_make_it_no_answer() -> None:
    seen = read(line_of(SEEN, certificates="3", more="2"))

    assert (len(seen.certificates), seen.complete) == (1, False)
    assert "did not fit" in seen.problems[0]


@pytest.mark.parametrize(
    ("got_at", "observed_at", "offset"),
    [
        (AT + timedelta(hours=1), AT, None),
        (None, AT, None),
        (AT - timedelta(minutes=2), AT - timedelta(minutes=2), None),
        (AT - timedelta(hours=1), AT - timedelta(hours=1), 3600.0),
        (AT + timedelta(days=9), AT, None),
    ],
)
def test_the_earlier_of_two_moments_counts(
    got_at: datetime | None, observed_at: datetime, offset: float | None
) -> None:
    seen = read(LINE, got_at)

    assert (seen.observed_at, seen.clock_offset_seconds) == (observed_at, offset)


def test_a_clock_ahead_of_now_is_told_where_the_mdm_does_not_say_when() -> None:
    seen = read(LINE, None, AT - timedelta(minutes=20))

    assert (seen.observed_at, seen.clock_offset_seconds) == (AT - timedelta(minutes=20), 1200.0)


def test_a_placeholder_of_a_board_is_no_serial_number() -> None:
    pc = replace(SEEN, platform=Platform.WINDOWS, collected=None)

    seen = read(line_of(pc, sn="Default%20string"))

    assert seen.identity == Identity("", UUID)
    assert "the device did not say its serial number" in seen.problems
