"""The use *is everything ready for a repair*: machine, settings, MDM, way back, exclusion group, Okta, line by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import Exit, ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ManagedProfile
from scepfix.domain.moment import rfc3339
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation
from scepfix.parsers.certificates import parse_certificates
from scepfix.service.mdm_stages import whole_profile
from scepfix.service.ports import Inventory, Mdm, Okta, SmallFiles
from scepfix.service.refusals import listed, of_profile
from scepfix.service.rescue import left_behind

#: What runs playbooks, and what reaches devices and judges signatures.
PACKAGES = ("ansible-core", "ansible-runner")
PROGRAMS = ("ssh", "ssh-keygen")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that the settings refer to: its setting, where it lies, and the reading of it, which raises
    ScepfixError. ``needed`` False: only one verb uses it."""

    setting: str
    place: str
    read: Callable[[], object]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Ways:
    """How each thing is looked at; each raises ScepfixError where it is not as it must be.

    ``settings_file`` None: there is none. ``state``: makes and tries the state folder. ``database`` returns the open
    repairs, none where no database is there yet. ``program`` and ``package`` return place and version, None where
    absent. ``mdm``/``okta`` None: the settings name none; opened read only.
    """

    settings_file: str | None
    secrets: Sequence[Secret]
    issuer_files: Sequence[str]
    allowed_signers: str | None
    files: SmallFiles
    state: Callable[[], Path]
    database: Callable[[], Sequence[Remediation]]
    program: Callable[[str], str | None]
    package: Callable[[str], str | None]
    collection: Callable[[], Path]
    inventory: Callable[[], Inventory] | None
    mdm: Callable[[], Mdm] | None
    okta: Callable[[], Okta] | None
    policy: RepairPolicy
    now: datetime
    tell: Callable[[str], None] = field(default=lambda line: None)


@dataclass(frozen=True, slots=True)
class _WayBack:
    """One line about the profile: its id, what is said where nothing is wrong, and what to do where something is."""

    id: str
    good: str
    hint: str


#: By the code of the refusal (service/refusals.py): what keeps a repair from beginning is what the doctor tells.
WAY_BACK: Mapping[str, _WayBack] = {
    "does-not-come-back": _WayBack(
        "way-back.by-itself",
        "a device that leaves the exclusion group gets the profile by itself",
        "correct the profile's assignment at the MDM until every device that leaves the group gets it by itself",
    ),
    "never-issued": _WayBack(
        "way-back.issued",
        "a certificate came through this profile since it and its secret last changed",
        "re-install it on one device by hand and see that a certificate comes: a CA that answers proves nothing",
    ),
    "bundled": _WayBack(
        "way-back.payloads",
        "it carries SCEP and CA certificates, nothing else",
        "move everything but SCEP and CA certificates into a profile of its own",
    ),
    "channel-needs-certificate": _WayBack(
        "way-back.channel",
        "it carries no Wi-Fi, 802.1X or VPN, and nothing that the MDM shows refers to it",
        "give these devices a way to the MDM that does not need this certificate, then move the payload elsewhere",
    ),
    "referred-by": _WayBack(
        "way-back.referred-by",
        "no other profile or group that the MDM shows needs it",
        "point those at another profile, or take the reference away",
    ),
    "declarative": _WayBack(
        "way-back.delivery",
        "it is delivered as a profile, not as a declaration",
        "deliver it as a configuration profile",
    ),
    "wrong-scope": _WayBack(
        "way-back.scope", "it is for the computer, not for one of its users", "deliver it on the device channel"
    ),
    "group-not-alone": _WayBack(
        "group.alone",
        "nothing else is scoped to the exclusion group or excludes it",
        "take the exclusion group out of everything but this one profile: it is scepfix's alone",
    ),
}
_CREDENTIALS = "mdm.credentials"
_CHANNEL = "channel-needs-certificate"
_BY_HAND = (
    "look by hand: which Wi-Fi, 802.1X and VPN settings, and which apps, use this certificate? A device that reaches "
    "its MDM only with it must be on another network while it is repaired"
)
_NO_MDM = ("the settings name no MDM", "see mdm in docs/settings.md")
_NO_OKTA = ("the settings name no Okta org", "see okta in docs/settings.md")


