# Copyright: the scepfix developers
# GNU General Public License v3.0+ (see plugins/LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a device in one round trip, or at what its collector told, judges the stage, and writes down the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible.errors import AnsibleError

from scepfix.adapters.run_folder import RunFolder
from scepfix.domain.device import Observation
from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import COLLECTOR, RunDevice
from scepfix.service import collected, stages

from ..plugin_utils.stage import (
    StageAction,
    UnreachableError,
    gate,
    sleep,
    summary,
)


class ActionModule(StageAction):
    """Runs on each device. It fails only by hand, at the end, where the repair is not done."""

    def act(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        asked = self.arguments(
            stage={"type": "str", "choices": ["observe", "preflight", "confirm", "inspect"], "required": True},
            poll_seconds={"type": "float", "default": 5.0},
        )
        stage, folder = asked["stage"], self.folder(variables)
        run = folder.run()
        host = self.host(variables, run)
        held = gate(run, folder, host, stage)
        if held is not None:
            return self._ended(held) if stage == "inspect" else self.answered(held, skipped=True)
        # What a collector printed is asked of the MDM for all devices at once, before this play.
        alone = run.devices[host].channel == COLLECTOR
        waits = 0.0 if self.check_mode or alone or stage in ("observe", "preflight") else run.wait_seconds
        deadline = datetime.now(UTC).timestamp() + waits
        while True:
            result, seen = self._look(stage, run.devices[host], folder, host)
            left = deadline - datetime.now(UTC).timestamp()
            if left <= 0 or result.answer in (StageAnswer.DONE, StageAnswer.FAILED):
                break
            sleep(min(asked["poll_seconds"], left))
        folder.write_result(host, result, stage)
        # With an engine nobody reads it there.
        said = self.answered(result, stage=stage, **({"device": summary(seen)} if seen and run.by_hand else {}))
        if run.by_hand and stage == "inspect" and result.answer is not StageAnswer.DONE:
            return {**said, "failed": True, "msg": f"not proved: waiting for {result.waiting_for}"}
        return said

    def _ended(self, held: StageResult) -> dict[str, Any]:
        """By hand, the last stage tells how an earlier one ended; a preview that got so far has nothing to tell."""
        if self.check_mode and held.answer is StageAnswer.DONE:
            return self.answered(held, skipped=True)
        why = held.waiting_for or f"{held.stage.value} was the last stage"
        return self.answered(held, failed=True, msg=f"{held.stage.value} answered {held.answer.value}: {why}")

    def _look(
        self, stage: str, device: RunDevice, folder: RunFolder, host: str
    ) -> tuple[StageResult, Observation | None]:
        known = Stage(stage) if stage in tuple(Stage) else Stage.INSPECT
        try:
            observation = (
                self._collected(stage, device, folder, host)
                if device.channel == COLLECTOR
                else self.observe(device.platform)
            )
            if isinstance(observation, str):
                return StageResult(known, StageAnswer.NOT_YET, observation, stages.facts_of()), None
            return self._judged(stage, device, observation, folder, host), observation
        except UnreachableError as error:
            return stages.no_answer(known, error, unreachable=True), None
        except ScepfixError as error:
            return stages.no_answer(known, error), None
        except AnsibleError as error:
            # Say, sudo asks for a password that nobody gave.
            wrong = ScepfixError("not-observed", visible(str(error))[:300], where=device.name)
            return stages.no_answer(known, wrong), None

    @staticmethod
    def _collected(stage: str, device: RunDevice, folder: RunFolder, host: str) -> Observation | str:
        """Return what the collector printed, or in words why that does not count. No connection is opened."""
        answer = folder.collected()
        if answer.error:
            raise ScepfixError("mdm-no-answer", answer.error)
        return collected.reading(stage, device, host, answer, datetime.now(UTC))

    @staticmethod
    def _judged(stage: str, device: RunDevice, observation: Observation, folder: RunFolder, host: str) -> StageResult:
        now = datetime.now(UTC) if observation.collected else observation.observed_at
        if stage == "observe":
            # By hand nobody reads the log, and the folder stays.
            facts = stages.facts_of(observation, with_log=not folder.run().by_hand)
            return StageResult(Stage.INSPECT, StageAnswer.DONE, facts=facts)
        if stage == "confirm":
            return stages.confirm(device, observation)
        if stage == "inspect":
            return stages.inspect(device, observation, now)
        answer = folder.mdm()
        if answer.error:
            raise ScepfixError("mdm-no-answer", answer.error)
        policy = RepairPolicy(answered_within_minutes=answer.answered_within_minutes)
        return stages.preflight(device, observation, answer.devices.get(host), answer.profile, now, policy)
