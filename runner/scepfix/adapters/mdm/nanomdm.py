"""NanoMDM: commands by its API, answers by its webhook (docs/providers/nanomdm.md).

It has no groups, no scopes and no list of devices, and it tells nothing about its queues. So "excluded" is what our own
journal says: the removal was sent, and no install after it. The answers come through ``scepfix serve``.
"""

from __future__ import annotations

import base64
import plistlib
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from scepfix.adapters.doctor_lines import lines_of
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.mdm.nanomdm_journal import CERTIFICATES, IDENTITY, PROFILES, Journal, KnownDevice, Question
from scepfix.adapters.mdm.nanomdm_receiver import listen_address, serve_webhook
from scepfix.adapters.mdm.nanomdm_standing import Change
from scepfix.adapters.secret_values import option_path, secret
from scepfix.adapters.small_files import unreadable
from scepfix.adapters.state_folder import state_folder
from scepfix.adapters.web_service import Reply, WebService
from scepfix.domain.certificate import Certificate
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import InputError, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ListedCertificate, ManagedProfile, MdmDevice
from scepfix.domain.moment import parse_rfc3339, rfc3339
from scepfix.parsers.delivered_profile import PLACEHOLDER, DeliveredProfile, read_delivered_profile, with_challenge
from scepfix.parsers.nanomdm_webhook import ENROLLMENT_ID
from scepfix.parsers.service_settings import ServiceSettings
from scepfix.parsers.x509 import read_certificate

#: Ids of one call: they stand in its path, and proxies take some 8,000 characters.
_MOST = 100
_LARGEST_PROFILE_BYTES = 4 * 1024 * 1024
#: MySQL keeps the time of a command in whole seconds, and sends commands of the same second in any order.
_SAME_SECOND = timedelta(seconds=2)
#: A device is asked again where its last word is older.
_FRESH = timedelta(minutes=5)
#: A question that was not answered for so long is asked again.
_OPEN = timedelta(minutes=10)
#: A change that was not answered for so long may be done, and the answer lost.
_UNANSWERED = timedelta(minutes=1)
#: A device that put a command off is not asked anything for so long: NanoMDM 0.9 forgets the command over that.
_PUT_OFF = timedelta(minutes=30)
#: ``scepfix serve`` keeps what is known of every device no older than this.
_DAY = timedelta(days=1)
_PUSH_DAYS = 30
_PAUSE_SECONDS = 5.0

_COMMANDS: Mapping[str, Mapping[str, Any]] = {
    IDENTITY: {"RequestType": IDENTITY, "Queries": ["SerialNumber", "UDID", "DeviceName"]},
    PROFILES: {"RequestType": PROFILES, "ManagedOnly": False},
    CERTIFICATES: {"RequestType": CERTIFICATES, "ManagedOnly": False},
}


