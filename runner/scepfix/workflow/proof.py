"""Proof: whether the certificate on a device shows that a repair worked. Yes, no, or not yet knowable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scepfix.domain.certificate import Certificate
from scepfix.domain.device import Identity, Observation
from scepfix.domain.diagnosis import Answer
from scepfix.domain.inert import visible
from scepfix.domain.mdm import MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.plan import KnownCertificate, ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Proof
from scepfix.rules.certificate import judge, names_device, serial_numbers
from scepfix.rules.issuer_key import names_key_of, signed_with_key_of
from scepfix.workflow.certificates import Held, Holding, another_device, holding, leftovers

#: How far the clocks of CA and controller may be apart; more than five minutes is a fault of its own.
CLOCK_TOLERANCE = timedelta(minutes=5)
_USAGE_CODES = ("no-digital-signature", "no-client-auth")
_UUID = re.compile(r"(?<![\w-])[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}(?![\w-])", re.IGNORECASE)
#: Apple's serial numbers are 10 to 12 letters and digits, both of them, in capitals.
_SERIAL = re.compile(r"(?<![\w-])(?=[A-Z0-9]*[A-Z])(?=[A-Z0-9]*[0-9])[A-Z0-9]{10,12}(?![\w-])")
#: Stores of people: on a Mac, of the account that asked a PC, and of a PC's people.
_PERSONAL = ("login:", "current-user", "user")
#: Too short a name stands in a subject by chance.
_NAME_LENGTH = 5


class Proved(NamedTuple):
    """The answer, what each witness says, the one new certificate (None where there is not exactly one), and the
    SHA-256 of those that should be gone and are not."""

    answer: Answer
    proofs: tuple[Proof, ...]
    certificate: Certificate | None
    leftovers: tuple[str, ...]


class _Line(NamedTuple):
    """One thing the device shows. ``needed``: without a yes here there is no proof. ``ground``: without a yes here the
    other lines are about nothing."""

    says: str
    answer: Answer
    needed: bool = True
    ground: bool = False


def prove(
    before: Sequence[KnownCertificate],
    observation: Observation | None,
    removal_at: datetime | None,
    policy: RepairPolicy,
    issuers: Sequence[Certificate],
    identity: Identity,
    now: datetime,
    *,
    names: Sequence[str] = (),
    replaces: bool = True,
    mdm: Proof | None = None,
    grade: ProofGrade = ProofGrade.CERTIFICATE,
) -> Proved:
    """Given the marker certificates before a repair, an observation after it (None: there is none) and the aware moment
    of the removal (of the asking for an install where nothing was removed), say what is proved.

    ``issuers`` are certificates of this org's CA; without any, a line says that the issuer was not checked, and that
    alone does not stand in the way: whether they are set is the site's choice (docs/settings.md). ``identity`` and
    ``names`` are the device's. ``replaces``: what was there before has to be gone. ``mdm`` is what ``mdm_proof`` said;
    with ``grade`` ``command`` its yes is enough where the device shows nothing against it. Grade ``mdm`` asks for as
    much as ``certificate``.
    """
    lines: list[_Line] = []
    new: Certificate | None = None
    left: tuple[str, ...] = ()
    if observation is None:
        lines.append(_Line("the device gave no answer about its certificates", Answer.UNKNOWN))
    else:
        held = holding(observation)
        left = leftovers(before, held) if replaces else ()
        found = [one for one in held.marked if one.certificate.sha256 not in {old.sha256 for old in before}]
        lines += _answer_of_device(observation, held, identity)
        if replaces:
            lines.append(_old_gone(before, left))
        lines.append(_one_new(found, observation, held))
        if len(found) == 1:
            new = found[0].certificate
            lines += _new_serial_and_key(new, before)
            lines.append(_issued_since(new, removal_at, policy))
            lines += _usable(found[0], now)
            lines.append(_issuer(found[0], issuers))
            lines.append(_of_this_device(new, identity, (*names, observation.name)))
    return Proved(_verdict(lines, mdm, grade), _proofs(lines, mdm), new, left)


def prove_removed(
    remove: Sequence[str],
    observation: Observation | None,
    identity: Identity,
    now: datetime,
    issuers: Sequence[Certificate] = (),
) -> Proved:
    """Given the SHA-256 of leftovers that were to be deleted, say whether they are gone and a usable one is left."""
    if observation is None:
        line = _Line("the device gave no answer about its certificates", Answer.UNKNOWN)
        return Proved(Answer.UNKNOWN, _proofs([line], None), None, ())
    held = holding(observation)
    left = tuple(sorted({one.certificate.sha256 for one in held.marked} & set(remove)))
    kept = [one for one in held.marked if one.certificate.sha256 not in remove and one.usable(now)]
    lines = [*_answer_of_device(observation, held, identity)]
    gone = f"{len(remove)} leftover certificate(s) are gone"
    lines.append(_Line(f"still there: {_list(left)}", Answer.NO) if left else _Line(gone, Answer.YES))
    if not kept:
        lines.append(_Line("no usable certificate with the marker is there", Answer.NO))
    else:
        newest = max(kept, key=lambda one: one.certificate.not_before)
        lines.append(_Line(f"the usable one stays: serial number {newest.certificate.serial_number}", Answer.YES))
        lines.append(_private_key(newest))
        lines.append(_issuer(newest, issuers))
    return Proved(_verdict(lines, None, ProofGrade.CERTIFICATE), _proofs(lines, None), None, left)


def mdm_proof(record: MdmDevice | None, since: datetime | None) -> Proof:
    """Given the MDM's record, say whether it saw the profile's install acknowledged since that moment."""
    if record is None:
        return Proof("mdm", "the MDM's record was not read", Answer.UNKNOWN)
    if record.profile_installed is False:
        return Proof("mdm", "the MDM says that the profile is not installed", Answer.NO)
    if record.installed_at is None:
        return Proof("mdm", "the MDM does not say when the profile was installed", Answer.UNKNOWN)
    at = f"the device acknowledged the profile's install at {rfc3339(record.installed_at)}"
    if since is not None and record.installed_at < since:
        return Proof("mdm", f"{at}: that was before the removal", Answer.UNKNOWN)
    return Proof("mdm", at, Answer.YES)


# --- lines --------------------------------------------------------------------------------------------------------


def _answer_of_device(observation: Observation, held: Holding, identity: Identity) -> Iterator[_Line]:
    """Without its canary a listing is no answer, and one of another device is none about this one."""
    other = another_device(identity, observation.identity)
    if other:
        yield _Line(other, Answer.UNKNOWN, ground=True)
    if held.unreadable:
        yield _Line(f"{held.unreadable} certificate(s) could not be read", Answer.UNKNOWN, ground=True)
    if observation.complete:
        yield _Line("the computer's store was listed whole", Answer.YES, ground=True)
    else:
        problems = f": {'; '.join(map(visible, observation.problems[:3]))}" if observation.problems else ""
        says = f"the computer's store was not listed whole, so it is no answer{problems}"
        yield _Line(says, Answer.UNKNOWN, ground=True)


def _old_gone(before: Sequence[KnownCertificate], left: Sequence[str]) -> _Line:
    if left:
        return _Line(f"still there from before: {_list(left)}", Answer.NO)
    return _Line(f"what was there before is gone ({len(before)} certificate(s))", Answer.YES)


def _one_new(found: Sequence[Held], observation: Observation, held: Holding) -> _Line:
    if len(found) == 1:
        return _Line(f"one new certificate with the marker: SHA-256 {found[0].certificate.sha256}", Answer.YES)
    if found:
        numbers = serial_numbers([one.certificate for one in found])
        return _Line(f"several are new ({numbers}): which is the device's cannot be told", Answer.UNKNOWN)
    elsewhere = sum(1 for one in observation.certificates if one.store.startswith(_PERSONAL))
    note = f"; {elsewhere} in a person's own store do not count" if elsewhere else ""
    unmarked = f"; {len(held.others)} without the marker do not count" if held.others else ""
    # The profile may be there before the CA has answered: a new one may still come.
    return _Line(f"no new certificate with the marker yet{note}{unmarked}", Answer.UNKNOWN)


def _new_serial_and_key(new: Certificate, before: Sequence[KnownCertificate]) -> Iterator[_Line]:
    if new.serial_number in {one.serial_number for one in before}:
        yield _Line(f"serial number {new.serial_number} was there before", Answer.NO)
    elif new.public_key_sha256 in {one.public_key_sha256 for one in before}:
        yield _Line("its public key was there before: renewed with the old key, not issued anew", Answer.NO)
    else:
        yield _Line(f"serial number {new.serial_number} and its public key were not there before", Answer.YES)


def _issued_since(new: Certificate, removal_at: datetime | None, policy: RepairPolicy) -> _Line:
    if removal_at is None:
        return _Line("when the old one was removed is not known", Answer.UNKNOWN)
    starts, backdating = rfc3339(new.not_before), timedelta(minutes=policy.backdating_minutes)
    if new.not_before < removal_at - backdating:
        return _Line(f"valid from {starts}: issued before the removal at {rfc3339(removal_at)}", Answer.NO)
    return _Line(f"valid from {starts}: issued since the removal at {rfc3339(removal_at)}", Answer.YES)


def _usable(one: Held, now: datetime) -> Iterator[_Line]:
    """Validity, usage and key, as the rule for certificates judges them."""
    certificate = one.certificate
    found = {finding.code: finding.message for finding in judge(certificate, now).findings}
    if "expired" in found:
        yield _Line(found["expired"], Answer.NO)
    elif certificate.not_before > now + CLOCK_TOLERANCE:
        yield _Line(f"{found['not-yet-valid']}: is a clock wrong?", Answer.UNKNOWN)
    else:
        yield _Line(f"valid until {rfc3339(certificate.not_after)}", Answer.YES)
    wrong = [found[code] for code in _USAGE_CODES if code in found]
    if wrong:
        yield _Line("; ".join(wrong), Answer.NO)
    else:
        yield _Line("its key may sign and authenticate a client", Answer.YES)
    yield _private_key(one)


def _private_key(one: Held) -> _Line:
    if one.stored.private_key is None:
        return _Line("whether its private key is there was not seen", Answer.UNKNOWN)
    if one.stored.private_key:
        return _Line("its private key is there", Answer.YES)
    return _Line("its private key is not there", Answer.NO)


def _issuer(one: Held, issuers: Sequence[Certificate]) -> _Line:
    certificate = one.certificate
    if certificate.self_signed:
        return _Line("it signed itself: no CA issued it", Answer.NO)
    if not issuers:
        return _Line("not checked: no issuer certificate is set", Answer.UNKNOWN, needed=False)
    if one.stored.told:
        return _told_issuer(certificate, issuers)
    signed = [signed_with_key_of(certificate, issuer) for issuer in issuers]
    if True in signed:
        return _Line("signed with the key of this org's CA", Answer.YES)
    if None in signed:
        return _Line("its signature is of a kind that cannot be verified here", Answer.UNKNOWN)
    return _Line(f"not signed with the key of this org's CA: its issuer is {certificate.issuer}", Answer.NO)


def _told_issuer(certificate: Certificate, issuers: Sequence[Certificate]) -> _Line:
    """Without the certificate's bytes there is no signature to verify."""
    told = "as the device told; the signature was not verified here"
    named = names_key_of(certificate, issuers)
    if named is None:
        return _Line(f"it, or this org's CA, has no key id to compare, {told}", Answer.UNKNOWN)
    if named:
        return _Line(f"its authority key id is that of this org's CA, {told}", Answer.YES)
    return _Line(f"its authority key id is not that of this org's CA, {told}", Answer.NO)


