"""Reads the XML of Jamf's Classic API: a configuration profile with its scope, a group, a computer's commands.

Jamf publishes no schema of these bodies; the elements are those of jamf-cli's schemas and of go-sdk-jamfpro-v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scepfix.domain.errors import InputError
from scepfix.domain.inert import visible
from scepfix.parsers.apple_payload import text
from scepfix.parsers.jamf_pro import MdmCommand
from scepfix.parsers.plist_bytes import read_plist
from scepfix.parsers.safe_xml import Handlers, walk_xml

#: Parts of a scope that say by person, network or beacon whom it is for: nobody can tell that from the inventory.
_UNSEEN = {
    "users": "users",
    "user_groups": "user groups",
    "jss_users": "users",
    "jss_user_groups": "user groups",
    "network_segments": "network segments",
    "ibeacons": "iBeacon regions",
}
#: As the names of commands begin in a computer's history.
_HISTORY_KINDS = {
    "Install Configuration Profile ": "INSTALL_PROFILE",
    "Remove Configuration Profile ": "REMOVE_PROFILE",
}
_HISTORY_STATES = {"completed": "ACKNOWLEDGED", "pending": "PENDING", "failed": "ERROR"}


@dataclass(slots=True)
class Element:
    """One XML element; ``text`` is what stands directly in it."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def at(self, *path: str) -> Element:
        """Return the first element below that path, an empty one where there is none."""
        found = self
        for name in path:
            found = next((child for child in found.children if child.name == name), Element(name))
        return found

    def says(self, *path: str) -> str:
        return self.at(*path).text.strip()


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a scope targets, or excludes: by number, each with its name. ``unseen`` names kinds of entries that cannot
    be compared with the inventory."""

    computers: Mapping[str, str] = field(default_factory=dict)
    computer_groups: Mapping[str, str] = field(default_factory=dict)
    buildings: Mapping[str, str] = field(default_factory=dict)
    departments: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a profile or policy. ``limitations`` are the kinds of limitations there are."""

    all_computers: bool = False
    targets: Audience = field(default_factory=Audience)
    exclusions: Audience = field(default_factory=Audience)
    limitations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JamfProfile:
    """A macOS configuration profile. ``identifier`` is what a Mac shows; ``level``, ``method`` are in Jamf's words."""

    name: str
    identifier: str
    payload_types: tuple[str, ...]
    level: str
    method: str
    scope: Scope

    @property
    def of_computer(self) -> bool:
        """Is it for the computer, not for a user? Classic has been seen to write ``System``, ``computer`` and more."""
        return self.level.lower() in ("computer", "system", "computer level", "device")


@dataclass(frozen=True, slots=True)
class Member:
    """A computer in a group."""

    number: str
    name: str
    serial_number: str


@dataclass(frozen=True, slots=True)
class JamfGroup:
    """A computer group. ``criteria`` are the names of what a smart group asks for."""

    name: str
    smart: bool
    members: tuple[Member, ...] = ()
    criteria: tuple[str, ...] = ()


def read_xml(data: bytes, where: str) -> Element:
    """Given XML, return its root. Raise InputError for what is cut, declares entities or nests too deep."""
    root = Element("")
    open_elements = [root]

    def start(name: str) -> None:
        made = Element(name)
        open_elements[-1].children.append(made)
        open_elements.append(made)

    def end(name: str) -> None:
        open_elements.pop()

    def characters(found: str) -> None:
        open_elements[-1].text += found

    walk_xml(data, where, Handlers(start, end, characters))
    return root.children[0]


