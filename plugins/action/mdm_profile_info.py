# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Returns the SCEP profile as the MDM holds it, and why it is not to be moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scepfix import wiring
from scepfix.service.mdm_stages import whole_profile
from scepfix.service.refusals import of_profile

from ..plugin_utils.asked_systems import AskAction, inert


class ActionModule(AskAction):
    """Runs on the controller and only reads."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments()
        profile = whole_profile(wiring.mdm(asked["config"], read_only=True))
        return {
            "changed": False,
            "profile": inert(profile.as_document()),
            "refusals": [inert(one.as_document()) for one in of_profile(profile)],
        }
