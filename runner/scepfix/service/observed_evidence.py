"""Turns what a device's reading and its MDM's record say into Evidence, each fact with its own witness and time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from scepfix.domain.certificate import Certificate, FoundCertificate, in_device_store, issued_by_okta
from scepfix.domain.device import Collected, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.errors import InputError
from scepfix.domain.evidence import Evidence, Fact, Scalar, Witness
from scepfix.domain.fault import Signature
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, ManagedProfile, MdmDevice
from scepfix.domain.moment import rfc3339
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import MDM_TYPE
from scepfix.parsers.log_scan import FORMATS, LogScan, to_evidence
from scepfix.parsers.site_log import site_format
from scepfix.parsers.x509 import read_certificate
from scepfix.rules.issuer_key import names_key_of
from scepfix.service.file_evidence import evidence_of_certificate
from scepfix.workflow.certificates import read_stored

#: What was asked on the device, by platform: a person can ask it again.
_ASKED = {
    Platform.MACOS: {
        "certificates": "device:security find-certificate -a -p -Z",
        "profiles": "device:profiles show -output stdout-xml",
        "enrolment": "device:profiles status -type enrollment",
        "log": "device:/var/log/com.okta.deviceaccess/OktaDeviceAccess.log",
        "service": "device:Desktop MFA service",
        "version": "device:Okta Verify version",
        "clock": "device:date",
    },
    Platform.WINDOWS: {
        "certificates": "device:Cert:\\LocalMachine\\My",
        "profiles": "device:configuration profiles",
        "enrolment": "device:MDM enrolment",
        "log": "device:Device Access log",
        "service": "device:Desktop MFA service",
        "version": "device:Okta Verify version",
        "clock": "device:Get-Date",
    },
}
_STORES = {Platform.MACOS: "system", Platform.WINDOWS: "local-machine"}
_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}", re.ASCII)
#: The catalogue's bound of a silence that names a fault; a shorter one is in mdm.device.
_SILENT = timedelta(days=14)


def evidence_of_observation(
    observation: Observation,
    issuers: Sequence[Certificate],
    signatures: Sequence[Signature] = (),
    identifier: str = "",
) -> list[Evidence]:
    """Given a reading, the org's issuer certificates and the site's log signatures, return its evidence.

    ``identifier`` is that of the SCEP profile of Device Access where it is known ("" where not): then no other profile
    counts. Lines and offsets of the log count in the part of it that was read, its end.
    """
    found = [
        *_certificates(observation, issuers),
        *_profiles(observation, identifier),
        *_states(observation),
    ]
    moment, platform = observation.observed_at, observation.platform.value
    evidence = [replace(item, observed_at=moment) for item in found]
    evidence += _log(observation, signatures)
    return [replace(item, facts={"platform": platform, **item.facts}) for item in evidence]


def notes_of_observation(observation: Observation) -> list[str]:
    """Return what a person should know of how much of the device was read."""
    notes = [f"the device: {visible(problem)}" for problem in observation.problems]
    if observation.profiles is None:
        notes.append("the device gave no answer about its profiles")
    notes += [
        f"the device: enrolment through {one.identifier}: {one.enrolment}"
        for one in observation.profiles or ()
        if one.enrolment
    ]
    if observation.collected is not None:
        notes.append(_note_of_collector(observation, observation.collected))
    elif observation.log:
        notes.append(f"of the device's log the last {len(observation.log)} bytes were read: lines count from there")
    else:
        notes.append("the device has no Device Access log, or it is empty")
    notes += [
        f"a certificate on the device is none that can be read: {error.message}"
        for stored in observation.certificates
        if isinstance(error := _read_stored(stored), InputError)
    ]
    return notes


def _note_of_collector(observation: Observation, collected: Collected) -> str:
    got = f", which its MDM got {rfc3339(collected.got_at)}" if collected.got_at else ""
    return (
        f"the device told this by itself {rfc3339(observation.observed_at)}{got}: of a certificate there are no bytes, "
        "and of its log the last line of each kind"
    )


def evidence_of_mdm(record: MdmDevice | None, profile: ManagedProfile, now: datetime) -> list[Evidence]:
    """Given the MDM's record of a device (None: it has none), the SCEP profile and when both were read, return what
    the MDM says."""
    name = visible(record.identity.mdm_id or record.identity.serial_number) if record else ""
    source = f"mdm:device {name}".rstrip()

    def said(says: str, **facts: Fact) -> Evidence:
        return Evidence(Witness.MDM, source, says, observed_at=now, facts=facts)

    if record is None or not record.managed:
        return [said("mdm.not-managed")]
    found = [said("mdm.device", last_seen_at=rfc3339(record.last_seen_at))]
    if record.last_seen_at is not None and now - record.last_seen_at > _SILENT:
        found.append(said("mdm.silent", days=(now - record.last_seen_at).days))
    identifier = visible(profile.identifier)
    if record.profile_installed is True:
        found.append(said("mdm.profile-installed", identifier=identifier))
    elif record.profile_installed is False:
        found.append(said("mdm.profile-missing", reason=_why_missing(record), identifier=identifier))
    if record.install_status in ("Error", "NotNow"):
        found.append(said("mdm.install-failed", status=record.install_status))
    if profile.declarative:
        found.append(said("mdm.profile-declarative", identifier=identifier))
    return found


def notes_of_mdm(record: MdmDevice | None) -> list[str]:
    """Return what a person should know before anything is done about the device."""
    if record is None:
        return []
    notes = [f"the MDM has set this device apart: {visible(record.set_apart)}"] if record.set_apart else []
    return [*notes, *(["the MDM has asked for the profile's removal"] if record.removal_pending else [])]


def evidence_of_mdm_certificates(
    listed: CertificateList, issuers: Sequence[Certificate], marked: Collection[str]
) -> list[Evidence]:
    """Given the MDM's certificate list, the org's issuers and the serial numbers of the certificates whose marker the
    device's own reading showed, return what the list says. What is not current any more says nothing.

    A line without DER shows no marker: it counts by its serial number alone. An empty list, or one with a certificate
    that cannot be read, does not say that there is none.
    """
    current = [one for one in listed.certificates if one.current is not False]
    read = [_read(one.der) for one in current if one.der]
    certificates = [one for one in read if not isinstance(one, InputError)]
    source = "mdm:certificate list"
    found = [
        evidence_of_certificate(FoundCertificate(one, ""), source, None, Witness.MDM, issuers)
        for one in certificates
        if one.marker
    ]
    numbers = {_plain(one.serial_number) for one in current if not one.der}
    found += [_by_number(number, source) for number in sorted(marked) if _plain(number) in numbers]
    if not found and certificates and len(certificates) == len(current):
        found = [Evidence(Witness.MDM, source, "mdm.certificate-none")]
    return [replace(item, observed_at=listed.taken_at) for item in found]


def serial_numbers_with_marker(observation: Observation) -> frozenset[str]:
    """Given a reading, return the serial numbers of the certificates in it that have the marker."""
    read = [_read_stored(stored) for stored in observation.certificates]
    return frozenset(one.serial_number for one in read if not isinstance(one, InputError) and one.marker)


def _by_number(serial_number: str, source: str) -> Evidence:
    """Its dates are those of the DER, which somebody has seen; the list's own may be rounded."""
    facts: dict[str, Fact] = {"device_access_marker": True, "serial_number": serial_number}
    return Evidence(Witness.MDM, source, "keychain.certificate", facts=facts)


