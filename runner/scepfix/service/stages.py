"""What each stage of a repair says of one device: done, not yet or failed, from what the device and the MDM said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from scepfix.domain.device import Observation
from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import RunDevice
from scepfix.rules.certificate import judge
from scepfix.service.refusals import because, listed, refusals
from scepfix.workflow.certificates import Held, another_device, holding, in_the_way

_LEFTOVERS = "remove_leftover_certificates"


def marked(observation: Observation) -> tuple[Held, ...]:
    """Return the marker certificates of the computer's store. What has no marker, or is unreadable, never counts."""
    return holding(observation).marked


# --- preflight --------------------------------------------------------------------------------------------------


def preflight(
    device: RunDevice,
    observation: Observation,
    record: MdmDevice | None,
    profile: ManagedProfile | None,
    now: datetime,
    policy: RepairPolicy,
) -> StageResult:
    """Given what the device and the MDM said, refuse or let the repair begin. Nothing has been changed yet."""
    found = refusals(device.playbook, device.identity, observation, record, profile, now, policy)
    facts = facts_of(observation, record, profile)
    if found:
        facts["refusals"] = [one.as_document() for one in found]
        return StageResult(Stage.PREFLIGHT, StageAnswer.FAILED, "; ".join(one.text for one in found), facts)
    return StageResult(Stage.PREFLIGHT, StageAnswer.DONE, facts=facts)


# --- uninstall and re-install, at the MDM ---------------------------------------------------------------------


def to_exclude(device: RunDevice, record: MdmDevice | None) -> bool:
    """Is the removal of this device's profile still to be asked for?"""
    if record is None or record.excluded or device.seen_excluded:
        return False
    return not _wrong_record(device, record) and not _gone(device, record)


def uninstall(
    device: RunDevice, record: MdmDevice | None, profile: ManagedProfile | None = None, *, effects: bool = False
) -> StageResult:
    """Given the MDM's record after the asking, say whether the device acknowledged the removal since it was asked for.

    ``device.removal_asked_at`` is the moment before the call; ``effects``: may the call have been made?
    """
    facts = facts_of(None, record, profile, effects=effects)
    if record is None:
        return StageResult(Stage.UNINSTALL, StageAnswer.FAILED, "the MDM no longer knows this device", facts)
    wrong = _wrong_record(device, record)
    if wrong and not record.excluded:
        return StageResult(Stage.UNINSTALL, StageAnswer.FAILED, wrong, facts)
    if _gone(device, record):
        return StageResult(Stage.UNINSTALL, StageAnswer.DONE, facts=facts)
    if device.seen_excluded and not record.excluded:
        put_back = "somebody put the device back before the profile was gone; it is not excluded a second time"
        return StageResult(Stage.UNINSTALL, StageAnswer.FAILED, put_back, facts)
    waiting = (
        "the device to acknowledge the removal of the profile"
        if record.excluded
        else "the MDM to take the device into the exclusion group"
    )
    return StageResult(Stage.UNINSTALL, StageAnswer.NOT_YET, waiting, facts)


def to_put_back(record: MdmDevice) -> bool:
    """Is the re-install of this device's profile still to be asked for?"""
    return record.excluded


def reinstall(
    device: RunDevice, record: MdmDevice | None, profile: ManagedProfile | None = None, *, effects: bool = False
) -> StageResult:
    """Given the MDM's record after the asking, say whether the profile came back.

    That is an install acknowledged later than the removal; or, where nothing was ever removed, a profile that is
    installed. A device that is still excluded, or about to lose the profile, has not got it back.
    """
    facts = facts_of(None, record, profile, effects=effects)
    if record is None:
        return StageResult(Stage.REINSTALL, StageAnswer.NOT_YET, "the MDM to know the device again", facts)
    if record.excluded:
        waiting = "the MDM to take the device out of the exclusion group"
    elif record.removal_pending:
        waiting = "the pending removal to be withdrawn"
    elif _came_back(device, record):
        return StageResult(Stage.REINSTALL, StageAnswer.DONE, facts=facts)
    elif record.install_status in ("Error", "NotNow"):
        waiting = f"the device to accept the profile; it said {visible(record.install_status)}"
    else:
        waiting = "the device to acknowledge the profile"
    return StageResult(Stage.REINSTALL, StageAnswer.NOT_YET, waiting, facts)


