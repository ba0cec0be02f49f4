"""How a device may begin: one small function for each scenario, in the words of the fault catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from scepfix.domain.moment import rfc3339
from scepfix.simulator import device_log
from scepfix.simulator.ca import OTHER, Ca, new_public_key
from scepfix.simulator.mac import Mac
from scepfix.simulator.okta import HELPDESK, OktaOrg
from scepfix.simulator.profile import Settings


@dataclass(slots=True)
class Beginning:
    """A device that is being set up. ``record`` is what the MDM will say of it, None where it has no record;
    ``excluded`` puts it into scepfix's exclusion group."""

    mac: Mac
    ca: Ca
    okta: OktaOrg
    settings: Settings
    now: datetime
    record: dict[str, Any] | None = field(default_factory=dict)
    excluded: bool = False

    def ago(self, **span: float) -> datetime:
        return self.now - timedelta(**span)

    def install(self, at: datetime) -> bytes:
        """Install the profile, which gets the device its certificate; return that."""
        self.mac.install_profile(self.settings, self.ca, at)
        self.record = {"profile_installed": True, "installed_at": rfc3339(at), "install_status": "Acknowledged"}
        keychain = self.mac.system_keychain if self.mac.profile_scope == "system" else self.mac.login_keychain
        return keychain.items()[-1].der

    def certificate(self, **how: Any) -> bytes:
        """Have the CA issue a certificate for this device, a month ago, in some other way than through the profile."""
        at = how.pop("at", self.ago(days=30))
        return self.ca.issue(new_public_key(), self.mac.facts.subject, at, **how)

    def replace_certificate(self, der: bytes, *, private_key: bool = True, login: bool = False) -> None:
        """Put this certificate where the one from the profile is."""
        for item in self.mac.system_keychain.items():
            if item.der == (self.mac.folder / "last.der").read_bytes():
                self.mac.system_keychain.remove(item.der)
        (self.mac.login_keychain if login else self.mac.system_keychain).add(der, private_key=private_key)
        (self.mac.folder / "last.der").write_bytes(der)

    def person_signs_in(self, **ago: float) -> None:
        self.okta.sign_in(self.mac, self.ago(**ago))


def healthy(it: Beginning) -> None:
    """Everything in order: enrolled two months ago, certificate a month old, registered five days ago."""
    it.mac.log(device_log.grace_period(it.ago(days=40)))
    it.install(it.ago(days=30))
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(days=5)


def deleted(it: Beginning) -> None:
    """Somebody deleted the device in Okta three days ago; its certificate looks as good as ever."""
    healthy(it)
    it.okta.delete(it.mac, it.ago(days=3))
    it.person_signs_in(hours=26)


def missing(it: Beginning) -> None:
    """The profile is there and the certificate is gone."""
    healthy(it)
    it.mac.system_keychain.remove((it.mac.folder / "last.der").read_bytes())
    it.person_signs_in(hours=26)


def expired(it: Beginning) -> None:
    """The certificate is 400 days old; Okta's CA issues for one year and renews nothing."""
    it.install(it.ago(days=400))
    it.okta.enrol_person(it.mac, it.ago(days=399))
    it.person_signs_in(days=50)
    it.person_signs_in(hours=26)


def wrong_type(it: Beginning) -> None:
    """The profile points at the endpoint-management CA: its certificates lack the marker."""
    it.install(it.ago(days=30))
    it.replace_certificate(it.certificate(marker=False))
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def wrong_store(it: Beginning) -> None:
    """The certificate is in the person's login keychain, where the daemon does not look."""
    it.install(it.ago(days=30))
    it.replace_certificate(it.certificate(), login=True)
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def wrong_org(it: Beginning) -> None:
    """The certificate carries the marker and comes from another org's CA of the same name."""
    it.install(it.ago(days=30))
    it.replace_certificate(it.certificate(authority=OTHER))
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def leftover(it: Beginning) -> None:
    """An older certificate, with its key, is left beside the good one."""
    it.mac.system_keychain.add(it.certificate(at=it.ago(days=200)), private_key=True)
    healthy(it)


