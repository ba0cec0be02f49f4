"""What the commands that were sent to one device, and its answers, say about the profile on it.

NanoMDM has no groups and tells nothing about its queues, so this is worked out from our own journal. Its queue of a
device is in the order of the sending, but for commands that were answered NotNow: those are sent again later, and a
command behind them may overtake them (NanoMDM: storage/*/queue, RetrieveNextCommand).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Change(StrEnum):
    """A command that moves the profile."""

    REMOVE = "RemoveProfile"
    INSTALL = "InstallProfile"


class State(StrEnum):
    """What became of a command.

    ``Asked``: written down, and NanoMDM did not say that it took it. ``Waiting``: in the queue, not answered. ``Seen``:
    not answered that we know of, and a later list shows that it was done. ``Lost``: nor done, although a later question
    was answered. ``Dropped``: the device enrolled anew, which empties its queue. ``Refused``: NanoMDM did not take it.
    """

    ASKED = "Asked"
    WAITING = "Waiting"
    NOT_NOW = "NotNow"
    ACKNOWLEDGED = "Acknowledged"
    SEEN = "Seen"
    ERROR = "Error"
    LOST = "Lost"
    DROPPED = "Dropped"
    REFUSED = "Refused"


#: Not answered, and not known to wait for a better time.
OPEN = frozenset({State.ASKED, State.WAITING})
_ALIVE = OPEN | {State.NOT_NOW}
_DONE = frozenset({State.ACKNOWLEDGED, State.SEEN})


@dataclass(frozen=True, slots=True)
class Sent:
    """One command to one device. ``number`` is its place among all that was written down, ``settled`` that of its
    answer (0: none); ``settled_at`` is when we got that."""

    change: Change
    number: int
    sent_at: datetime
    state: State = State.ASKED
    settled: int = 0
    settled_at: datetime | None = None

    @property
    def alive(self) -> bool:
        return self.state in _ALIVE

    @property
    def done(self) -> bool:
        return self.state in _DONE


@dataclass(frozen=True, slots=True)
class Listed:
    """Whether the profile was in the newest list of profiles; ``number`` is that list's place."""

    number: int
    installed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The profile on one device, in the words of domain.mdm.MdmDevice.

    ``perhaps_excluded`` counts a removal that perhaps was never sent, too. ``waiting_since``: when the oldest command
    was sent that is not answered. ``put_off_at``: when the device last said NotNow to the newest command. ``doubtful``:
    a command failed, and no list since then tells of the profile.
    """

    excluded: bool = False
    perhaps_excluded: bool = False
    installed: bool | None = None
    removal_pending: bool = False
    removed_at: datetime | None = None
    installed_at: datetime | None = None
    install_status: str = ""
    waiting_since: datetime | None = None
    put_off_at: datetime | None = None
    doubtful: bool = False


def standing(commands: Sequence[Sent], listed: Listed | None, enrolled: int) -> Standing:
    """Given our commands to a device in the order of their sending, the newest list, and the place of its last
    enrolment (0: none seen), return how it stands."""
    removals = [one for one in commands if one.change is Change.REMOVE]
    installs = [one for one in commands if one.change is Change.INSTALL]
    alive = [one for one in commands if one.alive]
    return Standing(
        excluded=_excluded([one for one in removals if one.state is not State.ASKED], installs),
        perhaps_excluded=_excluded(removals, installs),
        installed=_installed(commands, listed, enrolled),
        removal_pending=any(one.alive for one in removals),
        removed_at=max((one.settled_at for one in removals if one.done and one.settled_at), default=None),
        installed_at=max((one.settled_at for one in installs if one.done and one.settled_at), default=None),
        install_status=_status(installs),
        waiting_since=min((one.sent_at for one in alive), default=None),
        put_off_at=commands[-1].settled_at if commands and commands[-1].state is State.NOT_NOW else None,
        doubtful=any(one.state is State.ERROR and one.settled > (listed.number if listed else 0) for one in commands),
    )


def _excluded(removals: Sequence[Sent], installs: Sequence[Sent]) -> bool:
    """Was it asked, or made, to go without the profile, with no install to come?

    The error to avoid is a device that is forgotten; one that gets an install too many has a certificate too many.
    """
    asked = [one for one in removals if one.state not in (State.LOST, State.REFUSED)]
    if not asked:
        return False
    last = asked[-1].number
    # An install that perhaps was never sent brings nothing for sure: it is sent again, as the same command.
    if any(one.alive and one.state is not State.ASKED and one.number > last for one in installs):
        return False
    put_back = [one for one in installs if one.done]
    if not any(one.number > last for one in put_back):
        return True
    # A removal that was answered NotNow and overtaken: it took away what the install had brought.
    return max((one.settled for one in asked if one.done), default=0) > max(one.settled for one in put_back)


def _installed(commands: Sequence[Sent], listed: Listed | None, enrolled: int) -> bool | None:
    facts = [(one.settled, one.change is Change.INSTALL) for one in commands if one.done]
    if listed is not None:
        facts.append((listed.number, listed.installed))
    newest, installed = max(facts, default=(0, None))
    return None if newest < enrolled else installed


def _status(installs: Sequence[Sent]) -> str:
    if not installs:
        return ""
    last = installs[-1]
    if last.done:
        return "Acknowledged"
    words = {State.ASKED: "Pending", State.WAITING: "Pending", State.NOT_NOW: "NotNow", State.ERROR: "Error"}
    return words.get(last.state, "")