class NanoMdm:
    """Implements service.ports.Mdm. ``read_only``: no device is asked anything, and the journal is not written."""

    def __init__(
        self,
        settings: ServiceSettings,
        read_only: bool,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._read_only = settings, read_only
        self._sleep, self._now = sleep, now
        self._service = WebService(settings, "mdm", MdmError, _ApiKey(settings), sleep=sleep)
        self._opened: Journal | None = None
        self._let_in = False

    # --- service.ports.Mdm: reading -----------------------------------------------------------------------------------

    def profile(self) -> ManagedProfile:
        """Return the profile of the file that is installed. Raise MdmError or UsageError."""
        self._look_whether_let_in()
        found, path = self._file()[1], self._profile_path()
        return ManagedProfile(
            identifier=visible(found.identifier),
            name=visible(found.name),
            payload_types=tuple(map(visible, found.payload_types)),
            scope=found.scope,
            comes_back=self._why_not_sendable(found),
            changed_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
            last_issued_at=self._journal.last_issued_at(),
        )

    def group_uses(self) -> tuple[str, ...]:
        """There is no group that anything else could use."""
        return ()

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        """Return the records found in the journal, by serial number; ask those devices that were silent.

        Of two with one serial number it is the one that was seen last: a Mac with a new logic board. Raise MdmError.
        """
        found: dict[str, KnownDevice] = {}
        for one in self._journal.devices(set(serial_numbers)):
            found.setdefault(one.serial_number, one)
        if not self._read_only:
            now = self._now()
            self._ask(PROFILES, [one.id for one in found.values() if _may_ask(one, now) and _to_ask(one, now)])
        return {serial: _record(one) for serial, one in found.items()}

    def members(self) -> tuple[MdmDevice, ...]:
        """Return the devices whose profile was taken away by us and that are still owed it. Raise MdmError."""
        return tuple(_record(one) for one in self._journal.devices() if one.standing.perhaps_excluded)

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        """Return the newest lists that the webhook told; ask for those that are old. Raise MdmError."""
        if not self._read_only:
            known = self._journal.by_id(set(mdm_ids))
            now = self._now()
            old = [
                one.id for one in known if one.managed and _is_old(one.questions.get(CERTIFICATES), now, _UNANSWERED)
            ]
            self._ask(CERTIFICATES, old)
        return {
            device: CertificateList(taken_at, tuple(_listed(der) for der in ders))
            for device, (taken_at, ders) in self._journal.certificates(set(mdm_ids)).items()
        }

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        """Return nothing: NanoMDM runs no script on a device, so no collector's line comes through it."""
        return {}

    # --- service.ports.Mdm: changing ----------------------------------------------------------------------------------

    def exclude(self, mdm_ids: Sequence[str]) -> None:
        """Send RemoveProfile to those devices, in one call for a hundred. Raise MdmError."""
        command = {"RequestType": Change.REMOVE.value, "Identifier": self._settings.profile}
        self._change(Change.REMOVE, command, mdm_ids)

    def put_back(self, mdm_ids: Sequence[str]) -> None:
        """Send InstallProfile to those devices, in one call for a hundred.

        NanoMDM cannot withdraw a removal that waits in a queue; the install waits behind it. A device that was sent one
        after every removal gets no second: it would enrol once more. Raise MdmError, or UsageError where the profile's
        file cannot be sent.
        """
        sent = self._journal.not_to_install(set(mdm_ids))
        wanted = [one for one in mdm_ids if one not in sent]
        if not wanted:
            return
        data, found = self._file()
        why_not = self._why_not_sendable(found)
        if why_not:
            raise self._service.wrong("refused", why_not, "check mdm.profile_file and mdm.challenge in the settings")
        if found.wants_challenge:
            data = with_challenge(data, secret(self._settings, "challenge"), visible(str(self._profile_path())))
        self._wait_for_next_second(wanted)
        self._change(Change.INSTALL, {"RequestType": Change.INSTALL.value, "Payload": data}, wanted)

    def nudge(self, mdm_ids: Sequence[str]) -> None:
        """Push those devices, so that they check in now. Raise MdmError where a push was not taken."""
        failed: list[str] = []
        for ids in _chunks(mdm_ids):
            said = self._result(self._service.ask("GET", f"/v1/push/{_path(ids)}", accept=(404, 500)))
            each = said["status"] if isinstance(said.get("status"), dict) else {}
            unpushed = [one for one in ids if not isinstance(each.get(one), dict) or each[one].get("push_error")]
            failed += ids if said.get("push_error") else unpushed
        if failed:
            raise self._service.wrong(
                "refused",
                f"{len(failed)} of {len(mdm_ids)} devices could not be pushed",
                "is there a push certificate that has not expired? They check in by themselves as well, later",
            )

    # --- service.ports.Mdm: doctor ------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Check]:
        """Yield what can be seen of the API, the profile, the webhook and the push certificate; never raises."""
        return lines_of(
            "mdm.credentials",
            {
                "mdm.credentials": self._check_credentials,
                "mdm.profile": self._check_profile,
                "mdm.webhook": self._check_webhook,
                "mdm.push": self._check_push,
                "mdm.exclusion-group": self._check_members,
            },
        )

    def _check_credentials(self, check: str) -> Check:
        self._look_whether_let_in()
        return Check(check, CheckResult.PASS, "NanoMDM takes the API key")

    def _check_profile(self, check: str) -> Check:
        _, found = self._file()
        why_not = self._why_not_sendable(found)
        if why_not:
            return Check(check, CheckResult.FAIL, why_not, "check mdm.profile_file and mdm.challenge in the settings")
        issued = self._journal.last_issued_at()
        if issued is None:
            message = "no device is known to have got a certificate through this profile"
            return Check(
                check, CheckResult.FAIL, message, "scepfix serve asks the devices once a day; or install it on one"
            )
        return Check(check, CheckResult.PASS, f"a certificate came through the profile at {rfc3339(issued)}")

    def _check_webhook(self, check: str) -> Check:
        known = self._journal.devices()
        hint = "run scepfix serve, and start nanomdm with -webhook-url http://HOST:PORT/webhook"
        if not known:
            return Check(check, CheckResult.FAIL, "the webhook never told anything", hint)
        unnamed = sum(not one.serial_number for one in known)
        seen = rfc3339(known[0].last_seen_at)
        if self._now() - known[0].last_seen_at > _DAY:
            return Check(check, CheckResult.FAIL, f"the webhook told nothing since {seen}", hint)
        if "webhook_key" not in self._settings.secrets:
            message = "events are not signed: any user of this computer could post one, such as that a device left"
            hint = "set mdm.webhook_key, and start nanomdm with -webhook-hmac-key"
            return Check(check, CheckResult.UNKNOWN, message, hint)
        if unnamed:
            message = f"{unnamed} of {len(known)} devices did not tell their serial number yet; last event at {seen}"
            return Check(check, CheckResult.UNKNOWN, message, "scepfix serve asks them; they answer when they check in")
        return Check(check, CheckResult.PASS, f"{len(known)} devices are known; last event at {seen}")

    def _check_push(self, check: str) -> Check:
        topic = self._journal.push_topic()
        if not topic:
            return Check(check, CheckResult.UNKNOWN, "no device told its push topic yet", "it does when it enrols")
        reply = self._service.ask("GET", "/v1/pushcert", query={"topic": topic}, accept=(400, 404, 405, 500))
        said = self._service.json(reply) if reply.status == 200 else {}
        ends = parse_rfc3339(said.get("not_after")) if isinstance(said, dict) else None
        if ends is None:
            message = "NanoMDM does not say when its push certificate ends (0.9 cannot, later ones can)"
            return Check(check, CheckResult.UNKNOWN, message, "look it up at identity.apple.com/pushcert")
        if ends - self._now() < timedelta(days=_PUSH_DAYS):
            hint = "renew it at identity.apple.com/pushcert, with the same Apple ID"
            return Check(check, CheckResult.FAIL, f"the push certificate ends at {rfc3339(ends)}", hint)
        return Check(check, CheckResult.PASS, f"the push certificate is valid until {rfc3339(ends)}")

    def _check_members(self, check: str) -> Check:
        members = self.members()
        if not members:
            return Check(check, CheckResult.PASS, "by the journal no device is owed its profile")
        names = ", ".join(one.name or one.identity.mdm_id for one in members[:5])
        return Check(check, CheckResult.PASS, f"by the journal {len(members)} devices are without the profile: {names}")

    # --- scepfix serve ------------------------------------------------------------------------------------------------

    def receive(self, tell: Callable[[str], None], stop: Callable[[], bool] = lambda: False) -> None:
        """Take what the webhook posts, and ask each device once a day who it is and what is on it, until ``stop``.

        ``tell`` is given a line for the person who watches. Raise UsageError where the settings do not allow it.
        """
        address = listen_address(self._settings)
        with serve_webhook(address, lambda: secret(self._settings, "webhook_key"), self._journal.take) as url:
            tell(f"listening for NanoMDM at {url}")
            last = ""
            while not stop():
                try:
                    self.ask_what_is_old()
                    said = ""
                except ScepfixError as error:
                    said = f"the devices could not be asked: {error}"
                if said and said != last:
                    tell(said)
                last = said
                self._sleep(_PAUSE_SECONDS)

    def ask_what_is_old(self) -> None:
        """Ask every managed device for what is not known of it, or known for longer than a day. Raise MdmError."""
        now = self._now()
        known = [one for one in self._journal.devices() if _may_ask(one, now)]
        nameless = [one for one in known if not one.serial_number]
        for kind, asked in ((IDENTITY, nameless), (PROFILES, known), (CERTIFICATES, known)):
            self._ask(kind, [one.id for one in asked if _is_old(one.questions.get(kind), now, _DAY, _DAY)])

    # --- the API ------------------------------------------------------------------------------------------------------

    def _look_whether_let_in(self) -> None:
        """Ask something harmless, so that a wrong key or address is told before anything is begun.

        NanoMDM 0.9 answers 400 for want of a certificate to store, later ones say what they have.
        """
        if self._let_in:
            return
        topic = self._journal.push_topic() or "com.apple.mgmt.External.none"
        reply = self._service.ask("GET", "/v1/pushcert", query={"topic": topic}, accept=(400, 404, 405, 500))
        said = self._service.json(reply) if "json" in reply.header("content-type") else None
        if reply.status in (404, 405) or not isinstance(said, dict):
            raise self._service.wrong(
                "tenant", "there is no NanoMDM with an API at this address", "check mdm.url, and nanomdm's option -api"
            )
        self._let_in = True

    def _change(self, change: Change, command: Mapping[str, Any], mdm_ids: Sequence[str]) -> None:
        """Send a command that moves the profile. One of which no answer came is sent again as the same command."""
        unsure = self._journal.unsure(change, set(mdm_ids))
        by_command: dict[str, list[str]] = {}
        for one in mdm_ids:
            by_command.setdefault(unsure.get(one, ""), []).append(one)
        for uid, devices in by_command.items():
            for ids in _chunks(devices):
                name = uid or _new_uid()
                _path(ids)
                self._journal.begin_change(change, name, ids)
                # Not pushed: that is another call, and its failure must not look like one of this.
                self._enqueue(name, command, ids, push=False)
                self._journal.taken(name)

    def _ask(self, kind: str, mdm_ids: Sequence[str]) -> None:
        for ids in _chunks(mdm_ids):
            uid = _new_uid()
            self._journal.begin_question(kind, uid, ids)
            self._enqueue(uid, _COMMANDS[kind], ids, push=True)

    def _enqueue(self, uid: str, command: Mapping[str, Any], ids: Sequence[str], *, push: bool) -> None:
        """Put a command into the queues of those devices, in one call. Raise MdmError.

        Where no answer comes it may be in the queues. Sending it again under its own UUID is safe: NanoMDM keeps a
        command once.
        """
        try:
            reply = self._service.ask(
                "PUT",
                f"/v1/enqueue/{_path(ids)}",
                query={} if push else {"nopush": "1"},
                body=plistlib.dumps({"Command": dict(command), "CommandUUID": uid}),
                headers={"Content-Type": "text/plain"},
                accept=(404, 500),
            )
            said = self._result(reply)
        except ScepfixError as error:
            if error.code not in ("mdm-unreachable", "mdm-answer"):
                self._journal.refused(uid, ids)
            raise
        wrong = self._not_taken(said, uid, ids)
        if wrong:
            self._journal.refused(uid, wrong)
            if len(wrong) < len(ids):
                self._journal.taken(uid)
            # Its reason is not quoted: NanoMDM repeats the whole command in it, challenge and all.
            raise self._service.wrong(
                "refused",
                f"it did not take {command['RequestType']} for {len(wrong)} of {len(ids)} devices",
                "nanomdm's own log says why; are they enrolled?",
            )
        if said.get("command_uuid") != uid:
            raise self._service.wrong("answer", "it answers for another command", "is the address right?")

    def _not_taken(self, said: Mapping[str, Any], uid: str, ids: Sequence[str]) -> list[str]:
        whole = said.get("command_error")
        if whole:
            # An earlier attempt, whose answer did not come, put it there.
            return [] if re.search(r"exists|duplicate", str(whole), re.IGNORECASE) else list(ids)
        each = said["status"] if isinstance(said.get("status"), dict) else {}
        failed = [str(key) for key, one in each.items() if isinstance(one, dict) and one.get("command_error")]
        # The key-value storage names the command, not the device, where it fails for one of them.
        return list(ids) if uid in failed else [one for one in ids if one in failed]

    def _result(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status == 404:
            raise self._service.wrong(
                "tenant", "there is no NanoMDM with an API at this address", "check mdm.url, and nanomdm's option -api"
            )
        if reply.status == 500 and "json" not in reply.header("content-type"):
            raise self._service.wrong("unreachable", "it cannot answer now (500)", "try again later")
        said = self._service.json(reply)
        if not isinstance(said, dict):
            raise self._service.wrong("answer", "an answer of another form than expected", "is it NanoMDM?")
        return said

    def _wait_for_next_second(self, ids: Sequence[str]) -> None:
        last = self._journal.last_change(set(ids))
        if last is not None and timedelta() <= self._now() - last < _SAME_SECOND:
            self._sleep(_SAME_SECOND.total_seconds())

    # --- files --------------------------------------------------------------------------------------------------------

    @property
    def _journal(self) -> Journal:
        if self._opened is None:
            name = self._settings.text("journal")
            file = option_path(self._settings, name) if name else state_folder() / "nanomdm.sqlite"
            self._opened = Journal(file, self._settings.profile, self._now, read_only=self._read_only)
        return self._opened

    def _profile_path(self) -> Path:
        return option_path(self._settings, self._settings.text("profile_file"))

    def _file(self) -> tuple[bytes, DeliveredProfile]:
        """Return the profile's file and what it is. Raise UsageError where it is none, or another one."""
        path = self._profile_path()
        where = visible(str(path))
        try:
            with path.open("rb") as stream:
                data = stream.read(_LARGEST_PROFILE_BYTES + 1)
        except OSError as error:
            wrong = unreadable(str(path), error)
            raise UsageError("settings", wrong.message, where=wrong.where, hint=wrong.hint) from None
        if len(data) > _LARGEST_PROFILE_BYTES:
            raise UsageError("settings", "far larger than any profile", where=where, hint="check mdm.profile_file")
        try:
            found = read_delivered_profile(data, where)
        except InputError as error:
            raise UsageError("settings", error.message, where=where, hint=error.hint) from None
        if found.identifier != self._settings.profile:
            raise UsageError(
                "settings",
                f"this is profile {visible(found.identifier)}, and mdm.profile is {visible(self._settings.profile)}",
                where=where,
                hint="mdm.profile is the PayloadIdentifier at the top of mdm.profile_file",
            )
        return data, found

    def _why_not_sendable(self, found: DeliveredProfile) -> str:
        if not found.wants_challenge:
            return ""
        if found.signed:
            return f"the profile's file is signed, so {PLACEHOLDER} in it cannot be replaced"
        if not self._settings.secrets.get("challenge"):
            return f"the profile's file has {PLACEHOLDER}, and the settings name no challenge"
        return ""


class _ApiKey:
    """HTTP Basic with the user nanomdm; the key is read again where it was refused, so that a rotated one counts."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings, self._pair = settings, ""

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        if fresh or not self._pair:
            pair = f"nanomdm:{secret(self._settings, 'api_key')}".encode()
            self._pair = base64.b64encode(pair).decode("ascii")
        return {"Authorization": f"Basic {self._pair}"}


def _record(one: KnownDevice) -> MdmDevice:
    how = one.standing
    return MdmDevice(
        identity=Identity(visible(one.serial_number), visible(one.hardware_uuid), one.id),
        name=visible(one.name),
        managed=one.managed,
        last_seen_at=one.last_seen_at,
        excluded=how.excluded,
        profile_installed=how.installed,
        removal_pending=how.removal_pending,
        removed_at=how.removed_at,
        installed_at=how.installed_at,
        install_status=how.install_status,
    )


def _may_ask(one: KnownDevice, now: datetime) -> bool:
    put_off_at = one.standing.put_off_at
    return one.managed and (put_off_at is None or now - put_off_at > _PUT_OFF)


def _to_ask(one: KnownDevice, now: datetime) -> bool:
    """Should this device be asked for its profiles?"""
    question, waiting = one.questions.get(PROFILES), one.standing.waiting_since
    if question is not None and question.answered_at is None and now - question.asked_at < _OPEN:
        return False
    unanswered = waiting is not None and now - waiting > _UNANSWERED
    if one.standing.doubtful:
        return True
    if unanswered and (question is None or now - question.asked_at > _UNANSWERED):
        return True
    # Not right behind a change: see _SAME_SECOND.
    calm = waiting is None or now - waiting > _SAME_SECOND
    return calm and (one.standing.installed is None or now - one.last_seen_at > _FRESH)


def _is_old(question: Question | None, now: datetime, fresh: timedelta, waits: timedelta = _OPEN) -> bool:
    if question is None:
        return True
    if question.answered_at is None:
        return now - question.asked_at > waits
    return now - question.asked_at > fresh


def _listed(der: bytes) -> ListedCertificate:
    found = _certificate(der)
    if found is None:
        return ListedCertificate(der=der)
    return ListedCertificate(
        serial_number=found.serial_number,
        sha1=found.sha1,
        der=der,
        common_name=visible(found.common_names[0]) if found.common_names else "",
        not_before=found.not_before,
        not_after=found.not_after,
        current=True,
    )


def _certificate(der: bytes) -> Certificate | None:
    try:
        return read_certificate(der)
    except InputError:
        return None


def _path(ids: Collection[str]) -> str:
    """Return ids as they stand in a path. Raise MdmError for one that NanoMDM never gave."""
    for one in ids:
        if not ENROLLMENT_ID.fullmatch(one):
            raise MdmError("mdm-refused", f"no enrollment id of NanoMDM: {visible(one)[:80]}", where="mdm")
    return ",".join(ids)


def _new_uid() -> str:
    return str(uuid.uuid4()).upper()


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _MOST):
        yield list(ids[start : start + _MOST])
