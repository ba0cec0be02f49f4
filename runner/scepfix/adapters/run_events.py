"""Reads the events of a playbook run: whether they show a whole run, and which hosts it reached."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: ``job_events/COUNTER-UUID.json``; ``…-partial.json`` and ``….json.tmp`` are not events yet.
_EVENT_FILE = re.compile(r"([0-9]{1,9})-(?!.*-partial)[0-9A-Za-z-]+\.json", re.ASCII)

#: Events that belong to no task: what Ansible says beside its work, and any other output.
_LOOSE = frozenset({"verbose", "warning", "system_warning", "deprecated", "debug", "error"})


@dataclass(frozen=True, slots=True)
class RunEvents:
    """What the events of a run show. ``broken`` is "" for a whole run, else why it is none.

    ``processed`` are the hosts that took part in it, ``unreachable`` those that could not be reached at some task.
    """

    broken: str
    processed: frozenset[str] = frozenset()
    unreachable: frozenset[str] = frozenset()


def read_run_events(artifacts: Path) -> RunEvents:
    """Given the artifact folder of a run, return what its events show. Never raises.

    Whole means: the counters go from 1 upward without a gap, each event can be read, and the statistics are there, with
    nothing but loose output after them. The return code and the status word of ansible-runner say less: both have been
    ``successful`` without statistics (ansible/ansible-runner#640), and a run is readable although its starter died.
    """
    try:
        names = [path.name for path in (artifacts / "job_events").iterdir()]
    except OSError:
        return RunEvents("there are no events")
    numbered = sorted((int(found[1]), name) for name in names if (found := _EVENT_FILE.fullmatch(name)))
    processed: frozenset[str] | None = None
    unreachable: set[str] = set()
    for expected, (counter, name) in enumerate(numbered, start=1):
        if counter != expected:
            return RunEvents(f"event {expected} is not there" if counter > expected else f"event {counter} is double")
        event = _event(artifacts / "job_events" / name)
        if event is None or event.get("counter") != counter:
            return RunEvents(f"event {counter} cannot be read")
        kind, data = event.get("event"), event.get("event_data")
        if processed is not None and kind not in _LOOSE:
            return RunEvents(f"event {counter} comes after the statistics")
        if not isinstance(data, Mapping):
            continue
        if kind == "playbook_on_stats":
            if not isinstance(data.get("processed"), Mapping):
                return RunEvents("the statistics cannot be read")
            processed = frozenset(map(str, data["processed"]))
        elif kind == "runner_on_unreachable":
            unreachable.add(str(data.get("host")))
    if processed is None:
        return RunEvents("the statistics are missing: the run did not come to its end")
    return RunEvents("", processed, frozenset(unreachable))


def _event(file: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
