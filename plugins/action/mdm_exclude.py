# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the MDM to take the profile from all devices of the run that still have it, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.remediation import StageAnswer
from scepfix.domain.run import Run
from scepfix.service import mdm_stages, stages

from ..plugin_utils.mdm_change import MdmChange


class ActionModule(MdmChange):
    """Runs on the controller."""

    change = staticmethod(mdm_stages.exclude)
    next_hosts = staticmethod(mdm_stages.excluded_next)
    judge = staticmethod(stages.uninstall)
    joins = True

    def hosts(self, run: Run, folder: RunFolder) -> list[str]:
        """By hand only those that passed the preflight; the engine gives only those."""
        if not run.by_hand:
            return list(run.devices)
        answers = {host: folder.result(host) for host in run.devices}
        return [
            host
            for host, found in answers.items()
            if found is not None and found[0] == "preflight" and found[1].answer is StageAnswer.DONE
        ]

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(poll_seconds={"type": "float", "default": 5.0})
        return self.ask(variables, asked["poll_seconds"])
