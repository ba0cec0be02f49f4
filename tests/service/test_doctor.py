"""The doctor: each line passes, fails with what to do, or could not look; what raises stops no other line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import plan_factory
from tests.certificate_factory import DURING, authority, make, pem
from tests.plan_factory import HOSTILE

from scepfix.adapters.small_files import SmallFilesOnDisk
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.device import Identity
from scepfix.domain.errors import Exit, ScepfixError, UsageError
from scepfix.domain.inert import visible
from scepfix.domain.mdm import CertificateList, CollectedText, ManagedProfile, MdmDevice
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Remediation
from scepfix.service.doctor import WAY_BACK, Secret, Ways, examine, exit_of
from scepfix.service.ports import InventoryDevice
from scepfix.service.refusals import of_profile

NOW = DURING
PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN
GOOD = ManagedProfile(
    "com.example.scep",
    "Okta SCEP",
    ("com.apple.security.scep", "com.apple.security.root"),
    changed_at=NOW - timedelta(days=90),
    last_issued_at=NOW - timedelta(days=1),
)
#: Everything wrong that an MDM can say of a profile.
BAD = ManagedProfile(
    "com.example.scep",
    payload_types=("com.apple.security.scep", "com.apple.wifi.managed"),
    scope="user",
    comes_back="it is offered in Self Service",
    referred_by=("Office Wi-Fi",),
    changed_at=NOW,
    last_issued_at=NOW - timedelta(days=1),
    declarative=True,
    group_uses=("Restrictions",),
)


@dataclass
class Mdm:
    """An MDM that fails the test when anything is to be changed; ``broken``: what every reading raises."""

    found: ManagedProfile = GOOD
    inside: tuple[MdmDevice, ...] = ()
    said: tuple[Check, ...] = (Check("mdm.credentials", PASS, "a token was given"),)
    broken: Exception | None = None
    breaks_off: bool = False
    asked: int = 0

    def profile(self) -> ManagedProfile:
        self.asked += 1
        if self.broken:
            raise self.broken
        return self.found

    def group_uses(self) -> tuple[str, ...]:
        return self.found.group_uses

    def members(self) -> tuple[MdmDevice, ...]:
        if self.broken:
            raise self.broken
        return self.inside

    def checks(self) -> Iterator[Check]:
        yield from self.said
        if self.breaks_off:
            raise ZeroDivisionError("p4ssw0rd")

    def devices(self, serial_numbers: Sequence[str]) -> Mapping[str, MdmDevice]:
        return {}

    def certificates(self, mdm_ids: Sequence[str]) -> Mapping[str, CertificateList]:
        return {}

    def collected(self, mdm_ids: Sequence[str]) -> Mapping[str, CollectedText]:
        return {}

    def exclude(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a doctor excludes nobody")

    def put_back(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a doctor puts nobody back")

    def nudge(self, mdm_ids: Sequence[str]) -> NoReturn:
        raise AssertionError("a doctor nudges nobody")


class Org:
    """An Okta org that answers the doctor and nobody else."""

    def checks(self) -> Iterator[Check]:
        yield Check("okta.credentials", PASS, "it takes our token")

    def device_evidence(self, identity: Identity, person: str, admin: str) -> NoReturn:
        raise AssertionError("a doctor asks about no device")

    def registered(self, identity: Identity, person: str, since: object) -> NoReturn:
        raise AssertionError("a doctor asks about no person")

    def notes(self) -> tuple[str, ...]:
        return ()


class Inventory:
    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)

    def devices(self, names: Sequence[str], group: str | None = None) -> tuple[InventoryDevice, ...]:
        return ()


@dataclass
class Place:
    """A site where all is as it should be, until a test changes something."""

    folder: Path
    mdm: Mdm

    def __post_init__(self) -> None:
        ca = self.folder / "ca.pem"
        ca.write_text(pem(authority().der))
        signers = self.folder / "allowed_signers"
        signers.write_text("# who may approve\nalice ssh-ed25519 AAAA\n")
        self.ways = Ways(
            settings_file="/etc/scepfix.yml",
            secrets=(Secret("mdm.client_secret", "env JAMF", lambda: "p4ssw0rd"),),
            issuer_files=(str(ca),),
            allowed_signers=str(signers),
            files=SmallFilesOnDisk(),
            state=lambda: self.folder,
            database=lambda: (),
            program=lambda name: f"/usr/bin/{name}",
            package=lambda name: "2.19.0",
            collection=lambda: self.folder,
            inventory=lambda: Inventory("mac-042"),
            mdm=lambda: self.mdm,
            okta=Org,
            policy=RepairPolicy(),
            now=NOW,
        )

    def checks(self, **changes: object) -> list[Check]:
        return list(examine(replace(self.ways, **changes)))  # type: ignore[arg-type]

    def line(self, name: str, **changes: object) -> Check:
        (found,) = [check for check in self.checks(**changes) if check.id == name]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Place:
    return Place(tmp_path, Mdm())


def raises(error: Exception) -> Callable[[], NoReturn]:
    def look() -> NoReturn:
        raise error

    return look


def results(checks: Sequence[Check]) -> dict[str, CheckResult]:
    return {check.id: check.result for check in checks}


def test_where_all_is_well_every_line_passes(site: Place) -> None:
    checks = site.checks()

    assert {check.id: check.message for check in checks if check.result is not PASS} == {}
    assert len({check.id for check in checks}) == len(checks) == 24
    assert all(check.message and not check.hint for check in checks)
    assert exit_of(checks) is Exit.VERDICT


def test_nothing_is_named_and_all_of_it_is_unknown(site: Place) -> None:
    checks = site.checks(mdm=None, okta=None, inventory=None)

    about = [one for one in checks if not one.id.startswith(("settings.", "machine.", "repairs."))]
    assert {one.result for one in about} == {UNKNOWN}
    assert {one.id for one in about} >= {line.id for line in WAY_BACK.values()}
    assert all("the settings name no" in one.message for one in about)
    assert all(one.hint.endswith("in docs/settings.md") for one in about)
    assert exit_of(checks) is Exit.UNDETERMINED
    assert "machine.inventory" not in results(checks)


def test_a_line_that_fails_counts_for_more_than_one_that_could_not_look() -> None:
    checks = [Check("a", UNKNOWN, ""), Check("b", FAIL, "")]

    assert exit_of(checks) is Exit.FAILED
    assert exit_of(checks[:1]) is Exit.UNDETERMINED
    assert exit_of(()) is Exit.VERDICT


# --- the way back -----------------------------------------------------------------------------------------------


def test_each_reason_not_to_begin_a_repair_has_a_line_and_fails_it(site: Place) -> None:
    site.mdm.found = BAD
    checks = {check.id: check for check in site.checks()}

    for refusal in of_profile(BAD):
        line = checks[WAY_BACK[refusal.code].id]
        assert (line.result, line.message) == (FAIL, refusal.text)
        assert line.hint
    assert {refusal.code for refusal in of_profile(BAD)} == set(WAY_BACK)


PROFILES = st.builds(
    ManagedProfile,
    identifier=st.just("com.example.scep"),
    payload_types=st.lists(
        st.sampled_from(["com.apple.security.scep", "com.apple.wifi.managed", "com.apple.MCX"]), unique=True
    ).map(tuple),
    scope=st.sampled_from(["system", "user"]),
    comes_back=st.sampled_from(["", "no"]),
    referred_by=st.sampled_from([(), ("Wi-Fi",)]),
    changed_at=st.none() | st.datetimes(timezones=st.just(NOW.tzinfo)),
    last_issued_at=st.none() | st.datetimes(timezones=st.just(NOW.tzinfo)),
    declarative=st.booleans(),
    group_uses=st.sampled_from([(), ("Restrictions",)]),
)


@given(PROFILES)
def test_the_doctor_fails_exactly_where_a_repair_is_refused(
    tmp_path_factory: pytest.TempPathFactory, profile: ManagedProfile
) -> None:
    checks = results(Place(tmp_path_factory.mktemp("site"), Mdm(profile)).checks())

    refused = {WAY_BACK[refusal.code].id for refusal in of_profile(profile)}
    assert {line.id for line in WAY_BACK.values() if checks[line.id] is FAIL} == refused


def test_what_a_profile_carries_that_the_mdm_does_not_show_is_looked_at_by_hand(site: Place) -> None:
    site.mdm.found = replace(GOOD, payload_types=())

    for name in ("way-back.payloads", "way-back.channel"):
        line = site.line(name)
        assert line.result is UNKNOWN
        assert line.hint.startswith("look by hand: which Wi-Fi")


def test_a_profile_that_refers_to_it_may_be_how_devices_reach_the_mdm(site: Place) -> None:
    site.mdm.found = replace(GOOD, referred_by=("Office Wi-Fi",))

    assert site.line("way-back.referred-by").result is FAIL
    assert site.line("way-back.channel").result is UNKNOWN
    assert "Office Wi-Fi" in site.line("way-back.channel").message


def test_a_certificate_that_came_before_the_secret_changed_proves_nothing(site: Place) -> None:
    site.mdm.found = replace(GOOD, changed_at=NOW, last_issued_at=NOW - timedelta(seconds=1))

    line = site.line("way-back.issued")
    assert line.result is FAIL
    assert "a CA that answers proves nothing" in line.hint


# --- the MDM and Okta do not answer -----------------------------------------------------------------------------


def test_an_mdm_that_does_not_answer_is_asked_once_and_leaves_its_lines_unknown(site: Place) -> None:
    site.mdm.broken = ScepfixError("mdm-unreachable", "no answer", where="https://mdm.example", hint="is it up?")
    checks = site.checks()

    unknown = [check for check in checks if check.result is UNKNOWN]
    assert {check.id for check in unknown} == {line.id for line in WAY_BACK.values()} | {"group.members"}
    assert {check.message for check in unknown} == {"could not look: https://mdm.example: no answer"}
    assert {check.hint for check in unknown} == {"is it up?"}
    assert site.mdm.asked == 1
    assert results(checks)["okta.credentials"] is PASS
    assert exit_of(checks) is Exit.UNDETERMINED


def test_an_mdm_that_does_not_let_us_in_is_asked_no_more(site: Place) -> None:
    site.mdm.said = (Check("mdm.credentials", FAIL, "it does not take them", "renew the secret"),)
    checks = site.checks()

    unknown = [check for check in checks if check.result is UNKNOWN]
    assert {check.id for check in unknown} == {line.id for line in WAY_BACK.values()} | {"group.members"}
    assert {check.message for check in unknown} == {"could not look: the MDM does not let us in: see mdm.credentials"}
    assert site.mdm.asked == 0
    assert exit_of(checks) is Exit.FAILED


def test_an_mdm_that_cannot_be_opened_fails_its_line_and_stops_no_other(site: Place) -> None:
    error = UsageError("settings", "mdm.url is no plain http or https address", where="mdm", hint="https://HOST")
    checks = site.checks(mdm=raises(error))

    assert results(checks)["mdm.settings"] is FAIL
    assert results(checks)["way-back.issued"] is UNKNOWN
    assert results(checks)["okta.settings"] is PASS


def test_checks_that_break_off_keep_what_they_said_and_show_no_value(site: Place) -> None:
    site.mdm.breaks_off = True
    checks = {check.id: check for check in site.checks()}

    assert checks["mdm.credentials"].result is PASS
    assert checks["mdm.checks"].result is UNKNOWN
    assert "ZeroDivisionError" in checks["mdm.checks"].message
    assert "p4ssw0rd" not in str(checks.values())


LOOKS = ("state", "database", "program", "package", "collection", "inventory", "mdm", "okta")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("error", [ScepfixError("x", "it is broken"), RuntimeError("p4ssw0rd")])
def test_whatever_is_broken_stops_no_other_line(site: Place, look: str, error: Exception) -> None:
    def broken(*arguments: str) -> NoReturn:
        raise error

    whole, checks = results(site.checks()), site.checks(**{look: broken})

    changed = {name for name, result in whole.items() if results(checks).get(name) is not result}
    assert changed
    assert len(changed) < len(whole) / 2 or look == "mdm"
    assert "p4ssw0rd" not in str(checks)


# --- who is left out --------------------------------------------------------------------------------------------


MEMBER = MdmDevice(Identity("C02MAC042", "UUID-MAC-042", "mdm-mac-042"), "mac-042")


def removing(asked: timedelta, **changes: object) -> Remediation:
    """A repair of mac-042 whose removal was asked for so long ago."""
    return plan_factory.remediation(plan_factory.device("mac-042"), None, removal_asked_at=NOW - asked, **changes)


def test_a_member_that_no_repair_wants_there_is_left_behind(site: Place) -> None:
    site.mdm.inside = (MEMBER,)

    line = site.line("group.members")
    assert (line.result, line.hint) == (FAIL, "scepfix rescue puts everybody back")
    assert "mac-042" in line.message


def test_a_member_in_the_middle_of_its_repair_is_not(site: Place) -> None:
    site.mdm.inside = (MEMBER,)

    checks = results(site.checks(database=lambda: (removing(timedelta(minutes=5)),)))

    assert (checks["group.members"], checks["repairs.put-back"]) == (PASS, PASS)


def test_a_repair_that_is_late_is_told_and_its_member_is_left_behind(site: Place) -> None:
    site.mdm.inside = (MEMBER,)

    checks = results(site.checks(database=lambda: (removing(timedelta(hours=4)),)))

    assert (checks["group.members"], checks["repairs.put-back"]) == (FAIL, FAIL)


def test_a_profile_that_is_back_is_not_late(site: Place) -> None:
    back = removing(timedelta(hours=9), reinstall_asked_at=NOW - timedelta(hours=8), reinstalled_at=NOW)

    assert site.line("repairs.put-back", database=lambda: (back,)).result is PASS


def test_a_database_that_cannot_be_read_hides_nobody(site: Place) -> None:
    site.mdm.inside = (MEMBER,)
    error = UsageError("database-unusable", "the database cannot be opened", where="x.sqlite", hint="check --database")

    checks = {check.id: check for check in site.checks(database=raises(error))}

    assert checks["machine.database"].result is FAIL
    assert (checks["group.members"].result, checks["repairs.put-back"].result) == (UNKNOWN, UNKNOWN)


# --- settings and this machine ----------------------------------------------------------------------------------


def test_each_secret_is_tried_and_none_is_shown(site: Place) -> None:
    error = UsageError("secret", "the variable is not set", where="env OKTA", hint="set it where scepfix runs")
    secrets = (
        Secret("mdm.client_secret", "env JAMF", lambda: "p4ssw0rd"),
        Secret("okta.token", "env OKTA", raises(error)),
        Secret("okta_write.token", "env WRITE", raises(error), needed=False),
    )

    found = [check for check in site.checks(secrets=secrets) if check.id == "settings.secret"]

    assert [check.result for check in found] == [PASS, FAIL, UNKNOWN]
    assert found[1].message == "okta.token (env OKTA): the variable is not set"
    assert found[1].hint == "set it where scepfix runs"
    assert "p4ssw0rd" not in str(found)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"nonsense", "issuer.pem"),
        (b"", "empty"),
        (make(subject="leaf").der, "is no certificate of a CA"),
        (make(ca=True, not_after=NOW - timedelta(days=1)).der, "expired at 2026-05-31"),
    ],
)
def test_an_issuer_that_cannot_be_compared_with_fails(site: Place, data: bytes, said: str) -> None:
    (site.folder / "issuer.pem").write_bytes(data)
    files = (*site.ways.issuer_files, str(site.folder / "issuer.pem"))

    line = site.line("settings.issuers", issuer_files=files)

    assert line.result is FAIL
    assert said in line.message


def test_no_issuer_means_that_nobody_compares(site: Place) -> None:
    assert site.line("settings.issuers", issuer_files=()).result is UNKNOWN


def test_signers_must_be_readable_and_some(site: Place) -> None:
    (site.folder / "none").write_text("# nobody\n")

    assert site.line("settings.signers", allowed_signers=None).result is PASS
    assert site.line("settings.signers", allowed_signers=str(site.folder / "none")).result is FAIL
    assert site.line("settings.signers", allowed_signers=str(site.folder / "absent")).result is FAIL


def test_what_is_missing_on_this_machine_is_named(site: Place) -> None:
    checks = {
        check.id: check
        for check in site.checks(
            program=lambda name: None if name == "ssh-keygen" else name,
            package=lambda name: None if name == "ansible-runner" else "1",
            inventory=lambda: Inventory(),
        )
    }

    assert checks["machine.openssh"].message == "ssh-keygen cannot be found"
    assert checks["machine.ansible"].message == "ansible-runner cannot be imported"
    assert checks["machine.inventory"].result is FAIL


def test_foreign_text_is_inert(site: Place) -> None:
    site.mdm.inside = (replace(MEMBER, name=HOSTILE),)
    site.mdm.found = replace(GOOD, group_uses=(HOSTILE,), referred_by=(HOSTILE,))
    site.mdm.said = (Check("mdm.credentials", PASS, HOSTILE, HOSTILE),)

    for check in site.checks():
        assert visible(check.message) == check.message
        assert visible(check.hint) == check.hint
