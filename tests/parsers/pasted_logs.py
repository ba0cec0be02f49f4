"""The public log lines, and what tickets, mail, chat and editors do to text on its way to us."""

from __future__ import annotations

import codecs
import html
import itertools
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from scepfix.domain.inert import visible
from scepfix.parsers.kept_records import Record
from scepfix.parsers.log_scan import LogScan

#: Okta, "macOS Desktop MFA recovery troubleshooting", as printed.
M1 = (
    '{ "Recovery-Management": {"message": "Creating a new recovery enrollment", "defaultProperties": "", '
    '"location": "RecoveryManager.swift:registerRecoverySecret():96"}}'
)
M2 = (
    '{ "Recovery-Management": {"message": "Registration failed: Error Domain=OktaDAServiceDaemon Code=19 "Cert error: '
    'JWT generation failed with: genericError("Error generating management hint: noMatchingCertificate.")" '
    "UserInfo={NSLocalizedDescription=Cert error: JWT generation failed with: "
    'genericError("Error generating management hint: noMatchingCertificate.")}", "defaultProperties": "", '
    '"location": "CommunicationsManager.swift:registerRecoverySecret():319"}}'
)
_DECODING = (
    'Registration error: Response decoding failed with: keyNotFound(CodingKeys(stringValue: "id", intValue: nil), '
    'Swift.DecodingError.Context(codingPath: [], debugDescription: "No value associated with key '
    r'CodingKeys(stringValue: \"id\", intValue: nil) (\"id\").", underlyingError: nil))'
)
M3 = (
    '{"Recovery-Management": {"message": "Registration failed: Error Domain=OktaDAServiceDaemon Code=19 '
    f'"{_DECODING}" UserInfo={{NSLocalizedDescription={_DECODING}}}", "defaultProperties": "", '
    '"location": "CommunicationsManager.swift:registerRecoverySecret():281"}}'
)
#: "Users are Unable to Login Using the Offline Device Access Code": no record for us, but a day of log is full of it.
M4 = (
    '2025/05/26 02:15:41:804 -0700 {✅ "Factor-Management": {"message": "Offline factor grace period in effect? false; '
    'expiry date: 2025-05-26 08:10:13 +0000; now: 2025-05-26 09:15:41 +0000", "defaultProperties": "", "location": '
    '"FactorRequirementsManager.swift:offlineFactorInEffect(zeroFactorOver:):249"}}'
)
#: "Deleted Device Cannot Be Re-added as a Managed Device", with the source's own ellipses.
V1 = (
    '{✅ "API": {"message": "Request URL: https://…/idp/authenticators Response Code: 410 … Error Code: E0000153, … '
    'Error Summary: Invalid device id, it no longer exists.}"…'
)
V2 = '{🛑 "API error": … ServerErrorCode.deviceDeleted …}'
#: "Troubleshoot Desktop MFA for Windows" and "Windows Desktop MFA recovery troubleshooting".
W1 = (
    "[WRN] [ 🟠 ] [UserLogonSession::GetAdminRecoveryChallengeAsync] "
    "Device is not registered, admin recovery unavailable"
)
W2 = (
    "2025-07-23 16:54:59.154 +05:30 [ERR] [DevicePrincipalAuthenticator.CanRegisterClient] "
    "Device cannot be registered: Could not find a valid certificate for device authentication."
)
W3 = (
    "2025-07-23 16:54:59.154 +05:30 [INF] [ 🟦 ] [DeviceRegistrationJob::RunRegistrationLoop] "
    "Device Registration: Device not eligible for registration"
)
W4 = "SCEP: Certificate installed successfully"
S1 = "FAILURE: user_not_assigned"


@dataclass(frozen=True)
class Line:
    """A line, what it says ("" for nothing), its time, and the text at which its evidence begins."""

    name: str
    text: str
    says: str
    at: str | None = None
    begins: str = ""

    @property
    def observed_at(self) -> datetime | None:
        return datetime.fromisoformat(self.at) if self.at else None


def timed(prefix: str, line: str, emoji: str = "") -> str:
    return f"{prefix} " + "{" + emoji + line[1:].lstrip()


