"""The documentation names what there is and nothing else; its examples run and its links lead somewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from tests import plan_factory

from scepfix.adapters.settings_file import load_settings
from scepfix.cli.doctor import as_document as doctor_document
from scepfix.cli.main import VERBS, run
from scepfix.cli.main import scepfix as root
from scepfix.cli.remediation_report import as_document as remediations_document
from scepfix.domain.check import Check, CheckResult
from scepfix.domain.diagnosis import Answer, Standing, Verdict
from scepfix.domain.errors import Exit, UsageError
from scepfix.domain.evidence import (
    COMMON_FACTS,
    MOMENT_FACTS,
    NUMBER_FACTS,
    PREREQUISITES,
    SAYS,
    TRUTH_FACTS,
    WORD_FACTS,
    Witness,
)
from scepfix.domain.fault import DRAWN_SIGNS, HANDS, Catalogue, Symptom
from scepfix.domain.fault import STEP_VALUES as VALUES
from scepfix.domain.plan import Sureness
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Approval, Outcome, Stage
from scepfix.parsers import located_yaml
from scepfix.parsers.fault_catalogue import read_catalogue
from scepfix.parsers.service_settings import MDM_KINDS, OKTA_KINDS, OPTION_VARIABLES, SERVICES, Kind
from scepfix.parsers.settings import read_settings
from scepfix.service.score import score
from scepfix.workflow.predict import SHARED

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "runner/scepfix"
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *ROOT.glob("roles/*/README.md"))
    if path.read_text("utf-8").strip()
)


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(text: str, title: str) -> str:
    """Return the part of a page under a heading, to the next heading of the same rank or a higher one."""
    found = re.search(rf"^(#+) {re.escape(title)}$\n(.*?)(?=^#{{1,6}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {title!r}"
    rank = len(found[1])
    rest = re.search(rf"^#{{{rank}}} {re.escape(title)}$\n(.*?)(?=^#{{1,{rank}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert rest
    return rest[1]


def rows(text: str) -> list[list[str]]:
    """Return the rows of every table in a text, cell by cell, without their headings."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("| ") and not before.startswith("|"):
            continue  # a heading
        if line.startswith("| "):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def code_words(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def ids(text: str) -> list[str]:
    """Return the code words in the first cell of every row."""
    return [word for row in rows(text) for word in re.findall(r"`([^`]+)`", row[0])]


def example(name: str, marker: str) -> str:
    found = re.search(rf"<!-- runs: {re.escape(marker)} -->\n```\w*\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)
    assert found, f"{name} has no example {marker!r}"
    return found[1]


@pytest.fixture(autouse=True)
def no_settings_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    shipped = (PACKAGE / "rules/faults.yml").read_text("utf-8")
    return read_catalogue(located_yaml.parse(shipped, "faults.yml"))


# --- the command line -------------------------------------------------------------------------------------------


def commands() -> dict[str, click.Command]:
    """Return every command that does something by its words."""
    context = click.Context(root)
    found: dict[str, click.Command] = {}
    for verb in VERBS:
        command = root.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{verb} {name}": below for name, below in command.commands.items()}
        else:
            found[verb] = command
    return found


COMMANDS = commands()
GLOBAL = {"--json", "--config", "--database", "--no-color"}
#: The heading under which each command stands.
HEADINGS = {
    "faults list": "scepfix faults list and scepfix faults show",
    "faults show": "scepfix faults list and scepfix faults show",
}


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params if isinstance(option, click.Option) for name in option.opts} - GLOBAL


def test_every_verb_is_in_the_table_and_no_other() -> None:
    table = page("command-line.md").split("## Global options")[0]

    assert {word.removeprefix("scepfix ") for word in ids(table)} == set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_is_explained_and_no_other(words: str) -> None:
    heading = HEADINGS.get(words, f"scepfix {words}")
    text = section(page("command-line.md"), heading)
    here = [name for name in COMMANDS if HEADINGS.get(name, f"scepfix {name}") == heading]

    explained = {word.split()[0] for word in ids(text) if re.match(r"--?\w", word)}

    assert explained == set().union(*(options_of(COMMANDS[name]) for name in here))


def test_every_global_option_is_explained_and_no_other() -> None:
    explained = ids(section(page("command-line.md"), "Global options"))

    assert {word.split()[0] for word in explained} == GLOBAL | {"--version", "--help", "-h"}


def test_every_exit_code_is_explained_and_no_other() -> None:
    explained = [int(row[0]) for row in rows(section(page("command-line.md"), "Exit codes"))]

    assert explained == [code.value for code in Exit]


def test_every_error_code_is_explained_and_no_other() -> None:
    explained = ids(section(page("command-line.md"), "Error codes"))

    assert len(explained) == len(set(explained))
    assert set(explained) == error_codes()


def error_codes() -> set[str]:
    """Return every code of an error in the package: first arguments, and words that stand where a code is chosen."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if (name.endswith("Error") and name != "DerError") or name in ("Problem", "finish"):
                    found |= constants(node.args[:1])
                if name == "_error" and path.name == "located_yaml.py":
                    found.add("yaml")
                if name == "wrong" and path.parts[-2] in ("adapters", "mdm", "okta"):
                    # WebService puts the name of the system before it.
                    kinds = {"mdm": ("mdm",), "okta": ("okta",)}.get(path.parts[-2], ("mdm", "okta"))
                    found |= {f"{kind}-{code}" for kind in kinds for code in constants(node.args[:1])}
            elif (
                isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "code"
            ):
                found |= constants([node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [])
        if path.name == "certificates.py" and path.parent.name == "parsers":
            found |= set(re.findall(r'^        "([a-z]+(?:-[a-z]+)+)",$', path.read_text("utf-8"), re.MULTILINE))
        if path.name in ("signed_message.py", "safe_xml.py"):
            found |= set(re.findall(r'"((?:signed-message|xml)-[a-z-]+)"', path.read_text("utf-8")))
    return {code for code in found if re.fullmatch(r"[a-z]+[a-z0-9]*(?:-[a-z0-9]+)*", code)}


def constants(nodes: list[ast.expr]) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize(
    ("heading", "files", "pattern"),
    [
        ("scepfix certificate inspect", ("certificate.py",), r'_(?:error|warning)\("([a-z-]+)"'),
        (
            "scepfix profile check",
            ("scep_profile.py", "trust_assignment.py"),
            r'ProfileFinding\(\s*"([a-z-]+)"|"(url-[a-z-]+)" if|else "(url-[a-z-]+)"',
        ),
    ],
)
def test_every_finding_is_explained_and_no_other(heading: str, files: tuple[str, ...], pattern: str) -> None:
    source = "".join((PACKAGE / "rules" / name).read_text("utf-8") for name in files)
    known = {code for match in re.findall(pattern, source) for code in ([match] if isinstance(match, str) else match)}
    text = section(page("command-line.md"), heading)

    explained = [
        word
        for row in rows(text)
        if row[1] in ("error", "warning", "breaks", "hardening")
        for word in re.findall(r"`([^`]+)`", row[0])
    ]

    assert sorted(explained) == sorted(known - {""})


@pytest.mark.parametrize("kind", [Verdict, Standing, Answer, Symptom])
def test_every_word_of_an_answer_is_in_the_contract(kind: type[Verdict]) -> None:
    assert {word.value for word in kind} <= code_words(page("command-line.md"))


DEMO = PACKAGE / "demo_cases"


@pytest.mark.parametrize(
    ("heading", "arguments", "code"),
    [
        ("scepfix diagnose", ["diagnose", "--symptom", "option-not-there"], 3),
        ("scepfix diagnose", ["diagnose", str(DEMO / "deleted")], 0),
        (
            "scepfix certificate inspect",
            [
                "certificate",
                "inspect",
                str(DEMO / "expired/keychain.txt"),
                "--before",
                str(DEMO / "wrong-kind/keychain.txt"),
            ],
            0,
        ),
        ("scepfix profile check", ["profile", "check", str(DEMO / "profile-settings/okta-scep.mobileconfig")], 0),
        ("scepfix faults list and scepfix faults show", ["faults", "list", "--evidence"], 0),
        ("scepfix demo", ["demo", "--files-only"], 0),
    ],
)
def test_every_field_of_a_document_is_explained(
    heading: str, arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--json", *arguments]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    explained = {word.removesuffix("[]") for word in code_words(section(page("command-line.md"), heading))}

    schema = document.pop("schema")
    assert f"`{schema}`" in page("command-line.md")
    missing = {key for key in keys_of(document) if key not in explained}
    if heading == "scepfix demo":
        missing -= {
            word.removesuffix("[]") for word in code_words(section(page("command-line.md"), "scepfix diagnose"))
        }
    assert missing == set()


#: Keys whose own keys are open: ids of facts, settings, connection values, things predicted.
OPEN = ("facts", "variables", "connection", "actual")


@pytest.mark.parametrize(
    ("heading", "document"),
    [
        ("scepfix plan", plan_factory.plan(plan_factory.device(), plan_factory.told()).as_document()),
        (
            "scepfix apply",
            remediations_document(
                [plan_factory.remediation(plan_factory.device(), Outcome.VERIFIED)],
                score([plan_factory.remediation(plan_factory.device(), Outcome.VERIFIED)]),
            ),
        ),
        ("scepfix doctor", doctor_document([Check("mdm.clock", CheckResult.PASS, "it agrees")])),
        ("scepfix approve", Approval("d", "p", "signature", True, datetime(2026, 11, 24, tzinfo=UTC)).as_document()),
    ],
    ids=["plan", "remediations", "doctor", "approval"],
)
def test_every_field_of_a_repair_is_explained(heading: str, document: dict[str, object]) -> None:
    explained = {word.removesuffix("[]") for word in code_words(section(page("command-line.md"), heading))}

    assert {key for key in keys_of(document, OPEN) if key not in explained} == set()


def test_every_outcome_and_stage_is_explained_and_no_other() -> None:
    text = section(page("command-line.md"), "scepfix apply")
    outcomes = [word for row in rows(text) if row[-1] in "014" for word in re.findall(r"`([^`]+)`", row[0])]

    assert sorted(outcomes) == sorted(Outcome)
    assert set(Stage) <= code_words(text)


def test_every_code_of_a_device_that_is_set_aside_is_explained() -> None:
    text = section(page("command-line.md"), "scepfix plan")
    source = "".join(
        (PACKAGE / "service" / name).read_text("utf-8") for name in ("plan.py", "refusals.py", "observe.py")
    )
    codes = set(re.findall(r'(?:SetAside\(\s*name, |Refusal\(\s*|NotObserved\()"([a-z-]+)"', source))

    assert {"ambiguous", "bundled", "garbage"} <= codes
    assert codes <= code_words(text)


def test_every_line_of_the_doctor_is_explained_and_no_other() -> None:
    own = (PACKAGE / "service/doctor.py").read_text("utf-8")
    lines = set(re.findall(r'"((?:settings|machine|repairs|mdm|okta|way-back|group)\.[a-z-]+)"', own))
    for path in (*PACKAGE.glob("adapters/mdm/*.py"), *PACKAGE.glob("adapters/okta/*.py")):
        lines |= set(re.findall(r'"((?:mdm|okta)\.[a-z-]+)"', path.read_text("utf-8"))) - set(SAYS)

    explained = ids(section(page("command-line.md"), "scepfix doctor"))

    assert set(explained) - {"--inventory INVENTORY", "-i INVENTORY"} == lines
    assert len(explained) == len(set(explained))


def test_every_thing_that_is_predicted_is_explained() -> None:
    source = (PACKAGE / "workflow/predict.py").read_text("utf-8")
    things = set(re.findall(r'\(\s*"([a-z-]+)", [a-z"(_]|found\["([a-z-]+)"\]', source))

    told = set(ids(section(page("preview.md"), "What the preview says")))

    assert {SHARED} | {one for pair in things for one in pair if one} | {word.value for word in Sureness} == told


def keys_of(value: object, closed: Sequence[str] = ("facts", "where")) -> Iterator[str]:
    """Yield every key of a document; what stands under ``facts`` and ``where`` is told on other pages."""
    if isinstance(value, list):
        for item in value:
            yield from keys_of(item, closed)
    elif isinstance(value, dict):
        for key, below in value.items():
            yield key
            if key not in closed:
                yield from keys_of(below, closed)


# --- evidence ---------------------------------------------------------------------------------------------------


def test_every_id_of_evidence_is_explained_and_no_other() -> None:
    table = section(page("evidence.md"), "Ids").split("### ")[0]

    assert ids(table) == list(SAYS)


@pytest.mark.parametrize("says", SAYS)
def test_meaning_owner_and_facts_of_an_id_are_those_of_the_code(says: str) -> None:
    table = section(page("evidence.md"), "Ids").split("### ")[0]
    row = next(row for row in rows(table) if row[0] == f"`{says}`")
    meaning = SAYS[says]

    assert row[1] == meaning.text
    assert row[3] == (meaning.owner or "–")
    if says != "keychain.certificate":
        assert set(meaning.facts) <= code_words(row[2])


def test_every_fact_of_a_certificate_is_explained() -> None:
    explained = ids(section(page("evidence.md"), "Facts of a certificate"))

    assert set(SAYS["keychain.certificate"].facts) <= set(explained)


def test_every_fact_that_any_evidence_may_carry_is_explained_and_no_other() -> None:
    table = rows(section(page("evidence.md"), "Facts of any evidence"))

    assert {row[0].strip("`"): row[1] for row in table} == dict(COMMON_FACTS)


def test_every_fact_with_words_of_its_own_is_listed() -> None:
    section = page("evidence.md").partition("### Words of facts")[2].partition("### ")[0]
    listed = {
        row.split("|")[1].split()[0].strip("`"): re.findall(r"`([^`]+)`", row.split("|")[2])
        for row in section.splitlines()
        if row.startswith("| `")
    }

    assert listed == {fact: list(words) for fact, words in WORD_FACTS.items()}


def test_every_typed_fact_is_listed_with_its_type_and_no_other() -> None:
    table = rows(section(page("evidence.md"), "Types of facts"))

    assert [set(code_words(row[1])) for row in table] == [TRUTH_FACTS, NUMBER_FACTS, MOMENT_FACTS]


def test_every_prerequisite_is_explained_and_no_other() -> None:
    table = rows(section(page("evidence.md"), "Prerequisites"))

    assert {row[0].strip("`"): row[1] for row in table} == dict(PREREQUISITES)


def test_every_key_and_witness_of_evidence_is_explained() -> None:
    text = section(page("evidence.md"), "The file")

    keys = {"witness", "source", "line", "byte_offset", "sha256", "observed_at", "quote", "says", "facts"}
    assert set(ids(text)) == keys
    assert {witness.value for witness in Witness} <= code_words(text)
    assert {standing.value for standing in Standing} == set(ids(section(page("evidence.md"), "Witness and standing")))


def test_the_example_of_evidence_runs(tmp_path: Path) -> None:
    (tmp_path / "okta.json").write_text(example("evidence.md", "okta.json"), "utf-8")
    words = example("evidence.md", "command").split()
    assert words[0] == "scepfix"

    text = scepfix(words[1:], tmp_path)
    document = json.loads(scepfix([*words[1:], "--json"], tmp_path))

    expected = example("evidence.md", "output").splitlines()
    assert text.splitlines()[: len(expected)] == expected
    assert [item["says"] for item in document["evidence"]] == ["okta.device-gone", "log.rejected"]


def scepfix(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "scepfix", *arguments],
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# --- faults -----------------------------------------------------------------------------------------------------


def test_every_fault_has_its_row_in_the_order_of_repair(catalogue: Catalogue) -> None:
    table = rows(section(page("faults.md"), "The rows"))

    assert [(row[0], row[1], row[3], row[4]) for row in table] == [
        (str(number), f"`{fault.id}`", fault.touches, f"`{fault.playbook}`")
        for number, fault in enumerate(catalogue.faults, 1)
    ]


def test_every_fault_is_said_to_be_proved_or_not(catalogue: Catalogue) -> None:
    text = section(page("faults.md"), "Which rows have been seen in public text")
    known = {fault.id for fault in catalogue.faults}
    by_text = set(ids(text))
    by_file, never = (
        code_words(re.split(r"\n\n", text.split(f"**{title}**")[1])[0]) & known
        for title in ("Proved by the file itself", "Shape known, text never seen")
    )

    assert by_text | by_file | never == known
    assert by_text & never == by_file & never == by_text & by_file == set()


#: Log lines as the vendor's pages print them, with the fault and standing that each alone yields.
NO_CERTIFICATE = (
    'Cert error: JWT generation failed with: genericError("Error generating management hint: noMatchingCertificate.")'
)
REJECTED = (
    "Registration error: Response decoding failed with: keyNotFound(CodingKeys("
    'stringValue: "id", intValue: nil), Swift.DecodingError.Context(codingPath: [], debugDescription: '
    '"No value associated with key CodingKeys(stringValue: \\"id\\", intValue: nil) (\\"id\\").", '
    "underlyingError: nil))"
)
MACOS = (
    '{"Recovery-Management": {"message": "Registration failed: Error Domain=OktaDAServiceDaemon Code=19 "%s" '
    'UserInfo={NSLocalizedDescription=%s}", "defaultProperties": "", '
    '"location": "CommunicationsManager.swift:registerRecoverySecret():%d"}}'
)
WINDOWS = (
    "2025-07-23 16:54:59.154 +05:30 [ERR] [DevicePrincipalAuthenticator.CanRegisterClient] "
    "Device cannot be registered: Could not find a valid certificate for device authentication."
)
WINDOWS_NOT_REGISTERED = (
    "[WRN] [ 🟠 ] [UserLogonSession::GetAdminRecoveryChallengeAsync] "
    "Device is not registered, admin recovery unavailable"
)
OKTA_VERIFY = (
    '{✅ "API": {"message": "Request URL: https://…/idp/authenticators Response Code: 410 … '
    'Error Code: E0000153, … Error Summary: Invalid device id, it no longer exists."}"…'
)
PUBLIC_LINES = [
    (">" + MACOS % (NO_CERTIFICATE, NO_CERTIFICATE, 319), "certificate-missing", "likely"),
    (WINDOWS, "certificate-missing", "likely"),
    (MACOS % (REJECTED, REJECTED, 281), "certificate-rejected", "likely"),
    (WINDOWS_NOT_REGISTERED, "not-registered-yet", "possible"),
    (OKTA_VERIFY, "okta-verify-enrolment-lost", "likely"),
    ('{🛑 "API error": … ServerErrorCode.deviceDeleted …}', "okta-verify-enrolment-lost", "likely"),
    ("FAILURE: user_not_assigned", "user-not-in-desktop-mfa", "likely"),
]


@pytest.mark.parametrize(("line", "fault", "standing"), PUBLIC_LINES, ids=lambda value: value[:40])
def test_what_is_said_to_be_proved_by_public_text_is(
    line: str, fault: str, standing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "line.txt"
    log.write_text(line + "\n", "utf-8")

    assert run(["diagnose", str(log), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert (found["fault"], found["standing"]) == (fault, standing)
    assert len(found["evidence"]) == 1


def test_the_rows_proved_by_public_text_are_those_of_the_public_lines() -> None:
    text = section(page("faults.md"), "Which rows have been seen in public text")

    assert set(ids(text)) == {fault for _, fault, _ in PUBLIC_LINES}


def test_every_drawn_sign_is_explained_and_no_other() -> None:
    table = rows(section(page("faults.md"), "Signs"))

    assert {row[0].strip("`"): row[1] for row in table} == dict(DRAWN_SIGNS)


def test_every_key_of_a_fault_is_explained_and_no_other() -> None:
    source = (PACKAGE / "parsers/fault_catalogue.py").read_text("utf-8")
    keys = [word for name in ("_REQUIRED", "_OPTIONAL") for word in assigned(source, name)]

    assert sorted(ids(section(page("faults.md"), "Keys of a fault"))) == sorted(keys)


def assigned(source: str, name: str) -> tuple[str, ...]:
    """Return the tuple of words that a module assigns to a name."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"there is no {name}")


def test_every_place_of_the_checks_by_hand_is_explained() -> None:
    assert set(HANDS) <= code_words(section(page("faults.md"), "A site's own faults"))


def test_every_value_of_a_step_is_explained() -> None:
    assert set(VALUES) <= code_words(section(page("faults.md"), "Steps"))


def test_the_site_catalogue_of_the_page_is_read_and_shows_every_key(tmp_path: Path) -> None:
    text = example("faults.md", "site-faults.yml")
    (tmp_path / "site-faults.yml").write_text(text, "utf-8")
    (tmp_path / "config.yml").write_text("catalogue: site-faults.yml\n")

    catalogue = load_settings(str(tmp_path / "config.yml")).catalogue

    assert catalogue.faults[-1].id == "site-proxy-blocked"
    written = yaml.safe_load(text)
    assert set(written) == {"by_hand", "signatures", "faults"}
    assert set(written["faults"][0]) == set(ids(section(page("faults.md"), "Keys of a fault")))


def test_the_site_catalogue_of_the_page_names_its_fault(tmp_path: Path) -> None:
    (tmp_path / "site-faults.yml").write_text(example("faults.md", "site-faults.yml"), "utf-8")
    (tmp_path / "config.yml").write_text("catalogue: site-faults.yml\n")
    (tmp_path / "log").write_text("the daemon said: CFNetwork proxy CONNECT\n  refused: okta.com\n")

    found = json.loads(scepfix(["diagnose", "log", "--config", "config.yml", "--json", "--user", "ann"], tmp_path))

    assert (found["fault"], found["standing"]) == ("site-proxy-blocked", "likely")
    assert found["evidence"][0]["says"] == "site.proxy-blocked"
    assert "Let ann sign in from another network, or open the proxy for okta.com." in found["next_steps"]


# --- settings ---------------------------------------------------------------------------------------------------


def test_every_setting_is_explained_and_no_other() -> None:
    table = page("settings.md").split("## Systems")[0]
    written = yaml.safe_load(example("settings.md", "config.yml"))
    in_example = [
        f"{key}.{below}" if isinstance(value, dict) else key
        for key, value in written.items()
        for below in (value if isinstance(value, dict) else [""])
        if key not in SERVICES
    ]

    assert sorted(ids(table)) == sorted(in_example) == sorted(settings_of_the_code())


def settings_of_the_code() -> list[str]:
    """Ask the reader itself: an unknown key is answered with the list of the known ones."""
    # There are more of these than an error lists.
    found = [f"repair.{each.name}" for each in fields(RepairPolicy)]
    for text, prefix in (("zzzzzz: 1\n", ""), ("limits: {zzzzzz: 1}\n", "limits.")):
        with pytest.raises(UsageError) as caught:
            read_settings(located_yaml.parse(text, "f"))
        (known,) = re.findall(r"unknown key 'zzzzzz'; known: ([^\n]+)", caught.value.message)
        found += [prefix + key for key in known.split(", ") if key not in (*SERVICES, "limits", "repair")]
    return found


def test_every_kind_of_system_is_explained_and_no_other() -> None:
    kinds = {kind for section in SERVICES.values() for kind in section}

    assert set(ids(page("settings.md").partition("## Systems")[2].partition("What a kind takes")[0])) == kinds


def test_every_option_of_a_system_is_explained_and_no_other() -> None:
    told = {}
    for row in rows(page("settings.md").partition("What a kind takes")[2].partition("### ")[0]):
        needs, takes = ("all" if row[2] == "all" else code_words(row[2])), code_words(row[3])
        for name in re.findall(r"`([^`]+)`", row[0]):
            told[name] = needs, takes

    found = {}
    for section, kinds in (("mdm", MDM_KINDS), ("okta", OKTA_KINDS)):
        names = {
            key: [kind for kind in kinds if key in (*kinds[kind].required, *kinds[kind].secrets)]
            for key in sorted({key for kind in kinds.values() for key in keys_of_kind(kind)})
        }
        for key, needing in names.items():
            taking = {kind for kind in kinds if key in keys_of_kind(kinds[kind])} - set(needing)
            found[f"{section}.{key}"] = "all" if len(needing) == len(kinds) else set(needing), taking
    assert told == found


def keys_of_kind(kind: Kind) -> set[str]:
    one_of = [key for keys in kind.one_of for key in keys]
    return {*kind.required, *kind.optional, *kind.numbers, *kind.secrets, *kind.optional_secrets, *one_of}


def test_every_form_of_a_secret_is_one_that_is_read() -> None:
    table = rows(section(page("settings.md"), "Secrets"))

    for row in table:
        for cell in (row[0], row[2]):
            (text,) = re.findall(r"^`({.*})`$", cell)
            found = read_settings(located_yaml.parse(f"okta: {{kind: simulated, url: u, token: {text}}}", "f"))
            assert found.okta is not None
            assert found.okta.secrets["token"].kind == text[1:].partition(":")[0]
    assert [row[0][2:].partition(":")[0] for row in table] == ["file", "env", "keyring", "vault"]


def test_every_variable_for_an_option_is_one() -> None:
    text = section(page("settings.md"), "Options from the environment")

    assert {word for word in code_words(text) if word.startswith("SCEPFIX_")} <= {
        "SCEPFIX_SECTION_OPTION",
        *OPTION_VARIABLES,
    }


def test_the_example_of_settings_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(example("settings.md", "config.yml"), "utf-8")
    (tmp_path / "site-faults.yml").write_text(example("faults.md", "site-faults.yml"), "utf-8")

    for name in (
        "ca/organization-intermediate.pem",
        "secrets/jamf-client-secret",
        "secrets/okta.yml",
        "allowed_signers",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    settings = load_settings(str(tmp_path / "config.yml"))

    assert len(settings.ways_in) == 2
    assert settings.catalogue.fault("site-proxy-blocked") is not None
    assert settings.issuer_files == (str(tmp_path / "ca/organization-intermediate.pem"),)
    assert settings.unpacked_bytes == 512 * 1024 * 1024
    assert settings.mdm is not None
    assert settings.okta is not None
    assert (settings.mdm.kind, settings.okta.kind) == ("jamf", "okta")
    assert replace(settings.repair, deny=()) == RepairPolicy()
    assert settings.allowed_signers == str(tmp_path / "allowed_signers")


def test_every_default_of_a_repair_is_the_one_that_is_told() -> None:
    table = {row[0].strip("`"): row[2] for row in rows(page("settings.md").split("## Systems")[0])}

    for each in fields(RepairPolicy):
        told = table[f"repair.{each.name}"].strip("`")
        assert told == ("none" if each.name == "deny" else str(getattr(RepairPolicy(), each.name)))


def test_every_environment_variable_is_explained_and_no_other() -> None:
    used = set()
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text("utf-8")
        used |= set(re.findall(r"os\.environ(?:\.get\(|\[)\s*\"(\w+)\"", source))
        used |= set(re.findall(r"os\.getenv\(\s*\"(\w+)\"", source))
        used |= set(re.findall(r"\"(_?[A-Z]+_COMPLETE)\"", source))

    assert set(ids(section(page("settings.md"), "Environment variables"))) == used


# --- playbooks and roles ----------------------------------------------------------------------------------------


def test_every_playbook_that_exists_is_named_in_the_documentation() -> None:
    pages = "".join(path.read_text("utf-8") for path in PAGES) + (ROOT / "CHANGELOG.md").read_text("utf-8")

    for playbook in (ROOT / "playbooks").glob("*.yml"):
        assert playbook.stem in pages


@pytest.mark.parametrize("role", sorted((ROOT / "roles").iterdir()), ids=lambda role: role.name)
def test_every_variable_of_a_role_is_explained_and_no_other(role: Path) -> None:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text("utf-8"))["argument_specs"]
    variables = {name for entry in specs.values() for name in entry.get("options", {})}

    assert set(ids(section((role / "README.md").read_text("utf-8"), "Variables"))) == variables


# --- links, paths, words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_local_link_leads_somewhere(path: Path) -> None:
    text = without_code(path.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", without_code(file.read_text("utf-8")), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, target


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_of_this_repository_that_is_named_exists(path: Path) -> None:
    tops = {entry.name for entry in ROOT.iterdir() if entry.is_dir()} - {".git"}
    for words in code_words(without_code(path.read_text("utf-8"))):
        for word in words.split():
            if word.split("/")[0] in tops and "/" in word and not re.search(r"[*<>{}…A-Z]{2}|[*<>{}…]", word):
                assert (ROOT / word.split(":")[0]).exists() or word.startswith(".venv"), f"{word} does not exist"


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_page_keeps_its_lines_short_and_its_decisions_dated(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()

    assert [line for line in lines if len(line) > 130 and not line.startswith("|")] == []
    if path.parent.name == "decisions":
        date = re.match(r"\d{4}-\d\d-\d\d", path.name)
        assert date is not None
        assert lines[0].startswith(f"# {date[0]}: ")
        assert len(lines) <= 40
