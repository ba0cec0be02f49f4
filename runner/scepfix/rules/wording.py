"""Renders the steps of a fault: Jinja2 from the catalogue, values from typed facts only, which are never templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scepfix.domain.fault import STEP_VALUES
from scepfix.domain.inert import visible


def render_steps(steps: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Given steps, as the catalogue's reader let them pass, and the STEP_VALUES, return the steps as sentences."""
    if not any("{{" in step for step in steps):
        return tuple(steps)
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    shown = {name: visible(values.get(name, "")) for name in STEP_VALUES}
    sentences = (environment.from_string(step).render(shown) for step in steps)
    return tuple(sentence[:1].upper() + sentence[1:] for sentence in sentences)