LINES = [
    Line("M1", ">" + M1, "log.attempt", begins="{"),
    Line("M2", ">" + M2, "log.no-certificate", begins="{"),
    Line("M3", M3, "log.rejected", begins="{"),
    Line("M4", M4, ""),
    Line(
        "M1 timed",
        timed("2025/05/26 02:15:41:804 -0700", M1, "✅ "),
        "log.attempt",
        "2025-05-26T09:15:41.804Z",
        "2025/",
    ),
    Line(
        "M2 timed",
        timed("2025/03/09 01:59:59:999 -0800", M2, "🛑 "),
        "log.no-certificate",
        "2025-03-09T09:59:59.999Z",
        "2025/",
    ),
    Line(
        "M2 after the clocks went forward",
        timed("2025/03/09 03:00:00:000 -0700", M2, "⚠️ "),
        "log.no-certificate",
        "2025-03-09T10:00:00Z",
        "2025/",
    ),
    Line("M3 timed", timed("2026/01/01 00:00:01:002 +1345", M3), "log.rejected", "2025-12-31T10:15:01.002Z", "2026/"),
    Line("M3 without a zone", timed("2025/05/26 02:15:41:804", M3, "🛑 "), "log.rejected", None, "2025/"),
    Line("V1", V1, "log.enrolment-lost", begins="{"),
    Line(
        "V1 timed",
        timed("2025/10/26 02:30:00:000 +0100", V1, "✅ ").replace("✅ ✅", "✅"),
        "log.enrolment-lost",
        "2025-10-26T01:30:00Z",
        "2025/",
    ),
    Line("V2", V2, "log.enrolment-lost", begins="{"),
    Line("W1", W1, "log.device-not-registered", begins="[WRN"),
    Line("W2", W2, "log.no-certificate", "2025-07-23T11:24:59.154Z", "2025"),
    Line("W3", W3, "log.not-eligible", "2025-07-23T11:24:59.154Z", "2025"),
    Line("W4", W4, "log.scep-installed", begins="SCEP"),
    Line("S1", S1, "log.user-not-assigned", begins="FAIL"),
]
PROSE = [
    'Hello, Alice cannot get her PIN since Monday (she says it\'s "broken").',
    "Bob wrote: same for me, on my own Mac, here is what I see:",
    "and this is from Carol, who sits on the second floor - please help!",
    "Dave says that nothing works > 3 days now, 100% sure; see KB #1234 & call me.",
]


def conversation(lines: list[Line]) -> str:
    """Several people: each line stands between other people's words."""
    prose = itertools.cycle(PROSE)
    parts = [part for line in lines for part in (next(prose), line.text)]
    return "\n".join([*parts, "Thanks, Erin"])


# What happens to the text.


def smart(text: str) -> str:
    quotes = itertools.cycle("“”")
    return re.sub('"', lambda _: next(quotes), text).replace("'", "’")


def quoted(prefix: str) -> Callable[[str], str]:
    return lambda text: "\n".join(prefix + line for line in text.split("\n"))


def quoted_mixed(text: str) -> str:
    prefixes = itertools.cycle(["> ", ">> ", "> > > ", ">>>>", " > "])
    return "\n".join(next(prefixes) + line for line in text.split("\n"))


def wrapped(text: str) -> str:
    return "\n".join(
        "\n".join(textwrap.wrap(line, 72, break_long_words=False, break_on_hyphens=False)) for line in text.split("\n")
    )


def cut_at_72(text: str) -> str:
    return "\n".join(line[at : at + 72] for line in text.split("\n") for at in range(0, max(1, len(line)), 72))


def _adf(*blocks: dict[str, object]) -> str:
    return json.dumps({"version": 1, "type": "doc", "content": list(blocks)})


def _text(text: str, *marks: str) -> dict[str, object]:
    node: dict[str, object] = {"type": "text", "text": text}
    if marks:
        node["marks"] = [{"type": mark} for mark in marks]
    return node


def adf_code_block(text: str) -> str:
    return _adf({"type": "codeBlock", "attrs": {"language": "text"}, "content": [_text(text)]})


