"""Which Device Access certificates an observation holds, and how they stand to those of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from scepfix.domain.certificate import Certificate, in_device_store
from scepfix.domain.device import Identity, Observation, StoredCertificate
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.plan import KnownCertificate, PlannedDevice
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.certificate import Verdict, is_marked_leaf, judge


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate in the computer's own store: its facts, and what the store said of it."""

    certificate: Certificate
    stored: StoredCertificate

    def usable(self, at: datetime) -> bool:
        """Could Device Access use it at that aware moment, as far as the store says?"""
        return judge(self.certificate, at, private_key=self.stored.private_key).verdict is Verdict.USABLE

    def known(self) -> KnownCertificate:
        """Return what a plan remembers of it."""
        one = self.certificate
        return KnownCertificate(one.sha256, one.serial_number, one.public_key_sha256)


@dataclass(frozen=True, slots=True)
class Holding:
    """What the computer's store holds: ``marked`` leaves, once each, the ``others`` that look like Okta's, and how many
    could not be read."""

    marked: tuple[Held, ...]
    others: tuple[Held, ...]
    unreadable: int


def read_stored(stored: StoredCertificate) -> Certificate:
    """Given a certificate of an observation, return its facts. Raise InputError where its bytes are no certificate."""
    return stored.told.certificate if stored.told else read_certificate(stored.der)


def holding(observation: Observation) -> Holding:
    """Given an observation, return what its computer's store holds. A person's own keychain never counts."""
    marked: dict[str, Held] = {}
    others: dict[str, Held] = {}
    unreadable = 0
    for stored in observation.certificates:
        if not in_device_store(stored.store):
            continue
        try:
            certificate = read_stored(stored)
        except InputError:
            unreadable += 1
            continue
        place = marked if is_marked_leaf(certificate) else others
        known = place.get(certificate.sha256)
        # Two entries of one certificate: the one with its key says more.
        if known is None or (stored.private_key and not known.stored.private_key):
            place[certificate.sha256] = Held(certificate, stored)
    return Holding(tuple(marked.values()), tuple(others.values()), unreadable)


def leftovers(before: Sequence[KnownCertificate], held: Holding) -> tuple[str, ...]:
    """Return the SHA-256 of those certificates of before that the computer's store still holds, sorted."""
    known = {one.sha256 for one in before}
    return tuple(sorted(one.certificate.sha256 for one in held.marked if one.certificate.sha256 in known))


def in_the_way(held: Sequence[Held], at: datetime) -> tuple[str, ...]:
    """Return the SHA-256 of those older than the newest usable one that still have a key, or that something points to.

    None where no usable one would be left. A certificate without its key harms nobody; a newer one is no leftover.
    """
    usable = [one for one in held if one.usable(at)]
    if not usable:
        return ()
    kept = max(usable, key=lambda one: one.certificate.not_before)
    return tuple(
        sorted(
            one.certificate.sha256
            for one in held
            if one is not kept
            and one.certificate.not_before <= kept.certificate.not_before
            and (one.stored.private_key or one.stored.identity_preference)
        )
    )


def another_device(planned: Identity, seen: Identity) -> str:
    """Return in words which key says that another device answered, "" where none does. Unknown keys say nothing."""
    for key, called in (("serial_number", "serial number"), ("hardware_uuid", "hardware UUID")):
        wanted, found = getattr(planned, key), getattr(seen, key)
        if wanted and found and wanted.casefold() != found.casefold():
            return f"another device answered: {called} {visible(found)} instead of {visible(wanted)}"
    return ""


def not_planned(device: PlannedDevice, observation: Observation) -> str:
    """Return in words what a device shows that its plan does not know, "" where nothing is: the plan is void then.

    What went in the meantime is no reason: nothing that was not to be removed is removed for it.
    """
    other = another_device(device.identity, observation.identity)
    if other:
        return other
    known = {one.sha256 for one in device.before}
    new = [one.certificate.serial_number for one in holding(observation).marked if one.certificate.sha256 not in known]
    return f"a certificate came since the plan was made: serial number {', '.join(new[:5])}" if new else ""
