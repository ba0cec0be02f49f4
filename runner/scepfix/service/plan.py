"""The use *preview*: name the faults of devices and say what a repair would change. Nothing is written anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Observation
from scepfix.domain.diagnosis import Diagnosis, Standing, Verdict
from scepfix.domain.errors import RefusedError
from scepfix.domain.evidence import Evidence, Witness
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.plan import KnownCertificate, Plan, PlannedDevice, SetAside
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.connection_values import channel_of
from scepfix.parsers.service_settings import ServiceSettings
from scepfix.service.diagnose import diagnose_evidence
from scepfix.service.mdm_stages import whole_profile
from scepfix.service.observe import NotObserved
from scepfix.service.observed_evidence import evidence_of_mdm, evidence_of_observation
from scepfix.service.ports import InventoryDevice, Mdm, Okta, Settings
from scepfix.service.refusals import refusals
from scepfix.service.stages import deleting
from scepfix.workflow.certificates import holding, in_the_way
from scepfix.workflow.predict import LEFTOVERS, predict

#: Lines that say only that the server answered with an error: alone they never start a one-way step.
_ERROR_LINES = frozenset({"log.attempt", "log.rejected", "log.rejected-undated", "log.rejected-during-outage"})
#: Settings that change no effect of a repair, or that the plan holds in another way.
_NOT_STEERING = frozenset({"deny", "proof_grade", "poll_seconds", "plan_valid_hours", "unauthenticated_devices"})
#: Reasons to set a device aside that are an answer: nobody has to do anything.
ANSWERED = frozenset({"healthy", "not-that-fault"})


class EmptySelectionError(RefusedError):
    """No device is left to plan for; ``set_aside`` says why, device by device."""

    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Whose plan it is. ``only_fault`` keeps the devices diagnosed so; ``content_sha256`` is that of the playbooks that
    would run; ``issuers`` are the certificates of this org's Device Access CA."""

    requester: str
    content_sha256: str
    only_fault: str | None = None
    issuers: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What device and MDM said of one device. ``name`` is inert."""

    device: InventoryDevice
    name: str
    observation: Observation
    record: MdmDevice | None


def make_plan(
    devices: Sequence[InventoryDevice],
    observations: Mapping[str, Observation | NotObserved],
    mdm: Mdm | None,
    okta: Okta | None,
    settings: Settings,
    policy: RepairPolicy,
    request: PlanRequest,
    now: datetime,
    services: Mapping[str, ServiceSettings | None] | None = None,
    names: Collection[str] = (),
) -> Plan:
    """Given devices and what each said (by name), MDM and Okta to read from, settings and limits, return the plan.

    ``services`` are the settings of the MDM and of Okta, by ``mdm`` and ``okta``; they steer the repair, so the digest
    covers them. ``names`` are those of the whole inventory.
    Raise RefusedError (``empty-selection``) where no device is left, saying why each was set aside;
    ScepfixError where the MDM or Okta does not answer.
    """
    aside: list[SetAside] = []
    seen = _seen(devices, observations, mdm, policy, aside)
    profile = whole_profile(mdm) if mdm is not None and seen else None
    planned: list[PlannedDevice] = []
    for one in seen:
        elsewhere = _somebody_else(one, names)
        if elsewhere:
            aside.append(SetAside(one.name, "identity-mismatch", elsewhere))
            continue
        found = _planned(one, profile, okta, settings, policy, request, now, has_mdm=mdm is not None)
        if isinstance(found, SetAside):
            aside.append(found)
        else:
            planned.append(found)
    order = {visible(device.name): number for number, device in enumerate(devices)}
    aside.sort(key=lambda one: order[one.name])
    if not planned:
        raise _empty(aside)
    return Plan(
        devices=tuple(planned),
        set_aside=tuple(aside),
        proof_grade=policy.proof_grade,
        content_sha256=request.content_sha256,
        variables=_variables(policy, services or {}),
        requester=visible(request.requester),
        made_at=now,
        expires_at=now + timedelta(hours=policy.plan_valid_hours),
    )


def refuse_other_settings(plan: Plan, policy: RepairPolicy, services: Mapping[str, ServiceSettings | None]) -> None:
    """Given a plan that was not begun yet and the settings of now, let it be begun.

    Raise RefusedError: ``settings-changed`` where they are not those that the plan was approved with, ``denied`` where
    a device or person may not be repaired any more.
    """
    now = _variables(policy, services)
    other = sorted(key for key in {*now, *plan.variables} if now.get(key) != plan.variables.get(key))
    if other:
        raise RefusedError(
            "settings-changed",
            f"settings are not those that the plan was made with: {visible(', '.join(other))}",
            where=plan.digest(),
            hint="plan again, and have that plan approved",
        )
    for device in plan.devices:
        if device.changes and _denied(policy, device.name, device.person, device.identity.serial_number):
            raise RefusedError(
                "denied",
                f"the settings say now that {visible(device.name)} or its person is never repaired",
                where=plan.digest(),
                hint="plan again without it",
            )


def facts_of(
    observation: Observation, record: MdmDevice | None, profile: ManagedProfile | None, diagnosis: Diagnosis
) -> dict[str, str]:
    """Given what was seen of a device, return the facts a plan relies on: ids and words, no times, no versions.

    Two readings of a device that did not change give the same facts.
    """
    found = {
        "evidence": " ".join(sorted({item.says for item in diagnosis.evidence} - {"log.attempt"})),
        "certificates_listed": "whole" if observation.complete else "not whole",
        "scep_profiles": _scep_profiles(observation),
        "enrolled": _word(observation.enrolled),
    }
    if record is not None:
        found |= {
            "mdm_managed": _word(record.managed),
            "mdm_in_scope": _word(record.in_scope),
            "mdm_excluded": _word(record.excluded),
            "mdm_profile_installed": _word(record.profile_installed),
        }
    if profile is not None:
        found |= {
            "profile": visible(profile.identifier),
            "profile_payloads": visible(" ".join(sorted(profile.payload_types))),
        }
    return found


def known_certificates(observation: Observation) -> tuple[KnownCertificate, ...]:
    """Given an observation, return the marker certificates of the computer's store, in the order of their SHA-256."""
    found = sorted((one.certificate for one in holding(observation).marked), key=lambda one: one.sha256)
    return tuple(KnownCertificate(one.sha256, one.serial_number, one.public_key_sha256) for one in found)


