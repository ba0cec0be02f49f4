"""Planted secrets: whatever is run, and however it ends, none of them is in what scepfix prints or leaves behind.

Real SSH, real Ansible, the command as a process of its own. Searched is every byte of its output and of every file that
it wrote: state folder (database, write-ahead log, run folders, artifacts, events), plans, pages, temporary files.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.engine_setup import Setup
from tests.plugins.playbooks import by_hand

from scepfix.simulator import device_log
from scepfix.simulator.running import RunningWorld, serve
from scepfix.simulator.world import MacSpec, World

#: Has scepfix fail in a way that nobody thought of, with a secret in the error; found by Python as it starts.
_INTERNAL_ERROR = """
import os
if os.environ.get("PLANTED_ERROR"):
    from scepfix.service import plan
    def broken(*words, **more):
        raise RuntimeError(os.environ["PLANTED_ERROR"])
    plan.make_plan = broken
"""


@dataclass
class Desk:
    """A help desk with a world of devices; all that the commands print and write is below ``outside``."""

    outside: Path
    world: RunningWorld
    planted: Mapping[str, str]
    said: int = 0
    codes: list[tuple[str, int]] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        for name in ("state", "config", "home", "tmp", "said"):
            (self.outside / name).mkdir(exist_ok=True)
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.outside / "state"),
            "XDG_CONFIG_HOME": str(self.outside / "config"),
            "HOME": str(self.outside / "home"),
            "TMPDIR": str(self.outside / "tmp"),
            "NO_COLOR": "1",
            **more,
        }

    def file(self, name: str) -> str:
        return str(self.outside / name)

    def begin(self, *words: str, config: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
        self.said += 1
        environment = self.environment(**more)
        environment.pop("SCEPFIX_TRACEBACK", None)
        out, err = (self.outside / "said" / f"{self.said:02}.{stream}" for stream in ("out", "err"))
        command = [sys.executable, "-m", "scepfix", *words, "--config", str(config or self.world.config)]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)

    def run(self, *words: str, config: Path | None = None, **more: str) -> int:
        running = self.begin(*words, config=config, **more)
        try:
            code = running.wait(timeout=180)
        finally:
            running.kill()
            running.wait()
        self.codes.append((words[0], code))
        return code

    def plan(self, name: str, *devices: str) -> int:
        pages = ("--html", self.file(f"{name}.html"), "--markdown", self.file(f"{name}.md"))
        return self.run("plan", *devices, "-i", str(self.world.inventory), "-o", self.file(f"{name}.json"), *pages)

    def interrupt(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=60)

    def run_of(self, purpose: str, but: frozenset[Path] = frozenset()) -> Path:
        """Wait until a run of that purpose has its first event."""
        deadline = time.monotonic() + 60
        while True:
            found = set((self.outside / "state/scepfix/runs").glob(f"{purpose}-*/artifacts/*/job_events/1-*.json"))
            if new := {path.parents[3] for path in found} - but:
                return new.pop()
            assert time.monotonic() < deadline, f"no run of {purpose}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk at which everything was done that there is to do."""
    folder = tmp_path_factory.mktemp("planted")
    macs = [
        MacSpec("mac-042", person="alice@example.com", scenario="deleted"),
        MacSpec("mac-007", person="bob@example.com", scenario="missing"),
        MacSpec("mac-013", person="carol@example.com", scenario="deleted"),
        MacSpec("mac-021", person="dave@example.com", scenario="expired"),
        MacSpec("mac-off", person="erin@example.com", scenario="deleted", behaviours={"offline": "yes"}),
    ]
    world = World.create(folder / "world", macs)
    planted = _plant(world)
    with serve(world, repair={"preflight_minutes": 1}) as running:
        made = Desk(folder / "outside", running, planted)
        made.outside.mkdir()
        made.environment()
        _use(made)
        yield made


def _plant(world: World) -> dict[str, str]:
    """Make every secret unique, and put the recovery PIN where it does not belong. Return them by name."""
    planted = {"challenge": world.mdm.settings().challenge}
    for name in ("mdm-write", "mdm-read", "okta-read"):
        # Such that a URL and a form would write it otherwise.
        planted[name] = f"{name}/{secrets.token_hex(12)}+&="
        (world.folder / "tokens" / name).write_text(f"{planted[name]}\n")
    planted["pin"] = f"{secrets.randbelow(9 * 10**15) + 10**15}"
    now = datetime.now(UTC)
    for mac in world.macs.values():
        for hours in (40, 1):
            line = device_log.grace_period(now - timedelta(hours=hours))
            mac.log(line.replace("Offline factor", f"Recovery PIN {planted['pin']} shown. Offline factor"))
    return planted


