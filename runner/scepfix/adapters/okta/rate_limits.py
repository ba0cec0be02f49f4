"""Okta's rate limits: only a share of each is used, and the rest is waited for before Okta has to refuse.

Every answer names its bucket's limit, what is left of it, and when it fills up again (developer.okta.com, "Rate
limits"). Other apps of the org live on the same buckets.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from scepfix.adapters.service_clock import offset_seconds
from scepfix.adapters.web_service import Reply

#: A bucket fills up every minute; a time further off is a clock that goes wrong.
_LONGEST_SECONDS = 61.0


class RateLimits:
    """What may be asked now, bucket by bucket. ``share`` (0 to 1) of each limit is ours; ``sleep`` waits."""

    def __init__(self, share: float, sleep: Callable[[float], None]) -> None:
        self._share, self._sleep = share, sleep
        self._not_before: dict[str, float] = {}

    def before(self, path: str) -> None:
        """Given the path that is about to be asked, wait where its bucket wants it."""
        seconds = self._not_before.pop(_bucket(path), 0.0) - time.monotonic()
        if seconds > 0:
            self._sleep(seconds)

    def after(self, path: str, reply: Reply) -> None:
        """Given a path and its answer, remember how long the next question of that bucket has to wait."""
        limit, remaining = _number(reply, "x-rate-limit-limit"), _number(reply, "x-rate-limit-remaining")
        if limit and remaining is not None and remaining <= limit - int(limit * self._share):
            self._not_before[_bucket(path)] = time.monotonic() + _until_reset(reply)


def wait_of_refusal(reply: Reply) -> float:
    """Given an answer, return the seconds after which a refused question may be asked again (0: not told).

    A 429 for too many questions at once has zeros, and its time is only a hint: asking again after a moment is right.
    """
    if reply.status != 429 or not _number(reply, "x-rate-limit-limit"):
        return 0.0
    return _until_reset(reply)


def _bucket(path: str) -> str:
    """Okta counts by path: a collection, and what lies below one of its members."""
    parts = path.partition("?")[0].strip("/").split("/")
    return "/".join(parts[:3]) + ("/…" if len(parts) > 3 else "")


def _until_reset(reply: Reply) -> float:
    """By Okta's own clock: ours may differ."""
    reset = _number(reply, "x-rate-limit-reset")
    if reset is None:
        return 0.0
    now = datetime.now(UTC)
    theirs = now.timestamp() - (offset_seconds(reply, now) or 0.0)
    return min(max(reset - theirs, 0.0) + 1.0, _LONGEST_SECONDS)


def _number(reply: Reply, name: str) -> int | None:
    text = reply.header(name).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) else None
