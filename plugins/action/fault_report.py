# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders what a person does about a fault: the steps of the catalogue, with plain values in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.service.tell import tell

from ..plugin_utils.stage import StageAction


class ActionModule(StageAction):
    """Runs on the controller and only reads the catalogue."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            fault={"type": "str", "required": True},
            person={"type": "str", "default": ""},
            admin={"type": "str", "default": ""},
            device={"type": "str", "default": ""},
            codes={"type": "list", "elements": "str", "default": []},
            prerequisites={"type": "list", "elements": "str", "default": []},
            config={"type": "path"},
        )
        catalogue = wiring.settings(asked.pop("config")).catalogue
        told = tell(catalogue, asked.pop("fault"), **asked)
        return {"changed": False, "fault": told.fault.id, "title": told.fault.title, "steps": list(told.steps)}