def _use(desk: Desk) -> None:
    """Everything that a help desk does, and everything that goes wrong."""
    inventory = str(desk.world.inventory)
    device = ("--device", "mac-042", "-i", inventory, "--okta", "--symptom", "generating-fails")
    desk.run("diagnose", *device)
    desk.run("diagnose", *device, "--json")
    ticket = desk.outside.parent / "ticket.txt"
    ticket.write_text(_ticket(desk.planted))
    desk.run("diagnose", str(ticket))
    desk.run("diagnose", str(ticket), "--json")

    desk.plan("plan", "mac-042")
    desk.run("plan", "mac-042", "-i", inventory, "-o", desk.file("plan.json"), "--json")
    desk.run("approve", desk.file("plan.json"))
    desk.run("apply", desk.file("plan.json"), "--html", desk.file("after.html"))
    desk.run("apply", desk.file("plan.json"), "--json")
    desk.run("fix", "mac-007", "-i", inventory)
    desk.run("rescue")
    played = by_hand("inspect_device", desk.world, desk.outside, "-vvv")
    (desk.outside / "said" / "by-hand.out").write_text(played.output)

    _fail(desk, inventory)
    _interrupt(desk, inventory)


def _fail(desk: Desk, inventory: str) -> None:
    """Runs that fail: devices that do not answer or answer garbage, wrong tokens, a mistake in scepfix itself."""
    desk.world.tell("mac-007", "garbage")
    desk.plan("mixed", "mac-013", "mac-off", "mac-007")
    desk.world.tell("mac-007", "garbage", "no")
    desk.world.tell("mac-007", "half")
    desk.plan("half", "mac-013", "mac-007")
    desk.world.tell("mac-007", "half", "no")

    desk.plan("goes-wrong", "mac-021")
    desk.run("approve", desk.file("goes-wrong.json"))
    desk.world.tell("mac-021", "garbage")
    desk.run("apply", desk.file("goes-wrong.json"))
    desk.world.tell("mac-021", "garbage", "no")

    swapped = desk.outside.parent / "swapped.yml"
    text = desk.world.config.read_text("utf-8")
    for name, other in (("mdm-write", "okta-read"), ("okta-read", "mdm-write")):
        text = text.replace(f"tokens/{name}\n", f"tokens/{other}?\n")
    swapped.write_text(text.replace("?\n", "\n"))
    desk.run("plan", "mac-042", "-i", inventory, "-o", desk.file("swapped.json"), config=swapped)
    desk.run("diagnose", "--device", "mac-042", "-i", inventory, "--okta", config=swapped)
    desk.run("rescue", config=swapped)

    site = desk.outside.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_INTERNAL_ERROR)
    all_of_them = " ".join(desk.planted.values())
    for more in ((), ("--json",)):
        words = ("plan", "mac-042", "-i", inventory, "-o", desk.file("broken.json"), *more)
        assert desk.run(*words, PYTHONPATH=str(site), PLANTED_ERROR=all_of_them) == 1


def _interrupt(desk: Desk, inventory: str) -> None:
    """Ctrl-C while devices are looked at, and in the middle of a repair; then the repair goes on."""
    before = frozenset((desk.outside / "state/scepfix/runs").iterdir())
    desk.world.tell("mac-013", "slow", "3")
    looking = desk.begin("plan", "mac-013", "mac-042", "-i", inventory, "-o", desk.file("never.json"))
    desk.run_of("observe", before)
    desk.codes.append(("plan", desk.interrupt(looking)))
    desk.world.tell("mac-013", "slow", "no")
    # What goes on without us has its chance to write.
    time.sleep(6)

    desk.plan("interrupted", "mac-013")
    desk.run("approve", desk.file("interrupted.json"))
    repairing = desk.begin("apply", desk.file("interrupted.json"))
    desk.run_of("confirm", before)
    desk.codes.append(("apply", desk.interrupt(repairing)))
    desk.run("apply", desk.file("interrupted.json"))


def _ticket(planted: Mapping[str, str]) -> str:
    """Return a mail: what was tried, with everything in it that nobody should have written, and a log."""
    at = datetime.now(UTC) - timedelta(hours=2)
    return (
        f"Hello, the PIN {planted['pin']} you gave me is refused.\n"
        f"Authorization: SSWS {planted['okta-read']}\ncurl -H 'Authorization: Bearer {planted['mdm-write']}'\n"
        f"SCEP challenge: {planted['challenge']}\n\n"
        + device_log.attempt(at)
        + f"With {planted['pin']} I get {device_log.rejected(at).rstrip()} and with {planted['pin']} again.\n"
    )


