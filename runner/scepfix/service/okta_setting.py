"""The use *write the org's setting*: recovery PINs on or off, on another person's signed approval, and read back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scepfix.domain.errors import RefusedError, ScepfixError
from scepfix.domain.inert import visible
from scepfix.domain.moment import rfc3339
from scepfix.service.approve import same_person
from scepfix.service.ports import OrgSetting, Signatures

SETTING = "recovery-pin"
#: An approval is for now, not for some day.
LONGEST_APPROVAL = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SettingChange:
    """What came of it: the setting before and, read back, after."""

    org: str
    before: bool
    after: bool
    requested_by: str
    approved_by: str
    at: datetime

    def as_document(self) -> dict[str, Any]:
        return {
            "org": self.org,
            "setting": SETTING,
            "before": word(self.before),
            "after": word(self.after),
            "changed": self.before != self.after,
            "requested_by": self.requested_by,
            "approved_by": self.approved_by,
            "at": rfc3339(self.at),
        }


def word(enabled: bool) -> str:
    """Return how the setting is said."""
    return "on" if enabled else "off"


def message_to_sign(org: str, enabled: bool, until: datetime, requester: str) -> bytes:
    """Return the line that an approver signs, with its line end: what, where, until when, and who asks for it."""
    line = f"okta set {SETTING} {word(enabled)} at {org} until {rfc3339(until)} for {visible(requester)}\n"
    return line.encode("utf-8")


def set_recovery_pin(
    setting: OrgSetting,
    enabled: bool,
    signature: str | None,
    until: datetime,
    requester: str,
    signatures: Signatures,
    now: datetime,
) -> SettingChange:
    """Given the setting, its new value, the file of a signature (None: there is none), until when it holds and who
    asks, write it and return what came of it.

    Raise RefusedError: ``not-approved`` (its hint says what is to be signed), ``approval-expired``, ``self-approval``,
    ``signature-refused``; ScepfixError (``setting-unchanged``) where Okta took it and it is not so.
    """
    message = message_to_sign(setting.org, enabled, until, requester)
    line = message.decode("utf-8").rstrip("\n")
    if not now < until <= now + LONGEST_APPROVAL:
        raise RefusedError(
            "approval-expired",
            f"an approval until {rfc3339(until)} does not hold: it must end in the next {LONGEST_APPROVAL.days} days",
            where="--until",
            hint="have it approved anew",
        )
    if signature is None:
        raise RefusedError(
            "not-approved",
            f"another person has to approve this by signing the line '{line}'",
            where=setting.org,
            hint=f"printf '%s\\n' 'LINE' | ssh-keygen -Y sign -f KEY -n scepfix-plan > FILE; then the same command "
            f"with --approval FILE --until {rfc3339(until)}",
        )
    signer = signatures.signer(message, signature)
    if same_person(signer, requester):
        raise RefusedError(
            "self-approval",
            f"{visible(signer)} asked for this and may not approve it",
            where=setting.org,
            hint="another person signs the line",
        )
    before = setting.read()
    if before != enabled:
        setting.write(enabled)
    after = setting.read()
    if after != enabled:
        raise ScepfixError(
            "setting-unchanged",
            f"Okta took the change, and the setting is still {word(after)}",
            where=setting.org,
            hint="look by hand: Security > General > Okta Device Access",
        )
    return SettingChange(setting.org, before, after, visible(requester), visible(signer), now)
