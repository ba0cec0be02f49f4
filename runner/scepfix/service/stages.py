"""What each stage of a repair says of one device: done, not yet or failed, from what the device and the MDM said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from scepfix.domain.certificate import Certificate, in_device_store
from scepfix.domain.device import Identity, Observation, StoredCertificate
from scepfix.domain.errors import InputError, ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MOVABLE_PAYLOADS, ManagedProfile, MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import KnownCertificate
from scepfix.domain.platform import Platform
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Stage, StageAnswer, StageResult
from scepfix.domain.run import RunDevice
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.certificate import Verdict, is_marked_leaf, judge

#: A profile with one of these is how the device reaches us, or may be: without its certificate nobody gets through.
_NETWORK_PAYLOADS = ("com.apple.wifi.", "com.apple.vpn.", "com.apple.globalethernet.", "ethernet")
_LEFTOVERS = "remove_leftover_certificates"
_INSTALL = "install_scep_profile"
#: Further off, and a device takes a new certificate for one that is not valid yet, or no longer (faults.yml).
_CLOCK_SECONDS = 300
#: What a playbook that moves nothing away need not be refused for.
_NOT_FOR = {
    _INSTALL: frozenset({"never-issued", "bundled", "referred-by", "channel-needs-certificate"}),
    _LEFTOVERS: frozenset(
        {
            *("never-issued", "bundled", "referred-by", "channel-needs-certificate", "silent", "not-managed"),
            *("does-not-come-back", "declarative", "wrong-scope", "group-not-alone"),
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a repair is not begun: a stable code and a sentence, inert."""

    code: str
    text: str

    def as_document(self) -> dict[str, str]:
        return {"code": self.code, "text": self.text}


@dataclass(frozen=True, slots=True)
class Marked:
    """A marker certificate of the device's own store: where it was, and its facts."""

    stored: StoredCertificate
    certificate: Certificate

    def known(self) -> KnownCertificate:
        one = self.certificate
        return KnownCertificate(one.sha256, one.serial_number, one.public_key_sha256)

    def usable(self, now: datetime) -> bool:
        return judge(self.certificate, now, private_key=self.stored.private_key).verdict is Verdict.USABLE


def marked(observation: Observation) -> tuple[Marked, ...]:
    """Return the marker certificates of the computer's store. What has no marker, or is unreadable, never counts."""
    found = []
    for stored in observation.certificates:
        try:
            certificate = read_certificate(stored.der)
        except InputError:
            continue
        if in_device_store(stored.store) and is_marked_leaf(certificate):
            found.append(Marked(stored, certificate))
    return tuple(found)


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


def refusals(
    playbook: str,
    planned: Identity,
    observation: Observation,
    record: MdmDevice | None,
    profile: ManagedProfile | None,
    now: datetime,
    policy: RepairPolicy,
) -> tuple[Refusal, ...]:
    """Given a playbook, the identity it was planned for ("" where unknown) and what device and MDM say at an aware
    moment, return every reason not to begin. ``record`` and ``profile`` are None where the MDM has none."""
    found = [
        *_of_record(record, observation, now, policy),
        *_of_identity(planned, observation.identity, record),
        *_of_profile(profile, observation),
    ]
    if not observation.complete:
        found.append(
            Refusal(
                "keychain-unreadable",
                "the computer's certificates could not be listed whole, so nobody could tell what is gone"
                + _because(observation.problems),
            )
        )
    offset = observation.clock_offset_seconds
    if offset is not None and abs(offset) > _CLOCK_SECONDS:
        found.append(
            Refusal(
                "clock-wrong", f"the device's clock is off by {offset:.0f} seconds: no new certificate would be valid"
            )
        )
    return tuple(one for one in found if one.code not in _NOT_FOR.get(playbook, frozenset()))


def _of_record(
    record: MdmDevice | None, observation: Observation, now: datetime, policy: RepairPolicy
) -> Iterator[Refusal]:
    if record is None:
        yield Refusal("unknown-device", "the MDM knows no device with this serial number")
        return
    if record.set_apart:
        yield Refusal("removed-on-purpose", f"the MDM says {visible(record.set_apart)}: an administrator did that")
    if not record.managed or observation.enrolled is False:
        who = "the MDM" if not record.managed else "the device itself"
        yield Refusal("not-managed", f"{who} says that the device is not enrolled: no profile would come back")
    within = timedelta(minutes=policy.answered_within_minutes)
    if record.last_seen_at is None or now - record.last_seen_at > within:
        seen = rfc3339(record.last_seen_at) or "never"
        yield Refusal(
            "silent",
            f"last answer to the MDM: {seen}; it must be within {policy.answered_within_minutes} minutes, "
            "or the profile could be gone for as long as the device is silent",
        )
    if not record.in_scope:
        yield Refusal("does-not-come-back", "the device is not in the profile's scope, so the profile would stay away")


def _of_identity(planned: Identity, seen: Identity, record: MdmDevice | None) -> Iterator[Refusal]:
    """Two independent keys must agree; a name proves nothing, and one key may be cloned."""
    if record is None:
        return
    for key, called in (("serial_number", "serial number"), ("hardware_uuid", "hardware UUID")):
        on_device, at_mdm = (str(getattr(one, key)).upper() for one in (seen, record.identity))
        in_plan = str(getattr(planned, key)).upper()
        if not on_device or not at_mdm:
            who = "the device" if not on_device else "the MDM"
            yield Refusal("identity-mismatch", f"{who} does not say its {called}; two keys must agree")
        elif len({on_device, at_mdm, in_plan or on_device}) > 1:
            said = f"device {visible(on_device)}, MDM {visible(at_mdm)}" + (in_plan and f", plan {visible(in_plan)}")
            yield Refusal("identity-mismatch", f"the {called} differs: {said}")
    if planned.mdm_id and planned.mdm_id != record.identity.mdm_id:
        yield Refusal("identity-mismatch", "the MDM has another record of this device than when the plan was made")


