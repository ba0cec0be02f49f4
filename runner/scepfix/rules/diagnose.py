"""From evidence to diagnosis: match the signs against the catalogue, weigh the witnesses, and know when not to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from scepfix.domain.diagnosis import Alternative, Answer, Diagnosis, Standing, Verdict
from scepfix.domain.evidence import PREREQUISITES, SAYS, Evidence, Witness
from scepfix.domain.fault import Catalogue, Fault, Platform, Symptom, meets
from scepfix.rules.signs import Sign, Signs, draw_signs
from scepfix.rules.wording import render_steps

#: The recovery secret rotates about every seven days (System Log, device.desktop_mfa.recovery_pin.rotate_secret).
_REGISTRATION_HOLDS = timedelta(days=8)
#: A certificate's own word is enough about these (with a complete listing where one is needed).
_CERTIFICATE_OWNS = frozenset({"certificate.expired", "certificate.wrong-org"})
_ASK_SYMPTOM = (
    "symptom: does generating the PIN fail, or is the option not there? (--symptom generating-fails | option-not-there)"
)
_ASK_ORG = (
    ("setting: is Enable Device Recovery PIN for Desktop MFA on? (Security > General)", "okta.pin-setting"),
    (
        "permission: may this admin generate a PIN for this person and device? (roles, permissions, resource sets)",
        "okta.admin-may-generate",
    ),
)
_ASK_LOG = "device log: the lines of the last sign-in (macOS: /var/log/com.okta.deviceaccess/OktaDeviceAccess.log)"
_ASK_REGISTRATION = (
    "registration: an Okta event recovery_pin.rotate_secret of this person and device, after the sign-in"
)
_ASK_CERTIFICATE = "certificates: a listing of the System keychain or of Cert:\\LocalMachine\\My"


_GENERATE = (
    "Generate the PIN: Directory > Devices > the device > Device Recovery > View Recovery PIN > "
    "Generate device recovery PIN. It must be used within two minutes."
)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who asks about whom. ``ways_in`` are the site's own ways in while no PIN can be had."""

    person: str | None = None
    admin: str | None = None
    device: str | None = None
    symptom: Symptom | None = None
    ways_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """A fault that shows, the signs that show it and those of faults it explains."""

    fault: Fault
    own: tuple[Sign, ...]
    weak: bool
    explained: tuple[Sign, ...] = ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        unique: dict[int, Evidence] = {}
        for sign in (*self.own, *self.explained):
            for item in sign.evidence:
                unique.setdefault(id(item), item)
        return tuple(unique.values())

    @property
    def standing(self) -> Standing:
        if self.weak:
            return Standing.POSSIBLE
        if any(_owner_says(sign) for sign in self.own) or len({item.witness for item in self.evidence}) > 1:
            return Standing.CONFIRMED
        return Standing.LIKELY


def _owner_says(sign: Sign) -> bool:
    if sign.says in _CERTIFICATE_OWNS:
        return True
    return any(item.says in SAYS and SAYS[item.says].owner == item.witness for item in sign.evidence)


def diagnose(
    evidence: Sequence[Evidence], catalogue: Catalogue, now: datetime, circumstances: Circumstances
) -> Diagnosis:
    """Given the evidence about one person on one device, the catalogue and an aware moment, return the diagnosis."""
    evidence, notes, asks = _about(evidence, circumstances.person)
    symptom, conflict = _symptom(evidence, circumstances.symptom)
    signs = draw_signs(evidence, now)
    found = _explained(_match(catalogue, signs))
    relevant = [one for one in found if symptom is None or symptom in one.fault.symptoms or _org_fact(one)]
    strong = [one for one in relevant if not one.weak]
    contradictions = (*signs.contradictions, *([conflict] if conflict else []))
    chosen = _chosen(strong, relevant, signs, symptom)
    notes = (*notes, *signs.notes, *contradictions)
    if signs.stale is not None:
        notes = (*notes, "an error is stale: a newer certificate or registration came after it, so it starts nothing")
    if chosen is not None:
        diagnosis = _of_fault(chosen, found, signs, catalogue, circumstances, symptom, notes, now)
    elif signs.registered is not None and not contradictions and signs.attempts.error in (None, signs.stale):
        diagnosis = _healthy(signs, circumstances, symptom, notes, now)
    else:
        diagnosis = _undetermined(found, signs, evidence, catalogue, circumstances, symptom, notes)
    asked = diagnosis.missing if symptom is None else ()
    return replace(
        diagnosis,
        missing=(*asked[:1], *asks, *diagnosis.missing[len(asked[:1]) :]),
        ways_in=() if diagnosis.pin_possible_now is Answer.YES else circumstances.ways_in,
    )


