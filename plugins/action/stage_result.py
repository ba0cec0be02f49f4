# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says of one device what a stage at the MDM came to, from the run folder alone: no device, no MDM is contacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix.domain.errors import ScepfixError
from scepfix.domain.remediation import Stage
from scepfix.service import mdm_stages, stages

from ..plugin_utils.stage import StageAction, gate


class ActionModule(StageAction):
    """Runs for each device, on the controller. In check mode nothing happened, so there is nothing to say."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(stage={"type": "str", "choices": ["uninstall", "reinstall"], "required": True})
        stage, folder = Stage(asked["stage"]), self.folder(variables)
        run = folder.run()
        host = self.host(variables, run)
        answer = folder.mdm()
        device = mdm_stages.with_effects(run, folder.effects(), answer).devices[host]
        put_back = stage is Stage.REINSTALL
        if self.check_mode:
            return {"changed": False, "skipped": True}
        if run.by_hand and put_back and device.removal_asked_at is None and device.playbook != "install_scep_profile":
            return {"changed": False, "skipped": True}
        held = None if put_back and device.removal_asked_at is not None else gate(run, folder, host, asked["stage"])
        if held is not None:
            return self.answered(held, skipped=True)
        effects = device.removal_asked_at is not None
        if answer.error:
            result = stages.no_answer(stage, ScepfixError("mdm-no-answer", answer.error), effects=effects)
        else:
            judge = stages.reinstall if put_back else stages.uninstall
            result = judge(device, answer.devices.get(host), answer.profile, effects=effects)
        folder.write_result(host, result)
        return self.answered(result)