def profile_missing(it: Beginning) -> None:
    """The MDM believes it sent the profile, and it never came; it comes once somebody asks again."""
    it.record = {"stuck": True}
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def profile_excluded(it: Beginning) -> None:
    """The device is in the exclusion group, and nobody knows why."""
    it.record = {"removed_at": rfc3339(it.ago(days=2)), "installed_at": rfc3339(it.ago(days=30))}
    it.excluded = True
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def profile_out_of_scope(it: Beginning) -> None:
    """The device is not in the profile's scope."""
    it.record = {"in_scope": False}
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def install_failed(it: Beginning) -> None:
    """The CA refuses every enrolment, so the profile does not install."""
    it.mac.tell("install-error", "yes")
    it.record = {"answer": "Error"}
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def not_registered(it: Beginning) -> None:
    """All is well, and the person has not signed in since."""
    it.install(it.ago(days=3))
    it.okta.enrol_person(it.mac, it.ago(days=2))


def deactivated(it: Beginning) -> None:
    """An administrator deactivated the device in Okta."""
    healthy(it)
    it.okta.deactivate(it.mac, it.ago(days=3))
    it.person_signs_in(hours=26)


def suspended(it: Beginning) -> None:
    """An administrator suspended the device in Okta: its certificate stays valid."""
    healthy(it)
    it.okta.suspend(it.mac, it.ago(days=3))


def revoked(it: Beginning) -> None:
    """The certificate alone was revoked; the record is active."""
    healthy(it)
    it.okta.revoke(it.mac, (it.mac.folder / "last.der").read_bytes(), it.ago(days=3))
    it.person_signs_in(hours=26)


def pin_disabled(it: Beginning) -> None:
    """Recovery PINs are off for the whole org; the device is in order."""
    healthy(it)
    it.okta.set_pin(False)


def no_permission(it: Beginning) -> None:
    """The help desk lost its role in the whole org; the device is in order."""
    healthy(it)
    it.okta.set_roles(HELPDESK, ["READ_ONLY_ADMIN"])


def clock_wrong(it: Beginning) -> None:
    """The device's clock is a quarter of an hour ahead."""
    healthy(it)
    it.mac.tell("clock-offset", "900")
    it.person_signs_in(hours=26)


def key_unusable(it: Beginning) -> None:
    """The certificate is there and its private key is gone."""
    healthy(it)
    it.mac.system_keychain.lose_key((it.mac.folder / "last.der").read_bytes())
    it.person_signs_in(hours=26)


def misconfigured(it: Beginning) -> None:
    """The profile asks for a key of 1024 bits."""
    it.mac.misconfigure(keysize=1024)
    healthy(it)


def misconfigured_scope(it: Beginning) -> None:
    """The profile came at user level, so the certificate is in the person's keychain."""
    it.mac.misconfigure(scope="user")
    it.install(it.ago(days=30))
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


def not_managed(it: Beginning) -> None:
    """The enrolment in the MDM is gone, and with it profile and certificate."""
    it.mac.unenrol()
    it.record = None
    it.okta.enrol_person(it.mac, it.ago(days=29))
    it.person_signs_in(hours=26)


SCENARIOS: Mapping[str, Callable[[Beginning], None]] = {
    "healthy": healthy,
    "deleted": deleted,
    "missing": missing,
    "expired": expired,
    "wrong-type": wrong_type,
    "wrong-store": wrong_store,
    "wrong-org": wrong_org,
    "leftover": leftover,
    "profile-missing": profile_missing,
    "profile-excluded": profile_excluded,
    "profile-out-of-scope": profile_out_of_scope,
    "install-failed": install_failed,
    "not-registered": not_registered,
    "deactivated": deactivated,
    "suspended": suspended,
    "revoked": revoked,
    "pin-disabled": pin_disabled,
    "no-permission": no_permission,
    "clock-wrong": clock_wrong,
    "key-unusable": key_unusable,
    "misconfigured": misconfigured,
    "misconfigured-scope": misconfigured_scope,
    "not-managed": not_managed,
}
