"""The use *report*: what a person does about a fault, from the catalogue and plain values."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from scepfix.domain.errors import UsageError
from scepfix.domain.evidence import PREREQUISITES
from scepfix.domain.fault import Catalogue, Fault
from scepfix.domain.inert import visible
from scepfix.rules.wording import render_steps


@dataclass(frozen=True, slots=True)
class Told:
    """A fault and its steps as sentences, inert."""

    fault: Fault
    steps: tuple[str, ...]


def tell(
    catalogue: Catalogue,
    fault_id: str,
    *,
    person: str = "",
    admin: str = "",
    device: str = "",
    codes: Sequence[str] = (),
    prerequisites: Sequence[str] = (),
) -> Told:
    """Given a fault's id and this case's values ("" where unknown), return what to do.

    ``codes`` are those of findings, ``prerequisites`` ids of domain.evidence. Raise UsageError for an unknown fault,
    naming the near miss.
    """
    fault = catalogue.fault(fault_id)
    if fault is None:
        near = difflib.get_close_matches(fault_id, [one.id for one in catalogue.faults], 1)
        hint = f"did you mean {near[0]}?" if near else "scepfix faults list names them"
        raise UsageError("unknown-fault", "there is no such fault", where=visible(fault_id), hint=hint)
    values = {
        "person": person or "the person",
        "admin": admin or "this admin",
        "device": device or "the device",
        "codes": f" ({', '.join(codes)})" if codes else "",
        "prerequisite": "; ".join(PREREQUISITES.get(one, one) for one in prerequisites),
    }
    return Told(fault, render_steps(fault.steps, values))
