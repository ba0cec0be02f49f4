"""Connection values: what is plain passes unchanged, what Ansible, a shell or ssh would act on is refused by name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile import hostile, is_inert

from scepfix.domain.platform import Platform
from scepfix.parsers.connection_values import _READERS, Value, channel_of, platform_of, read_connection

TAKEN = tuple(_READERS)


def taken(**variables: object) -> dict[str, Value]:
    reached = read_connection("mac-042", variables)
    assert reached.wrong == ()
    return dict(reached.connection)


def refused(**variables: object) -> str:
    reached = read_connection("mac-042", variables)
    assert len(reached.wrong) == 1
    return f"{reached.wrong[0].key} {reached.wrong[0].message}"


def test_an_ordinary_mac_is_reached_as_it_says() -> None:
    variables: dict[str, object] = {
        "ansible_host": "10.1.2.3",
        "ansible_port": 2222,
        "ansible_user": "_ansible",
        "ansible_become": True,
        "ansible_become_method": "sudo",
        "ansible_ssh_private_key_file": "~/.ssh/id ed25519",
    }

    assert taken(**variables) == {**variables, "ansible_connection": "ssh"}


def test_a_device_without_an_address_is_reached_by_its_name() -> None:
    assert taken() == {"ansible_connection": "ssh", "ansible_host": "mac-042"}


@pytest.mark.parametrize("name", ["mac 042", "-mac", "", "mac-042.", "{{ x }}", "mac;x", "mac\n"])
def test_a_name_that_is_no_host_name_is_never_an_address(name: str) -> None:
    reached = read_connection(name, {})

    assert "ansible_host" not in reached.connection
    assert [wrong.key for wrong in reached.wrong] == ["ansible_host"]


@pytest.mark.parametrize(
    "host", ["mac-042.corp.example.com", "127.1.0.7", "::1", "fe80::1%en0", "2001:db8::7", "mac_042"]
)
def test_host_names_and_addresses_pass(host: str) -> None:
    assert taken(ansible_host=host)["ansible_host"] == host


@pytest.mark.parametrize("key", TAKEN)
def test_hostile_text_is_refused_for_every_key_and_shown_inert(key: str, tmp_path: Path) -> None:
    for text in hostile(tmp_path / "witness"):
        reached = read_connection("mac-042", {key: text})

        assert reached.wrong, f"{key} took {text!r}"
        assert text not in map(str, reached.connection.values())
        assert all(is_inert(wrong.message) and "\n" not in wrong.message for wrong in reached.wrong)
    assert not (tmp_path / "witness").exists()


def test_two_arguments_of_ssh_are_checked_one_by_one_and_quoted_again() -> None:
    line = "-F /dev/null -o UserKnownHostsFile=/tmp/known -oStrictHostKeyChecking=accept-new -p 22 -4 -J a@b.c:22,d"

    found = taken(ansible_host="x", ansible_ssh_common_args=line)["ansible_ssh_common_args"]

    assert shlex.split(str(found)) == [
        *("-F", "/dev/null", "-o", "UserKnownHostsFile=/tmp/known", "-o", "StrictHostKeyChecking=accept-new"),
        *("-p", "22", "-4", "-J", "a@b.c:22,d"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "-o ProxyCommand=nc",
        "-oproxycommand=nc",
        "-o 'ProxyCommand nc'",
        "-o LocalCommand=x",
        "-o PermitLocalCommand=yes",
        "-o KnownHostsCommand=x",
        "-o PKCS11Provider=/x.so",
        "-o SecurityKeyProvider=/x.so",
        "-o XAuthLocation=/x",
        "-o Match=x",
        "-o Include=/x",
        "-o SendEnv=X",
        "-o SetEnv=X=1",
        "-o RemoteCommand=x",
        "-o Port=22;touch",
        "-o UserKnownHostsFile=$(touch)",
        "-o UserKnownHostsFile=/a /b",
        "-o",
        "-o Port",
        "-J -oProxyCommand=x",
        "-J a;b",
        "-F relative",
        "-F /etc/ssh/a-file-that-names-a-program",
        "-w 0:0",
        "-A",
        "-R 1:x:2",
        "-L 1:x:2",
        "-S /x",
        "-I /x.so",
        "-E /x",
        "--",
        "host",
        "-p 22 'unclosed",
        "-4x",
    ],
)
def test_ssh_arguments_that_could_run_something_are_refused(line: str) -> None:
    for key in ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"):
        assert refused(ansible_host="x", **{key: line}).startswith(key)


@pytest.mark.parametrize(
    "key",
    [
        "ansible_password",
        "ansible_ssh_pass",
        "ansible_ssh_password",
        "ansible_become_pass",
        "ansible_become_password",
        "ansible_ssh_private_key_passphrase",
        "ansible_private_key",
        "ansible_winrm_password",
    ],
)
def test_a_password_is_refused_and_never_shown(key: str) -> None:
    for value in ("geheim-4711", {"__ansible_vault": "geheim-4711"}):
        said = refused(**{key: value})

        assert "passwords are not read" in said
        assert "geheim" not in said


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("ansible_ssh_common_arg", "-4", "ansible_ssh_common_args"),
        ("ansible_becom", True, None),
        ("ansible_become_usr", "root", "ansible_become_user"),
        ("ansible_ssh_executable", "/tmp/evil", "ansible_ssh"),
        ("scepfix_persn", "alice", "scepfix_person"),
    ],
)
def test_a_variable_that_would_decide_something_is_not_passed_over(key: str, value: object, near: str | None) -> None:
    if near is None:
        assert read_connection("mac", {key: value}).wrong == ()
    else:
        assert near in refused(**{key: value})


def test_variables_that_have_nothing_to_do_with_reaching_a_device_are_left_behind() -> None:
    connection = taken(
        ansible_python_interpreter="{{ x }}",
        ntp_server="$(x)",
        scepfix_without_engine=True,
        ansible_ssh_pipelining=True,
    )

    assert set(connection) == {"ansible_connection", "ansible_host"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ansible_port", 0),
        ("ansible_port", 65536),
        ("ansible_port", True),
        ("ansible_port", "22 "),
        ("ansible_port", "٢٢"),
        ("ansible_port", 22.0),
        ("ansible_become", "maybe"),
        ("ansible_become", 2),
        ("ansible_become_method", "su"),
        ("ansible_become_user", "alice"),
        ("ansible_connection", "community.docker.docker"),
        ("ansible_connection", ["ssh"]),
        ("ansible_user", ""),
        ("ansible_user", None),
        ("ansible_host", 42),
        ("ansible_host", ["a"]),
        ("ansible_host", {"__ansible_vault": "x"}),
        ("ansible_host", {"__ansible_unsafe": "{{ x }}"}),
        ("ansible_ssh_private_key_file", "keys/id"),
        ("ansible_ssh_private_key_file", "/a\u202eb"),
        ("scepfix_person", ["alice"]),
        ("scepfix_person", " "),
        ("scepfix_person", "a" * 201),
        ("scepfix_platform", "linux"),
        ("scepfix_platform", ["macos"]),
    ],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    assert refused(**{"ansible_host": "x", key: value}).startswith(key)


def test_a_text_that_a_plugin_marked_as_no_template_is_read() -> None:
    assert taken(ansible_host={"__ansible_unsafe": "10.0.0.1"})["ansible_host"] == "10.0.0.1"


def test_local_goes_nowhere_else() -> None:
    assert taken(ansible_connection="local") == {"ansible_connection": "local"}
    assert "ansible_host" in refused(ansible_connection="local", ansible_host="10.0.0.1")


@pytest.mark.parametrize(
    ("variables", "platform"),
    [
        ({}, Platform.MACOS),
        ({"scepfix_platform": "macos"}, Platform.MACOS),
        ({"scepfix_platform": "windows"}, Platform.WINDOWS),
        ({"ansible_connection": "psrp"}, Platform.WINDOWS),
        ({"ansible_connection": "winrm", "scepfix_platform": "windows"}, Platform.WINDOWS),
        ({"ansible_shell_type": "powershell"}, Platform.WINDOWS),
    ],
)
def test_the_platform_follows_from_the_way_in(variables: dict[str, object], platform: Platform) -> None:
    assert platform_of(taken(**variables)) is platform


def test_a_platform_that_does_not_fit_the_way_in_is_refused() -> None:
    assert "scepfix_platform" in refused(ansible_connection="psrp", scepfix_platform="macos")


def test_any_text_is_a_person_and_it_is_inert() -> None:
    reached = read_connection("mac", {"scepfix_person": "{{ x }}\x1b[31m $(y)"})

    assert reached.person == "{{ x }}\u241b[31m $(y)"
    assert "scepfix_person" not in reached.connection


ODD = st.one_of(
    st.text(max_size=30),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
    st.lists(st.text(max_size=3), max_size=2),
)
PLAIN = re.compile(r"""[\w.:%@\\/+,=~' $-]*""")


@given(st.text(max_size=20), st.dictionaries(st.sampled_from(TAKEN) | st.text(max_size=12), ODD, max_size=6))
def test_whatever_stands_there_what_is_taken_is_plain_and_is_taken_again(
    name: str, variables: dict[str, object]
) -> None:
    reached = read_connection(name, variables)

    for value in reached.connection.values():
        assert PLAIN.fullmatch(str(value)), value
        assert "{" not in str(value)
    assert all(is_inert(wrong.message) for wrong in reached.wrong)
    if not reached.wrong:
        again = read_connection(name, reached.connection)
        assert (dict(again.connection), again.wrong) == (dict(reached.connection), ())


@given(st.lists(st.sampled_from(["-o", "-F", "-J", "-p", "-4"]) | st.text("ab/=-;$ {}'\"\\\n", max_size=8), max_size=5))
def test_a_line_of_ssh_options_that_is_taken_says_the_same_again(words: list[str]) -> None:
    reached = read_connection("mac", {"ansible_ssh_args": " ".join(words)})

    if not reached.wrong:
        line = str(reached.connection["ansible_ssh_args"])
        assert not set("{};$\n") & set(line)
        assert dict(read_connection("mac", {"ansible_ssh_args": line}).connection)["ansible_ssh_args"] == line


# --- devices that nobody connects to --------------------------------------------------------------------------------

COLLECTED = {"scepfix_channel": "collector", "scepfix_serial_number": "C02EXAMPLE01"}


def test_a_device_with_a_collector_is_connected_to_by_nobody() -> None:
    connection = taken(**COLLECTED, ansible_host="10.1.2.3", ansible_user="ansible", ansible_become=True)

    assert connection == {**COLLECTED, "ansible_connection": "ssh", "ansible_host": "collector.invalid"}
    assert (channel_of(connection), platform_of(connection)) == ("collector", Platform.MACOS)
    # A plan's values are read again before a run.
    assert taken(**connection) == connection


def test_a_pc_with_a_collector_is_a_pc() -> None:
    connection = taken(**COLLECTED, scepfix_platform="windows")

    assert (channel_of(connection), platform_of(connection)) == ("collector", Platform.WINDOWS)
    assert taken(**connection) == connection


def test_a_device_that_is_connected_to_has_no_channel() -> None:
    assert channel_of(taken()) == ""


@pytest.mark.parametrize("serial", [None, "", "x", "C02 {{ x }}", "C02\n", 12, "-oProxyCommand=x", "a" * 61])
def test_a_collector_needs_a_serial_number(serial: object) -> None:
    said = refused(scepfix_channel="collector", scepfix_serial_number=serial)

    assert said.startswith("scepfix_serial_number ")
    assert is_inert(said)


@pytest.mark.parametrize("channel", ["ssh", "Collector", True, ["collector"], "{{ x }}"])
def test_another_channel_is_refused(channel: object) -> None:
    assert refused(scepfix_channel=channel).startswith("scepfix_channel ")


def test_what_a_group_says_of_connections_is_checked_all_the_same() -> None:
    assert "ansible_password" in refused(**COLLECTED, ansible_password="x")
