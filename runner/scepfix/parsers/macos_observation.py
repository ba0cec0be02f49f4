"""One look at a Mac: what ``observe_macos.sh`` printed, as an observation.

Every command's output stands between two lines that carry a nonce, made anew for each look, so that no text of the
device can pass for one; a last line says that nothing was cut:

    @@3f9a… begin clock
    1795506136

    @@3f9a… end clock 0

    @@3f9a… whole

Of all else only what is asked for is kept: a SCEP challenge, which the script leaves on the device, would end here.
Formats of the commands: Apple's sources of ``security``, public transcripts of the others.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from scepfix.domain.certificate import CertificateFile, FoundCertificate, issued_by_okta
from scepfix.domain.device import Identity, InstalledProfile, Observation, StoredCertificate
from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import ProfileDocument
from scepfix.parsers.apple_payload import text
from scepfix.parsers.certificates import parse_certificates
from scepfix.parsers.plist_bytes import read_plist
from scepfix.parsers.profiles_show import document_from_listing

LIMIT_BYTES = 32 * 1024 * 1024
LOG_BYTES = 64 * 1024
LONGEST_TEXT = 200
_SECTION_LIMIT = 1000
#: Sections of every whole answer, in their order; beside them one ``login`` for each person, before ``files``.
SECTIONS = (
    *("clock", "user", "system", "hardware", "name", "profiles", "enrollment", "certificates", "identities"),
    *("files", "okta-verify", "log"),
)
_NONE_INSTALLED = b"There are no configuration profiles installed"
_DAEMON = ("/OktaDAServiceDaemon", "/com.okta.deviceaccess.servicedaemon.plist")
_LOG = "/OktaDeviceAccess.log"
_SERIAL = re.compile(r"^[ \t]*Serial Number(?: \(system\))?:[ \t]*([A-Za-z0-9-]{4,40})[ \t]*$", re.MULTILINE)
_UUID = re.compile(
    r"^[ \t]*Hardware UUID:[ \t]*([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})[ \t]*$", re.MULTILINE
)
_IDENTITY = re.compile(r"^ *\d+\) ([0-9A-Fa-f]{40}) ", re.MULTILINE)
_IDENTITIES_COUNTED = re.compile(r"^ *\d+ (?:valid )?identities found", re.MULTILINE)
_ENROLLED = re.compile(r"^MDM enrollment:[ \t]*(Yes|No)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    output: bytes
    exit_code: int

    @property
    def text(self) -> str:
        return self.output.decode("utf-8", "replace")


#: Says of profiles, as a device lists them, what in their SCEP settings breaks Device Access, as codes.
Judge = Callable[[ProfileDocument], tuple[str, ...]]


def parse_macos_observation(
    data: bytes, nonce: str, sent_at: datetime, received_at: datetime, judge: Judge | None = None
) -> Observation:
    """Given what the script printed, the nonce it was given, the controller's aware times around the look, and who
    judges the settings of SCEP profiles (None: nobody does), return the observation.

    Raise InputError where the answer is cut, has other sections than the script prints, or is far too large. What one
    command could not say is a problem in the observation; only a whole listing of the System keychain is ``complete``.
    """
    sections = _sections(data, nonce)
    one = {section.name: section for section in sections}
    problems: list[str] = []
    certificates, complete = _system_certificates(one["certificates"], one["identities"], problems)
    for section in sections:
        if section.name == "login":
            certificates += _login_certificates(section)
    version, build = _system(one["system"].text)
    return Observation(
        platform=Platform.MACOS,
        observed_at=received_at,
        identity=_identity(one["hardware"], problems),
        name=_line(one["name"].text),
        os_version=version,
        os_build=build,
        clock_offset_seconds=clock_offset_seconds(one["clock"].text, sent_at, received_at, problems),
        complete=complete,
        certificates=tuple(certificates),
        profiles=_profiles(one["profiles"], one["user"].text.strip() == "yes", problems, judge),
        enrolled=_enrolled(one["enrollment"].text),
        daemon_present=_daemon(one["files"]),
        okta_verify_version=_line(one["okta-verify"].text) if one["okta-verify"].exit_code == 0 else "",
        log=_log(one["log"], one["files"], problems),
        problems=tuple(visible(problem)[:LONGEST_TEXT] for problem in problems),
    )


def _sections(data: bytes, nonce: str) -> list[_Section]:
    if len(data) > LIMIT_BYTES:
        raise InputError("observation-too-large", f"more than {LIMIT_BYTES // 1024**2} MiB", hint="look at the device")
    mark = re.escape(nonce.encode("ascii"))
    # A terminal in between writes CR LF; only the marking lines need to be found.
    lines = re.compile(
        rb"(?:^|\r?\n)@@" + mark + rb" (?:(begin|end) ([a-z-]{1,20})(?: (\d{1,3}))?|(whole))\r?(?=\n|\Z)"
    )
    found: list[_Section] = []
    opened: tuple[str, int] | None = None
    whole = False
    for match in lines.finditer(data):
        kind, name, code = match[1], (match[2] or b"").decode("ascii"), match[3]
        if whole or len(found) > _SECTION_LIMIT:
            raise _another("something comes after its end" if whole else "too many sections")
        if match[4] and opened is None:
            whole = True
        elif kind == b"begin" and opened is None and code is None:
            opened = (name, match.end() + 1)
        elif kind == b"end" and opened is not None and opened[0] == name and code is not None:
            found.append(_Section(name, data[opened[1] : max(opened[1], match.start())], int(code)))
            opened = None
        else:
            raise _another("its sections do not follow each other")
    if not whole:
        raise InputError(
            "observation-cut",
            "the answer ends before its last line" if found or opened else "the device said something else",
            hint="look again; does the account have a shell, and does its start-up print nothing?",
        )
    names = [section.name for section in found]
    if tuple(name for name in names if name != "login") != SECTIONS:
        raise _another("it has other sections than the script prints")
    return found


def _another(what: str) -> InputError:
    return InputError("observation-format", f"not the answer of the script: {what}", hint="look again")


def _system_certificates(
    listed: _Section, identities: _Section, problems: list[str]
) -> tuple[list[StoredCertificate], bool]:
    file = _listing(listed, "the System keychain", problems)
    if file is None:
        return [], False
    with_key = _with_key(identities)
    if with_key is None:
        problems.append("which certificates have a private key could not be listed")
    kept = [
        StoredCertificate(one.certificate.der, "system", None if with_key is None else one.certificate.sha1 in with_key)
        for one in _of_interest(file.found)
    ]
    complete = file.listing is not None and file.listing.complete and listed.exit_code == 0
    if not complete:
        canary = file.listing is not None and file.listing.canary_seen
        problems.append(
            "the System keychain was not listed whole"
            if canary
            else "the listing lacks the certificates that every System keychain has: it is no answer"
        )
    return kept, complete


def _login_certificates(section: _Section) -> list[StoredCertificate]:
    name, _, listing = section.output.partition(b"\n")
    file = _listing(_Section(section.name, listing, section.exit_code), "a login keychain", [])
    # Where the keychain cannot be opened, security lists others: those are not this person's.
    if file is None or any(problem.code == "another-keychain" for problem in file.problems):
        return []
    store = f"login:{_line(name.decode('utf-8', 'replace'))}"
    return [StoredCertificate(one.certificate.der, store) for one in _of_interest(file.found)]


def _listing(section: _Section, what: str, problems: list[str]) -> CertificateFile | None:
    if section.exit_code != 0:
        problems.append(f"{what} could not be listed: exit code {section.exit_code}: {_line(section.text)}")
    if not section.output.strip():
        if section.exit_code == 0:
            problems.append(f"the listing of {what} is empty, which is no answer")
        return None
    try:
        file = parse_certificates(section.output, listing=True)
    except InputError as error:
        problems.append(f"{what} could not be read: {error.message}")
        return None
    problems.extend(f"{what}: {one.place}: {one.message}" for one in file.problems[:3])
    return file


def _of_interest(found: Sequence[FoundCertificate]) -> list[FoundCertificate]:
    """Those with the marker, and those that look like Okta's: a computer's other certificates are nobody's business."""
    return [
        one
        for one in found
        if one.certificate.marker or issued_by_okta(one.certificate.issuer, one.certificate.subject)
    ]


