"""The org's setting is written on another person's signed approval only, and read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from scepfix.domain.errors import RefusedError, ScepfixError
from scepfix.service.okta_setting import message_to_sign, set_recovery_pin

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(days=1)
ORG = "https://example.okta.com"
LINE = f"okta set recovery-pin on at {ORG} until 2026-11-25T12:00:00Z for alice\n"


@dataclass
class Setting:
    enabled: bool = False
    takes: bool = True
    written: list[bool] = field(default_factory=list)
    org: str = ORG

    def read(self) -> bool:
        return self.enabled

    def write(self, enabled: bool) -> None:
        self.written.append(enabled)
        if self.takes:
            self.enabled = enabled


@dataclass
class Signed:
    """Somebody's signature over one message, in the file ``sig``."""

    person: str
    message: bytes = LINE.encode()

    def signer(self, message: bytes, signature_file: str) -> str:
        if (message, signature_file) != (self.message, "sig"):
            raise RefusedError("signature-refused", "it does not count")
        return self.person


def test_an_approved_change_is_written_and_read_back() -> None:
    setting = Setting()

    change = set_recovery_pin(setting, True, "sig", UNTIL, "alice", Signed("bob@example.com"), NOW)

    assert setting.written == [True]
    assert change.as_document() == {
        "org": ORG,
        "setting": "recovery-pin",
        "before": "off",
        "after": "on",
        "changed": True,
        "requested_by": "alice",
        "approved_by": "bob@example.com",
        "at": "2026-11-24T12:00:00Z",
    }


def test_what_is_so_already_is_not_written() -> None:
    setting = Setting(enabled=True)

    change = set_recovery_pin(setting, True, "sig", UNTIL, "alice", Signed("bob"), NOW)

    assert (setting.written, change.before, change.after) == ([], True, True)


def test_without_a_signature_the_line_to_sign_is_told() -> None:
    setting = Setting()

    with pytest.raises(RefusedError) as caught:
        set_recovery_pin(setting, True, None, UNTIL, "alice", Signed("bob"), NOW)

    assert caught.value.code == "not-approved"
    assert LINE.strip() in caught.value.message
    assert "--until 2026-11-25T12:00:00Z" in caught.value.hint
    assert setting.written == []


@pytest.mark.parametrize(
    ("enabled", "until", "requester", "signer", "now", "code"),
    [
        (False, UNTIL, "alice", "bob", NOW, "signature-refused"),
        (True, UNTIL + timedelta(seconds=1), "alice", "bob", NOW, "signature-refused"),
        (True, UNTIL, "carol", "bob", NOW, "signature-refused"),
        (True, UNTIL, "alice", "alice", NOW, "self-approval"),
        (True, UNTIL, "alice", "Alice@example.com", NOW, "self-approval"),
        (True, UNTIL, "alice", "bob", UNTIL, "approval-expired"),
        (True, UNTIL, "alice", "bob", UNTIL - timedelta(days=7, seconds=1), "approval-expired"),
    ],
)
def test_any_other_approval_is_refused_and_nothing_is_written(
    enabled: bool, until: datetime, requester: str, signer: str, now: datetime, code: str
) -> None:
    setting = Setting(enabled=not enabled)

    with pytest.raises(RefusedError) as caught:
        set_recovery_pin(setting, enabled, "sig", until, requester, Signed(signer), now)

    assert caught.value.code == code
    assert setting.written == []


def test_another_org_is_another_message() -> None:
    setting = Setting(org="https://other.okta.com")

    with pytest.raises(RefusedError):
        set_recovery_pin(setting, True, "sig", UNTIL, "alice", Signed("bob"), NOW)

    assert setting.written == []


def test_a_change_that_does_not_stay_is_told() -> None:
    with pytest.raises(ScepfixError) as caught:
        set_recovery_pin(Setting(takes=False), True, "sig", UNTIL, "alice", Signed("bob"), NOW)

    assert caught.value.code == "setting-unchanged"


def test_the_message_is_one_line_whatever_a_name_holds() -> None:
    message = message_to_sign(ORG, True, UNTIL, "al\nice")

    assert message.count(b"\n") == 1
