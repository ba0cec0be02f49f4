"""Predict what a repair would leave behind, and say afterwards in the same words what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scepfix.domain.device import Observation
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.plan import KnownCertificate, PlannedDevice, Prediction, Sureness
from scepfix.domain.policy import RepairPolicy
from scepfix.workflow.certificates import Held, holding, in_the_way

REINSTALL, INSTALL, LEFTOVERS = "reinstall_scep_profile", "install_scep_profile", "remove_leftover_certificates"
#: Payloads of single sign-on extensions. Okta's Desktop Password Sync (Platform SSO) uses the certificate of Device
#: Access on macOS 14 and later (Okta help, "Use SCEP with Okta Device Access").
_SINGLE_SIGN_ON = ("com.apple.extensiblesso", "com.apple.extensiblesso.platformsso", "com.apple.platformsso")

#: The prediction of a device whose person also signs in with the certificate: it wants the higher approval.
SHARED = "single-sign-on"


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a plan says of one device beyond its facts. ``remove``: SHA-256 of the certificates to delete by name."""

    predictions: tuple[Prediction, ...]
    one_way_steps: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


def predict(
    fault: str,
    playbook: str,
    observation: Observation,
    mdm: MdmDevice | None,
    profile: ManagedProfile | None,
    policy: RepairPolicy,
) -> Predicted:
    """Given a fault, its playbook and what device and MDM say now, return what would be afterwards.

    ``now`` and ``after`` are short words, the same that ``actual_of`` uses; no moments, no serial numbers that nobody
    can know. A playbook that changes nothing predicts nothing.
    """
    if playbook not in (REINSTALL, INSTALL, LEFTOVERS):
        return Predicted(())
    held = holding(observation).marked
    before = _known(held)
    remove = in_the_way(held, observation.observed_at) if playbook == LEFTOVERS else ()
    now = {
        **_seen(observation, before, remove if playbook == LEFTOVERS else None),
        **_scope(mdm),
        "okta-record": "gone" if fault == "device-deleted" else "as it is",
        "registration": "not registered",
    }
    shared = _shares_certificate(observation, profile)
    predictions = tuple(
        Prediction(what, now.get(what, "unknown"), after, sureness)
        for what, after, sureness in _after(fault, playbook, now, len(before), len(remove))
    )
    if shared:
        predictions += (Prediction(SHARED, "uses this certificate", "may ask to sign in again", Sureness.UNKNOWABLE),)
    return Predicted(
        predictions,
        _one_way_steps(playbook, before, remove),
        _watches(playbook, policy, shared=shared),
        remove,
    )


def actual_of(observation: Observation | None, mdm: MdmDevice | None, device: PlannedDevice) -> dict[str, str]:
    """Given what was seen after a repair (None: not looked), return the values in the words of the predictions."""
    found = _scope(mdm)
    if observation is not None:
        found |= _seen(observation, device.before, device.remove if device.playbook == LEFTOVERS else None)
    return found


def _seen(observation: Observation, before: Sequence[KnownCertificate], remove: Sequence[str] | None) -> dict[str, str]:
    """``remove`` None: all that was there before is to go."""
    found: dict[str, str] = {}
    if observation.profiles is not None:
        found["profile"] = "installed" if any(one.is_scep for one in observation.profiles) else "absent"
    if not observation.complete:
        return found
    held = holding(observation)
    known = {one.sha256 for one in before}
    old = [one for one in held.marked if one.certificate.sha256 in known]
    to_go = known if remove is None else set(remove)
    found["certificate"] = _certificates(len(old), len(held.marked) - len(old))
    found["private-key"] = _private_key(held.marked)
    found["leftover"] = _count(sum(one.certificate.sha256 in to_go for one in old))
    found["other-certificates"] = _count(len(held.others))
    return found


def _scope(mdm: MdmDevice | None) -> dict[str, str]:
    if mdm is None:
        return {}
    return {"mdm-scope": "excluded" if mdm.excluded else "in scope" if mdm.in_scope else "out of scope"}


