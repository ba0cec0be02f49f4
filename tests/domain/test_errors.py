"""Every error keeps code, message, place, hint and exit code through a store and back, and has one JSON form."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import scepfix
from scepfix.domain.errors import Exit, InputError, ScepfixError, UsageError


def every_kind(kind: type[ScepfixError] = ScepfixError) -> Iterator[type[ScepfixError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_kind(below)


for found in pkgutil.walk_packages(scepfix.__path__, "scepfix."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
KINDS = sorted(
    {kind for kind in every_kind() if kind.__module__.startswith("scepfix.")}, key=lambda kind: kind.__name__
)


def test_the_kinds_are_found() -> None:
    assert {ScepfixError, InputError, UsageError} <= set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling(kind: type[ScepfixError], protocol: int) -> None:
    error = kind("some-code", "was heißt „hier“?", where="a b:3", hint="try\nagain")

    again = pickle.loads(pickle.dumps(error, protocol))

    assert type(again) is kind
    assert again.as_document() == error.as_document()
    assert (again.exit, str(again), again.args) == (error.exit, str(error), error.args)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_can_be_copied(kind: type[ScepfixError]) -> None:
    error = kind("some-code", "message")

    for again in (copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert again.as_document() == {"code": "some-code", "message": "message", "where": "", "hint": ""}


@pytest.mark.parametrize(
    ("where", "hint", "text"),
    [
        ("", "", "message"),
        ("f:1", "", "f:1: message"),
        ("", "do this", "message (do this)"),
        ("f:1", "do this", "f:1: message (do this)"),
    ],
)
def test_an_error_reads_as_one_sentence(where: str, hint: str, text: str) -> None:
    assert str(ScepfixError("code", "message", where=where, hint=hint)) == text


def test_bad_input_and_bad_usage_are_both_exit_2_and_the_rest_is_1() -> None:
    assert (ScepfixError.exit, InputError.exit, UsageError.exit) == (Exit.FAILED, Exit.USAGE, Exit.USAGE)


def test_the_exit_codes_are_those_of_the_contract() -> None:
    assert {exit.name: exit.value for exit in Exit} == {
        "VERDICT": 0,
        "FAILED": 1,
        "USAGE": 2,
        "UNDETERMINED": 3,
        "NEEDS_PERSON": 4,
        "MIXED": 5,
        "INTERRUPTED": 130,
    }
