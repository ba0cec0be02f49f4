# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the MDM to give the profile back to all devices of the run that are excluded, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.adapters.process_ids import alive
from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.errors import ScepfixError
from scepfix.domain.remediation import StageAnswer
from scepfix.domain.run import Run
from scepfix.service import mdm_stages, stages

from ..plugin_utils.mdm_change import MdmChange
from ..plugin_utils.stage import owner_of


class ActionModule(MdmChange):
    """Runs on the controller. By hand its list is what was excluded, whatever became of the devices since."""

    change = staticmethod(mdm_stages.put_back)
    next_hosts = staticmethod(mdm_stages.put_back_next)
    judge = staticmethod(stages.reinstall)
    joins = False

    def hosts(self, run: Run, folder: RunFolder) -> list[str]:
        if not run.by_hand:
            return list(run.devices)
        asked = mdm_stages.with_effects(run, folder.effects(), folder.mdm())
        return [
            host
            for host, device in asked.devices.items()
            if device.removal_asked_at is not None
            or (device.playbook == "install_scep_profile" and _passed(folder.result(host)))
        ]

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            left_by_earlier_runs={"type": "bool", "default": False}, poll_seconds={"type": "float", "default": 5.0}
        )
        if asked["left_by_earlier_runs"]:
            return self._earlier(variables)
        return self.ask(variables, asked["poll_seconds"])

    def _earlier(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Put back what runs by hand that have ended left out; with an engine, that is the engine's to do."""
        folder = self.folder(variables)
        run = folder.run()
        ids: set[str] = set()
        for path in folder.path.parent.glob("by-hand-*") if run.by_hand else ():
            if path != folder.path and not alive(owner_of(path)):
                ids |= _left_out(RunFolder(path))
        if not ids:
            return {"changed": False}
        mdm = wiring.mdm(run.config, read_only=self.check_mode)
        if self.check_mode:
            found = [one for one in mdm.members() if one.identity.mdm_id in ids]
        else:
            found = list(mdm_stages.put_back_members(mdm, ids, run.intent, folder).values())
        return {"changed": bool(found), "put_back": [one.name for one in found]}


def _passed(found: Any) -> bool:
    return found is not None and found[0] == "preflight" and found[1].answer is StageAnswer.DONE


def _left_out(folder: RunFolder) -> frozenset[str]:
    try:
        return mdm_stages.left_out(folder.effects())
    except ScepfixError:
        # A folder that somebody touched must not keep the others from being put back.
        return frozenset()
