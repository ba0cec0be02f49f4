"""Short ways to write plans and what came of them in tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.evidence_factory import NOW

from scepfix.domain.device import Identity, host_of
from scepfix.domain.diagnosis import Answer
from scepfix.domain.plan import KnownCertificate, Plan, PlannedDevice, Prediction, ProofGrade, SetAside, Sureness
from scepfix.domain.platform import Platform
from scepfix.domain.remediation import Outcome, Proof, Remediation, Stage

#: Text that a device, an MDM or a person might have: markup, templates, shell, terminal, Markdown, reordering.
HOSTILE = (
    "<script>alert(1)</script> {{ 7*7 }} {% raw %} $(id) `id` | [x](javascript:y) *b* _i_ # h "
    "\x1b[31m\u202e\n> q\n```\n![i](http://evil.example/i.png) @all https://evil.example </td></table>&amp;'\""
)


def device(name: str = "mac-042", **changes: object) -> PlannedDevice:
    """A Mac whose device record was deleted, to be repaired."""
    serial = f"C02{name.upper().replace('-', '')}"
    found = PlannedDevice(
        name=name,
        host=host_of(name),
        platform=Platform.MACOS,
        identity=Identity(serial, f"UUID-{name}".upper(), f"mdm-{name}"),
        person="alice",
        fault="device-deleted",
        playbook="reinstall_scep_profile",
        connection={"ansible_host": "127.1.0.42", "ansible_connection": "ssh"},
        facts={"evidence": "log.rejected okta.device-gone", "mdm_managed": "yes"},
        before=(KnownCertificate("a" * 64, "0a1b", "b" * 64),),
        predictions=(
            Prediction("profile", "installed", "installed, newly", Sureness.CERTAIN),
            Prediction("certificate", "serial number 0a1b", "another one", Sureness.ASSUMED),
            Prediction("okta-record", "gone", "a new one", Sureness.UNKNOWABLE),
        ),
        one_way_steps=("Removing the profile destroys the private key of the certificate",),
        watches=("Desktop Password Sync uses this certificate too",),
        reason="The device was deleted in Okta.",
        standing="confirmed",
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def told(name: str = "mac-007", **changes: object) -> PlannedDevice:
    """A device on which nothing changes: a person has something to do."""
    return device(
        name,
        fault="recovery-pin-disabled",
        playbook="report",
        predictions=(),
        one_way_steps=(),
        before=(),
        watches=("A super admin opens Admin Console > Security > General.",),
        reason="The org does not allow recovery PINs.",
        **changes,
    )


def plan(*devices: PlannedDevice, **changes: object) -> Plan:
    found = Plan(
        devices=devices or (device(),),
        set_aside=(SetAside("mac-099", "unreachable", "it did not answer"),),
        proof_grade=ProofGrade.CERTIFICATE,
        content_sha256="c" * 64,
        variables={"repair.backdating_minutes": 15, "mdm.kind": "simulated"},
        requester="bob",
        made_at=NOW,
        expires_at=NOW + timedelta(hours=24),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def remediation(planned: PlannedDevice, outcome: Outcome | None, **changes: object) -> Remediation:
    found = Remediation(
        id=f"r-{planned.name}",
        plan_digest="sha256:" + "d" * 64,
        device=planned,
        proof_grade=ProofGrade.CERTIFICATE,
        stage=Stage.REGISTRATION,
        outcome=outcome,
        started_at=NOW,
        proofs=(Proof("device", "a new certificate with the marker is there", Answer.YES),),
        actual={"profile": "installed, newly", "certificate": "the old one"},
        new_certificate="e" * 64,
    )
    return replace(found, **changes)  # type: ignore[arg-type]
