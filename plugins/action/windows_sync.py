# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has a PC ask its MDM for news now: a nudge, written down as one, and never a proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError

from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.run import NUDGE
from scepfix.parsers.windows_sync import parse_windows_sync

from ..plugin_utils.stage import StageAction, script


class ActionModule(StageAction):
    """Runs on each device. A PC that cannot be nudged asks by itself later, so the task never fails for that."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        self.arguments()
        folder = self.folder(variables)
        run = folder.run()
        host = self.host(variables, run)
        device = run.devices[host]
        if device.platform is not Platform.WINDOWS or device.channel:
            return {"changed": False, "skipped": True, "started": "", "problems": ["no PC that is connected to"]}
        if run.read_only and not self.check_mode:
            raise UsageError("read-only", "this run may look only", hint="it was made for a preview")
        if self.check_mode:
            return {"changed": True, "started": "", "problems": []}
        number = folder.begin_effect(NUDGE, [device.identity.mdm_id or host], run.intent)
        started = ""
        problems: tuple[str, ...] = ()
        try:
            started, problems = parse_windows_sync(self.powershell(script("sync_windows.ps1")))
        except (ScepfixError, AnsibleError) as error:
            problems = (visible(str(error))[:300],)
        folder.end_effect(number, "" if started else "; ".join(problems) or "nothing was started")
        return {"changed": bool(started), "started": started, "problems": list(problems)}