def _seen(
    devices: Sequence[InventoryDevice],
    observations: Mapping[str, Observation | NotObserved],
    mdm: Mdm | None,
    policy: RepairPolicy,
    aside: list[SetAside],
) -> list[_Seen]:
    """Return the devices that may be looked into, and add to ``aside`` the others."""
    read: list[tuple[InventoryDevice, str, Observation]] = []
    for device in devices:
        name, found = visible(device.name), observations.get(device.name)
        if _denied(policy, name, visible(device.person)):
            aside.append(SetAside(name, "denied", "the settings say that this device or person is never repaired"))
        elif found is None:
            aside.append(SetAside(name, "unreachable", "the run brought no answer of it"))
        elif isinstance(found, NotObserved):
            asleep = "no answer: asleep, off, or off the network? " if found.code == "unreachable" else ""
            aside.append(SetAside(name, found.code, f"{asleep}{visible(found.reason)}"))
        else:
            read.append((device, name, found))
    serials = Counter(found.identity.serial_number for _, _, found in read)
    single = []
    for device, name, found in read:
        serial = found.identity.serial_number
        if not serial:
            aside.append(SetAside(name, "garbage", "it did not say its serial number, so nobody knows who answered"))
        elif serials[serial] > 1:
            twins = ", ".join(other for _, other, one in read if one.identity.serial_number == serial and other != name)
            reason = f"{twins} has the same serial number {visible(serial)}: two names of one device, or a wrong answer"
            aside.append(SetAside(name, "ambiguous", reason))
        elif _denied(policy, serial):
            aside.append(SetAside(name, "denied", "the settings say that this device is never repaired"))
        else:
            single.append((device, name, found))
    records = mdm.devices([found.identity.serial_number for _, _, found in single]) if mdm and single else {}
    return [_Seen(device, name, found, records.get(found.identity.serial_number)) for device, name, found in single]