def examine(ways: Ways) -> tuple[Check, ...]:
    """Look at everything, changing nothing; return the lines. A look that raises becomes ``unknown`` and stops none."""
    return tuple(_inert(check) for check in _Doctor(ways).lines())


def exit_of(checks: Sequence[Check]) -> Exit:
    """Given the lines, return the exit code of the contract (docs/command-line.md)."""
    results = {check.result for check in checks}
    if CheckResult.FAIL in results:
        return Exit.FAILED
    return Exit.UNDETERMINED if CheckResult.UNKNOWN in results else Exit.VERDICT


class _Doctor:
    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._mdm: Mdm | None = None
        self._let_in = True

    def lines(self) -> Iterator[Check]:
        ways = self._ways
        yield from _look(self._settings, "settings.file")
        yield from _look(self._secrets, "settings.secret")
        yield from _look(self._issuers, "settings.issuers")
        yield from _look(self._signers, "settings.signers")
        yield from _look(self._state, "machine.state-folder")
        yield from _look(self._database, "machine.database")
        yield from _look(self._ansible, "machine.ansible")
        yield from _look(self._collection, "machine.collection")
        yield from _look(self._programs, "machine.openssh")
        if ways.inventory is not None:
            yield from _look(partial(self._inventory, ways.inventory), "machine.inventory")
        yield from _look(self._overdue, "repairs.put-back")
        if ways.mdm is not None:
            ways.tell("asking the MDM, nothing is changed")
        yield from _look(self._open_mdm, "mdm.settings")
        yield from _look(self._profile, *(line.id for line in WAY_BACK.values()))
        yield from _look(self._members, "group.members")
        if ways.okta is not None:
            ways.tell("asking Okta, nothing is changed")
        yield from _look(self._okta, "okta.settings")

    # --- settings and this machine --------------------------------------------------------------------------------

    def _settings(self) -> Iterator[Check]:
        file = self._ways.settings_file
        yield _passes("settings.file", f"{file} is read" if file else "there is none: everything has its default")

    def _secrets(self) -> Iterator[Check]:
        if not self._ways.secrets:
            yield _passes("settings.secret", "the settings name no secret")
        for secret in self._ways.secrets:
            where = f"{secret.setting} ({secret.place})"
            try:
                secret.read()
            except ScepfixError as error:
                if secret.needed:
                    yield _fails("settings.secret", f"{where}: {error.message}", error.hint)
                else:
                    yield _unknown("settings.secret", f"{where}: {error.message}; only scepfix okta set needs it")
            else:
                yield _passes("settings.secret", f"{where} can be had")

    def _issuers(self) -> Iterator[Check]:
        line, ways = "settings.issuers", self._ways
        if not ways.issuer_files:
            yield _unknown(
                line,
                "the settings name no certificate of this org's Device Access CA, so whose CA issued is not checked",
                "see issuer_certificates in docs/settings.md",
            )
            return
        ends: list[datetime] = []
        wrong: list[str] = []
        for path in ways.issuer_files:
            try:
                found = [one.certificate for one in parse_certificates(ways.files.read(path), path).found]
            except ScepfixError as error:
                wrong.append(f"{path}: {error.message}")
                continue
            ends += [one.not_after for one in found]
            wrong += [f"{path}: {one.subject} is no certificate of a CA" for one in found if not one.is_ca]
            wrong += [
                f"{path}: {one.subject} expired at {rfc3339(one.not_after)}"
                for one in found
                if one.not_after < ways.now
            ]
        if wrong:
            yield _fails(line, "; ".join(wrong), "export the CA certificate from the Admin Console again")
        else:
            yield _passes(line, f"{len(ends)} readable; the first expires at {rfc3339(min(ends))}")

    def _signers(self) -> Iterator[Check]:
        line, path = "settings.signers", self._ways.allowed_signers
        if path is None:
            most = self._ways.policy.unauthenticated_devices
            yield _passes(line, f"no signers are set: a name approves {most} device{'s' if most > 1 else ''} at most")
            return
        try:
            text = self._ways.files.read(path).decode("utf-8", "replace")
        except ScepfixError as error:
            yield _fails(line, f"{path}: {error.message}", "see allowed_signers in docs/settings.md")
            return
        keys = [one for one in map(str.strip, text.splitlines()) if one and not one.startswith("#")]
        if keys:
            yield _passes(line, f"{path} lists {len(keys)} key{'s' if len(keys) > 1 else ''}")
        else:
            yield _fails(line, f"{path} lists no key: no signature would count", "see ALLOWED SIGNERS in ssh-keygen(1)")

    def _state(self) -> Iterator[Check]:
        try:
            folder = self._ways.state()
        except ScepfixError as error:
            yield _fails("machine.state-folder", f"{error.where}: {error.message}", error.hint)
        else:
            yield _passes("machine.state-folder", f"{folder} can be written, by its user alone")

    def _database(self) -> Iterator[Check]:
        try:
            repairs = self._ways.database()
        except ScepfixError as error:
            yield _fails("machine.database", f"{error.where}: {error.message}", error.hint)
        else:
            yield _passes("machine.database", f"it can be used; {len(repairs)} repairs are open")

    def _ansible(self) -> Iterator[Check]:
        found = {name: self._ways.package(name) for name in PACKAGES}
        missing = [name for name, version in found.items() if version is None]
        if missing:
            yield _fails("machine.ansible", f"{' and '.join(missing)} cannot be imported", "install scepfix again")
        else:
            yield _passes("machine.ansible", ", ".join(f"{name} {version}" for name, version in found.items()))

    def _collection(self) -> Iterator[Check]:
        try:
            folder = self._ways.collection()
        except ScepfixError as error:
            yield _fails("machine.collection", error.message, error.hint)
        else:
            yield _passes("machine.collection", f"scepfix.device_access is at {folder}")

    def _programs(self) -> Iterator[Check]:
        missing = [name for name in PROGRAMS if self._ways.program(name) is None]
        if missing:
            yield _fails("machine.openssh", f"{' and '.join(missing)} cannot be found", "install the OpenSSH client")
        else:
            yield _passes("machine.openssh", f"{' and '.join(PROGRAMS)} are there")

    def _inventory(self, read: Callable[[], Inventory]) -> Iterator[Check]:
        try:
            names = read().names
        except ScepfixError as error:
            yield _fails("machine.inventory", f"{error.where}: {error.message}", error.hint)
            return
        if names:
            yield _passes("machine.inventory", f"it names {len(names)} device{'s' if len(names) > 1 else ''}")
        else:
            yield _fails("machine.inventory", "it names no device", "see docs/inventory.md")

    def _overdue(self) -> Iterator[Check]:
        longest = timedelta(hours=self._ways.policy.put_back_after_hours)
        late = [
            one
            for one in self._ways.database()
            if one.owed_reinstall
            and one.removal_asked_at is not None
            and self._ways.now - one.removal_asked_at >= longest
        ]
        if late:
            yield _fails(
                "repairs.put-back",
                f"{listed([one.device.name for one in late])}: the profile was asked to go, and is not known to be "
                f"back after {self._ways.policy.put_back_after_hours} hours",
                "scepfix apply PLAN.json goes on with a plan; scepfix rescue puts everybody back",
            )
        else:
            yield _passes("repairs.put-back", "no repair is late with bringing a profile back")

    # --- the MDM --------------------------------------------------------------------------------------------------

    def _open_mdm(self) -> Iterator[Check]:
        if self._ways.mdm is None:
            yield _unknown("mdm.settings", *_NO_MDM)
            return
        try:
            self._mdm = self._ways.mdm()
        except ScepfixError as error:
            yield _fails("mdm.settings", f"{error.where}: {error.message}", error.hint)
            return
        yield _passes("mdm.settings", "the settings name an MDM")
        yield from _look(partial(self._provider, self._mdm), "mdm.checks")

    def _provider(self, mdm: Mdm) -> Iterator[Check]:
        for check in mdm.checks():
            if check.id == _CREDENTIALS:
                self._let_in = check.result is CheckResult.PASS
            yield check

    def _profile(self) -> Iterator[Check]:
        profile = whole_profile(self._opened())
        found = {one.code: one.text for one in of_profile(profile)}
        for code, line in WAY_BACK.items():
            if code in found:
                yield _fails(line.id, found[code], line.hint)
            elif code in ("bundled", _CHANNEL) and not profile.payload_types:
                yield _unknown(line.id, "the MDM does not show what the profile carries", _BY_HAND)
            elif code == _CHANNEL and profile.referred_by:
                text = f"whether {listed(profile.referred_by)} is how devices reach the MDM is not seen"
                yield _unknown(line.id, text, _BY_HAND)
            else:
                yield _passes(line.id, line.good + _since(code, profile))

    def _members(self) -> Iterator[Check]:
        members = self._opened().members()
        left = left_behind(members, self._ways.database(), self._ways.policy, self._ways.now)
        if left:
            yield _fails(
                "group.members",
                f"{listed([one.name or one.identity.mdm_id for one in left])}: in the exclusion group, and no open "
                "repair wants it there",
                "scepfix rescue puts everybody back",
            )
        else:
            yield _passes("group.members", f"nobody is left behind in it ({len(members)} in the middle of a repair)")

    def _opened(self) -> Mdm:
        if self._ways.mdm is None:
            raise ScepfixError("no-mdm", _NO_MDM[0], hint=_NO_MDM[1])
        if self._mdm is None:
            raise ScepfixError("no-mdm", "the MDM could not be opened", hint="see mdm.settings")
        if not self._let_in:
            # Asked again, it would say the same, and take its time.
            raise ScepfixError("no-mdm", f"the MDM does not let us in: see {_CREDENTIALS}")
        return self._mdm

    # --- Okta -----------------------------------------------------------------------------------------------------

    def _okta(self) -> Iterator[Check]:
        if self._ways.okta is None:
            yield _unknown("okta.settings", *_NO_OKTA)
            return
        try:
            okta = self._ways.okta()
        except ScepfixError as error:
            yield _fails("okta.settings", f"{error.where}: {error.message}", error.hint)
            return
        yield _passes("okta.settings", "the settings name an Okta org")
        yield from _look(okta.checks, "okta.checks")


