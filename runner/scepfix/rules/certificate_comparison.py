"""Certificates before and after: which are gone, which stayed, and whether a new one was really issued since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scepfix.domain.certificate import Certificate
from scepfix.domain.diagnosis import Answer
from scepfix.domain.moment import rfc3339
from scepfix.rules.certificate import is_marked_leaf, names_device, serial_numbers


@dataclass(frozen=True, slots=True)
class Comparison:
    """Marker certificates only. ``stayed`` are leftovers where a removal was asked for.

    ``proved_new``: exactly one new leaf, whose serial number and public key were not there before, issued since.
    ``proved_gone``: all that were there before are gone. ``reasons`` say why ``proved_new`` is as it is.
    """

    gone: tuple[Certificate, ...]
    stayed: tuple[Certificate, ...]
    new: tuple[Certificate, ...]
    proved_new: Answer
    proved_gone: Answer
    reasons: tuple[str, ...]


def compare(
    before: Sequence[Certificate],
    after: Sequence[Certificate],
    removed_at: datetime | None = None,
    backdating_seconds: int = 900,
    *,
    before_complete: bool = True,
    after_complete: bool = True,
    device_names: Sequence[str] = (),
) -> Comparison:
    """Given what a device held before and after a removal at an aware moment, return what changed.

    Certificates without the marker and those of CAs are ignored. ``before_complete`` and ``after_complete`` are False
    for a listing that is no answer (``domain.certificate.Listing``). A CA may set ``not_before`` earlier than the
    moment of issue, by ``backdating_seconds`` at most. Without ``removed_at`` a new certificate must not be older
    than those that were there before.
    """
    old, now = _marked(before), _marked(after)
    gone = tuple(one for key, one in old.items() if key not in now)
    stayed = tuple(one for key, one in now.items() if key in old)
    new = tuple(one for key, one in now.items() if key not in old)
    if not new:
        proved_new, reasons = Answer.NO, [f"nothing new among {len(now)} marker certificate(s)"]
    elif len(new) > 1:
        several = f"several are new ({serial_numbers(new)}): which is the device's cannot be told"
        proved_new, reasons = Answer.UNKNOWN, [several]
    else:
        backdating = timedelta(seconds=backdating_seconds)
        proved_new, reasons = _proof(new[0], list(old.values()), removed_at, backdating, device_names)
    if not (before_complete and after_complete):
        which = " and ".join(
            name for name, whole in (("before", before_complete), ("after", after_complete)) if not whole
        )
        proved_new, reasons = Answer.UNKNOWN, [f"the listing {which} is not complete, so it is no answer", *reasons]
    proved_gone = Answer.NO if stayed else Answer.YES if before_complete and after_complete else Answer.UNKNOWN
    return Comparison(gone, stayed, new, proved_new, proved_gone, tuple(reasons))


def _marked(certificates: Iterable[Certificate]) -> dict[str, Certificate]:
    """By fingerprint: the same certificate in two keychains is one."""
    return {one.sha256: one for one in certificates if is_marked_leaf(one)}


def _proof(
    one: Certificate,
    old: Sequence[Certificate],
    removed_at: datetime | None,
    backdating: timedelta,
    device_names: Sequence[str],
) -> tuple[Answer, list[str]]:
    """Given the only new certificate, return whether it was issued since, and why."""
    against = []
    if one.serial_number in {other.serial_number for other in old}:
        against.append(f"serial number {one.serial_number} was there before")
    if one.public_key_sha256 in {other.public_key_sha256 for other in old}:
        against.append("its public key was there before: renewed with the old key, not issued anew")
    if removed_at is not None and one.not_before < removed_at - backdating:
        against.append(f"valid from {rfc3339(one.not_before)}: issued before the removal at {rfc3339(removed_at)}")
    if against:
        return Answer.NO, against
    if device_names and not names_device(one, device_names):
        return Answer.UNKNOWN, [f"it names another device than {', '.join(device_names)}"]
    newest = max((other.not_before for other in old), default=one.not_before)
    if removed_at is None and one.not_before < newest - backdating:
        return Answer.UNKNOWN, [f"valid from {rfc3339(one.not_before)}: older than one that was there before"]
    since = "" if removed_at else "; when the old one was removed was not given"
    return Answer.YES, [f"serial number {one.serial_number} and its public key were not there before{since}"]
