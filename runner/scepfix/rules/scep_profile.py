"""Judges a SCEP profile: which of its settings keep Device Access from working, and which weaken it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import (
    ENCRYPTION,
    MDM_TYPE,
    SIGNING,
    Level,
    ProfileDocument,
    ProfileFinding,
    ProfileFormat,
    ProfileJudgement,
    ScepPayload,
    ScepProfile,
    Scope,
    Setting,
)
from scepfix.rules.trust_assignment import trust_findings

MINIMUM_KEY_BITS = 2048
_CLIENT_AUTH = frozenset({"1.3.6.1.5.5.7.3.2", "2.5.29.37.0"})

#: What an MDM replaces per device or person: ``%HardwareUUID%``, ``$UDID``, ``${udid}``, ``{{DeviceId}}`` and
#: Workspace ONE's ``{DeviceUid}``.
_VARIABLE = re.compile(r"%[A-Za-z_][\w.-]*%|\$\{?[A-Za-z_]\w*|\{\{[^{}]+\}\}|\{[A-Za-z][\w.]*\}")
_UUID = re.compile(
    r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32}"
    r"|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{16})(?![0-9A-Fa-f])"
)
_WORD = re.compile(r"[A-Za-z0-9]+")
_SERIAL = re.compile(r"[A-Z0-9]{7,14}")
_NAME_WITH_NUMBER = re.compile(r"[A-Z]{3,}[0-9]{1,4}")

_NO_PAYLOAD_PATH = {
    ProfileFormat.MOBILECONFIG: "PayloadContent",
    ProfileFormat.PROFILES_SHOW: "_computerlevel",
    ProfileFormat.INTUNE: "@odata.type",
    ProfileFormat.SYNCML: "LocURI",
}


def judge_profile(document: ProfileDocument) -> ProfileJudgement:
    """Given what one file held, return every finding and note about the SCEP payloads in it.

    Absent keys count with Apple's defaults on macOS; on Windows they are required. Settings that a platform does
    not have are not judged. Sources: Okta help "Use SCEP with Okta Device Access" and its pages per MDM, Apple
    com.apple.security.scep, Microsoft ClientCertificateInstall CSP.
    """
    judged = [
        (profile, payload)
        for profile in document.profiles
        for payload in profile.scep_payloads
        if not _is_mdm_identity(payload)
    ]
    findings: list[ProfileFinding] = []
    if not judged:
        findings.append(_no_scep_payload(document))
    for profile in document.profiles:
        payloads = [payload for owner, payload in judged if owner is profile]
        if payloads:
            findings += _profile_findings(profile)
            for payload in payloads:
                findings += _payload_findings(payload, profile.platform)
            findings += trust_findings(profile, document.trust_certificates)
    return ProfileJudgement(tuple(findings), tuple(_notes(document, [payload for _, payload in judged])))


def subject_is_unique(subject: str) -> bool:
    """Given a subject's text, say whether it differs per device: a variable, or a UUID or serial number in it.

    A serial number looks like 7 to 14 capital letters and digits with a digit among them (Apple 10 to 12, Dell 7,
    Lenovo 8, HP 10), except a word with a short number after it (``MACBOOK042``), which is somebody's counting.

    >>> [subject_is_unique(text) for text in ("CN=$UDID", "CN=C02XL0GTJGH5", "CN=mac-042", "CN=MACBOOK042")]
    [True, True, False, False]
    """
    if _VARIABLE.search(subject) or _UUID.search(subject):
        return True
    return any(
        _SERIAL.fullmatch(word) and any(letter.isdigit() for letter in word) and not _NAME_WITH_NUMBER.fullmatch(word)
        for part in re.split(r"[,+]", subject)
        for word in _WORD.findall(part.partition("=")[2])
    )


def _is_mdm_identity(payload: ScepPayload) -> bool:
    """The MDM's own identity, which its enrolment profile names: no setting of it concerns Device Access."""
    return MDM_TYPE in payload.used_by


def _no_scep_payload(document: ProfileDocument) -> ProfileFinding:
    types = sorted({kind for profile in document.profiles for kind in profile.other_types if kind})
    found = f"payloads of other types: {', '.join(types[:10])}" if types else "none"
    return ProfileFinding(
        "no-scep-payload",
        Level.BREAKS,
        _NO_PAYLOAD_PATH[document.format],
        "a SCEP payload",
        found,
        "No SCEP payload is in it, so the device never asks for the Device Access certificate.",
    )


def _profile_findings(profile: ScepProfile) -> Iterator[ProfileFinding]:
    for setting in profile.scopes:
        if setting.scope is Scope.USER:
            yield ProfileFinding(
                "user-scope",
                Level.BREAKS,
                setting.path,
                "the computer (device) level",
                setting.shown,
                "The certificate lands with one user; Device Access looks for it in the computer's store only.",
            )
    for path in profile.identity_preferences:
        # Hardening, not breaks: the first certificate works. The preference pins it, so that every renewal or repair
        # leaves the old one behind (fleetdm/fleet issue 42757), which is the fault certificate-leftover, not this one.
        yield ProfileFinding(
            "identity-preference",
            Level.HARDENING,
            path,
            "no identity preference beside the SCEP payload",
            "an identity preference payload",
            "It pins the certificate of today: after a renewal or repair the old one stays in the keychain.",
        )


