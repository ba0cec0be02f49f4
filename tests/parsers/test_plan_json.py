"""A plan file is read back as it was written, and refused once anything in it was changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.plan_factory import HOSTILE, device, plan, told

from scepfix.domain.errors import InputError, RefusedError, ScepfixError
from scepfix.domain.plan import Plan
from scepfix.parsers.plan_json import read_plan, write_plan


def changed(change: Callable[[dict[str, Any]], None], made: Plan | None = None) -> bytes:
    document = json.loads(write_plan(made or plan(device(), told())))
    change(document)
    return json.dumps(document).encode()


def refused(data: bytes) -> ScepfixError:
    with pytest.raises(ScepfixError) as caught:
        read_plan(data, "plan.json")
    assert caught.value.where == "plan.json"
    return caught.value


def test_a_plan_is_read_back_as_it_was_written() -> None:
    made = plan(device(), told(), device("mac-{{ 7*7 }}-$(id)", reason=HOSTILE, person="Ü"))

    assert read_plan(write_plan(made).encode(), "plan.json") == made


def test_the_first_key_is_the_schema() -> None:
    assert next(iter(json.loads(write_plan(plan())))) == "schema"


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(below, (*path, key))
    else:
        yield path


#: What the digest does not cover: a plan made again with another clock has the same digest and says other things here.
UNCOVERED = {"made_at", "expires_at", "requester", "set_aside", "host", "connection", "watches", "reason", "standing"}
COVERED = [
    path
    for path in paths(json.loads(write_plan(plan(device(), told()))))
    if not {"schema", *UNCOVERED}.intersection(map(str, path))
]


@pytest.mark.parametrize("path", COVERED, ids=lambda path: ".".join(map(str, path)))
def test_every_covered_field_that_is_changed_is_noticed(path: tuple[str | int, ...]) -> None:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        old = document[path[-1]]
        document[path[-1]] = old + 1 if isinstance(old, int) else f"{old}x"

    error = refused(changed(change))

    assert (error.code, error.exit) == ("plan-changed", 4)


@pytest.mark.parametrize("path", COVERED[:1] + COVERED[5:8])
def test_a_field_that_is_missing_is_noticed(path: tuple[str | int, ...]) -> None:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    assert refused(changed(change)).code in ("plan-changed", "plan-unreadable")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["devices"][0].update(host="mac-042; id"), "a host is not one that scepfix made"),
        (lambda found: found["devices"].append(found["devices"][0]), "a host is there twice"),
        (
            lambda found: found["devices"][0].update(host=found["devices"][1]["host"]),
            "a host is not one that scepfix made",
        ),
        (lambda found: found["devices"][0].update(connection={"ansible_host": "{{ 7*7 }}"}), "ansible_host"),
        (lambda found: found["devices"][0].update(connection={"ansible_ssh_args": "-oProxyCommand=id"}), "ansible_ssh"),
        (lambda found: found["devices"][0].update(connection=["x"]), "the plan is damaged"),
        (lambda found: found.update(expires_at="soon"), "no moment"),
        (lambda found: found.update(expires_at=found["made_at"]), "it expires before it was made"),
        (lambda found: found["devices"].append("x"), "the plan is damaged"),
        (lambda found: found.update(devices=None), "the plan is damaged"),
        (lambda found: found["variables"].update(x=1.5), "float"),
        (lambda found: found["devices"][0].update(person="\ud800"), "UTF-8"),
    ],
)
def test_a_damaged_plan_is_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    error = refused(changed(change))

    assert (error.code, type(error)) == ("plan-changed", RefusedError)
    assert message in error.message


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"{}", b'{"schema": "scepfix/plan/2"}', b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'],
)
def test_what_is_no_plan_is_unreadable(data: bytes) -> None:
    error = refused(data)

    assert (error.code, type(error)) == ("plan-unreadable", InputError)


def test_a_key_twice_is_refused() -> None:
    text = write_plan(plan()).replace('"digest":', '"digest": "x", "digest":', 1)

    assert "a key is there twice" in refused(text.encode()).message


def test_the_same_plan_with_another_clock_keeps_its_digest() -> None:
    first = plan(device(), told())
    later = timedelta(days=3)
    again = replace(first, made_at=first.made_at + later, expires_at=first.expires_at + later)

    assert again.digest() == first.digest()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_plan_or_a_known_error(data: bytes) -> None:
    refused(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
)


@given(JSON)
def test_any_value_in_place_of_the_devices_is_refused(value: object) -> None:
    if value == []:
        return
    assert refused(changed(lambda found: found.update(devices=value))).code == "plan-changed"
