"""Says what a run is waiting for, since when and until when: one line a change, one a minute while nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from scepfix.domain.inert import visible
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation, Stage
from scepfix.service.advance import Doing, Progress
from scepfix.workflow.decide import deadline

_QUIET = timedelta(minutes=1)
_NAMES_SHOWN = 3
_LEADS = {
    Doing.RUNNING: "",
    Doing.FOUND_RUNNING: "still running from before: ",
    Doing.CHANGED: "",
    Doing.WAITING: "waiting: ",
    Doing.GROUP_BUSY: "another scepfix is changing the exclusion group, waiting for that: ",
}
#: What follows where the wait was in vain.
_THEN = {
    Stage.PREFLIGHT: "it is given up, with nothing changed",
    Stage.UNINSTALL: "the profile is asked back",
    Stage.CONFIRM: "the profile is asked back",
    Stage.REINSTALL: "a person is called, and asking goes on",
    Stage.INSPECT: "it counts as not proved",
    Stage.REMOVE_LEFTOVERS: "it is looked at what is left",
    Stage.REGISTRATION: "it expires",
}


class ProgressLines:
    """Given where a line goes and the site's waits, turns progress into lines; the same one is not said twice within a
    minute."""

    def __init__(self, tell: Callable[[str], None], policy: RepairPolicy) -> None:
        self._tell = tell
        self._policy = policy
        self._said: dict[str, datetime] = {}

    def __call__(self, progress: Progress) -> None:
        for words, remediations in _grouped(progress).items():
            key = f"{words} {[one.id for one in remediations]}"
            last = self._said.get(key)
            if last is not None and progress.at - last < _QUIET:
                continue
            self._said[key] = progress.at
            self._tell(_line(words, remediations, progress, self._policy))


def _grouped(progress: Progress) -> dict[str, list[Remediation]]:
    found: dict[str, list[Remediation]] = {}
    for one in progress.remediations:
        found.setdefault(_LEADS[progress.doing] + _words(one), []).append(one)
    return found


def _words(one: Remediation) -> str:
    if one.outcome is not None:
        return one.outcome.value + (f": {one.error}" if one.error else "")
    return f"{one.stage.value}: {one.waiting_for or 'next'}"


def _line(words: str, remediations: Sequence[Remediation], progress: Progress, policy: RepairPolicy) -> str:
    since = min((one.stage_started_at for one in remediations if one.stage_started_at), default=None)
    times = []
    if since is not None and progress.doing is Doing.WAITING:
        times.append(f"for {_span(progress.at - since)}")
    if progress.until is not None:
        times.append(f"next look in {_span(progress.until - progress.at)}")
        times += _at_the_latest(remediations, policy)
    return f"{progress.at:%H:%M:%SZ} {_names(remediations)}: {visible(words)}" + (
        f" ({', '.join(times)})" if times else ""
    )


def _at_the_latest(remediations: Sequence[Remediation], policy: RepairPolicy) -> list[str]:
    """Return until when is waited, and what then."""
    begun = [one for one in remediations if one.stage_started_at and one.outcome is None]
    if not begun:
        return []
    return [f"until {min(deadline(one, policy) for one in begun):%H:%MZ} at the latest, then {_THEN[begun[0].stage]}"]


def _names(remediations: Sequence[Remediation]) -> str:
    names = [visible(one.device.name) for one in remediations]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _span(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"
