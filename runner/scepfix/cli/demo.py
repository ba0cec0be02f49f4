"""``scepfix demo``: scepfix at work, on files that ship with it and on a simulated fleet over real SSH."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scepfix.cli.context import Shared, flush_output, shared_options
from scepfix.cli.demo_files import show_files
from scepfix.domain.errors import Exit, ScepfixError

if TYPE_CHECKING:
    from scepfix.simulator.running import RunningWorld

_DELETED = "mac-042"
#: device -> (scenario, person, the fault that must be named). The first is repaired.
_FLEET = {
    _DELETED: ("deleted", "alice", "device-deleted"),
    "mac-007": ("missing", "bob", "certificate-missing"),
    "mac-011": ("expired", "carol", "certificate-expired"),
    "mac-013": ("leftover", "dan", "certificate-leftover"),
    "mac-017": ("wrong-type", "erin", "certificate-wrong-type"),
    "mac-019": ("not-registered", "frank", "not-registered-yet"),
    "mac-023": ("deactivated", "grace", "device-deactivated"),
    "mac-029": ("profile-missing", "heidi", "profile-missing"),
}
_OTHER_ORG = {"mac-101": ("pin-disabled", "ivan", "recovery-pin-disabled")}


@dataclass(frozen=True, slots=True)
class _Step:
    """A command of the demo, its exit code, and the words that must occur in what it prints."""

    say: str
    words: Sequence[str]
    shows: Sequence[str]
    exit: Exit = Exit.VERDICT


@click.command(
    epilog="Exit codes: 0 all was as it should be; 1 something was not, and it is named.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--folder",
    metavar="DIR",
    default="demo",
    show_default=True,
    help="Where preview.html, plan.html, plan.md and plan.json are left.",
)
@click.option("--files-only", is_flag=True, help="Only the files that ship with scepfix: no server is started.")
@shared_options
@click.pass_obj
def demo(shared: Shared, folder: str, files_only: bool) -> Exit:
    """Show scepfix at work: files diagnosed, then a simulated fleet diagnosed, previewed, repaired and proved.

    The fleet is simulated; SSH, Ansible and every command shown are real. Needs no root and no network: everything
    listens on 127.0.0.0/8, and ends with the demo. It needs the extra: pip install 'scepfix[demo]'.
    """
    documents: dict[str, object] = {"cases": show_files(shared)}
    if files_only:
        return _end(shared, documents, [])
    if find_spec("asyncssh") is None:
        raise ScepfixError(
            "demo-extra",
            "the simulated fleet needs asyncssh, which is not installed",
            where="scepfix demo",
            hint="pip install 'scepfix[demo]'; or without the fleet: scepfix demo --files-only",
        )
    wrong: list[str] = []
    left = Path(folder)
    try:
        left.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScepfixError(
            "demo-folder", f"cannot be made: {error.strerror}", where=folder, hint="name another one with --folder"
        ) from error
    with tempfile.TemporaryDirectory(prefix="scepfix-demo-") as scratch:
        documents["fleet"] = [*_fleet(shared, left, Path(scratch), wrong), *_org(shared, Path(scratch), wrong)]
    if not shared.as_json:
        shared.print_text(
            f"{'─' * 100}\nLeft for you in {left}: preview.html (seven devices, as a change board reads it), "
            "plan.html (the repair, what was seen beside what was predicted), plan.md, plan.json"
        )
    return _end(shared, documents, wrong)


def _end(shared: Shared, documents: dict[str, object], wrong: Sequence[str]) -> Exit:
    if shared.as_json:
        shared.print_document("demo", {**documents, "wrong": list(wrong)})
    for one in wrong:
        shared.tell(f"WRONG: {one}")
    return Exit.FAILED if wrong else Exit.VERDICT


def _fleet(shared: Shared, left: Path, scratch: Path, wrong: list[str]) -> Iterator[dict[str, object]]:
    """The main story: a deleted device is diagnosed, previewed, repaired, proved; the others get their answers."""
    with _world(scratch / "fleet", _FLEET) as world:
        given = _given(world)
        plan, pages = left / "plan.json", ["--html", str(left / "plan.html"), "--markdown", str(left / "plan.md")]
        others = [name for name in _FLEET if name != _DELETED]
        yield from _install_is_refused(shared, world, scratch, wrong)
        for step in (
            _Step(
                "Why can alice not get a PIN? Her Mac is read over SSH, in one round trip; MDM and Okta are asked.",
                ["diagnose", "--device", _DELETED, *given, "--okta"],
                ["device-deleted"],
            ),
            _Step(
                "What would the repair change? Nothing is changed by the preview.",
                ["plan", _DELETED, *given, "-o", str(plan), *pages],
                ["device-deleted", "sha256:"],
            ),
            _Step(
                "Somebody decides. A bare name is recorded as unauthenticated, and reaches for one device.",
                ["approve", str(plan), "--as", "bob"],
                ["unauthenticated"],
            ),
            _Step(
                "The repair: profile removed by the MDM, certificates seen gone, profile back, new certificate proved.",
                ["apply", str(plan), *pages],
                ["awaiting-registration"],
            ),
        ):
            yield _run(shared, step, world, scratch, wrong)
        world.sign_in(_DELETED)
        for step in (
            _Step(
                "alice signs in on her Mac, online: only now does it register. The same command again looks for that.",
                ["apply", str(plan), *pages],
                ["verified"],
            ),
            _Step(
                "Other devices, other faults: some would be repaired, for the others the device is left alone.",
                ["plan", *others, *given, "-o", str(scratch / "others.json"), "--html", str(left / "preview.html")],
                [fault for name, (_, _, fault) in _FLEET.items() if name != _DELETED],
            ),
            _Step(
                "The help desk's one command asks before it acts; here nobody is there to answer, so nothing is done.",
                ["fix", "mac-007", *given],
                [],
                Exit.NEEDS_PERSON,
            ),
        ):
            yield _run(shared, step, world, scratch, wrong)
        touched = {effect["device"] for effect in world.effects()}
        if touched != {_DELETED}:
            wrong.append(f"the MDM changed {', '.join(sorted(touched))}")


def _org(shared: Shared, scratch: Path, wrong: list[str]) -> Iterator[dict[str, object]]:
    """Another org, where recovery PINs are off: no device is touched for that."""
    with _world(scratch / "org", _OTHER_ORG) as world:
        step = _Step(
            "Another org. The device is in order, and the option is not there: the right answer is one setting.",
            ["diagnose", "--device", "mac-101", *_given(world), "--okta", "--symptom", "option-not-there"],
            ["recovery-pin-disabled"],
        )
        yield _run(shared, step, world, scratch, wrong)
        changes = world.effects()
        if changes:
            wrong.append(f"a device of the other org was touched: {changes}")


def _world(folder: Path, fleet: Mapping[str, tuple[str, str, str]]) -> AbstractContextManager[RunningWorld]:
    from scepfix.simulator.running import MacSpec, run_world

    specs = [MacSpec(name, person, scenario) for name, (scenario, person, _) in fleet.items()]
    return run_world(folder, specs, lifetime_seconds=900)


def _given(world: RunningWorld) -> list[str]:
    return ["-i", str(world.inventory)]


def _install_is_refused(
    shared: Shared, world: RunningWorld, scratch: Path, wrong: list[str]
) -> Iterator[dict[str, object]]:
    """Why the MDM is needed at all: no Mac lets a profile be installed from its command line."""
    remote = "profiles install -path /tmp/okta-scep.mobileconfig"
    done = subprocess.run([*world.ssh(_DELETED), remote], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - ours
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        wrong.append("profiles install over SSH was not refused")
    say = "Could one not install the profile over SSH? macOS refuses: removal and re-install have to go by the MDM."
    if not shared.as_json:
        _heading(shared, say, f"ssh admin@{_DELETED} {remote}")
        shared.print_text(f"{said}\n(exit {done.returncode})\n")
    yield {"say": say, "command": ["ssh", _DELETED, remote], "exit": done.returncode, "output": said}


def _run(shared: Shared, step: _Step, world: RunningWorld, scratch: Path, wrong: list[str]) -> dict[str, object]:
    """Run a command of scepfix as a person would, in a process of its own; print it and check what it says."""
    words = [word.removeprefix(f"{scratch}/fleet/").removeprefix(f"{scratch}/org/") for word in step.words]
    shown = shlex.join(["scepfix", *(word.removeprefix(f"{scratch}/") for word in words)])
    if not shared.as_json:
        _heading(shared, step.say, shown)
    options = ["--config", str(world.config), *(["--json"] if shared.as_json else []), *_color(shared)]
    done = subprocess.run(  # noqa: S603 - this program itself
        [sys.executable, "-m", "scepfix", *step.words, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # Progress goes where the demo's own errors go, as it comes.
        stderr=subprocess.DEVNULL if shared.as_json else None,
        env={**os.environ, "XDG_STATE_HOME": str(scratch / "state"), "XDG_CONFIG_HOME": str(scratch)},
        text=True,
        timeout=300,
        check=False,
    )
    if not shared.as_json:
        shared.print_text(done.stdout)
    missing = [word for word in step.shows if word not in done.stdout]
    if missing:
        wrong.append(f"{shown} does not say {', '.join(missing)}")
    if done.returncode != step.exit:
        wrong.append(f"{shown} ended with {done.returncode}, not {int(step.exit)}")
    document = json.loads(done.stdout) if shared.as_json and done.stdout else None
    return {"say": step.say, "command": shown, "exit": done.returncode, "document": document}


def _heading(shared: Shared, say: str, command: str) -> None:
    shared.print_text(f"{'─' * 100}\n{click.style(say, bold=True)}\n{click.style(f'$ {command}', fg='cyan')}\n")
    # The command's progress must not overtake it.
    flush_output()


def _color(shared: Shared) -> list[str]:
    return [] if shared.wants_color(sys.stdout) else ["--no-color"]