#: Facts of an org, an admin or a ticket: they hold for every device that the input speaks of.
_SHARED = frozenset(
    {
        "okta.pin-setting",
        "okta.admin-may-generate",
        "ticket.symptom",
        "prerequisite.unmet",
        "okta.unavailable",
        "okta.secret-reset",
    }
)


def sort_by_device(evidence: Sequence[Evidence]) -> list[tuple[str | None, list[Evidence]]]:
    """Given evidence, return (device, its evidence) for each device it names (``facts.device``).

    With one device named, all of it is about that one. With several, what names none and is no fact of the whole
    org stands by itself: whose it is would be a guess.
    """
    named: dict[str, list[Evidence]] = {}
    for item in evidence:
        device = item.facts.get("device")
        if isinstance(device, str) and device:
            named.setdefault(device, []).append(item)
    if len(named) < 2:
        return [(next(iter(named), None), list(evidence))]
    rest = [item for item in evidence if not item.facts.get("device")]
    shared = [item for item in rest if item.says in _SHARED]
    alone = [item for item in rest if item.says not in _SHARED]
    sorted_out: list[tuple[str | None, list[Evidence]]] = [(name, [*items, *shared]) for name, items in named.items()]
    return [*sorted_out, *([(None, [*alone, *shared])] if alone else [])]


def most_severe(diagnoses: Sequence[Diagnosis], catalogue: Catalogue) -> Diagnosis:
    """Given diagnoses, return the one to look at first: the surest fault, then what is undetermined, then health."""
    order = [fault.id for fault in catalogue.faults]
    standings = list(Standing)

    def rank(found: Diagnosis) -> tuple[int, int, int]:
        if found.fault is None or found.standing is None:
            return (1 if found.verdict is Verdict.UNDETERMINED else 2), 0, 0
        return 0, standings.index(found.standing), order.index(found.fault)

    return min(diagnoses, key=rank)


def _about(evidence: Sequence[Evidence], person: str | None) -> tuple[list[Evidence], tuple[str, ...], tuple[str, ...]]:
    """Return the evidence about this person, notes, and the question whom it is about where that is open."""
    people = {str(item.facts["person"]) for item in evidence if item.facts.get("person")}
    if person is None and len(people) < 2:
        return list(evidence), (), ()
    wanted = (person or "").casefold()
    mine = [item for item in evidence if str(item.facts.get("person") or wanted).casefold() == wanted]
    left_out = len(evidence) - len(mine)
    notes = (f"{left_out} pieces of evidence are about other people and were left out",) if left_out else ()
    asks = (f"person: whom is this about (--user)? It speaks of {', '.join(sorted(people)[:5])}",) if not person else ()
    return mine, notes, asks


def _symptom(evidence: Sequence[Evidence], stated: Symptom | None) -> tuple[Symptom | None, str]:
    seen = {str(item.facts.get("symptom")) for item in evidence if item.says == "ticket.symptom"}
    known = {symptom for symptom in Symptom if symptom.value in seen} | ({stated} if stated else set())
    if stated is None and len(known) > 1:
        return None, "the symptom is stated in two ways: generating fails, and the option is not there"
    return stated or next(iter(known), None), ""


