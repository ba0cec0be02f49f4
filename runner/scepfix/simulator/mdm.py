"""The simulated MDM: one SCEP profile, one exclusion group, devices that check in. It follows state, not a queue.

A device that is excluded and has the profile is owed a RemoveProfile; one that is in scope, not excluded and lacks it
is owed an InstallProfile; what is owed is done at the device's next check-in. So leaving the group takes a removal back
that was not answered yet. Commands go unanswered while the device is offline or was told to be silent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from scepfix.domain.check import Check, CheckResult
from scepfix.domain.errors import ScepfixError
from scepfix.domain.mdm import CertificateList, CollectedText, ListedCertificate, ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.simulator import files
from scepfix.simulator.ca import Ca
from scepfix.simulator.collected import collected_line
from scepfix.simulator.mac import Mac
from scepfix.simulator.profile import IDENTIFIER, NAME, Settings

GROUP = "scepfix-exclude"


class SimulatedMdm:
    """The MDM of the world in that folder. Each method takes the moment at which it happens."""

    def __init__(self, world: Path, macs: Callable[[], Mapping[str, Mac]]) -> None:
        """``macs`` gives the Macs by MDM id."""
        self._world = world
        self._folder = world / "mdm"
        self._macs = macs
        self._ca = Ca(world / "ca")

    # Reading

    def profile(self) -> ManagedProfile:
        state = self._load()
        said = state["profile"]
        return ManagedProfile(
            identifier=IDENTIFIER,
            name=NAME,
            payload_types=self._settings(state).payload_types,
            scope=said["scope"],
            comes_back=said["comes_back"],
            referred_by=tuple(said["referred_by"]),
            changed_at=parse_rfc3339(said["changed_at"]),
            last_issued_at=parse_rfc3339(said["last_issued_at"]),
            declarative=said["declarative"],
            group_uses=tuple(said["group_uses"]),
        )

    def devices(self, serial_numbers: Sequence[str], now: datetime) -> Mapping[str, MdmDevice]:
        state, wanted = self._load(), set(serial_numbers)
        return {
            mac.facts.serial_number: self._record(state, mac, now)
            for mac in self._macs().values()
            if mac.facts.serial_number in wanted and mac.facts.mdm_id in state["devices"]
        }

    def members(self, now: datetime) -> tuple[MdmDevice, ...]:
        state, macs = self._load(), self._macs()
        return tuple(self._record(state, macs[one], now) for one in state["group"] if one in macs)

    def certificates(self, mdm_ids: Sequence[str], now: datetime) -> Mapping[str, CertificateList]:
        """Return what each known device answered to CertificateList at its last check-in, by MDM id."""
        records, macs = self._load()["devices"], self._macs()
        known = {one: macs[one] for one in mdm_ids if one in macs and one in records}
        return {
            one: CertificateList(
                mac.last_seen(now), tuple(ListedCertificate(der=item.der) for item in mac.system_keychain.items())
            )
            for one, mac in known.items()
        }

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Return the newest line of the collector of each device for which one was put there, by MDM id."""
        records = self._load()["devices"]
        known = {one: records[one]["collected"] for one in mdm_ids if one in records}
        return {
            one: CollectedText(said["line"], parse_rfc3339(said["collected_at"]))
            for one, said in known.items()
            if said is not None
        }

    # Changing; each returns once it is written

    def exclude(self, mdm_ids: Sequence[str], now: datetime) -> None:
        with files.locked(self._world):
            state = self._load()
            for one in mdm_ids:
                if one in state["devices"] and one not in state["group"]:
                    state["group"].append(one)
                    state["devices"][one]["stuck"] = False
                    self._log(state, "exclude", one, now)
            self._save(state)

    def put_back(self, mdm_ids: Sequence[str], now: datetime) -> None:
        """Take devices out of the group. One that is out already and whose install got lost is sent it again."""
        with files.locked(self._world):
            state = self._load()
            for one in mdm_ids:
                record = state["devices"].get(one)
                if record is None or (one not in state["group"] and not record["stuck"]):
                    continue
                state["group"] = [member for member in state["group"] if member != one]
                record["stuck"] = False
                self._log(state, "put-back", one, now)
            self._save(state)

    def nudge(self, mdm_ids: Sequence[str], now: datetime) -> None:
        """Let devices check in now; what got lost is sent again."""
        with files.locked(self._world):
            state = self._load()
            for one in mdm_ids:
                if one in state["devices"]:
                    state["devices"][one]["stuck"] = False
                    self._log(state, "nudge", one, now)
                    self._check_in(state, one, now)
            self._save(state)

    def check_in(self, now: datetime) -> None:
        """Let every device that is online do what it is owed, and run the collector where it has it.

        Writes nothing where there is nothing to do.
        """
        state = self._load()
        if not any(self._owed(state, one) or self._collects(one) for one in state["devices"]):
            return
        with files.locked(self._world):
            state = self._load()
            before = json.dumps(state)
            for one in state["devices"]:
                self._check_in(state, one, now)
            if json.dumps(state) != before:
                self._save(state)

    # Setting up

    def create(self, challenge: str, now: datetime) -> None:
        self._folder.mkdir()
        files.write(self._folder / "log.jsonl", "")
        self._save(
            {
                "challenge": challenge,
                "profile": {
                    "scope": "system",
                    "comes_back": "",
                    "referred_by": [],
                    "changed_at": rfc3339(now),
                    "last_issued_at": None,
                    "declarative": False,
                    "group_uses": [],
                },
                "devices": {},
                "group": [],
                "changes": 0,
            }
        )

    def set_profile(self, **said: Any) -> None:
        """Change what the MDM says of the profile: keys as in the JSON form of ManagedProfile."""
        with files.locked(self._world):
            state = self._load()
            if unknown := said.keys() - state["profile"].keys():
                raise ValueError(f"the profile has no {', '.join(sorted(unknown))}")
            state["profile"].update(said)
            self._save(state)

    def set_devices(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Change records of devices by MDM id, making those that are not there yet."""
        with files.locked(self._world):
            state = self._load()
            for one, said in records.items():
                state["devices"][one] = {**_NEW_RECORD, **state["devices"].get(one, {}), **said}
                issued = [state["profile"]["last_issued_at"], state["devices"][one]["installed_at"]]
                state["profile"]["last_issued_at"] = max((at for at in issued if at), default=None)
            self._save(state)

    def forget(self, mdm_id: str) -> None:
        """Delete the record of a device."""
        with files.locked(self._world):
            state = self._load()
            state["devices"].pop(mdm_id, None)
            state["group"] = [member for member in state["group"] if member != mdm_id]
            self._save(state)

    def settings(self) -> Settings:
        """Return how the profile is set now; one Mac that was told ``wifi`` is enough: there is one profile."""
        return self._settings(self._load())

    def _settings(self, state: Mapping[str, Any]) -> Settings:
        wifi = any(mac.told("wifi") is not None for mac in self._macs().values())
        return Settings(state["challenge"], wifi=wifi)

    def _record(self, state: Mapping[str, Any], mac: Mac, now: datetime) -> MdmDevice:
        one = mac.facts.mdm_id
        record, excluded = state["devices"][one], one in state["group"]
        owed = self._owed(state, one)
        return MdmDevice(
            identity=mac.facts.identity,
            name=mac.facts.name,
            managed=record["managed"],
            last_seen_at=mac.last_seen(now),
            in_scope=record["in_scope"],
            excluded=excluded,
            profile_installed=record["profile_installed"],
            removal_pending=owed == "RemoveProfile",
            removed_at=parse_rfc3339(record["removed_at"]),
            installed_at=parse_rfc3339(record["installed_at"]),
            install_status=(record["answer"] or "Pending") if owed == "InstallProfile" else record["install_status"],
            set_apart=mac.told("set-apart") or "",
        )

    def _owed(self, state: Mapping[str, Any], one: str) -> str:
        """Return which command waits for the device, "" for none."""
        record, excluded = state["devices"][one], one in state["group"]
        if excluded and record["profile_installed"]:
            return "RemoveProfile"
        wanted = record["managed"] and record["in_scope"] and not excluded and not record["stuck"]
        return "InstallProfile" if wanted and not record["profile_installed"] else ""

    def _check_in(self, state: dict[str, Any], one: str, now: datetime) -> None:
        self._obey(state, one, now)
        if self._collects(one):
            line = collected_line(self._macs()[one], now)
            state["devices"][one]["collected"] = {"line": line, "collected_at": _precise(now)}

    def _collects(self, one: str) -> bool:
        mac = self._macs().get(one)
        return mac is not None and mac.told("collector") is not None and mac.told("offline") is None

    def _obey(self, state: dict[str, Any], one: str, now: datetime) -> None:
        """Let a device that is online do what it is owed."""
        owed = self._owed(state, one)
        mac = self._macs().get(one) if owed else None
        if mac is None or mac.told("offline") is not None:
            return
        record, settings = state["devices"][one], self._settings(state)
        if owed == "RemoveProfile":
            if mac.told("removal-silent") is None:
                mac.remove_profile(settings)
                record.update(profile_installed=False, removed_at=_precise(now), answer="")
                self._log(state, owed, one, now)
        elif mac.told("install-silent") is None:
            record["answer"] = _refusal(mac)
            if not record["answer"]:
                mac.install_profile(settings, self._ca, now)
                record.update(profile_installed=True, installed_at=_precise(now), install_status="Acknowledged")
                state["profile"]["last_issued_at"] = _precise(now)
                self._log(state, owed, one, now)

    def _log(self, state: dict[str, Any], verb: str, one: str, now: datetime) -> None:
        state["changes"] += 1
        mac = self._macs().get(one)
        entry = {
            "at": _precise(now),
            "verb": verb,
            "device": mac.facts.name if mac else "",
            "mdm_id": one,
            "key": f"change-{state['changes']}",
        }
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def _load(self) -> dict[str, Any]:
        found: dict[str, Any] = files.read_json(self._folder / "state.json")
        return found

    def _save(self, state: Mapping[str, Any]) -> None:
        files.write_json(self._folder / "state.json", state)


class MdmOnAClock:
    """The same MDM as ``service.ports.Mdm`` wants it, without a network: for tests that move the clock themselves."""

    def __init__(self, mdm: SimulatedMdm, now: Callable[[], datetime], *, read_only: bool = False) -> None:
        self._mdm, self._now, self._read_only = mdm, now, read_only

    def profile(self) -> ManagedProfile:
        return self._mdm.profile()

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        return self._mdm.devices(serial_numbers, self._now())

    def group_uses(self) -> tuple[str, ...]:
        return self._mdm.profile().group_uses

    def members(self) -> tuple[MdmDevice, ...]:
        return self._mdm.members(self._now())

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        self._may_change()
        self._mdm.exclude(mdm_ids, self._now())

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        self._may_change()
        self._mdm.put_back(mdm_ids, self._now())

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        self._may_change()
        self._mdm.nudge(mdm_ids, self._now())

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return self._mdm.certificates(mdm_ids, self._now())

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        return self._mdm.collected(mdm_ids)

    def checks(self) -> Iterator[Check]:
        alone = not self._mdm.profile().group_uses
        yield Check("mdm.exclusion-group", CheckResult.PASS if alone else CheckResult.FAIL, "is it scepfix's alone?")

    def _may_change(self) -> None:
        if self._read_only:
            raise ScepfixError("mdm-refused", "the MDM was opened to read only", where="MDM")


_NEW_RECORD: Mapping[str, Any] = {
    "managed": True,
    "in_scope": True,
    "profile_installed": False,
    "removed_at": None,
    "installed_at": None,
    "install_status": "",
    #: The last answer to an InstallProfile that is still owed: Error, NotNow or "".
    "answer": "",
    #: The MDM believes it has sent the profile, and it never came: nothing happens until somebody asks again.
    "stuck": False,
    #: The collector's newest line: ``line`` and ``collected_at`` (docs/collector.md).
    "collected": None,
}


def _refusal(mac: Mac) -> str:
    if mac.told("install-error") is not None or mac.told("ca-refuses") is not None:
        return "Error"
    return "NotNow" if mac.told("install-notnow") is not None else ""


def _precise(now: datetime) -> str:
    return rfc3339(now) or ""