def _look(find: Callable[[], Iterator[Check]], *lines: str) -> Iterator[Check]:
    """Yield what a look finds; where it raises, each of its lines that is still to come is ``unknown``."""
    come: set[str] = set()
    try:
        for check in find():
            come.add(check.id)
            yield check
        return
    except ScepfixError as error:
        why, hint = f"{error.where}: {error.message}" if error.where else error.message, error.hint
    except Exception as error:
        # Its text may hold a value, and a value may be a secret.
        why, hint = f"scepfix itself failed ({type(error).__name__})", "please report it, with the command"
    for line in lines:
        if line not in come:
            yield _unknown(line, f"could not look: {why}", hint)


def _since(code: str, profile: ManagedProfile) -> str:
    return f": at {rfc3339(profile.last_issued_at)}" if code == "never-issued" else ""


def _inert(check: Check) -> Check:
    return Check(visible(check.id), check.result, visible(check.message), visible(check.hint))


def _passes(line: str, message: str) -> Check:
    return Check(line, CheckResult.PASS, message)


def _fails(line: str, message: str, hint: str) -> Check:
    return Check(line, CheckResult.FAIL, message, hint)


def _unknown(line: str, message: str, hint: str = "") -> Check:
    return Check(line, CheckResult.UNKNOWN, message, hint)