def _match(catalogue: Catalogue, signs: Signs) -> list[_Found]:
    found: list[_Found] = []
    for fault in catalogue.faults:
        strong: list[Sign] = []
        weak: list[Sign] = []
        for sign in signs.signs:
            shown = [way for way in fault.signs if meets(way.condition, sign.says, sign.facts)]
            if shown:
                (weak if all(way.weak for way in shown) else strong).append(sign)
        if strong or weak:
            found.append(_Found(fault, tuple(strong + weak), weak=not strong))
    return found


def _explained(found: Sequence[_Found]) -> list[_Found]:
    """Drop faults that are only consequences of a stronger one; their signs stay, as its support."""
    result: list[_Found] = []
    for one in found:
        causes = [
            other
            for other in found
            if one.fault.id in other.fault.explains and (not other.weak or one.weak) and other is not one
        ]
        if causes:
            continue
        support = tuple(
            sign for other in found if other.fault.id in one.fault.explains and not one.weak for sign in other.own
        )
        result.append(_Found(one.fault, one.own, one.weak, support))
    return result


def _org_fact(one: _Found) -> bool:
    """What the owner of an org's setting says holds whatever the symptom."""
    return any(_owner_says(sign) for sign in one.own) and Symptom.OPTION_NOT_THERE in one.fault.symptoms


def _chosen(
    strong: Sequence[_Found], relevant: Sequence[_Found], signs: Signs, symptom: Symptom | None
) -> _Found | None:
    if strong:
        return strong[0]
    last = signs.attempts.last
    open_end = last is not None and (last.says not in ("log.no-certificate", "log.rejected") or signs.contradictions)
    if not relevant or signs.stale is not None or open_end or signs.registered is not None:
        return None
    return relevant[0]


def _of_fault(
    chosen: _Found,
    found: Sequence[_Found],
    signs: Signs,
    catalogue: Catalogue,
    circumstances: Circumstances,
    symptom: Symptom | None,
    notes: tuple[str, ...],
    now: datetime,
) -> Diagnosis:
    fault, standing = chosen.fault, chosen.standing
    also = tuple(one.fault.id for one in found if one is not chosen and not one.weak)
    weak_others = [one.fault.id for one in found if one is not chosen and one.weak]
    playbook = next((choice.playbook for choice in fault.playbook_when if all(signs.any(c) for c in choice.when)), None)
    missing = [] if symptom else [_ASK_SYMPTOM]
    missing += [wanted.text for wanted in fault.wants if not signs.says(*wanted.says)]
    pin = _pin_under_fault(chosen, found, symptom, signs, now)
    return Diagnosis(
        verdict=Verdict.FAULT,
        fault=fault.id,
        standing=standing,
        stale=signs.stale is not None,
        pin_possible_now=pin,
        reason=f"{fault.title}. {fault.meaning}",
        evidence=(*chosen.evidence, *_rest(chosen, found)),
        also=also,
        rivals=_rivals(fault, also, weak_others, signs),
        missing=tuple(missing),
        notes=notes,
        playbook=playbook or fault.playbook,
        next_steps=_steps(chosen, catalogue, circumstances, signs),
        device=circumstances.device,
    )


def _rest(chosen: _Found, found: Sequence[_Found]) -> tuple[Evidence, ...]:
    mine = {id(item) for item in chosen.evidence}
    rest = {id(item): item for one in found if one is not chosen for item in one.evidence if id(item) not in mine}
    return tuple(rest.values())


def _rivals(fault: Fault, also: Sequence[str], weak_others: Sequence[str], signs: Signs) -> tuple[Alternative, ...]:
    rivals = tuple(
        Alternative(rival.fault, rival.separated_by)
        for rival in fault.rivals
        if rival.fault not in also and not signs.any(*rival.ruled_out_by)
    )
    named = {rival.fault for rival in rivals}
    hints = (Alternative(other, "stronger evidence of it: so far there is only a hint") for other in weak_others)
    return (*rivals, *(hint for hint in hints if hint.fault not in named))


