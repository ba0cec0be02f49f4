"""The list of demo cases: which files belong together and what is said about them."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.parsers.located_yaml import Located, Path
from scepfix.parsers.schema import Checker

_OPTIONAL = ("symptom", "device", "person", "admin", "files", "evidence")


@dataclass(frozen=True, slots=True)
class DemoCase:
    """``files`` and ``evidence`` are names in the folder ``name``; the rest is what `diagnose` would be told."""

    name: str
    story: str
    symptom: str | None
    device: str | None
    person: str | None
    admin: str | None
    files: tuple[str, ...]
    evidence: tuple[str, ...]


def read_demo_cases(located: Located) -> tuple[DemoCase, ...]:
    """Given located YAML, return the cases. Raise UsageError listing every problem."""
    check = Checker(located)
    cases = check.items(located.data, (), lambda item, path: _case(check, item, path))
    check.finish("demo", "the installation may be damaged: install scepfix again")
    return cases


def _case(check: Checker, value: object, path: Path) -> DemoCase:
    fields = check.mapping(value, path, ("name", "story"), _OPTIONAL)

    def text(key: str) -> str | None:
        return check.text(fields[key], (*path, key)) if key in fields else None

    return DemoCase(
        name=text("name") or "",
        story=text("story") or "",
        symptom=text("symptom"),
        device=text("device"),
        person=text("person"),
        admin=text("admin"),
        files=check.items(fields.get("files"), (*path, "files"), check.text),
        evidence=check.items(fields.get("evidence"), (*path, "evidence"), check.text),
    )
