"""The simulated MDM, over HTTP (docs/simulated-world.md)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from scepfix.adapters.authorization import BearerToken
from scepfix.adapters.doctor_lines import lines_of
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.web_service import WebService
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ListedCertificate, ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers.service_settings import ServiceSettings

#: Devices of one question.
_MOST = 1000

Read = TypeVar("Read")


class SimulatedMdm:
    """Implements service.ports.Mdm."""

    def __init__(self, settings: ServiceSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._service = WebService(settings, "mdm", MdmError, BearerToken(settings, "token"), sleep=sleep)

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError."""
        found = self._get(f"/profiles/{quote(self._settings.profile, safe='')}", "profile")
        profile = self._read(ManagedProfile.from_document, found)
        return replace(
            profile,
            identifier=visible(profile.identifier),
            name=visible(profile.name),
            payload_types=tuple(map(visible, profile.payload_types)),
            comes_back=visible(profile.comes_back),
            referred_by=tuple(map(visible, profile.referred_by)),
            group_uses=tuple(map(visible, profile.group_uses)),
        )

    def group_uses(self) -> tuple[str, ...]:
        """Return what else the exclusion group is used for. Raise MdmError."""
        return self.profile().group_uses

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number. Raise MdmError."""
        return self._search("/devices/search", "serial_numbers", serial_numbers, _device)

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices in scepfix's exclusion group. Raise MdmError."""
        said = self._get(f"{self._group}/members", "exclusion_group")
        return self._read(lambda said: tuple(_device(one) for one in _list(said)), said)

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Add the devices to the exclusion group, in one change. Raise MdmError."""
        self._change(f"{self._group}/add", mdm_ids)

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Take the devices out of the exclusion group, in one change. Raise MdmError."""
        self._change(f"{self._group}/remove", mdm_ids)

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Ask the devices to check in now. Raise MdmError."""
        self._change("/nudge", mdm_ids)

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Given MDM ids, return the lists that the devices answered at their last check-in. Raise MdmError."""
        return self._search("/certificates/search", "ids", mdm_ids, _certificates)

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Given MDM ids, return the newest line of the collector of each that has one. Raise MdmError."""
        return self._search("/collected/search", "ids", mdm_ids, _collected)

    def checks(self) -> Iterator[Check]:
        """Yield what can be seen of token, profile and exclusion group; never raises."""
        return lines_of(
            "mdm.credentials",
            {
                "mdm.credentials": self._see_credentials,
                "mdm.profile": self._see_profile,
                "mdm.exclusion-group": self._see_group,
            },
        )

    def _see_credentials(self, line: str) -> Check:
        self._service.ask("GET", f"{self._group}/members", accept=(403, 404))
        return Check(line, CheckResult.PASS, "it takes the token")

    def _see_profile(self, line: str) -> Check:
        return Check(line, CheckResult.PASS, f"it has {self.profile().identifier}")

    def _see_group(self, line: str) -> Check:
        members, uses = self.members(), self.group_uses()
        if uses:
            message = f"the exclusion group is not scepfix's alone: {', '.join(uses)}"
            hint = "make a group for scepfix that nothing else is scoped to or excludes"
            return Check(line, CheckResult.FAIL, message, hint)
        return Check(line, CheckResult.PASS, f"the exclusion group is scepfix's alone; {len(members)} in it now")

    @property
    def _group(self) -> str:
        return f"/groups/{quote(self._settings.exclusion_group, safe='')}"

    def _change(self, path: str, mdm_ids: Sequence[str]) -> None:
        reply = self._service.ask("POST", path, document={"ids": list(mdm_ids)}, needs="a token that may write")
        if reply.status == HTTPStatus.NOT_FOUND:
            raise self._service.wrong("answer", "there is no such group", "check mdm.exclusion_group in the settings")

    def _get(self, path: str, setting: str) -> Any:
        reply = self._service.ask("GET", path)
        if reply.status == HTTPStatus.NOT_FOUND:
            raise self._service.wrong(
                "answer", f"it knows nothing of that {setting}", f"check mdm.{setting} in the settings"
            )
        return self._service.json(reply)

    def _search(self, path: str, key: str, wanted: Sequence[str], one: Callable[[Any], Read]) -> dict[str, Read]:
        """Ask about many at once; a search changes nothing, so it may be asked again."""
        found: dict[str, Read] = {}
        for start in range(0, len(wanted), _MOST):
            asked = list(wanted[start : start + _MOST])
            reply = self._service.ask("POST", path, document={key: asked}, accept=(), repeatable=True)
            records = self._read(
                lambda said: {str(key): one(each) for key, each in said.items()}, self._service.json(reply)
            )
            # A record under a key that nobody asked for is nobody's.
            found.update({key: record for key, record in records.items() if key in asked})
        return found

    def _read(self, read: Callable[[Any], Read], said: Any) -> Read:
        try:
            return read(said)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._service.wrong("answer", "an answer of another form than expected", "is it this MDM?") from error


def _device(said: Any) -> MdmDevice:
    found = MdmDevice.from_document(said)
    return replace(
        found,
        name=visible(found.name),
        install_status=visible(found.install_status),
        set_apart=visible(found.set_apart),
    )


def _list(said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise TypeError("a list was expected")
    return said


def _certificates(said: Any) -> CertificateList:
    taken_at = parse_rfc3339(said["taken_at"])
    if taken_at is None:
        raise ValueError("taken_at is no moment")
    ders = [base64.b64decode(one, validate=True) for one in _list(said["certificates"])]
    return CertificateList(taken_at, tuple(ListedCertificate(der=der) for der in ders))


def _collected(said: Any) -> CollectedText:
    return CollectedText(str(said["line"]), parse_rfc3339(said["collected_at"]))
