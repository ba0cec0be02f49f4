"""What a person does next: the fault's own steps, the checks by hand, the prerequisites of the recovery guide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scepfix.domain.evidence import PREREQUISITES, Fact
from scepfix.domain.fault import ADMIN_SIDE, Catalogue, Symptom
from scepfix.domain.platform import Platform
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


def steps_of_fault(chosen: Shown, circumstances: Circumstances) -> tuple[str, ...]:
    """Given the fault to repair first, return its steps with this case's values."""
    codes = [str(code) for sign in chosen.own for code in _items(sign.facts.get("codes"))]
    unmet = [str(sign.facts.get("id")) for sign in chosen.own if sign.says == "prerequisite.unmet"]
    values = {
        "person": circumstances.person or "the person",
        "admin": circumstances.admin or "this admin",
        "device": circumstances.device or "the device",
        "codes": f" ({', '.join(codes)})" if codes else "",
        "prerequisite": "; ".join(PREREQUISITES.get(one, one) for one in unmet),
    }
    return render_steps(chosen.fault.steps, values)


def steps_to_find_out(missing: Sequence[str], symptom: Symptom | None) -> tuple[str, ...]:
    """Given the missing facts in their order, return what to do while no fault is named."""
    first = [f"Find out: {text}" for text in missing[:1]]
    if symptom is Symptom.OPTION_NOT_THERE:
        return tuple(first)
    return (*first, *(f"Check this prerequisite of the recovery guide: {text}" for text in PREREQUISITES.values()))


def checks_by_hand(catalogue: Catalogue, signs: Signs, symptom: Symptom | None) -> tuple[str, ...]:
    """Return what a person can look at: for *the option is not there* the admin's side, else the device."""
    if symptom is Symptom.OPTION_NOT_THERE:
        return catalogue.by_hand.get(ADMIN_SIDE, ())
    platforms = {str(sign.facts.get("platform")) for sign in signs.signs}
    if signs.attempts.last is not None:
        platforms.add(str(signs.attempts.last.facts.get("platform")))
    known = [platform for platform in Platform if platform.value in platforms] or list(Platform)
    return tuple(check for platform in known for check in catalogue.by_hand.get(platform, ()))


def _items(value: Fact) -> list[object]:
    return list(value) if isinstance(value, list) else []
