"""What was predicted is held against what was seen: right, wrong, or not to be told."""

from __future__ import annotations

from tests.plan_factory import device, remediation

from scepfix.domain.plan import Prediction, Sureness
from scepfix.domain.remediation import Outcome
from scepfix.service.score import Score, compare, score

LINES = (
    Prediction("profile", "a", "b", Sureness.CERTAIN),
    Prediction("certificate", "a", "b", Sureness.ASSUMED),
    Prediction("leftover", "a", "b", Sureness.ASSUMED),
    Prediction("registration", "a", "b", Sureness.UNKNOWABLE),
)
SEEN = {"profile": "b", "certificate": "c", "registration": "z", "something-else": "b"}


def test_each_prediction_is_right_wrong_or_not_to_be_told() -> None:
    assert [(one.actual, one.right) for one in compare(LINES, SEEN)] == [
        ("b", True),
        ("c", False),
        ("", None),
        ("z", None),
    ]


def test_the_score_counts_what_was_called_certain_or_assumed() -> None:
    repairs = [
        remediation(device(name, predictions=LINES), Outcome.VERIFIED, actual=seen)
        for name, seen in (("a", SEEN), ("b", {}))
    ]

    assert score(repairs) == (Score(Sureness.CERTAIN, 1, 0, 1), Score(Sureness.ASSUMED, 0, 1, 3))


def test_nothing_has_no_score() -> None:
    assert score([]) == (Score(Sureness.CERTAIN, 0, 0, 0), Score(Sureness.ASSUMED, 0, 0, 0))
