"""Jamf Pro (docs/providers/jamf.md): group changes by its Classic API, reading in bulk by the Jamf Pro API.

Removal and re-install are asked for by membership of one static group, which the profile excludes. The profile itself
is never written: saving it re-issues every certificate of the fleet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from scepfix.adapters.mdm import MdmError, jamf_checks
from scepfix.adapters.mdm.jamf_profile import ProfileAndGroup
from scepfix.adapters.mdm.jamf_service import READ_COMPUTERS, UPDATE_GROUPS, JamfService
from scepfix.domain.check import Check
from scepfix.domain.device import Identity
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.parsers import jamf_classic, jamf_pro
from scepfix.parsers.jamf_classic import JamfProfile
from scepfix.parsers.jamf_pro import NUMBER, SERIAL_NUMBER, Computer, MdmCommand
from scepfix.parsers.jamf_record import SET_APART, newer, read_record
from scepfix.parsers.service_settings import ServiceSettings

_OF_A_RECORD = ("GENERAL", "HARDWARE", "CONFIGURATION_PROFILES", "USER_AND_LOCATION", "GROUP_MEMBERSHIPS")
#: An extension attribute stands in the part of the inventory in which it is displayed.
_OF_ATTRIBUTES = (
    *("GENERAL", "HARDWARE", "OPERATING_SYSTEM", "USER_AND_LOCATION", "PURCHASING"),
    "EXTENSION_ATTRIBUTES",
)


class JamfPro:
    """Implements service.ports.Mdm."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._now = settings, now
        self._service = JamfService(settings, sleep=sleep, monotonic=monotonic)
        self._ours = ProfileAndGroup(self._service, settings, monotonic)
        #: How Jamf calls a computer where MDM commands are, by its number.
        self._management_ids: dict[str, str] = {}

    # --- reading --------------------------------------------------------------------------------------------------

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError; a smart exclusion group is refused.

        When it last changed Jamf does not tell. What else uses the exclusion group costs a question for each other
        profile, and is asked only by who may not change anything: for a plan, at preflight, by the doctor.
        """
        found = self._ours.profile()
        self._ours.refuse_smart()
        return ManagedProfile(
            identifier=found.identifier,
            name=found.name,
            payload_types=found.payload_types,
            scope="system" if found.of_computer else "user",
            comes_back=self._ours.why_it_stays_away(found),
            last_issued_at=self._ours.last_issued(found),
        )

    def group_uses(self) -> tuple[str, ...]:
        """Return what else uses the exclusion group: a question for each other profile. Raise MdmError."""
        return self._ours.group_uses()

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number. Raise MdmError."""
        # Whatever else may stand in a serial number would end up in a query.
        wanted = {one.upper(): one for one in serial_numbers if SERIAL_NUMBER.fullmatch(one)}
        found: dict[str, Computer] = {}
        for said in self._service.computers("hardware.serialNumber", sorted(wanted), _OF_A_RECORD):
            one = self._service.read(jamf_pro.read_computer, said)
            serial = one.serial_number.upper()
            if serial in wanted:
                found[serial] = newer(one, found.get(serial))
        if not found:
            return {}
        self._management_ids |= {one.number: one.management_id for one in found.values()}
        profile = self._ours.read or self._ours.profile()
        members = {one.number for one in self._ours.group().members}
        commands, now = self._commands_of(found.values(), profile), self._now()
        return {
            wanted[serial]: read_record(
                one,
                profile,
                self._ours.group_number,
                member=one.number in members,
                commands=commands[one.number],
                now=now,
            )
            for serial, one in found.items()
        }

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices in scepfix's exclusion group. Raise MdmError."""
        return tuple(
            MdmDevice(Identity(one.serial_number.upper(), "", one.number), one.name, excluded=True)
            for one in self._ours.group().members
            if NUMBER.fullmatch(one.number)
        )

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Return the lists of the inventory, by id: as old as the inventory, and without DER. Raise MdmError."""
        found: dict[str, CertificateList] = {}
        for said in self._service.computers("id", _numbers(mdm_ids), ("GENERAL", "CERTIFICATES")):
            one = self._service.read(jamf_pro.read_computer, said)
            listed = self._service.read(jamf_pro.read_certificates, said)
            if one.number in mdm_ids and one.reported_at is not None:
                found[one.number] = CertificateList(one.reported_at, listed)
        return found

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Return the collector's line by id: an extension attribute, as old as the inventory. Raise MdmError."""
        name = self._settings.text("collector_attribute")
        found: dict[str, CollectedText] = {}
        for said in self._service.computers("id", _numbers(mdm_ids) if name else (), _OF_ATTRIBUTES):
            one = self._service.read(jamf_pro.read_computer, said)
            line = jamf_pro.read_attribute(said, name)
            if one.number in mdm_ids and line:
                found[one.number] = CollectedText(line, one.reported_at)
        return found

    def checks(self) -> Iterator[Check]:
        """Yield what ``scepfix doctor`` can see. Never raises."""
        return jamf_checks.checks(self._service, self._ours, self._now)

    # --- changing -------------------------------------------------------------------------------------------------

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Add the devices to the exclusion group, in one change. Raise MdmError."""
        self._ours.refuse_smart()
        self._change("computer_additions", mdm_ids, lambda: self._known(mdm_ids))

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Take the devices out of the exclusion group, in one change. Raise MdmError.

        A RemoveProfile that is still pending is left alone: Jamf can flush only *all* pending commands of a computer,
        other people's too. The InstallProfile that leaving the group queues comes after it.
        """
        self._change("computer_deletions", mdm_ids, lambda: {one.number for one in self._ours.group().members})

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Ask the devices to check in now, by a blank push. Raise MdmError."""
        self._known([one for one in mdm_ids if one not in self._management_ids])
        names = sorted({self._management_ids.get(one, "") for one in mdm_ids} - {""})
        if names:
            self._service.blank_push(names)

    def _change(self, verb: str, mdm_ids: Sequence[str], there: Callable[[], Collection[str]]) -> None:
        """Change the membership of those computers, in one call. No other member is in it: no list is replaced.

        Jamf refuses the whole change (409, "Unable to match computer") where it does not know one of them any more;
        it is then made for those that are ``there``.
        """
        ids = _numbers(mdm_ids)
        if not ids or self._changed(verb, ids):
            return
        known = there()
        left = [one for one in ids if one in known]
        if left != ids and (not left or self._changed(verb, left)):
            return
        raise self._service.wrong(
            "refused",
            "it refused to change the exclusion group (409)",
            "do the group and the computers belong to the same site?",
        )

    def _changed(self, verb: str, ids: Sequence[str]) -> bool:
        computers = "".join(f"<computer><id>{one}</id></computer>" for one in ids)
        reply = self._service.classic(
            f"/computergroups/id/{self._ours.group_number}",
            UPDATE_GROUPS,
            method="PUT",
            body=f"<computer_group><{verb}>{computers}</{verb}></computer_group>".encode("ascii"),
            accept=(404, 409),
        )
        if reply.status == 404:
            raise self._service.not_there(
                f"computer group with the number {self._ours.group_number}", "exclusion_group"
            )
        return reply.status != 409

    def _known(self, mdm_ids: Sequence[str]) -> set[str]:
        """Return those of the numbers that Jamf knows; their names among the MDM's clients are kept."""
        found = self._service.computers("id", _numbers(mdm_ids), ("GENERAL",))
        computers = [self._service.read(jamf_pro.read_computer, said) for said in found]
        self._management_ids |= {one.number: one.management_id for one in computers}
        return {one.number for one in computers}

    # --- commands -------------------------------------------------------------------------------------------------

    def _commands_of(self, computers: Collection[Computer], profile: JamfProfile) -> dict[str, list[MdmCommand]]:
        """Return by number of the computer what was asked of it about the profile, and locks and wipes."""
        found: dict[str, list[MdmCommand]] = {one.number: [] for one in computers}
        numbers = {one.management_id: one.number for one in computers if one.management_id}
        for one in self._commands(f"command=in=({','.join(SET_APART)})", numbers):
            found[numbers[one.management_id]].append(one)
        about: list[MdmCommand] = []
        for kind in ("REMOVE_PROFILE", "INSTALL_PROFILE"):
            # One question for each kind: Jamf's own list of what a reply may call a command lacks these two.
            for one in self._commands(f"command=={kind};profileId=={self._ours.number}", numbers):
                about.append(replace(one, kind=kind))
        if self._service.commands_open and all(one.profile for one in about):
            for one in about:
                # A field that Jamf does not know in a filter is passed over in silence, and everything comes.
                if one.profile == self._ours.number:
                    found[numbers[one.management_id]].append(one)
        else:
            for computer in computers:
                found[computer.number] += self._history(computer, profile)
        return found

    def _commands(self, about: str, numbers: Mapping[str, str]) -> Iterator[MdmCommand]:
        if self._service.commands_open:
            for said in self._service.commands(about, sorted(numbers)):
                one = self._service.read(jamf_pro.read_command, said)
                if one.management_id in numbers:
                    yield one

    def _history(self, computer: Computer, profile: JamfProfile) -> Sequence[MdmCommand]:
        """The same from the Classic API: a question for each computer, the profile told apart by its name."""
        reply = self._service.classic(f"/computerhistory/id/{computer.number}/subset/Commands", READ_COMPUTERS)
        if reply.status == 404:
            return ()
        where, name = "Jamf Pro: history", profile.name
        return self._service.read(jamf_classic.read_history, reply.body, where, name, computer.management_id)


def _numbers(mdm_ids: Sequence[str]) -> list[str]:
    """Return the ids, once each, in order. Nothing but a number ever gets into a path, a query or a body."""
    wrong = [one for one in mdm_ids if not NUMBER.fullmatch(one)]
    if wrong:
        raise MdmError("mdm-refused", f"{visible(wrong[0])[:40]} is not the number of a computer", where="mdm")
    return sorted(set(mdm_ids), key=int)
