# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether recovery PINs are switched on in the Okta org, and whether an admin may generate one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.domain.device import Identity

from ..plugin_utils.asked_systems import AskAction, inert


class ActionModule(AskAction):
    """Runs on the controller and only reads."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(admin={"type": "str", "default": ""})
        facts = {
            one.says: one.facts for one in wiring.okta(asked["config"]).device_evidence(Identity(), "", asked["admin"])
        }
        setting, permission = facts.get("okta.pin-setting", {}), facts.get("okta.admin-may-generate", {})
        return dict(
            inert(
                {
                    "changed": False,
                    "enabled": setting.get("enabled"),
                    "admin_may_generate": permission.get("allowed"),
                    "admin_roles": permission.get("roles", ""),
                    "reason": permission.get("reason", ""),
                }
            )
        )
