"""Fleet (docs/providers/fleet.md): a manual label that the profile excludes, and what the Macs acknowledged."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote

from scepfix.adapters.authorization import BearerToken
from scepfix.adapters.doctor_lines import lines_of
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.service_clock import clock_check
from scepfix.adapters.web_service import Reply, WebService
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339
from scepfix.parsers import fleet_host as read
from scepfix.parsers.fleet_host import Command, Labels
from scepfix.parsers.service_settings import ServiceSettings

_API = "/api/v1/fleet"
_PROFILE = re.compile(r"[a-z]?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}", re.ASCII)
_PER_PAGE = 100
_MOST_PAGES = 1_000
#: Commands of an older Fleet do not name their profile: so many of each kind are opened to see which it is.
_OPENED = 5
#: A label is read again so often until a read replica shows the change.
_LOOKS = 4
#: So many hosts in a row that cannot be reached: it is Fleet that is down.
_SILENT = 5
_NEWER = "Fleet 4.69 or newer is needed"

_READ = "the role Observer or more"
_WRITE = "the role Maintainer or Admin"

Given = ParamSpec("Given")
Found = TypeVar("Found")


class Fleet:
    """Implements service.ports.Mdm."""

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._sleep, self._now = settings, sleep, now
        self._profile_uuid = settings.profile.strip()
        if not _PROFILE.fullmatch(self._profile_uuid):
            raise UsageError(
                "settings",
                "mdm.profile is no profile_uuid of Fleet",
                where="mdm.profile",
                hint="GET /api/v1/fleet/configuration_profiles lists them",
            )
        self._service = WebService(settings, "mdm", MdmError, BearerToken(settings, "token"), sleep=sleep)
        self._found_label: tuple[int, str] | None = None

    # --- reading --------------------------------------------------------------------------------------------------

    def profile(self) -> ManagedProfile:
        """Return the SCEP profile that scepfix may move. Raise MdmError."""
        found = self._profile_document()
        labels = self._read(read.read_labels, found)
        identifier, name = str(found.get("identifier") or ""), str(found.get("name") or "")
        declarative = self._profile_uuid.startswith("d")
        types, scope = ((), "system") if declarative else self._payloads()
        query = {"request_type": read.INSTALL}
        newest = (one.at for one in self._of_profile(self._commands(query), name, identifier) if one.acknowledged)
        return ManagedProfile(
            identifier=visible(identifier),
            name=visible(name),
            payload_types=types,
            scope=scope,
            comes_back=self._why_not_back(labels),
            changed_at=parse_rfc3339(found.get("updated_at")),
            last_issued_at=max(newest, default=None),
            declarative=declarative,
        )

    def group_uses(self) -> tuple[str, ...]:
        """Return the names of the other configuration profiles of the team that name the label. Raise MdmError."""
        _, label = self._label()
        team = self._profile_document().get("team_id")
        query = {"team_id": int(team)} if team else {}
        uses = []
        for one in self._pages("/configuration_profiles", "profiles", query):
            labels = self._read(read.read_labels, one)
            named = labels.exclude_any | labels.include_all | labels.include_any
            if one.get("profile_uuid") != self._profile_uuid and label in named:
                uses.append(visible(str(one.get("name"))))
        return tuple(uses)

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Given serial numbers, return the records found, by serial number: two calls for each. Raise MdmError."""
        hosts: dict[str, Mapping[str, Any]] = {}
        for serial in filter(_SERIAL.fullmatch, serial_numbers):
            host = self._host(f"identifier/{quote(serial, safe='')}")
            # A name or a UUID would do for Fleet, too.
            if host is not None and str(host.get("hardware_serial")).upper() == serial.upper():
                hosts[serial] = host
        return dict(zip(hosts, self._records([*hosts.values()]), strict=True))

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices with the exclusion label, from the label alone. Raise MdmError where it cannot be read.

        Of a device only identity, name and ``excluded`` count. Its host is looked at where that can be had; an identity
        with nothing but an id is a device of which nobody knows now which it is: a repair may want it there.
        """
        return tuple(self._member(str(one)) for one in sorted(self._members()))

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Given MDM ids, return the certificates that Fleet has of each computer's keychain, by id. Raise MdmError."""
        found: dict[str, CertificateList] = {}
        for one in filter(_NUMBER.fullmatch, mdm_ids):
            host = self._host(one)
            taken_at = parse_rfc3339(host.get("detail_updated_at")) if host else None
            if taken_at is None:
                continue
            rows = self._pages(f"/hosts/{one}/certificates", "certificates")
            certificates = [self._read(read.read_certificate, row) for row in rows if row.get("source") != "user"]
            found[one] = CertificateList(taken_at, tuple(certificates))
        return found

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Given MDM ids, return the last output of the collector's script, by id. Raise MdmError."""
        wanted = self._settings.text("collector_script")
        found: dict[str, CollectedText] = {}
        for one in filter(_NUMBER.fullmatch, mdm_ids) if wanted else ():
            for row in self._pages(f"/hosts/{one}/scripts", "scripts"):
                last = row.get("last_execution") if wanted in (row.get("name"), str(row.get("script_id"))) else None
                text = self._output(last) if isinstance(last, dict) else ""
                if isinstance(last, dict) and text:
                    found[one] = CollectedText(text, parse_rfc3339(last.get("executed_at")))
        return found

    # --- changing -------------------------------------------------------------------------------------------------

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Give the devices the exclusion label, one call for each; the first refusal ends it. Raise MdmError.

        Fleet has one call for many devices, but that takes the whole list of the label's hosts: somebody else's change
        would be lost.
        """
        # A label that takes nobody is refused before any change.
        self._members()
        wanted = dict.fromkeys(mdm_ids)
        for done, one in enumerate(wanted):
            reply = self._ask_label("POST", one) if _NUMBER.fullmatch(one) else None
            if reply is None or reply.status == 404:
                what = f"it knows no host {visible(one)}: {done} of {len(wanted)} device(s) were excluded"
                raise self._service.wrong("refused", what, f"plan again without it; {_NEWER}")
        inside = self._after_change(lambda now: now >= _numbers(wanted))
        if missing := _numbers(wanted) - inside:
            message = f"the label did not take the change: {len(missing)} of {len(wanted)} device(s) are not in it"
            raise self._service.wrong("refused", message, _NEWER)

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Take the exclusion label from the devices, one call for each. Raise MdmError.

        All that can be put back are, whatever becomes of one; then the first cause is told, and how many are left. Only
        where so many in a row cannot be reached that Fleet is down, no more are asked.
        """
        self._label()
        wanted = dict.fromkeys(mdm_ids)
        left, silent = set(wanted), 0
        causes: list[ScepfixError] = []
        for one in filter(_NUMBER.fullmatch, wanted):
            try:
                # A host that Fleet deleted has no label. 404 is also what an older one says: the label decides below.
                self._ask_label("DELETE", one)
            except MdmError as error:
                causes.append(error)
                silent = silent + 1 if error.code == "mdm-unreachable" else 0
                if silent == _SILENT:
                    break
            else:
                left.discard(one)
                silent = 0
        if len(left) < len(wanted):
            try:
                done = _numbers(wanted) - _numbers(left)
                still = self._after_change(lambda now: not now & done) & done
                left |= {one for one in wanted if _NUMBER.fullmatch(one) and int(one) in still}
            except MdmError as error:
                # Fleet said yes to each, and cannot show it.
                causes.append(error)
        if left or causes:
            if not causes:
                causes = [
                    self._service.wrong(
                        "refused", "they are in the label as before", f"take them out of the label by hand; {_NEWER}"
                    )
                ]
            first = causes[0]
            message = f"{len(wanted) - len(left)} of {len(wanted)} device(s) were put back, {len(left)} not"
            raise self._service.wrong(first.code.removeprefix("mdm-"), f"{message}: {first.message}", first.hint)

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Ask the devices for a fresh report; Fleet itself wakes a Mac for a command. Raise MdmError."""
        for one in filter(_NUMBER.fullmatch, mdm_ids):
            self._service.ask("POST", f"{_API}/hosts/{one}/refetch", needs=_WRITE, repeatable=True)

    def _ask_label(self, method: str, host_id: str) -> Reply:
        """Give one host the exclusion label (POST) or take it (DELETE): no harm when it is repeated."""
        _, name = self._label()
        path, document = f"{_API}/hosts/{host_id}/labels", {"labels": [name]}
        return self._service.ask(method, path, document=document, needs=_WRITE, accept=(404,), repeatable=True)

    def _after_change(self, shown: Callable[[frozenset[int]], bool]) -> frozenset[int]:
        """Return the label's hosts, looked at until the change is shown, or for some seconds."""
        for look in range(_LOOKS):
            now = self._members()
            if shown(now):
                break
            self._sleep(0.5 * 2**look)
        return now

    # --- the profile and its label --------------------------------------------------------------------------------

    def _profile_document(self) -> Mapping[str, Any]:
        path = f"/configuration_profiles/{self._profile_uuid}"
        return self._known(self._get(path), "profile")

    def _payloads(self) -> tuple[tuple[str, ...], str]:
        path = f"{_API}/configuration_profiles/{self._profile_uuid}"
        reply = self._service.ask("GET", path, query={"alt": "media"}, needs=_READ, accept=())
        try:
            return read.read_profile(reply.body)
        except InputError as error:
            raise self._service.wrong(
                "answer", f"the profile cannot be read: {error.message}", "is it for Macs?"
            ) from None

    def _label(self) -> tuple[int, str]:
        """Return id and name of the exclusion label."""
        if self._found_label is None:
            wanted = self._settings.exclusion_group
            listed = self._known(self._get("/labels/summary"), "exclusion_group").get("labels") or ()
            fitting = [one for one in listed if wanted in (str(one.get("id")), one.get("name"))]
            if len(fitting) != 1:
                raise self._unknown("exclusion_group")
            self._found_label = self._read(lambda one: (int(one["id"]), str(one["name"])), fitting[0])
        return self._found_label

    def _label_document(self) -> Mapping[str, Any]:
        found = self._known(self._get(f"/labels/{self._label()[0]}"), "exclusion_group").get("label")
        if not isinstance(found, dict):
            raise self._other_form()
        return found

    def _members(self) -> frozenset[int]:
        found = self._label_document()
        if found.get("label_membership_type") != "manual":
            raise self._service.wrong(
                "refused", "the exclusion label is not manual: no device can be put in or out", "make a manual label"
            )
        return self._read(lambda ids: frozenset(map(int, ids)), found.get("host_ids") or ())

    def _why_not_back(self, labels: Labels) -> str:
        _, name = self._label()
        if self._label_document().get("label_membership_type") != "manual":
            return "the exclusion label is not manual: nobody can put a device in or out"
        if name not in labels.exclude_any:
            return "the profile does not exclude the exclusion label"
        return "a label of the profile was deleted: Fleet gives it to no further device" if labels.broken else ""

    # --- hosts ----------------------------------------------------------------------------------------------------

    def _member(self, host_id: str) -> MdmDevice:
        try:
            host = self._host(host_id)
            if host is not None and str(host.get("id")) == host_id:
                identity = self._read(read.identity_of, host)
                return MdmDevice(identity=identity, name=read.name_of(host), excluded=True)
        except MdmError:
            # Nobody stays left out because his host cannot be shown.
            pass
        return MdmDevice(identity=Identity(mdm_id=host_id), managed=False, in_scope=False, excluded=True)

    def _host(self, which: str) -> Mapping[str, Any] | None:
        found = self._get(f"/hosts/{which}", {"exclude_software": "true"})
        if found is None:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("host"), dict):
            raise self._other_form()
        host: Mapping[str, Any] = found["host"]
        return host

    def _records(self, hosts: Sequence[Mapping[str, Any]]) -> tuple[MdmDevice, ...]:
        """Given hosts, return the record of each."""
        if not hosts:
            return ()
        profile, members = self._profile_document(), self._members()
        labels, name = self._read(read.read_labels, profile), self._label()[1]
        found = []
        for host in hosts:
            commands = self._of_profile(
                self._commands({"host_identifier": str(host.get("uuid"))}),
                str(profile.get("name") or ""),
                str(profile.get("identifier") or ""),
            )
            found.append(
                self._read(
                    read.record,
                    host,
                    self._profile_uuid,
                    profile.get("team_id"),
                    labels,
                    name,
                    commands,
                    excluded=host.get("id") in members,
                )
            )
        return tuple(found)

    def _commands(self, query: Mapping[str, str]) -> tuple[Command, ...]:
        """Return the newest commands about profiles, newest first."""
        newest = {"order_key": "updated_at", "order_direction": "desc", "per_page": str(_PER_PAGE)}
        found = self._get("/commands", {**query, **newest})
        rows = found.get("results") if isinstance(found, dict) else None
        return self._read(read.read_commands, rows or ())

    def _of_profile(self, commands: Sequence[Command], name: str, identifier: str) -> list[Command]:
        """Return the acknowledged commands that are about this profile."""
        found: list[Command] = []
        opened = {read.INSTALL: 0, read.REMOVE: 0}
        for one in commands:
            if not one.acknowledged:
                continue
            if one.name is not None:
                found += [one] if one.name == name else []
            elif opened[one.kind] < _OPENED and not any(other.kind == one.kind for other in found):
                opened[one.kind] += 1
                if identifier and self._identifier_of(one.uuid) == identifier:
                    found.append(one)
        return found

    def _identifier_of(self, command_uuid: str) -> str:
        found = self._get("/commands/results", {"command_uuid": command_uuid})
        rows = found.get("results") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            return ""
        return read.identifier_of_command(rows[0].get("payload"))

    def _output(self, execution: Mapping[str, Any]) -> str:
        one = str(execution.get("execution_id") or "")
        found = self._get(f"/scripts/results/{quote(one, safe='')}") if one else None
        output = found.get("output") if isinstance(found, dict) else None
        return output.strip() if isinstance(output, str) else ""

    # --- asking ---------------------------------------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        reply = self._service.ask("GET", _API + path, query=query, needs=_READ, accept=(404,))
        if reply.status == 404 and not reply.header("content-type").startswith("application/json"):
            raise self._service.wrong(
                "tenant", "this is no Fleet server: what it says (404) is not Fleet's", "check mdm.url"
            )
        return None if reply.status == 404 else self._service.json(reply)

    def _pages(self, path: str, key: str, query: Mapping[str, str | int] | None = None) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        for page in range(_MOST_PAGES):
            found = self._get(path, {**(query or {}), "page": page, "per_page": _PER_PAGE})
            if found is None:
                return rows
            some = found.get(key) if isinstance(found, dict) else None
            if not isinstance(found, dict) or not isinstance(some, list | None):
                raise self._other_form()
            rows += [one for one in some or () if isinstance(one, dict)]
            if not (found.get("meta") or {}).get("has_next_results"):
                return rows
        raise self._other_form()

    def _known(self, found: Any, setting: str) -> Mapping[str, Any]:
        if found is None:
            raise self._unknown(setting)
        if not isinstance(found, dict):
            raise self._other_form()
        return found

    def _unknown(self, setting: str) -> ScepfixError:
        return self._service.wrong(
            "answer", f"it knows nothing of that {setting}", f"check mdm.{setting} in the settings"
        )

    def _other_form(self) -> ScepfixError:
        return self._service.wrong("answer", "an answer of another form than expected", "is mdm.url a Fleet server?")

    def _read(self, reading: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found:
        try:
            return reading(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._other_form() from error

    # --- doctor ---------------------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Check]:
        """Yield what can be seen of credentials, privileges, profile, label and clock; never raises."""
        return lines_of(
            "mdm.credentials",
            {
                "mdm.credentials": self._check_credentials,
                "mdm.privileges": self._check_privileges,
                "mdm.profile": self._check_profile,
                "mdm.exclusion-group": self._check_label,
                "mdm.clock": self._check_clock,
            },
        )

    def _me(self) -> Mapping[str, Any]:
        found = self._known(self._get("/me"), "url").get("user")
        return found if isinstance(found, dict) else {}

    def _check_credentials(self, line: str) -> Check:
        self._me()
        return Check(line, CheckResult.PASS, "Fleet takes the token")

    def _check_privileges(self, line: str) -> Check:
        user = self._me()
        roles = {str(user.get("global_role"))}
        teams = user.get("teams")
        roles |= {str(one.get("role")) for one in teams if isinstance(one, dict)} if isinstance(teams, list) else set()
        if roles & {"admin", "maintainer"}:
            return Check(line, CheckResult.PASS, "the token's user may change labels")
        shown = visible(", ".join(sorted(roles - {"None"})) or "none")
        message = f"the token's user may not change labels: its role is {shown}"
        return Check(line, CheckResult.FAIL, message, f"give it {_WRITE}")

    def _check_profile(self, line: str) -> Check:
        profile = self.profile()
        setting_up = "see docs/providers/fleet.md, section Setting up"
        if profile.declarative:
            message = "the profile is a declaration: a label does not bring it back"
            return Check(line, CheckResult.FAIL, message, setting_up)
        if "com.apple.security.scep" not in profile.payload_types:
            return Check(line, CheckResult.FAIL, "that profile is no SCEP profile", "check mdm.profile in the settings")
        if profile.comes_back:
            return Check(line, CheckResult.FAIL, profile.comes_back, setting_up)
        return Check(line, CheckResult.PASS, f"{profile.name} comes back to a device that loses the exclusion label")

    def _check_label(self, line: str) -> Check:
        self._members()
        label_id, name = self._label()
        profile = self._profile_document()
        if name not in self._read(read.read_labels, profile).exclude_any:
            hint = "set labels_exclude_any of the profile"
            return Check(line, CheckResult.FAIL, "the profile does not exclude it", hint)
        uses = self.group_uses()
        if uses:
            message = f"label {label_id} is used for more: {', '.join(uses[:5])}"
            return Check(line, CheckResult.FAIL, message, "only the SCEP profile may name it")
        looked = "configuration profiles of this team were looked at, nothing else"
        return Check(line, CheckResult.PASS, f"only this profile names label {label_id} ({looked})")

    def _check_clock(self, line: str) -> Check:
        reply = self._service.ask("GET", f"{_API}/me")
        return clock_check(line, "Fleet", reply, self._now())


def _numbers(mdm_ids: Iterable[str]) -> frozenset[int]:
    return frozenset(int(one) for one in mdm_ids if _NUMBER.fullmatch(one))
