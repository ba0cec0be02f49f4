# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Returns what Okta says of a device and its person, as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring

from ..plugin_utils.asked_systems import DEVICE, AskAction, identity, inert


class ActionModule(AskAction):
    """Runs on the controller and only reads."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(**DEVICE, person={"type": "str", "default": ""}, admin={"type": "str", "default": ""})
        found = wiring.okta(asked["config"]).device_evidence(identity(asked), asked["person"], asked["admin"])
        return {
            "changed": False,
            "says": [one.says for one in found],
            "evidence": [inert(one.as_document()) for one in found],
        }
