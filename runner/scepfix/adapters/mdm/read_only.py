"""An MDM that is only looked at: whatever would change something is refused before any call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scepfix.adapters.mdm import MdmError
from scepfix.domain.check import Check
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.service.ports import Mdm


class ReadOnlyMdm:
    """Implements service.ports.Mdm around another one, which is given every question and no change."""

    def __init__(self, mdm: Mdm) -> None:
        self._mdm = mdm

    def profile(self) -> ManagedProfile:
        return self._mdm.profile()

    def group_uses(self) -> tuple[str, ...]:
        return self._mdm.group_uses()

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        return self._mdm.devices(serial_numbers)

    def members(self) -> tuple[MdmDevice, ...]:
        return self._mdm.members()

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return self._mdm.certificates(mdm_ids)

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        return self._mdm.collected(mdm_ids)

    def checks(self) -> Iterator[Check]:
        return self._mdm.checks()

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        raise _refused()

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        raise _refused()

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        raise _refused()


def _refused() -> MdmError:
    return MdmError(
        "mdm-refused",
        "the MDM was opened to read only",
        where="MDM",
        hint="a preview changes nothing; this is a fault of scepfix",
    )
