"""A settings file is read, or refused with every problem, its line and the near miss."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from scepfix.adapters.settings_file import load_settings
from scepfix.domain.errors import UsageError
from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.located_yaml import Located, parse
from scepfix.parsers.service_settings import (
    MDM_KINDS,
    OKTA_KINDS,
    OPTION_VARIABLES,
    SERVICES,
    Kind,
    SecretRef,
    ServiceSettings,
    variable,
)
from scepfix.parsers.settings import DEFAULT_UNPACKED_MIB, SettingsFile, read_settings

WHOLE = """\
ways_in:
  - "Ring the front desk"
catalogue: faults/site.yml
issuer_certificates: [okta.pem, ~/old.pem]
limits:
  unpacked_mib: 64
"""


def test_a_whole_file_is_read() -> None:
    assert read_settings(parse(WHOLE, "config.yml")) == SettingsFile(
        ways_in=("Ring the front desk",),
        catalogue="faults/site.yml",
        issuer_certificates=("okta.pem", "~/old.pem"),
        unpacked_mib=64,
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}\n", "ways_in:\nlimits:\nissuer_certificates: []\n"])
def test_a_file_that_sets_nothing_leaves_the_defaults(text: str) -> None:
    assert read_settings(parse(text, "config.yml")) == SettingsFile(unpacked_mib=DEFAULT_UNPACKED_MIB)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("catalog: x\n", 1, "unknown key 'catalog'; did you mean 'catalogue'?"),
        ("ways_in: Ring\n", 1, "ways_in must be a list, found 'Ring'"),
        ("ways_in:\n  - a\n  - 7\n", 3, "ways_in.1 must be text, found 7"),
        ("ways_in: ['']\n", 1, "ways_in.0 must be text, found ''"),
        ("catalogue: [a]\n", 1, "catalogue must be text, found a list"),
        ("catalogue:\n", 1, "catalogue must be text, found nothing"),
        ("\n\nlimits:\n  unpacked_mb: 3\n", 4, "did you mean 'unpacked_mib'?"),
        ("limits: 3\n", 1, "limits must be a mapping, found 3"),
        ("limits: {unpacked_mib: 0}\n", 1, "limits.unpacked_mib must be a whole number from 1 to 1048576, found 0"),
        ("limits: {unpacked_mib: -1}\n", 1, "found -1"),
        ("limits: {unpacked_mib: 1048577}\n", 1, "found 1048577"),
        ("limits: {unpacked_mib: 2.5}\n", 1, "found 2.5"),
        ("limits: {unpacked_mib: true}\n", 1, "found True"),
        ("limits: {unpacked_mib: '64'}\n", 1, "found '64'"),
        ("[]\n", 1, "the file must be a mapping, found a list"),
        ("false\n", 1, "the file must be a mapping, found False"),
        ("just a sentence\n", 1, "the file must be a mapping, found 'just a sentence'"),
        ("1: x\n", 1, "unknown key 1"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(parse(text, "config.yml"))

    assert (caught.value.code, caught.value.where) == ("settings", f"config.yml:{line}")
    assert message in caught.value.message
    assert "config.yml" not in caught.value.message


REPAIR = """\
mdm: {kind: simulated, url: "http://127.0.0.1:1", token: {file: t}, profile: com.example.scep, exclusion_group: g}
okta: {kind: simulated, url: "http://127.0.0.1:2"}
repair: {poll_seconds: 2, put_back_after_hours: 168, proof_grade: mdm, deny: [ceo-mac, carol]}
allowed_signers: signers
"""


def test_what_a_repair_needs_is_read() -> None:
    found = read_settings(parse(REPAIR, "config.yml"))

    assert found.mdm == ServiceSettings(
        "simulated",
        {"url": "http://127.0.0.1:1", "profile": "com.example.scep", "exclusion_group": "g"},
        {"token": SecretRef("file", "t")},
    )
    assert (found.mdm.url, found.mdm.profile, found.mdm.exclusion_group) == (
        "http://127.0.0.1:1",
        "com.example.scep",
        "g",
    )
    assert found.okta == ServiceSettings("simulated", {"url": "http://127.0.0.1:2"})
    assert found.repair == RepairPolicy(
        poll_seconds=2, put_back_after_hours=168, proof_grade=ProofGrade.MDM, deny=("ceo-mac", "carol")
    )
    assert found.allowed_signers == "signers"


@pytest.mark.parametrize("text", ["mdm:\nokta:\nrepair:\n", "repair: {}\n", "repair: {deny: []}\n"])
def test_a_repair_that_is_not_set_has_its_defaults(text: str) -> None:
    assert read_settings(parse(text, "config.yml")) == SettingsFile()


def test_an_mdm_that_does_not_push_is_waited_for_longer_unless_the_site_says_otherwise() -> None:
    intune = "mdm: {kind: intune, tenant: t, client_id: c, client_secret: {env: X}, profile: p, exclusion_group: g}\n"

    assert read_settings(parse(intune, "config.yml")).repair == RepairPolicy(
        put_back_after_hours=24, uninstall_minutes=540, reinstall_minutes=540
    )
    said = read_settings(parse(intune + "repair: {put_back_after_hours: 2}\n", "config.yml")).repair
    assert (said.put_back_after_hours, said.uninstall_minutes) == (2, 540)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mdm: {kind: simulated}\n", "url"),
        ("mdm: {kind: simulated, url: u}\n", "exclusion_group"),
        (
            "mdm: {kind: jamff, url: u, profile: p, exclusion_group: g}\n",
            "mdm.kind: 'jamff' is not known; did you mean",
        ),
        ("mdm: {kind: 7}\n", "mdm.kind: 7 is not known"),
        ("mdm: {kind: jamf, url: u, profile: p, exclusion_group: g}\n", "mdm lacks the key 'client_id'"),
        ("mdm: {kind: simulated, url: '', profile: p, exclusion_group: g}\n", "mdm.url must be text"),
        ("mdm: {kind: simulated, url: u, profile: p, exclusion_group: g, token: geheim}\n", "mdm.token must say where"),
        ("mdm: {kind: simulated, url: u, profile: p, exclusion_group: g, token_file: t}\n", "unknown key 'token_file'"),
        ("mdm: [x]\n", "mdm must be a mapping"),
        ("okta: {kind: simulated, url: u, profile: p}\n", "unknown key 'profile'"),
        ("okta: {url: u}\n", "kind"),
        ("repair: {pol_seconds: 3}\n", "did you mean 'poll_seconds'?"),
        ("repair: {poll_seconds: 0}\n", "repair.poll_seconds must be a whole number from 1 to 3600, found 0"),
        ("repair: {poll_seconds: 3601}\n", "found 3601"),
        ("repair: {put_back_after_hours: 169}\n", "from 1 to 168"),
        ("repair: {plan_valid_hours: 721}\n", "from 1 to 720"),
        ("repair: {registration_days: 366}\n", "from 1 to 365"),
        ("repair: {reinstall_minutes: true}\n", "found True"),
        ("repair: {unauthenticated_devices: 1.5}\n", "found 1.5"),
        ("repair: {proof_grade: hope}\n", "repair.proof_grade"),
        ("repair: {deny: carol}\n", "repair.deny must be a list"),
        ("repair: {deny: [1]}\n", "repair.deny.0 must be text"),
        ("allowed_signers: [x]\n", "allowed_signers must be text"),
    ],
)
def test_a_wrong_setting_of_a_repair_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(parse(text, "config.yml"))

    assert (caught.value.code, caught.value.where) == ("settings", "config.yml:1")
    assert message in caught.value.message
    assert "geheim" not in str(caught.value)


def test_several_problems_are_all_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(parse("ways_in: x\ncatalog: y\nlimits: {unpacked_mib: no}\n", "config.yml"))

    lines = caught.value.message.splitlines()
    assert lines[0] == "3 problems"
    assert caught.value.where == lines[1].strip().split(": ")[0]
    assert sorted(line.strip().split(": ")[0] for line in lines[1:]) == ["config.yml:1", "config.yml:2", "config.yml:3"]


# --- systems ----------------------------------------------------------------------------------------------------

JAMF = "mdm: {kind: jamf, url: u, client_id: i, client_secret: {file: s}, profile: p, exclusion_group: g}\n"


def whole(section: str, name: str, kind: Kind) -> dict[str, object]:
    """Return a section of that kind in which everything is set."""
    secrets = (*kind.secrets, *kind.optional_secrets, *(kind.one_of[0] if kind.one_of else ()))
    return {
        "kind": name,
        **{key: f"the {key}" for key in (*kind.required, *kind.optional)},
        **{key: bounds[0] for key, bounds in kind.numbers.items()},
        **{key: {"env": f"MY_{key}".upper()} for key in secrets},
    }


EVERY_KIND = [(section, name) for section, kinds in SERVICES.items() for name in kinds]


@pytest.mark.parametrize(("section", "name"), EVERY_KIND)
def test_every_kind_is_read_whole_and_with_no_more_than_it_needs(section: str, name: str) -> None:
    kind = SERVICES[section][name]
    everything = whole(section, name, kind)

    found = getattr(read_settings(Located("config.yml", {section: everything}, {})), section)

    assert {"kind": found.kind, **found.options} == {
        key: value for key, value in everything.items() if not isinstance(value, dict)
    }
    assert {key: {"env": ref.name} for key, ref in found.secrets.items()} == {
        key: value for key, value in everything.items() if isinstance(value, dict)
    }
    needed = {"kind", *kind.required, *kind.secrets, *(kind.one_of[0] if kind.one_of else ())}
    read_settings(Located("config.yml", {section: {key: everything[key] for key in needed}}, {}))
    for key in needed:
        less = {other: everything[other] for other in needed - {key}}
        with pytest.raises(UsageError, match=key):
            read_settings(Located("config.yml", {section: less}, {}))


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("{env: A_TOKEN}", SecretRef("env", "A_TOKEN")),
        ("{file: secrets/token}", SecretRef("file", "secrets/token")),
        ("{keyring: jamf, user: scepfix}", SecretRef("keyring", "jamf", "scepfix")),
        ("{vault: secrets.yml, key: jamf}", SecretRef("vault", "secrets.yml", "jamf")),
    ],
)
def test_a_secret_is_a_reference(text: str, ref: SecretRef) -> None:
    found = read_settings(parse(JAMF.replace("{file: s}", text), "config.yml")).mdm

    assert found is not None
    assert found.secrets == {"client_secret": ref}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("geheim", "mdm.client_secret must say where the secret lies: {env: NAME}, {file: PATH}, "),
        ("[geheim]", "no secret belongs into this file"),
        ("{}", "mdm.client_secret must be one of {env: NAME}, "),
        ("{text: geheim}", "mdm.client_secret must be one of {env: NAME}, "),
        ("{env: ''}", "mdm.client_secret.env must be text"),
        ("{env: A, key: b}", "unknown key 'key'"),
        ("{keyring: jamf}", "mdm.client_secret lacks the key 'user'"),
        ("{vault: f, user: k}", "mdm.client_secret lacks the key 'key'"),
        ("{file: a, env: b}", "unknown key 'file'"),
    ],
)
def test_a_secret_that_is_none_of_them_is_refused_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings(parse(JAMF.replace("{file: s}", text), "config.yml"))

    assert message in caught.value.message
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("secrets", ["", ", token: {env: A}, private_key: {env: B}"])
def test_exactly_one_kind_of_credential_is_named(secrets: str) -> None:
    with pytest.raises(UsageError, match="okta needs either token or private_key"):
        read_settings(parse(f"okta: {{kind: okta, url: u{secrets}}}\n", "config.yml"))


# --- the environment --------------------------------------------------------------------------------------------


def test_the_environment_counts_before_the_file_and_an_empty_variable_does_not() -> None:
    environment = {"SCEPFIX_MDM_URL": "https://other", "SCEPFIX_MDM_PROXY": "http://p", "SCEPFIX_MDM_CLIENT_ID": " "}

    found = read_settings(parse(JAMF, "config.yml"), environment).mdm

    assert found is not None
    assert (found.url, found.text("proxy"), found.text("client_id")) == ("https://other", "http://p", "i")


def test_what_the_file_leaves_out_the_environment_may_set() -> None:
    text = JAMF.replace("url: u, ", "")

    found = read_settings(parse(text, "config.yml"), {"SCEPFIX_MDM_URL": "https://there"}).mdm

    assert found is not None
    assert found.url == "https://there"


def test_the_two_sections_of_okta_are_told_apart() -> None:
    text = "okta: {kind: simulated, url: a}\nokta_write: {kind: simulated, url: b}\n"

    found = read_settings(parse(text, "config.yml"), {"SCEPFIX_OKTA_WRITE_URL": "c"})

    assert found.okta is not None
    assert found.okta_write is not None
    assert (found.okta.url, found.okta_write.url) == ("a", "c")


def test_a_system_that_the_file_does_not_name_is_not_set_by_the_environment() -> None:
    assert read_settings(parse("{}", "config.yml"), {"SCEPFIX_MDM_URL": "u", "SCEPFIX_OKTA_X": "y"}) == SettingsFile()


def test_a_variable_that_sets_nothing_is_told_with_all_other_problems() -> None:
    environment = {"SCEPFIX_MDM_ULR": "geheim", "SCEPFIX_MDM_TENANT": "t", "HOME": "/", "SCEPFIX_OKTA_URL": "x"}

    with pytest.raises(UsageError) as caught:
        read_settings(parse(f"ways_in: x\n{JAMF}", "config.yml"), environment)

    _, first, second, third = caught.value.message.splitlines()
    assert first.strip().startswith("config.yml:1: ways_in must be a list")
    assert second.strip().startswith("config.yml:2: the environment variable 'SCEPFIX_MDM_ULR' sets no option")
    assert "did you mean 'SCEPFIX_MDM_URL'?" in second
    assert "'SCEPFIX_MDM_TENANT'" in third
    assert "geheim" not in str(caught.value)


def test_a_variable_that_holds_a_secret_is_no_slip() -> None:
    text = JAMF.replace("{file: s}", "{env: SCEPFIX_MDM_CLIENT_SECRET}")

    found = read_settings(parse(text, "config.yml"), {"SCEPFIX_MDM_CLIENT_SECRET": "geheim"}).mdm

    assert found is not None
    assert "geheim" not in repr(found)


@pytest.mark.parametrize("text", ["0", "6", "-1", "2.0", "1e9", "geheim", "\u0663", "9" * 5000])
def test_a_number_of_the_environment_is_checked(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"counted": Kind(("url",), numbers={"pages": (1, 5)})}
    monkeypatch.setitem(SERVICES, "okta", kinds)
    located = parse("okta: {kind: counted, url: u, pages: 3}\n", "config.yml")

    found = read_settings(located, {"SCEPFIX_OKTA_PAGES": "4"}).okta
    with pytest.raises(UsageError) as caught:
        read_settings(located, {"SCEPFIX_OKTA_PAGES": text})

    assert found is not None
    assert (found.number("pages", 1), found.number("other", 7)) == (4, 7)
    assert caught.value.message == "the environment variable SCEPFIX_OKTA_PAGES must be a whole number from 1 to 5"


def test_every_option_has_a_variable_and_no_secret_has_one() -> None:
    assert variable("okta_write", "client_id") == "SCEPFIX_OKTA_WRITE_CLIENT_ID"
    assert variable("mdm", "url") in OPTION_VARIABLES
    secrets = {
        variable(section, key)
        for section, kinds in SERVICES.items()
        for kind in kinds.values()
        for key in (*kind.secrets, *kind.optional_secrets, *(one for keys in kind.one_of for one in keys))
    }
    assert secrets.isdisjoint(OPTION_VARIABLES)
    assert MDM_KINDS.keys() & OKTA_KINDS.keys() == {"simulated"}


# --- the file itself --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_settings_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in [name for name in os.environ if name.startswith("SCEPFIX_")]:
        monkeypatch.delenv(name)


def refused(tmp_path: Path, data: bytes) -> UsageError:
    file = tmp_path / "config.yml"
    file.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load_settings(str(file))
    return caught.value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"ways_in: [caf\xe9]\n", "this is no UTF-8 text"),
        (b"\xff\xfew\0a\0y\0s\0", "this is no UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "this is no UTF-8 text"),
        (b"#" * (4 * 1024 * 1024 + 1), "far larger than any settings file"),
    ],
)
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    error = refused(tmp_path, data)

    assert (error.code, error.message, error.where) == ("settings", message, str(tmp_path / "config.yml"))


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"\xef\xbb\xbfways_in: [x]\n")

    assert load_settings(str(tmp_path / "config.yml")).ways_in == ("x",)


def test_the_default_place_may_be_empty() -> None:
    assert load_settings(None).ways_in == ()


def test_the_default_place_is_the_configuration_folder(tmp_path: Path) -> None:
    file = tmp_path / "xdg/scepfix/config.yml"
    file.parent.mkdir(parents=True)
    file.write_text("ways_in: [from the default place]\n")

    assert load_settings(None).ways_in == ("from the default place",)


def test_a_relative_configuration_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "here/scepfix/config.yml"
    file.parent.mkdir(parents=True)
    file.write_text("ways_in: [wrong]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    assert load_settings(None).ways_in == ()


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.yml").write_text("ways_in: [here]\n")
    (tmp_path / "there.yml").write_text("ways_in: [there]\n")
    monkeypatch.setenv("SCEPFIX_CONFIG", str(tmp_path / "there.yml"))

    assert load_settings(None).ways_in == ("there",)
    assert load_settings(None).file == str(tmp_path / "there.yml")
    assert load_settings(str(tmp_path / "here.yml")).ways_in == ("here",)

    (tmp_path / "there.yml").unlink()
    with pytest.raises(UsageError) as caught:
        load_settings(None)
    assert (caught.value.message, caught.value.where) == ("no such file", str(tmp_path / "there.yml"))


def test_the_environment_sets_what_a_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yml").write_text("okta: {kind: simulated, url: u}\n")
    monkeypatch.setenv("SCEPFIX_OKTA_URL", "https://there")

    found = load_settings(str(tmp_path / "config.yml")).okta

    assert found is not None
    assert found.url == "https://there"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(str(tmp_path / "absent.yml"))

    assert (caught.value.code, caught.value.message) == ("settings", "no such file")
    assert caught.value.where == str(tmp_path / "absent.yml")


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home, elsewhere = tmp_path / "here", tmp_path / "home", tmp_path / "elsewhere"
    monkeypatch.setenv("HOME", str(home))
    for file in (here / "ca/okta.pem", home / "old.pem", elsewhere / "ca.pem"):
        file.parent.mkdir(parents=True)
        file.touch()
    (here / "config.yml").write_text(f"issuer_certificates: [ca/okta.pem, ~/old.pem, {elsewhere}/ca.pem]\n")

    assert load_settings(str(here / "config.yml")).issuer_files == (
        str(here / "ca/okta.pem"),
        str(home / "old.pem"),
        str(elsewhere / "ca.pem"),
    )


@pytest.mark.parametrize("name", ["absent.yml", "..", "bad\\0name.yml"])
def test_a_catalogue_that_is_not_there_is_an_error_at_its_setting(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path, f'ways_in: [x]\ncatalogue: "{name}"\n'.encode())

    assert (error.code, error.where) == ("settings", f"{tmp_path / 'config.yml'}:2")
    assert error.message.startswith("catalogue names ")
    assert error.hint == f"a relative name starts at {tmp_path}"


def test_an_issuer_that_is_not_there_is_an_error_at_its_setting(tmp_path: Path) -> None:
    (tmp_path / "there.pem").touch()

    error = refused(tmp_path, b"issuer_certificates:\n  - there.pem\n  - absent.pem\n")

    assert (error.code, error.where) == ("settings", f"{tmp_path / 'config.yml'}:3")
    assert error.message == "issuer_certificates.1 names 'absent.pem', and there is no such file"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"faults: [caf\xe9]\n", "this is no UTF-8 text"), (b"#" * (4 * 1024 * 1024 + 1), "far larger")],
)
def test_a_catalogue_that_is_none_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "site.yml").write_bytes(data)

    error = refused(tmp_path, b"catalogue: site.yml\n")

    assert (error.code, error.where) == ("settings", str(tmp_path / "site.yml"))
    assert message in error.message


def test_a_problem_of_the_catalogue_names_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("faults:\n  - {id: x}\n")

    error = refused(tmp_path, b"catalogue: site.yml\n")

    assert (error.code, error.where) == ("catalogue", f"{tmp_path / 'site.yml'}:2")


def test_the_limit_becomes_bytes(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("limits: {unpacked_mib: 3}\n")

    assert load_settings(str(tmp_path / "config.yml")).unpacked_bytes == 3 * 1024 * 1024


@pytest.mark.parametrize(
    ("url", "refused_"),
    [("http://jamf.example.com", True), ("https://jamf.example.com", False), ("http://127.0.0.1:1", False)],
)
def test_credentials_are_not_sent_in_clear_to_another_computer(url: str, refused_: bool) -> None:
    text = JAMF.replace("url: u", f'url: "{url}"')
    with pytest.raises(UsageError, match=r"mdm\.url must begin with https") if refused_ else nullcontext():
        read_settings(parse(text, "config.yml"))


def test_a_private_key_without_its_client_is_told() -> None:
    with pytest.raises(UsageError, match=r"goes with okta\.client_id"):
        read_settings(parse("okta: {kind: okta, url: u, private_key: {env: X}}\n", "config.yml"))


def test_a_number_where_a_text_belongs_is_told_with_the_way_to_write_it() -> None:
    with pytest.raises(UsageError, match='write "17", in quotes'):
        read_settings(parse("mdm: {kind: simulated, url: u, profile: 17, exclusion_group: g}\n", "config.yml"))


@pytest.mark.parametrize("key", ["mdm", "okta", "okta_write"])
def test_a_secret_file_starts_at_the_folder_of_the_file_and_is_looked_for_when_it_is_needed(
    tmp_path: Path, key: str
) -> None:
    more = ", profile: p, exclusion_group: g" if key == "mdm" else ""
    (tmp_path / "config.yml").write_text(f"{key}: {{kind: simulated, url: u, token: {{file: secret}}{more}}}\n")
    found = getattr(load_settings(str(tmp_path / "config.yml")), key)

    assert (found.secrets, found.folder) == ({"token": SecretRef("file", "secret")}, str(tmp_path))


def test_all_files_that_are_not_there_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCEPFIX_MDM_CA_FILE", "of-the-environment.pem")

    error = refused(tmp_path, f"catalogue: none.yml\nissuer_certificates: [gone.pem]\n{JAMF}".encode())

    assert error.message.splitlines() == [
        "3 problems",
        f"  {tmp_path}/config.yml:1: catalogue names 'none.yml', and there is no such file",
        f"  {tmp_path}/config.yml:2: issuer_certificates.0 names 'gone.pem', and there is no such file",
        f"  {tmp_path}/config.yml:3: SCEPFIX_MDM_CA_FILE names 'of-the-environment.pem', and there is no such file",
    ]


def test_allowed_signers_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    error = refused(tmp_path, b"allowed_signers: absent\n")

    assert (error.code, error.where) == ("settings", f"{tmp_path / 'config.yml'}:1")


def test_the_settings_know_their_own_file(tmp_path: Path) -> None:
    assert load_settings(None).file is None
    (tmp_path / "config.yml").write_text("{}\n")
    assert load_settings(str(tmp_path / "config.yml")).file == str(tmp_path / "config.yml")