def _pin_under_fault(
    chosen: _Found, found: Sequence[_Found], symptom: Symptom | None, signs: Signs, now: datetime
) -> Answer:
    if chosen.standing is not Standing.POSSIBLE and symptom is not None:
        return Answer.NO
    blocking = [
        one for one in found if one.standing is not Standing.POSSIBLE and (one.fault.blocks_pin or one.explained)
    ]
    if not blocking:
        return Answer.UNKNOWN
    # A device that registered lately may still hand out a PIN although its certificate has since gone bad.
    org = any(Symptom.OPTION_NOT_THERE in one.fault.symptoms for one in blocking)
    return Answer.UNKNOWN if _holds(signs.registered, now) and not org else Answer.NO


def _holds(registered: Evidence | None, now: datetime) -> bool:
    return (
        registered is not None
        and registered.observed_at is not None
        and (now - registered.observed_at <= _REGISTRATION_HOLDS)
    )


def _healthy(
    signs: Signs,
    circumstances: Circumstances,
    symptom: Symptom | None,
    notes: tuple[str, ...],
    now: datetime,
) -> Diagnosis:
    registered = signs.registered
    evidence = tuple(item for sign in signs.signs if sign.says in _HEALTH for item in sign.evidence)
    fresh = _holds(registered, now)
    owner = registered is not None and registered.witness is Witness.OKTA
    missing = [] if symptom else [_ASK_SYMPTOM]
    if not fresh:
        missing.append("online: was the device online within the last 7 days?")
    missing += [text for text, says in _ASK_ORG if not signs.says(says)]
    return Diagnosis(
        verdict=Verdict.HEALTHY,
        fault=None,
        standing=Standing.CONFIRMED if owner or len({item.witness for item in evidence}) > 1 else Standing.LIKELY,
        stale=signs.stale is not None,
        pin_possible_now=Answer.YES if fresh else Answer.UNKNOWN,
        reason="The device registered for recovery, and nothing after that speaks against it.",
        evidence=evidence,
        also=(),
        rivals=(),
        missing=tuple(missing),
        notes=notes,
        playbook=None,
        next_steps=(_GENERATE,),
        device=circumstances.device,
    )


_HEALTH = frozenset({"okta.registered", "certificate.usable", "okta.enrolled", "okta.device-active"})


def _undetermined(
    found: Sequence[_Found],
    signs: Signs,
    evidence: Sequence[Evidence],
    catalogue: Catalogue,
    circumstances: Circumstances,
    symptom: Symptom | None,
    notes: tuple[str, ...],
) -> Diagnosis:
    also = tuple(one.fault.id for one in found if not one.weak)
    missing, rivals, reason = _open_questions(signs, symptom, bool(evidence))
    rivals = tuple(rival for rival in rivals if catalogue.fault(rival.fault) and rival.fault not in also)
    shown = {"log.attempt", "log.registration-failed", "keychain.unreadable"}
    kept = {id(item): item for one in found for item in one.evidence}
    for item in evidence:
        if (
            item.says in shown
            or item is signs.stale
            or item is signs.attempts.last
            or item.says.startswith("keychain.")
        ):
            kept.setdefault(id(item), item)
    answer = Answer.NO if any(_org_fact(one) for one in found) else Answer.UNKNOWN
    return Diagnosis(
        verdict=Verdict.UNDETERMINED,
        fault=None,
        standing=None,
        stale=signs.stale is not None,
        pin_possible_now=answer,
        reason=reason,
        evidence=tuple(kept.values()),
        also=also,
        rivals=rivals,
        missing=tuple(([] if symptom else [_ASK_SYMPTOM]) + missing),
        notes=notes,
        playbook=None,
        next_steps=(
            "Get the first missing fact, and ask again.",
            *(f"Prerequisite of the recovery guide: {text}" for text in PREREQUISITES.values()),
            *_by_hand(catalogue, signs),
        ),
        device=circumstances.device,
    )