def _of_this_device(certificate: Certificate, identity: Identity, names: Sequence[str]) -> _Line:
    """A subject may have any form, so a missing name proves nothing; the name of another device does."""
    own = [
        name.strip()
        for name in (identity.serial_number, identity.hardware_uuid, identity.mdm_id, *names)
        if len(name.strip()) >= _NAME_LENGTH
    ]
    if own and names_device(certificate, own):
        return _Line("it names this device", Answer.YES)
    other = _other_name(certificate, own)
    if other:
        return _Line(f"it names another device: {visible(other)}", Answer.NO)
    return _Line("it names no device: the subject may have any form", Answer.UNKNOWN, needed=False)


def _other_name(certificate: Certificate, own: Sequence[str]) -> str:
    """Return what in a certificate's names is a device's and not this one's: a UUID, a serial number, mac-043."""
    text = "\n".join((certificate.subject, *certificate.common_names, *certificate.alternative_names))
    # Fleets number their devices: what differs from an own name in its digits only is a name of another.
    numbered = [re.sub(r"\\?\d+", r"\\d+", re.escape(name)) for name in own if re.search(r"\d", name)]
    siblings = [re.compile(rf"(?<![\w-]){pattern}(?![\w-])", re.IGNORECASE) for pattern in numbered]
    found = (pattern.search(text) for pattern in (_UUID, _SERIAL, *siblings))
    return next((one[0] for one in found if one), "")


# --- verdict ------------------------------------------------------------------------------------------------------


def _verdict(lines: Sequence[_Line], mdm: Proof | None, grade: ProofGrade) -> Answer:
    """What is no answer proves nothing, for or against; else one no is enough, and each needed yes is needed."""
    against = any(line.answer is Answer.NO for line in lines)
    if all(line.answer is Answer.YES for line in lines if line.ground):
        if against:
            return Answer.NO
        if all(line.answer is Answer.YES for line in lines if line.needed):
            return Answer.YES
    acknowledged = mdm is not None and mdm.proved is Answer.YES
    return Answer.YES if grade is ProofGrade.COMMAND and acknowledged and not against else Answer.UNKNOWN


def _proofs(lines: Sequence[_Line], mdm: Proof | None) -> tuple[Proof, ...]:
    return (*(Proof("device", line.says, line.answer) for line in lines), *([mdm] if mdm else []))


def _list(words: Sequence[str]) -> str:
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return ", ".join(words[:5]) + more
