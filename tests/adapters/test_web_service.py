"""The one HTTP client: what it repeats and what it never does, how long it waits, whom it trusts, what it shows."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.server import Asked, Said, Service, serve

from scepfix.adapters import web_service
from scepfix.adapters.authorization import BearerToken
from scepfix.adapters.mdm import MdmError
from scepfix.adapters.web_service import Authorization, Reply, WebService
from scepfix.domain.errors import ScepfixError, UsageError
from scepfix.parsers.service_settings import SecretRef, ServiceSettings

SECRET = "pl4nted-s3cret"


class Sleeps:
    """A clock that only counts how long was slept."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Renewed:
    """A token that is made anew when it was refused."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.made = 0

    def headers(self, service: WebService, *, fresh: bool) -> Mapping[str, str]:
        if fresh:
            self.made += 1
            self.tokens.pop(0)
        return {"Authorization": f"Bearer {self.tokens[0]}"}


def ok(asked: Asked) -> Said:
    return Said(document={"path": asked.path})


@contextmanager
def service_of(face: Callable[[Asked], Said] = ok) -> Iterator[Service]:
    with serve(face) as service:
        yield service


def client(
    url: str, authorization: Authorization | None = None, *, sleep: Sleeps | None = None, **options: str
) -> WebService:
    settings = ServiceSettings("simulated", {"url": url, **options})
    return WebService(settings, "mdm", MdmError, authorization, sleep=sleep or Sleeps())


def failing(call: Callable[[], object]) -> ScepfixError:
    """Return the error that a call ends with: one line, that shows no secret and no object of a library."""
    with pytest.raises(ScepfixError) as caught:
        call()
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error.as_document())
    assert SECRET not in shown
    assert "\n" not in str(error)
    assert "urllib3" not in str(error)
    assert " object at 0x" not in str(error)
    assert "HTTPConnection" not in str(error)
    assert error.hint
    return error


# --- asking -----------------------------------------------------------------------------------------------------


def test_a_question_goes_out_as_it_was_asked_and_its_answer_comes_back() -> None:
    with service_of() as service:
        web = client(f"{service.url}/api/")
        reply = web.ask("GET", "/v1/things", query={"page": 2, "q": "a b&c"}, headers={"Accept": "text/x"})
        web.ask("POST", "/v1/things", document={"a": 1})
        web.ask("POST", "/token", form={"grant": "x y"})
        web.ask("PUT", "/raw", body=b"<x/>", headers={"Content-Type": "application/xml"})

    assert (reply.status, web.json(reply), reply.header("Content-Type")) == (
        200,
        {"path": "/api/v1/things"},
        "application/json",
    )
    things, posted, form, raw = service.asked
    assert (things.query, things.headers["accept"]) == ((("page", "2"), ("q", "a b&c")), "text/x")
    assert (posted.document(), posted.headers["content-type"]) == ({"a": 1}, "application/json")
    assert (form.body, form.headers["content-type"]) == (b"grant=x+y", "application/x-www-form-urlencoded")
    assert (raw.body, raw.headers["content-type"]) == (b"<x/>", "application/xml")
    assert web.origin == service.url


def test_an_answer_that_was_expected_is_no_error() -> None:
    with service_of(lambda asked: Said(int(asked.path[1:]))) as service:
        web = client(service.url)

        assert web.ask("GET", "/404").status == 404
        assert web.ask("DELETE", "/409", accept=(409, 410)).status == 409
        assert web.json(web.ask("GET", "/204")) is None
        assert failing(lambda: web.ask("GET", "/404", accept=())).code == "mdm-refused"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "mdm-refused"),
        (401, "mdm-credentials"),
        (403, "mdm-privilege"),
        (409, "mdm-refused"),
        (410, "mdm-refused"),
        (301, "mdm-answer"),
        (302, "mdm-answer"),
        (307, "mdm-answer"),
        (304, "mdm-answer"),
        (500, "mdm-unreachable"),
        (501, "mdm-refused"),
        (503, "mdm-unreachable"),
    ],
)
def test_each_refusal_has_its_code(status: int, code: str) -> None:
    with service_of() as other:
        said = Said(status, {"error": SECRET}, headers=(("Location", f"{other.url}/there"),))
        with service_of(lambda asked: said) as service:
            error = failing(lambda: client(service.url).ask("POST", "/x"))

    assert (error.code, error.where) == (code, service.url)
    assert len(service.asked) == 1
    assert other.asked == []


def test_a_refusal_names_the_privilege() -> None:
    with service_of(lambda asked: Said(403)) as service:
        error = failing(lambda: client(service.url).ask("GET", "/x", needs="Read Static Computer Groups"))

    assert error.message == "it refused (403): that needs Read Static Computer Groups"


# --- credentials ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_expired_token_is_renewed_once(method: str) -> None:
    token = Renewed("old", "new")

    with service_of(lambda asked: Said(200 if asked.headers["authorization"] == "Bearer new" else 401)) as service:
        web = client(service.url, token)
        assert web.ask(method, "/x").status == 200
        assert web.ask(method, "/x").status == 200

    assert token.made == 1
    assert len(service.asked) == 3


def test_a_token_that_is_refused_for_good_is_told() -> None:
    with service_of(lambda asked: Said(401)) as service:
        error = failing(lambda: client(service.url, Renewed(SECRET, SECRET, SECRET)).ask("GET", "/x"))

    assert error.code == "mdm-credentials"
    assert error.hint == "renew the secret that mdm in the settings names"
    assert len(service.asked) == 2


def test_a_renewed_token_is_not_renewed_again_while_it_is_busy() -> None:
    token, replies = Renewed("old", "new"), iter([401, 429, 503, 200])

    with service_of(lambda asked: Said(next(replies))) as service:
        client(service.url, token).ask("GET", "/x")

    assert token.made == 1


def test_without_authorization_nothing_is_sent() -> None:
    with service_of() as service:
        client(service.url, Renewed(SECRET)).ask("POST", "/token", authorized=False)

    assert "authorization" not in service.asked[0].headers


def test_a_bearer_token_is_read_again_when_it_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    settings = ServiceSettings("simulated", {}, {"token": SecretRef("file", "token")}, str(tmp_path))

    with service_of(lambda asked: Said(200 if asked.headers["authorization"] == "Bearer new" else 401)) as service:
        web = client(service.url, BearerToken(settings, "token"))
        assert failing(lambda: web.ask("GET", "/x")).code == "mdm-credentials"
        file.write_text("new\n")
        assert web.ask("GET", "/x").status == 200


def test_without_a_token_none_is_sent() -> None:
    with service_of() as service:
        client(service.url, BearerToken(ServiceSettings("simulated"), "token")).ask("GET", "/x")

    assert "authorization" not in service.asked[0].headers


@pytest.mark.parametrize("more", ["two words", "\x00", "\u2603", "line\nbreak", "\x7f"])
def test_what_is_no_token_is_told_without_showing_it(more: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings("simulated", {}, {"token": SecretRef("env", "THE_TOKEN")})
    monkeypatch.setattr("os.environ", {"THE_TOKEN": f"{SECRET} {more} {SECRET}"})

    error = failing(lambda: client("http://127.0.0.1:1", BearerToken(settings, "token")).ask("GET", "/x"))

    assert (type(error), error.code, error.where) == (UsageError, "secret", "env THE_TOKEN")


@pytest.mark.parametrize("value", [f"{SECRET}\r\nX-Evil: 1", f"{SECRET}\u2603", f"{SECRET}\n"])
def test_no_header_can_be_put_in_by_a_secret(value: str) -> None:
    with service_of() as service:
        error = failing(lambda: client(service.url, Renewed(value)).ask("GET", "/x"))

    assert error.code == "secret"
    assert service.asked == []


def test_nothing_that_is_shown_holds_the_secret() -> None:
    with service_of(
        lambda asked: Said(document={"token": SECRET}, headers=(("Set-Cookie", f"a={SECRET}"),))
    ) as service:
        web = client(service.url, Renewed(SECRET))
        reply = web.ask("GET", "/x")

    assert SECRET not in f"{reply!r} {web!r}"


# --- waiting and repeating --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_question_that_came_too_soon_is_asked_again_when_it_was_told_to(method: str) -> None:
    slept = Sleeps()

    with service_of() as service:
        service.inject(*[Said(429, headers=(("Retry-After", "7"),))] * 3)
        client(service.url, sleep=slept).ask(method, "/x")

    assert slept.seconds == [7, 7, 7]
    assert len(service.asked) == 4


def test_a_date_to_wait_for_counts_by_the_services_own_clock() -> None:
    slept, theirs = Sleeps(), datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    dates = (("Date", theirs), ("Retry-After", theirs + timedelta(seconds=11)))
    headers = {name.lower(): (format_datetime(at, usegmt=True),) for name, at in dates}

    with service_of() as service:
        service.inject(
            Said(429, headers=(("Retry-After", format_datetime(datetime.now(UTC) + timedelta(seconds=90))),))
        )
        client(service.url, sleep=slept).ask("GET", "/x")

    assert 80 < slept.seconds[0] < 91
    assert web_service._told_to_wait(Reply(429, headers, b"")) == 11
    past = {"retry-after": ("Wed, 21 Oct 2015 07:28:00 GMT",)}
    assert web_service._told_to_wait(Reply(429, past, b"")) == 0


def test_without_a_word_on_when_the_pauses_grow() -> None:
    slept = Sleeps()

    with service_of() as service:
        service.inject(*[Said(429)] * 4)
        client(service.url, sleep=slept).ask("POST", "/x")

    assert slept.seconds == [1, 2, 4, 8]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_service_that_is_always_too_busy_is_given_up(method: str) -> None:
    slept = Sleeps()

    with service_of(lambda asked: Said(429)) as service:
        error = failing(lambda: client(service.url, sleep=slept).ask(method, "/x"))

    assert error.code == "mdm-unreachable"
    assert sum(slept.seconds) <= 180
    assert len(service.asked) < 10


@pytest.mark.parametrize(
    "told", ["181", "86400", "9" * 400, format_datetime(datetime(2999, 1, 1, tzinfo=UTC), usegmt=True)]
)
def test_an_absurdly_long_wait_is_told_and_not_waited_for(told: str) -> None:
    slept = Sleeps()

    with service_of(lambda asked: Said(429, headers=(("Retry-After", told),))) as service:
        error = failing(lambda: client(service.url, sleep=slept).ask("GET", "/x"))

    assert error.code == "mdm-unreachable"
    assert "it is busy: the next attempt would be " in error.message
    assert len(str(error)) < 200
    assert slept.seconds == []


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ [-+A-Z0-9]+"))
def test_no_word_on_when_is_too_odd(value: str) -> None:
    assert 0 <= web_service._told_to_wait(Reply(429, {"retry-after": (value,)}, b"")) <= 365 * 24 * 3600


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_what_may_be_done_twice_is_asked_again_in_trouble(status: int) -> None:
    slept = Sleeps()

    with service_of() as service:
        service.inject(*[Said(status)] * 3)
        assert client(service.url, sleep=slept).ask("GET", "/x").status == 200
        service.inject(*[Said(status)] * 4)
        error = failing(lambda: client(service.url, sleep=slept).ask("PUT", "/x"))

    assert slept.seconds == [1, 2, 4, 1, 2, 4]
    assert error.message == f"it cannot answer now ({status})"


@pytest.mark.parametrize(
    "trouble", [Said(500), Said(503, headers=(("Retry-After", "1"),)), Said(200, "long" * 99, cut=True)]
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_been_done_is_never_asked_again(trouble: Said, method: str) -> None:
    slept = Sleeps()

    with service_of(lambda asked: trouble) as service:
        assert failing(lambda: client(service.url, sleep=slept).ask(method, "/x")).code == "mdm-unreachable"

    assert (len(service.asked), slept.seconds) == (1, [])


def test_the_caller_knows_better_what_may_be_repeated() -> None:
    with service_of() as service:
        service.inject(Said(500), Said(500))
        assert client(service.url).ask("POST", "/search", repeatable=True).status == 200
        service.inject(Said(500))
        failing(lambda: client(service.url).ask("GET", "/once", repeatable=False))

    assert [asked.path for asked in service.asked] == ["/search"] * 3 + ["/once"]


def test_trouble_that_says_when_is_waited_for() -> None:
    slept = Sleeps()

    with service_of() as service:
        service.inject(Said(503, headers=(("Retry-After", "9"),)))
        client(service.url, sleep=slept).ask("GET", "/x")

    assert slept.seconds == [9]


def test_a_limit_is_kept_before_it_bites() -> None:
    slept = Sleeps()
    with service_of() as service:
        settings = ServiceSettings("simulated", {"url": service.url})
        web = WebService(settings, "mdm", MdmError, pace=lambda reply: 5.0, sleep=slept)
        web.ask("GET", "/1")
        assert slept.seconds == []
        web.ask("GET", "/2")
        web.ask("GET", "/3")

    assert [round(seconds) for seconds in slept.seconds] == [5, 5]


# --- what is no answer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b"not json", b'{"half":', b"\xff\xfe", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"]
)
def test_malformed_json_is_told(body: bytes) -> None:
    with service_of(lambda asked: Said(body=body)) as service:
        web = client(service.url)
        reply = web.ask("GET", "/x")
        error = failing(lambda: web.json(reply))

    assert (error.code, error.message) == ("mdm-answer", "the answer is no JSON")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_no_http_or_only_half_of_it(raw: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(raw)) as url:
        error = failing(lambda: client(url).ask("POST", "/x"))

    assert error.code == "mdm-unreachable"
    assert error.message.startswith("no answer: ")


def test_a_connection_that_was_cut_is_tried_again() -> None:
    with service_of() as service:
        service.inject(Said(document="long" * 99, cut=True), Said(document="long" * 99, cut=True))
        web = client(service.url)
        assert web.json(web.ask("GET", "/x")) == {"path": "/x"}


def test_nobody_there() -> None:
    slept = Sleeps()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    error = failing(lambda: client(url, sleep=slept).ask("GET", "/x"))

    assert (error.code, error.message) == ("mdm-unreachable", "no answer: Connection refused")
    assert slept.seconds == [1, 2, 4]


def test_a_host_that_nobody_knows() -> None:
    error = failing(lambda: client("http://no-such-host.invalid").ask("POST", "/x"))

    assert error.message == "no answer: the name of the host is not known here"


def test_a_slow_service_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_service, "_SOCKET_SECONDS", 0.1)

    with service_of(lambda asked: Said(slow_seconds=0.5)) as service:
        error = failing(lambda: client(service.url).ask("POST", "/x"))

    assert (error.code, error.message) == ("mdm-unreachable", "no answer: it took too long")


def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_service, "_ANSWER_SECONDS", 0.2)

    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b".")
            time.sleep(0.02)

    with raw_server(trickle) as url:
        error = failing(lambda: client(url).ask("GET", "/x"))

    assert (error.code, error.message) == ("mdm-answer", "the answer does not end")


def test_an_answer_without_end_is_given_up_and_its_connection_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_service, "_LARGEST_BYTES", 1000)

    with service_of(lambda asked: Said(body=b"x" * 5000)) as service:
        settings = ServiceSettings("simulated", {"url": service.url})
        web = WebService(settings, "mdm", MdmError, connections=1)
        for _ in range(5):
            assert failing(lambda: web.ask("GET", "/x")).message == "the answer does not end"


def test_an_answer_that_unpacks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr(web_service, "_LARGEST_BYTES", 1_000_000)
    bomb = Said(body=gzip.compress(b"0" * 50_000_000), headers=(("Content-Encoding", "gzip"),))

    with service_of(lambda asked: bomb) as service:
        assert failing(lambda: client(service.url).ask("GET", "/x")).message == "the answer does not end"


# --- where it goes ----------------------------------------------------------------------------------------------


def test_the_next_page_is_read_where_the_service_says() -> None:
    with service_of() as service:
        web = client(f"{service.url}/api")
        found = web.json(web.ask("GET", f"{service.url}/api/things?after=2"))

    assert found == {"path": "/api/things"}
    assert service.asked[0].query == (("after", "2"),)


@pytest.mark.parametrize(
    "address",
    [
        "http://evil.example/things",
        "https://{host}/things",
        "http://{host}@evil.example/",
        "http://evil.example\\@{host}/",
        "http://{host}.evil.example/",
        "http://{name}:1/",
        "ftp://{host}/",
        "http://[",
        "things",
        "",
        "//{host}/things\\@evil.example",
    ],
)
def test_a_page_on_another_host_is_not_asked_for(address: str) -> None:
    with service_of() as service:
        host = service.url.removeprefix("http://")
        path = address.format(host=host, name=host.partition(":")[0])
        if path.startswith("/"):
            # A path, and nothing else: it stays at this host whatever it looks like.
            client(service.url, Renewed(SECRET)).ask("GET", path)
            return
        error = failing(lambda: client(service.url, Renewed(SECRET)).ask("GET", path))

    assert (error.code, error.message) == ("mdm-answer", "the next page lies on another host")
    assert service.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "/things/../users",
        "/things/..",
        "/./things",
        "/things/%2E%2e/users",
        "/things/.%2E?a=b",
        "{url}/a/../b",
        "/..#x",
    ],
)
def test_a_path_that_would_be_folded_is_not_asked_for(path: str) -> None:
    with service_of() as service:
        web = client(service.url, Renewed(SECRET))
        error = failing(lambda: web.ask("DELETE", path.format(url=service.url)))
        web.ask("GET", "/a..b/.c/...?next=../x")

    assert error.code == "mdm-answer"
    assert [asked.path for asked in service.asked] == ["/a..b/.c/..."]


def test_the_cookie_of_a_cluster_is_kept() -> None:
    headers = (("Set-Cookie", "node=a7; Path=/; HttpOnly"), ("Set-Cookie", "other=1"), ("Set-Cookie", "bad=\u00e9"))

    with service_of(lambda asked: Said(document={}, headers=headers)) as service:
        web = client(service.url)
        web.ask("GET", "/1")
        web.ask("POST", "/2")

    assert "cookie" not in service.asked[0].headers
    assert service.asked[1].headers["cookie"] == "node=a7; other=1"


def test_no_more_connections_than_allowed_and_each_is_used_again() -> None:
    with service_of(lambda asked: Said(document={}, slow_seconds=0.05)) as service:
        settings = ServiceSettings("simulated", {"url": service.url})
        web = WebService(settings, "mdm", MdmError, connections=3)
        threads = [threading.Thread(target=web.ask, args=("GET", "/x")) for _ in range(12)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(10)

    assert len(service.asked) == 12
    assert 1 <= service.most_open <= 3


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "127.0.0.1",
        "",
        f"http://user:{SECRET}@127.0.0.1",
        "http://[",
        "http://",
    ],
)
@pytest.mark.parametrize("option", ["url", "proxy"])
def test_an_address_that_is_none(url: str, option: str) -> None:
    if option == "proxy" and not url:
        return
    settings = ServiceSettings("simulated", {"url": "https://127.0.0.1:1", option: url})

    error = failing(lambda: WebService(settings, "mdm", MdmError))

    assert (error.code, error.where) == ("settings", "mdm")
    assert error.message == f"mdm.{option} is no plain http or https address"


# --- TLS and proxies --------------------------------------------------------------------------------------------


def key_and_certificate(name: str, signer: tuple[ec.EllipticCurvePrivateKey, x509.Name] | None, *, ca: bool) -> tuple[
    ec.EllipticCurvePrivateKey, x509.Certificate
]:  # fmt: skip
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signing_key, issuer = signer or (key, subject)
    built = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if ca:
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        built = built.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
    else:
        built = built.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
    return key, built.sign(signing_key, hashes.SHA256())


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Yield the address of a TLS server and the file of the CA that signed its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    ca_key, ca = key_and_certificate("test CA", None, ca=True)
    key, leaf = key_and_certificate("127.0.0.1", (ca_key, ca.subject), ca=False)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + leaf.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Quiet(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that does not trust us ends the handshake: that is what is tested."""

    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}", folder / "ca.pem"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_ca_of_ones_own_is_trusted_where_it_is_named(tls_server: tuple[str, Path]) -> None:
    url, ca_file = tls_server
    settings = ServiceSettings("simulated", {"url": url, "ca_file": "ca.pem"}, folder=str(ca_file.parent))

    assert WebService(settings, "mdm", MdmError).ask("GET", "/x").status == 200


