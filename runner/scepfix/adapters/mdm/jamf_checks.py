"""What ``scepfix doctor`` can see of a Jamf Pro. Everything is a read; what only a change would show is not tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from scepfix.adapters.doctor_lines import line_of, line_of_error, not_looked_at
from scepfix.adapters.mdm.jamf_profile import ProfileAndGroup
from scepfix.adapters.mdm.jamf_service import (
    COMMANDS,
    INVENTORY,
    READ_COMMANDS,
    READ_COMPUTERS,
    READ_GROUPS,
    READ_PROFILES,
    UPDATE_GROUPS,
    JamfService,
)
from scepfix.adapters.service_clock import clock_check
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible
from scepfix.parsers import jamf_pro

CREDENTIALS = "mdm.credentials"
_FRESH_HOURS = 24


def checks(service: JamfService, ours: ProfileAndGroup, now: Callable[[], datetime]) -> Iterator[Check]:
    """Yield credentials, privileges, profile, exclusion group, inventory and clock. Never raises."""
    try:
        version = service.version()
        # The further checks take time, which is no difference of clocks.
        answered_at = now()
        said = service.json(version)
    except ScepfixError as error:
        yield line_of_error(CREDENTIALS, error)
        for name in ("mdm.privileges", "mdm.profile", "mdm.exclusion-group", "mdm.inventory", "mdm.clock"):
            yield not_looked_at(name, CREDENTIALS)
        return
    number = visible(str(said.get("version", ""))) if isinstance(said, dict) else ""
    yield Check(CREDENTIALS, CheckResult.PASS, f"Jamf Pro {number} takes the API client")
    yield from _privileges(service, ours)
    yield line_of("mdm.profile", lambda name: _profile(ours))
    yield line_of("mdm.exclusion-group", lambda name: _group(ours))
    yield line_of("mdm.inventory", lambda name: _inventory(service, now()))
    yield clock_check("mdm.clock", "Jamf Pro", version, answered_at)


def _privileges(service: JamfService, ours: ProfileAndGroup) -> Iterator[Check]:
    """One line for each that is missing."""
    name, missing, unseen = "mdm.privileges", 0, 0
    tries: dict[str, Callable[[], object]] = {
        READ_COMPUTERS: lambda: service.newest(INVENTORY, {"section": "GENERAL"}, READ_COMPUTERS, 1),
        READ_GROUPS: ours.group,
        READ_PROFILES: ours.profile,
    }
    for privilege, read in tries.items():
        try:
            read()
        except ScepfixError as error:
            if error.code == "mdm-privilege":
                missing += 1
                yield _missing(privilege)
            else:
                # Said in its own line further down.
                unseen += 1
    yield from _commands(service)
    if not missing and not unseen and service.commands_open:
        message = f"it may read what is needed; {UPDATE_GROUPS} is not tried: that would be a change"
        yield Check(name, CheckResult.PASS, message)


def _commands(service: JamfService) -> Iterator[Check]:
    query = {"filter": "command==REMOVE_PROFILE", "sort": "dateSent:desc"}
    try:
        service.newest(COMMANDS, query, READ_COMMANDS, 1)
    except ScepfixError as error:
        yield Check("mdm.privileges", CheckResult.UNKNOWN, f"MDM commands: {error.message}", error.hint)
    if not service.commands_open:
        without = "; each computer's history is read instead, locks and wipes are not seen, nobody is asked to check in"
        yield _missing(READ_COMMANDS, without)


def _missing(privilege: str, more: str = "") -> Check:
    return Check(
        "mdm.privileges",
        CheckResult.FAIL,
        f"the API client lacks the privilege {privilege}{more}",
        "add it to the API role of that client (Settings > API roles and clients)",
    )


def _profile(ours: ProfileAndGroup) -> Check:
    found = ours.profile()
    why = ours.why_it_stays_away(found)
    if why:
        message = f"the profile {found.name} would not come back by itself: {why}"
        return Check("mdm.profile", CheckResult.FAIL, message, "see 'Setting it up' in docs/providers/jamf.md")
    message = (
        f"the profile {found.name} comes back to whoever leaves the exclusion group; not looked at: smart groups "
        "outside its scope that ask for it"
    )
    return Check("mdm.profile", CheckResult.PASS, message)


def _group(ours: ProfileAndGroup) -> Check:
    group = ours.group()
    uses = (*ours.group_uses(), *ours.policy_uses())
    if uses:
        return Check(
            "mdm.exclusion-group",
            CheckResult.FAIL,
            f"the exclusion group {group.name} is used for more: {', '.join(uses[:5])}",
            "give scepfix a static group of its own, excluded by this one profile only",
        )
    members = f"{len(group.members)} member{'' if len(group.members) == 1 else 's'} now"
    message = f"{group.name} is a static group, {members}; no other profile and no policy uses it"
    return Check("mdm.exclusion-group", CheckResult.PASS, message)


def _inventory(service: JamfService, now: datetime) -> Check:
    """How old a certificate list would be, and whether a CERTIFICATE_LIST is followed by a newer inventory here."""
    name, query = "mdm.inventory", {"section": "GENERAL", "sort": "general.lastContact:desc"}
    page = service.newest(INVENTORY, query, READ_COMPUTERS)
    computers = [service.read(jamf_pro.read_computer, said) for said in page]
    awake = [one for one in computers if one.contact_at and now - one.contact_at < timedelta(hours=1)]
    ages = sorted(now - one.reported_at for one in awake if one.reported_at)
    if not ages:
        return Check(name, CheckResult.UNKNOWN, "no computer was in contact within the hour", "ask again later")
    hours = max(0.0, ages[len(ages) // 2].total_seconds() / 3600)
    reported = {one.management_id: one.reported_at for one in computers if one.reported_at}
    answers = {"filter": "command==CERTIFICATE_LIST", "sort": "dateSent:desc"}
    asked = service.newest(COMMANDS, answers, READ_COMMANDS) if service.commands_open else []
    found = [service.read(jamf_pro.read_command, said) for said in asked]
    newer = [
        reported[one.management_id] >= one.completed_at
        for one in found
        if one.acknowledged and one.completed_at and one.management_id in reported
    ]
    moves = "that cannot be told here" if not newer else "yes, as far as seen" if all(newer) else "no, or not always"
    message = (
        f"half of the computers in contact sent an inventory within {hours:.1f} hours; "
        f"does the command CERTIFICATE_LIST renew it: {moves}"
    )
    if hours <= _FRESH_HOURS:
        return Check(name, CheckResult.PASS, message)
    hint = "proof from the inventory alone waits that long: let a policy update it daily, or use the collector or SSH"
    return Check(name, CheckResult.UNKNOWN, message, hint)
