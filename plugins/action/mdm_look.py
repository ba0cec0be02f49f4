# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the MDM about the profile and all devices of the run at once, and writes that into the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scepfix import wiring
from scepfix.adapters.clock import SystemClock
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm_answer import MdmAnswer
from scepfix.service.mdm_stages import look

from ..plugin_utils.stage import StageAction, learn


class ActionModule(StageAction):
    """Runs on the controller. An MDM that does not answer is an answer too: each device play says what it means."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        folder = self.folder(variables)
        run = folder.run()
        if run.by_hand:
            run = learn(run, folder)
            folder.write_run(run)
        try:
            minutes = wiring.settings(run.config).repair.answered_within_minutes
            answer = look(wiring.mdm(run.config, read_only=True), run, SystemClock())
            answer = replace(answer, answered_within_minutes=minutes)
        except ScepfixError as error:
            answer = MdmAnswer(datetime.now(UTC), None, {}, error=f"{error.code}: {error}")
        folder.write_mdm(answer)
        return {"changed": False, "devices": len(answer.devices), "error": answer.error}