def _with_key(section: _Section) -> set[str] | None:
    """Return SHA-1 of the certificates whose key is there, lower-case hex; None where that was not answered."""
    if section.exit_code != 0 or "SecKeychainOpen" in section.text or not _IDENTITIES_COUNTED.search(section.text):
        return None
    return {sha1.lower() for sha1 in _IDENTITY.findall(section.text)}


def _identity(section: _Section, problems: list[str]) -> Identity:
    serial, uuid = (set(pattern.findall(section.text)) for pattern in (_SERIAL, _UUID))
    for found, called in ((serial, "serial number"), (uuid, "hardware UUID")):
        if len(found) != 1:
            problems.append(f"the device did not say its {called}" if not found else f"it says two of its {called}")
    return Identity(
        serial_number=serial.pop().upper() if len(serial) == 1 else "",
        hardware_uuid=uuid.pop().upper() if len(uuid) == 1 else "",
    )


def _system(said: str) -> tuple[str, str]:
    values = dict(re.findall(r"^(\w+):[ \t]*([^\r\n]*)", said, re.MULTILINE))
    return _line(values.get("ProductVersion", "")), _line(values.get("BuildVersion", ""))


def _profiles(
    section: _Section, as_root: bool, problems: list[str], judge: Judge | None
) -> tuple[InstalledProfile, ...] | None:
    if not as_root:
        problems.append("the computer's profiles are told to root only")
        return None
    if section.output.strip().startswith(_NONE_INSTALLED):
        return ()
    try:
        if section.exit_code != 0:
            raise InputError("profiles-failed", f"exit code {section.exit_code}")
        root = read_plist(section.output.strip(), "profiles show")
        document = document_from_listing(root, "profiles show")
    except InputError as error:
        problems.append(f"the profiles could not be read: {error.message}")
        return None
    if document.remarks:
        problems.append(f"the profiles could be read in part only: {document.remarks[0]}")
    types = _payload_types(root)
    return tuple(
        InstalledProfile(
            identifier=visible(profile.identifier[:LONGEST_TEXT]),
            payload_types=types.get(profile.path, ()),
            installed_at=profile.installed_at,
            scope="system" if profile.user is None else "user",
            breaks=judge(replace(document, profiles=(profile,))) if judge and profile.scep_payloads else None,
        )
        for profile in document.profiles
    )