def _after(
    fault: str, playbook: str, now: dict[str, str], held: int, to_remove: int
) -> list[tuple[str, str, Sureness]]:
    """Return what, after and how sure. What no step touches is certain; what MDM and CA must do is assumed."""
    untouched = Sureness.CERTAIN
    record = ("okta-record", "as it is", untouched)
    if fault == "device-deleted":
        record = ("okta-record", "made at the next sign-in", Sureness.ASSUMED)
    common = [
        ("other-certificates", now.get("other-certificates", "unknown"), untouched),
        record,
        # Whether and when that person signs in online is up to the person.
        ("registration", "registered", Sureness.UNKNOWABLE),
    ]
    if playbook == LEFTOVERS:
        return [
            ("profile", now.get("profile", "unknown"), untouched),
            ("certificate", _certificates(held - to_remove, 0), Sureness.ASSUMED),
            ("private-key", "there", untouched),
            ("leftover", "none", Sureness.ASSUMED),
            ("mdm-scope", now.get("mdm-scope", "unknown"), untouched),
            *common,
        ]
    gone = [("leftover", "none", Sureness.ASSUMED)] if playbook == REINSTALL else []
    stay = held if playbook == INSTALL else 0
    return [
        ("profile", "installed", Sureness.ASSUMED),
        ("certificate", _certificates(stay, 1), Sureness.ASSUMED),
        ("private-key", "there", Sureness.ASSUMED),
        *gone,
        ("mdm-scope", "in scope", Sureness.ASSUMED),
        *common,
    ]


def _one_way_steps(playbook: str, before: Sequence[KnownCertificate], remove: Sequence[str]) -> tuple[str, ...]:
    if playbook == REINSTALL:
        which = f"certificate {', '.join(one.serial_number for one in before)} and its" if before else "any"
        step = f"the SCEP profile is removed through the MDM, and with it {which} private key"
        return (f"{step}; it comes back only as a new certificate, if MDM, CA and network all work",)
    if playbook == LEFTOVERS:
        return tuple(f"certificate {sha256} is deleted with its private key" for sha256 in remove)
    return ()


def _watches(playbook: str, policy: RepairPolicy, *, shared: bool) -> tuple[str, ...]:
    found = []
    if shared and playbook != INSTALL:
        found.append(
            "Desktop Password Sync (Platform SSO) uses the same certificate: what its loss means for the person's "
            "sign-in cannot be known before; have somebody who owns it approve"
        )
    if playbook == REINSTALL:
        found.append(
            "while the profile is away no recovery PIN can be made for this device; "
            f"it is asked back after {policy.put_back_after_hours} hours at the latest while scepfix runs, else at its "
            "next start or by scepfix rescue"
        )
    found.append("a recovery PIN can be made only after the person signed in online on the device again")
    return tuple(found)


def _shares_certificate(observation: Observation, profile: ManagedProfile | None) -> bool:
    installed = {kind for one in observation.profiles or () for kind in one.payload_types}
    referring = " ".join(profile.referred_by).casefold() if profile else ""
    return bool(installed.intersection(_SINGLE_SIGN_ON)) or "sso" in referring


def _known(held: Sequence[Held]) -> tuple[KnownCertificate, ...]:
    return tuple(
        KnownCertificate(one.certificate.sha256, one.certificate.serial_number, one.certificate.public_key_sha256)
        for one in sorted(held, key=lambda one: one.certificate.sha256)
    )


def _certificates(old: int, new: int) -> str:
    words = [f"{_count(number)} {age}" for number, age in ((new, "new"), (old, "old")) if number]
    return " and ".join(words) or "none"


def _private_key(held: Sequence[Held]) -> str:
    """Return how it stands with the key of the newest certificate."""
    if not held:
        return "none"
    newest = max(held, key=lambda one: one.certificate.not_before)
    if newest.stored.private_key is None:
        return "unknown"
    return "there" if newest.stored.private_key else "missing"


def _count(number: int) -> str:
    return {0: "none", 1: "one"}.get(number, str(number))
