"""What to ask next when the evidence names no fault: the missing facts, the faults still possible, and why."""

from __future__ import annotations

from dataclasses import dataclass

from scepfix.domain.diagnosis import Alternative
from scepfix.domain.fault import Symptom
from scepfix.rules.signs import Signs

ASK_SYMPTOM = (
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
    "registration: an Okta event device.desktop_mfa.recovery_pin.rotate_secret of this person and device after that"
)
_ASK_CERTIFICATE = "certificates: a listing of the System keychain or of Cert:\\LocalMachine\\My"
_NOT_YET = Alternative("not-registered-yet", _ASK_REGISTRATION)


@dataclass(frozen=True, slots=True)
class Questions:
    """``missing`` facts in the order in which to get them, ``rivals`` still possible, and the ``reason``."""

    reason: str
    missing: tuple[str, ...]
    rivals: tuple[Alternative, ...] = ()


def ask_org(signs: Signs) -> tuple[str, ...]:
    """Return the questions about the org and the admin that nothing answers yet."""
    return tuple(text for text, says in _ASK_ORG if not signs.says(says))


def admin_side_rivals(signs: Signs) -> tuple[Alternative, ...]:
    """Return the faults on the admin's side that nothing rules out yet."""
    rivals = {
        "okta.pin-setting": Alternative(
            "recovery-pin-disabled", "whether a super admin sees the option: if the setting is off, nobody does"
        ),
        "okta.admin-may-generate": Alternative(
            "admin-permission-missing", "whether a super, org or help desk admin can do it"
        ),
    }
    return tuple(rival for says, rival in rivals.items() if not signs.says(says))


def open_questions(signs: Signs, symptom: Symptom | None, *, any_evidence: bool) -> Questions:
    """Given the signs, the symptom and whether anything was found at all, return what to ask."""
    if symptom is Symptom.OPTION_NOT_THERE:
        return Questions(
            "The option is not there: that is a setting or a permission, and no device shows which.",
            ask_org(signs),
            admin_side_rivals(signs),
        )
    if signs.stale is not None:
        return Questions(
            "The last error is older than the present certificate or registration: it no longer says anything.",
            (_ASK_REGISTRATION,),
            (_NOT_YET,),
        )
    if signs.contradictions:
        return Questions(
            f"The evidence contradicts itself: {signs.contradictions[0]}.",
            (f"time: {signs.contradictions[0]}", _ASK_LOG),
            (
                Alternative("certificate-key-unusable", "whether the daemon can use the certificate's private key"),
                Alternative("certificate-missing", "a listing of the keychain or store from after the error"),
            ),
        )
    last = signs.attempts.last.says if signs.attempts.last else ""
    if last == "log.attempt":
        return Questions(
            "The last registration attempt has no result in what was read.",
            (_ASK_LOG, _ASK_REGISTRATION),
            (_NOT_YET, Alternative("certificate-missing", "the lines after this attempt: is there an error")),
        )
    if last == "log.registration-failed":
        return Questions(
            "Registration failed with a text that scepfix does not know.",
            ("text: the whole line of the failed registration, and the Okta System Log of that time",),
        )
    if signs.says("keychain.unreadable"):
        return Questions(
            "The listing is no answer: it lacks the certificates that every System keychain has.",
            ("certificates: list the System keychain again, as root: this one lacks what every Mac has",),
        )
    if signs.says("certificate.usable"):
        return Questions(
            "The certificate is fine; whether the device registered for recovery is not known.",
            (_ASK_LOG, _ASK_REGISTRATION, *ask_org(signs)),
            (_NOT_YET,),
        )
    return Questions(
        "Nothing that was read says why." if any_evidence else "No known line, certificate or profile was found.",
        (_ASK_LOG, _ASK_CERTIFICATE, _ASK_REGISTRATION, *ask_org(signs)),
        (_NOT_YET,),
    )