def _open_questions(
    signs: Signs, symptom: Symptom | None, any_evidence: bool
) -> tuple[list[str], tuple[Alternative, ...], str]:
    """Return what is missing, the faults still possible, and why there is no verdict."""
    ask_org = [text for text, says in _ASK_ORG if not signs.says(says)]
    if symptom is Symptom.OPTION_NOT_THERE:
        rivals = (
            Alternative(
                "recovery-pin-disabled", "whether a super admin sees the option: with the setting off nobody does"
            ),
            Alternative("admin-permission-missing", "whether another admin (super, org or help desk) sees the option"),
        )
        return ask_org, rivals, "The option is not there: that is a setting or a permission, and no device shows which."
    registered_yet = Alternative("not-registered-yet", _ASK_REGISTRATION)
    if signs.stale is not None:
        return (
            [_ASK_REGISTRATION],
            (registered_yet,),
            "The last error is older than the present certificate or registration: it no longer says anything.",
        )
    last = signs.attempts.last
    if signs.contradictions:
        rivals = (
            Alternative("certificate-key-unusable", "whether the daemon can use the certificate's private key"),
            Alternative(
                "certificate-missing", "a listing of the System keychain or computer store taken after the error"
            ),
        )
        return (
            [f"time: {signs.contradictions[0]}", _ASK_LOG],
            rivals,
            f"The evidence contradicts itself: {signs.contradictions[0]}.",
        )
    if last is not None and last.says == "log.attempt":
        rivals = (registered_yet, Alternative("certificate-missing", "the lines after this attempt: is there an error"))
        return [_ASK_LOG, _ASK_REGISTRATION], rivals, "The last registration attempt has no result in what was read."
    if last is not None and last.says == "log.registration-failed":
        return (
            ["text: the whole line of the failed registration, and the Okta System Log of that time"],
            (),
            "Registration failed with a text that scepfix does not know.",
        )
    if signs.says("keychain.unreadable"):
        return (
            ["certificates: list the System keychain again, as root: this one lacks what every Mac has"],
            (),
            "The listing is no answer: it lacks the certificates that every System keychain has.",
        )
    missing = [_ASK_LOG]
    if not signs.says("certificate.usable"):
        missing.append(_ASK_CERTIFICATE)
    missing += [_ASK_REGISTRATION, *ask_org]
    reason = "Nothing that was read says why." if any_evidence else "No known line, certificate or profile was found."
    if signs.says("certificate.usable"):
        reason = "The certificate is fine; whether the device registered for recovery is not known."
    return missing, (registered_yet,), reason


def _steps(chosen: _Found, catalogue: Catalogue, circumstances: Circumstances, signs: Signs) -> tuple[str, ...]:
    codes = [str(code) for sign in chosen.own for code in _list(sign.facts.get("codes"))]
    unmet = [str(sign.facts.get("id")) for sign in chosen.own if sign.says == "prerequisite.unmet"]
    values = {
        "person": circumstances.person or "the person",
        "admin": circumstances.admin or "this admin",
        "device": circumstances.device or "the device",
        "codes": f" ({', '.join(codes)})" if codes else "",
        "prerequisite": "; ".join(PREREQUISITES.get(one, one) for one in unmet),
    }
    steps = render_steps(chosen.fault.steps, values, where=f"fault {chosen.fault.id}")
    hands = _by_hand(catalogue, signs) if chosen.fault.by_hand else ()
    # What is not confirmed is looked at by hand before anybody repairs it.
    return (*steps, *hands) if chosen.standing is Standing.CONFIRMED else (*hands, *steps)


def _by_hand(catalogue: Catalogue, signs: Signs) -> tuple[str, ...]:
    platforms = {str(sign.facts.get("platform")) for sign in signs.signs}
    if signs.attempts.last is not None:
        platforms.add(str(signs.attempts.last.facts.get("platform")))
    known = [platform for platform in Platform if platform.value in platforms] or list(Platform)
    return tuple(check for platform in known for check in catalogue.by_hand.get(platform, ()))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