def _planned(
    seen: _Seen,
    profile: ManagedProfile | None,
    okta: Okta | None,
    settings: Settings,
    policy: RepairPolicy,
    request: PlanRequest,
    now: datetime,
    *,
    has_mdm: bool,
) -> PlannedDevice | SetAside:
    """Return what would be done about one device, or why nothing is planned."""
    device, name, observation, record = seen.device, seen.name, seen.observation, seen.record
    if record is not None:
        mismatch = _mismatch(observation, record)
        if mismatch:
            return SetAside(name, "identity-mismatch", mismatch)
        if record.set_apart:
            return SetAside(
                name, "removed-on-purpose", f"the MDM says {visible(record.set_apart)}: it was taken out of use"
            )
    evidence = _evidence(seen, profile, okta, settings, request, now)
    # Those of this device: the next one that Okta is asked about has its own.
    not_asked = tuple(map(visible, okta.notes())) if okta is not None else ()
    diagnosis = diagnose_evidence(evidence, name, visible(device.person), settings, now)
    left_out = _left_out(diagnosis, request.only_fault)
    if left_out is not None:
        return SetAside(name, *left_out)
    playbook = diagnosis.playbook or "report"
    identity = observation.identity
    if record is not None:
        identity = replace(identity, mdm_id=record.identity.mdm_id)
    planned = PlannedDevice(
        name=name,
        host=device.host,
        platform=observation.platform,
        identity=identity,
        person=visible(device.person),
        fault=diagnosis.fault or "",
        playbook=playbook,
        connection=device.connection,
        facts=facts_of(observation, record, profile, diagnosis),
        before=known_certificates(observation),
        reason=diagnosis.reason,
        standing=diagnosis.standing.value if diagnosis.standing else "",
    )
    if not planned.changes:
        return replace(planned, watches=_once(*_our_own_exclusion(record), *diagnosis.next_steps, *not_asked))
    if playbook == LEFTOVERS and channel_of(device.connection):
        return SetAside(name, "no-channel", _by_a_person(observation))
    weak = _too_weak(diagnosis)
    if weak:
        return SetAside(name, "not-sure-enough", weak)
    if not has_mdm:
        return SetAside(name, "no-mdm", "the settings name no MDM, and profiles come and go only through one")
    refused = refusals(playbook, identity, observation, record, profile, now, policy)
    if refused:
        return SetAside(name, refused[0].code, "; ".join(visible(one.text) for one in refused))
    predicted = predict(planned.fault, playbook, observation, record, profile, policy)
    return replace(
        planned,
        remove=predicted.remove,
        predictions=predicted.predictions,
        one_way_steps=predicted.one_way_steps,
        watches=_once(*_other_name(seen), *not_asked, *predicted.watches),
    )


def _by_a_person(observation: Observation) -> str:
    """A collector deletes nothing: say by which command a person does."""
    found = in_the_way(holding(observation).marked, observation.observed_at)
    return f"nobody connects to it, so a person deletes what is in the way: {deleting(observation.platform, found)}"


def _somebody_else(seen: _Seen, names: Collection[str]) -> str:
    """Return in words why who answered is not the device that was asked for, "" where nothing says so."""
    said, wanted = seen.observation.identity.serial_number, seen.device.serial_number
    if wanted and said.casefold() != wanted.casefold():
        return (
            f"the inventory says serial number {visible(wanted)}, and {visible(said)} answered: is its address right?"
        )
    others = {name.casefold() for name in names if name.casefold() != seen.name.casefold()}
    for who, name in (("the MDM", seen.record.name if seen.record else ""), ("the device", seen.observation.name)):
        if name.casefold() != seen.name.casefold() and visible(name).casefold() in others:
            return f"{who} calls it {visible(name)}, which is another device of the inventory: is its address right?"
    return ""


def _other_name(seen: _Seen) -> tuple[str, ...]:
    name = visible(seen.record.name) if seen.record else ""
    if not name or name.casefold() == seen.name.casefold():
        return ()
    return (f"the MDM knows this device as {name}, not as {seen.name}: make sure that it is the one that is meant",)


