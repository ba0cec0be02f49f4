"""Reads the JSON of the Jamf Pro API: computers of the inventory (v4) and MDM commands (v2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scepfix.domain.inert import visible
from scepfix.domain.mdm import ListedCertificate
from scepfix.domain.moment import parse_rfc3339

#: Jamf Pro numbers its computers, groups and profiles.
NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
#: What may stand between double quotes in a query. A Mac's has letters and digits only, a virtual one's more.
SERIAL_NUMBER = re.compile(r"[A-Za-z0-9+/=._ -]{1,64}", re.ASCII)
_MANAGEMENT_ID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
#: The collector prints fewer than 2,000 characters (docs/collector.md).
_LONGEST_LINE = 4_096


@dataclass(frozen=True, slots=True)
class ShownProfile:
    """A configuration profile that the inventory lists for a computer."""

    number: str
    identifier: str
    installed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Computer:
    """One computer of the inventory; "" and None where it does not say. ``number`` is Jamf's id of it.

    ``management_id`` names it where MDM commands are. ``reported_at`` is when it sent the inventory that
    ``profiles`` are from, ``contact_at`` when it was last in contact. ``groups`` are numbers, smart ones included.
    """

    number: str
    management_id: str = ""
    serial_number: str = ""
    hardware_uuid: str = ""
    name: str = ""
    managed: bool = False
    reported_at: datetime | None = None
    contact_at: datetime | None = None
    enrolled_at: datetime | None = None
    profiles: tuple[ShownProfile, ...] = ()
    groups: frozenset[str] = frozenset()
    building: str = ""
    department: str = ""


@dataclass(frozen=True, slots=True)
class MdmCommand:
    """One MDM command. ``state``: ``PENDING``, ``ACKNOWLEDGED``, ``NOT_NOW``, ``ERROR`` or ``COMMAND_FORMAT_ERROR``.

    ``kind`` is Jamf's name of it (``REMOVE_PROFILE``), "" where it does not say; ``profile`` the number of the
    profile that it is about, "" where it does not say.
    """

    management_id: str
    kind: str
    state: str
    sent_at: datetime | None = None
    completed_at: datetime | None = None
    profile: str = ""

    @property
    def acknowledged(self) -> bool:
        return self.state == "ACKNOWLEDGED"

    @property
    def pending(self) -> bool:
        return self.state in ("PENDING", "NOT_NOW")


def read_page(said: Any) -> tuple[int, list[Mapping[str, Any]]]:
    """Given a page, return how many results there are in all, and those in it. Raise TypeError for another form."""
    results = said["results"]
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise TypeError("results is no list of objects")
    total = said.get("totalCount", len(results))
    if not isinstance(total, int):
        raise TypeError("totalCount is no number")
    return total, results


def read_computer(said: Mapping[str, Any]) -> Computer:
    """Given one result of /v4/computers-inventory, return the computer. Raise ValueError where its id is none."""
    number = str(said.get("id", ""))
    if not NUMBER.fullmatch(number):
        raise ValueError("a computer without a number")
    general, hardware, location = (_part(said, key) for key in ("general", "hardware", "userAndLocation"))
    management_id = str(general.get("managementId") or "")
    return Computer(
        number=number,
        management_id=management_id if _MANAGEMENT_ID.fullmatch(management_id) else "",
        serial_number=_word(hardware.get("serialNumber")),
        hardware_uuid=_word(said.get("udid")).upper(),
        name=_word(general.get("name")),
        managed=_part(general, "remoteManagement").get("managed") is True
        and _part(general, "mdmCapable").get("capable") is not False,
        reported_at=parse_rfc3339(general.get("reportDate")),
        contact_at=parse_rfc3339(general.get("lastContact")) or parse_rfc3339(general.get("lastCheckIn")),
        enrolled_at=parse_rfc3339(general.get("lastEnrolledDate")),
        profiles=tuple(
            ShownProfile(
                str(one.get("id", "")), _word(one.get("profileIdentifier")), parse_rfc3339(one.get("lastInstalled"))
            )
            for one in _list(said, "configurationProfiles")
        ),
        groups=frozenset(str(one.get("groupId", "")) for one in _list(said, "groupMemberships")),
        building=_word(location.get("buildingId")),
        department=_word(location.get("departmentId")),
    )


def read_certificates(said: Mapping[str, Any]) -> tuple[ListedCertificate, ...]:
    """Given one result with the section CERTIFICATES, return what it lists: no DER, no extensions.

    What lifecycleStatus INACTIVE means is nowhere stated; taken as *the Mac does not report it any more*.
    """
    return tuple(
        ListedCertificate(
            serial_number=_hex(one.get("serialNumber")).lstrip("0"),
            sha1=_hex(one.get("sha1Fingerprint")),
            common_name=_word(one.get("commonName")),
            not_before=parse_rfc3339(one.get("issuedDate")),
            not_after=parse_rfc3339(one.get("expirationDate")),
            current={"ACTIVE": True, "INACTIVE": False}.get(str(one.get("lifecycleStatus"))),
        )
        for one in _list(said, "certificates")
    )


def read_attribute(said: Mapping[str, Any], name: str) -> str | None:
    """Given one result and the name of an extension attribute, return its first value as it is; None where there is
    none. Jamf puts an attribute into the part of the inventory in which it is displayed."""
    parts = [said, *(_part(said, key) for key in ("general", "hardware", "operatingSystem", "userAndLocation"))]
    for part in [*parts, _part(said, "purchasing")]:
        for one in _list(part, "extensionAttributes"):
            values = one.get("values")
            if one.get("name") == name and isinstance(values, list) and values and isinstance(values[0], str):
                return values[0][:_LONGEST_LINE]
    return None


def read_command(said: Mapping[str, Any]) -> MdmCommand:
    """Given one result of /v2/mdm/commands, return the command. Never raises."""
    profile = said.get("profileId")
    return MdmCommand(
        management_id=str(_part(said, "client").get("managementId") or ""),
        kind=_word(said.get("commandType")),
        state=_word(said.get("commandState")),
        sent_at=parse_rfc3339(said.get("dateSent")),
        completed_at=parse_rfc3339(said.get("dateCompleted")),
        profile=str(profile) if isinstance(profile, int | str) and NUMBER.fullmatch(str(profile)) else "",
    )


def _part(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _list(said: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    found = said.get(key)
    return (one for one in found if isinstance(one, dict)) if isinstance(found, list) else iter(())


def _word(value: object) -> str:
    return visible(value.strip()) if isinstance(value, str) else ""


def _hex(value: object) -> str:
    """Return lower-case hex without prefix and separators, "" for anything else."""
    text = re.sub(r"[\s:]", "", value).lower().removeprefix("0x") if isinstance(value, str) else ""
    return text if re.fullmatch(r"[0-9a-f]{1,128}", text) else ""
