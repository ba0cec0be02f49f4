"""Imports point down only, the pure rooms do no input or output, and one file knows ansible_runner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "runner" / "scepfix"

#: room -> what its files may import of ours (a room, or one module of a room). "Rooms" are the entries of the package.
MAY_IMPORT = {
    "domain": {"domain"},
    "parsers": {"parsers", "domain"},
    "rules": {"rules", "domain"},
    "workflow": {"workflow", "rules", "parsers", "domain"},
    "service": {"service", "workflow", "rules", "parsers", "domain"},
    "adapters": {"adapters", "service.ports", "parsers", "domain"},
    "simulator": {"simulator", "workflow", "domain"},
    "cli": {"cli", "web.page", "wiring", "service", "workflow", "rules", "parsers", "domain"},
    "web": {"web", "wiring", "service", "workflow", "rules", "parsers", "domain"},
    "wiring": {"wiring", "adapters", "simulator", "service", "workflow", "rules", "parsers", "domain"},
    "__main__": {"cli"},
    "__init__": set(),
}
#: files that may import more than their room.
EXCEPTIONS = {"cli/demo.py": {"simulator"}, "cli/simulate.py": {"simulator"}}

PURE = {"domain", "parsers", "rules", "workflow"}
# fmt: off
IMPURE_MODULES = {
    "ansible", "ansible_runner", "asyncio", "builtins", "click", "ctypes", "fcntl", "ftplib", "getpass", "glob", "http",
    "importlib", "io", "logging", "mmap", "multiprocessing", "os", "pathlib", "random", "requests", "secrets", "select",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid",
}
# fmt: on
#: Members of those modules that touch nothing outside the process.
HARMLESS = {
    "importlib.resources",  # the package's own data
    "io.BytesIO",
    "io.StringIO",
    "sys.maxsize",
    "urllib.parse",
    "uuid.UUID",
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
CLOCK_CALLS = {"now", "utcnow", "today"}


def faults_of(package: Path) -> list[str]:
    """Given the package folder, return one line per import or call that the house forbids."""
    faults = []
    runner_users = []
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package).as_posix()
        room = where.split("/")[0].removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"), where)
        if room not in MAY_IMPORT:
            faults.append(f"{where}: the house has no room {room!r}")
            continue
        allowed = MAY_IMPORT[room] | EXCEPTIONS.get(where, set())
        for line, target in imports_of(tree, where):
            top, _, rest = target.partition(".")
            if top == "ansible_runner":
                runner_users.append(where)
            if top == "scepfix" and rest and not any(f"{rest}.".startswith(f"{name}.") for name in allowed):
                faults.append(f"{where}:{line}: {room} must not import {target}")
            if room in PURE and top in IMPURE_MODULES and not harmless(target):
                faults.append(f"{where}:{line}: {room} is pure and must not import {target}")
        if room in PURE:
            faults += [f"{where}:{line}: {room} is pure and must not call {name}()" for line, name in calls_of(tree)]
    if len(set(runner_users)) > 1:
        faults.append(f"more than one file imports ansible_runner: {', '.join(sorted(set(runner_users)))}")
    return faults


def imports_of(tree: ast.Module, where: str) -> Iterator[tuple[int, str]]:
    """Given the syntax tree of a file of the package, yield (line, full dotted name) of everything it imports."""
    package = ["scepfix", *where.split("/")[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def calls_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield node.lineno, node.func.id
        elif isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS:
            yield node.lineno, node.func.attr


def harmless(target: str) -> bool:
    return any(f"{target}.".startswith(f"{name}.") for name in HARMLESS)


def test_imports_of_scepfix_point_down_only() -> None:
    assert faults_of(PACKAGE) == []


@pytest.mark.parametrize(
    ("where", "source", "found"),
    [
        ("domain/plan.py", "from scepfix.rules import certificate", "domain must not import scepfix.rules"),
        ("domain/plan.py", "from ..parsers.pem import read", "domain must not import scepfix.parsers.pem.read"),
        ("domain/plan.py", "from scepfix import wiring", "domain must not import scepfix.wiring"),
        ("parsers/pem.py", "import scepfix.rules.certificate", "parsers must not import scepfix.rules"),
        ("parsers/pem.py", "import os.path", "parsers is pure and must not import os.path"),
        ("parsers/pem.py", "from io import open", "parsers is pure and must not import io.open"),
        ("parsers/pem.py", "def f():\n    import socket", "parsers is pure and must not import socket"),
        ("rules/pem.py", "from scepfix.parsers import pem", "rules must not import scepfix.parsers"),
        ("rules/pem.py", "open('/etc/passwd')", "rules is pure and must not call open()"),
        ("workflow/decide.py", "import datetime\ndatetime.datetime.now()", "workflow is pure and must not call now()"),
        ("service/apply.py", "from scepfix.adapters.clock import Clock", "service must not import scepfix.adapters"),
        ("service/apply.py", "from scepfix.simulator import world", "service must not import scepfix.simulator"),
        ("adapters/okta.py", "from scepfix.service import apply", "adapters must not import scepfix.service.apply"),
        ("adapters/okta.py", "from scepfix.rules import certificate", "adapters must not import scepfix.rules"),
        ("simulator/mdm.py", "from scepfix.service.ports import Clock", "simulator must not import scepfix.service"),
        ("cli/apply.py", "from scepfix.adapters.okta import Okta", "cli must not import scepfix.adapters"),
        ("cli/apply.py", "from scepfix.simulator import world", "cli must not import scepfix.simulator"),
        ("utils/things.py", "", "no room 'utils'"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, where: str, source: str, found: str) -> None:
    plant(tmp_path, where, source)

    faults = faults_of(tmp_path)

    assert len(faults) == 1
    assert found in faults[0]


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("adapters/okta.py", "from scepfix.service import ports\nfrom scepfix.service.ports import Clock\nimport os"),
        ("cli/demo.py", "from scepfix.simulator import world"),
        ("cli/apply.py", "from scepfix.wiring import small_files\nfrom scepfix import wiring"),
        ("parsers/pem.py", "from io import BytesIO\nfrom ..domain.certificate import Certificate\nfrom . import der"),
        ("wiring.py", "from scepfix.adapters import okta\nfrom scepfix.service import apply"),
    ],
)
def test_what_the_house_allows_is_no_fault(tmp_path: Path, where: str, source: str) -> None:
    plant(tmp_path, where, source)

    assert faults_of(tmp_path) == []


def test_a_second_user_of_ansible_runner_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "adapters/ansible.py", "import ansible_runner")
    assert faults_of(tmp_path) == []

    plant(tmp_path, "cli/apply.py", "from ansible_runner.interface import run")

    assert faults_of(tmp_path) == ["more than one file imports ansible_runner: adapters/ansible.py, cli/apply.py"]


def plant(package: Path, where: str, source: str) -> None:
    path = package / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