def adf_paragraphs(text: str) -> str:
    blocks: list[dict[str, object]] = [{"type": "paragraph", "content": [_text(line)]} for line in text.split("\n")]
    return _adf(*blocks)


def adf_split(text: str) -> str:
    """Text nodes break where a mark begins, in the middle of a word too; one line ends in a hardBreak."""
    nodes: list[dict[str, object]] = []
    for line in text.split("\n"):
        for number, at in enumerate(range(0, len(line), 31)):
            nodes.append(_text(line[at : at + 31], *(["strong", "code"] if number % 2 else [])))
        nodes.append({"type": "hardBreak"})
    return _adf({"type": "paragraph", "content": nodes})


def adf_linked(text: str) -> str:
    """Jira makes a link of what looks like an address; its mark carries attributes."""
    link = {"type": "link", "attrs": {"href": "https://acme.example/idp/authenticators", "__confluenceMetadata": None}}
    content = [
        {"type": "paragraph", "content": [_text(line[:60]), {"type": "text", "text": line[60:70], "marks": [link]}]}
        if not line[70:]
        else {
            "type": "paragraph",
            "content": [_text(line[:60]), {"type": "text", "text": line[60:70], "marks": [link]}, _text(line[70:])],
        }
        for line in text.split("\n")
    ]
    return json.dumps({"version": 1, "type": "doc", "content": content}, indent=2, ensure_ascii=False)


def webhook(text: str) -> str:
    return json.dumps({"webhookEvent": "comment_created", "issue": {"key": "IT-7"}, "comment": {"body": text}})


TEXTS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "HTML": html.escape,
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "HTML page": lambda text: "<p>" + html.escape(text).replace("\n", "<br/>\n") + "</p>",
    "HTML page on one line": lambda text: "<pre>" + html.escape(text).replace("\n", "<br>") + "</pre>",
    "HTML with &nbsp;": lambda text: html.escape(text).replace(" ", "&nbsp;"),
    "quoted": quoted("> "),
    "quoted five deep": quoted("> > > > > "),
    "quoted tight": quoted(">>>"),
    "quoted mixed": quoted_mixed,
    "quoted, HTML": lambda text: html.escape(quoted_mixed(text)),
    "smart quotes": smart,
    "dashes": lambda text: smart(text).replace("-", "–"),
    "nbsp": lambda text: text.replace(" ", "\u00a0"),
    "narrow nbsp": lambda text: text.replace(" ", "\u202f"),
    "zero width": lambda text: text.replace(" ", " \u200b"),
    "wrapped between words": wrapped,
    "wrapped between words, quoted": lambda text: quoted("> ")(wrapped(text)),
    "wrapped inside a word": cut_at_72,
    "wrapped inside a word, quoted": lambda text: quoted_mixed(cut_at_72(text)),
    "wrapped, smart, nbsp, quoted, HTML": lambda text: html.escape(
        quoted("> > ")(cut_at_72(smart(text).replace(" ", "\u00a0")))
    ),
    "noformat": lambda text: "{noformat}\n" + text + "\n{noformat}",
    "code": lambda text: "{code}" + text + "{code}",
    "code with a title": lambda text: "{code:title=OktaDeviceAccess.log|borderStyle=solid}\n" + text + "\n{code}",
    "noformat around each line": lambda text: "\n".join(
        "{noformat}" + line + "{noformat}" for line in text.split("\n")
    ),
    "Markdown fence": lambda text: "```text\n" + text + "\n```",
    "Markdown, indented": quoted("    "),
    "ADF code block": adf_code_block,
    "ADF paragraphs": adf_paragraphs,
    "ADF split text": adf_split,
    "ADF links, indented": adf_linked,
    "ADF in a webhook": lambda text: webhook(adf_split(text)),
    "ADF code block in a webhook in a string": lambda text: json.dumps(webhook(adf_code_block(text))),
    "webhook": webhook,
    "webhook with HTML": lambda text: webhook("<p>" + html.escape(text).replace("\n", "<br>") + "</p>"),
    "webhook with smart quotes": lambda text: webhook(smart(text)),
    "webhook with < and > as \\u003c": lambda text: webhook(quoted("> ")(text)).replace(">", "\\u003e"),
    "webhook, wrapped": lambda text: webhook(wrapped(text)),
}


