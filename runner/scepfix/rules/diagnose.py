"""From evidence to diagnosis: which fault to repair first, how sure, and when not to name one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scepfix.domain.diagnosis import Alternative, Answer, Diagnosis, Standing, Verdict
from scepfix.domain.evidence import ADMIN_PREREQUISITES, Evidence, Witness
from scepfix.domain.fault import ADMIN_SIDE, Catalogue, PlaybookChoice, Symptom
from scepfix.rules.questions import ASK_SYMPTOM, admin_side_rivals, ask_org, open_questions
from scepfix.rules.shown import Shown, shown_faults
from scepfix.rules.signs import Signs, draw_signs
from scepfix.rules.steps import GENERATE, Circumstances, checks_by_hand, steps_of_fault, steps_to_find_out
from scepfix.rules.whom import about_person, stated_symptom

#: The recovery secret rotates about every seven days (System Log, device.desktop_mfa.recovery_pin.rotate_secret).
_REGISTRATION_HOLDS = timedelta(days=8)
_CLOCKS_DIFFER = timedelta(minutes=5)
_STALE = "an error is stale: a newer certificate or registration came after it, so it starts nothing"
#: Evidence worth showing although it names no fault.
_TELLING = frozenset({"log.attempt", "log.registration-failed", "keychain.unreadable"})
_HEALTH = frozenset({"okta.registered", "certificate.usable", "okta.enrolled", "okta.device-active"})


@dataclass(frozen=True, slots=True)
class _Case:
    """One person on one device at one moment: everything the answer is made from."""

    evidence: Sequence[Evidence]
    signs: Signs
    shown: Sequence[Shown]
    symptom: Symptom | None
    catalogue: Catalogue
    circumstances: Circumstances
    now: datetime
    notes: tuple[str, ...]

    @property
    def registration_holds(self) -> bool:
        """Did the device register so lately that its recovery secret should still be good?"""
        registered = self.signs.registered
        if registered is None or registered.observed_at is None:
            return False
        if registered.says == "okta.registered" and registered.witness is Witness.TICKET:
            return False
        return -_CLOCKS_DIFFER <= self.now - registered.observed_at <= _REGISTRATION_HOLDS


def diagnose(
    evidence: Sequence[Evidence], catalogue: Catalogue, now: datetime, circumstances: Circumstances
) -> Diagnosis:
    """Given the evidence about one person on one device, the catalogue and an aware moment, return the diagnosis."""
    evidence, notes, asks = about_person(evidence, circumstances.person)
    symptom, conflict = stated_symptom(evidence, circumstances.symptom)
    signs = draw_signs(evidence, now)
    contradictions = (*signs.contradictions, *([conflict] if conflict else []))
    notes = (*notes, *signs.notes, *contradictions, *([_STALE] if signs.stale is not None else []))
    case = _Case(
        evidence=evidence,
        signs=signs,
        shown=[one for one in shown_faults(catalogue, signs) if _allowed(one, symptom)],
        symptom=symptom,
        catalogue=catalogue,
        circumstances=circumstances,
        now=now,
        notes=notes,
    )
    chosen = _first_to_repair(case)
    if chosen is not None:
        diagnosis = _of_fault(case, chosen)
    elif _registered(case) and not contradictions:
        diagnosis = _healthy(case)
    else:
        diagnosis = _undetermined(case)
    return replace(
        diagnosis,
        missing=(*([] if symptom else [ASK_SYMPTOM]), *asks, *diagnosis.missing),
        ways_in=() if diagnosis.pin_possible_now is Answer.YES else circumstances.ways_in,
    )


def most_severe(diagnoses: Sequence[Diagnosis], catalogue: Catalogue) -> Diagnosis:
    """Given diagnoses, return the one to look at first: the surest fault, then what is undetermined, then health."""
    order = [fault.id for fault in catalogue.faults]
    standings = list(Standing)

    def rank(found: Diagnosis) -> tuple[int, int, int]:
        if found.fault is None or found.standing is None:
            return (1 if found.verdict is Verdict.UNDETERMINED else 2), 0, 0
        return 0, standings.index(found.standing), order.index(found.fault)

    return min(diagnoses, key=rank)


def _allowed(one: Shown, symptom: Symptom | None) -> bool:
    """*The option is not there* never looks at a device; what an org's owner says of it holds whatever the symptom."""
    if symptom is Symptom.OPTION_NOT_THERE and not _on_the_admin_side(one):
        return False
    return symptom in (None, *one.fault.symptoms) or one.on_the_admin_side


def _on_the_admin_side(one: Shown) -> bool:
    """Of the prerequisites, most are a device's or a person's."""
    unmet = [sign.facts.get("id") for sign in one.own if sign.says == "prerequisite.unmet"]
    return not unmet or any(found in ADMIN_PREREQUISITES for found in unmet)


def _first_to_repair(case: _Case) -> Shown | None:
    """Return the first sure fault; a mere hint only where nothing speaks against it."""
    signs = case.signs
    sure = [one for one in case.shown if not one.weak]
    if sure:
        return sure[0]
    last = signs.attempts.last
    open_end = last is not None and (signs.attempts.error is None or bool(signs.contradictions))
    if not case.shown or open_end or signs.stale is not None or case.registration_holds:
        return None
    return case.shown[0]


