"""The simulated MDM, over HTTP (docs/simulated-world.md)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from scepfix.adapters.json_http import JsonService
from scepfix.adapters.mdm import MdmError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers.settings import ServiceSettings

#: Serial numbers of one question.
_MOST = 1000

Read = TypeVar("Read")


class SimulatedMdm:
    """Implements service.ports.Mdm. ``read_only``: what would change something is refused before any call."""

    def __init__(self, settings: ServiceSettings, read_only: bool) -> None:
        self._settings, self._read_only = settings, read_only
        self._service = JsonService(settings, "mdm", MdmError)

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError."""
        found = self._known(f"/profiles/{quote(self._settings.profile, safe='')}", "profile")
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

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number. Raise MdmError."""
        found: dict[str, MdmDevice] = {}
        for start in range(0, len(serial_numbers), _MOST):
            asked = list(serial_numbers[start : start + _MOST])
            _, said = self._service.ask("POST", "/devices/search", body={"serial_numbers": asked})
            records = self._read(lambda said: {str(key): _device(one) for key, one in said.items()}, said)
            # A record under a serial number that nobody asked for is nobody's.
            found.update({key: record for key, record in records.items() if key in asked})
        return found

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices in scepfix's exclusion group. Raise MdmError."""
        said = self._known(f"{self._group}/members", "exclusion_group")
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

    def certificates(self, mdm_id: str) -> tuple[datetime, tuple[bytes, ...]] | None:
        """Return when the device's certificate list was taken and its DERs, or None. Raise MdmError."""
        status, said = self._service.ask("GET", f"/devices/{quote(mdm_id, safe='')}/certificates")
        return None if status == 404 else self._read(_certificates, said)

    @property
    def _group(self) -> str:
        return f"/groups/{quote(self._settings.exclusion_group, safe='')}"

    def _change(self, path: str, mdm_ids: Sequence[str]) -> None:
        if self._read_only:
            raise self._service.wrong(
                "refused", "the MDM was opened to read only", "a preview changes nothing; this is a fault of scepfix"
            )
        status, _ = self._service.ask("POST", path, body={"ids": list(mdm_ids)})
        if status == 404:
            raise self._service.wrong("answer", "there is no such group", "check mdm.exclusion_group in the settings")

    def _known(self, path: str, setting: str) -> Any:
        status, said = self._service.ask("GET", path)
        if status == 404:
            raise self._service.wrong(
                "answer", f"it knows nothing of that {setting}", f"check mdm.{setting} in the settings"
            )
        return said

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


def _certificates(said: Any) -> tuple[datetime, tuple[bytes, ...]]:
    taken_at = parse_rfc3339(said["taken_at"])
    if taken_at is None:
        raise ValueError("taken_at is no moment")
    return taken_at, tuple(base64.b64decode(one, validate=True) for one in _list(said["certificates"]))