# What happens to the bytes.


def mojibake(codec: str, undefined: str | None = None) -> Callable[[str], bytes]:
    """UTF-8 read as another encoding and saved as UTF-8; ``undefined`` stands for the bytes that cp1252 lacks."""

    def encode(text: str) -> bytes:
        misread = ""
        for byte in text.encode():
            try:
                misread += bytes([byte]).decode(codec)
            except UnicodeDecodeError:
                misread += chr(byte) if undefined is None else undefined
        return misread.encode()

    return encode


def sprinkled(text: str) -> bytes:
    return "\0".join(text[at : at + 7] for at in range(0, len(text), 7)).encode()


def cp1252(text: str) -> bytes:
    """As an editor saves it: blanks that it lacks become plain ones, an icon becomes a question mark."""
    return text.replace("\u202f", " ").replace("\u200b", "").encode("cp1252", "replace")


BYTES: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "UTF-8 with BOM": lambda text: text.encode("utf-8-sig"),
    "UTF-16 LE": lambda text: text.encode("utf-16-le"),
    "UTF-16 BE": lambda text: text.encode("utf-16-be"),
    "UTF-16 LE with BOM": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16 BE with BOM": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-8, BOM of UTF-16 LE": lambda text: codecs.BOM_UTF16_LE + text.encode(),
    "UTF-8, BOM of UTF-16 BE": lambda text: codecs.BOM_UTF16_BE + text.encode(),
    "UTF-16 LE, BOM of BE": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-le"),
    "UTF-16 BE, BOM of UTF-8": lambda text: codecs.BOM_UTF8 + text.encode("utf-16-be"),
    "mojibake cp1252": mojibake("cp1252"),
    "mojibake cp1252, undefined lost": mojibake("cp1252", ""),
    "mojibake cp1252, undefined as ?": mojibake("cp1252", "?"),
    "mojibake cp1252, undefined as U+FFFD": mojibake("cp1252", "\ufffd"),
    "mojibake latin-1": mojibake("latin-1"),
    "mojibake mac_roman": mojibake("mac_roman"),
    "cp1252": cp1252,
    "NULs sprinkled": sprinkled,
    "NULs before": lambda text: bytes(70_000) + text.encode(),
    "NULs after": lambda text: text.encode() + bytes(70_000),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "UTF-16 LE with BOM and CRLF": lambda text: codecs.BOM_UTF16_LE + text.replace("\n", "\r\n").encode("utf-16-le"),
}


def codec_of(name: str) -> tuple[str, int]:
    """Given a key of BYTES, return the Python codec of what it makes, and the size of its mark."""
    mark = 3 if "BOM of UTF-8" in name or name == "UTF-8 with BOM" else 2 if "BOM" in name else 0
    codec = "utf-16-le" if name.startswith("UTF-16 LE") else "utf-16-be" if name.startswith("UTF-16 BE") else "utf-8"
    return codec, mark


def scanned(data: bytes, block: int = 1 << 20) -> list[Record]:
    scan = LogScan()
    for at in range(0, len(data), block):
        scan.feed(data[at : at + block])
    return scan.finish()


def assert_in_place(data: bytes, records: list[Record], codec: str = "utf-8", mark: int = 0) -> None:
    """The quote starts at the offset, on that line; in order; and shows nothing active."""
    errors = "surrogateescape" if codec == "utf-8" else "surrogatepass"
    assert [record.byte_offset for record in records] == sorted(record.byte_offset for record in records)
    for record in records:
        before = data[mark : record.byte_offset].decode(codec, errors)
        assert record.line == 1 + before.count("\n")
        stored = data[record.byte_offset : record.byte_offset + 40_000].decode(codec, errors)
        assert visible(stored).startswith(record.quote)
        assert visible(record.quote) == record.quote
        assert record.quote
