"""Whatever foreign text holds, what is shown of it moves no cursor, reorders nothing and hides nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepfix.domain.inert import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain CN=mac, O=Übung 東京", "plain CN=mac, O=Übung 東京"),
        ("a\x1b[2Jb", "a␛[2Jb"),
        ("one\ntwo\r\tthree\0", "one␊two␍␉three␀"),
        ("del\x7f", "del␡"),
        ("c1\x9b31m", r"c1\u{9b}31m"),
        ("abc\u202etxt.exe", r"abc\u{202e}txt.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u{200b}width\u{feff}"),
        ("lone\ud800", r"lone\u{d800}"),
        ("line\u2028para\u2029", r"line\u{2028}para\u{2029}"),
        ("tag\U000e0041", r"tag\u{e0041}"),
        ("em\u2003space", r"em\u{2003}space"),
        ("{{ 7*7 }} <b>x</b>", "{{ 7*7 }} <b>x</b>"),
        ("", ""),
    ],
)
def test_active_characters_are_spelled_out(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_result_is_printable_encodable_and_stable(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert visible(shown) == shown


def test_text_without_active_characters_is_left_alone() -> None:
    assert visible("naïve – “quoted” €\u00a0") == "naïve – “quoted” €\u00a0"
