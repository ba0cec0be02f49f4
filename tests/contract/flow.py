"""The whole device flow through the real command line, with any MDM: preview, approval, repair, proof, registration.

How a provider uses it::

    with run_world(tmp_path / "world", [MacSpec("mac-042", scenario="deleted")]) as running:
        with serve(NameFace(running.world)) as service:
            told = run_flow(tmp_path, running, {"kind": "name", "url": service.url, ...}, {"NAME_SECRET": "..."})

The face stands in the test's process and reads and changes ``running.world`` (``World.mdm``, ``World.macs``), whose
files are the ones that the world's own process serves over SSH and in which its Macs check in: group changes through
the face are answered by the Macs, and the Macs are observed over SSH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from scepfix.simulator.running import RunningWorld

_SECONDS = 180


@dataclass(frozen=True)
class Told:
    """What the commands said, each its JSON document. ``changes`` are the verbs that the world's MDM applied, in order;
    ``written`` is everything that the commands printed or left in files, for looking for secrets in it."""

    plan: Any
    approval: Any
    applied: Any
    verified: Any
    changes: tuple[str, ...]
    written: str


class Commands:
    """``scepfix`` as a process of its own, with settings in which ``mdm`` names the provider's face."""

    def __init__(
        self,
        folder: Path,
        running: RunningWorld,
        mdm_settings: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``folder``: where state, settings and plan are kept. ``mdm_settings``: the settings' section ``mdm``."""
        self.folder, self.running = folder, running
        self.config, self.plan_file = folder / "config-of-flow.yml", folder / "plan.json"
        settings = yaml.safe_load(running.config.read_bytes())
        settings["mdm"] = dict(mdm_settings)
        # A bare approval is enough for one device; the flow is not about who approves.
        settings["repair"]["unauthenticated_devices"] = 100
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
        self._environment = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "xdg"),
            "NO_COLOR": "1",
            **(environment or {}),
        }
        self.said: list[str] = []

    def __call__(self, *words: str, code: int = 0) -> Any:
        """Run a command that must end with that exit code; return its document."""
        done = subprocess.run(
            [sys.executable, "-m", "scepfix", "--json", *words, "--config", str(self.config)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def plan(self, *names: str, code: int = 0) -> Any:
        """Preview those devices; the plan is kept."""
        return self("plan", *names, "-i", str(self.running.inventory), "-o", str(self.plan_file), code=code)

    def written(self) -> str:
        """Return all that was printed, and every file below the folder but the world's own."""
        kept = [
            path.read_bytes().decode("utf-8", "replace")
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and not path.is_relative_to(self.running.folder)
        ]
        return "\n".join([*self.said, *kept])


def run_flow(
    folder: Path,
    running: RunningWorld,
    mdm_settings: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    names: Sequence[str] = ("mac-042",),
) -> Told:
    """Given a folder, a running world with those ``deleted`` Macs and the section ``mdm``, repair them and prove it.

    Asserts on the way: one approval, every certificate proved at the grade ``certificate``, profile removed and
    installed once for each, the group empty at the end, and a second run that changes nothing.
    """
    command = Commands(folder, running, mdm_settings, environment)
    plan = command.plan(*names)
    assert [one["name"] for one in plan["devices"]] == sorted(names), plan["set_aside"]
    assert running.effects() == [], "a preview changed something"
    approval = command("approve", str(command.plan_file))
    assert approval["plan_digest"] == plan["digest"]

    applied = command("apply", str(command.plan_file))

    outcomes = {one["device"]: one["outcome"] for one in applied["remediations"]}
    assert outcomes == dict.fromkeys(names, "awaiting-registration"), applied
    for one in applied["remediations"]:
        assert {proof["proved"] for proof in one["proofs"]} == {"yes"}, one["proofs"]
        assert one["proof_grade"] == "certificate"
    changes = [one["verb"] for one in running.effects()]
    for verb in ("exclude", "RemoveProfile", "put-back", "InstallProfile"):
        assert changes.count(verb) == len(names), changes
    assert running.world.mdm.members(datetime.now(UTC)) == ()

    for name in names:
        assert running.sign_in(name)
    verified = command("apply", str(command.plan_file))
    assert {one["outcome"] for one in verified["remediations"]} == {"verified"}
    assert [one["verb"] for one in running.effects()] == changes, "a second run changed something"
    return Told(plan, approval, applied, verified, tuple(changes), command.written())
