"""YAML is plain data with lines; what is more than data, or no YAML, is refused where it stands."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from scepfix.domain.errors import UsageError
from scepfix.parsers.located_yaml import parse


def test_data_comes_with_the_line_of_each_key_and_item() -> None:
    located = parse("# head\na:\n  - x\n  - b: 1\n    c: yes\n", "f.yml")

    assert located.data == {"a": ["x", {"b": 1, "c": True}]}
    assert located.line_of == {
        (): 2,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b"): 4,
        ("a", 1, "c"): 5,
    }


def test_the_nearest_place_with_a_line_is_named() -> None:
    located = parse("a:\n  b: 1\n", "f.yml")

    assert located.where(("a", "b")) == "f.yml:2"
    assert located.where(("a", "b", "c", 7)) == "f.yml:2"
    assert located.where(("z",)) == "f.yml:1"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n...\n"])
def test_an_empty_file_is_nothing(text: str) -> None:
    assert parse(text, "f.yml").data is None


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(text, "f.yml")
    assert caught.value.code == "yaml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2\n", 2, "the key 'a' stands here a second time"),
        ("a:\n  b: 1\n  b: 1\n", 3, "the key 'b' stands here a second time"),
        ("a:\n\t- x\n", 2, "this is no YAML: found character '\\t'"),
        ("a: [1, 2\n", 2, "this is no YAML"),
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: 'x\n", 2, "this is no YAML"),
        ("a: 1\n---\nb: 2\n", 2, "this is no YAML"),
        ("a: &x 1\nb: *x\n", 2, "aliases are not read"),
        ("a: *nowhere\n", 1, "this is no YAML"),
        ("a: !!python/name:os.system x\n", 1, "cannot be read"),
        ("a: !local x\n", 1, "is not read here"),
        ("? [1, 2]\n: x\n", 1, "is not read here"),
        ("a: 2026-99-99\n", 1, "cannot be read"),
        ("a: \x00\n", 1, "this is no YAML that can be read"),
        ("a: \x1b[2J\n", 1, "this is no YAML that can be read"),
    ],
)
def test_what_is_more_or_less_than_data_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    error = refused(text)

    assert error.where == f"f.yml:{line}"
    assert message in error.message


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.mkdir {target}\n",
        "a: !!python/object/apply:os.mkdir ['{target}']\n",
        "!!python/object/apply:os.mkdir ['{target}']\n",
        "a: !!python/object/new:os.mkdir {{args: ['{target}']}}\n",
        "a: !!python/object/apply:subprocess.check_call [[mkdir, '{target}']]\n",
    ],
)
def test_a_tag_is_refused_and_calls_nothing(tmp_path: Path, text: str) -> None:
    target = tmp_path / "made-by-a-tag"
    error = refused(text.format(target=target))

    assert error.where == "f.yml:1"
    assert not target.exists()


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    began = time.process_time()

    error = refused("\n".join(lines) + "\n")

    assert (error.where, error.message) == ("f.yml:2", "aliases are not read")
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["[" * 5000, "[" * 40 + "]" * 40, "{a: " * 5000, "- " * 40 + "x\n"])
def test_deep_nesting_is_refused(text: str) -> None:
    assert refused(text).where.startswith("f.yml:")


def test_a_long_list_is_read() -> None:
    assert parse("".join(f"- item {n}\n" for n in range(5000)), "f.yml").line_of[(4999,)] == 5000