# --- the search -----------------------------------------------------------------------------------------------------


def forms(secret: str) -> dict[str, bytes]:
    """Return how a secret may be written: as it is, in a URL, and in base64 wherever in a longer text it stands."""
    raw = secret.encode()
    found = {"plain": raw, "url": quote(secret, safe="").encode(), "hex": raw.hex().encode()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        # Only the characters that no byte beside the secret has a part in.
        whole = encoded[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]
        found[f"base64+{before}"] = whole
        found[f"base64url+{before}"] = whole.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def hits(folder: Path, planted: Mapping[str, str]) -> list[str]:
    """Return one line for each file below a folder that has a secret in it, in its bytes or its name."""
    found = []
    for path in sorted(folder.rglob("*")):
        data = b"" if path.is_dir() or not path.is_file() else path.read_bytes()
        # base64 comes in lines, and JSON writes their ends as \n.
        joined = data.replace(b"\\n", b"").replace(b"\n", b"").replace(b"\r", b"")
        name = str(path.relative_to(folder)).encode()
        for what, secret in planted.items():
            for form, written in forms(secret).items():
                if any(written in text for text in (data, joined, name)):
                    found.append(f"{what} ({form}) in {path.relative_to(folder)}")
    return found


@pytest.mark.parametrize("form", forms("x/+"))
@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_each_form(tmp_path: Path, form: str, before: int) -> None:
    secret = "t0ken/+=&1234567890abcdef>>>?"
    text = b"x" * before + secret.encode() + b"tail"
    written = {
        "plain": text,
        "url": quote(secret, safe="").encode(),
        "hex": text.hex().encode(),
    }.get(form, base64.encodebytes(b"long " * 20 + text))
    if form.startswith("base64url"):
        written = base64.urlsafe_b64encode(text)
    (tmp_path / "file").write_bytes(b"before " + written + b" after")

    assert any("file" in hit for hit in hits(tmp_path, {"it": secret}))


@pytest.mark.slow
def test_the_search_finds_the_secrets_where_they_belong(desk: Desk) -> None:
    found = "\n".join(hits(desk.world.folder, desk.planted))

    assert {name for name in desk.planted if name in found} == set(desk.planted)


@pytest.mark.parametrize("dies_at", ["", "before result"])
def test_a_repair_leaves_nothing_of_the_devices_log(tmp_path: Path, dies_at: str) -> None:
    """The same with a stand-in for Ansible, for every stage and for runs that die."""
    setup = Setup(tmp_path, "mac-042")
    planted = _plant(setup.world)
    setup.begin()
    if dies_at:
        setup.runner.dies_at = dict.fromkeys(("preflight", "confirm", "inspect"), dies_at)

    setup.advance()
    setup.close()

    assert "inspect" in setup.stages()
    assert list((tmp_path / "state/runs").glob("*/result/*.json"))
    assert hits(tmp_path / "state", planted) == []


# --- what was done --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_everything_was_done_that_there_is_to_do(desk: Desk) -> None:
    """A search of nothing finds nothing: each use came to the end that is meant."""
    outside = desk.outside
    assert [code for verb, code in desk.codes if verb in ("approve", "rescue")] == [0, 0, 0, 1, 0], desk.codes
    assert [code for verb, code in desk.codes if verb == "apply"] == [0, 0, 1, 130, 0], desk.codes
    assert 130 in [code for verb, code in desk.codes if verb == "plan"], desk.codes
    for name in ("plan.html", "plan.md", "plan.json", "after.html", "mixed.json", "state/scepfix/scepfix.sqlite"):
        assert (outside / name).stat().st_size > 1000, name
    assert list(outside.glob("state/scepfix/runs/*/artifacts/*/job_events/*.json"))
    assert list(outside.glob("state/scepfix/runs/*/result/*.json"))
    errors = b"".join(path.read_bytes() for path in (outside / "said").iterdir())
    assert list(outside.glob("state/scepfix/runs/by-hand-*/result/*.json"))
    for said in (b"RuntimeError", b"interrupted", b"log.rejected", b"(401)"):
        assert said in errors, said


@pytest.mark.slow
def test_no_secret_is_in_what_was_printed(desk: Desk) -> None:
    assert hits(desk.outside / "said", desk.planted) == []


@pytest.mark.slow
def test_no_secret_is_in_what_was_written(desk: Desk) -> None:
    assert hits(desk.outside, desk.planted) == []
