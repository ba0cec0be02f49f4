"""The shipped catalogue is whole and every fault in it can be reached; a wrong one is refused with file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from scepfix.domain.diagnosis import Verdict
from scepfix.domain.errors import UsageError
from scepfix.domain.evidence import SAYS, Evidence, Fact, Witness
from scepfix.domain.fault import ADMIN_SIDE, DRAWN_SIGNS, STEP_VALUES, Catalogue, Condition, Fault, Symptom
from scepfix.domain.platform import Platform
from scepfix.parsers.fault_catalogue import read_catalogue
from scepfix.parsers.located_yaml import parse
from scepfix.rules.diagnose import diagnose
from scepfix.rules.signs import draw_signs
from scepfix.rules.steps import Circumstances
from scepfix.rules.wording import render_steps

SHIPPED = (Path(__file__).parents[2] / "runner/scepfix/rules/faults.yml").read_text("utf-8")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

#: Every row of the design, with its playbook.
ROWS = {
    "certificate-missing": "reinstall_scep_profile",
    "certificate-rejected": "report",
    "device-deleted": "reinstall_scep_profile",
    "device-deactivated": "report",
    "certificate-expired": "reinstall_scep_profile",
    "certificate-wrong-type": "report",
    "certificate-wrong-store": "report",
    "certificate-wrong-org": "report",
    "certificate-key-unusable": "reinstall_scep_profile",
    "certificate-leftover": "remove_leftover_certificates",
    "profile-missing": "install_scep_profile",
    "profile-misconfigured": "report",
    "scep-enrolment-failed": "report",
    "device-not-managed": "report",
    "not-registered-yet": "report",
    "okta-verify-enrolment-lost": "report",
    "user-not-in-desktop-mfa": "report",
    "desktop-mfa-not-installed": "report",
    "client-outdated": "report",
    "clock-wrong": "report",
    "recovery-pin-disabled": "report",
    "admin-permission-missing": "report",
    "prerequisite-missing": "report",
}


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return read_catalogue(parse(SHIPPED, "faults.yml"))


def fault_of(catalogue: Catalogue, fault_id: str) -> Fault:
    fault = catalogue.fault(fault_id)
    assert fault is not None
    return fault


def test_every_row_of_the_design_is_there_with_its_playbook(shipped: Catalogue) -> None:
    assert {fault.id: fault.playbook for fault in shipped.faults} == ROWS


def test_a_rejected_certificate_gets_a_one_way_playbook_only_with_more_than_the_log(shipped: Catalogue) -> None:
    choices = fault_of(shipped, "certificate-rejected").playbook_when

    assert {choice.playbook for choice in choices} == {"reinstall_scep_profile"}
    assert [{one.says for one in choice.when} for choice in choices] == [
        {"okta.certificate-revoked"},
        {"log.rejected-again", "okta.device-active-since", "device.clock-right-since", "certificate.right-org"},
    ]


def test_every_fault_that_is_named_exists(shipped: Catalogue) -> None:
    named = {other for fault in shipped.faults for other in fault.explains}
    named |= {rival.fault for fault in shipped.faults for rival in fault.rivals}

    assert named <= set(ROWS)


def test_no_fault_explains_itself_and_no_two_explain_each_other(shipped: Catalogue) -> None:
    explains = {(fault.id, other) for fault in shipped.faults for other in fault.explains}

    assert [pair for pair in explains if pair[::-1] in explains] == []


def test_every_drawn_sign_has_a_use(shipped: Catalogue) -> None:
    used = {condition.says for fault in shipped.faults for condition in conditions_of(fault)}
    used |= {says for fault in shipped.faults for wanted in fault.wants for says in wanted.says}

    assert set(DRAWN_SIGNS) - used == set()


def conditions_of(fault: Fault) -> list[Condition]:
    return [
        *(sign.condition for sign in fault.signs),
        *(one for rival in fault.rivals for one in rival.ruled_out_by),
        *(one for choice in fault.playbook_when for one in choice.when),
    ]


def test_every_fault_tells_what_to_do_and_renders(shipped: Catalogue) -> None:
    values = {"person": "Ann", "admin": "Bob", "device": "mac-1", "codes": " (user-scope)", "prerequisite": "x"}
    assert set(values) == set(STEP_VALUES)
    for fault in shipped.faults:
        steps = render_steps(fault.steps, values)

        assert len(steps) == len(fault.steps) > 0
        assert not any("{{" in step for step in steps)
        assert all(step[0].isupper() for step in steps)


def test_a_step_that_begins_with_a_value_begins_with_a_capital() -> None:
    assert render_steps(["{{ person }} signs in.", "then waits."], {"person": "the person"}) == (
        "The person signs in.",
        "Then waits.",
    )


def test_a_device_that_the_mdm_excludes_on_purpose_gets_a_report(shipped: Catalogue) -> None:
    (choice,) = fault_of(shipped, "profile-missing").playbook_when

    assert choice.playbook == "report"
    assert choice.when == (Condition("mdm.profile-missing", {"reason": "excluded"}),)


def test_the_checks_by_hand_name_the_places_of_both_systems(shipped: Catalogue) -> None:
    mac, windows, admin = (
        "\n".join(shipped.by_hand[place]) for place in (Platform.MACOS, Platform.WINDOWS, ADMIN_SIDE)
    )

    assert "System Settings > General > Device Management" in mac
    assert "Keychain Access > System > Certificates" in mac
    assert "certlm.msc" in windows
    assert "certmgr.msc" in windows
    assert "Admin Console > Security > Administrators" in admin
    assert "Enable Device Recovery PIN for Desktop MFA" in admin
    assert "On the Mac" not in admin


def certificate(**facts: Fact) -> tuple[str, dict[str, Fact]]:
    usual: dict[str, Fact] = {
        "device_access_marker": True,
        "store": "system",
        "private_key": True,
        "not_before": "2026-06-01T00:00:00Z",
        "not_after": "2027-06-01T00:00:00Z",
        "sha256": "a" * 64,
    }
    return "keychain.certificate", usual | facts


#: For each fault, the fewest facts that yield it.
SMALLEST: dict[str, list[tuple[str, dict[str, Fact]]]] = {
    "certificate-missing": [("log.no-certificate", {})],
    "certificate-rejected": [("log.rejected", {})],
    "device-deleted": [("okta.device-gone", {})],
    "device-deactivated": [("okta.device-deactivated", {})],
    "certificate-expired": [certificate(not_after="2026-11-01T00:00:00Z")],
    "certificate-wrong-type": [
        certificate(device_access_marker=False, issuer="CN=Organization Intermediate Authority"),
        ("log.no-certificate", {}),
    ],
    "certificate-wrong-store": [certificate(store="login")],
    "certificate-wrong-org": [certificate(org_issuer=False)],
    "certificate-key-unusable": [certificate(private_key=False)],
    "certificate-leftover": [
        certificate(),
        certificate(sha256="b" * 64, not_before="2026-01-01T00:00:00Z"),
    ],
    "profile-missing": [("profile.none", {})],
    "profile-misconfigured": [("profile.breaks", {"codes": ["user-scope"]})],
    "scep-enrolment-failed": [("mdm.install-failed", {"status": "Error"})],
    "device-not-managed": [("mdm.not-managed", {})],
    "not-registered-yet": [("okta.not-registered", {})],
    "okta-verify-enrolment-lost": [("log.enrolment-lost", {})],
    "user-not-in-desktop-mfa": [("okta.not-enrolled", {})],
    "desktop-mfa-not-installed": [("device.daemon", {"present": False})],
    "client-outdated": [("device.okta-verify", {"platform": "windows", "version": "5.9.3"})],
    "clock-wrong": [("device.clock", {"offset_seconds": -301})],
    "recovery-pin-disabled": [("okta.pin-setting", {"enabled": False})],
    "admin-permission-missing": [("okta.admin-may-generate", {"allowed": False})],
    "prerequisite-missing": [("prerequisite.unmet", {"id": "identity-engine"})],
}


@pytest.mark.parametrize("fault_id", ROWS)
def test_every_fault_can_be_reached(shipped: Catalogue, fault_id: str) -> None:
    evidence = [
        Evidence(owner_of(says), f"record {index}", says, facts=facts)
        for index, (says, facts) in enumerate(SMALLEST[fault_id])
    ]

    found = diagnose(evidence, shipped, NOW, Circumstances())

    assert (found.verdict, found.fault) == (Verdict.FAULT, fault_id)
    assert found.playbook == ROWS[fault_id]


def owner_of(says: str) -> Witness:
    return SAYS[says].owner or Witness.DEVICE


@pytest.mark.parametrize(
    ("says", "facts", "drawn"),
    [
        ("device.clock", {"offset_seconds": 300}, "device.clock-right"),
        ("device.okta-verify", {"platform": "windows", "version": "6.1.1"}, "device.okta-verify-new-enough"),
    ],
)
def test_a_fact_that_rules_a_rival_out_is_drawn(says: str, facts: dict[str, Fact], drawn: str) -> None:
    signs = draw_signs([Evidence(Witness.DEVICE, "record", says, facts=facts)], NOW)

    assert signs.says(drawn)


# --- a site's own -----------------------------------------------------------------------------------------------

ROW = """\
  - id: {id}
    title: "Ours"
    meaning: "Ours."
    touches: "ours"
    playbook: report
    symptoms: [generating-fails]
    signs:
      - {{says: {says}}}
    steps:
      - {step}
