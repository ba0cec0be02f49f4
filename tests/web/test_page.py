"""The page answers a change board's questions, in both forms; nothing in it acts, whatever a device is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from tests.evidence_factory import NOW
from tests.plan_factory import HOSTILE, device, plan, remediation, told

from scepfix.domain.plan import PlannedDevice, SetAside
from scepfix.domain.policy import RepairPolicy
from scepfix.domain.remediation import Approval, Outcome
from scepfix.service.approve import approval_needed
from scepfix.web.page import Page, render_html, render_markdown

POLICY = RepairPolicy()
#: Attributes that fetch or send something.
REACHING = ("src", "href", "action", "data", "srcset", "poster", "background")


def page(*devices: PlannedDevice, after: bool = False, **changes: object) -> Page:
    made = plan(*(devices or (device(), told())), **changes)
    done = tuple(remediation(one, Outcome.AWAITING_REGISTRATION) for one in made.devices if one.changes)
    approvals = (Approval(made.digest(), "carol", "signature", True, NOW),) if after else ()
    return Page(made, "plan.json", approval_needed(made, POLICY), approvals, done if after else ())


class Reader(HTMLParser):
    """Collects the text, the tags and what could reach outside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.reaching = "", set[str](), list[tuple[str, str | None]]()
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self._open.append(tag)
        self.reaching += [
            one for one in attrs if one[0].startswith("on") or one[0] in ("src", "href", "action", "data")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if "style" in self._open else data

    @property
    def balanced(self) -> bool:
        return self._open == []


def html_text(found: Page) -> str:
    return re.sub(r"\s+", " ", Reader(render_html(found)).text)


def markdown_text(found: Page) -> str:
    """Take the escapes away again, as a reader of Markdown does."""
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", render_markdown(found))
    for mark, entity in (("<", "&lt;"), (">", "&gt;"), ("@", "&#64;"), ("&", "&amp;")):
        text = text.replace(entity, mark)
    return re.sub(r"\s+", " ", text)


BOTH = pytest.mark.parametrize("text_of", [html_text, markdown_text])


@BOTH
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what kind of page", "This is a preview. Nothing has been changed"),
        ("who asked", "bob"),
        ("which devices", "mac-042"),
        ("whose", "alice"),
        ("why", "The device was deleted in Okta."),
        ("what changes", "installed, newly"),
        ("how surely", "unknowable that nobody can know before the run"),
        ("how far", "1 × reinstall_scep_profile"),
        ("what cannot be taken back", "Removing the profile destroys the private key of the certificate"),
        ("what else to know", "Desktop Password Sync uses this certificate too"),
        ("what is left out and why", "unreachable"),
        ("what a person must do", "A super admin opens Admin Console > Security > General."),
        ("who may approve", "One person's decision."),
        ("how to approve", "scepfix approve plan.json"),
        ("how to run", "scepfix apply plan.json"),
        ("how to stop", "emptying the exclusion group by hand in the MDM is always safe"),
        ("until when", "2026-11-25T09:00:00Z"),
        ("which certificate goes", "0a1b"),
        ("what is approved", "c" * 64),
        ("which limits", "repair.backdating_minutes"),
    ],
)
def test_a_question_of_the_board_is_answered(text_of: Callable[[Page], str], question: str, answer: str) -> None:
    found = page()
    text = text_of(found)

    assert answer in text, question
    assert found.digest in text


@BOTH
def test_after_the_run_what_was_seen_stands_beside_what_was_predicted(text_of: Callable[[Page], str]) -> None:
    text = text_of(page(after=True))

    for words in (
        "Outcomes: 1 × awaiting-registration.",
        "Was the preview right?",
        "the old one",
        "carol",
        "a new certificate with the marker is there",
        "e" * 64,
    ):
        assert words in text
    assert "This is a preview" not in text
    assert "scepfix approve plan.json" not in text