def _payload_types(root: object) -> dict[str, tuple[str, ...]]:
    """Return the payload types by the profile's path, as profiles_show spells it."""
    found: dict[str, tuple[str, ...]] = {}
    for owner, entries in root.items() if isinstance(root, dict) else ():
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            items = entry.get("ProfileItems") if isinstance(entry, dict) else None
            dicts = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
            kinds = tuple(visible(text(item.get("PayloadType"))[:LONGEST_TEXT]) for item in dicts)
            found[f"{text(owner)}[{index}]"] = kinds
    return found


def _enrolled(said: str) -> bool | None:
    found = _ENROLLED.search(said)
    return None if found is None else found[1] == "Yes"


def _daemon(section: _Section) -> bool | None:
    if section.exit_code == 127:
        return None
    return any(line.strip().endswith(_DAEMON) for line in section.text.splitlines())


def _log(section: _Section, there: _Section, problems: list[str]) -> bytes:
    try:
        log = base64.b64decode(b"".join(section.output.split()), validate=True)
    except (binascii.Error, ValueError):
        problems.append("the end of the Device Access log could not be read")
        return b""
    if not log and any(line.strip().endswith(_LOG) for line in there.text.splitlines()):
        problems.append("the Device Access log is there, and could not be read or is empty")
    return log[-LOG_BYTES:]


def clock_offset_seconds(said: str, sent_at: datetime, received_at: datetime, problems: list[str]) -> float | None:
    """Given Unix seconds as the device printed them, and the controller's times around the look, return how far the
    device's clock is ahead (negative: behind). 0 where it lies between them; None, and a problem, where it is no time.
    """
    # One second may have been cut off, and one may have begun on the device a moment after it did here.
    if not re.fullmatch(r"\s*\d{1,12}\s*", said, re.ASCII):
        problems.append("the device did not say what time it is")
        return None
    try:
        seconds = datetime.fromtimestamp(int(said), UTC)
    except (ValueError, OverflowError, OSError):
        problems.append("the device did not say what time it is")
        return None
    if (received_at - seconds).total_seconds() < 0:
        return round((seconds - received_at).total_seconds(), 1)
    behind = (sent_at - seconds).total_seconds() - 1
    return -round(behind, 1) if behind > 0 else 0.0


def _line(said: str) -> str:
    """Return the first line, inert and short."""
    return visible(said.strip().split("\n")[0].strip())[:LONGEST_TEXT]
