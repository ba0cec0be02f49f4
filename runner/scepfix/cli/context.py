"""What every command shares: the global options, and how a document, a text or an error is printed."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from scepfix.domain.errors import ScepfixError
from scepfix.domain.inert import visible

SCHEMA_VERSION = 1


@dataclass
class Shared:
    """The global options; each may stand before or after the verb."""

    as_json: bool = False
    config: str | None = None
    database: str | None = None
    color: bool | None = None

    def print_document(self, kind: str, document: dict[str, Any]) -> None:
        """Given the kind (``diagnosis``, …) and its fields, print the one JSON document, schema first."""
        whole = {"schema": f"scepfix/{kind}/{SCHEMA_VERSION}", **document}
        # JSON has its own way to write what an output of another encoding cannot carry.
        ascii_only = str(getattr(sys.stdout, "encoding", "")).lower().replace("-", "") != "utf8"
        _write(json.dumps(whole, indent=2, ensure_ascii=ascii_only, allow_nan=False), color=True)

    def print_text(self, text: str) -> None:
        """Print text for a person; colour codes are dropped unless stdout is a terminal that wants them."""
        _write(text, color=self.wants_color(sys.stdout))

    def tell(self, line: str) -> None:
        """Say on standard error what is being waited for."""
        click.echo(visible(line), err=True)

    def command(self, *words: str) -> str:
        """Given a verb and its words, return the command line that a person types, with the options given now."""
        options = [("--config", self.config), ("--database", self.database)]
        return shlex.join(["scepfix", *words, *(word for name, value in options if value for word in (name, value))])

    def print_error(self, error: ScepfixError) -> None:
        """Print an error: a document with --json, else lines on stderr."""
        if self.as_json and not isinstance(error, OutputError):
            self.print_document("error", error.as_document())
            return
        click.echo(render_error(error), err=True, color=self.wants_color(sys.stderr))

    def wants_color(self, stream: Any) -> bool:
        """NO_COLOR and --no-color win; else only a terminal gets colour (https://no-color.org)."""
        if self.color is False or os.environ.get("NO_COLOR"):
            return False
        return stream is not None and bool(stream.isatty())


class OutputError(ScepfixError):
    """Standard output cannot be written: a full disk, or it is closed."""


def _write(text: str, *, color: bool) -> None:
    """Write a text and a line end to standard output. Raise BrokenPipeError or OutputError where that fails."""
    if sys.stdout is None:
        raise _unwritable("it is closed")
    try:
        click.echo(text, color=color)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _unwritable(str(error)) from error


def flush_output() -> None:
    """Write what is still held back. Raise BrokenPipeError or OutputError where that fails."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise _unwritable(str(error)) from error


def forget_output() -> None:
    """Send what is still held back nowhere, so that the end of the process does not try, and fail, again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unwritable(reason: str) -> OutputError:
    return OutputError("output-unwritable", f"standard output cannot be written: {reason}", hint="is the disk full?")


def render_error(error: ScepfixError) -> str:
    """Given an error, return what a person reads: where, what, what next."""
    place = f"{_lines(error.where)}: " if error.where else ""
    lines = [click.style("error: ", fg="red", bold=True) + f"{place}{_lines(error.message)}"]
    if error.hint:
        lines.append(click.style("hint:  ", bold=True) + _lines(error.hint))
    return "\n".join(lines)


def _lines(text: str) -> str:
    """An error may quote a file name or a foreign value: each line of it is made inert."""
    return "\n".join(visible(line) for line in text.split("\n"))


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    shared: Shared = ctx.ensure_object(Shared)
    if value in (None, False):
        return value
    if param.name == "as_json":
        shared.as_json = True
    elif param.name == "config":
        shared.config = value
    elif param.name == "database":
        shared.database = value
    elif param.name == "no_color":
        shared.color = False
    return value


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the global options; their values land in the Shared object."""
    for option in (
        click.option(
            "--no-color",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            is_eager=True,
            help="Plain text even on a terminal.",
        ),
        click.option(
            "--database",
            metavar="URL",
            expose_value=False,
            callback=_remember,
            is_eager=True,
            help="Where repairs are written down: sqlite:///FILE (default: scepfix/ in the XDG state folder).",
        ),
        click.option(
            "--config",
            metavar="FILE",
            expose_value=False,
            callback=_remember,
            is_eager=True,
            help="Settings file (default: scepfix/config.yml in the XDG configuration folder).",
        ),
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            is_eager=True,
            help="Print exactly one JSON document on standard output.",
        ),
    ):
        command = option(command)
    return command
