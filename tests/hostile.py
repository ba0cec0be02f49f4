"""Text as somebody who wants to be run would write it: templates, shell, terminal, line ends, options."""

from __future__ import annotations

from pathlib import Path

#: ``WITNESS`` is the path of a file that would be there if anything of it were executed.
CORPUS = (
    "{{ lookup('pipe', 'touch WITNESS') }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}{{ lookup('pipe','touch WITNESS') }}",
    "$(touch WITNESS)",
    "`touch WITNESS`",
    "mac-042; touch WITNESS",
    "mac-042\ntouch WITNESS",
    "mac-042 | touch WITNESS",
    "-oProxyCommand=touch WITNESS",
    "\x1b]0;owned\x07\x1b[31mred\x1b[2J",
    "mac\r\n-042\x00\x7f",
    "\u202emac-042\u2066\u200b",
    "../../../../tmp/mac",
    "%s%n%(name)s",
    "<script>alert(1)</script>",
)


def hostile(witness: Path) -> tuple[str, ...]:
    """Return the corpus with the path of a file that must never come to be."""
    return tuple(text.replace("WITNESS", str(witness)) for text in CORPUS)


def is_inert(text: str) -> bool:
    """Is nothing in it that a terminal acts on? Line ends are the program's own."""
    return all(character == "\n" or character.isprintable() for character in text)
