"""What the services need from outside, one small Protocol each; adapters/ implements them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from scepfix.domain.check import Check
from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError, RefusedError, ScepfixError
from scepfix.domain.evidence import Evidence
from scepfix.domain.fault import Catalogue
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.plan import Plan
from scepfix.domain.remediation import Approval, Intent, Remediation, Stage, StageResult
from scepfix.parsers.okta_deletions import Deletion
from scepfix.parsers.okta_snapshot import KnownDevice


class SmallFiles(Protocol):
    """Reads files that are meant to fit in memory: certificates, profiles, evidence, settings."""

    def read(self, path: str) -> bytes:
        """Given a path or ``-`` for stdin, return the bytes; raise InputError where there are none to be had."""
        ...


@dataclass(frozen=True, slots=True)
class EvidenceSource:
    """One plain stream: ``name`` is a path, ``FILE!MEMBER`` or ``stdin``; ``named`` if the person named it itself."""

    name: str
    stream: BinaryIO
    named: bool


@dataclass(frozen=True, slots=True)
class UnreadableSource:
    """Something that could not be read, and why."""

    name: str
    error: InputError


class EvidenceSources(Protocol):
    """Opens files, folders, archives and stdin as plain streams."""

    def open(self, path: str) -> Iterator[EvidenceSource | UnreadableSource]:
        """Given a path or ``-``, yield its streams; each must be read before the next is asked for."""
        ...


class Settings(Protocol):
    """What a site sets: its ways in, its own faults, its issuer certificates."""

    @property
    def ways_in(self) -> tuple[str, ...]:
        """Texts, in the order in which they are told."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The shipped faults and the site's own."""
        ...

    @property
    def issuer_files(self) -> tuple[str, ...]:
        """Paths of the certificates of this org's Device Access CA."""
        ...


@dataclass(frozen=True, slots=True)
class InventoryDevice:
    """A device as the inventory names it; ``connection`` are checked Ansible connection variables."""

    name: str
    host: str
    connection: Mapping[str, str | int]
    person: str = ""
    #: What the inventory says of it, "" where it says nothing.
    serial_number: str = ""


class Inventory(Protocol):
    """The admin's Ansible inventory."""

    @property
    def names(self) -> frozenset[str]:
        """Every device's name, as it is shown."""
        ...

    def devices(self, names: Sequence[str], group: str | None = None) -> tuple[InventoryDevice, ...]:
        """Given exact names or a group, return the devices. Raise UsageError where one is not there, or none is."""
        ...


class Mdm(Protocol):
    """The MDM. Group changes are idempotent: a device that is in (or out) already stays so."""

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError."""
        ...

    def group_uses(self) -> tuple[str, ...]:
        """Return in words what else than this profile the exclusion group targets or excludes; it may take many calls.

        ``profile`` does not look at that.
        """
        ...

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number, in as few calls as possible."""
        ...

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices in scepfix's exclusion group."""
        ...

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Ask for the profile's removal: add the devices to the exclusion group, in one change."""
        ...

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Ask for the profile's re-install: take the devices out of the exclusion group, in one change."""
        ...

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Ask the devices to check in now."""
        ...

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Given MDM ids, return the certificate lists that the MDM has, by id, in as few calls as possible."""
        ...

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Given MDM ids, return the newest line of the collector that the MDM has of each, by id."""
        ...

    def checks(self) -> Iterator[Check]:
        """Yield what ``scepfix doctor`` can see of credentials, privileges, profile and exclusion group; never raises.

        Nothing is changed. The ids are ``mdm.…``.
        """
        ...


class Okta(Protocol):
    """The Okta org, read only."""

    def checks(self) -> Iterator[Check]:
        """Yield what ``scepfix doctor`` can see of credential, scopes and settings; never raises. Ids: ``okta.…``."""
        ...

    def device_evidence(self, identity: Identity, person: str, admin: str) -> tuple[Evidence, ...]:
        """Given a device's identity and who it is about ("" where unknown), return what Okta says of it."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Return what the last ``device_evidence`` could not look at, and where a person does so by hand."""
        ...

    def registered(self, identity: Identity, person: str, since: datetime) -> bool | None:
        """Has that person registered since then, on the record that exists now? None where it cannot be known."""
        ...


