"""Renders the steps of a fault: Jinja2 from the catalogue, values from typed facts only, which are never templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible

#: Values a step may name. Each is plain text; a value that looks like a template stays text.
VALUES = ("person", "admin", "device", "codes", "prerequisite")


def render_steps(steps: Sequence[str], values: Mapping[str, str], *, where: str) -> tuple[str, ...]:
    """Given steps, the VALUES and the name of the fault, return the steps as text.

    Raise UsageError when a site's step is no template, or names a value that does not exist.
    """
    if not any("{" in step for step in steps):
        return tuple(steps)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    shown = {name: visible(values.get(name, "")) for name in VALUES}
    try:
        return tuple(environment.from_string(step).render(shown) for step in steps)
    except TemplateError as error:
        raise UsageError(
            "catalogue", f"a step cannot be rendered: {error}", where=where, hint=f"values: {', '.join(VALUES)}"
        ) from error
