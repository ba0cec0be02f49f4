# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletes older certificates from a Mac: named by SHA-256, with the marker, never the newest that can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleError

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.remediation import Stage, StageResult
from scepfix.domain.run import DELETE, Run, RunDevice
from scepfix.service import stages

from ..plugin_utils.stage import StageAction, UnreachableError, gate

#: A function, as observe_macos.sh is. delete-identity takes the key too; a certificate without one has only itself.
_DELETE = """
root() { "$@"; }
delete() {
    root security delete-identity -Z "$1" /Library/Keychains/System.keychain >/dev/null 2>&1 ||
        root security delete-certificate -Z "$1" /Library/Keychains/System.keychain 2>&1
}
run() {
    if [ "$(id -u)" != 0 ]; then root() { sudo -n "$@"; }; fi
    for hash in %s; do delete "$hash"; done
}
run </dev/null
"""


class ActionModule(StageAction):
    """Runs on each device: look, delete what is left, look again."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        self.arguments()
        folder = self.folder(variables)
        run = folder.run()
        host = self.host(variables, run)
        held = gate(run, folder, host, Stage.REMOVE_LEFTOVERS.value)
        if held is not None:
            return self.answered(held, skipped=True)
        deleted: list[str] = []
        try:
            result, predicted = self._remove(run, run.devices[host], folder, deleted)
        except UnreachableError as error:
            result = stages.no_answer(Stage.REMOVE_LEFTOVERS, error, unreachable=True, effects=bool(deleted))
        except ScepfixError as error:
            result = stages.no_answer(Stage.REMOVE_LEFTOVERS, error, effects=bool(deleted))
        except AnsibleError as error:
            wrong = ScepfixError("not-observed", visible(str(error))[:300])
            result = stages.no_answer(Stage.REMOVE_LEFTOVERS, wrong, effects=bool(deleted))
        else:
            if self.check_mode:
                return self.answered(result, changed=bool(predicted), diff=_diff(predicted))
        folder.write_result(host, result)
        return self.answered(result, changed=bool(deleted), diff=_diff(deleted))

    def _remove(
        self, run: Run, device: RunDevice, folder: RunFolder, deleted: list[str]
    ) -> tuple[StageResult, list[str]]:
        """Return the answer and, in check mode, what would be deleted; ``deleted`` grows before the call is made."""
        if device.channel:
            return stages.by_a_person(device), []
        observation = self.observe(device.platform)
        now = observation.observed_at
        if run.by_hand and not device.remove:
            device = replace(device, remove=stages.leftovers(observation, now))
        named = [one.certificate.sha256 for one in stages.removable(device, observation, now)]
        if self.check_mode:
            return stages.remove_leftovers(device, observation, now), named
        if named:
            if run.read_only:
                raise UsageError("read-only", "this run may look only", hint="it was made for a preview")
            number = folder.begin_effect(DELETE, named, run.intent)
            deleted += named
            said = self.sh(_DELETE % " ".join(named)).decode("utf-8", "replace").strip()
            folder.end_effect(number, visible(said)[:300])
            observation = self.observe(device.platform)
        return stages.remove_leftovers(device, observation, observation.observed_at, effects=bool(named)), named


def _diff(hashes: Sequence[str]) -> dict[str, str]:
    return {
        "before_header": "certificates in the way before",
        "after_header": "certificates in the way after",
        "before": "".join(f"{one}\n" for one in hashes),
        "after": "",
    }