def test_an_unknown_ca_is_not_trusted_and_not_asked_again(tls_server: tuple[str, Path]) -> None:
    slept = Sleeps()

    error = failing(lambda: client(tls_server[0], Renewed(SECRET), sleep=slept).ask("GET", "/x"))

    assert error.code == "mdm-unreachable"
    assert error.message == "its certificate is not trusted: unable to get local issuer certificate"
    assert error.hint.endswith("name the CA that signed its certificate in mdm.ca_file")
    assert slept.seconds == []


def test_a_service_that_speaks_no_tls() -> None:
    with service_of() as service:
        error = failing(lambda: client(service.url.replace("http:", "https:")).ask("POST", "/x"))

    assert (error.code, error.message) == ("mdm-unreachable", "no answer: TLS failed")


def test_a_certificate_of_another_host_is_not_trusted(tls_server: tuple[str, Path]) -> None:
    url, ca_file = tls_server
    error = failing(lambda: client(url.replace("127.0.0.1", "localhost"), ca_file=str(ca_file)).ask("GET", "/x"))

    assert "not valid for 'localhost'" in error.message


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_is_none_is_told(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)

    error = failing(lambda: client("https://127.0.0.1:1", ca_file=str(file)))

    assert (error.code, error.where) == ("settings", "mdm")
    assert error.message == f"mdm.ca_file names {str(file)!r}, which holds no certificate that can be read"


