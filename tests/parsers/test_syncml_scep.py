"""SyncML gives the SCEP settings that an MDM sends to a PC; declarations in the XML are refused."""

from __future__ import annotations

import doctest
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scepfix.domain.errors import InputError
from scepfix.domain.platform import Platform
from scepfix.domain.scep_profile import ProfileFormat, Scope
from scepfix.parsers import syncml_scep
from scepfix.parsers.profile_file import read_profile_file, sniff_profile_file
from scepfix.parsers.syncml_scep import parse_syncml

SETTINGS = {
    "ServerURL": "https://acme.okta.com/pki/1",
    "Challenge": "aHVzaA==",
    "KeyLength": "2048",
    "KeyUsage": "128",
    "SubjectName": "CN={{DeviceId}}",
    "EKUMapping": "1.3.6.1.5.5.7.3.2+1.3.6.1.5.5.7.3.4",
    "SubjectAlternativeNames": "11+ann@acme.test",
}


def command(uri: str, value: str | None = None, verb: str = "Add") -> str:
    data = "" if value is None else f"<Data>{value}</Data>"
    return f"<{verb}><CmdID>1</CmdID><Item><Target><LocURI>{uri}</LocURI></Target>{data}</Item></{verb}>"


def commands(root: str = "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/okta", **changes: str | None) -> str:
    nodes = [command(root)]
    nodes += [
        command(f"{root}/Install/{name}", value) for name, value in (SETTINGS | changes).items() if value is not None
    ]
    return "".join([*nodes, command(f"{root}/Install/Enroll", verb="Exec")])


def message(body: str) -> bytes:
    return f'<?xml version="1.0"?><SyncML xmlns="SYNCML:SYNCML1.2"><SyncBody>{body}</SyncBody></SyncML>'.encode()


def test_the_examples_of_the_docstring_hold() -> None:
    assert doctest.testmod(syncml_scep).attempted
    assert doctest.testmod(syncml_scep).failed == 0


@pytest.mark.parametrize(
    "data",
    [
        message(f"<Atomic>{commands()}</Atomic>"),
        f"<Atomic>{commands()}</Atomic>".encode(),
        commands().encode(),
        b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?>\n" + commands().encode(),
        message(commands()).decode().encode("utf-16"),
        commands().encode("utf-16"),
        message(commands("Device/Vendor/MSFT/ClientCertificateInstall/SCEP/okta")),
        message(commands("./Vendor/MSFT/ClientCertificateInstall/SCEP/okta")),
    ],
)
def test_a_message_and_bare_commands_read_the_same(data: bytes) -> None:
    document = read_profile_file(data, "x")

    assert document.format is ProfileFormat.SYNCML
    profile = document.profiles[0]
    assert (profile.platform, profile.identifier, profile.scope) == (Platform.WINDOWS, "okta", Scope.SYSTEM)
    (payload,) = profile.scep_payloads
    assert payload.key_bits.value == 2048
    assert payload.key_bits.path.endswith("Vendor/MSFT/ClientCertificateInstall/SCEP/okta/Install/KeyLength")
    assert payload.usages.value == frozenset({"signing"})
    assert [url.shown for url in payload.urls] == ["https://acme.okta.com"]
    assert payload.subject.value == "CN={{DeviceId}}"
    assert payload.extended_key_usages == ("1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4")
    assert (payload.extractable, payload.all_apps) == (None, None)
    assert payload.has_challenge
    assert "aHVzaA" not in repr(document)


def test_the_user_path_is_the_users_store() -> None:
    root = "./User/Vendor/MSFT/ClientCertificateInstall/SCEP/okta"

    assert parse_syncml(message(commands(root)), "x").profiles[0].scope is Scope.USER


@pytest.mark.parametrize(
    ("value", "usages"),
    [("160", {"signing", "encryption"}), ("128", {"signing"}), ("32", {"encryption"}), ("64", set()), ("0x80", None)],
)
def test_usage_bits_are_those_of_the_csp(value: str, usages: set[str] | None) -> None:
    read = parse_syncml(message(commands(KeyUsage=value)), "x").profiles[0].scep_payloads[0].usages.value

    assert read == (None if usages is None else frozenset(usages))


def test_several_servers_are_told_apart() -> None:
    document = parse_syncml(message(commands(ServerURL="https://a.test/x; http://b.test/y")), "x")

    assert [url.shown for url in document.profiles[0].scep_payloads[0].urls] == ["https://a.test", "http://b.test"]


def test_reading_or_deleting_a_node_is_no_setting() -> None:
    root = "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/old"
    body = command(root, verb="Delete") + command(f"{root}/Install/KeyLength", verb="Get")

    assert parse_syncml(message(body), "x").profiles[0].scep_payloads == ()


def test_an_authority_sent_along_is_a_trust_certificate() -> None:
    node = "./Device/Vendor/MSFT/RootCATrustedCertificates/CA/AB12/EncodedCertificate"

    document = parse_syncml(message(commands() + command(node, "TUlJ")), "x")

    assert [one.path for one in document.profiles[0].trust_certificates] == [node]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"<SyncML/>", "no-profile"),
        (message(""), "no-profile"),
        (message(commands())[:-20], "xml-broken"),
        (commands().encode()[:-20], "xml-broken"),
        (b'<!DOCTYPE SyncML [<!ENTITY a "x">]>' + message(commands())[21:], "xml-entities"),
        (b'<!DOCTYPE SyncML SYSTEM "file:///etc/passwd">' + message(commands())[21:], "xml-entities"),
        (b"<SyncML>" + b"<a>" * 10_000, "xml-too-deep"),
    ],
)
def test_what_is_no_syncml_is_an_error(data: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_profile_file(data, "x")
    assert caught.value.code == code
    assert caught.value.hint


def test_only_scep_nodes_are_claimed() -> None:
    assert sniff_profile_file(message(commands())) is ProfileFormat.SYNCML
    assert sniff_profile_file(message(command("./Vendor/MSFT/Policy/Config/x", "1"))) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_syncml_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(message(commands()))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[position] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        parse_syncml(bytes(whole[: data.draw(st.integers(0, len(whole)))]), "x")


@settings(max_examples=100, deadline=None)
@given(
    values=st.dictionaries(
        st.sampled_from([*SETTINGS]),
        st.text(st.characters(exclude_characters="<&", exclude_categories=["Cs"]), max_size=9),
    )
)
def test_any_text_under_the_known_nodes_is_read_or_refused(values: dict[str, str]) -> None:
    with suppress(InputError):
        parse_syncml(message(commands(**values)).replace(b"\0", b""), "x")