class Signatures(Protocol):
    """Tells whose signature it is."""

    def signer(self, message: bytes, signature_file: str) -> str:
        """Given a message and the path of its signature, return the person; raise where it does not count."""
        ...


class Directory(Protocol):
    """The devices of an Okta org, and its log; read only."""

    def devices(self) -> Iterator[KnownDevice]:
        """Yield every device record."""
        ...

    def lives(self, device_id: str) -> bool:
        """Can the record of that id be read?"""
        ...

    def deletions(self, since: datetime, until: datetime) -> tuple[Deletion, ...]:
        """Return the deletions that the log has of that time."""
        ...


class OrgSetting(Protocol):
    """Enable Device Recovery PIN for Desktop MFA of one org."""

    @property
    def org(self) -> str: ...

    def read(self) -> bool:
        """Is it on?"""
        ...

    def write(self, enabled: bool) -> None:
        """Set it."""
        ...


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A stage run: its own folder, a playbook by FQCN, and the devices, by opaque host name.

    ``folder`` is fresh, named by the intent. ``devices`` is what ``run.json`` says of each host (docs/run-folder.md).
    """

    folder: Path
    ident: str
    playbook: str
    stage: str
    connections: Mapping[str, Mapping[str, str | int]]
    devices: Mapping[str, Mapping[str, object]]
    wait_seconds: int = 0
    #: A preview: the MDM is opened without the right to change anything.
    read_only: bool = False


class PlaybookRunner(Protocol):
    """Runs playbooks in processes of their own, which outlive this one."""

    def start(self, request: RunRequest) -> None:
        """Start the run, detached. The intent must have been marked started by this process alone."""
        ...

    def alive(self, folder: Path) -> bool:
        """Is the run of that folder going on?"""
        ...

    def started(self, folder: Path) -> bool:
        """Was a run ever begun in that folder?"""
        ...

    def wait(self, folder: Path, timeout_seconds: float) -> bool:
        """Wait for the run's end; True when it ended."""
        ...

    def forget_look(self, folder: Path) -> None:
        """Remove the folder of a run that has ended, unless a call that changes something is written down in it."""
        ...

    def results(self, folder: Path, hosts: Sequence[str], stage: Stage | None) -> Mapping[str, StageResult]:
        """Return what each host answered; ``unknown`` for all whose events do not show a whole run (never raises)."""
        ...


class Store(Protocol):
    """The truth: plans, approvals, remediations, intents. Every change of a remediation is a compare-and-set on seq."""

    def save_plan(self, plan: Plan) -> None: ...

    def plan(self, digest: str) -> Plan | None: ...

    def save_approval(self, approval: Approval) -> None: ...

    def approvals(self, digest: str) -> tuple[Approval, ...]: ...

    def begin(self, remediations: Sequence[Remediation]) -> tuple[Remediation, ...]:
        """Insert those that are not there yet (by id). Raise DeviceTakenError where a device has another live owner."""
        ...

    def remediations(self, digest: str | None = None, *, only_open: bool = False) -> tuple[Remediation, ...]: ...

    def commit(self, changed: Sequence[Remediation], intents: Sequence[Intent]) -> None:
        """Write both in one transaction; each remediation must be stored with ``seq - 1``. Raise SeqError otherwise."""
        ...

    def open_intents(self, remediation_ids: Sequence[str]) -> tuple[Intent, ...]:
        """Intents that are not done, oldest first."""
        ...

    def claim(self, intent_id: str, at: datetime) -> bool:
        """Compare-and-set ``written`` → ``started``; False where somebody else started it."""
        ...

    def finish(
        self,
        intent_id: str,
        results: Mapping[str, StageResult],
        changed: Sequence[Remediation],
        at: datetime,
        intents: Sequence[Intent] = (),
    ) -> None:
        """Write outcome, changed remediations and the next intents in one transaction, as ``commit`` does."""
        ...

    def hold(self, name: str) -> AbstractContextManager[bool]:
        """Hold a name while this process lives; yields False where another process holds it."""
        ...


class Clock(Protocol):
    """Time comes in as a value."""

    def now(self) -> datetime: ...

    def sleep(self, seconds: float) -> None: ...


class DeviceTakenError(RefusedError):
    """Another repair of the same device is going on."""


class SeqError(ScepfixError):
    """Somebody else changed the remediation meanwhile: load it again and decide again."""
