"""The use *score a preview*: what was predicted beside what was seen, and how often it was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scepfix.domain.plan import Prediction, Sureness
from scepfix.domain.remediation import Remediation


@dataclass(frozen=True, slots=True)
class Compared:
    """One prediction and what was seen, "" where nobody looked; ``right`` is None where it cannot be told."""

    prediction: Prediction
    actual: str
    right: bool | None

    def as_document(self) -> dict[str, object]:
        return {**self.prediction.as_document(), "actual": self.actual, "right": self.right}


@dataclass(frozen=True, slots=True)
class Score:
    """Of the predictions of one sureness: how many were right, how many wrong, how many were not seen."""

    sureness: Sureness
    right: int
    wrong: int
    unseen: int

    def as_document(self) -> dict[str, object]:
        return {"sureness": self.sureness.value, "right": self.right, "wrong": self.wrong, "unseen": self.unseen}


def compare(predictions: Sequence[Prediction], actual: Mapping[str, str]) -> tuple[Compared, ...]:
    """Given predictions and the values seen, by ``what``, return them side by side.

    What was called unknowable is right whatever came; it is shown and not scored.
    """
    return tuple(_compared(prediction, actual.get(prediction.what, "")) for prediction in predictions)


def score(remediations: Sequence[Remediation]) -> tuple[Score, ...]:
    """Given remediations, return the score of what was called certain and of what was assumed."""
    compared = [one for each in remediations for one in compare(each.device.predictions, each.actual)]
    return tuple(
        Score(sureness, *(sum(one.right is right for one in mine) for right in (True, False, None)))
        for sureness in (Sureness.CERTAIN, Sureness.ASSUMED)
        for mine in [[one for one in compared if one.prediction.sureness is sureness]]
    )


def _compared(prediction: Prediction, actual: str) -> Compared:
    seen = bool(actual) and prediction.sureness is not Sureness.UNKNOWABLE
    return Compared(prediction, actual, actual == prediction.after if seen else None)