"""


def row(id: str = "site-proxy", says: str = "site.proxy", step: str = '"Call the network desk."') -> str:
    return "faults:\n" + ROW.format(id=id, says=says, step=step)


def with_where(says: str, where: str) -> str:
    return row().replace("{says: site.proxy}", f"{{says: {says}, where: {where}}}")


def read(site: str) -> Catalogue:
    return read_catalogue(parse(SHIPPED, "faults.yml"), parse(site, "site.yml"))


def problems(site: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(site)
    assert caught.value.code in ("catalogue", "yaml")
    assert caught.value.hint
    return str(caught.value)


def test_a_site_fault_of_a_new_id_follows_at_the_end(shipped: Catalogue) -> None:
    catalogue = read(row())

    assert [fault.id for fault in catalogue.faults] == [*(fault.id for fault in shipped.faults), "site-proxy"]


def test_a_site_fault_of_a_shipped_id_replaces_it_in_its_place(shipped: Catalogue) -> None:
    catalogue = read(row(id="device-deleted", says="okta.device-gone"))

    assert [fault.id for fault in catalogue.faults] == [fault.id for fault in shipped.faults]
    assert fault_of(catalogue, "device-deleted").title == "Ours"


def test_a_site_fault_is_diagnosed_like_any_other() -> None:
    evidence = [Evidence(Witness.DEVICE, "record", "site.proxy")]

    found = diagnose(evidence, read(row()), NOW, Circumstances(symptom=Symptom.GENERATING_FAILS))

    assert (found.fault, found.next_steps) == ("site-proxy", ("Call the network desk.",))


def test_checks_by_hand_of_one_system_leave_those_of_the_other(shipped: Catalogue) -> None:
    catalogue = read("by_hand:\n  windows: ['Open our portal.']\n  admin: ['Ask the identity team.']\n")

    assert catalogue.by_hand[Platform.WINDOWS] == ("Open our portal.",)
    assert catalogue.by_hand[ADMIN_SIDE] == ("Ask the identity team.",)
    assert catalogue.by_hand[Platform.MACOS] == shipped.by_hand[Platform.MACOS]


def test_checks_by_hand_of_the_admin_s_side_are_told_when_the_option_is_not_there() -> None:
    catalogue = read("by_hand:\n  admin: ['Ask the identity team.']\n")

    found = diagnose([], catalogue, NOW, Circumstances(symptom=Symptom.OPTION_NOT_THERE))

    assert found.checks == ("Ask the identity team.",)


def test_signatures_alone_are_a_catalogue_too() -> None:
    catalogue = read("signatures:\n  - {says: log.registered, contains: 'Recovery enrollment finished'}\n")

    assert [(one.says, one.contains) for one in catalogue.signatures] == [
        ("log.registered", "Recovery enrollment finished")
    ]


@pytest.mark.parametrize(
    ("site", "line", "message"),
    [
        (row().replace("touches", "touchs"), 5, "unknown key 'touchs'; did you mean 'touches'?"),
        (row().replace("    touches", "    # "), 2, "lacks the key 'touches'"),
        (row().replace('"Ours"', "[a]"), 3, "faults.0.title must be text, found a list"),
        (row().replace("report", "../report.yml"), 6, "never a path"),
        (row().replace("generating-fails", "generating-fail"), 7, "did you mean 'generating-fails'?"),
        (row().replace("[generating-fails]", "[]"), 7, "at least one symptom"),
        (row(says="log.rejectd"), 9, "did you mean 'log.rejected'?"),
        (row(says="site.Proxy"), 9, "'site.Proxy' is not known"),
        (row(id="Proxy"), 2, "lower-case words joined by hyphens"),
        (row().replace("      - {says: site.proxy}\n", "").replace("signs:", "signs: []"), 8, "at least one sign"),
        (row() + row().removeprefix("faults:\n"), 12, "'site-proxy' stands here a second time"),
        (row() + "    title: again\n", 12, "the key 'title' stands here a second time"),
        (row() + "    explains:\n      - device-deletd\n", 13, "did you mean 'device-deleted'?"),
        (row() + "    rivals: [{fault: clock-wrng, separated_by: x}]\n", 12, "did you mean 'clock-wrong'?"),
        (row() + "    blocks_pin: maybe\n", 12, "must be true or false, found 'maybe'"),
        (row() + "    by_hand: {}\n", 12, "must be true or false, found a mapping"),
        ("faults: {}\n", 1, "faults must be a list, found a mapping"),
        ("faults:\n  - 7\n", 2, "must be a mapping, found 7"),
        ("by_hand: {linux: [x]}\n", 1, "unknown key 'linux'; known: admin, macos, windows"),
        (with_where("mdm.silent", "{dys: {above: 3}}"), 9, "'dys' is not known; did you mean 'days'?"),
        (with_where("okta.device-gone", "{enabled: true}"), 9, "'enabled' is not known; known: deleted_at, device,"),
        (with_where("okta.device-gone", "{1: true}"), 9, "1 is not known"),
        ("fault: []\n", 1, "did you mean 'faults'?"),
        (
            "signatures: [{says: log.rejected, contains: 'Registration error here'}]\n",
            1,
            "says log.registered or an id",
        ),
        ("signatures: [{says: site.proxy, contains: 'too short'}]\n", 1, "at least 12 characters"),
        ("signatures: [{says: site.proxy, contains: 'ein Gerät ohne Verbindung'}]\n", 1, "literal ASCII text"),
        ("signatures: [{says: site.proxy}]\n", 1, "lacks the key 'contains'"),
        ("", 1, "must be a mapping, found nothing"),
        ("[]\n", 1, "must be a mapping, found a list"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_its_line(site: str, line: int, message: str) -> None:
    found = problems(site)

    assert message in found
    assert f"site.yml:{line}: " in found


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("{days: {over: 3}}", "a comparison has above, below or both, or version_below alone, found over"),
        ("{days: {}}", "a comparison has above"),
        ("{days: {above: 3, version_below: '1'}}", "a comparison has above"),
        ("{days: {above: '3'}}", "a number without quotes, found '3'"),
        ("{days: {above: true}}", "a number without quotes, found True"),
        ("{days: {below: .nan}}", "a number without quotes, found nan"),
        ("{days: [1, {below: x}]}", "a number without quotes, found 'x'"),
        ("{version: {version_below: 6.1}}", 'dotted numbers in quotes, such as "6.1.1", found 6.1'),
        ("{version: {version_below: '6.1-beta'}}", "dotted numbers in quotes"),
        ("{since: 2026-01-01}", "since: compare with a text, a number"),
        ("[enabled]", "where must be a mapping of facts"),
    ],
)
def test_a_comparison_that_could_never_be_met_is_refused(where: str, message: str) -> None:
    assert message in problems(row().replace("{says: site.proxy}", f"{{says: site.proxy, where: {where}}}"))


@pytest.mark.parametrize("where", ["{days: null}", "{platform: macos}", "{device: mac-1}", "{person: ann, days: 3}"])
def test_a_sign_may_look_at_its_own_facts_and_at_those_that_any_evidence_has(where: str) -> None:
    (sign,) = read(with_where("mdm.silent", where)).faults[-1].signs

    assert sign.condition.says == "mdm.silent"


@pytest.mark.parametrize(("facts", "fits"), [({}, True), ({"days": None}, True), ({"days": 3}, False)])
def test_null_means_that_the_fact_is_absent(facts: dict[str, Fact], fits: bool) -> None:
    evidence = [Evidence(Witness.DEVICE, "record", "site.age", facts=facts)]

    found = diagnose(evidence, read(with_where("site.age", "{days: null}")), NOW, Circumstances())

    assert (found.fault == "site-proxy") is fits


def test_one_problem_is_told_once_with_its_place() -> None:
    with pytest.raises(UsageError) as caught:
        read(row().replace("touches", "touchs").replace("    touchs", "    touches: ours\n    touchs"))

    assert (caught.value.where, caught.value.message) == (
        "site.yml:6",
        "unknown key 'touchs'; did you mean 'touches'?",
    )


def test_several_problems_are_all_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read(row(says="log.rejectd").replace("touches", "touchs").replace('"Ours."', "3"))
    found = caught.value.message

    assert caught.value.where == found.splitlines()[1].strip().split(": ")[0]
    assert found.startswith("4 problems\n")
    for line, message in ((2, "lacks"), (4, "meaning must be text"), (5, "touchs"), (9, "log.rejectd")):
        assert any(part.strip().startswith(f"site.yml:{line}: ") and message in part for part in found.splitlines())


def test_a_problem_of_the_shipped_catalogue_names_the_shipped_file() -> None:
    with pytest.raises(UsageError, match=r"faults\.yml:\d+: unknown key 'meening'"):
        read_catalogue(parse(SHIPPED.replace("meaning", "meening", 1), "faults.yml"))


# --- a site's steps hold values, and nothing else of Jinja2 ------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "\"{{ ''.__class__.__mro__ }}\"",
        '"{{ person.__class__.__base__.__subclasses__() }}"',
        '"{{ person.__init__.__globals__ }}"',
        "\"{{ cycler.__init__.__globals__.os.popen('true').read() }}\"",
        '"{{ self.__init__.__globals__ }}"',
        "\"{{ '%s'.format.__self__.__class__ }}\"",
        '"{{ person | upper }}"',
        '"{{ person() }}"',
        "\"{{ person['x'] }}\"",
        '"{{- person -}}"',
        '"{{ person }} {% for x in person %}{{ x }}{% endfor %}"',
        '"{% if %}"',
        '"{# person #}"',
        '"Ask {{ person."',
        '"Ask person }}."',
        '"{{ }}"',
        '"{{ {{ person }} }}"',
        '"{{\\nperson.__class__\\n}}"',
    ],
)
def test_a_step_with_more_than_values_is_refused_when_it_is_read(step: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(row(step=step))

    assert caught.value.code == "catalogue"
    assert "site.yml:11" in str(caught.value)


def test_a_step_that_names_an_unknown_value_is_told_the_near_miss() -> None:
    found = problems(row(step='"Ask {{ persn }}."'))

    assert found.startswith("site.yml:11: faults.0.steps.0: 'persn' is not known; did you mean 'person'?")


def test_every_value_may_stand_in_a_step() -> None:
    step = " ".join(f"{{{{ {name} }}}} {{{{{name}}}}}" for name in STEP_VALUES)

    assert fault_of(read(row(step=f'"{step}"')), "site-proxy").steps == (step,)


@pytest.mark.parametrize(
    "name", ["{{ 7 * 7 }}", "{{ lookup('pipe', 'id') }}", "{% raw %}", "{# gone #}", "$(id)", "<b>x</b>"]
)
def test_a_value_that_looks_like_a_template_stays_text(name: str) -> None:
    found = diagnose(
        [Evidence(Witness.DEVICE, "record", "site.proxy")],
        read(row(step='"Ask {{ person }} about {{ device }}."')),
        NOW,
        Circumstances(person=name, device=name),
    )

    assert found.next_steps == (f"Ask {name} about {name}.",)


def test_a_value_cannot_act_on_the_terminal() -> None:
    found = diagnose(
        [Evidence(Witness.DEVICE, "record", "site.proxy")],
        read(row(step='"Ask {{ person }}."')),
        NOW,
        Circumstances(person="\x1b[2J\nann"),
    )

    assert found.next_steps == ("Ask ␛[2J␊ann.",)
