"""Policy: the limits and waits of a repair that a site may set (docs/settings.md)."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.domain.plan import ProofGrade


@dataclass(frozen=True, slots=True)
class RepairPolicy:
    """Limits and waits, each in the unit of its name; the defaults are those of docs/settings.md.

    ``backdating_minutes``: how much earlier than the issue a CA may set not_before. ``put_back_after_hours``: no device
    stays excluded longer. ``unauthenticated_devices``: the most devices that a bare ``--as NAME`` may approve.
    ``deny``: names of devices and people that are never repaired.
    """

    answered_within_minutes: int = 15
    backdating_minutes: int = 15
    plan_valid_hours: int = 24
    put_back_after_hours: int = 4
    poll_seconds: int = 15
    preflight_minutes: int = 5
    uninstall_minutes: int = 60
    confirm_minutes: int = 15
    reinstall_minutes: int = 120
    inspect_minutes: int = 30
    registration_days: int = 30
    unauthenticated_devices: int = 1
    proof_grade: ProofGrade = ProofGrade.CERTIFICATE
    deny: tuple[str, ...] = ()
