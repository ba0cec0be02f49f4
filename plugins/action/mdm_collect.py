# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the MDM for what the collectors of all devices printed, at once, and writes it into the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scepfix import wiring
from scepfix.adapters.clock import SystemClock
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm_answer import CollectedAnswer
from scepfix.domain.remediation import Stage, StageResult
from scepfix.domain.run import COLLECTOR
from scepfix.service import collected

from ..plugin_utils.stage import StageAction, gate


class ActionModule(StageAction):
    """Runs on the controller, before the devices' play; where no device has a collector it asks nobody."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            stage={"type": "str", "choices": ["observe", "preflight", "confirm", "inspect"], "required": True},
            poll_seconds={"type": "float", "default": 5.0},
        )
        folder = self.folder(variables)
        run = folder.run()
        stage = asked["stage"]
        hosts = [host for host, device in run.devices.items() if device.channel == COLLECTOR]
        if not hosts:
            return {"changed": False, "devices": 0, "error": ""}
        clock = SystemClock()

        def judge(host: str, answer: CollectedAnswer) -> StageResult:
            return collected.judged(Stage(stage), run.devices[host], host, answer, clock.now())

        try:
            mdm = wiring.mdm(run.config, read_only=True)
            if self.check_mode or stage in ("observe", "preflight"):
                answer = collected.look(mdm, run, clock)
            else:
                # By hand the stages wait; the engine asks again by itself.
                open_hosts = [host for host in hosts if gate(run, folder, host, stage) is None]
                answer = collected.wait(mdm, run, open_hosts, judge, clock, asked["poll_seconds"])
        except ScepfixError as error:
            answer = CollectedAnswer(datetime.now(UTC), {}, error=f"{error.code}: {error}")
        folder.write_collected(answer)
        lines = sum(one.text is not None for one in answer.devices.values())
        return {"changed": False, "devices": lines, "error": answer.error}
