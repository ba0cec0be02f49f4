"""The page of a plan, as HTML and as Markdown: what a change board reads before, and what came of it after."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import Plan, PlannedDevice
from scepfix.domain.remediation import Approval, Remediation
from scepfix.service.approve import ApprovalNeeded
from scepfix.service.score import Compared, Score, compare, score

#: Marks that act anywhere in a line of Markdown, with tables, mathematics and templates of the usual renderers.
_MARKDOWN = {ord(mark): f"\\{mark}" for mark in "\\`*_[]{}!|~#$^"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("@"): "&#64;",
}
#: What begins a list, a heading or a rule, where it is the first of a line; and what a renderer takes for an address.
_FIRST = re.compile(r"^(\s*)([-+=]|\d+(?=[.)]))")
_ADDRESS = re.compile(r"(?i)(:)(?=//)|(www)(?=\.)")


class Code(str):
    """A text for a fenced block of Markdown, where nothing needs an escape."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class DevicePart:
    """One device on the page: its plan and, after a run, what came of it."""

    planned: PlannedDevice
    lines: tuple[Compared, ...]
    remediation: Remediation | None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page; both forms show the same. ``plan_file`` is named in the commands."""

    plan: Plan
    plan_file: str
    needed: ApprovalNeeded
    approvals: Sequence[Approval] = ()
    remediations: Sequence[Remediation] = ()
    #: Given a verb and its words, the command line that a person types.
    command: Callable[..., str] = lambda *words: shlex.join(["scepfix", *words])

    @property
    def digest(self) -> str:
        return self.plan.digest()

    @property
    def changing(self) -> list[DevicePart]:
        return [self._part(device) for device in self.plan.devices if device.changes]

    @property
    def told(self) -> list[DevicePart]:
        """Devices on which nothing changes: a person has something to do."""
        return [self._part(device) for device in self.plan.devices if not device.changes]

    @property
    def one_way(self) -> list[tuple[str, list[str]]]:
        """Each one-way step with the devices it happens on."""
        found: dict[str, list[str]] = {}
        for device in self.plan.devices:
            for step in device.one_way_steps:
                found.setdefault(step, []).append(device.name)
        return list(found.items())

    @property
    def counts(self) -> list[tuple[str, str]]:
        """The reach of the plan, in words and numbers."""
        changing = [one.planned for one in self.changing]
        people = {device.person for device in changing if device.person}
        return [
            ("devices that change", str(len(changing))),
            ("people whose sign-in it touches", str(len(people)) if people else "not known"),
            ("playbooks", _counted(device.playbook for device in changing) or "none"),
            ("faults", _counted(device.fault for device in self.plan.devices)),
            ("platforms", _counted(device.platform.value for device in changing) or "none"),
            ("devices with a one-way step", str(sum(bool(device.one_way_steps) for device in changing))),
            ("devices on which nothing changes", str(len(self.told))),
            ("devices set aside", str(len(self.plan.set_aside))),
        ]

    @property
    def scores(self) -> tuple[Score, ...]:
        return score(self.remediations)

    @property
    def outcomes(self) -> str:
        return _counted(one.outcome.value if one.outcome else "under way" for one in self.remediations)

    @property
    def commands(self) -> Mapping[str, str]:
        """The commands a reader may need, as a shell takes them."""
        file = visible(self.plan_file)
        return {
            "sign": f"printf '%s\\n' '{self.digest}' | ssh-keygen -Y sign -f KEY -n scepfix-plan > plan.sig",
            "approve_signed": self.command("approve", file, "--signature", "plan.sig"),
            "approve": self.command("approve", file),
            "reject": self.command("reject", file, "--reason", "why not"),
            "apply": self.command("apply", file),
        }

    def _part(self, device: PlannedDevice) -> DevicePart:
        found = next((one for one in self.remediations if one.device.host == device.host), None)
        return DevicePart(device, compare(device.predictions, found.actual if found else {}), found)


def render_html(page: Page) -> str:
    """Given the page, return one self-contained HTML document: no script, nothing from outside."""
    return _environment(autoescape=True).get_template("plan.html.j2").render(page=page, plan=page.plan)


def render_markdown(page: Page) -> str:
    """Given the page, return the same in Markdown (CommonMark with tables)."""
    return _environment(autoescape=False).get_template("plan.md.j2").render(page=page, plan=page.plan)


def _environment(*, autoescape: bool) -> Environment:
    """Return an environment in which whatever an expression yields is made inert, then escaped for its form."""
    environment = Environment(
        loader=PackageLoader("scepfix.web"),
        autoescape=autoescape,  # noqa: S701 - off for Markdown alone, whose marks _inert_markdown escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_inert if autoescape else _inert_markdown,
    )
    environment.filters |= {"time": rfc3339, "code": Code, "answer": _answer}
    return environment


def _inert(value: object) -> object:
    return value if isinstance(value, Markup) else visible(str(value))


def _inert_markdown(value: object) -> str:
    text = visible(str(value))
    if isinstance(value, Code):
        return text
    text = _ADDRESS.sub(lambda found: f"{found[0]}\\", text.translate(_MARKDOWN))
    return _FIRST.sub(
        lambda found: f"{found[1]}{found[2]}\\" if found[2].isdigit() else f"{found[1]}\\{found[2]}", text
    )


def _answer(right: bool | None) -> str:
    return "–" if right is None else "yes" if right else "no"


def _counted(words: Iterable[str]) -> str:
    counts = Counter(words)
    return ", ".join(f"{count} × {word}" for word, count in sorted(counts.items()))