def test_a_proxy_is_asked_instead() -> None:
    with service_of() as proxy:
        client("http://mdm.invalid/api", proxy=proxy.url).ask("GET", "/x")

    # The whole address stands in the request line; the server of the test tells only the path of it.
    assert [asked.path for asked in proxy.asked] == ["/api/x"]
    assert proxy.asked[0].headers["host"] == "mdm.invalid"


def test_a_secret_goes_through_a_proxy_only_in_a_tunnel() -> None:
    heard: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with raw_server(refuse, read=False) as url:
        error = failing(lambda: client("https://mdm.invalid", Renewed(SECRET), proxy=url).ask("POST", "/x"))

    assert error.code == "mdm-unreachable"
    assert error.message == "no answer: the proxy is not there, or does not let us through"
    assert heard[0].startswith(b"CONNECT mdm.invalid:443 ")
    assert SECRET.encode() not in heard[0]


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    with service_of() as service:
        assert client(service.url).ask("GET", "/x").status == 200


# --- the rest ---------------------------------------------------------------------------------------------------


def test_nothing_of_it_is_loaded_before_a_service_is_opened() -> None:
    code = "import sys, scepfix.cli.main, scepfix.wiring; print(json.dumps([n in sys.modules for n in NAMES]))"
    code = f"import json\nNAMES = {['urllib3', 'ansible', 'keyring', 'jwt']!r}\n{code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    assert json.loads(done.stdout) == [False] * 4


@contextmanager
def raw_server(answer: Callable[[socket.socket], None], *, read: bool = True) -> Iterator[str]:
    """Serve bytes: whoever connects is answered by that, after its request was read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve_all() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        if read:
                            connection.recv(65536)
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