def _our_own_exclusion(record: MdmDevice | None) -> tuple[str, ...]:
    """A device in scepfix's own exclusion group was not left out on purpose by a person."""
    if record is None or not record.excluded:
        return ()
    return ("It is in scepfix's own exclusion group, perhaps from an interrupted repair: scepfix rescue puts it back.",)


def _once(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _evidence(
    seen: _Seen,
    profile: ManagedProfile | None,
    okta: Okta | None,
    settings: Settings,
    request: PlanRequest,
    now: datetime,
) -> tuple[Evidence, ...]:
    identifier = visible(profile.identifier) if profile is not None else ""
    found = evidence_of_observation(seen.observation, request.issuers, settings.catalogue.signatures, identifier)
    if profile is not None:
        found += evidence_of_mdm(seen.record, profile, now)
    if okta is not None:
        found += okta.device_evidence(seen.observation.identity, seen.device.person, "")
    return tuple(found)


def _left_out(diagnosis: Diagnosis, only_fault: str | None) -> tuple[str, str] | None:
    """Return code and reason where this diagnosis leads to no plan."""
    if diagnosis.verdict is Verdict.HEALTHY:
        return "healthy", diagnosis.reason
    if diagnosis.verdict is Verdict.UNDETERMINED:
        missing = f"; missing: {diagnosis.missing[0]}" if diagnosis.missing else ""
        return "undetermined", f"{diagnosis.reason}{missing}"
    if only_fault is not None and diagnosis.fault != only_fault:
        return "not-that-fault", f"its fault is {diagnosis.fault}, and only {only_fault} was asked for"
    return None


def _too_weak(diagnosis: Diagnosis) -> str:
    """Return why a diagnosis must not start a change, "" where it may."""
    if diagnosis.standing not in (Standing.CONFIRMED, Standing.LIKELY):
        return f"{diagnosis.fault} is only possible: a change needs a likely or confirmed fault"
    if all(item.witness is Witness.TICKET for item in diagnosis.evidence):
        return f"{diagnosis.fault} rests on the ticket's word alone: device, MDM or Okta must say the same"
    if {item.says for item in diagnosis.evidence} <= _ERROR_LINES:
        return f"{diagnosis.fault} rests on a line that says only that the server answered with an error"
    return ""


def _mismatch(observation: Observation, record: MdmDevice) -> str:
    """Return in words which key of the two identities differs, "" where none does."""
    for key in ("serial_number", "hardware_uuid"):
        device, mdm = getattr(observation.identity, key), getattr(record.identity, key)
        if device and mdm and device.casefold() != mdm.casefold():
            return f"the device says {key} {visible(device)}, the MDM {visible(mdm)}: it is not the same device"
    return ""


def _denied(policy: RepairPolicy, *names: str) -> bool:
    denied = {visible(name).casefold() for name in policy.deny}
    return any(visible(name).casefold() in denied for name in names if name)


def _empty(aside: Sequence[SetAside]) -> EmptySelectionError:
    lines = "".join(f"\n  {one.name}: {one.code}: {one.reason}" for one in aside)
    wrong = EmptySelectionError(
        "empty-selection",
        f"no device is left to plan for; set aside:{lines}" if aside else "no device was asked for",
        hint="nothing was changed; look at the reasons, or choose other devices",
    )
    wrong.set_aside = tuple(aside)
    return wrong


def _variables(policy: RepairPolicy, services: Mapping[str, ServiceSettings | None]) -> dict[str, str | int]:
    """Return the settings that steer a repair, none of them secret."""
    found: dict[str, str | int] = {
        f"repair.{each.name}": getattr(policy, each.name)
        for each in fields(RepairPolicy)
        if each.name not in _NOT_STEERING
    }
    for name, service in services.items():
        if service is not None:
            texts = {"kind": service.kind, "profile": service.profile, "exclusion_group": service.exclusion_group}
            found |= {f"{name}.{key}": value for key, value in texts.items() if value}
    return found


def _scep_profiles(observation: Observation) -> str:
    if observation.profiles is None:
        return "unknown"
    return visible(" ".join(sorted(one.identifier for one in observation.profiles if one.is_scep))) or "none"


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