def _of_fault(case: _Case, chosen: Shown) -> Diagnosis:
    fault, signs = chosen.fault, case.signs
    others = [one for one in case.shown if one is not chosen]
    also = tuple(one.fault.id for one in others if not one.weak)
    choices = (choice.playbook for choice in fault.playbook_when if _holds(choice, signs))
    evidence = {id(item): item for one in (chosen, *others) for item in one.evidence}
    return Diagnosis(
        verdict=Verdict.FAULT,
        fault=fault.id,
        standing=chosen.standing,
        stale=signs.stale is not None,
        pin_possible_now=_pin_under(case, chosen),
        reason=f"{fault.title}. {fault.meaning}",
        evidence=tuple(evidence.values()),
        also=also,
        rivals=_rivals(case, chosen, also),
        missing=tuple(wanted.text for wanted in fault.wants if not signs.says(*wanted.says)),
        notes=case.notes,
        playbook=next(choices, fault.playbook),
        next_steps=steps_of_fault(chosen, case.circumstances),
        device=case.circumstances.device,
        checks=checks_by_hand(case.catalogue, signs, None) if fault.by_hand else (),
    )


def _holds(choice: PlaybookChoice, signs: Signs) -> bool:
    """To touch a device asks for the word of each fact's owner; to leave it alone, anybody's is enough."""
    by_owner = choice.playbook != "report"
    return all(signs.meets(condition, by_owner=by_owner) for condition in choice.when)


def _rivals(case: _Case, chosen: Shown, also: Sequence[str]) -> tuple[Alternative, ...]:
    rivals = [
        Alternative(rival.fault, rival.separated_by)
        for rival in chosen.fault.rivals
        if rival.fault not in also and not any(case.signs.meets(one) for one in rival.ruled_out_by)
    ]
    named = {chosen.fault.id, *(rival.fault for rival in rivals)}
    hints = [one.fault.id for one in case.shown if one.weak and one.fault.id not in named]
    return (*rivals, *(Alternative(hint, "stronger evidence of it: so far there is only a hint") for hint in hints))


def _pin_under(case: _Case, chosen: Shown) -> Answer:
    sure = [one for one in case.shown if not one.weak]
    if case.symptom is not None and chosen in sure:
        return Answer.NO
    blocking = [one for one in sure if one.fault.blocks_pin or one.followed_by]
    if not blocking:
        return Answer.UNKNOWN
    # A device that registered lately may still hand out a PIN although its certificate has since gone bad.
    admin_side = any(Symptom.OPTION_NOT_THERE in one.fault.symptoms for one in blocking)
    return Answer.UNKNOWN if case.registration_holds and not admin_side else Answer.NO


def _registered(case: _Case) -> bool:
    """Did the device register, and nothing that counts came after? *The option is not there* is no device's matter."""
    signs = case.signs
    if (
        case.symptom is Symptom.OPTION_NOT_THERE
        or signs.registered is None
        or signs.says("log.device-not-registered", "device.offline")
    ):
        return False
    last, moment = signs.attempts.last, signs.registered.observed_at
    if last is None or last is signs.registered or last.says == "log.registered":
        return True
    return last.observed_at is not None and moment is not None and last.observed_at <= moment


def _healthy(case: _Case) -> Diagnosis:
    registered = case.signs.registered
    # Generating fails now although the device registered: unless that was before, the cause is on the admin's side.
    fails_now = case.symptom is not None and case.signs.stale is None
    rivals = admin_side_rivals(case.signs) if fails_now else ()
    answer = Answer.YES if case.registration_holds and not fails_now else Answer.UNKNOWN
    evidence = tuple(item for sign in case.signs.signs if sign.says in _HEALTH for item in sign.evidence)
    by_okta = registered is not None and registered.witness is Witness.OKTA
    online = () if case.registration_holds else ("online: was the device online within the last 7 days?",)
    return Diagnosis(
        verdict=Verdict.HEALTHY,
        fault=None,
        standing=Standing.CONFIRMED if by_okta or len({item.witness for item in evidence}) > 1 else Standing.LIKELY,
        stale=case.signs.stale is not None,
        pin_possible_now=answer,
        reason="The device registered for recovery, and nothing after that speaks against it.",
        evidence=evidence,
        also=(),
        rivals=rivals,
        missing=(*online, *ask_org(case.signs)),
        notes=case.notes,
        playbook=None,
        next_steps=(GENERATE,),
        device=case.circumstances.device,
        checks=case.catalogue.by_hand.get(ADMIN_SIDE, ()) if fails_now else (),
    )


def _undetermined(case: _Case) -> Diagnosis:
    signs = case.signs
    also = tuple(one.fault.id for one in case.shown if not one.weak)
    questions = open_questions(signs, case.symptom, any_evidence=bool(case.evidence))
    evidence = {id(item): item for one in case.shown for item in one.evidence}
    for item in case.evidence if case.symptom is not Symptom.OPTION_NOT_THERE else ():
        decisive = item is signs.stale or item is signs.attempts.last
        if decisive or item.says in _TELLING or item.says.startswith("keychain."):
            evidence.setdefault(id(item), item)
    return Diagnosis(
        verdict=Verdict.UNDETERMINED,
        fault=None,
        standing=None,
        stale=signs.stale is not None,
        pin_possible_now=Answer.UNKNOWN,
        reason=questions.reason,
        evidence=tuple(evidence.values()),
        also=also,
        rivals=tuple(rival for rival in questions.rivals if rival.fault not in also),
        missing=questions.missing,
        notes=case.notes,
        playbook=None,
        next_steps=steps_to_find_out(questions.missing, case.symptom),
        device=case.circumstances.device,
        checks=checks_by_hand(case.catalogue, signs, case.symptom),
    )