def _plain(serial_number: str) -> str:
    """Some lists fill up with zeros."""
    return serial_number.lower().lstrip("0")


def _why_missing(record: MdmDevice) -> str:
    """Return a word of WORD_FACTS: the reason that a person would have to undo first."""
    if record.excluded:
        return "excluded"
    if not record.in_scope:
        return "out-of-scope"
    return {"Error": "failed", "NotNow": "pending", "Pending": "pending"}.get(record.install_status, "unknown")


def _certificates(observation: Observation, issuers: Sequence[Certificate]) -> Iterator[Evidence]:
    source = _ASKED[observation.platform]["certificates"]
    marked = False
    for stored in _each_once(observation.certificates):
        certificate = _read_stored(stored)
        if isinstance(certificate, InputError) or not _counts(certificate):
            continue
        marked = marked or certificate.marker
        found = FoundCertificate(certificate, "", private_key=stored.private_key, store=visible(stored.store))
        evidence = evidence_of_certificate(found, source, None, Witness.DEVICE, issuers)
        facts: dict[str, Fact] = {**evidence.facts, "identity_preference": stored.identity_preference}
        if stored.told:
            facts["org_issuer"] = names_key_of(certificate, issuers)
        yield replace(evidence, facts=facts)
    if marked:
        return
    if observation.complete:
        store: dict[str, Fact] = {"store": _STORES[observation.platform]}
        yield Evidence(Witness.DEVICE, source, "keychain.none", facts=store)
    else:
        yield Evidence(Witness.DEVICE, source, "keychain.unreadable")


