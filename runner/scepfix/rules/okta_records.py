"""What Okta says of the device's records: the last word on each, and an end only while it matters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.device_certificates import Held
from scepfix.rules.order import before, latest, undecided
from scepfix.rules.stale import outweighs

RECORD = frozenset({"okta.device-active", "okta.device-gone", "okta.device-deactivated", "okta.device-suspended"})
_ALIVE = frozenset({"okta.device-active", "okta.device-suspended"})


def last_word_on_records(
    evidence: Sequence[Evidence],
    error: Evidence | None,
    stale: Evidence | None,
    current: Held | None,
    registered: Evidence | None,
) -> tuple[list[Evidence], list[str], list[str]]:
    """Return the records that count, notes, and contradictions (readings of one record that no time tells apart).

    Where Okta was asked, nobody else's word about its records counts. A record without an id is the only other one.
    """
    found = [item for item in evidence if item.says in RECORD]
    found = [item for item in found if item.witness is Witness.OKTA] or found
    ids = {item.facts.get("device_id") for item in found} - {None, ""}
    records: dict[object, list[Evidence]] = {}
    for item in found:
        records.setdefault(item.facts.get("device_id") if len(ids) > 1 else None, []).append(item)
    last: list[Evidence] = []
    contradictions: list[str] = []
    for readings in records.values():
        if undecided(readings) and len({item.says for item in readings}) > 1:
            contradictions.append("the device's record in Okta was read in two ways: which came last?")
        else:
            last += [item for item in (latest(readings),) if item]
    alive_since = [_alive_since(item) for item in last if item.says in _ALIVE]
    kept: list[Evidence] = []
    notes: list[str] = []
    for item in last:
        end = ended_at(item)
        counts = error is not None and not any(before(error.observed_at, since) for since in alive_since)
        if item.says in _ALIVE:
            kept.append(item)
        elif registered is not None and outweighs(registered, item) and before(end, registered.observed_at):
            notes.append("the device registered again after its record was deleted or deactivated")
        elif item.says == "okta.device-gone" and (
            before(end, current.appeared_at if current else None)
            or (stale is not None and not item.facts.get("deleted_at"))
        ):
            notes.append("the device was deleted in Okta, and a certificate or registration came after the error")
        elif not counts and _of_another_record(item, registered):
            notes.append("the device registered on another record than the one that was deleted or deactivated")
        elif not counts and any(before(end, since) for since in alive_since):
            notes.append("an older record of this device was replaced by one that is active")
        else:
            kept.append(item)
    if any(item.says == "okta.device-gone" for item in kept):
        kept = [item for item in kept if item.says not in _ALIVE]
    return kept, notes, contradictions


def _alive_since(item: Evidence) -> datetime | None:
    return parse_rfc3339(item.facts.get("created_at")) or item.observed_at


def _of_another_record(item: Evidence, registered: Evidence | None) -> bool:
    ended = item.facts.get("device_id")
    return bool(registered and ended and registered.facts.get("device_id") not in (None, "", ended))


def ended_at(item: Evidence) -> datetime | None:
    """Return when the record ended: the time of the deletion where it is known, else when it was read."""
    return parse_rfc3339(item.facts.get("deleted_at")) or item.observed_at
