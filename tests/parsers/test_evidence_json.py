"""Evidence as JSON is read whole, or the file is refused with the line of its first wrong object and the near miss."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.evidence import (
    COMMON_FACTS,
    MOMENT_FACTS,
    NUMBER_FACTS,
    PREREQUISITES,
    SAYS,
    TRUTH_FACTS,
    Evidence,
    Witness,
)
from scepfix.domain.fault import Symptom
from scepfix.parsers.evidence_json import parse_evidence

GONE: dict[str, Any] = {"witness": "okta", "says": "okta.device-gone"}


def read(*items: object) -> list[Evidence]:
    return parse_evidence(json.dumps(list(items)).encode(), "e.json")


def refused(data: bytes | str) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_evidence(data.encode() if isinstance(data, str) else data, "e.json")
    assert (caught.value.code, bool(caught.value.hint)) == ("evidence", True)
    return caught.value


def refused_item(item: object) -> str:
    return refused(json.dumps([item])).message


def with_facts(**facts: object) -> dict[str, Any]:
    return {**GONE, "facts": facts}


def test_only_witness_and_says_are_required() -> None:
    assert read(GONE) == [Evidence(Witness.OKTA, "", "okta.device-gone")]


def test_every_key_is_read() -> None:
    whole = {
        **GONE,
        "source": "GET /devices/x",
        "line": 3,
        "byte_offset": 0,
        "sha256": "AB" * 32,
        "observed_at": "2026-11-24T10:00:00+01:00",
        "quote": "404",
        "facts": {"device_id": "x", "device": "mac-1"},
    }
    assert read(whole) == [
        Evidence(
            Witness.OKTA,
            "GET /devices/x",
            "okta.device-gone",
            3,
            0,
            "ab" * 32,
            datetime(2026, 11, 24, 10, 0, tzinfo=timezone(timedelta(hours=1))),
            "404",
            {"device_id": "x", "device": "mac-1"},
        )
    ]


def test_a_whole_diagnosis_document_is_read_too() -> None:
    document = {"schema": "scepfix/diagnosis/1", "verdict": "fault", "evidence": [GONE], "also": []}

    assert parse_evidence(json.dumps(document).encode(), "e.json") == read(GONE)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({**GONE, "witness": "oktta"}, "[0].witness: 'oktta' is no witness; did you mean 'okta'?"),
        ({"says": "okta.device-gone"}, "[0].witness: None is no witness"),
        ({**GONE, "says": "okta.device-gon"}, "[0].says: 'okta.device-gon' is no id; did you mean 'okta.device-gone'?"),
        ({**GONE, "says": "site."}, "is no id"),
        ({**GONE, "says": "certificate.usable"}, "is no id"),
        ({**GONE, "wittness": 1}, "[0].wittness: unknown key; did you mean 'witness'?"),
        ({**GONE, "line": 0}, "[0].line: 0 is no whole number from 1"),
        ({**GONE, "line": True}, "[0].line: True is no whole number"),
        ({**GONE, "byte_offset": -1}, "[0].byte_offset: -1 is no whole number from 0"),
        ({**GONE, "sha256": "ab"}, "[0].sha256: 'ab' is no SHA-256 in hex"),
        ({**GONE, "source": 3}, "[0].source: 3 is no text"),
        ({**GONE, "observed_at": "2026-11-24T09:00:00"}, "is no RFC 3339 time with a zone"),
        ({**GONE, "observed_at": "2026-11-24"}, "is no RFC 3339 time with a zone"),
        ({**GONE, "observed_at": "20261124T090000Z"}, "is no RFC 3339 time with a zone"),
        ({**GONE, "facts": []}, "[0].facts: expected an object, found list"),
        (with_facts(a=[[1]]), "[0].facts.a: expected a text"),
        (7, "[0]: expected an object, found int"),
    ],
)
def test_a_wrong_object_is_refused(item: object, message: str) -> None:
    assert message in refused_item(item)


@pytest.mark.parametrize("fact", sorted(TRUTH_FACTS))
def test_a_truth_is_true_false_or_null(fact: str) -> None:
    for right in (True, False, None):
        assert read(with_facts(**{fact: right}))[0].facts == {fact: right}
    for wrong in ("true", "yes", 1, 0, [True]):
        assert refused_item(with_facts(**{fact: wrong})).endswith(" is no true or false")


@pytest.mark.parametrize("fact", sorted(NUMBER_FACTS))
def test_a_number_is_a_number_or_null(fact: str) -> None:
    for right in (0, -3, 2.5, None):
        assert read(with_facts(**{fact: right}))[0].facts == {fact: right}
    for wrong in ("30", True, [3]):
        assert refused_item(with_facts(**{fact: wrong})).endswith(" is no number")


@pytest.mark.parametrize("fact", sorted(MOMENT_FACTS))
def test_a_moment_has_a_zone(fact: str) -> None:
    for right in ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00.5+01:00", None):
        assert read(with_facts(**{fact: right}))[0].facts == {fact: right}
    for wrong in ("2026-11-24T09:00:00", "Nov 24 2026", "", 1_795_510_800, True):
        assert "is no RFC 3339 time with a zone" in refused_item(with_facts(**{fact: wrong}))


def test_every_typed_fact_belongs_to_some_id() -> None:
    known = {fact for meaning in SAYS.values() for fact in meaning.facts} | set(COMMON_FACTS)

    assert known >= TRUTH_FACTS | NUMBER_FACTS | MOMENT_FACTS
    assert len(TRUTH_FACTS | NUMBER_FACTS | MOMENT_FACTS) == sum(map(len, (TRUTH_FACTS, NUMBER_FACTS, MOMENT_FACTS)))


def test_every_fact_that_the_list_calls_a_truth_or_a_time_is_typed() -> None:
    kinds = {"true": TRUTH_FACTS, "false": TRUTH_FACTS, "RFC 3339": MOMENT_FACTS}
    for meaning in SAYS.values():
        for fact, text in meaning.facts.items():
            for lead, typed in kinds.items():
                assert not text.startswith(lead) or fact in typed, fact


def test_a_prerequisite_is_one_of_the_guide() -> None:
    item = {"witness": "ticket", "says": "prerequisite.unmet"}
    for known in PREREQUISITES:
        assert read({**item, "facts": {"id": known}})[0].facts == {"id": known}

    assert "'os-versoin' is no prerequisite; did you mean 'os-version'?" in refused_item(
        {**item, "facts": {"id": "os-versoin"}}
    )
    assert "None is no prerequisite" in refused_item(item)


def test_a_symptom_is_a_known_one() -> None:
    item = {"witness": "ticket", "says": "ticket.symptom"}
    for known in Symptom:
        assert read({**item, "facts": {"symptom": known.value}})[0].facts == {"symptom": known.value}

    for wrong in ({"symptom": "fails"}, {}):
        assert "is none of generating-fails, option-not-there" in refused_item({**item, "facts": wrong})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[{"witness": "okta", "says": "okta.device-gone", "says": "okta.device-active"}]', "says"),
        ('[{"witness": "okta", "says": "okta.pin-setting", "facts": {"enabled": true, "enabled": false}}]', "enabled"),
        ('{"evidence": [], "evidence": []}', "evidence"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, key: str) -> None:
    assert f"the key {key!r} stands twice in one object" in refused(text).message


def test_the_place_is_the_line_of_the_first_wrong_object_and_all_are_told() -> None:
    good, wrong = json.dumps(GONE), json.dumps({**GONE, "witness": "me"})

    error = refused(f"\n[ {good},\n\n  {good},\n  {wrong}, {good},\n {wrong}]")

    assert error.where == "e.json:5"
    assert [part.split(".")[0] for part in error.message.split("; [")] == ["[2]", "4]"]


def test_the_place_in_a_whole_diagnosis_document_is_that_of_its_evidence() -> None:
    document = {"verdict": "fault", "evidence": [GONE, {**GONE, "witness": "me"}], "also": []}
    text = json.dumps(document, indent=2)

    line = text[: text.index('"me"')].count("\n")  # the object begins on the line before its first key
    assert refused(text).where == f"e.json:{line}"


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"", "e.json:1"),
        (b"[\n{]", "e.json:2"),
        (b"{}", "e.json"),
        (b"7", "e.json"),
        (b"[NaN]", "e.json"),
        (b"\xff\xfe[\0]\0", "e.json"),
        (b"[" * 100_000, "e.json"),
        (b"[" + b"9" * 5000 + b"]", "e.json"),
    ],
)
def test_what_is_no_array_of_objects_is_refused(data: bytes, where: str) -> None:
    assert refused(data).where == where


def test_a_byte_order_mark_is_no_matter() -> None:
    assert parse_evidence(b"\xef\xbb\xbf" + json.dumps([GONE]).encode(), "e.json") == read(GONE)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.text(max_size=5)
    | st.sampled_from(["okta", "okta.device-gone"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["witness", "says", "facts", "line", "days", "enabled"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | st.lists(JSON, max_size=4).map(lambda items: json.dumps(items, indent=1).encode()))
def test_any_bytes_are_evidence_or_one_error(data: bytes) -> None:
    try:
        found = parse_evidence(data, "e.json")
    except InputError as error:
        assert error.code == "evidence"
        assert error.where.startswith("e.json")
    else:
        assert json.loads(json.dumps([item.as_document() for item in found], allow_nan=False)) is not None


@given(
    st.builds(
        Evidence,
        witness=st.sampled_from(Witness),
        source=st.text("abc/! ", max_size=8),
        says=st.sampled_from(["okta.device-gone", "log.rejected", "site.thing"]),
        line=st.none() | st.integers(1, 9),
        byte_offset=st.none() | st.integers(0, 9),
        sha256=st.none() | st.just("ab" * 32),
        observed_at=st.none() | st.just(datetime(2026, 11, 24, 9, 0, tzinfo=UTC)),
        quote=st.text("abc ", max_size=8),
        facts=st.just({}) | st.just({"device": "a", "enabled": True, "days": 3, "codes": ["a", "b"]}),
    )
)
def test_what_is_printed_is_read_again(item: Evidence) -> None:
    assert read(item.as_document()) == [item]