def _each_once(stored: Sequence[StoredCertificate]) -> list[StoredCertificate]:
    """One that is in the device's own store counts there, whoever else has a copy of it."""
    ours = {one.der for one in stored if in_device_store(one.store)}
    return [one for one in stored if in_device_store(one.store) or one.der not in ours]


def _counts(certificate: Certificate) -> bool:
    """With the marker always; without it only where it may be the wrong kind of certificate."""
    if certificate.marker:
        return True
    ours = not certificate.is_ca and not certificate.self_signed
    return ours and issued_by_okta(certificate.issuer, certificate.subject)


def _read_stored(stored: StoredCertificate) -> Certificate | InputError:
    try:
        return read_stored(stored)
    except InputError as error:
        return error


def _read(der: bytes) -> Certificate | InputError:
    try:
        return read_certificate(der)
    except InputError as error:
        return error


def _profiles(observation: Observation, identifier: str) -> Iterator[Evidence]:
    if observation.profiles is None:
        return
    source = _ASKED[observation.platform]["profiles"]
    ours = [one for one in observation.profiles if _may_be_ours(one, identifier)]
    for one in ours:
        facts: dict[str, Fact] = {
            "identifier": visible(one.identifier),
            "scope": visible(one.scope),
            "installed_at": rfc3339(one.installed_at),
        }
        yield Evidence(Witness.DEVICE, source, "profile.installed", facts=facts)
    judged = [one for one in ours if one.breaks is not None]
    # Of several profiles nobody can tell which one counts.
    if len(judged) == 1 and judged[0].breaks is not None:
        codes: list[Scalar] = [visible(code) for code in judged[0].breaks]
        found: dict[str, Fact] = {"codes": codes, "identifier": visible(judged[0].identifier)}
        yield Evidence(Witness.DEVICE, source, "profile.breaks" if codes else "profile.ok", facts=found)
    if not ours:
        named: dict[str, Fact] = {"identifier": visible(identifier)} if identifier else {}
        yield Evidence(Witness.DEVICE, source, "profile.none", facts=named)


def _may_be_ours(profile: InstalledProfile, identifier: str) -> bool:
    """The profile by which the device is enrolled asks for a certificate by SCEP too: the MDM's own identity."""
    if identifier:
        return profile.identifier == identifier
    return profile.is_scep and MDM_TYPE not in profile.payload_types


def _states(observation: Observation) -> Iterator[Evidence]:
    asked = _ASKED[observation.platform]
    if observation.enrolled is False:
        yield Evidence(Witness.DEVICE, asked["enrolment"], "mdm.not-managed")
    if observation.clock_offset_seconds is not None:
        facts: dict[str, Fact] = {"offset_seconds": round(observation.clock_offset_seconds, 1)}
        yield Evidence(Witness.DEVICE, asked["clock"], "device.clock", facts=facts)
    if observation.daemon_present is not None:
        yield Evidence(Witness.DEVICE, asked["service"], "device.daemon", facts={"present": observation.daemon_present})
    if _VERSION.fullmatch(observation.okta_verify_version):
        facts = {"version": observation.okta_verify_version}
        yield Evidence(Witness.DEVICE, asked["version"], "device.okta-verify", facts=facts)


def _log(observation: Observation, signatures: Sequence[Signature]) -> list[Evidence]:
    if observation.collected is not None:
        told, source = observation.collected.log or (), f"{_ASKED[observation.platform]['log']} (by the collector)"
        return [Evidence(Witness.DEVICE, source, one.says, observed_at=one.at) for one in told]
    if not observation.log:
        return []
    scan = LogScan((*FORMATS, *([site_format(signatures)] if signatures else [])))
    scan.feed(observation.log)
    source, sha256 = _ASKED[observation.platform]["log"], hashlib.sha256(observation.log).hexdigest()
    return [to_evidence(one, source=source, sha256=sha256, witness=Witness.DEVICE) for one in scan.finish()]