@BOTH
def test_many_devices_need_a_signature_by_another(text_of: Callable[[Page], str]) -> None:
    found = page(device("mac-1"), device("mac-2"))
    text = text_of(found)

    assert "A signature by a listed key of somebody other than bob: 2 devices change" in text
    assert f"printf '%s\\n' '{found.digest}' | ssh-keygen -Y sign -f KEY -n scepfix-plan > plan.sig" in text
    assert "scepfix approve plan.json --signature plan.sig" in text


@BOTH
def test_a_plan_that_changes_nothing_asks_for_no_approval(text_of: Callable[[Page], str]) -> None:
    text = text_of(page(told(), set_aside=()))

    assert "None: no device is changed." in text
    assert "every device that was asked for is in this plan" in text
    assert "scepfix approve" not in text


def hostile_page() -> Page:
    made = plan(
        device(
            HOSTILE,
            person=HOSTILE,
            reason=HOSTILE,
            fault=HOSTILE,
            watches=(HOSTILE,),
            one_way_steps=(HOSTILE,),
            facts={HOSTILE: HOSTILE},
            standing=HOSTILE,
        ),
        told("x", person=HOSTILE),
        set_aside=(SetAside(HOSTILE, HOSTILE, HOSTILE),),
        requester=HOSTILE,
        variables={HOSTILE: HOSTILE},
    )
    approval = Approval(made.digest(), HOSTILE, "signature", True, NOW, HOSTILE)
    done = remediation(made.devices[0], Outcome.FAILED, error=HOSTILE, waiting_for=HOSTILE, leftovers=(HOSTILE,))
    return Page(made, f"plan-{HOSTILE}.json", approval_needed(made, POLICY), (approval,), (done,))


def test_hostile_text_stays_text_in_html() -> None:
    html = render_html(hostile_page())
    read = Reader(html)

    assert read.balanced
    assert read.reaching == []
    assert not read.tags & {"script", "a", "img", "iframe", "object", "form", "link", "svg", "b"}
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "49" not in re.sub(r"1\.3\.6\.1\.4\.1\.51150|sha256:[0-9a-f]{64}", "", read.text)
    assert "{{ 7*7 }}" in read.text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("20) item", "20\\) item"),
        ("=== x", "\\=== x"),
        ("a - b. c = d", "a - b. c = d"),
        ("https://x.example", "https:\\//x.example"),
        ("WWW.x.example", "WWW\\.x.example"),
        ("a|b", "a\\|b"),
        ("2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z"),
    ],
)
def test_only_what_would_act_is_escaped_in_markdown(text: str, written: str) -> None:
    found = page(device(reason="r", standing=text, fault="f"))

    assert f"**f** ({written}): " in render_markdown(found)


def test_hostile_text_stays_text_in_markdown() -> None:
    markdown = render_markdown(hostile_page())
    outside = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)

    # No mark that Markdown acts on is left without its backslash: outside of code nothing but our own.
    assert "<script" not in outside
    assert not re.search(r"(?<!\\)[\[\]]", outside)
    assert not re.search(r"(?<!\\)!", outside)
    assert "@" not in outside
    assert "https://" not in outside
    assert "\x1b" not in markdown
    assert "\u202e" not in markdown
    assert len(re.findall(r"^```$", markdown, re.MULTILINE)) % 2 == 0


@pytest.mark.parametrize("after", [False, True])
def test_the_page_holds_everything_itself(after: bool) -> None:
    html = render_html(page(after=after))
    read = Reader(html)

    assert read.balanced
    assert read.reaching == []
    assert not read.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"@import|url\(", html)


def test_no_connection_value_is_on_the_page() -> None:
    assert "127.1.0.42" not in render_html(page()) + render_markdown(page())


def test_the_same_plan_gives_the_same_page() -> None:
    assert render_html(page()) == render_html(page())
    assert NOW + timedelta(hours=24) == page().plan.expires_at
