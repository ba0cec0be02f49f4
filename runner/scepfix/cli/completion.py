"""``scepfix completion SHELL``: print the completion script (made by click)."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from scepfix.cli.context import Shared, shared_options
from scepfix.domain.errors import UsageError


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL (bash, zsh or fish) on standard output.

    \b
    Example:
      scepfix completion bash > ~/.local/share/bash-completion/completions/scepfix
    """
    shared: Shared = ctx.find_object(Shared) or Shared()
    if shared.as_json:
        raise UsageError("no-document", "a completion script is no document", where="--json", hint="leave --json out")
    kinds: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    shared.print_text(kinds[shell](ctx.find_root().command, {}, "scepfix", "_SCEPFIX_COMPLETE").source())
