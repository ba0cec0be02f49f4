"""A settings file is read, or refused with every problem, its line and the near miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from scepfix.adapters.settings_file import load_settings
from scepfix.domain.errors import UsageError
from scepfix.domain.plan import ProofGrade
from scepfix.domain.policy import RepairPolicy
from scepfix.parsers.located_yaml import parse
from scepfix.parsers.settings import DEFAULT_UNPACKED_MIB, ServiceSettings, SettingsFile, read_settings

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
mdm: {kind: simulated, url: "http://127.0.0.1:1", token_file: t, profile: com.example.scep, exclusion_group: g}
okta: {kind: simulated, url: "http://127.0.0.1:2"}
repair: {poll_seconds: 2, put_back_after_hours: 168, proof_grade: mdm, deny: [ceo-mac, carol]}
allowed_signers: signers
"""


def test_what_a_repair_needs_is_read() -> None:
    found = read_settings(parse(REPAIR, "config.yml"))

    assert found.mdm == ServiceSettings("simulated", "http://127.0.0.1:1", "t", "com.example.scep", "g")
    assert found.okta == ServiceSettings("simulated", "http://127.0.0.1:2")
    assert found.repair == RepairPolicy(
        poll_seconds=2, put_back_after_hours=168, proof_grade=ProofGrade.MDM, deny=("ceo-mac", "carol")
    )
    assert found.allowed_signers == "signers"


@pytest.mark.parametrize("text", ["mdm:\nokta:\nrepair:\n", "repair: {}\n", "repair: {deny: []}\n"])
def test_a_repair_that_is_not_set_has_its_defaults(text: str) -> None:
    assert read_settings(parse(text, "config.yml")) == SettingsFile()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mdm: {kind: simulated}\n", "url"),
        ("mdm: {kind: simulated, url: u}\n", "exclusion_group"),
        ("mdm: {kind: jamf, url: u, profile: p, exclusion_group: g}\n", "mdm.kind"),
        ("mdm: {kind: simulated, url: '', profile: p, exclusion_group: g}\n", "mdm.url must be text"),
        ("mdm: {kind: simulated, url: u, profile: p, exclusion_group: g, token: geheim}\n", "unknown key 'token'"),
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


# --- the file itself --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_settings_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


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


@pytest.mark.parametrize("key", ["mdm", "okta"])
def test_a_token_file_starts_at_the_folder_of_the_file_and_must_be_there(tmp_path: Path, key: str) -> None:
    more = ", profile: p, exclusion_group: g" if key == "mdm" else ""
    text = f"{key}: {{kind: simulated, url: u, token_file: secret{more}}}\n".encode()
    error = refused(tmp_path, text)
    assert error.message == f"{key}.token_file names 'secret', and there is no such file"

    (tmp_path / "secret").write_text("geheim")
    found = getattr(load_settings(str(tmp_path / "config.yml")), key)

    assert found.token_file == str(tmp_path / "secret")


def test_allowed_signers_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    error = refused(tmp_path, b"allowed_signers: absent\n")

    assert (error.code, error.where) == ("settings", f"{tmp_path / 'config.yml'}:1")


def test_the_settings_know_their_own_file(tmp_path: Path) -> None:
    assert load_settings(None).file is None
    (tmp_path / "config.yml").write_text("{}\n")
    assert load_settings(str(tmp_path / "config.yml")).file == str(tmp_path / "config.yml")
