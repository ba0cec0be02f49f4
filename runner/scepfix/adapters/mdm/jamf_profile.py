"""What Jamf Pro says of the one profile and the one group: does it come back, what did it issue, who uses the group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from scepfix.adapters.mdm.jamf_service import (
    COMMANDS,
    INVENTORY,
    READ_COMMANDS,
    READ_COMPUTERS,
    READ_GROUPS,
    READ_PROFILES,
    JamfService,
)
from scepfix.domain.errors import UsageError
from scepfix.domain.inert import visible
from scepfix.parsers import jamf_classic, jamf_pro
from scepfix.parsers.jamf_classic import JamfGroup, JamfProfile
from scepfix.parsers.jamf_pro import NUMBER
from scepfix.parsers.jamf_record import shown_profile
from scepfix.parsers.service_settings import ServiceSettings

#: Who else uses the group costs a question for each profile: asked again after that time at the earliest.
_USES_SECONDS = 600.0
_MOST_SCOPES = 2_000


class ProfileAndGroup:
    """``number`` and ``group_number`` are those of the settings. ``read`` is the profile as it was read last."""

    def __init__(self, service: JamfService, settings: ServiceSettings, monotonic: Callable[[], float]) -> None:
        self.number = _number(settings, "profile")
        self.group_number = _number(settings, "exclusion_group")
        self._service, self._monotonic = service, monotonic
        self.read: JamfProfile | None = None
        #: The group was seen to be static: what a group is does not change.
        self._static = False
        #: By the number of a group: why the profile's scope must not rest on it, or "".
        self._moved_by: dict[str, str] = {}
        self._uses: tuple[float, tuple[str, ...]] | None = None

    def profile(self) -> JamfProfile:
        """Read the profile. Raise MdmError."""
        reply = self._service.classic(f"/osxconfigurationprofiles/id/{self.number}", READ_PROFILES)
        if reply.status == 404:
            raise self._service.not_there(f"macOS configuration profile with the number {self.number}", "profile")
        self.read = self._service.read(jamf_classic.read_profile, reply.body, "Jamf Pro: profile")
        return self.read

    def group(self) -> JamfGroup:
        """Read the exclusion group. Raise MdmError; a smart group is ``mdm-refused``."""
        reply = self._service.classic(f"/computergroups/id/{self.group_number}", READ_GROUPS)
        if reply.status == 404:
            raise self._service.not_there(f"computer group with the number {self.group_number}", "exclusion_group")
        found = self._service.read(jamf_classic.read_group, reply.body, "Jamf Pro: group")
        if found.smart:
            raise self._service.wrong(
                "refused",
                f"{found.name or self.group_number} is a smart group: nobody can be put into it",
                "name a static computer group in mdm.exclusion_group",
            )
        self._static = True
        return found

    def refuse_smart(self) -> None:
        """Raise MdmError where the group is not known to be static, and is not."""
        if not self._static:
            self.group()

    def why_it_stays_away(self, profile: JamfProfile) -> str:
        """Return why a device that leaves the group would not get the profile by itself, "" where it would."""
        scope = profile.scope
        if profile.method.lower() != "install automatically":
            return f"it is not installed automatically ({profile.method or 'Jamf does not say how'})"
        if not profile.of_computer:
            return f"it is of the level {profile.level or '(none)'}, not of the computer"
        if self.group_number not in scope.exclusions.computer_groups:
            return f"its scope does not exclude the group {self.group_number}, so membership moves nothing"
        if self.group_number in scope.targets.computer_groups:
            return f"the exclusion group {self.group_number} is among its targets too"
        for what, kinds in (("limited to", scope.limitations), ("kept from", scope.exclusions.unseen)):
            if kinds:
                return f"it is {what} certain {' and '.join(kinds)}, which cannot be checked from here"
        groups = {**scope.targets.computer_groups, **scope.exclusions.computer_groups}
        return next((why for why in (self._moved(*one) for one in groups.items()) if why), "")

    def group_uses(self) -> tuple[str, ...]:
        """Return what other profiles make of the exclusion group. One question for each: kept for a while."""
        if self._uses is None or self._monotonic() - self._uses[0] > _USES_SECONDS:
            uses = tuple(self._others("osxconfigurationprofiles", "profile", READ_PROFILES))
            self._uses = self._monotonic(), uses
        return self._uses[1]

    def policy_uses(self) -> tuple[str, ...]:
        """Return what policies make of the exclusion group. One question for each."""
        return tuple(self._others("policies", "policy", "Read Policies"))

    def last_issued(self, profile: JamfProfile) -> datetime | None:
        """Return when a device last acknowledged an install of the profile, which a Mac does with its certificate."""
        query = {"filter": f"command==INSTALL_PROFILE;profileId=={self.number}", "sort": "dateSent:desc"}
        page = self._service.newest(COMMANDS, query, READ_COMMANDS) if self._service.commands_open else []
        commands = [self._service.read(jamf_pro.read_command, said) for said in page]
        found = [one.completed_at for one in commands if one.acknowledged and one.profile == self.number]
        newest = max((at for at in found if at), default=None)
        if newest is not None:
            return newest
        # Old commands are flushed from the log, or may not be read: then what the newest inventories show.
        more = {"section": ("GENERAL", "CONFIGURATION_PROFILES"), "sort": "general.reportDate:desc"}
        computers = self._service.newest(INVENTORY, more, READ_COMPUTERS)
        shown = [shown_profile(self._service.read(jamf_pro.read_computer, said), profile) for said in computers]
        return max((one.installed_at for one in shown if one and one.installed_at), default=None)

    def _moved(self, number: str, name: str) -> str:
        """Return what is wrong with a group of the scope whose members change with the profile or its certificate."""
        if number == self.group_number or not NUMBER.fullmatch(number):
            return ""
        if number not in self._moved_by:
            reply = self._service.classic(f"/computergroups/id/{number}", "Read Smart Computer Groups")
            criteria = (
                self._service.read(jamf_classic.read_group, reply.body, "Jamf Pro: group").criteria
                if reply.status != 404
                else ()
            )
            asked = [one for one in criteria if "profile" in one.lower() or "certificate" in one.lower()]
            self._moved_by[number] = (
                f"the group {name} of its scope asks for {', '.join(asked)}, which the removal itself changes"
                if asked
                else ""
            )
        return self._moved_by[number]

    def _others(self, collection: str, called: str, needs: str) -> Iterator[str]:
        reply = self._service.classic(f"/{collection}", needs)
        names = self._service.read(jamf_classic.read_names, reply.body, "Jamf Pro: list") if reply.status != 404 else {}
        own = self.number if called == "profile" else ""
        asked = [(number, name) for number, name in names.items() if number != own and NUMBER.fullmatch(number)]
        if len(asked) > _MOST_SCOPES:
            raise self._service.wrong(
                "answer",
                f"{len(asked)} of {collection}: too many to look whether one uses the exclusion group",
                "look at the group in Jamf Pro yourself",
            )
        for number, name in asked:
            reply = self._service.classic(f"/{collection}/id/{number}/subset/Scope", needs)
            if reply.status == 404:
                continue
            scope = self._service.read(jamf_classic.read_scope, reply.body, "Jamf Pro: scope")
            if self.group_number in scope.exclusions.computer_groups:
                yield f"the {called} {name} excludes it"
            if self.group_number in scope.targets.computer_groups:
                yield f"the {called} {name} targets it"


def _number(settings: ServiceSettings, key: str) -> str:
    value = settings.text(key)
    if not NUMBER.fullmatch(value):
        raise UsageError(
            "settings",
            f"mdm.{key} is {visible(value)[:40]!r}; Jamf Pro wants its number",
            where="mdm",
            hint="the number after id= in the address of its page in Jamf Pro",
        )
    return value
