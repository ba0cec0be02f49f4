"""Which registration attempt was the last, and how did it end? Instants decide, never the order of the text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from scepfix.domain.evidence import Evidence

#: Evidence that is an attempt to register or its result.
ATTEMPTS = frozenset({"log.attempt", "log.no-certificate", "log.rejected", "log.registration-failed", "log.registered"})
#: The two texts that name a fault.
ERRORS = frozenset({"log.no-certificate", "log.rejected"})


@dataclass(frozen=True, slots=True)
class Attempts:
    """``last`` decides; ``run`` are the last attempts that ended the same way, oldest first.

    ``contradiction`` says why nothing decides: sources without times that end differently.
    """

    last: Evidence | None = None
    run: tuple[Evidence, ...] = ()
    contradiction: str = ""

    @property
    def error(self) -> Evidence | None:
        """The last attempt's error, if it is one that names a fault."""
        return self.last if self.last is not None and self.last.says in ERRORS else None


def judge_attempts(evidence: Sequence[Evidence]) -> Attempts:
    """Given the evidence of one device, return its last attempt.

    Lines without a time take the place of the lines around them in the same source. A source without any time cannot
    be placed against another one: if they end differently, that is a contradiction.
    """
    events = [item for item in evidence if item.says in ATTEMPTS]
    if not events:
        return Attempts()
    timed: list[tuple[datetime, int, Evidence]] = []
    untimed: list[list[Evidence]] = []
    for lines in _by_source(events):
        moments = _filled([item.observed_at for item in lines])
        if moments is None:
            untimed.append(lines)
        else:
            timed += [
                (moment, len(timed) + index, item)
                for index, (moment, item) in enumerate(zip(moments, lines, strict=True))
            ]
    orders = [*untimed]
    if timed:
        orders.append([item for _, _, item in sorted(timed, key=lambda entry: entry[:2])])
    # An attempt is no ending: where another source has a result, that may well be its own.
    orders = [order for order in orders if order[-1].says != "log.attempt"] or orders
    endings = {order[-1].says for order in orders}
    if len(endings) > 1:
        return Attempts(contradiction="sources without times end differently: which came last?")
    order = orders[-1]
    last = order[-1]
    run: list[Evidence] = []
    for item in reversed(order):
        if item.says not in (last.says, "log.attempt"):
            break
        if item.says == last.says:
            run.append(item)
    return Attempts(last, tuple(reversed(run)))


def _by_source(events: Sequence[Evidence]) -> list[list[Evidence]]:
    ordered = sorted(events, key=lambda item: (item.source, item.line or 0))
    return [list(lines) for _, lines in groupby(ordered, key=lambda item: item.source)]


def _filled(moments: Sequence[datetime | None]) -> list[datetime] | None:
    """Give each line without a time that of the line before it, or else of the first one that has one."""
    current = next((moment for moment in moments if moment), None)
    if current is None:
        return None
    filled: list[datetime] = []
    for moment in moments:
        current = moment or current
        filled.append(current)
    return filled
