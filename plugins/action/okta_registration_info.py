# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether a person has registered a device for recovery since a moment, on the record that Okta has now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible
from scepfix.domain.moment import parse_rfc3339

from ..plugin_utils.asked_systems import DEVICE, AskAction, identity


class ActionModule(AskAction):
    """Runs on the controller and only reads."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            **DEVICE, person={"type": "str", "required": True}, since={"type": "str", "required": True}
        )
        since = parse_rfc3339(asked["since"])
        if since is None:
            raise UsageError(
                "since",
                f"{visible(asked['since'])!r} is no time with a zone",
                where="since",
                hint="for example 2026-08-01T12:00:00Z",
            )
        registered = wiring.okta(asked["config"]).registered(identity(asked), asked["person"], since)
        return {"changed": False, "registered": registered}