def _gone(device: RunDevice, record: MdmDevice) -> bool:
    """Acknowledged later than the asking; or there was no profile to acknowledge the removal of."""
    asked = device.removal_asked_at
    if asked is not None and record.removed_at is not None and record.removed_at > asked:
        return True
    return record.excluded and record.profile_installed is False and not record.removal_pending


def _came_back(device: RunDevice, record: MdmDevice) -> bool:
    # Its clock may be off against ours: what the MDM says is compared with what the MDM said.
    of_mdm = [one for one in (record.removed_at, device.installed_before) if one is not None]
    removed = max(of_mdm, default=device.removed_at)
    if removed is not None:
        return (
            record.installed_at is not None and record.installed_at > removed and record.profile_installed is not False
        )
    return record.profile_installed is True or (record.profile_installed is None and record.installed_at is not None)


def _wrong_record(device: RunDevice, record: MdmDevice) -> str:
    if record.set_apart:
        return f"the MDM says {visible(record.set_apart)}: an administrator did that"
    if not record.managed:
        return "the device is no longer enrolled: no profile would come back"
    if device.identity.mdm_id and device.identity.mdm_id != record.identity.mdm_id:
        return "the MDM has another record of this device than when the plan was made"
    return ""


# --- confirm, inspect, remove leftovers, on the device -----------------------------------------------------------


def confirm(device: RunDevice, observation: Observation, *, effects: bool = False) -> StageResult:
    """Are all marker certificates that were there before gone? ``facts.leftovers``: SHA-256 of those that are not."""
    facts = facts_of(observation, effects=effects)
    other = another_device(device.identity, observation.identity)
    if other:
        return StageResult(Stage.CONFIRM, StageAnswer.FAILED, other, {**facts, "error": other})
    before = {one.sha256 for one in device.before}
    left = sorted({one.certificate.sha256 for one in marked(observation)} & before)
    facts["leftovers"] = left
    if left:
        return StageResult(Stage.CONFIRM, StageAnswer.NOT_YET, f"the device to delete {listed(left)}", facts)
    if not observation.complete:
        return StageResult(Stage.CONFIRM, StageAnswer.NOT_YET, _whole_listing(observation), facts)
    return StageResult(Stage.CONFIRM, StageAnswer.DONE, facts=facts)


def inspect(device: RunDevice, observation: Observation, now: datetime, *, effects: bool = False) -> StageResult:
    """Is a usable marker certificate there that was not there before? What it proves is judged by the engine."""
    facts = facts_of(observation, effects=effects)
    other = another_device(device.identity, observation.identity)
    if other:
        return StageResult(Stage.INSPECT, StageAnswer.FAILED, other, {**facts, "error": other})
    if device.playbook == _LEFTOVERS:
        return _after_leftovers(Stage.INSPECT, device, observation, now, facts)
    before = {one.sha256 for one in device.before}
    new = [one for one in marked(observation) if one.certificate.sha256 not in before]
    if not new:
        return StageResult(Stage.INSPECT, StageAnswer.NOT_YET, "a new certificate with the marker", facts)
    if not any(one.usable(now) for one in new):
        why = [
            finding.message
            for one in new
            for finding in judge(one.certificate, now, private_key=one.stored.private_key).findings[:1]
        ]
        return StageResult(Stage.INSPECT, StageAnswer.NOT_YET, f"a certificate that can be used; {listed(why)}", facts)
    if not observation.complete:
        return StageResult(Stage.INSPECT, StageAnswer.NOT_YET, _whole_listing(observation), facts)
    return StageResult(Stage.INSPECT, StageAnswer.DONE, facts=facts)