def _payload_findings(payload: ScepPayload, platform: Platform) -> Iterator[ProfileFinding]:
    on_mac = platform is Platform.MACOS
    yield from _url_findings(payload)
    bits = payload.key_bits
    if bits.value is None or bits.value < MINIMUM_KEY_BITS:
        # Breaks: Okta's pages ask for 2048 for every MDM, and no source says that its CA signs less.
        yield ProfileFinding(
            "key-too-small",
            Level.BREAKS,
            bits.path,
            f"{MINIMUM_KEY_BITS} or more",
            _found(bits, "1024 (Apple's default, the key is not set)" if on_mac else "not set"),
            "The private key is shorter than the 2048 bits that Okta asks for.",
        )
    usages = payload.usages
    if usages.value is None or SIGNING not in usages.value:
        yield ProfileFinding(
            "no-signing-usage",
            Level.BREAKS,
            usages.path,
            "signing (digital signature)",
            _found(usages, "0 (Apple's default, the key is not set)" if on_mac else "not set"),
            "The key is not requested for signing, and Device Access signs with it.",
        )
    if payload.extractable is not None and payload.extractable.value is not False:
        yield ProfileFinding(
            "key-extractable",
            Level.HARDENING,
            payload.extractable.path,
            "false",
            _found(payload.extractable, "true (Apple's default, the key is not set)"),
            "The private key can be exported from the keychain and used on another computer.",
        )
    if payload.all_apps is not None and payload.all_apps.value is not True:
        yield ProfileFinding(
            "all-apps-access-off",
            Level.BREAKS,
            payload.all_apps.path,
            "true",
            _found(payload.all_apps, "false (Apple's default, the key is not set)"),
            "Other apps may not use the private key, so the Device Access service cannot sign with it.",
        )
    if payload.subject.value is None or not subject_is_unique(payload.subject.value):
        yield ProfileFinding(
            "subject-not-unique",
            Level.BREAKS,
            payload.subject.path,
            "a variable of the device (such as its serial number or UUID) in the subject",
            _found(payload.subject, "no subject"),
            "Every device would ask for the same name; one certificate cannot be shared by two devices.",
        )


def _url_findings(payload: ScepPayload) -> Iterator[ProfileFinding]:
    expected = "the https SCEP URL of the Device Access configuration in Okta"
    if not payload.urls:
        yield ProfileFinding(
            "url-missing",
            Level.BREAKS,
            payload.url_path,
            expected,
            payload.url_odd or "not set",
            "Without a server URL no certificate can be asked for.",
        )
    for url in payload.urls:
        if url.variable or (url.scheme == "https" and not url.host_missing):
            continue
        missing = url.scheme == "https"
        yield ProfileFinding(
            "url-missing" if missing else "url-not-https",
            Level.BREAKS,
            url.path,
            expected,
            url.shown,
            "The URL names no server." if missing else "Okta's SCEP server answers on https only.",
        )


def _found(setting: Setting[int] | Setting[bool] | Setting[str] | Setting[frozenset[str]], absent: str) -> str:
    return setting.shown if setting.present else absent


def _notes(document: ProfileDocument, judged: list[ScepPayload]) -> Iterator[str]:
    yield from document.remarks
    if document.signed_by is not None:
        yield f"signed by {document.signed_by} (never verified)"
    own = [payload for profile in document.profiles for payload in profile.scep_payloads if _is_mdm_identity(payload)]
    for payload in own:
        yield f"{payload.path} is the MDM's own identity: not judged"
    if len(judged) > 1:
        yield (
            f"{len(judged)} SCEP payloads were judged; one of them may serve something else (Wi-Fi, VPN): "
            "the paths tell which is which"
        )
    if any(not profile.scopes for profile in document.with_scep):
        yield "the file does not say whose certificate it is (computer or user): the MDM's level decides"
    if document.format is ProfileFormat.PROFILES_SHOW and judged:
        yield "this is the profile as installed: the MDM has already put its values in place of variables"
    for payload in judged:
        yield from _payload_notes(payload)
    if judged and not document.trust_certificates and not any(one.trust_certificates for one in document.profiles):
        yield "no trust certificate in this file: the CA certificate must reach the device in another profile"


def _payload_notes(payload: ScepPayload) -> Iterator[str]:
    if payload.has_challenge:
        yield f"{payload.path} carries a SCEP challenge (not shown): treat the file as a secret"
    if payload.usages.value == frozenset({SIGNING, ENCRYPTION}):
        yield (
            f"{payload.usages.path} is {payload.usages.shown}: signing alone is enough, and some CAs refuse both "
            "at once"
        )
    if payload.key_type.present and payload.key_type.value != "RSA":
        yield f"{payload.key_type.path} is {payload.key_type.shown}: Apple knows RSA only"
    if any(url.variable for url in payload.urls):
        yield f"{payload.url_path} is filled in by the MDM later: not judged"
    for kind in payload.used_by:
        yield f"{payload.path} is also used by {kind} in this profile"
    usages = payload.extended_key_usages
    if usages is not None and not _CLIENT_AUTH & set(usages):
        yield f"{payload.path}: the extended key usages do not name Client Authentication (1.3.6.1.5.5.7.3.2)"
