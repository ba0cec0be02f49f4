"""Makes what a repair is about: a planned device, its remediation, and what device and MDM say of it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.certificate_factory import Made, authority, make

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate, host_of
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.plan import KnownCertificate, PlannedDevice, ProofGrade
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation, Stage, StageAnswer, StageResult
from scepfix.parsers.x509 import read_certificate

START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICY = RepairPolicy()
IDENTITY = Identity("C02XK1ABJGH5", "4C4C4544-0042-4810-8058-B9C04F333533", "17")
CA = authority(number=90)
OTHER_CA = authority(number=91)
SCEP = InstalledProfile("com.example.scep", ("com.apple.security.scep",))

_serials = itertools.count(0x5000)


def read(made: Made) -> Certificate:
    return read_certificate(made.der)


ISSUERS = (read(CA),)


def issued(at: datetime, *, number: int = 7, issuer: Made | None = CA, days: int = 365, **given: Any) -> Made:
    """Return a certificate as the org's CA issues it at that moment, with a serial number of its own."""
    fields = {"subject": "mac-042", "serial": next(_serials), "not_before": at, "not_after": at + days * DAY, **given}
    return make(issuer=issuer, number=number, **fields)


OLD = issued(START - 400 * DAY, number=3)


def known(made: Made) -> KnownCertificate:
    facts = read(made)
    return KnownCertificate(facts.sha256, facts.serial_number, facts.public_key_sha256)


def stored(made: Made, store: str = "system", private_key: bool | None = True) -> StoredCertificate:
    return StoredCertificate(made.der, store, private_key)


def observation(*certificates: Made | StoredCertificate, at: datetime = START, **given: Any) -> Observation:
    """Return a whole reading of the device's store, with the SCEP profile there."""
    held = tuple(one if isinstance(one, StoredCertificate) else stored(one) for one in certificates)
    fields = {"identity": IDENTITY, "name": "mac-042", "complete": True, "profiles": (SCEP,), **given}
    return Observation(Platform.MACOS, at, certificates=held, **fields)


def record(**given: Any) -> MdmDevice:
    return MdmDevice(IDENTITY, **{"name": "mac-042", "profile_installed": True, **given})


def planned(playbook: str = "reinstall_scep_profile", **given: Any) -> PlannedDevice:
    fields: dict[str, Any] = {
        "name": "mac-042",
        "host": host_of("mac-042"),
        "platform": Platform.MACOS,
        "identity": IDENTITY,
        "person": "alice",
        "fault": "device-deleted",
        "playbook": playbook,
        "connection": {"ansible_host": "127.1.0.42"},
        "facts": {"profile": "com.example.scep"},
        "before": (known(OLD),),
        "reason": "Okta says that the device is gone",
        **given,
    }
    return PlannedDevice(**fields)


def remediation(device: PlannedDevice | None = None, **given: Any) -> Remediation:
    fields: dict[str, Any] = {
        "id": "remediation-1",
        "plan_digest": "sha256:00",
        "device": device or planned(),
        "proof_grade": ProofGrade.CERTIFICATE,
        "stage": Stage.PREFLIGHT,
        **given,
    }
    return Remediation(**fields)


def result(
    stage: Stage,
    answer: StageAnswer,
    seen: Observation | None = None,
    mdm: MdmDevice | None = None,
    waiting_for: str = "",
    **facts: Any,
) -> StageResult:
    """Return a stage's answer with its facts in their JSON form."""
    if seen is not None:
        facts["observation"] = seen.as_document()
    if mdm is not None:
        facts["mdm"] = mdm.as_document()
    return StageResult(stage, answer, waiting_for, facts)


def says(proofs: Sequence[Any], answer: str) -> str:
    """Return in one text what speaks for an answer."""
    return "; ".join(proof.says for proof in proofs if proof.proved.value == answer)
