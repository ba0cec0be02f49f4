"""What Okta says of the device's records: the last word on each, and an end only while it matters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.moment import parse_rfc3339
from scepfix.rules.device_certificates import Held
from scepfix.rules.order import before, latest

RECORD = frozenset({"okta.device-active", "okta.device-gone", "okta.device-deactivated", "okta.device-suspended"})
_ALIVE = frozenset({"okta.device-active", "okta.device-suspended"})


def last_word_on_records(
    evidence: Sequence[Evidence],
    error: Evidence | None,
    stale: Evidence | None,
    current: Held | None,
    registered: Evidence | None,
) -> tuple[list[Evidence], list[str]]:
    """Return what Okta says of the device's records: the last word on each, and an end only while it matters.

    Where Okta was asked, nobody else's word about its records counts. A record without an id is the only other one.
    """
    found = [item for item in evidence if item.says in RECORD]
    by_okta = [item for item in found if item.witness is Witness.OKTA]
    found = by_okta or found
    ids = {item.facts.get("device_id") for item in found} - {None, ""}
    last: dict[object, Evidence] = {}
    for item in found:
        key = item.facts.get("device_id") if len(ids) > 1 else None
        last[key] = latest([last[key], item]) or item if key in last else item
    kept: list[Evidence] = []
    notes: list[str] = []
    for item in last.values():
        end = ended_at(item)
        if item.says in _ALIVE:
            kept.append(item)
        elif before(end, registered.observed_at if registered else None):
            notes.append("the device registered again after its record was deleted or deactivated")
        elif item.says == "okta.device-gone" and (
            stale is not None or before(end, current.appeared_at if current else None)
        ):
            notes.append("the device was deleted in Okta, and a certificate or registration came after the error")
        elif error is None and _of_another_record(item, registered):
            notes.append("the device registered on another record than the one that was deleted or deactivated")
        elif error is None and any(other.says in _ALIVE and before(end, other.observed_at) for other in last.values()):
            notes.append("an older record of this device was replaced by one that is active")
        else:
            kept.append(item)
    if any(item.says == "okta.device-gone" for item in kept):
        kept = [item for item in kept if item.says not in _ALIVE]
    return kept, notes


def _of_another_record(item: Evidence, registered: Evidence | None) -> bool:
    ended = item.facts.get("device_id")
    return bool(registered and ended and registered.facts.get("device_id") not in (None, "", ended))


def ended_at(item: Evidence) -> datetime | None:
    """Return when the record ended: the time of the deletion where it is known, else when it was read."""
    return parse_rfc3339(item.facts.get("deleted_at")) or item.observed_at