def _of_profile(profile: ManagedProfile | None, observation: Observation) -> Iterator[Refusal]:
    if profile is None:
        yield Refusal("does-not-come-back", "the MDM has no such SCEP profile")
        return
    if profile.comes_back:
        yield Refusal("does-not-come-back", f"the profile would not come back by itself: {visible(profile.comes_back)}")
    if profile.last_issued_at is None or (profile.changed_at and profile.last_issued_at < profile.changed_at):
        since = f" since it or its secret changed at {rfc3339(profile.changed_at)}" if profile.changed_at else ""
        yield Refusal(
            "never-issued", f"no certificate came through this profile{since}: nobody knows that one would come"
        )
    if profile.declarative:
        yield Refusal("declarative", "the profile is delivered declaratively: leaving a group does not bring it back")
    installed = [
        one.payload_types for one in observation.profiles or () if one.identifier == visible(profile.identifier)
    ]
    payloads = sorted({*profile.payload_types, *(kind for kinds in installed for kind in kinds)} - MOVABLE_PAYLOADS)
    if payloads:
        yield Refusal("bundled", f"the profile carries more than SCEP: {_list(payloads)} would be taken away with it")
    network = [kind for kind in payloads if kind.startswith(_NETWORK_PAYLOADS[:-1]) or _NETWORK_PAYLOADS[-1] in kind]
    if network:
        yield Refusal(
            "channel-needs-certificate",
            f"the device may reach the network through {_list(network)}: without it no profile would come back",
        )
    if profile.referred_by:
        yield Refusal("referred-by", f"other profiles or groups need this one: {_list(profile.referred_by)}")
    if profile.scope != "system":
        yield Refusal("wrong-scope", f"the profile is for {visible(profile.scope)}s, not for the computer")
    if profile.group_uses:
        yield Refusal("group-not-alone", f"the exclusion group is used for more: {_list(profile.group_uses)}")


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
    removed = max((one for one in (record.removed_at, device.removed_at) if one is not None), default=None)
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
    other = _another_device(device, observation)
    if other:
        return StageResult(Stage.CONFIRM, StageAnswer.FAILED, other, {**facts, "error": other})
    before = {one.sha256 for one in device.before}
    left = sorted({one.certificate.sha256 for one in marked(observation)} & before)
    facts["leftovers"] = left
    if left:
        return StageResult(Stage.CONFIRM, StageAnswer.NOT_YET, f"the device to delete {_list(left)}", facts)
    if not observation.complete:
        return StageResult(Stage.CONFIRM, StageAnswer.NOT_YET, _whole_listing(observation), facts)
    return StageResult(Stage.CONFIRM, StageAnswer.DONE, facts=facts)


def inspect(device: RunDevice, observation: Observation, now: datetime, *, effects: bool = False) -> StageResult:
    """Is a usable marker certificate there that was not there before? What it proves is judged by the engine."""
    facts = facts_of(observation, effects=effects)
    other = _another_device(device, observation)
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
        return StageResult(Stage.INSPECT, StageAnswer.NOT_YET, f"a certificate that can be used; {_list(why)}", facts)
    if not observation.complete:
        return StageResult(Stage.INSPECT, StageAnswer.NOT_YET, _whole_listing(observation), facts)
    return StageResult(Stage.INSPECT, StageAnswer.DONE, facts=facts)


def removable(device: RunDevice, observation: Observation, now: datetime) -> tuple[Marked, ...]:
    """Return the certificates that may be deleted: named by SHA-256, in the computer's store, with the marker, and
    never the newest usable one. None at all where none would stay usable, or the listing is not whole.

    Raise ScepfixError where the device may not be touched: another device answered, or it is no Mac.
    """
    other = _another_device(device, observation)
    if other:
        raise ScepfixError("identity-mismatch", other, where=visible(device.name), hint="make the plan anew")
    if observation.platform is not Platform.MACOS:
        raise ScepfixError(
            "not-on-windows",
            "leftovers are deleted on Macs only",
            where=visible(device.name),
            hint=r"on the PC: Remove-Item Cert:\LocalMachine\My\SHA1 -DeleteKey",
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


def leftovers(observation: Observation, now: datetime) -> tuple[str, ...]:
    """Return SHA-256 of the marker certificates that are in the way: older than the newest usable, with a key."""
    there = marked(observation)
    usable = [one for one in there if one.usable(now)]
    if not usable:
        return ()
    newest = max(usable, key=lambda one: one.certificate.not_before)
    older = [one for one in there if one.certificate.not_before <= newest.certificate.not_before]
    return tuple(
        one.certificate.sha256
        for one in older
        if one.certificate.sha256 != newest.certificate.sha256
        and (one.stored.private_key is True or one.stored.identity_preference is True)
    )


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
        return StageResult(stage, StageAnswer.NOT_YET, f"{_list(left)} to be deleted", facts)
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


def _another_device(device: RunDevice, observation: Observation) -> str:
    for key, called in (("serial_number", "serial number"), ("hardware_uuid", "hardware UUID")):
        planned, seen = (str(getattr(one, key)).upper() for one in (device.identity, observation.identity))
        if planned and seen and planned != seen:
            return f"another device answered: {called} {visible(seen)}, planned {visible(planned)}"
    return ""


def _whole_listing(observation: Observation) -> str:
    return "a whole listing of the computer's certificates" + _because(observation.problems)


def _because(problems: Sequence[str]) -> str:
    return f" ({'; '.join(problems[:3])})" if problems else ""


def _list(words: Sequence[str]) -> str:
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return ", ".join(visible(word) for word in words[:5]) + more
