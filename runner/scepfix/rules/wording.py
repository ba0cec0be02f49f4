"""Renders the steps of a fault: Jinja2 from the catalogue, values from typed facts only, which are never templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scepfix.domain.errors import UsageError
from scepfix.domain.fault import Catalogue
from scepfix.domain.inert import visible

#: Values a step may name. Each is plain text; a value that looks like a template stays text.
VALUES = ("person", "admin", "device", "codes", "prerequisite")


def render_steps(steps: Sequence[str], values: Mapping[str, str], *, where: str) -> tuple[str, ...]:
    """Given steps, the VALUES and the name of the fault, return the steps as text.

    Raise UsageError when a site's step is no template, or names a value that does not exist.
    """
    if not any("{" in step for step in steps):
        return tuple(steps)
    environment = _Wording(undefined=StrictUndefined, autoescape=False)
    shown = {name: visible(values.get(name, "")) for name in VALUES}
    try:
        return tuple(environment.from_string(step).render(shown) for step in steps)
    except Exception as error:
        # A step is an expression of the site's own: whatever it raises is a mistake in the catalogue.
        message = f"a step cannot be rendered: {visible(str(error)) or type(error).__name__}"
        raise UsageError("catalogue", message, where=where, hint=f"values: {', '.join(VALUES)}") from error


def check_steps(catalogue: Catalogue) -> None:
    """Given a catalogue, render every step once, so that a wrong one shows at once and not with its first device."""
    for fault in catalogue.faults:
        render_steps(fault.steps, dict.fromkeys(VALUES, "x"), where=f"fault {fault.id}")


class _Wording(ImmutableSandboxedEnvironment):
    """Steps put words together: multiplying has no use there, and could fill the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        raise SecurityError(f"{operator} is not used in steps")
