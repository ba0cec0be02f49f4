"""What a person does next: the fault's own steps, the checks by hand, the prerequisites of the recovery guide."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.domain.diagnosis import Standing
from scepfix.domain.evidence import PREREQUISITES, Fact
from scepfix.domain.fault import Catalogue, Platform, Symptom
from scepfix.rules.shown import Shown
from scepfix.rules.signs import Signs
from scepfix.rules.wording import render_steps

GENERATE = (
    "Generate the PIN: Directory > Devices > the device > Device Recovery > View Recovery PIN > "
    "Generate device recovery PIN. It must be used within two minutes."
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who asks about whom. ``ways_in`` are the site's own ways in while no PIN can be had."""

    person: str | None = None
    admin: str | None = None
    device: str | None = None
    symptom: Symptom | None = None
    ways_in: tuple[str, ...] = ()


def steps_of_fault(chosen: Shown, catalogue: Catalogue, circumstances: Circumstances, signs: Signs) -> tuple[str, ...]:
    """Given the fault to repair first, return its steps with this case's values, and the checks by hand.

    What is not confirmed is looked at by hand before anybody repairs it.
    """
    codes = [str(code) for sign in chosen.own for code in _items(sign.facts.get("codes"))]
    unmet = [str(sign.facts.get("id")) for sign in chosen.own if sign.says == "prerequisite.unmet"]
    values = {
        "person": circumstances.person or "the person",
        "admin": circumstances.admin or "this admin",
        "device": circumstances.device or "the device",
        "codes": f" ({', '.join(codes)})" if codes else "",
        "prerequisite": "; ".join(PREREQUISITES.get(one, one) for one in unmet),
    }
    steps = render_steps(chosen.fault.steps, values, where=f"fault {chosen.fault.id}")
    checks = _by_hand(catalogue, signs) if chosen.fault.by_hand else ()
    return (*steps, *checks) if chosen.standing is Standing.CONFIRMED else (*checks, *steps)


_ADMIN_SIDE = (
    "Admin Console > Security > Administrators: the admin has the role super, org or help desk admin.",
    "With a custom admin role: it has the permission Generate device recovery PIN, for this person and this device.",
    "Admin Console > Security > General: Enable Device Recovery PIN for Desktop MFA is Enabled.",
)


def steps_to_find_out(catalogue: Catalogue, signs: Signs, symptom: Symptom | None) -> tuple[str, ...]:
    """Return what to look at while no fault is named. *The option is not there* never looks at a device."""
    if symptom is Symptom.OPTION_NOT_THERE:
        return _ADMIN_SIDE
    return (
        "Get the first missing fact, and ask again.",
        *(f"Prerequisite of the recovery guide: {text}" for text in PREREQUISITES.values()),
        *_by_hand(catalogue, signs),
    )


def _by_hand(catalogue: Catalogue, signs: Signs) -> tuple[str, ...]:
    platforms = {str(sign.facts.get("platform")) for sign in signs.signs}
    if signs.attempts.last is not None:
        platforms.add(str(signs.attempts.last.facts.get("platform")))
    known = [platform for platform in Platform if platform.value in platforms] or list(Platform)
    return tuple(check for platform in known for check in catalogue.by_hand.get(platform, ()))


def _items(value: Fact) -> list[object]:
    return list(value) if isinstance(value, list) else []
