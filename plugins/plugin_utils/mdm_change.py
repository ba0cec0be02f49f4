# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mdm_exclude and mdm_put_back share: look first, ask for what is left in one call, write it down, look again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scepfix import wiring
from scepfix.adapters.clock import SystemClock
from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm_answer import MdmAnswer
from scepfix.domain.remediation import StageAnswer, StageResult
from scepfix.domain.run import Run
from scepfix.service import mdm_stages

from .stage import StageAction


class MdmChange(StageAction):
    """One change of the exclusion group. ``joins``: the devices join it (else they leave it)."""

    change: Callable[..., tuple[str, ...]]
    next_hosts: Callable[..., tuple[str, ...]]
    judge: Callable[..., StageResult]
    joins: bool

    def hosts(self, run: Run, folder: RunFolder) -> list[str]:
        """Return the hosts that this change is about."""
        raise NotImplementedError

    def ask(self, variables: Mapping[str, Any], poll_seconds: float) -> dict[str, Any]:
        """Do it. An MDM that fails is told in the result and in mdm.json: the plays after this one must still run."""
        folder = self.folder(variables)
        run = folder.run()
        if run.read_only and not self.check_mode:
            raise UsageError("read-only", "this run may look only", hint="it was made for a preview")
        hosts = self.hosts(run, folder)
        earlier = _earlier(folder)
        before = answer = MdmAnswer(datetime.now(UTC), None, {})
        changed: tuple[str, ...] = ()
        try:
            mdm = wiring.mdm(run.config, read_only=self.check_mode)
            try:
                before = answer = mdm_stages.look(mdm, run, SystemClock(), with_profile=False)
            except ScepfixError:
                # Nothing holds back a re-install, not even that nobody can look.
                if not self.joins and not self.check_mode:
                    changed = mdm_stages.put_back_unseen(mdm, run, hosts, folder)
                raise
            if self.check_mode:
                return self._predicted(folder, run, answer, hosts, earlier)
            changed = self.change(mdm, run, answer, hosts, folder)
            mdm_stages.nudge_again(mdm, run, answer, self._waiting(run, answer, hosts, changed), folder)
            asked = mdm_stages.with_effects(run, folder.effects(), answer)
            if changed:
                answer = mdm_stages.look(mdm, run, SystemClock(), with_profile=False)
            answer = mdm_stages.wait(
                mdm, run, answer, lambda one: self._done(asked, one, hosts), SystemClock(), poll_seconds
            )
        except ScepfixError as error:
            # What was seen stays; whether the call happened is not known, and the device plays say so.
            answer = replace(answer, error=f"{error.code}: {error}")
        folder.write_mdm(answer)
        return {
            "changed": bool(changed),
            "error": answer.error,
            "hosts": list(changed),
            "diff": _diff(before, self._after(before, changed)),
        }

    def _predicted(
        self, folder: RunFolder, run: Run, answer: MdmAnswer, hosts: list[str], earlier: MdmAnswer | None
    ) -> dict[str, Any]:
        """Check mode: no call. What this run would have excluded by now would be put back."""
        out = earlier.predicted if earlier is not None and not self.joins else ()
        seen = replace(answer, devices={**answer.devices, **_moved(answer, out, excluded=True)})
        hosts_then = [*hosts, *(host for host in out if host not in hosts)]
        changed = self.next_hosts(run, seen, hosts_then)
        folder.write_mdm(replace(answer, predicted=changed if self.joins else ()))
        return {"changed": bool(changed), "hosts": list(changed), "diff": _diff(seen, self._after(seen, changed))}

    def _waiting(self, run: Run, answer: MdmAnswer, hosts: list[str], changed: tuple[str, ...]) -> list[str]:
        """Return the hosts whose change was asked for before and that have not done it: they are asked to come."""
        return [host for host in hosts if host not in changed and not self._done(run, answer, [host])]

    def _done(self, run: Run, answer: MdmAnswer, hosts: list[str]) -> bool:
        results = [self.judge(run.devices[host], answer.devices.get(host)) for host in hosts]
        return all(result.answer in (StageAnswer.DONE, StageAnswer.FAILED) for result in results)

    def _after(self, answer: MdmAnswer, changed: tuple[str, ...]) -> MdmAnswer:
        return replace(answer, devices={**answer.devices, **_moved(answer, changed, excluded=self.joins)})


def _earlier(folder: RunFolder) -> MdmAnswer | None:
    try:
        return folder.mdm()
    except ScepfixError:
        return None


def _moved(answer: MdmAnswer, hosts: tuple[str, ...], *, excluded: bool) -> dict[str, Any]:
    return {host: replace(answer.devices[host], excluded=excluded) for host in hosts if host in answer.devices}


def _diff(before: MdmAnswer, after: MdmAnswer) -> dict[str, str]:
    return {
        "before_header": "exclusion group before",
        "after_header": "exclusion group after",
        "before": _members(before),
        "after": _members(after),
    }


def _members(answer: MdmAnswer) -> str:
    """Return the members among this run's devices, a line each."""
    named = sorted(visible(one.name or host) for host, one in answer.devices.items() if one.excluded)
    return "".join(f"{name}\n" for name in named)
