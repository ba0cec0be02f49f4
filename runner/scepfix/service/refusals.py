"""Why a repair is not begun: every reason not to, from what the device and its MDM said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scepfix.domain.device import Identity, Observation
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MOVABLE_PAYLOADS, ManagedProfile, MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.policy import RepairPolicy

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
        *of_profile(profile, _installed_payloads(profile, observation)),
    ]
    if not observation.complete:
        found.append(
            Refusal(
                "keychain-unreadable",
                "the computer's certificates could not be listed whole, so nobody could tell what is gone"
                + because(observation.problems),
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


def _installed_payloads(profile: ManagedProfile | None, observation: Observation) -> Collection[str]:
    """Return the payload types of the profile as the device has it installed."""
    identifier = visible(profile.identifier) if profile else ""
    return {kind for one in observation.profiles or () if one.identifier == identifier for kind in one.payload_types}


def of_profile(profile: ManagedProfile | None, installed_payloads: Collection[str] = ()) -> Iterator[Refusal]:
    """Given what the MDM says of the profile (None: it has none) and the payload types that a device has of it, yield
    every reason to move it nowhere. ``scepfix doctor`` asks the same before any repair."""
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
    payloads = sorted({*profile.payload_types, *installed_payloads} - MOVABLE_PAYLOADS)
    if payloads:
        yield Refusal("bundled", f"the profile carries more than SCEP: {listed(payloads)} would be taken away with it")
    network = [kind for kind in payloads if kind.startswith(_NETWORK_PAYLOADS[:-1]) or _NETWORK_PAYLOADS[-1] in kind]
    if network:
        yield Refusal(
            "channel-needs-certificate",
            f"the device may reach the network through {listed(network)}: without it no profile would come back",
        )
    if profile.referred_by:
        yield Refusal("referred-by", f"other profiles or groups need this one: {listed(profile.referred_by)}")
    if profile.scope != "system":
        yield Refusal("wrong-scope", f"the profile is for {visible(profile.scope)}s, not for the computer")
    if profile.group_uses:
        yield Refusal("group-not-alone", f"the exclusion group is used for more: {listed(profile.group_uses)}")


def because(problems: Sequence[str]) -> str:
    """Return the first problems in brackets, "" where there is none."""
    return f" ({'; '.join(problems[:3])})" if problems else ""


def listed(words: Sequence[str]) -> str:
    """Return the first words of a list, inert, and how many more there are."""
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return ", ".join(visible(word) for word in words[:5]) + more