def removable(device: RunDevice, observation: Observation, now: datetime) -> tuple[Held, ...]:
    """Return the certificates that may be deleted: named by SHA-256, in the computer's store, with the marker, and
    never the newest usable one. None at all where none would stay usable, or the listing is not whole.

    Raise ScepfixError where the device may not be touched: another device answered, or it is no Mac.
    """
    other = another_device(device.identity, observation.identity)
    if other:
        raise ScepfixError("identity-mismatch", other, where=visible(device.name), hint="make the plan anew")
    if observation.platform is not Platform.MACOS:
        raise ScepfixError(
            "not-on-windows",
            "leftovers are deleted on Macs only",
            where=visible(device.name),
            hint=f"on the PC: {deleting(observation.platform, device.remove)}",
        )
    there = marked(observation)
    usable = [one for one in there if one.usable(now)]
    if not usable or not observation.complete:
        return ()
    newest = max(usable, key=lambda one: one.certificate.not_before)
    named = set(device.remove)
    return tuple(
        one for one in there if one.certificate.sha256 in named and one.certificate.sha256 != newest.certificate.sha256
    )


def by_a_person(device: RunDevice) -> StageResult:
    """Of a device that nobody connects to: return that a person has to delete, and how."""
    words = deleting(device.platform, device.remove)
    return StageResult(Stage.REMOVE_LEFTOVERS, StageAnswer.FAILED, f"a person at the device: {words}", facts_of())


def deleting(platform: Platform, hashes: Sequence[str]) -> str:
    """Given SHA-256 of certificates, return the command by which a person deletes them."""
    if platform is not Platform.MACOS:
        return r"Remove-Item Cert:\LocalMachine\My\SHA1 -DeleteKey"
    keychain = "/Library/Keychains/System.keychain"
    return "; ".join(f"sudo security delete-identity -Z {one} {keychain}" for one in hashes)


def leftovers(observation: Observation, now: datetime) -> tuple[str, ...]:
    """Return SHA-256 of the marker certificates that are in the way, by the plan's own rule."""
    return in_the_way(marked(observation), now)


def remove_leftovers(
    device: RunDevice, observation: Observation, now: datetime, *, effects: bool = False
) -> StageResult:
    """Given the observation after the deleting, say whether the named certificates are gone."""
    facts = facts_of(observation, effects=effects)
    return _after_leftovers(Stage.REMOVE_LEFTOVERS, device, observation, now, facts)


def _after_leftovers(
    stage: Stage, device: RunDevice, observation: Observation, now: datetime, facts: dict[str, Any]
) -> StageResult:
    there = marked(observation)
    left = sorted({one.certificate.sha256 for one in there} & set(device.remove))
    facts["leftovers"] = left
    if not any(one.usable(now) for one in there):
        return StageResult(stage, StageAnswer.FAILED, "no usable certificate is there: nothing may be deleted", facts)
    if left:
        return StageResult(stage, StageAnswer.NOT_YET, f"{listed(left)} to be deleted", facts)
    if not observation.complete:
        return StageResult(stage, StageAnswer.NOT_YET, _whole_listing(observation), facts)
    return StageResult(stage, StageAnswer.DONE, facts=facts)


def no_answer(stage: Stage, error: ScepfixError, *, unreachable: bool = False, effects: bool = False) -> StageResult:
    """Given why a device or the MDM gave no answer that can be read, return what the stage says then."""
    facts = facts_of(effects=effects)
    facts["error"] = f"{error.code}: {error.message}"
    if unreachable:
        return StageResult(stage, StageAnswer.UNREACHABLE, "the device to answer", facts)
    return StageResult(stage, StageAnswer.NOT_YET, f"an answer that can be read: {error.message}", facts)


def facts_of(
    observation: Observation | None = None,
    record: MdmDevice | None = None,
    profile: ManagedProfile | None = None,
    *,
    effects: bool = False,
    with_log: bool = False,
) -> dict[str, Any]:
    """Return the facts of a result, JSON-shaped; what was not looked at is not in them.

    The device's log tells nothing about a repair, and anything may stand in it: only a diagnosis asks for it.
    """
    facts: dict[str, Any] = {"effects": effects}
    if observation is not None:
        seen = observation if with_log else replace(observation, log=b"")
        facts["observation"] = seen.as_document()
    if record is not None:
        facts["mdm"] = record.as_document()
    if profile is not None:
        facts["profile"] = profile.as_document()
    return facts


def _whole_listing(observation: Observation) -> str:
    return "a whole listing of the computer's certificates" + because(observation.problems)