def read_profile(data: bytes, where: str) -> JamfProfile:
    """Given /osxconfigurationprofiles/id/N, return the profile. Raise InputError where it is none.

    The payloads are a property list within the XML; of it only identifier and payload types are kept: the SCEP
    challenge lies in it.
    """
    root = _root(data, where, "os_x_configuration_profile")
    general = root.at("general")
    payloads = read_plist(general.says("payloads").encode("utf-8"), f"{where}: payloads")
    if not isinstance(payloads, dict):
        raise InputError("no-profile", "its payloads are no profile", where=where)
    content = payloads.get("PayloadContent")
    types = (
        [text(one.get("PayloadType")) for one in content if isinstance(one, dict)] if isinstance(content, list) else []
    )
    return JamfProfile(
        name=visible(general.says("name")),
        identifier=visible(text(payloads.get("PayloadIdentifier")) or general.says("uuid")),
        payload_types=tuple(sorted({visible(one) for one in types if one})),
        level=visible(general.says("level")),
        method=visible(general.says("distribution_method")),
        scope=_scope(root.at("scope")),
    )


def read_scope(data: bytes, where: str) -> Scope:
    """Given the subset Scope of a profile or a policy, return it. Raise InputError."""
    return _scope(read_xml(data, where).at("scope"))


def read_names(data: bytes, where: str) -> dict[str, str]:
    """Given a list (of profiles, policies or groups), return the names by number. Raise InputError."""
    return {one.says("id"): visible(one.says("name")) for one in read_xml(data, where).children if one.says("id")}


def read_group(data: bytes, where: str) -> JamfGroup:
    """Given /computergroups/id/N, return the group. Raise InputError where it is none."""
    root = _root(data, where, "computer_group")
    return JamfGroup(
        name=visible(root.says("name")),
        # What does not say that it is static is not taken for static.
        smart=root.says("is_smart") != "false",
        members=tuple(
            Member(one.says("id"), visible(one.says("name")), visible(one.says("serial_number")))
            for one in root.at("computers").children
            if one.name == "computer"
        ),
        criteria=tuple(visible(one.says("name")) for one in root.at("criteria").children if one.name == "criterion"),
    )


def read_history(data: bytes, where: str, profile_name: str, management_id: str) -> tuple[MdmCommand, ...]:
    """Given the subset Commands of a computer's history and a profile's name, return the commands about that profile.

    They bear no id, only a name such as ``Install Configuration Profile NAME``. Raise InputError.
    """
    commands = _root(data, where, "computer_history").at("commands")
    found = []
    for part, state in _HISTORY_STATES.items():
        for one in commands.at(part).children:
            name = visible(one.says("name"))
            kind = next((kind for begin, kind in _HISTORY_KINDS.items() if name == begin + profile_name), "")
            if kind:
                not_now = part == "pending" and "notnow" in one.says("status").replace(" ", "").lower()
                ended = _moment(one.says(f"{part}_epoch"))
                sent = _moment(one.says("issued_epoch"))
                found.append(MdmCommand(management_id, kind, "NOT_NOW" if not_now else state, sent, ended))
    return tuple(found)


def _root(data: bytes, where: str, name: str) -> Element:
    root = read_xml(data, where)
    if root.name != name:
        raise InputError("xml-broken", "this is something else", where=where)
    return root


def _scope(scope: Element) -> Scope:
    return Scope(
        all_computers=scope.says("all_computers") == "true",
        targets=_audience(scope),
        exclusions=_audience(scope.at("exclusions")),
        limitations=_unseen(scope.at("limitations")),
    )


def _audience(part: Element) -> Audience:
    return Audience(
        computers=_names(part.at("computers")),
        computer_groups=_names(part.at("computer_groups")),
        buildings=_names(part.at("buildings")),
        departments=_names(part.at("departments")),
        unseen=_unseen(part),
    )


def _names(part: Element) -> dict[str, str]:
    return {one.says("id"): visible(one.says("name")) for one in part.children if one.says("id")}


def _unseen(part: Element) -> tuple[str, ...]:
    # Only entries that are there: an empty list is written as an empty element, and lists may begin with a <size>.
    there = [kind for name, kind in _UNSEEN.items() if any(one.children for one in part.at(name).children)]
    return tuple(dict.fromkeys(there))


def _moment(epoch: str) -> datetime | None:
    """Given an epoch, in milliseconds as Jamf writes it or in seconds, return the moment; None for anything else."""
    if not epoch.isascii() or not epoch.isdigit() or not 0 < len(epoch) <= 14:
        return None
    number = int(epoch)
    return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC) if number else None
